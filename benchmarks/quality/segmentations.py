"""Rerun the table of segmentations: one command each, given or usual splits, choices on validation only.

    python benchmarks/quality/segmentations.py [--data ../shared/data] [--only hippocampus] [--seeds 0] [--budget 5m]

Every run is a separate process, typed as a person would. Where a split is usual and not written
down beside the data, a folder of links with a ``split.csv`` is made. Results are appended to
``benchmarks/LOG.md``; nothing is asserted.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from running import ROOT, interval, metrics_of, timed, write

FIGURES = (
    "dice",
    "hd95_mm",
    "nsd",
    "iou",
    "lesion_sensitivity",
    "false_positives",
    "cpm",
    "instance_ap",
    "instance_f1",
)


@dataclass(frozen=True)
class Cohort:
    """One row of the table.

    Args:
        budget: Of the run.
        place: ``(data folder, work folder)`` to the folder to run on.
        words: Further words of the command.
        elsewhere: Folder under the data that the model is judged on instead of its own test part.
    """

    budget: str
    place: Callable[[Path, Path], Path]
    words: tuple[str, ...] = ()
    elsewhere: str = ""


def here(name: str) -> Callable[[Path, Path], Path]:
    """The folder as it lies."""
    return lambda data, work: data / name


def chasedb1(data: Path, work: Path) -> Path:
    """The first 20 pictures train, of which the last two children choose; the last 8 test."""
    names = sorted(p.stem for p in (data / "chasedb1").glob("*.jpg"))
    parts = {n: "test" if k >= 20 else "val" if k >= 16 else "train" for k, n in enumerate(names)}
    return linked(data / "chasedb1", work / "chasedb1", parts)


def sunnybrook(data: Path, work: Path) -> Path:
    """Part 1 trains, every fifth of its patients chooses; part 2 tests."""
    place, rows = work / "sunnybrook", []
    shutil.rmtree(place, ignore_errors=True)
    for kind in ("images", "labels"):
        (place / kind).mkdir(parents=True)
        for part in ("part1", "part2"):
            for path in (data / "sunnybrook_lv" / part / kind).iterdir():
                (place / kind / path.name).symlink_to(path.resolve())
    for part in ("part1", "part2"):
        with (data / "sunnybrook_lv" / part / "frames.csv").open(newline="") as file:
            rows += [row | {"part": "test" if part == "part2" else "train"} for row in csv.DictReader(file)]
    choosing = sorted({row["patient"] for row in rows if row["part"] == "train"})[4::5]
    with (place / "frames.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(row | {"part": "val"} if row["patient"] in choosing else row for row in rows)
    return place


def linked(source: Path, place: Path, parts: dict[str, str]) -> Path:
    """A folder of links to the files of another, with a split."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for path in source.iterdir():
        (place / path.name).symlink_to(path.resolve())
    with (place / "split.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "part"])
        rows.writerows(parts.items())
    return place


def phantom(data: Path, work: Path) -> Path:
    """Chest CT with nodules of known place."""
    place = work / "phantom-ct"
    if not place.exists():
        timed(["phantom", "chest-ct", str(place), "--patients", "24", "--seed", "3"], work / "phantom.log")
    return place


COHORTS = {
    "hippocampus": Cohort("30m", here("hippocampus")),
    "hippocampus-10m": Cohort("10m", here("hippocampus")),
    "chasedb1": Cohort("20m", chasedb1),
    "sunnybrook": Cohort("20m", sunnybrook),
    "sunnybrook-elsewhere": Cohort("20m", here("sunnybrook_lv/part1"), elsewhere="sunnybrook_lv/part2"),
    "isbi2012": Cohort("20m", here("isbi2012_em/train")),
    "busi": Cohort("15m", here("busi"), ("--task", "segment")),
    "dsb2018": Cohort("20m", here("dsb2018")),
    "phantom-ct": Cohort("5m", phantom, ("--task", "segment")),
}
"""Name to row."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / ".." / "shared" / "data")
    parser.add_argument("--only", nargs="*", choices=list(COHORTS), default=list(COHORTS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--budget", help="Instead of each row's own.")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "segmentations")
    words = parser.parse_args()
    for name in words.only:
        for seed in words.seeds:
            cohort = replace(COHORTS[name], budget=words.budget or COHORTS[name].budget)
            row = one(name, cohort, words.data, seed, words.out)
            print(row, flush=True)
            write([row], "benchmarks/quality/segmentations.py")


def one(name: str, cohort: Cohort, data: Path, seed: int, work: Path) -> dict[str, str]:
    """Run one cohort as a person would, and read what came out."""
    out = work / f"{name}-{seed}"
    shutil.rmtree(out, ignore_errors=True)
    log = work / f"{out.name}.log"
    log.unlink(missing_ok=True)
    source = cohort.place(data, work)
    words = ["run", str(source), "--out", str(out), "--budget", cohort.budget, "--seed", str(seed), *cohort.words]
    status, cost = timed(words, log)
    row = {"cohort": name, "seed": str(seed), "budget": cohort.budget, **cost}
    if status != 0:
        return {**row, "dice": f"failed, see {log.name}"}
    metrics = metrics_of(out)
    row["val Dice"] = interval(metrics["val"].get("dice"))
    row["floor Dice"] = interval(metrics["baselines"]["floor"]["test"].get("dice"))
    if cohort.elsewhere:
        place = work / f"{out.name}-elsewhere"
        shutil.rmtree(place, ignore_errors=True)
        timed(["evaluate", str(out / "model.scanwright"), str(data / cohort.elsewhere), "--out", str(place)], log)
        metrics, row["cohort"] = metrics_of(place), f"{name} → {cohort.elsewhere}"
    return row | {figure: interval(metrics["test"].get(figure)) for figure in FIGURES}


if __name__ == "__main__":
    main()

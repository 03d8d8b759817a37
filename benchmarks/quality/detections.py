"""Are cells, lesions and nodules found? Cohorts with boxes, circles and masks, run as a person would.

    python benchmarks/quality/detections.py [--only bccd] [--budget 60m] [--seeds 0]

bccd (given parts) should reach a mean AP at IoU 0.5 of .80, better .90; many of its red cells are unlabelled, so AP of RBC is
bounded. mini-MIAS is small and hard: its test part has 4 malignant circles. Phantom nodules are read as masks whose
pieces become boxes, in 3-D; their FROC counts. Nothing is asserted; results go to ``benchmarks/LOG.md``.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from running import ROOT, interval, metrics_of, timed, write

KIT = ROOT.parent / "shared" / "data"
COHORTS: dict[str, tuple[Path | None, list[str], list[str]]] = {
    "bccd": (KIT / "bccd", [], []),
    "mini_mias_256": (KIT / "mini_mias_256", [], ["--task", "detect"]),
    "phantom-nodules": (
        None,
        ["phantom", "chest-ct", "{place}", "--patients", "60", "--seed", "5"],
        ["--task", "detect"],
    ),
}
"""Name to the folder, or how it is made, and further words of the run."""
FIGURES = ("ap50", "ap10", "ap75", "map", "cpm", "sensitivity", "precision", "false_positives")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(COHORTS), default=list(COHORTS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--budget", default="60m")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "detections")
    words = parser.parse_args()
    for name in words.only:
        write([one(name, seed, words.budget, words.out) for seed in words.seeds], "benchmarks/quality/detections.py")


def one(name: str, seed: int, budget: str, work: Path) -> dict[str, str]:
    """One run on one cohort, as a person would type it."""
    place, make, more = COHORTS[name]
    log = work / f"{name}.log"
    if place is None:
        place = work / name
        if not place.exists():
            timed([word.format(place=place) for word in make], log)
    out = work / f"{name}-{seed}"
    shutil.rmtree(out, ignore_errors=True)
    status, cost = timed(["run", str(place), "--out", str(out), "--budget", budget, "--seed", str(seed), *more], log)
    found = metrics_of(out) if status == 0 else {}
    test = found.get("test", {})
    row = {"cohort": name, "seed": str(seed), "budget": budget, **cost}
    row |= {figure: interval(test.get(figure)) for figure in FIGURES}
    row |= {f"ap50 {c}": interval(figures.get("ap50")) for c, figures in test.get("per_class", {}).items()}
    row["floor ap50"] = interval(found.get("baselines", {}).get("floor", {}).get("test", {}).get("ap50"))
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()

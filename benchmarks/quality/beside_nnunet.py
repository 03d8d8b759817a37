"""Beside nnU-Net: the same cases, the same machine, the same time; both learning curves, both test Dices.

    python3 -m venv nnunet-env
    nnunet-env/bin/pip install torch==2.13.0        # alone and first: a CPU wheel where there is no GPU
    echo torch==2.13.0 > nnunet-constraints.txt
    nnunet-env/bin/pip install --constraint nnunet-constraints.txt nnunetv2

    python benchmarks/quality/beside_nnunet.py --nnunet nnunet-env/bin/python [--minutes 10] [--data ../shared/data/hippocampus]

nnU-Net is no dependency: it lives in an environment of its own, and ``nnunet_on_a_clock.py`` runs there.

1. ``scanwright run`` with ``--budget`` as a person would type it: reading, planning, training, judging, explaining
   and packing all count.
2. nnU-Net gets the cases of that run: training and validation cases as its raw data with the run's split as
   ``splits_final.json``, the test cases as images without labels. It makes its own plan (``3d_fullres``, default
   batch and patch) and preprocesses; that time is told and not counted.
3. nnU-Net's default trainer trains on the CPU for as long as the whole of the Scanwright run took, or the minutes
   asked for if that is more: training steps alone count, not the start, the looks at validation nor the answers.
   Its learning rate falls to 0 over just that time. It draws from seeds that augmentation processes do not take over,
   so it does not repeat exactly.
4. Both answer whole validation and test cases; nnU-Net's own predictor without mirror images and with them. All
   answers are read and judged by the same code, ``scanwright.evaluation.masks``, with patients drawn with replacement.

The curves are Dice on validation, mean over cases and then structures: Scanwright's own looks (windows that cover
the cases, pooled for each case) against seconds since its command was typed, and nnU-Net's answers to whole
cases against seconds of training. The last point of Scanwright is the shipped model on whole cases at the end
of its run. ``curves.json``, ``curves.svg`` and ``table.json`` are written to ``--out``, the table to
``benchmarks/LOG.md``. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from running import ROOT, timed, write

from scanwright.core import Case, Cohort, Evaluation, Interval, LabelMap

DATASET = "Dataset001_Beside"
FIGURES = {"dice": "test Dice", "hd95_mm": "test HD95, mm", "nsd": "test NSD"}
WAYS = {"plain": "nnU-Net", "mirrored": "nnU-Net, mirror images"}
STYLE = """
.chart { background: #fff; font: 11px system-ui, sans-serif; } text { fill: #566072; } .name { fill: #1a2230; }
.grid { stroke: #e0ddd4; } .axis, .tick { stroke: #566072; } .line { fill: none; stroke-width: 2; }
.s0 { stroke: #0d6f73; fill: #0d6f73; } .s1 { stroke: #c2570c; fill: #c2570c; } path.line { fill: none; }
text.s0, text.s1 { stroke: none; font-weight: 600; }
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nnunet", type=Path, required=True, help="a Python with nnunetv2")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the whole Scanwright run")
    parser.add_argument("--data", type=Path, default=ROOT / ".." / "shared" / "data" / "hippocampus")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "beside-nnunet")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--looks", type=int, default=10, help="of nnU-Net at validation")
    parser.add_argument("--workers", type=int, default=2, help="augmentation processes of nnU-Net")
    words = parser.parse_args()
    if not words.nnunet.exists():
        parser.error(f"{words.nnunet} does not exist. It is a Python with nnunetv2. See the top of this file.")
    words.out.mkdir(parents=True, exist_ok=True)
    ours, cohort, seconds = scanwright(words)
    theirs = nnunet(words, cohort, max(seconds, 60 * words.minutes))
    rows = table([ours, *theirs], words.seed)
    curves = {one["who"]: one["curve"] for one in (ours, *theirs) if "curve" in one}
    (words.out / "curves.json").write_text(json.dumps(curves, indent=1))
    (words.out / "curves.svg").write_text(drawn(curves), encoding="utf-8")
    (words.out / "table.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False))
    for row in rows:
        print(row, flush=True)
    write(rows, "benchmarks/quality/beside_nnunet.py")


def scanwright(words: argparse.Namespace) -> tuple[dict[str, Any], Cohort, float]:
    """Run Scanwright as a person would: what came out, the cohort as it was split, seconds of the run."""
    from scanwright.io import read_cohort

    out = words.out / "scanwright"
    shutil.rmtree(out, ignore_errors=True)
    log = fresh(words.out / "scanwright.log")
    budget = f"{60 * words.minutes:.0f}s"
    began, clock = datetime.now(UTC), time.monotonic()
    status, _ = timed(["run", str(words.data), "--out", str(out), "--budget", budget, "--seed", str(words.seed)], log)
    seconds = time.monotonic() - clock
    if status != 0:
        raise SystemExit(f"Scanwright failed, see {log}")
    cohort = read_cohort(out)
    return finished(out, cohort, began, seconds, words.seed), cohort, seconds


def finished(run: Path, cohort: Cohort, began: datetime, seconds: float, seed: int) -> dict[str, Any]:
    """What a finished run tells: its curve, and its answers judged."""
    from scanwright.core import Measured
    from scanwright.io import RunFolder
    from scanwright.workflow import open_model

    chosen = json.loads(next((run / "work").glob("train-*/trained.json")).read_text())
    name = chosen["chosen"][0]
    trained = next(row for row in reversed(chosen["race"]) if row["candidate"] == name)
    curve = [
        (round((datetime.fromisoformat(e.time) - began).total_seconds(), 1), round(e.values["val_dice"], 4))
        for e in RunFolder(run).events()
        if isinstance(e, Measured) and e.candidate == name and "val_dice" in e.values
    ]
    model = open_model(run / "model.scanwright")

    def answer(case: Case, like: Any) -> LabelMap:
        return model.predict(like, case=case.id).label_map

    parts = judged_parts(cohort, dict.fromkeys(("val", "test"), answer), seed)
    last = (round(seconds, 1), round(parts["val"].metrics["dice"].value, 4))
    return {
        "who": "Scanwright",
        "counted s": f"{seconds:.0f}",
        "of it training s": f"{chosen['seconds']:.0f}",
        "steps": str(trained["steps"]),
        "parameters, million": f"{trained['parameters'] / 1e6:.2f}",
        "plan": f"{name}, windows {windows(run, name)}",
        **parts,
        "curve": [*curve, last],
    }


def windows(run: Path, name: str) -> str:
    """Batch and size of a candidate's windows."""
    plan = json.loads((run / "plan.json").read_text())
    batch = next(c["batch_size"] for c in plan["candidates"] if c["name"] == name)
    return f"{batch} x {sizes(plan['preprocessing']['size'])}"


def sizes(numbers: Sequence[int]) -> str:
    return "x".join(str(n) for n in numbers)


def nnunet(words: argparse.Namespace, cohort: Cohort, seconds: float) -> list[dict[str, Any]]:
    """Plan, train and answer with nnU-Net: without and with mirror images."""
    home, log = words.out / "nnunet", fresh(words.out / "nnunet.log")
    shutil.rmtree(home, ignore_errors=True)
    folders = {f"nnUNet_{kind}": str((home / kind).resolve()) for kind in ("raw", "preprocessed", "results")}
    counts = {"nnUNet_n_proc_DA": str(words.workers), "nnUNet_def_n_proc": str(os.cpu_count() or 1)}
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")} | folders | counts
    raw_data(cohort, home / "raw" / DATASET)

    def go(*command: str) -> float:
        began = time.monotonic()
        with log.open("a") as stream:
            done = subprocess.run(command, env=environment, stdout=stream, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            raise SystemExit(f"nnU-Net failed, see {log}")
        return time.monotonic() - began

    entry = "from nnunetv2.experiment_planning.plan_and_preprocess_entrypoints import plan_and_preprocess_entry as run; run()"
    python, few = str(words.nnunet.absolute()), ("-npfp", "2", "-np", "2")
    planned = go(python, "-c", entry, "-d", "1", "-c", "3d_fullres", "--verify_dataset_integrity", *few)
    parts = {part: [case.id for case in cohort.of(part)] for part in ("train", "val")}
    (home / "preprocessed" / DATASET / "splits_final.json").write_text(json.dumps([parts]))
    child, answers = str(Path(__file__).with_name("nnunet_on_a_clock.py")), home / "answers"
    answers.mkdir()
    clock = ("--seconds", f"{seconds:.1f}", "--looks", str(words.looks), "--seed", str(words.seed))
    go(python, child, DATASET, str(answers), *clock)
    told = json.loads((answers / "told.json").read_text())
    shared = {
        "counted s": f"{told['seconds']:.0f}",
        "of it training s": f"{told['seconds']:.0f}",
        "not counted s": f"{planned:.0f} (planning, preprocessing)",
        "steps": str(told["steps"]),
        "parameters, million": f"{told['parameters'] / 1e6:.2f}",
        "plan": f"3d_fullres, patches {told['batch_size']} x {sizes(told['patch_size'])}",
    }
    found = []
    for way, who in WAYS.items():

        def from_file(part: str, way: str = way) -> Callable[[Case, Any], LabelMap]:
            from scanwright.journey.segment.planning import truth_of

            place = (answers / f"{part}-{way}").resolve()
            return lambda case, like: truth_of(cohort, replace(case, masks=(str(place / f"{case.id}.nii.gz"),)), like)

        of_parts = {part: from_file(part) for part in ("val", "test")}
        row = {"who": who, **shared, **judged_parts(cohort, of_parts, words.seed)}
        row["answering s"] = f"{told['predict_s'][f'test-{way}']:.0f}"
        found.append(row)
    found[0]["curve"] = told["curve"]
    return found


def raw_data(cohort: Cohort, place: Path) -> None:
    """The cohort as nnU-Net's raw data: links to images and masks, and ``dataset.json``."""
    code = cohort.mask_code
    plain = code is not None and code.kind == "labels" and code.ignore is None
    if code is None or not plain or code.values != tuple((k,) for k in range(1, len(cohort.classes) + 1)):
        raise SystemExit(f"{cohort.name}: nnU-Net's raw data is made from label maps with the values 1, 2, 3 ... only.")
    for folder in ("imagesTr", "labelsTr", "imagesTs"):
        (place / folder).mkdir(parents=True)
    for case in cohort.cases:
        if not case.source.endswith(".nii.gz") or len(case.masks) != 1:
            raise SystemExit(f"{case.id}: nnU-Net's raw data is made from one .nii.gz and one mask a case.")
        image = place / ("imagesTs" if case.part == "test" else "imagesTr") / f"{case.id}_0000.nii.gz"
        image.symlink_to((cohort.root / case.source).resolve())
        if case.part != "test":
            (place / "labelsTr" / f"{case.id}.nii.gz").symlink_to((cohort.root / case.masks[0]).resolve())
    about = {
        "channel_names": {"0": cohort.modality or "image"},
        "labels": {"background": 0} | {name: k for k, name in enumerate(cohort.classes, start=1)},
        "numTraining": len(cohort.of("train")) + len(cohort.of("val")),
        "file_ending": ".nii.gz",
    }
    (place / "dataset.json").write_text(json.dumps(about, indent=1))


def judged_parts(cohort: Cohort, answers: dict[str, Callable[[Case, Any], LabelMap]], seed: int) -> dict[str, Any]:
    """Validation and test judged, and how long the answers to the test part took."""
    told: dict[str, Any] = {}
    for part, answer in answers.items():
        told[part], seconds = judged(cohort, part, answer, seed)
        if part == "test":
            told["answering s"] = f"{seconds:.0f}"
    return told


def judged(cohort: Cohort, part: Any, answer: Callable[[Case, Any], LabelMap], seed: int) -> tuple[Evaluation, float]:
    """Figures of the answers to one part, and the seconds they took; the same code whoever answered."""
    from scanwright.evaluation.masks import case_figures, evaluate_masks
    from scanwright.io import read_volume
    from scanwright.journey.segment.planning import truth_of

    cases, figures, spent = cohort.of(part), [], 0.0
    for case in cases:
        volume = read_volume(case.source, root=cohort.root)
        truth = truth_of(cohort, case, volume).array
        began = time.monotonic()
        said = answer(case, volume).array
        spent += time.monotonic() - began
        figures.append(
            {
                name: case_figures(truth == k, said == k, spacing_mm=volume.grid.spacing)
                for k, name in enumerate(cohort.classes, start=1)
            }
        )
    ids, groups = [c.id for c in cases], [c.group for c in cases]
    found = evaluate_masks(figures, classes=cohort.classes, ids=ids, groups=groups, part=part, seed=seed)
    return found, spent


def table(told: Sequence[dict[str, Any]], seed: int) -> list[dict[str, str]]:
    """One row for each contender, with Scanwright's lead over it in test Dice, case by case."""
    rows = []
    for one in told:
        row = {"seed": str(seed), **{k: v for k, v in one.items() if isinstance(v, str)}}
        row["val Dice"] = words_of(one["val"].metrics["dice"])
        row |= {title: words_of(one["test"].metrics[name]) for name, title in FIGURES.items()}
        row |= {f"test Dice {name}": words_of(v["dice"]) for name, v in one["test"].per_class.items()}
        row["Scanwright's lead"] = words_of(lead(told[0]["test"], one["test"], seed)) if one is not told[0] else "–"
        row["curve, s: val Dice"] = ", ".join(f"{s:.0f}: {d:.3f}" for s, d in one.get("curve", [])) or "–"
        rows.append(row)
    return rows


def lead(ours: Evaluation, theirs: Evaluation, seed: int) -> Interval:
    """Mean difference of a case's Dice (mean over structures), patients drawn with replacement."""
    from scanwright.evaluation.resampling import group_index, percentile_bounds, resample

    other = {row["case"]: row["dice"] for row in theirs.cases}
    pairs = [(row["patient"], row["dice"] - other[row["case"]]) for row in ours.cases]
    group, gaps = group_index([p for p, _ in pairs], len(pairs)), np.array([gap for _, gap in pairs])

    def mean(weights: np.ndarray) -> dict[str, np.ndarray]:
        drawn = weights[:, group]
        return {"lead": drawn @ gaps / drawn.sum(axis=1)}

    point, drawn = resample(mean, int(group.max()) + 1, n_bootstrap=1000, seed=seed)
    low, high = percentile_bounds(drawn["lead"])
    return Interval(float(point["lead"]), float(low), float(high))


def words_of(found: Interval) -> str:
    """A figure with its interval."""
    return f"{found.value:.3f} ({found.low:.3f}–{found.high:.3f})"


def drawn(curves: dict[str, list[tuple[float, float]]]) -> str:
    """The learning curves as one SVG file."""
    from scanwright.report.charts import WIDTH, Axes, Series, draw

    lines = [Series(who, [s for s, _ in c], [d for _, d in c], n, "both") for n, (who, c) in enumerate(curves.items())]
    longest = max(s for c in curves.values() for s, _ in c)
    axes = Axes("Validation Dice against time", "Seconds", "Validation Dice", (0.0, longest * 1.02), (0.0, 1.0))
    names = [
        f'<text class="s{n}" x="{WIDTH - 24}" y="{130 + 15 * n}" text-anchor="end">{who}</text>'
        for n, who in enumerate(curves)
    ]
    svg = str(draw(lines, axes)).replace(
        "<svg ", '<svg xmlns="http://www.w3.org/2000/svg" width="720" height="600" ', 1
    )
    return svg.replace("</svg>", f"<style>{STYLE}</style>{''.join(names)}</svg>")


def fresh(log: Path) -> Path:
    """A log to append to, empty."""
    log.unlink(missing_ok=True)
    return log


if __name__ == "__main__":
    sys.exit(main())

"""Is order read? Cohorts in which the order of the frames is the only signal, one network at a time.

    python benchmarks/quality/sequences.py [--only heart-clip] [--budget 4m] [--seeds 0]

Phantom cohorts are made, planned once, and run once for each way to read frames with a plan that holds that network
alone, so that each gets the whole budget. Those that read in order should reach an AUROC of .95; the mean of the frames
should stay near .5. Nothing is asserted; results go to ``benchmarks/LOG.md``.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from running import ROOT, interval, metrics_of, timed, write

COHORTS = {
    "heart-clip": (["phantom", "heart-clip", "{place}", "--patients", "240", "--seed", "5"], []),
    "chest-followup": (
        ["phantom", "chest-followup", "{place}", "--patients", "240", "--seed", "5"],
        ["--sequence", "visit"],
    ),
}
"""Name to how it is made, and further words of the run."""
HEADS = ("frames-lstm", "frames-gru", "frames-attention", "frames-mil", "frames-mean")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(COHORTS), default=list(COHORTS))
    parser.add_argument("--heads", nargs="*", choices=HEADS, default=list(HEADS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--budget", default="4m")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "sequences")
    words = parser.parse_args()
    for name in words.only:
        for seed in words.seeds:
            rows = [one(name, head, seed, words.budget, words.out) for head in words.heads]
            write(rows, "benchmarks/quality/sequences.py")


def one(name: str, head: str, seed: int, budget: str, work: Path) -> dict[str, str]:
    """One network on one cohort, as a person would type it with a plan of that network alone."""
    make, more = COHORTS[name]
    place, log = work / name, work / f"{name}.log"
    if not (place / "labels.csv").exists():
        timed([word.format(place=place) for word in make], log)
    planned = work / f"{name}-{seed}-plan"
    base = ["--budget", budget, "--seed", str(seed), *more]
    if not (planned / "plan.json").exists():
        timed(["plan", str(place), "--out", str(planned), *base], log)
    plan = json.loads((planned / "plan.json").read_text())
    plan["candidates"] = [alone(plan, head)]
    plan["training"]["ensemble"] = 1
    own = work / f"{name}-{head}-{seed}.json"
    own.write_text(json.dumps(plan))
    out = work / f"{name}-{head}-{seed}"
    shutil.rmtree(out, ignore_errors=True)
    status, cost = timed(["run", str(place), "--out", str(out), "--plan", str(own), *base], log)
    figures = metrics_of(out)["test"] if status == 0 else {}
    row = {
        "cohort": name,
        "network": head,
        "seed": str(seed),
        "steps": str(plan["candidates"][0]["final_steps"]),
        **cost,
    }
    row |= {figure: interval(figures.get(figure)) for figure in ("auroc", "balanced_accuracy")}
    print(row, flush=True)
    return row


def alone(plan: dict, head: str) -> dict:
    """The plan's recurrent network with another head, and the whole budget's steps."""
    like = next(c for c in plan["candidates"] if c["model"].startswith("frames-"))
    steps = int(0.9 * plan["training"]["budget_s"] / like["seconds_per_step"])
    return like | {"name": head, "model": head, "race_steps": [], "final_steps": steps}


if __name__ == "__main__":
    main()

"""Rerun the table of cohorts: one command each, given parts, choices on validation only.

    python benchmarks/quality/cohorts.py [--data ../shared/data] [--only pneumoniamnist] [--seeds 0 1 2]

Every run is a separate process, typed as a person would; its wall-clock time and peak memory
are those of the whole process. Results are appended to ``benchmarks/LOG.md``; nothing is asserted.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from running import ROOT, interval, metrics_of, timed, write

COHORTS = {
    "pneumoniamnist": ("pneumoniamnist/pneumoniamnist.npz", "5m", (0, 1, 2)),
    "adrenalmnist3d": ("adrenalmnist3d/adrenalmnist3d.npz", "5m", (0, 1, 2)),
    "mnist": ("mnist", "5m", (0,)),
    "busi": ("busi", "10m", (0,)),
    "mini_mias_256": ("mini_mias_256/mias.csv", "10m", (0,)),
}
"""Name: place under the data folder, budget, seeds."""

FIGURES = ("auroc", "accuracy", "balanced_accuracy", "f1", "ece")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / ".." / "shared" / "data")
    parser.add_argument("--only", nargs="*", choices=list(COHORTS), default=list(COHORTS))
    parser.add_argument("--seeds", nargs="*", type=int)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "quality")
    words = parser.parse_args()
    rows = []
    for name in words.only:
        place, budget, seeds = COHORTS[name]
        for seed in words.seeds or seeds:
            row = one(name, words.data / place, budget, seed, words.out / f"{name}-{seed}")
            print(row, flush=True)
            rows.append(row)
    write(rows, "benchmarks/quality/cohorts.py")


def one(name: str, source: Path, budget: str, seed: int, out: Path) -> dict[str, str]:
    """Run one cohort as a person would, and read what came out."""
    shutil.rmtree(out, ignore_errors=True)
    log = out.parent / f"{out.name}.log"
    log.unlink(missing_ok=True)
    words = ["run", str(source), "--out", str(out), "--budget", budget, "--seed", str(seed)]
    status, cost = timed(words, log)
    row = {"cohort": name, "seed": str(seed), "budget": budget, **cost}
    if status != 0:
        return {**row, "winner": f"failed, see {out.name}.log"}
    metrics = metrics_of(out)
    linear = metrics["baselines"]["linear"]["test"]
    row |= {figure: interval(metrics["test"].get(figure)) for figure in FIGURES}
    row["linear AUROC / accuracy"] = f"{linear['auroc']['value']:.3f} / {linear['accuracy']['value']:.3f}"
    row["val AUROC"] = f"{metrics['val']['auroc']['value']:.4f}"
    return row


if __name__ == "__main__":
    main()

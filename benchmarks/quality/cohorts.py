"""Rerun the table of cohorts: one command each, given parts, choices on validation only.

    python benchmarks/quality/cohorts.py [--data ../shared/data] [--only pneumoniamnist] [--seeds 0 1 2]

Every run is a separate process, typed as a person would; its wall-clock time and peak memory
are those of the whole process. Results are appended to ``benchmarks/LOG.md``; nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOG = ROOT / "benchmarks" / "LOG.md"

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
    write(rows)


def one(name: str, source: Path, budget: str, seed: int, out: Path) -> dict[str, str]:
    """Run one cohort as a person would, and read what came out."""
    shutil.rmtree(out, ignore_errors=True)
    command = [
        sys.executable,
        "-m",
        "scanwright",
        "run",
        str(source),
        "--out",
        str(out),
        "--budget",
        budget,
        "--seed",
        str(seed),
    ]
    began = time.monotonic()
    with (out.parent / f"{out.name}.log").open("w") if _made(out.parent) else open(os.devnull, "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    peak_mb = usage.ru_maxrss / (1024 if platform.system() == "Linux" else 1 << 20)
    row = {
        "cohort": name,
        "seed": str(seed),
        "budget": budget,
        "seconds": f"{seconds:.0f}",
        "peak MB": f"{peak_mb:.0f}",
    }
    if os.waitstatus_to_exitcode(status) != 0:
        return {**row, "winner": f"failed, see {out.name}.log"}
    metrics = json.loads((out / "metrics.json").read_text())
    linear = metrics["baselines"]["linear"]["test"]
    for figure in FIGURES:
        found = metrics["test"].get(figure)
        row[figure] = (
            f"{found['value']:.3f} ({found['low']:.3f}–{found['high']:.3f})"
            if found and found["value"] is not None
            else "–"
        )
    row["linear AUROC / accuracy"] = f"{linear['auroc']['value']:.3f} / {linear['accuracy']['value']:.3f}"
    row["val AUROC"] = f"{metrics['val']['auroc']['value']:.4f}"
    return row


def _made(folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    return True


def write(rows: list[dict[str, str]]) -> None:
    """Append one dated table to the log."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    names = list(dict.fromkeys(key for row in rows for key in row))
    lines = [
        f"\n## {datetime.now(UTC):%Y-%m-%d %H:%M} · `benchmarks/quality/cohorts.py` · commit {commit}\n",
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{resource.getpagesize() * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB. Test parts were looked at once a run; nothing was chosen by them.\n",
        "| " + " | ".join(names) + " |",
        "|" + "---|" * len(names),
        *("| " + " | ".join(row.get(name, "") for name in names) + " |" for row in rows),
    ]
    if not LOG.exists():
        LOG.write_text("# Log of experiments\n\nDated, failures too. Newest last.\n", encoding="utf-8")
    with LOG.open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

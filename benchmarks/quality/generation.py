"""Are synthetic chest radiographs like real ones? PneumoniaMNIST learnt and judged within a budget.

    python benchmarks/quality/generation.py [--cohort ../shared/data/pneumoniamnist/pneumoniamnist.npz] [--budget 20m] [--seeds 0]

A classifier trained on synthetic images alone should reach an AUROC of .90 on real validation images. The test part is not
touched. Nothing is asserted; results go to ``benchmarks/LOG.md``, and the report with its grid of images stays in the folder.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from running import ROOT, timed, write

COHORT = ROOT.parent / "shared" / "data" / "pneumoniamnist" / "pneumoniamnist.npz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", type=Path, default=COHORT)
    parser.add_argument("--budget", default="20m")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "generation")
    parser.add_argument("--no-log", action="store_true", help="print only")
    words = parser.parse_args()
    rows = [one(words.cohort, seed, words.budget, words.count, words.out) for seed in words.seeds]
    if not words.no_log:
        write(rows, "benchmarks/quality/generation.py")


def one(cohort: Path, seed: int, budget: str, count: int, work: Path) -> dict[str, str]:
    """One learning, as a person would type it."""
    out = work / f"{cohort.stem}-{seed}"
    shutil.rmtree(out, ignore_errors=True)
    typed = ["generate", str(cohort), "--budget", budget, "--count", str(count), "--seed", str(seed), "--out", str(out)]
    status, cost = timed(typed, work / f"{cohort.stem}.log")
    row = {"cohort": cohort.stem, "seed": str(seed), "budget": budget, **cost}
    if status == 0:
        quality = json.loads((out / "quality.json").read_text())
        facts = quality["facts"]
        row |= {"judged": facts["synthetic images judged"], "unseen": facts["unseen real images compared with"]}
        row |= {name: figure(found) for name, found in quality["figures"].items()}
        row["alarm"] = "yes" if quality["alarm"] else "no"
    print(row, flush=True)
    return row


def figure(found: dict[str, Any]) -> str:
    """A figure with its interval and what real images reach."""
    if found.get("value") is None:
        return "–"
    text = f"{found['value']:.3f}"
    if found.get("low") is not None:
        text += f" ({found['low']:.3f}–{found['high']:.3f})"
    elif found.get("reference") is not None:
        text += f" [real {found['reference']:.3f}]"
    return text


if __name__ == "__main__":
    main()

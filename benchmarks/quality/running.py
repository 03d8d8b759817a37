"""Running cohorts as a person would, and writing what came out into the log."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOG = ROOT / "benchmarks" / "LOG.md"


def timed(words: Sequence[str], log: Path) -> tuple[int, dict[str, str]]:
    """Run ``scanwright`` with words as a process of its own.

    Args:
        words: What a person would type after ``scanwright``.
        log: File for its output.

    Returns:
        Exit status, and ``seconds`` and ``peak MB`` of the whole process.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with log.open("a") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "scanwright", *words], stdout=stream, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    peak_mb = usage.ru_maxrss / (1024 if platform.system() == "Linux" else 1 << 20)
    return os.waitstatus_to_exitcode(status), {"seconds": f"{seconds:.0f}", "peak MB": f"{peak_mb:.0f}"}


def interval(found: dict[str, Any] | None) -> str:
    """A figure of ``metrics.json`` with its interval."""
    if not found or found["value"] is None:
        return "–"
    if found["low"] is None:
        return f"{found['value']:.3f}"
    return f"{found['value']:.3f} ({found['low']:.3f}–{found['high']:.3f})"


def metrics_of(run: Path) -> dict[str, Any]:
    """``metrics.json`` of a run."""
    return dict(json.loads((run / "metrics.json").read_text()))


def write(rows: list[dict[str, str]], script: str) -> None:
    """Append one dated table to the log."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    names = list(dict.fromkeys(key for row in rows for key in row))
    lines = [
        f"\n## {datetime.now(UTC):%Y-%m-%d %H:%M} · `{script}` · commit {commit}\n",
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

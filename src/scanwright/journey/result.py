"""A run that has finished, or got as far as it got."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from scanwright.core import Cohort, Emit, Evaluation, Failure, Plan, Prediction, silent

_SHOWN = ("model", "linear", "majority", "floor")
_FIGURES = (
    "auroc",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "mae",
    "rmse",
    "r2",
    "dice",
    "hd95_mm",
    "nsd",
    "ap50",
    "map",
    "cpm",
)


@dataclass(frozen=True)
class Run:
    """Everything in a run folder, read when it is asked for.

    Args:
        path: The run folder.
    """

    path: Path

    @property
    def cohort(self) -> Cohort:
        """The locked cohort."""
        from scanwright.io import read_cohort

        return read_cohort(self.path)

    @property
    def plan(self) -> Plan:
        """The plan that was followed."""
        return Plan.from_json((self.path / "plan.json").read_text(encoding="utf-8"))

    @property
    def metrics(self) -> dict[str, Any]:
        """Content of ``metrics.json``."""
        from scanwright.io import RunFolder

        return dict(RunFolder(self.path).json("metrics.json"))

    @property
    def evaluations(self) -> list[Evaluation]:
        """Evaluations of model and baselines, with their curves."""
        from scanwright.io import RunFolder
        from scanwright.journey.judging import read_evaluations

        return read_evaluations(RunFolder(self.path))

    @property
    def predictions(self) -> list[dict[str, str]]:
        """Rows of ``predictions.csv``."""
        with (self.path / "predictions.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    @property
    def report(self) -> Path:
        """The report, one HTML page."""
        return self.path / "report.html"

    @property
    def model(self) -> Path:
        """The model file."""
        return self.path / "model.scanwright"

    def predict(
        self, images: Sequence[Path | str] | Path | str, *, out: Path | str | None = None, emit: Emit = silent
    ) -> list[Prediction | Failure]:
        """Ask the run's model about images.

        Args:
            images: Files and folders.
            out: Folder for the answers; None writes nothing.
            emit: Receiver of progress.

        Returns:
            A prediction or a failure for each case.
        """
        from scanwright.journey.answering import answer, asked_cases

        paths = [images] if isinstance(images, str | Path) else list(images)
        return answer(self.model, asked_cases([Path(p) for p in paths]), out=Path(out) if out else None, emit=emit)

    def _repr_html_(self) -> str:
        if not (self.path / "metrics.json").exists():
            return f"<p>Run <code>{escape(str(self.path))}</code>, not finished.</p>"
        test = [e for e in self.evaluations if e.part == "test" and e.who in _SHOWN]
        if not test:
            return f"<p>Run <code>{escape(str(self.path))}</code>: no test case has a truth.</p>"
        names = [n for n in _FIGURES if n in test[0].metrics]
        head = "".join(f"<th>{escape(n)}</th>" for n in names)
        body = "".join(
            f"<tr><th>{escape(e.who)}</th>" + "".join(f"<td>{e.metrics.get(n, '–')}</td>" for n in names) + "</tr>"
            for e in test
        )
        if test[0].task in ("segment", "detect") and len(test[0].classes) > 1:
            body += "".join(
                f"<tr><th>{escape(c)}</th>" + "".join(f"<td>{row.get(n, '–')}</td>" for n in names) + "</tr>"
                for c, row in test[0].per_class.items()
            )
        return (
            f"<p><b>Run</b> <code>{escape(str(self.path))}</code>: {test[0].n_cases} test cases</p>"
            f"<table><tr><th></th>{head}</tr>{body}</table>"
            f"<p><a href='{escape(str(self.report))}'>report</a> · <code>{escape(str(self.model))}</code></p>"
        )

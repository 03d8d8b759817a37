"""How events and results look on a terminal."""

from __future__ import annotations

import sys
from time import monotonic
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from scanwright.core import Evaluation, Failure, Prediction, say_duration

_TITLES = {
    "scan": "Looking at the folder",
    "check": "Checking the cohort",
    "plan": "Planning",
    "prepare": "Preparing images",
    "train": "Training",
    "evaluate": "Evaluating",
    "explain": "Explaining",
    "pack": "Packing the model",
    "predict": "Predicting",
    "serve": "Serving (Ctrl-C stops)",
    "fetch": "Fetching",
    "phantom": "Making synthetic patients",
}
_SILENT_LINE_S = 10.0


class Show:
    """Draws events: a bar with time left on a terminal, sparse lines in a log.

    Args:
        quiet: Show warnings only.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self.quiet = quiet
        self.live = self.console.is_terminal and not quiet
        self._bars = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=32),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[left]}"),
            console=self.console,
            transient=True,
        )
        self._tasks: dict[str, Any] = {}
        self._told: dict[str, float] = {}

    def __enter__(self) -> Show:
        if self.live:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self._bars.stop()
        sys.stdout.flush()

    def __call__(self, event: Any) -> None:
        """Receive one event."""
        getattr(self, f"_{event.kind}", lambda _: None)(event)

    def _started(self, event: Any) -> None:
        if not self.quiet:
            resumed = " [dim](going on from where it stopped)[/]" if event.resumed else ""
            self.console.print(f"[bold]{_TITLES.get(event.stage, event.stage)}[/]{resumed}")

    def _said(self, event: Any) -> None:
        if event.level == "warn":
            self.console.print(f"  [yellow]![/] {escape(event.text)}")
        elif not self.quiet:
            self.console.print(f"  {escape(event.text)}")

    def _progress(self, event: Any) -> None:
        if self.quiet:
            return
        left = "" if event.left_s is None else f"{say_duration(event.left_s)} left"
        if self.live:
            if event.step not in self._tasks:
                self._tasks[event.step] = self._bars.add_task(event.step, total=event.total, left=left)
            task = self._tasks[event.step]
            self._bars.update(task, completed=event.done, total=event.total, left=left)
            if event.done >= event.total:
                self._bars.remove_task(self._tasks.pop(event.step))
            return
        now = monotonic()
        first = self._told.setdefault(event.step, now)
        if now - first >= _SILENT_LINE_S:
            self._told[event.step] = now
            self.console.print(f"  {escape(event.step)}: {event.done / max(event.total, 1e-9):.0%}  {left}")

    def _finished(self, event: Any) -> None:
        for task in self._tasks.values():
            self._bars.remove_task(task)
        self._tasks.clear()
        if not self.quiet and event.seconds >= 1:
            self.console.print(f"  [dim]{say_duration(event.seconds)}[/]")

    def _failed(self, event: Any) -> None:
        self._finished(type("End", (), {"seconds": 0})())


_TOLD: dict[str, tuple[str, ...]] = {"regress": ("mae", "rmse", "r2"), "segment": ("dice", "iou", "nsd", "hd95")}
_CAPITALS = ("auroc", "mae", "rmse", "iou", "nsd", "hd95")


def results_table(evaluations: list[Evaluation]) -> Table:
    """The model against the majority floor and the linear baseline, with 95 % intervals.

    Args:
        evaluations: Of one part, one for each of ``model``, ``linear``, ``majority``.

    Returns:
        A table to print.
    """
    names = {"model": "this model", "linear": "linear baseline", "majority": "majority floor"}
    first = evaluations[0]
    usual = ("auroc", "accuracy", "balanced_accuracy", "f1")
    wanted = _TOLD.get(first.task, usual)
    wanted = tuple(n for n in wanted if any(n in e.metrics for e in evaluations)) or wanted[:1]
    table = Table(
        title=f"{first.part} part: {first.n_cases} cases of {first.n_patients} patients (95 % intervals)",
        title_justify="left",
    )
    table.add_column("")
    for name in wanted:
        table.add_column(name.upper() if name in _CAPITALS else name.replace("_", " "), justify="right")
    known = {e.who: e for e in evaluations}
    for who in (name for name in names if name in known):
        table.add_row(names[who], *[_two_lines(known[who], n) for n in wanted], style="bold" if who == "model" else "")
    return table


def _two_lines(evaluation: Evaluation, name: str) -> str:
    found = evaluation.metrics.get(name)
    return f"{found.value:.3f}\n{found.low:.3f}–{found.high:.3f}" if found else "–"


def amount_unit(answer: Prediction) -> str:
    """Unit of a prediction's amounts: mL, mm2 of a picture, or pixels."""
    if answer.grid is None or not answer.grid.spacing_known:
        return "pixels"
    return "mm2" if answer.grid.is_picture else "mL"


def predictions_table(answers: list[Prediction | Failure]) -> Table:
    """One row for each case that was asked about.

    Args:
        answers: Predictions and failures, in the order of the files.

    Returns:
        A table to print.
    """
    table = Table()
    told = "how much" if any(isinstance(a, Prediction) and a.label_map is not None for a in answers) else "how sure"
    for name in ("case", "answer", told, ""):
        table.add_column(name, overflow="fold")
    for answer in answers:
        if isinstance(answer, Failure):
            table.add_row(escape(answer.case), "[red]failed[/]", "", escape(answer.reason))
            continue
        sure = ", ".join(f"{n} {p:.1%}" for n, p in zip(answer.classes, answer.probabilities, strict=False))
        if answer.label_map is not None:
            sure = ", ".join(f"{n} {v:,.4g} {amount_unit(answer)}" for n, v in answer.amounts.items())
        table.add_row(
            escape(answer.case), f"[bold]{escape(answer.label)}[/]", escape(sure), escape(" ".join(answer.warnings))
        )
    return table

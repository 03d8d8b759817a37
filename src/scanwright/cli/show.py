"""How events and results look on a terminal."""

from __future__ import annotations

import math
import sys
from time import monotonic
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from scanwright.core import Evaluation, Failure, Interval, Prediction, say_duration

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
    "generate": "Generating images",
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


_TOLD: dict[str, tuple[str, ...]] = {"regress": ("mae", "rmse", "r2")}
_CAPITALS = ("auroc", "mae", "rmse")


def results_table(evaluations: list[Evaluation]) -> Table:
    """The model against its baselines, with 95 % intervals.

    Args:
        evaluations: Of one part, one for each of ``model``, ``linear``, ``majority``; for
            ``segment`` ``model`` and ``floor``.

    Returns:
        A table to print.
    """
    if not evaluations:
        return Table(title="No case of the test part has a truth: there are no figures.", title_justify="left")
    if evaluations[0].task == "segment":
        return _outlines_table(evaluations)
    if evaluations[0].task == "detect":
        return _boxes_table(evaluations)
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


_OUTLINE_COLUMNS = {
    "dice": "Dice",
    "hd95_mm": "HD95",
    "nsd": "NSD",
    "ap50": "AP at IoU 0.5",
    "lesion_sensitivity": "pieces found",
    "false_positives": "false pieces a case",
}
_MOST_STRUCTURES = 24


def _outlines_table(evaluations: list[Evaluation]) -> Table:
    """The model against the floor, and the Dice of every structure, worst first where they are many."""
    known = {e.who: e for e in evaluations}
    first = known.get("model", evaluations[0])
    table = Table(
        title=f"{first.part} part: {first.n_cases} cases of {first.n_patients} patients (95 % intervals)",
        title_justify="left",
    )
    wanted = [n for n in _OUTLINE_COLUMNS if any(_is_known(e.metrics.get(n)) for e in evaluations)]
    if not first.curves.get("froc") and "ap50" not in wanted:
        wanted = [n for n in wanted if n not in ("lesion_sensitivity", "false_positives")]
    table.add_column("", overflow="fold")
    for name in wanted:
        table.add_column(_OUTLINE_COLUMNS[name], justify="right")
    titles = {"model": "this model", "floor": "floor (mean shape, no image)"}
    for who in (name for name in titles if name in known):
        cells = [_with_ends(known[who].metrics.get(n)) for n in wanted]
        table.add_row(titles[who], *cells, style="bold" if who == "model" else "", end_section=who == list(known)[-1])
    if len(first.classes) > 1:
        rows = [(name, first.per_class.get(name, {})) for name in first.classes]
        if len(rows) > _MOST_STRUCTURES:
            rows.sort(key=lambda pair: pair[1]["dice"].value if _is_known(pair[1].get("dice")) else 2.0)
        for name, figures in rows[:_MOST_STRUCTURES]:
            table.add_row(escape(name), *[_with_ends(figures.get(n)) for n in wanted])
        if len(rows) > _MOST_STRUCTURES:
            table.caption = (
                f"The {_MOST_STRUCTURES} structures of {len(rows)} with the lowest Dice; the report has all."
            )
    return table


_BOX_COLUMNS = {
    "ap50": "AP at IoU 0.5",
    "ap75": "AP at 0.75",
    "map": "AP at 0.5–0.95",
    "cpm": "CPM",
    "sensitivity": "found",
    "precision": "of shown right",
    "false_positives": "false boxes a case",
}


def _boxes_table(evaluations: list[Evaluation]) -> Table:
    """The model against the floor, and the figures of every class."""
    known = {e.who: e for e in evaluations}
    first = known.get("model", evaluations[0])
    table = Table(
        title=f"{first.part} part: {first.n_cases} cases of {first.n_patients} patients (95 % intervals)",
        title_justify="left",
    )
    table.add_column("", overflow="fold")
    for title in _BOX_COLUMNS.values():
        table.add_column(title, justify="right")
    titles = {"model": "this model", "floor": "floor (another case's boxes)"}
    for who in (name for name in titles if name in known):
        cells = [_with_ends(known[who].metrics.get(n)) for n in _BOX_COLUMNS]
        table.add_row(titles[who], *cells, style="bold" if who == "model" else "", end_section=who == list(known)[-1])
    for name in first.classes if len(first.classes) > 1 else ():
        table.add_row(escape(name), *[_with_ends(first.per_class.get(name, {}).get(n)) for n in _BOX_COLUMNS])
    return table


def _is_known(found: Interval | None) -> bool:
    return found is not None and math.isfinite(found.value)


def _with_ends(found: Interval | None) -> str:
    if found is None or not math.isfinite(found.value):
        return "–"
    ends = f"\n{found.low:.3f}–{found.high:.3f}" if math.isfinite(found.low) and math.isfinite(found.high) else ""
    return f"{found.value:.3f}{ends}"


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
        if answer.task == "detect":
            sure = ", ".join(f"{answer.classes[b.label]} {b.score or 0:.2f}" for b in answer.boxes[:4])
            sure += f" and {len(answer.boxes) - 4} more" if len(answer.boxes) > 4 else ""
        table.add_row(
            escape(answer.case), f"[bold]{escape(answer.label)}[/]", escape(sure), escape(" ".join(answer.warnings))
        )
    return table


def quality_table(quality: dict[str, Any]) -> Table:
    """How good synthetic images are.

    Args:
        quality: Content of ``quality.json``.

    Returns:
        Figures beside those of real images.
    """
    table = Table("figure", "synthetic", "real images")
    for name, row in (quality.get("figures") or {}).items():
        value = row.get("value")
        around = "" if row.get("low") is None else f" ({row['low']:.3f}–{row['high']:.3f})"
        reference = row.get("reference") if name != "copies" else None
        known = "–" if value is None else f"{value:.3f}{around}"
        table.add_row(name, known, "–" if reference is None else f"{reference:.3f}")
    return table

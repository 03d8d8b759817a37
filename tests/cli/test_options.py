"""What is typed reaches the workflow, and only what is typed."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from scanwright.cli.app import app
from scanwright.cli.options import KINDS, kinds_of
from scanwright.cli.show import predictions_table, results_table
from scanwright.core import Evaluation, Grid, InputError, Interval, LabelMap, Prediction

STAGES = ("scan", "check", "plan", "prepare", "train", "explain", "pack")


class _Run:
    path = Path("runs/x")
    evaluations: tuple[Any, ...] = ()


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Arguments of each call of the workflow, which is not made: training takes minutes."""
    from scanwright import workflow

    seen: list[dict[str, Any]] = []

    def run(source: Path, **wishes: Any) -> _Run:
        seen.append({"source": source, **wishes})
        return _Run()

    def predict(model: Path, images: list[Path], **wishes: Any) -> list[Any]:
        seen.append({"images": images, **wishes})
        return []

    monkeypatch.setattr(workflow, "run", run)
    monkeypatch.setattr(workflow, "predict", predict)
    return seen


def typed(*words: str) -> Any:
    return CliRunner().invoke(app, list(words), catch_exceptions=False)


@pytest.mark.parametrize("word", ["run", *STAGES])
def test_structures_are_handed_on_when_they_are_given(called: list[dict[str, Any]], word: str) -> None:
    assert typed(word, "folder", "--structures", "1=liver,2=tumour").exit_code == 0
    assert called[0]["structures"] == "1=liver,2=tumour"
    assert typed(word, "folder").exit_code == 0
    assert "structures" not in called[1]


@pytest.mark.parametrize("word", STAGES)
def test_a_stage_stops_where_its_name_says(called: list[dict[str, Any]], word: str) -> None:
    assert typed(word, "folder", "--seed", "3").exit_code == 0
    assert (called[0]["until"], called[0]["seed"], called[0]["source"]) == (word, 3, Path("folder"))
    assert typed(word, "folder", "--until", "scan").exit_code == 2


def test_run_stops_where_it_is_told(called: list[dict[str, Any]]) -> None:
    typed("run", "folder")
    typed("run", "folder", "--until", "train")
    assert [c["until"] for c in called] == ["pack", "train"]


def test_every_stage_takes_the_options_of_run() -> None:
    import typer.main

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    names = {word: {p.name for p in commands[word].params} for word in ("run", *STAGES)}
    for word in STAGES:
        assert names[word] == names["run"] - {"until"}


def test_kinds_of_output_are_handed_on_when_they_are_given(called: list[dict[str, Any]]) -> None:
    assert typed("predict", "m.scanwright", "a.dcm", "--write", "seg, PNG,seg").exit_code == 0
    assert called[0]["write"] == ("seg", "png")
    assert typed("predict", "m.scanwright", "a.dcm").exit_code == 0
    assert "write" not in called[1]


def test_an_unknown_kind_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no kind of output 'rtstrut'\. .*Did you mean rtstruct\?"):
        kinds_of("png,rtstrut")
    with pytest.raises(InputError, match="names no kind"):
        kinds_of(" , ")
    assert kinds_of(",".join(KINDS)) == KINDS
    assert kinds_of(None) is None


def printed(table: Any) -> str:
    console = Console(width=200, record=True, file=StringIO())
    console.print(table)
    return console.export_text()


def test_segmentations_are_told_as_amounts() -> None:
    labels = LabelMap(np.zeros((4, 4, 4), np.uint8), Grid((4, 4, 4)))
    one = Prediction(
        "a", "segment", ("liver",), (), (), "liver", grid=labels.grid, label_map=labels, amounts={"liver": 1512.4}
    )
    text = printed(predictions_table([one]))
    assert "how much" in text
    assert "liver 1,512 mL" in text


def test_figures_of_a_segmentation_are_its_own() -> None:
    good = Interval(0.912, 0.9, 0.93)
    figures = Evaluation("test", "segment", ("liver",), 20, 20, {"dice": good, "hd95_mm": Interval(3.1, 2.0, 4.5)})
    text = printed(results_table([figures]))
    assert "Dice" in text
    assert "HD95" in text
    assert "0.912" in text
    assert "AUROC" not in text

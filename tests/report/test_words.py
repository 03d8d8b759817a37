"""What the page says in words, against hand-made figures."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from scanwright.core import (
    Augmentation,
    Candidate,
    Finding,
    Interval,
    Memory,
    Plan,
    Preprocessing,
    Pretrained,
    Training,
)
from scanwright.evaluation import evaluate
from scanwright.report import model_card
from scanwright.report.charts import Axes, Series, draw, ticks
from scanwright.report.views import learning_figures, race_table
from scanwright.report.words import hundredths, lights, limits, number, of_hundred, verdict


def two_classes(tp: int, fn: int, fp: int, tn: int):
    y = [1] * (tp + fn) + [0] * (fp + tn)
    p = [0.9] * tp + [0.2] * fn + [0.8] * fp + [0.1] * tn
    return evaluate(p, y, task="binary", classes=("normal", "pneumonia"), n_bootstrap=50)


def test_the_verdict_speaks_in_cases_of_a_hundred(make: Any) -> None:
    text = verdict(make(evaluations=[two_classes(tp=90, fn=10, fp=30, tn=70)]))
    assert "On 200 test images," in text
    assert "Of 100 images that it calls “pneumonia”, about 75 are" in text  # 90 of 120
    assert "of 100 that it calls “normal”, about 88 are" in text  # 70 of 80
    assert "where 50 of 100 are “pneumonia”" in text
    assert "It finds 90 of 100" in text


def test_the_verdict_names_the_best_and_the_worst_class(make: Any) -> None:
    y = [0] * 10 + [1] * 10 + [2] * 10
    said = [0] * 10 + [1] * 5 + [0] * 5 + [2] * 8 + [0] * 2
    judged = evaluate(np.eye(3)[said], y, task="multiclass", classes=("benign", "malignant", "normal"), n_bootstrap=50)
    text = verdict(make("multiclass", evaluations=[judged]))
    assert "the right one of 3 classes in 77 of 100" in text
    assert "It finds “benign” best, in 100 of 100" in text
    assert "“malignant” worst, in 50 of 100" in text


def test_nothing_is_said_to_be_certain_that_is_not() -> None:
    assert [hundredths(v) for v in (0.0, 0.00001, 0.5, 0.996, 0.99999, 1.0)] == [
        "0",
        "0.1",
        "50",
        "99.6",
        "99.9",
        "100",
    ]
    assert of_hundred(Interval(0.5, 0.4, 0.6)) == "50 of 100 (40 to 60)"
    assert of_hundred(Interval(math.nan, math.nan, math.nan)) == "an unknown share"
    assert number(-0.0001) == "0.000"
    assert number(-0.5, 1) == "−0.5"
    assert number(math.nan) == "–"


def test_a_stop_turns_the_light_red(make: Any) -> None:
    assert "red" not in {light.colour for light in lights(make())}
    leak = Finding("leak", "stop", "One patient is on two sides.", ("a", "b"))
    assert lights(make(findings=(leak,)))[0] == ("red", "One patient is on two sides.")


def test_a_repaired_leak_is_no_longer_a_reason_to_doubt(make: Any) -> None:
    leak = Finding("leak", "stop", "Two parts share a picture.", ("case-1", "gone"), "leave one out", drop=("gone",))
    contents = make(findings=(leak,))
    assert ("green", "Repaired before training: Two parts share a picture.") in lights(contents)
    assert "red" not in {light.colour for light in lights(contents)}
    assert "Two parts share a picture." not in limits(contents)
    still = replace(leak, drop=("case-1",))
    assert lights(make(findings=(still,)))[0].colour == "red"


def test_calibration_that_makes_things_worse_is_named(make: Any) -> None:
    good = two_classes(90, 10, 10, 90)
    bad = replace(good, metrics={**good.metrics, "ece": Interval(0.3, 0.25, 0.35)})
    fine = replace(good, metrics={**good.metrics, "ece": Interval(0.1, 0.05, 0.15)})
    before = replace(good, who="uncalibrated", metrics={**good.metrics, "ece": Interval(0.1, 0.05, 0.15)})
    assert any("did not carry over" in light.text for light in lights(make(evaluations=[bad, before])))
    assert not any("did not carry over" in light.text for light in lights(make(evaluations=[fine, before])))


def test_the_race_marks_the_candidate_that_was_trained_longest() -> None:
    race = [
        {"candidate": "a", "steps": 10, "score": 0.9, "rung": 1},
        {"candidate": "b", "steps": 500, "score": 0.8, "rung": 2},
    ]
    table = race_table(race)
    assert [row["won"] for row in table["rows"]] == [False, True]
    assert table["heads"] == ["candidate", "steps", "score"]
    classical = [{**row, "steps": 0} for row in race]
    assert [row["won"] for row in race_table(classical)["rows"]] == [True, False]


def test_a_linear_baseline_that_does_as_well_is_named(make: Any) -> None:
    judged = two_classes(80, 20, 20, 80)
    contents = make(evaluations=[judged, replace(judged, who="linear")])
    assert any("linear baseline is as good" in light.text for light in lights(contents))


def test_figures_of_validation_are_called_that(make: Any) -> None:
    texts = [light.text for light in lights(make(part="val"))]
    assert any("took part in making the model" in t for t in texts)


def test_limits_name_what_is_unknown(make: Any) -> None:
    said = " ".join(limits(make()))
    assert "not a medical device" in said
    assert "DX images only" in said
    assert "Age, sex and scanner are not in the data" in said
    assert "1 file could not be used" in said
    assert "60 patients" in said
    assert "Two pictures are equal." in said


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "ordinal", "regress", "segment"])
def test_the_card_has_every_chapter(make: Any, task: str) -> None:
    card = model_card(make(task))
    chapters = [line[3:] for line in card.splitlines() if line.startswith("## ")]
    assert chapters == [
        "Intended use",
        "Data and population",
        "Figures",
        "Subgroups",
        "Limits",
        "Licences",
        "Provenance",
    ]
    assert "CC BY 4.0" in card
    assert "not a medical device" in card
    assert "nan" not in card.lower().split()


def test_the_card_escapes_names_and_keeps_its_tables(make: Any) -> None:
    contents = make(title="a | b <script>", evaluations=())
    assert "a \\| b \\<script\\>" in model_card(contents)


def test_an_unknown_licence_is_said_to_be_unknown(make: Any) -> None:
    contents = make()
    assert "not stated by the source" in model_card(replace(contents, cohort=replace(contents.cohort, facts={})))


def test_weights_of_elsewhere_stand_with_their_licence(make: Any) -> None:
    start = Pretrained(file="resnet18.pth", sha256="f" * 64, naming="timm", model="resnet18", seen=3)
    plan = Plan(
        task="binary",
        classes=("normal", "pneumonia"),
        preprocessing=Preprocessing(dimension=2, size=(28, 28)),
        augmentation=Augmentation(),
        training=Training(budget_s=60),
        candidates=(Candidate(name="resnet18-tuned", model="tuned", final_steps=10),),
        memory=Memory(predicted_mb=1, limit_mb=2),
        pretrained=start,
    )
    contents = make(plan=plan, provenance={"licence of the starting weights": start.licence_words})
    said = " ".join(limits(contents))
    assert "Nobody knows under which licence its starting weights (resnet18.pth) are" in said
    assert "3 test images were seen" in said
    card = model_card(contents)
    assert "licence of the starting weights: licence unknown: ask before you use it in a product" in card
    assert "none from elsewhere" not in card
    known = start.model_copy(update={"licence": "MIT", "seen": 0})
    quiet = " ".join(limits(make(plan=plan.model_copy(update={"pretrained": known}))))
    assert "starting weights" not in quiet


def test_learning_curves_follow_the_candidate_that_was_trained_longest() -> None:
    history = [{"candidate": "small", "step": 10, "loss": 1.0}]
    history += [{"candidate": "big", "step": s, "loss": 1.0 / s, "val_auroc": 0.9, "lr": 0.1} for s in (10, 20, 30)]
    figures = learning_figures(history)
    assert [f.title for f in figures] == ["Loss", "Scores on validation", "Schedule"]
    assert "Loss of big" in figures[0].svg
    assert learning_figures([]) == []


def test_the_race_shows_dashes_for_what_was_not_measured() -> None:
    table = race_table([{"candidate": "a", "val_auroc": 0.5}, {"candidate": "b", "val_auroc": math.nan, "steps": 1200}])
    assert table["heads"] == ["candidate", "validation AUROC", "steps"]
    assert [row["cells"] for row in table["rows"]] == [["a", "0.500", "–"], ["b", "–", "1,200"]]


def test_a_chart_puts_values_where_its_ticks_say() -> None:
    svg = str(draw([Series("s", [0, 1], [0, 1])], Axes("t", "x", "y", (0, 1), (0, 1))))
    start, end = [tuple(map(float, pair.split())) for pair in svg.split('d="M')[1].split('"')[0].split("L")]
    assert start[0] < end[0]
    assert start[1] > end[1]  # up is up
    assert draw([Series("s", [0.0], [math.nan])], Axes("t", "x", "y")) == ""
    assert "&lt;b&gt;" in draw([Series("<b>", [0, 1], [0, 1])], Axes("<b>", "x", "y"))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.93, 0.97), (-3, 1500), (0, 2e-4), (1e6, 3e6)])
def test_ticks_are_few_round_and_inside(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 3 <= len(found) <= 8
    assert all(low - 1e-9 <= t <= high + 1e-9 for t in found)
    assert np.allclose(np.diff(found), found[1] - found[0])

"""Many cases: means, intervals, worst first, curves and warnings."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from scanwright.core.errors import CohortError, InputError
from scanwright.evaluation import metrics_json
from scanwright.evaluation.masks import (
    FIGURES,
    WHOLE_FIGURES,
    Froc,
    Reliability,
    case_figures,
    evaluate_masks,
    instance_figures,
    mask_rows,
)

NAN = math.nan


def row(dice: float, truth: float = 1.0, answer: float = 1.0, **more: float) -> dict[str, float]:
    return {
        "dice": dice,
        "volume_truth_ml": truth,
        "volume_answer_ml": answer,
        "volume_error_ml": answer - truth,
        **more,
    }


def three() -> list[dict[str, dict[str, float]]]:
    return [
        {"liver": row(0.9, 10, 11, hd95_mm=2.0), "cyst": row(NAN, 0, 0, hd95_mm=NAN)},
        {"liver": row(0.5, 12, 9, hd95_mm=6.0), "cyst": row(0.2, 4, 2, hd95_mm=3.0)},
        {"liver": row(0.7, 8, 8, hd95_mm=4.0), "cyst": row(0.6, 2, 2, hd95_mm=5.0)},
    ]


def judge(figures: list, **more):
    classes = more.pop("classes", ("liver", "cyst"))
    ids = more.pop("ids", [f"case-{n}" for n in range(len(figures))])
    return evaluate_masks(figures, classes=classes, ids=ids, n_bootstrap=more.pop("n_bootstrap", 0), **more)


def test_means_over_cases_then_over_structures() -> None:
    judged = judge(three())
    assert judged.per_class["liver"]["dice"].value == pytest.approx(0.7)
    assert judged.per_class["cyst"]["dice"].value == pytest.approx(0.4)  # the empty case is left out
    assert judged.metrics["dice"].value == pytest.approx(0.55)
    assert judged.metrics["hd95_mm"].value == pytest.approx(4.0)
    assert judged.per_class["liver"]["volume_error_ml"].value == pytest.approx(4 / 3)
    assert judged.per_class["liver"]["volume_bias_ml"].value == pytest.approx(-2 / 3)
    assert (judged.task, judged.n_cases, judged.n_patients, judged.confusion) == ("segment", 3, 3, ())
    assert math.isnan(judged.metrics["dice"].low)  # no resamples were asked for


def test_the_interval_is_that_of_patients_drawn_with_replacement() -> None:
    rng = np.random.default_rng(5)
    patient = np.array([0, 0, 0, 1, 2, 2, 3, 4, 4, 5])
    dice = rng.random((10, 2))
    dice[[1, 5], 1] = NAN  # these patients have other cases: no draw is without a figure
    figures = [{"liver": row(a), "cyst": row(b)} for a, b in dice]
    judged = judge(figures, groups=[f"p{p}" for p in patient], n_bootstrap=300, seed=7)
    draws, means, livers = np.random.default_rng(7), [], []
    for _ in range(300):
        cases = np.concatenate([np.flatnonzero(patient == p) for p in draws.integers(0, 6, 6)])
        each = [np.nanmean(dice[cases, k]) for k in range(2)]
        means.append(np.mean(each))
        livers.append(each[0])
    found = judged.metrics["dice"]
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(means, (2.5, 97.5))))
    found = judged.per_class["liver"]["dice"]
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(livers, (2.5, 97.5))))
    assert judged.n_patients == 6


def test_cases_stand_worst_first_and_make_rows_of_a_table() -> None:
    figures = [*three(), {"liver": row(NAN, 0, 0), "cyst": row(NAN, 0, 0)}]
    judged = judge(figures, groups=["a", "b", "b", "c"], part="external")
    assert [one["case"] for one in judged.cases] == ["case-1", "case-2", "case-0", "case-3"]
    assert judged.cases[0]["dice"] == pytest.approx(0.35)
    assert judged.cases[3]["dice"] is None
    first, *_, last = mask_rows(judged)
    assert (first["case"], first["patient"], first["part"], first["dice"]) == ("case-1", "b", "external", 0.35)
    assert (first["dice:liver"], first["hd95_mm:cyst"], first["volume_error_ml:liver"]) == (0.5, 3.0, -3)
    assert (last["dice"], last["dice:liver"], last["volume_truth_ml:liver"]) == ("", "", 0)


def test_bland_altman_by_hand() -> None:
    found = judge(three()).curves["bland_altman"]["liver"]
    assert found["mean"] == [10.5, 10.5, 8.0]
    assert found["difference"] == [1.0, -3.0, 0.0]
    spread = math.sqrt(((5 / 3) ** 2 + (7 / 3) ** 2 + (2 / 3) ** 2) / 2)
    assert found["bias"] == pytest.approx([-2 / 3], abs=1e-6)
    assert found["low"] == pytest.approx([-2 / 3 - 1.96 * spread], abs=1e-6)
    assert found["high"] == pytest.approx([-2 / 3 + 1.96 * spread], abs=1e-6)


def test_the_case_below_the_whisker_is_named() -> None:
    dice = [0.90, 0.91, 0.92, 0.93, 0.94, 0.95, 0.50]
    said = " ".join(judge([{"liver": row(d)} for d in dice], classes=("liver",)).warnings)
    # quartiles .905 and .935: whisker at .86
    assert "Far below the rest in Dice of “liver” (under 0.860): case-6 (0.500)." in said
    calm = judge([{"liver": row(d)} for d in dice[:-1]], classes=("liver",)).warnings
    assert not any("Far below" in text for text in calm)


def test_structures_missed_invented_and_never_found_are_said() -> None:
    cube, none = np.zeros((6, 6, 6), bool), np.zeros((6, 6, 6), bool)
    cube[1:3, 1:3, 1:3] = True
    far = np.roll(cube, 3, axis=0)
    pairs = {"liver": [(cube, cube), (cube, none), (none, cube), (none, none)], "cyst": [(cube, far), (cube, none)] * 2}
    figures = [{c: case_figures(*pairs[c][n], spacing_mm=(1, 1, 1)) for c in pairs} for n in range(4)]
    judged = judge(
        [{**f, "duct": case_figures(none, none, spacing_mm=None)} for f in figures], classes=("liver", "cyst", "duct")
    )
    said = "\n".join(judged.warnings)
    assert "Nothing was answered in 1 of 2 cases with “liver” (left out of its distances): case-1." in said
    assert "“liver” was answered in 1 case without it (left out of its distances): case-2." in said
    assert "2 of 4 cases have no “liver”: Dice is 0 where something was answered there" in said
    assert "“cyst” was never found: 4 cases have it, and no answer overlaps it." in said
    assert "No volume of this part has “duct”: how well it is found cannot be judged here." in said
    assert "Only 4 patients" in said
    assert (judged.per_class["liver"]["n_missed"].value, judged.per_class["liver"]["n_invented"].value) == (1, 1)
    assert judged.metrics["n_missed"].value == 3
    assert judged.per_class["liver"]["dice"].value == pytest.approx(1 / 3)
    assert judged.per_class["liver"]["hd95_mm"].value == 0.0  # of the one case that has both
    assert set(judged.metrics) == {name for name in FIGURES if name != "brier"}


def test_a_wide_interval_is_said() -> None:
    figures = [{"liver": row(d)} for d in (0.2, 0.9) * 20]
    said = judge(figures, classes=("liver",), n_bootstrap=200).warnings
    assert any(text.startswith("The interval is wider than 0.1: Dice of “liver” 0.550 (") for text in said)
    assert not any("Only" in text for text in said)


def test_objects_curves_and_calibration_join_in() -> None:
    truth = np.zeros((6, 6, 1), bool)
    truth[1:3, 1:3] = True
    chances = np.where(truth, 0.9, 0.0).astype(np.float32)
    froc, reliability = Froc(), Reliability()
    for _ in range(3):
        froc.add(truth, chances)
        reliability.add(chances, truth)
    objects = [instance_figures(truth.astype(int), a) for a in (truth.astype(int), truth * 0, truth.astype(int))]
    figures = [{"nucleus": case_figures(truth, truth, spacing_mm=None), "instances": o} for o in objects]
    judged = judge(
        figures,
        classes=("nucleus",),
        froc=froc,
        reliability=reliability,
        pictures=True,
        n_bootstrap=200,
        groups=list("abc"),
    )
    assert judged.metrics["instance_ap"].value == pytest.approx(2 / 3)
    assert (judged.metrics["instance_ap"].low, judged.metrics["instance_ap"].high) == (0.0, 1.0)
    assert (judged.metrics["cpm"].value, judged.metrics["cpm"].low) == (1.0, 1.0)
    assert judged.metrics["ece"].value == pytest.approx(0.1)
    assert judged.curves["froc"]["(any structure)"]["at"] == [1.0] * 7
    assert judged.curves["reliability"]["(any structure)"] == {"x": [0.9], "y": [1.0], "n": [12.0]}
    assert set(judged.metrics) <= {*FIGURES, *WHOLE_FIGURES}
    by_name = judge(figures, classes=("nucleus",), froc={"nucleus": froc})
    assert by_name.per_class["nucleus"]["cpm"].value == 1.0


def test_metrics_json_is_strict_json_with_the_names_of_segmentation() -> None:
    judged = judge(three(), n_bootstrap=50)
    floor = judge(three(), who="majority")
    found = json.loads(json.dumps(metrics_json([judged, floor]), allow_nan=False))
    assert found["test"]["dice"]["value"] == pytest.approx(0.55)
    assert found["test"]["per_class"]["cyst"]["hd95_mm"]["value"] == 4.0
    assert (found["test"]["task"], found["test"]["classes"], found["test"]["n_cases"]) == (
        "segment",
        ["liver", "cyst"],
        3,
    )
    assert found["baselines"]["majority"]["test"]["dice"] == {
        "value": found["test"]["dice"]["value"],
        "low": None,
        "high": None,
    }
    json.dumps([judged.cases, judged.curves], allow_nan=False)


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"ids": ["a"]}, "belong together"),
        ({"groups": ["a"]}, "belong together"),
        ({"classes": ("liver",)}, "cyst are unknown"),
        ({"froc": Froc()}, "every case once"),
    ],
)
def test_what_does_not_fit_is_refused(more: dict, match: str) -> None:
    with pytest.raises(InputError, match=match):
        judge(three(), **more)


def test_no_case_is_refused() -> None:
    with pytest.raises(CohortError, match="no case to judge"):
        judge([])

"""The page and the card of a segmentation: drawings the right way up, honest words, odd contents."""

from __future__ import annotations

import base64
import io
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scanwright.core import Evaluation, Interval, MaskCode
from scanwright.report import model_card
from scanwright.report.page import render
from scanwright.report.words import lights, limits, verdict

NAN = Interval(math.nan, math.nan, math.nan)


class Page(HTMLParser):
    """Images by their words, all text, and the names of charts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: dict[str, np.ndarray] = {}
        self.charts: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = dict(attrs)
        if tag == "img":
            data = base64.b64decode(str(facts["src"]).split(",")[1])
            self.images[str(facts["alt"])] = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        if tag == "svg" and facts.get("aria-label"):
            self.charts.append(str(facts["aria-label"]))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_overlays_lie_on_the_picture_the_right_way_round(outlined: Any, f_plane: Any) -> None:
    plane = f_plane()
    plane["answer"] = plane["truth"]
    row = {"case": "f", "rank": "median", "dice": 1.0, "planes": [plane], "sentence": ""}
    page = Page(render(outlined(segments=[row])))
    plain = next(v for k, v in page.images.items() if k.endswith(": the image")).astype(int)
    drawn = next(v for k, v in page.images.items() if "answer and truth" in k).astype(int)
    assert plain.shape == drawn.shape
    bright = plain.mean(axis=2) > 130
    coloured = drawn[..., 2] - drawn[..., 0] > 25  # the first structure is sky blue; the picture is grey
    both = (bright & coloured).sum() / coloured.sum()
    assert both > 0.95
    for wrong in (coloured[::-1], coloured[:, ::-1], coloured.T):
        assert (bright & wrong).sum() / wrong.sum() < 0.8
    rows = np.flatnonzero(bright.any(axis=1))
    top, bottom = bright[: rows[0] + 60], bright[rows[-1] - 60 :]
    assert top.sum() > 2 * bottom.sum()  # an F is heavier at its top


def test_planes_have_the_proportions_of_the_body(outlined: Any, f_plane: Any) -> None:
    planes = [f_plane("axial"), f_plane("coronal", aspect=10.0), f_plane("sagittal", aspect=0.1)]
    page = Page(
        render(outlined(segments=[{"case": "f", "rank": "best", "dice": 0.9, "planes": planes, "sentence": ""}]))
    )
    shapes = {
        re.search(r", (\w+): the image", k)[1]: v.shape for k, v in page.images.items() if k.endswith(": the image")
    }  # type: ignore[index]
    assert shapes["axial"][0] == shapes["axial"][1]
    assert shapes["coronal"][0] == pytest.approx(10 * shapes["coronal"][1], rel=0.03)
    assert shapes["sagittal"][1] == pytest.approx(10 * shapes["sagittal"][0], rel=0.03)


def test_the_first_paragraph_says_how_near_the_outlines_are(outlined: Any) -> None:
    text = verdict(outlined(dices=[0.88] * 12))
    assert (
        "On 12 test volumes, what the model draws overlaps the truth with a Dice of 0.880 (95 % interval 0.860–0.900)"
        in text
    )
    assert "within 1.31 mm (95 % interval 1.20–1.45) of each other" in text
    assert "off by 0.12 mL on average, and 0.060 mL too large" in text
    assert "the floor, which looks at no image, reaches a Dice of 0.410, this model 0.880" in text


def test_pictures_are_measured_in_pixels_unless_another_unit_is_named(outlined: Any) -> None:
    flat = outlined(("vessel",), dimension=2)
    assert "within 1.31 pixels" in verdict(flat)
    assert "The measured area is off by 0.12 pixels" in verdict(flat)
    assert "area is off by 0.12 mm²" in verdict(replace(flat, units={"mm": "mm", "mL": "mm²"}))
    assert "Area error, pixels" in Page(render(flat)).text


def test_a_model_no_better_than_the_floor_is_red(outlined: Any) -> None:
    assert "red" not in {light.colour for light in lights(outlined())}
    worse = outlined(dices=[0.42] * 12)  # its interval begins at 0.40, the floor reaches 0.41
    assert lights(worse)[0].colour == "red"
    assert "no better than the floor" in lights(worse)[0].text


@pytest.mark.parametrize(("n_train", "n_test", "said"), [(19, 10, [True, False]), (20, 9, [False, True]), (20, 10, [False, False])])  # fmt: skip
def test_it_says_how_little_few_patients_are(outlined: Any, n_train: int, n_test: int, said: list[bool]) -> None:
    contents = outlined(n_train=n_train, dices=[0.9] * n_test)
    for texts in ([light.text for light in lights(contents)], limits(contents)):
        found = [any(t.startswith(f"{word} {n} patients only") for t in texts) for word, n in (("Learnt from", n_train), ("Judged on", n_test))]  # fmt: skip
        assert found == said


def test_cases_below_the_whisker_are_named(outlined: Any) -> None:
    text = Page(render(outlined(("organ",), dices=[0.30, *np.linspace(0.85, 0.95, 11)]))).text
    assert "Below the whisker: case-0 (0.300)" in text
    assert "1 of 12 cases has a Dice below 0.5: case-0." in text
    assert "Below the whisker" not in Page(render(outlined(("organ",), dices=np.linspace(0.85, 0.95, 11)))).text


def test_every_chart_is_there_and_only_where_there_is_something_to_draw(outlined: Any) -> None:
    charts = " | ".join(Page(render(outlined())).charts)
    for name in (
        "Bland–Altman of anterior",
        "Bland–Altman of posterior",
        "Reliability of the probability map",
        "Loss of unet",
        "Learning rate",
    ):
        assert name in charts
    assert "FROC" not in charts
    contents = outlined(("nodule",))
    own = contents.evaluations[0]
    curves = {"froc": {"any structure": {"x": [0.0, 1.0, 4.0], "y": [0.2, 0.7, 0.9]}}}
    more = {**own.metrics, "lesion_sensitivity": Interval(0.7, 0.6, 0.8), "false_positives": Interval(1.2, 0.8, 1.7)}
    page = Page(render(replace(contents, evaluations=[replace(own, curves=curves, metrics=more)])))
    assert "FROC curve" in page.charts
    assert "It finds 70 of 100 (60 to 80) separate pieces, with 1.20 false ones a case." in page.text


def test_limits_of_agreement_stand_in_words_and_in_the_chart(outlined: Any) -> None:
    text = render(outlined(("organ",)))
    assert "mean difference +0.10 mL" in Page(text).text
    assert "95 of 100 cases: −0.096 to +0.30 mL" in Page(text).text
    chart = text[text.index('aria-label="Bland–Altman of organ"') :].split("</svg>")[0]
    heights = [float(h) for h in re.findall(r'class="line s1[^"]*" d="M[\d.]+ ([\d.]+)L', chart)]
    bias, low, high = heights
    assert low > bias > high  # up is more
    assert bias - high == pytest.approx(low - bias, abs=0.3)  # symmetric, as they are in the figures


def test_a_cohort_without_a_test_part_is_told_plainly(outlined: Any) -> None:
    page = Page(render(outlined(evaluations=(), segments=())))
    assert "There are no cases with a true outline, so there are no figures." in page.text
    assert "no labelled cases" in page.text
    assert page.charts[0].startswith("Loss")


def test_one_case_and_figures_that_are_not_numbers(outlined: Any) -> None:
    contents = outlined(dices=[0.9])
    own = contents.evaluations[0]
    lost = replace(
        own,
        metrics={**own.metrics, "hd95_mm": NAN, "dice": Interval(0.9, math.nan, math.nan)},
        per_class={"anterior": own.per_class["anterior"], "posterior": dict.fromkeys(own.metrics, NAN)},
        cases=({"case": "case-0", "patient": "p0", "dice": 0.9, "dice:anterior": 0.9, "dice:posterior": math.nan},),
    )
    page = Page(render(replace(contents, evaluations=[lost])))
    assert "nan" not in page.text.lower().split()
    assert "On 1 test volume, what the model draws" in page.text
    assert "“posterior” could not be judged" in page.text
    assert "Judged on 1 patient only" in page.text
    nothing = replace(own, metrics=dict.fromkeys(own.metrics, NAN), per_class={}, cases=(), curves={})
    assert lights(replace(contents, evaluations=[nothing]))[0].colour == "red"
    assert "nan" not in Page(render(replace(contents, evaluations=[nothing]))).text.lower().split()


def test_twenty_structures_have_numbers_and_their_own_colours(outlined: Any, f_plane: Any) -> None:
    names = tuple(f"a structure with a long name and a number {k}" for k in range(1, 21))
    row = {"case": "c", "rank": "worst", "dice": 0.8, "planes": [f_plane(structure=17)], "sentence": ""}
    text = render(outlined(names, segments=[row]))
    assert len(set(re.findall(r'class="swatch" style="background:(#\w+)"', text))) == 20
    assert f"<b>17</b> {names[16]}" in text
    assert "the 6 of 20 structures with the widest limits" in Page(text).text


def test_colour_pictures_and_instances_are_drawn(outlined: Any) -> None:
    truth = np.zeros((60, 90), dtype=np.int64)
    truth[10:40, 10:40], truth[10:40, 40:70] = 255, 300  # two touching objects, numbers beyond a byte
    plane = {
        "name": "picture",
        "picture": np.full((60, 90, 3), (90, 70, 60), np.uint8),
        "truth": truth,
        "answer": truth,
        "aspect": 1.0,
    }
    row = {"case": "c", "rank": "best", "dice": 1.0, "planes": [plane], "sentence": ""}
    code = MaskCode(((1,),), kind="instances")
    own = Evaluation(
        "test", "segment", ("nucleus",), 9, 9, {"dice": Interval(0.9, 0.8, 0.95), "ap50": Interval(0.71, 0.6, 0.8)}
    )
    page = Page(render(outlined(("nucleus",), dimension=2, segments=[row], mask_code=code, evaluations=[own])))
    assert "it outlines 71 of 100 (60 to 80) at least half right" in page.text
    drawn = next(v for k, v in page.images.items() if "answer and truth" in k).astype(int)
    wide = drawn.shape[1]
    blue = (drawn[..., 2] - drawn[..., 0] > 20).mean(axis=0)
    white = (drawn.min(axis=2) > 180)[:, round(wide * 40 / 90) - 8 : round(wide * 40 / 90) + 8].mean()
    assert blue[round(wide * 25 / 90)] > 0.3  # inside an object
    assert blue[round(wide * 80 / 90)] < 0.05  # outside
    assert white > 0.02  # the border between the two is drawn


def test_hostile_names_stay_text(outlined: Any, f_plane: Any) -> None:
    evil = "<img src=x onerror=alert(1)>"
    row = {"case": evil, "rank": "worst", "dice": 0.5, "planes": [f_plane(evil)], "sentence": evil}
    text = render(outlined((evil, "b"), segments=[row], dices=[0.1, *[0.9] * 10]))
    assert "<img src=x" not in text
    assert "onerror=alert" in Page(text).text
    assert not re.search(r"(?<!\\)<img", model_card(outlined((evil, "b"))))


def test_the_card_names_structures_with_values_and_codes(outlined: Any) -> None:
    code = MaskCode(((1, 3), (3,)))
    card = model_card(outlined(mask_code=code, codes={"anterior": "SCT 33060004"}))
    assert "| 1 | anterior | 1, 3 | SCT 33060004 |" in card
    assert "| 2 | posterior | 3 | none |" in card
    assert "Structures may overlap" in card
    assert "answers: the outlines of anterior, posterior" in card
    assert "| HD95, mm | 1.31 mm" in card or "| HD95, mm | 1.31 (95 % interval 1.20–1.45)" in card
    assert "| Dice | 0.880 (95 % interval 0.860–0.900) | 0.410" in card


def test_many_large_planes_stay_under_three_megabytes(outlined: Any) -> None:
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 255, (700, 900, 3), dtype=np.uint8)
    labels = np.pad(np.ones((500, 700), dtype=np.int64), 100)
    plane = {"name": "picture", "picture": noise, "truth": labels, "answer": labels, "aspect": 1.0}
    rows = [
        {"case": f"c{i}", "rank": r, "dice": 0.5, "planes": [plane] * 3, "sentence": ""}
        for i in range(2)
        for r in ("best", "median", "worst")
    ]
    assert 300_000 < len(render(outlined(segments=rows, samples=[("a", noise)] * 24))) < 3_300_000


def test_a_segment_page_asks_for_nothing_from_outside(outlined: Any, tmp_path: Path) -> None:
    text = render(outlined())
    assert not re.search(r"<script|<link|url\(|@import", text)
    assert all(v.startswith("data:image/") for v in re.findall(r'src="([^"]*)"', text))


def test_the_terminal_shows_the_model_the_floor_and_every_structure(outlined: Any) -> None:
    from rich.console import Console

    from scanwright.cli.show import results_table

    console = Console(width=120, record=True, file=io.StringIO())
    console.print(results_table(list(outlined(dices=[0.88] * 12).evaluations)))
    lines = console.export_text().splitlines()
    start = {name: next(i for i, line in enumerate(lines) if name in line) for name in ("this model", "floor", "anterior", "posterior")}  # fmt: skip
    assert list(start.values()) == sorted(start.values())
    assert re.findall(r"\d\.\d{3}", lines[start["this model"]]) == ["0.880", "1.310", "0.970"]
    assert "0.860–0.900" in lines[start["this model"] + 1]
    assert "0.410" in lines[start["floor"]]
    assert results_table([]).title == "No case of the test part has a truth: there are no figures."

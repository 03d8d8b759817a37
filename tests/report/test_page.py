"""The page as a file: whole, self-contained, safe, and right for every task."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scanwright.core import TASKS, ResourceError
from scanwright.report import write_report
from scanwright.report.page import render

SECTIONS = ["verdict", "data", "training", "quality", "attention", "errors", "limits", "provenance"]
BOXES = ["verdict", "drawings", "quality", "data", "training", "limits", "provenance"]
OUTLINES = ["verdict", "drawings", "quality", "cases", "data", "training", "limits", "provenance"]
VOID = {"meta", "img", "br", "link", "hr", "input", "line", "rect"}


class Page(HTMLParser):
    """Every tag with its attributes, and whether they close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> out of order at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.mark.parametrize("task", TASKS)
def test_every_task_gives_a_whole_page(make: Any, task: str) -> None:
    page = Page(render(make(task)))
    assert page.open == []
    assert [a["id"] for a in page.all("section")] == {"segment": OUTLINES, "detect": BOXES}.get(task, SECTIONS)
    assert "nan" not in page.text.lower().split()
    assert [tag for tag, _ in page.tags if tag == "h1"] == ["h1"]


def test_the_page_asks_for_nothing_from_outside(make: Any) -> None:
    page = Page(render(make()))
    assert not page.all("script")
    assert not page.all("link")
    for tag, attrs in page.tags:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            value = attrs.get(name)
            assert value is None or value.startswith(("data:image/", "#")), (tag, name, value)
    assert not re.search(r"url\(|@import", render(make()))
    policy = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_names_cannot_become_markup(make: Any) -> None:
    evil = "<script>alert(1)</script>"
    row = {
        "case": evil,
        "truth": evil,
        "predicted": '"><img src=x onerror=1>',
        "probability": 0.9,
        "picture": np.zeros((9, 9), np.uint8),
        "overlay": None,
        "correct": False,
    }
    contents = make(title=evil, explained=[row], samples=[(evil, np.zeros((9, 9), np.uint8))], notes=[f"`{evil}`"], provenance={evil: evil}, command=evil, race=[{evil: evil}])  # fmt: skip
    page = Page(render(contents))
    assert not page.all("script")
    assert not [a for a in page.all("img") if "onerror" in a]
    assert page.text.count(evil) >= 7
    assert evil in page.text[page.text.index("What happened") :]


def test_every_picture_has_words(make: Any) -> None:
    page = Page(render(make()))
    assert page.all("img")
    assert all(a.get("alt") for a in page.all("img"))
    charts = page.all("svg")
    assert len(charts) == 6  # loss, score, schedule, ROC, precision-recall, reliability
    assert all(a.get("role") == "img" and a.get("aria-label") for a in charts)


def test_pictures_survive_to_the_pixel_when_small(make: Any) -> None:
    from PIL import Image

    picture = np.random.default_rng(1).integers(0, 255, (28, 28), dtype=np.uint8)
    page = Page(render(make(samples=[("a", picture)])))
    first = next(a["src"] for a in page.all("img"))
    assert first is not None
    assert first.startswith("data:image/png;base64,")
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(first.split(",")[1]))))
    assert np.array_equal(decoded, picture)


def test_many_large_pictures_stay_under_three_megabytes(make: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    noise = [rng.integers(0, 255, (700, 900, 3), dtype=np.uint8) for _ in range(3)]
    rows = [
        {
            "case": f"c{i}",
            "truth": "a",
            "predicted": "b",
            "probability": 0.5,
            "picture": noise[i % 3],
            "overlay": noise[i % 3],
            "correct": False,
        }
        for i in range(24)
    ]
    write_report(tmp_path / "report.html", make(explained=rows, samples=[("a", noise[0])] * 30))
    assert 500_000 < (tmp_path / "report.html").stat().st_size < 3_300_000


def test_unfaithful_heat_maps_are_hidden_and_it_says_why(make: Any) -> None:
    failed = {"method": "cam", "score": 0.1, "random": 0.1, "passed": False, "sentence": "The heat maps failed."}
    page = Page(render(make(examination=failed)))
    assert not [a for a in page.all("img") if str(a["alt"]).startswith("Heat map")]
    assert "The heat maps are not shown" in page.text
    assert [a for a in page.all("img") if str(a["alt"]).startswith("Wrongly answered")]


def test_an_external_cohort_has_no_training_section(make: Any) -> None:
    page = Page(render(make(part="external", history=(), race=(), examination=None)))
    assert [a["id"] for a in page.all("section")] == [s for s in SECTIONS if s != "training"]
    assert "On 120 external images of 60 patients" in page.text
    assert "#training" not in {a.get("href") for a in page.all("a")}


def test_bare_contents_still_make_a_page(make: Any) -> None:
    bare = make(
        evaluations=(),
        findings=(),
        history=(),
        race=(),
        samples=(),
        explained=(),
        examination=None,
        provenance={},
        command="",
    )
    page = Page(render(bare))
    assert "no labelled cases" in page.text
    assert page.open == []


def test_the_figures_of_the_model_and_both_baselines_stand_in_the_page(make: Any) -> None:
    contents = make()
    text = Page(render(contents)).text
    for judged in contents.evaluations:
        assert f"{judged.metrics['auroc'].value:.3f}" in text
    assert "Linear baseline" in text
    assert "Majority floor" in text


def test_a_report_replaces_an_older_one_whole(make: Any, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    write_report(target, make())
    assert target.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_folder_that_is_missing_is_named(make: Any, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"'report\.html' cannot be written"):
        write_report(tmp_path / "missing" / "report.html", make())


def test_the_examination_of_the_explain_room_is_told(make: Any) -> None:
    exam = {
        "method": "cam", "passed": True, "sentence": "Faithful on 64 cases.",
        "score": {"value": 0.31, "low": 0.25, "high": 0.37},
        "controls": {"edges": {"value": 0.2, "low": 0.1, "high": 0.3}},
        "classes": {"pneumonia": {"passed": False, "sentence": "Not for pneumonia."}},
        "curves": {"fractions": [0, 0.5, 1], "deletion": [1, 0.2, 0], "deletion_chance": [1, 0.5, 0], "insertion": [0, 0.9, 1], "insertion_chance": [0, 0.5, 1]},
    }  # fmt: skip
    page = Page(render(make(examination=exam)))
    assert "Faithfulness 0.310 (95 % interval 0.250–0.370); 0 is chance." in page.text
    assert "edges 0.200" in page.text
    assert "Examination of the heat maps" in {a["aria-label"] for a in page.all("svg")}
    # every explained case was answered "pneumonia", whose own maps failed
    assert not [a for a in page.all("img") if str(a["alt"]).startswith("Heat map")]


def test_heat_maps_that_could_not_be_examined_are_shown_with_a_caution(make: Any) -> None:
    exam = {"method": "cam", "passed": None, "score": {"value": None, "low": None, "high": None}, "sentence": ""}
    page = Page(render(make(examination=exam)))
    assert "Too few cases to tell whether the heat maps can be believed." in page.text
    assert [a for a in page.all("img") if str(a["alt"]).startswith("Heat map")]


def test_a_cohort_that_was_not_checked_is_not_called_clean(make: Any) -> None:
    text = Page(render(make(findings=(), part="external"))).text
    assert "These images were not checked." in text
    assert "no leak between parts" not in text


def test_samples_of_many_captions_stand_in_one_grid(make: Any) -> None:
    picture = np.zeros((30, 30), np.uint8)
    few = Page(render(make(samples=[("a", picture)] * 3 + [("b", picture)] * 3, explained=())))
    many = Page(render(make(samples=[(f"{k} mm", picture) for k in range(12)], explained=())))
    strips = [sum(a.get("class") == "strip" for a in page.all("div")) for page in (few, many)]
    assert strips == [2, 1]
    assert len(many.all("img")) == 12


def test_the_legend_of_boxes_has_the_colours_of_the_drawings() -> None:
    from scanwright.core import Box, Grid, Volume
    from scanwright.inference.detect import draw_boxes
    from scanwright.report.detect_view import class_legend

    volume = Volume(np.zeros((1, 60, 60, 1), np.uint8), Grid((60, 60, 1), np.eye(4)))
    for label, row in enumerate(class_legend(["platelet", "red cell", "white cell"])):
        drawn = draw_boxes(volume, [Box(label, (10, 10, -0.5), (40, 40, 0.5), 0.9)])
        wanted = tuple(bytes.fromhex(row["colour"][1:]))
        assert (drawn.reshape(-1, 3) == wanted).all(axis=1).sum() > 50, row["name"]

"""The page in a real browser: phone width, dark and light, no request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scanwright.report import write_report

CHROMIUM = next(
    (p for p in ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome") if Path(p).exists()), None
)

if CHROMIUM is None:
    pytest.skip("Chromium is not installed", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as control:
        chromium = control.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.mark.parametrize("task", ["binary", "multilabel", "ordinal", "regress", "segment"])
def test_nothing_sticks_out_at_phone_width(browser: Any, make: Any, tmp_path: Path, task: str) -> None:
    long = "a-very-long-case-name-without-any-space-" * 6
    write_report(tmp_path / "r.html", make(task, provenance={"hash": "9a" * 64}, notes=[long], title=f"Films {long}"))
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto((tmp_path / "r.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()


def test_the_page_loads_alone_and_without_a_complaint(browser: Any, make: Any, tmp_path: Path) -> None:
    write_report(tmp_path / "r.html", make())
    page = browser.new_page()
    asked, said = [], []
    page.on("request", lambda r: asked.append(r.url))
    page.on("console", lambda m: said.append(m.text))
    page.goto((tmp_path / "r.html").as_uri())
    assert [u for u in asked if not u.startswith("data:")] == [(tmp_path / "r.html").as_uri()]
    assert said == []
    broken = "[...document.images].filter(i => (i.loading = 'eager', i.complete && !i.naturalWidth)).length"
    assert page.evaluate(broken) == 0
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_the_paper(browser: Any, make: Any, tmp_path: Path, scheme: str) -> None:
    write_report(tmp_path / "r.html", make())
    page = browser.new_page(color_scheme=scheme)
    page.goto((tmp_path / "r.html").as_uri())
    colours = page.evaluate(
        """() => { const s = getComputedStyle(document.documentElement);
        return Object.fromEntries(['--paper','--card','--ink','--soft','--accent','--red','--amber','--green',
        '--red-soft','--amber-soft','--green-soft','--k0','--k1','--k2','--k3'].map(n => [n, s.getPropertyValue(n).trim()])); }"""
    )
    page.close()
    pairs = [
        (w, p, 4.5)
        for w in ("--ink", "--soft", "--accent", "--red", "--amber", "--green")
        for p in ("--paper", "--card")
    ]
    pairs += [(f"--{c}", f"--{c}-soft", 4.5) for c in ("red", "amber", "green")]
    pairs += [(f"--k{k}", "--card", 3.0) for k in range(4)]
    for word, paper, least in pairs:
        assert contrast(colours[word], colours[paper]) >= least, (word, paper)
    lightness = luminance(colours["--paper"])
    assert lightness < 0.05 if scheme == "dark" else lightness > 0.8


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.1)."""
    raw = colour.lstrip("#")
    raw = "".join(c * 2 for c in raw) if len(raw) == 3 else raw
    parts = [int(raw[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    """Contrast ratio (WCAG 2.1, success criterion 1.4.3)."""
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)

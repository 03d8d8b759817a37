"""The page in a real browser: slices to leaf through, structures, and what it says in Chinese."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from tests.serving.answers import Seer, a_lesion, a_volume
from tests.serving.conftest import a_plan

from scanwright.serving import Limits, create_app
from scanwright.serving.server import bind

CHROMIUM = Path("/usr/bin/chromium")
LESIONS = (a_lesion(1, "tumour", 7), a_lesion(2, "tumour", 3, mean=float("nan"), side=""))

Opened = Callable[..., Any]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running service: heat maps first, structures second."""
    models = {
        "heats": Seer(a_plan(3), segments=False),
        "segments": Seer(a_plan(3), segments=True, lesions=LESIONS),
    }
    app = create_app(models, limits=Limits(), work=tmp_path_factory.mktemp("work"))
    with bind("127.0.0.1", 0) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none"))
        running = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        running.start()
        until = time.monotonic() + 60
        while not server.started and time.monotonic() < until:
            time.sleep(0.05)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        server.should_exit = True
        running.join(40)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_volume(tmp_path_factory.mktemp("volume") / "thorax.nii.gz")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"Chromium is not at {CHROMIUM}")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Opened]:
    """Opens the page in a window; whatever it complains of fails the test."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def open_page(**window: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, "locale": "en-GB", **window})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: complaints.append(str(e)))
        page.goto(address)
        page.wait_for_selector("#about:not([hidden])")
        return page

    yield open_page
    for context in contexts:
        context.close()
    expected = ("the server responded with a status of 4", "net::ERR_FAILED")  # refusals, and what a test cuts off
    assert [c for c in complaints if not any(e in c for e in expected)] == []


def shown(page: Any, model: str, path: Path) -> Any:
    page.select_option("#model", model)
    page.set_input_files("#files", str(path))
    page.wait_for_selector(".stack.slices[data-slice='7']")
    return page


MARK = """() => {
  const img = document.querySelector('.stack.slices img:not(.heat)');
  const canvas = Object.assign(document.createElement('canvas'), { width: img.naturalWidth, height: img.naturalHeight });
  const context = canvas.getContext('2d');
  context.drawImage(img, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let n = 0; n < data.length; n += 4) if (data[n] > 128) return (n / 4) % canvas.width;
}"""


def test_slices_are_leafed_through_by_keyboard(opened: Opened, volume: Path) -> None:
    page = shown(opened(), "heats", volume)
    assert page.text_content(".slicer output") == "Slice 8 of 12"
    assert page.evaluate(MARK) == 2 + 7  # the mark stands in column 2 + k
    page.focus(".slicer input")
    for key, k in (("ArrowRight", 8), ("Home", 0), ("ArrowUp", 1), ("End", 11), ("ArrowRight", 11), ("ArrowLeft", 10)):
        page.keyboard.press(key)
        page.wait_for_selector(f".stack.slices[data-slice='{k}']")
        assert page.text_content(".slicer output") == f"Slice {k + 1} of 12"
        assert page.get_attribute(".slicer input", "aria-valuetext") == f"Slice {k + 1} of 12"
        assert page.evaluate(MARK) == 2 + k


def test_slider_and_switch_are_reached_with_tab(opened: Opened, volume: Path) -> None:
    page = shown(opened(), "segments", volume)
    page.focus("#want-heatmap")
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.className + document.activeElement.type"))
    assert reached[:3] == ["slicerange", "checkbox", "range"]
    assert "gosubmit" in reached or "gobutton" in reached


def test_switch_and_opacity_hold_from_slice_to_slice(opened: Opened, volume: Path) -> None:
    page = shown(opened(), "heats", volume)
    opacity = "getComputedStyle(document.querySelector('.slices .heat')).opacity"
    page.focus(".opacity input")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(opacity) == "0.01"
    page.focus(".slicer input")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".stack.slices[data-slice='8']")
    assert page.evaluate(opacity) == "0.01"
    page.focus(".toggle input")
    page.keyboard.press("Space")
    assert page.evaluate(opacity) == "0"
    page.click("#language")  # all is written anew, and what was set stays
    page.wait_for_selector(".stack.slices[data-slice='8']")
    assert page.text_content(".slicer output") == "第 9 层，共 12 层"
    assert page.evaluate(opacity) == "0"


def test_slices_are_shown_undistorted(opened: Opened, volume: Path) -> None:
    page = shown(opened(), "heats", volume)
    box = page.locator(".stack.slices").bounding_box()
    assert box["width"] / box["height"] == pytest.approx(30 / 20, rel=0.02)


def test_a_lesion_leads_to_its_slice(opened: Opened, volume: Path) -> None:
    page = shown(opened(), "segments", volume)
    assert page.text_content(".case .label strong") == "liver · tumour"
    assert [c.strip() for c in page.locator(".amounts tr").all_text_contents()] == ["liver3.46 mL", "tumour0.04 mL"]
    assert page.locator(".legend li").all_text_contents() == ["liver", "tumour"]
    rows = page.locator(".lesions tbody tr")
    assert rows.count() == 2
    first = rows.nth(0).locator("th, td").all_text_contents()
    assert first[:5] == ["1", "8", "tumour", "0.04 mL", "4.80 × 3.20 mm"]
    assert first[5:7] == ["41.5 HU", "right"]
    assert rows.nth(1).locator("td").nth(4).text_content() == "– HU"
    rows.nth(1).locator("button").click()
    page.wait_for_selector(".stack.slices[data-slice='3']")
    assert page.input_value(".slicer input") == "4"


def test_the_label_map_is_offered(opened: Opened, volume: Path) -> None:
    page = shown(opened(), "segments", volume)
    with page.expect_download() as download:
        page.click("text=Structures as NIfTI")
    assert download.value.suggested_filename == "thorax-segmentation.nii.gz"
    assert Path(download.value.path()).read_bytes()[:2] == b"\x1f\x8b"


@pytest.mark.parametrize("model", ["heats", "segments"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_runs_out_of_a_telephone(opened: Opened, volume: Path, model: str, scheme: str) -> None:
    page = opened(viewport={"width": 390, "height": 844}, color_scheme=scheme, device_scale_factor=2)
    shown(page, model, volume)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    if model == "segments":  # the table is wider than the window: it scrolls by itself
        assert page.locator(".wide").bounding_box()["width"] < 390
        assert page.locator(".lesions .go").first.bounding_box()["x"] < 200  # what leads to the slice is in sight


def test_slices_that_have_expired_say_so(opened: Opened, volume: Path, browser: Any) -> None:
    page = shown(opened(), "heats", volume)
    page.route("**/slices/0.png*", lambda r: r.fulfill(status=404, body="{}"))
    page.focus(".slicer input")
    page.keyboard.press("Home")
    page.wait_for_selector(".figure .bad:not([hidden])")
    assert "no longer kept" in page.text_content(".figure .bad")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.png", b"", "文件是空的"),
        ("note.txt", b"no image at all", "不是可接受的图像类型"),
        ("cut.npy", b"\x93NUMPY\x01\x00v\x00", "已损坏或不完整"),
    ],
)
def test_refusals_are_said_in_chinese(opened: Opened, name: str, content: bytes, words: str, tmp_path: Path) -> None:
    page = opened(locale="zh-CN")
    (tmp_path / name).write_bytes(content)
    page.set_input_files("#files", str(tmp_path / name))
    page.wait_for_selector("#error:not([hidden])")
    told = page.text_content("#error")
    assert words in told
    assert told.index(words) < told.index("服务原文") < told.index(name)
    page.click("#language")
    assert "服务原文" not in page.text_content("#error")
    assert name in page.text_content("#error")


def test_a_failure_among_answers_is_said_in_chinese(opened: Opened, volume: Path, tmp_path: Path) -> None:
    page = opened(locale="zh-CN")
    (tmp_path / "note.txt").write_bytes(b"no image at all")
    page.set_input_files("#files", [str(volume), str(tmp_path / "note.txt")])
    page.wait_for_selector(".failures li")
    assert "不是可接受的图像类型" in page.text_content(".failures li")


def test_messages_of_the_page_itself_follow_the_language(opened: Opened, volume: Path) -> None:
    page = opened(locale="zh-CN")
    page.route("**/v1/predict*", lambda r: r.abort())
    page.set_input_files("#files", str(volume))
    page.wait_for_selector("#error:not([hidden])")
    assert "服务没有响应" in page.text_content("#error")
    page.click("#language")
    assert "does not answer" in page.text_content("#error")

"""The service as a process of its own, with a real model file, and its page in a real browser."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from scanwright.core import Plan
from scanwright.core.plan import Augmentation, Intensity, Memory, Preprocessing, Training

KIT = (Path(__file__).resolve().parents[2] / ".." / "shared" / "data").resolve()
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
FLAGS += ["--disable-sync", "--no-first-run"]

SERVE = """
import sys
from scanwright.core import Said
from scanwright.serving import serve
def emit(event):
    if isinstance(event, Said):
        sys.stdout.write(event.text + "\\n")
        sys.stdout.flush()
serve(sys.argv[2:], port=int(sys.argv[1]), emit=emit)
"""


def a_network(dimension: int) -> bytes:
    """Mean brightness by places: its answer is known by hand."""
    from onnx import TensorProto, checker, helper, numpy_helper

    side, cell = (32, 8) if dimension == 2 else (16, 4)
    axes = list(range(2, 2 + dimension))
    nodes = [
        helper.make_node(
            "AveragePool", ["image"], ["pooled"], kernel_shape=[cell] * dimension, strides=[cell] * dimension
        ),
        helper.make_node("Mul", ["pooled", "eight"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "four"], ["cam"]),
        helper.make_node("ReduceMean", ["cam", "axes"], ["logits"], keepdims=0),
        helper.make_node("Identity", ["logits"], ["embedding"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(8, np.float32), "eight"),
        numpy_helper.from_array(np.array(4, np.float32), "four"),
        numpy_helper.from_array(np.array(axes, np.int64), "axes"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["B", 1, *[side] * dimension])
    outputs = [
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", 1]),
        helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["B", 1]),
        helper.make_tensor_value_info("cam", TensorProto.FLOAT, ["B", 1, *[side // cell] * dimension]),
    ]
    graph = helper.make_graph(nodes, "brightness", [image], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    checker.check_model(model)
    return model.SerializeToString()


def a_model_file(path: Path, *, name: str = "brightness", dimension: int = 2) -> Path:
    """A whole model file around that network."""
    from scanwright.io import write_model_file
    from scanwright.trust import Trust

    classes = ("dark", "bright")
    side = 32 if dimension == 2 else 16
    plan = Plan(
        task="binary",
        classes=classes,
        preprocessing=Preprocessing(
            dimension=dimension,  # type: ignore[arg-type]
            size=(side,) * dimension,
            orientation="RAS" if dimension == 3 else None,
            intensity=Intensity(method="percentile", low=0.5, high=99.5),
        ),
        augmentation=Augmentation(),
        training=Training(budget_s=60),
        candidates=(),
        memory=Memory(predicted_mb=1, limit_mb=2),
    )
    trust = Trust(task="binary", classes=classes, bias=(0.0,), cuts=(-0.5,), n_validation=100)
    figure = {"value": 0.954, "low": 0.921, "high": 0.978}
    evaluation = {"test": {"auroc": figure, "balanced_accuracy": {**figure, "value": 0.931}, "n_cases": 624}}
    card = f"# Model card: {name}\n\nTells bright pictures from dark ones.\n\n| part | cases |\n|---|---|\n| test | 624 |\n"
    members = {
        "plan.json": plan.to_json(),
        "network.onnx": a_network(dimension),
        "labels.json": json.dumps({"names": list(classes)}),
        "trust.json": json.dumps(trust.to_dict()),
        "evaluation.json": json.dumps(evaluation),
        "card.md": card,
    }
    content = {n: v if isinstance(v, bytes) else v.encode() for n, v in members.items()}
    write_model_file(path, content, facts={"name": name, "version": "1.2.0"})
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two model files and a few images."""
    folder = tmp_path_factory.mktemp("service")
    a_model_file(folder / "flat.scanwright")
    a_model_file(folder / "deep.scanwright", name="deep", dimension=3)
    ramp = np.tile(np.linspace(0, 255, 96).astype(np.uint8), (64, 1))
    Image.fromarray(ramp).save(folder / "ramp.png")
    bright = np.full((64, 96), 250, np.uint8)
    bright[:4] = 0
    Image.fromarray(bright).save(folder / "bright.png")
    Image.fromarray(255 - bright).save(folder / "dark.jpg", quality=95)
    np.save(folder / "array.npy", bright.astype(np.float32))
    (folder / "cut.png").write_bytes((folder / "ramp.png").read_bytes()[:80])
    return folder


@pytest.fixture(scope="module")
def address(place: Path) -> Iterator[str]:
    """Address of a running service of both models."""
    command = [sys.executable, "-c", SERVE, "0", str(place / "flat.scanwright"), str(place / "deep.scanwright")]
    with (
        (place / "stderr.txt").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), url
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                if httpx.get(f"{url}readyz").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        yield url
        process.send_signal(signal.SIGINT)
        assert process.wait(40) == 0


def send(address: str, *paths: Path, **query: Any) -> httpx.Response:
    with httpx.Client(base_url=address, timeout=120) as client:
        return client.post("v1/predict", files=[("files", (p.name, p.read_bytes())) for p in paths], params=query)


def test_a_real_model_file_answers_over_http(address: str, place: Path) -> None:
    answer = send(address, place / "bright.png", place / "dark.jpg", place / "array.npy", place / "cut.png")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["model"]["name"] == "brightness"
    labels = {r["case"]: r["label"] for r in body["results"]}
    assert labels == {"bright.png": "bright", "dark.jpg": "dark", "array.npy": "bright"}
    for result in body["results"]:  # sigmoid of the logit, since temperature is 1 and bias 0
        bright = 1 / (1 + np.exp(-result["logits"][0]))
        assert result["probabilities"]["bright"] == pytest.approx(bright, abs=1e-6)
    assert [f["case"] for f in body["failures"]] == ["cut.png"]
    assert "cut.png" in body["failures"][0]["reason"]


def test_the_service_and_the_file_agree(address: str, place: Path) -> None:
    from scanwright import workflow
    from scanwright.io import read_volume

    direct = workflow.open_model(place / "flat.scanwright").predict(read_volume(place / "ramp.png"), case="ramp")
    (served,) = send(address, place / "ramp.png").json()["results"]
    assert served["logits"] == pytest.approx(direct.logits, abs=1e-5)


def test_serving_needs_no_torch(place: Path) -> None:
    code = f"""
import sys
from pathlib import Path
for name in ("torch", "monai", "sklearn", "lightning"):
    sys.modules[name] = None
from starlette.testclient import TestClient
from scanwright.serving import create_app
from scanwright.serving.server import open_file
app = create_app({{"m": open_file(Path({str(place / "flat.scanwright")!r}))}})
with TestClient(app, base_url="http://localhost") as client:
    data = Path({str(place / "bright.png")!r}).read_bytes()
    sys.exit(client.post("/v1/predict", files={{"files": ("a.png", data)}}).status_code != 200)
"""
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=False).returncode == 0


@pytest.mark.skipif(not KIT.is_dir(), reason="the kit of real images is not beside the repository")
def test_a_series_in_a_zip_is_one_volume_with_its_heat_map_in_place(address: str, place: Path) -> None:
    import nibabel

    files = sorted_by_position(list((KIT / "dicom_ct_chest_lidc").glob("*.dcm")))[:16]
    with zipfile.ZipFile(place / "ct.zip", "w") as archive:
        for path in files:
            archive.write(path, f"study/{path.name}")
    answer = send(address, place / "ct.zip", model="deep")
    assert answer.status_code == 200, answer.text
    (result,) = answer.json()["results"]
    assert result["case"] == "ct.zip"
    heat = nibabel.Nifti1Image.from_bytes(httpx.get(address.rstrip("/") + result["heatmap"]["nifti"]).content)
    assert sorted(heat.shape) == [16, 512, 512]
    import SimpleITK

    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames([str(p) for p in files])
    image = reader.Execute()
    corners = {tuple(np.round(corner_mm(heat, c), 2)) for c in np.ndindex(2, 2, 2)}
    ends = [n - 1 for n in image.GetSize()]
    theirs = {
        tuple(
            np.round(
                np.array(image.TransformIndexToPhysicalPoint([int(e * c) for e, c in zip(ends, k)])) * [-1, -1, 1], 2
            )
        )
        for k in np.ndindex(2, 2, 2)
    }
    assert corners == theirs


def corner_mm(image: Any, corner: tuple[int, ...]) -> Any:
    index = [c * (n - 1) for c, n in zip(corner, image.shape)]
    return image.affine[:3, :3] @ index + image.affine[:3, 3]


def sorted_by_position(files: list[Path]) -> list[Path]:
    import pydicom

    return sorted(files, key=lambda p: float(pydicom.dcmread(p, stop_before_pixels=True).ImagePositionPatient[2]))


@pytest.mark.skipif(not KIT.is_dir(), reason="the kit of real images is not beside the repository")
@pytest.mark.parametrize(
    "file",
    [
        "dicom_misc/hd_dx_image.dcm",
        "dicom_misc/US1_J2KR.dcm",
        "dicom_misc/JPGLosslessP14SV1_1s_1f_8b.dcm",
        "dicom_misc/RG3_J2KI.dcm",
        "dicom_misc/hd_ct_image.dcm",
        "busi/images/malignant/malignant (1).png",
        "chasedb1/Image_01L.jpg",
    ],
)
def test_real_images_are_answered(address: str, file: str) -> None:
    answer = send(address, KIT / file)
    assert answer.status_code == 200, answer.text
    (result,) = answer.json()["results"]
    assert httpx.get(address.rstrip("/") + result["picture"]).content.startswith(b"\x89PNG")


@pytest.mark.skipif(not KIT.is_dir(), reason="the kit of real images is not beside the repository")
def test_a_volume_given_to_a_model_of_pictures_is_a_clear_4xx(address: str) -> None:
    answer = send(address, KIT / "nifti_misc" / "ts_example_ct_sm.nii.gz")
    assert 400 <= answer.status_code < 500
    assert set(answer.json()["error"]) == {"fact", "rule", "fix", "code"}


def test_it_stops_when_asked_and_leaves_nothing(place: Path, tmp_path: Path) -> None:
    code = SERVE.replace(
        "port=int(sys.argv[1])", f"port=0, work=__import__('pathlib').Path({str(tmp_path / 'work')!r})"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, "0", str(place / "flat.scanwright")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        for _ in range(200):
            try:
                assert send(url, place / "bright.png").status_code == 200
                break
            except httpx.TransportError:
                time.sleep(0.1)
        assert list((tmp_path / "work").iterdir())
        process.terminate()
        assert process.wait(40) == 0
    assert not list((tmp_path / "work").iterdir())


@pytest.mark.skipif(not KIT.is_dir(), reason="the kit of real images is not beside the repository")
def test_nothing_of_a_patient_is_printed_or_answered(address: str, place: Path) -> None:
    import pydicom

    marker = "ZZMARKERZZ"
    image = pydicom.dcmread(KIT / "dicom_misc" / "hd_dx_image.dcm")
    image.PatientName, image.PatientID, image.AccessionNumber = f"{marker}^A", marker, marker
    image.PatientBirthDate, image.StudyDate = "19001301", "not a date"
    image.add_new("PatientAge", "AS", f"{marker} is not an age")
    image.save_as(place / "marked.dcm")
    whole = (place / "marked.dcm").read_bytes()
    texts = [send(address, place / "marked.dcm").text]
    for n, cut in enumerate((400, 900, 1500, len(whole) // 2, len(whole) - 10)):
        (place / f"cut{n}.dcm").write_bytes(whole[:cut])
        texts.append(send(address, place / f"cut{n}.dcm").text)
    damaged = whole.replace(b"PN", b"DS").replace(b"LO", b"IS").replace(b"SH", b"UI")
    (place / "odd.dcm").write_bytes(damaged)
    texts.append(send(address, place / "odd.dcm").text)
    assert marker in whole.decode("latin-1")
    for text in (*texts, (place / "stderr.txt").read_text(encoding="utf-8")):
        assert marker not in text
        assert "Traceback" not in text


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"Chromium is not at {CHROMIUM}")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page, opened; whatever it complains of fails the test."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, locale="en-GB")
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
    opened.on("pageerror", lambda e: complaints.append(str(e)))
    opened.on(
        "request", lambda r: None if r.url.startswith((address, "blob:")) else complaints.append(f"left: {r.url}")
    )
    opened.add_init_script(
        "window.violations = []; document.addEventListener('securitypolicyviolation', e => violations.push(e.violatedDirective))"
    )
    opened.goto(address)
    opened.wait_for_selector("#about:not([hidden])")
    opened.complaints = complaints
    yield opened
    assert opened.evaluate("window.violations") == []
    assert [c for c in complaints if "Failed to load resource: the server responded with a status of 4" not in c] == []
    context.close()


DROP = """async ([name, bytes]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], name));
  for (const kind of ["dragenter", "dragover", "drop"])
    document.getElementById("drop").dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""


def loaded(page: Any, selector: str) -> bool:
    """Whether a picture arrives and can be drawn."""
    drawn = "s => document.querySelector(s).decode().then(() => document.querySelector(s).naturalWidth > 0)"
    return bool(page.evaluate(drawn, selector))


def test_an_image_that_is_dropped_is_answered_with_bars_and_heat_map(page: Any, place: Path) -> None:
    page.evaluate(DROP, ["bright.png", list((place / "bright.png").read_bytes())])
    page.wait_for_selector(".case .label strong")
    assert page.text_content(".case .label strong") == "bright"
    assert page.text_content(".case .file") == "bright.png"
    assert "operating point" in page.text_content(".case .sentence")
    assert page.locator(".bars li").count() == 2
    wide = page.evaluate("[...document.querySelectorAll('.fill')].map(f => f.getBoundingClientRect().width)")
    assert wide[1] > wide[0] > 0
    assert loaded(page, ".stack img")
    assert loaded(page, ".stack img.heat")
    assert page.is_visible(".stack img.heat")
    assert "Research use – not a medical device" in page.text_content(".case")


def test_the_heat_map_fades_and_goes(page: Any, place: Path) -> None:
    page.set_input_files("#files", str(place / "ramp.png"))
    page.wait_for_selector("img.heat")
    opacity = "getComputedStyle(document.querySelector('img.heat')).opacity"
    assert page.evaluate(opacity) == "1"
    page.focus(".opacity input")
    page.keyboard.press("Home")
    assert page.evaluate(opacity) == "0"
    page.keyboard.press("End")
    page.focus(".toggle input")
    page.keyboard.press("Space")
    assert page.evaluate(opacity) == "0"
    page.keyboard.press("Space")
    assert page.evaluate(opacity) == "1"


@pytest.mark.skipif(not KIT.is_dir(), reason="the kit of real images is not beside the repository")
def test_a_dicom_file_is_shown(page: Any) -> None:
    page.set_input_files("#files", str(KIT / "dicom_misc" / "hd_dx_image.dcm"))
    page.wait_for_selector(".stack img")
    assert loaded(page, ".stack img")
    assert page.is_visible("text=Heat map as NIfTI")


def test_a_bad_file_is_explained_and_the_good_one_answered(page: Any, place: Path) -> None:
    page.set_input_files("#files", str(place / "cut.png"))
    page.wait_for_selector("#error:not([hidden])")
    assert "cut.png" in page.text_content("#error")
    page.set_input_files("#files", [str(place / "cut.png"), str(place / "bright.png")])
    page.wait_for_selector(".case .label")
    assert page.is_hidden("#error")
    assert "1 file(s) could not be answered" in page.text_content(".failures")


def test_a_file_name_is_never_executed(page: Any, place: Path) -> None:
    name = "<img src=x onerror=alert(1)><script>alert(1)<\\u002fscript>.png"
    alerts: list[Any] = []
    page.on("dialog", lambda d: (alerts.append(d.message), d.dismiss()))
    page.evaluate(DROP, [name, list((place / "bright.png").read_bytes())])
    page.wait_for_selector(".case .label")
    assert "<img src=x onerror=alert(1)>" in page.text_content(".case .file")
    assert page.locator(".case img[src=x]").count() == 0
    page.wait_for_timeout(200)
    assert alerts == []


def test_another_model_is_chosen_and_its_figures_shown(page: Any, place: Path) -> None:
    assert page.locator("#figures tbody tr").count() == 2
    assert "0.921 – 0.978" in page.text_content("#figures")
    page.select_option("#model", "deep")
    page.wait_for_selector("#about-title:has-text('deep')")
    page.click("#card-link")
    page.wait_for_selector("h1:has-text('Model card: deep')")


def test_the_language_can_be_switched(page: Any, place: Path) -> None:
    page.click("#language")
    assert page.text_content("#choose") == "选择图像"
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    page.set_input_files("#files", str(place / "bright.png"))
    page.wait_for_selector(".case .label")
    assert "判定阈值" in page.text_content(".sentence")
    page.reload()
    assert page.text_content("#choose") == "选择图像"


def test_everything_is_reached_by_keyboard(page: Any) -> None:
    reached = set()
    for _ in range(14):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert {"language", "choose", "choose-folder", "model", "want-heatmap", "card-link"} <= reached


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_runs_out_of_a_narrow_window(page: Any, place: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.set_input_files("#files", str(place / "ramp.png"))
    page.wait_for_selector(".case .label")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_another_site_cannot_reach_the_service(browser: Any, address: str, place: Path) -> None:
    context = browser.new_context()
    other = context.new_page()
    other.route("http://other.example/**", lambda r: r.fulfill(body="<html></html>", content_type="text/html"))
    other.goto("http://other.example/")
    script = """async (url) => {
      const form = new FormData();
      form.append("files", new File(["x"], "a.png"));
      const answer = await fetch(url + "v1/predict", { method: "POST", body: form, mode: "no-cors" }).catch(() => null);
      const read = await fetch(url + "v1/models").then(() => true, () => false);
      return { type: answer && answer.type, read };
    }"""
    assert other.evaluate(script, address)["read"] is False
    context.close()

"""Slices and structures of an answer, through the real app and the real reader."""

from __future__ import annotations

import gzip
import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from tests.serving.answers import AFFINE, SHAPE, Seer, a_lesion, a_volume

from scanwright.core import Grid, Prediction, Volume
from scanwright.serving.paint import heat_over, structure_colours, structures_over
from scanwright.serving.slices import slice_png, write_slices

Make = dict[str, Callable[..., Any]]
ClientOf = Callable[..., TestClient]
LESIONS = (a_lesion(1, "tumour", 7), a_lesion(2, "tumour", 3, mean=float("nan"), side=""))


def ask(client: TestClient, path: Path, **query: Any) -> Any:
    answer = client.post("/v1/predict", files={"files": (path.name, path.read_bytes())}, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["results"][0]


def picture(client: TestClient, url: str) -> np.ndarray[Any, Any]:
    answer = client.get(url)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cache-control"] == "no-store"
    return np.asarray(Image.open(io.BytesIO(answer.content)))


@pytest.fixture
def heats(client_of: ClientOf, make: Make) -> TestClient:
    return client_of({"heats": Seer(make["plan"](3), segments=False)}, real_reader=True)


@pytest.fixture
def segments(client_of: ClientOf, make: Make) -> TestClient:
    return client_of({"segments": Seer(make["plan"](3), segments=True, lesions=LESIONS)}, real_reader=True)


def test_every_slice_is_the_slice_that_was_sent(heats: TestClient, tmp_path: Path) -> None:
    slices = ask(heats, a_volume(tmp_path / "v.nii.gz"), slices=True)["slices"]
    assert (slices["count"], slices["start"], slices["layer"]) == (12, 7, "heat")
    assert slices["aspect"] == pytest.approx(30 / 20)  # rows of the file run sideways: they are hung as columns
    for k in range(SHAPE[2]):
        shown = picture(heats, f"{slices['url']}{k}.png")
        assert shown.shape == (20, 30)
        where = np.argwhere(shown > 128)
        # R to L along the file's first axis is left to right as it is hung; A to P along its second, top to bottom
        assert {tuple(p) for p in where} == {(j, 2 + k) for j in range(4, 8)}


def test_the_heat_map_lies_over_its_own_slice_only(heats: TestClient, tmp_path: Path) -> None:
    slices = ask(heats, a_volume(tmp_path / "v.nii.gz"), slices=True)["slices"]
    over = picture(heats, f"{slices['url']}7.png?overlay=1").astype(int)
    coloured = np.ptp(over, axis=-1) > 20
    assert {tuple(p) for p in np.argwhere(coloured)} == {(j, i) for j in range(10, 20) for i in range(20, 30)}
    beside = picture(heats, f"{slices['url']}6.png?overlay=1").astype(int)
    assert np.ptp(beside, axis=-1).max() == 0


def test_slices_are_kept_only_where_they_are_wanted(heats: TestClient, tmp_path: Path) -> None:
    result = ask(heats, a_volume(tmp_path / "v.nii.gz"))
    assert result["slices"] is None
    assert result["segmentation"] is None
    assert result["amounts"] is None


@pytest.mark.parametrize("end", ["12.png", "-1.png", "99999999999999999999.png"])
def test_a_slice_that_is_not_there_is_a_404(heats: TestClient, tmp_path: Path, end: str) -> None:
    slices = ask(heats, a_volume(tmp_path / "v.nii.gz"), slices=True)["slices"]
    assert heats.get(slices["url"] + end).status_code == 404


@pytest.mark.parametrize("path", ["unknown/slices/0.png", "..%2f..%2fetc/slices/0.png", "x/segmentation.nii.gz"])
def test_an_unknown_key_is_a_404(heats: TestClient, path: str) -> None:
    answer = heats.get(f"/v1/results/{path}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


def test_a_slice_number_that_is_none_is_a_400(heats: TestClient) -> None:
    assert heats.get("/v1/results/x/slices/one.png").status_code == 400


def test_structures_have_amounts_lesions_and_a_label_map(segments: TestClient, tmp_path: Path) -> None:
    result = ask(segments, a_volume(tmp_path / "v.nii.gz"), slices=True)
    assert result["amounts"] == {"liver": 3.456, "tumour": 0.0384}
    one, other = result["lesions"]
    assert (one["structure"], one["slice"], one["probability"]) == ("tumour", 7, 0.875)
    assert one["box"] == [[8, 11], [6, 9], [7, 7]]
    assert other["mean"] is None  # JSON has no NaN
    said = result["segmentation"]
    assert said["unit"] == "mL"
    assert [(s["value"], s["name"]) for s in said["structures"]] == [(1, "liver"), (2, "tumour")]
    answer = segments.get(said["url"])
    assert answer.headers["content-type"] == "application/gzip"
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(answer.content))
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-5)
    labels = np.asarray(image.dataobj)
    assert labels.dtype == np.uint8
    assert (labels == 2).sum() == 4 * 4
    assert (labels > 0).sum() == 15 * 9 * 12


def test_structures_are_drawn_in_the_colours_of_the_legend(segments: TestClient, tmp_path: Path) -> None:
    result = ask(segments, a_volume(tmp_path / "v.nii.gz"), slices=True)
    assert result["slices"]["start"] == 7  # that of the largest lesion
    assert result["slices"]["layer"] == "labels"
    shown = picture(segments, f"{result['slices']['url']}7.png?overlay=1")
    colours = [tuple(bytes.fromhex(s["colour"][1:])) for s in result["segmentation"]["structures"]]
    assert tuple(shown[3, 5]) == colours[0]  # the outline is drawn full
    assert tuple(shown[6, 8]) == colours[1]
    assert tuple(shown[0, 0]) == (0, 0, 0)


def test_a_picture_with_structures_has_one_slice(client_of: ClientOf, make: Make) -> None:
    client = client_of({"m": Seer(make["plan"](2), segments=True)}, real_reader=True)
    answer = client.post("/v1/predict?slices=1", files={"files": ("a.png", make["png"]())})
    (result,) = answer.json()["results"]
    assert result["slices"]["count"] == 1
    assert result["segmentation"]["unit"] == "pixels"
    assert result["lesions"] == []
    assert picture(client, f"{result['slices']['url']}0.png?overlay=1").shape == (20, 30, 3)


def test_the_description_promises_what_is_said_of_structures(segments: TestClient, tmp_path: Path) -> None:
    shapes = segments.get("/openapi.json").json()["components"]["schemas"]
    result = ask(segments, a_volume(tmp_path / "v.nii.gz"), slices=True)
    assert set(shapes["Lesion"]["properties"]) == set(result["lesions"][0])
    assert set(shapes["SliceLinks"]["properties"]) == set(result["slices"])
    assert set(shapes["SegmentationLinks"]["properties"]) == set(result["segmentation"])


# ---------------------------------------------------------------- without the app


def answered(volume: Volume, **facts: Any) -> Prediction:
    return Prediction("c", "binary", ("a", "b"), (0.5, 0.5), (0.0,), "a", grid=volume.grid, **facts)


def test_a_large_volume_is_made_coarser_and_never_held_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    array = rng.integers(0, 255, (1, 700, 600, 40), dtype=np.uint8)
    volume = Volume(array, Grid((700, 600, 40)))
    tracemalloc.start()
    stack = write_slices(tmp_path / "s", volume, answered(volume), most_bytes=2_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert stack.count == 40
    assert (tmp_path / "s").stat().st_size < 2_100_000
    assert peak < array.nbytes * 1.2  # a block of 16 slices and its copies, not the volume once more as floats
    data = slice_png(tmp_path / "s", 39, overlay=True)
    assert data is not None
    shown = np.asarray(Image.open(io.BytesIO(data)))
    assert shown.shape == (200, 234)  # turned, and every third pixel: 16.8 million do not fit two
    block = volume.picture(39)[:3, :3]  # turned as all slices are
    assert shown[0, 0] == round(float(block.mean()))


def test_all_slices_share_one_window(tmp_path: Path) -> None:
    array = np.zeros((1, 32, 32, 4), np.float32)
    array[..., 1], array[..., 2], array[..., 3] = 100, 200, 400
    volume = Volume(array, Grid((32, 32, 4)))
    write_slices(tmp_path / "s", volume, answered(volume), most_bytes=10**6)
    shown = [np.asarray(Image.open(io.BytesIO(slice_png(tmp_path / "s", k, overlay=False) or b""))) for k in range(4)]
    assert [int(s.mean()) for s in shown] == [0, 63, 127, 255]


@pytest.mark.parametrize(
    "affine",
    [
        np.diag([1.0, 1, 1, 1]),
        np.diag([-1.0, -1, 1, 1]),
        AFFINE,
        np.array([[0, 0, 3.0, 0], [0.5, 0, 0, 0], [0, -0.9, 0, 0], [0, 0, 0, 1]]),
    ],
)
def test_layers_and_pictures_are_turned_alike(tmp_path: Path, affine: np.ndarray[Any, Any]) -> None:
    """The letter F, which no turn or mirror maps to itself, as image and as heat map."""
    letter = np.zeros((9, 7), np.float32)
    letter[1:8, 2] = letter[1, 2:6] = letter[4, 2:5] = 1
    array = np.repeat(letter[..., None], 17, axis=-1)
    volume = Volume(array[None] * 255, Grid((9, 7, 17), affine), window=(127.5, 255))
    write_slices(tmp_path / "s", volume, answered(volume, heatmap=array), most_bytes=10**6)
    for k in (0, 15, 16):  # 16 is alone in its block
        plain = np.asarray(Image.open(io.BytesIO(slice_png(tmp_path / "s", k, overlay=False) or b"")))
        over = np.asarray(Image.open(io.BytesIO(slice_png(tmp_path / "s", k, overlay=True) or b""))).astype(int)
        np.testing.assert_array_equal(plain, volume.picture(k))
        np.testing.assert_array_equal(np.ptp(over, axis=-1) > 20, plain > 128)


def test_heat_is_painted_as_predictions_paint_it() -> None:
    from scanwright.inference.heatmap import blend

    rng = np.random.default_rng(1)
    grey = rng.integers(0, 255, (40, 50), dtype=np.uint8)
    strength = rng.integers(0, 256, (40, 50), dtype=np.uint8)
    mine = heat_over(grey, strength).astype(int)
    assert np.abs(mine - blend(grey, strength / np.float32(255)).astype(int)).max() <= 1


@pytest.mark.parametrize("n", [1, 10, 117, 255])
def test_every_structure_has_a_colour_of_its_own(n: int) -> None:
    colours = structure_colours(n)
    assert len(set(colours)) == len(colours) == n
    labels = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 4, axis=1)
    shown = structures_over(np.zeros(labels.shape, np.uint8), labels, colours)
    assert [tuple(int(v) for v in shown[k + 1, 0]) for k in range(n)] == colours

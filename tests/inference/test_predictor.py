"""From a volume to an answer on the volume's own grid."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scanwright.core import FormatError, Grid, InputError, Intensity, ModelFileError, Plan, Volume
from scanwright.inference import RESEARCH_USE, Predictor
from scanwright.io import write_model_file
from scanwright.trust import Trust

Network = Callable[..., bytes]
Plans = Callable[..., Plan]
Members = Callable[..., dict[str, bytes]]


def picture(rows: int = 64, columns: int = 64, at: tuple[int, int] = (8, 8), side: int = 8) -> Volume:
    """Dark, with one bright square whose upper left corner is ``at``."""
    array = np.zeros((1, rows, columns, 1), dtype=np.uint8)
    array[0, at[0] : at[0] + side, at[1] : at[1] + side] = 255
    return Volume(array, Grid.of_picture(rows, columns))


def test_logits_are_those_worked_out_by_hand(network: Network, plan: Plans) -> None:
    array = np.zeros((1, 1, 32, 32), dtype=np.float32)
    array[0, 0, 0:8, 0:4] = 1.0
    outputs = Predictor.from_network(network(), plan()).run(array)
    # 32 of 1024 voxels are 0.5 above one half; weight 4; bias -1
    np.testing.assert_allclose(outputs["logits"], [[4 * 0.5 * 32 / 1024 - 1]], atol=1e-6)
    np.testing.assert_allclose(outputs["embedding"], [[0.5 * 32 / 1024]], atol=1e-7)
    cam = outputs["cam"][0, 0]
    assert cam.shape == (8, 8)
    np.testing.assert_allclose(cam[:2, 0], 2.0, atol=1e-6)
    assert cam.sum() == pytest.approx(4.0)
    np.testing.assert_allclose(cam.mean() - 1, outputs["logits"][0, 0], atol=1e-6)  # the map adds up to the logit


def test_a_file_and_its_prepared_array_give_the_same_answer(
    network: Network, plan: Plans, members: Members, tmp_path: Path
) -> None:
    file = write_model_file(
        tmp_path / "m.scanwright", members(network(), plan()), facts={"name": "squares", "version": "2.1.0"}
    )
    volume = picture(50, 70, at=(20, 31))
    for engine in ("auto", "openvino", "onnxruntime"):
        predictor = Predictor.load(file.path, engine=engine)
        answer = predictor.predict(volume, case="a")
        logits = predictor.run(predictor.prepare(volume)[None])["logits"]
        assert answer.logits == tuple(float(v) for v in logits[0])
        other = Predictor.from_network(network(), plan(), engine="onnxruntime").run(predictor.prepare(volume)[None])
        np.testing.assert_allclose(answer.logits, other["logits"][0], atol=1e-5)
    assert answer.model == {"name": "squares", "version": "2.1.0", "sha256": file.sha256}


def test_probabilities_are_sigmoid_and_softmax(network: Network, plan: Plans) -> None:
    volume = picture()
    binary = Predictor.from_network(network(bias=(0.25,)), plan()).predict(volume)
    x = binary.logits[0]
    assert binary.probabilities == pytest.approx((1 - 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(-x))))
    assert binary.label == "bright"
    three = plan("multiclass", ("a", "b", "c"))
    many = Predictor.from_network(network(weights=((1.0,), (2.0,), (-3.0,)), bias=(0.0, 0.5, 0.1)), three).predict(
        volume
    )
    exponentials = np.exp(np.array(many.logits))
    assert many.probabilities == pytest.approx(tuple(exponentials / exponentials.sum()))
    assert many.label == "b"
    assert sum(many.probabilities) == pytest.approx(1)


def test_multilabel_ordinal_and_regress(network: Network, plan: Plans) -> None:
    volume = picture()
    labels = plan("multilabel", ("a", "b", "c"))
    several = Predictor.from_network(network(weights=((1.0,), (2.0,), (-3.0,)), bias=(1.0, 0.5, -2.0)), labels).predict(
        volume
    )
    assert several.label == "a, b"
    assert several.heatmap_class == "a"
    none = Predictor.from_network(network(weights=((1.0,), (2.0,), (3.0,)), bias=(-3.0, -2.0, -2.5)), labels).predict(
        volume
    )
    assert none.label == ""
    assert none.heatmap_class == "b"
    stages = Predictor.from_network(
        network(weights=((1.0,), (2.0,), (3.0,)), bias=(0, 0, 1)), plan("ordinal", ("0", "1", "2"))
    )
    assert stages.predict(volume).label == "2"
    number = Predictor.from_network(network(bias=(7.5,)), plan("regress", ("age",))).predict(picture(32, 32))
    assert number.value == pytest.approx(7.5 + 4 * 0.5 * 64 / 1024, abs=1e-5)
    assert number.probabilities == ()
    assert number.label == f"{number.value:.4g}"
    assert number.heatmap is not None


def test_calibration_and_operating_point_come_from_trust(
    network: Network, plan: Plans, members: Members, tmp_path: Path
) -> None:
    trust = Trust("binary", ("dark", "bright"), temperature=2.0, bias=(0.5,), cuts=(-2.0,))
    file = write_model_file(tmp_path / "m", members(network(), plan(), trust.to_dict()), facts={"name": "t"})
    answer = Predictor.load(file).predict(picture())
    assert answer.probabilities == pytest.approx(tuple(trust.probabilities(np.array([answer.logits]))[0]))
    assert answer.logits[0] < 0
    assert answer.label == "bright"  # the cut lies at -2


@pytest.mark.parametrize("at", [(4, 6), (4, 44), (40, 6), (40, 50), (22, 30)])
@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("shape", [(64, 64), (64, 80), (100, 64)])
def test_the_heat_map_lies_on_the_lesion(
    network: Network, plan: Plans, at: tuple[int, int], fit: str, shape: tuple[int, int]
) -> None:
    volume = picture(*shape, at=at)
    answer = Predictor.from_network(network(bias=(1.0,)), plan(fit=fit)).predict(volume)
    assert answer.heatmap is not None
    assert answer.heatmap.shape == (*shape, 1)
    lesion = volume.array[0] > 0
    if fit == "crop" and not answer.heatmap.any():
        return  # the lesion lies outside what the network was shown
    peak = np.unravel_index(answer.heatmap.argmax(), answer.heatmap.shape)
    centre = np.array(at) + 3.5
    assert np.abs(np.array(peak[:2]) - centre).max() <= max(shape) / 8  # one cell of the network
    assert answer.heatmap[lesion].mean() > 5 * answer.heatmap[~lesion].mean()
    assert float(answer.heatmap.min()) >= 0
    assert float(answer.heatmap.max()) == pytest.approx(1)


def test_the_letter_f_is_marked_where_it_is(network: Network, plan: Plans) -> None:
    """No flip or transpose maps an F to itself, so the map can fit only one way."""
    letter = np.zeros((64, 64), dtype=np.uint8)
    letter[8:56, 16:24] = 255
    letter[8:16, 16:48] = 255
    letter[28:36, 16:40] = 255
    volume = Volume(letter[None, :, :, None], Grid.of_picture(64, 64))
    heat = Predictor.from_network(network(bias=(1.0,)), plan()).predict(volume).heatmap
    assert heat is not None
    right = np.corrcoef(heat[..., 0].ravel(), letter.ravel())[0, 1]
    turned = [np.rot90(letter, n) for n in (1, 2, 3)] + [np.rot90(letter.T, n) for n in range(4)]
    assert right > 0.8
    assert max(np.corrcoef(heat[..., 0].ravel(), t.ravel())[0, 1] for t in turned) < right - 0.2


AXES = ["RAS", "LPS", "PLS", "SPR", "AIL", "IRP"]


def oriented(codes: str, position: tuple[float, float, float]) -> Volume:
    """A 32-voxel cube of 2 mm in the given axis order, with a bright ball at a place in mm."""
    affine = np.zeros((4, 4))
    for axis, code in enumerate(codes):
        world = "RLAPSI".index(code) // 2
        affine[world, axis] = 2.0 if code in "RAS" else -2.0
    affine[3, 3] = 1
    affine[:3, 3] = [-31 if affine[w, :3].sum() > 0 else 31 for w in range(3)]
    grid = Grid((32, 32, 32), affine)
    places = grid.world(np.stack(np.meshgrid(*[np.arange(32)] * 3, indexing="ij"), axis=-1))
    ball = np.linalg.norm(places - position, axis=-1) < 9
    return Volume((ball * 255.0).astype(np.float32)[None], grid)


@pytest.mark.parametrize("codes", AXES)
def test_a_volume_in_any_axis_order_is_marked_at_the_same_place_in_mm(
    network: Network, plan: Plans, codes: str
) -> None:
    chosen = plan(dimension=3, size=(24, 24, 24), orientation="RAS")
    predictor = Predictor.from_network(network((24, 24, 24), bias=(1.0,)), chosen)
    position = (-17.0, 9.0, 15.0)
    volume = oriented(codes, position)
    answer = predictor.predict(volume)
    assert answer.heatmap is not None
    weights = np.where(answer.heatmap > 0.5, answer.heatmap, 0)
    indices = np.stack(np.meshgrid(*[np.arange(32)] * 3, indexing="ij"), axis=-1)
    centre = volume.grid.world((indices * weights[..., None]).sum(axis=(0, 1, 2)) / weights.sum())
    np.testing.assert_allclose(centre, position, atol=3.0)
    reference = predictor.predict(oriented("RAS", position))
    np.testing.assert_allclose(answer.logits, reference.logits, atol=2e-3)


def test_a_volume_shows_the_slice_with_most_evidence(network: Network, plan: Plans) -> None:
    chosen = plan(dimension=3, size=(32, 32, 32), orientation="RAS")
    predictor = Predictor.from_network(network((32, 32, 32), bias=(1.0,)), chosen)
    volume = oriented("LPS", (-17.0, 9.0, 15.0))
    answer = predictor.predict(volume)
    assert answer.picture is not None
    assert answer.overlay is not None
    k = round(float(volume.grid.index([-17.0, 9.0, 15.0])[2]))
    shown = [np.array_equal(answer.picture, volume.picture(n)) for n in range(k - 2, k + 3)]
    assert any(shown)
    changed = np.abs(answer.overlay.astype(int) - answer.picture[..., None]).sum(axis=-1) > 30
    assert changed[answer.picture > 128].mean() > 0.6  # coloured on most of the ball
    assert changed[answer.picture <= 128].mean() < 0.2


def test_the_answer_dark_is_not_marked_on_the_bright_square(network: Network, plan: Plans) -> None:
    answer = Predictor.from_network(network(bias=(-1.0,)), plan()).predict(picture())
    assert answer.label == "dark"
    assert answer.heatmap is not None
    assert not answer.heatmap.any()
    assert any("No single place" in w for w in answer.warnings)


def test_without_a_cam_the_map_comes_from_occlusion(network: Network, plan: Plans) -> None:
    predictor = Predictor.from_network(network(bias=(1.0,), cam=False), plan())
    assert predictor.method == "occlusion"
    answer = predictor.predict(picture(at=(40, 12)))
    assert answer.heatmap is not None
    peak = np.unravel_index(answer.heatmap.argmax(), answer.heatmap.shape)
    assert np.abs(np.array(peak[:2]) - (43.5, 15.5)).max() <= 8


@pytest.mark.parametrize(
    ("explanation", "hidden"),
    [
        ({"passed": True, "sentence": "They are true."}, False),
        ({"passed": None, "sentence": "Too few cases."}, False),
        ({"passed": False, "sentence": "They are no better than chance."}, True),
        ({"passed": True, "classes": {"bright": {"passed": False, "sentence": "Not for bright."}}}, True),
        ({"passed": False, "classes": {"bright": {"passed": True, "sentence": ""}}}, False),
        ({"passed": False, "classes": {"bright": {"passed": None, "sentence": ""}}}, True),
    ],
)
def test_heat_maps_that_failed_are_hidden(
    network: Network, plan: Plans, members: Members, tmp_path: Path, explanation: dict[str, Any], hidden: bool
) -> None:
    trust = Trust("binary", ("dark", "bright"), bias=(0.0,), cuts=(0.0,)).to_dict() | {"explanation": explanation}
    file = write_model_file(tmp_path / "m", members(network(bias=(1.0,)), plan(), trust), facts={})
    answer = Predictor.load(file).predict(picture())
    assert (answer.heatmap is None) == hidden
    assert (answer.overlay is None) == hidden
    assert answer.picture is not None
    assert any("hidden" in w for w in answer.warnings) == hidden
    assert (answer.faithful is False) == hidden


def test_no_heat_map_when_none_is_asked_for(network: Network, plan: Plans) -> None:
    answer = Predictor.from_network(network(), plan()).predict(picture(), heatmap=False)
    assert answer.heatmap is None
    assert answer.heatmap_class is None
    assert answer.picture is not None


def test_every_answer_says_research_use(network: Network, plan: Plans) -> None:
    answer = Predictor.from_network(network(), plan()).predict(picture())
    assert answer.warnings[-1] == RESEARCH_USE
    assert "not a medical device" in RESEARCH_USE


def test_a_batch_in_chunks_is_the_batch_at_once(network: Network, plan: Plans) -> None:
    predictor = Predictor.from_network(network(), plan())
    batch = np.random.default_rng(0).random((2 * predictor.chunk + 3, 1, 32, 32), dtype=np.float32)
    together = predictor.run(batch)
    apart = [predictor.run(one[None]) for one in batch]
    for name, values in together.items():
        np.testing.assert_allclose(values, np.concatenate([one[name] for one in apart]), atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 32, 32), (2, 3, 32, 32), (1, 1, 32, 31), (0, 1, 32, 32)])
def test_a_batch_of_another_shape_is_refused(network: Network, plan: Plans, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"takes \(B, 1, 32, 32\)"):
        Predictor.from_network(network(), plan()).run(np.zeros(shape, dtype=np.float32))


def test_an_answer_that_is_not_a_number_is_an_error(network: Network, plan: Plans) -> None:
    broken = np.full((1, 1, 32, 32), np.nan, dtype=np.float32)
    with pytest.raises(FormatError, match="not a number"):
        Predictor.from_network(network(bias=(np.nan,)), plan()).run(np.nan_to_num(broken))


def test_unknown_engines_and_damaged_networks(plan: Plans) -> None:
    with pytest.raises(InputError, match="no engine 'tensorrt'"):
        Predictor.from_network(b"", plan(), engine="tensorrt")
    with pytest.raises(ModelFileError, match="No engine can run the network: openvino cannot"):
        Predictor.from_network(b"not a network", plan())


def test_standardised_intensities_are_those_of_training(network: Network, plan: Plans) -> None:
    shifted = plan(intensity=Intensity(method="range", low=0, high=255, mean=(0.25,), std=(0.5,)))
    predictor = Predictor.from_network(network(), shifted)
    array = predictor.prepare(picture(32, 32, at=(0, 0), side=32))
    np.testing.assert_allclose(array, (1 - 0.25) / 0.5, atol=1e-3)


def test_prediction_never_imports_torch(network: Network, plan: Plans, members: Members, tmp_path: Path) -> None:
    """In a process where torch, MONAI and scikit-learn cannot be imported and no socket can be opened."""
    file = write_model_file(tmp_path / "m.scanwright", members(network(bias=(1.0,)), plan()), facts={"name": "t"})
    code = f"""
import sys, socket
class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {{"torch", "monai", "sklearn", "lightning", "onnx", "onnxscript", "safetensors"}}:
            raise ImportError(f"{{name}} is forbidden here")
sys.meta_path.insert(0, Forbid())
def no(*a, **k):
    raise AssertionError("a connection was tried")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = no
import numpy as np
from scanwright.core import Grid, Volume
from scanwright.inference import Predictor, write_prediction
import scanwright.explain
for engine in ("openvino", "onnxruntime"):
    predictor = Predictor.load({str(file.path)!r}, engine=engine)
    volume = Volume(np.full((1, 64, 64, 1), 200, np.uint8), Grid.of_picture(64, 64))
    answer = predictor.predict(volume, case="a")
    files = write_prediction(answer, {str(tmp_path)!r})
    print(answer.label, predictor.engine.name, sorted(files))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split("\n")[:2] == [
        "bright openvino ['json', 'overlay', 'picture']",
        "bright onnxruntime ['json', 'overlay', 'picture']",
    ]

"""From a volume to structures, lesions, sentences and files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from scanwright.core import Failure, Grid, InputError, ModelFileError, PlanError, Prediction, Volume
from scanwright.inference import SegmentPredictor, open_engine, write_prediction
from scanwright.inference.segment import fewer_windows, gate, pictures, precision
from scanwright.io import read_volume, write_nifti

DATA = Path(__file__).resolve().parents[3] / ".." / "shared" / "data"
AFFINE = np.array([[0, -1.2, 0, 50.123456], [0, 0.1, 2.5, -70], [0.9, 0, 0.2, 10], [0, 0, 0, 1.0]])


def bright(network: Any, size: tuple[int, ...] = (16, 16, 16)) -> bytes:
    """Structure 1 above a third of the range, structure 2 above two thirds."""
    kernel = np.array([0.0, 30.0, 60.0]).reshape(3, 1, *[1] * len(size))
    return bytes(network(size, kernel, [0.0, -10.0, -30.0]))


@pytest.fixture
def volume() -> Volume:
    array = np.zeros((1, 30, 24, 20), np.uint8)
    array[0, 3:9, 4:10, 5:11] = 128
    array[0, 20:26, 12:18, 2:6] = 255
    array[0, 15, 20, 15] = 255
    return Volume(array, Grid((30, 24, 20), AFFINE), modality="MR")


@pytest.fixture
def predictor(network: Any, plan: Any) -> SegmentPredictor:
    return SegmentPredictor.from_network(
        bright(network), plan(("grey", "white"), size=(16, 16, 16), orientation="RAS"), threads=1
    )


def test_structures_lesions_and_amounts(predictor: SegmentPredictor, volume: Volume) -> None:
    answer = predictor.predict(volume, case="one")
    assert answer.label_map is not None
    np.testing.assert_array_equal(answer.label_map.array, np.digitize(volume.array[0], (100, 200)))
    assert answer.label_map.names == {1: "grey", 2: "white"}
    voxel = abs(np.linalg.det(AFFINE)) / 1000
    assert answer.amounts == {"grey": pytest.approx(216 * voxel), "white": pytest.approx(145 * voxel)}
    assert [(one.structure, one.n_voxels) for one in answer.lesions] == [("grey", 216), ("white", 144), ("white", 1)]
    assert answer.label == f"grey {216 * voxel:.3g} mL, white {145 * voxel:.3g} mL"
    assert answer.overlay is not None
    assert answer.overlay.shape[-1] == 3
    assert answer.chances is not None
    assert answer.warnings[-1].startswith("Research use")


def test_rules_of_the_model_file_are_kept(network: Any, plan: Any, volume: Volume) -> None:
    trust = {"post": {"white": {"smallest_voxels": 5}}, "temperature": 2.0, "precision": "int8"}
    one = SegmentPredictor.from_network(
        bright(network), plan(("grey", "white"), size=(16, 16, 16)), trust=trust, threads=1
    )
    answer = one.predict(volume)
    assert [(lesion.structure, lesion.n_voxels) for lesion in answer.lesions] == [("grey", 216), ("white", 144)]
    assert any("1 small pieces were left out" in said for said in answer.warnings)
    with pytest.raises(ModelFileError, match="temperature"):
        SegmentPredictor.from_network(bright(network), plan(("a", "b"), size=(16,) * 3), trust={"temperature": "hot"})


def test_nothing_found_is_an_answer(predictor: SegmentPredictor, volume: Volume) -> None:
    empty = Volume(np.random.default_rng(0).integers(0, 9, volume.array.shape).astype(np.uint8), volume.grid)
    answer = predictor.predict(empty)
    assert answer.label == "nothing found"
    assert answer.lesions == ()
    assert answer.amounts == {"grey": 0, "white": 0}
    assert any(said.startswith("Nothing was found") for said in answer.warnings)


def test_many_cases_and_a_bad_one(predictor: SegmentPredictor, volume: Volume) -> None:
    def broken() -> Volume:
        raise InputError("The file is empty.", "An image has voxels.", "Copy it again.")

    told: list[Any] = []
    items = [("a", lambda: volume), ("b", broken), ("c", lambda: volume)]
    results = list(predictor.predict_many(items, emit=told.append))
    assert [type(one) for one in results] == [Prediction, Failure, Prediction]
    assert [one.case for one in results] == ["a", "b", "c"]
    assert "file is empty" in results[1].reason  # type: ignore[union-attr]
    assert told[-1].done == 3


def test_objects_are_numbered(network: Any, plan: Any) -> None:
    chosen = plan(("nucleus",), {"target": "instances"}, dimension=2, size=(32, 32))
    # inside above two thirds of the range, border between one third and two thirds
    kernel = np.array([0.0, 60.0, 30.0]).reshape(3, 1, 1, 1)
    one = SegmentPredictor.from_network(
        bytes(network((32, 32), kernel, [0.0, -30.0, -10.0])), chosen, trust={"instances": {"smallest": 4}}, threads=1
    )
    array = np.zeros((1, 40, 50, 1), np.uint8)
    array[0, 5:21, 5:35] = 128
    array[0, 8:18, 8:18] = array[0, 8:18, 22:32] = 255
    answer = one.predict(Volume(array, Grid.of_picture(40, 50)))
    assert answer.label_map is not None
    assert answer.label_map.array.max() == 2
    np.testing.assert_array_equal(answer.label_map.array > 0, array[0] > 0)
    assert answer.label_map.array[10, 19, 0] == 1
    assert answer.label_map.array[10, 20, 0] == 2
    assert len(answer.lesions) == 2
    assert answer.label == "nucleus 480 pixels in 2 objects"


def test_files_of_a_volume_are_read_back(predictor: SegmentPredictor, volume: Volume, tmp_path: Path) -> None:
    source = write_nifti(tmp_path / "source.nii.gz", volume.array[0], volume.grid)
    answer = predictor.predict(read_volume(source), case="patients/one.nii.gz")
    files = write_prediction(answer, tmp_path / "results", source=source)
    folder = tmp_path / "results" / "patients__one.nii.gz"
    assert {path.name for path in folder.iterdir()} == {
        "segmentation.nii.gz",
        "lesions.csv",
        "answer.json",
        "overlay.png",
        "overlay.gif",
    }
    written: Any = nibabel.load(files["segmentation"])
    np.testing.assert_allclose(written.affine, nibabel.load(source).affine, atol=1e-4)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(np.asarray(written.dataobj), answer.label_map.array)  # type: ignore[union-attr]
    rows = list(csv.DictReader(files["lesions"].open()))
    assert [row["structure"] for row in rows] == ["grey", "white", "white"]
    assert float(rows[0]["volume_ml"]) == pytest.approx(216 * abs(np.linalg.det(AFFINE)) / 1000, rel=1e-4)
    place = volume.grid.world((5.5, 6.5, 7.5))
    assert [float(rows[0][c]) for c in ("x_mm", "y_mm", "z_mm")] == pytest.approx(place, abs=1e-3)
    told = json.loads(files["json"].read_text(encoding="utf-8"))
    assert told["label"] == answer.label
    assert len(told["lesions"]) == 3
    with Image.open(files["film"]) as shown:
        lengths = [shown.info["duration"] for n in range(shown.n_frames) if shown.seek(n) is None]  # type: ignore[attr-defined]
    assert sum(lengths) == 20 * 80, "twenty slices of 80 ms; equal neighbours are one longer frame"


def test_a_picture_is_written_as_png(network: Any, plan: Any, tmp_path: Path) -> None:
    one = SegmentPredictor.from_network(
        bright(network, (16, 16)), plan(("grey", "white"), dimension=2, size=(16, 16)), threads=1
    )
    array = np.zeros((1, 20, 30, 1), np.uint8)
    array[0, 2:9, 3:20] = 255
    answer = one.predict(Volume(array, Grid.of_picture(20, 30)), case="p")
    files = write_prediction(answer, tmp_path)
    with Image.open(files["segmentation"]) as flat:
        np.testing.assert_array_equal(np.asarray(flat), array[0, ..., 0] // 255 * 2)


def test_structures_are_drawn_where_the_picture_shows_them(volume: Volume, predictor: SegmentPredictor) -> None:
    answer = predictor.predict(volume)
    assert answer.label_map is not None
    k = pictures.best_slice(answer.label_map.array)
    plain, drawn = volume.picture(k), pictures.paint(volume, answer.label_map, k)
    assert drawn.shape[:2] == plain.shape
    coloured = drawn.max(axis=-1) != drawn.min(axis=-1)
    np.testing.assert_array_equal(coloured, plain > 0)
    white = [tuple(p) for p in drawn[plain > 200]]
    assert tuple(pictures.COLOURS[1]) in white, "the outline of structure 2 has its colour"


def test_colours_stay_apart_for_the_colour_blind() -> None:
    # Okabe and Ito's table; the smallest distance of any two in the plane that a deuteranope sees
    colours = np.array(pictures.COLOURS[:7], dtype=float) / 255
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    deuteranope = np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
    )
    seen = np.clip(linear @ deuteranope.T, 0, 1)
    apart = [np.linalg.norm(seen[a] - seen[b]) for a in range(7) for b in range(a)]
    assert min(apart) > 0.08


def test_precision_is_gated_by_agreement(network: Any, plan: Any) -> None:
    chosen = plan(("grey", "white"), size=(16, 16, 16))
    engine = open_engine(bright(network), "openvino", threads=1, precision="bf16").engine
    if engine.precision != "bf16":  # type: ignore[attr-defined]
        pytest.skip("this CPU does not compute in bfloat16")
    clear = np.zeros((1, 16, 16, 16), np.float32)
    clear[0, 4:10, 4:10, 4:10] = 1.0
    truth = (clear[0] * 2).astype(np.uint8)
    allowed = gate(bright(network), chosen, [clear], [truth], threads=1, faster=0.0)
    assert allowed["precision"] == "bf16"
    assert allowed["tried"]["bf16"]["agreement"] == 1.0
    assert allowed["tried"]["bf16"]["dice_change"] == 0.0
    # Values so close to the border between background and structure 1 that eight bits cannot tell them apart:
    near = np.random.default_rng(0).uniform(1 / 3 - 1e-3, 1 / 3 + 1e-3, (1, 16, 16, 16)).astype(np.float32)
    refused = gate(bright(network), chosen, [near], [None], threads=1, faster=0.0)
    slow = gate(bright(network), chosen, [clear], [truth], threads=1, faster=1e9)
    assert slow["precision"] == "f32"
    assert "not faster here" in slow["reason"]
    assert refused["precision"] == "f32"
    assert "stay equal" in refused["reason"]


def test_eight_bits_are_gated_on_their_own_network(network: Any, plan: Any) -> None:
    """The network that is given for 8-bit integers is the one that is compared, and only it is refused."""
    chosen = plan(("grey", "white"), size=(16, 16, 16))
    clear = np.zeros((1, 16, 16, 16), np.float32)
    clear[0, 4:10, 4:10, 4:10] = 1.0
    truth = (clear[0] * 2).astype(np.uint8)
    same, other = bright(network), bytes(network((16, 16, 16), np.zeros((3, 1, 1, 1, 1)), [9.0, 0.0, 0.0]))
    allowed = gate(same, chosen, [clear], [truth], eight_bit=same, threads=1, faster=0.0)
    assert allowed["tried"]["int8"]["agreement"] == 1.0
    assert not allowed["tried"]["int8"]["refused"]
    wrong = gate(same, chosen, [clear], [truth], eight_bit=other, threads=1, faster=0.0)
    assert wrong["tried"]["int8"]["refused"]
    assert "8-bit integers" in wrong["tried"]["int8"]["verdict"]
    assert wrong["precision"] != "int8"


def test_a_precision_without_hope_is_not_asked_again(network: Any, plan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    answer = precision._answer

    def counted(engine: Any, array: Any, plan: Any) -> Any:
        asked.append(engine)
        return answer(engine, array, plan)

    monkeypatch.setattr(precision, "_answer", counted)
    clear = np.zeros((1, 16, 16, 16), np.float32)
    clear[0, 4:10, 4:10, 4:10] = 1.0
    same, other = bright(network), bytes(network((16, 16, 16), np.zeros((3, 1, 1, 1, 1)), [9.0, 0.0, 0.0]))
    chosen = plan(("grey", "white"), size=(16, 16, 16))
    gate(same, chosen, [clear] * 3, [None] * 3, eight_bit=other, threads=1, faster=0.0)
    assert asked.count(asked[0]) == 3
    assert sorted({asked.count(engine) for engine in asked}) == [1, 3]


def test_windows_overlap_less_where_answers_stay_the_same(network: Any, plan: Any) -> None:
    chosen = plan(("grey", "white"), size=(16, 16, 16), segmentation={"overlap": 0.5})
    case = np.zeros((1, 40, 40, 40), np.float32)
    case[0, 10:30, 10:30, 10:30] = 1.0
    truth = (case[0] * 2).astype(np.uint8)
    told = fewer_windows(bright(network), chosen, [case], [truth], threads=1, faster=0.0)
    assert (told["overlap"], told["agreement"], told["dice_change"]) == (0.25, 1.0, 0.0)
    slow = fewer_windows(bright(network), chosen, [case], [truth], threads=1, faster=1e9)
    assert slow["overlap"] == 0.5
    assert "not faster here" in slow["reason"]
    assert fewer_windows(bright(network), plan(segmentation={"overlap": 0.25}), [], [])["overlap"] == 0.25


def test_windows_keep_their_overlap_where_answers_depend_on_their_places(network: Any, plan: Any) -> None:
    """A network that looks far beyond its voxel answers otherwise near the edge of a window, where zeros are padded."""
    wide = np.zeros((3, 1, 15, 1, 1))
    wide[1] = 1.0
    edged = network((16, 16, 16), wide, [14.5, 0.0, -9.0])
    chosen = plan(("grey", "white"), size=(16, 16, 16), segmentation={"overlap": 0.5})
    told = fewer_windows(edged, chosen, [np.ones((1, 40, 40, 40), np.float32)], [None], threads=1, faster=0.0)
    assert told["overlap"] == 0.5
    assert told["agreement"] < 0.999
    assert "stay equal" in told["reason"]


def test_a_model_file_says_how_much_windows_overlap(network: Any, plan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from scanwright.inference.segment import predictor as room

    chosen = plan(("grey", "white"), size=(16, 16, 16), segmentation={"overlap": 0.5})
    seen: list[float] = []
    slabs = room.slide_slabs

    def noted(engine: Any, array: Any, plan: Any, **rest: Any) -> Any:
        seen.append(plan.segmentation.overlap)
        return slabs(engine, array, plan, **rest)

    monkeypatch.setattr(room, "slide_slabs", noted)
    volume = Volume(np.full((1, 20, 20, 20), 255, np.uint8), Grid((20, 20, 20)))
    for trust in ({}, {"windows": {"overlap": 0.25}}):
        opened = SegmentPredictor.from_network(bright(network), chosen, trust=trust, threads=1)
        assert opened.predict(volume).label_map is not None
        assert opened.plan.segmentation is not None
        assert opened.plan.segmentation.overlap == 0.5, "the plan is told as it was made"
    assert seen == [0.5, 0.25]
    with pytest.raises(ModelFileError, match="overlap of windows"):
        SegmentPredictor.from_network(bright(network), chosen, trust={"windows": {"overlap": 2}}, threads=1)


def test_unknown_precisions_and_other_tasks_are_refused(network: Any, plan: Any) -> None:
    with pytest.raises(InputError, match="precision 'f8'"):
        open_engine(bright(network), precision="f8")
    chosen = plan(("a", "b"), size=(16,) * 3)
    other = chosen.model_copy(update={"task": "multiclass", "segmentation": None})
    with pytest.raises(PlanError, match="answers the task 'segment' alone"):
        SegmentPredictor.from_network(bright(network), other, threads=1)


def test_the_right_predictor_is_opened(network: Any, plan: Any, members: Any, volume: Volume, tmp_path: Path) -> None:
    from scanwright.inference import open_predictor
    from scanwright.io.model_file import write_model_file

    chosen = plan(("grey", "white"), size=(16, 16, 16))
    trust = {"precision": {"precision": "bf16", "agreement": 1.0}, "post": {"white": {"keep": 1}}}
    packed = members(bright(network), chosen, trust)
    write_model_file(tmp_path / "m.scanwright", packed, facts={"name": "m", "version": "1.0.0"})
    opened = open_predictor(tmp_path / "m.scanwright", threads=1)
    assert isinstance(opened, SegmentPredictor)
    assert (opened.task, opened.classes, opened.n_outputs) == ("segment", ("grey", "white"), 3)
    answer = opened.predict(volume)
    assert answer.model["name"] == "m"
    assert answer.amounts["white"] == pytest.approx(144 * abs(np.linalg.det(AFFINE)) / 1000)


def test_a_dicom_series_gets_dicom_back(network: Any, plan: Any, tmp_path: Path) -> None:
    import importlib.util

    if importlib.util.find_spec("scanwright.io.dicom.objects") is None:
        pytest.skip("this version writes no DICOM objects of segmentations")
    source = DATA / "dicom_ct_liver_seg" / "ct"
    if not source.is_dir():
        pytest.skip("needs shared/data/dicom_ct_liver_seg")
    import pydicom

    from scanwright.core import Intensity

    window = Intensity(method="window", low=-1000, high=1000)
    chosen = plan(("bone",), dimension=2, size=(256, 256), intensity=window)
    kernel = np.array([0.0, 100.0]).reshape(2, 1, 1, 1)  # the border lies at 250 HU
    trust = {"post": {"bone": {"keep": 3}}}
    one = SegmentPredictor.from_network(
        bytes(network((256, 256), kernel, [0.0, -62.5])), chosen, trust=trust, threads=1
    )
    volume = read_volume(source)
    answer = one.predict(volume, case="ct")
    assert answer.label_map is not None
    inside = volume.array[0][answer.label_map.array == 1]
    assert inside.min() >= 249, "HU"
    files = write_prediction(answer, tmp_path / "out", source=source, volume=volume)
    told = json.loads(files["json"].read_text(encoding="utf-8"))
    assert "not_written" not in told, told["not_written"]
    assert pydicom.dcmread(files["seg"]).Modality == "SEG"
    assert {"seg", "sr", "summary"} <= set(files)

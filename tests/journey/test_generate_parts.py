"""Sizes, values and words of generation that need no network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scanwright import workflow
from scanwright.core import Fingerprint, InputError, Intensity, Preprocessing, silent
from scanwright.io import RunFolder, read_cohort
from scanwright.journey.generate.asking import WORK, Wish, check_out
from scanwright.journey.generate.learning import generator_spec, prepare
from scanwright.journey.generate.writing import Look, folder_name


def fingerprint(shape: tuple[int, int, int], **changes: object) -> Fingerprint:
    values = {
        "n_cases": {"train": 100},
        "n_per_class": {"a": 50, "b": 50},
        "n_patients": 100,
        "dimension": 2 if shape[2] == 1 else 3,
        "modality": None,
        "unit": "1",
        "n_channels": 1,
        "colour": False,
        "shape_min": shape,
        "shape_median": shape,
        "shape_max": shape,
        "spacing_median": None,
        "intensity_min": 0.0,
        "intensity_max": 255.0,
        "intensity_percentiles": {},
        "intensity_mean": 100.0,
        "intensity_std": 40.0,
        "integer_8_bit": True,
        "two_valued": False,
        "n_measured": 100,
    }
    return Fingerprint.model_validate(values | changes)


@pytest.mark.parametrize(
    ("shape", "planned", "size", "gpu", "made"),
    [
        ((28, 28, 1), (28, 28), None, False, (28, 28)),
        ((512, 512, 1), (224, 224), None, False, (128, 128)),
        ((512, 512, 1), (224, 224), None, True, (224, 224)),
        ((512, 256, 1), (224, 112), 64, False, (64, 32)),
        ((60, 50, 1), (60, 50), None, False, (64, 48)),
        ((64, 64, 64), (64, 64, 64), None, False, (32, 32, 32)),
        ((28, 28, 28), (28, 28, 28), None, False, (28, 28, 28)),
    ],
)
def test_sizes_divide_evenly_and_large_images_are_made_small_aloud(
    shape: tuple[int, int, int], planned: tuple[int, ...], size: int | None, gpu: bool, made: tuple[int, ...]
) -> None:
    spec = Preprocessing(dimension=len(planned), size=planned, intensity=Intensity(clahe=True, contrast=1.3))  # type: ignore[arg-type]
    found, said = generator_spec(spec, fingerprint(shape), size, gpu=gpu)
    assert found.size == made
    assert bool(said) == (max(made) < max(shape)), "a loss of size is said"
    assert (found.intensity.mean, found.intensity.std) == ((0.5,), (0.5,)), "values become -1 .. 1"
    assert not found.intensity.clahe
    assert found.intensity.contrast == 1


def test_spacing_follows_the_size() -> None:
    spec = Preprocessing(dimension=3, size=(64, 64, 32), spacing_mm=(1.0, 1.0, 3.0))
    found, _ = generator_spec(spec, fingerprint((64, 64, 32)), None, gpu=False)
    assert found.size == (32, 32, 16)
    assert found.spacing_mm == (2.0, 2.0, 6.0)


def test_values_come_back_in_their_unit() -> None:
    spec = Preprocessing(dimension=3, size=(2, 2, 2), intensity=Intensity(method="window", low=-1000, high=400))
    look = Look.of(spec, fingerprint((2, 2, 2), unit="HU", spacing_median=(1.0, 2.0, 3.0)))
    voxels = look.voxels(np.array([-1, 1, 0, 2] * 2, np.float32).reshape(1, 2, 2, 2))
    assert voxels.dtype == np.int16
    assert voxels.ravel()[:4].tolist() == [-1000, 400, -300, 400]
    assert look.unit == "HU"
    grid = look.grid((2, 2, 2))
    assert grid is not None
    assert grid.spacing == pytest.approx((1, 2, 3))
    middle = grid.affine @ [0.5, 0.5, 0.5, 1]
    assert middle[:3] == pytest.approx([0, 0, 0])


def test_pictures_are_bytes_and_shapes_hold_two_values() -> None:
    spec = Preprocessing(dimension=2, size=(2, 2))
    grey = Look.of(spec, fingerprint((2, 2, 1))).voxels(np.array([[[-1, 0], [0.5, 1]]], np.float32))
    assert grey.shape == (1, 2, 2, 1)
    assert grey.ravel().tolist() == [0, 128, 191, 255]
    two = Look.of(spec, fingerprint((2, 2, 1), two_valued=True)).voxels(np.array([[[-1, -0.1], [0.1, 1]]], np.float32))
    assert two.ravel().tolist() == [0, 0, 255, 255]


def test_only_a_folder_of_its_own_will_do(tmp_path: Path) -> None:
    check_out(tmp_path / "new")
    check_out(tmp_path)
    (tmp_path / WORK).mkdir()
    check_out(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "image.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"holds 'image.png'\. Synthetic images go into a folder of their own"):
        check_out(other)
    with pytest.raises(InputError, match="Choose another folder"):
        check_out(other / "image.png")


def test_classes_become_folder_names() -> None:
    assert folder_name("benign") == "benign"
    assert folder_name("a/b: c") == "a_b_ c"
    assert folder_name("..") == ""


def test_a_narrow_window_keeps_its_steps_and_greys_mean_the_same_in_every_image() -> None:
    spec = Preprocessing(dimension=2, size=(2, 2), intensity=Intensity(method="window", low=0, high=10))
    look = Look.of(spec, fingerprint((2, 2, 1), unit="SUVbw"))
    one = np.array([[[-1.0, -0.96], [-0.94, -0.9]]], np.float32)
    assert len(set(look.voxels(one).ravel().tolist())) == 4, "steps of a tenth of a unit are kept"
    assert look.grey(one).ravel().tolist() == [0, 5, 8, 13], "not stretched to the image's own range"


def test_the_parts_are_those_that_a_run_draws(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (16, 16), dtype=np.uint8) for _ in range(60)]
    pictures[7] = pictures[4]  # copies must lie in one part
    lines = ["image,age,kind"]
    for k, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{k:02d}.png")
        lines.append(f"{k:02d}.png,{20 + k},{'ab'[k % 2]}")
    (tmp_path / "table.csv").write_text("\n".join(lines))
    for column in ("kind", "age"):
        workflow.run(tmp_path, out=tmp_path.parent / f"run-{column}", until="check", labels=column, seed=3)
        parts = {c.source: c.part for c in read_cohort(tmp_path.parent / f"run-{column}").cases}
        folder = RunFolder(tmp_path.parent / f"learn-{column}")
        with folder.opened(silent) as tell:
            made = prepare(
                folder, Wish.of(tmp_path, tmp_path.parent / "out", {"labels": column, "seed": 3, "size": 16}), tell
            )
        assert {c.source: c.part for c in made.cohort.cases} == {s: p for s, p in parts.items() if p != "test"}

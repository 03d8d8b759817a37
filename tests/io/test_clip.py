"""Frames of one case from several files, and the moments that headers tell."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from scanwright.core import GeometryError, InputError
from scanwright.io import read_volume
from scanwright.io.clip import frames_together, natural, taken_at
from scanwright.phantom import write_phantom


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom("chest-followup", tmp_path_factory.mktemp("visits"), patients=4, size=32)


@pytest.fixture(scope="module")
def hearts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom("heart-clip", tmp_path_factory.mktemp("hearts"), patients=4, size=32)


def png(path: Path, shape: tuple[int, ...] = (8, 6), value: int = 7) -> str:
    Image.fromarray(np.full(shape, value, np.uint8)).save(path)
    return path.name


def test_pictures_lie_behind_one_another_in_their_order(tmp_path: Path) -> None:
    names = [png(tmp_path / f"{n}.png", value=n) for n in (3, 1, 2)]
    volume = read_volume(" > ".join(names), root=tmp_path)
    assert volume.array[0, 0, 0].tolist() == [3, 1, 2]
    assert volume.grid.shape == (8, 6, 3)
    assert volume.moments == ()
    assert volume.picture(1).shape == (8, 6), "as it is hung, not turned"


def test_grey_frames_among_coloured_ones_become_coloured(tmp_path: Path) -> None:
    names = [png(tmp_path / "1.png", (8, 6, 3)), png(tmp_path / "2.png")]
    volume = read_volume(" > ".join(names), root=tmp_path)
    assert (volume.channel, volume.array.shape) == ("rgb", (3, 8, 6, 2))


def test_frames_of_two_sizes_are_refused(tmp_path: Path) -> None:
    names = [png(tmp_path / "1.png"), png(tmp_path / "2.png", (9, 6))]
    with pytest.raises(GeometryError, match=r"2\.png has 9 x 6 pixels and 1\.png 8 x 6"):
        read_volume(" > ".join(names), root=tmp_path)


def test_a_volume_is_no_frame(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 3), np.uint8), np.eye(4)), tmp_path / "v.nii")
    with pytest.raises(InputError, match="a volume of 3 slices"):
        read_volume("v.nii > v.nii", root=tmp_path)


def test_visits_carry_their_days(visits: Path) -> None:
    files = sorted((visits / "patients" / "PH0001").rglob("*.*"), key=lambda p: p.as_posix())
    dates = [np.datetime64(f"{p.parent.name[:4]}-{p.parent.name[4:6]}-{p.parent.name[6:8]}") for p in files]
    volume = read_volume(" > ".join(str(p) for p in files))
    assert volume.moment_unit == "days"
    whole = [float((d - dates[0]) / np.timedelta64(1, "D")) for d in dates]
    assert np.abs(np.array(volume.moments) - whole).max() < 1


def test_visits_against_time_have_no_moments(visits: Path) -> None:
    files = sorted((visits / "patients" / "PH0001").rglob("*.*"), reverse=True)
    assert read_volume(" > ".join(map(str, files))).moments == ()


def test_a_clip_has_its_seconds(hearts: Path) -> None:
    volume = read_volume(next(hearts.rglob("US*.dcm")))
    assert volume.moment_unit == "s"
    assert len(volume.moments) == volume.grid.shape[2] >= 12
    gaps = np.diff(volume.moments)
    assert 0.02 < gaps.mean() < 0.12
    assert np.allclose(gaps, gaps[0], atol=1e-5)


def test_a_time_series_of_nifti_has_its_seconds(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((4, 4, 1, 3), np.int16), np.eye(4))
    image.header.set_zooms((1, 1, 1, 2.5))
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, tmp_path / "bold.nii.gz")
    volume = read_volume(tmp_path / "bold.nii.gz")
    assert (volume.channel, volume.moments, volume.moment_unit) == ("time", (0, 2.5, 5.0), "s")


def test_frames_are_put_together_by_folder_or_by_patient_and_date(visits: Path, tmp_path: Path) -> None:
    pictures = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for n in (10, 9):
            png(tmp_path / folder / f"{n}.png")
            pictures.append(tmp_path / folder / f"{n}.png")
    found = frames_together(pictures, "time")
    assert [[p.name for p in group] for group in found] == [["9.png", "10.png"]] * 2
    files = [p for p in visits.rglob("*.*") if "patients" in p.parts]
    people = frames_together(sorted(files, reverse=True), "visit")
    assert len(people) == 4
    for group in people:
        assert len({p.parts[-3] for p in group}) == 1
        assert [p.parent.name for p in group] == sorted(p.parent.name for p in group)


def test_numbers_in_names_count_as_numbers() -> None:
    assert sorted(["a10", "a9", "a1"], key=natural) == ["a1", "a9", "a10"]


def test_several_clips_of_a_folder_are_several_cases(hearts: Path, tmp_path: Path) -> None:
    import shutil

    from scanwright.core import Frames
    from scanwright.io.probing import is_picture
    from scanwright.journey.answering import asked_cases, with_frames

    clips = sorted(hearts.rglob("US*.dcm"))[:2]
    for n, clip in enumerate(clips):
        shutil.copy(clip, tmp_path / f"clip{n}.dcm")
    for n in range(3):
        png(tmp_path / f"{n}.png", (32, 32))
    assert not is_picture(tmp_path / "clip0.dcm")
    assert is_picture(tmp_path / "0.png")
    found = with_frames(asked_cases([tmp_path]), Frames(most=12, by="time"))
    shapes = sorted(read().grid.shape[2] for _, read, _ in found)
    assert len(found) == 3
    assert shapes[0] == 3, "the loose pictures are the frames of one case"
    assert min(shapes[1:]) >= 12


def test_a_damaged_header_tells_no_time_and_stops_nothing(visits: Path, tmp_path: Path) -> None:
    whole = sorted(p for p in visits.rglob("*.dcm") if "patients" in p.parts)[0]
    assert taken_at(whole, None) is not None
    data = whole.read_bytes()
    for n, cut in enumerate((140, 400, 700, 900)):
        (tmp_path / f"{n}.dcm").write_bytes(data[:cut] + bytes([255]) * 40)
        taken_at(tmp_path / f"{n}.dcm", None)
    files = sorted(tmp_path.glob("*.dcm"))
    assert sorted(f for group in frames_together(files, "visit") for f in group) == files
    assert taken_at(tmp_path / "missing.dcm", None) is None

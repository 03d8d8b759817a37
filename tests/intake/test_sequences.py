"""Which pictures are frames of one case: folders, columns, dates; and what is refused."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scanwright.core import CohortError, InputError
from scanwright.intake import check, scan
from scanwright.io import read_case, read_cohort, write_cohort
from scanwright.phantom import write_phantom


def picture(path: Path, value: int = 0, size: tuple[int, int] = (12, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(abs(hash(path.as_posix())) % 2**32)
    Image.fromarray((rng.integers(0, 60, size) + value).astype(np.uint8)).save(path)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Two classes of five cases, each a folder of three to five numbered pictures."""
    for k in range(10):
        for frame in range(3 + k % 3):
            picture(tmp_path / ("well", "ill")[k % 2] / f"case{k}" / f"frame_{frame + 1}.png", 10 * frame)
    return tmp_path


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    """Pictures of six patients at two slices and three phases, with a table."""

    def make(columns: tuple[str, ...] = ("phase", "slice"), **more: Callable[[int, int, int], object]) -> Path:
        rows = []
        for patient in range(6):
            for cut in range(2):
                for phase in (20, 3, 11):
                    name = f"p{patient}_{cut}_{phase}.png"
                    picture(tmp_path / "images" / name, 5 * phase)
                    row = {
                        "file": name,
                        "patient": f"p{patient}",
                        "group": "abc"[patient % 2],
                        "phase": phase,
                        "slice": cut,
                    }
                    row = {k: v for k, v in row.items() if k not in ("phase", "slice") or k in columns}
                    rows.append(row | {k: f(patient, cut, phase) for k, f in more.items()})
        with (tmp_path / "frames.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return tmp_path

    return make


def test_folders_of_numbered_pictures_are_cases(folders: Path) -> None:
    cohort = scan(folders)
    assert cohort.frames == "time"
    assert len(cohort) == 10
    assert cohort.dimension == 2
    one = next(c for c in cohort.cases if c.id == "case2")
    assert one.source.split(" > ") == [f"well/case2/frame_{n}.png" for n in range(1, 6)]
    guess = next(g for g in cohort.guesses if g.what == "sequence")
    assert "10 cases of 3 to 5 frames" in guess.value
    assert guess.option == "--sequence no"
    volume = read_case(one, root=cohort.root)
    assert volume.array.shape == (1, 12, 10, 5)


def test_no_means_no(folders: Path) -> None:
    cohort = scan(folders, sequence="no")
    assert cohort.frames == ""
    assert len(cohort) == 40 - 1


def test_ten_comes_after_nine(tmp_path: Path) -> None:
    for k in range(6):
        for frame in range(11):
            picture(tmp_path / ("a", "b")[k % 2] / f"c{k}" / f"{frame}.png", frame)
    one = scan(tmp_path).cases[0]
    assert [s.rsplit("/", 1)[1] for s in one.source.split(" > ")] == [f"{n}.png" for n in range(11)]


def test_a_patient_folder_of_loose_pictures_is_no_sequence(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for k in range(12):
        for number in rng.choice(9000, 3, replace=False):
            picture(tmp_path / ("a", "b")[k % 2] / f"patient{k}" / f"IMG_{number}.png")
    assert scan(tmp_path).frames == ""


def test_a_column_orders_the_frames_of_a_patient_and_slice(table: Callable[..., Path]) -> None:
    cohort = scan(table(), sequence="phase/slice")
    assert len(cohort) == 12
    one = cohort.cases[0]
    assert [s.split("_")[-1] for s in one.source.split(" > ")] == ["3.png", "11.png", "20.png"]
    assert one.moments == (0, 8, 17)
    assert one.moment_unit == "phase"
    assert one.patient == "p0"
    assert one.covariates == {"slice": 0}


def test_frames_at_the_same_place_need_another_column(table: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="--sequence phase/slice"):
        scan(table(), sequence="phase")


def test_dates_become_days(table: Callable[..., Path]) -> None:
    folder = table((), taken=lambda p, cut, phase: f"2024-0{cut + 1}-{phase:02d}")
    cohort = scan(folder, sequence="taken")
    assert cohort.frames == "visit"
    assert cohort.cases[0].moment_unit == "days"
    assert cohort.cases[0].moments == (0, 8, 17, 31, 39, 48)


def test_an_unknown_column_names_the_nearest(table: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="Did you mean --sequence phase"):
        scan(table(), sequence="phse")


def test_a_word_is_no_place_in_an_order(table: Callable[..., Path]) -> None:
    folder = table((), when=lambda p, cut, phase: f"{'early' if phase < 5 else 'late'}{phase}{cut}")
    with pytest.raises(InputError, match="a number or a date"):
        scan(folder, sequence="when")


def test_frames_of_different_classes_are_refused(table: Callable[..., Path]) -> None:
    folder = table(state=lambda p, cut, phase: "big" if phase > 5 else "small")
    with pytest.raises(CohortError, match="have the labels"):
        scan(folder, labels="state", sequence="phase/slice")


def test_single_frames_are_left_out_and_named(folders: Path) -> None:
    picture(folders / "well" / "lonely" / "frame_1.png")
    cohort = scan(folders, sequence="time")
    assert len(cohort) == 10
    assert any("lonely" in s.source and "single frame" in s.reason for s in cohort.skipped)


def test_only_single_frames_are_no_sequences(tmp_path: Path) -> None:
    for k in range(6):
        picture(tmp_path / ("a", "b")[k % 2] / f"c{k}" / "1.png")
    with pytest.raises(CohortError, match="No case has two frames"):
        scan(tmp_path, sequence="time")


def test_pictures_without_numbers_have_no_order(tmp_path: Path) -> None:
    for k in range(6):
        for name in ("first", "second"):
            picture(tmp_path / ("a", "b")[k % 2] / f"c{k}" / f"{name}.png")
    with pytest.raises(InputError, match="no number in its name"):
        scan(tmp_path, sequence="time")


def test_frames_of_different_sizes_are_found_before_training(folders: Path) -> None:
    picture(folders / "ill" / "case1" / "frame_2.png", size=(30, 10))
    found = check(scan(folders))
    crooked = next(f for f in found if f.kind == "crooked-volume")
    assert crooked.cases == ("case1",)
    assert "30 x 10" in crooked.text


def test_a_cohort_of_sequences_is_read_back(table: Callable[..., Path], tmp_path: Path) -> None:
    cohort = scan(table(), sequence="phase/slice")
    write_cohort(tmp_path / "out", cohort) if (tmp_path / "out").mkdir() is None else None
    again = read_cohort(tmp_path / "out")
    assert again.frames == "time"
    assert [c.moments for c in again.cases] == [c.moments for c in cohort.cases]
    assert again.cases[0].moment_unit == "phase"
    assert [c.source for c in again.cases] == [c.source for c in cohort.cases]


def test_masks_are_no_sequences(tmp_path: Path) -> None:
    for k in range(4):
        picture(tmp_path / "images" / f"{k}.png")
        path = tmp_path / "masks" / f"{k}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray((np.indices((12, 10)).sum(0) > 9).astype(np.uint8) * 255).save(path)
    with pytest.raises(InputError, match="the truth is masks"):
        scan(tmp_path, task="segment", sequence="time")


def test_a_few_visits_without_a_date_are_left_out_and_named_many_are_refused(tmp_path: Path) -> None:
    import pydicom

    folder = write_phantom("chest-followup", tmp_path / "visits", patients=6, size=32, faults=False)
    files = sorted(p for p in folder.rglob("*.dcm") if "patients" in p.parts)
    n = len(scan(folder, sequence="visit").cases)

    def undate(path: Path) -> None:
        data = pydicom.dcmread(path)
        for name in (
            "AcquisitionDateTime",
            *(f"{w}{x}" for w in ("Acquisition", "Content", "Series", "Study") for x in ("Date", "Time")),
        ):
            if name in data:
                del data[name]
        data.save_as(path)

    undate(files[0])
    cohort = scan(folder, sequence="visit")
    assert len(cohort.cases) == n
    assert any("does not say when" in s.reason for s in cohort.skipped)
    for path in files[1 : len(files) // 2]:
        undate(path)
    with pytest.raises(InputError, match="nor do .* other pictures"):
        scan(folder, sequence="visit")

"""From a folder of images to new ones, as a person asks for it; and every wrong way to ask."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scanwright import workflow
from scanwright.core import CohortError, InputError, ModelFileError, silent
from scanwright.intake import check, scan
from scanwright.io import is_synthetic, read_generator_file
from scanwright.journey.generate.asking import WORK, Wish, shares
from scanwright.journey.generating import Generated, generate


def bars(n: int, seed: int, *, upright: bool) -> list[np.ndarray]:
    """Pictures of one bright bar in noise: standing or lying, anywhere."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        picture = rng.normal(60, 8, (16, 16))
        at = int(rng.integers(2, 12))
        picture[slice(None) if upright else slice(at, at + 3), slice(at, at + 3) if upright else slice(None)] += 130
        found.append(np.clip(picture, 0, 255).astype(np.uint8))
    return found


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bars") / "bars"
    for k, name in enumerate(("standing", "lying")):
        (root / name).mkdir(parents=True)
        for i, picture in enumerate(bars(120, k, upright=not k)):
            Image.fromarray(picture).save(root / name / f"{name}{i}.png")
    return root


@pytest.fixture(scope="module")
def made(cohort: Path, tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Generated:
    """One learning that all tests look at."""
    out = tmp_path_factory.mktemp("made") / "teaching"
    wish = Wish.of(cohort, out, {"count": 12, "budget": "2h", "steps": 6, "size": 8, "cache": cache})
    return generate(wish, silent, most_steps=300)


def test_there_is_one_folder_a_class_and_every_image_is_marked(made: Generated) -> None:
    assert len(made.files) == 12
    assert {p.parent.name for p in made.files} == {"standing", "lying"}
    assert all(is_synthetic(p) for p in made.files)
    assert all(Image.open(p).size == (8, 8) for p in made.files)
    rows = list(csv.DictReader((made.path / "synthetic.csv").open()))
    assert [made.path / row["file"] for row in rows] == made.files
    assert {row["class"] for row in rows} == {"standing", "lying"}
    assert len({row["seed"] for row in rows}) == 12
    assert all(float(row["nearest_pixels"]) > 0 for row in rows)
    assert any("Images of 16 x 16 are learnt and drawn at 8 x 8" in note for note in made.notes)
    assert not (made.path / WORK).exists(), "no prepared image of a patient stays beside synthetic ones"


@pytest.mark.slow
def test_the_images_are_of_their_class(made: Generated) -> None:
    """A standing bar makes columns differ, a lying one rows: told by the pictures alone."""

    def standing(path: Path) -> bool:
        picture = np.asarray(Image.open(path), dtype=float)
        return bool(picture.mean(axis=0).std() > picture.mean(axis=1).std())

    right = sum(standing(p) == (p.parent.name == "standing") for p in made.files)
    assert right >= 10, "at least ten of twelve; chance gives that in 2 of 100"


def test_the_figures_are_there_with_what_they_are_compared_with(made: Generated) -> None:
    quality = json.loads((made.path / "quality.json").read_text())
    figures = quality["figures"]
    assert set(figures) == {"fid", "kid", "precision", "recall", "copies", "auroc_synthetic", "auroc_real"}
    assert figures["auroc_real"]["value"] > 0.95
    assert figures["auroc_synthetic"]["value"] > 0.6
    for name in ("precision", "recall"):
        assert 0 <= figures[name]["value"] <= 1
    assert figures["fid"]["reference"] < figures["fid"]["value"], "real images are nearer to real ones"
    assert figures["auroc_synthetic"]["gap_low"] <= figures["auroc_synthetic"]["gap"]


def test_the_page_holds_all_that_it_shows(made: Generated) -> None:
    page = (made.path / "report.html").read_text()
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", page)
    assert "<script" not in page
    assert page.count("<img") >= 2 * 2 * 12
    for words in ("Can you tell?", "must not be used as if they were patients", "AUROC", "SYNTHETIC"):
        assert words in page


def test_the_folder_is_itself_a_cohort_and_is_told_to_be_synthetic(made: Generated, tmp_path: Path) -> None:
    found = scan(made.path)
    assert found.classes in (("standing", "lying"), ("lying", "standing"))
    assert len(found) == 12
    finding = next(f for f in check(found) if f.kind == "synthetic-image")
    assert "All 12 images" in finding.text
    run = workflow.run(made.path, out=tmp_path / "run", until="check")
    assert {c.part for c in run.cohort.cases} <= {"train", "val", "test"}


def test_the_generator_draws_the_same_again_and_others_with_another_seed(made: Generated, tmp_path: Path) -> None:
    first = workflow.generate(made.generator, out=tmp_path / "a", count=3, classes=("lying",), steps=6)
    again = workflow.generate(made.generator, out=tmp_path / "b", count=3, classes=("lying",), steps=6)
    other = workflow.generate(made.generator, out=tmp_path / "c", count=3, classes=("lying",), steps=6, seed=1)
    pixels = [[np.asarray(Image.open(p)).astype(int) for p in one.files] for one in (first, again, other)]
    assert {p.parent.name for p in first.files} == {"lying"}
    assert all(np.array_equal(a, b) for a, b in zip(pixels[0], pixels[1], strict=True))
    assert all(np.abs(a - b).mean() > 2 for a, b in zip(pixels[0], pixels[2], strict=True))
    table = (tmp_path / "a" / "synthetic.csv").read_text()
    assert ",,," in table, "distances to training images are not known, and stay empty"
    assert "not compared" in first.notes[0]


@pytest.mark.parametrize("kind", ["dicom", "npy", "nifti"])
def test_other_formats_are_marked_too(made: Generated, kind: str, tmp_path: Path) -> None:
    drawn = workflow.generate(made.generator, out=tmp_path / "a", count=2, format=kind, steps=2)
    assert all(is_synthetic(p) for p in drawn.files)


def test_a_class_that_was_never_seen_is_refused_with_the_known_ones(made: Generated, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="never seen a class 'slanting'. Its classes are .*standing"):
        workflow.generate(made.generator, out=tmp_path / "a", classes=("slanting",))
    with pytest.raises(InputError, match="Did you mean --class 'lying'"):
        workflow.generate(made.generator, out=tmp_path / "a", classes=("Lyin",))
    assert not (tmp_path / "a").exists()


def test_a_mark_that_has_no_room_is_refused_before_anything_is_learnt(
    made: Generated, cohort: Path, tmp_path: Path
) -> None:
    for source in (made.generator, cohort):
        with pytest.raises(InputError, match="too small for the visible mark"):
            workflow.generate(source, out=tmp_path / "a", mark=True)


def test_a_model_is_no_generator(tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / "model.scanwright"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", json.dumps({"format": "scanwright-model/1"}))
    with pytest.raises(ModelFileError, match="a model that answers questions, not a generator"):
        workflow.generate(path, out=tmp_path / "a")
    (tmp_path / "broken.scanwright").write_bytes(b"PK")
    with pytest.raises(ModelFileError, match="not a zip"):
        workflow.generate(tmp_path / "broken.scanwright", out=tmp_path / "a")


def test_results_are_not_mixed_with_other_things(made: Generated, cohort: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds 'notes.txt'"):
        workflow.generate(made.generator, out=tmp_path)
    with pytest.raises(InputError, match="Choose another folder with --out"):
        workflow.generate(cohort, out=made.path)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"count": 0}, "0 images were asked for"),
        ({"steps": 0}, "0 steps were asked for"),
        ({"size": 4}, "Images of 4 pixels"),
        ({"seed": -1}, "The seed is -1"),
        ({"format": "jpeg"}, "There is no format 'jpeg'"),
        ({"conut": 3}, "Did you mean 'count'"),
        ({"budget": "soon"}, "is not a duration"),
    ],
)
def test_wishes_that_cannot_be(cohort: Path, tmp_path: Path, wish: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        workflow.generate(cohort, out=tmp_path / "a", **wish)


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    for k, picture in enumerate(bars(12, 3, upright=True)):
        folder = tmp_path / "few" / ("a" if k % 2 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{k}.png")
    with pytest.raises(CohortError, match="A generator needs at least 10"):
        workflow.generate(tmp_path / "few", out=tmp_path / "out", budget="60s")


def test_a_budget_that_leaves_no_time_is_refused(cohort: Path, tmp_path: Path, cache: Path) -> None:
    with pytest.raises(InputError, match="leaves .* to learn the images"):
        workflow.generate(cohort, out=tmp_path / "a", budget="10s", cache=cache)


def test_images_without_labels_are_learnt_without_classes(tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "loose"
    folder.mkdir()
    for k, picture in enumerate([*bars(40, 5, upright=True), *bars(40, 6, upright=False)]):
        Image.fromarray(picture).save(folder / f"{k}.png")
    wish = Wish.of(folder, tmp_path / "out", {"count": 4, "budget": "2h", "steps": 2, "size": 8, "cache": cache})
    made = generate(wish, silent, most_steps=20)
    assert {p.parent.name for p in made.files} == {"image"}
    assert any("no classes" in note for note in made.notes)
    assert "auroc_synthetic" not in made.quality["figures"]
    assert read_generator_file(made.generator).facts["classes"] == []
    with pytest.raises(InputError, match="learnt without classes"):
        workflow.generate(made.generator, out=tmp_path / "b", classes=("lying",))


def test_small_volumes_are_learnt_and_written_with_their_place(tmp_path: Path, cache: Path) -> None:
    import nibabel

    rng = np.random.default_rng(8)
    for k in range(40):
        volume = rng.normal(60, 8, (12, 12, 12))
        volume[3:9, 3:9, 3:9] += 100 if k % 2 else 0
        folder = tmp_path / "volumes" / ("full" if k % 2 else "empty")
        folder.mkdir(parents=True, exist_ok=True)
        image = nibabel.Nifti1Image(volume.astype(np.int16), np.diag([2.0, 2.0, 3.0, 1.0]))
        nibabel.save(image, folder / f"{k}.nii.gz")
    wish = Wish.of(
        tmp_path / "volumes", tmp_path / "out", {"count": 2, "budget": "2h", "steps": 2, "size": 8, "cache": cache}
    )
    made = generate(wish, silent, most_steps=20)
    read = nibabel.load(made.files[0])
    assert made.files[0].name.endswith(".nii.gz")
    extent = np.array(read.shape) * read.header.get_zooms()
    assert np.allclose(extent, [24, 24, 36], rtol=0.2), "the volume fills the same room"
    with pytest.raises(InputError, match="A PNG holds one picture"):
        workflow.generate(made.generator, out=tmp_path / "b", format="png")


def test_near_copies_are_drawn_anew_and_not_written() -> None:
    """A generator that gives a training image for every second seed, as one does that has learnt by heart."""
    from scanwright.journey.generate.writing import draw

    class ByHeart:
        def draw(self, labels: Any, seeds: Any, *, steps: int, tell: Any) -> np.ndarray:
            return np.array([np.full((1, 4, 4), 0.5 if s % 2 else 0.1 + (s % 997) / 2000) for s in seeds], np.float32)

    def near(images: np.ndarray) -> dict[str, np.ndarray]:
        return {"copies": np.all(images == 0.5, axis=(1, 2, 3)), "pixels": np.zeros(len(images))}

    kept = draw(ByHeart(), [(0, 40)], silent, seed=0, steps=1, near=near)  # type: ignore[arg-type]
    assert not near(kept.images)["copies"].any()
    assert kept.refused > 15
    assert 34 <= len(kept.images) <= 40
    assert len(set(kept.seeds.tolist())) == len(kept.seeds)
    whole = draw(ByHeart(), [(0, 40)], silent, seed=0, steps=1, near=near, keep_copies=True)  # type: ignore[arg-type]
    assert len(whole.images) == 40


def test_images_are_divided_among_the_classes() -> None:
    assert shares(("b",), ("a", "b"), 7) == [(1, 7)]
    assert shares((), ("a", "b", "c"), 7) == [(0, 3), (1, 2), (2, 2)]
    assert shares((), ("a", "b", "c"), 1) == [(0, 1)]
    assert shares((), (), 5) == [(0, 5)]


@pytest.mark.slow
def test_a_learning_that_was_stopped_goes_on(cohort: Path, tmp_path: Path, cache: Path) -> None:
    wish = Wish.of(cohort, tmp_path / "out", {"count": 2, "budget": "2h", "steps": 2, "size": 8, "cache": cache})

    class Stopped(Exception):
        pass

    def stop(event: Any) -> None:
        if event.kind == "measured" and getattr(event, "candidate", "") == "flow":
            raise Stopped

    with pytest.raises(Stopped, match=""):
        generate(wish, stop, most_steps=20)
    assert (tmp_path / "out" / WORK).exists()
    made = generate(replace(wish), silent, most_steps=20)
    assert len(made.files) == 2


def test_the_command_speaks_in_three_sentences(typed: Any, tmp_path: Path) -> None:
    said = typed("generate", tmp_path, "--count", "0", "--out", tmp_path / "x")
    assert said.returncode == 2
    assert "0 images were asked for. A generator draws 1 image or more. Write --count 64." in said.stdout + said.stderr

"""Nearly the same image: copies are found, different patients who were hung alike are not."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from scanwright.core import Cohort
from scanwright.intake import check, groups_of_duplicates, scan
from scanwright.intake.checks.near import near_groups
from scanwright.intake.checks.template import fit_template

Picture = NDArray[np.uint8]


def _smooth(rng: np.random.Generator, cells: int) -> NDArray[np.float32]:
    coarse = Image.fromarray(rng.normal(size=(cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((128, 128), Image.Resampling.BICUBIC))


@pytest.fixture
def alike(tmp_path: Path) -> Path:
    """Sixty pictures of one view: the broad forms and the edges are shared, a little is each one's own."""
    rng = np.random.default_rng(5)
    body, edges = _smooth(rng, 6), _smooth(rng, 48)
    for k in range(60):
        own = 128 + 40 * body + 12 * edges + 4 * _smooth(rng, 48) + rng.normal(size=(128, 128))
        path = tmp_path / "cohort" / ("sick" if k % 2 else "healthy") / f"p{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(own, 0, 255).astype(np.uint8)).save(path)
    return tmp_path / "cohort"


def _jpeg(picture: Picture, quality: int) -> Picture:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def _resized(picture: Picture, side: int) -> Picture:
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC))


def _changed(picture: Picture, gain: float, offset: float) -> Picture:
    return np.clip(gain * picture + offset, 0, 255).astype(np.uint8)


COPIES: dict[str, Callable[[Picture], Picture]] = {
    "jpeg-90": lambda p: _jpeg(p, 90),
    "jpeg-75": lambda p: _jpeg(p, 75),
    "brighter": lambda p: _changed(p, 1.0, 12),
    "contrast": lambda p: _changed(p, 0.8, 20),
    "gamma": lambda p: (255 * (p / 255.0) ** 0.85).astype(np.uint8),
    "smaller": lambda p: _resized(p, 100),
    "larger": lambda p: _resized(p, 180),
}


def test_pictures_of_one_view_are_not_copies(alike: Path) -> None:
    pictures = [np.asarray(Image.open(f), float).ravel() for f in sorted(alike.rglob("*.png"))]
    between = np.corrcoef(pictures)[np.triu_indices(60, 1)]
    assert between.min() > 0.97, "all sixty are alike as a whole"
    assert groups_of_duplicates(check(scan(alike))) == []


@pytest.mark.parametrize("change", COPIES)
def test_a_copy_is_found_among_pictures_of_one_view(alike: Path, change: str) -> None:
    original = np.asarray(Image.open(alike / "sick" / "p7.png"))
    Image.fromarray(COPIES[change](original)).save(alike / "sick" / "copy.png")
    (group,) = groups_of_duplicates(check(scan(alike)))
    assert set(group) == {"p7", "copy"}


def test_synthetic_radiographs_of_different_patients_are_not_copies(tmp_path: Path) -> None:
    from scanwright.phantom import write_phantom

    write_phantom("chest-xray", tmp_path / "phantom", patients=40, seed=3, faults=False)
    cohort = scan(tmp_path / "phantom")
    patient = {c.id: c.patient for c in cohort.cases}
    assert len(set(patient.values())) == 40
    assert cohort.modality == "DX", "DX and CR are radiographs"
    assert not any("mix" in g.why for g in cohort.guesses if g.what == "modality")

    unnamed = replace(cohort, cases=tuple(replace(c, patient=None) for c in cohort.cases))
    for one in (cohort, unnamed):
        findings = check(one)
        assert "mixed-modality" not in {f.kind for f in findings}
        for group in groups_of_duplicates(findings):
            assert len({patient[i] for i in group}) == 1

    original = next(c for c in cohort.cases if c.id.startswith("DX"))
    leaked = _with_copy(cohort, original.source, tmp_path / "phantom" / "copy.jpg")
    assert any({original.id, "copy"} <= set(g) for g in groups_of_duplicates(check(leaked)))


def _with_copy(cohort: Cohort, source: str, path: Path) -> Cohort:
    """The cohort with a JPEG of one of its images, under another patient."""
    from pydicom import dcmread

    pixels = dcmread(cohort.root / source).pixel_array.astype(float)
    low, high = np.percentile(pixels, [0.5, 99.5])
    Image.fromarray(_changed((pixels - low) / (high - low), 255, 0)).save(path, quality=75)
    template = next(c for c in cohort.cases if c.source == source)
    return replace(
        cohort, cases=(*cohort.cases, replace(template, id="copy", source=path.name, patient="somebody else"))
    )


def test_a_weak_link_does_not_chain_one_patient_to_the_next() -> None:
    # 1-2-3 and 4-5-6 are copies of one another; a single weak pair lies between them
    sure = [(1, 2, 0.9), (1, 3, 0.9), (2, 3, 0.9), (4, 5, 0.9), (4, 6, 0.9), (5, 6, 0.9)]
    assert near_groups([*sure, (3, 4, 0.5)]) == [[1, 2, 3], [4, 5, 6]]
    assert near_groups([*sure, (3, 4, 0.95)]) == [[1, 2, 3, 4, 5, 6]], "a copy joins them"
    assert near_groups([(1, 2, 0.5), (2, 3, 0.5)]) == [[1, 2, 3]], "half of the pairs between them are near"
    assert near_groups([(1, 2, 0.8), (2, 3, 0.5), (3, 4, 0.6), (1, 4, 0.4)]) == [[1, 2, 3, 4]]
    assert near_groups([]) == []


def test_what_all_share_is_taken_away() -> None:
    rng = np.random.default_rng(2)
    shared = rng.normal(size=(3, 400))
    own = rng.normal(size=(80, 400)) * 0.2
    rows = (rng.normal(size=(80, 3)) @ shared + shared[0] * 4 + own).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    template = fit_template(rows)
    different = template.agreement(rows[:40], rows[40:])
    assert np.abs(different).max() < 0.3
    assert np.einsum("nd,nd->n", rows[:40], rows[40:]).mean() > 0.5, "as they are, they are alike"
    noise = rng.normal(size=(1, 400)).astype(np.float32)
    copy = rows[:1] + 0.2 * np.linalg.norm(rows[0] - template.mean) / 20 * noise / 10
    assert template.agreement(rows[:1], copy)[0] > 0.8
    assert 0 < template.alike < 0.4


def test_of_three_images_nothing_is_known_to_be_shared() -> None:
    rows = np.eye(3, 10, dtype=np.float32)
    template = fit_template(rows)
    np.testing.assert_allclose(template.own(rows), rows, atol=1e-6)
    assert template.alike == 1.0

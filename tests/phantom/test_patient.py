"""The class of a patient says nothing of age, sex, size, unit or dose."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from scanwright.core.errors import InputError
from scanwright.phantom import chest
from scanwright.phantom.roster import roster


def test_same_seed_same_patient() -> None:
    assert chest(12) == chest(12)
    assert chest(12) != chest(13)


def test_class_changes_nothing_but_the_nodule() -> None:
    ill, healthy = chest(7, label="nodule"), chest(7, label="normal")
    assert ill.label == "nodule"
    assert 1 <= len(ill.nodules) <= 3
    assert healthy.nodules == ()
    for name in ("sex", "age", "height_cm", "bmi", "heart", "inspiration", "scanner", "dose", "granulomas", "lung_hu"):
        assert getattr(ill, name) == getattr(healthy, name)


@pytest.mark.parametrize("kind", ["chest-xray", "chest-ct"])
def test_class_is_independent_of_every_covariate(kind: str) -> None:
    exams = roster(kind, 400, 0)
    first = {e.patient_id: e for e in reversed(exams)}.values()
    label = np.array([e.patient.label == "nodule" for e in first])
    assert label.sum() == 200
    for name in ("age", "bmi", "height_cm", "heart", "inspiration", "rotation_deg", "dose", "lung_hu"):
        values = np.array([getattr(e.patient, name) for e in first], dtype=float)
        assert stats.mannwhitneyu(values[label], values[~label]).pvalue > 0.01, name
    for name in ("sex", "scanner", "ct_scanner"):
        columns = [str(getattr(e.patient, name)) for e in first]
        table = [
            [sum(c == v and bool(x) == y for c, x in zip(columns, label, strict=True)) for v in set(columns)]
            for y in (True, False)
        ]
        assert stats.chi2_contingency(np.array(table)).pvalue > 0.01, name
    grains = np.array([len(e.patient.granulomas) for e in first])
    assert stats.mannwhitneyu(grains[label], grains[~label]).pvalue > 0.01


def test_some_patients_have_two_xrays_of_one_class() -> None:
    exams = roster("chest-xray", 100, 1)
    counts = Counter(e.patient_id for e in exams)
    assert set(counts.values()) == {1, 2}
    assert 5 <= sum(n == 2 for n in counts.values()) <= 25
    for patient_id in counts:
        assert len({e.patient.label for e in exams if e.patient_id == patient_id}) == 1


def test_nodules_are_of_the_promised_size_and_lie_in_the_lung() -> None:
    nodules = [chest(s, label="nodule") for s in range(40)]
    assert {len(p.nodules) for p in nodules} == {1, 2, 3}
    for patient in nodules:
        nodule = patient.nodules[0]
        assert 12 <= nodule.diameter_mm <= 36
        assert patient.anatomy.in_lung(patient.anatomy.template(np.array([nodule.centre])))[0]
    assert len({p.nodules[0].behind for p in nodules}) >= 2
    assert {p.nodules[0].margin for p in nodules} == {"smooth", "spiculated"}


def test_unknown_parameter_names_the_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean 'scanner'"):
        chest(0, scaner="x")
    with pytest.raises(InputError, match="is no scanner"):
        chest(0, scanner="Nonesuch 9")

"""Parts of a segmentation: by patient, alike in what the masks show, also when there are few."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from scanwright.core import Case, Cohort, CohortError, MaskCode
from scanwright.plan import split


def cohort_of(cases: list[Case]) -> Cohort:
    return Cohort(
        "masks", Path(), "mask-folders", "segment", ("organ",), tuple(cases), mask_code=MaskCode(values=((1,),))
    )


def case(i: int, patient: str | None = None, *, masked: bool = True, part: str | None = None) -> Case:
    return Case(f"c{i:03d}", f"{i}.png", None, patient, part, {}, (f"m{i}.png",) if masked else ())  # type: ignore[arg-type]


def test_patients_stay_together_and_unlabelled_cases_have_no_part() -> None:
    cases = [case(i, f"p{i // 3}", masked=i != 7) for i in range(60)]
    done, notes = split(cohort_of(cases))
    sides: dict[str | None, set[str | None]] = defaultdict(set)
    for one in done.cases:
        if one.masks:
            sides[one.patient].add(one.part)
    assert all(len(s) == 1 for s in sides.values())
    assert {p for s in sides.values() for p in s} == {"train", "val", "test"}
    assert done.cases[7].part is None
    assert any("by patient" in n for n in notes)


def test_a_rare_structure_is_in_every_part() -> None:
    cases = [case(i) for i in range(60)]
    strata = {c.id: ("organ", "tumour") if i % 10 == 0 else ("organ",) for i, c in enumerate(cases)}
    for seed in range(5):
        done, notes = split(cohort_of(cases), seed=seed, strata=strata)
        where = Counter(c.part for c in done.cases if "tumour" in strata[c.id])
        assert set(where) == {"train", "val", "test"}
        assert where["train"] >= 2
    assert any("stratified by structure" in n for n in notes)


def test_three_patients_are_enough_and_two_are_not() -> None:
    done, _ = split(cohort_of([case(i, f"p{i % 3}") for i in range(9)]))
    assert {c.part for c in done.cases} == {"train", "val", "test"}
    with pytest.raises(CohortError, match="2 labelled patients to divide. At least 3 are needed"):
        split(cohort_of([case(i, f"p{i % 2}") for i in range(9)]))


def test_given_parts_stay_and_a_part_without_masks_is_not_used() -> None:
    cases = [case(i, part="train") for i in range(20)] + [case(i, part="test", masked=False) for i in range(20, 25)]
    done, notes = split(cohort_of(cases))
    assert any("test part" in n and "no masks" in n for n in notes)
    assert {c.part for c in done.cases[:20]} == {"train", "val", "test"}
    assert {c.part for c in done.cases[20:]} == {None}


def test_the_order_of_the_rows_changes_nothing() -> None:
    cases = [case(i, f"p{i // 2}") for i in range(40)]
    one, _ = split(cohort_of(cases), seed=2)
    other, _ = split(cohort_of(cases[::-1]), seed=2)
    assert {c.id: c.part for c in one.cases} == {c.id: c.part for c in other.cases}

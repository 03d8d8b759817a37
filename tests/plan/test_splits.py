"""Parts: no patient on two sides, the same whatever the order of the rows, labels in proportion."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanwright.core import PARTS, Case, Cohort, CohortError
from scanwright.plan import split


def cohort_of(cases: list[Case], *, task: str = "multiclass", classes: tuple[str, ...] = ("a", "b", "c")) -> Cohort:
    return Cohort("made-up", Path(), "table", task, classes, tuple(cases))  # type: ignore[arg-type]


@st.composite
def cohorts(draw: Any) -> Cohort:
    n = draw(st.integers(12, 120))
    n_patients = draw(st.integers(max(4, n // 4), n))
    rng = random.Random(draw(st.integers(0, 10_000)))
    cases = [
        Case(f"case {i}", f"{i}.png", label=rng.choice((0, 0, 0, 1, 1, 2)), patient=f"p{rng.randrange(n_patients)}")
        for i in range(n)
    ]
    return cohort_of(cases)


def sides(cohort: Cohort) -> dict[str, set[str | None]]:
    found: dict[str, set[str | None]] = defaultdict(set)
    for case in cohort.cases:
        found[case.group].add(case.part)
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cohorts(), st.integers(0, 5))
def test_no_patient_is_on_two_sides_and_every_case_has_one(cohort: Cohort, seed: int) -> None:
    done, _ = split(cohort, seed=seed)
    assert all(len(parts) == 1 for parts in sides(done).values())
    assert {c.part for c in done.cases} == set(PARTS)
    assert [c.id for c in done.cases] == [c.id for c in cohort.cases]


@settings(max_examples=40, deadline=None)
@given(cohorts(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(cohort: Cohort, rng: random.Random) -> None:
    rows = list(cohort.cases)
    rng.shuffle(rows)
    one, _ = split(cohort, seed=3)
    other, _ = split(cohort.with_cases(rows), seed=3)
    assert {c.id: c.part for c in one.cases} == {c.id: c.part for c in other.cases}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=30, max_size=300), st.integers(0, 5))
def test_labels_are_shared_in_proportion_within_two_cases(labels: list[int], seed: int) -> None:
    cohort = cohort_of([Case(f"c{i}", f"{i}", label=label) for i, label in enumerate(labels)])
    done, _ = split(cohort, seed=seed)
    totals = Counter(labels)
    for part, share in (("test", 0.2), ("val", 0.2 if len(labels) < 100 else 0.15)):
        found = Counter(c.label for c in done.of(part))  # type: ignore[arg-type]
        for label, total in totals.items():
            if total >= 6:
                assert abs(found[label] - max(share * total, 1)) <= 2, (part, label, total)


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 12), st.integers(10, 60))
def test_every_class_is_in_every_part_when_it_has_three_cases(rare: int, common: int) -> None:
    cases = [Case(f"c{i}", f"{i}", label=int(i < rare)) for i in range(rare + common)]
    done, notes = split(cohort_of(cases, task="binary", classes=("no", "yes")))
    assert all(set(done.counts()[part]) == {"no", "yes"} for part in PARTS)
    assert not any("no case of" in note for note in notes)


def test_a_class_with_two_cases_goes_to_train_and_test_and_is_spoken_of() -> None:
    cases = [Case(f"c{i}", f"{i}", label=int(i < 2)) for i in range(40)]
    done, notes = split(cohort_of(cases, task="binary", classes=("no", "yes")))
    assert done.counts()["train"]["yes"] == done.counts()["test"]["yes"] == 1
    assert any("The val part has no case of yes" in note for note in notes)


def test_a_cohort_that_is_too_small_for_firm_figures_is_spoken_of() -> None:
    cases = [Case(f"c{i}", f"{i}", label=int(i % 8 == 0)) for i in range(160)]
    _, notes = split(cohort_of(cases, task="binary", classes=("no", "yes")))
    assert any("4 of yes" in note and "too small" in note for note in notes)


def test_another_seed_is_another_split_and_the_same_seed_the_same() -> None:
    cohort = cohort_of([Case(f"c{i}", f"{i}", label=i % 3) for i in range(90)])
    parts = [tuple(c.part for c in split(cohort, seed=s)[0].cases) for s in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]


def test_given_parts_are_kept_and_validation_is_taken_from_training() -> None:
    cases = [
        Case(f"c{i}", f"{i}", label=i % 2, part="test" if i >= 80 else "train", patient=f"p{i // 2}")
        for i in range(100)
    ]
    done, notes = split(cohort_of(cases, task="binary", classes=("a", "b")))
    assert [c.part for c in done.cases[80:]] == ["test"] * 20
    assert 10 <= len(done.of("val")) <= 20
    assert all(len(parts) == 1 for parts in sides(done).values())
    assert "training part was divided by patient" in notes[0]
    complete, notes = split(done)
    assert complete.cases == done.cases
    assert notes[0] == "The parts that came with the data are kept."


def test_rows_without_a_part_join_training() -> None:
    cases = [Case(f"c{i}", f"{i}", label=i % 2, part="test" if i < 20 else None) for i in range(100)]
    done, notes = split(cohort_of(cases, task="binary", classes=("a", "b")))
    assert all(c.part == "test" for c in done.cases[:20])
    assert len(done.of("test")) == 20
    assert len(done.of("train")) + len(done.of("val")) == 80
    assert any("80 cases without a part" in note for note in notes)


def test_duplicates_stay_together_whoever_their_patients_are() -> None:
    cases = [Case(f"c{i}", f"{i}", label=i % 2, patient=f"p{i}") for i in range(60)]
    pairs = [(f"c{i}", f"c{i + 31}", "not in the cohort") for i in range(0, 20, 2)]
    done, _ = split(cohort_of(cases, task="binary", classes=("a", "b")), together=pairs)
    part = {c.id: c.part for c in done.cases}
    assert all(part[a] == part[b] for a, b, _ in pairs)


def test_several_labels_and_missing_ones() -> None:
    rng = random.Random(0)
    cases = [
        Case(f"c{i}", f"{i}", label=(int(rng.random() < 0.5), rng.choice((0, 0, 0, 1, None)), int(i % 25 == 0)))
        for i in range(200)
    ]
    done, notes = split(cohort_of(cases, task="multilabel"))
    counts = done.counts()
    assert all(counts[part][name] >= 1 for part in PARTS for name in "abc")
    assert abs(counts["test"]["a"] - 0.2 * sum(c["a"] for c in counts.values())) <= 6
    assert not any("no case of" in note for note in notes)


def test_numbers_are_shared_over_their_whole_range() -> None:
    cases = [Case(f"c{i}", f"{i}", label=float(i)) for i in range(200)]
    done, _ = split(cohort_of(cases, task="regress", classes=("age",)))
    for part in PARTS:
        values = [float(c.label) for c in done.of(part)]  # type: ignore[arg-type]
        assert sum(values) / len(values) == pytest.approx(99.5, abs=12)
        assert min(values) < 45
        assert max(values) > 155


def test_unlabelled_cases_stay_without_a_part() -> None:
    cases = [Case(f"c{i}", f"{i}", label=None if i % 4 == 0 else i % 3) for i in range(80)]
    done, _ = split(cohort_of(cases))
    assert all((c.part is None) == (c.label is None) for c in done.cases)


def test_a_test_part_without_labels_is_replaced() -> None:
    cases = [
        Case(f"c{i}", f"{i}", label=i % 2 if i < 80 else None, part="train" if i < 80 else "test") for i in range(100)
    ]
    done, notes = split(cohort_of(cases, task="binary", classes=("a", "b")))
    assert any("has no labels and is not used" in note for note in notes)
    assert len(done.of("test")) == 16
    assert all(c.label is not None for c in done.of("test"))
    assert all(c.part is None for c in done.cases[80:])


def test_too_few_patients_are_refused_by_number() -> None:
    cases = [Case(f"c{i}", f"{i}", label=i % 3, patient=f"p{i % 2}") for i in range(50)]
    with pytest.raises(CohortError, match="2 labelled patients to divide"):
        split(cohort_of(cases))
    with pytest.raises(CohortError, match="no case to train on"):
        split(cohort_of([replace(c, part="test") for c in cases]))


def test_a_patient_on_two_given_sides_is_spoken_of() -> None:
    cases = [Case(f"c{i}", f"{i}", label=i % 3, part=PARTS[i % 3], patient=f"p{i // 2}") for i in range(60)]
    _, notes = split(cohort_of(cases))
    assert "lie on more than one side" in notes[0]


def test_patients_with_several_images_fall_to_every_part() -> None:
    cases = []
    for i in range(400):
        for k in range(2 if i % 8 == 0 else 1):
            cases.append(Case(f"c{i}-{k}", f"{i}-{k}.png", i % 2, f"p{i}"))
    cohort = Cohort("c", Path(), "table", "binary", ("no", "yes"), tuple(cases))
    found, _ = split(cohort, seed=0)
    several = {c.patient: c.part for c in found.cases if c.id.endswith("-1")}
    counts = {part: sum(p == part for p in several.values()) for part in ("train", "val", "test")}
    assert counts["test"] >= 4, counts
    assert counts["val"] >= 2, counts

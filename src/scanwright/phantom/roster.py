"""Who is in a phantom cohort: patients, examinations and classes, before anything is drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import PurePosixPath

import numpy as np

from scanwright.phantom.dicom import Order
from scanwright.phantom.patient import CT_SCANNERS, SCANNERS, ChestPatient, Nodule, chest

SECOND_SHARE = 0.12
"""Share of patients with a second X-ray."""


@dataclass(frozen=True)
class Exam:
    """One examination of one patient.

    Args:
        patient_id: Such as ``"PH0001"``.
        patient: Parameters of the body and the unit.
        order: Identifiers and dates of the header.
        path: File (X-ray) or folder (CT), relative to the cohort.
        scanner: Key of the unit that was used.
    """

    patient_id: str
    patient: ChestPatient
    order: Order
    path: PurePosixPath
    scanner: str


def roster(kind: str, patients: int, seed: int) -> list[Exam]:
    """All examinations of a cohort.

    Half of the patients have a nodule. Classes are dealt out within sex and unit, to
    neighbours in age, so that none of these tells the class.

    Args:
        kind: ``"chest-xray"`` or ``"chest-ct"``.
        patients: Number of patients.
        seed: Same seed, same cohort.

    Returns:
        Examinations by patient; some have two X-rays.
    """
    generator = np.random.default_rng((seed, 21))
    seeds = np.random.SeedSequence((seed, 22)).generate_state(patients)
    bodies = [chest(int(s), label="normal", granulomas=()) for s in seeds]
    classes = _deal(bodies, kind, generator)
    exams: list[Exam] = []
    for n, (body, label) in enumerate(zip(bodies, classes, strict=True)):
        person = chest(body.seed, label=label)
        patient_id = f"PH{n + 1:04d}"
        twice = generator.random() < SECOND_SHARE
        first_day = date(2016, 1, 4) + timedelta(days=int(generator.integers(0, 2500)))
        later, minute = int(generator.integers(60, 500)), int(generator.integers(0, 1000))
        second_unit = str(generator.choice(list(SCANNERS)))
        shift, dose, growth = (
            generator.normal(0, 6, 2),
            float(np.exp(generator.normal(0, 0.25))),
            float(generator.uniform(1, 1.2)),
        )
        exams.append(_exam(kind, patient_id, person, (seed, 0, first_day, minute)))
        if twice and kind == "chest-xray":
            grown = tuple(_grow(g, growth) for g in person.nodules)
            again = replace(
                person,
                scanner=second_unit,
                offset_mm=(round(float(shift[0]), 1), round(float(shift[1]), 1)),
                dose=round(dose, 3),
                nodules=grown,
                exam=1,
            )
            exams.append(_exam(kind, patient_id, again, (seed, 1, first_day + timedelta(days=later), 999 - minute)))
    return exams


def _deal(bodies: list[ChestPatient], kind: str, generator: np.random.Generator) -> list[str]:
    """A class for each patient: one of each in every pair of like patients."""

    def like(n: int) -> tuple[str, str, int]:
        body = bodies[n]
        return (body.sex, body.ct_scanner if kind == "chest-ct" else body.scanner, body.age)

    order = sorted(range(len(bodies)), key=like)
    classes = [""] * len(bodies)
    for start in range(0, len(order), 2):
        pair = ["normal", "nodule"] if generator.random() < 0.5 else ["nodule", "normal"]
        for n, label in zip(order[start : start + 2], pair, strict=False):
            classes[n] = label
    return classes


def _grow(nodule: Nodule, factor: float) -> Nodule:
    return replace(nodule, diameter_mm=round(min(nodule.diameter_mm * factor, 36.0), 1))


def _exam(kind: str, patient_id: str, person: ChestPatient, when: tuple[int, int, date, int]) -> Exam:
    seed, number, day, minute = when
    born = date(day.year - person.age, 1, 1) - timedelta(days=(person.seed % 300))
    day_text, clock = f"{day:%Y%m%d}", f"{8 + minute // 120:02d}{minute % 60:02d}{person.seed % 60:02d}"
    accession = f"A{day:%y}{person.seed % 100000:05d}{number}"
    order = Order(patient_id, f"{kind}/{seed}/{patient_id}/{number}", day_text, clock, f"{born:%Y%m%d}", accession)
    folder = PurePosixPath("patients") / patient_id / f"{day_text}_CHEST"
    count = person.seed % 900 + 1
    if kind == "chest-ct":
        name = f"CT_{CT_SCANNERS[person.ct_scanner].model.replace(' ', '_')}"
        return Exam(patient_id, person, order, folder / name, person.ct_scanner)
    name = SCANNERS[person.scanner].naming.format(n=count)
    return Exam(patient_id, person, order, folder / name, person.scanner)

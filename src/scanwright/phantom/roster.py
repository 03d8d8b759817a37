"""Who is in a phantom cohort: patients, examinations and classes, before anything is drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import PurePosixPath

import numpy as np

from scanwright.phantom.dicom import Order
from scanwright.phantom.heart import Heart, heart
from scanwright.phantom.patient import CT_SCANNERS, SCANNERS, ChestPatient, Nodule, chest

_VISITS = (3, 6)
_DIAMETERS_MM = (9.0, 34.0)
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
        label: Class, where it is not that of the body.
        heart: Of a heart clip.
        visit: Number of the visit, from 1, of follow-ups; 0 of others.
    """

    patient_id: str
    patient: ChestPatient
    order: Order
    path: PurePosixPath
    scanner: str
    label: str = ""
    heart: Heart | None = None
    visit: int = 0


def followed(kind: str, patients: int, seed: int) -> list[Exam]:
    """Several X-rays of each patient, with a nodule that grows or shrinks.

    The diameters are drawn first and put in rising or falling order afterwards; visits, units and
    doses know nothing of the class. So the order alone tells it.

    Args:
        kind: ``"chest-followup"``.
        patients: Number of patients.
        seed: Same seed, same cohort.

    Returns:
        Examinations by patient and date.
    """
    generator = np.random.default_rng((seed, 23))
    seeds = np.random.SeedSequence((seed, 24)).generate_state(patients)
    growing = generator.permutation(patients) < patients / 2
    exams: list[Exam] = []
    for n, own in enumerate(seeds):
        person = chest(int(own), label="nodule", granulomas=())
        person = replace(person, nodules=person.nodules[:1])
        visits = int(generator.integers(*_VISITS))
        sizes = np.sort(generator.uniform(*_DIAMETERS_MM, visits))
        sizes[0], sizes[-1] = min(sizes[0], 0.6 * sizes[-1]), max(sizes[-1], 20.0)
        sizes = sizes if growing[n] else sizes[::-1]
        day = date(2016, 1, 4) + timedelta(days=int(generator.integers(0, 2000)))
        for visit, size in enumerate(sizes):
            shift = generator.normal(0, 4, 2)
            again = replace(
                person,
                offset_mm=(round(float(shift[0]), 1), round(float(shift[1]), 1)),
                dose=round(float(np.exp(generator.normal(0, 0.2))), 3),
                nodules=(replace(person.nodules[0], diameter_mm=round(float(size), 1)),),
                exam=visit,
            )
            one = _exam("chest-xray", f"PH{n + 1:04d}", again, (seed, visit, day, int(generator.integers(0, 1000))))
            exams.append(replace(one, label="growing" if growing[n] else "shrinking", visit=visit + 1))
            day += timedelta(days=int(generator.integers(40, 400)))
    return exams


def beating(kind: str, patients: int, seed: int) -> list[Exam]:
    """One heart clip of each patient.

    Args:
        kind: ``"heart-clip"``.
        patients: Number of patients.
        seed: Same seed, same cohort.

    Returns:
        Examinations by patient.
    """
    generator = np.random.default_rng((seed, 25))
    seeds = np.random.SeedSequence((seed, 26)).generate_state(patients)
    late = generator.permutation(patients) < patients / 2
    exams = []
    for n, own in enumerate(seeds):
        person, patient_id = chest(int(own), label="normal", granulomas=()), f"PH{n + 1:04d}"
        day = date(2016, 1, 4) + timedelta(days=int(generator.integers(0, 2500)))
        one = _exam("chest-xray", patient_id, person, (seed, 0, day, int(generator.integers(0, 1000))))
        beat = heart(int(own), late=bool(late[n]))
        order = replace(one.order, name=f"{kind}/{seed}/{patient_id}/0")
        path = one.path.parent.with_name(f"{order.date}_HEART") / "US000001.dcm"
        exams.append(replace(one, order=order, path=path, scanner="Calder Echo 3", label=beat.label, heart=beat))
    return exams


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

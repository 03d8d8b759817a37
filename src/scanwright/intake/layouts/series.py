"""DICOM files grouped into series, for the layouts that meet them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from scanwright.core import ScanwrightError, Skipped
from scanwright.intake.place import Place, stem_of

STACKED = frozenset(("CT", "MR", "PT", "NM", "OPT"))
"""Modalities whose several files make one volume; of other modalities every file is a picture."""

NO_IMAGES = frozenset(("SEG", "SR", "RTSTRUCT", "RTPLAN", "RTDOSE", "PR", "KO", "REG", "RWV"))
"""Objects that speak of images and are none."""


@dataclass(frozen=True, slots=True)
class Series:
    """One DICOM series, or one picture of it.

    Args:
        locator: Locator relative to the root.
        id: Case id: the folder's or file's name.
        files: Its files, relative to the root.
        series: Series Instance UID.
        study: Study Instance UID.
        patient_id: PatientID of the header; never shown.
        patient: Key that groups the series of one person, without telling who it is.
        modality: DICOM code.
    """

    locator: str
    id: str
    files: tuple[str, ...]
    series: str
    study: str
    patient_id: str
    patient: str | None
    modality: str | None


def patient_key(patient_id: str) -> str | None:
    """A key that groups cases of one person and does not show the PatientID.

    Args:
        patient_id: As the header has it.

    Returns:
        Such as ``"patient-3f2a91c0"``; None where the header names nobody.
    """
    text = patient_id.strip()
    if not text or text.casefold() in ("anonymous", "anon", "unknown", "anonymized", "0"):
        return None
    return "patient-" + hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def series_of(place: Place) -> tuple[list[Series], list[Skipped]]:
    """All DICOM images below a place: a series of slices is one, of other modalities each file is one.

    Args:
        place: Where to look.

    Returns:
        The series in the order of their first file, and the DICOM files that are no images.
    """
    found, skipped = _series_of(place)
    return list(found), list(skipped)


def instance_uids(place: Place) -> dict[str, str]:
    """SOP Instance UID to file, for tables that name single instances.

    Args:
        place: Where to look; the header of every DICOM file is read.

    Returns:
        UID to path relative to the root.
    """
    from scanwright.io import probe

    found = {}
    for file in sorted(place.dicom):
        try:
            uid = probe(place.root / file).instance_uid
        except ScanwrightError:
            continue
        if uid:
            found[uid] = file
    return found


@lru_cache(maxsize=4)
def _series_of(place: Place) -> tuple[tuple[Series, ...], tuple[Skipped, ...]]:
    from scanwright.io import list_series

    found: list[Series] = []
    seen: set[str] = set()
    for one in list_series(place.root):
        files = tuple(_below(f, place.root) for f in one.files)
        seen |= {*files, *(_below(f, place.root) for f in one.localizers)}
        if one.modality in NO_IMAGES:
            seen -= set(files)
            continue
        facts = (one.uid, one.study_uid, one.patient, patient_key(one.patient), one.modality)
        for folder, inside in _by_folder(files).items():  # a stray copy elsewhere must not break up the stack
            if one.modality in STACKED and len(inside) > 1:
                locator = one.locator if len(inside) == len(files) else f"{folder or '.'}::{one.uid}"
                found.append(Series(locator, PurePosixPath(folder).name or place.root.name, inside, *facts))
            else:
                found += [Series(f, stem_of(f), (f,), *facts) for f in inside]
    skipped = tuple(
        Skipped(f, "it cannot be read, or holds no image") for f in place.files if f in place.dicom and f not in seen
    )
    return tuple(found), skipped


def _by_folder(files: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Files by the folder they lie in, in order."""
    found: dict[str, tuple[str, ...]] = {}
    for file in files:
        folder = PurePosixPath(file).parent.as_posix()
        folder = "" if folder == "." else folder
        found[folder] = (*found.get(folder, ()), file)
    return found


def _below(file: Path, root: Path) -> str:
    return file.relative_to(root).as_posix()

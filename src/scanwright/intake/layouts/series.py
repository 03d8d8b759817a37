"""DICOM files grouped into series, for the layouts that meet them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

from scanwright.core import Skipped
from scanwright.intake.place import Place


@dataclass(frozen=True, slots=True)
class Series:
    """One DICOM series, or one picture of it.

    Args:
        locator: Locator relative to the root.
        id: Case id: the folder's or file's name.
        files: Its files, relative to the root.
        instances: SOP Instance UIDs, in the order of ``files``.
        series: Series Instance UID.
        study: Study Instance UID.
        patient_id: PatientID of the header; never shown.
        patient: Key that groups the series of one person, without telling who it is.
        modality: DICOM code.
    """

    locator: str
    id: str
    files: tuple[str, ...]
    instances: tuple[str, ...]
    series: str
    study: str
    patient_id: str
    patient: str | None
    modality: str | None

    def instance(self, uid: str) -> str:
        """Path of the file that holds one instance."""
        return self.files[self.instances.index(uid)] if uid in self.instances else self.locator


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
    """All DICOM series below a place.

    Args:
        place: Where to look.

    Returns:
        The series in the order of their first file, and the files that could not be read.
    """
    found, skipped = _series_of(place)
    return list(found), list(skipped)


@lru_cache(maxsize=4)
def _series_of(place: Place) -> tuple[tuple[Series, ...], tuple[Skipped, ...]]:
    from scanwright.io import list_series

    found: list[Series] = []
    for folder in sorted({PurePosixPath(f).parent.as_posix() for f in place.dicom}):
        for one in list_series(place.root / folder):
            found.append(one)
    return tuple(found), ()

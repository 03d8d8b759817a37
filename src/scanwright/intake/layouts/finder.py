"""Which picture a cell of a table means: by path, file name, stem or DICOM identifier."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from functools import cached_property
from pathlib import PurePosixPath

from scanwright.intake.layouts.series import Series, instance_uids, series_of
from scanwright.intake.place import Place, stem_of
from scanwright.intake.words import MASK_FOLDERS, plain

UID_COLUMNS: dict[str, tuple[str, ...]] = {
    "instance": ("sop_instance_uid", "sopinstance_uid", "sop_uid", "instance_uid", "image_uid"),
    "series": ("series_instance_uid", "seriesinstance_uid", "series_uid", "series_id"),
    "study": ("study_instance_uid", "studyinstance_uid", "study_uid", "study_id"),
    "patient": ("patient_id", "patientid", "patient", "subject_id", "subject", "case_id", "id"),
}
"""Column names that may hold DICOM identifiers, finest first."""


class Finder:
    """Looks up the pictures of one place.

    Args:
        place: Where the pictures lie.
        folder: Folder of the table, relative to the root; paths in it may start from there.
    """

    def __init__(self, place: Place, folder: str = "") -> None:
        self.place = place
        self.folder = folder
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        self._by_folder: dict[str, list[str]] = defaultdict(list)
        for image in place.images:
            path = PurePosixPath(image)
            if any(plain(p) in MASK_FOLDERS for p in path.parts[:-1]):
                continue
            self._by_name[path.name.casefold()].append(image)
            self._by_stem[stem_of(path.name).casefold()].append(image)
            parent = path.parent.as_posix()
            if parent != ".":
                self._by_folder[path.parent.name.casefold()].append(image)
                self._by_folder[parent.casefold()].append(image)

    def image(self, cell: str) -> str | None:
        """The one picture that a cell names, or None.

        Args:
            cell: A path, the end of one, a file name or a stem.

        Returns:
            Path relative to the root.
        """
        text = cell.strip().replace("\\", "/").removeprefix("./")
        if not text:
            return None
        for candidate in (f"{self.folder}/{text}" if self.folder else text, text):
            clean = _normal(candidate)
            if clean and self.place.has(clean):
                return clean
        name = PurePosixPath(text).name.casefold()
        return _closest(text, self._by_name.get(name, [])) or _closest(text, self._by_stem.get(name, []))

    def folder_images(self, cell: str) -> list[str]:
        """All pictures of the folder that a cell names; in a column of folders a cell may name a file, too."""
        text = cell.strip().replace("\\", "/").strip("/").removeprefix("./")
        if not text:
            return []
        file = _normal(f"{self.folder}/{text}" if self.folder else text)
        return self._by_folder.get(text.casefold(), []) or ([file] if file and self.place.has(file) else [])

    @cached_property
    def series(self) -> list[Series]:
        """DICOM series below the root."""
        return series_of(self.place)[0]

    @cached_property
    def _by_identifier(self) -> dict[str, dict[str, list[Series]]]:
        table: dict[str, dict[str, list[Series]]] = {k: defaultdict(list) for k in UID_COLUMNS}
        for one in self.series:
            for level, key in (("series", one.series), ("study", one.study), ("patient", one.patient_id.strip())):
                if key:
                    table[level][key].append(one)
        return table

    @cached_property
    def _instances(self) -> dict[str, list[Series]]:
        by_file = {f: one for one in self.series for f in one.files}
        found = {}
        for uid, file in instance_uids(self.place).items():
            if file in by_file:
                found[uid] = [replace(by_file[file], locator=file, id=stem_of(file), files=(file,))]
        return found

    def dicom(self, level: str, cell: str) -> list[Series]:
        """Series of an instance, series, study or patient identifier."""
        if level == "instance":
            return self._instances.get(cell.strip(), [])
        return self._by_identifier[level].get(cell.strip(), [])


def _normal(path: str) -> str | None:
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _closest(text: str, found: list[str]) -> str | None:
    """The candidate that shares the longest end of the path; None on a tie."""
    if len(found) <= 1:
        return found[0] if found else None
    wanted = [p.casefold() for p in PurePosixPath(text).parts][:-1]
    scores = []
    for candidate in found:
        have = [p.casefold() for p in PurePosixPath(candidate).parts][:-1]
        shared = 0
        while shared < min(len(wanted), len(have)) and wanted[-1 - shared] == have[-1 - shared]:
            shared += 1
        scores.append(shared)
    best = max(scores)
    return found[scores.index(best)] if best > 0 and scores.count(best) == 1 else None

"""Frames of one case from several files, in order, with the moments at which they were taken."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from scanwright.core.cohort import FramesBy
from scanwright.core.errors import FormatError, GeometryError, InputError
from scanwright.core.grid import Grid
from scanwright.core.volume import Volume
from scanwright.io.locator import parse_locator

_DAY_S = 86_400.0


def join_frames(volumes: Sequence[Volume], names: Sequence[str], taken: Sequence[datetime | None]) -> Volume:
    """Put pictures behind one another, as the last axis of one volume.

    Args:
        volumes: One picture each, in order.
        names: Their names, for errors.
        taken: When each was taken, None where unknown.

    Returns:
        ``(C, I, J, T)`` on the first frame's grid, with ``moments`` in days (visits) or seconds where
        all times are known and rise.

    Raises:
        InputError: There is one frame only, or a frame is a volume.
        GeometryError: The frames differ in size.
    """
    if len(volumes) < 2:
        raise InputError(
            f"The case of {names[0]} has a single frame.",
            "A sequence has two frames or more.",
            "Add its other frames, or learn from single images without --sequence.",
        )
    first = volumes[0]
    for name, other in zip(names, volumes, strict=True):
        if not other.grid.is_picture:
            raise InputError(
                f"The frame {name} is a volume of {other.grid.shape[2]} slices.",
                "The frames of a sequence are pictures.",
                "Give one slice or projection of each visit, or learn from the volumes without --sequence.",
            )
        if other.grid.shape != first.grid.shape:
            raise GeometryError(
                f"The frame {name} has {other.grid.shape[0]} x {other.grid.shape[1]} pixels and {names[0]} "
                f"{first.grid.shape[0]} x {first.grid.shape[1]}.",
                "The frames of one case are of one size.",
                "Resample them to one size, or leave the odd frame out.",
            )
    colour = any(v.channel == "rgb" for v in volumes)
    arrays = [np.repeat(v.array[:1], 3, axis=0) if colour and v.channel != "rgb" else v.array for v in volumes]
    n = min(len(a) for a in arrays)
    moments, unit = _moments(taken)
    return replace(
        first,
        array=np.concatenate([a[:n] for a in arrays], axis=-1),
        grid=Grid((*first.grid.shape[:2], len(volumes)), first.grid.affine, spacing_known=first.grid.spacing_known),
        channel="rgb" if colour else first.channel,
        moments=moments,
        moment_unit=unit,
    )


def taken_at(source: str | Path, root: Path | None) -> datetime | None:
    """When a picture was taken, by its DICOM header; None for other files, or where it is not said or damaged."""
    found = _said(parse_locator(source, root=root).path, ["AcquisitionDateTime", *_DAYS_AND_TIMES])
    whole = _time(found.get("AcquisitionDateTime", ""))
    if whole is not None:
        return whole
    for which in _WHEN:
        day = found.get(f"{which}Date", "")
        when = _time(day + found.get(f"{which}Time", "").split(".")[0]) or _time(day)
        if when is not None:
            return when
    return None


def _said(path: Path, names: Sequence[str]) -> dict[str, str]:
    """Attributes of a DICOM file as text; nothing of other files, nor of one that cannot be read."""
    from scanwright.io.content import kind_of
    from scanwright.io.guard import reading

    try:
        if not path.is_file() or kind_of(path) != "dicom":
            return {}
        import pydicom

        from scanwright.io.dicom.open import text

        with reading(path, "DICOM"):
            data = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(names), force=True)
            return {name: text(data, name) for name in names}
    except (OSError, FormatError):
        return {}


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which ``img2`` comes before ``img10``."""
    return tuple((0, int(t), "") if t.isdigit() else (1, 0, t) for t in re.split(r"(\d+)", text.casefold()) if t)


def frames_together(paths: Sequence[Path], by: FramesBy) -> list[list[Path]]:
    """Single pictures that a person points at, as the frames of cases.

    Args:
        paths: Files of one picture each.
        by: What the model's frames step through. Visits are put together by PatientID and ordered by
            date, where headers tell; others are the files of a folder, in the order of their names.

    Returns:
        Groups in order; a group of one file is a case of a single frame.
    """
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        person = _said(path, ["PatientID"]).get("PatientID", "") if by == "visit" else ""
        groups[person or str(path.parent)].append(path)
    found = []
    for files in groups.values():
        times = [taken_at(str(f), None) for f in files] if by == "visit" else []
        known = [t for t in times if t is not None]
        if known and len(known) == len(files):
            found.append(
                [f for _, f in sorted(zip(known, files, strict=True), key=lambda p: (p[0], natural(str(p[1]))))]
            )
        else:
            found.append(sorted(files, key=lambda f: natural(str(f))))
    return found


_WHEN = ("Acquisition", "Content", "Series", "Study")
_DAYS_AND_TIMES = [f"{which}{what}" for which in _WHEN for what in ("Date", "Time")]


def _time(text: str) -> datetime | None:
    digits = text.split(".")[0].split("+")[0].strip()
    for form in ("%Y%m%d%H%M%S", "%Y%m%d%H%M", "%Y%m%d"):
        try:
            return datetime.strptime(digits, form)
        except ValueError:
            continue
    return None


def _moments(taken: Sequence[datetime | None]) -> tuple[tuple[float, ...], str]:
    """Numbers since the first frame, and their unit; nothing where a time is missing or they do not rise."""
    known = [t for t in taken if t is not None]
    if len(known) < len(taken) or len(set(known)) < len(known) or known != sorted(known):
        return (), "frame"
    since = [(t - known[0]).total_seconds() for t in known]
    if since[-1] >= _DAY_S:
        return tuple(round(s / _DAY_S, 3) for s in since), "days"
    return tuple(since), "s"

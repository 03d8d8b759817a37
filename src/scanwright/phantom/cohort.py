"""A phantom cohort on disk: DICOM tree, table, truth, planted faults and a README."""

from __future__ import annotations

import difflib
import errno
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scanwright.core.errors import InputError, ResourceError
from scanwright.core.events import Emit, Finished, Progress, Started, silent
from scanwright.phantom.beside import label_row, plant_faults, readme, write_tables, write_whole
from scanwright.phantom.dicom import clip_dataset, ct_datasets, encode, xray_dataset
from scanwright.phantom.patient import CT_SCANNERS
from scanwright.phantom.roster import Exam, beating, followed, roster

MANIFEST = "phantom.json"
_FORMAT = "scanwright-phantom/1"
_FEWEST = 4


@dataclass(frozen=True)
class Kind:
    """One kind of cohort.

    Args:
        title: What it is, in words.
        patients: Usual number of patients.
        size: Usual rows and columns.
        write: Writes one examination below the cohort's folder.
        bytes_each: Room that one examination takes, given rows and columns.
        exams: ``(kind, patients, seed)`` to the examinations.
        faults: Whether faults can be planted.
    """

    title: str
    patients: int
    size: int
    write: Callable[[Path, Exam, int], None]
    bytes_each: Callable[[int], int]
    exams: Callable[[str, int, int], list[Exam]] = roster
    faults: bool = True


def write_phantom(
    kind: str,
    out: Path,
    *,
    patients: int | None = None,
    seed: int = 0,
    faults: bool = True,
    size: int | None = None,
    emit: Emit = silent,
) -> Path:
    """Write a synthetic chest cohort as real DICOM files.

    Args:
        kind: Key of :data:`KINDS`.
        out: Folder to fill; absent, empty, or an unfinished one of the same arguments,
            which is continued.
        patients: Number of patients, 4 or more; the kind's usual number if None.
        seed: Same seed, same pixels.
        faults: Whether to plant a duplicate, a damaged file and a file of another kind.
        size: Rows and columns; the kind's usual size if None.
        emit: Receives progress.

    Returns:
        ``out``, holding ``patients/``, ``labels.csv``, ``truth/``, ``README.txt`` and ``phantom.json``.

    Raises:
        InputError: Unknown kind, fewer than 4 patients, an odd size, or a folder with other things in it.
        ResourceError: ``out`` cannot be written or the disk is too small or full. No file is
            left half-written; the same command continues.
    """
    began = time.monotonic()
    chosen = _kind(kind)
    patients = chosen.patients if patients is None else patients
    size = chosen.size if size is None else size
    _check_numbers(patients, size)
    out = Path(out)
    wanted = {"format": _FORMAT, "kind": kind, "patients": patients, "seed": seed, "faults": faults, "size": size}
    state = _state(out, wanted)
    if state == "complete":
        emit(Finished(stage="phantom", seconds=time.monotonic() - began, skipped=True))
        return out
    emit(Started(stage="phantom", resumed=state == "begun"))
    exams = chosen.exams(kind, patients, seed)
    _make_room(out, len(exams) * chosen.bytes_each(size))
    with _writing(out):
        write_whole(out / MANIFEST, json.dumps({**wanted, "complete": False}, indent=2).encode())
        rows = _write_exams(chosen, exams, out, size, emit)
        planted = plant_faults(exams, out, rows) if faults and chosen.faults else []
        write_tables(exams, rows, out, size, kind)
        write_whole(out / "README.txt", readme(kind, chosen.title, wanted, len(exams), planted).encode())
        write_whole(out / MANIFEST, json.dumps({**wanted, "complete": True}, indent=2).encode())
    emit(Finished(stage="phantom", seconds=time.monotonic() - began))
    return out


def _kind(name: str) -> Kind:
    if name in KINDS:
        return KINDS[name]
    near = difflib.get_close_matches(str(name), list(KINDS), n=1, cutoff=0.3)
    raise InputError(
        f"There is no phantom called {name!r}.",
        f"The phantoms are {', '.join(KINDS)}.",
        f"Did you mean {near[0]!r}?" if near else f"Write {next(iter(KINDS))!r}.",
    )


def _check_numbers(patients: int, size: int) -> None:
    if patients < _FEWEST:
        raise InputError(
            f"A cohort of {patients} patients was asked for.",
            f"Two classes and three parts need at least {_FEWEST}.",
            "Write --patients 40, or more.",
        )
    if not 32 <= size <= 2048:
        raise InputError(
            f"Pictures of {size} pixels were asked for.",
            "Rows and columns lie between 32 and 2048.",
            "Write --size 256.",
        )


def _state(out: Path, wanted: dict[str, object]) -> str:
    """``"new"``, ``"begun"`` or ``"complete"``; an error for anybody else's folder."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out.name!r} is a file.", "A phantom is written into a folder.", "Name another folder.")
    try:
        if not out.exists() or not any(out.iterdir()):
            return "new"
        found = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
    except PermissionError:
        raise ResourceError(
            f"The folder {out.name!r} cannot be read.", "A phantom needs a folder of its own.", "Name another folder."
        ) from None
    except (OSError, ValueError):
        if all(p.name.startswith(f".{MANIFEST}") for p in out.iterdir()):
            return "new"
        raise InputError(
            f"The folder {out.name!r} holds other things.",
            "A phantom is written into an empty folder.",
            "Name another folder.",
        ) from None
    different = (
        [f"{k} {found.get(k)}" for k, v in wanted.items() if found.get(k) != v]
        if isinstance(found, dict)
        else ["its format"]
    )
    if different:
        raise InputError(
            f"The folder {out.name!r} holds another phantom ({', '.join(different)}).",
            "A phantom is continued with the same arguments only.",
            "Name another folder, or give the same arguments.",
        )
    return "complete" if found.get("complete") is True else "begun"


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Turn what the machine refuses into a sentence."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if isinstance(error, ResourceError):
            raise
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceError(
                f"The disk that holds {out.name!r} is full.",
                "No file was left half-written.",
                "Free some room and type the same command again: it continues.",
            ) from None
        raise ResourceError(
            f"The folder {out.name!r} cannot be written ({error.strerror or 'unknown reason'}).",
            "A phantom needs a folder that you may write to.",
            "Name another folder with --out.",
        ) from None


def _make_room(out: Path, needed: int) -> None:
    present = sum(p.stat().st_size for p in out.rglob("*") if p.is_file()) if out.is_dir() else 0
    nearest = next((p for p in (out.absolute(), *out.absolute().parents) if p.is_dir()), Path("/"))
    free = shutil.disk_usage(nearest).free + present
    if free < needed:
        raise ResourceError(
            f"The phantom needs about {needed / 1e6:.0f} MB and {free / 1e6:.0f} MB are free.",
            "Nothing was written.",
            "Free some room, or ask for fewer --patients.",
        )


def _write_exams(chosen: Kind, exams: list[Exam], out: Path, size: int, emit: Emit) -> list[dict[str, object]]:
    began, fresh = time.monotonic(), 0
    rows: list[dict[str, object]] = []
    for n, exam in enumerate(exams):
        if not (out / exam.path).exists():
            chosen.write(out, exam, size)
            fresh += 1
        rows.append(label_row(exam, exam.path))
        each = (time.monotonic() - began) / max(fresh, 1)
        emit(
            Progress(
                stage="phantom",
                step=chosen.title,
                done=n + 1,
                total=len(exams),
                left_s=each * (len(exams) - n - 1) if fresh else None,
            )
        )
    return rows


def _write_xray(out: Path, exam: Exam, size: int) -> None:
    from scanwright.phantom.xray import render_xray

    volume, _ = render_xray(exam.patient, size=size)
    write_whole(out / exam.path, encode(xray_dataset(volume, exam.patient, exam.order)))


def _write_heart(out: Path, exam: Exam, size: int) -> None:
    from scanwright.phantom.heart import render_heart

    if exam.heart is not None:
        clip = render_heart(exam.heart, size=size)
        write_whole(out / exam.path, encode(clip_dataset(clip, exam.patient, exam.order, frame_ms=exam.heart.frame_ms)))


def _write_ct(out: Path, exam: Exam, size: int) -> None:
    import gzip

    import nibabel

    from scanwright.phantom.ct import FIELD_MM, render_ct

    step = FIELD_MM / size
    volume, labels = render_ct(exam.patient, (step, step, 2.5 if size >= 256 else 5.0))
    nifti = nibabel.Nifti1Image(labels.array, labels.grid.affine)
    nifti.header.set_xyzt_units("mm")
    packed = nifti.to_bytes()
    write_whole(out / "truth" / f"{exam.patient_id}.nii.gz", gzip.compress(packed, 6, mtime=0))
    folder = out / exam.path
    draft = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    naming = CT_SCANNERS[exam.patient.ct_scanner].naming
    try:
        for n, data in enumerate(ct_datasets(volume, exam.patient, exam.order), start=1):
            (draft / naming.format(n=n)).write_bytes(encode(data))
        draft.replace(folder)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        raise


KINDS: dict[str, Kind] = {
    "chest-xray": Kind(
        "chest X-rays, with or without a lung nodule", 400, 256, _write_xray, lambda size: 2 * size * size + 6000
    ),
    "chest-ct": Kind(
        "chest CTs, with or without a lung nodule",
        24,
        128,
        _write_ct,
        lambda size: 2 * size * size * (120 if size >= 256 else 60) + 400_000,
    ),
    "chest-followup": Kind(
        "chest X-rays over several visits, with a nodule that grows or shrinks",
        160,
        128,
        _write_xray,
        lambda size: 2 * size * size + 6000,
        followed,
        faults=False,
    ),
    "heart-clip": Kind(
        "short-axis ultrasound clips of hearts that contract early or late",
        240,
        96,
        _write_heart,
        lambda size: 20 * size * size + 6000,
        beating,
        faults=False,
    ),
}
"""Kinds of phantom cohorts."""

"""A phantom cohort on disk: DICOM tree, table, truth, planted faults and a README."""

from __future__ import annotations

import csv
import difflib
import errno
import io
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from scanwright.core.errors import InputError, ResourceError
from scanwright.core.events import Emit, Finished, Progress, Started, silent
from scanwright.phantom.dicom import ct_datasets, encode, uid, xray_dataset
from scanwright.phantom.patient import CT_SCANNERS
from scanwright.phantom.roster import Exam, roster

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
    """

    title: str
    patients: int
    size: int
    write: Callable[[Path, Exam, int], None]
    bytes_each: Callable[[int], int]


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
    exams = roster(kind, patients, seed)
    with _writing(out):
        _make_room(out, len(exams) * chosen.bytes_each(size))
        _write(out / MANIFEST, json.dumps({**wanted, "complete": False}, indent=2).encode())
        rows = _write_exams(chosen, exams, out, size, emit)
        planted = _plant(chosen, exams, out, rows) if faults else []
        _write_tables(exams, rows, out, size, kind)
        _write(out / "README.txt", _readme(kind, chosen, wanted, len(exams), planted).encode())
        _write(out / MANIFEST, json.dumps({**wanted, "complete": True}, indent=2).encode())
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
    present = sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
    free = shutil.disk_usage(out).free + present
    if free < needed:
        if not present:
            out.rmdir()
        raise ResourceError(
            f"The phantom needs about {needed / 1e6:.0f} MB and {free / 1e6:.0f} MB are free.",
            "Nothing was written.",
            "Free some room, or ask for fewer --patients.",
        )


def _write(path: Path, content: bytes) -> None:
    """A whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def _write_exams(chosen: Kind, exams: list[Exam], out: Path, size: int, emit: Emit) -> list[dict[str, object]]:
    began, fresh = time.monotonic(), 0
    rows: list[dict[str, object]] = []
    for n, exam in enumerate(exams):
        if not (out / exam.path).exists():
            chosen.write(out, exam, size)
            fresh += 1
        rows.append(_row(exam, exam.path))
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


def _row(exam: Exam, path: PurePosixPath) -> dict[str, object]:
    body = exam.patient
    return {
        "path": str(path),
        "patient_id": exam.patient_id,
        "label": body.label,
        "sex": body.sex,
        "age": body.age,
        "bmi": body.bmi,
        "scanner": exam.scanner,
    }


def _write_xray(out: Path, exam: Exam, size: int) -> None:
    from scanwright.phantom.xray import render_xray

    volume, _ = render_xray(exam.patient, size=size)
    _write(out / exam.path, encode(xray_dataset(volume, exam.patient, exam.order)))


def _write_ct(out: Path, exam: Exam, size: int) -> None:
    import nibabel

    from scanwright.phantom.ct import FIELD_MM, render_ct

    step = FIELD_MM / size
    volume, labels = render_ct(exam.patient, (step, step, 2.5 if size >= 256 else 5.0))
    nifti = nibabel.Nifti1Image(labels.array, labels.grid.affine)
    nifti.header.set_xyzt_units("mm")
    packed = nifti.to_bytes()
    import gzip

    _write(out / "truth" / f"{exam.patient_id}.nii.gz", gzip.compress(packed, 6, mtime=0))
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


def _plant(chosen: Kind, exams: list[Exam], out: Path, rows: list[dict[str, object]]) -> list[str]:
    """Faults for ``check`` to find; each line says what and where."""
    import pydicom

    first, second, third = exams[len(exams) // 2], exams[len(exams) // 3], exams[len(exams) // 4]
    folder = PurePosixPath(*first.path.parts[:2]) / "20240102_CHEST_COPY"
    sources = sorted((out / first.path).glob("*.dcm")) if (out / first.path).is_dir() else [out / first.path]
    copy = folder / ("CT_COPY" if (out / first.path).is_dir() else "IM9001.dcm")
    for n, source in enumerate(sources, start=1):
        data = pydicom.dcmread(source)
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = uid(first.order.name, "copy", n)
        data.SeriesInstanceUID = uid(first.order.name, "copy series")
        data.StudyInstanceUID = uid(first.order.name, "copy study")
        _write(out / (copy / f"IM{n:04d}.dcm" if len(sources) > 1 else copy), encode(data, compress=True))
    rows.append(_row(first, copy))
    whole = sorted((out / second.path).glob("*.dcm"))[0] if (out / second.path).is_dir() else out / second.path
    cut = PurePosixPath(*second.path.parts[:2]) / "20240103_CHEST" / "IM9002.dcm"
    content = whole.read_bytes()
    _write(out / cut, content[: int(len(content) * 0.6)])
    rows.append(_row(second, cut))
    letter = PurePosixPath(*third.path.parts[:3]) / "letter.dcm"
    _write(out / letter, b"This is a letter and no picture. It was filed among the pictures by mistake.\n")
    return [
        f"{copy}: the same pixels as {first.path}, encoded anew under new UIDs",
        f"{cut}: a DICOM file of which the last 40 percent are missing",
        f"{letter}: a text file named like a picture",
    ]


def _write_tables(exams: list[Exam], rows: list[dict[str, object]], out: Path, size: int, kind: str) -> None:
    from scanwright.phantom.ct import FIELD_MM, ct_grid
    from scanwright.phantom.xray import xray_grid

    truth: list[dict[str, object]] = []
    for exam in exams:
        step = FIELD_MM / size
        grid = (
            xray_grid(exam.patient, size)
            if kind == "chest-xray"
            else ct_grid(exam.patient, (step, step, 2.5 if size >= 256 else 5.0))
        )
        lumps = [("nodule", n) for n in exam.patient.nodules] + [("granuloma", n) for n in exam.patient.granulomas]
        for what, lump in lumps:
            i, j, k = (round(float(v), 2) for v in grid.index(lump.centre))
            truth.append(
                {
                    "path": str(exam.path),
                    "patient_id": exam.patient_id,
                    "what": what,
                    "diameter_mm": lump.diameter_mm,
                    "margin": lump.margin,
                    "behind": lump.behind,
                    "row": i,
                    "column": j,
                    **({"slice": k} if kind == "chest-ct" else {}),
                    **dict(zip(("x_mm", "y_mm", "z_mm"), lump.centre, strict=True)),
                }
            )
    names = ["path", "patient_id", "what", "diameter_mm", "margin", "behind", "row", "column"]
    names += (["slice"] if kind == "chest-ct" else []) + ["x_mm", "y_mm", "z_mm"]
    _write(out / "truth" / "lesions.csv", _csv(truth, names))
    _write(out / "labels.csv", _csv(rows, list(rows[0])))


def _csv(rows: list[dict[str, object]], names: list[str]) -> bytes:
    sink = io.StringIO()
    writer = csv.DictWriter(sink, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue().encode()


def _readme(kind: str, chosen: Kind, wanted: dict[str, object], n_exams: int, planted: list[str]) -> str:
    size = wanted["size"]
    lines = [
        f"Phantom cohort {kind}: {chosen.title}",
        "",
        f"{wanted['patients']} synthetic patients, {n_exams} examinations, {size} x {size} pixels, seed {wanted['seed']}.",
        "No person was imaged. Licence: CC0 1.0 (public domain). Not for clinical use.",
        "",
        "patients/    DICOM files, one folder a patient and study",
        "labels.csv   one row an examination: path, patient_id, label (normal or nodule), sex, age, bmi, scanner",
        "truth/       lesions.csv: centre (RAS+ mm, and row and column from 0), diameter, margin, what lies in front or behind.",
        "             Keep it away from training. Granulomas occur in both classes and do not decide the label.",
    ]
    if kind == "chest-ct":
        lines.append(
            "             PHxxxx.nii.gz: label map on the grid of the CT; values as in scanwright.phantom.LABELS."
        )
    lines += ["phantom.json the arguments; the same command continues an unfinished folder", ""]
    lines += ["Planted faults", "--------------", *(planted or ["none"]), ""]
    return "\n".join(lines)


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
}
"""Kinds of phantom cohorts."""

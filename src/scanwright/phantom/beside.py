"""What lies beside the pictures of a phantom: tables, truth, planted faults, README."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from pathlib import Path, PurePosixPath

from scanwright.phantom.dicom import encode, uid
from scanwright.phantom.roster import Exam


def write_whole(path: Path, content: bytes) -> None:
    """Write a whole file or none.

    Args:
        path: File; its folder is made.
        content: All of it.

    Raises:
        OSError: The machine refuses; no draft is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def label_row(exam: Exam, path: PurePosixPath) -> dict[str, object]:
    """The row of ``labels.csv`` for a picture of an examination."""
    body, date = exam.patient, exam.order.date
    return {
        "path": str(path),
        "patient_id": exam.patient_id,
        **({"visit": exam.visit, "date": f"{date[:4]}-{date[4:6]}-{date[6:]}"} if exam.visit else {}),
        "label": exam.label or body.label,
        "sex": body.sex,
        "age": body.age,
        "bmi": body.bmi,
        "scanner": exam.scanner,
    }


def plant_faults(exams: list[Exam], out: Path, rows: list[dict[str, object]]) -> list[str]:
    """Plant faults for ``check`` to find.

    Args:
        exams: All examinations, written already.
        out: The cohort's folder.
        rows: Rows of ``labels.csv``; those of the planted pictures are added.

    Returns:
        A line for each fault: where and what.
    """
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
        write_whole(out / (copy / f"IM{n:04d}.dcm" if len(sources) > 1 else copy), encode(data, compress=True))
    rows.append(label_row(first, copy))
    whole = sorted((out / second.path).glob("*.dcm"))[0] if (out / second.path).is_dir() else out / second.path
    cut = PurePosixPath(*second.path.parts[:2]) / "20240103_CHEST" / "IM9002.dcm"
    content = whole.read_bytes()
    write_whole(out / cut, content[: int(len(content) * 0.6)])
    rows.append(label_row(second, cut))
    letter = PurePosixPath(*third.path.parts[:3]) / "letter.dcm"
    write_whole(out / letter, b"This is a letter and no picture. It was filed among the pictures by mistake.\n")
    return [
        f"{copy}: the same pixels as {first.path}, encoded anew under new UIDs",
        f"{cut}: a DICOM file of which the last 40 percent are missing",
        f"{letter}: a text file named like a picture",
    ]


def write_tables(exams: list[Exam], rows: list[dict[str, object]], out: Path, size: int, kind: str) -> None:
    """Write ``truth/lesions.csv`` and, last of all, ``labels.csv``."""
    from scanwright.phantom.ct import FIELD_MM, ct_grid
    from scanwright.phantom.xray import xray_grid

    truth: list[dict[str, object]] = []
    if kind == "heart-clip":
        beats = [(exam, exam.heart) for exam in exams if exam.heart is not None]
        truth = [{"path": str(exam.path), "patient_id": exam.patient_id, **asdict(beat)} for exam, beat in beats]
        write_whole(out / "truth" / "hearts.csv", _csv(truth, list(truth[0])))
        write_whole(out / "labels.csv", _csv(rows, list(rows[0])))
        return
    for exam in exams:
        step = FIELD_MM / size
        grid = (
            xray_grid(exam.patient, size)
            if kind != "chest-ct"
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
    write_whole(out / "truth" / "lesions.csv", _csv(truth, names))
    write_whole(out / "labels.csv", _csv(rows, list(rows[0])))


def _csv(rows: list[dict[str, object]], names: list[str]) -> bytes:
    sink = io.StringIO()
    writer = csv.DictWriter(sink, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue().encode()


_TRUTH = {
    "chest-xray": (
        "truth/       lesions.csv: centre (RAS+ mm, and row and column from 0), diameter, margin, what lies in front or behind.",
        "             Keep it away from training. Granulomas occur in both classes and do not decide the label.",
    ),
    "chest-followup": (
        "             A patient's nodule grows or shrinks over the visits; single pictures do not tell which.",
        "truth/       lesions.csv: centre and diameter of the nodule in every visit. Keep it away from training.",
    ),
    "heart-clip": (
        "             The heart is emptiest after one third of the beat (early) or after two thirds (late).",
        "truth/       hearts.csv: size, motion and timing of every heart. Keep it away from training.",
    ),
}


def readme(kind: str, title: str, wanted: dict[str, object], n_exams: int, planted: list[str]) -> str:
    """The README of a cohort, with its licence and its planted faults."""
    size = wanted["size"]
    lines = [
        f"Phantom cohort {kind}: {title}",
        "",
        f"{wanted['patients']} synthetic patients, {n_exams} examinations, {size} x {size} pixels, seed {wanted['seed']}.",
        "No person was imaged. Licence: CC0 1.0 (public domain). Not for clinical use.",
        "",
        "patients/    DICOM files, one folder a patient and study",
        "labels.csv   one row an examination: path, patient_id, label, sex, age, bmi, scanner",
        *_TRUTH.get(kind, _TRUTH["chest-xray"]),
    ]
    if kind == "chest-ct":
        lines.append(
            "             PHxxxx.nii.gz: label map on the grid of the CT; values as in scanwright.phantom.LABELS."
        )
    lines += ["phantom.json the arguments; the same command continues an unfinished folder", ""]
    lines += ["Planted faults", "--------------", *(planted or ["none"]), ""]
    return "\n".join(lines)

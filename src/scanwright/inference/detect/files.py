"""Boxes of one case as files: JSON, csv, a drawing, and a DICOM report for DICOM sources."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from scanwright.core import Prediction, ScanwrightError, png_bytes
from scanwright.io.atomic import atomic_write, write_json

_COLUMNS = (
    *("number", "class", "score", "i_low", "j_low", "k_low", "i_high", "j_high", "k_high"),
    *("x_low_mm", "y_low_mm", "z_low_mm", "x_high_mm", "y_high_mm", "z_high_mm"),
)


def write_detection(
    prediction: Prediction, folder: Path, *, dicom: Sequence[Path] = (), kinds: Sequence[str] | None = None
) -> dict[str, Path]:
    """Write what was found in one case into a folder of its own.

    Args:
        prediction: With boxes.
        folder: Made if missing.
        dicom: The source's DICOM files; none for other sources.
        kinds: What to write: ``"png"``, ``"sr"``; both if None. The list and the JSON are always written.

    Returns:
        What was written: ``"boxes"`` (``boxes.csv``), ``"overlay"``, ``"sr"``, ``"json"`` (``answer.json``).

    Raises:
        ResourceError: The disk is full.
        InputError: The folder may not be written.

    The DICOM report is a copy: where it cannot be made, the reason stands in ``answer.json`` under ``not_written``.
    """
    wanted = ("png", "sr") if kinds is None else tuple(kinds)
    files = {"boxes": atomic_write(folder / "boxes.csv", box_table(prediction))}
    left_out: dict[str, str] = {}
    if prediction.overlay is not None and "png" in wanted:
        files["overlay"] = atomic_write(folder / "overlay.png", png_bytes(prediction.overlay))
    if dicom and "sr" in wanted:
        try:
            from scanwright.io.dicom.box_report import write_box_report
            from scanwright.io.dicom.write import DicomNote

            note = DicomNote(
                model=prediction.model.get("name", "model"),
                version=prediction.model.get("version", "1.0.0"),
                finding="",
            )
            files["sr"] = write_box_report(folder / "sr.dcm", prediction, dicom, note=note)
        except (ScanwrightError, ImportError) as error:  # the answer stands without this copy
            left_out["sr"] = str(error)
    named = {kind: path.name for kind, path in files.items()}
    told = {**prediction.to_dict(), "files": named, **({"not_written": left_out} if left_out else {})}
    files["json"] = write_json(folder / "answer.json", told)
    return files


def box_table(prediction: Prediction) -> str:
    """Boxes as CSV, one a line, surest first; the header alone where there are none.

    Args:
        prediction: With boxes.

    Returns:
        Text; millimetres are LPS, empty where the place is not known.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in prediction.box_rows():
        place = [*row["low"], *row["high"]]
        world = [*row.get("low_mm", [""] * 3), *row.get("high_mm", [""] * 3)]
        numbers = [f"{v:.4f}" if isinstance(v, float) else v for v in (*place, *world)]
        writer.writerow([row["number"], row["class"], f"{row['score']:.6f}", *numbers])
    return buffer.getvalue()

"""A segmentation as files: NIfTI, lesion table, JSON, pictures, and DICOM objects for DICOM sources."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scanwright.core import Lesion, Prediction, ScanwrightError, Volume, png_bytes
from scanwright.inference.segment.pictures import film
from scanwright.io.atomic import atomic_write, write_json
from scanwright.preprocessing.diameters import diameters

Source = str | Path | Sequence[Path]
DICOM_KINDS = ("seg", "sr", "summary")
"""DICOM objects that are written beside a DICOM source: segmentation, measurements, summary."""

_COLUMNS = (
    "number",
    "structure",
    "n_voxels",
    "volume_ml",
    "area_mm2",
    "longest_mm",
    "perpendicular_mm",
    "mean",
    "low",
    "high",
    "unit",
    "i",
    "j",
    "k",
    "x_mm",
    "y_mm",
    "z_mm",
    "side",
    "probability",
    "slice",
)


def write_segmentation(
    prediction: Prediction,
    folder: Path,
    *,
    source: Source | None = None,
    dicom: Sequence[Path] = (),
    volume: Volume | None = None,
    kinds: Sequence[str] | None = None,
) -> dict[str, Path]:
    """Write what was found in one case into a folder of its own.

    Args:
        prediction: With a label map.
        folder: Made if missing.
        source: What was read, for the film through its slices; read again where ``volume`` is None.
        dicom: The source's DICOM files; none for other sources.
        volume: The source, where it is still at hand.
        kinds: What to write: ``"nifti"``, ``"png"``, ``"gif"`` and keys of ``io.dicom.objects.KINDS``;
            the label map, the pictures and :data:`DICOM_KINDS` if None. The lesion table and the
            JSON are always written.

    Returns:
        What was written: ``"segmentation"`` (``segmentation.nii.gz``, or ``segmentation.png`` of a
        picture), ``"regions"``, ``"lesions"``, ``"overlay"``, ``"film"``, DICOM objects, ``"json"``.

    Raises:
        ResourceError: The disk is full.
        InputError: The folder may not be written.

    The film and the DICOM objects are copies: where one cannot be made, the reason stands in
    ``answer.json`` under ``not_written`` and the rest is written.
    """
    files: dict[str, Path] = {}
    left_out: dict[str, str] = {}
    wanted = ("nifti", "png", "gif", *DICOM_KINDS) if kinds is None else tuple(kinds)
    if "nifti" in wanted:
        files.update(_label_files(prediction, folder))
    files["lesions"] = atomic_write(folder / "lesions.csv", lesion_table(prediction.lesions))
    if prediction.overlay is not None and "png" in wanted:
        files["overlay"] = atomic_write(folder / "overlay.png", png_bytes(prediction.overlay))
    label_map = prediction.label_map
    if label_map is not None and not label_map.grid.is_picture and "gif" in wanted:
        try:
            shown = _read(source) if volume is None and isinstance(source, str | Path) else volume
            if shown is not None and shown.grid.shape == label_map.grid.shape:
                files["film"] = atomic_write(folder / "overlay.gif", film(shown, label_map, regions=prediction.regions))
        except (ScanwrightError, OSError) as error:
            left_out["film"] = str(error)
    if dicom:
        try:
            files.update(_dicom_objects(folder, prediction, dicom, wanted))
        except (ScanwrightError, ImportError) as error:  # the answer stands without these copies
            left_out["dicom"] = str(error)
    named = {kind: str(path.relative_to(folder)) for kind, path in files.items()}
    told = {**prediction.to_dict(), "files": named, **({"not_written": left_out} if left_out else {})}
    files["json"] = write_json(folder / "answer.json", told)
    return files


def lesion_table(lesions: Sequence[Lesion]) -> str:
    """Lesions as CSV, one a line; the header alone where there are none.

    Args:
        lesions: What was found.

    Returns:
        Text with a header; empty fields where a figure is not known.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for one in lesions:
        place: tuple[Any, ...] = one.centroid_mm or (None, None, None)
        more = dict(zip(("i", "j", "k", "x_mm", "y_mm", "z_mm"), (*one.centroid, *place), strict=True))
        values = [more[name] if name in more else getattr(one, name) for name in _COLUMNS]
        writer.writerow(["" if v is None else (f"{v:.6g}" if isinstance(v, float) else v) for v in values])
    return buffer.getvalue()


def _label_files(prediction: Prediction, folder: Path) -> dict[str, Path]:
    from scanwright.io.write import write_nifti, write_png

    label_map = prediction.label_map
    if label_map is None:
        return {}
    if label_map.grid.is_picture:
        flat = label_map.array[..., 0]
        kind = np.uint8 if int(flat.max(initial=0)) < 256 else np.uint16
        return {"segmentation": write_png(folder / "segmentation.png", flat.astype(kind))}
    files = {"segmentation": write_nifti(folder / "segmentation.nii.gz", label_map.array, label_map.grid)}
    if prediction.regions is not None:
        files["regions"] = write_nifti(folder / "regions.nii.gz", prediction.regions, label_map.grid)
    return files


def _dicom_objects(
    folder: Path, prediction: Prediction, dicom: Sequence[Path], wanted: Sequence[str]
) -> dict[str, Path]:
    from scanwright.io.dicom.objects import KINDS, write_objects
    from scanwright.io.dicom.write import DicomNote

    note = DicomNote(
        model=prediction.model.get("name", "model"), version=prediction.model.get("version", "1.0.0"), finding=""
    )
    chosen = tuple(kind for kind in wanted if kind in KINDS)
    written = write_objects(folder, prediction, source_files=dicom, note=note, kinds=chosen, measure=diameters)
    return {path.stem: path for path in written}


def _read(source: str | Path) -> Volume:
    from scanwright.io import read_volume

    return read_volume(source)

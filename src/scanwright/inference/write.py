"""A prediction as files: JSON, pictures, and the heat map in the source's own format."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scanwright.core import FormatError, GeometryError, InputError, Prediction, Volume, png_bytes
from scanwright.io.atomic import atomic_write, write_json

_SMALLEST_SIDE = 256


def write_prediction(
    prediction: Prediction,
    out: Path | str,
    *,
    source: str | Path | Sequence[Path] | None = None,
    volume: Volume | None = None,
    kinds: Sequence[str] | None = None,
) -> dict[str, Path]:
    """Write a prediction next to others, under the name of its case.

    Args:
        prediction: The answer.
        out: Folder, made if missing.
        source: The file, folder of a series, locator or list of files that was read; where it
            is DICOM the answer is written as DICOM too.
        volume: The source where it is still at hand, for the film of a segmentation.
        kinds: What to write of a segmentation; the usual files if None.

    Returns:
        What was written. Of a segmentation see
        :func:`scanwright.inference.segment.files.write_segmentation`, of a detection
        :func:`scanwright.inference.detect.files.write_detection`; else ``"json"`` always;
        ``"picture"``; with a heat map ``"overlay"``, ``"nifti"`` for volumes, and ``"dicom"`` for
        DICOM sources.

    Raises:
        ResourceError: The disk is full.
        InputError: The folder may not be written.

    A heat map that cannot be written as DICOM (the source's slices do not lie on the prediction's
    grid, say) costs only that file: the reason stands in the JSON under ``not_written``.
    """
    out = Path(out)
    stem = file_stem(prediction.case)
    if prediction.label_map is not None:
        from scanwright.inference.segment.files import write_segmentation

        dicom_files = _dicom_files(source)
        return write_segmentation(prediction, out / stem, source=source, dicom=dicom_files, volume=volume, kinds=kinds)
    if prediction.task == "detect":
        from scanwright.inference.detect.files import write_detection

        return write_detection(prediction, out / stem, dicom=_dicom_files(source), kinds=kinds)
    files: dict[str, Path] = {}
    left_out: dict[str, str] = {}
    if prediction.picture is not None:
        files["picture"] = atomic_write(out / f"{stem}.picture.png", png_bytes(enlarged(prediction.picture)))
    if prediction.overlay is not None:
        files["overlay"] = atomic_write(out / f"{stem}.heatmap.png", png_bytes(enlarged(prediction.overlay)))
    heat, grid = prediction.heatmap, prediction.grid
    if heat is not None and grid is not None:
        if not grid.is_picture:
            from scanwright.io import write_nifti

            files["nifti"] = write_nifti(out / f"{stem}.heatmap.nii.gz", heat, grid)
        try:
            dicom = _dicom_files(source)
            if dicom:
                files["dicom"] = _write_dicom(prediction, out / f"{stem}.heatmap.dcm", dicom)
        except (FormatError, GeometryError, InputError) as error:  # the answer stands without this copy of its heat map
            left_out["dicom"] = str(error)
    named = {kind: path.name for kind, path in files.items()}
    told = {**prediction.to_dict(), "files": named, **({"not_written": left_out} if left_out else {})}
    files["json"] = write_json(out / f"{stem}.json", told)
    return files


def _write_dicom(prediction: Prediction, path: Path, files: Sequence[Path]) -> Path:
    from scanwright.io.dicom.write import DicomNote, write_heatmap_dicom

    note = DicomNote(
        model=prediction.model.get("name", "model"),
        version=prediction.model.get("version", "1.0.0"),
        finding=prediction.heatmap_class or "",
    )
    heat, grid = prediction.heatmap, prediction.grid
    if heat is None or grid is None:  # both were checked by the caller
        return path
    return write_heatmap_dicom(path, heat, files, grid=grid, note=note, overlay=prediction.overlay)


def _dicom_files(source: str | Path | Sequence[Path] | None) -> list[Path]:
    """The DICOM files of a source; empty where it is something else."""
    if source is None:
        return []
    if not isinstance(source, str | Path):
        return [Path(file) for file in source if _is_dicom(Path(file))]
    text, _, series = str(source).partition("::")
    place = Path(text)
    if place.is_dir():
        from scanwright.io.dicom.write import files_of_series

        return files_of_series(place, series or None)
    return [place] if place.is_file() and _is_dicom(place) else []


def _is_dicom(path: Path) -> bool:
    from scanwright.io.dicom.write import is_dicom

    return is_dicom(path)


def file_stem(case: str) -> str:
    """A case id as a file name: letters, digits, ``.``, ``-`` and ``_``; never a path.

    Args:
        case: Any text.

    Returns:
        At most 100 characters, not empty, not starting with a dot.

    Example:
        >>> file_stem("folder/../case 7.png")
        'folder__case_7.png'
    """
    parts = [part for part in re.split(r"[\\/]+", case) if part.strip(". ")]
    words = re.sub(r"[^\w.-]+", "_", "__".join(parts)).strip("._") or "case"
    if len(words.encode()) <= 100:
        return words
    return f"{words[-60:].strip('._')}-{hashlib.sha256(case.encode()).hexdigest()[:8]}"


def enlarged(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A small picture made larger by a whole factor, so that a person can see it."""
    factor = max(1, _SMALLEST_SIDE // max(1, min(picture.shape[:2])))
    return np.repeat(np.repeat(picture, factor, axis=0), factor, axis=1)

"""From files to answers: read, predict, keep the pictures, and put it into words."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from scanwright.core import FramesBy, Grid, LabelMap, Prediction, Volume, png_bytes
from scanwright.serving.cases import Piece, sort_files
from scanwright.serving.limits import Limits
from scanwright.serving.pages import plain
from scanwright.serving.paint import structure_colours
from scanwright.serving.refusal import Refusal, refusal_of
from scanwright.serving.results import Results
from scanwright.serving.shelf import Slot
from scanwright.serving.slices import Stack, write_slices
from scanwright.serving.upload import Upload

log = logging.getLogger(__name__)

Read = Callable[[Path | str], Volume]
"""Reads a file, or a folder with one series."""

_PLACED = ("dicom", "nifti", "nifti-gz", "nrrd", "mha")


class Desk:
    """Answers requests, one case after another.

    Args:
        results: Where pictures and heat maps are kept.
        limits: Ceilings.
        read: Reader of images.
    """

    def __init__(self, results: Results, limits: Limits, read: Read) -> None:
        self.results, self.limits, self._read = results, limits, read

    def answer(
        self,
        uploads: list[Upload],
        folder: Path,
        slot: Slot,
        *,
        heatmap: bool,
        stop: threading.Event,
        slices: bool = False,
        columns: Mapping[str, str | float | None] | None = None,
    ) -> dict[str, Any]:
        """Answer every case of a request.

        Args:
            uploads: Files that were sent.
            folder: Where they lie; more may be written there.
            slot: Model to ask.
            heatmap: Whether heat maps are wanted.
            stop: Set when nobody waits for the answer any more.
            slices: Whether the slices of volumes are kept, to be leafed through.
            columns: What the sender says of the cases' table, for a model that learnt one.

        Returns:
            The body of the answer; see ``schemas.Answer``.

        Raises:
            Refusal: Not one case could be answered; its status is that of the failures.
        """
        began = time.monotonic()
        model = slot.get()
        spec = model.plan.preprocessing
        if columns is not None and not model.plan.columns:
            raise Refusal(
                422,
                f"Columns were sent, and {slot.name} learnt from images alone.",
                "Columns are asked of models that were trained with --columns.",
                "Leave them out.",
                code="columns",
            )
        by: FramesBy = spec.frames.by if spec.frames else ""
        # a 2-D network may go through volumes
        volumes = spec.dimension == 3 or spec.orientation is not None or by == "slice"
        sorted_files = sort_files(uploads, folder, self.limits, volumes=volumes, frames=by)
        results: list[dict[str, Any]] = []
        refused = list(sorted_files.refused)
        for piece in sorted_files.pieces:
            try:
                if stop.is_set() or time.monotonic() - began > self.limits.request_s:
                    raise _out_of_time(piece.name, self.limits.request_s)
                results.append(self._case(piece, slot, heatmap, slices, columns))
            except Exception as error:  # noqa: BLE001 - one bad case must not cost the others their answer
                refused.append((piece.name, _translated(piece, refusal_of(error, about=piece.name))))
        log.info("%s: %d answered, %d refused, %.2f s", slot.name, len(results), len(refused), time.monotonic() - began)
        if not results:
            raise _none_answered(refused)
        return {"model": slot.identity(), "results": results, "failures": _failures(refused)}

    def _case(
        self,
        piece: Piece,
        slot: Slot,
        heatmap: bool,
        slices: bool,
        columns: Mapping[str, str | float | None] | None,
    ) -> dict[str, Any]:
        began = time.monotonic()
        volume = self._read(piece.source)
        prediction = slot.predict(volume, case=piece.name, heatmap=heatmap, columns=columns)
        numbers = [*prediction.probabilities, *prediction.logits, prediction.value or 0.0]
        if not all(math.isfinite(n) for n in numbers):
            fact = f"The model gave no finite number for {piece.name}."
            fix = "Look at the image: it may be blank or damaged."
            raise Refusal(422, fact, "An answer is a number.", fix, code="no_number")
        said = plain(prediction.to_dict())
        del said["model"]
        return {
            "amounts": None,
            "lesions": None,
            "boxes": None,
            "threshold": None,
            **said,
            "case": piece.name,
            "heatmap": self._keep_heatmap(prediction, piece) if heatmap else None,
            "picture": None if prediction.picture is None else self._keep_png(prediction.picture, "pictures"),
            **self._keep_more(volume, prediction, slices),
            "seconds": round(time.monotonic() - began, 4),
        }

    def _keep_more(self, volume: Volume, prediction: Prediction, slices: bool) -> dict[str, Any]:
        """Label map and slices, under one key."""
        key = self.results.new_key()
        said: dict[str, Any] = {"segmentation": None, "slices": None}
        label_map = prediction.label_map
        if label_map is not None:
            self.results.keep(".nii.gz", lambda path: write_labels(path, label_map), key=key)
            said["segmentation"] = {
                "url": f"/v1/results/{key}/segmentation.nii.gz",
                "unit": _unit(label_map.grid),
                "structures": structures(prediction),
            }
        if slices and (label_map is not None or not volume.grid.is_picture):
            stack: list[Stack] = []
            most = self.results.keep_bytes // 4
            self.results.keep(
                ".slices", lambda path: stack.append(write_slices(path, volume, prediction, most_bytes=most)), key=key
            )
            said["slices"] = {"url": f"/v1/results/{key}/slices/", **asdict(stack[0])}
        return said

    def _keep_png(self, picture: Any, place: str) -> str:
        data = png_bytes(picture)
        return f"/v1/{place}/" + self.results.keep(".png", lambda path: _write(path, data))

    def _keep_heatmap(self, prediction: Prediction, piece: Piece) -> dict[str, str | None] | None:
        if prediction.overlay is None:
            return None
        nifti = None
        if prediction.heatmap is not None and prediction.grid is not None and piece.kind in _PLACED:
            nifti = "/v1/heatmaps/" + self.results.keep(".nii", lambda path: write_heatmap(path, prediction))
        return {"url": self._keep_png(prediction.overlay, "heatmaps"), "nifti": nifti}


def write_heatmap(path: Path, prediction: Prediction) -> None:
    """Write a heat map as NIfTI, on the grid of its source.

    Args:
        path: File to write, ``.nii``.
        prediction: With a heat map and a grid.
    """
    from scanwright.io import write_nifti

    if prediction.heatmap is not None and prediction.grid is not None:
        write_nifti(path, prediction.heatmap, prediction.grid)


def write_labels(path: Path, label_map: LabelMap) -> None:
    """Write a label map as NIfTI, in as few bytes a voxel as its structures need.

    Args:
        path: File to write, ``.nii.gz``.
        label_map: Structures on the grid of the source.
    """
    from scanwright.io import write_nifti

    array = label_map.array
    small = np.uint8 if array.max(initial=0) < 256 else np.uint16
    write_nifti(path, array.astype(small), label_map.grid)


def structures(prediction: Prediction) -> list[dict[str, Any]]:
    """Number, name and colour of every structure that a label map may hold.

    Args:
        prediction: Of the task ``segment``.

    Returns:
        ``value`` in the label map, ``name``, and ``colour`` as ``#rrggbb``.
    """
    colours = structure_colours(len(prediction.classes))
    return [
        {"value": n, "name": name, "colour": "#{:02x}{:02x}{:02x}".format(*colour)}
        for n, (name, colour) in enumerate(zip(prediction.classes, colours), start=1)
    ]


def _unit(grid: Grid) -> str:
    """Unit of amounts, as :class:`Prediction` counts them."""
    return "pixels" if not grid.spacing_known else "mm2" if grid.is_picture else "mL"


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _translated(piece: Piece, refusal: Refusal) -> Refusal:
    """The refusal with the sender's names for our paths."""
    parts = (piece.in_words_of_the_sender(text) for text in (refusal.fact, refusal.rule, refusal.fix))
    return Refusal(refusal.status, *parts, retry_s=refusal.retry_s, code=refusal.code)


def _out_of_time(name: str, limit_s: float) -> Refusal:
    return Refusal(
        503,
        f"There was no time left for {name}.",
        f"A request may take {limit_s:g} s.",
        "Send fewer cases.",
        retry_s=5,
        code="no_time",
    )


def _none_answered(refused: list[tuple[str, Refusal]]) -> Refusal:
    """One refusal for a request of which nothing was answered."""
    if not refused:
        return Refusal(422, "The request holds no image.", "At least one is needed.", "Send an image.")
    statuses = {refusal.status for _, refusal in refused}
    first = refused[0][1]
    status = first.status if len(statuses) == 1 else 422
    out = Refusal(status, first.fact, first.rule, first.fix, retry_s=first.retry_s, code=first.code)
    out.failures = _failures(refused)
    return out


def _failures(refused: list[tuple[str, Refusal]]) -> list[dict[str, str]]:
    return [{"case": name, "reason": str(refusal), "code": refusal.code} for name, refusal in refused]

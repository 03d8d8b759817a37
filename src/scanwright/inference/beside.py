"""The table beside the image, when a case is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import ModelFileError
from scanwright.trust import Trust
from scanwright.trust.columns import Cell, Columns
from scanwright.trust.fusion import Fusion

_SHOWN = 6


@dataclass(frozen=True, eq=False)
class Said:
    """What image and table say together of one case.

    Args:
        logits: ``(1, n_outputs)`` float32.
        trust: Calibration that belongs to them.
        caution: A sentence for the reader; empty if there is nothing to say.
    """

    logits: NDArray[np.float32]
    trust: Trust
    caution: str = ""


@dataclass(frozen=True, eq=False)
class Beside:
    """The table's model, and how it is weighed against the image.

    Args:
        columns: The table's model.
        fusion: The weights.
        both: Calibration of both together.
        image: Calibration of the image alone, for cases without a table.
    """

    columns: Columns
    fusion: Fusion
    both: Trust
    image: Trust

    @classmethod
    def of(cls, parts: Mapping[str, Any], both: Trust | None) -> Beside:
        """Read the parts of ``trust.json``.

        Args:
            parts: Its ``columns``, ``fusion`` and ``image``.
            both: Its calibration.

        Returns:
            The table.

        Raises:
            ModelFileError: A part is missing or damaged.
        """
        if both is None or not all(isinstance(parts.get(name), Mapping) for name in ("columns", "fusion", "image")):
            raise ModelFileError(
                "The model learnt a table, and parts of it are missing from trust.json.",
                "It holds columns, fusion and image.",
                "Make the model file anew with `scanwright run`.",
            )
        return cls(
            Columns.from_dict(parts["columns"]),
            Fusion.from_dict(parts["fusion"]),
            both,
            Trust.from_dict(parts["image"]),
        )

    def of_case(self, image: NDArray[np.float32], cells: Mapping[str, Cell] | None) -> Said:
        """Answer with the table, or without it where nothing is told of the case.

        Args:
            image: ``(1, n_outputs)`` logits of the image.
            cells: Column to cell; None or without a single known column: the image alone.

        Returns:
            Logits, their calibration, and a caution.
        """
        names = self.columns.names
        missing = self.columns.missing(cells or {})
        if names and len(missing) == len(names):
            return Said(
                image,
                self.image,
                f"Nothing is known of {_listed(names)}: the image was answered without the table.",
            )
        logits = self.fusion.logits(image, self.columns.logits([dict(cells or {})])).astype(np.float32)
        caution = f"Nothing is known of {_listed(missing)}: the usual value was taken." if missing else ""
        return Said(logits, self.both, caution)


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more columns" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more

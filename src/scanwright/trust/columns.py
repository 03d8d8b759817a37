"""What the columns of a table say beside an image: cells to numbers, numbers to logits. numpy only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import ModelFileError

Floats = NDArray[np.float64]
Cell = str | float | None
COLUMNS_FORMAT = "scanwright-columns/1"
_DATES = ("%Y-%m-%d", "%Y%m%d", "%d.%m.%Y", "%m/%d/%Y", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S")
_FAR = 8.0
"""Standard deviations at which a number is cut: one wild cell must not decide an answer."""


@dataclass(frozen=True)
class Column:
    """How the cells of one column become numbers.

    Args:
        name: Of the column.
        kind: ``"number"``, ``"date"`` (years), or ``"category"``.
        mean: Of the training part; stands for empty cells.
        std: Of the training part.
        flagged: Whether a further number says that the cell is empty.
        levels: Of a category: its values in the training part, one number each; any other value is none of them.
    """

    name: str
    kind: Literal["number", "date", "category"]
    mean: float = 0.0
    std: float = 1.0
    flagged: bool = False
    levels: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Numbers that one cell becomes."""
        return len(self.levels) if self.kind == "category" else 1 + self.flagged

    def numbers(self, cells: Sequence[Cell]) -> Floats:
        """``(N, width)``; numbers are standardised and cut at eight standard deviations."""
        if self.kind == "category":
            words = [as_word(cell) for cell in cells]
            return np.array([[float(w == level) for level in self.levels] for w in words]).reshape(-1, self.width)
        values = np.array([as_number(cell, self.kind) for cell in cells], dtype=np.float64)
        empty = ~np.isfinite(values)
        scaled = np.clip((np.where(empty, self.mean, values) - self.mean) / self.std, -_FAR, _FAR)
        return np.stack([scaled, empty.astype(float)], axis=1) if self.flagged else scaled[:, None]


@dataclass(frozen=True, eq=False)
class Columns:
    """A linear model of the columns of a table.

    Args:
        columns: How cells become numbers.
        weight: ``(F, n_outputs)``, F the sum of the columns' widths.
        bias: ``(n_outputs,)``.
    """

    columns: tuple[Column, ...]
    weight: Floats
    bias: Floats

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return tuple(c.name for c in self.columns)

    def features(self, rows: Sequence[Mapping[str, Cell]]) -> Floats:
        """``(N, F)`` numbers of the rows; a column that a row does not have counts as empty."""
        return features(self.columns, rows)

    def logits(self, rows: Sequence[Mapping[str, Cell]]) -> Floats:
        """``(N, n_outputs)``."""
        return self.features(rows) @ self.weight + self.bias

    def missing(self, row: Mapping[str, Cell]) -> tuple[str, ...]:
        """Columns that a row leaves empty, or that it has no sensible cell for."""
        return tuple(
            c.name
            for c in self.columns
            if (
                as_word(row.get(c.name)) == ""
                if c.kind == "category"
                else math.isnan(as_number(row.get(c.name), c.kind))
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "format": COLUMNS_FORMAT,
            "columns": [asdict(c) | {"levels": list(c.levels)} for c in self.columns],
            "weight": self.weight.tolist(),
            "bias": self.bias.tolist(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Columns:
        """Read what :meth:`to_dict` gave.

        Args:
            values: From ``trust.json``.

        Returns:
            The model.

        Raises:
            ModelFileError: A value is missing or of the wrong kind.
        """
        try:
            if values["format"] != COLUMNS_FORMAT:
                raise ValueError(f"format {values['format']!r}")
            columns = tuple(
                Column(
                    str(c["name"]),
                    c["kind"],
                    float(c["mean"]),
                    float(c["std"]),
                    bool(c["flagged"]),
                    tuple(str(v) for v in c["levels"]),
                )
                for c in values["columns"]
            )
            made = cls(
                columns, np.asarray(values["weight"], dtype=np.float64), np.asarray(values["bias"], dtype=np.float64)
            )
            width = sum(c.width for c in columns)
            if made.weight.shape != (width, len(made.bias)) or not np.isfinite(made.weight).all():
                raise ValueError(f"weights of shape {made.weight.shape} for {width} numbers")
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFileError(
                f"The columns in the model file cannot be read ({error}).",
                f"They must be {COLUMNS_FORMAT} as `scanwright run` writes them.",
                "Make the model file anew.",
            ) from None
        return made


def features(columns: Sequence[Column], rows: Sequence[Mapping[str, Cell]]) -> Floats:
    """Cells as numbers.

    Args:
        columns: How.
        rows: Column name to cell; other columns are passed over.

    Returns:
        ``(N, F)``.
    """
    parts = [c.numbers([row.get(c.name) for row in rows]) for c in columns]
    return np.concatenate(parts, axis=1) if parts else np.zeros((len(rows), 0))


def as_number(cell: Cell, kind: str = "number") -> float:
    """A cell as a number, dates as years; NaN where it is empty or says something else."""
    if isinstance(cell, int | float):
        return float(cell) if kind == "number" or 1800 < cell < 2200 else _years(f"{cell:.0f}")
    text = (cell or "").strip()
    if kind == "date":
        return _years(text)
    try:
        return float(text.replace(",", ".")) if text else math.nan
    except ValueError:
        return math.nan


def as_word(cell: Cell) -> str:
    """A cell as a word: whole numbers without their point, in lower case."""
    if isinstance(cell, int | float):
        return "" if math.isnan(cell) else f"{cell:g}"
    return (cell or "").strip().casefold()


def _years(text: str) -> float:
    for form in _DATES:
        try:
            day = datetime.strptime(text, form)
        except ValueError:
            continue
        return day.year + (day.timetuple().tm_yday - 1) / 365.25
    return math.nan

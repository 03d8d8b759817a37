"""Tables as columns of text: csv, tsv, xlsx, parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanwright.core import FormatError
from scanwright.intake.place import suffix_of
from scanwright.intake.words import MISSING_WORDS, plain


@dataclass(frozen=True)
class Sheet:
    """A table.

    Args:
        file: Name relative to the root.
        columns: Column name to cells, in order; empty text where nothing is known.
    """

    file: str
    columns: dict[str, list[str]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def find(self, names: Iterable[str]) -> str | None:
        """The first column whose plain name is one of ``names``, in the order of ``names``."""
        by_plain = {plain(c): c for c in reversed(self.columns)}
        by_plain |= {p.replace("_", ""): c for p, c in list(by_plain.items()) if p.replace("_", "") not in by_plain}
        return next((by_plain[n] for n in names if n in by_plain), None)


def read_sheet(path: Path, file: str) -> Sheet:
    """Read a table, every cell as text.

    Args:
        path: File.
        file: Its name relative to the root.

    Returns:
        The table; blank rows are left out, cells such as ``NaN`` become empty.

    Raises:
        FormatError: The file is damaged, not of the kind its suffix says, or has no rows.
    """
    suffix = suffix_of(path.name)
    try:
        header, rows = _csv(path) if suffix in (".csv", ".tsv", ".txt") else _frame(path, suffix)
    except (OSError, ValueError, KeyError, ImportError, csv.Error) as error:
        raise FormatError(
            f"The table {path.name} cannot be read ({_short(error)}).",
            f"A file named {suffix} must be a {suffix[1:]} table.",
            "Save it again from the program that made it.",
        ) from error
    rows = [r for r in rows if any(r)]
    if not header or not rows:
        raise FormatError(
            f"The table {path.name} has no rows.", "A table has a header and one row a case.", "Fill it in."
        )
    columns: dict[str, list[str]] = {}
    for j, name in enumerate(header):
        key = name if name and name not in columns else f"{name or 'column'} {j + 1}"
        columns[key] = [r[j] if j < len(r) else "" for r in rows]
    return Sheet(file, columns)


def _csv(path: Path) -> tuple[list[str], list[list[str]]]:
    data = path.read_bytes()
    if b"\x00" in data[:4096] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError("it is not text")
    text = _decode(data)
    head = text[:20000]
    delimiter = "\t" if suffix_of(path.name) == ".tsv" else max(",;\t|", key=lambda d: head.split("\n")[0].count(d))
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    rows = [[_clean(c) for c in line] for line in lines]
    return (rows[0], rows[1:]) if rows else ([], [])


def _decode(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _frame(path: Path, suffix: str) -> tuple[list[str], list[list[str]]]:
    import zipfile

    import pandas

    try:
        frame = pandas.read_excel(path, dtype=str) if suffix == ".xlsx" else pandas.read_parquet(path)
    except zipfile.BadZipFile as error:
        raise ValueError("it is damaged") from error
    header = [_clean(str(c)) for c in frame.columns]
    cells = [[_text(v) for v in frame.iloc[:, j].tolist()] for j in range(len(header))]
    return header, [list(r) for r in zip(*cells, strict=True)]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return _clean("" if value is None else str(value))


def _clean(cell: str) -> str:
    cell = cell.strip()
    return "" if cell.casefold() in MISSING_WORDS else cell


def _short(error: BaseException) -> str:
    return str(error).split("\n")[0][:120] or type(error).__name__

"""The top level of a plain DICOM header, parsed in one pass: what makes reading thousands of slices fast.

Only what is certain is taken: little endian, no wanted sequences, ASCII text. For anything
else the answer is None and pydicom reads the header.
"""

from __future__ import annotations

import struct
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword

_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_SHORT = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_NUMBERS = {b"US": "H", b"SS": "h", b"UL": "I", b"SL": "i", b"FL": "f", b"FD": "d"}
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_MAX_DEPTH = 12
_SYNTAX = 0x00020010


class QuickHeader:
    """Top-level elements of one file; answers like a pydicom data set where this room asks.

    Args:
        elements: Tag to VR and raw value.
        tags: Attribute name to tag.
        syntax: Transfer syntax UID.
        pixel_offset: Where the pixel data element starts, -1 if there is none.
        filename: The file.
    """

    def __init__(
        self,
        elements: dict[int, tuple[bytes, bytes]],
        tags: dict[str, int],
        syntax: str,
        pixel_offset: int,
        filename: str,
    ) -> None:
        self._elements, self._tags = elements, tags
        self.file_meta = {"TransferSyntaxUID": syntax}
        self.pixel_offset, self.filename = pixel_offset, filename

    def __contains__(self, name: str) -> bool:
        return self._tags.get(name) in self._elements

    def get(self, name: str, default: Any = None) -> Any:
        """Value of an attribute: text, number, or a list of them; ``default`` if missing."""
        found = self._elements.get(self._tags.get(name, -1))
        if found is None:
            return default
        vr, raw = found
        if vr in _NUMBERS:
            size = struct.calcsize(_NUMBERS[vr])
            numbers = struct.unpack(f"<{len(raw) // size}{_NUMBERS[vr]}", raw[: len(raw) // size * size])
            return numbers[0] if len(numbers) == 1 else list(numbers) or default
        value = raw.decode("ascii").strip(" \0")
        return [part.strip() for part in value.split("\\")] if "\\" in value else value


class Wanted:
    """Attributes to keep, with their tags and types.

    Args:
        names: Attribute keywords.
    """

    def __init__(self, names: list[str]) -> None:
        self.tags = {name: int(tag_for_keyword(name) or 0) for name in names}
        self.vr = {tag: dictionary_VR(tag).split(" or ")[0].encode() for tag in self.tags.values()}
        for name in ("PixelPaddingValue",):
            if name in self.tags:
                self.vr[self.tags[name]] = b"SS"


def quick_header(data: bytes, wanted: Wanted, filename: str) -> QuickHeader | None:
    """Parse the beginning of a file.

    Args:
        data: First bytes of the file, long enough to hold the header.
        wanted: Attributes to keep.
        filename: The file.

    Returns:
        The header, or None when pydicom should look.

    Source:
        PS3.5 chapter 7 (data element structure), PS3.10 chapter 7 (file meta information).
    """
    if data[128:132] != b"DICM":
        return None
    try:
        meta: dict[int, tuple[bytes, bytes]] = {}
        at = _parse(data, 132, False, {_SYNTAX: b"UI"}, meta, 0x00030000)
        syntax = meta[_SYNTAX][1].decode("ascii").strip(" \0")
        if syntax in ("1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99") or not syntax.startswith("1.2.840.10008.1.2"):
            return None
        elements: dict[int, tuple[bytes, bytes]] = {}
        end = _parse(data, at, syntax == "1.2.840.10008.1.2", wanted.vr, elements, 0x7FE00008)
    except (_Unsure, struct.error, KeyError, UnicodeDecodeError):
        return None
    if end + 8 > len(data) or struct.unpack_from("<H", data, end)[0] != 0x7FE0:
        return None
    return QuickHeader(elements, wanted.tags, syntax, end, filename)


class _Unsure(Exception):
    """The header is not plain enough."""


def _parse(
    data: bytes, at: int, implicit: bool, wanted: dict[int, bytes], found: dict[int, tuple[bytes, bytes]], stop: int
) -> int:
    """Elements from ``at`` up to the first tag of at least ``stop``; returns where that stands."""
    size, last = len(data), 0
    while at + 8 <= size:
        group, element = struct.unpack_from("<HH", data, at)
        tag = group << 16 | element
        if tag >= stop:
            return at
        if tag <= last:
            raise _Unsure
        last = tag
        vr, length, start = _head(data, at, implicit)
        if tag in wanted:
            kind = wanted[tag] if implicit else vr
            if kind in (b"SQ", b"UN") or length == _UNDEFINED or start + length > size:
                raise _Unsure
            raw = data[start : start + length]
            if kind not in _NUMBERS and not raw.isascii():
                raise _Unsure
            found[tag] = kind, raw
        at = _skip(data, start, implicit, 0) if length == _UNDEFINED else start + length
    raise _Unsure


def _head(data: bytes, at: int, implicit: bool) -> tuple[bytes, int, int]:
    """VR, length and start of the value of the element at ``at``."""
    if implicit:
        return b"", struct.unpack_from("<I", data, at + 4)[0], at + 8
    vr = data[at + 4 : at + 6]
    if vr in _SHORT:
        return vr, struct.unpack_from("<H", data, at + 6)[0], at + 8
    if vr in _LONG:
        return vr, struct.unpack_from("<I", data, at + 8)[0], at + 12
    raise _Unsure


def _skip(data: bytes, at: int, implicit: bool, depth: int) -> int:
    """Behind a sequence of undefined length whose first item is at ``at``."""
    if depth > _MAX_DEPTH:
        raise _Unsure
    while True:
        group, element, length = struct.unpack_from("<HHI", data, at)
        tag, at = group << 16 | element, at + 8
        if tag == _SEQUENCE_END:
            return at
        if tag != _ITEM:
            raise _Unsure
        if length != _UNDEFINED:
            at += length
            continue
        while struct.unpack_from("<HH", data, at) != (0xFFFE, 0xE00D):
            _, inner, start = _head(data, at, implicit)
            at = _skip(data, start, implicit, depth + 1) if inner == _UNDEFINED else start + inner
        at += 8

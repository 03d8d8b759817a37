"""Whatever a library raises becomes one of our errors, naming the file and never the patient."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scanwright.core.errors import FormatError, InputError, ResourceError, ScanwrightError

MAX_VOLUME_BYTES = 16 << 30
"""Largest image that is decoded, in bytes: an error in a header must not take the machine down."""

MAX_PIXELS = 178_000_000
"""Largest single picture, in pixels (Pillow's own hard limit)."""

_BEST_DEFLATE = 1040
"""No deflate stream grows by more than this factor (zlib's documentation: 1032)."""


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn every failure inside the block into a :class:`ScanwrightError`.

    Args:
        path: File or folder being read; its last part is named in the message.
        kind: What it is read as, in words.

    Raises:
        InputError: The file is missing or may not be read.
        ResourceError: Memory ran out.
        FormatError: Anything else that a library raised.
    """
    try:
        yield
    except ScanwrightError:
        raise
    except FileNotFoundError as error:
        raise not_found(path) from error
    except (PermissionError, IsADirectoryError, NotADirectoryError) as error:
        raise InputError(
            f"{path.name} cannot be opened ({error.strerror}).",
            "An image is a file that you may read.",
            "Check the path and its permissions.",
        ) from error
    except MemoryError as error:
        raise ResourceError(
            f"Memory ran out while reading {path.name}.",
            "The decoded image must fit in memory.",
            "Close other programs, or crop the image first.",
        ) from error
    except BaseException as error:
        # libraries raise a zoo, and a Rust decoder's panic is not even an Exception; the text may hold identity
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise damaged(path, kind, f"its content makes no sense ({type(error).__name__})") from error


def not_found(path: Path) -> InputError:
    """The error for a path that does not exist."""
    return InputError(
        f"{path} does not exist.", "An image is named by the path of a file or folder.", "Check the spelling."
    )


def damaged(path: Path, kind: str, why: str) -> FormatError:
    """The error for a file that cannot be read.

    Args:
        path: The file.
        kind: What it is read as, such as ``"PNG"``.
        why: What is wrong, continuing "file.png cannot be read as PNG: ...".
    """
    return FormatError(
        f"{path.name} cannot be read as {kind}: {why}.",
        f"A {kind} file must be whole and follow its format.",
        "Copy or export it again, or leave it out.",
    )


def truncated(path: Path, kind: str, have: int, need: int) -> FormatError:
    """The error for a file that ends too early; counts are in bytes."""
    return damaged(path, kind, f"it holds {max(have, 0)} of {need} bytes of image data")


def check_size(path: Path, kind: str, n_bytes: int, *, packed: int | None = None) -> None:
    """Refuse sizes that cannot be true or cannot be held, before memory is taken.

    Args:
        path: The file.
        kind: What it is read as.
        n_bytes: Size of the decoded image that the header declares.
        packed: Bytes of deflated data in the file, None if not deflated.

    Raises:
        FormatError: The size is beyond the limit, or deflate cannot pack so well.
    """
    if n_bytes > MAX_VOLUME_BYTES or n_bytes < 0:
        raise FormatError(
            f"{path.name} declares {n_bytes / 2**30:.1f} GiB of image data.",
            f"At most {MAX_VOLUME_BYTES >> 30} GiB are decoded.",
            "Crop or resample the image, or check that its header is not damaged.",
        )
    if packed is not None and n_bytes > packed * _BEST_DEFLATE + 65536:
        raise truncated(path, kind, packed, n_bytes)


def check_pixels(path: Path, kind: str, width: int, height: int) -> None:
    """Refuse pictures of impossible size before they are decoded.

    Raises:
        FormatError: No pixels, or more than :data:`MAX_PIXELS`.
    """
    if width < 1 or height < 1:
        raise damaged(path, kind, f"it declares {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        raise FormatError(
            f"{path.name} declares {width} x {height} pixels.",
            f"A picture of at most {MAX_PIXELS // 10**6} million pixels is decoded.",
            "Cut it into tiles or reduce it first.",
        )

"""Foreign pixels are decoded in a child process.

A native decoder that crashes, hangs or takes all memory then costs one case its answer, and
not the service its life. The child runs ``python -m scanwright.serving.reader``: it takes one
request a line on standard input, and answers with a JSON header and plain voxels, so that even
a child that was taken over cannot make the service execute anything.
"""

from __future__ import annotations

import json
import logging
import struct
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from scanwright.core import Grid, ScanwrightError, Volume
from scanwright.core import errors as core_errors
from scanwright.serving.limits import Limits
from scanwright.serving.refusal import Refusal, note_fault

log = logging.getLogger(__name__)

_LENGTH = struct.Struct("<Q")
_START_S = 120.0
_FACTS = ("unit", "modality", "channel", "window")


class ReaderProcess:
    """Reads images in a child process that is started anew whenever it had to be killed.

    Args:
        limits: ``read_s`` and ``read_mb``.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._closed = False

    def __call__(self, path: Path | str) -> Volume:
        """Read a file, a folder that holds one series, or the frames of one case.

        Args:
            path: Where it lies; a locator.

        Returns:
            The volume.

        Raises:
            ScanwrightError: What the reader said.
            Refusal: 422 if the decoder crashed, took too long or too much memory.
        """
        with self._lock:
            said = self._ask(str(path))
        if isinstance(said, Volume):
            return said
        if isinstance(said, ScanwrightError):
            raise said
        raise Refusal(
            422,
            f"The image could not be decoded: {said}.",
            f"An image must decode within {self.limits.read_s:g} s and {self.limits.read_mb:g} MB.",
            "Export it again, uncompressed.",
            code="decoder",
        )

    def warm(self) -> None:
        """Start the child, so that the first request does not wait for it."""
        with self._lock:
            if self._closed:
                return
            try:
                self._start()
            except (OSError, EOFError, TimeoutError):
                if not self._closed:  # otherwise it was closed in this moment
                    log.warning("the reader did not start; the first case tries again")

    def close(self) -> None:
        """End the child."""
        self._closed = True
        child = self._child
        if child is not None:
            child.kill()
            child.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        child = self._child
        if child is None or child.poll() is not None:
            command = [sys.executable, "-m", "scanwright.serving.reader", str(self.limits.read_mb)]
            # A session of its own: Ctrl-C ends the service, which then ends the child when it is no longer needed.
            child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
            self._child = child
            self._timed(child, lambda: _receive(child), _START_S)
        return child

    def _ask(self, path: str) -> Any:
        child = self._start()

        def exchange() -> Any:
            if child.stdin is None:
                return None
            child.stdin.write(json.dumps(path).encode() + b"\n")
            child.stdin.flush()
            return _receive(child)

        try:
            return self._timed(child, exchange, self.limits.read_s)
        except TimeoutError:
            return f"it took longer than {self.limits.read_s:g} s"
        except (OSError, EOFError, ValueError, KeyError):
            child.kill()
            child.wait()
            return "the decoder crashed"

    @staticmethod
    def _timed(child: subprocess.Popen[bytes], work: Any, seconds: float) -> Any:
        """Run work that reads from the child; kill the child when it takes too long."""
        late = threading.Event()

        def kill() -> None:
            late.set()
            child.kill()

        timer = threading.Timer(seconds, kill)
        timer.daemon = True
        timer.start()
        try:
            return work()
        except (OSError, EOFError):
            if late.is_set():
                child.wait()
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()


def _receive(child: subprocess.Popen[bytes]) -> Any:
    """One answer: the length and text of a JSON header, and the length and bytes of the voxels."""
    return unpacked(json.loads(_block(child)), _block(child))


def _block(child: subprocess.Popen[bytes]) -> bytes:
    if child.stdout is None:
        raise EOFError
    length = child.stdout.read(_LENGTH.size)
    if len(length) < _LENGTH.size:
        raise EOFError
    (size,) = _LENGTH.unpack(length)
    data = child.stdout.read(size)
    if len(data) < size:
        raise EOFError
    return data


def packed(said: Volume | BaseException | str) -> tuple[dict[str, Any], bytes]:
    """An answer as JSON values and voxels: nothing that could execute on the other side.

    Args:
        said: A volume, what a reader raised, or a sentence.

    Returns:
        Header, and the voxels in C order.
    """
    if isinstance(said, Volume):
        grid = said.grid
        place = {"shape": grid.shape, "affine": grid.affine.tolist(), "spacing_known": grid.spacing_known}
        facts = {name: getattr(said, name) for name in _FACTS}
        array = np.ascontiguousarray(said.array, dtype=said.array.dtype.newbyteorder("<"))
        kind = {"dtype": array.dtype.str, "n_channels": said.n_channels}
        return {"volume": {**kind, "grid": place, **facts, "header": dict(said.header)}}, array.tobytes()
    if isinstance(said, ScanwrightError):
        return {"error": [type(said).__name__, said.fact, said.rule, said.fix]}, b""
    if isinstance(said, MemoryError):
        return {"text": "it needs too much memory"}, b""
    if isinstance(said, BaseException):
        return {"text": f"the reader stumbled (see {note_fault(said)} in the log)"}, b""
    return {"text": said}, b""


def unpacked(header: dict[str, Any], voxels: bytes) -> Volume | ScanwrightError | str:
    """The reverse of :func:`packed`.

    Args:
        header: JSON values.
        voxels: Voxels in C order.

    Returns:
        A volume, an error, or a sentence.
    """
    if "error" in header:
        name, *sentences = header["error"]
        kind = getattr(core_errors, name, core_errors.FormatError)
        return kind(*sentences) if issubclass(kind, ScanwrightError) else core_errors.FormatError(*sentences)
    if "volume" not in header:
        return str(header.get("text", ""))
    facts = header["volume"]
    grid = Grid(tuple(facts["grid"]["shape"]), np.array(facts["grid"]["affine"]), facts["grid"]["spacing_known"])
    array = np.frombuffer(voxels, dtype=np.dtype(facts["dtype"])).reshape(facts["n_channels"], *grid.shape)
    window = facts["window"] and (float(facts["window"][0]), float(facts["window"][1]))
    rest = {name: facts[name] for name in _FACTS if name != "window"}
    return Volume(array, grid, window=window, header=facts["header"], **rest)


def hush_readers() -> None:
    """Keep libraries from repeating what they read: their warnings may quote a patient's data."""
    warnings.simplefilter("ignore")
    for name in ("pydicom", "nibabel", "PIL", "tifffile", "highdicom", "pylibjpeg"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _limit_memory(more_mb: float) -> None:
    """Allow the process that many MB of address space beyond what it has now."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        ceiling = pages * resource.getpagesize() + int(more_mb * 1e6)
        resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))
    except (ImportError, OSError, ValueError):  # not on this system; the sizes were checked before
        return


def main(source: BinaryIO, sink: BinaryIO, read_mb: float) -> None:
    """Read paths and write answers until the pipe ends.

    Args:
        source: One JSON string a line.
        sink: Answers.
        read_mb: Memory for decoding, in MB.
    """
    import pydicom  # noqa: F401 - loaded before memory is limited and the first case is timed

    from scanwright.io import read_volume

    hush_readers()
    _limit_memory(read_mb)
    _send(sink, "ready")
    for line in source:
        said: Volume | BaseException
        try:
            said = read_volume(json.loads(line))
        except Exception as error:  # noqa: BLE001 - readers raise anything on damaged bytes
            said = error
        try:
            _send(sink, said)
        except MemoryError as error:
            _send(sink, error)


def _send(sink: BinaryIO, said: Volume | BaseException | str) -> None:
    header, voxels = packed(said)
    text = json.dumps(header).encode()
    for block in (text, voxels):
        sink.write(_LENGTH.pack(len(block)))
        sink.write(block)
    sink.flush()


if __name__ == "__main__":
    pipe = sys.stdout.buffer
    sys.stdout = sys.stderr  # whatever a library prints must not get into the answers
    main(sys.stdin.buffer, pipe, float(sys.argv[1]))

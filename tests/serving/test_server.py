"""Starting, stopping, and what is left behind."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scanwright.core import FormatError, Grid, InputError, ResourceError, Volume
from scanwright.serving import Limits, serve
from scanwright.serving.reader import ReaderProcess, packed, unpacked
from scanwright.serving.refusal import Refusal
from scanwright.serving.results import Results, sweep
from scanwright.serving.server import check_address


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "10.0.0.1", "example.org", "", "127.0.0.1.nip.io"])
def test_it_listens_on_this_machine_only(host: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can be reached from other machines"):
        serve(tmp_path / "none.scanwright", host=host)


@pytest.mark.parametrize(
    ("host", "address"), [("localhost", "127.0.0.1"), ("127.0.0.2", "127.0.0.2"), ("[::1]", "::1")]
)
def test_every_loopback_address_is_fine(host: str, address: str) -> None:
    assert check_address(host, 8000) == address


def test_a_missing_model_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        serve(tmp_path / "none.scanwright")
    with pytest.raises(InputError, match="No model was given"):
        serve([])


def test_a_port_in_use_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, fake: Any) -> None:
    monkeypatch.setattr("scanwright.serving.server.open_models", lambda paths: {"chest": fake})
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match=r"Port \d+ on 127.0.0.1 cannot be taken: Address already in use"):
            serve("x", port=taken.getsockname()[1])


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_is_a_port(port: int) -> None:
    with pytest.raises(InputError, match="is not a port"):
        serve("x", port=port)


def test_importing_the_room_loads_no_web_library() -> None:
    code = "import sys, scanwright.serving as s; sys.exit(any(m in sys.modules for m in ('fastapi', 'uvicorn', 'pydicom')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_results_expire_and_are_bounded(tmp_path: Path) -> None:
    now = [0.0]
    results = Results(tmp_path, keep_s=10, keep_bytes=250, clock=lambda: now[0])
    keys = [results.keep(".png", lambda p: p.write_bytes(b"x" * 100) and None) for _ in range(3)]
    assert results.find(keys[0]) is None  # the oldest made room
    assert results.find(keys[2]) is not None
    now[0] = 11
    assert results.find(keys[2]) is None
    assert [p.name for p in results.folder.iterdir()] == ["lock"]
    assert results.folder.stat().st_mode & 0o077 == 0
    results.close()
    assert not results.folder.exists()


def test_what_a_killed_service_left_is_swept(tmp_path: Path) -> None:
    code = "import os, sys; from pathlib import Path; from scanwright.serving.results import Results\n"
    code += (
        f"r = Results(Path({str(tmp_path)!r}), keep_s=9, keep_bytes=9); r.keep('.png', lambda p: p.touch()); os.abort()"
    )
    subprocess.run([sys.executable, "-c", code], check=False, stderr=subprocess.DEVNULL)
    living = Results(tmp_path / "other", keep_s=9, keep_bytes=9)
    living.folder.rename(tmp_path / living.folder.name)
    (tmp_path / "scanwright-serve-notes").mkdir()
    assert len(list(tmp_path.glob("scanwright-serve-*"))) == 3
    assert sweep(tmp_path) == 1
    assert {p.name for p in tmp_path.glob("scanwright-serve-*")} == {living.folder.name, "scanwright-serve-notes"}


def test_a_work_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResourceError, match="cannot be written"):
        Results(tmp_path / "file" / "work", keep_s=1, keep_bytes=1)


def test_a_volume_crosses_the_pipe_unchanged() -> None:
    affine = np.array([[0, -0.7, 0, 3], [0, 0, 1.5, -2], [-0.7, 0, 0, 9], [0, 0, 0, 1.0]])
    array = np.arange(2 * 3 * 4 * 5, dtype=">i2").reshape(2, 3, 4, 5)[:, ::-1]
    before = Volume(array, Grid((3, 4, 5), affine), unit="HU", modality="CT", window=(40.0, 400.0), header={"a": "b"})
    after = unpacked(*packed(before))
    assert isinstance(after, Volume)
    assert np.array_equal(after.array, before.array)
    assert after.array.dtype.itemsize == 2
    assert after.grid == before.grid
    assert (after.unit, after.modality, after.window, dict(after.header)) == ("HU", "CT", (40.0, 400.0), {"a": "b"})


def test_an_error_crosses_the_pipe_as_its_own_kind() -> None:
    after = unpacked(*packed(FormatError("a", "b", "c")))
    assert isinstance(after, FormatError)
    assert (after.fact, after.rule, after.fix) == ("a", "b", "c")
    assert isinstance(unpacked({"error": ["system", "a", "b", "c"]}, b""), FormatError)


CHILDREN = {
    "crashes": ("import os; os.abort()", "crashed"),
    "hangs": ("import time; time.sleep(60)", "longer than"),
    "talks nonsense": ("sys.stdout.buffer.write(b'\\x05' + b'\\0' * 7 + b'hello' + b'\\0' * 8)", "crashed"),
}


@pytest.mark.parametrize(("body", "words"), CHILDREN.values(), ids=CHILDREN.keys())
def test_a_decoder_that_misbehaves_costs_one_case(
    body: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = f"import sys\nfrom scanwright.serving.reader import _send\n_send(sys.stdout.buffer, 'ready')\nsys.stdin.readline()\n{body}"
    (tmp_path / "child.py").write_text(script)
    (tmp_path / "child").write_text(f"#!/bin/sh\nexec {sys.executable} {tmp_path / 'child.py'}\n")
    (tmp_path / "child").chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setattr("scanwright.serving.reader.sys.executable", str(tmp_path / "child"))
        reader = ReaderProcess(Limits(read_s=2))
        with pytest.raises(Refusal, match=words):
            reader(tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", np.eye(4, dtype=np.float32))  # the next case is answered by a new child
    reader.limits = Limits()
    assert np.array_equal(reader(tmp_path / "x.npy").array[0, :, :, 0], np.eye(4))
    reader.close()


def test_decoding_cannot_take_all_memory(tmp_path: Path) -> None:
    np.save(tmp_path / "big.npy", np.zeros((20_000, 2_000), np.float64))
    reader = ReaderProcess(Limits(read_mb=200))
    with pytest.raises((Refusal, ResourceError, FormatError), match=r"."):
        reader(tmp_path / "big.npy")
    np.save(tmp_path / "small.npy", np.zeros((20, 20), np.float32))
    assert reader(tmp_path / "small.npy").grid.shape == (20, 20, 1)
    reader.close()

"""Downloads against a server that breaks, lies and is gone."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path

import pytest

from scanwright.core import FormatError, InputError, Said
from scanwright.intake import PUBLIC_COHORTS, fetch

_DATA = bytes(range(256)) * 4000


class _Server:
    """Serves one file with ranges; breaks the connection after ``cut`` bytes, ``breaks`` times."""

    def __init__(self) -> None:
        self.data, self.breaks, self.cut, self.status, self.ranges, self.starts = _DATA, 0, 300_000, 200, True, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "") if outer.ranges else None
                start = int(match[1]) if match else 0
                outer.starts.append(start)
                if outer.status != 200:
                    self.send_error(outer.status)
                    return
                if match and start >= len(outer.data):
                    self.send_error(416)
                    return
                body = outer.data[start:]
                self.send_response(206 if match else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if outer.breaks > 0:
                    outer.breaks -= 1
                    self.wfile.write(body[: outer.cut])
                    self.wfile.flush()
                    self.connection.close()
                    return
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    one = _Server()
    known = dataclasses.replace(PUBLIC_COHORTS["pneumoniamnist"], md5=hashlib.md5(_DATA).hexdigest())
    monkeypatch.setitem(PUBLIC_COHORTS, "pneumoniamnist", known)
    yield one
    one.http.shutdown()
    one.http.server_close()


def test_a_broken_connection_is_taken_up_where_it_ended(server: _Server, tmp_path: Path) -> None:
    server.breaks = 2
    events: list[object] = []
    path = fetch("pneumoniamnist", tmp_path / "new", base_url=server.url, emit=events.append)
    assert path.read_bytes() == _DATA
    assert server.starts == [0, 300_000, 600_000]
    assert [p.name for p in path.parent.iterdir()] == ["pneumoniamnist.npz"]
    said = " ".join(e.text for e in events if isinstance(e, Said))
    assert "CC BY 4.0" in said
    assert "Scientific Data" in said
    fetch("pneumoniamnist", tmp_path / "new", base_url=server.url)
    assert len(server.starts) == 3, "what is there and whole is not fetched again"


def test_a_later_call_resumes(server: _Server, tmp_path: Path) -> None:
    (tmp_path / "pneumoniamnist.npz.part").write_bytes(_DATA[:500_000])
    fetch("pneumoniamnist", tmp_path, base_url=server.url)
    assert server.starts == [500_000]


def test_a_server_without_ranges_starts_over(server: _Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "pneumoniamnist.npz.part").write_bytes(b"old")
    assert fetch("pneumoniamnist", tmp_path, base_url=server.url).read_bytes() == _DATA


def test_another_file_is_refused_and_nothing_is_left(server: _Server, tmp_path: Path) -> None:
    server.data = b"x" * 1000
    with pytest.raises(FormatError, match="came with the MD5"):
        fetch("pneumoniamnist", tmp_path, base_url=server.url)
    assert list(tmp_path.iterdir()) == []


def test_missing_file_unknown_name_and_server_gone(
    server: _Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("scanwright.intake.fetch"), "sleep", lambda s: None)
    server.status = 404
    with pytest.raises(InputError, match="answered 404"):
        fetch("pneumoniamnist", tmp_path, base_url=server.url)
    with pytest.raises(InputError, match="Did you mean 'pneumoniamnist'"):
        fetch("pneumonia-mnist", tmp_path)
    with pytest.raises(InputError, match="broke off 5 times"):
        fetch("pneumoniamnist", tmp_path, base_url="http://127.0.0.1:9")


def test_a_full_disk_is_said(server: _Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scanwright.core import ResourceError

    usage: Callable[..., object] = lambda p: type("U", (), {"free": 1000})()  # noqa: E731
    monkeypatch.setattr(import_module("scanwright.intake.fetch").shutil, "disk_usage", usage)
    with pytest.raises(ResourceError, match="needs 1 MB and 0 MB are free"):
        fetch("pneumoniamnist", tmp_path, base_url=server.url)


def test_the_table_holds_whole_and_different_checksums() -> None:
    sums = [c.md5 for c in PUBLIC_COHORTS.values()]
    assert all(re.fullmatch(r"[0-9a-f]{32}", s) for s in sums)
    assert len(set(sums)) == len(sums) == 12 * 4 + 6 * 2
    assert all(
        c.licence and c.citation and c.url.startswith("https://zenodo.org/records/10519652/")
        for c in PUBLIC_COHORTS.values()
    )


def test_the_kit_has_the_published_checksums(kit: Path) -> None:
    for name in ("adrenalmnist3d", "adrenalmnist3d_64"):
        path = kit / "adrenalmnist3d" / f"{name}.npz"
        assert hashlib.md5(path.read_bytes()).hexdigest() == PUBLIC_COHORTS[name].md5

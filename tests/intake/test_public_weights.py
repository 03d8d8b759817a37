"""Known weights: downloaded once, resumed, checked; from a server of our own."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scanwright.core import FormatError, InputError, Said
from scanwright.intake.public_weights import PUBLIC_WEIGHTS, fetch_weights, known_row

DATA = bytes(range(256)) * 4000


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[int], list[int]]]:
    """Its address, where requests began, and how often it still breaks off."""
    starts: list[int] = []
    breaks = [0]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
            start = int(match[1]) if match else 0
            starts.append(start)
            body = DATA[start:]
            self.send_response(206 if match else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if breaks[0]:
                breaks[0] -= 1
                self.wfile.write(body[:300_000])
                self.wfile.flush()
                self.connection.close()
                return
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    digits = hashlib.sha256(DATA).hexdigest()[:8]
    monkeypatch.setitem(PUBLIC_WEIGHTS, "resnet18", dataclasses.replace(PUBLIC_WEIGHTS["resnet18"], sha256=digits))
    yield f"http://127.0.0.1:{http.server_port}", starts, breaks
    http.shutdown()
    http.server_close()


def test_a_download_is_resumed_checked_and_kept(server: tuple[str, list[int], list[int]], tmp_path: Path) -> None:
    url, starts, breaks = server
    breaks[0] = 1
    events: list[object] = []
    path = fetch_weights("resnet18", tmp_path / "cache", base_url=url, emit=events.append)
    assert path.read_bytes() == DATA
    assert starts == [0, 300_000]
    said = " ".join(e.text for e in events if isinstance(e, Said))
    assert "BSD-3-Clause" in said
    assert "non-commercial research" in said
    assert fetch_weights("resnet18", tmp_path / "cache", base_url="http://127.0.0.1:9") == path  # no server is needed
    row = known_row(hashlib.sha256(DATA).hexdigest(), "renamed.pth")
    assert row is not None
    assert row.trained_on == "ImageNet-1k, with labels"


def test_another_file_is_not_taken(server: tuple[str, list[int], list[int]], tmp_path: Path) -> None:
    url, _, _ = server
    with pytest.raises(FormatError, match="publish one that begins with b627a593"):
        fetch_weights("resnet34", tmp_path, base_url=url)
    assert not list(tmp_path.iterdir())


def test_weights_without_a_published_hash_say_so(server: tuple[str, list[int], list[int]], tmp_path: Path) -> None:
    events: list[object] = []
    fetch_weights("dino-vits16", tmp_path, base_url=server[0], emit=events.append)
    assert any(isinstance(e, Said) and "publish no hash" in e.text for e in events)


def test_no_network_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"fetch https://download.pytorch.org/models/resnet50-0676ba61.pth by other means"
    ):
        fetch_weights("resnet50", tmp_path, base_url="http://127.0.0.1:9")


@pytest.mark.parametrize("name", PUBLIC_WEIGHTS)
def test_a_row_says_what_a_person_must_know(name: str) -> None:
    row = PUBLIC_WEIGHTS[name]
    assert row.url.startswith("https://")
    assert row.licence
    assert row.trained_on
    assert len(row.mean) == len(row.std) == 3
    assert not row.sha256 or f"-{row.sha256}." in row.url  # torchvision's names end with their hash

"""Who may knock, how much may be carried in, and what every answer says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from scanwright.serving import Limits
from scanwright.serving.guard import Guard

PAGES = ["/", "/docs", "/openapi.json", "/healthz", "/readyz", "/v1/models", "/v1/models/chest/card", "/page/page.js"]


@pytest.mark.parametrize("path", [*PAGES, "/nowhere", "/v1/heatmaps/x.png", "/favicon.ico"])
def test_every_answer_carries_a_strict_policy(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] in ("no-store", "no-cache")
    assert "access-control-allow-origin" not in headers


def test_results_are_never_stored_by_a_browser(client: TestClient, make: Any) -> None:
    answer = client.post("/v1/predict", files={"files": ("a.png", make["png"]())})
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "localhost@evil"])
def test_another_host_is_not_served(client: TestClient, host: str) -> None:
    answer = client.get("/v1/models", headers={"host": host})
    assert answer.status_code == 421
    assert answer.json()["error"]["fix"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000", "[::1]"])
def test_every_name_of_this_machine_is_served(client: TestClient, host: str) -> None:
    assert client.get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://127.0.0.1:8000.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_page_of_another_site_cannot_post(client: TestClient, make: Any, headers: dict[str, str]) -> None:
    answer = client.post("/v1/predict", files={"files": ("a.png", make["png"]())}, headers=headers)
    assert answer.status_code == 403
    assert "another site" in answer.json()["error"]["fact"]


@pytest.mark.parametrize("headers", [{"origin": "http://127.0.0.1:8000"}, {"sec-fetch-site": "same-origin"}, {}])
def test_its_own_page_and_programs_can_post(client: TestClient, make: Any, headers: dict[str, str]) -> None:
    answer = client.post("/v1/predict", files={"files": ("a.png", make["png"]())}, headers=headers)
    assert answer.status_code == 200


def body_of(size: int) -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    return head + b"\0" * size + b"\r\n--x--\r\n"


HEADERS = {"content-type": "multipart/form-data; boundary=x"}


def test_a_body_too_large_is_refused_by_its_declared_length(client_of: Callable[..., TestClient], fake: Any) -> None:
    answer = client_of({"chest": fake}, max_upload_mb=0.1).post(
        "/v1/predict", content=body_of(200_000), headers=HEADERS
    )
    assert answer.status_code == 413
    assert "0.1 MB" in answer.json()["error"]["fact"]


def test_a_body_too_large_is_refused_without_a_declared_length(client_of: Callable[..., TestClient], fake: Any) -> None:
    def pieces() -> Iterator[bytes]:
        whole = body_of(200_000)
        yield from (whole[n : n + 1000] for n in range(0, len(whole), 1000))

    answer = client_of({"chest": fake}, max_upload_mb=0.1).post("/v1/predict", content=pieces(), headers=HEADERS)
    assert answer.status_code == 413


def test_a_compressed_body_is_refused(client: TestClient) -> None:
    answer = client.post("/v1/predict", content=b"x", headers={**HEADERS, "content-encoding": "gzip"})
    assert answer.status_code == 415


def test_too_many_files_are_refused(client_of: Callable[..., TestClient], fake: Any, make: Any) -> None:
    client = client_of({"chest": fake}, max_files=3)
    files = [("files", (f"{n}.png", make["png"]())) for n in range(4)]
    assert client.post("/v1/predict", files=files).status_code == 413
    assert client.post("/v1/predict", files=files[:3]).status_code == 200


def test_a_million_tiny_parts_cost_nothing(client: TestClient) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 100_000 + b"--x--\r\n"
    assert client.post("/v1/predict", content=body, headers=HEADERS).status_code == 413


def test_a_sender_that_falls_silent_is_let_go() -> None:
    said = asyncio.run(silent_sender())
    assert said[0]["status"] == 408


async def silent_sender() -> list[Any]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        from starlette.responses import JSONResponse

        from scanwright.serving.refusal import Refusal

        try:
            while (await receive()).get("more_body"):
                pass
        except Refusal as refusal:
            await JSONResponse(refusal.to_dict(), refusal.status)(scope, receive, send)

    came = iter([{"type": "http.request", "body": b"x", "more_body": True}])

    async def receive() -> Any:
        for message in came:
            return message
        await asyncio.sleep(60)
        return None

    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    headers = [(b"host", b"localhost"), (b"content-length", b"100")]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    await Guard(app, limits=Limits(idle_s=0.05))(scope, receive, send)
    return said


def test_a_fault_in_a_route_is_a_500_with_a_number(client_of: Callable[..., TestClient], fake: Any) -> None:
    client = client_of({"chest": fake})
    type(fake).version = property(lambda self: 1 / 0)  # type: ignore[assignment]
    try:
        answer = client.get("/v1/models")
    finally:
        type(fake).version = "1.0.0"
    assert answer.status_code == 500
    assert set(answer.json()["error"]) == {"fact", "rule", "fix", "code"}
    assert "ZeroDivision" not in answer.text
    assert "content-security-policy" in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v1/predict", 405), ("DELETE", "/", 405), ("GET", "/x", 404)]
)
def test_wrong_addresses_answer_in_three_sentences(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"fact", "rule", "fix", "code"}

"""What the service says of its models and of itself."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from scanwright.core import InputError, ModelFileError
from scanwright.serving import Limits, create_app
from scanwright.serving.refusal import CODES

PAGE = Path(__file__).parents[2] / "src" / "scanwright" / "serving" / "page"


def test_models_are_listed_with_limits(client_of: Callable[..., TestClient], fake: Any) -> None:
    body = client_of({"chest": fake, "second": lambda: fake}, max_upload_mb=7).get("/v1/models").json()
    assert [m["name"] for m in body["models"]] == ["chest", "second"]
    assert body["models"][0]["classes"] == ["normal", "pneumonia"]
    assert body["limits"]["max_upload_mb"] == 7


def test_one_model_in_detail(client: TestClient) -> None:
    body = client.get("/v1/models/chest").json()
    assert body["plan"]["size"] == [16, 16]
    assert body["evaluation"]["test"]["auroc"] == {"value": 0.9, "low": 0.8, "high": None}
    assert body["trust"] == {"cuts": [0.4]}
    assert body["card"] == "/v1/models/chest/card"
    assert client.get("/v1/models/none").status_code == 404


def test_the_card_is_markdown_for_programs_and_a_harmless_page_for_people(client: TestClient, fake: Any) -> None:
    raw = client.get("/v1/models/chest/card")
    assert raw.headers["content-type"].startswith("text/markdown")
    assert raw.text == fake.card
    page = client.get("/v1/models/chest/card", headers={"accept": "text/html"})
    assert "<h1>Chest model</h1>" in page.text
    assert "<b>research</b>" in page.text
    assert "<td>test</td><td>10</td>" in page.text
    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text


def test_health_and_readiness(client_of: Callable[..., TestClient], fake: Any) -> None:
    client = client_of({"chest": fake})
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready", "models": {"chest": "ready"}}


def test_a_model_that_cannot_be_loaded_leaves_the_others_served(
    client_of: Callable[..., TestClient], fake: Any, make: Any
) -> None:
    def broken() -> Any:
        raise ModelFileError("b.scanwright is damaged.", "A model file is whole.", "Pack it again.")

    client = client_of({"good": fake, "bad": broken})
    client.app.state.service.shelf.warm()  # type: ignore[attr-defined]
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["models"] == {"good": "ready", "bad": "failed"}
    assert "damaged" in client.get("/v1/models").json()["models"][1]["fault"]
    files = {"files": ("a.png", make["png"]())}
    assert client.post("/v1/predict", files=files).status_code == 200
    answer = client.post("/v1/predict?model=bad", files=files)
    assert answer.status_code == 503
    assert answer.json()["error"]["fact"] == "b.scanwright is damaged."


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.links += [v for k, v in attrs if k in ("href", "src", "action") and v]
        self.inline += [k for k in given if k.startswith("on") or k == "style"]
        if tag == "style" or (tag == "script" and "src" not in given):
            self.inline.append(tag)


@pytest.mark.parametrize("path", ["/", "/docs", "/v1/models/chest/card"])
def test_pages_need_nothing_from_elsewhere_and_hold_no_inline_code(client: TestClient, path: str) -> None:
    found = _Links()
    found.feed(client.get(path, headers={"accept": "text/html"}).text)
    assert found.inline == []
    assert found.links
    for link in found.links:
        assert link.startswith(("/", "#")), link
        if link.startswith("/"):
            assert client.get(link).status_code == 200, link


def test_the_api_page_names_every_address(client: TestClient) -> None:
    text = client.get("/docs").text
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in text


def test_only_listed_files_of_the_page_are_served(client: TestClient) -> None:
    for name in ("index.html", "..%2fapp.py", "nothing.js", "%2e%2e%2f%2e%2e%2fapp.py"):
        assert client.get(f"/page/{name}").status_code == 404


def test_scripts_of_the_page_set_text_never_html() -> None:
    for path in PAGE.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            path
        )
        assert "http://" not in text
        assert "https://" not in text


def test_both_languages_say_the_same_things() -> None:
    text = "".join((PAGE / name).read_text(encoding="utf-8") for name in ("english.js", "chinese.js"))
    books = re.findall(r"const (?:ENGLISH|CHINESE) = \{(.*?)\n\};", text, re.S)
    keys = [re.findall(r"(?:^|, )\s*(\w+): \"", book, re.M) for book in books]
    assert len(keys[0]) > 50
    assert keys[0] == keys[1]
    for one, other in zip(*(re.findall(r"(\w+): \"(.*?)\"(?=,)", b) for b in books), strict=True):
        assert set(re.findall(r"\{\w+\}", one[1])) == set(re.findall(r"\{\w+\}", other[1])), one[0]
    used = set(re.findall(r'data-say="(\w+)"', (PAGE / "index.html").read_text(encoding="utf-8")))
    assert used <= set(keys[0])
    scripts = "".join(path.read_text(encoding="utf-8") for path in PAGE.glob("*.js"))
    assert set(re.findall(r'\bsay\("(\w+)"', scripts)) <= set(keys[0])
    refusals = re.findall(r"const REFUSALS = \{(.*?)\n\};", text, re.S)[0]
    assert set(re.findall(r"^  (\w+): ", refusals, re.M)) == set(CODES)
    from scanwright.evaluation.metrics import METRICS

    assert set(METRICS) <= set(keys[0])  # every figure of a report has a name on the page


def test_the_description_promises_what_is_said(client: TestClient, make: Any) -> None:
    shape = client.get("/openapi.json").json()["components"]["schemas"]["Result"]["properties"]
    (result,) = client.post("/v1/predict", files={"files": ("a.png", make["png"]())}).json()["results"]
    assert set(shape) == set(result)


def test_limits_and_models_must_make_sense() -> None:
    with pytest.raises(InputError, match="max_upload_mb is -1"):
        Limits(max_upload_mb=-1)
    with pytest.raises(InputError, match="workers is True"):
        Limits(workers=True)
    with pytest.raises(InputError, match="No model was given"):
        create_app({})


def test_json_never_holds_nan(client: TestClient) -> None:
    json.loads(client.get("/v1/models/chest").text, parse_constant=lambda name: pytest.fail(name))

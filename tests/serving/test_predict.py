"""What a sender sees of POST /v1/predict."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

Make = dict[str, Callable[..., Any]]


def post(client: TestClient, *files: tuple[str, bytes], **query: Any) -> Any:
    return client.post("/v1/predict", files=[("files", f) for f in files], params=query)


def test_one_picture_gives_answer_pictures_and_model(client: TestClient, make: Make) -> None:
    answer = post(client, ("a.png", make["png"](200)))
    assert answer.status_code == 200
    body = answer.json()
    assert body["model"] == {"name": "chest", "version": "1.0.0", "sha256": "ab" * 32}
    (result,) = body["results"]
    assert result["case"] == "a.png"
    assert result["label"] == "pneumonia"
    assert result["probabilities"] == {"normal": 0.0, "pneumonia": 1.0}
    assert result["logits"] == [1.0]
    assert result["heatmap_class"] == "pneumonia"
    assert result["heatmap_faithful"] is True
    assert body["failures"] == []
    for link in (result["picture"], result["heatmap"]["url"]):
        picture = client.get(link)
        assert picture.headers["content-type"] == "image/png"
        assert picture.headers["cache-control"] == "no-store"
        assert Image.open(io.BytesIO(picture.content)).size == (30, 20)
    assert result["heatmap"]["nifti"] is None  # a PNG has no place in space


def test_no_heat_map_when_none_is_wanted(client: TestClient, make: Make) -> None:
    (result,) = post(client, ("a.png", make["png"]()), heatmap="false").json()["results"]
    assert result["heatmap"] is None
    assert result["picture"] is not None


def test_several_files_are_several_cases_in_order(client: TestClient, make: Make) -> None:
    names = [f"{n}.png" for n in range(5)]
    body = post(client, *((n, make["png"](50 * k)) for k, n in enumerate(names))).json()
    assert [r["case"] for r in body["results"]] == names
    assert [r["label"] for r in body["results"]] == ["normal"] * 3 + ["pneumonia"] * 2


def test_one_bad_file_among_good_ones_is_named_and_the_others_answered(client: TestClient, make: Make) -> None:
    answer = post(client, ("good.png", make["png"]()), ("bad.png", make["png"]()[:45]), ("note.txt", b"hello " * 99))
    assert answer.status_code == 200
    body = answer.json()
    assert [r["case"] for r in body["results"]] == ["good.png"]
    reasons = {f["case"]: f["reason"] for f in body["failures"]}
    assert set(reasons) == {"bad.png", "note.txt"}
    assert "bad.png" in reasons["bad.png"]
    assert "f0000" not in reasons["bad.png"]  # our own names stay inside
    assert "request-" not in reasons["bad.png"]


@pytest.mark.parametrize(
    ("name", "content", "status", "words"),
    [
        ("empty.png", b"", 422, "empty"),
        ("note.txt", b"no image at all", 415, "none of the kinds"),
        ("page.png", b"<html><script>alert(1)</script>", 415, "none of the kinds"),
        ("cut.npy", b"\x93NUMPY\x01\x00v\x00", 422, "damaged"),
        ("not.zip", b"PK\x03\x04 and nothing more", 422, "damaged"),
        ("cut.dcm", b"\0" * 128 + b"DICM\x02\x00", 422, ""),
    ],
)
def test_a_bad_file_alone_is_a_clear_4xx(
    client: TestClient, name: str, content: bytes, status: int, words: str
) -> None:
    answer = post(client, (name, content))
    assert answer.status_code == status
    error = answer.json()["error"]
    assert set(error) == {"fact", "rule", "fix", "code"}
    assert name in error["fact"]
    assert words in error["fact"]


def test_arrays_of_objects_are_never_unpickled(client: TestClient, make: Make) -> None:
    answer = post(client, ("evil.npy", make["npy"](np.array([{"a": 1}], dtype=object))))
    assert answer.status_code == 415
    assert "object" in answer.json()["error"]["fact"]


def test_the_readers_error_is_a_422_with_three_sentences(client: TestClient, make: Make) -> None:
    answer = post(client, ("x.npy", make["npy"](np.full((4, 4), 13))))
    assert answer.status_code == 422
    assert answer.json()["error"]["rule"] == "Every logit must be finite."


def test_an_unforeseen_error_is_a_number_without_its_words(
    client: TestClient, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = post(client, ("x.npy", make["npy"](np.full((4, 4), 14))))
    assert answer.status_code == 500
    assert "Doe" not in answer.text
    assert "Traceback" not in answer.text
    logged = "\n".join(r.getMessage() for r in caplog.records)
    assert "Doe" not in logged
    number = answer.json()["error"]["rule"].split()[-1].rstrip(".")
    assert f"fault {number}: KeyError" in logged


def test_an_answer_that_is_no_number_is_refused(client: TestClient, make: Make, fake: Any) -> None:
    fake.nan = True
    answer = post(client, ("x.png", make["png"]()))
    assert answer.status_code == 422
    assert "no finite number" in answer.json()["error"]["fact"]


def test_file_names_are_not_logged(client: TestClient, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "scanwright")
    post(client, ("DOE_JOHN_1970.png", make["png"]()), ("DOE_JOHN_1971.png", b"?"))
    logged = "\n".join(r.getMessage() for r in caplog.records)
    assert "1 answered, 1 refused" in logged
    assert "DOE" not in logged


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("<script>alert(1)</script>.png", "<script>alert(1)<"),
        ("../../etc/passwd.png", "etc/passwd.png"),
        ("C:\\images\\a.png", "a.png"),
        ("/etc/cron.d/x.png", "etc/cron.d/x.png"),
        ("胸片.png", "胸片.png"),
    ],
)
def test_names_are_shown_and_never_used(client: TestClient, make: Make, tmp_path: Path, sent: str, shown: str) -> None:
    before = {p for p in tmp_path.parent.rglob("*") if "work" not in p.parts}
    answer = post(client, (sent, make["png"]()))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert shown in answer.json()["results"][0]["case"]
    assert {p for p in tmp_path.parent.rglob("*") if "work" not in p.parts} == before


def test_a_zip_of_pictures_is_several_cases(client: TestClient, make: Make) -> None:
    members = {"in/a.png": make["png"](10), "in/b.png": make["png"](250), "__MACOSX/._a.png": b"x", ".DS_Store": b"x"}
    body = post(client, ("both.zip", make["zip"](members))).json()
    assert [r["case"] for r in body["results"]] == ["in/a.png", "in/b.png"]
    assert body["failures"] == []


def test_unpacked_and_uploaded_files_are_gone_after_the_answer(client: TestClient, make: Make, tmp_path: Path) -> None:
    post(client, ("both.zip", make["zip"]({"a.png": make["png"]()})))
    assert not list((tmp_path / "work").rglob("request-*"))


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data", "", "multipart/mixed; boundary=x"])
def test_a_body_of_another_type_is_refused(client: TestClient, content_type: str) -> None:
    answer = client.post("/v1/predict", content=b"{}", headers={"content-type": content_type})
    assert answer.status_code in (400, 415)
    assert answer.json()["error"]["fix"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--x\r\n",
        b"no boundary here at all",
        b"--x\r\nContent-Disposition: form-data; name=files; filename=a.png\r\n\r\nhalf",
        b"--x--\r\n",
        b"--x\r\nContent-Disposition: form-data; name=note\r\n\r\nno file\r\n--x--\r\n",
        b"--x\r\n" + b"A: b\r\n" * 5000 + b"\r\n--x--\r\n",
    ],
)
def test_a_broken_multipart_body_is_a_400(client: TestClient, body: bytes) -> None:
    answer = client.post("/v1/predict", content=body, headers={"content-type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 400
    assert answer.json()["error"]["fact"]


def test_models_are_chosen_by_name(
    client_of: Callable[..., TestClient], make: Make, fake: Any, volume_fake: Any
) -> None:
    volume_fake.name = "other"
    client = client_of({"chest": fake, "other": lambda: volume_fake})
    assert post(client, ("a.png", make["png"]())).json()["model"]["name"] == "chest"
    assert post(client, ("a.png", make["png"]()), model="other").json()["model"]["name"] == "other"
    missing = post(client, ("a.png", make["png"]()), model="chets")
    assert missing.status_code == 404
    assert missing.json()["error"]["fix"] == "Did you mean chest?"


def test_a_wrong_parameter_is_a_400_in_three_sentences(client: TestClient, make: Make) -> None:
    answer = post(client, ("a.png", make["png"]()), heatmap="perhaps")
    assert answer.status_code == 400
    assert "heatmap" in answer.json()["error"]["fact"]


def test_many_senders_at_once_each_get_their_own_answer(client: TestClient, make: Make) -> None:
    levels = [0, 255] * 4
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda k: post(client, (f"{k}.png", make["png"](levels[k]))), range(8)))
    for k, answer in enumerate(answers):
        (result,) = answer.json()["results"]
        assert result["case"] == f"{k}.png"
        assert result["probabilities"]["pneumonia"] == (1.0 if levels[k] else 0.0)


def test_surplus_is_told_to_come_back(client_of: Callable[..., TestClient], make: Make, fake: Any) -> None:
    fake.hold = threading.Event()
    client = client_of({"chest": fake}, workers=1, max_waiting=1)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(post, client, (f"{k}.png", make["png"]())) for k in range(6)]
        while sum(w.done() for w in waiting) < 4:
            threading.Event().wait(0.02)
        busy = client.get("/readyz")
        fake.hold.set()
        answers = [w.result() for w in waiting]
    assert sorted(a.status_code for a in answers) == [200, 200, 503, 503, 503, 503]
    refused = [a for a in answers if a.status_code == 503]
    assert all(int(a.headers["retry-after"]) > 0 for a in refused)
    assert busy.status_code == 503
    assert post(client, ("later.png", make["png"]())).status_code == 200


def test_links_expire_and_cannot_be_guessed(client_of: Callable[..., TestClient], make: Make, fake: Any) -> None:
    client = client_of({"chest": fake}, keep_mb=0.0001)
    first = post(client, ("a.png", make["png"](1))).json()["results"][0]["heatmap"]["url"]
    for level in range(4):
        post(client, ("b.png", make["png"](level)))
    gone = client.get(first)
    assert gone.status_code == 404
    assert "expired" in gone.json()["error"]["fact"]
    assert len(first.rsplit("/", 1)[1]) >= 32 + len(".png")
    for guess in ("x.png", "..%2F..%2Fetc%2Fpasswd", "%00", "a" * 5000):
        assert client.get(f"/v1/heatmaps/{guess}").status_code == 404

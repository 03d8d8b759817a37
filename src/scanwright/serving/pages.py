"""What a browser shows: the page, the description of the API, and model cards. No script inline, nothing from elsewhere."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import HTMLResponse, Response

from scanwright.serving.refusal import Refusal

_FOLDER = Path(__file__).parent / "page"

FILES = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "words.js": "text/javascript",
    "english.js": "text/javascript",
    "chinese.js": "text/javascript",
    "upload.js": "text/javascript",
    "result.js": "text/javascript",
    "viewer.js": "text/javascript",
    "lesions.js": "text/javascript",
    "make.js": "text/javascript",
    "text.css": "text/css",
    "icon.svg": "image/svg+xml",
}
"""Static files and their types; nothing else under ``page/`` is served."""

router = APIRouter(include_in_schema=False)


@router.get("/")
async def index() -> Response:
    """The page to drop an image on."""
    return HTMLResponse((_FOLDER / "index.html").read_text(encoding="utf-8"), headers={"Cache-Control": "no-cache"})


@router.get("/favicon.ico")
async def favicon() -> Response:
    """The icon that browsers ask for unasked."""
    return _file("icon.svg")


@router.get("/page/{name}")
async def static(name: str) -> Response:
    """One of the page's files."""
    if name not in FILES:
        raise Refusal(404, "There is no such file.", "/ is the page.", "Open /.")
    return _file(name)


def _file(name: str) -> Response:
    data = (_FOLDER / name).read_bytes()
    return Response(data, media_type=FILES[name], headers={"Cache-Control": "no-cache"})


@router.get("/docs")
async def docs(request: Request) -> Response:
    """The API in words, made from its OpenAPI description."""
    return _text_page("API", api_html(request.app.openapi()))


def card_page(name: str, card: str) -> Response:
    """A model card as a page.

    Args:
        name: Name of the model.
        card: Markdown.

    Returns:
        HTML in which nothing of the card is executed.
    """
    return _text_page(name, markdown_html(card))


def _text_page(title: str, body: str) -> Response:
    return HTMLResponse(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<title>{escape(title)} – Scanwright</title><link rel=icon href=/page/icon.svg>"
        f"<link rel=stylesheet href=/page/text.css><main><p><a href='/'>Scanwright</a></p>{body}</main></html>"
    )


def plain(value: Any) -> Any:
    """A value as JSON can hold it: data classes and models as objects, NaN as null.

    Args:
        value: Anything that a model says of itself.

    Returns:
        Dictionaries, lists, text, numbers, None.

    Example:
        >>> plain({"auroc": float("nan"), "classes": ("a", "b")})
        {'auroc': None, 'classes': ['a', 'b']}
    """
    if isinstance(value, BaseModel):
        return plain(value.model_dump())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value))
    if hasattr(value, "to_dict"):
        return plain(value.to_dict())
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | type(None)) else str(value)


def api_html(description: dict[str, Any]) -> str:
    """The OpenAPI description as readable HTML.

    Args:
        description: What ``/openapi.json`` says.

    Returns:
        The inside of a page.
    """
    info = description["info"]
    out = [f"<h1>{escape(info['title'])} API</h1><p>{escape(info.get('summary', ''))}</p>"]
    out.append("<p>For programs: <a href='/openapi.json'>openapi.json</a></p>")
    out.append("<pre>curl -F files=@image.dcm http://127.0.0.1:8000/v1/predict</pre>")
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            out.append(_operation_html(path, method, operation))
    out.append("<h2>Shapes</h2>")
    for name, schema in description.get("components", {}).get("schemas", {}).items():
        out.append(f"<h3 id='{escape(name)}'>{escape(name)}</h3><p>{escape(schema.get('description', ''))}</p>")
        out.append(_fields_html(schema))
    return "".join(out)


def _operation_html(path: str, method: str, operation: dict[str, Any]) -> str:
    out = [f"<section><h2><code>{escape(method.upper())} {escape(path)}</code></h2>"]
    out.extend(f"<p>{escape(p)}</p>" for p in operation.get("description", "").split("\n\n") if p)
    rows = [
        f"<tr><td><code>{escape(p['name'])}</code></td><td>{escape(p['in'])}</td><td>{escape(p.get('description', ''))}</td></tr>"
        for p in operation.get("parameters", [])
    ]
    if "requestBody" in operation:
        kinds = ", ".join(operation["requestBody"]["content"])
        rows.append(
            f"<tr><td><code>files</code></td><td>body, {escape(kinds)}</td><td>one part for each file</td></tr>"
        )
    if rows:
        out.append(f"<table><tr><th>Parameter</th><th>Where</th><th></th></tr>{''.join(rows)}</table>")
    answers = []
    for status, answer in operation["responses"].items():
        kinds = "<br>".join(_kind_html(k, c.get("schema", {})) for k, c in answer.get("content", {}).items())
        answers.append(
            f"<tr><td>{escape(str(status))}</td><td>{escape(answer['description'])}</td><td>{kinds}</td></tr>"
        )
    out.append(f"<table><tr><th>Status</th><th>Meaning</th><th>Body</th></tr>{''.join(answers)}</table></section>")
    return "".join(out)


def _kind_html(kind: str, schema: dict[str, Any]) -> str:
    return escape(kind) + (f" {_type_html(schema)}" if schema else "")


def _fields_html(schema: dict[str, Any]) -> str:
    rows = [
        f"<tr><td><code>{escape(name)}</code></td><td>{_type_html(field)}</td><td>{escape(field.get('description', ''))}</td></tr>"
        for name, field in schema.get("properties", {}).items()
    ]
    return f"<table><tr><th>Field</th><th>Type</th><th></th></tr>{''.join(rows)}</table>" if rows else ""


def _type_html(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[-1])
        return f"<a href='#{name}'>{name}</a>"
    if "anyOf" in schema:
        return " or ".join(_type_html(s) for s in schema["anyOf"])
    if schema.get("type") == "array":
        return "list of " + _type_html(schema.get("items", {}))
    if isinstance(schema.get("additionalProperties"), dict):
        return "name → " + _type_html(schema["additionalProperties"])
    return escape(str(schema.get("type", "any")))


def markdown_html(text: str) -> str:
    """Headings, lists, tables, quotes, code, bold and emphasis of Markdown as HTML; all else as text.

    Args:
        text: Markdown.

    Returns:
        HTML without links to elsewhere, images or raw HTML.

    Example:
        >>> markdown_html("# A <b>\\n\\n* one")
        '<h1>A &lt;b&gt;</h1><ul><li>one</li></ul>'
    """
    out: list[str] = []
    for block in re.split(r"\n\s*\n", re.sub(r"(?m)^(#{1,6} .*)$", r"\n\1\n", text.replace("\r\n", "\n"))):
        lines = [line for line in block.split("\n") if line.strip()]
        if lines:
            out.append(_block_html(lines))
    return "".join(out)


def _block_html(lines: list[str]) -> str:
    first = lines[0].lstrip()
    if heading := re.match(r"(#{1,6}) (.*)", first):
        level = len(heading[1])
        return f"<h{level}>{_inline(heading[2])}</h{level}>"
    if first.startswith("|"):
        return _table_html(lines)
    if re.match(r"[*+-] |\d+\. ", first):
        kind = "ol" if first[0].isdigit() else "ul"
        items = re.split(r"(?m)^\s*(?:[*+-]|\d+\.) ", "\n".join(lines))[1:]
        return f"<{kind}>{''.join(f'<li>{_inline(i.strip())}</li>' for i in items)}</{kind}>"
    if first.startswith("```"):
        return "<pre>" + escape("\n".join(line for line in lines if not line.lstrip().startswith("```"))) + "</pre>"
    if first.startswith(">"):
        return "<blockquote>" + _inline(" ".join(line.lstrip("> ") for line in lines)) + "</blockquote>"
    return f"<p>{_inline(' '.join(line.strip() for line in lines))}</p>"


def _table_html(lines: list[str]) -> str:
    rows = [[c.strip() for c in line.strip().strip("|").split("|")] for line in lines]
    body = [r for r in rows if not all(re.fullmatch(r":?-+:?", c) for c in r)]
    html = ["".join(f"<{tag}>{_inline(c)}</{tag}>" for c in row) for row, tag in zip(body, ["th"] + ["td"] * len(body))]
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in html) + "</table>"


def _inline(text: str) -> str:
    safe = escape(text, quote=False)
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", safe)
    safe = re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", safe)
    return re.sub(r"(?<![\w*])[*_]([^*_]+)[*_](?![\w*])", r"<i>\1</i>", safe)

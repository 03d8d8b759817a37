"""The service: routes, and what they stand on.

The clinical service adds its own routes (DICOMweb, review, work lists) as further routers
over the same ``Service``; the guard, the store and the crew do not change for it.
"""

from __future__ import annotations

import asyncio
import json
import pathlib
import shutil
import threading
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from scanwright.serving import pages, schemas
from scanwright.serving.crew import Crew
from scanwright.serving.desk import Desk, Read
from scanwright.serving.guard import LOOPBACK, Guard
from scanwright.serving.limits import Limits
from scanwright.serving.reader import ReaderProcess
from scanwright.serving.refusal import Refusal
from scanwright.serving.results import Results
from scanwright.serving.shelf import Loader, Model, Shelf, Slot
from scanwright.serving.slices import slice_png
from scanwright.serving.upload import receive_files

_SAYS = {
    400: "Not a usable request",
    403: "From a page of another site",
    404: "No such thing",
    408: "The upload stopped arriving",
    413: "Too large",
    415: "Of a kind that is not taken",
    421: "For another host",
    422: "Damaged, or not an image that the model can look at",
    503: "Busy; try again after Retry-After seconds",
    507: "No room left",
}


@dataclass(frozen=True)
class Service:
    """What all routes share; it hangs on ``app.state.service``.

    Args:
        shelf: Models.
        crew: Workers and queue.
        results: Pictures and heat maps.
        desk: Answers cases.
        limits: Ceilings.
    """

    shelf: Shelf
    crew: Crew
    results: Results
    desk: Desk
    limits: Limits


def create_app(
    models: Mapping[str, Model | Loader],
    *,
    limits: Limits | None = None,
    work: pathlib.Path | None = None,
    hosts: Iterable[str] = LOOPBACK,
    read: Read | None = None,
) -> FastAPI:
    """Make the web service of one or several models.

    Args:
        models: Name to model, or to a function that loads it. The first is the default.
        limits: Ceilings; the defaults of :class:`Limits` if None.
        work: Folder for uploads and heat maps; the system's temporary folder if None. What is
            written there is removed again.
        hosts: Names that the Host header may have.
        read: Reader of images; by default a child process with limits on memory and time.

    Returns:
        An ASGI application.

    Raises:
        InputError: There is no model.
        ResourceError: The work folder cannot be written.
    """
    limits = limits or Limits()
    shelf = Shelf(models)
    results = Results(work, keep_s=limits.keep_s, keep_bytes=int(limits.keep_mb * 1e6))
    reader = ReaderProcess(limits) if read is None else None
    desk = Desk(results, limits, read or reader)  # type: ignore[arg-type]
    service = Service(shelf, Crew(limits), results, desk, limits)

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncIterator[None]:
        threading.Thread(target=shelf.warm, name="load", daemon=True).start()
        if reader:
            threading.Thread(target=reader.warm, name="reader", daemon=True).start()
        yield
        await asyncio.to_thread(service.crew.close)
        if reader:
            reader.close()
        results.close()

    app = FastAPI(
        title="Scanwright",
        version="1",
        summary="Answers of a trained model on medical images. Research use – not a medical device.",
        docs_url=None,
        redoc_url=None,
        lifespan=living,
        responses={400: {"model": schemas.ErrorBody, "description": _SAYS[400]}},
    )
    app.state.service = service
    app.include_router(_answers)
    app.include_router(_about)
    app.include_router(pages.router)
    app.add_exception_handler(Refusal, _say_refusal)
    app.add_exception_handler(HTTPException, _say_http)
    app.add_exception_handler(RequestValidationError, _say_invalid)
    app.add_middleware(Guard, limits=limits, hosts=tuple(hosts))
    return app


_answers = APIRouter(tags=["answers"])
_about = APIRouter(tags=["about"])


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": schemas.ErrorBody, "description": _SAYS[status]} for status in statuses}


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


_FILES = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            }
        },
    }
}


@_answers.post(
    "/v1/predict",
    response_model=schemas.Answer,
    responses=_errors(403, 404, 408, 413, 415, 421, 422, 503, 507),
    openapi_extra=_FILES,
)
async def predict(
    request: Request,
    model: Annotated[str | None, Query(description="name of the model; the first one by default")] = None,
    heatmap: Annotated[bool, Query(description="whether heat maps are wanted")] = True,
    slices: Annotated[bool, Query(description="whether the slices of volumes are kept, to be leafed through")] = False,
    columns: Annotated[
        str | None,
        Query(description='of a model that learnt a table: its columns for these cases as JSON, such as {"age": 61}'),
    ] = None,
) -> dict[str, Any]:
    """Answer one or several images.

    Send them as parts of a multipart form: DICOM, NIfTI, NRRD, MetaImage, PNG, JPEG, TIFF or
    npy, or a zip of them. Every file is a case, except the slices of one DICOM series, which
    make one volume where the model looks at volumes.
    """
    service = _service(request)
    slot = service.shelf.pick(model)
    told = cells_of(columns)
    with service.crew.seat():
        folder = await asyncio.to_thread(service.results.new_folder)
        try:
            uploads = await receive_files(request, folder, service.limits)
            return await service.crew.run(
                lambda stop: service.desk.answer(
                    uploads, folder, slot, heatmap=heatmap, stop=stop, slices=slices, columns=told
                ),
                request.is_disconnected,
            )
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, True)


def cells_of(text: str | None) -> dict[str, str | float | None] | None:
    """What a request says of a table's columns.

    Args:
        text: A JSON object of names and words, numbers or null; None or empty if nothing is said.

    Returns:
        Column to cell, None if nothing is said.

    Raises:
        Refusal: 422 if it is anything else.
    """
    if not text or not text.strip():
        return None
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    plain = isinstance(found, dict) and all(
        v is None or (isinstance(v, str | int | float) and not isinstance(v, bool)) for v in found.values()
    )
    if not plain:
        raise Refusal(
            422,
            "columns is no JSON object of plain cells.",
            "A cell is a word, a number or null.",
            'Write columns={"age": 61, "sex": "F"}.',
            code="columns",
        )
    return {str(name): v if v is None or isinstance(v, str) else float(v) for name, v in found.items()}


def _expired() -> Refusal:
    fact = "There is no such picture, or it has expired."
    return Refusal(404, fact, "Links live for about an hour.", "Send the image again.")


def _kept(request: Request, key: str) -> Response:
    path = _service(request).results.find(key)
    if path is None:
        raise _expired()
    if path.suffix == ".nii":
        return FileResponse(path, media_type="application/octet-stream", filename="heatmap.nii")
    return FileResponse(path, media_type="image/png")


_PNG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/png": {}}, "description": "The picture"},
    **_errors(404),
}


_NIFTI: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/gzip": {}}, "description": "The label map"},
    **_errors(404),
}


@_answers.get("/v1/pictures/{key}", response_class=FileResponse, responses=_PNG)
async def picture(request: Request, key: str) -> Response:
    """What was looked at, as PNG."""
    return _kept(request, key)


@_answers.get("/v1/heatmaps/{key}", response_class=FileResponse, responses=_PNG)
async def heat_map(request: Request, key: str) -> Response:
    """Where the model looked, as PNG or NIfTI."""
    return _kept(request, key)


@_answers.get("/v1/results/{key}/slices/{k}.png", response_class=Response, responses=_PNG)
async def one_slice(
    request: Request,
    key: str,
    k: Annotated[int, Path(description="number of the slice, from 0")],
    overlay: Annotated[bool, Query(description="whether heat map or structures are drawn over it")] = False,
) -> Response:
    """One slice of a volume that was answered with ``slices=true``, drawn when it is asked for."""
    path = _service(request).results.find(f"{key}.slices")
    try:
        png = None if path is None else await asyncio.to_thread(slice_png, path, k, overlay=overlay)
    except FileNotFoundError:  # it expired in this moment
        png = None
    if png is None:
        raise _expired()
    return Response(png, media_type="image/png")


@_answers.get("/v1/results/{key}/segmentation.nii.gz", response_class=FileResponse, responses=_NIFTI)
async def segmentation(request: Request, key: str) -> Response:
    """The label map of an answer, as NIfTI on the grid of its source."""
    path = _service(request).results.find(f"{key}.nii.gz")
    if path is None:
        raise _expired()
    return FileResponse(path, media_type="application/gzip")


def _summary(slot: Slot) -> dict[str, Any]:
    if not slot.ready:
        return {"name": slot.name, "ready": False, "fault": slot.fault and str(slot.fault)}
    plan = slot.get().plan
    return {**slot.identity(), "ready": True, "task": plan.task, "classes": list(plan.classes)}


@_about.get("/v1/models", response_model=schemas.ModelList, response_model_exclude_none=True)
async def models(request: Request) -> dict[str, Any]:
    """Which models are served, and the limits of the service."""
    service = _service(request)
    names = ("max_upload_mb", "max_files", "max_cases", "max_megapixels", "max_megavoxels", "keep_s")
    limits = {name: float(getattr(service.limits, name)) for name in names}
    return {"models": [_summary(slot) for slot in service.shelf.slots.values()], "limits": limits}


@_about.get("/v1/models/{name}", response_model=schemas.ModelDetail, responses=_errors(404, 503))
async def model_detail(request: Request, name: str) -> dict[str, Any]:
    """One model: its plan in short, its figures, its operating points and a link to its card."""
    slot = _service(request).shelf.pick(name)
    model = await asyncio.to_thread(slot.get)
    plan = model.plan
    short = {
        "task": plan.task,
        "classes": list(plan.classes),
        "dimension": plan.preprocessing.dimension,
        "size": list(plan.preprocessing.size),
        "channels": plan.preprocessing.channels,
        "intensity": plan.preprocessing.intensity.method,
        "seed": plan.seed,
        "reasons": plan.reasons,
    }
    trust = getattr(model, "trust", None)
    return {
        **_summary(slot),
        "plan": short,
        "trust": pages.plain(trust) or {},
        "evaluation": pages.plain(model.evaluation) or {},
        "card": f"/v1/models/{name}/card",
    }


@_about.get(
    "/v1/models/{name}/card",
    response_class=Response,
    responses={
        200: {"content": {"text/markdown": {}, "text/html": {}}, "description": "The card"},
        **_errors(404, 503),
    },
)
async def card(request: Request, name: str) -> Response:
    """The model card: Markdown, or a page for those who accept HTML."""
    slot = _service(request).shelf.pick(name)
    model = await asyncio.to_thread(slot.get)
    if "text/html" in request.headers.get("accept", ""):
        return pages.card_page(slot.name, model.card)
    return Response(model.card, media_type="text/markdown; charset=utf-8")


@_about.get("/healthz", response_model=schemas.Health, response_model_exclude_none=True)
async def healthz() -> dict[str, str]:
    """Whether the process lives."""
    return {"status": "ok"}


@_about.get(
    "/readyz", response_model=schemas.Health, responses={503: {"model": schemas.Health, "description": "Not yet"}}
)
async def readyz(request: Request) -> Response:
    """Whether every model is loaded and there is room for a request."""
    service = _service(request)
    slots = service.shelf.slots.values()
    states = {s.name: "ready" if s.ready else "failed" if s.fault else "loading" for s in slots}
    ready = all(s.ready for s in slots)
    status = ("busy" if service.crew.full else "ready") if ready else "not ready"
    return JSONResponse({"status": status, "models": states}, 200 if status == "ready" else 503)


async def _say_refusal(request: Request, error: Exception) -> Response:
    refusal = error if isinstance(error, Refusal) else Refusal(500, "Unknown.")
    return JSONResponse(refusal.to_dict(), refusal.status, refusal.headers)


async def _say_http(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 500)
    fact = {404: "There is nothing at this address.", 405: "This address does not take that method."}
    refusal = Refusal(
        status, fact.get(status, "The request cannot be served."), "/docs lists all addresses.", "Correct the request."
    )
    return JSONResponse(refusal.to_dict(), status, getattr(error, "headers", None))


async def _say_invalid(request: Request, error: Exception) -> Response:
    first = error.errors()[0] if isinstance(error, RequestValidationError) and error.errors() else {}
    name = str((first.get("loc") or ("",))[-1])
    refusal = Refusal(
        400, f"The parameter {name!r} has a wrong value.", f"{first.get('msg', 'It must fit')}.", "See /docs."
    )
    return JSONResponse(refusal.to_dict(), 400)

"""Serve model files: open them, bind, run until told to stop."""

from __future__ import annotations

import ipaddress
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanwright.core import Emit, Finished, InputError, Plan, Prediction, Said, Started, Volume, silent
from scanwright.serving.app import create_app
from scanwright.serving.guard import LOOPBACK
from scanwright.serving.limits import Limits
from scanwright.serving.reader import hush_readers
from scanwright.serving.shelf import Model


def serve(
    model_paths: Path | str | Sequence[Path | str],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    max_upload_mb: float = 512,
    work: Path | None = None,
    emit: Emit = silent,
) -> None:
    """Serve one or several model files until SIGINT or SIGTERM.

    Requests that are being answered when the signal comes are answered to the end.

    Args:
        model_paths: Model files; the first is the default model.
        host: Address to listen on; loopback only, until sign-in is there.
        port: TCP port; 0 lets the system choose one.
        max_upload_mb: Largest body of a request, in MB; the other ceilings are those of :class:`Limits`.
        work: Folder for uploads and heat maps.
        emit: Receiver of events; the address comes as a :class:`Said`.

    Raises:
        InputError: The address is not loopback or is in use, there is no model, or the limit is no limit.
        ModelFileError: A model file is damaged.
    """
    import uvicorn

    began = time.monotonic()
    limits = Limits(max_upload_mb=max_upload_mb)
    address = check_address(host, port)
    emit(Started(stage="serve"))
    models = open_models([model_paths] if isinstance(model_paths, str | Path) else list(model_paths))
    listener = bind(address, port)
    with listener:
        app = create_app(
            models,
            limits=limits,
            work=work,
            hosts=LOOPBACK if address in ("127.0.0.1", "::1") else (*LOOPBACK, address),
        )
        shown = f"[{address}]" if ":" in address else address
        emit(Said(stage="serve", text=f"http://{shown}:{listener.getsockname()[1]}/"))
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            ws="none",
            timeout_keep_alive=15,
            timeout_graceful_shutdown=30,
            limit_concurrency=256,
            h11_max_incomplete_event_size=65536,
        )
        with signals_end_the_run(), warnings.catch_warnings():
            hush_readers()
            uvicorn.Server(config).run(sockets=[listener])
    emit(Finished(stage="serve", seconds=time.monotonic() - began))


@contextmanager
def signals_end_the_run() -> Iterator[None]:
    """Let SIGINT and SIGTERM end the server and nothing else.

    uvicorn raises the signal once more when it has stopped; then it has done its work.
    """
    mine = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, lambda *_: None) if mine else None
    try:
        yield
    except KeyboardInterrupt:
        return
    finally:
        if mine:
            signal.signal(signal.SIGTERM, before)


def open_models(paths: Sequence[Path | str]) -> dict[str, Model]:
    """Open model files, each under a name of its own.

    Args:
        paths: Model files.

    Returns:
        Name to model; a second model of the same name gets its version, then a number.

    Raises:
        InputError: No path was given, or one does not exist.
        ModelFileError: A file is damaged.
    """
    if not paths:
        raise InputError("No model was given.", "A service needs at least one.", "scanwright serve model.scanwright")
    models: dict[str, Model] = {}
    for path in paths:
        if not Path(path).is_file():
            raise InputError(
                f"The model file {path} does not exist.", "A run writes model.scanwright.", "Check the path."
            )
        model = open_file(Path(path))
        name = model.name or Path(path).stem
        if name in models:
            name = f"{name}-{model.version}"
        while name in models:
            name += "-2"
        models[name] = model
    return models


@dataclass(frozen=True, eq=False)
class FileModel:
    """A model file as the service sees it; see :class:`Model`."""

    name: str
    version: str
    sha256: str
    plan: Plan
    card: str
    evaluation: dict[str, Any]
    trust: dict[str, Any]
    answer: Callable[..., Prediction]

    def predict(
        self,
        volume: Volume,
        *,
        case: str,
        heatmap: bool = True,
        columns: Mapping[str, str | float | None] | None = None,
    ) -> Prediction:
        """Answer one case."""
        more = {} if columns is None else {"columns": columns}
        return self.answer(volume, case=case, heatmap=heatmap, **more)


def open_file(path: Path) -> FileModel:
    """Open one model file.

    Args:
        path: Model file.

    Returns:
        The model, ready to answer.

    Raises:
        ModelFileError: The file is damaged.
    """
    from scanwright import workflow
    from scanwright.io import read_model_file

    file = read_model_file(path)
    return FileModel(
        name=file.name,
        version=file.version,
        sha256=file.sha256,
        plan=file.plan,
        card=file.card,
        evaluation=dict(file.evaluation),
        trust=dict(file.trust),
        answer=workflow.open_model(path).predict,
    )


def check_address(host: str, port: int) -> str:
    """Refuse what would let others in before there is sign-in.

    Args:
        host: Name or address.
        port: TCP port.

    Returns:
        A loopback address.

    Raises:
        InputError: The address is not loopback, or the port is no port.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"The port {port} is not a port.", "Ports are 0 to 65535.", "Write --port 8000.")
    try:
        address = "127.0.0.1" if host == "localhost" else str(ipaddress.ip_address(host.strip("[]")))
        if ipaddress.ip_address(address).is_loopback:
            return address
    except ValueError:
        pass
    raise InputError(
        f"The address {host} can be reached from other machines.",
        "Without sign-in the service listens on this machine only.",
        "Leave out --host; from elsewhere, use an SSH tunnel.",
    )


def bind(address: str, port: int) -> socket.socket:
    """Take a port.

    Args:
        address: Loopback address.
        port: TCP port, or 0.

    Returns:
        A bound socket.

    Raises:
        InputError: The port is in use or may not be taken.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
    except OSError as error:
        listener.close()
        raise InputError(
            f"Port {port} on {address} cannot be taken: {error.strerror}.",
            "A service needs a port of its own.",
            "Stop what uses it, or write --port 0 for any free port.",
        ) from None
    return listener

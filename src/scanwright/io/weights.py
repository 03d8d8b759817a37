"""Weight files: safetensors, torch state dicts, bases of ``scanwright pretrain``, model files. Nothing in them is executed."""

from __future__ import annotations

import hashlib
import json
import pickletools
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import FormatError, InputError, MissingExtraError

Floats = NDArray[np.float32]
BASE_FORMAT = "scanwright-base/1"
_NESTED = ("state_dict", "model_state_dict", "model", "teacher", "student", "network", "net", "backbone")
_SOME_NAMES = 3


@dataclass(frozen=True, eq=False)
class Weights:
    """Tensors of a file, and what the file says about them.

    Args:
        path: Where it lies.
        format: Kind of file.
        sha256: Of the whole file, hexadecimal.
        tensors: Name to float32 array; counters and other integers are left out.
        facts: Text that stands in the file: ``licence``, ``trained_on``, ``source``; of files of Scanwright also
            ``base``, JSON with ``model``, ``arguments``, ``dimension``, ``channels`` and ``side``.
    """

    path: Path
    format: Literal["safetensors", "torch", "scanwright"]
    sha256: str
    tensors: Mapping[str, Floats]
    facts: Mapping[str, str] = field(default_factory=dict)

    def seen(self) -> str:
        """The first names with their shapes, for messages."""
        some = [f"{n} ({'x'.join(map(str, a.shape))})" for n, a in list(self.tensors.items())[:_SOME_NAMES]]
        return f"{len(self.tensors)} tensors, the first of them {', '.join(some)}"


def read_weights(path: Path | str) -> Weights:
    """Read a weight file.

    Args:
        path: safetensors; ``.pth``, ``.pt`` or ``.ckpt`` of torch that holds tensors alone, perhaps under
            ``state_dict``, ``model`` or ``teacher``; or a Scanwright model file.

    Returns:
        Its tensors.

    Raises:
        InputError: There is no such file, it would run code when opened, or it holds no weights.
        FormatError: It is damaged or cut short.
        ModelFileError: It is a damaged model file, or one without weights.
        MissingExtraError: torch is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"There is no weight file {path}.",
            "--pretrained takes a safetensors, .pth or .scanwright file, or a known name.",
            "Check the path; `scanwright run --help` lists the names.",
        )
    with path.open("rb") as file:
        head = file.read(16)
    sha256 = _sha256(path)
    if _is_safetensors(head, path):
        return _safetensors(path, path.read_bytes(), sha256)
    if head[:4] == b"PK\x03\x04":
        return _model_file(path, sha256) if _is_model_file(path) else _torch(path, sha256)
    if head[:1] == b"\x80":
        return _torch(path, sha256)
    if path.suffix == ".safetensors":
        raise _damaged(path, "its header is not whole")
    if path.suffix in (".pth", ".pt", ".ckpt", ".bin"):
        raise _damaged(path, "it is no archive that torch writes")
    raise InputError(
        f"{path.name} is no weight file.",
        "Weights are safetensors, state dicts of torch (.pth) and Scanwright model files.",
        "Export the weights as safetensors.",
    )


def write_base(path: Path, tensors: Mapping[str, NDArray[np.generic]], facts: Mapping[str, str]) -> Path:
    """Write a base that ``--pretrained`` takes, as safetensors with its facts as metadata.

    Args:
        path: File.
        tensors: Name to array.
        facts: Text; see :class:`Weights`.
    """
    from safetensors.numpy import save

    from scanwright.io.atomic import atomic_write

    given = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    return atomic_write(path, save(given, metadata={"format": BASE_FORMAT, **facts}))


def _safetensors(path: Path, data: bytes, sha256: str, *, whole: bool = True) -> Weights:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load
    except ImportError as error:
        raise _no_torch(error) from error
    try:
        tensors = load(data)
        size = int.from_bytes(data[:8], "little")
        metadata: dict[str, Any] = json.loads(data[8 : 8 + size]).get("__metadata__", {})
    except (SafetensorError, ValueError, KeyError) as error:
        raise _damaged(path, str(error)) from None
    facts = {_licence_key(k): str(v) for k, v in metadata.items()}
    if metadata.get("format") != BASE_FORMAT:
        facts.pop("base", None)  # ours alone says what it is in this way
    return Weights(path, "safetensors" if whole else "scanwright", sha256, _floats(tensors), facts)


def _model_file(path: Path, sha256: str) -> Weights:
    """Weights of the first network of a Scanwright model, its place in the average taken off the names."""
    from scanwright.io.model_file import read_model_file

    file = read_model_file(path)
    if "weights.safetensors" not in file.members:
        raise InputError(
            f"{path.name} holds no weights to begin from.",
            "A base needs weights.safetensors, which `scanwright run` puts into its models.",
            "Train the model again, or use another file.",
        )
    chosen = [str(name) for name in file.manifest.get("models", [])]
    candidates = {c.name: c for c in file.plan.candidates}
    networks = [(k, candidates[n]) for k, n in enumerate(chosen) if n in candidates and candidates[n].kind == "network"]
    if not networks or file.plan.task == "segment" or file.plan.preprocessing.frames is not None:
        raise InputError(
            f"{path.name} has no classification network for single images.",
            "Bases are networks that answer with classes or numbers, one image a case.",
            "Use another model, or another weight file.",
        )
    place, one = networks[0]
    weights = _safetensors(path, file.member("weights.safetensors"), sha256, whole=False)
    own = {n.removeprefix(f"{place}."): v for n, v in weights.tensors.items() if n.startswith(f"{place}.")}
    spec, start = file.plan.preprocessing, file.plan.pretrained
    base: dict[str, Any] = {
        "model": one.model,
        "arguments": one.arguments,
        "dimension": spec.n_axes,
        "channels": spec.shape[0],
        "side": 0,
    }
    if one.model == "tuned" and start is not None:  # its body learnt behind an entry to these values
        base |= {"mean": start.mean, "std": start.std, "side": start.side}
    facts = {
        "base": json.dumps(base),
        "trained_on": f"the cohort of the model {file.name}"
        + (f", after {start.trained_on or start.file}" if start else ""),
        "source": f"Scanwright model {file.name} {file.version}",
    }
    if "evidence/seen.json" in file.members:
        facts["seen_prepared"] = " ".join(json.loads(file.member("evidence/seen.json"))["hashes"])
        facts["preprocessing"] = spec.model_dump_json()
    if start is not None and start.licence:
        facts["licence"] = f"that of its images, and {start.licence}"
    return Weights(path, "scanwright", sha256, own, facts)


def _torch(path: Path, sha256: str) -> Weights:
    try:
        import torch
    except ImportError as error:
        raise _no_torch(error) from error
    from pickle import UnpicklingError

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError:
        code = _code_in(path)
        if not code:
            raise _damaged(path, "its list of tensors cannot be read") from None
        raise InputError(
            f"{path.name} is a pickle that would run {code} when it is opened.",
            "Weights are tensors alone: a file that runs code is not opened.",
            "Save the state dict alone (torch.save(model.state_dict(), ...)), or as safetensors.",
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise _damaged(path, str(error).splitlines()[0][:120] if str(error) else type(error).__name__) from None
    return Weights(path, "torch", sha256, _floats(_state(found, path)))


def _state(found: Any, path: Path) -> dict[str, Any]:
    """The state dict of what a file holds: itself, or under a usual name."""
    for _ in range(3):
        if not isinstance(found, Mapping):
            break
        flat = {str(k): v for k, v in found.items() if hasattr(v, "dtype") and hasattr(v, "shape")}
        if flat:
            return flat
        inner = next((found[name] for name in _NESTED if isinstance(found.get(name), Mapping)), None)
        if inner is None:
            break
        found = inner
    raise InputError(
        f"{path.name} holds no named tensors.",
        f"A state dict maps names to tensors, by itself or under {', '.join(_NESTED[:4])}.",
        "Save model.state_dict().",
    )


def _floats(tensors: Mapping[str, Any]) -> dict[str, Floats]:
    return {
        name: value.detach().float().cpu().numpy()
        for name, value in tensors.items()
        if hasattr(value, "is_floating_point") and value.is_floating_point()
    }


def _code_in(path: Path) -> str:
    """Name of the first thing outside of torch that a pickle would call; empty if there is none. Nothing is run."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
                data = archive.read(name)
        else:
            data = path.read_bytes()
        strings: list[str] = []
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "GLOBAL":
                name = str(argument).replace(" ", ".")
            elif opcode.name == "STACK_GLOBAL":
                name = ".".join(strings[-2:])
            else:
                strings += [str(argument)] if isinstance(argument, str) else []
                continue
            if not name.startswith(("torch.", "torch._utils", "collections.OrderedDict", "numpy.")):
                return name
    except (ValueError, StopIteration, OSError, zipfile.BadZipFile, KeyError):
        return ""
    return "objects that are no tensors" if strings else ""


def _is_safetensors(head: bytes, path: Path) -> bool:
    size = int.from_bytes(head[:8], "little")
    return len(head) > 8 and head[8:9] == b"{" and 2 <= size <= path.stat().st_size


def _is_model_file(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return "plan.json" in archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return path.suffix == ".scanwright"


def _licence_key(name: str) -> str:
    return "licence" if name.lower() in ("license", "licence") else name


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(path: Path, why: str) -> FormatError:
    return FormatError(
        f"{path.name} cannot be read as weights ({why}).",
        "A weight file must be whole.",
        "Copy or download it again.",
    )


def _no_torch(error: ImportError) -> MissingExtraError:
    return MissingExtraError(
        f"Reading weights needs {error.name}, which is not installed.",
        "Training comes with the extra [train].",
        "Run `pip install 'scanwright[train]'`.",
    )

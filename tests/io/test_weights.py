"""Weight files as others write them, and files that must not be opened."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from scanwright.core import FormatError, InputError, ModelFileError
from scanwright.io.weights import read_weights, write_base

STATE = {"conv1.weight": torch.arange(12.0).reshape(3, 4), "bn1.num_batches_tracked": torch.tensor(5)}


class _Runs:
    """A pickle that runs a command when it is loaded."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch /tmp/should-never-be-there",)


def test_safetensors_with_its_licence(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(
        STATE | {"half": torch.ones(2, dtype=torch.bfloat16)}, path, metadata={"license": "MIT", "source": "here"}
    )
    found = read_weights(path)
    assert (found.format, found.facts["licence"], found.facts["source"]) == ("safetensors", "MIT", "here")
    assert set(found.tensors) == {"conv1.weight", "half"}  # counters are no weights
    np.testing.assert_array_equal(found.tensors["conv1.weight"], STATE["conv1.weight"].numpy())
    assert found.tensors["half"].dtype == np.float32
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("under", ["", "state_dict", "model", "teacher"])
def test_state_dicts_of_torch(tmp_path: Path, under: str, legacy: bool) -> None:
    path = tmp_path / "w.pth"
    content = {"epoch": 3, under: STATE} if under else STATE
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    found = read_weights(path)
    assert found.format == "torch"
    np.testing.assert_array_equal(found.tensors["conv1.weight"], STATE["conv1.weight"].numpy())


@pytest.mark.parametrize("by", ["pickle", "torch"])
def test_a_pickle_that_runs_code_is_not_opened(tmp_path: Path, by: str) -> None:
    path = tmp_path / "evil.pth"
    if by == "pickle":
        path.write_bytes(pickle.dumps({"w": _Runs()}))
    else:
        torch.save({"state_dict": STATE, "w": _Runs()}, path)
    with pytest.raises(
        InputError, match=r"would run (posix|nt|os)\.system when it is opened.*Save the state dict alone"
    ):
        read_weights(path)
    assert not Path("/tmp/should-never-be-there").exists()


def test_a_whole_model_as_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(InputError, match="is not opened"):
        read_weights(path)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_files_that_are_cut_short(tmp_path: Path, name: str, share: float) -> None:
    path = tmp_path / name
    big = {f"layer{k}.weight": torch.randn(64, 64) for k in range(4)}
    save_file(big, path) if path.suffix == ".safetensors" else torch.save(big, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(FormatError, match="cannot be read as weights"):
        read_weights(path)


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not weights")
    with pytest.raises(InputError, match=r"notes.txt is no weight file"):
        read_weights(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="There is no weight file"):
        read_weights(tmp_path / "nowhere.pth")
    torch.save({"epoch": 3, "loss": [1.0]}, tmp_path / "log.pth")
    with pytest.raises(InputError, match="holds no named tensors"):
        read_weights(tmp_path / "log.pth")
    (tmp_path / "model.scanwright").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(ModelFileError, match="is not a zip file"):
        read_weights(tmp_path / "model.scanwright")


def test_a_base_comes_back(tmp_path: Path) -> None:
    path = write_base(
        tmp_path / "base.safetensors", {"body.0.weight": np.eye(3)[:, ::-1]}, {"licence": "as your images"}
    )
    found = read_weights(path)
    np.testing.assert_array_equal(found.tensors["body.0.weight"], np.eye(3)[:, ::-1])
    assert found.facts["licence"] == "as your images"
    assert found.facts["format"] == "scanwright-base/1"

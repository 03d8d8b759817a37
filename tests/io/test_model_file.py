"""The model file: whole, unaltered, and nothing in it is ever executed."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import io
import json
import pickle
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from scanwright.core import Augmentation, Memory, ModelFileError, Plan, Preprocessing, ResourceError, Training
from scanwright.io.model_file import REQUIRED, read_model_file, write_model_file
from scanwright.io.onnx_file import read_onnx_facts


def a_network(*, inside: Any = None) -> onnx.ModelProto:
    """logits = flatten(image) @ w; ``inside`` changes the graph before it is sealed."""
    weights = numpy_helper.from_array(np.ones((4, 1), dtype=np.float32), "w")
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["B", 1, 2, 2])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", 1])],
        [weights],
    )
    if inside is not None:
        inside(graph)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def a_plan() -> Plan:
    return Plan(
        task="binary",
        classes=("normal", "ill"),
        preprocessing=Preprocessing(dimension=2, size=(2, 2)),
        augmentation=Augmentation(),
        training=Training(budget_s=60),
        candidates=(),
        memory=Memory(predicted_mb=1, limit_mb=2),
    )


def the_members(**other: bytes) -> dict[str, bytes]:
    return {
        "plan.json": a_plan().to_json().encode(),
        "network.onnx": a_network().SerializeToString(),
        "weights.safetensors": b"\x02\0\0\0\0\0\0\0{}",
        "labels.json": json.dumps({"names": ["normal", "ill"], "colours": [[0, 0, 0], [255, 0, 0]]}).encode(),
        "trust.json": json.dumps({"temperature": 1.5}).encode(),
        "evaluation.json": json.dumps({"test": {"auroc": {"value": 0.9}}}).encode(),
        "card.md": "# Karte – für Menschen\n".encode(),
        **{name.replace("__", "/").replace("_json", ".json"): data for name, data in other.items()},
    }


FACTS = {"name": "pneumonia", "version": "1.2.0", "created": "2026-01-02T03:04:05+00:00"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_model_file(tmp_path / "model.scanwright", the_members(evidence__embeddings_json=b"[1, 2]"), facts=FACTS)
    return tmp_path / "model.scanwright"


def test_what_was_written_is_read(model: Path) -> None:
    file = read_model_file(model)
    assert (file.name, file.version) == ("pneumonia", "1.2.0")
    assert file.sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
    assert file.plan == a_plan()
    assert file.labels["names"] == ["normal", "ill"]
    assert file.trust == {"temperature": 1.5}
    assert file.evaluation["test"]["auroc"]["value"] == 0.9
    assert file.card.startswith("# Karte – für")
    for name, data in the_members(evidence__embeddings_json=b"[1, 2]").items():
        assert file.member(name) == data
    assert json.loads(file.member("manifest.json"))["format"] == "scanwright-model/1"


def test_any_zip_program_can_open_it(model: Path) -> None:
    with zipfile.ZipFile(model) as archive:
        assert archive.testzip() is None
        manifest = json.loads(archive.read("manifest.json"))
        assert set(archive.namelist()) == {"manifest.json", *manifest["members"]}
        for name, entry in manifest["members"].items():
            data = archive.read(name)
            assert entry == {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    unzipped = subprocess.run(
        [sys.executable, "-m", "zipfile", "-t", str(model)], capture_output=True, text=True, check=False
    )
    assert "Done testing" in unzipped.stdout


def test_the_same_members_give_the_same_bytes(tmp_path: Path) -> None:
    members = the_members()
    one = write_model_file(tmp_path / "a", members, facts=FACTS)
    two = write_model_file(tmp_path / "b", dict(reversed(members.items())), facts=FACTS)
    assert one.sha256 == two.sha256
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_every_single_changed_byte_is_refused(model: Path, tmp_path: Path, step: int) -> None:
    whole, other = model.read_bytes(), tmp_path / "changed"
    for place in range(0, len(whole), step):
        other.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << (place % 8))]) + whole[place + 1 :])
        with pytest.raises(ModelFileError, match=r"\."):
            read_model_file(other)


def test_every_truncation_and_addition_is_refused(model: Path, tmp_path: Path) -> None:
    whole, other = model.read_bytes(), tmp_path / "changed"
    places = [0, 1, 4, len(whole) - 1, *random.Random(1).sample(range(len(whole)), 60)]
    for changed in [*(whole[:p] for p in places), whole + b"\0", b"\0" + whole, whole + whole]:
        other.write_bytes(changed)
        with pytest.raises(ModelFileError, match=r"\."):
            read_model_file(other)


def rezip(path: Path, change: Any, compression: int = zipfile.ZIP_STORED) -> Path:
    """A well-made zip with other content, as a forger would make it."""
    with zipfile.ZipFile(path) as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
        comment = archive.comment
    change(members)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.comment = comment
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=compression)
    return path


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_member_is_named(model: Path, name: str) -> None:
    rezip(model, lambda members: members.pop(name))
    with pytest.raises(ModelFileError, match=f"{name}.*missing"):
        read_model_file(model)


@pytest.mark.parametrize("name", ["../evil.json", "/etc/passwd", "evidence/../../x.json", "C:\\x.json"])
def test_names_that_lead_out_are_refused(model: Path, name: str) -> None:
    rezip(model, lambda members: members.update({name: b"{}"}))
    with pytest.raises(ModelFileError, match="leads out|not in its manifest"):
        read_model_file(model)


def test_an_undeclared_member_is_refused(model: Path) -> None:
    rezip(model, lambda members: members.update({"evidence/more.json": b"{}"}))
    with pytest.raises(ModelFileError, match="not in its manifest"):
        read_model_file(model)


def test_a_member_twice_is_refused(model: Path) -> None:
    with zipfile.ZipFile(model, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("card.md", b"another")
    with pytest.raises(ModelFileError, match="twice"):
        read_model_file(model)


def test_a_compressed_bomb_is_refused_unopened(model: Path) -> None:
    rezip(model, lambda members: members.update({"card.md": b"\0" * (64 << 20)}), zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelFileError, match="compressed"):
        read_model_file(model)


def test_an_unknown_format_is_refused(model: Path) -> None:
    def newer(members: dict[str, bytes]) -> None:
        members["manifest.json"] = members["manifest.json"].replace(b"scanwright-model/1", b"scanwright-model/9")

    rezip(model, newer)
    with pytest.raises(ModelFileError, match="scanwright-model/9.*reads 'scanwright-model/1'.*Update"):
        read_model_file(model)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + b"\0" * 100, pickle.dumps({"a": 1})])
def test_what_is_no_zip_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(ModelFileError, match="not a zip file"):
        read_model_file(tmp_path / "m")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no model file"):
        read_model_file(tmp_path / "m")


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (canary,)

    poison = pickle.dumps(Evil())
    for name in ("network.onnx", "plan.json", "trust.json"):
        with pytest.raises(ModelFileError, match="not an ONNX|not JSON|not UTF-8|plan"):
            write_model_file(tmp_path / "m", the_members() | {name: poison}, facts=FACTS)
    for name in ("weights.pt", "evidence/x.pkl", "evidence/x.npy", "evidence/x.py", "hooks.yaml"):
        with pytest.raises(ModelFileError, match="would hold a member"):
            write_model_file(tmp_path / "m", the_members() | {name: poison}, facts=FACTS)
    read_model_file(write_model_file(tmp_path / "m", the_members() | {"weights.safetensors": poison}, facts=FACTS).path)
    assert not canary.exists()


def test_external_data_is_refused_wherever_it_hides(tmp_path: Path) -> None:
    def external(tensor: onnx.TensorProto) -> onnx.TensorProto:
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../../etc/passwd")
        return tensor

    def initializer(graph: onnx.GraphProto) -> None:
        external(graph.initializer[0])

    def constant(graph: onnx.GraphProto) -> None:
        tensor = external(numpy_helper.from_array(np.ones(3, np.float32), "c"))
        graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))

    def branch(graph: onnx.GraphProto) -> None:
        inner = helper.make_graph([], "inner", [], [], [external(numpy_helper.from_array(np.ones(3, np.float32), "c"))])
        graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner))

    for hide in (initializer, constant, branch):
        network = a_network(inside=hide).SerializeToString()
        assert read_onnx_facts(network).external
        with pytest.raises(ModelFileError, match="tensors in another file"):
            write_model_file(tmp_path / "m", the_members() | {"network.onnx": network}, facts=FACTS)


def test_onnx_facts_agree_with_the_onnx_library() -> None:
    network = a_network()
    facts = read_onnx_facts(network.SerializeToString())
    assert facts.inputs == tuple(i.name for i in network.graph.input)
    assert facts.outputs == tuple(o.name for o in network.graph.output)
    assert not facts.external


def test_onnx_mutants_never_crash() -> None:
    whole, chance = a_network().SerializeToString(), random.Random(0)
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with contextlib.suppress(ModelFileError):  # refused, or still a network: nothing else may happen
            read_onnx_facts(bytes(data[: chance.randrange(1, len(data) + 1)]))


def test_a_network_of_another_kind_is_refused(tmp_path: Path) -> None:
    network = a_network()
    network.graph.output[0].name = "scores"
    with pytest.raises(ModelFileError, match="must take 'image' and give 'logits'"):
        write_model_file(tmp_path / "m", the_members() | {"network.onnx": network.SerializeToString()}, facts=FACTS)


def test_labels_must_be_those_of_the_plan(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="not the classes of its plan"):
        write_model_file(tmp_path / "m", the_members() | {"labels.json": b'{"names": ["ill", "normal"]}'}, facts=FACTS)


def test_a_failed_write_leaves_the_older_file(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = model.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ResourceError, match="disk is full"):
        write_model_file(model, the_members() | {"card.md": b"# New"}, facts=FACTS)
    assert model.read_bytes() == before
    assert [p.name for p in model.parent.iterdir()] == [model.name]


def test_a_file_changed_after_opening_is_noticed(model: Path) -> None:
    file = read_model_file(model)
    whole = model.read_bytes()
    place = whole.index(file.member("network.onnx"))
    model.write_bytes(whole[: place + 20] + bytes([whole[place + 20] ^ 1]) + whole[place + 21 :])
    with pytest.raises(ModelFileError, match=r"network\.onnx has changed"):
        file.member("network.onnx")
    with pytest.raises(ModelFileError, match="has no member 'x'"):
        file.member("x")


def test_a_signature_holds_only_for_its_key(tmp_path: Path) -> None:
    path = tmp_path / "m"
    assert write_model_file(path, the_members(), facts=FACTS, key=b"secret").signed
    assert read_model_file(path, key=b"secret").signed
    assert not read_model_file(path).signed
    manifest = read_model_file(path).manifest
    unsigned = json.dumps({**manifest, "signature": None}, indent=2, ensure_ascii=False) + "\n"
    assert manifest["signature"]["value"] == hmac.new(b"secret", unsigned.encode(), "sha256").hexdigest()
    with pytest.raises(ModelFileError, match="does not belong to this key"):
        read_model_file(path, key=b"other")
    write_model_file(path, the_members(), facts=FACTS)
    with pytest.raises(ModelFileError, match="is not signed"):
        read_model_file(path, key=b"secret")


def test_a_forged_but_consistent_file_is_caught_by_the_signature(tmp_path: Path) -> None:
    signed = write_model_file(tmp_path / "m", the_members(), facts=FACTS, key=b"secret")
    forged = write_model_file(tmp_path / "f", the_members() | {"card.md": b"# Trust me"}, facts=FACTS, key=b"guess")
    assert signed.sha256 != forged.sha256
    with pytest.raises(ModelFileError, match="does not belong to this key"):
        read_model_file(tmp_path / "f", key=b"secret")


def test_facts_may_not_overwrite_the_manifest(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="fact 'members'"):
        write_model_file(tmp_path / "m", the_members(), facts={"members": {}})


def test_reading_imports_no_onnx_and_no_torch(model: Path) -> None:
    code = (
        "import sys\nfrom scanwright.io.model_file import read_model_file\n"
        f"read_model_file({str(model)!r})\n"
        "print(sorted({'torch', 'onnx', 'openvino', 'safetensors'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_zip64_and_foreign_archives_are_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("manifest.json", "w", force_zip64=True) as member:
        member.write(b"{}")
    (tmp_path / "m").write_bytes(buffer.getvalue())
    with pytest.raises(ModelFileError, match=r"format|manifest|bytes"):
        read_model_file(tmp_path / "m")

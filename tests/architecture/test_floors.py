"""A folder of scans falls through the house; no room calls upstairs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "scanwright"

FLOORS = {
    "core": 0,
    "io": 1,
    "preprocessing": 1,
    "models": 1,
    "evaluation": 1,
    "trust": 1,
    "intake": 2,
    "plan": 2,
    "inference": 2,
    "phantom": 2,
    "privacy": 2,
    "training": 3,
    "explain": 3,
    "report": 3,
    "generation": 3,
    "journey": 4,
    "workflow": 5,
    "serving": 6,
    "scale": 6,
    "cli": 7,
    "__main__": 8,
}
ALSO_FORBIDDEN = {("plan", "io")}
ONLY = {
    "serving": {"core", "workflow", "io"},
    "scale": {"core", "workflow"},
    "cli": {"core", "workflow", "serving", "scale"},
}
HEAVY = {"torch", "monai", "pydicom", "matplotlib", "fastapi", "ray", "pandas", "sklearn", "SimpleITK", "openvino"}


def files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def room(path: Path) -> str:
    first = path.relative_to(SOURCE).parts[0]
    return first.removesuffix(".py")


def imports(path: Path, *, top_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_only else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the full name"
            found |= {
                f"{node.module}.{a.name}" if node.module == "scanwright" else str(node.module) for a in node.names
            }
    return found


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_room_imports_lower_floors_only(path: Path) -> None:
    here = room(path)
    if here == "__init__":
        return
    assert here in FLOORS, f"{here} has no floor: give it one in this table"
    for name in imports(path):
        if not name.startswith("scanwright."):
            continue
        there = name.split(".")[1]
        if there == here or there not in FLOORS:
            continue
        assert FLOORS[there] < FLOORS[here], f"{path.name} ({here}) calls upstairs: {name}"
        assert (here, there) not in ALSO_FORBIDDEN, f"{here} must not import {there}"
        assert there in ONLY.get(here, {there}), f"{here} may import {sorted(ONLY[here])} only, not {there}"


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_assert_print_or_bare_except_in_src(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not isinstance(node, ast.Assert), f"{path}:{node.lineno} assert"
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), f"{path}:{node.lineno} bare except"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"{path}:{node.lineno} print"


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_environment_variables_are_read_in_cli_only(path: Path) -> None:
    if room(path) == "cli":
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"environ", "getenv"}, f"{path}:{node.lineno} reads the environment"


@pytest.mark.parametrize(
    "path",
    [p for p in files() if room(p) in {"core", "cli", "workflow", "__init__"}],
    ids=lambda p: str(p.relative_to(SOURCE)),
)
def test_core_and_cli_import_nothing_heavy_at_the_top(path: Path) -> None:
    heavy = {name.split(".")[0] for name in imports(path, top_only=True)} & HEAVY
    assert not heavy, f"{path} imports {heavy} at the top"


def test_every_raises_in_tests_has_a_match() -> None:
    for path in sorted((SOURCE.parents[1] / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "raises":
                assert any(k.arg == "match" for k in node.keywords), (
                    f"{path}:{node.lineno} pytest.raises without match="
                )

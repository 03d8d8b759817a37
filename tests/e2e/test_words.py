"""Help, facts and the Python door answer at once and say the same verbs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

Typed = Callable[..., subprocess.CompletedProcess[str]]
VERBS = (
    "scan",
    "check",
    "plan",
    "prepare",
    "train",
    "evaluate",
    "explain",
    "pack",
    "predict",
    "serve",
    "run",
    "demo",
    "phantom",
    "fetch",
    "generate",
    "pretrain",
    "adopt",
    "doctor",
    "info",
)


def test_help_names_every_verb(typed: Typed) -> None:
    found = typed("--help")
    assert found.returncode == 0
    assert [v for v in VERBS if v not in found.stdout] == []


def test_info_is_json_for_programs(typed: Typed) -> None:
    facts = json.loads(typed("info").stdout)
    assert set(VERBS) <= set(facts["commands"])
    assert facts["can_train"] is True
    assert facts["formats"]["model"] == "scanwright-model/1"


def test_doctor_says_what_the_machine_can_do(typed: Typed) -> None:
    facts = json.loads(typed("doctor", "--json").stdout)
    assert "core" in facts["processor"]
    assert facts["training"] == "ready"
    assert "openvino" in facts["prediction"]


def test_help_and_info_import_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['scanwright', '{word}']\n"
        "from scanwright.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {{'torch', 'numpy', 'pydicom', 'pandas', 'matplotlib', 'fastapi', 'scipy', 'openvino'}} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    for word in ("--help", "info"):
        found = subprocess.run(
            [sys.executable, "-c", code.format(word=word)], capture_output=True, text=True, check=False
        )
        assert found.returncode == 0, found.stderr


def test_importing_the_package_costs_no_torch() -> None:
    code = "import sys, scanwright as sw; sw.Budget.parse('1m'); sw.run; sw.scan; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

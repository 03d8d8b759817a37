"""The last stage: the model file and the report."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from scanwright.core import Cohort, Emit, Evaluation, Finding, Plan, Said
from scanwright.io import read_cohort, write_model_file
from scanwright.io.run_folder import RunFolder, stage_events
from scanwright.journey.beginning import weights_facts
from scanwright.journey.explaining import Explained, members
from scanwright.journey.learning import train_digest
from scanwright.journey.request import Request
from scanwright.journey.roads import AnyStore

if TYPE_CHECKING:
    from scanwright.training import Trained

_LIBRARIES = (
    "torch",
    "monai",
    "lightning-fabric",
    "scikit-learn",
    "numpy",
    "scipy",
    "openvino",
    "onnxruntime",
    "pydicom",
    "nibabel",
)


def pack(
    folder: RunFolder,
    request: Request,
    plan: Plan,
    store: AnyStore,
    trained: Trained,
    found: tuple[Explained, Sequence[Evaluation], Sequence[Finding]],
    emit: Emit,
) -> None:
    """Write ``report.html`` and ``model.scanwright``.

    Args:
        folder: Run folder.
        request: What was asked for.
        plan: Plan.
        store: Prepared arrays, whose hashes go into the model file.
        trained: Weights and learning curves.
        found: Explanations, evaluations and findings.
        emit: Receiver of events.
    """
    from scanwright.report import ReportContents, model_card, write_report

    explained, evaluations, findings = found
    with stage_events("pack", emit):
        cohort = read_cohort(folder.path)
        contents = ReportContents(
            title=cohort.name,
            cohort=cohort,
            findings=list(findings),
            plan=plan,
            history=trained.history,
            race=trained.race,
            evaluations=list(evaluations),
            samples=explained.samples,
            explained=explained.cases,
            examination=explained.examination,
            segments=explained.segments,
            codes=_codes(cohort),
            units=_units(cohort, plan, folder),
            provenance=provenance(folder, cohort, plan, trained.seconds),
            command=command(request, folder),
            notes=list(trained.notes),
        )
        parts = members(folder, plan, card=model_card(contents))
        parts["weights.safetensors"] = trained.weights.read_bytes()
        parts["evidence/seen.json"] = _seen(store)
        facts = {
            "name": cohort.name,
            "version": _model_version(trained),
            "scanwright": _installed("scanwright"),
            "models": list(trained.chosen),
            "modality": cohort.modality,
            "use": "research use – not a medical device",
        }
        model = write_model_file(folder.model, parts, facts=facts)
        facts_of_origin = {**contents.provenance, "model file (SHA-256)": model.sha256}
        write_report(folder.report, replace(contents, provenance=facts_of_origin))
        folder.mark_done("pack", train_digest(plan, store))
        size_mb = folder.model.stat().st_size / 1e6
        emit(Said(stage="pack", text=f"The model file holds everything that is needed to predict ({size_mb:.1f} MB)."))


def _codes(cohort: Cohort) -> dict[str, str]:
    """Structures with their codes in SNOMED CT, as DICOM objects name them."""
    if cohort.task != "segment":
        return {}
    from scanwright.io.dicom.structures import structure

    codes = {name: structure(name).type for name in cohort.classes}
    return {name: f"{code.scheme} {code.value} {code.meaning}" for name, code in codes.items()}


def _units(cohort: Cohort, plan: Plan, folder: RunFolder) -> dict[str, str]:
    """What amounts are measured in where they are no volumes."""
    if cohort.task != "segment" or cohort.dimension == 3:
        return {}
    known = folder.json("fingerprint.json").get("spacing_median") is not None
    return {"mm": "mm", "mL": "mm²"} if known else {"mm": "pixels", "mL": "pixels"}


def provenance(folder: RunFolder, cohort: Cohort, plan: Plan | None, seconds: float) -> dict[str, str]:
    """Where the figures come from, in words.

    Args:
        folder: Run folder.
        cohort: Cohort.
        plan: Plan, None for an evaluation elsewhere.
        seconds: Training time.

    Returns:
        Label to text.
    """
    facts = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "Scanwright": _installed("scanwright"),
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "libraries": ", ".join(f"{name} {_installed(name)}" for name in _LIBRARIES if _installed(name)),
        "cohort file (SHA-256)": _sha256((folder / "cohort.csv").read_bytes())
        if (folder / "cohort.csv").exists()
        else "",
    }
    if plan is not None:
        facts["plan (SHA-256)"] = _sha256(plan.to_json().encode())
        facts["seed"] = str(plan.seed)
        facts["training time"] = f"{seconds:.0f} s"
        if plan.pretrained is not None:
            facts |= weights_facts(plan.pretrained)
    facts.update({f"cohort: {key}": text for key, text in cohort.facts.items()})
    return facts


def command(request: Request, folder: RunFolder) -> str:
    """The command that makes this run again."""
    words = [
        "scanwright",
        "run",
        str(request.source),
        "--out",
        str(folder.path),
        "--budget",
        f"{request.budget.seconds:g}s",
    ]
    words += ["--seed", str(request.seed)]
    for option in (
        "task",
        "labels",
        "patient",
        "layout",
        "structures",
        "modality",
        "sequence",
        "box_size",
        "columns",
        "plan",
        "pretrained",
    ):
        value = getattr(request, option)
        if value is not None:
            words += [f"--{option.replace('_', '-')}", str(value)]
    return " ".join(f'"{w}"' if " " in w else w for w in words)


def _seen(store: AnyStore) -> bytes:
    """Hashes of the images that chose or trained the model, so that no test elsewhere counts them."""
    rows = [*store.rows("train"), *store.rows("val")]
    return json.dumps(
        {"method": "blake2b-64 of the prepared array", "hashes": sorted(store.seen[i] for i in rows)}
    ).encode()


def _model_version(trained: Trained) -> str:
    return f"1.0.0+{_sha256(trained.weights.read_bytes())[:8]}"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def is_packed(folder: RunFolder, plan: Plan, store: AnyStore) -> bool:
    """Whether the model file and the report of just this training are there."""
    return folder.is_done("pack", train_digest(plan, store), "model.scanwright", "report.html")

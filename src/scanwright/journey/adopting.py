"""A network that was trained elsewhere becomes a model file; on labelled images it is calibrated, examined and judged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scanwright.core import (
    Augmentation,
    Case,
    Cohort,
    CohortError,
    Emit,
    Evaluation,
    InputError,
    Intensity,
    Memory,
    Plan,
    Preprocessing,
    Said,
    Task,
    Training,
)
from scanwright.io import ModelFile, read_case, write_model_file
from scanwright.io.run_folder import RunFolder, stage_events
from scanwright.io.store import label_array, voxel_hash
from scanwright.journey import survey
from scanwright.journey.elsewhere import UNSEEN, as_the_model_says, judge_elsewhere
from scanwright.journey.request import Request

if TYPE_CHECKING:
    from scanwright.training.adopt import Adopted

VALUES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "0..1": ((0.0,), (1.0,)),
    "-1..1": ((0.5,), (0.5,)),
    "0..255": ((0.0,), (1 / 255,)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "zscore": ((0.5,), (0.05,)),
}
"""What a network was trained to see, and the mean and spread that turn 0 .. 1 into it. ``imagenet`` is torchvision's;
``zscore`` is each image by its own mean and spread, clipped at ten of them."""
_SCORED = 10.0
_MOST_FITTED = 4000
"""Most cases that calibrate: more tell little, and all of them are in memory."""
_TASKS = ("binary", "multiclass", "multilabel", "regress")


@dataclass(frozen=True)
class Adoption:
    """What a person says of a network from elsewhere.

    Args:
        network: The ONNX file.
        classes: Names of the classes in the order of its outputs; one name for a number.
        values: A key of :data:`VALUES`.
        window: Low and high end, in the images' unit, of what becomes 0 .. 1; None: 0 to 255.
        size: Sides of the image where the file leaves them open.
        order: Whether channels come first or last, None to work it out.
        task: Of :data:`_TASKS`; None: worked out from classes and outputs.
        modality: DICOM code of the images it is for.
        licence: Of the weights.
        name: Of the model; the file's if None.

    Raises:
        InputError: A value is not one of those allowed.
    """

    network: Path
    classes: tuple[str, ...]
    values: str = "0..1"
    window: tuple[float, float] | None = None
    size: tuple[int, ...] | None = None
    order: Literal["first", "last"] | None = None
    task: Task | None = None
    modality: str | None = None
    licence: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.values not in VALUES:
            near = get_close_matches(self.values, VALUES, n=1, cutoff=0.4)
            raise InputError(
                f"There are no values {self.values!r}.",
                f"A network sees {', '.join(VALUES)}.",
                f"Did you mean --values {near[0]}?" if near else "Name what it was trained with.",
            )
        if not self.classes or len(set(self.classes)) < len(self.classes) or not all(self.classes):
            raise InputError(
                f"The classes are {', '.join(self.classes) or 'not named'}.",
                "Every output has a name of its own.",
                "Write --classes normal,pneumonia in the order of the outputs.",
            )
        if self.window is not None and not self.window[1] > self.window[0]:
            raise InputError(
                f"The window goes from {self.window[0]:g} to {self.window[1]:g}.",
                "Its high end is above its low end.",
                "Write --window=-1000,400 for a lung window, for example.",
            )
        if self.order not in (None, "first", "last"):
            raise InputError(
                f"Channels cannot come {self.order!r}.", "They come first or last.", "Write --channels last."
            )
        if self.task not in (None, *_TASKS):
            raise InputError(
                f"A network for {self.task} cannot be adopted.",
                f"Tasks are {', '.join(_TASKS)}.",
                "Leave --task out to have it worked out.",
            )
        if not self.network.is_file():
            raise InputError(f"{self.network} does not exist.", "A network is an ONNX file.", "Check the path.")


def adopt(folder: RunFolder, wish: Adoption, request: Request | None, emit: Emit) -> ModelFile:
    """Write ``model.scanwright``; with a cohort also ``metrics.json``, ``predictions.csv`` and ``report.html``.

    Calibration, operating point and the examination of the heat maps are fitted on the cohort's validation
    part (of a cohort without parts: on all that is not drawn for the test), figures come from its test part.

    Args:
        folder: Where to write.
        wish: What is said of the network.
        request: The labelled cohort and what is known of it; None for none.
        emit: Receiver of events.

    Returns:
        The model file.

    Raises:
        InputError: The network is not one that can be adopted, or does not fit the classes.
        CohortError: The cohort's classes are not the network's.
    """
    from scanwright.training.adopt import adopt_network

    content = wish.network.read_bytes()
    with stage_events("pack", emit):
        found = adopt_network(
            content,
            size=wish.size,
            order=wish.order,
            classes=len(wish.classes) if wish.task in (None, "binary") else None,
        )
        for note in found.notes:
            emit(Said(stage="pack", text=note))
        plan = _plan(wish, found)
    facts = {
        "file": wish.network.name,
        "SHA-256": hashlib.sha256(content).hexdigest(),
        "licence of the weights": wish.licence or "not stated: ask its maker before you use or share it",
        "images": f"{wish.modality or 'any modality'}, {' x '.join(map(str, found.size))}, "
        f"{'grey' if found.channels == 1 else 'colour'}, {_seen_as(wish)}",
    }
    pack = _Packer(folder, wish, plan, found, facts)
    model = pack.write({}, [], _warnings(wish, judged=False))
    if request is None:
        emit(Said(stage="pack", level="warn", text="It was judged on no labelled images: name some with --cohort."))
        return model
    cohort = survey.scan(folder, request, emit)
    cohort, _ = survey.check(folder, cohort, request, emit)
    cohort = as_the_model_says(cohort, model)
    fitted = [c for c in cohort.cases if c.part == "val" or (c.part == "train" and not cohort.parts_given)]
    fitted = [fitted[k] for k in sorted(np.random.default_rng(request.seed).permutation(len(fitted))[:_MOST_FITTED])]
    if not fitted or not cohort.of("test"):
        raise CohortError(
            f"{cohort.name} has {len(fitted)} labelled images to calibrate with and {len(cohort.of('test'))} to judge on.",
            "An adopted network is calibrated on one part and judged on another.",
            "Name a cohort with more labelled images, or leave --cohort out.",
        )
    trust, seen = _trust(plan, found, cohort, fitted, emit)
    pack.seen, pack.fingerprint = seen, _fingerprint(cohort.with_cases(fitted), emit)
    model = pack.write(trust, [], _warnings(wish, judged=False))
    evaluations = judge_elsewhere(folder, model, cohort.with_cases(cohort.of("test")), emit)
    return pack.write(trust, evaluations, _warnings(wish, judged=True))


@dataclass
class _Packer:
    """The model file, written anew whenever more is known."""

    folder: RunFolder
    wish: Adoption
    plan: Plan
    found: Adopted
    facts: dict[str, str]
    seen: bytes = b""
    fingerprint: bytes = b""

    def write(self, trust: dict[str, Any], evaluations: Sequence[Evaluation], warnings: Sequence[str]) -> ModelFile:
        from scanwright.evaluation import metrics_json
        from scanwright.report.adopted import adopted_card

        name = self.wish.name or self.wish.network.stem
        members = {
            "plan.json": self.plan.to_json().encode(),
            "network.onnx": self.found.network,
            "labels.json": _json({"names": list(self.plan.classes)}),
            "trust.json": _json(trust),
            "evaluation.json": _json(metrics_json(evaluations)),
            "card.md": adopted_card(name, self.facts, self.found.notes, evaluations, warnings).encode(),
            **({"fingerprint.json": self.fingerprint} if self.fingerprint else {}),
            **({"evidence/seen.json": self.seen} if self.seen else {}),
        }
        about = {
            "name": name,
            "version": f"1.0.0+{self.facts['SHA-256'][:8]}",
            "models": ["adopted"],
            "modality": self.wish.modality,
            "use": "research use – not a medical device",
        }
        return write_model_file(self.folder.model, members, facts=about)


def _plan(wish: Adoption, found: Adopted) -> Plan:
    n, k = found.n_logits, len(wish.classes)
    task: Task = wish.task or _task(found, k)
    needed = {"binary": 1, "regress": 1}.get(task, k)
    if n != needed or (task == "binary" and k != 2) or (task == "regress" and k != 1):
        raise InputError(
            f"The network gives {n} {'number' if n == 1 else 'numbers'} and {k} {'class is' if k == 1 else 'classes are'} named.",
            "There is a name for each output; of one output between two classes, both are named.",
            "Name them in the order of the outputs with --classes.",
        )
    mean, spread = VALUES[wish.values]
    if len(mean) > found.channels:
        mean, spread = (float(np.mean(mean)),), (float(np.mean(spread)),)
    if wish.values == "zscore":
        scale = Intensity(method="zscore", low=0.0, high=_SCORED, mean=mean, std=spread)
    else:
        low, high = wish.window or (0.0, 255.0)
        scale = Intensity(method="window", low=low, high=high, mean=mean, std=spread)
    dimension: Literal[2, 3] = 2 if len(found.size) == 2 else 3
    return Plan(
        task=task,
        classes=wish.classes,
        preprocessing=Preprocessing(
            dimension=dimension,
            size=found.size,
            channels=found.channels,
            orientation="RAS" if dimension == 3 else None,
            intensity=scale,
        ),
        augmentation=Augmentation.model_validate({}),
        training=Training.model_validate({"budget_s": 0.0}),
        candidates=(),
        memory=Memory(predicted_mb=0.0, limit_mb=0.0),
        reasons={
            "preprocessing.size": "The network's own.",
            "preprocessing.intensity": f"As was said of the network: {_seen_as(wish)}.",
            "candidates": "None: the network was trained elsewhere and adopted.",
        },
    )


def _task(found: Adopted, n_classes: int) -> Task:
    if found.n_logits == 1:
        return "binary" if n_classes == 2 else "regress"
    return "multilabel" if found.activation == "sigmoid" else "multiclass"


def _seen_as(wish: Adoption) -> str:
    if wish.values == "zscore":
        return "each by its own mean and spread"
    low, high = wish.window or (0.0, 255.0)
    return f"{low:g} to {high:g} seen as {wish.values}"


def _warnings(wish: Adoption, *, judged: bool) -> list[str]:
    told = (
        [UNSEEN] if judged else ["It was judged on no labelled images here, and its probabilities are not calibrated."]
    )
    told.append(
        "Size, channels and values are taken as its maker is said to have trained it; another scale makes other answers."
    )
    if not wish.licence:
        told.append("The licence of its weights is not stated.")
    return [*told, "Which patients, scanners and sites it was trained on is not known here."]


def _trust(
    plan: Plan, found: Adopted, cohort: Cohort, cases: Sequence[Case], emit: Emit
) -> tuple[dict[str, Any], bytes]:
    """Calibration and the examination of heat maps, and the hashes of the images that they come from."""
    from scanwright.explain import best_explainer
    from scanwright.inference import Predictor
    from scanwright.trust import fit_trust

    predictor = Predictor.from_network(found.network, plan)
    with stage_events("evaluate", emit):
        arrays = np.stack([predictor.prepare(read_case(c, root=cohort.root)) for c in cases])
        logits = predictor.run(arrays)["logits"]
        labels = label_array(cases, cohort)
        trust = fit_trust(logits, labels, task=plan.task, classes=plan.classes, rule=plan.operating_point).to_dict()
    with stage_events("explain", emit):
        predictor = Predictor.from_network(found.network, plan, trust=trust)
        rows = np.random.default_rng(plan.seed).permutation(len(arrays))[:64]
        told = best_explainer(predictor, arrays[rows], seed=plan.seed, emit=emit)
        emit(Said(stage="explain", text=told.sentence))
    seen = {"method": "blake2b-64 of the prepared array", "hashes": sorted(voxel_hash(a) for a in arrays)}
    return {**trust, "explanation": told.to_dict()}, _json(seen)


def _fingerprint(cohort: Cohort, emit: Emit) -> bytes:
    from scanwright.plan.fingerprint import measure

    unsplit = cohort.with_cases(replace(c, part=None) for c in cohort.cases)
    return (
        measure(unsplit, lambda case: read_case(case, root=cohort.root), emit=emit).model_dump_json(indent=2).encode()
    )


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=2).encode()

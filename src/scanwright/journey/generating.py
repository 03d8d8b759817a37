"""From a folder of images to new ones: learn, judge, draw, write; or draw again from what was learnt."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from scanwright.core import Emit, Progress, Said, ScanwrightError
from scanwright.io import GeneratorFile, RunFolder, read_generator_file, write_generator_file, write_json
from scanwright.io.generator_file import is_model_zip
from scanwright.io.run_folder import stage_events
from scanwright.io.synthetic import check_room
from scanwright.journey.generate.asking import WORK, Wish, check_out, shares
from scanwright.journey.generate.judging import Eye, Judged, judge, neighbours, open_eye
from scanwright.journey.generate.learning import (
    CLASSIFIER_SHARE,
    DRAW_SHARE,
    RESERVE,
    Learning,
    learn_generator,
    prepare,
)
from scanwright.journey.generate.writing import Drawn, Look, draw, facts_of, look_from, seconds_words, write_images

GENERATOR = "generator.scanwright"
QUALITY = "quality.json"

_FIRST, _LEAST_JUDGED, _MOST_JUDGED = 16, 48, 4000
_SHOWN, _PAIRS = 24, 8


@dataclass(frozen=True)
class Generated:
    """What was written.

    Args:
        path: Folder.
        files: Images.
        generator: The generator's file.
        report: The page; None where an existing generator was asked.
        quality: Content of ``quality.json``.
        notes: What a person should know.
    """

    path: Path
    files: list[Path]
    generator: Path
    report: Path | None = None
    quality: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def generate(wish: Wish, emit: Emit, *, most_steps: int | None = None) -> Generated:
    """Learn a generator and draw from it, or draw from one that was learnt.

    Args:
        wish: What was asked for.
        emit: Receiver of events.
        most_steps: Most steps of each network.

    Returns:
        What was written.

    Raises:
        ScanwrightError: What is wrong, what is needed and how to mend it.
    """
    check_out(wish.out)
    if is_model_zip(wish.source):
        return _again(wish, emit)
    hidden = RunFolder(wish.out / WORK)
    with hidden.opened(emit) as tell:
        made = _learn(hidden, wish, tell, most_steps)
    shutil.rmtree(hidden.path, ignore_errors=True)  # prepared images of patients do not stay beside synthetic ones
    return made


def _again(wish: Wish, emit: Emit) -> Generated:
    """Draw from a generator's file; training images are not in it."""
    from scanwright.generation import STEPS, Generator
    from scanwright.generation.sizes import Design

    file = read_generator_file(wish.source)
    classes = tuple(str(name) for name in file.facts["classes"])
    look = look_from(dict(file.facts["look"]))
    wanted, kind = shares(wish.classes, classes, wish.count), look.format_of(wish.format)
    design = Design.of(dict(file.facts["design"]))
    if wish.mark:
        check_room(*design.size[:2])
    with stage_events("generate", emit):
        generator = Generator.of(design, file.weights, guidance=float(file.facts["guidance"]))
        steps = wish.steps or STEPS
        drawn = draw(generator, wanted, emit, seed=wish.seed, steps=steps)
        notes = [
            "Training images are not in the generator's file, so these images were not compared with them; "
            f"when it was learnt, {_copies(file.quality)}."
        ]
        emit(Said(stage="generate", text=notes[0], level="warn" if file.quality.get("alarm") else "info"))
        files = _write(wish, drawn, look, classes, kind, file, steps)
    return Generated(wish.out, files, wish.source, quality=dict(file.quality), notes=notes)


def _copies(quality: Any) -> str:
    share = (quality.get("figures") or {}).get("copies", {}).get("value")
    return "no figure of near-copies could be given" if share is None else f"{share:.1%} were near-copies"


def _learn(folder: RunFolder, wish: Wish, emit: Emit, most_steps: int | None) -> Generated:
    from scanwright.generation import STEPS

    began = monotonic()
    made = prepare(folder, wish, emit, most_steps=most_steps)
    look = Look.of(made.spec, made.fingerprint)
    wanted, kind = shares(wish.classes, made.classes, wish.count), look.format_of(wish.format)
    with stage_events("generate", emit):
        eye = open_eye(folder, made, emit, seed=wish.seed)
        later = DRAW_SHARE + RESERVE + (CLASSIFIER_SHARE if eye.auroc is not None else 0.0)
        left = wish.budget.seconds * (1 - later) - (monotonic() - began)
        generator = learn_generator(folder, made, wish, emit, seconds=left, most_steps=most_steps)
        steps = wish.steps or STEPS
        shown = _draw_to_judge(generator, made, wish, emit, steps)
        judged = judge(folder, made, eye, shown.images, shown.labels, emit, seed=wish.seed)
        _say_alarm(judged, made, emit)
        quality = judged.to_dict()
        facts = {
            "cohort": made.cohort.name,
            "cohort_facts": {str(k): str(v) for k, v in made.cohort.facts.items()},
            "seed": wish.seed,
            "steps": made.steps,
            "n_train": len(made.train),
        }
        members = {
            "generator.json": facts_of(generator, made.spec, look, made.classes, facts),
            "quality.json": _json(quality),
            "weights.safetensors": generator.weights(),
        }
        file = write_generator_file(wish.out / GENERATOR, members, name=made.cohort.name)
        write_json(wish.out / QUALITY, quality)
        drawn = draw(
            generator, wanted, emit, seed=wish.seed, steps=steps,
            near=lambda images: neighbours(made, eye, images), keep_copies=wish.keep_copies,
        )  # fmt: skip
        _say_refused(drawn, wish, made, emit)
        files = _write(wish, drawn, look, made.classes, kind, file, steps)
        made.seconds["everything"] = round(monotonic() - began, 1)
        report = _report(wish, made, look, eye, drawn, shown, quality, file)
    return Generated(wish.out, files, file.path, report, quality, made.notes)


def _draw_to_judge(generator: Any, made: Learning, wish: Wish, emit: Emit, steps: int) -> Drawn:
    """As many images as there is time for, in the proportions of the training part."""
    from scanwright.generation import seeds_of

    began = monotonic()
    rng = np.random.default_rng([wish.seed, 5])
    n_most = min(_MOST_JUDGED, max(len(made.train), _LEAST_JUDGED))
    labels = rng.choice(made.labels(made.train), n_most)
    seeds = seeds_of(wish.seed, "judged", n_most)
    first = generator.draw(labels[:_FIRST], seeds[:_FIRST], steps=steps)
    pace = (monotonic() - began) / _FIRST
    n = int(np.clip(DRAW_SHARE * wish.budget.seconds / max(pace, 1e-6), _LEAST_JUDGED, n_most))

    def tell(k: int) -> None:
        left = (n - _FIRST - k) * pace
        emit(Progress(stage="generate", step="Drawing images to judge", done=_FIRST + k, total=n, left_s=max(left, 0)))

    rest = generator.draw(labels[_FIRST:n], seeds[_FIRST:n], steps=steps, tell=tell)
    made.seconds["drawing to judge"] = round(monotonic() - began, 1)
    made.seconds["drawing one image"] = round((monotonic() - began) / n, 3)
    return Drawn(np.concatenate([first, rest]), labels[:n], seeds[:n], {})


def _write(
    wish: Wish, drawn: Drawn, look: Look, classes: tuple[str, ...], kind: str, file: GeneratorFile, steps: int
) -> list[Path]:
    licence = str(dict(file.facts.get("cohort_facts") or {}).get("licence", ""))
    mark = {"generator": file.name, "sha256": file.sha256, "steps": steps, "licence": licence}
    return write_images(wish.out, drawn, look, classes=classes, kind=kind, mark=mark, visible=wish.mark)


def _say_alarm(judged: Judged, made: Learning, emit: Emit) -> None:
    if judged.alarm:
        made.said(
            emit,
            f"Memorisation alarm: {judged.figures['copies']['value']:.1%} of the synthetic images are nearly training images. "
            "Do not share the generator where the training images may not be shared; learn from more images, or for a shorter time.",
            warn=True,
        )


def _say_refused(drawn: Drawn, wish: Wish, made: Learning, emit: Emit) -> None:
    if drawn.refused:
        made.said(emit, f"{drawn.refused} near-copies of training images were drawn and not written.", warn=True)
    if wish.keep_copies and drawn.near and drawn.near["copies"].any():
        n = int(drawn.near["copies"].sum())
        made.said(emit, f"{n} near-copies of training images were written, as --keep-copies asks.", warn=True)
    if not len(drawn.images):
        raise ScanwrightError(
            "Every image that was drawn is nearly a training image.",
            "Near-copies are not written, since they show patients.",
            "Learn from more images or with a smaller --budget, or write them with --keep-copies.",
        )


def _report(
    wish: Wish,
    made: Learning,
    look: Look,
    eye: Eye,
    drawn: Drawn,
    shown: Drawn,
    quality: dict[str, Any],
    file: GeneratorFile,
) -> Path:
    from scanwright.report.generation import GenerationContents, write_generation_report

    names = made.classes or ("",)
    real = {
        name: [look.picture(x) for x in made.images(made.train[made.labels(made.train) == k][:_SHOWN])]
        for k, name in enumerate(names)
    }
    synthetic = {
        name: [look.picture(x) for x in shown.images[shown.labels == k][:_SHOWN]] for k, name in enumerate(names)
    }
    closest = np.argsort(drawn.near["pixels"])[:_PAIRS] if drawn.near else np.array([], dtype=int)
    pairs = [
        {
            "synthetic": look.picture(drawn.images[k]),
            "real": look.picture(made.images(made.train[drawn.near["row"][k]][None])[0]),
            "distance": float(drawn.near["pixels"][k]),
            "copy": bool(drawn.near["copies"][k]),
        }
        for k in closest
    ]
    contents = GenerationContents(
        title=f"Synthetic {made.cohort.name}",
        synthetic=synthetic,
        real=real,
        pairs=pairs,
        quality=quality,
        history=made.history,
        near_limit=eye.limits[0],
        notes=made.notes,
        seconds=seconds_words(made.seconds),
        provenance={
            "cohort": made.cohort.name,
            **{f"cohort: {k}": str(v) for k, v in made.cohort.facts.items()},
            "generator (SHA-256)": file.sha256,
            "seed": str(wish.seed),
            "made": str(file.manifest["created"]),
            "Scanwright": str(file.manifest["scanwright"]),
        },
        licence=str(made.cohort.facts.get("licence", "")),
        n_written=len(drawn.images),
    )
    return write_generation_report(wish.out / "report.html", contents)


def _json(value: Any) -> bytes:
    import json

    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()

"""Options that several commands share, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Source = Annotated[Path, typer.Argument(help="Folder, file or archive of images.", show_default=False)]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Run folder. Default: runs/<name>.", show_default=False)]
BudgetText = Annotated[
    str,
    typer.Option("--budget", "-b", help="How long the whole run may take: 90s, 10m, 6h, or quick, standard, thorough."),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything random.")]
TaskName = Annotated[
    str | None,
    typer.Option(
        "--task",
        help="binary, multiclass, multilabel, ordinal, regress, segment or detect. Default: inferred.",
        show_default=False,
    ),
]
Labels = Annotated[
    str | None,
    typer.Option("--labels", help="Label column, several with commas, or a table of labels.", show_default=False),
]
Patient = Annotated[str | None, typer.Option("--patient", help="Patient column.", show_default=False)]
Layout = Annotated[
    str | None, typer.Option("--layout", help="How the folder is laid out. Default: inferred.", show_default=False)
]
Modality = Annotated[
    str | None, typer.Option("--modality", help="CT, MR, DX, MG, US, PT, XC ... Default: inferred.", show_default=False)
]
SequenceOf = Annotated[
    str | None,
    typer.Option(
        "--sequence",
        help="Cases are sequences of frames: slice, time, visit, a column that orders them (phase, phase/slice), "
        "or no. Default: inferred.",
        show_default=False,
    ),
]
BoxSide = Annotated[
    str | None,
    typer.Option(
        "--box-size",
        help="For things given as points: side of the box around each, such as 24px or 8mm.",
        show_default=False,
    ),
]
ColumnsText = Annotated[
    str | None,
    typer.Option(
        "--columns",
        help="Columns of the table to learn beside the images: names with commas, or all. Default: none.",
        show_default=False,
    ),
]
Devices = Annotated[str, typer.Option("--devices", help="auto, cpu, cuda, or how many devices to train on.")]
PlanFile = Annotated[
    Path | None, typer.Option("--plan", help="Follow this plan.json instead of making one.", show_default=False)
]
PretrainedWeights = Annotated[
    str | None,
    typer.Option(
        "--pretrained",
        help="Weights to begin from: a safetensors, .pth or .scanwright file, or resnet18, resnet34, resnet50, "
        "densenet121, dino-vits16. Default: none.",
        show_default=False,
    ),
]
Repair = Annotated[
    str, typer.Option("--repair", help="auto, always or never leave out cases that check finds at fault.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print warnings and results only.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
ModelFile = Annotated[Path, typer.Argument(help="A model.scanwright file.", show_default=False)]
Structures = Annotated[
    str | None,
    typer.Option(
        "--structures",
        help="Structures to segment: label values and names, such as 1=liver,2=tumour. Default: inferred.",
        show_default=False,
    ),
]
Until = Annotated[
    str,
    typer.Option("--until", help="Stop after this stage: scan, check, plan, prepare, train, evaluate, explain."),
]

KINDS = ("nifti", "seg", "labelmap", "rtstruct", "sr", "summary", "probability", "capture", "png", "gif")
"""What `predict --write` may be asked for."""

Write = Annotated[
    str | None,
    typer.Option(
        "--write",
        help=f"Kinds of output, with commas: {', '.join(KINDS)}. Default: png, nifti and, for DICOM, seg and sr.",
        show_default=False,
    ),
]


def kinds_of(text: str | None) -> tuple[str, ...] | None:
    """Kinds of output that were asked for.

    Args:
        text: As typed, None if nothing was.

    Returns:
        Members of :data:`KINDS` in the order typed, each once; None if nothing was asked for.

    Raises:
        InputError: A kind is not known.
    """
    if text is None:
        return None
    from difflib import get_close_matches

    from scanwright.core import InputError

    kinds = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))
    for kind in kinds:
        if kind not in KINDS:
            near = get_close_matches(kind, KINDS, n=1)
            fix = f"Did you mean {near[0]}?" if near else "Leave --write out for the usual ones."
            raise InputError(f"There is no kind of output {kind!r}.", f"Kinds are {', '.join(KINDS)}.", fix)
    if not kinds:
        raise InputError("--write names no kind of output.", f"Kinds are {', '.join(KINDS)}.", "Write --write png.")
    return kinds


def numbers_of(text: str | None, option: str, between: str) -> tuple[float, ...] | tuple[int, ...] | None:
    """Numbers that were typed with a sign between them.

    Args:
        text: As typed, None if nothing was.
        option: Its name, for the error.
        between: The sign: ``"x"`` for sizes, which are whole numbers of 1 or more; ``","`` for two ends.

    Returns:
        The numbers.

    Raises:
        InputError: They are no numbers, or not of that kind.
    """
    if text is None:
        return None
    from scanwright.core import InputError

    sizes = between == "x"
    try:
        found = tuple(int(t) if sizes else float(t) for t in text.lower().split(between))
        if (sizes and min(found) < 1) or (not sizes and len(found) != 2):
            raise ValueError
    except ValueError:
        form = "224x224, or 96x96x96 of volumes" if sizes else "-1000,400"
        raise InputError(f"{option} is {text!r}.", f"It is written like {form}.", f"Correct {option}.") from None
    return found

"""What a person asks of a generator."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from scanwright.core import Budget, Cohort, InputError
from scanwright.journey.request import Request

WORK = ".learning"
"""Hidden folder in the results where learning keeps what it needs to go on; gone when it has finished."""

FEWEST, FEW = 10, 50
"""Images below which nothing is learnt, and below which what can be expected is said."""

_STEPS_MOST = 1000
_OF_THE_SCAN = ("task", "labels", "patient", "layout", "modality", "devices", "cache")


@dataclass(frozen=True)
class Wish:
    """What is to be drawn, and how it is learnt.

    Args:
        source: Folder, file or archive of images, or a ``generator.scanwright``.
        out: Folder for the images; must be new or empty, or hold a learning that has not finished.
        count: Images in all, divided evenly among the classes.
        classes: Classes to draw; all of them if empty.
        format: A key of ``io.SYNTHETIC_WRITERS``; ``png`` for pictures and ``nifti`` for volumes if None.
        seed: Seed of everything random.
        steps: Steps of the sampler; the usual number if None.
        size: Longest side of the images in pixels; worked out if None.
        mark: Whether the word SYNTHETIC is written into the pixels, too.
        keep_copies: Whether images that are nearly those of training are written all the same.
        budget: Time for learning, judging and drawing.
        request: What is known of the cohort.

    Raises:
        InputError: A value is not one of those allowed.
    """

    source: Path
    out: Path
    count: int = 64
    classes: tuple[str, ...] = ()
    format: str | None = None
    seed: int = 0
    steps: int | None = None
    size: int | None = None
    mark: bool = False
    keep_copies: bool = False
    budget: Budget = field(default_factory=lambda: Budget(1200.0))
    request: Request | None = None

    def __post_init__(self) -> None:
        from scanwright.io.synthetic import writer_of

        if self.count < 1:
            raise InputError(
                f"{self.count} images were asked for.", "A generator draws 1 image or more.", "Write --count 64."
            )
        if self.steps is not None and not 1 <= self.steps <= _STEPS_MOST:
            raise InputError(
                f"{self.steps} steps were asked for.",
                f"The sampler takes 1 to {_STEPS_MOST} steps; 10 to 50 are usual.",
                "Leave --steps out.",
            )
        if self.size is not None and not 8 <= self.size <= 512:
            raise InputError(
                f"Images of {self.size} pixels were asked for.",
                "The longest side is 8 to 512 pixels.",
                "Write --size 64, or leave it out.",
            )
        if self.seed < 0:
            raise InputError(f"The seed is {self.seed}.", "A seed is 0 or more.", "Write --seed 0.")
        if self.format is not None:
            writer_of(self.format)

    @classmethod
    def of(cls, source: Path | str, out: Path | str, wishes: dict[str, Any]) -> Wish:
        """Make a wish from what Python or the command line gives.

        Args:
            source: Folder, file, archive or generator.
            out: Folder for the images.
            wishes: Other fields by name, and those of the scan.

        Returns:
            The wish.

        Raises:
            InputError: A wish is unknown or its value is wrong.
        """
        given = {k: v for k, v in wishes.items() if v is not None}
        own = {f.name for f in fields(cls)} - {"source", "out", "request"}
        for name in given.keys() - own - set(_OF_THE_SCAN):
            near = get_close_matches(name, own | set(_OF_THE_SCAN), n=1)
            raise InputError(
                f"generate() has no option {name!r}.",
                f"It takes {', '.join(sorted(own | set(_OF_THE_SCAN)))}.",
                f"Did you mean {near[0]!r}?" if near else "Leave it out.",
            )
        budget = Budget.parse(given.get("budget", "20m"))
        scan = {k: v for k, v in given.items() if k in _OF_THE_SCAN}
        scan |= {"budget": budget, "seed": max(int(given.get("seed", 0)), 0), "sequence": "no"}
        values = {k: v for k, v in given.items() if k in own}
        values |= {"budget": budget, "classes": tuple(values.get("classes", ()))}
        return cls(Path(source), Path(out), request=Request.of(source, scan), **values)


def check_out(out: Path) -> None:
    """Refuse a folder with things in it, unless they are of a learning that goes on.

    Raises:
        InputError: The folder holds something else, or is a file.
    """
    if not out.exists():
        return
    names = sorted(p.name for p in out.iterdir()) if out.is_dir() else [out.name]
    if out.is_dir() and (not names or WORK in names):
        return
    raise InputError(
        f"{out} holds {names[0]!r}" + (f" and {len(names) - 1} more." if len(names) > 1 else "."),
        "Synthetic images go into a folder of their own, so that they are never mixed with others.",
        "Choose another folder with --out.",
    )


def shares(wanted: tuple[str, ...], known: tuple[str, ...], count: int) -> list[tuple[int, int]]:
    """How many images of which class.

    Args:
        wanted: Names that were asked for; all if empty.
        known: The generator's classes; empty for one without.
        count: Images in all.

    Returns:
        Class index and number, classes in the order asked; index 0 for a generator without classes.

    Raises:
        InputError: A class was never seen, or classes were asked of a generator without.

    Example:
        >>> shares((), ("normal", "pneumonia"), 5)
        [(0, 3), (1, 2)]
    """
    names = tuple(dict.fromkeys(wanted)) or known
    for name in names:
        if name in known:
            continue
        if not known:
            raise InputError(
                f"The class {name!r} was asked for, and this generator learnt without classes.",
                "It draws images of one kind.",
                "Leave --class out.",
            )
        near = get_close_matches(name.casefold(), [k.casefold() for k in known], n=1)
        meant = next((k for k in known if near and k.casefold() == near[0]), None)
        raise InputError(
            f"The generator has never seen a class {name!r}.",
            f"Its classes are {', '.join(known)}.",
            f"Did you mean --class {meant!r}?" if meant else "Name one of these with --class, or leave it out.",
        )
    if not known:
        return [(0, count)]
    each, rest = divmod(count, len(names))
    return [(known.index(name), each + (k < rest)) for k, name in enumerate(names) if each + (k < rest)]


def refuse_few(cohort: Cohort) -> list[str]:
    """Refuse too few training images, and say what few can give.

    Returns:
        Warnings.

    Raises:
        CohortError: There are fewer than :data:`FEWEST`.
    """
    from scanwright.core import CohortError

    n = len(cohort.of("train"))
    if n < FEWEST:
        raise CohortError(
            f"{cohort.name} has {n} training image{'s' * (n != 1)}.",
            f"A generator needs at least {FEWEST}, and hundreds to be of use.",
            "Add images.",
        )
    found = []
    if n < FEW:
        found.append(
            f"There are {n} images to learn from: expect blurred averages or near-copies of them. Hundreds are needed."
        )
    if len(cohort.classes) > 1:
        counts = cohort.counts().get("train", {})
        for name in cohort.classes:
            if counts.get(name, 0) < FEW <= n:
                found.append(
                    f"The class {name!r} has {counts.get(name, 0)} training images: its synthetic ones lean on the other "
                    "classes and vary little."
                )
    return found

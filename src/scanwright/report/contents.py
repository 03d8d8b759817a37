"""Everything that a report shows, as nouns and arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Cohort, Evaluation, Finding, Plan

Picture = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ReportContents:
    """What :func:`~scanwright.report.write_report` and ``model_card`` are made from.

    Args:
        title: Heading of the page.
        cohort: The cases, with guesses, skipped files and facts.
        findings: What `check` found.
        plan: Choices with reasons; None where nothing was trained (an external cohort).
        history: Learning curve: rows with ``candidate``, ``step`` (or ``epoch``) and numbers;
            a nested ``values`` is allowed. Names with "loss" are drawn as losses,
            ``learning_rate`` as the schedule, the others as scores.
        race: One row a candidate; columns as they come.
        evaluations: ``who`` is ``model``, ``uncalibrated``, ``linear`` or ``majority``; for
            ``segment`` ``model`` or ``floor``.
        samples: Caption (the class) and picture, ``(rows, columns)`` or ``(…, 3)`` uint8; for
            ``segment`` a picture with its true structures drawn on (``overlays.paint_truth``).
        explained: Rows of ``case, truth, predicted, probability, picture, overlay, correct``.
        examination: Faithfulness of the heat maps: ``method, passed, sentence``, and where known
            ``score`` (a number, or ``value, low, high``; 0 is chance), ``random``, ``classes``
            (the same for each answered class), ``controls`` and ``curves``. ``passed`` is None
            where too few cases could be examined. None when there was no examination.
        segments: Explained cases of ``segment``: ``case``, ``rank`` (``"best"``, ``"median"`` or
            ``"worst"``), ``dice``, ``sentence`` (may be empty) and ``planes``, each with ``name``
            (``"axial"``, ``"coronal"``, ``"sagittal"`` or ``"picture"``), ``picture`` ``(r, c)`` or
            ``(r, c, 3)`` uint8, hung upright, ``truth`` and ``answer`` ``(r, c)`` ints (0 none, 1, 2, 3 ...
            the structures in order, 255 ignored; of instances the objects' numbers) and
            ``aspect`` (row spacing by column spacing).
            Of ``detect``: ``case``, ``rank`` (also ``"alone"``: sure boxes that no true one overlaps), ``f1``,
            ``sentence`` and ``picture``, with its boxes drawn on.
        codes: Structure to its code in a terminology, such as ``"SCT 10200004 Liver"``; may be empty.
        units: What stands for ``"mm"`` and ``"mL"`` where ``segment`` measures something else, such as
            ``{"mm": "mm", "mL": "mm²"}`` for pictures of known spacing; without it volumes are measured
            in mm and mL, pictures in pixels.
        provenance: Names and values: versions, seed, hashes, hardware, time.
        command: What was typed.
        notes: Further sentences: of the training where there was one, else of the limits.
    """

    title: str
    cohort: Cohort
    findings: Sequence[Finding] = ()
    plan: Plan | None = None
    history: Sequence[Mapping[str, Any]] = ()
    race: Sequence[Mapping[str, Any]] = ()
    evaluations: Sequence[Evaluation] = ()
    samples: Sequence[tuple[str, Picture]] = ()
    explained: Sequence[Mapping[str, Any]] = ()
    examination: Mapping[str, Any] | None = None
    segments: Sequence[Mapping[str, Any]] = ()
    codes: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    notes: Sequence[str] = ()

    @property
    def checked(self) -> bool:
        """Whether `check` has looked at the cohort, so that silence means that nothing was found."""
        return self.plan is not None or bool(self.findings)

    @property
    def trained(self) -> bool:
        """Whether the page has something to tell of a training."""
        return bool(self.plan or self.history or self.race)

    def repaired(self, finding: Finding) -> bool:
        """Whether the cases that a repair of the finding would leave out are gone already."""
        return bool(finding.drop) and not {c.id for c in self.cohort.cases}.intersection(finding.drop)

    @property
    def hidden(self) -> bool:
        """Whether the heat maps failed their examination."""
        return self.examination is not None and self.examination.get("passed") is False

    def judged(self, who: str = "model", part: str | None = None) -> Evaluation | None:
        """The evaluation that the page speaks of.

        Args:
            who: Predictor.
            part: Part; None for test, else external, validation, train, whichever is there first.

        Returns:
            The evaluation, or None.
        """
        own = [e for e in self.evaluations if e.who == who]
        order = (part,) if part else ("test", "external", "val", "train")
        return next((e for name in order for e in own if e.part == name), None)

"""The one tree of errors.

Every message is three short sentences: the fact (which thing, what value), the
rule (what is needed) and the fix (one argument or command). The constructor
takes the three apart, so that none can be forgotten.
"""

from __future__ import annotations


class ScanwrightError(Exception):
    """Root of every error that Scanwright raises on purpose.

    Args:
        fact: What is there, with the name of the thing and its value.
        rule: What is needed instead.
        fix: One argument, edit or command that mends it.
    """

    def __init__(self, fact: str, rule: str = "", fix: str = "") -> None:
        self.fact, self.rule, self.fix = fact, rule, fix
        super().__init__(fact, rule, fix)

    def __str__(self) -> str:
        return " ".join(part for part in (self.fact, self.rule, self.fix) if part)


class InputError(ScanwrightError, ValueError):
    """A path, option or value that a person gave cannot be used."""


class FormatError(ScanwrightError, ValueError):
    """A file is damaged, truncated or not of the kind that its content must be."""


class GeometryError(ScanwrightError, ValueError):
    """Slices, grids or affines do not make one consistent place in space."""


class CohortError(ScanwrightError, ValueError):
    """A cohort cannot be learnt from: no labels, one class, a leak."""


class PlanError(ScanwrightError, ValueError):
    """A plan is incomplete, contradicts itself or does not fit the cohort."""


class ModelFileError(ScanwrightError, ValueError):
    """A model file is damaged, altered or of an unknown version."""


class ResourceError(ScanwrightError, OSError):
    """The machine has run out: disk, memory, device."""

    def __str__(self) -> str:  # OSError formats its own arguments otherwise
        return ScanwrightError.__str__(self)


class MissingExtraError(ScanwrightError, ImportError):
    """A feature needs an optional extra that is not installed."""

    def __str__(self) -> str:
        return ScanwrightError.__str__(self)

"""How long a run may take."""

from __future__ import annotations

import re
from dataclasses import dataclass

from scanwright.core.errors import InputError

NAMED_BUDGETS_S: dict[str, float] = {"quick": 120.0, "standard": 600.0, "thorough": 3600.0}
"""Named budgets, in seconds."""

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SHORTEST_S = 10.0


@dataclass(frozen=True)
class Budget:
    """A length of time for a run.

    Args:
        seconds: Wall-clock time in seconds.
    """

    seconds: float

    @classmethod
    def parse(cls, text: str | float | Budget) -> Budget:
        """Read a budget as a person writes it.

        Args:
            text: ``"90s"``, ``"10m"``, ``"1.5h"``, ``"1h30m"``, ``"quick"``, ``"standard"``,
                ``"thorough"``, or a number of seconds.

        Returns:
            The budget.

        Raises:
            InputError: The text is not a duration, or the duration is too short to train.

        Example:
            >>> Budget.parse("1h30m").seconds
            5400.0
        """
        if isinstance(text, Budget):
            return text
        words = str(text).strip().lower()
        if words in NAMED_BUDGETS_S:
            return cls(NAMED_BUDGETS_S[words])
        if re.fullmatch(r"\d+(\.\d+)?", words):
            seconds = float(words)
        elif re.fullmatch(r"(\d+(\.\d+)?[smhd])+", words):
            seconds = sum(float(n) * _UNITS_S[u] for n, u in re.findall(r"(\d+(?:\.\d+)?)([smhd])", words))
        else:
            raise InputError(
                f"The budget {str(text)!r} is not a duration.",
                "A budget is a number with s, m, h or d, or one of quick, standard, thorough.",
                "Write --budget 10m.",
            )
        if seconds < _SHORTEST_S:
            raise InputError(
                f"The budget {str(text)!r} is {seconds:g} seconds.",
                f"Training needs at least {_SHORTEST_S:g} seconds.",
                "Write --budget 2m, or more.",
            )
        return cls(seconds)

    def __str__(self) -> str:
        return say_duration(self.seconds)


def say_duration(seconds: float) -> str:
    """Write a duration as a person would.

    Args:
        seconds: Any non-negative number of seconds.

    Returns:
        Such as ``"45 s"``, ``"4 min 10 s"``, ``"2 h 5 min"``.

    Example:
        >>> say_duration(250)
        '4 min 10 s'
    """
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s"
    if whole < 5400:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    return f"{whole // 3600} h" + (f" {whole % 3600 // 60} min" if whole % 3600 // 60 else "")

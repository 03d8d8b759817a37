"""What a person says of the structures: ``1=liver,2=tumour``, ``1+2=organ``, ``instances``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scanwright.core import InputError
from scanwright.intake.place import nearest

INSTANCES = ("instances", "objects")
_OBJECT = "object"


@dataclass(frozen=True, slots=True)
class Asked:
    """Structures that were asked for.

    Args:
        names: Their names, in order.
        keys: For each, the label values or names in the masks that it is made of.
        instances: Whether every value is one object.
    """

    names: tuple[str, ...]
    keys: tuple[tuple[str, ...], ...] = ()
    instances: bool = False

    def values(self, known: Mapping[int, str]) -> tuple[tuple[int, ...], ...]:
        """The label values of each structure.

        Args:
            known: Names of label values, for structures that were asked for by name.

        Returns:
            Values, one tuple a structure.

        Raises:
            InputError: A name is unknown.
        """
        by_name = {name.casefold(): value for value, name in known.items()}
        return tuple(tuple(_value(key, by_name, known) for key in keys) for keys in self.keys)


def asked_of(text: str | None) -> Asked | None:
    """Take ``--structures`` apart.

    Args:
        text: Such as ``"1=liver,2+3=tumour"``, ``"Liver=organ"``, ``"instances"`` or ``"instances=nucleus"``.

    Returns:
        What was asked for; None when nothing was.

    Raises:
        InputError: The text is none of these, or names a structure twice.

    Example:
        >>> asked_of("1=liver, 2+3=tumour").keys
        (('1',), ('2', '3'))
    """
    if text is None or not text.strip():
        return None
    head, _, name = text.partition("=")
    if head.strip().casefold() in INSTANCES:
        return Asked((name.strip() or _OBJECT,), instances=True)
    names, keys = [], []
    for item in filter(None, (part.strip() for part in text.split(","))):
        left, equals, right = item.rpartition("=")
        found = tuple(filter(None, (key.strip() for key in left.split("+"))))
        if not equals or not right.strip() or not found:
            raise InputError(
                f"{item!r} of --structures names no structure.",
                "A structure is written as value=name, as value+value=name, or all of them as instances.",
                'Write --structures "1=liver,2=tumour", say.',
            )
        names.append(right.strip())
        keys.append(found)
    doubled = next((n for n in names if names.count(n) > 1), None)
    if doubled is not None:
        raise InputError(
            f"--structures names {doubled!r} twice.",
            "Every structure has a name of its own; several values are joined by +.",
            f'Write --structures "{"+".join(k for n, ks in zip(names, keys, strict=True) if n == doubled for k in ks)}={doubled}".',
        )
    return Asked(tuple(names), tuple(keys))


def _value(key: str, by_name: Mapping[str, int], known: Mapping[int, str]) -> int:
    if key.isdigit():
        return int(key)
    if key.casefold() in by_name:
        return by_name[key.casefold()]
    near = nearest(key, list(known.values()))
    raise InputError(
        f"--structures speaks of {key!r}, which is no label value and no name of one.",
        f"The masks name {', '.join(known.values())}." if known else "These masks name no structures, only values.",
        f"Did you mean {near!r}?" if near else "Write the label value instead, such as 1=liver.",
    )

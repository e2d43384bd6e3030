"""Where a value is not what it should be, and how that is told.

Readers raise `Mismatch` and know nothing of where they stand; whoever reads the parts of
something puts a step in front, so that a value that fits costs nothing.
"""

from __future__ import annotations

import json

from .errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, Union

    Step = Union[str, int]  # a property's name, an item's index
    Problem = tuple[tuple[Step, ...], str]

__all__ = [
    "INFINITE",
    "JSON_NAMES",
    "MISMATCH",
    "MOST_KEPT",
    "MOST_LISTED",
    "Mismatch",
    "as_text",
    "check_finite",
    "expected",
    "one_of",
    "shown",
    "unfit",
]

MISMATCH = "schema_mismatch"  # `code` of the error
MOST_KEPT = 100  # problems of a value, about: a server may send a million, at the end of long ways
MOST_TOLD = 10  # of them in a message
MOST_STEPS = 20  # that lead to one
MOST_LISTED = 10  # values of which one was expected
INFINITE = float("inf")
# What Python makes of JSON -> what JSON calls it.
JSON_NAMES: dict[type, str] = {
    **{str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"},
    **{list: "array", dict: "object"},
}
LONGEST_VALUE = 60  # characters of a value, or of a name, in a message
_NAMES: tuple[tuple[Any, str], ...] = ((dict, "an object of"), ((list, tuple), "an array of"))


class Mismatch(Exception):
    """A value that does not fit.

    problems: what is wrong, each with the steps that lead to it, from the outside.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        super().__init__()
        self.problems = list(problems)

    def below(self, step: Step) -> list[Problem]:
        """The problems, as they are seen from one step further out."""
        return [((step, *steps), text) for steps, text in self.problems[:MOST_KEPT]]


def expected(what: str, value: Any) -> Mismatch:
    """The mismatch of a value that should be something else."""
    return Mismatch([((), f"expected {what}, got {shown(value)}")])


def shown(value: Any) -> str:
    """A JSON value in a few characters, all of them printable; what is none by its type."""
    for kind, name in _NAMES:
        if isinstance(value, kind) and value:
            return f"{name} {len(value)}"
    try:
        text = json.dumps(value[: LONGEST_VALUE + 1] if isinstance(value, str) else value)
    except (TypeError, ValueError):  # ...or a number of more digits than Python writes
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def one_of(told: Sequence[str]) -> str:
    """Values that were expected, as they are shown: `one of "a", "b"`."""
    if len(told) == 1:
        return told[0]
    return f"one of {', '.join(told[:MOST_LISTED])}{', ...' * (len(told) > MOST_LISTED)}"


def as_text(problems: Iterable[Problem]) -> str:
    """The problems on one line: `lines[0].count: expected integer, got "many"; ...`."""
    found = list(problems)
    said = [f"{_place(steps)}: {text}" if steps else text for steps, text in found[:MOST_TOLD]]
    if len(found) > MOST_TOLD:
        said.append(f"and {len(found) - MOST_TOLD if len(found) < MOST_KEPT else 'many'} more")
    return "; ".join(said)


def _place(steps: Iterable[Step]) -> str:
    """The way to a value as one would write it: `lines[0].count`; of a long one the end."""
    steps = list(steps)
    place = "..." if len(steps) > MOST_STEPS else ""
    for step in steps[-MOST_STEPS:]:
        if isinstance(step, int):
            place += f"[{step}]"
        elif step.isidentifier() and len(step) <= LONGEST_VALUE:
            place += f".{step}" if place else step
        else:
            place += f"[{shown(step)}]"
    return place


def check_finite(value: Any) -> None:
    """Raise Mismatch for numbers that Python reads and JSON does not have."""
    left = [value]
    while left:
        inner = left.pop()
        if isinstance(inner, float) and not -INFINITE < inner < INFINITE:
            raise expected("finite numbers alone", inner)
        if isinstance(inner, list):
            left += inner
        elif isinstance(inner, dict):
            left += inner.values()


def unfit(what: str, mismatch: Mismatch, text: str = "") -> ProtocolError:
    """The error for whoever asked. what: "the answer does not fit the schema"."""
    return ProtocolError(f"{what}: {as_text(mismatch.problems)}", code=MISMATCH, partial=text)

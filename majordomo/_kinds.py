"""Kinds of values: how they look as JSON, and how they are read.

Readers get what `json.loads` made, raise `Mismatch`, and know nothing of where they stand.
A value that fits is looked at once.
"""

from __future__ import annotations

import collections.abc
import datetime
import decimal
import itertools
import keyword
import pathlib
import re
import typing
import uuid

from . import _json
from ._mismatch import INFINITE, JSON_NAMES, MOST_KEPT, MOST_LISTED, Mismatch, check_finite, expected, one_of, shown
from ._plain import plain
from ._words import one_line
from .errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Callable, Union

    Seen = dict[tuple[int, int], Union[Mismatch, tuple[Any]]]
    Reader = Callable[[Any, Seen], Any]

__all__ = [
    "ABSENT",
    "COLLECTIONS",
    "MAPPINGS",
    "SCALARS",
    "SETS",
    "Field",
    "Kind",
    "described",
    "kind_of_values",
    "reader_of_fields",
    "reader_of_items",
    "reader_of_mapping",
    "reader_of_tuple",
    "reader_of_union",
    "schema_of_fields",
    "with_default",
]

ABSENT: Any = object()  # no value, where None is one
_NONE = type(None)
LONGEST_COMPLAINT = 300  # characters of what a class says of its values
MOST_ALIKE = 20  # items of a set that share a slot with another


class Kind:
    """What is known of a type.

    schema: of its values. read: a JSON value and what was read before -> a value of the type.
    takes: the Python types of the JSON values that may fit, None for any. exact: those of
    them whose values are read as they are. tags: of an object, the properties that tell it
    from others, with the values that they may have. hashable: whether a set may hold its values.
    """

    __slots__ = ("exact", "hashable", "read", "schema", "tags", "takes")

    def __init__(
        self,
        schema: dict[str, Any],
        read: Reader,
        takes: Iterable[type] | None,
        exact: Iterable[type] = (),
        hashable: bool = True,
    ) -> None:
        self.schema, self.read = schema, read
        self.takes = None if takes is None else frozenset(takes)
        self.exact = frozenset(exact)
        self.tags: dict[str, list[Any]] = {}
        self.hashable = hashable


class Field:
    """A named part of an object. required: whether it must be there. kind: of its values."""

    __slots__ = ("kind", "name", "passed_over", "required")

    def __init__(self, name: str, kind: Kind, required: bool) -> None:
        self.name, self.kind, self.required = "".join(name), kind, required  # a member of an enum prints otherwise
        # null stands for what may be absent and does not take null: strict schemas have all
        # fields required, and so servers say null where they have nothing to say
        self.passed_over = not required and kind.takes is not None and _NONE not in kind.takes


def reader_of_fields(fields: Iterable[Field], make: Callable[..., Any]) -> Reader:
    """The reader of an object: its fields, checked and converted, are what `make` gets by name.

    What `make` raises as a ValueError is a mismatch. The reader is compiled, as the `__init__`
    of a dataclass is: a loop over the fields takes twice as long.
    """
    rows = list(fields)
    scope: dict[str, Any] = {**globals(), "made": _Made([row.name for row in rows], make), "make": make}
    lines = ["def read(value, seen):", " if type(value) is not dict: raise expected('object', value)", " notes = None"]
    # names are a class's own, and never data
    lines.append(" try: " + "; ".join([f"v{n} = value[{row.name!r}]" for n, row in enumerate(rows)] or ["pass"]))
    lines.append(" except KeyError:")
    lines.append(
        "  " + "; ".join([f"v{n} = value.get({row.name!r}, ABSENT)" for n, row in enumerate(rows)] or ["pass"])
    )
    for n, row in enumerate(rows):
        scope.update({f"read{n}": row.kind.read, f"exact{n}": row.kind.exact, f"row{n}": row})
        lines += [
            f" if {_differs(row.kind.exact).format(n=n)}:",
            f"  if v{n} is ABSENT: notes = _absent(row{n}, notes)",
            f"  elif v{n} is None and row{n}.passed_over: v{n} = ABSENT; notes = notes or []",
            "  else:",
            f"   try: v{n} = read{n}(v{n}, seen)",
            f"   except Mismatch as exc: notes = ((notes or []) + exc.below({row.name!r}))[:MOST_KEPT]",
        ]
    if all(_is_plain(row.name) for row in rows):
        given = ", ".join(f"{row.name}=v{n}" for n, row in enumerate(rows))
        lines += [
            f" if notes is None and len(value) == {len(rows)}:",
            f"  try: return make({given})",
            "  except ValueError as exc: raise _unmade(exc) from exc",
        ]
    lines.append(f" return made(value, ({''.join([f'v{n}, ' for n in range(len(rows))])}), notes)")
    exec("\n".join(lines), scope)
    read: Reader = scope["read"]
    return read


def _is_plain(name: str) -> bool:
    """Whether a name may stand in a call as it is; Python reads others (`ﬁ`) as something else."""
    return name.isascii() and name.isidentifier() and not keyword.iskeyword(name) and name != "__debug__"


def _differs(exact: frozenset[type]) -> str:
    """The test of value `{n}` that says that it is not read as it is."""
    if not exact:
        return "True"
    names = [kind.__name__ for kind in exact]
    other = f"type(v{{n}}) is not {names[0]}" if len(names) == 1 and exact != {_NONE} else "type(v{n}) not in exact{n}"
    return other + (" or (type(v{n}) is float and not -INFINITE < v{n} < INFINITE)" if float in exact else "")


def _absent(row: Field, notes: list[Any] | None) -> list[Any]:
    """The notes on an object with one on a field that is not there."""
    return ((notes or []) + ([((row.name,), "missing")] if row.required else []))[:MOST_KEPT]


def _unmade(error: ValueError) -> Mismatch:
    return Mismatch([((), one_line(str(error), LONGEST_COMPLAINT) or type(error).__name__)])


class _Made:
    """What is made of an object that has not just all of its fields."""

    def __init__(self, names: list[str], make: Callable[..., Any]) -> None:
        self._names, self._make = names, make

    def __call__(self, value: dict[str, Any], values: tuple[Any, ...], notes: list[Any] | None) -> Any:
        found = dict(zip(self._names, values))
        odd = (name for name in value if name not in found)
        notes = (notes or []) + [((name,), "not expected") for name in itertools.islice(odd, MOST_KEPT)]
        if notes:
            raise Mismatch(notes)
        try:
            return self._make(**{name: inner for name, inner in found.items() if inner is not ABSENT})
        except ValueError as exc:
            raise _unmade(exc) from exc


def _any(value: Any, seen: Seen) -> Any:
    check_finite(value)
    return value


def _exactly(kind: type) -> Reader:
    def read(value: Any, seen: Seen) -> Any:
        if type(value) is not kind:
            raise expected(JSON_NAMES[kind], value)
        return value

    return read


def _integer(value: Any, seen: Seen) -> int:
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():  # 3.0 is an integer in JSON Schema
        return int(value)
    raise expected("integer", value)


def _number(value: Any, seen: Seen) -> float:
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise expected("a finite number", value) from None
    if type(value) is not float:
        raise expected("number", value)
    if not -INFINITE < value < INFINITE:
        raise expected("a finite number", value)
    return value


def _text(what: str, pattern: str, make: Callable[[str], Any]) -> Reader:
    """The reader of what is written as text of a known form."""
    fits = re.compile(pattern, re.ASCII).fullmatch

    def read(value: Any, seen: Seen) -> Any:
        if type(value) is str and fits(value):
            try:
                return make(value)
            except ValueError:
                pass
        raise expected(what, value)

    return read


def _iso(text: str) -> str:
    """A time as Python before 3.11 reads it: `+00:00` for Z, a fraction of six digits or none."""
    text = re.sub("[zZ]$", "+00:00", text)
    return re.sub(r"\.(\d+)", lambda found: "." + found[1][:6].ljust(6, "0"), text)


def _path(kind: type) -> Reader:
    def read(value: Any, seen: Seen) -> Any:
        if type(value) is not str or not value or "\0" in value:
            raise expected("a path", value)
        return kind(value)

    return read


_DATE, _TIME = r"\d{4}-\d\d-\d\d", r"\d\d:\d\d(:\d\d(\.\d{1,9})?)?([zZ]|[+-]\d\d:\d\d)?"
_DECIMAL = r"[+-]?\d{1,1000}(\.\d{1,1000})?"
_UUID = "-".join(f"[0-9a-fA-F]{{{n}}}" for n in (8, 4, 4, 4, 12))
_written = {"type": "string"}
SCALARS: dict[Any, Kind] = {
    str: Kind(_written, _exactly(str), [str], [str]),
    bool: Kind({"type": "boolean"}, _exactly(bool), [bool], [bool]),
    int: Kind({"type": "integer"}, _integer, [int, float], [int]),
    float: Kind({"type": "number"}, _number, [int, float], [float]),
    _NONE: Kind({"type": "null"}, _exactly(_NONE), [_NONE], [_NONE]),
    typing.Any: Kind({}, _any, None),
    object: Kind({}, _any, None),
    datetime.date: Kind(
        {**_written, "format": "date"}, _text("a date (YYYY-MM-DD)", _DATE, datetime.date.fromisoformat), [str]
    ),
    datetime.datetime: Kind(
        {**_written, "format": "date-time"},
        _text(
            "a date and time (ISO 8601)",
            f"{_DATE}[Tt ]{_TIME}",
            lambda text: datetime.datetime.fromisoformat(_iso(text)),
        ),
        [str],
    ),
    datetime.time: Kind(
        {**_written, "format": "time"},
        _text("a time (HH:MM:SS)", _TIME, lambda text: datetime.time.fromisoformat(_iso(text))),
        [str],
    ),
    decimal.Decimal: Kind(
        {**_written, "pattern": r"^[+-]?[0-9]+(\.[0-9]+)?$"},
        _text("a decimal number, as a string", _DECIMAL, decimal.Decimal),
        [str],
    ),
    uuid.UUID: Kind({**_written, "format": "uuid"}, _text("a UUID", _UUID, uuid.UUID), [str]),
    pathlib.Path: Kind(_written, _path(pathlib.Path), [str]),
    pathlib.PurePath: Kind(_written, _path(pathlib.PurePath), [str]),
}
# Kinds of collection -> what is made of the list that was read.
COLLECTIONS: dict[Any, Callable[[Any], Any]] = {
    list: list,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Collection: list,
    collections.abc.Iterable: list,
    collections.abc.Set: set,
    collections.abc.MutableSet: set,
}
SETS = (set, frozenset, collections.abc.Set, collections.abc.MutableSet)
MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def schema_of_fields(fields: Iterable[Field]) -> dict[str, Any]:
    """The schema of an object of these fields and no others."""
    found = list(fields)
    return {
        "type": "object",
        "properties": {field.name: field.kind.schema for field in found},
        "required": [field.name for field in found if field.required],
        "additionalProperties": False,
    }


def with_default(kind: Kind, default: Any) -> Kind:
    """A kind whose schema tells what holds if nothing is said, where JSON can tell it."""
    if default is not ABSENT:
        try:
            value = plain(default)
            _json.dumps(value)
            kind.schema["default"] = value
        except (TypeError, ConfigError):  # an object, an infinite number
            pass
    return kind


def described(kind: Kind, text: str | None) -> Kind:
    """A kind whose schema says more, if there is more to say."""
    if text:
        kind.schema["description"] = text
    return kind


def reader_of_items(item: Kind, make: Callable[[Any], Any]) -> Reader:
    """The reader of an array; `make` gets the list of its items, converted."""
    each, exact = item.read, item.exact - {float}  # of which some are infinite

    def read(value: Any, seen: Seen) -> Any:
        if type(value) is not list:
            raise expected("array", value)
        if exact and exact.issuperset(map(type, value)):
            found = value.copy()
        else:
            found = _all(map(each, value, itertools.repeat(seen)))
        if make is list:
            return found
        if make in (set, frozenset):
            _check_set(found)
        return make(found)

    return read


def _all(readings: map[Any]) -> list[Any]:
    """What is read one after the other, each once; raises Mismatch for all that do not fit."""
    found: list[Any] = []
    problems: list[Any] = []
    while len(problems) < MOST_KEPT:
        try:
            for item in readings:
                found.append(item)
            break
        except Mismatch as exc:
            problems += exc.below(len(found))
            found.append(None)
    if problems:
        raise Mismatch(problems)
    return found


def _check_set(items: list[Any]) -> None:
    """Raise Mismatch for what is no set, or one that takes for ever: numbers can be made up that fall into one slot."""
    try:
        slots = len(set(map(hash, items)))
        alike = len(items) - slots > MOST_ALIKE or len(set(items)) < len(items)
    except TypeError:
        raise Mismatch([((), "expected items that can be told apart, as a set's")]) from None
    if alike:
        raise Mismatch([((), "expected every item once")])


def reader_of_mapping(name: Kind, item: Kind) -> Reader:
    """The reader of an object whose properties have any names."""

    def read(value: Any, seen: Seen) -> Any:
        if type(value) is not dict:
            raise expected("object", value)
        names, items, problems = [], [], []
        for key, inner in value.items():
            try:
                items.append(item.read(inner, seen))
                names.append(name.read(key, seen))
            except Mismatch as exc:
                problems += exc.below(key)
                if len(problems) >= MOST_KEPT:
                    break
        if problems:
            raise Mismatch(problems)
        if str not in name.exact:
            _check_set(names)
        return dict(zip(names, items))

    return read


def reader_of_tuple(items: list[Kind]) -> Reader:
    """The reader of an array of so many items, each of its own kind."""

    def read(value: Any, seen: Seen) -> Any:
        if type(value) is not list:
            raise expected("array", value)
        if len(value) != len(items):
            raise Mismatch([((), f"expected {len(items)} items, got {len(value)}")])
        return tuple(_all(map(lambda item, inner: item.read(inner, seen), items, value)))

    return read


def reader_of_union(members: list[Kind]) -> Reader:
    """The first member that fits; what does not is told by the one that comes nearest.

    What was tried is remembered with the value: unions within unions would else be tried
    in every combination.
    """
    types: dict[type, list[Kind]] = {
        kind: [m for m in members if m.takes is None or kind in m.takes] for kind in JSON_NAMES
    }
    names = " or ".join(dict.fromkeys(JSON_NAMES[t] for m in members for t in _shown_types(m)))

    def read(value: Any, seen: Seen) -> Any:
        fitting = types[type(value)]
        if len(fitting) == 1:
            return fitting[0].read(value, seen)
        if not fitting:
            raise expected(names, value)
        key = (id(types), id(value))
        known = seen.get(key)
        if known is None:
            known = seen[key] = _first(fitting, value, seen)
        if isinstance(known, Mismatch):
            raise Mismatch(known.problems)
        return known[0]

    return read


def _first(members: list[Kind], value: Any, seen: Seen) -> Mismatch | tuple[Any]:
    """What the first member makes of a value that fits it; else the mismatch of the one that was meant, it seems."""
    missed: list[tuple[Kind, Mismatch]] = []
    for member in members:
        try:
            return (member.read(value, seen),)
        except Mismatch as exc:
            missed.append((member, exc))
    meant = [exc for member, exc in missed if not {steps[0] for steps, _ in exc.problems if steps} & set(member.tags)]
    if meant:
        return min(meant, key=lambda exc: len(exc.problems))
    for name in members[0].tags:
        if name in value and all(name in member.tags for member in members):
            what = one_of([shown(told) for member in members for told in member.tags[name]])
            return Mismatch(expected(what, value[name]).below(name))
    return min([exc for _, exc in missed], key=lambda exc: len(exc.problems))


def _shown_types(kind: Kind) -> list[type]:
    types = kind.takes or ()
    return [t for t in JSON_NAMES if t in types and not (t is float and kind.schema.get("type") == "integer")]


def kind_of_values(pairs: list[tuple[Any, Any]]) -> Kind:
    """The kind of what is one of these: (as it stands in JSON, what it is here)."""
    told = [told for told, _ in pairs]
    schema: dict[str, Any] = {"enum": told}
    types = {type(value) for value in told}
    if len(types) == 1 and _NONE not in types:
        schema = {"type": JSON_NAMES[types.pop()], "enum": told}
    what = one_of([shown(value) for value in told[: MOST_LISTED + 1]])

    values: dict[type, dict[Any, Any]] = {}  # by type, for True is no 1 in JSON; but 1.0 is
    for name, value in reversed(pairs):
        for kind in (int, float) if type(name) in (int, float) else (type(name),):
            values.setdefault(kind, {})[name] = value

    def read(value: Any, seen: Seen) -> Any:
        found = values[type(value)].get(value, ABSENT) if type(value) in values else ABSENT
        if found is ABSENT:
            raise expected(what, value)
        return found

    return Kind(schema, read, values)

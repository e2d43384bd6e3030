"""Python values as JSON values: what the schema of their type describes."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import json
import pathlib
import uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["json_of", "plain"]


def plain(value: Any) -> Any:
    """A value (a dataclass, an enum, a date, a set ...) as JSON values; TypeError if it has none."""
    try:
        return _plain(value)
    except RecursionError:
        raise TypeError("a value that is nested too deeply, or holds itself, cannot be told in JSON") from None


def _plain(value: Any) -> Any:
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, enum.Enum):
        return json_of(value)
    if isinstance(value, (str, int, float)):
        return next(kind(value) for kind in (int, float, str) if isinstance(value, kind))
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (decimal.Decimal, uuid.UUID, pathlib.PurePath)):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: _plain(inner) for name, inner in zip(value._fields, value)}
    if isinstance(value, collections.abc.Mapping):
        return {_name_of(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, collections.abc.Set):
        return sorted([_plain(inner) for inner in value], key=repr)  # the same each time
    raise TypeError(f"a {type(value).__name__} cannot be told in JSON")


def _name_of(name: Any) -> str:
    """The name of a property; of a number its digits, as `json.dumps` has it."""
    found = _plain(name)
    if isinstance(found, (dict, list)):
        raise TypeError(f"a {type(name).__name__} cannot be the name of a property in JSON")
    return found if isinstance(found, str) else json.dumps(found)


def json_of(value: Any, where: str = "value") -> Any:
    """A member of an enum or a Literal as it stands in JSON: its value, or its name where that is none."""
    found = value.value if isinstance(value, enum.Enum) else value
    if isinstance(found, (str, int, float)) and not isinstance(found, enum.Enum) and found == found:
        return next(kind(found) for kind in (bool, int, float, str) if isinstance(found, kind))
    if found is None:
        return None
    if isinstance(value, enum.Enum):
        return value.name
    raise TypeError(f"{where}: {value!r} cannot stand in JSON as it is")

"""References within a JSON Schema: `#/$defs/Line` and what it names. Source: RFC 6901 for the path."""

from __future__ import annotations

from urllib.parse import unquote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["escaped", "referred"]


def escaped(name: str) -> str:
    """A name as a step of a reference."""
    return name.replace("~", "~0").replace("/", "~1")


def referred(root: Any, reference: str) -> Any:
    """What a reference into a schema names: `#`, or `#/` and a path from the root. None if that is nothing."""
    if reference != "#" and not reference.startswith("#/"):
        return None
    place = root
    for step in unquote(reference).split("/")[1:]:
        if isinstance(place, (list, tuple)):
            place = place[int(step)] if step.isdecimal() and len(step) < 7 and int(step) < len(place) else None
        else:
            place = place.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(place, dict) else None
    return place

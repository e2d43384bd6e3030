"""Models as a test names them, for whoever lists them.

A row is what `FakeServer.models` holds: a name, or a dict with an "id" and what else is shown.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Union

    Row = Union[str, dict[str, Any]]


def name_of(row: Row) -> str:
    """A model's name, `""` if it has none."""
    return str(row.get("id", "") if isinstance(row, dict) else row)


def laid(base: dict[str, Any], row: Row) -> dict[str, Any]:
    """An answer with the members of a model's own row laid over it; None takes one away."""
    own = row.items() if isinstance(row, dict) else ()
    over = {name: value for name, value in own if name not in ("id", "object", "owned_by", "created")}
    return {name: value for name, value in {**base, **over}.items() if value is not None}


def page_size(text: str | None, default: int) -> int:
    """How many rows a page has, 1000 at most."""
    return min(int(text), 1000) if text and text.isdigit() and int(text) else default

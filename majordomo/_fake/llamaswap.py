"""What llama-swap says itself, where no model behind it is asked: its list, what runs, errors.

Source: llama-swap of August 2026, `internal/server`.
"""

from __future__ import annotations

from .rows import name_of
from .values import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .rows import Row
    from .values import Seen


def tell_error(status: int, message: str, kind: str, code: str) -> Status:
    """An error of llama-swap's own."""
    error = {"message": message, "type": kind, "param": None, "code": code}
    return Status(status, {"src": "llama-swap", "error": error})


def tell_bad_key(seen: Seen) -> Status:
    """That a key is missing or wrong."""
    return tell_error(401, "unauthorized: invalid or missing API key", "authentication_error", "unauthorized")


def list_models(models: Sequence[Row], seen: Seen) -> Status:
    """The models, in the words of OpenAI's list."""
    return Status(200, {"object": "list", "data": sorted(map(_row, models), key=name_of)})


def _row(model: Row) -> dict[str, Any]:
    return model if isinstance(model, dict) else {"id": model, "object": "model", "owned_by": "llama-swap"}


def tell_running(names: Sequence[str]) -> Status:
    """What runs."""
    return Status(200, {"running": [{"model": name, "state": "ready"} for name in sorted(names)]})

"""JSON in and out, with every way it can fail turned into one of our errors.

The standard library raises `RecursionError` on deep nesting, `UnicodeDecodeError` on
bytes that are no UTF-8, `ValueError` on the rest; a hostile server may send all three.
"""

from __future__ import annotations

import json

from .errors import ConfigError, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def loads(text: bytes | str, what: str = "the answer") -> Any:
    """Read JSON (UTF-8, a leading BOM ignored); `ProtocolError` says why it is none."""
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        return json.loads(text[1:] if text.startswith("\ufeff") else text)
    except UnicodeDecodeError as exc:
        # without its cause, which holds all the bytes
        raise ProtocolError(f"{what} is not UTF-8: {exc.reason} at byte {exc.start}") from None
    except RecursionError as exc:
        raise ProtocolError(f"{what} is JSON nested too deeply to be read") from exc
    except ValueError as exc:
        reason = getattr(exc, "msg", "an absurd number")
        raise ProtocolError(f"{what} is not JSON: {reason}; it starts with {_start(text)}") from exc


def loads_strictly(text: str, what: str) -> Any:
    """Read JSON without NaN and infinities, which could not be written again."""
    try:
        return json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except RecursionError as exc:
        raise ProtocolError(f"{what} are JSON nested too deeply to be read") from exc
    except ValueError as exc:
        raise ProtocolError(f"{what} are not JSON") from exc


def _no_number(name: str) -> Any:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise ValueError(text)
    return number


def dumps(value: Any, what: str = "the request") -> str:
    """Write compact ASCII JSON; `ConfigError` names what cannot be written."""
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError) as exc:
        raise ConfigError(f"{what} cannot be written as JSON: {exc}") from exc


def _start(text: bytes | str) -> str:
    if isinstance(text, bytes):
        text = text[:200].decode("utf-8", "replace")
    return repr(" ".join(text[:200].split())[:80])

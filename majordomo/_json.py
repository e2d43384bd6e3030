"""JSON in and out, with every way it can fail turned into one of our errors.

The standard library raises `RecursionError` on deep nesting, `UnicodeDecodeError` on
bytes that are no UTF-8, `ValueError` on the rest; a hostile server may send all three.
"""

from __future__ import annotations

import json
from os import urandom

from .errors import ConfigError, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COUNTED_FROM = 1 << 20  # bytes or characters above which what is to be read is looked at first
MOST_VALUES = 1_000_000  # in it: each takes many times its own size in memory
DEEPEST = 200  # levels of what must be written again, by whoever: Python's own limit is about 1000
LIFTED_FROM = 65536  # characters above which a text is worth a look before it is copied
_PLAIN = bytes(c for c in range(0x20, 0x7F) if c not in b'"\\')  # what JSON writes as it is

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_decode = json.JSONDecoder().decode


def loads(text: bytes | str, what: str = "the answer") -> Any:
    """Read JSON (UTF-8, a leading BOM ignored); `ProtocolError` says why it is none, or none that could be meant."""
    _check_values(text, what)
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        return _decode(text[1:] if text[:1] == "\ufeff" else text)
    except UnicodeDecodeError as exc:
        # without its cause, which holds all the bytes
        raise ProtocolError(f"{what} is not UTF-8: {exc.reason} at byte {exc.start}") from None
    except RecursionError as exc:
        raise ProtocolError(f"{what} is JSON nested too deeply to be read") from exc
    except ValueError as exc:
        reason = getattr(exc, "msg", "an absurd number")
        raise ProtocolError(f"{what} is not JSON: {reason}; it starts with {_start(text)}") from exc


def _check_values(text: Any, what: str) -> None:
    """Raise ProtocolError for a text of so many values that reading it would cost many times its size."""
    if len(text) > COUNTED_FROM:
        marks = (b"[", b"{", b",") if isinstance(text, bytes) else ("[", "{", ",")
        if sum(map(text.count, marks)) > MOST_VALUES:
            raise ProtocolError(f"{what}: JSON of more than {MOST_VALUES:,} values, by its brackets and commas")


def loads_strictly(text: str, what: str) -> Any:
    """Read JSON without NaN and infinities, which could not be written again."""
    _check_values(text, what)
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


def is_deep(value: Any) -> bool:
    """Whether a JSON value has more levels than are sure to be written again."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def dumps(value: Any, what: str = "the request") -> str:
    """Write compact ASCII JSON; `ConfigError` names what cannot be written."""
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError) as exc:
        raise ConfigError(f"{what} cannot be written as JSON: {exc}", code="not_json") from exc


def dumps_sparingly(value: Any, what: str = "the request") -> bytearray:
    """The same JSON as bytes; long plain texts (pictures in base64) are copied once, not three times."""
    mark, texts = urandom(16).hex(), []

    def lifted(inner: Any) -> Any:
        if isinstance(inner, dict):
            return {name: lifted(found) for name, found in inner.items()}
        if isinstance(inner, (list, tuple)):
            return [lifted(found) for found in inner]
        if isinstance(inner, str) and len(inner) > LIFTED_FROM and inner.isascii():
            if not inner.encode("ascii").translate(None, _PLAIN):
                texts.append(inner)
                return mark
        return inner

    try:
        around = dumps(lifted(value), what).split(mark)
    except RecursionError:  # `dumps` goes deeper
        return bytearray(dumps(value, what), "ascii")
    body = bytearray(around[0], "ascii")
    for text, rest in zip(texts, around[1:]):
        body += text.encode("ascii")
        body += rest.encode("ascii")
    return body


def _start(text: bytes | str) -> str:
    if isinstance(text, bytes):
        text = text[:200].decode("utf-8", "replace")
    return repr(" ".join(text[:200].split())[:80])

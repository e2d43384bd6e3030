"""The lines of a batch: what one of them asks, and how the end of it is told. Bytes in, bytes out.

    {"id": "a", "prompt": "Why is the sky blue?", "max_tokens": 200}
    {"id": "a", "text": "Because ...", "model": "box/qwen3:14b", "usage": {...}}

What a line asks is a `Request` as `Request.to_dict` spells it, with two forms more that
people write: a `prompt`, and messages whose `content` is a text.
"""

from __future__ import annotations

from . import _json
from ._json import COUNTED_FROM
from ._mismatch import shown
from ._spec import close_to
from .errors import ConfigError, MajordomoError, UnsupportedError, classify
from .llm import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Union

    from .batch import Outcome

    Id = Union[str, int]

__all__ = ["LONGEST_LINE", "fields_of", "is_torn", "request_of", "result_in", "result_line"]

_FIELDS = ("id", "prompt", *Request.__match_args__)
LONGEST_LINE = 64 << 20  # bytes
LONGEST_PARTIAL = 10_000  # characters of an answer that cannot be kept whole
_SYSTEM = ("system", "developer")


def fields_of(line: bytes) -> dict[str, Any]:
    """What a line holds, an `id` among it; MajordomoError says what is wrong."""
    found = _json.loads(line, "the line")
    if not isinstance(found, dict):
        raise ConfigError(f"a line is a JSON object, not {shown(found)}")
    if "id" not in found:
        raise ConfigError("the line has no id")
    if not _is_id(found["id"]):
        raise ConfigError(f"an id is text or a whole number, not {shown(found['id'])}")
    return found


def request_of(fields: dict[str, Any], defaults: Mapping[str, Any]) -> Request:
    """What a line asks, with `defaults` for what it does not say; ConfigError for what it cannot."""
    for name in fields:
        if name not in _FIELDS:
            raise ConfigError(f"unknown field {shown(name)}{close_to(name, list(_FIELDS))}")
    if ("prompt" in fields) == ("messages" in fields):
        raise ConfigError("a line has a prompt or messages, and not both")
    given = fields.get("messages", [{"role": "user", "content": fields.get("prompt")}])
    if not isinstance(given, list):
        raise ConfigError(f"messages is an array, not {shown(given)}")
    system, messages = [fields["system"]] if fields.get("system") else [], []
    for message in map(_as_kept, given):
        if isinstance(message, str):
            system.append(message)
        else:
            messages.append(message)
    if len(system) > 1 and isinstance(system[0], str):
        system = ["\n\n".join(system)]
    fields = {**fields, "messages": messages, **({"system": system[0]} if system else {})}
    request = Request.from_dict(fields)
    return Request.of(request, {name: value for name, value in defaults.items() if fields.get(name) is None})


def _as_kept(message: Any) -> Any:
    """A message as `Message.to_dict` has it, a text if it is a part of the system prompt."""
    if not isinstance(message, dict) or not message.keys() & {"content", "parts"}:
        raise ConfigError(f"a message is an object with a role and a content, or parts, not {shown(message)}")
    if "content" not in message:
        return message
    role, content = message.get("role"), message["content"]
    more = message.keys() - {"role", "content"}
    if more:
        raise ConfigError(f"a message with a content has a role and nothing else, and this one has {shown(min(more))}")
    if not isinstance(content, str):
        raise ConfigError(f"the text of a prompt or a message is a string, not {shown(content)}")
    return content if role in _SYSTEM else {"role": role, "parts": [{"type": "text", "text": content}]}


def result_line(id: Id, request: Request, outcome: Outcome) -> tuple[bytes, Outcome]:
    """The line that tells how a request ended, and what it tells of: an answer that cannot be kept is an error."""
    try:
        line = _line({"id": id, **_told(request, outcome)})
        if len(line) > COUNTED_FROM and (len(line) > LONGEST_LINE or result_in(line) is None):
            raise UnsupportedError("the answer is too long to be kept in a file of results")
        return line, outcome
    except (ConfigError, UnsupportedError) as exc:  # or it holds a number that JSON does not have
        exc.partial = getattr(outcome, "text", "")[:LONGEST_PARTIAL]
        return _line({"id": id, **_told(request, exc)}), exc


def _line(found: dict[str, Any]) -> bytes:
    return _json.dumps(found, "the answer").encode("ascii") + b"\n"


def _told(request: Request, outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, MajordomoError):
        partial = {"partial": outcome.partial} if outcome.partial else {}
        return {"error": str(outcome), "kind": classify(outcome).value, **partial}
    whole = outcome.to_dict()
    found = {"text": outcome.text, "model": whole["model"], "usage": whole["usage"]}
    if request.schema is not None:
        found["parsed"] = whole["parsed"]
    if whole["stop_reason"] != "stop":
        found["stop_reason"] = whole["stop_reason"]
    calls = [part for part in whole["message"]["parts"] if part["type"] == "tool_call"]
    rare = {"refusal": whole["refusal"], "warnings": whole["warnings"], "tool_calls": calls}
    return {**found, **{name: value for name, value in rare.items() if value}}


def result_in(line: bytes) -> tuple[Id, bool] | None:
    """Which id a line tells of, and whether it failed; None if it is no line of `result_line`."""
    found = _read(line)
    if not isinstance(found, dict) or not _is_id(found.get("id")) or not ("text" in found or "error" in found):
        return None
    return found["id"], "error" in found


def is_torn(line: bytes) -> bool:
    """Whether a last line is the beginning of one, or what a power cut leaves of it."""
    return not line.endswith(b"\n") and _read(line) is None


def _read(line: bytes) -> Any:
    try:
        return _json.loads(line)
    except MajordomoError:
        return None


def _is_id(value: Any) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool)

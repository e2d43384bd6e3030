"""The errors of Anthropic's API, and what they teach about a model.

The vendor promises `error.type` and `details.error_code`, and no wording; what is told in
words alone has a row below. Source: as in `anthropic` (`_exceptions.py`, "Errors" page),
texts as seen in public.
"""

from __future__ import annotations

import re

from ._shared import Remedy, error_in, error_object, inner_error, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..errors import APIError
    from ._shared import Facts

# The type of an error that came without a status -> the status it would have had.
_STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}

# What a 400 says only in words: (how its message begins, our code).
_PATTERNS = (
    (r"prompt is too long", "context_length_exceeded"),
    (r"input length and `?max_tokens`? exceed context limit", "context_length_exceeded"),
    (r"your credit balance is too low", "insufficient_balance"),
    (r"you have reached your specified .{0,20}usage limits", "enforced_spend_limit_reached"),
    (r"output blocked by content filtering policy", "content_filter"),
)
_NAMED = r"[`'\"]?([a-z][a-z0-9_]*(?:\.[a-z0-9_]+)*)[`'\"]?(?::| is (?:deprecated|not)) "  # what a message begins with


def raise_error(payload: Any) -> None:
    """Raise the error that a 2xx payload or an event holds, with the status it would have had."""
    found = error_object(payload)
    if found is not None:
        status = _STATUS_OF_TYPE.get(text_of(found.get("type")), 500)
        raise inner_error(payload, status, _facts(found, status))


def read_error(status: int, text: str) -> Facts:
    """(message, code, param, seconds to wait) of an error's body, whatever its shape."""
    return _facts(error_in(text), status)


def _facts(found: dict[str, Any], status: int) -> Facts:
    message, details = text_of(found.get("message")) or text_of(found.get("type")), found.get("details")
    code = text_of(details.get("error_code")) if isinstance(details, dict) else ""
    code = code or text_of(found.get("code")) or text_of(found.get("type"))
    if status == 400:
        code = next((ours for pattern, ours in _PATTERNS if re.match(pattern, message, re.I)), code)
    named = re.match(_NAMED, message) if status in (400, 404, 422) else None
    return message, code.lower() or None, named[1] if named else None, None


_AT = r"(?:messages\.[\w.]+: )?"
_NOT = r".{0,80}(?:not (?:supported|permitted|compatible|available)|deprecated|unsupported)"
_NO_INPUT = r".{0,30}extra inputs are not permitted"

# What a 400 teaches: how its message begins, what of the body it is about (see `_sent`), what
# is kept in `remedies` ("{}": the value that was sent), and whether that holds for later requests.
_TEACH = (
    (_AT + r"(?:invalid `?signature`? in|.{0,80}bound to a different conversation)", "signature", "signature", False),
    (
        _AT + r"`?thinking`? (?:or `?redacted_thinking`? )?blocks .{0,60}cannot be modified",
        "signature",
        "signature",
        False,
    ),
    (_AT + r"expected `?thinking`? or `?redacted_thinking", "thinking", "thinking", False),
    (r"thinking may not be enabled when tool_choice", "tool_choice", "thinking+tool_choice", True),
    (r"\W?tool_choice\b" + _NOT, "tool_choice", "tool_choice", True),
    (r"(?:thinking:" + _NO_INPUT + r"|.{0,60}does not support thinking)", "thinking", "thinking", True),
    (r"adaptive thinking is not supported", "thinking", "thinking={}", True),
    (r"\W?thinking\b(?:" + _NOT + r"|.{0,80}does not match)", "thinking", "thinking={}", True),
    (r"(?:.{0,60}does not support the effort|output_config(?:\.effort)?:" + _NO_INPUT + ")", "effort", "effort", True),
    (r"\W?(?:output_config\.)?effort\b", "effort", "effort={}", True),
    (r"output_config\.format\.", "schema", "schema", False),  # something within it
    (r"output_config(?:\.format)?:" + _NO_INPUT, "schema", "schema", True),
    (r".{0,60}structured outputs?\b" + _NOT, "schema", "schema", True),
    (r"tools\.0\.(?:\w+\.)?input_schema", "answer", "answer", False),
    (r"\W?temperature\W{1,5}and\W{1,5}top_p\b.{0,20}cannot both", "top_p", "temperature+top_p", True),
    (r"\W?temperature\b.{0,20}may only be set to 1", "temperature", "temperature", False),
    (r"\W?temperature\b" + _NOT, "temperature", "temperature", True),
    (r"\W?top_p\b" + _NOT, "top_p", "top_p", True),
)


def remedy(error: APIError, body: dict[str, Any], remedies: dict[str, str | None]) -> Remedy | None:
    """What of a body an error calls unsupported; None if it is about something else, or was mended before."""
    if error.status not in (400, 422):
        return None
    for pattern, about, said, lasting in _TEACH:
        sent = _sent(body, about)
        if sent and re.match(pattern, error.message, re.I):
            said = said.format(sent)
            return None if said in remedies else Remedy(said, lasting=lasting)
    return None


def _sent(body: dict[str, Any], about: str) -> Any:
    """What a body says of one matter; nothing if it says nothing that could be left out."""
    output, choice = body.get("output_config"), body.get("tool_choice")
    if about == "effort":
        return output.get("effort") if isinstance(output, dict) else None
    if about == "schema":
        return output.get("format") if isinstance(output, dict) else None
    if about == "tool_choice":
        return isinstance(choice, dict) and choice.get("type") in ("any", "tool")
    if about == "answer":  # asked for as a tool's arguments: what else says that there is to be one call?
        return isinstance(choice, dict) and "disable_parallel_tool_use" in choice
    if about == "thinking":
        thinking = body.get("thinking")
        return thinking.get("type") if isinstance(thinking, dict) else None
    if about == "signature":
        return any(_is_thinking(block) for message in _list(body, "messages") for block in _list(message, "content"))
    return about in body


def _list(holder: Any, name: str) -> list[Any]:
    """A list of a body, which `extra` may have made anything."""
    found = holder.get(name) if isinstance(holder, dict) else None
    return found if isinstance(found, list) else []


def _is_thinking(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") in ("thinking", "redacted_thinking")

"""What the wires share: ids and arguments of tool calls, pictures as base64, thinking told
from text, instructions in words, the many shapes of an error body."""

from __future__ import annotations

import json
import os
from base64 import b64encode

from .. import _json
from .._loading import loading
from .._words import one_line
from ..errors import APIError, ConfigError, ProtocolError
from ..llm import Image, Message, Response, ToolCall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass
    from typing import Any, Optional

    from ..imagegen import ImageRequest
    from ..llm import Part, Request, Tool, Usage

    Facts = tuple[str, Optional[str], Optional[str], Optional[float]]
else:
    from .._frozen import dataclass

THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"
MOST_CALLS = 1000  # of one answer
ARGUMENTS = "sd_cpp_extra_args"  # in `extra`: what goes to stable-diffusion.cpp alone


@dataclass(frozen=True)
class Remedy:
    """What an error of a server teaches about a request.

    said: a parameter that the server does not take, or one value of it (`"effort=none"`).
    instead: the name to send it under, or the value that is taken; None to leave it out.
    lasting: whether that holds for later requests too.
    """

    said: str
    instead: str | None = None
    lasting: bool = True


def settled(said: str, remedies: dict[str, str | None]) -> str | None:
    """What is sent in the end for a value, after all that was learned of it; None to leave it out.

    Servers may contradict each other behind one name: a value that leads back to itself is left out.
    """
    seen = set()
    found: str | None = said
    while found in remedies:
        if found in seen:
            return None
        seen.add(found)
        found = remedies[found]
    return found


def base64_of(image: Image) -> str:
    """A picture's bytes as padded base64 without line breaks."""
    return b64encode(image.data).decode("ascii")


def data_url(image: Image) -> str:
    """A picture as a `data:` URL."""
    return f"data:{image.mime};base64,{base64_of(image)}"


def without_arguments(request: ImageRequest) -> dict[str, Any]:
    """What a request to draw has for every server."""
    return {name: value for name, value in request.extra.items() if name != ARGUMENTS}


def told_of_arguments(request: ImageRequest) -> tuple[str, ...]:
    """The warning of a server that is not stable-diffusion.cpp."""
    return (f"extra: {ARGUMENTS} left out, for the target is another server",) if ARGUMENTS in request.extra else ()


def fresh_id() -> str:
    """An id for a tool call whose server gave none."""
    return "call_" + os.urandom(12).hex()


LONGEST_ID = 40  # as OpenAI's Chat Completions takes it; the others take more


def sendable_id(id: str) -> str:
    """A tool call's id as servers take it; one that is too long or odd is replaced, always by the same."""
    if 0 < len(id) <= LONGEST_ID and all(c.isascii() and (c.isalnum() or c in "_-") for c in id):
        return id
    with loading:
        from hashlib import sha256

    return "call_" + sha256(id.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def tool_call(id: Any, name: Any, arguments: Any) -> ToolCall:
    """A tool call from what a server sent, however it sent the arguments.

    Nothing, `""` and null are `{}`; JSON text, also twice encoded, is read; what is no
    JSON object, or one nested too deeply to be sent back, is kept as text in `malformed`.
    """
    call_id = id if isinstance(id, str) and id else fresh_id()
    called = name if isinstance(name, str) else ""
    value, text = arguments, arguments
    for _ in range(2):
        if value is None or value == "":
            return ToolCall(call_id, called, {})
        if isinstance(value, str):
            try:
                value = _json.loads_strictly(value, "arguments")
            except ProtocolError:
                break
    if isinstance(value, dict) and not _json.is_deep(value) and (isinstance(text, str) or _can_be_sent(value)):
        return ToolCall(call_id, called, value)
    return ToolCall(call_id, called, {}, malformed=text if isinstance(text, str) else json_text(text))


def _can_be_sent(value: Any) -> bool:
    """Whether a value is JSON: an object as Python reads it may hold NaN."""
    try:
        _json.dumps(value)
    except ConfigError:
        return False
    return True


def json_text(value: Any) -> str:
    """What a server sent, as text again; never fails."""
    try:
        return json.dumps(value, separators=(",", ":"))
    except RecursionError:
        return "(nested too deeply)"


def too_many_calls() -> ProtocolError:
    """The error of an answer with more tool calls than anybody could mean."""
    return ProtocolError(f"the answer holds more than {MOST_CALLS} tool calls")


def with_unique_ids(calls: list[ToolCall]) -> list[ToolCall]:
    """The calls of one answer, none with another's id; ProtocolError if there are too many to be meant."""
    if len(calls) > MOST_CALLS:
        raise too_many_calls()
    seen: set[str] = set()
    found = []
    for call in calls:
        if call.id in seen:
            call = ToolCall(fresh_id(), call.name, call.arguments, call.signature, call.malformed)
        seen.add(call.id)
        found.append(call)
    return found


class ThinkSplitter:
    """Tells a leading `<think>` block from the text behind it, whatever the pieces.

    Only a block that the answer begins with counts; tags further on are text. White
    space around the block belongs to nobody.
    """

    def __init__(self) -> None:
        self._state = "start"
        self._held = ""
        self._fresh = False  # inside the block, and nothing has been thought yet

    def feed(self, text: str) -> tuple[str, str]:
        """(thinking, text) that this piece makes certain."""
        if self._state == "text":
            return "", text
        held = self._held + text
        self._held = ""
        if self._state == "start":
            if len(held) > 1000 and not text.strip():  # nobody thinks behind so much white space
                self._state = "text"
                return "", held
            shown = held.lstrip()
            if THINK_OPEN.startswith(shown[: len(THINK_OPEN)]) and len(shown) < len(THINK_OPEN):
                self._held = held
                return "", ""
            if not shown.startswith(THINK_OPEN):
                self._state = "text"
                return "", held
            self._state = "thinking"
            held = shown[len(THINK_OPEN) :]
            self._fresh = True
        if self._state == "thinking":
            if self._fresh:
                held = held.lstrip("\n")
                self._fresh = not held
            thought, closed, rest = held.partition(THINK_CLOSE)
            if not closed:
                keep = _overlap(held, THINK_CLOSE)
                self._held = held[len(held) - keep :]
                return held[: len(held) - keep], ""
            self._state = "after"
            thinking, said = thought, rest.lstrip()
        else:
            thinking, said = "", held.lstrip()
        if said:
            self._state = "text"
        return thinking, said

    def close(self) -> tuple[str, str]:
        """(thinking, text) that was held back when the answer ended."""
        held, self._held = self._held, ""
        return (held, "") if self._state == "thinking" else ("", held)


def _overlap(text: str, tag: str) -> int:
    """How many characters at the end of a text may be the beginning of a tag."""
    for size in range(min(len(tag) - 1, len(text)), 0, -1):
        if tag.startswith(text[-size:]):
            return size
    return 0


def split_think(text: str) -> tuple[str, str]:
    """(thinking, text) of a whole answer."""
    if not text.lstrip().startswith(THINK_OPEN):
        return "", text
    splitter = ThinkSplitter()
    thinking, said = splitter.feed(text)
    more_thinking, more_said = splitter.close()
    return (thinking + more_thinking).rstrip("\n"), said + more_said


def response_of(
    parts: list[Part],
    reason: str,
    usage: Usage,
    raw: Any,
    schema: Any,
    refusal: str = "",
    answer: str | None = None,
) -> Response:
    """The response that these parts are; with a schema also the value that its text holds.

    answer: that text, where it is not all of the text. Raises TruncatedError for an answer
    to a schema that was cut, ProtocolError for one that does not follow it.
    """
    last = parts[-1] if parts else None
    if reason == "length" and isinstance(last, ToolCall) and not last.arguments and last.malformed is None:
        # cut, for all we know, before the first piece of its arguments: it must not be run as it is
        parts = [*parts[:-1], ToolCall(last.id, last.name, {}, last.signature, malformed="")]
    elif reason == "tool_calls" and not any(isinstance(part, ToolCall) for part in parts):
        reason = "other"
    message = Message("assistant", tuple(parts))
    response = Response(message, reason, usage, raw=raw, refusal=refusal)
    if schema is None:
        return response
    with loading:
        from .. import _structured

    return _structured.read(response, schema, answer)


def instructed(request: Request, *words: str) -> str:
    """The system prompt with further instructions behind it, `""` if there is nothing but white space."""
    return "\n\n".join([text for text in (request.system, *words) if text and not text.isspace()])


def parameters_of(tool: Tool) -> dict[str, Any]:
    """The JSON Schema of a tool's arguments, which every server wants to be an object's."""
    given = tool.parameters
    return given if "type" in given else {"type": "object", "properties": {}, **given}


def declared(tool: Tool, schema: str = "parameters") -> dict[str, Any]:
    """A tool as most servers are told of it. schema: their word for the schema of its arguments."""
    described = {"description": tool.description} if tool.description else {}
    return {"name": tool.name, **described, schema: parameters_of(tool)}


def only_named(request: Request) -> tuple[tuple[Tool, ...], str]:
    """(tools, choice) for a server that is told no tool by name: the named one is the only one, and must be called."""
    tools, choice = request.tools, request.tool_choice
    if choice in ("auto", "none", "required"):
        return tools, choice
    return tuple([tool for tool in tools if tool.name == choice]), "required"


# A level of reasoning -> what servers call it that have it; the others are called as here.
_LEVELS = {"off": ("none",), "max": ("max", "xhigh")}


def tell_level(told: list[str], level: str, sent: str) -> None:
    """Say that a level of reasoning is sent as another one, if it is."""
    if sent.lower() not in _LEVELS.get(level, (level,)):
        told.append(f"reasoning: sent as {sent}, for the target does not take {level}")


def call_in_words(choice: str) -> str:
    """An instruction to call a tool, for servers that cannot be made to. choice: `required` or a name."""
    which = "one of the tools" if choice == "required" else f"the tool {choice}"
    return f"Do not answer in text. Call {which}."


def error_object(payload: Any) -> dict[str, Any] | None:
    """The error in a JSON payload as `{message, type, code, param, ...}`, None if it holds none.

    Knows `{"error": {...}}`, `{"error": "text"}`, `{"object": "error", ...}`,
    `{"detail": ...}`, `{"message": ...}` and a list with one of them.
    """
    if isinstance(payload, list) and payload:
        payload = payload[0]
    if not isinstance(payload, dict):
        return None
    inner = payload.get("error")
    if isinstance(inner, dict) and inner:
        finer = payload.get("error_type")  # OpenRouter's, where the code is coarse
        return {**inner, "error_type": finer} if isinstance(finer, str) else inner
    if isinstance(inner, str) and inner:
        message = payload.get("message")
        return {**payload, "message": f"{inner}: {message}" if isinstance(message, str) else inner}
    if payload.get("object") == "error":
        return payload
    detail = payload.get("detail")
    if isinstance(detail, str):
        return {"message": detail}
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        return _fastapi(detail[0])
    if isinstance(payload.get("message"), str) and "choices" not in payload:
        return payload
    return None


def _fastapi(detail: dict[str, Any]) -> dict[str, Any]:
    place = detail.get("loc")
    steps = [str(step) for step in place if step != "body"] if isinstance(place, list) else []
    found: dict[str, Any] = {"message": f"{'.'.join(steps)}: {detail.get('msg', '')}", "type": detail.get("type")}
    if steps:
        found["param"] = steps[0]
    return found


def error_in(text: str) -> dict[str, Any]:
    """The error in a body that came with a status; a body that is no JSON is its own message."""
    try:
        found = error_object(_json.loads(text)) if text.lstrip()[:1] in ("{", "[") else None
    except ProtocolError:
        found = None
    return found or {"message": text}


def inner_error(payload: Any, status: int, facts: Facts, partial: str = "") -> APIError:
    """The error that a 2xx payload holds. facts: its message, code, param and the seconds to wait."""
    message, code, param, wait = facts
    body = one_line(json_text(payload), 4000)
    code, param = code and one_line(code, 80), param and one_line(param, 80)
    return APIError(status, one_line(message, 300), code, retry_after=wait, body=body, param=param, partial=partial)


def text_of(value: Any) -> str:
    """A string as it is, anything else as nothing."""
    return value if isinstance(value, str) else ""


def count_of(value: Any) -> int | None:
    """A count of tokens, None if the server did not say one, or an absurd one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None

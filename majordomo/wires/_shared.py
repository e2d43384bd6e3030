"""What the wires share: tool calls put together from pieces, pictures as base64,
thinking told from text, the many shapes of an error body."""

from __future__ import annotations

import json
import os
from base64 import b64encode

from .. import _json
from ..errors import APIError, ConfigError, ProtocolError, TruncatedError
from ..llm import Image, Message, Response, Text, Thinking, ToolCall
from ..model import TextDelta, ThinkingDelta, ToolCallDelta

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass
    from typing import Any, Optional

    from ..imagegen import ImageRequest
    from ..llm import Part, Request, Tool, Usage
    from ..model import Delta

    Facts = tuple[str, Optional[str], Optional[str], Optional[float]]
else:
    from .._frozen import dataclass

MOST_CALLS = 1000  # of one answer
THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"
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


def sendable_id(id: str, longest: int = 40) -> str:
    """A tool call's id as a server takes it; one that is too long or odd is replaced, always by the same."""
    if 0 < len(id) <= longest and all(c.isascii() and (c.isalnum() or c in "_-") for c in id):
        return id
    from hashlib import sha256

    return "call_" + sha256(id.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def tool_call(id: Any, name: Any, arguments: Any) -> ToolCall:
    """A tool call from what a server sent, however it sent the arguments.

    Nothing, `""` and null are `{}`; JSON text, also twice encoded, is read; what is no
    JSON object is kept as text in `malformed`.
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
    if isinstance(value, dict) and (isinstance(text, str) or _can_be_sent(value)):
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


def with_unique_ids(calls: list[ToolCall]) -> list[ToolCall]:
    """The calls of one answer, none with another's id."""
    seen: set[str] = set()
    found = []
    for call in calls:
        if call.id in seen:
            call = ToolCall(fresh_id(), call.name, call.arguments, call.signature, call.malformed)
        seen.add(call.id)
        found.append(call)
    return found


class ToolCalls:
    """Tool calls put together from the pieces of a stream.

    Pieces belong together by `index`; a server that sends none, or always the same one,
    starts a new call with a new id or a new name. Ids and names may be repeated in each
    piece, names also grow.
    """

    def __init__(self) -> None:
        self._calls: list[dict[str, Any]] = []
        self._by_index: dict[Any, int] = {}

    def add(self, index: Any, id: Any, name: Any, arguments: Any) -> int:
        """Take a piece; gives the position of its call."""
        id = id if isinstance(id, str) else ""
        name = name if isinstance(name, str) else ""
        position = self._by_index.get(index) if isinstance(index, int) else len(self._calls) - 1
        if position is None or position < 0 or self._is_new(self._calls[position], id, name):
            position = len(self._calls)
            if position >= MOST_CALLS:
                raise ProtocolError(f"the answer holds more than {MOST_CALLS} tool calls")
            self._calls.append({"id": "", "name": "", "arguments": []})
        if isinstance(index, int):
            self._by_index[index] = position
        call = self._calls[position]
        call["id"] = call["id"] or id
        if name.startswith(call["name"]):
            call["name"] = name
        elif name:
            call["name"] += name
        if isinstance(arguments, str):
            if arguments:
                call["arguments"].append(arguments)
        elif arguments is not None:
            call["arguments"] = [json_text(arguments)]
        return position

    @staticmethod
    def _is_new(call: dict[str, Any], id: str, name: str) -> bool:
        if id and call["id"] and id != call["id"]:
            return True
        if id or not name:
            return False
        if not call["arguments"] or name != call["name"]:
            return bool(call["arguments"])
        return not call["id"] and _is_whole(call["arguments"])

    def name(self, position: int) -> tuple[str, str]:
        """What is known of a call: its id and its name."""
        call = self._calls[position]
        return call["id"], call["name"]

    def finished(self) -> list[ToolCall]:
        """All calls, their arguments read."""
        calls = [tool_call(call["id"], call["name"], "".join(call["arguments"])) for call in self._calls]
        return with_unique_ids(calls)


def _is_whole(pieces: list[str]) -> bool:
    """Whether arguments need no further piece; those that are many or long are not read again for each."""
    if len(pieces) > 50 or sum(map(len, pieces)) > 10_000 or not pieces[-1].rstrip().endswith("}"):
        return False
    try:
        return isinstance(_json.loads("".join(pieces)), dict)
    except ProtocolError:
        return False


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
    to a schema that was cut, ProtocolError for one that is no JSON.
    """
    message = Message("assistant", tuple(parts))
    parsed = None
    if schema is not None and reason not in ("refusal", "tool_calls"):
        text = message.text if answer is None else answer
        if reason in ("length", "content_filter"):
            cut = "max_tokens" if reason == "length" else "content_filter"
            raise TruncatedError(f"the answer to the schema was cut ({reason})", code=cut, partial=text)
        try:
            parsed = parse_json_answer(text)
        except ProtocolError as exc:
            exc.partial = text
            raise
    return Response(message, reason, usage, raw=raw, parsed=parsed, refusal=refusal)


def parse_json_answer(text: str) -> Any:
    """The JSON of an answer to a schema, also within a fence; ProtocolError if it is none."""
    bare = text.strip()
    if bare.startswith("```") and bare.endswith("```") and "\n" in bare:
        bare = bare[bare.index("\n") : -3]
    return _json.loads(bare, "the answer to the schema")


class Growing:
    """An answer as its pieces come; each that is taken gives its deltas.

    Parts stand in the order in which they began. A piece goes on with the part of its
    `key` (a server's own number for it, say); without one, with the last part if that is of
    its kind and not signed. tags: the server may think in a leading `<think>` block, see `ThinkSplitter`.
    """

    def __init__(self, tags: bool = False) -> None:
        self.calls = ToolCalls()
        self._tags = tags
        self._splitter = ThinkSplitter() if tags else None
        self._parts: list[_Piece] = []
        self._by_key: dict[Any, _Piece] = {}
        self._said: list[str] = []

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._said)

    def say(self, text: str, key: Any = None) -> list[Delta]:
        """The answer goes on with this text."""
        if self._splitter is None:
            return self._said_more(text, key)
        thought, said = self._splitter.feed(text)
        if said:  # from here on all is text
            self._splitter = None
        return self._thought_more(thought, key) + self._said_more(said, key)

    def think(self, text: str, key: Any = None) -> list[Delta]:
        """The thinking, which has a field of its own here, goes on with this text; tags are text from now on."""
        if not text:
            return []
        return self._thought_more(text, key) + self.close(key)

    def close(self, key: Any = None) -> list[Delta]:
        """What was held back because it might have been a tag."""
        splitter, self._splitter = self._splitter, None
        if splitter is None:
            return []
        thought, said = splitter.close()
        return self._thought_more(thought, key) + self._said_more(said, key)

    def _said_more(self, text: str, key: Any) -> list[Delta]:
        if not text:
            return []
        self._part(Text, key).pieces.append(text)
        self._said.append(text)
        return [TextDelta(text)]

    def _thought_more(self, text: str, key: Any) -> list[Delta]:
        if not text:
            return []
        self._part(Thinking, key).pieces.append(text)
        return [ThinkingDelta(text)]

    def begin(self, kind: type, key: Any) -> None:
        """A part takes its place, before its first piece comes."""
        self._part(kind, key)

    def sign(self, kind: type, signature: str, key: Any = None) -> None:
        """Opaque data of the part of this key; of the last part of its kind without one. Later ones win."""
        self._part(kind, key, signed=True).signature = signature

    def show(self, image: Image) -> None:
        """A picture, which comes whole; no delta tells of it."""
        shown = _Piece(Image)
        shown.pieces.append(image)
        self._parts.append(shown)

    def call(
        self, index: Any, id: Any, name: Any, arguments: Any, *, signature: str | None = None, told: bool = True
    ) -> list[Delta]:
        """A tool call begins or goes on; `told` is False for what the reader knows already."""
        position = self.calls.add(index, id, name, arguments)
        if ("call", position) not in self._by_key:
            self._by_key["call", position] = made = _Piece(ToolCall)
            self._parts.append(made)
        if signature is not None:
            self._by_key["call", position].signature = signature
        if arguments is not None and not isinstance(arguments, str):
            arguments = json_text(arguments)
        return [ToolCallDelta(position, *self.calls.name(position), arguments or "")] if told else []

    def _part(self, kind: type, key: Any, signed: bool = False) -> _Piece:
        found = self._by_key.get((kind, key)) if key is not None else self._parts[-1] if self._parts else None
        closed = found is not None and key is None and found.signature is not None and not signed
        if found is None or found.kind is not kind or closed:
            found = _Piece(kind)
            self._parts.append(found)
            if key is not None:
                self._by_key[kind, key] = found
        return found

    def parts(self) -> list[Part]:
        """The parts as they are now, with their signatures; those of nothing are left out."""
        calls = iter(self.calls.finished())
        found: list[Part] = []
        for piece in self._parts:
            if piece.kind is ToolCall:
                call = next(calls)
                signed = ToolCall(call.id, call.name, call.arguments, piece.signature, call.malformed)
                found.append(call if piece.signature is None else signed)
            elif piece.kind is Image:
                found.append(piece.pieces[0])
            elif piece.pieces or piece.signature is not None:
                text = "".join(piece.pieces)
                trimmed = self._tags and piece.kind is Thinking  # of the line end in front of `</think>`
                found.append(piece.kind(text.rstrip("\n") if trimmed else text, piece.signature))
        return found


class _Piece:
    """A part that grows."""

    __slots__ = ("kind", "pieces", "signature")

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self.pieces: list[Any] = []
        self.signature: str | None = None


def instructed(request: Request, *words: str) -> str:
    """The system prompt with further instructions behind it, `""` if there is nothing but white space."""
    return "\n\n".join([text for text in (request.system, *words) if text and not text.isspace()])


def only_named(request: Request) -> tuple[tuple[Tool, ...], str]:
    """(tools, choice) for a server that is told no tool by name: the named one is the only one, and must be called."""
    tools, choice = request.tools, request.tool_choice
    if choice in ("auto", "none", "required"):
        return tools, choice
    return tuple([tool for tool in tools if tool.name == choice]), "required"


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


def inner_error(payload: Any, status: int, facts: Facts, partial: str) -> APIError:
    """The error that a 2xx payload holds. facts: its message, code, param and the seconds to wait."""
    message, code, param, wait = facts
    body = one_line(json_text(payload), 4000)
    code, param = code and one_line(code, 80), param and one_line(param, 80)
    return APIError(status, one_line(message, 300), code, retry_after=wait, body=body, param=param, partial=partial)


def one_line(text: str, longest: int) -> str:
    """Somebody else's words on one line, with nothing that could drive a terminal, cut to `longest`."""
    line = " ".join("".join([c if c.isprintable() else " " for c in text[: longest * 4]]).split())
    return line if len(line) <= longest else line[: longest - 3] + "..."


def text_of(value: Any) -> str:
    """A string as it is, anything else as nothing."""
    return value if isinstance(value, str) else ""


def count_of(value: Any) -> int | None:
    """A count of tokens, None if the server did not say one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None

"""OpenAI's Responses, used without state: the server keeps nothing, each request holds the conversation whole.

Source, where nothing else is said: openai-python 3.54 of November 2026 (`types/responses`)
and openai-openapi of August 2026 for the wire, llama.cpp's `tools/server` of October 2026,
vLLM, LM Studio and OpenRouter of 2026 for how lookalikes differ.
"""

from __future__ import annotations

import re

from .. import _json
from ..errors import ProtocolError, TruncatedError
from ..llm import Image, Text, Thinking, ToolCall, Usage, merge
from ._conversation import arranged, with_images_moved
from ._growing import Growing
from ._shared import (
    Remedy,
    count_of,
    data_url,
    fresh_id,
    instructed,
    only_named,
    parameters_of,
    response_of,
    settled,
    tell_level,
    text_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from dataclasses import dataclass, field
    from typing import Any

    from ..errors import APIError
    from ..llm import Part, Request, Response
    from ..model import Delta
    from ._conversation import Answer, Turn
    from ._shared import Facts
else:
    from .._frozen import dataclass, field

FRAMING = "sse"
SEALED = "reasoning.encrypted_content"
MOST_ITEMS = 10_000  # of one answer
LEAST_TOKENS = 16  # of `max_output_tokens`; what is less is a 400


def path(model: str, stream: bool) -> str:
    """Where a question goes, behind the base URL."""
    return "/responses"


def read_error(status: int, text: str) -> Facts:
    """(message, code, param, seconds to wait) of an error's body; what reads it is loaded with the first.

    That a model is to be asked over this wire is no news here: such an error says that the
    server does not have it.
    """
    from . import _openai_errors

    message, code, param, wait = _openai_errors.read_error(status, text)
    return message, "wire_not_supported" if code == "responses_only" else code, param, wait


def raise_error(payload: Any, partial: str = "") -> None:
    """Raise the error that a 2xx payload holds, with the status it would have had."""
    from . import _openai_errors

    _openai_errors.raise_error(payload, partial)


@dataclass(frozen=True)
class Quirks:
    """How a server, and a model, differ from the others on this wire.

    official: OpenAI's own, or Azure's. efforts: those that the model takes, `()` if it does
    not reason, None if nobody knows. sampling: with which of them it takes `temperature` and
    `top_p`, `""` being none sent; None for all. hidden: its thinking comes sealed, and in
    readable form only as a summary that is asked for. silent_limit: it may not tell that it
    stopped at `max_output_tokens`, as llama-server and Ollama. remedies: what it does not
    take, learned from its errors: a parameter -> None to leave it out, or the least it may
    be; a value of one (`"reasoning.effort=none"`) -> the one to send instead.
    """

    official: bool = False
    silent_limit: bool = False
    efforts: tuple[str, ...] | None = None
    sampling: tuple[str, ...] | None = None
    hidden: bool = False
    remedies: dict[str, str | None] = field(default_factory=dict)


def encode(
    request: Request,
    model: str,
    quirks: Quirks,
    *,
    target: str = "",
    stream: bool = False,
    told: list[str] | None = None,
) -> dict[str, Any]:
    """The body of a request; see `wires`."""
    told = [] if told is None else told
    body: dict[str, Any] = {"model": model, "store": False, "input": _encode_input(request, quirks, target)}
    system = instructed(request)
    if system:
        body["instructions"] = system
    _encode_tools(body, request, quirks)
    if request.schema is not None:
        body["text"] = {"format": _encode_schema(request.schema)}
    body.update(_settings(request, quirks, told))
    if "input.reasoning" in quirks.remedies:
        told.append("messages: thinking left out, for the target does not take it back")
    if quirks.hidden and "include" not in quirks.remedies:
        body["include"] = [SEALED]
    if stream:
        body["stream"] = True
        if quirks.official and "stream_options" not in quirks.remedies:
            body["stream_options"] = {"include_obfuscation": False}
    return merge(body, request.extra) if request.extra else body


# --- the conversation


def _encode_input(request: Request, quirks: Quirks, target: str) -> list[dict[str, Any]]:
    turns = arranged(request, target)
    if not quirks.official:  # llama-server and LM Studio refuse pictures in results
        turns = with_images_moved(turns)
    found: list[dict[str, Any]] = []
    sent: set[str] = set()
    for turn in turns:
        found += _encode_assistant(turn, quirks, sent) if turn.role == "assistant" else [_encode_user(turn.parts)]
        for answer in turn.answers:
            found.append({"type": "function_call_output", "call_id": answer.id, "output": _encode_answer(answer)})
    return found or [_encode_user([Text("")])]  # an empty list is refused


def _encode_user(parts: Sequence[Part]) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [_encode_part(part) for part in parts]}


def _encode_part(part: Part) -> dict[str, Any]:
    if isinstance(part, Image):
        return {"type": "input_image", "image_url": data_url(part), "detail": "auto"}
    return {"type": "input_text", "text": text_of(getattr(part, "text", None))}


def _encode_answer(answer: Answer) -> str | list[dict[str, Any]]:
    if not answer.images:
        return f"Error: {answer.text}" if answer.is_error else answer.text
    head = [Text("Error:")] if answer.is_error else []
    return [_encode_part(part) for part in (*head, *answer.parts)]


def _encode_assistant(turn: Turn, quirks: Quirks, sent: set[str]) -> list[dict[str, Any]]:
    """The items of a turn; thinking only in front of what followed from it, which the server insists on.

    sent: the ids of thinking that was sent before; none may come twice.
    """
    found: list[dict[str, Any]] = []
    thought: list[dict[str, Any]] = []
    # DeepSeek loses the pairing of calls and results when text stands between them
    parts = turn.parts if quirks.official else sorted(turn.parts, key=lambda part: isinstance(part, ToolCall))
    for part in parts:
        if isinstance(part, Thinking):
            item = None if "input.reasoning" in quirks.remedies else _encode_thinking(part, quirks)
            if item is not None and item.get("id") not in sent:
                thought.append(item)
                sent.add(item.get("id", ""))
            continue
        item = _encode_call(part) if isinstance(part, ToolCall) else _encode_text(part)
        if item is None:
            continue
        before = found[-1] if found and not thought else {}
        if "phase" not in before and "phase" not in item and before.get("type") == item["type"] == "message":
            before["content"] += item["content"]
            continue
        found += [*thought, item]
        thought = []
    return found


def _encode_text(part: Part) -> dict[str, Any] | None:
    if not isinstance(part, Text) or not part.text:
        return None
    item = {"type": "message", "role": "assistant", "content": part.text}
    return {**item, "phase": _phase(part)} if _phase(part) else item


def _encode_call(call: ToolCall) -> dict[str, Any]:
    """A call; the id of its item stays away, for the server would look it up."""
    arguments = _json.dumps(call.arguments, "a tool call's arguments")
    item = {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments}
    namespace = text_of(_opened(call.signature).get("namespace"))
    return {**item, "namespace": namespace} if namespace else item


def _encode_thinking(part: Thinking, quirks: Quirks) -> dict[str, Any] | None:
    """A reasoning item as it came; None for what the server could only look up, having kept nothing."""
    known = _opened(part.signature)
    item: dict[str, Any] = {"type": "reasoning", "summary": []}
    if text_of(known.get("id")):
        item["id"] = known["id"]
    opened = "content" in known
    texts = _split(part.text, known.get("content" if opened else "summary"))
    if text_of(known.get("encrypted_content")):
        item["encrypted_content"] = known["encrypted_content"]
        if not opened:
            item["summary"] = [{"type": "summary_text", "text": text} for text in texts]
        return item
    if not (opened and texts) or quirks.official:
        return None
    return {**item, "content": [{"type": "reasoning_text", "text": text} for text in texts]}


def _split(text: str, lengths: Any) -> list[str]:
    """The parts that a text of thinking was joined from, by their lengths; one part if those do not fit."""
    found, at = [], 0
    for length in lengths if isinstance(lengths, list) else ():
        size = count_of(length) or 0
        found.append(text[at : at + size])
        at += size + len(_BETWEEN)
    if found and _BETWEEN.join(found) == text:
        return found
    return [text] if text else []


_BETWEEN = "\n\n"  # parts of thinking


def _opened(signature: str | None) -> dict[str, Any]:
    """What a signature of ours holds; `{}` for another's."""
    try:
        value = _json.loads_strictly(signature, "a signature") if signature else None
    except ProtocolError:
        value = None
    return value if isinstance(value, dict) else {}


def _phase(part: Text) -> str:
    return text_of(_opened(part.signature).get("phase"))


# --- what is asked beside it


def _encode_tools(body: dict[str, Any], request: Request, quirks: Quirks) -> None:
    if not request.tools:
        return
    from ._schema import is_strict

    # nobody knows whether llama-server, which takes a name, obeys it
    tools, choice = (request.tools, request.tool_choice) if quirks.official else only_named(request)
    body["tools"] = [
        {
            "type": "function",
            "name": tool.name,
            **({"description": tool.description} if tool.description else {}),
            "parameters": parameters_of(tool),
            "strict": is_strict(
                parameters_of(tool)
            ),  # left out it means true here, and optional properties are filled in
        }
        for tool in tools
    ]
    if choice in ("none", "required"):
        body["tool_choice"] = choice
    elif choice != "auto":
        body["tool_choice"] = {"type": "function", "name": choice}


def _encode_schema(schema: Any) -> dict[str, Any]:
    from ._schema import named

    return {"type": "json_schema", **named(schema)}


def _settings(request: Request, quirks: Quirks, told: list[str]) -> dict[str, Any]:
    """The settings of a request as they are sent."""
    body = _reasoning(request.reasoning, quirks, told)
    effort = body["reasoning"]["effort"] if body else ""
    for name in ("temperature", "top_p"):
        value = getattr(request, name)
        if value is None:
            continue
        if name not in quirks.remedies and (quirks.sampling is None or effort in quirks.sampling):
            body[name] = value
        else:
            only = quirks.sampling and name not in quirks.remedies
            told.append(f"{name}: left out, for the target {'takes it only without reasoning' if only else _NO_OPTION}")
    if request.max_tokens is not None:
        least = quirks.remedies.get("max_output_tokens", str(LEAST_TOKENS))
        if least is None:
            told.append(f"max_tokens: left out, for the target {_NO_OPTION}")
        else:
            body["max_output_tokens"] = max(request.max_tokens, int(least))
            if request.max_tokens < int(least):
                told.append(f"max_tokens: sent as {least}, for the target takes no less")
    for name in ("stop", "seed"):
        if getattr(request, name) not in (None, ()) and name not in request.extra:
            told.append(f"{name}: left out, for the target {_NO_OPTION}")
    return body


_NO_OPTION = "has no such option"

# From least to most. Source: openai-python, `types/shared/reasoning_effort`.
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def _reasoning(level: str | None, quirks: Quirks, told: list[str]) -> dict[str, Any]:
    """The `reasoning` of a request."""
    if level is None:
        return {}
    wanted = "none" if level == "off" else level
    effort = None if "reasoning" in quirks.remedies else _effort(wanted, quirks)
    if effort is None:
        if level != "off":
            told.append(f"reasoning: left out, for the target {_NO_OPTION}")
        return {}
    tell_level(told, level, effort)
    reasoning = {"effort": effort}
    if quirks.hidden and level != "off":
        if "reasoning.summary" not in quirks.remedies:
            reasoning["summary"] = "auto"
        else:
            told.append("reasoning: stays hidden, for the target gives no summary of it")
    return {"reasoning": reasoning}


def _effort(wanted: str, quirks: Quirks) -> str | None:
    """What is sent for an effort, None for a model that takes none."""
    found: str | None = wanted
    if quirks.efforts is not None:
        found = _nearest(wanted, quirks.efforts)
    elif wanted == "max":
        found = "high"  # lookalikes know no more
    said = settled(_said(found), quirks.remedies) if found else None
    return said.partition("=")[2] if said else None


def _nearest(wanted: str, accepted: Sequence[str]) -> str | None:
    """The accepted effort next to one, rather more than less; None if there is none."""
    at = _EFFORTS.index(wanted)
    known = [effort for effort in _EFFORTS if effort in accepted]
    return min(known, key=lambda e: (abs(_EFFORTS.index(e) - at), -_EFFORTS.index(e)), default=None)


def _said(effort: str) -> str:
    """The name of a remedy for an effort that is not taken."""
    return f"reasoning.effort={effort}"


# --- answers


def decode(payload: Any, quirks: Quirks, schema: Any = None) -> Response:
    """The answer in a 2xx body.

    Raises APIError for an error that came as a 200, ProtocolError for what is no answer,
    TruncatedError for an answer to a schema that was cut.
    """
    decoder = StreamDecoder(quirks, schema)
    decoder.take(payload)
    return decoder.response()


# Events that bring a piece of an item: (channel, where its part's index and the text stand, whether it is all of it).
_PIECES = {
    "response.output_text.delta": ("text", "content_index", "delta", False),
    "response.output_text.done": ("text", "content_index", "text", True),
    "response.refusal.delta": ("refusal", "content_index", "delta", False),
    "response.refusal.done": ("refusal", "content_index", "refusal", True),
    "response.reasoning_summary_text.delta": ("summary", "summary_index", "delta", False),
    "response.reasoning_summary_text.done": ("summary", "summary_index", "text", True),
    "response.reasoning_text.delta": ("content", "content_index", "delta", False),
    "response.reasoning_text.done": ("content", "content_index", "text", True),
    "response.function_call_arguments.delta": ("arguments", "", "delta", False),
    "response.function_call_arguments.done": ("arguments", "", "arguments", True),
}
# Channel -> the kind of item that has it.
_KINDS = {
    "text": "message",
    "refusal": "message",
    "summary": "reasoning",
    "content": "reasoning",
    "arguments": "function_call",
}
# Kind of item -> its lists of parts, and by the type of a part its channel and where the text stands.
_PARTS: dict[str, dict[str, dict[str, tuple[str, str]]]] = {
    "message": {"content": {"output_text": ("text", "text"), "refusal": ("refusal", "refusal")}},
    "reasoning": {
        "summary": {"summary_text": ("summary", "text")},
        "content": {"reasoning_text": ("content", "text")},
    },
}
_ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
_UNFINISHED = ("in_progress", "queued")


class _Item:
    """An item of the output as it comes.

    number: its place among the items. told: the parts of which something came, by channel
    and index. lengths: characters of its thinking, by part; all of one channel. call: its
    place among the calls. ended: the item, once it is whole.
    """

    __slots__ = ("call", "channel", "ended", "kind", "lengths", "number", "told")

    def __init__(self, number: int, kind: str) -> None:
        self.number = number
        self.kind = kind
        self.told: set[tuple[str, int]] = set()
        self.channel = ""
        self.lengths: dict[int, int] = {}
        self.call: int | None = None
        self.ended: dict[str, Any] | None = None


class StreamDecoder:
    """The events of a stream to our deltas, and at the end to a Response.

    finished, done: the last event has come, with which the answer is whole. A whole answer
    is read the same way, as a last event without others before it.
    """

    def __init__(self, quirks: Quirks, schema: Any = None) -> None:
        self.finished = False
        self.done = False
        self._schema = schema
        self._growing = Growing(tags=not quirks.official)
        self._items: list[_Item] = []
        self._by_key: dict[tuple[str, int | str], _Item] = {}
        self._last: dict[str, _Item] = {}  # of each kind
        self._calls: list[_Item] = []
        self._speaker: int | None = None  # the item that spoke last
        self._refusal: list[str] = []
        self._reason = ""
        self._usage = Usage()
        self._raw: Any = None

    @property
    def partial(self) -> str:
        """The text so far."""
        return self._growing.text

    def feed(self, event: str, data: bytes) -> list[Delta]:
        """The deltas of one event; raises APIError for an error event, and for an answer that failed."""
        if self.done:
            return []
        if data.startswith(b"[DONE]"):  # OpenRouter's
            self.done = True
            return []
        payload = _json.loads(data, "an event of the stream")
        if not isinstance(payload, dict):
            if event == "error":
                self._fail(payload)
            raise_error(payload)
            return []
        name = text_of(payload.get("type")) or event
        if name in _PIECES:
            channel, place, text, whole = _PIECES[name]
            item = self._item(payload.get("output_index"), payload.get("item_id"), _KINDS[channel])
            return self._piece(item, channel, payload.get(place), payload.get(text), whole)
        if name in ("response.output_item.added", "response.output_item.done"):
            return self._frame(payload, name.endswith("done"))
        if name in _ENDS:
            response = payload.get("response")
            return self._end(response if isinstance(response, dict) else {}, name.rpartition(".")[2])
        if payload.get("object") == "response":  # one answer, although a stream was asked for
            return self.take(payload)
        if "error" in (name, event):  # nested, or flat as the types have it
            flat = {key: value for key, value in payload.items() if (key, value) != ("type", "error")}
            self._fail(payload.get("error") or flat)
        if not text_of(payload.get("type")):
            raise_error(payload)
        return []

    def take(self, payload: Any) -> list[Delta]:
        """The answer in one piece; raises ProtocolError if it is none."""
        known = isinstance(payload, dict) and isinstance(payload.get("output"), list)
        if not known or payload.get("status") in _UNFINISHED:
            raise_error(payload)
            raise ProtocolError("the answer holds no output")
        self._raw = payload
        return self._end(payload, "completed")

    def _fail(self, error: Any) -> None:
        """Raise what the server calls the reason of its failure, whatever that is."""
        found = dict(error) if isinstance(error, dict) else {"message": error}
        found["message"] = text_of(found.get("message")) or "the server failed to answer"
        raise_error({"error": found}, self.partial)

    def _item(self, index: Any, id: Any, kind: str) -> _Item:
        """The item that an event is about: by its index, which stays where proxies change ids; else by its id."""
        numbered = count_of(index) is not None
        keys: list[tuple[str, int | str]] = [(kind, index)] if numbered else []
        if isinstance(id, str) and id:
            keys.append((kind, id))
        found = self._by_key.get(keys[0]) if keys else self._last.get(kind)
        if found is None or (not keys and found.ended is not None):
            found = self._new(kind)
        for key in keys:
            self._by_key.setdefault(key, found)
        return found

    def _new(self, kind: str) -> _Item:
        if len(self._items) >= MOST_ITEMS:
            raise ProtocolError(f"the answer holds more than {MOST_ITEMS} items")
        self._items.append(_Item(len(self._items), kind))
        self._last[kind] = self._items[-1]
        return self._items[-1]

    def _frame(self, payload: dict[str, Any], ended: bool) -> list[Delta]:
        """An item begins, or is whole; one of a kind that nobody knows is passed over."""
        source = payload.get("item")
        if not isinstance(source, dict) or source.get("type") not in _KINDS.values():
            return []
        item = self._item(payload.get("output_index"), source.get("id"), source["type"])
        if ended:
            return self._close(item, source)
        if item.kind == "reasoning":
            self._growing.begin(Thinking, item.number)  # some servers tell it after the text that follows from it
        return self._name(item, source) if item.kind == "function_call" else []

    def _piece(self, item: _Item, channel: str, index: Any, said: Any, whole: bool) -> list[Delta]:
        """A piece of a part of an item; all of it is news only if no piece came before."""
        part = (channel, count_of(index) or 0)
        if said in (None, "") or (whole and part in item.told):
            return []
        if channel == "arguments":
            item.told.add(part)
            return self._call(item, "", "", said)
        text = text_of(said)
        if not text or (item.channel or channel) != channel:
            return []
        item.told.add(part)
        if channel == "refusal":
            self._refusal.append(text)
            return []
        if channel == "text":
            self._speaker = item.number
            return self._growing.say(text, item.number)
        return self._think(item, part, text)

    def _think(self, item: _Item, part: tuple[str, int], text: str) -> list[Delta]:
        """Thinking in one of its two forms, whichever comes first; a blank line stands between its parts."""
        item.channel, index = part
        between = _BETWEEN if item.lengths and index not in item.lengths else ""
        item.lengths[index] = item.lengths.get(index, 0) + len(text)
        return self._growing.close(self._speaker) + self._growing.think(between + text, item.number)

    def _name(self, item: _Item, source: dict[str, Any]) -> list[Delta]:
        """What a call is named, unless that is known; with its id, for a name alone would begin another call."""
        id, name = self._growing.calls.name(item.call) if item.call is not None else ("", "")
        new_id = id or text_of(source.get("call_id")) or ("" if item.call is None else fresh_id())
        new_name = "" if name else text_of(source.get("name"))
        return self._call(item, new_id, new_name, None) if item.call is None or (new_id, new_name) != (id, "") else []

    def _call(self, item: _Item, id: str, name: str, arguments: Any) -> list[Delta]:
        if item.call is None:
            item.call = len(self._calls)
            self._calls.append(item)
        return self._growing.call(item.number, id, name, arguments)

    def _close(self, item: _Item, source: dict[str, Any]) -> list[Delta]:
        """An item is whole: what of it did not come in pieces, and what belongs to it unread."""
        if item.ended is not None:
            return []
        item.ended = source
        if item.kind == "function_call":
            found = self._name(item, source) + self._piece(item, "arguments", 0, source.get("arguments"), True)
            if text_of(source.get("namespace")):
                signature = _json.dumps({"namespace": source["namespace"]})
                self._growing.call(item.number, "", "", None, signature=signature, told=False)
            return found
        found = []
        for name, channels in _PARTS[item.kind].items():
            parts = source.get(name)
            for index, part in enumerate(parts if isinstance(parts, list) else ()):
                kind = text_of(part.get("type")) if isinstance(part, dict) else ""
                if kind in channels:
                    channel, place = channels[kind]
                    found += self._piece(item, channel, index, part.get(place), True)
        self._sign(item, source)
        return found

    def _sign(self, item: _Item, source: dict[str, Any]) -> None:
        """Keep of an item what its server wants back: the phase of a message, the seal of thinking."""
        if item.kind == "message":
            phase = text_of(source.get("phase"))
            if phase and any(channel == "text" for channel, _ in item.told):
                self._growing.sign(Text, _json.dumps({"phase": phase}), item.number)
            return
        sealed, lengths = text_of(source.get("encrypted_content")), list(item.lengths.values())
        known: dict[str, Any] = {"id": source["id"]} if text_of(source.get("id")) else {}
        if sealed:
            known["encrypted_content"] = sealed
        if item.channel == "content" or len(lengths) > 1:
            known[item.channel] = lengths
        if sealed or item.channel == "content":
            self._growing.sign(Thinking, _json.dumps(known), item.number)

    def _end(self, response: dict[str, Any], status: str) -> list[Delta]:
        """The last event: items that did not come by themselves, why it ended, what it cost.

        status: as the event is named, which counts only if the response does not say itself.
        """
        told = text_of(response.get("status"))
        status = status if not told or told in _UNFINISHED else told
        found: list[Delta] = []
        output = response.get("output")
        came = {kind: [item for item in self._items if item.kind == kind] for kind in _KINDS.values()}
        counts = dict.fromkeys(came, 0)
        for number, source in enumerate(output if isinstance(output, list) else ()):
            kind = text_of(source.get("type")) if isinstance(source, dict) else ""
            if kind in counts:
                same = self._same(kind, number, source.get("id"), came[kind][counts[kind] : counts[kind] + 1])
                found += self._close(same, source)
                counts[kind] += 1
        if response.get("error") or status == "failed":
            self._fail(response.get("error"))
        found += self._growing.close(self._speaker)
        self._reason = _cause(response, status)
        self._usage = _usage(response.get("usage"))
        self.finished = self.done = True
        return found

    def _same(self, kind: str, number: int, id: Any, next_of_kind: list[_Item]) -> _Item:
        """The item of the last event's output among those that came: by place, by id, or as one of its kind."""
        keys = [(kind, number), (kind, text_of(id))]
        found = [self._by_key[key] for key in keys if key in self._by_key] + next_of_kind
        return found[0] if found else self._new(kind)

    def close(self) -> list[Delta]:
        """The stream has ended; raises TruncatedError if its last event has not come, whatever came before."""
        if not self.finished:
            raise TruncatedError("the stream ended without its last event: the answer is cut", partial=self.partial)
        return []

    def response(self) -> Response:
        """The whole answer of a stream that has been closed."""
        calls, cut = iter(self._calls), False
        parts: list[Part] = []
        for part in self._growing.parts():
            if isinstance(part, ToolCall) and not self._is_whole(next(calls), part):
                cut = True
            else:
                parts.append(part)
        refusal = "".join(self._refusal)
        called = any(isinstance(part, ToolCall) for part in parts)
        ended = "refusal" if refusal else "tool_calls" if called else "length" if cut else "stop"
        answer = "".join([p.text for p in parts if isinstance(p, Text) and _phase(p) in ("", "final_answer")])
        return response_of(parts, self._reason or ended, self._usage, self._raw, self._schema, refusal, answer)

    def _is_whole(self, item: _Item, call: ToolCall) -> bool:
        """Whether a call may be handed out: one that was cut must never be run."""
        status = text_of(item.ended.get("status")) if item.ended is not None else ""
        if status in ("", *_UNFINISHED):  # llama-server closes them late, or not
            return self._reason != "length" and (not status or call.malformed is None)
        return status == "completed"


def _cause(response: dict[str, Any], status: str) -> str:
    """Our reason for an answer that is not complete, `""` for one that is."""
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    if reason == "max_output_tokens" or (status == "incomplete" and not reason):
        return "length"
    if reason == "content_filter":
        return "content_filter"
    return "other" if reason or status != "completed" else ""


def _usage(usage: Any) -> Usage:
    """Counts; on this wire cached tokens are part of the input, reasoning of the output."""
    if not isinstance(usage, dict):
        return Usage()
    read, made = usage.get("input_tokens_details"), usage.get("output_tokens_details")
    return Usage(
        count_of(usage.get("input_tokens")),
        count_of(usage.get("output_tokens")),
        count_of(read.get("cached_tokens")) if isinstance(read, dict) else None,
        count_of(made.get("reasoning_tokens")) if isinstance(made, dict) else None,
    )


# --- what errors teach


# Parameters that may be left out -> what is left out then.
_OPTIONAL = {
    **{name: name for name in ("temperature", "top_p", "max_output_tokens", "include", "stream_options", "reasoning")},
    "stream_options.include_obfuscation": "stream_options",
    "reasoning.summary": "reasoning.summary",
}
_UNTAKEN_CODES = ("unsupported_parameter", "unsupported_value", "unknown_parameter", "extra_forbidden")
_UNTAKEN = r"(unsupported|unknown|unrecognized) (parameter|value)|.{0,80}\bnot supported|.{0,60}must be verified"
_NAMED = r"(?:unsupported|unknown|unrecognized) parameter:? ['\"]?([a-z_.]+\b)"
# Thinking that does not fit: changed, forged or from elsewhere; half a turn; or not kept by the server.
_THINKING = r"item with id '?rs_|item '?\w+'? of type '?\w+'? was provided without its required"


def remedy(error: APIError, body: dict[str, Any], quirks: Quirks) -> Remedy | None:
    """What an error calls unsupported of `body`: a parameter, an effort, a limit that is too low, thinking.

    None if the error is about something else, about what cannot be left out, or about
    what has been mended before.
    """
    if error.status not in (400, 404, 422):
        return None
    if error.code == "invalid_encrypted_content" or re.match(_THINKING, error.message, re.I):
        said = "input.reasoning"
        sent = body.get("input")
        given = [item for item in sent if isinstance(item, dict)] if isinstance(sent, list) else []
        thought = any(item.get("type") == "reasoning" for item in given)
        return Remedy(said, lasting=False) if thought and said not in quirks.remedies else None
    found = _mended(error, body) if error.status != 404 else None
    return None if found is None or found.said in quirks.remedies else found


def _mended(error: APIError, body: dict[str, Any]) -> Remedy | None:
    named = re.match(_NAMED, error.message, re.I)
    param = error.param or (named[1] if named else "")
    sent, _, inner = param.partition(".")
    value = body.get(sent)
    least = re.search(r"expected a value >= (\d{1,9})\b", error.message, re.I)
    if least is not None and param == "max_output_tokens":
        size = count_of(value)
        return Remedy(param, least[1]) if size is not None and size < int(least[1]) else None
    if error.code not in _UNTAKEN_CODES and not re.match(_UNTAKEN, error.message, re.I):
        return None
    if param == "reasoning.effort":
        return _mended_effort(error, value)
    given = inner in value if inner and isinstance(value, dict) else sent in body
    return Remedy(_OPTIONAL[param]) if param in _OPTIONAL and given else None


def _mended_effort(error: APIError, reasoning: Any) -> Remedy | None:
    """Another effort, if the error says which there are; a model that takes none does not reason."""
    sent = reasoning.get("effort") if isinstance(reasoning, dict) else None
    if sent not in _EFFORTS:
        return None
    taken = re.findall(r"'(\w+)'", error.message.lower().partition("supported values are")[2])
    if error.code == "unsupported_value" or taken:
        nearest = _nearest(sent, [effort for effort in taken if effort != sent])
        return Remedy(_said(sent), _said(nearest) if nearest else None)
    return Remedy("reasoning")

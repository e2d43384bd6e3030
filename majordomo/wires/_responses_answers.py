"""The answers of OpenAI's Responses: items, in a stream or whole, to parts of a message.

Servers differ in what they send of an item, and in which order; what was told already is
not told again, and what did not come in pieces comes from the item or from the last event.
Source: as in `openai_responses`.
"""

from __future__ import annotations

from .. import _json
from .._loading import loading
from ..errors import ProtocolError, TruncatedError
from ..llm import Text, Thinking, ToolCall, Usage
from ._growing import Growing
from ._shared import count_of, fresh_id, response_of, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..llm import Part, Response
    from ..model import Delta
    from .openai_responses import Quirks

MOST_ITEMS = 10_000  # of one answer


def raise_error(payload: Any, partial: str = "") -> None:
    """Raise the error that a 2xx payload holds, with the status it would have had."""
    with loading:
        from . import _openai_errors

    _openai_errors.raise_error(payload, partial)


BETWEEN = "\n\n"  # parts of thinking


def unpacked(signature: str | None) -> dict[str, Any]:
    """What a signature of ours holds; `{}` for another's."""
    try:
        value = _json.loads_strictly(signature, "a signature") if signature else None
    except ProtocolError:
        value = None
    return value if isinstance(value, dict) else {}


def phase_of(part: Text) -> str:
    """Whether a text was said before the answer or is it, as its server called that; `""` if it did not say."""
    return text_of(unpacked(part.signature).get("phase"))


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
        between = BETWEEN if item.lengths and index not in item.lengths else ""
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
        answer = "".join([p.text for p in parts if isinstance(p, Text) and phase_of(p) in ("", "final_answer")])
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

"""How the fake server's answers are told on each wire, and what a request to it says.

`testing` serves, counts and misbehaves, and knows no vendor's words; all of those are
here. Whoever edits this file follows the vendors' servers and never the codecs in
`wires/`: each is there to prove the other wrong.

Sources: the vendors' SDKs of November 2026 (anthropic 2.12, openai 3.54, google-genai
3.4) with the traffic recorded for their tests, and Ollama 0.33 (`api/types.go`).
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from hashlib import sha256
from urllib.parse import parse_qsl, unquote, urlsplit

from .errors import UnsupportedError
from .llm import Image, Response, ToolCall, Usage, merge, sniff

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from dataclasses import dataclass, field
    from typing import Any, Callable
else:
    from ._frozen import dataclass, field

_WORD = 6  # characters of a streamed piece
_EVENTS = {"Content-Type": "text/event-stream; charset=utf-8"}
# One red pixel, as PNG.
RED = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC")


@dataclass(frozen=True)
class Reply:
    """An answer of a model, told in the wire of the path that was asked, streamed if asked so.

    stop_reason: as in `Response`; a wire without a word for it says the nearest. usage:
    None to leave it out. pieces: how a stream cuts the text; some characters each if
    None. With `thinking` comes what the vendor wants back unread (signatures and such).
    """

    text: str = ""
    thinking: str = ""
    tool_calls: Sequence[ToolCall] = ()
    stop_reason: str = ""
    usage: Usage | None = Usage(11, 7, 0, 0)
    refusal: str = ""
    pieces: Sequence[str] | None = None

    @classmethod
    def of(cls, response: Response) -> Reply:
        """The reply that would have been this response."""
        return cls(
            response.text,
            response.thinking,
            response.tool_calls,
            response.stop_reason,
            response.usage,
            response.refusal,
        )


@dataclass(frozen=True)
class Drawing:
    """Pictures as a model's answer, told in the wire of the path that was asked.

    images: one or several, as `Image` or bytes; small red ones, as many as were asked
    for, if there are none. as_url: where they are, instead of the pictures themselves;
    True for a place on the fake server, which shows them to everybody.
    """

    images: Image | bytes | Sequence[Image | bytes] = ()
    as_url: str | bool = False


@dataclass(frozen=True)
class Status:
    """Any HTTP answer. body: JSON values, text or bytes; a list of bytes is sent chunked, piece by piece."""

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """A request as it came. headers: names in lower case. path: as sent, query included."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON; None if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def form(self) -> list[tuple[str, str | None, str, bytes]]:
        """The body as a form: (name, filename, type, bytes) of each part; none if it is no form."""
        from email.parser import BytesFeedParser

        kind = self.headers.get("content-type", "")
        if not kind.lower().startswith("multipart/form-data"):
            return []
        parser = BytesFeedParser()
        parser.feed(b"Content-Type: " + kind.encode("latin-1", "replace") + b"\r\n\r\n" + self.body)
        message: Any = parser.close()
        return [
            (
                str(part.get_param("name", "", "content-disposition")),
                part.get_filename(),
                part.get_content_type(),
                part.get_payload(decode=True),
            )
            for part in (message.get_payload() if message.is_multipart() else ())
        ]

    @property
    def model(self) -> str:
        """The model that is asked, `""` if none is named."""
        path = urlsplit(self.path).path
        if path.endswith(_GOOGLE):
            place = path.rpartition(":")[0]
            _, tuned, name = place.partition("/tunedModels/")
            return unquote(place.partition("/models/")[2] or tuned[1:] + name)
        found = self._asked("model")
        return found if isinstance(found, str) else ""

    def _asked(self, name: str) -> Any:
        """What a body says under a name, be it JSON or a form."""
        asked = self.json
        if isinstance(asked, dict):
            return asked.get(name, "")
        return next((data.decode("utf-8", "replace") for part, _, _, data in self.form if part == name), "")


# What a request wants


_GOOGLE = (":generateContent", ":streamGenerateContent")
_OLLAMA = ("/api/chat", "/api/generate")
_DRAWING = ("/images/generations", "/images/edits")


def asks_model(seen: Seen) -> bool:
    """Whether this is a question to a model, one to draw included."""
    path = urlsplit(seen.path).path
    return seen.method == "POST" and path.endswith((*_TELLERS, *_DRAWING)) and not loads(seen)


def draws(seen: Seen) -> bool:
    """Whether pictures are wanted; one path of Google's serves both, and its body tells."""
    path = urlsplit(seen.path).path
    if not path.endswith(_GOOGLE):
        return path.endswith(_DRAWING)
    wanted = _inner(_body(seen), "generationConfig").get("responseModalities")
    return isinstance(wanted, list) and "IMAGE" in wanted


def loads(seen: Seen) -> bool:
    """Whether a question of Ollama's is none, but has its model loaded or unloaded."""
    path, asked = urlsplit(seen.path).path, seen.json
    if seen.method != "POST" or not path.endswith(_OLLAMA) or not isinstance(asked, dict):
        return False
    return not asked.get("messages" if path.endswith("/api/chat") else "prompt")


def unloads(seen: Seen) -> bool:
    """Whether the model is to go at once."""
    keep = _body(seen).get("keep_alive")
    return loads(seen) and not isinstance(keep, bool) and keep in (0, "0", "0s")


# Path's ending -> the vendor whose it is, where a stranger to the key must be told so.
_VENDORS = (
    (_GOOGLE, "google"),
    (("/messages",), "anthropic"),
    (("/responses",), "openai"),
    ((*_OLLAMA, "/api/tags", "/api/ps", "/api/show", "/api/version"), "ollama"),
)


def vendor_of(seen: Seen) -> str:
    """In whose words what is no answer of a model is told; `""` for llama-swap's."""
    path = urlsplit(seen.path).path
    if path.endswith("/models"):
        if "anthropic-version" in seen.headers:
            return "anthropic"
        return "google" if "/v1beta/" in path or "x-goog-api-key" in seen.headers else ""
    return next((vendor for endings, vendor in _VENDORS if path.endswith(endings)), "")


def _body(seen: Seen) -> dict[str, Any]:
    asked = seen.json
    return asked if isinstance(asked, dict) else {}


def _inner(asked: dict[str, Any], name: str) -> dict[str, Any]:
    found = asked.get(name)
    return found if isinstance(found, dict) else {}


# What several wires share


def tell(reply: Reply, seen: Seen) -> Status:
    """A reply in the wire of the path; in Chat Completions where that is nobody's."""
    path = urlsplit(seen.path).path
    teller = next((teller for ending, teller in _TELLERS.items() if path.endswith(ending)), _tell_chat)
    return teller(reply, seen)


def _pieces(text: str, given: Sequence[str] | None = None) -> Sequence[str]:
    return given if given is not None else [text[at : at + _WORD] for at in range(0, len(text), _WORD)]


def _arguments(call: ToolCall) -> str:
    """A call's arguments where they are text."""
    return call.malformed if call.malformed is not None else json.dumps(call.arguments)


def _object(call: ToolCall) -> Any:
    """A call's arguments where they are an object, which those that make no sense are not."""
    return call.malformed if call.malformed is not None else call.arguments


def _opaque(text: str) -> str:
    """What a vendor makes of its model's thinking: the same each time, and for nobody to read."""
    return b64encode(sha256(text.encode("utf-8", "replace")).digest()).decode("ascii")


def _reason(reply: Reply) -> str:
    """Why a reply ended: the reason given, else the one that what it holds suggests."""
    if reply.refusal and reply.stop_reason in ("", "stop"):
        return "refusal"
    return reply.stop_reason or ("tool_calls" if reply.tool_calls else "stop")


def _given(**counts: int | None) -> dict[str, int]:
    """The counts that are known."""
    return {name: count for name, count in counts.items() if count is not None}


def _less(count: int | None, part: int | None) -> int | None:
    return None if count is None else max(0, count - (part or 0))


def _sum(*counts: int | None) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _dumps(value: Any) -> bytes:
    """JSON with its characters as they are, which may thus be cut in two."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def _named_events(events: Iterable[dict[str, Any]]) -> list[bytes]:
    """Events whose name stands in front of the data and in it."""
    return [b"event: %s\ndata: %s\n\n" % (event["type"].encode(), _dumps(event)) for event in events]


# OpenAI's Chat Completions


_FINISH = {"refusal": "stop", "": "stop", "other": "unknown"}


def _tell_chat(reply: Reply, seen: Seen) -> Status:
    asked = _body(seen)
    reason = reply.stop_reason or ("tool_calls" if reply.tool_calls else "stop")
    finish = _FINISH.get(reason, reason)
    head = {"id": "chatcmpl-fake", "created": 1700000000, "model": asked.get("model", "fake")}
    if asked.get("stream"):
        chunks = _chat_chunks(reply, finish, bool(_inner(asked, "stream_options").get("include_usage")))
        events = [{**head, "object": "chat.completion.chunk", **chunk} for chunk in chunks]
        body = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
        return Status(200, [*body, b"data: [DONE]\n\n"], {"Content-Type": "text/event-stream"})
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or (None if reply.tool_calls else "")}
    if reply.thinking:
        message["reasoning_content"] = reply.thinking
    if reply.refusal:
        message["refusal"] = reply.refusal
    if reply.tool_calls:
        message["tool_calls"] = [_chat_call(call) for call in reply.tool_calls]
    choice = {"index": 0, "message": message, "finish_reason": finish}
    answer: dict[str, Any] = {**head, "object": "chat.completion", "choices": [choice]}
    if reply.usage is not None:
        answer["usage"] = _chat_usage(reply.usage)
    return Status(200, answer)


def _chat_chunks(reply: Reply, finish: str, with_usage: bool) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": piece} for piece in _pieces(reply.thinking)]
    deltas += [{"content": piece} for piece in _pieces(reply.text, reply.pieces)]
    deltas += [{"refusal": piece} for piece in _pieces(reply.refusal)]
    for index, call in enumerate(reply.tool_calls):
        whole = _chat_call(call)
        arguments = whole["function"].pop("arguments")
        whole["function"]["arguments"] = ""
        deltas.append({"tool_calls": [{"index": index, **whole}]})
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": p}}]} for p in _pieces(arguments)]
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
    ]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    if with_usage and reply.usage is not None:
        chunks.append({"choices": [], "usage": _chat_usage(reply.usage)})
    return chunks


def _chat_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _arguments(call)}}


def _chat_usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": (usage.input_tokens or 0) + (usage.output_tokens or 0),
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


# OpenAI's Responses


# What is echoed, as it is where nothing was asked.
_ECHO: dict[str, Any] = {
    "background": False,
    "frequency_penalty": 0.0,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "moderation": None,
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "prompt_cache_retention": "24h",
    "reasoning": {"context": "all_turns", "effort": "medium", "mode": "standard", "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tool_usage": {"web_search": {"num_requests": 0}},
    "tools": [],
    "top_logprobs": 0,
    "top_p": 0.98,
    "truncation": "disabled",
    "user": None,
    "metadata": {},
}
# Our reason -> `incomplete_details.reason`; the others are of a response that is complete.
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter", "other": "steered"}


def _tell_responses(reply: Reply, seen: Seen) -> Status:
    asked, reason = _body(seen), _INCOMPLETE.get(_reason(reply))
    echo = merge(_ECHO, {name: asked[name] for name in _ECHO if asked.get(name) is not None})
    begun = {
        "id": "resp_fake",
        "object": "response",
        "created_at": 1700000000,
        "status": "in_progress",
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "model": asked.get("model", "fake"),
        "output": [],
        "usage": None,
        **echo,
    }
    # Ids that differ from turn to turn, and not between one that is streamed and one that is not.
    mark = sha256(json.dumps(asked.get("input")).encode()).hexdigest()[:20]
    items = _responses_items(reply, "incomplete" if reason else "completed", mark)
    ended = {
        **begun,
        "status": "incomplete" if reason else "completed",
        "completed_at": None if reason else 1700000002,
        "incomplete_details": {"reason": reason} if reason else None,
        "output": items,
        "usage": None if reply.usage is None else _responses_usage(reply.usage),
    }
    if not asked.get("stream"):
        return Status(200, {**ended, "billing": {"payer": "developer"}})
    events = [{"type": f"response.{name}", "response": begun} for name in ("created", "in_progress")]
    for index, item in enumerate(items):
        events += _responses_item(item, index, reply)
    events.append({"type": f"response.{ended['status']}", "response": ended})
    if _inner(asked, "stream_options").get("include_obfuscation", True):
        events = [{**e, "obfuscation": "x" * (9 - len(e["delta"]) % 8)} if "delta" in e else e for e in events]
    return Status(200, _named_events({**e, "sequence_number": n} for n, e in enumerate(events)), _EVENTS)


def _responses_items(reply: Reply, status: str, mark: str) -> list[dict[str, Any]]:
    """The output; of one that is incomplete it is the last item that was cut."""
    items: list[dict[str, Any]] = []
    if reply.thinking:
        summary = [{"type": "summary_text", "text": reply.thinking}]
        sealed = {"encrypted_content": _opaque(reply.thinking), "summary": summary}
        items.append({"id": f"rs_{mark}", "type": "reasoning", "content": [], **sealed})
    parts: list[dict[str, Any]] = []
    if reply.text or not (reply.thinking or reply.tool_calls or _reason(reply) == "refusal"):
        parts.append({"type": "output_text", "annotations": [], "logprobs": [], "text": reply.text})
    if _reason(reply) == "refusal":
        parts.append({"type": "refusal", "refusal": reply.refusal})
    if parts:
        phase = {"phase": "commentary" if reply.tool_calls else "final_answer"} if reply.thinking else {}
        message = {"id": f"msg_{mark}", "type": "message", "status": "completed", "content": parts}
        items.append({**message, **phase, "role": "assistant"})
    for number, call in enumerate(reply.tool_calls):
        said = {"arguments": _arguments(call), "call_id": call.id, "name": call.name}
        items.append({"id": f"fc_{mark}{number}", "type": "function_call", "status": "completed", **said})
    if items and "status" in items[-1]:
        items[-1]["status"] = status
    return items


def _responses_usage(usage: Usage) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if usage.cached_tokens is not None:
        details["input_tokens_details"] = {"cache_write_tokens": 0, "cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens is not None:
        details["output_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    total = _sum(usage.input_tokens, usage.output_tokens)
    return {
        **_given(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, total_tokens=total),
        **details,
    }


# An item when it is begun. What is sealed in it then is not what it will be.
_BEGUN: dict[str, dict[str, Any]] = {
    "reasoning": {"encrypted_content": _opaque("unfinished"), "summary": []},
    "message": {"status": "in_progress", "content": []},
    "function_call": {"status": "in_progress", "arguments": ""},
}


def _responses_item(item: dict[str, Any], index: int, reply: Reply) -> list[dict[str, Any]]:
    """The events of one item of the output."""
    at = {"item_id": item["id"], "output_index": index}
    inside: list[dict[str, Any]] = []
    if item["type"] == "reasoning":
        at["summary_index"] = 0
        inside = _responses_part("reasoning_summary_part", "reasoning_summary_text", item["summary"][0], at)
    elif item["type"] == "message":
        for number, part in enumerate(item["content"]):
            pieces = reply.pieces if part["type"] == "output_text" else None
            inside += _responses_part("content_part", part["type"], part, {**at, "content_index": number}, pieces)
    else:
        name = "response.function_call_arguments"
        inside = [{"type": f"{name}.delta", **at, "delta": piece} for piece in _pieces(item["arguments"])]
        inside.append({"type": f"{name}.done", **at, "arguments": item["arguments"]})
    begun = {**item, **_BEGUN[item["type"]]}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": begun},
        *inside,
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def _responses_part(
    frame: str, name: str, part: dict[str, Any], at: dict[str, Any], pieces: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """The events of one part of an item: begun, its text in pieces and whole, ended."""
    said = "refusal" if part["type"] == "refusal" else "text"
    more: dict[str, Any] = {"logprobs": []} if part["type"] == "output_text" else {}
    return [
        {"type": f"response.{frame}.added", **at, "part": {**part, said: ""}},
        *[{"type": f"response.{name}.delta", **at, **more, "delta": p} for p in _pieces(part[said], pieces)],
        {"type": f"response.{name}.done", **at, **more, said: part[said]},
        {"type": f"response.{frame}.done", **at, "part": part},
    ]


# Anthropic's Messages


# A pause is an end that has no word among ours.
_STOP_ANTHROPIC = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "refusal": "refusal",
    "content_filter": "refusal",
    "other": "pause_turn",
}


def _tell_anthropic(reply: Reply, seen: Seen) -> Status:
    """It has no content filter, which is told as a refusal."""
    asked = _body(seen)
    reason = _STOP_ANTHROPIC.get(_reason(reply), "pause_turn")
    details = {"type": "refusal", "category": None, "explanation": reply.refusal or None}
    end = {"stop_reason": reason, "stop_sequence": None, "stop_details": details if reason == "refusal" else None}
    blocks = _anthropic_blocks(reply)
    usage = _anthropic_usage(reply.usage)
    message = {
        "model": asked.get("model", "fake"),
        "id": "msg_fake",
        "type": "message",
        "role": "assistant",
        "content": [block for block, _, _ in blocks],
        **end,
        "usage": {**usage, **_ANTHROPIC_USAGE} if usage else {},
    }
    headers = {"request-id": "req_fake"}
    if not asked.get("stream"):
        return Status(200, message, headers)
    first = {name: count for name, count in message["usage"].items() if name != "output_tokens_details"}
    if "output_tokens" in first:
        first["output_tokens"] = min(2, first["output_tokens"])
    nothing: dict[str, Any] = {"content": [], "stop_reason": None, "stop_details": None, "usage": first}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {**message, **nothing}}]
    for index, (_, begun, deltas) in enumerate(blocks or [({}, {"type": "text", "text": ""}, [])]):
        events.append({"type": "content_block_start", "index": index, "content_block": begun})
        events += [] if index else [{"type": "ping"}]
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    events += [{"type": "message_delta", "delta": end, "usage": usage}, {"type": "message_stop"}]
    return Status(200, [_padded(piece) for piece in _named_events(events)], {**headers, **_EVENTS})


def _padded(event: bytes) -> bytes:
    """Spaces before the last brace, more or fewer, as recorded streams have them."""
    return event[:-3] + b" " * (len(event) % 7) + event[-3:]


def _anthropic_blocks(reply: Reply) -> list[tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]]:
    """Each block whole, as a stream begins it, and its deltas."""
    found: list[tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]] = []
    if reply.thinking:
        signed = {"type": "signature_delta", "signature": _opaque(reply.thinking)}
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(reply.thinking)]
        whole = {"type": "thinking", "thinking": reply.thinking, "signature": signed["signature"]}
        found.append((whole, {"type": "thinking", "thinking": "", "signature": ""}, [*deltas, signed]))
    if reply.text:
        deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(reply.text, reply.pieces)]
        found.append(({"type": "text", "text": reply.text}, {"type": "text", "text": ""}, deltas))
    for call in reply.tool_calls:
        head = {"type": "tool_use", "id": call.id, "name": call.name}
        direct = {"caller": {"type": "direct"}}
        pieces = _pieces(_arguments(call)) if call.arguments or call.malformed is not None else ()
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *pieces)]
        found.append(({**head, "input": _object(call), **direct}, {**head, "input": {}, **direct}, deltas))
    return found


# What stands beside the counts, save at the end of a stream.
_ANTHROPIC_USAGE: dict[str, Any] = {
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
    "service_tier": "standard",
    "inference_geo": "global",
}


def _anthropic_usage(usage: Usage | None) -> dict[str, Any]:
    """Counts as they are kept there: what came from a cache is no part of the input."""
    if usage is None:
        return {}
    found: dict[str, Any] = _given(
        input_tokens=_less(usage.input_tokens, usage.cached_tokens), output_tokens=usage.output_tokens
    )
    if usage.cached_tokens is not None:
        found.update(cache_creation_input_tokens=0, cache_read_input_tokens=usage.cached_tokens)
    if usage.reasoning_tokens is not None:
        found["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return found


# Google's Gemini


# There is no word for calls either; whoever looks for them finds them.
_STOP_GOOGLE = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "refusal": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
}


def _tell_google(reply: Reply, seen: Seen) -> Status:
    """It has no refusal, which is told as text that ends with STOP."""
    finish = _STOP_GOOGLE.get(_reason(reply), "OTHER")
    seal = {"thoughtSignature": _opaque(reply.thinking)} if reply.thinking else {}
    calls = [_google_call(call) for call in reply.tool_calls]
    if calls:
        calls[0].update(seal)
    streamed = urlsplit(seen.path).path.endswith(_GOOGLE[1])
    if not streamed:
        thought = [{"text": reply.thinking, "thought": True}] if reply.thinking else []
        said: list[dict[str, Any]] = [{"text": reply.text + reply.refusal}] if reply.text or reply.refusal else []
        if not calls and not said and (seal or finish == "STOP"):
            said = [{"text": ""}]
        if said and not calls:
            said[-1].update(seal)
        candidate = _google_candidate([*thought, *said, *calls], finish)
        if calls:
            candidate["finishMessage"] = "Model generated function call(s)."
        return _google_answer([candidate], reply.usage, seen)
    parts: list[dict[str, Any]] = [{"text": piece, "thought": True} for piece in _pieces(reply.thinking)]
    parts += [{"text": piece} for piece in (*_pieces(reply.text, reply.pieces), *_pieces(reply.refusal))]
    last = {"text": "", **({} if calls else seal)}
    ending = [last] if finish == "STOP" or len(last) > 1 else []
    chunks = [_google_candidate([part]) for part in (*parts, *calls)]
    return _google_answer([*chunks, _google_candidate(ending, finish)], reply.usage, seen)


def _google_call(call: ToolCall) -> dict[str, Any]:
    """What is empty is left out, as proto-JSON does."""
    said = {"name": call.name, "args": _object(call), "id": call.id}
    return {"functionCall": {name: value for name, value in said.items() if value or name == "name"}}


def _google_candidate(parts: list[dict[str, Any]], finish: str = "") -> dict[str, Any]:
    content: dict[str, Any] = {"parts": parts, "role": "model"} if parts else {"role": "model"}
    found: dict[str, Any] = {"content": content}
    if finish == "SAFETY":
        rating = {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True}
        found = {"content": content if parts else {}, "safetyRatings": [rating]}
    return {**found, **({"finishReason": finish} if finish else {}), "index": 0}


def _google_answer(candidates: list[dict[str, Any]], usage: Usage | None, seen: Seen) -> Status:
    """Candidates as chunks of one answer: whole, as events, or as an array."""
    answers = []
    for number, candidate in enumerate(candidates, 1):
        answer: dict[str, Any] = {"candidates": [candidate]}
        if usage is not None:
            answer["usageMetadata"] = _google_usage(usage, number, len(candidates))
        answers.append({**answer, "modelVersion": seen.model or "fake", "responseId": "fake"})
    parts = urlsplit(seen.path)
    if not parts.path.endswith(_GOOGLE[1]):
        return Status(200, answers[0], {"Content-Type": "application/json; charset=UTF-8"})
    if dict(parse_qsl(parts.query)).get("alt") == "sse":
        events = [b"data: %s\r\n\r\n" % _dumps(answer) for answer in answers]
        return Status(200, events, {"Content-Type": "text/event-stream", "Content-Disposition": "attachment"})
    rows = [(b",\n" if number else b"[") + _dumps(answer) + b"\n" for number, answer in enumerate(answers)]
    return Status(200, [*rows, b"]\n"], {"Content-Type": "application/json; charset=UTF-8"})


def _google_usage(usage: Usage, number: int, of: int) -> dict[str, Any]:
    """Counts up to a chunk. Thoughts are no part of what candidates hold; before the end zeros are not told."""
    candidates = _less(usage.output_tokens, usage.reasoning_tokens)
    if candidates is not None and number < of:
        candidates = candidates * number // of or None
    return {
        **_given(
            promptTokenCount=usage.input_tokens,
            cachedContentTokenCount=usage.cached_tokens,
            candidatesTokenCount=candidates,
            totalTokenCount=_sum(usage.input_tokens, (candidates or 0) + (usage.reasoning_tokens or 0)),
            thoughtsTokenCount=usage.reasoning_tokens,
        ),
        "serviceTier": "standard",
    }


# Ollama's own


_NOW = "2026-11-22T10:00:00.104729Z"


def _tell_ollama(reply: Reply, seen: Seen) -> Status:
    """It knows two ends, and none is a refusal, which is told as text; the others get a word that nobody knows."""
    asked, reason = _body(seen), _reason(reply)
    calls = [_ollama_call(call, index) for index, call in enumerate(reply.tool_calls)]
    ended: dict[str, Any] = {
        "done": True,
        "done_reason": {"stop": "stop", "tool_calls": "stop", "refusal": "stop", "length": "length"}.get(
            reason, "unknown"
        ),
        "total_duration": 2183771250,
        "load_duration": 61240500,
        **_ollama_usage(reply.usage),
    }
    if asked.get("stream") is False:
        more: dict[str, Any] = {"thinking": reply.thinking} if reply.thinking else {}
        more.update({"tool_calls": calls} if calls else {})
        return Status(200, {**_ollama_said(seen, reply.text + reply.refusal, **more), **ended})
    lines = [_ollama_said(seen, "", thinking=piece) for piece in _pieces(reply.thinking)]
    lines += [_ollama_said(seen, p) for p in (*_pieces(reply.text, reply.pieces), *_pieces(reply.refusal))]
    lines += [_ollama_said(seen, "", tool_calls=[call]) for call in calls]
    lines = [{**line, "done": False} for line in lines]
    lines.append({**_ollama_said(seen, ""), **ended})
    return Status(200, [_dumps(line) + b"\n" for line in lines], {"Content-Type": "application/x-ndjson"})


def _ollama_said(seen: Seen, text: str, **more: Any) -> dict[str, Any]:
    head = {"model": seen.model or "fake", "created_at": _NOW}
    if urlsplit(seen.path).path.endswith("/api/generate"):
        return {**head, "response": text, **more}
    return {**head, "message": {"role": "assistant", "content": text, **more}}


def _ollama_call(call: ToolCall, index: int) -> dict[str, Any]:
    function = {"index": index, "name": call.name, "arguments": _object(call)}
    return {**({"id": call.id} if call.id else {}), "function": function}


def _ollama_usage(usage: Usage | None) -> dict[str, int]:
    """Neither caches nor reasoning are counted there, and a count of zero is not told."""
    found: dict[str, int] = {}
    for name, count in (("prompt_eval", usage and usage.input_tokens), ("eval", usage and usage.output_tokens)):
        if count:
            found.update({f"{name}_count": count, f"{name}_duration": count * 1000000})
    return found


def tell_loaded(seen: Seen) -> Status:
    """That a model was loaded or unloaded, which is all that was asked for."""
    return Status(200, {**_ollama_said(seen, ""), "done": True, "done_reason": "unload" if unloads(seen) else "load"})


# Path's ending -> teller. Google's two verbs share one, which looks at the path.
_TELLERS: dict[str, Callable[[Reply, Seen], Status]] = {
    "/chat/completions": _tell_chat,
    "/responses": _tell_responses,
    "/messages": _tell_anthropic,
    _GOOGLE[0]: _tell_google,
    _GOOGLE[1]: _tell_google,
    _OLLAMA[0]: _tell_ollama,
    _OLLAMA[1]: _tell_ollama,
}


# Pictures


def tell_drawing(drawing: Drawing, seen: Seen, show: Callable[[list[bytes]], list[str]]) -> Status:
    """Pictures in the wire of the path. show: puts them where they can be fetched, and says where."""
    google = urlsplit(seen.path).path.endswith(_GOOGLE)
    images = (drawing.images,) if isinstance(drawing.images, (Image, bytes)) else tuple(drawing.images)
    if not images:
        count = str(seen._asked("n"))
        images = (RED,) * (1 if google or not count.isdigit() else min(int(count[:3]), 100))
    datas = [image.data if isinstance(image, Image) else image for image in images]
    if google:
        parts = [{"inlineData": {"mimeType": mime_of(data), "data": b64encode(data).decode("ascii")}} for data in datas]
        return _google_answer([_google_candidate(parts, "STOP")], None, seen)
    if drawing.as_url is True:
        rows = [{"url": url} for url in show(datas)]
    elif drawing.as_url:
        rows = [{"url": str(drawing.as_url)} for _ in datas]
    else:
        rows = [{"b64_json": b64encode(data).decode("ascii")} for data in datas]
    return Status(200, {"created": 1700000000, "data": rows})


def mime_of(data: bytes) -> str:
    """The type of what is drawn, which a test may have made something else than a picture."""
    try:
        return sniff(data)
    except UnsupportedError:
        return "application/octet-stream"


# Keys


_BAD_KEY_GOOGLE = {
    "code": 400,
    "message": "API key not valid. Please pass a valid API key.",
    "status": "INVALID_ARGUMENT",
    "details": [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "API_KEY_INVALID",
            "domain": "googleapis.com",
            "metadata": {"service": "generativelanguage.googleapis.com"},
        }
    ],
}
_BAD_KEY: dict[str, tuple[int, Any]] = {
    "google": (400, {"error": _BAD_KEY_GOOGLE}),
    "anthropic": (
        401,
        {
            "type": "error",
            "error": {"type": "authentication_error", "message": "invalid x-api-key"},
            "request_id": "req_fake",
        },
    ),
    "openai": (
        401,
        {
            "error": {
                "message": "Incorrect API key provided.",
                "type": "invalid_request_error",
                "param": None,
                "code": "invalid_api_key",
            }
        },
    ),
    "ollama": (401, {"error": "unauthorized"}),
}


def tell_bad_key(seen: Seen) -> Status:
    """That a key is missing or wrong."""
    found = _BAD_KEY.get(vendor_of(seen))
    if found is None:
        return tell_error(401, "unauthorized: invalid or missing API key", "authentication_error", "unauthorized")
    status, body = found
    parts = urlsplit(seen.path)
    if parts.path.endswith(_GOOGLE[1]) and dict(parse_qsl(parts.query)).get("alt") != "sse":
        body = [body]  # what would have been an array is one
    return Status(status, body)


def tell_error(status: int, message: str, kind: str, code: str) -> Status:
    """llama-swap's own errors."""
    error = {"message": message, "type": kind, "param": None, "code": code}
    return Status(status, {"src": "llama-swap", "error": error})


# Models in lists. A row is what `FakeServer.models` holds: a name, or a dict with an "id".


def row_of(model: str | dict[str, Any]) -> dict[str, Any]:
    """A model as llama-swap's list shows it."""
    return model if isinstance(model, dict) else {"id": model, "object": "model", "owned_by": "llama-swap"}


def id_of(row: dict[str, Any]) -> str:
    """A row's name, `""` if it has none."""
    return str(row.get("id", ""))


def _laid(base: dict[str, Any], model: str | dict[str, Any]) -> dict[str, Any]:
    """An answer with the members of a model's own row laid over it; None takes one away."""
    own = model.items() if isinstance(model, dict) else ()
    over = {name: value for name, value in own if name not in ("id", "object", "owned_by", "created")}
    return {name: value for name, value in {**base, **over}.items() if value is not None}


def list_models(models: Sequence[str | dict[str, Any]], seen: Seen) -> Status:
    """The models in the words of whose list was asked for, a page of it where it has pages."""
    rows = [(id_of(row_of(model)), model) for model in models]
    query = dict(parse_qsl(urlsplit(seen.path).query))
    vendor = vendor_of(seen)
    if vendor == "anthropic":
        return _anthropic_list(rows, query)
    if vendor == "google":
        return _google_list(rows, query)
    return Status(200, {"object": "list", "data": sorted(map(row_of, models), key=id_of)})


def _count(text: str | None, default: int) -> int:
    """How many rows a page has, 1000 at most."""
    return min(int(text), 1000) if text and text.isdigit() and int(text) else default


_YES = {"supported": True}
_ANTHROPIC_MODEL: dict[str, Any] = {
    "created_at": "2026-10-07T00:00:00Z",
    "lifecycle": "active",
    "line": "fake",
    "max_input_tokens": 1000000,
    "max_tokens": 128000,
    "capabilities": {
        "effort": {"supported": True, "low": _YES, "medium": _YES, "high": _YES, "xhigh": _YES, "max": _YES},
        "image_input": _YES,
        "structured_outputs": _YES,
        "thinking": {
            "supported": True,
            "types": {"adaptive": _YES, "enabled": _YES, "disabled": _YES, "between_tools": {"supported": False}},
        },
    },
}


def _anthropic_list(rows: list[tuple[str, str | dict[str, Any]]], query: dict[str, str]) -> Status:
    ids = [name for name, _ in rows]
    after = query.get("after_id")
    begin = 0 if after is None else ids.index(after) + 1 if after in ids else len(ids)
    end = begin + _count(query.get("limit"), 20)
    data = []
    for name, model in rows[begin:end]:
        head = {"type": "model", "id": name, "display_name": name, "deprecated_at": None, "retires_at": None}
        data.append({**head, **_laid(_ANTHROPIC_MODEL, model)})
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return Status(200, {"data": data, "has_more": end < len(ids), "first_id": first, "last_id": last})


def _google_list(rows: list[tuple[str, str | dict[str, Any]]], query: dict[str, str]) -> Status:
    token = query.get("pageToken", "")
    begin = int(token[2:]) if token[2:].isdigit() else len(rows) if token else 0
    end = begin + _count(query.get("pageSize"), 50)
    found: dict[str, Any] = {"models": [_google_model(name, model) for name, model in rows[begin:end]]}
    if end < len(rows):
        found["nextPageToken"] = f"at{end}"
    return Status(200, found)


def _google_model(name: str, model: str | dict[str, Any]) -> dict[str, Any]:
    head = {
        "name": name if name.startswith(("models/", "tunedModels/")) else f"models/{name}",
        "version": "001",
        "displayName": name,
        "description": "A model of the fake server.",
        "inputTokenLimit": 1048576,
        "outputTokenLimit": 65536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
        "temperature": 1,
        "topP": 0.95,
        "topK": 64,
        "maxTemperature": 2,
        "thinking": True,
    }
    return _laid(head, model)


_OLLAMA_DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "fake",
    "families": ["fake"],
    "parameter_size": "14B",
    "quantization_level": "Q4_K_M",
}
_OLLAMA_CAN = ["completion", "tools", "vision", "thinking"]


def tell_tags(models: Sequence[str | dict[str, Any]]) -> Status:
    """What Ollama has."""
    return Status(200, {"models": [_ollama_row(model) for model in models]})


def tell_ps(models: Sequence[str | dict[str, Any]], running: Sequence[str]) -> Status:
    """What Ollama runs."""
    own = {id_of(row_of(model)): model for model in models}
    rows = []
    for name in running:
        row = _ollama_row(own.get(name, name))
        kept: dict[str, Any] = {key: row[key] for key in ("name", "model", "size", "digest", "details") if key in row}
        rows.append({**kept, "expires_at": "2026-11-22T10:05:00Z", "size_vram": 6600000000, "context_length": 32768})
    return Status(200, {"models": rows})


def _ollama_row(model: str | dict[str, Any]) -> dict[str, Any]:
    name = id_of(row_of(model))
    digest = sha256(name.encode("utf-8", "replace")).hexdigest()
    row: dict[str, Any] = {"name": name, "model": name, "modified_at": _NOW, "size": 6600000000, "digest": digest}
    return _laid({**row, "details": _OLLAMA_DETAILS, "capabilities": _OLLAMA_CAN}, model)


def tell_show(models: Sequence[str | dict[str, Any]], seen: Seen) -> Status:
    """What Ollama knows of a model; a name without a tag is the latest."""
    asked = _body(seen).get("model") or _body(seen).get("name") or ""
    for model in models:
        if _tagged(id_of(row_of(model))) == _tagged(str(asked)):
            info = {"general.architecture": "fake", "fake.context_length": 131072}
            shown: dict[str, Any] = {
                "modelfile": "FROM fake\n",
                "parameters": "",
                "template": "{{ .Prompt }}",
                "details": _OLLAMA_DETAILS,
                "model_info": info,
                "capabilities": _OLLAMA_CAN,
                "modified_at": _NOW,
            }
            return Status(200, _laid(shown, model))
    return Status(404, {"error": f"model '{asked}' not found"})


def _tagged(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"

"""OpenAI Chat Completions, and the many servers that speak something like it.

Source, where nothing else is said: openai-openapi of August 2026 and openai-python
3.54 for the wire, llama.cpp's `tools/server` of October 2026 and llama-swap of August
2026 for theirs, the vendors' documentation for the rest.
"""

from __future__ import annotations

import re

from .. import _json
from .._loading import loading
from ..errors import APIError, ProtocolError, TruncatedError
from ..llm import Image, Text, Thinking, ToolCall, Usage, merge
from ..model import Done, replay
from ._conversation import arranged, with_images_moved
from ._shared import (
    Remedy,
    count_of,
    data_url,
    declared,
    error_object,
    instructed,
    only_named,
    response_of,
    settled,
    split_think,
    tell_level,
    text_of,
    tool_call,
    with_unique_ids,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass, field
    from typing import Any

    from ..llm import Part, Request, Response
    from ..model import Delta
    from ._conversation import Turn
    from ._shared import Facts
else:
    from .._frozen import dataclass, field

FRAMING = "sse"


def path(model: str, stream: bool) -> str:
    """Where a question goes, behind the base URL."""
    return "/chat/completions"


def read_error(status: int, text: str) -> Facts:
    """(message, code, param, seconds to wait) of an error's body; what reads it is loaded with the first."""
    with loading:
        from . import _openai_errors

    return _openai_errors.read_error(status, text)


def raise_error(payload: Any, partial: str = "") -> None:
    """Raise the error that a 2xx payload or a choice holds, with the status it would have had."""
    if isinstance(payload, dict) and not payload.get("error"):
        if "choices" in payload or isinstance(payload.get("message"), dict):  # an answer, or one choice of it
            return
    with loading:
        from . import _openai_errors

    _openai_errors.raise_error(payload, partial)


@dataclass(frozen=True)
class Quirks:
    """How a server differs from the others on this wire.

    official: OpenAI's own; the rest is called lookalikes. token_limit: what it calls
    `max_tokens`. loading_state: it may tell of a model being loaded in chunks that are
    no thinking (llama-swap). thinking_switch: it takes `chat_template_kwargs`.
    thinking_back: it wants its thinking back beside tool calls, be it empty (DeepSeek).
    strict_schemas: it wants OpenAI's strict form of a schema (llama-server enforces more).
    remedies: what it does not take, learned from its errors: a parameter, or one value
    of it (`"reasoning_effort=none"`) -> the name to send instead, None to leave it out; for
    the types of `response_format` the type to ask for instead, None to ask in words.
    """

    official: bool = False
    token_limit: str = "max_completion_tokens"
    loading_state: bool = False
    thinking_switch: bool = False
    thinking_back: bool = False
    strict_schemas: bool = True
    remedies: dict[str, str | None] = field(default_factory=dict)


# Our levels -> `reasoning_effort`. Source: openai-python, `types/shared/reasoning_effort`;
# the official models call the level above high `xhigh`, and lookalikes know no more than high.
_EFFORT = {"off": "none", "minimal": "minimal", "low": "low", "medium": "medium", "high": "high", "max": "high"}
_EFFORT_OFFICIAL = {**_EFFORT, "max": "xhigh"}


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
    wanted, words = _encode_schema(request.schema, quirks, told)
    body: dict[str, Any] = {"model": model, "messages": _encode_messages(request, words, quirks, target)}
    _encode_tools(body, request, quirks)
    if wanted is not None:
        body["response_format"] = wanted
    if request.reasoning is not None:
        body["reasoning_effort"] = (_EFFORT_OFFICIAL if quirks.official else _EFFORT)[request.reasoning]
        if quirks.thinking_switch and request.reasoning == "off":
            body["chat_template_kwargs"] = {"enable_thinking": False}
    for name, value in (
        (quirks.token_limit, request.max_tokens),
        ("temperature", request.temperature),
        ("top_p", request.top_p),
        ("stop", list(request.stop) or None),
        ("seed", request.seed),
    ):
        if value is not None:
            body[name] = value
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
        if quirks.official:
            body["stream_options"]["include_obfuscation"] = False
    mended = _mend(body, quirks)
    told.extend(mended.values())
    if request.reasoning is not None and "reasoning" not in mended:
        tell_level(told, request.reasoning, body["reasoning_effort"])
    return merge(body, request.extra) if request.extra else body


def _mend(body: dict[str, Any], quirks: Quirks) -> dict[str, str]:
    """Rename or leave out what the server does not take; gives a sentence for each option that this changes."""
    found = {}
    for said, instead in quirks.remedies.items():
        name, _, refused = said.partition("=")
        if name in body and refused in ("", body[name]):
            kept = body.pop(name)
            if instead is not None:
                body[instead] = kept
            if name not in _OURS:
                what = f"sent as {instead}" if instead else "left out"
                found[_OPTION[name]] = f"{_OPTION[name]}: {what}, for the target does not take {said}"
    return found


def _encode_messages(request: Request, words: str, quirks: Quirks, target: str) -> list[dict[str, Any]]:
    """The messages; words: what the system prompt says besides."""
    found: list[dict[str, Any]] = []
    system = instructed(request, words)
    if system:
        found.append({"role": "developer" if quirks.official else "system", "content": system})
    for turn in with_images_moved(arranged(request, target)):
        encoded = _encode_assistant(turn, quirks) if turn.role == "assistant" else _encode_user(turn)
        if encoded is not None:
            found.append(encoded)
        for answer in turn.answers:
            content = f"Error: {answer.text}" if answer.is_error else answer.text
            found.append({"role": "tool", "tool_call_id": answer.id, "content": content})
    if len(found) == bool(system):  # there was nothing but thinking
        found.append({"role": "user", "content": ""})
    return found


def _encode_assistant(turn: Turn, quirks: Quirks) -> dict[str, Any] | None:
    calls, text = turn.calls, turn.text
    if not (calls or text):
        return None  # servers refuse an assistant message of nothing
    found: dict[str, Any] = {"role": "assistant", "content": text or None}
    if calls:
        found["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": _json.dumps(call.arguments, "a tool call's arguments")},
            }
            for call in calls
        ]
    thinking = "" if quirks.official else turn.thinking
    if thinking or (calls and quirks.thinking_back):
        found["reasoning_content"] = thinking
    return found


def _encode_user(turn: Turn) -> dict[str, Any]:
    if not any(isinstance(part, Image) for part in turn.parts):
        return {"role": "user", "content": turn.text}
    return {"role": "user", "content": [_encode_part(part) for part in turn.parts]}


def _encode_part(part: Part) -> dict[str, Any]:
    if isinstance(part, Image):
        return {"type": "image_url", "image_url": {"url": data_url(part)}}
    return {"type": "text", "text": text_of(getattr(part, "text", None))}


def _encode_tools(body: dict[str, Any], request: Request, quirks: Quirks) -> None:
    if not request.tools:
        return
    # llama-server reads a name as `auto`, LM Studio refuses it
    tools, choice = (request.tools, request.tool_choice) if quirks.official else only_named(request)
    body["tools"] = [{"type": "function", "function": declared(tool)} for tool in tools]
    if choice in ("none", "required"):
        body["tool_choice"] = choice
    elif choice != "auto":
        body["tool_choice"] = {"type": "function", "function": {"name": choice}}


_FORMAT = "response_format={}"  # the name of a remedy for one type of it
_BY_SCHEMA, _JSON_MODE = _FORMAT.format("json_schema"), _FORMAT.format("json_object")


def _encode_schema(schema: Any, quirks: Quirks, told: list[str]) -> tuple[dict[str, Any] | None, str]:
    """(`response_format`, words that ask for the same where the server cannot be held to it)."""
    if schema is None:
        return None, ""
    with loading:
        from ._openai_schema import NOT_STRICT, as_given, named
        from ._schema import checked, in_words

    sent = settled(_BY_SCHEMA, quirks.remedies)
    if sent == _BY_SCHEMA:
        described = (named if quirks.strict_schemas else as_given)(schema)
        if quirks.official and not described["strict"]:
            told.append(NOT_STRICT)
        return {"type": "json_schema", "json_schema": described}, ""
    if sent is None or checked(schema).get("type", "object") != "object":  # which is all that JSON mode gives
        return None, in_words(schema, told)
    return {"type": "json_object"}, in_words(schema, told, "in JSON mode and in words")


# Source: openai-openapi, `finish_reason`; `function_call` is its older form.
_STOP_REASONS = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


def _stop_reason(finish: Any, refusal: str, calls: bool) -> str:
    reason = _STOP_REASONS.get(finish, "other") if isinstance(finish, str) else "other"
    if refusal and reason in ("stop", "other"):
        return "refusal"
    if calls and reason in ("stop", "other"):  # a named choice, and some lookalikes, say stop
        return "tool_calls"
    return reason


def decode(payload: Any, quirks: Quirks, schema: Any = None) -> Response:
    """The answer in a 2xx body.

    Raises APIError for an error that came as a 200, ProtocolError for what is no answer,
    TruncatedError for an answer to a schema that was cut.
    """
    raise_error(payload)
    choice = _choice(payload)
    if choice is None:
        raise ProtocolError("the answer holds no choices")
    message = choice.get("message")
    raise_error(choice, _content(message) if isinstance(message, dict) else "")
    if not isinstance(message, dict):
        raise ProtocolError("the answer's first choice holds no message")
    if choice.get("finish_reason") == "error":
        raise APIError(502, "the server ended its answer with an error", partial=_content(message))
    text, thinking = _content(message), _reasoning(message)
    if not quirks.official and not thinking:
        thinking, text = split_think(text)
    entries = message.get("tool_calls")
    calls: list[ToolCall] = []
    if entries and isinstance(entries, list):
        calls = with_unique_ids([_decode_call(entry) for entry in entries if isinstance(entry, dict)])
    refusal, finish = text_of(message.get("refusal")), choice.get("finish_reason")
    parts: list[Part] = [Thinking(thinking)] if thinking else []
    if text:
        parts.append(Text(text))
    reason = _stop_reason(finish, refusal, bool(calls))
    return response_of([*parts, *calls], reason, _usage(payload), payload, schema, refusal)


def _choice(payload: Any) -> dict[str, Any] | None:
    choices = payload.get("choices") if isinstance(payload, dict) else None
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    return None


def _content(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(text_of(part.get("text")) for part in content if isinstance(part, dict))
    return text_of(content)


def _reasoning(message: dict[str, Any]) -> str:
    """The thinking, under whichever of its names; some servers send both with equal text."""
    return text_of(message.get("reasoning_content")) or text_of(message.get("reasoning"))


def _decode_call(entry: dict[str, Any]) -> ToolCall:
    function = entry.get("function")
    function = function if isinstance(function, dict) else {}
    return tool_call(entry.get("id"), function.get("name"), function.get("arguments"))


def _usage(payload: Any) -> Usage:
    """Counts; on this wire cached tokens are part of the input, reasoning of the output."""
    usage = payload.get("usage")
    if not isinstance(usage, dict):
        groq = payload.get("x_groq")
        usage = groq.get("usage") if isinstance(groq, dict) else None
    if not isinstance(usage, dict):
        return Usage()
    input_details, output_details = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    cached = count_of(input_details.get("cached_tokens")) if isinstance(input_details, dict) else None
    return Usage(
        count_of(usage.get("prompt_tokens")),
        count_of(usage.get("completion_tokens")),
        count_of(usage.get("prompt_cache_hit_tokens")) if cached is None else cached,  # DeepSeek's own name
        count_of(output_details.get("reasoning_tokens")) if isinstance(output_details, dict) else None,
    )


class StreamDecoder:
    """The events of a stream to our deltas, and at the end to a Response.

    finished: a finish reason has come, so the answer is whole; what follows is at most
    its usage. done: the end marker has come.
    """

    def __init__(self, quirks: Quirks, schema: Any = None) -> None:
        self.finished = False
        self.done = False
        self._quirks = quirks
        self._schema = schema
        with loading:
            from ._growing import Growing

        self._growing = Growing(tags=not quirks.official, named=True)
        self._refusal: list[str] = []
        self._finish: Any = None
        self._usage: Usage = Usage()
        self._whole: Response | None = None

    @property
    def partial(self) -> str:
        """The text so far."""
        return self._growing.text

    def feed(self, event: str, data: bytes) -> list[Delta]:
        """The deltas of one event; raises APIError for an error event."""
        if data.startswith(b"[DONE]"):
            self.done = True
            return []
        payload = _json.loads(data, "an event of the stream")
        choice = _choice(payload)
        if choice is None or "error" in payload or "error" in choice or event == "error":
            if event == "error" and error_object(payload) is None:
                payload = {"error": {"message": text_of(payload) or "the server ended the stream with an error"}}
            raise_error(payload)
            if choice is None:
                self._count(payload)
                return []
            message = choice.get("message")
            raise_error(choice, _content(message) if isinstance(message, dict) else "")
        if choice.get("index") or self._whole is not None:  # another of several answers (`n` in extra), or more of one
            return []
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            delta = choice.get("message")
            if isinstance(delta, dict) and not self._growing.text and payload.get("object") == "chat.completion":
                return self._take_whole(payload)
        if self._quirks.loading_state and len(payload) == 1 and len(choice) == 1 and _is_loading(delta):
            return []
        found = self._take(delta) if isinstance(delta, dict) and delta else []
        finish = choice.get("finish_reason")
        if finish:
            if finish == "error":
                raise APIError(502, "the server ended the stream with an error")
            self._finish = finish
            self.finished = True
        if "usage" in payload or "x_groq" in payload:
            self._count(payload)
        return found

    def _take(self, delta: dict[str, Any]) -> list[Delta]:
        growing = self._growing
        found = growing.think(_reasoning(delta), 0)
        text = delta.get("content")
        if text:
            found += growing.say(text if isinstance(text, str) else _content(delta), 0)
        refusal = delta.get("refusal")
        if refusal:
            self._refusal.append(text_of(refusal))
        entries = delta.get("tool_calls")
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict):
                function = entry.get("function")
                function = function if isinstance(function, dict) else {}
                found += growing.call(
                    entry.get("index"), entry.get("id"), function.get("name"), function.get("arguments")
                )
        return found

    def _take_whole(self, payload: Any) -> list[Delta]:
        """A server that sends its answer in one piece although a stream was asked for."""
        self._whole = response = decode(payload, self._quirks, self._schema)
        self.finished = True
        return [event for event in replay(response) if not isinstance(event, Done)]

    def _count(self, payload: Any) -> None:
        if isinstance(payload, dict):
            usage = _usage(payload)
            if usage.input_tokens is not None or usage.output_tokens is not None:
                self._usage = usage

    def close(self) -> list[Delta]:
        """The stream has ended: what was held back; raises TruncatedError if the answer is not whole."""
        found = self._growing.close(0)
        if not self.finished:
            raise TruncatedError("the stream ended without a finish reason: the answer is cut", partial=self.partial)
        return found

    def response(self) -> Response:
        """The whole answer of a stream that has been closed."""
        if self._whole is not None:
            return self._whole
        parts, refusal = self._growing.parts(), "".join(self._refusal)
        reason = _stop_reason(self._finish, refusal, any(isinstance(part, ToolCall) for part in parts))
        return response_of(parts, reason, self._usage, None, self._schema, refusal)


def _is_loading(delta: Any) -> bool:
    """llama-swap's `sendLoadingState`: a delta of nothing but reasoning, in a chunk of nothing but it."""
    return isinstance(delta, dict) and len(delta) == 1 and "reasoning_content" in delta


# Parameters that may be renamed or left out, and what they are called here.
_OPTION = {
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "stop": "stop",
    "seed": "seed",
    "reasoning_effort": "reasoning",
    "chat_template_kwargs": "reasoning",
    "stream_options": "stream_options",
}
_OURS = ("chat_template_kwargs", "stream_options")  # of these nobody has to hear
_OTHER_NAME = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_UNSUPPORTED_CODES = ("unsupported_parameter", "unsupported_value", "unknown_parameter", "extra_forbidden")
_UNSUPPORTED = (
    r"(?:unsupported|unknown|unrecognized|unexpected|extra)\b[^'\"`]{0,60}['\"`](\w+)['\"`]"
    r"|['\"`]?(\w+)['\"`]?:? (?:is |are )?(?:not (?:supported|permitted|allowed|recognized)|unsupported)"
    r"|unrecognized request argument supplied: (\w+)"
)


def remedy(error: APIError, body: dict[str, Any], quirks: Quirks) -> Remedy | None:
    """The parameter of `body` that an error calls unsupported, and the name to send instead (None: leave it out).

    None if the error is about something else, about what cannot be left out, or about
    what has been mended before.
    """
    this = error.code == "invalid_json_schema" or (error.status == 500 and error.code == "invalid_request")
    if this or error.code == "schema_not_supported":
        return _mended_schema(body, quirks, lasting=not this)
    if error.status not in (400, 422):
        return None
    param = error.param if error.code in _UNSUPPORTED_CODES else None
    if param is None:
        told = re.match(_UNSUPPORTED, error.message, re.I)
        param = next((name for name in told.groups() if name), None) if told else None
    if param == "response_format":
        return _mended_schema(body, quirks)
    if param not in _OPTION or param not in body or param in quirks.remedies:
        return None
    if error.code == "unsupported_value" and param == "reasoning_effort":
        said = f"{param}={body[param]}"  # other levels may be taken
        return None if said in quirks.remedies else Remedy(said)
    instead = _OTHER_NAME.get(param)
    return Remedy(param, None if instead in body or instead in quirks.remedies else instead)


def _mended_schema(body: dict[str, Any], quirks: Quirks, lasting: bool = True) -> Remedy | None:
    """The next best means to have an answer follow a schema: JSON mode, then words; words where only this one fails."""
    sent = body.get("response_format")
    said = _FORMAT.format(sent.get("type") if isinstance(sent, dict) else None)
    if said not in (_BY_SCHEMA, _JSON_MODE) or said in quirks.remedies:
        return None
    return Remedy(said, _JSON_MODE if lasting and said == _BY_SCHEMA else None, lasting)

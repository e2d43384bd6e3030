"""OpenAI's Responses, used without state: the server keeps nothing, each request holds the conversation whole.

Source, where nothing else is said: openai-python 3.54 of November 2026 (`types/responses`)
and openai-openapi of August 2026 for the wire, llama.cpp's `tools/server` of October 2026,
vLLM, LM Studio and OpenRouter of 2026 for how lookalikes differ.
"""

from __future__ import annotations

import re

from .. import _json
from .._loading import loading
from ..llm import Image, Text, Thinking, ToolCall, merge
from ._conversation import arranged, with_images_moved
from ._responses_answers import BETWEEN, StreamDecoder, phase_of, unpacked
from ._responses_answers import raise_error as raise_error
from ._shared import (
    Remedy,
    count_of,
    data_url,
    declared,
    instructed,
    only_named,
    parameters_of,
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
    from ._conversation import Answer, Turn
    from ._shared import Facts
else:
    from .._frozen import dataclass, field

FRAMING = "sse"
SEALED = "reasoning.encrypted_content"
LEAST_TOKENS = 16  # of `max_output_tokens`; what is less is a 400


def path(model: str, stream: bool) -> str:
    """Where a question goes, behind the base URL."""
    return "/responses"


def read_error(status: int, text: str) -> Facts:
    """(message, code, param, seconds to wait) of an error's body; what reads it is loaded with the first.

    That a model is to be asked over this wire is no news here: such an error says that the
    server does not have it.
    """
    with loading:
        from . import _openai_errors

    message, code, param, wait = _openai_errors.read_error(status, text)
    return message, "wire_not_supported" if code == "responses_only" else code, param, wait


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
    wanted, words = _encode_schema(request.schema, quirks, told)
    system = instructed(request, words)
    if system:
        body["instructions"] = system
    _encode_tools(body, request, quirks)
    if wanted is not None:
        body["text"] = {"format": wanted}
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
    return {**item, "phase": phase_of(part)} if phase_of(part) else item


def _encode_call(call: ToolCall) -> dict[str, Any]:
    """A call; the id of its item stays away, for the server would look it up."""
    arguments = _json.dumps(call.arguments, "a tool call's arguments")
    item = {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments}
    namespace = text_of(unpacked(call.signature).get("namespace"))
    return {**item, "namespace": namespace} if namespace else item


def _encode_thinking(part: Thinking, quirks: Quirks) -> dict[str, Any] | None:
    """A reasoning item as it came; None for what the server could only look up, having kept nothing."""
    known = unpacked(part.signature)
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
        at += size + len(BETWEEN)
    if found and BETWEEN.join(found) == text:
        return found
    return [text] if text else []


def _encode_tools(body: dict[str, Any], request: Request, quirks: Quirks) -> None:
    if not request.tools:
        return
    with loading:
        from ._openai_schema import is_strict

    # nobody knows whether llama-server, which takes a name, obeys it
    tools, choice = (request.tools, request.tool_choice) if quirks.official else only_named(request)
    body["tools"] = [
        # left out, `strict` means true here, and optional properties are filled in
        {"type": "function", **declared(tool), "strict": is_strict(parameters_of(tool))}
        for tool in tools
    ]
    if choice in ("none", "required"):
        body["tool_choice"] = choice
    elif choice != "auto":
        body["tool_choice"] = {"type": "function", "name": choice}


def _encode_schema(schema: Any, quirks: Quirks, told: list[str]) -> tuple[dict[str, Any] | None, str]:
    """(`text.format`, words that ask for the same where the server cannot be held to it).

    Nothing in between: JSON mode wants its word in an input message, where the system
    prompt is none, and those models here that follow no schema do not have it either.
    """
    if schema is None:
        return None, ""
    with loading:
        from ._openai_schema import NOT_STRICT, named
        from ._schema import in_words

    if "text.format" in quirks.remedies:
        return None, in_words(schema, told)
    described = named(schema)
    if quirks.official and not described["strict"]:
        told.append(NOT_STRICT)
    return {"type": "json_schema", **described}, ""


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


def decode(payload: Any, quirks: Quirks, schema: Any = None) -> Response:
    """The answer in a 2xx body.

    Raises APIError for an error that came as a 200, ProtocolError for what is no answer,
    TruncatedError for an answer to a schema that was cut.
    """
    decoder = StreamDecoder(quirks, schema)
    decoder.take(payload)
    return decoder.response()


# Parameters that may be left out -> what is left out then.
_OPTIONAL = {
    **{name: name for name in ("temperature", "top_p", "max_output_tokens", "include", "stream_options", "reasoning")},
    "stream_options.include_obfuscation": "stream_options",
    "reasoning.summary": "reasoning.summary",
    "text": "text.format",
    "text.format": "text.format",
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
    text = body.get("text")
    if error.code in ("schema_not_supported", "invalid_json_schema") and isinstance(text, dict) and "format" in text:
        return Remedy("text.format", lasting=error.code == "schema_not_supported")
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

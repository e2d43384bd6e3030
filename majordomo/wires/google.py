"""Google's Gemini API, `generateContent` and its stream.

Source, where nothing else is said: google-genai 3.4 of November 2026 (`types.py`) and the
Gemini API's documentation of October 2026 ("Thought signatures", "Function calling",
"Thinking"). The API drops from its JSON what is empty or zero.
"""

from __future__ import annotations

from .. import _json
from .._loading import loading
from .._words import one_line
from ..errors import APIError, MajordomoError, ProtocolError, TruncatedError, UnsupportedError
from ..llm import Image, Text, Thinking, ToolCall, Usage, merge
from ._conversation import arranged, with_images_moved
from ._google import SKIP, WITHHELD, blocked, place, raise_error, rows_of
from ._google import read_error as read_error
from ._growing import Growing
from ._shared import base64_of, count_of, fresh_id, instructed, response_of, settled, tell_level, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass, field
    from typing import Any

    from ..llm import Request, Response, Tool
    from ..model import Delta
    from ._conversation import Answer, Turn
    from ._shared import Remedy
else:
    from .._frozen import dataclass, field

FRAMING = "sse"

# Our levels -> `thinkingLevel`, or `thinkingBudget` in tokens, as the newest models have
# it; and as those had it that knew no levels.
LEVELS: dict[str, Any] = {"off": 0, "minimal": "LOW", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "max": "HIGH"}
BUDGETS: dict[str, Any] = {"off": 0, "minimal": 128, "low": 2048, "medium": 8192, "high": 24576, "max": 24576}


def path(model: str, stream: bool) -> str:
    """Where a question goes, behind the base URL. Raises ConfigError for a model's name that leads elsewhere."""
    return place(model, "streamGenerateContent") + "?alt=sse" if stream else place(model, "generateContent")


@dataclass(frozen=True)
class Quirks:
    """How models differ on this wire; by default all is as with the newest.

    levels: how our levels of reasoning are said; a model that does not think has none.
    signed_calls: it wants the first call of each step signed. result_images: a tool's
    result has a place for pictures. remedies: what it does not take, known or learned from
    its errors -> what goes instead, None to leave it out: a field, a value of
    `thinkingConfig` (`"thinkingLevel=LOW"`), or `"responseJsonSchema=tools"`, which is a
    schema beside tools.
    """

    levels: dict[str, Any] = field(default_factory=lambda: LEVELS)
    signed_calls: bool = True
    result_images: bool = True
    remedies: dict[str, str | None] = field(default_factory=dict)


# Field of `generationConfig` -> the option.
_SETTINGS = (
    ("maxOutputTokens", "max_tokens"),
    ("temperature", "temperature"),
    ("topP", "top_p"),
    ("stopSequences", "stop"),
    ("seed", "seed"),
)


def encode(
    request: Request,
    model: str,
    quirks: Quirks,
    *,
    target: str = "",
    stream: bool = False,
    told: list[str] | None = None,
) -> dict[str, Any]:
    """The body of a request; see `wires`. The model, and whether to stream, stand in the path."""
    told = [] if told is None else told
    body: dict[str, Any] = {"contents": _contents(request, quirks, target)}
    config = _settings(request, quirks, told)
    if request.system and "systemInstruction" in quirks.remedies:
        told.append("system: sent as the user's words, for the target has no system prompt")
    words = _hold_to(config, request, quirks, told)
    if request.reasoning is not None:
        _think(config, request.reasoning, quirks, told)
    _instruct(body, instructed(request, words), quirks)
    if "thoughtSignature" in quirks.remedies:
        told.append("messages: signatures left out, for the target does not take these")
    if request.tools:
        _tools(body, request)
    if config:
        body["generationConfig"] = config
    return merge(body, request.extra) if request.extra else body


def _settings(request: Request, quirks: Quirks, told: list[str]) -> dict[str, Any]:
    """The settings that are set, and taken."""
    found: dict[str, Any] = {}
    for name, option in _SETTINGS:
        value = getattr(request, option)
        if value is None or value == ():
            continue
        if option == "seed" and not -(2**31) <= value < 2**31:
            told.append("seed: left out, for the target takes 32 bits")
        elif name in quirks.remedies:
            told.append(f"{option}: left out, for the target does not take it")
        else:
            found[name] = list(value) if option == "stop" else value
    return found


def _instruct(body: dict[str, Any], system: str, quirks: Quirks) -> None:
    """The system prompt, in the user's first words where the model has no place for it."""
    if system and "systemInstruction" in quirks.remedies:
        body["contents"][0]["parts"].insert(0, {"text": f"{system}\n\n"})
    elif system:
        body["systemInstruction"] = {"parts": [{"text": system}]}


# What stands for words of the user where there are none: the API wants a part in each
# content, something in each part, and a user who begins.
_UNSAID = {"text": "(nothing was said)"}
# Pictures that a tool's result may hold. Source: google-genai, `types.FunctionResponseBlob`.
_RESULT_MIMES = ("image/png", "image/jpeg", "image/webp")


def _contents(request: Request, quirks: Quirks, target: str) -> list[dict[str, Any]]:
    turns = arranged(request, target, drawn=True)
    shown = [image.mime for turn in turns for answer in turn.answers for image in answer.images]
    if not quirks.result_images or not set(shown) <= set(_RESULT_MIMES):
        turns = with_images_moved(turns)
    found: list[dict[str, Any]] = []
    for turn in turns:
        parts = _said(turn, quirks)
        if turn.role == "user":
            found.append({"role": "user", "parts": parts or [_UNSAID]})
            continue
        if parts and found and found[-1]["role"] == "model":
            found[-1]["parts"] += parts
        elif parts:
            found.append({"role": "model", "parts": parts})
        if turn.answers:
            found.append({"role": "user", "parts": [_answer(answer) for answer in turn.answers]})
    if not found or found[0]["role"] == "model":
        found.insert(0, {"role": "user", "parts": [_UNSAID]})
    return found


def _said(turn: Turn, quirks: Quirks) -> list[dict[str, Any]]:
    """The parts of a turn, each with its own signature; thoughts go back only for theirs."""
    keeps = "thoughtSignature" not in quirks.remedies
    # Of the calls of a step the first one is signed.
    seal = quirks.remedies.get("thoughtSignature", SKIP if quirks.signed_calls else None)
    found: list[dict[str, Any]] = []
    picture_seal: str | None = None
    for part, after in zip(turn.parts, [*turn.parts[1:], None]):
        signature = getattr(part, "signature", None) if keeps else None
        if isinstance(part, Image):
            sent: dict[str, Any] = _inline(part)
            signature, picture_seal = picture_seal, None
        elif isinstance(part, ToolCall):
            sent = {"functionCall": {"name": part.name, "args": part.arguments, **_id(part.id)}}
            signature, seal = signature or seal, None
        elif isinstance(part, Thinking) and not part.text and isinstance(after, Image):
            picture_seal = signature
            continue
        else:
            text = text_of(getattr(part, "text", None))
            thought = isinstance(part, Thinking)
            if signature is None and (thought or not text):
                continue
            sent = {"text": text, "thought": True} if thought else {"text": text}
        found.append({**sent, "thoughtSignature": signature} if signature and turn.role != "user" else sent)
    return found


def _inline(image: Image) -> dict[str, Any]:
    return {"inlineData": {"mimeType": image.mime, "data": base64_of(image)}}


_MADE = "gen_"  # how the id of a call begins to which the server gave none


def _id(id: str) -> dict[str, str]:
    """A call's id, unless it is one that the server does not know."""
    return {} if id.startswith(_MADE) else {"id": id}


def _answer(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": answer.name,
        **_id(answer.id),
        "response": {"error" if answer.is_error else "output": answer.text},
    }
    if answer.images:
        found["parts"] = [_inline(image) for image in answer.images]
    return {"functionResponse": found}


# Source: google-genai, `types.FunctionCallingConfigMode`; `auto` is what it does unasked.
_MODES = {"none": {"mode": "NONE"}, "required": {"mode": "ANY"}}


def _tools(body: dict[str, Any], request: Request) -> None:
    body["tools"] = [{"functionDeclarations": [_declared(tool) for tool in request.tools]}]
    choice = request.tool_choice
    if choice != "auto":
        named = {"mode": "ANY", "allowedFunctionNames": [choice]}
        body["toolConfig"] = {"functionCallingConfig": _MODES.get(choice, named)}


def _declared(tool: Tool) -> dict[str, Any]:
    with loading:
        from ._google_schema import adapted, takes_nothing

    found: dict[str, Any] = {"name": tool.name}
    if tool.description:
        found["description"] = tool.description
    if not takes_nothing(tool.parameters):
        found["parametersJsonSchema"] = adapted(tool.parameters)
    return found


def _hold_to(config: dict[str, Any], request: Request, quirks: Quirks, told: list[str]) -> str:
    """Put the schema of the answer into `generationConfig`, or give the words that ask for it."""
    if request.schema is None:
        return ""
    with loading:
        from ._google_schema import adapted
        from ._schema import in_words

    if "responseJsonSchema" in quirks.remedies or (request.tools and "responseJsonSchema=tools" in quirks.remedies):
        return in_words(request.schema, told)
    taken = adapted(request.schema)
    config.update(responseMimeType="application/json", responseJsonSchema=taken)
    return ""


def _think(config: dict[str, Any], level: str, quirks: Quirks, told: list[str]) -> None:
    """Ask for a level of reasoning, by the name or the number of tokens that the model has for it."""
    if not quirks.levels or "thinkingConfig" in quirks.remedies:
        if level != "off":
            told.append("reasoning: left out, for the target has no such option")
        return
    value = quirks.levels[level]
    said = f"{'thinkingBudget' if isinstance(value, int) else 'thinkingLevel'}={value}"
    sent = settled(said, quirks.remedies)
    if level == "off" and sent and sent != "thinkingBudget=0":
        told.append(f"reasoning: sent as {sent}, for the target always thinks")
    elif sent != said:
        told.append(f"reasoning: {f'sent as {sent}' if sent else 'left out'}, for the target does not take {said}")
    elif isinstance(value, str):
        tell_level(told, level, value)
    thinking: dict[str, Any] = {} if level == "off" else {"includeThoughts": True}
    name, _, given = (sent or "").partition("=")
    if name:
        thinking[name] = int(given) if name == "thinkingBudget" else given
    if thinking:
        config["thinkingConfig"] = thinking


# Reasons of an end beside those of filters. Source: google-genai, `types.FinishReason`.
_STOP_REASONS = {"STOP": "stop", "MAX_TOKENS": "length", "CONTINUATION": "length"}
_FAILURES = frozenset(
    (
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE",
        "TOO_MANY_TOOL_CALLS",
        "UNEXPECTED_TOOL_CALL",
    )
)


def _stop_reason(finish: str, calls: bool) -> str:
    if finish in WITHHELD:
        return "content_filter"
    reason = _STOP_REASONS.get(finish, "other")
    return "tool_calls" if calls and reason != "length" and finish not in _FAILURES else reason


def decode(payload: Any, quirks: Quirks, schema: Any = None) -> Response:
    """The answer in a 2xx body.

    Raises APIError for an error that came as a 200 and for a prompt that a filter has
    blocked, ProtocolError for what is no answer, TruncatedError for an answer to a schema
    that was cut.
    """
    decoder = StreamDecoder(quirks, schema)
    decoder.take(payload)
    if not decoder.answered:
        raise ProtocolError("the answer holds no candidates")
    return decoder.response(payload)


class StreamDecoder:
    """The events of a stream to our deltas, and at the end to a Response.

    An event is a whole answer with some of the parts, so an answer that is no stream is
    read as the only event of one. finished: a reason of the end has come; what follows is
    at most counts, or a signature. done: never, for the stream has no end marker.
    answered: a candidate has come.
    """

    def __init__(self, quirks: Quirks, schema: Any = None) -> None:
        self.finished = False
        self.done = False
        self.answered = False
        self._schema = schema
        self._growing = Growing()
        self._calls = 0
        self._counts: dict[str, Any] = {}
        self._finish = ""
        self._says = ""

    @property
    def partial(self) -> str:
        """The text so far."""
        return self._growing.text

    def feed(self, event: str, data: bytes) -> list[Delta]:
        """The deltas of one event; raises APIError for an error, and for a prompt that was blocked."""
        return self.take(_json.loads(data, "an event of the stream"))

    def take(self, payload: Any) -> list[Delta]:
        """The deltas of an answer, or of a list of them, as a stream comes that is none of events."""
        if isinstance(payload, list):
            return [delta for answer in payload for delta in self._take(answer)]
        return self._take(payload)

    def _take(self, answer: Any) -> list[Delta]:
        raise_error(answer)
        if not isinstance(answer, dict):
            return []
        self._count(answer.get("usageMetadata"))
        # Further ones are other answers (`candidateCount` in extra); ours is the first.
        for candidate in rows_of(answer, "candidates"):
            if not candidate.get("index"):
                break
        else:
            refused = blocked(answer)
            if refused is not None:
                raise refused
            return []
        self.answered = True
        found: list[Delta] = []
        for part in rows_of(candidate.get("content"), "parts"):
            found += self._part(part)
        finish = text_of(candidate.get("finishReason"))
        if found and not finish:
            self.finished = False  # what seemed to be the end was none
        if finish:
            self.finished = True
            self._finish, self._says = finish, text_of(candidate.get("finishMessage"))
        return found

    def _part(self, part: dict[str, Any]) -> list[Delta]:
        """A part that is unknown, or shows how the model got to its answer, is left out."""
        growing, thought = self._growing, part.get("thought") is True
        if len(part) == 1 and isinstance(part.get("text"), str):  # as most are
            return growing.say(part["text"])
        signature = text_of(part.get("thoughtSignature")) or None
        call, inline = part.get("functionCall"), part.get("inlineData")
        if isinstance(call, dict):
            self._calls += 1
            id = text_of(call.get("id")) or _MADE + fresh_id()
            return growing.call(self._calls, id, call.get("name"), call.get("args"), signature=signature)
        if isinstance(inline, dict):
            if not thought:
                self._show(inline, signature)
            return []
        if not isinstance(part.get("text"), str) and set(part) != {"thoughtSignature"}:
            return []
        text = text_of(part.get("text"))
        key = None if signature is None else object()  # what is signed stands for itself
        found = growing.think(text, key) if thought else growing.say(text, key)
        if signature is not None:
            growing.sign(Thinking if thought else Text, signature, key)
        return found

    def _show(self, inline: dict[str, Any], signature: str | None) -> None:
        try:
            image = Image.from_base64(text_of(inline.get("data")))
        except UnsupportedError:
            return  # sound, or a file of another kind
        if signature is not None:  # a picture has no place for it
            self._growing.sign(Thinking, signature, object())
        self._growing.show(image)

    def _count(self, told: Any) -> None:
        """Each count as it was last told: a later event may leave one out, or say zero for it."""
        for name, count in told.items() if isinstance(told, dict) else ():
            if count or name not in self._counts:
                self._counts[name] = count

    def close(self) -> list[Delta]:
        """The stream has ended; raises TruncatedError if the answer is not whole."""
        if not self.finished:
            raise TruncatedError("the stream ended without a finish reason: the answer is cut", partial=self.partial)
        return []

    def response(self, raw: Any = None) -> Response:
        """The whole answer, of a stream once that has been closed."""
        parts = self._growing.parts()
        # With something to show for it the end is told by the stop reason; nothing at all is
        # no answer, and asked again the model may do better.
        if self._finish in _FAILURES and all(isinstance(part, Thinking) for part in parts):
            raise _failure(self._finish, self._says)
        reason = _stop_reason(self._finish, any(isinstance(part, ToolCall) for part in parts))
        return response_of(parts, reason, _usage(self._counts), raw, self._schema)


def _failure(finish: str, says: str) -> MajordomoError:
    said = one_line(f"the model gave no answer ({finish})" + (f": {says}" if says else ""), 300)
    if finish == "MISSING_THOUGHT_SIGNATURE":  # the request's fault, elsewhere a 400
        return APIError(400, said, finish.lower())
    return ProtocolError(said)


_COUNTS = (
    "promptTokenCount",
    "toolUsePromptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "cachedContentTokenCount",
)


def _usage(counts: dict[str, Any]) -> Usage:
    """Counts; on this wire cached tokens are part of the prompt, and thoughts no part of the candidates."""
    prompt, tools, candidates, thoughts, cached = [count_of(counts.get(name)) for name in _COUNTS]
    return Usage(_sum(prompt, tools), _sum(candidates, thoughts), cached, thoughts)


def _sum(*counts: int | None) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def remedy(error: APIError, body: dict[str, Any], quirks: Quirks) -> Remedy | None:
    """The field of `body` that an error says the model does not take, and what goes instead.

    None if the error is about something else, about what cannot be left out, or about
    what has been mended before.
    """
    with loading:
        from . import _google_remedies

    return _google_remedies.remedy(error, body, quirks.remedies, quirks.signed_calls)

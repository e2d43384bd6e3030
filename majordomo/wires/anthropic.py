"""Anthropic's Messages.

Its models differ more than those of other vendors: with each generation some setting is
no longer taken. What each takes is told by `Quirks`; what a setting becomes is decided in
one place, `_Asked`, from which both the body and the warnings come.

Source, where nothing else is said: the vendor's SDK, anthropic 2.12 of November 2026
(`types/`, `_streaming.py`, `lib/_parse/_transform.py`), and its documentation of that month.
"""

from __future__ import annotations

from .. import _json
from .._loading import loading
from ..errors import APIError, ProtocolError, TruncatedError
from ..llm import Image, Text, Thinking, ToolCall, Usage, merge
from ._conversation import NO_OUTPUT, Turn, arranged, with_images_moved
from ._growing import Growing
from ._shared import (
    base64_of,
    call_in_words,
    count_of,
    declared,
    instructed,
    json_text,
    only_named,
    response_of,
    tell_level,
    text_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass, field
    from typing import Any

    from ..llm import Part, Request, Response
    from ..model import Delta
    from ._conversation import Answer
    from ._shared import Facts, Remedy

    Block = dict[str, Any]
else:
    from .._frozen import dataclass, field

FRAMING = "sse"
VERSION = "2023-06-01"  # of the API, the last one with sampling
MAX_TOKENS = 20_000  # where nobody says a number, which must be said; the SDK waits for no more than 21,333 unstreamed
REDACTED = "redacted:"  # how the signature of thinking begins that came without a text of any kind
NO_TEXT = "(no text)"
GO_ON = "Continue."
ANSWER = "majordomo_answer"  # the tool whose arguments are an answer to a schema; nobody else has one of this name


def path(model: str, stream: bool) -> str:
    """Where a question goes, behind the base URL."""
    return "/messages"


def read_error(status: int, text: str) -> Facts:
    """(message, code, param, seconds to wait) of an error's body; what reads it is loaded with the first."""
    with loading:
        from . import _anthropic_errors

    return _anthropic_errors.read_error(status, text)


def raise_error(payload: Any) -> None:
    """Raise the error that a 2xx payload or an event holds, with the status it would have had."""
    if isinstance(payload, dict) and isinstance(payload.get("content"), list) and not payload.get("error"):
        return  # an answer
    with loading:
        from . import _anthropic_errors

    _anthropic_errors.raise_error(payload)


def remedy(error: APIError, body: dict[str, Any], quirks: Quirks) -> Remedy | None:
    """What of a body an error calls unsupported; None if it is about something else, or was mended before."""
    with loading:
        from . import _anthropic_errors

    return _anthropic_errors.remedy(error, body, quirks.remedies)


@dataclass(frozen=True)
class Quirks:
    """How a model differs from the newest, which one that nobody has heard of is taken for.

    version: of the API. thinking: the values of `thinking.type` that it takes, `()` if it
    cannot think. efforts: the levels that it takes, lowest first. forced: whether it can be
    made to call a tool. sampling: whether it takes `any` of temperature and top_p, `one` of
    them, or `none`. most_tokens: of an answer, None where no default comes near it. prefill:
    whether it goes on with an answer that was begun for it. schemas: whether it can be held
    to a schema. remedies: what it does not take, learned from its errors, see
    `_anthropic_errors`.
    """

    version: str = VERSION
    thinking: tuple[str, ...] = ("adaptive",)
    efforts: tuple[str, ...] = ("low", "medium", "high", "max")
    forced: bool = True
    sampling: str = "none"
    most_tokens: int | None = None
    prefill: bool = False
    schemas: bool = True
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
    """The body of a request; see `wires`. Raises UnsupportedError for an assistant's images."""
    asked = _Asked(request, quirks, target, [] if told is None else told)
    body: dict[str, Any] = {"model": model, **asked.body}
    system = instructed(request, *asked.words)
    if system:
        body["system"] = system
    body["messages"] = _encode_turns(asked.turns)
    if stream:
        body["stream"] = True
    return merge(body, request.extra) if request.extra else body


# Our levels -> `output_config.effort`, and the tokens to think where effort is not the measure.
_EFFORT = {"off": "low", "minimal": "low", "low": "low", "medium": "medium", "high": "high", "max": "max"}
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_BUDGET = {"minimal": 1024, "low": 2048, "medium": 10_000, "high": 16_384, "max": 32_768}
_LEAST_BUDGET = 1024
# A value of `thinking.type` that turned out to be refused -> those of the other generations.
_OTHER_TYPES = {"adaptive": ("enabled", "disabled"), "enabled": ("adaptive",)}
_CHOICES = {"none": {"type": "none"}, "required": {"type": "any"}}


class _Asked:
    """What a request becomes for a model.

    turns: its conversation. body: its settings, by their names on this wire. words: what the
    system prompt says besides. told: the warnings.
    """

    def __init__(self, request: Request, quirks: Quirks, target: str, told: list[str]) -> None:
        self.request, self.quirks = request, quirks
        self.body: dict[str, Any] = {"max_tokens": self._limit(0)}
        self.words: list[str] = []
        self.told = told
        self.turns = _turns(request, quirks, target)
        if "signature" in quirks.remedies:
            self.told.append("messages: sent without the thinking in them, for the target does not take it back")
        if request.schema is not None:
            self._hold_to(request.schema)
        self._end_with_user()
        if request.tools:
            self._offer_tools()
        self._think()
        self._sample()
        self._stop()

    def _limit(self, budget: int) -> int:
        """`max_tokens`, of which thinking is a part."""
        if self.request.max_tokens is not None:
            return self.request.max_tokens
        most = self.quirks.most_tokens
        return MAX_TOKENS + budget if most is None else min(MAX_TOKENS + budget, most)

    def _hold_to(self, schema: Any) -> None:
        with loading:
            from ._anthropic_schema import as_tool, narrowed
            from ._schema import checked, in_words

        enforced = self.quirks.schemas and "schema" not in self.quirks.remedies
        taken = narrowed(schema) if enforced else None
        tool = as_tool(checked(schema), ANSWER) if taken is None and self._can_force_answer() else None
        if taken is not None:
            self.body["output_config"] = {"format": {"type": "json_schema", "schema": taken}}
        elif tool is not None:
            self.body.update(tool)
            self.told.append("schema: asked for as the arguments of a tool, for the target does not enforce it")
        else:
            self.words.append(in_words(schema, self.told))

    def _can_force_answer(self) -> bool:
        """Whether a tool can be forced for nothing but its arguments: not beside others, and not while it thinks."""
        request = self.request
        alone = not request.tools and request.reasoning in (None, "off")
        return alone and self._can_force() and "answer" not in self.quirks.remedies

    def _end_with_user(self) -> None:
        """An answer that was begun is gone on with by old models, and never one to a schema; others are told to."""
        last = self.turns[-1]
        if last.role == "user" or last.answers:
            return
        if not self.quirks.prefill or "output_config" in self.body or "tool_choice" in self.body:
            self.turns.append(Turn("user", [Text(GO_ON)]))
            self.told.append(f'messages: "{GO_ON}" added, for the target does not go on with what the assistant began')
        elif isinstance(last.parts[-1], Text):
            last.parts[-1] = Text(last.parts[-1].text.rstrip())

    def _offer_tools(self) -> None:
        tools, choice = self.request.tools, self.request.tool_choice
        if choice not in ("auto", "none") and not self._can_force():
            self.words.append(call_in_words(choice))
            self.told.append("tool_choice: asked for in words, for the target cannot be forced to call")
            tools, choice = only_named(self.request)[0], "auto"
        self.body["tools"] = [declared(tool, "input_schema") for tool in tools]
        if choice != "auto":
            self.body["tool_choice"] = _CHOICES.get(choice) or {"type": "tool", "name": choice}

    def _can_force(self) -> bool:
        """Whether a tool can be forced: not where it rules out thinking that cannot be stopped."""
        if not self.quirks.forced or "tool_choice" in self.quirks.remedies:
            return False
        return not self._is_forced_alone() or "disabled" in self._types()

    def _is_forced_alone(self) -> bool:
        """Whether a tool can be forced only while nothing is thought, as always where thinking has a budget."""
        return "thinking+tool_choice" in self.quirks.remedies or self._types() - {"disabled"} == {"enabled"}

    def _types(self) -> set[str]:
        """The values of `thinking.type` that the model takes, as far as is known by now."""
        remedies = self.quirks.remedies
        if "thinking" in remedies:
            return set()
        refused = {said[len("thinking=") :] for said in remedies if said.startswith("thinking=")}
        others = {other for one in refused for other in _OTHER_TYPES.get(one, ())}
        return (set(self.quirks.thinking) | others) - refused

    def _think(self) -> None:
        level, types = self.request.reasoning, self._types()
        if self.body.get("tool_choice", {}).get("type") in ("any", "tool") and self._is_forced_alone():
            if level not in (None, "off"):
                self.told.append("reasoning: left out, for a tool must be called")
            if level is not None or "thinking+tool_choice" in self.quirks.remedies:
                level = "off"
        if level is None:
            return
        if level == "off":
            self._stop_thinking(types)
        elif "adaptive" in types:
            self.body["thinking"] = {"type": "adaptive", "display": "summarized"}  # by default nothing can be read
            effort = self._put_effort(level)
            if effort is None:
                self.told.append("reasoning: sent without its level, for the target takes none")
            else:
                tell_level(self.told, level, effort)
        elif "enabled" in types:
            self._budget(_BUDGET[level])
        else:
            self.told.append("reasoning: left out, for the target does not take it")

    def _stop_thinking(self, types: set[str]) -> None:
        if "disabled" in types:
            self.body["thinking"] = {"type": "disabled"}
        elif types:
            effort = self._put_effort("off")
            how = f"sent as {effort} effort" if effort else "left out"
            self.told.append(f"reasoning: {how}, for the target cannot be kept from thinking")

    def _put_effort(self, level: str) -> str | None:
        """Ask for the highest effort up to a level; None if the model takes none."""
        remedies = self.quirks.remedies
        efforts = [effort for effort in self.quirks.efforts if f"effort={effort}" not in remedies]
        if not efforts or "effort" in remedies:
            return None
        most = _EFFORTS.index(_EFFORT[level])
        chosen = ([effort for effort in efforts if _EFFORTS.index(effort) <= most] or efforts[:1])[-1]
        self.body.setdefault("output_config", {})["effort"] = chosen
        return chosen

    def _budget(self, budget: int) -> None:
        """Thinking by a number of tokens, of which a quarter at least is left for the answer."""
        limit, wanted = self._limit(budget), budget
        budget = min(budget, limit - limit // 4)
        if not _goes_on_thinking(self.turns):
            self.told.append(
                "reasoning: left out, for the turn that goes on began without thinking of the target's own"
            )
        elif budget < _LEAST_BUDGET:
            self.told.append("reasoning: left out, for max_tokens leaves no room for it")
        else:
            if budget < wanted:
                self.told.append(f"reasoning: sent as {budget} tokens, for max_tokens leaves room for no more")
            self.body["thinking"] = {"type": "enabled", "budget_tokens": budget}
            self.body["max_tokens"] = limit

    def _sample(self) -> None:
        request, remedies = self.request, self.quirks.remedies
        taken = "none" if self.quirks.version > VERSION else self.quirks.sampling
        thinks = self.body.get("thinking", {}).get("type") in ("adaptive", "enabled")
        if request.temperature is not None:
            value = min(request.temperature, 1)
            if taken == "none" or "temperature" in remedies:
                self.told.append("temperature: left out, for the target does not take it")
            elif thinks and value != 1:
                self.told.append("temperature: left out, for the target does not take it while it thinks")
            else:
                self.body["temperature"] = value
                if value != request.temperature:
                    self.told.append("temperature: sent as 1, which is the most that the target takes")
        if request.top_p is not None:
            single = taken == "one" or "temperature+top_p" in remedies
            if taken == "none" or "top_p" in remedies:
                self.told.append("top_p: left out, for the target does not take it")
            elif thinks and request.top_p < 0.95:
                self.told.append("top_p: left out, for the target does not take it while it thinks")
            elif single and "temperature" in self.body:
                self.told.append("top_p: left out, for the target does not take it beside temperature")
            else:
                self.body["top_p"] = request.top_p
        if request.seed is not None:
            self.told.append("seed: left out, for the target has no such option")

    def _stop(self) -> None:
        stop = [text for text in self.request.stop if text.strip()]
        if stop:
            self.body["stop_sequences"] = stop
        if len(stop) != len(self.request.stop):
            self.told.append("stop: white space alone left out, for the target does not take it")


def _turns(request: Request, quirks: Quirks, target: str) -> list[Turn]:
    """The turns, as this server takes them: the user's first, none of nothing, no text of white space."""
    found: list[Turn] = []
    for turn in with_images_moved(arranged(request, target), only_errors=True):
        parts = [part for part in turn.parts if _is_sent(part, quirks)]
        while parts and isinstance(parts[-1], Thinking):
            parts.pop()  # "The final block in an assistant message cannot be `thinking`"
        after = found[-1] if found else None
        if not parts:
            if turn.role == "assistant" or (after is not None and (after.role == "user" or after.answers)):
                continue
            parts = [Text(NO_TEXT)]
        if after is not None and after.role == turn.role == "user":  # what was said between them was nothing
            after.parts.extend(parts)
            continue
        if not found and turn.role == "assistant":
            found.append(Turn("user", [Text(NO_TEXT)]))
        found.append(Turn(turn.role, parts, turn.answers))
    return found or [Turn("user", [Text(NO_TEXT)])]


def _is_sent(part: Part, quirks: Quirks) -> bool:
    if isinstance(part, Text):
        return bool(part.text.strip())
    return not isinstance(part, Thinking) or (part.signature is not None and "signature" not in quirks.remedies)


def _goes_on_thinking(turns: list[Turn]) -> bool:
    """Whether a budget to think may be given: not where the assistant's turn, still going on, began otherwise.

    Its turn goes on while tools are used, and where it ends the conversation.
    """
    at = len(turns) - 1
    if turns[at].role == "assistant" and not turns[at].answers:
        return False
    while turns[at].answers or (at and turns[at - 1].answers):
        begins = not at or turns[at - 1].role == "user"
        if turns[at].role == "assistant" and begins and not isinstance(turns[at].parts[0], Thinking):
            return False
        at -= 1
    return True


def _encode_turns(turns: list[Turn]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for turn in turns:
        blocks = [_encode_part(part) for part in turn.parts]
        if found and found[-1]["role"] == turn.role:
            found[-1]["content"] += blocks  # behind the results
        else:
            found.append({"role": turn.role, "content": blocks})
        if turn.answers:
            found.append({"role": "user", "content": [_encode_answer(answer) for answer in turn.answers]})
    for message in found:
        blocks = message["content"]
        if len(blocks) == 1 and blocks[0]["type"] == "text":
            message["content"] = blocks[0]["text"]
    return found


def _encode_part(part: Part) -> Block:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, Image):
        return {"type": "image", "source": {"type": "base64", "media_type": part.mime, "data": base64_of(part)}}
    if isinstance(part, ToolCall):
        return {"type": "tool_use", "id": part.id, "name": part.name, "input": part.arguments}
    assert isinstance(part, Thinking)
    signature = part.signature or ""
    if signature.startswith(REDACTED):
        return {"type": "redacted_thinking", "data": signature[len(REDACTED) :]}
    return {"type": "thinking", "thinking": part.text, "signature": signature}


def _encode_answer(answer: Answer) -> Block:
    content: Any = answer.text
    if answer.images:
        content = [_encode_part(part) for part in answer.parts if isinstance(part, Image) or part.text.strip()]
    elif not content.strip():
        content = NO_OUTPUT
    found = {"type": "tool_result", "tool_use_id": answer.id, "content": content}
    return {**found, "is_error": True} if answer.is_error else found


_STOP_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}


def decode(payload: Any, quirks: Quirks, schema: Any = None) -> Response:
    """The answer in a 2xx body.

    Raises APIError for an error that came as a 200, ProtocolError for what is no answer,
    TruncatedError for an answer to a schema that was cut.
    """
    decoder = StreamDecoder(quirks, schema)
    decoder.take_whole(payload)
    return decoder.response()


class StreamDecoder:
    """The events of a stream, or a whole answer, to our deltas, and at the end to a Response.

    finished: a stop reason has come, so the answer is whole. done: the end marker has come.
    """

    def __init__(self, quirks: Quirks, schema: Any = None) -> None:
        self.finished = False
        self.done = False
        self._schema = schema
        self._growing = Growing()
        self._inputs: dict[int | None, Any] = {}  # of the calls that have begun: what came with the beginning
        self._answer: dict[int | None, list[str]] = {}  # of calls that are no calls, see `ANSWER`: their arguments
        self._usage: dict[str, Any] = {}
        self._end: dict[str, Any] = {}
        self._raw: Any = None

    @property
    def partial(self) -> str:
        """The text so far."""
        return self._growing.text

    def feed(self, event: str, data: bytes) -> list[Delta]:
        """The deltas of one event; raises APIError for an error event."""
        payload = _json.loads(data, "an event of the stream")
        if not isinstance(payload, dict):
            return []
        kind = payload.get("type")
        if event == "error" or kind == "error" or not isinstance(kind, str):
            raise_error(payload)
            if event == "error" or kind == "error":
                raise APIError(500, "the server ended the stream with an error")
            return []
        if kind == "message":
            return self.take_whole(payload)
        if kind == "message_start":
            self._count(_object(payload, "message"))
        elif kind == "content_block_start":
            return self._begin(_key(payload), _object(payload, "content_block"))
        elif kind == "content_block_delta":
            return self._go_on(_key(payload), _object(payload, "delta"))
        elif kind == "message_delta":
            self._count(payload)
            self._stop(_object(payload, "delta"))
        elif kind == "message_stop":
            self.done = True
        return []

    def take_whole(self, payload: Any) -> list[Delta]:
        """A whole answer, also from a server that sends one although a stream was asked for."""
        raise_error(payload)
        content = payload.get("content") if isinstance(payload, dict) else None
        if not isinstance(content, list):
            raise ProtocolError("the answer holds no content")
        found: list[Delta] = []
        for number, block in enumerate(content):
            if isinstance(block, dict):
                found += self._begin(number, block)
        self._count(payload)
        self._stop(payload)
        self._raw, self.finished = payload, True
        return found + self._settle()

    def _begin(self, key: int | None, block: Block) -> list[Delta]:
        """A block, with as much of it as has come; of the calls only those that we must answer."""
        kind = block.get("type")
        if kind == "text":
            return self._growing.say(text_of(block.get("text")), key)
        if kind == "thinking":
            found = self._growing.think(text_of(block.get("thinking")), key)
            self._sign(text_of(block.get("signature")), key)
            return found
        if kind == "redacted_thinking" and text_of(block.get("data")):
            self._sign(REDACTED + block["data"], key)
        if kind == "tool_use":
            found = self._settle() if key in self._inputs else []  # a server that gives all calls one index
            self._inputs[key] = block.get("input")
            if self._schema is not None and block.get("name") == ANSWER:
                self._answer.setdefault(key, [])
                return found
            return found + self._growing.call(key, block.get("id"), block.get("name"), None)
        return []

    def _go_on(self, key: int | None, delta: dict[str, Any]) -> list[Delta]:
        kind = delta.get("type")
        if kind == "text_delta":
            return self._growing.say(text_of(delta.get("text")), key)
        if kind == "thinking_delta":
            return self._growing.think(text_of(delta.get("thinking")), key)
        if kind == "signature_delta":
            self._sign(text_of(delta.get("signature")), key)
        piece = text_of(delta.get("partial_json"))
        if kind == "input_json_delta" and piece and key in self._inputs:
            self._inputs[key] = None
            return self._argue(key, piece)
        return []

    def _argue(self, key: int | None, arguments: Any) -> list[Delta]:
        """The arguments of a call go on; they are text where they are the answer."""
        if key not in self._answer:
            return self._growing.call(key, None, None, arguments)
        text = arguments if isinstance(arguments, str) else json_text(arguments)
        self._answer[key].append(text)
        return self._growing.say(text, key)

    def _sign(self, signature: str, key: int | None) -> None:
        if signature:
            self._growing.sign(Thinking, signature, key)

    def _settle(self) -> list[Delta]:
        """The arguments of calls that came with their beginning, and not in pieces."""
        found: list[Delta] = []
        for key, arguments in self._inputs.items():
            if arguments not in (None, {}) or (arguments == {} and key in self._answer):
                found += self._argue(key, arguments)
        self._inputs = {}
        return found

    def _count(self, holder: dict[str, Any]) -> None:
        """Counts are of all so far; one that is not repeated still holds."""
        usage = _object(holder, "usage")
        self._usage.update({name: count for name, count in usage.items() if count is not None})

    def _stop(self, holder: dict[str, Any]) -> None:
        if holder.get("stop_reason") is not None:
            self._end = holder
            self.finished = True

    def close(self) -> list[Delta]:
        """The stream has ended: what was held back; raises TruncatedError if the answer is not whole."""
        if not self.finished:
            raise TruncatedError("the stream ended without a stop reason: the answer is cut", partial=self.partial)
        return self._settle()

    def response(self) -> Response:
        """The whole answer of a stream that has been closed."""
        parts = self._growing.parts()
        reason = _STOP_REASONS.get(text_of(self._end.get("stop_reason")), "other")
        calls = any(isinstance(part, ToolCall) for part in parts)
        if calls and reason in ("stop", "other"):
            reason = "tool_calls"
        elif self._answer and not calls and reason == "tool_calls":
            reason = "stop"
        answer = "".join([piece for pieces in self._answer.values() for piece in pieces]) if self._answer else None
        refusal = _refusal(_object(self._end, "stop_details")) if reason == "refusal" else ""
        return response_of(parts, reason, _usage(self._usage), self._raw, self._schema, refusal, answer)


def _key(payload: dict[str, Any]) -> int | None:
    index = payload.get("index")
    return index if isinstance(index, int) else None


def _object(payload: dict[str, Any], name: str) -> dict[str, Any]:
    found = payload.get(name)
    return found if isinstance(found, dict) else {}


def _refusal(details: dict[str, Any]) -> str:
    category = text_of(details.get("category"))
    return text_of(details.get("explanation")) or (f"(refused: {category})" if category else "(refused)")


def _usage(counts: dict[str, Any]) -> Usage:
    """Counts; on this wire what is read from a cache, or written to one, is no part of the input."""
    fresh, cached = count_of(counts.get("input_tokens")), count_of(counts.get("cache_read_input_tokens"))
    written = count_of(counts.get("cache_creation_input_tokens"))
    return Usage(
        None if fresh is None else fresh + (cached or 0) + (written or 0),
        count_of(counts.get("output_tokens")),
        cached,
        count_of(_object(counts, "output_tokens_details").get("thinking_tokens")),
    )

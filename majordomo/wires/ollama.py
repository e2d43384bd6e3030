"""Ollama's own protocol: `/api/chat`, whole or as JSON line by line.

It has no word for what other wires have: no choice of tools, no errors among tool
results, no place for a picture within a text. Such things are said in words.

Source: Ollama 0.33 of August 2026 (`api/types.go`, `server/routes.go`, `docs/api.md`)
and its Python client 0.6.3.
"""

from __future__ import annotations

import json

from .. import _json
from .._loading import loading
from ..errors import APIError, ProtocolError, TruncatedError
from ..llm import Image, Text, Thinking, ToolCall, Usage, merge
from ._conversation import NO_OUTPUT, arranged, joined, with_images_moved
from ._growing import Growing
from ._shared import (
    Remedy,
    base64_of,
    call_in_words,
    count_of,
    error_object,
    fresh_id,
    instructed,
    only_named,
    response_of,
    settled,
    tell_level,
    text_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from dataclasses import dataclass, field
    from typing import Any

    from ..llm import Part, Request, Response, Tool
    from ..model import Delta
    from ._conversation import Answer, Turn
    from ._shared import Facts
else:
    from .._frozen import dataclass, field

FRAMING = "ndjson"


def path(model: str, stream: bool) -> str:
    """Where a question goes, behind the base URL."""
    return "/api/chat"


def read_error(status: int, text: str) -> Facts:
    """(message, code, param, seconds to wait) of an error's body; what reads it is loaded with the first."""
    with loading:
        from . import _ollama_errors

    return _ollama_errors.read_error(status, text)


def raise_error(payload: Any) -> None:
    """Raise the error that a 2xx payload or a line holds, with the status it would have had."""
    if isinstance(payload, dict) and isinstance(payload.get("message"), dict) and not payload.get("error"):
        return
    found = error_object(payload)
    if found is not None:
        with loading:
            from . import _ollama_errors

        raise _ollama_errors.inner(found, payload)


@dataclass(frozen=True)
class Quirks:
    """How a server, or what is asked of it, differs.

    schema_enforced: whether it makes an answer follow a schema (Ollama Cloud does not).
    num_ctx: the size of the context in tokens. keep_alive: how long a model stays loaded, as
    Ollama takes it: a duration (`"10m"`) or seconds, below 0 for ever. think: what a request
    that says nothing of reasoning asks for: a switch or a level. remedies: what it does not
    take, learned from its errors: `"think"` -> None to leave it out, or a level of it
    (`"think=max"`) -> the one to send instead.
    """

    schema_enforced: bool = True
    num_ctx: int | None = None
    keep_alive: str | float | None = None
    think: bool | str | None = None
    remedies: dict[str, str | None] = field(default_factory=dict)


# Our levels -> `think`. Source: `ThinkValue` in api/types.go, which knows three levels, and `max` since 2026.
_THINK = {"off": False, "minimal": "low", "low": "low", "medium": "medium", "high": "high", "max": "max"}


def encode(
    request: Request,
    model: str,
    quirks: Quirks,
    *,
    target: str = "",
    stream: bool = False,
    told: list[str] | None = None,
) -> dict[str, Any]:
    """The body of a request; see `wires`.

    Raises UnsupportedError for an assistant's images and for tools whose schema is recursive.
    """
    told = [] if told is None else told
    body: dict[str, Any] = {"model": model, "messages": []}
    words = [_offer_tools(body, request, told), _hold_to(body, request.schema, quirks, told)]
    body["messages"] = _encode_messages(request, instructed(request, *words), target)
    options = _set(
        num_ctx=quirks.num_ctx,
        num_predict=request.max_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        seed=request.seed,
        stop=list(request.stop) or None,
    )
    think = _thinking(request, quirks, told)
    body.update(_set(think=think, options=options or None, keep_alive=quirks.keep_alive, stream=stream))
    return merge(body, request.extra) if request.extra else body


def _set(**values: Any) -> dict[str, Any]:
    """Those that are set."""
    return {name: value for name, value in values.items() if value is not None}


def _encode_messages(request: Request, system: str, target: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    for turn in with_images_moved(_without_old_thinking(arranged(request, target))):
        found.append(_encode_turn(turn))
        found += [_encode_answer(answer) for answer in turn.answers]
    return found


def _without_old_thinking(turns: list[Turn]) -> list[Turn]:
    """Thinking goes back while the tools it led to are being used; behind the user's next word it is history."""
    last = max([at for at, turn in enumerate(turns) if turn.role == "user"], default=0)
    for turn in turns[:last]:
        turn.parts[:] = [part for part in turn.parts if not isinstance(part, Thinking)]
    return joined(turns)


def _encode_turn(turn: Turn) -> dict[str, Any]:
    calls = [
        {"id": call.id, "function": {"index": index, "name": call.name, "arguments": call.arguments}}
        for index, call in enumerate(turn.calls)
    ]
    images = [base64_of(part) for part in turn.parts if isinstance(part, Image)]
    more = _set(images=images or None, thinking=turn.thinking or None, tool_calls=calls or None)
    return {"role": turn.role, "content": turn.text if turn.role == "assistant" else _lines(turn.parts), **more}


def _lines(parts: Iterable[Part]) -> str:
    """Texts that stood apart, as lines: this wire has one string for all."""
    return "\n".join([part.text for part in parts if isinstance(part, Text)])


def _encode_answer(answer: Answer) -> dict[str, Any]:
    text = _lines(answer.parts) or NO_OUTPUT  # templates pass over a message without content
    return {
        "role": "tool",
        "content": json.dumps({"error": text}, ensure_ascii=False) if answer.is_error else text,
        "tool_name": answer.name,
        "tool_call_id": answer.id,
    }


def _offer_tools(body: dict[str, Any], request: Request, told: list[str]) -> str:
    """Put the tools into the body, and give the words that ask for one: no server can be made to call."""
    if not request.tools:
        return ""
    if request.tool_choice == "none":
        told.append("tools: left out, for the target has no tool_choice")
        return ""
    body["tools"] = [_encode_tool(tool) for tool in only_named(request)[0]]
    if request.tool_choice == "auto":
        return ""
    told.append("tool_choice: asked for in words, for the target cannot be forced to call")
    return call_in_words(request.tool_choice)


def _hold_to(body: dict[str, Any], schema: Any, quirks: Quirks, told: list[str]) -> str:
    """Put the schema of the answer into the body, or give the words that ask for it."""
    if schema is None:
        return ""
    with loading:
        from ._schema import checked, in_words

    if quirks.schema_enforced:
        body["format"] = checked(schema)
        return ""
    return in_words(schema, told)


def _encode_tool(tool: Tool) -> dict[str, Any]:
    with loading:
        from ._schema import inlined, mapped, modern

    schema = mapped(inlined(tool.parameters), lambda node: _readable(modern(node)))
    parameters = {"type": "object", "properties": {}, **(schema if isinstance(schema, dict) else {})}
    if not isinstance(parameters["type"], str):
        parameters["type"] = "object"
    described = {"description": tool.description} if tool.description else {}
    return {"type": "function", "function": {"name": tool.name, **described, "parameters": parameters}}


def _readable(node: dict[str, Any]) -> dict[str, Any]:
    """A schema in the words of `ToolProperty` in api/types.go."""
    if "const" in node:
        node.setdefault("enum", [node.pop("const")])
    if "oneOf" in node:
        node.setdefault("anyOf", node.pop("oneOf"))
    return node


def _thinking(request: Request, quirks: Quirks, told: list[str]) -> Any:
    """`think` as it is sent, None for nothing."""
    wanted: Any = quirks.think if request.reasoning is None else _THINK[request.reasoning]
    said = f"think={wanted}"
    sent = None if "think" in quirks.remedies else settled(said, quirks.remedies)
    option = "think" if request.reasoning is None else "reasoning"
    if wanted and sent is None:
        told.append(f"{option}: left out, for the target does not think")
    elif wanted and sent != said:
        level = "on" if sent == "think=true" else (sent or "").partition("=")[2]
        told.append(f"{option}: sent as {level}, for the target does not take {said}")
    elif wanted and request.reasoning is not None:
        tell_level(told, request.reasoning, wanted)
    if sent is None or sent == said:
        return wanted if sent else None
    return True if sent == "think=true" else sent.partition("=")[2]


_STOP_REASONS = {"stop": "stop", "length": "length"}  # others are `load` and `unload`; old servers give none


def decode(payload: Any, quirks: Quirks, schema: Any = None) -> Response:
    """The answer in a 2xx body: a stream of one line.

    Raises APIError for an error that came as a 200, ProtocolError for what is no answer,
    TruncatedError for one that is not done, and for an answer to a schema that was cut.
    """
    decoder = StreamDecoder(quirks, schema)
    decoder.take(payload)
    if (
        not isinstance(payload, dict) or payload.get("done") is None
    ):  # then `close` finds out what is wrong, if anything
        decoder.finished = True
    decoder.close()
    return decoder.response(payload)


class StreamDecoder:
    """The lines of a stream to our deltas, and at the end to a Response.

    finished, done: the line that says `done` has come; nothing follows it.
    """

    def __init__(self, quirks: Quirks, schema: Any = None) -> None:
        self.finished = False
        self.done = False
        self._schema = schema
        self._growing = Growing(tags=True)  # where Ollama does not know a model's template
        self._heard = False
        self._ids: set[str] = set()
        self._reason = "other"
        self._usage = Usage()

    @property
    def partial(self) -> str:
        """The text so far."""
        return self._growing.text

    def feed(self, event: str, data: bytes) -> list[Delta]:
        """The deltas of one line; raises APIError for an error, which a line that is no JSON is too."""
        if self.done:
            return []
        try:
            payload = _json.loads(data, "a line of the stream")
        except ProtocolError:
            if data[:1] == b"{":  # cut, or broken on its way
                raise
            payload = {"error": data.decode("utf-8", "replace")}  # as api/client.go does
        return self.take(payload)

    def take(self, payload: Any) -> list[Delta]:
        """The deltas of one line that has been read."""
        raise_error(payload)
        if not isinstance(payload, dict):
            return []
        message = payload.get("message")
        found = self._take(message) if isinstance(message, dict) else []
        if payload.get("done") is True:
            self.finished = self.done = True
            self._reason = _STOP_REASONS.get(text_of(payload.get("done_reason")), "other")
            self._usage = Usage(count_of(payload.get("prompt_eval_count")), count_of(payload.get("eval_count")))
        return found

    def _take(self, message: dict[str, Any]) -> list[Delta]:
        self._heard = True
        thinking = message.get("thinking")
        found = self._growing.think(text_of(thinking), 0) if thinking else []
        text = text_of(message.get("content"))
        if text:
            found += self._growing.say(text, 0)
        entries = message.get("tool_calls")
        for entry in entries if entries and isinstance(entries, list) else ():
            function = entry.get("function") if isinstance(entry, dict) else None
            if isinstance(function, dict):
                found += self._call(text_of(entry.get("id")), function)
        return found

    def _call(self, id: str, function: dict[str, Any]) -> list[Delta]:
        """A call comes whole; its `index` may be that of another one."""
        if not id or id in self._ids:
            id = fresh_id()
        self._ids.add(id)
        return self._growing.call(len(self._ids), id, function.get("name"), function.get("arguments"))

    def close(self) -> list[Delta]:
        """The stream has ended: what was held back; raises TruncatedError if the answer is not whole."""
        found = self._growing.close(0)
        if not self.finished:
            raise TruncatedError("the answer ended before it was done: it is cut", partial=self.partial)
        if not self._heard:
            raise ProtocolError("the answer holds no message")
        return found

    def response(self, raw: Any = None) -> Response:
        """The whole answer of a stream that has been closed."""
        parts, reason = self._growing.parts(), self._reason
        if reason != "length" and any(isinstance(part, ToolCall) for part in parts):
            reason = "tool_calls"  # the server says stop
        return response_of(parts, reason, self._usage, raw, self._schema)


def remedy(error: APIError, body: dict[str, Any], quirks: Quirks) -> Remedy | None:
    """What an error says of `think`: that the model does not, or that it has no such level.

    Servers of before 2026 know no `max`, those of before August 2025 no levels at all.
    None if the error is about something else, or about what has been mended before.
    """
    think = body.get("think")
    found = None
    if error.code == "thinking_not_supported" and think is not None:
        found = Remedy("think")
    elif error.code == "invalid_think" and isinstance(think, str):
        found = Remedy(f"think={think}", "think=high" if think == "max" else "think=true")
    return None if found is None or found.said in quirks.remedies else found

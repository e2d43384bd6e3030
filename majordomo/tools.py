"""The tool loop: a model asks for tools, gets their results, and is asked again until it has an answer.

    def weather(city: str) -> str:
        "The weather in a city now."
        return f"-3 degrees in {city}"

    reply = run_tools(model, "Do I need a coat in Oslo?", [weather], timeout=60)
    print(reply.text)

`run_tools`, `stream_tools` and `Conversation` are one loop, written once as a generator of
events. It knows models, not targets: through a chain each turn may be another target's.
"""

from __future__ import annotations

from . import _json
from ._budget import Budget
from ._frozen import copied
from ._tool_loop import ToolLoop, answer_of, as_count, ask_stream, ask_whole
from .errors import ConfigError, ProtocolError
from .llm import Message, Request
from .model import Done, Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Callable, Union

    from ._tool_loop import Ask, OnTool
    from .llm import Prompt, Response, Tool
    from .model import Model

    Tools = Sequence[Union[Tool, Callable[..., Any]]]

__all__ = ["Conversation", "run_tools", "stream_tools"]

VERSION = 1  # of what `Conversation.to_json` writes


def run_tools(
    model: Model,
    prompt: Prompt,
    tools: Tools,
    *,
    max_turns: int = 10,
    timeout: float | None = None,
    workers: int = 1,
    on_tool: OnTool | None = None,
    **options: Any,
) -> Response:
    """Ask a model that may call tools, and carry out what it calls, until it answers.

    tools: functions (see `Tool.from_function`), or `Tool`s with one. max_turns: answers of
    the model at most. timeout: seconds for all turns and tools; None gives each turn the
    model's default, and tools all the time they take. workers: how many calls of one answer
    run at once; with 1 they run in this thread, one after another, and the time is looked at
    before each, for a function cannot be stopped. With more they run in threads, and no
    tool holds the caller longer than `timeout`. on_tool: called with each `ToolCall` and
    its `ToolResult`, in the order of the calls, in this thread. options: fields of
    `Request`; a `tool_choice` of `required` or a name holds until a tool has been called,
    then it is `auto`, or the loop could not end.

    What a tool raises, an unknown name and arguments that do not fit go back to the model
    as an error result. A tool gives text, an `Image` or the bytes of one, a `ToolResult`, a
    list with such parts, None, or anything that has a JSON form.

    The response is the last one, with the whole conversation in `messages`, and `attempts`,
    `warnings` and `usage` of all turns. Raises what `generate` raises and, past
    `max_turns`, ToolLoopError, all with `messages` so far; ConfigError for a tool without a
    function, TypeError for one without a schema.
    """
    loop = ToolLoop(model, _request(prompt, tools, options), max_turns, timeout, workers, on_tool)
    return answer_of(loop.events(ask_whole))


def stream_tools(
    model: Model,
    prompt: Prompt,
    tools: Tools,
    *,
    max_turns: int = 10,
    timeout: float | None = None,
    workers: int = 1,
    on_tool: OnTool | None = None,
    **options: Any,
) -> Stream:
    """The same as a stream: the deltas of every turn, each call's `ToolResult`, one `Done` at the end.

    It takes what `run_tools` takes, and raises what that raises, while it is read.
    `ToolCallDelta.index` counts on over the turns. Nothing is sent, and no time runs, before
    the first event is asked for; a stream that is closed runs no further tool.
    """
    loop = ToolLoop(model, _request(prompt, tools, options), max_turns, timeout, workers, on_tool)
    return Stream(loop.events(ask_stream))


def _request(prompt: Prompt, tools: Tools, options: dict[str, Any]) -> Request:
    """What is asked at first; ConfigError if nobody could carry out what it asks for."""
    request = Request.of(prompt, {**options, "tools": tools} if tools else options)
    if not request.tools:
        raise ConfigError("there are no tools to run; without tools a model is asked by generate")
    return request


class Conversation:
    """Questions and answers that a model remembers, and the tools that it may call.

    messages: what has been said, a tuple that grows with each answer; a sequence may be put
    in its place. model, system, tools, token_budget, max_turns, workers, on_tool: what the
    next question is asked with, see `run_tools`; they may be changed. It belongs to one
    thread, and takes one question at a time.

    token_budget: tokens of messages, system prompt and tools at most, by an estimate.
    Before a question is sent the oldest turns are dropped for good, each whole (a user's
    message and all that follows it until the next), until the rest fits; the question itself
    is always sent. What a single question adds by its tool calls is not held to it.
    """

    def __init__(
        self,
        model: Model,
        system: str | None = None,
        tools: Tools = (),
        *,
        token_budget: int | None = None,
        max_turns: int = 10,
        workers: int = 1,
        on_tool: OnTool | None = None,
    ) -> None:
        self.model, self.system = model, system
        self.tools: Tools = Request(tools=tools).tools  # type: ignore[arg-type]  # functions become tools
        self.token_budget = token_budget
        self.max_turns, self.workers, self.on_tool = max_turns, workers, on_tool
        self._messages: tuple[Message, ...] = ()
        self._budget = Budget()
        self._asking = False
        self._loop("", None, {})  # for its checks

    @property
    def messages(self) -> tuple[Message, ...]:
        """What has been said, oldest first."""
        return self._messages

    @messages.setter
    def messages(self, given: Sequence[Message]) -> None:
        self._messages = Request(given).messages  # type: ignore[arg-type]  # made a tuple, and checked

    def ask(self, prompt: Prompt, *, timeout: float | None = None, **options: Any) -> Response:
        """Ask, and keep the question, all results and the answer.

        prompt: a str, a `Message` or a list of them. timeout, options: as for `run_tools`;
        options count for this question alone. The response's `messages` are those of the
        conversation. If it fails the conversation stays as it was, and the error has
        `messages`.
        """
        return answer_of(self._events(self._loop(prompt, timeout, options), ask_whole))

    def stream(self, prompt: Prompt, *, timeout: float | None = None, **options: Any) -> Stream:
        """Ask, and hear as `stream_tools` tells; kept when the stream has ended, and not if it is left before."""
        return Stream(self._events(self._loop(prompt, timeout, options), ask_stream))

    def _loop(self, prompt: Prompt, timeout: float | None, options: dict[str, Any]) -> ToolLoop:
        if isinstance(prompt, Request):
            raise ConfigError("a Conversation is asked with a str, a Message or a list of them, not with a Request")
        if self.token_budget is not None:
            as_count("token_budget", self.token_budget)
        request = Request.of(prompt, {"system": self.system, "tools": self.tools, **options})
        return ToolLoop(self.model, request, self.max_turns, timeout, self.workers, self.on_tool)

    def _events(self, loop: ToolLoop, ask: Ask) -> Iterator[Any]:
        """What happens, the conversation kept before its end is told."""
        if self._asking:
            raise ConfigError(
                "this Conversation is being asked: one question has to end, or its stream be closed, first"
            )
        self._asking = True
        try:
            yield from self._asked(loop, ask)
        finally:
            self._asking = False

    def _asked(self, loop: ToolLoop, ask: Ask) -> Iterator[Any]:
        asked, budget = loop.request, self._budget
        messages = (*self._messages, *asked.messages)
        if self.token_budget is not None:
            messages = budget.fitting(messages, len(self._messages), asked, self.token_budget)
        loop.request = copied(asked, messages=messages)
        for event in loop.events(ask):
            if isinstance(event, Done):
                self._messages = event.response.messages
                if self.token_budget is not None and loop.last is not None:
                    budget.learn(self._messages[:-1], asked, loop.last.usage)
            yield event

    def to_json(self) -> str:
        """The conversation as text: system prompt, messages with all that is on them, token_budget; no tools."""
        found = {
            "version": VERSION,
            "system": self.system,
            "token_budget": self.token_budget,
            "messages": [message.to_dict() for message in self._messages],
        }
        return _json.dumps(found, "the conversation")

    @classmethod
    def from_json(
        cls,
        text: str,
        model: Model,
        tools: Tools = (),
        *,
        max_turns: int = 10,
        workers: int = 1,
        on_tool: OnTool | None = None,
    ) -> Conversation:
        """Go on with what `to_json` wrote; ConfigError if the text is something else.

        system and token_budget come out of the text; tools and the rest are given again.
        """
        try:
            data = _json.loads_strictly(text, "the letters of this conversation")
        except (TypeError, ProtocolError) as exc:
            raise ConfigError(f"no conversation can be read from this: {exc}") from exc
        if not isinstance(data, dict) or data.get("version") != VERSION:
            raise ConfigError(f"this is no conversation of version {VERSION}, as Conversation.to_json writes it")
        kept = data.get("messages")
        if not isinstance(kept, list):
            raise ConfigError("this conversation has no list of messages")
        budget = data.get("token_budget")
        settings: Any = {"max_turns": max_turns, "workers": workers, "on_tool": on_tool}
        found = cls(model, data.get("system"), tools, token_budget=budget, **settings)
        found.messages = tuple([Message.from_dict(message) for message in kept])
        return found

    def __repr__(self) -> str:
        name = getattr(self.model, "name", "") or type(self.model).__name__
        return f"<Conversation with {name}, {len(self._messages)} messages>"

"""The engine of tool loops: turn after turn until a model has an answer, as a generator of events.

Whole answers and streams, single questions and conversations go through the same loop;
they differ in how a turn is asked for (`ask_whole`, `ask_stream`) and in what is done with the end.
"""

from __future__ import annotations

from ._frozen import copied
from ._tool_calls import carried_out, listed
from .deadline import Deadline, as_timeout
from .errors import ConfigError, DeadlineError, MajordomoError, ToolLoopError, TruncatedError
from .llm import Message, Usage
from .model import Done, Model, ToolCallDelta, as_model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from typing import Any, Callable, Union

    from .llm import Attempt, Request, Response, Tool, ToolCall, ToolResult
    from .model import StreamEvent

    OnTool = Callable[[ToolCall, ToolResult], object]
    Event = Union[StreamEvent, ToolResult]
    Ask = Callable[[Model, Request, Deadline], Iterator[StreamEvent]]

__all__ = ["ToolLoop", "answer_of", "as_count", "ask_stream", "ask_whole"]

_DECLINED = ("refusal", "content_filter")  # answers whose calls are not carried out


class ToolLoop:
    """One run: what has been said, by whom, and what it cost."""

    def __init__(
        self, model: Any, request: Request, max_turns: int, timeout: float | None, workers: int, on_tool: OnTool | None
    ) -> None:
        if not callable(getattr(model, "generate", None)):
            raise ConfigError(f"a model is what parse() gives, not {type(model).__name__}")
        if on_tool is not None and not callable(on_tool):
            raise ConfigError(f"on_tool is a function, not {type(on_tool).__name__}")
        self._model, self._on_tool = as_model(model), on_tool
        self._tools = _by_name(request.tools)
        self._max_turns = as_count("max_turns", max_turns)
        self._workers = as_count("workers", workers)
        self._timeout = None if timeout is None else as_timeout(timeout)
        self.request = request  # as the next turn sends it
        self.last: Response | None = None  # as its turn gave it
        self._results: list[ToolResult] = []  # of the turn under way
        self._attempts: tuple[Attempt, ...] = ()
        self._warnings: dict[str, None] = {}
        self._usage = Usage(0, 0, 0, 0)
        self._calls = 0  # in the turns before

    def events(self, ask: Ask) -> Iterator[Any]:
        """What happens until the last answer, which is in a `Done`; errors carry what had happened."""
        try:
            yield from self._turns(ask)
        except MajordomoError as exc:
            exc.messages = self._said()
            exc.attempts = (*self._attempts, *exc.attempts)
            raise

    def _turns(self, ask: Ask) -> Iterator[Event]:
        deadline = self._deadline()
        for turn in range(1, self._max_turns + 1):
            if deadline is not None and deadline.left() <= 0:
                late = f"the timeout of {deadline.span:.6g} s ran out before turn {turn} of the tool loop"
                raise DeadlineError(late, limit=deadline.limit)
            response = yield from self._turn(ask, deadline)
            calls = self._to_carry_out(response)
            if not calls:
                yield Done(self._finished(response))
                return
            if turn == self._max_turns:
                raise _unended(response, turn)
            yield from self._carry_out(calls, deadline)
            # What had to be called has been; asked so again, a model could never answer.
            self.request = copied(self.request, messages=self._said(), tool_choice="auto")
            self._results = []

    def _deadline(self) -> Deadline | None:
        """One for all turns, by the model's own clock; None without a timeout."""
        return None if self._timeout is None else self._model._deadline(self._timeout)

    def _carry_out(self, calls: Sequence[ToolCall], deadline: Deadline | None) -> Iterator[ToolResult]:
        """The results of a turn's calls; whoever leaves starts no further one."""
        ended: Any = carried_out(calls, self._tools, self._workers, deadline)
        try:
            for call, result in ended:
                self._results.append(result)
                if self._on_tool is not None:
                    self._on_tool(call, result)
                yield result
        finally:
            ended.close()

    def _turn(self, ask: Ask, deadline: Deadline | None) -> Generator[StreamEvent, None, Response]:
        """One answer: its deltas, with calls counted over all turns."""
        response: Response | None = None
        before = count = self._calls
        events: Any = ask(self._model, self.request, deadline or self._model._deadline(None))
        try:
            for event in events:
                if isinstance(event, Done):
                    response = event.response
                elif isinstance(event, ToolCallDelta):
                    count = max(count, before + event.index + 1)
                    yield copied(event, index=before + event.index)
                else:
                    yield event
        finally:
            events.close()
        if response is None:
            raise TruncatedError("the stream ended without its last event")
        self._calls = max(count, before + len(response.tool_calls))
        self._heard(response)
        return response

    def _heard(self, response: Response) -> None:
        """Add an answer to what there is."""
        self.last = response
        self.request = copied(self.request, messages=(*self.request.messages, response.message))
        self._attempts += response.attempts
        self._warnings.update(dict.fromkeys(response.warnings))
        self._usage += response.usage

    def _to_carry_out(self, response: Response) -> tuple[ToolCall, ...]:
        unasked = not self._tools or self.request.tool_choice == "none" or response.stop_reason in _DECLINED
        return () if unasked else response.tool_calls

    def _said(self) -> tuple[Message, ...]:
        """The conversation so far, the results of a turn under way included."""
        messages = self.request.messages
        return (*messages, Message("tool", tuple(self._results))) if self._results else messages

    def _finished(self, response: Response) -> Response:
        return copied(
            response,
            messages=self.request.messages,
            attempts=self._attempts,
            warnings=tuple(self._warnings),
            usage=self._usage,
        )


def ask_whole(model: Model, request: Request, deadline: Deadline) -> Iterator[StreamEvent]:
    """A turn, all at once."""
    yield Done(model._ask_whole(request, deadline))


def ask_stream(model: Model, request: Request, deadline: Deadline) -> Iterator[StreamEvent]:
    """A turn, piece by piece."""
    yield from model._ask_stream(request, deadline)


def _by_name(tools: tuple[Tool, ...]) -> dict[str, Tool]:
    """The tools by their names; ConfigError if one could not be called, or not be told from another."""
    found: dict[str, Tool] = {}
    for tool in tools:
        if tool.function is None:
            raise ConfigError(f"the tool {tool.name} has no function; see Tool.from_function, or Tool(function=...)")
        if tool.name in found:
            raise ConfigError(f"two tools are named {tool.name}; give one another name (Tool.from_function(name=...))")
        found[tool.name] = tool
    return found


def answer_of(events: Iterator[Event]) -> Response:
    """The last answer, when all has happened."""
    for event in events:
        if isinstance(event, Done):
            response = event.response
    return response


def as_count(name: str, value: Any) -> int:
    """A whole number from 1; ConfigError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} is a whole number from 1, not {value!r}")
    return value


def _unended(response: Response, turns: int) -> ToolLoopError:
    wanted = listed(call.name for call in response.tool_calls)
    error = ToolLoopError(
        f"no answer within {turns} turns, and the model still asks for {wanted}; raise max_turns, "
        "tell it when to stop, or ask for an answer to error.messages with tool_choice='none'",
        partial=response.text,
    )
    error.target = response.model or None
    return error

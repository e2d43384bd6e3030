"""Tool calls carried out: a call in, its result out, whatever the tool did.

The model reads what went wrong as it reads a result, so every `Exception` becomes an error
result here. What is none (Ctrl-C, SystemExit) is meant for the caller, and passes.
"""

from __future__ import annotations

import json
from copy import deepcopy
from queue import Empty

from ._crew import LONGEST_WAIT, Crew
from ._mismatch import MISMATCH, shown
from ._plain import plain
from .errors import DeadlineError, MajordomoError
from .llm import Image, Text, ToolResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from .deadline import Deadline
    from .llm import Tool, ToolCall

__all__ = ["carried_out", "listed"]

LONGEST_ERROR = 4000  # characters of what a model is told of a failure
MOST_LISTED = 20  # names in a message
_BYTES = (bytes, bytearray, memoryview)


def carried_out(
    calls: Sequence[ToolCall], tools: Mapping[str, Tool], workers: int, deadline: Deadline | None
) -> Iterator[tuple[ToolCall, ToolResult]]:
    """Calls with their results, in the order of the calls, each as soon as it is there.

    With one worker the calls run here, each when its result is asked for; with more, in
    threads. Whoever closes the iterator starts no further call;
    of those that run in threads none can be stopped. Raises DeadlineError, and
    whatever a tool raises that is no `Exception`.
    """
    if workers > 1:
        _require(deadline, calls)
        yield from _at_once(calls, tools, workers, deadline)
        return
    for number, call in enumerate(calls):
        _require(deadline, calls[number:])
        yield call, _result(call, tools)


def _require(deadline: Deadline | None, calls: Sequence[ToolCall]) -> None:
    if deadline is not None and deadline.left() <= 0:
        raise _late(deadline, f"before these tools were called: {listed(call.name for call in calls)}")


def _at_once(
    calls: Sequence[ToolCall], tools: Mapping[str, Tool], workers: int, deadline: Deadline | None
) -> Iterator[tuple[ToolCall, ToolResult]]:
    """The same with threads."""
    begun: set[int] = set()
    found: dict[int, ToolResult] = {}

    def work(number: int) -> ToolResult:
        begun.add(number)
        return _result(calls[number], tools)

    with Crew(work, workers, "majordomo-tool") as crew:
        for number in range(len(calls)):
            crew.give(number)
        for number, call in enumerate(calls):
            while number not in found:
                left = LONGEST_WAIT if deadline is None else min(LONGEST_WAIT, deadline.left())
                try:
                    ended, result, error = crew.take(left)
                except Empty:
                    if deadline is not None and deadline.left() <= 0:
                        running = listed(calls[at].name for at in sorted(begun - found.keys()))
                        raise _late(deadline, f"while these tools ran: {running}") from None
                else:
                    if error is not None:
                        raise error
                    found[ended] = result
            yield call, found[number]


def _result(call: ToolCall, tools: Mapping[str, Tool]) -> ToolResult:
    """What a model gets for a call."""
    tool = tools.get(call.name)
    if tool is None:
        return _failure(call, f"there is no tool {shown(call.name)}; the tools are {listed(tools)}")
    if call.malformed is not None:
        start = shown(call.malformed)
        return _failure(call, f"the arguments were cut, or are no JSON object; they are {start}")
    try:
        # A copy, for the conversation holds the arguments and a function may change them.
        value = tool.call(deepcopy(call.arguments))
    except Exception as exc:
        return _failure(call, _told(exc))
    try:
        if isinstance(value, ToolResult):
            return ToolResult(call.id, value.parts, value.is_error)
        return ToolResult(call.id, tuple(_parts(value)))
    except Exception as exc:
        return _failure(call, f"what the tool gave cannot be told: {_told(exc)}")


def _failure(call: ToolCall, text: str) -> ToolResult:
    text = text if len(text) <= LONGEST_ERROR else text[: LONGEST_ERROR - 3] + "..."
    return ToolResult(call.id, (Text(_sendable(text)),), True)


def _told(error: Exception) -> str:
    """An exception in words: its type and its message."""
    if isinstance(error, MajordomoError) and error.code == MISMATCH:
        return error.message  # which says all, and the model knows nothing of our types
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:
        text = ""
    return f"{name}: {text}" if text else name


def _parts(value: Any) -> list[Text | Image]:
    """What a tool gave, as the parts of its result."""
    if value is None:
        return []
    if isinstance(value, (list, tuple)) and any(isinstance(item, (Text, Image, *_BYTES)) for item in value):
        return [_part(item) for item in value]
    return [_part(value)]


def _part(value: Any) -> Text | Image:
    if isinstance(value, (Text, Image)):
        return value
    if isinstance(value, _BYTES):
        return Image.from_bytes(value)  # type: ignore[arg-type]  # takes all three
    if isinstance(value, str):
        return Text(_sendable("".join(value)))  # an enum's member prints as something else
    return Text(_sendable(json.dumps(plain(value), ensure_ascii=False)))


def _sendable(text: str) -> str:
    """Text that is UTF-8: lone surrogates (file names have them) are written as JSON writes them."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _late(deadline: Deadline, what: str) -> DeadlineError:
    return DeadlineError(f"the timeout of {deadline.span:.6g} s ran out {what}", limit=deadline.limit)


def listed(names: Iterable[str]) -> str:
    """Names of tools, each once and as in JSON where they are odd, for a message of one line."""
    found = [name if name.isidentifier() and len(name) <= 64 else shown(name) for name in dict.fromkeys(names)]
    more = [f"and {len(found) - MOST_LISTED} more"] if len(found) > MOST_LISTED else []
    return ", ".join([*found[:MOST_LISTED], *more])

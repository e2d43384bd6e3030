"""Models that play a script of whole responses, and two tools for them to call."""

from __future__ import annotations

from majordomo import Message, Model, Response, ToolCall


class Plays(Model):
    """Gives the answers of a script: responses, errors to raise, or functions that make one."""

    name = "mine/m"

    def __init__(self, *script):
        self.script, self.requests, self.deadlines = list(script), [], []

    def complete(self, request, deadline):
        self.requests.append(request)
        self.deadlines.append(deadline)
        step = self.script.pop(0)
        step = step() if callable(step) else step
        if isinstance(step, BaseException):
            raise step
        return step


def says(*parts, **fields):
    """A response of these parts."""
    fields.setdefault("stop_reason", "tool_calls" if any(isinstance(p, ToolCall) for p in parts) else "stop")
    return Response(Message("assistant", parts, "mine/m"), **fields)


class Piecewise(Plays):
    """Streams lists of events, and notes when one is closed."""

    closed = 0

    def events(self, request, deadline):
        self.requests.append(request)
        try:
            yield from self.script.pop(0)
        finally:
            self.closed += 1


def weather(city: str, days: int = 1) -> str:
    """The weather in a city."""
    return f"{city}, {days}: -3 degrees"


def look():
    """Look out of the window."""
    return "Snow."


OSLO, BERGEN = ToolCall("a", "weather", {"city": "Oslo"}), ToolCall("b", "weather", {"city": "Bergen"})
LOOK = ToolCall("c", "look")
COLD = says("Take a coat.")

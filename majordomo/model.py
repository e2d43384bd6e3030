"""Behaviour: what a model, a provider and a stream are, whoever is behind them.

`Model` turns every form of a prompt into a `Request` and every timeout into a
`Deadline`, once, so that what stands below it (a wire's client, a chain, a scheme of a
user's own) has two methods to write: `complete` and `events`. `ImageModel` is the same
for what draws, with `complete` alone.
"""

from __future__ import annotations

from ._loading import loading
from .deadline import Deadline, as_timeout
from .errors import MajordomoError, UnsupportedError
from .llm import Capabilities, Request, Text, Thinking, ToolCall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from dataclasses import dataclass
    from types import TracebackType
    from typing import Any, Union

    from .imagegen import ImageRequest, ImageResponse
    from .llm import Prompt, Response, ToolResult

    Delta = Union["TextDelta", "ThinkingDelta", "ToolCallDelta"]
    StreamEvent = Union[Delta, "Done", ToolResult]  # a result comes in the stream of a tool loop alone
else:
    from ._frozen import dataclass

__all__ = ["Done", "ImageModel", "Model", "Provider", "Stream", "TextDelta", "ThinkingDelta", "ToolCallDelta"]

DEFAULT_TIMEOUT = 600.0
MANAGE_TIMEOUT = 30.0


@dataclass(frozen=True)
class TextDelta:
    """The answer goes on with this text."""

    text: str


@dataclass(frozen=True)
class ThinkingDelta:
    """The thinking goes on with this text."""

    text: str


@dataclass(frozen=True)
class ToolCallDelta:
    """A tool call begins or goes on.

    index: which call of the stream, from 0. id, name: what is known of them so far.
    arguments: the next piece of the arguments' JSON text.
    """

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True)
class Done:
    """The last event: the whole answer."""

    response: Response


class Stream:
    """The events of an answer, as they come: an iterator and a context manager.

        with model.stream("Tell me a story.", timeout=60) as stream:
            for text in stream.text_deltas():
                print(text, end="", flush=True)

    `text_deltas()` gives the text alone; `response` is the whole answer once the stream has ended.
    The last event is `Done`; `stream_tools` tells of several answers, and of each
    `ToolResult` between them. Nothing is sent before the first `next`; leaving the
    `with` closes the connection, whether or not the answer was read to its end.
    """

    def __init__(self, events: Iterator[StreamEvent]) -> None:
        self._events = events
        self._next = events.__next__
        self._response: Response | None = None

    def __iter__(self) -> Iterator[StreamEvent]:
        return self

    def __next__(self) -> StreamEvent:
        event = self._next()
        if isinstance(event, Done):
            self._response = event.response
        return event

    def text_deltas(self) -> Iterator[str]:
        """The text alone, piece by piece."""
        for event in self._events:
            if isinstance(event, TextDelta):
                yield event.text
            elif isinstance(event, Done):
                self._response = event.response

    @property
    def response(self) -> Response:
        """The whole answer, once the stream has ended; MajordomoError before."""
        if self._response is None:
            raise MajordomoError("the stream has not ended: read it to its end before asking for the response")
        return self._response

    def close(self) -> None:
        """Let go of the connection; a stream that was read to its end has none."""
        close = getattr(self._events, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Asked:
    """What models that answer and models that draw have in common: a name, limits, a deadline.

    capabilities: what is known of what it takes, without asking it.
    """

    name: str = ""
    capabilities: Capabilities = Capabilities()
    default_timeout: float = DEFAULT_TIMEOUT
    base_url: str = ""

    def learned(self, request: Any, deadline: Deadline) -> Capabilities:
        """What it takes, as far as this request needs to know; may ask the server, before the deadline."""
        return self.capabilities

    def _deadline(self, timeout: float | None) -> Deadline:
        if timeout is None:
            return Deadline(self.default_timeout, "default")
        return Deadline(as_timeout(timeout))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class Model(_Asked):
    """Something that answers: what `parse` gives, a bare target, or one of your own.

    name: as in a spec. capabilities: what it takes, see `Capabilities`. default_timeout: seconds
    of an attempt where a call gives none.

    A model of your own overrides `complete`, and `events` if it can stream. Both get a
    checked `Request` and a `Deadline`; whoever waits asks `deadline.require()` for the
    seconds that are left.
    """

    def generate(self, prompt: Prompt, *, timeout: float | None = None, **options: Any) -> Response:
        """Answer a prompt.

        prompt: a str, a `Message`, a sequence of messages or a `Request`; options are
        fields of `Request`, laid over it. timeout: seconds for the whole call, all
        targets, retries and waits included; None means the target's default for each
        attempt, `math.inf` for ever. Raises the errors of `majordomo.errors`.
        """
        return self._ask_whole(Request.of(prompt, options), self._deadline(timeout))

    def stream(self, prompt: Prompt, *, timeout: float | None = None, **options: Any) -> Stream:
        """Answer a prompt piece by piece; takes what `generate` takes.

        Nothing is sent, and no time runs, before the first event is asked for.
        """
        request = Request.of(prompt, options)
        if timeout is not None:
            timeout = as_timeout(timeout)
        return Stream(self._started(request, timeout))

    def _started(self, request: Request, timeout: float | None) -> Iterator[StreamEvent]:
        yield from self._ask_stream(request, self._deadline(timeout))

    def _ask_whole(self, request: Request, deadline: Deadline) -> Response:
        """The whole answer, held to the request's schema if it has one."""
        if request.schema is None:
            return self.complete(request, deadline)
        with loading:
            from . import _structured

        return _structured.complete(self.complete, request, deadline)

    def _ask_stream(self, request: Request, deadline: Deadline) -> Iterator[StreamEvent]:
        """The answer as events, held to the request's schema if it has one."""
        if request.schema is None:
            return self.events(request, deadline)
        return self._read(request, deadline)

    def _read(self, request: Request, deadline: Deadline) -> Iterator[StreamEvent]:
        with loading:
            from . import _structured

        for event in self.events(request, deadline):
            yield Done(_structured.answered(event.response, request)) if isinstance(event, Done) else event

    def complete(self, request: Request, deadline: Deadline) -> Response:
        """The whole answer to a request, before the deadline."""
        if type(self).generate is not Model.generate:
            return self.generate(request, timeout=deadline.require())
        raise UnsupportedError(f"{type(self).__name__} cannot answer: it overrides neither complete nor generate")

    def events(self, request: Request, deadline: Deadline) -> Iterator[StreamEvent]:
        """The answer as events, the last of them `Done`; by default all at once."""
        if type(self).stream is not Model.stream:
            with self.stream(request, timeout=deadline.require()) as stream:
                yield from stream
        else:
            yield from replay(self.complete(request, deadline))


class _Stranger(Model):
    """A target that is no `Model`, and has a `generate`, and perhaps a `stream`."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self.name = getattr(target, "name", "") or type(target).__name__

    def complete(self, request: Request, deadline: Deadline) -> Response:
        found: Response = self._target.generate(request, timeout=deadline.require())
        return found

    def events(self, request: Request, deadline: Deadline) -> Iterator[StreamEvent]:
        stream = getattr(self._target, "stream", None)
        if stream is None:
            yield from replay(self.complete(request, deadline))
        else:
            yield from stream(request, timeout=deadline.require())


def as_model(target: Any) -> Model:
    """Whatever can be asked, as a model."""
    return target if isinstance(target, Model) else _Stranger(target)


def replay(response: Response) -> Iterator[Delta | Done]:
    """A whole answer as the events of a stream."""
    index = 0
    for part in response.message.parts:
        if isinstance(part, Thinking):
            yield ThinkingDelta(part.text)
        elif isinstance(part, Text):
            yield TextDelta(part.text)
        elif isinstance(part, ToolCall):
            with loading:
                from . import _json

            yield ToolCallDelta(index, part.id, part.name, _json.dumps(part.arguments))
            index += 1
    yield Done(response)


class ImageModel(_Asked):
    """Something that draws: what `parse_image` gives, or one of your own, which overrides `complete`."""

    def generate(self, prompt: str | ImageRequest, *, timeout: float | None = None, **options: Any) -> ImageResponse:
        """Draw.

        prompt: what to draw, as a str or an `ImageRequest`; options are fields of
        `ImageRequest`, laid over it. timeout: as for `Model.generate`; drawing takes
        seconds to many minutes. Raises the errors of `majordomo.errors`.
        """
        with loading:
            from .imagegen import ImageRequest

        return self.complete(ImageRequest.of(prompt, options), self._deadline(timeout))

    def complete(self, request: ImageRequest, deadline: Deadline) -> ImageResponse:
        """The pictures of a request, before the deadline."""
        if type(self).generate is not ImageModel.generate:
            return self.generate(request, timeout=deadline.require())
        raise UnsupportedError("it does not draw")


class Unable(Model, ImageModel):  # type: ignore[misc]  # one `generate` or the other, and neither gives anything
    """A target that cannot: it stands in a chain, and says why when its turn comes."""

    def __init__(self, name: str, error: MajordomoError, base_url: str = "") -> None:
        self.name, self.base_url = name, base_url
        self._error = error

    def complete(self, request: Any, deadline: Deadline) -> Any:
        with loading:
            from copy import copy

        raise copy(self._error)  # each call writes its own story on it


class Provider:
    """A service: who answers, and where.

    name: as in a spec; base_url: without credentials. A provider of your own overrides
    `model`; `list_models` where its server has a list.
    """

    name: str = ""
    base_url: str = ""

    def model(self, id: str) -> Model:
        """The bare target: no failover, no health, no fitting of images; `parse` adds those."""
        raise UnsupportedError(f"{self.name} has no models")

    def list_models(self, *, timeout: float | None = None) -> list[str]:
        """The ids of the models that the server has. timeout: seconds, 30 if not given."""
        raise UnsupportedError(f"{self.name} has no list of models")

    def image_model(self, id: str) -> ImageModel:
        """The bare target for drawing; UnsupportedError where nothing draws."""
        raise UnsupportedError(f"{self.name} has no models that draw")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.base_url}>"

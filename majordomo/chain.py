"""Failover: the only place that decides to try, skip, retry or give up.

What a failure means is `errors.classify`'s to say; what is remembered of it between
calls is `health`'s. A call makes at most `retries` + 1 passes over its targets:

    pass 1      every target in order, those that cool down last, soonest due first
    pass 2...   those that failed in a way that may pass, after a backoff

Answers, streams and drawings go through the same loop. It ends when a target has
begun to answer; a stream that breaks after that is the reader's to know.
"""

from __future__ import annotations

import math
import random
import sys
import time

from ._frozen import copied
from ._loading import loading
from .deadline import Deadline, as_timeout, backoff
from .errors import (
    ChainError,
    DeadlineError,
    ErrorKind,
    MajordomoError,
    TruncatedError,
    UnsupportedError,
    classify,
)
from .health import COOLING_KINDS, RETRY_AFTER_CAP, key_of
from .llm import Attempt, Capabilities, images_of
from .model import Done, ImageModel, Model, TextDelta, as_model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from dataclasses import dataclass, replace
    from typing import Any, Callable, TypeVar, Union

    from ._health_file import FileHealth
    from .health import MemoryHealth
    from .imagegen import ImageRequest
    from .llm import Request, Response
    from .model import StreamEvent

    C = TypeVar("C", bound="_Targets")
    Health = Union[MemoryHealth, FileHealth]
else:
    from ._frozen import dataclass, replace

__all__ = ["Chain", "ImageChain", "Policy"]

COOLING_WEIGHT = 0.25  # of the time, beside a healthy target: it must have a turn, and may well be dead still
LONGEST_UNASKED_WAIT = 120.0  # seconds a call without a timeout waits for a Retry-After (as openai-python)

# Kinds that may pass: the target is tried again in the same call. Which kinds cool a
# target down stands in `health.COOLING_KINDS`; `DEADLINE` alone stops the chain.
_PASSING_KINDS = frozenset((ErrorKind.TRANSIENT, ErrorKind.RATE_LIMITED))


@dataclass(frozen=True)
class Policy:
    """How calls of one registry fail over; see `Registry` for the settings.

    memory: gives the memory of targets that are down, when a call first needs it.
    """

    memory: Callable[[], Health]
    timeout: float | None = None
    attempt_timeout: float | None = None
    retries: int = 2
    on_attempt: Callable[[Attempt], None] | None = None
    on_try: Callable[[str], None] | None = None  # called with a target's name before each attempt
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random

    @property
    def health(self) -> Health:
        """The memory of targets that are down."""
        return self.memory()


class _Targets:
    """What both kinds of chain are: targets in order, tried until one answers.

    targets: the bare models, by the names they have in the spec. name: those names,
    joined by commas. capabilities: those of the first target.

    A kind of chain says in `_fitted` how a target takes a request: (request, target, limit
    of what the target may be asked for that, deadline of all work here) -> (the request as
    it takes it, what was done to it). UnsupportedError if it is known that it cannot.
    """

    _fitted: Callable[[Any, Any, Deadline, Deadline], tuple[Any, tuple[str, ...]]]
    _asked: Callable[[Any, Any, Deadline], Any]

    def __init__(
        self, targets: Mapping[str, Any], policy: Policy, remake: Callable[[], tuple[Any, ...]] | None = None
    ) -> None:
        self.names = tuple(targets)
        self.targets = tuple(targets.values())
        self.policy = policy
        self.name = ", ".join(self.names)
        self.base_url = getattr(self.targets[0], "base_url", "")
        self._keys = tuple(key_of(name, getattr(target, "base_url", "")) for name, target in targets.items())
        self._remake = remake

    @property
    def capabilities(self) -> Capabilities:
        """What the first target takes, as far as is known without asking it."""
        return _capabilities(self.targets[0])

    def complete(self, request: Any, deadline: Deadline) -> Any:
        """The answer of the first target that has one."""
        call = _Call(self, request, deadline)
        try:
            response = call.run(self._asked)
            call.answered()
        except BaseException:
            call.released()  # Ctrl-C, wherever it came
            raise
        return call.finished(response)

    def _deadline(self, timeout: float | None) -> Deadline:
        """The deadline of a whole call; infinite if nobody asked for one (attempts have their own)."""
        if timeout is None:
            timeout = self.policy.timeout
        if timeout is None:
            return Deadline(math.inf, "default", self.policy.clock)
        return Deadline(as_timeout(timeout), "timeout", self.policy.clock)

    def _watched(self: C, on_try: Callable[[str], None]) -> C:
        """The same chain, which tells the name of each target that it is about to ask."""
        targets = dict(zip(self.names, self.targets))
        return type(self)(targets, replace(self.policy, on_try=on_try), self._remake)

    def __copy__(self) -> Any:
        return self  # it never changes, and its registry is shared on purpose

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self._remake is None:
            raise TypeError("this chain was not made by parse() and does not pickle")
        return self._remake()


class Chain(_Targets, Model):  # type: ignore[override]  # capabilities are computed here
    """Targets in order, tried until one answers; what `parse` returns, also for one target."""

    def _ask_whole(self, request: Request, deadline: Deadline) -> Response:
        """The answer of the first target that has one; each is held to the schema by itself."""
        found: Response = self.complete(request, deadline)
        return found

    def _ask_stream(self, request: Request, deadline: Deadline) -> Iterator[StreamEvent]:
        """The events of the first target that gives one; each is held to the schema by itself."""
        return self.events(request, deadline)

    def events(self, request: Request, deadline: Deadline) -> Iterator[StreamEvent]:
        """The events of the first target that gives one."""
        call = _Call(self, request, deadline)
        said: list[str] = []
        events: Iterator[StreamEvent]
        try:
            first, events = call.run(_begin)
        except BaseException:
            call.released()
            raise
        try:
            call.limit.become(call.deadline if call.timed else Deadline(call.span(), "default", call.clock))
            yield _last(first, call, said)
            for event in events:
                if type(event) is TextDelta:  # as most are
                    said.append(event.text)
                    yield event
                else:
                    yield _last(event, call, said)
            if not call.told:
                raise TruncatedError("the stream ended without its last event")
        except MajordomoError as exc:
            exc.partial = exc.partial or "".join(said)
            call.failed(exc)
            call.blamed(exc)
            raise
        except GeneratorExit:
            call.left()
            raise
        except BaseException:
            call.released()
            raise
        finally:
            close = getattr(events, "close", None)
            if close is not None:
                close()

    @staticmethod
    def _asked(target: Any, request: Request, deadline: Deadline) -> Response:
        return as_model(target)._ask_whole(request, deadline)

    @staticmethod
    def _fitted(request: Request, target: Any, limit: Deadline, deadline: Deadline) -> tuple[Request, tuple[str, ...]]:
        pictured = bool(images_of(request.messages))
        thinks = request.reasoning not in (None, "off")
        if not (pictured or thinks or request.tools or request.schema is not None):
            return request, ()
        capabilities = _learned(target, request, limit)
        if request.tools and capabilities.tools is False:
            raise UnsupportedError("the target takes no tools")
        if request.schema is not None and capabilities.structured_output is False:
            raise UnsupportedError("the target answers to no schema")
        told: tuple[str, ...] = ()
        if thinks and capabilities.thinking is False:
            request = replace(request, reasoning=None)
            told = ("reasoning: left out, for the target does not think",)
        if not pictured:
            return request, told
        with loading:
            from . import media

        fitted = media.normalize(request, capabilities, deadline.require)
        return fitted, (*told, *media.changes(request, fitted))


class ImageChain(_Targets, ImageModel):  # type: ignore[override]
    """Targets in order, tried until one draws; what `parse_image` returns."""

    @staticmethod
    def _asked(target: Any, request: ImageRequest, deadline: Deadline) -> Any:
        if isinstance(target, ImageModel):
            return target.complete(request, deadline)
        return target.generate(request, timeout=deadline.require())

    @staticmethod
    def _fitted(
        request: ImageRequest, target: Any, limit: Deadline, deadline: Deadline
    ) -> tuple[ImageRequest, tuple[str, ...]]:
        if not request.images:
            return request, ()
        with loading:
            from . import media

        return media.fit_originals(request, _learned(target, request, limit), deadline.require)


def _capabilities(target: Any) -> Capabilities:
    """What is known of what a target takes; a stranger that does not say takes anything."""
    found: Capabilities = getattr(target, "capabilities", None) or Capabilities()
    return found


def _learned(target: Any, request: Any, deadline: Deadline) -> Capabilities:
    """The same as far as a request needs to know, be it by asking."""
    return target.learned(request, deadline) if isinstance(target, (Model, ImageModel)) else _capabilities(target)


def _begin(target: Any, request: Request, deadline: Deadline) -> tuple[StreamEvent, Iterator[StreamEvent]]:
    """Ask a target for a stream and wait for its first event."""
    events = iter(as_model(target)._ask_stream(request, deadline))
    try:
        return next(events), events
    except StopIteration:
        raise TruncatedError("the stream ended without an event") from None


def _last(event: StreamEvent, call: _Call, said: list[str]) -> StreamEvent:
    """An event as the caller gets it: the last one carries the attempts."""
    if isinstance(event, TextDelta):
        said.append(event.text)
    elif isinstance(event, Done):
        call.answered()
        return Done(call.finished(event.response))
    return event


class _Call:
    """One call of a chain: its attempts, what each target failed with, and the attempt under way."""

    def __init__(self, chain: _Targets, request: Any, deadline: Deadline) -> None:
        self.chain = chain
        self.policy = chain.policy
        self.health = chain.policy.health
        self.clock = chain.policy.clock
        self.request = request
        self.deadline = deadline
        self.timed = deadline.limit != "default" or deadline.span < math.inf
        self.attempts: list[Attempt] = []
        self.told = False
        self.limit = deadline
        self._errors: dict[int, MajordomoError] = {}
        self._last_error: MajordomoError | None = None
        self._ready_at: dict[int, float] = {}
        self._had_turn: set[int] = set()
        self._position = 0
        self._started = 0.0
        self._probe = False
        self._changes: tuple[str, ...] = ()

    def run(self, ask: Callable[[Any, Any, Deadline], Any]) -> Any:
        """What the first target that answers gives; raises when none does."""
        first = self._first_pass(ask)
        if first is not None:
            return first[0]
        for turn in range(1, self.policy.retries + 1):
            again = [p for p in range(len(self.chain.targets)) if self._may_pass(p)]
            if not again:
                break
            if not self._sleep(backoff(turn, self.policy.random)):
                break
            found = self._later_pass(again, ask)
            if found is not None:
                return found[0]
        if self.timed and self.deadline.left() <= 0:
            raise self._out_of_time(self._last_error)
        raise self._given_up()

    def _first_pass(self, ask: Callable[[Any, Any, Deadline], Any]) -> tuple[Any] | None:
        """Every target in order; those that cool down are passed over and come last."""
        health, keys = self.health, self.chain._keys
        cooling: list[int] = []
        healthy = {p for p, key in enumerate(keys) if not health.due(key)}
        left = len(healthy) + COOLING_WEIGHT * (len(keys) - len(healthy))
        for position, key in enumerate(keys):
            admitted = self._admitted(position) if position in healthy else "open"
            if admitted == "open":
                due = health.due(key)
                cooling.append(position)
                self._note(position, "skipped", None, f"cooling down for {due:.1f} s more", 0.0)
                left -= (1 - COOLING_WEIGHT) * (position in healthy)
                continue
            found = self._try(position, ask, left, admitted == "half-open")
            left -= 1
            if found is not None:
                return found
        cooling.sort(key=lambda p: health.due(keys[p]))
        for count, position in enumerate(cooling):
            probe = self._admitted(position) == "half-open"
            found = self._try(position, ask, len(cooling) - count, probe)
            if found is not None:
                return found
        return None

    def _admitted(self, position: int) -> str:
        """What `health` says to a try; a probe is ours to free from before we have it."""
        self._position, self._probe = position, True
        admitted = self.health.admit(self.chain._keys[position])
        self._probe = admitted == "half-open"
        return admitted

    def _later_pass(self, again: list[int], ask: Callable[[Any, Any, Deadline], Any]) -> tuple[Any] | None:
        """Those that may pass, in order; who must wait for its Retry-After lets the others go first."""
        waiting = list(again)
        while waiting:
            now = self.clock()
            ready = [p for p in waiting if self._ready_at.get(p, 0.0) <= now]
            if not ready:
                soonest = min(waiting, key=lambda p: self._ready_at[p])
                if not self._sleep(self._ready_at[soonest] - now):
                    return None
                ready = [soonest]
            found = self._try(ready[0], ask, len(waiting), False)
            if found is not None:
                return found
            waiting.remove(ready[0])
        return None

    def _try(
        self, position: int, ask: Callable[[Any, Any, Deadline], Any], left: float, probe: bool
    ) -> tuple[Any] | None:
        """One attempt: what it gives, in a tuple, or None if it failed or had to be skipped."""
        target = self.chain.targets[position]
        if self.policy.on_try is not None:
            self.policy.on_try(self.chain.names[position])
        self._position, self._probe, self.told = position, probe, False
        self._started = self.clock()
        if self.timed and self.deadline.left() <= 0:
            self.released()
            raise self._out_of_time(self._last_error)
        self._had_turn.add(position)
        try:
            self.limit = self._limit(target, left)
            fitted, self._changes = self.chain._fitted(self.request, target, self.limit, self.deadline)
            if fitted is not self.request:  # fitting took its time, which is not the target's
                self._started, self.limit = self.clock(), self._limit(target, left)
            found = ask(target, fitted, self.limit)
        except MajordomoError as exc:
            self.failed(exc)
            if self._kind(exc) is ErrorKind.DEADLINE:
                raise self._out_of_time(exc) from exc
            return None
        except BaseException:
            self.released()
            raise
        return (found,)

    def span(self) -> float:
        """Seconds an attempt has at the target under way when the call has no timeout."""
        return float(getattr(self.chain.targets[self._position], "default_timeout", 600.0))

    def _limit(self, target: Any, left: float) -> Deadline:
        """The attempt's deadline: its fair part of the call's, or its target's default."""
        part = self.policy.attempt_timeout
        if self.timed:
            return self.deadline.part(left, part)
        if part is not None:
            return Deadline(part, "attempt_timeout", self.clock)
        return Deadline(self.span(), "default", self.clock)

    def _kind(self, error: MajordomoError) -> ErrorKind:
        """What an error means here: a time limit is the caller's only when the caller's has passed."""
        kind = classify(error)
        if isinstance(error, DeadlineError):
            return ErrorKind.DEADLINE if self.timed and self.deadline.left() <= 0 else ErrorKind.TRANSIENT
        return kind

    def failed(self, error: MajordomoError) -> None:
        """The attempt under way has failed: note it and tell `health`."""
        kind, position = self._kind(error), self._position
        self._errors[position] = self._last_error = error
        wait = getattr(error, "retry_after", None)
        if wait is not None:
            self._ready_at[position] = self.clock() + wait
        if kind in COOLING_KINDS:
            self._probe = False  # decided
            self.health.failed(self.chain._keys[position], kind, self._started, wait)
        else:
            self.released()
        outcome = "skipped" if isinstance(error, UnsupportedError) else "failed"
        error.target = None  # the attempt has a place for it
        text = str(error).partition("\n")[0]
        error.target = self.chain.names[position]
        self._note(position, outcome, kind, text, self.clock() - self._started)

    def answered(self) -> None:
        """The attempt under way has answered."""
        self.told, self._probe = True, False
        self.health.succeeded(self.chain._keys[self._position])
        self._note(self._position, "answered", None, None, self.clock() - self._started)

    def left(self) -> None:
        """The reader has left a stream before its end: no verdict, and still one line."""
        if not self.told:
            self.released()
            self._note(self._position, "answered", None, None, self.clock() - self._started)

    def released(self) -> None:
        """The attempt under way ends without a verdict."""
        if self._probe:
            self.health.released(self.chain._keys[self._position])
            self._probe = False

    def finished(self, response: Any) -> Any:
        """The response with the story of the call on it."""
        name, told = self.chain.names[self._position], self._changes + tuple(response.warnings)
        return copied(response, model=name, attempts=tuple(self.attempts), warnings=told)

    def blamed(self, error: MajordomoError) -> MajordomoError:
        """An error with the story of the call on it."""
        error.attempts = tuple(self.attempts)
        if error.target is None and len(self.chain.names) == 1:
            error.target = self.chain.names[0]
        return error

    def _may_pass(self, position: int) -> bool:
        """Whether a target is worth another try in this call: its failure may pass, and in time."""
        error = self._errors.get(position)
        if error is None:
            return False
        kind, asked = self._kind(error), error.should_retry
        passing = kind in _PASSING_KINDS or (asked is True and kind is ErrorKind.INVALID)
        if asked is False or not passing:
            return False
        return self._ready_at.get(position, 0.0) - self.clock() < self._longest_wait()

    def _longest_wait(self) -> float:
        return min(self.deadline.left(), RETRY_AFTER_CAP) if self.timed else LONGEST_UNASKED_WAIT

    def _sleep(self, seconds: float) -> bool:
        """Wait; False, at once, if that does not fit what is left."""
        if seconds >= self._longest_wait():
            return False
        if seconds > 0:
            self.policy.sleep(seconds)
        return True

    def _note(self, position: int, outcome: str, kind: ErrorKind | None, error: str | None, seconds: float) -> None:
        attempt = Attempt(self.chain.names[position], outcome, kind, error, seconds)
        self.attempts.append(attempt)
        _log(attempt)
        if self.policy.on_attempt is not None:
            self.policy.on_attempt(attempt)

    def _given_up(self) -> MajordomoError:
        """What is raised when nobody answered: a lone target's own error, else all of them."""
        if len(self.chain.targets) == 1:
            return self.blamed(self._errors[0])
        error = ChainError(tuple(self.attempts))
        error.__cause__ = self._last_error
        error.partial = self._last_error.partial if self._last_error else ""
        return error

    def _out_of_time(self, error: MajordomoError | None = None) -> DeadlineError:
        """The caller's timeout has run out."""
        names = self.chain.names
        tried = [name for position, name in enumerate(names) if position in self._had_turn]
        waiting = [name for position, name in enumerate(names) if position not in self._had_turn]
        message = f"no answer within the timeout of {self.deadline.span:.6g} s; tried {', '.join(tried) or 'nothing'}"
        if waiting:
            message += f"; no turn for {', '.join(waiting)}"
        found = DeadlineError(message, partial=error.partial if error else "")
        found.__cause__ = error
        return self.blamed(found)  # type: ignore[return-value]


def _log(attempt: Attempt) -> None:
    """One line to the log, if anybody has loaded `logging`: nobody else could see it."""
    logging: Any = sys.modules.get("logging")
    if logging is None:
        return
    logger = logging.getLogger("majordomo")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    logger.info("%s", attempt)

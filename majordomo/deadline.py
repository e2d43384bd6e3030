"""Deadlines: one promise for a call, a timeout for each step of it.

A socket timeout bounds one operation, and every byte that drips in re-arms it. A
`Deadline` is a moment on the monotonic clock; whoever is about to wait asks it how
long that may take.
"""

from __future__ import annotations

import math
import random
import time

from .errors import ConfigError, DeadlineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

__all__ = ["Deadline", "Pulse", "as_timeout", "backoff"]

BACKOFF_BASE = 0.5
BACKOFF_CAP = 8.0


def as_timeout(value: object, name: str = "timeout") -> float:
    """A timeout in seconds as a positive float; `math.inf` waits for ever.

    Raises ConfigError for 0, negatives, NaN and what is no number.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"{name} is a number of seconds, not {type(value).__name__}")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf if value > 0 else -math.inf
    if not seconds > 0:
        raise ConfigError(f"{name} must be more than 0 seconds, not {seconds:g}; math.inf waits for ever")
    return seconds


class Deadline:
    """A moment on the monotonic clock, and what it is called when it has passed.

    at: the moment, in seconds of `clock`; span: the seconds it was given.
    limit: the setting behind it, as in `DeadlineError.limit`.
    """

    __slots__ = ("at", "clock", "limit", "span")

    def __init__(self, span: float, limit: str = "timeout", clock: Callable[[], float] = time.monotonic) -> None:
        self.span = span
        self.limit = limit
        self.clock = clock
        self.at = clock() + span

    def left(self) -> float:
        """Seconds until the moment; 0 or less when it has passed."""
        return self.at - self.clock()

    def require(self) -> float:
        """Seconds left, more than 0; raises DeadlineError when there are none."""
        left = self.at - self.clock()
        if left <= 0:
            raise DeadlineError(f"not finished within {_seconds(self.span)} ({self.limit})", limit=self.limit)
        return left

    def part(self, among: float, by_hand: float | None = None) -> Deadline:
        """What one attempt of `among` gets of what is left: a fair part, or so many seconds; itself if that is all."""
        left = self.left()
        if by_hand is not None and by_hand < left:
            return Deadline(by_hand, "attempt_timeout", self.clock)
        if by_hand is not None or among <= 1:
            return self
        return Deadline(left / among, "attempt_timeout", self.clock)

    def become(self, other: Deadline) -> None:
        """Take over another deadline's moment: a stream that has begun has all that remains."""
        self.at, self.span, self.limit = other.at, other.span, other.limit


class Pulse:
    """A deadline that also wants content now and then (`idle_timeout`), once there has been some."""

    __slots__ = ("_idle", "deadline")

    def __init__(self, deadline: Deadline, idle: float) -> None:
        self.deadline = deadline
        self._idle = Deadline(idle, "idle_timeout", deadline.clock)
        self._idle.at = math.inf

    def require(self) -> float:
        """Seconds until the nearer limit; raises DeadlineError when there are none."""
        return min(self.deadline.require(), self._idle.require())

    def beat(self) -> None:
        """Content has come: the silence starts anew."""
        self._idle.at = self._idle.clock() + self._idle.span


def backoff(turn: int, rng: Callable[[], float] = random.random) -> float:
    """Seconds to wait before pass `turn` (1, 2, ...): full jitter over 0.5 s doubled, 8 s at most."""
    return rng() * min(BACKOFF_CAP, BACKOFF_BASE * 2.0 ** min(turn - 1, 16))


def _seconds(span: float) -> str:
    return f"{span:.6g} s"

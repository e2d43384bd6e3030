"""Cooldowns: the memory that a target is down.

A dead host costs each call a connect timeout until somebody remembers. This module
remembers and decides nothing: `chain` asks and tells. The arithmetic (`Cooldown`) is
pure, `now` is an argument; the store in memory brings the clock and a lock.
"""

from __future__ import annotations

import os
import time
from _thread import RLock  # `threading` is a module more to import

from .errors import ConfigError, ErrorKind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass, replace
    from typing import Any, Callable
else:
    from ._frozen import dataclass, replace

__all__ = ["Cooldown", "MemoryHealth"]

FIRST = 1.0  # seconds of the first cooldown; each consecutive failure doubles it
CAP = 300.0
QUOTA = 300.0  # an exhausted quota does not come back in a second
RETRY_AFTER_CAP = 24 * 3600.0
PROBE_CAP = 120.0  # after this a probe that has not ended does not keep others away any more

COOLING_KINDS = frozenset(
    (ErrorKind.TRANSIENT, ErrorKind.RATE_LIMITED, ErrorKind.QUOTA, ErrorKind.AUTH, ErrorKind.NOT_FOUND)
)


@dataclass(frozen=True)
class Cooldown:
    """What is remembered of one target; times are seconds of the caller's clock.

    failures: how many in a row. until: when the cooldown ends. failed_at: when the last
    counted failure was noted. probing: since when a probe is under way, None if none.
    """

    failures: int = 0
    until: float = 0.0
    failed_at: float = 0.0
    probing: float | None = None

    def state(self, now: float) -> str:
        """`closed` (healthy), `open` (cooling down) or `half-open` (over; one probe decides)."""
        if not self.failures:
            return "closed"
        return "open" if now < self.until else "half-open"

    def probe_taken(self, now: float) -> bool:
        """Whether somebody else is finding out already."""
        return self.probing is not None and now - self.probing < PROBE_CAP

    def after_failure(self, kind: ErrorKind, now: float, started: float, retry_after: float | None = None) -> Cooldown:
        """The state after a failure of an attempt begun at `started`.

        An attempt that was under way when another one's failure was noted tells nothing
        new: it may extend the cooldown, and does not double it.
        """
        late = self.failures > 0 and started < self.failed_at
        failures = self.failures if late else self.failures + 1
        span = min(CAP, FIRST * 2 ** min(failures - 1, 16))
        if kind is ErrorKind.QUOTA:
            span = max(span, QUOTA)
        if retry_after is not None:
            span = max(span, min(retry_after, RETRY_AFTER_CAP))
        until = max(self.until, now + span)
        if late:
            return Cooldown(failures, until, self.failed_at, self.probing)
        return Cooldown(failures, until, now)


class MemoryHealth:
    """The cooldowns of one process, shared by its threads.

    `snapshot()` and `reset()` are for people; the rest is for `chain`. A child made by
    `fork` starts with what its parent knew.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._cooldowns: dict[str, Cooldown] = {}
        self._lock = RLock()
        self._pid = os.getpid()

    def due(self, key: str) -> float:
        """Seconds until the target's cooldown ends: 0 if it is healthy or due for its probe.

        While a probe of somebody else is under way it counts as cooling down still.
        """
        cooldown = self._cooldowns.get(key)
        if cooldown is None:
            return 0.0
        now = self.clock()
        if now < cooldown.until:
            return cooldown.until - now
        return FIRST if cooldown.probe_taken(now) else 0.0

    def admit(self, key: str) -> str:
        """Ask for a try: `closed` (healthy), `half-open` (this caller has the one probe) or `open` (no)."""
        if key not in self._cooldowns:
            return "closed"
        with self._guard():
            cooldown = self._cooldowns.get(key)
            if cooldown is None:
                return "closed"
            now = self.clock()
            if now < cooldown.until or cooldown.probe_taken(now):
                return "open"
            self._cooldowns[key] = replace(cooldown, probing=now)
            return "half-open"

    def succeeded(self, key: str) -> None:
        """The target answered: all is forgotten."""
        if key in self._cooldowns:
            with self._guard():
                self._cooldowns.pop(key, None)

    def failed(self, key: str, kind: ErrorKind, started: float, retry_after: float | None = None) -> None:
        """An attempt that began at `started` failed, in one of the `COOLING_KINDS`."""
        with self._guard():
            now = self.clock()
            before = self._cooldowns.get(key, Cooldown())
            self._cooldowns[key] = before.after_failure(kind, now, started, retry_after)

    def released(self, key: str) -> None:
        """A probe ended without a verdict: it is free again, nothing else changes."""
        if key in self._cooldowns:
            with self._guard():
                cooldown = self._cooldowns.get(key)
                if cooldown is not None:
                    self._cooldowns[key] = replace(cooldown, probing=None)

    def snapshot(self) -> dict[str, dict[str, object]]:
        """What is remembered: `{target and URL: {state, failures, seconds}}`, seconds until due."""
        now = self.clock()
        return {
            key: {"state": c.state(now), "failures": c.failures, "seconds": max(0.0, c.until - now)}
            for key, c in list(self._cooldowns.items())
        }

    def reset(self, key: str | None = None) -> None:
        """Forget one target (by its key or its name as in a spec), or everything."""
        if key is not None:
            if not isinstance(key, str):
                raise ConfigError(f"a target's name is text, not {type(key).__name__}")
            provider, slash, rest = key.partition("/")
            key = provider.lower().replace("_", "-") + slash + rest
        with self._guard():
            for known in list(self._cooldowns):
                if key is None or known == key or known.rpartition(" ")[0] == key:
                    del self._cooldowns[known]

    def _guard(self) -> Any:
        """The lock; a signal handler or a finalizer may take it once more.

        A forked child has a fresh one, for its parent may have held it at the fork.
        """
        if self._pid != os.getpid():
            self._lock = RLock()  # first, or another thread would take the old one for its own
            self._pid = os.getpid()
        return self._lock

    def __reduce__(self) -> tuple[type[MemoryHealth], tuple[()]]:
        return MemoryHealth, ()


def key_of(target: str, base_url: str) -> str:
    """Under which name a target's health is kept: its own and its base URL, never a key."""
    return f"{target} {base_url}" if base_url else target

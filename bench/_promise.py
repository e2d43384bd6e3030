"""Promises, each a row of a table, and what a process holds while they are kept."""

from __future__ import annotations

import gc
import os
import threading
from dataclasses import dataclass

import _measure


class Promises:
    """The rows of a script, and whether all of them hold.

    What breaks one is noted as it is found, the first few in full; `row` judges.
    """

    SHOWN = 5

    def __init__(self) -> None:
        self.broken = False
        self._found: dict[str, int] = {}
        self._lock = threading.Lock()

    def found(self, what: str, detail: str) -> None:
        """One case of something that must not happen; may be called by any thread."""
        with self._lock:
            count = self._found[what] = self._found.get(what, 0) + 1
        if count <= self.SHOWN:
            print(f"  {what}: {detail}", flush=True)

    def none(self, what: str) -> None:
        """The row that says how often it happened."""
        count = self._found.get(what, 0)
        self.row(what, str(count), "none", not count)

    def told(self, what: str, why: str) -> None:
        """The same without a verdict, for what is not ours to promise."""
        _measure.row(what, str(self._found.get(what, 0)), why)

    def row(self, what: str, figure: str, promise: str, kept: bool) -> None:
        """One line of the table, and a verdict."""
        _measure.row(what, figure, promise + ("" if kept else "   BROKEN"))
        self.broken = self.broken or not kept


@dataclass(frozen=True)
class Held:
    """What this process holds: KiB of memory, descriptors, threads. Memory is 0 where Linux does not tell."""

    memory: int
    descriptors: int
    threads: int

    @classmethod
    def now(cls) -> Held:
        gc.collect()
        return cls(_memory(), len(os.listdir("/dev/fd")), threading.active_count())


def _memory() -> int:
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    except OSError:
        return 0

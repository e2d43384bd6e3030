"""A contender in a process of its own, so that its memory and its garbage are nobody else's.

It is given its lines by `_measure.Worker`, answers each order with a line of JSON, and does
nothing in between:

    warm CALLS              CPU seconds of a call
    chunk STREAMS           CPU seconds of a piece of a streamed answer
    threads THREADS MS      calls a second of CPU time, of so many threads for so long
    rate                    the same by the clock on the wall, which other programs disturb
    peak                    the peak of its memory so far, in MiB
"""

from __future__ import annotations

import json
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Worker:
    """What the orders work on; `lines` are those of `contenders.Contender`."""

    def __init__(self, lines: dict[str, str], host: str) -> None:
        self.lines = lines
        self.names: dict[str, Any] = {"host": host}
        exec(lines["prompt"] + lines["imports"], self.names)
        self.call, self.pieces = self.made()
        self.own: list[Any] = []
        assert self.call().startswith("word")

    def made(self) -> tuple[Any, Any]:
        """A client's (call, pieces)."""
        names = dict(self.names)
        names["client"] = eval(self.lines["client"], names)
        return eval("lambda: " + self.lines["call"], names), eval("lambda: " + self.lines["pieces"], names)

    def warm(self, calls: int) -> float:
        begin = time.process_time()
        for _ in range(calls):
            self.call()
        return (time.process_time() - begin) / calls

    def chunk(self, streams: int) -> float:
        begin, count = time.process_time(), 0
        for _ in range(streams):
            count += "".join(self.pieces()).count(" ")
        return (time.process_time() - begin) / count

    def threads(self, threads: int, milliseconds: int) -> float:
        import threading

        while len(self.own) < threads:  # by hand each thread has a connection
            self.own.append(self.made()[0] if self.lines["name"] == "by hand" else self.call)
        done: list[int] = []

        def ask(call: Any) -> None:
            call()  # on a loaded machine the time may be over before a thread has begun
            count = 1
            while time.monotonic() < end:
                call()
                count += 1
            done.append(count)

        running = [threading.Thread(target=ask, args=(call,)) for call in self.own]
        begin, cpu = time.monotonic(), time.process_time()
        end = begin + milliseconds / 1000
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        self._rate = sum(done) / (time.monotonic() - begin)
        return sum(done) / (time.process_time() - cpu)

    def rate(self) -> float:
        return self._rate

    def peak(self) -> float | None:
        return peak()


def peak() -> float | None:
    """As Linux counts it for this program alone; `ru_maxrss` begins with the parent's."""
    if not sys.platform.startswith("linux"):
        return None
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    worker = Worker(json.loads(sys.argv[1]), sys.argv[2])
    print("null", flush=True)
    for line in sys.stdin:
        order, *numbers = line.split()
        print(json.dumps(getattr(worker, order)(*map(int, numbers))), flush=True)

"""What the benchmarks share: a server in a process of its own, CPU time, ratios of medians.

The machine is noisy, so whatever is compared takes turns in one run, and what is
compared is CPU time of this process (or of its child), never the clock on the wall. The
package is compiled first, as an installation does.
"""

from __future__ import annotations

import compileall
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
compileall.compile_dir(str(ROOT / "majordomo"), quiet=1)

SERVER = """
import sys, time
sys.path.insert(0, {root!r})
from majordomo.testing import FakeServer, Reply
with FakeServer() as server:
    server.default = Reply("word " * {words}, pieces=["word "] * {words})
    print(server.host, flush=True)
    sys.stdin.read()
"""


class Server:
    """A fake server in another process, so that its CPU time is not ours."""

    def __init__(self, words: int = 20) -> None:
        code = SERVER.format(root=str(ROOT), words=words)
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> str:
        return self._process.stdout.readline().strip()

    def __exit__(self, *error: object) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def child(code: str, *arguments: str, env: dict[str, str] | None = None) -> float:
    """CPU seconds of a Python process that runs this code."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the measured process failed: {status}")
    return usage.ru_utime + usage.ru_stime


def cpu(work: object, times: int) -> float:
    """CPU seconds of this process for one call of `work`."""
    begin = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - begin) / times


def in_turns(rounds: int, **measures: object) -> dict[str, float]:
    """The median of each measure, all of them taken in turns."""
    taken: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(rounds + 1):
        for name, measure in measures.items():
            value = measure()
            if number:  # the first round warms up
                taken[name].append(value)
    return {name: statistics.median(values) for name, values in taken.items()}


def row(what: str, figure: str, goal: str) -> None:
    """One line of the table."""
    print(f"{what:58} {figure:>14}   {goal}", flush=True)

"""What the benchmarks share: a server in a process of its own, CPU time, ratios of medians.

The machine is noisy, so whatever is compared takes turns in one run, and what is
compared is CPU time of this process (or of its child), never the clock on the wall. The
package is compiled first, as an installation does.
"""

from __future__ import annotations

import compileall
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))
for folder in (HERE, ROOT / "majordomo"):
    compileall.compile_dir(str(folder), quiet=1)


class Server:
    """A server in another process, so that its CPU time is not ours; see `_server`."""

    def __init__(self, words: int = 20, kind: str = "fake") -> None:
        command = [sys.executable, str(HERE / "_server.py"), kind, str(words)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> str:
        return self._process.stdout.readline().strip()

    def __exit__(self, *error: object) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class Worker:
    """A contender in another process; see `_worker`."""

    def __init__(self, python: str, row: dict[str, str], host: str, env: dict[str, str]) -> None:
        command = [python, str(HERE / "_worker.py"), json.dumps(row), host]
        self._process = subprocess.Popen(
            command, env=environ(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._heard()

    def order(self, *words: object) -> Any:
        """What it says to an order."""
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        return self._heard()

    def _heard(self) -> Any:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a worker failed")
        return json.loads(line)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def environ(more: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of what is measured: the package, and nothing that would make it cheaper or dearer."""
    odd = ("LLM_", "MAJORDOMO_", "PYTHON")
    found = {name: value for name, value in os.environ.items() if not name.startswith(odd)}
    return {**found, "PYTHONPATH": str(ROOT), **(more or {})}


def child(code: str, *arguments: str, env: dict[str, str] | None = None, python: str = sys.executable) -> float:
    """CPU seconds of a Python process that runs this code."""
    process = subprocess.Popen([python, "-c", code, *arguments], env=environ(env))
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

"""Many short processes that share nothing but the environment: what a cron job is.

    python3 bench/processes.py [--processes 1000] [--at-once 4]

Each has variables of its own, among them a key that the server lets in for its question
alone; asks once by `from majordomo import parse`, prints the answer, and ends. It begins
in an empty folder, which is also where its temporary files would go and its home.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import _measure
import _trouble
from _promise import Promises

from majordomo.testing import dead_port

CODE = """
import sys
from majordomo import parse
print(parse(sys.argv[1]).generate(sys.argv[2], timeout=60).text)
"""
WRONG = "processes without their right answer"
LOUD = "processes that print to standard error"
LEFT = "processes that leave files"
HUNG = "processes that hang"
PATIENCE = 120.0  # seconds, of which a process needs a fraction of one

# What a process is given, by the server's host, a port where nobody listens, and its key; then the spec it parses.
WAYS: tuple[tuple[Callable[[str, int, str], dict[str, str]], str], ...] = (
    (lambda host, dead, key: {"LLM_BOX": f"llama-swap://{key}@{host}"}, "box/m"),
    (lambda host, dead, key: {"OPENAI_API_KEY": key, "OPENAI_BASE_URL": f"http://{host}/v1"}, "openai/m"),
    (lambda host, dead, key: {"ANTHROPIC_API_KEY": key, "ANTHROPIC_BASE_URL": f"http://{host}"}, "anthropic/m"),
    (lambda host, dead, key: {"LLM_GOOGLE": f"google+http://{key}@{host}"}, "google/m"),
    (lambda host, dead, key: {"LLM_OLLAMA": f'"ollama+http://{key}@{host}"\n'}, "ollama/m"),
    (lambda host, dead, key: {"LLM_MY_BOX": f"openai-responses+http://{key}@{host}/v1"}, "My_Box/m"),
    (
        lambda host, dead, key: {
            "LLM_GONE": f"llama-swap://{key}@127.0.0.1:{dead}",
            "LLM_BOX": f"openai+http://{key}@{host}",
            "LLM_THINKING": "gone/any, box/m",
        },
        "thinking",
    ),
    (  # the key of somebody else first
        lambda host, dead, key: {
            "LLM_OTHER": f"llama-swap://{key[::-1]}@{host}",
            "LLM_BOX": f"foreman+http://{key}@{host}",
        },
        "other/n, box/m",
    ),
)


class Crowd:
    """The processes: which one gets what, and what comes of it."""

    def __init__(self, host: str, promises: Promises) -> None:
        self.host, self.dead, self.promises = host, dead_port(), promises

    def one(self, number: int) -> None:
        """Run a process and judge it."""
        given, spec = WAYS[number % len(WAYS)]
        with tempfile.TemporaryDirectory() as home:
            environ = given(self.host, self.dead, _trouble.key_of(number))
            environ.update(PYTHONPATH=str(_measure.ROOT), TMPDIR=home, HOME=home)
            command = [sys.executable, "-c", CODE, spec, _trouble.ask(number)]
            try:
                done = subprocess.run(command, env=environ, cwd=home, capture_output=True, text=True, timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                return self.promises.found(HUNG, f"process {number} ({spec})")
            left = os.listdir(home)
        where = f"process {number} ({spec})"
        if done.returncode or done.stdout != _trouble.answer(number, "m") + "\n":
            self.promises.found(WRONG, f"{where}: {done.returncode}, {done.stdout!r}")
        if done.stderr:
            self.promises.found(LOUD, f"{where}: {done.stderr[-500:]!r}")
        if left:
            self.promises.found(LEFT, f"{where}: {left}")


def main(given: list[str] | None = None) -> bool:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--processes", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=4)
    arguments = parser.parse_args(given)
    promises = Promises()
    with _trouble.Troubled(keys=True) as server:
        crowd, began, used = Crowd(server.host, promises), time.monotonic(), _used()
        with ThreadPoolExecutor(arguments.at_once) as pool:
            list(pool.map(crowd.one, range(arguments.processes)))
        took, used = time.monotonic() - began, _used() - used
    _measure.row(f"{arguments.processes} processes, {arguments.at_once} at a time", f"{took:.0f} s", "")
    each = used / max(1, arguments.processes)
    _measure.row("CPU time of a process, from start to end", f"{each * 1000:.0f} ms", "")
    for what in (WRONG, LOUD, LEFT, HUNG):
        promises.none(what)
    return not promises.broken


def _used() -> float:
    """CPU seconds of the children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(not main())

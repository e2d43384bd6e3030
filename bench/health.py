"""The price of health: a call whose cooldowns are in memory, beside one whose cooldowns are in a file.

The target is a model in this process that answers at once, so what is left of a call is
what this library does. Figures are microseconds of CPU time, medians of turns.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import _measure

from majordomo import Model, Provider, Registry, Response, assistant
from majordomo._health_file import FileHealth
from majordomo.errors import ErrorKind
from majordomo.health import MemoryHealth

CALLS, OPERATIONS, ROUNDS = 200, 100, 15

BUSY = """
import sys, time
from majordomo._health_file import FileHealth
from majordomo.errors import ErrorKind
health = FileHealth(sys.argv[1])
while True:
    health.failed("busy u", ErrorKind.TRANSIENT, health.clock())
    time.sleep(0.01)
"""


class Echo(Model):
    name = "echo/m"

    def complete(self, request: object, deadline: object) -> Response:
        return Response(assistant("Hello."), model=self.name)


class Echoes(Provider):
    name = "echo"

    def model(self, id: str) -> Model:
        return Echo()


def call(health: MemoryHealth) -> Callable[[], object]:
    """A call of a chain of one that answers."""
    registry = Registry({}, health=health)
    registry.register_provider("echo", Echoes())
    model = registry.parse("echo/m")
    return lambda: model.generate("Hi")


def aged(path: Path) -> Path:
    """A file that has not changed for a long time."""
    os.utime(path, (1, 1))
    return path


def file_with_row(path: Path) -> Path:
    fail(FileHealth(path), "other u")
    return aged(path)


def fail(health: MemoryHealth, key: str = "k u") -> None:
    health.failed(key, ErrorKind.RATE_LIMITED, health.clock(), 3600)


@contextlib.contextmanager
def written(path: Path) -> Iterator[None]:
    """Another process writes about a hundred times a second."""
    writer = subprocess.Popen([sys.executable, "-c", BUSY, str(path)], env=_measure.environ())
    try:
        while not path.exists():
            time.sleep(0.01)
        yield
    finally:
        writer.kill()
        writer.wait()


def calls(folder: Path) -> None:
    """The table of calls: ratio to memory, and what comes on top of it."""
    stores = {
        "memory": MemoryHealth(),
        "a file that is not there": FileHealth(folder / "none"),
        "a quiet file with a row": FileHealth(file_with_row(folder / "quiet")),
        "a busy file": FileHealth(folder / "busy"),
    }
    with written(folder / "busy"):
        found = _measure.in_turns(
            ROUNDS, **{name: lambda work=call(health): _measure.cpu(work, CALLS) for name, health in stores.items()}
        )
    base = found["memory"]
    for name, seconds in found.items():
        goal = "" if name == "memory" else "on top: under 1000 us"
        _measure.row(f"call, {name}", f"{seconds * 1e6:.0f} us {seconds / base:.2f}", goal)


def operations(folder: Path) -> None:
    """The table of operations."""
    memory, file = MemoryHealth(), FileHealth(file_with_row(folder / "operations"))
    quiet = FileHealth(file_with_row(folder / "still"))

    def failure_and_success(health: MemoryHealth) -> None:
        fail(health)
        health.succeeded("k u")

    found = _measure.in_turns(
        ROUNDS,
        **{
            "look, memory": lambda: _measure.cpu(lambda: memory.due("k u"), 20 * OPERATIONS),
            "look, quiet file": lambda: _measure.cpu(lambda: quiet.due("k u"), 20 * OPERATIONS),
            "failure, memory": lambda: _measure.cpu(lambda: fail(memory), OPERATIONS),
            "failure, file": lambda: _measure.cpu(lambda: fail(file), OPERATIONS),
            "failure and success, memory": lambda: _measure.cpu(lambda: failure_and_success(memory), OPERATIONS),
            "failure and success, file": lambda: _measure.cpu(lambda: failure_and_success(file), OPERATIONS),
        },
    )
    for name, seconds in found.items():
        _measure.row(name, f"{seconds * 1e6:.1f} us", "")


def first(health: MemoryHealth) -> float:
    """Seconds, by the clock on the wall, that health takes of a call that fails."""
    begin = time.perf_counter()
    health.due("k u"), health.admit("k u"), fail(health), health.admit("k u")
    return time.perf_counter() - begin


def troubles(folder: Path) -> None:
    """How long a call waits for a file that cannot be used, when nobody knows that yet."""
    locked, read, text = (file_with_row(folder / name) for name in ("locked", "read", "text"))
    text.write_text("Dear diary, " * 100)
    holder, reader = (sqlite3.connect(str(path), isolation_level=None) for path in (locked, read))
    holder.execute("BEGIN EXCLUSIVE")
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM cooldowns").fetchall()
    paths = {
        "somebody holds it": locked,
        "somebody reads it": read,
        "no database": text,
        "no folder": folder / "gone" / "file",
    }
    found = _measure.in_turns(
        ROUNDS, **{name: lambda path=path: first(FileHealth(path)) for name, path in paths.items()}
    )
    for name, seconds in found.items():
        _measure.row(f"first call, {name}", f"{seconds * 1e3:.1f} ms", "at most 50 ms")
    holder.close()
    reader.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        calls(Path(scratch))
        operations(Path(scratch))
        troubles(Path(scratch))


if __name__ == "__main__":
    main()

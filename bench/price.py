"""The price of a call: one table of ratios against the floor by hand, all of it measured in one run.

With `BENCH_SDKS=DIR` the vendors' SDKs are installed into an environment there, if they
are not there yet, and have columns too. Without, floor and ours run in an empty
environment, in which nothing loads modules before the program does. Each contender has
a process of its own, and is compared with the floor of its own wire.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple

import _measure
from contenders import FLOORS, MORE_SDKS, OURS, SDKS, Contender

CALLS = 60  # of a turn
WORDS = 1500  # of a streamed answer
THREADS, TURN = 16, 100  # and the milliseconds of their turn
LIFE = 1000  # calls, after which memory is looked at
FLOOR, OWN = FLOORS["chat"], OURS["chat"]  # those of the first columns

VERSIONS = """
import importlib.metadata, json, sys
found = {"Python": sys.version.split()[0]}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


class Bench:
    """Who takes part, and the Python that runs them."""

    def __init__(self, folder: Path, sdks: bool) -> None:
        self.python = str(folder / "bin" / "python")
        if not Path(self.python).exists():
            venv.create(folder, with_pip=sdks, symlinks=True)
        self.versions = self._versions([row.package for row in SDKS if row.package] if sdks else [])
        self.columns = [OWN, *(row for row in SDKS if row.package in self.versions)]
        self.others = [row.name for row in SDKS] if sdks else []
        self.rounds = 7 if sdks else 21  # the SDKs take their time

    def _versions(self, names: list[str]) -> dict[str, str]:
        """The versions of Python, and of the SDKs that are there or can be had."""
        for name in set(names) - set(self._found(names)):
            subprocess.run([self.python, "-m", "pip", "install", "--quiet", name], check=False)
        return self._found(names)

    def _found(self, names: list[str]) -> dict[str, str]:
        command = [self.python, "-c", VERSIONS, *names]
        return dict(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))

    def wires(self) -> list[Contender]:
        """Everybody on every wire."""
        more = [row for row in MORE_SDKS if row.package in self.versions]
        return [*FLOORS.values(), *OURS.values(), *self.columns[1:], *more]

    def imports(self) -> dict[str, float]:
        """CPU seconds of a process that imports it; of the floor, of one that does nothing."""
        lines = {FLOOR.key: "pass", **{row.key: row.imports for row in self.columns}}
        settings = {row.key: row.settings("") for row in self.columns}
        return _measure.in_turns(
            self.rounds,
            **{key: lambda key=key: self._child(lines[key], env=settings.get(key)) for key in lines},
        )

    def programs(self) -> dict[str, float]:
        """CPU seconds of a process that asks once."""
        with _measure.Server() as host:
            return _measure.in_turns(
                self.rounds,
                **{
                    row.key: lambda row=row: self._child(row.program(), host, env=row.settings(host))
                    for row in (FLOOR, *self.columns)
                },
            )

    def _child(self, code: str, *arguments: str, env: dict[str, str] | None = None) -> float:
        return _measure.child(code, *arguments, env=env, python=self.python)

    @contextlib.contextmanager
    def _at_work(self, rows: list[Contender], host: str) -> Iterator[dict[str, _measure.Worker]]:
        """A worker of each."""
        workers = {}
        try:
            for row in rows:
                workers[row.key] = _measure.Worker(self.python, row.lines(), host, row.settings(host))
            yield workers
        finally:
            for worker in workers.values():
                worker.close()

    def orders(self, rows: list[Contender], words: int, *order: object) -> dict[str, float]:
        """What each says to an order, medians of turns."""
        with _measure.Server(words) as host, self._at_work(rows, host) as workers:
            return _measure.in_turns(
                self.rounds, **{key: lambda worker=worker: worker.order(*order) for key, worker in workers.items()}
            )

    def threads(self) -> tuple[dict[str, float], dict[str, float]]:
        """Calls of many threads in a second of CPU time, and in one by the clock on the wall."""
        rows = [*FLOORS.values(), *self.columns]
        measures: dict[str, Callable[[], Any]] = {}
        with _measure.Server(kind="lean") as host, self._at_work(rows, host) as workers:
            for key, worker in workers.items():
                measures[key] = lambda worker=worker: worker.order("threads", THREADS, TURN)
                measures["rate " + key] = lambda worker=worker: worker.order("rate")
            found = _measure.in_turns(3 * self.rounds, **measures)  # for threads take turns of their own making
        return found, {key: found["rate " + key] for key in workers}

    def memory(self) -> dict[str, float]:
        """The peak of memory in MiB of a process that has called many times."""
        found = {}
        with _measure.Server() as host:
            for row in [*FLOORS.values(), *self.columns]:
                with self._at_work([row], host) as workers:
                    workers[row.key].order("warm", LIFE)
                    found[row.key] = workers[row.key].order("peak")
        return {key: peak for key, peak in found.items() if peak is not None}


class Line(NamedTuple):
    """A line of the table. figure: the floor's own, and its unit. above: a difference is shown, not a ratio."""

    what: str
    goal: str
    found: dict[str, float]
    scale: float
    unit: str
    above: bool = False

    def own(self, floor: Contender = FLOOR) -> str:
        """What the floor needs, in numbers."""
        if floor.key not in self.found:
            return "-"
        figure = self.found[floor.key] * self.scale
        return f"{figure:.{0 if figure >= 20 else 1}f} {self.unit}"

    def cell(self, row: Contender | None) -> str:
        """What a contender needs, by the floor of its wire; of what is compared with one floor, by that."""
        if row is None or row.key not in self.found:
            return "-"
        floor = self.found.get(FLOORS[row.wire].key, self.found[FLOOR.key])
        if self.above:
            return f"+{(self.found[row.key] - floor) * self.scale:.1f} {self.unit}"
        return f"{self.found[row.key] / floor:.2f}"


def table(head: list[str], rows: list[list[str]]) -> None:
    """Print rows as Markdown that reads as it is."""
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    for cells in (head, ["-" * width for width in widths], *rows):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths)) + " |")
    print(flush=True)


def lines(bench: Bench) -> list[Line]:
    """All that is measured."""
    spent, rate = bench.threads()
    return [
        Line("import, above a bare interpreter", "at most 8 ms", bench.imports(), 1e3, "ms", above=True),
        Line("process from start to answer", "at most 1.0", bench.programs(), 1e3, "ms"),
        Line("warm call", "at most 1.5", bench.orders(bench.wires(), 20, "warm", CALLS), 1e6, "us"),
        Line("streamed chunk", "at most 1.2", bench.orders(bench.wires(), WORDS, "chunk", 1), 1e6, "us"),
        Line(f"{THREADS} threads: calls a second of CPU time", "at least 0.9", spent, 1, "/s"),
        Line(f"{THREADS} threads: calls a second on the wall", "at least 0.9", rate, 1, "/s"),
        Line(f"memory after {LIFE} calls", "at most 4 MB", bench.memory(), 1, "MB", above=True),
    ]


def report(bench: Bench) -> None:
    """Measure, and print what was found."""
    found = lines(bench)
    versions = ", ".join(f"{name} {version}" for name, version in bench.versions.items())
    print(f"{time.strftime('%Y-%m-%d')}, {platform.system()}, {os.cpu_count()} processors, {versions}\n")
    here = {row.name: row for row in bench.columns}
    table(
        ["", FLOOR.name, OWN.name, "goal", *bench.others],
        [[x.what, x.own(), x.cell(OWN), x.goal, *(x.cell(here.get(name)) for name in bench.others)] for x in found],
    )
    sdks = {row.wire: row for row in reversed(bench.wires()) if row.package}  # the first one of a wire is its vendor's
    its = ["its SDK"] if bench.others else []
    rows = []
    for wire, floor in FLOORS.items():
        cells = [wire]
        for x in found:
            if OURS["ollama"].key in x.found:
                cells += [x.own(floor), x.cell(OURS[wire]), *(x.cell(sdks.get(wire)) for _ in its)]
        rows.append(cells)
    table(["wire", "warm call: by hand", OWN.name, *its, "chunk: by hand", OWN.name, *its], rows)


def main() -> None:
    kept = os.environ.get("BENCH_SDKS")
    with tempfile.TemporaryDirectory() as scratch:
        report(Bench(Path(kept or scratch), bool(kept)))


if __name__ == "__main__":
    main()

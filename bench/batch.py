"""Batches of many lines: what a line costs beside its model, and that memory does not grow with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

import _measure

FEW, MANY, WORKERS = 1_000, 100_000, 8

# A run, and another that finds all of it done: CPU seconds and seconds of each, and MB that they took.
RUN = """
import json, sys, time
sys.path.insert(0, sys.argv[3])
from _worker import peak
from majordomo import Model, Response, assistant
from majordomo._batch_file import run_batch

class Instant(Model):
    name = "instant/m"
    answer = Response(assistant("An answer of some words, as a model gives it to a question like that."), model=name)
    def complete(self, request, deadline):
        return self.answer

found, before = [], peak() or 0.0
for _ in range(2):
    cpu, began = time.process_time(), time.perf_counter()
    run_batch(Instant(), *sys.argv[1:3], workers=int(sys.argv[4]))
    found += [time.process_time() - cpu, time.perf_counter() - began]
print(json.dumps([*found, (peak() or before) - before]))
"""


def run(lines: int) -> list[float]:
    """What so many lines take, in a process of their own."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = os.path.join(folder, "in.jsonl"), os.path.join(folder, "out.jsonl")
        with open(source, "w", encoding="ascii") as file:
            for number in range(lines):
                file.write(json.dumps({"id": f"item-{number}", "prompt": f"What is {number}?"}) + "\n")
        command = [sys.executable, "-c", RUN, source, target, str(_measure.HERE), str(WORKERS)]
        done = subprocess.run(command, env=_measure.environ(), check=True, stdout=subprocess.PIPE, text=True)
        with open(target, encoding="ascii") as file:
            assert len({json.loads(line)["id"] for line in file}) == lines
    found: list[float] = json.loads(done.stdout)
    return found


def main() -> None:
    cpu, took, cpu_again, took_again, many = run(MANY)
    few = run(FEW)[-1]
    _measure.row(f"a batch of {MANY:,} lines, {WORKERS} workers", f"{MANY / took:,.0f} /s", "at least 2,000 /s")
    _measure.row("CPU time of a line", f"{cpu / MANY * 1e6:.0f} us", "under 200 us")
    _measure.row("the same again, all of them done", f"{MANY / took_again:,.0f} /s", "at least 20,000 /s")
    _measure.row("CPU time of a line", f"{cpu_again / MANY * 1e6:.0f} us", "under 30 us")
    memory = f"{many:.1f}, {few:.1f} MB" if sys.platform.startswith("linux") else "not measured"
    _measure.row(f"memory of {MANY:,} lines, of {FEW:,}", memory, "under 8 MB")


if __name__ == "__main__":
    main()

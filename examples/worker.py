"""A worker: tasks are done by processes forked beforehand, and a failure's kind says what becomes of its task.

    MAJORDOMO_MODEL=box/qwen3:14b,openai/gpt-5-mini python3 worker.py tasks.txt > done.jsonl

A task is a line of the file. The standard library's pool does here what Celery does with a broker;
the marked lines are where Celery's own would stand:

    @app.task(bind=True, max_retries=3, acks_late=True)                 # (1)
    raise Reject(str(error), requeue=False)                             # (2)
    raise self.retry(exc=error, countdown=wait)                         # (3)
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from pathlib import Path

from majordomo import ErrorKind, MajordomoError, classify, parse

# Made before the fork. Each process opens connections of its own, and keeps them for all of its tasks.
MODEL = parse(os.environ.get("MAJORDOMO_MODEL", "ollama/qwen3:4b, openai/gpt-5-mini"))
TIMEOUT = 120
WAITS = (0, 10, 60, 600)  # seconds before each try; within one the chain has retries of its own

# No waiting helps these. All others are the servers' fault, or that of the settings, which somebody may mend.
THE_TASKS_FAULT = {ErrorKind.INVALID, ErrorKind.TOO_LONG, ErrorKind.FILTERED, ErrorKind.UNSUPPORTED}


def run(task: str) -> str:  # (1)
    return MODEL.generate(task, system="Answer in one line.", timeout=TIMEOUT).text


def passes(error) -> bool:
    """Whether another try may help; a process that was killed takes the tasks of all others with it."""
    if isinstance(error, MajordomoError):
        return classify(error) not in THE_TASKS_FAULT
    return isinstance(error, BrokenExecutor)


def work_off(tasks, workers, waits):
    """Do what can be done: yields (task, text or error) as tasks end, and last those that nobody could do."""
    later = [(task, None) for task in tasks]
    for wait in waits:
        time.sleep(wait)
        with ProcessPoolExecutor(workers) as pool:
            futures = {pool.submit(run, task): task for task, _ in later}
            later = []
            for future in as_completed(futures):
                error = future.exception()  # as it was raised there: errors pickle, with all that is on them
                if passes(error):
                    later.append((futures[future], error))  # (3)
                else:
                    yield futures[future], error or future.result()  # (2)
        if not later:
            return
    yield from later


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tasks", type=Path)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--waits", type=float, nargs="+", default=WAITS, metavar="SECONDS")
    asked = parser.parse_args()
    tasks = [line for line in asked.tasks.read_text(encoding="utf-8").splitlines() if line.strip()]
    failures = 0
    for task, outcome in work_off(tasks, asked.workers, asked.waits):
        if isinstance(outcome, Exception):
            failures += 1
            kind = classify(outcome).value if isinstance(outcome, MajordomoError) else "worker"
            print(json.dumps({"task": task, "kind": kind, "error": str(outcome)}), file=sys.stderr)
        else:
            print(json.dumps({"task": task, "text": outcome}), flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

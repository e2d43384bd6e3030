"""Many questions by many processes, each with the same chain.

    export MAJORDOMO_MODEL=box/qwen3:14b,openai/gpt-5-mini MAJORDOMO_HEALTH=$HOME/.majordomo-health
    python3 many_processes.py < questions.txt

A chain pickles as its spec: aliases and settings travel, and no token does. Each process looks the
names up in its own environment. MAJORDOMO_HEALTH names a file in which all of them remember which
target is down, so that a dead one is found out once and not by each.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from majordomo import MajordomoError, parse

SPEC = os.environ.get("MAJORDOMO_MODEL", "ollama/qwen3:4b, openai/gpt-5-mini")
WORKERS = 2


def main() -> int:
    questions = [line.strip() for line in sys.stdin if line.strip()]
    model = parse(SPEC)  # `parse` uses the shared registry: connections and cooldowns outlive a task, in each process
    failures = 0
    # "spawn" works everywhere and beside threads; what is forked after `parse` works, too.
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(model.generate, question, timeout=60) for question in questions]
        for question, future in zip(questions, futures):
            try:
                reply = future.result()
            except MajordomoError as error:  # as it was raised there, with all of its attempts
                failures += 1
                print(f"{question}: {error}", file=sys.stderr)
            else:
                print(f"{question}: {reply.text} ({reply.model}, {reply.usage.output_tokens} tokens)")
    return 1 if failures else 0


if __name__ == "__main__":  # "spawn" imports this file in each process
    sys.exit(main())

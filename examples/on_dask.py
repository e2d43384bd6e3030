"""The same on Dask: a bag of questions, answered wherever the workers are.

    pip install "dask[bag]"        # on a cluster "dask[distributed]"
    MAJORDOMO_MODEL=box/qwen3:14b,openai/gpt-5-mini python3 on_dask.py < questions.txt
    DASK_SCHEDULER_ADDRESS=tcp://scheduler:8786 python3 on_dask.py < questions.txt

The graph holds the spec alone, and whoever carries it (a client, a scheduler) needs no variable. LLM_BOX,
OPENAI_API_KEY and the like are set where the workers run, and majordomo is installed there: in their
image, or by Dask's `distributed.nanny.environ`. A worker that lacks a variable says which one.
"""

from __future__ import annotations

import os
import sys
from functools import partial

import dask
import dask.bag

from majordomo import MajordomoError, parse

SPEC = os.environ.get("MAJORDOMO_MODEL", "ollama/qwen3:4b, openai/gpt-5-mini")


def answered(questions, spec):
    """What a partition came to: texts, and errors, which pickle with all that is on them."""
    model = parse(spec)  # made once in each process; the shared registry keeps its connections and cooldowns
    found = []
    for question in questions:
        try:
            found.append((question, model.generate(question, timeout=60).text))
        except MajordomoError as error:  # one bad question must not cost the others
            found.append((question, error))
    return found


def main() -> int:
    questions = [line.strip() for line in sys.stdin if line.strip()]
    bag = dask.bag.from_sequence(questions, npartitions=min(8, max(1, len(questions))))
    work = bag.map_partitions(partial(answered, spec=SPEC))
    if "DASK_SCHEDULER_ADDRESS" in os.environ:
        from dask.distributed import Client

        with Client():
            results = work.compute()
    else:
        results = work.compute(scheduler="processes")
    for question, outcome in results:
        print(f"{question}: {outcome}", file=sys.stderr if isinstance(outcome, MajordomoError) else sys.stdout)
    return 1 if any(isinstance(outcome, MajordomoError) for _, outcome in results) else 0


if __name__ == "__main__":  # the workers import this file
    sys.exit(main())

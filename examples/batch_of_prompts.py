"""A prompt a line, a result a line, in order: eight at a time, and with no more memory for a million than for ten.

    MAJORDOMO_MODEL=box/qwen3:14b,openai/gpt-5-mini python3 batch_of_prompts.py < reviews.txt > moods.jsonl

`python3 -m majordomo batch` does that without a program, and goes on where it was interrupted; this is
for prompts that are made, and answers that are used, by code of yours.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Literal

from majordomo import MajordomoError, Request, classify, generate_many, parse

SPEC = os.environ.get("MAJORDOMO_MODEL", "ollama/qwen3:4b, openai/gpt-5-mini")
Mood = Literal["pleased", "angry", "neither"]


def requests(lines):
    """The prompts, made while others are asked: a few for each worker are read ahead, and never all."""
    for line in lines:
        yield Request(f"Is whoever wrote this pleased or angry?\n\n{line.strip()}", schema=Mood)


def main() -> int:
    failures = 0
    for number, result in enumerate(generate_many(parse(SPEC), requests(sys.stdin), workers=8, timeout=60), 1):
        if isinstance(result, MajordomoError):  # a failure is a result, too: the others go on
            failures += 1
            row = {"line": number, "kind": classify(result).value, "error": str(result)}
        else:
            row = {"line": number, "mood": result.parsed, "model": result.model}
        print(json.dumps(row), flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

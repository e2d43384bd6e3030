"""A model of your own first, one in the cloud when it is down, and questions that never leave the house.

    OPENAI_API_KEY=sk-... python3 local_then_cloud.py "Why is the sky blue?" "And at night?"
    python3 local_then_cloud.py --private "What is wrong with this contract?" < contract.txt

Each try is told on standard error: when the local server is down, the first question finds out, and
the second passes it over while it cools down. A chain asks nobody but the targets that stand in it,
so what is private needs no switch, only a spec without the cloud.
"""

from __future__ import annotations

import argparse
import os
import sys

from majordomo import MajordomoError, Registry

# The options are each target's own: a context that is large enough, pictures that the card has memory for, a minute
# for a model that has to be loaded first. A variable of the environment of the same name wins: whoever sets LLM_LOCAL
# or LLM_PRIVATE says what stays in the house.
SETTINGS = {
    "LLM_LOCAL": "ollama+http://127.0.0.1:11434?num_ctx=16384&keep_alive=30m&max_image_dimension=1024&timeout=60",
    "LLM_ANYWHERE": "local/qwen3:14b, openai/gpt-5-mini",
    "LLM_PRIVATE": "local/qwen3:14b, local/qwen3:4b",
}


def note(text: object) -> None:
    print(text, file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("question", nargs="+")
    parser.add_argument("--private", action="store_true", help="ask local models alone")
    asked = parser.parse_args()
    text = "" if sys.stdin.isatty() else sys.stdin.read()
    registry = Registry({**SETTINGS, **os.environ}, retries=1, on_attempt=note)
    for question in asked.question:
        try:
            chain = registry.parse("private" if asked.private else "anywhere")  # kept: the same one each time
            reply = chain.generate(f"{question}\n\n{text}".strip())
        except MajordomoError as error:
            note(str(error).partition("\n")[0])  # each attempt has been told
            return 1
        print(reply.text)
    for target, row in registry.health.snapshot().items():
        note(f"{target}: {row['state']} for {row['seconds']:.0f} s more, {row['failures']} failures in a row")
    return 0


if __name__ == "__main__":
    sys.exit(main())

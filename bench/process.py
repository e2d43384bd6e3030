"""Whole processes: the import, and one question from start to answer against `urlopen` by hand."""

from __future__ import annotations

import _measure

BY_HAND = """
import json, sys, urllib.request
body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}]}).encode()
headers = {"Content-Type": "application/json", "Authorization": "Bearer t"}
request = urllib.request.Request("http://" + sys.argv[1] + "/v1/chat/completions", body, headers)
with urllib.request.urlopen(request, timeout=60) as answer:
    payload = json.loads(answer.read())
assert payload["choices"][0]["message"]["content"].startswith("word")
"""
OURS = """
from majordomo import parse
reply = parse("box/m").generate("Hi", timeout=60)
assert reply.text.startswith("word")
"""


def main() -> None:
    found = _measure.in_turns(
        25,
        bare=lambda: _measure.child("pass"),
        face=lambda: _measure.child("from majordomo import parse"),
    )
    above = (found["face"] - found["bare"]) * 1000
    _measure.row("from majordomo import parse, above a bare interpreter", f"{above:.1f} ms", "at most 10 ms")
    with _measure.Server() as host:
        env = {"LLM_BOX": f"llama-swap://t@{host}"}
        found = _measure.in_turns(
            25,
            hand=lambda: _measure.child(BY_HAND, host),
            ours=lambda: _measure.child(OURS, env=env),
        )
    ratio = found["ours"] / found["hand"]
    _measure.row(f"process from start to answer (by hand {found['hand'] * 1000:.0f} ms)", f"{ratio:.2f}", "at most 1.1")


if __name__ == "__main__":
    main()

"""A warm call against an `http.client` keep-alive loop, and a streamed chunk against reading by hand."""

from __future__ import annotations

import http.client
import json

import _measure

from majordomo import Registry

CALLS = 300
WORDS = 2000


class ByHand:
    """What somebody writes who has read the manual of `http.client`."""

    def __init__(self, host: str) -> None:
        self.connection = http.client.HTTPConnection(host, timeout=60)
        self.headers = {"Content-Type": "application/json", "Authorization": "Bearer t"}

    def ask(self, stream: bool) -> http.client.HTTPResponse:
        body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
        if stream:
            body["stream"] = True
        self.connection.request("POST", "/v1/chat/completions", json.dumps(body).encode(), self.headers)
        return self.connection.getresponse()

    def call(self) -> str:
        return json.loads(self.ask(False).read())["choices"][0]["message"]["content"]

    def stream(self) -> str:
        pieces = []
        with self.ask(True) as answer:
            for line in answer:
                if line.startswith(b"data: ") and not line.startswith(b"data: [DONE]"):
                    choices = json.loads(line[6:])["choices"]
                    if choices:
                        pieces.append(choices[0]["delta"].get("content") or "")
        return "".join(pieces)


def main() -> None:
    with _measure.Server() as host:
        hand, model = ByHand(host), Registry({"LLM_BOX": f"llama-swap://t@{host}"}).parse("box/m")
        assert hand.call() == model.generate("Hi").text
        found = _measure.in_turns(
            9,
            hand=lambda: _measure.cpu(hand.call, CALLS),
            ours=lambda: _measure.cpu(lambda: model.generate("Hi").text, CALLS),
        )
        micro = found["hand"] * 1e6
        _measure.row(f"warm call (by hand {micro:.0f} us)", f"{found['ours'] / found['hand']:.2f}", "at most 1.7")
    with _measure.Server(WORDS) as host:
        hand, model = ByHand(host), Registry({"LLM_BOX": f"llama-swap://t@{host}"}).parse("box/m")
        assert hand.stream() == "".join(model.stream("Hi").text_deltas())
        found = _measure.in_turns(
            9,
            hand=lambda: _measure.cpu(hand.stream, 3) / WORDS,
            ours=lambda: _measure.cpu(lambda: "".join(model.stream("Hi").text_deltas()), 3) / WORDS,
        )
        micro = found["hand"] * 1e6
        _measure.row(f"streamed chunk (by hand {micro:.1f} us)", f"{found['ours'] / found['hand']:.2f}", "at most 1.5")


if __name__ == "__main__":
    main()

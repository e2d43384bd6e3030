"""What somebody writes by hand who has read the manual of the standard library.

It is the floor that all others are measured against: no check, no failover, no limit of
time but the socket's, and every wire's answer read by the one expression that it takes.
"""

from __future__ import annotations

import http.client
import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PROMPT = [{"role": "user", "content": "Hi"}]


class Wire:
    """How a wire is spoken: where a question goes, how it reads, and how its answer is read.

    call, stream: path and body. text: reads an answer. piece: reads an event of a stream.
    mark: what a line with an event begins with.
    """

    headers = {"Content-Type": "application/json", "Authorization": "Bearer t"}
    mark = b"data: "


class Chat(Wire):
    call = "/v1/chat/completions", {"model": "m", "messages": PROMPT}
    stream = call[0], {**call[1], "stream": True}

    @staticmethod
    def text(answer: dict) -> str:
        return answer["choices"][0]["message"]["content"]

    @staticmethod
    def piece(event: dict) -> str | None:
        return event["choices"][0]["delta"].get("content") if event["choices"] else None


class Responses(Wire):
    call = "/v1/responses", {"model": "m", "input": PROMPT}
    stream = call[0], {**call[1], "stream": True}

    @staticmethod
    def text(answer: dict) -> str:
        return next(item["content"][0]["text"] for item in answer["output"] if item["type"] == "message")

    @staticmethod
    def piece(event: dict) -> str | None:
        return event["delta"] if event["type"] == "response.output_text.delta" else None


class Anthropic(Wire):
    headers = {"Content-Type": "application/json", "x-api-key": "t", "anthropic-version": "2023-06-01"}
    call = "/v1/messages", {"model": "m", "max_tokens": 1000, "messages": PROMPT}
    stream = call[0], {**call[1], "stream": True}

    @staticmethod
    def text(answer: dict) -> str:
        return answer["content"][0]["text"]

    @staticmethod
    def piece(event: dict) -> str | None:
        return event["delta"]["text"] if event["type"] == "content_block_delta" else None


class Google(Wire):
    headers = {"Content-Type": "application/json", "x-goog-api-key": "t"}
    call = "/v1beta/models/m:generateContent", {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
    stream = "/v1beta/models/m:streamGenerateContent?alt=sse", call[1]

    @staticmethod
    def text(answer: dict) -> str:
        return answer["candidates"][0]["content"]["parts"][0]["text"]

    @staticmethod
    def piece(event: dict) -> str | None:
        parts = event["candidates"][0]["content"].get("parts")
        return parts[0]["text"] if parts else None


class Ollama(Wire):
    call = "/api/chat", {"model": "m", "messages": PROMPT, "stream": False}
    stream = call[0], {**call[1], "stream": True}
    mark = b"{"

    @staticmethod
    def text(answer: dict) -> str:
        return answer["message"]["content"]

    piece = text


class ByHand:
    """A kept connection, and one question at a time."""

    def __init__(self, wire: type[Wire], host: str) -> None:
        self.wire = wire
        self.connection = http.client.HTTPConnection(host, timeout=60)

    def ask(self, path: str, body: dict) -> http.client.HTTPResponse:
        self.connection.request("POST", path, json.dumps(body).encode(), self.wire.headers)
        return self.connection.getresponse()

    def call(self) -> str:
        return self.wire.text(json.loads(self.ask(*self.wire.call).read()))

    def pieces(self) -> Iterator[str]:
        mark, piece = self.wire.mark, self.wire.piece
        skipped = 0 if mark == b"{" else len(mark)
        with self.ask(*self.wire.stream) as answer:
            for line in answer:
                if line.startswith(mark) and not line.startswith(b"data: [DONE]"):
                    text = piece(json.loads(line[skipped:]))
                    if text:
                        yield text

"""What a conversation costs, estimated, and what of it fits a budget.

Nobody but the server can count its tokens. An estimate does for a budget that is a limit
of cost or of context with some room: it errs on the side of too many, and learns from what
the server says that it has read.
"""

from __future__ import annotations

import json

from .llm import Text, Thinking, ToolCall, ToolResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .llm import Message, Part, Request, Usage

__all__ = ["Budget"]

# About four characters of English make a token (OpenAI, "What are tokens and how to count
# them"); counted in bytes, scripts that need more tokens a character weigh more.
BYTES_PER_TOKEN = 4
MESSAGE_TOKENS = 4  # around each message: 3 in OpenAI's "How to count tokens with tiktoken", and a role
# A picture of one megapixel: 1,333 at Anthropic (pixels / 750), 1,032 at Google (four
# tiles of 258), 765 at OpenAI (GPT-4o, four tiles of 170 and 85).
IMAGE_TOKENS = 1000
MOST_SCALE = 4.0  # of an estimate: what a server says may be of something else


class Budget:
    """Estimates of one conversation; messages are looked at once."""

    def __init__(self) -> None:
        self._scale = 1.0
        self._sizes: dict[int, tuple[Message, int]] = {}  # by id, and with the message, which keeps it

    def fitting(self, messages: Sequence[Message], kept: int, request: Request, most: int) -> tuple[Message, ...]:
        """The messages without the oldest turns, so that a request of them has `most` tokens at most.

        kept: how many of them are old; those behind stay, with the turn that they belong to.
        """
        sizes = [self._size(message) for message in messages]
        self._sizes = {id(message): self._sizes[id(message)] for message in messages}
        room = most / self._scale - _fixed(request)
        total, begin = sum(sizes), 0
        for start in range(1, kept + 1):
            if total <= room:
                break
            if _begins(messages[start]):
                total -= sum(sizes[begin:start])
                begin = start
        return tuple(messages[begin:])

    def learn(self, sent: Iterable[Message], request: Request, usage: Usage) -> None:
        """Take what a server has read of an estimate's messages for the measure of the next ones."""
        if usage.input_tokens is not None:
            estimated = _fixed(request) + sum(map(self._size, sent))
            self._scale = min(MOST_SCALE, max(1.0, usage.input_tokens / max(1, estimated)))

    def _size(self, message: Message) -> int:
        known = self._sizes.get(id(message))
        if known is None:
            known = self._sizes[id(message)] = (message, MESSAGE_TOKENS + sum(map(_tokens_of, message.parts)))
        return known[1]


def _begins(message: Message) -> bool:
    """Whether a turn begins with a message: one of the user's that is no answer to a call."""
    return message.role == "user" and not any(isinstance(part, ToolResult) for part in message.parts)


def _fixed(request: Request) -> int:
    """What is sent with each request, whatever its messages are."""
    tools = [tool.name + tool.description + _json(tool.parameters) for tool in request.tools]
    return sum(map(_tokens, [request.system or "", *tools]))


def _tokens_of(part: Part) -> int:
    if isinstance(part, (Text, Thinking)):
        return _tokens(part.text)
    if isinstance(part, ToolCall):
        return _tokens(part.name + (part.malformed or _json(part.arguments)))
    if isinstance(part, ToolResult):
        return sum(map(_tokens_of, part.parts))
    return IMAGE_TOKENS


def _tokens(text: str) -> int:
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return ""  # which cannot be sent either, and is refused there

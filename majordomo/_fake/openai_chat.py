"""How OpenAI's Chat Completions tell a reply, in the words that llama.cpp and its kin added.

What else is asked of whoever speaks this wire (lists, keys) `llamaswap` answers.
Source: the SDK of November 2026 (openai 3.54).
"""

from __future__ import annotations

import json

from ._common import CREATED, arguments_of, body_of, end_of, inner, pieces_of
from .values import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..llm import ToolCall, Usage
    from .values import Reply, Seen

# Our reason -> `finish_reason`; the others are called the same.
_FINISH = {"refusal": "stop", "other": "unknown"}


def tell(reply: Reply, seen: Seen) -> Status:
    """A reply in Chat Completions, whole or in chunks."""
    asked = body_of(seen)
    finish = _FINISH.get(end_of(reply), end_of(reply))
    head = {"id": "chatcmpl-fake", "created": CREATED, "model": asked.get("model", "fake")}
    if asked.get("stream"):
        chunks = _chunks(reply, finish, bool(inner(asked, "stream_options").get("include_usage")))
        events = [{**head, "object": "chat.completion.chunk", **chunk} for chunk in chunks]
        body = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
        return Status(200, [*body, b"data: [DONE]\n\n"], {"Content-Type": "text/event-stream"})
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or (None if reply.tool_calls else "")}
    if reply.thinking:
        message["reasoning_content"] = reply.thinking
    if reply.refusal:
        message["refusal"] = reply.refusal
    if reply.tool_calls:
        message["tool_calls"] = [_call(call) for call in reply.tool_calls]
    choice = {"index": 0, "message": message, "finish_reason": finish}
    answer: dict[str, Any] = {**head, "object": "chat.completion", "choices": [choice]}
    if reply.usage is not None:
        answer["usage"] = _usage(reply.usage)
    return Status(200, answer)


def _chunks(reply: Reply, finish: str, with_usage: bool) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": piece} for piece in pieces_of(reply.thinking)]
    deltas += [{"content": piece} for piece in pieces_of(reply.text, reply.pieces)]
    deltas += [{"refusal": piece} for piece in pieces_of(reply.refusal)]
    for index, call in enumerate(reply.tool_calls):
        whole = _call(call)
        arguments = whole["function"].pop("arguments")
        whole["function"]["arguments"] = ""
        deltas.append({"tool_calls": [{"index": index, **whole}]})
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": p}}]} for p in pieces_of(arguments)]
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
    ]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    if with_usage and reply.usage is not None:
        chunks.append({"choices": [], "usage": _usage(reply.usage)})
    return chunks


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments_of(call)}}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": (usage.input_tokens or 0) + (usage.output_tokens or 0),
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }

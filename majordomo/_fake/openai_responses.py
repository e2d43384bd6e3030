"""How OpenAI's Responses tell a reply, and how OpenAI refuses a key.

Source: the SDK of November 2026 (openai 3.54) with the traffic recorded for its tests.
"""

from __future__ import annotations

import json
from hashlib import sha256

from ..llm import merge
from ._common import (
    CREATED,
    EVENTS,
    arguments_of,
    body_of,
    given,
    inner,
    named_events,
    opaque,
    pieces_of,
    reason_of,
    sum_of,
)
from .values import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..llm import Usage
    from .values import Reply, Seen

# What is echoed, as it is where nothing was asked.
_ECHO: dict[str, Any] = {
    "background": False,
    "frequency_penalty": 0.0,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "moderation": None,
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "prompt_cache_retention": "24h",
    "reasoning": {"context": "all_turns", "effort": "medium", "mode": "standard", "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tool_usage": {"web_search": {"num_requests": 0}},
    "tools": [],
    "top_logprobs": 0,
    "top_p": 0.98,
    "truncation": "disabled",
    "user": None,
    "metadata": {},
}
# Our reason -> `incomplete_details.reason`; the others are of a response that is complete.
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter", "other": "steered"}


def tell(reply: Reply, seen: Seen) -> Status:
    """A reply in Responses, whole or as events."""
    asked, reason = body_of(seen), _INCOMPLETE.get(reason_of(reply))
    echo = merge(_ECHO, {name: asked[name] for name in _ECHO if asked.get(name) is not None})
    begun = {
        "id": "resp_fake",
        "object": "response",
        "created_at": CREATED,
        "status": "in_progress",
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "model": asked.get("model", "fake"),
        "output": [],
        "usage": None,
        **echo,
    }
    # Ids that differ from turn to turn, and not between one that is streamed and one that is not.
    mark = sha256(json.dumps(asked.get("input")).encode()).hexdigest()[:20]
    items = _items(reply, "incomplete" if reason else "completed", mark)
    ended = {
        **begun,
        "status": "incomplete" if reason else "completed",
        "completed_at": None if reason else CREATED + 2,
        "incomplete_details": {"reason": reason} if reason else None,
        "output": items,
        "usage": None if reply.usage is None else _usage(reply.usage),
    }
    if not asked.get("stream"):
        return Status(200, {**ended, "billing": {"payer": "developer"}})
    events = [{"type": f"response.{name}", "response": begun} for name in ("created", "in_progress")]
    for index, item in enumerate(items):
        events += _item(item, index, reply)
    events.append({"type": f"response.{ended['status']}", "response": ended})
    if inner(asked, "stream_options").get("include_obfuscation", True):
        events = [{**e, "obfuscation": "x" * (9 - len(e["delta"]) % 8)} if "delta" in e else e for e in events]
    return Status(200, named_events({**e, "sequence_number": n} for n, e in enumerate(events)), EVENTS)


def _items(reply: Reply, status: str, mark: str) -> list[dict[str, Any]]:
    """The output; of one that is incomplete it is the last item that was cut."""
    items: list[dict[str, Any]] = []
    if reply.thinking:
        summary = [{"type": "summary_text", "text": reply.thinking}]
        sealed = {"encrypted_content": opaque(reply.thinking), "summary": summary}
        items.append({"id": f"rs_{mark}", "type": "reasoning", "content": [], **sealed})
    parts: list[dict[str, Any]] = []
    if reply.text or not (reply.thinking or reply.tool_calls or reason_of(reply) == "refusal"):
        parts.append({"type": "output_text", "annotations": [], "logprobs": [], "text": reply.text})
    if reason_of(reply) == "refusal":
        parts.append({"type": "refusal", "refusal": reply.refusal})
    if parts:
        phase = {"phase": "commentary" if reply.tool_calls else "final_answer"} if reply.thinking else {}
        message = {"id": f"msg_{mark}", "type": "message", "status": "completed", "content": parts}
        items.append({**message, **phase, "role": "assistant"})
    for number, call in enumerate(reply.tool_calls):
        said = {"arguments": arguments_of(call), "call_id": call.id, "name": call.name}
        items.append({"id": f"fc_{mark}{number}", "type": "function_call", "status": "completed", **said})
    if items and "status" in items[-1]:
        items[-1]["status"] = status
    return items


def _usage(usage: Usage) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if usage.cached_tokens is not None:
        details["input_tokens_details"] = {"cache_write_tokens": 0, "cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens is not None:
        details["output_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    total = sum_of(usage.input_tokens, usage.output_tokens)
    return {
        **given(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, total_tokens=total),
        **details,
    }


# An item when it is begun. What is sealed in it then is not what it will be.
_BEGUN: dict[str, dict[str, Any]] = {
    "reasoning": {"encrypted_content": opaque("unfinished"), "summary": []},
    "message": {"status": "in_progress", "content": []},
    "function_call": {"status": "in_progress", "arguments": ""},
}


def _item(item: dict[str, Any], index: int, reply: Reply) -> list[dict[str, Any]]:
    """The events of one item of the output."""
    at = {"item_id": item["id"], "output_index": index}
    inside: list[dict[str, Any]] = []
    if item["type"] == "reasoning":
        at["summary_index"] = 0
        inside = _part("reasoning_summary_part", "reasoning_summary_text", item["summary"][0], at)
    elif item["type"] == "message":
        for number, part in enumerate(item["content"]):
            pieces = reply.pieces if part["type"] == "output_text" else None
            inside += _part("content_part", part["type"], part, {**at, "content_index": number}, pieces)
    else:
        name = "response.function_call_arguments"
        inside = [{"type": f"{name}.delta", **at, "delta": piece} for piece in pieces_of(item["arguments"])]
        inside.append({"type": f"{name}.done", **at, "arguments": item["arguments"]})
    begun = {**item, **_BEGUN[item["type"]]}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": begun},
        *inside,
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def _part(
    frame: str, name: str, part: dict[str, Any], at: dict[str, Any], pieces: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """The events of one part of an item: begun, its text in pieces and whole, ended."""
    said = "refusal" if part["type"] == "refusal" else "text"
    more: dict[str, Any] = {"logprobs": []} if part["type"] == "output_text" else {}
    return [
        {"type": f"response.{frame}.added", **at, "part": {**part, said: ""}},
        *[{"type": f"response.{name}.delta", **at, **more, "delta": p} for p in pieces_of(part[said], pieces)],
        {"type": f"response.{name}.done", **at, **more, said: part[said]},
        {"type": f"response.{frame}.done", **at, "part": part},
    ]


def tell_bad_key(seen: Seen) -> Status:
    """That a key is missing or wrong."""
    error = {"message": "Incorrect API key provided.", "type": "invalid_request_error", "param": None}
    return Status(401, {"error": {**error, "code": "invalid_api_key"}})

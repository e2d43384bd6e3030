"""What Anthropic's server says: its Messages, its list of models, how it refuses a key.

Source: the SDK of November 2026 (anthropic 2.12) with the traffic recorded for its tests.
"""

from __future__ import annotations

from ._common import (
    EVENTS,
    arguments_of,
    body_of,
    given,
    less,
    named_events,
    object_of,
    opaque,
    pieces_of,
    query_of,
    reason_of,
)
from .rows import laid, name_of, page_size
from .values import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..llm import Usage
    from .rows import Row
    from .values import Reply, Seen

_REQUEST = "req_fake"
# A pause is an end that has no word among ours.
_STOP = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "refusal": "refusal",
    "content_filter": "refusal",
    "other": "pause_turn",
}


def tell(reply: Reply, seen: Seen) -> Status:
    """It has no content filter, which is told as a refusal."""
    asked = body_of(seen)
    reason = _STOP.get(reason_of(reply), "pause_turn")
    details = {"type": "refusal", "category": None, "explanation": reply.refusal or None}
    end = {"stop_reason": reason, "stop_sequence": None, "stop_details": details if reason == "refusal" else None}
    blocks = _blocks(reply)
    usage = _usage(reply.usage)
    message = {
        "model": asked.get("model", "fake"),
        "id": "msg_fake",
        "type": "message",
        "role": "assistant",
        "content": [block for block, _, _ in blocks],
        **end,
        "usage": {**usage, **_BESIDE_USAGE} if usage else {},
    }
    headers = {"request-id": _REQUEST}
    if not asked.get("stream"):
        return Status(200, message, headers)
    first = {name: count for name, count in message["usage"].items() if name != "output_tokens_details"}
    if "output_tokens" in first:
        first["output_tokens"] = min(2, first["output_tokens"])
    nothing: dict[str, Any] = {"content": [], "stop_reason": None, "stop_details": None, "usage": first}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {**message, **nothing}}]
    for index, (_, begun, deltas) in enumerate(blocks or [({}, {"type": "text", "text": ""}, [])]):
        events.append({"type": "content_block_start", "index": index, "content_block": begun})
        events += [] if index else [{"type": "ping"}]
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    events += [{"type": "message_delta", "delta": end, "usage": usage}, {"type": "message_stop"}]
    return Status(200, [_padded(piece) for piece in named_events(events)], {**headers, **EVENTS})


def _padded(event: bytes) -> bytes:
    """Spaces before the last brace, more or fewer, as recorded streams have them."""
    return event[:-3] + b" " * (len(event) % 7) + event[-3:]


def _blocks(reply: Reply) -> list[tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]]:
    """Each block whole, as a stream begins it, and its deltas."""
    found: list[tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]] = []
    if reply.thinking:
        signed = {"type": "signature_delta", "signature": opaque(reply.thinking)}
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces_of(reply.thinking)]
        whole = {"type": "thinking", "thinking": reply.thinking, "signature": signed["signature"]}
        found.append((whole, {"type": "thinking", "thinking": "", "signature": ""}, [*deltas, signed]))
    if reply.text:
        deltas = [{"type": "text_delta", "text": piece} for piece in pieces_of(reply.text, reply.pieces)]
        found.append(({"type": "text", "text": reply.text}, {"type": "text", "text": ""}, deltas))
    for call in reply.tool_calls:
        head = {"type": "tool_use", "id": call.id, "name": call.name}
        direct = {"caller": {"type": "direct"}}
        pieces = pieces_of(arguments_of(call)) if call.arguments or call.malformed is not None else ()
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *pieces)]
        found.append(({**head, "input": object_of(call), **direct}, {**head, "input": {}, **direct}, deltas))
    return found


# What stands beside the counts, save at the end of a stream.
_BESIDE_USAGE: dict[str, Any] = {
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
    "service_tier": "standard",
    "inference_geo": "global",
}


def _usage(usage: Usage | None) -> dict[str, Any]:
    """Counts as they are kept there: what came from a cache is no part of the input."""
    if usage is None:
        return {}
    found: dict[str, Any] = given(
        input_tokens=less(usage.input_tokens, usage.cached_tokens), output_tokens=usage.output_tokens
    )
    if usage.cached_tokens is not None:
        found.update(cache_creation_input_tokens=0, cache_read_input_tokens=usage.cached_tokens)
    if usage.reasoning_tokens is not None:
        found["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return found


_YES = {"supported": True}
_MODEL: dict[str, Any] = {
    "created_at": "2026-10-07T00:00:00Z",
    "lifecycle": "active",
    "line": "fake",
    "max_input_tokens": 1000000,
    "max_tokens": 128000,
    "capabilities": {
        "effort": {"supported": True, "low": _YES, "medium": _YES, "high": _YES, "xhigh": _YES, "max": _YES},
        "image_input": _YES,
        "structured_outputs": _YES,
        "thinking": {
            "supported": True,
            "types": {"adaptive": _YES, "enabled": _YES, "disabled": _YES, "between_tools": {"supported": False}},
        },
    },
}


def list_models(models: Sequence[Row], seen: Seen) -> Status:
    """A page of the models."""
    ids, query = [name_of(row) for row in models], query_of(seen)
    after = query.get("after_id")
    begin = 0 if after is None else ids.index(after) + 1 if after in ids else len(ids)
    end = begin + page_size(query.get("limit"), 20)
    data = []
    for name, row in zip(ids[begin:end], models[begin:end]):
        head = {"type": "model", "id": name, "display_name": name, "deprecated_at": None, "retires_at": None}
        data.append({**head, **laid(_MODEL, row)})
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return Status(200, {"data": data, "has_more": end < len(ids), "first_id": first, "last_id": last})


def tell_bad_key(seen: Seen) -> Status:
    """That a key is missing or wrong."""
    error = {"type": "authentication_error", "message": "invalid x-api-key"}
    return Status(401, {"type": "error", "error": error, "request_id": _REQUEST})

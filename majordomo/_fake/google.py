"""What Google's server says: Gemini's replies and pictures, its list of models, how it refuses a key.

Source: the SDK of November 2026 (google-genai 3.4) with the traffic recorded for its tests.
"""

from __future__ import annotations

from ._common import (
    base64_of,
    body_of,
    dumps,
    given,
    images_of,
    inner,
    less,
    mime_of,
    object_of,
    opaque,
    path_of,
    pieces_of,
    query_of,
    reason_of,
    sum_of,
)
from .rows import laid, name_of, page_size
from .values import RED, VERBS, Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..llm import ToolCall, Usage
    from .rows import Row
    from .values import Drawing, Reply, Seen

_JSON = {"Content-Type": "application/json; charset=UTF-8"}
# There is no word for calls either; whoever looks for them finds them.
_STOP = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "refusal": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
}


def draws(seen: Seen) -> bool:
    """Whether pictures are wanted, which the body tells: one path serves both."""
    wanted = inner(body_of(seen), "generationConfig").get("responseModalities")
    return path_of(seen).endswith(VERBS) and isinstance(wanted, list) and "IMAGE" in wanted


def _streams(seen: Seen) -> bool:
    return path_of(seen).endswith(VERBS[1])


def _as_events(seen: Seen) -> bool:
    """Whether a stream is to be one of events, where it would be an array."""
    return query_of(seen).get("alt") == "sse"


def tell(reply: Reply, seen: Seen) -> Status:
    """It has no refusal, which is told as text that ends with STOP."""
    finish = _STOP.get(reason_of(reply), "OTHER")
    seal = {"thoughtSignature": opaque(reply.thinking)} if reply.thinking else {}
    calls = [_call(call) for call in reply.tool_calls]
    if calls:
        calls[0].update(seal)
    if not _streams(seen):
        thought = [{"text": reply.thinking, "thought": True}] if reply.thinking else []
        said: list[dict[str, Any]] = [{"text": reply.text + reply.refusal}] if reply.text or reply.refusal else []
        if not calls and not said and (seal or finish == "STOP"):
            said = [{"text": ""}]
        if said and not calls:
            said[-1].update(seal)
        candidate = _candidate([*thought, *said, *calls], finish)
        if calls:
            candidate["finishMessage"] = "Model generated function call(s)."
        return _answer([candidate], reply.usage, seen)
    parts: list[dict[str, Any]] = [{"text": piece, "thought": True} for piece in pieces_of(reply.thinking)]
    parts += [{"text": piece} for piece in (*pieces_of(reply.text, reply.pieces), *pieces_of(reply.refusal))]
    last = {"text": "", **({} if calls else seal)}
    ending = [last] if finish == "STOP" or len(last) > 1 else []
    chunks = [_candidate([part]) for part in (*parts, *calls)]
    return _answer([*chunks, _candidate(ending, finish)], reply.usage, seen)


def tell_drawing(drawing: Drawing, seen: Seen) -> Status:
    """Pictures, one unless some are given, and never where they are."""
    datas = images_of(drawing) or [RED]
    parts = [{"inlineData": {"mimeType": mime_of(data), "data": base64_of(data)}} for data in datas]
    return _answer([_candidate(parts, "STOP")], None, seen)


def _call(call: ToolCall) -> dict[str, Any]:
    """What is empty is left out, as proto-JSON does."""
    said = {"name": call.name, "args": object_of(call), "id": call.id}
    return {"functionCall": {name: value for name, value in said.items() if value or name == "name"}}


def _candidate(parts: list[dict[str, Any]], finish: str = "") -> dict[str, Any]:
    content: dict[str, Any] = {"parts": parts, "role": "model"} if parts else {"role": "model"}
    found: dict[str, Any] = {"content": content}
    if finish == "SAFETY":
        rating = {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True}
        found = {"content": content if parts else {}, "safetyRatings": [rating]}
    return {**found, **({"finishReason": finish} if finish else {}), "index": 0}


def _answer(candidates: list[dict[str, Any]], usage: Usage | None, seen: Seen) -> Status:
    """Candidates as chunks of one answer: whole, as events, or as an array."""
    answers = []
    for number, candidate in enumerate(candidates, 1):
        answer: dict[str, Any] = {"candidates": [candidate]}
        if usage is not None:
            answer["usageMetadata"] = _usage(usage, number, len(candidates))
        answers.append({**answer, "modelVersion": seen.model or "fake", "responseId": "fake"})
    if not _streams(seen):
        return Status(200, answers[0], _JSON)
    if _as_events(seen):
        events = [b"data: %s\r\n\r\n" % dumps(answer) for answer in answers]
        return Status(200, events, {"Content-Type": "text/event-stream", "Content-Disposition": "attachment"})
    rows = [(b",\n" if number else b"[") + dumps(answer) + b"\n" for number, answer in enumerate(answers)]
    return Status(200, [*rows, b"]\n"], _JSON)


def _usage(usage: Usage, number: int, of: int) -> dict[str, Any]:
    """Counts up to a chunk. Thoughts are no part of what candidates hold; before the end zeros are not told."""
    candidates = less(usage.output_tokens, usage.reasoning_tokens)
    if candidates is not None and number < of:
        candidates = candidates * number // of or None
    return {
        **given(
            promptTokenCount=usage.input_tokens,
            cachedContentTokenCount=usage.cached_tokens,
            candidatesTokenCount=candidates,
            totalTokenCount=sum_of(usage.input_tokens, (candidates or 0) + (usage.reasoning_tokens or 0)),
            thoughtsTokenCount=usage.reasoning_tokens,
        ),
        "serviceTier": "standard",
    }


def list_models(models: Sequence[Row], seen: Seen) -> Status:
    """A page of the models."""
    query = query_of(seen)
    token = query.get("pageToken", "")
    begin = int(token[2:]) if token[2:].isdigit() else len(models) if token else 0
    end = begin + page_size(query.get("pageSize"), 50)
    found: dict[str, Any] = {"models": [_model(row) for row in models[begin:end]]}
    if end < len(models):
        found["nextPageToken"] = f"at{end}"
    return Status(200, found)


def _model(row: Row) -> dict[str, Any]:
    name = name_of(row)
    head = {
        "name": name if name.startswith(("models/", "tunedModels/")) else f"models/{name}",
        "version": "001",
        "displayName": name,
        "description": "A model of the fake server.",
        "inputTokenLimit": 1048576,
        "outputTokenLimit": 65536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
        "temperature": 1,
        "topP": 0.95,
        "topK": 64,
        "maxTemperature": 2,
        "thinking": True,
    }
    return laid(head, row)


_BAD_KEY = {
    "error": {
        "code": 400,
        "message": "API key not valid. Please pass a valid API key.",
        "status": "INVALID_ARGUMENT",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "API_KEY_INVALID",
                "domain": "googleapis.com",
                "metadata": {"service": "generativelanguage.googleapis.com"},
            }
        ],
    }
}


def tell_bad_key(seen: Seen) -> Status:
    """That a key is missing or wrong; what would have been an array is one."""
    return Status(400, [_BAD_KEY] if _streams(seen) and not _as_events(seen) else _BAD_KEY)

"""What Ollama's server says in its own words: replies, what it has and runs, how it refuses a key.

Source: Ollama 0.33, `api/types.go` and `server/routes.go`.
"""

from __future__ import annotations

from hashlib import sha256

from ._common import body_of, dumps, object_of, path_of, pieces_of, reason_of
from .rows import laid, name_of
from .values import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..llm import ToolCall, Usage
    from .rows import Row
    from .values import Reply, Seen

# The questions, and what a key is needed for besides.
PATHS = ("/api/chat", "/api/generate")
MANAGED = ("/api/tags", "/api/ps", "/api/show", "/api/version")
_NOW = "2026-11-22T10:00:00.104729Z"
_STOP = {"stop": "stop", "tool_calls": "stop", "refusal": "stop", "length": "length"}
_SIZE = 6600000000
_DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "fake",
    "families": ["fake"],
    "parameter_size": "14B",
    "quantization_level": "Q4_K_M",
}
_CAN = ["completion", "tools", "vision", "thinking"]


def tell(reply: Reply, seen: Seen) -> Status:
    """It knows two ends, and none is a refusal, which is told as text; the others get a word that nobody knows."""
    calls = [_call(call, index) for index, call in enumerate(reply.tool_calls)]
    ended: dict[str, Any] = {
        "done": True,
        "done_reason": _STOP.get(reason_of(reply), "unknown"),
        "total_duration": 2183771250,
        "load_duration": 61240500,
        **_usage(reply.usage),
    }
    if body_of(seen).get("stream") is False:
        more: dict[str, Any] = {"thinking": reply.thinking} if reply.thinking else {}
        more.update({"tool_calls": calls} if calls else {})
        return Status(200, {**_said(seen, reply.text + reply.refusal, **more), **ended})
    lines = [_said(seen, "", thinking=piece) for piece in pieces_of(reply.thinking)]
    lines += [_said(seen, p) for p in (*pieces_of(reply.text, reply.pieces), *pieces_of(reply.refusal))]
    lines += [_said(seen, "", tool_calls=[call]) for call in calls]
    lines = [{**line, "done": False} for line in lines]
    lines.append({**_said(seen, ""), **ended})
    return Status(200, [dumps(line) + b"\n" for line in lines], {"Content-Type": "application/x-ndjson"})


def _said(seen: Seen, text: str, **more: Any) -> dict[str, Any]:
    head = {"model": seen.model or "fake", "created_at": _NOW}
    if path_of(seen).endswith("/api/generate"):
        return {**head, "response": text, **more}
    return {**head, "message": {"role": "assistant", "content": text, **more}}


def _call(call: ToolCall, index: int) -> dict[str, Any]:
    function = {"index": index, "name": call.name, "arguments": object_of(call)}
    return {**({"id": call.id} if call.id else {}), "function": function}


def _usage(usage: Usage | None) -> dict[str, int]:
    """Neither caches nor reasoning are counted there, and a count of zero is not told."""
    found: dict[str, int] = {}
    for name, count in (("prompt_eval", usage and usage.input_tokens), ("eval", usage and usage.output_tokens)):
        if count:
            found.update({f"{name}_count": count, f"{name}_duration": count * 1000000})
    return found


def loads(seen: Seen) -> bool:
    """Whether a question of Ollama's is none, but has its model loaded or unloaded."""
    path, asked = path_of(seen), seen.json
    if seen.method != "POST" or not path.endswith(PATHS) or not isinstance(asked, dict):
        return False
    return not asked.get("messages" if path.endswith("/api/chat") else "prompt")


def unloads(seen: Seen) -> bool:
    """Whether the model is to go at once."""
    keep = body_of(seen).get("keep_alive")
    return loads(seen) and not isinstance(keep, bool) and keep in (0, "0", "0s")


def tell_loaded(seen: Seen) -> Status:
    """That a model was loaded or unloaded, which is all that was asked for."""
    return Status(200, {**_said(seen, ""), "done": True, "done_reason": "unload" if unloads(seen) else "load"})


def tell_tags(models: Sequence[Row]) -> Status:
    """What Ollama has."""
    return Status(200, {"models": [_row(row) for row in models]})


def tell_ps(models: Sequence[Row], running: Sequence[str]) -> Status:
    """What Ollama runs."""
    own = {name_of(row): row for row in models}
    rows = []
    for name in running:
        row = _row(own.get(name, name))
        kept: dict[str, Any] = {key: row[key] for key in ("name", "model", "size", "digest", "details") if key in row}
        rows.append({**kept, "expires_at": "2026-11-22T10:05:00Z", "size_vram": _SIZE, "context_length": 32768})
    return Status(200, {"models": rows})


def _row(own: Row) -> dict[str, Any]:
    name = name_of(own)
    digest = sha256(name.encode("utf-8", "replace")).hexdigest()
    row: dict[str, Any] = {"name": name, "model": name, "modified_at": _NOW, "size": _SIZE, "digest": digest}
    return laid({**row, "details": _DETAILS, "capabilities": _CAN}, own)


def tell_show(models: Sequence[Row], seen: Seen) -> Status:
    """What Ollama knows of a model; a name without a tag is the latest."""
    body = body_of(seen)
    asked = body.get("model") or body.get("name") or ""
    for row in models:
        if _tagged(name_of(row)) == _tagged(str(asked)):
            info = {"general.architecture": "fake", "fake.context_length": 131072}
            shown: dict[str, Any] = {
                "modelfile": "FROM fake\n",
                "parameters": "",
                "template": "{{ .Prompt }}",
                "details": _DETAILS,
                "model_info": info,
                "capabilities": _CAN,
                "modified_at": _NOW,
            }
            return Status(200, laid(shown, row))
    return Status(404, {"error": f"model '{asked}' not found"})


def _tagged(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def tell_version() -> Status:
    """Which Ollama it is."""
    return Status(200, {"version": "0.33.0"})


def tell_bad_key(seen: Seen) -> Status:
    """That a key is missing or wrong."""
    return Status(401, {"error": "unauthorized"})

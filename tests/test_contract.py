"""Every wire passes the same suite: a scheme is a row here, a new wire one more with its reader."""

from __future__ import annotations

import json
from base64 import b64decode

import pytest

pytest.register_assert_rewrite("contract")

from contract import Contract, Row, Sent, Turn, box, fake  # noqa: E402, F401  (fixtures)


def _openai_turn(message):
    turn = Turn(
        {"developer": "system"}.get(message["role"], message["role"]), thinking=message.get("reasoning_content", "")
    )
    content = message["content"]
    for part in [{"type": "text", "text": content}] if isinstance(content, str) else content or ():
        if part["type"] == "text":
            turn.text += part["text"]
            turn.order.append("text")
        else:
            head, _, data = part["image_url"]["url"].partition(",")
            picture = b64decode(data, validate=True)
            assert head == f"data:image/{'png' if picture[1:4] == b'PNG' else 'jpeg'};base64"
            turn.pictures.append(picture)
            turn.order.append("image")
    for call in message.get("tool_calls", ()):
        assert call["type"] == "function"
        turn.calls.append((call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])))
    turn.answers = message.get("tool_call_id")
    return turn


_OPENAI_SETTINGS = {
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "stop": "stop",
    "seed": "seed",
    "reasoning_effort": "reasoning",
}


def read_openai(seen):
    """A request of Chat Completions; fails at what does not belong there."""
    assert seen.path.endswith("/v1/chat/completions")
    body = seen.json
    sent = Sent(body.pop("model"), stream=body.pop("stream", False))
    options = body.pop("stream_options", None)
    assert options == ({"include_usage": True} if sent.stream else None)
    body.pop("chat_template_kwargs", None)
    turns = [_openai_turn(message) for message in body.pop("messages")]
    if turns[0].role == "system":
        sent.system = turns.pop(0).text
    sent.turns = turns
    for tool in body.pop("tools", ()):
        assert tool["type"] == "function"
        function = tool["function"]
        sent.tools[function["name"]] = (function.get("description", ""), function["parameters"])
    choice = body.pop("tool_choice", "auto")
    sent.choice = choice if isinstance(choice, str) else choice["function"]["name"]
    if "response_format" in body:
        wanted = body.pop("response_format")
        assert wanted["type"] == "json_schema"
        sent.schema = wanted["json_schema"]["schema"]
    sent.settings = {_OPENAI_SETTINGS[name]: body.pop(name) for name in list(body) if name in _OPENAI_SETTINGS}
    assert body == {}
    return sent


def _openai_event(value):
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _openai_text(text):
    return _openai_event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})


OPENAI = Row(
    "openai",
    read=read_openai,
    error=lambda status, words: {"error": {"message": words, "type": "some_error", "param": None, "code": None}},
    half=(_openai_text("Half"), _openai_text(" an")),
    broken=(
        _openai_text("Half"),
        _openai_text(" an"),
        _openai_event({"error": {"message": "Overloaded.", "code": 503}}),
    ),
    web={"Content-Type": "text/event-stream"},
    levels={"off": "none", "minimal": "minimal", "low": "low", "medium": "medium", "high": "high", "max": "high"},
)

ROWS = [
    OPENAI,
    Row(**{**vars(OPENAI), "scheme": "llama-swap"}),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.scheme for row in ROWS])
class TestWires(Contract):
    """The suite, once for each row."""

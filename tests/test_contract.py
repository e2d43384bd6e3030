"""Every wire passes the same suite: a scheme is a row here, a new wire one more with its reader."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from contract import Contract, Row, box, fake  # noqa: F401  (fixtures)
from readers import READERS

from majordomo.providers import SCHEMES

STREAM = {"Content-Type": "text/event-stream"}


def _event(value, name=""):
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(value)}\n\n".encode()


def _openai_text(text):
    return _event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})


def _responses_event(name, **more):
    return _event({"type": name, **more}, name)


_RESPONSES_HALF = (
    _responses_event("response.created", response={"id": "resp_1", "status": "in_progress", "output": []}),
    _responses_event(
        "response.output_item.added",
        output_index=0,
        item={"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []},
    ),
    *(
        _responses_event("response.output_text.delta", item_id="msg_1", output_index=0, content_index=0, delta=text)
        for text in ("Half", " an")
    ),
)

_ANTHROPIC_HALF = (
    _event(
        {
            "type": "message_start",
            "message": {"type": "message", "role": "assistant", "content": [], "usage": {"input_tokens": 3}},
        },
        "message_start",
    ),
    _event(
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        "content_block_start",
    ),
    *(
        _event(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
            "content_block_delta",
        )
        for text in ("Half", " an")
    ),
)


def _google_text(text):
    return _event({"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}]})


def _line(value):
    return json.dumps(value).encode() + b"\n"


def _ollama_text(text):
    return _line({"model": "m", "message": {"role": "assistant", "content": text}, "done": False})


OPENAI = Row(
    "openai",
    read=READERS["openai"],
    error=lambda status, words: {"error": {"message": words, "type": "some_error", "param": None, "code": None}},
    half=(_openai_text("Half"), _openai_text(" an")),
    broken=(_openai_text("Half"), _openai_text(" an"), _event({"error": {"message": "Overloaded.", "code": 503}})),
    web=STREAM,
    levels={"off": "none", "minimal": "minimal", "low": "low", "medium": "medium", "high": "high", "max": "high"},
)
RESPONSES = replace(
    OPENAI,
    scheme="openai-responses",
    read=READERS["openai-responses"],
    half=_RESPONSES_HALF,
    broken=(
        *_RESPONSES_HALF,
        _responses_event(
            "error", error={"type": "server_error", "code": "server_is_overloaded", "message": "Overloaded."}
        ),
    ),
    lacks=("stop", "seed"),
)
_ADAPTIVE = {"type": "adaptive", "display": "summarized"}
ANTHROPIC = Row(
    "anthropic",
    read=READERS["anthropic"],
    error=lambda status, words: {"type": "error", "error": {"type": "some_error", "message": words}},
    half=_ANTHROPIC_HALF,
    broken=(
        *_ANTHROPIC_HALF,
        _event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded."}}, "error"),
    ),
    web=STREAM,
    levels={
        "off": (None, "low"),
        "minimal": (_ADAPTIVE, "low"),
        **{level: (_ADAPTIVE, level) for level in ("low", "medium", "high", "max")},
    },
    instead={"content_filter": "refusal"},
    lacks=("temperature", "top_p", "seed"),
    forced="name",
    unheld=("a recursive dict", "a recursive class", "an open class"),
)
GOOGLE = Row(
    "google",
    read=READERS["google"],
    error=lambda status, words: {"error": {"code": status, "message": words, "status": "SOME_STATUS"}},
    half=(_google_text("Half"), _google_text(" an")),
    broken=(
        _google_text("Half"),
        _google_text(" an"),
        _event({"error": {"code": 503, "message": "Overloaded.", "status": "UNAVAILABLE"}}),
    ),
    web=STREAM,
    levels={
        "off": {"thinkingBudget": 0},
        **{
            level: {"includeThoughts": True, "thinkingLevel": sent}
            for level, sent in (
                ("minimal", "LOW"),
                ("low", "LOW"),
                ("medium", "MEDIUM"),
                ("high", "HIGH"),
                ("max", "HIGH"),
            )
        },
    },
    instead={"refusal": "stop"},
    forced="name",
    zeros=False,
)
OLLAMA = Row(
    "ollama",
    read=READERS["ollama"],
    error=lambda status, words: {"error": words},
    half=(_ollama_text("Half"), _ollama_text(" an")),
    broken=(_ollama_text("Half"), _ollama_text(" an"), _line({"error": "Overloaded."})),
    web={"Content-Type": "application/x-ndjson"},
    levels={"off": False, "minimal": "low", "low": "low", "medium": "medium", "high": "high", "max": "max"},
    instead={"refusal": "stop", "content_filter": "other"},
    counts=(),
    forced="words",
    ordered=False,
    joint="\n",
    zeros=False,
)

ROWS = [
    OPENAI,
    replace(OPENAI, scheme="llama-swap"),
    RESPONSES,
    ANTHROPIC,
    GOOGLE,
    replace(GOOGLE, scheme="gemini"),
    OLLAMA,
    replace(OLLAMA, scheme="foreman"),
    replace(OLLAMA, scheme="ollama-cloud", enforced=False),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.scheme for row in ROWS])
class TestWires(Contract):
    """The suite, once for each row."""


def test_every_scheme_has_a_row():
    """A scheme that is not here would be asked by nobody; `llama-swaps` is `llama-swap` over TLS, and nothing else."""
    assert {row.scheme for row in ROWS} == SCHEMES.keys() - {"llama-swaps"}

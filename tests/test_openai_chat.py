"""The wire of OpenAI's Chat Completions and its lookalikes, against the answers that servers give.

`data/openai_chat` holds the answers, `expect.json` beside them what each of them means.
"""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path

import pytest
from helpers import ODD_BODIES, mutated, told_of

from majordomo import (
    APIError,
    ErrorKind,
    Image,
    MajordomoError,
    Message,
    ProtocolError,
    Registry,
    Request,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    TruncatedError,
    UnsupportedError,
    assistant,
    classify,
    tool_result,
    user,
)
from majordomo._events import EventDecoder
from majordomo.llm import Response, Usage
from majordomo.testing import FakeServer, Status
from majordomo.wires import openai_chat as wire
from majordomo.wires._shared import Remedy

DATA = Path(__file__).parent / "data" / "openai_chat"
FILES = json.loads((DATA / "expect.json").read_text("utf-8"))["files"]
BODIES = {name: (DATA / name).read_bytes() for name in FILES}

OFFICIAL = wire.Quirks(official=True)
LOOKALIKE = wire.Quirks()
LLAMA_SWAP = wire.Quirks(token_limit="max_tokens", loading_state=True, thinking_switch=True)

MANAGED = (
    "-models",
    "-running",
    "-health",
    "-props",
    "-version",
    "-profiles",
    "-unload-",
    "request-full",
    "-embeddings",
)
CHAT = {n: f for n, f in FILES.items() if f["status"] == 200 and not any(part in n for part in MANAGED)}
WHOLE = [name for name in CHAT if not name.endswith(".sse")]
STREAMS = [name for name in CHAT if name.endswith(".sse")]
REFUSED = [name for name, file in FILES.items() if file["status"] != 200]
SCHEMA = {"type": "object"}


def quirks_of(name):
    """The quirks of the server that gave an answer."""
    return {"openai": OFFICIAL, "llama": LLAMA_SWAP}.get(name.partition("-")[0], LOOKALIKE)


def schema_of(name):
    """A schema, for the answers that are answers to one."""
    return SCHEMA if "json" in FILES[name].get("expect", {}) else None


def decode(name, quirks=None):
    """A whole answer, through the wire module alone."""
    return wire.decode(json.loads(BODIES[name]), quirks or quirks_of(name), schema_of(name))


def decode_stream(chunks, quirks=LOOKALIKE, schema=None):
    """A stream that came in these chunks, through the wire module alone: (response, deltas).

    An error carries what had arrived, as it does behind the transport.
    """
    events, decoder, deltas = EventDecoder(), wire.StreamDecoder(quirks, schema), []
    try:
        for chunk in chunks:
            for name, data in events.feed(chunk):
                deltas += decoder.feed(name, data)
        for name, data in events.close():
            if is_json(data):  # an event that the end has cut is none
                deltas += decoder.feed(name, data)
        deltas += decoder.close()
        return decoder.response(), deltas
    except MajordomoError as exc:
        exc.partial = exc.partial or decoder.partial
        raise


def is_json(data):
    try:
        return json.loads(data) is not Ellipsis
    except (ValueError, RecursionError):
        return data.startswith(b"[DONE]")


def one_chunk(data):
    return [data]


def single_bytes(data):
    return [data[at : at + 1] for at in range(len(data))]


def random_cuts(data, seed=0):
    rng, at, pieces = random.Random(seed), 0, []
    while at < len(data):
        size = rng.choice((1, 2, 3, 7, 50, 400))
        pieces.append(data[at : at + size])
        at += size
    return pieces


def check(expect, ask):
    """Hold what `ask` gives, a response or an error, against a row of `expect.json`; gives both."""
    fails = "error" in expect or "kind" in expect or "says" in expect
    if fails:
        with pytest.raises(MajordomoError) as caught:
            ask()
        _check_error(expect, caught.value)
        return None, caught.value
    response = ask()
    check_response(expect, response)
    return response, None


def _check_error(expect, error):
    wanted = {"truncated": TruncatedError, "protocol": ProtocolError}.get(expect.get("error"), APIError)
    assert type(error) is wanted
    assert "\n" not in str(error)
    if "kind" in expect:
        assert classify(error) is ErrorKind[expect["kind"]]
    if "says" in expect:
        assert expect["says"] in error.message or expect["says"] == error.code
    if "retry_after" in expect:
        assert error.retry_after == pytest.approx(expect["retry_after"])
    if "partial_text" in expect:
        assert error.partial == expect["partial_text"]


def check_response(expect, response):
    """Hold a response against a row."""
    assert type(response) is Response
    for name in ("text", "thinking", "refusal", "stop_reason"):
        if name in expect:
            assert getattr(response, name) == expect[name], name
    if "usage" in expect:
        assert response.usage == Usage(*(expect["usage"] or ()))
    if "json" in expect:
        assert response.parsed == expect["json"]
    if "tool_calls" in expect:
        found = response.tool_calls
        assert [(call.name, call.arguments) for call in found] == [(n, a) for _, n, a in expect["tool_calls"]]
        assert all(id in (None, call.id) for call, (id, _, _) in zip(found, expect["tool_calls"]))
    ids = [call.id for call in response.tool_calls]
    assert all(ids)
    assert len(set(ids)) == len(ids)


# --- answers, through the wire module alone


@pytest.mark.parametrize("name", [n for n in WHOLE if b"<html" not in BODIES[n]])
def test_decode(name):
    """An answer becomes the response, or the error, written beside it."""
    check(CHAT[name].get("expect", {}), lambda: decode(name))


@pytest.mark.parametrize("name", [n for n in WHOLE if b"<html" not in BODIES[n]])
def test_decode_says_the_same_of_every_server(name):
    """Samples of one server read the same by the quirks of another: nothing depends on knowing it."""
    for quirks in (OFFICIAL, LOOKALIKE, LLAMA_SWAP):
        check(CHAT[name].get("expect", {}), lambda quirks=quirks: decode(name, quirks))


@pytest.mark.parametrize("cut", [one_chunk, single_bytes, random_cuts])
@pytest.mark.parametrize("name", STREAMS)
def test_decode_stream(name, cut):
    """A stream becomes the response or the error written beside it, also byte by byte."""
    check(CHAT[name].get("expect", {}), lambda: decode_stream(cut(BODIES[name]), quirks_of(name))[0])


@pytest.mark.parametrize("name", STREAMS)
def test_deltas_of_a_stream_are_the_response(name):
    """The deltas joined are the response, and every cut of the bytes gives the same ones."""
    data, quirks = BODIES[name], quirks_of(name)
    try:
        response, deltas = decode_stream([data], quirks)
    except MajordomoError:
        return
    assert "".join(d.text for d in deltas if type(d) is TextDelta) == response.text
    assert "".join(d.text for d in deltas if type(d) is ThinkingDelta) == response.thinking
    calls = response.tool_calls
    for index, call in enumerate(calls):
        text = "".join(d.arguments for d in deltas if type(d) is ToolCallDelta and d.index == index)
        assert json.loads(text or "{}") == call.arguments
        assert {d.name for d in deltas if type(d) is ToolCallDelta and d.index == index} >= {call.name}
    for seed in range(5):
        again, same = decode_stream(random_cuts(data, seed), quirks)
        assert same == deltas
        assert (again.text, again.stop_reason, again.usage) == (response.text, response.stop_reason, response.usage)


@pytest.mark.parametrize("name", [n for n in WHOLE if CHAT[n].get("expect", {}).get("error") != "protocol"])
def test_a_whole_answer_to_a_stream_is_the_same_answer(name):
    """A server that answers a stream with one JSON document is understood as if it had been asked so."""
    expect = CHAT[name].get("expect", {})
    check(expect, lambda: decode_stream([BODIES[name]], quirks_of(name), schema_of(name))[0])


@pytest.mark.parametrize("name", ["openai-chat-tool-call-bad-arguments.json", "llama-cpp-chat-tool-call-cut.json"])
def test_arguments_that_are_no_json_are_kept(name):
    """Arguments that were cut are marked and kept as text; nothing is raised."""
    (call,) = decode(name).tool_calls
    sent = json.loads(BODIES[name])["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]
    assert (call.arguments, call.malformed) == ({}, sent)


def test_an_error_beside_half_an_answer_carries_it():
    """`.partial` holds what had arrived, also when the error came in the answer."""
    with pytest.raises(APIError) as caught:
        decode("compat-openrouter-error-in-choice.json")
    assert caught.value.partial == "It begins"


# --- small answers, one promise each


def answer(message, finish="stop", **more):
    return {"choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}], **more}


def as_stream(message, finish="stop", **more):
    """The same answer as one delta of a stream."""
    return [
        b"data: "
        + json.dumps({"choices": [{"index": 0, "delta": {"role": "assistant", **message}}]}).encode()
        + b"\n\n",
        b"data: "
        + json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}], **more}).encode()
        + b"\n\n",
        b"data: [DONE]\n\n",
    ]


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
MESSAGES = {
    "text": ({"content": "Hi."}, "stop", {"text": "Hi.", "stop_reason": "stop"}),
    "null": ({"content": None}, "stop", {"text": "", "stop_reason": "stop"}),
    "nothing": ({}, "stop", {"text": "", "stop_reason": "stop"}),
    "numbers": ({"content": 7, "reasoning": 8, "refusal": 9, "tool_calls": 10}, "stop", {"text": "", "thinking": ""}),
    "parts": ({"content": [{"type": "text", "text": "a"}, {"type": "x"}, None, {"text": "b"}]}, "stop", {"text": "ab"}),
    "reasoning_content": ({"content": "b", "reasoning_content": "a"}, "stop", {"thinking": "a", "text": "b"}),
    "reasoning": ({"content": "b", "reasoning": "a"}, "stop", {"thinking": "a", "text": "b"}),
    "both names of reasoning": (
        {"content": "b", "reasoning": "a", "reasoning_content": "a"},
        "stop",
        {"thinking": "a"},
    ),
    "think tags": ({"content": "<think>\na\n</think>\n\nb"}, "stop", {"thinking": "a", "text": "b"}),
    "think tags in the middle": (
        {"content": "b <think>a</think>"},
        "stop",
        {"thinking": "", "text": "b <think>a</think>"},
    ),
    "think tags behind reasoning": (
        {"content": "<think>b</think>c", "reasoning_content": "a"},
        "stop",
        {"thinking": "a", "text": "<think>b</think>c"},
    ),
    "refusal": ({"content": None, "refusal": "No."}, "stop", {"refusal": "No.", "stop_reason": "refusal", "text": ""}),
    "call": (
        {"tool_calls": [CALL]},
        "tool_calls",
        {"tool_calls": [["c1", "f", {"x": 1}]], "stop_reason": "tool_calls"},
    ),
    "call, stop": ({"tool_calls": [CALL]}, "stop", {"stop_reason": "tool_calls"}),
    "call, length": ({"tool_calls": [CALL]}, "length", {"stop_reason": "length"}),
    "text and call": (
        {"content": "So.", "tool_calls": [CALL]},
        "tool_calls",
        {"text": "So.", "stop_reason": "tool_calls"},
    ),
    "calls of one id": (
        {"tool_calls": [{**CALL, "index": 0}, {**CALL, "index": 1}]},
        "tool_calls",
        {"tool_calls": [["c1", "f", {"x": 1}], [None, "f", {"x": 1}]]},
    ),
    "no calls": ({"content": "Hi.", "tool_calls": []}, "stop", {"tool_calls": [], "stop_reason": "stop"}),
    "calls that are none": (
        {"content": "Hi.", "tool_calls": [None, 7, "x"]},
        "stop",
        {"tool_calls": [], "stop_reason": "stop"},
    ),
    "length": ({"content": "Hi"}, "length", {"stop_reason": "length"}),
    "filtered": ({"content": "Hi"}, "content_filter", {"stop_reason": "content_filter"}),
    "function_call": ({"content": "Hi"}, "function_call", {"stop_reason": "tool_calls"}),
    "unknown reason": ({"content": "Hi"}, "eos", {"stop_reason": "other"}),
    "surrogates": ({"content": "a\ud83d\ude00b"}, "stop", {"text": "a😀b"}),
}


@pytest.mark.parametrize(("message", "finish", "expect"), list(MESSAGES.values()), ids=list(MESSAGES))
def test_messages(message, finish, expect):
    """What a message says is read the same from an answer and from a stream."""
    check_response(expect, wire.decode(json.loads(json.dumps(answer(message, finish))), LOOKALIKE))
    check_response(expect, decode_stream(as_stream(message, finish))[0])


USAGES = {
    "all": (
        {
            "prompt_tokens": 9,
            "completion_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 5},
            "completion_tokens_details": {"reasoning_tokens": 3},
        },
        Usage(9, 7, 5, 3),
    ),
    "zeros": ({"prompt_tokens": 0, "completion_tokens": 0}, Usage(0, 0, None, None)),
    "details null": (
        {"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": None, "completion_tokens_details": None},
        Usage(1, 2, None, None),
    ),
    "DeepSeek's cache": (
        {"prompt_tokens": 6, "completion_tokens": 4, "prompt_cache_hit_tokens": 2},
        Usage(6, 4, 2, None),
    ),
    "null": (None, Usage()),
    "nonsense": ({"prompt_tokens": "9", "completion_tokens": -1, "prompt_tokens_details": [1]}, Usage()),
    "no object": ([9, 7], Usage()),
}


@pytest.mark.parametrize(("usage", "expect"), list(USAGES.values()), ids=list(USAGES))
def test_usage(usage, expect):
    """Counts are what the server said, `None` where it did not, in answers and in streams."""
    assert wire.decode(answer({"content": "Hi"}, usage=usage), LOOKALIKE).usage == expect
    assert decode_stream(as_stream({"content": "Hi"}, usage=usage))[0].usage == expect


def test_the_last_usage_of_a_stream_counts():
    """vLLM counts in each chunk, and the last count is the true one."""
    pieces = as_stream({"content": "Hi"}, usage={"prompt_tokens": 3, "completion_tokens": 1})
    pieces[2:2] = [b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}\n\n']
    assert decode_stream(pieces)[0].usage == Usage(3, 2, None, None)


LOADING = [
    b'data: {"choices":[{"delta":{"reasoning_content":"loading"}}]}\n\n',
    b'data: {"choices":[{"delta":{"role":"assistant","content":null},"index":0,"finish_reason":null}]}\n\n',
    b'data: {"choices":[{"delta":{"reasoning_content":"own"},"index":0,"finish_reason":null}],"id":"x"}\n\n',
    b'data: {"choices":[{"delta":{"content":"Hi"},"index":0,"finish_reason":"stop"}],"id":"x"}\n\n',
]


@pytest.mark.parametrize(
    ("quirks", "thinking"), [(LLAMA_SWAP, "own"), (LOOKALIKE, "loadingown")], ids=["llama-swap", "others"]
)
def test_loading_state(quirks, thinking):
    """llama-swap's news of loading are no thinking; elsewhere a delta of that shape is."""
    response, deltas = decode_stream(LOADING, quirks)
    assert (response.thinking, response.text) == (thinking, "Hi")
    assert "".join(d.text for d in deltas if type(d) is ThinkingDelta) == thinking


NONSENSE = {
    "null": None,
    "a number": 7,
    "a list": [],
    "no choices": {},
    "choices null": {"choices": None},
    "choices empty": {"choices": []},
    "a choice that is none": {"choices": ["x"]},
    "no message": {"choices": [{"index": 0, "finish_reason": "stop"}]},
    "a message that is text": {"choices": [{"message": 7}]},
    "an error of nothing": {"error": {}},
}


@pytest.mark.parametrize("payload", list(NONSENSE.values()), ids=list(NONSENSE))
def test_what_is_no_answer_is_a_protocol_error(payload):
    """A 2xx that makes no sense is a ProtocolError, never a response."""
    with pytest.raises(ProtocolError):
        wire.decode(payload, LOOKALIKE)


# An error in a 200, and what it means.
INNER = [
    ({"error": {"code": 429, "message": "m"}}, 429, "RATE_LIMITED"),
    ({"error": {"code": "402", "message": "m"}}, 402, "QUOTA"),
    ({"error": {"status": 503, "message": "m"}}, 503, "TRANSIENT"),
    ({"error": {"status_code": 400, "message": "m"}}, 400, "INVALID"),
    ({"error": {"type": "invalid_request_error", "message": "m"}}, 400, "INVALID"),
    ({"error": {"type": "authentication_error", "message": "m"}}, 401, "AUTH"),
    ({"error": {"type": "rate_limit_error", "message": "m"}}, 429, "RATE_LIMITED"),
    ({"error": {"code": "rate_limit_exceeded", "message": "m"}}, 429, "RATE_LIMITED"),
    ({"error": {"code": "insufficient_quota", "type": "insufficient_quota", "message": "m"}}, 429, "QUOTA"),
    ({"error": {"code": "context_length_exceeded", "type": "invalid_request_error", "message": "m"}}, 400, "TOO_LONG"),
    ({"error": {"message": "m"}}, 500, "TRANSIENT"),
    ({"error": "m"}, 500, "TRANSIENT"),
    ({"error": {"code": 99999, "message": "m"}}, 500, "TRANSIENT"),
    ({"error": {"code": 0, "message": "m"}}, 500, "TRANSIENT"),
    ({"object": "error", "message": "m", "type": "NotFoundError", "code": 404}, 404, "NOT_FOUND"),
    ({"choices": [], "error": {"code": 429, "message": "m"}}, 429, "RATE_LIMITED"),
    ([{"error": {"code": 429, "message": "m"}}], 429, "RATE_LIMITED"),
]


@pytest.mark.parametrize(("payload", "status", "kind"), INNER, ids=[json.dumps(row[0]) for row in INNER])
def test_an_error_in_a_200(payload, status, kind):
    """An error object in a 200, or in a stream, has the kind it would have had as a status."""
    event = b"data: " + json.dumps(payload).encode() + b"\n\n"
    for ask in (
        lambda: wire.decode(payload, LOOKALIKE),
        lambda: decode_stream([event]),
        lambda: decode_stream([b"event: error\n" + event]),
    ):
        with pytest.raises(APIError) as caught:
            ask()
        assert (caught.value.status, caught.value.message) == (status, "m")
        assert classify(caught.value) is ErrorKind[kind]


def test_an_error_in_a_200_is_one_short_harmless_line():
    """A server's words fit on a line, whatever they hold: nothing drives a terminal."""
    payload = {"error": {"message": "a\nb\x1b[2J\x07" + "c" * 5000, "code": 500}}
    with pytest.raises(APIError) as caught:
        wire.decode(payload, LOOKALIKE)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500
    assert len(caught.value.body) <= 4000


@pytest.mark.parametrize(
    "body",
    [
        '{"error": {"message": "m", "code": 500, "more": NaN}}',
        '{"choices": [{"delta": {"tool_calls": [{"function": {"name": "f", "arguments": {"x": NaN}}}]}}]}',
        '{"object": "chat.completion", "choices": [{"message": {"tool_calls": '
        '[{"function": {"name": "f", "arguments": {"x": NaN}}}]}, "finish_reason": "stop"}]}',
    ],
    ids=["an error", "a piece of a call", "a whole call"],
)
def test_numbers_that_are_no_json_are_not_our_settings_fault(body):
    """NaN in an answer may be borne or refused; a ConfigError would blame the caller for it."""
    only_ours(lambda: decode_stream([b"data: " + body.encode() + b"\n\n"])[0], body)


# --- errors


@pytest.mark.parametrize("name", REFUSED)
def test_read_error(name):
    """An error's body tells its kind, whatever its shape."""
    status, expect = FILES[name]["status"], FILES[name].get("expect", {})
    message, code, param, wait = wire.read_error(status, BODIES[name].decode())
    error = APIError(status, message, code, param=param)
    if "kind" in expect:
        assert classify(error) is ErrorKind[expect["kind"]]
    if wait is not None:
        assert wait == pytest.approx(expect["retry_after"], abs=0.01)


# (status, message, kind): servers tell these apart by their words alone.
WORDS = [
    (400, "This model's maximum context length is 4096 tokens. However, you requested 5012 tokens", "TOO_LONG"),
    (400, "Input tokens exceed the configured limit of 272000 tokens.", "TOO_LONG"),
    (400, "'max_tokens' is too large: 9000. This model's maximum context length is 4096 tokens", "TOO_LONG"),
    (400, "The decoder prompt (length 5000) is longer than the maximum model length of 4096.", "TOO_LONG"),  # vLLM
    (400, "The input (5000 tokens) is longer than the model's context length (4096 tokens).", "TOO_LONG"),  # SGLang
    (400, "the request exceeds the available context size, try increasing it", "TOO_LONG"),  # llama-server
    (500, "Context size has been exceeded.", "TOO_LONG"),  # llama-server
    (400, "The number of tokens to keep from the initial prompt is greater than the context length", "TOO_LONG"),
    (422, "Input validation error: `inputs` must have less than 1024 tokens. Given: 1500", "TOO_LONG"),  # TGI
    (400, "Please reduce the length of the messages or completion.", "TOO_LONG"),  # Groq
    (413, "Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 8000", "TOO_LONG"),
    (429, "Request too large for gpt-5.2 on tokens per min (TPM): Limit 30000, Requested 61337.", "TOO_LONG"),
    (429, "Rate limit reached for gpt-5.2. Please try again in 20s.", "RATE_LIMITED"),
    (400, "Function tools with reasoning_effort are not supported for gpt-5.6-terra.", "UNSUPPORTED"),
    (400, "m does not support tools", "UNSUPPORTED"),
    (500, "image input is not supported - hint: if this is unexpected, you may need the mmproj", "UNSUPPORTED"),
    (500, "Failed to parse tools: Missing tool function", "INVALID"),
    (500, "The server had an error while processing your request.", "TRANSIENT"),
    (400, "could not find suitable inference handler for m", "NOT_FOUND"),
    (400, "Invalid value", "INVALID"),
    # words of a prompt that a server echoes decide nothing
    (
        400,
        "[{'type': 'string_type', 'loc': ('body', 'messages', 0, 'content'), 'msg': 'Input should be a valid string', "
        "'input': 'what is the maximum context length?'}]",
        "INVALID",
    ),
]


@pytest.mark.parametrize(("status", "message", "kind"), WORDS, ids=[f"{row[0]} {row[1][:40]}" for row in WORDS])
@pytest.mark.parametrize("shape", ["object", "string", "text"])
def test_errors_that_are_told_by_words(status, message, kind, shape):
    """What only the message says is understood, in each shape of a body."""
    body = {
        "object": json.dumps({"error": {"message": message}}),
        "string": json.dumps({"error": message}),
        "text": message,
    }
    found, code, param, _ = wire.read_error(status, body[shape])
    assert classify(APIError(status, found, code, param=param)) is ErrorKind[kind]


# (status, error, kind): what the fields say.
FIELDS = [
    (
        413,
        {"message": "Request too large for model `m`: Limit 6000", "type": "tokens", "code": "rate_limit_exceeded"},
        "TOO_LONG",
    ),
    (429, {"message": "m", "code": "billing_hard_limit_reached"}, "QUOTA"),
    (429, {"message": "m", "type": "insufficient_quota", "code": None}, "QUOTA"),
    (429, {"message": "m", "code": "429"}, "RATE_LIMITED"),
    (400, {"message": "m", "code": "content_filter"}, "FILTERED"),
    (400, {"message": "m", "code": "content_policy_violation"}, "FILTERED"),
    (403, {"message": "flagged", "code": 403, "metadata": {"reasons": ["violence"], "flagged_input": "x"}}, "FILTERED"),
    (404, {"message": "m"}, "NOT_FOUND"),
    (503, {"message": "Loading model", "type": "unavailable_error", "code": 503}, "TRANSIENT"),
    (501, {"message": "m", "type": "not_supported_error"}, "UNSUPPORTED"),
    (529, {"message": "m"}, "TRANSIENT"),
    (418, {"message": "m"}, "INVALID"),
]


@pytest.mark.parametrize(("status", "error", "kind"), FIELDS, ids=[f"{row[0]} {json.dumps(row[1])}" for row in FIELDS])
def test_errors_that_are_told_by_fields(status, error, kind):
    """A code says more than a status, but a 413 is never a matter of waiting."""
    message, code, param, _ = wire.read_error(status, json.dumps({"error": error}))
    assert classify(APIError(status, message, code, param=param)) is ErrorKind[kind]


WAITS = [
    ("Please try again in 20s.", 20.0),
    ("Please try again in 3.272s. Visit the page.", 3.272),
    ("Please try again in 898ms.", 0.898),
    ("Please try again in 6m0s.", 360.0),
    ("Please try again in 7m12.5s.", 432.5),
    ("Please try again in 1h2m3s.", 3723.0),
    ("Please retry after 86 seconds.", 86.0),
    ("Please retry after 2 minutes.", 120.0),
    ("Please try again later.", None),
    ("Please try again in a while.", None),
    ("Please try again in 1.2.3s", None),
    ("Please try again in " + "9" * 400 + "s", None),
    ("Please try again in " + "9" * 5000 + "m1s", None),
]


@pytest.mark.parametrize(("message", "seconds"), WAITS, ids=[row[0][:40] for row in WAITS])
def test_the_wait_that_a_rate_limit_names(message, seconds):
    """A rate limit's wait is read from its words, as a finite number of seconds or not at all."""
    wait = wire.read_error(429, json.dumps({"error": {"message": message}}))[3]
    assert wait == (seconds if seconds is None else pytest.approx(seconds))
    assert wire.read_error(400, json.dumps({"error": {"message": message}}))[3] is None


def test_a_key_is_not_repeated():
    """OpenAI's 401 echoes a masked key: it is blotted out, and the words around it stay."""
    message = wire.read_error(401, BODIES["openai-error-401-invalid-key.json"].decode())[0]
    assert "sk-fake" not in message
    assert message.startswith("Incorrect API key provided: ")


@pytest.mark.parametrize("body", ODD_BODIES, ids=[body[:20] for body in ODD_BODIES])
@pytest.mark.parametrize("status", [400, 429, 500])
def test_reading_an_error_never_fails(status, body):
    """Whatever the body of an error is, it is read, and as an answer it raises errors of the tree alone."""
    message, code, param, wait = wire.read_error(status, body)
    assert isinstance(message, str)
    classify(APIError(status, message, code, param=param, retry_after=wait))
    with pytest.raises(MajordomoError):
        decode_stream([b"data: " + body.encode() + b"\n\n"])


@pytest.mark.parametrize("depth", [500, 900, 980, 2000])
def test_an_answer_nested_deeply_is_an_error_of_the_tree(depth):
    """Deep nesting anywhere in an answer is the server's fault and says so."""
    deep = "[" * depth + "]" * depth
    for body in ('{"error": {"message": "m", "code": 500, "more": %s}}', '{"choices": [{"message": %s}]}', "%s"):
        with pytest.raises(MajordomoError) as caught:
            decode_stream([b"data: " + (body % deep).encode() + b"\n\n"])
        assert classify(caught.value) is not ErrorKind.CONFIG


# --- wrong types everywhere


def is_sane(response):
    """What every response keeps, however odd the answer was."""
    assert isinstance(response.text, str)
    assert isinstance(response.thinking, str)
    assert response.stop_reason in ("stop", "length", "tool_calls", "content_filter", "refusal", "other")
    assert all(type(part) in (Text, Thinking, ToolCall) for part in response.message.parts)
    assert all(count is None or type(count) is int for count in vars(response.usage).values())
    assert all(
        isinstance(call.arguments, dict) and call.id and isinstance(call.name, str) for call in response.tool_calls
    )


def only_ours(ask, about):
    """Run `ask`; what it raises is of the tree and blames the server, not the caller's settings."""
    try:
        is_sane(ask())
    except MajordomoError as exc:
        kind, line = classify(exc), str(exc)
    else:
        return
    assert kind is not ErrorKind.CONFIG, (line, about)


@pytest.mark.parametrize("name", [n for n in WHOLE if b"<html" not in BODIES[n]])
def test_wrong_types_in_an_answer(name):
    """No answer with wrong types anywhere makes an exception from outside the tree."""
    payload = json.loads(BODIES[name])
    rng = random.Random(name)
    for _ in range(150):
        odd = mutated(payload, rng)
        for _ in range(rng.randint(0, 2)):
            odd = mutated(odd, rng)
        for quirks in (OFFICIAL, LLAMA_SWAP):
            only_ours(lambda odd=odd, quirks=quirks: wire.decode(odd, quirks, rng.choice([None, SCHEMA])), odd)


@pytest.mark.parametrize("name", STREAMS)
def test_wrong_types_in_a_stream(name):
    """No event with wrong types anywhere makes an exception from outside the tree."""
    events = EventDecoder()
    found = events.feed(BODIES[name]) + events.close()
    rng = random.Random(name)

    def ask(odd, quirks):
        decoder = wire.StreamDecoder(quirks, rng.choice([None, None, SCHEMA]))
        for event, data in odd:
            for delta in decoder.feed(event, data):
                assert isinstance(delta.arguments if type(delta) is ToolCallDelta else delta.text, str)
        decoder.close()
        return decoder.response()

    for _ in range(60 if found else 0):
        odd = list(found)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(odd))
            event, data = odd[at]
            if data[:1] == b"{" and data[-1:] == b"}":
                value = mutated(json.loads(data), rng)
                odd[at] = (rng.choice([event, event, "error"]), json.dumps(value).encode())
        only_ours(lambda odd=odd: ask(odd, rng.choice([LOOKALIKE, OFFICIAL, LLAMA_SWAP])), odd)


@pytest.mark.parametrize("name", STREAMS)
def test_wrong_bytes_in_a_stream(name):
    """Bytes that were changed, doubled or lost make errors of the tree at worst."""
    rng = random.Random(name)
    for _ in range(60):
        data = bytearray(BODIES[name] or b"data: {}\n\n")
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            data[at : at + rng.choice((0, 1, 1, 9))] = rng.choice(
                (b"", b"\xff", b"\n", b"\r", b'"', b"{", b"}", b"data:", b"\x00")
            )
            data = data or bytearray(b"\n")
        only_ours(lambda data=data: decode_stream([bytes(data)], LLAMA_SWAP)[0], bytes(data))


# --- requests

REQUEST = json.loads(BODIES["openai-chat-request-full.json"])


def picture(at, part):
    """A picture of the sample request."""
    from base64 import b64decode

    url = REQUEST["messages"][at]["content"][part]["image_url"]["url"]
    return Image(b64decode(url.partition(",")[2]))


IDS = [call["id"] for call in REQUEST["messages"][2]["tool_calls"]]
WEATHER = REQUEST["tools"][0]["function"]
TRAINS = REQUEST["tools"][1]["function"]
FULL = Request(
    (
        user("Which of the two is greener? Also check the weather in Bergen.", picture(1, 1), picture(1, 2)),
        Message(
            "assistant",
            (
                Thinking("Both, I think."),
                ToolCall(IDS[0], "get_weather", {"city": "Bergen", "unit": "c"}),
                ToolCall(IDS[1], "list_trains", {}),
            ),
            origin="anthropic/claude-opus-4-5",
        ),
        Message(
            "tool",
            (
                ToolResult(IDS[0], ('{"temp":7,"sky":"rain"}',)),
                ToolResult(
                    IDS[1],
                    ("timetable service did not answer. A picture of the board follows.", picture(5, 1)),
                    is_error=True,
                ),
            ),
        ),
    ),
    system="Answer in one sentence.",
    tools=(
        Tool("get_weather", WEATHER["description"], WEATHER["parameters"]),
        Tool("list_trains", TRAINS["description"], TRAINS["parameters"]),
    ),
    schema=REQUEST["response_format"]["json_schema"]["schema"],
    reasoning="low",
    max_tokens=800,
)


def nulls(value, place=""):
    """The places of a body that hold null."""
    if value is None:
        yield place
    if isinstance(value, (dict, list)):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from nulls(inner, f"{place}.{name}")


def test_a_full_request():
    """Everything at once becomes the body that OpenAI takes."""
    expect = copy.deepcopy(REQUEST)
    for name in ("parallel_tool_calls", "tool_choice"):  # defaults are not sent
        del expect[name]
    del expect["messages"][1]["content"][1]["image_url"]["detail"]
    body = wire.encode(FULL, "gpt-5.2", OFFICIAL, target="openai/gpt-5.2", stream=True)
    for tool in (*expect["tools"], *body["tools"]):
        tool["function"].pop("strict", None)
    for message in (*expect["messages"], *body["messages"]):
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    assert body == expect


def test_a_full_request_for_a_lookalike():
    """A lookalike gets a `system` message, its own name for the limit, and nothing it may not know."""
    body = wire.encode(FULL, "qwen3:14b", LLAMA_SWAP, target="box/qwen3:14b", stream=True)
    assert body["messages"][0] == {"role": "system", "content": "Answer in one sentence."}
    assert body["messages"][1:] == wire.encode(FULL, "m", OFFICIAL)["messages"][1:]
    assert body["max_tokens"] == 800
    assert body["stream_options"] == {"include_usage": True}
    names = {
        "model",
        "messages",
        "tools",
        "response_format",
        "reasoning_effort",
        "max_tokens",
        "stream",
        "stream_options",
    }
    assert set(body) == names


@pytest.mark.parametrize("quirks", [OFFICIAL, LOOKALIKE, LLAMA_SWAP], ids=["official", "lookalike", "llama-swap"])
@pytest.mark.parametrize(
    "request_", [Request("Hi"), Request("Hi", tools=()), Request([user("Hi"), assistant("So."), user("And?")]), FULL]
)
def test_nothing_unset_is_sent(request_, quirks):
    """No key for what is not set: never null (the text beside tool calls apart), never an empty list."""
    body = wire.encode(request_, "m", quirks)
    assert [place for place in nulls(body) if not place.endswith(("2.content", "3.content", "enum.2"))] == []
    assert body.get("tools") != []
    assert "stop" not in body
    assert "stream" not in body
    assert "stream_options" not in body
    if not request_.tools:
        assert set(body) == {"model", "messages"}


def test_encoding_changes_nothing_of_the_callers():
    """The caller's request, schema, tools and `extra` are as they were."""
    request = copy.deepcopy(FULL)
    extra = {"response_format": {"json_schema": {"name": "mine"}}, "chat_template_kwargs": {"a": 1}}
    asked = Request(request.messages, tools=request.tools, schema=request.schema, reasoning="off", extra=extra)
    before = copy.deepcopy(asked.to_dict())
    body = wire.encode(asked, "m", LLAMA_SWAP, stream=True)
    assert body["response_format"]["json_schema"]["name"] == "mine"
    assert asked.to_dict() == before


def test_pictures_of_results_come_behind_all_results():
    """Nothing stands between a call and its results; their pictures follow, told apart by tool and id."""
    calls = assistant(ToolCall("a", "draw", {}), ToolCall("b", "plot", {}))
    image = picture(5, 1)
    for results in (
        [tool_result("a", "one", image), tool_result("b", image)],
        [Message("tool", (ToolResult("a", ("one", image)), ToolResult("b", (image,))))],
        [Message("user", (ToolResult("a", ("one", image)), ToolResult("b", (image,))))],
    ):
        sent = wire.encode(Request([user("Go"), calls, *results, user("Thanks"), assistant("Yes.")]), "m", LOOKALIKE)[
            "messages"
        ]
        assert [m["role"] for m in sent] == ["user", "assistant", "tool", "tool", "user", "assistant"]
        assert sent[2] == {"role": "tool", "tool_call_id": "a", "content": "one"}
        assert sent[3]["content"]  # a result of pictures alone is not empty
        shown = sent[4]["content"]
        assert [part["type"] for part in shown] == ["text", "image_url", "text", "image_url", "text"]
        assert shown[4]["text"] == "Thanks"
        assert "draw" in shown[0]["text"]
        assert "plot" in shown[2]["text"]


def test_pictures_of_results_name_the_id_that_was_sent():
    """The line above a result's pictures has the id of the tool message, also where it was replaced."""
    calls = assistant(ToolCall("functions.draw:0", "draw", {}))
    messages = wire.encode(
        Request([user("Go"), calls, tool_result("functions.draw:0", picture(5, 1))]), "m", LOOKALIKE
    )["messages"]
    assert messages[2]["tool_call_id"] in messages[3]["content"][0]["text"]


def test_ids_are_made_sendable():
    """An id that this wire does not take is replaced in the call and in its result alike."""
    for id in ("functions.f:0", "x" * 64, "fünf"):
        sent = wire.encode(
            Request([user("Go"), assistant(ToolCall(id, "f", {})), tool_result(id, "7")]), "m", OFFICIAL
        )["messages"]
        found = sent[1]["tool_calls"][0]["id"]
        assert found == sent[2]["tool_call_id"] != id
        assert len(found) <= 40


def test_arguments_are_sent_as_json_text():
    """Arguments go back as the text of a JSON object, `{}` where the model had sent none, or nonsense."""
    calls = (ToolCall("a", "f", {"x": "é"}), ToolCall("b", "f"), ToolCall("c", "f", {}, malformed='{"x": '))
    message = wire.encode(Request([assistant(*calls)]), "m", LOOKALIKE)["messages"][0]
    texts = [call["function"]["arguments"] for call in message["tool_calls"]]
    assert [json.loads(text) for text in texts] == [{"x": "é"}, {}, {}]
    assert message["content"] is None


def test_an_error_of_a_tool_is_said_in_words():
    """This wire has no field for it: the text says that it is an error."""
    for result, text in (
        (tool_result("a", "boom", is_error=True), "Error: boom"),
        (tool_result("a", "fine"), "fine"),
        (tool_result("a"), ""),
    ):
        sent = wire.encode(Request([assistant(ToolCall("a", "f")), result]), "m", LOOKALIKE)["messages"]
        assert sent[1:] == [{"role": "tool", "tool_call_id": "a", "content": text}]


def test_pictures_of_an_assistant_cannot_be_sent():
    """What this wire cannot say is refused before sending, with the place."""
    with pytest.raises(UnsupportedError, match="message 1"):
        wire.encode(Request([user("Hi"), assistant(picture(5, 1))]), "m", LOOKALIKE)


def test_an_assistant_message_of_nothing_is_left_out():
    """A turn in which the model said nothing is not sent back as one: servers refuse it."""
    sent = wire.encode(
        Request([user("a"), assistant(), user("b"), assistant(Thinking("hm")), user("c")]), "m", LOOKALIKE
    )
    assert [m["content"] for m in sent["messages"]] == ["a\n\nb\n\nc"]


@pytest.mark.parametrize(
    ("quirks", "origin", "sent"),
    [
        (LOOKALIKE, "box/m", True),
        (LLAMA_SWAP, "box/m", True),
        (LOOKALIKE, "box/other", False),
        (LOOKALIKE, "openai/m", False),
        (LOOKALIKE, None, False),
        (OFFICIAL, "box/m", False),
    ],
    ids=["lookalike", "llama-swap", "other model", "other provider", "unknown", "OpenAI itself"],
)
def test_thinking_goes_back_to_its_origin_alone(quirks, origin, sent):
    """Thinking is sent to the target that gave it, and never to OpenAI, which has no field for it."""
    message = Message("assistant", (Thinking("hm"), Text("So.")), origin=origin)
    found = wire.encode(Request([user("Hi"), message, user("And?")]), "m", quirks, target="box/m")["messages"][-2]
    assert found == {"role": "assistant", "content": "So.", **({"reasoning_content": "hm"} if sent else {})}


@pytest.mark.parametrize(("origin", "sent"), [("deepseek/m", "hm"), ("box/m", ""), (None, "")])
def test_deepseek_wants_its_thinking_back(origin, sent):
    """Beside tool calls it always has the field, and never somebody else's thoughts."""
    message = Message("assistant", (Thinking("hm"), ToolCall("c", "f", {})), origin=origin)
    request = Request([user("Hi"), message, tool_result("c", "done")])
    quirks = wire.Quirks(thinking_back=True)
    assert wire.encode(request, "m", quirks, target="deepseek/m")["messages"][1]["reasoning_content"] == sent


TOOLS = (Tool("f", "does f", {"type": "object", "properties": {"x": {"type": "integer"}}}), Tool("g"))


@pytest.mark.parametrize(
    ("choice", "quirks", "tools", "sent"),
    [
        ("auto", OFFICIAL, ["f", "g"], None),
        ("none", OFFICIAL, ["f", "g"], "none"),
        ("required", OFFICIAL, ["f", "g"], "required"),
        ("f", OFFICIAL, ["f", "g"], {"type": "function", "function": {"name": "f"}}),
        ("auto", LOOKALIKE, ["f", "g"], None),
        ("none", LOOKALIKE, ["f", "g"], "none"),
        ("required", LLAMA_SWAP, ["f", "g"], "required"),
        ("f", LLAMA_SWAP, ["f"], "required"),
        ("g", LOOKALIKE, ["g"], "required"),
    ],
)
def test_tool_choice(choice, quirks, tools, sent):
    """A named tool is an object for OpenAI; lookalikes do not know that, and get that tool alone, required."""
    body = wire.encode(Request("Hi", tools=TOOLS, tool_choice=choice), "m", quirks)
    assert [tool["function"]["name"] for tool in body["tools"]] == tools
    assert body.get("tool_choice") == sent


def test_tools():
    """A tool is sent with its description and its schema, an object even where it takes nothing."""
    f, g = (tool["function"] for tool in wire.encode(Request("Hi", tools=TOOLS), "m", LOOKALIKE)["tools"])
    assert (f["name"], f["description"], f["parameters"]) == ("f", "does f", TOOLS[0].parameters)
    assert g["parameters"]["type"] == "object"
    assert "description" not in g


@pytest.mark.parametrize(
    ("reasoning", "official", "lookalike"),
    [
        (None, None, None),
        ("off", "none", "none"),
        ("minimal", "minimal", "minimal"),
        ("low", "low", "low"),
        ("medium", "medium", "medium"),
        ("high", "high", "high"),
        ("max", "xhigh", "high"),
    ],
)
def test_reasoning(reasoning, official, lookalike):
    """Our levels have the names of the wire; llama-server's templates also get a switch to turn it off."""
    request = Request("Hi", reasoning=reasoning)
    assert wire.encode(request, "m", OFFICIAL).get("reasoning_effort") == official
    assert wire.encode(request, "m", LOOKALIKE).get("reasoning_effort") == lookalike
    body = wire.encode(request, "m", LLAMA_SWAP)
    assert body.get("reasoning_effort") == lookalike
    assert body.get("chat_template_kwargs") == ({"enable_thinking": False} if reasoning == "off" else None)
    assert "chat_template_kwargs" not in wire.encode(request, "m", LOOKALIKE)


CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
SCHEMAS = [
    (CLOSED, True),
    ({**CLOSED, "properties": {"a": CLOSED}}, True),
    ({**CLOSED, "properties": {"a": {"type": "array", "items": CLOSED}}}, True),
    ({**CLOSED, "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": CLOSED}}, True),
    ({**CLOSED, "properties": {"a": {"anyOf": [CLOSED, {"type": "null"}]}}}, True),
    ({"type": "object", "properties": {}, "required": [], "additionalProperties": False}, True),
    ({**CLOSED, "required": []}, False),
    ({**CLOSED, "additionalProperties": True}, False),
    ({name: value for name, value in CLOSED.items() if name != "additionalProperties"}, False),
    ({**CLOSED, "properties": {"a": {"type": "object"}}}, False),
    ({**CLOSED, "properties": {"a": {"type": "array", "items": {"type": "object"}}}}, False),
    ({**CLOSED, "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "object"}}}, False),
    ({**CLOSED, "properties": {"a": {"anyOf": [{"type": "object"}, {"type": "null"}]}}}, False),
    ({"type": "array", "items": CLOSED}, False),
    ({"anyOf": [CLOSED]}, False),
    ({}, False),
]


@pytest.mark.parametrize(("schema", "strict"), SCHEMAS, ids=[json.dumps(row[0])[:60] for row in SCHEMAS])
def test_a_schema_is_strict_where_it_keeps_the_rules(schema, strict):
    """The schema goes as it is; `strict` is said only where it keeps strict mode's rules, else it is a 400."""
    sent = wire.encode(Request("Hi", schema=schema), "m", OFFICIAL)["response_format"]
    assert sent == {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": strict}}


@pytest.mark.parametrize(
    ("title", "name"),
    [("City", "City"), ("The city & more!", "The_city_more_"), ("x" * 99, "x" * 64), ("", "answer"), (7, "answer")],
)
def test_a_schema_has_a_name_that_can_be_sent(title, name):
    """The name is the schema's title, of the characters that names may have."""
    assert (
        wire.encode(Request("Hi", schema={"title": title}), "m", OFFICIAL)["response_format"]["json_schema"]["name"]
        == name
    )


ODD_SCHEMAS = [
    {"type": "object", "required": None, "properties": {}, "additionalProperties": False},
    {"type": "object", "required": [["a"]], "properties": {"a": {}}, "additionalProperties": False},
    {"type": "object", "properties": ["a"], "additionalProperties": False},
    {"type": "object", "properties": None},
    {"type": ["object", "null"], "properties": {"a": True}},
    {"type": "object", "required": 7},
]


@pytest.mark.parametrize("schema", ODD_SCHEMAS, ids=[json.dumps(schema) for schema in ODD_SCHEMAS])
def test_an_odd_schema_makes_no_foreign_exception(schema):
    """A schema that is none is the server's to refuse, or an error of the tree; nothing else."""
    try:
        body = wire.encode(Request("Hi", schema=schema), "m", OFFICIAL)
    except MajordomoError:
        return
    assert body["response_format"]["json_schema"]["strict"] is False


@pytest.mark.parametrize("schema", [True, "object", [CLOSED]])
def test_what_is_no_schema_is_refused(schema):
    """Only a dict is a JSON Schema here."""
    with pytest.raises(UnsupportedError):
        wire.encode(Request("Hi", schema=schema), "m", OFFICIAL)


@pytest.mark.parametrize(
    ("quirks", "limit"),
    [(OFFICIAL, "max_completion_tokens"), (LOOKALIKE, "max_completion_tokens"), (LLAMA_SWAP, "max_tokens")],
)
def test_settings(quirks, limit):
    """The settings have their names of the wire, the limit that of the server."""
    request = Request("Hi", max_tokens=9, temperature=0, top_p=0.5, stop="END", seed=0)
    body = wire.encode(request, "m", quirks)
    assert {name: body[name] for name in body if name not in ("model", "messages")} == {
        limit: 9,
        "temperature": 0,
        "top_p": 0.5,
        "stop": ["END"],
        "seed": 0,
    }


def test_extra_is_merged_and_wins():
    """`extra` is laid over the body, objects into objects."""
    extra = {
        "temperature": 1,
        "stream_options": {"more": 1},
        "chat_template_kwargs": {"a": 1},
        "top_k": 3,
        "model": "other",
    }
    body = wire.encode(Request("Hi", temperature=0.2, reasoning="off", extra=extra), "m", LLAMA_SWAP, stream=True)
    assert body["temperature"] == 1
    assert body["stream_options"] == {"include_usage": True, "more": 1}
    assert body["chat_template_kwargs"] == {"enable_thinking": False, "a": 1}
    assert body["top_k"] == 3
    assert body["model"] == "other"


def test_remedies():
    """What a server does not take is renamed or left out, and told by the option's name here."""
    quirks = wire.Quirks(remedies={"max_completion_tokens": "max_tokens", "temperature": None, "seed": None})
    request = Request("Hi", max_tokens=9, temperature=0.2)
    assert wire.encode(request, "m", quirks) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 9,
    }
    told = told_of(wire, request, quirks)
    assert [warning.partition(":")[0] for warning in told] == ["max_tokens", "temperature"]
    assert told_of(wire, Request("Hi"), quirks) == ()


# An error, the body that it answers, and what mends it.
REMEDIES = [
    ("openai-error-400-unsupported-parameter.json", {"max_tokens": 9}, ("max_tokens", "max_completion_tokens")),
    ("openai-error-400-unsupported-value.json", {"temperature": 0.2}, ("temperature", None)),
    ("openai-error-400-unsupported-value.json", {"top_p": 0.2}, None),
    ("openai-error-400-tools-with-reasoning.json", {"reasoning_effort": "low", "tools": []}, None),
    ("openai-error-400-context-length.json", {"messages": []}, None),
    ("openai-error-400-schema.json", {"response_format": {}}, None),
    ("llama-cpp-error-400-tool-choice.json", {"tool_choice": "x"}, None),
    ("compat-fastapi-422.json", {"messages": []}, None),
    ("openai-error-500.json", {"temperature": 1}, None),
]


@pytest.mark.parametrize(("name", "body", "mended"), REMEDIES, ids=[f"{row[0]} {row[1]}" for row in REMEDIES])
def test_remedy(name, body, mended):
    """An error that names an unsupported parameter of the body is mended, no other one is."""
    message, code, param, _ = wire.read_error(FILES[name]["status"], BODIES[name].decode())
    error = APIError(FILES[name]["status"], message, code, param=param)
    assert wire.remedy(error, body, LOOKALIKE) == (mended and Remedy(*mended))


# What servers say in words alone of a body {"temperature", "max_completion_tokens", "stop"}.
SAID = [
    ("Unsupported parameter: 'temperature' is not supported with this model.", ("temperature", None)),
    ("Unknown parameter: 'max_completion_tokens'.", ("max_completion_tokens", "max_tokens")),
    ("Unrecognized request argument supplied: max_completion_tokens", ("max_completion_tokens", "max_tokens")),
    ("temperature is not supported by this model", ("temperature", None)),
    ("Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 5 instead.", None),
    ("Invalid 'stop': array too long. Expected an array with maximum length 4.", None),
    ("Invalid type for 'temperature': expected a decimal, but got a string instead.", None),
    ("unsupported content[].type", None),
    ("the prompt says that 'temperature' is not supported", None),
]


@pytest.mark.parametrize(("message", "mended"), SAID, ids=[row[0][:50] for row in SAID])
def test_remedy_by_words(message, mended):
    """A parameter that is called unsupported is mended; one whose value is wrong is the caller's to know."""
    body = {"temperature": 5, "max_completion_tokens": 9, "stop": ["a"] * 5}
    found, code, param, _ = wire.read_error(400, json.dumps({"error": {"message": message}}))
    assert wire.remedy(APIError(400, found, code, param=param), body, LOOKALIKE) == (mended and Remedy(*mended))


def test_remedy_of_fastapi():
    """A server on FastAPI names the place of what it does not know."""
    detail = [
        {"type": "extra_forbidden", "loc": ["body", "max_completion_tokens"], "msg": "Extra inputs are not permitted"}
    ]
    found, code, param, _ = wire.read_error(422, json.dumps({"detail": detail}))
    error = APIError(422, found, code, param=param)
    assert wire.remedy(error, {"max_completion_tokens": 9}, LOOKALIKE) == Remedy("max_completion_tokens", "max_tokens")


# --- over HTTP


@pytest.fixture(scope="module")
def server():
    with FakeServer() as fake:
        yield fake


def served(name):
    """A sample as the server sends it; a stream in pieces of its own."""
    file, body = FILES[name], BODIES[name]
    return Status(file["status"], random_cuts(body) if name.endswith(".sse") and body else body, file["headers"])


SCHEMES = ("llama-swap", "openai")
ASKED = {
    "generate": [*WHOLE, *REFUSED],
    "stream": [
        *STREAMS,
        *REFUSED,
        "compat-json-instead-of-stream.json",
        "proxy-200-login.html",
        "compat-openrouter-error-in-200.json",
    ],
}
OVER_HTTP = [
    (scheme, how, name)
    for scheme in SCHEMES
    for how, names in ASKED.items()
    for name in names
    if name != "openai-error-400-tools-with-reasoning.json"  # which leads to another wire
]


@pytest.mark.parametrize(("scheme", "how", "name"), OVER_HTTP)
def test_over_http(server, scheme, how, name):
    """Served over HTTP, a sample means the same: the response, or the target's own error."""
    registry = Registry({"LLM_BOX": server.dsn(scheme)}, retries=0, sleep=lambda seconds: None)
    model, expect, before = registry.parse("box/qwen3:14b"), dict(FILES[name].get("expect", {})), len(server.requests)
    server.add(served(name))
    if scheme != "llama-swap" and name == "llama-swap-stream-loading.sse":
        del expect["thinking"]  # only a llama-swap is known to tell of loading

    def ask():
        if how == "generate":
            return model.generate("Hi", schema=schema_of(name))
        with model.stream("Hi") as stream:
            said.extend(stream.text_deltas())
        return stream.response

    said: list[str] = []
    response, error = check(expect, ask)
    assert len(server.requests) == before + 1
    if response is not None:
        assert response.model == "box/qwen3:14b"
        assert [attempt.outcome for attempt in response.attempts] == ["answered"]
        assert how == "generate" or "".join(said) == response.text
    else:
        assert error.target == "box/qwen3:14b"
        assert str(error).startswith("box/qwen3:14b: ")
        assert [attempt.outcome for attempt in error.attempts] == ["failed"]
        assert "".join(said) == error.partial or how == "generate"
        if FILES[name]["status"] != 200:
            assert error.status == FILES[name]["status"]
            assert error.request_id == FILES[name]["headers"].get("x-request-id")


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_cut_anywhere_is_no_answer(server, name):
    """A stream that is cut before its finish reason, politely, is a TruncatedError with the text so far."""
    data = BODIES[name]
    try:
        text = decode_stream([data], quirks_of(name))[0].text
    except MajordomoError:
        return
    ends = [data.find(b'"finish_reason":"' + reason) for reason in (b"stop", b"length", b"tool_calls")]
    end = min([at for at in ends if at >= 0])
    model = Registry({"LLM_BOX": server.dsn("llama-swap")}, retries=0).provider("box").model("m")
    for at in range(1, end, max(1, end // 12)):
        server.add(Status(200, [data[:at]], {"Content-Type": "text/event-stream"}))
        with pytest.raises(TruncatedError) as caught:
            list(model.stream("Hi"))
        assert text.startswith(caught.value.partial)


@pytest.mark.parametrize("left", [0, 3, 9, 30, 80, 150])
def test_a_cut_behind_a_finished_answer_does_no_harm(server, left):
    """Once the finish reason has come the answer is whole, wherever behind it the stream is cut."""
    body = BODIES["openai-chat-stream-usage.sse"]
    end = body.index(b"\n\n", body.index(b'"finish_reason":"stop"')) + 2
    server.add(Status(200, [body[: end + left]], {"Content-Type": "text/event-stream"}))
    with Registry({"LLM_BOX": server.dsn("openai")}, retries=0).parse("box/m").stream("Hi") as stream:
        assert "".join(stream.text_deltas()) == "Rain over Bergen, 7 °C."
    assert stream.response.stop_reason == "stop"


@pytest.mark.parametrize("how", ["generate", "stream"])
@pytest.mark.parametrize("cut", ["200", "event"])
def test_a_token_that_a_server_echoes_in_a_200_is_blotted(server, how, cut):
    """A token is in no message, body, argument or cause of an error, however it came back."""
    token = "sk-0123456789-secret"
    registry = Registry({"LLM_BOX": server.dsn("openai", token=token)}, retries=0)
    error = json.dumps({"error": {"message": f"Bad key {token}!", "code": 401, "more": token}}).encode()
    server.add(
        Status(200, error)
        if cut == "200"
        else Status(200, [b"data: " + error + b"\n\n"], {"Content-Type": "text/event-stream"})
    )
    model = registry.parse("box/m")
    with pytest.raises(MajordomoError) as caught:
        model.generate("Hi") if how == "generate" else list(model.stream("Hi"))
    shown = [str(caught.value), repr(caught.value), repr(vars(caught.value)), repr(caught.value.args)]
    assert not any(token in text for text in shown)


def test_other_answers_of_several_are_passed_over():
    """With `n` in `extra` a stream holds several answers; the first one is the answer."""
    decoder = wire.StreamDecoder(LOOKALIKE)
    for index, text in ((0, "A"), (1, "B"), (0, "a")):
        decoder.feed("", json.dumps({"choices": [{"index": index, "delta": {"content": text}}]}).encode())
    decoder.feed("", b'{"choices": [{"index": 1, "delta": {}, "finish_reason": "length"}]}')
    assert not decoder.finished
    decoder.feed("", b'{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}')
    decoder.close()
    assert (decoder.response().text, decoder.response().stop_reason) == ("Aa", "stop")


def test_a_schema_that_holds_itself():
    """What cannot be written is told, not a RecursionError."""
    schema: dict = {"type": "object", "properties": {}, "additionalProperties": False, "required": ["a"]}
    schema["properties"]["a"] = schema
    with pytest.raises(MajordomoError):
        wire.encode(Request("Hi", schema=schema), "m", LOOKALIKE)

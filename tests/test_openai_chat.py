"""The wire of OpenAI's Chat Completions and its lookalikes, against the answers that servers give.

`data/openai_chat` holds the answers, `expect.json` beside them what each of them means.
"""

from __future__ import annotations

import copy
import json
from functools import partial

import pytest
import samples
from helpers import told_of
from samples import Samples, check_response, only_ours, sse

from majordomo import Registry, Request, Usage
from majordomo.errors import APIError, ErrorKind, MajordomoError, ProtocolError, UnsupportedError, classify
from majordomo.llm import Image, Message, Text, Thinking, Tool, ToolCall, ToolResult, assistant, tool_result, user
from majordomo.model import ThinkingDelta
from majordomo.testing import Status
from majordomo.wires import openai_chat as wire
from majordomo.wires._shared import Remedy

SAMPLES = Samples("openai_chat")
OFFICIAL = wire.Quirks(official=True)
LOOKALIKE = wire.Quirks()
LLAMA_SWAP = wire.Quirks(token_limit="max_tokens", loading_state=True, thinking_switch=True)
decode_stream = partial(samples.decode_stream, wire)

# --- small answers, one promise each


def answer(message, finish="stop", **more):
    return {"choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}], **more}


def as_stream(message, finish="stop", **more):
    """The same answer as one delta of a stream."""
    begun = {"choices": [{"index": 0, "delta": {"role": "assistant", **message}}]}
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}], **more}
    return [sse(begun), sse(end), b"data: [DONE]\n\n"]


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
CALLED = ["c1", "f", {"x": 1}]
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
        {"thinking": "a", "text": "b"},
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
    "call": ({"tool_calls": [CALL]}, "tool_calls", {"tool_calls": [CALLED], "stop_reason": "tool_calls"}),
    "call, stop": ({"tool_calls": [CALL]}, "stop", {"tool_calls": [CALLED], "stop_reason": "tool_calls"}),
    "call, length": ({"tool_calls": [CALL]}, "length", {"tool_calls": [CALLED], "stop_reason": "length"}),
    "text and call": (
        {"content": "So.", "tool_calls": [CALL]},
        "tool_calls",
        {"text": "So.", "tool_calls": [CALLED], "stop_reason": "tool_calls"},
    ),
    "calls of one id": (
        {"tool_calls": [{**CALL, "index": 0}, {**CALL, "index": 1}]},
        "tool_calls",
        {"tool_calls": [CALLED, [None, "f", {"x": 1}]], "stop_reason": "tool_calls"},
    ),
    "no calls": ({"content": "Hi.", "tool_calls": []}, "stop", {"text": "Hi.", "stop_reason": "stop"}),
    "calls that are none": (
        {"content": "Hi.", "tool_calls": [None, 7, "x"]},
        "stop",
        {"text": "Hi.", "stop_reason": "stop"},
    ),
    "length": ({"content": "Hi"}, "length", {"text": "Hi", "stop_reason": "length"}),
    "filtered": ({"content": "Hi"}, "content_filter", {"text": "Hi", "stop_reason": "content_filter"}),
    "function_call": (
        {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]},
        "function_call",
        {"tool_calls": [["a", "f", {}]], "stop_reason": "tool_calls"},
    ),
    "calls that did not come": ({"content": "Hi"}, "tool_calls", {"text": "Hi", "stop_reason": "other"}),
    "unknown reason": ({"content": "Hi"}, "eos", {"text": "Hi", "stop_reason": "other"}),
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
    only_ours(wire, lambda: decode_stream([b"data: " + body.encode() + b"\n\n"])[0], body)


# --- errors


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
    message = wire.read_error(401, SAMPLES.text("openai-error-401-invalid-key.json"))[0]
    assert "sk-fake" not in message
    assert message.startswith("Incorrect API key provided: ")


# --- requests

REQUEST = SAMPLES.payload("openai-chat-request-full.json")


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
LOOSE = {**CLOSED, "required": []}
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}}
SCHEMAS = [
    (CLOSED, CLOSED, True),
    (LOOSE, {**CLOSED, "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}, True),
    (OPEN, {**CLOSED, "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}, True),
    ({**OPEN, "additionalProperties": True}, {**OPEN, "additionalProperties": True}, False),
    ({"type": "object"}, {"type": "object"}, False),
    ({"type": "array", "items": CLOSED}, {"type": "array", "items": CLOSED}, False),
]


@pytest.mark.parametrize("quirks", [OFFICIAL, LOOKALIKE], ids=["official", "lookalike"])
@pytest.mark.parametrize(("schema", "sent", "strict"), SCHEMAS, ids=[json.dumps(row[0])[:60] for row in SCHEMAS])
def test_a_schema_is_strict_where_it_can_be(schema, sent, strict, quirks):
    """The schema goes in the strict form; what has none goes as it is, and OpenAI's own do not enforce it."""
    request = Request("Hi", schema=schema)
    body = wire.encode(request, "m", quirks)
    named = {"name": "answer", "schema": sent, "strict": strict}
    assert body["response_format"] == {"type": "json_schema", "json_schema": named}
    assert [message["role"] for message in body["messages"]] == ["user"]
    told = [warning.partition(" by")[0] for warning in told_of(wire, request, quirks)]
    assert told == (["schema: not enforced"] if quirks is OFFICIAL and not strict else [])


def test_the_schemas_of_tools_stay():
    """Nothing is said of `strict` beside a tool, and its schema goes as it is."""
    body = wire.encode(Request("Hi", tools=[Tool("f", "", LOOSE)]), "m", OFFICIAL)
    assert body["tools"] == [{"type": "function", "function": {"name": "f", "parameters": LOOSE}}]


def means(*refused):
    """What is left to ask for an answer that follows a schema, when this was refused: (format, what is told of it)."""
    quirks = wire.Quirks(remedies={f"response_format={one}": instead for one, instead in refused})
    return lambda schema: (
        wire.encode(Request("Hi", schema=schema), "m", quirks),
        told_of(wire, Request("Hi", schema=schema), quirks),
    )


TO_JSON_MODE = ("json_schema", "response_format=json_object")
IN_WORDS = ("schema: asked for in words, for the target does not enforce it",)


def test_json_mode():
    """Where schemas are not taken, JSON is, and the system prompt says which; the word itself has to stand there."""
    body, told = means(TO_JSON_MODE)(CLOSED)
    assert body["response_format"] == {"type": "json_object"}
    assert told == ("schema: asked for in JSON mode and in words, for the target does not enforce it",)
    assert body["messages"][0]["role"] == "system"
    words = body["messages"][0]["content"]
    assert "json" in words.lower()
    assert json.loads(words.splitlines()[-1]) == CLOSED  # as it was given: words need no strict form


@pytest.mark.parametrize(
    ("refused", "schema"),
    [
        ([TO_JSON_MODE, ("json_object", None)], CLOSED),
        ([("json_schema", None)], CLOSED),
        ([TO_JSON_MODE], {"type": "array", "items": CLOSED}),
    ],
    ids=["both refused", "this schema refused", "no object, which is all that JSON mode gives"],
)
def test_words_alone(refused, schema):
    """The last means is to say it."""
    body, told = means(*refused)(schema)
    assert "response_format" not in body
    assert json.loads(body["messages"][0]["content"].splitlines()[-1]) == schema
    assert told == IN_WORDS


def test_a_model_that_follows_no_schema_is_not_told_of_it_unasked():
    """What was learned of schemas changes nothing where none is asked for."""
    body, told = means(TO_JSON_MODE)(None)
    assert (body["messages"], told) == ([{"role": "user", "content": "Hi"}], ())
    assert "response_format" not in body


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
    *[(name, {"reasoning_effort": "low", "tools": []}, None) for name in SAMPLES.refused if "-route-" in name],
    ("openai-error-400-context-length.json", {"messages": []}, None),
    ("openai-error-400-schema.json", {"response_format": {}}, None),
    (
        "openai-error-400-schema.json",
        {"response_format": {"type": "json_schema"}},
        ("response_format=json_schema", None, False),
    ),
    ("llama-cpp-error-400-tool-choice.json", {"tool_choice": "x"}, None),
    ("compat-fastapi-422.json", {"messages": []}, None),
    ("openai-error-500.json", {"temperature": 1}, None),
]


@pytest.mark.parametrize(("name", "body", "mended"), REMEDIES, ids=[f"{row[0]} {row[1]}" for row in REMEDIES])
def test_remedy(name, body, mended):
    """An error that names an unsupported parameter of the body is mended, no other one is."""
    assert wire.remedy(SAMPLES.error(wire, name), body, LOOKALIKE) == (mended and Remedy(*mended))


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


# What servers say of `response_format`: the status, the words, and whether they are about this schema alone.
FORMATS = [
    (400, "This response_format type is unavailable now", False),  # DeepSeek
    (
        422,
        "Failed to deserialize the JSON body into the target type: response_format: response_format.type `json_schema`"
        " is unavailable now at line 1 column 1193",
        False,
    ),
    (
        400,
        "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model. Learn more about"
        " supported models at the Structured Outputs guide: https://platform.openai.com/docs/guides/structured-outputs",
        False,
    ),
    (
        400,
        "This model does not support response format `json_schema`. See supported models at https://x",
        False,
    ),  # Groq
    (400, "Unsupported parameter: 'response_format' is not supported with this model.", False),
    (400, "The response_format parameter is unsupported at the moment. Leave it unset.", False),  # xAI
    (405, "json_schema response format is not supported for model: x", False),  # DeepInfra
    (
        400,
        "The parameter `response_format.type` specified in the request are not valid: invalid value: `json_schema`,"
        " supported values are: `json_object` and `text`.",
        False,
    ),  # Volcengine
    (
        400,
        "response_format value as json_schema is enabled only for api versions 2024-08-01-preview and later",
        False,
    ),  # Azure
    (422, "response_format.type: Input should be 'text' or 'json_object'", False),
    (400, "Invalid schema for response_format 'x': In context=(), 'oneOf' is not permitted.", True),
    (400, "invalid JSON schema for response_format: 'x': /required: `required` is required", True),  # Groq
    (400, "Failed to parse grammar", True),  # llama-server
    (400, "Failed to initialize samplers: failed to parse grammar", True),
    (500, "Unable to generate parser for this template. Automatic parser generation failed: x", True),
    (400, "The provided JSON schema contains features not supported by xgrammar.", True),  # vLLM
    (400, "The specified schema produces a constraint that has too many states for serving.", True),  # Gemini
]


@pytest.mark.parametrize(("status", "message", "this"), FORMATS, ids=[row[1][:60] for row in FORMATS])
def test_remedy_of_a_schema(status, message, this):
    """Who takes no schema is asked in JSON mode from now on; who does not take this one, in words, this time."""
    found, code, param, _ = wire.read_error(status, json.dumps({"error": {"message": message}}))
    error = APIError(status, found, code, param=param)
    asked = {"response_format": {"type": "json_schema", "json_schema": {}}}
    said = "response_format=json_schema"
    expected = Remedy(said, None, False) if this else Remedy(said, "response_format=json_object")
    assert wire.remedy(error, asked, LOOKALIKE) == expected
    assert wire.remedy(error, asked, wire.Quirks(remedies={said: None})) is None
    for other in ({}, {"response_format": {"type": "text"}}, {"response_format": 7}):
        assert wire.remedy(error, other, LOOKALIKE) is None
    assert classify(error) is (ErrorKind.INVALID if this else ErrorKind.UNSUPPORTED)


@pytest.mark.parametrize(
    "message",
    [
        "'response_format.type' must be 'json_schema' or 'text'",
        "Invalid parameter: 'response_format' of type 'json_object' is not supported with this model.",
        "json_object response format is not supported for model: x",
        "This response_format type is unavailable now",
    ],
)
def test_remedy_of_json_mode(message):
    """Where that is refused too, words are left."""
    found, code, param, _ = wire.read_error(400, json.dumps({"error": {"message": message}}))
    error = APIError(400, found, code, param=param)
    asked = {"response_format": {"type": "json_object"}}
    assert wire.remedy(error, asked, LOOKALIKE) == Remedy("response_format=json_object", None)


@pytest.mark.parametrize(
    "message",
    [
        "Your prompt says: This model does not support response format `json_schema`. Which is harmful content that "
        "this service does not like",
        "The prompt 'this response_format type is unavailable now, and this goes on for quite a while, with words and "
        "words, until the end of the line' is too long",
        "Prompt rejected: \"Invalid schema for response_format 'x'\"",
        "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
        "Invalid type for 'response_format': expected an object, but got a string instead.",
    ],
)
def test_words_about_other_matters_teach_nothing_of_schemas(message):
    """A prompt that a server quotes, and a mistake of the caller's, are no news about the model."""
    found, code, param, _ = wire.read_error(400, json.dumps({"error": {"message": message}}))
    asked = {"response_format": {"type": "json_schema", "json_schema": {}}}
    assert wire.remedy(APIError(400, found, code, param=param), asked, LOOKALIKE) is None


def test_remedy_of_fastapi():
    """A server on FastAPI names the place of what it does not know."""
    detail = [
        {"type": "extra_forbidden", "loc": ["body", "max_completion_tokens"], "msg": "Extra inputs are not permitted"}
    ]
    found, code, param, _ = wire.read_error(422, json.dumps({"detail": detail}))
    error = APIError(422, found, code, param=param)
    assert wire.remedy(error, {"max_completion_tokens": 9}, LOOKALIKE) == Remedy("max_completion_tokens", "max_tokens")


# --- over HTTP


@pytest.mark.parametrize("left", [0, 3, 9, 30, 80, 150])
def test_a_cut_behind_a_finished_answer_does_no_harm(server, left):
    """Once the finish reason has come the answer is whole, wherever behind it the stream is cut."""
    body = SAMPLES.data("openai-chat-stream-usage.sse")
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

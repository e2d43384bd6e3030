"""Anthropic's Messages: the wire against the answers that its server gives, and the provider over it.

`data/anthropic` holds the answers, `expect.json` beside them what each of them means.
"""

from __future__ import annotations

import copy
import json
import random
from dataclasses import replace
from functools import partial

import pytest
import samples
from helpers import told_of
from readers import READERS
from samples import Samples, check_response, sse

from majordomo import DSNError, Registry, Request, UnsupportedError, Usage
from majordomo.errors import APIError, ErrorKind, MajordomoError, ProtocolError, TruncatedError, classify
from majordomo.llm import Image, Message, Text, Thinking, Tool, ToolCall, ToolResult, assistant, tool_result, user
from majordomo.model import TextDelta
from majordomo.testing import RED, Seen, Status, hang
from majordomo.wires import anthropic as wire

SAMPLES = Samples("anthropic")
NEWEST = wire.Quirks()
decode_stream = partial(samples.decode_stream, wire)
TARGET = "box/m"
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
CLOSED = {**SCHEMA, "additionalProperties": False}
SIGNATURE = "EqMBCkYIExgC"


def quirks_of(id):
    """The quirks of a model, as its provider knows them."""
    return wire.Quirks(**Registry({"LLM_BOX": "anthropic://key@box.test"}).provider("box").quirks_of(id))


# --- answers


PARTS = {
    "anthropic-message-tool-use.json": [Thinking, Text, ToolCall, ToolCall],
    "anthropic-message-thinking-omitted.json": [Thinking, Text],
    "anthropic-message-redacted-thinking.json": [Thinking, Text],
    "anthropic-stream-thinking.sse": [Thinking, Text],
    "anthropic-stream-thinking-omitted.sse": [Thinking, Thinking, Text],
    "anthropic-stream-tool-use.sse": [Text, ToolCall, ToolCall],
}


def blocks_of(name):
    """The blocks of a sample, whole, as they go back."""
    if name in SAMPLES.whole:
        return [{k: v for k, v in block.items() if k != "caller"} for block in SAMPLES.payload(name)["content"]]
    found = []
    for value in [json.loads(line[6:]) for line in SAMPLES.text(name).splitlines() if line.startswith("data: ")]:
        if value["type"] == "content_block_start":
            found.append({k: v for k, v in value["content_block"].items() if k != "caller"})
        for field, piece in value.get("delta", {}).items():
            if field in ("text", "thinking", "signature"):
                found[-1][field] += piece
            elif field == "partial_json":
                found[-1]["input"] = (found[-1]["input"] or "") + piece
    for block in found:
        if "input" in block:
            block["input"] = json.loads(block["input"])
    return found


@pytest.mark.parametrize("name", PARTS)
def test_an_answer_goes_back_as_it_came(name):
    """Thinking, be it shown, omitted or redacted, goes back unchanged and in its place, through JSON too."""
    message = (
        wire.decode(SAMPLES.payload(name), NEWEST) if name in SAMPLES.whole else decode_stream([SAMPLES.data(name)])[0]
    ).message
    assert [type(part) for part in message.parts] == PARTS[name]
    for kept in (message, Message.from_dict(json.loads(json.dumps(message.to_dict())))):
        mine = Message("assistant", kept.parts, origin=TARGET)
        sent = wire.encode(Request([user("Hi"), mine, user("And?")]), "m", NEWEST, target=TARGET)["messages"]
        assert sent[1] == {"role": "assistant", "content": blocks_of(name)}


def answer(*content, reason="end_turn", **more):
    return {"type": "message", "role": "assistant", "content": list(content), "stop_reason": reason, **more}


def text_block(text):
    return {"type": "text", "text": text}


USE = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"x": 1}}
CALL = ["toolu_1", "f", {"x": 1}]
ANSWERS = {
    "texts": (answer(text_block("a"), text_block("b")), {"text": "ab"}),
    "nothing": (answer(), {"text": "", "stop_reason": "stop"}),
    "junk": (answer(None, 7, "x", {}, {"type": []}, text_block(None), text_block("b")), {"text": "b"}),
    "calls, no ids": (
        answer({**USE, "id": None}, {**USE, "id": ""}),
        {"stop_reason": "tool_calls", "tool_calls": [[None, "f", {"x": 1}]] * 2},
    ),
    "calls of one id": (
        answer(USE, USE),
        {"stop_reason": "tool_calls", "tool_calls": [CALL, [None, "f", {"x": 1}]]},
    ),
    "a call that stops": (answer(USE, reason="end_turn"), {"stop_reason": "tool_calls", "tool_calls": [CALL]}),
    "a call, cut": (answer(USE, reason="max_tokens"), {"stop_reason": "length", "tool_calls": [CALL]}),
    "a call of the server": (answer({**USE, "type": "server_tool_use"}), {"stop_reason": "stop"}),
    "input that is none": (
        answer({**USE, "input": [1]}),
        {"stop_reason": "tool_calls", "tool_calls": [["toolu_1", "f", "[1]"]]},
    ),
    "input as text": (answer({**USE, "input": '{"x": 1}'}), {"stop_reason": "tool_calls", "tool_calls": [CALL]}),
    "no input": (
        answer({**USE, "input": None}),
        {"stop_reason": "tool_calls", "tool_calls": [["toolu_1", "f", {}]]},
    ),
    "paused": (answer(text_block("a"), reason="pause_turn"), {"text": "a", "stop_reason": "other"}),
    "unknown reason": (answer(text_block("a"), reason="tired"), {"text": "a", "stop_reason": "other"}),
    "odd reason": (answer(text_block("a"), reason=[7]), {"text": "a", "stop_reason": "other"}),
    "no reason": (answer(text_block("a"), reason=None), {"text": "a", "stop_reason": "other"}),
    "refusal, why": (
        answer(reason="refusal", stop_details={"category": "bio", "explanation": None}),
        {"stop_reason": "refusal", "refusal": "(refused: bio)"},
    ),
    "refusal, half": (
        answer(text_block("So"), reason="refusal", stop_details=None),
        {"text": "So", "stop_reason": "refusal", "refusal": "(refused)"},
    ),
    "thinking, unsigned": (answer({"type": "thinking", "thinking": "hm"}), {"thinking": "hm"}),
    "thinking of nothing": (answer({"type": "thinking", "thinking": "", "signature": ""}), {"thinking": ""}),
    "redacted nothing": (answer({"type": "redacted_thinking", "data": None}), {"thinking": ""}),
}


@pytest.mark.parametrize(("payload", "expect"), list(ANSWERS.values()), ids=list(ANSWERS))
def test_answers(payload, expect):
    """What an answer says is read the same from a document and from events that hold whole blocks."""
    begun = {**payload, "content": [], "stop_reason": None}
    events = [sse({"type": "message_start", "message": begun})]
    for index, block in enumerate(payload["content"]):
        events.append(sse({"type": "content_block_start", "index": index, "content_block": block}))
    end = {"stop_reason": payload["stop_reason"] or "pause_turn", "stop_details": payload.get("stop_details")}
    events.append(sse({"type": "message_delta", "delta": end}))
    for response in (wire.decode(payload, NEWEST), decode_stream(events)[0]):
        check_response(expect, response)


USAGES = {
    "all": (
        {
            "input_tokens": 1,
            "cache_creation_input_tokens": 2,
            "cache_read_input_tokens": 4,
            "output_tokens": 8,
            "output_tokens_details": {"thinking_tokens": 5},
        },
        Usage(7, 8, 4, 5),
    ),
    "two": ({"input_tokens": 1, "output_tokens": 2}, Usage(1, 2)),
    "nulls": ({"input_tokens": 1, "cache_read_input_tokens": None, "output_tokens_details": None}, Usage(1)),
    "nothing": ({}, Usage()),
    "null": (None, Usage()),
    "nonsense": ({"input_tokens": "1", "output_tokens": -1, "cache_read_input_tokens": True}, Usage()),
}


@pytest.mark.parametrize(("usage", "expect"), list(USAGES.values()), ids=list(USAGES))
def test_usage(usage, expect):
    """What a cache gave, or was given, is part of the input here; None is what the server does not say."""
    assert wire.decode(answer(usage=usage), NEWEST).usage == expect


def test_usage_of_a_stream_grows():
    """Counts of a stream are of all so far, and one that is not repeated still holds."""
    events = [
        sse({"type": "message_start", "message": {"usage": {"input_tokens": 5, "cache_read_input_tokens": 3}}}),
        sse({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 1}}),
        sse({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}),
        sse({"type": "message_delta", "delta": {}, "usage": {"input_tokens": None, "output_tokens": 4}}),
    ]
    response = decode_stream(events)[0]
    assert (response.usage, response.stop_reason) == (Usage(8, 4, 3), "stop")


def test_marks_of_the_end():
    """A stop reason makes the answer whole, `message_stop` is its end."""
    decoder = wire.StreamDecoder(NEWEST)
    decoder.feed("", b'{"type": "message_delta", "delta": {"stop_reason": null}}')
    assert (decoder.finished, decoder.done) == (False, False)
    decoder.feed("", b'{"type": "message_delta", "delta": {"stop_reason": "end_turn"}}')
    assert (decoder.finished, decoder.done) == (True, False)
    decoder.feed("", b'{"type": "message_stop"}')
    assert (decoder.finished, decoder.done) == (True, True)


def test_arguments_of_the_servers_own_tools_are_no_calls():
    """Pieces of arguments belong to a call that has begun, and to no other block."""
    begun = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    piece = {"type": "input_json_delta", "partial_json": '{"query": "x"}'}
    events = [
        sse({"type": "content_block_start", "index": 0, "content_block": begun}),
        sse({"type": "content_block_delta", "index": 0, "delta": piece}),
        sse({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}),
    ]
    response, deltas = decode_stream(events)
    assert (response.tool_calls, response.stop_reason, deltas) == ((), "stop", [])


def test_the_pieces_of_arguments_win_over_what_came_first():
    """A server may send a call's input with its beginning and in pieces: it is taken once."""
    events = [
        sse({"type": "content_block_start", "index": 0, "content_block": USE}),
        sse(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "input_json_delta", "partial_json": '{"x": 1}'},
            }
        ),
        sse({"type": "message_delta", "delta": {"stop_reason": "tool_use"}}),
    ]
    assert decode_stream(events)[0].tool_calls == (ToolCall("toolu_1", "f", {"x": 1}),)


@pytest.mark.parametrize("text", ['{"name": "b"}', '```json\n{"name": "b"}\n```'])
def test_an_answer_to_a_schema(text):
    """It is parsed, also within a fence."""
    assert wire.decode(answer(text_block(text)), NEWEST, SCHEMA).parsed == {"name": "b"}


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (answer(text_block('{"name": "b"}'), reason="max_tokens"), TruncatedError),
        (answer(text_block("Sure!")), ProtocolError),
    ],
)
def test_an_answer_that_misses_the_schema(payload, kind):
    """One that was cut, or is no JSON, is an error with the text."""
    with pytest.raises(kind) as caught:
        wire.decode(payload, NEWEST, SCHEMA)
    assert caught.value.partial == payload["content"][0]["text"]


ANSWERED = {"type": "tool_use", "id": "toolu_1", "name": wire.ANSWER, "input": {"name": "b é"}}


def test_an_answer_as_the_arguments_of_a_tool():
    """The tool that stands for an answer is no call: its arguments are the text, and what is read."""
    response = wire.decode(answer(ANSWERED, reason="tool_use"), NEWEST, SCHEMA)
    assert response.parsed == json.loads(response.text) == {"name": "b é"}
    assert (response.tool_calls, response.stop_reason) == ((), "stop")
    assert [type(part) for part in response.message.parts] == [Text]
    call = wire.decode(answer(ANSWERED, reason="tool_use"), NEWEST)  # nobody asked for it
    assert (call.tool_calls[0].name, call.stop_reason) == (wire.ANSWER, "tool_calls")


def test_an_answer_as_the_arguments_of_a_tool_with_words_before_it():
    """What is said before it is text as well, and no part of the value."""
    response = wire.decode(answer(text_block("Here it is:"), ANSWERED, reason="tool_use"), NEWEST, SCHEMA)
    assert response.parsed == {"name": "b é"}
    assert response.text.startswith("Here it is:")


def arguments_of(*pieces, begin=None, reason="tool_use"):
    """The stream of an answer as the arguments of a tool."""
    return sse(
        {"type": "content_block_start", "index": 1, "content_block": {**ANSWERED, "input": begin or {}}},
        *[
            {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": piece}}
            for piece in pieces
        ],
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": {"stop_reason": reason}},
        {"type": "message_stop"},
    )


def test_a_streamed_answer_as_the_arguments_of_a_tool():
    """Its arguments come as text, as they come, and nothing is told of a call."""
    response, deltas = decode_stream([arguments_of("", '{"na', 'me": "b"}')], schema=SCHEMA)
    assert [(type(delta), delta.text) for delta in deltas] == [(TextDelta, '{"na'), (TextDelta, 'me": "b"}')]
    assert (response.text, response.parsed) == ('{"name": "b"}', {"name": "b"})
    assert (response.tool_calls, response.stop_reason) == ((), "stop")
    whole, _ = decode_stream([arguments_of(begin={"name": "b"})], schema=SCHEMA)
    assert whole.parsed == {"name": "b"}
    nothing, _ = decode_stream([arguments_of()], schema={"type": "object"})
    assert (nothing.text, nothing.parsed) == ("{}", {})


def test_a_cut_answer_as_the_arguments_of_a_tool():
    """It is a TruncatedError with the text so far, whole or streamed."""
    with pytest.raises(TruncatedError) as caught:
        decode_stream([arguments_of('{"na', reason="max_tokens")], schema=SCHEMA)
    assert caught.value.partial == '{"na'
    with pytest.raises(TruncatedError) as caught:
        wire.decode(answer({**ANSWERED, "input": {}}, reason="max_tokens"), NEWEST, SCHEMA)
    assert caught.value.code == "max_tokens"


@pytest.mark.parametrize("payload", [answer(reason="refusal"), answer(USE, reason="tool_use")])
def test_no_answer_to_a_schema_yet(payload):
    """A model that declines, or calls a tool first, has not answered to it."""
    assert wire.decode(payload, NEWEST, SCHEMA).parsed is None


NONSENSE = [None, 7, "x", [], {}, {"content": "x"}, {"type": "message"}, {"error": {}}]
NONSENSE += [SAMPLES.payload(f"anthropic-{name}.json") for name in ("count-tokens", "model", "models")]


@pytest.mark.parametrize("payload", NONSENSE, ids=lambda payload: json.dumps(payload)[:30])
def test_what_is_no_answer(payload):
    """A 2xx that makes no sense is a ProtocolError, never a response."""
    with pytest.raises(ProtocolError):
        wire.decode(payload, NEWEST)


# --- errors

# (type, status, kind) of an error that comes without a status.
INNER = [
    ("invalid_request_error", 400, "INVALID"),
    ("authentication_error", 401, "AUTH"),
    ("billing_error", 402, "QUOTA"),
    ("permission_error", 403, "AUTH"),
    ("not_found_error", 404, "NOT_FOUND"),
    ("request_too_large", 413, "TOO_LONG"),
    ("rate_limit_error", 429, "RATE_LIMITED"),
    ("api_error", 500, "TRANSIENT"),
    ("timeout_error", 504, "TRANSIENT"),
    ("overloaded_error", 529, "TRANSIENT"),
    ("future_error", 500, "TRANSIENT"),
    (None, 500, "TRANSIENT"),
]


@pytest.mark.parametrize(("type_", "status", "kind"), INNER)
def test_an_error_in_a_200(type_, status, kind):
    """An error in a 200, or in a stream, has the status and the kind it would have had."""
    payload = {"type": "error", "error": {"type": type_, "message": "m"}}
    for ask in (
        lambda: wire.decode(payload, NEWEST),
        lambda: decode_stream([sse(payload)]),
        lambda: decode_stream([sse({"error": payload["error"]}, name="error")]),
    ):
        with pytest.raises(APIError) as caught:
            ask()
        assert (caught.value.status, caught.value.message, caught.value.code) == (status, "m", type_)
        assert classify(caught.value) is ErrorKind[kind]


@pytest.mark.parametrize("data", [{"type": "error"}, {}, {"type": "error", "error": None}])
def test_an_error_event_of_nothing(data):
    """An error event is an error, whatever it says."""
    with pytest.raises(APIError) as caught:
        decode_stream([sse(data, name="error")])
    assert caught.value.status == 500


# (status, message, kind): what is told by words alone.
WORDS = [
    (400, "prompt is too long: 210345 tokens > 200000 maximum", "TOO_LONG"),
    (
        400,
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length",
        "TOO_LONG",
    ),
    (400, "Your credit balance is too low to access the Anthropic API.", "QUOTA"),
    (400, "You have reached your specified API usage limits. You will regain access on 2026-12-01.", "QUOTA"),
    (400, "messages.0: the user said that the prompt is too long", "INVALID"),
]


@pytest.mark.parametrize(("status", "message", "kind"), WORDS)
def test_errors_that_are_told_by_words(status, message, kind):
    """What only the message says is understood, where it is the message and not a prompt in it."""
    body = json.dumps({"type": "error", "error": {"type": "invalid_request_error", "message": message}})
    found, code, param, _ = wire.read_error(status, body)
    assert classify(APIError(status, found, code, param=param)) is ErrorKind[kind]


@pytest.mark.parametrize(
    "code", ["enforced_spend_limit_reached", "contract_spend_limit_reached", "ramp_limit_exceeded"]
)
def test_limits_of_money(code):
    """A 429 that no waiting helps is told by its code."""
    body = {"error": {"type": "rate_limit_error", "message": "m", "details": {"error_code": code}}}
    assert classify(APIError(429, *wire.read_error(429, json.dumps(body))[:2])) is ErrorKind.QUOTA


# --- conversations

REQUEST = SAMPLES.payload("anthropic-request-full.json")
SPOKEN = REQUEST["messages"][1]["content"]
PICTURE = Image.from_base64(REQUEST["messages"][0]["content"][0]["source"]["data"])
FULL = Request(
    (
        user(PICTURE, "What colour is this, and what is the weather in Oslo?"),
        Message(
            "assistant",
            (
                Thinking("Need the tool.", SPOKEN[0]["signature"]),
                Text("Looking it up."),
                *[ToolCall(block["id"], block["name"], block["input"]) for block in SPOKEN[2:]],
            ),
            origin="anthropic/claude-sonnet-4-6",
        ),
        tool_result(SPOKEN[2]["id"], "timeout after 5 s", is_error=True),
        tool_result(SPOKEN[3]["id"], "map follows", PICTURE),
        user("Answer with what you have."),
    ),
    system="You are terse.",
    tools=[Tool(tool["name"], tool["description"], tool["input_schema"]) for tool in REQUEST["tools"]],
    schema={"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]},
    reasoning="medium",
    max_tokens=1024,
    stop="END",
)


def test_a_full_request():
    """Everything at once becomes the body that the server takes."""
    expect = copy.deepcopy(REQUEST)
    del expect["tool_choice"]  # defaults are not sent
    quirks = quirks_of("claude-sonnet-4-6")
    target = "anthropic/claude-sonnet-4-6"
    assert wire.encode(FULL, "claude-sonnet-4-6", quirks, target=target, stream=True) == expect
    assert told_of(wire, FULL, quirks, target=target) == ()


def test_the_least_request():
    """A question is a model, a limit and a text."""
    assert wire.encode(Request("Hi"), "m", NEWEST) == {
        "model": "m",
        "max_tokens": 20_000,
        "messages": [{"role": "user", "content": "Hi"}],
    }


def test_encoding_changes_nothing_of_the_callers():
    """The caller's request, schema, tools and `extra` are as they were."""
    request = replace(FULL, schema={**SCHEMA, "minProperties": 1}, extra={"thinking": {"a": 1}, "tools": [{}]})
    before = copy.deepcopy(request.to_dict())
    for quirks in (NEWEST, quirks_of("claude-3-5-haiku")):
        wire.encode(request, "m", quirks, target="anthropic/claude-sonnet-4-6", stream=True)
        told_of(wire, request, quirks)
    assert request.to_dict() == before


def said(*messages, quirks=NEWEST, **options):
    """The messages that are sent of a conversation."""
    return wire.encode(Request(messages, **options), "m", quirks, target=TARGET)["messages"]


def own(*parts):
    """What the target itself said."""
    return Message("assistant", parts, origin=TARGET)


SIGNED = Thinking("hm", SIGNATURE)
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": SIGNATURE}
CONVERSATIONS = {
    "plain": (
        [user("a"), assistant("b"), user("c", "d")],
        [("user", "a"), ("assistant", "b"), ("user", [text_block("c"), text_block("d")])],
    ),
    "white space": (
        [user("a", " \n"), assistant("\n\n", "b"), user("\t")],
        [("user", "a"), ("assistant", "b"), ("user", wire.NO_TEXT)],
    ),
    "nothing": ([user()], [("user", wire.NO_TEXT)]),
    "white space alone": ([user(" "), assistant("b"), user(" "), assistant("c"), user("d")],
        [("user", wire.NO_TEXT), ("assistant", "b"), ("user", wire.NO_TEXT), ("assistant", "c"), ("user", "d")],
    ),
    "an assistant of nothing": ([user("a"), assistant(), user("b")], [("user", "a\n\nb")]),
    "an assistant of white space": (
        [user("a"), assistant(" "), user("b")],
        [("user", [text_block("a"), text_block("b")])],
    ),
    "an assistant who only thought": (
        [user("a"), own(SIGNED), user("b")],
        [("user", [text_block("a"), text_block("b")])],
    ),
    "an assistant first": ([assistant("a"), user("b")], [("user", wire.NO_TEXT), ("assistant", "a"), ("user", "b")]),
    "an assistant alone": ([assistant(" ")], [("user", wire.NO_TEXT)]),
    "an assistant last": ([user("a"), assistant("b ")], [("user", "a"), ("assistant", "b "), ("user", wire.GO_ON)]),
    "own thinking": (
        [user("a"), own(Thinking("no proof"), SIGNED, "b", SIGNED), user("c")],
        [("user", "a"), ("assistant", [THOUGHT, text_block("b")]), ("user", "c")],
    ),
    "another's thinking": (
        [user("a"), Message("assistant", (SIGNED, Text("b")), origin="box/other"), user("c")],
        [("user", "a"), ("assistant", "b"), ("user", "c")],
    ),
    "thinking of no redaction": (
        [user("a"), own(Thinking("", "redacted:xyz"), "b"), user("c")],
        [("user", "a"), ("assistant", [{"type": "redacted_thinking", "data": "xyz"}, text_block("b")]), ("user", "c")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("messages", "expect"), list(CONVERSATIONS.values()), ids=list(CONVERSATIONS))
def test_conversations(messages, expect):
    """Turns alternate, begin and end with the user's, and none of them, and no text, is of nothing."""
    assert [(message["role"], message["content"]) for message in said(*messages)] == expect


A, B = ToolCall("a", "draw", {"x": 1}), ToolCall("b", "plot")
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png"}}


def result(id, content, **more):
    return {"type": "tool_result", "tool_use_id": id, "content": content, **more}


def results_of(*messages):
    """The blocks of the message behind two calls, the data of pictures taken out."""
    sent = said(user("Go"), assistant(A, B), *messages)
    assert [message["role"] for message in sent[:2]] == ["user", "assistant"]
    for block in sent[2]["content"]:
        for inner in [block, *(block["content"] if isinstance(block.get("content"), list) else ())]:
            inner.get("source", {}).pop("data", None)
    return sent[2:]


RESULTS = {
    "texts": (
        [tool_result("a", "1", "2"), tool_result("b", "3")],
        [result("a", "12"), result("b", "3")],
    ),
    "late, and the user goes on": (
        [user("Well?"), tool_result("b", "3"), tool_result("a", "1")],
        [result("a", "1"), result("b", "3"), text_block("Well?")],
    ),
    "nothing, and white space": (
        [tool_result("a"), tool_result("b", " ")],
        [result("a", "(no output)"), result("b", "(no output)")],
    ),
    "pictures": (
        [tool_result("a", Image(RED)), tool_result("b", " ", Image(RED), "so")],
        [result("a", [IMAGE]), result("b", [IMAGE, text_block("so")])],
    ),
    "an error": (
        [tool_result("a", "boom", is_error=True), tool_result("b", is_error=True)],
        [result("a", "boom", is_error=True), result("b", "(no output)", is_error=True)],
    ),
    "an error with pictures": (
        [tool_result("a", "boom", Image(RED), is_error=True), tool_result("b", Image(RED)), user("Well?")],
        [
            result("a", "boom", is_error=True),
            result("b", [IMAGE]),
            text_block("Images returned by the tool draw (a):"),
            IMAGE,
            text_block("Well?"),
        ],
    ),
}


@pytest.mark.parametrize(("messages", "expect"), list(RESULTS.values()), ids=list(RESULTS))
def test_results(messages, expect):
    """All results are in the message behind their calls, first of all; an error holds text alone."""
    (message,) = results_of(*messages)
    assert message == {"role": "user", "content": expect}


def test_results_before_an_answer():
    """Results stand alone where the assistant went on at once; a user who said nothing says nothing."""
    sent = results_of(tool_result("a", "1"), tool_result("b", "2"), user(" "), assistant("So."), user("Fine."))
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]
    assert sent[0]["content"] == [result("a", "1"), result("b", "2")]


def test_calls():
    """Arguments are an object; ids are made acceptable in call and result alike."""
    call = ToolCall("functions.f:0", "f", {}, malformed='{"x": ')
    sent = said(user("Go"), assistant(call), tool_result(call, "7"))
    (use,) = sent[1]["content"]
    assert (use["type"], use["name"], use["input"]) == ("tool_use", "f", {})
    assert sent[2]["content"][0]["tool_use_id"] == use["id"] != call.id


def test_pictures_of_an_assistant_cannot_be_sent():
    """What this wire cannot say is refused before sending, with the place."""
    with pytest.raises(UnsupportedError, match="message 1"):
        said(user("Hi"), assistant(PICTURE))


@pytest.mark.parametrize(
    ("id", "options", "sent"),
    [
        ("claude-opus-4-5", {}, [("user", "a"), ("assistant", "b")]),
        ("claude-opus-4-5", {"schema": SCHEMA}, [("user", "a"), ("assistant", "b "), ("user", "Continue.")]),
        ("claude-opus-4-0", {"schema": SCHEMA}, [("user", "a"), ("assistant", "b "), ("user", "Continue.")]),
        ("claude-opus-4-0", {"schema": {"type": "array"}}, [("user", "a"), ("assistant", "b")]),
        ("claude-opus-4-6", {}, [("user", "a"), ("assistant", "b "), ("user", "Continue.")]),
        ("claude-next", {}, [("user", "a"), ("assistant", "b "), ("user", "Continue.")]),
    ],
)
def test_an_answer_that_was_begun(id, options, sent):
    """Old models go on with it, if no schema is enforced, without white space at its end; others are told to."""
    request = Request([user("a"), assistant("b ")], **options)
    messages = wire.encode(request, id, quirks_of(id))["messages"]
    assert [(message["role"], message["content"]) for message in messages] == sent
    told = [warning for warning in told_of(wire, request, quirks_of(id)) if warning.startswith("messages: ")]
    assert len(told) == (len(sent) == 3)


IDS = ["claude-3-5-haiku", "claude-haiku-4-5", "claude-opus-4-6", "claude-sonnet-5", "claude-opus-5-5", "unheard-of"]
LEARNED = ["signature", "tool_choice", "thinking+tool_choice", "effort", "schema", "temperature", "thinking"]
LEARNED += ["thinking=disabled", "thinking=adaptive", "thinking=enabled", "effort=max"]
SPEECH = [Text(" "), Text("a\n"), ToolCall("x", "f", {"a": 1}), ToolCall("x", "g"), ToolCall("odd.id", "f")]
SPEECH += [Thinking("hm", SIGNATURE), Thinking("", "redacted:" + SIGNATURE), Thinking("no proof")]
HEARD = [Text(""), Text(" "), Text("b"), Image(RED)]


def any_message(rng, target):
    """A message of anything, in any order."""
    if rng.random() < 0.5:
        parts = [rng.choice(SPEECH) for _ in range(rng.randint(0, 3))]
        return Message("assistant", parts, origin=rng.choice([target, None, "other/m"]))
    parts = [rng.choice(HEARD) for _ in range(rng.randint(0, 2))]
    for _ in range(rng.randint(0, 2)):
        inner = [rng.choice(HEARD) for _ in range(rng.randint(0, 2))]
        parts.insert(0, ToolResult(rng.choice(["x", "odd.id", "lost"]), inner, rng.random() < 0.3))
    return Message("user", parts)


def any_request(rng, target):
    tools = rng.choice([(), (Tool("f"), Tool("g", "does g", {"properties": {}}))])
    return Request(
        [any_message(rng, target) for _ in range(rng.randint(1, 6))],
        system=rng.choice([None, " ", "S"]),
        tools=tools,
        tool_choice=rng.choice(["auto", "none", "required", "g"]) if tools else "auto",
        schema=rng.choice([None, None, SCHEMA, {"type": "object"}]),
        reasoning=rng.choice([None, "off", "minimal", "low", "high", "max"]),
        max_tokens=rng.choice([None, 5, 1500, 9000]),
        temperature=rng.choice([None, 0, 0.5, 1, 2]),
        stop=rng.choice([(), ("a", " ")]),
    )


@pytest.mark.parametrize("id", IDS)
def test_any_request_is_one_that_the_server_takes(id):
    """Whatever was said in whatever order, and whatever was learned: what is sent keeps the rules of the wire."""
    rng, target = random.Random(id), f"box/{id}"
    for _ in range(300):
        request = any_request(rng, target)
        learned_ = dict.fromkeys(rng.sample(LEARNED, rng.choice([0, 0, 1, 2, 4])))
        quirks = replace(quirks_of(id), remedies=learned_, version=rng.choice(["2023-06-01", "2026-10-21"]))
        body = wire.encode(request, id, quirks, target=target)
        seen = Seen("POST", "/v1/messages", {"anthropic-version": quirks.version}, json.dumps(body).encode())
        READERS["anthropic"](seen)
        if body.get("thinking", {}).get("type") == "enabled":
            assert body["messages"][-1]["role"] == "user"


# --- settings


def settings(id, *, messages="Hi", quirks=None, **options):
    """(what is sent besides model and messages, the options that warnings name) for a model."""
    quirks = quirks or quirks_of(id)
    request = Request(messages, **options)
    body = wire.encode(request, id, quirks, target=TARGET)
    told = told_of(wire, request, quirks, target=TARGET)
    assert all(": " in warning and "\n" not in warning for warning in told)
    return {k: v for k, v in body.items() if k not in ("model", "messages")}, [w.partition(":")[0] for w in told]


ADAPTIVE = {"type": "adaptive", "display": "summarized"}
OFF = {"type": "disabled"}
# Model -> what each level becomes: (thinking, effort or the budget's room, whether it is told).
LEVELS = {
    "claude-3-5-haiku-20241022": {"off": ({}, False), "low": ({}, True), "max": ({}, True)},
    "claude-opus-4-20250514": {"off": (OFF, False), "low": (2048, False), "max": (24_000, True)},
    "claude-haiku-4-5-20251001": {
        "off": (OFF, False), "minimal": (1024, False), "low": (2048, False),
        "medium": (10_000, False), "high": (16_384, False), "max": (32_768, False),
    },
    "claude-opus-4-6": {"off": (OFF, False), "minimal": ("low", True), "high": ("high", False), "max": ("max", False)},
    "claude-opus-4-8": {"off": (OFF, False), "medium": ("medium", False), "max": ("max", False)},
    "claude-sonnet-5": {"off": (OFF, False), "max": ("max", False)},
    "claude-opus-5": {"off": (OFF, False), "max": ("max", False)},
    "claude-haiku-5-5": {"off": (OFF, False), "max": ("max", False)},
    "claude-sonnet-5-5": {"off": ("low", True), "max": ("max", False)},
    "claude-opus-5-5": {"off": ("low", True), "minimal": ("low", True), "max": ("max", False)},
    "claude-fable-5-2": {"off": ("low", True), "low": ("low", False)},
    "claude-mythos-preview": {"off": ("low", True), "low": ("low", False)},
    "nobody-heard-of-it": {"off": ("low", True), "low": ("low", False), "max": ("max", False)},
}  # fmt: skip
ROWS = [(id, level, *row) for id, rows in LEVELS.items() for level, row in rows.items()]


@pytest.mark.parametrize(("id", "level", "becomes", "told"), ROWS)
def test_reasoning(id, level, becomes, told):
    """A level is an effort, or a budget that leaves room for an answer; `off` is off, or the least there is."""
    sent, named = settings(id, reasoning=level)
    limit = sent.pop("max_tokens")
    assert named == (["reasoning"] if told else [])
    if isinstance(becomes, int):
        assert sent == {"thinking": {"type": "enabled", "budget_tokens": becomes}}
        assert limit == min(20_000 + {"max": 32_768}.get(level, becomes), 32_000 if "opus-4-2" in id else 52_768)
    elif isinstance(becomes, str):
        think = {} if level == "off" else {"thinking": ADAPTIVE}
        assert sent == {**think, "output_config": {"effort": becomes}}
    else:
        assert sent == ({"thinking": becomes} if becomes else {})


@pytest.mark.parametrize("id", [*LEVELS, "claude-opus-4-1"])
def test_nothing_is_said_of_thinking_unasked(id):
    """Without a level the model thinks as it does by default."""
    sent, named = settings(id)
    assert set(sent) == {"max_tokens"}
    assert named == []


@pytest.mark.parametrize(
    ("max_tokens", "budget"), [(50_000, 10_000), (10_000, 7500), (2000, 1500), (1366, 1025), (1364, None), (100, None)]
)
def test_a_budget_fits_the_callers_limit(max_tokens, budget):
    """Who says a limit keeps it: a budget takes three quarters at most, and below 1024 there is none."""
    sent, named = settings("claude-sonnet-4-5", reasoning="medium", max_tokens=max_tokens)
    assert sent.pop("max_tokens") == max_tokens
    assert sent == ({"thinking": {"type": "enabled", "budget_tokens": budget}} if budget else {})
    assert named == ([] if budget == 10_000 else ["reasoning"])


@pytest.mark.parametrize(
    ("id", "most"), [("claude-3-opus-latest", 4096), ("claude-3-5-sonnet-latest", 8192), ("claude-opus-4-1", 20_000)]
)
def test_an_answer_has_its_models_limit(id, most):
    """A limit must be said: ours is below what an old model can say, and the caller's own is never changed."""
    assert settings(id)[0]["max_tokens"] == most
    assert settings(id, max_tokens=100_000)[0]["max_tokens"] == 100_000


TOOLS = (Tool("f", "does f", {"properties": {"x": {"type": "integer"}}}), Tool("g"))
CALL, RESULT = ToolCall("c", "f"), tool_result("c", "1")
CALL2, RESULT2 = ToolCall("d", "g"), tool_result("d", "2")
# Conversations whose last turn of the assistant began with thinking of its own, or is over.
ON = [
    [user("a")],
    [user("a"), own(SIGNED, CALL), RESULT],
    [user("a"), own(SIGNED, CALL), RESULT, user("b")],
    [user("a"), own(SIGNED, CALL), RESULT, own(CALL2), RESULT2],
    [user("a"), own(CALL), RESULT, own("So."), user("b")],
    [user("a"), own("So."), user("b"), own(Thinking("", "redacted:x"), CALL), RESULT],
]
BROKEN = [
    [user("a"), own(CALL), RESULT],
    [user("a"), own("Hm.", SIGNED, CALL), RESULT],
    [user("a"), own(Thinking("no proof"), CALL), RESULT],
    [user("a"), assistant(SIGNED, CALL), RESULT],
    [user("a"), own(CALL), RESULT, user("b")],
    [user("a"), own(CALL), RESULT, own(SIGNED, CALL2), RESULT2],
    [user("a"), own(CALL), tool_result("c", Image(RED), is_error=True)],
    [user("a"), own("So")],
]


@pytest.mark.parametrize(("messages", "thinks"), [*[(m, True) for m in ON], *[(m, False) for m in BROKEN]])
def test_a_turn_that_goes_on_as_it_began(messages, thinks):
    """A budget to think is refused in a turn that began without thinking: there the level is left out."""
    sent, named = settings("claude-sonnet-4-5", messages=messages, tools=TOOLS, reasoning="low")
    assert ("thinking" in sent, named) == (thinks, [] if thinks else ["reasoning"])
    sent, named = settings("claude-opus-5-5", messages=messages, tools=TOOLS, reasoning="low")
    assert "thinking" in sent
    assert "reasoning" not in named


def test_tools():
    """A tool is sent with its description and its schema, an object even where it does not say so."""
    assert settings("m", tools=TOOLS)[0]["tools"] == [
        {"name": "f", "description": "does f", "input_schema": {"type": "object", **TOOLS[0].parameters}},
        {"name": "g", "input_schema": {"type": "object", "properties": {}}},
    ]


WORD = "Do not answer in text. Call "
FORCED = [
    ("claude-haiku-4-5", "auto", None, None),
    ("claude-haiku-4-5", "none", {"type": "none"}, None),
    ("claude-haiku-4-5", "required", {"type": "any"}, None),
    ("claude-haiku-4-5", "g", {"type": "tool", "name": "g"}, None),
    ("claude-3-5-haiku", "required", {"type": "any"}, None),
    ("claude-opus-4-6", "g", {"type": "tool", "name": "g"}, None),
    ("claude-haiku-5-5", "g", {"type": "tool", "name": "g"}, None),
    ("nobody-heard-of-it", "required", {"type": "any"}, None),
    ("claude-opus-5-5", "auto", None, None),
    ("claude-opus-5-5", "none", {"type": "none"}, None),
    ("claude-opus-5-5", "required", None, WORD + "one of the tools."),
    ("claude-sonnet-5-5", "g", None, WORD + "the tool g."),
    ("claude-fable-5-1", "g", None, WORD + "the tool g."),
]


@pytest.mark.parametrize(("id", "choice", "sent", "words"), FORCED)
def test_tool_choice(id, choice, sent, words):
    """A model that cannot be forced is asked in words, and offered the tool alone."""
    body, named = settings(id, tools=TOOLS, tool_choice=choice, system="Be brief.")
    assert body.get("tool_choice") == sent
    assert body["system"] == "Be brief." + (f"\n\n{words}" if words else "")
    assert [tool["name"] for tool in body["tools"]] == (["g"] if words and choice == "g" else ["f", "g"])
    assert named == (["tool_choice"] if words else [])


@pytest.mark.parametrize(
    ("id", "level", "thinking", "named"),
    [
        ("claude-haiku-4-5", "high", OFF, ["reasoning"]),
        ("claude-haiku-4-5", "off", OFF, []),
        ("claude-haiku-4-5", None, None, []),
        ("claude-opus-4-6", "high", ADAPTIVE, []),
        ("claude-opus-5-5", "high", ADAPTIVE, ["tool_choice"]),
    ],
)
def test_a_forced_tool_and_thinking(id, level, thinking, named):
    """Where a model takes one or the other, the tool wins."""
    sent = settings(id, tools=TOOLS, tool_choice="g", reasoning=level)
    assert (sent[0].get("thinking"), sent[1]) == (thinking, named)


@pytest.mark.parametrize(
    ("id", "options", "sent", "named"),
    [
        ("claude-opus-4-0", {"temperature": 0, "top_p": 0.5}, {"temperature": 0, "top_p": 0.5}, []),
        ("claude-opus-4-5", {"temperature": 0, "top_p": 0.5}, {"temperature": 0}, ["top_p"]),
        ("claude-opus-4-6", {"top_p": 0.5}, {"top_p": 0.5}, []),
        ("claude-opus-4-6", {"temperature": 1.5}, {"temperature": 1}, ["temperature"]),
        ("claude-opus-4-6", {"temperature": 0.5, "reasoning": "off"}, {"temperature": 0.5}, []),
        ("claude-opus-4-6", {"temperature": 0.5, "reasoning": "low"}, {}, ["temperature"]),
        ("claude-opus-4-5", {"temperature": 2, "reasoning": "low"}, {"temperature": 1}, ["temperature"]),
        ("claude-opus-4-5", {"top_p": 0.5, "reasoning": "low"}, {}, ["top_p"]),
        ("claude-opus-4-5", {"top_p": 0.95, "reasoning": "low"}, {"top_p": 0.95}, []),
        ("claude-opus-4-7", {"temperature": 0, "top_p": 1}, {}, ["temperature", "top_p"]),
        ("nobody-heard-of-it", {"temperature": 0.5}, {}, ["temperature"]),
        ("claude-opus-4-5", {"seed": 0}, {}, ["seed"]),
        ("claude-opus-5-5", {"stop": ["END", "x"]}, {"stop_sequences": ["END", "x"]}, []),
        ("claude-opus-5-5", {"stop": ["\n", "END", ""]}, {"stop_sequences": ["END"]}, ["stop"]),
        ("claude-opus-5-5", {"stop": "\n\n"}, {}, ["stop"]),
    ],
)
def test_settings(id, options, sent, named):
    """Sampling goes where it is taken, within its range; what is not sent is told."""
    body, told = settings(id, **options)
    assert {k: v for k, v in body.items() if k not in ("max_tokens", "thinking", "output_config")} == sent
    assert told == named


def test_no_sampling_in_later_versions():
    """From the next version of the API on, no model takes any."""
    quirks = replace(quirks_of("claude-opus-4-5"), version="2026-10-21")
    sent, named = settings("m", quirks=quirks, temperature=1, top_p=1)
    assert set(sent) == {"max_tokens"}
    assert named == ["temperature", "top_p"]


def test_a_system_prompt_of_white_space_is_not_sent():
    """The server takes no text of nothing."""
    for system in (None, "", " \n"):
        assert "system" not in settings("m", system=system)[0]
        assert settings("claude-opus-5-5", system=system, schema={"type": "object"})[0]["system"].startswith(
            "Answer with"
        )


def test_extra_is_merged_and_wins():
    """`extra` is laid over the body, objects into objects."""
    extra = {"max_tokens": 7, "output_config": {"effort": "max"}, "top_k": 3, "model": "other"}
    body = wire.encode(Request("Hi", reasoning="low", schema=SCHEMA, extra=extra), "m", NEWEST)
    assert (body["max_tokens"], body["top_k"], body["model"]) == (7, 3, "other")
    assert body["output_config"] == {"effort": "max", "format": {"type": "json_schema", "schema": CLOSED}}


# --- schemas

SCHEMAS = {
    "closed": (SCHEMA, CLOSED),
    "within": (
        {"type": "array", "items": SCHEMA, "$defs": {"a": SCHEMA}},
        {"type": "array", "items": CLOSED, "$defs": {"a": CLOSED}},
    ),
    "said instead": (
        {"type": "integer", "minimum": 1, "description": "A count."},
        {"type": "integer", "description": "A count. (minimum: 1)"},
    ),
    "names like keywords": (
        {"type": "object", "properties": {"minimum": {"type": "string", "pattern": "x"}}},
        {
            "type": "object",
            "properties": {"minimum": {"type": "string", "description": 'pattern: "x"'}},
            "additionalProperties": False,
        },
    ),
    "lists": (
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3},
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "description": "maxItems: 3"},
    ),
    "longer lists": ({"type": "array", "minItems": 2}, {"type": "array", "description": "minItems: 2"}),
    "formats": (
        {"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "byte"}]},
        {"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "description": 'format: "byte"'}]},
    ),
    "one of": ({"oneOf": [SCHEMA, {"type": "null"}]}, {"anyOf": [CLOSED, {"type": "null"}]}),
    "one and any": (
        {"oneOf": [SCHEMA], "anyOf": [SCHEMA]},
        {"anyOf": [CLOSED], "description": f"oneOf: [{json.dumps(CLOSED, separators=(',', ':'))}]"},
    ),
    "enums": (
        {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null", "const": None}]},
        {"anyOf": [{"enum": ["a"]}, {"const": None}]},
    ),
    "definitions": (
        {"$schema": "x", "$ref": "#/definitions/a", "definitions": {"a": {"type": "string"}}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}},
    ),
    "of no properties": (
        {"type": ["object", "null"], "properties": {}},
        {"type": ["object", "null"], "properties": {}, "additionalProperties": False},
    ),
    "odd": (
        {"type": "string", "format": [], "minItems": {}},
        {"type": "string", "description": "format: [], minItems: {}"},
    ),
    "of a type": (
        {
            "type": "object",
            "properties": {
                "where": {
                    "type": "array",
                    "prefixItems": [{"type": "number"}, {"type": "string"}],
                    "minItems": 2,
                    "maxItems": 2,
                },
                "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True, "default": []},
                "at": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}], "default": None},
                "kind": {"enum": ["a", 1, None]},
                "who": {"$ref": "#/$defs/who", "description": "Whose."},
            },
            "required": ["where"],
            "additionalProperties": False,
            "$defs": {"who": CLOSED},
        },
        {
            "type": "object",
            "properties": {
                "where": {
                    "type": "array",
                    "items": {"anyOf": [{"type": "number"}, {"type": "string"}]},
                    "description": 'prefixItems: [{"type":"number"},{"type":"string"}] (maxItems: 2, minItems: 2)',
                },
                "tags": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "uniqueItems: true, default: []",
                },
                "at": {
                    "anyOf": [{"type": "string", "format": "date"}, {"type": "null"}],
                    "description": "default: null",
                },
                "kind": {"enum": ["a", 1, None]},
                "who": {"anyOf": [{"$ref": "#/$defs/who"}], "description": "Whose."},
            },
            "required": ["where"],
            "additionalProperties": False,
            "$defs": {"who": CLOSED},
        },
    ),
}


@pytest.mark.parametrize(("schema", "expect"), list(SCHEMAS.values()), ids=list(SCHEMAS))
def test_schemas(schema, expect):
    """Objects are closed; what is not enforced is said in the description, and nothing of its meaning is lost."""
    sent, named = settings("m", schema=schema)
    assert sent["output_config"] == {"format": {"type": "json_schema", "schema": expect}}
    assert named == []


IN_WORDS = {
    "recursive": {"type": "object", "properties": {"next": {"$ref": "#"}}},
    "any object": {"type": "object"},
    "a map": {"type": "object", "properties": {}, "additionalProperties": {"type": "integer"}},
    "a map within": {"type": "array", "items": {"type": "object", "additionalProperties": {"type": "integer"}}},
    "anything within": {"type": "object", "properties": {"a": {}}},
}


@pytest.mark.parametrize("schema", list(IN_WORDS.values()), ids=list(IN_WORDS))
def test_schemas_that_cannot_be_enforced(schema):
    """They are asked for in words, as they are."""
    sent, named = settings("claude-opus-5-5", schema=schema, system="Be brief.")
    assert "output_config" not in sent
    assert sent["system"].startswith("Be brief.\n\nAnswer with one JSON value")
    assert json.loads(sent["system"].splitlines()[-1]) == schema
    assert named == ["schema"]


# Model -> whether it can be held to a schema at all.
HELD = {
    "claude-3-5-haiku": False,
    "claude-opus-4-1": False,
    "claude-haiku-4-5": True,
    "claude-sonnet-5": True,
    "m": True,
}


@pytest.mark.parametrize("id", HELD)
def test_a_schema_as_the_arguments_of_a_tool(id):
    """A model that cannot be held to a schema, or not to this one, is made to call a tool that takes the answer."""
    for schema in [*IN_WORDS.values(), *([] if HELD[id] else [SCHEMA])]:
        if schema["type"] != "object":
            continue
        sent, named = settings(id, schema=schema, system="Be brief.")
        (tool,) = sent["tools"]
        assert (tool["name"], tool["input_schema"]) == (wire.ANSWER, schema)
        assert sent["tool_choice"] == {"type": "tool", "name": wire.ANSWER, "disable_parallel_tool_use": True}
        assert sent["system"] == "Be brief."
        assert "output_config" not in sent
        assert named == ["schema"]
    told = told_of(wire, Request("Hi", schema=IN_WORDS["recursive"]), quirks_of(id))
    assert told == ("schema: asked for as the arguments of a tool, for the target does not enforce it",)


@pytest.mark.parametrize(
    ("id", "options"),
    [
        ("claude-opus-4-1", {"tools": TOOLS}),
        ("claude-opus-4-1", {"reasoning": "low"}),
        ("claude-opus-5-5", {}),
        ("claude-fable-5", {}),
        ("claude-opus-4-1", {"schema": {"type": "array"}}),
        ("claude-opus-4-1", {"schema": {**SCHEMA, "anyOf": [SCHEMA]}}),
    ],
)
def test_where_no_tool_can_take_the_answer(id, options):
    """Beside other tools, while it thinks, where none can be forced, or for what no tool takes, it is said in words."""
    options = {"schema": IN_WORDS["recursive"], **options}
    sent, named = settings(id, **options)
    assert [tool["name"] for tool in sent.get("tools", [])] == [tool.name for tool in options.get("tools", ())]
    assert "tool_choice" not in sent
    assert json.loads(sent["system"].splitlines()[-1]) == options["schema"]
    assert named == ["schema"]


@pytest.mark.parametrize(
    ("message", "said", "lasting"),
    [
        ("tools.0.custom.input_schema: JSON schema is invalid.", "answer", False),
        ('tool_choice: type "tool" and "any" are not supported for this model.', "tool_choice", True),
        ("Thinking may not be enabled when tool_choice forces tool use.", "thinking+tool_choice", True),
    ],
)
def test_a_tool_for_the_answer_that_is_refused(message, said, lasting):
    """It is mended as any tool is that cannot be called; one whose schema is refused is said in words this once."""
    request = Request("Hi", schema=SCHEMA)
    quirks = quirks_of("claude-opus-4-1")
    body = wire.encode(request, "m", quirks)
    found = wire.remedy(APIError(400, message), body, quirks)
    assert (found.said, found.lasting) == (said, lasting)
    again = wire.encode(request, "m", replace(quirks, remedies={said: None}))
    assert again["thinking"] == OFF if said == "thinking+tool_choice" else "tools" not in again


@pytest.mark.parametrize("how", ["generate", "stream"])
def test_an_old_model_answers_to_a_schema(server, how):
    """From the question to the value: asked for as a tool's arguments, given as text, and told."""
    model = provider_at(server).model("claude-opus-4-1")
    whole = answer(ANSWERED, reason="tool_use")
    streamed = Status(200, [arguments_of('{"name": ', '"b é"}')], {"Content-Type": "text/event-stream"})
    server.add(streamed if how == "stream" else Status(200, whole))
    if how == "stream":
        with model.stream("Hi", schema=SCHEMA) as stream:
            assert "".join(stream.text_deltas()) == '{"name": "b é"}'
        response = stream.response
    else:
        response = model.generate("Hi", schema=SCHEMA)
    assert response.parsed == {"name": "b é"}
    assert (response.stop_reason, response.tool_calls) == ("stop", ())
    assert [warning.partition(":")[0] for warning in response.warnings] == ["schema"]
    assert READERS["anthropic"](server.requests[-1]).choice == wire.ANSWER


def test_the_tools_of_the_caller_teach_nothing_of_answers():
    """A caller's own tool whose schema is refused is the caller's to know."""
    body = wire.encode(Request("Hi", tools=TOOLS, tool_choice="required"), "m", NEWEST)
    assert wire.remedy(APIError(400, "tools.0.custom.input_schema: JSON schema is invalid."), body, NEWEST) is None


def test_a_schema_without_an_end():
    """One that is its own part is an error of the tree."""
    ring: dict = {"type": "object", "properties": {}}
    ring["properties"]["a"] = ring
    with pytest.raises(MajordomoError):
        wire.encode(Request("Hi", schema=ring), "m", NEWEST)


# --- what errors teach

ASKED = {
    "temperature": 0.5,
    "top_p": 0.5,
    "tool_choice": {"type": "any"},
    "thinking": {"type": "adaptive"},
    "output_config": {"effort": "max", "format": {}},
    "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [THOUGHT, text_block("b")]}],
}
ASKED["output_config"]["format"] = {"type": "json_schema", "schema": CLOSED}


def said_by(name):
    return SAMPLES.payload(name)["error"]["message"]


# What a 400 says, what is kept of it, whether it holds for later requests.
TEACHES = [
    (said_by("anthropic-error-400-sampling.json"), "temperature", True),
    (said_by("anthropic-error-400-sampling-old-version.json"), "temperature", True),
    (said_by("anthropic-error-400-forced-tool.json"), "tool_choice", True),
    (said_by("anthropic-error-400-effort.json"), "effort", True),
    (said_by("anthropic-error-400-thinking-bound.json"), "signature", False),
    ('"thinking.type.adaptive" is not supported for this model.', "thinking=adaptive", True),
    ("adaptive thinking is not supported on this model", "thinking=adaptive", True),
    ("thinking: Input tag 'adaptive' found using 'type' does not match any of them", "thinking=adaptive", True),
    ("thinking: Extra inputs are not permitted", "thinking", True),
    ("'claude-3-5-haiku-20241022' does not support thinking.", "thinking", True),
    ("Thinking may not be enabled when tool_choice forces tool use.", "thinking+tool_choice", True),
    ("tool_choice forces tool use is not compatible with this model", "tool_choice", True),
    ("messages.1.content.0: Invalid `signature` in `thinking` block", "signature", False),
    ("This thinking block is bound to a different conversation.", "signature", False),
    ("messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `text`.", "thinking", False),
    ("messages.1.content.0: `thinking` or `redacted_thinking` blocks in the latest message cannot be modified",
        "signature", False),
    ("output_config.effort: Input should be 'low', 'medium' or 'high'", "effort=max", True),
    ("output_config.format: Extra inputs are not permitted", "schema", True),
    ("This model does not support structured outputs: not available", "schema", True),
    ("output_config.format.schema: For 'object' type, property 'a' is not supported", "schema", False),
    ("`temperature` and `top_p` cannot both be specified for this model.", "temperature+top_p", True),
    ("`temperature` may only be set to 1 when thinking is enabled.", "temperature", False),
    ("top_p: Extra inputs are not permitted", "top_p", True),
    # what is the caller's to know, or about something else
    (said_by("anthropic-error-400-thinking-type.json").replace("disabled", "x"), "thinking=adaptive", True),
    ("temperature: Input should be greater than or equal to 0", None, None),
    ("top_k: Extra inputs are not permitted", None, None),
    ("messages.0: temperature is not supported", None, None),
    *[(said_by(f"anthropic-error-400-{name}.json"), None, None) for name in (
        "invalid", "prompt-too-long", "image-bytes", "image-dimensions", "tool-result-missing",
    )],
]  # fmt: skip


@pytest.mark.parametrize(("message", "said", "lasting"), TEACHES, ids=[row[0][:60] for row in TEACHES])
def test_remedy(message, said, lasting):
    """A 400 that calls a setting unsupported is mended, once; one about a wrong value is not."""
    found = wire.remedy(APIError(400, message), ASKED, NEWEST)
    if said is None:
        assert found is None
        return
    assert (found.said, found.instead, found.lasting) == (said, None, lasting)
    assert wire.remedy(APIError(500, message), ASKED, NEWEST) is None
    assert wire.remedy(APIError(400, message), {"messages": []}, NEWEST) is None
    assert wire.remedy(APIError(400, message), ASKED, wire.Quirks(remedies={said: None})) is None


@pytest.mark.parametrize("messages", [None, 7, [7], ["x"], [{}], [{"content": [7]}]])
def test_remedy_of_an_odd_body(messages):
    """`extra` may have made anything of a body."""
    body = {"messages": messages, "thinking": 7, "output_config": [], "tool_choice": "x"}
    for message, _, _ in TEACHES:
        wire.remedy(APIError(400, message), body, NEWEST)


def learned(*said, id="m"):
    return replace(quirks_of(id), remedies=dict.fromkeys(said))


NAMED = {"type": "tool", "name": "g"}
MENDED = [
    ("temperature", {"temperature": 0.5}, {}, ["temperature"]),
    ("top_p", {"top_p": 0.5}, {}, ["top_p"]),
    ("temperature+top_p", {"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5}, ["top_p"]),
    ("effort", {"reasoning": "high"}, {"thinking": ADAPTIVE}, ["reasoning"]),
    ("effort", {"reasoning": "off"}, {"thinking": OFF}, []),
    ("effort=max", {"reasoning": "max"}, {"thinking": ADAPTIVE, "output_config": {"effort": "high"}}, ["reasoning"]),
    ("thinking=disabled", {"reasoning": "off"}, {"output_config": {"effort": "low"}}, ["reasoning"]),
    ("thinking=adaptive", {"reasoning": "low"}, {"thinking": {"type": "enabled", "budget_tokens": 2048}}, []),
    ("thinking=adaptive", {"reasoning": "off"}, {"thinking": OFF}, []),
    ("thinking", {"reasoning": "low"}, {}, ["reasoning"]),
    ("thinking", {"reasoning": "off"}, {}, []),
    ("schema", {"schema": SCHEMA}, {"tool_choice": {**NAMED, "name": wire.ANSWER, "disable_parallel_tool_use": True}},
        ["schema"]),
    ("tool_choice", {"tools": TOOLS, "tool_choice": "required"}, {}, ["tool_choice"]),
    ("thinking+tool_choice", {"tools": TOOLS, "tool_choice": "g", "reasoning": "low"},
        {"thinking": OFF, "tool_choice": NAMED}, ["reasoning"]),
    ("thinking=adaptive", {"tools": TOOLS, "tool_choice": "g", "reasoning": "low"},
        {"thinking": OFF, "tool_choice": NAMED}, ["reasoning"]),
    ("thinking+tool_choice", {"tools": TOOLS, "tool_choice": "g"}, {"thinking": OFF, "tool_choice": NAMED}, []),
    ("thinking+tool_choice", {"tools": TOOLS, "reasoning": "low"},
        {"thinking": ADAPTIVE, "output_config": {"effort": "low"}}, []),
]  # fmt: skip


@pytest.mark.parametrize(("said", "options", "sent", "named"), MENDED)
def test_remedies(said, options, sent, named):
    """What was learned is heeded, and told where it changes something."""
    quirks = replace(learned(said), sampling="any", thinking=("adaptive", "disabled"))
    body, told = settings("m", quirks=quirks, **options)
    names = ("thinking", "output_config", "temperature", "top_p", "tool_choice")
    assert {name: body[name] for name in names if name in body} == sent
    assert told == named
    assert settings("m", quirks=quirks) == ({"max_tokens": 20_000}, [])


def test_a_forced_tool_where_thinking_cannot_be_stopped():
    """A model that always thinks, and then takes no forced tool, is asked in words."""
    sent, named = settings("m", quirks=learned("thinking+tool_choice"), tools=TOOLS, tool_choice="g")
    assert "tool_choice" not in sent
    assert named == ["tool_choice"]


def test_thinking_that_is_not_taken_back():
    """All of it is left out, and told."""
    messages = [user("a"), own(SIGNED, "b"), user("c")]
    quirks = learned("signature")
    assert said(*messages, quirks=quirks)[1] == {"role": "assistant", "content": "b"}
    assert settings("m", quirks=quirks, messages=messages)[1] == ["messages"]


# --- over HTTP


def provider_at(server, options="", token="test-token"):
    return Registry({"LLM_BOX": server.dsn("anthropic", token=token, options=options)}, retries=0).provider("box")


def ask(model, how, prompt="Hi", **options):
    """The answer, asked for in either way."""
    if how == "generate":
        return model.generate(prompt, **options)
    with model.stream(prompt, **options) as stream:
        list(stream)
    return stream.response


@pytest.mark.parametrize("token", ["sk-ant-test-0123456789", None])
def test_headers(server, token):
    """One header says who asks, none without a token, and one in which version."""
    for options, version in (("", "2023-06-01"), ("version=2026-10-21", "2026-10-21")):
        server.add(SAMPLES.served("anthropic-message-text.json"), path="/v1/messages")
        provider_at(server, options, token).model("m").generate("Hi")
        headers = server.requests[-1].headers
        assert headers["anthropic-version"] == version
        assert headers.get("x-api-key") == token
        assert "authorization" not in headers


@pytest.mark.parametrize("version", ["latest", "2026-1-1", "20261021", "2026-10-211"])
def test_versions_that_are_none(version):
    """A version is a date; the error names the option."""
    with pytest.raises(DSNError, match="version"):
        Registry({"LLM_BOX": f"anthropic://key@box.test?version={version}"}).provider("box")


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/v1/messages"])
def test_the_same_place_however_it_is_written(server, path):
    """A DSN with and without a path leads to the same place."""
    server.add(SAMPLES.served("anthropic-message-text.json"), path="/v1/messages")
    dsn = server.dsn("anthropic", path=path)
    assert Registry({"LLM_BOX": dsn}, retries=0).provider("box").model("m").generate("Hi").text


@pytest.mark.parametrize(
    ("name", "options", "gone"),
    [
        ("anthropic-error-400-forced-tool.json", {"tools": TOOLS, "tool_choice": "g"}, "tool_choice"),
        ("anthropic-error-400-effort.json", {"reasoning": "low"}, "output_config"),
        ("anthropic-error-400-thinking-type.json", {"reasoning": "off"}, "thinking"),
        ("anthropic-error-400-sampling-old-version.json", {"temperature": 0.5}, "temperature"),
    ],
)
@pytest.mark.parametrize("how", ["generate", "stream"])
def test_a_setting_that_is_refused(server, how, name, options, gone):
    """It is mended once, told, and remembered: the next request is right at once."""
    id = "claude-opus-4-6" if gone == "temperature" else "claude-haiku-5-5"
    model = provider_at(server).model(id)
    reply = "anthropic-message-text.json" if how == "generate" else "anthropic-stream-text.sse"
    server.add(SAMPLES.served(name), SAMPLES.served(reply), SAMPLES.served(reply), path="/v1/messages")
    first, again = ask(model, how, **options), ask(model, how, **options)
    assert [gone in seen.json for seen in server.requests] == [True, False, False]
    assert first.warnings == again.warnings
    assert len(first.warnings) == 1


def test_a_setting_that_is_refused_for_ever(server):
    """Nothing is mended twice: an error that goes on is raised."""
    model = provider_at(server).model("claude-haiku-5-5")
    server.add(*[SAMPLES.served("anthropic-error-400-thinking-type.json")] * 9, path="/v1/messages")
    with pytest.raises(APIError, match="thinking"):
        model.generate("Hi", reasoning="off")
    assert len(server.requests) == 2


def test_what_the_caller_puts_in_extra_is_not_mended(server):
    """Who says it in `extra` means it."""
    server.add(SAMPLES.served("anthropic-error-400-sampling.json"), path="/v1/messages")
    with pytest.raises(APIError):
        provider_at(server).model("m").generate("Hi", extra={"temperature": 0.5})
    assert len(server.requests) == 1


@pytest.mark.parametrize("how", ["generate", "stream"])
def test_thinking_bound_to_another_conversation(server, how):
    """It is sent once more without any thinking, told, and not remembered: the next thinking goes back."""
    model = provider_at(server).model("claude-opus-5-5")
    mine = Message("assistant", (SIGNED, Text("b")), origin="box/claude-opus-5-5")
    reply = "anthropic-message-text.json" if how == "generate" else "anthropic-stream-text.sse"
    server.add(
        SAMPLES.served("anthropic-error-400-thinking-bound.json"),
        SAMPLES.served(reply),
        SAMPLES.served(reply),
        path="/v1/messages",
    )
    first = ask(model, how, [user("a"), mine, user("c")])
    assert [warning.partition(":")[0] for warning in first.warnings] == ["messages"]
    assert ask(model, how, [user("a"), mine, user("c")]).warnings == ()
    assert [b"signature" in seen.body for seen in server.requests] == [True, False, True]


def test_an_answer_goes_back_to_who_gave_it(server):
    """A target's own thinking goes back with its answer, and counts as the beginning of its turn."""
    model = provider_at(server).model("claude-sonnet-4-5")
    server.add(*[SAMPLES.served("anthropic-message-tool-use.json")] * 2, path="/v1/messages")
    first = model.generate("Hi", tools=TOOLS, reasoning="low")
    results = [tool_result(call, "7") for call in first.tool_calls]
    again = model.generate([user("Hi"), first.message, *results], tools=TOOLS, reasoning="low")
    body = server.requests[-1].json
    assert body["messages"][1]["content"][0]["type"] == "thinking"
    assert body["thinking"]["type"] == "enabled"
    assert again.warnings == ()


# --- the list of models


def test_list_models(server):
    """All pages, each asked for behind the last; an id that comes twice is listed once."""
    server.add(
        SAMPLES.served("anthropic-models-page1.json"), SAMPLES.served("anthropic-models.json"), path="/v1/models"
    )
    assert provider_at(server).list_models() == ["claude-opus-5-5", "claude-haiku-4-5-20251001"]
    assert [seen.path for seen in server.requests] == [
        "/v1/models?limit=1000",
        "/v1/models?limit=1000&after_id=claude-opus-5-5",
    ]
    assert all(seen.headers["x-api-key"] == "test-token" for seen in server.requests)


def test_list_models_without_pages(server):
    """A server that knows no pages has one."""
    server.add(Status(200, {"data": [{"id": "a b"}, {"id": 7}, None, {"id": "c"}]}), path="/v1/models")
    assert provider_at(server).list_models() == ["a b", "c"]


def test_list_models_whose_last_is_not_named(server):
    """The last id of a page is where the next one begins."""
    for last in (None, "", 7):
        server.reset()
        page = {"data": [{"id": "a&b"}], "has_more": True, "last_id": last}
        server.add(Status(200, page), Status(200, {"data": []}), path="/v1/models")
        assert provider_at(server).list_models() == ["a&b"]
        assert server.requests[-1].path.endswith("&after_id=a%26b")


@pytest.mark.parametrize("body", ["", "[]", "{}", "7", '{"data": {}}', '{"data": [], "has_more": true}'])
def test_what_is_no_list_of_models(server, body):
    """It is a ProtocolError that names the provider."""
    server.add(Status(200, body), path="/v1/models")
    with pytest.raises(ProtocolError) as caught:
        provider_at(server).list_models()
    assert caught.value.target == "box"


def test_a_list_of_models_without_an_end(server):
    """A page that repeats, or pages that never end, are a ProtocolError after so many."""
    server.add(*[SAMPLES.served("anthropic-models-page1.json")] * 3, path="/v1/models")
    with pytest.raises(ProtocolError, match="no end"):
        provider_at(server).list_models()
    assert len(server.requests) == 2
    server.reset()
    pages = [Status(200, {"data": [{"id": f"m{number}"}], "has_more": True}) for number in range(200)]
    server.add(*pages, path="/v1/models")
    with pytest.raises(ProtocolError, match="no end"):
        provider_at(server).list_models()
    assert len(server.requests) == 100


def test_list_models_has_one_deadline(server):
    """The timeout bounds all pages together; an error keeps its kind."""
    server.add(SAMPLES.served("anthropic-models-page1.json"), hang(), path="/v1/models")
    with pytest.raises(TimeoutError):
        provider_at(server).list_models(timeout=0.3)
    server.add(SAMPLES.served("anthropic-error-401.json"), path="/v1/models")
    with pytest.raises(APIError) as caught:
        provider_at(server).list_models()
    assert (caught.value.target, classify(caught.value)) == ("box", ErrorKind.AUTH)


# --- what is known of models


@pytest.mark.parametrize(
    ("id", "images"),
    [
        ("claude-opus-5-5", 600),
        ("claude-sonnet-4-6", 600),
        ("nobody-heard-of-it", 600),
        ("claude-haiku-4-5-20251001", 100),
        ("claude-3-5-sonnet-latest", 100),
    ],
)
def test_limits(id, images):
    """What pictures a request may hold; models of a small context take fewer."""
    found = Registry({"LLM_BOX": "anthropic://key@box.test"}).provider("box").model(id).capabilities
    assert found.max_images_per_request == images
    assert (found.max_image_dimension, found.many_images, found.many_image_dimension) == (8000, 20, 2000)
    assert found.max_image_bytes * 4 // 3 == 10 * 1024 * 1024
    assert found.max_total_image_bytes * 4 / 3 < 32_000_000
    assert set(found.allowed_image_mime) == {"image/jpeg", "image/png", "image/gif", "image/webp"}
    assert found.animated_images is False


# --- odd servers, odd schemas


def test_calls_of_one_index():
    """A server that gives all its blocks one index loses no arguments."""
    begin = {"type": "content_block_start", "index": 0}
    events = [
        {**begin, "content_block": {"type": "tool_use", "id": id, "name": "f", "input": {"x": x}}}
        for id, x in (("t1", 1), ("t2", 2))
    ]
    end = [{"type": "message_delta", "delta": {"stop_reason": "tool_use"}}, {"type": "message_stop"}]
    response, _ = decode_stream([sse(*events, *end)])
    assert [(call.id, call.arguments) for call in response.tool_calls] == [("t1", {"x": 1}), ("t2", {"x": 2})]


def test_a_call_that_was_cut_before_its_arguments():
    """It is marked as one that cannot be run; a call that ended by itself has no arguments."""
    block = {"type": "tool_use", "id": "t", "name": "delete_all", "input": {}}
    for reason, malformed in (("max_tokens", ""), ("tool_use", None)):
        response = wire.decode({"content": [block], "stop_reason": reason}, NEWEST)
        assert response.tool_calls == (ToolCall("t", "delete_all", {}, None, malformed),)


def test_a_list_of_models_with_odd_ids(server):
    """An id that no text can hold does no harm."""
    page = {"data": [{"id": "\ud800x"}], "has_more": True, "last_id": "\ud800"}
    server.add(Status(200, page), Status(200, {"data": []}), path="/v1/models")
    assert provider_at(server).list_models() == ["\ud800x"]


NAME = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
AGE = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}


def test_schemas_in_parts():
    """Parts of one object are one closed object; parts that contradict each other are asked for in words."""
    body = wire.encode(Request("Hi", schema={"allOf": [NAME, AGE]}), "m", NEWEST)
    assert body["output_config"]["format"]["schema"] == {
        "type": "object",
        "properties": {**NAME["properties"], **AGE["properties"]},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    told: list[str] = []
    body = wire.encode(Request("Hi", schema={"allOf": [NAME, {"type": "string"}]}), "m", NEWEST, told=told)
    assert "output_config" not in body
    assert [warning.partition(":")[0] for warning in told] == ["schema"]


def test_definitions_of_both_names():
    """References find what they name, whatever its place was called."""
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/definitions/x"}, "b": {"$ref": "#/$defs/y"}},
        "definitions": {"x": {"type": "string"}},
        "$defs": {"y": {"type": "null"}},
    }
    sent = wire.encode(Request("Hi", schema=schema), "m", NEWEST)["output_config"]["format"]["schema"]
    assert sent["$defs"] == {"x": {"type": "string"}, "y": {"type": "null"}}
    assert sent["properties"] == {"a": {"$ref": "#/$defs/x"}, "b": {"$ref": "#/$defs/y"}}

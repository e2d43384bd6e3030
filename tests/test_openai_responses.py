"""The wire of OpenAI's Responses, against the answers that its servers give.

`data/openai_responses` holds the answers, `expect.json` beside them what each of them means.
"""

from __future__ import annotations

import copy
import json
from base64 import b64decode
from functools import partial

import pytest
import samples
from helpers import ODD_VALUES, told_of
from samples import Samples, check_response, sse

from majordomo import Registry, Request, UnsupportedError
from majordomo.errors import APIError, ErrorKind, MajordomoError, ProtocolError, TruncatedError, classify
from majordomo.llm import Image, Message, Text, Thinking, Tool, ToolCall, ToolResult, assistant, tool_result, user
from majordomo.model import TextDelta
from majordomo.testing import RED, Status
from majordomo.wires import _responses_answers as answers
from majordomo.wires import openai_responses as wire

SAMPLES = Samples("openai_responses")

PLAIN = wire.Quirks()
OFFICIAL = wire.Quirks(
    official=True, efforts=("none", "low", "medium", "high", "xhigh", "max"), sampling=("none",), hidden=True
)
error_of = partial(SAMPLES.error, wire)
SEALED = json.dumps({"id": "rs_1", "encrypted_content": "SEAL"})
PNG = Image(RED)


def decode_stream(chunks, quirks=OFFICIAL):
    return samples.decode_stream(wire, chunks, quirks)


def test_the_last_event_is_the_end():
    """What comes behind it, a marker or nonsense, is not read."""
    decoder = wire.StreamDecoder(OFFICIAL)
    decoder.feed("", json.dumps({"type": "response.completed", "response": {"output": []}}).encode())
    assert (decoder.finished, decoder.done) == (True, True)
    assert decoder.feed("", b"[DONE]") == decoder.feed("", b"{") == []
    assert decoder.close() == []
    with pytest.raises(TruncatedError):  # the marker alone ends nothing
        decode_stream([b"data: [DONE]\n\n"])


# --- small answers, one promise each


def answer(*items, **more):
    return {"object": "response", "status": "completed", "output": list(items), **more}


def message(*parts, **more):
    return {"type": "message", "role": "assistant", "status": "completed", "content": list(parts), **more}


def said(text):
    return {"type": "output_text", "text": text}


def thought(*texts, **more):
    return {"type": "reasoning", "summary": [{"type": "summary_text", "text": text} for text in texts], **more}


def call(**more):
    return {
        "type": "function_call",
        "status": "completed",
        "call_id": "c1",
        "name": "f",
        "arguments": '{"x": 1}',
        **more,
    }


def as_stream(payload, *, indexed=True):
    """The same answer as a stream in which each item comes only when it is whole."""
    events = []
    for number, item in enumerate(payload["output"]):
        event = {"type": "response.output_item.done", "item": item}
        events.append({**event, "output_index": number} if indexed else event)
    return sse(*events, {"type": "response." + (payload.get("status") or "completed"), "response": payload})


CALL = [["c1", "f", {"x": 1}]]
ANSWERS = {
    "text": (answer(message(said("Hi."))), {"text": "Hi.", "stop_reason": "stop"}),
    "parts": (answer(message(said("a"), {"type": "x"}, None, said(None), said("b"))), {"text": "ab"}),
    "messages": (answer(message(said("a")), message(said("b"))), {"text": "ab"}),
    "nothing": (answer(), {"text": "", "stop_reason": "stop", "tool_calls": []}),
    "no status": (answer(message(said("Hi.")), status=None), {"text": "Hi.", "stop_reason": "stop"}),
    "numbers": (answer({"type": 7}, 8, message(9), message(said(10))), {"text": "", "stop_reason": "stop"}),
    "thinking": (answer(thought("a", "b"), message(said("c"))), {"thinking": "a\n\nb", "text": "c"}),
    "open thinking": (
        answer(thought(content=[{"type": "reasoning_text", "text": "a"}]), message(said("c"))),
        {"thinking": "a", "text": "c"},
    ),
    "both": (answer(thought("a", content=[{"type": "reasoning_text", "text": "a b c"}])), {"thinking": "a"}),
    "call": (answer(call()), {"tool_calls": CALL, "stop_reason": "tool_calls"}),
    "call without a status": (answer(call(status=None)), {"tool_calls": CALL, "stop_reason": "tool_calls"}),
    "call that was cut": (answer(call(status="incomplete")), {"tool_calls": [], "stop_reason": "length"}),
    "calls": (
        answer(call(), call(call_id="c2"), call(call_id="c2", arguments="")),
        {"tool_calls": [*CALL, ["c2", "f", {"x": 1}], [None, "f", {}]], "stop_reason": "tool_calls"},
    ),
    "arguments as an object": (
        answer(call(arguments={"x": 1})),
        {"tool_calls": CALL, "stop_reason": "tool_calls"},
    ),
    "text and call": (
        answer(message(said("So.")), call()),
        {"text": "So.", "tool_calls": CALL, "stop_reason": "tool_calls"},
    ),
    "refusal": (
        answer(message({"type": "refusal", "refusal": "No."})),
        {"refusal": "No.", "stop_reason": "refusal", "text": ""},
    ),
    "length": (
        answer(message(said("Hi")), call(status=None), incomplete_details={"reason": "max_output_tokens"}),
        {"stop_reason": "length", "tool_calls": [], "text": "Hi"},
    ),
    "length, and a call that is whole": (
        answer(call(), status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
        {"stop_reason": "length", "tool_calls": CALL},
    ),
    "incomplete": (answer(message(said("Hi")), status="incomplete"), {"text": "Hi", "stop_reason": "length"}),
    "filtered": (
        answer(message(said("Hi")), status="incomplete", incomplete_details={"reason": "content_filter"}),
        {"text": "Hi", "stop_reason": "content_filter"},
    ),
    "steered": (answer(status="incomplete", incomplete_details={"reason": "steered"}), {"stop_reason": "other"}),
    "cancelled": (answer(status="cancelled"), {"stop_reason": "other"}),
    "tags": (answer(message(said("<think>\na\n</think>\n\nb"))), {"thinking": "a", "text": "b"}),
    "tags behind thinking": (
        answer(thought("a"), message(said("<think>b</think>"))),
        {"thinking": "a", "text": "<think>b</think>"},
    ),
}


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize(("payload", "expect"), list(ANSWERS.values()), ids=list(ANSWERS))
def test_answers(payload, expect, indexed):
    """What an answer says is read the same whole and from a stream, where nobody counts the items too."""
    check_response(expect, wire.decode(copy.deepcopy(payload), PLAIN))
    check_response(expect, decode_stream([as_stream(payload, indexed=indexed)], PLAIN)[0])


@pytest.mark.parametrize("output", [[], None, 7])
def test_a_last_event_without_output(output):
    """What came before counts, whatever the last event repeats of it."""
    payload = answer(thought("a"), message(said("b")), call())
    bytes_ = as_stream(payload)
    last = sse({"type": "response.completed", "response": payload})
    emptied = sse({"type": "response.completed", "response": {**payload, "output": output}})
    response, _ = decode_stream([bytes_.replace(last, emptied)])
    assert (response.thinking, response.text, len(response.tool_calls)) == ("a", "b", 1)


def test_items_that_only_the_last_event_has():
    """They are added, and told, and nothing that came before is told twice."""
    payload = answer(thought("a", id="r"), message(said("b"), id="m"), call(id="f"))
    begun = {"type": "response.output_item.done", "item": payload["output"][1], "output_index": 1}
    response, deltas = decode_stream([sse(begun, {"type": "response.completed", "response": payload})])
    assert (response.text, response.thinking, len(response.tool_calls)) == ("b", "a", 1)
    assert [d for d in deltas if type(d) is TextDelta] == [TextDelta("b")]


def test_thinking_that_is_closed_late_stands_first():
    """An item has the place at which it began, also if it is told behind what follows from it."""
    sealed = thought(id="r", encrypted_content="SEAL")
    events = [
        {"type": "response.output_item.added", "item": thought(id="r"), "output_index": 0},
        {"type": "response.output_text.delta", "item_id": "m", "output_index": 1, "delta": "Hi"},
        {"type": "response.output_item.done", "item": sealed, "output_index": 0},
        {"type": "response.completed", "response": {"status": "completed"}},
    ]
    response, _ = decode_stream([sse(*events)])
    assert [type(part) for part in response.message.parts] == [Thinking, Text]
    assert [samples.sealed(part) for part in response.message.parts] == ["SEAL", None]


def test_pieces_without_a_beginning():
    """Items that nobody announced are there when their pieces come."""
    events = [
        {"type": "response.reasoning_summary_text.delta", "delta": "a"},
        {"type": "response.output_text.delta", "delta": None},
        {"type": "response.output_text.delta", "delta": "b"},
        {"type": "response.function_call_arguments.delta", "delta": '{"x": ', "item_id": "f"},
        {"type": "response.function_call_arguments.delta", "delta": "1}", "item_id": "f"},
        {"type": "response.output_item.done", "item": call(id="f", call_id=None)},
        {"type": "response.completed"},
    ]
    response, _ = decode_stream([sse(*events)])
    assert (response.thinking, response.text) == ("a", "b")
    (found,) = response.tool_calls
    assert (found.name, found.arguments) == ("f", {"x": 1})
    assert found.id


def test_only_the_final_answer_is_read_for_a_schema():
    """Comments on the way are text, and no part of the answer; a message without a phase is one."""
    for phase, parsed in (("final_answer", 1), (None, 1), ("commentary", None)):
        payload = answer(message(said("So:"), phase="commentary"), message(said("1"), phase=phase))
        if parsed is None:
            with pytest.raises(ProtocolError):
                wire.decode(payload, OFFICIAL, {"type": "integer"})
        else:
            assert wire.decode(payload, OFFICIAL, {"type": "integer"}).parsed == parsed


def test_a_cut_answer_to_a_schema():
    """It is a TruncatedError with the text, also if it is JSON by chance."""
    payload = answer(message(said("12")), incomplete_details={"reason": "max_output_tokens"})
    with pytest.raises(TruncatedError) as caught:
        wire.decode(payload, OFFICIAL, {"type": "integer"})
    assert caught.value.partial == "12"


# --- failures inside a 200

FAILURES = [
    ({"code": "insufficient_quota", "message": "m"}, 429, "QUOTA"),
    ({"code": "billing_hard_limit_reached", "message": "m"}, 429, "QUOTA"),
    ({"code": "rate_limit_exceeded", "message": "Please try again in 2.5s"}, 429, "RATE_LIMITED"),
    ({"code": "too_many_requests", "message": "m"}, 429, "RATE_LIMITED"),
    ({"code": "server_error", "message": "m"}, 500, "TRANSIENT"),
    ({"code": "server_is_overloaded", "type": "service_unavailable_error", "message": "m"}, 503, "TRANSIENT"),
    ({"code": "slow_down", "message": "m"}, 503, "TRANSIENT"),
    ({"code": "overloaded_error", "message": "m"}, 529, "TRANSIENT"),
    ({"code": "vector_store_timeout", "message": "m"}, 500, "TRANSIENT"),
    ({"code": None, "message": "m"}, 500, "TRANSIENT"),
    ({}, 500, "TRANSIENT"),
    ("broken", 500, "TRANSIENT"),
    (7, 500, "TRANSIENT"),
    ({"code": "context_length_exceeded", "message": "m", "param": "input"}, 400, "TOO_LONG"),
    ({"type": "invalid_request_error", "message": "Your input exceeds the context window of this"}, 400, "TOO_LONG"),
    ({"code": "invalid_prompt", "message": "Invalid prompt: your prompt was flagged as ..."}, 400, "FILTERED"),
    ({"code": "bio_policy", "message": "m"}, 400, "FILTERED"),
    ({"code": "misalignment_policy_violation", "message": "m"}, 400, "FILTERED"),
    ({"code": "image_content_policy_violation", "message": "m"}, 400, "FILTERED"),
    ({"code": "content_filter", "message": "m"}, 400, "FILTERED"),
    ({"code": "invalid_prompt", "message": "m"}, 400, "INVALID"),
    ({"code": "invalid_image_format", "message": "m"}, 400, "INVALID"),
    ({"code": "image_parse_error", "message": "m"}, 400, "INVALID"),
    ({"code": "unsupported_image_media_type", "message": "m"}, 400, "INVALID"),
    ({"code": "invalid_base64_image", "message": "m"}, 400, "INVALID"),
    ({"code": "empty_image_file", "message": "m"}, 400, "INVALID"),
    ({"code": "failed_to_download_image", "message": "m"}, 400, "INVALID"),
    ({"code": "data_residency_mismatch", "message": "m"}, 400, "INVALID"),
]


@pytest.mark.parametrize(("error", "status", "kind"), FAILURES, ids=[str(row[0])[:50] for row in FAILURES])
def test_failures(error, status, kind):
    """A failure has the status and the kind it would have had, in an answer, an event, flat or not, and at the end."""
    flat = {"type": "error", **error} if isinstance(error, dict) and "type" not in error else None
    failed = answer(status="failed", error=error)
    ways = [
        lambda: wire.decode(failed, OFFICIAL),
        lambda: decode_stream([sse({"type": "response.failed", "response": failed})]),
        lambda: decode_stream([sse({"type": "error", "error": error})]),
        lambda: decode_stream([b"event: error\n" + sse({"error": error})]),
        *([] if isinstance(error, dict) else [lambda: decode_stream([b"event: error\n" + sse(error)])]),
        *([lambda: decode_stream([sse(flat)])] if flat else []),
    ]
    for ask in ways:
        with pytest.raises(APIError) as caught:
            ask()
        assert (caught.value.status, classify(caught.value)) == (status, ErrorKind[kind])
        assert caught.value.message
        assert caught.value.retry_after == (2.5 if "2.5s" in str(error) else None)


def test_a_failure_carries_what_had_arrived():
    """`.partial` holds the text, whether it came in pieces or with the failure."""
    failed = answer(message(said("Half")), status="failed", error=None)
    for ask in (lambda: wire.decode(failed, OFFICIAL), lambda: decode_stream([as_stream(failed)])):
        with pytest.raises(APIError) as caught:
            ask()
        assert (caught.value.partial, caught.value.status) == ("Half", 500)


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_an_answer_that_is_not_made_yet(status):
    """It makes no sense, for nobody asked for it in the background."""
    with pytest.raises(ProtocolError):
        wire.decode(answer(status=status), OFFICIAL)


# --- requests

FULL, MINIMAL = (SAMPLES.payload(name) for name in SAMPLES.requests)


def calls_of(body):
    return [item for item in body["input"] if item["type"] == "function_call"]


def test_request_full():
    """The sample of a whole conversation is what is sent for it, to the letter.

    It says what the server takes for said, `tool_choice` and `parallel_tool_calls`, which we leave out.
    """
    picture = Image(b64decode(FULL["input"][0]["content"][1]["image_url"].partition(",")[2]))
    begun = Message(
        "assistant",
        (
            Thinking(
                FULL["input"][1]["summary"][0]["text"],
                json.dumps({"id": FULL["input"][1]["id"], "encrypted_content": FULL["input"][1]["encrypted_content"]}),
            ),
            Text("Let me look both up.", '{"phase": "commentary"}'),
            *(ToolCall(item["call_id"], item["name"], json.loads(item["arguments"])) for item in calls_of(FULL)),
        ),
        "openai/gpt-6-astra",
    )
    ids = [item["call_id"] for item in calls_of(FULL)]
    request = Request(
        [
            user(FULL["input"][0]["content"][0]["text"], picture, picture),
            begun,
            tool_result(ids[0], "7 °C, rain; radar attached", picture),
            tool_result(ids[1], "timetable service did not answer", is_error=True),
            user("And now as JSON."),
        ],
        system="Answer in one sentence.",
        tools=[Tool(tool["name"], tool["description"], tool["parameters"]) for tool in FULL["tools"]],
        schema=FULL["text"]["format"]["schema"],
        reasoning="low",
        max_tokens=2048,
    )
    body = wire.encode(request, "gpt-6-astra", OFFICIAL, target="openai/gpt-6-astra", stream=True)
    assert {**body, "tool_choice": "auto", "parallel_tool_calls": True} == FULL
    assert told_of(wire, request, OFFICIAL) == ()


def test_request_minimal():
    """A question alone is sent with what keeps the server from keeping it, and asks for sealed thinking."""
    assert wire.encode(Request("Why is the sky blue?"), "gpt-5.4", OFFICIAL) == MINIMAL


def test_other_servers_get_no_more_than_they_need():
    """What only OpenAI's models have is not sent to others."""
    request = Request("Hi", system="Be brief.", reasoning="max", max_tokens=99, temperature=0, top_p=1)
    assert wire.encode(request, "m", PLAIN, stream=True) == {
        "model": "m",
        "store": False,
        "instructions": "Be brief.",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
        "reasoning": {"effort": "high"},
        "max_output_tokens": 99,
        "temperature": 0,
        "top_p": 1,
        "stream": True,
    }


def encoded(*messages, quirks=OFFICIAL, **options):
    """The items that are sent for a conversation."""
    return wire.encode(Request(messages, **options), "m", quirks, target="box/m")["input"]


def own(*parts):
    """What this model said before."""
    return Message("assistant", parts, "box/m")


def kinds(items):
    return [item.get("role", item["type"]) for item in items]


def test_thinking_goes_back_as_it_came():
    """The parts of a summary are told apart again; the seal is untouched."""
    items = [
        thought("a\n\nb", "c", id="rs_1", encrypted_content="SEAL"),
        message(said("d"), phase="commentary"),
        call(namespace="n"),
    ]
    for response in (wire.decode(answer(*items), OFFICIAL), decode_stream([as_stream(answer(*items))])[0]):
        sent = encoded(user("Hi"), own(*response.message.parts), tool_result("c1", "7"))
        assert sent[1] == items[0]
        assert sent[2] == {"type": "message", "role": "assistant", "content": "d", "phase": "commentary"}
        assert (sent[3]["namespace"], sent[3]["call_id"], sent[3]["arguments"]) == ("n", "c1", '{"x":1}')
        assert "id" not in sent[2]
        assert "id" not in sent[3]
        assert sent[4] == {"type": "function_call_output", "call_id": "c1", "output": "7"}


def test_open_thinking_goes_back_in_the_open():
    """What a server thinks unsealed goes back as content, and only where it is no secret."""
    item = thought(id="rs_1", content=[{"type": "reasoning_text", "text": t} for t in ("a", "b")], encrypted_content="")
    response = wire.decode(answer(item, message(said("c"))), PLAIN)
    (back, _) = encoded(user("Hi"), own(*response.message.parts), quirks=PLAIN)[1:]
    assert back == {key: value for key, value in item.items() if key != "encrypted_content"}
    assert kinds(encoded(user("Hi"), own(*response.message.parts))) == ["user", "assistant"]


STAYS = {
    "unsealed": [Thinking("a"), Text("b")],
    "an id alone": [Thinking("a", '{"id": "rs_1"}'), Text("b")],
    "nobody's": [Thinking("a", "x"), Text("b")],
    "no object": [Thinking("a", "[1]"), Text("b")],
    "nothing follows": [Text("b"), Thinking("a", SEALED)],
}


@pytest.mark.parametrize("parts", list(STAYS.values()), ids=list(STAYS))
def test_thinking_that_stays(parts):
    """Thinking that the server could not read, or from which nothing followed, is not sent."""
    assert kinds(encoded(user("Hi"), own(*parts))) == ["user", "assistant"]


def test_thinking_of_another_target_stays():
    """A seal goes back to whoever set it."""
    other = Message("assistant", (Thinking("a", SEALED), Text("b", '{"phase": "commentary"}')), "box/other")
    assert encoded(user("Hi"), other)[1:] == [{"type": "message", "role": "assistant", "content": "b"}]


def test_no_item_twice():
    """A message that stands twice in a conversation is thought once."""
    turn = own(Thinking("a", SEALED), Thinking("a", SEALED), Text("b"), Text(""))
    assert kinds(encoded(user("Hi"), turn, user("Go on"), turn)) == [
        "user",
        "reasoning",
        "assistant",
        "user",
        "assistant",
    ]


def test_texts_of_one_message():
    """Texts that belong together are one item, phases are not mixed."""
    signed = Text("c", '{"phase": "final_answer"}')
    items = encoded(user("Hi"), own(Text("a"), Text("b"), signed, Text("d")))
    assert [(item["content"], item.get("phase")) for item in items[1:]] == [
        ("ab", None),
        ("c", "final_answer"),
        ("d", None),
    ]


def test_a_conversation_of_nothing():
    """An empty list of items is refused: there is always a message."""
    assert kinds(encoded(own(Thinking("a")))) == ["user"]


def test_calls_come_last_where_order_is_lost():
    """OpenAI gets a turn in the order it came; others get its calls behind its words."""
    turn = own(ToolCall("c1", "f"), Text("a"), ToolCall("c2", "f"))
    assert kinds(encoded(user("Hi"), turn))[1:4] == ["function_call", "assistant", "function_call"]
    assert kinds(encoded(user("Hi"), turn, quirks=PLAIN))[1:4] == ["assistant", "function_call", "function_call"]


def test_images_in_results():
    """OpenAI takes them where they are; others are shown them by the user."""
    talk = [user("Hi"), assistant(ToolCall("c1", "f")), tool_result("c1", "see", PNG, is_error=True)]
    assert [part["type"] for part in encoded(*talk)[2]["output"]] == ["input_text", "input_text", "input_image"]
    assert encoded(*talk)[2]["output"][0] == {"type": "input_text", "text": "Error:"}
    result, shown = encoded(*talk, quirks=PLAIN)[2:]
    assert result["output"] == "Error: see"
    assert [part["type"] for part in shown["content"]] == ["input_text", "input_image"]


def test_images_of_the_assistant():
    """There is no place for them on this wire."""
    with pytest.raises(UnsupportedError, match="message 1"):
        encoded(user("Hi"), assistant(PNG))


CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}}


def test_strict_is_always_said():
    """Left out it would be on, and optional properties be filled in: it is on only where the schema is made for it."""
    tools = [Tool("f", "", CLOSED), Tool("g", "", OPEN), Tool("h", "Does h.")]
    body = wire.encode(Request("Hi", tools=tools), "m", OFFICIAL)
    assert body["tools"] == [
        {"type": "function", "name": "f", "parameters": CLOSED, "strict": True},
        {"type": "function", "name": "g", "parameters": OPEN, "strict": False},
        {
            "type": "function",
            "name": "h",
            "description": "Does h.",
            "parameters": {"type": "object", "properties": {}},
            "strict": False,
        },
    ]
    assert "tool_choice" not in body


def test_schema():
    """Name and schema stand beside the type; the schema is strict where it can be made so."""
    loose = {**CLOSED, "required": []}
    nullable = {**CLOSED, "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}
    wide = {"type": "object", "additionalProperties": True}
    for schema, sent, strict in (
        (CLOSED, CLOSED, True),
        (loose, nullable, True),
        (OPEN, nullable, True),
        (wide, wide, False),
    ):
        assert bool(told_of(wire, Request("Hi", schema=schema), OFFICIAL)) is not strict
        body = wire.encode(Request("Hi", schema=schema), "m", OFFICIAL)
        assert body["text"] == {"format": {"type": "json_schema", "name": "answer", "schema": sent, "strict": strict}}
        assert "instructions" not in body


def test_the_schemas_of_tools_stay():
    """A tool's arguments may be left out as before: its schema is not made strict, and one that says more is not."""
    for schema in ({**CLOSED, "required": []}, {**CLOSED, "properties": {"a": {"type": "string", "minLength": 1}}}):
        (tool,) = wire.encode(Request("Hi", tools=[Tool("f", "", schema)]), "m", OFFICIAL)["tools"]
        assert (tool["parameters"], tool["strict"]) == (schema, False)


def test_a_schema_in_words():
    """A server that takes no schema reads it in the system prompt."""
    request = Request("Hi", schema=CLOSED, system="Be brief.")
    quirks = learned(**{"text.format": None})
    body = wire.encode(request, "m", quirks)
    assert "text" not in body
    assert body["instructions"].startswith("Be brief.\n\n")
    assert json.loads(body["instructions"].splitlines()[-1]) == CLOSED
    assert told_of(wire, request, quirks) == ("schema: asked for in words, for the target does not enforce it",)
    assert told_of(wire, Request("Hi"), quirks) == ()


@pytest.mark.parametrize(
    ("choice", "quirks", "sent", "names"),
    [
        ("none", PLAIN, "none", "fg"),
        ("required", OFFICIAL, "required", "fg"),
        ("g", OFFICIAL, {"type": "function", "name": "g"}, "fg"),
        ("g", PLAIN, "required", "g"),
    ],
)
def test_tool_choice(choice, quirks, sent, names):
    """OpenAI is told the tool's name; others, who may not read it, are offered that tool alone."""
    body = wire.encode(Request("Hi", tools=[Tool("f"), Tool("g")], tool_choice=choice), "m", quirks)
    assert body["tool_choice"] == sent
    assert [tool["name"] for tool in body["tools"]] == list(names)


def test_extra_wins():
    """What `extra` says of an object is laid into it."""
    request = Request(
        "Hi", schema=CLOSED, reasoning="low", stop="x", extra={"text": {"verbosity": "low"}, "store": True, "stop": []}
    )
    body = wire.encode(request, "m", OFFICIAL)
    assert body["text"]["verbosity"] == "low"
    assert body["text"]["format"]["name"] == "answer"
    assert (body["store"], body["stop"]) == (True, [])
    assert told_of(wire, request, OFFICIAL) == ()


def test_the_request_stays_as_it_is():
    """Encoding changes nothing of what it was given."""
    extra = {"reasoning": {"mode": "x"}, "include": ["y"]}
    request = Request([user("Hi", PNG)], tools=[Tool("f", "", CLOSED)], schema=OPEN, reasoning="low", extra=extra)
    before = copy.deepcopy(request.to_dict())
    for quirks in (PLAIN, OFFICIAL):
        wire.encode(request, "m", quirks)["reasoning"]["mode"] = "z"
    assert request.to_dict() == before


NONE_TO_MAX = OFFICIAL.efforts
EFFORTS = [
    (None, {"off": "none", "minimal": "minimal", "low": "low", "medium": "medium", "high": "high", "max": "high*"}),
    (NONE_TO_MAX, {"off": "none", "minimal": "low*", "low": "low", "medium": "medium", "high": "high", "max": "max"}),
    (NONE_TO_MAX[1:], {"off": "low*", "minimal": "low*", "max": "max"}),
    (("minimal", "low", "medium", "high"), {"off": "minimal*", "minimal": "minimal", "max": "high*"}),
    (("medium", "high", "xhigh"), {"off": "medium*", "low": "medium*", "max": "xhigh"}),
    (("medium",), {"off": "medium*", "medium": "medium", "high": "medium*", "max": "medium*"}),
    ((), {"off": None, "low": "*", "max": "*"}),
]


@pytest.mark.parametrize(("efforts", "sent"), EFFORTS, ids=[str(row[0]) for row in EFFORTS])
def test_efforts(efforts, sent):
    """The effort next to what is wanted is sent; a warning (here `*`) says where that is another."""
    quirks = wire.Quirks(efforts=efforts)
    for level, expect in sent.items():
        request = Request("Hi", reasoning=level)
        reasoning = wire.encode(request, "m", quirks).get("reasoning", {})
        told = [warning.partition(":")[0] for warning in told_of(wire, request, quirks)]
        assert reasoning.get("effort") == ((expect or "").rstrip("*") or None), level
        assert told == (["reasoning"] if (expect or "").endswith("*") else []), level


def test_a_summary_is_asked_for_with_thinking():
    """Thinking that is hidden is asked for in words, where somebody wants thinking at all."""
    for level, summary in (("low", "auto"), ("off", None), (None, None)):
        body = wire.encode(Request("Hi", reasoning=level), "m", OFFICIAL)
        assert body.get("reasoning", {}).get("summary") == summary


SAMPLING = [
    (None, None, True),
    (None, "high", True),
    ((), None, False),
    ((), "off", False),
    (("none",), None, False),
    (("none",), "off", True),
    (("none",), "low", False),
    (("", "none"), None, True),
    (("", "none"), "off", True),
    (("", "none"), "low", False),
]


@pytest.mark.parametrize(("sampling", "reasoning", "taken"), SAMPLING)
def test_sampling(sampling, reasoning, taken):
    """`temperature` and `top_p` are sent where the model takes them, else a warning says that they were not."""
    quirks = wire.Quirks(efforts=NONE_TO_MAX, sampling=sampling)
    request = Request("Hi", temperature=0, top_p=0.5, reasoning=reasoning)
    body = wire.encode(request, "m", quirks)
    assert ("temperature" in body, "top_p" in body) == (taken, taken)
    told = [warning.partition(":")[0] for warning in told_of(wire, request, quirks)]
    assert told == ([] if taken else ["temperature", "top_p"])


def test_what_the_wire_has_no_place_for():
    """`stop` and `seed` are left out, a limit that is too low is raised, and all of it is told."""
    request = Request("Hi", stop=["x"], seed=0, max_tokens=9)
    body = wire.encode(request, "m", OFFICIAL)
    assert not {"stop", "seed"} & set(body)
    assert body["max_output_tokens"] == 16
    assert told_of(wire, request, OFFICIAL) == (
        "max_tokens: sent as 16, for the target takes no less",
        "stop: left out, for the target has no such option",
        "seed: left out, for the target has no such option",
    )


# --- what errors teach

EVERYTHING = Request(
    [user("Hi"), own(Thinking("a", SEALED), Text("b")), user("c")],
    reasoning="off",
    temperature=0,
    top_p=1,
    max_tokens=20,
)
TAKES_ALL = wire.Quirks(official=True, hidden=True)


def body_of(request=EVERYTHING, quirks=TAKES_ALL):
    return wire.encode(request, "m", quirks, target="box/m", stream=True)


REMEDIES = {
    "error-400-temperature": ("temperature", None, True),
    "error-400-effort": ("reasoning.effort=none", "reasoning.effort=low", True),
    "error-400-reasoning-parameter": ("reasoning", None, True),
    "error-400-include": ("include", None, True),
    "error-400-encrypted-invalid": ("input.reasoning", None, False),
    "error-404-item-not-found": ("input.reasoning", None, False),
    "error-400-reasoning-orphan": ("input.reasoning", None, False),
    "error-400-reasoning-missing": ("input.reasoning", None, False),
}


@pytest.mark.parametrize("name", SAMPLES.refused)
def test_remedy(name):
    """A parameter that is refused is left out, an effort replaced by the next one, thinking sent to nobody twice."""
    found = wire.remedy(error_of(name), body_of(), TAKES_ALL)
    expect = REMEDIES.get(name[len("openai-responses-") : -len(".json")])
    assert (found and (found.said, found.instead, found.lasting)) == expect


def test_remedies_by_words():
    """What other servers say in words alone is understood; a value that is wrong is the caller's to know."""
    rows = [
        ({"detail": "Unsupported parameter: max_output_tokens"}, ("max_output_tokens", None)),
        ({"error": {"message": "Unknown parameter: 'stream_options'."}}, ("stream_options", None)),
        ({"error": {"message": "Unknown parameter: 'input[1].phase'."}}, None),
        ({"error": {"message": "Unsupported parameter: 'model'."}}, None),
        (
            {"error": {"message": "Invalid 'max_output_tokens': ... Expected a value >= 64, but got 20 instead."}},
            None,
        ),
        (
            {
                "error": {
                    "message": "Invalid 'max_output_tokens': ... Expected a value >= 64, but got 20 instead.",
                    "param": "max_output_tokens",
                }
            },
            ("max_output_tokens", "64"),
        ),
        ({"error": {"message": "Invalid 'temperature': decimal above maximum value.", "param": "temperature"}}, None),
        (
            {"error": {"message": "x", "param": "reasoning.effort", "code": "unsupported_value"}},
            ("reasoning.effort=none", None),
        ),
    ]
    for payload, expect in rows:
        text, code, param, _ = wire.read_error(400, json.dumps(payload))
        found = wire.remedy(APIError(400, text, code, param=param), body_of(), TAKES_ALL)
        assert (found and (found.said, found.instead)) == expect, payload


# What is said of a schema: the words, the code, the parameter, and whether that holds for other schemas too.
FORMATS = [
    (
        "Invalid parameter: 'text.format' of type 'json_schema' is not supported with model version `m`.",
        None,
        None,
        True,
    ),
    ("Unsupported parameter: 'text.format' is not supported with this model.", None, "text.format", True),
    ("Unknown parameter: 'text'.", "unknown_parameter", "text", True),
    (
        "Invalid schema for response_format 'x': In context=(), 'oneOf' is not permitted.",
        "invalid_json_schema",
        "text.format.schema",
        False,
    ),
]


@pytest.mark.parametrize(("message", "code", "param", "lasting"), FORMATS, ids=[row[0][:40] for row in FORMATS])
def test_remedy_of_a_schema(message, code, param, lasting):
    """A model that takes no schema is asked in words from now on, one that does not take this one, this time."""
    payload = {"error": {"message": message, "code": code, "param": param}}
    text, code, param, _ = wire.read_error(400, json.dumps(payload))
    error = APIError(400, text, code, param=param)
    asked = wire.encode(Request("Hi", schema=CLOSED), "m", TAKES_ALL)
    found = wire.remedy(error, asked, TAKES_ALL)
    assert (found.said, found.instead, found.lasting) == ("text.format", None, lasting)
    assert wire.remedy(error, asked, learned(**{"text.format": None})) is None
    assert wire.remedy(error, body_of(), TAKES_ALL) is None


def test_words_about_other_matters_teach_nothing_of_schemas():
    """How verbose a model is to be stands beside the schema, and is the caller's alone."""
    asked = wire.encode(Request("Hi", schema=CLOSED, extra={"text": {"verbosity": "low"}}), "m", TAKES_ALL)
    error = APIError(400, "Unsupported parameter: 'text.verbosity'", "unsupported_parameter", param="text.verbosity")
    assert wire.remedy(error, asked, TAKES_ALL) is None


def learned(**remedies):
    return wire.Quirks(official=True, hidden=True, remedies=remedies)


def test_a_remedy_is_tried_once():
    """What was mended before is not mended again."""
    for name, (said_, instead, _) in REMEDIES.items():
        quirks = learned(**{said_: instead})
        assert wire.remedy(error_of(f"openai-responses-{name}.json"), body_of(), quirks) is None


def test_remedies_are_kept():
    """What was learned changes what is sent, and is told."""
    cases = {
        "temperature": (None, "temperature", "temperature: left out, for the target has no such option"),
        "top_p": (None, "top_p", "top_p: left out, for the target has no such option"),
        "max_output_tokens": (None, "max_output_tokens", "max_tokens: left out, for the target has no such option"),
        "include": (None, "include", None),
        "stream_options": (None, "stream_options", None),
        "reasoning": (None, "reasoning", None),
        "input.reasoning": (None, "", "messages: thinking left out, for the target does not take it back"),
    }
    for said_, (instead, gone, warning) in cases.items():
        quirks = learned(**{said_: instead})
        assert set(body_of()) - set(body_of(quirks=quirks)) == ({gone} if gone else set())
        assert told_of(wire, EVERYTHING, quirks) == ((warning,) if warning else ())
    assert "reasoning" not in kinds(body_of(quirks=learned(**{"input.reasoning": None}))["input"])
    assert body_of(quirks=learned(max_output_tokens="64"))["max_output_tokens"] == 64


def test_what_is_learned_of_reasoning():
    """An effort leads to the next one, and that maybe to another; a summary that is not given is told."""
    quirks = learned(
        **{
            "reasoning.effort=none": "reasoning.effort=low",
            "reasoning.effort=low": "reasoning.effort=medium",
            "reasoning.summary": None,
        }
    )
    assert body_of(quirks=quirks)["reasoning"] == {"effort": "medium"}
    assert told_of(wire, EVERYTHING, quirks) == ("reasoning: sent as medium, for the target does not take off",)
    high = Request("Hi", reasoning="high")
    assert wire.encode(high, "m", quirks)["reasoning"] == {"effort": "high"}
    assert told_of(wire, high, quirks) == ("reasoning: stays hidden, for the target gives no summary of it",)
    left_out = learned(**{"reasoning.effort=high": None})
    assert "reasoning" not in wire.encode(high, "m", left_out)
    assert told_of(wire, high, left_out) == ("reasoning: left out, for the target has no such option",)


def test_a_summary_that_is_refused():
    """An organisation that is not verified gets no summaries, and asks for none from then on."""
    body = wire.encode(Request("Hi", reasoning="low"), "m", OFFICIAL)
    error = error_of("openai-responses-error-400-summary-unverified.json")
    assert wire.remedy(error, body, OFFICIAL) == wire.Remedy("reasoning.summary")


# --- whatever comes


def test_odd_values_everywhere():
    """No value of any field of any event is fatal."""
    fields = ("type", "item", "delta", "text", "arguments", "output_index", "item_id", "content_index", "response")
    for name in [
        *answers._PIECES,
        "response.output_item.added",
        "response.output_item.done",
        *answers._ENDS,
        "error",
        "x",
    ]:
        for field in fields:
            for value in [*ODD_VALUES, {"type": "message"}, {"type": "reasoning", "summary": [{}]}, {"output": [{}]}]:
                decoder = wire.StreamDecoder(PLAIN)
                try:
                    decoder.feed("", json.dumps({"type": name, field: value}).encode())
                    decoder.close()
                    decoder.response()
                except MajordomoError:
                    pass


def test_odd_bodies_of_requests_are_mended_without_harm():
    """`extra` may have put anything into the body that an error is about."""
    for value in ODD_VALUES:
        for name in ("input", "reasoning", "max_output_tokens", "temperature"):
            for error in REMEDIES:
                wire.remedy(error_of(f"openai-responses-{error}.json"), {name: value}, TAKES_ALL)


def test_odd_signatures():
    """A signature that another program wrote is as good as none."""
    for value in ODD_VALUES:
        for key in ("id", "encrypted_content", "summary", "content", "phase", "namespace"):
            signature = json.dumps({key: value})
            items = encoded(
                user("Hi"),
                own(Thinking("a", signature), Text("b", signature), ToolCall("c1", "f", {}, signature)),
                Message("tool", (ToolResult("c1", ("7",)),)),
            )
            json.dumps(items, allow_nan=False)


# --- what servers do not tell


@pytest.mark.parametrize(
    ("made", "limit", "reason"), [(16, 16, "length"), (15, 16, "stop"), (16, None, "stop"), (None, 16, "stop")]
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_limit_that_is_not_told(server, made, limit, reason, stream):
    """llama-server and Ollama say `completed` also of what they cut: the count of tokens tells."""
    payload = answer(message(said("The answer is")), usage={"input_tokens": 5, "output_tokens": made})
    web = {"Content-Type": "text/event-stream"}
    server.add(Status(200, [as_stream(payload)], web) if stream else Status(200, payload))
    model = Registry({"LLM_BOX": server.dsn("openai-responses")}, retries=0).parse("box/m")
    if stream:
        with model.stream("Hi", max_tokens=limit) as events:
            list(events)
        assert events.response.stop_reason == reason
    else:
        assert model.generate("Hi", max_tokens=limit).stop_reason == reason


@pytest.mark.parametrize(
    ("status", "reason"),
    [("completed", "tool_calls"), ("in_progress", "tool_calls"), ("", "tool_calls"), ("failed", "length")],
)
def test_a_call_that_was_not_closed(status, reason):
    """One whose arguments are whole is a call; one that failed is none, and the answer is not whole."""
    response = wire.decode(answer(call(status=status)), PLAIN)
    assert (response.stop_reason, len(response.tool_calls)) == (reason, int(reason == "tool_calls"))


def test_a_flood_of_items():
    """More items than any answer has are no answer."""
    with pytest.raises(ProtocolError):
        wire.decode(answer(*[message()] * 10_001), PLAIN)

"""Gemini's chat: the wire against the answers that the server gives, and the provider's own ways.

`data/google` holds the answers, `expect.json` beside them what each of them means.
"""

from __future__ import annotations

import copy
import json
from base64 import b64encode
from functools import partial

import pytest
import samples
from helpers import told_of
from samples import Samples, check, check_response, sse

from majordomo import ConfigError, DeadlineError, Registry, Request, Usage
from majordomo.errors import APIError, ErrorKind, MajordomoError, ProtocolError, TruncatedError, classify
from majordomo.llm import Image, Message, Text, Thinking, Tool, ToolCall, ToolResult, assistant, tool_result, user
from majordomo.testing import RED, Reply, Status, drip
from majordomo.wires import google as wire
from majordomo.wires._google import SKIP
from majordomo.wires._google_schema import adapted
from majordomo.wires._shared import Remedy

SAMPLES = Samples("google")
WEB = {"Content-Type": "text/event-stream"}
OLD = wire.Quirks(wire.BUDGETS, signed_calls=False, result_images=False, remedies={"responseJsonSchema=tools": None})
NEW = wire.Quirks()
decode_stream = partial(samples.decode_stream, wire)
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
PICTURE = Image(RED)
B64 = b64encode(RED).decode()
INLINE = {"inlineData": {"mimeType": "image/png", "data": B64}}
SIGNATURE = b64encode(b"what it thought").decode()
OTHER = b64encode(b"and then").decode()


# --- answers, through the wire module alone


@pytest.mark.parametrize("name", [n for n in SAMPLES.whole if n != "gemini-no-candidates.json"])
def test_an_answer_in_an_array_is_the_same_answer(name):
    """A server that answers with an array of one document, asked for a stream or not, is understood."""
    body, expect, schema = b"[" + SAMPLES.data(name) + b"]", SAMPLES.expect(name), SAMPLES.schema(name)
    check(expect, lambda: decode_stream([body], schema=schema)[0])
    check(expect, lambda: wire.decode(json.loads(body), NEW, schema))


# --- small answers, one promise each


def answer(*parts, finish="STOP", **more):
    candidate = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    return {"candidates": [{**candidate, **({"finishReason": finish} if finish else {})}], **more}


def both_ways(*parts, finish="STOP", **more):
    """The answer of these parts, whole, and with an event for each of them."""
    whole = wire.decode(answer(*parts, finish=finish, **more), NEW)
    streamed = decode_stream([sse(*(answer(part, finish="") for part in parts), answer(finish=finish, **more))])[0]
    return whole, streamed


CALL = {"functionCall": {"name": "f", "args": {"x": 1}, "id": "c1"}}
PARTS = {
    "text": ([{"text": "Hi."}], "STOP", {"text": "Hi.", "stop_reason": "stop"}),
    "texts": ([{"text": "a"}, {"text": ""}, {"text": "b"}], "STOP", {"text": "ab"}),
    "nothing": ([], "STOP", {"text": "", "stop_reason": "stop"}),
    "thought": ([{"text": "hm", "thought": True}, {"text": "So."}], "STOP", {"thinking": "hm", "text": "So."}),
    "not quite a thought": ([{"text": "a", "thought": False}, {"text": "b", "thought": 1}], "STOP", {"text": "ab"}),
    "tags are text": ([{"text": "<think>a</think>b"}], "STOP", {"text": "<think>a</think>b", "thinking": ""}),
    "call": ([CALL], "STOP", {"tool_calls": [["c1", "f", {"x": 1}]], "stop_reason": "tool_calls"}),
    "call, unknown reason": (
        [CALL],
        "SOMETHING",
        {"tool_calls": [["c1", "f", {"x": 1}]], "stop_reason": "tool_calls"},
    ),
    "call, length": ([CALL], "MAX_TOKENS", {"tool_calls": [["c1", "f", {"x": 1}]], "stop_reason": "length"}),
    "call, failed": ([CALL], "TOO_MANY_TOOL_CALLS", {"tool_calls": [["c1", "f", {"x": 1}]], "stop_reason": "other"}),
    "call, withheld": ([CALL], "SAFETY", {"tool_calls": [["c1", "f", {"x": 1}]], "stop_reason": "content_filter"}),
    "calls without ids or arguments": (
        [{"functionCall": {"name": "f"}}, {"functionCall": {"name": "g"}}, {"functionCall": {"name": "g", "args": {}}}],
        "STOP",
        {"tool_calls": [[None, "f", {}], [None, "g", {}], [None, "g", {}]], "stop_reason": "tool_calls"},
    ),
    "calls of one id": (
        [CALL, CALL],
        "STOP",
        {"tool_calls": [["c1", "f", {"x": 1}], [None, "f", {"x": 1}]], "stop_reason": "tool_calls"},
    ),
    "odd calls": (
        [{"functionCall": {"name": 7, "args": [1], "id": 8}}, {"functionCall": 7}],
        "STOP",
        {"tool_calls": [[None, "", "[1]"]], "stop_reason": "tool_calls"},
    ),
    "server's tools": (
        [{"executableCode": {"code": "1"}}, {"codeExecutionResult": {"output": "1"}}, {"text": "One."}],
        "STOP",
        {"text": "One.", "stop_reason": "stop"},
    ),
    "picture": ([{"text": "Here:"}, INLINE], "STOP", {"text": "Here:", "images": 1}),
    "draft": ([{**INLINE, "thought": True}, INLINE], "STOP", {"images": 1}),
    "sound": ([{"inlineData": {"mimeType": "audio/wav", "data": "UklGRg=="}}, {"text": "a"}], "STOP", {"text": "a"}),
    "no picture": ([{"inlineData": {"data": "!"}}, {"inlineData": {}}], "STOP", {"text": ""}),
    "junk": ([None, 7, [], {"text": 7}, {"text": None}, {}, {"text": "a"}], "STOP", {"text": "a"}),
    "length": ([{"text": "a"}], "MAX_TOKENS", {"text": "a", "stop_reason": "length"}),
    "continuation": ([{"text": "a"}], "CONTINUATION", {"text": "a", "stop_reason": "length"}),
    "withheld": ([{"text": "a"}], "RECITATION", {"text": "a", "stop_reason": "content_filter"}),
    "withheld at once": ([], "PROHIBITED_CONTENT", {"text": "", "stop_reason": "content_filter"}),
    "other": ([], "OTHER", {"text": "", "stop_reason": "other"}),
    "unknown": ([{"text": "a"}], "NO_IDEA", {"text": "a", "stop_reason": "other"}),
    "malformed, behind text": ([{"text": "a"}], "MALFORMED_FUNCTION_CALL", {"text": "a", "stop_reason": "other"}),
}


@pytest.mark.parametrize(("parts", "finish", "expect"), list(PARTS.values()), ids=list(PARTS))
def test_parts(parts, finish, expect):
    """What the parts say is read the same from an answer and from a stream."""
    for response in both_ways(*parts, finish=finish):
        check_response(expect, response)


@pytest.mark.parametrize(
    "finish", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE"]
)
def test_a_model_that_fails_and_says_nothing(finish):
    """It is an error, for asked again it may do better; what it says of it is told."""
    payload = answer({"text": "hm", "thought": True}, finish=finish)
    payload["candidates"][0]["finishMessage"] = "It was\nf(x="
    for ask in (lambda: wire.decode(payload, NEW), lambda: decode_stream([sse(payload)])):
        with pytest.raises(ProtocolError, match=rf"{finish}\): It was f\(x="):
            ask()


def test_a_signature_that_is_missed_in_an_answer():
    """It is the error that it is elsewhere, so that it can be mended."""
    with pytest.raises(APIError) as caught:
        wire.decode(answer(finish="MISSING_THOUGHT_SIGNATURE"), NEW)
    assert (caught.value.status, classify(caught.value)) == (400, ErrorKind.INVALID)


def test_an_answer_without_a_reason():
    """Whole, it is an answer, for the API leaves out what is unspecified; in a stream it is cut."""
    assert wire.decode(answer({"text": "Hi"}, finish=""), NEW).stop_reason == "other"
    assert wire.decode(answer(CALL, finish=""), NEW).stop_reason == "tool_calls"
    with pytest.raises(TruncatedError):
        decode_stream([sse(answer({"text": "Hi"}, finish=""))])


def test_what_comes_behind_the_reason_counts():
    """A signature or counts may follow in events of their own."""
    last = {"candidates": [{"content": {"parts": [{"text": "", "thoughtSignature": SIGNATURE}]}, "index": 0}]}
    counts = {"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2}}
    response, _ = decode_stream([sse(answer({"text": "Hi"}), last, counts)])
    assert response.message.parts == (Text("Hi"), Text("", SIGNATURE))
    assert (response.usage, response.stop_reason) == (Usage(3, 2), "stop")


def test_other_candidates_are_passed_over():
    """With `candidateCount` in `extra` there are several answers; the first one is the answer."""

    def row(index, text, finish=None):
        candidate = {"content": {"parts": [{"text": text}]}, "index": index}
        return {"candidates": [{**candidate, **({"finishReason": finish} if finish else {})}]}

    rows = [row(0, "A"), row(1, "B", "MAX_TOKENS"), row(0, "a", "STOP")]
    response, _ = decode_stream([sse(*rows)])
    assert (response.text, response.stop_reason) == ("Aa", "stop")
    both = {"candidates": [rows[1]["candidates"][0], rows[2]["candidates"][0]]}
    assert wire.decode(both, NEW).text == "a"


@pytest.mark.parametrize("payload", [None, 7, "x", [], {}, {"candidates": None}, {"candidates": []}, {"candidates": 7}])
def test_what_is_no_answer_is_a_protocol_error(payload):
    """A 2xx that makes no sense is a ProtocolError, never a response."""
    with pytest.raises(ProtocolError):
        wire.decode(payload, NEW)


@pytest.mark.parametrize("before", [[], [answer({"text": "Half"}, finish="")]], ids=["at once", "behind text"])
def test_a_blocked_prompt_is_a_filters_no(before):
    """It has no answer, and is an error with the reason, wherever it comes."""
    with pytest.raises(APIError) as caught:
        decode_stream([sse(*before, {"promptFeedback": {"blockReason": "OTHER\n"}})])
    assert (caught.value.status, classify(caught.value)) == (400, ErrorKind.FILTERED)
    assert "(OTHER )" in caught.value.message
    assert caught.value.partial == ("Half" if before else "")


def test_feedback_beside_an_answer_does_no_harm():
    """Ratings alone block nothing."""
    assert wire.decode(answer({"text": "Hi"}, promptFeedback={"safetyRatings": []}), NEW).text == "Hi"


USAGES = {
    "all": (
        {
            "promptTokenCount": 9,
            "toolUsePromptTokenCount": 2,
            "cachedContentTokenCount": 5,
            "candidatesTokenCount": 4,
            "thoughtsTokenCount": 3,
            "totalTokenCount": 18,
        },
        Usage(11, 7, 5, 3),
    ),
    "thoughts alone": ({"promptTokenCount": 9, "thoughtsTokenCount": 3, "totalTokenCount": 12}, Usage(9, 3, None, 3)),
    "no output": ({"promptTokenCount": 9, "totalTokenCount": 9}, Usage(9)),
    "zeros": ({"promptTokenCount": 0, "candidatesTokenCount": 0, "thoughtsTokenCount": 0}, Usage(0, 0, None, 0)),
    "nonsense": ({"promptTokenCount": "9", "candidatesTokenCount": -1, "thoughtsTokenCount": [1]}, Usage()),
    "null": (None, Usage()),
    "no object": ([9], Usage()),
}


@pytest.mark.parametrize(("usage", "expect"), list(USAGES.values()), ids=list(USAGES))
def test_usage(usage, expect):
    """Thoughts are part of the output here, and what the server does not say is None."""
    for response in both_ways({"text": "Hi"}, usageMetadata=usage):
        assert response.usage == expect


def test_a_count_that_is_left_out_or_zeroed_later_stays():
    """A later event knows less of it, never more."""
    first = answer({"text": "a"}, finish="", usageMetadata={"candidatesTokenCount": 4, "thoughtsTokenCount": 3})
    last = answer(usageMetadata={"candidatesTokenCount": 0, "promptTokenCount": 9})
    assert decode_stream([sse(first, last)])[0].usage == Usage(9, 7, None, 3)


def test_a_schema_that_is_missed_or_cut():
    """What is no JSON is a ProtocolError, what was cut a TruncatedError, each with the text."""
    for payload, kind in (
        (answer({"text": "Sure!"}), ProtocolError),
        (answer({"text": "Sure!"}, finish="MAX_TOKENS"), TruncatedError),
        (answer({"text": "Sure!"}, finish="SAFETY"), TruncatedError),
    ):
        with pytest.raises(kind) as caught:
            wire.decode(payload, NEW, SCHEMA)
        assert caught.value.partial == "Sure!"


# --- signatures: what the model wants back as it came


SIGNED = {
    "call": ([{"text": "So."}, {**CALL, "thoughtSignature": SIGNATURE}], None),
    "parallel calls": ([{**CALL, "thoughtSignature": SIGNATURE}, {"functionCall": {"name": "g", "args": {}}}], None),
    "text": ([{"text": "So.", "thoughtSignature": SIGNATURE}], None),
    "text behind text": ([{"text": "a"}, {"text": "b", "thoughtSignature": SIGNATURE}, {"text": "c"}], None),
    "two in a row": ([{"text": "a", "thoughtSignature": SIGNATURE}, {"text": "b", "thoughtSignature": OTHER}], None),
    "empty at the end": ([{"text": "a"}, {"text": "", "thoughtSignature": SIGNATURE}], None),
    "nothing else": (
        [{"text": "a"}, {"thoughtSignature": SIGNATURE}],
        [{"text": "a"}, {"text": "", "thoughtSignature": SIGNATURE}],
    ),
    "thought": ([{"text": "hm", "thought": True, "thoughtSignature": SIGNATURE}, {"text": "a"}], None),
    "thoughts": (
        [
            {"text": "hm", "thought": True},
            {"text": "so", "thought": True, "thoughtSignature": SIGNATURE},
            {"text": "a"},
        ],
        [{"text": "so", "thought": True, "thoughtSignature": SIGNATURE}, {"text": "a"}],
    ),
    "picture": ([{"text": "Here:"}, {**INLINE, "thoughtSignature": SIGNATURE}, {"text": "Fine?"}], None),
    "pictures": (
        [INLINE, {**INLINE, "thoughtSignature": SIGNATURE}, {"text": "", "thoughtSignature": OTHER}],
        None,
    ),
    "texts in pieces": ([{"text": "a"}, {"text": "b"}], [{"text": "ab"}]),
}


@pytest.mark.parametrize(("parts", "back"), list(SIGNED.values()), ids=list(SIGNED))
def test_signed_parts_go_back_as_they_came(parts, back):
    """Each signature goes back on its own part, in its place, to whom it came from; thoughts only for theirs."""
    for response in both_ways(*parts):
        kept = Message.from_dict({**json.loads(json.dumps(response.message.to_dict())), "origin": "g/m"})
        quirks = wire.Quirks(signed_calls=False)
        contents = wire.encode(Request([user("Hi"), kept]), "m", quirks, target="g/m")["contents"]
        assert contents[1] == {"role": "model", "parts": back or parts}


@pytest.mark.parametrize(("parts", "back"), list(SIGNED.values()), ids=list(SIGNED))
@pytest.mark.parametrize("origin", [None, "g/other", "other/m"])
def test_signatures_go_to_nobody_else(parts, back, origin):
    """Another model, be it of the same provider, gets the parts without them."""
    message = both_ways(*parts)[0].message
    body = wire.encode(Request([user("Hi"), Message("assistant", message.parts, origin)]), "m", NEW, target="g/m")
    sent = json.dumps(body)
    assert SIGNATURE not in sent
    assert OTHER not in sent
    assert 'thought"' not in sent
    assert {"text": ""} not in body["contents"][-1]["parts"]


CALLS = (ToolCall("a", "f", {"x": 1}), ToolCall("b", "g", {}))
RESULTS = (tool_result("a", "7"), tool_result("b", "8"))
MADE_ELSEWHERE = [user("Hi"), assistant(*CALLS), *RESULTS, assistant(ToolCall("c", "f", {})), tool_result("c", "9")]


def signatures(contents):
    """The signatures of the calls, content by content."""
    calls = [[part for part in content["parts"] if "functionCall" in part] for content in contents]
    return [[part.get("thoughtSignature") for part in parts] for parts in calls if parts]


@pytest.mark.parametrize(("quirks", "found"), [(NEW, [[SKIP, None], [SKIP]]), (OLD, [[None, None], [None]])])
def test_calls_of_another_model(quirks, found):
    """Gemini 3 wants the first call of each step signed, and has a word for those that it did not make."""
    assert signatures(wire.encode(Request(MADE_ELSEWHERE), "m", quirks)["contents"]) == found


def test_a_call_that_is_signed_keeps_its_signature():
    """The word is for a first call without one alone."""
    calls = assistant(ToolCall("a", "f", {}, SIGNATURE), ToolCall("b", "g", {}))
    history = [user("Hi"), Message("assistant", calls.parts, "g/m"), *RESULTS]
    assert signatures(wire.encode(Request(history), "m", NEW, target="g/m")["contents"]) == [[SIGNATURE, None]]


# --- requests


FULL = SAMPLES.payload("gemini-request-full.json")
FUNCTIONS = FULL["tools"][0]["functionDeclarations"]
FULL_REQUEST = Request(
    [
        user(Image(RED), "What colour is this, and what is the weather in Oslo?"),
        Message(
            "assistant",
            (
                Thinking("I had better look."),
                Text("Looking it up."),
                ToolCall(
                    "8xju7mua",
                    "get_weather",
                    {"city": "Oslo"},
                    FULL["contents"][1]["parts"][1]["thoughtSignature"],
                ),
                ToolCall("k2p0q9zz", "get_map", {"city": "Oslo"}),
            ),
            "google/gemini-3.1-pro-preview",
        ),
        tool_result("8xju7mua", "timeout after 5 s", is_error=True),
        tool_result("k2p0q9zz", "map follows", Image(RED)),
        user("Answer with what you have."),
    ],
    system="You are terse.",
    tools=[Tool(f["name"], f["description"], f["parametersJsonSchema"]) for f in FUNCTIONS],
    schema=FULL["generationConfig"]["responseJsonSchema"],
    reasoning="medium",
    max_tokens=1024,
    stop=["END"],
    seed=7,
)


def test_a_full_request():
    """Everything at once becomes the body that Google takes; `AUTO` is what it does unasked, and not sent."""
    expect = copy.deepcopy(FULL)
    del expect["toolConfig"]
    sent = json.loads(json.dumps(expect).replace(FULL["contents"][0]["parts"][0]["inlineData"]["data"], B64))
    assert wire.encode(FULL_REQUEST, "m", NEW, target="google/gemini-3.1-pro-preview") == sent
    assert wire.encode(FULL_REQUEST, "m", NEW, target="google/gemini-3.1-pro-preview", stream=True) == sent


def test_nothing_unset_is_sent():
    """A question alone is its contents, and nothing else."""
    assert wire.encode(Request("Hi"), "m", NEW) == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


def test_encoding_changes_nothing_of_the_callers():
    """The caller's request, schema, tools and `extra` are as they were."""
    extra = {"generationConfig": {"topK": 3, "thinkingConfig": {"includeThoughts": False}}, "safetySettings": []}
    asked = Request(FULL_REQUEST.messages, tools=FULL_REQUEST.tools, schema={"const": 7}, reasoning="low", extra=extra)
    before = copy.deepcopy(asked.to_dict())
    for quirks in (NEW, OLD, wire.Quirks(remedies={"systemInstruction": "contents"})):
        body = wire.encode(asked, "m", quirks)
        assert body["safetySettings"] == []
        assert body["generationConfig"]["topK"] == 3
        assert body["generationConfig"]["thinkingConfig"]["includeThoughts"] is False
    assert asked.to_dict() == before


PATHS = [
    ("gemini-x", False, "/models/gemini-x:generateContent"),
    ("gemini-x", True, "/models/gemini-x:streamGenerateContent?alt=sse"),
    ("models/gemini-x", True, "/models/gemini-x:streamGenerateContent?alt=sse"),
    ("tunedModels/mine", False, "/tunedModels/mine:generateContent"),
    ("org/Model:14b", False, "/models/org%2FModel%3A14b:generateContent"),
    ("a?b&c", True, "/models/a%3Fb%26c:streamGenerateContent?alt=sse"),
]


@pytest.mark.parametrize(("model", "stream", "path"), PATHS)
def test_path(model, stream, path):
    """The model stands in the path, with or without its folder, and so does whether to stream."""
    assert wire.path(model, stream) == path


@pytest.mark.parametrize("model", ["..", "models/../x", "a//b", ""])
def test_a_name_that_leads_elsewhere_is_refused(model):
    """A path climbs nowhere."""
    with pytest.raises(ConfigError, match="model's name"):
        wire.path(model, True)


def said(content):
    """A content in short: its role, and what its parts are."""
    names = [next(iter(set(part) - {"thoughtSignature", "thought"})) for part in content["parts"]]
    return content["role"], [part.get("text", name) for part, name in zip(content["parts"], names)]


UNSAID = "(nothing was said)"
CONVERSATIONS = {
    "turns": ([user("a"), assistant("b"), user("c")], [("user", ["a"]), ("model", ["b"]), ("user", ["c"])]),
    "the model begins": ([assistant("b"), user("c")], [("user", [UNSAID]), ("model", ["b"]), ("user", ["c"])]),
    "nothing": ([user("")], [("user", [UNSAID])]),
    "thoughts alone": (
        [user("a"), Message("assistant", Thinking("b"), "g/m"), user("c")],
        [("user", ["a"]), ("user", ["c"])],
    ),
    "thoughts begin": ([Message("assistant", Thinking("b"), "g/m"), user("c")], [("user", ["c"])]),
    "pictures of the model": ([user("a"), assistant("b", PICTURE)], [("user", ["a"]), ("model", ["b", "inlineData"])]),
    "results share a content": (
        [user("a"), assistant("b", *CALLS), *RESULTS, user("c")],
        [
            ("user", ["a"]),
            ("model", ["b", "functionCall", "functionCall"]),
            ("user", ["functionResponse", "functionResponse"]),
            ("user", ["c"]),
        ],
    ),
    "results out of order, and one missing": (
        [user("a"), assistant(*CALLS), user("c"), tool_result("b", "8")],
        [
            ("user", ["a"]),
            ("model", ["functionCall", "functionCall"]),
            ("user", ["functionResponse", "functionResponse"]),
            ("user", ["c"]),
        ],
    ),
    "a late result between": (
        [user("a"), assistant(CALLS[0]), RESULTS[0], assistant("b"), RESULTS[0], assistant("c")],
        [("user", ["a"]), ("model", ["functionCall"]), ("user", ["functionResponse"]), ("model", ["b", "c"])],
    ),
}


@pytest.mark.parametrize(("messages", "expect"), list(CONVERSATIONS.values()), ids=list(CONVERSATIONS))
def test_conversations(messages, expect):
    """Contents keep Google's rules: the user begins, calls are answered at once, no part is empty."""
    assert [said(content) for content in wire.encode(Request(messages), "m", NEW, target="g/m")["contents"]] == expect


def responses(contents):
    return [part["functionResponse"] for c in contents for part in c["parts"] if "functionResponse" in part]


@pytest.mark.parametrize(
    ("result", "response"),
    [
        (tool_result("a", "7"), {"output": "7"}),
        (tool_result("a", '{"t": 7}'), {"output": '{"t": 7}'}),
        (tool_result("a", "7", "8"), {"output": "78"}),
        (tool_result("a"), {"output": ""}),
        (tool_result("a", "boom", is_error=True), {"error": "boom"}),
    ],
)
def test_results(result, response):
    """A result is its text, under a name that says whether it failed; the tool's name comes from the call."""
    contents = wire.encode(Request([user("Hi"), assistant(CALLS[0]), result]), "m", NEW)["contents"]
    assert responses(contents) == [{"name": "f", "id": "a", "response": response}]


def test_pictures_of_results():
    """Since Gemini 3 they stand in the result; before, what the user says next begins with them."""
    history = Request([user("Hi"), assistant(*CALLS), tool_result("a", "see", PICTURE), RESULTS[1], user("So?")])
    new, old = (wire.encode(history, "m", quirks)["contents"] for quirks in (NEW, OLD))
    assert responses(new)[0]["parts"] == [INLINE]
    assert [said(content) for content in new[2:]][1:] == [("user", ["So?"])]
    assert not any("parts" in response for response in responses(old))
    role, shown = said(old[3])
    assert (role, shown[1:]) == ("user", ["inlineData", "So?"])
    assert "f" in shown[0]


def test_pictures_that_a_result_cannot_hold():
    """The types of those are fewer: others go the older way."""
    heic = Image(b"\x00\x00\x00\x18ftypheic" + bytes(16))
    history = Request([user("Hi"), assistant(CALLS[0]), tool_result("a", "see", heic)])
    contents = wire.encode(history, "m", NEW)["contents"]
    assert not any("parts" in response for response in responses(contents))
    assert contents[-1]["parts"][1]["inlineData"]["mimeType"] == "image/heic"


def test_ids():
    """An id that the server gave goes back on both halves, one that it did not on neither."""
    parts = [{"functionCall": {"name": "f"}}, CALL]
    for response in both_ways(*parts):
        message = response.message
        first, second = response.tool_calls
        results = [tool_result(first, "7"), tool_result(second, "8")]
        contents = wire.encode(Request([user("Hi"), message, *results]), "m", OLD)["contents"]
        assert [part["functionCall"].get("id") for part in contents[1]["parts"]] == [None, "c1"]
        assert [response.get("id") for response in responses(contents)] == [None, "c1"]


@pytest.mark.parametrize("id", ["functions.f:0", "x" * 90, "fünf", ""])
def test_ids_of_other_servers(id):
    """Whatever becomes of an id becomes of it in both halves."""
    contents = wire.encode(Request([user("Hi"), assistant(ToolCall(id, "f", {})), tool_result(id, "7")]), "m", NEW)
    call, response = contents["contents"][1]["parts"][0]["functionCall"], responses(contents["contents"])[0]
    assert call["id"] == response["id"]


def test_arguments_that_were_no_json_go_back_as_none():
    """The API takes an object there."""
    call = ToolCall("a", "f", {}, malformed='{"x": ')
    contents = wire.encode(Request([user("Hi"), assistant(call)]), "m", NEW)["contents"]
    assert contents[1]["parts"][0]["functionCall"]["args"] == {}


TOOLS = (Tool("f", "does f", {"type": "object", "properties": {"x": {"type": "integer"}}}), Tool("g"))


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("auto", None),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ("g", {"mode": "ANY", "allowedFunctionNames": ["g"]}),
    ],
)
def test_tool_choice(choice, config):
    """All tools are declared, and which may be called is said beside them; nothing of it without tools."""
    body = wire.encode(Request("Hi", tools=TOOLS, tool_choice=choice), "m", NEW)
    assert body["tools"] == [
        {
            "functionDeclarations": [
                {"name": "f", "description": "does f", "parametersJsonSchema": TOOLS[0].parameters},
                {"name": "g"},
            ]
        }
    ]
    assert body.get("toolConfig") == (config and {"functionCallingConfig": config})
    if choice in ("auto", "none", "required"):
        assert set(wire.encode(Request("Hi", tool_choice=choice), "m", NEW)) == {"contents"}


@pytest.mark.parametrize(
    ("parameters", "declared"),
    [
        ({}, False),
        ({"type": "object"}, False),
        ({"type": "object", "properties": {}, "required": [], "additionalProperties": False}, False),
        ({"type": "object", "additionalProperties": True}, True),
        ({"$ref": "#/$defs/A", "$defs": {"A": {}}}, True),
        ({"anyOf": [{"type": "object"}]}, True),
    ],
)
def test_a_function_that_takes_nothing_has_no_schema(parameters, declared):
    """It is declared by its name; one that takes anything at all is not such a one."""
    (function,) = wire.encode(Request("Hi", tools=[Tool("f", "", parameters)]), "m", NEW)["tools"][0][
        "functionDeclarations"
    ]
    assert ("parametersJsonSchema" in function) is declared


def test_settings():
    """The settings have their names of the wire."""
    request = Request("Hi", max_tokens=9, temperature=0, top_p=0.5, stop="END", seed=0)
    assert wire.encode(request, "m", NEW)["generationConfig"] == {
        "maxOutputTokens": 9,
        "temperature": 0,
        "topP": 0.5,
        "stopSequences": ["END"],
        "seed": 0,
    }
    assert told_of(wire, request, NEW) == ()


@pytest.mark.parametrize(("seed", "sent"), [(-1, True), (2**31 - 1, True), (-(2**31), True), (2**31, False)])
def test_seeds_have_32_bits(seed, sent):
    """A seed beyond them is left out, and told; it would be refused."""
    request = Request("Hi", seed=seed)
    assert ("generationConfig" in wire.encode(request, "m", NEW)) is sent
    assert told_of(wire, request, NEW) == (() if sent else ("seed: left out, for the target takes 32 bits",))


# --- schemas


def ref(name):
    return {"$ref": f"#/$defs/{name}"}


SCHEMAS = {
    "as it is": (SCHEMA, SCHEMA),
    "noise": ({"$schema": "x", "$comment": "y", "examples": [1], "type": "string", "x-z": 1}, {"type": "string"}),
    "const": ({"const": "a"}, {"enum": ["a"]}),
    "const null": ({"const": None}, {"type": "null"}),
    "const true": ({"type": "boolean", "const": True}, {"type": "boolean", "description": "enum: [true]"}),
    "enum": ({"enum": ["a", 1, 2.5]}, {"enum": ["a", 1, 2.5]}),
    "enum with null": (
        {"type": ["string", "null"], "enum": ["a", None], "description": "d"},
        {"description": "d", "anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]},
    ),
    "enum of objects": ({"enum": [{"a": 1}]}, {"description": 'enum: [{"a":1}]'}),
    "bounds": (
        {"type": "integer", "minimum": 1, "exclusiveMaximum": 9, "multipleOf": 2, "description": "d"},
        {"type": "integer", "minimum": 1, "description": "d (exclusiveMaximum: 9, multipleOf: 2)"},
    ),
    "texts": ({"type": "string", "pattern": "^a"}, {"type": "string", "description": 'pattern: "^a"'}),
    "default": ({"type": "string", "default": "a"}, {"type": "string", "description": 'default: "a"'}),
    "property names": (
        {"properties": {"pattern": {"type": "string"}, "allOf": {"type": "string"}}},
        {"properties": {"pattern": {"type": "string"}, "allOf": {"type": "string"}}},
    ),
    "references": (
        {"$ref": "#/definitions/A", "definitions": {"A": {"type": "string", "minLength": 1}}},
        {"$ref": "#/$defs/A", "$defs": {"A": {"type": "string", "description": "minLength: 1"}}},
    ),
    "both kinds of definitions": (
        {"definitions": {"A": {"type": "string"}}, "$defs": {"B": {"type": "null"}}},
        {"$defs": {"A": {"type": "string"}, "B": {"type": "null"}}},
    ),
    "a reference with a description": (
        {"properties": {"a": {**ref("A"), "description": "d"}}},
        {"properties": {"a": {"anyOf": [ref("A")], "description": "d"}}},
    ),
    "a reference with a default": (
        {**ref("A"), "default": 1},
        {"anyOf": [ref("A")], "description": "default: 1"},
    ),
    "a reference beside a choice": (
        {**ref("A"), "anyOf": [{"type": "string"}]},
        {"anyOf": [ref("A")], "description": 'anyOf: [{"type":"string"}]'},
    ),
    "allOf of one": ({"allOf": [ref("A")]}, ref("A")),
    "allOf of one, described": (
        {"allOf": [ref("A")], "title": "T"},
        {"anyOf": [ref("A")], "title": "T"},
    ),
    "allOf of objects": (
        {
            "type": "object",
            "required": ["a"],
            "allOf": [{"properties": {"a": {}}, "required": ["a"]}, {"properties": {"b": {}}, "required": ["b"]}],
        },
        {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a", "b"]},
    ),
    "allOf that contradicts": (
        {"allOf": [{"type": "string"}, {"type": "null"}]},
        {"description": 'allOf: [{"type":"string"},{"type":"null"}]'},
    ),
    "allOf of two kinds of one property": (
        {"properties": {"a": {"type": "string"}}, "allOf": [{"properties": {"a": {"type": "null"}}}]},
        {
            "properties": {"a": {"type": "string"}},
            "description": 'allOf: [{"properties":{"a":{"type":"null"}}}]',
        },
    ),
    "oneOf": ({"oneOf": [{"type": "string"}, {"const": 1}]}, {"oneOf": [{"type": "string"}, {"enum": [1]}]}),
    "not": ({"type": "string", "not": {"const": "a"}}, {"type": "string", "description": 'not: {"enum":["a"]}'}),
    "additional properties": (
        {"additionalProperties": {"type": "string", "maxLength": 2}},
        {"additionalProperties": {"type": "string", "description": "maxLength: 2"}},
    ),
    "true and false": (
        {"items": True, "additionalProperties": False, "properties": {"a": False}, "anyOf": [True]},
        {
            "items": {},
            "additionalProperties": False,
            "properties": {"a": {"description": "not: {}"}},
            "anyOf": [{}],
        },
    ),
}


@pytest.mark.parametrize(("schema", "sent"), list(SCHEMAS.values()), ids=list(SCHEMAS))
def test_schemas(schema, sent):
    """A schema has the keywords that Google knows; what it cannot say so goes into descriptions."""
    before = copy.deepcopy(schema)
    config = wire.encode(Request("Hi", schema=schema), "m", NEW)["generationConfig"]
    assert config == {"responseMimeType": "application/json", "responseJsonSchema": sent}
    assert schema == before
    assert adapted(sent) == sent


def node(properties, required):
    return {"type": "object", "properties": properties, "required": required}


TEXT = {"type": "string"}
SELF = {"anyOf": [ref("A"), {"type": "null"}]}
# A schema that leads back into itself, and the same with an end that the server can see.
ENDLESS = {
    "a definition": (
        {**node({"a": ref("A")}, ["a"]), "$defs": {"A": node({"next": SELF, "x": TEXT}, ["next", "x"])}},
        {
            **node({"a": ref("A")}, ["a"]),
            "$defs": {"A": {**node({"next": SELF, "x": TEXT}, ["x"]), "description": 'required: ["next"]'}},
        },
    ),
    "the root": (
        {**node({"all": {"type": "array", "items": {"$ref": "#"}}}, ["all"]), "description": "D"},
        {
            "type": "object",
            "properties": {"all": {"type": "array", "items": {"$ref": "#"}}},
            "description": 'D (required: ["all"])',
        },
    ),
    "two of each other": (
        {**ref("A"), "$defs": {"A": node({"b": ref("B")}, ["b"]), "B": node({"a": ref("A"), "x": TEXT}, ["x", "a"])}},
        {
            **ref("A"),
            "$defs": {
                "A": {"type": "object", "properties": {"b": ref("B")}, "description": 'required: ["b"]'},
                "B": {**node({"a": ref("A"), "x": TEXT}, ["x"]), "description": 'required: ["a"]'},
            },
        },
    ),
    "deep within": (
        {**ref("A"), "$defs": {"A": node({"x": node({"y": ref("A")}, ["y"])}, ["x"])}},
        {
            **ref("A"),
            "$defs": {
                "A": {
                    "type": "object",
                    "properties": {
                        "x": {"type": "object", "properties": {"y": ref("A")}, "description": 'required: ["y"]'}
                    },
                    "description": 'required: ["x"]',
                }
            },
        },
    ),
    "odd names": (
        {"$ref": "#/$defs/a~1b", "$defs": {"a/b": node({"n": {"$ref": "#/$defs/a~1b"}}, ["n"])}},
        {
            "$ref": "#/$defs/a~1b",
            "$defs": {
                "a/b": {
                    "type": "object",
                    "properties": {"n": {"$ref": "#/$defs/a~1b"}},
                    "description": 'required: ["n"]',
                }
            },
        },
    ),
}


@pytest.mark.parametrize(("schema", "sent"), list(ENDLESS.values()), ids=list(ENDLESS))
def test_recursive_schemas(schema, sent):
    """What leads back into a recursive definition is not required there, as the server wants it, but said to be."""
    before = copy.deepcopy(schema)
    assert adapted(schema) == sent
    assert schema == before
    assert adapted(sent) == sent


def test_what_leads_nowhere_back_stays_required():
    """References to what refers to itself no more, or only where it may be left out, change nothing."""
    for schema in (
        {**node({"a": ref("A"), "b": ref("A")}, ["a", "b"]), "$defs": {"A": node({"x": TEXT}, ["x"])}},
        {**node({"a": ref("A")}, ["a"]), "$defs": {"A": node({"next": SELF, "x": TEXT}, ["x"])}},
        {**node({"a": ref("B")}, ["a"]), "$defs": {"A": node({"next": SELF}, []), "B": node({"a": ref("A")}, ["a"])}},
    ):
        assert adapted(schema) == schema


ODD_SCHEMAS = [
    {"$ref": "#", "properties": {"a": {"$ref": "#"}}, "required": [["a"], "a", "b", 7]},
    {"$ref": "#/$defs/A", "$defs": {"A": 7, "B": {"$ref": "#/$defs/B"}}},
    {"allOf": [True], "definitions": 7, "enum": 7, "$ref": 7},
    {"allOf": 7, "enum": [], "required": 7},
    {"allOf": [{"properties": 7, "required": "a"}], "properties": {"a": 7}, "required": None},
    {"definitions": {"A": 7}, "$defs": {}},
    {"definitions": {"A": {}}, "$defs": 7},
    {"type": 7, "enum": [None, "a"]},
    {"const": float("nan"), "default": float("nan")},
]


@pytest.mark.parametrize("schema", ODD_SCHEMAS, ids=[repr(schema) for schema in ODD_SCHEMAS])
def test_an_odd_schema_makes_no_foreign_exception(schema):
    """A schema that is none is the server's to refuse, or an error of the tree; nothing else."""
    try:
        wire.encode(Request("Hi", schema=schema, tools=[Tool("f", "", schema)]), "m", NEW)
    except MajordomoError:
        pass


def test_a_schema_without_an_end_is_refused():
    """One that holds itself has no end."""
    endless: dict = {"type": "array"}
    endless["items"] = endless
    with pytest.raises(ConfigError):
        wire.encode(Request("Hi", schema=endless), "m", NEW)


def test_a_schema_beside_tools():
    """Before Gemini 3 the two exclude each other: the schema is asked for in words, and parsed all the same."""
    request = Request("Hi", system="Be brief.", schema=SCHEMA, tools=TOOLS)
    assert wire.encode(request, "m", NEW)["generationConfig"]["responseJsonSchema"] == SCHEMA
    body = wire.encode(request, "m", OLD)
    assert "generationConfig" not in body
    words = body["systemInstruction"]["parts"][0]["text"]
    assert words.startswith("Be brief.\n\n")
    assert json.dumps(SCHEMA, separators=(",", ":")) in words
    assert told_of(wire, request, OLD) == ("schema: asked for in words, for the target does not enforce it",)
    alone = Request("Hi", schema=SCHEMA)
    assert wire.encode(alone, "m", OLD)["generationConfig"]["responseJsonSchema"] == SCHEMA
    assert told_of(wire, alone, OLD) == told_of(wire, request, NEW) == ()


# --- what models differ in


@pytest.fixture
def provider(server):
    return Registry({"LLM_G": server.dsn("google")}).provider("g")


def quirks_of(provider, model):
    return wire.Quirks(**provider.quirks_of(model))


LEVELS = ("off", "minimal", "low", "medium", "high", "max")
NEWEST = [0, "LOW", "LOW", "MEDIUM", "HIGH", "HIGH"]
ALWAYS = ["LOW", *NEWEST[1:]]
MINIMAL = ["MINIMAL", "MINIMAL", *NEWEST[2:]]
NOT_AT_ALL = [None] * 6
REASONING = {
    "gemini-1.5-pro": NOT_AT_ALL,
    "gemini-2.0-flash": NOT_AT_ALL,
    "gemma-3-27b-it": NOT_AT_ALL,
    "gemini-2.5-flash": [0, 128, 2048, 8192, 24576, 24576],
    "models/gemini-2.5-flash": [0, 128, 2048, 8192, 24576, 24576],
    "gemini-2.5-flash-lite": [0, 512, 2048, 8192, 24576, 24576],
    "gemini-2.5-pro": [128, 128, 2048, 8192, 24576, 32768],
    "gemini-2.5-flash-image": NOT_AT_ALL,
    "gemini-3-pro-preview": ["LOW", "LOW", "LOW", "HIGH", "HIGH", "HIGH"],
    "gemini-3-pro-image": NOT_AT_ALL,
    "gemini-3-flash-preview": MINIMAL,
    "gemini-3.1-pro-preview": ALWAYS,
    "gemini-3.1-flash-lite": MINIMAL,
    "gemini-3.1-flash-image": NOT_AT_ALL,
    "gemini-3.5-flash": MINIMAL,
    "gemini-3.6-flash": MINIMAL,
    "gemini-3.7-flash": ALWAYS,
    "gemini-3.8-flash": NEWEST,
    "gemini-flash-latest": NEWEST,
    "gemini-9-ultra": NEWEST,
    "tunedModels/mine": NEWEST,
}


@pytest.mark.parametrize(("model", "sent"), list(REASONING.items()))
def test_reasoning(provider, model, sent):
    """Our levels are levels or budgets, as the model has them; thoughts are asked for unless it is off."""
    quirks = quirks_of(provider, model)
    assert "generationConfig" not in wire.encode(Request("Hi"), model, quirks)
    for level, value in zip(LEVELS, sent):
        request = Request("Hi", reasoning=level)
        config = wire.encode(request, model, quirks).get("generationConfig")
        if value is None:
            assert config is None
            told = [] if level == "off" else ["reasoning: left out, for the target has no such option"]
        else:
            name = "thinkingLevel" if isinstance(value, str) else "thinkingBudget"
            thoughts = {} if level == "off" else {"includeThoughts": True}
            assert config == {"thinkingConfig": {**thoughts, name: value}}
            stays_on = level == "off" and value != 0
            told = [f"reasoning: sent as {name}={value}, for the target always thinks"] if stays_on else []
            if level != "off" and name == "thinkingLevel" and value.lower() != level:
                told = [f"reasoning: sent as {value}, for the target does not take {level}"]
        assert list(told_of(wire, request, quirks)) == told


@pytest.mark.parametrize(
    ("model", "new"),
    [
        ("gemini-2.5-pro", False),
        ("learnlm-2.0", False),
        ("gemma-3-27b-it", False),
        ("gemini-3-pro-preview", True),
        ("gemini-3.8-flash", True),
        ("something-else", True),
    ],
)
def test_what_came_with_gemini_3(provider, model, new):
    """Signatures that are demanded and results with pictures; who is unknown is new."""
    quirks = quirks_of(provider, model)
    assert (quirks.signed_calls, quirks.result_images) == (new, new)
    assert ("responseJsonSchema=tools" in quirks.remedies) is (not new and model != "gemma-3-27b-it")


@pytest.mark.parametrize(
    ("model", "sent"),
    [("gemini-3.5-flash-lite", False), ("gemini-3.8-flash", False), ("gemini-3.5-flash", True), ("gemini-9", True)],
)
def test_models_that_go_by_no_temperature(provider, model, sent):
    """Where it is known that sampling settings do nothing they are left out, and that is told."""
    request, quirks = Request("Hi", temperature=0.2, top_p=0.5, max_tokens=9), quirks_of(provider, model)
    assert set(wire.encode(request, model, quirks)["generationConfig"]) == (
        {"maxOutputTokens", "temperature", "topP"} if sent else {"maxOutputTokens"}
    )
    assert [told.partition(":")[0] for told in told_of(wire, request, quirks)] == (
        [] if sent else ["temperature", "top_p"]
    )


def test_gemma_3(provider):
    """It has no system prompt: the user says it first. Neither does it follow a schema, or call."""
    quirks = quirks_of(provider, "gemma-3-27b-it")
    for messages, first in (([user("Hi")], 1), ([assistant("Yes?"), user("Hi")], 1)):
        request = Request(messages, system="Be brief.", schema=SCHEMA)
        body = wire.encode(request, "m", quirks)
        assert set(body) == {"contents"}
        parts = body["contents"][0]["parts"]
        assert parts[0]["text"].startswith("Be brief.\n\nAnswer with one JSON value")
        assert len(parts) == first + 1
    assert [told.partition(":")[0] for told in told_of(wire, request, quirks)] == ["system", "schema"]
    assert provider.capabilities_of("gemma-3-27b-it").tools is False


@pytest.mark.parametrize("model", ["gemini-3.1-flash-image", "models/gemini-2.5-flash-image-preview", "gemma-3-4b"])
def test_who_calls_no_functions_is_passed_over(server, provider, model):
    """A chain goes on to the next target before anything is sent."""
    chain = Registry({"LLM_G": server.dsn("google")}).parse(f"g/{model}, g/gemini-3.8-flash")
    response = chain.generate("Hi", tools=TOOLS)
    assert [(a.target, a.outcome) for a in response.attempts] == [
        (f"g/{model}", "skipped"),
        ("g/gemini-3.8-flash", "answered"),
    ]


# --- what is learned from errors


def body_with(**options):
    """A body that holds all that may be refused."""
    given = {"temperature": 0.2, "top_p": 0.5, "seed": 1, "stop": ["x"], "max_tokens": 9, "reasoning": "minimal"}
    request = Request(MADE_ELSEWHERE, system="s", schema=SCHEMA, tools=TOOLS, **{**given, **options})
    return wire.encode(request, "m", wire.Quirks({**wire.LEVELS, "minimal": "MINIMAL"}))


UNKNOWN = "Invalid JSON payload received. Unknown name \"{}\" at 'generation_config': Cannot find field."
REMEDIES = [
    ("Thinking level MINIMAL is not supported for this model.", Remedy("thinkingLevel=MINIMAL", "thinkingLevel=LOW")),
    (
        "Unable to submit request because thinking_level MINIMAL is not supported by this model. Learn more: https://x",
        Remedy("thinkingLevel=MINIMAL", "thinkingLevel=LOW"),
    ),
    (
        "Thinking level is not supported for this model.",
        Remedy("thinkingLevel=MINIMAL", "thinkingBudget=512"),
    ),
    (UNKNOWN.format("thinkingLevel"), Remedy("thinkingLevel=MINIMAL", "thinkingBudget=512")),
    (UNKNOWN.format("thinking_config"), Remedy("thinkingConfig")),
    (UNKNOWN.format("includeThoughts"), Remedy("thinkingConfig")),
    ("thinking_config is not supported", Remedy("thinkingConfig")),
    ("Thinking is not enabled for models/gemini-x", Remedy("thinkingConfig")),
    (
        "Unable to submit request because Thinking_config.include_thoughts is only enabled when thinking is enabled.",
        Remedy("thinkingConfig"),
    ),
    ("Developer instruction is not enabled for models/gemma-3-27b-it", Remedy("systemInstruction", "contents")),
    (UNKNOWN.format("system_instruction"), Remedy("systemInstruction", "contents")),
    ("JSON mode is not enabled for models/gemma-3-27b-it", Remedy("responseJsonSchema")),
    (UNKNOWN.format("responseJsonSchema"), Remedy("responseJsonSchema")),
    (UNKNOWN.format("response_mime_type"), Remedy("responseJsonSchema")),
    (
        "Function calling with a response mime type: 'application/json' is unsupported",
        Remedy("responseJsonSchema=tools"),
    ),
    ("Tool use with a response mime type: 'application/json' is unsupported", Remedy("responseJsonSchema=tools")),
    (
        "The specified schema produces a constraint that has too many states for serving. Typical causes are ...",
        Remedy("responseJsonSchema", None, False),
    ),
    (
        "A schema in GenerationConfig in the request exceeds the maximum allowed nesting depth.",
        Remedy("responseJsonSchema", None, False),
    ),
    (UNKNOWN.format("seed"), Remedy("seed")),
    (UNKNOWN.format("top_p"), Remedy("topP")),
    ("temperature is not supported for this model", Remedy("temperature")),
    ("`stop_sequences` are not supported.", Remedy("stopSequences")),
    (
        "Function call `f` in the `2.` content block is missing a `thought_signature`.",
        Remedy("thoughtSignature", SKIP, False),
    ),
    (
        "Function call is missing a thought_signature in functionCall parts. This is required for tools to work",
        Remedy("thoughtSignature", SKIP, False),
    ),
    ("Corrupted thought signature.", Remedy("thoughtSignature", SKIP, False)),
    ("Unable to submit request because Thought signature is not valid.", Remedy("thoughtSignature", SKIP, False)),
    # nothing that could be left out
    ("Request contains an invalid argument.", None),
    (UNKNOWN.format("foo"), None),
    ("You can only set only one of thinking budget and thinking level.", None),
    ("The number of function response parts is not equal to the number of function call parts.", None),
    ("The input token count (9) exceeds the maximum number of tokens allowed (8).", None),
    ("temperature must be in the range [0.0, 2.0].", None),
    ("He said that the thinking level is not supported.", None),
    ("", None),
]


@pytest.mark.parametrize(("message", "found"), REMEDIES, ids=[row[0][:60] for row in REMEDIES])
def test_remedy(message, found):
    """An error that names what the model does not take is mended, if it was sent and not mended before."""
    error = APIError(400, wire.read_error(400, json.dumps({"error": {"code": 400, "message": message}}))[0])
    assert wire.remedy(error, body_with(), NEW) == found
    assert wire.remedy(error, {"contents": [{"parts": [{"text": "Hi"}]}]}, NEW) is None
    assert wire.remedy(APIError(500, message), body_with(), NEW) is None
    if found is not None:
        assert wire.remedy(error, body_with(), wire.Quirks(remedies={found.said: found.instead})) is None


THINKING = [
    ("off", "Budget 0 is invalid. This model only works in thinking mode.", "thinkingBudget=0", "thinkingLevel=LOW"),
    (
        "off",
        "Unable to submit request because The model does not support setting thinking_budget to 0",
        "thinkingBudget=0",
        "thinkingLevel=LOW",
    ),
    ("off", "Thinking budget is not supported for this model.", "thinkingBudget=0", "thinkingLevel=LOW"),
    ("low", "Thinking level is not supported for this model.", "thinkingLevel=LOW", "thinkingBudget=2048"),
    (
        "medium",
        "Thinking level MEDIUM is not supported for this model.",
        "thinkingLevel=MEDIUM",
        "thinkingLevel=HIGH",
    ),
    ("medium", "Thinking level is not supported for this model.", "thinkingLevel=MEDIUM", "thinkingBudget=8192"),
    ("high", "Thinking level is not supported for this model.", "thinkingLevel=HIGH", "thinkingBudget=24576"),
]


@pytest.mark.parametrize(("level", "message", "said_", "instead"), THINKING)
def test_what_thinking_comes_nearest(level, message, said_, instead):
    """A value that is refused is replaced by its neighbour, or by what means the same in the other field."""
    body = body_with(reasoning=level)
    assert wire.remedy(APIError(400, message), body, NEW) == Remedy(said_, instead)
    known = wire.Quirks(remedies={instead: None})
    other = wire.remedy(APIError(400, message), body, known)
    assert other is not None
    assert other.instead != instead
    quirks = wire.Quirks(remedies={said_: instead})
    name, _, value = instead.partition("=")
    config = wire.encode(Request("Hi", reasoning=level), "m", quirks)["generationConfig"]["thinkingConfig"]
    assert config[name] == (int(value) if name == "thinkingBudget" else value)
    assert said_.partition("=")[0] not in set(config) - {name}
    assert told_of(wire, Request("Hi", reasoning=level), quirks)[0].startswith(f"reasoning: sent as {instead}, for")


def test_budgets_that_are_refused():
    """Each of our budgets has a neighbour, and they lead nowhere for ever."""
    for level in wire.BUDGETS:
        learned: dict = {}
        for _ in range(9):
            quirks = wire.Quirks(wire.BUDGETS, remedies=learned)
            body = wire.encode(Request("Hi", reasoning=level), "m", quirks)
            found = wire.remedy(APIError(400, "The thinking budget 128 is invalid."), body, quirks)
            if found is None:
                break
            learned = {**learned, found.said: found.instead}
        request = Request("Hi", reasoning=level)
        config = wire.encode(request, "m", quirks).get("generationConfig")
        assert config == (None if level == "off" else {"thinkingConfig": {"includeThoughts": True}})
        first = f"thinkingBudget={wire.BUDGETS[level]}"
        assert told_of(wire, request, quirks) == (f"reasoning: left out, for the target does not take {first}",)


def refusal(message):
    return Status(400, {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}})


@pytest.mark.parametrize("how", ["generate", "stream"])
def test_what_was_refused_is_mended_and_remembered(server, how):
    """The call goes on without it, says so, and the next one does not ask for it again."""
    model = Registry({"LLM_G": server.dsn("google")}, retries=0).parse("g/gemini-9-pro")

    def ask(**options):
        if how == "generate":
            return model.generate("Hi", **options)
        with model.stream("Hi", **options) as stream:
            list(stream)
        return stream.response

    server.add(refusal("Budget 0 is invalid. This model only works in thinking mode."), refusal(UNKNOWN.format("seed")))
    first = ask(reasoning="off", seed=7)
    sent = [seen.json["generationConfig"] for seen in server.requests]
    assert sent == [
        {"seed": 7, "thinkingConfig": {"thinkingBudget": 0}},
        {"seed": 7, "thinkingConfig": {"thinkingLevel": "LOW"}},
        {"thinkingConfig": {"thinkingLevel": "LOW"}},
    ]
    assert first.warnings == (
        "seed: left out, for the target does not take it",
        "reasoning: sent as thinkingLevel=LOW, for the target always thinks",
    )
    ask(reasoning="off", seed=7)
    assert server.requests[-1].json["generationConfig"] == sent[-1]
    assert ask().warnings == ()


def test_signatures_that_are_refused(server):
    """The call is asked once more without them; others to come keep theirs."""
    model = Registry({"LLM_G": server.dsn("google")}, retries=0).parse("g/gemini-3.8-flash")
    step = Message("assistant", (Text("So.", OTHER), ToolCall("a", "f", {}, SIGNATURE)), "g/gemini-3.8-flash")
    history = [user("Hi"), step, tool_result("a", "7")]
    server.add(refusal("Corrupted thought signature."))
    response = model.generate(history)
    first, second = (seen.json["contents"][1]["parts"] for seen in server.requests)
    assert [part.get("thoughtSignature") for part in first] == [OTHER, SIGNATURE]
    assert [part.get("thoughtSignature") for part in second] == [None, SKIP]
    assert response.warnings == ("messages: signatures left out, for the target does not take these",)
    model.generate(history)
    assert signatures(server.requests[-1].json["contents"]) == [[SIGNATURE]]


def test_signatures_that_an_older_model_refuses():
    """It gets none in their place, unless it is one that it misses."""
    body = body_with()
    for message, instead in (("Corrupted thought signature.", None), ("It is missing a thought_signature.", SKIP)):
        found = wire.remedy(APIError(400, message), body, OLD)
        assert found == Remedy("thoughtSignature", instead, False)
        quirks = wire.Quirks(signed_calls=False, remedies={found.said: found.instead})
        assert signatures(wire.encode(Request(MADE_ELSEWHERE), "m", quirks)["contents"]) == [[instead, None], [instead]]


def test_an_answer_that_misses_a_signature_is_mended_too(server):
    """Google may say so in a 200."""
    model = Registry({"LLM_G": server.dsn("google")}, retries=0).parse("g/gemini-2.5-flash")
    server.add(Status(200, answer(finish="MISSING_THOUGHT_SIGNATURE")))
    assert model.generate(MADE_ELSEWHERE).text == "Hello from the fake server."
    found = [signatures(seen.json["contents"]) for seen in server.requests]
    assert found == [[[None, None], [None]], [[SKIP, None], [SKIP]]]


def test_what_extra_says_is_not_mended_for_ever(server):
    """What the caller insists on is sent once in each call, and nothing is learned of it."""
    server.add(*[refusal(UNKNOWN.format("seed"))] * 3)
    model = Registry({"LLM_G": server.dsn("google")}, retries=0).parse("g/gemini-3.8-flash")
    with pytest.raises(APIError, match="Unknown name"):
        model.generate("Hi", seed=1, extra={"generationConfig": {"seed": 2}})
    assert len(server.requests) == 1
    server.reset()
    assert model.generate("Hi", seed=1).warnings == ()


# --- over HTTP


def test_a_stream_byte_by_byte(server, provider):
    """A stream that drips in gives the same answer, and its message goes back as it came."""
    reply = Reply("Rain, 7 °C 😀.", thinking="Hm…", tool_calls=CALLS)
    found = []
    for step in (reply, drip(reply, seconds=0, after=None)):
        server.add(step)
        with provider.model("gemini-3.8-flash").stream("Hi", tools=TOOLS, reasoning="low") as stream:
            list(stream)
        found.append(stream.response.message)
    assert found[0] == found[1]
    assert [type(part) for part in found[0].parts] == [Thinking, Text, ToolCall, ToolCall]
    provider.model("gemini-3.8-flash").generate([user("Hi"), found[0], *RESULTS])
    assert signatures(server.requests[-1].json["contents"]) == [[found[0].parts[2].signature, None]]


@pytest.mark.parametrize("left", [0, 3, 30, 200])
def test_a_cut_behind_a_finished_answer_does_no_harm(server, provider, left):
    """Once a reason of the end has come the answer is whole, wherever behind it the stream is cut."""
    body = sse(answer({"text": "Rain."}), answer({"text": "", "thoughtSignature": SIGNATURE}, finish=""))
    end = body.index(b"\n\n") + 2
    server.add(Status(200, [body[: end + left]], WEB))
    with provider.model("m").stream("Hi") as stream:
        assert "".join(stream.text_deltas()) == "Rain."
    assert stream.response.stop_reason == "stop"


# --- the provider


@pytest.mark.parametrize(
    ("path", "base"),
    [("", "/v1beta"), ("/v1", "/v1"), ("/v1alpha/", "/v1alpha"), ("/prefix", "/prefix/v1beta"), ("/p/v1", "/p/v1")],
)
def test_versions(server, path, base):
    """The base URL ends with a version, the one that most models need unless it says another."""
    registry = Registry({"LLM_G": server.dsn("google", path=path)}, retries=0)
    registry.parse("g/m").generate("Hi")
    assert server.requests[0].path == f"{base}/models/m:generateContent"


def test_list_models(server, provider):
    """The ids are those of models that answer, without their folder."""
    server.add(SAMPLES.served("gemini-models.json"), path="/models")
    assert provider.list_models() == ["gemini-3.8-flash", "gemini-3.1-flash-image"]
    assert server.requests[0].path == "/v1beta/models?pageSize=1000"
    rows = [{"name": "models/a"}, {"name": "tunedModels/b", "supportedGenerationMethods": None}, {"name": 7}, None, {}]
    server.add(Status(200, {"models": rows}), Status(200, {}), path="/models")
    assert provider.list_models() == ["a", "tunedModels/b"]
    assert provider.list_models() == []


def test_list_models_of_several_pages(server, provider):
    """All pages are asked for, each with the word of the one before."""
    token = SAMPLES.payload("gemini-models-page1.json")["nextPageToken"]
    server.add(SAMPLES.served("gemini-models-page1.json"), SAMPLES.served("gemini-models.json"), path="/models")
    assert provider.list_models() == ["gemini-3.8-flash", "gemini-3.8-flash", "gemini-3.1-flash-image"]
    assert server.requests[1].path == "/v1beta/models?pageSize=1000&pageToken=" + token.replace("=", "%3D")


def test_a_list_without_an_end(server, provider, monkeypatch):
    """A server that gives the same page again and again, ever new ones, or ever more, is not asked for ever."""
    monkeypatch.setattr("majordomo._http.CAP", 100_000)
    numbers = iter(range(1000))
    pages = {
        "the same": lambda seen: Status(200, {"models": [], "nextPageToken": "x"}),
        "ever new": lambda seen: Status(200, {"models": [], "nextPageToken": str(next(numbers))}),
        "ever more": lambda seen: Status(200, {"models": ["x" * 40_000], "nextPageToken": str(next(numbers))}),
        "a long way on": lambda seen: Status(200, {"models": [], "nextPageToken": "x" * 5000}),
    }
    for page, most in zip(pages.values(), (2, 100, 3, 1)):
        server.reset()
        server.add(*[page] * 101, path="/models")
        with pytest.raises(ProtocolError, match="no end"):
            provider.list_models()
        assert len(server.requests) == most


def test_one_deadline_for_all_pages(server, provider):
    """Pages that come slowly do not each have the whole timeout."""
    numbers = iter(range(1000))
    slow = [lambda seen: drip(Status(200, {"models": [], "nextPageToken": str(next(numbers))}), 0.003)] * 20
    server.add(*slow, path="/models")
    with pytest.raises(DeadlineError):
        provider.list_models(timeout=0.3)


@pytest.mark.parametrize("body", ["[]", "7", '{"models": 7}', "oops", "null"])
def test_what_is_no_list(server, provider, body):
    """Another answer is a ProtocolError that names the provider."""
    server.add(Status(200, body), path="/models")
    with pytest.raises(ProtocolError) as caught:
        provider.list_models()
    assert caught.value.target == "g"


def test_errors_of_lists(server, provider):
    """A refusal is read as any other."""
    server.add(SAMPLES.served("gemini-error-400-api-key.json"), path="/models")
    with pytest.raises(APIError) as caught:
        provider.list_models()
    assert (classify(caught.value), caught.value.target) == (ErrorKind.AUTH, "g")


def test_the_same_provider_chats_and_draws(server, provider):
    """A model may be asked both ways, each over its own wire."""
    assert provider.model("gemini-3.1-flash-image").generate("Hi").text == "Hello from the fake server."
    drawn = provider.image_model("gemini-3.1-flash-image").generate("a cat").images
    assert drawn == (PICTURE,)
    server.add(Status(200, answer({"text": "Here:"}, {**INLINE, "thoughtSignature": SIGNATURE})))
    message = provider.model("gemini-3.1-flash-image").generate("a cat").message
    assert message.parts == (Text("Here:"), Thinking("", SIGNATURE), PICTURE)


def test_results_of_several_in_one_message():
    """A message of two results is one content."""
    both = Message("tool", (ToolResult("a", ("7",)), ToolResult("b", ("8",))))
    contents = wire.encode(Request([user("Hi"), assistant(*CALLS), both]), "m", NEW)["contents"]
    assert [response["response"] for response in responses(contents)] == [{"output": "7"}, {"output": "8"}]


# --- ends that were none


def test_a_reason_that_comes_too_early():
    """A stream that goes on behind its reason is not over; if it breaks off then, it is cut."""
    early, more, last = answer({"text": "one "}), answer({"text": "two"}, finish=""), answer({"text": "."})
    assert decode_stream([sse(early, more, last)])[0].text == "one two."
    with pytest.raises(TruncatedError) as caught:
        decode_stream([sse(early, more)])
    assert caught.value.partial == "one two"


def test_contents_of_the_callers_own(server):
    """What `extra` has put there is not looked into for signatures: the server's error is what it is."""
    model = Registry({"LLM_BOX": server.dsn("google")}, retries=0).parse("box/m")
    for contents in ("hi", [{"role": "user"}], [7], {"parts": []}):
        server.add(Status(400, {"error": {"code": 400, "message": "Function call is missing a thought_signature"}}))
        with pytest.raises(APIError):
            model.generate("Hi", extra={"contents": contents})


def test_a_value_that_is_out_of_range_is_the_callers_to_mend():
    """Only what is not taken at all is left out from then on."""
    body = {"generationConfig": {"temperature": 3}}
    for words, mended in (("temperature is not supported", True), ("temperature 3 is not in range", False)):
        error = APIError(400, f"Unable to submit request because {words}.")
        assert (wire.remedy(error, body, NEW) is not None) is mended

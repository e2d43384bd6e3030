"""Ollama's own wire, against the answers that servers, Ollama Cloud and proxies give.

`data/ollama` holds the answers, `expect.json` beside them what each of them means.
"""

from __future__ import annotations

import copy
import json
from base64 import b64decode
from functools import partial

import pytest
import samples
from helpers import told_of
from samples import SCHEMA, Samples, check_error, check_response

from majordomo import Request, UnsupportedError
from majordomo.errors import APIError, ErrorKind, MajordomoError, ProtocolError, TruncatedError, classify
from majordomo.llm import Image, Message, Text, Thinking, Tool, ToolCall, ToolResult, assistant, tool_result, user
from majordomo.model import TextDelta
from majordomo.testing import RED
from majordomo.wires import ollama as wire

SAMPLES = Samples("ollama")

PLAIN = wire.Quirks()
CLOUD = wire.Quirks(schema_enforced=False)
stream = partial(samples.decode_stream, wire)
PICTURE = Image(RED)


def lines_of(*payloads):
    return b"".join(json.dumps(payload).encode() + b"\n" for payload in payloads)


# --- small answers, one promise each


def answer(message, reason="stop", **more):
    return {"model": "m", "message": {"role": "assistant", **message}, "done": True, "done_reason": reason, **more}


def call(name="f", arguments=None, **more):
    return {"function": {"index": 0, "name": name, "arguments": arguments or {}}, **more}


MESSAGES = {
    "text": (answer({"content": "Hi."}), {"text": "Hi.", "stop_reason": "stop"}),
    "nothing": (answer({}), {"text": "", "stop_reason": "stop"}),
    "null": (answer({"content": None, "thinking": None, "tool_calls": None}), {"text": "", "stop_reason": "stop"}),
    "odd types": (answer({"content": 7, "thinking": [8], "tool_calls": 9}), {"text": "", "stop_reason": "stop"}),
    "odd calls": (
        answer({"content": "", "tool_calls": [None, 7, {}, {"function": "f"}, [call()]]}),
        {"text": "", "stop_reason": "stop"},
    ),
    "thinking": (
        answer({"content": "b", "thinking": "a"}),
        {"text": "b", "thinking": "a", "stop_reason": "stop"},
    ),
    "think tags": (
        answer({"content": "<think>\na\n</think>\n\nb"}),
        {"text": "b", "thinking": "a", "stop_reason": "stop"},
    ),
    "think tags in the middle": (
        answer({"content": "b <think>a</think>"}),
        {"text": "b <think>a</think>", "stop_reason": "stop"},
    ),
    "think tags behind thinking": (
        answer({"content": "<think>b</think>c", "thinking": "a"}),
        {"text": "<think>b</think>c", "thinking": "a", "stop_reason": "stop"},
    ),
    "calls of one index": (
        answer({"content": "", "tool_calls": [call("f", {"x": 1}, id="a"), call("g", id="b"), call("g", id="c")]}),
        {"text": "", "stop_reason": "tool_calls", "tool_calls": [["a", "f", {"x": 1}], ["b", "g", {}], ["c", "g", {}]]},
    ),
    "calls of one id": (
        answer({"tool_calls": [call("f", id="a"), call("f", id="a"), call("f", id="")]}),
        {"text": "", "stop_reason": "tool_calls", "tool_calls": [["a", "f", {}], [None, "f", {}], [None, "f", {}]]},
    ),
    "arguments as text": (
        answer({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": '{"x": 1}'}}]}),
        {"text": "", "stop_reason": "tool_calls", "tool_calls": [["a", "f", {"x": 1}]]},
    ),
    "no arguments": (
        answer({"tool_calls": [{"id": "a", "function": {"name": "f"}}]}),
        {"text": "", "stop_reason": "tool_calls", "tool_calls": [["a", "f", {}]]},
    ),
    "a call, cut": (
        answer({"tool_calls": [call(id="a")]}, "length"),
        {"text": "", "stop_reason": "length", "tool_calls": [["a", "f", ""]]},
    ),
    "text and a call": (
        answer({"content": "So.", "tool_calls": [call(id="a")]}, None),
        {"text": "So.", "stop_reason": "tool_calls", "tool_calls": [["a", "f", {}]]},
    ),
    "no reason": ({**answer({"content": "Hi"}), "done_reason": None}, {"text": "Hi", "stop_reason": "other"}),
    "an odd reason": (answer({"content": "Hi"}, ["stop"]), {"text": "Hi", "stop_reason": "other"}),
    "a new reason": (answer({"content": "Hi"}, "safety"), {"text": "Hi", "stop_reason": "other"}),
    "counts": (
        answer({"content": "Hi"}, prompt_eval_count=0, eval_count=2),
        {"text": "Hi", "stop_reason": "stop", "usage": [0, 2, None, None]},
    ),
    "odd counts": (
        answer({"content": "Hi"}, prompt_eval_count="1", eval_count=-2),
        {"text": "Hi", "stop_reason": "stop"},
    ),
    "surrogates": (answer({"content": "a\ud83d\ude00b"}), {"text": "a😀b", "stop_reason": "stop"}),
}


@pytest.mark.parametrize(("payload", "expect"), list(MESSAGES.values()), ids=list(MESSAGES))
def test_messages(payload, expect):
    """What a message says is read the same from an answer, from a line of its own, and from a last line."""
    check_response(expect, wire.decode(json.loads(json.dumps(payload)), PLAIN))
    check_response(expect, stream([lines_of(payload)])[0])
    check_response(expect, stream([lines_of({**payload, "done": False}, {**payload, "message": {}})])[0])


def test_thinking_comes_before_text_whatever_the_pieces():
    """Think tags are taken out also where they are cut; what looks like one and is none is text."""
    for pieces, thinking, text in (
        (["<thi", "nk>a", "b</th", "ink>\n", "\nc"], "ab", "c"),
        (["<thi", "s is"], "", "<this is"),
        (["<think>a"], "a", ""),
    ):
        says = [{"message": {"role": "assistant", "content": piece}, "done": False} for piece in pieces]
        response, deltas = stream([lines_of(*says, answer({"content": ""}))])
        assert (response.thinking, response.text) == (thinking, text)
        assert "".join(d.text for d in deltas if type(d) is TextDelta) == text


def test_arguments_that_are_no_json_are_kept():
    """Arguments that make no object are marked and kept as text; nothing is raised."""
    for arguments, text in (('{"x": ', '{"x": '), ([1], "[1]"), ({"x": float("nan")}, '{"x":NaN}')):
        payload = answer({"tool_calls": [{"function": {"name": "f", "arguments": arguments}}]})
        for response in (wire.decode(payload, PLAIN), stream([lines_of(payload)])[0]):
            (found,) = response.tool_calls
            assert (found.arguments, found.malformed) == ({}, text)


def test_lines_that_say_nothing_are_passed_over():
    """Blank lines, values that are no object and unknown members do no harm; nothing counts behind the end."""
    odd = b'\n\r\nnull\n7\n[]\n"x"\n{}\n{"message": 7}\n{"zzz": {"done": true}, "done": "yes"}\n'
    says = {"message": {"content": "Hi", "zzz": 1}, "done": False}
    response, _ = stream([odd + lines_of(says) + odd + lines_of(answer({})) + odd + b'{"error": "late"}\n'])
    assert (response.text, response.stop_reason) == ("Hi", "stop")


def test_an_answer_that_is_not_done_is_truncated():
    """A whole answer says `done`; a proxy that leaves the word out is believed."""
    payload = answer({"content": "Half"})
    with pytest.raises(TruncatedError) as caught:
        wire.decode({**payload, "done": False}, PLAIN)
    assert caught.value.partial == "Half"
    assert wire.decode({**payload, "done": None}, PLAIN).text == "Half"
    del payload["done"]
    assert wire.decode(payload, PLAIN).text == "Half"


@pytest.mark.parametrize(
    "payload", [None, 7, [], {}, {"done": True}, {"message": "x" * 3, "done": True}, {"error": {}}]
)
def test_what_is_no_answer_is_an_error_of_the_tree(payload):
    """A 2xx that makes no sense is never a response."""
    with pytest.raises((ProtocolError, APIError)):
        wire.decode(payload, PLAIN)
    with pytest.raises(MajordomoError):
        stream([lines_of(payload)])


def test_an_answer_to_a_schema():
    """It is parsed, also within a fence; one that was cut or is no JSON keeps its text."""
    assert wire.decode(answer({"content": '```json\n{"a": 1}\n```'}), CLOUD, SCHEMA).parsed == {"a": 1}
    assert wire.decode(answer({"tool_calls": [call()]}), PLAIN, SCHEMA).parsed is None
    for payload, kind in (
        (answer({"content": '{"a"'}, "length"), TruncatedError),
        (answer({"content": "Sure"}), ProtocolError),
    ):
        with pytest.raises(kind) as caught:
            wire.decode(payload, PLAIN, SCHEMA)
        assert caught.value.partial == payload["message"]["content"]


# --- errors


@pytest.mark.parametrize("name", [n for n in SAMPLES.refused if "code" in SAMPLES.expect(n)])
def test_an_error_is_the_same_in_a_200(name):
    """Status, kind, code and words do not depend on where the error stood."""
    line, begun = lines_of(SAMPLES.payload(name)), lines_of({"message": {"content": "So far"}, "done": False})
    for ask, so_far in (
        (lambda: wire.decode(SAMPLES.payload(name), PLAIN), ""),
        (lambda: stream([line]), ""),
        (lambda: stream([begun + line]), "So far"),
    ):
        with pytest.raises(APIError) as caught:
            ask()
        check_error({**SAMPLES.expect(name), "partial_text": so_far}, caught.value)
        told = SAMPLES.error(wire, name)
        assert (caught.value.message, caught.value.status) == (told.message, told.status)


# (status, text, kind): servers tell these apart by their words alone.
WORDS = [
    (400, "request (9 tokens) exceeds the available context size (8 tokens), try increasing it", "TOO_LONG"),
    (500, "the request exceeds the available context size", "TOO_LONG"),
    (400, "the prompt is longer than the context length", "TOO_LONG"),
    (400, "the input length exceeds the context length", "TOO_LONG"),
    (400, '"nomic-embed-text" does not support chat', "UNSUPPORTED"),
    (400, "registry.ollama.ai/library/m:2b does not support tools", "UNSUPPORTED"),
    (400, '"m" does not support thinking', "UNSUPPORTED"),
    (500, "image input is not supported - hint: if this is unexpected, provide the mmproj", "UNSUPPORTED"),
    (400, "this model does not support image input", "UNSUPPORTED"),
    (400, 'invalid think value: "xhigh" (must be "high", "medium", "low", "max", true, or false)', "INVALID"),
    (500, 'option "num_ctx" must be of type integer', "INVALID"),
    (400, "model is required", "INVALID"),
    (402, "payment required", "QUOTA"),
    (429, "you (a) have reached your hourly usage limit, upgrade for higher limits (ref: 7)", "QUOTA"),
    (429, "too many requests", "RATE_LIMITED"),
    (429, "slow down", "RATE_LIMITED"),
    (404, 'model "x" not found, try pulling it first', "NOT_FOUND"),
    (404, "404 page not found", "NOT_FOUND"),
    (405, "405 method not allowed", "INVALID"),
    (499, "request canceled", "INVALID"),
    (500, "llama runner process has terminated: out of memory", "TRANSIENT"),
    (502, "cloud is unreachable", "TRANSIENT"),
    (503, "server busy, please try again. maximum pending requests exceeded", "TRANSIENT"),
    # words of a prompt that a server echoes decide nothing
    (400, "template: :3: " + "x" * 300 + " does not support tools", "INVALID"),
]


@pytest.mark.parametrize(("status", "text", "kind"), WORDS, ids=[f"{row[0]} {row[1][:40]}" for row in WORDS])
@pytest.mark.parametrize("shape", ["object", "text", "in an object", "nested", "with a ref"])
def test_errors_that_are_told_by_words(status, text, kind, shape):
    """What only the text says is understood in each shape of a body, llama-server's JSON within a text too."""
    inner = json.dumps({"error": {"code": status, "message": text, "type": "server_error"}})
    body = {
        "object": json.dumps({"error": text}),
        "text": text,
        "in an object": json.dumps({"error": {"message": text}}),
        "nested": json.dumps({"error": inner}),
        "with a ref": json.dumps({"error": text + " (ref: 00000000-0000-4000-8000-000000000001)"}),
    }[shape]
    message, code, param, _ = wire.read_error(status, body)
    assert message.startswith(text)
    assert classify(APIError(status, message, code, param=param)) is ErrorKind[kind]


def test_a_403_of_nothing_says_what_to_do():
    """An Ollama on loopback refuses foreign names without a word: the error has some, short enough to be shown."""
    for body in ("", " \n"):
        message, code, _, _ = wire.read_error(403, body)
        assert "OLLAMA_HOST" in message
        assert len(message) < 300
        assert classify(APIError(403, message, code)) is ErrorKind.AUTH


def test_a_server_that_is_not_signed_in_says_what_to_do():
    """The way out is told, the link with its key is not."""
    message, _, _, _ = wire.read_error(401, SAMPLES.text("ollama-error-401-signin.json"))
    assert "ollama signin" in message
    assert "key=" not in message


# --- requests

GOLDEN = SAMPLES.payload("ollama-request-full.json")
ASKED, SAID = GOLDEN["messages"][1], GOLDEN["messages"][2]
CALLS = [ToolCall(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in SAID["tool_calls"]]
TURNS = (
    user(ASKED["content"], Image(b64decode(ASKED["images"][0]))),
    Message("assistant", (Thinking(SAID["thinking"]), Text(SAID["content"]), *CALLS), origin="box/gemma4:latest"),
    Message(
        "tool",
        (
            ToolResult(CALLS[0].id, ("timeout after 5 s",), is_error=True),
            ToolResult(CALLS[1].id, ("map follows", Image(b64decode(GOLDEN["messages"][5]["images"][0])))),
        ),
    ),
)
FULL = Request(
    (*TURNS, user(GOLDEN["messages"][5]["content"])),
    system="You are terse.",
    tools=tuple(Tool(**tool["function"]) for tool in GOLDEN["tools"]),
    schema=GOLDEN["format"],
    reasoning="medium",
    max_tokens=1024,
    temperature=0.2,
    top_p=0.9,
    stop=("END",),
    seed=7,
    extra={"options": {"top_k": 40}},
)


def test_a_full_request():
    """Everything at once becomes the body that Ollama takes."""
    expect = copy.deepcopy(GOLDEN)
    said, failed, shown = expect["messages"][2], expect["messages"][3], expect["messages"][5]
    # Ours differs in three places: thinking is dropped when the user has spoken again, an error
    # is JSON so that no text is taken for one, and pictures of a result say whose they are.
    del said["thinking"]
    failed["content"] = '{"error": "timeout after 5 s"}'
    shown["content"] = f"Images returned by the tool get_map ({CALLS[1].id}):\n{shown['content']}"
    quirks = wire.Quirks(num_ctx=8192, keep_alive="10m")
    assert wire.encode(FULL, "gemma4:latest", quirks, target="box/gemma4:latest", stream=True) == expect
    assert told_of(wire, FULL, quirks) == ()


def messages_of(*messages, target="box/m", **options):
    """The messages of a body."""
    return wire.encode(Request(messages, **options), "m", PLAIN, target=target)["messages"]


@pytest.mark.parametrize(
    ("origin", "kept"), [("box/m", True), ("box/other", False), ("elsewhere/m", False), (None, False)]
)
def test_thinking_goes_back_within_a_tool_loop(origin, kept):
    """Thinking goes back to who gave it while the tools it led to are used; behind the user's next word it does not."""
    said = Message("assistant", (Thinking("hm"), Text("So."), ToolCall("c", "f", {})), origin=origin)
    loop = [user("Hi"), said, tool_result("c", "7", PICTURE)]
    for behind in ([], [Message("assistant", (Thinking("ah"), ToolCall("d", "f")), origin=origin), tool_result("d")]):
        found = [m.get("thinking") for m in messages_of(*loop, *behind) if m["role"] == "assistant"]
        assert found == (["hm", "ah"][: len(found)] if kept else [None] * len(found))
    assert not any("thinking" in message for message in messages_of(*loop, user("And?")))
    assert not any("thinking" in message for message in messages_of(*loop, user(PICTURE)))


def test_an_old_turn_of_thinking_alone_leaves_no_trace():
    """What is left of it is nothing, and the user's words before and behind it are one turn."""
    thought = Message("assistant", (Thinking("hm"),), origin="box/m")
    assert messages_of(user("a"), thought, user("b")) == [{"role": "user", "content": "a\n\nb"}]


def test_a_message_is_a_string_and_its_pictures():
    """Texts are lines, pictures stand beside them as bare base64, without their places."""
    (message,) = messages_of(user("left", PICTURE, "right", PICTURE))
    assert message == {"role": "user", "content": "left\nright", "images": message["images"]}
    assert [b64decode(image, validate=True) for image in message["images"]] == [RED, RED]
    assert messages_of(user(PICTURE))[0]["content"] == ""
    assert messages_of(user("")) == [{"role": "user", "content": ""}]  # no messages at all would load the model


def test_calls_and_their_answers():
    """Arguments are objects, answers stand behind their calls with name and id, and none is empty."""
    calls = assistant(ToolCall("a", "f", {"x": "é"}), ToolCall("b", "g", malformed='{"x": '))
    found = messages_of(user("Hi"), calls, tool_result("b"), tool_result("a", "é", is_error=True))
    assert found[1] == {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"id": "a", "function": {"index": 0, "name": "f", "arguments": {"x": "é"}}},
            {"id": "b", "function": {"index": 1, "name": "g", "arguments": {}}},
        ],
    }
    assert found[2:] == [
        {"role": "tool", "content": '{"error": "é"}', "tool_name": "f", "tool_call_id": "a"},
        {"role": "tool", "content": "(no output)", "tool_name": "g", "tool_call_id": "b"},
    ]


def test_pictures_of_an_assistant_cannot_be_sent():
    """What this wire cannot say is refused before sending, with the place."""
    with pytest.raises(UnsupportedError, match="message 1"):
        messages_of(user("Hi"), assistant(PICTURE))


TOOLS = (Tool("f", "does f", {"type": "object", "properties": {"x": {"type": "integer"}}}), Tool("g"))
IN_WORDS = "tool_choice: asked for in words, for the target cannot be forced to call"


@pytest.mark.parametrize(
    ("choice", "tools", "system", "told"),
    [
        ("auto", ["f", "g"], None, ()),
        ("none", None, None, ("tools: left out, for the target has no tool_choice",)),
        ("required", ["f", "g"], "Do not answer in text. Call one of the tools.", (IN_WORDS,)),
        ("g", ["g"], "Do not answer in text. Call the tool g.", (IN_WORDS,)),
    ],
)
def test_tool_choice(choice, tools, system, told):
    """There is none: tools are left out, or asked for in words behind the system prompt."""
    request = Request("Hi", tools=TOOLS, tool_choice=choice)
    body = wire.encode(request, "m", PLAIN)
    assert ([tool["function"]["name"] for tool in body["tools"]] if "tools" in body else None) == tools
    assert [m["content"] for m in body["messages"] if m["role"] == "system"] == ([system] if system else [])
    assert told_of(wire, request, PLAIN) == told
    both = wire.encode(Request("Hi", tools=TOOLS, tool_choice=choice, system="Be brief."), "m", PLAIN)["messages"]
    assert both[0]["content"] == (f"Be brief.\n\n{system}" if system else "Be brief.")


PARAMETERS = {
    "nothing": ({}, {"type": "object", "properties": {}}),
    "as it is": (TOOLS[0].parameters, TOOLS[0].parameters),
    "a reference": (
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "string"}}},
        {"type": "object", "properties": {"a": {"type": "string"}}},
    ),
    "no schema at all": ({"$ref": "#/$defs/A", "$defs": {"A": True}}, {"type": "object", "properties": {}}),
    "a list of types": ({"type": ["object", "null"], "properties": {}}, {"type": "object", "properties": {}}),
    "no type": ({"properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}),
    "true and false": (
        {"type": "object", "properties": {"a": True, "b": {"anyOf": [False, {"type": "null"}]}}},
        {"type": "object", "properties": {"a": {}, "b": {"anyOf": [{"description": "not: {}"}, {"type": "null"}]}}},
    ),
    "a constant": (
        {"type": "object", "properties": {"a": {"const": 1}, "const": {"const": None}}},
        {"type": "object", "properties": {"a": {"enum": [1]}, "const": {"enum": [None]}}},
    ),
    "one of": (
        {"type": "object", "properties": {"a": {"items": {"oneOf": [{"const": 1}, {"type": "null"}]}}}},
        {"type": "object", "properties": {"a": {"items": {"anyOf": [{"enum": [1]}, {"type": "null"}]}}}},
    ),
}


@pytest.mark.parametrize(("given", "sent"), list(PARAMETERS.values()), ids=list(PARAMETERS))
def test_the_schema_of_a_tool(given, sent):
    """It is sent in the words that the server keeps, and in types that it can read; the caller's own stays as it is."""
    before = copy.deepcopy(given)
    (tool,) = wire.encode(Request("Hi", tools=(Tool("f", "", given),)), "m", PLAIN)["tools"]
    assert tool == {"type": "function", "function": {"name": "f", "parameters": sent}}
    assert given == before


def test_a_recursive_tool_cannot_be_sent():
    """References are not known there, and this one has no end."""
    node = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    with pytest.raises(UnsupportedError):
        wire.encode(Request("Hi", tools=(Tool("f", "", node),)), "m", PLAIN)


def test_a_schema_that_is_not_enforced():
    """Ollama Cloud passes over `format`: it is left out, and the schema is told in words."""
    request = Request("Hi", schema=SCHEMA, system="Be brief.")
    body = wire.encode(request, "m", CLOUD)
    assert "format" not in body
    assert body["messages"][0]["content"].startswith("Be brief.\n\n")
    assert json.dumps(SCHEMA, separators=(",", ":")) in body["messages"][0]["content"]
    assert told_of(wire, request, CLOUD) == ("schema: asked for in words, for the target does not enforce it",)
    assert wire.encode(request, "m", PLAIN)["format"] is SCHEMA


LEVELS = {"off": False, "minimal": "low", "low": "low", "medium": "medium", "high": "high", "max": "max"}


@pytest.mark.parametrize("think", [None, True, False, "low"])
@pytest.mark.parametrize("level", [None, *LEVELS])
def test_reasoning(level, think):
    """A level of the request wins over the target's own; without either, the server decides."""
    body = wire.encode(Request("Hi", reasoning=level), "m", wire.Quirks(think=think))
    assert body.get("think") == (think if level is None else LEVELS[level])
    assert ("think" in body) == ((level, think) != (None, None))


def quirks_after(*learned, **more):
    return wire.Quirks(remedies=dict(learned), **more)


LEFT = "reasoning: left out, for the target does not think"
REMEDIED = [
    (
        "max",
        {},
        [("think=max", "think=high")],
        "high",
        "reasoning: sent as high, for the target does not take think=max",
    ),
    ("high", {}, [("think=max", "think=high")], "high", None),
    (
        "max",
        {},
        [("think=max", "think=high"), ("think=high", "think=true")],
        True,
        "reasoning: sent as on, for the target does not take think=max",
    ),
    ("low", {}, [("think=low", "think=true")], True, "reasoning: sent as on, for the target does not take think=low"),
    ("low", {}, [("think", None)], None, LEFT),
    ("low", {}, [("think=low", "think=true"), ("think", None)], None, LEFT),
    ("off", {}, [("think", None)], None, None),
    (None, {"think": True}, [("think", None)], None, "think: left out, for the target does not think"),
    (None, {"think": False}, [("think", None)], None, None),
    (None, {}, [("think", None)], None, None),
]


@pytest.mark.parametrize(("level", "more", "learned", "sent", "told"), REMEDIED)
def test_what_was_learned_of_thinking(level, more, learned, sent, told):
    """A level that was refused is sent as the next one, thinking that was is left out; it is told where it matters."""
    request, quirks = Request("Hi", reasoning=level), quirks_after(*learned, **more)
    assert wire.encode(request, "m", quirks).get("think") == sent
    assert told_of(wire, request, quirks) == ((told,) if told else ())


TOO_HIGH = 'invalid think value: "max" (must be "high", "medium", "low", true, or false)'
NO_LEVELS = "json: cannot unmarshal string into Go struct field ChatRequest.think of type bool"
REMEDIES = [
    (TOO_HIGH, "max", {}, ("think=max", "think=high")),
    (TOO_HIGH, "high", {"think=max": "think=high"}, ("think=high", "think=true")),
    (NO_LEVELS, "low", {}, ("think=low", "think=true")),
    (NO_LEVELS, True, {}, None),
    (NO_LEVELS, "low", {"think=low": "think=true"}, None),
    ('"m" does not support thinking', "low", {}, ("think", None)),
    ('"m" does not support thinking', True, {}, ("think", None)),
    ('"m" does not support thinking', None, {}, None),
    ('"m" does not support tools', "low", {}, None),
    ("json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string", "low", {}, None),
]


@pytest.mark.parametrize(("text", "think", "learned", "mended"), REMEDIES)
def test_remedy(text, think, learned, mended):
    """An error about `think` is mended, once for each level; no other is."""
    body = {"model": "m"} if think is None else {"model": "m", "think": think}
    message, code, param, _ = wire.read_error(400, json.dumps({"error": text}))
    found = wire.remedy(APIError(400, message, code, param=param), body, wire.Quirks(remedies=learned))
    assert (found and (found.said, found.instead, found.lasting)) == (mended and (*mended, True))


@pytest.mark.parametrize("streams", [True, False])
def test_nothing_unset_is_sent(streams):
    """No key for what is not set; whether to stream is always said, for the server streams unless told."""
    body = wire.encode(Request("Hi"), "m", PLAIN, stream=streams)
    assert body == {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": streams}
    zeros = wire.encode(Request("Hi", temperature=0.0, seed=0, top_p=0), "m", wire.Quirks(keep_alive=0))
    assert zeros["options"] == {"temperature": 0.0, "top_p": 0, "seed": 0}
    assert zeros["keep_alive"] == 0


def test_extra_wins():
    """Options of a call are laid over those of the target, and nothing of the caller's is changed."""
    extra = {"options": {"num_ctx": 4096, "top_k": 5}, "keep_alive": 0, "think": "high"}
    request = Request(FULL.messages, tools=FULL.tools, schema=FULL.schema, reasoning="low", seed=1, extra=extra)
    before = copy.deepcopy(request.to_dict())
    quirks = wire.Quirks(num_ctx=8192, keep_alive="10m", think=True)
    body = wire.encode(request, "m", quirks)
    assert body["options"] == {"num_ctx": 4096, "top_k": 5, "seed": 1}
    assert (body["keep_alive"], body["think"]) == (0, "high")
    assert request.to_dict() == before
    assert quirks == wire.Quirks(num_ctx=8192, keep_alive="10m", think=True)


# --- over HTTP

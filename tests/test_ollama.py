"""Ollama's own wire, against the answers that servers, Ollama Cloud and proxies give.

`data/ollama` holds the answers, `expect.json` beside them what each of them means.
"""

from __future__ import annotations

import copy
import json
import random
from base64 import b64decode

import pytest
from helpers import ODD_BODIES, Samples, mutated, told_of

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
from majordomo._events import LineDecoder
from majordomo.llm import Usage
from majordomo.testing import RED, Status
from majordomo.wires import ollama as wire

SAMPLES = Samples("ollama")
ROWS = SAMPLES.rows
WHOLE = [n for n in SAMPLES.answers if n.endswith(".json") and "-chat" in n]
STREAMS = [n for n in SAMPLES.answers if "-chat-stream" in n]
WHOLE_STREAMS = [n for n in STREAMS if "text" in ROWS[n]["expect"]]
REFUSED = [n for n in SAMPLES.refused if ROWS[n]["status"]]
OTHERS = [n for n in SAMPLES.answers if n.endswith("json") and n not in (*WHOLE, *STREAMS)]

PLAIN = wire.Quirks()
CLOUD = wire.Quirks(schema_enforced=False)
SCHEMA = {"type": "object"}
PICTURE = Image(RED)


def schema_of(name):
    """A schema, for the answers that are answers to one."""
    return SCHEMA if "json" in ROWS[name]["expect"] else None


def cuts(data, seed=0):
    """Bytes in pieces: whole, one by one, and of random sizes."""
    rng, at, pieces = random.Random(seed), 0, []
    while at < len(data):
        pieces.append(data[at : at + rng.choice((1, 2, 3, 7, 50, 400))])
        at += len(pieces[-1])
    return {"whole": [data], "bytes": [data[i : i + 1] for i in range(len(data))], "random": pieces}


def stream(chunks, schema=None):
    """A stream that came in these chunks, through the wire module alone: (response, deltas).

    An error carries what had arrived, as it does behind the transport.
    """
    lines, decoder, deltas = LineDecoder(), wire.StreamDecoder(PLAIN, schema), []
    try:
        for chunk in chunks:
            for event, data in lines.feed(chunk):
                deltas += decoder.feed(event, data)
        for event, data in lines.close():
            try:
                deltas += decoder.feed(event, data)
            except ProtocolError:  # a line that the end has cut is none
                pass
        deltas += decoder.close()
        return decoder.response(), deltas
    except MajordomoError as exc:
        exc.partial = exc.partial or decoder.partial
        raise


def lines_of(*payloads):
    return b"".join(json.dumps(payload).encode() + b"\n" for payload in payloads)


def check(expect, ask):
    """Hold what `ask` gives, a response or an error, against a row of `expect.json`; gives both."""
    if {"error", "kind"} & expect.keys():
        with pytest.raises(MajordomoError) as caught:
            ask()
        check_error(expect, caught.value)
        return None, caught.value
    response = ask()
    check_response(expect, response)
    return response, None


def check_error(expect, error):
    assert type(error) is {"truncated": TruncatedError, "protocol": ProtocolError}.get(expect.get("error"), APIError)
    assert "\n" not in str(error)
    assert classify(error) is ErrorKind[expect.get("kind", "TRANSIENT")]
    assert error.code == expect.get("code")
    assert error.partial == expect.get("partial_text", "")


def check_response(expect, response):
    assert response.text == expect["text"]
    assert response.thinking == expect.get("thinking", "")
    assert response.stop_reason == expect["stop_reason"]
    assert response.usage == Usage(*expect.get("usage", ()))
    assert response.parsed == expect.get("json")
    calls = response.tool_calls
    assert [(call.name, call.arguments) for call in calls] == [(n, a) for _, n, a in expect.get("tool_calls", ())]
    assert all(id in (None, call.id) for call, (id, _, _) in zip(calls, expect.get("tool_calls", ())))
    assert len({call.id for call in calls} - {""}) == len(calls)


# --- answers


@pytest.mark.parametrize("name", WHOLE)
def test_decode(name):
    """An answer becomes the response written beside it, and is kept as it came."""
    payload = SAMPLES.payload(name)
    response, _ = check(ROWS[name]["expect"], lambda: wire.decode(payload, PLAIN, schema_of(name)))
    assert response.raw is payload


@pytest.mark.parametrize("cut", ["whole", "bytes", "random"])
@pytest.mark.parametrize("name", STREAMS)
def test_decode_stream(name, cut):
    """A stream becomes the response or the error written beside it, also byte by byte."""
    check(ROWS[name]["expect"], lambda: stream(cuts(SAMPLES.text(name).encode())[cut])[0])


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_answer_to_a_stream_is_the_same_answer(name):
    """A server that answers a stream in one piece is understood as if it had been asked so."""
    check(ROWS[name]["expect"], lambda: stream([SAMPLES.text(name).encode()], schema_of(name))[0])


@pytest.mark.parametrize("name", WHOLE_STREAMS)
def test_deltas_of_a_stream_are_the_response(name):
    """The deltas joined are the response, ids included, and every cut of the bytes gives the same ones."""
    data = SAMPLES.text(name).encode()
    response, deltas = stream([data])
    assert "".join(d.text for d in deltas if type(d) is TextDelta) == response.text
    assert "".join(d.text for d in deltas if type(d) is ThinkingDelta) == response.thinking
    calls = [d for d in deltas if type(d) is ToolCallDelta]
    assert [(d.index, d.id, d.name, json.loads(d.arguments)) for d in calls] == [
        (index, call.id, call.name, call.arguments) for index, call in enumerate(response.tool_calls)
    ]
    for seed in range(5):
        again, same = stream(cuts(data, seed)["random"])
        assert [d for d in same if type(d) is not ToolCallDelta] == [d for d in deltas if type(d) is not ToolCallDelta]
        assert (again.text, again.stop_reason, again.usage) == (response.text, response.stop_reason, response.usage)


@pytest.mark.parametrize("name", WHOLE_STREAMS)
def test_a_stream_that_ends_too_soon_is_truncated(name):
    """Behind each line but the last the end is a TruncatedError, with the text so far."""
    lines = SAMPLES.text(name).encode().splitlines(keepends=True)
    text = ROWS[name]["expect"]["text"]
    seen = []
    for count in range(len(lines)):
        with pytest.raises(TruncatedError) as caught:
            stream(lines[:count])
        seen.append(caught.value.partial)
        assert text.startswith(seen[-1])
    assert seen == sorted(seen, key=len)


@pytest.mark.parametrize("name", OTHERS)
def test_what_was_asked_elsewhere_is_no_answer(name):
    """Lists, versions, embeddings and the lines of `/api/generate` hold no message: a ProtocolError, never a reply."""
    with pytest.raises(ProtocolError, match="no message"):
        if name.endswith(".ndjson"):
            stream([SAMPLES.text(name).encode()])
        else:
            wire.decode(SAMPLES.payload(name), PLAIN)


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
        {"text": "", "stop_reason": "length", "tool_calls": [["a", "f", {}]]},
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
        {"text": "Hi", "stop_reason": "stop", "usage": [0, 2]},
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


@pytest.mark.parametrize("name", REFUSED)
def test_read_error(name):
    """The body of an error has the meaning written beside it."""
    status, expect = ROWS[name]["status"], ROWS[name]["expect"]
    message, code, param, wait = wire.read_error(status, SAMPLES.text(name))
    assert message
    assert (code, param, wait) == (expect.get("code"), None, None)
    assert classify(APIError(status, message, code)) is ErrorKind[expect["kind"]]


@pytest.mark.parametrize("name", [n for n in REFUSED if n.startswith("ollama") and "code" in ROWS[n]["expect"]])
def test_an_error_is_the_same_in_a_200(name):
    """Status, kind, code and words do not depend on where the error stood."""
    status, line = ROWS[name]["status"], lines_of(SAMPLES.payload(name))
    begun = lines_of({"message": {"content": "So far"}, "done": False})
    for ask, partial in (
        (lambda: wire.decode(SAMPLES.payload(name), PLAIN), ""),
        (lambda: stream([line]), ""),
        (lambda: stream([begun + line]), "So far"),
    ):
        with pytest.raises(APIError) as caught:
            ask()
        error = caught.value
        assert (error.message, error.code, error.param, error.retry_after) == wire.read_error(
            status, SAMPLES.text(name)
        )
        assert (error.status, error.partial) == (status, partial)
        assert classify(error) is ErrorKind[ROWS[name]["expect"]["kind"]]


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


@pytest.mark.parametrize("body", ODD_BODIES, ids=[body[:20] for body in ODD_BODIES])
@pytest.mark.parametrize("status", [400, 429, 500])
def test_reading_an_error_never_fails(status, body):
    """Whatever the body of an error is, it is read, and as an answer it raises errors of the tree alone."""
    for text in (body, json.dumps({"error": body}), json.dumps({"error": "{" + body})):
        message, code, param, wait = wire.read_error(status, text)
        assert isinstance(message, str)
        classify(APIError(status, message, code, param=param, retry_after=wait))
        with pytest.raises(MajordomoError) as caught:
            stream([text.encode() + b"\n"])
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize("depth", [500, 900, 980, 2000])
def test_an_answer_nested_deeply_is_an_error_of_the_tree(depth):
    """Deep nesting anywhere in an answer is the server's fault and says so."""
    deep = "[" * depth + "]" * depth
    for body in ('{"error": {"message": "m", "more": %s}}', '{"message": {"tool_calls": %s}}', "%s"):
        with pytest.raises(MajordomoError) as caught:
            stream([(body % deep).encode() + b"\n"])
        assert classify(caught.value) is not ErrorKind.CONFIG


# --- wrong types everywhere


def only_ours(ask, about):
    """Run `ask`; what it raises is of the tree and blames the server, not the caller's settings."""
    try:
        response = ask()
    except MajordomoError as exc:
        assert classify(exc) is not ErrorKind.CONFIG, about
        return
    assert isinstance(response.text, str)
    assert response.stop_reason in ("stop", "length", "tool_calls", "other")
    assert all(type(part) in (Text, Thinking, ToolCall) for part in response.message.parts)
    assert all(count is None or type(count) is int for count in vars(response.usage).values())
    assert all(isinstance(c.arguments, dict) and c.id for c in response.tool_calls)


@pytest.mark.parametrize("name", WHOLE)
def test_wrong_types_in_an_answer(name):
    """No answer with wrong types anywhere makes an exception from outside the tree."""
    payload, rng = SAMPLES.payload(name), random.Random(name)
    for _ in range(200):
        odd = mutated(payload, rng)
        for _ in range(rng.randint(0, 2)):
            odd = mutated(odd, rng)
        only_ours(lambda odd=odd: wire.decode(odd, PLAIN, rng.choice([None, SCHEMA])), odd)


@pytest.mark.parametrize("name", STREAMS)
def test_wrong_types_in_a_stream(name):
    """No line with wrong types anywhere makes an exception from outside the tree, and no delta of odd types."""
    given = SAMPLES.text(name).encode().splitlines()
    rng = random.Random(name)

    def ask(lines):
        response, deltas = stream([b"\n".join(lines)], rng.choice([None, None, SCHEMA]))
        assert all(isinstance(d.arguments if type(d) is ToolCallDelta else d.text, str) for d in deltas)
        return response

    for _ in range(100):
        lines = list(given)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(lines))
            if lines[at][:1] == b"{" and lines[at][-1:] == b"}":
                lines[at] = json.dumps(mutated(json.loads(lines[at]), rng)).encode()
        only_ours(lambda lines=lines: ask(lines), lines)


@pytest.mark.parametrize("name", STREAMS)
def test_wrong_bytes_in_a_stream(name):
    """Bytes that were changed, doubled or lost make errors of the tree at worst."""
    rng = random.Random(name)
    for _ in range(100):
        data = bytearray(SAMPLES.text(name).encode())
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            data[at : at + rng.choice((0, 1, 1, 9))] = rng.choice(
                (b"", b"\xff", b"\n", b"\r", b'"', b"{", b"}", b"\x00")
            )
        only_ours(lambda data=data: stream([bytes(data)])[0], bytes(data))


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
    """Texts are joined, pictures stand beside them as bare base64, without their places."""
    (message,) = messages_of(user("left", PICTURE, "right", PICTURE))
    assert message == {"role": "user", "content": "leftright", "images": message["images"]}
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
        {"type": "object", "properties": {"a": {}, "b": {"anyOf": [{}, {"type": "null"}]}}},
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
    with pytest.raises(UnsupportedError):
        wire.encode(Request("Hi", schema=["a"]), "m", PLAIN)


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
    ("max", {}, [("think=max", "high")], "high", "reasoning: sent as high, for the target does not take think=max"),
    ("high", {}, [("think=max", "high")], "high", None),
    (
        "max",
        {},
        [("think=max", "high"), ("think=high", "true")],
        True,
        "reasoning: sent as on, for the target does not take think=max",
    ),
    ("low", {}, [("think=low", "true")], True, "reasoning: sent as on, for the target does not take think=low"),
    ("low", {}, [("think", None)], None, LEFT),
    ("low", {}, [("think=low", "true"), ("think", None)], None, LEFT),
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
    (TOO_HIGH, "max", {}, ("think=max", "high")),
    (TOO_HIGH, "high", {"think=max": "high"}, ("think=high", "true")),
    (NO_LEVELS, "low", {}, ("think=low", "true")),
    (NO_LEVELS, True, {}, None),
    (NO_LEVELS, "low", {"think=low": "true"}, None),
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


def served(name):
    """A sample as a server sends it; a stream in pieces of its own."""
    row, body = ROWS[name], SAMPLES.text(name).encode()
    return Status(row["status"], cuts(body)["random"] if name.endswith(".ndjson") else body, row["headers"])


LOGIN = "proxy-200-login.html"
OVER_HTTP = [("generate", n) for n in (*WHOLE, *REFUSED, LOGIN)] + [("stream", n) for n in (*STREAMS, *REFUSED, LOGIN)]


@pytest.mark.parametrize("scheme", ["ollama", "ollama-cloud", "foreman"])
@pytest.mark.parametrize(("how", "name"), OVER_HTTP)
def test_over_http(server, scheme, how, name):
    """Served over HTTP, a sample means the same: the response, or the target's own error."""
    registry = Registry({"LLM_BOX": server.dsn(scheme)}, retries=0, sleep=lambda seconds: None)
    model, said = registry.parse("box/qwen3:14b"), []
    server.add(served(name), path="/api/chat")

    def ask():
        if how == "generate":
            return model.generate("Hi", schema=schema_of(name))
        with model.stream("Hi") as events:
            said.extend(events.text_deltas())
        return events.response

    response, error = check(ROWS[name]["expect"], ask)
    (seen,) = [seen for seen in server.requests if seen.path == "/api/chat"]
    assert seen.json["stream"] is (how == "stream")
    if response is not None:
        assert response.model == "box/qwen3:14b"
        assert how == "generate" or "".join(said) == response.text
    else:
        assert str(error).startswith("box/qwen3:14b: ")
        assert "".join(said) == error.partial
        assert getattr(error, "status", 500) == (ROWS[name]["status"] if name in REFUSED else 500)

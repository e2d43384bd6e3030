"""Every wire against the answers that its servers give: a wire is a row here, with its folder of samples.

What is particular to a wire is tested in the module of its name.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import Any, Callable

import pytest
from helpers import ODD_BODIES, mutated
from samples import (
    SCHEMA,
    Samples,
    check,
    check_deltas,
    check_error,
    decode_events,
    decode_stream,
    events_of,
    only_ours,
    random_cuts,
    same,
)

from majordomo import Registry
from majordomo.errors import APIError, ErrorKind, MajordomoError, ProtocolError, TruncatedError, classify
from majordomo.llm import Message, Request, Thinking, Tool, ToolCall, tool_result, user
from majordomo.model import TextDelta, ToolCallDelta
from majordomo.testing import Status
from majordomo.wires import anthropic, google, ollama, openai_chat, openai_responses

TARGET = "box/any-model"
KEYS = {"authorization": "Bearer test-token", "x-api-key": "test-token", "x-goog-api-key": "test-token"}
STEP = Message("assistant", (Thinking("hm", "c2VhbA=="), ToolCall("c1", "f", {}, "c2VhbA==")), TARGET)
ASKED = Request(
    [user("Hi"), STEP, tool_result("c1", "7")],
    system="s",
    tools=(Tool("f"),),
    schema=SCHEMA,
    reasoning="minimal",
    max_tokens=9,
    temperature=0.2,
    top_p=0.5,
    stop="x",
    seed=1,
)


@dataclass(frozen=True)
class Row:
    """A wire and its samples.

    schemes: whose servers speak it. quirks: how they differ, which no answer depends on.
    gave: the quirks of the server that gave a sample, if not the first ones. differs: what
    is expected of a sample, by scheme, where its server is not known. moves: refusals that
    lead to another wire. paths: what is asked for, whole and as a stream. key: the header
    that holds the token. id: the one that holds a request's id. holds: what an answer must
    hold. says: the text in an event. ends: what stands in the event that makes a stream
    whole. never: stop reasons that the wire does not know. nested: answers that make no
    sense, with a place for what is nested deeply. raw: whether a document that comes as a
    stream is kept as it came.
    """

    wire: ModuleType
    samples: Samples
    schemes: tuple[str, ...]
    quirks: tuple[Any, ...]
    paths: tuple[str, str]
    key: str
    holds: str
    says: Callable[[Any], str]
    ends: bytes
    nested: tuple[str, ...]
    id: str = "x-request-id"
    gave: Callable[[str], Any] | None = None
    differs: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    moves: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    raw: bool = True

    @property
    def name(self) -> str:
        return self.wire.__name__.rpartition(".")[2]

    def quirks_of(self, name):
        """The quirks of the server that gave a sample."""
        return self.gave(name) if self.gave else self.quirks[0]


def said_in_chat(value):
    choice = (value.get("choices") or [{}])[0]
    return (choice.get("delta") or choice.get("message") or {}).get("content") or ""


def said_by_google(value):
    parts = value["candidates"][0]["content"]["parts"]
    return "".join(part.get("text", "") for part in parts if not part.get("thought"))


LLAMA_SWAP = openai_chat.Quirks(token_limit="max_tokens", loading_state=True, thinking_switch=True)
OFFICIAL = openai_chat.Quirks(official=True)
SEALING = openai_responses.Quirks(official=True, efforts=("none", "low"), sampling=("none",), hidden=True)
LOADING = "━━━━━\nllama-swap loading model: tiny\n..\nQueue position: #1 \nDone! (1.52s)\n━━━━━\n \n"

ROWS = [
    Row(
        openai_chat,
        Samples("openai_chat"),
        ("llama-swap", "openai"),
        (LLAMA_SWAP, openai_chat.Quirks(), OFFICIAL),
        ("/v1/chat/completions",) * 2,
        key="authorization",
        holds="choices",
        says=said_in_chat,
        ends=rb'"finish_reason": ?"|"error": ?["{]',
        nested=('{"error": {"message": "m", "code": 500, "more": %s}}', '{"choices": [{"message": %s}]}', "%s"),
        gave=lambda name: {"llama": LLAMA_SWAP, "openai": OFFICIAL}.get(name.partition("-")[0], openai_chat.Quirks()),
        differs={("openai", "llama-swap-stream-loading.sse"): {"thinking": LOADING + "Own thought."}},
        moves=("openai-error-400-tools-with-reasoning.json", "-route-"),
    ),
    Row(
        openai_responses,
        Samples("openai_responses"),
        ("openai-responses",),
        (openai_responses.Quirks(), SEALING),
        ("/v1/responses",) * 2,
        key="authorization",
        holds="output",
        says=lambda value: value.get("delta", "") if value["type"] == "response.output_text.delta" else "",
        ends=rb'"type": ?"(response\.(completed|incomplete|failed)|error)"',
        nested=('{"error": {"message": "m", "more": %s}}', '{"status": "failed", "error": %s}', "%s"),
        gave=lambda name: openai_responses.Quirks() if "-compat-" in name else SEALING,
    ),
    Row(
        anthropic,
        Samples("anthropic"),
        ("anthropic",),
        (anthropic.Quirks(),),
        ("/v1/messages",) * 2,
        key="x-api-key",
        id="request-id",
        holds="content",
        says=lambda value: value.get("delta", {}).get("text", ""),
        ends=rb'"stop_reason": ?"|"type": ?"error"',
        nested=('{"type": "error", "error": {"message": "m", "more": %s}}', '{"message": %s}', "%s"),
    ),
    Row(
        google,
        Samples("google"),
        ("google",),
        (google.Quirks(), google.Quirks(google.BUDGETS, signed_calls=False, result_images=False)),
        tuple(f"/v1beta/models/any-model:{verb}" for verb in ("generateContent", "streamGenerateContent?alt=sse")),
        key="x-goog-api-key",
        holds="candidates",
        says=said_by_google,
        ends=rb'"(finishReason|error|blockReason)"',
        nested=('{"error": {"message": "m", "more": %s}}', '{"candidates": [%s]}', "%s"),
        never=("refusal",),
        raw=False,
    ),
    Row(
        ollama,
        Samples("ollama"),
        ("ollama", "ollama-cloud", "foreman"),
        (ollama.Quirks(), ollama.Quirks(schema_enforced=False)),
        ("/api/chat",) * 2,
        key="authorization",
        holds="message",
        says=lambda value: value["message"]["content"],
        ends=rb'"done": ?true|"error"|^<',
        nested=('{"error": {"message": "m", "more": %s}}', '{"message": {"tool_calls": %s}}', "%s"),
        never=("refusal", "content_filter"),
        raw=False,
    ),
]


def of_samples(*kinds):
    """A test of each sample of these kinds."""
    found = [(row, name) for row in ROWS for kind in kinds for name in getattr(row.samples, kind)]
    return pytest.mark.parametrize(("row", "name"), found, ids=[f"{row.name}-{name}" for row, name in found])


of_wires = pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])


@of_wires
def test_every_sample_is_used(row):
    """What lies in a folder is expected there, and of each answer is said what it means."""
    samples = row.samples
    assert {path.name for path in samples.folder.iterdir()} == {*samples.rows, "expect.json"}
    for name, found in samples.rows.items():
        assert set(found) <= {"status", "headers", "note", "stream", "expect", "drawn"}
        assert name in samples.requests or "headers" in found
    kinds = (samples.whole, samples.streams, samples.pages, samples.refused, samples.others, samples.requests)
    assert sorted(name for kind in kinds for name in kind) == sorted(samples.rows)
    for name in (*samples.answers, *samples.refused):
        expect = samples.expect(name)
        assert {"kind", "error"} & set(expect) or {"text", "stop_reason"} <= set(expect)
        assert name in samples.answers or "kind" in expect


# --- answers, through the wire modules alone


@of_samples("whole")
def test_decode(row, name):
    """An answer becomes the response, or the error, written beside it, whoever is thought to have given it."""
    payload, schema = row.samples.payload(name), row.samples.schema(name)
    for quirks in row.quirks:
        response, _ = check(row.samples.expect(name), lambda quirks=quirks: row.wire.decode(payload, quirks, schema))
        assert response is None or response.raw is payload


@of_samples("others", "requests")
def test_what_was_asked_elsewhere_is_no_answer(row, name):
    """Lists, versions, embeddings and requests hold no answer: an error, never a reply."""
    if name.endswith(".json"):
        with pytest.raises(ProtocolError, match=f"the answer holds no {row.holds}"):
            row.wire.decode(row.samples.payload(name), row.quirks[0])
    with pytest.raises((ProtocolError, TruncatedError)):
        decode_stream(row.wire, [row.samples.data(name)])


@of_samples("streams")
def test_decode_stream(row, name):
    """A stream becomes the response or the error written beside it, also byte by byte."""
    data, quirks, schema = row.samples.data(name), row.quirks_of(name), row.samples.schema(name)
    for chunks in ([data], [data[at : at + 1] for at in range(len(data))], random_cuts(data)):
        check(row.samples.expect(name), lambda chunks=chunks: decode_stream(row.wire, chunks, quirks, schema)[0])


@of_samples("streams")
def test_deltas_of_a_stream_are_the_response(row, name):
    """The deltas joined are the response, and every cut of the bytes gives the same ones."""
    data, quirks = row.samples.data(name), row.quirks_of(name)
    if "text" not in row.samples.expect(name):
        return
    response, deltas = decode_stream(row.wire, [data], quirks)
    check_deltas(deltas, response)
    for seed in range(5):
        assert same(decode_stream(row.wire, random_cuts(data, seed), quirks)) == same((response, deltas))


@of_samples("whole", "pages")
def test_a_whole_answer_to_a_stream_is_the_same_answer(row, name):
    """A server that answers a stream with one document is understood as if it had been asked so."""
    data, schema, expect = row.samples.data(name), row.samples.schema(name), row.samples.expect(name)
    for quirks in row.quirks:
        if expect.get("error") == "protocol" and name in row.samples.whole:  # what is no answer has no end either
            with pytest.raises((ProtocolError, TruncatedError)):
                decode_stream(row.wire, [data], quirks, schema)
            continue
        check(expect, lambda quirks=quirks: decode_stream(row.wire, [data], quirks, schema)[0])
        if "text" in expect:
            response, deltas = decode_stream(row.wire, [data], quirks, schema)
            check_deltas(deltas, response)
            assert same(response) == same(row.wire.decode(json.loads(data), quirks, schema))
            assert response.raw == (json.loads(data) if row.raw else None)


def is_json(data):
    try:
        return isinstance(json.loads(data), dict)
    except ValueError:
        return False


@of_samples("streams")
def test_a_stream_cut_between_events(row, name):
    """Before the end is told it is a TruncatedError with the text so far; from there on the answer is whole."""
    events, quirks, expect = events_of(row.wire, row.samples.data(name)), row.quirks_of(name), row.samples.expect(name)
    if name.endswith(".json"):  # one document
        return
    said, ended = "", False
    for count in range(len(events)):
        if ended and "text" in expect:
            assert decode_events(row.wire, events[:count], quirks)[0].stop_reason == expect["stop_reason"]
        elif ended:
            check(expect, lambda count=count: decode_events(row.wire, events[:count], quirks))
        else:
            with pytest.raises(TruncatedError) as caught:
                decode_events(row.wire, events[:count], quirks)
            assert caught.value.partial == said
        ended = ended or bool(re.search(row.ends, events[count][1]))
        if not ended and is_json(events[count][1]):
            said += row.says(json.loads(events[count][1]))


# --- errors


@of_samples("refused")
def test_read_error(row, name):
    """The body of an error has the meaning written beside it, in the server's words; its wait may be in the headers."""
    error, expect = row.samples.error(row.wire, name), row.samples.expect(name)
    assert error.message or not row.samples.data(name)
    if "says" not in expect and name.endswith(".json"):
        inner = row.samples.payload(name)
        while isinstance(inner, dict) and {"error", "message"} & set(inner):
            inner = inner["error"] if inner.get("error") else inner["message"]
        assert not isinstance(inner, str) or error.message == " ".join(inner.split())
    if any(header.lower().startswith("retry-after") for header in row.samples.rows[name]["headers"]):
        error.retry_after = expect["retry_after"] if error.retry_after is None else error.retry_after
    check_error(expect, error)


def as_stream(row, body):
    """A body as a stream, as its only event, and as its error."""
    data = body.encode()
    if row.wire.FRAMING == "ndjson":
        return [data, data + b"\n", b'\n{"message": {"content": "x"}, "done": false}\n' + data + b"\n"]
    return [data, b"data: " + data + b"\n\n", b"event: error\ndata: " + data + b"\n\n"]


@pytest.mark.parametrize("body", ODD_BODIES, ids=[body[:20] for body in ODD_BODIES])
@of_wires
def test_odd_bodies(row, body):
    """Whatever the body of an error is, it is read, and as an answer it raises short errors of the tree alone."""
    sent = row.wire.encode(ASKED, "any-model", row.quirks[0], target=TARGET)
    for text in (body, json.dumps({"error": body}), json.dumps({"error": "{" + body})):
        for status in (400, 404, 429, 500):
            message, code, param, wait = row.wire.read_error(status, text)
            assert isinstance(message, str)
            assert {type(code), type(param)} <= {str, type(None)}
            assert wait is None or wait >= 0
            error = APIError(status, message, code, param=param, retry_after=wait)
            assert classify(error)
            assert row.wire.remedy(error, sent, row.quirks[0]) is None
        for data in as_stream(row, text):
            with pytest.raises(MajordomoError) as caught:
                decode_stream(row.wire, [data])
            assert classify(caught.value) is not ErrorKind.CONFIG
            assert str(caught.value).isprintable()
            assert len(str(caught.value)) < 500


@pytest.mark.parametrize("depth", [500, 900, 980, 2000])
@of_wires
def test_an_answer_nested_deeply_is_an_error_of_the_tree(row, depth):
    """Deep nesting anywhere in an answer is the server's fault and says so."""
    for body in row.nested:
        for data in as_stream(row, body % ("[" * depth + "]" * depth)):
            with pytest.raises(MajordomoError) as caught:
                decode_stream(row.wire, [data])
            assert classify(caught.value) is not ErrorKind.CONFIG


# --- wrong types everywhere


def ours(row, ask, about, quirks):
    response = only_ours(row.wire, ask, about, quirks)
    assert response is None or response.stop_reason not in row.never


@of_samples("whole")
def test_wrong_types_in_an_answer(row, name):
    """No answer with wrong types anywhere makes an exception from outside the tree; what comes of it can go back."""
    payload, rng = row.samples.payload(name), random.Random(name)
    for _ in range(150):
        odd, schema, quirks = payload, rng.choice([None, SCHEMA]), rng.choice(row.quirks)
        for _ in range(rng.randint(1, 3)):
            odd = mutated(odd, rng)
        ours(row, partial(row.wire.decode, odd, quirks, schema), odd, quirks)


@of_samples("streams")
def test_wrong_types_in_a_stream(row, name):
    """Neither does a stream, whose events may also be missing, come twice or in another order, or be errors."""
    rng = random.Random(name)
    given = [(event, json.loads(data)) for event, data in events_of(row.wire, row.samples.data(name)) if is_json(data)]

    def ask(events, quirks):
        events = [(event, json.dumps(value).encode()) for event, value in events]
        response, deltas = decode_events(row.wire, events, quirks, rng.choice([None, None, SCHEMA]))
        assert all(isinstance(d.arguments if type(d) is ToolCallDelta else d.text, str) for d in deltas)
        told = "".join(d.text for d in deltas if type(d) is TextDelta)
        assert sorted(told) == sorted(response.text)  # messages that are mixed up are set in order again
        return response

    for _ in range(60 if given else 0):
        odd, quirks = list(given), rng.choice(row.quirks)
        for _ in range(rng.randint(1, 4)):
            at, choice = rng.randrange(len(odd)), rng.random()
            event, value = odd[at]
            if choice < 0.7:
                odd[at] = (rng.choice([event, event, "", "error"]), mutated(value, rng))
            elif choice < 0.8 and len(odd) > 1:
                del odd[at]
            elif choice < 0.95:
                odd.insert(rng.randrange(len(odd)), odd[at])
            else:
                rng.shuffle(odd)
        ours(row, lambda odd=odd, quirks=quirks: ask(odd, quirks), odd, quirks)


JUNK = (b"", b"\xff", b"\n", b"\r", b'"', b"{", b"}", b"data:", b"\x00")


@of_samples("streams")
def test_wrong_bytes_in_a_stream(row, name):
    """Bytes that were changed, doubled or lost make errors of the tree at worst."""
    rng, given = random.Random(name), row.samples.data(name) or b"data: {}\n\n"
    for _ in range(60):
        data, quirks = bytearray(given), rng.choice(row.quirks)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data) or 1)
            data[at : at + rng.choice((0, 1, 1, 9))] = rng.choice(JUNK)
        sent = bytes(data)
        ours(row, lambda sent=sent, quirks=quirks: decode_stream(row.wire, [sent], quirks)[0], sent, quirks)


# --- over HTTP


OVER_HTTP = [
    (row, scheme, how, name)
    for row in ROWS
    for scheme in row.schemes
    for how in ("generate", "stream")
    for kind in ("whole", "pages", "refused", *["streams"][: how == "stream"])
    for name in getattr(row.samples, kind)
    if not any(part in name for part in row.moves)
]


def model_at(server, scheme):
    return Registry({"LLM_BOX": server.dsn(scheme)}, retries=0, sleep=lambda seconds: None).parse(TARGET)


@pytest.mark.parametrize(
    ("row", "scheme", "how", "name"), OVER_HTTP, ids=[f"{scheme}-{how}-{name}" for _, scheme, how, name in OVER_HTTP]
)
def test_over_http(server, row, scheme, how, name):
    """Served over HTTP, a sample means the same: the response, or the target's own error, asked for once."""
    model, found = model_at(server, scheme), row.samples.rows[name]
    expect = row.samples.expect(name) if how == "stream" and name in row.samples.whole else found["expect"]
    expect = {**expect, **row.differs.get((scheme, name), {})}
    schema, said = row.samples.schema(name), []
    server.add(row.samples.served(name), path=row.paths[how == "stream"].partition("?")[0])

    def ask():
        if how == "generate":
            return model.generate("Hi", schema=schema)
        with model.stream("Hi", schema=schema) as stream:
            said.extend(stream.text_deltas())
        return stream.response

    if how == "stream" and expect.get("error") == "protocol" and name in row.samples.whole:
        with pytest.raises((ProtocolError, TruncatedError)) as caught:
            ask()
        response, error = None, caught.value
    else:
        response, error = check(expect, ask)
    (seen,) = server.requests
    assert seen.path == row.paths[how == "stream"]
    assert row.paths[0] != row.paths[1] or seen.json.get("stream", False) is (how == "stream")
    assert {key: seen.headers[key] for key in KEYS if key in seen.headers} == {row.key: KEYS[row.key]}
    if response is not None:
        assert (response.model, response.message.origin) == (TARGET, TARGET)
        assert [attempt.outcome for attempt in response.attempts] == ["answered"]
        assert how == "generate" or "".join(said) == response.text
        return
    assert error.target == TARGET
    assert str(error).startswith(TARGET + ": ")
    assert [attempt.outcome for attempt in error.attempts] == ["failed"]
    assert how == "generate" or "".join(said) == error.partial or name in row.samples.whole
    if found["status"] != 200:
        headers = found["headers"]
        assert (error.status, error.request_id) == (found["status"], headers.get(row.id))
        assert error.should_retry is {"true": True, "false": False}.get(headers.get("x-should-retry"))


@of_samples("streams")
def test_a_stream_cut_anywhere_is_no_answer(server, row, name):
    """A stream that is cut before its end is told, politely, is a TruncatedError with the text so far."""
    data, expect = row.samples.data(name), row.samples.expect(name)
    end = re.search(row.ends, data)
    if end is None or name.endswith(".json"):
        return
    model = model_at(server, row.schemes[0])
    text = expect.get("text", expect.get("partial_text", ""))
    for at in range(1, end.start(), max(1, end.start() // 6)):
        server.add(Status(200, [data[:at]], row.samples.rows[name]["headers"]))
        with pytest.raises(TruncatedError) as caught:
            list(model.stream("Hi"))
        assert text.startswith(caught.value.partial)

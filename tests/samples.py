"""Answers that servers give, in a folder of `data`, and what each of them means, in `expect.json` beside them.

A row of `expect.json` is for a file. It holds `status` and `headers`, with which the file is
served (a status of null is the body of a request), and maybe a `note`; `stream` is true for
a stream whose name does not say so. `expect` is what a correct client makes of the answer;
without it a file of status 200 answers some other question. What `expect` does not say is
as in `RESPONSE` for a response, which always has `text` and `stop_reason`, and as in `ERROR`
for an error, which has `kind`, the name of an ErrorKind, or `error`, `truncated` or `protocol`.

usage: [input, output, cached, reasoning], null where unknown. tool_calls: [id, name,
arguments], an id of null where any will do, arguments as text where they are no JSON
object. opaque: what is to go back unread, thinking that is sealed or a signature. images:
their number. json: the value of an answer to a schema. says: stands in the message of an error.
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from majordomo._events import DECODERS
from majordomo.errors import APIError, ErrorKind, MajordomoError, ProtocolError, TruncatedError, classify
from majordomo.llm import Image, Message, Request, Response, Text, Thinking, ToolCall, user
from majordomo.model import TextDelta, ThinkingDelta, ToolCallDelta
from majordomo.testing import Status

SCHEMA = {"type": "object"}
RESPONSE = {
    "text": "",
    "thinking": "",
    "refusal": "",
    "stop_reason": "stop",
    "usage": [None] * 4,
    "tool_calls": [],
    "json": None,
    "opaque": [],
    "images": 0,
}
ERROR = {"kind": "TRANSIENT", "code": None, "param": None, "retry_after": None, "partial_text": ""}
KINDS = {None: APIError, "truncated": TruncatedError, "protocol": ProtocolError}


class Samples:
    """A folder of answers, told apart by name.

    whole: answers of one document. streams: those that came as streams. pages: what a
    proxy said instead. refused: those of another status than 200. others: answers to
    other questions. requests: bodies to be sent.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(__file__).parent / "data" / folder
        self.rows = json.loads((self.folder / "expect.json").read_text("utf-8"))["files"]
        given = {name: row["status"] for name, row in self.rows.items()}
        self.requests = [name for name, status in given.items() if status is None]
        self.refused = [name for name, status in given.items() if status not in (None, 200)]
        self.answers = [name for name, status in given.items() if status == 200 and "expect" in self.rows[name]]
        self.others = [name for name, status in given.items() if status == 200 and "expect" not in self.rows[name]]
        self.streams = [n for n in self.answers if n.endswith((".sse", ".ndjson")) or "stream" in self.rows[n]]
        self.pages = [name for name in self.answers if name.endswith(".html")]
        self.whole = [name for name in self.answers if name not in (*self.streams, *self.pages)]

    def data(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def text(self, name: str) -> str:
        return self.data(name).decode()

    def payload(self, name: str):
        return json.loads(self.data(name))

    def expect(self, name: str):
        return self.rows[name]["expect"]

    def schema(self, name: str):
        """A schema, for the answers that are answers to one."""
        return SCHEMA if "json" in self.expect(name) else None

    def served(self, name: str) -> Status:
        """A sample as the server sends it; a stream in pieces of its own."""
        row, data = self.rows[name], self.data(name)
        return Status(row["status"], random_cuts(data) if name in self.streams and data else data, row["headers"])

    def error(self, wire, name: str) -> APIError:
        """The error that a refusal is, as the transport makes it of what the wire reads."""
        row = self.rows[name]
        message, code, param, wait = wire.read_error(row["status"], self.text(name))
        return APIError(row["status"], " ".join(message.split()), code, retry_after=wait, param=param)


# --- streams, through a wire module alone


def decode_events(wire, events, quirks=None, schema=None, cut=()):
    """Events of a stream: (response, deltas). An error carries what had arrived, as it does behind the transport.

    cut: events that the end left unfinished, which are none where they make no sense.
    """
    decoder, deltas = wire.StreamDecoder(quirks or wire.Quirks(), schema), []
    try:
        for name, data in events:
            deltas += decoder.feed(name, data)
        try:
            for name, data in cut:
                deltas += decoder.feed(name, data)
        except ProtocolError:
            pass
        deltas += decoder.close()
        return decoder.response(), deltas
    except MajordomoError as exc:
        exc.partial = exc.partial or decoder.partial
        raise


def decode_stream(wire, chunks, quirks=None, schema=None):
    """The same of a stream that came in these chunks."""
    decoder = DECODERS[wire.FRAMING]()
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    document, rest = decoder.is_document, decoder.close()
    if document:
        return decode_events(wire, rest, quirks, schema)
    return decode_events(wire, events, quirks, schema, cut=rest)


def events_of(wire, data):
    """All events of a stream, the last one be it cut or not."""
    decoder = DECODERS[wire.FRAMING]()
    return [*decoder.feed(data), *decoder.close()]


def sse(*payloads, name=""):
    """Payloads as the events of a stream."""
    head = f"event: {name}\n" if name else ""
    return b"".join(f"{head}data: {json.dumps(payload)}\n\n".encode() for payload in payloads)


def random_cuts(data, seed=0):
    rng, at, pieces = random.Random(seed), 0, []
    while at < len(data):
        size = rng.choice((1, 2, 3, 7, 50, 400))
        pieces.append(data[at : at + size])
        at += size
    return pieces


# --- what comes of them


def check(expect, ask):
    """Hold what `ask` gives, a response or an error, against what is expected; gives both."""
    if "kind" not in expect and "error" not in expect:
        response = ask()
        check_response(expect, response)
        return response, None
    with pytest.raises(MajordomoError) as caught:
        ask()
    check_error(expect, caught.value)
    return None, caught.value


def check_response(expect, response):
    """Hold a response, in all that it says, against what is expected."""
    assert type(response) is Response
    expect = {**RESPONSE, **expect}
    ids = [call.id for call in response.tool_calls]
    any_will_do = [id for id, (wanted, _, _) in zip(ids, expect["tool_calls"]) if wanted is None]
    assert found_in(response, any_will_do) == {**expect, "usage": expect["usage"] or RESPONSE["usage"]}
    assert all(ids)
    assert len(set(ids)) == len(ids)
    assert not any(call.malformed is not None and call.arguments for call in response.tool_calls)


def found_in(response, without=()):
    """A response in the words of `expect.json`. without: ids of tool calls that do not matter."""
    counts, parts = response.usage, response.message.parts
    return {
        "text": response.text,
        "thinking": response.thinking,
        "refusal": response.refusal,
        "stop_reason": response.stop_reason,
        "usage": list(vars(counts).values()),
        "tool_calls": [
            [None if c.id in without else c.id, c.name, c.arguments if c.malformed is None else c.malformed]
            for c in response.tool_calls
        ],
        "json": response.parsed,
        "opaque": [text for text in map(sealed, parts) if text],
        "images": sum(type(part) is Image for part in parts),
    }


def sealed(part):
    """What is kept unread with a part: as it came, or within what else is kept."""
    try:
        return json.loads(part.signature).get("encrypted_content")
    except (AttributeError, TypeError):  # a picture; nothing
        return None
    except ValueError:
        return part.signature


def check_error(expect, error):
    """Hold an error against what is expected."""
    expect = {**ERROR, **expect}
    assert type(error) is KINDS[expect.pop("error", None)]
    assert str(error).isprintable()
    assert len(str(error)) < 600
    assert expect.pop("says", "") in error.message
    if expect["retry_after"] is not None:
        expect["retry_after"] = pytest.approx(expect["retry_after"], abs=0.01)
    assert {
        "kind": classify(error).name,
        "code": error.code,
        "param": getattr(error, "param", None),
        "retry_after": getattr(error, "retry_after", None),
        "partial_text": error.partial,
    } == expect


def same(value):
    """A value as text, without the ids that we make for calls whose server gives none."""
    return re.sub(r"(gen_)?call_[0-9a-f]{24}\b", "call_", repr(value))


def check_deltas(deltas, response):
    """The deltas joined are the response, with the ids that calls have there."""
    assert "".join(d.text for d in deltas if type(d) is TextDelta) == response.text
    assert "".join(d.text for d in deltas if type(d) is ThinkingDelta) == response.thinking
    for index, call in enumerate(response.tool_calls):
        mine = [d for d in deltas if type(d) is ToolCallDelta and d.index == index]
        text = "".join(d.arguments for d in mine)
        assert text == call.malformed or json.loads(text or "{}") == call.arguments
        assert {(d.id, d.name) for d in mine} == {(call.id, call.name)}
    if response.stop_reason != "length":  # a call that was cut may be told and not be one
        assert {d.index for d in deltas if type(d) is ToolCallDelta} == set(range(len(response.tool_calls)))


def only_ours(wire, ask, about, quirks=None):
    """Run `ask`; what it raises is of the tree and blames the server, and a response is one in all its parts.

    The message of a response, which is given, can be kept as JSON, and go back to whom it came from.
    """
    try:
        response = ask()
    except MajordomoError as exc:
        assert classify(exc) is not ErrorKind.CONFIG, (str(exc), about)
        assert str(exc).isprintable()
        return None
    assert isinstance(response.text + response.thinking + response.refusal, str)
    assert response.stop_reason in ("stop", "length", "tool_calls", "content_filter", "refusal", "other")
    assert {type(part) for part in response.message.parts} <= {Text, Thinking, ToolCall, Image}
    assert all(count is None or type(count) is int for count in vars(response.usage).values())
    for call in response.tool_calls:
        assert isinstance(call.arguments, dict)
        assert isinstance(call.name, str)
        assert call.id
    assert len({call.id for call in response.tool_calls}) == len(response.tool_calls)
    json.dumps(response.message.to_dict(), allow_nan=False)
    back = Request([user("Hi"), Message("assistant", response.message.parts, "box/m"), user("And?")])
    json.dumps(wire.encode(back, "m", quirks or wire.Quirks(), target="box/m"), allow_nan=False)
    return response

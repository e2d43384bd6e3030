from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from majordomo._events import EventDecoder, LineDecoder
from majordomo.errors import ProtocolError

RECORDED = sorted((Path(__file__).parent / "data" / "events").glob("*.sse"))
BOM = b"\xef\xbb\xbf"

# name: (the bytes of a stream, its events)
STREAMS = {
    "nothing": (b"", []),
    "blank lines alone": (b"\n\n\r\n", []),
    "LF": (b"data: a\n\ndata: b\n\n", [("", b"a"), ("", b"b")]),
    "CR": (b"data: a\r\rdata: b\r\r", [("", b"a"), ("", b"b")]),
    "CRLF": (b"data: a\r\n\r\ndata: b\r\n\r\n", [("", b"a"), ("", b"b")]),
    "mixed line ends": (
        b"data: a\r\n\rdata: b\n\r\ndata: c\r\rdata: d\n\n",
        [("", c) for c in (b"a", b"b", b"c", b"d")],
    ),
    "CR, then two lines in one event": (b"data: a\rdata: b\r\n\r\n", [("", b"a\nb")]),
    "BOM": (BOM + b"data: a\n\n", [("", b"a")]),
    "BOM alone": (BOM, []),
    "half a BOM": (BOM[:2], []),
    "blank lines first": (b"\n\r\n\ndata: a\n\n", [("", b"a")]),
    "BOM and blank lines first": (BOM + b"\r\n\ndata: a\n\n", [("", b"a")]),
    "BOM after a blank line is no BOM": (b"\n" + BOM + b"data: a\n\ndata: b\n\n", [("", b"b")]),
    "only one BOM is taken off": (BOM + BOM + b"data: a\n\ndata: b\n\n", [("", b"b")]),
    "indented first line is no field": (b" data: a\n\ndata: b\n\n", [("", b"b")]),
    "indented first line after a blank one": (b"\n\t data: a\n\ndata: b\n\n", [("", b"b")]),
    "comments": (b": hello\n\n:\n\ndata: a\n: inside\n\n:bye\n\n", [("", b"a")]),
    "no space after the colon": (b"data:a\n\ndata:{}\n\n", [("", b"a"), ("", b"{}")]),
    "one space is taken off, no more": (b"data:  a \n\n", [("", b" a ")]),
    "several data lines": (b"data: a\ndata:\ndata: b\n\n", [("", b"a\n\nb")]),
    "data without a colon": (b"data\ndata\n\n", [("", b"\n")]),
    "data that is empty": (b"data:\n\n", [("", b"")]),
    "a name": (b"event: ping\ndata: a\n\n", [("ping", b"a")]),
    "a name after the data": (b"data: a\nevent:ping\n\n", [("ping", b"a")]),
    "a name counts once": (b"event: ping\ndata: a\n\ndata: b\n\n", [("ping", b"a"), ("", b"b")]),
    "a name without data is forgotten": (b"event: ping\n\ndata: a\n\n", [("", b"a")]),
    "a name beyond ASCII": ("event: größe\ndata: a\n\n".encode(), [("größe", b"a")]),
    "id and retry": (b"id: 7\nretry: 3000\ndata: a\n\nid: 8\n\n", [("", b"a")]),
    "unknown fields": (b"foo: bar\ndatabase: x\ndata2\ndata: a\n\n", [("", b"a")]),
    "colons in the data": (b"data: a: b: c\n\n", [("", b"a: b: c")]),
    "characters of several bytes": ("data: é€😀\n\n".encode(), [("", "é€😀".encode())]),
    "line ends of Unicode are data": ("data: a\u2028b\u0085c\n\n".encode(), [("", "a\u2028b\u0085c".encode())]),
    "bytes that are no UTF-8 stay": (b"data: \xff\xfe\n\n", [("", b"\xff\xfe")]),
    "end without a blank line": (b"data: a\n\nevent: x\ndata: b\n", [("", b"a"), ("x", b"b")]),
    "end without a line end": (b"data: a\n\ndata: b", [("", b"a"), ("", b"b")]),
    "end in a CR": (b"data: a\r", [("", b"a")]),
    "end in a comment": (b"data: a\n\n: bye", [("", b"a")]),
    "bare JSON in the middle": (
        b'data: a\n\n{"error":1}\n\ndata: b\n\n',
        [("", b"a"), ("", b'{"error":1}'), ("", b"b")],
    ),
    "bare JSON at the end": (b'data: a\n\n{"error":1}', [("", b"a"), ("", b'{"error":1}')]),
    "bare JSON over several lines": (
        b'data: a\n\n{\n  "error": {\n    "code": 1\n  }\n}\n\ndata: b\n\n',
        [("", b"a"), ("", b'{\n  "error": {\n    "code": 1\n  }\n}'), ("", b"b")],
    ),
    "bare JSON with a lone brace in a string": (
        b'data: a\n\n{"error":"{"}\ndata: b\n\n{"error":"}"}\ndata: c\n\n',
        [("", b"a"), ("", b'{"error":"{"}'), ("", b"b"), ("", b'{"error":"}"}'), ("", b"c")],
    ),
    "bare JSON that is cut": (b'data: a\n\n{\n  "error": 1\n', [("", b"a"), ("", b'{\n  "error": 1')]),
    "two bare JSON lines": (b'data: a\n\n{"a":1}\n{"b":2}\n', [("", b"a"), ("", b'{"a":1}'), ("", b'{"b":2}')]),
    "plain text": (b"upstream went away\n", []),
}

# A JSON document where a stream was asked for: (bytes, its value)
DOCUMENTS = {
    "object": (b'{"error": "no"}', {"error": "no"}),
    "object and line end": (b'{"error": "no"}\r\n', {"error": "no"}),
    "array": (b'[{"error": "no"}]', [{"error": "no"}]),
    "pretty-printed": (b'{\n  "error": {\n    "code": 1\n  }\n}\n', {"error": {"code": 1}}),
    "array over several lines": (b'[{"a": 1}\n,\n{"a": 2}\n]\n', [{"a": 1}, {"a": 2}]),
    "blank lines first": (b'\n\r\n  \n{"error": "no"}', {"error": "no"}),
    "BOM first": (BOM + b'{"error": "no"}', {"error": "no"}),
    "data lines inside": (b'{"text":\n"data: x"}\n\n', {"text": "data: x"}),
    "characters of several bytes": ('{"text": "é€😀"}'.encode(), {"text": "é€😀"}),
}

EVERY_STREAM = {
    **{name: stream for name, (stream, _) in STREAMS.items()},
    **{"document: " + name: stream for name, (stream, _) in DOCUMENTS.items()},
    **{path.stem: path.read_bytes() for path in RECORDED},
}


def rows(table):
    return pytest.mark.parametrize("name", list(table))


def events_of(*pieces: bytes) -> list[tuple[str, bytes]]:
    decoder = EventDecoder()
    events = []
    for piece in pieces:
        events += decoder.feed(piece)
    return events + decoder.close()


def random_cuts(stream: bytes, rng: random.Random) -> list[bytes]:
    cuts = sorted(rng.randrange(len(stream) + 1) for _ in range(rng.randrange(1, 12)))
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)])]


@rows(STREAMS)
def test_stream(name):
    """A stream gives its events."""
    stream, events = STREAMS[name]
    assert events_of(stream) == events


@rows(DOCUMENTS)
def test_document(name):
    """A JSON document where a stream was asked for is one event without a name."""
    stream, value = DOCUMENTS[name]
    [(event, data)] = events_of(stream)
    assert (event, json.loads(data)) == ("", value)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_stream(path):
    """A server's own stream gives the events written beside it."""
    events = events_of(path.read_bytes())
    found = [[name, "[DONE]" if data == b"[DONE]" else json.loads(data)] for name, data in events]
    assert found == json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


@rows(EVERY_STREAM)
def test_bytes_one_by_one(name):
    """A stream that arrives byte by byte gives the same events as in one piece."""
    stream = EVERY_STREAM[name]
    assert events_of(*[stream[i : i + 1] for i in range(len(stream))]) == events_of(stream)


@rows(EVERY_STREAM)
def test_every_cut(name):
    """A stream cut in two anywhere gives the same events as in one piece."""
    stream = EVERY_STREAM[name]
    whole = events_of(stream)
    assert [cut for cut in range(len(stream) + 1) if events_of(stream[:cut], stream[cut:]) != whole] == []


@rows(EVERY_STREAM)
def test_random_cuts(name):
    """A stream cut anywhere into any number of pieces, empty ones too, gives the same events."""
    stream, rng = EVERY_STREAM[name], random.Random(name)
    whole = events_of(stream)
    for _ in range(50):
        pieces = random_cuts(stream, rng)
        assert events_of(*pieces) == whole, pieces


def test_random_streams():
    """Whatever the bytes are, where they were cut does not matter."""
    rng = random.Random(7)
    tokens = [
        b"data: a",
        b"data",
        b"event: e",
        b":",
        b"\n",
        b"\n",
        b"\r",
        b"\r\n",
        b" ",
        b"{}",
        b"x",
        BOM,
        b"\xef",
        b"\xe2\x82",
    ]
    for _ in range(3000):
        stream = b"".join(rng.choice(tokens) for _ in range(rng.randrange(1, 12)))
        pieces = random_cuts(stream, rng)
        assert events_of(*pieces) == events_of(stream), pieces


@pytest.mark.parametrize("lead", [b"", b"\n", b"\r\n  ", BOM])
def test_web_page(lead):
    """A web page where a stream was asked for is a ProtocolError, however it is cut."""
    page = lead + b"<!DOCTYPE html><html>Sign in</html>"
    for cut in range(len(page)):
        with pytest.raises(ProtocolError, match="web page"):
            events_of(page[:cut], page[cut:])


@pytest.mark.parametrize(
    ("pieces", "counts"),
    [
        ([b"data: a\n", b"\n", b"data: b\n\n"], [0, 1, 1]),
        ([b"data: a\r", b"\r", b"\ndata: b\r\n\r\n"], [0, 1, 1]),
        ([b"data: a\n\ndata: b\n\ndata: c"], [2]),
        ([b'data: a\n\n{"error":1}\n'], [2]),
    ],
)
def test_events_are_not_held_back(pieces, counts):
    """An event is given by the piece that completes it, not by a later one."""
    decoder = EventDecoder()
    assert [len(decoder.feed(piece)) for piece in pieces] == counts


@pytest.mark.parametrize("stream", [b"data: a", b'{"a": 1}', b""])
def test_close_twice(stream):
    """What a stream left is given once."""
    decoder = EventDecoder()
    decoder.feed(stream)
    decoder.close()
    assert decoder.close() == []


@pytest.mark.parametrize(
    ("lead", "piece"),
    [
        pytest.param(b"data: ", b"x" * 64, id="a long line"),
        pytest.param(b"\r\n" * 1000 + b"data: x\r\ndata: ", b"x" * 64, id="a long line behind others"),
        pytest.param(b'{"data": ', b"x" * 64, id="a document"),
        pytest.param(b"\n", b" " * 8, id="blanks"),
        pytest.param(b"data: x\n", b"data: x\n" * 8, id="many lines"),
        pytest.param(b"data: x\n\n{\n", b' "x": {}\n' * 8, id="bare JSON of many lines"),
        pytest.param(b"data: x\n\n{\n", b" }}\n" * 16, id="bare JSON out of balance"),
    ],
)
def test_much_in_small_pieces(lead, piece):
    """The work for megabytes grows with their number, not with that of the pieces or lines they come in."""
    decoder, begun = EventDecoder(), time.process_time()
    decoder.feed(lead)
    for _ in range(1 << 15):
        decoder.feed(piece)
        assert time.process_time() - begun < 2  # joined anew for each piece it would be minutes
    decoder.close()


# JSON line by line. name: (the bytes of a stream, its lines)
LINES = {
    "nothing": (b"", []),
    "two": (b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
    "CRLF": (b'{"a":1}\r\n{"b":2}\r\n', [b'{"a":1}', b'{"b":2}']),
    "blank lines": (b'\n\n{"a":1}\n \n\r\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
    "BOM": (BOM + b'{"a":1}\n', [b'{"a":1}']),
    "no end of line": (b'{"a":1}\n{"b":2}', [b'{"a":1}', b'{"b":2}']),
    "cut in a line": (b'{"a":1}\n{"b":', [b'{"a":1}', b'{"b":']),
    "characters of several bytes": ('{"a":"é€😀"}\n'.encode(), ['{"a":"é€😀"}'.encode()]),
    "line ends of Unicode are data": ('{"a":"\u2028"}\n'.encode(), ['{"a":"\u2028"}'.encode()]),
    "no JSON": (b"something broke\n", [b"something broke"]),
    "bytes that are no UTF-8 stay": (b"\xff\xfe\n", [b"\xff\xfe"]),
}


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_lines(name, size):
    """Lines are told apart whatever the pieces in which they come."""
    data, expected = LINES[name]
    decoder, found = LineDecoder(), []
    for at in range(0, len(data), size):
        found += decoder.feed(data[at : at + size])
    found += decoder.close()
    assert found == [("", line) for line in expected]


@pytest.mark.parametrize("size", [1, 1000])
def test_a_web_page_is_no_lines(size):
    """A web page where lines of JSON were asked for is an error that says so."""
    page, decoder = b"\n <html>Sign in</html>", LineDecoder()
    with pytest.raises(ProtocolError, match="web page"):
        for at in range(0, len(page), size):
            decoder.feed(page[at : at + size])

from __future__ import annotations

import math

import pytest

from majordomo import _json
from majordomo.errors import ConfigError, ProtocolError

BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        (b' {"a": [1, 2.5, null, true]}\r\n', {"a": [1, 2.5, None, True]}),
        ('{"text": "é€😀"}'.encode(), {"text": "é€😀"}),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'"\\ud800"', "\ud800"),
        (BOM + b'{"a": 1}', {"a": 1}),
        ('\ufeff{"a": 1}', {"a": 1}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b"1" * 4000, int("1" * 4000)),
    ],
)
def test_loads(text, value):
    """JSON is read from UTF-8 bytes and from text, a leading BOM ignored."""
    assert _json.loads(text) == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param(text, says, id=id)
        for id, text, says in [
            ("nothing", b"", "not JSON"),
            ("blank", b" \n", "not JSON"),
            ("BOM alone", BOM, "not JSON"),
            ("a web page", b"<html>", "not JSON.*<html>"),
            ("cut", b'{"a": [1, 2', "not JSON"),
            ("two values", b"{} {}", "not JSON"),
            ("a NUL behind", b"{}\x00", "not JSON"),
            ("a control character", b'"\n"', "not JSON"),
            ("a bad escape", b'"\\x"', "not JSON"),
            ("no UTF-8", b'{"a": "\xff"}', "not UTF-8.*byte 7"),
            ("cut in a character", b'"\xe2\x82', "not UTF-8"),
            ("an encoded surrogate", b'"\xed\xa0\x80"', "not UTF-8"),
            ("UTF-16", '{"a": 1}'.encode("utf-16"), "not UTF-8"),
            ("deep lists", b"[" * 200_000, "nested too deeply"),
            ("deep objects", b'{"a":' * 200_000, "nested too deeply"),
            ("deep and well-formed", b"[" * 200_000 + b"]" * 200_000, "nested too deeply"),
        ]
    ],
)
def test_loads_what_is_none(text, says):
    """Whatever bytes a server sends, what is no JSON is a ProtocolError that says why."""
    with pytest.raises(ProtocolError, match=says):
        _json.loads(text)


@pytest.mark.parametrize("text", [b"1" * 5000, b'{"a": -' + b"9" * 100_000 + b"}"])
def test_loads_an_absurd_number(text):
    """An integer that Python refuses to read is a ProtocolError, and its digits are not repeated."""
    try:
        int("1" * 5000)
    except ValueError:
        with pytest.raises(ProtocolError, match="number") as caught:
            _json.loads(text)
        assert len(str(caught.value)) < 300
    else:
        pytest.skip("this Python reads integers of any length")


def test_loads_says_of_what():
    """The message is one line, names what was read and shows a little of its start."""
    with pytest.raises(ProtocolError) as caught:
        _json.loads(b"<html>\n<body>\x1b[31m" + b"x" * 10_000, "the list of models")
    message = str(caught.value)
    assert message.startswith("the list of models is not JSON")
    assert "<html> <body>" in message
    assert len(message) < 300
    assert message.isprintable()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, 2.5, None, True]}, '{"a":[1,2.5,null,true]}'),
        ((1, 2), "[1,2]"),
        ("é😀", '"\\u00e9\\ud83d\\ude00"'),
        ("\ud800", '"\\ud800"'),
        ("\u2028\x00", '"\\u2028\\u0000"'),
        ({1: 2, None: 3}, '{"1":2,"null":3}'),
    ],
)
def test_dumps(value, text):
    """JSON is written compact and in ASCII."""
    assert _json.dumps(value) == text


def circle():
    value = []
    value.append(value)
    return value


def deep():
    value = []
    for _ in range(200_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=id)
        for id, make in {
            "NaN": lambda: math.nan,
            "infinity": lambda: {"temperature": math.inf},
            "bytes": lambda: b"x",
            "a set": lambda: {1, 2},
            "an object": object,
            "a key that is a tuple": lambda: {(1, 2): 3},
            "a circle": circle,
            "too deep": deep,
        }.items()
    ],
)
def test_dumps_what_cannot_be_written(make):
    """What JSON does not have is a ConfigError that names what was to be written."""
    with pytest.raises(ConfigError, match="^a tool's arguments cannot be written as JSON"):
        _json.dumps(make(), "a tool's arguments")


@pytest.mark.parametrize("value", [{"a": ["é😀", "\ud800", -0.5, 10**30, None, True, {}]}, "", 0, [], "\x7f\u2029"])
def test_round_trip(value):
    """What was written is read back the same, as text and as bytes."""
    text = _json.dumps(value)
    assert _json.loads(text) == _json.loads(text.encode("ascii")) == value

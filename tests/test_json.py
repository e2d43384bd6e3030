from __future__ import annotations

import math
import random
from collections import OrderedDict, namedtuple

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


UNWRITABLE = {
    "NaN": lambda: math.nan,
    "infinity": lambda: {"temperature": math.inf},
    "bytes": lambda: b"x",
    "a set": lambda: {1, 2},
    "an object": object,
    "a key that is a tuple": lambda: {(1, 2): 3},
    "a circle": circle,
    "too deep": deep,
}


@pytest.mark.parametrize("make", list(UNWRITABLE.values()), ids=list(UNWRITABLE))
def test_dumps_what_cannot_be_written(make):
    """What JSON does not have is a ConfigError that names what was to be written."""
    with pytest.raises(ConfigError, match="^a tool's arguments cannot be written as JSON"):
        _json.dumps(make(), "a tool's arguments")


@pytest.mark.parametrize("value", [{"a": ["é😀", "\ud800", -0.5, 10**30, None, True, {}]}, "", 0, [], "\x7f\u2029"])
def test_round_trip(value):
    """What was written is read back the same, as text and as bytes."""
    text = _json.dumps(value)
    assert _json.loads(text) == _json.loads(text.encode("ascii")) == value


LIMIT = _json.LIFTED_FROM
TEXTS = {
    "at the limit": "a" * LIMIT,
    "one above": "a" * (LIMIT + 1),
    "one below": "a" * (LIMIT - 1),
    "far above": "b" * (3 * LIMIT),
    "base64": "Az09+/==" * (LIMIT // 4),
    "a quote at the end": "a" * LIMIT + '"',
    "a quote at the start": '"' + "a" * LIMIT,
    "quotes alone": '"' * (LIMIT + 1),
    "a backslash": "a" * LIMIT + "\\" + "a",
    "a line end": "a" * LIMIT + "\n",
    "a NUL": "a" * LIMIT + "\x00",
    "a unit separator": "\x1f" + "a" * LIMIT,
    "a delete": "a" * LIMIT + "\x7f",
    "all that is plain": "".join(map(chr, range(0x20, 0x7F))) * (LIMIT // 90),
    "not ASCII": "a" * LIMIT + "é",
    "not ASCII alone": "€" * (LIMIT + 1),
    "an emoji": "a" * LIMIT + "😀",
    "a lone surrogate": "a" * LIMIT + "\ud800",
    "a line separator": "a" * LIMIT + "\u2028",
    "spaces": " " * (LIMIT + 1),
    "what looks like JSON": "{}[]:,'" * (LIMIT // 4),
    "hex": "0123456789abcdef" * (LIMIT // 8),
}
Pair = namedtuple("Pair", "one two")
AROUND = {
    "alone": lambda text: text,
    "in a list": lambda text: [text],
    "between": lambda text: ["x", text, "y"],
    "in an object": lambda text: {"url": text},
    "a key": lambda text: {text: 1},
    "a key and its value": lambda text: {text: text},
    "many": lambda text: [text, text, {"a": text, "b": [text]}, text],
    "beside other long ones": lambda text: [text, "c" * (LIMIT + 5), text + "x", "d" * LIMIT],
    "in a tuple": lambda text: (1, (text, None), 2.5),
    "in a named tuple": lambda text: Pair(text, "x"),
    "in an ordered dict": lambda text: OrderedDict([("b", text), ("a", text)]),
    "among keys that are no text": lambda text: {7: text, None: text, True: [text], 2.5: text},
    "deep": lambda text: {"a": [{"b": [[{"c": text}]]}]},
    "beside small ones": lambda text: {"a": '"\\\n\u20ac', "text": text, "é": "é", "n": [1, -0.5, 10**30, True, None]},
}


@pytest.mark.parametrize("text", TEXTS)
def test_dumps_sparingly_is_the_same_json(text):
    """Whatever a long text holds and wherever it stands, the bytes are those of `dumps`; the value stays as it was."""
    for where, around in AROUND.items():
        value = around(TEXTS[text])
        body = _json.dumps_sparingly(value)
        assert isinstance(body, bytearray)
        assert body == _json.dumps(value).encode("ascii"), where
        assert value == around(TEXTS[text]), where


@pytest.mark.parametrize(
    "value", ["", 0, None, True, -0.5, [], {}, (), [[]], {"": ""}, "é", "\ud800", [1, {"a": (2,)}]]
)
def test_dumps_sparingly_without_a_long_text(value):
    """It is `dumps`."""
    assert _json.dumps_sparingly(value) == _json.dumps(value).encode("ascii")


LETTERS = ["a", "Z", "/", "+", '"', "\\", "\n", "\x00", "\x7f", "é", "😀", "\ud83d", "<", "{", ":"]


def grown(rng, depth=0):
    """A random value, with long texts in it now and then."""
    kind = rng.randrange(8 if depth < 4 else 5)
    if kind == 0:
        return rng.choice([None, True, False, 0, -1, 10**20, 1.5, -2e-9])
    if kind == 1:
        return "".join(rng.choices(LETTERS, k=rng.randrange(12)))
    if kind == 2:
        return rng.choice("aB3/") * (LIMIT + rng.randrange(-2, 3))
    if kind == 3:
        return rng.choice("aB3/") * (LIMIT + 1) + rng.choice(LETTERS) + "x" * rng.randrange(3)
    if kind == 4:
        return rng.choice(LETTERS) + "QUJD" * (LIMIT // 4)
    if kind in (5, 6):
        return [grown(rng, depth + 1) for _ in range(rng.randrange(5))]
    return {"".join(rng.choices(LETTERS, k=3)): grown(rng, depth + 1) for _ in range(rng.randrange(5))}


@pytest.mark.parametrize("seed", range(40))
def test_dumps_sparingly_of_anything(seed):
    """Random values, the same bytes."""
    value = grown(random.Random(seed))
    assert _json.dumps_sparingly(value) == _json.dumps(value).encode("ascii")


@pytest.mark.parametrize("make", list(UNWRITABLE.values()), ids=list(UNWRITABLE))
@pytest.mark.parametrize("beside", ["", "a" * (LIMIT + 1)], ids=["alone", "beside a long text"])
def test_dumps_sparingly_what_cannot_be_written(make, beside):
    """What JSON does not have is the ConfigError that it is to `dumps`, and quotes no picture."""
    with pytest.raises(ConfigError, match="^the form cannot be written as JSON") as caught:
        _json.dumps_sparingly([beside, make()], "the form")
    assert len(str(caught.value)) < 300


def test_a_circle_of_objects_cannot_be_written():
    """However it closes."""
    value = {"text": "a" * (LIMIT + 1)}
    value["more"] = [{"again": value}]
    with pytest.raises(ConfigError, match="cannot be written as JSON"):
        _json.dumps_sparingly(value)


def test_sparing_json_goes_as_deep_as_the_other():
    """The walk for long texts is no limit of its own."""
    value = "x"
    for _ in range(600):
        value = [value]
    assert _json.dumps_sparingly(value) == _json.dumps(value).encode()

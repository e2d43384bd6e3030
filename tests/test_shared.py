"""What the wires share: ids and arguments of tool calls, thinking told from text, error bodies."""

from __future__ import annotations

import json
import random

import pytest

from majordomo.errors import MajordomoError, ProtocolError
from majordomo.llm import Image, Text, Thinking, ToolCall, Usage
from majordomo.model import TextDelta, ThinkingDelta
from majordomo.wires import _shared
from majordomo.wires._growing import Growing, ToolCalls

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))


def test_pictures_become_base64_without_line_breaks():
    """A picture is one line of padded base64, with its type in front."""
    image = Image(PNG * 20, "image/png")
    url = _shared.data_url(image)
    assert url.startswith("data:image/png;base64,iVBORw0KGgo")
    assert not set("\r\n ") & set(url)
    assert len(url.partition(",")[2]) % 4 == 0


@pytest.mark.parametrize("id", ["call_a", "4AY6ZKZZkyV24qzWIbRLL7BSyhLDtqq6", "a", "A-b_9", "x" * 40])
def test_ids_that_can_be_sent_stay(id):
    """An id of ASCII letters, digits, dashes and underscores goes back as it came."""
    assert _shared.sendable_id(id) == id


@pytest.mark.parametrize(
    "id", ["", "x" * 41, "a b", "fünf", "functions.get_weather:0", "a\nb", "😀", "\ud800", "\u0661"]
)
def test_ids_that_cannot_be_sent_are_replaced_by_the_same_one(id):
    """An odd id becomes a short plain one, for the call and for its result alike."""
    sent = _shared.sendable_id(id)
    assert sent == _shared.sendable_id(id)
    assert 0 < len(sent) <= 40
    assert all(c.isascii() and (c.isalnum() or c in "_-") for c in sent)


def test_different_ids_stay_different():
    """What replaces two odd ids are two ids."""
    odd = [f"functions.f:{n}" for n in range(100)]
    assert len({_shared.sendable_id(id) for id in odd}) == len(odd)


ARGUMENTS = [
    (None, {}, None),
    ("", {}, None),
    ("{}", {}, None),
    ("null", {}, None),
    ({}, {}, None),
    ({"a": 1}, {"a": 1}, None),
    ('{"a": 1}', {"a": 1}, None),
    (' {\n"a" :"b" } ', {"a": "b"}, None),
    ('"{\\"a\\": 1}"', {"a": 1}, None),  # encoded twice
    ('""', {}, None),
    ('{"a": ', {}, '{"a": '),
    ("{", {}, "{"),
    ("no", {}, "no"),
    ("[1]", {}, "[1]"),
    ([1], {}, "[1]"),
    (7, {}, "7"),
    (True, {}, "true"),
    ('"text"', {}, '"text"'),
]


@pytest.mark.parametrize(("given", "arguments", "malformed"), ARGUMENTS, ids=[repr(row[0]) for row in ARGUMENTS])
def test_arguments_however_they_were_sent(given, arguments, malformed):
    """Arguments are always a dict; what is no JSON object is kept as text in `malformed`."""
    assert _shared.tool_call("c1", "f", given) == ToolCall("c1", "f", arguments, malformed=malformed)


@pytest.mark.parametrize("given", [None, "", 0, 7, [], {}, True])
def test_a_call_without_an_id_gets_one(given):
    """A call whose server gave no id has a fresh one, another each time."""
    first, second = (_shared.tool_call(given, "f", None) for _ in "ab")
    assert first.id
    assert first.id != second.id


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": -Infinity}', '{"a": [1e999]}'])
def test_arguments_can_always_be_sent_back(text):
    """What no server would take back, though Python reads it (NaN, infinity), is not handed on as it is."""
    for given in (text, json.loads(text)):
        call = _shared.tool_call("c1", "f", given)
        json.dumps(call.arguments, allow_nan=False)
        assert call.arguments or call.malformed


def test_no_two_calls_of_an_answer_share_an_id():
    """A repeated id is replaced, for a result must say which call it answers."""
    calls = [ToolCall("same", "f", {"x": n}) for n in range(3)]
    found = _shared.with_unique_ids(calls)
    assert found[0] == calls[0]
    assert len({call.id for call in found}) == 3
    assert [call.arguments for call in found] == [{"x": 0}, {"x": 1}, {"x": 2}]


# Pieces as (index, id, name, arguments), and the calls that they make as (id, name, arguments).
PIECES = {
    "ids first, then arguments": (
        [(0, "a", "f", ""), (0, None, None, '{"x"'), (0, None, None, ":1}"), (1, "b", "g", ""), (1, None, None, "{}")],
        [("a", "f", {"x": 1}), ("b", "g", {})],
    ),
    "calls that grow in turns": (
        [(0, "a", "f", '{"x"'), (1, "b", "g", '{"y"'), (0, None, None, ":1}"), (1, None, None, ":2}")],
        [("a", "f", {"x": 1}), ("b", "g", {"y": 2})],
    ),
    "id and type in each piece, name null": (
        [(0, "a", "f", '{"x"'), (0, "a", None, ":1}")],
        [("a", "f", {"x": 1})],
    ),
    "id and name in each piece": (
        [(0, "a", "f", '{"x"'), (0, "a", "f", ":1}")],
        [("a", "f", {"x": 1})],
    ),
    "name in each piece, no id": (
        [(0, None, "f", '{"x"'), (0, None, "f", ":1}")],
        [(None, "f", {"x": 1})],
    ),
    "no id and no index, a new name": (
        [(None, None, "f", '{"x":1}'), (None, None, "g", "{}")],
        [(None, "f", {"x": 1}), (None, "g", {})],
    ),
    "no index, a new id of the same name": (
        [(None, "a", "f", '{"x":1}'), (None, "b", "f", '{"x":2}')],
        [("a", "f", {"x": 1}), ("b", "f", {"x": 2})],
    ),
    "always index 0, new ids": (
        [(0, "a", "f", '{"x":1}'), (0, "b", "f", '{"x":2}')],
        [("a", "f", {"x": 1}), ("b", "f", {"x": 2})],
    ),
    "always index 0, no ids": (
        [(0, None, "f", '{"x":1}'), (0, None, "f", '{"x":2}')],
        [(None, "f", {"x": 1}), (None, "f", {"x": 2})],
    ),
    "a name that grows": ([(0, "a", "get_", ""), (0, None, "weather", "{}")], [("a", "get_weather", {})]),
    "a name told cumulatively": ([(0, "a", "get_", ""), (0, None, "get_weather", "{}")], [("a", "get_weather", {})]),
    "the id comes later": ([(0, None, "f", ""), (0, "a", None, "{}")], [("a", "f", {})]),
    "arguments as an object": ([(0, "a", "f", {"x": 1})], [("a", "f", {"x": 1})]),
    "no arguments at all": ([(0, "a", "f", None)], [("a", "f", {})]),
    "indexes that skip": ([(3, "a", "f", "{}"), (9, "b", "g", "{}")], [("a", "f", {}), ("b", "g", {})]),
    "the same id twice": ([(0, "a", "f", "{}"), (1, "a", "g", "{}")], [("a", "f", {}), (None, "g", {})]),
}


@pytest.mark.parametrize(("pieces", "calls"), list(PIECES.values()), ids=list(PIECES))
def test_tool_calls_are_put_together(pieces, calls):
    """Pieces of a stream become the calls that were meant, each with an id of its own."""
    assembler = ToolCalls()
    for piece in pieces:
        assembler.add(*piece)
    found = assembler.finished()
    assert [(call.name, call.arguments, call.malformed) for call in found] == [(n, a, None) for _, n, a in calls]
    assert all(call.id == id for call, (id, _, _) in zip(found, calls) if id is not None)
    assert len({call.id for call in found}) == len(found)


# An answer, and what of it is thinking and what is said.
THOUGHTS = [
    ("<think>a</think>b", "a", "b"),
    ("<think>\na\n</think>\n\nb", "a", "b"),
    ("\n <think>a</think>b", "a", "b"),
    ("<think></think>b", "", "b"),
    ("<think>\n\n</think>\n\nb", "", "b"),
    ("<think>a", "a", ""),
    ("<think>a</thi", "a</thi", ""),
    ("<think>a</think>", "a", ""),
    ("<think>a < b </ c</think>d", "a < b </ c", "d"),
    ("<think>a</think>b<think>c</think>d", "a", "b<think>c</think>d"),
    ("b<think>c</think>d", "", "b<think>c</think>d"),
    ("<thinking>a</thinking>b", "", "<thinking>a</thinking>b"),
    ("<thi", "", "<thi"),
    ("<", "", "<"),
    ("a < b", "", "a < b"),
    ("\n\nb", "", "\n\nb"),
    ("  ", "", "  "),
    ("", "", ""),
    ("</think>b", "", "</think>b"),
]


@pytest.mark.parametrize(("answer", "thinking", "text"), THOUGHTS, ids=[repr(row[0]) for row in THOUGHTS])
def test_thinking_is_told_from_text_in_one_piece(answer, thinking, text):
    """A block that the answer begins with is thinking; tags further on are text."""
    assert _shared.split_think(answer) == (thinking, text)


@pytest.mark.parametrize(("answer", "thinking", "text"), THOUGHTS, ids=[repr(row[0]) for row in THOUGHTS])
def test_thinking_is_told_from_text_in_any_pieces(answer, thinking, text):
    """However a stream cuts the answer, tags included, the same is thinking and the same is said."""
    cuts = [[1] * len(answer)] + [[random.Random(seed).randint(1, 4) for _ in answer] for seed in range(20)]
    for sizes in cuts:
        splitter, at, found = _shared.ThinkSplitter(), 0, []
        for size in sizes:
            found.append(splitter.feed(answer[at : at + size]))
            at += size
        found.append(splitter.close())
        assert "".join(piece[0] for piece in found).rstrip("\n") == thinking
        assert "".join(piece[1] for piece in found) == text


def test_text_is_not_held_back_longer_than_it_must():
    """What cannot be the beginning of a tag is handed out at once."""
    splitter = _shared.ThinkSplitter()
    assert splitter.feed("H") == ("", "H")
    splitter = _shared.ThinkSplitter()
    assert splitter.feed("<think>Hm") == ("Hm", "")
    assert splitter.feed(" so</") == (" so", "")


ERRORS = [
    ({"error": {"message": "m", "code": 7}}, "m"),
    ({"error": "m"}, "m"),
    ({"error": "bad_thing", "message": "m"}, "bad_thing: m"),
    ([{"error": {"message": "m"}}], "m"),
    ({"object": "error", "message": "m", "code": 404}, "m"),
    ({"detail": "m"}, "m"),
    ({"detail": [{"loc": ["body", "top_p"], "msg": "m", "type": "extra_forbidden"}]}, "top_p: m"),
    ({"message": "m"}, "m"),
]


@pytest.mark.parametrize(("payload", "message"), ERRORS, ids=[repr(row[0]) for row in ERRORS])
def test_errors_of_every_shape_are_found(payload, message):
    """Whatever shape a server's error has, its words are found."""
    found = _shared.error_object(payload)
    assert found is not None
    assert found["message"] == message


@pytest.mark.parametrize(
    "payload", [None, 7, "text", [], {}, {"error": None}, {"error": {}}, {"error": ""}, {"choices": []}]
)
def test_what_holds_no_error_is_none(payload):
    """A payload without an error is not taken for one."""
    assert _shared.error_object(payload) is None


def test_the_reader_of_errors_bears_any_nonsense():
    """Wrong types anywhere in an error's body never make the reader itself fail."""
    odd = [None, True, 0, -1.5, "", "x", [], [None], {}, {"message": 1}, [[{}]], {"loc": 1, "msg": []}]
    for key in ("error", "detail", "message", "object", "code", "type"):
        for value in odd:
            for other in odd:
                for payload in (
                    {key: value, "message": other},
                    [{key: value}],
                    {"error": {key: value}},
                    {"detail": [value, other]},
                ):
                    assert _shared.error_object(payload) is None or isinstance(_shared.error_object(payload), dict)


@pytest.mark.parametrize("depth", [100, 900, 2000, 20_000])
def test_an_error_in_many_brackets_does_no_harm(depth):
    """A body nested deeper than Python's stack is no error object, and no RecursionError."""
    payload: list = []
    for _ in range(depth):
        payload = [payload]
    assert _shared.error_object(payload) is None
    while payload:  # taken apart by hand: an interpreter may not survive freeing it at once
        payload = payload.pop()


@pytest.mark.parametrize("value", [None, True, -1, 1.5, "7", [], {}])
def test_a_count_that_is_none_is_unknown(value):
    """Tokens are counted in whole numbers from 0; anything else is `None`, never 0."""
    assert _shared.count_of(value) is None


def test_ids_made_here_are_sendable():
    """An id made here passes every server's rules."""
    id = _shared.fresh_id()
    assert _shared.sendable_id(id) == id


def test_arguments_too_deep_to_go_back():
    """Arguments that nobody could write again are kept as text."""
    for depth, malformed in ((150, False), (250, True), (900, True)):
        text = '{"a": ' * depth + "1" + "}" * depth
        assert (_shared.tool_call("a", "f", text).malformed is not None) is malformed
        assert (_shared.tool_call("a", "f", json.loads(text)).malformed is not None) is malformed


def test_all_errors_here_are_of_the_tree():
    """Random text as arguments or as an answer raises nothing but errors of the tree."""
    rng = random.Random(7)
    alphabet = '{}[]":,\\ntrue0189.eE-+ \n\u2028\ud800é😀'
    for _ in range(3000):
        text = "".join(rng.choice(alphabet) for _ in range(rng.randint(0, 12)))
        assert isinstance(_shared.tool_call(None, None, text).arguments, dict)
        try:
            _shared.response_of([Text(text)], "stop", Usage(), None, {})
        except MajordomoError:
            pass


def test_white_space_is_not_held_for_ever():
    """A server that sends nothing but blanks costs neither memory nor more time with each."""
    splitter = _shared.ThinkSplitter()
    given = [splitter.feed(" " * 1000)[1] for _ in range(100)]
    assert sum(map(len, given)) >= 99_000


def test_a_flood_of_pieces_costs_no_more_with_each():
    """Neither a long call in many pieces nor a flood of calls makes the assembling slow."""
    calls = ToolCalls()
    calls.add(None, "", "f", "[" + "1," * 1_000_000)
    for _ in range(20_000):
        calls.add(None, "", "f", "1}")
    with pytest.raises(ProtocolError, match="more than"):
        for number in range(2000):
            calls.add(number, f"id{number}", "g", "{}")


# How an answer grows. Each row: what comes, the parts that stand at its end.
PICTURE = Image(b"shown", "image/png")
GROWING = {
    "nothing": ([], []),
    "text": ([("say", "a"), ("say", ""), ("say", "b")], [Text("ab")]),
    "in the order in which they began": (
        [("think", "h"), ("think", "m"), ("say", "a"), ("think", "x"), ("say", "b")],
        [Thinking("hm"), Text("a"), Thinking("x"), Text("b")],
    ),
    "by key": (
        [("say", "a", 1), ("say", "b", 2), ("say", "c", 1), ("think", "x", 1)],
        [Text("ac"), Text("b"), Thinking("x")],
    ),
    "signed": ([("think", "hm"), ("sign", Thinking, "sig")], [Thinking("hm", "sig")]),
    "signed and nothing else": ([("sign", Thinking, "sig", 0), ("say", "a", 1)], [Thinking("", "sig"), Text("a")]),
    "nothing goes on with what is signed": (
        [("say", "a"), ("sign", Text, "sig"), ("say", "b"), ("say", "c")],
        [Text("a", "sig"), Text("bc")],
    ),
    "a picture": ([("say", "a"), ("show", PICTURE), ("say", "b")], [Text("a"), PICTURE, Text("b")]),
    "calls between texts": (
        [("say", "a"), ("call", 0, "i", "f", '{"x"'), ("call", 0, None, None, ":1}"), ("say", "b")],
        [Text("a"), ToolCall("i", "f", {"x": 1}), Text("b")],
    ),
}


@pytest.mark.parametrize("case", GROWING)
def test_an_answer_grows(case):
    """Parts stand in the order in which they began, and what is said is told at once."""
    steps, parts = GROWING[case]
    growing = Growing()
    deltas = [delta for name, *given in steps for delta in getattr(growing, name)(*given) or ()]
    assert growing.parts() == parts
    said = "".join(given[0] for name, *given in steps if name == "say")
    thought = "".join(given[0] for name, *given in steps if name == "think")
    assert growing.text == said == "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
    assert thought == "".join(delta.text for delta in deltas if isinstance(delta, ThinkingDelta))


def test_a_call_that_is_signed():
    """A signature rides on the call it came with, and silent pieces are not told."""
    growing = Growing()
    assert growing.call(0, "i", "f", {"x": 1}, signature="sig", told=False) == []
    assert growing.parts() == [ToolCall("i", "f", {"x": 1}, "sig")]


def test_an_answer_that_may_think_in_tags():
    """Text may be held back until it is no tag; thinking in a field of its own ends that."""
    growing = Growing(tags=True)
    assert growing.say("<thi") == []
    assert growing.say("nk>hm</think>so") == [ThinkingDelta("hm"), TextDelta("so")]
    growing = Growing(tags=True)
    assert growing.say("<thi") == []
    assert growing.close() == [TextDelta("<thi")]
    growing = Growing(tags=True)
    growing.think("hm")
    assert growing.say("<think>") == [TextDelta("<think>")]

"""Conversations put in the order that servers take: the tables say what becomes of each mess."""

from __future__ import annotations

import copy

import pytest

from majordomo import (
    Image,
    Message,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    UnsupportedError,
    assistant,
    tool_result,
    user,
)
from majordomo.testing import RED
from majordomo.wires import _conversation
from majordomo.wires._conversation import SEE_IMAGES, UNANSWERED, with_images_moved

PICTURE = Image(RED)
CALL, OTHER = ToolCall("a", "look", {"at": "sea"}), ToolCall("b", "listen")


def arranged(messages, target, tools=(), **more):
    return _conversation.arranged(Request(messages, tools=tools), target, **more)


def told(messages, target="box/m", **more):
    """Turns in short: (role, what its parts say, what its answers say)."""
    return [
        (turn.role, [_said(part) for part in turn.parts], [(a.id, a.text, a.is_error) for a in turn.answers])
        for turn in arranged(messages, target, **more)
    ]


def _said(part):
    if isinstance(part, ToolCall):
        return f"{part.name}#{part.id}"
    return part.text if isinstance(part, (Text, Thinking)) else "picture"


def by_box(*parts):
    """A message that the receiver itself gave."""
    return Message("assistant", parts, "box/m")


ARRANGED = {
    "a question": ([user("Hi")], [("user", ["Hi"], [])]),
    "two in a row are one": ([user("a"), user("b")], [("user", ["a\n\nb"], [])]),
    "answers in a row too": (
        [user("a"), assistant("b"), assistant("c")],
        [("user", ["a"], []), ("assistant", ["b\n\nc"], [])],
    ),
    "pictures stay where they are": ([user("a", PICTURE), user("b")], [("user", ["a", "picture", "b"], [])]),
    "empty texts are nothing": ([user("", "a", ""), assistant(""), user("b")], [("user", ["a\n\nb"], [])]),
    "nothing at all is a question of nothing": ([user(""), assistant("")], [("user", [""], [])]),
    "foreign thinking leaves no trace": (
        [user("a"), Message("assistant", (Thinking("hm", "sig"),), "elsewhere/m"), user("b")],
        [("user", ["a\n\nb"], [])],
    ),
    "own thinking stays": (
        [user("a"), by_box(Thinking("hm"), "b")],
        [("user", ["a"], []), ("assistant", ["hm", "b"], [])],
    ),
    "a call and its result": (
        [user("a"), assistant(CALL), tool_result(CALL, "blue"), assistant("It is blue.")],
        [("user", ["a"], []), ("assistant", ["look#a"], [("a", "blue", False)]), ("assistant", ["It is blue."], [])],
    ),
    "results in the order of the calls": (
        [assistant(CALL, OTHER), tool_result(OTHER, "2"), tool_result(CALL, "1")],
        [("assistant", ["look#a", "listen#b"], [("a", "1", False), ("b", "2", False)])],
    ),
    "a result that comes late": (
        [assistant(CALL), user("Well?"), tool_result(CALL, "blue")],
        [("assistant", ["look#a"], [("a", "blue", False)]), ("user", ["Well?"], [])],
    ),
    "a result in the user's message": (
        [assistant(CALL), user("Look:", ToolResult("a", ("blue",)))],
        [("assistant", ["look#a"], [("a", "blue", False)]), ("user", ["Look:"], [])],
    ),
    "a call that nobody answered": (
        [assistant(CALL, OTHER), tool_result(OTHER, "2"), user("Go on.")],
        [("assistant", ["look#a", "listen#b"], [("a", UNANSWERED, True), ("b", "2", False)]), ("user", ["Go on."], [])],
    ),
    "a call at the end": (
        [user("a"), assistant(CALL)],
        [("user", ["a"], []), ("assistant", ["look#a"], [("a", UNANSWERED, True)])],
    ),
    "a result without a call": (
        [user("a"), tool_result("zzz", "blue"), assistant("b")],
        [("user", ["a\n\nThe result of a tool that was called before:\n", "blue"], []), ("assistant", ["b"], [])],
    ),
    "a result before its call": (
        [tool_result(CALL, "blue"), assistant(CALL)],
        [
            ("user", ["The result of a tool that was called before:\n", "blue"], []),
            ("assistant", ["look#a"], [("a", UNANSWERED, True)]),
        ],
    ),
    "two results for one call": (
        [assistant(CALL), tool_result(CALL, "one"), tool_result(CALL, "two", is_error=True)],
        [("assistant", ["look#a"], [("a", "one\ntwo", True)])],
    ),
    "two calls in a row": (
        [assistant(CALL), assistant(OTHER), tool_result(CALL, "1"), tool_result(OTHER, "2")],
        [("assistant", ["look#a", "listen#b"], [("a", "1", False), ("b", "2", False)])],
    ),
}


@pytest.mark.parametrize("case", ARRANGED)
def test_arranged(case):
    """What was kept in any order is sent in the one that servers take."""
    messages, expected = ARRANGED[case]
    before = copy.deepcopy([message.to_dict() for message in messages])
    assert told(messages) == expected
    assert [message.to_dict() for message in messages] == before


def test_an_id_that_comes_again():
    """Servers that count anew in each turn give one id twice: the later one is replaced, in its result too."""
    messages = [assistant(CALL), tool_result("a", "1"), user("Again."), assistant(CALL), tool_result("a", "2")]
    first, _, second = arranged(messages, "box/m")
    assert (first.answers[0].id, first.answers[0].text) == ("a", "1")
    assert (second.answers[0].id, second.answers[0].text) == (second.calls[0].id, "2")
    assert second.calls[0].id != "a"
    assert arranged(messages, "box/m") == arranged(messages, "box/m")


def test_two_calls_of_one_id():
    """Results belong to calls of one message and one id in their order, and the ids differ from then on."""
    (turn,) = arranged(
        [assistant(CALL, ToolCall("a", "listen")), tool_result("a", "1"), tool_result("a", "2")], "box/m"
    )
    assert [(answer.name, answer.text) for answer in turn.answers] == [("look", "1"), ("listen", "2")]
    assert [call.id for call in turn.calls] == [answer.id for answer in turn.answers]
    assert len({call.id for call in turn.calls}) == 2


@pytest.mark.parametrize("id", ["functions.f:0", "x" * 90, "fünf", "", "a b"])
def test_ids_that_no_server_takes(id):
    """An odd id is replaced in the call and its answer alike, always by the same."""
    (turn,) = arranged([assistant(ToolCall(id, "f")), tool_result(id, "7")], "box/m")
    assert turn.calls[0].id == turn.answers[0].id != id
    assert turn.answers[0].text == "7"
    assert turn.answers[0].id == arranged([assistant(ToolCall(id, "f"))], "box/m")[0].answers[0].id


@pytest.mark.parametrize(("target", "kept"), [("box/m", "sig"), ("box/n", None), ("", None)])
def test_signatures_go_back_to_their_giver_alone(target, kept):
    """Texts and calls of others are sent without what their servers signed."""
    said = by_box(Text("b", "sig"), ToolCall("a", "look", {}, "sig"))
    (turn,) = arranged([said], target)
    assert [part.signature for part in turn.parts] == [kept, kept]


def test_signed_nothing_goes_back():
    """A text of nothing that carries a signature is kept for its giver, and joined with no other."""
    said = by_box(Text("b"), Text("", "sig"))
    assert [part.signature for part in arranged([said, by_box("c")], "box/m")[0].parts] == [None, "sig", None]
    assert [part.text for part in arranged([said], "elsewhere/m")[0].parts] == ["b"]


@pytest.mark.parametrize("part", [CALL, Thinking("hm")])
def test_what_no_user_says(part):
    """A call or thinking in a user's message is refused, with the place."""
    with pytest.raises(UnsupportedError, match="message 1: a T"):
        arranged([user("a"), user(part)], "box/m")


def test_images_of_an_assistant():
    """They are refused, with the place, unless the wire has a place for them."""
    messages = [user("Draw."), assistant("Here:", PICTURE)]
    with pytest.raises(UnsupportedError, match="message 1"):
        arranged(messages, "box/m")
    assert told(messages, drawn=True)[1] == ("assistant", ["Here:", "picture"], [])


MOVED = [
    tool_result(CALL, "one", PICTURE),
    tool_result(OTHER, PICTURE, is_error=True),
]


def test_images_moved():
    """Pictures of results open what the user says next, each named by tool and id."""
    turns = with_images_moved(arranged([user("Go"), assistant(CALL, OTHER), *MOVED, user("And?")], "box/m"))
    assert [turn.role for turn in turns] == ["user", "assistant", "user"]
    assert [(a.text, a.images) for a in turns[1].answers] == [("one", []), (SEE_IMAGES, [])]
    assert [_said(part) for part in turns[2].parts] == [
        "Images returned by the tool look (a):",
        "picture",
        "Images returned by the tool listen (b):",
        "picture",
        "And?",
    ]


@pytest.mark.parametrize("behind", [[], [assistant("So.")]])
def test_images_moved_into_a_turn_of_their_own(behind):
    """Where the user says nothing, the pictures are all that is said."""
    turns = with_images_moved(arranged([assistant(CALL, OTHER), *MOVED, *behind], "box/m"))
    assert [turn.role for turn in turns] == ["assistant", "user", *(["assistant"] if behind else [])]


def test_images_of_errors_moved():
    """A wire may take pictures in results, but not in those that failed."""
    turns = with_images_moved(arranged([assistant(CALL, OTHER), *MOVED], "box/m"), only_errors=True)
    assert [len(answer.images) for answer in turns[0].answers] == [1, 0]
    assert [_said(part) for part in turns[1].parts] == ["Images returned by the tool listen (b):", "picture"]


@pytest.mark.parametrize(
    ("name", "sent"),
    [("", "_"), ("a.b", "a_b"), ("7up", "_7up"), ("fünf", "f_nf"), ("x" * 100, "x" * 64), ("fine-1_2", "fine-1_2")],
)
def test_names_that_no_server_takes(name, sent):
    """What a model called that is no tool has a name that can be sent, in call and answer; a tool keeps its own."""
    call = ToolCall("a", name)
    (turn,) = arranged([assistant(call), tool_result(call, "no such tool", is_error=True)], "box/m")
    assert (turn.calls[0].name, turn.answers[0].name) == (sent, sent)
    if name:
        (turn,) = arranged([assistant(call)], "box/m", tools=[Tool(name)])
        assert (turn.calls[0].name, turn.answers[0].name) == (name, name)

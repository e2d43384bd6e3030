"""What every wire owes its callers, whoever speaks it: one suite, run for each row of `test_contract`.

A wire's row says how its requests are read back (`Row.read`), how its server words an
error, and how its streams look when they end too soon. Answers come from `FakeServer`,
which speaks every wire. Nothing here knows a field of any wire.
"""

from __future__ import annotations

import copy
import json
import pickle
from base64 import b64decode
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Callable

import pytest

from majordomo import (
    APIError,
    Done,
    ErrorKind,
    Image,
    MajordomoError,
    Message,
    ProtocolError,
    Registry,
    Request,
    Response,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    TransportError,
    TruncatedError,
    Usage,
    assistant,
    classify,
    tool_result,
    user,
)
from majordomo.testing import FakeServer, Raw, Reply, Status, cut, drip, reset

PNG = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
JPEG = bytes.fromhex("ffd8 ffc0000b08000100010101 1100 ffd9")  # a header that says 1 x 1, and an end
TOKEN = "sk-0123456789-secret"


@dataclass
class Turn:
    """A message as a server reads it. pictures: their bytes. calls: (id, name, arguments). answers: the call's id."""

    role: str
    text: str = ""
    pictures: list[bytes] = field(default_factory=list)
    calls: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    answers: str | None = None
    thinking: str = ""
    order: list[str] = field(default_factory=list)


@dataclass
class Sent:
    """A request as a server reads it.

    tools: name -> (description, parameters). choice: `auto`, `none`, `required` or a
    name. settings: those that were sent, by their names in `Request`.
    """

    model: str = ""
    system: str | None = None
    turns: list[Turn] = field(default_factory=list)
    tools: dict[str, tuple[str, Any]] = field(default_factory=dict)
    choice: str = "auto"
    schema: Any = None
    settings: dict[str, Any] = field(default_factory=dict)
    stream: bool = False


@dataclass(frozen=True)
class Row:
    """One wire, as one scheme speaks it.

    scheme: of the DSN. read: a request as it came -> what it says. error: (status, words)
    -> the body in which its server says so. half: a stream that has said "Half an" and
    ends there, politely. broken: the same, then an error of the words "Overloaded.".
    web: the headers of a stream. levels: our level of reasoning -> what is sent.
    instead: reasons of an end that it does not know
    -> what is read when a server has them. lacks: settings that it has no place for.
    counts: what it tells of tokens beside input and output. forced: how a tool that must be
    called is asked for: by its `name`, as the `only` one, or, where none can be forced, in
    `words`. ordered: whether pictures keep their place among the words. zeros: whether it
    tells of a count that is zero. enforced: whether it can be held to a schema; else it is
    asked for in words. joint: what stands between the texts of one message.
    """

    scheme: str
    read: Callable[[Any], Sent]
    error: Callable[[int, str], Any]
    half: tuple[bytes, ...]
    broken: tuple[bytes, ...]
    web: dict[str, str]
    levels: dict[str, Any]
    instead: dict[str, str] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()
    counts: tuple[str, ...] = ("cached_tokens", "reasoning_tokens")
    forced: str = "only"
    ordered: bool = True
    zeros: bool = True
    enforced: bool = True
    unheld: tuple[str, ...] = ()
    joint: str = ""


class Box:
    """A fake server and the one model that asks it."""

    def __init__(self, row: Row, server: FakeServer) -> None:
        self.row, self.server = row, server
        self.registry = Registry(
            {"LLM_BOX": server.dsn(row.scheme, token=TOKEN)}, retries=0, sleep=lambda seconds: None
        )
        self.model = self.registry.parse("box/org/Model:14b")

    def ask(self, how: str, prompt: Any = "Hi", *steps: Any, **options: Any) -> Response:
        """The answer to a prompt, when the server takes these steps; asked for in either way."""
        self.server.add(*steps)
        if how == "generate":
            return self.model.generate(prompt, **options)
        with self.model.stream(prompt, **options) as stream:
            list(stream)
        return stream.response

    def sent(self, prompt: Any = "Hi", how: str = "generate", **options: Any) -> Sent:
        """What the server reads when a prompt is sent."""
        self.ask(how, prompt, Reply('{"a": "b"}'), **options)
        return self.row.read(self.server.requests[-1])


@pytest.fixture(scope="module")
def fake():
    with FakeServer() as server:
        yield server


@pytest.fixture
def box(row, fake):
    fake.reset()
    return Box(row, fake)


both = pytest.mark.parametrize("how", ["generate", "stream"])
CALLS = (ToolCall("call_a", "get_weather", {"city": "Bergen", "days": 2}), ToolCall("call_b", "list_trains", {}))
TOOLS = (
    Tool(
        "get_weather",
        "Weather now.",
        {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    ),
    Tool("list_trains", "Next trains.", {"type": "object", "properties": {}}),
)
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}


@dataclass
class Stop:
    """A place on the way."""

    name: str
    at: date | None = None


@dataclass
class Trip:
    """A way to go; with all that the schema of a type may need."""

    title: str
    start: date
    stops: list[Stop]
    where: tuple[float, str]
    last: Stop | None
    seats: int | str = 1
    tags: list[str] = field(default_factory=list, metadata={"description": "Words for it."})


@dataclass
class Branch:
    """A part of a tree, which is one itself."""

    name: str
    left: Branch | None
    twigs: list[Branch] = field(default_factory=list)


@dataclass
class Prices:
    """An object of which nobody knows the names in it."""

    of: dict[str, float]


TREE = {
    "type": "object",
    "properties": {"root": {"$ref": "#/$defs/part"}},
    "required": ["root"],
    "additionalProperties": False,
    "$defs": {
        "part": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 1},
                "parts": {"type": "array", "items": {"$ref": "#/$defs/part"}, "description": "Below it."},
            },
            "required": ["name", "parts"],
            "additionalProperties": False,
        }
    },
}
TRIP = {
    "title": "North",
    "start": "2026-05-01",
    "stops": [{"name": "Oslo", "at": "2026-05-02"}, {"name": "Bodø", "at": None}],
    "where": [59.9, "N"],
    "last": None,
    "seats": None,  # as those say it who must say something
    "tags": ["sea"],
}
# What an answer may have to follow -> the schema, an answer to it, what that is read as.
ANSWERS: dict[str, tuple[Any, Any, Any]] = {
    "a dict": (SCHEMA, {"a": "b"}, {"a": "b"}),
    "a recursive dict": (TREE, *[{"root": {"name": "a", "parts": [{"name": "b", "parts": []}]}}] * 2),
    "a class": (
        Trip,
        TRIP,
        Trip("North", date(2026, 5, 1), [Stop("Oslo", date(2026, 5, 2)), Stop("Bodø")], (59.9, "N"), None, 1, ["sea"]),
    ),
    "a recursive class": (
        Branch,
        {"name": "a", "left": {"name": "b", "left": None, "twigs": None}, "twigs": []},
        Branch("a", Branch("b", None)),
    ),
    "an open class": (Prices, {"of": {"fish": 2.5}}, Prices({"fish": 2.5})),
    "a list of them": (list[Stop], {"value": [{"name": "Oslo"}]}, [Stop("Oslo")]),
}
# An answer that does not follow its schema -> the place that is told.
MISFITS = [
    (SCHEMA, {"a": 7}, "a: expected string, got 7"),
    (SCHEMA, {"a": "b", "c": 1}, "c"),
    (Trip, {**TRIP, "stops": [{"name": "Oslo"}, {"name": 7}]}, "stops[1].name: expected string, got 7"),
    (Trip, {**TRIP, "where": [59.9]}, "where"),
    (Branch, {"name": "a", "left": {"name": "b"}}, "left.left"),
]


class Contract:
    """The suite; `row` is a fixture or a parameter of whoever runs it."""

    # --- answers

    @both
    def test_text(self, box, how):
        """A question is answered with text, `stop`, and the name of who answered."""
        response = box.ask(how, "Hi", Reply("Rain over Bergen, 7 °C 😀."))
        assert response.text == "Rain over Bergen, 7 °C 😀."
        assert response.stop_reason == "stop"
        assert response.model == "box/org/Model:14b"
        assert (response.thinking, response.tool_calls, response.refusal, response.warnings) == ("", (), "", ())
        assert [(a.target, a.outcome) for a in response.attempts] == [("box/org/Model:14b", "answered")]

    @both
    def test_nothing(self, box, how):
        """An answer of nothing has the text `""`, never `None`."""
        assert box.ask(how, "Hi", Reply("")).text == ""

    def test_stream(self, box):
        """The deltas joined are the text, the last event alone is `Done`, and carries the response."""
        box.server.add(Reply("One two.", pieces=("On", "e ", "two", ".")))
        with box.model.stream("Hi") as stream:
            events = list(stream)
        assert [event.text for event in events[:-1]] == ["On", "e ", "two", "."]
        assert type(events[-1]) is Done
        assert stream.response is events[-1].response
        assert stream.response.text == "One two."

    def test_stream_asks_when_read(self, box):
        """Nothing is sent before the first event is asked for."""
        with box.model.stream("Hi") as stream:
            assert box.server.requests == []
            with pytest.raises(MajordomoError):
                stream.response  # noqa: B018
            next(stream)
        assert len(box.server.requests) == 1

    def test_stream_byte_by_byte(self, box):
        """A stream that drips in, byte by byte, gives the same answer."""
        reply = Reply("Rain, 7 °C 😀.", thinking="Hm…", tool_calls=CALLS)
        whole = box.ask("stream", "Hi", reply, tools=TOOLS)
        assert box.ask("stream", "Hi", drip(reply, seconds=0, after=None), tools=TOOLS).message == whole.message

    @both
    def test_answer_goes_back(self, box, how):
        """An answer is a message that can be sent back, through JSON and pickle too."""
        response = box.ask(how, "Hi", Reply("So.", thinking="Hm.", tool_calls=CALLS), tools=TOOLS)
        for message in (
            response.message,
            Message.from_dict(json.loads(json.dumps(response.message.to_dict()))),
            pickle.loads(pickle.dumps(response)).message,
        ):
            turns = box.sent(
                [user("Hi"), message, tool_result("call_a", "7"), tool_result("call_b", "8")], tools=TOOLS
            ).turns
            assert [turn.role for turn in turns] == ["user", "assistant", "tool", "tool"]
            assert turns[1].text == "So."
            assert [(name, arguments) for _, name, arguments in turns[1].calls] == [
                (c.name, c.arguments) for c in CALLS
            ]

    # --- what is asked

    @both
    def test_question(self, box, how):
        """A prompt of text is one user turn for the model as it was written, and nothing else is sent."""
        sent = box.sent("Why is the sky blue?", how)
        assert sent == Sent("org/Model:14b", turns=sent.turns, stream=how == "stream")
        assert [(turn.role, turn.text) for turn in sent.turns] == [("user", "Why is the sky blue?")]

    def test_system(self, box):
        """The system prompt reaches the model as one, not as what the user says."""
        sent = box.sent("Hi", system="Be brief.")
        assert sent.system == "Be brief."
        assert [turn.text for turn in sent.turns] == ["Hi"]
        assert box.sent("Hi", system=" \n").system is None

    def test_conversation(self, box):
        """Turns keep their order and their speakers."""
        sent = box.sent([user("a"), assistant("b"), user("c", "d"), assistant("e"), "f"])
        assert [(turn.role, turn.text) for turn in sent.turns] == [
            ("user", "a"),
            ("assistant", "b"),
            ("user", f"c{box.row.joint}d"),
            ("assistant", "e"),
            ("user", "f"),
        ]

    def test_characters(self, box):
        """Text reaches the server as it is, whatever it holds."""
        text = 'é 😀 \u2028 "quoted" \\ \n\t\x00 </think>'
        assert box.sent(text).turns[0].text == text

    def test_images(self, box):
        """Pictures arrive byte for byte, where they stood."""
        (turn,) = box.sent(user("left", Image(PNG), "right", Image(JPEG), "done")).turns
        assert turn.pictures == [PNG, JPEG]
        assert turn.text == box.row.joint.join(["left", "right", "done"])
        if box.row.ordered:
            assert turn.order == ["text", "image", "text", "image", "text"]

    def test_image_alone(self, box):
        """A picture needs no words."""
        assert box.sent(user(Image(PNG))).turns[-1].pictures == [PNG]

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("max_tokens", 99),
            ("temperature", 0.0),
            ("temperature", 1),
            ("top_p", 0.5),
            ("stop", ("END", "\n#")),
            ("seed", 0),
        ],
    )
    def test_settings(self, box, name, value):
        """A setting is sent where it is set, 0 too, and no other one is; what the wire lacks is told."""
        response = box.ask("generate", "Hi", Reply("Hi."), **{name: value})
        settings = box.row.read(box.server.requests[-1]).settings
        if name in box.row.lacks:
            assert settings == {}
            assert [warning.partition(":")[0] for warning in response.warnings] == [name]
        else:
            assert settings == {name: list(value) if name == "stop" else value}
            assert response.warnings == ()

    @pytest.mark.parametrize("level", ["off", "minimal", "low", "medium", "high", "max"])
    def test_reasoning_level(self, box, level):
        """Each level of reasoning is sent as the wire has it."""
        assert box.sent("Hi", reasoning=level).settings == {"reasoning": box.row.levels[level]}

    def test_extra(self, box):
        """`extra` is laid over the body of the request, objects into objects, and wins."""
        box.ask("generate", "Hi", Reply("Hi."), extra={"model": "other", "zzz": {"a": [1]}})
        body = box.server.requests[-1].json
        assert body["zzz"] == {"a": [1]}
        assert body["model"] == "other"

    def test_nothing_is_changed(self, box):
        """The caller's request is the same before and after, its schema, tools and `extra` too."""
        request = Request(
            [user("Hi", Image(PNG)), assistant(*CALLS), tool_result("call_a", Image(PNG)), tool_result("call_b")],
            tools=TOOLS,
            schema=SCHEMA,
            stop=["x"],
            extra={"zzz": {"a": 1}},
        )
        before = copy.deepcopy(request.to_dict())
        box.ask("generate", request, Reply('{"a": "b"}'))
        box.ask("stream", request, Reply('{"a": "b"}'))
        assert request.to_dict() == before

    # --- tools

    def test_tools(self, box):
        """Tools are sent with name, description and schema; without tools there is nothing of them."""
        sent = box.sent("Hi", tools=TOOLS)
        assert sent.tools == {tool.name: (tool.description, tool.parameters) for tool in TOOLS}
        assert sent.choice == "auto"

    @pytest.mark.parametrize("choice", ["auto", "none", "required"])
    def test_tool_choice(self, box, choice):
        """The model may, may not, or must call."""
        response = box.ask("generate", "Hi", Reply("Hi."), tools=TOOLS, tool_choice=choice)
        sent = box.row.read(box.server.requests[-1])
        names = list(sent.tools)
        if choice == "none":
            assert sent.choice == "none" or not names
        elif choice == "required" and box.row.forced == "words":
            assert (sent.choice, names) == ("auto", ["get_weather", "list_trains"])
            assert "one of the tools" in sent.system
            assert response.warnings[0].startswith("tool_choice: asked for in words")
        else:
            assert (sent.choice, names) == (choice, ["get_weather", "list_trains"])

    def test_tool_choice_by_name(self, box):
        """A named tool is the one that must be called."""
        sent = box.sent("Hi", tools=TOOLS, tool_choice="list_trains", system="Be brief.")
        assert sent.system.startswith("Be brief.")
        if box.row.forced == "name":
            assert (sent.choice, list(sent.tools)) == ("list_trains", ["get_weather", "list_trains"])
        elif box.row.forced == "only":
            assert (sent.choice, list(sent.tools)) == ("required", ["list_trains"])
        else:
            assert (sent.choice, list(sent.tools)) == ("auto", ["list_trains"])
            assert "list_trains" in sent.system

    @both
    def test_tool_calls(self, box, how):
        """Calls have an id, a name and a dict of arguments, and are the stop reason."""
        response = box.ask(how, "Hi", Reply("Let me see.", tool_calls=CALLS), tools=TOOLS)
        assert response.tool_calls == CALLS
        assert response.text == "Let me see."
        assert response.stop_reason == "tool_calls"

    @both
    def test_tool_calls_without_ids(self, box, how):
        """Calls to which the server gives no id, or one for all, have ids of their own."""
        for id in ("", "same"):
            calls = tuple(replace(call, id=id) for call in CALLS)
            found = box.ask(how, "Hi", Reply(tool_calls=calls), tools=TOOLS).tool_calls
            assert [(call.name, call.arguments) for call in found] == [(call.name, call.arguments) for call in CALLS]
            assert len({call.id for call in found} - {""}) == 2

    def test_tool_call_deltas(self, box):
        """In a stream a call's arguments come in pieces that make its JSON."""
        box.server.add(Reply(tool_calls=CALLS))
        with box.model.stream("Hi", tools=TOOLS) as stream:
            deltas = [event for event in stream if type(event) is ToolCallDelta]
        for index, call in enumerate(CALLS):
            mine = [delta for delta in deltas if delta.index == index]
            assert json.loads("".join(delta.arguments for delta in mine) or "{}") == call.arguments
            assert {delta.name for delta in mine} == {call.name}

    def test_tool_results(self, box):
        """Each result reaches the model behind its call, tied to it by id, with its text."""
        sent = box.sent(
            [user("Hi"), assistant(*CALLS), tool_result(CALLS[0], "7 °C"), tool_result(CALLS[1], "07:40")], tools=TOOLS
        )
        assert [turn.role for turn in sent.turns] == ["user", "assistant", "tool", "tool"]
        assert [(name, arguments) for _, name, arguments in sent.turns[1].calls] == [
            (c.name, c.arguments) for c in CALLS
        ]
        assert [turn.answers for turn in sent.turns[2:]] == [id for id, _, _ in sent.turns[1].calls]
        assert [turn.text for turn in sent.turns[2:]] == ["7 °C", "07:40"]

    @pytest.mark.parametrize("id", ["functions.f:0", "x" * 90, "fünf", "4AY6ZKZZkyV24qzWIbRLL7BSyhLDtqq6", "toolu_01"])
    def test_ids_of_other_servers(self, box, id):
        """A call that another server made is sent with an id that this one takes, the result with the same."""
        sent = box.sent([user("Hi"), assistant(ToolCall(id, "f", {})), tool_result(id, "7")], tools=(Tool("f"),))
        assert sent.turns[2].answers == sent.turns[1].calls[0][0]

    def test_tool_result_that_failed(self, box):
        """That a tool failed is told to the model."""
        sent = box.sent([user("Hi"), assistant(CALLS[0]), tool_result(CALLS[0], "boom", is_error=True)], tools=TOOLS)
        assert "boom" in sent.turns[2].text
        assert "error" in sent.turns[2].text.lower()

    def test_tool_result_with_images(self, box):
        """Pictures of results reach the model, byte for byte, and nothing stands between a call and its results."""
        results = [tool_result(CALLS[0], "see", Image(PNG)), tool_result(CALLS[1], Image(JPEG), Image(PNG))]
        sent = box.sent([user("Hi"), assistant(*CALLS), *results, assistant("Fine."), user("And?")], tools=TOOLS)
        assert [turn.role for turn in sent.turns[1:4]] == ["assistant", "tool", "tool"]
        assert [data for turn in sent.turns for data in turn.pictures] == [PNG, JPEG, PNG]
        assert sent.turns[-1].text == "And?"

    def test_results_in_one_message(self, box):
        """Results may share a message."""
        both_results = Message("tool", (ToolResult("call_a", ("7",)), ToolResult("call_b", ("8",))))
        turns = box.sent([user("Hi"), assistant(*CALLS), both_results], tools=TOOLS).turns
        assert [(turn.role, turn.text) for turn in turns[2:]] == [("tool", "7"), ("tool", "8")]

    # --- what servers refuse is put in order; `readers` are as strict as they are

    @pytest.mark.parametrize(
        "talk",
        [
            [user("a"), user("b"), user(Image(PNG))],
            [user("a"), assistant("b"), assistant("c"), user("d")],
            [user(""), user("a", ""), assistant(""), user("b")],
            [user("a"), Message("assistant", (Thinking("hm"),)), user("b")],
            [assistant("a"), user("b")],
            [user("a"), assistant(CALLS[0]), user("well?"), tool_result(CALLS[0], "late"), assistant("b"), user("c")],
            [user("a"), assistant(*CALLS), tool_result(CALLS[1], "2"), tool_result(CALLS[0], "1")],
            [user("a"), assistant(*CALLS), tool_result(CALLS[1], "2"), user("and the other?")],
            [user("a"), assistant(CALLS[0]), user("never mind")],
            [user("a"), assistant("b", CALLS[0]), tool_result(CALLS[0])],
            [user("a"), tool_result("lost", "7 °C"), user("b")],
            [tool_result(CALLS[0], "7 °C", Image(PNG)), user("b")],
            [user("a"), assistant(CALLS[0]), tool_result(CALLS[0], "1"), tool_result(CALLS[0], "again")],
            [user("a"), assistant(CALLS[0]), tool_result(CALLS[0], "boom", Image(PNG), is_error=True), user("b")],
            [
                user("a"),
                assistant(ToolCall("call_0", "get_weather")),
                tool_result("call_0", "1"),
                assistant(ToolCall("call_0", "list_trains")),
                tool_result("call_0", "2"),
            ],
            [user("a"), assistant(CALLS[0]), assistant(CALLS[1]), tool_result(CALLS[0]), tool_result(CALLS[1])],
            [user("a"), assistant(*CALLS), user(ToolResult("call_a", ("1",)), "so?", ToolResult("call_b", ("2",)))],
            [user(" "), assistant(" \n"), user("\n")],
        ],
    )
    @both
    def test_any_order(self, box, how, talk):
        """A conversation that was kept in whatever order is sent in the one that the server takes, nothing lost."""
        sent = box.sent(talk, how, tools=TOOLS)
        said = "".join(turn.text for turn in sent.turns)
        for message in talk:
            for part in message.parts:
                for inner in part.parts if isinstance(part, ToolResult) else (part,):
                    if isinstance(inner, Text):
                        assert inner.text.strip() in said
        pictures = [data for turn in sent.turns for data in turn.pictures]
        assert len(pictures) == sum(repr(message).count("Image(") for message in talk)
        assert "call_0" not in repr(talk) or len({turn.answers for turn in sent.turns if turn.answers}) == 2

    def test_schema_of_any_kind(self, box):
        """A schema with references, constants, limits and closed objects is sent in words that the server knows."""
        schema = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Order: a b",
            "type": "object",
            "properties": {
                "kind": {"const": "order"},
                "count": {"type": "integer", "minimum": 1, "exclusiveMaximum": 9},
                "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}, "maxItems": 3, "uniqueItems": True},
                "note": {"anyOf": [{"type": "string", "pattern": "^a"}, {"type": "null"}], "default": None},
                "either": {"oneOf": [{"type": "string", "format": "date"}, {"type": "number", "multipleOf": 2}]},
            },
            "required": ["kind", "lines"],
            "additionalProperties": False,
            "$defs": {"line": {"type": "object", "properties": {"a": {"type": ["string", "null"]}}}},
        }
        before = copy.deepcopy(schema)
        tools = (Tool("order", "Orders.", schema),)
        sent = box.sent("Hi", tools=tools)
        assert schema == before
        assert {"kind", "count", "lines", "note", "either"} == set(sent.tools["order"][1]["properties"])
        box.ask("generate", "Hi", Reply('{"kind": "order", "lines": [{"a": null}]}'), schema=schema)
        sent = box.row.read(box.server.requests[-1])
        assert schema == before
        assert not box.row.enforced or sent.schema["properties"]["lines"]["type"] == "array"

    # --- schema

    @both
    def test_schema(self, box, how):
        """The schema is sent as it is, and the answer to it is parsed, also within a fence."""
        for text in ('{"a": "b"}', '```json\n{"a": "b"}\n```'):
            response = box.ask(how, "Hi", Reply(text), schema=SCHEMA)
            assert response.parsed == {"a": "b"}
            assert response.text == text
        sent = box.row.read(box.server.requests[-1])
        if box.row.enforced:
            assert (sent.schema, sent.system, response.warnings) == (SCHEMA, None, ())
        else:
            assert json.dumps(SCHEMA, separators=(",", ":")) in sent.system
            assert [warning.partition(":")[0] for warning in response.warnings] == ["schema"]

    @both
    @pytest.mark.parametrize("kind", ANSWERS)
    def test_schema_of_a_type(self, box, how, kind):
        """A schema may be a type; it is sent so that the server takes it, and the answer is a value of the type."""
        schema, answer, expected = ANSWERS[kind]
        before = copy.deepcopy(schema)
        for text in (json.dumps(answer), f"```json\n{json.dumps(answer, indent=1)}\n```"):
            response = box.ask(how, "Hi", Reply(text), schema=schema)
            assert (type(response.parsed), response.parsed) == (type(expected), expected)
            assert (response.text, response.stop_reason, response.tool_calls) == (text, "stop", ())
        sent = box.row.read(box.server.requests[-1])
        assert schema == before
        if box.row.enforced and kind not in box.row.unheld:
            assert isinstance(sent.schema, dict)
            assert response.warnings == ()
        else:
            assert sent.schema is None
            assert [warning.partition(":")[0] for warning in response.warnings] == ["schema"]

    @both
    @pytest.mark.parametrize(("schema", "answer", "place"), MISFITS, ids=[place for _, _, place in MISFITS])
    def test_schema_mismatch(self, box, how, schema, answer, place):
        """An answer that does not follow the schema is a ProtocolError, which names the place and holds the text."""
        with pytest.raises(ProtocolError) as caught:
            box.ask(how, "Hi", Reply(json.dumps(answer)), schema=schema)
        error = caught.value
        assert (error.code, error.partial) == ("schema_mismatch", json.dumps(answer))
        assert place in error.message
        assert classify(error) is ErrorKind.INVALID  # of this question; the target is well

    @both
    @pytest.mark.parametrize("schema", [SCHEMA, Stop], ids=["dict", "class"])
    def test_schema_missed(self, box, how, schema):
        """An answer that is no JSON is a ProtocolError with the text."""
        with pytest.raises(ProtocolError) as caught:
            box.ask(how, "Hi", Reply("Sure!"), schema=schema)
        assert (caught.value.code, caught.value.partial) == ("schema_mismatch", "Sure!")

    @both
    @pytest.mark.parametrize("schema", [SCHEMA, Stop], ids=["dict", "class"])
    def test_schema_cut(self, box, how, schema):
        """An answer to a schema that was cut is a TruncatedError with the text, also if it is JSON by chance."""
        for text in ('{"name": "b', '{"name": "b"}'):
            with pytest.raises(TruncatedError) as caught:
                box.ask(how, "Hi", Reply(text, stop_reason="length"), schema=schema)
            assert caught.value.partial == text

    @both
    @pytest.mark.parametrize("schema", [SCHEMA, Stop], ids=["dict", "class"])
    def test_schema_declined(self, box, how, schema):
        """A model that calls a tool first, or declines, has not answered to the schema yet."""
        response = box.ask(how, "Hi", Reply(tool_calls=CALLS), schema=schema, tools=TOOLS)
        assert (response.parsed, response.stop_reason) == (None, "tool_calls")
        if "refusal" not in box.row.instead:  # else nobody can tell it from an answer
            response = box.ask(how, "Hi", Reply(refusal="No.", stop_reason="refusal"), schema=schema)
            assert (response.parsed, response.stop_reason, response.text) == (None, "refusal", "")
            assert "No." in response.refusal

    def test_schema_deltas(self, box):
        """The text of an answer to a schema comes as any other, in pieces; the value is there at the end."""
        text = '{"name": "Oslo", "at": "2026-05-02"}'
        box.server.add(Reply(text, pieces=(text[:9], text[9:20], text[20:])))
        with box.model.stream("Hi", schema=Stop) as stream:
            assert "".join(stream.text_deltas()) == text
        assert stream.response.parsed == Stop("Oslo", date(2026, 5, 2))

    # --- reasoning, usage, stop reasons

    @both
    def test_thinking(self, box, how):
        """Thinking is separate from text."""
        response = box.ask(how, "Hi", Reply("Four.", thinking="Two and two."))
        assert (response.thinking, response.text) == ("Two and two.", "Four.")
        parts = [part for part in response.message.parts if part.text]  # a signature may stand alone
        assert [type(part) for part in parts] == [Thinking, Text]

    def test_thinking_deltas(self, box):
        """Thinking comes before text, as events of its own."""
        box.server.add(Reply("Four.", thinking="Two and two."))
        with box.model.stream("Hi") as stream:
            events = list(stream)[:-1]
        kinds = [type(event) for event in events]
        assert kinds == sorted(kinds, key=[ThinkingDelta, TextDelta].index)
        assert "".join(event.text for event in events if type(event) is ThinkingDelta) == "Two and two."

    def test_thinking_of_others_stays(self, box):
        """Thinking goes back to nobody but the target that gave it."""
        other = Message("assistant", (Thinking("secret", signature="sig"), Text("b")), origin="elsewhere/m")
        box.sent([user("a"), other, user("c")])
        assert b"secret" not in box.server.requests[-1].body
        assert b"sig" not in box.server.requests[-1].body

    @both
    @pytest.mark.parametrize(
        "usage", [Usage(11, 7, 5, 3), Usage(0, 0, 0, 0), Usage(11, 7), None], ids=["all", "zeros", "some", "none"]
    )
    def test_usage(self, box, how, usage):
        """Tokens are counted alike on every wire: all of the input, all of the output; `None` for what is not told."""
        found = box.ask(how, "Hi", Reply("Hi.", usage=usage)).usage
        untold = {name: None for name in ("cached_tokens", "reasoning_tokens") if name not in box.row.counts}
        expected = replace(usage or Usage(), **untold)
        if not box.row.zeros:
            found, expected = (Usage(*[count or None for count in vars(u).values()]) for u in (found, expected))
        assert found == expected

    @both
    @pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter", "refusal", "other"])
    def test_stop_reasons(self, box, how, reason):
        """Why an answer ended has our word for it; one that was cut by length or filter is still an answer."""
        read = box.row.instead.get(reason, reason)
        more = {"refusal": {"refusal": "No."}, "tool_calls": {"tool_calls": CALLS}}.get(reason, {"text": "Hi"})
        response = box.ask(how, "Hi", Reply(stop_reason=reason, **more))
        assert response.stop_reason == read
        refusal = more.get("refusal", "")
        assert bool(response.refusal) is (read == "refusal")
        assert refusal in response.refusal + response.text
        assert response.text == more.get("text", "" if response.refusal else refusal)

    # --- what goes wrong

    @both
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, "INVALID"),
            (401, "AUTH"),
            (402, "QUOTA"),
            (403, "AUTH"),
            (404, "NOT_FOUND"),
            (408, "TRANSIENT"),
            (409, "TRANSIENT"),
            (413, "TOO_LONG"),
            (422, "INVALID"),
            (425, "TRANSIENT"),
            (429, "RATE_LIMITED"),
            (500, "TRANSIENT"),
            (502, "TRANSIENT"),
            (503, "TRANSIENT"),
            (504, "TRANSIENT"),
            (529, "TRANSIENT"),
            (599, "TRANSIENT"),
        ],
    )
    def test_errors(self, box, how, status, kind):
        """A refusal is an APIError of its kind, in one line that names the target and the server's words."""
        with pytest.raises(APIError) as caught:
            box.ask(how, "Hi", Status(status, box.row.error(status, "No such luck.")))
        error = caught.value
        assert (error.status, classify(error)) == (status, ErrorKind[kind])
        assert str(error).startswith(f"box/org/Model:14b: HTTP {status}")
        assert "No such luck." in str(error)
        assert "\n" not in str(error)
        assert len(box.server.requests) == 1

    @both
    @pytest.mark.parametrize(
        "body", [b"", b"<html><h1>Bad gateway</h1></html>", b"oops", b"{", b"[]", b"null", b"\xff\xfe"]
    )
    def test_errors_of_others(self, box, how, body):
        """What stands between may answer anything: the status decides."""
        with pytest.raises(APIError) as caught:
            box.ask(how, "Hi", Status(502, body))
        assert classify(caught.value) is ErrorKind.TRANSIENT
        assert "\n" not in str(caught.value)

    @both
    def test_retry_after(self, box, how):
        """How long a server asks to wait is readable."""
        with pytest.raises(APIError) as caught:
            box.ask(how, "Hi", Status(429, box.row.error(429, "Slow down."), {"Retry-After": "7"}))
        assert caught.value.retry_after == 7.0

    @both
    def test_no_token_in_errors(self, box, how):
        """A token that the server echoes is in nothing that can be shown."""
        with pytest.raises(APIError) as caught:
            box.ask(how, "Hi", Status(401, box.row.error(401, f"Bad key {TOKEN}"), {"x-request-id": f"r {TOKEN}"}))
        error = caught.value
        shown = [
            str(error),
            repr(error),
            repr(vars(error)),
            repr(error.args),
            repr(pickle.loads(pickle.dumps(error)).__dict__),
        ]
        assert not any(TOKEN in text for text in shown)

    @both
    @pytest.mark.parametrize("body", ["", "OK", "<html>Sign in</html>", "null", "[]", "{}", "7"])
    def test_nonsense(self, box, how, body):
        """A 2xx that makes no sense is an error that may pass, never an answer."""
        with pytest.raises((ProtocolError, TruncatedError, APIError)) as caught:
            box.ask(how, "Hi", Status(200, body))
        assert classify(caught.value) is ErrorKind.TRANSIENT

    @both
    @pytest.mark.parametrize(
        "step",
        [Raw(b""), Raw(b"garbage\r\n\r\n"), cut(Reply("Hi.")), reset(Reply("Hi.")), cut(Reply("Hi."), after=None)],
    )
    def test_lost_connections(self, box, how, step):
        """A connection that is lost before the answer is an error of the tree that may pass."""
        with pytest.raises((TransportError, TruncatedError)) as caught:
            box.ask(how, "Hi", step)
        assert classify(caught.value) is ErrorKind.TRANSIENT

    def test_stream_that_ends_too_soon(self, box):
        """A stream without its end is a TruncatedError with the text so far, however cleanly it ended."""
        error, said = self._broken(box, Status(200, list(box.row.half), box.row.web))
        assert type(error) is TruncatedError
        assert error.partial == "".join(said) == "Half an"

    @pytest.mark.parametrize("ending", [cut, reset])
    def test_stream_that_is_cut(self, box, ending):
        """A connection that is lost in the middle of a stream is an error with the text so far."""
        step = Status(200, list(box.row.half), box.row.web)
        error, said = self._broken(box, ending(step, after=-5))
        assert type(error) in (TruncatedError, TransportError)
        assert error.partial == "".join(said) == "Half an"
        assert classify(error) is ErrorKind.TRANSIENT

    def test_stream_with_an_error(self, box):
        """An error in the middle of a stream is raised as what it is, with the text so far."""
        error, said = self._broken(box, Status(200, list(box.row.broken), box.row.web))
        assert type(error) is APIError
        assert error.message == "Overloaded."
        assert error.partial == "".join(said) == "Half an"
        assert classify(error) is ErrorKind.TRANSIENT

    def _broken(self, box, step):
        said: list[str] = []
        box.server.add(step)
        with pytest.raises(MajordomoError) as caught, box.model.stream("Hi") as stream:
            said.extend(stream.text_deltas())
        assert str(caught.value).startswith("box/org/Model:14b: ")
        assert [attempt.outcome for attempt in caught.value.attempts] == ["failed"]
        return caught.value, said

    def test_stream_that_is_left(self, box):
        """A reader may leave a stream at any event; the next call is not disturbed."""
        box.server.add(Reply("One two three four five six seven."))
        with box.model.stream("Hi") as stream:
            next(stream)
        assert box.ask("generate", "Hi", Reply("Fine.")).text == "Fine."

    # --- headers

    @both
    def test_headers(self, box, how):
        """Each request says who asks, and that JSON comes; the token is in a header and nowhere else."""
        box.ask(how, "Hi", Reply("Hi."))
        (seen,) = box.server.requests
        assert seen.method == "POST"
        assert seen.headers["user-agent"].startswith("majordomo/")
        assert seen.headers["content-type"] == "application/json"
        assert TOKEN not in seen.path
        assert TOKEN.encode() not in seen.body
        assert sum(TOKEN in value for value in seen.headers.values()) == 1

"""Answers that follow a schema: whoever gives them, in a chain and alone, and asked for again."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass

import pytest
from helpers import Lab, Takes, outcomes

from majordomo import (
    ChainError,
    DeadlineError,
    Done,
    ErrorKind,
    MajordomoError,
    Model,
    ProtocolError,
    Registry,
    Request,
    Response,
    TextDelta,
    Tool,
    ToolCall,
    TruncatedError,
    Usage,
    assistant,
    classify,
    user,
)
from majordomo.testing import FakeServer, Reply


@dataclass
class City:
    name: str
    people: int


GOOD, BAD = '{"name": "Oslo", "people": 700000}', '{"name": "Oslo", "people": "many"}'
WRONG = 'the answer does not fit the schema: people: expected integer, got "many"'
OSLO = City("Oslo", 700000)
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["name", "people"],
}
both = pytest.mark.parametrize(("schema", "value"), [(City, OSLO), (SCHEMA, json.loads(GOOD))], ids=["class", "dict"])


class Saying(Model):
    """A model of a user's own, which has never heard of schemas."""

    def __init__(self, *answers):
        self.answers, self.requests = list(answers), []

    def complete(self, request, deadline):
        self.requests.append(request)
        answer = self.answers.pop(0)
        return answer if isinstance(answer, Response) else Response(assistant(answer))


@both
def test_a_model_of_ones_own(schema, value):
    """An answer in text is read, checked and converted, whole and streamed, whoever gave it."""
    assert Saying(GOOD).generate("Hi", schema=schema).parsed == value
    with Saying(GOOD).stream("Hi", schema=schema) as stream:
        assert "".join(stream.text_deltas()) == GOOD
    assert stream.response.parsed == value


@both
def test_a_model_that_misses(schema, value):
    """What does not fit is a ProtocolError with the places and the text, and not of a kind that may pass."""
    for ask in (lambda model: model.generate, lambda model: lambda *a, **k: list(model.stream(*a, **k))):
        with pytest.raises(ProtocolError, match="people: expected integer") as caught:
            ask(Saying(BAD))("Hi", schema=schema)
        assert (caught.value.message, caught.value.partial) == (WRONG, BAD)
        assert classify(caught.value) is ErrorKind.INVALID


NO_VALUE = {
    "declines": ("refusal", "I must not.", None),
    "cut": ("length", GOOD, TruncatedError),
    "filtered": ("content_filter", "{", TruncatedError),
}


@pytest.mark.parametrize("case", NO_VALUE)
def test_an_answer_that_is_none(case):
    """Calls and refusals have no value; a cut answer is an error with its text, also if it is JSON by chance."""
    reason, text, error = NO_VALUE[case]
    model = Saying(Response(assistant(text), reason))
    if error is None:
        assert model.generate("Hi", schema=City).parsed is None
    else:
        with pytest.raises(error) as caught:
            model.generate("Hi", schema=City)
        assert caught.value.partial == text


def test_calls_are_no_answer_yet():
    """An answer that calls tools has no value yet, whatever its reason is called, and is not cut as one."""
    for reason in ("stop", "length", "tool_calls"):
        made = Response(assistant("{", ToolCall("a", "f")), reason)
        assert Saying(made).generate("Hi", schema=City, tools=[Tool("f")]).parsed is None


def test_calls_that_nobody_offered():
    """A model that calls a tool where none was offered has not answered, and may be asked again."""
    made = Response(assistant(ToolCall("a", "f")), "tool_calls")
    for ask in (lambda model: model.generate, lambda model: lambda *a, **k: list(model.stream(*a, **k))):
        with pytest.raises(ProtocolError, match="a tool that was not offered"):
            ask(Saying(made))("Hi", schema=City)
    assert Saying(made, GOOD).generate("Hi", schema=City, schema_retries=1).parsed == OSLO


def test_a_value_that_was_read_already_stays():
    """A model that reads its own answer is believed."""
    made = Response(assistant("so"), parsed=OSLO)
    assert Saying(made).generate("Hi", schema=City).parsed is OSLO


def test_the_type_is_checked_before_anything_is_sent():
    """A type without a schema, and what is no schema, is refused when the request is made."""
    model = Saying(GOOD)
    for odd in (bytes, 7, "object", [SCHEMA]):
        with pytest.raises(TypeError):
            model.generate("Hi", schema=odd)
    assert model.requests == []


# --- in a chain


@pytest.mark.parametrize("bad", [BAD, "Sure!", ""], ids=["misfit", "no JSON", "nothing"])
def test_a_chain_moves_on(bad):
    """A target that misses the schema is passed by, keeps its health, and is not asked again in this call."""
    lab = Lab({"a": bad, "b": GOOD})
    for _ in range(2):
        response = lab.chain.generate("Hi", schema=City)
        assert response.parsed == OSLO
        assert outcomes(response.attempts) == [("a", "failed", "invalid"), ("b", "answered", None)]
    assert lab.cooldowns() == {}
    assert lab.clock.slept == []


def test_a_chain_that_finds_none():
    """When nobody keeps to the schema, each says why; a lone target raises its own error."""
    with pytest.raises(ChainError, match="people: expected integer") as caught:
        Lab({"a": BAD, "b": "Sure!"}).chain.generate("Hi", schema=City)
    assert outcomes(caught.value.attempts) == [("a", "failed", "invalid"), ("b", "failed", "invalid")]
    with pytest.raises(ProtocolError) as alone:
        Lab({"a": BAD}).chain.generate("Hi", schema=City)
    assert alone.value.target == "lab/a"
    assert str(pickle.loads(pickle.dumps(alone.value))) == f"lab/a: {WRONG}"


def test_a_cut_answer_moves_on_too():
    """An answer that was cut by its length goes on to the next target."""
    with FakeServer(Reply(GOOD, stop_reason="length"), Reply(GOOD)) as server:
        model = Registry({"LLM_BOX": server.dsn()}).parse("box/a, box/b")
        response = model.generate("Hi", schema=City)
    assert response.parsed == OSLO
    assert [(a.target, a.outcome) for a in response.attempts] == [("box/a", "failed"), ("box/b", "answered")]


def test_a_stream_that_misses():
    """A stream has handed out its text: the mismatch is raised at its end, and nobody else is asked."""
    lab = Lab({"a": [[BAD[:10], BAD[10:]]], "b": GOOD})
    seen = []
    with pytest.raises(ProtocolError, match="people") as caught:
        for event in lab.chain.stream("Hi", schema=City):
            seen.append(event)
    assert "".join(event.text for event in seen) == BAD
    assert caught.value.partial == BAD
    assert outcomes(caught.value.attempts) == [("a", "failed", "invalid")]


def test_a_stream_gives_the_value_at_its_end():
    """Text comes meanwhile; the last event has the value."""
    lab = Lab({"a": [[GOOD[:10], GOOD[10:]]]})
    events = list(lab.chain.stream("Hi", schema=City))
    assert [type(event) for event in events] == [TextDelta, TextDelta, Done]
    assert events[-1].response.parsed == OSLO


class Stranger:
    """A target that is no Model, and has a `generate` all the same."""

    name, base_url = "stranger/m", ""

    def __init__(self, *answers):
        self.answers = list(answers)

    def generate(self, request, *, timeout=None):
        return Response(assistant(self.answers.pop(0)))

    def stream(self, request, *, timeout=None):
        yield Done(Response(assistant(self.answers.pop(0))))


def test_a_target_that_is_no_model():
    """Whatever answers in a chain is held to the schema."""
    lab = Lab({"b": GOOD})
    lab.targets["a"] = Stranger(BAD, BAD)
    chain = lab.parse("a", "b")
    assert chain.generate("Hi", schema=City).parsed == OSLO
    with chain.stream("Hi", schema=City) as stream:
        list(stream)
    assert stream.response.parsed == OSLO


# --- asked again


def test_asked_again():
    """With `schema_retries` the same target is asked again, and shown its answer and what is wrong with it."""
    model = Saying("Sure!", BAD, GOOD)
    response = model.generate("Which city?", schema=City, schema_retries=2)
    assert response.parsed == OSLO
    first, second, third = model.requests
    assert first.messages == (user("Which city?"),)
    assert [message.role for message in third.messages] == ["user", "assistant", "user", "assistant", "user"]
    assert second.messages[1] == assistant("Sure!")
    assert third.messages[3] == assistant(BAD)
    assert WRONG in third.messages[4].text
    assert [warning.partition(":")[0] for warning in response.warnings] == ["schema", "schema"]
    assert WRONG in response.warnings[1]


def test_what_asking_again_costs():
    """The usage is that of all answers, unknown where one does not say; an error says what its answer cost."""
    answers = [Response(assistant(text), usage=Usage(10, 5)) for text in (BAD, GOOD)]
    assert Saying(*answers).generate("Hi", schema=City, schema_retries=1).usage == Usage(20, 10)
    with pytest.raises(ProtocolError) as caught:
        Saying(*answers).generate("Hi", schema=City)
    assert caught.value.usage == Usage(10, 5)
    with pytest.raises(ProtocolError) as caught:
        Saying(*answers[:1] * 2).generate("Hi", schema=City, schema_retries=1)
    assert caught.value.usage == Usage(20, 10)


def test_asked_again_in_vain():
    """A target is asked as often as was said, and then its last answer counts."""
    model = Saying("Sure!", BAD, GOOD)
    with pytest.raises(ProtocolError, match="people") as caught:
        model.generate("Hi", schema=City, schema_retries=1)
    assert caught.value.partial == BAD
    assert len(model.requests) == 2


def test_asked_again_in_a_chain():
    """Each target has its own chance to mend its answer, with the conversation as it was."""
    lab = Lab({"a": ["no", "still no"], "b": [BAD, GOOD]})
    response = lab.chain.generate("Hi", schema=City, schema_retries=1)
    assert response.parsed == OSLO
    assert outcomes(response.attempts) == [("a", "failed", "invalid"), ("b", "answered", None)]
    assert lab.asked == ["a", "a", "b", "b"]
    assert lab.targets["b"].requests[0].messages == (user("Hi"),)


def test_asked_again_over_a_wire():
    """What a server is shown: its own answer, and what is wrong."""
    with FakeServer(Reply(BAD), Reply(GOOD)) as server:
        response = (
            Registry({"LLM_BOX": server.dsn()}, retries=0).parse("box/m").generate("Hi", schema=City, schema_retries=1)
        )
        messages = server.requests[1].json["messages"]
    assert response.parsed == OSLO
    assert [(message["role"], message["content"][: len(BAD)]) for message in messages] == [
        ("user", "Hi"),
        ("assistant", BAD),
        ("user", messages[2]["content"][: len(BAD)]),
    ]
    assert "people: expected integer" in messages[2]["content"]


def test_other_failures_are_not_asked_again():
    """An answer that was cut, or an error of the server, is not mended by showing it."""
    for failure in (Response(assistant("{"), "length"),):
        model = Saying(failure, GOOD)
        with pytest.raises(TruncatedError):
            model.generate("Hi", schema=City, schema_retries=3)
        assert len(model.requests) == 1


def test_asking_again_keeps_the_deadline():
    """All that is asked for one answer has one timeout."""
    lab = Lab({"a": lambda: None})
    lab.targets["a"].script = [Takes(4, BAD)]
    with pytest.raises(DeadlineError):
        lab.chain.generate("Hi", schema=City, schema_retries=1000, timeout=10)
    assert len(lab.asked) <= 3


@pytest.mark.parametrize("odd", [-1, True, "1", 1.5, None])
def test_odd_numbers_of_retries(odd):
    """`schema_retries` is a whole number from 0."""
    with pytest.raises(MajordomoError):
        Request("Hi", schema=City, schema_retries=odd)


# --- kept


def test_a_request_in_json_keeps_the_schema():
    """Of a type its schema goes into JSON, and comes back as a dict."""
    request = Request("Hi", schema=list[City], schema_retries=2)
    again = Request.from_dict(json.loads(json.dumps(request.to_dict())))
    assert again.schema["properties"]["value"]["type"] == "array"
    assert again.schema_retries == 2


def test_a_response_in_json_keeps_the_value():
    """A value of a type goes into JSON as JSON."""
    response = Saying(GOOD).generate("Hi", schema=City)
    again = Response.from_dict(json.loads(json.dumps(response.to_dict())))
    assert again.parsed == {"name": "Oslo", "people": 700000}
    assert pickle.loads(pickle.dumps(response)).parsed == OSLO


def test_a_request_with_a_type_pickles():
    """A type is pickled by its name."""
    assert pickle.loads(pickle.dumps(Request("Hi", schema=City))).schema is City

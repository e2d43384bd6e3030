"""Behaviour that all models share: forms of a prompt, timeouts, streams, and what a user's own model gets for free."""

from __future__ import annotations

import gc
import json
import math

import pytest

from majordomo import (
    Capabilities,
    ConfigError,
    Done,
    MajordomoError,
    Message,
    Model,
    Provider,
    Request,
    Response,
    Stream,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    TransportError,
    UnsupportedError,
    assistant,
    user,
)

ANSWER = Response(Message("assistant", (Thinking("Hm."), Text("Hel"), Text("lo"), ToolCall("1", "look", {"at": "ü"}))))


class Whole(Model):
    """Can only give whole answers."""

    name = "mine/whole"

    def __init__(self, answer=ANSWER):
        self.answer, self.asked = answer, []

    def complete(self, request, deadline):
        self.asked.append((request, deadline))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Piecewise(Whole):
    """Streams what it is given, and notes when it is closed."""

    def __init__(self, *events):
        super().__init__()
        self.pieces, self.closed = events, False

    def events(self, request, deadline):
        self.asked.append((request, deadline))
        try:
            for event in self.pieces:
                if isinstance(event, BaseException):
                    raise event
                yield event
        finally:
            self.closed = True


PIECES = (ThinkingDelta("Hm."), TextDelta("Hel"), TextDelta("lo"), Done(ANSWER))


# Prompts and options


@pytest.mark.parametrize(
    ("prompt", "messages"),
    [
        ("Hi", (user("Hi"),)),
        (user("Hi"), (user("Hi"),)),
        ([user("Hi"), assistant("Yes?"), user("So")], (user("Hi"), assistant("Yes?"), user("So"))),
        (("Hi", assistant("Yes?"), "So"), (user("Hi"), assistant("Yes?"), user("So"))),
        ((message for message in [user("Hi")]), (user("Hi"),)),
        (Request("Hi"), (user("Hi"),)),
    ],
    ids=["str", "message", "list", "mixed tuple", "generator", "request"],
)
def test_a_prompt_has_many_forms(prompt, messages):
    """A str, a Message, a sequence of messages or a Request."""
    model = Whole()
    model.generate(prompt, max_tokens=5)
    request, _ = model.asked[0]
    assert (request.messages, request.max_tokens) == (messages, 5)


def test_options_are_laid_over_a_request():
    """They win, what they do not name stays, and the caller's request is not changed."""
    given, model = Request("Hi", max_tokens=5, seed=1), Whole()
    model.generate(given, max_tokens=9)
    assert model.asked[0][0] == Request("Hi", max_tokens=9, seed=1)
    assert given == Request("Hi", max_tokens=5, seed=1)


@pytest.mark.parametrize("ask", ["generate", "stream"])
@pytest.mark.parametrize(
    ("prompt", "options"),
    [
        (5, {}),
        (None, {}),
        ({"role": "user"}, {}),
        ([5], {}),
        ("Hi", {"max_token": 5}),
        ("Hi", {"messages": ()}),
        ("Hi", {"max_tokens": "5"}),
        ("Hi", {"reasoning": "hard"}),
        ("Hi", {"timeout": 0}),
        ("Hi", {"timeout": -1}),
        ("Hi", {"timeout": math.nan}),
        ("Hi", {"timeout": "5"}),
        ("Hi", {"timeout": True}),
    ],
)
def test_what_no_model_could_take_is_refused_at_the_call(ask, prompt, options):
    """A ConfigError before anything is sent; for a stream too, not at its first event."""
    model = Whole()
    with pytest.raises(ConfigError):
        getattr(model, ask)(prompt, **options)
    assert model.asked == []


@pytest.mark.parametrize(
    ("timeout", "span", "limit"),
    [(None, 600, "default"), (5, 5, "timeout"), (0.25, 0.25, "timeout"), (math.inf, math.inf, "timeout")],
)
@pytest.mark.parametrize("ask", [lambda m, **o: m.generate("Hi", **o), lambda m, **o: list(m.stream("Hi", **o))])
def test_a_timeout_becomes_a_deadline(ask, timeout, span, limit):
    """In seconds, ten minutes if none is given, for both ways to ask."""
    model = Whole()
    ask(model, timeout=timeout)
    deadline = model.asked[0][1]
    assert (deadline.span, deadline.limit) == (span, limit)


def test_a_model_has_its_own_default_timeout():
    """A class attribute, or one of the object."""
    model = Whole()
    model.default_timeout = 3600.0
    model.generate("Hi")
    assert model.asked[0][1].span == 3600


# Streams


def test_a_stream_gives_events_and_done_last():
    """`Done` carries the response, which the stream then has too."""
    stream = Piecewise(*PIECES).stream("Hi")
    assert tuple(stream) == PIECES
    assert stream.response is ANSWER


def test_text_deltas_are_the_text_alone():
    """No thinking, no tool calls; joined they are the answer's text."""
    with Piecewise(*PIECES).stream("Hi") as stream:
        assert list(stream.text_deltas()) == ["Hel", "lo"]
        assert stream.response.text == "Hello"


def test_text_deltas_go_on_where_the_reader_is():
    """A stream is read once, in whichever way."""
    stream = Piecewise(*PIECES).stream("Hi")
    assert next(stream) == ThinkingDelta("Hm.")
    assert next(stream) == TextDelta("Hel")
    assert list(stream.text_deltas()) == ["lo"]


@pytest.mark.parametrize("read", [0, 1, 3])
def test_the_response_before_the_end_is_an_error(read):
    """With a message that says what to do."""
    stream = Piecewise(*PIECES).stream("Hi")
    for _ in range(read):
        next(stream)
    with pytest.raises(MajordomoError, match="read it to its end"):
        stream.response  # noqa: B018
    stream.close()
    with pytest.raises(MajordomoError):
        stream.response  # noqa: B018


def test_the_response_of_a_stream_that_broke_is_an_error():
    """What had arrived is on the error that broke it."""
    stream = Piecewise(TextDelta("Hel"), TransportError("reset")).stream("Hi")
    with pytest.raises(TransportError):
        list(stream)
    with pytest.raises(MajordomoError):
        stream.response  # noqa: B018


def test_iterating_after_the_end_gives_nothing():
    """Again and again, and the response stays."""
    stream = Piecewise(*PIECES).stream("Hi")
    list(stream)
    for _ in range(2):
        assert list(stream) == []
        assert next(stream, "end") == "end"
        assert list(stream.text_deltas()) == []
    assert stream.response is ANSWER


def test_iterating_after_an_error_or_a_close_gives_nothing():
    """A broken stream does not begin anew."""
    model = Piecewise(TextDelta("Hel"), TransportError("reset"))
    stream = model.stream("Hi")
    with pytest.raises(TransportError):
        list(stream)
    assert list(stream) == []
    stream = model.stream("Hi")
    next(stream)
    stream.close()
    assert list(stream) == []
    assert len(model.asked) == 2


@pytest.mark.parametrize("read", [1, 2, 4])
def test_leaving_the_with_closes_the_stream(read):
    """Read to its end or not."""
    model = Piecewise(*PIECES)
    with model.stream("Hi") as stream:
        for _ in range(read):
            next(stream)
    assert model.closed


def test_leaving_the_with_by_an_exception_closes_and_passes_it_on():
    """The reader's own error is not swallowed."""
    model = Piecewise(*PIECES)
    with pytest.raises(ZeroDivisionError), model.stream("Hi") as stream:
        next(stream)
        1 // 0  # noqa: B018
    assert model.closed


def test_closing_twice_or_before_the_start_does_no_harm():
    """And sends nothing."""
    model = Piecewise(*PIECES)
    stream = model.stream("Hi")
    stream.close()
    stream.close()
    assert list(stream) == []
    assert model.asked == []


def test_nothing_is_sent_before_the_first_event_is_asked_for():
    """Not by the call, not by the `with`, not by `text_deltas`."""
    model = Piecewise(*PIECES)
    with model.stream("Hi") as stream:
        deltas = stream.text_deltas()
        assert model.asked == []
        assert next(deltas) == "Hel"
    assert len(model.asked) == 1


def test_a_forgotten_stream_is_closed():
    """By the garbage collector, without a word."""
    model = Piecewise(*PIECES)
    stream = model.stream("Hi")
    next(stream)
    del stream
    gc.collect()
    assert model.closed


def test_the_deadline_of_a_stream_begins_with_its_first_event():
    """Time between the call and the first `next` does not count."""
    model = Piecewise(*PIECES)
    first, second = model.stream("Hi", timeout=5), model.stream("Hi", timeout=5)
    next(second)
    next(first)
    (_, earlier), (_, later) = model.asked
    assert earlier.at <= later.at


# Models of one's own


def test_a_model_that_only_completes_streams_all_at_once():
    """Every part becomes its event, then comes `Done`."""
    with Whole().stream("Hi") as stream:
        *deltas, call, done = stream
        assert deltas == [ThinkingDelta("Hm."), TextDelta("Hel"), TextDelta("lo")]
        assert (call.index, call.id, call.name, json.loads(call.arguments)) == (0, "1", "look", {"at": "ü"})
        assert done == Done(ANSWER)
        assert stream.response is ANSWER


def test_tool_calls_that_are_streamed_all_at_once_have_an_index_each():
    """And their arguments as JSON text."""
    calls = (ToolCall("1", "look", {"at": "ü"}), Text("and"), ToolCall("2", "leap", {}))
    events = list(Whole(Response(Message("assistant", calls))).stream("Hi"))
    deltas = [event for event in events if type(event) is ToolCallDelta]
    assert [(d.index, d.id, d.name, json.loads(d.arguments)) for d in deltas] == [
        (0, "1", "look", {"at": "ü"}),
        (1, "2", "leap", {}),
    ]


def test_an_empty_answer_streams_as_done_alone():
    """Text is `""`, never None."""
    stream = Whole(Response(assistant())).stream("Hi")
    (event,) = list(stream)
    assert event.response.text == ""


def test_an_error_of_complete_reaches_the_reader_of_the_stream():
    """At the first event."""
    error = TransportError("reset")
    stream = Whole(error).stream("Hi")
    with pytest.raises(TransportError) as caught:
        next(stream)
    assert caught.value is error


def test_a_model_may_override_what_its_caller_sees():
    """`generate` alone: `complete` and `stream` follow from it."""

    class Old(Model):
        def generate(self, prompt, *, timeout=None, **options):
            self.timeout = timeout
            return ANSWER

    model = Old()
    stream = model.stream("Hi", timeout=5)
    assert "".join(stream.text_deltas()) == "Hello"
    assert 0 < model.timeout <= 5


def test_a_model_may_override_stream_alone():
    """Then what stands above gets its events, and the stream is closed."""
    inner = Piecewise(*PIECES)

    class Old(Model):
        def stream(self, prompt, *, timeout=None, **options):
            return inner.stream(prompt, timeout=timeout)

    events = Old().events(Request("Hi"), Whole()._deadline(5))
    assert next(events) == PIECES[0]
    events.close()
    assert inner.closed


def test_a_model_that_overrides_nothing_says_so():
    """Instead of calling itself for ever."""
    for ask in (lambda: Model().generate("Hi"), lambda: list(Model().stream("Hi"))):
        with pytest.raises(UnsupportedError, match="cannot answer"):
            ask()


@pytest.mark.parametrize(
    "ask",
    [lambda p: p.model("m"), lambda p: p.list_models(timeout=1), lambda p: p.image_model("m")],
    ids=["model", "list_models", "image_model"],
)
def test_a_provider_that_overrides_nothing_says_so(ask):
    """What it does not have is an UnsupportedError."""
    with pytest.raises(UnsupportedError):
        ask(Provider())


def test_defaults_of_a_model_promise_nothing():
    """No name, no known limits, a finite timeout."""
    model = Model()
    assert (model.name, model.capabilities, model.default_timeout) == ("", Capabilities(), 600.0)
    assert model.capabilities.supports_images


def test_reprs_are_short():
    """Class and name."""
    assert repr(Whole()) == "<Whole mine/whole>"
    provider = Provider()
    provider.name, provider.base_url = "mine", "https://h/v1"
    assert repr(provider) == "<Provider mine https://h/v1>"


def test_a_stream_can_be_made_of_any_iterator():
    """For whoever writes a `stream` of their own."""
    stream = Stream(iter(PIECES))
    assert list(stream.text_deltas()) == ["Hel", "lo"]
    stream.close()
    assert stream.response is ANSWER

"""Conversations: what is kept, what is dropped, and what goes to a file and back."""

from __future__ import annotations

import json

import pytest
from players import COLD, LOOK, OSLO, Piecewise, Plays, look, says, weather

from majordomo import (
    ConfigError,
    DeadlineError,
    Done,
    Image,
    Message,
    Registry,
    Request,
    Text,
    TextDelta,
    Thinking,
    Tool,
    ToolCall,
    ToolLoopError,
    ToolResult,
    TransportError,
    Usage,
    assistant,
    tool_result,
    user,
)
from majordomo.testing import RED, Reply
from majordomo.tools import Conversation

PICTURE = Image(RED)


def ask(talk, prompt, **options):
    return talk.ask(prompt, **options)


def stream(talk, prompt, **options):
    with talk.stream(prompt, **options) as events:
        for _ in events:
            pass
        return events.response


both = pytest.mark.parametrize("ask", [ask, stream], ids=["whole", "stream"])


# --- what is kept


@both
def test_questions_and_answers_are_remembered(ask):
    """Each question is sent with all that was said before, and the system prompt."""
    model = Plays(says("Oslo."), says("700,000."))
    talk = Conversation(model, "Be brief.")
    first = ask(talk, "The capital of Norway?")
    second = ask(talk, [user("How many people", "live there?")], seed=7)
    assert [request.messages for request in model.requests] == [second.messages[:1], second.messages[:3]]
    assert talk.messages == second.messages
    assert first.messages == second.messages[:2]
    assert [message.text for message in talk.messages] == [
        "The capital of Norway?",
        "Oslo.",
        "How many peoplelive there?",
        "700,000.",
    ]
    assert [(request.system, request.seed) for request in model.requests] == [("Be brief.", None), ("Be brief.", 7)]


@both
def test_tools_and_their_results_are_remembered(ask):
    """With tools a question is a whole loop, of which everything stays."""
    heard = []
    model = Plays(says(LOOK), COLD, says("Yes."))
    talk = Conversation(model, tools=[look], on_tool=lambda call, result: heard.append(call.id))
    assert ask(talk, "Coat?").text == "Take a coat."
    assert [message.role for message in talk.messages] == ["user", "assistant", "tool", "assistant"]
    ask(talk, "Sure?")
    assert model.requests[-1].messages == talk.messages[:-1]
    assert heard == ["c"]


@both
def test_without_tools_a_call_is_only_an_answer(ask):
    """A model that calls what nobody offered is not asked again."""
    talk = Conversation(Plays(says("Hm.", LOOK)))
    assert ask(talk, "Coat?").tool_calls == (LOOK,)
    assert len(talk.messages) == 2


@both
def test_options_are_for_one_question(ask):
    """They are laid over what the conversation has, which stays."""
    model = Plays(says('{"coat": true}'), COLD)
    talk = Conversation(model, "Be brief.", [look])
    reply = ask(talk, "Coat?", system="As JSON.", tools=(), schema={"type": "object"}, timeout=50)
    assert reply.parsed == {"coat": True}
    ask(talk, "Coat?")
    first, second = model.requests
    assert (first.system, first.tools, first.schema is None) == ("As JSON.", (), False)
    assert (second.system, [tool.name for tool in second.tools], second.schema) == ("Be brief.", ["look"], None)
    assert [deadline.limit for deadline in model.deadlines] == ["timeout", "default"]


@both
@pytest.mark.parametrize(
    ("script", "error", "roles"),
    [
        ([TransportError("gone")], TransportError, ["user"]),
        ([says(LOOK), TransportError("gone")], TransportError, ["user", "assistant", "tool"]),
        ([says(LOOK), says(LOOK)], ToolLoopError, ["user", "assistant", "tool", "assistant"]),
        ([says(LOOK), DeadlineError("slow")], DeadlineError, ["user", "assistant", "tool"]),
    ],
)
def test_a_question_that_fails_leaves_no_trace(ask, script, error, roles):
    """The conversation is as it was, can be asked again, and the error has what happened."""
    talk = Conversation(Plays(says("Hello."), *script, COLD), tools=[look], max_turns=2)
    ask(talk, "Hi")
    before = talk.messages
    with pytest.raises(error) as caught:
        ask(talk, "Coat?")
    assert talk.messages is before
    assert [message.role for message in caught.value.messages[2:]] == roles
    assert ask(talk, "Coat?").messages == (*before, user("Coat?"), COLD.message)


def test_a_stream_is_kept_when_it_has_ended():
    """At its last event, and not when it is left before; nothing is sent before the first."""
    model = Piecewise(*[[TextDelta("Take a "), TextDelta("coat."), Done(COLD)]] * 2)
    talk = Conversation(model)
    events = talk.stream("Coat?")
    assert (model.requests, talk.messages) == ([], ())
    with events:
        next(events)
    assert (model.closed, talk.messages) == (1, ())
    for event in talk.stream("Coat?"):
        assert bool(talk.messages) is isinstance(event, Done)


def test_streams_that_are_begun_late():
    """What is sent is the conversation as it is when the first event is asked for."""
    talk = Conversation(Plays(says("One."), says("Two.")))
    first, second = talk.stream("First?"), talk.stream("Second?")
    list(first)
    list(second)
    assert [message.text for message in talk.messages] == ["First?", "One.", "Second?", "Two."]


def test_what_it_is_asked_with_may_change():
    """Another model goes on with the same conversation, with other tools, another prompt, other memories."""
    talk = Conversation(Plays(says("Hello.")), "Be brief.")
    talk.ask("Hi")
    talk.model, talk.system, talk.tools = Plays(says(LOOK), COLD), None, [look]
    talk.messages = [user("So?"), assistant("So what?")]
    talk.ask("Coat?")
    (first, _) = talk.model.requests
    assert (first.system, first.messages[0].text, len(talk.messages)) == (None, "So?", 6)
    with pytest.raises(ConfigError):
        talk.messages = [{"role": "user"}]
    assert len(talk.messages) == 6


@pytest.mark.parametrize("settings", [{"model": "box/m"}, {"system": 5}, {"tools": [Tool("look")]}, {"tools": look}])
def test_what_cannot_work_is_refused_when_it_is_made(settings):
    """Not at the first question."""
    with pytest.raises(ConfigError):
        Conversation(**{"model": Plays(), **settings})
    for name in ("token_budget", "max_turns", "workers"):
        with pytest.raises(ConfigError, match=name):
            Conversation(Plays(), **{name: 0})


@pytest.mark.parametrize("how", ["ask", "stream"])
@pytest.mark.parametrize(
    ("prompt", "options"),
    [
        ([], {}),
        (5, {}),
        (Request("Hi"), {}),
        ("Hi", {"timeout": 0}),
        ("Hi", {"max_token": 5}),
        ("Hi", {"messages": ()}),
    ],
)
def test_what_cannot_be_asked_is_refused_at_the_call(how, prompt, options):
    """Before anything is sent, for a stream too."""
    talk = Conversation(Plays())
    with pytest.raises(ConfigError):
        getattr(talk, how)(prompt, **options)
    assert (talk.model.requests, talk.messages) == ([], ())


# --- a budget of tokens


def sent(model):
    """What the last request said, message by message."""
    return [message.text or message.role for message in model.requests[-1].messages]


WORDS = "word " * 80  # 400 bytes, about 100 tokens


@both
def test_the_oldest_turns_are_dropped(ask):
    """As many as must be, so that the rest fits; they are gone from the conversation too."""
    model = Plays(*[says("ok")] * 9)
    talk = Conversation(model, token_budget=350)
    for number in range(9):
        ask(talk, f"{number} {WORDS}")
        assert [text.split()[0] for text in sent(model)[::2]] == [str(n) for n in range(max(0, number - 2), number + 1)]
        assert talk.messages[:-1] == model.requests[-1].messages


def test_a_turn_is_dropped_whole():
    """With its calls and their results, of which none is ever sent without the other."""
    talk = Conversation(Plays(says(OSLO, LOOK), says(LOOK), COLD, says("Fine."), says("Bye.")), tools=[look, weather])
    talk.ask(WORDS)
    talk.ask("Thanks.")
    assert len(talk.messages) == 8
    talk.token_budget = 100
    talk.ask("Bye.")
    assert sent(talk.model) == ["Thanks.", "Fine.", "Bye."]


def test_what_belongs_together_is_not_torn():
    """A user's message that holds a result begins no turn, and a question that is one keeps its call."""
    inline = [user(WORDS), assistant(LOOK), user(ToolResult("c", (Text("Snow."),))), assistant("Cold.")]
    talk = Conversation(Plays(says("ok"), says("ok")), token_budget=50)
    talk.messages = [*inline, user("So?"), assistant(OSLO)]
    talk.ask(tool_result(OSLO, WORDS))
    assert [message.role for message in talk.model.requests[0].messages] == ["user", "assistant", "tool"]
    talk.messages = inline
    talk.ask("So?")
    assert sent(talk.model) == ["So?"]


@both
def test_the_question_is_always_sent(ask):
    """However long it is, in however many messages."""
    model = Plays(says("ok"), says("ok"))
    talk = Conversation(model, "Be brief.", token_budget=1)
    ask(talk, WORDS)
    ask(talk, [user(WORDS), assistant("Hm."), user("So?")])
    assert sent(model) == [WORDS, "Hm.", "So?"]


def test_a_question_that_fails_drops_nothing():
    """What was left out of it is still there for the next one."""
    talk = Conversation(Plays(says("ok"), TransportError("gone")), token_budget=120)
    talk.ask(WORDS)
    with pytest.raises(TransportError) as caught:
        talk.ask(WORDS)
    assert len(caught.value.messages) == 1
    assert len(talk.messages) == 2


LONG = {
    "text": [user("x" * 4000)],
    "text of more bytes": [user("字" * 1400)],
    "an answer": [user("Hi"), assistant("x" * 4000)],
    "thinking": [user("Hi"), assistant(Thinking("x" * 4000))],
    "a call": [user("Hi"), assistant(ToolCall("a", "weather", {"city": "x" * 4000}))],
    "a call of no JSON": [user("Hi"), assistant(ToolCall("a", "weather", malformed="x" * 4000))],
    "a call that cannot be sent": [user("x" * 4000), assistant(ToolCall("a", "weather", {"city": object()}))],
    "a result": [user("Hi"), assistant(LOOK), tool_result(LOOK, "x" * 4000)],
    "a picture": [user(PICTURE)],
    "a picture in a result": [user("Hi"), assistant(LOOK), tool_result(LOOK, PICTURE)],
    "what is no text": [user("\udcff" * 1400)],
}


@pytest.mark.parametrize("messages", LONG.values(), ids=LONG)
def test_everything_counts(messages):
    """About a thousand tokens each, which fit 1,500 and not 900; the estimate is of bytes, a flat sum for a picture."""
    for budget, kept in ((1500, len(messages)), (900, 0)):
        talk = Conversation(Plays(says("ok")), token_budget=budget)
        talk.messages = messages
        talk.ask("So?")
        assert talk.messages[:kept] == tuple(messages)[:kept]
        assert len(talk.messages) == kept + 2


@pytest.mark.parametrize(
    "settings",
    [
        {"system": "x" * 4000},
        {"tools": [Tool("t", "x" * 4000, function=look)]},
        {"tools": [Tool("t", "", {"x": "x" * 4000}, look)]},
    ],
    ids=["system", "description", "parameters"],
)
def test_what_is_sent_each_time_counts_too(settings):
    """The system prompt and the tools leave the messages what they leave."""
    for budget, kept in ((1100, 2), (900, 0)):
        talk = Conversation(Plays(says("ok")), token_budget=budget, **settings)
        talk.messages = [user("Hi"), assistant("Hello.")]
        talk.ask("So?")
        assert len(talk.messages) == kept + 2


@both
@pytest.mark.parametrize(
    ("told", "turns"),
    [(None, 4), (1, 4), (90, 4), (208, 2), (10**9, 1)],
    ids=["nothing", "less", "as much", "double", "absurd"],
)
def test_the_estimate_learns_from_the_server(ask, told, turns):
    """What an answer says of its input is the measure of the next question; upwards only, and four times at most."""
    model = Plays(says("ok", usage=Usage(told, 1)), says("ok"))
    talk = Conversation(model, token_budget=470)
    ask(talk, WORDS)
    talk.messages = [message for _ in range(6) for message in (user(WORDS), assistant("ok"))]
    ask(talk, "So?")
    assert len(sent(model)) == 2 * turns + 1


def test_of_a_loop_the_last_turn_is_the_measure():
    """Tokens of all turns together would make each message look far too dear."""
    usage = Usage(120, 1)
    model = Plays(says(LOOK, usage=usage), says(LOOK, usage=usage), says("ok", usage=usage), says("ok"))
    talk = Conversation(model, tools=[look], token_budget=400)
    assert talk.ask(WORDS).usage.input_tokens == 360
    talk.ask(WORDS)
    assert len(sent(model)) == 7


def test_a_long_conversation_is_looked_at_once(monkeypatch):
    """Messages that were measured are not measured again, however many questions follow."""
    from majordomo import _budget

    measured, tokens_of = [], _budget._tokens_of
    monkeypatch.setattr(_budget, "_tokens_of", lambda part: measured.append(part) or tokens_of(part))
    talk = Conversation(Plays(*[says("ok", usage=Usage(5, 1)) for _ in range(200)]), token_budget=10**6)
    for number in range(200):
        talk.ask(f"{number}")
    assert len(measured) < 450


# --- to a file and back


def test_a_conversation_goes_to_text_and_back():
    """System prompt, messages with pictures, signatures and origins, and the budget; and it goes on."""
    talk = Conversation(Plays(says(Thinking("Hm.", "sig"), LOOK), COLD), "Be brief.", [look], token_budget=5000)
    talk.ask(user("Coat?", PICTURE, "a\udcff"))
    text = talk.to_json()
    assert text.isascii()
    assert json.loads(text)["version"] == 1
    again = Conversation.from_json(text, Plays(says("Bye.")), [look], max_turns=3)
    assert (again.messages, again.system, again.token_budget) == (talk.messages, "Be brief.", 5000)
    assert (again.max_turns, [tool.name for tool in again.tools]) == (3, ["look"])
    assert [message.origin for message in again.messages] == [None, "mine/m", None, "mine/m"]
    assert again.messages[1].parts[0].signature == "sig"
    assert again.to_json() == text
    assert again.ask("Bye.").messages[:4] == talk.messages


def test_a_new_conversation_goes_to_text_and_back():
    """One in which nothing was said yet."""
    again = Conversation.from_json(Conversation(Plays()).to_json(), Plays())
    assert (again.messages, again.system, again.token_budget, again.tools) == ((), None, None, ())


GOOD = {"version": 1, "system": None, "token_budget": None, "messages": [{"role": "user", "parts": []}]}


def message(**part):
    return {"messages": [{"role": "user", "parts": [part]}]}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello",
        "null",
        "[]",
        "7",
        "{}",
        '{"version": 1, "messages": [NaN]}',
        "[" * 100_000,
        b"\xff\xfe\xff",
        None,
        5,
        *[
            json.dumps({**GOOD, **change})
            for change in (
                {"version": 2},
                {"version": []},
                {"version": None},
                {"system": 5},
                {"token_budget": 0},
                {"token_budget": "5"},
                {"messages": None},
                {"messages": {}},
                {"messages": "ab"},
                {"messages": [5]},
                {"messages": [[]]},
                {"messages": [{}]},
                {"messages": [{"role": "system", "parts": []}]},
                {"messages": [{"role": [], "parts": []}]},
                {"messages": [{"role": "user", "parts": 5}]},
                {"messages": [{"role": "user", "parts": [5]}]},
                message(),
                message(type="nothing"),
                message(type=[]),
                message(type="text"),
                message(type="text", text=5),
                message(type="text", text="a", colour="red"),
                message(type="image", data="!"),
                message(type="image", data="aGVsbG8=", mime=""),
                message(type="tool_call", id="a", name="b", arguments=[]),
                message(type="tool_result", call_id="a", parts=[{"type": "thinking", "text": "a"}]),
            )
        ],
    ],
    ids=lambda text: repr(text)[:60],
)
def test_what_is_no_conversation(text):
    """Whatever else stands in the file, it is a ConfigError, and nothing is made of it."""
    with pytest.raises(ConfigError):
        Conversation.from_json(text, Plays())


def test_the_good_one_among_them():
    """The rows above are refused for what they change."""
    assert Conversation.from_json(json.dumps(GOOD), Plays()).messages == (Message("user", ()),)


# --- over the wire


@pytest.mark.parametrize("scheme", ["llama-swap", "openai-responses", "anthropic", "google", "ollama"])
def test_over_every_wire(server, scheme):
    """Asked, kept, read from a file and asked again, the conversation is the server's to read."""
    server.add(Reply("Hm.", tool_calls=[OSLO]), Reply("A coat."), Reply("You are welcome."))
    model = Registry({"LLM_BOX": server.dsn(scheme)}).parse("box/any")
    talk = Conversation(model, "Be brief.", [weather])
    assert stream(talk, "Coat?", timeout=50).text == "A coat."
    again = Conversation.from_json(talk.to_json(), model, [weather])
    assert again.ask("Thanks.", timeout=50).text == "You are welcome."
    last = server.requests[-1].body
    for words in (b"Be brief.", b"Coat?", b"Oslo, 1: -3 degrees", b"A coat.", b"Thanks."):
        assert words in last


def test_a_question_within_a_question():
    """A conversation takes one question at a time: a tool that asks it is told so."""
    model = Plays(says(ToolCall("a", "ask", {})), says("So."), says("So."))

    def ask():
        return talk.ask("And?").text

    talk = Conversation(model, tools=[ask])
    reply = talk.ask("Well?")
    assert "one question has to end" in reply.messages[2].parts[0].text
    assert talk.ask("Still there?").text == "So."

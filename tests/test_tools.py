"""The tool loop: what is carried out, what goes back to the model, what comes out at the end, and when it ends.

Most rows are played by a model that follows a script; whole answers and streams are one
loop, and `both` asks in either way.
"""

from __future__ import annotations

import contextvars
import datetime
import decimal
import enum
import itertools
import math
import pathlib
import pickle
import signal
import subprocess
import sys
import threading
import uuid

import pytest
from helpers import Clock
from players import BERGEN, COLD, LOOK, OSLO, Piecewise, Plays, look, says, weather

import majordomo
from majordomo import (
    Attempt,
    ChainError,
    ConfigError,
    DeadlineError,
    Done,
    Image,
    Message,
    ProtocolError,
    Provider,
    Registry,
    Request,
    Text,
    TextDelta,
    Thinking,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolLoopError,
    ToolResult,
    TransportError,
    TruncatedError,
    Usage,
    user,
)
from majordomo.testing import RED, FakeServer, Reply, Status
from majordomo.tools import run_tools, stream_tools

PICTURE = Image(RED)


def streamed(model, prompt, tools, **options):
    """What `run_tools` gives, by way of a stream."""
    with stream_tools(model, prompt, tools, **options) as stream:
        for _ in stream:
            pass
        return stream.response


both = pytest.mark.parametrize("run", [run_tools, streamed], ids=["whole", "stream"])
workers = pytest.mark.parametrize("workers", [1, 3])


def result_of(call, function):
    """What goes back to the model for one call of a function."""
    model = Plays(says(call), COLD)
    reply = run_tools(model, "Coat?", [Tool(call.name, function=function)])
    (result,) = reply.messages[2].parts
    assert model.requests[1].messages == reply.messages[:3]
    return result


# --- the loop


@both
def test_an_answer_without_calls_ends_it(run):
    """The model is asked once, and told of the tools."""
    model = Plays(COLD)
    reply = run(model, "Coat?", [weather, look], system="Be brief.", max_tokens=99)
    assert (reply.text, reply.messages) == ("Take a coat.", (user("Coat?"), COLD.message))
    (request,) = model.requests
    assert [tool.name for tool in request.tools] == ["weather", "look"]
    assert (request.system, request.max_tokens) == ("Be brief.", 99)


@both
@workers
def test_calls_are_carried_out_and_their_results_sent_back(run, workers):
    """All results of a turn in one message, in the order of the calls; then the model is asked again."""
    first, second = says(Thinking("Hm.", "sig"), "Let me see.", OSLO, BERGEN), says(LOOK)
    model = Plays(first, second, COLD)
    reply = run(model, "Coat?", [weather, look], workers=workers, seed=7)
    both_cities = (
        ToolResult("a", (Text("Oslo, 1: -3 degrees"),)),
        ToolResult("b", (Text("Bergen, 1: -3 degrees"),)),
    )
    assert reply.messages == (
        user("Coat?"),
        first.message,
        Message("tool", both_cities),
        second.message,
        Message("tool", (ToolResult("c", (Text("Snow."),)),)),
        COLD.message,
    )
    assert [request.messages for request in model.requests] == [reply.messages[:n] for n in (1, 3, 5)]
    assert {(request.seed, len(request.tools)) for request in model.requests} == {(7, 2)}
    assert [message.origin for message in reply.messages if message.role == "assistant"] == ["mine/m"] * 3


@both
def test_the_response_tells_of_all_turns(run):
    """Attempts and tokens of every turn, each warning once; the rest is the last answer's."""
    tries = [Attempt("mine/a", "failed", error="x"), Attempt("mine/b", "answered"), Attempt("mine/c", "answered")]
    model = Plays(
        says(LOOK, attempts=tries[:2], warnings=["seed: left out", "stop: left out"], usage=Usage(10, 5, 2, None)),
        says("Cold.", attempts=tries[2:], warnings=["seed: left out"], usage=Usage(20, 7, 3, 4), model="mine/c"),
    )
    reply = run(model, "Coat?", [look])
    assert reply.attempts == tuple(tries)
    assert reply.warnings == ("seed: left out", "stop: left out")
    assert reply.usage == Usage(30, 12, 5, None)
    assert (reply.text, reply.model, reply.stop_reason) == ("Cold.", "mine/c", "stop")


@both
@pytest.mark.parametrize(
    "prompt",
    [
        "Coat?",
        user("Coat?"),
        [user("Coat?")],
        Request("Coat?", tools=(Tool("other", function=look),)),
    ],
    ids=["str", "message", "list", "request"],
)
def test_a_prompt_has_many_forms(run, prompt):
    """As for generate; the tools that are given win over those of a request."""
    model = Plays(says(LOOK), COLD)
    reply = run(model, prompt, [look])
    assert (reply.messages[0], reply.messages[2].parts[0].parts) == (user("Coat?"), (Text("Snow."),))


@both
def test_tools_of_a_request_do(run):
    """Who has them in the request need not say them twice."""
    reply = run(Plays(says(LOOK), COLD), Request("Coat?", tools=[look]), [])
    assert reply.messages[2].parts[0].parts == (Text("Snow."),)


def test_tools_are_functions_or_tools_with_one():
    """A tool that is described by hand has its function called with the arguments by name."""
    by_hand = Tool("weather", "By hand.", {"type": "object", "properties": {"city": {}}}, function=weather)
    model = Plays(says(OSLO, LOOK), COLD)
    reply = run_tools(model, "Coat?", (by_hand, look))
    assert [part.parts[0].text for part in reply.messages[2].parts] == ["Oslo, 1: -3 degrees", "Snow."]
    assert model.requests[0].tools[0] is by_hand


def untyped(thing: threading.Thread):
    """Takes what no model could give."""


@pytest.mark.parametrize("start", [run_tools, stream_tools])
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"tools": []}, ConfigError, "no tools"),
        ({"tools": [Tool("look")]}, ConfigError, "look has no function"),
        ({"tools": [look, Tool("look", function=weather)]}, ConfigError, "two tools are named look"),
        ({"tools": look}, ConfigError, "brackets"),
        ({"tools": [5]}, ConfigError, "int"),
        ({"tools": [untyped]}, TypeError, "thing"),
        ({"prompt": []}, ConfigError, "message"),
        ({"model": "box/qwen3"}, ConfigError, "parse"),
        ({"max_turns": 0}, ConfigError, "max_turns"),
        ({"max_turns": 2.0}, ConfigError, "max_turns"),
        ({"max_turns": True}, ConfigError, "max_turns"),
        ({"workers": 0}, ConfigError, "workers"),
        ({"workers": None}, ConfigError, "workers"),
        ({"timeout": 0}, ConfigError, "timeout"),
        ({"timeout": "5"}, ConfigError, "timeout"),
        ({"on_tool": "print"}, ConfigError, "on_tool"),
        ({"max_token": 5}, ConfigError, "max_token"),
        ({"tool_choice": "nobody"}, ConfigError, "tool_choice"),
    ],
)
def test_what_cannot_work_is_refused_at_the_call(start, change, error, words):
    """Before anything is sent; for a stream too, not at its first event."""
    model = Plays()
    given = {"model": model, "prompt": "Coat?", "tools": [look], **change}
    with pytest.raises(error, match=words):
        start(given.pop("model"), given.pop("prompt"), given.pop("tools"), **given)
    assert model.requests == []


@both
@pytest.mark.parametrize("reason", ["refusal", "content_filter"])
def test_calls_of_a_declined_answer_are_not_carried_out(run, reason):
    """Whoever refuses does not mean its calls, and what a filter has cut is not whole."""
    called = []
    reply = run(
        Plays(says("No.", LOOK, stop_reason=reason)), "Coat?", [Tool("look", function=lambda: called.append(1))]
    )
    assert (reply.stop_reason, len(reply.messages), called) == (reason, 2, [])


@both
def test_of_an_answer_that_was_cut_whole_calls_are_carried_out(run):
    """The one in which it was cut comes back with a word on that, and the model may call it again."""
    cut = ToolCall("b", "weather", malformed='{"city": "Ber')
    reply = run(Plays(says(OSLO, cut, stop_reason="length"), COLD), "Coat?", [weather])
    whole, failed = reply.messages[2].parts
    assert (whole.is_error, failed.is_error) == (False, True)
    assert "cut" in failed.parts[0].text
    assert '{\\"city\\": \\"Ber' in failed.parts[0].text


@both
@pytest.mark.parametrize("choice", ["required", "look"])
def test_a_tool_that_must_be_called_must_be_called_once(run, choice):
    """Until the first call `tool_choice` holds, from then on it is `auto`, or no answer could ever come."""
    model = Plays(says(LOOK), says(LOOK), COLD)
    assert run(model, "Coat?", [look], tool_choice=choice).text == "Take a coat."
    assert [request.tool_choice for request in model.requests] == [choice, "auto", "auto"]


@both
def test_no_tool_is_run_that_was_not_to_be_called(run):
    """With `tool_choice="none"` an answer is the end, whatever it calls."""
    reply = run(Plays(says("Hm.", LOOK)), "Coat?", [look], tool_choice="none")
    assert (reply.text, len(reply.messages)) == ("Hm.", 2)


@both
def test_an_answer_to_a_schema(run):
    """The last answer is read; those with calls are no answers yet."""
    model = Plays(says(LOOK), says('{"coat": true}'))
    reply = run(model, "Coat?", [look], schema={"type": "object", "properties": {"coat": {"type": "boolean"}}})
    assert reply.parsed == {"coat": True}


@both
def test_an_answer_that_misses_its_schema(run):
    """The error has the conversation up to the results, so that nothing need be done twice."""
    with pytest.raises(ProtocolError) as caught:
        run(Plays(says(LOOK), says("Yes.")), "Coat?", [look], schema={"type": "object"})
    assert (caught.value.code, caught.value.partial) == ("schema_mismatch", "Yes.")
    assert [message.role for message in caught.value.messages] == ["user", "assistant", "tool"]


# --- what goes back


class Colour(str, enum.Enum):
    RED = "red"


GIVEN = {
    "text": ("Snow.", (Text("Snow."),)),
    "no text": ("", (Text(""),)),
    "an enum's text": (Colour.RED, (Text("red"),)),
    "nothing": (None, ()),
    "a part": (Text("Snow.", "sig"), (Text("Snow.", "sig"),)),
    "a picture": (PICTURE, (PICTURE,)),
    "a picture's bytes": (RED, (PICTURE,)),
    "a picture's bytes, not yet frozen": (bytearray(RED), (PICTURE,)),
    "parts and other things": (
        ["Look:", PICTURE, {"a": 1}, 5],
        (Text("Look:"), PICTURE, Text('{"a": 1}'), Text("5")),
    ),
    "text and bytes": (("Look:", RED), (Text("Look:"), PICTURE)),
    "a list": (["a", "b"], (Text('["a", "b"]'),)),
    "a list of nothing": ([], (Text("[]"),)),
    "an object": ({"town": "Ålesund", "wet": True}, (Text('{"town": "Ålesund", "wet": true}'),)),
    "a number": (-3.5, (Text("-3.5"),)),
    "no": (False, (Text("false"),)),
    "a date": (datetime.date(2026, 1, 2), (Text('"2026-01-02"'),)),
    "an amount": ({"price": decimal.Decimal("1.10")}, (Text('{"price": "1.10"}'),)),
    "a path": (pathlib.PurePosixPath("a/b"), (Text('"a/b"'),)),
    "an id": (uuid.UUID(int=1), (Text('"00000000-0000-0000-0000-000000000001"'),)),
    "a value": (
        Usage(1),
        (Text('{"input_tokens": 1, "output_tokens": null, "cached_tokens": null, "reasoning_tokens": null}'),),
    ),
    "a file name that is no text": ("a\udcff", (Text("a\\udcff"),)),
    "such a name in a list": (["a\udcff"], (Text('["a\\udcff"]'),)),
}


@pytest.mark.parametrize(("given", "parts"), GIVEN.values(), ids=GIVEN)
def test_what_a_tool_gives(given, parts):
    """Texts and pictures as they are, bytes that are a picture as one, all else as JSON that one can read."""
    result = result_of(LOOK, lambda: given)
    assert result == ToolResult("c", parts)
    assert {type(part.text) for part in result.parts if isinstance(part, Text)} <= {str}


def test_a_tool_may_give_its_own_result():
    """Its parts and whether it failed; whose call it answers is known here."""
    given = ToolResult("whatever", ("Closed.", PICTURE), is_error=True)
    assert result_of(LOOK, lambda: given) == ToolResult("c", (Text("Closed."), PICTURE), True)


class Loose:
    """Has no JSON form."""


class Mute(Exception):
    """Cannot even say what is wrong."""

    def __str__(self):
        raise RuntimeError


def fails(error):
    def tool():
        raise error

    return tool


RING: list = []
RING.append(RING)

FAILED = {
    "an exception": (fails(ValueError("no such town")), "ValueError: no such town"),
    "an exception without words": (fails(KeyError()), "KeyError"),
    "one that cannot be told": (fails(Mute()), "Mute"),
    "an error of ours": (fails(ConfigError("no key")), "ConfigError: no key"),
    "an error of ours that ends other loops": (fails(DeadlineError("too slow")), "DeadlineError: too slow"),
    "the end of an iteration": (fails(StopIteration(5)), "StopIteration: 5"),
    "no recursion left": (fails(RecursionError("too deep")), "RecursionError: too deep"),
    "no JSON form": (Loose, "what the tool gave cannot be told: TypeError: a Loose"),
    "no JSON form, far down": (
        lambda: {"a": [Loose()]},
        "what the tool gave cannot be told: TypeError: a Loose",
    ),
    "bytes": (lambda: b"abc", "what the tool gave cannot be told: UnsupportedError: these 3 bytes are no picture"),
    "itself": (lambda: RING, "what the tool gave cannot be told: "),
}


@pytest.mark.parametrize(("function", "text"), FAILED.values(), ids=FAILED)
def test_what_goes_wrong_in_a_tool_goes_to_the_model(function, text):
    """Type and message, without a traceback; the loop goes on."""
    result = result_of(LOOK, function)
    assert (result.call_id, result.is_error) == ("c", True)
    (part,) = result.parts
    assert part.text.startswith(text)
    assert "Traceback" not in part.text
    assert __file__ not in part.text


def test_what_goes_wrong_is_told_at_bearable_length():
    """A message of a megabyte would cost the rest of the conversation dearly."""
    (part,) = result_of(LOOK, fails(ValueError("x" * 1_000_000))).parts
    assert 3000 < len(part.text) <= 4000


CALLED = {
    "an unknown tool": (ToolCall("d", "lok"), 'there is no tool "lok"; the tools are weather, look'),
    "a tool without a name": (ToolCall("d", ""), 'there is no tool ""; the tools are weather, look'),
    "an absurd name": (ToolCall("d", "x\n" * 9999), 'there is no tool "x\\nx'),
    "no JSON": (ToolCall("d", "weather", malformed="Oslo, please"), "the arguments were cut, or are no JSON object"),
    "a wrong type": (ToolCall("d", "weather", {"city": 5}), "the arguments do not fit: city: expected string, got 5"),
    "wrong types": (
        ToolCall("d", "weather", {"city": True, "days": "two"}),
        "the arguments do not fit: city: expected string, got true; days: ",
    ),
    "an argument missing": (ToolCall("d", "weather"), "the arguments do not fit: city"),
    "an argument too many": (ToolCall("d", "look", {"far": True}), "the arguments do not fit: far"),
}


@both
@pytest.mark.parametrize(("call", "words"), CALLED.values(), ids=CALLED)
def test_what_is_wrong_with_a_call_goes_to_the_model(run, call, words):
    """It hears what to put right; no function is called, and its neighbours' results are not touched."""
    reply = run(Plays(says(LOOK, call), COLD), "Coat?", [weather, look])
    fine, failed = reply.messages[2].parts
    assert fine == ToolResult("c", (Text("Snow."),))
    assert (failed.call_id, failed.is_error) == ("d", True)
    assert failed.parts[0].text.startswith(words)
    assert len(failed.parts[0].text) < 300


def test_arguments_are_converted_as_the_signature_says():
    """A function that asks for a date gets one."""

    def opens(on: datetime.date) -> str:
        return on.strftime("%A")

    call = ToolCall("d", "opens", {"on": "2026-01-02"})
    reply = run_tools(Plays(says(call), COLD), "When?", [opens])
    assert reply.messages[2].parts[0].parts == (Text("Friday"),)


def test_a_function_may_spoil_its_arguments():
    """The conversation holds what the model said, whatever the function does with it."""

    def eat(things: list) -> int:
        things.clear()
        return len(things)

    call = ToolCall("d", "eat", {"things": [1, 2]})
    reply = run_tools(Plays(says(call), COLD), "Eat!", [eat])
    assert reply.messages[1].parts == (ToolCall("d", "eat", {"things": [1, 2]}),)


# --- models that mean no good


@both
def test_a_model_that_never_ends(run):
    """After `max_turns` answers ToolLoopError says what it wanted; the last calls are not carried out."""
    called = []
    model = Plays(
        *[says("Again.", LOOK, ToolCall("d", "nope"), model="mine/m", attempts=[Attempt("m", "answered")])] * 9
    )
    with pytest.raises(ToolLoopError) as caught:
        run(model, "Coat?", [Tool("look", function=lambda: called.append(1))], max_turns=3)
    error = caught.value
    assert str(error).startswith(
        "mine/m: no answer within 3 turns, and the model still asks for look, nope; raise max_t"
    )
    assert (len(model.requests), len(called), len(error.attempts)) == (3, 2, 3)
    assert [message.role for message in error.messages] == ["user", *["assistant", "tool"] * 2, "assistant"]
    assert error.partial == "Again."
    again = pickle.loads(pickle.dumps(error))
    assert (again.messages, again.attempts, str(again)) == (error.messages, error.attempts, str(error))


@both
@workers
def test_a_thousand_calls_in_one_answer(run, workers):
    """Each has its result, in order, and no more threads than workers are ever there."""
    most, before = [0], threading.active_count()

    def double(n: int) -> int:
        most[0] = max(most[0], threading.active_count() - before)
        return 2 * n

    calls = [ToolCall(f"call_{n}", "double", {"n": n}) for n in range(1000)]
    reply = run(Plays(says(*calls), COLD), "Count.", [double], workers=workers)
    results = reply.messages[2].parts
    assert [result.call_id for result in results] == [call.id for call in calls]
    assert [result.parts[0].text for result in results] == [str(2 * n) for n in range(1000)]
    assert most[0] <= (workers if workers > 1 else 0)


@both
def test_one_id_for_two_calls(run):
    """Both are carried out, and answered in their order."""
    calls = [ToolCall("a", "weather", {"city": city}) for city in ("Oslo", "Bergen")]
    results = run(Plays(says(*calls), COLD), "Coat?", [weather]).messages[2].parts
    assert [(result.call_id, result.parts[0].text[:4]) for result in results] == [("a", "Oslo"), ("a", "Berg")]


def test_arguments_without_bottom():
    """Nested so deeply that they cannot even be copied, they are the model's to put right."""
    deep: list = []
    for _ in range(10_000):
        deep = [deep]
    result = result_of(ToolCall("d", "eat", {"things": deep}), lambda things: "fine")
    assert result.is_error
    assert result.parts[0].text.startswith("RecursionError")


# --- what is the caller's


class Slow:
    """A tool whose first call ends at once, and the others when they are let go."""

    def __init__(self):
        self.called, self._numbers, self._hold = 0, itertools.count(), threading.Event()

    def __call__(self):
        if next(self._numbers):
            assert self._hold.wait(20)
        self.called += 1

    def let_go(self):
        """End the calls that were begun; no thread is left."""
        self._hold.set()
        for thread in threading.enumerate():
            if thread.name.startswith("majordomo-tool"):
                thread.join(20)
                assert not thread.is_alive()


@both
@workers
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_in_a_tool_is_the_callers(run, workers, error):
    """What is no `Exception` passes, also from another thread, and the model is not asked again."""
    model = Plays(says(LOOK, OSLO), COLD)
    with pytest.raises(error):
        run(model, "Coat?", [Tool("look", function=fails(error())), weather], workers=workers)
    assert len(model.requests) == 1


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no way to interrupt a thread")
def test_ctrl_c_while_threads_run():
    """Whoever waits for tools can be interrupted; the tools are left behind."""
    slow = Slow()

    def interrupt():
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        slow()
        slow()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background has not
    try:
        with pytest.raises(KeyboardInterrupt):
            run_tools(Plays(says(LOOK)), "?", [Tool("look", function=interrupt)], workers=2)
    finally:
        signal.signal(signal.SIGINT, before)
    slow.let_go()


@both
@workers
def test_on_tool_hears_of_each_call(run, workers):
    """In the order of the calls, in the caller's thread, errors too."""
    heard = []

    def hear(call, result):
        heard.append((call, result, threading.get_ident()))

    reply = run(
        Plays(says(OSLO, ToolCall("d", "nope")), says(LOOK), COLD), "?", [weather, look], workers=workers, on_tool=hear
    )
    assert [call.id for call, _, _ in heard] == ["a", "d", "c"]
    assert [result for _, result, _ in heard] == [*reply.messages[2].parts, *reply.messages[4].parts]
    assert {thread for _, _, thread in heard} == {threading.get_ident()}


@both
@workers
def test_what_on_tool_raises_is_the_callers(run, workers):
    """That is a way to stop; no call is begun after it, save by workers who are at it."""
    slow, model = Slow(), Plays(says(*[LOOK] * 50), COLD)

    def stop(call, result):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        run(model, "?", [Tool("look", function=slow)], workers=workers, on_tool=stop)
    slow.let_go()
    assert caught.traceback  # whoever keeps it keeps the loop's frames, too
    assert slow.called <= (1 if workers == 1 else workers + 1)
    assert len(model.requests) == 1


# --- threads


@both
def test_one_worker_is_the_callers_thread(run):
    """So that what belongs to a thread (a connection to SQLite) can be used; one call after another."""
    seen, variable = [], contextvars.ContextVar("variable")

    def note(n: int):
        seen.append((n, threading.get_ident()))
        variable.set(n)

    calls = [ToolCall(str(n), "note", {"n": n}) for n in range(5)]
    run(Plays(says(*calls), COLD), "?", [note])
    assert seen == [(n, threading.get_ident()) for n in range(5)]
    assert variable.get() == 4


@both
def test_workers_run_at_once(run):
    """So many calls as there are workers; none of them in the caller's thread, and none is left behind."""
    before, meeting, threads = threading.active_count(), threading.Barrier(3, timeout=20), []

    def meet(n: int) -> int:
        threads.append(threading.current_thread())
        meeting.wait()  # none gets by alone
        return n

    calls = [ToolCall(str(n), "meet", {"n": n}) for n in range(6)]
    results = run(Plays(says(*calls), COLD), "?", [meet], workers=3).messages[2].parts
    assert [result.parts[0].text for result in results] == list("012345")
    assert threading.active_count() == before
    assert all(thread.daemon and thread.name.startswith("majordomo-tool") for thread in threads)
    assert threading.current_thread() not in threads


@both
def test_results_wait_for_their_turn(run):
    """A later call that ends first is heard of second."""
    second = threading.Event()

    def slow() -> str:
        assert second.wait(20)
        return "slow"

    def quick() -> str:
        second.set()
        return "quick"

    heard: list = []
    run(
        Plays(says(ToolCall("1", "slow"), ToolCall("2", "quick")), COLD),
        "?",
        [slow, quick],
        workers=2,
        on_tool=lambda call, result: heard.append(result.parts[0].text),
    )
    assert heard == ["slow", "quick"]


def test_each_call_has_a_context_of_its_own():
    """What the caller has set is there in a thread too; what a tool sets is not there for others."""
    variable = contextvars.ContextVar("variable", default="nobody's")
    variable.set("the caller's")

    def change() -> str:
        found = variable.get()
        variable.set("a tool's")
        return found

    calls = [ToolCall(str(n), "change") for n in range(4)]
    results = run_tools(Plays(says(*calls), COLD), "?", [change], workers=2).messages[2].parts
    assert {result.parts[0].text for result in results} == {"the caller's"}
    assert variable.get() == "the caller's"


def test_a_tool_that_hangs_does_not_keep_the_process():
    """Whoever had to stop waiting for it can end."""
    code = """
import threading
from majordomo import DeadlineError, Model, Response, ToolCall, assistant
from majordomo.tools import run_tools

class Calls(Model):
    def complete(self, request, deadline):
        return Response(assistant(ToolCall("a", "hang"), ToolCall("b", "hang")), "tool_calls")

def hang():
    threading.Event().wait()

try:
    run_tools(Calls(), "?", [hang], workers=2, timeout=0.05)
except DeadlineError as error:
    print(error)
"""
    root = str(pathlib.Path(majordomo.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=root, capture_output=True, timeout=50, text=True
    )
    assert done.stdout == "the timeout of 0.05 s ran out while these tools ran: hang\n"
    assert (done.returncode, done.stderr) == (0, "")


# --- time


class Lab(Provider):
    """Models in a registry whose time is a `Clock`."""

    def __init__(self, **models):
        self.clock, self.models = Clock(), models
        self.registry = Registry({}, clock=self.clock, sleep=self.clock.sleep, retries=0)
        self.registry.register_provider("lab", self)
        self.chain = self.registry.parse(", ".join(f"lab/{name}" for name in models))

    def model(self, id):
        return self.models[id]


@both
def test_one_deadline_over_all_turns(run):
    """A timeout is that of the whole loop; without one each turn has the model's own."""
    model = Plays(says(LOOK), says(LOOK), COLD)
    run(model, "?", [look], timeout=50)
    assert len({id(deadline) for deadline in model.deadlines}) == 1
    assert (model.deadlines[0].span, model.deadlines[0].limit) == (50, "timeout")
    model = Plays(says(LOOK), COLD)
    run(model, "?", [look])
    assert [(deadline.span, deadline.limit) for deadline in model.deadlines] == [(600, "default")] * 2
    assert model.deadlines[0] is not model.deadlines[1]
    run(Plays(says(LOOK), COLD), "?", [look], timeout=math.inf, workers=2)


@both
def test_time_is_looked_at_before_each_call(run):
    """A function that runs cannot be stopped, but the next one is not begun; the error names it."""
    lab = Lab(m=Plays(says(OSLO, LOOK, BERGEN), COLD))

    def slowly(city: str):
        lab.clock.now += 20
        return city

    with pytest.raises(
        DeadlineError, match=r"timeout of 30 s ran out before these tools were called: weather$"
    ) as caught:
        tools = [Tool("weather", function=slowly), Tool("look", function=lambda: slowly("out"))]
        run(lab.chain, "?", tools, timeout=30)
    error = caught.value
    assert error.limit == "timeout"
    assert [attempt.outcome for attempt in error.attempts] == ["answered"]
    assert [len(message.parts) for message in error.messages] == [1, 3, 2]
    assert [result.call_id for result in error.messages[2].parts] == ["a", "c"]


@both
@workers
def test_time_is_looked_at_before_the_first_call(run, workers):
    """An answer that used up the time has none of its calls carried out."""
    lab, called = Lab(m=Plays()), []

    def late():
        lab.clock.now += 40
        return says(LOOK, OSLO)

    lab.models["m"].script = [late]
    with pytest.raises(DeadlineError, match="before these tools were called: look, weather"):
        tools = [Tool(name, function=lambda **given: called.append(1)) for name in ("look", "weather")]
        run(lab.chain, "?", tools, timeout=30, workers=workers)
    assert called == []


@both
def test_time_is_looked_at_before_each_turn(run):
    """What the tools have used up the model does not have."""
    lab = Lab(m=Plays(says(LOOK), COLD))

    def slowly():
        lab.clock.now += 40

    with pytest.raises(DeadlineError, match="before turn 2") as caught:
        run(lab.chain, "?", [Tool("look", function=slowly)], timeout=30)
    assert [message.role for message in caught.value.messages] == ["user", "assistant", "tool"]
    assert len(lab.models["m"].requests) == 1


@both
def test_time_runs_out_while_tools_run(run):
    """With workers the caller is free at its deadline, one call or several; the error names who is still at it."""
    go, ended = threading.Event(), threading.Semaphore(0)

    def hang():
        go.wait(20)
        ended.release()

    tools = [look, Tool("hang", function=hang)]
    for calls, results in (([LOOK, ToolCall("d", "hang")], 1), ([ToolCall("d", "hang")], 0)):
        with pytest.raises(DeadlineError, match=r"while these tools ran: hang$") as caught:
            run(Plays(says(*calls)), "?", tools, workers=2, timeout=0.1)
        assert caught.value.limit == "timeout"
        assert [message.role for message in caught.value.messages] == ["user", "assistant", *["tool"] * results]
    go.set()
    assert ended.acquire(timeout=20)
    assert ended.acquire(timeout=20)


# --- errors of a turn


@both
def test_an_error_of_a_turn_tells_what_was_before(run):
    """Messages up to the last results, and the attempts of all turns, so that one can go on from there."""
    first = says(LOOK, attempts=[Attempt("mine/m", "answered")])
    lost = TransportError("reset")
    lost.attempts = (Attempt("mine/m", "failed", error="reset"),)
    with pytest.raises(TransportError) as caught:
        run(Plays(first, lost), "Coat?", [look])
    error = caught.value
    assert [attempt.outcome for attempt in error.attempts] == ["answered", "failed"]
    assert error.messages == (user("Coat?"), first.message, Message("tool", (ToolResult("c", (Text("Snow."),)),)))


@both
def test_a_bug_of_a_model_passes(run):
    """What is none of our errors is nobody's to change."""
    with pytest.raises(ZeroDivisionError):
        run(Plays(ZeroDivisionError()), "Coat?", [look])


@both
def test_a_chain_that_gives_up(run):
    """All its attempts, behind those of the turns before."""
    lab = Lab(a=Plays(says(LOOK), TransportError("gone")), b=Plays(TransportError("gone too")))
    with pytest.raises(ChainError) as caught:
        run(lab.chain, "Coat?", [look])
    attempts = [(attempt.target, attempt.outcome) for attempt in caught.value.attempts]
    assert attempts == [("lab/a", "answered"), ("lab/a", "failed"), ("lab/b", "failed")]
    assert len(caught.value.messages) == 3


# --- over the wire, and through chains


@both
@pytest.mark.parametrize("scheme", ["llama-swap", "openai", "openai-responses", "anthropic", "google", "ollama"])
def test_over_every_wire(server, run, scheme):
    """Calls come back alike, and texts, pictures and errors go out with the second request."""
    calls = [OSLO, ToolCall("p", "photo"), ToolCall("n", "nope")]
    server.add(Reply("Let me see.", thinking="Hm.", tool_calls=calls), Reply("Cold.", usage=Usage(20, 5, 0, 0)))
    model = Registry({"LLM_BOX": server.dsn(scheme)}).parse("box/any")

    def photo():
        return ["Look:", PICTURE]

    reply = run(model, "Coat?", [weather, photo], timeout=50, workers=2)
    assert (reply.text, reply.usage.input_tokens, len(reply.attempts)) == ("Cold.", 31, 2)
    told, shown, failed = reply.messages[2].parts
    assert told.parts[0].text == "Oslo, 1: -3 degrees"
    assert shown.parts == (Text("Look:"), PICTURE)
    assert failed.is_error
    asked = [seen for seen in server.requests if b"Coat?" in seen.body]
    for words in (b"Oslo, 1: -3 degrees", b"Look:", b"there is no tool"):
        assert words not in asked[0].body
        assert words in asked[1].body


@both
def test_each_turn_may_be_anothers(run):
    """A target that fails in the middle of a loop hands it on to the next one, over another wire."""
    with FakeServer(Reply("Hm.", tool_calls=[OSLO]), Status(503)) as first, FakeServer(Reply("Cold.")) as second:
        known = {"LLM_BOX": first.dsn("openai"), "LLM_CLOUD": second.dsn("anthropic")}
        chain = Registry(known, retries=0).parse("box/m, cloud/n")
        reply = run(chain, "Coat?", [weather], timeout=50)
    assert (reply.text, reply.model) == ("Cold.", "cloud/n")
    outcomes = [(attempt.target, attempt.outcome) for attempt in reply.attempts]
    assert outcomes == [("box/m", "answered"), ("box/m", "failed"), ("cloud/n", "answered")]
    assert [message.origin for message in reply.messages] == [None, "box/m", None, "cloud/n"]
    (seen,) = second.requests
    assert seen.json["messages"][-1]["content"][0]["content"] == "Oslo, 1: -3 degrees"


class Stranger:
    """Has a `generate`, and is no `Model`."""

    def __init__(self, *script):
        self.script, self.asked = list(script), []

    def generate(self, request, timeout=None):
        self.asked.append((request, timeout))
        return self.script.pop(0)


class StreamingStranger(Stranger):
    def stream(self, request, timeout=None):
        yield TextDelta("piece")
        yield Done(self.generate(request, timeout))


@both
@pytest.mark.parametrize("kind", [Stranger, StreamingStranger])
def test_strangers_that_answer(run, kind):
    """Whatever has a `generate` will do; it gets a request, and the seconds that are left."""
    model = kind(says(LOOK), COLD)
    assert run(model, "Coat?", [look], timeout=50).text == "Take a coat."
    (_, first), (request, second) = model.asked
    assert 0 < second <= first <= 50
    assert request.messages[-1].role == "tool"
    model = kind(COLD)
    run(model, "Coat?", [look])
    assert 0 < model.asked[0][1] <= 600
    model = kind(says(LOOK), says("7"), says("no number"))
    assert run(model, "How cold?", [look], schema=int).parsed == 7
    with pytest.raises(ProtocolError, match="not JSON"):
        run(model, "How cold?", [look], schema=int)


# --- streams


FIRST, SECOND = says("Hm.", OSLO, LOOK), says(ToolCall("e", "look"))


def turns():
    return Piecewise(
        [
            TextDelta("Hm."),
            ToolCallDelta(0, "a", "weather", '{"city": '),
            ToolCallDelta(0, arguments='"Oslo"}'),
            ToolCallDelta(1, "c", "look"),
            Done(FIRST),
        ],
        [ToolCallDelta(0, "e", "look"), Done(SECOND)],
        [TextDelta("Take "), TextDelta("a coat."), Done(COLD)],
    )


@workers
def test_all_that_happens_is_told(workers):
    """Deltas of every turn as they come, results between the turns, one `Done`; calls are counted over all turns."""
    events = list(stream_tools(turns(), "Coat?", [weather, look], workers=workers))
    assert events[:-1] == [
        TextDelta("Hm."),
        ToolCallDelta(0, "a", "weather", '{"city": '),
        ToolCallDelta(0, arguments='"Oslo"}'),
        ToolCallDelta(1, "c", "look"),
        ToolResult("a", (Text("Oslo, 1: -3 degrees"),)),
        ToolResult("c", (Text("Snow."),)),
        ToolCallDelta(2, "e", "look"),
        ToolResult("e", (Text("Snow."),)),
        TextDelta("Take "),
        TextDelta("a coat."),
    ]
    assert events[-1].response == run_tools(Plays(FIRST, SECOND, COLD), "Coat?", [weather, look])


def test_the_text_of_all_turns():
    """`text_deltas` leaves results out, and the response is there at the end."""
    with stream_tools(turns(), "Coat?", [weather, look]) as stream:
        assert list(stream.text_deltas()) == ["Hm.", "Take ", "a coat."]
    assert stream.response.text == "Take a coat."


def test_calls_that_no_delta_told_of_are_counted():
    """A stream may tell of a call only at its end."""
    model = Piecewise([Done(FIRST)], [ToolCallDelta(0, "e", "look"), Done(SECOND)], [Done(COLD)])
    events = list(stream_tools(model, "Coat?", [weather, look]))
    assert [event.index for event in events if isinstance(event, ToolCallDelta)] == [2]


def test_numbers_that_skip_some_are_counted():
    """A number that was told once is never another call's."""
    model = Piecewise([ToolCallDelta(4, "c", "look"), Done(says(LOOK))], [ToolCallDelta(0), Done(SECOND)], [Done(COLD)])
    events = list(stream_tools(model, "Coat?", [weather, look]))
    assert [event.index for event in events if isinstance(event, ToolCallDelta)] == [4, 5]


def test_nothing_is_sent_before_the_first_event():
    """And nothing at all if it is never asked for."""
    model = turns()
    stream = stream_tools(model, "Coat?", [look], timeout=50)
    assert model.requests == []
    stream.close()
    assert (model.requests, list(stream)) == ([], [])


def test_a_stream_that_is_left_in_an_answer():
    """The connection is closed at once, and no tool is run."""
    called, model = [], turns()
    with stream_tools(model, "Coat?", [Tool("look", function=lambda: called.append(1)), weather]) as stream:
        next(stream)
        assert model.closed == 0
    assert (model.closed, len(model.requests), called) == (1, 1, [])


@workers
def test_a_stream_that_is_left_between_results(workers):
    """No further tool is begun, and the model is not asked again."""
    slow, model = Slow(), Plays(says(*[LOOK] * 50), COLD)
    with stream_tools(model, "?", [Tool("look", function=slow)], workers=workers) as stream:
        while not isinstance(next(stream), ToolResult):
            pass
    slow.let_go()
    assert slow.called <= (1 if workers == 1 else workers + 1)
    assert len(model.requests) == 1


def test_a_stream_without_an_end():
    """A model whose events stop short is a TruncatedError, as everywhere, with the conversation so far."""
    with pytest.raises(TruncatedError) as caught:
        list(stream_tools(Piecewise([Done(SECOND)], [TextDelta("Ta")]), "Coat?", [look]))
    assert len(caught.value.messages) == 3

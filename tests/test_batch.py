"""Many prompts at once: what comes out and in which order, how far ahead it goes, and how it is left."""

from __future__ import annotations

import contextvars
import gc
import itertools
import pathlib
import signal
import subprocess
import sys
import threading
import time
import weakref

import pytest
from doers import PATIENCE, Does, Holds

import majordomo
from majordomo import (
    ConfigError,
    Registry,
    Request,
    Response,
    Tool,
    TransportError,
    assistant,
    user,
)
from majordomo._crew import AHEAD
from majordomo.batch import generate_many
from majordomo.testing import Reply

workers = pytest.mark.parametrize("workers", [1, 3])


def texts(results):
    """Results in short: texts, and the types of errors."""
    return [result.text if isinstance(result, Response) else type(result).__name__ for result in results]


def crew():
    """The threads of ours that live."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("majordomo-many")]


def joined():
    """Wait for them to end."""
    for thread in crew():
        thread.join(PATIENCE)
    return not crew()


# --- what comes out


@workers
def test_results_come_in_the_order_of_the_prompts(workers):
    """A response each, whatever came first; the threads have ended with the last."""
    found = generate_many(Does(), (str(n) for n in range(50)), workers=workers)
    assert texts(found) == [str(n) for n in range(50)]
    assert crew() == []


def test_a_result_waits_for_its_turn():
    """A later prompt that is answered first comes second."""
    second = threading.Event()

    def say(text):
        if text == "slow":
            assert second.wait(PATIENCE)
        else:
            second.set()
        return text

    assert texts(generate_many(Does(say), ["slow", "quick"], workers=2)) == ["slow", "quick"]


@workers
def test_an_error_is_a_result(workers):
    """That of a model, and that of a prompt which is none; the others are asked."""
    down = TransportError("down")
    model = Does(lambda text: down if text == "b" else text)
    found = list(generate_many(model, ["a", "b", 5, [], "c"], workers=workers))
    assert texts(found) == ["a", "TransportError", "ConfigError", "ConfigError", "c"]
    assert found[1] is down


def test_prompts_have_many_forms_and_options_are_laid_over_them():
    """As for `generate`; an option that can be gone through once holds for all of them."""
    model = Does()
    prompts = ["a", user("b"), ["b", assistant("b"), "c"], Request("d", seed=5)]
    options = {"seed": 7, "stop": iter(["END"]), "tools": iter([Tool("look")])}
    assert texts(generate_many(model, prompts, timeout=9, **options)) == ["A", "B", "C", "D"]
    assert {(r.seed, r.stop, tuple(t.name for t in r.tools)) for r in model.requests} == {(7, ("END",), ("look",))}
    assert all(8 < span <= 9 for span in model.spans)


def test_a_chosen_tool_may_be_one_that_the_prompts_bring():
    """It is looked for in each prompt, and missed where it is not there."""
    model = Does()
    found = texts(generate_many(model, [Request("a", tools=[Tool("look")]), "b"], tool_choice="look"))
    assert found == ["A", "ConfigError"]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"model": "box/qwen3"}, ConfigError, "parse"),
        ({"prompts": "Hi"}, ConfigError, "list of prompts.*not str"),
        ({"prompts": user("Hi")}, ConfigError, "not Message"),
        ({"prompts": {"a": "Hi"}}, ConfigError, "not dict"),
        ({"prompts": None}, ConfigError, "not NoneType"),
        ({"workers": 0}, ConfigError, "workers"),
        ({"workers": 2.5}, ConfigError, "workers"),
        ({"timeout": 0}, ConfigError, "timeout"),
        ({"max_token": 5}, ConfigError, "max_token"),
        ({"temperature": "hot"}, ConfigError, "temperature"),
        ({"schema": threading.Thread}, TypeError, "Thread"),
    ],
)
def test_what_cannot_work_is_refused_at_the_call(change, error, words):
    """And not when the first result is asked for."""
    given = {"model": Does(), "prompts": ["Hi"], **change}
    with pytest.raises(error, match=words):
        generate_many(given.pop("model"), given.pop("prompts"), **given)


def test_prompts_over_a_wire(server):
    """Through a chain, to a server: each answer belongs to its question."""
    server.default = lambda seen: Reply("On " + seen.json["messages"][-1]["content"])
    model = Registry({"LLM_BOX": server.dsn()}).parse("box/m")
    found = texts(generate_many(model, [f"question {n}" for n in range(40)], workers=4, timeout=PATIENCE))
    assert found == [f"On question {n}" for n in range(40)]
    assert server.connections <= 4


# --- threads


def test_workers_ask_at_once():
    """As many as there are, in daemons, and no more."""
    meeting = threading.Barrier(3, timeout=PATIENCE)

    def meet(text):
        meeting.wait()  # none gets by alone
        return text

    model = Does(meet)
    assert len(texts(generate_many(model, iter("abcdef"), workers=3))) == 6
    assert len(model.threads) == 3
    assert all(thread.daemon and thread.name.startswith("majordomo-many") for thread in model.threads)


def test_one_worker_is_the_callers_thread():
    """And asks when a result is wanted."""
    model = Does()
    found = generate_many(model, ["a", "b"], workers=1)
    assert len(model.requests) == 0
    assert (next(found).text, len(model.requests)) == ("A", 1)
    assert model.threads == {threading.current_thread()}


def test_each_prompt_has_a_context_of_its_own():
    """What the caller has set is there in a thread; what is set there is not there for others."""
    variable = contextvars.ContextVar("variable", default="nobody's")
    variable.set("the caller's")

    def change(text):
        found = variable.get()
        variable.set("a thread's")
        return found

    assert set(texts(generate_many(Does(change), ["a", "b", "c", "d"], workers=2))) == {"the caller's"}
    assert variable.get() == "the caller's"


# --- how far ahead it goes


@workers
def test_an_endless_source_is_drawn_as_it_is_needed(workers):
    """By the caller's thread, a few prompts ahead, and not before the first result is asked for."""
    drawn, threads = [], set()

    def prompts():
        for number in itertools.count():
            drawn.append(number)
            threads.add(threading.current_thread())
            yield str(number)

    found = generate_many(Does(), prompts(), workers=workers)
    assert drawn == []
    assert texts(itertools.islice(found, 100)) == [str(n) for n in range(100)]
    found.close()
    assert 100 <= len(drawn) <= 100 + AHEAD * workers
    assert threads == {threading.current_thread()}


def test_a_slow_answer_is_not_overtaken_for_ever():
    """While the first takes its time the others go on as far as the window, then wait."""
    model = Does(lambda text: text if text != "0" else waited())

    def waited():
        end = time.monotonic() + PATIENCE
        while len(model.requests) < AHEAD * 2:
            assert time.monotonic() < end
            time.sleep(0.001)
        time.sleep(0.05)  # in which nobody goes further
        return str(len(model.requests))

    found = generate_many(model, map(str, range(50)), workers=2)
    assert texts(found) == [str(AHEAD * 2), *(str(n) for n in range(1, 50))]


def test_a_slow_source_keeps_nothing_back():
    """A result that is there is told before the source is asked for all that there is room for."""
    answered, drawn = threading.Event(), []

    def prompts():
        for number in range(AHEAD * 50):
            drawn.append(number)
            if number:
                assert answered.wait(PATIENCE)
                time.sleep(0.01)  # for the thread to hand its answer over
            yield str(number)

    found = generate_many(Does(lambda text: answered.set() or text), prompts(), workers=50)
    assert next(found).text == "0"
    assert len(drawn) < AHEAD * 50
    found.close()
    assert joined()


@workers
def test_memory_does_not_grow(workers):
    """Of thousands of prompts those live that are under way."""
    alive, most = weakref.WeakSet(), 0

    def prompts():
        for number in range(2000):
            prompt = user(str(number))
            alive.add(prompt)
            yield prompt

    model = Does()
    for _ in generate_many(model, prompts(), workers=workers):
        most = max(most, len(alive))
        model.requests.clear()
    assert most <= (AHEAD + 2) * workers


# --- how it ends


@workers
def test_what_the_prompts_raise_comes_after_the_results_before_it(workers):
    """And nothing is lost."""

    def prompts():
        yield from "ab"
        raise LookupError("no more")

    found = generate_many(Does(), prompts(), workers=workers)
    assert [next(found).text, next(found).text] == ["A", "B"]
    with pytest.raises(LookupError, match="no more"):
        next(found)
    assert joined()


@workers
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_what_is_no_error_of_ours_is_raised_in_its_place(workers, error):
    """After the results before it; nothing more comes."""
    model = Does(lambda text: error() if text == "c" else text)
    found = generate_many(model, iter("abcd"), workers=workers)
    assert [next(found).text, next(found).text] == ["a", "b"]
    with pytest.raises(error):
        next(found)
    assert list(found) == []
    assert joined()


def leave_by_break(found):
    for _ in found:
        break


def leave_by_error(found):
    with pytest.raises(ZeroDivisionError):
        for _ in found:
            1 / 0  # noqa: B018


def leave_by_closing(found):
    next(found)
    found.close()


def leave_by_forgetting(found):
    next(found)


@pytest.mark.parametrize("leave", [leave_by_break, leave_by_error, leave_by_closing, leave_by_forgetting])
def test_whoever_leaves_has_nothing_more_asked_and_waits_for_nothing(leave):
    """What is under way ends in its time, and its threads with it."""
    hold = Holds(free=1)
    leave(generate_many(Does(hold), map(str, range(100)), workers=2))
    gc.collect()
    assert not hold.let_go.is_set()
    hold.let_go.set()
    assert joined()
    assert len(hold.begun) <= 3


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no way to interrupt a thread")
def test_ctrl_c_while_threads_ask():
    """Whoever waits for a result can be interrupted; what is under way is left behind."""
    hold = Holds()

    def interrupt(text):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return hold(text)

    with pytest.raises(KeyboardInterrupt):
        list(generate_many(Does(interrupt), ["a"], workers=2))
    hold.let_go.set()
    assert joined()


def test_ctrl_c_in_the_source_waits_for_nothing():
    """It is no result of the prompts before it."""
    hold = Holds()

    def prompts():
        yield "a"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(generate_many(Does(hold), prompts(), workers=2))
    hold.let_go.set()
    assert joined()


def test_a_prompt_that_hangs_does_not_keep_the_process():
    """Whoever has left can end."""
    code = """
import threading
from majordomo import Model
from majordomo.batch import generate_many

class Hangs(Model):
    def complete(self, request, deadline):
        if request.messages[0].text == "a":
            raise ArithmeticError
        threading.Event().wait()

try:
    list(generate_many(Hangs(), ["a", "b", "c"]))
except ArithmeticError:
    print("left")
"""
    root = str(pathlib.Path(majordomo.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=root, capture_output=True, timeout=50, text=True
    )
    assert (done.stdout, done.returncode, done.stderr) == ("left\n", 0, "")

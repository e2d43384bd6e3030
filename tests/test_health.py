from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
import warnings

import pytest
from helpers import Clock

from majordomo.errors import ErrorKind
from majordomo.health import COOLING_KINDS, Cooldown, MemoryHealth, key_of

DAY = 24 * 3600.0
KEY = key_of("box/qwen3:14b", "http://box:8080")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def health(clock):
    return MemoryHealth(clock)


def fail(health, kind=ErrorKind.TRANSIENT, retry_after=None, key=KEY):
    """A failure of an attempt that has just begun."""
    health.failed(key, kind, health.clock(), retry_after)


def due_after(kind, retry_after=None):
    """Seconds until a target is due, after a first failure of this kind."""
    return Cooldown().after_failure(kind, 0.0, 0.0, retry_after).until


@pytest.mark.parametrize(
    ("kind", "cools"),
    [
        (ErrorKind.TRANSIENT, True),
        (ErrorKind.RATE_LIMITED, True),
        (ErrorKind.QUOTA, True),
        (ErrorKind.AUTH, True),
        (ErrorKind.NOT_FOUND, True),
        (ErrorKind.CONFIG, False),
        (ErrorKind.UNSUPPORTED, False),
        (ErrorKind.TOO_LONG, False),
        (ErrorKind.FILTERED, False),
        (ErrorKind.INVALID, False),
        (ErrorKind.DEADLINE, False),
    ],
)
def test_which_kinds_cool_down(kind, cools):
    """Only what is wrong with the target, and not with the request, cools it down."""
    assert (kind in COOLING_KINDS) is cools


def test_doubling():
    """Each failure in a row doubles the cooldown, from 1 s to 5 min."""
    cooldown, now, spans = Cooldown(), 0.0, []
    for _ in range(12):
        cooldown = cooldown.after_failure(ErrorKind.TRANSIENT, now, now)
        spans.append(cooldown.until - now)
        now = cooldown.until
    assert spans == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


def test_a_thousand_failures():
    """The cap holds however often a target has failed."""
    assert Cooldown(failures=10**6).after_failure(ErrorKind.TRANSIENT, 5.0, 5.0).until == 305.0


@pytest.mark.parametrize(
    ("kind", "retry_after", "seconds"),
    [
        (ErrorKind.TRANSIENT, None, 1),
        (ErrorKind.AUTH, None, 1),
        (ErrorKind.QUOTA, None, 300),
        (ErrorKind.QUOTA, 20, 300),
        (ErrorKind.QUOTA, 600, 600),
        (ErrorKind.RATE_LIMITED, 0, 1),
        (ErrorKind.RATE_LIMITED, 0.2, 1),
        (ErrorKind.RATE_LIMITED, -5, 1),
        (ErrorKind.RATE_LIMITED, 20, 20),
        (ErrorKind.TRANSIENT, 20, 20),
        (ErrorKind.RATE_LIMITED, 3600, 3600),
        (ErrorKind.RATE_LIMITED, DAY + 1, DAY),
        (ErrorKind.RATE_LIMITED, float("inf"), DAY),
        (ErrorKind.RATE_LIMITED, float("nan"), 1),
    ],
)
def test_first_cooldown(kind, retry_after, seconds):
    """A quota rests 5 min at once; Retry-After is a floor and counts up to a day."""
    assert due_after(kind, retry_after) == seconds


@pytest.mark.parametrize(
    ("first", "second", "until"),
    [
        ((ErrorKind.QUOTA, None), (ErrorKind.TRANSIENT, None), 300),
        ((ErrorKind.RATE_LIMITED, 60), (ErrorKind.RATE_LIMITED, 5), 60),
        ((ErrorKind.TRANSIENT, None), (ErrorKind.RATE_LIMITED, 60), 70),
        ((ErrorKind.TRANSIENT, None), (ErrorKind.TRANSIENT, None), 12),
    ],
)
def test_a_later_failure_never_shortens(first, second, until):
    """A failure may extend a cooldown, and never ends it sooner."""
    cooldown = Cooldown().after_failure(first[0], 0.0, 0.0, first[1])
    assert cooldown.after_failure(second[0], 10.0, 10.0, second[1]).until == until


def test_late_failures_do_not_double():
    """Attempts that were all under way when the first one failed count as one failure."""
    cooldown = Cooldown()
    for now in (10.0, 10.5, 11.0):
        cooldown = cooldown.after_failure(ErrorKind.TRANSIENT, now, started=0.0)
    assert (cooldown.failures, cooldown.until) == (1, 12.0)
    assert cooldown.after_failure(ErrorKind.TRANSIENT, 13.0, started=12.0).failures == 2


def test_a_late_failure_may_extend():
    """A late failure that names a longer wait is believed."""
    cooldown = Cooldown().after_failure(ErrorKind.TRANSIENT, 10.0, 0.0)
    late = cooldown.after_failure(ErrorKind.RATE_LIMITED, 10.5, 0.0, retry_after=60)
    assert (late.failures, late.until) == (1, 70.5)


@pytest.mark.parametrize(("now", "state"), [(10.0, "open"), (10.9, "open"), (11.0, "half-open"), (1e9, "half-open")])
def test_state(now, state):
    """A target cools down, and then waits for one probe however long nobody asks."""
    assert Cooldown().state(now) == "closed"
    assert Cooldown().after_failure(ErrorKind.TRANSIENT, 10.0, 10.0).state(now) == state


def test_a_healthy_target_is_admitted(health):
    """Nothing is held against a target that nobody has complained about."""
    assert (health.admit(KEY), health.admit(KEY), health.due(KEY)) == ("closed", "closed", 0.0)
    assert health.snapshot() == {}


def test_a_round(health, clock):
    """Failure, cooldown, one probe, success, and all is forgotten."""
    fail(health)
    assert (health.admit(KEY), health.due(KEY)) == ("open", 1.0)
    clock.now += 0.75
    assert (health.admit(KEY), health.due(KEY)) == ("open", 0.25)
    clock.now += 0.25
    assert health.due(KEY) == 0.0
    assert [health.admit(KEY) for _ in range(3)] == ["half-open", "open", "open"]
    assert health.due(KEY) > 0
    health.succeeded(KEY)
    assert (health.admit(KEY), health.due(KEY), health.snapshot()) == ("closed", 0.0, {})
    fail(health)
    assert health.due(KEY) == 1.0


def test_a_failed_probe_doubles(health, clock):
    """A probe that fails starts the next, longer cooldown, and then there is one probe again."""
    for seconds in (1.0, 2.0, 4.0):
        fail(health)
        assert health.due(KEY) == seconds
        clock.now += seconds
        assert [health.admit(KEY), health.admit(KEY)] == ["half-open", "open"]


def test_a_released_probe(health, clock):
    """A probe without a verdict is free for the next caller and changes nothing else."""
    fail(health)
    clock.now += 1
    assert health.admit(KEY) == "half-open"
    before = health.snapshot()
    health.released(KEY)
    assert health.snapshot() == before
    assert [health.admit(KEY), health.admit(KEY)] == ["half-open", "open"]


def test_releasing_what_is_healthy(health):
    """Releasing a target that nobody has complained about does nothing."""
    health.released(KEY)
    health.succeeded(KEY)
    assert health.snapshot() == {}


def test_a_late_failure_leaves_the_probe_alone(health, clock):
    """While a probe is under way, the failure of an older attempt does not admit a second one."""
    begun = clock.now
    clock.now += 1
    health.failed(KEY, ErrorKind.TRANSIENT, begun)
    clock.now += 1
    assert health.admit(KEY) == "half-open"
    clock.now += 1
    health.failed(KEY, ErrorKind.TRANSIENT, begun)
    clock.now += 60
    assert health.admit(KEY) == "open"


def test_a_lost_probe_is_given_up(health, clock):
    """A probe that nobody ended does not lock a target out for good."""
    fail(health)
    clock.now += 1
    health.admit(KEY)
    clock.now += DAY
    assert health.admit(KEY) == "half-open"


def test_targets_are_apart(health):
    """One target's failure says nothing about the same model elsewhere."""
    fail(health)
    assert health.admit(key_of("box/qwen3:14b", "http://other:8080")) == "closed"
    assert health.admit(key_of("box/qwen3:30b", "http://box:8080")) == "closed"


def test_snapshot(health, clock):
    """What is remembered can be read: state, failures in a row, seconds until due."""
    fail(health, ErrorKind.QUOTA)
    fail(health, key="b http://b")
    clock.now += 2
    assert health.snapshot() == {
        KEY: {"state": "open", "failures": 1, "seconds": 298.0},
        "b http://b": {"state": "half-open", "failures": 1, "seconds": 0.0},
    }


@pytest.mark.parametrize(
    ("reset", "left"),
    [
        ((), set()),
        ((KEY,), {"box/qwen3:14b http://other", "other/m"}),
        (("box/qwen3:14b",), {"other/m"}),
        (("other/m",), {KEY, "box/qwen3:14b http://other"}),
        (("box",), {KEY, "box/qwen3:14b http://other", "other/m"}),
    ],
)
def test_reset(health, reset, left):
    """Everything can be forgotten, or one target by its key or its name."""
    for key in (KEY, key_of("box/qwen3:14b", "http://other"), key_of("other/m", "")):
        fail(health, key=key)
    health.reset(*reset)
    assert set(health.snapshot()) == left


def test_threads_share_one_probe(health, clock):
    """Of many threads that ask at once exactly one gets the probe."""
    fail(health)
    clock.now += 1
    for _ in range(50):
        barrier, answers = threading.Barrier(8), []

        def ask(barrier=barrier, answers=answers):
            barrier.wait()
            answers.append(health.admit(KEY))

        run_all([ask] * 8)
        assert sorted(answers) == ["half-open"] + ["open"] * 7
        health.released(KEY)


def test_threads_at_once(health):
    """Any number of threads may use one memory, and none sees an exception."""
    assert used_at_once([health], 200) == []


def used_at_once(memories, rounds):
    """What six threads see that do to memories all that can be done, again and again."""
    raised = []

    def use(health, number):
        try:
            for count in range(rounds):
                key = f"t{(number + count) % 5} u"
                health.admit(key), health.due(key), fail(health, key=key), health.released(key)
                health.snapshot(), health.succeeded(key), health.reset(f"t{count % 5}")
        except BaseException as exc:
            raised.append(exc)

    run_all([lambda number=number: use(memories[number % len(memories)], number) for number in range(6)])
    return raised


def run_all(functions):
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork_under_the_lock(health, clock):
    """A child whose parent held the lock at the fork knows what its parent knew, and can go on."""
    fail(health)
    with warnings.catch_warnings(), health._guard():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
        if not child:
            signal.alarm(10)
            ok = False
            try:
                clock.now += 1
                ok = health.admit(KEY) == "half-open"
                fail(health)
                health.reset()
            finally:
                os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert health.snapshot()[KEY]["failures"] == 1


def test_pickle(health):
    """A memory in another process begins empty, with that process's clock."""
    fail(health)
    copy = pickle.loads(pickle.dumps(health))
    assert (copy.snapshot(), copy.clock) == ({}, time.monotonic)


def test_nothing_is_kept_of_the_healthy(health):
    """Successes take no memory, however many targets there are."""
    for number in range(100):
        health.admit(f"t{number} u")
        health.succeeded(f"t{number} u")
    assert sys.getsizeof(health._cooldowns) == sys.getsizeof({})


def test_a_handler_may_look_in_the_middle(health):
    """A signal handler or a finalizer that runs while the lock is held does not wait for it for ever."""
    with health._guard():
        health.failed(KEY, ErrorKind.TRANSIENT, 0.0)
        health.reset()
    assert health.snapshot() == {}

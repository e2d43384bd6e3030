from __future__ import annotations

import math
import random
from decimal import Decimal

import pytest
from helpers import Clock

from majordomo.deadline import Deadline, Pulse, as_timeout, backoff
from majordomo.errors import ConfigError, DeadlineError


@pytest.fixture
def clock():
    return Clock()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param(1, 1.0, id="int"),
        pytest.param(0.5, 0.5, id="float"),
        pytest.param(5e-324, 5e-324, id="least"),
        pytest.param(math.inf, math.inf, id="inf"),
        pytest.param(10**400, math.inf, id="more than a float holds"),
        pytest.param(10**5000, math.inf, id="more than str() takes"),
    ],
)
def test_timeout(value, seconds):
    """A timeout is a positive number of seconds."""
    found = as_timeout(value)
    assert (type(found), found) == (float, seconds)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(value, id=id)
        for id, value in {
            "0": 0,
            "0.0": 0.0,
            "-0.0": -0.0,
            "negative": -1,
            "-inf": -math.inf,
            "NaN": math.nan,
            "less than a float holds": -(10**400),
            "less than str() takes": -(10**5000),
            "True": True,
            "False": False,
            "None": None,
            "str": "30",
            "bytes": b"30",
            "list": [30],
            "Decimal": Decimal(30),
            "complex": 30j,
        }.items()
    ],
)
def test_no_timeout(value):
    """0, negatives, NaN and what is no number are a ConfigError that names the setting."""
    with pytest.raises(ConfigError, match="^idle_timeout "):
        as_timeout(value, "idle_timeout")


def test_left(clock):
    """A deadline counts down on its clock, past 0 too."""
    deadline = Deadline(30, clock=clock)
    assert deadline.left() == deadline.require() == 30
    clock.now += 29
    assert deadline.left() == deadline.require() == 1
    clock.now += 3
    assert deadline.left() == -2


@pytest.mark.parametrize("late", [0, 0.001, 1e9])
@pytest.mark.parametrize("limit", ["timeout", "attempt_timeout", "idle_timeout", "default"])
def test_require_when_it_has_passed(clock, limit, late):
    """A deadline that has passed raises, and says which limit it was and how long."""
    deadline = Deadline(2.5, limit, clock)
    clock.now += 2.5 + late
    with pytest.raises(DeadlineError, match=r"2\.5 s.*" + limit) as caught:
        deadline.require()
    assert caught.value.limit == limit


@pytest.mark.parametrize(("span", "shown"), [(0.25, "0.25 s"), (60, "60 s"), (3600, "3600 s"), (86400, "86400 s")])
def test_the_span_is_readable(clock, span, shown):
    """The seconds in the message are those that somebody has set."""
    deadline = Deadline(span, clock=clock)
    clock.now += span
    with pytest.raises(DeadlineError) as caught:
        deadline.require()
    assert f" {shown} " in str(caught.value)


def test_infinite(clock):
    """An infinite deadline never passes, and neither do its parts."""
    deadline = Deadline(math.inf, clock=clock)
    clock.now += 1e12
    assert deadline.require() == math.inf
    assert deadline.part(3).require() == math.inf
    assert deadline.part(3, 7.0).require() == 7.0


@pytest.mark.parametrize(
    ("among", "by_hand", "seconds", "limit"),
    [
        (1, None, 60, "timeout"),
        (2, None, 30, "attempt_timeout"),
        (3, None, 20, "attempt_timeout"),
        (3, 5, 5, "attempt_timeout"),
        (3, 50, 50, "attempt_timeout"),
        (1, 5, 5, "attempt_timeout"),
        (1, 500, 60, "timeout"),
        (0, None, 60, "timeout"),
    ],
)
def test_part(clock, among, by_hand, seconds, limit):
    """One attempt of several gets a fair part of what is left, or what was set by hand."""
    deadline = Deadline(100, clock=clock)
    clock.now += 40
    part = deadline.part(among, by_hand)
    assert (part.left(), part.limit) == (seconds, limit)


def test_parts_add_up(clock):
    """Attempts that use up their parts leave the last one its own, and end with the whole."""
    deadline = Deadline(60, clock=clock)
    spent = []
    for among in (3, 2, 1):
        spent.append(deadline.part(among).left())
        clock.now += spent[-1]
    assert spent == [20, 20, 20]
    assert deadline.left() == 0


def test_a_part_alone_is_the_whole(clock):
    """The last attempt has the caller's own deadline, and fails under its name."""
    deadline = Deadline(60, clock=clock)
    assert deadline.part(1) is deadline


def test_become(clock):
    """A part that becomes the whole has all of its time and its name."""
    whole = Deadline(60, clock=clock)
    part = whole.part(3)
    clock.now += 10
    part.become(whole)
    assert part.require() == 50
    clock.now += 50
    with pytest.raises(DeadlineError, match="60 s") as caught:
        part.require()
    assert caught.value.limit == "timeout"


def test_pulse(clock):
    """Silence is bounded from the first beat on, by each one anew; the call as a whole stays bounded."""
    pulse = Pulse(Deadline(20, clock=clock), 4)
    clock.now += 10
    assert pulse.require() == 10
    pulse.beat()
    assert pulse.require() == 4
    clock.now += 3
    assert pulse.require() == 1
    pulse.beat()
    assert pulse.require() == 4
    clock.now += 3.5
    pulse.beat()
    assert pulse.require() == 3.5


@pytest.mark.parametrize(("span", "idle", "limit"), [(10, 4, "idle_timeout"), (3, 4, "timeout"), (4, 4, "timeout")])
def test_pulse_says_which_limit(clock, span, idle, limit):
    """A pulse that stops says whether the silence or the call was too long."""
    pulse = Pulse(Deadline(span, clock=clock), idle)
    pulse.beat()
    clock.now += 4
    with pytest.raises(DeadlineError) as caught:
        pulse.require()
    assert caught.value.limit == limit


def test_pulse_follows_its_deadline(clock):
    """A deadline that becomes another one does so under its pulse as well."""
    whole = Deadline(60, clock=clock)
    part = whole.part(6)
    pulse = Pulse(part, 100)
    part.become(whole)
    assert pulse.require() == 60


@pytest.mark.parametrize(
    ("turn", "most"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 8.0), (17, 8.0), (10**9, 8.0)]
)
def test_backoff(turn, most):
    """The wait before a pass is anything up to 0.5 s doubled each time, 8 s at most."""
    assert backoff(turn, lambda: 0.0) == 0
    assert backoff(turn, lambda: 0.5) == most / 2
    assert backoff(turn, lambda: 1.0) == most


def test_backoff_has_full_jitter():
    """Waits are spread over the whole span, so that clients do not come back in step."""
    waits = [backoff(5, random.Random(1).random)] + [backoff(5) for _ in range(200)]
    assert all(0 <= wait <= 8 for wait in waits)
    assert len(set(waits)) > 100

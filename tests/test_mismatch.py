"""How a mismatch is told: the place, what was expected, what came."""

from __future__ import annotations

import datetime
from collections import OrderedDict

import pytest

from majordomo._mismatch import Mismatch, as_text, expected, shown, unfit

SHOWN = [
    ("many", '"many"'),
    ('a "b"\n\x1b[31m', '"a \\"b\\"\\n\\u001b[31m"'),
    ("x" * 10**6, '"' + "x" * 56 + "..."),
    (None, "null"),
    (True, "true"),
    (1.5, "1.5"),
    (10**80, "1" + "0" * 56 + "..."),
    (10**5000, "a value of type int"),
    ({}, "{}"),
    ({"a": 1}, "an object of 1"),
    (OrderedDict(a=1), "an object of 1"),
    ([], "[]"),
    ((1, 2), "an array of 2"),
    (datetime.date(2026, 1, 1), "a value of type date"),
    (b"x", "a value of type bytes"),
]


@pytest.mark.parametrize(("value", "text"), SHOWN, ids=[text[:30] for _, text in SHOWN])
def test_shown(value, text):
    """A value is shown as JSON, short, without anything that could drive a terminal, and whatever it is."""
    assert shown(value) == text


PLACES = [
    ((), "wrong"),
    (("a",), "a: wrong"),
    (("a", 0, "b"), "a[0].b: wrong"),
    ((0,), "[0]: wrong"),
    ((1, 2), "[1][2]: wrong"),
    (("a b", "c"), '["a b"].c: wrong'),
    (("a", "", "\n"), 'a[""]["\\n"]: wrong'),
    (("é",), "é: wrong"),
    (("a",) * 30, "..." + ".a" * 20 + ": wrong"),
    (("x" * 100,), '["' + "x" * 56 + "...]: wrong"),
]


@pytest.mark.parametrize(("steps", "text"), PLACES, ids=[text for _, text in PLACES])
def test_places(steps, text):
    """The way to a value is told as one would write it."""
    assert as_text([(steps, "wrong")]) == text


def test_seen_from_outside():
    """Whoever reads the parts of something puts a step in front."""
    inner = expected("integer", "x")
    outer = Mismatch([*inner.below("count"), ((), "and this")])
    assert outer.below(3) == [((3, "count"), 'expected integer, got "x"'), ((3,), "and this")]


def test_many():
    """Ten are told, the others counted, as far as anybody counts."""
    assert as_text([((n,), "no") for n in range(12)]).endswith("[9]: no; and 2 more")
    assert as_text([((n,), "no") for n in range(100)]).endswith("; and many more")


def test_the_error():
    """What the caller gets says what does not fit, where, and has the text."""
    error = unfit("the answer does not fit", expected("string", 1), "1")
    assert (error.message, error.code, error.partial) == (
        "the answer does not fit: expected string, got 1",
        "schema_mismatch",
        "1",
    )

"""Functions as tools: what their signatures and docstrings say, and calls with what a model sends."""

from __future__ import annotations

import datetime
import enum
import functools
import gc
import pickle
import weakref
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Literal, Optional, Tuple, Union

import pytest

from majordomo import ConfigError, ProtocolError, Request, Tool
from majordomo.testing import FakeServer, Reply

TEXT, COUNT = {"type": "string"}, {"type": "integer"}


class Unit(enum.Enum):
    METRIC = "metric"
    IMPERIAL = "imperial"


@dataclass
class Place:
    """Somewhere.

    Attributes:
        city: Its name.
    """

    city: str
    country: str = "NO"


def google(city: str, days: int = 1):
    """The weather in a city.

    It is asked for anew each time.

    Args:
        city: Where, as in "Bergen".
        days (int, optional): How many days ahead;
            at most ten.

    Returns:
        A sentence.
    """
    return f"{city}: rain for {days}"


def numpy(city: str, days: int = 1):
    """The weather in a city.

    It is asked for anew each time.

    Parameters
    ----------
    city : str
        Where, as in "Bergen".
    days : int, optional
        How many days ahead;
        at most ten.

    Returns
    -------
    str
        A sentence.
    """
    return f"{city}: rain for {days}"


def rest(city: str, days: int = 1):
    """The weather in a city.

    It is asked for anew each time.

    :param str city: Where, as in "Bergen".
    :param days: How many days ahead;
        at most ten.
    :type days: int
    :returns: A sentence.
    """
    return f"{city}: rain for {days}"


@pytest.mark.parametrize("function", [google, numpy, rest])
def test_docstrings(function):
    """Name, description, parameters and what is said of each come from the function as it is written."""
    tool = Tool.from_function(function)
    assert tool == Tool(
        function.__name__,
        "The weather in a city.\n\nIt is asked for anew each time.",
        {
            "type": "object",
            "properties": {
                "city": {**TEXT, "description": 'Where, as in "Bergen".'},
                "days": {**COUNT, "description": "How many days ahead; at most ten.", "default": 1},
            },
            "required": ["city"],
            "additionalProperties": False,
        },
    )
    assert tool.function is function
    assert tool.call({"city": "Oslo"}) == "Oslo: rain for 1"


def everything(first: int, **_unused: Any):
    return first


def given(
    first,
    /,
    place: Place,
    when: datetime.date,
    unit: Unit = Unit.METRIC,
    *,
    kind: Literal["rain", "wind"] = "rain",
    near: Optional[List[Place]] = None,
    size: Tuple[int, int] = (1, 2),
    note: str | None = None,
):
    """Says what it was given."""
    return first, place, when, unit, kind, near, size, note


def second_of_two(first: int = 1, second: int = 2, /, third: int = 3):
    return first, second, third


def nothing():
    return "done"


def open_object(names: Dict[str, int]):
    return names


def takes_null(note: Optional[str] = "x"):
    return note


# A function, arguments as they come out of JSON, and what it gives.
CALLS = {
    "converted": (
        given,
        {
            "first": [1],
            "place": {"city": "Oslo"},
            "when": "2026-11-22",
            "unit": "imperial",
            "near": [{"city": "Rome", "country": "IT"}],
            "size": [3, 4.0],
        },
        ([1], Place("Oslo"), datetime.date(2026, 11, 22), Unit.IMPERIAL, "rain", [Place("Rome", "IT")], (3, 4), None),
    ),
    "defaults": (
        given,
        {"first": None, "place": {"city": "Oslo"}, "when": "2026-11-22"},
        (None, Place("Oslo"), datetime.date(2026, 11, 22), Unit.METRIC, "rain", None, (1, 2), None),
    ),
    "null where a default is meant": (google, {"city": "Oslo", "days": None}, "Oslo: rain for 1"),
    "null where it means something": (takes_null, {"note": None}, None),
    "by position": (second_of_two, {"second": 5, "third": 6}, (1, 5, 6)),
    "no arguments": (nothing, {}, "done"),
    "any names": (open_object, {"names": {"a": 1}}, {"a": 1}),
}


@pytest.mark.parametrize("case", CALLS)
def test_calls(case):
    """Arguments are converted to what the signature says; what is left out has its default."""
    function, arguments, result = CALLS[case]
    assert Tool.from_function(function).call(arguments) == result


MISFITS = {
    "a wrong type": (google, {"city": "Oslo", "days": "many"}, 'days: expected integer, got "many"'),
    "all that is wrong": (
        google,
        {"days": 1.5, "town": "x"},
        "city: missing; days: expected integer, got 1.5; town: not expected",
    ),
    "within": (
        given,
        {"first": 1, "place": {}, "when": "today"},
        'place.city: missing; when: expected a date (YYYY-MM-DD), got "today"',
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_arguments_that_do_not_fit(case):
    """Nothing is called with arguments that do not fit; the error says where they do not."""
    function, arguments, told = MISFITS[case]
    called = []
    tool = Tool.from_function(functools.wraps(function)(lambda *a, **k: called.append(a)))
    with pytest.raises(ProtocolError) as caught:
        tool.call(arguments)
    assert caught.value.message == f"the arguments do not fit: {told}"
    assert caught.value.code == "schema_mismatch"
    assert called == []


def test_a_tool_described_by_hand():
    """Arguments of a tool whose schema was written by hand are checked by it, and given as they are."""
    schema = {"type": "object", "properties": {"place": {"type": "object"}}, "required": ["place"]}

    def where(place: Place, **more: Any):
        return place, more

    tool = Tool("where", "", schema, where)
    assert tool.call({"place": {"city": "Oslo"}, "x": 1}) == ({"city": "Oslo"}, {"x": 1})
    with pytest.raises(ProtocolError, match="the arguments do not fit: place: missing"):
        tool.call({})
    assert Tool("where", "", {}, where).call({"place": 7}) == (7, {})


def test_a_tool_without_a_function():
    """Nobody here answers for a tool that is only described."""
    with pytest.raises(ConfigError, match="the tool x has no function"):
        Tool("x").call({})


def test_what_a_function_raises_is_its_own():
    """An error of the function passes through as it is, a ValueError too."""

    def fails(city: str):
        raise ValueError("no such city")

    with pytest.raises(ValueError, match="no such city") as caught:
        Tool.from_function(fails).call({"city": "x"})
    assert type(caught.value) is ValueError


def test_other_name_and_description():
    """Both may be said by hand; the rest is the function's."""
    tool = Tool.from_function(lambda city: city, name="echo", description="Says it again.")
    assert (tool.name, tool.description) == ("echo", "Says it again.")
    assert tool.parameters["properties"] == {"city": {}}
    assert tool.call({"city": [1]}) == [1]
    assert Tool.from_function(google, description="").description == ""


class Forecast:
    def __init__(self, scale):
        self.scale = scale

    def rain(self, days: int) -> int:
        """Rain in mm."""
        return self.scale * days

    def __call__(self, days: int) -> int:
        """Rain in cm."""
        return self.scale * days * 10

    @classmethod
    def made(cls, scale: int):
        return cls(scale).scale

    @staticmethod
    def plain(days: int):
        return days


def wrapped(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        return function(*args, **kwargs)

    return inner


CALLABLES = {
    "bound method": (Forecast(2).rain, "rain", "Rain in mm.", {"days": 3}, 6),
    "object": (Forecast(2), "Forecast", "Rain in cm.", {"days": 3}, 60),
    "class method": (Forecast.made, "made", "", {"scale": 4}, 4),
    "static method": (Forecast.plain, "plain", "", {"days": 4}, 4),
    "partial": (
        functools.partial(google, days=9),
        "google",
        "The weather in a city.\n\nIt is asked for anew each time.",
        {"city": "x"},
        "x: rain for 9",
    ),
    "decorated": (
        wrapped(google),
        "google",
        "The weather in a city.\n\nIt is asked for anew each time.",
        {"city": "x", "days": 2},
        "x: rain for 2",
    ),
}


@pytest.mark.parametrize("case", CALLABLES)
def test_whatever_can_be_called(case):
    """Methods, objects and functions that wrap others are tools as well."""
    function, name, description, arguments, result = CALLABLES[case]
    tool = Tool.from_function(function)
    assert (tool.name, tool.description) == (name, description)
    assert tool.call(arguments) == result


async def later(city: str):
    return city


def starred(*cities: str):
    return cities


def secret(key: bytes):
    return key


NO_TOOL = {
    "coroutine": (later, "later is a coroutine function"),
    "any number": (starred, r"starred\.cities: \*cities has no JSON Schema"),
    "any names": (everything, r"everything\._unused: \*\*_unused has no JSON Schema"),
    "a type without a schema": (secret, r"secret\.key: bytes has no JSON Schema"),
    "a lambda": (lambda x: x, "a lambda has no name"),
    "no function": (7, "not from a int"),
    "built in, and says nothing": (max, "max does not say which arguments it takes"),
}


@pytest.mark.parametrize("case", NO_TOOL)
def test_what_is_no_tool(case):
    """A function that cannot be called with arguments by name is a TypeError that says what is in the way."""
    function, told = NO_TOOL[case]
    with pytest.raises(TypeError, match=told):
        Tool.from_function(function)


def test_functions_among_the_tools_of_a_request():
    """A request takes functions where it takes tools."""
    assert Request("Hi", tools=[google, Tool("x")]).tools == (Tool.from_function(google), Tool("x"))
    with pytest.raises(TypeError, match="secret"):
        Request("Hi", tools=[secret])
    for one in (google, Tool("x")):
        with pytest.raises(ConfigError, match="put the one into brackets"):
            Request("Hi", tools=one)


def test_a_tool_that_was_changed_or_pickled():
    """A copy under another name, and one that was pickled, still converts."""
    tool = Tool.from_function(google)
    for copy in (replace(tool, name="other"), pickle.loads(pickle.dumps(tool)), deepcopy(tool)):
        assert copy.call({"city": "x", "days": 2.0}) == "x: rain for 2"


def test_a_schema_that_was_changed_by_hand():
    """Changed parameters count, and arguments are converted all the same; other tools know nothing of it."""
    tool = Tool.from_function(given)
    tool.parameters["properties"]["first"]["maximum"] = 3
    arguments = {"place": {"city": "Oslo"}, "when": "2026-11-22"}
    assert tool.call({"first": 3, **arguments})[1] == Place("Oslo")
    with pytest.raises(ProtocolError, match="first: expected at most 3, got 4"):
        tool.call({"first": 4, **arguments})
    assert Tool.from_function(given).call({"first": 4, **arguments})[0] == 4


def test_functions_are_not_kept_alive():
    """What was learned of a function goes with its tool, and with what it holds, also where types hold it."""

    class Large:
        pass

    def made():
        held = Large()

        @dataclass
        class Number:
            n: int

        def tool(number: Number):
            return held

        Number.tool = tool
        return Tool.from_function(tool), weakref.ref(held)

    tool, held = made()
    assert tool.call({"number": {"n": 1}}) is held()
    del tool
    gc.collect()
    assert held() is None


def send(key: str, to: str, subject: str = "none"):
    return f"{key}: {to}, {subject}"


def test_what_is_filled_in_stays_inside():
    """A parameter that `partial` has filled in by name is not shown to the model, and not its to choose."""
    for function in (
        functools.partial(send, key="sk-secret"),
        functools.partial(functools.partial(send, key="sk-secret"), subject="x"),
        wrapped(functools.partial(send, key="sk-secret")),
    ):
        tool = Tool.from_function(function, name="send")
        assert tool.function is function
        assert "sk-secret" not in repr(tool.parameters)
        assert tool.call({"to": "me"}).startswith("sk-secret: me")
        with pytest.raises(ProtocolError, match="key: not expected"):
            tool.call({"to": "me", "key": "other"})


def test_an_object_that_cannot_be_a_key():
    """An object is a tool whether or not it can be kept in a dict; names of the function that made it are known."""

    def made():
        @dataclass
        class Query:
            text: str

        @dataclass
        class Search:
            name: str

            def __call__(self, query: Query):
                return query

        return Tool.from_function(Search("s"))

    assert made().call({"query": {"text": "x"}}).text == "x"


Endless = Union[None, int, List["Endless"]]


def test_an_alias_without_an_end():
    """A type that is an alias of itself cannot be taken apart."""

    def walk(tree: Endless):
        return tree

    with pytest.raises(TypeError, match="walk"):
        Tool.from_function(walk)


def test_as_it_is_sent():
    """What a server is told of a function, over a real connection."""
    with FakeServer(Reply("Hi.")) as server:
        from majordomo import Registry

        Registry({"LLM_BOX": server.dsn()}).parse("box/m").generate("Hi", tools=[google])
        (sent,) = server.requests[0].json["tools"]
    assert sent["function"]["name"] == "google"
    assert sent["function"]["parameters"]["required"] == ["city"]

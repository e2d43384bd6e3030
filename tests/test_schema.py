"""Types as JSON Schemas, and answers read back as values of these types."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import importlib
import json
import pathlib
import subprocess
import sys
import threading
import typing
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import (
    Annotated,
    Any,
    Dict,
    FrozenSet,
    Generic,
    List,
    Literal,
    NamedTuple,
    NewType,
    Optional,
    Set,
    Tuple,
    TypedDict,
    TypeVar,
    Union,
)

import pytest

from majordomo import ProtocolError, Request
from majordomo._plain import plain
from majordomo.schema import json_schema, read_answer

T = TypeVar("T")
Number = TypeVar("Number", int, float)
Age = NewType("Age", int)
TEXT, COUNT, NULL = {"type": "string"}, {"type": "integer"}, {"type": "null"}


def closed(required, description=None, **properties):
    """The schema of an object that has these properties and no others."""
    said = {"description": description} if description else {}
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
        **said,
    }


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    """How loud it is."""

    LOW = 1
    HIGH = 9


class Shape(enum.Enum):
    POINT = (0, 0)
    LINE = (0, 1)


@dataclass
class Line:
    name: str
    count: int = 1


@dataclass
class Order:
    """What somebody wants.

    Args:
        note: For the kitchen.
    """

    lines: list[Line]
    note: str | None = None
    table: int = field(default=7, metadata={"description": "Where they sit."})


@dataclass
class Node:
    value: int
    children: List[Node] = field(default_factory=list)


@dataclass
class Left:
    right: Optional[Right] = None


@dataclass
class Right:
    left: Optional["Left"] = None


@dataclass
class Pair:
    first: Line
    second: Line


@dataclass(frozen=True)
class Checked:
    share: float

    def __post_init__(self):
        if not 0 <= self.share <= 1:
            raise ValueError("a share is from 0 to 1")


@dataclass
class Odd:
    given: str
    kept: typing.ClassVar[int] = 3
    made: int = field(default=0, init=False)
    when: datetime.datetime = field(default_factory=datetime.datetime.now)


@dataclass
class Base:
    a: str


@dataclass
class Derived(Base):
    b: int


@dataclass
class Page(Generic[T]):
    items: List[T]
    next: Optional[T] = None


@dataclass
class Any2(Generic[Number]):
    number: Number


class Point(NamedTuple):
    x: int
    y: int = 0


class Film(TypedDict):
    title: str
    year: int


class Rated(Film, total=False):
    stars: float


class Card(TypedDict):
    kind: Literal["card"]
    number: str


class Cash(TypedDict):
    kind: Literal["cash"]
    notes: List[int]


@dataclass
class Cat:
    kind: Literal["cat"]
    lives: int


@dataclass
class Dog:
    kind: Literal["dog", "puppy"]
    name: str


@dataclass
class Numbered(Page[int]):
    number: int = 1


@dataclass
class Bare(Numbered):
    pass


Functional = TypedDict("Functional", {"class": str, "a-b": int})
LINE = closed("name", name=TEXT, count={**COUNT, "default": 1})
NODE = closed("value", value=COUNT, children={"type": "array", "items": {"$ref": "#/$defs/Node"}, "default": []})


def optional(schema, **more):
    return {"anyOf": [schema, NULL], **more}


# A type, its schema (of a value that is no object, the part behind `value`), JSON, and the value that it stands for.
TYPES = {
    "str": (str, TEXT, '"é"', "é"),
    "int": (int, COUNT, "3", 3),
    "an integer that is written as a float": (int, COUNT, "3.0", 3),
    "float": (float, {"type": "number"}, "2.5", 2.5),
    "a float that is written as an integer": (float, {"type": "number"}, "2", 2.0),
    "bool": (bool, {"type": "boolean"}, "true", True),
    "None": (None, NULL, "null", None),
    "Any": (Any, {}, '{"a": [1, null]}', {"a": [1, None]}),
    "object": (object, {}, "[]", []),
    "date": (datetime.date, {**TEXT, "format": "date"}, '"2026-11-22"', datetime.date(2026, 11, 22)),
    "datetime": (
        datetime.datetime,
        {**TEXT, "format": "date-time"},
        '"2026-11-22T08:30:00.5Z"',
        datetime.datetime(2026, 11, 22, 8, 30, 0, 500000, datetime.timezone.utc),
    ),
    "datetime without a zone": (
        datetime.datetime,
        {**TEXT, "format": "date-time"},
        '"2026-11-22 08:30"',
        datetime.datetime(2026, 11, 22, 8, 30),
    ),
    "time": (datetime.time, {**TEXT, "format": "time"}, '"08:30:01"', datetime.time(8, 30, 1)),
    "Decimal": (
        decimal.Decimal,
        {**TEXT, "pattern": r"^[+-]?[0-9]+(\.[0-9]+)?$"},
        '"12.50"',
        decimal.Decimal("12.50"),
    ),
    "UUID": (uuid.UUID, {**TEXT, "format": "uuid"}, f'"{uuid.UUID(int=7)}"', uuid.UUID(int=7)),
    "Path": (pathlib.Path, TEXT, '"a/b.txt"', pathlib.Path("a/b.txt")),
    "enum": (Colour, {**TEXT, "enum": ["red", "blue"]}, '"blue"', Colour.BLUE),
    "enum of numbers": (Level, {**COUNT, "enum": [1, 9], "description": "How loud it is."}, "9", Level.HIGH),
    "enum of other things": (Shape, {**TEXT, "enum": ["POINT", "LINE"]}, '"LINE"', Shape.LINE),
    "Literal": (Literal["a", "b"], {**TEXT, "enum": ["a", "b"]}, '"b"', "b"),
    "Literal of all kinds": (Literal["a", 1, None], {"enum": ["a", 1, None]}, "null", None),
    "Literal of an enum": (Literal[Colour.RED], {**TEXT, "enum": ["red"]}, '"red"', Colour.RED),
    "Optional": (Optional[int], optional(COUNT), "null", None),
    "Union": (Union[int, List[int], str], {"anyOf": [COUNT, {"type": "array", "items": COUNT}, TEXT]}, "[1]", [1]),
    "Union whose first member fits": (
        Union[datetime.date, str],
        {"anyOf": [{**TEXT, "format": "date"}, TEXT]},
        '"2026-01-02"',
        datetime.date(2026, 1, 2),
    ),
    "Union of numbers": (Union[int, float], {"anyOf": [COUNT, {"type": "number"}]}, "2.5", 2.5),
    "NewType": (Age, COUNT, "9", 9),
    "Annotated": (Annotated[int, "in years", 7], {**COUNT, "description": "in years"}, "9", 9),
    "List": (List[int], {"type": "array", "items": COUNT}, "[1, 2.0]", [1, 2]),
    "list of floats": (list[float], {"type": "array", "items": {"type": "number"}}, "[1, 2.5]", [1.0, 2.5]),
    "list of anything": (list, {"type": "array", "items": {}}, '[1, "a"]', [1, "a"]),
    "Sequence": (Sequence[str], {"type": "array", "items": TEXT}, '["a"]', ["a"]),
    "set": (Set[str], {"type": "array", "items": TEXT, "uniqueItems": True}, '["a", "b"]', {"a", "b"}),
    "frozenset": (FrozenSet[int], {"type": "array", "items": COUNT, "uniqueItems": True}, "[1]", frozenset((1,))),
    "tuple of one kind": (Tuple[int, ...], {"type": "array", "items": COUNT}, "[1, 2]", (1, 2)),
    "tuple": (
        Tuple[int, str],
        {"type": "array", "prefixItems": [COUNT, TEXT], "minItems": 2, "maxItems": 2},
        '[1, "a"]',
        (1, "a"),
    ),
    "bare tuple": (tuple, {"type": "array", "items": {}}, "[1]", (1,)),
    "tuple of nothing": (Tuple[()], {"type": "array", "prefixItems": [], "minItems": 0, "maxItems": 0}, "[]", ()),
    "set of tuples": (
        Set[Tuple[int, ...]],
        {"type": "array", "items": {"type": "array", "items": COUNT}, "uniqueItems": True},
        "[[1, 2], []]",
        {(1, 2), ()},
    ),
    "list of classes": (
        List[Line],
        {"type": "array", "items": LINE},
        '[{"name": "a"}, {"name": "b", "count": 2}]',
        [Line("a"), Line("b", 2)],
    ),
}
OBJECTS = {
    "dataclass": (
        Order,
        closed(
            "lines",
            "What somebody wants.",
            lines={"type": "array", "items": LINE},
            note=optional(TEXT, description="For the kitchen.", default=None),
            table={**COUNT, "description": "Where they sit.", "default": 7},
        ),
        '{"lines": [{"name": "a"}], "note": null}',
        Order([Line("a")]),
    ),
    "null where nothing is said": (Line, LINE, '{"name": "a", "count": null}', Line("a")),
    "class used twice": (
        Pair,
        {
            **closed("first second", first={"$ref": "#/$defs/Line"}, second={"$ref": "#/$defs/Line"}),
            "$defs": {"Line": LINE},
        },
        '{"first": {"name": "a"}, "second": {"name": "b"}}',
        Pair(Line("a"), Line("b")),
    ),
    "class within itself": (
        Node,
        {**NODE, "$defs": {"Node": NODE}},
        '{"value": 1, "children": [{"value": 2, "children": [{"value": 3}]}]}',
        Node(1, [Node(2, [Node(3)])]),
    ),
    "classes within each other": (
        Left,
        {
            **closed(
                "",
                right=optional(
                    closed("", left=optional({"$ref": "#/$defs/Left"}, default=None)),
                    default=None,
                ),
            ),
            "$defs": {
                "Left": closed(
                    "",
                    right=optional(
                        closed("", left=optional({"$ref": "#/$defs/Left"}, default=None)),
                        default=None,
                    ),
                )
            },
        },
        '{"right": {"left": {}}}',
        Left(Right(Left())),
    ),
    "fields that are none": (
        Odd,
        closed("given", given=TEXT, when={**TEXT, "format": "date-time"}),
        '{"given": "a", "when": "2026-01-01T00:00:00"}',
        Odd("a", datetime.datetime(2026, 1, 1)),
    ),
    "inherited": (Derived, closed("a b", a=TEXT, b=COUNT), '{"a": "x", "b": 1}', Derived("x", 1)),
    "generic": (
        Page[Line],
        {
            **closed(
                "items",
                items={"type": "array", "items": {"$ref": "#/$defs/Line"}},
                next=optional({"$ref": "#/$defs/Line"}, default=None),
            ),
            "$defs": {"Line": LINE},
        },
        '{"items": [{"name": "a"}]}',
        Page([Line("a")]),
    ),
    "generic of nothing in particular": (
        Page,
        closed("items", items={"type": "array", "items": {}}, next=optional({}, default=None)),
        '{"items": [1]}',
        Page([1]),
    ),
    "bound in a base": (
        Bare,
        closed(
            "items",
            items={"type": "array", "items": COUNT},
            next=optional(COUNT, default=None),
            number={**COUNT, "default": 1},
        ),
        '{"items": [2]}',
        Bare([2]),
    ),
    "generic of some": (
        Any2,
        closed("number", number={"anyOf": [COUNT, {"type": "number"}]}),
        '{"number": 2}',
        Any2(2),
    ),
    "NamedTuple": (Point, closed("x", x=COUNT, y={**COUNT, "default": 0}), '{"x": 1}', Point(1)),
    "TypedDict": (
        Film,
        closed("title year", title=TEXT, year=COUNT),
        '{"title": "M", "year": 1931}',
        {"title": "M", "year": 1931},
    ),
    "TypedDict with parts that may be absent": (
        Rated,
        closed("title year", title=TEXT, year=COUNT, stars={"type": "number"}),
        '{"title": "M", "year": 1931, "stars": null}',
        {"title": "M", "year": 1931},
    ),
    "odd names": (
        Functional,
        closed("class a-b", **{"class": TEXT, "a-b": COUNT}),
        '{"class": "x", "a-b": 1}',
        {"class": "x", "a-b": 1},
    ),
    "Dict": (
        Dict[str, Line],
        {"type": "object", "additionalProperties": LINE},
        '{"x": {"name": "a"}}',
        {"x": Line("a")},
    ),
    "dict with names out of an enum": (
        Dict[Colour, int],
        {"type": "object", "additionalProperties": COUNT, "propertyNames": {**TEXT, "enum": ["red", "blue"]}},
        '{"red": 1}',
        {Colour.RED: 1},
    ),
    "Mapping": (Mapping[str, int], {"type": "object", "additionalProperties": COUNT}, '{"a": 1}', {"a": 1}),
    "dict": (dict, {"type": "object", "additionalProperties": True}, '{"a": null}', {"a": None}),
}


@pytest.mark.parametrize("case", TYPES)
def test_types(case):
    """A type that is no object's stands in one, as `value`; an answer may have it without."""
    of, schema, text, value = TYPES[case]
    assert json_schema(of)["properties"] == {"value": schema}
    assert json_schema(of)["required"] == ["value"]
    for answer in (text, f'{{"value": {text}}}'):
        found = read_answer(answer, of)
        assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("case", OBJECTS)
def test_objects(case):
    """A class is an object of its fields, and the answer an instance."""
    of, schema, text, value = OBJECTS[case]
    made = {name: part for name, part in json_schema(of).items() if name != "title"}
    assert made == schema
    found = read_answer(text, of)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("case", sorted({*TYPES, *OBJECTS} - {"fields that are none"}))
def test_there_and_back(case):
    """A value told as JSON is read back as it was, and its schema is JSON."""
    of, _, _, value = {**TYPES, **OBJECTS}[case]
    assert read_answer(json.dumps(plain(value)), of) == value
    assert json.loads(json.dumps(json_schema(of))) == json_schema(of)


def test_the_title_is_the_name():
    """The whole schema is called as its type."""
    assert [json_schema(of)["title"] for of in (Order, List[Order])] == ["Order", "answer"]


def test_a_dict_is_a_schema_already():
    """A dict is taken as it is, and checked by its own words."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    assert json_schema(schema) is schema
    assert read_answer('{"a": 1}', schema) == {"a": 1}
    with pytest.raises(ProtocolError, match=r'fit the schema: a: expected integer, got "x"$'):
        read_answer('{"a": "x"}', schema)


FENCED = {
    "alone": '{"a": 1}',
    "white space": ' \n{"a": 1}\n',
    "fenced": '```json\n{"a": 1}\n```',
    "fenced without a name": '```\n{"a": 1}\n```\n',
    "a byte order mark": '\ufeff```json\n{"a": 1}\n```',
    "words around a fence": 'Sure!\n\n```json\n{\n"a": 1}\n```\nAnything else?',
    "windows": 'Sure!\r\n```json\r\n{"a": 1}\r\n```\r\n',
}


@pytest.mark.parametrize("case", FENCED)
def test_where_the_json_is(case):
    """The JSON of an answer stands alone, or is the one thing in it that is fenced."""
    assert read_answer(FENCED[case], {}) == {"a": 1}


NO_JSON = {
    "nothing": "",
    "words": "Sure!",
    "an empty fence": "```json\n```",
    "an open fence": '```json\n{"a": 1}',
    "two fences": "```\n1\n```\nor\n```\n2\n```",
    "a cut object": '{"a": ',
    "Python": "{'a': 1}",
    "deep": "[" * 100_000,
    "a number that never ends": "9" * 5000,
}


@pytest.mark.parametrize("case", NO_JSON)
@pytest.mark.parametrize("of", [{}, Line], ids=["dict", "type"])
def test_no_json(case, of):
    """What is no JSON is a mismatch with the text, and no other exception."""
    with pytest.raises(ProtocolError) as caught:
        read_answer(NO_JSON[case], of)
    assert (caught.value.code, caught.value.partial) == ("schema_mismatch", NO_JSON[case])


# A type, an answer that does not fit, and what is said of it.
MISMATCHES = {
    "place": (Order, '{"lines": [{"name": "a", "count": "many"}]}', 'lines[0].count: expected integer, got "many"'),
    "all places": (
        Order,
        '{"lines": [{"count": 1}, 7], "note": 1, "tables": 3}',
        "lines[0].name: missing; lines[1]: expected object, got 7; note: expected string or null, got 1; "
        "tables: not expected",
    ),
    "top": (Line, "[1]", "expected object, got an array of 1"),
    "root": (List[int], '{"value": [1, "b"]}', 'value[1]: expected integer, got "b"'),
    "root without its object": (List[int], '[1, "b"]', '[1]: expected integer, got "b"'),
    "bool is no number": (List[int], "[true]", "[0]: expected integer, got true"),
    "bool is no float": (float, "true", "expected number, got true"),
    "number is no bool": (bool, "1", "expected boolean, got 1"),
    "fraction": (int, "2.5", "expected integer, got 2.5"),
    "number is no text": (str, "1", "expected string, got 1"),
    "infinite": (List[float], "[1e999]", "[0]: expected a finite number, got Infinity"),
    "infinite in a class": (Checked, '{"share": -1e999}', "share: expected a finite number, got -Infinity"),
    "not a number": (float, "NaN", "expected a finite number, got NaN"),
    "infinite among anything": (
        Dict[str, Any],
        '{"a": [{"b": -1e999}]}',
        "a: expected finite numbers alone, got -Infinity",
    ),
    "huge": (
        float,
        "1" + "0" * 400,
        "expected a finite number, got 100000000000000000000000000000000000000000000000000000000...",
    ),
    "null where something is wanted": (Line, '{"name": null}', "name: expected string, got null"),
    "date": (datetime.date, '"2026-02-30"', 'expected a date (YYYY-MM-DD), got "2026-02-30"'),
    "date of a time": (
        datetime.date,
        '"2026-02-03T00:00:00"',
        'expected a date (YYYY-MM-DD), got "2026-02-03T00:00:00"',
    ),
    "datetime of a date": (datetime.datetime, '"2026-02-03"', 'expected a date and time (ISO 8601), got "2026-02-03"'),
    "decimal": (decimal.Decimal, '"1e999999999"', 'expected a decimal number, as a string, got "1e999999999"'),
    "uuid": (uuid.UUID, '"7"', 'expected a UUID, got "7"'),
    "path": (pathlib.Path, '"a\\u0000b"', 'expected a path, got "a\\u0000b"'),
    "enum": (Colour, '"green"', 'expected one of "red", "blue", got "green"'),
    "enum of one": (Literal["a"], "1", 'expected "a", got 1'),
    "True is no 1": (Literal[1, 2], "true", "expected one of 1, 2, got true"),
    "list of lists in an enum": (Colour, "[1]", 'expected one of "red", "blue", got an array of 1'),
    "twice in a set": (Set[str], '["a", "a"]', "expected every item once"),
    "objects in a set": (Set[Any], '[{"a": 1}]', "expected items that can be told apart, as a set's"),
    "items of a tuple of nothing": (Tuple[()], "[1]", "expected 0 items, got 1"),
    "short tuple": (Tuple[int, str], "[1]", "expected 2 items, got 1"),
    "tuple": (Tuple[int, str], '["a", "b"]', '[0]: expected integer, got "a"'),
    "nothing of a union": (Union[int, List[int]], '"a"', 'expected integer or array, got "a"'),
    "one of a union": (Union[int, List[int]], '["a"]', '[0]: expected integer, got "a"'),
    "nearest of a union": (
        Union[Card, Cash],
        '{"kind": "cash", "notes": [5, "ten"]}',
        'notes[1]: expected integer, got "ten"',
    ),
    "union of classes by their tag": (
        List[Union[Cat, Dog]],
        '[{"kind": "dog", "name": 3}]',
        "[0].name: expected string, got 3",
    ),
    "tag of none": (
        Union[Cat, Dog],
        '{"kind": "cow", "name": 3}',
        'kind: expected one of "cat", "dog", "puppy", got "cow"',
    ),
    "no tag": (Union[Cat, Dog], '{"lives": 9}', "kind: missing"),
    "check of a class": (List[Checked], '[{"share": 0.5}, {"share": 3}]', "[1]: a share is from 0 to 1"),
    "odd name": (Dict[str, int], '{"a b": "x"}', '["a b"]: expected integer, got "x"'),
    "name of an enum": (Dict[Colour, int], '{"green": 1}', 'green: expected one of "red", "blue", got "green"'),
    "deep in a tree": (
        Node,
        '{"value": 1, "children": [{"value": 2, "children": [{"value": "3"}]}]}',
        'children[0].children[0].value: expected integer, got "3"',
    ),
    "long text": (int, json.dumps("x" * 500), 'expected integer, got "' + "x" * 56 + "..."),
    "many": (
        List[int],
        json.dumps(["x"] * 30),
        "; ".join(f'[{n}]: expected integer, got "x"' for n in range(10)) + "; and 20 more",
    ),
}


@pytest.mark.parametrize("case", MISMATCHES)
def test_mismatches(case):
    """A value that does not fit is told with the place of everything that is wrong, and with the text."""
    of, text, told = MISMATCHES[case]
    with pytest.raises(ProtocolError) as caught:
        read_answer(text, of)
    assert caught.value.message == f"the answer does not fit the schema: {told}"
    assert (caught.value.code, caught.value.partial) == ("schema_mismatch", text)


@dataclass
class Binary:
    name: str
    parts: List[Dict[str, bytes]]


@dataclass
class Lost:
    other: Nowhere  # noqa: F821


@dataclass
class Syntax:
    other: "List[int"  # noqa: F722


@dataclass
class Initial:
    a: dataclasses.InitVar[int]


@dataclass
class Called:
    a: typing.Callable[[int], int]


@dataclass(init=False)
class Own:
    a: int

    def __init__(self, b):
        self.a = b


class Plain:
    pass


class Empty(enum.Enum):
    pass


@dataclass
class Ours:
    other: nearby  # noqa: F821  # as something is called in a function that is running


NO_SCHEMA = {
    "bytes": (bytes, "bytes has no JSON Schema"),
    "a field": (Binary, r"Binary\.parts\[\]\[\]: bytes has no JSON Schema"),
    "a name that is nowhere": (Lost, r"Lost\.other: the annotation 'Nowhere' cannot be read here"),
    "a name of somebody else's function": (Ours, r"Ours\.other: the annotation 'nearby' cannot be read here"),
    "half an annotation": (Syntax, r"Syntax\.other: the annotation 'List\[int' cannot be read here"),
    "InitVar": (Initial, r"Initial\.a: an InitVar has no JSON Schema"),
    "a function": (Called, r"Called\.a: .*Callable.* has no JSON Schema"),
    "a class with an __init__ of its own": (Own, "Own has an __init__ of its own"),
    "a namedtuple of no types": (collections.namedtuple("Two", "a b"), "Two has no JSON Schema"),
    "a set of lists": (Set[List[int]], r"a set cannot hold .*List\[int\]"),
    "a set of what changes": (Set[Line], "a set cannot hold Line"),
    "a plain class": (Plain, "Plain has no JSON Schema"),
    "an enum of nothing": (Empty, "the enum Empty has no members"),
    "names that are no text": (Dict[int, str], "int cannot be the name of a property"),
    "a Literal that is no JSON": (Literal[b"x"], "b'x' cannot stand in JSON"),
    "complex": (List[complex], "complex has no JSON Schema"),
    "no type": (7, "7 has no JSON Schema"),
    "a name": ("int", r"a dict or a type \(list\[City\], say\), and no str"),
    "a list": ([int], "and no list"),
    "an instance": (Line("a"), "a schema is a type: Line itself, not an instance of it"),
    "a generic that is unknown": (typing.Type[int], "has no JSON Schema"),
}


@pytest.mark.parametrize("case", NO_SCHEMA)
def test_types_without_a_schema(case):
    """A type that has no schema is a TypeError that names the field, each time it is asked for."""
    of, told = NO_SCHEMA[case]
    nearby = int  # for `Ours`, which was not made in this function
    for _ in range(2):
        assert nearby
        with pytest.raises(TypeError, match=told):
            json_schema(of)


def test_classes_within_a_function():
    """A class may know others that are made in the same function, be they written as text."""

    @dataclass
    class Inner:
        a: int

    @dataclass
    class Outer:
        inner: List[Inner]
        again: "Optional[Outer]" = None

    assert read_answer('{"inner": [{"a": 1}], "again": {"inner": []}}', Outer) == Outer([Inner(1)], Outer([]))


def test_two_classes_of_one_name():
    """Classes that are called alike stay apart."""

    first, second = (dataclasses.make_dataclass("Same", [("a", kind)]) for kind in (int, str))
    both = dataclasses.make_dataclass("Both", [("a", List[first]), ("b", List[second]), ("c", first), ("d", second)])
    assert set(json_schema(both)["$defs"]) == {"Same", "Same2"}
    found = read_answer('{"a": [{"a": 1}], "b": [{"a": "x"}], "c": {"a": 2}, "d": {"a": "y"}}', both)
    assert (found.a, found.b, found.c, found.d) == ([first(1)], [second("x")], first(2), second("y"))


def test_what_only_type_checkers_import():
    """Annotations may use names of `typing` that are imported for type checkers alone, `X | None` on any Python."""
    code = (
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "TYPE_CHECKING = False\n"
        "if TYPE_CHECKING:\n    from typing import Optional\n"
        "@dataclass\nclass A:\n    a: Optional[int] = None\n    b: dict[str, int | str | None] | None = None\n"
    )
    module = sys.modules["made_here"] = type(sys)("made_here")
    try:
        exec(compile(code, "made", "exec"), vars(module))
        made = module.A
        found = read_answer('{"a": 3, "b": {"x": "y", "z": null}}', made)
        assert (found.a, found.b) == (3, {"x": "y", "z": None})
    finally:
        del sys.modules["made_here"]


def test_markers_of_typed_dicts():
    """`Required` and `NotRequired` say whether a part may be absent, where Python has them."""
    if not hasattr(typing, "NotRequired"):
        pytest.skip("from Python 3.11 on")
    made = TypedDict("made", {"a": int, "b": "typing.NotRequired[str]"})
    assert json_schema(made)["required"] == ["a"]
    assert read_answer('{"a": 1}', made) == {"a": 1}


def test_deep_in_a_chain():
    """What is wrong deep inside is found in one reading."""
    text = '{"value": 1, "children": [' * 60 + '{"value": "x"}' + "]}" * 60
    place = r"\.\.\.(\.children\[0\]|\[0\])(\.children\[0\])+\.value"
    with pytest.raises(ProtocolError, match=f'{place}: expected integer, got "x"'):
        read_answer(text, Node)


@pytest.mark.parametrize("of", [Set[int], FrozenSet[decimal.Decimal], Set[uuid.UUID]], ids=["int", "Decimal", "UUID"])
def test_numbers_that_fall_into_one_slot(of):
    """Numbers made up to make a set slow are no set; a million of them would take hours."""
    numbers = [n * sys.hash_info.modulus for n in range(1, 20001)]
    told = {
        int: numbers,
        decimal.Decimal: [str(n) for n in numbers],
        uuid.UUID: [str(uuid.UUID(int=n)) for n in numbers],
    }
    with pytest.raises(ProtocolError, match="every item once"):
        read_answer(json.dumps(told[typing.get_args(of)[0]]), of)


def test_generics_in_text():
    """A generic class of a user's own may stand in an annotation that is text."""

    @dataclass
    class Books:
        page: Page[Line]
        other: Page[int] | None = None

    assert read_answer('{"page": {"items": [{"name": "a"}]}}', Books) == Books(Page([Line("a")]))


@dataclass
class Box(Generic[T]):
    page: Page[T]


@dataclass
class Boxes:
    numbers: Box[int]
    texts: Box[str]


def test_generics_within_generics():
    """What a parameter stands for is told for each use."""
    found = read_answer('{"numbers": {"page": {"items": [1]}}, "texts": {"page": {"items": ["a"]}}}', Boxes)
    assert found == Boxes(Box(Page([1])), Box(Page(["a"])))
    with pytest.raises(ProtocolError, match=r"texts\.page\.items\[0\]: expected string, got 1"):
        read_answer('{"numbers": {"page": {"items": [1]}}, "texts": {"page": {"items": [1]}}}', Boxes)


@dataclass
class Linked(Generic[T]):
    value: T
    next: Optional[Linked[T]] = None


A, B = TypeVar("A"), TypeVar("B")


@dataclass
class Both(Generic[A, B]):
    a: A
    b: B
    kids: List[Both[A, B]] = field(default_factory=list)


@dataclass
class Growing(Generic[T]):
    value: T
    next: Optional[Growing[List[T]]] = None


def test_generics_that_hold_themselves():
    """A generic class may stand within itself, but not for ever new types."""
    assert read_answer('{"value": 1, "next": {"value": 2}}', Linked[int]) == Linked(1, Linked(2))
    assert read_answer('{"a": 1, "b": "x", "kids": [{"a": 2, "b": "y"}]}', Both[int, str]).kids == [Both(2, "y")]
    with pytest.raises(ProtocolError, match=r"kids\[0\]\.b: expected string, got 2"):
        read_answer('{"a": 1, "b": "x", "kids": [{"a": 2, "b": 2}]}', Both[int, str])
    with pytest.raises(TypeError, match="Growing stands within itself for ever new types"):
        json_schema(Growing[int])


def test_a_diamond_of_bases():
    """What a base was bound to stays, also where it is met again."""

    @dataclass
    class Left(Page[int]):
        pass

    @dataclass
    class Right(Page):
        pass

    @dataclass
    class Bottom(Left, Right):
        pass

    assert json_schema(Bottom)["properties"]["items"]["items"] == COUNT


def test_a_typed_dict_within_a_function():
    """A TypedDict knows the classes of the function that it was made in."""

    @dataclass
    class Inner:
        a: int

    class Outer(TypedDict):
        inner: Inner

    assert read_answer('{"inner": {"a": 1}}', Outer) == {"inner": Inner(1)}


def test_names_that_fall_into_one_slot():
    """Names of properties that are converted are told apart as the items of a set."""
    many = {str(uuid.UUID(int=n * sys.hash_info.modulus)): 1 for n in range(1, 9001)}
    for of, answer in ((Dict[uuid.UUID, int], many), (Dict[decimal.Decimal, int], {"1": 1, "1.0": 2})):
        with pytest.raises(ProtocolError, match="every item once"):
            read_answer(json.dumps(answer), of)


@dataclass
class Wide:
    numbers: List[int]
    left: Optional[Wide] = None
    right: Optional[Wide] = None


def test_many_mismatches_far_inside():
    """Of a tree full of mistakes no more are carried along than anybody reads."""
    tree: dict = {}
    for _ in range(12):
        tree = {"numbers": ["x"] * 50, "left": tree, "right": tree}
    with pytest.raises(ProtocolError, match="and many more"):
        read_answer(json.dumps(tree), Wide)


class Named(Point):
    """A NamedTuple with a method."""

    def far(self):
        return self.x > 9


def test_a_named_tuple_with_methods():
    """A NamedTuple may have subclasses."""
    assert read_answer('{"x": 10}', Named).far()


class Half(enum.Enum):
    HALF = 0.5
    ONE = 1.0


@pytest.mark.parametrize(
    ("of", "text", "value"), [(Half, "1", Half.ONE), (Literal[1], "1.0", 1), (Level, "9.0", Level.HIGH)]
)
def test_numbers_that_are_equal(of, text, value):
    """1 and 1.0 are one number in JSON, in an enum too."""
    found = read_answer(text, of)
    assert (found, type(found)) == (value, type(value))


def test_the_order_of_a_union_counts():
    """The first member that fits is taken, whatever was asked for before."""
    for of, kind in ((Union[int, float], int), (Union[float, int], float), (Union[int, float], int)):
        assert type(read_answer("3", of)) is kind


def test_modules_of_bases(tmp_path, monkeypatch):
    """Annotations of a base are read where the base was written, those of TypedDicts too."""
    (tmp_path / "first_of_two.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom typing import TypedDict\n"
        "class Item(TypedDict):\n    n: int\n"
        "class Base(TypedDict):\n    item: Item\n"
        "@dataclass\nclass Place:\n    street: str\n"
        "@dataclass\nclass Person:\n    place: Place\n"
    )
    (tmp_path / "second_of_two.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nimport first_of_two\n"
        "Item = str\n"
        "class Child(first_of_two.Base):\n    more: int\n"
        "@dataclass\nclass Place(first_of_two.Person):\n    number: int = 0\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    second = importlib.import_module("second_of_two")
    assert read_answer('{"item": {"n": 1}, "more": 2}', second.Child) == {"item": {"n": 1}, "more": 2}
    assert read_answer('{"place": {"street": "a"}}', second.Place).place.street == "a"


Ligature = TypedDict("Ligature", {"__debug__": int, "\ufb01": str, 'a"b': int})


def test_names_that_python_reads_otherwise():
    """A property is called as it was written, whatever Python makes of such a name."""
    answer = {"__debug__": 1, "\ufb01": "x", 'a"b': 2}
    assert read_answer(json.dumps(answer), Ligature) == answer


def test_a_schema_that_is_changed():
    """What is handed out is a copy: nobody else's requests change with it."""
    before = json.dumps(json_schema(Line))
    json_schema(Line)["properties"].clear()
    Request("Hi", schema=Line).to_dict()["schema"]["properties"].clear()
    assert json.dumps(json_schema(Line)) == before


def test_nothing_is_read_twice_over():
    """Unions within unions that fit in part do not take time without end."""

    @dataclass
    class Fork:
        child: Union[Fork, Knife, int]

    @dataclass
    class Knife:
        child: Union[Fork, Knife, int]

    text = '{"child": ' * 200 + '"x"' + "}" * 200
    with pytest.raises(ProtocolError, match="expected"):
        read_answer(text, Fork)


def test_too_deep():
    """A value that is nested more deeply than can be followed is a mismatch."""
    text = '{"value": 1, "children": [' * 400 + "]}" * 400
    try:
        read_answer(text, Node)
    except ProtocolError as exc:
        assert exc.code == "schema_mismatch"
    everywhere = '{"a": ' * 900 + "1" + "}" * 900
    with pytest.raises(ProtocolError) as caught:
        read_answer(
            everywhere,
            {"$ref": "#/$defs/a", "$defs": {"a": {"additionalProperties": {"$ref": "#/$defs/a"}, "type": "object"}}},
        )
    assert caught.value.code == "schema_mismatch"


def test_numbers_that_json_does_not_have():
    """Infinity and NaN are refused wherever they stand, also where a schema says nothing."""
    for text in ('{"a": [NaN]}', '{"a": {"b": 1e999}}', "-Infinity"):
        for of in ({}, {"type": "object"}, Any):
            with pytest.raises(ProtocolError, match="expected"):
                read_answer(text, of)


@dataclass
class Wrapping:
    value: Optional[bool]


def test_a_class_that_looks_like_what_is_put_around():
    """An object of one `value` is read as itself where what is in it does not fit."""
    assert read_answer('{"value": {"value": true}}', Optional[Wrapping]) == Wrapping(True)
    assert read_answer('{"value": true}', Optional[Wrapping]) == Wrapping(True)


def test_what_a_class_complains_of_is_short():
    """The words of a class about its values are held to one line, of a length that can be read."""

    @dataclass
    class Loud:
        text: str

        def __post_init__(self):
            raise ValueError(self.text)

    with pytest.raises(ProtocolError) as caught:
        read_answer(json.dumps({"text": "\x1b[31m\n" + "x" * 100_000}), Loud)
    assert len(caught.value.message) < 500
    assert caught.value.message.isprintable()


def test_a_bug_is_no_mismatch():
    """What a class raises other than a ValueError is its own, and passes through."""

    @dataclass
    class Broken:
        a: int

        def __post_init__(self):
            raise KeyError("a bug")

    with pytest.raises(KeyError):
        read_answer('{"a": 1}', Broken)


def test_defaults_that_json_cannot_tell():
    """A default that has no form in JSON is not told, and holds all the same."""

    @dataclass
    class Made:
        a: Any = dataclasses.field(default=object)
        b: float = float("nan")
        e: float = float("inf")
        c: Colour = Colour.RED
        d: Set[str] = field(default_factory=set)

    properties = json_schema(Made)["properties"]
    assert {name: "default" in part for name, part in properties.items()} == {
        "a": False,
        "b": False,
        "e": False,
        "c": True,
        "d": True,
    }
    assert properties["c"]["default"] == "red"
    assert read_answer("{}", Made).a is object


def test_made_by_many_threads_at_once():
    """Threads that need a schema for the first time get the same one."""
    made = dataclasses.make_dataclass("Fresh", [(f"f{n}", List[Line]) for n in range(20)])
    found: list = []
    threads = [threading.Thread(target=lambda: found.append(json_schema(made))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(schema == found[0] for schema in found)


PLAIN = {
    "dataclass": (Order([Line("a")]), {"lines": [{"name": "a", "count": 1}], "note": None, "table": 7}),
    "set": ({"b", "a"}, ["a", "b"]),
    "tuple": ((1, (2.5, None)), [1, [2.5, None]]),
    "NamedTuple": (Point(1), {"x": 1, "y": 0}),
    "enum": (Level.HIGH, 9),
    "enum of other things": ({Shape.LINE: 1}, {"LINE": 1}),
    "date": (datetime.datetime(2026, 1, 2, 3), "2026-01-02T03:00:00"),
    "Decimal": (decimal.Decimal("1.50"), "1.50"),
    "names that are no text": ({1: {None: 2}}, {"1": {"null": 2}}),
}


@pytest.mark.parametrize("case", PLAIN)
def test_plain(case):
    """A value of Python's is told as JSON values."""
    value, told = PLAIN[case]
    assert plain(value) == told
    assert json.loads(json.dumps(plain(value))) == told


@pytest.mark.parametrize("value", [b"x", object(), {(1, 2): 3}, [Plain], 1j, Plain])
def test_what_is_not_plain(value):
    """What JSON has no form for is a TypeError."""
    with pytest.raises(TypeError, match="in JSON"):
        plain(value)


def test_no_type_is_taken_apart_before_it_is_needed():
    """Schemas given as dicts need none of what reads types."""
    code = (
        "import sys; from majordomo.schema import read_answer; read_answer('{}', {});"
        "print('majordomo._types' in sys.modules, 'dataclasses' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=pathlib.Path(__file__).parent.parent,
    )
    assert done.stdout.split() == ["False", "False"]

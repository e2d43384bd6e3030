"""Values against JSON Schemas: what fits, what does not and where, what is odd, what is hostile."""

from __future__ import annotations

import copy
import gc
import json
import sys

import pytest

from majordomo import _validation
from majordomo._mismatch import Mismatch, as_text
from majordomo._reference import referred
from majordomo._validation import check

INFINITE, NO_NUMBER = float("inf"), float("nan")
TREE = {"type": "object", "properties": {"next": {"$ref": "#"}, "n": {"type": "integer"}}, "required": ["n"]}
CIRCLE = {"type": "object", "properties": {"kind": {"const": "circle"}, "r": {"type": "number"}}, "required": ["r"]}
SQUARE = {"type": "object", "properties": {"kind": {"const": "square"}, "a": {"type": "number"}}, "required": ["a"]}
FAR, NEAR = {"required": ["a", "b"]}, {"required": ["a"]}
NAMED = {"$defs": {"circle": CIRCLE, "square": SQUARE, "kind": {"enum": ["x", "y"]}, "far": FAR, "near": NEAR}}

# Keyword -> (schema, values that fit, values that do not and what is told of them)
KEYWORDS = {
    "true": (True, [1, None, {}, [INFINITE]], []),
    "false": (False, [], [(1, "not expected"), (None, "not expected")]),
    "nothing": ({}, [1, None, {}, ""], [(INFINITE, "expected a finite number, got Infinity")]),
    "type: null": ({"type": "null"}, [None], [(0, "expected null, got 0"), ("", 'expected null, got ""')]),
    "type: boolean": ({"type": "boolean"}, [True, False], [(1, "expected boolean, got 1")]),
    "type: string": ({"type": "string"}, ["", "x"], [(1, "expected string, got 1"), ([], "expected string, got []")]),
    "type: integer": (
        {"type": "integer"},
        [0, -7, 3.0, 10**400],
        [(3.5, "expected integer, got 3.5"), (True, "expected integer, got true"), ("3", 'expected integer, got "3"')],
    ),
    "type: number": (
        {"type": "number"},
        [0, 0.5, 1e300],
        [
            (True, "expected number, got true"),
            (INFINITE, "expected a finite number, got Infinity"),
            (NO_NUMBER, "expected a finite number, got NaN"),
        ],
    ),
    "type: object": ({"type": "object"}, [{}, {"a": 1}], [([1, 2], "expected object, got an array of 2")]),
    "type: array": ({"type": "array"}, [[], [1]], [({"a": 1}, "expected array, got an object of 1")]),
    "types": ({"type": ["integer", "null"]}, [1, None], [("x", 'expected integer or null, got "x"')]),
    "enum": (
        {"enum": ["a", 1, None, {"x": [1, 2]}]},
        ["a", 1, 1.0, None, {"x": [1.0, 2]}],
        [(True, 'expected one of "a", 1, null, an object of 1, got true'), ({"x": [2, 1]}, None), ("1", None)],
    ),
    "enum, long": (
        {"enum": list(range(25))},
        [24],
        [(25, "expected one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ..., got 25")],
    ),
    "enum beside a type": ({"type": "string", "enum": ["a", "b"]}, ["a"], [(1, 'expected one of "a", "b", got 1')]),
    "const": ({"const": 1}, [1, 1.0], [(True, "expected 1, got true"), ("1", 'expected 1, got "1"')]),
    "const: false": ({"const": False}, [False], [(0, "expected false, got 0"), (None, "expected false, got null")]),
    "const: []": ({"const": []}, [[]], [({}, "expected [], got {}"), ([[]], "expected [], got an array of 1")]),
    "const: object": ({"const": {"a": 1, "b": "2"}}, [{"b": "2", "a": 1.0}], [({"a": 1, "b": 2}, None)]),
    "const: 0": ({"const": 0}, [0, -0.0], [(False, "expected 0, got false"), (1e-300, "expected 0, got 1e-300")]),
    "minimum": ({"minimum": 3}, [3, 3.5, "x"], [(2, "expected at least 3, got 2")]),
    "maximum": ({"maximum": 3}, [3, True], [(3.5, "expected at most 3, got 3.5"), (10**400, None)]),
    "exclusiveMinimum": ({"exclusiveMinimum": 3}, [3.1], [(3, "expected more than 3, got 3")]),
    "exclusiveMaximum": ({"exclusiveMaximum": 3.5}, [3], [(3.5, "expected less than 3.5, got 3.5")]),
    "multipleOf": ({"multipleOf": 3}, [0, 9, -3, 6.0, "x"], [(10, "expected a multiple of 3, got 10")]),
    "multipleOf, decimal": (
        {"multipleOf": 0.1},
        [0.3, 1.1, 7, 1e300, 0.1, -0.7],
        [(0.35, "expected a multiple of 0.1, got 0.35"), (1e-300, None)],
    ),
    "multipleOf, tiny": ({"multipleOf": 1e-8}, [1.5e-7, 12391239123], [(1e-9, None)]),
    "minLength": ({"minLength": 2}, ["ab", 1], [("a", 'expected at least 2 characters, got "a"'), ("😀", None)]),
    "maxLength": ({"maxLength": 1}, ["", "😀"], [("ab", 'expected at most 1 character, got "ab"')]),
    "minItems": ({"minItems": 1}, [[0], {}], [([], "expected at least 1 item, got []")]),
    "maxItems": ({"maxItems": 2.0}, [[0, 0]], [([0, 0, 0], "expected at most 2 items, got an array of 3")]),
    "minProperties": ({"minProperties": 2}, [{"a": 1, "b": 1}, []], [({}, "expected at least 2 properties, got {}")]),
    "maxProperties": (
        {"maxProperties": 1},
        [{"a": 1}],
        [({"a": 1, "b": 1}, "expected at most 1 property, got an object of 2")],
    ),
    "uniqueItems": (
        {"uniqueItems": True},
        [[1, True, "1", [1], {"a": 1}, None, "None", 0, False], [[1, "2"], ["1", 2]], "xx"],
        [
            (["a", "b", "a"], '[2]: expected no item twice, got "a"'),
            ([1, 1.0], "[1]: expected no item twice, got 1.0"),
            ([{"a": 1, "b": [2]}, {"b": [2.0], "a": 1}], "[1]: expected no item twice, got an object of 2"),
        ],
    ),
    "uniqueItems: false": ({"uniqueItems": False}, [[1, 1]], []),
    "properties": (
        {"properties": {"a": {"type": "integer"}, "b": False}},
        [{}, {"a": 1, "c": "x"}, [], "a"],
        [({"a": "many", "b": 1}, 'a: expected integer, got "many"; b: not expected')],
    ),
    "required": ({"required": ["a", "b"]}, [{"a": None, "b": 1}, []], [({"c": 1}, "a: missing; b: missing")]),
    "additionalProperties: false": (
        {"properties": {"a": True}, "additionalProperties": False},
        [{"a": 1}, {}],
        [({"a": 1, "b c": 1, "d": 2}, '["b c"]: not expected; d: not expected')],
    ),
    "additionalProperties": (
        {"properties": {"a": True}, "additionalProperties": {"type": "integer"}},
        [{"a": "x", "b": 1}],
        [({"b": "x"}, 'b: expected integer, got "x"'), ({"b": None}, "b: expected integer, got null")],
    ),
    "propertyNames": (
        {"propertyNames": {"maxLength": 2}},
        [{"ab": 1}],
        [({"abc": 1}, 'abc: expected at most 2 characters, got "abc"')],
    ),
    "propertyNames: false": ({"propertyNames": False}, [{}], [({"a": 1}, "a: not expected")]),
    "items": (
        {"items": {"type": "integer"}},
        [[], [1, 2], {"a": "b"}],
        [([1, "x", None], '[1]: expected integer, got "x"; [2]: expected integer, got null')],
    ),
    "items: false": ({"items": False}, [[]], [([1], "[0]: not expected")]),
    "prefixItems": (
        {"prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
        [["a", 1], ["a"], []],
        [([1], "[0]: expected string, got 1"), (["a", 1, 2], "[2]: not expected")],
    ),
    "items, as they were": (
        {"items": [{"type": "string"}], "additionalItems": {"type": "integer"}},
        [["a", 1], ["a"]],
        [([1, "b"], '[0]: expected string, got 1; [1]: expected integer, got "b"')],
    ),
    "additionalItems alone": ({"additionalItems": False}, [[1]], []),
    "contains": (
        {"contains": {"type": "integer"}},
        [["a", 1], {}],
        [(["a"], "expected at least 1 that fit `contains`, got 0"), ([], None)],
    ),
    "minContains": (
        {"contains": {"type": "integer"}, "minContains": 2},
        [[1, 2, "x"]],
        [([1], "expected at least 2 that fit `contains`, got 1")],
    ),
    "minContains: 0": ({"contains": {"type": "integer"}, "minContains": 0}, [[], ["a"]], []),
    "dependentRequired": (
        {"dependentRequired": {"a": ["b", "c"]}},
        [{}, {"b": 1}, {"a": 1, "b": 1, "c": 1}],
        [({"a": 1, "c": 1}, 'b: missing beside "a"')],
    ),
    "dependentSchemas": (
        {"dependentSchemas": {"a": {"required": ["b"]}}},
        [{}, {"a": 1, "b": 1}],
        [({"a": 1}, "b: missing")],
    ),
    "dependencies": (
        {"dependencies": {"a": ["b"], "c": {"properties": {"d": {"type": "integer"}}}}},
        [{"a": 1, "b": 1}, {"d": "x"}],
        [({"a": 1, "c": 1, "d": "x"}, 'b: missing beside "a"; d: expected integer, got "x"')],
    ),
    "allOf": (
        {"allOf": [{"minimum": 3}, {"maximum": 5}, {"multipleOf": 2}]},
        [4],
        [(7, "expected at most 5, got 7; expected a multiple of 2, got 7")],
    ),
    "anyOf": ({"anyOf": [{"type": "integer"}, {"minLength": 2}]}, [1, "ab", None], [("a", None)]),
    "oneOf": ({"oneOf": [{"multipleOf": 2}, {"multipleOf": 3}]}, [4, 9], [(5, None)]),
    "$ref": (
        TREE,
        [{"n": 1, "next": {"n": 2, "next": {"n": 3}}}],
        [({"n": 1, "next": {"next": {"n": "x"}}}, 'next.next.n: expected integer, got "x"; next.n: missing')],
    ),
    "$ref beside more": (
        {"$ref": "#/$defs/a", "maximum": 5, "$defs": {"a": {"minimum": 3}}},
        [4],
        [(2, "expected at least 3, got 2"), (6, "expected at most 5, got 6")],
    ),
    "$ref to a reference": (
        {"$ref": "#/definitions/a", "definitions": {"a": {"$ref": "#/definitions/b"}, "b": {"type": "string"}}},
        ["x"],
        [(1, "expected string, got 1")],
    ),
    "$ref to true and false": (
        {
            "properties": {"a": {"$ref": "#/$defs/yes"}, "b": {"$ref": "#/$defs/no"}},
            "$defs": {"yes": True, "no": False},
        },
        [{"a": 1}],
        [({"b": 1}, "b: not expected")],
    ),
    "names that look like keywords": (
        {"properties": {"$ref": {"type": "string"}, "type": {"type": "integer"}}, "required": ["type"]},
        [{"$ref": "#/nowhere", "type": 1}],
        [({"$ref": 1}, '["$ref"]: expected string, got 1; type: missing')],
    ),
}


def fault(schema, value) -> str | None:
    """What is told of a value; None if it fits."""
    try:
        check(schema, value)
    except Mismatch as exc:
        return as_text(exc.problems)
    return None


@pytest.mark.parametrize("name", KEYWORDS)
def test_keyword(name):
    """A keyword lets through what it means, and tells of the rest what is wrong and where."""
    schema, fitting, unfit = KEYWORDS[name]
    for value in fitting:
        assert check(schema, value) is value
    for value, text in unfit:
        said = fault(schema, value)
        assert said
        assert text in (said, None)


# What is asked for in several ways -> what is told of a value that fits none
CHOICES = {
    "types": ([{"type": "integer"}, {"type": "null"}], "x", 'expected integer or null, got "x"'),
    "types and values": ([{"enum": ["a", "b"]}, {"type": "null"}], 5, 'expected one of "a", "b", null, got 5'),
    "the one of its type": ([{"enum": ["a", "b"]}, {"type": "null"}], "c", 'expected one of "a", "b", got "c"'),
    "the one of its type, in its depth": ([CIRCLE, {"type": "null"}], {"r": "x"}, 'r: expected number, got "x"'),
    "the one of its tag": ([CIRCLE, SQUARE], {"kind": "square"}, "a: missing"),
    "the one of its tag, by reference": (
        [{"$ref": "#/$defs/circle"}, {"$ref": "#/$defs/square"}],
        {"kind": "circle", "r": None},
        "r: expected number, got null",
    ),
    "a tag that means nothing": (
        [{"properties": {"a": {"enum": [], "type": "string"}}}, {"properties": {"a": {"enum": [7], "maximum": 0}}}],
        {"a": 9},
        "a: expected one of string, 7, got 9",
    ),
    "no such tag": ([CIRCLE, SQUARE], {"kind": "line"}, 'kind: expected one of "circle", "square", got "line"'),
    "the nearest": (
        [FAR, NEAR, {"required": ["c", "d"]}],
        {},
        "fits none of 3 choices; to fit the nearest, mend what follows; a: missing",
    ),
    "the nearest, by reference": (
        [{"$ref": "#/$defs/far"}, {"allOf": [{"$ref": "#/$defs/near"}]}],
        {},
        "fits none of 2 choices; to fit the nearest, mend what follows; a: missing",
    ),
    "the nearest of values": (
        [{"type": "integer", "minimum": 5}, {"type": "integer", "maximum": 1}],
        3,
        "fits none of 2 choices; to fit the nearest, mend what follows; expected at least 5, got 3",
    ),
    "nested": (
        [{"anyOf": [{"type": "integer"}, {"type": "boolean"}]}, {"$ref": "#/$defs/kind"}, {"type": "null"}],
        {},
        'expected one of integer, boolean, "x", "y", null, got {}',
    ),
    "tags of what is no object": (
        [{"properties": {"a": {"const": 1}}, "minimum": 5}, {"properties": {"a": {"const": 2}}, "minimum": 6}],
        3,
        "fits none of 2 choices; to fit the nearest, mend what follows; expected at least 5, got 3",
    ),
    "many values": (
        [{"enum": [0, 1, 2, 3, 4, 5]}, {"enum": [5, 6, 7, 8, 9, 10, 11]}],
        "x",
        'expected one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ..., got "x"',
    ),
    "values, one by one": ([{"const": "a"}, {"const": "b"}], "c", 'expected one of "a", "b", got "c"'),
    "types that other parts say": (
        [{"required": ["a"], "allOf": [{"type": "null"}]}, {"type": "integer"}],
        {},
        "expected null or integer, got {}",
    ),
    "nothing at all": ([False, False], 1, "not expected"),
    "nothing, or a type": ([False, {"type": "integer"}], "x", 'expected integer, got "x"'),
}


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf"])
@pytest.mark.parametrize("name", CHOICES)
def test_choice(name, keyword):
    """Of several choices, the one that was probably meant is told; if none was, what there is."""
    choices, value, text = CHOICES[name]
    assert fault({**NAMED, keyword: choices}, value) == text


# What cannot be checked -> (schema, values); all of them are let through
UNCHECKED = {
    "format": ({"format": "date"}, ["no date"]),
    "pattern": ({"pattern": "^a+$"}, ["b"]),
    "patternProperties": ({"patternProperties": {"^a": False}, "additionalProperties": False}, [{"a": 1}, {"b": 1}]),
    "unevaluated": ({"unevaluatedItems": False, "unevaluatedProperties": False}, [[1], {"a": 1}]),
    "a reference out of it": ({"$ref": "https://example.org/schema"}, [1]),
    "a reference to a name": ({"$ref": "#name", "$defs": {"x": {"$anchor": "name", "type": "string"}}}, [1]),
    "a reference by $dynamicRef": ({"$dynamicRef": "#/$defs/x", "$defs": {"x": {"type": "string"}}}, [1]),
    "a reference to nowhere": ({"$ref": "#/$defs/x"}, [1, None]),
    "a reference to itself": ({"$ref": "#"}, [1, None]),
    "references in a ring": ({"$ref": "#/a", "a": {"allOf": [{"$ref": "#/b"}]}, "b": {"$ref": "#/a"}}, [1, {}]),
    "not": ({"not": {"type": "integer"}}, [1, "x"]),
    "if": ({"if": True, "then": False, "else": False}, [1]),
    "oneOf, of which two fit": ({"oneOf": [{"pattern": "^a"}, {"minimum": 2}]}, ["a", "b", 3]),
    "maxContains": ({"contains": {"pattern": "^a"}, "maxContains": 1}, [["a", "b"]]),
    "in contains": ({"contains": {"pattern": "^a"}}, [["b"]]),
}


@pytest.mark.parametrize("name", UNCHECKED)
def test_what_is_not_checked_lets_values_through(name):
    """Whatever a keyword that is not checked might have said, no value is refused for it."""
    schema, values = UNCHECKED[name]
    for value in values:
        assert check(schema, value) is value


def test_what_is_not_checked_does_not_hide_the_rest():
    """Beside a keyword that is not checked the others count."""
    assert fault({"pattern": "^a", "maxLength": 1}, "ab") == 'expected at most 1 character, got "ab"'
    assert fault({"$ref": "#/nowhere", "type": "integer"}, "x") == 'expected integer, got "x"'
    assert fault({"not": {"pattern": "^a"}, "const": "a"}, "b") == 'expected "a", got "b"'


ITSELF: dict = {"type": "object", "required": ["a"]}
ITSELF["properties"] = {"a": ITSELF}
ITSELF["allOf"] = (ITSELF,)

# Schemas that mean nothing, or less than they say -> (a value that fits, one that does not if there is any)
ODD = {
    "no schema": (None, 1, ...),
    "a number": (7, 1, ...),
    "a list": ([{"type": "string"}], 1, ...),
    "type 7": ({"type": 7}, 1, ...),
    "type of another language": ({"type": "int"}, "x", ...),
    "type of which one is unknown": ({"type": ["string", "int"]}, 1, ...),
    "types that cannot be hashed": ({"type": [["string"]]}, 1, ...),
    "types in a dict": ({"type": {"string": 1}}, 1, ...),
    "no types": ({"type": []}, 1, ...),
    "types in a tuple": ({"type": ("string", "null")}, None, 1),
    "required, a text": ({"required": "a"}, {}, ...),
    "required, in part": ({"required": ["a", 7, ["b"], None]}, {"a": 1}, {}),
    "required in a tuple": ({"required": ("a",)}, {"a": 1}, {}),
    "properties, a list": ({"properties": ["a"]}, {"a": 1}, ...),
    "properties that are no schemas": ({"properties": {"a": 7, "b": None, 3: {}}}, {"a": 1, "b": 2}, ...),
    "properties, a list; closed": ({"properties": ["a"], "additionalProperties": False}, {}, {"a": 1}),
    "additionalProperties: null": ({"additionalProperties": None}, {"a": 1}, ...),
    "propertyNames, a list": ({"propertyNames": ["a"]}, {"b": 1}, ...),
    "enum, a text": ({"enum": "abc"}, "d", ...),
    "enum, empty": ({"enum": []}, "d", ...),
    "enum, no JSON": ({"enum": [object(), {1, 2}]}, ..., "d"),
    "enum, partly JSON": ({"enum": [object(), "a"]}, "a", "d"),
    "enum in a tuple": ({"enum": ("a", "b")}, "a", "d"),
    "const, no JSON": ({"const": {1: object(), "a": 2}}, ..., "d"),
    "limits in words": ({"minimum": "3", "maxLength": "3", "minItems": [], "maxProperties": {}}, 1, ...),
    "limits that are no numbers": ({"minimum": NO_NUMBER, "maximum": NO_NUMBER, "multipleOf": NO_NUMBER}, 1, ...),
    "limits beyond all numbers": ({"maximum": -INFINITE, "minimum": 10**5000, "multipleOf": INFINITE}, 1, ...),
    "limits of draft 4": ({"minimum": 3, "exclusiveMinimum": True}, 3, 2),
    "lengths that cannot be": ({"maxLength": -1, "maxItems": 0.5, "maxProperties": True}, "abc", ...),
    "a length that is true": ({"maxLength": True}, "abc", ...),
    "multiples of nothing": ({"multipleOf": 0}, 1, ...),
    "multiples of less": ({"multipleOf": -2}, 1, ...),
    "uniqueItems in words": ({"uniqueItems": "true"}, [1, 1], ...),
    "no choices": ({"anyOf": [], "oneOf": [], "allOf": []}, 1, ...),
    "choices in a dict": ({"anyOf": {"type": "string"}, "oneOf": {}, "allOf": "x"}, 1, ...),
    "choices that are no schemas": ({"anyOf": [7], "oneOf": [None], "allOf": ["x"]}, 1, ...),
    "choices in a tuple": ({"anyOf": ({"type": "string"},)}, "x", 1),
    "items that are no schemas": ({"items": "string", "prefixItems": {}, "contains": []}, [1], ...),
    "no items": ({"items": []}, [1], ...),
    "a bound of contains, odd": ({"contains": {"type": "null"}, "minContains": "2"}, [None], [1]),
    "dependents, odd": (
        {"dependentRequired": {"a": "b"}, "dependentSchemas": {"a": 7}, "dependencies": []},
        {"a": 1},
        ...,
    ),
    "a reference that is none": ({"$ref": ["#"]}, 1, ...),
    "a reference to a text": ({"$ref": "#/title", "title": "x"}, 1, ...),
    "a reference beyond a list": ({"$ref": "#/allOf/1", "allOf": [{}]}, 1, ...),
    "a reference to a strange digit": ({"$ref": "#/allOf/²", "allOf": [{}]}, 1, ...),
    "a dict that holds itself": (ITSELF, ..., {"a": {}}),
    "choices that hold themselves": (ITSELF["allOf"], 1, ...),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_schema(name):
    """What a schema cannot mean is ignored, the rest of it counts, and nothing is raised but a Mismatch."""
    schema, fitting, unfit = ODD[name]
    if fitting is not ...:
        assert check(schema, fitting) is fitting
    if unfit is not ...:
        assert fault(schema, unfit)
    for value in (None, True, 0, 0.5, "a", [], [1, 1], {}, {"a": {"a": 1}}):
        fault(schema, value)


REFERENCES = {
    "#": (),
    "#/": ("",),
    "#/a~1b": ("a/b",),
    "#/c~0d": ("c~d",),
    "#/~01": ("~1",),
    "#/e%25f": ("e%f",),
    "#/g%22h": ('g"h',),
    "#/list/1/x": ("list", 1, "x"),
}


def test_a_null_that_was_required():
    """What was left out for one part of a schema is missing for another, in whatever order they stand."""
    text, needed = {"properties": {"a": {"type": "string"}}}, {"required": ["a"]}
    for schema in ({"allOf": [needed, text]}, {"allOf": [text, needed]}, {**needed, "$ref": "#/x", "x": text}):
        with pytest.raises(Mismatch) as caught:
            check(schema, {"a": None})
        assert as_text(caught.value.problems) == "a: missing"


def test_choices_of_arrays():
    """Items are no tags."""
    choices = [{"prefixItems": [{}, {"const": one}], "minItems": 2, "type": "array"} for one in ("a", "b")]
    with pytest.raises(Mismatch):
        check({"anyOf": choices}, [1])


@pytest.mark.parametrize("reference", REFERENCES)
def test_reference(reference):
    """A reference is a JSON pointer in a URL's fragment."""
    schema = {"": 1, "a/b": 2, "c~d": 3, "~1": 4, "e%f": 5, 'g"h': 6, "list": [0, {"x": 7}]}
    found = schema
    for step in REFERENCES[reference]:
        found = found[step]
    assert referred(schema, reference) == found


@pytest.mark.parametrize(
    "reference", ["", "a", "#a", "/a", "#/b", "#/a/b", "#/list/-1", "#/list/9", "#/list/x", "x#/a"]
)
def test_reference_to_nothing(reference):
    """A reference that leads nowhere, or elsewhere, names nothing."""
    assert referred({"a": 1, "list": [1]}, reference) is None


INTEGER, MAYBE = {"type": "integer"}, {"type": ["integer", "null"]}
OPEN = {"properties": {"a": INTEGER, "b": MAYBE}, "required": ["c"]}

# Nulls that stand for what is absent: (schema, value, what is given back)
NULLS = {
    "an optional property": (OPEN, {"a": None, "c": 1}, {"c": 1}),
    "one that may be null": (OPEN, {"b": None, "c": 1}, {"b": None, "c": 1}),
    "one that nothing is said of": (OPEN, {"c": None, "d": None}, {"c": None, "d": None}),
    "in the depth": (
        {"items": {"properties": {"o": OPEN}}},
        [{"o": {"c": 1}}, {"o": {"c": 1, "a": None}, "x": [None]}],
        [{"o": {"c": 1}}, {"o": {"c": 1}, "x": [None]}],
    ),
    "of a closed object": ({"properties": {"a": INTEGER}, "additionalProperties": False}, {"a": None}, {}),
    "by reference": ({"$ref": "#/$defs/o", "$defs": {"o": OPEN}}, {"a": None, "c": 1}, {"c": 1}),
    "an object": ({"properties": {"a": {"type": "object"}}}, {"a": None}, {}),
    "several": ({"properties": {"a": INTEGER, "b": INTEGER}}, {"a": None, "b": None}, {}),
    "in a choice": ({"anyOf": [{"type": "null"}, OPEN]}, {"a": None, "c": 1}, {"c": 1}),
    "in a choice of which one takes it": (
        {"anyOf": [{"properties": {"a": INTEGER}}, {"properties": {"a": {"type": "null"}}}]},
        {"a": None},
        {"a": None},
    ),
    "in one of two": (
        {"oneOf": [{"properties": {"a": INTEGER}}, {"properties": {"a": {"type": "null"}}}]},
        {"a": None},
        {"a": None},
    ),
    "in the one of its tag": (
        {"oneOf": [{**CIRCLE, "required": ["kind"]}, SQUARE]},
        {"kind": "circle", "r": None},
        {"kind": "circle"},
    ),
    "in parts": ({"allOf": [{"properties": {"a": INTEGER}}, {"required": ["b"]}]}, {"a": None, "b": 1}, {"b": 1}),
    "counted": ({"properties": {"a": INTEGER}, "maxProperties": 1}, {"a": None, "b": 1}, {"b": 1}),
    "that others depend on": ({"properties": {"a": INTEGER}, "dependentRequired": {"a": ["b"]}}, {"a": None}, {}),
    "that a schema depends on": ({"properties": {"a": INTEGER}, "dependentSchemas": {"a": False}}, {"a": None}, {}),
    "before all else is asked": (
        {"allOf": [{"minProperties": 1}, {"required": ["b"]}], "properties": {"a": INTEGER}},
        {"a": None, "b": 1},
        {"b": 1},
    ),
}


@pytest.mark.parametrize("name", NULLS)
def test_null_for_what_is_absent(name):
    """A null where a property may be absent and not null is left out, in a copy."""
    schema, value, expected = NULLS[name]
    before = copy.deepcopy(value)
    found = check(schema, value)
    assert found == expected
    assert value == before
    assert (found is value) == (expected == before)
    assert check(schema, found) is found


def test_only_what_changes_is_copied():
    """Parts in which nothing is left out are those of the value itself."""
    value = [{"a": 1, "x": [1]}, {"a": None, "x": [{"y": 1}]}]
    found = check({"items": {"properties": {"a": INTEGER}}}, value)
    assert found == [value[0], {"x": [{"y": 1}]}]
    assert found[0] is value[0]
    assert found[1]["x"] is value[1]["x"]


def test_nulls_in_one_copy():
    """However many nulls are left out of an object, it is copied once."""
    names = [f"p{n}" for n in range(50)]
    copies = []

    def count(frame, event, called):
        if event == "c_call" and called.__name__ == "copy":
            copies.append(called)

    sys.setprofile(count)
    try:
        found = check({"properties": dict.fromkeys(names, INTEGER)}, dict.fromkeys(names))
    finally:
        sys.setprofile(None)
    assert found == {}
    assert len(copies) == 1


NO_NULLS = {
    "required": ({"properties": {"a": INTEGER}, "required": ["a"]}, "a: expected integer, got null"),
    "required in another part": ({"properties": {"a": INTEGER}, "allOf": [{"required": ["a"]}]}, "a: missing"),
    "too few without": ({"properties": {"a": INTEGER}, "minProperties": 1}, None),
    "of no name": ({"additionalProperties": INTEGER}, "a: expected integer, got null"),
    "not expected": ({"additionalProperties": False}, "a: not expected"),
    "refused by another part": ({"properties": {"a": INTEGER}, "allOf": [{"minProperties": 1}]}, None),
}


@pytest.mark.parametrize("name", NO_NULLS)
def test_null_that_is_wrong(name):
    """A null elsewhere is a value as any other, and what is given back fits the schema."""
    schema, text = NO_NULLS[name]
    assert fault(schema, {"a": None}) == text if text else fault(schema, {"a": None})


def test_all_mismatches_are_told():
    """Every mismatch has its place, once, whichever ways lead to it."""
    lines = {"type": "array", "items": {"properties": {"count": INTEGER}, "required": ["count"]}}
    schema = {"properties": {"lines": {"allOf": [lines, lines, {"maxItems": 1}]}}}
    with pytest.raises(Mismatch) as caught:
        check(schema, {"lines": [{"count": "many"}, {}, 3]})
    assert caught.value.problems == [
        (("lines", 0, "count"), 'expected integer, got "many"'),
        (("lines", 1, "count"), "missing"),
        (("lines",), "expected at most 1 item, got an array of 3"),
    ]


def test_the_schema_and_the_value_stay_as_they_are():
    """Nothing that is handed in is changed."""
    for schema, fitting, unfit in KEYWORDS.values():
        for value in (*fitting, *(value for value, _ in unfit)):
            before = repr((schema, value))
            fault(schema, value)
            assert repr((schema, value)) == before


# --- hostile


def nested(depth: int, innermost, wrap):
    for _ in range(depth):
        innermost = wrap(innermost)
    return innermost


def calls_of(function, schema, value) -> int:
    """How often a function of the module is called on the way; not much further than anybody should go."""
    met = []

    def count(frame, event, _):
        if event == "call" and frame.f_code is function.__code__:
            met.append(1)
            assert len(met) < 100_000

    sys.setprofile(count)
    try:
        fault(schema, value)
    finally:
        sys.setprofile(None)
    return len(met)


def steps_of(schema, value) -> int:
    """How often a value met a schema."""
    return calls_of(_validation._read, schema, value)


BOTH_WAYS = {"properties": {"next": {"$ref": "#"}}}
# Schemas by which a part of a value can be reached in two ways; twice at each step would be 2 ** 60.
FORKS = {
    "anyOf": {"anyOf": [{**BOTH_WAYS, "required": ["x"]}, {**BOTH_WAYS, "required": ["y"]}], "type": "object"},
    "oneOf": {"oneOf": [{**BOTH_WAYS, "required": ["x"]}, {**BOTH_WAYS, "required": ["y"]}], "type": "object"},
    "allOf": {"allOf": [BOTH_WAYS, BOTH_WAYS], "type": "object"},
    "contains": {"contains": {"$ref": "#"}, "items": {"$ref": "#"}},
    "dependents": {"dependentSchemas": {"next": BOTH_WAYS}, **BOTH_WAYS},
    "nulls": {"allOf": [BOTH_WAYS, dict(BOTH_WAYS)], "properties": {"gone": INTEGER}},
    "nulls of two kinds": {
        "allOf": [
            {"properties": {"next": {"$ref": "#"}, "gone": INTEGER}},
            {"properties": {"next": {"$ref": "#/$defs/other"}}},
        ],
        "$defs": {"other": {"allOf": [{"properties": {"next": {"$ref": "#"}, "left": INTEGER}}, BOTH_WAYS]}},
    },
}


@pytest.mark.parametrize("name", FORKS)
@pytest.mark.parametrize("innermost", [{}, 0, {"gone": None, "left": None}], ids=["fits", "fails", "null"])
def test_forks_take_no_exponential_time(name, innermost):
    """Each part of a value meets each part of a schema once."""
    value = nested(60, innermost, lambda inner: [inner] if name == "contains" else {"next": inner})
    assert 60 < steps_of(FORKS[name], value) < 60 * 40


def test_references_take_no_exponential_time():
    """Nor do references that lead nowhere fast: each of 60 names the next one twice."""
    names = {str(n): {"anyOf": [{"$ref": f"#/$defs/{n + 1}"}, {"$ref": f"#/$defs/{n + 1}"}]} for n in range(60)}
    schema = {"$ref": "#/$defs/0", "$defs": {**names, "60": INTEGER}}
    assert steps_of(schema, "x") < 500
    assert fault(schema, "x") == 'expected integer, got "x"'
    names = {str(n): {"allOf": [{"$ref": f"#/$defs/{n + 1}"}, {"$ref": f"#/$defs/{n + 1}"}]} for n in range(60)}
    schema = {"$ref": "#/$defs/0", "$defs": {**names, "60": {"maxLength": 3, "minLength": 1}}}
    assert 0 < steps_of(schema, "x") < 500
    assert fault(schema, "xxxx") == 'expected at most 3 characters, got "xxxx"'


def test_dicts_that_hold_themselves_take_no_exponential_time():
    """Nor does a dict that stands in itself, where no reference shows it."""
    schema: dict = {}
    schema.update(properties={"next": schema}, allOf=[{"properties": {"next": schema}}, schema], anyOf=[schema])
    assert steps_of(schema, nested(60, {}, lambda inner: {"next": inner})) < 1000


DEEPEST = {
    "objects": (TREE, lambda inner: {"n": 1, "next": inner}),
    "arrays": ({"items": {"$ref": "#"}}, lambda inner: [inner]),
    "equal arrays": ({"uniqueItems": True}, lambda inner: [inner]),
    "choices": ({"anyOf": [{"type": "null"}, {"items": {"$ref": "#"}}]}, lambda inner: [inner]),
}


@pytest.mark.parametrize("name", DEEPEST)
def test_deep_values(name):
    """What is nested as deeply as no answer is is a mismatch, and nothing worse."""
    schema, wrap = DEEPEST[name]
    assert fault(schema, nested(40, wrap(wrap({"n": 1})), wrap)) is None
    assert fault(schema, nested(sys.getrecursionlimit() * 2, {}, wrap)) == "nested too deeply"


def test_deep_schemas():
    """So is a schema that is nested so deeply."""
    schema = nested(sys.getrecursionlimit() * 2, {}, lambda inner: {"allOf": [inner]})
    assert fault(schema, 1) == "nested too deeply"
    assert fault({"$ref": "#" + "/a" * 10**5}, 1) is None


def test_numbers_that_collide():
    """Items are compared by texts: numbers can be chosen so that all of them have one hash."""
    keys = [_validation._Checker({}).key(n * sys.hash_info.modulus) for n in range(50)]
    assert {hash(n * sys.hash_info.modulus) for n in range(50)} == {0}
    assert len({hash(key) for key in keys}) == 50


def test_equal_items_are_looked_into_once():
    """Arrays in arrays, all of whose items are to be unique: each part is taken apart once."""
    value = nested(60, [1, 2, 3], lambda inner: [inner, 0])
    schema = {"uniqueItems": True, "items": {"$ref": "#"}}
    assert fault(schema, value) is None
    assert 60 < calls_of(_validation._Checker.key, schema, value) < 60 * 6


def test_mismatches_without_number():
    """Of a million mismatches as many are kept as anybody reads, also below others."""
    schema = {"items": {"type": ["array", "string"], "items": {"$ref": "#/items"}}}
    value = nested(50, [0] * 20000, lambda inner: [inner, 0])
    with pytest.raises(Mismatch) as caught:
        check(schema, value)
    assert 50 < len(caught.value.problems) <= 100
    assert len(as_text(caught.value.problems)) < 10000


def test_many_failing_members():
    """Nor is time spent on the others, or on words that nobody reads."""
    schema = {"items": {"anyOf": [{"required": ["a", "b"]}, {"required": ["c", "d"]}]}}
    assert steps_of(schema, [{} for _ in range(20000)]) < 5000


def test_what_is_seen_is_forgotten():
    """A value is not kept by what was seen of it, not even until the next garbage collection."""
    item = [1]
    before = sys.getrefcount(item)
    gc.disable()
    try:
        assert fault({"items": {"anyOf": [{"maxItems": 3}, {"minItems": 5, "items": {"$ref": "#"}}]}}, [item]) is None
        assert sys.getrefcount(item) == before
    finally:
        gc.enable()


def test_what_is_no_json():
    """A value that no JSON makes, as a program may hand it to a tool, fits nothing that is said of values."""
    thing = {1, 2}
    assert fault({"enum": ["a"]}, thing) == 'expected "a", got a value of type set'
    assert fault({"type": ["object", "array"]}, thing) == "expected object or array, got a value of type set"
    assert fault({"uniqueItems": True, "items": {"type": "integer"}}, [thing, thing, 1]) is not None
    assert check({"uniqueItems": True}, [thing, {1, 2}])


def test_answers_of_all_kinds():
    """Whatever JSON there is, any schema here says yes or Mismatch."""
    texts = ("1e999", "-0.0", "[1, [2, {}]]", '{"a": {"a": [{"a": null}]}}', '"\\ud800"', "12345678901234567890e-5")
    schemas = [schema for table in (KEYWORDS, UNCHECKED, ODD, NULLS) for schema, *_ in table.values()]
    for value in map(json.loads, texts):
        for schema in schemas:
            fault(schema, value)
            fault({"contains": schema}, value)
            fault({"anyOf": [schema, schema, False]}, value)

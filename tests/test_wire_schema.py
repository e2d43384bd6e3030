"""JSON Schemas as servers take them: what is changed, what is inlined, what is said in words."""

from __future__ import annotations

import copy

import pytest

from majordomo import ConfigError, UnsupportedError
from majordomo.wires import _schema

NODE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
DEEP = {
    "type": "object",
    "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "integer"}}]}},
    "additionalProperties": False,
    "$defs": {"x": {"const": {"type": "not a schema"}}},
    "enum": [{"type": "nor is this"}],
}


def marked(node):
    return {**node, "seen": True}


def test_mapped():
    """Every schema in a schema is changed, and nothing that only looks like one."""
    before = copy.deepcopy(DEEP)
    found = _schema.mapped(DEEP, marked)
    assert before == DEEP
    assert found["seen"]
    assert found["properties"]["a"]["seen"]
    assert [node["seen"] for node in found["properties"]["a"]["anyOf"]] == [True, True]
    assert found["properties"]["a"]["anyOf"][1]["items"]["seen"]
    assert found["$defs"]["x"] == {"const": {"type": "not a schema"}, "seen": True}
    assert found["enum"] == [{"type": "nor is this"}]
    assert found["additionalProperties"] is False


@pytest.mark.parametrize("odd", [True, False, None, 7, "x", []])
def test_mapped_leaves_what_is_no_schema(odd):
    """What stands where a schema should is the server's to judge."""
    assert _schema.mapped({"items": odd, "properties": odd, "anyOf": odd}, dict) == {
        "items": odd,
        "properties": odd,
        "anyOf": odd,
    }


INLINED = {
    "none": ({"type": "string"}, {"type": "string"}),
    "one": (
        {"properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "string"}}},
        {"properties": {"a": {"type": "string"}}},
    ),
    "one of another": (
        {
            "items": {"$ref": "#/definitions/x"},
            "definitions": {"x": {"$ref": "#/definitions/y"}, "y": {"type": "null"}},
        },
        {"items": {"type": "null"}},
    ),
    "beside other words": (
        {
            "items": {"$ref": "#/$defs/x", "description": "mine"},
            "$defs": {"x": {"type": "string", "description": "its"}},
        },
        {"items": {"type": "string", "description": "mine"}},
    ),
    "a property that is called so": ({"properties": {"$defs": {"type": "string"}, "$ref": {"type": "null"}}},) * 2,
    "with odd names": (
        {"items": {"$ref": "#/$defs/a~1b~0"}, "$defs": {"a/b~": {"type": "string"}}},
        {"items": {"type": "string"}},
    ),
    "by number": (
        {"anyOf": [{"type": "null"}, {"$ref": "#/anyOf/0"}]},
        {"anyOf": [{"type": "null"}, {"type": "null"}]},
    ),
    "twice is no circle": (
        {"prefixItems": [{"$ref": "#/$defs/x"}, {"$ref": "#/$defs/x"}], "$defs": {"x": {"type": "string"}}},
        {"prefixItems": [{"type": "string"}, {"type": "string"}]},
    ),
}


@pytest.mark.parametrize("case", INLINED)
def test_inlined(case):
    """References are replaced by what they name."""
    schema, expected = INLINED[case]
    before = copy.deepcopy(schema)
    assert _schema.inlined(schema) == expected
    assert schema == before


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"node": NODE}, "$ref": "#/$defs/node"},
        {"properties": {"a": {"$ref": "#"}}},
        {"items": {"$ref": "#/$defs/missing"}},
        {"items": {"$ref": "https://example.org/schema"}},
        {"items": {"$ref": "#/type/0"}, "type": "array"},
    ],
)
def test_what_cannot_be_inlined(schema):
    """A schema that holds itself, or refers to what is not there, is refused before it is sent."""
    with pytest.raises(UnsupportedError):
        _schema.inlined(schema)


def test_schemas_without_an_end():
    """A schema that is nested too deeply, or is its own part, is the caller's mistake."""
    ring: dict = {"type": "object", "additionalProperties": False}
    ring["items"] = ring
    deep: dict = {}
    for _ in range(5000):
        deep = {"type": "object", "additionalProperties": False, "items": deep}
    for schema in (ring, deep):
        for work in (lambda s: _schema.mapped(s, dict), _schema.inlined, _schema.is_strict, _schema.in_words):
            with pytest.raises(ConfigError):
                work(schema)


def test_a_schema_that_explodes():
    """References that double at each step are stopped before they fill the memory."""
    doubled = {f"s{n}": {"prefixItems": [{"$ref": f"#/$defs/s{n + 1}"}] * 2} for n in range(40)}
    with pytest.raises(ConfigError):
        _schema.inlined({"$ref": "#/$defs/s0", "$defs": {**doubled, "s40": {"type": "null"}}})


def test_described():
    """What a server does not enforce is told to the model."""
    node = _schema.described({"type": "integer", "minimum": 3, "description": "How many."}, ("minimum", "maximum"))
    assert node == {"type": "integer", "description": "How many. (minimum: 3)"}
    assert _schema.described({"pattern": "^a"}, ("pattern",)) == {"description": 'pattern: "^a"'}
    assert _schema.described({"type": "null"}, ("pattern",)) == {"type": "null"}


CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        ({**CLOSED, "additionalProperties": True}, False),
        ({**CLOSED, "required": []}, False),
        ({**CLOSED, "properties": {"a": {"type": "object"}}}, False),
        ({**CLOSED, "required": [["a"]]}, False),
        ({"type": "array"}, False),
        ({"type": "object", "properties": []}, False),
    ],
)
def test_is_strict(schema, strict):
    """Strict are closed objects all of whose properties are required."""
    assert _schema.is_strict(schema) is strict


@pytest.mark.parametrize(
    ("title", "name"),
    [("Answer to all", "Answer_to_all"), (None, "answer"), (7, "answer"), ("x" * 80, "x" * 64), ("é", "_")],
)
def test_named(title, name):
    """A schema is named by its title, as far as servers take that."""
    assert _schema.named({"title": title})["name"] == name


def test_in_words():
    """The schema stands in the instruction, as JSON."""
    assert '{"type":"string"}' in _schema.in_words({"type": "string"})


def test_what_is_no_schema_is_refused():
    """Only a dict is a schema, whatever stands in it."""
    assert _schema.checked({"type": 7}) == {"type": 7}
    for odd in (True, None, "object", [{}]):
        with pytest.raises(UnsupportedError, match="as a dict, not"):
            _schema.checked(odd)

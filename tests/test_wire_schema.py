"""JSON Schemas as servers take them: what is changed, what is inlined, what is said in words."""

from __future__ import annotations

import copy
import random
from contextlib import suppress
from dataclasses import dataclass

import pytest
from helpers import mutated
from readers import hold_to_strict

from majordomo import ConfigError, UnsupportedError
from majordomo.schema import json_schema
from majordomo.wires import _openai_schema, _schema

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
        {"items": {"$ref": "#/anyOf/²"}, "anyOf": [{}]},
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
        for work in (
            lambda s: _schema.mapped(s, dict),
            _schema.inlined,
            _openai_schema.is_strict,
            lambda s: _schema.in_words(s, []),
        ):
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


UNTUPLED = {
    "none": ({"type": "array", "items": {"type": "null"}, "maxItems": 3},) * 2,
    "fixed": (
        {"prefixItems": [{"type": "integer"}, {"type": "null"}], "minItems": 2, "maxItems": 2, "description": "Two."},
        {
            "items": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "minItems": 2,
            "maxItems": 2,
            "description": 'Two. (prefixItems: [{"type":"integer"},{"type":"null"}])',
        },
    ),
    "of one kind": (
        {"prefixItems": [{"type": "null"}, {"type": "null"}], "items": False},
        {
            "items": {"type": "null"},
            "maxItems": 2,
            "description": 'prefixItems: [{"type":"null"},{"type":"null"}]',
        },
    ),
    "going on": (
        {"prefixItems": [{"type": "null"}], "items": {"type": "string"}},
        {
            "items": {"anyOf": [{"type": "null"}, {"type": "string"}]},
            "description": 'prefixItems: [{"type":"null"}]',
        },
    ),
    "open": (
        {"prefixItems": [{"type": "null"}], "minItems": 1},
        {"minItems": 1, "description": 'prefixItems: [{"type":"null"}]'},
    ),
    "odd": ({"prefixItems": [True]}, {"prefixItems": [True]}),
}


@pytest.mark.parametrize(("node", "expected"), list(UNTUPLED.values()), ids=list(UNTUPLED))
def test_untupled(node, expected):
    """A tuple is a list of what its members may be, as long; where each of them stands is said in words."""
    before = copy.deepcopy(node)
    assert _schema.untupled(node) == expected
    assert node == before


def test_a_reference_stands_alone():
    """What stands beside a reference moves to a node around it."""
    assert _schema.alone({"$ref": "#", "$defs": {}}) == {"$ref": "#", "$defs": {}}
    assert _schema.alone({"$ref": "#", "description": "x"}) == {"anyOf": [{"$ref": "#"}], "description": "x"}


# --- OpenAI's strict form


def closed(properties, *, optional=(), **more):
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False, **more}


NULL, TEXT, COUNT = {"type": "null"}, {"type": "string"}, {"type": "integer"}
LIST = {"type": "array", "items": TEXT}
CHAIN = closed({"next": {"$ref": "#/$defs/chain"}}, optional=["next"])
# What is strict as it is.
STRICT = {
    "closed": closed({"a": TEXT}),
    "of nothing": closed({}),
    "within": closed({"a": closed({"b": {"type": "array", "items": closed({})}})}),
    "a choice": closed({"a": {"anyOf": [closed({"b": TEXT}), NULL], "description": "Either."}}),
    "named": closed({"a": {"$ref": "#/$defs/A"}}, **{"$defs": {"A": closed({"b": TEXT})}}),
    "a ring": closed({"a": {"anyOf": [{"$ref": "#"}, NULL]}}),
    "values": closed({"a": {"type": "string", "enum": ["x", "y"]}, "b": {"type": "integer", "const": 7}}),
    "limits": closed(
        {
            "a": {"type": "string", "pattern": "^a(?:b)$", "format": "date"},
            "b": {"type": "number", "minimum": 0, "exclusiveMaximum": 9, "multipleOf": 0.5},
            "c": {"type": "array", "items": TEXT, "minItems": 1, "maxItems": 3},
        },
        title="T",
        description="D",
    ),
    "kinds": closed({"a": {"type": ["string", "null"]}}),
    "in another order": {**closed({"a": TEXT, "b": TEXT}), "required": ["b", "a"]},
}


@pytest.mark.parametrize("schema", list(STRICT.values()), ids=list(STRICT))
def test_what_is_strict_stays(schema):
    """A schema that keeps the rules of the strict form is sent as it is."""
    before = copy.deepcopy(schema)
    assert _openai_schema.strict_form(schema) == before == schema
    assert _openai_schema.is_strict(schema)
    assert _openai_schema.named(schema) == {"name": schema.get("title", "answer"), "schema": schema, "strict": True}


# What is made strict: a property of a closed object, and what becomes of it.
REQUIRED = {
    "lengths": ({**TEXT, "minLength": 1, "maxLength": 9}, {**TEXT, "description": "minLength: 1, maxLength: 9"}),
    "described": ({**TEXT, "minLength": 1, "description": "Few."}, {**TEXT, "description": "Few. (minLength: 1)"}),
    "a default": ({**TEXT, "default": "x"}, {**TEXT, "description": 'default: "x"'}),
    "a default of nothing": ({"type": ["string", "null"], "default": None}, {"type": ["string", "null"]}),
    "a set": ({**LIST, "uniqueItems": True}, {**LIST, "description": "uniqueItems: true"}),
    "another format": ({**TEXT, "format": "uri"}, {**TEXT, "description": 'format: "uri"'}),
    "a pattern that looks around": ({**TEXT, "pattern": "(?=a)"}, {**TEXT, "description": 'pattern: "(?=a)"'}),
    "notes": ({**TEXT, "examples": ["x"], "$comment": "y", "deprecated": True}, TEXT),
    "conditions": ({**TEXT, "not": {"const": "x"}}, {**TEXT, "description": 'not: {"const":"x","type":"string"}'}),
    "one of": ({"oneOf": [TEXT, COUNT]}, {"anyOf": [TEXT, COUNT]}),
    "parts": ({"allOf": [TEXT, {"minLength": 1}]}, {**TEXT, "description": "minLength: 1"}),
    "a value": ({"const": 7}, {"const": 7, "type": "integer"}),
    "values of one kind": ({"enum": ["a", "b"]}, {"enum": ["a", "b"], "type": "string"}),
    "values of more": (
        {"enum": ["a", 1, 1.5, True, None]},
        {"enum": ["a", 1, 1.5, True, None], "type": ["string", "integer", "number", "boolean", "null"]},
    ),
    "a tuple": (
        {"type": "array", "prefixItems": [TEXT, COUNT], "minItems": 2, "maxItems": 2},
        {
            "type": "array",
            "items": {"anyOf": [TEXT, COUNT]},
            "minItems": 2,
            "maxItems": 2,
            "description": 'prefixItems: [{"type":"string"},{"type":"integer"}]',
        },
    ),
    "beside a reference": (
        {"$ref": "#/definitions/A", "description": "Mine."},
        {"anyOf": [{"$ref": "#/$defs/A"}], "description": "Mine."},
    ),
    "limits of an object": (
        {**closed({}), "minProperties": 0, "propertyNames": TEXT},
        {**closed({}), "description": 'minProperties: 0, propertyNames: {"type":"string"}'},
    ),
    "a name like a keyword": (
        closed({"minLength": {**TEXT, "minLength": 1}}),
        closed({"minLength": {**TEXT, "description": "minLength: 1"}}),
    ),
}


@pytest.mark.parametrize(("given", "sent"), list(REQUIRED.values()), ids=list(REQUIRED))
def test_what_strict_mode_does_not_know_is_said(given, sent):
    """Keywords that are not taken go into descriptions, or into others that mean the same."""
    schema = closed({"p": given}, **{"definitions": {"A": TEXT}})
    before = copy.deepcopy(schema)
    assert _openai_schema.strict_form(schema) == closed({"p": sent}, **{"$defs": {"A": TEXT}})
    assert not _openai_schema.is_strict(schema)
    assert schema == before


# An optional property, and as a required one, which takes null.
OPTIONAL = {
    "plain": (TEXT, {"anyOf": [TEXT, NULL]}),
    "with a default": ({**COUNT, "default": 5}, {"anyOf": [{**COUNT, "description": "default: 5"}, NULL]}),
    "a choice": (
        {"anyOf": [TEXT, COUNT], "description": "Either."},
        {"anyOf": [TEXT, COUNT, NULL], "description": "Either."},
    ),
    "a choice with null": ({"anyOf": [TEXT, NULL]},) * 2,
    "null": (NULL, NULL),
    "kinds with null": ({"type": ["string", "null"]},) * 2,
    "values": ({"type": "string", "enum": ["a"]}, {"anyOf": [{"type": "string", "enum": ["a"]}, NULL]}),
    "values with null": ({"type": ["string", "null"], "enum": ["a", None]},) * 2,
    "values of a kind with null": (
        {"type": ["string", "null"], "enum": ["a"]},
        {"anyOf": [{"type": ["string", "null"], "enum": ["a"]}, NULL]},
    ),
    "no other value": ({"type": "null", "const": None},) * 2,
    "a reference": ({"$ref": "#/$defs/A"}, {"anyOf": [{"$ref": "#/$defs/A"}, NULL]}),
    "a described reference": (
        {"$ref": "#/$defs/A", "description": "Mine."},
        {"anyOf": [{"$ref": "#/$defs/A"}, NULL], "description": "Mine."},
    ),
    "a reference to null": ({"$ref": "#/$defs/B"},) * 2,
    "a ring of references": ({"$ref": "#/$defs/C"}, {"anyOf": [{"$ref": "#/$defs/C"}, NULL]}),
}
NAMED = {"A": TEXT, "B": {"anyOf": [COUNT, NULL]}, "C": {"anyOf": [{"$ref": "#/$defs/C"}, TEXT]}}


@pytest.mark.parametrize(("given", "sent"), list(OPTIONAL.values()), ids=list(OPTIONAL))
def test_what_may_be_missing_takes_null(given, sent):
    """A property that was optional is required, and null stands for its absence, if it does not take null already."""
    schema = closed({"p": given, "q": TEXT}, optional=["p"], **{"$defs": NAMED})
    assert _openai_schema.strict_form(schema) == {
        **closed({"p": sent, "q": TEXT}),
        "required": ["q", "p"],
        "$defs": NAMED,
    }


def test_a_recursive_root():
    """A root that only refers to a definition stands for itself; the definition stays, for it refers to itself."""
    schema = {"$ref": "#/definitions/chain", "definitions": {"chain": {**CHAIN, "title": "Chain"}}, "$schema": "x"}
    chain = closed({"next": {"anyOf": [{"$ref": "#/$defs/chain"}, NULL]}}, title="Chain")
    assert _openai_schema.strict_form(schema) == {**chain, "$defs": {"chain": chain}}


PART = {"type": "object", "properties": {"a": TEXT}, "required": ["a"]}
LOOSE = {
    "objects in parts": {"allOf": [{"$ref": "#/$defs/B"}, {**closed({"b": TEXT})}], "$defs": {"B": PART}},
    "an object beside choices": {**PART, "anyOf": [{**PART, "properties": {"b": TEXT}, "required": ["b"]}]},
    "an open object": {"type": "object", "properties": {"a": TEXT}, "additionalProperties": TEXT},
    "one that may be open": {**closed({}), "additionalProperties": True},
    "a map": {"type": "object", "additionalProperties": TEXT},
    "an open object within": closed({"a": {"type": "object"}}),
    "an open object in a list": closed({"a": {"type": "array", "items": {"type": "object"}}}),
    "an open object in a choice": closed({"a": {"anyOf": [{"type": "object"}, NULL]}}),
    "an open definition": closed({"a": {"$ref": "#/$defs/A"}}, **{"$defs": {"A": {"type": "object"}}}),
    "an open object or null": closed({"a": {"type": ["object", "null"], "properties": {}}}),
    "names by pattern": closed({}, patternProperties={"^a": TEXT}),
    "properties of anything": closed({"a": {"properties": {}}}),
    "anything": closed({"a": {}}),
    "anything described": closed({"a": {"description": "x"}}),
    "anything at all": closed({"a": True}),
    "nothing": closed({"a": False}),
    "a list of anything": closed({"a": {"type": "array"}}),
    "a tuple that goes on": closed({"a": {"type": "array", "prefixItems": [TEXT]}}),
    "values that are no scalars": closed({"a": {"enum": [["a"]]}}),
    "parts that contradict each other": closed({"a": {"allOf": [TEXT, COUNT]}}),
    "a list": {"type": "array", "items": TEXT},
    "a choice": {"anyOf": [closed({})]},
    "an object by choice": {**closed({}), "anyOf": [closed({})]},
    "no kind": {},
    "a missing definition": closed({"a": {"$ref": "#/$defs/A"}}),
    "a reference to elsewhere": closed({"a": {"$ref": "#/properties/b"}, "b": TEXT}),
    "a required property that is none": {**closed({}), "required": ["a"]},
    "no list of names": {**closed({}), "required": None},
    "names that are none": {**closed({"a": TEXT}), "required": [["a"]]},
    "no properties": {**closed({}), "properties": ["a"]},
    "no kind of that name": closed({"a": {"type": "text"}}),
    "an odd kind": closed({"a": {"type": [["string"]]}}),
    "an odd choice": closed({"a": {"anyOf": 7}}),
    "an empty choice": closed({"a": {"anyOf": []}}),
    "odd values": closed({"a": {"enum": 7}}),
    "an odd reference": closed({"a": {"$ref": ["#"]}}),
    "odd definitions": closed({"a": {"$ref": "#/$defs/A"}}, **{"$defs": ["A"]}),
    "an optional property that is none": closed({"a": 7}, optional=["a"]),
    "no schema in a definition": closed({"a": {"$ref": "#/$defs/A"}}, optional=["a"], **{"$defs": {"A": 7}}),
}


@pytest.mark.parametrize("schema", list(LOOSE.values()), ids=list(LOOSE))
def test_what_has_no_strict_form(schema):
    """What would mean something else in the strict form is sent as it is, and not called strict."""
    before = copy.deepcopy(schema)
    assert _openai_schema.strict_form(schema) is None
    assert not _openai_schema.is_strict(schema)
    assert _openai_schema.named(schema) == {"name": "answer", "schema": before, "strict": False}


def test_any_schema():
    """Whatever is sent as strict keeps the server's rules, and is its own strict form; nothing else is raised."""
    rng, made = random.Random(34), 0
    given = [*STRICT.values()]
    given += [closed({"p": node}, optional=["p"]) for node, _ in (*REQUIRED.values(), *OPTIONAL.values())]
    for schema in [rng.choice(given) for _ in range(2000)]:
        for _ in range(rng.randrange(3)):
            schema = mutated(schema, rng)
        if not isinstance(schema, dict):
            continue
        with suppress(ConfigError):  # for NaN, which no JSON can hold
            sent = _openai_schema.strict_form(schema)
            if sent is not None:
                hold_to_strict(sent)
                assert _openai_schema.strict_form(sent) == sent
                made += 1
    assert made > 500


def test_null_in_a_maze():
    """Definitions that lead to each other in every direction are looked at once each."""
    maze = {f"s{n}": {"anyOf": [{"$ref": f"#/$defs/s{n + 1}"}] * 2} for n in range(5000)}
    schema = closed({"p": {"$ref": "#/$defs/s0"}}, optional=["p"], **{"$defs": {**maze, "s5000": NULL}})
    assert _openai_schema.strict_form(schema)["properties"]["p"] == {"$ref": "#/$defs/s0"}


@pytest.mark.parametrize(
    ("title", "name"),
    [("Answer to all", "Answer_to_all"), (None, "answer"), (7, "answer"), ("x" * 80, "x" * 64), ("é", "_")],
)
def test_named(title, name):
    """A schema is named by its title, as far as servers take that."""
    assert _openai_schema.named({"title": title})["name"] == name


def test_in_words():
    """The schema stands in the instruction, as JSON."""
    told: list[str] = []
    assert '{"type":"string"}' in _schema.in_words({"type": "string"}, told)
    assert told == ["schema: asked for in words, for the target does not enforce it"]


@dataclass
class Place:
    """Where it is."""

    name: str
    x: float = 0


@pytest.mark.parametrize("of", [Place, list[Place], int])
def test_a_type_is_a_schema(of):
    """A schema that is given as a type is the one that the type makes, for all that is done with it."""
    assert _schema.checked(of) == json_schema(of)
    assert _schema.in_words(of, []) == _schema.in_words(json_schema(of), [])
    assert _openai_schema.named(of) == _openai_schema.named(json_schema(of))


def test_what_is_no_schema_is_refused():
    """Only a dict is a schema, whatever stands in it, and a type that has one."""
    assert _schema.checked({"type": 7}) == {"type": 7}
    for odd in (True, "object", [{}], 7):
        with pytest.raises(UnsupportedError, match="as a dict, or a type"):
            _schema.checked(odd)

"""JSON Schemas as Gemini takes them: in `responseJsonSchema`, and as the parameters of functions.

Source: google-genai 3.4 of November 2026 (`types.GenerationConfig.response_json_schema`),
which lists the keywords; others are a 400. What they say goes into descriptions, where
the model reads it.
"""

from __future__ import annotations

from ._schema import described, mapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._schema import Node

_KNOWN = frozenset(
    (
        "$id",
        "$defs",
        "$ref",
        "$anchor",
        "type",
        "format",
        "title",
        "description",
        "enum",
        "items",
        "prefixItems",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "anyOf",
        "oneOf",
        "properties",
        "additionalProperties",
        "required",
        "propertyOrdering",
    )
)
# Keywords that say what a value may be; all others are notes for readers, and left out.
_TELLING = frozenset(
    (
        "allOf",
        "const",
        "contains",
        "default",
        "dependentRequired",
        "dependentSchemas",
        "else",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "if",
        "maxContains",
        "maxLength",
        "maxProperties",
        "minContains",
        "minLength",
        "minProperties",
        "multipleOf",
        "not",
        "pattern",
        "patternProperties",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
        "uniqueItems",
    )
)


def adapted(schema: Any) -> Any:
    """A copy of a schema in the keywords that Gemini knows."""
    return mapped(schema, _node)


def takes_nothing(schema: Node) -> bool:
    """Whether a function's parameters are none: such a function is declared without a schema."""
    return schema.get("type", "object") == "object" and not any(
        value for name, value in schema.items() if name not in ("type", "title", "description", "$schema")
    )


def _node(node: Node) -> Node:
    node = _united(node)
    _rename_definitions(node)
    if "const" in node and "enum" not in node:
        node["enum"] = [node.pop("const")]
    node = _listed(node)
    node = described(node, [name for name in node if name in _TELLING])
    node = {name: _spelt_out(name, value) for name, value in node.items() if name in _KNOWN}
    if "$ref" in node and not all(name.startswith("$") for name in node):
        node = described(node, ["anyOf"])
        node["anyOf"] = [{"$ref": node.pop("$ref")}]  # beside a reference nothing else may stand
    return node


def _spelt_out(name: str, value: Any) -> Any:
    """A keyword's value in which `true` and `false` are objects, which they are only in `additionalProperties`."""
    if name in ("properties", "$defs") and isinstance(value, dict):
        return {key: _as_object(inner) for key, inner in value.items()}
    if name in ("anyOf", "oneOf", "prefixItems") and isinstance(value, list):
        return [_as_object(inner) for inner in value]
    return _as_object(value) if name == "items" else value


def _as_object(schema: Any) -> Any:
    return {True: {}, False: {"description": "not: {}"}}[schema] if isinstance(schema, bool) else schema


def _united(node: Node) -> Node:
    """A node with its `allOf` in it, where no two of them say something else of one keyword."""
    branches = node.get("allOf")
    if not isinstance(branches, list):
        return node
    found = {name: value for name, value in node.items() if name != "allOf"}
    for branch in branches:
        if not isinstance(branch, dict):
            return node
        for name, value in branch.items():
            mine = found.get(name, value)
            if name == "properties" and isinstance(mine, dict) and isinstance(value, dict):
                if any(mine.get(key, inner) != inner for key, inner in value.items()):
                    return node
                found[name] = {**mine, **value}
            elif name == "required" and isinstance(mine, list) and isinstance(value, list):
                found[name] = [*mine, *(key for key in value if key not in mine)]
            elif name in ("title", "description"):
                found[name] = mine
            elif mine != value:
                return node
            else:
                found[name] = value
    return found


def _rename_definitions(node: Node) -> None:
    """The older name of `$defs`, and the references into it."""
    definitions = node.pop("definitions", None)
    if isinstance(definitions, dict):
        own = node.get("$defs")
        node["$defs"] = {**definitions, **own} if isinstance(own, dict) else definitions
    reference = node.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/definitions/"):
        node["$ref"] = "#/$defs/" + reference[len("#/definitions/") :]


def _listed(node: Node) -> Node:
    """A node whose `enum` holds texts and numbers alone: null is a type of its own, the rest goes into words."""
    values = node.get("enum")
    if not isinstance(values, list):
        return node
    plain = [value for value in values if isinstance(value, (str, int, float)) and not isinstance(value, bool)]
    nulls = sum(value is None for value in values)
    if len(plain) == len(values):
        return node
    if nulls == len(values):
        return {**{name: value for name, value in node.items() if name != "enum"}, "type": "null"}
    if not plain or len(plain) + nulls < len(values) or "anyOf" in node:
        return described(node, ["enum"])
    given = node.pop("type", None)
    kinds = [kind for kind in (given if isinstance(given, list) else [given]) if kind not in ("null", None)]
    typed = {"type": kinds[0] if len(kinds) == 1 else kinds} if kinds else {}
    del node["enum"]
    node["anyOf"] = [{**typed, "enum": plain}, {"type": "null"}]
    return node

"""JSON Schemas as Gemini takes them: in `responseJsonSchema`, and as the parameters of functions.

Source: google-genai 3.4 of November 2026 (`types.GenerationConfig.response_json_schema`),
which lists the keywords; others are a 400. What they say goes into descriptions, where
the model reads it.
"""

from __future__ import annotations

from ._schema import described, mapped, modern

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
    node = modern(node)
    if "const" in node and "enum" not in node:
        node["enum"] = [node.pop("const")]
    node = _listed(node)
    node = described(node, [name for name in node if name in _TELLING])
    node = {name: value for name, value in node.items() if name in _KNOWN}
    if "$ref" in node and not all(name.startswith("$") for name in node):
        node = described(node, ["anyOf"])
        node["anyOf"] = [{"$ref": node.pop("$ref")}]  # beside a reference nothing else may stand
    return node


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

"""JSON Schemas as Gemini takes them: in `responseJsonSchema`, and as the parameters of functions.

Source: google-genai 3.4 of November 2026 (`types.GenerationConfig.response_json_schema`),
which lists the keywords; others are a 400. What they say goes into descriptions, where
the model reads it.
"""

from __future__ import annotations

from .._reference import escaped
from ._schema import TELLING, alone, described, mapped, modern, once_for_types

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
_TOLD = TELLING - _KNOWN


@once_for_types
def adapted(schema: Any) -> Any:
    """A copy of a schema in the keywords that Gemini knows."""
    taken = mapped(schema, _node)
    return _unrollable(taken) if isinstance(taken, dict) else taken


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
    node = described(node, [name for name in node if name in _TOLD])
    return alone({name: value for name, value in node.items() if name in _KNOWN})


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


_ROOT = "#"
_DEFINITIONS = "#/$defs/"


def _unrollable(schema: Node) -> Node:
    """A schema that leads back into itself only through properties that are not required, as Gemini wants it."""
    root = {name: value for name, value in schema.items() if name != "$defs"}
    definitions = schema.get("$defs")
    places: dict[str, Any] = {_ROOT: root}
    if isinstance(definitions, dict):
        places.update({_DEFINITIONS + escaped(name): inner for name, inner in definitions.items()})
    leads = {place: _references(inner) for place, inner in places.items()}
    circular = {place: back for place in places for back in [_leading_to(place, leads)] if place in back}
    if not circular:
        return schema
    loosened = {place: _loosened(inner, circular.get(place, set())) for place, inner in places.items()}
    found: Node = loosened.pop(_ROOT)
    if isinstance(definitions, dict):
        found["$defs"] = dict(zip(definitions, loosened.values()))
    return found


def _references(schema: Any) -> set[str]:
    """The places that a schema refers to: definitions, or the root for what is within it."""
    found = set()

    def look(node: Node) -> Node:
        reference = node.get("$ref")
        if isinstance(reference, str):
            named = reference.startswith(_DEFINITIONS)
            found.add("/".join(reference.split("/")[:3]) if named else _ROOT)
        return node

    mapped(schema, look)
    return found


def _leading_to(place: str, leads: dict[str, set[str]]) -> set[str]:
    """The places from which references lead to one; itself is among them if it is recursive."""
    found: set[str] = set()
    new = {place}
    while new:
        new = {other for other, led in leads.items() if led & new} - found
        found |= new
    return found


def _loosened(schema: Any, back: set[str]) -> Any:
    """A definition in which no property is required that leads back into it. back: the places that do."""

    def loosen(node: Node) -> Node:
        required, properties = node.get("required"), node.get("properties")
        if not isinstance(required, list) or not isinstance(properties, dict):
            return node
        circular = [name for name in required if isinstance(name, str) and _references(properties.get(name)) & back]
        if not circular:
            return node
        node = described({**node, "required": circular}, ["required"])
        kept = [name for name in required if name not in circular]
        return {**node, "required": kept} if kept else node

    return mapped(schema, loosen) if back else schema

"""JSON Schemas as OpenAI's models can be held to them: in the strict form.

Both of OpenAI's wires take schemas alike. In the strict form every object is closed and
every property is required; one that was optional takes null, which readers take for nothing.

Source: "Structured outputs: supported schemas" of OpenAI's documentation, August 2026, and
what its API refuses, as quoted in public up to September 2026 ("'uniqueItems' is not
permitted", "schema must have a 'type' key", "$ref cannot have keywords").
"""

from __future__ import annotations

import re

from .._mismatch import JSON_NAMES
from .._reference import escaped
from ..errors import UnsupportedError
from ._schema import TELLING, alone, checked, described, mapped, once_for_types, simplified
from ._shared import text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._schema import Node

_KEYWORDS = frozenset(
    (
        *("type", "properties", "required", "additionalProperties", "items", "minItems", "maxItems"),
        *("anyOf", "enum", "const", "$ref", "$defs", "title", "description", "pattern", "format"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    )
)
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")
_TOLD = TELLING - _KEYWORDS
_NULL = {"type": "null"}
NOT_STRICT = "schema: not enforced by the target, for it has no strict form (it is no object, or one of it is open)"
_TYPES = {kind: name for kind, name in JSON_NAMES.items() if kind not in (list, dict)}
_KINDS = tuple(JSON_NAMES.values())


@once_for_types
def named(schema: Any) -> Node:
    """A schema as OpenAI's wires take it: with a name, from its title, and in the strict form where it has one."""
    strict = strict_form(checked(schema))
    return {**as_given(schema), "schema": schema if strict is None else strict, "strict": strict is not None}


def as_given(schema: Any) -> Node:
    """The same for servers that enforce more than the strict form can say: the schema as it is."""
    given = checked(schema)
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", text_of(given.get("title")))[:64] or "answer"
    return {"name": name, "schema": given, "strict": False}


def is_strict(schema: Node) -> bool:
    """Whether a schema keeps the rules of the strict form as it is."""
    return strict_form(schema) == schema


def strict_form(schema: Node) -> Node | None:
    """A copy of a schema in the strict form; None if it would mean something else, as where an object is open."""
    try:
        return _Strict(schema).form()
    except UnsupportedError:
        return None


class _Strict:
    """One schema on its way to the strict form, which it has not if UnsupportedError is raised."""

    def __init__(self, schema: Node) -> None:
        schema = simplified(schema)
        definitions = schema.get("$defs")
        named = definitions.items() if isinstance(definitions, dict) else ()
        self._definitions = {f"#/$defs/{escaped(name)}": inner for name, inner in named if isinstance(inner, dict)}
        root = self._definitions.get(text_of(schema.get("$ref")))
        if root is not None and "properties" not in schema:  # the root stands for itself
            schema = {**root, **{name: value for name, value in schema.items() if name != "$ref"}}
        self._schema = schema

    def form(self) -> Node:
        found: Node = mapped(self._schema, self._node)
        if found.get("type") != "object" or "anyOf" in found:
            raise UnsupportedError("the schema's root is no object")
        return found

    def _node(self, node: Node) -> Node:
        if "oneOf" in node and "anyOf" not in node:
            node["anyOf"] = node.pop("oneOf")
        if "allOf" in node or "patternProperties" in node:
            raise UnsupportedError("the schema has an object that is described in parts, or by patterns")
        if not _is_of_schemas(node.get("$defs", {})) or not _list(node.get("enum", [None])):
            raise UnsupportedError("the schema has definitions that are none, or lists no values")
        self._close(node)
        self._type(node)
        if node.get("default", ...) is None:
            del node["default"]  # it goes without saying where null does
        node = described(node, [name for name, value in node.items() if name in _TOLD or _is_odd(name, value)])
        return alone({name: value for name, value in node.items() if name in _KEYWORDS})

    def _close(self, node: Node) -> None:
        """An object names all of its properties, and takes null for those that may be missing.

        One that does not say whether it is open is closed: what follows that follows the schema.
        """
        if "object" not in _kinds(node):
            if "properties" in node:
                raise UnsupportedError("the schema has properties of what need not be an object")
            return
        properties, required = node.get("properties"), node.get("required", [])
        if properties and ("$ref" in node or "anyOf" in node):
            raise UnsupportedError("the schema has an object that is described in parts")
        if properties:
            node.setdefault("additionalProperties", False)
        properties = node.setdefault("properties", {})
        if (
            node.get("additionalProperties") is not False
            or not _is_of_schemas(properties)
            or not isinstance(required, list)
            or not all(isinstance(name, str) and name in properties for name in required)
        ):
            raise UnsupportedError("the schema has an object that is open")
        optional = [name for name in properties if name not in required]
        node["properties"] = {**properties, **{name: self._nullable(properties[name]) for name in optional}}
        node["required"] = [*required, *optional]

    def _nullable(self, node: Node) -> Node:
        if self._takes_null(node):
            return node
        if set(node) <= {"anyOf", "title", "description"}:
            return {**node, "anyOf": [*node["anyOf"], _NULL]}
        return {"anyOf": [node, _NULL]}

    def _takes_null(self, node: Node) -> bool:
        followed: set[str] = set()
        left: list[Any] = [node]
        while left:
            node = left.pop()
            reference = text_of(node.get("$ref"))
            if reference:
                if reference not in followed:
                    left += _dicts([self._definitions.get(reference)])
                followed.add(reference)
            elif "enum" in node or "const" in node:
                if None in _values(node):
                    return True
            elif "null" in _kinds(node):
                return True
            elif "type" not in node:
                left += _dicts(node.get("anyOf", node.get("oneOf")))
        return False

    def _type(self, node: Node) -> None:
        """A node says of which type it is: by itself, or by what it refers to or lists."""
        reference, kinds = node.get("$ref"), _kinds(node)
        if reference is not None:
            if reference != "#" and text_of(reference) not in self._definitions:
                raise UnsupportedError("the schema refers to what is no definition of its own")
        elif "anyOf" in node:
            if not node["anyOf"] or _dicts(node["anyOf"]) != node["anyOf"]:
                raise UnsupportedError("the schema has an empty choice")
        elif "type" not in node:
            kinds = tuple(dict.fromkeys(_TYPES.get(type(value), "") for value in _values(node)))
            node["type"] = kinds[0] if len(kinds) == 1 else list(kinds)
        if "type" in node and not (kinds and all(kind in _KINDS for kind in kinds)):
            raise UnsupportedError("the schema has something of any type")
        if "array" in kinds and not isinstance(node.get("items"), dict):
            raise UnsupportedError("the schema has an array of anything")


def _values(node: Node) -> list[Any]:
    """The values that a node lists."""
    return [node["const"]] if "const" in node else _list(node.get("enum"))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dicts(value: Any) -> list[Any]:
    return [inner for inner in _list(value) if isinstance(inner, dict)]


def _is_of_schemas(value: Any) -> bool:
    """Whether a value is schemas by name."""
    return isinstance(value, dict) and all(isinstance(inner, dict) for inner in value.values())


def _kinds(node: Node) -> tuple[Any, ...]:
    kinds = node.get("type")
    return tuple(kinds) if isinstance(kinds, list) else (kinds,)


def _is_odd(name: str, value: Any) -> bool:
    """Whether a keyword is known, and its value is not; of patterns those that look around."""
    if name == "pattern":
        return not isinstance(value, str) or re.search(r"\(\?<?[=!]", value) is not None
    return name == "format" and value not in _FORMATS

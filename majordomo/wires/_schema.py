"""JSON Schemas as servers take them: copies with other keywords, the caller's own stays as it is.

A wire says in a function what becomes of one node; `mapped` goes through all of them.
Loaded with the first request that has tools or a schema which must be changed.
"""

from __future__ import annotations

from .. import _json
from ..errors import ConfigError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Callable

    Node = dict[str, Any]

# Keywords whose value is a schema, a list of schemas, or schemas by name. Source: JSON Schema 2020-12.
_ONE = ("items", "additionalProperties", "contains", "not", "if", "then", "else", "propertyNames")
_LIST = ("anyOf", "oneOf", "allOf", "prefixItems")
_NAMED = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_DEEPEST = 100


def mapped(schema: Any, change: Callable[[Node], Node], depth: int = 0) -> Any:
    """A copy of a schema in which each node, innermost first, is what `change` makes of it.

    `change` gets a copy, which it may keep. Raises ConfigError for a schema that is nested
    too deeply, or holds itself.
    """
    if not isinstance(schema, dict):
        return schema
    if depth > _DEEPEST:
        raise ConfigError("the schema is nested too deeply, or holds itself")
    node = dict(schema)
    for name, value in schema.items():
        if name in _NAMED and isinstance(value, dict):
            node[name] = {key: mapped(inner, change, depth + 1) for key, inner in value.items()}
        elif isinstance(value, list) and (name in _LIST or name == "items"):
            node[name] = [mapped(inner, change, depth + 1) for inner in value]
        elif name in _ONE:
            node[name] = mapped(value, change, depth + 1)
    return change(node)


def inlined(schema: Any) -> Any:
    """A copy in which every `$ref` into the schema itself is replaced by what it names.

    Raises UnsupportedError for a recursive schema and for a reference that leads nowhere.
    """
    return _inlined(schema, schema, (), 0)


def _inlined(schema: Any, root: Any, path: tuple[str, ...], depth: int) -> Any:
    if isinstance(schema, list):
        return [_inlined(inner, root, path, depth + 1) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    if depth > 2 * _DEEPEST:
        raise ConfigError("the schema is nested too deeply, or holds itself")
    reference = schema.get("$ref")
    if isinstance(reference, str):
        if reference in path:
            raise UnsupportedError("the schema refers to itself, which the target does not take")
        named = _inlined(_found(root, reference), root, (*path, reference), depth + 1)
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        return {**named, **_inlined(beside, root, path, depth + 1)} if isinstance(named, dict) else named
    return {
        name: _values(value, root, path, depth)
        if name in _NAMED
        else _inlined_if_schema(name, value, root, path, depth)
        for name, value in schema.items()
        if name not in ("$defs", "definitions")
    }


def _values(value: Any, root: Any, path: tuple[str, ...], depth: int) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _inlined(inner, root, path, depth + 1) for key, inner in value.items()}


def _inlined_if_schema(name: str, value: Any, root: Any, path: tuple[str, ...], depth: int) -> Any:
    return _inlined(value, root, path, depth + 1) if name in _ONE or name in _LIST else value


def _found(root: Any, reference: str) -> Any:
    """What a reference names: `#`, or `#/` and a path from the root."""
    place = root if reference == "#" or reference.startswith("#/") else None
    for step in reference[2:].split("/") if reference != "#" else ():
        place = place.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(place, dict) else None
    if place is None:
        raise UnsupportedError("the schema refers to something that is not in it")
    return place


def described(node: Node, names: Iterable[str]) -> Node:
    """A node without these keywords; what they said stands in its description."""
    dropped = {name: node.pop(name) for name in names if name in node}
    if dropped:
        said = ", ".join(f"{name}: {_json.dumps(value, 'the schema')}" for name, value in dropped.items())
        before = node.get("description")
        node["description"] = f"{before} ({said})" if isinstance(before, str) and before else said
    return node


def in_words(schema: Any) -> str:
    """An instruction to answer to a schema, for servers that cannot be made to."""
    text = _json.dumps(schema, "the schema")
    return f"Answer with one JSON value and nothing around it. It must follow this JSON Schema:\n{text}"

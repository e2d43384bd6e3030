"""JSON Schemas as servers take them: copies with other keywords, the caller's own stays as it is.

A wire says in a function what becomes of one node; `mapped` goes through all of them.
Loaded with the first request that has tools or a schema which must be changed.
"""

from __future__ import annotations

from functools import lru_cache

from .. import _json
from .._loading import loading
from .._reference import referred
from ..errors import ConfigError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Callable

    Node = dict[str, Any]

# Keywords whose values are schemas: one, a list of them, or schemas by name. Source: JSON Schema 2020-12.
_ONE = ("items", "additionalProperties", "contains", "not", "if", "then", "else", "propertyNames")
_LIST = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
_NAMED = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_DEEPEST = 100
_MOST_REFERENCES = 10_000
_ENDLESS = "the schema is nested too deeply, or holds itself"

# Keywords that say what a value may be, beside those that all servers know; all others are
# notes for readers. Source: JSON Schema 2020-12.
TELLING = frozenset(
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
        "oneOf",
        "pattern",
        "patternProperties",
        "prefixItems",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
        "uniqueItems",
    )
)


def _members(node: Node, each: Callable[[Any], Any]) -> Node:
    """A copy of a node, in which `each` stands for every schema that is part of it."""
    found = dict(node)
    for name, value in node.items():
        if isinstance(value, list):
            if name in _LIST:
                found[name] = [each(inner) for inner in value]
        elif name in _ONE:
            found[name] = each(value)
        elif name in _NAMED and isinstance(value, dict):
            found[name] = {key: each(inner) for key, inner in value.items()}
    return found


def mapped(schema: Any, change: Callable[[Node], Node], depth: int = 0) -> Any:
    """A copy of a schema in which each node, innermost first, is what `change` makes of it.

    `change` gets a copy, which it may keep. Raises ConfigError for a schema that is nested
    too deeply, or holds itself.
    """
    if not isinstance(schema, dict):
        return schema
    if depth > _DEEPEST:
        raise ConfigError(_ENDLESS)
    return change(_members(schema, lambda inner: mapped(inner, change, depth + 1)))


def inlined(schema: Any) -> Any:
    """A copy in which every `$ref` into the schema itself is replaced by what it names.

    Raises UnsupportedError for a recursive schema and for a reference that leads nowhere,
    ConfigError for one that is nested too deeply or grows beyond all measure.
    """
    return _Inliner(schema).inlined(schema, (), 0)


class _Inliner:
    """One schema whose references are being replaced."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._left = _MOST_REFERENCES

    def inlined(self, schema: Any, path: tuple[str, ...], depth: int) -> Any:
        """path: the references that led here."""
        if not isinstance(schema, dict):
            return schema
        if depth > _DEEPEST:
            raise ConfigError(_ENDLESS)
        reference = schema.get("$ref")
        if isinstance(reference, str):
            if reference in path:
                raise UnsupportedError("the schema refers to itself, which the target does not take")
            self._left -= 1
            if not self._left:
                raise ConfigError("the schema holds too many references")
            found = referred(self._root, reference)
            if found is None:
                raise UnsupportedError("the schema refers to something that is not in it")
            named = self.inlined(found, (*path, reference), depth + 1)
            beside = {name: value for name, value in schema.items() if name != "$ref"}
            more = self._inside(beside, path, depth)
            return {**named, **more} if isinstance(named, dict) else named
        return self._inside(schema, path, depth)

    def _inside(self, node: Node, path: tuple[str, ...], depth: int) -> Node:
        kept = {name: value for name, value in node.items() if name not in ("$defs", "definitions")}
        return _members(kept, lambda inner: self.inlined(inner, path, depth + 1))


def modern(node: Node) -> Node:
    """A node in fewer words for the same: no `allOf` that can be united, `$defs`, no boolean schemas."""
    node = _united(node)
    _rename_definitions(node)
    return {name: _spelt_out(name, value) for name, value in node.items()}


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


def described(node: Node, names: Iterable[str]) -> Node:
    """A node without these keywords; what they said stands in its description."""
    dropped = {name: node.pop(name) for name in names if name in node}
    if dropped:
        said = ", ".join(f"{name}: {_json.dumps(value, 'the schema')}" for name, value in dropped.items())
        before = node.get("description")
        node["description"] = f"{before} ({said})" if isinstance(before, str) and before else said
    return node


def alone(node: Node) -> Node:
    """A node whose reference has nothing beside it: the rest moves to an `anyOf` around it."""
    if "$ref" in node and not all(name.startswith("$") for name in node):
        node = described(node, ["anyOf"])
        node["anyOf"] = [{"$ref": node.pop("$ref")}]
    return node


def untupled(node: Node) -> Node:
    """A node whose tuple is a list of whatever its members may be; which one stands where is said in words."""
    members, rest = node.get("prefixItems"), node.get("items")
    if not isinstance(members, list) or not all(isinstance(member, dict) for member in members):
        return node
    node = described({name: value for name, value in node.items() if name != "items"}, ["prefixItems"])
    most = node.get("maxItems")
    if rest is False or (isinstance(most, int) and most <= len(members)):
        node.setdefault("maxItems", len(members))
    elif isinstance(rest, dict):
        members = [*members, rest]
    else:
        return node  # behind the members may stand anything
    kinds = [member for at, member in enumerate(members) if member not in members[:at]]
    node["items"] = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    return node


def simplified(schema: Node) -> Node:
    """A copy of a schema in fewer words for nearly the same: see `untupled` and `modern`."""
    found: Node = mapped(schema, lambda node: modern(untupled(node)))
    return found


def checked(schema: Any) -> Node:
    """A schema as a dict, made of the type that it is given as.

    Raises UnsupportedError for what is neither, ConfigError for a dict that has no end.
    """
    if isinstance(schema, dict):
        mapped(schema, lambda node: node)
        return schema
    with loading:
        from ..schema import schema_of

    try:
        return schema_of(schema)
    except TypeError as exc:
        raise UnsupportedError(f"schema is a JSON Schema as a dict, or a type that has one: {exc}") from None


def once_for_types(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function of a schema that may be a type: what is made of one is made once, for a type does not change."""

    @lru_cache(maxsize=128)
    def of_type(kind: Any) -> Any:
        return make(checked(kind))

    def found(schema: Any) -> Any:
        if isinstance(schema, dict):
            return make(schema)
        return of_type(schema) if _is_hashable(schema) else make(checked(schema))

    found.__doc__ = make.__doc__
    return found


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:  # a type that is annotated with a list, say
        return False
    return True


def in_words(schema: Any, told: list[str], how: str = "in words") -> str:
    """An instruction to answer to a schema, for servers that cannot be made to; `told` gets the warning."""
    told.append(f"schema: asked for {how}, for the target does not enforce it")
    text = _json.dumps(checked(schema), "the schema")
    return f"Answer with one JSON value and nothing around it. It must follow this JSON Schema:\n{text}"

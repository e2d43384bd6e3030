"""JSON Schemas as Anthropic's models can be held to them.

Source: anthropic 2.12 of November 2026, `lib/_parse/_transform.py`, which closes objects,
drops a `type` beside `enum`, and tells the model of the rest in descriptions.
"""

from __future__ import annotations

from ..errors import ConfigError, UnsupportedError
from ._schema import alone, described, inlined, mapped, once_for_types, simplified

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What an answer can be held to. Source: `_transform.py`.
_KEYWORDS = (
    *("type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf"),
    *("$ref", "$defs", "title", "description", "minItems", "format"),
)
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
_TYPED = ("type", "enum", "const", "anyOf", "$ref")
_NOT_AT_THE_TOP = ("anyOf", "oneOf", "allOf")  # of a tool's schema. Source: errors quoted in public, 2025 and 2026
_MEANS_NOTHING = ("$schema", "$id", "$comment")


@once_for_types
def narrowed(schema: Any) -> dict[str, Any] | None:
    """A schema as an answer can be held to it; None if it is recursive or open: in an object of it, or to any type.

    An object that does not say whether it is open counts as closed: open ones cannot be had.
    """
    try:
        inlined(schema)  # to know whether it holds itself: references may stay
        taken: dict[str, Any] = mapped(simplified(schema), _node)
        return taken
    except (UnsupportedError, ConfigError):  # ...or holds more references than can be followed
        return None


def _node(node: dict[str, Any]) -> dict[str, Any]:
    """One node of a schema: objects are closed, and what is not enforced stands in the description."""
    if "oneOf" in node and "anyOf" not in node:
        node["anyOf"] = node.pop("oneOf")
    kinds = node.get("type")
    if kinds == "object" or "properties" in node or (isinstance(kinds, list) and "object" in kinds):
        if not isinstance(node.get("properties"), dict) or node.get("additionalProperties"):
            raise UnsupportedError("the schema has an object whose members are not named")
        if "$ref" in node or "anyOf" in node:  # closed, each part would refuse what the others want
            raise UnsupportedError("the schema has an object that is described in parts")
        node["additionalProperties"] = False
    if "allOf" in node:
        raise UnsupportedError("the schema has an object that is described in parts")
    if not any(name in node for name in _TYPED):
        raise UnsupportedError("the schema has something of any type")
    if "enum" in node or "const" in node:
        node.pop("type", None)
    dropped = [name for name in node if name not in _KEYWORDS and name not in _MEANS_NOTHING]
    dropped += [
        name for name, fine in (("format", _FORMATS), ("minItems", (0, 1))) if node.get(name, fine[0]) not in fine
    ]
    for name in _MEANS_NOTHING:
        node.pop(name, None)
    return alone(described(node, dropped))


def as_tool(schema: dict[str, Any], name: str) -> dict[str, Any] | None:
    """What of a body asks for an answer as the arguments of a tool; None if arguments cannot be what is asked for."""
    if schema.get("type") != "object" or any(word in schema for word in _NOT_AT_THE_TOP):
        return None
    tool = {"name": name, "description": "Takes the answer.", "input_schema": schema}
    return {"tools": [tool], "tool_choice": {"type": "tool", "name": name, "disable_parallel_tool_use": True}}

"""Python types, taken apart: dataclasses, TypedDicts, enums and what `typing` makes of them.

Each type becomes a `Kind`. A class may stand in a type more than once, and within itself;
then it is a definition that is referred to.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import functools
import inspect
import re
import types
import typing

from . import _docstrings
from ._annotations import Scope, scopes_of_class
from ._kinds import (
    ABSENT,
    COLLECTIONS,
    MAPPINGS,
    SCALARS,
    SETS,
    Field,
    Kind,
    described,
    kind_of_values,
    reader_of_fields,
    reader_of_items,
    reader_of_mapping,
    reader_of_tuple,
    reader_of_union,
    schema_of_fields,
    with_default,
)
from ._mismatch import Mismatch
from ._plain import json_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["Compiler", "Root", "root_of"]

MOST_SCOPES = 10  # of generic classes within each other
_NONE = type(None)
_BARE = (tuple, typing.Tuple)  # noqa: UP006
_UNIONS = (typing.Union, getattr(types, "UnionType", typing.Union))
_MARKERS = {"Required": True, "NotRequired": False, "ReadOnly": None, "Final": None}


class Compiler:
    """One type that is being taken apart, with all that are in it.

    References to classes are collected meanwhile; `finish` puts a class that is used once
    where it is used, and the others into `$defs`.
    """

    def __init__(self) -> None:
        self._classes: dict[Any, tuple[str, Kind]] = {}  # by class and arguments
        self._references: dict[str, list[dict[str, Any]]] = {}

    def kind(self, annotation: Any, scope: Scope, where: str) -> Kind:
        """The kind of an annotation; `where` names its place for a TypeError."""
        if isinstance(annotation, str):
            return self.kind(_evaluated(annotation, scope, where), scope, where)
        if isinstance(annotation, typing.ForwardRef):
            return self.kind(annotation.__forward_arg__, scope.of(annotation), where)
        if annotation is None:
            annotation = _NONE
        if isinstance(annotation, typing.TypeVar):
            return self._kind_of_typevar(annotation, scope, where)
        if not isinstance(annotation, collections.abc.Hashable):
            raise TypeError(f"{where}: {annotation!r} has no JSON Schema")
        known = SCALARS.get(annotation)
        if known is not None:
            return Kind(dict(known.schema), known.read, known.takes, known.exact)
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is not None:
            return self._kind_of_generic(annotation, origin, arguments, scope, where)
        inner = getattr(annotation, "__supertype__", None) or getattr(annotation, "__value__", None)
        if inner is not None and not isinstance(annotation, type):  # NewType, `type X = ...`
            return self.kind(inner, scope, where)
        if annotation in COLLECTIONS or annotation in MAPPINGS or annotation is tuple:
            return self._kind_of_generic(annotation, annotation, (), scope, where)
        if isinstance(annotation, type):
            return self._kind_of_class(annotation, (), where)
        raise TypeError(f"{where}: {_name(annotation)} has no JSON Schema")

    def _kind_of_typevar(self, variable: Any, scope: Scope, where: str) -> Kind:
        if variable in scope.typevars:
            annotation, its_scope = scope.typevars[variable]
            return self.kind(annotation, its_scope, where)
        if getattr(variable, "has_default", bool)():  # from 3.13 on
            return self.kind(variable.__default__, scope, where)
        if variable.__constraints__:
            return self._kind_of_union(variable.__constraints__, scope, where)
        return self.kind(variable.__bound__ or object, scope, where)

    def _kind_of_generic(
        self, annotation: Any, origin: Any, arguments: tuple[Any, ...], scope: Scope, where: str
    ) -> Kind:
        if origin in _UNIONS:
            return self._kind_of_union(arguments, scope, where)
        form = getattr(origin, "_name", None)  # typing_extensions has forms of its own, by the same names
        if form == "Literal":
            return kind_of_values([(json_of(value, where), value) for value in arguments])
        if hasattr(annotation, "__metadata__"):  # Annotated
            kind = self.kind(arguments[0], scope, where)
            texts = [text for text in annotation.__metadata__ if isinstance(text, str)]
            return described(kind, texts[0] if texts else None)
        if origin is tuple:
            return self._kind_of_tuple(None if annotation in _BARE else arguments, scope, where)
        if origin in COLLECTIONS:
            item = self.kind(arguments[0] if arguments else object, scope, f"{where}[]")
            schema: dict[str, Any] = {"type": "array", "items": item.schema}
            if origin in SETS:
                schema["uniqueItems"] = True
                if not item.hashable:
                    raise TypeError(f"{where}: a set cannot hold {_name(arguments[0])}")
            return Kind(schema, reader_of_items(item, COLLECTIONS[origin]), [list], hashable=origin is frozenset)
        if origin in MAPPINGS:
            return self._kind_of_mapping(arguments, scope, where)
        if isinstance(origin, type):
            return self._kind_of_class(origin, tuple(_resolved(argument, scope) for argument in arguments), where)
        if form in _MARKERS:
            return self.kind(arguments[0], scope, where)
        raise TypeError(f"{where}: {_name(annotation)} has no JSON Schema")

    def _kind_of_union(self, arguments: Iterable[Any], scope: Scope, where: str) -> Kind:
        members = [self.kind(argument, scope, where) for argument in arguments]
        takes: frozenset[type] | None = frozenset()
        for member in members:
            takes = None if takes is None or member.takes is None else takes | member.takes
        exact = [kind for kind in takes or () if kind in next(m for m in members if kind in (m.takes or ())).exact]
        hashable = all(member.hashable for member in members)
        return Kind({"anyOf": [m.schema for m in members]}, reader_of_union(members), takes, exact, hashable)

    def _kind_of_tuple(self, arguments: tuple[Any, ...] | None, scope: Scope, where: str) -> Kind:
        if arguments is None or arguments[1:] == (Ellipsis,):
            item = self.kind(object if arguments is None else arguments[0], scope, f"{where}[]")
            schema: dict[str, Any] = {"type": "array", "items": item.schema}
            return Kind(schema, reader_of_items(item, tuple), [list], hashable=item.hashable)
        if arguments == ((),):  # Tuple[()] before 3.11
            arguments = ()
        items = [self.kind(argument, scope, f"{where}[{n}]") for n, argument in enumerate(arguments)]
        schema = {"type": "array", "prefixItems": [item.schema for item in items]}
        schema.update(minItems=len(items), maxItems=len(items))
        return Kind(schema, reader_of_tuple(items), [list], hashable=all(item.hashable for item in items))

    def _kind_of_mapping(self, arguments: tuple[Any, ...], scope: Scope, where: str) -> Kind:
        names, values = arguments or (str, object)
        if self.kind(names, scope, where).takes != frozenset((str,)):
            raise TypeError(f"{where}: {_name(names)} cannot be the name of a property: names are strings in JSON")
        name, item = self.kind(names, scope, where), self.kind(values, scope, f"{where}[]")
        schema = {"type": "object", "additionalProperties": item.schema or True}
        if name.schema != {"type": "string"}:
            schema["propertyNames"] = name.schema
        return Kind(schema, reader_of_mapping(name, item), [dict], hashable=False)

    def _kind_of_class(self, cls: type, arguments: tuple[Any, ...], where: str) -> Kind:
        if issubclass(cls, enum.Enum):
            return _kind_of_enum(cls, where)
        fields = _fields_of(cls)
        if fields is None:
            raise TypeError(f"{where}: {_name(cls)} has no JSON Schema (dataclasses, TypedDicts and enums have one)")
        if any(scope.depth > MOST_SCOPES for _, scope in arguments):
            raise TypeError(f"{where}: {cls.__name__} stands within itself for ever new types")
        key = (cls, tuple((annotation, scope.key) for annotation, scope in arguments))
        if key not in self._classes:
            kind = Kind({}, lambda value, seen: kind.read(value, seen), [dict])  # a class may stand within itself
            self._classes[key] = (self._name_for(cls), kind)
            typevars = dict(zip(getattr(cls, "__parameters__", ()), arguments))
            self._fill(kind, cls, fields, scopes_of_class(cls, typevars))
        name, known = self._classes[key]
        reference = {"$ref": f"#/$defs/{name}"}
        self._references.setdefault(name, []).append(reference)
        found = Kind(reference, known.read, [dict], hashable=cls.__hash__ is not None)
        found.tags = known.tags
        return found

    def _fill(self, kind: Kind, cls: type, fields: list[_Declared], scopes: dict[str, tuple[Any, Scope]]) -> None:
        """Make the kind of a class, of what it declares."""
        for name in {name for name, (said, _) in scopes.items() if "InitVar" in str(said)} - {f.name for f in fields}:
            raise TypeError(f"{cls.__qualname__}.{name}: an InitVar has no JSON Schema")
        told = _docstrings.read(_own_doc(cls))
        found = []
        for declared in fields:
            annotation, scope = scopes[declared.name]
            scope = scope.of(annotation)
            where = f"{cls.__qualname__.rpartition('<locals>.')[2]}.{declared.name}"
            annotation, required = _unmarked(annotation, scope, where, declared.required)
            inner = self.kind(annotation, scope, where)
            inner = described(inner, declared.description or told.of.get(declared.name))
            found.append(Field(declared.name, with_default(inner, declared.default), required))
        kind.schema.update(schema_of_fields(found))
        described(kind, told.text)
        kind.tags.update({f.name: f.kind.schema["enum"] for f in found if f.required and "enum" in f.kind.schema})
        kind.read = reader_of_fields(found, cls)

    def _name_for(self, cls: type) -> str:
        wanted = found = re.sub(r"[^A-Za-z0-9_]", "_", cls.__name__)
        taken, count = {name for name, _ in self._classes.values()}, 1
        while found in taken:
            count += 1
            found = f"{wanted}{count}"
        return found

    def finish(self, root: dict[str, Any]) -> dict[str, Any]:
        """A whole schema, with the classes that are used more than once, or within themselves."""
        definitions: dict[str, Any] = {}
        for name, kind in reversed(list(self._classes.values())):
            uses = [node for node in self._references.get(name, ()) if node is not root]
            if len(uses) == 1 and root.get("$ref") != f"#/$defs/{name}":
                _put(uses[0], kind.schema)
            elif uses:
                definitions[name] = kind.schema
        if "$ref" in root:
            _put(root, next(k.schema for name, k in self._classes.values() if root["$ref"] == f"#/$defs/{name}"))
        return {**root, **({"$defs": definitions} if definitions else {})}


def _put(node: dict[str, Any], schema: dict[str, Any]) -> None:
    """A class where it is used; what was said of this use wins."""
    del node["$ref"]
    for name, value in schema.items():
        node.setdefault(name, value)


def _evaluated(annotation: Any, scope: Scope, where: str) -> Any:
    if isinstance(annotation, typing.ForwardRef):
        annotation = annotation.__forward_arg__
    if not isinstance(annotation, str):
        return annotation
    try:
        return scope.evaluated(annotation)
    except TypeError as exc:
        raise TypeError(f"{where}: {exc}") from exc


def _unmarked(annotation: Any, scope: Scope, where: str, required: bool) -> tuple[Any, bool]:
    """An annotation without `Required` and the like around it, and what these say."""
    while True:
        annotation = _evaluated(annotation, scope, where)
        marker = getattr(typing.get_origin(annotation), "_name", None)
        if marker not in _MARKERS:
            return annotation, required
        said = _MARKERS[marker]
        required = required if said is None else said
        annotation = typing.get_args(annotation)[0]


def _kind_of_enum(cls: type[enum.Enum], where: str) -> Kind:
    if not list(cls):
        raise TypeError(f"{where}: the enum {cls.__name__} has no members")
    kind = kind_of_values([(json_of(member, where), member) for member in cls])
    doc = _own_doc(cls)
    return described(kind, None if doc == "An enumeration." else _docstrings.read(doc).text)  # 3.9 and 3.10 say that


class _Declared:
    """What a class says of one of its fields."""

    __slots__ = ("default", "description", "name", "required")

    def __init__(self, name: str, required: bool, default: Any = ABSENT, description: str | None = None) -> None:
        self.name, self.required, self.default, self.description = name, required, default, description


# Factories of defaults -> what they make; others may make something else each time.
_EMPTY: dict[Any, Any] = {list: [], dict: {}, set: [], tuple: [], frozenset: []}


def _fields_of(cls: type) -> list[_Declared] | None:
    """The fields of a dataclass, a TypedDict or a NamedTuple; None of another class."""
    if dataclasses.is_dataclass(cls):
        fields = [field for field in dataclasses.fields(cls) if field.init]
        taken = inspect.signature(cls).parameters
        if not taken.keys() >= {field.name for field in fields}:
            raise TypeError(f"{cls.__qualname__} has an __init__ of its own, which does not take its fields")
        return [_declared(field) for field in fields]
    if issubclass(cls, dict) and hasattr(cls, "__required_keys__"):
        return [_Declared(name, name in cls.__required_keys__) for name in cls.__annotations__]
    if issubclass(cls, tuple) and hasattr(cls, "_fields") and _annotated(cls) >= set(cls._fields):
        defaults = getattr(cls, "_field_defaults", {})
        return [_Declared(name, name not in defaults, defaults.get(name, ABSENT)) for name in cls._fields]
    return None


def _annotated(cls: type) -> set[str]:
    return {name for base in cls.__mro__ for name in base.__dict__.get("__annotations__", ())}


def _declared(field: dataclasses.Field[Any]) -> _Declared:
    missing = dataclasses.MISSING
    required = field.default is missing and field.default_factory is missing
    default = field.default if field.default is not missing else _EMPTY.get(field.default_factory, ABSENT)
    said = field.metadata.get("description")
    return _Declared(field.name, required, default, said if isinstance(said, str) else None)


def _own_doc(cls: type) -> str | None:
    """The docstring that somebody wrote for this class; `dataclass` makes one of the signature."""
    doc = cls.__dict__.get("__doc__")
    made = isinstance(doc, str) and doc.startswith(f"{cls.__name__}(")
    return doc if isinstance(doc, str) and not made else None


def _resolved(argument: Any, scope: Scope) -> tuple[Any, Scope]:
    """An argument of a generic class, and the scope that it needs: none if it means the same everywhere."""
    while isinstance(argument, typing.TypeVar) and argument in scope.typevars:
        argument, scope = scope.typevars[argument]
    return argument, scope if _is_open(argument) else Scope()


def _is_open(annotation: Any) -> bool:
    """Whether an annotation holds parameters, or text."""
    if isinstance(annotation, (str, typing.ForwardRef, typing.TypeVar)):
        return True
    return any(_is_open(inner) for inner in typing.get_args(annotation))


def _name(annotation: Any) -> str:
    return annotation.__qualname__ if isinstance(annotation, type) else str(annotation)


class Root:
    """A type as an answer is held to it.

    schema: always an object's, which is all that some servers take; a value that is none
    stands in it as `value`.
    """

    def __init__(self, annotation: Any) -> None:
        if isinstance(annotation, (str, list, tuple)):
            raise TypeError(f"a schema is a dict or a type (list[City], say), and no {type(annotation).__name__}")
        if dataclasses.is_dataclass(annotation) and not isinstance(annotation, type):
            raise TypeError(f"a schema is a type: {type(annotation).__name__} itself, not an instance of it")
        compiler = Compiler()
        where = annotation.__name__ if isinstance(annotation, type) else str(annotation)
        kind = compiler.kind(annotation, Scope(), where)
        is_object = kind.takes == frozenset((dict,)) and "anyOf" not in kind.schema
        self._wrapped = not is_object
        self._read = kind.read
        if self._wrapped:
            kind = Kind(schema_of_fields([Field("value", kind, True)]), kind.read, [dict])
        title = annotation.__name__ if isinstance(annotation, type) else "answer"
        self.schema = {"title": title, **compiler.finish(kind.schema)}

    def read(self, value: Any) -> Any:
        """The value of the type; raises Mismatch. One that should be wrapped may come without."""
        if not (self._wrapped and type(value) is dict and list(value) == ["value"]):
            return self._read(value, {})
        try:
            return self._read(value["value"], {})
        except Mismatch as wrapped:
            try:
                return self._read(value, {})
            except Mismatch:
                raise Mismatch(wrapped.below("value")) from None


def root_of(annotation: Any) -> Root:
    """A type, taken apart once; TypeError names the field that has no schema."""
    try:
        hash(annotation)
    except TypeError:  # annotated with a list, say
        return _root_of(annotation, "")
    return _kept_root_of(annotation, "" if isinstance(annotation, type) else repr(annotation))


def _root_of(annotation: Any, order: str) -> Root:
    """order: of the members of unions, which are equal in any order."""
    try:
        return Root(annotation)
    except RecursionError:
        raise TypeError(f"{_name(annotation)} is nested too deeply") from None


_kept_root_of = functools.lru_cache(maxsize=256)(_root_of)

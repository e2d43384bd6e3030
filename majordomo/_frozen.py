"""Frozen dataclasses without the price of the `dataclasses` module.

Importing `dataclasses` (with `inspect` and `ast` behind it) and building a dozen
classes costs more than a tenth of a whole process that asks one question; see
`bench/process.py`. The values of this library are dataclasses all the same:
`dataclasses.fields`, `replace`, `asdict` and `is_dataclass` work on them, because
what those look for is made when it is first asked for. Compiling an `__init__` costs as
much as a hundred uses of a slow one, so the first few values of a class are filled in
by a loop, and only a class that is used more gets a compiled one.

Type checkers are shown the real module: import from here as
`if TYPE_CHECKING: from dataclasses import dataclass, field` / `else: from ._frozen ...`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, TypeVar

    T = TypeVar("T")


class _Missing:
    def __repr__(self) -> str:
        return "<factory>"  # what signatures show of a default that is made anew, as `dataclasses` does


_MISSING: Any = _Missing()
SLOW_USES = 20


class _Field:
    """What a class body says of one field beside its type."""

    __slots__ = ("compare", "default", "default_factory", "repr")

    def __init__(self, default: Any, default_factory: Any, repr: bool, compare: bool) -> None:
        self.default = default
        self.default_factory = default_factory
        self.repr = repr
        self.compare = compare


def field(
    *,
    default: Any = _MISSING,
    default_factory: Any = _MISSING,
    repr: bool = True,
    compare: bool = True,
) -> Any:
    """`dataclasses.field`, as far as the values here need it."""
    return _Field(default, default_factory, repr, compare)


class _Late:
    """A class attribute that is made, and put in its own place, when first asked for."""

    def __init__(self, owner: type, name: str, make: Callable[[type], Any]) -> None:
        self._owner, self._name, self._make = owner, name, make

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        made = self._make(self._owner)
        setattr(self._owner, self._name, made)
        return made.__get__(instance, owner) if callable(made) else made


class _LateInit(_Late):
    """An `__init__` that is compiled when its class has been used a few times, or when somebody looks at it."""

    uses = 0

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        self.uses += 1
        if instance is None or isinstance(instance, type) or self.uses > SLOW_USES:  # 3.13 inspects by way of the class
            return super().__get__(instance, owner)

        def slow(*args: Any, **kwargs: Any) -> None:
            if not _fill(instance, self._owner, args, kwargs):
                _Late.__get__(self, instance, owner)(*args, **kwargs)

        return slow


def _fill(instance: Any, cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """What the compiled `__init__` of `cls` does; False, and nothing done, for arguments that it would refuse."""
    fields: dict[str, _Field] = cls._declared  # type: ignore[attr-defined]
    given = dict(zip(fields, args))
    if len(args) > len(fields) or not kwargs.keys() <= fields.keys() or given.keys() & kwargs.keys():
        return False
    given.update(kwargs)
    for name, spec in fields.items():
        if name not in given:
            if spec.default_factory is not _MISSING:
                given[name] = spec.default_factory()
            elif spec.default is not _MISSING:
                given[name] = spec.default
            else:
                return False
    instance.__dict__.update({name: given[name] for name in fields})
    check = getattr(instance, "__post_init__", None)
    if check is not None:
        check()
    return True


def dataclass(*, frozen: bool = True) -> Callable[[type[T]], type[T]]:
    """`dataclasses.dataclass(frozen=True)`; other flags are not offered.

    A field declared by a base class comes first, as in the standard library.
    """
    assert frozen, "the values of this library are frozen"
    return _frozen


def _frozen(cls: type[T]) -> type[T]:
    fields: dict[str, _Field] = dict(getattr(cls, "_declared", {}))
    for name in cls.__dict__.get("__annotations__", {}):
        given = cls.__dict__.get(name, _MISSING)
        if not isinstance(given, _Field):
            given = _Field(given, _MISSING, True, True)
        elif given.default is not _MISSING:
            setattr(cls, name, given.default)
        elif name in cls.__dict__:
            delattr(cls, name)
        fields[name] = given
    for name, value in {
        "_declared": fields,
        "_shown": tuple(n for n, f in fields.items() if f.repr),
        "_compared": tuple(n for n, f in fields.items() if f.compare),
        "__match_args__": tuple(fields),
        "__init__": _LateInit(cls, "__init__", _make_init),
        "__dataclass_fields__": _Late(cls, "__dataclass_fields__", _make_fields),
        "__dataclass_params__": _Late(cls, "__dataclass_params__", _make_params),
        "__setattr__": _setattr,
        "__delattr__": _delattr,
        "__eq__": _eq,
        "__hash__": _hash,
        "__replace__": replace,
    }.items():
        setattr(cls, name, value)
    if "__repr__" not in cls.__dict__:
        cls.__repr__ = _repr  # type: ignore[method-assign]
    return cls


def replace(value: T, **changes: Any) -> T:
    """`dataclasses.replace`: a copy of a value with some fields changed, checked anew."""
    if "_declared" not in type(value).__dict__:  # a subclass, whose fields the standard library knows
        import dataclasses

        return dataclasses.replace(value, **changes)  # type: ignore[type-var]
    return type(value)(**{**{n: value.__dict__[n] for n in type(value)._declared}, **changes})  # type: ignore[attr-defined]


def copied(value: T, **changes: Any) -> T:
    """`replace` without the checks, for changes that need none."""
    copy = object.__new__(type(value))
    copy.__dict__.update(value.__dict__, **changes)
    return copy


def _make_init(cls: type) -> Any:
    """Compile the `__init__` that the class body declares."""
    fields: dict[str, _Field] = cls._declared  # type: ignore[attr-defined]
    scope: dict[str, Any] = {"__name__": cls.__module__, "_MISSING": _MISSING}  # the first becomes its `__module__`
    head, body = [], ["d = self.__dict__"]
    for name, spec in fields.items():
        if spec.default_factory is not _MISSING:
            scope["_f_" + name] = spec.default_factory
            head.append(f"{name}=_MISSING")
            body.append(f"d['{name}'] = _f_{name}() if {name} is _MISSING else {name}")
            continue
        if spec.default is not _MISSING:
            scope["_d_" + name] = spec.default
            head.append(f"{name}=_d_{name}")
        else:
            head.append(name)
        body.append(f"d['{name}'] = {name}")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    source = f"def __init__(self, {', '.join(head)}):\n " + "\n ".join(body)
    exec(source, scope)  # the field names of a class of ours, never data
    init = scope["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__annotations__ = {n: t for n, t in _annotations(cls).items() if n in fields}
    return init


def _annotations(cls: type) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        merged.update(base.__dict__.get("__annotations__", {}))
    return merged


def _twin(cls: type) -> Any:
    """The same class as the standard library would have built it."""
    import dataclasses

    types = _annotations(cls)
    rows = []
    for name, spec in cls._declared.items():  # type: ignore[attr-defined]
        given: dict[str, Any] = {"repr": spec.repr, "compare": spec.compare}
        if spec.default is not _MISSING:
            given["default"] = spec.default
        if spec.default_factory is not _MISSING:
            given["default_factory"] = spec.default_factory
        rows.append((name, types[name], dataclasses.field(**given)))
    return dataclasses.make_dataclass(cls.__name__, rows, frozen=True)


def _make_fields(cls: type) -> Any:
    return _twin(cls).__dataclass_fields__


def _make_params(cls: type) -> Any:
    return _twin(cls).__dataclass_params__


def _setattr(self: Any, name: str, value: Any) -> None:
    _refuse(self, name)
    object.__setattr__(self, name, value)


def _delattr(self: Any, name: str) -> None:
    _refuse(self, name)
    object.__delattr__(self, name)


def _refuse(self: Any, name: str) -> None:
    """A subclass that is no dataclass may have attributes of its own, as in the standard library."""
    if "_declared" in type(self).__dict__ or name in self._declared:
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"cannot change {name!r}: {type(self).__name__} is frozen; copy it with replace")


def _eq(self: Any, other: Any) -> bool:
    if type(other) is not type(self):
        return NotImplemented  # type: ignore[no-any-return]
    mine, theirs = self.__dict__, other.__dict__
    return all(mine[name] == theirs[name] for name in self._compared)


def _hash(self: Any) -> int:
    return hash(tuple(self.__dict__[name] for name in self._compared))


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={self.__dict__[name]!r}" for name in self._shown)
    return f"{type(self).__qualname__}({shown})"

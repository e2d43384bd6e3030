"""Functions as tools: what a signature and a docstring say, and calls with arguments that fit it."""

from __future__ import annotations

import functools
import inspect
import sys

from . import _docstrings
from ._annotations import Scope, type_parameters
from ._kinds import ABSENT, Field, described, reader_of_fields, schema_of_fields, with_default
from ._mismatch import Mismatch, unfit
from ._types import Compiler
from ._validation import check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Callable

    from ._kinds import Reader

__all__ = ["Signature", "call"]

_BY_POSITION = inspect.Parameter.POSITIONAL_ONLY
_VARIABLE = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


class Signature:
    """What a function says of itself: name, description and schema of the tool that it makes.

    TypeError names the parameter that has no schema. It pickles as its function does.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        if not callable(function):
            raise TypeError(f"a tool is made from a function, not from a {type(function).__name__}")
        self._function = function
        plain, self.name = _written(function), _name_of(function)
        if inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain):
            raise TypeError(f"{self.name} is a coroutine function: a tool is called, and never awaited")
        told = _docstrings.read(inspect.getdoc(plain))
        self.description = told.text
        compiler, scope, fields = Compiler(), _scope_of(plain), []
        self._by_position: list[tuple[str, Any]] = []
        given = _given(function)
        for parameter in _signature_of(function, self.name).parameters.values():
            if parameter.name in given:
                continue
            where = f"{self.name or 'lambda'}.{parameter.name}"
            if parameter.kind in _VARIABLE:
                raise TypeError(f"{where}: {_VARIABLE[parameter.kind]}{parameter.name} has no JSON Schema")
            missing = parameter.default is inspect.Parameter.empty
            default = ABSENT if missing else parameter.default
            annotation = parameter.annotation
            try:
                kind = compiler.kind(object if annotation is inspect.Parameter.empty else annotation, scope, where)
            except RecursionError:
                raise TypeError(f"{where} is nested too deeply, or without an end") from None
            kind = with_default(described(kind, told.of.get(parameter.name)), default)
            fields.append(Field(parameter.name, kind, missing))
            if parameter.kind is _BY_POSITION:
                self._by_position.append((parameter.name, default))
        self.schema = compiler.finish(schema_of_fields(fields))
        self._fields = fields
        self._read: Reader | None = None  # made when first called: it takes as long as all the rest

    def bound(self, arguments: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The arguments by position and those by name, converted; raises Mismatch if they do not fit."""
        if self._read is None:
            self._read = reader_of_fields(self._fields, dict)
        named = self._read(dict(arguments), {})
        return [named.pop(name, default) for name, default in self._by_position], named

    def of(self, function: Callable[..., Any]) -> Signature | None:
        """Itself, unless a tool has got another function since."""
        return self if function is self._function else None

    def __deepcopy__(self, memo: dict[int, Any]) -> Signature:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Signature, (self._function,)


def _given(function: Any) -> set[str]:
    """The parameters that a `functools.partial` has filled in by name: they are nobody's to choose, or to see."""
    found: set[str] = set()
    while True:
        if isinstance(function, functools.partial):
            found |= set(function.keywords)
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        else:
            return found


def call(
    function: Callable[..., Any], parameters: dict[str, Any], arguments: Mapping[str, Any], signature: Signature | None
) -> Any:
    """Call a tool's function with arguments that fit its parameters; see `Tool.call`."""
    signature = signature and signature.of(function)
    try:
        if signature is None or signature.schema != parameters:  # described, or changed, by hand
            arguments = check(parameters, dict(arguments))
        first, named = ((), arguments) if signature is None else signature.bound(arguments)
    except Mismatch as exc:
        raise unfit("the arguments do not fit", exc) from None
    except RecursionError:
        raise unfit("the arguments do not fit", Mismatch([((), "nested too deeply")])) from None
    return function(*first, **named)


def _name_of(function: Callable[..., Any]) -> str:
    """What a function is called, `""` if nothing that could be said."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None) or type(function).__name__
    return "" if name == "<lambda>" else str(name)


def _written(function: Callable[..., Any]) -> Any:
    """The function as it was written: without what is wrapped around it."""
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.isroutine(function) and not isinstance(function, type):
        function = type(function).__call__
    return inspect.unwrap(function)


def _signature_of(function: Callable[..., Any], name: str) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except ValueError as exc:
        raise TypeError(f"{name} does not say which arguments it takes: {exc}") from exc


def _scope_of(function: Any) -> Scope:
    """Where the annotations of a function look up their names."""
    inner = getattr(function, "__func__", function)
    code, cells = getattr(inner, "__code__", None), getattr(inner, "__closure__", None) or ()
    closed: dict[str, Any] = type_parameters(inner)
    for name, cell in zip(code.co_freevars if code else (), cells):
        try:
            closed[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            pass
    module = sys.modules.get(getattr(inner, "__module__", ""))
    known = getattr(inner, "__globals__", None) or (vars(module) if module else {})
    within = f"{getattr(inner, '__module__', '')}.{getattr(inner, '__qualname__', '')}"
    return Scope(closed, known, within=within)

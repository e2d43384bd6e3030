"""What an annotation means, be it a string.

`from __future__ import annotations` leaves nothing but text, and `typing.get_type_hints`
gives up on two things that are usual in it: `int | None` before Python 3.10, and names
that only the function knows in which a class was made.
"""

from __future__ import annotations

import ast
import builtins
import sys
import typing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType
    from typing import Any

__all__ = ["Scope", "scopes_of_class", "type_parameters"]

_MODERN = sys.version_info >= (3, 10)


class Scope:
    """Where names of an annotation are looked up: one after the other, in these namespaces.

    Then in the functions in which a class or a function was made, as far as they are running,
    and last among names of `typing` that are imported for type checkers alone. within: the
    qualified name of the class or function, with its module. typevars: what the parameters of
    a generic class stand for, each with its scope. key: the same for scopes that are alike.
    depth: of scopes within.
    """

    def __init__(
        self, *namespaces: Mapping[str, Any], within: str = "", typevars: Mapping[Any, Any] | None = None
    ) -> None:
        self._namespaces = namespaces
        self._makers = {maker.rpartition(".")[2] for maker in within.split(".<locals>.")[:-1]}
        self.typevars = typevars or {}
        bound = [(variable, annotation, scope.key) for variable, (annotation, scope) in self.typevars.items()]
        self.key: tuple[Any, ...] = (within, *bound)
        self.depth: int = 1 + max([scope.depth for _, scope in self.typevars.values()], default=0)

    def __getitem__(self, name: str) -> Any:
        for namespace in (*self._namespaces, builtins.__dict__):
            if name in namespace:
                return namespace[name]
        frame: FrameType | None = sys._getframe() if self._makers else None
        while frame is not None:
            made = frame.f_code.co_name in self._makers and any(frame.f_globals is n for n in self._namespaces)
            if made and name in frame.f_locals:
                return frame.f_locals[name]
            frame = frame.f_back
        if name in _TYPING:
            return getattr(typing, name)
        raise KeyError(name)

    def of(self, reference: Any) -> Scope:
        """The scope of an annotation, which a `ForwardRef` may know better: TypedDicts forget their bases."""
        module = getattr(reference, "__forward_module__", None)
        module = sys.modules.get(module) if isinstance(module, str) else module
        if module is None or any(vars(module) is known for known in self._namespaces):
            return self
        return Scope(vars(module), *self._namespaces[:1], within=self.key[0], typevars=self.typevars)

    def evaluated(self, text: str) -> Any:
        """What the text of an annotation stands for; TypeError says why it stands for nothing."""
        try:
            tree = ast.parse(text.strip(), mode="eval")
            if not _MODERN:
                tree = ast.fix_missing_locations(_Unions().visit(tree))
            names: dict[str, Any] = {"__builtins__": builtins, _UNION: typing.Union}  # for those who import, as typing
            return eval(compile(tree, "<annotation>", "eval"), names, self)  # type: ignore[arg-type]  # can look up
        except RecursionError:
            raise TypeError("the annotation is nested too deeply") from None
        except Exception as exc:
            raise TypeError(f"the annotation {text!r} cannot be read here: {exc}") from exc


_UNION = "Union of majordomo"
# What is imported for type checkers alone, and is called nothing else. (A `Text` may be anybody's.)
_TYPING = frozenset(
    (
        *("Annotated", "Any", "Dict", "FrozenSet", "Iterable", "List", "Literal", "Mapping", "NotRequired"),
        *("Optional", "Required", "Sequence", "Set", "Tuple", "Union"),
    )
)


class _Unions(ast.NodeTransformer):
    """`X | Y` as `Union[X, Y]`."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.op, ast.BitOr):
            return node
        both = ast.Tuple([node.left, node.right], ast.Load())
        return ast.Subscript(ast.Name(_UNION, ast.Load()), both, ast.Load())


def scopes_of_class(cls: type, typevars: Mapping[Any, Any]) -> dict[str, tuple[Any, Scope]]:
    """The annotations of a class and its bases, each with the scope in which it stands.

    typevars: what the class's own parameters stand for, each with its scope.
    """
    found: dict[str, tuple[Any, Scope]] = {}
    bound = _bound(cls, typevars, {})
    if hasattr(cls, "__required_keys__"):  # a TypedDict has all annotations itself, and no bases
        bound = {cls: {variable: told for one in bound.values() for variable, told in one.items()}}
    for base in reversed(cls.__mro__):
        scope = _scope(base, bound.get(base, {}))
        for name, annotation in base.__dict__.get("__annotations__", {}).items():
            found[name] = (annotation, scope)
    return found


def _scope(cls: type, typevars: Mapping[Any, Any]) -> Scope:
    module = sys.modules.get(cls.__module__)
    within = f"{cls.__module__}.{cls.__qualname__}"
    own = {cls.__name__: cls, **type_parameters(cls)}
    return Scope(own, vars(module) if module else {}, within=within, typevars=typevars)


def type_parameters(made: Any) -> dict[str, Any]:
    """The parameters of `class Page[T]` and `def page[T]`, from Python 3.12 on: nobody else knows their names."""
    return {parameter.__name__: parameter for parameter in getattr(made, "__type_params__", ())}


def _bound(
    cls: type, typevars: Mapping[Any, Any], found: dict[type, Mapping[Any, Any]]
) -> dict[type, Mapping[Any, Any]]:
    """What the parameters of a class and of its generic bases stand for: `class IntPage(Page[int])`."""
    if cls in found and not typevars:  # met again, as a base of another base
        return found
    found[cls] = typevars
    for base in cls.__dict__.get("__orig_bases__", cls.__bases__):
        origin = typing.get_origin(base) or base
        if isinstance(origin, type) and origin is not typing.Generic:
            scope = _scope(cls, typevars)
            arguments = [(argument, scope) for argument in typing.get_args(base)]
            _bound(origin, dict(zip(getattr(origin, "__parameters__", ()), arguments)), found)
    return found

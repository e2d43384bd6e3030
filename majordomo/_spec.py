"""A spec read: the grammar of `"box/qwen3:14b, thinking"`, and what it expands to.

    spec    item, item, ...
    item    provider/model-id   the provider's name is all before the first slash
            alias               stands for a spec of its own

Who is known under which name is the registry's to say. What a variable holds may be a
token, so an error in one is told by its name and the item's number, and quotes nothing.
"""

from __future__ import annotations

from ._loading import loading
from .dsn import strip
from .errors import DSNError, SpecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from dataclasses import dataclass

    from .registry import Registry

    Path = tuple[tuple[str, str], ...]
else:
    from ._frozen import dataclass

__all__ = ["CODE", "Origin", "Reading", "close_to", "fold", "is_name", "variable"]

PREFIX = "LLM_"
CODE = "code"  # the source of an alias, or a provider, that was registered by the program
NONE: Mapping[str, str] = {}
DEEPEST = 50  # aliases within aliases
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-_")


def fold(name: str) -> str:
    """A provider's or alias's name as it is compared: lower case, `_` as `-`."""
    return name.lower().replace("_", "-")


def variable(name: str) -> str:
    """The environment variable of a folded name."""
    return PREFIX + name.upper().replace("-", "_")


def is_name(name: str) -> bool:
    """Whether this can be a provider's or an alias's name."""
    return bool(name) and len(name) <= 100 and _NAME.issuperset(name.lower()) and name.isascii()


@dataclass(frozen=True)
class Origin:
    """A target of a spec, and how it came to be one.

    provider: its folded name. id: the model's. aliases: those it stands behind, from the
    outermost in, each as (alias, source), a source being a variable's name or `"code"`.
    """

    provider: str
    id: str
    aliases: Path = ()

    @property
    def name(self) -> str:
        """The target's name, `provider/id`."""
        return f"{self.provider}/{self.id}"


class Reading:
    """One reading of a spec: what it expands to, and which variables were asked for."""

    def __init__(self, registry: Registry, aliases: Mapping[str, str] = NONE) -> None:
        """aliases: what some of them mean, whatever the registry says."""
        self._registry, self._given = registry, aliases
        self.coded: dict[str, str] = {}  # the aliases that were met and are from no variable
        self.met: dict[str, str | None] = {}
        self._found: dict[tuple[str, str], Path] = {}
        self._expanded: set[str] = set()

    def value(self, name: str) -> str | None:
        """A variable as it is meant, None if it is not set or empty; remembered as asked for."""
        raw = self._registry._variable(name)
        self.met[name] = raw
        if raw is None:
            return None
        if not isinstance(raw, str):
            raise DSNError(f"{name} is {type(raw).__name__}, not text")
        return strip(raw) or None

    def targets(self, spec: str, source: str | None = None) -> list[Origin]:
        """The targets in order, each once; source: the variable that the spec is the value of."""
        self._expand(spec, (), source)
        return [Origin(provider, id, path) for (provider, id), path in self._found.items()]

    def _expand(self, spec: str, path: Path, source: str | None) -> None:
        """source: the variable that the spec is the value of; then nothing of it is quoted."""
        if not isinstance(spec, str):
            raise SpecError(f"a spec is text such as 'box/qwen3:14b, openai/gpt-5-mini', not {type(spec).__name__}")
        start = 0
        for number, item in enumerate(spec.split(","), 1):
            where = _Place(spec, start, item, number, source, path[-1][0] if path else None)
            start += len(item) + 1
            item = item.strip()
            if not item:
                if "," in spec:
                    raise where.error("empty item; drop the comma or name a target")
                raise SpecError("the spec is empty; name a target, such as box/qwen3:14b")
            if not item.isprintable():
                raise where.error("an item holds a line end or another control character")
            provider, slash, id = item.partition("/")
            provider = provider.strip()
            if slash:
                self._target(provider, id.strip(), path, where)
            else:
                self._alias(provider, path, where)

    def _target(self, provider: str, id: str, path: Path, where: _Place) -> None:
        if provider.endswith(":") and id.startswith("/"):
            raise where.error("a spec holds no DSN: it belongs into a variable, LLM_NAME=..., and NAME/MODEL here")
        if not provider or not is_name(provider):
            raise where.error("a provider's name is made of letters, digits, dots and dashes, then comes a slash")
        if id.startswith("/"):
            raise where.error("a model id does not begin with a slash")
        if not id:
            raise where.error("a model id is missing after the slash")
        if (where.source or where.alias) and not self._knows(fold(provider)):
            raise where.error("unknown provider" if where.source else self._registry._unknown(fold(provider)))
        self._found.setdefault((fold(provider), id), path)

    def _knows(self, name: str) -> bool:
        with loading:
            from .providers import SCHEMES

        row = SCHEMES.get(name)
        known = name in self._registry._registered or (row is not None and row.builtin)
        return known or self.value(variable(name)) is not None

    def _alias(self, given: str, path: Path, where: _Place) -> None:
        if not is_name(given):
            raise where.error("an item is provider/model-id, or an alias of letters, digits, dots and dashes")
        name = fold(given)
        names = [alias for alias, _ in path]
        if name in names:
            ring = " -> ".join([*names[names.index(name) :], name])
            raise SpecError(f"aliases in a ring: {ring}")
        if len(path) >= DEEPEST:
            raise SpecError(f"aliases within aliases, more than {DEEPEST} deep, from {names[0]} on")
        if name in self._expanded:
            return
        spec, source = self._given.get(name) or self._registry._aliases.get(name), None
        if spec is not None:
            self.coded[name] = spec
        else:
            source = variable(name)
            spec = self.value(source)
            if spec is not None and "://" in spec:
                raise where.error(
                    f"{name if where.source is None else 'an item'} is a provider: add a slash and a model"
                )
        if spec is None:
            raise where.error(self._no_alias(name, where))
        self._expand(spec, (*path, (name, source or CODE)), source or where.source)
        self._expanded.add(name)

    def _no_alias(self, name: str, where: _Place) -> str:
        if where.source is not None:
            return "an item is neither a known alias nor provider/model-id"
        if name in self._registry._registered or name in self._registry.providers():
            return f"{name} is a provider: write {name}/MODEL"
        return (
            f"unknown alias {name!r}{close_to(name, self._registry.aliases())}; a target is written provider/model-id"
        )


class _Place:
    """Where in a spec an item stands, for the error that points at it."""

    __slots__ = ("_item", "_number", "_spec", "_start", "alias", "source")

    def __init__(self, spec: str, start: int, item: str, number: int, source: str | None, alias: str | None) -> None:
        self._spec, self._start, self._item, self._number = spec, start, item, number
        self.source, self.alias = source, alias

    def error(self, message: str) -> SpecError:
        """The error, with the place underlined; for a variable's value the item's number alone."""
        if self.source is not None:
            return SpecError(f"{self.source}, item {self._number}: {message}")
        message = f"alias {self.alias}: {message}" if self.alias else message
        if len(self._spec) > 200 or not self._spec.isprintable() or _may_be_dsn(self._spec):
            return SpecError(f"{message} (item {self._number} of the spec)")
        column = self._start + len(self._item) - len(self._item.lstrip())
        marks = "^" * max(1, len(self._item.strip()))
        if not self._item.strip():
            column, marks = self._start, "^"
        return SpecError(f"{message}\n    {self._spec}\n    {' ' * column}{marks}")


def _may_be_dsn(spec: str) -> bool:
    """Whether a DSN, token and all, may have been given for a spec; then nothing of it is shown."""
    if "//" in spec:
        return True
    pieces = [(item.partition("/")[0], item) for item in spec.split(",")]
    return any("@" in before or (":" in before and "@" in item) for before, item in pieces)


def close_to(name: str, known: list[str]) -> str:
    """The end of a message about an unknown name: those that it may have been meant for."""
    with loading:
        from difflib import get_close_matches

    close = get_close_matches(name, known, 3)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; known are {', '.join(known[:12])}" if known else ""

"""Addressing: names to providers, aliases to chains, and the environment they come from.

The only module that reads the environment, and only when `parse` meets a name. A value
of the environment may hold a token, so no message here quotes one: it names the variable.
Other programs have variables that begin with `LLM_` too; they are left alone until
somebody asks for their name.
"""

from __future__ import annotations

import os

from ._loading import loading
from .dsn import DSN, as_token, strip
from .errors import ConfigError, DSNError, SpecError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, Callable

    from ._http import Client
    from .chain import Chain, ImageChain, Policy
    from .health import MemoryHealth
    from .llm import Attempt
    from .model import ImageModel, Provider
    from .providers import Scheme

__all__ = ["Registry", "parse", "parse_image", "register_alias", "register_provider", "register_scheme"]

PREFIX = "LLM_"
DEEPEST = 50  # aliases within aliases
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-_")


def fold(name: str) -> str:
    """A provider's or alias's name as it is compared: lower case, `_` as `-`."""
    return name.lower().replace("_", "-")


def variable(name: str) -> str:
    """The environment variable of a folded name."""
    return PREFIX + name.upper().replace("-", "_")


class Registry:
    """Who is known under which name, and how calls behave.

    environ: the variables, `os.environ` if None. health: where cooldowns are kept, in
    memory if None. timeout: seconds for calls that give none. attempt_timeout: seconds
    of one attempt. idle_timeout: seconds of silence a stream may have. retries: further
    passes over the targets of a call. ssl_context, user_agent: for all requests.
    on_attempt: called with each `Attempt`. clock, sleep, random: for tests.
    Raises ConfigError for settings that cannot work.
    """

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        health: MemoryHealth | None = None,
        timeout: float | None = None,
        attempt_timeout: float | None = None,
        idle_timeout: float | None = None,
        retries: int = 2,
        ssl_context: Any = None,
        user_agent: str | None = None,
        on_attempt: Callable[[Attempt], None] | None = None,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], None] | None = None,
        random: Callable[[], float] | None = None,
    ) -> None:
        if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
            raise ConfigError(f"retries is a whole number from 0, not {retries!r}")
        if user_agent is not None and not _is_header(user_agent):
            raise ConfigError("user_agent is printable ASCII text")
        limits = {"timeout": timeout, "attempt_timeout": attempt_timeout, "idle_timeout": idle_timeout}
        if any(value is not None for value in limits.values()):
            with loading:
                from .deadline import as_timeout

            for name, value in limits.items():
                if value is not None:
                    as_timeout(value, name)
        needed = (("environ", environ, "get"), ("health", health, "due"), ("ssl_context", ssl_context, "wrap_socket"))
        for name, given, method in needed:
            if given is not None and not callable(getattr(given, method, None)):
                raise ConfigError(f"{name} cannot be {type(given).__name__}")
        for name, hook in (("on_attempt", on_attempt), ("clock", clock), ("sleep", sleep), ("random", random)):
            if hook is not None and not callable(hook):
                raise ConfigError(f"{name} is a function, not {type(hook).__name__}")
        self._environ = environ
        self._settings: dict[str, Any] = {**limits, "retries": retries, "user_agent": user_agent}
        self._ssl_context = ssl_context
        self._hooks: dict[str, Any] = {"on_attempt": on_attempt, "clock": clock, "sleep": sleep, "random": random}
        self._mappings: list[Mapping[str, str]] = []
        self._aliases: dict[str, str] = {}
        self._registered: dict[str, Any] = {}
        self._schemes: dict[str, Callable[[str, DSN], Provider]] = {}
        self._providers: dict[str, tuple[str, Any]] = {}
        self._clients: dict[tuple[str | None, bool], Client] = {}
        self._parsed: dict[str, tuple[dict[str, str | None], Chain]] = {}
        self._once: dict[str, Any] = {} if health is None else {"health": health}  # setdefault is atomic

    @classmethod
    def default(cls) -> Registry:
        """The shared registry, which the package's own `parse` works on."""
        return _default

    @property
    def health(self) -> MemoryHealth:
        """The memory of targets that are down: `snapshot()` reads it, `reset()` clears it."""
        found: MemoryHealth | None = self._once.get("health")
        if found is None:
            with loading:
                from .health import MemoryHealth

            clock = self._hooks["clock"]
            found = self._once.setdefault("health", MemoryHealth(clock) if clock else MemoryHealth())
        return found

    def parse(self, spec: str) -> Chain:
        """A chain of targets from a spec: `"box/qwen3:14b, openai/gpt-5-mini, thinking"`.

        Items with a slash are `provider/model-id`, others are aliases. Raises SpecError,
        which shows the place, and DSNError or ConfigError, which name the variable.
        """
        known = self._parsed.get(spec) if isinstance(spec, str) else None
        if known is not None and all(self._variable(name) == value for name, value in known[0].items()):
            return known[1]
        reading = _Reading(self)
        targets = {f"{name}/{id}": self.provider_of(name, reading).model(id) for name, id in reading.targets(spec)}
        with loading:
            from .chain import Chain

        chain = Chain(targets, self.policy, (Registry.parse, (self, spec)))
        if len(self._parsed) >= 1000:
            self._parsed.clear()
        self._parsed[spec] = (reading.met, chain)
        return chain

    def parse_image(self, spec: str) -> ImageChain:
        """`parse` for models that draw; a target of the spec that cannot is passed over when it is asked."""
        reading = _Reading(self)
        targets = {
            f"{name}/{id}": _drawer(self.provider_of(name, reading), name, id) for name, id in reading.targets(spec)
        }
        with loading:
            from .chain import ImageChain

        return ImageChain(targets, self.policy, (Registry.parse_image, (self, spec)))

    def provider(self, name: str) -> Any:
        """The provider of a name, for what is no call of a model: listing, unloading."""
        if not isinstance(name, str) or not _is_name(strip(name)):
            raise SpecError("a provider's name is made of letters, digits, dots and dashes")
        return self.provider_of(fold(strip(name)), _Reading(self))

    def register_alias(self, name: str, spec: str) -> None:
        """Let a name without a slash stand for a spec; it wins over the environment."""
        if not isinstance(spec, str) or "://" in spec:
            raise SpecError("an alias stands for a spec; for a DSN there is register_provider")
        self._aliases[_checked(name)] = spec
        self._parsed.clear()

    def register_provider(self, name: str, provider: Provider | DSN | str) -> None:
        """Let a name stand for a provider, or for the one that a DSN describes."""
        checked = _checked(name)
        if isinstance(provider, (str, DSN)):
            dsn = DSN.parse(provider) if isinstance(provider, str) else provider
            provider = self._made(checked, dsn, f"the DSN registered for {checked}")
        if not callable(getattr(provider, "model", None)):
            raise ConfigError(f"a provider has a method model(id), and {type(provider).__name__} has none")
        self._registered[checked] = provider
        self._parsed.clear()

    def register_scheme(self, name: str, factory: Callable[[str, DSN], Provider]) -> None:
        """Let DSNs of a scheme make providers: `factory(provider name, dsn) -> Provider`."""
        if not callable(factory):
            raise ConfigError(f"a scheme's factory is called with a name and a DSN; {type(factory).__name__} cannot be")
        self._schemes[_checked(name)] = factory
        self._providers.clear()
        self._parsed.clear()

    def load_env(self, mapping: Mapping[str, str]) -> None:
        """Add a mapping's variables (those of a `.env` file, say); read as lazily as the environment.

        What was loaded last wins, over the environment too.
        """
        if not callable(getattr(mapping, "get", None)) or not hasattr(mapping, "__iter__"):
            raise ConfigError(f"load_env takes a mapping of variables, not {type(mapping).__name__}")
        self._mappings.insert(0, mapping)
        self._parsed.clear()

    def providers(self) -> list[str]:
        """The names that stand for a provider now; nothing is said of their tokens."""
        with loading:
            from .providers import SCHEMES

        found = set(self._registered) | {name for name, row in SCHEMES.items() if row.builtin}
        for name, value in self._variables():
            if "://" in value and self._is_known_scheme(value):
                found.add(name)
        return sorted(found)

    def aliases(self) -> list[str]:
        """The names that stand for a spec now."""
        found = set(self._aliases)
        for name, value in self._variables():
            if "://" not in value and self._resolves(value):
                found.add(name)
        return sorted(found)

    @property
    def policy(self) -> Policy:
        """How the chains of this registry fail over."""
        found: Policy | None = self._once.get("policy")
        if found is None:
            with loading:
                from .chain import Policy

            names = ("timeout", "attempt_timeout", "retries")
            given = {**{name: self._settings[name] for name in names}, **self._hooks, "health": self.health}
            made = Policy(**{name: value for name, value in given.items() if value is not None})
            found = self._once.setdefault("policy", made)
        return found

    def provider_of(self, name: str, reading: _Reading) -> Any:
        """The provider of a folded name: registered in code, then environment, then built in."""
        found = self._registered.get(name)
        if found is not None:
            return found
        source = variable(name)
        value = reading.value(source)
        if value is not None:
            return self._from_variable(name, source, value)
        return self._builtin(name, reading)

    def _from_variable(self, name: str, source: str, value: str) -> Any:
        if "://" not in value:
            if self._resolves(value):
                raise SpecError(f"{name} is an alias ({source}): write {name}, without a slash")
            raise DSNError(f"{source} is no DSN, which reads scheme://token@host")
        known = self._providers.get(name)
        if known is not None and known[0] == value:
            return known[1]
        try:
            dsn = DSN.parse(value)
        except DSNError as exc:
            raise DSNError(f"{source}: {exc.message}") from None
        return self._remember(name, value, self._made(name, dsn, source))

    def _builtin(self, name: str, reading: _Reading) -> Any:
        with loading:
            from .providers import SCHEMES

        row = SCHEMES.get(name)
        if row is None or not row.builtin:
            raise SpecError(self._unknown(name))
        token = None
        for source in row.keys:
            value = reading.value(source)
            if value:
                try:
                    token = as_token(value)
                except DSNError as exc:
                    raise DSNError(f"{source}: {exc.message}") from None
                break
        base = reading.value(row.base_url) if row.base_url else None
        memo = f"{base} {token}"
        known = self._providers.get(name)
        if known is None or known[0] != memo:
            dsn = _builtin_dsn(name, row, base, token)
            needs = None
            if row.keys and not token and not base:
                needs = f"{name} needs a key: set {row.keys[0]}, or {variable(name)}={name}://KEY@{row.host}"
            return self._remember(name, memo, self._made(name, dsn, row.base_url or name, needs))
        return known[1]

    def _remember(self, name: str, source: str, provider: Any) -> Any:
        """Keep a provider for as long as its name has the same source; what it has learned is kept with it."""
        self._providers[name] = (source, provider)
        return provider

    def _made(self, name: str, dsn: DSN, source: str, needs_key: str | None = None) -> Any:
        factory = self._schemes.get(dsn.scheme)
        if factory is not None:
            made = factory(name, dsn)
            if not callable(getattr(made, "model", None)):
                raise ConfigError(f"{source}: the factory of {dsn.scheme} gave no provider but {type(made).__name__}")
            return made
        with loading:
            from . import providers

        if dsn.scheme not in providers.SCHEMES:
            raise DSNError(f"{source}: {self._unknown_scheme(dsn.scheme)}")
        try:
            return providers.make(
                name,
                dsn,
                client=self._client,
                idle_timeout=self._settings["idle_timeout"],
                needs_key=needs_key,
            )
        except DSNError as exc:
            raise DSNError(f"{source}: {exc.message}") from None

    def _client(self, ca: str | None, proxies: bool) -> Client:
        known = self._clients.get((ca, proxies))
        if known is None:
            with loading:
                from . import __version__
                from ._http import Client

            agent = self._settings["user_agent"] or f"majordomo/{__version__}"
            made = Client(user_agent=agent, ssl_context=None if ca else self._ssl_context, ca=ca, proxies=proxies)
            known = self._clients.setdefault((ca, proxies), made)
        return known

    def _variable(self, name: str) -> str | None:
        """A variable's value as it is, from what was loaded or from the environment."""
        for mapping in self._mappings:
            found = mapping.get(name)
            if found is not None:
                return found
        return (os.environ if self._environ is None else self._environ).get(name)

    def _variables(self) -> Iterator[tuple[str, str]]:
        """(folded name, value) of every variable that begins with the prefix."""
        for mapping in (*self._mappings, os.environ if self._environ is None else self._environ):
            for name in list(mapping):
                rest = name[len(PREFIX) :] if isinstance(name, str) and name.startswith(PREFIX) else ""
                if _is_name(rest) and variable(fold(rest)) == name:  # any other name is never looked up
                    value = self._variable(name)
                    if isinstance(value, str) and strip(value):
                        yield fold(rest), strip(value)

    def _is_known_scheme(self, value: str) -> bool:
        with loading:
            from .providers import SCHEMES

        scheme = fold(value.partition("://")[0].partition("+")[0])
        return scheme in SCHEMES or scheme in self._schemes

    def _resolves(self, value: str) -> bool:
        """Whether a variable's value is a spec, and not some other program's secret."""
        try:
            return bool(_Reading(self).targets(value, "a variable"))
        except (SpecError, DSNError):
            return False

    def _unknown(self, name: str) -> str:
        known = self.providers()
        return (
            f"unknown provider {name!r}{_close(name, known)}; set {variable(name)}=SCHEME://TOKEN@HOST to make it one"
        )

    def _unknown_scheme(self, scheme: str) -> str:
        with loading:
            from .providers import SCHEMES

        known = sorted({*SCHEMES, *self._schemes})
        if scheme in ("http", "https"):
            plain = "+http" if scheme == "http" else ""
            return (
                f"{scheme} is no scheme here; for a server that speaks OpenAI's wire write openai{plain}://TOKEN@HOST"
            )
        close = _close(scheme, known)
        return f"unknown scheme{close}" + (f" known are {', '.join(known)}" if close.endswith("?") else "")

    def __repr__(self) -> str:
        return f"<Registry of {len(self._registered)} providers and {len(self._aliases)} aliases set in code>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Aliases and settings travel; variables, providers and hooks are the worker's own."""
        return _remade, (None if self is _default else self._settings, self._aliases)

    def __deepcopy__(self, memo: dict[int, Any]) -> Registry:
        return self


def _remade(settings: dict[str, Any] | None, aliases: dict[str, str]) -> Registry:
    """A registry in the process that unpickles it; the shared one stays the shared one."""
    registry = _default if settings is None else Registry(**settings)
    for name, spec in aliases.items():
        if registry._aliases.get(name) != spec:
            registry.register_alias(name, spec)
    return registry


def _drawer(provider: Any, name: str, id: str) -> Any:
    """A provider's model that draws; where there is none, one that says so when it is asked."""
    with loading:
        from .model import Unable

    reason = "it has no models that draw"
    try:
        found = provider.image_model(id) if hasattr(provider, "image_model") else None
        if found is not None:
            return found
    except UnsupportedError as exc:
        reason = exc.message
    return Unable(f"{name}/{id}", reason, getattr(provider, "base_url", ""))


def _builtin_dsn(name: str, row: Scheme, base: str | None, token: str | None) -> DSN:
    """The DSN of a built-in provider, from its vendor's variables."""
    source = row.base_url
    if not base:
        return DSN(name, token=token)
    if row.reads_base_url:
        with loading:
            from importlib import import_module

        module, _, function = row.reads_base_url.partition(".")
        try:
            read: DSN = getattr(import_module(f".providers.{module}", __package__), function)(name, base)
        except DSNError as exc:
            raise DSNError(f"{source}: {exc.message}") from None
        return read
    scheme, found, rest = base.partition("://")
    if not found or scheme.lower() not in ("http", "https"):
        raise DSNError(f"{source} is no URL: it begins with https:// or http://")
    try:
        plain = "+http" if scheme.lower() == "http" else ""
        dsn = DSN.parse(f"{name}{plain}://{rest}")
    except DSNError as exc:
        raise DSNError(f"{source}: {exc.message}") from None
    if not dsn.host:
        raise DSNError(f"{source} names no host")
    return DSN(name, dsn.plain, token or dsn.token, dsn.host, dsn.path, dsn.options)


class _Reading:
    """One reading of a spec: what it expands to, and which variables were asked for."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.met: dict[str, str | None] = {}
        self._found: dict[tuple[str, str], None] = {}
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

    def targets(self, spec: str, source: str | None = None) -> list[tuple[str, str]]:
        """The targets in order, each once, as (folded provider, model id)."""
        self._expand(spec, (), source)
        return list(self._found)

    def _expand(self, spec: str, path: tuple[str, ...], source: str | None) -> None:
        """source: the variable that the spec is the value of; then nothing of it is quoted."""
        if not isinstance(spec, str):
            raise SpecError(f"a spec is text such as 'box/qwen3:14b, openai/gpt-5-mini', not {type(spec).__name__}")
        start = 0
        for number, item in enumerate(spec.split(","), 1):
            where = _Place(spec, start, item, number, source, path[-1] if path else None)
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
                self._target(provider, id.strip(), where)
            else:
                self._alias(provider, path, where)

    def _target(self, provider: str, id: str, where: _Place) -> None:
        if not provider or not _is_name(provider):
            raise where.error("a provider's name is made of letters, digits, dots and dashes, then comes a slash")
        if id.startswith("/") or provider.endswith(":"):
            raise where.error("a model id does not begin with a slash (a DSN belongs into a variable: LLM_NAME=...)")
        if not id:
            raise where.error("a model id is missing after the slash")
        if (where.source or where.alias) and not self._knows(fold(provider)):
            raise where.error("unknown provider" if where.source else self._registry._unknown(fold(provider)))
        self._found[(fold(provider), id)] = None

    def _knows(self, name: str) -> bool:
        with loading:
            from .providers import SCHEMES

        row = SCHEMES.get(name)
        known = name in self._registry._registered or (row is not None and row.builtin)
        return known or self.value(variable(name)) is not None

    def _alias(self, given: str, path: tuple[str, ...], where: _Place) -> None:
        if not _is_name(given):
            raise where.error("an item is provider/model-id, or an alias of letters, digits, dots and dashes")
        name = fold(given)
        if name in path:
            ring = " -> ".join([*path[path.index(name) :], name])
            raise SpecError(f"aliases in a ring: {ring}")
        if len(path) >= DEEPEST:
            raise SpecError(f"aliases within aliases, more than {DEEPEST} deep, from {path[0]} on")
        if name in self._expanded:
            return
        spec, source = self._registry._aliases.get(name), None
        if spec is None:
            source = variable(name)
            spec = self.value(source)
            if spec is not None and "://" in spec:
                raise where.error(
                    f"{name if where.source is None else 'an item'} is a provider: add a slash and a model"
                )
        if spec is None:
            raise where.error(self._no_alias(name, where))
        self._expand(spec, (*path, name), source or where.source)
        self._expanded.add(name)

    def _no_alias(self, name: str, where: _Place) -> str:
        if where.source is not None:
            return "an item is neither a known alias nor provider/model-id"
        if name in self._registry._registered or name in self._registry.providers():
            return f"{name} is a provider: write {name}/MODEL"
        return f"unknown alias {name!r}{_close(name, self._registry.aliases())}; a target is written provider/model-id"


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
    return "//" in spec or any(":" in item.partition("/")[0] and "@" in item for item in spec.split(","))


def _is_header(text: Any) -> bool:
    return isinstance(text, str) and text.isascii() and text.isprintable() and bool(text.strip())


def _is_name(name: str) -> bool:
    return bool(name) and len(name) <= 100 and _NAME.issuperset(name.lower()) and name.isascii()


def _checked(name: str) -> str:
    if not isinstance(name, str) or not _is_name(name):
        raise SpecError("a name is made of letters, digits, dots and dashes, and has no slash")
    return fold(name)


def _close(name: str, known: list[str]) -> str:
    with loading:
        from difflib import get_close_matches

    close = get_close_matches(name, known, 3)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; known are {', '.join(known[:12])}" if known else ""


_default = Registry()


def default_spec() -> str | None:
    """The spec in `MAJORDOMO_MODEL`, None if it is not set; for the command line."""
    return strip(os.environ.get("MAJORDOMO_MODEL") or "") or None


def parse(spec: str) -> Chain:
    """A chain of targets from a spec, by the shared registry; see `Registry.parse`."""
    return _default.parse(spec)


def parse_image(spec: str) -> ImageModel:
    """`parse` for models that draw, by the shared registry."""
    return _default.parse_image(spec)


def register_alias(name: str, spec: str) -> None:
    """`Registry.register_alias` of the shared registry."""
    _default.register_alias(name, spec)


def register_provider(name: str, provider: Provider | DSN | str) -> None:
    """`Registry.register_provider` of the shared registry."""
    _default.register_provider(name, provider)


def register_scheme(name: str, factory: Callable[[str, DSN], Provider]) -> None:
    """`Registry.register_scheme` of the shared registry."""
    _default.register_scheme(name, factory)

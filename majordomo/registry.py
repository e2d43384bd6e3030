"""Addressing: names to providers, aliases to chains, and the environment they come from.

The only module that reads the environment, and only when a name is met, when a call first
needs its cooldowns, or for the command line (`setting`). A value of the environment may hold
a token, so no message here quotes one: it names the variable. Other programs have variables
that begin with `LLM_` too; they are left alone until somebody asks for their name.
"""

from __future__ import annotations

import os

from ._loading import loading
from ._spec import CODE, PREFIX, Reading, close_to, fold, is_name, variable
from .dsn import DSN, as_token, strip
from .errors import ConfigError, DSNError, MajordomoError, SpecError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, Callable

    from ._health_file import FileHealth
    from ._http import Client
    from ._spec import Origin
    from .chain import Chain, Health, ImageChain, Policy
    from .health import MemoryHealth
    from .llm import Attempt
    from .model import Provider
    from .providers import Scheme

__all__ = ["Registry", "parse", "parse_image", "register_alias", "register_provider", "register_scheme"]


class Registry:
    """Who is known under which name, and how calls behave.

    environ: the variables; `os.environ` if None.
    health: the path of a file in which all processes of this host share their cooldowns; None
        for the one that `MAJORDOMO_HEALTH` names, and memory if that is not set.
    timeout: seconds for calls that give none.
    attempt_timeout: seconds of one attempt; of a stream, until its first event.
    idle_timeout: seconds of silence that a stream may have between two pieces of content.
    retries: further passes over the targets of a call.
    ssl_context, user_agent: for all requests.
    on_attempt: called with each `Attempt` as it ends, in the thread of the call.
    clock, sleep, random: for tests.

    Raises ConfigError for settings that cannot work.
    """

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        health: Health | str | os.PathLike[str] | None = None,
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
                if name != "health" or not isinstance(given, (str, os.PathLike)):
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
        self._parsed: dict[Any, tuple[dict[str, str | None], Chain]] = {}
        self._once: dict[str, Any] = {}  # made when first asked for; setdefault is atomic
        if isinstance(health, (str, os.PathLike)):
            health = self._shared_health(health)
        if health is not None:
            self._once["health"] = health
            if type(health).__module__ == f"{__package__}._health_file":  # what is in memory stays behind
                self._settings["health"] = health

    @classmethod
    def default(cls) -> Registry:
        """The shared registry, which the package's own `parse` works on."""
        return _default

    @property
    def health(self) -> Health:
        """The memory of targets that are down: `snapshot()` reads it, `reset()` clears it."""
        found: Health | None = self._once.get("health")
        if found is None:
            path = Reading(self).value("MAJORDOMO_HEALTH")
            found = self._once.setdefault("health", self._shared_health(path) if path else self._own_health())
        return found

    def _own_health(self) -> MemoryHealth:
        with loading:
            from .health import MemoryHealth

        clock = self._hooks["clock"]
        return MemoryHealth(clock) if clock else MemoryHealth()

    def _shared_health(self, path: str | os.PathLike[str]) -> FileHealth:
        with loading:
            from ._health_file import FileHealth

        clock = self._hooks["clock"]
        return FileHealth(path, clock) if clock else FileHealth(path)

    def parse(self, spec: str) -> Chain:
        """A chain of targets from a spec: `"box/qwen3:14b, openai/gpt-5-mini, thinking"`.

        Items with a slash are `provider/model-id`, others are aliases. Raises SpecError,
        which shows the place, and DSNError or ConfigError, which name the variable.
        """
        return self._parse(spec, {})

    def _parse(self, spec: str, aliases: Mapping[str, str]) -> Chain:
        """The chain of a spec in which these aliases mean this; kept for as long as its variables do not change."""
        key = (spec, *aliases.items()) if aliases else spec
        known = self._parsed.get(key) if isinstance(spec, str) else None
        if known is not None and all(self._variable(name) == value for name, value in known[0].items()):
            return known[1]
        reading = Reading(self, aliases)
        targets = {o.name: self._provider_of(o.provider, reading).model(o.id) for o in reading.targets(spec)}
        with loading:
            from .chain import Chain

        chain = Chain(targets, self.policy, lambda: self._moving(spec, False, reading.coded))
        if len(self._parsed) >= 1000:
            self._parsed.clear()
        self._parsed[key] = (reading.met, chain)
        return chain

    def parse_image(self, spec: str) -> ImageChain:
        """`parse` for models that draw; a target of the spec that cannot is passed over when it is asked."""
        return self._parse_image(spec, {})

    def _parse_image(self, spec: str, aliases: Mapping[str, str]) -> ImageChain:
        reading = Reading(self, aliases)
        targets = {o.name: _drawer(self._provider_of(o.provider, reading), o) for o in reading.targets(spec)}
        with loading:
            from .chain import ImageChain

        return ImageChain(targets, self.policy, lambda: self._moving(spec, True, reading.coded))

    def provider(self, name: str) -> Any:
        """The provider of a name, for what is no call of a model: listing, unloading."""
        return self._provider_of(_provider_name(name), Reading(self))

    def targets(self, spec: str, source: str | None = None) -> list[Origin]:
        """What a spec expands to, without making a provider: `provider`, `id`, `name` and `aliases` of each target.

        source: the variable that the spec is from, whose value no error quotes. `aliases` are
        those that a target stands behind, from the outermost in, each as (alias, source); a
        source is the name of a variable, or `"code"`. Raises SpecError or DSNError; a provider
        that nobody knows is an error of whoever asks for it, unless an alias names it.
        """
        return Reading(self).targets(spec, source)

    def sources(self, name: str) -> tuple[str, ...]:
        """Where a provider's name comes from: `("code",)`, its variable, or `("built in", ...)`.

        What follows "built in" are those of the vendor's variables that count. Raises
        SpecError for a name that stands for nothing.
        """
        name, reading = _provider_name(name), Reading(self)
        if name in self._registered:
            return (CODE,)
        if reading.value(variable(name)) is not None:
            return (variable(name),)
        row = self._builtin_row(name)
        keys = [key for key in row.keys if reading.value(key)]
        return ("built in", *[found for found in (row.base_url, *keys[:1]) if found and reading.value(found)])

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
            given = {**{name: self._settings[name] for name in names}, **self._hooks, "memory": lambda: self.health}
            made = Policy(**{name: value for name, value in given.items() if value is not None})
            found = self._once.setdefault("policy", made)
        return found

    def _provider_of(self, name: str, reading: Reading) -> Any:
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

    def _builtin_row(self, name: str) -> Scheme:
        with loading:
            from .providers import SCHEMES

        row = SCHEMES.get(name)
        if row is None or not row.builtin:
            raise SpecError(self._unknown(name))
        return row

    def _builtin(self, name: str, reading: Reading) -> Any:
        row = self._builtin_row(name)
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
            with loading:
                from .providers import builtin_dsn

            dsn = builtin_dsn(name, row, base, token)
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
                if is_name(rest) and variable(fold(rest)) == name:  # any other name is never looked up
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
            return bool(Reading(self).targets(value, "a variable"))
        except (SpecError, DSNError):
            return False

    def _unknown(self, name: str) -> str:
        known = self.providers()
        return (
            f"unknown provider {name!r}{close_to(name, known)}; set {variable(name)}=SCHEME://TOKEN@HOST to make it one"
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
        close = close_to(scheme, known)
        return f"unknown scheme{close}" + (f" known are {', '.join(known)}" if close.endswith("?") else "")

    def __repr__(self) -> str:
        return f"<Registry of {len(self._registered)} providers and {len(self._aliases)} aliases set in code>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Aliases and settings travel; variables, providers and hooks are the worker's own."""
        return _moved, (*self._identity(), self._aliases)

    def _moving(self, spec: str, draws: bool, aliases: dict[str, str]) -> tuple[Any, ...]:
        """What a chain of this registry pickles as; the aliases are those that it was made of."""
        return _parsed_again, (*self._identity(), spec, draws, aliases)

    def _identity(self) -> tuple[str | None, dict[str, Any]]:
        """Which registry this is, in whatever process, and how it is made; None for the shared one."""
        if self is _default:
            return None, {}
        with loading:
            from uuid import uuid4

        return self._once.setdefault("id", uuid4().hex), self._settings

    def __copy__(self) -> Registry:
        return self  # it is shared on purpose

    def __deepcopy__(self, memo: dict[int, Any]) -> Registry:
        return self


MOST_MOVED = 100  # registries of other processes that are kept
_moved_here: dict[str, Registry] = {}


def _moved(id: str | None, settings: dict[str, Any], aliases: dict[str, str]) -> Registry:
    """A registry in the process that unpickles it; the shared one stays the shared one.

    Any other is made once and kept, for with each task of a pool comes the same one again,
    and its connections and cooldowns are for the next task, too.
    """
    if id is None:
        registry = _default
    else:
        while len(_moved_here) >= MOST_MOVED and id not in _moved_here:
            _moved_here.pop(next(iter(_moved_here)), None)
        registry = _moved_here.get(id) or _moved_here.setdefault(id, Registry(**settings))
        registry._once["id"] = id  # to be the same one wherever it goes on to
    for name, spec in aliases.items():
        if registry._aliases.get(name) != spec:
            registry.register_alias(name, spec)
    return registry


def _parsed_again(
    id: str | None, settings: dict[str, Any], spec: str, draws: bool, aliases: dict[str, str]
) -> Chain | ImageChain:
    """A chain in the process that unpickles it, by the environment there.

    What is wrong with that is told when the chain is asked: a worker that cannot unpickle its
    task loses it without a word, and multiprocessing waits for it for ever.
    """
    registry = _moved(id, settings, {})
    try:
        return registry._parse_image(spec, aliases) if draws else registry._parse(spec, aliases)
    except MajordomoError as exc:
        with loading:
            from .chain import Chain, ImageChain
            from .model import Unable

        kind = ImageChain if draws else Chain
        unable = Unable(spec, exc.with_traceback(None))
        return kind({spec: unable}, registry.policy, lambda: registry._moving(spec, draws, aliases))


def _drawer(provider: Any, origin: Origin) -> Any:
    """A provider's model that draws; where there is none, one that says so when it is asked."""
    with loading:
        from .model import Unable

    error = UnsupportedError("it has no models that draw")
    try:
        found = provider.image_model(origin.id) if hasattr(provider, "image_model") else None
        if found is not None:
            return found
    except UnsupportedError as exc:
        error = exc.with_traceback(None)
    return Unable(origin.name, error, getattr(provider, "base_url", ""))


def _is_header(text: Any) -> bool:
    return isinstance(text, str) and text.isascii() and text.isprintable() and bool(text.strip())


def _provider_name(name: str) -> str:
    if not isinstance(name, str) or not is_name(strip(name)):
        raise SpecError("a provider's name is made of letters, digits, dots and dashes")
    return fold(strip(name))


def _checked(name: str) -> str:
    if not isinstance(name, str) or not is_name(name):
        raise SpecError("a name is made of letters, digits, dots and dashes, and has no slash")
    return fold(name)


_default = Registry()


def setting(name: str) -> str | None:
    """A variable of the command line's own (`MAJORDOMO_MODEL`, `NO_COLOR`), None if it is not set or empty."""
    return strip(os.environ.get(name) or "") or None


def parse(spec: str) -> Chain:
    """A model to ask, from a text that says where: `"box/qwen3:14b, openai/gpt-5-mini, careful"`.

    The targets are tried from left to right until one answers. `provider/model-id` is a target;
    all after the first slash is the model's own name. An item without a slash is an alias and
    stands for a spec. Names come from code (`register_provider`, `register_alias`), then from the
    environment (`LLM_BOX=llama-swap://TOKEN@HOST:8080`, `LLM_CAREFUL=box/a,openai/b`), then from
    what is built in (openai, anthropic, google, ollama ...). Nothing is sent. The chain is a
    `Model`: ask it with `generate` or `stream`. Raises SpecError, which shows the place, and
    DSNError or ConfigError, which name the variable. It is `Registry.parse` of a registry that
    the whole process shares.
    """
    return _default.parse(spec)


def parse_image(spec: str) -> ImageChain:
    """A model that draws, from a text as `parse` takes it: `"box/flux, openai/gpt-image-2"`.

    `generate(prompt, size="1024x1024")` gives an `ImageResponse`. A provider that cannot draw is
    passed over. Raises what `parse` raises.
    """
    return _default.parse_image(spec)


def register_alias(name: str, spec: str) -> None:
    """Let a name without a slash stand for a spec in `parse`: `register_alias("careful", "box/a, openai/b")`.

    It wins over the environment. Raises SpecError for what cannot be a name, or a spec. It is
    `Registry.register_alias` of a registry that the whole process shares.
    """
    _default.register_alias(name, spec)


def register_provider(name: str, provider: Provider | DSN | str) -> None:
    """Let a name stand for a provider: one of your own, or the one that a DSN describes.

        register_provider("box", "llama-swap://token@192.168.1.20:8080")

    It wins over the environment. Raises SpecError for what cannot be a name, DSNError for what
    is no DSN. It is `Registry.register_provider` of a registry that the whole process shares.
    """
    _default.register_provider(name, provider)


def register_scheme(name: str, factory: Callable[[str, DSN], Provider]) -> None:
    """Let DSNs of a scheme of your own make providers: `factory(provider name, dsn) -> Provider`.

    After `register_scheme("mine", factory)`, `LLM_BOX=mine://token@host` makes `box` what the
    factory gives. It is `Registry.register_scheme` of a registry that the whole process shares.
    """
    _default.register_scheme(name, factory)

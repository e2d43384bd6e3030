"""What a spec comes to, piece by piece: what one asks for when something does not work.

Nothing of a target's facts keeps those of the others from being told: what goes wrong
becomes a `Fault` beside them, with what to do about it. Tokens are in none of the values
here, only whether there is one. What is told is what the library itself goes by: each
fact is asked of the registry, the provider or the transport that uses it.
"""

from __future__ import annotations

import os
import sys
import time

from ._blot import blotted
from ._spec import CODE, DEEPEST, Reading, fold, variable
from .dsn import DSN
from .errors import APIError, ConfigError, DSNError, MajordomoError, SpecError, classify
from .health import key_of
from .llm import Request, user
from .providers import SCHEMES
from .registry import setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from dataclasses import dataclass, field, replace
    from typing import Any, Callable, TypeVar

    from ._spec import Origin, Path
    from .registry import Registry

    T = TypeVar("T")
else:
    from ._frozen import dataclass, field, replace

__all__ = ["Explanation", "Fault", "Name", "Probe", "Target", "about", "explain", "facts", "names", "probed", "to_dict"]

QUESTION = "Reply with OK."
ENOUGH = 64  # tokens: a model that thinks first gets to say something, and none gets to talk
HEALTHY = {"state": "closed", "failures": 0, "seconds": 0.0}


@dataclass(frozen=True)
class Fault:
    """What is wrong. advice: what to do, `""` where the error says so itself."""

    error: str
    advice: str = ""


@dataclass(frozen=True)
class Probe:
    """What came of a question: a fault, or the beginning of an answer by `model` after so many seconds."""

    seconds: float
    model: str = ""
    text: str = ""
    fault: Fault | None = None


@dataclass(frozen=True)
class Target:
    """A target of a spec.

    aliases: those it stands behind, from the outermost in, each with the variable it is
    from, or "code". source: the same of the provider's name, see `Registry.sources`.
    base_url, url: without credentials; the latter is what is asked. token: whether one is
    set. timeout: seconds of an attempt without a timeout of the call. proxy: host and port.
    limits: fields of `Capabilities` that are known. health: as in a snapshot of it, None
    where it is not known.
    """

    name: str
    aliases: tuple[tuple[str, str], ...] = ()
    source: tuple[str, ...] = ()
    scheme: str | None = None
    base_url: str = ""
    url: str | None = None
    token: bool = False
    timeout: float | None = None
    proxy: str | None = None
    limits: dict[str, Any] = field(default_factory=dict)
    health: dict[str, Any] | None = None
    faults: tuple[Fault, ...] = ()
    probe: Probe | None = None

    @property
    def state(self) -> str:
        """How it is, in a word: `fault`, `answers`, `cooling down`, or `""` where nobody has asked."""
        if self.faults or (self.probe and self.probe.fault):
            return "fault"
        if self.probe:
            return "answers"
        return "" if not self.health or self.health["state"] == "closed" else "cooling down"


@dataclass(frozen=True)
class Name:
    """A name that a spec may use. kind: provider or alias. needs: what it cannot be asked without."""

    name: str
    kind: str
    source: tuple[str, ...]
    needs: str = ""

    @property
    def told(self) -> str:
        """All that is known of it, on one line."""
        return ", ".join(self.source) + (f"; {self.needs}" if self.needs else "")


@dataclass(frozen=True)
class Explanation:
    """What a spec comes to. health: where cooldowns are kept. versions: of what is at work, None for what is not."""

    targets: tuple[Target, ...] = ()
    names: tuple[Name, ...] = ()
    health: str = "memory"
    faults: tuple[Fault, ...] = ()
    versions: dict[str, str | None] = field(default_factory=dict)


def explain(registry: Registry, spec: str, command: str = "majordomo", source: str = "") -> Explanation:
    """What a spec comes to. command: how the command line is called, for the advice. source: of the spec."""
    faults: list[Fault] = []
    try:
        origins = registry.targets(spec, source or None)
    except (SpecError, DSNError) as exc:
        alone = "MAJORDOMO_MODEL= " if setting("MAJORDOMO_MODEL") else ""
        advice = f"`{alone}{command} explain` lists the names that are known, and where each is from"
        faults.append(Fault(str(exc), advice))
        origins = list({o.name: o for o in _readable(registry, spec, source or None, (), set())}.values())
    targets = [_target(registry, origin, command) for origin in origins]
    return _whole(registry, faults, targets=tuple(targets))


def names(registry: Registry) -> Explanation:
    """The names that are known, and where each is from."""
    found = [_provider(registry, name) for name in registry.providers()]
    found += [_alias(registry, name) for name in registry.aliases()]
    return _whole(registry, [], names=tuple(found))


def probed(registry: Registry, target: Target, timeout: float, command: str = "majordomo") -> Target:
    """A target that was asked a tiny question, by itself: no failover, and nothing is remembered of it."""
    if target.faults:
        return target
    provider, _, id = target.name.partition("/")
    request = Request((user(QUESTION),), max_tokens=ENOUGH)
    begun = time.monotonic()
    try:
        asked = _made(registry, provider)
        answer = asked.model(id).generate(request, timeout=timeout)
    except MajordomoError as exc:
        fault = _fault(exc, target, command)
        return replace(target, probe=Probe(time.monotonic() - begun, fault=fault))
    text = blotted(answer.text, getattr(asked, "_token", None))  # a server may echo it
    return replace(target, probe=Probe(time.monotonic() - begun, answer.model or target.name, text[:200]))


def to_dict(value: Any) -> Any:
    """A value of this module as JSON values."""
    if hasattr(value, "__match_args__"):
        return {name: to_dict(getattr(value, name)) for name in value.__match_args__}
    if isinstance(value, dict):
        return {name: to_dict(inner) for name, inner in value.items()}
    return [to_dict(inner) for inner in value] if isinstance(value, (tuple, list)) else value


def _provider(registry: Registry, name: str) -> Name:
    faults: list[Fault] = []
    _known(faults, lambda: _ready(_made(registry, name)))
    needs = faults[0].error.removeprefix(f"{name} ") if faults else ""
    return Name(name, "provider", registry.sources(name), needs)


def _alias(registry: Registry, name: str) -> Name:
    faults: list[Fault] = []
    origins = _known(faults, lambda: registry.targets(name))
    source = origins[0].aliases[0][1] if origins else CODE  # one from a variable is no alias unless it can be read
    return Name(name, "alias", (source,), faults[0].error if faults else "")


def facts(target: Target) -> Iterator[tuple[str, str]]:
    """What is known of a target, for people: (what, text)."""
    if target.aliases:
        yield "alias", " > ".join(f"{name} ({source})" for name, source in target.aliases)
    yield "name from", (", ".join(target.source) or "nowhere") + (f"; scheme {target.scheme}" if target.scheme else "")
    if target.health is not None:  # else there is no provider to tell of
        yield "URL", target.url or target.base_url or "not known"
        yield "token", "set" if target.token else "not set"
        yield "proxy", target.proxy or "none"
        yield (
            "timeout",
            f"{target.timeout:g} s an attempt, unless the call says otherwise" if target.timeout else "none",
        )
        yield "limits", ", ".join(f"{name}={_value(value)}" for name, value in target.limits.items()) or "none known"
        yield "health", _health(**target.health)
    for fault in target.faults:
        yield from _told(fault)
    if target.probe and target.probe.fault:
        yield "asked", f"no answer after {target.probe.seconds:.2f} s"
        yield from _told(target.probe.fault)
    elif target.probe:
        said = repr(target.probe.text) if target.probe.text else "no text in so few tokens"
        yield "asked", f"{target.probe.model} answered in {target.probe.seconds:.2f} s: {said}"


def about(found: Explanation) -> Iterator[tuple[str, str]]:
    """What is known beside the targets, for people."""
    for fault in found.faults:
        yield from _told(fault)
    yield "cooldowns", "kept in " + found.health
    pillow = "Pillow" if found.versions["pillow"] else "no Pillow: a picture that does not fit its target is refused"
    yield "versions", f"majordomo {found.versions['majordomo']}, Python {found.versions['python']}, {pillow}"


def _told(fault: Fault) -> Iterator[tuple[str, str]]:
    yield "fault", fault.error
    if fault.advice:
        yield "do", fault.advice


def _value(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


def _health(state: str, failures: int, seconds: float) -> str:
    row = f"after {failures} failure{'s' if failures > 1 else ''} in a row"
    if state == "open":
        return f"cooling down for {seconds:.0f} s more {row}"
    return "healthy" if state == "closed" else f"due for a new try {row}"


def _whole(registry: Registry, faults: list[Fault], **more: Any) -> Explanation:
    from importlib.util import find_spec

    from . import __version__

    health = registry.health
    health.snapshot()  # a file that cannot be read is found out by reading it
    broken = getattr(health, "fault", None)
    if broken:
        faults = [*faults, Fault(f"cooldowns are not shared: {broken}", "correct MAJORDOMO_HEALTH, or unset it")]
    pillow = "installed" if find_spec("PIL") else None
    versions = {"majordomo": __version__, "python": sys.version.split()[0], "pillow": pillow}
    return Explanation(health=str(getattr(health, "path", "memory")), faults=tuple(faults), versions=versions, **more)


def _readable(registry: Registry, spec: str, source: str | None, path: Path, tried: set[str]) -> Iterator[Origin]:
    """The targets of those items of a broken spec that are not broken themselves, and of its broken aliases the same.

    source: the variable that the spec is from. path: the aliases that it stands behind.
    tried: those that were broken, each read once.
    """
    for item in spec.split(","):
        reading = Reading(registry)
        try:
            yield from [replace(origin, aliases=(*path, *origin.aliases)) for origin in reading.targets(item, source)]
        except (SpecError, DSNError):
            name = fold(item.strip())
            inner = _meaning(reading, name)
            if inner and name not in tried and len(path) < DEEPEST:
                tried.add(name)
                own = None if name in reading.coded else variable(name)
                yield from _readable(registry, inner, own or source, (*path, (name, own or CODE)), tried)


def _meaning(reading: Reading, name: str) -> str:
    """What an alias stands for, `""` for what is none."""
    value = reading.coded.get(name) or _known([], lambda: reading.value(variable(name))) or ""
    return "" if "://" in value else value


def _made(registry: Registry, name: str) -> Any:
    """A provider; ConfigError where its module was left out of this copy."""
    try:
        return registry.provider(name)
    except ImportError as exc:
        raise ConfigError(f"this copy was made without {exc.name}") from exc


def _known(faults: list[Fault], ask: Callable[[], T]) -> T | None:
    """A fact; None where it cannot be had, and why among the faults."""
    try:
        return ask()
    except MajordomoError as exc:
        faults.append(Fault(exc.message))
        return None


def _target(registry: Registry, origin: Origin, command: str) -> Target:
    known = Target(origin.name, origin.aliases)
    try:
        known = replace(known, source=registry.sources(origin.provider))
        provider = _made(registry, origin.provider)
        model = provider.model(origin.id)
    except MajordomoError as exc:
        return replace(known, faults=(_fault(exc, known, command),))
    faults: list[Fault] = []
    base_url = _bare(getattr(model, "base_url", ""))
    _known(faults, lambda: _ready(provider))
    known = replace(
        known,
        scheme=_scheme(registry, origin.provider, known.source),
        base_url=base_url,
        url=_known(faults, lambda: _url(model)),
        token=getattr(provider, "has_token", False),
        timeout=registry.policy.attempt_timeout or getattr(model, "default_timeout", None),
        proxy=_known(faults, lambda: _proxy(provider, base_url)),
        limits=_limits(model),
        health=registry.health.snapshot().get(key_of(origin.name, getattr(model, "base_url", "")), HEALTHY),
    )
    return replace(known, faults=tuple(faults))


def _ready(provider: Any) -> None:
    """Raises ConfigError if there is no host or no key to ask with."""
    if hasattr(provider, "ready"):
        provider.ready()


def _scheme(registry: Registry, name: str, source: tuple[str, ...]) -> str | None:
    """The scheme of a provider, None where a program made it."""
    if source == (CODE,):
        return None
    own = variable(name)
    return DSN.parse(Reading(registry).value(own) or "").scheme if source == (own,) else name


def _url(model: Any) -> str | None:
    """The URL that is asked; ConfigError for a model's name that no URL has."""
    way = getattr(model, "way", None)
    return _bare(model.base_url) + way[0].path(model.id, False) if way else None


def _bare(url: str) -> str:
    """A URL without credentials, which a program's own provider may have in it."""
    head, slashes, rest = url.partition("://")
    where, slash, path = rest.partition("/")
    return head + slashes + where.rpartition("@")[2] + slash + path


def _limits(model: Any) -> dict[str, Any]:
    limits = to_dict(getattr(model, "capabilities", None)) or {}
    return {name: value for name, value in limits.items() if value is not None}


def _proxy(provider: Any, base_url: str) -> str | None:
    """The proxy between here and a provider; ConfigError for one, and for a CA file, that cannot be used."""
    client = getattr(provider, "client", None)
    if client is None or not base_url or provider.missing:
        return None
    if base_url.startswith("https:"):
        client.context()
    proxy = client.server(base_url.partition(":")[0], provider.host).route.proxy
    return f"{proxy[0]}:{proxy[1]}" if proxy else None


def _fault(error: MajordomoError, target: Target, command: str) -> Fault:
    """An error with what to do about it: the first row of `_ADVICE` whose marks it has."""
    marks = _marks(error, target)
    advice = next((text for wanted, text in _ADVICE if wanted <= marks), "")
    key, where, plain, secure = _places(target)
    status = f"HTTP {error.status}: " if isinstance(error, APIError) else ""
    return Fault(
        status + error.message,
        advice.format(
            command=command,
            provider=target.name.partition("/")[0],
            key=key,
            where=where,
            base_url=target.base_url,
            scheme=target.scheme,
            proxy=target.proxy,
            plain=plain,
            secure=secure,
        ),
    )


def _places(target: Target) -> tuple[str, str, str, str]:
    """Where a target's key is set, where its host and options are, and how plain http and TLS are said there."""
    provider, scheme = target.name.partition("/")[0], target.scheme or "SCHEME"
    key = where = "register_provider()" if target.source == (CODE,) else variable(provider)
    if "built in" in target.source:
        row = SCHEMES[provider]
        key = next((name for name in row.keys if name in target.source), key)
        if row.base_url:
            where = row.base_url if row.base_url in target.source else f"{row.base_url}={target.base_url}"
            return key, where, "http://", "https://"
        where += f"={scheme}://KEY@{row.host}"
    if scheme.startswith("llama-swap"):
        return key, where, "llama-swap://", "llama-swaps://"
    return key, where, f"{scheme}+http://", f"{scheme}://"


def _marks(error: MajordomoError, target: Target) -> set[str]:
    """What there is to go by: classes of an error and its cause, its code, kind and status, and the way there."""
    cause = error.__cause__
    found = {cls.__name__ for whose in (error, cause) if whose is not None for cls in type(whose).__mro__}
    found |= {"TimeoutError"} if "timeout" in found else set()  # which Python 3.9 tells apart
    status = getattr(error, "status", 0)
    found |= {error.code or "", classify(error).value, str(status), f"{status // 100}xx"}
    found.add(_CERTIFICATES.get(getattr(cause, "verify_code", 0), ""))
    authorities = setting("SSL_CERT_FILE")
    found |= {"no CAs"} if authorities and not os.path.isfile(authorities) else set()
    found |= set() if target.token else {"no token"}
    return found | {target.base_url.partition(":")[0], "proxied" if target.proxy else "direct"}


# What is wrong with a certificate, where that is not its CA. Source: OpenSSL, x509_vfy.h (X509_V_ERR_...)
_CERTIFICATES = {9: "wrong time", 10: "wrong time", 62: "wrong name", 64: "wrong name"}


# The first row whose marks an error has says what to do.
_ADVICE: tuple[tuple[set[str], str], ...] = (
    ({"certificate", "wrong time"}, "renew the server's certificate, or set the clock of this machine"),
    ({"certificate", "wrong name"}, "write one of the names the certificate holds as the host in {where}"),
    ({"certificate", "no CAs"}, "SSL_CERT_FILE names no file: correct it, or unset it"),
    ({"certificate"}, "if the server's CA is one of your own, name it with ?ca=FILE in {where}"),
    ({"proxy_refused"}, "add ?proxy=off to {where}, or mend HTTPS_PROXY"),
    ({"proxied", "TransportError"}, "if {proxy} is not to be asked, add ?proxy=off to {where}, or set NO_PROXY"),
    ({"gaierror"}, "check the host in {where}, and this machine's name server"),
    ({"ConnectionRefusedError"}, "start the server at {base_url}, or name its place in {where}"),
    ({"https", "SSLError"}, "if the server speaks plain http, write {plain} in {where}"),
    ({"TransportError", "TimeoutError"}, "check host, port, firewall and VPN on the way to {base_url} ({where})"),
    ({"http", "TransportError"}, "if the server speaks TLS, write {secure} in {where}; else see its log"),
    ({"TransportError"}, "check {base_url} ({where}), and see the server's log"),
    ({"DeadlineError"}, "a local model that must be loaded first may take minutes: --timeout 300"),
    ({"quota"}, "check plan and billing of the account whose key is in {key}"),
    ({"too_long"}, "send less, or name a model with a larger context"),
    ({"auth", "no token"}, "there is no token in {where}: SCHEME://TOKEN@HOST"),
    ({"auth"}, "check the token in {key}, and what it may do"),
    ({"not_found"}, "`{command} models {provider}` lists what is there; if that fails too, check the path in {where}"),
    ({"3xx"}, "write the final URL into {where}; redirects are never followed"),
    ({"rate_limited"}, "wait, or name another target behind this one"),
    ({"http", "400"}, "if the server speaks TLS, write {secure} in {where}"),
    ({"5xx"}, "the server failed by itself: its log says why"),
    ({"ProtocolError"}, "is it a server of {scheme} at {base_url}? check scheme and path in {where}"),
    ({"TruncatedError"}, "the server cut its answer: see its log, and that of any proxy in between"),
)

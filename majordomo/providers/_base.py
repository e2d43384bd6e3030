"""What every provider that speaks HTTP has in common.

A provider here is a DSN that has been understood: base URL, headers, limits. Its models
are a wire module and this file's `Target`, the only place where a wire meets the
transport. A provider's own module adds what is its own, and a row in the table of
`providers`.
"""

from __future__ import annotations

from .. import _http, _json
from .._frozen import copied
from ..deadline import Deadline, as_timeout
from ..errors import (
    APIError,
    ConfigError,
    DeadlineError,
    DSNError,
    MajordomoError,
    ProtocolError,
    TransportError,
    TruncatedError,
)
from ..llm import Capabilities, images_of
from ..model import MANAGE_TIMEOUT, Done, Model, Provider

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from dataclasses import dataclass, replace
    from typing import Any, Callable

    from .._http import Client
    from ..dsn import DSN
    from ..llm import Request, Response
    from ..model import StreamEvent
else:
    from .._frozen import dataclass, replace

AFTER_FINISH = 5.0  # seconds that a finished answer waits for its usage and end marker


class HTTPProvider(Provider):
    """A service behind a base URL.

    wire: the module that encodes and decodes for it. families: what is known of its
    models' limits, see `Family`. limits: those of its DSN, which win. own_options: what its
    DSN may say beside the options of all, each with the function that reads it (ValueError
    if odd).
    """

    wire: Any
    families: tuple[Family, ...] = ()
    own_options: dict[str, Callable[[str], Any]] = {}

    def __init__(
        self,
        name: str,
        base_url: str,
        token: str | None,
        *,
        client: Client,
        capabilities: Capabilities = Capabilities(),
        limits: dict[str, Any] | None = None,
        timeout: float,
        idle_timeout: float | None = None,
        missing: str | None = None,
    ) -> None:
        self.name = name
        self.base_url = base_url
        self.capabilities = capabilities
        self.limits = limits or {}
        self.timeout = timeout
        self.idle_timeout = idle_timeout
        self.missing = missing
        self.client = client
        self._token = token

    def headers(self) -> dict[str, str]:
        """The headers that say who asks."""
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    @property
    def host(self) -> str:
        """The host of the base URL, in lower case, with its port if it has one of its own."""
        return self.base_url.partition("://")[2].partition("/")[0].lower()

    def capabilities_of(self, id: str) -> Capabilities:
        """What a model takes: the scheme's, its family's, and what the DSN says; the last word wins."""
        known: dict[str, Any] = {}
        for family in self.families:
            if self.host in family.hosts and id.startswith(family.models):
                known.update(family.limits)
        known.update(self.limits)
        return replace(self.capabilities, **known) if known else self.capabilities

    def describe(self, id: str, deadline: Deadline) -> dict[str, Any]:
        """What the server tells of a model's limits, whoever remembers it; asked when a picture is to be sent."""
        return {}

    def blot(self, error: MajordomoError) -> None:
        """Take this provider's token out of an error."""
        _http.blot(error, self._token)

    def ready(self) -> None:
        """Raises ConfigError if there is no host or no key to ask with."""
        if self.missing:
            raise ConfigError(self.missing)

    def how(self, deadline: Deadline, wire: Any = None) -> dict[str, Any]:
        """How to reach this service: what `_http` wants to know beside method, URL and payload."""
        return {
            "deadline": deadline,
            "headers": self.headers(),
            "secret": self._token,
            "read_error": (wire or self.wire).read_error,
        }

    def manage(self, method: str, path: str, timeout: float | Deadline | None) -> bytes:
        """Ask for something that is no answer of a model; the body as it came."""
        deadline = timeout if isinstance(timeout, Deadline) else self.deadline(timeout)
        try:
            self.ready()
            return _http.fetch(self.client, method, self.base_url + path, **self.how(deadline))
        except MajordomoError as exc:
            exc.target = self.name
            self.blot(exc)
            raise

    def deadline(self, timeout: float | None) -> Deadline:
        """The deadline of something that is no answer of a model."""
        return Deadline(MANAGE_TIMEOUT if timeout is None else as_timeout(timeout))

    def manage_json(self, method: str, path: str, timeout: float | Deadline | None, what: str) -> Any:
        """Ask as `manage` does, for JSON; an error in a 200 is raised."""
        return self.read_json(self.manage(method, path, timeout), what)

    def read_json(self, body: bytes, what: str) -> Any:
        """A body as JSON; an error that it holds is raised, and names this provider."""
        try:
            payload = _json.loads(body, what)
            self.wire.raise_error(payload)
        except MajordomoError as exc:
            exc.target = self.name
            self.blot(exc)
            raise
        return payload

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(f"provider {self.name} does not pickle, for it holds a token; pickle what parse() gives")


@dataclass(frozen=True)
class Family:
    """A row: what is known of the limits of models. models: how their ids begin; limits: fields of `Capabilities`."""

    hosts: tuple[str, ...]
    models: tuple[str, ...]
    limits: dict[str, Any]


class Target(Model):
    """One model of an HTTP provider: encode, send, decode; and mend what the server does not take.

    capabilities: what is known of it, read when first asked for; what is set here counts.
    """

    def __init__(self, provider: HTTPProvider, id: str, quirks: Any) -> None:
        self.id = id
        self.name = f"{provider.name}/{id}"
        self.base_url = provider.base_url
        self.default_timeout = provider.timeout
        self._provider = provider
        self._quirks = quirks
        self._capabilities: Capabilities | None = None
        self._set = False

    @property
    def capabilities(self) -> Capabilities:
        found = self._capabilities
        if found is None:
            found = self._capabilities = self._provider.capabilities_of(self.id)
        return found

    @capabilities.setter
    def capabilities(self, given: Capabilities) -> None:
        self._capabilities, self._set = given, True

    def learned(self, request: Request, deadline: Deadline) -> Capabilities:
        """The capabilities; before a request with pictures also what the server says of them."""
        provider = self._provider
        if self._set or "max_images_per_request" in provider.limits or not images_of(request.messages):
            return self.capabilities
        told = provider.describe(self.id, deadline)
        if not self._set:  # by somebody else, meanwhile
            self._capabilities = replace(provider.capabilities_of(self.id), **told)
        return self.capabilities

    def url(self, stream: bool) -> str:
        """Where the question goes."""
        return self._provider.base_url + str(self._provider.wire.PATH)

    def complete(self, request: Request, deadline: Deadline) -> Response:
        wire, provider = self._provider.wire, self._provider

        def ask(body: Any) -> Response:
            payload = _http.do_json(provider.client, "POST", self.url(False), body, **provider.how(deadline))
            response: Response = wire.decode(payload, self._quirks, request.schema)
            return response

        with Blaming(self):
            return self._told(self._mended(request, False, ask), request)

    def events(self, request: Request, deadline: Deadline) -> Iterator[StreamEvent]:
        wire, provider = self._provider.wire, self._provider

        def ask(body: Any) -> _http.Source:
            how = provider.how(deadline)
            url = self.url(True)
            return _http.stream(provider.client, "POST", url, body, idle_timeout=provider.idle_timeout, **how)

        decoder = wire.StreamDecoder(self._quirks, request.schema)
        with Blaming(self, decoder):
            with self._mended(request, True, ask) as source:
                for deltas in _deltas(source, decoder, deadline):
                    for delta in deltas:
                        source.beat()
                        yield delta
                source.drain()
            yield from decoder.close()
            response = decoder.response()
        yield Done(self._told(response, request))

    def _mended(self, request: Request, stream: bool, ask: Callable[[Any], Any]) -> Any:
        """Ask; a parameter that the server calls unsupported is mended, once, and remembered."""
        wire, provider = self._provider.wire, self._provider
        provider.ready()
        pictured = bool(images_of(request.messages))
        while True:
            quirks = self._quirks
            body = wire.encode(request, self.id, quirks, target=self.name, stream=stream)
            try:
                return ask(_json.dumps_sparingly(body) if pictured else body)
            except APIError as exc:
                found = wire.remedy(exc, body, quirks)
                if found is None or found[0].partition("=")[0] in request.extra:
                    raise
                self._quirks = replace(quirks, remedies={**quirks.remedies, found[0]: found[1]})

    def _told(self, response: Response, request: Request) -> Response:
        """The response with its target's name on it, and what was left out."""
        message = copied(response.message, origin=self.name)
        warnings = response.warnings + self._provider.wire.warnings(request, self._quirks)
        return copied(response, message=message, model=self.name, warnings=warnings)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._provider.__reduce__()


class Blaming:
    """Errors that leave a target name it, hold no token, and carry what had arrived."""

    __slots__ = ("_decoder", "_target")

    def __init__(self, target: Any, decoder: Any = None) -> None:
        self._target, self._decoder = target, decoder

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, MajordomoError):
            error.target = error.target or self._target.name
            if self._decoder is not None:
                error.partial = error.partial or self._decoder.partial
            self._target._provider.blot(error)


def _deltas(source: _http.Source, decoder: Any, deadline: Deadline) -> Iterator[list[Any]]:
    """The deltas of a stream until its end; what goes wrong behind a finished answer does no harm."""
    from .._events import EventDecoder

    events = EventDecoder()
    feed, take = events.feed, decoder.feed
    finished = False
    try:
        for chunk in source:
            for name, data in feed(chunk):
                deadline.require()  # a chunk may hold thousands of events
                found = take(name, data)
                if found:
                    yield found
                if decoder.done:
                    return
            if decoder.finished and not finished:
                finished = True
                source.limit(Deadline(min(AFTER_FINISH, deadline.require()), deadline.limit))
    except (TransportError, TruncatedError, ProtocolError, APIError, DeadlineError):
        if not decoder.finished:
            raise
        source.close()
        return
    document = events.is_document
    for name, data in events.close():
        try:
            found = take(name, data)
        except ProtocolError:
            if document:
                raise
            return  # an event that the end of the stream has cut; `close` says whether the answer is whole
        if found:
            yield found


def options_of(dsn: DSN, own_options: dict[str, Callable[[str], Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a DSN's options say: (fields of `Capabilities`, the rest by name); DSNError for an unknown or odd one."""
    found: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    for name, value in dsn.options.items():
        read = _OPTIONS.get(name) or own_options.get(name)
        if read is None:
            from difflib import get_close_matches

            known = sorted([*_OPTIONS, *own_options])
            close = get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
            raise DSNError(f"unknown option {_shown(name)}: {hint}")
        try:
            (limits if name in _LIMITS else found)[_LIMITS.get(name, name)] = read(value)
        except ValueError as exc:
            raise DSNError(f"option {name}: {exc}") from None
    return limits, found


def _shown(name: str) -> str:
    """An option's name, if it can be one; never half a token."""
    return name if name.isidentifier() and len(name) <= 40 else "in this DSN"


def _count(value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise ValueError("is a whole number")
    return int(value[:18])


def _seconds(value: str) -> float:
    try:
        return as_timeout(float(value))
    except ValueError:
        raise ValueError("is a number of seconds above 0, or inf") from None


def switch(value: str) -> bool:
    """`on` or `off`, as an option says it."""
    states = {"on": True, "off": False, "true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
    if value.lower() not in states:
        raise ValueError("is on or off")
    return states[value.lower()]


def _types(value: str) -> tuple[str, ...]:
    names = [name.strip().lower().replace("image/", "") for name in value.split(",") if name.strip()]
    names = ["jpeg" if name == "jpg" else name for name in names]
    if not names or not set(names) <= set(_TYPES):
        raise ValueError(f"is a list of {', '.join(_TYPES)}")
    return tuple(f"image/{name}" for name in names)


_TYPES = ("png", "jpeg", "gif", "webp", "bmp", "tiff")


_OPTIONS: dict[str, Callable[[str], Any]] = {
    "timeout": _seconds,
    "max_images": _count,
    "max_image_dimension": _count,
    "max_image_bytes": _count,
    "image_mime": _types,
    "proxy": switch,
    "ca": str,
    "thinking": switch,
    "max_total_image_bytes": _count,
    "many_images": _count,
    "many_image_dimension": _count,
    "animated_images": switch,
    "tools": switch,
}
_LIMITS = {  # whose options are fields of `Capabilities`
    "max_images": "max_images_per_request",
    "max_image_dimension": "max_image_dimension",
    "max_image_bytes": "max_image_bytes",
    "image_mime": "allowed_image_mime",
    "max_total_image_bytes": "max_total_image_bytes",
    "many_images": "many_images",
    "many_image_dimension": "many_image_dimension",
    "animated_images": "animated_images",
    "tools": "tools",
    "thinking": "thinking",
}

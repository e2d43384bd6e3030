"""What every provider that speaks HTTP has in common.

A provider here is a DSN that has been understood: base URL, headers, limits. Its models
are a wire module and this file's `Target`, the only place where a wire meets the
transport. A provider's own module adds what is its own, and a row in the table of
`providers`.
"""

from __future__ import annotations

from .. import _http, _json
from .._blot import blot
from .._loading import loading
from ..deadline import Deadline, as_timeout
from ..errors import (
    APIError,
    ConfigError,
    DeadlineError,
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
    from dataclasses import dataclass, field, replace
    from typing import Any, Callable

    from .._http import Client
    from ..llm import Request, Response
    from ..model import StreamEvent
else:
    from .._frozen import dataclass, field, replace

MOST_PAGES = 100  # of a list of models
MOST_MODELS = 100_000  # in all of them: a page has up to 1000
LONGEST_MARK = 4096  # characters by which a page names the next one
AFTER_FINISH = 5.0  # seconds that a finished answer waits for its usage and end marker


class HTTPProvider(Provider):
    """A service behind a base URL.

    wire: the module that encodes and decodes for it. families: what is known of its
    models, see `Family`. limits, quirks: those of its DSN and its scheme, which win.
    own_options: what its DSN may say beside the options of all, each with the function that
    reads it (ValueError if odd); a provider gets them among its quirks. has_token: whether
    it was given one.
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
        quirks: dict[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.base_url = base_url
        self.capabilities = capabilities
        self.limits = limits or {}
        self.timeout = timeout
        self.idle_timeout = idle_timeout
        self.missing = missing
        self.client = client
        self.quirks = quirks or {}
        self._token = token
        self.has_token = bool(token)
        self._models: dict[str, Target] = {}

    def model(self, id: str) -> Target:
        """The bare target; what was learned of the model is kept with it."""
        found = self._models.get(id)
        if found is None:
            found = self._models.setdefault(id, self.target(id))
        return found

    def target(self, id: str) -> Target:
        """A new target for a model that is asked for the first time."""
        return Target(self, id, self.wire, self.wire.Quirks(**self.quirks_of(id)))

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
        for family in self._families_of(id):
            known.update(family.limits)
        known.update(self.limits)
        return replace(self.capabilities, **known) if known else self.capabilities

    def quirks_of(self, id: str) -> dict[str, Any]:
        """How a model's wire differs: its family's, and what scheme and DSN say; the last word wins."""
        known: dict[str, Any] = {}
        for family in self._families_of(id):
            known.update(family.quirks)
        known.update(self.quirks)
        return known

    def _families_of(self, id: str) -> Iterator[Family]:
        for family in self.families:
            if id.startswith(family.models) and (not family.hosts or self.is_of(family.hosts)):
                yield family

    def is_of(self, hosts: tuple[str, ...]) -> bool:
        """Whether this is one of these hosts, or of a domain below one."""
        return any(f".{self.host}".endswith(f".{host}") for host in hosts)

    def describe(self, id: str, request: Request, deadline: Deadline) -> dict[str, Any]:
        """What the server tells of a model, as fields of `Capabilities`, when a request needs to know.

        Whoever overrides it asks once, and remembers; see `Told`.
        """
        return {}

    def blot(self, error: MajordomoError) -> None:
        """Take this provider's token out of an error."""
        blot(error, self._token)

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

    def manage(self, method: str, path: str, timeout: float | Deadline | None, payload: Any = None) -> bytes:
        """Ask for something that is no answer of a model; the body as it came."""
        deadline = timeout if isinstance(timeout, Deadline) else self.deadline(timeout)
        try:
            self.ready()
            return _http.fetch(self.client, method, self.base_url + path, payload, **self.how(deadline))
        except MajordomoError as exc:
            exc.target = self.name
            self.blot(exc)
            raise

    def deadline(self, timeout: float | None) -> Deadline:
        """The deadline of something that is no answer of a model."""
        return Deadline(MANAGE_TIMEOUT if timeout is None else as_timeout(timeout))

    def manage_json(
        self, method: str, path: str, timeout: float | Deadline | None, what: str, payload: Any = None
    ) -> Any:
        """Ask as `manage` does, for JSON; an error in a 200 is raised."""
        return self.read_json(self.manage(method, path, timeout, payload), what)

    def list_of(
        self,
        path: str,
        name: str,
        timeout: float | Deadline | None,
        after: Callable[[dict[str, Any]], str | None] = lambda page: "",
        *,
        sparse: bool = False,
    ) -> list[dict[str, Any]]:
        """The entries of a list of models, of all its pages, in the server's order, under one time limit.

        name: of the list in a page. after: a page -> what the path of the next one ends with,
        `""` behind the last, None if nobody can know. sparse: a list of nothing is left out. Raises ProtocolError for
        what is no list, or has no end.
        """
        deadline = timeout if isinstance(timeout, Deadline) else self.deadline(timeout)
        found: list[dict[str, Any]] = []
        asked, room = [""], _http.CAP
        while len(asked) <= MOST_PAGES:
            body = self.manage("GET", path + asked[-1], deadline)
            room -= len(body)
            page = self.read_json(body, "the list of models")
            rows = page.get(name, [] if sparse else None) if isinstance(page, dict) else None
            if not isinstance(rows, list):
                raise self.odd("the answer is no list of models")
            found += [row for row in rows if isinstance(row, dict)]
            more = after(page)
            if more == "":
                return found
            if more is None or more in asked or len(more) > LONGEST_MARK or room < 0 or len(found) > MOST_MODELS:
                break
            asked.append(more)
        raise self.odd("the list of models has no end")

    def odd(self, what: str) -> ProtocolError:
        """The error of an answer that makes no sense; it names this provider."""
        error = ProtocolError(what)
        error.target = self.name
        return error

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
    """A row: what is known of models; a later row that fits too has the last word.

    hosts: whose models they are, those below these domains too; `()` if the names say
    enough. models: how their ids begin. limits: fields of `Capabilities`. quirks: fields of the wire's `Quirks`.
    """

    hosts: tuple[str, ...]
    models: tuple[str, ...]
    limits: dict[str, Any] = field(default_factory=dict)
    quirks: dict[str, Any] = field(default_factory=dict)


class Target(Model):
    """One model of an HTTP provider: encode, send, decode; and mend what the server does not take.

    capabilities: what is known of it, read when first asked for; what is set here counts.
    """

    def __init__(self, provider: HTTPProvider, id: str, wire: Any, quirks: Any) -> None:
        self.id = id
        self.name = f"{provider.name}/{id}"
        self.base_url = provider.base_url
        self.default_timeout = provider.timeout
        self._provider = provider
        self.way = (wire, quirks)  # together, for threads may ask while it changes
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
        """The capabilities, with what the server says of them where the request needs to know."""
        if not self._set:
            told = self._provider.describe(self.id, request, deadline)
            if told and not self._set:  # by somebody else, meanwhile
                self._capabilities = replace(
                    self._provider.capabilities_of(self.id), **{**told, **self._provider.limits}
                )
        return self.capabilities

    def complete(self, request: Request, deadline: Deadline) -> Response:
        provider = self._provider

        def ask(wire: Any, quirks: Any, body: Any) -> Response:
            url = provider.base_url + wire.path(self.id, False)
            payload = _http.do_json(provider.client, "POST", url, body, **provider.how(deadline, wire))
            response: Response = wire.decode(payload, quirks, request.schema)
            return response

        with Blaming(self):
            response, (_, quirks), told = self._mended(request, False, ask)
            return self.stamped(response, told, request, quirks)

    def events(self, request: Request, deadline: Deadline) -> Iterator[StreamEvent]:
        provider = self._provider

        def ask(wire: Any, quirks: Any, body: Any) -> _http.Source:
            how = provider.how(deadline, wire)
            url = provider.base_url + wire.path(self.id, True)
            return _http.stream(provider.client, "POST", url, body, idle_timeout=provider.idle_timeout, **how)

        with Blaming(self) as blaming:
            source, (wire, quirks), told = self._mended(request, True, ask)
            with source:
                blaming.decoder = decoder = wire.StreamDecoder(quirks, request.schema)
                for deltas in _deltas(source, wire.FRAMING, decoder, deadline):
                    source.beat()
                    yield from deltas
                source.drain()
            yield from decoder.close()
            response = decoder.response()
        yield Done(self.stamped(response, told, request, quirks))

    def _mended(
        self, request: Request, stream: bool, ask: Callable[[Any, Any, Any], Any]
    ) -> tuple[Any, tuple[Any, Any], list[str]]:
        """(what was asked for, the wire and the quirks with which it came, what was not sent as asked).

        What the server calls unsupported is mended, once; what will not change is remembered.
        """
        self._provider.ready()
        pictured = bool(images_of(request.messages))
        wire, quirks = self.way
        lasting: list[Any] = []
        body, told = self._encoded(request, stream, wire, quirks)
        while True:
            try:
                answer = ask(wire, quirks, _json.dumps_sparingly(body) if pictured else body)
                break
            except APIError as exc:
                found = wire.remedy(exc, body, quirks)
                if found is not None:
                    quirks = _with(quirks, found)
                    lasting += [found] if found.lasting else []
                else:
                    other = self.other_way(exc, wire)
                    if other is None:
                        raise
                    (wire, quirks), lasting = other, []
                sent, (body, told) = body, self._encoded(request, stream, wire, quirks)
                if body == sent:
                    raise  # the caller's `extra` insists
        self._learn(wire, quirks, lasting)
        return answer, (wire, quirks), told

    def _encoded(self, request: Request, stream: bool, wire: Any, quirks: Any) -> tuple[Any, list[str]]:
        """(the body of a request, what of it is not sent as asked)."""
        told: list[str] = []
        return wire.encode(request, self.id, quirks, target=self.name, stream=stream, told=told), told

    def _learn(self, wire: Any, quirks: Any, lasting: list[Any]) -> None:
        """Remember what led to an answer: the wire, and what is to be mended from now on."""
        now, known = self.way
        if wire is not now:
            self.way = (wire, quirks)
        elif lasting:
            for found in lasting:
                known = _with(known, found)
            self.way = (now, known)

    def other_way(self, error: APIError, wire: Any) -> tuple[Any, Any] | None:
        """The other wire, and the quirks there, over which an error of one says that the model is asked."""
        return None

    def stamped(self, response: Response, told: list[str], request: Request, quirks: Any) -> Response:
        """The response with its target's name on it, and what was left out."""
        # Both were made for this answer, and nobody else has seen them yet.
        response.message.__dict__["origin"] = self.name
        response.__dict__.update(model=self.name, warnings=(*response.warnings, *told))
        return response

    def __reduce__(self) -> tuple[Any, ...]:
        return self._provider.__reduce__()


def _with(quirks: Any, remedy: Any) -> Any:
    """Quirks with one more thing learned."""
    return replace(quirks, remedies={**quirks.remedies, remedy.said: remedy.instead})


class Blaming:
    """Errors that leave a target name it, hold no token, and carry what had arrived."""

    __slots__ = ("_target", "decoder")

    def __init__(self, target: Any) -> None:
        self._target = target
        self.decoder: Any = None

    def __enter__(self) -> Blaming:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, MajordomoError):
            error.target = error.target or self._target.name
            if self.decoder is not None:
                error.partial = error.partial or self.decoder.partial
            self._target._provider.blot(error)


def _deltas(source: _http.Source, framing: str, decoder: Any, deadline: Deadline) -> Iterator[list[Any]]:
    """The deltas of a stream until its end; what goes wrong behind a finished answer does no harm."""
    with loading:
        from .._events import DECODERS

    events = DECODERS[framing]()
    feed, take = events.feed, decoder.feed
    finished = False  # as it seems by now: a server may say so too early, and go on
    try:
        for chunk in source:
            said = False
            for name, data in feed(chunk):
                deadline.require()  # a chunk may hold thousands of events
                found = take(name, data)
                if found:
                    said = True
                    yield found
                if decoder.done:
                    return
            if decoder.finished is not finished or (finished and said):
                finished = decoder.finished
                source.limit(Deadline(min(AFTER_FINISH, deadline.require()), deadline.limit) if finished else None)
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

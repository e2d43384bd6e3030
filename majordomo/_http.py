"""The transport: `urllib.request` in, JSON or bytes out, every failure an error of ours.

`do_json` asks and reads one JSON answer, `fetch` the same without reading it as JSON,
`stream` hands out the bytes as they come. All three take a `Client`, which owns what
may be shared: kept connections, the TLS context, the proxies of the environment. The
opener has one handler of our own and none of urllib's: nothing is followed, nothing is
sent that was not asked for, and a status is never an exception from below.
"""

from __future__ import annotations

import http.client
import os
import socket
import urllib.request
from urllib.parse import unquote, urlsplit

from . import _json
from ._connection import Connection, Route, is_foreign, now, quiet
from ._failures import api_error, translated
from ._frozen import copied
from ._loading import loading
from .deadline import Deadline, Pulse
from .dsn import split_host
from .errors import ConfigError, MajordomoError, ProtocolError, TransportError, TruncatedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping
    from typing import Any

    from ._failures import ReadError
    from ._incoming import Incoming

CAP = 64 * 1024 * 1024  # bytes of an answer
PIECE = 64 * 1024  # bytes of an answer that are handled at once
IDLE_CAP = 60.0  # seconds after which a kept connection is not trusted any more
MOST_URLS, LONGEST_URL = 1000, 2000  # that are known, taken apart; and the characters of one
KEPT = 32  # idle connections to one server
GRACE = 0.02  # seconds a finished stream gets for its last bytes, so that the connection can serve again

_LOOPBACK = ("localhost", "::1", "0.0.0.0", "::")


class Client:
    """What requests share: kept connections, the TLS context, proxies, the User-Agent.

    ssl_context: used as it is, made when first needed if None. ca: a file of CA
    certificates to trust instead of the system's. proxies: False switches them off.
    """

    def __init__(
        self,
        *,
        user_agent: str = "majordomo",
        ssl_context: ssl.SSLContext | None = None,
        ca: str | None = None,
        proxies: bool = True,
    ) -> None:
        self.user_agent = user_agent
        self._context = ssl_context
        self._ca = ca
        self._proxies: dict[str, str] | None = None if proxies else {}
        self._servers: dict[tuple[str, str], _Server] = {}
        self._requests: dict[str, urllib.request.Request] = {}
        self._pid = os.getpid()
        self._opener = urllib.request.OpenerDirector()
        self._opener.addheaders = []
        self._opener.add_handler(_Handler(self))

    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | bytearray | None,
        deadline: Deadline | Pulse,
    ) -> Answer:
        """Send a request; the answer's head has come, its body has not been read."""
        request = self._request(url)
        request.data, request.method, request.headers = body, method, dict(headers)
        request.deadline = deadline  # type: ignore[attr-defined]
        answer: Answer = self._opener.open(request)
        return answer

    def _request(self, url: str) -> urllib.request.Request:
        """A request for a URL, which is taken apart once: most calls are to the same few."""
        known = self._requests.get(url)
        if known is None:
            known = urllib.request.Request(url, origin_req_host="")  # cookies are not ours
            if len(url) > LONGEST_URL:
                return known
            if len(self._requests) >= MOST_URLS:
                self._requests.clear()
            self._requests[url] = known
        return copied(known)

    def stranger(self) -> Client:
        """A client for a host that a server names: new, and with none of the certificates that this one may hold."""
        return Client(user_agent=self.user_agent, proxies=self._proxies != {})

    def server(self, scheme: str, netloc: str) -> _Server:
        """What is known of a server: the way to it, and its idle connections.

        No lock: a dict's setdefault and a list's pop and append are atomic. A forked child
        drops what its parent keeps; closing its copies says nothing to the servers.
        """
        if self._pid != os.getpid():
            self._servers = {}  # first, or another thread would take the old ones for its own
            self._pid = os.getpid()
        found = self._servers.get((scheme, netloc))
        if found is None:
            host, port = split_host(netloc)
            route = self._route(scheme, host, int(port) if port else 443 if scheme == "https" else 80)
            found = self._servers.setdefault((scheme, netloc), _Server(route, self._pid))
        return found

    def connection(self, server: _Server, deadline: Deadline | Pulse) -> tuple[Connection, bool]:
        """A connection, and whether it has served before."""
        idle = server.idle
        while idle:
            try:
                connection = idle.pop()
            except IndexError:  # another thread was faster
                break
            if now() - connection.used < IDLE_CAP and connection.idle:
                connection.deadline = deadline
                return connection, True
            connection.close()
        return Connection(server.route, deadline, self.context), False

    def context(self) -> ssl.SSLContext:
        """The TLS context; ConfigError if the CA file cannot be read."""
        if self._context is None:
            with loading:  # a fork waits for OpenSSL's own locks, too
                import ssl

                try:
                    made = ssl.create_default_context(cafile=self._ca)
                except OSError as exc:  # ssl.SSLError is one
                    raise ConfigError(f"the CA file {self._ca or 'of the environment'} cannot be read: {exc}") from exc
                made.sslsocket_class = quiet(ssl.SSLSocket)
                self._context = made
        return self._context

    def _route(self, scheme: str, host: str, port: int) -> Route:
        """The way to a server, through the environment's proxy unless it is on this machine."""
        secure = scheme == "https"
        if self._proxies == {} or is_loopback(host):
            return Route(host, port, secure)
        if self._proxies is None:
            self._proxies = urllib.request.getproxies_environment()  # those of macOS break forks
        proxy = self._proxies.get(scheme) or self._proxies.get("all")
        bypassed = urllib.request.proxy_bypass_environment  # type: ignore[attr-defined]  # it is on all systems
        if not proxy or bypassed(f"{host}:{port}"):
            return Route(host, port, secure)
        return Route(host, port, secure, _proxy(proxy))


class _Server:
    """A server as a client knows it: how to get there, and the connections that are idle."""

    __slots__ = ("idle", "pid", "route")

    def __init__(self, route: Route, pid: int) -> None:
        self.route = route
        self.pid = pid
        self.idle: list[Connection] = []

    def keep(self, connection: Connection) -> None:
        """Take back a connection whose answer was read to its end."""
        if len(self.idle) < KEPT and self.pid == os.getpid():
            connection.used = now()
            self.idle.append(connection)
        else:
            connection.close()


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: never behind a proxy."""
    bare = host.strip("[]").lower().rstrip(".")
    if bare in _LOOPBACK or bare.endswith(".localhost"):
        return True
    if bare[:1].isdigit() and ":" not in bare:  # 127.1, 2130706433, 0x7f000001: as the system reads them
        try:
            return socket.inet_aton(bare)[:1] in (b"\x7f", b"\x00")
        except OSError:
            return False
    if ":" not in bare:
        return False
    with loading:
        from ipaddress import IPv6Address

    try:
        address = IPv6Address(bare)
    except ValueError:
        return False
    inner = address.ipv4_mapped
    return address.is_loopback or address.is_unspecified or (inner is not None and inner.is_loopback)


def _proxy(url: str) -> tuple[str, int, str]:
    """A proxy's URL as (host, port, Proxy-Authorization)."""
    try:
        split = urlsplit(url if "://" in url else "http://" + url)
        host, port = split.hostname, split.port or (443 if split.scheme == "https" else 80)
    except ValueError:
        host, port, split = None, 0, urlsplit("")
    if not host or split.scheme not in ("http", "https"):
        kind = split.scheme if split.scheme.startswith("socks") else "this"
        raise ConfigError(f"the environment names a proxy that cannot be used ({kind} URL); try ?proxy=off")
    authorization = ""
    if split.username is not None:
        with loading:
            from base64 import b64encode

        pair = f"{unquote(split.username)}:{unquote(split.password or '')}"
        authorization = "Basic " + b64encode(pair.encode()).decode("ascii")
    return (f"[{host}]" if ":" in host else host), port, authorization


class _Handler(urllib.request.BaseHandler):
    """Opens http and https URLs over kept connections."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def http_open(self, request: Any) -> Answer:
        client, deadline = self._client, request.deadline
        server = client.server(request.type, request.host)
        route = server.route
        plain_proxy = route.proxy if not route.secure else None
        path = request.selector if request.selector[:1] == "/" else "/" + request.selector
        target = f"{request.type}://{request.host}{path}" if plain_proxy else path  # never with a fragment
        if not (target + request.host).isprintable() or " " in target + request.host:
            raise TransportError("a URL holds characters that none may hold; nothing was sent")
        lines = [f"{request.get_method()} {target} HTTP/1.1", f"Host: {request.host}"]
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        if plain_proxy and plain_proxy[2]:
            lines.append(f"Proxy-Authorization: {plain_proxy[2]}")
        if request.data is not None or request.get_method() != "GET":
            lines.append(f"Content-Length: {len(request.data or b'')}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        connection, reused = client.connection(server, deadline)
        while True:
            try:
                return Answer(server, connection, connection.exchange(head, request.data, request.get_method()))
            except (ConnectionError, http.client.BadStatusLine) as exc:
                # RemoteDisconnected is both. A connection that died while nobody used it
                # may be replaced, once, and only while no byte of the answer has come.
                died = isinstance(exc, ConnectionError) and not is_foreign(exc)
                gone = died and reused and not connection.heard
                connection.close()
                if not gone:
                    raise
            except BaseException:
                connection.close()
                raise
            connection, reused = Connection(route, deadline, client.context), False

    https_open = http_open


class Answer:
    """An answer whose head has come.

    status, headers: as HTTP has them; the body is read once, by `read` or `chunks`.
    Whoever holds an `Answer` closes it; read to its end, its connection serves again.
    """

    def __init__(self, server: _Server, connection: Connection, inner: Incoming) -> None:
        self._server, self._connection, self._inner = server, connection, inner
        self.status = inner.status
        self.headers = inner.headers
        self._encoding = inner.headers.get("content-encoding", "").lower() or "identity"

    def chunks(self, cap: int = CAP) -> Iterator[bytes]:
        """The body, piece by piece as it comes.

        Raises TruncatedError if it ends before its announced end, ProtocolError above `cap` bytes.
        """
        inner, total = self._inner, 0
        announced = inner.left
        if announced is not None and announced > cap:
            raise _too_big(cap)
        read1 = inner.read1
        packed = None if self._encoding == "identity" else _Packed(self._encoding)
        while True:
            chunk = read1(PIECE)
            if not chunk:
                break
            for piece in (chunk,) if packed is None else self._unpacked(packed, chunk):
                total += len(piece)
                if total > cap:
                    raise _too_big(cap)
                yield piece
        if packed is not None and not packed.whole:
            raise TruncatedError(f"the answer was cut: its {self._encoding[:40]} has no end")
        if inner.left:
            raise TruncatedError(f"the answer was cut: {inner.left} of {announced} bytes did not come")
        self._keep()

    def _unpacked(self, packed: _Packed, chunk: bytes) -> Iterator[bytes]:
        for piece in packed.feed(chunk):
            self.left()  # what is unpacked has passed no socket
            yield piece

    def read(self, cap: int = CAP) -> bytes:
        """The whole body; raises as `chunks` does."""
        inner = self._inner
        if inner.left is not None and inner.left <= cap and self._encoding == "identity":
            body = inner.read()
            self._keep()
            return body
        pieces = bytearray()  # a list of tiny chunks would take many times their size
        for chunk in self.chunks(cap):
            pieces += chunk
        return bytes(pieces)

    def limit(self, deadline: Deadline | Pulse) -> None:
        """From here on, this deadline holds."""
        self._connection.deadline = deadline

    def left(self) -> float:
        """Seconds until the deadline; raises DeadlineError."""
        return self._connection.deadline.require()

    def drain(self) -> None:
        """The content has ended: if the last bytes of the body are at hand, keep the connection."""
        connection, inner = self._connection, self._inner
        if connection is _LET_GO:
            return
        if inner.ended:
            return self._keep()
        connection.deadline = Deadline(GRACE)
        try:
            if not inner.closes and not inner.read1(1024) and inner.ended:
                return self._keep()
        except (MajordomoError, OSError, http.client.HTTPException) as exc:
            if is_foreign(exc):
                raise
        self.close()

    def _keep(self) -> None:
        inner = self._inner
        if inner.closes or not inner.ended:
            return self.close()
        connection, self._connection = self._connection, _LET_GO
        if connection is not _LET_GO:
            self._server.keep(connection)

    def close(self) -> None:
        """Let go of the connection, if it is still held."""
        connection, self._connection = self._connection, _LET_GO
        connection.close()

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _Nothing:
    def close(self) -> None:
        pass


_LET_GO: Any = _Nothing()


def _too_big(cap: int) -> ProtocolError:
    return ProtocolError(f"the answer is larger than {cap // 2**20} MiB")


class _Packed:
    """A body that is compressed though nobody asked for it, unpacked piece by piece: few bytes may hold very many."""

    def __init__(self, encoding: str) -> None:
        with loading:
            import zlib

        if encoding not in ("gzip", "x-gzip", "deflate"):
            raise ProtocolError(f"the answer is encoded as {encoding[:40]!r}, which was not asked for")
        self._encoding, self._zlib = encoding, zlib
        self._inner: Any = None

    @property
    def whole(self) -> bool:
        """Whether what came has an end, or nothing has come."""
        return self._inner is None or self._inner.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What these bytes hold, in pieces; ProtocolError if they are not what they should be."""
        while data:
            if self._inner is not None and self._inner.eof and data[:1] != b"\x1f":
                return  # what stands behind the last gzip means nothing
            if self._inner is None or self._inner.eof:
                self._inner = self._zlib.decompressobj(47)  # gzip or zlib, told apart by the header
            try:
                plain = self._inner.decompress(data, PIECE)
            except self._zlib.error as exc:
                raise ProtocolError(f"the answer says it is {self._encoding} and is not") from exc
            data = self._inner.unconsumed_tail or self._inner.unused_data
            yield plain


_ASKING = {"Accept": "application/json", "Accept-Encoding": "identity"}
_TELLING = {"Content-Type": "application/json", **_ASKING}


def do_json(client: Client, method: str, url: str, payload: Any = None, **how: Any) -> Any:
    """Send `payload` as JSON and read the answer as JSON; takes what `fetch` takes.

    Raises what `fetch` raises, and ProtocolError if a 2xx is not JSON.
    """
    return _json.loads(fetch(client, method, url, payload, **how))


def fetch(client: Client, method: str, url: str, payload: Any = None, **how: Any) -> bytes:
    """Send `payload` as JSON and give the body of the 2xx answer as bytes; takes what `stream` takes."""
    with stream(client, method, url, payload, **how) as source:
        return source.read()


def stream(
    client: Client,
    method: str,
    url: str,
    payload: Any = None,
    *,
    deadline: Deadline,
    headers: Mapping[str, str] | None = None,
    secret: str | None = None,
    read_error: ReadError | None = None,
    idle_timeout: float | None = None,
    cap: int = CAP,
) -> Source:
    """Send `payload` as JSON (None for no body, bytes as they are) and hand out the 2xx answer as a `Source`.

    secret: a token that the server may echo; it is blotted out of every error.
    read_error: reads (status, body) of an error into (message, code, param, retry_after).
    cap: bytes of the answer above which it is a ProtocolError. Raises APIError for any
    other status, 3xx included, TransportError, TruncatedError, ProtocolError and
    DeadlineError; nothing from below.
    """
    if payload is None or isinstance(payload, (bytes, bytearray)):
        body = payload
    else:
        body = _json.dumps(payload).encode("ascii")
    sent = {**(_ASKING if method == "GET" else _TELLING), "User-Agent": client.user_agent, **(headers or {})}
    return Source(client, method, url, sent, body, deadline, secret, read_error, idle_timeout, cap)


class Source:
    """A 2xx answer, open: an iterator of the bytes as they come, and a context manager."""

    def __init__(
        self,
        client: Client,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | bytearray | None,
        deadline: Deadline,
        secret: str | None,
        read_error: ReadError | None,
        idle_timeout: float | None,
        cap: int,
    ) -> None:
        self._secret, self._url, self._cap = secret, url, cap
        self._pulse: Pulse | None = None
        self._limit: Deadline | Pulse = deadline
        if idle_timeout is not None:
            self._limit = self._pulse = Pulse(deadline, idle_timeout)
        with _Border(url, secret):
            self._answer = answer = client.open(method, url, headers, body, self._limit)
            if not 200 <= answer.status < 300:
                with answer:
                    raise api_error(answer, url, secret, read_error)

    def beat(self) -> None:
        """Content has come; counts for `idle_timeout`."""
        if self._pulse is not None:
            self._pulse.beat()

    def read(self) -> bytes:
        """The whole body."""
        with _Border(self._url, self._secret):
            return self._answer.read(self._cap)

    def __iter__(self) -> Iterator[bytes]:
        with _Border(self._url, self._secret):
            yield from self._answer.chunks(self._cap)

    def limit(self, deadline: Deadline | None) -> None:
        """From here on, this deadline holds; the first one again if None."""
        self._answer.limit(deadline or self._limit)

    def drain(self) -> None:
        """No more content is wanted; keep the connection if the body ends here."""
        self._answer.drain()

    def close(self) -> None:
        """Let go of the connection."""
        self._answer.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *error: object) -> None:
        self._answer.close()


class _Border:
    """What goes wrong below leaves it as an error of ours, its cause kept, no token in it."""

    __slots__ = ("_secret", "_url")

    def __init__(self, url: str, secret: str | None) -> None:
        self._url, self._secret = url, secret

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if not isinstance(error, Exception) or (is_foreign(error) and not isinstance(error, MajordomoError)):
            return
        ours = translated(error, self._url, self._secret)
        if ours is not error:
            raise ours from error

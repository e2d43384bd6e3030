"""One connection to a server, every operation of which ends by a deadline.

An answer is read through a buffer that asks the deadline before each `recv`, so that a
status line, a header or a body that drips in cannot outlast it; connecting, tunnelling,
TLS and sending ask the same deadline. The connection also remembers whether a byte of
the answer has arrived: only before the first one may a request be sent again on a fresh
connection.
"""

from __future__ import annotations

import io
import os
import select
import socket
import time
from functools import lru_cache
from http.client import HTTPException

from ._incoming import MOST_INFORMATIONAL, Incoming, skip_informational
from ._loading import loading
from .deadline import Deadline
from .errors import TransportError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from dataclasses import dataclass, field
    from typing import Any, Callable, Union

    from .deadline import Pulse

    Limit = Union[Deadline, Pulse]
else:
    from ._frozen import dataclass, field

CONNECT_TIMEOUT = 10.0
LONGEST_WAIT = 86400.0  # of one operation; sockets take no infinity
BUFFER = 65536
CHUNK = 262144  # of an upload, between two looks at whether the server has answered already
MOST_BYTES = 1 << 30  # of one answer: of chunks without end, say, that hold next to nothing
HASTE = 0.1  # seconds below which a socket is told exactly how long it may wait


@dataclass(frozen=True)
class Route:
    """How to get to a server: the key under which a kept connection may serve again.

    proxy: `(host, port, authorization or "")` or None. secure: TLS to the server.
    """

    host: str
    port: int
    secure: bool = False
    proxy: tuple[str, int, str] | None = field(default=None, repr=False)

    @property
    def tunnelled(self) -> bool:
        """Whether the proxy is asked for a tunnel (TLS) and not for an absolute URL."""
        return self.secure and self.proxy is not None


class _Quiet:
    """A socket that closes when it is forgotten, in silence.

    Kept connections are nobody's to close when a program ends or its registry goes; the
    socket's own finalizer would warn, whichever of its owners is collected first.
    """

    def __del__(self) -> None:
        try:
            self.close()  # type: ignore[attr-defined]
        except AttributeError:
            pass  # it was never opened


class _Socket(_Quiet, socket.socket):
    """A plain one."""


class _Wire(io.RawIOBase):
    """The socket as a buffer may read it: each `recv` asks the deadline first.

    Holds no reference to its `Connection`, which could not be let go of in time otherwise.
    """

    def __init__(self, sock: Any, deadline: Limit) -> None:
        self.sock = sock
        self.deadline = deadline
        self.heard = False
        self.quiet = False
        self.room = MOST_BYTES  # that the answer under way may still take
        self._patience = 0.0  # what the socket's timeout is

    def readable(self) -> bool:
        return True

    def wait(self) -> float:
        """Seconds that the next operation may take; raises DeadlineError."""
        return min(self.deadline.require(), LONGEST_WAIT)

    def arm(self) -> None:
        """Let the socket's next operation end by the deadline; raises DeadlineError.

        Telling a socket its timeout is a system call. It is told a little less than there
        is, and not again while that holds; whoever waited for so long waits again.
        """
        left = self.wait()
        if not left / 2 <= self._patience <= left:
            self._patience = left * 0.9 if left > HASTE else left
            self.sock.settimeout(self._patience)

    def secured(self, sock: Any) -> None:
        """Go on over a TLS socket, which is told its own timeout."""
        self.sock, self._patience = sock, 0.0

    def readinto(self, buffer: Any) -> int | None:
        if self.quiet:
            return None
        while True:
            self.arm()
            try:
                count: int = self.sock.recv_into(buffer)
            except socket.timeout as exc:
                if is_foreign(exc):
                    raise
                continue  # the next look at the deadline says whether that was all
            if count:
                self.heard = True
                self.room -= count
                if self.room < 0:
                    raise HTTPException("more bytes than any answer has")
            return count


class Connection:
    """A connection with one request under way at most.

    deadline: the limit of the request under way. heard: whether a byte of its answer has
    come. used: when the connection was last let go, in monotonic seconds.
    """

    def __init__(self, route: Route, deadline: Limit, context: Callable[[], ssl.SSLContext]) -> None:
        self._wire: Any = None
        self._still: Callable[[], bool] | None = None
        self._pid = os.getpid()
        self.used = 0.0
        limit = _Nearer(deadline, Deadline(CONNECT_TIMEOUT, "connect"))
        proxy = _where(route) if route.proxy else ""  # as long as it is the one that is spoken to
        try:
            host, port = route.proxy[:2] if route.proxy else (route.host, route.port)
            self._wire = _Wire(_connect(host, port, limit), limit)  # type: ignore[arg-type]
            self._reader = _Buffer(self._wire, BUFFER)
            if route.tunnelled:
                self._tunnel(route)
            proxy = ""
            if route.secure:
                self._secure(route.host, context())
        except socket.timeout as exc:
            self.close()
            if is_foreign(exc):
                raise
            deadline.require()
            raise TransportError(f"{_where(route)} gave no connection within {CONNECT_TIMEOUT:.0f} s") from exc
        except BaseException as exc:
            self.close()
            if proxy:
                exc.where = proxy  # type: ignore[attr-defined]  # for `_failures`, which knows the URL alone
            raise
        self._wire.deadline = deadline

    @property
    def heard(self) -> bool:
        """Whether a byte of the answer to the request under way has come."""
        return bool(self._wire.heard)

    @property
    def deadline(self) -> Limit:
        """The limit of the request under way."""
        found: Limit = self._wire.deadline
        return found

    @deadline.setter
    def deadline(self, limit: Limit) -> None:
        self._wire.deadline = limit

    def _tunnel(self, route: Route) -> None:
        assert route.proxy
        head = f"CONNECT {route.host}:{route.port} HTTP/1.1\r\nHost: {route.host}:{route.port}\r\n"
        if route.proxy[2]:
            head += f"Proxy-Authorization: {route.proxy[2]}\r\n"
        self.send(head.encode("latin-1") + b"\r\n")
        answer = Incoming(self._reader, "CONNECT")
        if not 200 <= answer.status < 300:
            raise TransportError(
                f"the proxy {route.proxy[0]}:{route.proxy[1]} refused a tunnel: HTTP {answer.status}"
                "; mend HTTPS_PROXY, or switch the proxy off with ?proxy=off",
                code=None if answer.status in (502, 503, 504) else "proxy_refused",  # those say that the target is down
            )
        if self._reader.waiting():  # it would be taken for what the server says behind TLS
            raise TransportError(f"the proxy {route.proxy[0]}:{route.proxy[1]} spoke before the tunnel had begun")

    def _secure(self, host: str, context: ssl.SSLContext) -> None:
        with loading:  # `ssl` imports it when it meets a name, where no fork would wait
            import encodings.idna  # noqa: F401
            import ssl

        wire = self._wire
        try:
            wire.secured(
                context.wrap_socket(wire.sock, server_hostname=host.strip("[]"), do_handshake_on_connect=False)
            )
            if not isinstance(wire.sock, _Quiet):  # the context is somebody else's
                wire.sock.__class__ = quiet(type(wire.sock))  # type: ignore[arg-type]
            self._shake_hands()
        except ssl.SSLCertVerificationError as exc:
            reason = getattr(exc, "verify_message", "") or exc.reason
            raise TransportError(
                f"the certificate of {host} was not verified: {reason}; name its CA with ?ca=FILE or SSL_CERT_FILE",
                code="certificate",
            ) from exc

    def _shake_hands(self) -> None:
        wire = self._wire
        while True:
            wire.arm()
            try:
                return wire.sock.do_handshake()  # type: ignore[no-any-return]
            except socket.timeout as exc:
                if is_foreign(exc):
                    raise

    def exchange(self, head: bytes, body: bytes | bytearray | None, method: str) -> Incoming:
        """Send a request and read the answer's head.

        A server that answers before it has read all of a large body (413) is heard.
        """
        self._wire.heard, self._wire.room = False, MOST_BYTES
        failure: OSError | None = None
        try:
            whole = self.send(head if body is None else head + body if len(body) < BUFFER else head)
            if body is not None and len(body) >= BUFFER:
                whole = self.send(body)
        except OSError as exc:
            if isinstance(exc, TimeoutError) or is_foreign(exc):
                raise
            failure, whole = exc, False
        try:
            answer = Incoming(self._reader, method)
        except (OSError, HTTPException) as exc:
            if failure is not None and not isinstance(exc, TimeoutError) and not is_foreign(exc):
                raise failure from exc
            raise
        if not whole:
            answer.closes = True
        return answer

    def send(self, data: bytes | bytearray) -> bool:
        """Send it all; False if the server answered before it had everything."""
        view, wire = memoryview(data), self._wire
        while view:
            if len(data) > CHUNK and not self._may_send():
                return False
            wire.arm()
            try:
                view = view[wire.sock.send(view[:CHUNK]) :]
            except socket.timeout as exc:
                if is_foreign(exc):
                    raise  # else the next look at the deadline says whether that was all
        return True

    def _may_send(self) -> bool:
        """Wait until the server takes more; False if it answers instead.

        Not for TLS, where what can be read need not be the answer.
        """
        wire, reader = self._wire, self._reader
        if hasattr(wire.sock, "do_handshake"):
            return True
        for _ in range(MOST_INFORMATIONAL):
            if not reader.waiting() and not _speaks(wire.sock, wire.wait()):
                return True
            if not skip_informational(reader):
                break
        return False

    @property
    def idle(self) -> bool:
        """Whether nothing has come since the last answer: no end, and no bytes nobody asked for."""
        try:
            if self._still is None:
                self._still = _watch(self._wire.sock)
            return not self._reader.waiting() and self._still()
        except (OSError, ValueError):
            return False

    def close(self) -> None:
        """Let go of the socket."""
        wire, self._wire = self._wire, _CLOSED
        if wire is not None and wire is not _CLOSED:
            try:
                if self._pid == os.getpid():  # a forked child may hold a copy; the server must hear of it all the same
                    wire.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            wire.sock.close()


class _Closed:
    """What a closed connection has for a socket."""

    heard = True
    sock = io.BytesIO()


_CLOSED = _Closed()


# Where what a socket raises comes from; from any other place it is the program's own.
_OURS = frozenset(
    [
        "socket",
        "ssl",
        "select",
        "selectors",
        "codecs",
        "encodings.idna",
        "ipaddress",
        "http.client",
        "urllib.request",
        "urllib.parse",
    ]
)


def is_foreign(error: BaseException) -> bool:
    """Whether an exception was raised by a stranger that ran in between: a signal handler, say."""
    package = __name__.rpartition(".")[0]
    sockets = socket.socket.__module__.partition(".")[0]  # gevent's, say, where it has put its own in their place
    familiar = (package + ".", sockets + ".", "email.", "importlib.")
    trace = error.__traceback__
    while trace is not None:
        frame, trace = trace.tb_frame, trace.tb_next
        name = str(frame.f_globals.get("__name__"))
        if name not in _OURS and name != package and not name.startswith(familiar):
            return trace is None or not _is_within_tls(error)
    return False


def _is_within_tls(error: BaseException) -> bool:
    """Whether an exception comes from a handshake, where a caller's own kind of context may stand in between."""
    trace, secure = error.__traceback__, Connection._secure.__code__
    while trace is not None and trace.tb_frame.f_code is not secure:
        trace = trace.tb_next
    return trace is not None


@lru_cache(maxsize=8)
def quiet(cls: Any) -> Any:
    """A class of TLS sockets that is to its base what `_Socket` is to `socket`."""
    return type("_TLSSocket", (_Quiet, cls), {})


class _Nearer:
    """Two limits, the nearer of which counts; the inner one as a socket's timeout would."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, outer: Limit, inner: Deadline) -> None:
        self._outer, self._inner = outer, inner

    def require(self) -> float:
        left = self._inner.left()
        outer = self._outer.require()
        if left <= 0:
            raise socket.timeout("timed out while connecting")
        return min(left, outer)


class _Buffer(io.BufferedReader):
    """A buffered reader that outlives the answers read from it; the connection closes the socket."""

    def close(self) -> None:
        pass

    def flush(self) -> None:
        pass

    def waiting(self) -> bool:
        """Whether bytes lie in the buffer that nobody has read."""
        raw: Any = self.raw
        raw.quiet = True
        try:
            return bool(self.peek(1))
        finally:
            raw.quiet = False


def _connect(host: str, port: int, limit: _Nearer) -> socket.socket:
    """A TCP connection to the first address that answers, each having a fair part of the time."""
    addresses = _look_up(host.strip("[]"), port, limit)
    failure: OSError | None = None
    for position, (family, kind, protocol, _, address) in enumerate(addresses):
        wait = limit.require() / (len(addresses) - position)
        try:
            sock = _Socket(family, kind, protocol)
            sock.settimeout(min(wait, LONGEST_WAIT))
            sock.connect(address)  # a socket that does not get there is forgotten, and closes
            _tune(sock)
            return sock
        except OSError as exc:
            if is_foreign(exc):
                raise
            failure = exc
    assert failure is not None
    raise failure


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, seconds in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):  # a model that loads for minutes must outlive a NAT's memory
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), seconds)


def _look_up(host: str, port: int, limit: _Nearer) -> list[Any]:
    """The addresses of a host.

    `getaddrinfo` knows no timeout, so a name is looked up in a short thread, which is
    left behind if it does not end in time. A literal address needs none.
    """
    name = host.encode("ascii")  # as text it would pass through the IDNA codec, a millisecond to import
    if ":" in host or host.rpartition(".")[2].isdigit():
        try:
            return socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except socket.gaierror:
            pass  # a name that looks like an address
    with loading:
        import threading

    found: list[Any] = []

    def ask() -> None:
        try:
            found.append(socket.getaddrinfo(name, port, type=socket.SOCK_STREAM))
        except Exception as exc:  # handed over to the thread that waits
            found.append(exc)

    thread = threading.Thread(target=ask, name="majordomo-getaddrinfo", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the system has no thread to give: better unbounded than not at all
        ask()
    while not found:
        thread.join(min(limit.require(), LONGEST_WAIT))
    if isinstance(found[0], Exception):
        raise found[0]
    if not found[0]:
        raise socket.gaierror(f"no address for {host}")
    return list(found[0])


def _watch(sock: Any) -> Callable[[], bool]:
    """A function that says whether nothing has come from a socket, its end included."""
    pending = getattr(sock, "pending", int)  # what TLS has read and nobody else has: no look at the socket shows it
    if hasattr(select, "poll"):
        poller = select.poll()
        poller.register(sock, select.POLLIN)
        return lambda: not pending() and not poller.poll(0)
    return lambda: not pending() and not select.select([sock], [], [], 0.0)[0]


def _speaks(sock: Any, timeout: float) -> bool:
    """Wait until a socket takes or has something; whether it has."""
    if hasattr(select, "poll"):
        poller = select.poll()
        poller.register(sock, select.POLLIN | select.POLLOUT)
        return any(flags & ~select.POLLOUT for _, flags in poller.poll(min(timeout, LONGEST_WAIT) * 1000))
    return bool(select.select([sock], [sock], [], timeout)[0])


def _where(route: Route) -> str:
    if route.proxy:
        return f"the proxy {route.proxy[0]}:{route.proxy[1]}"
    return f"{route.host}:{route.port}"


def now() -> float:
    """Monotonic seconds, as `Connection.used` has them."""
    return time.monotonic()

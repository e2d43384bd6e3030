"""A loopback server that speaks the wires and misbehaves on demand, for tests.

    from majordomo import Registry
    from majordomo.testing import FakeServer, Reply, Status, hang

    with FakeServer(Status(503), Reply("Hello.")) as server:
        registry = Registry({"LLM_BOX": server.dsn("llama-swap")})
        assert registry.parse("box/any").generate("Hi").text == "Hello."
        assert [seen.json["model"] for seen in server.requests] == ["any", "any"]

Questions to a model, those to draw included, take the next step of the script, in order;
when it is used up they get the default. Everything else (lists, what runs, unloading) is
answered from `models` and `running`, as llama-swap, Ollama, Anthropic and Google do.
What is asked is told by the path: the wires are OpenAI's Chat Completions, Responses and
images, Anthropic's Messages, Gemini's and Ollama's. Nothing leaves 127.0.0.1.

What goes wrong before there is a question is no step of the script. `greeting` is what every
connection gets, before TLS has begun or a word was read; `too_large` is what a request gets
that is larger than `max_body`, before its body was read:

    server.greeting = hang()  # accepts, and never says anything
    server.max_body = 1_000_000  # refuses large pictures while they are being sent
"""

from __future__ import annotations

import json
import socket
import socketserver
import struct
import threading
import time
from http.client import responses as HTTP_REASONS
from http.server import BaseHTTPRequestHandler
from urllib.parse import quote, unquote, urlsplit

from . import _fake as tellers
from ._fake import llamaswap, ollama, openai_images, values
from ._fake.rows import name_of
from ._fake.values import Drawing, Reply, Seen, Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable
    from dataclasses import dataclass
    from typing import Any, Callable, Union

    Step = Union["Reply", "Drawing", "Status", "Raw", "Fault", "Callable[[Seen], Step]"]
else:
    from ._frozen import dataclass

__all__ = [
    "Drawing",
    "FakeServer",
    "Fault",
    "Raw",
    "Reply",
    "Seen",
    "Status",
    "cut",
    "dead_port",
    "drip",
    "endless",
    "hang",
    "redirect",
    "reset",
]

RED = values.RED  # what is drawn where no pictures are given


@dataclass(frozen=True)
class Raw:
    """Exactly these bytes on the connection, which is then closed unless `keep`."""

    data: bytes
    keep: bool = False


@dataclass(frozen=True)
class Fault:
    """Another step gone wrong; see `hang`, `cut`, `reset`, `drip` and `endless`.

    after: how many bytes of the answer are sent before it happens; None for its head; those
    that are not sent, if it is negative. seconds: of pauses.
    """

    kind: str
    step: Any = Raw(b"")
    after: int | None = 0
    seconds: float = 0.0
    data: bytes = b""


def hang(step: Any = Raw(b""), after: int | None = 0) -> Fault:
    """Say and read nothing more, and keep the connection open."""
    return Fault("hang", step, after)


def cut(step: Any = Raw(b""), after: int | None = 0) -> Fault:
    """Close the connection, politely."""
    return Fault("cut", step, after)


def reset(step: Any = Raw(b""), after: int | None = 0) -> Fault:
    """Reset the connection (RST)."""
    return Fault("reset", step, after)


def drip(step: Any, seconds: float = 0.05, after: int | None = 0) -> Fault:
    """Send one byte at a time, with a pause between."""
    return Fault("drip", step, after, seconds)


def endless(data: bytes, step: Any = Raw(b""), after: int | None = 0, seconds: float = 0.0) -> Fault:
    """Send `data` again and again, with a pause between if `seconds`, until the client has had enough."""
    return Fault("endless", step, after, seconds, data)


def redirect(location: str, status: int = 302) -> Status:
    """Send the client elsewhere."""
    return Status(status, b"", {"Location": location})


def dead_port() -> int:
    """A port of 127.0.0.1 at which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class FakeServer:
    """A server on 127.0.0.1, a context manager.

    script: steps for the questions to come. token: what `Authorization: Bearer`, Google's
    `x-goog-api-key` or Anthropic's `x-api-key` must hold, None lets everybody in. models:
    what the lists show: names, or rows with an "id" whose other members (such as Ollama's
    "capabilities") are shown as they are, None for one that is missing. ssl_context:
    speak TLS.

    requests: what was asked, oldest first. connections: how many were accepted.
    running: the models that have been asked and not unloaded. default, drawing: what a
    question gets, and one to draw, that no step is left for. greeting: a step that every
    connection gets instead of all else, None for none. max_body, too_large: the bytes that
    a request may have, None for any number, and what a larger one gets unread.
    """

    def __init__(
        self,
        *script: Any,
        token: str | None = None,
        models: Iterable[str | dict[str, Any]] = ("qwen3:14b", "org/vision:8b"),
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.requests: list[Seen] = []
        self.connections = 0
        self.models = list(models)
        self.running: list[str] = []
        self.default: Any = Reply("Hello from the fake server.")
        self.drawing: Any = Drawing()
        self.greeting: Any = None
        self.max_body: int | None = None
        self.too_large: Any = Status(413, "413 Request Entity Too Large\n", {"Connection": "close"})
        self._shown: dict[str, bytes] = {}
        self._token = token
        self._context = ssl_context
        self._script: list[tuple[str | None, Any]] = [(None, step) for step in script]
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._port = 0
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> FakeServer:
        """Listen; on the port of before, if there was one."""
        self._stopping.clear()
        self._server = _Server(("127.0.0.1", self._port), self)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close everything: from now on connections are refused, until `start`."""
        server, self._server = self._server, None
        if server is None:
            return
        self._stopping.set()
        server.shutdown()
        with self._lock:
            open_now = list(self._open)
        for sock in open_now:
            _hush(sock)
        server.server_close()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> FakeServer:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def host(self) -> str:
        """`127.0.0.1:PORT`."""
        return f"127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """The base URL, without a path."""
        return f"http{'s' if self._context else ''}://{self.host}"

    def dsn(
        self, scheme: str = "llama-swap", token: str | None = "test-token", path: str = "", options: str = ""
    ) -> str:
        """The DSN under which this server is a provider; `+http` is added where it must be."""
        plain = "" if self._context or scheme == "llama-swap" else "+http"
        userinfo = quote(token, safe="") + "@" if token else ""
        return f"{scheme}{plain}://{userinfo}{self.host}{path}{'?' + options if options else ''}"

    def add(self, *steps: Any, path: str | None = None) -> None:
        """More steps for the script; with `path`, for requests to a path that ends so, whatever they ask."""
        with self._lock:
            self._script += [(path, step) for step in steps]

    def reset(self) -> None:
        """Forget what was asked, what was to be answered, what runs and what was drawn."""
        with self._lock:
            self.requests.clear()
            self.running.clear()
            self._script.clear()
            self._shown.clear()

    def drop(self) -> None:
        """Close every connection that is open, as a server does that is tired of waiting."""
        with self._lock:
            open_now = list(self._open)
        for sock in open_now:
            _hush(sock)

    def _step(self, seen: Seen) -> Any:
        """What to answer a request with."""
        path = urlsplit(seen.path).path
        asked = tellers.asks_model(seen)
        with self._lock:
            self.requests.append(seen)
            if not (path.endswith("/health") or path in self._shown or self._lets_in(seen)):
                return tellers.tell_bad_key(seen)
            for number, (wanted, next_step) in enumerate(self._script):
                if path.endswith(wanted) if wanted is not None else asked:
                    step = next_step
                    del self._script[number]
                    break
            else:
                default = self.drawing if tellers.draws(seen) else self.default
                step = default if asked else self._managed(seen, path)
            model = seen.model if asked else ""
            if model and model not in self.running:
                self.running.append(model)
        return step

    def _lets_in(self, seen: Seen) -> bool:
        token = self._token
        return token is None or any(seen.headers.get(name) == form + token for name, form in _KEYS)

    def _show(self, datas: list[bytes]) -> list[str]:
        """Put pictures where everybody can fetch them; the URLs."""
        with self._lock:
            places = [f"/drawn/{len(self._shown) + number}" for number in range(len(datas))]
            self._shown.update(zip(places, datas))
        return [self.url + place for place in places]

    def _managed(self, seen: Seen, path: str) -> Status:
        """What is no question to a model."""
        if seen.method == "GET" and path in self._shown:
            return openai_images.tell_shown(self._shown[path])
        for method, ending, answer in _MANAGED:
            if seen.method == method and path.endswith(ending):
                return answer(self, seen)
        if seen.method == "POST" and "/api/models/unload/" in path:
            return self._unload(unquote(path.partition("/api/models/unload/")[2]))
        if ollama.loads(seen):
            return self._load(seen)
        return Status(404, "404 page not found\n", {"Content-Type": "text/plain; charset=utf-8"})

    def _unload_all(self, answer: Any) -> Status:
        self.running.clear()
        return Status(200, answer)

    def _unload(self, name: str) -> Status:
        if name not in map(name_of, self.models) and name not in self.running:
            return llamaswap.tell_error(404, "model not found", "invalid_request_error", "not_found")
        self.running = [running for running in self.running if running != name]
        return Status(200, "OK")

    def _load(self, seen: Seen) -> Status:
        """Ollama has a model loaded, or unloaded, by a question that asks nothing."""
        name = seen.model
        self.running = [running for running in self.running if running != name]
        if name and not ollama.unloads(seen):
            self.running.append(name)
        return ollama.tell_loaded(seen)


# The headers a key may come in, and what stands before it.
_KEYS = (("authorization", "Bearer "), ("x-goog-api-key", ""), ("x-api-key", ""))

# Method, path's ending, answer. Source: llama-swap of August 2026, `internal/server`; Ollama 0.33, `server/routes.go`.
_MANAGED: tuple[tuple[str, str, Callable[[FakeServer, Seen], Status]], ...] = (
    ("GET", "/models", lambda fake, seen: tellers.list_models(fake.models, seen)),
    ("GET", "/running", lambda fake, seen: llamaswap.tell_running(fake.running)),
    ("GET", "/health", lambda fake, seen: Status(200, "OK")),
    ("GET", "/unload", lambda fake, seen: fake._unload_all("OK")),
    ("POST", "/api/models/unload", lambda fake, seen: fake._unload_all({"msg": "ok"})),
    ("GET", "/api/tags", lambda fake, seen: ollama.tell_tags(fake.models)),
    ("GET", "/api/ps", lambda fake, seen: ollama.tell_ps(fake.models, fake.running)),
    ("POST", "/api/show", lambda fake, seen: ollama.tell_show(fake.models, seen)),
    ("GET", "/api/version", lambda fake, seen: ollama.tell_version()),
)


def _hush(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], fake: FakeServer) -> None:
        self.fake = fake
        super().__init__(address, _Handler)

    def get_request(self) -> tuple[Any, Any]:
        sock, address = super().get_request()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.fake._context is not None and self.fake.greeting is None:
            sock = self.fake._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return sock, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that went away, which tests provoke


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        fake = self.server.fake
        with fake._lock:
            fake.connections += 1
            fake._open.add(self.request)
        super().setup()
        if hasattr(self.request, "do_handshake"):
            self.request.do_handshake()

    def handle(self) -> None:
        greeting = self.server.fake.greeting
        if greeting is None:
            return super().handle()
        self._play(greeting, Seen("", "", {}, b""))

    def finish(self) -> None:
        with self.server.fake._lock:
            self.server.fake._open.discard(self.request)
        try:
            super().finish()
        except OSError:
            pass

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self) -> None:
        fake, length = self.server.fake, int(self.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        if fake.max_body is not None and length > fake.max_body:
            seen = Seen(self.command, self.path, headers, b"")
            fake.requests.append(seen)
            self._play(fake.too_large, seen)
            self.close_connection = True  # what was not read would be taken for the next request
            return
        seen = Seen(self.command, self.path, headers, self.rfile.read(length))
        self._play(fake._step(seen), seen)

    do_GET = do_POST = do_PUT = do_DELETE = _answer

    def _play(self, step: Any, seen: Seen) -> None:
        while callable(step):
            step = step(seen)
        if isinstance(step, Fault):
            return self._go_wrong(step, seen)
        for piece in self._render(step, seen):
            self.connection.sendall(piece)

    def _render(self, step: Any, seen: Seen) -> list[bytes]:
        """A step as the pieces in which its bytes are sent."""
        if isinstance(step, Raw):
            self.close_connection = not step.keep
            return [step.data]
        if isinstance(step, Reply):
            step = tellers.tell(step, seen)
        if isinstance(step, Drawing):
            step = tellers.tell_drawing(step, seen, self.server.fake._show)
        if isinstance(step, Fault):
            return self._render(step.step, seen)
        return _rendered(step)

    def _go_wrong(self, fault: Fault, seen: Seen) -> None:
        sock, stopping = self.connection, self.server.fake._stopping
        pieces = self._render(fault.step, seen)
        data = b"".join(pieces)
        after = len(pieces[0]) if fault.after is None else fault.after
        self.close_connection = True
        sock.sendall(data[:after])
        if fault.kind == "drip":
            for position in range(after if after >= 0 else len(data) + after, len(data)):
                if stopping.wait(fault.seconds):
                    return
                sock.sendall(data[position : position + 1])
        elif fault.kind == "endless":
            block = fault.data * (1 if fault.seconds else max(1, 65536 // max(1, len(fault.data))))
            while not stopping.wait(fault.seconds):
                sock.sendall(block)
        elif fault.kind == "reset":
            time.sleep(0.02)  # what was sent before must have a chance to be read
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.server.fake._open.discard(sock)
            sock.close()
        elif fault.kind == "hang":
            _linger(sock, stopping)


def _linger(sock: socket.socket, stopping: threading.Event) -> None:
    """Keep a connection open and read nothing from it, until the client has gone; with TLS, until the end."""
    if hasattr(sock, "do_handshake"):  # which cannot be looked into
        stopping.wait()
    sock.settimeout(0.05)
    while not stopping.is_set():
        try:
            if not sock.recv(1, socket.MSG_PEEK):
                return
            stopping.wait(0.05)
        except socket.timeout:
            continue


def _rendered(step: Status) -> list[bytes]:
    """An HTTP answer as bytes: its head, then its body."""
    body, headers = step.body, dict(step.headers)
    pieced = isinstance(body, list) and bool(body) and all(isinstance(piece, bytes) for piece in body)
    if isinstance(body, (dict, list)) and not pieced:
        body = json.dumps(body).encode()
        headers.setdefault("Content-Type", "application/json")
    elif isinstance(body, str):
        body = body.encode()
    names = {name.lower() for name in headers}
    chunked = isinstance(body, list) or "chunked" in headers.get("Transfer-Encoding", "")
    if chunked and "transfer-encoding" not in names:
        headers["Transfer-Encoding"] = "chunked"
    elif not chunked and "content-length" not in names:
        headers["Content-Length"] = str(len(body))
    lines = [f"HTTP/1.1 {step.status} {HTTP_REASONS.get(step.status, '')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    if not chunked:
        return [head, body]
    pieces = body if isinstance(body, list) else [body]
    return [head, *[b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece], b"0\r\n\r\n"]

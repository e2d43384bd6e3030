"""A loopback server that speaks the wires and misbehaves on demand, for tests.

    from majordomo import Registry
    from majordomo.testing import FakeServer, Reply, Status, hang

    with FakeServer(Status(503), Reply("Hello.")) as server:
        registry = Registry({"LLM_BOX": server.dsn("llama-swap")})
        assert registry.parse("box/any").generate("Hi").text == "Hello."
        assert [seen.json["model"] for seen in server.requests] == ["any", "any"]

Questions to a model, those to draw included, take the next step of the script, in order;
when it is used up they get the default. Everything else (lists, what runs, unloading) is
answered from `models` and `running`, as llama-swap does. Nothing leaves 127.0.0.1.
"""

from __future__ import annotations

import json
import socket
import socketserver
import struct
import threading
import time
from base64 import b64decode, b64encode
from http.client import responses as HTTP_REASONS
from http.server import BaseHTTPRequestHandler
from urllib.parse import quote, unquote, urlsplit

from .errors import UnsupportedError
from .llm import Image, Response, ToolCall, Usage, sniff

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Sequence
    from dataclasses import dataclass, field
    from typing import Any, Callable, Union

    Step = Union["Reply", "Drawing", "Status", "Raw", "Fault", "Callable[[Seen], Step]"]
else:
    from ._frozen import dataclass, field

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

CHAT_PATHS = ("/chat/completions",)
DRAW_PATHS = ("/images/generations", "/images/edits", ":generateContent")
_WORD = 6  # characters of a streamed piece
# One red pixel, as PNG.
RED = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC")


@dataclass(frozen=True)
class Reply:
    """An answer of a model, told in the wire of the path that was asked, streamed if asked so.

    stop_reason: as in `Response`. usage: None to leave it out. pieces: how a stream cuts
    the text; some characters each if None.
    """

    text: str = ""
    thinking: str = ""
    tool_calls: Sequence[ToolCall] = ()
    stop_reason: str = ""
    usage: Usage | None = Usage(11, 7, 0, 0)
    refusal: str = ""
    pieces: Sequence[str] | None = None

    @classmethod
    def of(cls, response: Response) -> Reply:
        """The reply that would have been this response."""
        return cls(
            response.text,
            response.thinking,
            response.tool_calls,
            response.stop_reason,
            response.usage,
            response.refusal,
        )


@dataclass(frozen=True)
class Drawing:
    """Pictures as a model's answer, told in the wire of the path that was asked.

    images: one or several, as `Image` or bytes; small red ones, as many as were asked
    for, if there are none. as_url: where they are, instead of the pictures themselves;
    True for a place on the fake server, which shows them to everybody.
    """

    images: Image | bytes | Sequence[Image | bytes] = ()
    as_url: str | bool = False


@dataclass(frozen=True)
class Status:
    """Any HTTP answer. body: JSON values, text or bytes; a list of bytes is sent chunked, piece by piece."""

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """Exactly these bytes on the connection, which is then closed unless `keep`."""

    data: bytes
    keep: bool = False


@dataclass(frozen=True)
class Fault:
    """Another step gone wrong; see `hang`, `cut`, `reset`, `drip` and `endless`.

    after: how many bytes of the answer are sent before it happens; None for its head.
    """

    kind: str
    step: Any = Raw(b"")
    after: int | None = 0
    seconds: float = 0.0
    data: bytes = b""


def hang(step: Any = Raw(b""), after: int | None = 0) -> Fault:
    """Say nothing more, and keep the connection open."""
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


def endless(data: bytes, step: Any = Raw(b""), after: int | None = 0) -> Fault:
    """Send `data` again and again, until the client has had enough."""
    return Fault("endless", step, after, data=data)


def redirect(location: str, status: int = 302) -> Status:
    """Send the client elsewhere."""
    return Status(status, b"", {"Location": location})


def dead_port() -> int:
    """A port of 127.0.0.1 at which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@dataclass(frozen=True)
class Seen:
    """A request as it came. headers: names in lower case. path: as sent, query included."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON; None if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def form(self) -> list[tuple[str, str | None, str, bytes]]:
        """The body as a form: (name, filename, type, bytes) of each part; none if it is no form."""
        from email.parser import BytesFeedParser

        kind = self.headers.get("content-type", "")
        if not kind.lower().startswith("multipart/form-data"):
            return []
        parser = BytesFeedParser()
        parser.feed(b"Content-Type: " + kind.encode("latin-1", "replace") + b"\r\n\r\n" + self.body)
        message: Any = parser.close()
        return [
            (
                str(part.get_param("name", "", "content-disposition")),
                part.get_filename(),
                part.get_content_type(),
                part.get_payload(decode=True),
            )
            for part in (message.get_payload() if message.is_multipart() else ())
        ]

    @property
    def model(self) -> str:
        """The model that is asked, `""` if none is named."""
        place, _, verb = urlsplit(self.path).path.rpartition(":")
        if verb == "generateContent":
            return unquote(place.partition("/models/")[2])
        found = self._asked("model")
        return found if isinstance(found, str) else ""

    def _asked(self, name: str) -> Any:
        """What a body says under a name, be it JSON or a form."""
        asked = self.json
        if isinstance(asked, dict):
            return asked.get(name, "")
        return next((data.decode("utf-8", "replace") for part, _, _, data in self.form if part == name), "")


class FakeServer:
    """A server on 127.0.0.1, a context manager.

    script: steps for the questions to come. token: what `Authorization: Bearer` (or
    Google's `x-goog-api-key`) must hold, None lets everybody in. models: what the lists
    show, names or whole rows. ssl_context: speak TLS.

    requests: what was asked, oldest first. connections: how many were accepted.
    running: the models that have been asked and not unloaded. default, drawing: what a
    question gets, and one to draw, that no step is left for.
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
        draws = seen.method == "POST" and path.endswith(DRAW_PATHS)
        asks_model = draws or (seen.method == "POST" and path.endswith(CHAT_PATHS))
        with self._lock:
            self.requests.append(seen)
            if self._token is not None and not path.endswith("/health") and path not in self._shown:
                keys = seen.headers.get("authorization"), seen.headers.get("x-goog-api-key")
                if keys[0] != f"Bearer {self._token}" and keys[1] != self._token:
                    return _refusal(
                        401, "unauthorized: invalid or missing API key", "authentication_error", "unauthorized"
                    )
            for number, (wanted, next_step) in enumerate(self._script):
                if path.endswith(wanted) if wanted is not None else asks_model:
                    step = next_step
                    del self._script[number]
                    break
            else:
                default = self.drawing if draws else self.default
                step = default if asks_model else self._managed(seen.method, path)
            model = seen.model if asks_model else ""
            if model and model not in self.running:
                self.running.append(model)
        while callable(step):
            step = step(seen)
        return step

    def _drawn(self, drawing: Drawing, seen: Seen) -> Status:
        """Pictures in the wire of the path."""
        google = urlsplit(seen.path).path.endswith(":generateContent")
        images = (drawing.images,) if isinstance(drawing.images, (Image, bytes)) else tuple(drawing.images)
        if not images:
            count = str(seen._asked("n"))
            images = (RED,) * (1 if google or not count.isdigit() else min(int(count[:3]), 100))
        datas = [image.data if isinstance(image, Image) else image for image in images]
        if google:
            return _google_drawing(datas)
        if drawing.as_url is True:
            with self._lock:
                places = [f"/drawn/{len(self._shown) + number}" for number in range(len(datas))]
                self._shown.update(zip(places, datas))
            rows = [{"url": self.url + place} for place in places]
        elif drawing.as_url:
            rows = [{"url": str(drawing.as_url)} for _ in datas]
        else:
            rows = [{"b64_json": b64encode(data).decode("ascii")} for data in datas]
        return Status(200, {"created": 1700000000, "data": rows})

    def _managed(self, method: str, path: str) -> Status:
        """llama-swap's own paths. Source: llama-swap of August 2026, `internal/server`."""
        if method == "GET" and path.endswith("/models"):
            return Status(200, {"object": "list", "data": sorted(map(_row, self.models), key=_id)})
        if method == "GET" and path in self._shown:
            data = self._shown[path]
            return Status(200, data, {"Content-Type": _mime(data)})
        if method == "GET" and path.endswith("/running"):
            return Status(200, {"running": [{"model": name, "state": "ready"} for name in sorted(self.running)]})
        if method == "GET" and path.endswith("/health"):
            return Status(200, "OK")
        if method == "GET" and path.endswith("/unload"):
            self.running.clear()
            return Status(200, "OK")
        if method == "POST" and path.endswith("/api/models/unload"):
            self.running.clear()
            return Status(200, {"msg": "ok"})
        if method == "POST" and "/api/models/unload/" in path:
            name = unquote(path.partition("/api/models/unload/")[2])
            if name not in [_id(_row(row)) for row in self.models] and name not in self.running:
                return _refusal(404, "model not found", "invalid_request_error", "not_found")
            self.running = [running for running in self.running if running != name]
            return Status(200, "OK")
        return Status(404, "404 page not found\n", {"Content-Type": "text/plain; charset=utf-8"})


def _row(model: str | dict[str, Any]) -> dict[str, Any]:
    """A model as a list shows it."""
    return model if isinstance(model, dict) else {"id": model, "object": "model", "owned_by": "llama-swap"}


def _id(row: dict[str, Any]) -> str:
    return str(row.get("id", ""))


def _refusal(status: int, message: str, kind: str, code: str) -> Status:
    error = {"message": message, "type": kind, "param": None, "code": code}
    return Status(status, {"src": "llama-swap", "error": error})


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
        if self.fake._context is not None:
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
        if fake._context is not None:
            self.request.do_handshake()

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
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(self.command, self.path, headers, body)
        self._play(self.server.fake._step(seen), seen)

    do_GET = do_POST = do_PUT = do_DELETE = _answer

    def _play(self, step: Any, seen: Seen) -> None:
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
            step = _openai_status(step, seen)
        if isinstance(step, Drawing):
            step = self.server.fake._drawn(step, seen)
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
            block = fault.data * max(1, 65536 // max(1, len(fault.data)))
            while not stopping.is_set():
                sock.sendall(block)
        elif fault.kind == "reset":
            time.sleep(0.02)  # what was sent before must have a chance to be read
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.server.fake._open.discard(sock)
            sock.close()
        elif fault.kind == "hang":
            sock.settimeout(0.05)
            while not stopping.is_set():
                try:
                    if not sock.recv(65536):
                        return
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


_FINISH = {"refusal": "stop", "": "stop", "other": "unknown"}


def _openai_status(reply: Reply, seen: Seen) -> Status:
    """A reply in OpenAI's Chat Completions."""
    asked = seen.json if isinstance(seen.json, dict) else {}
    reason = reply.stop_reason or ("tool_calls" if reply.tool_calls else "stop")
    finish = _FINISH.get(reason, reason)
    head = {"id": "chatcmpl-fake", "created": 1700000000, "model": asked.get("model", "fake")}
    if asked.get("stream"):
        chunks = _openai_chunks(reply, finish, bool((asked.get("stream_options") or {}).get("include_usage")))
        events = [{**head, "object": "chat.completion.chunk", **chunk} for chunk in chunks]
        body = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
        return Status(200, [*body, b"data: [DONE]\n\n"], {"Content-Type": "text/event-stream"})
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or (None if reply.tool_calls else "")}
    if reply.thinking:
        message["reasoning_content"] = reply.thinking
    if reply.refusal:
        message["refusal"] = reply.refusal
    if reply.tool_calls:
        message["tool_calls"] = [_openai_call(call) for call in reply.tool_calls]
    choice = {"index": 0, "message": message, "finish_reason": finish}
    answer: dict[str, Any] = {**head, "object": "chat.completion", "choices": [choice]}
    if reply.usage is not None:
        answer["usage"] = _openai_usage(reply.usage)
    return Status(200, answer)


def _openai_chunks(reply: Reply, finish: str, with_usage: bool) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": piece} for piece in _pieces(reply.thinking, None)]
    deltas += [{"content": piece} for piece in _pieces(reply.text, reply.pieces)]
    deltas += [{"refusal": piece} for piece in _pieces(reply.refusal, None)]
    for index, call in enumerate(reply.tool_calls):
        whole = _openai_call(call)
        arguments = whole["function"].pop("arguments")
        whole["function"]["arguments"] = ""
        deltas.append({"tool_calls": [{"index": index, **whole}]})
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": p}}]} for p in _pieces(arguments, None)]
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
    ]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    if with_usage and reply.usage is not None:
        chunks.append({"choices": [], "usage": _openai_usage(reply.usage)})
    return chunks


def _pieces(text: str, given: Sequence[str] | None) -> Sequence[str]:
    return given if given is not None else [text[at : at + _WORD] for at in range(0, len(text), _WORD)]


def _openai_call(call: ToolCall) -> dict[str, Any]:
    arguments = call.malformed if call.malformed is not None else json.dumps(call.arguments)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _openai_usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": (usage.input_tokens or 0) + (usage.output_tokens or 0),
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _google_drawing(datas: list[bytes]) -> Status:
    """Pictures as Gemini gives them."""
    parts = [{"inlineData": {"mimeType": _mime(data), "data": b64encode(data).decode("ascii")}} for data in datas]
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
    return Status(200, {"candidates": [candidate], "modelVersion": "fake", "responseId": "fake"})


def _mime(data: bytes) -> str:
    """The type of what is drawn, which a test may have made something else than a picture."""
    try:
        return sniff(data)
    except UnsupportedError:
        return "application/octet-stream"

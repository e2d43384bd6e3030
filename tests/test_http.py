"""The transport: every way an answer can fail to come, and what becomes of it."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import pickle
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
import urllib.request
from pathlib import Path

import pytest

from majordomo import (
    APIError,
    ConfigError,
    DeadlineError,
    ErrorKind,
    Image,
    MajordomoError,
    ProtocolError,
    Registry,
    TransportError,
    TruncatedError,
    _failures,
    classify,
    user,
)
from majordomo import _http as transport
from majordomo.deadline import Deadline
from majordomo.testing import (
    RED,
    Drawing,
    FakeServer,
    Raw,
    Reply,
    Status,
    cut,
    dead_port,
    drip,
    endless,
    hang,
    redirect,
    reset,
)

ROOT = Path(__file__).parent.parent
TLS = Path(__file__).parent / "data" / "tls"
TOKEN = "tok-SECRET/1234+5678"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
REPLY = Reply("The answer is forty-two.")


@pytest.fixture
def server():
    """A fake server, told to let nobody wait for its end."""
    with FakeServer() as running:
        yield running


def model_of(server: FakeServer, *, options: str = "", scheme: str = "openai", **settings):
    """One target at the fake server, tried once."""
    settings = {"retries": 0, "sleep": lambda seconds: None, **settings}
    registry = Registry({"LLM_BOX": server.dsn(scheme, TOKEN, options=options)}, **settings)
    return registry.parse("box/m")


def ask(model, stream: bool, timeout: float | None = 5):
    """The text of an answer, whole or streamed."""
    if not stream:
        return model.generate("Hi", timeout=timeout).text
    with model.stream("Hi", timeout=timeout) as events:
        return "".join(events.text_deltas())


def printed(error: BaseException) -> str:
    """Everything that a program could print or keep of an error."""
    shown = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return shown + repr(error) + str(vars(error)) + repr(pickle.dumps(error))


FAULTS = {
    "closed without a word": (cut(), TransportError, "closed the connection without an answer"),
    "reset without a word": (reset(), TransportError, "reset|closed the connection"),
    "garbage": (Raw(b"SSH-2.0-OpenSSH_9.6\r\n"), TransportError, "not HTTP"),
    "cut in the status line": (cut(REPLY, after=7), TransportError, "not HTTP|closed"),
    "cut in the headers": (cut(REPLY, after=30), MajordomoError, None),
    "cut behind the headers": (cut(REPLY, after=None), TruncatedError, None),
    "cut in the body": (cut(REPLY, after=200), TruncatedError, None),
    "reset in the body": (reset(REPLY, after=200), (TransportError, TruncatedError), None),
    "chunks that are none": (Raw(CHUNKED + b"zz\r\nhello"), TruncatedError, None),
    "a chunk cut short": (Raw(CHUNKED + b"50\r\nhello"), TruncatedError, None),
    "an endless header line": (endless(b"x", Raw(OK + b"X-Long: "), 1000), TransportError, "not HTTP"),
    "endless headers": (endless(b"X-One: more\r\n", Raw(OK), 1000), TransportError, "not HTTP"),
    "an endless status line": (endless(b"HTTP/1.1"), TransportError, "not HTTP"),
    "a body of absurd length": (
        Raw(OK + b"Content-Length: 99999999999\r\n\r\n{}"),
        ProtocolError,
        "larger than 64 MiB",
    ),
    "a web page": (Status(200, "<html><body>Log in</body></html>"), ProtocolError, "not JSON|web page"),
    "nothing": (Status(200, b""), (ProtocolError, TruncatedError), None),
    "not UTF-8": (Status(200, b'{"choices": [{"message": {"content": "caf\xe9"}}]}'), ProtocolError, "UTF-8"),
    "JSON nested too deeply": (Status(200, b"[" * 200_000), ProtocolError, "too deeply|not JSON"),
    "JSON that is no answer": (Status(200, [1, 2]), (ProtocolError, TruncatedError), None),
    "no choices": (Status(200, {"choices": None}), (ProtocolError, TruncatedError), None),
    "an error as a 200": (Status(200, {"error": {"message": "overloaded", "code": 503}}), APIError, "503"),
    "a page with a 502": (Status(502, "<html><h1>Bad Gateway</h1></html>"), APIError, "HTTP 502: Bad Gateway"),
    "an empty 502": (Status(502), APIError, "HTTP 502"),
    "an encoding nobody asked for": (Status(200, b"x", {"Content-Encoding": "br"}), ProtocolError, "not asked for"),
    "gzip that is none": (Status(200, b"xxxx", {"Content-Encoding": "gzip"}), ProtocolError, "gzip"),
    "nothing but 1xx": (Raw(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100), TransportError, "not HTTP"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", FAULTS)
def test_faults(server, name, stream):
    """Each fault is one error of ours that passes over to the next target, and shows no token."""
    step, cls, message = FAULTS[name]
    server.add(step)
    with pytest.raises(cls, match=message) as caught:
        ask(model_of(server), stream)
    assert classify(caught.value) is ErrorKind.TRANSIENT
    assert caught.value.target == "box/m"
    assert [attempt.outcome for attempt in caught.value.attempts] == ["failed"]
    assert TOKEN not in printed(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", FAULTS)
def test_faults_in_a_chain(server, name, stream):
    """Whatever goes wrong before the first event, the next target answers."""
    server.add(FAULTS[name][0], REPLY)
    registry = Registry({"LLM_A": server.dsn("openai"), "LLM_B": server.dsn("openai")}, retries=0)
    assert ask(registry.parse("a/m,b/m"), stream) == REPLY.text
    assert [seen.json["model"] for seen in server.requests] == ["m", "m"]


def test_refused():
    """A port where nobody listens is a TransportError with the OS error as its cause."""
    model = Registry({"LLM_BOX": f"llama-swap://{TOKEN.replace('/', '%2F')}@127.0.0.1:{dead_port()}"}).parse("box/m")
    with pytest.raises(TransportError, match="refused the connection") as caught:
        model.targets[0].generate("Hi")
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


def test_unknown_host():
    """A name that does not exist is a TransportError, in bounded time."""
    model = Registry({"LLM_BOX": "openai://no-such-host.invalid?proxy=off"}).parse("box/m")
    with pytest.raises((TransportError, DeadlineError)) as caught:
        model.targets[0].generate("Hi", timeout=5)
    if isinstance(caught.value, TransportError):
        assert isinstance(caught.value.__cause__, socket.gaierror)


SLOW = {
    "silent": hang(),
    "silent behind half a status line": hang(REPLY, after=9),
    "silent behind the headers": hang(REPLY, after=None),
    "silent in the body": hang(REPLY, after=200),
    "dripping": drip(REPLY, 0.02),
    "dripping body": drip(REPLY, 0.05, after=None),
    "endless 1xx": drip(Raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), 0.001),
    "endless comments": endless(b"e\r\n: keep-alive\n\n\r\n", Raw(SSE), after=None),
    "blank lines for ever": drip(Raw(SSE + b"2\r\n\n\n\r\n" * 1000), 0.001, after=len(SSE)),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", SLOW)
def test_a_timeout_bounds_the_whole_call(server, name, stream):
    """However the bytes drip in, or do not, the call ends when its timeout says."""
    server.add(SLOW[name])
    begin = time.monotonic()
    with pytest.raises((DeadlineError, ProtocolError)) as caught:
        ask(model_of(server), stream, timeout=0.3)
    assert time.monotonic() - begin < 5
    if isinstance(caught.value, DeadlineError):
        assert caught.value.limit == "timeout"
        assert isinstance(caught.value, TimeoutError)
    else:  # an endless body may reach its cap first
        assert "larger than" in str(caught.value)


def test_a_stalled_stream_gives_what_had_come(server):
    """A stream that stalls raises with the text so far."""
    server.add(hang(Reply("one two three", pieces=["one ", "two ", "three"]), after=700))
    with pytest.raises(DeadlineError) as caught, model_of(server).stream("Hi", timeout=0.3) as stream:
        for _ in stream:
            pass
    assert caught.value.partial.startswith("one ")


def test_idle_timeout(server):
    """Silence between events with content has a limit of its own; pings do not break it."""
    event = b'data: {"choices": [{"index": 0, "delta": {"content": "Hel"}}]}\n\n'
    spoken = SSE + b"%x\r\n%s\r\n" % (len(event), event)
    server.add(drip(Raw(spoken + b"8\r\n: ping\n\n\r\n" * 1000), 0.002, after=len(spoken)))
    with pytest.raises(DeadlineError, match="idle_timeout") as caught:
        ask(model_of(server, idle_timeout=0.2), True, timeout=30)
    assert caught.value.limit == "idle_timeout"
    assert caught.value.partial == "Hel"
    assert classify(caught.value) is ErrorKind.TRANSIENT


def test_an_end_marker_with_the_connection_left_open(server):
    """`[DONE]` ends a stream, whether or not the server ever ends the body."""
    server.add(hang(REPLY, after=-5))
    assert ask(model_of(server), True) == REPLY.text


def test_a_finish_reason_without_an_end_marker(server, monkeypatch):
    """A finished answer waits a moment for its end marker, not for the timeout."""
    monkeypatch.setattr("majordomo.providers._base.AFTER_FINISH", 0.1)
    server.add(hang(REPLY, after=-25))
    assert ask(model_of(server), True, timeout=60) == REPLY.text


def test_words_behind_a_finish_reason(server, monkeypatch):
    """A server that gives a reason for the end with every piece is heard to its end, however long it takes."""
    monkeypatch.setattr("majordomo.providers._base.AFTER_FINISH", 0.5)
    event = 'data: {"choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": "stop"}]}\n\n'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    server.add(drip(Raw(head + event.encode() * 8), 0.002, after=len(head)))
    assert ask(model_of(server), True, timeout=60) == "word " * 8


def test_silence_behind_an_end_that_was_none():
    """A stream that goes on after a reason for its end has its limit of silence again."""

    def said(text: str, end: str = "") -> bytes:
        candidate = {"index": 0, "content": {"parts": [{"text": text}]}, **({"finishReason": end} if end else {})}
        return b"data: " + json.dumps({"candidates": [candidate]}).encode() + b"\r\n\r\n"

    def serve(sock: socket.socket) -> None:
        request_of(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + said("one ", "STOP"))
        time.sleep(0.05)  # so that it is read for itself
        sock.sendall(said("two "))
        sock.recv(1)  # until the client has gone

    with peer(serve) as port, pytest.raises(DeadlineError) as caught:
        environ = {"LLM_BOX": f"google+http://tok@127.0.0.1:{port}"}
        ask(Registry(environ, retries=0, idle_timeout=0.3).parse("box/m"), True, timeout=5)
    assert (caught.value.limit, caught.value.partial) == ("idle_timeout", "one two ")


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_redirects_are_never_followed(server, status, stream):
    """A 3xx is an error that names the host it points to, is not retried and cools nothing down."""
    server.add(redirect(f"http://user:pw@elsewhere.example/{TOKEN}", status))
    model = model_of(server, retries=2)
    with pytest.raises(APIError, match="elsewhere.example") as caught:
        ask(model, stream)
    assert classify(caught.value) is ErrorKind.CONFIG
    assert (caught.value.status, len(server.requests)) == (status, 1)
    assert TOKEN not in printed(caught.value)
    assert "user:pw" not in str(caught.value)
    assert model.policy.health.snapshot() == {}


def test_headers_of_a_request(server):
    """JSON goes out and is asked for, under a User-Agent of our own, with one Host and one length."""
    model_of(server).generate("Hi")
    headers = server.requests[0].headers
    assert headers["content-type"] == headers["accept"] == "application/json"
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert headers["user-agent"].startswith("majordomo/")
    assert headers["host"] == server.host
    assert int(headers["content-length"]) == len(server.requests[0].body)


def test_own_user_agent(server):
    """A caller may go under another name, in every operation."""
    registry = Registry({"LLM_BOX": server.dsn()}, user_agent="acme-batch/2")
    registry.parse("box/m").generate("Hi")
    box = registry.provider("box")
    box.list_models(), box.running(), box.unload()
    assert {seen.headers["user-agent"] for seen in server.requests} == {"acme-batch/2"}


def test_connections_are_kept(server):
    """Calls one after the other share a connection, streams included."""
    model = model_of(server)
    for stream in (False, True, False, True, True):
        ask(model, stream)
    assert server.connections == 1


def test_a_kept_connection_found_dead_is_replaced(server):
    """What the server closed in the meantime is opened anew, and the caller does not notice."""
    model = model_of(server)
    for _ in range(3):
        ask(model, False)
        server.drop()
        time.sleep(0.02)
    assert len(server.requests) == server.connections == 3


@pytest.mark.parametrize("step", [cut(), reset()], ids=["closed", "reset"])
def test_a_kept_connection_that_dies_under_the_request(server, step):
    """Before a byte of the answer the request is sent once more, on a new connection."""
    model = model_of(server)
    ask(model, False)
    server.add(step, REPLY)
    assert ask(model, False) == REPLY.text
    assert len(server.requests) == 3


def test_never_sent_twice_after_a_byte(server):
    """Once a byte of the answer has come, the request is not repeated behind the caller's back."""
    model = model_of(server)
    ask(model, False)
    server.add(reset(REPLY, after=5))
    with pytest.raises(TransportError):
        ask(model, False)
    assert len(server.requests) == 2


def test_a_fresh_connection_is_not_retried(server):
    """A server that closes new connections too has been asked once."""
    server.add(cut())
    with pytest.raises(TransportError):
        ask(model_of(server), False)
    assert len(server.requests) == 1


def test_idle_for_too_long(server, monkeypatch):
    """A connection that was idle for over a minute is not trusted."""
    model = model_of(server)
    ask(model, False)
    later = time.monotonic() + 61
    monkeypatch.setattr(transport, "now", lambda: later)
    ask(model, False)
    assert server.connections == 2


def test_bytes_nobody_asked_for(server):
    """What follows an answer unasked is never taken for the answer to the next question."""
    whole = OK + b"Content-Length: 2\r\n\r\n[]"
    forged = (
        OK + b'Content-Length: 73\r\n\r\n{"choices": [{"message": {"content": "forged"}, "finish_reason": "stop"}]}'
    )
    server.add(Raw(whole + forged, keep=True), REPLY)
    model = model_of(server)
    with pytest.raises(ProtocolError):
        ask(model, False)
    assert ask(model, False) == REPLY.text


def test_connection_close_is_honoured(server):
    """A server that says it will close is not asked again on that connection."""
    for _ in range(2):
        server.add(
            Status(200, {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}, {"Connection": "close"})
        )
    model = model_of(server)
    assert ask(model, False) == ask(model, False) == "x"
    assert server.connections == 2


def test_threads_share_few_connections(server):
    """Many threads get their own answers over no more connections than threads."""
    server.default = lambda seen: Reply("re: " + seen.json["messages"][0]["content"])
    model, wrong = model_of(server), []

    def work(number: int) -> None:
        for turn in range(10):
            text = f"{number}.{turn}"
            if model.generate(text).text != "re: " + text:
                wrong.append(text)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert server.connections <= 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_fork(server):
    """A child opens its own connections and leaves its parent's alone."""
    model = model_of(server)
    ask(model, False)
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if ask(model, False).startswith("Hello") else 1)
        except BaseException:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    ask(model, False)
    assert server.connections == 2


def test_leaving_a_stream_closes_its_connection(server):
    """A stream that is left early gives its connection up, and the next call has a new one."""
    model = model_of(server)
    with model.stream("Hi") as stream:
        next(stream)
    assert ask(model, False).startswith("Hello")
    assert server.connections == 2


@pytest.mark.parametrize("keep", [True, False], ids=["kept open", "closed"])
def test_an_upload_that_is_refused_early(server, keep):
    """A large request that is answered before it was read has its answer read."""
    refusal = b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large"
    listener = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def refuse() -> None:
        sock, _ = listener.accept()
        with sock:
            sock.recv(1000)
            sock.sendall(refusal)
            if keep:
                done.wait(10)

    thread = threading.Thread(target=refuse)
    thread.start()
    try:
        dsn = f"openai+http://127.0.0.1:{listener.getsockname()[1]}"
        model = Registry({"LLM_BOX": dsn}, retries=0).parse("box/m")
        picture = Image(b"\x89PNG\r\n\x1a\n" + bytes(24_000_000))
        with pytest.raises((APIError, TransportError)) as caught:
            model.generate([user(picture, "what?")], timeout=20)
        if keep:  # a server that closes at once may reset the connection under the answer
            assert caught.value.status == 413
            assert classify(caught.value) is ErrorKind.TOO_LONG
    finally:
        done.set()
        thread.join()
        listener.close()


def test_an_upload_that_nobody_reads():
    """A server that takes the connection and none of the request does not outlast the timeout."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        model = Registry({"LLM_BOX": f"openai+http://127.0.0.1:{listener.getsockname()[1]}"}, retries=0).parse("box/m")
        begin = time.monotonic()
        with pytest.raises(DeadlineError):
            model.generate("x" * 20_000_000, timeout=1.5)
        assert time.monotonic() - begin < 2.8


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
@pytest.mark.parametrize("cls", [TimeoutError, OSError, ValueError, RuntimeError])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_what_a_signal_handler_raises_passes_through(server, cls, stream):
    """It is the program's own, even where it looks like a socket's."""

    def alarm(*args: object) -> None:
        raise cls("my alarm")

    server.add(hang(REPLY, after=200))
    before = signal.signal(signal.SIGALRM, alarm)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(cls, match="my alarm") as caught:
            ask(model_of(server), stream)
        assert type(caught.value) is cls
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_an_error_in_an_encoding_that_nobody_knows(server):
    """The status counts, though its body cannot be read."""
    server.add(Status(401, b"xx", {"Content-Encoding": "br"}))
    with pytest.raises(APIError) as caught:
        ask(model_of(server), False)
    assert classify(caught.value) is ErrorKind.AUTH


def test_informational_answers(server):
    """What comes before the answer is passed over."""
    body = b'{"choices": [{"message": {"content": "late"}, "finish_reason": "stop"}]}'
    server.add(
        Raw(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
            + OK
            + b"Content-Length: %d\r\n\r\n" % len(body)
            + body
        )
    )
    assert ask(model_of(server), False) == "late"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_gzip_unasked(server, stream):
    """A body that is compressed unasked is read all the same."""
    plain = b'{"choices": [{"message": {"content": "small"}, "finish_reason": "stop"}]}'
    server.add(Status(200, gzip.compress(plain), {"Content-Encoding": "gzip", "Content-Type": "application/json"}))
    assert ask(model_of(server), stream) == "small"
    assert server.requests[0].headers["accept-encoding"] == "identity"


def test_a_gzip_bomb(server):
    """What unpacks to more than the cap is refused."""
    server.add(Status(200, gzip.compress(bytes(70 * 2**20)), {"Content-Encoding": "gzip"}))
    with pytest.raises(ProtocolError, match="larger than 64 MiB"):
        ask(model_of(server), False)


def test_an_endless_body(server):
    """A body without an end is refused at the cap."""
    server.add(endless(b"x" * 65536, Raw(OK + b"\r\n"), after=None))
    with pytest.raises(ProtocolError, match="larger than 64 MiB"):
        ask(model_of(server), False, timeout=60)


RETRY_AFTER = {
    "seconds": ({"Retry-After": "20"}, 20.0),
    "decimals": ({"Retry-After": "1.5"}, 1.5),
    "zero": ({"Retry-After": "0"}, 0.0),
    "milliseconds win": ({"retry-after-ms": "3272", "Retry-After": "4"}, 3.272),
    "date, by the server's own clock": (
        {"Retry-After": "Sun, 22 Nov 2026 12:00:30 GMT", "Date": "Sun, 22 Nov 2026 12:00:00 GMT"},
        30.0,
    ),
    "date in the past": ({"Retry-After": "Sun, 22 Nov 2020 12:00:30 GMT"}, 0.0),
    "huge": ({"Retry-After": "99999999"}, 99999999.0),
    "negative": ({"Retry-After": "-5"}, None),
    "nan": ({"Retry-After": "nan"}, None),
    "infinite": ({"Retry-After": "inf"}, None),
    "nonsense": ({"Retry-After": "soon"}, None),
    "absurd date": ({"Retry-After": "Sun, 99 Nov 999999999999 99:99:99 GMT"}, None),
    "none": ({}, None),
}


@pytest.mark.parametrize("name", RETRY_AFTER)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after(server, status, name):
    """Each form of Retry-After is seconds on the error; nonsense is None."""
    headers, expected = RETRY_AFTER[name]
    server.add(Status(status, {"error": {"message": "wait"}}, headers))
    with pytest.raises(APIError) as caught:
        model_of(server).targets[0].generate("Hi")
    assert caught.value.retry_after == expected


@pytest.mark.parametrize(("status", "told", "requests"), [(500, "false", 1), (400, "true", 3), (500, "maybe", 3)])
def test_should_retry(server, status, told, requests):
    """A server's own word on another try goes before the rule for its status."""
    server.default = Status(status, {"error": {"message": "m"}}, {"x-should-retry": told})
    with pytest.raises(APIError):
        ask(model_of(server, retries=2), False)
    assert len(server.requests) == requests


def test_should_retry_is_no_way_around_the_account(server):
    """An exhausted quota is not asked again, whatever the header says."""
    refusal = {"error": {"message": "m", "code": "insufficient_quota"}}
    server.default = Status(429, refusal, {"x-should-retry": "true"})
    with pytest.raises(APIError):
        ask(model_of(server, retries=2), False)
    assert len(server.requests) == 1


@pytest.mark.parametrize("location", ["http://[::1", "//[", "", "http://x\x7f/"])
def test_a_redirect_to_nowhere(server, location):
    """A Location that is no URL is still a redirect that is not followed."""
    server.add(redirect(location))
    with pytest.raises(APIError, match="redirected"):
        ask(model_of(server), False)


def test_request_id(server):
    """The id to quote to the server's operator is on the error and in its message."""
    server.add(Status(500, {"error": {"message": "oops"}}, {"x-request-id": "req_42"}))
    with pytest.raises(APIError, match="req_42") as caught:
        ask(model_of(server), False)
    assert caught.value.request_id == "req_42"


ECHOES = {
    "in an error": Status(401, {"error": {"message": f"Incorrect API key: {TOKEN}", "code": TOKEN, "param": TOKEN}}),
    "in a page": Status(500, f"<html>{TOKEN} Bearer {TOKEN}</html>"),
    "in a 200": Status(200, {"error": {"message": f"bad key {TOKEN}", "code": 500}}),
    "in an id": Status(500, "oops", {"x-request-id": TOKEN}),
    "in the status line": Raw(f"{TOKEN} what\r\n\r\n".encode()),
    "in a 200 that is no JSON": Status(200, f"{TOKEN}"),
    "percent-encoded": Status(403, TOKEN.replace("/", "%2F").replace("+", "%2B")),
    "cut short": Status(200, f"Incorrect API key provided, the key was this one: {TOKEN}"),
    "across the end of a message": Status(500, "x" * 290 + TOKEN + "x" * 4000 + TOKEN),
    "in lower case": Status(200, {"error": {"message": "m", "code": TOKEN, "type": TOKEN}}),
    "escaped": Status(401, TOKEN.join(['{"error": {"message": "', '"}}']).replace("/", "\\/").replace("+", "\\u002B")),
    "in an encoding": Status(200, b"x", {"Content-Encoding": TOKEN}),
    "in a stream": Raw(
        SSE + b'%x\r\ndata: {"error": {"message": "%s"}}\n\n\r\n0\r\n\r\n' % (len(TOKEN) + 34, TOKEN.encode())
    ),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", ECHOES)
def test_a_token_that_the_server_echoes(server, name, stream):
    """Wherever a server repeats the token, no error, cause, attempt or pickle shows it."""
    server.add(ECHOES[name])
    with pytest.raises(MajordomoError) as caught:
        ask(model_of(server), stream)
    shown = printed(caught.value).lower()
    assert TOKEN.lower()[:9] not in shown
    assert TOKEN.lower().replace("/", "%2f").replace("+", "%2b") not in shown


@pytest.mark.parametrize("name", ECHOES)
@pytest.mark.parametrize("work", ["list_models", "running", "unload"])
def test_a_token_that_a_management_answer_echoes(server, name, work):
    """What is no answer of a model shows no token either."""
    step = ECHOES[name]
    for path in ("/models", "/running", "/unload"):
        server.add(step, step, path=path)
    box = Registry({"LLM_BOX": server.dsn("llama-swap", TOKEN)}).provider("box")
    try:
        getattr(box, work)()
    except MajordomoError as exc:
        assert TOKEN.lower()[:9] not in printed(exc).lower()


@pytest.mark.parametrize("token", ["t", "tok"])
def test_a_short_token_leaves_messages_readable(server, token):
    """A token that is part of many words is blotted out only where it stands alone."""
    server.add(Status(500, f"the tokens stand, {token}, and fall"))
    with pytest.raises(APIError, match=r"the tokens stand, \*\*\*, and fall"):
        Registry({"LLM_BOX": server.dsn("openai", token)}, retries=0).parse("box/m").generate("Hi")


def test_messages_are_one_short_line(server):
    """A server's words come on one line, without control characters, cut where they get long."""
    server.add(Status(500, "a\r\nb\x1b[31m\x00" + "x" * 100_000))
    with pytest.raises(APIError) as caught:
        ask(model_of(server), False)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert len(caught.value.body) <= _failures.BODY_CAP


@pytest.fixture
def proxied(monkeypatch):
    """An environment with proxies in it: one that would take anything."""
    with FakeServer() as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.lower(), raising=False)
        monkeypatch.setenv("http_proxy", f"http://joe:s%40cret@{proxy.host}")
        yield proxy


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_loopback_is_never_proxied(server, proxied, host):
    """A server on this machine is asked directly, whatever the environment says."""
    port = server.host.rpartition(":")[2]
    model = Registry({"LLM_BOX": f"llama-swap://{host}:{port}"}, retries=0).parse("box/m")
    if host == "127.0.0.2":  # nobody listens there; what counts is who was not asked
        with pytest.raises(TransportError):
            ask(model, False)
    else:
        ask(model, False)
    assert proxied.requests == []


def test_other_hosts_go_through_the_proxy(proxied):
    """A remote target over plain http is asked for by its whole URL, with the proxy's own password."""
    model = Registry({"LLM_BOX": "openai+http://tok@box.example:8080"}).parse("box/m")
    assert ask(model, False).startswith("Hello")
    seen = proxied.requests[0]
    assert seen.path == "http://box.example:8080/v1/chat/completions"
    assert seen.headers["host"] == "box.example:8080"
    assert seen.headers["proxy-authorization"] == "Basic am9lOnNAY3JldA=="


@pytest.mark.parametrize("how", ["no_proxy", "option"])
def test_no_proxy(proxied, monkeypatch, how):
    """NO_PROXY and `?proxy=off` keep a target off the proxy."""
    if how == "no_proxy":
        monkeypatch.setenv("no_proxy", "box.invalid")
    dsn = "openai+http://box.invalid" + ("?proxy=off" if how == "option" else "")
    with pytest.raises(MajordomoError):
        ask(Registry({"LLM_BOX": dsn}, retries=0).parse("box/m"), False)
    assert proxied.requests == []


def test_a_tunnel_for_tls(proxied, monkeypatch):
    """TLS goes through a tunnel; a proxy that refuses one is a matter of configuration."""
    monkeypatch.setenv("https_proxy", f"http://{proxied.host}")
    model = Registry({"LLM_BOX": "openai://tok@box.example"}, retries=0).parse("box/m")
    with pytest.raises(TransportError, match="refused a tunnel") as caught:
        ask(model, False)
    assert classify(caught.value) is ErrorKind.CONFIG
    assert "tok" not in printed(caught.value).replace("token", "")


@pytest.mark.parametrize(
    ("scheme", "proxy", "words"),
    [
        ("openai", "127.0.0.1:{dead}", "the proxy 127.0.0.1:{dead} refused the connection"),
        ("openai+http", "127.0.0.1:{dead}", "the proxy 127.0.0.1:{dead} refused the connection"),
        ("openai", f"{'n' * 64}.invalid:3128", f"the proxy {'n' * 64}.invalid:3128 was not found"),
        ("openai", "{odd}", "the proxy {odd} answered with something that is not HTTP"),
        ("openai+http", "{odd}", "box.example answered with something that is not HTTP"),  # for all that one can tell
    ],
)
def test_what_goes_wrong_with_a_proxy_is_its_own(proxied, monkeypatch, scheme, proxy, words):
    """Until it has led to the server it is the proxy that is named."""
    proxied.greeting = Raw(b"what?\r\n\r\n")
    known = {"dead": dead_port(), "odd": proxied.host}
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://joe:s3cret@{proxy.format(**known)}")
    with pytest.raises(TransportError) as caught:
        ask(Registry({"LLM_BOX": f"{scheme}://tok@box.example"}, retries=0).parse("box/m"), False)
    assert words.format(**known) in str(caught.value)
    assert "s3cret" not in printed(caught.value)


def test_a_proxy_cannot_speak_for_the_server(monkeypatch):
    """What a proxy sends behind its consent to a tunnel is never taken for the answer behind TLS."""
    forged = b'{"choices": [{"message": {"content": "forged"}, "finish_reason": "stop"}]}'
    consent = b"HTTP/1.1 200 OK\r\n\r\n" + OK + b"Content-Length: %d\r\n\r\n%s" % (len(forged), forged)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def consenting() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)
                sock.sendall(consent)
                sock.recv(65536)

        thread = threading.Thread(target=consenting)
        thread.start()
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with pytest.raises(TransportError, match="before the tunnel"):
            ask(Registry({"LLM_BOX": "openai://tok@box.example"}, retries=0).parse("box/m"), False)
        thread.join()


@pytest.mark.parametrize("value", ["socks5://127.0.0.1:1080", "http://", "http://[::1", "ftp://x"])
def test_proxies_that_cannot_be_used(proxied, monkeypatch, value):
    """A proxy that we cannot speak to is an error that says so, not a request around it."""
    monkeypatch.setenv("http_proxy", value)
    with pytest.raises(ConfigError, match="proxy=off"):
        ask(Registry({"LLM_BOX": "openai+http://box.example"}, retries=0).parse("box/m"), False)


@pytest.fixture
def secure(request):
    """A fake server behind TLS, with one of the certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / f"{request.param}.pem")
    with FakeServer(REPLY, ssl_context=context) as running:
        yield running


@pytest.mark.parametrize("secure", ["good"], indirect=True)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_tls(secure, host, stream):
    """`?ca=FILE` trusts a CA of one's own, and connections are kept."""
    port = secure.host.rpartition(":")[2]
    model = Registry({"LLM_BOX": f"llama-swaps://tok@{host}:{port}?ca={TLS / 'ca.pem'}"}, retries=0).parse("box/m")
    assert ask(model, stream) == REPLY.text
    ask(model, False)
    assert secure.connections == 1


@pytest.mark.parametrize("secure", ["good"], indirect=True)
def test_own_ssl_context(secure):
    """A registry's ssl_context is used as it is."""
    context = ssl.create_default_context(cafile=str(TLS / "ca.pem"))
    model = Registry({"LLM_BOX": secure.dsn("openai")}, ssl_context=context).parse("box/m")
    assert ask(model, False) == REPLY.text


@pytest.mark.parametrize(
    ("secure", "trusted"),
    [("good", False), ("expired", True), ("other", True)],
    indirect=["secure"],
    ids=["unknown CA", "expired", "wrong name"],
)
def test_certificates_that_are_not_verified(secure, trusted):
    """A certificate that cannot be verified is a matter of configuration: told, not retried, no cooldown."""
    options = f"ca={TLS / 'ca.pem'}" if trusted else ""
    model = model_of(secure, options=options, retries=2)
    with pytest.raises(TransportError, match="certificate of 127.0.0.1") as caught:
        ask(model, False)
    assert classify(caught.value) is ErrorKind.CONFIG
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError) or caught.value.code == "certificate"
    assert secure.connections == 1
    assert model.policy.health.snapshot() == {}


def test_tls_to_a_server_without(server):
    """TLS with a server that speaks plain HTTP is a TransportError."""
    model = Registry({"LLM_BOX": f"openai://{server.host}"}, retries=0).parse("box/m")
    with pytest.raises(TransportError):
        ask(model, False)


def test_tls_handshake_that_hangs():
    """A handshake that does not go on ends with the timeout."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        model = Registry({"LLM_BOX": f"openai://127.0.0.1:{listener.getsockname()[1]}"}, retries=0).parse("box/m")
        with pytest.raises(DeadlineError):
            ask(model, False, timeout=0.3)


@pytest.mark.parametrize("content", [None, "no certificate"], ids=["missing", "odd"])
def test_ca_file_that_cannot_be_read(server, tmp_path, content):
    """A CA file that is not there, or is none, is a ConfigError that names it."""
    path = tmp_path / "ca.pem"
    if content:
        path.write_text(content)
    with pytest.raises(ConfigError, match=r"ca\.pem"):
        ask(Registry({"LLM_BOX": f"openai://{server.host}?ca={path}"}, retries=0).parse("box/m"), False)


def test_connecting_is_bounded(monkeypatch):
    """A host that does not take the connection costs the connect limit, not the call's timeout."""
    monkeypatch.setattr("majordomo._connection.CONNECT_TIMEOUT", 0.2)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        full = []
        for _ in range(8):  # fill the backlog, so that further connections hang
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
            full.append(sock)
        model = Registry({"LLM_BOX": f"llama-swap://127.0.0.1:{listener.getsockname()[1]}"}, retries=0).parse("box/m")
        with pytest.raises(TransportError, match="no connection within") as caught:
            ask(model, False, timeout=60)
        assert isinstance(caught.value.__cause__, socket.timeout)
        for sock in full:
            sock.close()


def test_every_address_is_tried(server, monkeypatch):
    """An address that this machine cannot even make a socket for does not keep the next one from being tried."""
    real, host, port = socket.getaddrinfo, *server.host.split(":")
    odd = (12345, socket.SOCK_STREAM, 0, "", (host, int(port)))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: [odd, *real(host, int(port), type=socket.SOCK_STREAM)])
    model = Registry({"LLM_BOX": f"llama-swap://two.localhost:{port}"}, retries=0).parse("box/m")
    assert ask(model, False).startswith("Hello")


def test_sockets_outlive_a_silence(server):
    """TCP keep-alive is on, so that a model that loads for minutes survives a NAT, and nothing waits to be sent."""
    model = model_of(server)
    ask(model, False)
    client = model.targets[0]._provider.client
    sock = next(iter(client._servers.values())).idle[0]._wire.sock
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_bytes_that_come_late(server):
    """A connection on which something arrives while nobody asks is not used again."""
    forged = b'{"choices": [{"message": {"content": "forged"}, "finish_reason": "stop"}]}'
    body = forged.replace(b"forged", b"honest")
    honest = OK + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    server.add(
        drip(Raw(honest + OK + b"Content-Length: %d\r\n\r\n%s" % (len(forged), forged)), 0.001, after=len(honest))
    )
    model = model_of(server)
    assert ask(model, False) == "honest"
    (kept,) = next(iter(model.targets[0]._provider.client._servers.values())).idle
    deadline = time.monotonic() + 5
    while kept.idle and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ask(model, False).startswith("Hello")


@pytest.mark.parametrize(
    "step", [hang(Status(401, "half a body"), after=-4), drip(Status(401, "half a body"), 0.5, after=-4)]
)
def test_an_error_whose_body_never_ends(server, step, monkeypatch):
    """The status is known: the rest of the body gets a moment, not the whole timeout."""
    monkeypatch.setattr(_failures, "ERROR_TIME", 0.1)
    server.add(step)
    with pytest.raises(APIError) as caught:
        ask(model_of(server), False, timeout=30)
    assert classify(caught.value) is ErrorKind.AUTH


def test_answers_without_a_body(server):
    """A 204 has none, whatever its headers say; 101 is no answer at all."""
    server.add(Raw(b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", keep=True))
    with pytest.raises(ProtocolError):
        ask(model_of(server), False, timeout=5)
    server.add(Raw(b"HTTP/1.1 101 Switching\r\n\r\n", keep=True))
    with pytest.raises(TransportError):
        ask(model_of(server), False, timeout=5)


def test_many_tiny_chunks(server):
    """A body in the smallest of chunks takes no more memory than its bytes."""
    body = b'{"choices": [{"message": {"content": "' + b"x" * 200_000 + b'"}, "finish_reason": "stop"}]}'
    server.add(Status(200, [body[at : at + 2] for at in range(0, len(body), 2)]))
    assert len(ask(model_of(server), False, timeout=30)) == 200_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_leaving_a_stream_while_a_child_lives(server):
    """The server hears that a stream was left, although a forked child holds a copy of its socket."""
    server.add(hang(REPLY, after=700))
    stream = model_of(server).stream("Hi")
    next(stream)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    stream.close()
    deadline = time.monotonic() + 5
    while server._open and time.monotonic() < deadline:
        time.sleep(0.01)
    os.close(writing)
    os.close(reading)
    os.waitpid(child, 0)
    assert not server._open


def test_an_error_of_absurd_size(server):
    """Of an error's body no more is read than somebody will look at."""
    server.add(endless(b"x" * 65536, Raw(b"HTTP/1.1 500 Oops\r\n\r\n"), after=None))
    with pytest.raises(APIError, match="HTTP 500"):
        ask(model_of(server), False, timeout=60)


def test_a_name_server_that_hangs(monkeypatch):
    """A name look-up that does not end is left behind at the timeout."""
    stuck = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: stuck.wait(10) and [])
    model = Registry({"LLM_BOX": "openai+http://slow.example?proxy=off"}, retries=0).parse("box/m")
    try:
        with pytest.raises(DeadlineError):
            ask(model, False, timeout=0.2)
    finally:
        stuck.set()


def test_nothing_is_left_behind(server):
    """After calls of all kinds there is no thread of ours."""
    model = model_of(server)
    server.add(REPLY, hang(REPLY, after=200), hang(REPLY, after=200))
    ask(model, False)
    for stream in (False, True):
        with pytest.raises(MajordomoError):
            ask(model, stream, timeout=0.3)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("majordomo")]


def test_foreign_exceptions_pass_through(server, monkeypatch):
    """What is no failure of the transport, Ctrl-C say, is not translated."""

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("majordomo._connection.Incoming", interrupt)
    with pytest.raises(KeyboardInterrupt):
        ask(model_of(server), False)


@pytest.mark.parametrize(
    "url",
    [
        "0.0.0.0",
        "::1",
        "[::1]",
        "LOCALHOST",
        "127.1.2.3",
        "a.localhost",
        "localhost.",
        "127.1",
        "0",
        "2130706433",
        "0x7f000001",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::]",
    ],
)
def test_loopback_names(url):
    """All spellings of this machine count as loopback."""
    assert transport.is_loopback(url)


@pytest.mark.parametrize(
    "url", ["box", "example.com", "127.example.com", "10.0.0.1", "localhost.example.com", "[fe80::1]", "1.2.3.4"]
)
def test_other_names(url):
    """What only looks like this machine does not."""
    assert not transport.is_loopback(url)


# What is sent as it is, and how much may come


def fetched(server, payload=None, method="POST", path="/chat/completions", **how):
    """The body of an answer."""
    return transport.fetch(transport.Client(), method, server.url + path, payload, deadline=Deadline(5), **how)


@pytest.mark.parametrize(
    ("payload", "sent"),
    [
        (b"\x00\xff\r\n\r\nGET / HTTP/1.1", b"\x00\xff\r\n\r\nGET / HTTP/1.1"),
        (bytearray(b'{"a": 1}'), b'{"a": 1}'),
        (b"", b""),
        (b"x" * 1_000_000, b"x" * 1_000_000),
        ({"a": [1, "é"]}, b'{"a":[1,"\\u00e9"]}'),
        ([], b"[]"),
        ("text", b'"text"'),
        (0, b"0"),
        (None, b""),
    ],
    ids=["bytes", "bytearray", "no bytes", "many bytes", "an object", "a list", "text", "a number", "nothing"],
)
def test_a_payload_of_bytes_is_sent_as_it_is(server, payload, sent):
    """Anything else is written as JSON; the length is told either way."""
    fetched(server, payload)
    (seen,) = server.requests
    assert seen.body == sent
    assert seen.headers["content-length"] == str(len(sent))
    assert seen.headers["content-type"] == "application/json"


def test_a_payload_may_have_a_type_of_its_own(server):
    """Headers that are given win over those that are always sent."""
    fetched(server, b"a=1", headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert server.requests[0].headers["content-type"] == "multipart/form-data; boundary=x"


@pytest.mark.parametrize("payload", [{"a": object()}, {"a": b"bytes"}, {1, 2}])
def test_a_payload_that_cannot_be_written_is_not_sent(server, payload):
    """A ConfigError before anybody is asked."""
    with pytest.raises(ConfigError):
        fetched(server, payload)
    assert server.connections == 0


READS = {
    "fetch": lambda client, url, **how: transport.fetch(client, "GET", url, **how),
    "do_json": lambda client, url, **how: transport.do_json(client, "GET", url, **how),
    "stream": lambda client, url, **how: b"".join(transport.stream(client, "GET", url, **how)),
}
FORMS = {
    "announced": lambda body: Status(200, body),
    "chunked": lambda body: Status(200, [body[:10], body[10:]]),
    "until the end": lambda body: Raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body),
    "gzip": lambda body: Status(200, gzip.compress(body), {"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("read", READS)
def test_an_answer_has_the_cap_that_its_asker_sets(server, read, form):
    """Exactly so many bytes are fine, one more is a ProtocolError; without a cap it is 64 MiB."""
    body = b'"' + b"x" * 998 + b'"'
    for cap, fits in ((1000, True), (2**20, True), (999, False), (1, False), (None, True)):
        server.add(FORMS[form](body), path="/thing")
        more = {} if cap is None else {"cap": cap}
        how = {"deadline": Deadline(5), **more}
        if fits:
            got = READS[read](transport.Client(), server.url + "/thing", **how)
            assert got == ("x" * 998 if read == "do_json" else body)
        else:
            with pytest.raises(ProtocolError, match="larger than"):
                READS[read](transport.Client(), server.url + "/thing", **how)


def test_a_cap_above_the_usual_one(server):
    """It counts in both directions."""
    head = Raw(OK + b"Content-Length: 68000000\r\n\r\n{}")
    for more, error, says in (({}, ProtocolError, "64 MiB"), ({"cap": 2**27}, TruncatedError, "middle|cut")):
        server.add(head, path="/thing")
        with pytest.raises(error, match=says):
            fetched(server, None, "GET", "/thing", **more)


# Strangers: hosts that a server names


def test_a_client_for_strangers_has_nothing_of_ours():
    """No TLS context and no CA file, which may hold what proves who we are; the name and the proxies stay."""
    context = ssl.create_default_context()
    ours = transport.Client(user_agent="cron/1", ssl_context=context, ca="/nowhere/ca.pem")
    theirs = ours.stranger()
    assert theirs is not ours
    assert theirs is not ours.stranger()
    assert theirs.user_agent == "cron/1"
    assert theirs._context is None
    assert theirs._ca is None
    assert theirs._proxies is None
    assert transport.Client(proxies=False).stranger()._proxies == {}
    assert theirs.context() is not context


@pytest.mark.parametrize("secure", ["good"], indirect=True)
@pytest.mark.parametrize("how", ["ca", "context"])
def test_a_ca_of_ones_own_is_not_for_strangers(secure, how):
    """A picture's URL elsewhere is trusted as the system trusts, one on the provider's own host as that is."""
    ca = TLS / "ca.pem"
    context = ssl.create_default_context(cafile=str(ca)) if how == "context" else None
    dsn = secure.dsn("openai", TOKEN, options=f"ca={ca}" if how == "ca" else "")
    chain = Registry({"LLM_BOX": dsn}, ssl_context=context, retries=0).parse_image("box/m")
    secure.reset()
    secure.add(Drawing(as_url=True), Drawing(as_url=secure.url.replace("127.0.0.1", "localhost") + "/drawn/0"))
    assert chain.generate("a cat").images[0].data == RED
    with pytest.raises(ProtocolError, match="certificate of localhost") as caught:
        chain.generate("a cat")
    assert [seen.method for seen in secure.requests] == ["POST", "GET", "POST"]
    assert "authorization" not in secure.requests[1].headers
    assert "SECRET" not in printed(caught.value)


def test_strangers_are_asked_through_the_proxy(server, proxied):
    """With the proxy's own password, and nothing of the provider's."""
    server.add(Drawing(as_url="http://pictures.example/a.png?x=1"))
    proxied.add(Status(200, RED), path="/a.png")
    chain = Registry({"LLM_BOX": server.dsn("openai", TOKEN)}, retries=0).parse_image("box/m")
    assert chain.generate("a cat").images == (Image(RED),)
    (seen,) = proxied.requests
    assert (seen.method, seen.path) == ("GET", "http://pictures.example/a.png?x=1")
    assert seen.headers["host"] == "pictures.example"
    assert "authorization" not in seen.headers
    assert "proxy-authorization" in seen.headers
    assert "SECRET" not in str(seen)


def test_a_proxy_that_is_off_is_off_for_strangers_too(server, proxied):
    """`?proxy=off` is said of the provider, and counts for what it sends us to."""
    server.add(Drawing(as_url="http://pictures.invalid/a.png"))
    chain = Registry({"LLM_BOX": server.dsn("openai", TOKEN, options="proxy=off")}, retries=0).parse_image("box/m")
    with pytest.raises(ProtocolError, match="not found"):
        chain.generate("a cat")
    assert proxied.requests == []


@contextlib.contextmanager
def peer(serve, context: ssl.SSLContext | None = None):
    """A server that does with its first connection what `serve` says; its port."""

    def run() -> None:
        sock = listener.accept()[0]
        with context.wrap_socket(sock, server_side=True) if context else sock as connected:
            serve(connected)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def request_of(sock: socket.socket) -> int:
    """Read the head of a request; the bytes of its body that have not come yet."""
    got = b""
    while b"\r\n\r\n" not in got:
        piece = sock.recv(65536)
        if not piece:
            return 0
        got += piece
    head, _, rest = got.partition(b"\r\n\r\n")
    return int(re.search(rb"Content-Length: (\d+)", head)[1]) - len(rest)


def answer_of(text: str, status: int = 200) -> bytes:
    """A whole answer, as bytes."""
    payload = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
    body = json.dumps(payload if status == 200 else {"error": {"message": text}}).encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body


def test_what_tls_holds_back_is_seen():
    """Bytes behind an answer that OpenSSL has read, and nobody else, are no answer to the next question."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "good.pem")
    error = answer_of("busy", 503)

    def serve(sock: socket.socket) -> None:
        request_of(sock)
        sock.sendall(error[: error.index(b"{")])
        time.sleep(0.05)  # so that the head is read for itself
        sock.sendall(error[error.index(b"{") :] + answer_of("forged"))  # one record
        request_of(sock)

    with peer(serve, context) as port:
        model = Registry({"LLM_BOX": f"openai://127.0.0.1:{port}?ca={TLS / 'ca.pem'}"}).provider("box").model("m")
        with pytest.raises(APIError):
            model.generate("Hi", timeout=5)
        with pytest.raises(MajordomoError):  # the connection is not used again, and there is no other
            model.generate("Hi", timeout=0.5)


@pytest.mark.parametrize("word", [b"100 Continue", b"103 Early Hints"])
def test_words_ahead_do_not_end_an_upload(word):
    """A 1xx that comes while a large request is being sent is no answer to it."""

    def serve(sock: socket.socket) -> None:
        left = request_of(sock)
        sock.sendall(b"HTTP/1.1 " + word + b"\r\n\r\n")
        while left > 0:
            left -= len(sock.recv(65536)) or left
        sock.sendall(answer_of("whole"))

    with peer(serve) as port:
        model = Registry({"LLM_BOX": f"openai+http://127.0.0.1:{port}"}, retries=0).parse("box/m")
        assert model.generate("word " * 1_000_000, timeout=20).text == "whole"


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no alarms here")
@pytest.mark.parametrize("kind", ["socket", "urlopen"])
def test_a_handler_that_fails_in_the_standard_library_is_no_failure_of_the_server(server, kind):
    """What a signal handler raises passes through, wherever it was raised, and the target does not cool down."""
    port = dead_port()

    def report(*args: object) -> None:
        if kind == "socket":
            socket.create_connection(("127.0.0.1", port), timeout=1)
        urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=1)

    registry = Registry({"LLM_BOX": server.dsn()}, retries=0)
    server.add(hang())
    before = signal.signal(signal.SIGALRM, report)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(OSError, match="refused"):
            registry.parse("box/m").generate("Hi", timeout=5)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert registry.health.snapshot() == {}


def test_a_process_without_descriptors_hears_so():
    """An error needs no file to be opened before it can be told."""
    code = """
import resource
from majordomo import Registry
dsn = "openai+http://127.0.0.1:9"
chain = Registry({"LLM_A": dsn, "LLM_B": dsn}, retries=0).parse("a/m, b/m")
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
try:
    chain.generate("Hi", timeout=5)
except Exception as error:
    print(type(error).__name__, len(error.attempts))
"""
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}, check=False
    )
    assert done.stdout.split() == ["ChainError", "2"], done.stderr


def test_only_short_urls_are_kept(server):
    """What a client remembers of URLs is bounded: a server may name very long ones."""
    client = transport.Client()
    for path in ["/a", "/a", "/" + "b" * transport.LONGEST_URL]:
        with pytest.raises(APIError):
            transport.fetch(client, "GET", server.url + path, deadline=Deadline(5))
    assert [len(url) < 100 for url in client._requests] == [True]


def test_sockets_that_somebody_has_replaced(tmp_path):
    """Where a library has put its own sockets in the place of Python's, their failures are still the server's."""
    package = tmp_path / "greens"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "net.py").write_text(
        "import socket\n"
        "class Green(socket.socket):\n"
        "    def connect(self, address):\n"
        "        raise ConnectionRefusedError(111, 'Connection refused')\n"
        "socket.socket = Green\n"
    )
    code = """
import greens.net
from majordomo import Registry
try:
    Registry({"LLM_A": "openai+http://127.0.0.1:9"}, retries=0).parse("a/m").generate("Hi", timeout=5)
except Exception as error:
    print(type(error).__name__)
"""
    env = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    assert done.stdout.split() == ["TransportError"], done.stderr

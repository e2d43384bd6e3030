"""SECURITY.md, promise by promise, where no other test proves one.

Nothing is timed: what a server can make a caller spend is counted, in bytes, pieces and requests.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import pickle
import socket
import struct
import sys
import threading
import traceback
import zlib
from importlib import import_module
from pathlib import Path

import pytest

from majordomo import (
    APIError,
    DeadlineError,
    Image,
    MajordomoError,
    ProtocolError,
    Registry,
    Request,
    Tool,
    ToolCall,
    TransportError,
    _blot,
    user,
)
from majordomo import _http as transport
from majordomo.deadline import Deadline
from majordomo.testing import RED, Drawing, FakeServer, Raw, Reply, Status, redirect
from majordomo.wires import openai_chat
from majordomo.wires._shared import tool_call

WIRES = ("openai", "openai-responses", "anthropic", "google", "ollama", "llama-swap")
TOKEN = "tok-SECRET/1234+5678"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
WORDS = "\x1b[31m\x07\x9b2J\u202e\u200b\u2028 2026-01-01 INFO all is well "  # what drives terminals and forges lines


@pytest.fixture
def elsewhere():
    """Another host, as far as a connection can tell."""
    with FakeServer() as running:
        yield running


def registry_of(server: FakeServer, wire: str, token: str = TOKEN, **settings) -> Registry:
    """A registry with the provider `box`."""
    return Registry({"LLM_BOX": server.dsn(wire, token)}, **{"retries": 0, **settings})


def asked(model, stream: bool, **options):
    """The response of an answer, whole or streamed."""
    if not stream:
        return model.generate("Hi", timeout=30, **options)
    with model.stream("Hi", timeout=30, **options) as events:
        for _ in events:
            pass
        return events.response


def failed(model, stream: bool = False) -> MajordomoError:
    """The error of a call that has to fail."""
    with pytest.raises(MajordomoError) as caught:
        asked(model, stream)
    return caught.value


def printed(error: BaseException) -> str:
    """What a program prints of an error that nobody caught: its causes too, and no variable."""
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


# Where a key goes


@pytest.mark.parametrize("step", [Reply("Hello."), Status(500, "oops")], ids=["answered", "failed"])
@pytest.mark.parametrize("wire", WIRES)
def test_a_key_is_in_nothing_that_a_call_leaves(server, wire, step, caplog):
    """Not in the log, the attempts, the health, a `repr` or a pickle; and in one header of what the server got."""
    caplog.set_level(1)
    server.add(step)
    registry = registry_of(server, wire)
    chain, left = registry.parse("box/m"), []
    try:
        left.append(chain.generate("Hi", timeout=30))
    except MajordomoError as exc:
        left += [exc, *exc.attempts]
    left += [registry, chain, chain.targets[0], registry.provider("box"), registry.health.snapshot()]
    shown = [repr(found) + str(found) for found in left] + [caplog.text]
    shown += [repr(pickle.dumps(found)) for found in (left[0], registry, chain)]
    assert caplog.records
    assert TOKEN[:9] not in "".join(shown)
    seen = server.requests[0]
    assert [name for name, value in seen.headers.items() if TOKEN in value] == [
        {"anthropic": "x-api-key", "google": "x-goog-api-key"}.get(wire, "authorization")
    ]
    assert TOKEN[:9] not in seen.path + seen.body.decode()


def test_the_debug_switch_of_http_client_prints_no_header(server, monkeypatch, capfd):
    """It shows the headers of other programs, keys and all."""
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    asked(registry_of(server, "openai").parse("box/m"), False)
    assert capfd.readouterr() == ("", "")


def test_each_target_hears_its_own_key_alone(server, elsewhere):
    """Failover takes no credential along."""
    server.add(Status(503))
    environ = {"LLM_A": server.dsn("openai", "key-of-a"), "LLM_B": elsewhere.dsn("openai", "key-of-b")}
    Registry(environ).parse("a/m, b/m").generate("Hi", timeout=30)
    assert "key-of-a" in str(server.requests[0].headers)
    assert "key-of-b" not in str(server.requests)
    assert "key-of-b" in str(elsewhere.requests[0].headers)
    assert "key-of-a" not in str(elsewhere.requests)


def test_nobody_elses_credentials_are_sent(server, tmp_path, monkeypatch):
    """No cookie is kept, and no `.netrc` is read."""
    (tmp_path / ".netrc").write_text("default login joe password NETRC\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    payload = {"choices": [{"message": {"content": "Hello."}, "finish_reason": "stop"}]}
    server.add(Status(200, payload, {"Set-Cookie": "id=COOKIE; Path=/"}))
    model = Registry({"LLM_BOX": server.dsn("openai", None)}).parse("box/m")
    asked(model, False)
    asked(model, False)
    assert [{"cookie", "authorization"} & set(seen.headers) for seen in server.requests] == [set(), set()]


def test_a_proxy_hears_no_key_but_inside_the_tunnel(monkeypatch):
    """A tunnel is asked for by host and port, with the proxy's own password."""
    heard = []
    for name in ("ALL_PROXY", "NO_PROXY", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            sock, _ = listener.accept()
            with sock, sock.makefile("rb") as lines:
                heard.extend(iter(lines.readline, b"\r\n"))
                sock.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        monkeypatch.setenv("https_proxy", f"http://joe:pw@127.0.0.1:{listener.getsockname()[1]}")
        error = failed(Registry({"LLM_BOX": "openai://sk-SECRET@box.example"}, retries=0).parse("box/m"))
        thread.join()
    assert heard == [
        b"CONNECT box.example:443 HTTP/1.1\r\n",
        b"Host: box.example:443\r\n",
        b"Proxy-Authorization: Basic am9lOnB3\r\n",
    ]
    assert "joe" not in printed(error) + repr(pickle.dumps(error))


@pytest.mark.parametrize(
    "escaped", [json.dumps, lambda text: json.dumps(text).replace("/", "\\/")], ids=["JSON", "PHP"]
)
def test_a_key_that_is_echoed_in_json_is_blotted_out(server, escaped):
    """Also from the raw body, where signs stand behind a backslash."""
    token = 'q"/\\SECRETS/1234'
    server.add(Status(401, b'{"error": {"message": %s}}' % escaped(f"bad key {token}").encode()))
    error = failed(registry_of(server, "openai", token).parse("box/m"))
    assert "SECRETS" not in printed(error) + repr(vars(error)) + repr(pickle.dumps(error))


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    "name", ["m\r\nX-Evil: 1", "m HTTP/1.1\r\nX-Evil: 1", "m?x=1#y", "../../x", "//evil/x", "\u2028m"]
)
def test_no_name_ends_a_header_or_leads_elsewhere(server, wire, name):
    """A model's or a tool's, however it is asked for: it is sent as a name, or refused."""
    provider = registry_of(server, wire).provider("box")
    tool = Tool(name, "", {})
    calls = [
        lambda: provider.model(name).generate("Hi", timeout=30),
        lambda: asked(provider.model(name), True),
        lambda: asked(provider.model("m"), False, tools=[tool]),
        lambda: provider.image_model(name).generate("a cat", timeout=30),
    ]
    if hasattr(provider, "unload"):
        calls.append(lambda: provider.unload(name))
    for call in calls:
        try:
            call()
        except MajordomoError:
            pass
    assert server.requests
    for seen in server.requests:
        assert "x-evil" not in seen.headers
        assert seen.headers["host"] == server.host
        assert seen.path[:2] != "//"
        assert "x=1" not in seen.path
        assert "../" not in seen.path


# What a server says


SAID = {
    "in the status line": Raw(f"{WORDS} 200\r\n\r\n".encode()),
    "in a status": Raw(f"HTTP/1.1 {WORDS}\r\n\r\n".encode()),
    "in a header without a name": Raw(f"HTTP/1.1 500 {WORDS}\r\n{WORDS}\r\n\r\n".encode()),
    "in an id": Raw(f"HTTP/1.1 500 {WORDS}\r\nx-request-id: {WORDS * 90}\r\n\r\n".encode()),
    "in an encoding": Raw(OK + f"Content-Encoding: {WORDS * 90}\r\n\r\n".encode()),
    "in a place to go": redirect(f"http://{WORDS * 90}/"),
    "in a text": Status(400, WORDS * 900),
    "in a page": Status(502, f"<html>{WORDS * 900}"),
    "in an error": Status(400, {"error": dict.fromkeys(("message", "code", "type", "param", "status"), WORDS * 90)}),
    "in an error of a 200": Status(200, {"error": dict.fromkeys(("message", "code", "type", "param"), WORDS * 90)}),
    "in what is no JSON": Status(200, WORDS * 900),
    "in a size": Raw(CHUNKED + f"{WORDS}\r\n".encode()),
    "in an event": Raw(EVENTS + f"event: {WORDS}\ndata: {WORDS * 90}\n\n".encode()),
    "in a line": Raw(OK + f"\r\n{WORDS * 90}\n".encode()),
    "in a reason": Status(200, {"promptFeedback": dict.fromkeys(("blockReason", "blockReasonMessage"), WORDS * 90)}),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", SAID)
def test_a_server_can_neither_drive_a_terminal_nor_forge_a_line(server, wire, name, stream, caplog):
    """Messages, attempts and log lines are short and printable, and so is the traceback with its causes."""
    caplog.set_level(logging.INFO)
    server.add(SAID[name])
    error = failed(registry_of(server, wire).parse("box/m"), stream)
    lines = [
        str(error),
        *(str(attempt) for attempt in error.attempts),
        *(record.getMessage() for record in caplog.records),
    ]
    assert all(line.isprintable() and len(line) < 700 for line in lines)
    assert all(line.isprintable() for line in printed(error).split("\n"))


# What is fetched and decoded


def drawing_fails(server: FakeServer, *rows) -> ProtocolError:
    """The error of a server that draws what cannot be had."""
    server.add(Status(200, {"data": list(rows)}))
    with pytest.raises(ProtocolError) as caught:
        registry_of(server, "openai").parse_image("box/m").generate("a cat", timeout=30)
    return caught.value


def test_a_host_of_absurd_length_is_not_repeated(server):
    """The URL of a picture is the server's word too."""
    error = drawing_fails(server, {"url": f"http://{'a' * 9000}/x.png"})
    assert len(str(error)) < 700
    assert len(printed(error)) < 20_000


@pytest.mark.parametrize("status", [200, 404])
def test_what_a_fetched_url_says_is_not_told(server, elsewhere, status):
    """It may be a private address: nothing but a picture comes back, and of an error its status."""
    elsewhere.add(*[Status(status, "INTERNAL", {"x-request-id": "INTERNAL"})] * 2, path="/meta-data")
    error = drawing_fails(server, {"url": elsewhere.url + "/meta-data"})
    assert elsewhere.requests
    assert "INTERNAL" not in str(error) + repr(error.attempts)


def test_an_answer_of_too_many_urls_fetches_none(server, elsewhere):
    """A hundred pictures, or as many as were asked for."""
    error = drawing_fails(server, *[{"url": elsewhere.url + "/a.png"}] * 101)
    assert "101 pictures" in str(error)
    assert elsewhere.requests == []


def test_what_a_server_draws_is_not_decoded(server, monkeypatch):
    """It is handed on byte for byte, whatever size its header announces; Pillow is not looked for."""
    monkeypatch.setitem(sys.modules, "PIL", None)
    huge = RED[:16] + struct.pack(">II", 30_000, 30_000) + RED[24:]
    server.add(Drawing(images=[huge]))
    response = registry_of(server, "openai").parse_image("box/m").generate("a cat", timeout=30)
    assert response.images == (Image(huge),)


def test_a_call_to_this_machine_reads_no_environment(server, monkeypatch):
    """A registry with variables of its own asks nobody else: neither for proxies nor for certificates."""

    class Closed(dict):
        def __getitem__(self, name):
            raise AssertionError(f"{name} was read")

        __contains__ = __iter__ = get = items = keys = __getitem__

    registry = registry_of(server, "openai")
    monkeypatch.setattr(os, "environ", Closed())
    assert asked(registry.parse("box/m"), False).text


# What a server can make us spend


# A row of the table -> the constant that holds its figure, and the unit in which it is told.
FIGURES = {
    "connecting: name, TCP, proxy, TLS": ("_connection.CONNECT_TIMEOUT", "s"),
    "an attempt, if nobody gives a timeout": ("providers.CLOUD_TIMEOUT", "s"),
    "the same at a server of one's own (Ollama, llama-swap, foreman)": ("providers.LOCAL_TIMEOUT", "s"),
    "listing and unloading, if nobody gives a timeout": ("model.MANAGE_TIMEOUT", "s"),
    "reading the body of an error": ("_failures.ERROR_TIME", "s"),
    "waiting for the end of a stream that is finished": ("providers._base.AFTER_FINISH", "s"),
    "what is asked ahead of a question": ("providers._told.ASKING", "s"),
    "a `Retry-After` that a call without a timeout waits for": ("chain.LONGEST_UNASKED_WAIT", "s"),
    "a `Retry-After` that a target cools down for": ("health.RETRY_AFTER_CAP", "s"),
    "the wait between two passes over a chain": ("deadline.BACKOFF_CAP", "s"),
    "bytes of an answer, with all that is around its body": ("_connection.MOST_BYTES", "MiB"),
    "bytes of a body, unpacked": ("_http.CAP", "MiB"),
    "bytes of a body that holds drawn pictures": ("providers._drawing.DRAWN_CAP", "MiB"),
    "bytes of all pictures of an answer that lie at URLs": ("providers._drawing.DRAWN_CAP", "MiB"),
    "bytes of an error's body that are read": ("_failures.ERROR_CAP", "KiB"),
    "characters of it in `APIError.body`": ("_failures.BODY_CAP", ""),
    "characters of a server's words in a message": ("_failures.MESSAGE_CAP", ""),
    "characters of its code, and of the parameter it names": ("_failures.CODE_CAP", ""),
    "bytes of a line of a head": ("_incoming.LINE_CAP", "KiB"),
    "header fields, and again trailers": ("_incoming.FIELD_CAP", ""),
    "answers of status 1xx before the answer": ("_incoming.MOST_INFORMATIONAL", ""),
    "values in JSON of over 1 MiB": ("_json.MOST_VALUES", ""),
    "tool calls of an answer": ("wires._shared.MOST_CALLS", ""),
    "characters of the name of a tool call, as it grows": ("wires._growing.LONGEST_NAME", ""),
    "items of a stream of Responses": ("wires._responses_answers.MOST_ITEMS", ""),
    "pictures of an answer, if fewer were asked for": ("wires.openai_images.MOST_PICTURES", ""),
    "requests to draw in one call, where each is for one picture": ("providers._drawing.MOST_REQUESTS", ""),
    "mismatches of an answer with its schema that are kept": ("_mismatch.MOST_KEPT", ""),
    "of them in a message": ("_mismatch.MOST_TOLD", ""),
    "characters that a model is told of what a tool raised": ("_tool_calls.LONGEST_ERROR", ""),
    "pages of a list of models": ("providers._base.MOST_PAGES", ""),
    "models in it": ("providers._base.MOST_MODELS", ""),
    "bytes of all its pages": ("_http.CAP", "MiB"),
    "idle connections to a server": ("_http.KEPT", ""),
}
UNITS = {"": 1, "s": 1, "KiB": 1 << 10, "MiB": 1 << 20}


def figure(constant: str, unit: str) -> str:
    """A constant as the table has it."""
    home, _, name = constant.rpartition(".")
    size = getattr(import_module(f"majordomo.{home}"), name) / UNITS[unit]
    return f"{size:.0f} {unit}".strip()


def test_the_figures_of_the_table_are_those_of_the_code():
    """Each row of SECURITY.md names a limit that is there, and says how much it is."""
    text = (Path(__file__).parent.parent / "SECURITY.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert [row[:2] for row in rows[1:]] == [[what, figure(*where)] for what, where in FIGURES.items()]


BOMB = 8 << 20  # bytes that the small bodies here unpack to


def pieces(server: FakeServer, step, cap: int = transport.CAP) -> list[int]:
    """The sizes of the pieces in which a body is handed out."""
    server.add(step)
    with transport.stream(
        transport.Client(), "POST", server.url + "/v1/chat/completions", {}, deadline=Deadline(30), cap=cap
    ) as source:
        return [len(piece) for piece in source]


def test_a_compressed_body_is_unpacked_in_small_pieces(server):
    """A few bytes that unpack to a flood of lines are no more to hold at once than others."""
    body = zlib.compress(b"a\n" * (BOMB // 2), 9)
    sizes = pieces(server, Status(200, body, {"Content-Encoding": "deflate"}))
    assert sum(sizes) == BOMB
    assert max(sizes) <= 1 << 20


def test_a_deadline_is_kept_while_a_body_is_unpacked(server, monkeypatch):
    """What one read holds may take longer to go through than there is time, though nothing of it is an event."""
    seconds, inner = [0.0], transport.Answer.chunks

    def slow(answer, *cap):
        for piece in inner(answer, *cap):
            seconds[0] += 1.0
            yield piece

    monkeypatch.setattr(transport.Answer, "chunks", slow)
    server.add(Status(200, zlib.compress(b"a\n" * (BOMB // 2), 9), {"Content-Encoding": "deflate"}))
    target = registry_of(server, "openai").parse("box/m").targets[0]
    with pytest.raises(DeadlineError):
        list(target.events(Request([user("Hi")]), Deadline(5.0, clock=lambda: seconds[0])))
    assert seconds[0] <= 6.0


def test_a_compressed_error_is_unpacked_no_further_than_it_is_read(server, monkeypatch):
    """Its first 64 KiB are enough."""
    unpacked, inner = [], transport.Answer.chunks

    def counting(answer, *cap):
        for piece in inner(answer, *cap):
            unpacked.append(len(piece))
            yield piece

    monkeypatch.setattr(transport.Answer, "chunks", counting)
    server.add(Status(400, zlib.compress(b"a" * BOMB, 9), {"Content-Encoding": "deflate"}))
    assert isinstance(failed(registry_of(server, "openai").parse("box/m")), APIError)
    assert 0 < sum(unpacked) <= 1 << 20


FLOOD = b"[" + b"0," * 1_100_000 + b"0]"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("wire", WIRES)
def test_an_answer_of_more_values_than_any_answer_needs(server, wire, stream):
    """Each takes many times its bytes to hold, and time to read that no deadline can interrupt."""
    line = b'{"choices": %s}\n' % FLOOD
    server.add(Raw(OK + b"\r\n" + (line if wire == "ollama" or not stream else b"data: " + line + b"\n")))
    error = failed(registry_of(server, wire).parse("box/m"), stream)
    assert isinstance(error, ProtocolError)
    assert "1,000,000 values" in str(error)


def test_arguments_of_more_values_than_any_call_needs():
    """They are text until the whole of it has come, however small the pieces were; what is absurd is kept as text."""
    call = tool_call("call_1", "f", f'{{"a": {FLOOD.decode()}}}')
    assert len(call.arguments) == 0
    assert call.malformed is not None
    assert len(call.malformed) == len(FLOOD) + 7


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("wire", WIRES)
def test_an_answer_of_too_many_tool_calls(server, wire, stream):
    """A thousand are taken, one more is a ProtocolError."""
    calls = [ToolCall(f"call_{number}", "f", {}) for number in range(1001)]
    server.add(Reply(tool_calls=calls), Reply(tool_calls=calls[1:]))
    target = registry_of(server, wire).parse("box/m").targets[0]
    with pytest.raises(ProtocolError, match="more than 1000"):
        asked(target, stream)
    assert len(asked(target, stream).tool_calls) == 1000


def test_a_stream_of_too_many_tool_calls_ends_there():
    """None is kept beyond a thousand, however many follow."""
    decoder = openai_chat.StreamDecoder(openai_chat.Quirks())
    events = [
        json.dumps({"choices": [{"delta": {"tool_calls": [{"index": number, "id": str(number)}]}}]}).encode()
        for number in range(1001)
    ]
    for event in events[:-1]:
        decoder.feed("", event)
    with pytest.raises(ProtocolError, match="more than 1000"):
        decoder.feed("", events[-1])


def test_the_name_of_a_call_does_not_grow_for_ever():
    """Each piece tells the name so far, so that a long one would cost its square."""
    decoder = openai_chat.StreamDecoder(openai_chat.Quirks())
    events = [
        json.dumps({"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"name": sign * 100}}]}}]}).encode()
        for sign in "ab"
    ]
    told = 0
    with pytest.raises(ProtocolError, match="name"):
        for number in range(1000):
            told += sum(len(delta.name) for delta in decoder.feed("", events[number % 2]))
    assert told < 1_000_000


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 100 Continue\r\n\r\n" * 100, CHUNKED + b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 1000 + b"\r\n"],
    ids=["100 Continue", "trailers"],
)
def test_what_comes_around_an_answer_is_bounded(server, answer):
    """Answers before the answer, and fields behind it."""
    server.add(Raw(answer, keep=True))
    with pytest.raises(TransportError, match="not HTTP"):
        asked(registry_of(server, "openai").parse("box/m"), False)


def test_chunks_that_hold_next_to_nothing_end(server, monkeypatch):
    """What stands around the bytes of a body is counted too."""
    monkeypatch.setattr("majordomo._connection.MOST_BYTES", 1_000_000)
    chunk = b"1;" + b"x" * 60_000 + b"\r\n \r\n"
    server.add(Raw(CHUNKED + chunk * 20), Raw(CHUNKED + chunk * 15 + b"2\r\n{}\r\n0\r\n\r\n"))
    target = registry_of(server, "openai").parse("box/m").targets[0]
    with pytest.raises(TransportError, match="not HTTP"):
        asked(target, False)
    with pytest.raises(ProtocolError, match="no choices"):  # it was read to its end
        asked(target, False)


def refused(seen) -> Status:
    """A refusal of the first thing in a request that can be left out, in the words of several vendors."""
    body = {**seen.json, **seen.json.get("generationConfig", {})}
    name = next((name for name in OPTIONAL if name in body), "model")
    said = {"code": "unsupported_parameter", "param": name, "type": "invalid_request_error"}
    return Status(400, {"error": {"message": f'{name} is not supported, unknown name "{name}"', **said}})


# What wires call the options of a request, and what they add of their own.
OPTIONAL = (
    *("reasoning_effort", "chat_template_kwargs", "reasoning", "include", "thinking", "thinkingConfig", "think"),
    *("max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens", "stream_options", "temperature"),
    *("top_p", "topP", "seed", "stop", "stopSequences"),
)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("wire", [wire for wire in WIRES if wire != "ollama"])  # which leaves nothing out
def test_a_server_that_refuses_everything_is_not_asked_for_ever(server, wire, stream):
    """What it calls unsupported is left out or renamed, each once, and then the error is the caller's."""
    options = {"temperature": 0.5, "top_p": 0.5, "stop": ("x",), "seed": 1, "max_tokens": 50, "reasoning": "high"}
    server.add(*[refused] * 20)
    with pytest.raises(APIError):
        asked(registry_of(server, wire, retries=2).parse("box/m"), stream, **options)
    assert 1 < len(server.requests) <= 12


class Counted(str):
    """A text that counts how often it is gone through."""

    passes = 0

    def lower(self):
        Counted.passes += 1
        return super().lower()


def test_a_text_is_searched_for_a_key_once(monkeypatch):
    """However long the key is: what had arrived of an answer may be many megabytes."""
    monkeypatch.setattr(Counted, "passes", 0)
    assert _blot.blotted(Counted("a text without it"), "k3y" * 100) == "a text without it"
    assert Counted.passes <= 8


def test_counts_that_no_server_counts_are_unknown(server):
    """A response can be shown, whatever numbers it came with."""
    tokens = int("9" * 4300)
    usage = {"input_tokens": tokens, "cache_read_input_tokens": tokens, "output_tokens": tokens}
    content = [{"type": "text", "text": "Hello."}]
    server.add(Status(200, {"type": "message", "content": content, "stop_reason": "end_turn", "usage": usage}))
    model = registry_of(server, "anthropic").parse("box/m")
    response = model.generate([user("Hi")], timeout=30)
    assert response.usage.input_tokens is None
    assert "Hello." in repr(response)

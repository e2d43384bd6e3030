"""The fake server: what users' tests, ours and the demo may rely on."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import threading
import time
from base64 import b64decode
from pathlib import Path

import pytest
import readers

from majordomo import (
    APIError,
    DeadlineError,
    Image,
    Registry,
    Response,
    ToolCall,
    TransportError,
    TruncatedError,
    Usage,
    assistant,
)
from majordomo.testing import (
    RED,
    Drawing,
    FakeServer,
    Fault,
    Raw,
    Reply,
    Seen,
    Status,
    cut,
    dead_port,
    drip,
    endless,
    hang,
    redirect,
    reset,
)

CHAT = "/v1/chat/completions"
TLS = Path(__file__).parent / "data" / "tls"


def http_ask(server, method="POST", path=CHAT, body=b"{}", headers=()):
    """(status, headers, body) as a client without any of our code sees them."""
    connection = http.client.HTTPConnection(server.host, timeout=5)
    try:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def model_of(server, **settings):
    settings.setdefault("retries", 0)
    return Registry({"LLM_BOX": server.dsn()}, random=lambda: 0.0, **settings).parse("box/m")


def both(model, **options):
    """The same question asked for as a whole and as a stream."""
    whole = model.generate("Hi", timeout=5, **options)
    with model.stream("Hi", timeout=5, **options) as stream:
        list(stream)
    return whole, stream.response


# The script


def test_the_script_is_answered_in_order_then_the_default():
    """One step a question."""
    with FakeServer(Reply("one"), Status(503), Reply("two")) as server:
        model = model_of(server, retries=1)
        assert [model.generate("Hi", timeout=5).text for _ in range(3)] == ["one", "two", "Hello from the fake server."]
        server.default = Reply("changed")
        assert model.generate("Hi", timeout=5).text == "changed"
        server.add(Reply("three"))
        assert model.generate("Hi", timeout=5).text == "three"


def test_lists_do_not_use_up_the_script():
    """Steps are for questions to a model; one for another path is added with that path."""
    with FakeServer(Reply("one")) as server:
        box = Registry({"LLM_BOX": server.dsn()})
        provider = box.provider("box")
        assert provider.list_models() == ["org/vision:8b", "qwen3:14b"]
        server.add(Status(500, "no"), path="/models")
        with pytest.raises(APIError):
            provider.list_models()
        assert provider.list_models() == ["org/vision:8b", "qwen3:14b"]
        assert box.parse("box/m").generate("Hi", timeout=5).text == "one"


def test_a_step_may_depend_on_the_request():
    """A function gets what was seen and gives a step."""
    with FakeServer(lambda seen: Reply(seen.json["messages"][0]["content"][::-1])) as server:
        assert model_of(server).generate("abc", timeout=5).text == "cba"


def test_requests_are_kept_as_they_came():
    """Method, path with its query, headers in lower case, body."""
    with FakeServer() as server:
        http_ask(server, "POST", CHAT + "?a=1", b'{"model": "m"}', {"X-Odd": "Yes"})
        http_ask(server, "GET", "/v1/models", None)
        first, second = server.requests
    assert (first.method, first.path) == ("POST", CHAT + "?a=1")
    assert (first.body, first.json) == (b'{"model": "m"}', {"model": "m"})
    assert first.headers["x-odd"] == "Yes"
    assert (second.method, second.path, second.body, second.json) == ("GET", "/v1/models", b"", None)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[1]", b"5", b'"text"', b"null", b'{"model": 5}'])
def test_a_body_that_is_no_question_is_answered_all_the_same(body):
    """What a client sends is the test's business."""
    with FakeServer(Status(200, "fine")) as server:
        assert http_ask(server, body=body)[2] == b"fine"


def test_connections_are_counted():
    """Kept ones serve many questions."""
    with FakeServer() as server:
        model = model_of(server)
        for _ in range(3):
            model.generate("Hi", timeout=5)
        assert server.connections == 1


# Replies


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply("Hello."), {"text": "Hello.", "stop_reason": "stop"}),
        (Reply(""), {"text": "", "stop_reason": "stop"}),
        (Reply("Zürich – 東京 🙂"), {"text": "Zürich – 東京 🙂"}),
        (Reply("Yes", thinking="Hm."), {"text": "Yes", "thinking": "Hm."}),
        (Reply("cut", stop_reason="length"), {"text": "cut", "stop_reason": "length"}),
        (Reply("", stop_reason="content_filter"), {"stop_reason": "content_filter"}),
        (Reply("odd", stop_reason="other"), {"stop_reason": "other"}),
        (Reply("one two", pieces=("one", " ", "two")), {"text": "one two"}),
        (Reply("x", usage=Usage(3, 4, 1, 2)), {"usage": Usage(3, 4, 1, 2)}),
        (Reply("x", usage=None), {"usage": Usage()}),
        (Reply(refusal="I won't."), {"refusal": "I won't.", "stop_reason": "refusal"}),
        (
            Reply(tool_calls=(ToolCall("1", "look", {"at": "ü"}), ToolCall("2", "leap", {}))),
            {
                "tool_calls": (ToolCall("1", "look", {"at": "ü"}), ToolCall("2", "leap", {})),
                "stop_reason": "tool_calls",
            },
        ),
        (
            Reply(tool_calls=(ToolCall("1", "look", malformed="{oops"),)),
            {"tool_calls": (ToolCall("1", "look", malformed="{oops"),)},
        ),
    ],
)
def test_a_reply_is_told_in_the_wire_that_was_asked_streamed_or_not(reply, said):
    """Both ways lead to the same response."""
    with FakeServer(reply, reply) as server:
        for response in both(model_of(server)):
            assert {name: getattr(response, name) for name in said} == said


def test_a_reply_can_be_made_of_a_response():
    """And leads back to it."""
    given = Response(assistant("Hello."), "length", Usage(1, 2, 0, 0))
    with FakeServer(Reply.of(given), Reply.of(given)) as server:
        for response in both(model_of(server)):
            assert (response.text, response.stop_reason, response.usage) == ("Hello.", "length", Usage(1, 2, 0, 0))


def test_pieces_are_the_deltas_of_a_stream():
    """As given, or a few characters each."""
    with FakeServer(Reply("abcdef", pieces=("a", "bcd", "ef")), Reply("0123456789")) as server:
        model = model_of(server)
        assert list(model.stream("Hi", timeout=5).text_deltas()) == ["a", "bcd", "ef"]
        assert list(model.stream("Hi", timeout=5).text_deltas()) == ["012345", "6789"]


# HTTP as it should not be


@pytest.mark.parametrize(
    ("step", "status", "body"),
    [
        (Status(418, "tea"), 418, b"tea"),
        (Status(200, b"\x00\xff"), 200, b"\x00\xff"),
        (Status(400, {"error": "no"}), 400, b'{"error": "no"}'),
        (Status(200, [1, 2]), 200, b"[1, 2]"),
        (Status(200, []), 200, b"[]"),
        (Status(200, [b"in ", b"pieces"]), 200, b"in pieces"),
        (Status(), 200, b""),
        (redirect("http://elsewhere/"), 302, b""),
        (redirect("http://elsewhere/", 308), 308, b""),
        (Raw(b"HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nhi"), 299, b"hi"),
    ],
)
def test_a_status_is_any_http_answer(step, status, body):
    """JSON values, text, bytes, or pieces that are sent chunked."""
    with FakeServer(step) as server:
        found, headers, content = http_ask(server)
    assert (found, content) == (status, body)
    if status in (302, 308):
        assert headers["Location"] == "http://elsewhere/"


def test_a_status_sends_the_headers_it_is_given():
    """Also a length that is not true."""
    with FakeServer(Status(429, "x", {"Retry-After": "7"}), Status(200, "x", {"Content-Length": "5"})) as server:
        assert http_ask(server)[1]["Retry-After"] == "7"
        connection = http.client.HTTPConnection(server.host, timeout=5)
        connection.request("POST", CHAT, b"{}")
        answer = connection.getresponse()
        assert answer.headers["Content-Length"] == "5"
        connection.close()


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (cut(), TransportError),
        (reset(), TransportError),
        (Raw(b""), TransportError),
        (Raw(b"SSH-2.0-OpenSSH\r\n"), TransportError),
        (cut(Reply("Hello."), after=-3), TruncatedError),
        (cut(Reply("Hello."), after=None), TruncatedError),
        (hang(), DeadlineError),
        (hang(Reply("Hello."), after=None), DeadlineError),
        (hang(Reply("Hello."), after=-3), DeadlineError),
        (drip(Reply("Hello."), 0.05), DeadlineError),
    ],
    ids=["cut", "reset", "nothing", "ssh", "cut body", "head alone", "hang", "hang after head", "hang in body", "drip"],
)
def test_a_fault_is_what_it_says(step, error):
    """Each shows at the client as the error of that fault, well within the test's patience."""
    with FakeServer(step) as server, pytest.raises(error):
        model_of(server).generate("Hi", timeout=0.15 if error is DeadlineError else 5)


def test_a_reset_after_some_bytes_lets_them_arrive():
    """Then the connection is gone, not politely."""
    with FakeServer(reset(Status(200, "0123456789"), after=-5), reset()) as server:
        connection = http.client.HTTPConnection(server.host, timeout=5)
        connection.request("POST", CHAT, b"{}")
        answer = connection.getresponse()
        assert answer.read1(5) == b"01234"
        with pytest.raises(ConnectionResetError):
            answer.read()
        answer.close()
        connection.close()
        with pytest.raises(ConnectionResetError):
            http_ask(server)


def test_a_drip_arrives_in_the_end():
    """Byte by byte."""
    with FakeServer(drip(Status(200, "slow"), 0.001, after=-4)) as server:
        assert http_ask(server)[2] == b"slow"


def test_an_endless_answer_goes_on_until_the_client_has_had_enough():
    """And the server is not held up by it."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    with FakeServer(endless(b": ping\n\n", Raw(head), after=len(head)), Reply("next")) as server:
        connection = http.client.HTTPConnection(server.host, timeout=5)
        connection.request("POST", CHAT, b"{}")
        answer = connection.getresponse()
        assert len(answer.read(300_000)) == 300_000
        connection.close()
        answer.close()
        assert model_of(server).generate("Hi", timeout=5).text == "next"


def test_an_endless_answer_may_take_its_time():
    """With a pause between, as servers do that keep a connection alive and have nothing to say."""
    with FakeServer(endless(b": ping\n\n", Raw(b"HTTP/1.1 200 OK\r\n\r\n"), 10**6, seconds=0.01)) as server:
        connection = http.client.HTTPConnection(server.host, timeout=5)
        connection.request("POST", CHAT, b"{}")
        with connection.getresponse() as answer:
            assert answer.read(24) == b": ping\n\n" * 3
        connection.close()


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_a_greeting_comes_before_everything(secure):
    """Before TLS too, and without a question; every connection gets it until it is taken away."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if secure else None
    with FakeServer(Reply("one"), ssl_context=context) as server:
        server.greeting = Raw(b"SSH-2.0-OpenSSH\r\n")
        for _ in range(2):
            with socket.create_connection(server.host.split(":"), timeout=5) as sock:
                assert sock.recv(100) == b"SSH-2.0-OpenSSH\r\n"
                assert sock.recv(100) == b""
        assert (server.connections, server.requests) == (2, [])
        if not secure:
            server.greeting = None
            assert model_of(server).generate("Hi", timeout=5).text == "one"


def test_a_greeting_may_be_a_fault():
    """Silence, for one: the connection stands, and nothing comes."""
    with FakeServer() as server:
        server.greeting = hang()
        with pytest.raises(DeadlineError):
            model_of(server).generate("Hi", timeout=0.15)
        server.greeting = reset()
        with pytest.raises(TransportError):
            model_of(server).generate("Hi", timeout=5)
        assert server.requests == []


def test_a_request_that_is_too_large_is_refused_unread():
    """Its head is kept, its body is not; smaller ones take the script."""
    with FakeServer(Reply("one")) as server:
        server.max_body = 1000
        model = model_of(server)
        with pytest.raises(APIError) as caught:
            model.generate("x" * 1000, timeout=5)
        assert caught.value.status == 413
        assert model.generate("Hi", timeout=5).text == "one"
        assert [len(seen.body) > 0 for seen in server.requests] == [False, True]


def test_what_a_large_request_gets_is_a_step():
    """A function of what was seen, or a fault."""
    with FakeServer() as server:
        server.max_body = 1000
        server.too_large = lambda seen: Status(507, seen.headers["content-length"])
        with pytest.raises(APIError, match="HTTP 507: [0-9]{4}") as caught:
            model_of(server).generate("x" * 1000, timeout=5)
        server.too_large = hang()
        with pytest.raises(DeadlineError):
            model_of(server).generate("x" * 1000, timeout=0.15)
        assert caught.value.status == 507


def test_faults_are_plain_values():
    """Which a table of cases can hold and compare."""
    assert hang() == Fault("hang", Raw(b""), 0)
    assert drip(Reply("x"), 0.1) == Fault("drip", Reply("x"), 0, 0.1)
    assert endless(b"x", seconds=1) == Fault("endless", Raw(b""), 0, 1, b"x")
    assert cut(after=5) != cut(after=6)


# Everything beside chat


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/health", 200, "OK"),
        ("GET", "/unload", 200, "OK"),
        ("POST", "/api/models/unload", 200, '{"msg": "ok"}'),
        ("POST", "/api/models/unload/qwen3:14b", 200, "OK"),
        ("POST", "/api/models/unload/org%2Fvision:8b", 200, "OK"),
        ("POST", "/api/models/unload/nope", 404, "model not found"),
        ("GET", "/nope", 404, "404 page not found"),
        ("GET", "/running", 200, '"running": []'),
        ("GET", "/v1/models", 200, '"id": "qwen3:14b"'),
    ],
)
def test_other_paths_are_answered_as_llama_swap_does(method, path, status, body):
    """Lists, what runs, unloading."""
    with FakeServer() as server:
        found, _, content = http_ask(server, method, path, None)
    assert (found, body in content.decode()) == (status, True)


def test_a_model_that_was_asked_runs_until_it_is_unloaded():
    """One by one, or all."""
    with FakeServer(models=["a", "b"]) as server:
        registry = Registry({"LLM_BOX": server.dsn()})
        box = registry.provider("box")
        for name in ("a", "b", "a"):
            registry.parse(f"box/{name}").generate("Hi", timeout=5)
        assert server.running == ["a", "b"]
        assert [row["model"] for row in box.running()["running"]] == ["a", "b"]
        box.unload("a")
        assert server.running == ["b"]
        box.unload()
        assert server.running == []


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/running", "/api/models/unload"])
def test_a_server_with_a_token_wants_it(path):
    """As a bearer; `/health` is open."""
    method = "GET" if path in ("/v1/models", "/running") else "POST"
    with FakeServer(token="t") as server:
        for given, status in ((None, 401), ("Bearer x", 401), ("t", 401), ("Bearer t", 200)):
            headers = {} if given is None else {"Authorization": given}
            assert http_ask(server, method, path, b"{}", headers)[0] == status
        assert http_ask(server, "GET", "/health", None)[0] == 200


def test_a_refused_question_does_not_use_up_the_script():
    """The step waits for one that is let in."""
    with FakeServer(Reply("one"), token="t") as server:
        http_ask(server)
        answer = json.loads(http_ask(server, headers={"Authorization": "Bearer t"})[2])
    assert answer["choices"][0]["message"]["content"] == "one"


# Addresses and life


@pytest.mark.parametrize(
    ("given", "dsn"),
    [
        ({}, "llama-swap://test-token@{host}"),
        ({"scheme": "openai"}, "openai+http://test-token@{host}"),
        ({"token": None}, "llama-swap://{host}"),
        ({"token": "a/b?c#d@e"}, "llama-swap://a%2Fb%3Fc%23d%40e@{host}"),
        ({"path": "/prefix"}, "llama-swap://test-token@{host}/prefix"),
        ({"options": "timeout=5"}, "llama-swap://test-token@{host}?timeout=5"),
    ],
)
def test_a_server_knows_its_dsn(given, dsn):
    """http is said where it must be, the token is encoded."""
    with FakeServer() as server:
        assert server.dsn(**given) == dsn.format(host=server.host)
        assert server.url == f"http://{server.host}"
        assert server.host.startswith("127.0.0.1:")


def test_a_dead_port_refuses():
    """At once."""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", dead_port()), timeout=5)


def test_a_stopped_server_refuses_until_it_is_started_again():
    """On its port of before, with its script and its memory."""
    server = FakeServer(Reply("one"), Reply("two")).start()
    host, model = server.host, model_of(server)
    assert model.generate("Hi", timeout=5).text == "one"
    server.stop()
    with pytest.raises(TransportError):
        model.generate("Hi", timeout=5)
    server.start()
    try:
        assert server.host == host
        assert model.generate("Hi", timeout=5).text == "two"
        assert len(server.requests) == 2
    finally:
        server.stop()


def test_stopping_twice_or_before_the_start_does_no_harm():
    """Clean-up may be careless."""
    server = FakeServer()
    server.stop()
    server.start()
    server.stop()
    server.stop()


def test_a_hanging_client_does_not_hold_up_the_end():
    """`stop` closes what is open, and leaves no thread behind."""
    before = threading.active_count()
    with FakeServer(hang()) as server:
        connection = http.client.HTTPConnection(server.host, timeout=5)
        connection.request("POST", CHAT, b"{}")
        while not server.requests:
            time.sleep(0.001)
        began = time.monotonic()
    assert time.monotonic() - began < 1
    connection.close()
    until = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < until:
        time.sleep(0.001)
    assert threading.active_count() <= before


def test_drop_closes_what_is_open_and_goes_on():
    """As a server does that is tired of waiting; a kept connection is opened anew."""
    with FakeServer() as server:
        model = model_of(server)
        model.generate("Hi", timeout=5)
        server.drop()
        assert model.generate("Hi", timeout=5).text
        assert server.connections == 2


def test_many_may_ask_at_once():
    """Each question takes one step of the script."""
    steps = [Reply(str(n)) for n in range(20)]
    with FakeServer(*steps) as server:
        model, found = model_of(server), []
        threads = [threading.Thread(target=lambda: found.append(model.generate("Hi", timeout=5).text)) for _ in steps]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found, key=int) == [str(n) for n in range(20)]


@pytest.mark.skipif(not (TLS / "good.pem").exists(), reason="no certificate at hand")
def test_a_server_may_speak_tls():
    """Then its DSN says nothing of http."""
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(TLS / "good.pem")
    client_side = ssl.create_default_context(cafile=str(TLS / "ca.pem"))
    with FakeServer(ssl_context=server_side) as server:
        assert server.url == f"https://{server.host}"
        assert server.dsn("openai") == f"openai://test-token@{server.host}"
        registry = Registry({"LLM_BOX": server.dsn("llama-swaps")}, ssl_context=client_side)
        assert registry.parse("box/m").generate("Hi", timeout=5).text == "Hello from the fake server."


def test_seen_is_a_value():
    """A test may compare it."""
    assert Seen("GET", "/", {}, b"{}") == Seen("GET", "/", {}, b"{}")
    assert Seen("GET", "/", {}, b"{}").json == {}


# Drawing

DRAW, EDIT, GEMINI = "/v1/images/generations", "/v1/images/edits", "/v1beta/models/gemini%2Fx:generateContent"
GEMINI_BODY = b'{"generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}}'
JPEG = b"\xff\xd8\xffpicture"
FORM = {"Content-Type": "multipart/form-data; boundary=B"}
FORM_BODY = (
    b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\nflux\r\n'
    b'--B\r\nContent-Disposition: form-data; name="n"\r\n\r\n2\r\n'
    b'--B\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    b"\x00\r\n\xff\r\r\n--B--\r\n"
)


def drawn(server, path=DRAW, body=b"{}", headers=()):
    """The bytes of the pictures that a question to draw gets, and its JSON."""
    payload = json.loads(http_ask(server, "POST", path, body, headers)[2])
    if "candidates" in payload:
        rows = [part["inlineData"]["data"] for part in payload["candidates"][0]["content"]["parts"]]
    else:
        rows = [row["b64_json"] for row in payload["data"]]
    return [b64decode(row) for row in rows]


@pytest.mark.parametrize(
    ("path", "body", "headers", "count"),
    [
        (DRAW, b"{}", {}, 1),
        (DRAW, b'{"n": 3}', {}, 3),
        (DRAW, b'{"n": "x"}', {}, 1),
        (DRAW, b'{"n": 1000000}', {}, 100),
        (DRAW, b"[]", {}, 1),
        (EDIT, FORM_BODY, FORM, 2),
        (EDIT, b"junk", FORM, 1),
        (GEMINI, GEMINI_BODY, {}, 1),
    ],
)
def test_a_question_to_draw_is_answered_with_pictures(path, body, headers, count):
    """Without a step: small pictures, as many as were asked for, in the wire of the path."""
    with FakeServer() as server:
        assert drawn(server, path, body, headers) == [RED] * count


@pytest.mark.parametrize("path", [DRAW, EDIT, GEMINI])
def test_a_drawing_is_a_step_like_others(path):
    """Pictures as bytes or images, one or several, in order; faults and statuses as for any question."""
    with FakeServer(Drawing(JPEG), Drawing((Image(RED), JPEG)), Status(503), cut(Drawing(), after=30)) as server:
        assert drawn(server, path) == [JPEG]
        assert drawn(server, path) == [RED, JPEG]
        assert http_ask(server, "POST", path)[0] == 503
        with pytest.raises((http.client.HTTPException, OSError, ValueError)):
            drawn(server, path)
        server.drawing = Status(400, "no")
        assert http_ask(server, "POST", path, GEMINI_BODY)[0] == 400
        assert http_ask(server)[0] == 200


def test_pictures_may_stand_behind_a_url():
    """On the server itself, for everybody, or wherever a test wants them to be."""
    with FakeServer(Drawing((RED, JPEG), as_url=True), Drawing(as_url="https://h/a.png"), token="t") as server:
        head = {"Authorization": "Bearer t"}
        rows = json.loads(http_ask(server, path=DRAW, headers=head)[2])["data"]
        for row, data, kind in zip(rows, (RED, JPEG), ("image/png", "image/jpeg")):
            assert row["url"].startswith(server.url + "/")
            status, headers, body = http_ask(server, "GET", row["url"][len(server.url) :], None)
            assert (status, headers["Content-Type"], body) == (200, kind, data)
        assert json.loads(http_ask(server, path=DRAW, headers=head)[2])["data"] == [{"url": "https://h/a.png"}]


@pytest.mark.parametrize(
    ("path", "body", "headers", "model"),
    [
        (DRAW, b'{"model": "flux"}', {}, "flux"),
        (EDIT, FORM_BODY, FORM, "flux"),
        (GEMINI, b"{}", {}, "gemini/x"),
        (DRAW, b'{"model": 5}', {}, ""),
        (DRAW, b"", {}, ""),
    ],
)
def test_a_model_that_draws_runs(path, body, headers, model):
    """Wherever its name stands: in JSON, in a form, in the path."""
    with FakeServer() as server:
        http_ask(server, "POST", path, body, headers)
        assert server.requests[0].model == model
        assert server.running == ([model] if model else [])


def test_a_form_is_read():
    """Parts with their names, types and bytes as they came; JSON is no form."""
    with FakeServer() as server:
        http_ask(server, "POST", EDIT, FORM_BODY, FORM)
        http_ask(server, "POST", DRAW, b"{}", {"Content-Type": "application/json"})
        assert server.requests[0].form == [
            ("model", None, "text/plain", b"flux"),
            ("n", None, "text/plain", b"2"),
            ("image", "a.png", "image/png", b"\x00\r\n\xff\r"),
        ]
        assert server.requests[1].form == []


@pytest.mark.parametrize("headers", [{"x-goog-api-key": "t"}, {"x-api-key": "t"}, {"Authorization": "Bearer t"}])
def test_a_token_may_come_as_the_vendors_have_it(headers):
    """One of the headers will do, and a wrong one will not."""
    with FakeServer(token="t") as server:
        assert drawn(server, GEMINI, GEMINI_BODY, headers) == [RED]
        assert http_ask(server, path=GEMINI)[0] == 400
        assert http_ask(server, path=GEMINI, headers={"x-goog-api-key": "u"})[0] == 400


def test_a_list_shows_rows_as_they_are():
    """A model may be a whole row, beside names."""
    row = {"id": "b", "object": "model", "meta": {"n_ctx": 4096}}
    with FakeServer(models=["c", row, "a"]) as server:
        rows = json.loads(http_ask(server, "GET", "/v1/models", None)[2])["data"]
        assert [entry["id"] for entry in rows] == ["a", "b", "c"]
        assert rows[1] == row
        assert http_ask(server, "POST", "/api/models/unload/b")[0] == 200
        assert http_ask(server, "POST", "/api/models/unload/d")[0] == 404


def test_reset_forgets():
    """What was asked and drawn is gone, and what was to be answered; the server goes on."""
    with FakeServer(Reply("never")) as server:
        server.add(Drawing(as_url=True), path="/images/generations")
        http_ask(server, path="/v1/images/generations", body=b'{"model": "m", "prompt": "a"}')
        server.reset()
        assert (server.requests, server.running) == ([], [])
        assert "never" not in http_ask(server)[2].decode()
        assert http_ask(server, "GET", "/drawn/0")[0] == 404


# The wires. What they must look like stands in tests/data/tellers, as the vendors' servers said it.

TELLERS = Path(__file__).parent / "data" / "tellers"
RESPONSES, MESSAGES, OLLAMA = "/v1/responses", "/v1/messages", "/api/chat"
GOOGLE, GOOGLE_STREAM = "/v1beta/models/m:generateContent", "/v1beta/models/m:streamGenerateContent?alt=sse"
STREAMED, WHOLE = {"model": "m", "stream": True}, {"model": "m"}
CHATTED = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
CHATTED_WHOLE = {**CHATTED, "stream": False}
# How each wire is asked: (path, body when it is whole, body when it is streamed).
ASKED = {
    "responses": (RESPONSES, WHOLE, RESPONSES, STREAMED),
    "anthropic": (MESSAGES, WHOLE, MESSAGES, STREAMED),
    "google": (GOOGLE, {}, GOOGLE_STREAM, {}),
    "ollama": (OLLAMA, CHATTED_WHOLE, OLLAMA, CHATTED),
}


def sample(name):
    return (TELLERS / name).read_bytes()


def told(reply, path, body):
    """What the server says: an object, or the objects of a stream in order."""
    with FakeServer(reply) as server:
        status, _, answer = http_ask(server, "POST", path, json.dumps(body))
    assert status == 200
    return parsed(answer)


def parsed(answer):
    """An answer as its objects, in whichever framing it came; of named events, the name is the data's type."""
    if answer.startswith((b"event:", b"data:")):
        found = []
        for frame in re.split(rb"\r?\n\r?\n", answer.rstrip()):
            fields = dict(line.split(b": ", 1) for line in frame.splitlines())
            found.append(json.loads(fields[b"data"]))
            assert fields.get(b"event", b"").decode() in ("", found[-1].get("type"))
        return found
    try:
        return json.loads(answer)
    except ValueError:
        return [json.loads(line) for line in answer.splitlines()]


# Words that belong to the wire, where others are the answer's own.
WORDS = ("type", "role", "object", "status", "stop_reason", "finishReason", "done", "done_reason", "reason", "phase")
# What differs from answer to answer, or that no client looks at.
OWN = ("args", "arguments", "input", "tools", "tool_usage", "obfuscation", "promptTokensDetails")


def shape(value, name="", without=()):
    """The skeleton of an answer: its keys and its words."""
    if isinstance(value, dict):
        return {
            key: "..." if key in OWN[:3] else shape(inner, key, without)
            for key, inner in value.items()
            if key not in OWN[3:] and key not in without
        }
    if isinstance(value, list):
        return [shape(inner, without=without) for inner in value]
    return value if name in WORDS else "number" if type(value) in (int, float) else type(value).__name__


def shapes(events, without=()):
    """The skeletons of a stream, in which a run of deltas is one."""
    found = []
    for event in events:
        one = shape(event, without=without)
        if one.get("type") != "ping" and (not found or found[-1] != one):
            found.append(one)
    return found


OSLO, LIMA = ToolCall("a", "get_weather", {"city": "Oslo", "unit": "c"}), ToolCall("b", "get_weather", {"city": "Lima"})
NO_ARGUMENTS = ToolCall("a", "list_files", {})
CUT = ToolCall("a", "get_weather", malformed='{"city":"Be')
COUNTS = Usage(27, 12, 0, None)


@pytest.mark.parametrize(
    ("name", "path", "body", "reply", "without"),
    [
        ("anthropic-message-text.json", MESSAGES, WHOLE, Reply("The kettle.", usage=COUNTS), ()),
        ("anthropic-message-tool-use.json", MESSAGES, WHOLE, Reply("So", thinking="Hm", tool_calls=(OSLO, LIMA)), ()),
        ("anthropic-message-refusal.json", MESSAGES, WHOLE, Reply(refusal="No.", usage=COUNTS), ("category",)),
        ("anthropic-message-max-tokens.json", MESSAGES, WHOLE, Reply("A", stop_reason="length", usage=COUNTS), ()),
        (
            "gemini-generate-text.json",
            GOOGLE,
            {},
            Reply("The kettle.", usage=Usage(12, 43, None, 38)),
            (),
        ),
        (
            "gemini-generate-thought.json",
            GOOGLE,
            {},
            Reply("It.", thinking="Hm.", usage=Usage(12, 43, None, 38)),
            (),
        ),
        (
            "gemini-generate-tool-calls.json",
            GOOGLE,
            {},
            Reply("So", tool_calls=(OSLO, LIMA), usage=Usage(1, 2, None, 1)),
            ("thoughtSignature",),
        ),
        (
            "gemini-generate-tool-call-noargs.json",
            GOOGLE,
            {},
            Reply(tool_calls=(NO_ARGUMENTS,), usage=Usage(1, 2)),
            ("finishMessage",),
        ),
        (
            "gemini-generate-tool-call-noid.json",
            GOOGLE,
            {},
            Reply(tool_calls=(ToolCall("", "f", {"a": 1}),), usage=Usage(1, 2, None, 1)),
            ("finishMessage", "thoughtSignature"),
        ),
        (
            "gemini-generate-max-tokens-empty.json",
            GOOGLE,
            {},
            Reply(stop_reason="length", usage=Usage(1, 2, None, 1)),
            ("candidatesTokenCount",),
        ),
        (
            "gemini-generate-safety.json",
            GOOGLE,
            {},
            Reply(stop_reason="content_filter", usage=Usage(1, 2)),
            ("candidatesTokenCount", "safetyRatings", "index"),
        ),
        ("ollama-chat.json", OLLAMA, CHATTED_WHOLE, Reply("The kettle."), ()),
        ("ollama-chat-thinking.json", OLLAMA, CHATTED_WHOLE, Reply("It.", thinking="Hm."), ()),
        ("ollama-chat-tool-calls.json", OLLAMA, CHATTED_WHOLE, Reply(tool_calls=(OSLO, LIMA)), ()),
        ("ollama-chat-length.json", OLLAMA, CHATTED_WHOLE, Reply("A", stop_reason="length"), ()),
        (
            "ollama-chat-zero-counts.json",
            OLLAMA,
            CHATTED_WHOLE,
            Reply("ok", usage=Usage(0, 1)),
            ("load_duration",),
        ),
        ("ollama-chat-load.json", OLLAMA, {"model": "m"}, Reply("no"), ()),
        (
            "openai-responses-tool-calls.json",
            RESPONSES,
            WHOLE,
            Reply("Let", thinking="Hm", tool_calls=(OSLO, NO_ARGUMENTS)),
            ("summary",),
        ),
        (
            "openai-responses-content-filter.json",
            RESPONSES,
            WHOLE,
            Reply("The", stop_reason="content_filter"),
            ("phase",),
        ),
        (
            "openai-responses-refusal.json",
            RESPONSES,
            WHOLE,
            Reply(refusal="No.", thinking="Hm."),
            ("summary",),
        ),
        (
            "openai-responses-length-tool-cut.json",
            RESPONSES,
            {**WHOLE, "max_output_tokens": 16},
            Reply(tool_calls=(CUT,), stop_reason="length", thinking="Hm."),
            ("summary",),
        ),
    ],
)
def test_an_answer_looks_like_the_vendors_own(name, path, body, reply, without):
    """The same keys and the same words at the same places."""
    assert shape(told(reply, path, body), without=without) == shape(parsed(sample(name)), without=without)


@pytest.mark.parametrize(
    ("name", "path", "body", "reply", "without"),
    [
        ("anthropic-stream-text.sse", MESSAGES, STREAMED, Reply("The kettle.", usage=COUNTS), ()),
        (
            "anthropic-stream-thinking.sse",
            MESSAGES,
            STREAMED,
            Reply("Sum: 42", thinking="Add the two numbers.", usage=Usage(27, 58, 0, 41)),
            (),
        ),
        (
            "anthropic-stream-tool-use.sse",
            MESSAGES,
            STREAMED,
            Reply("Checking.", tool_calls=(OSLO, LIMA), usage=Usage(27, 58, 0, None)),
            ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"),
        ),
        (
            "anthropic-stream-tool-noargs.sse",
            MESSAGES,
            STREAMED,
            Reply(tool_calls=(NO_ARGUMENTS,), usage=COUNTS),
            ("caller",),
        ),
        ("anthropic-stream-refusal.sse", MESSAGES, STREAMED, Reply(stop_reason="refusal", usage=COUNTS), ()),
        (
            "gemini-stream-text.sse",
            GOOGLE_STREAM,
            {},
            Reply("The kettle is ready.", usage=Usage(12, 47, None, 38)),
            ("thoughtSignature", "candidatesTokenCount"),
        ),
        (
            "gemini-stream-tool-calls.sse",
            GOOGLE_STREAM,
            {},
            Reply("Checking.", tool_calls=(OSLO, LIMA), usage=Usage(12, 99, None, 38)),
            ("thoughtSignature",),
        ),
        (
            "gemini-stream-max-tokens.sse",
            GOOGLE_STREAM,
            {},
            Reply("The list", stop_reason="length", usage=Usage(12, 99, None, 38)),
            (),
        ),
        ("ollama-chat-stream.ndjson", OLLAMA, CHATTED, Reply("The kettle."), ()),
        ("ollama-chat-stream-thinking.ndjson", OLLAMA, CHATTED, Reply("42 boxes.", thinking="Six times seven."), ()),
        ("ollama-chat-stream-tool-calls.ndjson", OLLAMA, CHATTED, Reply("Che", tool_calls=(OSLO, LIMA)), ()),
        (
            "ollama-generate-stream.ndjson",
            "/api/generate",
            {"model": "m", "prompt": "Hi"},
            Reply("Hello", thinking="Hm."),
            ("context",),
        ),
        (
            "openai-responses-stream-tools.sse",
            RESPONSES,
            STREAMED,
            Reply("One moment.", thinking="Planning.", tool_calls=(OSLO, NO_ARGUMENTS)),
            ("summary",),
        ),
        ("openai-responses-stream-refusal.sse", RESPONSES, STREAMED, Reply(refusal="I cannot."), ("phase",)),
        (
            "openai-responses-stream-incomplete.sse",
            RESPONSES,
            {**STREAMED, "max_output_tokens": 16},
            Reply("Once upon", stop_reason="length"),
            ("phase",),
        ),
        (
            "openai-responses-stream-incomplete-tool.sse",
            RESPONSES,
            {**STREAMED, "max_output_tokens": 16},
            Reply(tool_calls=(CUT,), stop_reason="length"),
            (),
        ),
    ],
)
def test_a_stream_looks_like_the_vendors_own(name, path, body, reply, without):
    """The same events in the same order, with the same keys and words."""
    theirs = [event for event in parsed(sample(name)) if not event.get("summary_index")]
    assert shapes(told(reply, path, body), without) == shapes(theirs, without)


def test_a_stream_of_anthropic_pings_and_pads():
    """Behind the first block's begin; spaces stand before the last brace."""
    with FakeServer(Reply("The kettle is ready.", pieces=("The kettle", " is ready."))) as server:
        answer = http_ask(server, path=MESSAGES, body=json.dumps(STREAMED))[2]
    assert [event["type"] for event in parsed(answer)] == [
        event["type"] for event in parsed(sample("anthropic-stream-text.sse"))
    ]
    assert re.search(rb"\} +\}\n\n", answer)


@pytest.mark.parametrize("wire", ASKED)
def test_characters_of_a_stream_stand_as_they_are(wire):
    """Not as escapes, so that their bytes may be torn apart."""
    with FakeServer(Reply("7 °C 😀")) as server:
        _, _, path, body = ASKED[wire]
        assert "7 °C 😀" in http_ask(server, path=path, body=json.dumps(body))[2].decode()


@pytest.mark.parametrize(
    ("path", "body", "kind", "begin", "end"),
    [
        (RESPONSES, STREAMED, "text/event-stream; charset=utf-8", b"event: response.created\ndata: {", b"}\n\n"),
        (MESSAGES, STREAMED, "text/event-stream; charset=utf-8", b"event: message_start\ndata: {", b"}\n\n"),
        (GOOGLE_STREAM, {}, "text/event-stream", b"data: {", b"}\r\n\r\n"),
        (GOOGLE_STREAM.partition("?")[0], {}, "application/json; charset=UTF-8", b"[{", b"}\n]\n"),
        (OLLAMA, CHATTED, "application/x-ndjson", b'{"model"', b"}\n"),
    ],
)
def test_a_stream_is_framed_as_the_vendor_frames_it(path, body, kind, begin, end):
    """Events with names, with carriage returns, rows of an array, lines."""
    with FakeServer() as server:
        _, headers, answer = http_ask(server, path=path, body=json.dumps(body))
    assert (headers["Content-Type"], headers["Transfer-Encoding"]) == (kind, "chunked")
    assert answer.startswith(begin)
    assert answer.endswith(end)


def test_google_without_events_gives_an_array_of_the_same():
    """One answer a row."""
    reply = Reply("The kettle is ready.")
    assert told(reply, GOOGLE_STREAM.partition("?")[0], {}) == told(reply, GOOGLE_STREAM, {})


def deltas(events):
    """The pieces of text that a stream of any wire holds, empty ones left out."""
    found = []
    for event in events:
        if event.get("type") == "response.output_text.delta":
            found.append(event["delta"])
        elif event.get("type") == "content_block_delta":
            found.append(event["delta"].get("text"))
        elif "candidates" in event:
            found += [part["text"] for part in event["candidates"][0]["content"].get("parts", ()) if "text" in part]
        elif "message" in event:
            found.append(event["message"].get("content"))
    return [piece for piece in found if piece]


@pytest.mark.parametrize("wire", ASKED)
def test_a_stream_is_cut_where_a_reply_says(wire):
    """On every wire."""
    _, _, path, body = ASKED[wire]
    assert deltas(told(Reply("One two.", pieces=("On", "e ", "two", ".")), path, body)) == ["On", "e ", "two", "."]
    assert deltas(told(Reply("0123456789"), path, body)) == ["012345", "6789"]


@pytest.mark.parametrize(
    ("wire", "place", "words"),
    [
        (
            "responses",
            lambda said: (said["status"], (said["incomplete_details"] or {}).get("reason")),
            {
                "stop": ("completed", None),
                "tool_calls": ("completed", None),
                "refusal": ("completed", None),
                "length": ("incomplete", "max_output_tokens"),
                "content_filter": ("incomplete", "content_filter"),
                "other": ("incomplete", "steered"),
            },
        ),
        (
            "anthropic",
            lambda said: said["stop_reason"],
            {
                "stop": "end_turn",
                "tool_calls": "tool_use",
                "refusal": "refusal",
                "length": "max_tokens",
                "content_filter": "refusal",
                "other": "pause_turn",
            },
        ),
        (
            "google",
            lambda said: said["candidates"][0]["finishReason"],
            {
                "stop": "STOP",
                "tool_calls": "STOP",
                "refusal": "STOP",
                "length": "MAX_TOKENS",
                "content_filter": "SAFETY",
                "other": "OTHER",
            },
        ),
        (
            "ollama",
            lambda said: said["done_reason"],
            {
                "stop": "stop",
                "tool_calls": "stop",
                "refusal": "stop",
                "length": "length",
                "content_filter": "unknown",
                "other": "unknown",
            },
        ),
    ],
)
def test_a_reason_has_the_vendors_word(wire, place, words):
    """Whole and streamed; a wire without a word says the nearest."""
    path, body, stream_path, stream_body = ASKED[wire]
    for reason, word in words.items():
        reply = Reply("So", stop_reason=reason)
        assert place(told(reply, path, body)) == word
        last = told(reply, stream_path, stream_body)[-2 if wire == "anthropic" else -1]
        assert place(last.get("response") or last.get("delta") or last) == word


@pytest.mark.parametrize(
    ("wire", "place"),
    [
        ("responses", lambda said: said["output"][0]["content"][0]["refusal"]),
        ("anthropic", lambda said: said["stop_details"]["explanation"]),
        ("google", lambda said: said["candidates"][0]["content"]["parts"][0]["text"]),
        ("ollama", lambda said: said["message"]["content"]),
    ],
)
def test_a_refusal_is_told_where_the_vendor_tells_it(wire, place):
    """As text where there is no such place."""
    path, body, _, _ = ASKED[wire]
    assert place(told(Reply(refusal="I won't."), path, body)) == "I won't."


@pytest.mark.parametrize(
    ("wire", "place", "counts", "none"),
    [
        (
            "responses",
            lambda said: said["usage"],
            {
                Usage(100, 50, 40, 20): {
                    "input_tokens": 100,
                    "output_tokens": 50,
                    "total_tokens": 150,
                    "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": 40},
                    "output_tokens_details": {"reasoning_tokens": 20},
                },
                Usage(11, 7): {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18},
                Usage(None, 7): {"output_tokens": 7},
            },
            None,
        ),
        (
            "anthropic",
            lambda said: {name: count for name, count in said["usage"].items() if "tokens" in name},
            {
                Usage(100, 50, 40, 20): {
                    "input_tokens": 60,
                    "cache_read_input_tokens": 40,
                    "cache_creation_input_tokens": 0,
                    "output_tokens": 50,
                    "output_tokens_details": {"thinking_tokens": 20},
                },
                Usage(11, 7): {"input_tokens": 11, "output_tokens": 7},
                Usage(None, 7): {"output_tokens": 7},
            },
            {},
        ),
        (
            "google",
            lambda said: {k: v for k, v in said.get("usageMetadata", {}).items() if k.endswith("Count")},
            {
                Usage(100, 50, 40, 20): {
                    "promptTokenCount": 100,
                    "cachedContentTokenCount": 40,
                    "candidatesTokenCount": 30,
                    "thoughtsTokenCount": 20,
                    "totalTokenCount": 150,
                },
                Usage(11, 7): {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18},
                Usage(None, 7): {"candidatesTokenCount": 7},
            },
            {},
        ),
        (
            "ollama",
            lambda said: {name: count for name, count in said.items() if name.endswith("_count")},
            {
                Usage(100, 50, 40, 20): {"prompt_eval_count": 100, "eval_count": 50},
                Usage(0, 7): {"eval_count": 7},
                Usage(None, 7): {"eval_count": 7},
            },
            {},
        ),
    ],
)
def test_tokens_are_counted_as_the_vendor_counts(wire, place, counts, none):
    """With or without caches and thinking; what is not known is not told. Whole, and at a stream's end."""
    path, body, stream_path, stream_body = ASKED[wire]
    for usage, told_so in [*counts.items(), (None, none)]:
        assert place(told(Reply("So", usage=usage), path, body)) == told_so
        last = told(Reply("So", usage=usage), stream_path, stream_body)[-2 if wire == "anthropic" else -1]
        assert place(last.get("response") or last) == told_so


SECRETS = ("signature", "encrypted_content", "thoughtSignature", "phase")


def secrets(value):
    """What a vendor wants back unread, wherever it is."""
    if isinstance(value, dict):
        inner = [secret for one in value.values() for secret in secrets(one)]
        return [value[name] for name in SECRETS if value.get(name)] + inner
    return [secret for one in value for secret in secrets(one)] if isinstance(value, list) else []


@pytest.mark.parametrize("wire", ["responses", "anthropic", "google"])
@pytest.mark.parametrize("how", [0, 2], ids=["whole", "streamed"])
def test_thinking_comes_with_what_the_vendor_wants_back(wire, how):
    """The same each time, other for other thoughts; without thinking there is nothing of it."""
    path, body = ASKED[wire][how : how + 2]
    for more in ({}, {"tool_calls": (OSLO, LIMA)}, {"text": ""}):
        one, again = (secrets(told(Reply(**{"text": "So", "thinking": "Hm.", **more}), path, body)) for _ in "ab")
        assert one == again != []
        assert one != secrets(told(Reply(**{"text": "So", "thinking": "Oh.", **more}), path, body))
        assert secrets(told(Reply(**{"text": "So", **more}), path, body)) == []


def test_google_signs_the_first_call_or_the_last_text():
    """In a stream without calls, an empty part at its end."""
    whole = told(Reply("So", thinking="Hm.", tool_calls=(OSLO, LIMA)), GOOGLE, {})["candidates"][0]["content"]["parts"]
    assert ["thoughtSignature" in part for part in whole] == [False, False, True, False]
    parts = [
        part
        for answer in told(Reply("So", thinking="Hm."), GOOGLE_STREAM, {})
        for part in answer["candidates"][0]["content"]["parts"]
    ]
    assert [(part["text"], "thoughtSignature" in part) for part in parts] == [
        ("Hm.", False),
        ("So", False),
        ("", True),
    ]


@pytest.mark.parametrize(
    ("path", "body", "call", "place"),
    [
        (RESPONSES, WHOLE, "{oops", lambda said: said["output"][0]["arguments"]),
        (MESSAGES, WHOLE, "{oops", lambda said: said["content"][0]["input"]),
        (
            MESSAGES,
            STREAMED,
            "{oops",
            lambda said: "".join(event.get("delta", {}).get("partial_json", "") for event in said),
        ),
        (GOOGLE, {}, "{oops", lambda said: said["candidates"][0]["content"]["parts"][0]["functionCall"]["args"]),
        (OLLAMA, CHATTED_WHOLE, "{oops", lambda said: said["message"]["tool_calls"][0]["function"]["arguments"]),
    ],
)
def test_arguments_that_make_no_sense_are_told_as_text(path, body, call, place):
    """Also where they would have been an object."""
    assert place(told(Reply(tool_calls=(ToolCall("a", "f", malformed=call),)), path, body)) == call


@pytest.mark.parametrize(
    ("wire", "place"),
    [
        ("responses", lambda said: said["output"][0]["call_id"]),
        ("anthropic", lambda said: said["content"][0]["id"]),
        ("google", lambda said: said["candidates"][0]["content"]["parts"][0]["functionCall"].get("id", "")),
        ("ollama", lambda said: said["message"]["tool_calls"][0].get("id", "")),
    ],
)
def test_ids_of_calls_are_told_as_given(wire, place):
    """An empty one too, or none at all."""
    path, body, _, _ = ASKED[wire]
    for id in ("functions.f:0", ""):
        assert place(told(Reply(tool_calls=(ToolCall(id, "f", {"a": 1}),)), path, body)) == id


@pytest.mark.parametrize("wire", ASKED)
def test_every_wire_takes_the_script_and_has_its_model_run(wire):
    """Whole and streamed; whatever nonsense the body is."""
    path, body, stream_path, stream_body = ASKED[wire]
    with FakeServer(Status(418), Reply("two"), Status(418)) as server:
        assert http_ask(server, path=path, body=json.dumps(body))[0] == 418
        assert b"two" in http_ask(server, path=stream_path, body=json.dumps(stream_body))[2]
        assert [seen.model for seen in server.requests] == ["m", "m"]
        assert server.running == ["m"]
        for junk in (b"", b"{", b"[1]", b"5", b'"text"'):
            server.add(Status(418))
            assert http_ask(server, path=path, body=junk)[0] == 418
        assert http_ask(server, "GET", path.partition("?")[0])[0] == 404


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1beta/models/gemini-x:generateContent", "gemini-x"),
        ("/v1beta/models/gemini-x:streamGenerateContent?alt=sse", "gemini-x"),
        ("/prefix/v1/models/a%20b%3Ac:generateContent", "a b:c"),
        ("/v1beta/tunedModels/mine:streamGenerateContent", "tunedModels/mine"),
    ],
)
def test_a_model_of_google_stands_in_the_path(path, model):
    """Before either verb."""
    assert Seen("POST", path, {}, b"{}").model == model


@pytest.mark.parametrize("path", [GOOGLE, GOOGLE_STREAM])
def test_google_draws_if_pictures_are_wanted(path):
    """The body tells; a reply and a drawing are told on both paths."""
    with FakeServer() as server:
        asked = [http_ask(server, path=path, body=body)[2] for body in (b"{}", GEMINI_BODY, b'{"generationConfig": 5}')]
        server.add(Drawing(), Reply("Hi."))
        asked += [http_ask(server, path=path)[2], http_ask(server, path=path, body=GEMINI_BODY)[2]]
    assert [b"inlineData" in answer for answer in asked] == [False, True, False, True, False]


# What Ollama, Anthropic and Google manage


def managed(server, method, path, body=None, headers=()):
    status, _, answer = http_ask(server, method, path, json.dumps(body) if body is not None else None, headers)
    return status, json.loads(answer)


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "name", "without"),
    [
        ("GET", "/api/tags", None, {}, "ollama-tags.json", ("capabilities",)),
        ("GET", "/api/ps", None, {}, "ollama-ps.json", ()),
        ("POST", "/api/show", {"model": "m"}, {}, "ollama-show-vision.json", ("model_info",)),
        ("GET", "/api/version", None, {}, "ollama-version.json", ()),
        (
            "GET",
            "/v1/models?limit=1",
            None,
            {"anthropic-version": "2023-06-01"},
            "anthropic-models-page1.json",
            ("capabilities",),
        ),
        ("GET", "/v1beta/models?pageSize=1", None, {}, "gemini-models-page1.json", ()),
        ("GET", "/v1/models?pageSize=1", None, {"x-goog-api-key": "t"}, "gemini-models-page1.json", ()),
    ],
)
def test_lists_look_like_the_vendors_own(method, path, body, headers, name, without):
    """The path tells whose, or a header."""
    with FakeServer(Reply("not for lists"), models=["m", "n"]) as server:
        server.running.append("m")
        answer = managed(server, method, path, body, headers)[1]
        theirs = parsed(sample(name))
        assert answer.keys() == theirs.keys()
        for key in set(theirs) - set(without):
            ours, other = (found[0] if isinstance(found, list) else found for found in (answer[key], theirs[key]))
            assert shape(ours, without=without) == shape(other, without=without)
        assert deltas([told(Reply("not for lists"), *ASKED["ollama"][:2])]) == ["not for lists"]


def test_anthropic_and_google_give_their_lists_in_pages():
    """As many as asked for, from where the last one ended; in the order given."""
    names = [f"m{number:02}" for number in range(60)]
    head = {"anthropic-version": "2023-06-01"}
    with FakeServer(models=names) as server:
        first = managed(server, "GET", "/v1/models", headers=head)[1]
        assert ([row["id"] for row in first["data"]], first["has_more"]) == (names[:20], True)
        rest = managed(server, "GET", f"/v1/models?limit=1000&after_id={first['last_id']}", headers=head)[1]
        assert ([row["id"] for row in rest["data"]], rest["has_more"]) == (names[20:], False)
        beyond = managed(server, "GET", f"/v1/models?after_id={rest['last_id']}", headers=head)[1]
        assert beyond == {"data": [], "has_more": False, "first_id": None, "last_id": None}
        first = managed(server, "GET", "/v1beta/models")[1]
        assert [row["name"] for row in first["models"]] == [f"models/{name}" for name in names[:50]]
        rest = managed(server, "GET", f"/v1beta/models?pageSize=30&pageToken={first['nextPageToken']}")[1]
        assert [row["name"] for row in rest["models"]] == [f"models/{name}" for name in names[50:]]
        assert "nextPageToken" not in rest


def test_a_row_is_laid_over_what_is_told_of_a_model():
    """Its own capabilities, or that there are none; what is no member of the vendor's stays out."""
    rows = [{"id": "a:1b", "object": "model", "capabilities": ["completion"]}, {"id": "b", "capabilities": None}]
    with FakeServer(models=rows) as server:
        shown = managed(server, "POST", "/api/show", {"model": "a:1b"})[1]
        assert (shown["capabilities"], "object" in shown, "id" in shown) == (["completion"], False, False)
        assert "capabilities" not in managed(server, "POST", "/api/show", {"model": "b:latest"})[1]
        assert [row.get("capabilities") for row in managed(server, "GET", "/api/tags")[1]["models"]] == [
            ["completion"],
            None,
        ]
        assert managed(server, "POST", "/api/show", {"model": "nosuch:1b"}) == (
            404,
            parsed(sample("ollama-error-404-model.json")),
        )


def test_ollama_loads_and_unloads_by_a_question_that_asks_nothing():
    """Neither takes a step of the script."""
    with FakeServer(Reply("step")) as server:
        for path, asked in (("/api/chat", {"messages": []}), ("/api/chat", {}), ("/api/generate", {})):
            loaded = managed(server, "POST", path, {"model": "m", **asked})[1]
            assert (loaded["done_reason"], server.running) == ("load", ["m"])
            unloaded = managed(server, "POST", path, {"model": "m", **asked, "keep_alive": 0})[1]
            assert (unloaded["done_reason"], server.running) == ("unload", [])
        assert managed(server, "POST", OLLAMA, {**CHATTED_WHOLE, "keep_alive": 0})[1]["message"]["content"] == "step"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "name"),
    [
        ("POST", MESSAGES, {}, 401, "anthropic-error-401.json"),
        ("GET", "/v1/models", {"anthropic-version": "2023-06-01"}, 401, "anthropic-error-401.json"),
        ("POST", RESPONSES, {}, 401, "openai-error-401-invalid-key.json"),
        ("POST", GOOGLE, {}, 400, "gemini-error-400-api-key.json"),
        ("POST", GOOGLE_STREAM, {}, 400, "gemini-error-400-api-key.json"),
        ("GET", "/v1beta/models", {}, 400, "gemini-error-400-api-key.json"),
        ("POST", OLLAMA, {}, 401, "ollama-cloud-error-401.json"),
        ("GET", "/api/tags", {}, 401, "ollama-cloud-error-401.json"),
    ],
)
def test_a_wrong_key_is_refused_in_the_words_of_the_wire(method, path, headers, status, name):
    """With the vendor's status; any of the three headers opens."""
    with FakeServer(token="t") as server:
        for wrong in ({}, {"x-api-key": "u"}, {"x-goog-api-key": "u"}, {"Authorization": "Bearer u"}):
            found = managed(server, method, path, headers={**headers, **wrong})
            theirs = parsed(sample(name))
            for one in (found[1], theirs):
                if "details" in one["error"]:
                    del one["error"]["details"][1:]
            assert (found[0], shape(found[1])) == (status, shape(theirs))
        for right in ({"x-api-key": "t"}, {"x-goog-api-key": "t"}, {"Authorization": "Bearer t"}):
            assert http_ask(server, method, path, b"{}", {**headers, **right})[0] == 200


def test_google_wraps_an_error_where_an_array_was_asked_for():
    """A row of it."""
    with FakeServer(token="t") as server:
        assert managed(server, "POST", GOOGLE_STREAM.partition("?")[0], {})[1][0]["error"]["code"] == 400


# What reads requests in the tests of the wires: tests/readers.py

GOOGLE_3 = "/v1beta/models/gemini-3.8-flash:streamGenerateContent?alt=sse"
REQUESTS = {
    "anthropic": (MESSAGES, "anthropic-request-full.json", {"anthropic-version": "2023-06-01", "x-api-key": "t"}),
    "google": (GOOGLE_3, "gemini-request-full.json", {}),
    "ollama": (OLLAMA, "ollama-request-full.json", {}),
    "openai_responses": (RESPONSES, "openai-responses-request-full.json", {}),
}


def read(wire, change=lambda body: None):
    """A full request of the wire as its reader reads it, changed before."""
    path, name, headers = REQUESTS[wire]
    body = parsed(sample(name))
    change(body)
    return getattr(readers, f"read_{wire}")(Seen("POST", path, headers, json.dumps(body).encode()))


@pytest.mark.parametrize(
    ("wire", "roles", "settings"),
    [
        (
            "anthropic",
            ["user", "assistant", "tool", "tool", "user"],
            {
                "max_tokens": 1024,
                "stop": ["END"],
                "reasoning": ({"type": "adaptive", "display": "summarized"}, "medium"),
            },
        ),
        (
            "google",
            ["user", "assistant", "tool", "tool", "user"],
            {
                "max_tokens": 1024,
                "stop": ["END"],
                "seed": 7,
                "reasoning": {"includeThoughts": True, "thinkingLevel": "MEDIUM"},
            },
        ),
        (
            "ollama",
            ["user", "assistant", "tool", "tool", "user"],
            {
                "temperature": 0.2,
                "top_p": 0.9,
                "top_k": 40,
                "seed": 7,
                "max_tokens": 1024,
                "num_ctx": 8192,
                "stop": ["END"],
                "reasoning": "medium",
                "keep_alive": "10m",
            },
        ),
        (
            "openai_responses",
            ["user", "assistant", "tool", "tool", "user"],
            {"max_tokens": 2048, "reasoning": "low"},
        ),
    ],
)
def test_a_reader_reads_a_full_request(wire, roles, settings):
    """Who said what, the calls and their answers, tools, schema and settings."""
    sent = read(wire)
    assert [turn.role for turn in sent.turns] == roles
    assert sent.settings == settings
    assert sent.stream is True
    assert sent.system
    assert len(sent.tools) == len(sent.turns[1].calls) == 2
    assert sent.choice == "auto"
    assert sent.schema["type"] == "object"
    assert [turn.answers for turn in sent.turns[2:4]] == [id for id, _, _ in sent.turns[1].calls]
    assert sum(len(turn.pictures) for turn in sent.turns) >= 2
    assert any("error" in turn.text.lower() for turn in sent.turns[2:4])
    assert sent.turns[0].text
    assert sent.turns[-1].text


def _drop(*path):
    def change(body):
        for step in path[:-1]:
            body = body[step]
        del body[path[-1]]

    return change


def _put(value, *path):
    def change(body):
        for step in path[:-1]:
            body = body[step]
        body[path[-1]] = value

    return change


def _both(one, other):
    return lambda body: (one(body), other(body))


def _move(name, source, target):
    def change(body):
        body[name].insert(target, body[name].pop(source))

    return change


@pytest.mark.parametrize(
    ("wire", "change"),
    [
        *[(wire, _put(1, "zzz")) for wire in REQUESTS],
        *[(wire, _put("yes", "stream")) for wire in ("anthropic", "ollama", "openai_responses")],
        ("anthropic", _drop("max_tokens")),
        ("anthropic", _drop("messages", 0)),
        ("anthropic", _put("", "messages", 0, "content", 1, "text")),
        ("anthropic", _put("data:image/png;base64,AA==", "messages", 0, "content", 0, "source", "data")),
        ("anthropic", _put("image/jpeg", "messages", 0, "content", 0, "source", "media_type")),
        ("anthropic", _drop("messages", 1, "content", 0, "signature")),
        ("anthropic", _put("a.b:c", "messages", 1, "content", 2, "id")),
        ("anthropic", _put('{"city": "Oslo"}', "messages", 1, "content", 2, "input")),
        ("anthropic", _drop("messages", 2, "content", 1)),
        ("anthropic", _put(True, "messages", 2, "content", 1, "is_error")),
        ("anthropic", lambda body: body["messages"][2]["content"].reverse()),
        ("anthropic", _put([], "messages", 2, "content", 1, "content")),
        ("anthropic", _drop("tools")),
        ("anthropic", _drop("output_config", "format", "schema", "additionalProperties")),
        ("anthropic", _put(5, "output_config", "format", "schema", "properties", "colour", "minLength")),
        ("anthropic", _put({"type": "enabled", "budget_tokens": 1024}, "thinking")),
        ("anthropic", _put(7, "seed")),
        ("google", _drop("contents", 0)),
        ("google", _both(_drop("contents", 3), _drop("contents", 1, "parts", 1, "thoughtSignature"))),
        ("google", _drop("contents", 2, "parts", 1)),
        ("google", _put("text", "contents", 2, "parts", 1, "functionResponse", "response")),
        ("google", _put("other", "contents", 2, "parts", 1, "functionResponse", "id")),
        ("google", lambda body: body["contents"][2]["parts"].append({"text": "mixed"})),
        ("google", lambda body: body["contents"][0]["parts"].append({"text": ""})),
        ("google", _drop("tools")),
        ("google", _put("tool", "contents", 2, "role")),
        ("google", _put(0, "generationConfig", "thinkingConfig", "thinkingBudget")),
        ("google", _drop("generationConfig", "responseMimeType")),
        ("google", _put("x", "generationConfig", "responseJsonSchema", "$schema")),
        ("google", _put({}, "generationConfig")),
        ("ollama", _put([{"type": "text", "text": "a"}], "messages", 1, "content")),
        ("ollama", _put(["data:image/png;base64,AA=="], "messages", 1, "images")),
        ("ollama", _put("{}", "messages", 2, "tool_calls", 0, "function", "arguments")),
        ("ollama", _drop("messages", 3, "tool_name")),
        ("ollama", _drop("messages", 3, "tool_call_id")),
        ("ollama", _move("messages", 3, 4)),
        ("ollama", _drop("messages", 4)),
        ("ollama", _put("minimal", "think")),
        ("ollama", _put("END", "options", "stop")),
        ("ollama", _put(1.5, "options", "num_predict")),
        ("ollama", _put(1, "options", "unheard_of")),
        ("ollama", _put("required", "tool_choice")),
        ("openai_responses", _put(True, "store")),
        ("openai_responses", _drop("store")),
        ("openai_responses", _drop("tools", 0, "strict")),
        ("openai_responses", _put(True, "tools", 0, "strict")),
        ("openai_responses", _drop("input", 2, "type")),
        ("openai_responses", _put("fc_1", "input", 3, "id")),
        ("openai_responses", _put("x" * 65, "input", 3, "call_id")),
        ("openai_responses", _drop("input", 5)),
        ("openai_responses", _drop("input", 3)),
        ("openai_responses", _put([], "input")),
        ("openai_responses", _drop("input", 1, "encrypted_content")),
        ("openai_responses", _move("input", 1, 4)),
        ("openai_responses", _put({"url": "data:"}, "input", 0, "content", 1, "image_url")),
        ("openai_responses", _put(15, "max_output_tokens")),
        ("openai_responses", _put(["END"], "stop")),
        ("openai_responses", _put({}, "text")),
        ("openai_responses", _drop("text", "format", "schema", "additionalProperties")),
    ],
)
def test_a_reader_is_as_strict_as_the_server(wire, change):
    """What the vendor would refuse, or would lose in silence, fails."""
    read(wire)
    with pytest.raises((AssertionError, KeyError, TypeError, AttributeError, ValueError)):
        read(wire, change)


@pytest.mark.parametrize(
    ("wire", "change"),
    [
        ("google", _drop("contents", 3)),
        ("google", _drop("contents", 1, "parts", 1, "thoughtSignature")),  # of an older turn
        ("google", _drop("systemInstruction")),
        ("anthropic", _drop("tool_choice")),
        ("ollama", _drop("stream")),
        ("openai_responses", _drop("input", 1, "id")),
    ],
)
def test_a_reader_lets_pass_what_the_server_does(wire, change):
    """What may be left out is."""
    assert read(wire, change).turns


def test_a_reader_knows_the_least_that_is_sent():
    """A question alone, and the limit that a client of Anthropic must make up."""
    minimal = Seen("POST", RESPONSES, {}, sample("openai-responses-request-minimal.json"))
    assert readers.read_openai_responses(minimal).settings == {}
    body = {"model": "m", "max_tokens": readers.DEFAULT_MAX_TOKENS, "messages": [{"role": "user", "content": "Hi"}]}
    seen = Seen("POST", MESSAGES, {"anthropic-version": "2023-06-01"}, json.dumps(body).encode())
    assert readers.read_anthropic(seen).settings == {}
    assert readers.read_anthropic(seen, 4096).settings == {"max_tokens": 20000}

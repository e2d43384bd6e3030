"""The fake server: what users' tests, ours and the demo may rely on."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
from base64 import b64decode
from pathlib import Path

import pytest

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


def test_faults_are_plain_values():
    """Which a table of cases can hold and compare."""
    assert hang() == Fault("hang", Raw(b""), 0)
    assert drip(Reply("x"), 0.1) == Fault("drip", Reply("x"), 0, 0.1)
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
        (GEMINI, b"{}", {}, 1),
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
        assert http_ask(server, "POST", path)[0] == 400
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


@pytest.mark.parametrize("headers", [{"x-goog-api-key": "t"}, {"Authorization": "Bearer t"}])
def test_a_token_may_come_as_google_has_it(headers):
    """One of both headers will do, and a wrong one will not."""
    with FakeServer(token="t") as server:
        assert drawn(server, GEMINI, headers=headers) == [RED]
        assert http_ask(server, path=GEMINI)[0] == 401
        assert http_ask(server, path=GEMINI, headers={"x-goog-api-key": "u"})[0] == 401


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

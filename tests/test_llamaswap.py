"""llama-swap: what recorded servers of three versions, and bare llama-servers, are understood as.

`data/llamaswap` holds real exchanges, `expect.json` beside them what a correct client
makes of each. Files without a prefix are of llama-swap v250-5, `v250-` and `v217-` of
those versions, `direct-` of a llama-server alone.
"""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import pytest

from majordomo import (
    APIError,
    ConfigError,
    DSNError,
    ErrorKind,
    Image,
    MajordomoError,
    ProtocolError,
    Registry,
    TextDelta,
    ThinkingDelta,
    TruncatedError,
    classify,
    user,
)
from majordomo.llm import Usage
from majordomo.testing import Reply, Status, cut

DATA = Path(__file__).parent / "data" / "llamaswap"
EXPECT = json.loads((DATA / "expect.json").read_text("utf-8"))["files"]
LAST_CHUNK = len(b"0\r\n\r\n")
PNG = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")


def recordings(*calls, **wanted):
    """The names of the recordings of these calls whose rows hold what is wanted."""
    return [n for n, row in EXPECT.items() if row["call"] in calls and all((k in row) is v for k, v in wanted.items())]


def recorded(name):
    """A recording as a step of the fake server: status, headers and body as they came."""
    response = json.loads((DATA / f"{name}.json").read_text("utf-8"))["response"]
    headers, body = dict(response["headers"]), response["body"]
    chunked = headers.pop("Transfer-Encoding", None)
    headers.pop("Content-Length", None)
    body = b"" if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    step = Status(response["status"], [body] if chunked else body, headers)
    return cut(step, after=-LAST_CHUNK) if EXPECT[name].get("cut") else step


def registry_of(server, **settings):
    settings = {"retries": 0, "sleep": lambda seconds: None, **settings}
    return Registry({"LLM_BOX": server.dsn("llama-swap")}, **settings)


def check_error(row, error):
    """Hold an error against its row."""
    assert "\n" not in str(error)
    assert str(error).startswith("box")
    assert error.partial == row.get("partial_text", "")
    if row.get("error") == "truncated":
        assert type(error) is TruncatedError
        assert classify(error) is ErrorKind.TRANSIENT
        return
    assert type(error) is APIError
    assert classify(error) is ErrorKind[row["kind"]]
    assert error.retry_after == row.get("retry_after")
    if "status" in row:
        assert error.status == row["status"]


# --- chat


@pytest.mark.parametrize("name", recordings("chat", kind=False, error=False))
def test_recorded_answers(server, name):
    """A recorded answer, plain or streamed, becomes the response written beside it."""
    row = EXPECT[name]
    server.add(recorded(name))
    model = registry_of(server).parse("box/tiny")
    said, thought = [], []
    if row.get("stream"):
        with model.stream("Say hello") as stream:
            for event in stream:
                said += [event.text] if type(event) is TextDelta else []
                thought += [event.text] if type(event) is ThinkingDelta else []
        response = stream.response
        assert "".join(said) == response.text
        assert "".join(thought).rstrip("\n") == response.thinking
    else:
        response = model.generate("Say hello")
    assert response.text == row["text"]
    assert response.thinking == row.get("thinking", "")
    assert response.stop_reason == row["stop_reason"]
    assert response.usage == Usage(*(row["usage"] or ()))
    assert response.model == "box/tiny"
    assert len(response.tool_calls) == len(row.get("tool_calls", ()))
    for call, (id, called, arguments) in zip(response.tool_calls, row.get("tool_calls", ())):
        assert (call.id, call.name) == (id, called)
        assert (call.malformed if isinstance(arguments, str) else call.arguments) == arguments


@pytest.mark.parametrize("name", recordings("chat", kind=True) + recordings("chat", error=True))
def test_recorded_failures(server, name):
    """A recorded failure becomes the error written beside it: of the right kind, with what had arrived."""
    row = EXPECT[name]
    server.add(recorded(name))
    model, said = registry_of(server).parse("box/tiny"), []

    def ask():
        if not row.get("stream"):
            return model.generate("Say hello")
        with model.stream("Say hello") as stream:
            said.extend(stream.text_deltas())

    with pytest.raises(MajordomoError) as caught:
        ask()
    check_error(row, caught.value)
    assert "".join(said) == caught.value.partial
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", recordings("chat", schema=True))
def test_recorded_answers_to_a_schema(server, name):
    """An answer to a schema is parsed; one that was cut is a TruncatedError with its text."""
    row = EXPECT[name]
    server.add(recorded(name))
    model = registry_of(server).parse("box/tiny")

    def ask():
        if not row.get("stream"):
            return model.generate("Say hello", schema=row["schema"])
        with model.stream("Say hello", schema=row["schema"]) as stream:
            list(stream)
        return stream.response

    if row["stop_reason"] == "stop":
        assert ask().parsed == json.loads(row["text"])
    else:
        with pytest.raises(TruncatedError) as caught:
            ask()
        assert caught.value.partial == row["text"]
    sent = server.requests[0].json["response_format"]["json_schema"]
    assert sent["schema"] == row["schema"]


def named(*parts):
    return [name for name in EXPECT if all(part in name for part in parts)]


@pytest.mark.parametrize(
    "name", named("chat-loading-state-stream") + named("loading-state-upstream") + named("broken-loading")
)
def test_news_of_loading_are_not_the_model_speaking(server, name):
    """With `sendLoadingState` nothing of the loading is handed out, in any version."""
    server.add(recorded(name))
    events = registry_of(server).parse("box/tiny").stream("Say hello")
    shown = []
    try:
        shown = [event.text for event in events if type(event) in (TextDelta, ThinkingDelta)]
    except MajordomoError:
        assert not shown
    assert not any("loading" in text or "━" in text for text in shown)


@pytest.mark.parametrize(
    "name",
    [n for n in named("chat-unknown-model") if "auth" not in n] + named("chat-no-model") + named("bad-json-no-model"),
)
def test_an_unknown_model_moves_the_chain_on(server, name):
    """Each version says in its own way that it has no such model: the next target answers."""
    server.add(recorded(name), Reply("Here."))
    registry = registry_of(server, retries=2)
    response = registry.parse("box/nope, box/tiny").generate("Hi")
    assert response.text == "Here."
    assert response.attempts[0].kind is ErrorKind[EXPECT[name]["kind"]]
    assert [attempt.outcome for attempt in response.attempts] == ["failed", "answered"]


@pytest.mark.parametrize("name", named("chat-image-to-text-only"))
def test_an_image_for_a_text_model(server, name):
    """llama-server says 500 to an image it cannot see: that is no failure of the target, and it does not cool down."""
    server.add(recorded(name), Reply("A dot."))
    registry = registry_of(server, retries=2)
    chain = registry.parse("box/blind, box/seeing")
    prompt = user("What is it?", Image(PNG))
    if EXPECT[name].get("stream"):
        with chain.stream(prompt) as stream:
            list(stream)
        response = stream.response
    else:
        response = chain.generate(prompt)
    assert response.text == "A dot."
    assert response.attempts[0].kind is ErrorKind.UNSUPPORTED
    assert registry.health.snapshot() == {}
    assert [seen.json["model"] for seen in server.requests if seen.method == "POST"] == ["blind", "seeing"]


@pytest.mark.parametrize("name", named("chat-context-too-long"))
def test_a_prompt_that_is_too_long(server, name):
    """A prompt over the context is TOO_LONG: not tried again, and the target does not cool down."""
    server.add(recorded(name))
    registry = registry_of(server, retries=2)
    with pytest.raises(APIError) as caught:
        registry.parse("box/tiny").generate("Say " + "hello " * 800)
    assert classify(caught.value) is ErrorKind.TOO_LONG
    assert registry.health.snapshot() == {}
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("name", "waits"),
    [("chat-concurrency-limit", 1.0), ("v250-chat-concurrency-limit", 1.0), ("v217-chat-concurrency-limit", None)],
)
def test_a_full_queue(server, name, waits):
    """A full queue is asked again, not before its `Retry-After`, and the answer comes then."""
    slept, clock = [], [1000.0]

    def sleep(seconds):
        slept.append(seconds)
        clock[0] += seconds

    server.add(recorded(name), recorded("chat"))
    registry = registry_of(server, retries=1, sleep=sleep, clock=lambda: clock[0], random=lambda: 0.0)
    response = registry.parse("box/tiny").generate("Hi")
    assert response.text == EXPECT["chat"]["text"]
    assert [attempt.kind for attempt in response.attempts] == [ErrorKind.RATE_LIMITED, None]
    assert sum(slept) == pytest.approx(waits or 0.0)


@pytest.mark.parametrize(
    "name", named("server-killed") + named("unloaded-midway") + named("broken-exit") + named("health-timeout")
)
def test_a_server_that_fails_is_asked_again(server, name):
    """What may pass is tried again in the same call; a stream that has begun is never begun anew."""
    row, whole = EXPECT[name], EXPECT["chat"]["text"]
    server.add(recorded(name), recorded("chat"))
    model = registry_of(server, retries=1).parse("box/tiny")
    if "partial_text" in row:
        with pytest.raises(TruncatedError), model.stream("Hi") as events:
            list(events)
        assert len(server.requests) == 1
        return
    if row.get("stream"):
        assert "".join(model.stream("Hi").text_deltas()) == whole
    else:
        assert model.generate("Hi").text == whole
    assert len(server.requests) == 2


# --- what is sent


def test_a_server_without_a_key_gets_a_placeholder(server):
    """Where no token is set, `Bearer no-key` is sent: some servers want the header, none its content."""
    registry = Registry({"LLM_BOX": server.dsn("llama-swap", token=None)})
    registry.parse("box/tiny").generate("Hi")
    provider = registry.provider("box")
    provider.list_models()
    provider.running()
    provider.unload()
    provider.unload("qwen3:14b")
    assert {seen.headers["authorization"] for seen in server.requests} == {"Bearer no-key"}


def test_the_key_is_sent_in_the_header_alone(server):
    """The token is in `Authorization`, percent-decoded, with one blank, and nowhere else."""
    registry = Registry({"LLM_BOX": server.dsn("llama-swap", token="a/b?c#d")})
    registry.parse("box/tiny").generate("Hi")
    registry.provider("box").list_models()
    registry.provider("box").unload("qwen3:14b")
    for seen in server.requests:
        assert seen.headers["authorization"] == "Bearer a/b?c#d"
        assert "a/b?c#d" not in seen.path
        assert b"a/b?c#d" not in seen.body
        assert "x-api-key" not in seen.headers


def test_what_every_request_says(server):
    """JSON is asked for, for llama-swap answers in what `Accept` names; a POST says that it sends JSON."""
    registry = registry_of(server)
    registry.parse("box/tiny").generate("Hi")
    list(registry.parse("box/tiny").stream("Hi"))
    registry.provider("box").unload()
    registry.provider("box").running()
    for seen in server.requests:
        assert seen.headers["accept"] == "application/json"
        assert seen.headers["user-agent"].startswith("majordomo/")
        if seen.body:
            assert seen.headers["content-type"] == "application/json"


PLACES = ["", "/", "/v1", "/v1/", "/v1/chat/completions"]


@pytest.mark.parametrize(("path", "base"), [*((p, "") for p in PLACES), *(("/box" + p, "/box") for p in PLACES)])
def test_every_spelling_of_the_address_leads_to_the_same_place(server, path, base):
    """Chat is at `{base}/v1`, management at `{base}`; a prefix stays in front of both, no slash is doubled."""
    registry = Registry({"LLM_BOX": server.dsn("llama-swap", path=path)})
    registry.parse("box/qwen3:14b").generate("Hi")
    provider = registry.provider("box")
    provider.list_models()
    provider.running()
    provider.unload()
    provider.unload("qwen3:14b")
    assert [seen.path for seen in server.requests] == [
        f"{base}/v1/chat/completions",
        f"{base}/v1/models",
        f"{base}/running",
        f"{base}/api/models/unload",
        f"{base}/api/models/unload/qwen3:14b",
    ]


def test_the_chat_of_llama_swap(server):
    """The body is OpenAI's, with `max_tokens` and a `system` message, and the model id as written."""
    registry_of(server).parse("box/org/Qwen3:14b@q4").generate("Hi", system="Be brief.", max_tokens=9, reasoning="off")
    assert server.requests[0].json == {
        "model": "org/Qwen3:14b@q4",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "max_tokens": 9,
        "reasoning_effort": "none",
        "chat_template_kwargs": {"enable_thinking": False},
    }


def test_the_twin_with_tls_is_never_plain():
    """`llama-swap` is http, `llama-swaps` https; neither is guessed, and `llama-swaps+http` is refused."""
    registry = Registry(
        {"LLM_A": "llama-swap://host:80", "LLM_B": "llama-swaps://host:8443", "LLM_C": "llama-swaps+http://host"}
    )
    assert registry.provider("a").base_url == "http://host"
    assert registry.provider("b").base_url == "https://host:8443"
    with pytest.raises(DSNError):
        registry.provider("c")


def test_without_a_host_it_says_what_to_set():
    """The name is built in without a host: it parses, and using it shows the variable to set."""
    registry = Registry({})
    chain = registry.parse("llama-swap/tiny")
    for ask in (lambda: chain.generate("Hi"), registry.provider("llama-swap").running):
        with pytest.raises(ConfigError, match="LLM_LLAMA_SWAP=llama-swap://"):
            ask()


# --- listing, what runs, unloading


@pytest.mark.parametrize("name", recordings("list", ids=True))
def test_recorded_lists(server, name):
    """The ids of the models come in the server's order, with or without `status` and `meta`."""
    server.add(recorded(name), path="/models")
    assert registry_of(server).provider("box").list_models() == EXPECT[name]["ids"]
    assert (server.requests[0].method, server.requests[0].path) == ("GET", "/v1/models")


@pytest.mark.parametrize("name", recordings("running", answer=True))
def test_recorded_running(server, name):
    """What runs comes as the server said it: its shape is no stable contract."""
    server.add(recorded(name), path="/running")
    assert registry_of(server).provider("box").running() == EXPECT[name]["answer"]
    assert (server.requests[0].method, server.requests[0].path) == ("GET", "/running")


@pytest.mark.parametrize("name", [n for n in recordings("unload", answer=True) if "get" not in n])
def test_recorded_unloads(server, name):
    """Unloading succeeds with JSON and with text, for ids with slashes and colons, aliases, and what is not loaded."""
    row = EXPECT[name]
    server.add(recorded(name), path="/api/models/unload" + ("/" + row["model"] if "model" in row else ""))
    assert registry_of(server).provider("box").unload(row.get("model")) == row["answer"]
    (seen,) = server.requests
    assert seen.method == "POST"
    assert seen.path == "/api/models/unload" + ("/" + row["model"] if "model" in row else "")


@pytest.mark.parametrize("name", [n for n in named("unload-get") if "answer" in EXPECT[n]])
@pytest.mark.parametrize("missing", ["unknown-path", "v217-unknown-path", "405"])
def test_old_servers_unload_another_way(server, name, missing):
    """A server from before `POST /api/models/unload` is asked by `GET /unload`."""
    absent = {
        "unknown-path": Status(404, "404 page not found\n", {"Content-Type": "text/plain; charset=utf-8"}),
        "v217-unknown-path": Status(404, b""),
        "405": Status(405, "Method Not Allowed\n", {"Allow": "GET, HEAD"}),
    }
    server.add(absent[missing], path="/api/models/unload")
    server.add(recorded(name), path="/unload")
    assert registry_of(server).provider("box").unload() == "OK"
    assert [(seen.method, seen.path) for seen in server.requests] == [
        ("POST", "/api/models/unload"),
        ("GET", "/unload"),
    ]


def test_one_model_is_never_unloaded_by_unloading_all(server):
    """There is no older way to unload one model: a 404 is an error, and the others stay."""
    server.add(Status(404, "404 page not found\n"), path="/tiny")
    with pytest.raises(APIError):
        registry_of(server).provider("box").unload("tiny")
    assert [seen.path for seen in server.requests] == ["/api/models/unload/tiny"]


MANAGE = {
    "list": ("/models", lambda provider, model: provider.list_models()),
    "running": ("/running", lambda provider, model: provider.running()),
    "unload": ("/unload", lambda provider, model: provider.unload(model)),
}


@pytest.mark.parametrize(
    "name", [n for n in recordings("list", "running", "unload", kind=True) if n != "direct-api-unload"]
)
def test_recorded_failures_of_managing(server, name):
    """A wrong key, an unknown model, a server that is loading: each is an APIError of its kind."""
    row = EXPECT[name]
    path, ask = MANAGE[row["call"]]
    server.add(recorded(name), path="/" + row["model"] if "model" in row else path)
    with pytest.raises(APIError) as caught:
        ask(registry_of(server).provider("box"), row.get("model"))
    check_error(row, caught.value)


def test_a_bare_llama_server_has_nothing_to_unload(server):
    """On a llama-server without llama-swap unloading is NOT_FOUND, by the old way too."""
    server.add(recorded("direct-api-unload"), recorded("direct-api-unload"), path="/unload")
    with pytest.raises(APIError) as caught:
        registry_of(server).provider("box").unload()
    check_error(EXPECT["direct-api-unload"], caught.value)


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("tiny", "tiny"),
        ("org/qwen3:14b", "org/qwen3:14b"),
        ("peer/org/m:Q4_K-M.v2@x", "peer/org/m:Q4_K-M.v2@x"),
        ("a b", "a%20b"),
        ("a?b#c%d", "a%3Fb%23c%25d"),
        ("modèle", "mod%C3%A8le"),
    ],
)
def test_the_path_keeps_a_models_name(server, model, path):
    """Slashes and colons of a model's name stay in the path, what a URL does not take is encoded."""
    server.models.append(model)
    try:
        assert registry_of(server).provider("box").unload(model) == "OK"
    finally:
        server.models.remove(model)
    assert server.requests[0].path == "/api/models/unload/" + path


@pytest.mark.parametrize("model", ["", "/", "//", 7, ["tiny"]])
def test_unloading_nothing_is_not_unloading_all(server, model):
    """An empty or odd name is refused before anything is sent: it would unload everything."""
    with pytest.raises(ConfigError):
        registry_of(server).provider("box").unload(model)
    assert server.requests == []


def test_load_see_and_unload(server):
    """The whole round: asked, it runs; unloaded, it does not; unloading again does no harm."""
    registry = registry_of(server)
    provider = registry.provider("box")
    registry.parse("box/org/vision:8b").generate("Hi")
    registry.parse("box/qwen3:14b").generate("Hi")
    assert [row["model"] for row in provider.running()["running"]] == ["org/vision:8b", "qwen3:14b"]
    assert provider.unload("org/vision:8b") == "OK"
    assert [row["model"] for row in provider.running()["running"]] == ["qwen3:14b"]
    assert provider.unload("org/vision:8b") == "OK"
    assert provider.unload() == {"msg": "ok"}
    assert provider.running() == {"running": []}
    with pytest.raises(APIError) as caught:
        provider.unload("nope")
    assert classify(caught.value) is ErrorKind.NOT_FOUND


LOGIN = Status(200, "<!DOCTYPE html>\n<html><body>Sign in</body></html>", {"Content-Type": "text/html"})


@pytest.mark.parametrize("call", MANAGE)
def test_a_login_page_is_no_answer(server, call):
    """A 200 with a web page is a ProtocolError that names the provider, whatever was asked."""
    path, ask = MANAGE[call]
    server.add(LOGIN, path=path)
    with pytest.raises(ProtocolError) as caught:
        ask(registry_of(server).provider("box"), None)
    assert str(caught.value).startswith("box: ")


@pytest.mark.parametrize("call", MANAGE)
def test_an_error_in_a_200_is_an_error(server, call):
    """A 200 that holds an error object is that error, whatever was asked."""
    path, ask = MANAGE[call]
    server.add(
        Status(200, {"error": {"message": "Invalid API Key", "type": "authentication_error", "code": 401}}), path=path
    )
    with pytest.raises(APIError) as caught:
        ask(registry_of(server).provider("box"), None)
    assert classify(caught.value) is ErrorKind.AUTH


@pytest.mark.parametrize("call", MANAGE)
@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "5", True])
def test_a_timeout_is_a_number_of_seconds(server, call, timeout):
    """What is no timeout is refused before anything is sent."""
    provider = registry_of(server).provider("box")
    ask = {"list": provider.list_models, "running": provider.running, "unload": provider.unload}[call]
    with pytest.raises(ConfigError):
        ask(timeout=timeout)
    assert server.requests == []


@pytest.mark.parametrize("call", MANAGE)
def test_a_redirect_is_never_followed(server, call):
    """A 3xx is a configuration error that names the host, for management as for chat; the key goes nowhere."""
    path, ask = MANAGE[call]
    server.add(Status(307, b"", {"Location": "http://elsewhere.example/x"}), path=path)
    with pytest.raises(APIError, match=r"elsewhere\.example") as caught:
        ask(registry_of(server).provider("box"), None)
    assert classify(caught.value) is ErrorKind.CONFIG
    assert len(server.requests) == 1

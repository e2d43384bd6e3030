"""Ollama as a provider: where it is, what its DSN says, what it knows of models, what runs, unloading."""

from __future__ import annotations

import json
import threading
import time

import pytest
from samples import Samples

from majordomo import ConfigError, DSNError, Registry
from majordomo.deadline import Deadline
from majordomo.errors import APIError, ErrorKind, MajordomoError, ProtocolError, UnsupportedError, classify
from majordomo.llm import Image, Request, Tool, user
from majordomo.testing import RED, FakeServer, Reply, Status, dead_port, hang
from majordomo.wires.ollama import Quirks

SAMPLES = Samples("ollama")
TOKEN = "sk-0123456789-secret"
SEE = user("What is it?", Image(RED))
TOOLS = (Tool("f"),)
SHOW, CHAT, PS, TAGS = "/api/show", "/api/chat", "/api/ps", "/api/tags"


def registry_of(server, scheme="ollama", options="", **settings):
    settings = {"retries": 0, "sleep": lambda seconds: None, **settings}
    return Registry({"LLM_BOX": server.dsn(scheme, token=TOKEN, options=options)}, **settings)


def asked(server):
    """The paths that were asked for, in order."""
    return [seen.path for seen in server.requests]


# --- where it is

HOSTS = {
    "": "http://127.0.0.1:11434",
    "1.2.3.4": "http://1.2.3.4:11434",
    "example.com": "http://example.com:11434",
    "[::1]": "http://[::1]:11434",
    "::1": "http://[::1]:11434",
    ":56789": "http://127.0.0.1:56789",
    "1.2.3.4:56789": "http://1.2.3.4:56789",
    "[::1]:56789": "http://[::1]:56789",
    "example.com/prefix": "http://example.com:11434/prefix",
    "http://h": "http://h",
    "https://h": "https://h",
    "http://h:80": "http://h",
    "https://h:443/": "https://h",
    "HTTPS://h": "https://h",
    "http://h:11434": "http://h:11434",
    "https://h:1234/path/": "https://h:1234/path",
    "https://h:1234/path/api/chat": "https://h:1234/path",
    "http://": "http://127.0.0.1",
    "ollama.com": "https://ollama.com",
    "Ollama.com": "https://Ollama.com",
    "http://ollama.com": "http://ollama.com",
    "0.0.0.0": "http://127.0.0.1:11434",
    "0.0.0.0:80": "http://127.0.0.1",
    "0.0.0.0:11434": "http://127.0.0.1:11434",
    "https://0.0.0.0:5": "https://127.0.0.1:5",
    "::": "http://[::1]:11434",
    "[::]": "http://[::1]:11434",
    "[::]:11434": "http://[::1]:11434",
    "h:": "http://h:11434",
    "h:99999": "http://h:11434",
    "h:0": "http://h:11434",
    "h:-1": "http://h:11434",
    "h:abc": "http://h:11434",
    "h:٣": "http://h:11434",
    "http://h:99999": "http://h",
    "https://h:abc/p": "https://h/p",
    " 'h:1' ": "http://h:1",
    '"http://h:1"\n': "http://h:1",
    "\"'h'\"": "http://h:11434",
    '"h': "http://h:11434",
}


@pytest.mark.parametrize("value", HOSTS)
def test_every_form_of_ollama_host(value):
    """OLLAMA_HOST means what it means to Ollama's own client, and what a server listens on is this machine."""
    assert Registry({"OLLAMA_HOST": value}).provider("ollama").base_url == HOSTS[value]


def test_nothing_set_is_this_machine():
    """Without any variable it is the local server, over http, without a key."""
    provider = Registry({}).provider("ollama")
    assert provider.base_url == "http://127.0.0.1:11434"
    assert provider.headers() == {}


BAD_HOSTS = [
    "ftp://h",
    "a b",
    "h#x",
    "::1%eth0",
    "[::1",
    "[::g]:1",
    "a:b:c",
    "h/..",
    "h/a b",
    "h?x",
    "sk-" + "a1B2" * 10,
]


@pytest.mark.parametrize("value", BAD_HOSTS)
def test_a_value_that_is_no_host_is_not_quoted(value):
    """It hurts whoever uses it alone, names the variable, and shows nothing of what may be a token."""
    registry = Registry({"OLLAMA_HOST": value, "OPENAI_API_KEY": "k"})
    registry.parse("openai/m")
    with pytest.raises(DSNError, match="^OLLAMA_HOST: ") as caught:
        registry.parse("ollama/m")
    assert value not in str(caught.value)


def test_a_token_in_ollama_host():
    """Whoever puts a token in front of the host has it sent, and shown nowhere."""
    provider = Registry({"OLLAMA_HOST": f"https://{TOKEN}@h/pre?num_ctx=9"}).provider("ollama")
    assert provider.headers() == {"Authorization": f"Bearer {TOKEN}"}
    assert provider.base_url == "https://h/pre"
    assert provider.quirks == {"num_ctx": 9}
    assert TOKEN not in repr(provider)


def test_the_cloud_and_foreman():
    """Ollama Cloud is at https://ollama.com and needs its key; foreman has no place and says what to set."""
    registry = Registry({"OLLAMA_API_KEY": TOKEN})
    cloud = registry.provider("ollama-cloud")
    assert (cloud.base_url, cloud.headers()) == ("https://ollama.com", {"Authorization": f"Bearer {TOKEN}"})
    assert registry.provider("ollama").headers() == {}  # the key is the cloud's alone
    for name, says in (("foreman", "LLM_FOREMAN=foreman://"), ("ollama-cloud", "OLLAMA_API_KEY")):
        registry = Registry({})
        for ask in (
            lambda name=name, registry=registry: registry.parse(f"{name}/m").generate("Hi", tools=TOOLS),
            registry.provider(name).list_models,
            registry.provider(name).unload,
        ):
            with pytest.raises(ConfigError, match=says):
                ask()


@pytest.mark.parametrize("path", ["", "/", "/api", "/api/", "/api/chat", "/v1", "/box", "/box/api"])
def test_every_spelling_of_the_address_leads_to_the_same_place(server, path):
    """All is below `{base}/api`; a prefix stays in front, no slash is doubled."""
    provider = Registry({"LLM_BOX": server.dsn("foreman", path=path)}).provider("box")
    base = "/box" if "box" in path else ""
    provider.model("qwen3:14b").generate("Hi")
    provider.list_models()
    provider.running()
    assert asked(server) == [f"{base}/api/chat", f"{base}/api/tags", f"{base}/api/ps"]


@pytest.mark.parametrize("token", [TOKEN, None])
def test_the_key_is_sent_in_the_header_alone(server, token):
    """With a token each request has it, as Bearer; without one there is no such header."""
    registry = Registry({"LLM_BOX": server.dsn("ollama", token=token)})
    registry.parse("box/qwen3:14b").generate(SEE)
    provider = registry.provider("box")
    provider.list_models()
    provider.running()
    provider.unload("qwen3:14b")
    assert asked(server) == [SHOW, CHAT, TAGS, PS, CHAT]
    for seen in server.requests:
        assert seen.headers.get("authorization") == (token and f"Bearer {token}")
        assert TOKEN not in seen.path
        assert TOKEN.encode() not in seen.body


# --- what a DSN says

OPTIONS = {
    "num_ctx=8192": {"options": {"num_ctx": 8192}},
    "keep_alive=10m": {"keep_alive": "10m"},
    "keep_alive=1h30m": {"keep_alive": "1h30m"},
    "keep_alive=-1m": {"keep_alive": "-1m"},
    "keep_alive=1.5h": {"keep_alive": "1.5h"},
    "keep_alive=300": {"keep_alive": 300},
    "keep_alive=0": {"keep_alive": 0},
    "keep_alive=-1": {"keep_alive": -1},
    "keep_alive=0.5": {"keep_alive": 0.5},
    "think=on": {"think": True},
    "think=off": {"think": False},
    "think=low": {"think": "low"},
    "think=MAX": {"think": "max"},
    "num_ctx=1&think=off&keep_alive=1s": {"options": {"num_ctx": 1}, "keep_alive": "1s", "think": False},
}


@pytest.mark.parametrize("scheme", ["ollama", "foreman", "ollama-cloud"])
@pytest.mark.parametrize("options", OPTIONS)
def test_options_of_the_dsn(server, scheme, options):
    """They are sent with each question, as Ollama takes them."""
    registry = registry_of(server, scheme, options)
    for _ in range(2):
        registry.parse("box/m").generate("Hi")
        body = server.requests[-1].json
        assert {name: body[name] for name in body if name not in ("model", "messages", "stream")} == OPTIONS[options]


BAD_OPTIONS = [
    *(f"num_ctx={value}" for value in ("", "0", "-1", "8k", "1.5", "٣", "2" * 20)),
    *(f"keep_alive={value}" for value in ("", "m", "5 m", "5m-3s", "for ever", "1e3", "inf", "nan", "--1", "5d", "٣m")),
    *(f"think={value}" for value in ("", "true", "minimal", "none")),
    "num_gpu=1",
]


@pytest.mark.parametrize("options", BAD_OPTIONS)
def test_odd_options_of_the_dsn(server, options):
    """What Ollama would refuse is refused when the DSN is used, by the option's name."""
    with pytest.raises(DSNError, match=options.partition("=")[0]):
        registry_of(server, options=options).parse("box/m")


def test_a_call_wins_over_the_dsn(server):
    """`reasoning` wins over `?think=`, `extra` over all."""
    model = registry_of(server, options="num_ctx=8192&keep_alive=10m&think=off").parse("box/m")
    model.generate("Hi", reasoning="high", extra={"options": {"num_ctx": 99}, "keep_alive": 0})
    body = server.requests[-1].json
    assert (body["think"], body["options"], body["keep_alive"]) == ("high", {"num_ctx": 99}, 0)


def test_models_that_the_cloud_answers_follow_no_schema(server):
    """Ollama Cloud's, and a local server's by their names, are asked for the schema in words; the answer is parsed."""
    for scheme, model, enforced in (
        ("ollama", "gpt-oss:120b", True),
        ("foreman", "gpt-oss:120b", True),
        ("ollama", "gpt-oss:120b-cloud", False),
        ("ollama", "gpt-oss:120b:cloud", False),
        ("ollama-cloud", "gpt-oss:120b", False),
    ):
        server.add(Reply('```json\n{"a": 1}\n```'))
        response = registry_of(server, scheme).parse(f"box/{model}").generate("Hi", schema={"type": "object"})
        assert response.parsed == {"a": 1}
        assert ("format" in server.requests[-1].json) is enforced
        assert (response.warnings == ()) is enforced


# --- what a model can do


def shows(*capabilities):
    return Status(200, {"details": {}, "capabilities": list(capabilities)})


NEEDS = {
    "a picture": (SEE, {}, "vision", UnsupportedError),
    "tools": ("Hi", {"tools": TOOLS}, "tools", UnsupportedError),
    "reasoning": ("Hi", {"reasoning": "low"}, "thinking", None),
}


@pytest.mark.parametrize("need", NEEDS)
def test_a_model_that_cannot_is_passed_over(server, need):
    """What `/api/show` leaves out of its list is not asked for: asked once, and nothing cools down."""
    prompt, options, capability, error = NEEDS[need]
    server.add(shows("completion", "insert"), shows("completion", capability), path=SHOW)
    registry = registry_of(server)
    response = registry.parse("box/cannot, box/can").generate(prompt, **options)
    if error is None:
        assert response.model == "box/cannot"
        assert response.warnings == ("reasoning: left out, for the target does not think",)
        assert "think" not in server.requests[-1].json
        assert registry.parse("box/can").generate(prompt, **options).warnings == ()
    else:
        assert [(a.outcome, a.kind) for a in response.attempts] == [
            ("skipped", ErrorKind.UNSUPPORTED),
            ("answered", None),
        ]
    assert registry.health.snapshot() == {}
    assert [seen.json["model"] for seen in server.requests if seen.path == SHOW] == ["cannot", "can"]
    before = len(server.requests)
    registry.parse("box/can").generate(prompt, **options)
    registry.parse("box/cannot").generate("Hi", reasoning="off")
    assert asked(server)[before:] == [CHAT, CHAT]
    if error is not None:
        with pytest.raises(error):
            registry.parse("box/cannot").generate(prompt, **options)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("ollama-show-vision.json", (None, True, True)),
        ("ollama-show-text.json", (0, True, True)),
        ("ollama-show-old.json", (None, None, None)),
    ],
)
def test_what_a_server_shows(server, name, known):
    """Its list says what a model takes; a server without one says nothing."""
    server.add(Status(200, SAMPLES.text(name)), path=SHOW)
    model = registry_of(server).provider("box").model("m")
    server.add(Reply("A dot."))
    found = model.learned(Request(SEE), Deadline(5))
    assert (found.max_images_per_request, found.tools, found.thinking) == known
    assert found.allowed_image_mime == ("image/png", "image/jpeg")
    assert model.capabilities is found


PLAIN = [("Hi", {}), ("Hi", {"reasoning": "off"}), ("Hi", {"schema": {"type": "object"}}), ("Hi", {"max_tokens": 9})]


@pytest.mark.parametrize(("prompt", "options"), PLAIN)
def test_nothing_is_asked_where_nothing_depends_on_it(server, prompt, options):
    """Plain questions cost no question about the model."""
    server.add(Reply('{"a": 1}'))
    registry_of(server).parse("box/m").generate(prompt, **options)
    assert asked(server) == [CHAT]


@pytest.mark.parametrize(
    ("options", "prompt", "more", "paths"),
    [
        ("max_images=1", SEE, {}, [CHAT]),
        ("tools=on", "Hi", {"tools": TOOLS}, [CHAT]),
        ("thinking=on", "Hi", {"reasoning": "low"}, [CHAT]),
        ("tools=on", SEE, {"tools": TOOLS}, [SHOW, CHAT]),
        ("max_images=1&tools=on", SEE, {"tools": TOOLS}, [CHAT]),
    ],
)
def test_nothing_is_asked_that_the_dsn_answers(server, options, prompt, more, paths):
    """What the DSN says is known, and wins over what the server says."""
    server.add(shows("completion", "vision"), path=SHOW)
    registry_of(server, options=options).parse("box/m").generate(prompt, **more)
    assert asked(server) == paths


UNKNOWN = {
    "404 of the path": Status(404, "404 page not found"),
    "405": Status(405, "405 method not allowed"),
    "501": Status(501, {"error": "no"}),
    "a redirect": Status(307, b"", {"Location": "http://127.0.0.1:1/"}),
    "a web page": Status(200, "<html>Sign in</html>"),
    "null": Status(200, "null"),
    "a list": Status(200, []),
    "no list": Status(200, {}),
    "a list of nothing": Status(200, {"capabilities": []}),
    "odd capabilities": Status(200, {"capabilities": {"vision": True}}),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_server_that_says_nothing_of_its_models_is_asked(server, name):
    """A foreman need not know `/api/show`: the model is asked all the same, and the other question is not repeated."""
    server.add(UNKNOWN[name], path=SHOW)
    registry = registry_of(server, "foreman")
    for _ in range(2):
        assert registry.parse("box/m").generate(SEE, tools=TOOLS, reasoning="low").text
    assert asked(server) == [SHOW, CHAT, CHAT]
    assert server.requests[-1].json["think"] == "low"


def test_a_model_that_is_missing_says_so_itself(server):
    """The 404 is the chat's own, and a model that is pulled later is asked what it can."""
    missing = Status(404, SAMPLES.text("ollama-error-404-pull.json"))
    server.add(missing, path=SHOW)
    server.add(missing)
    registry = registry_of(server)
    model = registry.parse("box/m")
    with pytest.raises(APIError, match="try pulling it first") as caught:
        model.generate(SEE)
    assert classify(caught.value) is ErrorKind.NOT_FOUND
    server.add(shows("completion"), path=SHOW)
    with pytest.raises(UnsupportedError):
        model.generate(SEE)


def test_odd_names_in_a_list_of_capabilities(server):
    """What is no word among them is passed over."""
    server.add(Status(200, {"capabilities": [None, 7, ["tools"], "vision"]}), path=SHOW)
    registry_of(server).parse("box/m").generate(SEE)
    assert asked(server) == [SHOW, CHAT]


def test_a_dead_server_is_one_error(server):
    """Where nobody listens, the question fails as it would have without the other one."""
    registry = Registry({"LLM_BOX": f"ollama+http://127.0.0.1:{dead_port()}"}, retries=0)
    with pytest.raises(MajordomoError, match="is the server running") as caught:
        registry.parse("box/m").generate(SEE)
    assert classify(caught.value) is ErrorKind.TRANSIENT


def test_a_server_that_hangs_when_asked_what_a_model_can(server):
    """It costs a part of the time at most, and not again."""
    server.add(hang(), path=SHOW)
    registry = registry_of(server)
    began = time.monotonic()
    for _ in range(2):
        assert registry.parse("box/m").generate(SEE, timeout=1).text
    assert time.monotonic() - began < 0.8
    assert asked(server) == [SHOW, CHAT, CHAT]


def test_many_threads_at_once(server):
    """Of sixteen threads with their first request one asks what the model can do; later nobody does."""
    model = registry_of(server).parse("box/qwen3:14b")
    start, failed = threading.Barrier(16), []

    def ask():
        start.wait()
        try:
            model.generate(SEE, tools=TOOLS, timeout=20)
        except BaseException as exc:
            failed.append(exc)

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not failed
    assert (asked(server).count(SHOW), asked(server).count(CHAT)) == (1, 16)
    before = len(server.requests)
    model.generate(SEE)
    assert asked(server)[before:] == [CHAT]


# --- what is learned of thinking

NOT = Status(400, SAMPLES.text("ollama-error-400-thinking.json"))
NO_MAX = Status(400, {"error": 'invalid think value: "max" (must be "high", "medium", "low", true, or false)'})
NO_LEVELS = Status(400, {"error": "json: cannot unmarshal string into Go struct field ChatRequest.think of type bool"})
LEARNING = {
    "does not": ("think=on", {}, [NOT], [True, None], [None], "think: left out, for the target does not think"),
    "no max": ("thinking=on", {"reasoning": "max"}, [NO_MAX], ["max", "high"], ["high"], "reasoning: sent as high"),
    "no levels": (
        "thinking=on",
        {"reasoning": "max"},
        [NO_LEVELS, NO_LEVELS],
        ["max", "high", True],
        [True],
        "reasoning: sent as on",
    ),
    "no levels, and none": (
        "thinking=on",
        {"reasoning": "low"},
        [NO_LEVELS, NOT],
        ["low", True, None],
        [None],
        "reasoning: left out",
    ),
}


@pytest.mark.parametrize("how", ["generate", "stream"])
@pytest.mark.parametrize("case", LEARNING)
def test_think_is_learned(server, case, how):
    """A `think` that is refused is mended within the call, told in its warnings, and remembered."""
    options, more, refusals, first, later, says = LEARNING[case]
    server.add(*refusals)
    model = registry_of(server, options=options).parse("box/m")

    def ask():
        if how == "generate":
            return model.generate("Hi", **more)
        with model.stream("Hi", **more) as events:
            list(events)
        return events.response

    for sent in (first, later):
        before = len(server.requests)
        (warning,) = ask().warnings
        assert warning.startswith(says)
        assert [seen.json.get("think") for seen in server.requests[before:]] == sent


def test_what_the_caller_says_in_extra_is_not_mended(server):
    """It wins, so the server's refusal is the caller's to see."""
    server.add(NOT)
    with pytest.raises(APIError, match="does not support thinking") as caught:
        registry_of(server).parse("box/m").generate("Hi", extra={"think": True})
    assert classify(caught.value) is ErrorKind.UNSUPPORTED
    assert len(server.requests) == 1


# --- listing, what runs, unloading


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("ollama-tags.json", ["qwen3:8b", "gemma4:latest", "gpt-oss:120b-cloud"]),
        ("ollama-cloud-tags.json", ["gpt-oss:120b"]),
        ("ollama-tags-empty.json", []),
    ],
)
def test_lists(server, name, ids):
    """The names of the models come in the server's order."""
    server.add(Status(200, SAMPLES.text(name)), path=TAGS)
    assert registry_of(server).provider("box").list_models() == ids


def test_a_list_of_odd_rows(server):
    """`model` or `name` is a name; what has neither is passed over."""
    rows = [{"name": "a"}, {"model": "b", "name": "x"}, {}, None, 7, {"model": 7}, {"model": "", "name": "c"}]
    server.add(Status(200, {"models": rows}), path=TAGS)
    assert registry_of(server).provider("box").list_models() == ["a", "b", "c"]


@pytest.mark.parametrize("body", [None, [], {}, {"models": None}, {"models": {"a": 1}}, {"data": []}])
def test_what_is_no_list_of_models(server, body):
    """It is a ProtocolError that names the provider, for unloading all too."""
    server.add(Status(200, json.dumps(body)), path=TAGS)
    server.add(Status(200, json.dumps(body)), path=PS)
    provider = registry_of(server).provider("box")
    for ask in (provider.list_models, provider.unload):
        with pytest.raises(ProtocolError, match="^box: the answer is no list of models$"):
            ask()


def test_running(server):
    """What runs comes as the server says it."""
    server.add(Status(200, SAMPLES.text("ollama-ps.json")), path=PS)
    assert registry_of(server).provider("box").running() == SAMPLES.payload("ollama-ps.json")
    assert (server.requests[0].method, server.requests[0].path) == ("GET", PS)


UNLOADED = {"model": "m", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "unload"}


def test_unload_one(server):
    """It is a chat of nothing, kept for no time; the server's answer comes as it is."""
    server.add(Status(200, UNLOADED), path=CHAT)
    assert registry_of(server).provider("box").unload("author/model:Q4") == UNLOADED
    (seen,) = server.requests
    assert seen.json == {"model": "author/model:Q4", "messages": [], "keep_alive": 0, "stream": False}


def test_unload_all(server):
    """All that run are unloaded, one by one; where nothing runs, nothing is."""
    server.add(Status(200, {"models": [{"model": "a:latest"}, {"name": "b"}]}), path=PS)
    server.add(Status(200, UNLOADED), Status(200, UNLOADED), path=CHAT)
    assert registry_of(server).provider("box").unload() == [UNLOADED, UNLOADED]
    assert [seen.json["model"] for seen in server.requests[1:]] == ["a:latest", "b"]
    server.add(Status(200, {"models": []}), path=PS)
    assert registry_of(server).provider("box").unload() == []


def test_unload_all_keeps_one_deadline(server):
    """However many run, the time is one."""
    server.add(Status(200, {"models": [{"model": str(n)} for n in range(50)]}), path=PS)
    server.add(*[lambda seen: (time.sleep(0.1), Status(200, UNLOADED))[1]] * 50, path=CHAT)
    began = time.monotonic()
    with pytest.raises(MajordomoError) as caught:
        registry_of(server).provider("box").unload(timeout=0.25)
    assert time.monotonic() - began < 0.6
    assert classify(caught.value) is ErrorKind.DEADLINE


def test_unload_an_unknown_model(server):
    """It is the server's 404."""
    server.add(Status(404, SAMPLES.text("ollama-error-404-model.json")), path=CHAT)
    with pytest.raises(APIError, match="^box: HTTP 404 model_not_found") as caught:
        registry_of(server).provider("box").unload("nosuch:1b")
    assert classify(caught.value) is ErrorKind.NOT_FOUND


@pytest.mark.parametrize("model", ["", " ", "/", 7, ["tiny"], b"m"])
def test_unloading_nothing_is_not_unloading_all(server, model):
    """An empty or odd name is refused before anything is sent."""
    with pytest.raises(ConfigError):
        registry_of(server).provider("box").unload(model)
    assert server.requests == []


MANAGE = {
    "list": (TAGS, lambda provider, **more: provider.list_models(**more)),
    "running": (PS, lambda provider, **more: provider.running(**more)),
    "unload": (CHAT, lambda provider, **more: provider.unload("m", **more)),
    "unload all": (PS, lambda provider, **more: provider.unload(**more)),
}


@pytest.mark.parametrize("call", MANAGE)
@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "5", True])
def test_a_timeout_is_a_number_of_seconds(server, call, timeout):
    """What is no timeout is refused before anything is sent."""
    with pytest.raises(ConfigError):
        MANAGE[call][1](registry_of(server).provider("box"), timeout=timeout)
    assert server.requests == []


FAILURES = {
    "login page": (Status(200, SAMPLES.text("proxy-200-login.html")), ProtocolError, ErrorKind.TRANSIENT),
    "no key": (Status(401, SAMPLES.text("proxy-error-401-detail.json")), APIError, ErrorKind.AUTH),
    "an error in a 200": (Status(200, {"error": "unauthorized"}), APIError, ErrorKind.AUTH),
    "no such path": (Status(404, "404 page not found"), APIError, ErrorKind.NOT_FOUND),
    "redirect": (Status(301, b"", {"Location": "https://elsewhere.example/x"}), APIError, ErrorKind.CONFIG),
    "token echoed": (Status(500, {"error": f"bad key {TOKEN}"}), APIError, ErrorKind.TRANSIENT),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("call", MANAGE)
def test_failures_of_managing(server, call, failure):
    """Each is an error of its kind that names the provider and holds no token; nothing is followed."""
    path, ask = MANAGE[call]
    step, cls, kind = FAILURES[failure]
    server.add(step, path=path)
    with pytest.raises(cls) as caught:
        ask(registry_of(server).provider("box"))
    assert classify(caught.value) is kind
    assert str(caught.value).startswith("box: ")
    assert TOKEN not in str(caught.value) + repr(vars(caught.value))
    assert len(server.requests) == 1


def test_the_whole_round():
    """Asked, it runs; unloaded, it does not; unloading again does no harm."""
    with FakeServer() as server:
        registry = registry_of(server)
        provider = registry.provider("box")
        registry.parse("box/qwen3:14b").generate("Hi")
        assert [row["model"] for row in provider.running()["models"]] == ["qwen3:14b"]
        for _ in range(2):
            assert provider.unload("qwen3:14b")["done_reason"] == "unload"
            assert provider.running()["models"] == []
        assert provider.unload() == []


def test_a_provider_knows_its_wire():
    """Models of one provider share what its DSN says, and learn on their own."""
    provider = Registry({"LLM_BOX": "ollama://h?num_ctx=9&think=low"}).provider("box")
    assert provider.model("a").way[1] == Quirks(num_ctx=9, think="low")
    assert provider.model("a") is provider.model("a")
    assert provider.timeout == 3600.0
    assert Registry({"OLLAMA_API_KEY": "k"}).provider("ollama-cloud").timeout == 600.0

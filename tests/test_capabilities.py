"""What is known of the limits of targets: by table, by DSN, by code, and by asking llama-swap for its list."""

from __future__ import annotations

import json
import pickle
import time
from pathlib import Path

import pytest

from majordomo import (
    Capabilities,
    ChainError,
    DeadlineError,
    DSNError,
    ErrorKind,
    Image,
    MajordomoError,
    Registry,
    Tool,
    TransportError,
    UnsupportedError,
    assistant,
    classify,
    tool_result,
    user,
)
from majordomo.llm import ToolCall
from majordomo.testing import RED, FakeServer, Raw, Reply, Status, cut, dead_port, drip, hang, redirect

TOKEN = "tok-SECRET/1234+5678"
SAMPLE = json.loads((Path(__file__).parent / "data" / "llamaswap" / "llama-swap-models.json").read_text("utf-8"))
SEE = user("What is it?", Image(RED))
LIST = ("GET", "/v1/models")
CHAT = ("POST", "/v1/chat/completions")
BOUND = 10.0  # seconds that no test here comes near


@pytest.fixture(scope="module")
def shared():
    with FakeServer(token=TOKEN) as running:
        yield running


@pytest.fixture
def server(shared):
    """A server that nobody has asked anything, with the models of the sample."""
    shared.reset()
    shared.models = list(SAMPLE["data"])
    return shared


def registry_of(server, options="", scheme="llama-swap", **settings):
    settings = {"retries": 0, "sleep": lambda seconds: None, **settings}
    return Registry({"LLM_BOX": server.dsn(scheme, TOKEN, options=options)}, **settings)


def known(dsn, model="m"):
    """What is known of a model of a DSN's provider."""
    return Registry({"LLM_BOX": dsn}).provider("box").model(model).capabilities


def asked(server):
    return [(seen.method, seen.path) for seen in server.requests]


def kinds(attempts):
    """Attempts in short, by model: `[("tiny", "failed", "transient"), ...]`."""
    return [(a.target.partition("/")[2], a.outcome, a.kind.value if a.kind else None) for a in attempts]


# What is known of families

OFFICIAL = {"max_images_per_request": 1500, "max_total_image_bytes": 380_000_000, "animated_images": False}
ROWS = [
    ("openai://", "gpt-5-mini", OFFICIAL),
    ("openai://t@", "gpt-5-mini", OFFICIAL),
    ("openai://t@api.openai.com", "gpt-5-mini", OFFICIAL),
    ("openai://t@api.openai.com:443/v1", "gpt-5-mini", OFFICIAL),
    ("openai://t@eu.api.openai.com", "gpt-5-mini", OFFICIAL),
    ("openai://t@us.api.openai.com", "a model nobody has heard of", OFFICIAL),
    ("openai://", "o1", OFFICIAL),
    ("openai://", "o3", OFFICIAL),
    ("openai://", "o4-mini", OFFICIAL),
    ("openai://", "gpt-3.5-turbo", {"max_images_per_request": 0, "animated_images": False}),
    ("openai://", "gpt-3.5-turbo-0125", {"max_images_per_request": 0}),
    ("openai://", "o1-mini", {"max_images_per_request": 0}),
    ("openai://", "o1-mini-2024-09-12", {"max_images_per_request": 0}),
    ("openai://", "o1-preview", {"max_images_per_request": 0}),
    ("openai://", "o3-mini", {"max_images_per_request": 0}),
    ("openai://", "org/gpt-3.5-turbo", OFFICIAL),
    ("openai://t@api.groq.com/openai/v1", "m", {"max_images_per_request": 5, "max_total_image_bytes": 2_900_000}),
    ("openai://t@api.groq.com", "gpt-3.5", {"max_images_per_request": 5, "animated_images": None}),
    *[
        (dsn, "gpt-3.5-turbo", {"max_images_per_request": None, "max_total_image_bytes": None, "animated_images": None})
        for dsn in (
            "openai+http://127.0.0.1:1234",
            "openai://t@h",
            "openai://t@api.openai.com.example.test",
            "openai://t@my-api.openai.com",
            "openai://t@api.openai.com:8443",
            "llama-swap://h:8080",
        )
    ],
]


@pytest.mark.parametrize(("dsn", "model", "limits"), ROWS, ids=[f"{dsn} {model}" for dsn, model, _ in ROWS])
def test_what_is_known_of_a_family(dsn, model, limits):
    """Of the hosts in the table what their makers say of them, and nothing of any other."""
    found = known(dsn, model)
    assert {name: getattr(found, name) for name in limits} == limits
    assert found.supports_images is (limits.get("max_images_per_request") != 0)


@pytest.mark.parametrize(
    ("scheme", "types"),
    [
        ("openai+http", ("image/png", "image/jpeg", "image/webp", "image/gif")),
        ("llama-swap", ("image/png", "image/jpeg")),
        ("llama-swaps", ("image/png", "image/jpeg")),
    ],
)
def test_what_is_known_of_a_scheme(scheme, types):
    """The types of pictures; nothing else is known of somebody's own server."""
    found = known(f"{scheme}://h:8080")
    assert found.allowed_image_mime == types
    assert found == Capabilities(allowed_image_mime=types)


@pytest.mark.parametrize("images", ["message", "tool result"])
def test_a_family_without_eyes_is_passed_over(server, monkeypatch, images):
    """A model of the official host that is known to read text alone is not sent a picture, and not asked."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{dead_port()}")  # whatever happens, nothing leaves here
    registry = registry_of(server, scheme="openai")
    registry.load_env({"LLM_BLIND": "openai://t@api.openai.com"})
    prompt = SEE
    if images == "tool result":
        call = ToolCall("c1", "look", {})
        prompt = [user("Look."), assistant(call), tool_result(call, Image(RED))]
    response = registry.parse("blind/gpt-3.5-turbo, box/m").generate(prompt)
    assert [(a.target, a.outcome, a.kind) for a in response.attempts] == [
        ("blind/gpt-3.5-turbo", "skipped", ErrorKind.UNSUPPORTED),
        ("box/m", "answered", None),
    ]
    assert list(registry.health.snapshot()) == []


# What a DSN says

OPTIONS = {
    "max_images=3": {"max_images_per_request": 3},
    "max_images=0": {"max_images_per_request": 0},
    "max_image_dimension=512": {"max_image_dimension": 512},
    "max_image_bytes=1000": {"max_image_bytes": 1000},
    "image_mime=png,jpg": {"allowed_image_mime": ("image/png", "image/jpeg")},
    "image_mime=image/gif": {"allowed_image_mime": ("image/gif",)},
    "max_total_image_bytes=5000": {"max_total_image_bytes": 5000},
    "many_images=20": {"many_images": 20},
    "many_image_dimension=2000": {"many_image_dimension": 2000},
    "animated_images=on": {"animated_images": True},
    "animated_images=off": {"animated_images": False},
    "tools=off": {"tools": False},
    "tools=on": {"tools": True},
    "thinking=on": {"thinking": True},
    "max-total-image-bytes=5000&MANY_IMAGES=1&tools=no": {
        "max_total_image_bytes": 5000,
        "many_images": 1,
        "tools": False,
    },
}
PLACES = {
    "the official host": ("openai://t@api.openai.com", "gpt-5-mini"),
    "a family without eyes": ("openai://t@api.openai.com", "gpt-3.5-turbo"),
    "groq": ("openai://t@api.groq.com", "m"),
    "one's own": ("openai+http://h:1234", "m"),
    "llama-swap": ("llama-swap://h:8080", "m"),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("options", OPTIONS)
def test_what_a_dsn_says_wins(place, options):
    """Over what the table knows; all else stays."""
    dsn, model = PLACES[place]
    told, untold = known(f"{dsn}?{options}", model), known(dsn, model)
    for name in Capabilities.__match_args__:
        assert getattr(told, name) == OPTIONS[options].get(name, getattr(untold, name))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("max_total_image_bytes=lots", "option max_total_image_bytes: is a whole number"),
        ("many_images=-1", "option many_images: is a whole number"),
        ("many_image_dimension=1.5", "option many_image_dimension: is a whole number"),
        ("animated_images=maybe", "option animated_images: is on or off"),
        ("tools=some", "option tools: is on or off"),
        ("image_mime=exe", "option image_mime: is a list of"),
        ("image_mime=,", "option image_mime: is a list of"),
        ("animated_image=on", "unknown option animated_image: did you mean animated_images?"),
        ("structured=off", "unknown option structured"),
    ],
)
@pytest.mark.parametrize("scheme", ["openai", "llama-swap", "google"])
def test_an_option_that_cannot_be_read_is_told(options, says, scheme):
    """It names the variable and the option, and never the token."""
    registry = Registry({"LLM_BOX": f"{scheme}://{TOKEN.replace('/', '%2F')}@h?{options}"})
    with pytest.raises(DSNError) as caught:
        registry.provider("box")
    assert str(caught.value).startswith(f"LLM_BOX: {says}")
    assert "SECRET" not in repr(caught.value)


TOOL = Tool("look", "Looks.", {"type": "object", "properties": {}})


@pytest.mark.parametrize(
    ("options", "prompt", "more", "passed_over"),
    [
        ("tools=off", "Hi", {"tools": [TOOL]}, True),
        ("tools=off", "Hi", {}, False),
        ("tools=on", "Hi", {"tools": [TOOL]}, False),
        ("", "Hi", {"tools": [TOOL]}, False),
        ("max_images=0", SEE, {}, True),
        ("max_images=0", "Hi", {}, False),
        ("max_images=1", SEE, {}, False),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_what_a_dsn_says_decides_who_is_asked(server, options, prompt, more, passed_over, stream):
    """Who cannot is passed over before anything is sent, whatever is asked of it."""
    registry = registry_of(server, options, scheme="openai")
    registry.load_env({"LLM_NEXT": server.dsn("openai", TOKEN)})
    chain = registry.parse("box/first, next/second")
    if stream:
        with chain.stream(prompt, **more) as events:
            list(events)
        response = events.response
    else:
        response = chain.generate(prompt, **more)
    first = [("first", "skipped", "unsupported"), ("second", "answered", None)]
    assert kinds(response.attempts) == (first if passed_over else [("first", "answered", None)])
    assert [seen.model for seen in server.requests] == ["second" if passed_over else "first"]


# What is set in code


@pytest.mark.parametrize("scheme", ["openai", "llama-swap"])
@pytest.mark.parametrize("before", [False, True], ids=["later parses", "earlier parses"])
def test_what_is_set_in_code_counts(server, scheme, before):
    """On the provider's model, for every chain that names it; nobody is asked about it any more."""
    registry = registry_of(server, scheme=scheme)
    chain = registry.parse("box/org/qwen3:14b") if before else None
    mine = Capabilities(max_images_per_request=0, allowed_image_mime=("image/png",))
    registry.provider("box").model("org/qwen3:14b").capabilities = mine
    chain = chain or registry.parse("box/org/qwen3:14b")
    assert chain.capabilities == mine
    with pytest.raises(UnsupportedError, match="takes no images"):
        chain.generate(SEE)
    assert asked(server) == []
    assert registry.parse("box/other").capabilities != mine
    assert chain.generate("Hi").text


def test_what_is_set_in_code_is_not_overwritten_by_a_list(server):
    """The list says that `flux-schnell` reads text alone; its user knows better, before and after asking."""
    registry = registry_of(server)
    model = registry.provider("box").model("flux-schnell")
    model.capabilities = Capabilities(max_images_per_request=2)
    assert registry.parse("box/flux-schnell").generate(SEE).text
    assert registry.provider("box").list_models()
    registry.parse("box/org/qwen3:14b").generate(SEE)
    assert registry.parse("box/flux-schnell").capabilities == Capabilities(max_images_per_request=2)
    assert registry.parse("box/flux-schnell").generate(SEE).text


def test_what_is_set_in_code_wins_over_what_was_learned(server):
    """And over what a DSN says."""
    registry = registry_of(server, "max_image_dimension=512")
    chain = registry.parse("box/flux-schnell")
    with pytest.raises(UnsupportedError):
        chain.generate(SEE)
    registry.provider("box").model("flux-schnell").capabilities = Capabilities()
    assert chain.generate(SEE).text
    assert chain.capabilities == Capabilities()


# llama-swap's list


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"system": "Be brief."},
        {"tools": [TOOL]},
        {"schema": {"type": "object"}},
    ],
)
def test_nothing_is_asked_for_words_alone(server, options, stream):
    """A question without a picture is one request, tools and schemas included."""
    server.add(Reply("{}"))
    chain = registry_of(server).parse("box/tiny")
    assert chain.capabilities.max_images_per_request is None
    if stream:
        list(chain.stream("Hi", **options))
    else:
        chain.generate("Hi", **options)
    assert asked(server) == [CHAT]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_list_is_asked_for_once(server, stream):
    """Before the first picture; not for the next ones, other models or later parses, and with the token."""
    registry = registry_of(server)
    for spec in ("box/org/qwen3:14b", "box/org/qwen3:14b", "box/tiny", "box/everyday"):
        chain = registry.parse(spec)
        if stream:
            list(chain.stream(SEE))
        else:
            chain.generate(SEE)
    assert asked(server) == [LIST, CHAT, CHAT, CHAT, CHAT]
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert server.requests[0].headers["accept"] == "application/json"


def test_a_picture_in_a_tool_result_counts(server):
    """Wherever it stands in the conversation."""
    call = ToolCall("c1", "look", {})
    chain = registry_of(server).parse("box/flux-schnell")
    with pytest.raises(UnsupportedError):
        chain.generate([user("Look."), assistant(call), tool_result(call, Image(RED))])
    assert asked(server) == [LIST]


@pytest.mark.parametrize("path", ["", "/v1", "/prefix", "/prefix/v1/"])
def test_the_list_is_where_the_management_is(server, path):
    """Beside the chat, whatever the spelling of the address."""
    registry = Registry({"LLM_BOX": server.dsn("llama-swap", TOKEN, path)})
    registry.parse("box/tiny").generate(SEE)
    prefix = "/prefix" if "prefix" in path else ""
    assert asked(server) == [("GET", prefix + LIST[1]), ("POST", prefix + CHAT[1])]


def row(id, modalities=None, aliases=None, **more):
    """A row of a list as llama-swap writes it."""
    found = {"id": id, "object": "model", "owned_by": "llama-swap", **more}
    if modalities is not None:
        found["architecture"] = {"input_modalities": modalities}
    if aliases is not None:
        found["meta"] = {"llamaswap": {"aliases": aliases, "type": "model"}}
    return found


BLIND = {
    "the sample": (SAMPLE["data"], "flux-schnell"),
    "text": ([row("m", ["text"])], "m"),
    "audio": ([row("m", ["text", "audio"])], "m"),
    "an id of many parts": ([row("org/m:7b@q4", ["text"])], "org/m:7b@q4"),
    "an alias": ([row("org/m:7b", ["text"], ["a", "everyday"])], "everyday"),
    "an alias with a slash": ([row("m", ["text"], ["org/m:7b"])], "org/m:7b"),
    "an id wins over an alias": ([row("x", ["text", "image"], ["m"]), row("m", ["text"])], "m"),
    "more rows": ([row("a", ["text", "image"]), row("m", ["text"]), row("z")], "m"),
}


@pytest.mark.parametrize(("models", "model"), list(BLIND.values()), ids=list(BLIND))
def test_a_model_that_reads_text_alone_is_passed_over(server, models, model):
    """Its owner says so in the list: no picture is sent, nothing cools down, the next target sees."""
    server.models = [*models, row("seeing", ["text", "image"])]
    registry = registry_of(server)
    response = registry.parse(f"box/{model}, box/seeing").generate(SEE)
    assert kinds(response.attempts) == [(model, "skipped", "unsupported"), ("seeing", "answered", None)]
    assert "takes no images" in response.attempts[0].error
    assert asked(server) == [LIST, CHAT]
    assert server.requests[1].json["model"] == "seeing"
    assert registry.health.snapshot() == {}
    with pytest.raises(UnsupportedError) as caught:
        registry.parse(f"box/{model}").generate(SEE)
    assert caught.value.target == f"box/{model}"
    assert registry.parse(f"box/{model}").generate("Hi").text
    assert registry.parse(f"box/{model}").capabilities.supports_images is False


UNKNOWN = {
    "the sample, seeing": (SAMPLE["data"], "org/qwen3:14b"),
    "the sample, an alias of one that sees": (SAMPLE["data"], "everyday"),
    "the sample, nothing configured": (SAMPLE["data"], "tiny"),
    "the sample, not listed": (SAMPLE["data"], "hidden"),
    "names alone": (["m"], "m"),
    "an empty list": ([], "m"),
    "image": ([row("m", ["image"])], "m"),
    "an alias of another": ([row("x", ["text"], ["y"])], "m"),
    "an id wins over an alias": ([row("x", ["text"], ["m"]), row("m", ["text", "image"])], "m"),
    "another case": ([row("M", ["text"])], "m"),
    "architecture null": ([row("m", architecture=None)], "m"),
    "architecture a word": ([row("m", architecture="llama")], "m"),
    "architecture a list": ([row("m", architecture=["text"])], "m"),
    "no modalities": ([row("m", architecture={"modality": "text->text"})], "m"),
    "modalities null": ([row("m", architecture={"input_modalities": None})], "m"),
    "modalities a word": ([row("m", architecture={"input_modalities": "text"})], "m"),
    "modalities an object": ([row("m", architecture={"input_modalities": {"text": True}})], "m"),
    "meta of odd types": ([row("x", ["text"], meta=["m"]), row("y", ["text"], meta={"llamaswap": "m"})], "m"),
    "aliases of odd types": ([row("x", ["text"], {"m": 1}), row("y", ["text"], "m"), row("z", ["text"], [["m"]])], "m"),
}


@pytest.mark.parametrize(("models", "model"), list(UNKNOWN.values()), ids=list(UNKNOWN))
def test_a_model_of_which_nothing_is_said_is_sent_the_picture(server, models, model):
    """Nothing configured is nothing known: the server will say."""
    server.models = models
    registry = registry_of(server)
    response = registry.parse(f"box/{model}").generate(SEE)
    assert kinds(response.attempts) == [(model, "answered", None)]
    assert asked(server) == [LIST, CHAT]
    assert "image_url" in server.requests[1].body.decode()
    assert registry.parse(f"box/{model}").capabilities.max_images_per_request is None


WITHOUT_LIST = {
    "a list for others": Status(401, {"error": {"message": "unauthorized"}}),
    "404": Status(404, "404 page not found\n"),
    "405": Status(405, "Method Not Allowed"),
    "a redirect": redirect("http://127.0.0.1:1/v1/models"),
    "a web page": Status(200, "<!DOCTYPE html><html>Sign in</html>", {"Content-Type": "text/html"}),
    "text": Status(200, "OK"),
    "nothing": Status(200, b""),
    "null": Status(200, "null"),
    "a number": Status(200, "7"),
    "an object": Status(200, {"object": "list"}),
    "data null": Status(200, {"data": None}),
    "data an object": Status(200, {"data": {"id": "m"}}),
    "rows that are none": Status(200, {"data": [None, 7, "m", {}, {"id": 5}, {"id": None, "architecture": {}}]}),
    "no UTF-8": Status(200, b'{"data": [{"id": "\xff"}]}'),
    "too deep": Status(200, b"[" * 100_000),
    "too large": Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{"),
    "gzip that is none": Status(200, b"xx", {"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("name", WITHOUT_LIST)
def test_a_server_without_the_list_is_sent_the_picture(server, name):
    """A bare llama-server, a proxy of another kind: nothing is known, and it is asked for it no more."""
    server.add(WITHOUT_LIST[name], path="/models")
    registry = registry_of(server)
    for _ in range(2):
        response = registry.parse("box/flux-schnell").generate(SEE)
        assert kinds(response.attempts) == [("flux-schnell", "answered", None)]
    assert asked(server) == [LIST, CHAT, CHAT]
    assert registry.health.snapshot() == {}


BUSY = {
    "429": Status(429, {"error": {"message": "slow down"}}),
    "503": Status(503, {"error": "oops"}),
    "an error in a 200": Status(200, {"error": {"message": "busy"}}),
}


@pytest.mark.parametrize("name", BUSY)
def test_a_server_that_is_busy_is_left_alone_for_a_minute(server, name, monkeypatch):
    """What it could not say now it may say later; the calls at hand go on without."""
    server.add(BUSY[name], path="/models")
    chain = registry_of(server).parse("box/flux-schnell")
    for _ in range(2):
        assert kinds(chain.generate(SEE).attempts) == [("flux-schnell", "answered", None)]
    assert asked(server) == [LIST, CHAT, CHAT]
    monkeypatch.setattr("majordomo.providers._told.ASK_AGAIN", 0.0)
    server.reset()
    server.add(BUSY[name], path="/models")
    chain = registry_of(server).parse("box/flux-schnell")
    chain.generate(SEE)
    with pytest.raises(UnsupportedError):
        chain.generate(SEE)
    assert asked(server) == [LIST, CHAT, LIST]


@pytest.mark.parametrize(
    ("options", "requests"),
    [
        ("max_images=2", [CHAT]),
        ("max_images=0", []),
        ("max_image_dimension=4096", [LIST]),
        ("image_mime=png&tools=on", [LIST]),
    ],
)
def test_whose_dsn_says_how_many_pictures_is_not_asked(server, options, requests):
    """The owner of the DSN knows; other options say nothing of whether it sees."""
    chain = registry_of(server, options).parse("box/flux-schnell")
    if CHAT in requests:
        assert chain.generate(SEE).text
    else:
        with pytest.raises(UnsupportedError):
            chain.generate(SEE)
    assert asked(server) == requests


def test_only_llama_swap_is_asked(server):
    """OpenAI's list says nothing of pictures."""
    registry_of(server, scheme="openai").parse("box/flux-schnell").generate(SEE)
    assert asked(server) == [CHAT]


def test_what_was_learned_is_kept_beside_what_is_known(server):
    """The list adds to the limits of the scheme and of the DSN."""
    registry = registry_of(server, "max_image_dimension=64")
    chain = registry.parse("box/flux-schnell")
    with pytest.raises(UnsupportedError):
        chain.generate(SEE)
    assert chain.capabilities == Capabilities(
        max_images_per_request=0, max_image_dimension=64, allowed_image_mime=("image/png", "image/jpeg")
    )


def test_a_changed_variable_means_another_list(server):
    """What was learned belongs to the server that told it."""
    environ = {"LLM_BOX": server.dsn("llama-swap", TOKEN)}
    registry = Registry(environ)
    with pytest.raises(UnsupportedError):
        registry.parse("box/flux-schnell").generate(SEE)
    with FakeServer(models=[row("flux-schnell", ["image"])]) as other:
        environ["LLM_BOX"] = other.dsn("llama-swap")
        assert registry.parse("box/flux-schnell").generate(SEE).text
        assert asked(other) == [LIST, CHAT]


# A server that is down


def test_a_dead_server_fails_the_attempt():
    """Asking for the list is part of the attempt: transient, it cools down, the next target answers."""
    with FakeServer() as alive:
        registry = Registry(
            {"LLM_DEAD": f"llama-swap://127.0.0.1:{dead_port()}", "LLM_BOX": alive.dsn("llama-swap")}, retries=0
        )
        response = registry.parse("dead/m, box/m").generate(SEE)
        assert [(a.target, a.outcome, a.kind) for a in response.attempts] == [
            ("dead/m", "failed", ErrorKind.TRANSIENT),
            ("box/m", "answered", None),
        ]
        assert "refused" in response.attempts[0].error
        assert [key.partition(" ")[0] for key in registry.health.snapshot()] == ["dead/m"]
        with pytest.raises(TransportError, match="^dead/m: ") as caught:
            registry.parse("dead/m").generate(SEE)
        assert caught.value.target == "dead/m"


FAULTS = {"closed": cut(), "cut": cut(Status(200, SAMPLE), after=200), "garbage": Raw(b"SSH-2.0-OpenSSH_9.6\r\n")}


@pytest.mark.parametrize("name", FAULTS)
def test_a_list_that_breaks_off_does_no_harm(server, name):
    """It says nothing of the model, which is asked; the next picture asks for the list anew, and learns."""
    server.add(FAULTS[name], path="/models")
    registry = registry_of(server, retries=1)
    assert kinds(registry.parse("box/flux-schnell").generate(SEE).attempts) == [("flux-schnell", "answered", None)]
    with pytest.raises(UnsupportedError):
        registry.parse("box/flux-schnell").generate(SEE)
    assert asked(server) == [LIST, CHAT, LIST]


SLOW = {
    "hangs": hang(),
    "stops midway": hang(Status(200, SAMPLE), after=150),
    "drips": drip(Status(200, SAMPLE), 0.02),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", SLOW)
def test_a_list_that_is_late_costs_a_part_of_the_time(server, name, stream):
    """However it is slow: the question itself is answered, and the list is left alone for a while."""
    server.add(SLOW[name], path="/models")
    registry = registry_of(server, retries=2)
    chain = registry.parse("box/flux-schnell")
    for _ in range(2):
        if stream:
            with chain.stream(SEE, timeout=1) as answer:
                list(answer)
            response = answer.response
        else:
            response = chain.generate(SEE, timeout=1)
        assert kinds(response.attempts) == [("flux-schnell", "answered", None)]
    assert asked(server) == [LIST, CHAT, CHAT]
    assert registry.health.snapshot() == {}


@pytest.mark.parametrize("timeout", [0.4, 0.8])
def test_the_deadline_holds_over_list_and_answer(server, timeout):
    """When both hang, the timeout is the timeout."""
    server.add(hang(), path="/models")
    server.add(hang())
    began = time.monotonic()
    with pytest.raises(DeadlineError) as caught:
        registry_of(server).parse("box/m").generate(SEE, timeout=timeout)
    assert time.monotonic() - began < BOUND
    assert caught.value.limit == "timeout"


def test_no_error_of_the_list_shows_a_token(server):
    """Whatever the server echoes."""
    server.add(cut(Status(200, f'{{"data": "{TOKEN}"'), after=-4), path="/models")
    server.add(Status(400, {"error": {"message": f"no picture for {TOKEN}"}}))
    with pytest.raises(MajordomoError) as caught:
        registry_of(server).parse("box/m").generate(SEE)
    shown = str(caught.value) + repr(vars(caught.value)) + repr(pickle.dumps(caught.value))
    assert "SECRET" not in shown


def test_when_nobody_sees_each_is_told(server):
    """A ChainError of the kind UNSUPPORTED, after one request for the list."""
    server.models = [row("a", ["text"]), row("b", ["text"])]
    with pytest.raises(ChainError) as caught:
        registry_of(server).parse("box/a, box/b").generate(SEE)
    assert classify(caught.value) is ErrorKind.UNSUPPORTED
    assert kinds(caught.value.attempts) == [("a", "skipped", "unsupported"), ("b", "skipped", "unsupported")]
    assert asked(server) == [LIST]


def test_the_host_of_a_family_ignores_case():
    """A host is the same in any case."""
    target = Registry({"LLM_B": "openai://t@API.OpenAI.com"}).provider("b").model("gpt-3.5-turbo")
    assert target.capabilities.max_images_per_request == 0

"""The provider of OpenAI and its lookalikes: where it asks, what it says of itself, and what it mends."""

from __future__ import annotations

import json
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
    Request,
    TextDelta,
    UnsupportedError,
    classify,
    user,
)
from majordomo.testing import Reply, Status, dead_port

DATA = Path(__file__).parent / "data" / "openai_chat"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
HOWS = ("generate", "stream")


def registry_of(server, scheme="openai", **dsn):
    return Registry({"LLM_BOX": server.dsn(scheme, **dsn)}, retries=0, sleep=lambda seconds: None)


def ask(model, how, prompt="Hi", **options):
    """The response, asked for in either way."""
    if how == "generate":
        return model.generate(prompt, **options)
    with model.stream(prompt, **options) as stream:
        text = "".join(event.text for event in stream if type(event) is TextDelta)
    assert text == stream.response.text
    return stream.response


def bodies(server):
    return [seen.json for seen in server.requests]


# --- where and who


@pytest.mark.parametrize(
    ("path", "base"),
    [
        ("", "/v1"),
        ("/", "/v1"),
        ("/v1", "/v1"),
        ("/v1/", "/v1"),
        ("/v1/chat/completions", "/v1"),
        ("/openai/v1", "/openai/v1"),
        ("/api", "/api"),
    ],
)
def test_every_spelling_of_the_address_leads_to_the_same_place(server, path, base):
    """No path is `/v1`; a path is kept as it is; no slash is doubled."""
    registry = registry_of(server, path=path)
    registry.parse("box/m").generate("Hi")
    registry.provider("box").list_models()
    assert [seen.path for seen in server.requests] == [base + "/chat/completions", base + "/models"]


def test_a_token_goes_into_the_header_alone(server):
    """The key is a bearer token, percent-decoded, and in nothing else that is sent."""
    registry = registry_of(server, token="sk-a/b?c%d")
    registry.parse("box/m").generate("Hi")
    registry.provider("box").list_models()
    for seen in server.requests:
        assert seen.headers["authorization"] == "Bearer sk-a/b?c%d"
        assert "sk-a" not in seen.path + seen.body.decode()


def test_without_a_token_no_key_is_sent(server):
    """A server without a key gets no `Authorization`, whatever the vendor's variable holds."""
    environ = {
        "LLM_BOX": server.dsn("openai", token=None),
        "LLM_OPENAI": server.dsn("openai", token=None),
        "OPENAI_API_KEY": "sk-vendor",
    }
    registry = Registry(environ)
    for name in ("box", "openai"):
        registry.parse(f"{name}/m").generate("Hi")
        registry.provider(name).list_models()
    assert all("authorization" not in seen.headers for seen in server.requests)
    assert len(server.requests) == 4


def test_the_vendors_variables(server):
    """The built-in provider has its key and its base URL from the vendor's own variables."""
    registry = Registry({"OPENAI_API_KEY": "sk-vendor", "OPENAI_BASE_URL": server.url + "/v1"})
    registry.parse("openai/m").generate("Hi")
    (seen,) = server.requests
    assert (seen.path, seen.headers["authorization"]) == ("/v1/chat/completions", "Bearer sk-vendor")


def test_without_a_key_the_vendor_is_not_asked():
    """Without a key the built-in provider fails on use, and says which variable to set."""
    registry = Registry({})
    chain = registry.parse("openai/gpt-5-mini")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        chain.generate("Hi")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        registry.provider("openai").list_models()


@pytest.mark.parametrize(
    ("dsn", "base"),
    [
        ("openai://sk-x@", "https://api.openai.com/v1"),
        ("openai://host", "https://host/v1"),
        ("openai://host:443", "https://host/v1"),
        ("openai+http://host:80", "http://host/v1"),
        ("openai+http://host:8000/v1/", "http://host:8000/v1"),
        ("openai://k@host/prefix", "https://host/prefix"),
    ],
)
def test_base_url(dsn, base):
    """Plain http is only ever said, never guessed; a default port is not named."""
    assert Registry({"LLM_BOX": dsn}).provider("box").base_url == base


def test_what_every_request_says(server):
    """JSON goes out, JSON is asked for, also for a stream; the User-Agent is ours or the caller's."""
    registry_of(server).parse("box/m").generate("Hi")
    list(registry_of(server).parse("box/m").stream("Hi"))
    Registry({"LLM_BOX": server.dsn("openai")}, user_agent="mine/1").provider("box").list_models()
    first, second, third = (seen.headers for seen in server.requests)
    for headers in (first, second):
        assert headers["content-type"] == headers["accept"] == "application/json"
        assert headers["user-agent"].startswith("majordomo/")
    assert third["accept"] == "application/json"
    assert third["user-agent"] == "mine/1"


@pytest.mark.parametrize(
    "id", ["gpt-5-mini", "Qwen/Qwen3-8B", "org/sub/m:Q4@x", "MODEL.gguf", "ft:gpt-4o:me::1", "modèle"]
)
def test_model_ids_are_sent_as_written(server, id):
    """All behind the first slash is the model, also one that nobody has heard of."""
    response = registry_of(server).parse(f"box/{id}").generate("Hi")
    assert server.requests[0].json["model"] == id
    assert response.model == f"box/{id}"


# --- options of the DSN


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ("", "max_completion_tokens"),
        ("token_limit=max_tokens", "max_tokens"),
        ("token_limit=max_completion_tokens", "max_completion_tokens"),
    ],
)
def test_the_name_of_the_limit_is_an_option(server, options, sent):
    """`?token_limit=` says under which name a server takes `max_tokens`."""
    registry_of(server, options=options).parse("box/m").generate("Hi", max_tokens=9)
    assert {"max_tokens", "max_completion_tokens"} & set(server.requests[0].json) == {sent}


@pytest.mark.parametrize(
    "options",
    ["token_limit=n_predict", "num_ctx=8", "tokenlimit=max_tokens", "timeout=0", "max_images=-1", "proxy=maybe"],
)
def test_an_unknown_or_odd_option_is_an_error_on_use(server, options):
    """What an option cannot mean is a DSNError that names the variable, and nothing is sent."""
    registry = registry_of(server, options=options)
    with pytest.raises(DSNError, match="LLM_BOX"):
        registry.parse("box/m").generate("Hi")
    assert server.requests == []


@pytest.mark.parametrize(
    ("options", "images"),
    [("max_images=0", [PNG]), ("max_image_dimension=0", [PNG]), ("max_image_bytes=20", [PNG])],
)
def test_limits_of_pictures_are_options(server, options, images):
    """A target that is said to take less is not asked more: the error comes before anything is sent."""
    with pytest.raises(UnsupportedError):
        registry_of(server, options=options).parse("box/m").generate(user("Look", *map(Image, images)))
    assert server.requests == []


def test_options_say_what_a_target_can():
    """Limits and timeout of a DSN are the target's."""
    options = (
        "max_images=3&max_image_dimension=2048&max_image_bytes=1000&image_mime=png,image/jpeg&thinking=on&timeout=7.5"
    )
    model = Registry({"LLM_BOX": f"openai://host?{options}"}).provider("box").model("m")
    limits = model.capabilities
    assert (limits.max_images_per_request, limits.max_image_dimension, limits.max_image_bytes) == (3, 2048, 1000)
    assert limits.allowed_image_mime == ("image/png", "image/jpeg")
    assert limits.thinking is True
    assert model.default_timeout == 7.5


# --- lists


def test_the_list_of_models(server):
    """The ids come in the server's order."""
    listed = json.loads((DATA / "openai-models.json").read_text())
    server.add(Status(200, listed), path="/models")
    found = registry_of(server).provider("box").list_models()
    assert found == [row["id"] for row in listed["data"]]
    assert found


LISTS = [
    ("llama-cpp-models.json", ["qwen3-8b-q4_k_m.gguf"]),
    ({"object": "list", "data": []}, []),
    ([{"id": "a"}, {"id": "b"}], ["a", "b"]),
    ({"data": [{"id": "a"}, {"name": "x"}, None, 7, {"id": 8}, {"id": "b"}]}, ["a", "b"]),
]


@pytest.mark.parametrize(("answer", "ids"), LISTS, ids=[str(row[0])[:40] for row in LISTS])
def test_lists_of_lookalikes(server, answer, ids):
    """A list is read in each of its shapes; rows that are none are passed over."""
    body = json.loads((DATA / answer).read_text()) if isinstance(answer, str) else answer
    server.add(Status(200, body), path="/models")
    assert registry_of(server).provider("box").list_models() == ids


@pytest.mark.parametrize(
    "body", ["", "OK", "null", "7", "{}", '{"data": null}', '{"data": {"a": 1}}', "<html>Sign in</html>"]
)
def test_what_is_no_list_is_a_protocol_error(server, body):
    """A 200 that is no list says so, and names the provider."""
    server.add(Status(200, body), path="/models")
    with pytest.raises(ProtocolError) as caught:
        registry_of(server).provider("box").list_models()
    assert str(caught.value).startswith("box: ")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("openai-error-401-invalid-key.json", ErrorKind.AUTH),
        ("openai-error-429-quota.json", ErrorKind.QUOTA),
        ("openai-error-500.json", ErrorKind.TRANSIENT),
        ("llama-swap-error-404-path.txt", ErrorKind.NOT_FOUND),
        ("proxy-502-nginx.html", ErrorKind.TRANSIENT),
    ],
)
def test_a_list_that_is_refused(server, name, kind):
    """A list is refused with the same errors as an answer, asked for once."""
    expect = json.loads((DATA / "expect.json").read_text("utf-8"))["files"][name]
    server.add(Status(expect["status"], (DATA / name).read_bytes(), expect["headers"]), path="/models")
    with pytest.raises(APIError) as caught:
        registry_of(server).provider("box").list_models()
    assert classify(caught.value) is kind
    assert caught.value.target == "box"
    assert len(server.requests) == 1


# --- parameters that a server does not take


def refused(param, code="unsupported_parameter", message="", status=400):
    """A server's refusal of a parameter."""
    message = message or f"Unsupported parameter: '{param}' is not supported with this model."
    return Status(
        status, {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}
    )


class Picky:
    """A step for each request: refuses what stands in `without`, one parameter at a time, else answers."""

    def __init__(self, *without, **how):
        self.without, self.how = without, how

    def __call__(self, seen):
        for name in self.without:
            if name in seen.json:
                return refused(name, **self.how)
        return Reply("Fine.")


@pytest.fixture
def picky(server):
    """Make the server refuse parameters from now on."""
    before = server.default

    def make(*without, **how):
        server.default = Picky(*without, **how)
        return server

    yield make
    server.default = before


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("scheme", ["openai", "llama-swap"])
def test_the_limit_is_renamed(picky, how, scheme):
    """A server that knows `max_tokens` by its other name alone gets that one, from the second request on."""
    first, other = ("max_completion_tokens", "max_tokens")[:: 1 if scheme == "openai" else -1]
    server = picky(first)
    registry = registry_of(server, scheme)
    response = ask(registry.parse("box/m"), how, max_tokens=9)
    assert response.text == "Fine."
    assert [body.get(first) for body in bodies(server)] == [9, None]
    assert [body.get(other) for body in bodies(server)] == [None, 9]
    assert [warning.partition(":")[0] for warning in response.warnings] == ["max_tokens"]
    assert other in response.warnings[0]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(
    ("option", "name", "value"),
    [
        ("temperature", "temperature", 0.2),
        ("top_p", "top_p", 0.5),
        ("stop", "stop", ("END",)),
        ("seed", "seed", 7),
        ("reasoning", "reasoning_effort", "low"),
    ],
)
def test_what_has_no_other_name_is_left_out(picky, how, option, name, value):
    """An option that a server does not take is left out, and the response says so by the option's name here."""
    server = picky(name)
    response = ask(registry_of(server).parse("box/m"), how, **{option: value})
    assert [name in body for body in bodies(server)] == [True, False]
    assert [warning.partition(":")[0] for warning in response.warnings] == [option]
    assert "left out" in response.warnings[0]


@pytest.mark.parametrize("how", HOWS)
def test_what_was_learned_is_remembered_for_that_model(picky, how):
    """The second call asks once; another model of the provider learns for itself; what is not asked is not told."""
    server = picky("max_completion_tokens", "temperature")
    registry = registry_of(server)
    ask(registry.parse("box/m"), how, max_tokens=9, temperature=0.2)
    assert len(server.requests) == 3
    again = ask(registry.parse("box/m"), how, max_tokens=9, temperature=0.2)
    assert len(server.requests) == 4
    assert sorted(warning.partition(":")[0] for warning in again.warnings) == ["max_tokens", "temperature"]
    assert ask(registry.parse("box/m"), how).warnings == ()
    assert len(server.requests) == 5
    ask(registry.parse("box/other"), how, max_tokens=9)
    assert len(server.requests) == 7


def test_what_a_stream_learned_serves_an_answer(picky):
    """It is the model that is remembered, not the way of asking."""
    server = picky("temperature")
    model = registry_of(server).parse("box/m")
    ask(model, "stream", temperature=0.2)
    ask(model, "generate", temperature=0.2)
    assert len(server.requests) == 3


@pytest.mark.parametrize("how", HOWS)
def test_several_parameters_one_after_the_other(picky, how):
    """A server names one at a time; each is mended, the attempt is one."""
    server = picky("max_completion_tokens", "temperature", "top_p", "stop", "seed", "reasoning_effort")
    options = {"max_tokens": 9, "temperature": 0.2, "top_p": 0.5, "stop": ("E",), "seed": 1, "reasoning": "low"}
    response = ask(registry_of(server).parse("box/m"), how, **options)
    assert len(server.requests) == 7
    assert {warning.partition(":")[0] for warning in response.warnings} == set(options)
    assert [attempt.outcome for attempt in response.attempts] == ["answered"]


def test_a_limit_without_a_name_is_left_out(picky):
    """A server that takes neither name gets neither, and that is told once, as it is."""
    server = picky("max_completion_tokens", "max_tokens")
    response = ask(registry_of(server).parse("box/m"), "generate", max_tokens=9)
    assert len(server.requests) == 3
    assert not {"max_completion_tokens", "max_tokens"} & set(server.requests[-1].json)
    (warning,) = response.warnings
    assert warning.startswith("max_tokens: left out")


def test_the_counting_of_a_stream_is_left_out(picky):
    """A server that knows no `stream_options` streams without; nothing of the caller's was left out."""
    server = picky("stream_options")
    response = ask(registry_of(server).parse("box/m"), "stream")
    assert [("stream_options" in body) for body in bodies(server)] == [True, False]
    assert response.warnings == ()


def test_the_switch_of_templates_is_no_option(picky):
    """Where only llama.cpp's own switch is refused, the effort is still sent, and nothing is told of it."""
    server = picky("chat_template_kwargs")
    model = registry_of(server, "llama-swap").parse("box/m")
    ask(model, "generate", reasoning="off")
    assert server.requests[-1].json["reasoning_effort"] == "none"
    later = ask(model, "generate", reasoning="high")
    assert server.requests[-1].json["reasoning_effort"] == "high"
    assert later.warnings == ()


def test_a_refused_value_says_nothing_of_other_values(server):
    """A model that takes no effort `none` is still sent `high` the next time."""
    message = "Unsupported value: 'none' is not supported with the 'm' model. Supported values are: 'low', 'high'."
    server.add(refused("reasoning_effort", "unsupported_value", message), Reply("Fine."), Reply("Fine."))
    model = registry_of(server).parse("box/m")
    first = ask(model, "generate", reasoning="off")
    assert [warning.partition(":")[0] for warning in first.warnings] == ["reasoning"]
    second = ask(model, "generate", reasoning="high")
    assert server.requests[-1].json.get("reasoning_effort") == "high"
    assert second.warnings == ()


@pytest.mark.parametrize("how", HOWS)
def test_it_never_loops(server, how):
    """A server that refuses the same parameter again, though it is gone, is believed: the error is raised."""
    server.add(*[refused("temperature")] * 9)
    with pytest.raises(APIError) as caught:
        ask(registry_of(server).parse("box/m"), how, temperature=0.2)
    assert len(server.requests) == 2
    assert classify(caught.value) is ErrorKind.INVALID


def test_it_never_loops_between_two_names(server):
    """A server that sends from one name to the other and back is asked no more than once for each."""
    steps = [refused("max_completion_tokens"), refused("max_tokens")] * 5
    server.add(*steps)
    with pytest.raises(APIError):
        ask(registry_of(server).parse("box/m"), "generate", max_tokens=9)
    assert len(server.requests) == 3


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(
    "extra", [{"temperature": 0.2}, {"max_completion_tokens": 9}, {"logit_bias": {}}, {"reasoning_effort": "low"}]
)
def test_extra_is_never_mended(server, how, extra):
    """What the caller put into `extra` is sent as it is, and its refusal is the caller's to know."""
    server.add(refused(next(iter(extra))))
    with pytest.raises(APIError):
        ask(registry_of(server).parse("box/m"), how, extra=extra)
    assert len(server.requests) == 1


def test_extra_wins_over_what_was_learned(picky):
    """A parameter that was learned to be refused is still sent where `extra` asks for it."""
    server = picky("temperature")
    model = registry_of(server).parse("box/m")
    ask(model, "generate", temperature=0.2)
    server.default = Reply("Fine.")
    ask(model, "generate", extra={"temperature": 0.7})
    assert server.requests[-1].json["temperature"] == 0.7


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
NO_SCHEMA = refused(None, None, "This response_format type is unavailable now")
NO_JSON = refused("response_format", None, "json_object response format is not supported for model: m", 405)


@pytest.mark.parametrize("how", HOWS)
def test_the_next_best_means_for_a_schema(server, how):
    """Where schemas are refused JSON mode is asked for, where that is refused too words; and that is remembered."""
    model = registry_of(server).parse("box/m")
    server.add(NO_SCHEMA, Reply('{"a": "b"}'))
    response = ask(model, how, schema=SCHEMA)
    assert response.parsed == {"a": "b"}
    assert [body["response_format"]["type"] for body in bodies(server)] == ["json_schema", "json_object"]
    assert response.warnings == ("schema: asked for in JSON mode and in words, for the target does not enforce it",)
    assert [attempt.outcome for attempt in response.attempts] == ["answered"]

    server.add(NO_JSON, Reply('```json\n{"a": "c"}\n```'))
    response = ask(model, how, schema=SCHEMA)
    assert response.parsed == {"a": "c"}
    assert [body.get("response_format") for body in bodies(server)[2:]] == [{"type": "json_object"}, None]
    assert response.warnings == ("schema: asked for in words, for the target does not enforce it",)

    server.add(Reply('{"a": "d"}'), Reply("Fine."))
    assert ask(model, how, schema=SCHEMA).parsed == {"a": "d"}
    assert ask(model, how).warnings == ()
    assert len(server.requests) == 6


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(
    "refusal",
    [
        refused("response_format", "invalid_json_schema", "Invalid schema for response_format 'answer': too deep"),
        refused(None, None, "Unable to generate parser for this template.", 500),
    ],
    ids=["OpenAI", "llama-server"],
)
def test_a_schema_that_is_refused_is_said(server, how, refusal):
    """A server that takes schemas, but not this one, is asked in words this once."""
    model = registry_of(server).parse("box/m")
    server.add(refusal, Reply('{"a": "b"}'), Reply('{"a": "b"}'))
    response = ask(model, how, schema=SCHEMA)
    assert (response.parsed, len(response.warnings)) == ({"a": "b"}, 1)
    assert response.warnings[0].startswith("schema: asked for in words")
    assert ask(model, how, schema=SCHEMA).warnings == ()
    assert ["response_format" in body for body in bodies(server)] == [True, False, True]


def test_a_format_of_the_callers_own_is_never_mended(server):
    """What `extra` asks for is sent as it is, and its refusal is the caller's to know."""
    server.add(NO_SCHEMA)
    with pytest.raises(APIError) as caught:
        ask(registry_of(server).parse("box/m"), "generate", extra={"response_format": {"type": "json_schema"}})
    assert len(server.requests) == 1
    assert classify(caught.value) is ErrorKind.UNSUPPORTED


NOT_MENDED = [
    refused("messages"),
    refused("tools"),
    refused("model"),
    refused(
        None, "invalid_value", "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 5."
    ),
    refused("temperature", "decimal_above_max_value", "Invalid 'temperature': decimal above maximum value."),
    refused("temperature", "invalid_type", "Invalid type for 'temperature': expected a decimal."),
    refused("stop", "array_above_max_length", "Invalid 'stop': array too long."),
    refused("temperature", status=500),
    refused("temperature", status=403),
    Status(400, "Bad Request"),
]


@pytest.mark.parametrize("answer", NOT_MENDED, ids=[f"{step.status} {str(step.body)[:70]}" for step in NOT_MENDED])
def test_other_errors_are_not_mended(server, answer):
    """What cannot be left out, a value that is wrong, another status: raised as it came, after one request."""
    request = Request("Hi", temperature=5, stop=("a", "b"), schema={"type": "object"})
    server.add(answer)
    with pytest.raises(APIError):
        registry_of(server).parse("box/m").generate(request)
    assert len(server.requests) == 1


@pytest.mark.parametrize("how", HOWS)
def test_mending_in_a_chain_is_one_attempt(picky, how):
    """A target that was mended is not passed over, does not cool down, and counts once."""
    server = picky("temperature")
    registry = registry_of(server)
    response = ask(registry.parse("box/m, box/other"), how, temperature=0.2)
    assert response.model == "box/m"
    assert len(response.attempts) == 1
    assert registry.health.snapshot() == {}


def test_an_error_in_a_200_is_mended_too(server):
    """A server that says it with a 200 is understood as if it had said it with a 400."""
    server.add(Status(200, refused("temperature").body), Reply("Fine."))
    assert ask(registry_of(server).parse("box/m"), "generate", temperature=0.2).text == "Fine."


# --- errors that name who and why


def test_an_error_names_its_target_and_holds_no_token(server):
    """An error says which target, what came back and what to do; a token that the server echoes is blotted."""
    token = "sk-0123456789abcdef-secret"
    server.add(
        Status(
            401,
            {"error": {"message": f"Incorrect API key provided: {token}.", "code": "invalid_api_key"}},
            {"x-request-id": "req_7"},
        )
    )
    with pytest.raises(APIError) as caught:
        registry_of(server, token=token).parse("box/m").generate("Hi")
    error = caught.value
    assert str(error).startswith("box/m: HTTP 401")
    assert error.request_id == "req_7"
    assert classify(error) is ErrorKind.AUTH
    assert not any(token in shown for shown in (str(error), repr(error), repr(vars(error)), repr(error.args)))


def test_a_dead_server_is_a_transport_error():
    """Nobody listening is an error of the tree that names the host, its cause kept."""
    registry = Registry({"LLM_BOX": f"openai+http://k@127.0.0.1:{dead_port()}"}, retries=0)
    for ask_it in (lambda: registry.parse("box/m").generate("Hi"), registry.provider("box").list_models):
        with pytest.raises(MajordomoError, match=r"127\.0\.0\.1") as caught:
            ask_it()
        assert classify(caught.value) is ErrorKind.TRANSIENT
        assert isinstance(caught.value.__cause__, OSError)

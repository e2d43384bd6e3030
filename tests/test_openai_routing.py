"""Which of OpenAI's two wires a model is asked over: by its host, its name, its DSN, and by what its server says."""

from __future__ import annotations

import json
import threading

import pytest
from helpers import told_of
from samples import Samples

from majordomo import (
    APIError,
    DSNError,
    ErrorKind,
    MajordomoError,
    Registry,
    Tool,
    ToolCall,
    classify,
    tool_result,
    user,
)
from majordomo.providers import openai
from majordomo.testing import Reply, Status

CHATS, SAMPLES = Samples("openai_chat"), Samples("openai_responses")
SAYS_SO = [name for name in CHATS.refused if "-route-" in name]
USE_RESPONSES = [name for name in SAYS_SO if b"v1/responses" in CHATS.data(name)]
(NO_CHAT_MODEL,) = set(SAYS_SO) - set(USE_RESPONSES)
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
HOWS = ("generate", "stream")


def sample(name):
    return (CHATS if name in CHATS.rows else SAMPLES).served(name)


def model_of(server, scheme="openai", id="m", **dsn):
    return Registry({"LLM_BOX": server.dsn(scheme, **dsn)}, retries=0, sleep=lambda seconds: None).parse(f"box/{id}")


def ask(model, how="generate", prompt="Hi", **options):
    if how == "generate":
        return model.generate(prompt, **options)
    with model.stream(prompt, **options) as stream:
        list(stream)
    return stream.response


def paths(server):
    return [seen.path for seen in server.requests]


@pytest.fixture
def routed(server, monkeypatch):
    """A server that stands for OpenAI's own."""
    monkeypatch.setattr(openai, "_OPENAI", (server.host,))
    return server


# --- by name


@pytest.mark.parametrize(
    ("over_responses", "names"),
    [
        (True, "gpt-5-pro gpt-5.4-pro-2026-03-05 o3-pro gpt-6-pro-preview"),
        (True, "gpt-5-codex gpt-5.1-codex-max codex-mini-latest o4-mini-deep-research o3-deep-research-2025-06-26"),
        (True, "computer-use-preview gpt-daybreak gpt-daybreak-mini"),
        (
            True,
            "gpt-5.4 gpt-5.4-mini gpt-5.5-2026-04-23 gpt-5.6-sol gpt-5.10 gpt-6 gpt-6-astra gpt-6.2-sol gpt-7 gpt-10",
        ),
        (False, "gpt-5.3-chat-latest gpt-6-chat-latest gpt-5.4-search-api gpt-6-audio gpt-6-realtime-mini gpt-7-image"),
        (False, "gpt-5 gpt-5-mini gpt-5-nano-2025-08-07 gpt-5.1 gpt-5.2 gpt-5.3 gpt-5.3-mini"),
        (False, "gpt-4o gpt-4.1-mini gpt-4 gpt-4o-search-preview gpt-3.5-turbo gpt-35-turbo o1 o3 o4-mini chatgpt-4o"),
        (
            False,
            "ft:gpt-4o:acme-pro::abc ft:gpt-4.1:codex::1 qwen3:14b gpt-oss-20b gpt-5.4o x-gpt-6 gpt-51 chat-latest",
        ),
    ],
)
def test_names(routed, over_responses, names):
    """On OpenAI's own hosts a model's name says how it is asked."""
    for name in names.split():
        model_of(routed, id=name).generate("Hi")
        assert paths(routed)[-1] == (RESPONSES if over_responses else CHAT), name


@pytest.mark.parametrize(
    ("base", "over_responses"),
    [
        ("api.openai.com", True),
        ("API.OpenAI.com:443", True),
        ("eu.api.openai.com", True),
        ("new-region.api.openai.com/v1/", True),
        ("acme.openai.azure.com/openai/v1", True),
        ("api.openai.com.example.org", False),
        ("notapi.openai.com", False),
        ("notopenai.azure.com", False),
        ("openrouter.ai/api/v1", False),
        ("localhost:8000", False),
    ],
)
def test_hosts(base, over_responses):
    """Everybody else who serves models of these names is asked over Chat Completions."""
    target = Registry({"LLM_BOX": f"openai://k@{base}"}).provider("box").model("gpt-6-astra")
    assert target.way[0].path("", False) == ("/responses" if over_responses else "/chat/completions")


def test_the_built_in_provider():
    """`openai/...` is OpenAI's own."""
    provider = Registry({"OPENAI_API_KEY": "k"}).provider("openai")
    assert provider.model("gpt-5.6-luna").way[0].path("", False) == "/responses"
    assert provider.model("gpt-5-mini").way[0].path("", False) == "/chat/completions"


# --- by DSN


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("path", ["", "/v1", "/v1/", "/v1/responses"])
def test_the_scheme_of_responses(server, path, how):
    """`openai-responses://` asks every model over Responses, wherever it is; all spellings lead to the same place."""
    response = ask(model_of(server, "openai-responses", "gpt-4o", path=path), how)
    assert response.text == "Hello from the fake server."
    assert paths(server) == [RESPONSES]
    assert server.requests[0].headers["authorization"] == "Bearer test-token"


@pytest.mark.parametrize(("option", "path"), [("on", RESPONSES), ("off", CHAT)])
def test_the_option(routed, option, path):
    """`?responses=` has the last word over names, and off is final."""
    for id in ("gpt-6-astra", "gpt-4o"):
        ask(model_of(routed, id=id, options=f"responses={option}"))
    assert paths(routed) == [path, path]
    if option == "off":
        routed.add(sample(USE_RESPONSES[0]))
        with pytest.raises(APIError) as caught:
            ask(model_of(routed, options="responses=off"))
        assert classify(caught.value) is ErrorKind.UNSUPPORTED


def test_an_odd_option(server):
    """It is on or off."""
    with pytest.raises(DSNError, match="LLM_BOX"):
        model_of(server, options="responses=maybe").generate("Hi")


def test_a_scheme_that_needs_no_option(server):
    """What the scheme says is not said again, nor otherwise."""
    for value in ("on", "off"):
        with pytest.raises(DSNError, match="openai://"):
            Registry({"LLM_BOX": server.dsn("openai-responses", options=f"responses={value}")}).parse("box/m")


def test_words_of_the_prompt_lead_nowhere(server):
    """An error that quotes what it was sent is no word on wires."""
    words = "Invalid 'messages[0].content': got 'please call POST /v1/responses, this is not a chat model'"
    server.add(Status(400, {"error": {"message": words}}))
    with pytest.raises(APIError) as caught:
        ask(model_of(server))
    assert classify(caught.value) is ErrorKind.INVALID
    assert paths(server) == [CHAT]


def test_efforts_that_lead_back_to_themselves(server):
    """Two servers behind one name may refuse each other's efforts: then none is sent, and no loop comes of it."""
    told = "Unsupported value: '{}' is not supported with this model. Supported values are: '{}'."
    for refused, taken in (("none", "low"), ("low", "none")):
        error = {"message": told.format(refused, taken), "param": "reasoning.effort", "code": "unsupported_value"}
        server.add(Status(400, {"error": error}))
    reply = ask(model_of(server, "openai-responses", "gpt-5.1"), reasoning="off")
    assert [seen.json.get("reasoning") for seen in server.requests] == [{"effort": "none"}, {"effort": "low"}, None]
    assert reply.text


def test_quirks_of_one_wire_are_not_those_of_the_other(routed):
    """What a DSN says of the chat does no harm to Responses, and models of both live side by side."""
    for id in ("gpt-6-astra", "gpt-4o"):
        ask(model_of(routed, id=id, options="token_limit=max_tokens&sd_extra_args=on"), max_tokens=20)
    assert [seen.json.get("max_output_tokens") for seen in routed.requests] == [20, None]
    assert [seen.json.get("max_tokens") for seen in routed.requests] == [None, 20]


def test_models_and_pictures_stay_where_they_are(server):
    """The list of models and drawing know nothing of wires."""
    provider = Registry({"LLM_BOX": server.dsn("openai-responses")}).provider("box")
    assert sorted(provider.list_models()) == ["org/vision:8b", "qwen3:14b"]
    provider.image_model("m").generate("a cat")
    assert paths(server) == ["/v1/models", "/v1/images/generations"]


# --- what is known of models

KNOWN = [
    # names, effort for off, low and max, whether temperature is sent: without an effort, with off
    ("gpt-6-astra gpt-6-astra-2026-09 gpt-6.1-sol", "low low max", (False, False), True),
    ("gpt-6-sol gpt-6-luna gpt-6.1-terra gpt-5.6 gpt-5.6-sol", "none low max", (False, True), True),
    ("gpt-5.5-pro gpt-5.4-pro gpt-5.2-pro", "medium medium xhigh", (False, False), True),
    ("gpt-5.5 gpt-5.5-mini", "none low xhigh", (False, True), True),
    ("gpt-5.3-chat-latest gpt-5.1-chat-latest", "medium medium medium", (False, False), False),
    ("gpt-5.4 gpt-5.4-nano gpt-5.3-codex gpt-5.2", "none low xhigh", (True, True), True),
    ("gpt-5.1 gpt-5.1-codex", "none low high", (True, True), True),
    ("gpt-5-chat-latest gpt-4o gpt-4.1-mini chatgpt-4o-latest gpt-3.5-turbo", "- - -", (True, True), False),
    ("gpt-5-pro", "high high high", (False, False), True),
    ("gpt-5 gpt-5-mini gpt-5-codex", "minimal low high", (False, False), True),
    ("o1 o3-pro o4-mini", "low low high", (False, False), True),
    ("gpt-6.2-astra gpt-7 gpt-9.1-sol", "none low max", (False, False), True),
]


@pytest.mark.parametrize("where", ["official", "elsewhere"])
@pytest.mark.parametrize(("names", "efforts", "sampled", "hidden"), KNOWN, ids=[row[0].split()[0] for row in KNOWN])
def test_families(where, names, efforts, sampled, hidden):
    """A model is sent what it takes, whoever serves it under its name; what is not sent is told."""
    dsn = {"official": "openai://k@api.openai.com?responses=on", "elsewhere": "openai-responses://k@host"}[where]
    provider = Registry({"LLM_BOX": dsn}).provider("box")
    for name in names.split():
        wire, quirks = provider.over_responses(name)
        assert quirks.official is (where == "official")

        def body(wire=wire, quirks=quirks, name=name, **options):
            from majordomo import Request

            request = Request("Hi", **options)
            return wire.encode(request, name, quirks), told_of(wire, request, quirks)

        sent = [body(reasoning=level)[0].get("reasoning", {}).get("effort", "-") for level in ("off", "low", "max")]
        assert " ".join(sent) == efforts, name
        for options, taken in zip(({}, {"reasoning": "off"}), sampled):
            found, told = body(temperature=0, **options)
            assert ("temperature" in found) is taken, name
            assert any(warning.startswith("temperature: left out") for warning in told) is not taken, name
        assert ("include" in body()[0]) is hidden, name
        assert ("summary" in body(reasoning="high")[0].get("reasoning", {})) is hidden, name


@pytest.mark.parametrize(
    ("dsn", "new"), [("openai://k@api.openai.com?responses=on", True), ("openai-responses://k@host", False)]
)
def test_a_model_nobody_has_heard_of(dsn, new):
    """OpenAI's own is taken for new; of others nothing is known."""
    _, quirks = Registry({"LLM_BOX": dsn}).provider("box").over_responses("qwen3:14b")
    assert (quirks.hidden, quirks.efforts is not None, quirks.sampling == ()) == (new, new, new)


# --- by what the server says


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", USE_RESPONSES)
@pytest.mark.parametrize("scheme", ["openai", "llama-swap"])
def test_a_server_that_says_so_is_believed(server, scheme, name, how):
    """The question is asked again at once, in the same attempt, and from then on over Responses."""
    model = model_of(server, scheme)
    server.add(sample(name), Reply("There."))
    response = ask(model, how, tools=[Tool("f")], max_tokens=99)
    assert response.text == "There."
    assert [attempt.outcome for attempt in response.attempts] == ["answered"]
    assert response.warnings == ()
    assert ask(model, how).text == "Hello from the fake server."
    assert paths(server) == [CHAT, RESPONSES, RESPONSES]


@pytest.mark.parametrize("how", HOWS)
def test_a_model_that_is_none_for_chats(server, routed, how):
    """OpenAI says so of models that Responses has; of others nobody knows what they mean by it."""
    server.add(sample(NO_CHAT_MODEL), Reply("There."))
    assert ask(model_of(server), how).text == "There."
    assert paths(server) == [CHAT, RESPONSES]


@pytest.mark.parametrize("how", HOWS)
def test_a_model_that_is_none_for_chats_elsewhere(server, how):
    """It is said as it is: the target cannot do it."""
    server.add(sample(NO_CHAT_MODEL))
    with pytest.raises(APIError) as caught:
        ask(model_of(server), how)
    assert classify(caught.value) is ErrorKind.UNSUPPORTED
    assert paths(server) == [CHAT]


def test_another_model_learns_for_itself(server):
    """What was said of one model is not true of all."""
    registry = Registry({"LLM_BOX": server.dsn("openai")}, retries=0)
    server.add(sample(USE_RESPONSES[0]))
    registry.parse("box/one").generate("Hi")
    registry.parse("box/two").generate("Hi")
    registry.parse("box/one").generate("Hi")
    assert paths(server) == [CHAT, RESPONSES, CHAT, RESPONSES]


MISSING = [
    Status(404, "404 page not found"),
    Status(404, {"error": {"message": "Invalid URL (POST /v1/responses)", "type": "invalid_request_error"}}),
    Status(405, "Method Not Allowed"),
    Status(501, ""),
]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("missing", MISSING, ids=["404", "404-url", "405", "501"])
def test_a_server_without_responses(server, missing, how):
    """Asked there in vain, the target cannot do it: that is no failure of its own, and it is not asked there again."""
    model = model_of(server)
    server.add(sample(USE_RESPONSES[0]), missing)
    with pytest.raises(APIError) as caught:
        ask(model, how)
    assert (caught.value.code, classify(caught.value)) == ("wire_not_supported", ErrorKind.UNSUPPORTED)
    assert ask(model, how).text == "Hello from the fake server."
    server.add(sample(USE_RESPONSES[0]))
    with pytest.raises(APIError) as caught:
        ask(model, how)
    assert classify(caught.value) is ErrorKind.UNSUPPORTED
    assert paths(server) == [CHAT, RESPONSES, CHAT, CHAT]


def test_a_server_that_says_so_of_both(server):
    """A gateway that turns Responses into a chat says so there too: nobody is sent round in a circle."""
    server.default, before = sample(USE_RESPONSES[0]), server.default
    try:
        with pytest.raises(APIError) as caught:
            ask(model_of(server))
    finally:
        server.default = before
    assert classify(caught.value) is ErrorKind.UNSUPPORTED
    assert paths(server) == [CHAT, RESPONSES]


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (Status(404, {"error": {"message": "no such model", "code": "model_not_found"}}), ErrorKind.NOT_FOUND),
        (Status(503, "busy"), ErrorKind.TRANSIENT),
        (Status(401, ""), ErrorKind.AUTH),
    ],
)
def test_responses_has_errors_of_its_own(routed, step, kind):
    """What goes wrong there is what it is, and the model stays there."""
    model = Registry({"LLM_BOX": routed.dsn("openai")}, retries=0).provider("box").model("m")
    routed.add(sample(USE_RESPONSES[0]), step)
    with pytest.raises(APIError) as caught:
        model.generate("Hi")
    assert classify(caught.value) is kind
    model.generate("Hi")
    assert paths(routed) == [CHAT, RESPONSES, RESPONSES]


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (Status(404, {"error": {"message": "no such model", "code": "model_not_found"}}), ErrorKind.NOT_FOUND),
        (Status(404, "404 page not found"), ErrorKind.UNSUPPORTED),
        (Status(403, "not this path"), ErrorKind.UNSUPPORTED),
        (Status(503, "busy"), ErrorKind.TRANSIENT),
        (Status(200, "<html>Sign in</html>"), ErrorKind.TRANSIENT),
    ],
)
def test_a_lookalike_without_responses(server, step, kind):
    """A server that repeats OpenAI's words and has no Responses is still asked over the chat where that will do."""
    model = Registry({"LLM_BOX": server.dsn("openai")}, retries=0).provider("box").model("m")
    server.add(Reply("fine"), sample(USE_RESPONSES[0]), step, Reply("fine"))
    assert model.generate("Hi").text == "fine"
    with pytest.raises(MajordomoError) as caught:
        model.generate("Hi", tools=[Tool("f")])
    assert classify(caught.value) is kind
    assert model.generate("Hi").text == "fine"
    assert paths(server) == [CHAT, CHAT, RESPONSES, CHAT]


def test_many_threads_are_told_at_once(server):
    """Each of those that were told over the chat goes on, not only the first."""
    together = threading.Barrier(8, timeout=10)

    def step(seen):
        if seen.path == CHAT:
            together.wait()
            return sample(USE_RESPONSES[0])
        return Reply("There.")

    server.default, before = step, server.default
    model, texts = model_of(server), []
    try:
        threads = [threading.Thread(target=lambda: texts.append(model.generate("Hi").text)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        server.default = before
    assert texts == ["There."] * 8
    assert sorted(paths(server)) == [CHAT] * 8 + [RESPONSES] * 8


# --- what errors teach, over HTTP

SUMMARY = "openai-responses-error-400-summary-unverified.json"
ENCRYPTED = "openai-responses-error-400-encrypted-invalid.json"


@pytest.mark.parametrize("how", HOWS)
def test_what_lasts_is_remembered(server, how):
    """A summary that is refused is asked for once."""
    model = model_of(server, "openai-responses", "gpt-6-sol")
    server.add(sample(SUMMARY))
    for _ in range(2):
        response = ask(model, how, reasoning="high")
        assert response.warnings == ("reasoning: stays hidden, for the target gives no summary of it",)
    assert [seen.json["reasoning"] for seen in server.requests] == [
        {"effort": "high", "summary": "auto"},
        {"effort": "high"},
        {"effort": "high"},
    ]


@pytest.mark.parametrize("how", HOWS)
def test_thinking_that_is_refused_is_left_out_once(server, how):
    """Sealed thinking goes back; refused, the question is asked without it, and the next one with it."""
    model = model_of(server, "openai-responses", "gpt-6-sol")
    server.add(Reply("Let me see.", thinking="Hm.", tool_calls=[ToolCall("c1", "f")]))
    begun = ask(model, how, tools=[Tool("f")])
    talk = [user("Hi"), begun.message, tool_result("c1", "7")]
    server.add(sample(ENCRYPTED))
    told = [ask(model, how, talk, tools=[Tool("f")]).warnings for _ in range(2)]
    assert told == [("messages: thinking left out, for the target does not take it back",), ()]
    thought = [[item["type"] for item in seen.json["input"]].count("reasoning") for seen in server.requests]
    assert thought == [0, 1, 0, 1]


def test_an_effort_that_is_refused_is_replaced(server):
    """The server's words say which are taken, and the nearest is sent from then on."""
    model = model_of(server, "openai-responses", "gpt-7")
    server.add(sample("openai-responses-error-400-effort.json"))
    for _ in range(2):
        assert ask(model, reasoning="off").warnings == ("reasoning: sent as low, for the target does not take off",)
    assert [seen.json["reasoning"]["effort"] for seen in server.requests] == ["none", "low", "low"]


def test_what_stands_in_extra_is_the_callers(server):
    """It is not mended: the caller has the last word, and hears of it."""
    server.add(sample("openai-responses-error-400-temperature.json"))
    with pytest.raises(APIError) as caught:
        ask(model_of(server, "openai-responses"), extra={"temperature": 1})
    assert classify(caught.value) is ErrorKind.INVALID
    assert len(server.requests) == 1
    assert json.loads(server.requests[0].body)["temperature"] == 1

"""What a spec comes to: every fact is told, every fault with what to do about it, and no token."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import pytest
from helpers import Clock

from majordomo import APIError, ErrorKind, Model, Provider, Registry, _connection
from majordomo._explain import _ADVICE, _fault, about, explain, facts, names, probed, to_dict
from majordomo.testing import FakeServer, Raw, Reply, Status, cut, dead_port, hang, redirect, reset

TLS = Path(__file__).parent / "data" / "tls"
TOKEN = "sesame-0123456789"
BOX = "LLM_BOX"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    """No proxy but the test's own."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def told(found) -> str:
    """All that people and programs are shown of an explanation."""
    lines = [line for target in found.targets for line in facts(target)]
    return (
        json.dumps(to_dict(found)) + repr(found) + repr([*lines, *about(found), *[name.told for name in found.names]])
    )


def test_where_everything_comes_from():
    """Each target is told with the aliases it came through, and each name with the variable that it is from."""
    environ = {
        BOX: f"llama-swap://{TOKEN}@192.168.1.20:8080?timeout=90&max_images=3",
        "LLM_CAREFUL": "fast, openai/gpt-5",
        "OPENAI_API_KEY": TOKEN,
        "OPENAI_BASE_URL": "https://user:pass@gateway.example/v1",
    }
    registry = Registry(environ, attempt_timeout=None)
    registry.register_alias("fast", "box/qwen3:14b")
    found = explain(registry, "careful")
    first, second = found.targets
    assert first.name == "box/qwen3:14b"
    assert first.aliases == (("careful", "LLM_CAREFUL"), ("fast", "code"))
    assert (first.source, first.scheme, first.token, first.timeout) == (("LLM_BOX",), "llama-swap", True, 90.0)
    assert first.url == "http://192.168.1.20:8080/v1/chat/completions"
    assert first.limits["max_images_per_request"] == 3
    assert (first.health["state"], first.proxy, first.faults, first.state) == ("closed", None, (), "")
    assert second.aliases == (("careful", "LLM_CAREFUL"),)
    assert second.source == ("built in", "OPENAI_BASE_URL", "OPENAI_API_KEY")
    assert (second.scheme, second.url) == ("openai", "https://gateway.example/v1/chat/completions")
    assert TOKEN not in told(found)
    assert "pass" not in told(found).replace("passed over", "")


def test_a_token_is_told_to_be_missing():
    """A llama-swap without a token has none, though a word stands in its header."""
    assert not explain(Registry({BOX: "llama-swap://host"}), "box/m").targets[0].token


def test_a_program_s_own_provider_is_told_as_far_as_it_tells():
    """What a program registered has the source "code", and no URL if it has none."""

    class Own(Provider):
        def model(self, id):
            return object.__new__(type("Odd", (), {"capabilities": None}))

    registry = Registry({})
    registry.register_provider("own", Own())
    registry.register_provider("known", "llama-swap://host")
    own, known = explain(registry, "own/m, known/m").targets
    assert (own.source, own.scheme, own.url, own.limits, own.faults) == (("code",), None, None, {}, ())
    assert dict(facts(own))["URL"] == "not known"
    assert (known.source, known.url) == (("code",), "http://host/v1/chat/completions")


def test_health_is_told_with_its_figures():
    """A target that cools down says for how long and why, and one whose time is over that it is due."""
    clock = Clock()
    registry = Registry({BOX: "llama-swap://host"}, clock=clock)
    key = "box/m http://host/v1"
    for _ in range(3):
        registry.health.failed(key, ErrorKind.TRANSIENT, clock())
        clock.sleep(0.5)
    target = explain(registry, "box/m").targets[0]
    assert (target.health["failures"], target.state) == (3, "cooling down")
    assert dict(facts(target))["health"] == "cooling down for 4 s more after 3 failures in a row"
    clock.sleep(10)
    assert "due for a new try after 3" in dict(facts(explain(registry, "box/m").targets[0]))["health"]
    registry.health.reset()
    assert dict(facts(explain(registry, "box/m").targets[0]))["health"] == "healthy"


def test_health_that_is_not_shared_is_a_fault(tmp_path):
    """A file that cannot hold the cooldowns is told, with the variable that names it."""
    environ = {BOX: "llama-swap://host", "MAJORDOMO_HEALTH": str(tmp_path)}
    for found in (explain(Registry(environ), "box/m"), names(Registry(environ))):
        assert found.health == str(tmp_path)
        assert str(tmp_path) in found.faults[0].error
        assert "MAJORDOMO_HEALTH" in found.faults[0].advice
    shared = explain(Registry({BOX: "llama-swap://host", "MAJORDOMO_HEALTH": str(tmp_path / "health.db")}), "box/m")
    assert (shared.health, shared.faults) == (str(tmp_path / "health.db"), ())


# Variables that are wrong -> words of the fault and of what to do.
WRONG = {
    "no provider of that name": ({}, "unknown provider 'box'", "LLM_BOX=SCHEME"),
    "no DSN": ({BOX: f"{TOKEN}@host"}, "LLM_BOX is no DSN", "which reads scheme://token@host"),
    "a port that is none": ({BOX: f"openai://{TOKEN}@host:port"}, "LLM_BOX: the port", "1 to 65535"),
    "an unknown scheme": ({BOX: f"opnai://{TOKEN}@host"}, "LLM_BOX: unknown scheme", "did you mean openai"),
    "an unknown option": ({BOX: "openai://host?tiemout=3"}, "LLM_BOX: ", "did you mean timeout"),
    "an alias": ({BOX: "openai/gpt-5"}, "box is an alias (LLM_BOX)", "without a slash"),
    "no host": ({BOX: "llama-swap://"}, "names no host", "set LLM_BOX=llama-swap://"),
    "no CA file": ({BOX: "openai://host?ca=/no/such.pem"}, "/no/such.pem", "cannot be read"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_a_variable(case):
    """A variable that cannot work is a fault of its targets alone; the others are told all the same."""
    environ, error, advice = WRONG[case]
    found = explain(Registry({**environ, "LLM_OTHER": "llama-swap://host"}), "box/m, other/m")
    bad, good = found.targets
    lines = " ".join(text for what, text in facts(bad) if what in ("fault", "do"))
    assert error in lines
    assert advice in lines
    assert (bad.state, good.faults, good.token) == ("fault", (), False)
    assert TOKEN not in told(found)
    assert probed(Registry(environ), bad, 5) is bad  # nobody is asked what cannot be asked


@pytest.mark.parametrize(
    ("environ", "spec", "error"),
    [
        ({"OPENAI_API_KEY": f"Bearer {TOKEN}"}, "openai/m", "OPENAI_API_KEY: the token holds a space"),
        ({"OPENAI_API_KEY": TOKEN, "OPENAI_BASE_URL": "host"}, "openai/m", "OPENAI_BASE_URL is no URL"),
        ({"OLLAMA_HOST": "ftp://host"}, "ollama/m", "OLLAMA_HOST: it reads"),
    ],
)
def test_what_is_wrong_with_a_vendor_s_variable(environ, spec, error):
    """A vendor's variable is told as what it is: neither a key nor a URL is to become a DSN."""
    found = explain(Registry(environ), spec)
    (fault,) = found.targets[0].faults
    assert error in fault.error
    assert fault.advice == ""
    assert TOKEN not in told(found)


def test_a_missing_key_is_told_with_the_variable_to_set():
    """A built-in provider without its key is a fault that names the variable."""
    fault = explain(Registry({}), "openai/gpt-5").targets[0].faults[0]
    assert "set OPENAI_API_KEY" in fault.error


@pytest.mark.parametrize("proxy", ["socks5://host:1080", "http://"])
def test_a_proxy_that_cannot_be_used(monkeypatch, proxy):
    """A proxy of the environment that cannot be used is found before anybody is asked."""
    monkeypatch.setenv("https_proxy", proxy)
    fault = explain(Registry({BOX: "openai://t@box.example"}), "box/m").targets[0].faults[0]
    assert "proxy=off" in fault.error
    off = explain(Registry({BOX: "openai://t@box.example?proxy=off"}), "box/m").targets[0]
    assert (off.faults, off.proxy) == ((), None)


def test_the_proxy_is_told_without_its_password(monkeypatch):
    """The proxy that would be asked is told, by host and port."""
    monkeypatch.setenv("https_proxy", f"http://user:{TOKEN}@proxy.example:3128")
    found = explain(Registry({BOX: "openai://box.example", "LLM_HERE": "openai://127.0.0.1"}), "box/m, here/m")
    assert [target.proxy for target in found.targets] == ["proxy.example:3128", None]
    assert TOKEN not in told(found)


@pytest.mark.parametrize(
    ("spec", "error", "others"),
    [
        ("box/m,,gone", "empty item", []),
        ("box/m, ring", "ring -> ring", []),
        ("box/m, careful", "LLM_CAREFUL, item 2: unknown provider", ["box/n"]),
        ("box/m, box", "add a slash", []),
    ],
)
def test_a_spec_that_cannot_be_read(spec, error, others):
    """What is wrong with a spec is told, and so are those of its items that can be read."""
    registry = Registry({BOX: "llama-swap://host", "LLM_RING": "ring", "LLM_CAREFUL": "box/n, gone/m"})
    found = explain(registry, spec)
    assert error in found.faults[0].error
    assert [target.name for target in found.targets] == ["box/m", *others]


@pytest.mark.parametrize("odd", [f"{TOKEN}@host/m", f"openai:{TOKEN}", f"{TOKEN}/m"])
def test_a_spec_from_a_variable_that_cannot_be_read(odd):
    """Of a spec that a variable holds nothing is told but what can be read."""
    found = explain(Registry({BOX: "llama-swap://host"}), f"{odd}, box/m", source="MAJORDOMO_MODEL")
    assert found.faults[0].error.startswith("MAJORDOMO_MODEL, item 1: ")
    assert [target.name for target in found.targets] == ["box/m"]
    assert TOKEN not in told(found)


def test_an_alias_that_cannot_be_read():
    """Of an alias with a broken item all the others are told, and so are those of the aliases within."""
    environ = {
        BOX: "llama-swap://host",
        "LLM_CAREFUL": f"box/a, nope/{TOKEN}, own, box/a, ring",
        "LLM_RING": "box/c, ring",
    }
    registry = Registry(environ)
    registry.register_alias("own", "box/b,,careful")
    found = explain(registry, "careful", "butler")
    first, second, third = found.targets
    assert (first.name, first.aliases) == ("box/a", (("careful", "LLM_CAREFUL"),))
    assert (second.name, second.aliases) == ("box/b", (("careful", "LLM_CAREFUL"), ("own", "code")))
    assert (third.name, third.aliases) == ("box/c", (("careful", "LLM_CAREFUL"), ("ring", "LLM_RING")))
    assert "LLM_CAREFUL, item 2: unknown provider" in found.faults[0].error
    assert "`butler explain` lists the names" in found.faults[0].advice
    assert TOKEN not in told(found)


def test_aliases_that_grow_are_read_once():
    """Aliases that stand twice in each other, thirty deep, are told at once, also where the last one is broken."""
    environ = {f"LLM_A{n}": f"a{n + 1}, a{n + 1}" for n in range(30)}
    assert explain(Registry({**environ, "LLM_A30": "nope/m"}), "a0").targets == ()


def test_a_dsn_in_place_of_a_spec_is_not_shown():
    """A DSN that was given for a spec is refused, and nothing of it is told."""
    found = explain(Registry({}), f"openai://{TOKEN}@host")
    assert found.faults
    assert TOKEN not in told(found)


def test_names():
    """Without a spec, all names are told, with what each cannot be asked without."""
    registry = Registry({BOX: "llama-swap://host", "LLM_FAST": "box/m", "OPENAI_API_KEY": TOKEN})
    registry.register_alias("lost", "nobody/m")
    found = names(registry)
    rows = {name.name: (name.kind, name.told) for name in found.names}
    assert rows["box"] == ("provider", "LLM_BOX")
    assert rows["openai"] == ("provider", "built in, OPENAI_API_KEY")
    assert rows["fast"] == ("alias", "LLM_FAST")
    assert rows["anthropic"][1].startswith("built in; needs a key: set ANTHROPIC_API_KEY")
    assert "unknown provider" in rows["lost"][1]
    assert TOKEN not in told(found)


def test_a_probe_that_is_answered(server):
    """A probe tells who answered, after how long, and with what; nothing is remembered of it."""
    server.add(Reply("OK."))
    registry = Registry({BOX: server.dsn()})
    target = probed(registry, explain(registry, "box/m").targets[0], 20)
    assert (target.probe.model, target.probe.text, target.state) == ("box/m", "OK.", "answers")
    assert 0 < target.probe.seconds < 20
    assert dict(facts(target))["asked"].startswith("box/m answered in ")
    assert server.requests[0].json["max_tokens"] == 64
    assert len(server.requests) == 1


def test_tokens_that_others_tell(server):
    """A token is not told where an answer echoes it, nor where a program has it in its URL."""

    class Own(Provider):
        base_url = f"http://user:{TOKEN}@host/v1"

        def model(self, id):
            found = Model()
            found.base_url = self.base_url
            return found

    server.add(Reply(f"Your key is {TOKEN}."))
    registry = Registry({BOX: server.dsn(token=TOKEN)})
    registry.register_provider("own", Own())
    target, own = explain(registry, "box/m, own/m").targets
    target = probed(registry, target, 20)
    assert target.probe.text == "Your key is ***."
    assert own.base_url == "http://host/v1"
    assert TOKEN not in repr((target, own))


def test_a_probe_of_a_model_that_only_thinks(server):
    """An answer without text is an answer."""
    server.add(Reply("", thinking="Hm.", stop_reason="length"))
    registry = Registry({BOX: server.dsn()})
    target = probed(registry, explain(registry, "box/m").targets[0], 20)
    assert target.state == "answers"
    assert "no text" in dict(facts(target))["asked"]


# What a server does -> a word of what to do about it.
FAULTS = {
    "a token that is refused": (Status(401, {"error": {"message": TOKEN}}), "token in LLM_BOX"),
    "a token that may not": (Status(403), "token in LLM_BOX"),
    "an unknown model": (Status(404, {"error": {"message": "no such model"}}), "`butler models box`"),
    "a redirect": (redirect("https://elsewhere.example/"), "final URL into LLM_BOX"),
    "too many requests": (Status(429), "wait"),
    "no money": (Status(402), "billing"),
    "a prompt that is too long": (Status(413), "larger context"),
    "a refusal": (Status(400, "Client sent an HTTP request to an HTTPS server."), "llama-swaps:// in LLM_BOX"),
    "a server that fails": (Status(500), "its log"),
    "a web page": (Status(200, "<html>Welcome</html>"), "is it a server of llama-swap"),
    "half an answer": (cut(Reply("Hello."), after=-5), "see its log"),
    "nothing": (cut(), "see its log"),
    "what is no HTTP": (Raw(b"SSH-2.0-OpenSSH\r\n"), "speaks TLS"),
    "no end": (hang(), "--timeout 300"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_what_to_do_about_a_server(server, case):
    """What a probe meets is told with what to do, in the words of this target."""
    step, advice = FAULTS[case]
    server.add(step)
    registry = Registry({BOX: server.dsn(token=TOKEN)})
    before = explain(registry, "box/m", "butler")
    target = probed(registry, before.targets[0], 0.3 if case == "no end" else 20, "butler")
    assert target.state == "fault"
    assert advice in target.probe.fault.advice
    assert TOKEN not in repr(target)
    assert registry.health.snapshot() == {}


def advice_of(dsn: str, **settings) -> str:
    """What to do about a provider that cannot be asked."""
    registry = Registry({BOX: dsn}, **settings)
    target = probed(registry, explain(registry, "box/m").targets[0], 20)
    return target.probe.fault.advice


def test_what_to_do_where_nobody_answers(server, monkeypatch):
    """A port without a server, a name without a host, and a proxy that is not there have each their own advice."""
    dead = dead_port()
    assert f"start the server at http://127.0.0.1:{dead}" in advice_of(f"llama-swap://127.0.0.1:{dead}")
    nowhere = "n" * 64 + ".invalid"  # which no name server is asked for
    assert "check the host in LLM_BOX" in advice_of(f"llama-swap://{nowhere}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{dead}")
    assert f"if 127.0.0.1:{dead} is not to be asked, add ?proxy=off" in advice_of("llama-swap://box.example")


# Variables of a vendor, and what is asked -> where it is mended that the proxy is not there, and that the key is wrong.
VENDORS = {
    "a key": ({"OPENAI_API_KEY": TOKEN}, "openai/m", "OPENAI_BASE_URL=https://api.openai.com/v1", "OPENAI_API_KEY"),
    "a key and a URL": (
        {"OPENAI_API_KEY": TOKEN, "OPENAI_BASE_URL": "https://gateway.example/v1"},
        "openai/m",
        "OPENAI_BASE_URL",
        "OPENAI_API_KEY",
    ),
    "no variable of a URL": (
        {"GOOGLE_API_KEY": TOKEN},
        "gemini/m",
        "LLM_GEMINI=gemini://KEY@generativelanguage.googleapis.com",
        "GOOGLE_API_KEY",
    ),
    "a DSN": ({BOX: f"openai://{TOKEN}@box.example"}, "box/m", BOX, BOX),
    "a DSN in place of a key": (
        {"LLM_OPENAI": f"openai://{TOKEN}@box.example", "OPENAI_API_KEY": TOKEN},
        "openai/m",
        "LLM_OPENAI",
        "LLM_OPENAI",
    ),
}


@pytest.mark.parametrize("case", VENDORS)
def test_what_is_mended_where(server, monkeypatch, case):
    """What is wrong with the way is mended where the host is named, and what is wrong with the key where that is."""
    environ, spec, where, key = VENDORS[case]
    registry = Registry(environ)
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{dead_port()}")
    before = explain(registry, spec).targets[0]
    assert f"add ?proxy=off to {where}, or" in probed(registry, before, 20).probe.fault.advice
    refused = _fault(APIError(401, "no"), before, "butler")
    assert refused.advice.startswith(f"check the token in {key}, ")


def test_what_is_mended_in_a_base_url(server):
    """A base URL says plain http in a URL's way."""
    registry = Registry({"OPENAI_API_KEY": TOKEN, "OPENAI_BASE_URL": f"https://{server.host}/v1"})
    fault = probed(registry, explain(registry, "openai/m").targets[0], 20).probe.fault
    assert fault.advice.endswith("write http:// in OPENAI_BASE_URL")


def test_what_to_do_about_a_token_that_is_not_set(server):
    """Where a key is wanted and none is set, there is none to be checked."""
    server.add(Status(401))
    assert advice_of(server.dsn(token=None)).startswith("there is no token in LLM_BOX: ")


def test_what_to_do_about_tls(server):
    """A CA that is unknown, TLS where none is spoken, and none where it is: each is told with what to write."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "good.pem")
    with FakeServer(ssl_context=context) as secure:
        assert "name it with ?ca=FILE in LLM_BOX" in advice_of(secure.dsn("openai"))
        assert "write openai:// in LLM_BOX" in advice_of(f"openai+http://t@{secure.host}")
    assert "write openai+http:// in LLM_BOX" in advice_of(f"openai://t@{server.host}")
    assert "write llama-swap:// in LLM_BOX" in advice_of(f"llama-swaps://t@{server.host}")


@pytest.mark.parametrize(
    ("certificate", "advice"), [("expired", "renew the server's certificate"), ("other", "names the certificate holds")]
)
def test_what_to_do_about_a_certificate(certificate, advice):
    """A certificate of a known CA is mended by neither naming it again nor another one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / f"{certificate}.pem")
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # no more strict than OpenSSL is by itself
    trusting.load_verify_locations(TLS / "ca.pem")
    with FakeServer(ssl_context=context) as secure:
        assert advice in advice_of(secure.dsn("openai"), ssl_context=trusting)


def test_a_file_of_cas_that_is_not_there(monkeypatch):
    """An SSL_CERT_FILE that names no file is told, for TLS passes over it in silence."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "good.pem")
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such.pem")
    with FakeServer(ssl_context=context) as secure:
        assert "SSL_CERT_FILE names no file" in advice_of(secure.dsn("openai"))


# What a connection meets before TLS has begun -> words of what to do about it.
GREETINGS = {
    "a proxy that refuses": (Raw(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"), "or mend HTTPS_PROXY"),
    "a server that says nothing": (hang(), "firewall"),
    "a server that resets": (reset(), "see the server's log"),
}


@pytest.mark.parametrize("case", GREETINGS)
def test_what_to_do_about_a_connection(server, monkeypatch, case):
    """A way that is barred, silent or cut has each its own advice."""
    server.greeting, advice = GREETINGS[case]
    monkeypatch.setattr(_connection, "CONNECT_TIMEOUT", 0.3)
    try:
        if "proxy" in case:
            monkeypatch.setenv("https_proxy", server.url)
            assert advice in advice_of("openai://t@box.example")
        else:
            assert advice in advice_of(f"openai://t@{server.host}")
    finally:
        server.greeting = None


def test_every_advice_is_one_sentence_for_one_case():
    """No row stands behind one that takes all its cases."""
    for number, (marks, text) in enumerate(_ADVICE):
        assert text
        assert not [earlier for earlier, _ in _ADVICE[:number] if earlier <= marks], text

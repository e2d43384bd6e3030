"""Addressing: names to providers, aliases to chains, and the environment they come from."""

from __future__ import annotations

import logging
import pickle
import random
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping

import pytest
from helpers import Clock

import majordomo
from majordomo import (
    DSN,
    ConfigError,
    DSNError,
    MajordomoError,
    Model,
    Provider,
    Registry,
    Response,
    SpecError,
    TransportError,
    assistant,
)
from majordomo.health import MemoryHealth
from majordomo.testing import FakeServer, dead_port

SECRET = "sk-Tr0ub4dor-and-3-more"
BOX = "llama-swap://box.lan:8080"

# What other programs keep under names that begin as ours do.
FOREIGN = {
    "LLM_API_KEY": SECRET,
    "LLM_KEY": f"  '{SECRET}'\n",
    "LLM_TOKEN": f"Bearer {SECRET}",
    "LLM_MODEL": "gpt-4o",
    "LLM_PROVIDER": "openai",
    "LLM_BASE_URL": "https://llm.example/v1",
    "LLM_ENDPOINT": f"https://user:{SECRET}@llm.example/v1",
    "LLM_DATABASE_URL": f"postgres://user:{SECRET}@db/llm",
    "LLM_HEADERS": f'{{"Authorization": "{SECRET}"}}',
    "LLM_TEMPERATURE": "0.2",
    "LLM_MODELS": "gpt-4o,gpt-4o-mini",
    "LLM_SELF": "self",
    "LLM_EMPTY": "",
    "LLM_": SECRET,
    "LLM_SECRET_PATH": f"/etc/{SECRET}/key",
    "LLM_MODEL_NAME": "meta-llama/Llama-3.1-8B",
}

BUILT_IN = ["anthropic", "foreman", "gemini", "google", "llama-swap", "ollama", "ollama-cloud", "openai"]


class Watched(Mapping):
    """An environment that notes what is read of it; `*` is a listing."""

    def __init__(self, values=()):
        self.values_, self.read = dict(values), []

    def __getitem__(self, name):
        self.read.append(name)
        return self.values_[name]

    def __iter__(self):
        self.read.append("*")
        return iter(self.values_)

    def __len__(self):
        return len(self.values_)


class Mine(Provider):
    """A provider of a user's own: its models say where they come from."""

    def __init__(self, name="mine", dsn=None):
        self.name, self.dsn = name, dsn

    def model(self, id):
        return Echo(f"{self.name}/{id}")


class Echo(Model):
    def __init__(self, name):
        self.name = name

    def complete(self, request, deadline):
        return Response(assistant(self.name))


def names(chain):
    return [target.name for target in chain.targets]


def parsed(spec, environ=(), aliases=()):
    registry = Registry(dict(environ))
    for name, value in dict(aliases).items():
        registry.register_alias(name, value)
    return names(registry.parse(spec))


def said(error):
    """Everything an error shows, and whatever it says it was raised from."""
    found, seen = ["".join(traceback.format_exception(type(error), error, error.__traceback__))], set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        found += [str(error), repr(error), repr(error.args), repr(error.__dict__)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(found)


# The grammar of specs

ENVIRON = {"LLM_BOX": BOX, "LLM_MY_PROV": "openai://h", "LLM_GPT.LAB-1": "x", "LLM_A.B": "openai://h"}


@pytest.mark.parametrize(
    ("spec", "targets"),
    [
        ("openai/gpt-5-mini", ["openai/gpt-5-mini"]),
        ("box/qwen3:14b, openai/gpt-5-mini", ["box/qwen3:14b", "openai/gpt-5-mini"]),
        ("box/a,openai/b,box/c", ["box/a", "openai/b", "box/c"]),
        ("  box/a\t,\n  openai/b\n", ["box/a", "openai/b"]),
        ("box / a", ["box/a"]),
        ("box/org/model:8b@q4", ["box/org/model:8b@q4"]),
        ("box/hf.co/org/Model-GGUF:Q4_K_M", ["box/hf.co/org/Model-GGUF:Q4_K_M"]),
        ("box/UPPER.case_x+1", ["box/UPPER.case_x+1"]),
        ("box/nobody-has-heard-of-it", ["box/nobody-has-heard-of-it"]),
        ("box/a b", ["box/a b"]),
        ("box/a//b", ["box/a//b"]),
        ("box/a/", ["box/a/"]),
        ("box/ümlaut", ["box/ümlaut"]),
        ("BOX/a", ["box/a"]),
        ("OpenAI/A", ["openai/A"]),
        ("my-prov/a", ["my-prov/a"]),
        ("my_prov/a", ["my-prov/a"]),
        ("My_Prov/a", ["my-prov/a"]),
        ("llama_swap/a", ["llama-swap/a"]),
        ("a.b/c", ["a.b/c"]),
        ("box/" + "m" * 500, ["box/" + "m" * 500]),
    ],
)
def test_a_spec_names_targets(spec, targets):
    """`provider/model-id`, comma-separated: the id is all after the first slash, as written; the provider is folded."""
    assert parsed(spec, ENVIRON) == targets


@pytest.mark.parametrize(
    ("spec", "targets"),
    [
        ("box/a, box/a", ["box/a"]),
        ("box/a, openai/b, BOX/a", ["box/a", "openai/b"]),
        ("box/a, box/A", ["box/a", "box/A"]),
        ("my-prov/a, my_prov/a, MY-PROV/a", ["my-prov/a"]),
        ("both, box/a, openai/b", ["openai/b", "box/a"]),
        ("box/a, both", ["box/a", "openai/b"]),
        ("both, both", ["openai/b", "box/a"]),
    ],
)
def test_a_target_that_stands_twice_is_kept_once_in_its_first_place(spec, targets):
    """After folding and expansion."""
    assert parsed(spec, {**ENVIRON, "LLM_BOTH": "openai/b,box/a"}) == targets


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (",", "empty item; drop the comma or name a target\n    ,\n    ^"),
        ("box/a,", "empty item; drop the comma or name a target\n    box/a,\n          ^"),
        (",box/a", "empty item; drop the comma or name a target\n    ,box/a\n    ^"),
        (
            "box/qwen3:14b,,openai/gpt-5",
            "empty item; drop the comma or name a target\n    box/qwen3:14b,,openai/gpt-5\n                  ^",
        ),
        ("box/a, ,box/b", "empty item; drop the comma or name a target\n    box/a, ,box/b\n          ^"),
        ("box/", "a model id is missing after the slash\n    box/\n    ^^^^"),
        ("box/a, box/ ", "a model id is missing after the slash\n    box/a, box/ \n           ^^^^"),
        (
            "/x",
            "a provider's name is made of letters, digits, dots and dashes, then comes a slash\n    /x\n    ^^",
        ),
        (
            "box/a,  a b/c",
            "a provider's name is made of letters, digits, dots and dashes, then comes a slash\n"
            "    box/a,  a b/c\n"
            "            ^^^^^",
        ),
        (
            "bad alias, box/a",
            "an item is provider/model-id, or an alias of letters, digits, dots and dashes\n"
            "    bad alias, box/a\n"
            "    ^^^^^^^^^",
        ),
        ("box", "box is a provider: add a slash and a model\n    box\n    ^^^"),
        ("box/a, openai", "openai is a provider: write openai/MODEL\n    box/a, openai\n           ^^^^^^"),
    ],
)
def test_a_spec_that_cannot_be_read_is_underlined(spec, message):
    """The message says what to do, and points at the item."""
    with pytest.raises(SpecError) as caught:
        parsed(spec, ENVIRON)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("", "the spec is empty"),
        ("  \n", "the spec is empty"),
        ("box//x", "a model id does not begin with a slash"),
        ("box/ /x", "a model id does not begin with a slash"),
        ("box:x/y", "a provider's name is made of"),
        ("é/x", "a provider's name is made of"),
        ("\u212a/x", "a provider's name is made of"),
        ("box/a\nb", "control character"),
        ("box/a\x00b", "control character"),
        ("box/\u2028a\u2028b", "control character"),
        ("box/a\x1b[31m", "control character"),
        ("nope/x", "unknown provider 'nope'"),
        ("nope", "unknown alias 'nope'"),
        ("p" * 101 + "/x", "a provider's name is made of"),
        (None, "a spec is text"),
        (5, "a spec is text"),
        (b"box/a", "a spec is text"),
        (["box/a"], "a spec is text"),
        ({}, "a spec is text"),
    ],
)
def test_other_specs_that_cannot_be_read(spec, part):
    """Each is a SpecError, which is a ValueError too, and shows no control character."""
    with pytest.raises(SpecError, match=part) as caught:
        Registry(ENVIRON).parse(spec)
    assert isinstance(caught.value, ValueError)
    assert all(c.isprintable() or c == "\n" for c in str(caught.value))


@pytest.mark.parametrize(
    "spec",
    [
        f"openai://{SECRET}@host/v1",
        f"openai//{SECRET}@host/v1",
        f"openai:/{SECRET}@host/v1",
        f"openai:{SECRET}@host/v1",
        f"box/a, llama-swap+http://{SECRET}@host",
    ],
)
def test_a_dsn_in_the_place_of_a_spec_is_not_quoted(spec):
    """Somebody will pass the variable's value; the token stays out of the message, also where a slash was forgotten."""
    with pytest.raises(MajordomoError) as caught:
        Registry(ENVIRON).parse(spec)
    assert SECRET not in said(caught.value)


# Aliases


@pytest.mark.parametrize(
    ("environ", "aliases", "spec", "targets"),
    [
        ({"LLM_FAST": "box/a"}, {}, "fast", ["box/a"]),
        ({"LLM_FAST": "box/a"}, {}, "FAST", ["box/a"]),
        ({"LLM_SO_FAST": "box/a"}, {}, "so-fast", ["box/a"]),
        ({"LLM_SO_FAST": "box/a"}, {}, "So_Fast", ["box/a"]),
        ({"LLM_THINKING": "box/qwen3:30b,openai/gpt-5"}, {}, "thinking", ["box/qwen3:30b", "openai/gpt-5"]),
        ({"LLM_THINKING": " 'box/a , openai/b'\n"}, {}, "thinking", ["box/a", "openai/b"]),
        ({}, {"fast": "box/a"}, "fast", ["box/a"]),
        ({}, {"So_Fast": "box/a"}, "so-fast", ["box/a"]),
        ({}, {"fast": "box/a"}, "openai/x, fast, box/c", ["openai/x", "box/a", "box/c"]),
        ({"LLM_ONE": "two, box/a", "LLM_TWO": "three", "LLM_THREE": "box/c"}, {}, "one", ["box/c", "box/a"]),
        ({"LLM_ONE": "two"}, {"two": "three", "three": "box/c"}, "one", ["box/c"]),
        ({"LLM_ONE": "x, x", "LLM_X": "box/c"}, {}, "one, x", ["box/c"]),
        ({"LLM_OPENAI": "openai://h"}, {"openai": "box/a"}, "openai, openai/b", ["box/a", "openai/b"]),
    ],
)
def test_an_alias_expands_in_its_place(environ, aliases, spec, targets):
    """Inline, recursively, whether it comes from code or from the environment."""
    assert parsed(spec, {**ENVIRON, **environ}, aliases) == targets


@pytest.mark.parametrize(
    ("environ", "aliases", "spec", "ring"),
    [
        ({"LLM_A": "a"}, {}, "a", "a -> a"),
        ({"LLM_A": "b", "LLM_B": "c, box/x", "LLM_C": "A"}, {}, "box/z, a", "a -> b -> c -> a"),
        ({"LLM_Z": "a", "LLM_A": "b", "LLM_B": "a"}, {}, "z", "a -> b -> a"),
        ({}, {"a": "b", "b": "box/x, a"}, "a", "a -> b -> a"),
        ({"LLM_MY_A": "b"}, {"b": "box/x, MY-a"}, "my_a", "my-a -> b -> my-a"),
    ],
)
def test_a_ring_of_aliases_is_printed(environ, aliases, spec, ring):
    """As a path that ends where it began."""
    with pytest.raises(SpecError) as caught:
        parsed(spec, {**ENVIRON, **environ}, aliases)
    assert str(caught.value) == f"aliases in a ring: {ring}"


def test_a_diamond_is_no_ring():
    """Two ways to one alias."""
    environ = {**ENVIRON, "LLM_TOP": "left,right", "LLM_LEFT": "end", "LLM_RIGHT": "end,box/r", "LLM_END": "box/e"}
    assert parsed("top", environ) == ["box/e", "box/r"]


@pytest.mark.parametrize("in_code", [True, False])
def test_aliases_that_multiply_end_fast(in_code):
    """Ten to the power of forty items, of which two differ."""
    values = {f"l{n}": ",".join([f"l{n - 1}"] * 10) for n in range(1, 41)}
    values["l0"] = "box/a,box/b"
    environ = {**ENVIRON, **({} if in_code else {f"LLM_{name.upper()}": value for name, value in values.items()})}
    began = time.perf_counter()
    assert parsed("l40", environ, values if in_code else {}) == ["box/a", "box/b"]
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("in_code", [True, False])
def test_aliases_that_are_very_deep_end_in_a_spec_error(in_code):
    """And not in a RecursionError; listing them is no danger either."""
    values = {f"l{n}": f"l{n - 1}" for n in range(1, 3001)}
    values["l0"] = "box/a"
    environ = {**ENVIRON, **({} if in_code else {f"LLM_{name.upper()}": value for name, value in values.items()})}
    registry = Registry(environ)
    for name, value in values.items() if in_code else ():
        registry.register_alias(name, value)
    assert names(registry.parse("l20")) == ["box/a"]
    with pytest.raises(SpecError, match="deep"):
        registry.parse("l3000")
    began = time.perf_counter()
    assert "l20" in registry.aliases()
    assert time.perf_counter() - began < 20


def test_a_spec_of_many_items_is_read_fast():
    """In time that grows with its length."""
    began = time.perf_counter()
    assert len(parsed(",".join(f"box/m{n}" for n in range(5000)), ENVIRON)) == 5000
    assert time.perf_counter() - began < 20


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("box/a,,box/b", "LLM_FAST, item 2: empty item; drop the comma or name a target"),
        ("box/a,box/", "LLM_FAST, item 2: a model id is missing after the slash"),
        ("box/a,nope/b", "LLM_FAST, item 2: unknown provider"),
        ("nope", "LLM_FAST, item 1: an item is neither a known alias nor provider/model-id"),
        ("box", "LLM_FAST, item 1: an item is a provider: add a slash and a model"),
        ("box/a,/b", "LLM_FAST, item 2: a provider's name is made of"),
    ],
)
def test_a_broken_alias_of_the_environment_is_named_and_not_quoted(value, message):
    """The variable and the number of the item lead to the place."""
    with pytest.raises(SpecError) as caught:
        parsed("fast", {**ENVIRON, "LLM_FAST": value})
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["box/a,,box/b", "nope/a", "nope", "box/a,", "box"])
def test_a_broken_alias_set_in_code_is_named(value):
    """Whoever reads the error knows which alias to mend."""
    with pytest.raises(SpecError, match="quickly"):
        parsed("quickly", ENVIRON, {"quickly": value})


@pytest.mark.parametrize("name", ["", "a/b", "a b", "a,b", "ä", "a" * 101, None, 5, " a"])
@pytest.mark.parametrize("register", ["register_alias", "register_provider", "register_scheme"])
def test_names_that_no_spec_could_hold_are_refused(register, name):
    """When they are registered."""
    value = {"register_alias": "box/a", "register_provider": Mine(), "register_scheme": Mine}[register]
    with pytest.raises(SpecError):
        getattr(Registry({}), register)(name, value)


# Providers

PRECEDENCE = {
    "built in": ({}, {}, "https://api.openai.com/v1"),
    "environment over built in": ({"LLM_OPENAI": "openai://env"}, {}, "https://env/v1"),
    "code over environment": ({"LLM_OPENAI": "openai://env"}, {"openai": "openai://code"}, "https://code/v1"),
    "code over built in": ({}, {"openai": "openai://code"}, "https://code/v1"),
    "code over a broken variable": ({"LLM_OPENAI": "://"}, {"OpenAI": "openai://code"}, "https://code/v1"),
    "an empty variable is none": ({"LLM_OPENAI": ""}, {}, "https://api.openai.com/v1"),
    "quotes around nothing are nothing": ({"LLM_OPENAI": ' "" \n'}, {}, "https://api.openai.com/v1"),
}


@pytest.mark.parametrize(("environ", "code", "url"), PRECEDENCE.values(), ids=PRECEDENCE)
def test_code_wins_over_the_environment_and_that_over_what_is_built_in(environ, code, url):
    """So `LLM_OPENAI=...` redirects `openai`."""
    registry = Registry(environ)
    for name, dsn in code.items():
        registry.register_provider(name, dsn)
    assert registry.provider("openai").base_url == url
    assert registry.parse("openai/m").base_url == url


def test_an_alias_set_in_code_wins_over_the_environment():
    """Also over a variable that is broken."""
    assert parsed("fast", {**ENVIRON, "LLM_FAST": "box/env"}, {"fast": "box/code"}) == ["box/code"]
    assert parsed("fast", {**ENVIRON, "LLM_FAST": ",,"}, {"fast": "box/code"}) == ["box/code"]


@pytest.mark.parametrize("given", ["llama-swap://h", DSN.parse("llama-swap://h"), Mine()])
def test_a_provider_is_registered_as_itself_or_by_its_dsn(given):
    """Text, a DSN, or an object with `model`."""
    registry = Registry({})
    registry.register_provider("My_Box", given)
    assert names(registry.parse("my-box/x")) == ["mine/x" if isinstance(given, Mine) else "my-box/x"]
    assert registry.providers() == sorted([*BUILT_IN, "my-box"])


def test_a_bad_dsn_is_refused_when_it_is_registered():
    """And not quoted."""
    with pytest.raises(DSNError) as caught:
        Registry({}).register_provider("box", f"openai://{SECRET} @host")
    assert SECRET not in said(caught.value)


MISUSES = {
    "a provider that is none": lambda r: (r.register_provider("x", 5), r.parse("x/m")),
    "no provider": lambda r: (r.register_provider("openai", None), r.parse("openai/m")),
    "no factory": lambda r: (r.register_scheme("openai", None), r.parse("box/m")),
    "a factory that is none": lambda r: (r.register_scheme("s", 5), r.parse("s/m")),
    "a factory that makes nothing": lambda r: (r.register_scheme("s", lambda name, dsn: None), r.parse("s/m")),
    "no alias": lambda r: (r.register_alias("x", None), r.parse("x")),
    "an alias that is none": lambda r: (r.register_alias("x", 5), r.parse("x")),
    "nothing to load": lambda r: (r.load_env(None), r.parse("openai/m")),
    "text to load": lambda r: (r.load_env("LLM_X=1"), r.parse("openai/m")),
    "no provider's name": lambda r: r.provider(None),
    "an empty provider's name": lambda r: r.provider(""),
    "a target as a provider's name": lambda r: r.provider("a/b"),
    "an unknown provider's name": lambda r: r.provider("nope"),
    "an alias as a provider's name": lambda r: r.provider("fast"),
    "a User-Agent that is a number": lambda r: Registry({}, user_agent=5),
    "a User-Agent in bytes": lambda r: Registry({}, user_agent=b"x"),
    "a User-Agent of two lines": lambda r: Registry({}, user_agent="a\nb"),
    "an empty User-Agent": lambda r: Registry({}, user_agent=""),
    "a number as a DSN": lambda r: Registry({"LLM_X": 5}).parse("x/m"),
    "bytes as a DSN": lambda r: Registry({"LLM_X": b"openai://h"}).parse("x/m"),
    "a number as an alias": lambda r: Registry({"LLM_X": 5}).parse("x"),
}


@pytest.mark.parametrize("misuse", MISUSES.values(), ids=MISUSES)
def test_wrong_use_is_an_error_of_ours(misuse):
    """At once or on use, and never an AttributeError from within."""
    with pytest.raises(MajordomoError):
        misuse(Registry({"LLM_BOX": "openai://h", "LLM_FAST": "box/a", "LLM_S": "s://h"}))


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("opnai/x", "did you mean openai?"),
        ("lama-swap/x", "did you mean llama-swap?"),
        ("bx/x", "did you mean box?"),
        ("zzz/x", "set LLM_ZZZ=SCHEME://TOKEN@HOST"),
        ("my_zzz/x", "set LLM_MY_ZZZ=SCHEME://TOKEN@HOST"),
        ("zzz/x", f"known are {', '.join(sorted([*BUILT_IN, 'box']))};"),
        ("thnking", "did you mean thinking?"),
        ("quik", "did you mean quick?"),
        ("openai", "write openai/MODEL"),
        ("thinking/x", "write thinking, without a slash"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_known(spec, hint):
    """The message ends the search."""
    registry = Registry({"LLM_BOX": BOX, "LLM_THINKING": "box/a", **FOREIGN})
    registry.register_alias("quick", "box/b")
    with pytest.raises(SpecError) as caught:
        registry.parse(spec)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("opnai://h", "did you mean openai?"),
        ("zzz://h", f"known are {', '.join(sorted([*BUILT_IN, 'llama-swaps', 'openai-responses']))}"),
        ("https://h/v1", "write openai://TOKEN@HOST"),
        ("http://h/v1", "write openai+http://TOKEN@HOST"),
    ],
)
def test_an_unknown_scheme_is_answered_with_the_nearest_known(value, hint):
    """Once, with the variable's name."""
    with pytest.raises(DSNError, match="LLM_X: ") as caught:
        Registry({"LLM_X": value}).parse("x/m")
    assert str(caught.value).count(hint) == 1
    assert str(caught.value).count("known are") <= 1


# Laziness


def test_nothing_is_read_at_import_or_when_a_registry_is_built():
    """Neither are variables looked up, nor are they listed."""
    environ = Watched({**ENVIRON, **FOREIGN})
    registry = Registry(environ)
    registry.load_env(environ)
    registry.register_alias("a", "box/x")
    registry.register_provider("b", "openai://h")
    registry.register_scheme("c", Mine)
    repr(registry)
    pickle.dumps(registry)
    assert environ.read == []
    probe = (
        "import os\n"
        "class Environ(type(os.environ)):\n"
        "    def __getitem__(self, name):\n"
        "        if name.startswith(('LLM_', 'OPENAI_', 'MAJORDOMO_')): raise SystemExit(name)\n"
        "        return super().__getitem__(name)\n"
        "os.environ.__class__ = Environ\n"
        "import majordomo, majordomo.registry\n"
        "majordomo.Registry()\n"
        "majordomo.register_alias('a', 'openai/b')\n"
    )
    subprocess.run([sys.executable, "-c", probe], check=True, cwd=majordomo.__path__[0] + "/..", timeout=30)


@pytest.mark.parametrize(
    ("spec", "read"),
    [
        ("box/a", {"LLM_BOX"}),
        ("fast", {"LLM_FAST", "LLM_BOX"}),
        ("box/a, openai/b", {"LLM_BOX", "LLM_OPENAI", "OPENAI_API_KEY", "OPENAI_BASE_URL"}),
    ],
)
def test_only_what_a_spec_names_is_read(spec, read):
    """No other variable is looked at, and the environment is not listed."""
    environ = Watched({**ENVIRON, **FOREIGN, "LLM_FAST": "box/a", "OPENAI_API_KEY": "k"})
    Registry(environ).parse(spec)
    assert set(environ.read) == read


def test_a_bad_variable_hurts_only_who_uses_it():
    """All others can be asked for, listed and used."""
    bad = {"LLM_BAD": "openai://:port", "LLM_WORSE": "openai://h?nope=1", "LLM_RING": "ring", "LLM_NOBODY": "nope/x"}
    registry = Registry({**ENVIRON, **bad})
    assert names(registry.parse("box/a")) == ["box/a"]
    assert "box" in registry.providers()
    assert "ring" not in registry.aliases()
    for spec in ("bad/x", "worse/x", "ring", "nobody"):
        with pytest.raises(MajordomoError):
            registry.parse(spec)


@pytest.mark.parametrize(
    ("before", "after", "spec", "changed"),
    [
        ({"LLM_BOX": "openai://one"}, {"LLM_BOX": "openai://two"}, "box/m", "https://two/v1"),
        ({}, {"LLM_OPENAI": "openai://two"}, "openai/m", "https://two/v1"),
        ({"LLM_OPENAI": "openai://one"}, {}, "openai/m", "https://api.openai.com/v1"),
        ({}, {"OPENAI_BASE_URL": "https://two/v1"}, "openai/m", "https://two/v1"),
        (
            {"LLM_FAST": "box/m", "LLM_BOX": "openai://one"},
            {"LLM_FAST": "box/m", "LLM_BOX": "openai://two"},
            "fast",
            "https://two/v1",
        ),
        (
            {"LLM_FAST": "box/m", "LLM_BOX": "openai://one"},
            {"LLM_FAST": "openai/m", "LLM_BOX": "openai://one"},
            "fast",
            "https://api.openai.com/v1",
        ),
    ],
)
def test_a_changed_variable_counts_at_the_next_parse(before, after, spec, changed):
    """And a chain that is held goes on as it was."""
    environ = dict(before)
    registry = Registry(environ)
    held = registry.parse(spec)
    url = held.targets[0].base_url
    assert registry.parse(spec).targets[0].base_url == url
    environ.clear()
    environ.update(after)
    assert registry.parse(spec).targets[0].base_url == changed
    assert held.targets[0].base_url == url != changed


def test_what_was_registered_counts_at_the_next_parse():
    """Aliases, providers and schemes."""
    registry = Registry({"LLM_BOX": "openai://one", "LLM_FAST": "box/env"})
    assert names(registry.parse("fast")) == ["box/env"]
    registry.register_alias("fast", "box/code")
    assert names(registry.parse("fast")) == ["box/code"]
    registry.register_scheme("openai", Mine)
    assert isinstance(registry.provider("box"), Mine)
    registry.register_provider("box", "llama-swap://two")
    assert registry.parse("fast").base_url == "http://two/v1"


@pytest.mark.parametrize("registered", [True, False], ids=["in code", "in the environment"])
def test_a_provider_is_made_once_for_a_dsn(registered):
    """A name is cached by its DSN's text, so that what was learned of a server is kept."""
    made = []
    registry = Registry({} if registered else {"LLM_BOX": "mine://h"})
    registry.register_scheme("mine", lambda name, dsn: made.append(name) or Mine(name, dsn))
    if registered:
        registry.register_provider("box", "mine://h")
    registry.parse("box/a")
    registry.parse("box/b, box/c")
    registry.provider("box")
    assert made == ["box"]


@pytest.mark.parametrize(
    "around",
    ["{}", " {} ", "'{}'", '"{}"\n', "\" '{}' \""],
    ids=["nothing", "spaces", "quotes", "line end", "both quotes"],
)
def test_quotes_spaces_and_line_ends_around_a_value_are_dropped(around):
    """As `.env` files and shells leave them."""
    registry = Registry({"LLM_BOX": around.format("openai://tok@h/p"), "OPENAI_API_KEY": around.format("key")})
    assert registry.provider("box").base_url == "https://h/p"
    assert registry.provider("box").headers() == {"Authorization": "Bearer tok"}
    assert registry.provider("openai").headers() == {"Authorization": "Bearer key"}


def test_load_env_adds_variables_as_lazily():
    """A mapping's entries are read when they are met, changes included; the last one loaded wins."""
    first, second = Watched({"LLM_BOX": "openai://one"}), Watched({"LLM_FAST": "box/a"})
    registry = Registry({"LLM_OTHER": "openai://env", "LLM_BOX": "openai://env"})
    registry.load_env(first)
    registry.load_env(second)
    assert first.read == second.read == []
    assert registry.parse("fast").base_url == "https://one/v1"
    assert registry.parse("other/a").base_url == "https://env/v1"
    first.values_["LLM_BOX"] = "openai://changed"
    assert registry.parse("fast").base_url == "https://changed/v1"
    registry.load_env({"LLM_BOX": "openai://three", "OPENAI_API_KEY": "key"})
    assert registry.parse("fast").base_url == "https://three/v1"
    assert registry.provider("openai").headers() == {"Authorization": "Bearer key"}
    registry.register_provider("box", "openai://code")
    assert registry.parse("fast").base_url == "https://code/v1"
    assert "fast" in registry.aliases()


# Listing


def test_listing_shows_names_and_never_values():
    """Providers and aliases, from code, the environment and built in."""
    environ = {"LLM_API_KEY": SECRET, "LLM_BASE_URL": "https://h/v1", "OTHER": "openai://h"}
    registry = Registry({**environ, "LLM_MY_BOX": f"openai://{SECRET}@h", "LLM_FAST": "my-box/a"})
    registry.register_provider("Coded", Mine())
    registry.register_alias("Quick", "coded/a")
    assert registry.providers() == sorted([*BUILT_IN, "coded", "my-box"])
    assert registry.aliases() == ["fast", "quick"]


def test_whatever_is_listed_can_be_asked_for():
    """A variable under a name that is never looked up is not listed."""
    registry = Registry({"LLM_box": BOX, "LLM_MY-BOX": BOX, "llm_low": BOX, "LLM_fast": "openai/a", "LLM_OK": BOX})
    for name in registry.providers():
        assert registry.provider(name).name == name
    for name in registry.aliases():
        assert registry.parse(name)
    assert "ok" in registry.providers()


def test_listing_survives_an_environment_of_odd_things():
    """Names and values that are no text are passed over."""
    registry = Registry({5: "x", "LLM_X": None, "LLM_Y": 5, "LLM_Z": b"openai://h", "LLM_\x00": "openai://h"})
    assert registry.providers() == BUILT_IN
    assert registry.aliases() == []


# Foreign variables


def test_foreign_variables_do_not_disturb():
    """What others keep under LLM_ names is neither listed nor read, and nothing breaks."""
    registry = Registry({**FOREIGN, **ENVIRON})
    assert registry.aliases() == []
    assert names(registry.parse("box/a, openai/b")) == ["box/a", "openai/b"]
    assert [name for name in registry.providers() if "LLM_" + name.upper().replace("-", "_") in FOREIGN] == []


@pytest.mark.parametrize("spec", ["{}", "{}/x", "openai/a, {}", "provider:{}"])
@pytest.mark.parametrize("variable", FOREIGN)
def test_asking_for_a_foreign_variable_fails_and_shows_nothing_of_it(variable, spec, caplog):
    """An error of ours, with the way out; the value is in no message."""
    caplog.set_level(logging.DEBUG)
    registry = Registry(FOREIGN)
    name = variable[4:].lower().replace("_", "-")
    with pytest.raises((SpecError, DSNError)) as caught:
        registry.parse(spec.format(name))
    everything = said(caught.value) + repr(registry) + caplog.text
    assert SECRET not in everything
    assert FOREIGN[variable] == "" or FOREIGN[variable] == name or FOREIGN[variable] not in str(caught.value)


@pytest.mark.parametrize("spec", ["unknown", "unknown/x", "x,,y", "openai", "api-kee", "modell"])
def test_other_errors_show_nothing_of_foreign_variables(spec):
    """Hints list what is known here, and no more."""
    with pytest.raises(SpecError) as caught:
        Registry(FOREIGN).parse(spec)
    for value in FOREIGN.values():
        assert not value.strip() or value in ("openai", "self") or value not in said(caught.value)


def test_a_resolvable_foreign_variable_is_an_alias():
    """`LLM_MODEL=openai/gpt-4o` reads as one of ours: `model` stands for it."""
    assert parsed("model", {"LLM_MODEL": "openai/gpt-4o"}) == ["openai/gpt-4o"]


LEAKY = [
    SECRET,
    f"{SECRET}://host",
    f"openai:{SECRET}@host",
    f"openai:/{SECRET}@host",
    f"openai//{SECRET}@host",
    f"openai/{SECRET}@host,,",
    f"openai://{SECRET}",
    f"openai://{SECRET}:443",
    f"openai://host:{SECRET}",
    f"openai://{SECRET}/x@host",
    f"openai://{SECRET}?x@host",
    f"openai://{SECRET}#x@host",
    f"openai://{SECRET} @host",
    f"openai://{SECRET}\n@host",
    f"openai://{SECRET}ü@host",
    f"openai://{SECRET}%0a@host",
    f"openai://{SECRET}@host:99999",
    f"openai://{SECRET}@ho st",
    f"openai://{SECRET}@[::1",
    f"openai://{SECRET}@[zz]",
    f"openai://{SECRET}@host/../x",
    f"openai://{SECRET}@host/x y",
    f"openai://{SECRET}@host?nope=1",
    f"openai://{SECRET}@host?{SECRET}",
    f"openai://{SECRET}@host?key={SECRET}",
    f"openai://{SECRET}@host?timeout={SECRET}",
    f"openai://{SECRET}@host?max_images={SECRET}",
    f"openai://{SECRET}@host?proxy={SECRET}",
    f"openai://{SECRET}@host?token_limit={SECRET}",
    f"openai://{SECRET}@host?timeout=1&timeout={SECRET}",
    f"openai+https://{SECRET}@host",
    f"opnai://{SECRET}@host",
    f"https://{SECRET}@host",
    f"{SECRET}/model",
    f"openai/a,{SECRET}",
    f"openai/a,{SECRET}/b",
    f"openai/a,{SECRET} b/c",
    f"openai/a,,{SECRET}",
]


@pytest.mark.parametrize("spec", ["x", "x/m", "y", "openai/m"])
@pytest.mark.parametrize("value", LEAKY)
def test_a_malformed_variable_is_named_and_never_quoted(value, spec, caplog):
    """Whatever is wrong with it: no message, repr, pickle or log line holds the value."""
    caplog.set_level(logging.DEBUG)
    source = {"x": "LLM_X", "x/m": "LLM_X", "y": "LLM_Y", "openai/m": "LLM_OPENAI"}[spec]
    registry = Registry({source: value, **({"LLM_Y": "x", "LLM_X": value} if spec == "y" else {})})
    try:
        chain = registry.parse(spec)
    except MajordomoError as exc:
        assert isinstance(exc, (SpecError, DSNError))
        assert "LLM_" in str(exc) or spec in ("x", "y")
        assert SECRET.replace("-", "_").lower() not in said(exc).lower().replace("-", "_")
        assert SECRET not in repr(pickle.dumps(exc))
    else:
        chain = repr(chain.__dict__) + repr([target.__dict__ for target in chain.targets])
        assert SECRET not in chain or value.startswith(f"openai/{SECRET}")
    assert SECRET not in caplog.text
    assert SECRET not in repr(registry) + "".join(registry.providers() + registry.aliases())


@pytest.mark.parametrize("variable", ["OPENAI_API_KEY", "OPENAI_BASE_URL"])
@pytest.mark.parametrize(
    "value",
    [f"{SECRET} x", f"{SECRET}ü", f"http//{SECRET}", f"https://{SECRET}:x@h:0", f"https://h/{SECRET}?a={SECRET} b"],
)
def test_a_malformed_vendors_variable_is_named_and_never_quoted(variable, value):
    """The same for the variables of a built-in provider."""
    try:
        Registry({variable: value}).parse("openai/m")
    except MajordomoError as exc:
        assert variable in str(exc)
        assert SECRET not in said(exc)


# DSNs: options, transport, base URLs


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("", {"default_timeout": 600}),
        ("timeout=5", {"default_timeout": 5}),
        ("timeout=2.5", {"default_timeout": 2.5}),
        ("timeout=inf", {"default_timeout": float("inf")}),
        ("TIMEOUT=5", {"default_timeout": 5}),
        ("max_images=0", {"max_images_per_request": 0}),
        ("max-images=3", {"max_images_per_request": 3}),
        ("max_image_dimension=1024&max_image_bytes=5000", {"max_image_dimension": 1024, "max_image_bytes": 5000}),
        ("image_mime=png,image/jpeg", {"allowed_image_mime": ("image/png", "image/jpeg")}),
        ("image_mime=image%2Fpng", {"allowed_image_mime": ("image/png",)}),
        ("thinking=on", {"thinking": True}),
        ("thinking=OFF", {"thinking": False}),
        ("proxy=off", {}),
        ("proxy=on", {}),
        ("ca=/nowhere/ca.pem", {}),
        ("token_limit=max_tokens", {}),
    ],
)
def test_options_of_a_dsn_configure_its_models(options, found):
    """Without code: limits of pictures, the default timeout, what the wire has of its own."""
    model = Registry({"LLM_BOX": f"openai://h?{options}" if options else "openai://h"}).provider("box").model("m")
    for name, value in found.items():
        assert getattr(model if name == "default_timeout" else model.capabilities, name) == value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("nope=1", "unknown option nope: known are "),
        ("timeouts=1", "unknown option timeouts: did you mean timeout?"),
        ("num_ctx=5", "unknown option num_ctx"),
        ("timeout=0", "option timeout: is a number of seconds above 0, or inf"),
        ("timeout=-1", "option timeout: is a number"),
        ("timeout=nan", "option timeout: is a number"),
        ("timeout=", "option timeout: is a number"),
        ("timeout=5s", "option timeout: is a number"),
        ("max_images=-1", "option max_images: is a whole number"),
        ("max_images=1.5", "option max_images: is a whole number"),
        ("max_images=\u0661", "option max_images: is a whole number"),
        ("thinking=maybe", "option thinking: is on or off"),
        ("proxy=http://p", "option proxy: is on or off"),
        ("token_limit=x", "option token_limit: is max_tokens or max_completion_tokens"),
        ("timeout=1&timeout=2", "an option stands twice"),
        ("timeout=1&time-out=2&timeout=3", "an option stands twice"),
        ("timeout", "options read ?name=value"),
        ("=5", "options read ?name=value"),
        ("timeout=1&", "options read ?name=value"),
    ],
)
def test_unknown_and_odd_options_are_errors_on_use(options, message):
    """They name the variable, the option, and what is known."""
    registry = Registry({"LLM_BOX": f"openai://h?{options}"})
    assert "box" in registry.providers()
    with pytest.raises(DSNError) as caught:
        registry.parse("box/m")
    assert str(caught.value).startswith(f"LLM_BOX: {message}")


@pytest.mark.parametrize(
    ("dsn", "url"),
    [
        ("openai://h", "https://h/v1"),
        ("openai://h/", "https://h/v1"),
        ("openai://h/v1", "https://h/v1"),
        ("openai://h/v1/", "https://h/v1"),
        ("openai://h/v1/chat/completions", "https://h/v1"),
        ("openai://h/prefix", "https://h/prefix"),
        ("openai://h/prefix/v4/", "https://h/prefix/v4"),
        ("openai://h//v1//", "https://h/v1"),
        ("openai://h:8443", "https://h:8443/v1"),
        ("openai://h:443", "https://h/v1"),
        ("openai+http://h", "http://h/v1"),
        ("openai+http://h:80", "http://h/v1"),
        ("openai+http://h:443", "http://h:443/v1"),
        ("OpenAI+HTTP://h:1234", "http://h:1234/v1"),
        ("openai://tok@h", "https://h/v1"),
        ("openai://[::1]:8080", "https://[::1]:8080/v1"),
        ("openai://", "https://api.openai.com/v1"),
        ("openai://tok@", "https://api.openai.com/v1"),
        ("llama-swap://h", "http://h/v1"),
        ("llama-swap://h/", "http://h/v1"),
        ("llama-swap://h/v1", "http://h/v1"),
        ("llama-swap://h/v1/", "http://h/v1"),
        ("llama-swap://h:8080/prefix", "http://h:8080/prefix/v1"),
        ("llama-swap://h:8080/prefix/v1/", "http://h:8080/prefix/v1"),
        ("llama-swap+http://h", "http://h/v1"),
        ("llama-swaps://h", "https://h/v1"),
        ("llama-swaps://h/", "https://h/v1"),
        ("llama-swaps://h/v1", "https://h/v1"),
        ("llama-swaps://h/v1/", "https://h/v1"),
        ("llama-swaps://h:8443/prefix", "https://h:8443/prefix/v1"),
    ],
)
def test_base_urls(dsn, url):
    """https always, except llama-swap; no path means the usual one; all spellings lead to the same place."""
    assert Registry({"LLM_BOX": dsn}).parse("box/m").targets[0].base_url == url


@pytest.mark.parametrize("dsn", ["llama-swaps+http://h", "openai+https://h", "openai+://h", "openai+http+http://h"])
def test_transports_that_are_none_are_errors(dsn):
    """Only +http can be said, and not of the TLS twin."""
    with pytest.raises(DSNError, match="LLM_BOX"):
        Registry({"LLM_BOX": dsn}).parse("box/m")


@pytest.mark.parametrize("scheme", ["openai+http", "llama-swap"])
@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/"])
@pytest.mark.parametrize("token", ["", "tok@", ":tok@", "t%2Fo%3Fk%23@"])
def test_all_spellings_of_a_host_ask_for_the_same_path(scheme, path, token):
    """On the wire, with and without a token; one without sends no key of its own."""
    with FakeServer() as server:
        Registry({"LLM_BOX": f"{scheme}://{token}{server.host}{path}"}).parse("box/m").generate("Hi", timeout=5)
    (seen,) = server.requests
    assert seen.path == "/v1/chat/completions"
    keyless = None if scheme == "openai+http" else "Bearer no-key"
    sent = {"": keyless, "tok@": "Bearer tok", ":tok@": "Bearer tok", "t%2Fo%3Fk%23@": "Bearer t/o?k#"}[token]
    assert seen.headers.get("authorization") == sent
    assert seen.headers["host"] == server.host


@pytest.mark.parametrize(
    ("environ", "url", "key"),
    [
        ({"OPENAI_API_KEY": "k"}, "https://api.openai.com/v1", "k"),
        ({"OPENAI_API_KEY": " 'k'\n"}, "https://api.openai.com/v1", "k"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://h:1/v1"}, "http://h:1/v1", "k"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://h:1"}, "http://h:1/v1", "k"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "https://h/v1/"}, "https://h/v1", "k"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "https://h/p"}, "https://h/p", "k"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "'HTTPS://h/v1'"}, "https://h/v1", "k"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": ""}, "https://api.openai.com/v1", "k"),
        ({"OPENAI_BASE_URL": "http://h:1/v1"}, "http://h:1/v1", None),
        ({"OPENAI_API_KEY": "k", "LLM_OPENAI": "openai+http://h"}, "http://h/v1", None),
        ({"OPENAI_API_KEY": "k", "LLM_OPENAI": "openai://other@h"}, "https://h/v1", "other"),
    ],
)
def test_the_built_in_openai_reads_its_vendors_variables(environ, url, key):
    """Key and base URL; a DSN takes their place altogether, so the key goes to nobody else."""
    provider = Registry(environ).provider("openai")
    assert provider.base_url == url
    assert provider.headers() == ({"Authorization": f"Bearer {key}"} if key else {})


def test_a_vendors_key_goes_to_the_built_in_provider_alone():
    """Another name on the same wire has no part in it."""
    registry = Registry({"OPENAI_API_KEY": SECRET, "LLM_BOX": "openai+http://h", "LLM_LAN": "llama-swap://h"})
    assert registry.provider("box").headers() == {}
    assert registry.provider("lan").headers() == {"Authorization": "Bearer no-key"}


@pytest.mark.parametrize("value", ["h:8080/v1", "openai://h", "ftp://h", "://h", "https://", "http://", "http:///v1"])
def test_a_base_url_that_is_none_is_an_error(value):
    """The key never goes to a place that nobody named."""
    with pytest.raises(DSNError, match="OPENAI_BASE_URL"):
        Registry({"OPENAI_BASE_URL": value, "OPENAI_API_KEY": "k"}).parse("openai/m")


@pytest.mark.parametrize(
    ("environ", "spec", "parts"),
    [
        ({}, "openai/m", ["OPENAI_API_KEY", "LLM_OPENAI=openai://KEY@api.openai.com"]),
        ({"OPENAI_API_KEY": " "}, "openai/m", ["OPENAI_API_KEY"]),
        ({}, "llama-swap/m", ["LLM_LLAMA_SWAP=llama-swap://[TOKEN@]HOST:PORT"]),
        ({"LLM_BOX": "llama-swap://"}, "box/m", ["LLM_BOX=llama-swap://[TOKEN@]HOST:PORT"]),
        ({"LLM_MY_BOX": "llama-swaps://tok@"}, "my-box/m", ["LLM_MY_BOX=llama-swaps://[TOKEN@]HOST:PORT"]),
    ],
)
@pytest.mark.parametrize("ask", ["generate", "stream", "list_models"])
def test_what_lacks_a_key_or_a_host_parses_and_fails_on_use(environ, spec, parts, ask):
    """With a ConfigError that shows what to set."""
    clock = Clock()
    registry = Registry(environ, clock=clock, sleep=clock.sleep)
    chain = registry.parse(spec)
    with pytest.raises(ConfigError) as caught:
        if ask == "list_models":
            registry.provider(spec.partition("/")[0]).list_models()
        elif ask == "stream":
            list(chain.stream("Hi"))
        else:
            chain.generate("Hi")
    assert all(part in str(caught.value) for part in parts)
    assert clock.slept == []


def test_what_lacks_a_key_does_not_stop_a_chain():
    """The next target answers, and nothing cools down."""
    with FakeServer() as server:
        registry = Registry({"LLM_BOX": server.dsn()})
        reply = registry.parse("openai/m, llama-swap/m, box/m").generate("Hi", timeout=5)
    assert [a.outcome for a in reply.attempts] == ["failed", "failed", "answered"]
    assert registry.health.snapshot() == {}


def test_a_provider_is_reached_by_name_for_what_is_no_call_of_a_model():
    """Whatever the case, with the name folded."""
    with FakeServer(models=["m1"]) as server:
        registry = Registry({"LLM_MY_BOX": server.dsn()})
        assert registry.provider(" My_Box ").list_models() == ["m1"]
        assert registry.provider("my-box").name == "my-box"


def test_settings_reach_the_wire():
    """A User-Agent of one's own, on every request."""
    with FakeServer() as server:
        registry = Registry({"LLM_BOX": server.dsn()}, user_agent="cron/1.0")
        registry.parse("box/m").generate("Hi", timeout=5)
        registry.provider("box").list_models()
    assert [seen.headers["user-agent"] for seen in server.requests] == ["cron/1.0"] * 2


# Schemes of one's own


def test_a_scheme_of_ones_own():
    """`factory(name, dsn) -> Provider`, called when a name is met; token, host, path and options are in the DSN."""
    made = []
    registry = Registry({"LLM_MY_LAB": "Wire-9+http://t%40k@h:1/p?depth=3", "LLM_DUO": "my-lab/b"})
    registry.register_scheme("wire-9", lambda name, dsn: made.append((name, dsn)) or Mine(name, dsn))
    assert made == []
    assert registry.parse("my-lab/a, duo").generate("Hi").text == "my-lab/a"
    ((name, dsn),) = made
    assert name == "my-lab"
    assert (dsn.plain, dsn.token, dsn.host, dsn.path, dsn.options) == (True, "t@k", "h:1", "/p", {"depth": "3"})
    assert "my-lab" in registry.providers()


@pytest.mark.parametrize("registered", ["my_wire", "my-wire", "My_Wire"])
@pytest.mark.parametrize("written", ["my_wire", "my-wire", "MY_WIRE"])
def test_schemes_are_folded_as_names_are(registered, written):
    """A scheme is found under the name it was registered with: case does not matter, `-` and `_` are one."""
    registry = Registry({"LLM_BOX": f"{written}://h"})
    registry.register_scheme(registered, Mine)
    assert names(registry.parse("box/m")) == ["box/m"]


def test_what_a_factory_raises_is_the_callers():
    """A refusal of ours names no value; a bug passes through."""
    registry = Registry({"LLM_X": "mine://h", "LLM_Y": "odd://h"})

    def refuse(name, dsn):
        raise ConfigError("depth is missing")

    registry.register_scheme("mine", refuse)
    registry.register_scheme("odd", lambda name, dsn: 1 // 0)
    with pytest.raises(ConfigError, match="depth"):
        registry.parse("x/m")
    with pytest.raises(ZeroDivisionError):
        registry.parse("y/m")


# Pickling


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_chains_and_registries_pickle_without_tokens(protocol, monkeypatch):
    """Aliases and settings travel; variables, registered DSNs and hooks stay, and the worker reads its own."""
    environ = {"LLM_BOX": f"openai://{SECRET}@one", "OPENAI_API_KEY": SECRET, "LLM_LAN": "box/a"}
    registry = Registry(environ, retries=7, timeout=3, attempt_timeout=2, on_attempt=print, user_agent="cron/1")
    registry.load_env({"LLM_OTHER": f"openai://{SECRET}@h"})
    registry.register_provider("coded", f"openai://{SECRET}@h")
    registry.register_alias("fast", "box/b, openai/c")
    chain = registry.parse("lan, fast")
    data = pickle.dumps((chain, registry), protocol)
    assert SECRET.encode() not in data
    monkeypatch.setenv("LLM_BOX", "openai://worker@two")
    monkeypatch.setenv("LLM_LAN", "box/z")
    again, itself = pickle.loads(data)
    assert names(again) == ["box/z", "box/b", "openai/c"]
    assert again.base_url == "https://two/v1"
    assert (again.policy.retries, again.policy.timeout, again.policy.attempt_timeout) == (7, 3, 2)
    assert again.policy.on_attempt is None
    assert names(itself.parse("fast")) == ["box/b", "openai/c"]
    assert itself.health is again.policy.health


@pytest.mark.parametrize("what", ["provider", "target"])
def test_what_holds_a_token_does_not_pickle(what):
    """A bare provider or target says so instead."""
    provider = Registry({"LLM_BOX": f"openai://{SECRET}@h"}).provider("box")
    with pytest.raises(TypeError, match="token") as caught:
        pickle.dumps(provider if what == "provider" else provider.model("m"))
    assert SECRET not in str(caught.value)


def test_an_alias_that_is_a_dsn_does_not_carry_its_token_away():
    """`register_alias("box", "llama-swap://...")` is a mistake, refused or at least not pickled and not shown."""
    registry = Registry({})
    try:
        registry.register_alias("box", f"llama-swap://{SECRET}@host")
    except MajordomoError as exc:
        assert SECRET not in said(exc)
        return
    assert SECRET.encode() not in pickle.dumps(registry)
    with pytest.raises(SpecError) as caught:
        registry.parse("box")
    assert SECRET not in said(caught.value)


def test_no_repr_shows_a_token():
    """Of registries, chains, providers, targets, DSNs."""
    registry = Registry({"LLM_BOX": f"openai://{SECRET}@h", "OPENAI_API_KEY": SECRET})
    registry.register_provider("coded", f"openai://{SECRET}@h")
    chain = registry.parse("box/a, openai/b, coded/c")
    shown = [registry, chain, *chain.targets, registry.provider("box"), registry.health.snapshot()]
    shown += [DSN.parse(f"openai://{SECRET}@h")]
    assert SECRET not in repr(shown) + "".join(map(str, shown))


# Where names come from


def test_what_a_spec_expands_to():
    """`targets` tells each target with the aliases it stands behind, and makes no provider."""
    registry = Registry({**ENVIRON, "LLM_ALL": "fast, bad/x", "LLM_BAD": "nonsense://h"})
    registry.register_alias("fast", "box/a, openai/b")
    told = [(origin.name, origin.aliases) for origin in registry.targets("all, box/a, my_prov/c:1/d")]
    behind = (("all", "LLM_ALL"), ("fast", "code"))
    assert told == [("box/a", behind), ("openai/b", behind), ("bad/x", behind[:1]), ("my-prov/c:1/d", ())]
    with pytest.raises(SpecError):
        registry.targets("fast,")


@pytest.mark.parametrize(
    "spec", [f"{SECRET}@host/m", f"box/a, {SECRET}/m", SECRET, f"{SECRET},,", f"openai:/{SECRET}@h"]
)
def test_a_spec_from_a_variable_is_not_quoted(spec):
    """Its errors name the variable and the item, whatever stands there."""
    with pytest.raises(SpecError, match="MY_MODEL, item") as caught:
        Registry(ENVIRON).targets(spec, "MY_MODEL")
    assert SECRET not in str(caught.value)
    if "@" in spec:
        with pytest.raises(SpecError) as caught:
            Registry(ENVIRON).parse(spec)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "environ", "source"),
    [
        ("box", {"LLM_BOX": BOX}, ("LLM_BOX",)),
        ("My_Prov", {"LLM_MY_PROV": "openai://h"}, ("LLM_MY_PROV",)),
        ("openai", {"LLM_OPENAI": "openai://h", "OPENAI_API_KEY": "k"}, ("LLM_OPENAI",)),
        ("openai", {"OPENAI_API_KEY": "k"}, ("built in", "OPENAI_API_KEY")),
        ("openai", {"OPENAI_BASE_URL": "https://h"}, ("built in", "OPENAI_BASE_URL")),
        ("openai", {}, ("built in",)),
        ("gemini", {"GOOGLE_API_KEY": "k"}, ("built in", "GOOGLE_API_KEY")),
        ("gemini", {"GOOGLE_API_KEY": "k", "GEMINI_API_KEY": "k"}, ("built in", "GEMINI_API_KEY")),
        ("coded", {"LLM_CODED": "openai://h"}, ("code",)),
    ],
)
def test_where_a_provider_comes_from(name, environ, source):
    """`sources` names the variables that made a provider, and nothing of what they hold."""
    registry = Registry(environ)
    registry.register_provider("coded", f"openai://{SECRET}@h")
    assert registry.sources(name) == source


@pytest.mark.parametrize("name", ["nobody", "", "box/a", None])
def test_where_nothing_comes_from(name):
    """A name that stands for no provider is a SpecError."""
    with pytest.raises(SpecError):
        Registry({}).sources(name)


# Health that processes share


def test_health_in_a_file(tmp_path):
    """`health=` and MAJORDOMO_HEALTH name a file; the latter is read when a call first needs it."""
    shared, down = str(tmp_path / "health"), {"LLM_BOX": f"llama-swap://127.0.0.1:{dead_port()}"}
    one, environ = Registry(down, health=shared, retries=0), Watched({**down, "MAJORDOMO_HEALTH": f" {shared}\n"})
    two = Registry(environ, retries=0)
    chain = two.parse("box/a")
    assert "MAJORDOMO_HEALTH" not in environ.read
    with pytest.raises(TransportError):
        one.parse("box/a").generate("Hi", timeout=5)
    with pytest.raises(TransportError) as caught:
        chain.generate("Hi", timeout=5)
    assert [attempt.outcome for attempt in caught.value.attempts] == ["skipped", "failed"]
    assert [row["failures"] for row in two.health.snapshot().values()] == [2]


def test_health_in_memory_in_spite_of_the_variable(tmp_path):
    """A registry that is given its health, an object, does not look for another one."""
    environ = Watched({"LLM_BOX": BOX, "MAJORDOMO_HEALTH": str(tmp_path / "health")})
    health = MemoryHealth()
    assert Registry(environ, health=health).health is health
    assert environ.read == []


def test_a_registry_takes_its_health_file_along(tmp_path):
    """The path is a setting and pickles with the registry; that of the variable is the worker's own."""
    shared = tmp_path / "health"
    assert pickle.loads(pickle.dumps(Registry({}, health=shared))).health.path == str(shared)
    again = pickle.loads(pickle.dumps(Registry({"MAJORDOMO_HEALTH": str(shared)})))
    assert isinstance(again.health, MemoryHealth)


def test_a_chain_takes_its_aliases_along_and_leaves_those_of_others():
    """One that was pickled before an alias changed means what it meant, and changes nothing for all others."""
    registry = Registry({"LLM_BOX": BOX})
    registry.register_alias("fast", "box/1")
    old = pickle.dumps(registry.parse("fast"))
    registry.register_alias("fast", "box/2")
    there = pickle.loads(pickle.dumps(registry))
    there.load_env({"LLM_BOX": BOX})
    assert names(pickle.loads(old)) == ["box/1"]
    assert names(pickle.loads(pickle.dumps(pickle.loads(old)))) == ["box/1"]
    assert names(there.parse("fast")) == ["box/2"]


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_a_registry_stays_the_same_wherever_it_goes_on_to(tmp_path, hops):
    """A scheduler that passes it on loses neither its settings nor its health file."""
    registry = moved = Registry({}, retries=7, health=tmp_path / "health")
    for _ in range(hops):
        moved = pickle.loads(pickle.dumps(moved))
    assert moved.health.path == registry.health.path
    assert moved is pickle.loads(pickle.dumps(registry))


def test_a_registry_is_made_once_in_a_process_that_unpickles_it():
    """Each task of a pool brings it along: connections and cooldowns are for the next task, too."""
    registry = Registry({"LLM_BOX": BOX}, retries=7)
    registry.register_alias("fast", "box/a")
    one = pickle.loads(pickle.dumps(registry))
    registry.register_alias("slow", "box/b")
    two = pickle.loads(pickle.dumps(registry))
    assert one is two is not registry
    assert two.aliases() == ["fast", "slow"]
    assert pickle.loads(pickle.dumps(Registry({}, retries=7))) is not one


@pytest.mark.parametrize("parse", [Registry.parse, Registry.parse_image], ids=["parse", "parse_image"])
def test_a_chain_unpickles_where_its_names_mean_nothing(parse, monkeypatch):
    """The error comes when it is asked, for a pool loses a task that does not unpickle; pickled on, it is whole."""
    monkeypatch.setenv("LLM_FAR", f"openai://{SECRET}@h")
    monkeypatch.setenv("LLM_BOX", "openai://h")
    data = pickle.dumps(parse(Registry(), "far/m, box/n"))
    monkeypatch.delenv("LLM_FAR")
    moved = pickle.loads(data)
    with pytest.raises(SpecError, match="set LLM_FAR=") as caught:
        moved.generate("Hi", timeout=5)
    assert [attempt.outcome for attempt in caught.value.attempts] == ["failed"]
    monkeypatch.setenv("LLM_FAR", "openai://h")
    assert names(pickle.loads(pickle.dumps(moved))) == ["far/m", "box/n"]


# The shared registry


def test_the_packages_functions_share_one_registry(monkeypatch):
    """`parse`, `register_alias`, `register_provider` and `register_scheme` need no `Registry`."""
    majordomo.register_scheme("shared-scheme", Mine)
    majordomo.register_provider("shared-provider", Mine("shared-provider"))
    majordomo.register_alias("shared-alias", "shared-provider/a, shared-name/b")
    monkeypatch.setenv("LLM_SHARED_NAME", "shared-scheme://h")
    chain = majordomo.parse("shared-alias")
    assert names(chain) == ["shared-provider/a", "shared-name/b"]
    assert chain.generate("Hi").text == "shared-provider/a"
    monkeypatch.delenv("LLM_SHARED_NAME")
    with pytest.raises(SpecError):
        majordomo.parse("shared-alias")


def test_registries_do_not_share_anything():
    """Names, cooldowns and connections belong to one."""
    one, two = Registry({"LLM_BOX": f"llama-swap://127.0.0.1:{dead_port()}"}, retries=0), Registry({})
    one.register_alias("fast", "box/a")
    with pytest.raises(TransportError):
        one.parse("fast").generate("Hi", timeout=5)
    assert two.health.snapshot() == {}
    with pytest.raises(SpecError):
        two.parse("fast")


# Whatever comes

PIECES = ["openai", "box", "fast", "ring", "nope", "m", "gpt-4", "[::1]", ":99999", "+http", "://", "//", "..", "%zz"]
PIECES += [*"/,:@?=&%#-_.[]'\" \n\x00", "é", "\u212a", "\ud800"]


def noise(rng, most=8):
    return "".join(rng.choice(PIECES) for _ in range(rng.randrange(most)))


@pytest.mark.parametrize("seed", range(4))
def test_any_spec_ends_in_a_chain_or_an_error_of_ours(seed):
    """Seeded noise: nothing else comes out of `parse`."""
    rng = random.Random(seed)
    registry = Registry({"LLM_BOX": BOX, "LLM_FAST": "box/a", "LLM_RING": "fast, ring", **FOREIGN})
    good = 0
    for _ in range(1000):
        try:
            good += len(registry.parse(noise(rng)).targets)
        except MajordomoError as exc:
            assert SECRET not in said(exc)
    assert good


@pytest.mark.parametrize("seed", range(4))
def test_any_environment_ends_in_a_chain_or_an_error_of_ours(seed):
    """The same for values, also when they are listed and when a call is made."""
    rng = random.Random(seed)
    for _ in range(300):
        scheme = rng.choice(["openai://", "openai+http://", "llama-swap://", "", "mine://"])
        environ = {"LLM_BOX": scheme + noise(rng), "LLM_FAST": noise(rng), "OPENAI_BASE_URL": noise(rng)}
        registry = Registry(environ)
        registry.register_scheme("mine", Mine)
        registry.providers()
        registry.aliases()
        for spec in ("box/a", "fast", "openai/m"):
            try:
                registry.parse(spec)
            except (SpecError, DSNError, ConfigError):
                pass


def test_a_url_that_a_dsn_can_hold_can_be_asked():
    """Odd hosts, ports and paths fail with an error of ours, in no time."""
    port = dead_port()
    local = f"127.0.0.1:{port}"
    for where in (f"{local}/a%20b", f"{local}/~x;y=1", f"{local}/%", f"[::1]:{port}", f".127.0.0.1:{port}", "..", "-"):
        registry = Registry({"LLM_BOX": f"openai+http://{where}"}, retries=0)
        with pytest.raises(MajordomoError):
            registry.parse("box/m").generate("Hi", timeout=2)


@pytest.mark.parametrize(
    ("positional", "settings"),
    [
        ((5,), {}),
        ((), {"health": ""}),
        ((), {"health": 7}),
        ((), {"on_attempt": 5}),
        ((), {"clock": 1.0}),
        ((), {"sleep": "no"}),
    ],
)
def test_settings_that_cannot_work(positional, settings):
    """What would break in the middle of a call is refused when the registry is built."""
    with pytest.raises(ConfigError):
        Registry(*positional, **settings)


@pytest.mark.parametrize(
    ("value", "types"),
    [("jpg", ("image/jpeg",)), ("png,image/jpg", ("image/png", "image/jpeg")), ("WEBP", ("image/webp",))],
)
def test_types_of_pictures(value, types):
    """`image_mime` takes the names that people use."""
    chain = Registry({"LLM_BOX": f"llama-swap://h?image_mime={value}"}).parse("box/m")
    assert chain.capabilities.allowed_image_mime == types


def test_a_name_has_one_provider_at_a_time():
    """Tokens that were rotated away are not kept."""
    environ = {}
    registry = Registry(environ)
    for number in range(50):
        environ["LLM_BOX"] = f"llama-swap://token-{number}@h"
        registry.parse("box/m")
    assert len(registry._providers) == 1

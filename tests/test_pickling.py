"""What goes into other processes and comes back: chains without their tokens, errors and answers whole."""

from __future__ import annotations

import base64
import copy
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import quote

import pytest

from majordomo import (
    APIError,
    Conversation,
    DeadlineError,
    ErrorKind,
    MajordomoError,
    Registry,
    Request,
    TransportError,
    classify,
    generate_many,
    user,
)
from majordomo.testing import FakeServer, Reply, Status, cut, hang

ROOT = Path(__file__).parent.parent
PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)
TOKEN = "tok/en%+?#&=SECRET"  # every letter that a URL would have otherwise


def forms(token):
    """A token, and what it may have become on its way."""
    plain = token.encode()
    return {plain, quote(token, safe="").encode(), quote(token).encode(), base64.b64encode(plain), plain[-6:]}


def hidden(data):
    """Whether a pickle holds nothing of the token."""
    return not any(form in data for form in forms(TOKEN))


# In workers of every kind. The program is a file, for `spawn` and `forkserver` import it again.

PROGRAM = '''
import json, os, sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from majordomo import (
    MajordomoError, Model, Provider, Registry, Response, assistant, parse, register_alias, register_provider
)

class Echo(Model):
    def complete(self, request, deadline):
        return Response(assistant(request.messages[-1].text))

class Echoes(Provider):
    def model(self, id):
        return Echo()

register_provider("mine", Echoes())  # in each process, for each imports this file

def settle(environ):
    os.environ.clear()
    os.environ.update(environ)

def shares(model):
    """Whether a chain that came here belongs to the shared registry, and is made once."""
    return model is parse(model.name) and model.policy is Registry.default().policy

def settings(model):
    return model.policy.retries, model.policy.timeout, model.policy.attempt_timeout, model.policy.on_attempt

def outcome(future):
    try:
        reply = future.result(timeout=60)
        return [reply.text, reply.model, [attempt.outcome for attempt in reply.attempts]]
    except MajordomoError as error:
        return [type(error).__name__, str(error), [attempt.outcome for attempt in error.attempts]]

if __name__ == "__main__":
    environ = json.loads(sys.argv[2])
    register_alias("fast", "gone/a, box/b")
    own = Registry(retries=0, timeout=50, attempt_timeout=40, user_agent="own/1", on_attempt=lambda attempt: None)
    own.register_alias("careful", "box/c")
    own.load_env({"LLM_LOADED": os.environ["LLM_BOX"]})
    asked = [parse("fast"), own.parse("careful"), parse("mine/d")]
    lost = [own.parse("loaded/e"), parse("box/f, here/f")]
    with ProcessPoolExecutor(1, get_context(sys.argv[1]), settle, (environ,)) as pool:
        told = {
            "answers": [outcome(pool.submit(model.generate, "Hi", timeout=50)) for model in asked],
            "failure": outcome(pool.submit(parse("box/fails").generate, "Hi", timeout=50)),
            "lost": [outcome(pool.submit(model.generate, "Hi", timeout=50)) for model in lost],
            "shared": pool.submit(shares, parse("box/b")).result(timeout=60),
            "settings": pool.submit(settings, asked[1]).result(timeout=60),
        }
    print(json.dumps(told))
'''

METHODS = multiprocessing.get_all_start_methods()


@pytest.fixture(scope="module", params=METHODS)
def told(request, shared, tmp_path_factory):
    """What a program tells of a worker that was started in one of the ways, and of the servers it asked."""
    program = tmp_path_factory.mktemp("program") / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    shared.reset()
    with FakeServer(token="of-the-worker") as fake:
        fake.default = lambda seen: Status(418, "no tea") if seen.model == "fails" else Reply("From elsewhere.")
        environ = {"LLM_BOX": fake.dsn(token="of-the-worker"), "LLM_GONE": "llama-swap://127.0.0.1:1"}
        done = run(program, request.param, json.dumps(environ), **variables(shared.dsn(token=TOKEN)))
        found = json.loads(done)
        found["here"], found["there"] = len(shared.requests), fake.requests
        return found


def variables(dsn):
    """The environment of whoever hands the work out."""
    return {"LLM_BOX": dsn, "LLM_HERE": dsn, "LLM_GONE": dsn}


def run(*arguments, stdin=b"", **environ):
    """What a strict interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", *map(str, arguments)],
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], **environ},
        input=stdin,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
    return done.stdout


def test_a_worker_asks_its_own_servers(told):
    """Names are looked up where the work is done; aliases set in code travel, providers are registered by the file."""
    assert told["answers"] == [
        ["From elsewhere.", "box/b", ["failed", "answered"]],
        ["From elsewhere.", "box/c", ["answered"]],
        ["Hi", "mine/d", ["answered"]],
    ]
    assert told["here"] == 0


def test_a_worker_keeps_the_settings(told):
    """Retries, limits and the name of the program travel; a hook stays behind."""
    assert told["settings"] == [0, 50, 40, None]
    agents = {seen.model: seen.headers["user-agent"] for seen in told["there"] if seen.method == "POST"}
    assert agents["c"] == "own/1"
    assert agents["b"].startswith("majordomo/")


def test_the_shared_registry_is_the_shared_one_of_a_worker(told):
    """So that a chain which comes with each task is one chain, with its connections and cooldowns."""
    assert told["shared"] is True


def test_errors_of_a_worker_come_back(told):
    """With their class, their text and the attempts."""
    assert told["failure"] == ["APIError", "box/fails: HTTP 418: no tea", ["failed"]]


def test_a_worker_that_lacks_a_variable_says_so(told):
    """The call fails and names it, what `load_env` brought included; the worker lives, and so does its pool."""
    for (kind, text, _), variable in zip(told["lost"], ("LLM_LOADED", "LLM_HERE")):
        assert kind == "SpecError"
        assert variable in text


def test_a_pool_does_not_wait_for_a_worker_that_lacks_a_variable(tmp_path):
    """`multiprocessing.Pool` loses a task whose arguments cannot be read, and waits for it for ever."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.partition("if __name__")[0] + POOL, encoding="utf-8")
    assert b"LLM_BOX" in run(program, **variables("llama-swap://127.0.0.1:1"))


POOL = """
if __name__ == "__main__":
    with get_context("spawn").Pool(1, settle, ({},)) as pool:
        try:
            pool.apply_async(parse("box/a").generate, ("Hi",)).get(timeout=20)
        except MajordomoError as error:
            print(error)
"""


@pytest.mark.parametrize("parse", [Registry.parse, Registry.parse_image], ids=["chain", "image chain"])
def test_whoever_passes_a_chain_on_needs_no_variable(server, monkeypatch, parse):
    """Dask's scheduler unpickles what it hands to the workers, and pickles it again."""
    monkeypatch.setenv("LLM_BOX", server.dsn())
    sent = pickle.dumps(parse(Registry(), "box/m"))
    monkeypatch.delenv("LLM_BOX")
    passed_on = pickle.dumps(pickle.loads(sent))
    monkeypatch.setenv("LLM_BOX", server.dsn())
    pickle.loads(passed_on).generate("Hi", timeout=30)
    assert [seen.model for seen in server.requests] == ["m"]


def test_a_file_of_cooldowns_travels(tmp_path):
    """By its path: who is down for one is down for the other."""
    registry = Registry({}, health=tmp_path / "health")
    registry.health.failed("box/m", ErrorKind.QUOTA, 0.0)
    twin = pickle.loads(pickle.dumps(registry))
    assert 0 < twin.health.due("box/m") <= 300


def test_whoever_watches_a_chain_stays_behind(server, monkeypatch):
    """What is told of each try is told in its own process."""
    monkeypatch.setenv("LLM_BOX", server.dsn())
    tried = []
    chain = Registry(retries=3).parse("box/m")._watched(lambda name: tried.append(name))
    twin = pickle.loads(pickle.dumps(chain))
    assert twin.policy.retries == 3
    twin.generate("Hi", timeout=30)
    assert tried == []
    chain.generate("Hi", timeout=30)
    assert tried == ["box/m"]


# What is read, and what is in the bytes

READER = """
import os, pickle, sys
class Environ(dict):
    asked = set()
    def get(self, name, default=None):
        self.asked.add(name)
        return super().get(name, default)
os.environ = Environ(os.environ)
found = pickle.loads(sys.stdin.buffer.read())
print(*sorted(Environ.asked))
print(*sorted(name for name in sys.modules if name.startswith("majordomo.")))
"""


def read(value, **environ):
    """The variables that somebody who unpickles a value reads, and the modules that he loads."""
    asked, loaded = run("-c", READER, stdin=pickle.dumps(value), **environ).decode().splitlines()
    return set(asked.split()), set(loaded.split())


def test_a_chain_reads_its_own_variables_alone(server):
    """And, of a registry that has none in code, where cooldowns are kept."""
    registry = Registry({name: server.dsn() for name in ("LLM_BOX", "LLM_OTHER")})
    registry.register_alias("both", "box/m, lab/n")
    environ = {"LLM_BOX": server.dsn(), "LLM_OTHER": "nonsense", "OPENAI_API_KEY": TOKEN}
    registry.register_provider("lab", server.dsn())
    asked, _ = read(registry.parse("both"), LLM_LAB=server.dsn(), **environ)
    assert asked - {"MAJORDOMO_HEALTH"} == {"LLM_BOX", "LLM_LAB"}


def test_a_registry_reads_nothing():
    """It is lazy in a worker, too."""
    registry = Registry({"LLM_BOX": "openai://h"}, retries=1)
    registry.register_alias("fast", "box/m")
    assert read(registry)[0] == set()


@pytest.mark.parametrize("failed", [False, True], ids=["answer", "error"])
def test_results_are_read_without_the_rest(server, failed):
    """Whoever collects answers and errors loads neither chains nor HTTP, and reads no variable."""
    server.add(Status(400, "no") if failed else Reply("Yes."))
    registry = Registry({"LLM_BOX": server.dsn()})
    asked, loaded = read(outcome(registry.parse("box/m")))
    assert asked == set()
    assert not loaded & {"majordomo.registry", "majordomo.chain", "majordomo._http", "majordomo.providers"}


def outcome(model, **options):
    """A response, or the error in its place."""
    try:
        return model.generate("Hi", timeout=30, **options)
    except MajordomoError as error:
        return error


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("scheme", ["openai", "anthropic", "google", "ollama", "llama-swap"])
def test_no_token_is_in_the_bytes(server, scheme, protocol):
    """Not as it is, not encoded, not in part: of whatever has known it, answers and errors that repeat it included."""
    dsn = server.dsn(scheme, TOKEN)
    registry = Registry({"LLM_BOX": dsn, "LLM_FAST": "box/m"}, retries=0)
    registry.load_env({"LLM_LOADED": dsn})
    registry.register_provider("coded", dsn)
    chain, talk = registry.parse("fast, loaded/m, coded/m"), Conversation(registry.parse("box/m"))
    talk.ask("Hi", timeout=30)
    server.add(Status(400, f"{TOKEN} or {quote(TOKEN, safe='')} is wrong"), cut(Reply("x")), Status(500, TOKEN))
    results = [outcome(chain), talk.ask("And?", timeout=30)]
    assert TOKEN in str([seen.headers for seen in server.requests])
    assert "is wrong" in str(results[0])
    for value in (registry, chain, chain.generate, chain.stream, registry.parse_image("box/m"), talk, *results):
        assert hidden(pickle.dumps(value, protocol))


# Copies, and what comes of them


WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{str(p): lambda value, protocol=p: pickle.loads(pickle.dumps(value, protocol)) for p in PROTOCOLS},
}
each_way = pytest.mark.parametrize("again", WAYS.values(), ids=WAYS)


@pytest.mark.parametrize("made", [copy.copy, copy.deepcopy], ids=["copy", "deepcopy"])
def test_copies_of_chains_and_registries_are_themselves(server, made):
    """They never change, or are shared on purpose; a copy that has lost its variables would be of no use."""
    registry = Registry({"LLM_BOX": server.dsn()})
    for value in (registry, registry.parse("box/m"), registry.parse_image("box/m")):
        assert made(value) is value


@each_way
def test_a_conversation_goes_on_where_it_was(server, monkeypatch, again):
    """With its turns, its settings and its tools; the one it was made from does not hear of it."""
    monkeypatch.setenv("LLM_BOX", server.dsn())
    talk = Conversation(Registry().parse("box/m"), "Be brief.", [double], token_budget=5000, max_turns=3)
    talk.ask("One?", timeout=30)
    twin = again(talk)
    said = twin.ask("Two?", timeout=30)
    assert [message.role for message in said.messages] == ["user", "assistant"] * 2
    assert (len(talk.messages), twin.system, twin.token_budget, twin.max_turns) == (2, "Be brief.", 5000, 3)
    assert [tool["function"]["name"] for tool in server.requests[-1].json["tools"]] == ["double"]


def double(number: int) -> int:
    """Twice a number."""
    return 2 * number


@each_way
def test_results_of_many_prompts(server, monkeypatch, again):
    """Answers and errors, as a list that a worker gives back; requests that it was given."""
    monkeypatch.setenv("LLM_BOX", server.dsn())
    server.add(*[lambda seen: Status(400, "no") if seen.json["messages"][-1]["content"] == "b" else Reply("Yes.")] * 3)
    prompts = again([Request([user(letter)], max_tokens=5) for letter in "abc"])
    results = list(generate_many(again(Registry().parse("box/m")), prompts, timeout=30))
    twins = again(results)
    assert [type(twin) for twin in twins] == [type(result) for result in results]
    assert (twins[0], twins[2]) == (results[0], results[2])
    assert isinstance(twins[1], APIError)
    assert (vars(twins[1]), str(twins[1])) == (vars(results[1]), str(results[1]))


# step -> the class of its error
FAILURES = {
    "no": (Status(400, "no"), APIError),
    "cut": (cut(Reply("Hello"), after=20), TransportError),
    "late": (hang(), DeadlineError),
}


@each_way
@pytest.mark.parametrize("name", FAILURES)
def test_errors_survive_whatever_their_causes_are(server, again, name):
    """A cause holds sockets, locks and frames; the error says without it what it said, and means the same."""
    step, kind = FAILURES[name]
    server.add(step)
    with pytest.raises(kind) as caught:
        Registry({"LLM_BOX": server.dsn()}, retries=0).parse("box/m").generate(
            "Hi", timeout=0.1 if name == "late" else 30
        )
    error = caught.value
    error.__cause__ = Unsaved()
    twin = again(error)
    assert (type(twin), str(twin), vars(twin)) == (kind, str(error), vars(error))
    assert len(twin.attempts) == 1
    assert classify(twin) is classify(error)


class Unsaved(Exception):
    """A cause that does not pickle."""

    def __init__(self) -> None:
        super().__init__("held")
        self.lock = threading.Lock()

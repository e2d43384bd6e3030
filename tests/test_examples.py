"""The examples, run as their users run them, against a fake server."""

from __future__ import annotations

import ast
import http.client
import json
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import pytest

import majordomo
from majordomo import ToolCall
from majordomo.testing import Raw, Reply, Status, endless, hang

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
FILES = {path.stem: path for path in sorted(EXAMPLES.glob("*.py"))}
FOREIGN = {"on_dask": {"dask"}, "testing_your_code": {"pytest"}}  # all others need the standard library alone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

pytestmark = pytest.mark.skipif(os.name != "posix", reason="cron, and programs that are shell scripts")


def echo(seen):
    """An answer that shows what was asked, whoever asks first."""
    return Reply("re: " + seen.json["messages"][-1]["content"])


def mood(seen):
    """An answer by a schema, and one that is refused."""
    if "refused" in seen.json["messages"][-1]["content"]:
        return Status(400, {"error": {"message": "no", "code": "content_filter"}})
    return Reply('{"value": "pleased"}')


def lines(*rows):
    """Rows as lines of JSON."""
    return "".join(json.dumps(row) + "\n" for row in rows)


HELLO = Reply("Hello.")
BUSY = Status(429, headers={"Retry-After": "86400"})  # longer than anybody waits
DEAD = "llama-swap://127.0.0.1:1"  # nobody listens there
FAILOVER = {"MAJORDOMO_MODEL": "dead/any, box/any"}
BOTH = {"MAJORDOMO_MODEL": "box/any, box/other"}
CALLS = [
    Reply(tool_calls=[ToolCall("1", "screenshot", {}), ToolCall("2", "goto", {"url": "https://example.test/"})]),
    Reply(tool_calls=[ToolCall("3", "click", {"x": 5, "y": 5}), ToolCall("4", "screenshot", {})]),
]


@dataclass
class Row:
    """A run of an example, and all that must come of it.

    arguments, stdin, env, files: what it is given; it runs in a folder of its own. script,
    default: what the server says. out: standard output. err: a pattern for standard error. asked:
    for each request something that stands in it, in any order. left: files that it made or changed.
    """

    example: str
    arguments: Sequence[str] = ()
    stdin: str = ""
    env: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    script: Sequence[Any] = ()
    default: Any = HELLO
    status: int = 0
    out: str = ""
    err: str = ""
    asked: Sequence[str] = ()
    left: dict[str, str] = field(default_factory=dict)


LOG = {"backup.log": "x" * 40_000 + " disk full\n", "result.txt": "old\n"}
SAME = {"result.txt.lock": ""}
ANSWER = {"answer": '#!/bin/sh\nread question\necho "$* says: $question"\n'}

ROWS = {
    "cron: the result is replaced and nothing is printed": Row(
        "cron_job",
        ("backup.log", "result.txt"),
        files=LOG,
        env=FAILOVER,
        asked=["xxx disk full"],
        left={**SAME, "result.txt": "Hello.\n"},
    ),
    "cron: one line of complaint, and the old result stays": Row(
        "cron_job",
        ("backup.log", "result.txt"),
        files=LOG,
        env=BOTH,
        default=BUSY,
        status=1,
        err=r"cron_job: no target of the chain answered; box/any: failed.*429; box/other: failed.*429\n",
        asked=["disk full"] * 2,
        left=SAME,
    ),
    "cron: an answer that was cut is no result": Row(
        "cron_job",
        ("backup.log", "result.txt"),
        files=LOG,
        default=Reply("The disk is", stop_reason="length"),
        status=1,
        err=r"cron_job: box/any gave no whole answer \(length, \d+ characters\)\n",
        asked=["disk full"],
        left=SAME,
    ),
    "cron: a log that is not there": Row(
        "cron_job", ("no.log", "result.txt"), status=1, err=r"cron_job: .*no\.log[^\n]*\n", left=SAME
    ),
    "worker: tasks are tried again later, or put aside": Row(
        "worker",
        ("tasks.txt", "--workers", "1", "--waits", "0", "0.01", "0.02"),
        files={"tasks.txt": "first\nsecond\nfirst\n"},
        script=[
            Status(401, "expired"),
            Status(400, {"error": {"message": "too long", "code": "context_length_exceeded"}}),
            BUSY,
        ],
        default=echo,
        status=1,
        out=lines({"task": "first", "text": "re: first"}, {"task": "first", "text": "re: first"}),
        err=r'\{"task": "second", "kind": "too_long", "error": "box/any: HTTP 400[^\n]*\n',
        asked=["first"] * 4 + ["second"],
    ),
    "worker: what nobody can do is told at the end": Row(
        "worker",
        ("tasks.txt", "--workers", "2", "--waits", "0", "0.01"),
        files={"tasks.txt": "first\nsecond\n"},
        default=BUSY,
        status=1,
        err=r'(\{"task": "(first|second)", "kind": "rate_limited", "error": "box/any: HTTP 429"\}\n){2}',
        asked=["first", "second"] * 2,
    ),
    "agent: it goes, clicks, and sees pictures": Row(
        "agent_with_screenshots",
        ("What colour?", "And before?"),
        script=[*CALLS, Reply("Blue."), Reply("Red.")],
        out="Blue.\nRed.\n",
        err=r"screenshot\(\{\}\): ValueError: no page is open\n"
        r"goto\(.*\): opened https://example\.test/\n"
        r"click\(.*\): opened https://example\.test/next\n"
        r"screenshot\(\{\}\): a picture\n",
        asked=["What colour?", "no page is open", "data:image/png;base64,", "And before?"],
    ),
    "agent: it gives up when its model does": Row(
        "agent_with_screenshots",
        script=[CALLS[1], BUSY],
        status=1,
        err=r"click\(.*\n(.*\n)+gave up after 3 messages: box/any: HTTP 429.*\n",
        asked=["What colour is", "data:image/png;base64,"],
    ),
    "local: the cloud answers, and who is down is not asked twice": Row(
        "local_then_cloud",
        ("first", "second"),
        stdin="A text.",
        env={"LLM_LOCAL": "{dsn}", "LLM_ANYWHERE": "local/down, box/any"},
        default=lambda seen: BUSY if seen.model == "down" else echo(seen),
        out="re: first\n\nA text.\nre: second\n\nA text.\n",
        err=r"local/down: failed \(rate_limited\).*\nbox/any: answered.*\n"
        r"local/down: skipped: cooling down.*\nbox/any: answered.*\n"
        r"local/down http://\S+: open for 86\d+ s more, 1 failures in a row\n",
        asked=["first", "first", "second"],
    ),
    "local: what is private is asked at home alone": Row(
        "local_then_cloud",
        ("--private", "secret"),
        env={"LLM_LOCAL": DEAD, "LLM_ANYWHERE": "box/any"},
        status=1,
        err=r"(local/qwen3:\S+: failed \(transient\).*\n){4}no target of the chain answered\n",
    ),
    "own scheme: the program answers": Row(
        "own_scheme",
        ("tool/small, box/any", "Why?"),
        files=ANSWER,
        env={"LLM_TOOL": "program://{tmp}/answer?format=plain"},
        out="tool/small: --model small --format plain says: Why?\n",
    ),
    "own scheme: the chain goes on when it fails": Row(
        "own_scheme",
        ("tool/small, gone/any, box/any", "Why?"),
        files={"answer": "#!/bin/sh\necho no memory >&2\nexit 3\n"},
        env={"LLM_TOOL": "program://{tmp}/answer", "LLM_GONE": "program:///no/such/program"},
        out="box/any: Hello.\n",
        asked=["Why?"],
    ),
    "own scheme: a program that hangs is killed in time": Row(
        "own_scheme",
        ("tool/small", "Why?", "0.3"),
        files={"answer": "#!/bin/sh\nsleep 40\n"},
        env={"LLM_TOOL": "program://{tmp}/answer"},
        status=1,
        err=r"own_scheme: tool/small: no answer within the timeout of 0\.3 s[^\n]*\n",
    ),
    "batch: results in order, failures among them": Row(
        "batch_of_prompts",
        stdin="Lovely.\nTo be refused.\nGreat.\n",
        default=mood,
        status=1,
        out=r'{"line": 1, "mood": "pleased", "model": "box/any"}'
        '\n{"line": 2, "kind": "filtered", "error": "box/any: HTTP 400 content_filter: no"}'
        '\n{"line": 3, "mood": "pleased", "model": "box/any"}\n',
        asked=["Lovely.", "To be refused.", "Great."],
    ),
    "processes: answers in order, by whoever is alive": Row(
        "many_processes",
        stdin="one\ntwo\nthree\n",
        env=FAILOVER,
        default=echo,
        out="".join(f"{n}: re: {n} (box/any, 7 tokens)\n" for n in ("one", "two", "three")),
        asked=["one", "two", "three"],
    ),
    "processes: errors come back whole": Row(
        "many_processes",
        stdin="one\n",
        env=BOTH,
        default=BUSY,
        status=1,
        err=r"one: no target of the chain answered\n  box/any: failed.*429\n  box/other: failed.*429\n",
        asked=["one"] * 2,
    ),
    "dask: answers and errors": Row(
        "on_dask",
        stdin="one\nfails\n",
        default=lambda seen: Status(401) if "fails" in seen.body.decode() else echo(seen),
        status=1,
        out="one: re: one\n",
        err=r"fails: box/any: HTTP 401.*\n",
        asked=["one", "fails"],
    ),
}


@pytest.fixture
def server(server):
    """One with its own default, whatever the test before has put in its place."""
    server.default = HELLO
    return server


def command(*arguments):
    """Python as a strict user runs it."""
    return [sys.executable, "-X", "dev", "-W", "error", *arguments]


def environ(server, tmp_path, **more):
    """All the variables that an example finds."""
    given = {"LLM_BOX": "{dsn}", "LLM_DEAD": DEAD, "MAJORDOMO_MODEL": "box/any", **more}
    given = {name: value.format(dsn=server.dsn(), tmp=tmp_path) for name, value in given.items()}
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **given}


def run(row, server, tmp_path):
    """Run an example to its end."""
    server.add(*row.script)
    server.default = row.default
    return subprocess.run(
        command(str(FILES[row.example]), *row.arguments),
        env=environ(server, tmp_path, **row.env),
        cwd=tmp_path,
        input=row.stdin,
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_examples(row, server, tmp_path):
    """What it prints, its status, what the server was asked, and which files it left."""
    for name in FOREIGN.get(row.example, ()):
        pytest.importorskip(name)
    for name, text in row.files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    done = run(row, server, tmp_path)
    assert (done.returncode, done.stdout) == (row.status, row.out), done.stderr
    assert re.fullmatch(row.err, done.stderr), done.stderr
    bodies = [seen.body.decode() for seen in server.requests if seen.method == "POST"]
    assert len(bodies) == len(row.asked)
    for part in set(row.asked):
        assert sum(part in body for body in bodies) >= row.asked.count(part), part
    left = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert left == {**row.files, **row.left}


def test_a_cron_job_that_is_killed(server, tmp_path):
    """Two do not run at once; kill -9 leaves the old result, and nothing in the way of the next run."""
    row = ROWS["cron: the result is replaced and nothing is printed"]
    for name, text in row.files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    server.add(hang())
    first = subprocess.Popen(
        command(str(FILES["cron_job"]), *row.arguments), env=environ(server, tmp_path), cwd=tmp_path
    )
    try:
        wait_for(lambda: server.requests)
        second = run(row, server, tmp_path)
        assert (second.returncode, second.stderr) == (1, "cron_job: the run before is still at it\n")
    finally:
        first.kill()
        first.wait()
    assert (tmp_path / "result.txt").read_text() == "old\n"
    assert run(row, server, tmp_path).returncode == 0
    assert (tmp_path / "result.txt").read_text() == "Hello.\n"


def test_a_cron_job_on_a_full_disk(server, tmp_path):
    """What cannot be written whole is not written: the old result stays."""
    server.default = Reply("word " * 2000)
    (tmp_path / "log").write_text("all is well")
    (tmp_path / "result").write_text("old\n")
    done = subprocess.run(
        ["sh", "-c", 'ulimit -f 1; exec "$@"', "sh", *command(str(FILES["cron_job"]), "log", "result")],
        env=environ(server, tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert re.fullmatch(r"cron_job: .*File too large.*\n", done.stderr)
    assert (tmp_path / "result").read_text() == "old\n"


def test_the_next_cron_job_knows_who_is_down(server, tmp_path):
    """The memory of MAJORDOMO_HEALTH outlives a run: who asks to be left alone for a day is not asked an hour later."""
    server.default = lambda seen: BUSY if seen.model == "first" else Reply("Hello.")
    (tmp_path / "log").write_text("all is well")
    given = environ(server, tmp_path, MAJORDOMO_MODEL="box/first, box/second", MAJORDOMO_HEALTH="{tmp}/health")
    for _ in range(2):
        subprocess.run(command(str(FILES["cron_job"]), "log", "result"), env=given, cwd=tmp_path, check=True)
    assert [seen.model for seen in server.requests] == ["first", "second", "second"]


def wait_for(happened):
    """Wait until something is so; half a minute at most."""
    until = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_testing_your_code(tmp_path):
    """The tests that users copy pass."""
    done = subprocess.run(
        command("-m", "pytest", "-q", "-p", "no:cacheprovider", str(FILES["testing_your_code"])),
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"^\d+ passed", done.stdout, re.MULTILINE)


# The web view


@contextmanager
def serving(server, tmp_path, seconds):
    """The web view in a process of its own, with a visitor: `ask(path, question)` gives the response."""
    connections = []

    def ask(path, question):
        connections.append(http.client.HTTPConnection(address, timeout=30))
        connections[-1].request("POST", path, question.encode())
        return connections[-1].getresponse()

    started = {"env": environ(server, tmp_path, ASK_TIMEOUT=seconds), "stdout": subprocess.PIPE, "text": True}
    with (
        (tmp_path / "log").open("w+") as log,
        subprocess.Popen(command(str(FILES["web_view"]), "0"), stderr=log, **started) as process,
    ):
        try:
            address = process.stdout.readline().strip().partition("//")[2]
            yield ask
        finally:
            for connection in connections:
                connection.close()
            process.terminate()
        process.wait()
        log.seek(0)
        assert "Warning" not in log.read()


@pytest.fixture(scope="module")
def view(shared, tmp_path_factory):
    """One view for many visits."""
    with serving(shared, tmp_path_factory.mktemp("view"), "20") as ask:
        yield ask


TOO_LONG = Status(400, {"error": {"message": "too long", "code": "context_length_exceeded"}})


@pytest.mark.parametrize("path", ["/ask", "/stream"])
@pytest.mark.parametrize(
    ("step", "status"),
    [(Reply("Grüße."), 200), (BUSY, 503), (Status(401, "bad key"), 503), (TOO_LONG, 413)],
    ids=["answered", "busy", "bad key", "too long"],
)
def test_the_web_view(server, view, path, step, status):
    """A failure has the status of its kind, before a stream too; a visitor is told when to come back, and no more."""
    server.default = step
    response = view(path, "Hi")
    assert response.status == status
    assert response.read().decode() == ("Grüße." if status == 200 else HTTPStatus(status).phrase + "\n")
    assert (response.headers["Retry-After"] is not None) is (status == 503)
    assert [seen.json["messages"][0]["content"] for seen in server.requests] == ["Hi"]


@pytest.mark.parametrize(
    ("path", "question", "status"), [("/", "Hi", 404), ("/ask", "", 400), ("/ask", "x" * 20_001, 413)]
)
def test_the_web_view_refuses(server, view, path, question, status):
    """What is no question asks nobody."""
    assert view(path, question).status == status
    assert server.requests == []


def test_the_web_view_and_time(server, tmp_path):
    """A server that hangs is left in time: the web server's own limit is not reached."""
    server.default = hang()
    with serving(server, tmp_path, "0.2") as ask:
        assert [ask(path, "Hi").status for path in ("/ask", "/stream")] == [504, 504]


def test_the_web_view_and_a_visitor_who_leaves(server, view):
    """A stream comes piece by piece, and ends with its reader: this view serves nobody else before."""
    event = b'data: {"choices": [{"delta": {"content": "word "}}]}\n\n'
    head = Raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + event)
    server.add(endless(event, head, after=len(head.data), seconds=0.01))
    leaves = view("/stream", "Hi")
    assert leaves.read(9) == b"word word"
    leaves.close()
    assert view("/ask", "Hi").read() == b"Hello."


# The folder


@pytest.mark.parametrize("name", FILES)
def test_every_example_is_told_of(name):
    """It stands in the table, says what it shows and how it is run, is short, compiles, and has a test."""
    text = FILES[name].read_text(encoding="utf-8")
    told = ast.get_docstring(compile(text, name, "exec", ast.PyCF_ONLY_AST))
    compile(text, name, "exec", dont_inherit=True)
    assert re.search(rf"\| \[{name}\.py\]\({name}\.py\) \| .+ \|", (EXAMPLES / "README.md").read_text(encoding="utf-8"))
    assert f"{name}.py" in told or f"{name}:app" in told
    assert len(text.splitlines()) < 100
    assert name in {row.example for row in ROWS.values()} | {"testing_your_code", "web_view"}


@pytest.mark.parametrize("name", FILES)
def test_examples_need_nothing_else(name):
    """They import the face, the standard library, and what they are about."""
    tree = ast.parse(FILES[name].read_text(encoding="utf-8"))
    foreign = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in ("majordomo", "majordomo.testing"):
            face = majordomo if node.module == "majordomo" else majordomo.testing
            assert {alias.name for alias in node.names} <= set(face.__all__)
        elif isinstance(node, ast.ImportFrom):
            foreign.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Import):
            foreign |= {alias.name.partition(".")[0] for alias in node.names}
    if hasattr(sys, "stdlib_module_names"):
        assert foreign - sys.stdlib_module_names <= FOREIGN.get(name, set())

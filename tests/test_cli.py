"""The command line: what goes to which stream, and with which status it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from majordomo import Usage
from majordomo.testing import FakeServer, Reply, Status, cut

ROOT = Path(__file__).parent.parent
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01"


@pytest.fixture
def server():
    """A fake server."""
    with FakeServer() as running:
        yield running


def run(*arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, in an environment of its own."""
    clean = {n: v for n, v in os.environ.items() if not n.startswith(("LLM_", "OPENAI_", "MAJORDOMO_"))}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "majordomo", *arguments],
        env={**clean, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **env},
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def test_demo():
    """The demo does the main job for real and ends well."""
    done = run("demo")
    assert (done.returncode, done.stderr) == (0, "")
    for told in (
        "Because air scatters blue light",
        "refused the connection",
        "cooling down",
        "64 x 48",
        "City(name='Bergen', people=291940)",
        'days: expected integer, got "three"',
        "DeadlineError",
    ):
        assert told in done.stdout


@pytest.mark.parametrize("how", [[], ["--no-stream"]], ids=["streamed", "whole"])
def test_ask(server, how):
    """The answer alone goes to standard output."""
    server.add(Reply("Grüße, 😀."))
    done = run("ask", "-m", "box/m", "-s", "Be kind.", "--timeout", "20", *how, "Hello", LLM_BOX=server.dsn())
    assert (done.returncode, done.stdout, done.stderr) == (0, "Grüße, 😀.\n", "")
    asked = server.requests[0].json
    assert [message["content"] for message in asked["messages"]] == ["Be kind.", "Hello"]
    assert asked.get("stream", False) is not bool(how)


@pytest.mark.parametrize(
    ("argument", "stdin", "sent"),
    [("Hello", "", "Hello"), (None, "From a pipe.\n", "From a pipe.\n"), ("Sum up:", "A text.", "Sum up:\n\nA text.")],
    ids=["argument", "standard input", "both"],
)
def test_prompt(server, argument, stdin, sent):
    """The prompt comes from the argument, from standard input, or from both."""
    done = run("ask", "-m", "box/m", *([argument] if argument else []), stdin=stdin, LLM_BOX=server.dsn())
    assert done.returncode == 0
    assert server.requests[0].json["messages"][-1]["content"] == sent


def test_default_model(server):
    """`-m` defaults to MAJORDOMO_MODEL."""
    done = run("ask", "Hi", LLM_BOX=server.dsn(), MAJORDOMO_MODEL="box/m")
    assert (done.returncode, done.stdout) == (0, "Hello from the fake server.\n")


def test_json(server):
    """`--json` prints the whole response."""
    server.add(Reply("Yes.", thinking="Hm.", usage=Usage(3, 2, 0, 1)))
    done = run("ask", "-m", "box/m", "--json", "Hi", LLM_BOX=server.dsn())
    told = json.loads(done.stdout)
    assert (told["model"], told["usage"]["output_tokens"], told["attempts"][0]["outcome"]) == ("box/m", 2, "answered")


def test_schema_and_image(server, tmp_path):
    """A schema and pictures come from files; the answer to a schema is JSON on one line."""
    (tmp_path / "schema.json").write_text('{"type": "object"}')
    (tmp_path / "dot.jpg").write_bytes(PNG)
    server.add(Reply('```json\n{"colour": "red"}\n```'))
    files = ["--schema", str(tmp_path / "schema.json"), "-i", str(tmp_path / "dot.jpg")]
    done = run("ask", "-m", "box/m", *files, "Which colour?", LLM_BOX=server.dsn())
    assert (done.returncode, done.stdout) == (0, '{"colour": "red"}\n')
    asked = server.requests[-1].json
    assert asked["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert asked["messages"][0]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")


def test_failure(server):
    """A failure is one line on standard error and status 1; what had arrived stays."""
    server.add(Status(400, {"error": {"message": "no such thing"}}))
    done = run("ask", "-m", "box/m", "Hi", LLM_BOX=server.dsn())
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "majordomo: box/m: HTTP 400: no such thing\n"
    server.add(cut(Reply("half an answer", pieces=["half ", "an answer"]), after=500))
    done = run("ask", "-m", "box/m", "Hi", LLM_BOX=server.dsn())
    assert (done.returncode, done.stdout) == (1, "half \n")


def test_cut_answer(server):
    """An answer that hit its limit is printed, and said to be cut."""
    server.add(Reply("Once upon", stop_reason="length"))
    done = run("ask", "-m", "box/m", "Hi", LLM_BOX=server.dsn())
    assert (done.returncode, done.stdout) == (0, "Once upon\n")
    assert "cut" in done.stderr


WRONG = {
    "no command": [],
    "unknown command": ["sing"],
    "no model": ["ask", "Hi"],
    "no prompt": ["ask", "-m", "box/m"],
    "malformed spec": ["ask", "-m", "box/m,,", "Hi"],
    "unknown provider": ["ask", "-m", "nobody/m", "Hi"],
    "unknown alias": ["ask", "-m", "nobody", "Hi"],
    "no key": ["ask", "-m", "openai/gpt-5", "Hi"],
    "malformed variable": ["ask", "-m", "bad/m", "Hi"],
    "timeout of nothing": ["ask", "-m", "box/m", "--timeout", "0", "Hi"],
    "timeout in words": ["ask", "-m", "box/m", "--timeout", "soon", "Hi"],
    "missing picture": ["ask", "-m", "box/m", "-i", "no/such/file.png", "Hi"],
    "picture that is none": ["ask", "-m", "box/m", "-i", __file__, "Hi"],
    "schema that is none": ["ask", "-m", "box/m", "--schema", __file__, "Hi"],
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use(case):
    """A mistake at the prompt is told in words, ends with status 2, and shows no traceback and no token."""
    done = run(*WRONG[case], LLM_BOX="llama-swap://127.0.0.1:9", LLM_BAD="openai://secret word@host")
    assert done.returncode == 2
    assert done.stdout == "" or case == "no command"
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr


def test_a_closed_pipe(server):
    """A reader that leaves early ends the command without a traceback."""
    server.default = Reply("word " * 20_000)
    command = f"{sys.executable} -m majordomo ask -m box/m --no-stream Hi < /dev/null | head -c 5"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "LLM_BOX": server.dsn()}
    done = subprocess.run(command, shell=True, env=env, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("word ", "")


def test_a_terminal_that_knows_no_umlauts(server):
    """What the locale cannot show is replaced, not a crash."""
    server.add(Reply("Grüße"))
    done = run("ask", "-m", "box/m", "Hi", LLM_BOX=server.dsn(), PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout) == (0, "Gr??e\n")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no terminals of that kind here")
@pytest.mark.parametrize("how", [[], ["--no-stream"]], ids=["streamed", "whole"])
def test_a_terminal_is_not_driven(server, how):
    """What an answer holds of control characters is not carried out by a terminal; a file gets it as it is."""
    text = "\x1b[2J\x9b2Jred\talert\x07\r\nend"
    server.add(Reply(text), Reply(text))
    arguments = ["ask", "-m", "box/m", *how, "Hello"]
    assert run(*arguments, LLM_BOX=server.dsn()).stdout == text.replace("\r\n", "\n") + "\n"  # as it is read here
    ours, theirs = os.openpty()
    try:
        subprocess.run(
            [sys.executable, "-m", "majordomo", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "LLM_BOX": server.dsn()},
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            check=True,
        )
        shown = os.read(ours, 4096).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert shown == "�[2J�2Jred\talert�\r\nend\r\n"

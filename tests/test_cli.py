"""The command line: what goes to which stream, and with which status it ends."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from majordomo import Registry, Usage, cli
from majordomo.testing import Drawing, Reply, Status, cut, dead_port, hang

ROOT = Path(__file__).parent.parent
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01"
SECRET = "sk-0123456789abcdef"
WAIT = 30.0  # seconds that a loaded machine may take for anything here
MINE = ("LLM_", "MAJORDOMO_", "OPENAI_", "ANTHROPIC_", "GEMINI_", "GOOGLE_", "OLLAMA_", "COLUMNS", "NO_COLOR", "PYTHON")


@pytest.fixture
def run(monkeypatch, capsys):
    """The command line in this process: `run(*arguments, stdin=bytes, **variables)`; closed input if None."""

    def run(*arguments: str, stdin: bytes | None = None, **env: str) -> SimpleNamespace:
        with monkeypatch.context() as patched:
            for name in [name for name in os.environ if name.startswith(MINE)]:
                patched.delenv(name)
            for name, value in env.items():
                patched.setenv(name, value)
            patched.setattr(sys, "stdin", None if stdin is None else io.TextIOWrapper(io.BytesIO(stdin)))
            status = cli.main(list(arguments))
        out, err = capsys.readouterr()
        return SimpleNamespace(returncode=status, stdout=out, stderr=err)

    yield run
    Registry.default().health.reset()


def command(*arguments: str) -> list[str]:
    """The command line as a process of its own is given it."""
    return [sys.executable, "-W", "error", "-m", "majordomo", *arguments]


def environ(**env: str) -> dict[str, str]:
    """The environment of such a process."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith((*MINE, "LC_", "LANG"))}
    return {**clean, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **env}


def spawn(*arguments: str, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    done = subprocess.run(command(*arguments), env=environ(**env), input=stdin, capture_output=True, check=False)
    return SimpleNamespace(returncode=done.returncode, stdout=done.stdout.decode(), stderr=done.stderr.decode())


def shell(line: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A line of a shell, in which `"$@"` is the command line."""
    words = ["sh", "-c", line, "sh", *command(*arguments)]
    return subprocess.run(words, env=environ(**env), capture_output=True, text=True, encoding="utf-8", check=False)


@pytest.fixture(params=["", "1"], ids=["buffered", "unbuffered"])
def buffering(request):
    """Both kinds of standard streams: those of a shell, and those of most containers."""
    return {"PYTHONUNBUFFERED": request.param}


# What is asked, and what comes back.


def test_demo():
    """The demo does the main job for real and ends well."""
    done = spawn("demo")
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
def test_ask(server, run, how):
    """The answer alone goes to standard output."""
    server.add(Reply("Grüße, 😀."))
    done = run("ask", "-m", "box/m", "-s", "Be kind.", "--timeout", "20", *how, "Hello", LLM_BOX=server.dsn())
    assert (done.returncode, done.stdout, done.stderr) == (0, "Grüße, 😀.\n", "")
    asked = server.requests[0].json
    assert [message["content"] for message in asked["messages"]] == ["Be kind.", "Hello"]
    assert asked.get("stream", False) is not bool(how)


def test_options_of_a_request(server, run):
    """Options reach the model under the names that it knows."""
    options = ["--max-tokens", "7", "--temperature", "0.5", "--reasoning", "high"]
    assert run("ask", "-m", "box/m", *options, "Hi", LLM_BOX=server.dsn("openai", path="/v1")).returncode == 0
    asked = server.requests[0].json
    assert (asked["max_completion_tokens"], asked["temperature"], asked["reasoning_effort"]) == (7, 0.5, "high")


@pytest.mark.parametrize(
    ("argument", "stdin", "sent"),
    [
        ("Hello", b"", "Hello"),
        ("Hello", None, "Hello"),
        (None, b"From a pipe.\n", "From a pipe.\n"),
        ("Sum up:", "\ufeffA täxt.".encode(), "Sum up:\n\nA täxt."),
    ],
    ids=["argument", "closed input", "standard input", "both"],
)
def test_prompt(server, run, argument, stdin, sent):
    """The prompt comes from the argument, from standard input, or from both."""
    done = run("ask", "-m", "box/m", *([argument] if argument else []), stdin=stdin, LLM_BOX=server.dsn())
    assert done.returncode == 0
    assert server.requests[0].json["messages"][-1]["content"] == sent


def test_default_model(server, run):
    """`-m` defaults to MAJORDOMO_MODEL."""
    done = run("ask", "Hi", LLM_BOX=server.dsn(), MAJORDOMO_MODEL="box/m")
    assert (done.returncode, done.stdout) == (0, "Hello from the fake server.\n")


def test_json(server, run):
    """`--json` prints the whole response."""
    server.add(Reply("Yes.", thinking="Hm.", usage=Usage(3, 2, 0, 1)))
    done = run("ask", "-m", "box/m", "--json", "Hi", LLM_BOX=server.dsn())
    told = json.loads(done.stdout)
    assert (told["model"], told["usage"]["output_tokens"], told["attempts"][0]["outcome"]) == ("box/m", 2, "answered")


def test_schema_and_image(server, run, tmp_path):
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


def test_failure(server, run):
    """A failure is one line on standard error and status 1; what had arrived stays."""
    server.add(Status(400, {"error": {"message": "no such thing"}}))
    done = run("ask", "-m", "box/m", "Hi", LLM_BOX=server.dsn())
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "majordomo: box/m: HTTP 400: no such thing\n"
    server.add(cut(Reply("half an answer", pieces=["half ", "an answer"]), after=500))
    done = run("ask", "-m", "box/m", "Hi", LLM_BOX=server.dsn())
    assert (done.returncode, done.stdout) == (1, "half \n")


def test_cut_answer(server, run):
    """An answer that hit its limit is printed, and said to be cut."""
    server.add(Reply("Once upon", stop_reason="length"))
    done = run("ask", "-m", "box/m", "Hi", LLM_BOX=server.dsn())
    assert (done.returncode, done.stdout) == (0, "Once upon\n")
    assert "cut" in done.stderr


def test_models(server, run):
    """The models of a provider are listed one a line."""
    done = run("models", "box", LLM_BOX=server.dsn())
    assert (done.returncode, done.stdout, done.stderr) == (0, "org/vision:8b\nqwen3:14b\n", "")
    assert run("models", "dead", LLM_DEAD=f"llama-swap://127.0.0.1:{dead_port()}").returncode == 1


def test_running_and_unload(server, run):
    """What runs is told as the server's JSON; what was unloaded is not there any more."""
    box = {"LLM_BOX": server.dsn()}
    run("ask", "-m", "box/qwen3:14b", "Hi", **box)
    done = run("running", "box", **box)
    assert [row["model"] for row in json.loads(done.stdout)["running"]] == ["qwen3:14b"]
    done = run("unload", "box", "qwen3:14b", **box)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads(run("running", "box", **box).stdout) == {"running": []}
    assert run("unload", "box", **box).returncode == 0


def test_unload_of_an_unknown_model(server, run):
    """A model that is not there is told with the command that lists those that are."""
    done = run("unload", "box", "nope", LLM_BOX=server.dsn())
    assert done.returncode == 1
    assert done.stderr == "majordomo: box knows no model nope; majordomo models box lists what it has\n"


def test_image(server, run, tmp_path):
    """A picture is drawn into a file, from a text or from other pictures; what had been there is replaced."""
    file = tmp_path / "dot.png"
    file.write_bytes(b"old")
    done = run("image", "-m", "box/flux", "-o", str(file), "--size", "64x32", "a dot", LLM_BOX=server.dsn())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert file.read_bytes().startswith(b"\x89PNG")
    assert server.requests[0].json["size"] == "64x32"
    other = tmp_path / "other.jpg"
    done = run("image", "-m", "box/flux", "-o", str(other), "-i", str(file), "bluer", LLM_BOX=server.dsn())
    assert done.returncode == 0
    assert done.stderr == f"majordomo: {other} holds a picture of another type: image/png\n"
    assert server.requests[-1].path.endswith("/images/edits")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dot.png", "other.jpg"]


def test_image_that_fails(server, run, tmp_path):
    """A picture that does not come leaves the file as it was."""
    file = tmp_path / "dot.png"
    file.write_bytes(b"old")
    server.add(Status(400))
    assert run("image", "-m", "box/flux", "-o", str(file), "a dot", LLM_BOX=server.dsn()).returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["dot.png"]
    assert file.read_bytes() == b"old"


def test_image_that_cannot_be_kept(server, run, tmp_path, monkeypatch):
    """A picture that cannot be written is a failure that names the file, and nothing is left beside it."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    file = tmp_path / "dot.png"
    done = run("image", "-m", "box/flux", "-o", str(file), "a dot", LLM_BOX=server.dsn())
    assert (done.returncode, done.stderr) == (1, f"majordomo: {file} cannot be written: No space left on device\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "pathconf"), reason="nobody tells how long a name may be here")
def test_an_image_with_a_long_name(server, run, tmp_path):
    """A name that is as long as any can be is written; what is longer is found out before it is paid for."""
    longest = os.pathconf(tmp_path, "PC_NAME_MAX")
    for length, status in ((longest, 0), (longest + 1, 2)):
        done = run("image", "-m", "box/flux", "-o", str(tmp_path / ("n" * length)), "a dot", LLM_BOX=server.dsn())
        assert done.returncode == status
    assert "cannot be written: File name too long" in done.stderr
    assert (len(server.requests), len(list(tmp_path.iterdir()))) == (1, 1)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_image_into_what_is_no_file(server, run, tmp_path):
    """A link stays a link and a pipe stays a pipe: what they lead to is written."""
    os.symlink(tmp_path / "dot.png", tmp_path / "link.png")
    os.mkfifo(tmp_path / "pipe")
    ours = os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK)
    try:
        for name in ("link.png", "pipe"):
            output = str(tmp_path / name)
            assert run("image", "-m", "box/flux", "-o", output, "a dot", LLM_BOX=server.dsn()).returncode == 0
        assert os.read(ours, 4).startswith(b"\x89PNG")
    finally:
        os.close(ours)
    assert (tmp_path / "link.png").is_symlink()
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "dot.png").read_bytes().startswith(b"\x89PNG")


def lines(file: Path) -> list[dict]:
    """The lines of a file, read."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_batch(server, run, tmp_path):
    """Many questions go from file to file; what failed is told, and asked again when that is wanted."""
    questions, answers = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    questions.write_text('{"id": 1, "prompt": "one"}\n{"id": 2, "prompt": "two"}\n')
    arguments = ["batch", "-m", "box/m", str(questions), "-o", str(answers), "--workers", "1", "-s", "Be brief."]
    server.add(Reply("One."), Status(400))
    done = run(*arguments, LLM_BOX=server.dsn())
    assert (done.returncode, done.stdout) == (1, "")
    assert "1 answered, 1 failed" in done.stderr
    assert server.requests[0].json["messages"][0]["content"] == "Be brief."
    assert [line.get("text") for line in lines(answers)] == ["One.", None]
    server.add(Reply("Two."))
    done = run(*arguments, "--retry-failed", LLM_BOX=server.dsn())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [line.get("text") for line in lines(answers)] == ["One.", None, "Two."]
    assert len(server.requests) == 3


def test_batch_of_bad_lines(server, run, tmp_path):
    """A line that cannot be read is told by its number, and makes the status 2; the others are asked."""
    questions = tmp_path / "in.jsonl"
    questions.write_text('{"id": 1, "prompt": "one"}\nnonsense\n')
    done = run("batch", "-m", "box/m", str(questions), "-o", str(tmp_path / "out"), LLM_BOX=server.dsn())
    assert done.returncode == 2
    assert "in.jsonl:2: " in done.stderr
    assert len(lines(tmp_path / "out")) == 1


# `explain`, whose facts `test_explain` knows.


def test_explain(server, run):
    """A spec that is well is told and ends with 0; with `--probe` its targets have answered."""
    env = {"LLM_BOX": server.dsn(token=SECRET), "LLM_CAREFUL": "box/m"}
    done = run("explain", "careful", **env)
    assert (done.returncode, done.stderr) == (0, "")
    for told in ("box/m\n", "alias      careful (LLM_CAREFUL)", "name from  LLM_BOX", "token      set", "healthy"):
        assert told in done.stdout
    assert server.requests == []
    done = run("explain", "--probe", "--timeout", "20", **env, MAJORDOMO_MODEL="careful")
    assert done.returncode == 0
    assert "box/m  answers\n" in done.stdout
    assert "'Hello from the fake server.'" in done.stdout
    assert SECRET not in done.stdout


def test_explain_without_a_spec(run):
    """Without a spec the names are told that are known, and where each is from."""
    done = run("explain", LLM_BOX="llama-swap://host", LLM_FAST="box/m")
    assert done.returncode == 0
    told = [line.split() for line in done.stdout.splitlines()]
    assert ["box", "LLM_BOX"] in told
    assert ["fast", "LLM_FAST"] in told


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (["dead/m"], 0, "healthy"),
        (["dead/m", "--probe"], 1, "start the server at"),
        (["-m", "dead/m"], 0, "healthy"),
        (["dead/m,bad/m", "--probe"], 2, "LLM_BAD is no DSN"),
        (["box/m,,x"], 2, "empty item"),
    ],
)
def test_explain_of_faults(run, arguments, status, word):
    """A wrong variable makes the status 2, a target that does not answer 1; both are told with what to do."""
    env = {"LLM_DEAD": f"llama-swap://{SECRET}@127.0.0.1:{dead_port()}", "LLM_BAD": f"{SECRET}@host:8080"}
    done = run("explain", *arguments, **env)
    assert done.returncode == status
    assert word in done.stdout
    found = run("explain", "--json", *arguments, **env)
    assert found.returncode == status
    assert isinstance(json.loads(found.stdout)["targets"], list)
    assert SECRET not in done.stdout + done.stderr + found.stdout


# Mistakes. A row: what is typed, and a word of the way out.

ASK = ["ask", "-m", "box/m"]
WRONG = {
    "no command": ([], "--help"),
    "an unknown command": (["aks"], "did you mean ask?"),
    "a command like no other": (["sing"], "known are demo, ask"),
    "a DSN for a command": ([f"openai://{SECRET}@host"], "unknown command"),
    "an unknown option": ([*ASK, "--tiemout", "3", "Hi"], "did you mean --timeout?"),
    "an unknown short option": ([*ASK, "-x", "Hi"], "unknown option -x"),
    "an option that is cut short": ([*ASK, "--time", "3", "Hi"], "did you mean --timeout"),
    "an option that is cut short, with its value": ([*ASK, "--sys=be kind", "Hi"], "did you mean --system"),
    "an option like no other": ([*ASK, "--zzz", "Hi"], "known are --help, -m, --model, -s, --system, --schema"),
    "an option without its value": ([*ASK, "--timeout"], "expected one argument"),
    "a prompt without quotes": ([*ASK, "Why", "is", "this?"], "quotes"),
    "no model": (["ask", "Hi"], "MAJORDOMO_MODEL"),
    "an empty model": (["ask", "-m", "", "Hi"], "name a target"),
    "no prompt": (ASK, "standard input"),
    "a malformed spec": (["ask", "-m", "box/m,,", "Hi"], "drop the comma"),
    "an unknown provider": (["ask", "-m", "boxx/m", "Hi"], "did you mean box?"),
    "an unknown alias": (["ask", "-m", "carful", "Hi"], "did you mean careful?"),
    "a provider for an alias": (["ask", "-m", "box", "Hi"], "add a slash and a model"),
    "an alias for a provider": (["ask", "-m", "careful/m", "Hi"], "without a slash"),
    "a DSN for a spec": (["ask", "-m", f"openai://{SECRET}@host", "Hi"], "belongs into a variable"),
    "a DSN for a spec to explain": (["explain", "--nope", f"openai://{SECRET}@host"], "unknown option --nope"),
    "no key": (["ask", "-m", "openai/gpt-5", "Hi"], "OPENAI_API_KEY"),
    "a malformed variable": (["ask", "-m", "bad/m", "Hi"], "LLM_BAD"),
    "a timeout of nothing": ([*ASK, "--timeout", "0", "Hi"], "above 0"),
    "a timeout of less": ([*ASK, "--timeout", "-3", "Hi"], "above 0"),
    "a timeout of no number": ([*ASK, "--timeout", "nan", "Hi"], "above 0"),
    "a timeout for ever": ([*ASK, "--timeout", "inf", "Hi"], "above 0"),
    "a timeout in words": ([*ASK, "--timeout", "soon", "Hi"], "such as 60"),
    "a temperature of no number": ([*ASK, "--temperature", "nan", "Hi"], "such as 0.7"),
    "tokens of nothing": ([*ASK, "--max-tokens", "0", "Hi"], "from 1"),
    "an unknown level": ([*ASK, "--reasoning", "lots", "Hi"], "minimal"),
    "a prompt of other bytes": ([*ASK, "\udcff"], "UTF-8"),
    "a missing picture": ([*ASK, "-i", "no/such/file.png", "Hi"], "no/such/file.png: No such file"),
    "a picture that is a folder": ([*ASK, "-i", "{tmp}", "Hi"], "Is a directory"),
    "a picture that is none": ([*ASK, "-i", "{tmp}/words", "Hi"], "/words: "),
    "a schema that is none": ([*ASK, "--schema", "{tmp}/words", "Hi"], "is not JSON"),
    "a schema that is a list": ([*ASK, "--schema", "{tmp}/list.json", "Hi"], "is an object"),
    "a schema of other bytes": ([*ASK, "--schema", "{tmp}/bytes", "Hi"], "not UTF-8"),
    "a schema without a bottom": ([*ASK, "--schema", "{tmp}/deep.json", "Hi"], "too deeply"),
    "a schema that was forgotten": ([*ASK, "--schema", "", "Hi"], "--schema: the name of a file is empty"),
    "a picture that was forgotten": ([*ASK, "-i", "", "Hi"], "--image: the name of a file is empty"),
    "a missing schema": ([*ASK, "--schema", "{tmp}/none", "Hi"], "No such file"),
    "no output": (["image", "-m", "box/m", "Hi"], "-o"),
    "an output that was forgotten": (["image", "-m", "box/m", "-o", "", "Hi"], "--output: the name of a file is empty"),
    "an output in no folder": (["image", "-m", "box/m", "-o", "{tmp}/no/x.png", "Hi"], "there is no folder"),
    "an output that is a folder": (["image", "-m", "box/m", "-o", "{tmp}", "Hi"], "picture.png"),
    "a size of one side": (["image", "-m", "box/m", "-o", "{tmp}/x", "--size", "12", "Hi"], "1024x1024"),
    "nothing to draw": (["image", "-m", "box/m", "-o", "{tmp}/x", " "], "blank"),
    "no name": (["models"], "NAME"),
    "no host": (["models", "llama-swap"], "majordomo: llama-swap names no host"),
    "a target for a name": (["models", "box/qwen3"], "majordomo models box"),
    "a target to unload": (["unload", "box/qwen3"], "majordomo unload box qwen3"),
    "a spec for a name": (["models", "box/m,cloud/m"], "majordomo models box"),
    "an alias for a name": (["models", "careful"], "careful is an alias: majordomo models box"),
    "a DSN for a name": (["models", f"openai://{SECRET}@host"], "LLM_BOX=..."),
    "half a DSN for a name": (["models", f"{SECRET}@host"], "LLM_BOX=..."),
    "an unknown name": (["models", "boxx"], "did you mean box?"),
    "what nothing runs on": (["running", "cloud"], "llama-swap and Ollama"),
    "what nothing is unloaded from": (["unload", "cloud"], "llama-swap and Ollama"),
    "an empty model to unload": (["unload", "box", ""], "unload takes a model's name"),
    "two specs to explain": (["explain", "-m", "box/m", "cloud/m"], "name one SPEC"),
    "a time to explain": (["explain", "--timeout", "0"], "above 0"),
    "no workers": (["batch", "-m", "box/m", "{tmp}/words", "-o", "{tmp}/x", "--workers", "0"], "from 1"),
    "missing questions": (["batch", "-m", "box/m", "{tmp}/none", "-o", "{tmp}/x"], "No such file"),
    "questions from closed input": (["batch", "-m", "box/m", "-", "-o", "{tmp}/x"], "name a file"),
    "answers in no folder": (["batch", "-m", "box/m", "{tmp}/words", "-o", "{tmp}/no/x"], "No such file"),
    "answers into a folder": (["batch", "-m", "box/m", "{tmp}/words", "-o", "{tmp}"], "is a folder"),
    "answers into no file": (["batch", "-m", "box/m", "{tmp}/words", "-o", "-"], "names a file"),
    "answers over questions": (["batch", "-m", "box/m", "{tmp}/words", "-o", "{tmp}/words"], "of their own"),
}


@pytest.fixture
def folder(tmp_path):
    """A folder with files that are not what they are taken for."""
    (tmp_path / "words").write_text("Once upon a time\n")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    return tmp_path


def names(**more: str) -> dict[str, str]:
    """Variables, none of whose servers is ever asked."""
    env = {"LLM_BOX": f"llama-swap://{SECRET}@127.0.0.1:9", "LLM_CLOUD": f"openai://{SECRET}@127.0.0.1:9"}
    return {**env, "LLM_BAD": f"openai://{SECRET} word@host", "LLM_CAREFUL": "box/m", **more}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake(run, folder, case):
    """A mistake at the prompt is one line that says what to do, ends with status 2, and shows no token."""
    arguments, word = WRONG[case]
    done = run(*[argument.replace("{tmp}", str(folder)) for argument in arguments], **names())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("majordomo: ")
    assert word in done.stderr
    assert done.stderr.count("\n") == 1
    assert SECRET not in done.stderr


@pytest.mark.parametrize(
    ("stdin", "env", "word"),
    [
        (b"\xff\xfe", {}, "standard input is no UTF-8"),
        (b" \n", {}, "no prompt"),
        (b"Hi", {"MAJORDOMO_MODEL": "box/m,,"}, "MAJORDOMO_MODEL, item 2: empty item"),
        (b"Hi", {"MAJORDOMO_MODEL": f"openai://{SECRET}@host"}, "MAJORDOMO_MODEL, item 1: "),
        (b"Hi", {"MAJORDOMO_MODEL": f"{SECRET}@host/m"}, "MAJORDOMO_MODEL, item 1: "),
        (b"Hi", {"MAJORDOMO_MODEL": f"{SECRET}/m"}, "MAJORDOMO_MODEL, item 1: unknown provider"),
    ],
)
def test_a_mistake_that_is_not_typed(run, stdin, env, word):
    """What is wrong with standard input or the default model is told in the same way."""
    done = run("ask", *([] if env else ["-m", "box/m"]), stdin=stdin, **names(**env))
    assert (done.returncode, done.stdout) == (2, "")
    assert word in done.stderr
    assert SECRET not in done.stderr


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden here")
def test_files_that_are_forbidden(run, folder):
    """A file that may not be read, and a folder that may not be written, are told by name."""
    (folder / "words").chmod(0)
    assert "words: Permission denied" in run(*ASK, "-i", str(folder / "words"), "Hi", **names()).stderr
    folder.chmod(0o500)
    done = run("image", "-m", "box/m", "-o", str(folder / "x.png"), "Hi", **names())
    assert (done.returncode, "cannot be written" in done.stderr) == (2, True)


@pytest.mark.parametrize("name", cli._COMMANDS)
def test_help(run, name):
    """Each command has help with a description and examples, which are its own."""
    done = run(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: majordomo {name}")
    examples = done.stdout.partition("\nexamples:\n")[2].splitlines()
    assert examples
    assert all(f"majordomo {name}" in line for line in examples)
    assert "--timeout" in done.stdout or name == "demo"


@pytest.mark.parametrize("columns", ["0", "1", "20", "500"])
def test_help_on_any_terminal(run, columns):
    """Help is told on a terminal of any width."""
    assert run("batch", "--help", COLUMNS=columns).returncode == 0


def test_overall_help(run):
    """`--help` lists the commands, `--version` says which one this is."""
    done = run("--help")
    assert done.returncode == 0
    assert [name for name in cli._COMMANDS if f"\n  {name} " not in done.stdout] == []
    assert run("--version").stdout == f"majordomo {sys.modules['majordomo'].__version__}\n"


def test_the_examples_of_help_can_be_typed(run, folder, monkeypatch):
    """What help shows is understood: each example gets as far as to what it names, and no further."""
    monkeypatch.chdir(folder)
    for name, row in cli._COMMANDS.items():
        for line in row.examples:
            words = shlex.split(line.rpartition("{} ")[2].partition(" < ")[0])
            assert words[0] == name
            row.read(name, "majordomo", words[1:])


# Streams, signals and terminals: each in a process of its own.


@pytest.mark.parametrize("arguments", [["--help"], ["demo"], ["explain"], [*ASK, "--no-stream", "Hi"]])
def test_a_reader_that_has_left(server, arguments, buffering):
    """A pipe that is closed at the other end stops any command, in silence."""
    there, here = os.pipe()
    os.close(there)
    with open(here, "wb") as pipe:
        env = environ(LLM_BOX=server.dsn(), **buffering)
        words = command(*arguments)
        done = subprocess.run(
            words, env=env, stdin=subprocess.DEVNULL, stdout=pipe, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this wants a shell, and a device that is always full")
@pytest.mark.parametrize(("target", "word"), [("&-", "is closed"), ("/dev/full", "No space left")])
@pytest.mark.parametrize("arguments", [[*ASK, "Hi"], ["models", "--help"]], ids=["ask", "help"])
def test_output_that_takes_nothing(server, arguments, target, word, buffering):
    """Results that cannot be written are a failure that is told in one line."""
    done = shell(f'"$@" >{target} </dev/null', *arguments, LLM_BOX=server.dsn(), **buffering)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert word in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="this wants a shell")
@pytest.mark.parametrize("arguments", [[*ASK, "--no-stream", "Hi"], ["image", "-m", "box/m", "-o", "-", "Hi"]])
def test_output_that_takes_a_part(server, tmp_path, arguments, buffering):
    """A result of which the disk takes the beginning alone is a failure, not a shorter result."""
    server.add(Drawing(images=[PNG + bytes(200_000)]) if "image" in arguments else Reply("word " * 40_000))
    env = {"LLM_BOX": server.dsn(), "PYTHONDONTWRITEBYTECODE": "1", **buffering}  # bytecode would be cut, too
    done = shell(f'ulimit -f 64; "$@" >{shlex.quote(str(tmp_path / "out"))} </dev/null', *arguments, **env)
    assert (done.returncode, done.stderr) == (1, "majordomo: standard output: File too large\n")
    assert 0 < (tmp_path / "out").stat().st_size < 200_000


# A row: what is said where nobody takes it, and the status that tells it all the same.
UNHEARD = {
    "a mistake": (["aks"], 2),
    "a failure": ([*ASK, "Hi"], 1),
    "a warning": (["image", "-m", "box/m", "-o", "{tmp}/dot.jpg", "a dot"], 0),
}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this wants a shell, and a device that is always full")
@pytest.mark.parametrize("target", ["&-", "/dev/full"])
@pytest.mark.parametrize("case", UNHEARD)
def test_errors_that_nobody_takes(server, tmp_path, case, target, buffering):
    """Where standard error takes nothing the status tells all, and nothing goes among the results."""
    arguments, status = UNHEARD[case]
    if case == "a failure":
        server.add(Status(400))
    words = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    done = shell(f'"$@" 2>{target} </dev/null', *words, LLM_BOX=server.dsn(), **buffering)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"PYTHONIOENCODING": "ascii"}, b"Gr??e\n"),
        ({"PYTHONIOENCODING": "latin-1"}, "Grüße\n".encode("latin-1")),
        ({"PYTHONIOENCODING": "", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, b"Gr??e\n"),
    ],
    ids=["ascii", "latin-1", "C"],
)
def test_locales(server, env, told):
    """What a locale cannot show is replaced; what it cannot read is UTF-8 all the same."""
    server.add(Reply("Grüße"))
    done = subprocess.run(
        command(*ASK, "Schöne Grüße"),
        env=environ(LLM_BOX=server.dsn(), **env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, told, b"")
    assert server.requests[0].json["messages"][0]["content"] == "Schöne Grüße"


@pytest.mark.skipif(os.name != "posix", reason="this wants a shell")
def test_output_that_is_closed_for_a_picture(server):
    """It is found out that a picture has nowhere to go before anybody is asked for it."""
    done = shell('"$@" >&- </dev/null', "image", "-m", "box/m", "-o", "-", "a dot", LLM_BOX=server.dsn())
    assert (done.returncode, done.stderr) == (1, "majordomo: standard output is closed\n")
    assert server.requests == []


def test_json_for_any_encoding(server):
    """JSON keeps all its letters also where standard output does not have them."""
    server.add(Reply("Grüße"))
    done = spawn(*ASK, "--json", "Hi", LLM_BOX=server.dsn(), PYTHONIOENCODING="ascii")
    assert "Gr\\u00fc\\u00dfe" in done.stdout
    assert json.loads(done.stdout)["message"]["parts"][0]["text"] == "Grüße"


@pytest.mark.skipif(os.name != "posix", reason="a folder that is in use cannot go here")
def test_a_folder_that_has_gone(server, tmp_path):
    """Where the folder of the cooldowns has gone the question is asked, and `explain` tells the fault."""
    gone = 'mkdir "$GONE"; cd "$GONE"; rmdir "$GONE"; "$@" </dev/null'
    env = {"LLM_BOX": server.dsn(), "MAJORDOMO_HEALTH": "health.db", "GONE": str(tmp_path / "gone")}
    done = shell(gone, *ASK, "Hi", **env)
    assert (done.returncode, done.stdout) == (0, "Hello from the fake server.\n")
    assert done.stderr.startswith("majordomo: cooldowns are not shared: health.db")
    done = shell(gone, "explain", "--json", "box/m", **env)
    assert (done.returncode, done.stderr) == (2, "")
    assert json.loads(done.stdout)["faults"][0]["error"].startswith("cooldowns are not shared: health.db")


def test_cooldowns_that_are_not_kept(server, tmp_path):
    """A file that cannot hold the cooldowns is told, and keeps nobody from asking."""
    env = {"LLM_BOX": server.dsn(), "MAJORDOMO_HEALTH": str(tmp_path)}
    done = spawn(*ASK, "Hi", **env)
    assert (done.returncode, done.stdout) == (0, "Hello from the fake server.\n")
    assert done.stderr.startswith(f"majordomo: cooldowns are not shared: {tmp_path}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("named", [False, True], ids=["-", "by name"])
def test_a_picture_for_a_pipe(server, tmp_path, named):
    """`-o -` sends the picture itself to standard output, and so does a name that the system has for that."""
    if named and not os.path.exists("/dev/stdout"):
        pytest.skip("the system has no name for it")
    os.symlink("/dev/stdout", tmp_path / "out")
    words = command("image", "-m", "box/flux", "-o", str(tmp_path / "out") if named else "-", "a dot")
    done = subprocess.run(words, env=environ(LLM_BOX=server.dsn()), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"\x89PNG")


def test_under_another_name(tmp_path):
    """A copy with another name tells that name, and how it is called."""
    os.symlink(ROOT / "majordomo", tmp_path / "butler", target_is_directory=True)
    words = [sys.executable, "-m", "butler", "aks"]
    done = subprocess.run(words, env=environ(PYTHONPATH=str(tmp_path)), capture_output=True, text=True, check=False)
    assert done.stderr.startswith("butler: unknown command 'aks'")
    assert done.stderr.endswith("see python3 -m butler --help\n")


def test_ctrl_c_in_this_process(run, monkeypatch):
    """Ctrl-C is a status, wherever it comes."""

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("majordomo.demo.run", interrupted)
    assert run("demo").returncode == 130


@contextlib.contextmanager
def interrupted(*arguments: str, until, **env: str):
    """A process that gets Ctrl-C when something has happened; gives what was left of it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # or a test in the background would ignore it
    try:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command(*arguments), env=environ(**env), text=True, **pipes)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        ends = time.monotonic() + WAIT
        while not until():
            assert time.monotonic() < ends
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=WAIT)
        yield SimpleNamespace(returncode=process.returncode, stdout=out, stderr=err)


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent otherwise here")
@pytest.mark.parametrize("how", [[], ["--no-stream"]], ids=["streamed", "whole"])
def test_ctrl_c(server, how):
    """Ctrl-C ends a call that waits, at once and in silence, with status 130."""
    server.add(hang())
    with interrupted(*ASK, *how, "Hi", until=lambda: server.requests, LLM_BOX=server.dsn()) as left:
        assert (left.returncode, left.stdout, left.stderr) == (130, "", "")


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent otherwise here")
def test_ctrl_c_in_a_batch(server, tmp_path):
    """Ctrl-C ends a batch at once: what has come is kept, and it is said that the same command goes on."""
    questions, answers = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    questions.write_text("".join(f'{{"id": {number}, "prompt": "?"}}\n' for number in range(5)))
    server.add(Reply("One."), *[hang()] * 4)
    arguments = ["batch", "-m", "box/m", str(questions), "-o", str(answers), "--workers", "2"]
    ready = lambda: len(server.requests) > 2 and answers.exists() and answers.read_text().endswith("\n")  # noqa: E731
    with interrupted(*arguments, until=ready, LLM_BOX=server.dsn()) as left:
        assert (left.returncode, left.stdout) == (130, "")
        assert left.stderr.startswith("majordomo: interrupted; ")
        assert "the same command goes on" in left.stderr
    assert [line["text"] for line in lines(answers)] == ["One."]


def on_a_terminal(*arguments: str, **env: str) -> str:
    """What a terminal is sent by a process whose output and errors both go there."""
    ours, theirs = os.openpty()
    try:
        process = subprocess.Popen(
            command(*arguments),
            env=environ(TERM="xterm", **env),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        sent = b""
        with contextlib.suppress(OSError):  # how Linux tells that nobody is left at the other end
            while True:
                piece = os.read(ours, 4096)
                if not piece:
                    break
                sent += piece
        assert process.wait(WAIT) == 0
    finally:
        os.close(ours)
    return sent.decode()


needs_terminal = pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no terminals of that kind here")


@needs_terminal
@pytest.mark.parametrize("how", [[], ["--no-stream"]], ids=["streamed", "whole"])
def test_a_terminal_is_not_driven(server, run, how):
    """What an answer holds of control characters is not carried out by a terminal; a file gets it as it is."""
    text = "\x1b[2J\x9b2Jred\talert\x07\r\nend"
    server.add(Reply(text), Reply(text))
    arguments = [*ASK, *how, "Hello"]
    assert run(*arguments, LLM_BOX=server.dsn()).stdout.replace("\r\n", "\n") == text.replace("\r\n", "\n") + "\n"
    assert on_a_terminal(*arguments, LLM_BOX=server.dsn()) == "\ufffd[2J\ufffd2Jred\talert\ufffd\r\nend\r\n"


@needs_terminal
def test_a_wait_on_a_terminal(server):
    """A wait of over a second shows who is asked; that is gone before the answer comes, which stands alone."""

    def late(seen):
        time.sleep(1.6)
        return Reply("Here it is.", pieces=["Here ", "it is."])

    server.add(late)
    sent = on_a_terminal(*ASK, "Hello", LLM_BOX=server.dsn())
    waited, _, answer = sent.rpartition("\r\x1b[K")
    assert " box/m 1 s\x1b[K" in waited
    assert answer == "Here it is.\r\n"


@needs_terminal
def test_explain_on_a_terminal(server):
    """Marks have colours on a terminal, unless NO_COLOR is set, and lines are filled."""
    arguments, env = ["explain", "--probe", "box/m"], {"LLM_BOX": server.dsn(), "COLUMNS": "50"}
    sent = on_a_terminal(*arguments, **env)
    assert "box/m  \x1b[32manswers\x1b[0m" in sent
    assert "\x1b[32m" not in on_a_terminal(*arguments, **env, NO_COLOR="1")
    assert "timeout    3600 s an attempt, unless the call\r\n             says otherwise" in sent

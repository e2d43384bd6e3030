"""The documents are true: their programs run, their links lead somewhere, their tables say what the code says."""

from __future__ import annotations

import io
import json
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

import majordomo
from majordomo import ErrorKind, MajordomoError, Registry, SpecError, ToolCall, chain, cli, errors, health, registry
from majordomo.providers import SCHEMES, _options
from majordomo.testing import RED, FakeServer, Reply

HOME = Path(majordomo.__file__).parent
ROOT = HOME.parent
PAGES = [ROOT / "README.md", *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.name != "faults.md")]
TEXTS = {page: page.read_text("utf-8") for page in PAGES}
ALL = "".join(TEXTS.values())
LAN = re.compile(r"192\.168\.\d+\.\d+:\d+")  # where the documents' own servers are
CLOUDS = ("openai", "anthropic", "google")


def fences(text, language):
    """(line, content) of every fence of a language."""
    found = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, match.start(1)), match[1]) for match in found]


def table(head):
    """The rows of the table whose first column is headed so, by cells."""
    lines = re.search(rf"^\| {re.escape(head)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", ALL, re.MULTILINE)[1].splitlines()
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def marked(cell):
    """What stands in a cell as code."""
    return re.findall(r"`([^`]+)`", cell)


def value_of(schema):
    """A value that follows a simple schema."""
    if schema["type"] == "object":
        return {name: value_of(inner) for name, inner in schema["properties"].items()}
    return {"string": "Oslo", "integer": 7, "array": []}[schema["type"]]


def answer(seen):
    """What a helpful model says: a call of the tool that it has, a value of the schema, else a sentence."""
    tools, form = seen.json.get("tools"), seen.json.get("response_format")
    if tools and seen.json["messages"][-1]["role"] == "user":
        function = tools[0]["function"]
        return Reply(tool_calls=[ToolCall("c1", function["name"], value_of(function["parameters"]))])
    return Reply(json.dumps(value_of(form["json_schema"]["schema"])) if form else "It is so.")


@pytest.fixture
def reader(monkeypatch, tmp_path):
    """Where a reader tries things: the variables of the documents, a photo, and one server at all of their hosts."""
    with FakeServer() as server:
        server.default = answer
        monkeypatch.delenv("MAJORDOMO_HEALTH", raising=False)
        for name, value in re.findall(r"^export (\w+)=(\S+)$", ALL, re.MULTILINE):
            monkeypatch.setenv(name, LAN.sub(server.host, value))
        for cloud in CLOUDS:
            monkeypatch.setenv(f"LLM_{cloud.upper()}", server.dsn(cloud))
        monkeypatch.setattr(registry, "_default", Registry())
        (tmp_path / "photo.png").write_bytes(RED)
        monkeypatch.chdir(tmp_path)
        yield server


@pytest.mark.parametrize("page", [page for page in PAGES if fences(TEXTS[page], "python")], ids=lambda page: page.name)
def test_every_program_runs(page, reader):
    """The blocks of Python of a page run as they stand, one after the other, with the servers that it speaks of."""
    names = {"__name__": "__main__"}
    for line, code in fences(TEXTS[page], "python"):
        whole = "\n" * line + LAN.sub(reader.host, code)
        exec(compile(whole, str(page), "exec", dont_inherit=True), names)


def test_every_command_runs(reader, monkeypatch):
    """The commands that are shown do what they are there for, one after the other."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    Path("in.jsonl").write_text('{"id": 1, "prompt": "Hi"}\n', encoding="utf-8")
    shown = [line for _, text in fences(ALL, "(?:text|sh)") for line in text.splitlines()]
    commands = [shlex.split(line)[3:] for line in shown if line.startswith("python3 -m majordomo ")]
    assert {command[0] for command in commands} == set(cli._COMMANDS)
    for command in commands:
        if command != ["demo"]:  # which has a test of its own
            assert cli.main(command) == 0, command
    assert Path("dot.png").read_bytes() == RED
    assert json.loads(Path("out.jsonl").read_text("utf-8"))["id"] == 1


def test_errors_are_worded_as_shown(reader):
    """A spec that is shown with its error has that error."""
    shown = [text.rstrip() for _, text in fences(ALL, "text") if text.startswith("SpecError: ")]
    assert shown
    for text in shown:
        with pytest.raises(SpecError) as caught:
            majordomo.parse(text.splitlines()[1].strip())
        assert f"SpecError: {caught.value}" == text


def prose(page):
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page):
    """What a link into a page may name: its headings, as hosts of Markdown make anchors of them."""
    heads = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize(
    "page",
    [page for folder in (".", "docs", "adr", "examples") for page in sorted((ROOT / folder).glob("*.md"))],
    ids=lambda page: page.name,
)
def test_links_lead_somewhere(page):
    """A link within the project points at a file that is there, and at a heading of it."""
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]+`", "", prose(page))):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("name", majordomo.__all__)
def test_every_public_name_is_told(name):
    """A name of the face stands somewhere in the README or in `docs/`, as code."""
    code = " ".join([*re.findall(r"`[^`\n]+`", ALL), *(text for _, text in fences(ALL, "python"))])
    assert re.search(rf"\b{name}\b", code)


def test_the_table_of_schemes():
    """Every scheme has its row, with transport, path and time of an attempt."""
    told = {}
    for names, _, transport, path, time in table("scheme"):
        told.update(dict.fromkeys(marked(names), (not transport.startswith("https"), path.split(",")[0], time)))
    assert told == {
        name: (
            row.plain,
            next((f"`{path}`" for path in (row.path, *row.versions) if path), "none"),
            {600: "10 minutes", 3600: "1 hour"}[row.timeout],
        )
        for name, row in SCHEMES.items()
    }


def test_the_table_of_providers():
    """Every provider that needs no DSN has its row, with the variables that it reads."""
    told = {
        name: re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", reads)
        for names, reads in table("provider")
        for name in marked(names)
    }
    assert told == {
        name: [variable for variable in (*row.keys, row.base_url) if variable]
        for name, row in SCHEMES.items()
        if row.builtin
    }


def test_the_table_of_options():
    """Every option of a DSN has its row, those that are a provider's own too."""
    known = set(_options._OPTIONS)
    for row in SCHEMES.values():
        module, _, name = row.provider.partition(".")
        known |= set(getattr(import_module(f"majordomo.providers.{module}"), name).own_options)
    assert {option.partition("=")[0] for names, _ in table("option") for option in marked(names)} == known


def test_the_other_variables_are_told():
    """What else the code reads from the environment stands in the README."""
    code = "".join(path.read_text("utf-8") for path in HOME.rglob("*.py"))
    read = set(re.findall(r"MAJORDOMO_[A-Z]+|(?<=setting\(\")\w+", code))
    assert "MAJORDOMO_MODEL" in read
    assert {name for name in read if f"`{name}`" not in TEXTS[PAGES[0]]} == set()


def test_the_table_of_kinds():
    """Every kind of error has its row: whether it cools a target down, and whether the call tries it again."""
    told = {marked(kind)[0]: (cools[:3] == "yes", again[:3] == "yes") for kind, _, cools, again in table("`ErrorKind`")}
    assert told == {kind.name: (kind in health.COOLING_KINDS, kind in chain._PASSING_KINDS) for kind in ErrorKind}


def test_the_table_of_errors():
    """Every class of error has its row, with what else it is."""
    told = {marked(name)[0]: marked(also) for name, _, also in table("class")}
    classes = [
        getattr(errors, name) for name in errors.__all__ if name not in ("MajordomoError", "ErrorKind", "classify")
    ]
    assert told == {
        found.__name__: [base.__name__ for base in found.__bases__ if base is not MajordomoError] for found in classes
    }

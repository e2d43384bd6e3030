"""The rules of the house: who may know whom, what an import costs, what the face shows."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

import majordomo

HOME = Path(majordomo.__file__).parent
ROOT = HOME.parent

# The floors, from the ground up; a module imports only from floors below its own,
# save for what is told here by name.
FLOORS = (
    ("errors", "_frozen", "_loading"),
    ("_annotations", "_docstrings", "_json", "_mismatch", "_plain", "_reference", "_words"),
    ("_kinds", "_validation"),
    ("_types",),
    ("_signatures", "schema"),
    ("deadline", "_events", "_incoming", "dsn", "llm"),
    ("_crew",),
    ("imagegen", "_blot", "_budget", "_structured", "_tool_calls"),
    ("model", "wires._multipart"),
    ("wires._shared",),
    (
        "wires._anthropic_errors",
        "wires._openai_errors",
        "wires._ollama_errors",
        "wires._google",
        "wires._conversation",
        "wires._growing",
        "wires._schema",
    ),
    (
        "wires._anthropic_schema",
        "wires._google_remedies",
        "wires._google_schema",
        "wires._openai_schema",
        "wires._responses_answers",
    ),
    (
        "wires",
        "wires.anthropic",
        "wires.google",
        "wires.google_images",
        "wires.ollama",
        "wires.openai_chat",
        "wires.openai_images",
        "wires.openai_responses",
        "_connection",
    ),
    ("_failures",),
    ("_http", "media", "health"),
    ("_health_file",),
    ("chain", "providers._base", "providers._limits", "providers._options", "providers._told"),
    ("providers._drawing", "providers._openai_models"),
    ("providers.openai",),
    ("providers.anthropic", "providers.google", "providers.llamaswap", "providers.ollama", "providers"),
    ("_spec",),
    ("_tool_loop",),
    ("_batch_lines", "batch", "registry", "tools"),
    ("_batch_file",),
    ("_fake.values", "_fake.rows"),
    ("_fake._common",),
    (
        "_fake.anthropic",
        "_fake.google",
        "_fake.llamaswap",
        "_fake.ollama",
        "_fake.openai_chat",
        "_fake.openai_images",
        "_fake.openai_responses",
    ),
    ("_fake",),
    ("testing",),
    ("_terminal",),
    ("_arguments",),
    ("_explain",),
    ("demo",),
    ("cli",),
    ("__main__",),
    ("__init__",),
)
FLOOR_OF = {module: floor for floor, modules in enumerate(FLOORS) for module in modules}
SAME_FLOOR = {("registry", "__init__"), ("cli", "__init__"), ("_explain", "__init__")}  # for the version


def modules() -> dict[str, Path]:
    """Every module of the package by its name within it."""
    found = {}
    for path in sorted(HOME.rglob("*.py")):
        name = ".".join(path.relative_to(HOME).with_suffix("").parts)
        found[name[: -len(".__init__")] if name.endswith(".__init__") else name] = path
    return found


def imports_of(module: str, path: Path, *, typing: bool = False) -> set[str]:
    """The modules of the package that a module imports, at run time unless `typing`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = set()
    if not typing:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
                skipped |= {id(inner) for statement in node.body for inner in ast.walk(statement)}
    package = module.split(".") if path.name == "__init__.py" and module != "__init__" else module.split(".")[:-1]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in skipped and node.level:
            base = package[: len(package) - (node.level - 1)]
            base = [*base, *(node.module.split(".") if node.module else [])]
            for alias in node.names:
                whole = ".".join([*base, alias.name])
                found.add(whole if whole in modules() else ".".join(base) or "__init__")
    return found


@pytest.mark.parametrize("module", modules())
def test_every_module_has_its_floor_and_its_reason(module):
    """A new module says why it exists and stands on a floor."""
    assert module in FLOOR_OF
    assert ast.get_docstring(ast.parse(modules()[module].read_text(encoding="utf-8")))


@pytest.mark.parametrize("module", modules())
def test_imports_point_down(module):
    """Nobody imports from a floor above; nobody imports the package by its name."""
    path = modules()[module]
    for name in imports_of(module, path):
        if (module, name) not in SAME_FLOOR:
            assert FLOOR_OF[name] < FLOOR_OF[module], f"{module} imports {name}"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not any(alias.name.split(".")[0] == "majordomo" for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module.split(".")[0] != "majordomo"


def test_nobody_imports_the_top():
    """What stands on top, the command line and the test server, is known to nobody below."""
    for module, path in modules().items():
        for name in imports_of(module, path):
            if name in ("cli", "testing", "demo"):
                assert module in ("__main__", "cli", "demo"), f"{module} imports {name}"


# What may import late without the lock: it is used by nobody who asks a model, or needs no import at all by then.
UNLOCKED = {"cli", "demo", "testing", "_arguments", "_explain", "_frozen", "_terminal"}


@pytest.mark.parametrize("module", [name for name in modules() if name.partition(".")[0] not in {*UNLOCKED, "_fake"}])
def test_late_imports_keep_forks_out(module):
    """What a function imports, it imports under `loading`: a fork in between would leave its lock to nobody."""
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    locked = [
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.With) and ast.unparse(node.items[0].context_expr) == "loading"
        for inner in ast.walk(node)
    ]
    late = [node for f in functions for node in ast.walk(f) if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert [ast.unparse(node) for node in late if node not in locked] == []


# Module of the standard library -> the rooms that may use it.
RESERVED = {
    "socket": {"_connection", "_failures", "_http", "testing"},
    "ssl": {"_connection", "_http"},
    "urllib.request": {"_http"},
    "http.client": {"_connection", "_failures", "_http", "_incoming", "testing"},
    "PIL": {"media"},
    "logging": set(),  # looked up, never imported: see chain
    "dataclasses": {"_frozen", "_plain", "_types", "demo"},
    "subprocess": set(),
    "asyncio": set(),
    "sqlite3": {"_batch_file", "_health_file"},
    "argparse": {"_arguments", "cli"},
}


@pytest.mark.parametrize("module", modules())
def test_who_may_use_what(module):
    """Sockets are opened in one place, pictures re-encoded in one place; nothing foreign is imported."""
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    used = set()
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.Import):
            used |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            used.add(node.module)
    for name in used:
        assert module in RESERVED.get(name, {module}), f"{module} uses {name}"
        if hasattr(sys, "stdlib_module_names"):
            assert name.split(".")[0] in sys.stdlib_module_names | {"PIL"}


def test_only_the_registry_reads_the_environment():
    """`os.environ` and `getenv` stand in one module."""
    texts = {name: path.read_text(encoding="utf-8") for name, path in modules().items()}
    assert {name for name, text in texts.items() if "os.environ" in text or "getenv" in text} == {"registry"}


def test_the_face_is_the_sum_of_its_modules():
    """What the package shows is what its public modules say they show, and all of it is there."""
    homes = majordomo._HOMES
    for home, names in homes.items():
        assert sorted(importlib.import_module(f"majordomo.{home}").__all__) == sorted(names)
    assert sorted(majordomo.__all__) == sorted([*(n for names in homes.values() for n in names), "media", "testing"])
    for name in majordomo.__all__:
        assert getattr(majordomo, name) is not None
    assert set(majordomo.__all__) <= set(dir(majordomo))
    with pytest.raises(AttributeError, match="no_such_name"):
        majordomo.no_such_name  # noqa: B018


@pytest.mark.parametrize("name", majordomo.__all__)
def test_every_public_name_is_documented(name):
    """A name of the face has a docstring of its own, and so has each public method."""
    found = getattr(majordomo, name)
    assert inspect.getdoc(found)
    if inspect.isclass(found) and found.__module__.startswith("majordomo"):
        for attribute, value in vars(found).items():
            if not attribute.startswith("_") and (
                inspect.isfunction(value) or isinstance(value, (property, classmethod))
            ):
                assert inspect.getdoc(getattr(found, attribute)), f"{name}.{attribute}"


def test_help_can_be_read():
    """`pydoc majordomo` begins with what there is, shows every name of the face, and nothing of how values are made."""
    told = pydoc.render_doc(majordomo, renderer=pydoc.plaintext)
    assert told.index("Each of these names has help of its own") < 2000
    for name in majordomo.__all__:
        assert name in told
    for noise in ("_declared", "_compared", "<object object"):
        assert noise not in told


def run(code: str, *arguments: str, **env: str) -> str:
    """What a fresh interpreter prints."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LLM_", "OPENAI_"))}
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments, "-c", code],
        env={**clean, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def test_the_import_is_light():
    """`from majordomo import parse` loads nothing that a first `parse` does not need."""
    code = (
        "import sys; before = set(sys.modules); from majordomo import parse; print(*sorted(set(sys.modules) - before))"
    )
    loaded = set(run(code, "-S").split())
    heavy = {
        "urllib.request",
        "http.client",
        "ssl",
        "socket",
        "logging",
        "dataclasses",
        "json",
        "PIL",
        "email",
        "inspect",
    }
    assert not loaded & heavy
    assert {name for name in loaded if name.startswith("majordomo")} <= {
        "majordomo",
        "majordomo._frozen",
        "majordomo._loading",
        "majordomo._spec",
        "majordomo.dsn",
        "majordomo.errors",
        "majordomo.registry",
    }


def test_the_import_reads_and_touches_nothing():
    """Importing opens no socket, starts no thread or process, and reads no variable."""
    code = """
import sys, os, threading
class Environ(dict):
    def __getitem__(self, name): raise AssertionError(name)
    get = __contains__ = __iter__ = __getitem__
os.environ = Environ()
seen = []
sys.addaudithook(lambda event, arguments: seen.append(event))
import majordomo
for name in majordomo.__all__:
    getattr(majordomo, name)
majordomo.Registry()
bad = [e for e in seen if e.startswith(("socket.connect", "socket.bind", "subprocess", "os.system", "os.putenv"))]
print(bad, threading.active_count())
"""
    assert run(code) == "[] 1"


def test_a_whole_program_leaves_in_silence():
    """A program that asks and streams prints nothing of its own accord, at its end either."""
    code = """
from majordomo import Registry
from majordomo.testing import FakeServer
with FakeServer() as server:
    model = Registry({"LLM_BOX": server.dsn()}).parse("box/m")
    model.generate("Hi")
    stream = model.stream("Hi")
    next(stream)
    kept = model.stream("Hi")
    next(kept)
"""
    assert run(code, "-X", "dev") == ""


def test_functions_stay_short():
    """No function of the package is longer than a screen or so."""
    for module, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 60, f"{module}.{node.name}"

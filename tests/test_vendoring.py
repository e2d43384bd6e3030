"""Vendoring: the folder does its job wherever it is copied to, under any name, in any form, beside anything."""

from __future__ import annotations

import compileall
import os
import shutil
import stat
import subprocess
import sys
import zipapp
from pathlib import Path

import pytest

import majordomo
from majordomo.testing import Reply, dead_port

HOME = Path(majordomo.__file__).parent
ERRAND = Path(__file__).with_name("errand.py")
ALONE = ("-I", "-S")  # no variable, no site-packages, no current folder
NAME = "app._vendor.butler"

# What a program can do without; of a vendor it never asks, all modules that have its name.
OF_THE_COMMAND_LINE = ("__main__.py", "cli.py", "demo.py", "_arguments.py", "_explain.py", "_terminal.py")
OF_ITS_BATCHES = ("_batch_file.py", "_batch_lines.py")
OF_TESTS = ("testing.py", "_fake")
VENDORS = ("anthropic", "google", "llamaswap", "ollama", "openai")
SCHEMES = {**dict(zip(VENDORS, VENDORS)), "llamaswap": "llama-swap"}


def copied(folder: Path, name: str = NAME, left_out: tuple[str, ...] = ()) -> Path:
    """A copy of the package in a folder, importable from there as `name`."""
    target = folder.joinpath(*name.split("."))
    shutil.copytree(HOME, target, ignore=shutil.ignore_patterns("__pycache__", *left_out))
    for path in (target, *target.rglob("*")):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)  # modes are copied, too, and a checkout may be read-only
    return target


def run(*arguments: object, cwd: Path | None = None, status: int = 0, **env: str) -> str:
    """What a fresh interpreter prints, strict about warnings, in an environment that is all but empty."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", *map(str, arguments)],
        env={"PATH": "", "SYSTEMROOT": os.environ.get("SYSTEMROOT", ""), **env},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert (done.returncode, done.stderr) == (status, ""), done.stdout
    return done.stdout


def run_errand(*arguments: object, flags: tuple[str, ...] = ALONE) -> None:
    """The whole job: failover, a stream, pictures, a schema, tools, drawing, pickles, health in a file."""
    assert "leave_others_alone: False" in run(*flags, ERRAND, *arguments)


def files(folder: Path, ending: str = "") -> list[str]:
    """The names of a folder's files, those of the folders within too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*" + ending) if path.is_file())


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """A folder with a program that has the library within; nobody changes it."""
    folder = tmp_path_factory.mktemp("vendored")
    copied(folder)
    return folder


def test_under_another_name(app):
    """The folder is copied, renamed and imported from within a program."""
    run_errand(app, NAME)


def test_pillow_is_found(app):
    """A copy finds Pillow where its interpreter does."""
    if "PIL" not in run("-I", "-c", "from importlib.util import find_spec; print('PIL' if find_spec('PIL') else '')"):
        pytest.skip("no Pillow, or one that PYTHONPATH names")
    assert "32 x 24" in run("-I", ERRAND, app, NAME)


def test_without_docstrings(app):
    """`-OO` takes docstrings and assertions away, and nothing depends on either."""
    run_errand(app, NAME, flags=(*ALONE, "-OO"))


def test_where_nothing_can_be_written(tmp_path):
    """A folder that cannot be written to costs time and nothing else; `-B` leaves no trace."""
    folder = copied(tmp_path, "butler")
    for inner in [folder, *filter(Path.is_dir, folder.iterdir())]:
        (inner / "__pycache__").touch()  # a file, which stops root too
    before = files(tmp_path)
    run_errand(tmp_path, "butler")
    for path in tmp_path.rglob("__pycache__"):
        path.unlink()
    run_errand(tmp_path, "butler", flags=(*ALONE, "-B"))
    assert files(tmp_path) == [name for name in before if not name.endswith("__pycache__")]


def test_from_a_zip(tmp_path, server):
    """A zip on the path will do; one with a `__main__.py` is a program."""
    copied(tmp_path / "source", "butler")
    (tmp_path / "source" / "__main__.py").write_text("import sys\nfrom butler.cli import main\nsys.exit(main())\n")
    zipapp.create_archive(tmp_path / "source", tmp_path / "app.pyz", compressed=True)
    run_errand(tmp_path / "app.pyz", "butler")
    server.add(Reply("From a zip."))
    asked = run(*ALONE, tmp_path / "app.pyz", "ask", "-m", "box/m", "Hello", LLM_BOX=server.dsn())
    assert asked == "From a zip.\n"


def test_compiled_alone(tmp_path):
    """What is delivered may be bytecode without sources."""
    folder = copied(tmp_path)
    assert compileall.compile_dir(str(folder), quiet=2, legacy=True)
    for source in folder.rglob("*.py"):
        source.unlink()
    run_errand(tmp_path, NAME)
    assert not files(tmp_path, ".py")


def without(*vendors: str) -> tuple[str, ...]:
    """What a copy leaves out, beside what has the name of one of these vendors."""
    return (*OF_THE_COMMAND_LINE, *OF_ITS_BATCHES, *OF_TESTS, *[f"*{vendor}*" for vendor in vendors])


def test_with_what_is_needed_alone(tmp_path):
    """Without command line, fake server and the vendors that are not asked a copy does all it did."""
    left_out = without("anthropic", "google", "ollama")
    assert all(list(HOME.rglob(pattern)) for pattern in left_out)
    copied(tmp_path, "butler", left_out)
    copied(tmp_path, "whole")
    run_errand(tmp_path, "butler", "whole")


@pytest.mark.parametrize("vendor", ["anthropic", "google", "ollama", "openai"])
def test_with_one_vendor(tmp_path, server, vendor):
    """No vendor needs a module that has the name of another, save for llama-swap, which needs OpenAI's."""
    copied(tmp_path, "butler", without(*{*VENDORS} - {vendor}))
    ask = "import sys; sys.path.append(sys.argv[1]); import butler as b; print(b.parse('box/m').generate('Hi').text)"
    assert run(*ALONE, "-c", ask, tmp_path, LLM_BOX=server.dsn(vendor)) == "Hello from the fake server.\n"


@pytest.mark.parametrize("vendor", VENDORS)
def test_explain_without_a_vendor(tmp_path, vendor):
    """`explain` tells what was left out of a copy, and all the rest as ever."""
    copied(tmp_path, "butler", (f"*{vendor}*",))
    env = {
        "LLM_BOX": f"{'anthropic' if vendor == 'ollama' else 'ollama'}://host",
        "LLM_GONE": f"{SCHEMES[vendor]}://host",
    }
    left_out = f"this copy was made without butler.providers.{vendor}"
    explain = ("-S", "-m", "butler", "explain")
    told = run(*explain, "box/m, gone/m", cwd=tmp_path, status=2, **env)
    assert "healthy" in told.partition("gone/m")[0]
    assert left_out in told.partition("gone/m")[2]
    names = {line.split()[0]: line for line in run(*explain, cwd=tmp_path, **env).splitlines() if line.strip()}
    assert left_out in names["gone"]
    assert left_out not in names["box"]


def test_beside_a_stranger(app, tmp_path):
    """A foreign `majordomo`, first on the path and installed, is never touched."""
    (tmp_path / "majordomo").mkdir()
    (tmp_path / "majordomo" / "__init__.py").write_text("raise AssertionError('a stranger was imported')\n")
    (tmp_path / "majordomo-9.dist-info").mkdir()
    (tmp_path / "majordomo-9.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: majordomo\nVersion: 9\n")
    run_errand(os.pathsep.join([str(tmp_path), str(app)]), NAME)


def test_as_a_program(app, server):
    """`python3 -m` runs the command line of a copy."""
    server.add(Reply("Here I am."))
    asked = run("-S", "-m", NAME, "ask", "-m", "box/m", "Hello", cwd=app, LLM_BOX=server.dsn())
    assert asked == "Here I am.\n"
    assert "City(name='Bergen', people=291940)" in run("-S", "-m", NAME, "demo", cwd=app)


TWO_COPIES = """
import faulthandler, os, sys, threading, time, warnings
sys.path.insert(0, sys.argv[1])
import butler, valet

def ask(copy):
    return copy.parse("box/m").generate(copy.__name__, timeout=60).text

threads = [threading.Thread(target=ask, args=(copy,)) for copy in (butler, valet)]
"""

APART = """
print(*sorted([ask(butler), ask(valet)]), sep=", ")
valet.register_alias("mine", "box/m")
butler.parse("dead/m, box/m").generate("Hello?", timeout=60)
try:
    butler.parse("mine")
except valet.MajordomoError:
    print("one copy catches the errors of the other")
except butler.MajordomoError as error:
    print(type(error).__module__)
for copy in (butler, valet):
    registry = copy.Registry.default()
    print(copy.__name__, "is told of", registry.aliases(), "and remembers", len(registry.health.snapshot()))
"""


@pytest.fixture
def two(tmp_path):
    """A folder with two copies, of different versions."""
    for name in ("butler", "valet"):
        copied(tmp_path, name)
    face = tmp_path / "valet" / "__init__.py"
    face.write_text(face.read_text(encoding="utf-8").replace(majordomo.__version__, "0.0.1"), encoding="utf-8")
    return tmp_path


def test_two_copies_are_apart(two, server):
    """Two copies in a process share no error, no name, no health, and each says its own version."""
    server.add(*[lambda seen: Reply(f"{seen.json['messages'][-1]['content']} is {seen.headers['user-agent']}")] * 2)
    dead = f"llama-swap://127.0.0.1:{dead_port()}"
    told = run(*ALONE, "-c", TWO_COPIES + APART, two, LLM_BOX=server.dsn(), LLM_DEAD=dead)
    assert told.splitlines() == [
        f"butler is majordomo/{majordomo.__version__}, valet is majordomo/0.0.1",
        "butler.errors",
        "butler is told of [] and remembers 1",
        "valet is told of ['mine'] and remembers 0",
    ]


FORKING = """
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
for thread in threads:
    thread.start()
children = []
for _ in range(8):
    time.sleep(0.004)
    children.append(os.fork())
    if not children[-1]:
        faulthandler.dump_traceback_later(30, exit=True)
        os._exit([ask(butler), ask(valet)] != ["butler", "valet"])
for thread in threads:
    thread.join()
print([os.waitpid(child, 0)[1] for child in children])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_two_copies_and_forks(two, server):
    """While two copies make their first calls in threads, children are forked that call both."""
    server.add(*[lambda seen: Reply(seen.json["messages"][-1]["content"])] * (2 + 2 * 8))
    told = run(*ALONE, "-c", TWO_COPIES + FORKING, two, LLM_BOX=server.dsn())
    assert told == "[0, 0, 0, 0, 0, 0, 0, 0]\n"

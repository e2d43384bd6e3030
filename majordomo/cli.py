"""The command line: arguments in, text out, no logic of its own.

Standard output is for results alone; all else goes to standard error. Exit status:
0 done, 1 the models failed (or standard output did), 2 wrong use, 130 interrupted. A
mistake at the prompt is one line that says what to do; only a bug shows a traceback.
"""

from __future__ import annotations

import os
import sys

from ._arguments import Command, HelpGiven, Misuse, argument, count, file, number, seconds, size, text
from ._frozen import copied
from ._spec import close_to, fold, is_name
from ._terminal import (
    ProgressLine,
    Spinner,
    Unwritable,
    is_terminal,
    knows,
    put,
    put_bytes,
    put_marked,
    put_rows,
    ready,
    tell,
)
from .errors import ConfigError, DSNError, MajordomoError, ProtocolError, SpecError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence
    from typing import Any, Callable

    from .llm import Request, Response

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130
NAME = (__package__ or "majordomo").rpartition(".")[2]


def main(arguments: Sequence[str] | None = None, prog: str = NAME) -> int:
    """Run a command; gives its exit status. prog: how the command line is called."""
    ready()
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments), prog)
    except HelpGiven:
        return DONE
    except Unwritable as exc:
        return FAILED if exc.quiet else _complain(exc, FAILED)
    except (SpecError, DSNError, ConfigError) as exc:
        return _complain(_on_one_line(exc), WRONG_USE)
    except MajordomoError as exc:
        return _complain(exc, FAILED)
    except OSError as exc:
        return _complain(f"{exc.filename}: {exc.strerror}" if exc.filename else exc, WRONG_USE)
    except KeyboardInterrupt:
        return INTERRUPTED


def _complain(error: object, status: int) -> int:
    told, who = str(error), getattr(error, "target", None)
    tell(f"{NAME}: " + (told.replace(f"{who}: {who} ", f"{who} ", 1) if who else told))  # some messages begin with it
    return status


def _on_one_line(error: MajordomoError) -> object:
    """An error as it is, but for that of a spec, which shows the place on two lines more."""
    message, _, rest = str(error).partition("\n")
    spec, _, marks = rest.partition("\n")
    return f"{message} (character {marks.index('^') - 3} of {spec[4:]!r})" if "^" in marks else error


def _run(arguments: list[str], prog: str) -> int:
    """The command that the arguments name, run with the rest of them."""
    first = arguments[0] if arguments else ""
    command = _COMMANDS.get(first)
    if command is not None:
        return command.run(command.read(first, prog, arguments[1:]))
    if first in ("-h", "--help"):
        put(_help(prog), end="")
    elif first == "--version":
        from . import __version__

        put(f"{NAME} {__version__}")
    elif not first:
        raise Misuse(f"name a command: {', '.join(_COMMANDS)}; see {prog} --help")
    else:
        named = f" {first!r}" if is_name(first) else ""
        raise Misuse(f"unknown command{named}{close_to(first, list(_COMMANDS))}; see {prog} --help")
    return DONE


def _help(prog: str) -> str:
    rows = "".join(f"  {name:8} {command.summary}\n" for name, command in _COMMANDS.items())
    return f"""\
usage: {prog} [-h] [--version] COMMAND ...

Ask LLMs, with failover and deadlines that hold.

commands:
{rows}
A SPEC names whom to ask, and who comes next if that fails:
box/qwen3:14b,openai/gpt-5-mini. A variable says what box is:
LLM_BOX=llama-swap://token@192.168.1.20:8080

Exit status: 0 done, 1 the models failed, 2 wrong use, 130 interrupted.
{prog} COMMAND --help tells more of each.
"""


# What commands ask.


def _ask(asked: Namespace) -> int:
    from .registry import parse

    model = _parsed(asked, parse)
    request = _request(asked)
    with Spinner() as spinner:
        watched = model._watched(spinner.asks)
        if asked.no_stream or asked.json or request.schema is not None:
            response = watched.generate(request, timeout=asked.timeout)
            spinner.stop()
            put(_json(response.to_dict()) if asked.json else _whole(response))
        else:
            response = _streamed(watched, request, asked.timeout, spinner)
    _warn(response.warnings)
    if response.stop_reason in ("length", "content_filter"):
        tell(f"{NAME}: the answer was cut ({response.stop_reason})")
    return DONE


def _whole(response: Response) -> str:
    return (response.text or response.refusal) if response.parsed is None else _json(response.parsed)


def _json(value: Any, indent: int | None = None) -> str:
    """A value as JSON, with escapes where standard output does not know all of its letters."""
    import json

    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return text if knows(sys.stdout, text) else json.dumps(value, indent=indent)


def _streamed(model: Any, request: Request, timeout: float | None, spinner: Spinner) -> Any:
    last = ""
    with model.stream(request, timeout=timeout) as stream:
        try:
            for last in stream.text_deltas():
                spinner.stop()
                put(last, end="")
        finally:
            spinner.stop()
            if last and not last.endswith("\n"):
                put()
        response = stream.response
        if response.refusal and not last:
            put(response.refusal)
        return response


def _parsed(asked: Namespace, parse: Callable[[str], Any]) -> Any:
    """The chain of the spec that was given, or of the one in `MAJORDOMO_MODEL`."""
    from .registry import Registry

    spec, source = _spec(asked.model)
    if spec is None:
        raise ConfigError("no model: say -m PROVIDER/MODEL, or set MAJORDOMO_MODEL")
    if source:
        Registry.default().targets(spec, source)  # which quotes nothing of a variable, where `parse` would
    return parse(spec)


def _spec(given: str | None) -> tuple[str | None, str]:
    """A spec, and the variable it is from, `""` if it was given."""
    from .registry import setting

    return (setting("MAJORDOMO_MODEL"), "MAJORDOMO_MODEL") if given is None else (given, "")


def _warn(warnings: Sequence[str] = ()) -> None:
    """What is to be known of a call that went well, and whether its failures will be remembered."""
    from .registry import Registry

    for warning in warnings:
        tell(f"{NAME}: {warning}")
    fault = getattr(Registry.default().health, "fault", None)
    if fault:
        tell(f"{NAME}: cooldowns are not shared: {fault}")


def _request(asked: Namespace) -> Request:
    """What was asked for, from the arguments and standard input."""
    from .llm import Request, Text, user

    options, images = _options(asked), _images(asked.image)  # before standard input, which may be slow
    return Request((user(*images, Text(_prompt(asked.prompt))),), **options)


def _options(asked: Namespace) -> dict[str, Any]:
    """The options of a request that were given."""
    found = {name: getattr(asked, name) for name in ("system", "max_tokens", "temperature", "reasoning")}
    found["schema"] = None if asked.schema is None else _schema(asked.schema)
    return {name: value for name, value in found.items() if value is not None}


def _prompt(given: str | None) -> str:
    pieces = [given] if given else []
    if sys.stdin is not None and not sys.stdin.isatty():
        piped = sys.stdin.buffer.read()
        try:
            said = piped.decode("utf-8-sig")
        except UnicodeDecodeError as exc:
            raise ConfigError(f"standard input is no UTF-8 (byte {exc.start}); a picture goes into -i FILE") from None
        pieces += [said] if said.strip() else []
    if not pieces:
        raise ConfigError("no prompt: give it as an argument or on standard input")
    return "\n\n".join(pieces)


def _schema(path: str) -> dict[str, Any]:
    from ._json import loads

    with open(path, "rb") as file:
        try:
            schema = loads(file.read(), path)
        except ProtocolError as exc:
            raise ConfigError(exc.message) from None
    if not isinstance(schema, dict):
        raise ConfigError(f"{path}: a JSON Schema is an object, and this is none")
    return schema


def _images(paths: Sequence[str]) -> list[Any]:
    from .llm import Image

    images = []
    for path in paths:
        try:
            images.append(Image.from_file(path))
        except UnsupportedError as exc:
            raise ConfigError(f"{path}: {exc}") from exc
    return images


def _image(asked: Namespace) -> int:
    from .registry import parse_image

    model = _parsed(asked, parse_image)
    _check_output(asked.output)
    with Spinner() as spinner:
        watched = model._watched(spinner.asks)
        drawn = watched.generate(asked.prompt, timeout=asked.timeout, size=asked.size, images=_images(asked.image))
    image = drawn.images[0]
    if asked.output == "-":
        put_bytes(image.data)
    else:
        _write(asked.output, image.data)
        said, kind = os.path.splitext(asked.output)[1][1:].lower(), image.mime.partition("/")[2]
        if said and {"jpg": "jpeg", "tif": "tiff"}.get(said, said) != kind:
            tell(f"{NAME}: {asked.output} holds a picture of another type: {image.mime}")
    _warn(drawn.warnings)
    return DONE


def _check_output(path: str) -> None:
    """Find out before anything is paid for whether a file can be written, by doing it."""
    if path == "-":
        if sys.stdout is None:
            raise Unwritable("standard output is closed")
        if is_terminal(sys.stdout):
            raise ConfigError("a terminal shows no picture: name a file with -o FILE, or send the output to one")
        return
    folder = os.path.dirname(os.path.realpath(path))
    if os.path.isdir(path):
        raise ConfigError(f"{path} is a folder: name a file in it, such as {os.path.join(path, 'picture.png')}")
    if not os.path.isdir(folder):
        raise ConfigError(f"there is no folder {folder}: make it, or name another file with -o")
    beside = _beside(path)
    try:
        if beside != path:
            open(beside, "wb").close()
            os.unlink(beside)
            os.lstat(path)  # its own name may be too long
        elif not os.access(path, os.W_OK):  # to open a pipe is to wait for its reader
            raise ConfigError(f"{path} cannot be written: name another file with -o")
    except FileNotFoundError:
        pass  # so far
    except OSError as exc:
        raise ConfigError(f"{path} cannot be written: {exc.strerror}; name another file with -o") from exc


def _beside(path: str) -> str:
    """Where a file is written before it takes its place; for what is no file (a pipe, a device) that itself."""
    if os.path.exists(path) and not os.path.isfile(path):
        return path
    return os.path.join(os.path.dirname(os.path.realpath(path)), f".{NAME}-{os.getpid()}.part")


def _write(path: str, data: bytes) -> None:
    """Write a file whole or not at all; what is no file gets the bytes as they are."""
    beside = _beside(path)
    try:
        with open(beside, "wb") as file:
            file.write(data)
        if beside != path:
            os.replace(beside, os.path.realpath(path))  # a link stays one
    except BaseException as exc:
        if beside != path and os.path.exists(beside):
            os.unlink(beside)
        if isinstance(exc, OSError):
            raise MajordomoError(f"{path} cannot be written: {exc.strerror}") from exc
        raise


def _models(asked: Namespace) -> int:
    found = _managed(asked, "list_models")(timeout=asked.timeout)
    if found:
        put("\n".join(found))
    return DONE


def _running(asked: Namespace) -> int:
    put(_json(_managed(asked, "running")(timeout=asked.timeout), indent=2))
    return DONE


def _unload(asked: Namespace) -> int:
    from .errors import APIError

    unload = _managed(asked, "unload")
    try:
        unload(asked.model, timeout=asked.timeout)
    except APIError as exc:
        if exc.status != 404 or not asked.model:
            raise
        tell(f"{NAME}: {asked.name} knows no model {asked.model}; {asked.prog} models {asked.name} lists what it has")
        return FAILED
    return DONE


def _managed(asked: Namespace, method: str) -> Any:
    """A method of the provider that was named; what is no provider's name is told from one that is."""
    from .registry import Registry

    name, registry = asked.name, Registry.default()
    again = f"{asked.prog} {asked.command}"
    if "://" in name or "@" in name:
        raise Misuse(f"NAME is a provider's name; put the DSN into a variable: LLM_BOX=..., then {again} box")
    provider, slash, model = name.partition("/")
    if slash or "," in name:
        model = f" {model}" if asked.command == "unload" and slash and "," not in name else ""
        raise Misuse(f"NAME is a provider's, without a model: {again} {provider.partition(',')[0].strip()}{model}")
    if fold(name) in registry.aliases():
        behind = sorted({origin.provider for origin in registry.targets(name)})
        raise Misuse(f"{name} is an alias: {' or '.join(f'{again} {provider}' for provider in behind)}")
    found = getattr(registry.provider(name), method, None)
    if found is None:
        raise Misuse(f"{name} does not know {asked.command}: llama-swap and Ollama do")
    return found


def _explain(asked: Namespace) -> int:
    from ._explain import about, explain, facts, names, probed, to_dict
    from .registry import Registry

    if None not in (asked.spec, asked.model):
        raise Misuse("name one SPEC, with -m or without")
    registry = Registry.default()
    spec, source = _spec(asked.model if asked.spec is None else asked.spec)
    found = names(registry) if spec is None else explain(registry, spec, asked.prog, source)
    targets = []
    for target in found.targets:
        if asked.probe:
            with Spinner() as spinner:
                spinner.asks(target.name)
                target = probed(registry, target, asked.timeout, asked.prog)
        targets.append(target)
        if not asked.json:
            put_marked(target.name, target.state, _COLOURS.get(target.state, ""))
            put_rows(facts(target))
            put()
    found = copied(found, targets=tuple(targets))
    if asked.json:
        put(_json(to_dict(found), indent=2))
    else:
        for kind, title in (("provider", "providers"), ("alias", "aliases")):
            rows = [(name.name, name.told) for name in found.names if name.kind == kind]
            if rows:
                put(title)
                put_rows(rows)
                put()
        put_rows(about(found))
    if found.faults or any(target.faults for target in targets):
        return WRONG_USE
    return FAILED if any(target.probe and target.probe.fault for target in targets) else DONE


_COLOURS = {"fault": "red", "cooling down": "yellow", "answers": "green"}


def _batch(asked: Namespace) -> int:
    from ._batch_file import run_batch
    from .registry import parse

    model = _parsed(asked, parse)
    if asked.output == "-":
        raise Misuse("-o names a file: what stands in it is not asked again")
    if asked.input == "-" and sys.stdin is None:
        raise ConfigError("standard input is closed: name a file of questions")
    with ProgressLine() as progress:
        try:
            found = run_batch(
                model,
                asked.input,
                asked.output,
                workers=asked.workers,
                timeout=asked.timeout,
                retry_failed=asked.retry_failed,
                options=_options(asked),
                on_progress=progress.show,
                on_problem=lambda problem: progress.tell(f"{NAME}: {problem}"),
            )
        except KeyboardInterrupt:
            progress.tell(f"{NAME}: interrupted; {asked.output} keeps what has come, and the same command goes on")
            return INTERRUPTED
    failed = found.failed + found.failed_before
    if failed or found.bad or is_terminal(sys.stderr):
        before = f"{found.skipped} done before" + f", {found.failed_before} of them failed" * (found.failed_before > 0)
        again = "; --retry-failed asks the failed ones again" if failed else ""
        now = f"{found.done} answered, {found.failed} failed, {found.bad} not read"
        tell(f"{NAME}: {asked.output}: {now}, {before}{again}")
    _warn()
    return WRONG_USE if found.bad else FAILED if failed else DONE


def _demo(asked: Namespace) -> int:
    from . import demo

    demo.run()
    return DONE


_MODEL = argument(
    "-m",
    "--model",
    metavar="SPEC",
    type=text,
    help="whom to ask, such as box/qwen3:14b,openai/gpt-5-mini (default: MAJORDOMO_MODEL)",
)
_OPTIONS = (
    argument("-s", "--system", metavar="TEXT", type=text, help="the system prompt"),
    file("--schema", help="a JSON Schema that the answer must follow"),
    argument("--max-tokens", metavar="N", type=count, help="what an answer may have, thoughts included"),
    argument("--temperature", metavar="T", type=number, help="how much is left to chance, from 0"),
    argument("--reasoning", metavar="LEVEL", help="off, minimal, low, medium, high or max"),
)
_TIMEOUT = argument("--timeout", metavar="S", type=seconds, help="seconds for the whole call")
_PICTURE = file("-i", "--image", action="append", default=[], help="a picture; may be given several times")
_PROVIDER = argument("name", metavar="NAME", type=text, help="a provider: the part of a target before the slash")
_MANAGE_TIMEOUT = argument("--timeout", metavar="S", type=seconds, help="seconds until it is given up (default: 30)")

_COMMANDS = {
    "demo": Command(
        _demo,
        "see the main job done, without key, network or server",
        "A dead target and a live one stand in a chain; the live one is a server on loopback.",
        ("demo",),
    ),
    "ask": Command(
        _ask,
        "ask a question; the answer goes to standard output",
        "The question is the argument, standard input, or both. In a script whose standard input stays open (a `while "
        "read` loop, ssh), add < /dev/null. The answer is printed as it comes, all else goes to standard error.",
        (
            'ask -m box/qwen3:14b,openai/gpt-5-mini "Why is the sky blue?"',
            'git diff | {} ask -m box/qwen3:14b "Write a commit message for this."',
            'ask -m box/qwen3:14b -i photo.jpg "What is this?" < /dev/null',
        ),
        (
            argument("prompt", nargs="?", metavar="PROMPT", type=text, help="the question"),
            _MODEL,
            *_OPTIONS,
            _PICTURE,
            _TIMEOUT,
            argument("--no-stream", action="store_true", help="print the answer when it is whole"),
            argument("--json", action="store_true", help="print the whole response as JSON"),
        ),
    ),
    "image": Command(
        _image,
        "draw a picture into a file",
        "With -i the picture is made from others. A file is written whole or not at all.",
        (
            'image -m box/flux -o dot.png "a red dot"',
            'image -m openai/gpt-image-1 -o blue.png -i dot.png --size 1024x1024 "make it blue"',
        ),
        (
            argument("prompt", metavar="PROMPT", type=text, help="what to draw"),
            _MODEL,
            file("-o", "--output", required=True, help="where it goes; - for standard output"),
            argument("--size", metavar="WxH", type=size, help="in pixels, such as 1024x1024"),
            _PICTURE,
            _TIMEOUT,
        ),
    ),
    "batch": Command(
        _batch,
        "ask many questions, from one file into another",
        'A line of IN.jsonl is {"id": ..., "prompt": ...}, or with "messages" instead, and options of a request. A '
        'line of OUT.jsonl is {"id", "text", "model", "usage"} or {"id", "error", "kind"}, in the order they come in. '
        "Started again, it does what is missing. Exit status: 2 if lines cannot be read, else 1 if some failed.",
        (
            "batch -m box/qwen3:14b in.jsonl -o out.jsonl",
            "batch -m box/qwen3:14b in.jsonl -o out.jsonl --workers 32 --timeout 120 --retry-failed",
        ),
        (
            file("input", metavar="IN.jsonl", help="the questions; - for standard input"),
            _MODEL,
            *_OPTIONS,
            file("-o", "--output", metavar="OUT.jsonl", required=True, help="where the answers go"),
            argument("--workers", metavar="N", type=count, default=8, help="how many are asked at once (default: 8)"),
            argument("--timeout", metavar="S", type=seconds, help="seconds for each question"),
            argument("--retry-failed", action="store_true", help="ask those again that had failed"),
        ),
    ),
    "models": Command(
        _models,
        "list the models that a provider has, one a line",
        examples=("models box", "models openai"),
        arguments=(_PROVIDER, _MANAGE_TIMEOUT),
    ),
    "running": Command(
        _running,
        "show what runs on a llama-swap or an Ollama, as the server's own JSON",
        "It may hold secrets, such as a command line with a token.",
        ("running box", "running ollama"),
        (_PROVIDER, _MANAGE_TIMEOUT),
    ),
    "unload": Command(
        _unload,
        "unload a model of a llama-swap or an Ollama, or all of them",
        "What is not loaded is unloaded already.",
        ("unload box qwen3:14b", "unload box"),
        (
            _PROVIDER,
            argument("model", nargs="?", metavar="MODEL", type=text, help="a model's id (default: all)"),
            _MANAGE_TIMEOUT,
        ),
    ),
    "explain": Command(
        _explain,
        "tell what a spec comes to, and what is wrong with it",
        "For each target: where its names come from, the URL, limits and health, and what to do about each fault; "
        "tokens are not shown. Without SPEC and MAJORDOMO_MODEL: the names that are known. Exit status: 2 if the spec "
        "or a variable is wrong, 1 if a target that was probed did not answer.",
        ("explain box/qwen3:14b,openai/gpt-5-mini", "explain --probe careful", "explain"),
        (
            argument("spec", nargs="?", metavar="SPEC", type=text, help="the same as -m SPEC"),
            _MODEL,
            argument("--probe", action="store_true", help="ask each target a tiny question"),
            argument("--timeout", metavar="S", type=seconds, default=30.0, help="seconds each has (default: 30)"),
            argument("--json", action="store_true", help="print it all as JSON"),
        ),
    ),
}

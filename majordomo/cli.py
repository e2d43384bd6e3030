"""The command line: arguments in, text out, no logic of its own.

Standard output is for results alone; all else goes to standard error. Exit status:
0 done, 1 the models failed, 2 wrong use, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from .errors import ConfigError, DSNError, MajordomoError, SpecError, UnsupportedError
from .llm import Image, Request, Text, user

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130

_EXAMPLES = """\
examples:
  %(prog)s demo
  %(prog)s ask -m box/qwen3:14b,openai/gpt-5-mini "Why is the sky blue?"
  git diff | %(prog)s ask -m box/qwen3:14b "Write a commit message for this."
  LLM_BOX=llama-swap://token@host:8080 %(prog)s ask -m box/qwen3:14b -i photo.jpg "What is this?"
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; gives its exit status."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if not getattr(asked, "run", None):
        parser.print_help()
        return WRONG_USE
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a model may say what this terminal cannot
    try:
        status: int = asked.run(asked)
        sys.stdout.flush()
        return status
    except (SpecError, DSNError, ConfigError) as exc:
        return _complain(exc, WRONG_USE)
    except MajordomoError as exc:
        return _complain(exc, FAILED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
        return FAILED
    except OSError as exc:
        return _complain(exc, WRONG_USE)
    except KeyboardInterrupt:
        return INTERRUPTED


def _complain(error: Exception, status: int) -> int:
    print(f"majordomo: {error}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    from . import __version__

    parser = argparse.ArgumentParser(
        prog="majordomo",
        description="Ask LLMs, with failover and deadlines that hold.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"majordomo {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    demo = commands.add_parser("demo", help="see the main job done, without key, network or server")
    demo.set_defaults(run=_demo)
    ask = commands.add_parser("ask", help="ask a question; the answer goes to standard output")
    ask.add_argument("prompt", nargs="?", metavar="PROMPT", help="the question; standard input is added to it")
    ask.add_argument("-m", "--model", metavar="SPEC", help=_MODEL)
    ask.add_argument("-s", "--system", metavar="TEXT", help="the system prompt")
    ask.add_argument("-i", "--image", metavar="FILE", action="append", default=[], help="a picture; may stand often")
    ask.add_argument("--schema", metavar="FILE", help="a JSON Schema that the answer must follow")
    ask.add_argument("--timeout", metavar="S", type=float, help="seconds for the whole call")
    ask.add_argument("--no-stream", action="store_true", help="print the answer when it is whole")
    ask.add_argument("--json", action="store_true", help="print the whole response as JSON")
    ask.set_defaults(run=_ask)
    return parser


_MODEL = "where to ask, such as box/qwen3:14b,openai/gpt-5-mini (default: MAJORDOMO_MODEL)"


def _ask(asked: argparse.Namespace) -> int:
    from .registry import default_spec, parse

    spec = asked.model or default_spec()
    if not spec:
        raise ConfigError("no model: say -m PROVIDER/MODEL, or set MAJORDOMO_MODEL")
    model = parse(spec)
    request = _request(asked)
    if asked.no_stream or asked.json or request.schema is not None:
        response = model.generate(request, timeout=asked.timeout)
        if asked.json:
            print(_shown(json.dumps(response.to_dict(), ensure_ascii=False)))
        elif response.parsed is not None:
            print(_shown(json.dumps(response.parsed, ensure_ascii=False)))
        else:
            print(_shown(response.text or response.refusal))
    else:
        response = _streamed(model, request, asked.timeout)
    for warning in response.warnings:
        print(f"majordomo: {warning}", file=sys.stderr)
    if response.stop_reason in ("length", "content_filter"):
        print(f"majordomo: the answer was cut ({response.stop_reason})", file=sys.stderr)
    return DONE


def _streamed(model: Any, request: Request, timeout: float | None) -> Any:
    last = ""
    with model.stream(request, timeout=timeout) as stream:
        try:
            for last in stream.text_deltas():
                print(_shown(last), end="", flush=True)
        finally:
            if last and not last.endswith("\n"):
                print(flush=True)
        response = stream.response
        if response.refusal and not last:
            print(_shown(response.refusal))
        return response


# Control characters, save for tab and line feed; of a line end that is two, one is enough.
_CONTROLS = {**dict.fromkeys({*range(0x20), *range(0x7F, 0xA0)} - {0x09, 0x0A}, "\ufffd"), 0x0D: None}


def _shown(text: str) -> str:
    """A model's words as they are written: to a terminal without what would drive it."""
    return text.translate(_CONTROLS) if sys.stdout.isatty() else text


def _request(asked: argparse.Namespace) -> Request:
    """What was asked for, from the arguments and standard input."""
    pieces = [asked.prompt] if asked.prompt else []
    if sys.stdin is not None and not sys.stdin.isatty():
        piped = sys.stdin.read()
        pieces += [piped] if piped.strip() else []
    if not pieces:
        raise ConfigError("no prompt: give it as an argument or on standard input")
    schema = None
    if asked.schema:
        with open(asked.schema, encoding="utf-8") as file:
            try:
                schema = json.load(file)
            except ValueError as exc:
                raise ConfigError(f"{asked.schema} is no JSON: {exc}") from exc
    images = []
    for path in asked.image:
        try:
            images.append(Image.from_file(path))
        except UnsupportedError as exc:
            raise ConfigError(f"{path}: {exc}") from exc
    return Request((user(*images, Text("\n\n".join(pieces))),), system=asked.system, schema=schema)


def _demo(asked: argparse.Namespace) -> int:
    from . import demo

    demo.run()
    return DONE

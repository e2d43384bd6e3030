"""The arguments of a command: which there are, what help says of them, and what is told of mistakes.

`argparse` reads them. Around it stands what it does not do: a mistake is one line that
ends the search, and a text is UTF-8 whatever the locale makes of its bytes.
"""

from __future__ import annotations

import argparse
import math
import os

from ._spec import close_to
from ._terminal import put
from .errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from dataclasses import dataclass
    from typing import Any, Callable

    Argument = tuple[tuple[str, ...], dict[str, Any]]
else:
    from ._frozen import dataclass

__all__ = ["Command", "HelpGiven", "Misuse", "argument", "count", "file", "number", "seconds", "size", "text"]


class Misuse(ConfigError):
    """Arguments that cannot be meant."""


class HelpGiven(Exception):
    """Help was asked for, and is written."""


@dataclass(frozen=True)
class Command:
    """A row: what a command does, what it is called with, and what help says of it.

    run: does it, and gives the exit status. arguments: see `argument`. examples: command
    lines, without the program's name unless there is a "{}" for it.
    """

    run: Callable[[argparse.Namespace], int]
    summary: str
    description: str = ""
    examples: tuple[str, ...] = ()
    arguments: tuple[Argument, ...] = ()

    def read(self, name: str, prog: str, given: Sequence[str]) -> argparse.Namespace:
        """The arguments as they are meant, `prog` and `command` (its name) among them.

        Raises Misuse if they cannot be meant, HelpGiven when it has been.
        """
        parser = self._parser(name, prog)
        options = ["--help", *[flag for flags, _ in self.arguments for flag in flags if flag.startswith("-")]]
        for item in given:
            if item == "--":
                break
            flag = item.partition("=")[0]
            if item.startswith("--") and " " not in flag and flag not in options:
                parser.error(f"unknown option {flag}{close_to(flag, options)}")
        asked, rest = parser.parse_known_args(given)
        if rest:
            odd = rest[0][:2] if rest[0].startswith("-") else ""
            parser.error(
                f"unknown option {odd}" if odd else "too many arguments; a text of several words goes into quotes"
            )
        return asked

    def _parser(self, name: str, prog: str) -> _Parser:
        lines = [line.format(prog) if "{}" in line else f"{prog} {line}" for line in self.examples]
        parser = _Parser(
            prog=f"{prog} {name}",
            description=f"{self.summary[0].upper()}{self.summary[1:]}. {self.description}".strip(),
            epilog="examples:\n" + "".join(f"  {line}\n" for line in lines),
            formatter_class=_Formatter,
        )
        for flags, settings in self.arguments:
            parser.add_argument(*flags, **settings)
        parser.set_defaults(prog=prog, command=name)
        return parser


def argument(*flags: str, **settings: Any) -> Argument:
    """What `add_argument` takes, as a row."""
    return flags, settings


def file(*flags: str, metavar: str = "FILE", **settings: Any) -> Argument:
    """The row of an argument that names a file."""
    return argument(*flags, metavar=metavar, type=_filename, **settings)


class _Parser(argparse.ArgumentParser):
    """`argparse`, whose complaints are one line, and which ends no process."""

    def error(self, message: str) -> Any:
        message = message[len("argument ") :] if message.startswith("argument ") else message
        raise Misuse(f"{message}; see {self.prog} --help")

    def print_help(self, file: Any = None) -> None:
        put(self.format_help(), end="")
        raise HelpGiven


class _Formatter(argparse.HelpFormatter):
    """Help that is filled, save for the examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith("examples:\n") else super()._fill_text(text, width, indent)


# What arguments may be; what is raised here stands behind the argument's name.


def text(given: str) -> str:
    """A text; one that the locale could not read is UTF-8."""
    try:
        given.encode("utf-8")
        return given
    except UnicodeEncodeError:
        try:
            return os.fsencode(given).decode("utf-8")
        except UnicodeError:
            raise argparse.ArgumentTypeError("this is no UTF-8") from None


def _filename(given: str) -> str:
    """A name as the system has it; an empty one is a variable that was not set."""
    if not given:
        raise argparse.ArgumentTypeError("the name of a file is empty")
    return given


def seconds(given: str) -> float:
    """A time that is more than nothing and less than for ever."""
    found = _float(given)
    if not 0 < found < math.inf:
        raise argparse.ArgumentTypeError("a number of seconds above 0 is wanted, such as 60")
    return found


def number(given: str) -> float:
    """A number, whatever it counts."""
    found = _float(given)
    if not math.isfinite(found):
        raise argparse.ArgumentTypeError("a number is wanted, such as 0.7")
    return found


def _float(given: str) -> float:
    try:
        return float(given)
    except ValueError:
        return math.nan


def count(given: str) -> int:
    """A whole number from 1."""
    if not (given.isascii() and given.isdigit() and len(given) < 10 and int(given)):
        raise argparse.ArgumentTypeError("a whole number from 1 is wanted")
    return int(given)


def size(given: str) -> tuple[int, int] | None:
    """(width, height) of a picture."""
    from .imagegen import ImageRequest

    try:
        return ImageRequest("any", size=given).size  # type: ignore[arg-type]
    except ConfigError:
        raise argparse.ArgumentTypeError("WIDTHxHEIGHT in pixels is wanted, such as 1024x1024") from None

"""What a docstring says of a function or a class, and of each of its parameters.

Google's, NumPy's and reST's styles are read, also side by side, line by line and each
line once, for a docstring may come from anywhere. What is in no section is the text. A
paragraph such as `timeout: seconds for the call` is text as well: a sentence may begin
like that.
"""

from __future__ import annotations

import re
from inspect import cleandoc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from dataclasses import dataclass, field
    from typing import Callable, Optional

    Item = Optional[tuple[list[str], str]]  # names, and what stands on the same line
else:
    from ._frozen import dataclass, field

__all__ = ["Docstring", "read"]

_PARAMETERS, _DROPPED, _NOTE = "parameters", "dropped", "note"

# Heading -> what becomes of the section. Source: sphinx.ext.napoleon, `GoogleDocstring._sections`.
_SECTIONS = {
    **dict.fromkeys(("arg", "args", "argument", "arguments", "parameter", "parameters", "params"), _PARAMETERS),
    **dict.fromkeys(("keyword arg", "keyword args", "keyword argument", "keyword arguments"), _PARAMETERS),
    **dict.fromkeys(("other parameters", "attribute", "attributes", "fields"), _PARAMETERS),
    **dict.fromkeys(("return", "returns", "yield", "yields", "receive", "receives"), _DROPPED),
    **dict.fromkeys(("raise", "raises", "except", "exceptions", "warns", "see also", "references"), _DROPPED),
    **dict.fromkeys(("example", "examples", "methods", "todo"), _DROPPED),
    **dict.fromkeys(("note", "notes", "warning", "warnings", "important", "caution", "tip", "hint"), _NOTE),
}
_ON_ONE_LINE = ("return", "returns", "yield", "yields", "raises")  # `Returns: the count`

# Field -> what becomes of it. Source: sphinx.domains.python, `PyObject.doc_field_types`.
_FIELDS = {
    **dict.fromkeys(("param", "parameter", "arg", "argument", "key", "keyword", "kwarg"), _PARAMETERS),
    **dict.fromkeys(("ivar", "var", "cvar"), _PARAMETERS),
    **dict.fromkeys(("type", "vartype", "paramtype", "kwtype", "return", "returns", "rtype"), _DROPPED),
    **dict.fromkeys(("yield", "yields", "ytype", "raise", "raises", "except", "exception", "meta"), _DROPPED),
}

_NAME = r"`{0,2}(?:\\?\*){0,2}\w+`{0,2}"
_NAMES = re.compile(rf"(?:[-*+] )?{_NAME}(?: *, *{_NAME})*")
_WORD = re.compile(r"\w+")
_BRACKET = re.compile(r"[()]")
_UNDERLINE = re.compile(r" *(?:-{3,}|={3,})$")
_OWN_LINE = re.compile(r" |[-*+•] |\d{1,3}[.)] |>>>")


@dataclass(frozen=True)
class Docstring:
    """text: what is said of the whole, paragraphs apart. of: what is said of each parameter or attribute."""

    text: str = ""
    of: dict[str, str] = field(default_factory=dict)


def read(docstring: str | None) -> Docstring:
    """Read a docstring as it stands in the source. Never raises: what is odd is text."""
    # `cleandoc` takes leading blank lines away one by one, each at the price of all
    clean = cleandoc("\n".join((docstring or "").strip().splitlines()))
    lines = [line.rstrip() for line in clean.split("\n")]
    return _Reader([line for before, line in zip(["", *lines], lines) if line or before]).read()


class _Reader:
    """The lines of one docstring, no two blank ones in a row, and how far they have been read."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._at = 0
        self._text: list[str] = []
        self._of: dict[str, list[str]] = {}

    def read(self) -> Docstring:
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if self._took_field(line) or self._took_underlined(line) or self._took_indented(line):
                self._text.append("")
            else:
                self._text.append(line)
                self._at += 1
        several = {id(lines): lines for lines in self._of.values()}  # names may share their lines
        told = {key: " ".join(" ".join(lines).split()) for key, lines in several.items()}
        of = {name: told[id(lines)] for name, lines in self._of.items() if told[id(lines)]}
        return Docstring("\n\n".join(_paragraphs(self._text)), of)

    def _took_field(self, line: str) -> bool:
        """Take `:param int name: text`."""
        found = _field(line)
        if found is None:
            return False
        margin, (words, text) = _indent(line), found
        self._at += 1
        more = self._block(lambda inner, blank: _field(inner) is None and (_indent(inner) > margin or not blank))
        if _FIELDS[words[0]] == _PARAMETERS and len(words) > 1:
            self._keep(words[-1:]).extend((text, *more))
        return True

    def _took_underlined(self, line: str) -> bool:
        """Take a section of NumPy's style. Nothing but the next one ends it, for its body stands at the same margin."""
        kind = _SECTIONS.get(line.strip().lower())
        if kind is None or not self._is_underlined(self._at):
            return False
        margin = _indent(line)
        self._at += 2

        def is_inside(inner: str, blank: bool) -> bool:
            fits = kind != _PARAMETERS or _indent(inner) > margin or _numpy_item(inner) is not None
            return fits and not self._is_underlined(self._at)

        self._section(kind, line, self._block(is_inside), margin, _numpy_item)
        return True

    def _took_indented(self, line: str) -> bool:
        """Take a section of Google's style. If its body is not indented, a blank line ends it."""
        title, text = _heading(line)
        if not title or (text and (title.lower() not in _ON_ONE_LINE or self._at == 0)):
            return False
        kind, margin = _SECTIONS[title.lower()], _indent(line)
        following = self._lines[self._at + 1 : self._at + 3]
        first = next(filter(None, following), "")
        flat = _indent(first) <= margin
        if flat and first and not text:
            if not following[0] or _heading(first)[0] or (kind == _PARAMETERS and _google_item(first) is None):
                return False
        self._at += 1
        body = self._block(
            lambda inner, blank: _indent(inner) > margin or (flat and not blank and not _heading(inner)[0])
        )
        self._section(kind, title, body, _indent(first), _google_item)
        return True

    def _section(self, kind: str, title: str, body: list[str], margin: int, item: Callable[[str], Item]) -> None:
        """Keep what a section says. margin: of its items; a line that begins none goes on with the one before."""
        if kind == _PARAMETERS:
            lines: list[str] = []
            for line in body:
                found = item(line) if line and _indent(line) <= margin else None
                names, text = found or ((), line)
                lines = self._keep(names) if found else lines
                lines.append(text)
        elif kind == _NOTE:  # one paragraph is worth telling, more is for readers of the source
            paragraphs = _paragraphs([line.strip() for line in body])
            self._text += ["", *(f"{title.strip()}: {text}" for text in paragraphs if len(paragraphs) == 1)]

    def _block(self, is_inside: Callable[[str, bool], bool]) -> list[str]:
        """Take the lines that are inside; `is_inside` is also told whether the line before is blank."""
        taken: list[str] = []
        blank = False
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line and not is_inside(line, blank):
                break
            blank = not line
            taken.append(line)
            self._at += 1
        return taken

    def _is_underlined(self, at: int) -> bool:
        title, line = self._lines[at], "".join(self._lines[at + 1 : at + 2])
        return bool(title) and _UNDERLINE.match(line) is not None and _indent(line) == _indent(title)

    def _keep(self, names: Iterable[str]) -> list[str]:
        """Where the lines about these names go; what was said of a name first counts."""
        lines: list[str] = []
        for name in names:
            word = _WORD.search(name)
            if word:
                self._of.setdefault(word[0], lines)
        return lines


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _paragraphs(lines: Iterable[str]) -> list[str]:
    """The paragraphs, each on one line, save for lists and what is indented."""
    found: list[list[str]] = [[]]
    for line in lines:
        if not line:
            found.append([])
        else:
            found[-1] += ("\n" if _OWN_LINE.match(line) else " ", line)
    return ["".join(paragraph[1:]) for paragraph in found if paragraph]


def _field(line: str) -> tuple[list[str], str] | None:
    """The words of a field's name, and its text."""
    bare = line.lstrip()
    head, colon, text = bare[1:].partition(":")
    words = head.split()
    if bare[:1] != ":" or not colon or not words or words[0] not in _FIELDS:
        return None
    return (words, text) if len(words) > 1 or not text or text[0] == " " else None  # :key:`text` is a role


def _heading(line: str) -> tuple[str, str]:
    """A section's title and what follows on its line; `""` for a line that is no heading."""
    title, colon, text = line.strip().partition(":")
    return (title, text) if colon and title[:1].isupper() and title.lower() in _SECTIONS else ("", "")


def _numpy_item(line: str) -> Item:
    """`name : type`, `a, b : int`, `name`; the text is on the lines below."""
    names, rest = _names(line)
    return (names, "") if names and rest[:1] in ("", ":") else None


def _google_item(line: str) -> Item:
    """`name (type): text`, `name: text`."""
    names, rest = _names(line)
    depth = 0
    for bracket in _BRACKET.finditer(rest) if rest[:1] == "(" else ():
        depth += 1 if bracket[0] == "(" else -1
        if not depth:
            rest = rest[bracket.end() :].lstrip()
            break
    return (names, rest[1:]) if names and rest[:1] == ":" else None


def _names(line: str) -> tuple[list[str], str]:
    """The names at the start of an item, and what follows them."""
    bare = line.lstrip()
    found = _NAMES.match(bare)
    return (found[0].split(","), bare[found.end() :].lstrip()) if found else ([], bare)

"""What a person sees of the command line: text that drives no terminal, and signs of life while it waits.

Standard output holds results alone, and one that takes no more ends the command
(`Unwritable`). Standard error is for people: what it does not take is lost. Whatever
moves (a spinner, a line of progress) is on standard error, where that is a terminal that
can erase a line, and gone before anything else is written.
"""

from __future__ import annotations

import io
import os
import sys
import time

from .registry import setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from threading import Event, Thread
    from typing import Any

    from ._batch_file import Progress

PATIENCE = 1.0  # seconds of a wait that needs no sign of life
TURN = 0.1  # seconds between two frames of the spinner
REDRAWN = 0.2  # ...and between two looks of the line of progress
USUAL_WIDTH = 80
FRAMES, PLAIN_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\"
COLOURS = {"green": "32", "red": "31", "yellow": "33"}

# Control characters, save for tab and line feed; of a line end that is two, one is enough.
_CONTROLS = {**dict.fromkeys({*range(0x20), *range(0x7F, 0xA0)} - {0x09, 0x0A}, "\ufffd"), 0x0D: None}


class Unwritable(Exception):
    """Standard output takes no more. quiet: its reader has left, and wants to hear nothing."""

    def __init__(self, reason: str, quiet: bool = False) -> None:
        super().__init__(reason)
        self.quiet = quiet


def ready() -> None:
    """Let the standard streams take any text, and all of it; a stream that is closed stays so."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a model may say what this terminal cannot
    # Unbuffered (PYTHONUNBUFFERED) what one write leaves over is lost, and nobody is told.
    if isinstance(getattr(sys.stdout, "buffer", None), io.FileIO):
        sys.stdout = open(sys.stdout.fileno(), "w", 1, sys.stdout.encoding, "replace", closefd=False)  # noqa: SIM115


def is_terminal(stream: Any) -> bool:
    """Whether a stream, which may be closed, is a terminal."""
    return stream is not None and stream.isatty()


def shown(text: str, stream: Any) -> str:
    """Somebody else's words as they are written: to a terminal without what would drive it."""
    return text.translate(_CONTROLS) if is_terminal(stream) else text


def put(text: str = "", end: str = "\n") -> None:
    """Results, to standard output, at once."""
    _written(lambda stream: stream.write(shown(text, stream) + end))


def put_marked(text: str, mark: str, colour: str) -> None:
    """A result with a mark behind it, `""` for none, in a colour where there are any."""
    _written(lambda stream: stream.write(shown(text, stream) + (mark and "  " + coloured(mark, colour, stream)) + "\n"))


def put_rows(rows: Iterable[tuple[str, str]]) -> None:
    """Results in two columns; on a terminal the second one is filled."""
    rows = list(rows)
    first = max((len(name) for name, _ in rows), default=0) + 4
    for name, text in rows:
        head = f"  {name}".ljust(first)
        for line in text.split("\n"):
            for piece in _filled(line, first):
                put((head + piece).rstrip())
                head = " " * first


def _filled(line: str, indent: int) -> list[str]:
    if not is_terminal(sys.stdout):
        return [line]
    from textwrap import wrap

    room = max(20, width(sys.stdout) - indent)
    return wrap(line, room, break_long_words=False, break_on_hyphens=False) if len(line) > room else [line]


def put_bytes(data: bytes) -> None:
    """A result that is no text, to standard output."""
    _written(lambda stream: stream.buffer.write(data))


def _written(write: Any) -> None:
    stream = sys.stdout
    if stream is None:
        raise Unwritable("standard output is closed")
    try:
        write(stream)
        stream.flush()
    except OSError as exc:
        _forget(stream)
        raise Unwritable(f"standard output: {exc.strerror}", isinstance(exc, BrokenPipeError)) from None


def _forget(stream: Any) -> None:
    """Let what a stream has not taken be lost, or the interpreter fails to write it at its end (status 120)."""
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
    except OSError:
        pass  # it is no file


def tell(text: str) -> None:
    """A line for people, to standard error."""
    if sys.stderr is not None:
        _heard(sys.stderr, shown(text, sys.stderr) + "\n")


def _heard(stream: Any, text: str) -> None:
    """Text for people, to a stream that may take none."""
    try:
        stream.write(text)
        stream.flush()
    except OSError:
        _forget(stream)


def width(stream: Any) -> int:
    """The columns of a terminal: what `COLUMNS` says, or the terminal itself."""
    try:
        columns = int(setting("COLUMNS") or 0)
    except ValueError:
        columns = 0
    if columns <= 0:
        try:
            columns = os.get_terminal_size(stream.fileno()).columns
        except (OSError, ValueError):
            columns = 0
    return columns if columns > 0 else USUAL_WIDTH


def clipped(text: str, cells: int) -> str:
    """The beginning of a text that takes no more than so many cells of a terminal."""
    from unicodedata import category, east_asian_width

    for position, char in enumerate(text):
        cells -= 0 if category(char) in ("Mn", "Me", "Cf") else 2 if east_asian_width(char) in "WF" else 1
        if cells < 0:
            return text[:position]
    return text


def coloured(text: str, colour: str, stream: Any) -> str:
    """A text in a colour, on a terminal that has them and a user who wants them."""
    if not _moves(stream) or setting("NO_COLOR"):
        return text
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m"


def span(seconds: float) -> str:
    """A time to wait, in two digits or so."""
    for unit, size in (("s", 1), ("min", 60), ("h", 3600)):
        if seconds < 100 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"


def _moves(stream: Any) -> bool:
    """Whether a stream is a terminal on which a line can be written anew."""
    return is_terminal(stream) and setting("TERM") != "dumb"


def _is_in_front(stream: Any) -> bool:
    """Whether a terminal is this process's to draw on, and not the shell's that runs it in the background."""
    try:
        return os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except (AttributeError, OSError):
        return True  # there are no jobs


class _Line:
    """The last line of standard error, written anew again and again; where that cannot be, nothing."""

    def __init__(self) -> None:
        self._stream = sys.stderr
        self.moves = _moves(sys.stderr) and _is_in_front(sys.stderr)

    def draw(self, text: str) -> None:
        """Show this instead of what the line showed."""
        _heard(self._stream, "\r" + clipped(text, width(self._stream) - 1) + "\x1b[K")

    def erase(self) -> None:
        """Leave an empty line, for others to write on."""
        _heard(self._stream, "\r\x1b[K")


class Spinner:
    """A context manager: a wait of over a second shows who is asked, and since when."""

    def __init__(self) -> None:
        self._line, self._target, self._began = _Line(), "", time.monotonic()
        self._over: Event | None = None
        self._thread: Thread | None = None

    def __enter__(self) -> Spinner:
        if self._line.moves:
            from threading import Event, Thread

            self._over = Event()
            self._thread = Thread(target=self._spin, args=(self._over,), daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def asks(self, target: str) -> None:
        """From here on it is this target that is waited for."""
        self._target = target

    def stop(self) -> None:
        """The wait is over, and the line is empty."""
        thread, self._thread = self._thread, None
        if thread is not None and self._over is not None:
            self._over.set()
            thread.join()

    def _spin(self, over: Event) -> None:
        if over.wait(PATIENCE):
            return
        frames = FRAMES if knows(sys.stderr, FRAMES) else PLAIN_FRAMES
        turn = 0
        while not over.is_set():
            since = f" {time.monotonic() - self._began:.0f} s"
            room = width(sys.stderr) - 3 - len(since)
            self._line.draw(f"{frames[turn % len(frames)]} {clipped(self._target, room)}{since}")
            turn += 1
            over.wait(TURN)
        self._line.erase()


class ProgressLine:
    """A context manager: how far many prompts have come, on one line."""

    def __init__(self) -> None:
        self._line, self._drawn = _Line(), 0.0

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *error: object) -> None:
        self._make_way()

    def show(self, so_far: Progress) -> None:
        """How far it is now; drawn now and then."""
        now = time.monotonic()
        if not self._line.moves or (self._drawn and now - self._drawn < REDRAWN):
            return
        self._drawn = now
        ended, total = so_far.done + so_far.failed + so_far.skipped + so_far.bad, so_far.total
        facts = [f"{ended}" if total is None else f"{ended}/{total}"]
        facts += [f"{100 * ended // total} %"] if total else []
        facts += [f"{so_far.rate:.1f}/s" if so_far.rate else span(so_far.seconds)]
        facts += [f"{span(so_far.left)} left"] if so_far.left is not None else []
        facts += [f"{so_far.failed} failed"] if so_far.failed else []
        self._line.draw("  " + "  ".join(facts))

    def tell(self, text: str) -> None:
        """A line for people, above the line of progress."""
        self._make_way()
        tell(text)

    def _make_way(self) -> None:
        if self._drawn:
            self._line.erase()
            self._drawn = 0.0


def knows(stream: Any, text: str) -> bool:
    """Whether the encoding of a stream, which may be closed, has all of a text."""
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True

"""What a person sees while waiting, and what a terminal is never sent."""

from __future__ import annotations

import errno
import io
import os
import time
import unicodedata
from types import SimpleNamespace

import pytest

from majordomo import _terminal
from majordomo._batch_file import Progress
from majordomo._terminal import (
    ProgressLine,
    Spinner,
    Unwritable,
    clipped,
    coloured,
    put,
    put_rows,
    shown,
    span,
    tell,
    width,
)

WAIT = 20.0  # seconds that a loaded machine may take for anything here


class Screen(io.TextIOWrapper):
    """A terminal that remembers what it was sent."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding, newline="")

    def isatty(self) -> bool:
        return True

    @property
    def sent(self) -> str:
        return self.buffer.getvalue().decode(self.encoding)


@pytest.fixture
def streams(monkeypatch):
    """The streams as the module sees them (pytest changes those of `sys` between fixtures and test)."""
    found = SimpleNamespace(stdout=io.StringIO(), stderr=Screen())
    monkeypatch.setattr(_terminal, "sys", found)
    return found


@pytest.fixture
def screen(monkeypatch, streams):
    """Standard error is a terminal, and nobody waits for a sign of life."""
    for name in ("COLUMNS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(_terminal, "PATIENCE", 0.0)
    monkeypatch.setattr(_terminal, "TURN", 0.001)
    monkeypatch.setattr(_terminal, "REDRAWN", 0.0)
    return streams.stderr


def until(seen) -> None:
    """Wait for something that another thread does."""
    ends = time.monotonic() + WAIT
    while not seen():
        assert time.monotonic() < ends
        time.sleep(0.001)


def test_the_spinner_tells_who_is_asked_and_leaves_nothing(screen):
    """A wait shows its target and its seconds, follows to the next one, and is gone when it is over."""
    with Spinner() as spinner:
        spinner.asks("box/qwen3:14b")
        until(lambda: "box/qwen3:14b 0 s" in screen.sent)
        spinner.asks("cloud/gpt")
        until(lambda: "cloud/gpt 0 s" in screen.sent)
        spinner.stop()
        assert screen.sent.endswith("\r\x1b[K")
        before = screen.sent
    assert screen.sent == before


def test_a_short_wait_shows_nothing(screen, monkeypatch):
    """A wait that ends within a second is silent."""
    monkeypatch.setattr(_terminal, "PATIENCE", WAIT)
    with Spinner() as spinner:
        spinner.asks("box/m")
    assert screen.sent == ""


def test_the_spinner_is_gone_when_the_wait_ends_badly(screen):
    """Ctrl-C leaves an empty line, too."""
    with pytest.raises(KeyboardInterrupt), Spinner() as spinner:
        spinner.asks("box/m")
        until(lambda: "box/m" in screen.sent)
        raise KeyboardInterrupt
    assert screen.sent.endswith("\r\x1b[K")


@pytest.mark.parametrize("why", ["no terminal", "dumb", "background", "closed"])
def test_where_nothing_moves(screen, streams, monkeypatch, why):
    """What is no terminal, cannot erase, or is in use by others gets nothing that moves; no thread is begun."""
    if why == "no terminal":
        monkeypatch.setattr(Screen, "isatty", lambda self: False)
    if why == "dumb":
        monkeypatch.setenv("TERM", "dumb")
    if why == "background":
        monkeypatch.setattr(Screen, "fileno", lambda self: 2)
        monkeypatch.setattr(os, "tcgetpgrp", lambda descriptor: -1, raising=False)
    if why == "closed":
        streams.stderr = None
    with Spinner() as spinner, ProgressLine() as progress:
        spinner.asks("box/m")
        progress.show(so_far(done=1))
        progress.tell("a line")
        assert spinner._thread is None
    assert screen.sent == ("" if why == "closed" else "a line\n")


@pytest.mark.parametrize(("encoding", "frames"), [("utf-8", _terminal.FRAMES), ("ascii", "|/-\\")])
def test_the_spinner_knows_its_encoding(screen, streams, encoding, frames):
    """A terminal without braille gets a spinner of ASCII."""
    streams.stderr = plain = Screen(encoding)
    with Spinner():
        until(lambda: all(f"\r{frame}" in plain.sent for frame in frames))


@pytest.mark.parametrize("columns", ["1", "5", "12", "20", "80"])
def test_lines_that_move_keep_to_the_width(screen, monkeypatch, columns):
    """Neither line is wider than the terminal, counted in cells; else it could not be erased."""
    monkeypatch.setenv("COLUMNS", columns)
    with Spinner() as spinner:
        spinner.asks("模型/" + "長" * 50)
        until(lambda: screen.sent.count("\r") > 2)
    with ProgressLine() as progress:
        progress.show(so_far(total=100_000, done=1234, failed=3))
    for line in screen.sent.replace("\x1b[K", "").split("\r"):
        assert sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in line) < max(int(columns), 1)


def test_the_seconds_stay_when_the_name_is_cut(screen, monkeypatch):
    """Of a line that is too long the name is cut, not the time."""
    monkeypatch.setenv("COLUMNS", "20")
    with Spinner() as spinner:
        spinner.asks("box/" + "m" * 50)
        until(lambda: "box/mmmmmm" in screen.sent)
        assert "mm 0 s" in screen.sent


def so_far(**counts) -> Progress:
    """How far a batch is: nowhere, but for these counts."""
    nowhere = {**dict.fromkeys(Progress.__match_args__, 0), "total": None, "left": None}
    return Progress(**{**nowhere, **counts})


def test_progress(screen):
    """Progress tells how many of how many, how fast, and for how long still; other lines stand above it."""
    with ProgressLine() as progress:
        progress.show(so_far(total=100_000, done=349, failed=3, skipped=880, bad=2, rate=35.22, left=2804.0))
        assert screen.sent == "\r  1234/100000  1 %  35.2/s  47 min left  3 failed\x1b[K"
        progress.tell("line 7 is no JSON")
        assert screen.sent.endswith("\r\x1b[Kline 7 is no JSON\n")
    assert screen.sent.endswith("JSON\n")  # there was no line left to erase


@pytest.mark.parametrize(("total", "line"), [(0, "0/0  30 s"), (None, "0  30 s"), (7, "0/7  0 %  30 s")])
def test_progress_of_nothing(screen, total, line):
    """A run in which nothing has come yet promises nothing, and shows that time passes."""
    with ProgressLine() as progress:
        progress.show(so_far(total=total, seconds=30.4))
    assert screen.sent == f"\r  {line}\x1b[K\r\x1b[K"


def test_progress_is_not_drawn_for_each_line(screen, monkeypatch):
    """A thousand lines a second cost a few looks."""
    monkeypatch.setattr(_terminal, "REDRAWN", WAIT)
    with ProgressLine() as progress:
        for done in range(1000):
            progress.show(so_far(done=done, rate=9.0))
    assert screen.sent.count("/s") == 1


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.2, "0 s"), (99, "99 s"), (100, "2 min"), (2760, "46 min"), (7200, "2 h"), (900_000, "10 days")],
)
def test_spans(seconds, told):
    """A time to wait is told in the largest unit that has some digits to tell."""
    assert span(seconds) == told


@pytest.mark.parametrize(
    ("text", "cells", "left"),
    [
        ("abc", 3, "abc"),
        ("abc", 2, "ab"),
        ("長い", 3, "長"),
        ("e\u0301a", 1, "e\u0301"),
        ("abc", 0, ""),
        ("abc", -3, ""),
    ],
)
def test_clipped(text, cells, left):
    """A text is cut by the cells that it takes: two for a wide character, none for an accent."""
    assert clipped(text, cells) == left


@pytest.mark.parametrize(("columns", "found"), [("40", 40), ("0", 80), ("-3", 80), ("many", 80), ("", 80)])
def test_width(screen, monkeypatch, columns, found):
    """COLUMNS says how wide a terminal is, unless it makes no sense."""
    monkeypatch.setenv("COLUMNS", columns)
    assert width(screen) == found


def test_what_drives_a_terminal_is_not_sent_to_one(screen, streams):
    """Control characters of others reach files as they are, and no terminal."""
    text = "\x1b[2J\x9bred\talert\x07\r\nend"
    assert shown(text, screen) == "\ufffd[2J\ufffdred\talert\ufffd\nend"
    tell(text)
    assert screen.sent == shown(text, screen) + "\n"
    put(text)
    assert streams.stdout.getvalue() == text + "\n"


@pytest.mark.parametrize(
    ("variable", "value", "colours"),
    [("NO_COLOR", "1", False), ("NO_COLOR", "", True), ("TERM", "dumb", False), ("TERM", "xterm", True)],
)
def test_colours(screen, monkeypatch, variable, value, colours):
    """Colours are for terminals that have them and for people who want them."""
    monkeypatch.setenv(variable, value)
    assert ("\x1b[31m" in coloured("fault", "red", screen)) is colours
    assert coloured("fault", "red", io.StringIO()) == "fault"


def test_rows_are_filled_on_a_terminal_alone(screen, streams, monkeypatch):
    """A terminal gets lines that fit; what reads a pipe gets each fact on one line."""
    rows = [("fault", "one two three four five six seven"), ("do", "first\n  second")]
    put_rows(rows)
    told = "  fault  one two three four five six seven\n  do     first\n           second\n"
    assert streams.stdout.getvalue() == told
    monkeypatch.setenv("COLUMNS", "30")
    streams.stdout = screen
    put_rows(rows[:1])
    assert screen.sent == "  fault  one two three four\n         five six seven\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is always full here")
def test_output_that_is_full_or_closed(streams):
    """Output that takes nothing is an error that says so; it is not said again when the interpreter ends."""
    with open("/dev/full", "w", encoding="utf-8") as full:
        streams.stdout = full
        with pytest.raises(Unwritable, match="No space left") as caught:
            put("text")
        assert not caught.value.quiet
    streams.stdout = None
    with pytest.raises(Unwritable, match="closed"):
        put("text")


def test_a_reader_that_has_left(streams):
    """A pipe without a reader is left in silence."""
    there, here = os.pipe()
    os.close(there)
    with open(here, "w", encoding="utf-8") as pipe:
        streams.stdout = pipe
        with pytest.raises(Unwritable) as caught:
            put("text")
        assert caught.value.quiet


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "full"])
def test_standard_error_that_takes_nothing(streams, closed):
    """What people cannot be told is dropped; in no case it goes among the results."""

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    streams.stderr = None if closed else Full()
    tell("a line")
    assert streams.stdout.getvalue() == ""

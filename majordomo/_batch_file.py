"""The batch that can be killed: a file of prompts in, a file of results out, and what is missing is done.

The file of results is all that is kept, so it is trusted as little as what comes off a
wire: its last line may be torn, another one garbage. A line is written by one `write`, when
its prompt has ended; a prompt whose line stands there is not asked again.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections import deque
from threading import Lock

from . import _json
from ._batch_lines import LONGEST_LINE, fields_of, is_torn, request_of, result_in, result_line
from ._crew import flow
from ._mismatch import shown
from ._tool_loop import as_count
from ._words import one_line
from .batch import asker, settled
from .errors import ConfigError, ErrorKind, MajordomoError, classify

try:
    import fcntl
except ImportError:  # Windows, where two batches that write one file are not told apart
    fcntl = None  # type: ignore[assignment]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from dataclasses import dataclass
    from typing import Any, BinaryIO, Callable, Union

    from ._batch_lines import Id
    from .batch import Outcome
    from .llm import Request
    from .model import Model

    Path = Union[str, os.PathLike[str]]
    Asked = tuple[Id, Request]
else:
    from ._frozen import dataclass

__all__ = ["Progress", "Summary", "run_batch"]

LONGEST_PROBLEM = 500  # characters
MOST_IN_A_ROW = 100  # failures that are no line's own: then the rest would fail as well
PATIENCE = 1.0  # seconds for a thread that is writing a line at the end: into a pipe it may write for ever
LOOKED_BACK = 100  # results, for the rate
_OWN_KINDS = {ErrorKind.INVALID, ErrorKind.TOO_LONG, ErrorKind.FILTERED, ErrorKind.UNSUPPORTED}  # a line's own
DONE_BEFORE, FAILED_BEFORE = 0, -1  # in place of a line's number
_BLANK = b" \t\r\n\v\f\xef\xbb\xbf"  # a byte order mark, too
_BEGINNING = b'{"id":'  # of every result


@dataclass(frozen=True)
class Progress:
    """How far a batch is, in lines; lines without content count nowhere.

    total: of the input, None if it cannot be gone through twice. done, failed: asked by this
    run; skipped: by an earlier one; bad: not asked. seconds: since this run began. rate:
    lines asked a second, of late. left: seconds it may still take, None if unknown.
    """

    total: int | None
    done: int
    failed: int
    skipped: int
    bad: int
    seconds: float
    rate: float
    left: float | None


@dataclass(frozen=True)
class Summary:
    """What came of a batch, in lines; the counts are those of `Progress`, total is their sum.

    failed_before: those of the skipped whose result is a failure.
    """

    done: int
    failed: int
    bad: int
    skipped: int
    total: int
    failed_before: int = 0


def run_batch(
    model: Model,
    source: Path,
    target: Path,
    *,
    workers: int = 8,
    timeout: float | None = None,
    retry_failed: bool = False,
    options: Mapping[str, Any] | None = None,
    on_progress: Callable[[Progress], object] | None = None,
    on_problem: Callable[[str], object] | None = None,
) -> Summary:
    """Ask every line of a file that has no result in another, and write its results there as they come.

    Failures that are no line's own (a dead host, a wrong key) are held back until something else
    ends, or all has ended; if 100 come in a row the batch stops, and none of them is written.

    source: JSON Lines, see `_batch_lines`; "-" is the standard input. target: made if it is
    not there; results of earlier runs stay, and their ids, also of failures, are not asked
    again; with `retry_failed` those are whose last line is a failure. An id that stands there
    twice has its last line. 1 and "1" are two ids. workers, timeout: as for `generate_many`;
    options: fields of `Request` for lines that do not have them. on_problem: called with a
    line of text for each line that cannot be read, and is left out.

    Raises ConfigError for settings that cannot work, for a target that holds something else,
    and for one that another batch is writing; OSError if a file cannot be opened;
    MajordomoError if a result cannot be written, and after 100 failures in a row that are no
    line's own fault. In all cases, Ctrl-C included, what is written is whole, nothing more
    is asked, and another run goes on from there.
    """
    ask, defaults, count = asker(model, timeout), settled(options or {}), as_count("workers", workers)
    tell = on_problem or (lambda text: None)
    try:
        with _opened(source) as file, _Results(target, file) as results, _Ids() as ids:
            for id, failed in results.earlier(tell):
                if failed and retry_failed:
                    ids.forget(id)
                else:
                    ids.note(id, FAILED_BEFORE if failed else DONE_BEFORE)
            tally = Tally(*_count(file, ids))
            asked = _unanswered(file, "<stdin>" if source == "-" else os.fspath(source), ids, tally, defaults, tell)

            def tick() -> None:
                if on_progress is not None:
                    on_progress(tally.progress())

            ended = flow(_asking(ask, results), asked, count, ordered=False, name="majordomo-batch", waiting=tick)
            try:
                _follow(ended, tally, tick)
            finally:
                ended.close()
            results.settle()
            return tally.summary()
    except sqlite3.Error as exc:
        raise MajordomoError(f"the ids cannot be kept in a temporary file: {exc}; is there room for it?") from exc


def _unanswered(
    file: BinaryIO, name: str, ids: _Ids, tally: Tally, defaults: Mapping[str, Any], tell: Callable[[str], object]
) -> Iterator[Asked]:
    """The lines that have no result, with their ids; the others are counted, and bad ones told."""
    for number, line in _lines(file):
        try:
            if line is None:
                raise ConfigError(f"a line of more than {LONGEST_LINE >> 20} MiB")
            fields = fields_of(line)
            before = ids.line_of(fields["id"])
            if before is not None and before > 0:
                raise ConfigError(f"the id {shown(fields['id'])} is that of line {before} already")
            request = request_of(fields, defaults) if before is None else None
        except MajordomoError as exc:
            tally.bad += 1
            tell(one_line(f"{name}:{number}: {exc}", LONGEST_PROBLEM))
            continue
        ids.note(fields["id"], number)
        if request is None:
            tally.skipped += 1
            tally.failed_before += before == FAILED_BEFORE
        else:
            tally.begun()
            yield fields["id"], request


def _asking(ask: Callable[[Request], Outcome], results: _Results) -> Callable[[Asked], Outcome]:
    """What a worker does with a line: it has it answered, and writes the result, for that was paid for."""

    def work(line: Asked) -> Outcome:
        id, request = line
        told, outcome = result_line(id, request, ask(request))
        results.append(told, outcome if _is_vain(outcome) else None)
        return outcome

    return work


def _follow(ended: Iterator[Outcome], tally: Tally, tick: Callable[[], object]) -> None:
    """Count what is written as it comes."""
    tick()
    for outcome in ended:
        tally.ended(outcome)
        tick()
    tick()  # the last lines may be some that were not asked


class Tally:
    """The counts of a run, and its pace."""

    def __init__(self, total: int | None, known: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        """known: lines that have a result already."""
        self.done = self.failed = self.skipped = self.bad = self.failed_before = 0
        self._total, self._known, self._clock = total, known, clock
        self._began = clock()
        self._recent: deque[float] = deque(maxlen=LOOKED_BACK + 1)

    def begun(self) -> None:
        """A line is about to be asked; the pace counts from the first of them."""
        if not self._recent:
            self._recent.append(self._clock())

    def ended(self, outcome: Outcome) -> None:
        """A line was asked, and has its result."""
        if isinstance(outcome, MajordomoError):
            self.failed += 1
        else:
            self.done += 1
        self._recent.append(self._clock())

    def progress(self) -> Progress:
        """Where the run is now."""
        now = self._clock()
        span = now - self._recent[0] if self._recent else 0.0
        rate = (len(self._recent) - 1) / span if span > 0 else 0.0
        counts = (self.done, self.failed, self.skipped, self.bad)
        left = None
        if self._total is not None and rate:
            left = max(0, self._total - self._known - self.done - self.failed - self.bad) / rate
        return Progress(self._total, *counts, now - self._began, rate, left)

    def summary(self) -> Summary:
        """What came of it."""
        counts = (self.done, self.failed, self.bad, self.skipped)
        return Summary(*counts, sum(counts), self.failed_before)


def _is_vain(outcome: Outcome) -> bool:
    """Whether no target that was asked blames the line for its failure: the next one might as well fail."""
    if not isinstance(outcome, MajordomoError):
        return False
    kinds = {attempt.kind for attempt in outcome.attempts if attempt.outcome == "failed"}
    return not (kinds or {classify(outcome)}) & _OWN_KINDS


class _Results:
    """The file of results, open and locked: read once, then appended to, by any thread.

    What is no regular file (a pipe, a terminal) is only written to.
    """

    def __init__(self, path: Path, source: BinaryIO) -> None:
        self._path, self._lock, self._closed = os.fspath(path), Lock(), False
        self._held: list[bytes] = []
        if os.path.isdir(path):
            raise ConfigError(f"{self._path} is a folder; results go into a file")
        self._regular = os.path.isfile(path) or not os.path.exists(path)
        flags = os.O_APPEND | os.O_CREAT | (os.O_RDWR if self._regular else os.O_WRONLY) | getattr(os, "O_BINARY", 0)
        self._fd = os.open(path, flags, 0o666)
        try:
            if self._regular:
                self._claim(source)
        except BaseException:
            os.close(self._fd)
            raise

    def _claim(self, source: BinaryIO) -> None:
        if os.path.samestat(os.fstat(source.fileno()), os.fstat(self._fd)):
            raise ConfigError(f"{self._path} holds the prompts; results go into a file of their own")
        if fcntl is not None:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(f"another batch is writing {self._path}") from None
            except OSError:  # a file system that has no locks
                pass

    def earlier(self, tell: Callable[[str], object]) -> Iterator[tuple[Id, bool]]:
        """The ids that are there, and whether they failed; what no result can be appended to is mended."""
        if not self._regular:
            return
        with open(self._fd, "rb", closefd=False) as file:
            some = False
            for number, line in _lines(file):
                found = None if line is None else result_in(line)
                if found is not None:
                    some = True
                    yield found
                elif line is not None and is_torn(line) and (some or _is_beginning(line)):
                    os.ftruncate(self._fd, file.tell() - len(line))
                elif some:
                    tell(one_line(f"{self._path}:{number}: no result of a batch; it stays as it is", LONGEST_PROBLEM))
                else:
                    raise ConfigError(f"{self._path} holds something else than results of a batch; name another file")
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    self.append(b"\n")

    def append(self, line: bytes, vain: Outcome | None = None) -> None:
        """Write a line, all of it or nothing; MajordomoError if it cannot be written.

        A failure that was in `vain` is held back until another line was not. After too many
        of them there is no use in going on: MajordomoError, and none is written, so that
        another run asks them again. A thread that comes when the batch has ended finds the
        file closed, and loses its line.
        """
        with self._lock:
            if self._closed:
                return
            self._held.append(line)
            if vain is None:
                self._write_held()
            elif len(self._held) == MOST_IN_A_ROW:
                self._closed = True
                raise MajordomoError(
                    f"stopped after {MOST_IN_A_ROW} failures in a row, which another run asks again; the last was "
                    + one_line(str(vain), LONGEST_PROBLEM)
                )

    def settle(self) -> None:
        """Write what was held back: all has ended."""
        with self._lock:
            self._write_held()

    def _write_held(self) -> None:
        while self._held:
            self._write(self._held[0])
            del self._held[0]

    def _write(self, line: bytes) -> None:
        if self._regular and not self._is_there():
            raise MajordomoError(f"{self._path} was removed, or replaced, while results were written to it")
        written = 0
        try:
            while written < len(line):
                written += os.write(self._fd, line[written:])
        except BaseException as exc:
            try:
                if 0 < written < len(line):
                    os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)
            except OSError:  # then the next run does it
                pass
            if isinstance(exc, OSError):
                raise MajordomoError(
                    f"{self._path} cannot be written: {exc.strerror}; what was written stays, another run goes on"
                ) from exc
            raise

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._fd))
        except OSError:
            return False

    def __enter__(self) -> _Results:
        return self

    def __exit__(self, *error: object) -> None:
        self._closed = True
        if self._lock.acquire(timeout=PATIENCE):
            os.close(self._fd)
            self._lock.release()


class _Ids:
    """Ids, and the lines of the input where they stand; below 1 for those that have a result already.

    SQLite keeps them in a temporary file, in 4 MB of memory for 100,000 and for a million;
    a set takes 11 and 93.
    """

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=OFF")
        self._db.execute("CREATE TABLE ids (id TEXT PRIMARY KEY, line INTEGER) WITHOUT ROWID")
        self._db.execute("BEGIN")

    def line_of(self, id: Id) -> int | None:
        """The line of an id, None if it is new."""
        row = self._db.execute("SELECT line FROM ids WHERE id = ?", (_json.dumps(id),)).fetchone()
        return None if row is None else row[0]

    def note(self, id: Id, line: int) -> None:
        """Keep an id."""
        self._db.execute("INSERT OR REPLACE INTO ids VALUES (?, ?)", (_json.dumps(id), line))

    def forget(self, id: Id) -> None:
        """Keep it no longer."""
        self._db.execute("DELETE FROM ids WHERE id = ?", (_json.dumps(id),))

    def __len__(self) -> int:
        found: int = self._db.execute("SELECT count(*) FROM ids").fetchone()[0]
        return found

    def __enter__(self) -> _Ids:
        return self

    def __exit__(self, *error: object) -> None:
        self._db.close()


def _is_beginning(line: bytes) -> bool:
    """Whether a first line may be that of a result; a power cut leaves NULs of it."""
    return _BEGINNING.startswith(line[: len(_BEGINNING)]) or not line.strip(b"\0")


def _opened(source: Path) -> BinaryIO:
    return open(0, "rb", closefd=False) if source == "-" else open(source, "rb")


def _count(file: BinaryIO, ids: _Ids) -> tuple[int | None, int]:
    """The lines that are to come, None if they could not be read afterwards, and how many have a result."""
    if not file.seekable():
        return None, 0
    here, total, known, resumed = file.tell(), 0, 0, len(ids) > 0
    for _, line in _lines(file):
        total += 1
        known += resumed and line is not None and _is_known(line, ids)
    file.seek(here)
    return total, known


def _is_known(line: bytes, ids: _Ids) -> bool:
    try:
        return ids.line_of(fields_of(line)["id"]) is not None
    except MajordomoError:
        return False


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """The lines that hold something, with their numbers; None for one that is too long to be held."""
    number = 0
    while True:
        line = file.readline(LONGEST_LINE)
        if not line:
            return
        number += 1
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = file.readline(1 << 20)
            yield number, None
        elif line.strip(_BLANK):
            yield number, line

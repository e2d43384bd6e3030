"""Cooldowns in a file, which all processes of a host share.

A cron job lives for seconds: what it has learned of a dead host is lost to the next one.
Here the memory of `health` stays what it is, and is kept equal to a table in SQLite:
whoever asks sees what others have written since, whoever changes something does so to
what the file says at that moment, in one transaction.

Three rules for whoever edits this file. A call goes on whatever the file is: what cannot
be read or written is a fault, and a fault puts the file aside for a while, so that nobody
waits for it twice. A connection lives in a local variable and for one transaction: one
that a fork finds at rest, or on an object, would be closed by the child, which undoes what
its parent is writing. And nothing but SQLite opens the file once it is there: closing any
descriptor of it drops the locks of the whole process (sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

import os
import stat
import time
from _thread import RLock  # `threading` is a module more to import

from ._loading import loading
from ._words import one_line
from .errors import ConfigError
from .health import CAP, FIRST, RETRY_AFTER_CAP, Cooldown, MemoryHealth

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from dataclasses import replace
    from typing import Any, Callable

    from .errors import ErrorKind
else:
    from ._frozen import replace

__all__ = ["FileHealth"]

# Seconds; each time that the file is in the way costs less than 50 ms of them.
TURN_WAIT = 0.01  # for another thread's transaction
LOCK_WAIT = 0.03  # for another process; who writes may wait three times, for the schema, the lock and the commit
FUTURE = 2.0  # seconds that the clocks of two readings may be apart; what is dated later was written by a wrong one
MOST_ROWS, MOST_BYTES = 1000, 8 << 20  # the latest rows; with the names of models that there are they take 0.3 MB
RACY_NS, COARSE_RACY_NS = 50 * 10**6, 2 * 10**9  # a kernel's tick is 10 ms at most; FAT counts in 2 s

APPLICATION, VERSION = 0x4D646F6D, 1  # "Mdom"
TABLE = """CREATE TABLE cooldowns (key TEXT PRIMARY KEY, failures INTEGER NOT NULL,
    until REAL NOT NULL, failed_at REAL NOT NULL, probing REAL)"""

# A row that counts: of the types it was written with, not of the future, not over for more than a day.
COUNTS = """typeof(key) = 'text' AND typeof(failures) = 'integer' AND failures > 0
    AND typeof(until) = 'real' AND typeof(failed_at) = 'real' AND typeof(probing) IN ('real', 'null')
    AND max(failed_at, ifnull(probing, failed_at)) <= :now + :future
    AND min(until, failed_at + :day) > :now - :day"""
SELECT = f"""SELECT CAST(key AS BLOB), min(failures, 99), min(until, failed_at + :day), failed_at, probing
    FROM cooldowns WHERE {COUNTS} ORDER BY failed_at DESC LIMIT :most"""
PRUNE = f"""DELETE FROM cooldowns WHERE ({COUNTS}) IS NOT 1
    OR rowid NOT IN (SELECT rowid FROM cooldowns WHERE {COUNTS} ORDER BY failed_at DESC LIMIT :most)"""

# One transaction at a time, and a fork waits for it: SQLite notes in the memory of a process what the
# process has locked, and a child would hold its parent's locks to be those of a thread that it does not have.
_turn = RLock()


def _let_go() -> None:
    if _turn._is_owned():  # type: ignore[attr-defined]  # else it was waited for in vain
        _turn.release()


def _begin_anew() -> None:
    global _turn
    _turn = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=lambda: _turn.acquire(timeout=1.0), after_in_parent=_let_go, after_in_child=_begin_anew)


class _UnusableError(Exception):
    """A file that is left alone, and why."""


class FileHealth(MemoryHealth):
    """The cooldowns of all processes that name the same file; opt in with `Registry(health=path)`.

    path: made absolute here, `~` expanded; ConfigError for what is no path. The file is made with
    the first failure, readable for its owner alone, and holds no token. Its folder must exist.
    clock: seconds as `chain` counts them. wall: seconds as all processes of the host count them.
    fault: None, or in one line why the file is not used now. No call fails or waits for that: the
    file is put aside for 1 s, doubled up to 5 min, and what should have been written is kept here.

    Put it on a local disk: on a network file system locks may be missing, or hang
    (sqlite.org/faq.html#q5). As among threads, the last word counts: an answer forgets a failure
    that another process has noted meanwhile.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(clock)
        self.path = _absolute(path)
        self.fault: str | None = None
        self._wall = wall
        self._unwritten: dict[str, float] = {}  # what the file does not know yet: key -> when it changed here
        self._probes: dict[str, tuple[int, float]] = {}  # those taken here: key -> process, when
        self._seen: object = None  # the file's signature when it was read
        self._faults = 0
        self._rests_until = clock()

    def due(self, key: str) -> float:
        """Seconds until the target's cooldown ends: 0 if it is healthy or due for its probe."""
        self._look()
        return super().due(key)

    def admit(self, key: str) -> str:
        """Ask for a try: `closed`, `half-open` (the one probe of all processes is this caller's) or `open`."""
        if self.due(key):
            return "open"
        admitted: str = self._exchange(self._try, key) if key in self._cooldowns else "closed"
        return admitted

    def _try(self, key: str) -> str:
        admitted = super().admit(key)
        if admitted == "half-open":
            self._probes[key] = (os.getpid(), self.clock())
        return admitted

    def succeeded(self, key: str) -> None:
        """The target answered: all is forgotten."""
        self._look()
        if key in self._cooldowns:
            self._exchange(super().succeeded, key)

    def failed(self, key: str, kind: ErrorKind, started: float, retry_after: float | None = None) -> None:
        """An attempt that began at `started` of this process's clock failed, in one of the `COOLING_KINDS`."""
        self._exchange(super().failed, key, kind, started, retry_after)

    def released(self, key: str) -> None:
        """A probe that was taken here ended without a verdict: it is free again, nothing else changes."""
        pid, taken = self._probes.pop(key, (0, 0.0))
        if pid == os.getpid():
            self._exchange(self._free, key, taken)

    def _free(self, key: str, taken: float) -> None:
        """Free the probe, unless it is by now somebody else's, who began a cooldown later at least."""
        cooldown = self._cooldowns.get(key)
        if cooldown is not None and cooldown.probing is not None and abs(cooldown.probing - taken) < FIRST:
            super().released(key)

    def snapshot(self) -> dict[str, dict[str, object]]:
        """What is remembered: `{target and URL: {state, failures, seconds}}`, seconds until due."""
        self._look()
        return super().snapshot()

    def reset(self, key: str | None = None) -> None:
        """Forget one target (by its key or its name as in a spec), or everything, for all processes."""
        self._exchange(super().reset, key)

    def __reduce__(self) -> tuple[type[MemoryHealth], tuple[Any, ...]]:
        return FileHealth, (self.path,)

    def _look(self) -> None:
        """See what others have written, and write what could not be written before."""
        if self.clock() < self._rests_until:
            return
        try:
            quiet = not self._unwritten and self._signature() == self._seen
        except Exception as exc:
            self._put_aside(exc)
        else:
            if not quiet:
                self._exchange(None)

    def _signature(self) -> tuple[int, ...]:
        """What differs after every change of the file; empty if it is not there."""
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return ()
        if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for its other end
            raise _UnusableError("not a regular file; name another one")
        if found.st_size > MOST_BYTES:
            raise _UnusableError("too large to be read with each change; delete it")
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _exchange(self, change: Callable[..., Any] | None, *arguments: Any) -> Any:
        """Make a change to what the file says now, and write it; without the file, to what is known here."""
        if _turn._is_owned():  # type: ignore[attr-defined]  # a signal handler, or a finalizer, in a transaction
            return self._noted(change, arguments)
        try:  # before the lock is taken: a handler may raise as soon as it is
            if _turn.acquire(timeout=TURN_WAIT) and self.clock() >= self._rests_until:
                return self._transaction(change, arguments)
            return self._noted(change, arguments)
        finally:
            try:
                _turn.release()  # the first call here: a handler that raises before it would leave the lock to nobody
            except RuntimeError:
                pass  # it was waited for in vain

    def _transaction(self, change: Callable[..., Any] | None, arguments: tuple[Any, ...]) -> Any:
        result, noted = None, False
        writing = change is not None or bool(self._unwritten)
        try:
            seen, now = self._signature(), time.time_ns()
            if not seen:
                os.stat(os.path.dirname(self.path))  # where it is going to be
                self._take({})
                result, noted = self._noted(change, arguments), True
            if seen or self._unwritten:
                connection = _opened(self.path, writing, not seen)
                try:
                    wall = self._wall()
                    shift = wall - self.clock()
                    self._take(_rows(connection, wall, shift) if _begun(connection, writing) else {})
                    if not noted:
                        result, noted = self._noted(change, arguments), True
                    if writing and self._unwritten:
                        self._write(connection, wall, shift)
                finally:
                    connection.close()
            self._seen = None if writing or _racy(seen, now) else seen
            self.fault, self._faults = None, 0
        except Exception as exc:
            self._put_aside(exc)
            if not noted:
                result = self._noted(change, arguments)
        return result

    def _take(self, rows: dict[str, Cooldown]) -> None:
        """Make the memory what the file says, and what it does not know yet.

        What is over and not in the file is nobody's news. Of a target that failed here and
        there, the later end and the larger count stay.
        """
        with self._guard():
            now = self.clock()
            for key in self._cooldowns.keys() - rows.keys():
                if key not in self._unwritten or self._cooldowns[key].until <= now:
                    del self._cooldowns[key]
            for key, row in rows.items():
                mine, changed = self._cooldowns.get(key), self._unwritten.get(key)
                if changed is None or (mine is None and row.failed_at > changed):
                    self._cooldowns[key] = row
                elif mine is not None:
                    last = row if row.failed_at > changed else mine
                    most = max(mine.failures, row.failures)
                    self._cooldowns[key] = replace(last, failures=most, until=max(mine.until, row.until))

    def _noted(self, change: Callable[..., Any] | None, arguments: tuple[Any, ...]) -> Any:
        """Make a change in the memory, and note what the file does not know of it."""
        if change is None:
            return None
        with self._guard():
            before = dict(self._cooldowns)
            result = change(*arguments)
            for key in before.keys() | self._cooldowns.keys():
                if before.get(key) is not self._cooldowns.get(key):
                    self._unwritten[key] = self.clock()
        return result

    def _write(self, connection: sqlite3.Connection, wall: float, shift: float) -> None:
        """Write what the file does not know, throw out what counts no more, and end the transaction."""
        keys = dict(self._unwritten)
        connection.execute(PRUNE, _moments(wall))
        for key in keys:
            name, cooldown = _encoded(key), self._cooldowns.get(key)
            connection.execute("DELETE FROM cooldowns WHERE key = CAST(? AS TEXT)", (name,))
            if cooldown is not None:
                c = _moved(cooldown, shift)
                values = (name, c.failures, c.until, c.failed_at, c.probing)
                connection.execute("INSERT INTO cooldowns VALUES (CAST(? AS TEXT), ?, ?, ?, ?)", values)
        connection.execute("COMMIT")
        with self._guard():
            for key, changed in keys.items():
                if self._unwritten.get(key) == changed:
                    del self._unwritten[key]

    def _put_aside(self, exc: Exception) -> None:
        """Leave the file alone for a while; what is no fault of it passes through."""
        reason = _told(exc)
        if reason is None:
            raise exc
        self.fault = one_line(f"{self.path}: {reason}", 5000)  # SQLite quotes what it finds in the file
        self._rests_until = self.clock() + min(CAP, FIRST * 2 ** min(self._faults, 16))
        self._faults += 1


def _absolute(path: Any) -> str:
    """A path that means the same wherever the process goes."""
    try:
        text = os.path.expanduser(os.fsdecode(path))
    except TypeError:
        text = ""
    if text and "\0" not in text:
        try:
            return os.path.abspath(text)
        except OSError:  # the folder that this is in has gone
            return text
    raise ConfigError(f"health: the path of a file, not {path!r}")


def _opened(path: str, writing: bool, missing: bool) -> sqlite3.Connection:
    """A connection for one transaction, which must be closed."""
    with loading:
        import sqlite3
    if missing and writing:
        try:
            made = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            try:
                if hasattr(os, "fchmod"):
                    os.fchmod(made, 0o600)  # whatever the umask leaves of it
            finally:
                os.close(made)
        except FileExistsError:
            pass  # another process was faster
    wait = LOCK_WAIT / 3 if writing else LOCK_WAIT
    return sqlite3.connect(_uri(path), timeout=wait, isolation_level=None, uri=True)


def _uri(path: str) -> str:
    """How SQLite is told to open a file that is there; what follows two slashes would be a host."""
    name = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return f"file:{'//' * name.startswith('/')}{name}?mode=rw"


def _begun(connection: sqlite3.Connection, writing: bool) -> bool:
    """Begin the transaction; whether there is a table, which is made where one is to be written."""
    if writing:
        connection.execute("PRAGMA synchronous=OFF")  # a memory, not a ledger: only a power cut may spoil it
    connection.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if (application, version) == (APPLICATION, VERSION):
        found = connection.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL LIMIT 2").fetchall()
        if found != [(TABLE,)]:  # a view or a trigger would run what somebody else has written
            raise _UnusableError("it has more in it than cooldowns; delete it, or name another file")
        return True
    if application == APPLICATION:
        raise _UnusableError("written by another version of this library; name another file")
    if application or version or connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise _UnusableError("a database of something else; name another file")
    if writing:
        for statement in (TABLE, f"PRAGMA application_id={APPLICATION}", f"PRAGMA user_version={VERSION}"):
            connection.execute(statement)
    return writing


def _rows(connection: sqlite3.Connection, wall: float, shift: float) -> dict[str, Cooldown]:
    """The rows that count, in seconds of this process's clock, from which the wall's differ by `shift`."""
    found = {}
    for key, *values in connection.execute(SELECT, _moments(wall)):
        try:
            found[key.decode("utf-8", "surrogatepass")] = _moved(Cooldown(*values), -shift)
        except UnicodeDecodeError:
            pass  # not written here
    return found


def _moved(c: Cooldown, by: float) -> Cooldown:
    """The same in seconds of another clock."""
    return Cooldown(c.failures, c.until + by, c.failed_at + by, None if c.probing is None else c.probing + by)


def _encoded(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")  # a model's name is whatever somebody has typed


def _moments(wall: float) -> dict[str, float]:
    return {"now": wall, "future": FUTURE, "day": RETRY_AFTER_CAP, "most": MOST_ROWS}


def _racy(seen: tuple[int, ...], now: int) -> bool:
    """Whether the file may still change without its signature changing (as of an index, in git)."""
    return bool(seen) and seen[0] > now - (RACY_NS if seen[0] % 10**9 else COARSE_RACY_NS)


def _told(exc: Exception) -> str | None:
    """What is wrong with the file, and what to do; None for what is no fault of it."""
    if isinstance(exc, _UnusableError):
        return str(exc)
    if isinstance(exc, ImportError):
        return "this Python has no sqlite3; install it, or do without the file"
    if isinstance(exc, FileNotFoundError):
        return "its folder does not exist; make it"
    if isinstance(exc, OSError) and exc.errno is not None:  # without one: a handler's TimeoutError, say
        return f"{exc.strerror}; see whether this user may write it and its folder"
    if type(exc).__module__ != "sqlite3" and not isinstance(exc, (UnicodeError, MemoryError)):
        return None
    what = str(exc) or type(exc).__name__  # Python 3.9 has no words for a text that is no UTF-8
    if type(exc).__name__ == "OperationalError":
        return f"{what}; see who holds it, and whether this user may write it, its folder and the disk"
    return f"{what}; name another one, or delete it if nobody needs it"

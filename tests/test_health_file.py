from __future__ import annotations

import contextlib
import os
import pickle
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
from helpers import Clock
from test_health import KEY, fail, used_at_once

# What a memory owes its callers it owes them in a file, too.
from test_health import test_a_failed_probe_doubles as test_a_failed_probe_doubles
from test_health import test_a_handler_may_look_in_the_middle as test_a_handler_may_look_in_the_middle
from test_health import test_a_healthy_target_is_admitted as test_a_healthy_target_is_admitted
from test_health import test_a_late_failure_leaves_the_probe_alone as test_a_late_failure_leaves_the_probe_alone
from test_health import test_a_released_probe as test_a_released_probe
from test_health import test_a_round as test_a_round
from test_health import test_nothing_is_kept_of_the_healthy as test_nothing_is_kept_of_the_healthy
from test_health import test_releasing_what_is_healthy as test_releasing_what_is_healthy
from test_health import test_reset as test_reset
from test_health import test_snapshot as test_snapshot
from test_health import test_targets_are_apart as test_targets_are_apart
from test_health import test_threads_share_one_probe as test_threads_share_one_probe

from majordomo import ConfigError, Registry
from majordomo._health_file import APPLICATION, MOST_ROWS, TABLE, VERSION, FileHealth, _racy, _uri
from majordomo.errors import ErrorKind
from majordomo.testing import FakeServer, Status

ROOT = Path(__file__).resolve().parent.parent
DAY = 24 * 3600.0
EPOCH = 2.0**30  # when the clock of a process begins, on the wall; floats near it are exact enough to compare


@pytest.fixture
def path(tmp_path):
    return tmp_path / "health.sqlite"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def process(path, clock):
    """What makes the memory of one more process; each has a clock that began at a time of its own."""

    def made(started: float = 0.0, place=path) -> FileHealth:
        return FileHealth(place, lambda: clock() - started, lambda: EPOCH + clock())

    return made


@pytest.fixture
def health(path, clock):
    return FileHealth(path, clock, lambda: EPOCH + clock())


@pytest.fixture
def opened(monkeypatch):
    """A list that grows by one with each opening of a file by SQLite."""
    times, connect = [], sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **kwargs: times.append(args) or connect(*args, **kwargs))
    return times


def sql(path, *statements):
    """What the last of some statements gives, asked past the library."""
    connection = sqlite3.connect(str(path), isolation_level=None)
    try:
        return [connection.execute(*([s] if isinstance(s, str) else s)).fetchall() for s in statements][-1]
    finally:
        connection.close()


class Locked:
    """A file that somebody else holds."""

    def __init__(self, path, how: str = "EXCLUSIVE") -> None:
        self.connection = sqlite3.connect(str(path), isolation_level=None)
        self.how = how

    def __enter__(self) -> None:
        self.connection.execute(f"BEGIN {self.how}")

    def __exit__(self, *error: object) -> None:
        self.connection.close()


# Processes that share a file.


def test_the_next_and_those_that_run_honour_a_cooldown(process, clock):
    """What one process learns is known to the ones beside it, and to those started later."""
    first, beside = process(), process(started=900.0)
    assert beside.due(KEY) == 0.0
    fail(first, ErrorKind.RATE_LIMITED, 60)
    clock.now += 10
    later = process(started=1005.0)
    for health in (first, beside, later):
        assert (health.due(KEY), health.admit(KEY), health.fault) == (50.0, "open", None)
        assert health.snapshot() == {KEY: {"state": "open", "failures": 1, "seconds": 50.0}}


def test_failures_in_a_row_are_those_of_all(process, clock):
    """Whoever probes next, a failed probe doubles the cooldown; a success ends it for everybody."""
    for number, seconds in enumerate((1.0, 2.0, 4.0)):
        health = process(started=100.0 * number)
        assert health.admit(KEY) == ("half-open" if number else "closed")
        fail(health)
        assert health.due(KEY) == seconds
        clock.now += seconds
    process().succeeded(KEY)
    assert process().snapshot() == {}


def test_one_probe_for_all(process, clock):
    """When a cooldown is over one process probes; the others wait for what it finds."""
    ours, theirs = process(), process(started=500.0)
    fail(ours)
    clock.now += 1
    assert [theirs.admit(KEY), ours.admit(KEY), process().admit(KEY)] == ["half-open", "open", "open"]
    theirs.succeeded(KEY)
    assert ours.admit(KEY) == "closed"


def test_a_probe_is_freed_by_whoever_took_it(process, clock):
    """A process frees its own probe and no other's."""
    ours, theirs = process(), process(started=500.0)
    fail(ours)
    clock.now += 1
    assert ours.admit(KEY) == "half-open"
    theirs.released(KEY)
    assert theirs.admit(KEY) == "open"
    ours.released(KEY)
    assert theirs.admit(KEY) == "half-open"


def test_a_lost_probe(process, clock):
    """The probe of a process that died is given up; if it is not dead it frees no other one."""
    ours, theirs = process(), process()
    fail(ours)
    clock.now += 1
    assert ours.admit(KEY) == "half-open"
    clock.now += 119
    assert theirs.admit(KEY) == "open"
    clock.now += 1
    assert theirs.admit(KEY) == "half-open"
    ours.released(KEY)
    assert ours.admit(KEY) == "open"


@pytest.mark.parametrize("longest_first", [True, False])
def test_a_later_failure_never_shortens(process, clock, longest_first):
    """The longest of the waits that processes were told counts, in whichever order they are told."""
    waits = [300, 20, 1]
    for wait in waits if longest_first else reversed(waits):
        fail(process(), ErrorKind.RATE_LIMITED, wait)
    assert process().due(KEY) == 300.0


def test_attempts_under_way_when_another_process_failed(process, clock):
    """One outage that ends the attempts of many processes counts as one failure."""
    many = [process(started=100.0 * number) for number in range(5)]
    begun = [health.clock() for health in many]
    clock.now += 5
    for health, started in zip(many, begun):
        health.failed(KEY, ErrorKind.TRANSIENT, started)
        clock.now += 0.125
    assert process().snapshot()[KEY]["failures"] == 1


def test_reset_is_for_all(process, clock):
    """What a person resets in one process is forgotten by the others."""
    ours, theirs = process(), process()
    fail(ours)
    assert theirs.due(KEY) == 1.0
    ours.reset("BOX/qwen3:14b")
    assert (theirs.snapshot(), theirs.admit(KEY)) == ({}, "closed")


def test_names_are_whatever_somebody_typed(process):
    """Any text is a key: other scripts, line ends, NUL, half a surrogate pair."""
    keys = {"b/" + name for name in ("qwen", "模型", "é\n", "a\0b", "\ud800", "'; DROP TABLE cooldowns; --")}
    for key in keys:
        fail(process(), key=key)
    assert (set(process().snapshot()), process().fault) == (keys, None)


# When the file is read and written.


def test_unused_it_costs_nothing(path):
    """Without a failure there is no file, and `sqlite3` is not even imported."""
    code = """
import sys
from majordomo._health_file import FileHealth
health = FileHealth(sys.argv[1])
print(health.admit("k"), health.due("k"), health.snapshot(), health.succeeded("k"), health.released("k"))
print(health.reset(), health.fault)
print("sqlite3" in sys.modules)
"""
    assert python(code, path) == "closed 0.0 {} None None\nNone None\nFalse\n"
    assert not path.exists()


def test_a_quiet_file_is_read_once(process, path, opened):
    """While the file has not changed, nobody opens it."""
    fail(process())
    os.utime(path, ns=(1, 1))
    health = process()
    assert [health.due(KEY) for _ in range(9)] == [1.0] * 9
    assert len(opened) == 2
    assert (health.admit("other"), health.succeeded("other"), health.released(KEY)) == ("closed", None, None)
    assert len(opened) == 2


def test_a_young_file_is_not_trusted(process, path):
    """A change within the same tick of the file system's clock is seen, although the file looks the same."""
    reader, writer, tomorrow = process(), process(), time.time_ns() + 86400 * 10**9
    fail(writer)
    os.utime(path, ns=(tomorrow, tomorrow))
    before = os.stat(path)
    assert reader.due(KEY) == 1.0
    writer.succeeded(KEY)
    os.utime(path, ns=(tomorrow, tomorrow))
    after = os.stat(path)
    assert (before.st_mtime_ns, before.st_size, before.st_ino) == (after.st_mtime_ns, after.st_size, after.st_ino)
    assert reader.due(KEY) == 0.0


@pytest.mark.parametrize(
    ("changed", "read", "trusted"),
    [(10.123, 10.15, False), (10.123, 10.2, True), (10.0, 10.2, False), (10.0, 11.9, False), (10.0, 12.5, True)],
)
def test_how_young_is_young(changed, read, trusted):
    """A tick is 50 ms at most, and 2 s where the file system tells whole seconds, as FAT does."""
    assert _racy((round(changed * 1e9), 8192, 1), round(read * 1e9)) is not trusted


def test_a_file_that_is_taken_away(process, path):
    """Who deletes the file resets everything; a failure makes it anew."""
    health = process()
    fail(health, ErrorKind.QUOTA)
    path.unlink()
    assert (health.snapshot(), health.fault) == ({}, None)
    fail(health)
    assert process().due(KEY) == 1.0


def test_what_is_long_over_is_thrown_out(process, path, clock):
    """A cooldown that has been over for a day is forgotten, and its row goes when something is written."""
    fail(process())
    clock.now += 1 + DAY
    assert process().snapshot() == {}
    assert len(sql(path, "SELECT * FROM cooldowns")) == 1
    fail(process(), key="other")
    assert sql(path, "SELECT key FROM cooldowns") == [("other",)]


def test_the_number_of_rows_is_bounded(process, path):
    """However many rows there are, no more than some are read."""
    fail(process())
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
    sql(path, f"INSERT INTO cooldowns {many} SELECT 't' || i, failures, until, failed_at, NULL FROM n, cooldowns")
    assert len(process().snapshot()) == MOST_ROWS


def test_the_path_is_kept(tmp_path, monkeypatch):
    """A relative path and `~` mean the same file wherever the process goes."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    made = [FileHealth("h"), FileHealth(Path("h")), FileHealth(b"h"), FileHealth("~/h"), FileHealth("./x/../h")]
    monkeypatch.chdir("/")
    assert {health.path for health in made} == {str(tmp_path / "h")}
    odd = FileHealth(tmp_path / "50%41?mode=ro#1")
    fail(odd)
    assert ([path.name for path in tmp_path.iterdir()], odd.fault) == (["50%41?mode=ro#1"], None)


@pytest.mark.parametrize("path", ["", b"", None, 7, True, "a\0b", ["a"]])
def test_what_is_no_path(path):
    """A path that cannot be one is refused when the memory is built."""
    with pytest.raises(ConfigError, match="the path of a file, not"):
        FileHealth(path)


def test_pickle(path):
    """A memory in another process is one of the same file, with that process's clocks."""
    health = FileHealth(path)
    fail(health, ErrorKind.QUOTA)
    copy = pickle.loads(pickle.dumps(health))
    assert (copy.path, copy.clock) == (str(path), time.monotonic)
    assert 200 < copy.due(KEY) <= 300


@pytest.mark.skipif(os.name == "nt", reason="no modes there")
def test_the_file_is_its_owners(process, path):
    """File and journal are for their owner alone, whatever the umask is."""
    umask = os.umask(0)
    try:
        fail(process())
        writer = sqlite3.connect(str(path), isolation_level=None)
        try:
            writer.execute("BEGIN IMMEDIATE")
            writer.execute("DELETE FROM cooldowns")
            modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()}
        finally:
            writer.close()
    finally:
        os.umask(umask)
    assert modes == {"health.sqlite": 0o600, "health.sqlite-journal": 0o600}


def test_no_token_in_the_file(path):
    """A call that fails leaves its target and URL in the file, and no key."""
    with FakeServer(Status(401, "no such key: sk-SECRET")) as server:
        model = Registry({"LLM_BOX": server.dsn(token="sk-SECRET")}, health=FileHealth(path)).parse("box/m")
        with pytest.raises(Exception, match="401"):
            model.generate("Hi")
    content = path.read_bytes()
    assert b"box/m http" in content
    assert b"SECRET" not in content


def test_the_next_cron_job(path):
    """A registry over the same file, in another process say, passes over what has failed in the first."""
    with FakeServer(Status(402)) as broke, FakeServer() as well:
        environ = {"LLM_A": broke.dsn(), "LLM_B": well.dsn()}
        told = []
        for _ in range(2):
            reply = Registry(environ, health=FileHealth(path)).parse("a/m, b/m").generate("Hi")
            told.append([(attempt.target, attempt.outcome) for attempt in reply.attempts])
    assert told == [
        [("a/m", "failed"), ("b/m", "answered")],
        [("a/m", "skipped"), ("b/m", "answered")],
    ]


# Whatever the file is, calls go on.


def as_directory(path):
    path.mkdir()


def as_pipe(path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes with names here")
    os.mkfifo(path)


def as_link_to_nothing(path):
    path.symlink_to(path.parent / "gone")


def as_foreign(path):
    sql(path, "CREATE TABLE bills (id)", "INSERT INTO bills VALUES (1)")


def as_foreign_with_the_same_table(path):
    sql(path, TABLE)


def as_foreign_without_tables(path):
    sql(path, "PRAGMA user_version=7")


def as_newer(path):
    sql(
        path, f"PRAGMA application_id={APPLICATION}", f"PRAGMA user_version={VERSION + 1}", "CREATE TABLE cooldowns (a)"
    )


def as_ours(path, table=TABLE):
    sql(path, f"PRAGMA application_id={APPLICATION}", f"PRAGMA user_version={VERSION}", table)


def as_ours_with_another_table(path):
    as_ours(path, "CREATE TABLE cooldowns (a, b)")


def as_ours_without_end(path):
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
    columns = "'a' AS key, 'x' || i AS failures, 1e10 + i AS until, 1.0 * i AS failed_at, NULL AS probing"
    as_ours(path, f"CREATE VIEW cooldowns AS {endless} SELECT {columns} FROM n")


def as_ours_with_a_trigger(path):
    as_ours(path)
    sql(path, "CREATE TRIGGER more AFTER INSERT ON cooldowns BEGIN DELETE FROM cooldowns; END")


def as_huge(path):
    as_ours(path)
    os.truncate(path, 9 << 20)


def as_cut(path):
    fail(FileHealth(path))
    os.truncate(path, 5000)


def as_scrambled(path):
    fail(FileHealth(path))
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(random.Random(7).getrandbits(8 * 4096).to_bytes(4096, "big"))


def as_ours_in_no_language(path):
    as_ours(path)
    path.write_bytes(path.read_bytes().replace(b"CREATE", b"CR\xff\nTE"))


FAULTS = [
    (as_directory, "not a regular file"),
    (as_pipe, "not a regular file"),
    (as_link_to_nothing, "unable to open"),
    (as_foreign, "a database of something else"),
    (as_foreign_with_the_same_table, "a database of something else"),
    (as_foreign_without_tables, "a database of something else"),
    (as_newer, "another version"),
    (as_ours_with_another_table, "more in it than cooldowns"),
    (as_ours_without_end, "more in it than cooldowns"),
    (as_ours_with_a_trigger, "more in it than cooldowns"),
    (as_huge, "too large"),
    (as_ours_in_no_language, "delete it"),
    (as_cut, "malformed"),
    (as_scrambled, "malformed"),
    (lambda path: path.write_text("Dear diary, " * 100), "not a database"),
    (lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(4096)), "not a database"),
    (lambda path: path.write_bytes(b"{}"), "not a database"),
]


@pytest.mark.parametrize(("make", "fault"), FAULTS)
def test_a_file_that_cannot_be_used(path, process, make, fault):
    """It is left as it is, `fault` tells why in one line, and cooldowns are those of the process."""
    make(path)
    before = path.read_bytes() if path.is_file() else None
    health = process()
    calls_go_on(health)
    assert fault in health.fault
    assert health.fault.startswith(f"{path}: ")
    assert "\n" not in health.fault
    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_file_with_any_bytes_changed(path, clock):
    """Whatever is wrong in a file of ours, calls go on, and a cooldown counts at least in its own process."""
    writer = FileHealth(path, clock, lambda: EPOCH + clock())
    for number in range(20):
        fail(writer, ErrorKind.QUOTA, key=f"t{number} " + "u" * 300)
    whole = path.read_bytes()
    for seed in range(60):
        rng, content = random.Random(seed), bytearray(whole)
        for _ in range(rng.choice((1, 2, 20))):
            content[rng.randrange(rng.choice((200, len(whole))))] = rng.choice((0, 255, rng.randrange(256)))
        path.write_bytes(content[: rng.choice((len(whole), rng.randrange(len(whole))))])
        health = FileHealth(path, clock, lambda: EPOCH + clock())
        health.due(KEY), health.admit(KEY), health.succeeded(KEY), fail(health)
        assert (health.due(KEY), health.admit(KEY), health.snapshot()[KEY]["failures"]) == (1.0, "open", 1)


def calls_go_on(health):
    """Everything that a chain and a person ask of a memory, on a key that nobody has seen."""
    assert (health.due(KEY), health.admit(KEY)) == (0.0, "closed")
    health.succeeded(KEY)
    fail(health)
    assert (health.due(KEY), health.admit(KEY), health.snapshot()[KEY]["failures"]) == (1.0, "open", 1)
    health.released(KEY)
    fail(health)
    assert health.due(KEY) == 2.0
    health.reset(KEY)
    assert KEY not in health.snapshot()
    fail(health)
    health.succeeded(KEY)
    assert health.admit(KEY) == "closed"


def test_a_folder_that_is_not_there(tmp_path, process):
    """It is not made; the next try after somebody has made it writes what was kept."""
    health = process(place=tmp_path / "var" / "h")
    assert (health.due(KEY), health.fault) == (0.0, f"{tmp_path / 'var' / 'h'}: its folder does not exist; make it")
    calls_go_on(health)
    assert not (tmp_path / "var").exists()


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="no file here that nobody may write")
def test_a_file_that_nobody_may_write(process):
    """A file that is read-only, for root as well, is a fault like any other."""
    health = process(place="/proc/version")
    calls_go_on(health)
    assert health.fault.startswith("/proc/version: ")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anything")
def test_a_file_of_somebody_else(path, process):
    """A file that this user may only read is a fault."""
    fail(process(), key="other")
    path.chmod(0o400)
    health = process()
    calls_go_on(health)
    assert "readonly" in health.fault


@pytest.mark.skipif(os.name == "nt", reason="no limits there")
def test_a_disk_that_is_full(path):
    """What does not fit on the disk is kept in memory, and the file stays whole."""
    code = """
import resource, sys
from majordomo._health_file import FileHealth
from majordomo.errors import ErrorKind
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
health = FileHealth(sys.argv[1])
for number in range(100):
    health.failed(f"t{number} " + "u" * 1000, ErrorKind.QUOTA, health.clock())
print(len(health.snapshot()), health.fault)
"""
    known, _, fault = python(code, path).partition(" ")
    assert known == "100"
    assert "full" in fault or "I/O" in fault
    assert sql(path, "PRAGMA integrity_check") == [("ok",)]


def test_no_sqlite(monkeypatch, process):
    """A Python without SQLite keeps cooldowns in memory."""
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    health = process()
    calls_go_on(health)
    assert "this Python has no sqlite3" in health.fault


@pytest.mark.parametrize("name", ["h.db", "a b%20?#.db", r"C:\Users\joe\h.db", r"\\server\share\h.db"])
def test_names_of_files(tmp_path, monkeypatch, name):
    """Each is the name of just that file to SQLite, those of Windows included."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).touch()
    for path in (name, f"{tmp_path}/{name}", f"/{tmp_path}/{name}"):
        with contextlib.closing(sqlite3.connect(_uri(path), uri=True)) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS t (a)")
    assert [found.name for found in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).stat().st_size


def test_an_empty_file(path, process):
    """A file that somebody has made for us, with nothing in it, is ours."""
    path.touch()
    fail(process())
    assert (process().due(KEY), process().fault) == (1.0, None)


NOW = EPOCH + Clock().now
ODD_ROWS = [
    (KEY, "many", NOW + 60, NOW, None),
    (KEY, b"\0", NOW + 60, NOW, None),
    (KEY, 1.5, NOW + 60, NOW, None),
    (KEY, 0, NOW + 60, NOW, None),
    (KEY, -3, NOW + 60, NOW, None),
    (KEY, 1, "tomorrow", NOW, None),
    (KEY, 1, b"", NOW, None),
    (KEY, 1, float("-inf"), NOW, None),
    (KEY, 1, float("inf"), float("inf"), None),
    (KEY, 1, NOW + 60, float("-inf"), None),
    (KEY, 1, NOW + 60, "now", None),
    (KEY, 1, NOW + 60, NOW, "yes"),
    (KEY, 1, NOW + 60, NOW, float("inf")),
    (KEY, 1, NOW + 60, NOW + 3, None),
    (KEY, 1, NOW + 60, NOW + 1e6, None),
    (KEY, 1, NOW + 60, NOW, NOW + 3),
    (KEY, 1, NOW + 60, NOW - 3 * DAY, None),
    (None, 1, NOW + 60, NOW, None),
    (KEY.encode(), 1, NOW + 60, NOW, None),
]


@pytest.mark.parametrize("row", ODD_ROWS)
def test_rows_that_nobody_can_have_written(path, process, row):
    """What is of another type, of the future or of long ago counts as if it were not there, and is overwritten."""
    as_ours(path)
    sql(path, ("INSERT INTO cooldowns VALUES (?, ?, ?, ?, ?)", row))
    health = process()
    assert health.snapshot() == {}
    calls_go_on(health)
    fail(health)
    assert sql(path, "SELECT key, failures, until FROM cooldowns") == [(KEY, 1, NOW + 1)]
    assert health.fault is None


def test_more_targets_than_are_remembered(path, process):
    """The latest failures count; a process's own is never among those that are dropped."""
    as_ours(path)
    rows = [(f"old/{number}", 1, NOW + 60, NOW - 1, None) for number in range(1500)]
    sql(path, *[("INSERT INTO cooldowns VALUES (?, ?, ?, ?, ?)", row) for row in rows])
    health = process()
    fail(health)
    assert health.due(KEY) == process().due(KEY) == 1.0
    assert len(process().snapshot()) == 1000


def test_bytes_that_are_no_text(path, process):
    """A name that is no UTF-8 spoils no other row."""
    fail(process())
    sql(path, "INSERT INTO cooldowns SELECT CAST(x'ff' AS TEXT), failures, until, failed_at, NULL FROM cooldowns")
    assert set(process().snapshot()) == {KEY}


@pytest.mark.parametrize(
    ("failures", "until", "failed_at", "seconds", "counted"),
    [
        (10**18, 60, 0, 60.0, 99),
        (1, float("inf"), 0, DAY, 1),
        (1, 1e300, -60, DAY - 60, 1),
        (1, 60, 2, 60.0, 1),
    ],
)
def test_no_row_counts_for_more_than_it_can_mean(path, process, failures, until, failed_at, seconds, counted):
    """A cooldown ends a day after the failure at the latest, and the wall clock may be 2 s off."""
    as_ours(path)
    sql(path, ("INSERT INTO cooldowns VALUES (?, ?, ?, ?, NULL)", (KEY, failures, NOW + until, NOW + failed_at)))
    assert process().snapshot() == {KEY: {"state": "open", "failures": counted, "seconds": seconds}}


def test_the_wall_clock_is_set(path, clock):
    """Set forwards it ends cooldowns for who reads them anew; set back, what was written before is of the future."""
    fail(FileHealth(path, clock, lambda: EPOCH), ErrorKind.QUOTA)
    for moved, due in ((0.0, 300.0), (301.0, 0.0), (-1.0, 301.0), (-3600.0, 0.0)):
        assert FileHealth(path, clock, lambda moved=moved: EPOCH + moved).due(KEY) == due


# A file that is busy.


def test_a_locked_file_is_put_aside(process, path, clock, opened):
    """Nobody waits twice for the same lock: the file rests for 1 s, doubled with each try up to 5 min."""
    fail(process(), key="other")
    health, spans = process(), []
    with Locked(path):
        del opened[:]
        for _ in range(11):
            calls_go_on(health)
            assert len(opened) == 1
            rested = clock.now
            while len(opened) == 1:
                clock.now += 0.5
                health.due(KEY)
            spans.append(clock.now - rested)
            del opened[1:]
        assert "locked" in health.fault
    assert spans == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_what_could_not_be_written_is_written_later(process, path, clock):
    """A failure during a lock counts here at once, and for the others when the lock is gone."""
    ours, theirs = process(), process()
    fail(theirs, ErrorKind.RATE_LIMITED, 10)
    os.utime(path, ns=(1, 1))
    assert ours.due(KEY) == 10.0
    with Locked(path):
        fail(ours, ErrorKind.RATE_LIMITED, 60)
        assert (ours.due(KEY), theirs.due(KEY)) == (60.0, 10.0)
    clock.now += 1
    assert ours.due(KEY) == 59.0
    assert (ours.fault, theirs.due(KEY)) == (None, 59.0)


def test_a_lock_between_reading_and_writing(process, path, clock):
    """A reader that keeps a change from being written costs a fault, not the change."""
    ours, theirs = process(), process()
    fail(ours)
    reader = sqlite3.connect(str(path), isolation_level=None)
    try:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM cooldowns").fetchall()
        fail(ours, ErrorKind.QUOTA)
        assert (ours.due(KEY), theirs.due(KEY)) == (300.0, 1.0)
        assert "locked" in ours.fault
    finally:
        reader.close()
    clock.now += 1
    assert (ours.due(KEY), theirs.due(KEY), ours.fault) == (299.0, 299.0, None)


@pytest.mark.parametrize(("wait", "seconds"), [(20, 299.0), (3600, 3599.0)])
def test_a_kept_failure_meets_another_one(process, path, clock, wait, seconds):
    """Of what was kept here and what another process has written meanwhile the longer wait counts."""
    ours, theirs = process(), process()
    with Locked(path):
        fail(ours, ErrorKind.RATE_LIMITED, wait)
    for _ in range(3):
        fail(theirs, ErrorKind.QUOTA)
    clock.now += 1
    assert ours.snapshot() == {KEY: {"state": "open", "failures": 3, "seconds": seconds}}
    assert theirs.snapshot() == ours.snapshot()


def test_a_kept_failure_that_is_over(process, path, clock):
    """What could not be written before it was over is not written any more."""
    ours, theirs = process(), process()
    fail(theirs, key="other")
    with Locked(path):
        fail(ours)
    clock.now += 1
    assert (ours.admit(KEY), theirs.admit(KEY), ours.fault) == ("closed", "closed", None)


def test_a_kept_failure_disturbs_no_probe(process, path, clock):
    """Who has failed before another process did, and tells it later, does not free that one's probe."""
    ours, theirs = process(), process()
    with Locked(path):
        fail(ours, ErrorKind.RATE_LIMITED, 2)
    clock.now += 0.5
    fail(theirs)
    clock.now += 1
    assert theirs.admit(KEY) == "half-open"
    clock.now += 1
    assert (ours.admit(KEY), process().admit(KEY)) == ("open", "open")


@pytest.mark.parametrize(("failed_again", "state"), [(False, "closed"), (True, "open")])
def test_an_answer_that_could_not_be_written(process, path, clock, failed_again, state):
    """A success during a lock ends the cooldown for all, unless the target has failed again meanwhile."""
    ours, theirs = process(), process()
    fail(theirs, ErrorKind.QUOTA)
    assert ours.due(KEY) == 300.0
    with Locked(path):
        ours.succeeded(KEY)
        assert ours.admit(KEY) == "closed"
    clock.now += 0.5
    if failed_again:
        fail(theirs)
    clock.now += 0.5
    assert (ours.admit(KEY), theirs.admit(KEY)) == (state, state)


def test_memory_decides_on_the_probe_of_a_locked_file(process, path, clock):
    """While the file cannot be written, the threads of a process have one probe among them."""
    health = process()
    fail(health)
    clock.now += 1
    assert health.due(KEY) == 0.0
    with Locked(path):
        assert [health.admit(KEY), health.admit(KEY)] == ["half-open", "open"]
        health.released(KEY)
        assert [health.admit(KEY), health.admit(KEY)] == ["half-open", "open"]


# Processes, threads, forks, signals.


def python(code, *arguments, **options):
    """What a fresh interpreter prints."""
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    options = {"stdout": subprocess.PIPE, "text": True, "env": {**os.environ, "PYTHONPATH": str(ROOT)}, **options}
    if "stdin" in options:
        return subprocess.Popen(command, **options)
    done = subprocess.run(command, check=False, stderr=subprocess.PIPE, **options)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_processes_race_for_probes(path):
    """Of processes that ask at the same moment one has the probe; who could not write says so."""
    code = """
import sys
from majordomo._health_file import FileHealth
health = FileHealth(sys.argv[1])
for line in sys.stdin:
    print(health.admit(line.strip()), bool(health.fault), flush=True)
"""
    keys = [f"t{number}" for number in range(8)]
    before = FileHealth(path)
    for key in keys:
        fail(before, key=key)
    soon = max(row["seconds"] for row in before.snapshot().values())
    racers = [python(code, path, stdin=subprocess.PIPE) for _ in range(3)]
    try:
        time.sleep(soon)
        decided = 0
        for key in keys:
            for racer in racers:
                racer.stdin.write(key + "\n")
                racer.stdin.flush()
            told = [racer.stdout.readline().split() for racer in racers]
            if not any(fault == "True" for _, fault in told):
                decided += 1
                assert sorted(admitted for admitted, _ in told) == ["half-open", "open", "open"]
        assert decided
    finally:
        for racer in racers:
            racer.communicate()


@pytest.mark.skipif(os.name == "nt", reason="no kill -9 there")
def test_killed_while_writing(path):
    """A process that is killed at any moment leaves a file that the next one uses."""
    code = """
import sys
from majordomo._health_file import FileHealth
from majordomo.errors import ErrorKind
health = FileHealth(sys.argv[1])
number = 0
while True:
    number += 1
    health.failed(f"t{number % 50} " + "u" * 500, ErrorKind.QUOTA, health.clock())
    print(number, flush=True)
"""
    for turn in range(5):
        writer = python(code, path, stdin=subprocess.DEVNULL)
        for _ in range(20 + 7 * turn):
            assert writer.stdout.readline()
        writer.kill()
        writer.communicate()
        health = FileHealth(path)
        assert health.due("t5 " + "u" * 500) > 0
        fail(health)
        assert health.fault is None
        assert sql(path, "PRAGMA integrity_check") == [("ok",)]


def test_threads_and_processes_at_once(path):
    """Any number of threads and memories may use one file; nobody sees an exception, and all agree in the end."""
    memories = [FileHealth(path) for _ in range(3)]
    assert used_at_once(memories, 15) == []
    late = [FileHealth(path, lambda: time.monotonic() + 600) for _ in range(2)]
    for health in memories:
        health._rests_until = 0.0
        health.snapshot()
    fail(late[0])
    assert {frozenset(health.snapshot()) for health in [*memories, *late]} == {frozenset(late[1].snapshot())}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_waits_for_a_transaction(process, path):
    """A child is not born into another thread's transaction, of whose locks it could not get rid."""
    inside, over = threading.Event(), threading.Event()

    def slow():
        inside.set()
        over.wait(10)
        return NOW

    fail(process(), key="other")
    writer = threading.Thread(target=fail, args=[FileHealth(path, Clock(), slow)])
    writer.start()
    inside.wait(10)
    timer = threading.Timer(0.1, over.set)
    timer.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        signal.alarm(10)
        ok = False
        try:
            health = process()
            fail(health, key="child")
            ok = over.is_set() and health.fault is None
        finally:
            os._exit(0 if ok else 1)
    writer.join()
    timer.join()
    assert os.waitpid(child, 0)[1] == 0
    assert set(process().snapshot()) == {KEY, "other", "child"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_is_one_process_more(process, clock):
    """A child shares the file with its parent, and frees no probe that its parent has."""
    health = process()
    fail(health)
    clock.now += 1
    assert health.admit(KEY) == "half-open"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        signal.alarm(10)
        try:
            health.released(KEY)
            fail(health, key="child")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert health.due("child") == 1.0
    assert process().admit(KEY) == "open"


def test_a_handler_in_the_middle_of_a_transaction(process, path, clock):
    """A signal handler that reports while the file is open does so in memory, and the file learns it later."""
    calls = []

    def wall():
        if not calls:  # as a handler that runs here would
            calls.append(fail(health, key="handler"))
        return EPOCH + clock()

    health = FileHealth(path, clock, wall)
    fail(health)
    assert set(health.snapshot()) == {KEY, "handler"}
    assert health.fault is None
    assert set(process().snapshot()) == {KEY, "handler"}


@pytest.mark.parametrize("raised", [TimeoutError("an alarm's"), KeyboardInterrupt(), ValueError("a bug")])
def test_what_is_no_fault_of_the_file_passes(process, path, clock, raised):
    """Ctrl-C, an alarm and a bug reach the caller, and leave file and memory usable."""
    fail(process(), key="other")
    moments = [raised]

    def wall():
        if moments:
            raise moments.pop()
        return EPOCH + clock()

    health = FileHealth(path, clock, wall)
    with pytest.raises(type(raised)):
        fail(health)
    assert health.fault is None
    fail(health)
    assert (process().due(KEY), health.fault) == (1.0, None)

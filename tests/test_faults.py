"""Every fault on every wire, asked in every way: each call ends in time and says how, and nothing is left behind.

The rows are in `faults`. A cell is a row on a wire, asked in one way. All that were selected
are run at once, when the first of them is wanted: many wait for a limit, and wait together.
Calls that no limit should end have a clock that stands still, so that no load of the machine
can end them. What was observed becomes `docs/faults.md`.
"""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import math
import os
import pickle
import ssl
import tempfile
import threading
import time
import traceback
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import pytest
from fault_table import page
from faults import CAP, COOLDOWNS, FAULTS, HALF, LATE, LIMIT, PASSING, REPEATED, REPLY, WIRES, Asked, Fault
from helpers import Clock

import majordomo._http as transport
from majordomo import DeadlineError, MajordomoError, Registry, TransportError, _connection, _failures, classify
from majordomo.providers import _base, _drawing
from majordomo.testing import RED, Drawing, FakeServer, Reply, dead_port

ROOT = Path(__file__).parent.parent
TLS = Path(__file__).parent / "data" / "tls"
TABLE = ROOT / "docs" / "faults.md"
SECRET = "sk-SECRET"  # how every token begins
NEXT = Reply("From the next target.")
MOMENT, CONNECTING = 1.0, 3.0  # seconds, for the inner limits that are longer in earnest
SLACK = 5.0  # seconds by which a limit may be missed on a busy machine
PATIENCE = 60.0  # after which a call that no limit should end is said to hang
WAITING, WORKING = 24, 3  # threads for cells that wait, and for those that do not

WAYS = ("generate", "stream", "generate in a chain", "stream in a chain")


class Cell(NamedTuple):
    """One fault on one wire, asked in one way."""

    fault: str
    wire: str
    way: str


@dataclass(frozen=True)
class Outcome:
    """How a cell ended.

    error: the class raised to the caller, `""` for an answer. kind: of the attempt that
    failed. partial: what a stream had said. ends: `at once`, `at the limit` or `after a
    moment`. next: whether the next target answered. cooldown: of the faulty target, in
    seconds, None if none. wait: the error's `retry_after`. asked: requests that the server
    saw. again: whether the next call is answered, None if there was none. broken: promises
    that were not kept.
    """

    error: str = ""
    kind: str = ""
    partial: str = ""
    ends: str = "at once"
    next: bool = False
    cooldown: float | None = None
    wait: float | None = None
    asked: int = 1
    again: bool | None = None
    broken: tuple[str, ...] = ()


def owed(cell: Cell) -> Outcome:
    """What a cell's row says of it."""
    fault, chained, streamed = FAULTS[cell.fault].on(cell.wire), "chain" in cell.way, "stream" in cell.way
    error, kind = (fault.stream or fault.whole) if streamed else fault.whole
    late = (error, kind) == LATE
    spoken = fault.spoken and streamed
    if late and chained:
        kind = "transient"  # the target's limit, not the caller's
    over = bool(error) and chained and not spoken
    return Outcome(
        "" if over else error,
        kind,
        HALF if spoken and error else "",
        "at the limit" if late else "after a moment" if fault.moment else "at once",
        over,
        _cooldown(kind, fault.wait),
        None if over else fault.wait,
        fault.asked,
        None if chained or not fault.asked or fault.max_body else True,
    )


def _cooldown(kind: str, wait: float | None) -> float | None:
    first = COOLDOWNS.get(kind)
    return first if first is None or wait is None else max(first, min(wait, 24 * 3600))


class Servers:
    """The servers of a run: each way to be reached has one, which tells its cells apart by their tokens.

    seen: the requests that came, by token. steps: what each token gets. next: the server of the
    next target; elsewhere: one that no target names. noted: the limits that ran out in this
    thread, as `limits`.
    """

    def __init__(self) -> None:
        self.seen: dict[str, list[Any]] = defaultdict(list)
        self.steps: dict[str, Any] = {}
        self.noted = threading.local()
        self.lock = threading.Lock()
        self._running: list[FakeServer] = []
        self._servers: dict[tuple[str, str], FakeServer] = {}
        self.elsewhere = self._start()
        self.next = self._start()
        self.next.default = self.next.drawing = self._answer

    def _start(self, cert: str = "") -> FakeServer:
        context = None
        if cert:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(TLS / f"{cert}.pem")
        server = FakeServer(ssl_context=context).start()
        self._running.append(server)
        return server

    def of(self, fault: Fault) -> FakeServer:
        """The server that does this to whoever asks."""
        key = (fault.cert, fault.title if fault.greeting or fault.max_body else "")
        with self.lock:
            if key not in self._servers:
                server = self._servers[key] = self._start(fault.cert)
                server.default = server.drawing = server.too_large = self._answer
                server.greeting, server.max_body = fault.greeting, fault.max_body
            return self._servers[key]

    def _answer(self, seen: Any) -> Any:
        token = next((seen.headers[name].split()[-1] for name in _KEYS if name in seen.headers), "")
        self.seen[token].append(seen)
        return self.steps[token](seen)

    def close(self) -> None:
        """Stop them all."""
        for server in self._running:
            server.stop()


_KEYS = ("authorization", "x-goog-api-key", "x-api-key")


class Call:
    """One cell under way."""

    def __init__(self, servers: Servers, cell: Cell, number: str, limit: float = LIMIT, retries: int = 0) -> None:
        self.servers, self.cell, self.limit = servers, cell, limit
        self.fault, self.wire = FAULTS[cell.fault].on(cell.wire), WIRES[cell.wire]
        self.expected = owed(cell)
        self.chained, self.streamed = "chain" in cell.way, "stream" in cell.way
        self.token, self.next_token = f"{SECRET}-{number}-box", f"{SECRET}-{number}-next"
        self.waits = self.expected.ends == "at the limit"
        servers.steps[self.token] = self._go_wrong
        servers.steps[self.next_token] = lambda seen: Drawing() if self.wire.draws else NEXT
        self.broken: list[str] = []
        self.partial: list[str] = []
        clock = Clock()
        self.registry = Registry(
            {"LLM_BOX": self._dsn(), "LLM_NEXT": servers.next.dsn(self.wire.scheme, self.next_token)},
            retries=retries,
            clock=time.monotonic if self.waits else clock,
            sleep=clock.sleep,
        )
        parse = self.registry.parse_image if self.wire.draws else self.registry.parse
        self.model = parse("box/m, next/m" if self.chained else "box/m")

    def _go_wrong(self, seen: Any) -> Any:
        return self.fault.step(Asked(self.wire, seen, self.servers.elsewhere.url + seen.path))

    def _dsn(self) -> str:
        fault = self.fault
        options = ["proxy=off"]
        host = f"127.0.0.1:{dead_port()}" if fault.host == "dead" else fault.host or self.servers.of(fault).host
        if self.waits and self.chained:
            options.append(f"timeout={self.limit}")
        secure = bool(fault.cert) if fault.secure is None else fault.secure
        if secure:
            options.append(f"ca={TLS / fault.ca}.pem")
        return f"{self.wire.secure if secure else self.wire.plain}://{self.token}@{host}?{'&'.join(options)}"

    def run(self) -> Outcome:
        """Ask, and see what comes of it."""
        ran_out = self.servers.noted.limits = []
        began = time.monotonic()
        response, error = self.asked()
        if self.expected.ends != "at once" and time.monotonic() - began > max(self.limit, CONNECTING) + SLACK:
            self.broken.append("it took far longer than its limit")
        attempts = (error or response).attempts
        failed = attempts[0] if attempts and attempts[0].outcome == "failed" else None
        inner = any(f" {MOMENT:g} s" in said for said in ran_out)
        inner = inner or "gave no connection within" in (failed.error if failed else "")
        ends = "after a moment" if inner else "at once"
        if "not finished within" in (failed.error if failed else "") or isinstance(error, DeadlineError):
            ends = "at the limit"
        cooldown = self._cooldown()
        if error is not None:
            self._look_at(error)
        self._look_at_attempts(attempts)
        over = response is not None and response.model == "next/m"
        outcome = Outcome(
            type(error).__name__ if error else "",
            failed.kind.value if failed else "",
            error.partial if error else "",
            ends,
            over,
            cooldown,
            getattr(error, "retry_after", None),
            len(self.servers.seen[self.token]),
            None if self.expected.again is None else self._again(),
        )
        self._look_at_requests(over)
        return replace(outcome, broken=tuple(self.broken))

    def asked(self) -> tuple[Any, MajordomoError | None]:
        """The response, or the error."""
        timeout = None if self.chained else self.limit if self.waits else 30
        try:
            return self._ask(timeout), None
        except MajordomoError as exc:
            return None, exc
        except Exception as exc:
            self.broken.append(f"not an error of ours: {exc!r}")
            return None, MajordomoError(repr(exc))

    def _ask(self, timeout: float | None) -> Any:
        """The response, which must be the right one."""
        if self.streamed:
            with self.model.stream(self.fault.prompt, timeout=timeout) as stream:
                self.partial.extend(stream.text_deltas())
            response = stream.response
        else:
            response = self.model.generate(self.fault.prompt, timeout=timeout)
        wanted = NEXT if response.model == "next/m" else REPLY
        drawn = self.wire.draws and [image.data for image in response.images] == [RED]
        if not drawn and (self.wire.draws or response.text != wanted.text):
            self.broken.append(f"a wrong answer: {response!r}")
        return response

    def _again(self) -> bool:
        """Whether the target answers the next call: nothing of this one is left on its connections."""
        self.servers.steps[self.token] = lambda seen: Drawing() if self.wire.draws else REPLY
        try:
            self._ask(30)
        except MajordomoError as exc:
            self.broken.append(f"the next call: {exc}")
            return False
        return True

    def _cooldown(self) -> float | None:
        snapshot = self.registry.health.snapshot()
        rows = [row for key, row in snapshot.items() if key.startswith("box/")]
        if len(rows) != len(snapshot):
            self.broken.append(f"a healthy target cools down: {sorted(snapshot)}")
        if not rows:
            return None
        seconds = rows[0]["seconds"]
        return math.ceil(seconds) if self.waits else round(seconds, 3)  # whose clock goes on

    def _look_at(self, error: MajordomoError) -> None:
        with self.servers.lock:  # it parses source, which CPython 3.11 cannot do in two threads at once
            shown = "".join(traceback.format_exception(type(error), error, error.__traceback__, limit=2))
        shown += repr(error) + str(vars(error)) + repr(pickle.dumps(error))
        inner: BaseException | None = error
        while inner is not None:
            shown += repr(inner.args) + str(vars(inner))
            inner = inner.__cause__ or inner.__context__
        if SECRET in shown:
            self.broken.append("the error shows a token")
        if error.target != "box/m":
            self.broken.append(f"the error names {error.target}")
        if "\n" in str(error) or len(str(error)) > 600:
            self.broken.append(f"the message is no short line: {error}")
        if isinstance(error, TransportError) and error.__cause__ is None:
            self.broken.append("the cause is lost")
        if isinstance(error, DeadlineError) and error.limit != ("default" if self.chained else "timeout"):
            self.broken.append(f"the limit is called {error.limit}")
        if error.partial != "".join(self.partial):
            self.broken.append(f"partial is {error.partial!r} after {self.partial}")
        if not self.chained and error.attempts and classify(error) is not error.attempts[0].kind:
            self.broken.append(f"classify says {classify(error)}")

    def _look_at_attempts(self, attempts: Any) -> None:
        if SECRET in repr(attempts):
            self.broken.append("the attempts show a token")
        said = [(attempt.target, attempt.outcome) for attempt in attempts]
        expected = [("box/m", "failed" if self.expected.kind else "answered")]
        if self.expected.next:
            expected.append(("next/m", "answered"))
        if said != expected:
            self.broken.append(f"attempts are {said}")

    def _look_at_requests(self, over: bool) -> None:
        seen = self.servers.seen
        if len(seen[self.next_token]) != over:
            self.broken.append(f"the next target was asked {len(seen[self.next_token])} times")
        for token, other in ((self.token, self.next_token), (self.next_token, self.token)):
            for one in seen[token]:
                if other in str(one.headers) or other in one.path or other.encode() in one.body:
                    self.broken.append(f"{other} was sent to another")
                if token in one.path or token.encode() in one.body:
                    self.broken.append("a token was sent outside of the headers")
        for known in (seen, self.servers.steps):  # which would keep this call, and its connections, to the end
            del known[self.token], known[self.next_token]


def _noting(servers: Servers) -> Any:
    """How a DeadlineError begins while a run takes note of the limits that run out."""
    begin = DeadlineError.__init__

    def noting(error: Any, message: str = "", **more: Any) -> None:
        getattr(servers.noted, "limits", []).append(message)
        begin(error, message, **more)

    return noting


class Run:
    """All cells that are wanted: what came of each, and what the run left behind."""

    def __init__(self, cells: list[Cell]) -> None:
        self.cells = cells
        self.outcomes: dict[Cell, Outcome] = {}
        self.left: list[str] = []
        self._under_way: dict[Cell, float] = {}
        self._lock = threading.Lock()
        self._numbers = iter(range(10**6))

    def go(self, directory: Path) -> Run:
        """Run them, and look at what is left."""
        log, said = io.StringIO(), io.StringIO()
        handler = logging.StreamHandler(log)
        logger = logging.getLogger("majordomo")
        before = _held()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(logger, "handlers", [handler])
            patch.setattr(logger, "propagate", False)  # pytest would keep ten thousand lines
            logger.setLevel(logging.DEBUG)
            try:
                with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                    self._run(patch)
            finally:
                logger.setLevel(logging.NOTSET)
        self.left += [f"left behind: {thing}" for thing in _left(before)]
        self.left += [f"a temporary file: {path}" for path in directory.iterdir()]
        self.left += [f"printed: {said.getvalue()[:500]}"] if said.getvalue() else []
        self.left += [f"logged: {line}" for line in log.getvalue().splitlines() if SECRET in line]
        self.logged = len(log.getvalue().splitlines())
        return self

    def _run(self, patch: pytest.MonkeyPatch) -> None:
        with contextlib.closing(Servers()) as servers:
            patch.setattr(DeadlineError, "__init__", _noting(servers))
            self._work_off(servers)
            self.left += [f"sent to a host that was never named: {seen}" for seen in servers.elsewhere.requests]

    def _work_off(self, servers: Servers) -> None:
        """All cells, those that wait beside those that do not; AssertionError if one does not end."""
        jobs: dict[bool, SimpleQueue[Cell]] = {True: SimpleQueue(), False: SimpleQueue()}
        for cell in self.cells:
            jobs[owed(cell).ends != "at once"].put(cell)
        threads = [
            threading.Thread(target=self._work, args=(servers, jobs[waits]), daemon=True)
            for waits, count in ((True, WAITING), (False, WORKING))
            for _ in range(count)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.05)
            with self._lock:
                hung = [cell for cell, since in self._under_way.items() if time.monotonic() - since > PATIENCE]
            if hung:
                self._give_up(jobs, threads)
                raise AssertionError(f"these calls do not end: {hung}")

    def _give_up(self, jobs: dict[bool, SimpleQueue[Cell]], threads: list[threading.Thread]) -> None:
        """Begin no further cell, and let those end that can."""
        for queue in jobs.values():
            with contextlib.suppress(Empty):
                while True:
                    queue.get_nowait()
        for thread in threads:
            thread.join(1.0)

    def _work(self, servers: Servers, jobs: SimpleQueue[Cell]) -> None:
        while True:
            try:
                cell = jobs.get_nowait()
            except Empty:
                return
            limit = LIMIT
            for _ in range(3):  # a short limit may be too short on a busy machine
                with self._lock:
                    self._under_way[cell] = time.monotonic()
                try:
                    outcome = Call(servers, cell, f"{next(self._numbers):05}", limit).run()
                except Exception as exc:
                    place = exc.__traceback__.tb_frame if exc.__traceback__ else None
                    outcome = Outcome(broken=(f"the test itself: {exc!r} {place}",))
                limit *= 4
                if outcome == owed(cell) or "at once" == outcome.ends == owed(cell).ends:
                    break
            with self._lock:
                del self._under_way[cell]
            self.outcomes[cell] = outcome


def _held() -> dict[str, str]:
    """What this process holds that a call could leave: threads, and descriptors where they can be listed."""
    gc.collect()
    held = {f"thread {thread.ident}": thread.name for thread in threading.enumerate()}
    with contextlib.suppress(OSError):
        for descriptor in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                held[os.readlink(f"/proc/self/fd/{descriptor}")] = f"descriptor {descriptor}"
    return held


def _left(before: dict[str, str]) -> list[str]:
    """What is held and was not before; the threads of the servers get time to end, on a busy machine too."""
    for _ in range(600):
        left = [f"{name} ({what})" for what, name in _held().items() if what not in before and "/proc/" not in what]
        if not left:
            break
        time.sleep(0.05)
    return left


def _cells(fault: str, wire: str) -> list[Cell]:
    row = FAULTS[fault]
    ways = [way for way in WAYS if "stream" in way or row.ways == "both"]
    return [Cell(fault, wire, way) for way in ways if "stream" not in way or not WIRES[wire].draws]


ROWS = [(fault, wire) for fault, row in FAULTS.items() for wire in row.wires if _cells(fault, wire)]


CELLS = [cell for row in ROWS for cell in _cells(*row)]


@pytest.fixture(scope="module")
def run(request, tmp_path_factory):
    """The cells of all tests that were selected."""
    wanted = [item.callspec.params["row"] for item in request.session.items if item.name.startswith("test_fault[")]
    directory = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(directory))
        patch.setattr(transport, "CAP", CAP)  # the real ones are filled in test_http
        patch.setattr(_drawing, "DRAWN_CAP", CAP)
        patch.setitem(transport.stream.__kwdefaults__, "cap", CAP)
        patch.setattr(_base, "AFTER_FINISH", MOMENT)
        patch.setattr(_connection, "CONNECT_TIMEOUT", CONNECTING)
        patch.setattr(_failures, "ERROR_TIME", MOMENT)
        return Run([cell for row in wanted for cell in _cells(*row)]).go(directory)


@pytest.mark.parametrize("row", ROWS, ids=[f"{fault} - {wire}" for fault, wire in ROWS])
def test_fault(run, row):
    """The call ends as the row says, whole or streamed, alone or in a chain."""
    cells = _cells(*row)
    assert {cell.way: run.outcomes[cell] for cell in cells} == {cell.way: owed(cell) for cell in cells}


def test_nothing_is_left_behind(run):
    """No descriptor, thread or temporary file; nothing printed; no token in the log, or sent elsewhere."""
    if not run.cells:
        pytest.skip("nothing was run")
    assert run.left == []
    assert run.logged >= len(run.cells)


@pytest.fixture(scope="module")
def servers():
    """The servers, for cells that are run one by one."""
    with contextlib.closing(Servers()) as running:
        yield running


AGAIN = [cell for cell in CELLS if cell.fault in REPEATED and cell.way in ("generate", "stream")]


@pytest.mark.parametrize("cell", AGAIN, ids=" - ".join)
def test_what_is_asked_again(servers, cell):
    """`retries=2` makes three requests where the failure may pass, one where it will not or a stream has begun."""
    call = Call(servers, cell, f"again-{AGAIN.index(cell)}", retries=2)
    call.asked()
    expected = owed(cell)
    assert len(servers.seen[call.token]) == (3 if expected.kind in PASSING and not expected.partial else 1)


def test_the_table(run):
    """The documentation shows what was observed; where it does not, it is written anew."""
    if set(run.cells) != set(CELLS) or any(run.outcomes[cell] != owed(cell) for cell in CELLS):
        pytest.skip("the table is made of a whole run in which all went well")
    said = page(run.outcomes)
    if TABLE.exists() and TABLE.read_text(encoding="utf-8") == said:
        return
    if os.environ.get("CI") != "true" and (ROOT / ".git").exists():
        with contextlib.suppress(OSError):
            TABLE.write_text(said, encoding="utf-8")
            pytest.fail(f"{TABLE.name} did not say what happens; it has been written anew, have a look at it")
    pytest.fail(f"{TABLE.name} does not say what happens; run these tests where they may write it")

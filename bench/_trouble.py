"""A server in a process of its own that goes wrong on purpose, as a seed has it.

What happens to a request is decided by the seed, the number in its question, the model
and how often that one has been asked it. So whoever knows the seed knows what the server
did, without asking, and can hold it against what a caller was told.

    python3 bench/_trouble.py SEED SHARE [--keys]

prints its address, serves until its input ends, and then prints how often each question
was asked. SHARE: the part of the requests that something happens to. --keys: only who
brings the key of its question is let in.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any, Callable

import _measure  # noqa: F401  (which finds the package)

from majordomo import APIError, DeadlineError, ErrorKind, ProtocolError, TransportError, TruncatedError
from majordomo import _fake as tellers
from majordomo.testing import FakeServer, Raw, Reply, Seen, Status, cut, drip, hang, reset

SLOW = "slow"  # a model the end of whose answers comes byte by byte, in about half a second
WORDS = 12  # of an answer; a stream has a piece for each
NO_ANSWER = -5  # the end of a chunked body: without it the connection ends in the middle of it

# A wire's word for an error of the server's own, where none is expected: in a 200, or in a stream.
ERRORS: dict[str, Any] = {
    "/chat/completions": {"error": {"message": "It broke.", "type": "server_error", "code": 500}},
    "/responses": {"type": "error", "code": "server_error", "message": "It broke.", "param": None},
    "/messages": {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    ":generateContent": {"error": {"code": 503, "message": "It broke.", "status": "UNAVAILABLE"}},
    ":streamGenerateContent": {"error": {"code": 503, "message": "It broke.", "status": "UNAVAILABLE"}},
    "/api/chat": {"error": "it broke"},
}
PAGE = "<!DOCTYPE html><html><body>Welcome to the hotel's network.</body></html>"


@dataclass(frozen=True)
class Told:
    """A good answer, to be spoilt. status: as the server would give it. number: of its question."""

    status: Status
    seen: Seen
    number: int

    def error(self) -> bytes:
        """The wire's word for an error."""
        path = self.seen.path.partition("?")[0]
        return json.dumps(next(value for ending, value in ERRORS.items() if path.endswith(ending))).encode()

    def event(self) -> bytes:
        """The same as an event of a stream."""
        if "/api/" in self.seen.path:
            return self.error() + b"\n"
        name = b"event: error\n" if self.seen.path.endswith(("/messages", "/responses")) else b""
        return name + b"data: " + self.error() + b"\n\n"

    def begun(self, pieces: int) -> Status:
        """The stream up to a piece of the text, with everything in order so far."""
        mark = piece(pieces, self.number, self.seen.model).encode()
        body = self.status.body
        end = next(at for at, sent in enumerate(body) if mark in sent)
        return Status(200, body[:end], self.status.headers)


@dataclass(frozen=True)
class Trouble:
    """One way to go wrong.

    step: what the server does instead. error: what a caller is told who has nobody else to
    ask. kind: what that means. streams, calls: what it happens to. silent: whether a
    request over a kept connection goes again unseen, for the server may have tired of
    waiting. begun: whether a stream has handed out text by then; None where that is a race.
    """

    step: Callable[[Told], Any]
    error: Any
    kind: ErrorKind = ErrorKind.TRANSIENT
    calls: bool = True
    streams: bool = True
    silent: bool = False
    begun: bool | None = False


def _status(status: int, **headers: str) -> Callable[[Told], Status]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda told: Status(status, {"error": {"message": "Not now."}}, named)


_CUT = (TruncatedError, TransportError)
TROUBLES: dict[str, Trouble] = {
    "503": Trouble(_status(503), APIError),
    "502 with a page": Trouble(lambda told: Status(502, PAGE, {"Content-Type": "text/html"}), APIError),
    "429": Trouble(_status(429, Retry_After="0.4"), APIError, ErrorKind.RATE_LIMITED),
    "400": Trouble(_status(400), APIError, ErrorKind.INVALID),
    "closed": Trouble(lambda told: cut(), TransportError, silent=True),
    "reset": Trouble(lambda told: reset(), TransportError, silent=True),
    "garbage": Trouble(lambda told: Raw(b"\x16\x03\x01 this is not HTTP\r\n\r\n"), TransportError),
    "a page": Trouble(lambda told: Status(200, PAGE, {"Content-Type": "text/html"}), ProtocolError),
    "silence": Trouble(lambda told: hang(), DeadlineError),
    "silence after the head": Trouble(lambda told: hang(told.status, after=None), DeadlineError),
    "a cut body": Trouble(lambda told: cut(told.status, after=-4), TruncatedError, streams=False),
    "a reset in the body": Trouble(lambda told: reset(told.status, after=-4), _CUT, streams=False),
    "half a JSON": Trouble(
        lambda told: Status(200, json.dumps(told.status.body)[:-40], {"Content-Type": "application/json"}),
        ProtocolError,
        streams=False,
    ),
    "an error in a 200": Trouble(lambda told: Status(200, told.error()), (APIError, ProtocolError), streams=False),
    "an error first": Trouble(
        lambda told: Status(200, [told.event()], told.status.headers), (APIError, ProtocolError), calls=False
    ),
    "a cut before the text": Trouble(lambda told: cut(told.begun(0), after=NO_ANSWER), TruncatedError, calls=False),
    "a cut in the text": Trouble(
        lambda told: cut(told.begun(pieces_before(told.number)), after=NO_ANSWER),
        TruncatedError,
        calls=False,
        begun=True,
    ),
    "no end": Trouble(lambda told: told.begun(pieces_before(told.number)), TruncatedError, calls=False, begun=True),
    "a reset in the text": Trouble(
        lambda told: reset(told.begun(pieces_before(told.number)), after=NO_ANSWER), _CUT, calls=False, begun=None
    ),
    "an error in the text": Trouble(
        lambda told: _with(told.begun(pieces_before(told.number)), told.event()),
        (APIError, ProtocolError),
        calls=False,
        begun=True,
    ),
    "silence in the text": Trouble(
        lambda told: hang(told.begun(pieces_before(told.number)), after=NO_ANSWER),
        DeadlineError,
        calls=False,
        begun=True,
    ),
}


def _with(status: Status, event: bytes) -> Status:
    return Status(status.status, [*status.body, event], status.headers)


def piece(at: int, number: int, model: str) -> str:
    """A piece of an answer: the first one says whose it is."""
    return f" word{at}" if at else f"answer {number} of {model}:"


def answer(number: int, model: str, pieces: int = WORDS) -> str:
    """The answer to a question, or as much as its first pieces say."""
    return "".join(piece(at, number, model) for at in range(pieces))


def pieces_before(number: int) -> int:
    """How many pieces come before a trouble in the text, at least one."""
    return 1 + number % (WORDS - 1)


def trouble(seed: int, share: float, number: int, model: str, turn: int, streamed: bool) -> str:
    """What happens to a question when it is asked this model for the nth time, from 0; `""` for nothing."""
    rng = random.Random(f"{seed} {number} {model} {turn}")
    if rng.random() >= share:
        return ""
    return rng.choice([name for name, row in TROUBLES.items() if (row.streams if streamed else row.calls)])


def ask(number: int) -> str:
    """The question of a number."""
    return f"Question {number}?"


def key_of(number: int) -> str:
    """The key with which a process asks its question."""
    return f"key-of-{number}-and-nobody-else"


class _Plan:
    """What the server does with a request, and its count of them."""

    def __init__(self, seed: int, share: float, keys: bool) -> None:
        self.seed, self.share, self.keys = seed, share, keys
        self.asked: dict[int, dict[str, int]] = {}
        self._lock = threading.Lock()

    def __call__(self, seen: Seen) -> Any:
        found = re.search(rb"Question (\d+)\?", seen.body)
        if found is None:
            return Status(400, "no question")
        number, model = int(found[1]), seen.model
        if self.keys and not any(key_of(number) in value for value in seen.headers.values()):
            return Status(401, "whose key is this?")
        with self._lock:
            turns = self.asked.setdefault(number, {})
            turn = turns[model] = turns.get(model, -1) + 1
        reply = Reply(answer(number, model), pieces=[piece(at, number, model) for at in range(WORDS)])
        told = Told(tellers.tell(reply, seen), seen, number)
        if model == SLOW:
            return drip(told.status, 0.001, after=-400)
        name = trouble(self.seed, self.share, number, model, turn, isinstance(told.status.body, list))
        return TROUBLES[name].step(told) if name else told.status


class Troubled:
    """The server, as a context manager; within it, `host` says where.

    asked: afterwards, how often each question was asked, all models together.
    """

    def __init__(self, seed: int = 0, share: float = 0.0, keys: bool = False) -> None:
        command = [sys.executable, __file__, str(seed), str(share), *["--keys"][:keys]]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.host = ""
        self.asked: dict[int, int] = {}

    def __enter__(self) -> Troubled:
        self.host = self._process.stdout.readline().strip()
        return self

    def __exit__(self, *error: object) -> None:
        told, _ = self._process.communicate()
        self.asked = {int(number): count for number, count in json.loads(told).items()}


def _serve(seed: int, share: float, keys: bool) -> None:
    plan = _Plan(seed, share, keys)
    with FakeServer() as server:
        server.default = plan
        print(server.host, flush=True)
        sys.stdin.read()
    print(json.dumps({number: sum(turns.values()) + len(turns) for number, turns in plan.asked.items()}))


if __name__ == "__main__":
    _serve(int(sys.argv[1]), float(sys.argv[2]), "--keys" in sys.argv)

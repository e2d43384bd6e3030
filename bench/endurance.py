"""Many calls and streams from many threads, against a server that fails a tenth of them in every way it knows.

    python3 bench/endurance.py [--calls 20000] [--streams 2000] [--threads 32] [--share 0.1] [--seed 1]

Every question has a number and every answer must carry it. What the server does to which
question follows from the seed, so each call is held against what really happened to it:
every attempt that is told must be one of the server's, in its order; who got an answer
got the right one, whole; who got an error had nobody left to ask, or had begun to read.
All threads share one registry, and with it the cooldowns and the kept connections.

Waits between the passes of a call are cut to some milliseconds (`sleep=`), for it is the
order of things that is looked at, not the waiting; cooldowns run on the real clock.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import _measure
import _trouble
from _promise import Held, Promises

from majordomo import ChainError, DeadlineError, ErrorKind, MajordomoError, Registry, TextDelta
from majordomo._http import KEPT
from majordomo.testing import dead_port

SCHEMES = {
    "chat": "openai+http",
    "responses": "openai-responses+http",
    "anthropic": "anthropic+http",
    "google": "google+http",
    "ollama": "ollama+http",
    "swap": "llama-swap",
}
MODELS = 40  # of each provider, so that not everybody cools down all the time
RETRIES = 2
ATTEMPT = 2.0  # seconds of an attempt, fifty times what it needs
HURRIED, LEFT = 0.02, 0.1  # the part of the calls with tiny timeouts, and of the streams that are left
ROUNDS = 8

LATE = "right answers that came too late for their attempt"
WRONG = "answers that are not the question's own"
UNFIT = "calls that tell another story than the server"
STRAY = "exceptions that are not of the tree"
LOST = "questions of which the server saw more or less than was told"
PARTIAL = "errors in a stream without the text that had come"
SLOW = 1.0  # seconds that a call may end after its timeout: the machine may be busy


@dataclass(frozen=True)
class Question:
    """A question as its number has it.

    targets: whom it goes to, in order. left: after how many events its stream is left, 0
    for never.
    """

    number: int
    targets: tuple[str, ...]
    streamed: bool
    timeout: float | None = None
    left: int = 0

    @classmethod
    def of(cls, seed: int, number: int, calls: int) -> Question:
        rng = random.Random(f"question {seed} {number}")
        names = [rng.choice(list(SCHEMES)) for _ in range(rng.choice((1, 2)))]
        targets = [f"{name}/{name}-{rng.randrange(MODELS)}" for name in names]  # no id at two providers
        if rng.random() < 0.1:
            targets.insert(0, "gone/any")
        streamed = number >= calls
        timeout = rng.uniform(0.005, 0.05) if rng.random() < HURRIED else rng.choice((None, None, 60))
        left = rng.randrange(1, _trouble.WORDS) if streamed and rng.random() < LEFT else 0
        return cls(number, tuple(dict.fromkeys(targets)), streamed, timeout, left)

    @property
    def hurried(self) -> bool:
        return self.timeout is not None and self.timeout < 1


@dataclass
class Outcome:
    """How a question ended: with a response, an error, or neither because its stream was left."""

    response: Any = None
    error: Any = None
    said: str = ""
    late: float = 0.0

    @property
    def attempts(self) -> tuple[Any, ...]:
        return getattr(self.response or self.error, "attempts", ())


class Endurance:
    """All questions, and what came of them."""

    def __init__(self, arguments: argparse.Namespace, promises: Promises, host: str) -> None:
        self.seed, self.share, self.calls = arguments.seed, arguments.share, arguments.calls
        self.threads = arguments.threads
        self.promises = promises
        total = arguments.calls + arguments.streams
        self.order = list(range(total))
        random.Random(self.seed).shuffle(self.order)
        self.least, self.most = bytearray(total), bytearray(total)  # how often the server may have been asked
        self.counts: dict[str, int] = {}
        self.latest = 0.0
        self._lock = threading.Lock()
        environ = {f"LLM_{name.upper()}": f"{scheme}://token@{host}" for name, scheme in SCHEMES.items()}
        environ["LLM_GONE"] = f"llama-swap://token@127.0.0.1:{dead_port()}"
        self.registry = Registry(
            environ,
            retries=RETRIES,
            attempt_timeout=ATTEMPT,
            idle_timeout=ATTEMPT,
            sleep=lambda seconds: time.sleep(min(seconds, 0.005)),
        )

    def run(self) -> list[Held]:
        """Ask everything; what was held after each round, with nothing under way."""
        held = []
        with ThreadPoolExecutor(self.threads) as pool:
            for turn in range(ROUNDS):
                list(pool.map(self.one, self.order[turn::ROUNDS]))
                held.append(Held.now())
        return held

    def one(self, number: int) -> None:
        """Ask one question, and judge what comes of it."""
        question = Question.of(self.seed, number, self.calls)
        try:
            outcome = self._asked(question)
        except BaseException as exc:
            self.promises.found(STRAY, f"question {number}: {exc!r}")
            raise
        self._judged(question, outcome)

    def _asked(self, question: Question) -> Outcome:
        model, outcome = self.registry.parse(", ".join(question.targets)), Outcome()
        began = time.monotonic()
        try:
            if question.streamed:
                self._read(model, question, outcome)
            else:
                outcome.response = model.generate(_trouble.ask(question.number), timeout=question.timeout)
                outcome.said = outcome.response.text
        except MajordomoError as exc:
            outcome.error = exc
        if question.timeout:
            outcome.late = time.monotonic() - began - question.timeout
        return outcome

    @staticmethod
    def _read(model: Any, question: Question, outcome: Outcome) -> None:
        with model.stream(_trouble.ask(question.number), timeout=question.timeout) as stream:
            for number, event in enumerate(stream, 1):
                if isinstance(event, TextDelta):
                    outcome.said += event.text
                if number == question.left:
                    return
            outcome.response = stream.response

    def _judged(self, question: Question, outcome: Outcome) -> None:
        number, found = question.number, self.promises.found
        ended = "answered" if outcome.response else "failed" if outcome.error else "left"
        with self._lock:
            self.counts[ended] = self.counts.get(ended, 0) + 1
            self.latest = max(self.latest, outcome.late)
        if ended != "failed" and not self._is_own(question, outcome):
            found(WRONG, f"question {number}: {outcome.said!r}")
        if outcome.error and question.streamed and outcome.error.partial != outcome.said:
            found(PARTIAL, f"question {number}: {outcome.said!r} and {outcome.error.partial!r}")
        if question.hurried or ended == "left":
            self.most[number] = 255
            return
        story = _Story(self, question, outcome)
        asked = story.fits()
        if not asked:
            found(
                UNFIT, f"question {number}: {[str(a) for a in outcome.attempts]}, {outcome.error!r}, {story.server()}"
            )
            self.most[number] = 255
        else:
            self.least[number], self.most[number] = min(asked), max(asked)

    @staticmethod
    def _is_own(question: Question, outcome: Outcome) -> bool:
        if outcome.response is None:
            known = [_trouble.answer(question.number, target.partition("/")[2]) for target in question.targets]
            return any(text.startswith(outcome.said) for text in known)
        text = _trouble.answer(question.number, outcome.response.model.partition("/")[2])
        return outcome.said == outcome.response.text == text and outcome.response.model in question.targets

    def late(self) -> None:
        """An attempt ran out of its time though the server did nothing wrong."""
        with self._lock:
            self.counts[LATE] = self.counts.get(LATE, 0) + 1


class _Story:
    """What a call tells of its attempts, against what the server did to each of them."""

    def __init__(self, run: Endurance, question: Question, outcome: Outcome) -> None:
        self._run, self._question, self._outcome = run, question, outcome
        self._attempts = [attempt for attempt in outcome.attempts if attempt.outcome != "skipped"]

    def trouble(self, target: str, turn: int) -> str:
        model = target.partition("/")[2]
        run, question = self._run, self._question
        return _trouble.trouble(run.seed, run.share, question.number, model, turn, question.streamed)

    def server(self) -> list[tuple[str, list[str]]]:
        """What the server does to this question, for whoever reads of it."""
        return [(target, [self.trouble(target, turn) for turn in range(4)]) for target in self._question.targets]

    def fits(self) -> set[int]:
        """How often the server was asked if the story is true; empty if it cannot be."""
        error = self._outcome.error
        if error is not None and not self._begun():
            if not self._exhausted() or (len(self._question.targets) > 1 and not isinstance(error, ChainError)):
                return set()
        if self._outcome.response is not None and self._attempts[-1].target != self._outcome.response.model:
            return set()
        return self._from(0, {})

    def _from(self, at: int, turns: dict[str, int], again: bool = False) -> set[int]:
        """The same from one attempt on. turns: how often each target was asked before; again: on a new connection."""
        if at == len(self._attempts):
            return {sum(turns.values())}
        attempt = self._attempts[at]
        target = attempt.target
        if target == "gone/any":
            return self._from(at + 1, turns) if attempt.kind is ErrorKind.TRANSIENT else set()
        turn = turns.get(target, 0)
        name, then = self.trouble(target, turn), {**turns, target: turn + 1}
        found = self._from(at + 1, then) if self._matches(attempt, name, at == len(self._attempts) - 1) else set()
        if name and _trouble.TROUBLES[name].silent and not again:
            found = found | self._from(at, then, True)
        return found

    def _matches(self, attempt: Any, name: str, last: bool) -> bool:
        """Whether what was done is what was told."""
        if not name:
            if attempt.outcome == "failed" and (attempt.error or "").startswith("not finished within"):
                self._run.late()
                return True
            return attempt.outcome == "answered"
        row, error = _trouble.TROUBLES[name], self._outcome.error
        if attempt.outcome != "failed" or attempt.kind is not row.kind:
            return False
        alone = len(self._question.targets) == 1 or self._begun()  # then the error is the target's own
        if last and error is not None and alone and not isinstance(error, row.error):
            return False
        if row.begun is None:
            return not self._begun() or last
        if row.begun:  # the reader had something in hand, so this was the end, and just that much was told
            model = attempt.target.partition("/")[2]
            number = self._question.number
            return (
                last
                and error is not None
                and error.partial == _trouble.answer(number, model, _trouble.pieces_before(number))
            )
        return not (last and self._begun())

    def _begun(self) -> bool:
        return bool(self._outcome.error is not None and self._outcome.said)

    def _exhausted(self) -> bool:
        """Whether every target had all its tries: those whose failure may pass have one in each pass."""
        if isinstance(self._outcome.error, DeadlineError) and self._outcome.error.limit == "timeout":
            return False  # nobody was in such a hurry
        for target in self._question.targets:
            mine = [attempt.kind for attempt in self._attempts if attempt.target == target]
            if not mine or (mine[-1] is not ErrorKind.INVALID and len(mine) != RETRIES + 1):
                return False
        return True


def _told(run: Endurance, promises: Promises, held: list[Held], took: float) -> None:
    """The rows of a run. The first rounds warm up: caches fill, and the allocator finds its size."""
    ends = ", ".join(f"{count} {name}" for name, count in sorted(run.counts.items()) if name != LATE)
    _measure.row(f"{len(run.order)} questions, {ends}", f"{took:.0f} s", "")
    for what in (WRONG, UNFIT, STRAY, PARTIAL):
        promises.none(what)
    late = run.counts.get(LATE, 0)
    promises.row(LATE, str(late), "at most 0.1 %", late <= len(run.order) / 1000)
    promises.row("longest time after a timeout", f"{run.latest:.2f} s", f"at most {SLOW:.0f} s", run.latest <= SLOW)
    print("  after each round, KiB:", *[point.memory for point in held])
    print("  descriptors:", *[point.descriptors for point in held], " threads:", *[point.threads for point in held])
    grown = (held[-1].memory - held[ROUNDS // 2 - 1].memory) / 1024
    promises.row("memory, last round above the fourth", f"{grown:.1f} MB", "at most 2 MB", grown <= 2)


def main(given: list[str] | None = None) -> bool:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=20000)
    parser.add_argument("--streams", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args(given)
    promises = Promises()
    server = _trouble.Troubled(arguments.seed, arguments.share)
    with server:
        before = Held.now()
        run, began = Endurance(arguments, promises, server.host), time.monotonic()
        held = run.run()
        took = time.monotonic() - began
        most = max(point.descriptors for point in held) - before.descriptors
        del run.registry
        after = Held.now()
    for number, (least, most_asked) in enumerate(zip(run.least, run.most)):
        asked = server.asked.get(number, 0)
        if not least <= asked <= most_asked:
            promises.found(LOST, f"question {number}: asked {asked} times, told {least} to {most_asked}")
    _told(run, promises, held, took)
    promises.none(LOST)
    kept = KEPT * len(SCHEMES)  # a client for each of them, and one server
    promises.row("descriptors at rest, most of all rounds", str(most), f"at most {kept} kept", most <= kept)
    kept = after.descriptors - before.descriptors
    promises.row("descriptors left without the registry", str(kept), "none", kept == 0)
    promises.row("threads left", str(after.threads - before.threads), "none", after.threads == before.threads)
    return not promises.broken


if __name__ == "__main__":
    sys.exit(not main())

"""A process that forks while its threads call, and children that go on with what they inherit.

    python3 bench/forks.py [--forks 60] [--threads 8] [--starts 40] [--seed 1]

Parent and children share registry, chains and, at the moment of the fork, the kept
connections and the locks that some thread may hold. Nobody may get an answer of somebody
else's, nobody may hang, and the parent's streams go on. A child has so many seconds; one
that has not ended by then shows where it stands and counts as hung.

--starts: fresh processes that fork while a thread of theirs calls for the first time.
"""

from __future__ import annotations

import argparse
import faulthandler
import itertools
import multiprocessing
import os
import random
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import _measure
import _trouble
from _promise import Held, Promises

from majordomo import Image, MajordomoError, Registry, Stream, user
from majordomo._http import KEPT
from majordomo.testing import RED, FakeServer, dead_port, hang

SCHEMES = {"chat": "openai+http", "anthropic": "anthropic+http", "google": "google+http", "ollama": "ollama+http"}
PATIENCE = 20.0  # seconds that a child has for what takes some milliseconds
CHILD_CALLS = 6

# A child of a process with threads may find locks held; that it does not matter is what is proved here.
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)

MIXED = "answers of somebody else's"
HUNG = "children that hang"
EARLY = "children forked in a first call that hang"
IN_TLS = "children forked while OpenSSL was at work that hang"
FAILED = "children that fail"
STOPPED = "calls of the parent that fail"


class Family:
    """A registry and its chains, and who forks it."""

    def __init__(self, host: str, promises: Promises, seed: int) -> None:
        name = host.replace("127.0.0.1", "localhost")
        environ = {f"LLM_{name.upper()}": f"{scheme}://token@{host}" for name, scheme in SCHEMES.items()}
        self.environ = {**environ, "LLM_NAMED": f"llama-swap://token@{name}"}
        self.registry = Registry(self.environ)
        self.promises = promises
        self.numbers = itertools.count(1)
        self.calls = self.streams = self.children = 0
        self.stopping = threading.Event()
        self.seed = seed

    def chain(self, number: int) -> Any:
        name = [*SCHEMES, "named"][number % (len(SCHEMES) + 1)]
        return self.registry.parse(f"{name}/m, chat/other")

    def call(self, number: int, chain: Any = None) -> bool:
        """Ask; whether the answer is the question's own."""
        reply = (chain or self.chain(number)).generate(_trouble.ask(number), timeout=PATIENCE)
        return reply.text == _trouble.answer(number, reply.model.partition("/")[2])

    def stream(self, number: int, between: Callable[[Stream], None] | None = None) -> bool:
        """The same with a stream. between: what is done in the middle of it, long before its end comes."""
        said = []
        chain = self.registry.parse(f"chat/{_trouble.SLOW}") if between else self.chain(number)
        with chain.stream(_trouble.ask(number), timeout=4 * PATIENCE) as stream:
            for text in stream.text_deltas():
                said.append(text)
                if between and len(said) == 3:
                    between(stream)
        return "".join(said) == _trouble.answer(number, stream.response.model.partition("/")[2])

    def work(self, kind: int) -> None:
        """What a thread of the parent does all the time: calls and streams, or calls of new registries."""
        while not self.stopping.is_set():
            number = next(self.numbers)
            try:
                if kind == 0:  # every one of these looks a name up, and connects
                    right = self.call(number, Registry(self.environ).parse("named/m"))
                    self.calls += 1
                elif number % 3:
                    right = self.call(number)
                    self.calls += 1
                else:
                    right = self.stream(number)
                    self.streams += 1
            except Exception as exc:
                self.promises.found(STOPPED, repr(exc))
            else:
                if not right:
                    self.promises.found(MIXED, f"question {number} of the parent")

    def child(self, first: int) -> int:
        """What a child does at once; its exit status."""
        right = [self.call(number) for number in range(first, first + CHILD_CALLS)]
        right.append(self.stream(first + CHILD_CALLS))
        return 0 if all(right) else 3

    def fork(self, inherited: Stream | None = None) -> None:
        """Fork, and wait for the child; `os.fork` may be called by any thread."""
        self.children += 1
        first = 1_000_000 * self.children
        pid = os.fork()
        if not pid:
            _as_child(lambda: self.child(first), inherited)
        self.await_child(pid, f"child {self.children}")

    def await_child(self, pid: int, name: str) -> float:
        """Wait for a child and judge how it ended; the seconds it took."""
        began = time.monotonic()
        _, status = os.waitpid(pid, 0)
        self.judge(os.waitstatus_to_exitcode(status), name)
        return time.monotonic() - began

    def judge(self, code: int | None, name: str) -> None:
        """What a child's exit status says; None for one that has not even ended."""
        if code != 0:
            what = {3: MIXED, 1: HUNG, None: HUNG}.get(code, FAILED)  # faulthandler ends a process with 1
            self.promises.found(what, f"{name} ended with {code}")

    def spawned(self, stream: Stream) -> None:
        """A child of `multiprocessing`, which inherits a stream that is half read, and closes its copy."""
        self.children += 1
        first = 1_000_000 * self.children
        process = multiprocessing.get_context("fork").Process(
            target=_as_child, args=(lambda: self.child(first), stream)
        )
        process.start()
        process.join(2 * PATIENCE)
        self.judge(process.exitcode, f"child {self.children}, of multiprocessing,")


def _as_child(work: Callable[[], int], inherited: Stream | None = None) -> None:
    """Do a child's work and leave, without what the parent would do at its end."""
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    try:
        if inherited is not None:
            inherited.close()
        status = work()
    except BaseException as exc:
        os.write(2, f"  in a child: {exc!r}\n".encode())
        status = 4
    os._exit(status)


def forking(family: Family, forks: int, threads: int) -> list[int]:
    """Fork by turns from the main thread, from another one, and in the middle of a stream; descriptors at rest."""
    rng, held = random.Random(family.seed), []
    numbers = itertools.count(500_000_000)
    rounds = 3
    for _ in range(rounds):
        family.stopping.clear()
        with ThreadPoolExecutor(threads) as pool:
            work = [pool.submit(family.work, kind) for kind in range(threads)]
            for turn in range(forks // rounds):
                time.sleep(rng.uniform(0, 0.02))
                if turn % 4 == 0:
                    family.fork()
                elif turn % 4 == 1:
                    thread = threading.Thread(target=family.fork)
                    thread.start()
                    thread.join()
                else:
                    middle = family.spawned if turn % 4 == 2 else family.fork
                    halved(family, next(numbers), middle)
            family.stopping.set()
            for done in work:
                done.result()
        held.append(Held.now().descriptors)
    return held


def halved(family: Family, number: int, middle: Callable[[Stream], None]) -> None:
    """Read a stream in the middle of which a child is made."""
    try:
        if not family.stream(number, middle):
            family.promises.found(MIXED, "a stream in the middle of which a child was made")
    except MajordomoError as exc:
        family.promises.found(STOPPED, f"a stream in the middle of which a child was made: {exc!r}")


def holding(family: Family) -> float:
    """Fork while another thread holds the lock of the cooldowns: the seconds that the child takes."""
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with family.registry.health._guard():
            held.set()
            let_go.wait(2 * PATIENCE)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    pid = os.fork()
    if not pid:
        _as_child(lambda: _cooled(family))
    took = family.await_child(pid, "a child of a parent that held its lock")
    let_go.set()
    thread.join()
    return took


def _cooled(family: Family) -> int:
    """Ask a target that fails first, so that every method of the health is called."""
    family.registry.load_env({"LLM_GONE": f"llama-swap://127.0.0.1:{dead_port()}"})
    reply = family.registry.parse("gone/any, chat/m").generate(_trouble.ask(7), timeout=PATIENCE)
    family.registry.health.reset()
    return 0 if reply.text == _trouble.answer(7, "m") else 3


def asking(promises: Promises) -> float:
    """Fork while a thread asks a server what a model takes: the seconds that a child needs for two pictures."""
    picture = user("What is this?", Image(RED, "image/png"))
    with FakeServer() as server:
        server.add(hang(), path="/api/show")
        model = Registry({"LLM_BOX": server.dsn("ollama")}).parse("box/qwen3:14b")
        thread = threading.Thread(target=model.generate, args=(picture,))
        thread.start()
        while not server.requests:
            time.sleep(0.001)
        pid = os.fork()
        if not pid:
            _as_child(lambda: 0 if all(model.generate(picture, timeout=PATIENCE).text for _ in range(2)) else 3)
        took = Family("", promises, 0).await_child(pid, "a child of a process that asked what a model takes")
        thread.join()
    return took


START = """
import faulthandler, os, sys, threading, time, warnings
warnings.simplefilter("ignore")
from majordomo import Image, MajordomoError, Registry, user
from majordomo.testing import RED
how, dsn, after = sys.argv[1:]
registry = Registry({"LLM_BOX": dsn}, retries=0)
def call(number):
    prompt = f"Question {number}?"
    try:
        if how == "stream":
            with registry.parse("box/m").stream(prompt, timeout=20) as stream:
                text = "".join(stream.text_deltas())
        else:
            prompt = user(prompt, Image(RED, "image/png")) if how == "picture" else prompt
            text = registry.parse("box/m").generate(prompt, timeout=20).text
        return text.startswith(f"answer {number} of m:")
    except MajordomoError:
        return how == "tls"
thread = threading.Thread(target=call, args=(1,))
thread.start()
time.sleep(float(after))
pid = os.fork()
if not pid:
    faulthandler.dump_traceback_later(8, exit=True)
    os._exit(0 if call(2) else 3)
thread.join()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def starting(host: str, starts: int, promises: Promises, seed: int) -> None:
    """Fresh processes, each of which forks at some moment of its first call, imports included.

    What a call imports depends on what it is. The server knows no TLS: there an error is the
    right answer, and a child that waits for a lock of OpenSSL's is told apart.
    """
    rng, schemes = random.Random(seed), [*SCHEMES.values()]
    ways = {"call": schemes, "stream": schemes, "picture": schemes, "tls": ["openai"]}

    def one(number: int) -> None:
        how = list(ways)[number % len(ways)]
        after = f"{rng.uniform(0, 0.06):.4f}"
        command = [sys.executable, "-c", START, how, f"{rng.choice(ways[how])}://token@{host}", after]
        done = subprocess.run(command, env=_measure.environ(), capture_output=True, text=True, timeout=60)
        if done.returncode:
            hung = EARLY if how != "tls" or "importlib" in done.stderr else IN_TLS
            what = hung if done.returncode == 1 else FAILED
            stack = "; ".join(line.strip() for line in done.stderr.splitlines()[2:12] if "frozen" not in line)
            promises.found(what, f"{how}, forked after {after} s: {stack or done.stderr}")

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(one, range(starts)))


def main(given: list[str] | None = None) -> bool:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--forks", type=int, default=60)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--starts", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args(given)
    promises, began = Promises(), time.monotonic()
    with _trouble.Troubled() as server:
        before = Held.now().descriptors
        family = Family(server.host, promises, arguments.seed)
        for number in range(len(SCHEMES) + 1):
            family.call(number)  # what is loaded at a first call is `starting`'s matter
        held = forking(family, arguments.forks, arguments.threads)
        took = holding(family)
        starting(server.host, arguments.starts, promises, arguments.seed)
    waited = asking(promises)
    what = f"{family.children} forks beside {family.calls} calls, {family.streams} streams"
    _measure.row(what, f"{time.monotonic() - began:.0f} s", "")
    for name in (MIXED, HUNG, EARLY, FAILED, STOPPED):
        promises.none(name)
    promises.told(IN_TLS, "OpenSSL's own locks do not survive a fork")
    promises.row("a child whose parent held the health's lock", f"{took:.2f} s", "at most 2 s", took <= 2)
    promises.row("two pictures in a child of a parent that was asking", f"{waited:.2f} s", "at most 6 s", waited <= 6)
    grown = max(held) - before
    promises.row(
        "descriptors of the parent at rest", str(grown), f"at most {2 * KEPT} kept", grown <= 2 * KEPT
    )  # to two servers
    return not promises.broken


if __name__ == "__main__":
    sys.exit(not main())

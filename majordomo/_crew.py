"""Work done by threads, for whoever hands it out and takes what came of it.

Threads are made by hand: those of `concurrent.futures` are joined when the interpreter
ends, so that one piece of work that hangs would keep the whole process. Ours are daemons.
"""

from __future__ import annotations

import contextvars
from queue import Empty, SimpleQueue
from threading import Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import Any, Callable, TypeVar

    Item = TypeVar("Item")
    Result = TypeVar("Result")

__all__ = ["AHEAD", "LONGEST_WAIT", "NEXT", "Crew", "flow"]

LONGEST_WAIT = 1.0  # seconds: clocks need not agree, and on Windows a wait without an end is deaf to Ctrl-C
AHEAD = 4  # items for each worker that may be under way, or wait for the result of an earlier one
NEXT = 2  # the same where none waits for another: one is done, one lies ready


class Crew:
    """Daemon threads that do `work`, and the `with` in which they do it.

    Whoever leaves the `with` by its end has taken all results, and no thread is left behind.
    Whoever leaves it otherwise waits for nobody; nothing more is begun.
    """

    def __init__(self, work: Callable[[Any], Any], workers: int, name: str) -> None:
        self._work, self._workers, self._name = work, workers, name
        self._threads: list[Thread] = []
        self._given = 0
        self._waiting: SimpleQueue[Any] = SimpleQueue()
        self._ended: SimpleQueue[tuple[int, Any, BaseException | None]] = SimpleQueue()

    def give(self, item: Any) -> int:
        """Have something done, in a context like this one; gives its number, from 0."""
        number, self._given = self._given, self._given + 1
        self._waiting.put((number, item, contextvars.copy_context()))
        if len(self._threads) < self._workers:
            thread = Thread(target=self._run, name=f"{self._name}-{len(self._threads)}", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system gives no more of them
                if not self._threads:
                    raise
                self._workers = len(self._threads)
            else:
                self._threads.append(thread)
        return number

    def take(self, seconds: float) -> tuple[int, Any, BaseException | None]:
        """What has ended next: its number, and its result or what it raised; `queue.Empty` if nothing has by then."""
        return self._ended.get(timeout=max(0.0, seconds))

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        try:
            while True:
                self._waiting.get_nowait()
        except Empty:
            pass
        self._waiting.put(None)
        if kind is None:
            for thread in self._threads:
                thread.join()

    def _run(self) -> None:
        """The life of a thread."""
        for number, item, context in iter(self._waiting.get, None):
            ended: tuple[int, Any, BaseException | None]
            try:
                ended = (number, context.run(self._work, item), None)
            except BaseException as exc:
                ended = (number, None, exc)
            self._ended.put(ended)
            del item, context, ended  # or they would live until there is more to do
        self._waiting.put(None)  # for the next thread: how many there are is not sure, if Ctrl-C came at a start


def flow(
    work: Callable[[Item], Result],
    items: Iterator[Item],
    workers: int,
    *,
    ordered: bool,
    name: str,
    waiting: Callable[[], object] = lambda: None,
) -> Generator[Result, None, None]:
    """The results of `work`, in the order of the items or as they come; what it raises, in the place of its result.

    Items are drawn here and not in the threads, no more ahead than `AHEAD` or `NEXT` says, one
    between two results: a result waits for an item that is slow to be drawn. What drawing one
    raises comes after the results of those before it. One worker is the caller's own thread.
    waiting: called each second in which nothing ends.
    """
    if workers == 1:
        for item in items:
            yield work(item)
        return
    drawn: dict[int, None] = {}  # numbers whose result is not told yet, oldest first
    ended: dict[int, tuple[Any, BaseException | None]] = {}
    dry, trouble, most = False, None, workers * (AHEAD if ordered else NEXT)
    with Crew(work, workers, name) as crew:
        while drawn or not dry:
            if not dry and len(drawn) < most:
                try:
                    item = next(items)
                except StopIteration:
                    dry = True
                except Exception as exc:
                    dry, trouble = True, exc
                else:
                    drawn[crew.give(item)] = None
            patient = bool(drawn) and (dry or len(drawn) == most)
            number = _next(crew, drawn if ordered else ended, ended, waiting if patient else None)
            if number is not None:
                del drawn[number]
                result, error = ended.pop(number)
                if error is not None:
                    raise error
                yield result
    if trouble is not None:
        raise trouble


def _next(crew: Crew, turns: dict[int, Any], ended: dict[int, Any], waiting: Callable[[], object] | None) -> int | None:
    """The first of `turns`, once it has ended; None, where nobody is `waiting`, if it has not."""
    while True:
        first: int | None = next(iter(turns), None)
        if first in ended:
            return first
        try:
            number, *outcome = crew.take(LONGEST_WAIT if waiting else 0.0)
        except Empty:
            if waiting is None:
                return None
            waiting()
        else:
            ended[number] = outcome

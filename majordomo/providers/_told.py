"""What servers say of themselves when they are asked ahead of a question."""

from __future__ import annotations

import os
from _thread import allocate_lock  # `threading` is a module more to import
from time import monotonic

from ..deadline import Deadline
from ..errors import APIError, DeadlineError, ProtocolError, TransportError, TruncatedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

ASKING = 5.0  # seconds at most for what a server is asked ahead of a question
ASK_AGAIN = 60.0  # seconds until one that was late, or said no, is asked again


class Told:
    """What a server says of itself, asked ahead of a question: once, and at the cost of a moment.

    A server that is late, fails or does not know such a question does no harm: the
    question itself is answered or not, whatever this does. value: what was said, `nothing`
    if the server does not know, None as long as nobody has asked.
    """

    def __init__(self, ask: Callable[[Deadline], Any], nothing: Any) -> None:
        self.value: Any = None
        self._ask, self._nothing, self._ask_after = ask, nothing, 0.0
        self._asking, self._pid = allocate_lock(), os.getpid()

    def get(self, deadline: Deadline) -> Any:
        """What the server said, asked for now if it was not before; of several threads one asks, the others wait."""
        if self.value is None and monotonic() >= self._ask_after:
            if self._pid != os.getpid():  # whoever was asking is in the parent, and nobody will let go of the lock
                self._asking, self._pid = allocate_lock(), os.getpid()
            limit = min(ASKING, deadline.require() / 4)
            if self._asking.acquire(timeout=limit):
                try:
                    if self.value is None and monotonic() >= self._ask_after:
                        self._hear(Deadline(limit, deadline.limit))
                finally:
                    self._asking.release()
        return self._nothing if self.value is None else self.value

    def _hear(self, deadline: Deadline) -> None:
        try:
            self.value = self._ask(deadline)
        except ProtocolError:
            self.value = self._nothing
        except APIError as exc:
            if exc.code == "model_not_found":
                return  # it may be there next time, and then there is something to say
            if exc.status < 400 or exc.status in (400, 401, 403, 404, 405, 501):
                self.value = self._nothing
            else:
                self._ask_after = monotonic() + ASK_AGAIN
        except (TransportError, TruncatedError):
            pass
        except DeadlineError:
            self._ask_after = monotonic() + ASK_AGAIN

"""Models whose answers a function makes of what it is asked, in whichever thread, and one such function that waits."""

from __future__ import annotations

import threading

from majordomo import Model, Response, assistant

PATIENCE = 20  # seconds for what takes a moment


class Does(Model):
    """Answers with what a function makes of the prompt's text, or raises it."""

    name = "mine/m"

    def __init__(self, function=str.upper):
        self.function, self.requests, self.spans, self.threads = function, [], [], set()

    def complete(self, request, deadline):
        self.requests.append(request)
        self.spans.append(deadline.left())
        self.threads.add(threading.current_thread())
        found = self.function(request.messages[-1].text)
        if isinstance(found, BaseException):
            raise found
        return Response(assistant(found))


class Holds:
    """A function whose calls wait until they are let go, but for the first few."""

    def __init__(self, free: int = 0):
        self.free, self.begun, self.let_go = free, [], threading.Event()

    def __call__(self, text):
        self.begun.append(text)
        if len(self.begun) > self.free:
            assert self.let_go.wait(PATIENCE)
        return text

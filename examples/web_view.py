"""A web view that answers questions, whole at /ask and as it comes at /stream.

    MAJORDOMO_MODEL=box/qwen3:14b,openai/gpt-5-mini gunicorn --threads 8 web_view:app
    python3 web_view.py 8000 &  curl -d "Why is the sky blue?" http://127.0.0.1:8000/stream

Plain WSGI, so it runs anywhere. `whole` and `streamed` give what a view of Flask gives; with Flask
`app` and what follows it are

    @app.post("/ask")
    def ask():
        return whole(request.get_data())

    @app.post("/stream")
    def stream():
        return streamed(request.get_data())
"""

from __future__ import annotations

import math
import os
import sys
from http import HTTPStatus
from wsgiref.simple_server import make_server

from majordomo import ErrorKind, MajordomoError, Registry, classify, parse

# Made once: its connections and cooldowns serve all requests and threads, and workers forked after this line.
MODEL = parse(os.environ.get("MAJORDOMO_MODEL", "ollama/qwen3:4b, openai/gpt-5-mini"))
TIMEOUT = float(os.environ.get("ASK_TIMEOUT", "25"))  # below the web server's own, and a proxy's
MAX_BYTES = 20_000
PLAIN = {"Content-Type": "text/plain; charset=utf-8"}

STATUS = {  # what is not the question's fault is 503
    ErrorKind.DEADLINE: 504,
    ErrorKind.TOO_LONG: 413,
    ErrorKind.FILTERED: 400,
    ErrorKind.INVALID: 400,
}


def refusal(error: MajordomoError):
    """What a visitor is told: no host and no model, which are for the log."""
    print("web_view:", error, file=sys.stderr)
    status = STATUS.get(classify(error), 503)
    headers = dict(PLAIN)
    if status == 503:  # until the first target is due again
        waits = [row["seconds"] for row in Registry.default().health.snapshot().values()]
        headers["Retry-After"] = str(max(1, math.ceil(min(waits, default=30))))
    return f"{HTTPStatus(status).phrase}\n".encode(), status, headers


def whole(question: bytes):
    """The answer at once: (body, status, headers)."""
    try:
        text = MODEL.generate(question.decode("utf-8", "replace"), timeout=TIMEOUT).text
    except MajordomoError as error:
        return refusal(error)
    return text.encode("utf-8", "replace"), 200, PLAIN


def streamed(question: bytes):
    """The answer in pieces; what fails before the first of them has a status of its own still."""
    pieces = told(question.decode("utf-8", "replace"))
    try:
        next(pieces)
    except MajordomoError as error:
        return refusal(error)
    return pieces, 200, PLAIN


def told(question: str):
    """b"" once somebody answers, then the pieces. When the client goes, the server closes this, and that the stream."""
    with MODEL.stream(question, timeout=TIMEOUT) as stream:
        texts = stream.text_deltas()
        first = next(texts, "")
        yield b""
        yield first.encode("utf-8", "replace")
        for text in texts:  # an error now breaks off a server's chunks (gunicorn sends such, wsgiref does not)
            yield text.encode("utf-8", "replace")


def app(environ, start_response):
    view = {"/ask": whole, "/stream": streamed}.get(environ["PATH_INFO"])
    given = environ.get("CONTENT_LENGTH") or ""
    length = int(given) if given.isdecimal() else 0
    if view is None or not 0 < length <= MAX_BYTES:
        body, status, headers = b"", 404 if view is None else 413 if length else 400, PLAIN
    else:
        body, status, headers = view(environ["wsgi.input"].read(length))
    start_response(f"{status} {HTTPStatus(status).phrase}", list(headers.items()))
    return [body] if isinstance(body, bytes) else body


if __name__ == "__main__":
    with make_server("127.0.0.1", int(sys.argv[1]), app) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()

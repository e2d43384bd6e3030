"""What goes wrong below, as errors of ours: foreign exceptions, and answers that say no.

Loaded before anything can go wrong: a process that has no descriptor left could not load it then.
"""

from __future__ import annotations

import http.client
import re
import socket
import time
from email.utils import mktime_tz, parsedate_tz
from urllib.error import URLError
from urllib.parse import urlsplit

from ._blot import blot, blotted
from ._connection import is_foreign
from ._words import one_line
from .deadline import Deadline
from .errors import APIError, MajordomoError, TransportError, TruncatedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    ReadError = Callable[[int, str], "tuple[str, str | None, str | None, float | None]"]

ERROR_CAP = 64 * 1024  # bytes of an error's body that are read
ERROR_TIME = 2.0  # seconds that reading it may take
BODY_CAP = 4000  # characters of it that an APIError keeps
MESSAGE_CAP = 300  # characters of a server's words in a message
CODE_CAP = 80  # and in its code


def translated(error: Exception, url: str, secret: str | None) -> Exception:
    """What went wrong below, as an error of ours; anything unknown passes through. Neither holds the token any more."""
    ours = _translated(error, url)
    blot(error, secret)
    blot(ours, secret)
    return ours


def _translated(error: Exception, url: str) -> Exception:
    if isinstance(error, MajordomoError):
        return error
    if isinstance(error, URLError) and isinstance(error.reason, Exception):
        error = error.reason
    where = getattr(error, "where", None) or _line(urlsplit(url).netloc, MESSAGE_CAP)  # a proxy, if it is its fault
    for cls, message in _MESSAGES:
        if isinstance(error, cls):
            return TransportError(f"{where} {message}")
    if isinstance(error, http.client.IncompleteRead):
        return TruncatedError(f"{where} closed the connection in the middle of its answer")
    if isinstance(error, http.client.HTTPException):
        return TransportError(f"{where} answered with something that is not HTTP ({type(error).__name__})")
    if isinstance(error, OSError):
        text = error.strerror or str(error) or type(error).__name__
        return TransportError(f"{where}: {_line(text, MESSAGE_CAP)}")
    if isinstance(error, ValueError):
        return TransportError(f"{where} answered with something that is not HTTP ({type(error).__name__})")
    return error


_MESSAGES: tuple[tuple[type[BaseException], str], ...] = (
    (socket.gaierror, "was not found: no such host name, or no name server to ask"),
    (http.client.RemoteDisconnected, "closed the connection without an answer"),
    (ConnectionRefusedError, "refused the connection: is the server running?"),
    (ConnectionResetError, "reset the connection"),
    (BrokenPipeError, "closed the connection while the request was being sent"),
)


def api_error(answer: Any, url: str, secret: str | None, read_error: ReadError | None) -> APIError:
    """A non-2xx answer as the error it is."""
    status, headers = answer.status, answer.headers
    if 300 <= status < 400:
        place = _place(headers.get("location", ""))
        message = f"redirected to {place}, which is never followed; name the final URL in the DSN"
        return APIError(status, _line(message, MESSAGE_CAP), request_id=_request_id(headers))
    text = blotted(_error_body(answer), secret)
    message, code, param, wait = (read_error or _plain_error)(status, text)
    told = retry_after(headers)
    return APIError(
        status,
        _line(message, MESSAGE_CAP),
        code and _line(code, CODE_CAP),
        _request_id(headers),
        wait if told is None else told,
        text[:BODY_CAP],
        param=param and _line(param, CODE_CAP),
        should_retry=_SHOULD_RETRY.get((headers.get("x-should-retry") or "").strip().lower()),
    )


_SHOULD_RETRY = {"true": True, "false": False}  # OpenAI's word on it. Source: openai-python, `_base_client`


def _place(location: str) -> str:
    """The host that a redirect points to, without credentials."""
    try:
        return urlsplit(location).netloc.rpartition("@")[2] or "another path"
    except ValueError:
        return "what is no URL"


def _error_body(answer: Any) -> str:
    """The start of an error's body; an error with half a body is still that error."""
    body = bytearray()
    try:
        answer.limit(Deadline(min(ERROR_TIME, answer.left())))  # the status is known: its words are worth a moment
        for chunk in answer.chunks():
            body += chunk
            if len(body) >= ERROR_CAP:
                break
    except (MajordomoError, OSError, http.client.HTTPException, ValueError) as exc:
        if is_foreign(exc):
            raise
    return bytes(body[:ERROR_CAP]).decode("utf-8", "replace")


def _plain_error(status: int, text: str) -> tuple[str, str | None, str | None, float | None]:
    return text, None, None, None


def _line(text: str, cap: int) -> str:
    """Somebody else's words on one line; of a web page its text alone."""
    if text.lstrip()[:1] == "<":
        text = re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", text[:8000], flags=re.S | re.I)
    return one_line(text, cap)


def _request_id(headers: Any) -> str | None:
    for name in ("x-request-id", "request-id", "cf-ray"):
        found = headers.get(name)
        if found:
            return _line(found, 100)
    return None


def retry_after(headers: Any) -> float | None:
    """Seconds a server asks to wait, None if it does not, or says nonsense.

    `retry-after-ms` wins; `Retry-After` is seconds (decimals too) or an HTTP date, which
    counts from the answer's own `Date`, so that a wrong clock here does no harm.
    Source: RFC 9110 section 10.2.3; openai-python for the milliseconds.
    """
    for name, units in (("retry-after-ms", 1000), ("retry-after", 1)):
        value = (headers.get(name) or "").strip()
        try:
            seconds = float(value) / units if value.isascii() and "_" not in value else -1.0
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):  # false for nan
            return seconds
    return _until(headers.get("retry-after") or "", headers.get("date"))


def _until(date: str, since: str | None) -> float | None:
    try:
        there = parsedate_tz(date)
        here = parsedate_tz(since) if since else None
        if there is None:
            return None
        return max(0.0, mktime_tz(there) - (mktime_tz(here) if here else time.time()))
    except (ValueError, OverflowError, TypeError, IndexError):
        return None

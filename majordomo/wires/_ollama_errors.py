"""The errors of Ollama: a text, which may itself be the JSON of the llama-server behind it.

What is told apart only by the text has a row below, which gives it a code. Source:
Ollama 0.33 of August 2026 (`server/routes.go`, `server/sched.go`, `docs/api/errors.mdx`);
Ollama Cloud's as seen in public.
"""

from __future__ import annotations

import re

from ._shared import error_in, inner_error, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..errors import APIError
    from ._shared import Facts

# (statuses, pattern, our code). The first status is the one that an error would have had
# which came without; the pattern is matched from the start of the text, where a prompt that
# the server echoes does not stand. Names of models stand in front of many.
_PATTERNS = (
    ((400, 500), r".{0,80}exceeds? the (available )?context (size|length)", "context_length_exceeded"),
    ((400, 500), r".{0,80}longer than the context length", "context_length_exceeded"),
    ((400, 500), r".{0,200}does not support tools", "tools_not_supported"),
    ((400, 500), r".{0,200}does not support thinking", "thinking_not_supported"),
    (
        (400, 404, 500),
        r".{0,200}(does not support (image|vision)|image input is not supported)",
        "images_not_supported",
    ),
    ((400, 500), r".{0,200}does not support ", "not_supported_error"),
    ((400,), r"invalid think value|json: cannot unmarshal .{0,60}\bthink\b", "invalid_think"),
    ((400,), r"json: |invalid |illegal base64|missing request body|model is required", "invalid_request"),
    ((400, 500), r"option \".{0,60}\" must be", "invalid_request"),  # said with a 500, and permanent
    ((429,), r".{0,200}usage limit", "usage_limit"),
    ((429,), r".{0,80}(too many requests|rate limit)", "rate_limit_exceeded"),
    ((404,), r"model .{0,200}not found", "model_not_found"),
    ((401,), r"unauthorized", "unauthorized"),
    ((403,), r"ollama cloud is disabled|.{0,80}requires a subscription", "forbidden"),
    ((503,), r".{0,80}maximum pending requests", "busy"),
)
# `allowedHostsMiddleware` in server/routes.go.
_WRONG_HOST = (
    "refused without a word: an Ollama that listens on loopback alone refuses requests to another host's name; "
    "put its IP address into the URL, or start it with OLLAMA_HOST=0.0.0.0"
)


def read_error(status: int, text: str) -> Facts:
    """(message, code, param, seconds to wait) of an error's body, whatever its shape."""
    if status == 403 and not text.strip():
        return _WRONG_HOST, None, None, None
    return _read(error_in(text), status)[1]


def inner(found: dict[str, Any], payload: Any) -> APIError:
    """The error that stood in a 2xx payload, with the status it would have had."""
    status, facts = _read(found, None)
    return inner_error(payload, status, facts)


def _read(found: dict[str, Any], status: int | None) -> tuple[int, Facts]:
    """The facts of an error, and its status: the one it would have had, if it came without."""
    text = text_of(found.get("message"))
    if text.lstrip()[:1] == "{":
        found = error_in(text)
    message, code = text_of(found.get("message")), found.get("code")
    if status is None and isinstance(code, int) and 300 <= code < 600:
        status = code
    words = [text_of(word).lower() for word in (code, found.get("type"))]
    ours = next((word for word in words if re.fullmatch(r"[a-z][a-z0-9_.-]{0,60}", word)), None)
    for statuses, pattern, name in _PATTERNS:
        if (status is None or status in statuses) and re.match(pattern, message, re.I):
            status, ours = status or statuses[0], name
            break
    if found.get("signin_url"):
        message += ": run `ollama signin` where this server runs"
    param = text_of(found.get("param"))
    return status or 500, (message, ours, param or None, None)

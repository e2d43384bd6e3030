"""What both wires of Google's Gemini API share: where a model is asked, and how errors are told.

Google tells much in `details` that elsewhere stands in headers or codes: which key is
wrong, how long to wait, which quota is used up. Source: google-genai 3.4 of November
2026 (`errors.py`) and google.rpc's `error_details.proto`; texts as seen in public.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from .._words import one_line
from ..errors import APIError, ConfigError
from ._shared import error_in, error_object, inner_error, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._shared import Facts

# Reasons of an end (`finishReason`) that mean a filter. Source: google-genai, `types.FinishReason`.
WITHHELD = frozenset(
    (
        "SAFETY",
        "RECITATION",
        "LANGUAGE",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "ESCALATION",
        "PUP_LIMITED_DISABLED",
        "MODEL_ARMOR",
    )
)

# What signs a call that the model did not make. Source: "Thought signatures" of the Gemini API's documentation.
SKIP = "skip_thought_signature_validator"

# The status of an error that came in a 200 without a number. Source: google.rpc's `code.proto`.
_STATUS_OF_NAME = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}

# What Google says only in words: (pattern of a 400's beginning, our code).
_PATTERNS = (
    (r".{0,80}token count.{0,80}exceeds the maximum", "context_length_exceeded"),
    (r".{0,80}response modalit", "drawing_not_supported"),
    (r"image input.{0,20} is not enabled", "images_not_supported"),
    (r"function calling is not enabled", "tools_not_supported"),
    (r"json mode is not enabled", "schema_not_supported"),
)


def place(model: str, verb: str) -> str:
    """Where a model is asked, behind the base URL. Raises ConfigError for a model's name that leads elsewhere."""
    steps = model.split("/")
    if not all(steps) or {".", ".."} & set(steps):
        raise ConfigError("a model's name is a word, or models/ and a word")
    folder = steps.pop(0) if steps[0] in ("models", "tunedModels") and len(steps) > 1 else "models"
    return f"/{folder}/{quote('/'.join(steps), safe='', errors='replace')}:{verb}"


def blocked(payload: Any, partial: str = "") -> APIError | None:
    """The error that a prompt is which a filter has refused to answer."""
    feedback = payload.get("promptFeedback") if isinstance(payload, dict) else None
    reason = text_of(feedback.get("blockReason")) if isinstance(feedback, dict) else ""
    said = one_line(f"the prompt was blocked ({reason})", 300)
    return APIError(400, said, "content_filter", partial=partial) if reason else None


def raise_error(payload: Any, partial: str = "") -> None:
    """Raise the error that a 2xx payload holds, with the status it would have had."""
    if isinstance(payload, dict) and "candidates" in payload and not payload.get("error"):
        return
    found = error_object(payload)
    if found is None:
        return
    status = found.get("code")
    if not isinstance(status, int) or not 300 <= status < 600:
        status = _STATUS_OF_NAME.get(text_of(found.get("status")), 500)
    raise inner_error(payload, status, _facts(found, status), partial)


def read_error(status: int, text: str) -> Facts:
    """(message, code, param, seconds to wait) of an error's body, whatever its shape."""
    return _facts(error_in(text), status)


def _facts(found: dict[str, Any], status: int) -> Facts:
    message = text_of(found.get("message")) or text_of(found.get("status"))
    reason = param = ""
    wait, daily = None, False
    for detail in rows_of(found, "details"):
        reason = reason or text_of(detail.get("reason"))  # ErrorInfo
        wait = _seconds(detail.get("retryDelay")) if wait is None else wait  # RetryInfo
        daily = daily or any("PerDay" in text_of(row.get("quotaId")) for row in rows_of(detail, "violations"))
        for row in rows_of(detail, "fieldViolations"):  # BadRequest
            param = param or text_of(row.get("field"))
    code = (reason or text_of(found.get("status"))).lower() or None
    if status == 429 and daily:
        code = "daily_quota"
    if status == 400:
        code = next((ours for pattern, ours in _PATTERNS if re.match(pattern, message, re.I)), code)
    return message, code, param or None, wait


def rows_of(payload: Any, name: str) -> list[dict[str, Any]]:
    """The objects in a list of a payload; none if there is no such list, as protobuf leaves out what is empty."""
    rows = payload.get(name) if isinstance(payload, dict) else None
    if not isinstance(rows, list):
        return []
    if len(rows) == 1:  # as most do
        return rows if isinstance(rows[0], dict) else []
    return [row for row in rows if isinstance(row, dict)]


def _seconds(delay: Any) -> float | None:
    """A duration as protobuf writes it (`"37s"`, `"1.5s"`)."""
    told = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)s", text_of(delay), re.A)
    return float(told[1]) if told else None

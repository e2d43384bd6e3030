"""The errors of OpenAI's API and of the many servers that speak one of its wires.

Chat, Responses and pictures fail in the same words, so their modules read them here. What
a server tells apart only by its text has a row below, which gives it a code.
Source: as in `openai_chat`; stable-diffusion.cpp's `examples/server` of August 2026.
"""

from __future__ import annotations

import re

from ._shared import error_in, error_object, inner_error, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._shared import Facts

# The type of an error that came without a status -> the status it would have had.
# Source: the error classes of OpenAI, vLLM, llama-server and llama-swap.
_STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "badrequesterror": 400,
    "exceed_context_size_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "notfounderror": 404,
    "rate_limit_error": 429,
    "tokens": 429,
    "requests": 429,
    "insufficient_quota": 429,
    "not_supported_error": 501,
    "unavailable_error": 503,
    "service_unavailable_error": 503,
    "overloaded_error": 529,
}
# The same for codes, which come without a type from Responses; what is not here is a 500.
# Source: openai-python 3.54, `types/responses/response_error`; recorded streams of 2026 for the rest.
_STATUS_OF_CODE = (
    (r"rate_limit_exceeded|too_many_requests|insufficient_quota|billing_hard_limit_reached", 429),
    (r"server_is_overloaded|slow_down", 503),
    (r"overloaded_error", 529),
    (r"context_length_exceeded|content_filter|data_residency_mismatch|\w+_policy(_violation)?", 400),
    (r"invalid_prompt|(invalid|empty|unsupported|failed_to_download)_image\w*|invalid_base64_image|image_\w+", 400),
)


def raise_error(payload: Any, partial: str = "") -> None:
    """Raise the error that a 2xx payload or a choice holds, with the status it would have had."""
    found = error_object(payload)
    if found is None:
        return
    status = _inner_status(found)
    raise inner_error(payload, status, _facts(found, status), partial)


def _inner_status(found: dict[str, Any]) -> int:
    for name in ("code", "status", "status_code"):
        text = str(found.get(name) or "")
        if len(text) == 3 and text.isascii() and text.isdigit() and 300 <= int(text) < 600:
            return int(text)
    kind = text_of(found.get("type")).lower()
    code = text_of(found.get("code")).lower()
    by_code = next((status for pattern, status in _STATUS_OF_CODE if re.fullmatch(pattern, code)), 500)
    return _STATUS_OF_TYPE.get(kind, by_code)


def read_error(status: int, text: str) -> Facts:
    """(message, code, param, seconds to wait) of an error's body, whatever its shape."""
    return _facts(error_in(text), status)


# What a server says only in words: (statuses, pattern, our code). The pattern is matched
# from the start of the message, where a prompt that the server echoes does not stand.
# Patterns are compiled when an error is first read: most processes never meet one.
_PATTERNS = (
    # OpenAI, vLLM, llama-server, LM Studio, Groq, TGI, in this order
    ((400, 413, 422, 500), r".{0,80}maximum context length", "context_length_exceeded"),
    ((400, 413, 422), r"input tokens exceed", "context_length_exceeded"),
    ((400, 500), r".{0,60}exceeds? the (available )?context (size|length|window)", "context_length_exceeded"),
    (
        (400, 500),
        r".{0,80}(greater|longer|larger|more) than the (model.s |maximum )?(context|model l)",
        "context_length_exceeded",
    ),
    ((400, 413), r".{0,60}reduce the length of the (messages|prompt)", "context_length_exceeded"),
    ((400, 422), r"(input validation error: )?`?inputs`? (tokens|must have less than)", "context_length_exceeded"),
    ((400, 500), r"context size has been exceeded", "context_length_exceeded"),
    ((413, 429), r"request too large for", "request_too_large"),
    ((400, 404), r"(function tools with|this model is only supported in).{0,200}v1/responses", "responses_only"),
    ((400, 404), r".{0,20}is not a chat model", "not_a_chat_model"),
    ((400,), r"function tools with", "tools_not_supported"),
    # what an answer is to look like: OpenAI; DeepSeek, of 2025 and later; Groq; LM Studio and FastAPI's; Volcengine;
    # DeepInfra; Azure, xAI and others
    ((400,), r"invalid parameter: '(response_format|text\.format)' .{0,60}not supported", "schema_not_supported"),
    (
        (400, 422),
        r"(\[\w+\] )?(failed to deserialize [\w ]{0,50}: )?(response_format: )?"
        r"(this response_format type|response_format\.type `\w+`) is unavailable",
        "schema_not_supported",
    ),
    ((400, 422), r"(this|the) model does not support response[ _]format", "schema_not_supported"),
    ((400, 422), r"['`]?response_format\.type['`]?(: input should| must) be", "schema_not_supported"),
    ((400,), r"the parameter `response_format(\.type)?` specified .{0,30}not valid", "schema_not_supported"),
    ((400, 405, 422), r"json_\w+ response format is not supported", "schema_not_supported"),
    (
        (400, 422),
        r"(unsupported parameter: |the )?['`]?response_format\b.{0,40} is (not supported|unsupported|enabled only)",
        "schema_not_supported",
    ),
    # ...and this schema alone: OpenAI and Groq; llama-server; vLLM; Gemini
    ((400,), r"invalid (json )?schema for response_format", "invalid_json_schema"),
    (
        (400,),
        r"(failed to initialize samplers: )?failed to parse grammar|unable to generate parser",
        "invalid_json_schema",
    ),
    ((400,), r"the provided json schema contains|failed to transform json schema", "invalid_json_schema"),
    ((400,), r"(invalid )?grammar (error|specification)", "invalid_json_schema"),
    ((400,), r"(the specified|a) schema\b.{0,80}(too many states|nesting depth)", "invalid_json_schema"),
    ((400,), r".{0,80}does not support (tools|function calling)", "tools_not_supported"),
    ((400, 404, 500), r".{0,80}(image input is not supported|does not support (image|vision))", "images_not_supported"),
    ((404,), r".{0,60}no endpoints found that support image input", "images_not_supported"),  # OpenRouter
    ((500,), r"(failed to parse|unable to generate parser)", "invalid_request"),  # llama-server, permanent
    ((500,), r"(?!unspecific error).{0,60}not supported", "not_supported_error"),  # llama-server, permanent
    ((500,), r"server_error: \[json\.exception", "invalid_request"),  # stable-diffusion.cpp, permanent
    ((400, 500), r"loaded model does not support img_gen", "drawing_not_supported"),  # stable-diffusion.cpp
    ((400,), r"invalid prompt: .{0,80}flagged", "content_filter"),
    ((400, 404), r"item with id '", "invalid_request"),  # Responses, of what it was not to keep
    ((400,), r"invalid '[\w.\[\]]+\.(call_id|id|name)': string too long", "invalid_request"),
    ((400,), r"could not finish the message because max_tokens", "max_tokens"),
    ((400,), r"could not find suitable inference handler", "model_not_found"),  # llama-swap before v218
    ((400,), r"(model .{0,120}(not found|does not exist))", "model_not_found"),
)
_KEY = r"\b(sk|pk|gsk)[-_][A-Za-z0-9*._%+/=~!#-]{6,}"
_WAIT = r"(?:try again in|retry (?:after|in)) ((?:\d[\d.]{0,15} ?(?:ms|h|m|s)[a-z]{0,6} ?){1,4})"
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def _facts(found: dict[str, Any], status: int) -> Facts:
    message = re.sub(_KEY, "(a key)", text_of(found.get("message")) or text_of(found.get("type")))  # 401s echo it
    code = text_of(found.get("error_type")) or found.get("code")
    if not isinstance(code, str) or code.isdigit():
        code = None
    code = code or text_of(found.get("type")) or None
    for statuses, pattern, ours in _PATTERNS:
        if status in statuses and re.match(pattern, message, re.I):
            code = ours
            break
    details = found.get("metadata")
    if status == 403 and isinstance(details, dict) and details.get("reasons"):
        code = "content_filter"  # OpenRouter's moderation
    param = found.get("param")
    return message, code.lower() if code else None, param if isinstance(param, str) else None, _wait(message, status)


def _wait(message: str, status: int) -> float | None:
    """Seconds that a rate limit asks for in words: `try again in 1m3.2s`, `20ms`, `86 seconds`."""
    told = re.search(_WAIT, message, re.I) if status == 429 else None
    if told is None:
        return None
    try:
        return sum(float(n) * _SECONDS[unit.lower()] for n, unit in re.findall(r"([\d.]+) ?(ms|h|m|s)", told[1], re.I))
    except ValueError:
        return None

"""What can go wrong, as a small tree, and what each kind means for a chain.

    MajordomoError
    ├── SpecError          a chain spec that cannot be read          (also ValueError)
    ├── DSNError           a DSN that cannot be read                 (also ValueError)
    ├── ConfigError        a setting that cannot work                (also ValueError)
    ├── UnsupportedError   the target cannot do what is asked
    ├── TransportError     no answer: name, connection, TLS          (__cause__: the OS error)
    ├── DeadlineError      a time limit ran out                      (also TimeoutError)
    ├── APIError           the server said no
    ├── ProtocolError      the server said yes, and nothing sensible
    ├── TruncatedError     an answer that was cut
    ├── ToolLoopError      a tool loop that did not end
    └── ChainError         no target of a chain answered

Two rules for whoever edits this file. A message says what was tried, against which
target, what came back and what to do, on one line (`ChainError`: a line a target), and
never holds a token. Kinds are decided by class, status and code; where a server tells
errors apart by their text alone, the pattern lives in that wire's module, which sets
`APIError.code`.
"""

from __future__ import annotations

import enum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .llm import Attempt, Message, Usage

__all__ = [
    "APIError",
    "ChainError",
    "ConfigError",
    "DSNError",
    "DeadlineError",
    "ErrorKind",
    "MajordomoError",
    "ProtocolError",
    "SpecError",
    "ToolLoopError",
    "TransportError",
    "TruncatedError",
    "UnsupportedError",
    "classify",
]


class ErrorKind(enum.Enum):
    """What an error means for the call that met it; `classify(error)` tells.

        TRANSIENT     refused, reset, unknown host, cut, 408 409 425 5xx   cools down, tried again
        RATE_LIMITED  429                                                  cools down, tried again
        QUOTA         402, 429 with a billing code                         cools down 5 minutes or more
        AUTH          401, 403                                             cools down
        NOT_FOUND     404                                                  cools down
        CONFIG        no key, no host, 3xx, certificate not verified
        UNSUPPORTED   pictures or tools that the target cannot take
        TOO_LONG      context length exceeded, 413
        FILTERED      the prompt was blocked by a content filter
        INVALID       other 4xx, an answer that misses its schema
        DEADLINE      the caller's own timeout ran out                     the chain stops

    All but DEADLINE go on to the next target of a chain.
    """

    TRANSIENT = "transient"
    RATE_LIMITED = "rate_limited"
    QUOTA = "quota"
    AUTH = "auth"
    NOT_FOUND = "not_found"
    CONFIG = "config"
    UNSUPPORTED = "unsupported"
    TOO_LONG = "too_long"
    FILTERED = "filtered"
    INVALID = "invalid"
    DEADLINE = "deadline"


class MajordomoError(Exception):
    """Whatever goes wrong in a call: every error of this library is one.

    message: one line, without the target's name.
    code: a stable word for what happened, where there is one (`"certificate"`).
    target: `"provider/model-id"`, or `None` where no target was involved.
    attempts: the `Attempt`s of the call so far, oldest first.
    partial: the text of the answer that had arrived, `""` if none.
    messages: of a tool loop, the whole conversation so far, the prompt included.
    usage: tokens of an answer that does not follow its schema, `None` of other errors.
    should_retry: whether another try at the same target is worth it, where somebody said
        so; `None` leaves it to the kind of the error.
    """

    should_retry: bool | None = None
    messages: tuple[Message, ...] = ()
    usage: Usage | None = None

    def __init__(self, message: str = "", *, code: str | None = None, partial: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.target: str | None = None
        self.attempts: tuple[Attempt, ...] = ()
        self.partial = partial

    def __str__(self) -> str:
        return f"{self.target}: {self.message}" if self.target else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[MajordomoError], args: tuple[Any, ...], state: dict[str, Any]) -> MajordomoError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class SpecError(MajordomoError, ValueError):
    """A chain spec that cannot be read; the message shows the place."""


class DSNError(MajordomoError, ValueError):
    """A DSN that cannot be read; the message never quotes it, for it may hold a token."""


class ConfigError(MajordomoError, ValueError):
    """A setting that cannot work: a missing key or host, a timeout of nothing."""


class UnsupportedError(MajordomoError):
    """The target cannot do what the request asks (images, tools, a schema)."""


class TransportError(MajordomoError):
    """No answer came: name, connection, TLS or a reset. `__cause__` is the OS error."""


class DeadlineError(MajordomoError, TimeoutError):
    """A time limit ran out.

    limit: which one: `"timeout"` (the caller's own), `"attempt_timeout"` (an attempt's
        part of it), `"idle_timeout"`, or `"default"` (none was given).
    """

    def __init__(self, message: str = "", *, limit: str = "timeout", partial: str = "") -> None:
        super().__init__(message, partial=partial)
        self.limit = limit


class APIError(MajordomoError):
    """The server answered with an error, as a status or inside a 200.

    status: the HTTP status; for an error inside a 200 the one it would have had.
    code: the server's or the wire module's word for it, lower case, or `None`.
    param: the request parameter that the server names, or `None`.
    request_id: what to quote to the server's operator, or `None`.
    retry_after: seconds the server asks to wait, or `None`.
    body: the start of the answer's body as text.
    should_retry: the server's own word on another try, `None` if it says nothing.
    """

    def __init__(
        self,
        status: int,
        message: str = "",
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        body: str = "",
        *,
        param: str | None = None,
        should_retry: bool | None = None,
        partial: str = "",
    ) -> None:
        super().__init__(message, code=code, partial=partial)
        self.status = status
        self.should_retry = should_retry
        self.request_id = request_id
        self.retry_after = retry_after
        self.body = body
        self.param = param

    def __str__(self) -> str:
        said = f"HTTP {self.status}" + (f" {self.code}" if self.code else "")
        told = f"{said}: {self.message}" if self.message else said
        hint = _HINTS.get(classify(self), "")
        line = told + (f" (request id {self.request_id})" if self.request_id else "") + hint
        return f"{self.target}: {line}" if self.target else line


class ProtocolError(MajordomoError):
    """A 2xx answer that makes no sense: not JSON, no choices, not what was asked for."""


class TruncatedError(MajordomoError):
    """An answer that was cut: a stream without an end, a body shorter than announced."""


class ToolLoopError(MajordomoError):
    """A tool loop that did not end within its turns; `messages` holds the conversation so far."""


class ChainError(MajordomoError):
    """No target of the chain answered; the message has a line for each attempt.

    `attempts` has them as values, and `__cause__` is the last target's own error.
    """

    def __init__(self, attempts: tuple[Attempt, ...] = (), message: str = "") -> None:
        lines = "".join(f"\n  {attempt}" for attempt in attempts)
        super().__init__((message or "no target of the chain answered") + lines)
        self.attempts = tuple(attempts)


# What to do, for the kinds where the message of a server seldom says it.
_HINTS = {
    ErrorKind.AUTH: "; check the token of this provider",
    ErrorKind.NOT_FOUND: "; check the model's name and the URL (list_models() tells what the server has)",
    ErrorKind.QUOTA: "; check the account's plan and billing",
    ErrorKind.TOO_LONG: "; shorten the conversation, or name a target with a larger context",
}

_KIND_OF_CLASS = (
    (UnsupportedError, ErrorKind.UNSUPPORTED),
    (ConfigError, ErrorKind.CONFIG),
    (SpecError, ErrorKind.CONFIG),
    (DSNError, ErrorKind.CONFIG),
    (TransportError, ErrorKind.TRANSIENT),
    (ProtocolError, ErrorKind.TRANSIENT),
    (TruncatedError, ErrorKind.TRANSIENT),
    (DeadlineError, ErrorKind.DEADLINE),
    (OSError, ErrorKind.TRANSIENT),
)

# A code says more than a status, whatever error carries it. The servers' own words;
# those with a comment are set by this library.
_KIND_OF_CODE = {
    "insufficient_quota": ErrorKind.QUOTA,
    "billing_hard_limit_reached": ErrorKind.QUOTA,
    "billing_not_active": ErrorKind.QUOTA,
    "insufficient_balance": ErrorKind.QUOTA,
    "credits_exhausted": ErrorKind.QUOTA,
    "context_length_exceeded": ErrorKind.TOO_LONG,
    "exceed_context_size_error": ErrorKind.TOO_LONG,
    "string_above_max_length": ErrorKind.TOO_LONG,
    "not_json": ErrorKind.INVALID,  # of ours, as are others: a request that JSON has no words for
    "request_too_large": ErrorKind.TOO_LONG,  # a 429 that no waiting helps
    "daily_quota": ErrorKind.QUOTA,  # Google's, told by the quota's id
    "billing_error": ErrorKind.QUOTA,
    "enforced_spend_limit_reached": ErrorKind.QUOTA,
    "contract_spend_limit_reached": ErrorKind.QUOTA,
    "ramp_limit_exceeded": ErrorKind.QUOTA,
    "usage_limit": ErrorKind.QUOTA,  # Ollama Cloud's, of hours to months
    "rate_limit_exceeded": ErrorKind.RATE_LIMITED,
    "concurrency_limit": ErrorKind.RATE_LIMITED,
    "content_policy_violation": ErrorKind.FILTERED,
    "content_filter": ErrorKind.FILTERED,
    "moderation_blocked": ErrorKind.FILTERED,
    "image_generation_user_error": ErrorKind.FILTERED,  # a type, where no code comes with it
    "image_content_policy_violation": ErrorKind.FILTERED,
    "bio_policy": ErrorKind.FILTERED,
    "cyber_policy": ErrorKind.FILTERED,
    "misalignment_policy_violation": ErrorKind.FILTERED,
    "invalid_api_key": ErrorKind.AUTH,
    "api_key_invalid": ErrorKind.AUTH,  # Google says 400
    "model_not_found": ErrorKind.NOT_FOUND,
    "not_supported_error": ErrorKind.UNSUPPORTED,
    "images_not_supported": ErrorKind.UNSUPPORTED,  # llama-server says 500
    "tools_not_supported": ErrorKind.UNSUPPORTED,  # by this model on this wire
    "thinking_not_supported": ErrorKind.UNSUPPORTED,  # Ollama refuses it, where others think nothing
    "schema_not_supported": ErrorKind.UNSUPPORTED,  # by this model on this wire
    "responses_only": ErrorKind.UNSUPPORTED,  # the model is asked over OpenAI's other wire
    "not_a_chat_model": ErrorKind.UNSUPPORTED,  # ...or draws, embeds or completes
    "wire_not_supported": ErrorKind.UNSUPPORTED,  # the server does not speak it
    "drawing_not_supported": ErrorKind.UNSUPPORTED,  # servers say 400 or 404
    "invalid_request": ErrorKind.INVALID,  # llama-server says 500
    "max_tokens": ErrorKind.INVALID,  # the answer needs more than max_tokens
    "schema_mismatch": ErrorKind.INVALID,  # the target is well; its answer is not what was asked for
    "certificate": ErrorKind.CONFIG,  # TLS: not verified
    "proxy_refused": ErrorKind.CONFIG,  # 407 and the like from a proxy
}

_KIND_OF_STATUS = {
    401: ErrorKind.AUTH,
    402: ErrorKind.QUOTA,
    403: ErrorKind.AUTH,
    404: ErrorKind.NOT_FOUND,
    408: ErrorKind.TRANSIENT,
    409: ErrorKind.TRANSIENT,
    413: ErrorKind.TOO_LONG,
    425: ErrorKind.TRANSIENT,
    429: ErrorKind.RATE_LIMITED,
}
_KIND_OF_HUNDRED = {3: ErrorKind.CONFIG, 4: ErrorKind.INVALID}


def classify(error: BaseException) -> ErrorKind:
    """What an error means for a chain: by its code, else its status, else its class.

    An exception from outside the tree counts as `TRANSIENT` if it is an `OSError`, else `INVALID`.
    """
    code = getattr(error, "code", None)
    if isinstance(code, str) and code in _KIND_OF_CODE:
        return _KIND_OF_CODE[code]
    if isinstance(error, APIError):
        by_hundred = _KIND_OF_HUNDRED.get(error.status // 100, ErrorKind.TRANSIENT)
        return _KIND_OF_STATUS.get(error.status, by_hundred)
    if isinstance(error, DeadlineError) and error.limit != "timeout":
        return ErrorKind.TRANSIENT
    if isinstance(error, ChainError) and error.attempts:
        last = [attempt.kind for attempt in error.attempts if attempt.kind]
        return last[-1] if last else ErrorKind.TRANSIENT
    for cls, kind in _KIND_OF_CLASS:
        if isinstance(error, cls):
            return kind
    return ErrorKind.INVALID

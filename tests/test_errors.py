from __future__ import annotations

import copy
import pickle
import socket

import pytest

from majordomo import errors
from majordomo.errors import (
    APIError,
    ChainError,
    ConfigError,
    DeadlineError,
    DSNError,
    ErrorKind,
    MajordomoError,
    ProtocolError,
    SpecError,
    ToolLoopError,
    TransportError,
    TruncatedError,
    UnsupportedError,
    classify,
)
from majordomo.llm import Attempt

ATTEMPTS = (
    Attempt("a/m", "skipped", None, "cooling down for 3.0 s more"),
    Attempt("b/m", "failed", ErrorKind.RATE_LIMITED, "HTTP 429", 0.25),
    Attempt("c/m", "skipped", ErrorKind.UNSUPPORTED, "the target takes no images"),
)

CLASSES = [getattr(errors, name) for name in errors.__all__ if isinstance(getattr(errors, name), type)]
CLASSES = [cls for cls in CLASSES if issubclass(cls, Exception)]

EXAMPLES = [
    MajordomoError("what happened"),
    SpecError("empty item"),
    DSNError("no ://"),
    ConfigError("no key", code="no_key"),
    UnsupportedError("no images"),
    TransportError("h:80 refused the connection", code="refused"),
    DeadlineError("not finished within 5 s", limit="idle_timeout", partial="Half an ans"),
    APIError(429, "slow down", "rate_limit_exceeded", "req_1", 1.5, '{"error": 1}', param="model", partial="Half"),
    ProtocolError("not JSON", partial="Half"),
    TruncatedError("cut", partial="Half an ans"),
    ToolLoopError("10 turns"),
    ChainError(ATTEMPTS),
]

KINDS = {
    ErrorKind.TRANSIENT: [
        TransportError("refused"),
        ProtocolError("not JSON"),
        TruncatedError("cut"),
        DeadlineError("", limit="attempt_timeout"),
        DeadlineError("", limit="idle_timeout"),
        DeadlineError("", limit="default"),
        *[APIError(status) for status in (408, 409, 425, 500, 502, 503, 504, 505, 507, 520, 524, 529, 599)],
    ],
    ErrorKind.RATE_LIMITED: [
        APIError(429),
        APIError(429, code="rate_limit_exceeded"),
        APIError(200, code="rate_limit_exceeded"),
    ],
    ErrorKind.QUOTA: [
        APIError(402),
        APIError(429, code="insufficient_quota"),
        APIError(429, code="billing_hard_limit_reached"),
        APIError(403, code="billing_not_active"),
        APIError(200, code="insufficient_quota"),
    ],
    ErrorKind.AUTH: [APIError(401), APIError(403), APIError(400, code="invalid_api_key")],
    ErrorKind.NOT_FOUND: [APIError(404), APIError(404, code="model_not_found"), APIError(400, code="model_not_found")],
    ErrorKind.CONFIG: [
        *[APIError(status) for status in (300, 301, 302, 303, 307, 308)],
        TransportError("not verified", code="certificate"),
        ConfigError("no key"),
        DSNError("no ://"),
        SpecError("empty item"),
    ],
    ErrorKind.UNSUPPORTED: [UnsupportedError("no images"), APIError(500, code="images_not_supported")],
    ErrorKind.TOO_LONG: [
        APIError(413),
        APIError(400, code="context_length_exceeded"),
        APIError(500, code="exceed_context_size_error"),
    ],
    ErrorKind.FILTERED: [APIError(400, code="content_filter"), APIError(400, code="content_policy_violation")],
    ErrorKind.INVALID: [
        *[APIError(status) for status in (400, 405, 406, 411, 415, 422, 431, 451)],
        APIError(400, code="a word nobody knows"),
        ToolLoopError("10 turns"),
    ],
    ErrorKind.DEADLINE: [DeadlineError("")],
}

# Kinds that the statuses alone would not suggest
ODD_STATUSES = {
    407: ErrorKind.INVALID,
    410: ErrorKind.INVALID,
    498: ErrorKind.INVALID,
    501: ErrorKind.TRANSIENT,
}


@pytest.mark.parametrize(
    ("error", "kind"),
    [(error, kind) for kind, examples in KINDS.items() for error in examples],
    ids=lambda value: repr(value)[:60],
)
def test_classify(error, kind):
    """An error's kind is decided by its code, else its status, else its class."""
    assert classify(error) is kind


def test_every_kind_has_an_example():
    """No kind is left untested."""
    assert set(KINDS) == set(ErrorKind)


@pytest.mark.parametrize("status", ODD_STATUSES)
def test_odd_statuses(status):
    """What a status of its own might suggest is left to codes: 4xx is invalid, 5xx may pass."""
    assert classify(APIError(status)) is ODD_STATUSES[status]


@pytest.mark.parametrize("status", range(100, 600))
def test_every_status_has_a_kind(status):
    """Any status can be classified, and shown."""
    assert classify(APIError(status)) in ErrorKind
    assert str(APIError(status)).startswith(f"HTTP {status}")


@pytest.mark.parametrize("code", ["", None, 5, ["insufficient_quota"], {"a": 1}])
def test_odd_codes(code):
    """A code that is no word we know leaves the decision to the status."""
    assert classify(APIError(429, code=code)) is ErrorKind.RATE_LIMITED


@pytest.mark.parametrize("message", ["insufficient_quota", "HTTP 404", "context_length_exceeded", "timeout"])
def test_messages_decide_nothing(message):
    """What a server, or the prompt that it echoes, says in words changes no kind."""
    assert classify(APIError(500, message, body=message)) is ErrorKind.TRANSIENT
    assert classify(TransportError(message)) is ErrorKind.TRANSIENT


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionRefusedError(), ErrorKind.TRANSIENT),
        (socket.gaierror(), ErrorKind.TRANSIENT),
        (TimeoutError(), ErrorKind.TRANSIENT),
        (ValueError(), ErrorKind.INVALID),
        (KeyboardInterrupt(), ErrorKind.INVALID),
    ],
    ids=repr,
)
def test_classify_foreign_errors(error, kind):
    """Exceptions from elsewhere have a kind too."""
    assert classify(error) is kind


@pytest.mark.parametrize(
    ("kinds", "kind"),
    [
        ([ErrorKind.AUTH, ErrorKind.QUOTA], ErrorKind.QUOTA),
        ([ErrorKind.AUTH, None], ErrorKind.AUTH),
        ([None], ErrorKind.TRANSIENT),
    ],
)
def test_classify_a_chain(kinds, kind):
    """A chain that failed has the kind of the last attempt that has one."""
    assert classify(ChainError(tuple(Attempt("a/m", "failed", each) for each in kinds))) is kind


@pytest.mark.parametrize(
    ("cls", "also"),
    [
        (SpecError, ValueError),
        (DSNError, ValueError),
        (ConfigError, ValueError),
        (DeadlineError, TimeoutError),
        (DeadlineError, OSError),
    ],
)
def test_also(cls, also):
    """Some errors can be caught as what the standard library calls them."""
    assert issubclass(cls, also)


@pytest.mark.parametrize("cls", CLASSES)
def test_tree(cls):
    """All errors are MajordomoErrors, and nothing else but those that say so."""
    assert issubclass(cls, MajordomoError)
    assert issubclass(cls, ValueError) is (cls in (SpecError, DSNError, ConfigError))
    assert issubclass(cls, OSError) is (cls is DeadlineError)
    assert cls.__doc__
    assert cls.__name__ in errors.__doc__ or cls is MajordomoError


def test_every_class_has_an_example():
    """No class is left untested."""
    assert {type(error) for error in EXAMPLES} == set(CLASSES)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_every_error_has_the_same_attributes(error):
    """message, code, target, attempts and partial are there to be read on every error."""
    assert isinstance(error.message, str)
    assert error.code is None or isinstance(error.code, str)
    assert error.target is None
    assert isinstance(error.attempts, tuple)
    assert isinstance(error.partial, str)


def twins(error):
    yield copy.copy(error)
    yield copy.deepcopy(error)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield pickle.loads(pickle.dumps(error, protocol))


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("target", [None, "box/qwen3:14b"])
def test_pickle(error, target):
    """An error that was pickled or copied says and carries what it did before."""
    error = copy.copy(error)
    error.target = target
    error.attempts = error.attempts or ATTEMPTS
    for twin in twins(error):
        assert type(twin) is type(error)
        assert twin.__dict__ == error.__dict__
        assert (str(twin), repr(twin), twin.args) == (str(error), repr(error), error.args)
        assert classify(twin) is classify(error)


def test_pickle_a_subclass():
    """So does an error of a user's own, whatever its `__init__` takes."""
    error = OwnError("gpu0", 93)
    for twin in twins(error):
        assert (type(twin), str(twin), twin.degrees) == (OwnError, "gpu0 is too hot", 93)


class OwnError(UnsupportedError):
    def __init__(self, device, degrees):
        super().__init__(f"{device} is too hot")
        self.degrees = degrees


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (MajordomoError(), ""),
        (ConfigError("no key"), "no key"),
        (DeadlineError("not finished within 5 s"), "not finished within 5 s"),
        (APIError(500), "HTTP 500"),
        (APIError(500, "oops"), "HTTP 500: oops"),
        (APIError(500, "oops", "internal"), "HTTP 500 internal: oops"),
        (APIError(500, "oops", request_id="req_1"), "HTTP 500: oops (request id req_1)"),
        (APIError(401, "no"), "HTTP 401: no; check the token of this provider"),
        (
            APIError(402, "no", "insufficient_balance"),
            "HTTP 402 insufficient_balance: no; check the account's plan and billing",
        ),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_str(error, text):
    """An error says what came back and what to do, and first against which target."""
    assert str(error) == text
    error.target = "box/m"
    assert str(error) == f"box/m: {text}"


@pytest.mark.parametrize("error", EXAMPLES[:-1], ids=lambda error: type(error).__name__)
def test_one_line(error):
    """A message is one line, and no body is in it."""
    assert str(error).isprintable()
    assert '{"error"' not in str(error)


def test_str_of_a_chain():
    """A chain's error has one line for each attempt: target, what came of it, kind, why."""
    assert str(ChainError(ATTEMPTS)).split("\n") == [
        "no target of the chain answered",
        "  a/m: skipped: cooling down for 3.0 s more",
        "  b/m: failed (rate_limited) after 0.25 s: HTTP 429",
        "  c/m: skipped (unsupported): the target takes no images",
    ]
    assert ChainError(ATTEMPTS).attempts == ATTEMPTS
    assert str(ChainError()) == "no target of the chain answered"


@pytest.mark.parametrize(
    ("attempt", "text"),
    [
        (Attempt("a/m", "answered", seconds=1.5), "a/m: answered in 1.50 s"),
        (Attempt("a/m", "failed", ErrorKind.AUTH, "HTTP 401", 0.1), "a/m: failed (auth) after 0.10 s: HTTP 401"),
        (Attempt("a/m", "skipped", None, "cooling down"), "a/m: skipped: cooling down"),
    ],
)
def test_str_of_an_attempt(attempt, text):
    """An attempt is shown as one line."""
    assert str(attempt) == text


def test_api_error_carries_facts():
    """What a server said can be read without taking the message apart."""
    error = APIError(429, "slow down", "rate_limit_exceeded", "req_1", 1.5, "{}", param="model", partial="Half")
    facts = (error.status, error.message, error.code, error.request_id, error.retry_after, error.body, error.param)
    assert facts == (429, "slow down", "rate_limit_exceeded", "req_1", 1.5, "{}", "model")
    assert error.partial == "Half"
    assert (APIError(500).code, APIError(500).request_id, APIError(500).retry_after, APIError(500).param) == (None,) * 4


@pytest.mark.parametrize("name", [kind.value for kind in ErrorKind])
def test_kinds_have_stable_words(name):
    """A kind is its word in lower case, as it stands in logs and in files."""
    assert ErrorKind(name).name == name.upper()

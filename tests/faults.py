"""What can go wrong between a question and its answer: rows, each with what is owed to the caller.

A row says what a server does, in words for the table in `docs/faults.md`, and how that
ends. Nearly all wires are alike; where one is not, `differs` says how. `test_faults` runs
every row on every wire. Nothing here is taken from the code that is tested: the kinds and
what they mean are those of the README.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Callable

import test_contract as contracts
from contract import Row

from majordomo import _fake as tellers
from majordomo.testing import (
    Drawing,
    Raw,
    Reply,
    Seen,
    Status,
    cut,
    drip,
    endless,
    hang,
    redirect,
    reset,
)

REPLY = Reply("The answer is forty-two.")
HALF = "Half an"  # what a stream has said before it goes wrong
LIMIT = 0.25  # seconds, where only a limit ends the call
CAP = 1024 * 1024  # bytes of an answer, while the rows are run
ALL = 10**9  # bytes: after the end of whatever is sent


@dataclass(frozen=True)
class Wire:
    """How a server is asked, and in which words it answers.

    scheme: of its DSN; secure: the one that speaks TLS. row: of the contract. draws: whether
    pictures are wanted, for which there is no stream.
    """

    scheme: str
    row: Row
    draws: bool = False

    @property
    def secure(self) -> str:
        return "llama-swaps" if self.scheme == "llama-swap" else self.scheme

    @property
    def plain(self) -> str:
        return self.scheme if self.scheme == "llama-swap" else f"{self.scheme}+http"


WIRES = {
    "OpenAI": Wire("openai", contracts.OPENAI),
    "llama-swap": Wire("llama-swap", contracts.OPENAI),
    "Responses": Wire("openai-responses", contracts.RESPONSES),
    "Anthropic": Wire("anthropic", contracts.ANTHROPIC),
    "Google": Wire("google", contracts.GOOGLE),
    "Ollama": Wire("ollama", contracts.OLLAMA),
    "OpenAI images": Wire("openai", contracts.OPENAI, draws=True),
    "Google images": Wire("google", contracts.GOOGLE, draws=True),
}


class Asked:
    """A question that came, and the parts of a good answer to it.

    good: the answer. body: its body; pieces: the events or lines of that, if it is a stream.
    half: the first of them, with `HALF` in them; start: the same as one. begun: an answer of
    these, to be cut in its last bytes; one in one piece is whole here. silence: what may stand in front
    of it, or between its events, and means nothing. elsewhere: the same place on another server.
    """

    def __init__(self, wire: Wire, seen: Seen, elsewhere: str) -> None:
        self.row, self.elsewhere = wire.row, elsewhere
        told = tellers.tell_drawing(Drawing(), seen, list) if wire.draws else tellers.tell(REPLY, seen)
        self.streamed = isinstance(told.body, list)
        self.pieces: list[bytes] = told.body if self.streamed else [json.dumps(told.body).encode()]
        self.body = b"".join(self.pieces)
        self.type = told.headers.get("Content-Type", "application/json")
        self.good = Status(200, self.pieces, told.headers) if self.streamed else self.whole(self.body)
        self.half = list(self.row.half) if self.streamed else [self.body[:-5]]
        self.start = b"".join(self.half)
        self.begun = Status(200, self.half, self.row.web) if self.streamed else self.good
        lines = "ndjson" in self.type
        self.silence = (b"\n" if lines else b": keep-alive\n\n") if self.streamed else b" "
        self.unknown = b'{"type": "something.new"}\n' if lines else b'event: new\ndata: {"type": "something.new"}\n\n'

    def whole(self, body: Any, **headers: str) -> Status:
        """A 200 of the answer's type; the names of headers have `_` for `-`."""
        return Status(200, body, {"Content-Type": self.type, **_headers(headers)})

    def head(self, **headers: str) -> bytes:
        """The head of a 200."""
        lines = {"Content-Type": self.type, **_headers(headers)}
        return b"HTTP/1.1 200 OK\r\n" + "".join(f"{n}: {v}\r\n" for n, v in lines.items()).encode() + b"\r\n"

    def chunked(self, *pieces: bytes) -> bytes:
        """The head of a 200 in chunks, and these."""
        return self.head(Transfer_Encoding="chunked") + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces)

    def error(self, status: int, words: str = "Overloaded.") -> Any:
        """The body in which the server says an error."""
        return self.row.error(status, words)

    @property
    def error_event(self) -> list[bytes]:
        """An error as the first event of a stream; as the whole answer where there is none."""
        return [self.row.broken[-1]] if self.streamed else [json.dumps(self.error(503)).encode()]


def _headers(given: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in given.items()}


# (class of the error, its kind)
ANSWER = ("", "")
NO_WAY = ("TransportError", "transient")
NONSENSE = ("ProtocolError", "transient")
TRUNCATED = ("TruncatedError", "transient")
LATE = ("DeadlineError", "deadline")
UNTRUSTED = ("TransportError", "config")
REFUSED = ("APIError", "transient")

# Kind -> seconds of the first cooldown. Source: README, Failover.
COOLDOWNS = {"transient": 1, "rate_limited": 1, "quota": 300, "auth": 1, "not_found": 1}

# Kinds after which the same target is asked again in one call. Source: the same.
PASSING = ("transient", "rate_limited")


@dataclass(frozen=True)
class Fault:
    """What a server does, and what comes of it.

    name: in the table, `{}` for the variant. step: what a question gets. whole, stream: the
    error that ends a call, or `ANSWER`; that of a stream is the same if None. spoken: a
    stream has said `HALF` before. moment: it takes an inner limit to end it. asked: how many
    requests the server sees. wait: seconds that it asks to be left alone.
    host, cert, secure, ca, greeting, max_body: how the server is reached: its name,
    the certificate it shows (of `data/tls`; "" for no TLS), whether TLS is spoken to it (as
    it does, if None), the CA that is trusted (the same), the rest as in `FakeServer`.
    prompt: what is asked. wires, ways: on which alone it can happen. differs: wire -> fields
    that are different there.
    """

    name: str
    step: Callable[[Asked], Any] = lambda it: it.good
    whole: tuple[str, str] = NO_WAY
    stream: tuple[str, str] | None = None
    variant: str = ""
    spoken: bool = False
    moment: bool = False
    asked: int = 1
    wait: float | None = None
    host: str = ""
    cert: str = ""
    secure: bool | None = None
    ca: str = "ca"
    greeting: Any = None
    max_body: int | None = None
    prompt: str = "Hi"
    wires: tuple[str, ...] = tuple(WIRES)
    ways: str = "both"
    differs: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return self.name.format(self.variant)

    def on(self, wire: str) -> Fault:
        """The row as it is on one wire."""
        return replace(self, **self.differs.get(wire, {}))


def _variants(name: str, rows: dict[str, dict[str, Any]], **common: Any) -> list[Fault]:
    return [Fault(name, variant=variant, **{**common, **row}) for variant, row in rows.items()]


CONNECTION = [
    Fault("Nobody listens at the port", host="dead", asked=0),
    # a label of more than 63 bytes: no resolver needs to be asked, and none can know it
    Fault("The name is not found", host="n" * 64 + ".invalid", asked=0),
    Fault("Accepts, and never reads or says anything", whole=LATE, greeting=hang(), asked=0),
    Fault("Accepts and closes", greeting=cut(), asked=0),
    Fault("Accepts and resets", greeting=reset(), asked=0),
    Fault("Says something that is not HTTP", greeting=Raw(b"SSH-2.0-OpenSSH_9.6\r\n"), asked=0),
]

TLS = [
    Fault("A certificate for another name", whole=UNTRUSTED, cert="other", asked=0),
    Fault("A certificate that has expired", whole=UNTRUSTED, cert="expired", asked=0),
    Fault("A certificate of an unknown CA", whole=UNTRUSTED, cert="good", ca="selfsigned", asked=0),
    Fault("A self-signed certificate", whole=UNTRUSTED, cert="selfsigned", asked=0),
    Fault("The handshake is never answered", whole=LATE, cert="good", greeting=hang(), asked=0),
    Fault("The handshake is never answered, with time enough", cert="good", greeting=hang(), asked=0, moment=True),
    Fault("The handshake stops half-way", whole=LATE, cert="good", greeting=hang(Raw(b"\x16\x03\x03"), ALL), asked=0),
    Fault("The handshake is cut", cert="good", greeting=Raw(b"\x16\x03\x03\x00\x7a\x02"), asked=0),
    Fault("The handshake is reset", cert="good", greeting=reset(), asked=0),
    Fault("Plain HTTP where TLS is spoken to it", secure=True, asked=0),
    Fault("TLS where plain HTTP is spoken to it", cert="good", secure=False, asked=0),
    Fault("Cut in the headers, without TLS's own goodbye", lambda it: cut(it.good, 30), cert="good"),
    Fault(
        "Cut in the body, without TLS's own goodbye",
        lambda it: cut(it.begun, -5),
        TRUNCATED,
        spoken=True,
        cert="good",
    ),
    Fault(
        "Cut in a body of no announced length, without TLS's own goodbye",
        lambda it: Raw(it.head() + it.start),
        NONSENSE,
        TRUNCATED,
        spoken=True,
        cert="good",
    ),
]

HEAD = [
    Fault("Reads the question, and says nothing", lambda it: hang(), LATE),
    Fault("Silent in the status line", lambda it: hang(it.good, 9), LATE),
    Fault("Silent in the headers", lambda it: hang(it.good, 30), LATE),
    Fault("A status line that drips in", lambda it: drip(it.good, 0.05), LATE),
    Fault("Headers that drip in", lambda it: drip(it.good, 0.05, 17), LATE),
    Fault("Closes without a word", lambda it: cut()),
    Fault("Closes in the status line", lambda it: cut(it.good, 9)),
    Fault("Closes in the headers", lambda it: cut(it.good, 30)),
    Fault("Resets without a word", lambda it: reset()),
    Fault("Resets in the status line", lambda it: reset(it.good, 9)),
    Fault("Resets in the headers", lambda it: reset(it.good, 30)),
    Fault("Something that is not HTTP", lambda it: Raw(b"\x00\xff\x13garbage\r\n\r\n" + it.body)),
    Fault("A body without any head (HTTP/0.9)", lambda it: Raw(it.body)),
    Fault("A status line without an end", lambda it: endless(b"HTTP/1.1 200 OK")),
    Fault("A header line without an end", lambda it: endless(b"x", Raw(b"HTTP/1.1 200 OK\r\nX-Long: "), ALL)),
    Fault("Headers without an end", lambda it: endless(b"X-One: more\r\n", Raw(b"HTTP/1.1 200 OK\r\n"), ALL)),
    *_variants(
        "{} before the answer",
        {
            "`100`": {"step": lambda it: Raw(b"HTTP/1.1 100 Continue\r\n\r\n" + it.head() + it.body)},
            "`103`": {"step": lambda it: Raw(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + it.head() + it.body)},
        },
        whole=ANSWER,
    ),
    Fault(
        "`101`, a switch of protocols that nobody asked for",
        lambda it: Raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n" + it.head() + it.body),
    ),
    Fault("1xx without an end", lambda it: endless(b"HTTP/1.1 100 Continue\r\n\r\n")),
    Fault(
        "1xx without an end, slowly",
        lambda it: endless(b"HTTP/1.1 103 Early Hints\r\n\r\n", seconds=0.15),
        LATE,
    ),
    Fault(
        "A `Content-Encoding` that nobody knows",
        lambda it: it.whole(it.body, Content_Encoding="br"),
        NONSENSE,
    ),
]


def _gzipped(it: Asked) -> Status:
    return it.whole([_packed(it.body)], Content_Encoding="gzip")


def _packed(data: bytes, ending: int = zlib.Z_FINISH) -> bytes:
    """As gzip; with another ending it is not over."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush(ending)


BOMB = _packed(bytes(CAP + 1))

# Google's streams have no end marker: a reason for the end may still be followed by words.
_UNMARKED: dict[str, dict[str, Any]] = {"Google": {"moment": True}}
_MARKED = ("OpenAI", "llama-swap", "Anthropic")  # the others' reason for the end is the end marker

BODY = [
    Fault("Silent after the headers", lambda it: hang(it.good, None), LATE),
    Fault("Silent in the body", lambda it: hang(it.begun, -5), LATE, spoken=True),
    Fault("A body that drips in", lambda it: drip(it.good, 0.05, None), LATE),
    Fault("Closes after the headers", lambda it: cut(it.good, None), TRUNCATED),
    Fault("Closes in the body", lambda it: cut(it.begun, -5), TRUNCATED, spoken=True),
    Fault(
        "Closes in a body of no announced length",
        lambda it: Raw(it.head() + it.start),
        NONSENSE,
        TRUNCATED,
        spoken=True,
    ),
    Fault("Resets after the headers", lambda it: reset(it.good, None)),
    Fault("Resets in the body", lambda it: reset(it.begun, -5), spoken=True),
    Fault("Closes after the answer", lambda it: cut(it.good, ALL), ANSWER),
    Fault("Resets after the answer", lambda it: reset(it.good, ALL), ANSWER),
    Fault(
        "Announces more than comes, and closes",
        lambda it: Raw(it.head(Content_Length=str(len(it.body) + 7)) + it.body),
        TRUNCATED,
        ANSWER,
    ),
    Fault(
        "Announces less than comes",
        lambda it: Raw(it.head(Content_Length=str(len(it.start))) + it.start + b"more", keep=True),
        NONSENSE,
        TRUNCATED,
        spoken=True,
    ),
    Fault("Announces too much", lambda it: Raw(it.head(Content_Length="99999999999") + it.body), NONSENSE),
    Fault(
        "No announced length, and the connection left open",
        lambda it: hang(Raw(it.head() + it.body), ALL),
        LATE,
        ANSWER,
        differs=_UNMARKED,
    ),
    Fault("A body without an end", lambda it: endless(b"x", Raw(it.head()), ALL), NONSENSE),
    Fault(
        "White space, comments or blank lines without an end",
        lambda it: _for_ever(it, 0.0, it.silence * 10_000),
        NONSENSE,
    ),
    Fault("White space, comments or blank lines without an end, slowly", lambda it: _for_ever(it, 0.01), LATE),
    Fault("A chunk without a size", lambda it: Raw(it.chunked() + b"zz\r\n" + it.body), TRUNCATED),
    Fault(
        "A chunk without a size, in the middle",
        lambda it: Raw(it.chunked(*it.half) + b"zz\r\n"),
        TRUNCATED,
        spoken=True,
    ),
    Fault("A chunk of an absurd size", lambda it: Raw(it.chunked() + b"f" * 18 + b"\r\n" + it.body), TRUNCATED),
    Fault("A chunk of a negative size", lambda it: Raw(it.chunked() + b"-5\r\n" + it.body), TRUNCATED),
    Fault(
        "A chunk that says it is larger than what comes",
        lambda it: Raw(it.chunked() + b"fffff\r\n" + it.start),
        TRUNCATED,
        spoken=True,
    ),
    Fault(
        "Closes in a chunk",
        lambda it: cut(Raw(it.chunked(*it.half, b"x" * 50)), -30),
        TRUNCATED,
        spoken=True,
    ),
    Fault("Closes where the last chunk should come", lambda it: Raw(it.chunked(*it.pieces)), TRUNCATED, ANSWER),
    Fault(
        "A chunk's extension without an end",
        lambda it: endless(b"x", Raw(it.chunked() + b"5;x="), ALL),
        NO_WAY,
    ),
    Fault(
        "Trailers without an end",
        lambda it: endless(b"X-One: more\r\n", Raw(it.chunked(*it.pieces) + b"0\r\n"), ALL),
        NO_WAY,
        ANSWER,
    ),
    Fault("Nothing in a `200`", lambda it: it.whole(b""), NONSENSE, TRUNCATED),
    Fault("A web page with `200`", lambda it: Status(200, "<html><body>Log in</body></html>"), NONSENSE),
    Fault("JSON that is no answer", lambda it: Status(200, [1, 2]), NONSENSE, TRUNCATED),
    Fault(
        "JSON nested too deeply",
        lambda it: it.whole(b"[" * 200_000),
        NONSENSE,
        differs={"Ollama": {"stream": REFUSED}},  # a line that is no JSON is the server's words
    ),
    Fault("Bytes that are no UTF-8", lambda it: it.whole(it.body.replace(b'{"', b'{"\xf6": 0, "', 1)), NONSENSE),
    Fault("An error in a `200`", lambda it: Status(200, it.error(503)), REFUSED),
    Fault("Compressed though nobody asked", _gzipped, ANSWER),
    Fault("Says it is gzip, and is not", lambda it: it.whole(it.body, Content_Encoding="gzip"), NONSENSE),
    Fault(
        "gzip that stops half-way",
        lambda it: it.whole(_packed(it.start, zlib.Z_SYNC_FLUSH), Content_Encoding="gzip"),
        TRUNCATED,
        spoken=True,
    ),
    Fault("A gzip bomb", lambda it: it.whole(BOMB, Content_Encoding="gzip"), NONSENSE),
]


def _for_ever(it: Asked, seconds: float, sign: bytes = b"", said: Sequence[bytes] = ()) -> Any:
    """Signs of life, and nothing more; with a pause between."""
    sign = sign or it.silence
    return endless(b"%x\r\n%s\r\n" % (len(sign), sign), Raw(it.chunked(*said)), ALL, seconds)


STREAM = [
    Fault("Drips in after the first words", lambda it: _drip_behind(it), LATE, spoken=True),
    Fault(
        "Signs of life without an end after the first words",
        lambda it: _for_ever(it, 0.01, said=it.half),
        LATE,
        spoken=True,
    ),
    Fault("Pings without an end", lambda it: _for_ever(it, 0.01, it.unknown), LATE),
    Fault(
        "Pings without an end after the first words",
        lambda it: _for_ever(it, 0.01, it.unknown, it.half),
        LATE,
        spoken=True,
    ),
    Fault("No end marker and no reason for the end", lambda it: it.begun, TRUNCATED, spoken=True),
    Fault(
        "A reason for the end, and no end marker",
        lambda it: Status(200, it.pieces[:-1], it.good.headers),
        ANSWER,
        wires=_MARKED,
    ),
    Fault(
        "A reason for the end, no end marker, and the connection left open",
        lambda it: hang(Status(200, it.pieces[:-1], it.good.headers), -5),
        ANSWER,
        moment=True,
        wires=_MARKED,
    ),
    Fault("The end marker, and the connection left open", lambda it: hang(it.good, -5), ANSWER, differs=_UNMARKED),
    Fault("An error as the first event", lambda it: Status(200, it.error_event, it.row.web), REFUSED),
    Fault(
        "An error after the first words",
        lambda it: Status(200, list(it.row.broken), it.row.web),
        REFUSED,
        spoken=True,
    ),
    Fault(
        "Unknown events between the others",
        lambda it: it.whole([part for piece in it.pieces for part in (it.unknown, piece)]),
        ANSWER,
    ),
    Fault(
        "Comments or blank lines between the others",
        lambda it: it.whole([part for piece in it.pieces for part in (it.silence, piece)]),
        ANSWER,
    ),
    Fault("A line without an end", lambda it: endless(b"x", Raw(it.head() + b"data: "), ALL), NONSENSE),
    Fault(
        "A line without an end after the first words",
        lambda it: endless(b"x", Raw(it.head() + it.start + b"data: "), ALL),
        NONSENSE,
        spoken=True,
    ),
]
STREAM = [replace(fault, ways="stream") for fault in STREAM]


def _drip_behind(it: Asked) -> Any:
    begun = it.chunked(*it.half)
    return drip(Raw(begun + b"400\r\n" + it.silence * 100), 0.05, len(begun))


_WEB = "<html><h1>No</h1></html>"


def _status(status: int, **headers: str) -> Callable[[Asked], Status]:
    return lambda it: Status(status, it.error(status), _headers(headers))


def _statuses(kind: str, *statuses: int) -> list[Fault]:
    rows = {f"`{status}`": {"step": _status(status)} for status in statuses}
    return _variants("{}", rows, whole=("APIError", kind))


_CLOCK = {"Date": "Sun, 22 Nov 2026 12:00:00 GMT"}
WAITS: dict[str, tuple[dict[str, str], float | None]] = {
    "seconds": ({"Retry-After": "20"}, 20.0),
    "decimals": ({"Retry-After": "20.5"}, 20.5),
    "a date": ({"Retry-After": "Sun, 22 Nov 2026 12:00:30 GMT", **_CLOCK}, 30.0),
    "`retry-after-ms`": ({"retry-after-ms": "3500"}, 3.5),
    "both": ({"retry-after-ms": "3500", "Retry-After": "20"}, 3.5),
    "more than a day": ({"Retry-After": "99999999"}, 99999999.0),
    "a past date": ({"Retry-After": "Sun, 22 Nov 2020 12:00:00 GMT", **_CLOCK}, 0.0),
    "zero": ({"Retry-After": "0"}, 0.0),
    "negative": ({"Retry-After": "-5"}, None),
    "`nan`": ({"Retry-After": "nan"}, None),
    "`inf`": ({"Retry-After": "inf"}, None),
    "words": ({"Retry-After": "soon"}, None),
}


def _told_to_wait(status: int, kind: str) -> list[Fault]:
    rows = {form: {"step": _status(status, **headers), "wait": wait} for form, (headers, wait) in WAITS.items()}
    return _variants(f"`{status}` with `Retry-After`: {{}}", rows, whole=("APIError", kind))


# more than a system buffers of what nobody reads
_UPLOAD: dict[str, Any] = {"prompt": "word " * 800_000, "max_body": 1_000_000, "whole": ("APIError", "too_long")}


def _early(it: Asked) -> Status:
    return Status(413, it.error(413, "Too large."), {"Connection": "close"})


STATUSES = [
    *(
        Fault(
            "{} to another host",
            lambda it, status=status: redirect(it.elsewhere, status),
            ("APIError", "config"),
            variant=f"`{status}`",
        )
        for status in (300, 301, 302, 303, 307, 308, 304)
    ),
    *(
        Fault(
            "{} without `Location`",
            lambda it, status=status: Status(status),
            ("APIError", "config"),
            variant=f"`{status}`",
        )
        for status in (300, 301, 302, 303, 307, 308, 304)
    ),
    *_statuses("invalid", 400, 405, 422),
    *_statuses("auth", 401, 403),
    *_statuses("quota", 402),
    *_statuses("not_found", 404),
    *_statuses("too_long", 413),
    *_statuses("transient", 408, 409, 425, 500, 502, 503, 504, 529),
    *_statuses("rate_limited", 429),
    Fault("A web page with `502`", lambda it: Status(502, _WEB, {"Content-Type": "text/html"}), REFUSED),
    Fault("An empty `502`", lambda it: Status(502), REFUSED),
    Fault(
        "A compressed `503`",
        lambda it: Status(503, _packed(json.dumps(it.error(503)).encode()), {"Content-Encoding": "gzip"}),
        REFUSED,
    ),
    Fault("A `503` that is silent in its body", lambda it: hang(_status(503)(it), -5), REFUSED, moment=True),
    Fault("A `503` that is cut in its body", lambda it: cut(_status(503)(it), -5), REFUSED),
    Fault(
        "A `503` whose body has no end",
        lambda it: endless(b"x", Raw(b"HTTP/1.1 503 No\r\n\r\n"), ALL),
        REFUSED,
    ),
    Fault("`302` to another path of the same host", lambda it: redirect("/v2/elsewhere"), ("APIError", "config")),
    Fault("`413` before the request was read, then waits", lambda it: hang(_early(it), ALL), **_UPLOAD),
    Fault(
        "`413` before the request was read, then waits, over TLS",
        lambda it: hang(_early(it), ALL),
        **{**_UPLOAD, "cert": "good", "whole": LATE},
    ),
    Fault("`413` before the request was read, then closes", _early, **_UPLOAD),
    Fault("`413` before the request was read, then resets", lambda it: reset(_early(it), ALL), **_UPLOAD),
    *_told_to_wait(429, "rate_limited"),
    *_told_to_wait(503, "transient"),
]

PHASES = {
    "Before a connection stands": CONNECTION,
    "TLS": TLS,
    "The head of the answer": HEAD,
    "The body": BODY,
    "Streams": STREAM,
    "Statuses": STATUSES,
}
FAULTS = {fault.title: fault for faults in PHASES.values() for fault in faults}
assert len(FAULTS) == sum(map(len, PHASES.values()))

# Those that show which kinds are tried again in one call.
REPEATED = (
    "`400`",
    "`401`",
    "`402`",
    "`404`",
    "`413`",
    "`429`",
    "`503`",
    "`302` to another host",
    "Closes without a word",
    "Closes in the body",
    "An error in a `200`",
)

"""Random input of every kind, from a seed: whatever comes in, what comes out is an answer or an error of the tree.

    python3 bench/random_input.py [--seed 1] [--rounds 5000] [--seconds 120] [--case KIND:NUMBER]

Streams of every wire, as bytes and as JSON values gone wrong, cut anywhere, read as a call
reads them; answers with heads that no server should send, over a connection; model ids;
specs, DSNs and variables. No other exception, no warning, nothing over its time, and no
token in anything that is told: not in a message, an attempt, a cause, a log line or a
pickle. Every case has a random generator of its own, so `--case` runs one again. --rounds:
cases of each kind, fewer if --seconds run out.
"""

from __future__ import annotations

import argparse
import faulthandler
import gzip
import hashlib
import json
import logging
import pickle
import random
import re
import signal
import sys
import time
import traceback
import warnings
from typing import Any, Callable
from urllib.parse import quote

import _measure
from _promise import Promises

sys.path.insert(0, str(_measure.ROOT / "tests"))
from helpers import ODD_BODIES, mutated

from majordomo import DSN, MajordomoError, Registry
from majordomo._events import DECODERS
from majordomo.deadline import Deadline
from majordomo.model import TextDelta
from majordomo.providers._base import _deltas
from majordomo.testing import FakeServer, Raw, Reply, Status
from majordomo.wires import anthropic, google, ollama, openai_chat, openai_responses

LIMIT = 3.0  # seconds of a case; most take a thousandth
TIMEOUT = 10.0  # of a call
STUCK = 30.0  # after so many a case is stopped; after twice as many it shows where it stands, and all ends
WIRES = {
    "openai_chat": (openai_chat, "openai"),
    "openai_responses": (openai_responses, "openai-responses"),
    "anthropic": (anthropic, "anthropic"),
    "google": (google, "google"),
    "ollama": (ollama, "ollama"),
}
SCHEMES = [scheme for _, scheme in WIRES.values()] + ["llama-swap", "foreman", "ollama-cloud"]
MARKER = "TellNobody"  # in every token

STRAY = "exceptions that are not of the tree"
SLOW = f"cases that take more than {LIMIT:.0f} s"
TOKEN = "tokens that are told"
SPLIT = "streams that mean something else when they are cut elsewhere"
WARNED = "warnings, and exceptions that nobody could catch"
WAITED = "waits of no length that makes sense"
OTHER = "model ids that arrive as another one"


# --- what is odd

JUNK = (b"", b"\xff", b"\n", b"\r", b'"', b"{", b"}", b"data:", b"\x00", b"[" * 3000, b"9" * 5000, b"A" * 70000)
JUNK += (b"event: error\n", b": alive\n\n", b"\xef\xbb\xbf", b"\n\n", b"\r\n\r\n", b"null", b"\\ud800", b"NaN")
CHARS = [chr(c) for c in range(33)] + list("/:@?#[]%,;&=+'\"\\<>{}|^`~!$*()._-0aZ\x7f")
CHARS += ["\x85", "\xa0", "\u00e9", "\u0130", "\u0663", "\u200b", "\u202e", "\u2028", "\ufeff", "\ufffd", "\ud800"]
CHARS += ["\U0001f600", "//", "://", "..", "%00", "%2F", "%zz", "\r\n", "localhost", "127.0.0.1", "[::1]", "box", "m"]
WAITS = ["0", "1", "-1", "0.5", "nan", "inf", "-inf", "1e999", "1e-400", "9" * 5000, "1_0", "0x10", "\u0663", "1,2", ""]
WAITS += ["Wed, 21 Oct 2065 07:28:00 GMT", "Wed, 99 Oct 2015 99:99:99 GMT", "Wed", "21 Oct 99999", "\x00", " 2 "]
TYPES = ["application/json", "text/event-stream", "text/html", "application/x-ndjson", "", "a/b; charset=\xff", "json"]
LENGTHS = ["0", "1", "-5", "abc", "1e3", "+5", " 7", "9" * 30, "9" * 5000, "", "5, 5", "0x5", "\u0663"]
ENCODINGS = ["identity", "gzip", "x-gzip", "deflate", "br", "gzip, gzip", "", "GZIP", "\xff", "none" * 50]
TRANSFERS = ["chunked", "Chunked", "gzip, chunked", "identity", "xchunked", "chunked, chunked", "", "\x00"]
LINES = ["HTTP/1.1 %d OK", "HTTP/1.0 %d OK", "HTTP/1.1 %d", "HTTP/9.9 %d OK", "HTTP/1.1 %d \xff\xfe", "ICY %d OK"]
LINES += ["HTTP/1.1  %d OK", "http/1.1 %d ok", "HTTP/1.1 %d0 OK", "HTTP/1.1 -%d OK", "%d", ""]
STATUSES = [200, 201, 204, 206, 304, 400, 401, 404, 413, 429, 429, 500, 503, 503, 302, 307, 100, 101, 199, 600, 999]


def odd_text(rng: random.Random, longest: int = 12) -> str:
    """A text that nobody expects; in half of the cases it can be printed."""
    chars = CHARS if rng.random() < 0.5 else [char for char in CHARS if char.isprintable()]
    text = "".join(rng.choice(chars) for _ in range(rng.randint(0, longest)))
    if rng.random() < 0.02:
        text += rng.choice(CHARS) * rng.choice((300, 5000, 70000))
    return text


def a_token(rng: random.Random) -> str:
    """A token, with characters that must be encoded in a DSN and may look like something else elsewhere."""
    odd = "".join(rng.choice("abc/@:?#%+.\\$&<=!~'\"") for _ in range(rng.randint(0, 4)))
    return f"sk-{odd}{MARKER}{rng.random()}"


def echoed(token: str, rng: random.Random) -> bytes:
    """A token as a server may say it: as it is, in a URL, and in JSON, of which Go writes more with a backslash."""
    in_json = json.dumps(token)[1:-1]
    in_go = in_json.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return rng.choice([token, quote(token, safe=""), in_json, in_go]).encode()


def cuts(data: bytes, rng: random.Random) -> list[bytes]:
    """The same bytes in pieces."""
    sizes, at, pieces = rng.choice([(1,), (1, 2, 3, 7), (5, 50, 400), (1, 4000)]), 0, []
    if len(data) > 20000:
        sizes = (1000, 8000)
    while at < len(data):
        size = rng.choice(sizes)
        pieces.append(data[at : at + size])
        at += size
    return pieces


def wrong_bytes(data: bytes, rng: random.Random) -> bytes:
    """Bytes that were changed, doubled or lost."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(found) + 1)
        found[at : at + rng.choice((0, 1, 1, 9, 200))] = rng.choice(JUNK)
    return bytes(found)


def wrong_values(wire: Any, data: bytes, rng: random.Random) -> bytes:
    """Events whose JSON is not what it should be; some are lost, doubled, or in another place."""
    decoder = DECODERS[wire.FRAMING]()
    events = [*decoder.feed(data), *decoder.close()]
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(events)) if events else 0
        try:
            value = json.dumps(mutated(json.loads(events[at][1]), rng)).encode()
        except (ValueError, IndexError, RecursionError):
            value = rng.choice(JUNK)
        name = rng.choice([events[at][0] if events else "", "", "error"])
        events[at : at + rng.choice((0, 1, 1, 1, 2))] = [(name, value)] * rng.choice((0, 1, 1, 1, 2))
        if rng.random() < 0.05:
            rng.shuffle(events)
    if wire.FRAMING == "ndjson":
        return b"".join(value + b"\n" for _, value in events)
    return b"".join(
        (b"event: %s\n" % name.encode() if name else b"") + b"data: %s\n\n" % value for name, value in events
    )


# --- what is done with it


class Cases:
    """The kinds of cases, each a method of (random generator) -> what came of it, and what they judge by."""

    def __init__(self, promises: Promises, server: FakeServer) -> None:
        self.promises, self.server = promises, server
        self.name = ""
        self.logged: list[str] = []
        self.waits: list[float] = []
        self.ends = {"answers": 0, "errors": 0}
        folder = _measure.ROOT / "tests" / "data"
        files = {wire: sorted((folder / wire).iterdir()) for wire in WIRES}
        self.samples = {w: [p for p in found if p.suffix in (".sse", ".ndjson")] for w, found in files.items()}
        self.documents = {w: [p for p in found if p.suffix == ".json"] for w, found in files.items()}

    def found(self, what: str, detail: str) -> None:
        self.promises.found(what, f"{self.name}: {detail[:800]}")

    def outcome(self, work: Callable[[], str], token: str = MARKER) -> str:
        """What work gives, or the error that it raises, judged and as text."""
        self.logged.clear()
        try:
            told = work()
            texts = [told]
            self.ends["answers"] += 1
        except MajordomoError as exc:
            texts = [*_texts(exc), *(str(attempt) for attempt in exc.attempts)]
            exc.target = None  # which only a call knows
            told = f"{type(exc).__name__}: {exc} {exc.partial}"
            self.ends["errors"] += 1
        except Exception as exc:
            self.found(STRAY, "".join(traceback.format_exception(type(exc), exc, exc.__traceback__)[-3:]))
            return f"{type(exc).__name__}"
        for text in (*texts, *self.logged):
            if any(form in text.lower() for form in (MARKER.lower(), token.lower())):
                self.found(TOKEN, text)
                break
        return told

    def stream_of(self, rng: random.Random) -> tuple[str, bytes]:
        """A scheme, and what its server may send as a stream: right, or with wrong bytes or values."""
        folder = rng.choice(list(WIRES))
        wire, scheme = WIRES[folder]
        data, kind = rng.choice(self.samples[folder]).read_bytes(), rng.random()
        if kind < 0.4:
            data = wrong_bytes(data, rng)
        elif kind < 0.8:
            data = wrong_values(wire, data, rng)
        return scheme, data

    def decode(self, rng: random.Random) -> str:
        """A stream, right or wrong, means the same wherever it is cut."""
        scheme, data = self.stream_of(rng)
        way, schema = self.model(scheme, MARKER, "m").targets[0].way, rng.choice([None, None, {"type": "object"}])
        whole = self.outcome(lambda: read(way, [data], schema))
        pieces = cuts(data, rng)
        if self.outcome(lambda: read(way, pieces, schema)) != whole:
            self.found(SPLIT, f"{scheme}: {data[:600]!r}")
        return whole

    def streamed(self, rng: random.Random) -> str:
        """The same over a connection, by a call."""
        scheme, data = self.stream_of(rng)
        model, pieces = self.model(scheme, a_token(rng), "m"), cuts(data, rng)
        self.server.reset()
        self.server.default = Status(200, pieces, {"Content-Type": "text/event-stream"})

        def ask() -> str:
            with model.stream("Hi", timeout=TIMEOUT) as events:
                return shown(list(events)[:-1], events.response)

        there = self.outcome(ask)
        if self.outcome(lambda: read(model.targets[0].way, [data], None)) != there:
            self.found(SPLIT, f"{scheme}, over a connection: {data[:600]!r}")
        return there

    def served(self, rng: random.Random) -> str:
        """An answer over a connection, its head as odd as its body."""
        folder = rng.choice(list(WIRES))
        scheme, token, stream = WIRES[folder][1], a_token(rng), rng.random() < 0.6
        body = rng.choice((self.samples if stream else self.documents)[folder]).read_bytes()
        if rng.random() < 0.2:
            body = rng.choice(ODD_BODIES).encode()
        elif rng.random() < 0.3:
            body = wrong_bytes(body, rng)
        elif not stream and rng.random() < 0.5:
            body = json.dumps(mutated(json.loads(body), rng)).encode()
        if rng.random() < 0.3:
            at = rng.randrange(len(body) + 1)
            body = body[:at] + echoed(token, rng) + body[at:]
        elif rng.random() < 0.1:
            body = b'{"error": {"message": "Incorrect API key: %s", "code": 401}}' % echoed(token, rng)
        self.server.reset()
        self.server.default = Raw(odd_answer(rng, body, token))
        model = self.model(scheme, token, "m")

        def ask() -> str:
            if not stream:
                return model.generate("Hi", timeout=TIMEOUT).stop_reason
            with model.stream("Hi", timeout=TIMEOUT) as events:
                return f"{sum(1 for _ in events)} events, {events.response.stop_reason}"

        told = self.outcome(ask, token)
        if not all(0 < wait <= 120 for wait in self.waits):
            self.found(WAITED, str(self.waits))
        return re.sub(r"127\.0\.0\.1:\d+", "HOST", told)

    def ids(self, rng: random.Random) -> str:
        """A model id goes out as it is written, on every wire, or not at all."""
        id, token = "m" * rng.randint(0, 1) + odd_text(rng).replace(",", ""), a_token(rng)
        self.server.reset()
        self.server.default = Reply("Fine.")

        def ask() -> str:
            model = self.model(rng.choice([s for s in SCHEMES if s != "ollama-cloud"]), token, id)
            wanted = model.name.partition("/")[2]
            reply = model.generate("Hi", timeout=TIMEOUT)
            seen = [seen.model for seen in self.server.requests]
            if seen != [wanted] or reply.model != f"box/{wanted}" or wanted != id.strip():
                self.found(OTHER, f"{id!r} as {seen!r}, {reply.model!r}")
            return reply.text

        return re.sub(r"127\.0\.0\.1:\d+", "HOST", self.outcome(ask, token))

    def model(self, scheme: str, token: str, id: str) -> Any:
        """A model of the server, in a registry of its own; nobody waits, and each wait is kept."""
        self.waits = []
        environ = {"LLM_BOX": self.server.dsn(scheme, token)}
        return Registry(environ, retries=1, random=lambda: 0.5, sleep=self.waits.append).parse(f"box/{id}")

    def dsn(self, rng: random.Random) -> str:
        """A DSN of which any part may be odd, as a value, in code and in the environment."""
        text = odd_dsn(rng)
        told = [self.outcome(lambda: repr(DSN.parse(text)) + repr(pickle.dumps(DSN.parse(text))))]

        def registered() -> str:
            registry = Registry({})
            registry.register_provider("x", text)
            return used(registry, "x/m")

        told.append(self.outcome(registered))
        told.append(self.outcome(lambda: used(Registry({"LLM_X": text}), "x/m")))
        return "; ".join(told)

    def environment(self, rng: random.Random) -> str:
        """Variables of any kind: those of vendors, aliases, names that are none, and values that are no text."""
        names = ["OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "OLLAMA_HOST", "OPENAI_API_KEY", "GEMINI_API_KEY", "LLM_A"]
        names += ["LLM_B", "LLM_OPENAI", "LLM_" + odd_text(rng, 3), odd_text(rng, 4), "LLM_", "LLM_A-B"]
        environ: dict[Any, Any] = {}
        for name in rng.sample(names, rng.randint(1, 6)):
            keys = [lambda r: a_token(r) + odd_text(r, 2)] * name.endswith("_KEY")
            environ[name] = rng.choice([odd_dsn, odd_spec, odd_url, *keys])(rng)
            if rng.random() < 0.05:
                environ[name] = rng.choice([7, None, b"box/m"])
        specs = ["openai/m", "anthropic/m", "ollama/m", "gemini/m", "a", "b", "a/m", "b/m", "a,b", odd_spec(rng)]
        registry, told = Registry({}), []
        told.append(self.outcome(lambda: str(registry.load_env(environ))))
        for spec in rng.sample(specs, 3):
            told.append(self.outcome(lambda spec=spec: used(registry, spec)))
        told.append(self.outcome(lambda: str(registry.providers()) + str(registry.aliases())))
        return "; ".join(told)

    def spec(self, rng: random.Random) -> str:
        """A spec of any kind, which may hold a DSN where none belongs."""
        box = f"llama-swap://{quote(a_token(rng), safe='')}@127.0.0.1:9"
        slow = rng.choice(["fast", "box/n", odd_spec(rng)])
        registry = Registry({"LLM_BOX": box, "LLM_FAST": "box/m, slow", "LLM_SLOW": slow})
        text = rng.choice([odd_spec, odd_spec, odd_dsn])(rng)
        return self.outcome(lambda: used(registry, text)) + self.outcome(lambda: set_alias(registry, rng, text))


KINDS = ("decode", "streamed", "served", "ids", "dsn", "environment", "spec")


class _Pieces:
    """Pieces of a stream, for who reads it as it reads a connection."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Any:
        return iter(self._pieces)

    def limit(self, deadline: Deadline) -> None:
        pass

    def close(self) -> None:
        pass


def read(way: Any, pieces: list[bytes], schema: Any) -> str:
    """What a stream says and means to a wire and its quirks, as text."""
    wire, quirks = way
    decoder, said = wire.StreamDecoder(quirks, schema), []
    try:
        for deltas in _deltas(_Pieces(pieces), wire.FRAMING, decoder, Deadline(TIMEOUT)):  # type: ignore[arg-type]
            said += deltas
        said += decoder.close()
        return shown(said, decoder.response())
    except MajordomoError as exc:
        exc.partial = exc.partial or decoder.partial
        raise


def shown(said: list[Any], response: Any) -> str:
    """Deltas and response as text; ids that are made up for calls without one are all the same."""
    text = "".join(delta.text for delta in said if type(delta) is TextDelta)
    told = [response.stop_reason, response.usage, response.parsed]
    return re.sub(r"(gen_)?call_[0-9a-f]{24}\b", "call_", f"{text!r} {response.message.parts} {told}")


def used(registry: Registry, spec: str) -> str:
    """Parse a spec, and show what came of it in every way; nobody is asked."""
    chain = registry.parse(spec)
    urls = [target.base_url for target in chain.targets]
    return f"{chain!r} {urls} {chain.capabilities} {pickle.dumps(chain)!r}" if spec.isprintable() else repr(chain)


def set_alias(registry: Registry, rng: random.Random, text: str) -> str:
    """The same as an alias set in code, under any name."""
    name = rng.choice(["mine", odd_text(rng, 4)])
    registry.register_alias(name, text)
    return used(registry, name)


def odd_dsn(rng: random.Random) -> str:
    """A DSN with a token, and nothing else that is sure."""
    token = (
        quote(a_token(rng), safe="") if rng.random() < 0.8 else rng.choice(["", ":", "%"]) + MARKER + odd_text(rng, 2)
    )
    scheme = rng.choice([*SCHEMES, *SCHEMES, "http", "https", odd_text(rng, 4)]) + rng.choice(["", "", "+http", "+x"])
    host = rng.choice(["box", "box:8080", "127.0.0.1:1", "[::1]:80", "", odd_text(rng, 5), "box:" + odd_text(rng, 3)])
    path = rng.choice(["", "/", "/v1", "/" + odd_text(rng, 5)])
    option = rng.choice(["timeout", "max_images", "image_mime", "proxy", "ca", "think", "num_ctx", odd_text(rng, 3)])
    query = rng.choice(["", "", f"?{option}={rng.choice(WAITS)}", "?" + odd_text(rng, 5)])
    return f"{scheme}://{token}@{host}{path}{query}"


def odd_url(rng: random.Random) -> str:
    """What may stand in a vendor's variable for a URL."""
    head = rng.choice(["http://", "https://", "HTTP://", "", "//", "ftp://", odd_text(rng, 3) + "://"])
    host = rng.choice(["box", "0.0.0.0", "[::]", ":11434", "box:99999", odd_text(rng, 5)])
    return rng.choice(["", f"{MARKER}@", f"u:{MARKER}@"]).join([head, host]) + rng.choice(["", "/v1", odd_text(rng, 4)])


def odd_spec(rng: random.Random) -> str:
    """A spec of items of any kind."""
    items = ["box/m", "fast", "openai/gpt-5", "BOX/a/b:c", "gemini/x"] * 2
    if rng.random() < 0.5:
        items += ["slow", "a", "b", "", " ", "box/", "/m", "box", odd_text(rng), f"box/{odd_text(rng)}"]
    drawn = [rng.choice(items) for _ in range(rng.randint(1, 5))]
    return rng.choice([",", ", ", " ,\t", ",,"] if len(items) > 10 else [",", ", "]).join(drawn)


def odd_answer(rng: random.Random, body: bytes, token: str) -> bytes:
    """An HTTP answer whose head may hold anything."""
    oddness = rng.choice((0.02, 0.1, 0.3))
    line = rng.choice(LINES) if rng.random() < oddness else LINES[0]
    head = [line % (rng.choice(STATUSES) if rng.random() < 2 * oddness else 200) if "%" in line else line]
    fields: list[tuple[str, list[str]]] = [
        ("Content-Type", TYPES),
        ("Retry-After", WAITS),
        ("retry-after-ms", WAITS),
        ("Date", WAITS),
        ("Location", [f"http://{token}@x/", "//x", "http://[", "http://x:99999999/", odd_text(rng), "\x00"]),
        ("x-should-retry", ["true", "false", "TRUE ", "\xff", odd_text(rng)]),
        ("x-request-id", [odd_text(rng), token, "r" * 5000]),
        ("Connection", ["close", "keep-alive", odd_text(rng)]),
        ("Content-Encoding", ENCODINGS),
        ("Content-Length", [str(len(body)), *LENGTHS]),
        ("Transfer-Encoding", TRANSFERS),
        (odd_text(rng, 4) or "X", [odd_text(rng), token]),
        ("X" * 70000, ["long"]),
    ]
    for name, values in fields:
        if rng.random() < oddness / (10 if len(name) > 1000 else 1):
            value = rng.choice(values)
            head.append(f"{name}: {value}")
            if (name, value) == ("Content-Encoding", "gzip") and rng.random() < 0.7:
                body = gzip.compress(body)
            if (name, value) == ("Transfer-Encoding", "chunked") and rng.random() < 0.7:
                body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    if rng.random() < 0.02:
        head += [f"X-{number}: many" for number in range(200)]
    return "\r\n".join(head).encode("utf-8", "surrogatepass") + b"\r\n\r\n" + body


def _texts(error: BaseException | None) -> list[str]:
    """All that an error tells, and all that it was raised from."""
    texts = []
    while error is not None:
        texts += [str(error), repr(error), repr(getattr(error, "__dict__", ""))]
        if isinstance(error, MajordomoError):
            texts.append(pickle.dumps(error).decode("latin-1"))
        error = error.__cause__ or error.__context__
    return texts


class _Ears(logging.Handler):
    """Keeps what is logged."""

    def __init__(self, heard: list[str]) -> None:
        super().__init__()
        self.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]


class _Stuck(BaseException):
    """A case is stopped; nothing may take this for an error of its own."""


def _stop(*about: Any) -> None:
    raise _Stuck


def run(cases: Cases, seed: int, kind: str, number: int) -> str:
    """One case."""
    cases.name = f"--seed {seed} --case {kind}:{number}"
    faulthandler.dump_traceback_later(2 * STUCK, exit=True)
    signal.setitimer(signal.ITIMER_REAL, STUCK)
    began, told = time.monotonic(), ""
    try:
        told = getattr(cases, kind)(random.Random(f"{seed} {kind} {number}"))
    except _Stuck:
        pass  # the time it took is judged below
    signal.setitimer(signal.ITIMER_REAL, 0)
    took = time.monotonic() - began
    if took > LIMIT:
        cases.found(SLOW, f"{took:.1f} s")
    return told


def main(given: list[str] | None = None) -> bool:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--case")
    arguments = parser.parse_args(given)
    promises = Promises()
    warnings.simplefilter("error")
    signal.signal(signal.SIGALRM, _stop)
    with FakeServer() as server:
        cases = Cases(promises, server)
        sys.unraisablehook = lambda about: cases.found(WARNED, repr(about.exc_value))
        logger = logging.getLogger("majordomo")
        logger.setLevel(logging.DEBUG)
        logger.addHandler(_Ears(cases.logged))
        if arguments.case:
            kind, _, number = arguments.case.partition(":")
            print(run(cases, arguments.seed, kind, int(number)))
        else:
            _all(cases, arguments)
    faulthandler.cancel_dump_traceback_later()
    for what in (STRAY, SLOW, TOKEN, SPLIT, WARNED, WAITED, OTHER):
        promises.none(what)
    return not promises.broken


def _all(cases: Cases, arguments: argparse.Namespace) -> None:
    """Every kind in turn; of what came of each a digest, by which two runs may be compared."""
    for kind in KINDS:
        digest, began, count = hashlib.sha256(), time.monotonic(), 0
        cases.ends.update(answers=0, errors=0)
        for number in range(arguments.rounds):
            if time.monotonic() - began > arguments.seconds / len(KINDS):
                break
            told = run(cases, arguments.seed, kind, number)
            digest.update(told.encode("utf-8", "surrogatepass"))
            count = number + 1
        ends = ", ".join(f"{times} {name}" for name, times in cases.ends.items())
        _measure.row(f"{kind}: {count} cases, {ends}", f"{time.monotonic() - began:.0f} s", digest.hexdigest()[:12])


if __name__ == "__main__":
    sys.exit(not main())

"""The main job, done before your eyes: no key, no network, no server.

A dead target and a live one stand in a chain; the live one is a `FakeServer` on
loopback, everything else is the library as it always runs.
"""

from __future__ import annotations

import struct
import zlib
from base64 import b64decode
from dataclasses import dataclass

from ._terminal import put
from .errors import DeadlineError
from .llm import Image, ToolCall, user
from .registry import Registry
from .testing import FakeServer, Reply, Status, dead_port, hang
from .tools import run_tools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .llm import Attempt
    from .testing import Seen

SPEC = "box/qwen3:14b, cloud/gpt-demo"


@dataclass
class City:
    """A city as it is today."""

    name: str
    people: int


def weather(city: City, days: int = 1) -> str:
    """The weather of a city.

    Args:
        days: How many days ahead.
    """
    return f"{city.name}: rain for {days} days, 7 degrees"


def run() -> None:
    """Print what happens."""
    with FakeServer(token="demo-token") as server:
        environ = {
            "LLM_BOX": f"llama-swap://127.0.0.1:{dead_port()}",
            "LLM_CLOUD": server.dsn("openai", token="demo-token", path="/v1"),
            "LLM_SMALL": server.dsn("openai", token="demo-token", path="/v1", options="max_image_dimension=32"),
            "LLM_CAREFUL": SPEC,
        }
        registry = Registry(environ)
        put("LLM_BOX is a llama-swap that is down, LLM_CLOUD a server that answers.")
        put(f"LLM_CAREFUL={SPEC} makes the alias 'careful'.\n")
        _failover(server, registry)
        _pictures(server, registry)
        _types_and_tools(server, registry)
        _deadline(server, registry)


def _failover(server: FakeServer, registry: Registry) -> None:
    """Answers that come although a target is dead or busy."""
    model = registry.parse("careful")
    _title("an answer, in spite of a dead target")
    server.add(Reply("Because air scatters blue light more than red."))
    reply = model.generate("Why is the sky blue?", timeout=10)
    put(f"{reply.text}   ({reply.model}, {reply.usage.output_tokens} tokens)")
    _table(reply.attempts)

    _title("a stream; the dead target is remembered and comes last")
    server.add(Reply("Rayleigh, in 1871, worked it out on paper.", thinking="Who was it?"))
    with model.stream("Who found out?", timeout=10) as stream:
        for text in stream.text_deltas():
            put(text, end="")
    put()
    _table(stream.response.attempts)

    _title("a busy server says when to come back")
    server.add(Status(429, {"error": {"message": "slow down"}}, {"Retry-After": "0.2"}), Reply("Here I am again."))
    reply = registry.parse("cloud/gpt-demo").generate("Are you there?", timeout=10)
    put(reply.text)
    _table(reply.attempts)


def _pictures(server: FakeServer, registry: Registry) -> None:
    """A picture in, a picture out."""
    _title("a picture of 64 x 48 pixels, for a target that takes 32")
    server.add(_describe)
    reply = registry.parse("small/gpt-demo, cloud/gpt-demo").generate(user(Image(_picture()), "What is this?"))
    put(reply.text)
    for warning in reply.warnings:
        put(warning)
    _table(reply.attempts)

    _title("a picture drawn, in spite of a dead target")
    drawn = registry.parse_image("box/flux, cloud/painter").generate("a red dot", size="1024x1024", timeout=10)
    put(f"{drawn.images[0]!r} by {drawn.model}")
    _table(drawn.attempts)


def _types_and_tools(server: FakeServer, registry: Registry) -> None:
    """A class in, an instance out; a function in, a working tool."""
    _title("an answer that is an instance of a class; the first one does not fit, and the model is shown why")
    server.add(Reply('{"name": "Bergen", "people": "many"}'), Reply('{"name": "Bergen", "people": 291940}'))
    reply = registry.parse("cloud/gpt-demo").generate("Norway's second city?", schema=City, schema_retries=1)
    put(repr(reply.parsed))
    for warning in reply.warnings:
        put(warning)

    _title("a function that the model calls, first with a mistake")
    for days in ("three", 3):
        arguments = {"city": {"name": "Bergen", "people": 291940}, "days": days}
        server.add(Reply(tool_calls=[ToolCall(f"call_{days}", "weather", arguments)]))
    server.add(Reply("Take an umbrella."))
    reply = run_tools(
        registry.parse("cloud/gpt-demo"),
        "What do I need in Bergen?",
        [weather],
        timeout=10,
        on_tool=lambda call, result: put(f"{call.name}(days={call.arguments['days']!r}) -> {result.text}"),
    )
    put(f"{reply.text}   ({len(reply.messages)} messages, {reply.usage.output_tokens} tokens)")


def _deadline(server: FakeServer, registry: Registry) -> None:
    """A server that hangs."""
    _title("a server that hangs, and a deadline that holds")
    server.add(hang())
    try:
        registry.parse("cloud/gpt-demo").generate("Hello?", timeout=0.5)
    except DeadlineError as error:
        put(f"DeadlineError: {error}")
        _table(error.attempts)


def _describe(seen: Seen) -> Reply:
    """What the fake model says of the picture it was sent."""
    url = seen.json["messages"][0]["content"][0]["image_url"]["url"]
    kind, _, data = url.partition(";base64,")
    width, height = struct.unpack(">II", b64decode(data)[16:24])
    return Reply(f"A picture ({kind[5:]}) of {width} x {height} pixels.")


def _picture() -> bytes:
    """A small PNG: 64 x 48 pixels from blue to white."""
    rows = b"".join(b"\x00" + bytes([4 * y, 4 * y, 255]) * 64 for y in range(48))
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    packed = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def _title(text: str) -> None:
    put(f"\n== {text}")


def _table(attempts: Iterable[Attempt]) -> None:
    rows = [("target", "outcome", "kind", "seconds", "error")]
    for a in attempts:
        rows.append((a.target, a.outcome, a.kind.value if a.kind else "", f"{a.seconds:.3f}", a.error or ""))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths)]
        put("   " + "  ".join([*cells, row[4]]).rstrip())

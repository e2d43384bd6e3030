"""What the fake server's wires share: how a request is read, how a reply is cut and counted.

It knows no vendor: what only one of them does stands with that one.
"""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from urllib.parse import parse_qsl, urlsplit

from ..errors import UnsupportedError
from ..llm import Image, sniff

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from ..llm import ToolCall
    from .values import Drawing, Reply, Seen

CREATED = 1700000000  # when everything was answered
EVENTS = {"Content-Type": "text/event-stream; charset=utf-8"}
_WORD = 6  # characters of a streamed piece


def path_of(seen: Seen) -> str:
    """A request's path, without its query."""
    return urlsplit(seen.path).path


def query_of(seen: Seen) -> dict[str, str]:
    """A request's query."""
    return dict(parse_qsl(urlsplit(seen.path).query))


def body_of(seen: Seen) -> dict[str, Any]:
    """A request's body, empty if it is no object."""
    asked = seen.json
    return asked if isinstance(asked, dict) else {}


def inner(asked: dict[str, Any], name: str) -> dict[str, Any]:
    """An object within one, empty if it is none."""
    found = asked.get(name)
    return found if isinstance(found, dict) else {}


def pieces_of(text: str, wanted: Sequence[str] | None = None) -> Sequence[str]:
    """A text as it is streamed."""
    return wanted if wanted is not None else [text[at : at + _WORD] for at in range(0, len(text), _WORD)]


def arguments_of(call: ToolCall) -> str:
    """A call's arguments where they are text."""
    return call.malformed if call.malformed is not None else json.dumps(call.arguments)


def object_of(call: ToolCall) -> Any:
    """A call's arguments where they are an object, which those that make no sense are not."""
    return call.malformed if call.malformed is not None else call.arguments


def opaque(text: str) -> str:
    """What a vendor makes of its model's thinking: the same each time, and for nobody to read."""
    return base64_of(sha256(text.encode("utf-8", "replace")).digest())


def end_of(reply: Reply) -> str:
    """Why a reply ended: the reason given, else the one that its calls suggest."""
    return reply.stop_reason or ("tool_calls" if reply.tool_calls else "stop")


def reason_of(reply: Reply) -> str:
    """The same where a refusal is a reason."""
    return "refusal" if reply.refusal and reply.stop_reason in ("", "stop") else end_of(reply)


def given(**counts: int | None) -> dict[str, int]:
    """The counts that are known."""
    return {name: count for name, count in counts.items() if count is not None}


def less(count: int | None, part: int | None) -> int | None:
    """A count without what is counted apart."""
    return None if count is None else max(0, count - (part or 0))


def sum_of(*counts: int | None) -> int | None:
    """A sum, where all of it is known."""
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def dumps(value: Any) -> bytes:
    """JSON with its characters as they are, which may thus be cut in two."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def named_events(events: Iterable[dict[str, Any]]) -> list[bytes]:
    """Events whose name stands in front of the data and in it."""
    return [b"event: %s\ndata: %s\n\n" % (event["type"].encode(), dumps(event)) for event in events]


def base64_of(data: bytes) -> str:
    """Bytes as JSON holds them."""
    return b64encode(data).decode("ascii")


def images_of(drawing: Drawing) -> list[bytes]:
    """The pictures that a drawing was given, if any."""
    images = (drawing.images,) if isinstance(drawing.images, (Image, bytes)) else drawing.images
    return [image.data if isinstance(image, Image) else image for image in images]


def mime_of(data: bytes) -> str:
    """The type of what is drawn, which a test may have made something else than a picture."""
    try:
        return sniff(data)
    except UnsupportedError:
        return "application/octet-stream"

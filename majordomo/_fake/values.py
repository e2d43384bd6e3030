"""What a script for the fake server is made of, and what a request to it says.

The vendors' modules tell these values; they know of no vendor, save for where Google
names a model.
"""

from __future__ import annotations

import json
from base64 import b64decode
from urllib.parse import unquote, urlsplit

from ..llm import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from dataclasses import dataclass, field
    from typing import Any

    from ..llm import Image, Response, ToolCall
else:
    from .._frozen import dataclass, field

# One red pixel, as PNG.
RED = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC")
# Google's verbs, in front of which the path names the model.
VERBS = (":generateContent", ":streamGenerateContent")


@dataclass(frozen=True)
class Reply:
    """An answer of a model, told in the wire of the path that was asked, streamed if asked so.

    stop_reason: as in `Response`; a wire without a word for it says the nearest. usage:
    None to leave it out. pieces: how a stream cuts the text; some characters each if
    None. With `thinking` comes what the vendor wants back unread (signatures and such).
    """

    text: str = ""
    thinking: str = ""
    tool_calls: Sequence[ToolCall] = ()
    stop_reason: str = ""
    usage: Usage | None = Usage(11, 7, 0, 0)
    refusal: str = ""
    pieces: Sequence[str] | None = None

    @classmethod
    def of(cls, response: Response) -> Reply:
        """The reply that would have been this response."""
        return cls(
            response.text,
            response.thinking,
            response.tool_calls,
            response.stop_reason,
            response.usage,
            response.refusal,
        )


@dataclass(frozen=True)
class Drawing:
    """Pictures as a model's answer, told in the wire of the path that was asked.

    images: one or several, as `Image` or bytes; small red ones, as many as were asked
    for, if there are none. as_url: where they are, instead of the pictures themselves;
    True for a place on the fake server, which shows them to everybody.
    """

    images: Image | bytes | Sequence[Image | bytes] = ()
    as_url: str | bool = False


@dataclass(frozen=True)
class Status:
    """Any HTTP answer. body: JSON values, text or bytes; a list of bytes is sent chunked, piece by piece."""

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """A request as it came. headers: names in lower case. path: as sent, query included."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON; None if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def form(self) -> list[tuple[str, str | None, str, bytes]]:
        """The body as a form: (name, filename, type, bytes) of each part; none if it is no form."""
        from email.parser import BytesFeedParser

        kind = self.headers.get("content-type", "")
        if not kind.lower().startswith("multipart/form-data"):
            return []
        parser = BytesFeedParser()
        parser.feed(b"Content-Type: " + kind.encode("latin-1", "replace") + b"\r\n\r\n" + self.body)
        message: Any = parser.close()
        return [
            (
                str(part.get_param("name", "", "content-disposition")),
                part.get_filename(),
                part.get_content_type(),
                part.get_payload(decode=True),
            )
            for part in (message.get_payload() if message.is_multipart() else ())
        ]

    @property
    def model(self) -> str:
        """The model that is asked, `""` if none is named."""
        path = urlsplit(self.path).path
        if path.endswith(VERBS):
            place = path.rpartition(":")[0]
            _, tuned, name = place.partition("/tunedModels/")
            return unquote(place.partition("/models/")[2] or tuned[1:] + name)
        found = asked_of(self, "model")
        return found if isinstance(found, str) else ""


def asked_of(seen: Seen, name: str) -> Any:
    """What a body says under a name, be it JSON or a form."""
    body = seen.json
    if isinstance(body, dict):
        return body.get(name, "")
    return next((data.decode("utf-8", "replace") for part, _, _, data in seen.form if part == name), "")

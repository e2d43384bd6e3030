"""How OpenAI's images answer one who wants pictures drawn.

Source: the SDK of November 2026 (openai 3.54).
"""

from __future__ import annotations

from ._common import CREATED, base64_of, images_of, mime_of
from .values import RED, Status, asked_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .values import Drawing, Seen

PATHS = ("/images/generations", "/images/edits")


def tell_drawing(drawing: Drawing, seen: Seen, show: Callable[[list[bytes]], list[str]]) -> Status:
    """Pictures, or where they are. show: puts them where they can be fetched, and says where."""
    datas = images_of(drawing) or [RED] * _count(seen)
    if drawing.as_url is True:
        rows = [{"url": url} for url in show(datas)]
    elif drawing.as_url:
        rows = [{"url": str(drawing.as_url)} for _ in datas]
    else:
        rows = [{"b64_json": base64_of(data)} for data in datas]
    return Status(200, {"created": CREATED, "data": rows})


def _count(seen: Seen) -> int:
    """How many are wanted, 100 at most."""
    count = str(asked_of(seen, "n"))
    return min(int(count[:3]), 100) if count.isdigit() else 1


def tell_shown(data: bytes) -> Status:
    """A picture where it can be fetched."""
    return Status(200, data, {"Content-Type": mime_of(data)})

"""The media normalizer: what a request's pictures need before a target takes them.

A picture's declared type is not believed, its bytes are. What a target cannot take at
all is refused here, before anything is sent, so that a chain can go on to the next.
"""

from __future__ import annotations

from .errors import UnsupportedError
from .llm import Image, Message, ToolResult, images_of, sniff

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import replace
    from typing import Any

    from .llm import Capabilities, Request
else:
    from ._frozen import replace

__all__ = ["normalize"]


def normalize(request: Request, capabilities: Capabilities) -> Request:
    """The request as the target takes it: the same object if nothing has to change.

    A wrong type on a picture is mended; the bytes stay as they are. Raises
    UnsupportedError, which names the message and the part, for a picture that is none,
    that has a type or size the target does not take, or that is one too many.
    """
    found = images_of(request.messages)
    if not found:
        return request
    if not capabilities.supports_images:
        m, p, _ = found[0]
        raise UnsupportedError(f"message {m}, part {p}: the target takes no images")
    most = capabilities.max_images_per_request
    if most is not None and len(found) > most:
        raise UnsupportedError(f"{len(found)} images, and the target takes {most} in a request")
    mended = False
    for m, p, image in found:
        try:
            mime = sniff(image.data)
        except UnsupportedError as exc:
            raise UnsupportedError(f"message {m}, part {p}: {exc.message}") from None
        mended = mended or mime != image.mime
        _check(f"message {m}, part {p}", mime, image, capabilities)
    if not mended:
        return request
    return replace(request, messages=tuple(_relabelled(message) for message in request.messages))


def _check(place: str, mime: str, image: Image, capabilities: Capabilities) -> None:
    taken, most = capabilities.allowed_image_mime, capabilities.max_image_bytes
    if taken and mime not in taken:
        raise UnsupportedError(f"{place}: the target takes {', '.join(taken)}, not {mime}")
    if most is not None and len(image.data) > most:
        raise UnsupportedError(f"{place}: {len(image.data)} bytes, and the target takes {most} in an image")


def _relabelled(value: Any) -> Any:
    """A message, a tool result or a picture with the types that the bytes have."""
    if isinstance(value, Image):
        mime = sniff(value.data)
        return value if value.mime == mime else replace(value, mime=mime)
    if not isinstance(value, (Message, ToolResult)):
        return value
    parts = tuple(_relabelled(part) for part in value.parts)
    if all(new is old for new, old in zip(parts, value.parts)):
        return value
    return replace(value, parts=parts)

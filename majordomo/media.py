"""The media normalizer: what a request's pictures need before a target takes them.

A picture's declared type is not believed, its bytes are. What a target cannot take at
all is refused here, before anything is sent, so that a chain can go on to the next.
"""

from __future__ import annotations

import struct

from .errors import UnsupportedError
from .llm import Image, Message, ToolResult, images_of, sniff

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass, replace
    from typing import Any, Callable

    from .llm import Capabilities, Request
else:
    from ._frozen import dataclass, replace

__all__ = ["ImageInfo", "info", "normalize"]


@dataclass(frozen=True)
class ImageInfo:
    """What the header of a picture says. format: `png`, `jpeg`, `gif` or `webp`; sizes in pixels."""

    format: str
    width: int
    height: int


def info(image: Image) -> ImageInfo:
    """A picture's format and size, from its header alone.

    Raises UnsupportedError if the header says none, and for formats that are not read here.
    """
    mime = sniff(image.data)
    read = _READERS.get(mime)
    if read is None:
        raise UnsupportedError(f"the size of {mime} is not read here; send PNG, JPEG, GIF or WebP")
    size = read(image.data)
    if size is None or 0 in size:
        raise UnsupportedError(f"the header of this {mime} says no size")
    return ImageInfo(mime.partition("/")[2], *size)


def _png_size(data: bytes) -> tuple[int, int] | None:
    return struct.unpack(">II", data[16:24]) if len(data) >= 24 and data[12:16] == b"IHDR" else None


def _gif_size(data: bytes) -> tuple[int, int] | None:
    return struct.unpack("<HH", data[6:10]) if len(data) >= 10 else None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """From the first start-of-frame segment. Source: ITU-T T.81, table B.1."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """Of all three kinds. Source: the WebP container specification and RFC 6386."""
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(data) >= 30:
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None


_READERS: dict[str, Callable[[bytes], tuple[int, int] | None]] = {
    "image/png": _png_size,
    "image/gif": _gif_size,
    "image/jpeg": _jpeg_size,
    "image/webp": _webp_size,
}


def normalize(request: Request, capabilities: Capabilities) -> Request:
    """The request as the target takes it: the same object if nothing has to change.

    A wrong type on a picture is mended; the bytes stay as they are. Raises
    UnsupportedError, which names the message, the part, the limit and the size, for a
    picture that is none, and for what is more than the target takes.
    """
    found = images_of(request.messages)
    if not found:
        return request
    if not capabilities.supports_images:
        m, p, _ = found[0]
        raise UnsupportedError(f"message {m}, part {p}: the target takes no images")
    most, total = capabilities.max_images_per_request, capabilities.max_total_image_bytes
    if most is not None and len(found) > most:
        raise UnsupportedError(f"{len(found)} images, and the target takes {most} in a request")
    size = sum(len(image.data) for _, _, image in found)
    if total is not None and size > total:
        raise UnsupportedError(f"images of {size} bytes in all, and the target takes {total} in a request")
    side = _longest_side(len(found), capabilities)
    mended = False
    for m, p, image in found:
        try:
            mime = sniff(image.data)
            _check(mime, image, side, capabilities)
        except UnsupportedError as exc:
            raise UnsupportedError(f"message {m}, part {p}: {exc.message}") from None
        mended = mended or mime != image.mime
    if not mended:
        return request
    return replace(request, messages=tuple(_relabelled(message) for message in request.messages))


def _longest_side(count: int, capabilities: Capabilities) -> int | None:
    many, smaller = capabilities.many_images, capabilities.many_image_dimension
    if many is not None and smaller is not None and count > many:
        return smaller
    return capabilities.max_image_dimension


def _check(mime: str, image: Image, side: int | None, capabilities: Capabilities) -> None:
    taken, most = capabilities.allowed_image_mime, capabilities.max_image_bytes
    if taken and mime not in taken:
        raise UnsupportedError(f"the target takes {', '.join(taken)}, not {mime}")
    if most is not None and len(image.data) > most:
        raise UnsupportedError(f"{len(image.data)} bytes, and the target takes {most} in an image")
    if side is not None:
        found = info(image)
        if max(found.width, found.height) > side:
            raise UnsupportedError(f"{found.width} x {found.height} pixels, and the target takes {side} at most")


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

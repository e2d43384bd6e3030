"""The media normalizer: makes a request's pictures fit what one target takes.

A picture's declared type is not believed, its bytes are. What fits is sent byte for byte
as it was given, told from its header alone: nothing is decoded, and Pillow is not looked
for. What does not fit is decoded from the original, shrunk and written anew. What cannot
honestly be made to fit is refused here, before anything is sent, so that a chain can go
on to its next target.

`normalize(request, capabilities)` gives the request as a target with these capabilities takes
it; `info(image)` reads format and size from the header.
"""

# Three rules for whoever edits this file. Pillow gets bytes that were read here first, with
# nothing in them that it would warn of. Nothing of Pillow's or of the process is changed.
# Whatever the bytes are, time and memory are bounded and errors are ours.

from __future__ import annotations

import re
import struct
from importlib import import_module
from io import BytesIO
from math import log
from weakref import ref

from ._frozen import copied
from ._loading import loading
from .errors import UnsupportedError
from .llm import Image, Text, ToolResult, images_of, sniff

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from dataclasses import dataclass, field, replace
    from typing import Any, Callable

    from .imagegen import ImageRequest
    from .llm import Capabilities, Request

    Check = Callable[[], object]
else:
    from ._frozen import dataclass, field, replace

__all__ = ["ImageInfo", "info", "normalize"]

MOST_PIECES = 100_000  # blocks, chunks or segments of a picture: honest ones have some thousands
MOST_SCANNED_PIXELS = 1 << 31  # of a JPEG, all its scans together: each may go over every pixel again
MOST_PIXELS = 1 << 26  # that are decoded, at four bytes each and a copy or two
MOST_SHARINGS = 3  # of a request's bytes among its pictures
LONGEST = 1 << 16  # pixels of a side that is decoded
KEPT = 256  # pictures of which something is remembered
KEPT_BYTES = 32 * 1024 * 1024  # of pictures made before that may be wanted again


@dataclass(frozen=True)
class ImageInfo:
    """What the header of a picture says.

    format: `png`, `jpeg`, `gif`, `webp`, `bmp` or `tiff`. width, height: pixels, as they are
    stored: a camera's note to turn the picture is not followed. Of a GIF they are those of
    its screen, or of its first frame if that is larger.
    """

    format: str
    width: int
    height: int


def info(image: Image) -> ImageInfo:
    """A picture's format and size, from its header alone; Pillow is not needed.

    Raises UnsupportedError if the header says none, and for formats that are not read here.
    """
    mime = sniff(image.data)
    width, height = _size(mime, image.data)
    return ImageInfo(mime.partition("/")[2], width, height)


def normalize(request: Request, capabilities: Capabilities, check: Check | None = None) -> Request:
    """The request as the target takes it: the same object if nothing has to change.

    Pictures above `max_images_per_request` are replaced by a line of text, the oldest
    first. A wrong type is mended; a picture that is too large is shrunk, one of a type that
    the target does not take is written as one that it takes, one of too many bytes is
    compressed and then shrunk. All that fits stays as it is, and so does `request`.

    Raises UnsupportedError, which names the message, the part, the limit and the size, for
    what cannot be made to fit: no picture, a damaged one, no type that can be written, a
    limit below reason, no Pillow to do it with. check: called before each picture that has
    to be made; what it raises passes through.
    """
    found = images_of(request.messages)
    if not found:
        return request
    if not capabilities.supports_images:
        m, p, _ = found[0]
        raise UnsupportedError(f"message {m}, part {p}: the target takes no images")
    most = capabilities.max_images_per_request
    dropped = 0 if most is None else max(0, len(found) - most)
    kept = found[dropped:]
    images = tuple([image for _, _, image in kept])
    fitted = fit(images, capabilities, tuple([f"message {m}, part {p}" for m, p, _ in kept]), check)
    if not dropped and fitted is images:
        return request
    note = Text(f"[An earlier image was left out: this model takes {most} at most.]")
    news = iter((*[note] * dropped, *fitted))
    return replace(request, messages=tuple([_with_pictures(message, news) for message in request.messages]))


def fit(
    images: tuple[Image, ...], capabilities: Capabilities, places: tuple[str, ...] = (), check: Check | None = None
) -> tuple[Image, ...]:
    """Pictures as a target takes them together; the same tuple if all of them fit.

    places: what errors call them. check: called before each picture that has to be made,
    which may take seconds. Their number is nobody's concern here. Raises UnsupportedError
    as `normalize` does, and what `check` raises.
    """
    places = places or tuple([f"image {number}" for number in range(len(images))])
    limits = _limits(len(images), capabilities)
    fitted = _fit_all(images, limits, places, check)
    total = capabilities.max_total_image_bytes
    if total is not None and sum([len(image.data) for image in fitted]) > total:
        fitted = _fit_together(images, fitted, total, limits, places, check)
    if all(new is old for new, old in zip(fitted, images)):
        return images
    return tuple(fitted)


def _fit_together(
    images: Sequence[Image],
    fitted: list[Image],
    total: int,
    limits: _Limits,
    places: Sequence[str],
    check: Check | None,
) -> list[Image]:
    """Pictures that fit one by one, made to fit together: the large ones share what the small ones leave.

    What a picture needs less than its share is shared out again, a few times.
    """
    wanted = [len(image.data) for image in fitted]
    told = f"images of {sum(wanted)} bytes in all, and the target takes {total} in a request"
    together = fitted
    for _ in range(MOST_SHARINGS):
        share = _share(wanted, total)
        large = [at for at, size in enumerate(wanted) if size > share]
        tighter = replace(limits, max_bytes=share, reason=told)
        again = _fit_all([images[at] for at in large], tighter, [places[at] for at in large], check)
        together = list(together)
        for at, new in zip(large, again):
            together[at] = new
        modest = [at for at in large if 2 * len(together[at].data) < share]
        if not modest or len(modest) == len(large) or 2 * sum([len(image.data) for image in together]) >= total:
            break
        for at in modest:
            wanted[at] = len(together[at].data)
    return together


def fit_originals(
    request: ImageRequest, capabilities: Capabilities, check: Check | None = None
) -> tuple[ImageRequest, tuple[str, ...]]:
    """A request to edit pictures as the target takes it, and what was done to it.

    None of the pictures is left out: UnsupportedError if they are too many.
    """
    images, most = request.images, capabilities.max_images_per_request
    if most is not None and len(images) > most:
        raise UnsupportedError(f"{len(images)} pictures to edit, and the target takes {most or 'none'}")
    fitted = fit(images, capabilities, (), check)
    if fitted is images:
        return request, ()
    return replace(request, images=fitted), _told([(f"image {n}", *pair) for n, pair in enumerate(zip(images, fitted))])


def changes(before: Request, after: Request) -> tuple[str, ...]:
    """What `normalize` did, a sentence each, for a response's `warnings`."""
    if before is after:
        return ()
    found, kept = images_of(before.messages), images_of(after.messages)
    dropped = len(found) - len(kept)
    told = [f"images: the oldest {dropped} left out, for the target takes {len(kept)}"] if dropped else []
    news = [(f"message {m}, part {p}", old, new) for (m, p, old), (_, _, new) in zip(found[dropped:], kept)]
    return (*told, *_told(news))


def _told(news: list[tuple[str, Image, Image]]) -> tuple[str, ...]:
    """A sentence for each new picture; of many one stands for all, for they come again at each turn."""
    changed = [row for row in news if row[1] is not row[2]]
    shown = changed if len(changed) <= 3 else changed[-1:]
    rest = f", and {len(changed) - 1} others like it" if len(changed) > 3 else ""
    return tuple([f"images: {at} sent as {_described(new)}, was {_described(old)}{rest}" for at, old, new in shown])


def _described(image: Image) -> str:
    try:
        width, height = _size(sniff(image.data), image.data)
    except UnsupportedError:
        return f"{image.mime} of {len(image.data)} bytes"
    return f"{image.mime} of {width} x {height} pixels and {len(image.data)} bytes"


def _with_pictures(value: Any, news: Iterator[Any]) -> Any:
    """A message or a tool result whose pictures are replaced in order; the same object if none is new."""
    parts = tuple(
        [
            next(news)
            if isinstance(part, Image)
            else _with_pictures(part, news)
            if isinstance(part, ToolResult)
            else part
            for part in value.parts
        ]
    )
    if all(new is old for new, old in zip(parts, value.parts)):
        return value
    return copied(value, parts=parts)


def _share(sizes: list[int], total: int) -> int:
    """Bytes that each of the large pictures may have, so that all have room; the small ones keep theirs.

    Rounded down to a step, for a conversation that grows by a picture should not mean new
    work for all the others at each turn.
    """
    left, share = total, 0
    for position, size in enumerate(sorted(sizes)):
        share = left // (len(sizes) - position)
        if size > share:
            break
        left -= size
    step = 1 << max(0, share.bit_length() - 3)  # four to a doubling
    return share // step * step


# Limits


@dataclass(frozen=True)
class _Limits:
    """What one picture must keep to. reason: why, where it is not the picture's own fault."""

    side: int | None
    max_bytes: int | None
    types: tuple[str, ...]
    still: bool
    reason: str = field(default="", compare=False)


def _limits(count: int, capabilities: Capabilities) -> _Limits:
    many, smaller = capabilities.many_images, capabilities.many_image_dimension
    side = capabilities.max_image_dimension
    if many is not None and smaller is not None and count > many:
        side = smaller if side is None else min(side, smaller)
    still = capabilities.animated_images is False
    return _Limits(side, capabilities.max_image_bytes, capabilities.allowed_image_mime, still)


def _fit_all(images: Sequence[Image], limits: _Limits, places: Sequence[str], check: Check | None) -> list[Image]:
    """Pictures within limits that hold for each.

    All are looked up before one is made, which may push what is wanted next out of the memory.
    """
    fitted: list[Any] = []
    for image, place in zip(images, places):
        with _at(place):
            mime = sniff(image.data)
            misfit = _misfit(mime, image.data, limits)
            if misfit is None:
                fitted.append(image if image.mime == mime else copied(image, mime=mime))
            else:
                fitted.append(_remembered(image, limits) or (mime, misfit))
    for at, (image, place) in enumerate(zip(images, places)):
        if not isinstance(fitted[at], tuple):
            continue
        made = _remembered(image, limits)  # the same picture may stand there twice
        if made is None:
            if check is not None:
                check()
            with _at(place):
                mime, misfit = fitted[at]
                made = _made_to_fit(image.data, mime, misfit, limits)
            _remember(image, limits, made)
        fitted[at] = made
    return fitted


class _at:
    """Says in an error which picture it is about."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, UnsupportedError):
            raise UnsupportedError(f"{self._place}: {error.message}") from error.__cause__


def _misfit(mime: str, data: bytes, limits: _Limits) -> str | None:
    """Why a picture does not fit, None if it does."""
    if limits.types and mime not in limits.types:
        return f"the target takes {', '.join(limits.types)}, not {mime} (of {len(data)} bytes)"
    if limits.side is not None:
        width, height = _size(mime, data)
        if width > limits.side or height > limits.side:
            return f"{width} x {height} pixels, and the target takes {limits.side} at most"
    if limits.max_bytes is not None and len(data) > limits.max_bytes:
        return limits.reason or f"{len(data)} bytes, and the target takes {limits.max_bytes} in an image"
    if limits.still and _is_animated(mime, data):
        return f"an animated {mime}, and the target takes none that moves"
    return None


# What was made before, for a conversation sends the same pictures at every turn

# A picture's hash -> (it, what was made of it for which limits), last used last. No lock,
# which a fork could leave locked: what is done to the dict is atomic, its keys being numbers.
_made: dict[int, tuple[ref[Image], dict[_Limits, Image]]] = {}


def _remembered(image: Image, limits: _Limits) -> Image | None:
    """What was made of a picture for the same limits, as long as somebody has the original."""
    found = _made.get(hash(image))
    if found is None or found[0]() != image:
        return None
    made = found[1].get(limits)
    if made is not None and _made.pop(hash(image), None) is not None:
        _made[hash(image)] = found
    return made


def _remember(image: Image, limits: _Limits, made: Image) -> None:
    """Keep what was made of a picture until that is gone, or there is no room for it."""
    key = hash(image)
    found = _made.pop(key, None)
    if found is None or found[0]() != image:

        def forget(gone: Any) -> None:
            kept = _made.get(key)
            if kept is not None and kept[0] is gone:
                _made.pop(key, None)

        found = (ref(image, forget), {})
    found[1][limits] = made
    _made[key] = found
    room = KEPT_BYTES
    for number, (other, (_, known)) in enumerate(reversed(list(_made.copy().items()))):  # a copy: pictures go meanwhile
        room -= sum([len(one.data) for one in list(known.values())])
        if room < 0 or number >= KEPT:
            _made.pop(other, None)


# Headers


def _size(mime: str, data: bytes) -> tuple[int, int]:
    """Width and height of a picture, from its header; UnsupportedError if that says none."""
    row = _FORMATS.get(mime)
    if row is None:
        raise UnsupportedError(f"the size of {mime} is not read here; send PNG, JPEG, GIF or WebP")
    size = row.size(data)
    if size is None or 0 in size:
        raise UnsupportedError(f"the header of this {mime} says no size: it is cut, or damaged")
    return size


def _png_size(data: bytes) -> tuple[int, int] | None:
    return struct.unpack(">II", data[16:24]) if len(data) >= 24 and data[12:16] == b"IHDR" else None


def _gif_size(data: bytes) -> tuple[int, int] | None:
    """Of the screen and the first frame, whichever is larger. Source: GIF89a specification, sections 18 and 20."""
    if len(data) < 13:
        return None
    width, height = struct.unpack("<HH", data[6:10])
    for kind, at in _gif_blocks(data):
        if kind == _GIF_FRAME:
            left, top, w, h = struct.unpack("<4H", data[at + 1 : at + 9])
            return max(width, left + w), max(height, top + h)
    return width, height


_GIF_EXTENSION, _GIF_FRAME, _GIF_END = 0x21, 0x2C, 0


def _gif_blocks(data: bytes) -> Iterator[tuple[int, int]]:
    """(kind, start) of a GIF's extensions and frames, and of what ends them; UnsupportedError if they go on and on."""
    at = 13 + _gif_palette(data[10])
    inside = False  # of blocks that go on until an empty one
    for _ in range(MOST_PIECES):
        if at >= len(data):
            break
        if inside:
            inside = data[at] > 0
            at += 1 + data[at]
        elif data[at] == _GIF_EXTENSION:
            yield _GIF_EXTENSION, at
            inside = True
            at += 2
        elif data[at] == _GIF_FRAME and at + 10 <= len(data):
            yield _GIF_FRAME, at
            inside = True
            at += 11 + _gif_palette(data[at + 9])
        else:
            break
    else:
        raise UnsupportedError("this GIF has more blocks than any picture needs")
    yield _GIF_END, at


def _gif_palette(flags: int) -> int:
    """Bytes of a palette."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """From the first start-of-frame segment. Source: ITU-T T.81, table B.1."""
    for marker, start, end in _jpeg_segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if end - start < 9 or end > len(data):
                return None
            height, width = struct.unpack(">HH", data[start + 5 : start + 9])
            return width, height
    return None


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of the segments before the first scan, and that scan's, which ends with the data."""
    at, size = 2, len(data)
    for _ in range(MOST_PIECES):
        if at + 4 > size:
            return
        marker = data[at + 1]
        if data[at] != 0xFF:  # padding
            at = data.find(b"\xff", at)
            if at < 0:
                return
        elif marker in (0x00, 0xFF):
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:  # these stand alone
            at += 2
        elif marker == 0xDA:
            yield marker, at, size
            return
        else:
            end = at + 2 + max(2, data[at + 2] << 8 | data[at + 3])
            yield marker, at, end
            at = end


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


def _is_lossless_webp(data: bytes) -> bool:
    """Whether the pixels of a WebP, the first ones of an animation, are kept without loss."""
    at = 12
    for _ in range(MOST_PIECES):
        name = data[at : at + 4]
        if name in (b"VP8L", b"VP8 ", b""):
            return name == b"VP8L"
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 24 if name == b"ANMF" else 8 + size + size % 2  # a frame has a head of 16 bytes, then chunks
    return False


def _bmp_size(data: bytes) -> tuple[int, int] | None:
    """Source: BITMAPCOREHEADER and BITMAPINFOHEADER; a negative height means that the first row is the top one."""
    if len(data) < 26:
        return None
    if data[14:18] == b"\x0c\x00\x00\x00":
        return struct.unpack("<HH", data[18:22])
    width, height = struct.unpack("<ii", data[18:26])
    return (width, abs(height)) if width > 0 else None


def _tiff_size(data: bytes) -> tuple[int, int] | None:
    tags = _tiff_numbers(data)
    return (tags[256], tags[257]) if 256 in tags and 257 in tags else None


def _tiff_entries(data: bytes) -> tuple[str, list[tuple[int, int, int, bytes]]]:
    """(byte order, [(tag, type, count, last four bytes)]) of the first directory. Source: TIFF 6.0, section 2."""
    order = "<" if data[:2] == b"II" else ">"
    if len(data) < 8:
        return order, []
    (at,) = struct.unpack(order + "I", data[4:8])
    if at + 2 > len(data):
        return order, []
    (count,) = struct.unpack(order + "H", data[at : at + 2])
    rows = data[at + 2 : at + 2 + 12 * count]
    rows = rows[: len(rows) // 12 * 12]
    return order, list(struct.iter_unpack(order + "HHI4s", rows))


def _tiff_numbers(data: bytes) -> dict[int, int]:
    """The tags of the first directory that hold one whole number."""
    order, entries = _tiff_entries(data)
    found: dict[int, int] = {}
    for tag, kind, count, raw in entries:
        if count == 1 and kind in (3, 4):
            found.setdefault(tag, struct.unpack(order + ("H" if kind == 3 else "I"), raw[: 2 if kind == 3 else 4])[0])
    return found


def _is_animated(mime: str, data: bytes) -> bool:
    """Whether a picture moves: a GIF of several frames, a WebP that says so."""
    if mime == "image/gif" and len(data) > 13:
        frames = (at for kind, at in _gif_blocks(data) if kind == _GIF_FRAME)
        return next(frames, None) is not None and next(frames, None) is not None
    return mime == "image/webp" and data[12:16] == b"VP8X" and data[20:21] > b"\0" and bool(data[20] & 2)


# What Pillow is given: the bytes without what it would warn of, follow, or send on

# Tags that say how the pixels are stored -> (types they may have, how many values at most).
# Types are 1 and 7 for bytes, 3 and 4 for numbers of 2 and 4. Source: TIFF 6.0; 34675 is the ICC profile.
_TIFF_NUMBER, _TIFF_FEW, _TIFF_PIECES, _TIFF_BYTES = ((3, 4), 1), ((3,), 8), ((3, 4), MOST_PIECES), ((1, 7), 1 << 22)
_TIFF_KEPT = {
    **dict.fromkeys((256, 257, 259, 262, 266, 277, 278, 284, 292, 293, 317, 322, 323, 332), _TIFF_NUMBER),
    **dict.fromkeys((258, 338, 339, 530), _TIFF_FEW),
    **dict.fromkeys((273, 279, 324, 325), _TIFF_PIECES),
    320: ((3,), 3 << 16),  # the palette
    **dict.fromkeys((347, 34675), _TIFF_BYTES),
}
_TIFF_WIDTHS = {1: 1, 3: 2, 4: 4, 7: 1}


# Each gives the bytes and the turn that the camera asked for. `pixels`: as many as the
# header says. ValueError for what is hostile.


def _as_it_is(data: bytes, pixels: int) -> tuple[bytes, int]:
    """There is nothing in it that Pillow would warn of."""
    return data, 1


def _bare_bmp(data: bytes, pixels: int) -> tuple[bytes, int]:
    """As it is, if it is not compressed: a run of zeros may stand for more memory than there is."""
    if data[14:18] != b"\x0c\x00\x00\x00" and data[30:34] not in (b"\0\0\0\0", b"\3\0\0\0", b"\6\0\0\0"):
        raise ValueError("compressed BMPs are not decoded here")
    return data, 1


def _bare_gif(data: bytes, pixels: int) -> tuple[bytes, int]:
    """The first frame, what says which of its colours is clear, and nothing else."""
    pieces = [data[: 13 + _gif_palette(data[10])]]
    kind, start = _GIF_END, 0
    for next_kind, at in _gif_blocks(data):
        if kind == _GIF_FRAME:
            return b"".join([*pieces, data[start:at], b";"]), 1
        if data[start + 1 : start + 3] == b"\xf9\x04":
            pieces[1:] = [data[start:at]]
        kind, start = next_kind, at
    raise ValueError("it holds no frame")


def _bare_jpeg(data: bytes, pixels: int) -> tuple[bytes, int]:
    """Without Exif, previews, notes and further pictures; with the colour profile and Adobe's transform."""
    pieces, turn = [data[:2]], 1
    for marker, start, end in _jpeg_segments(data):
        if marker == 0xE1 and turn == 1 and data[start + 4 : start + 10] == b"Exif\0\0":
            turn = _turn(data[start + 10 : end])
        keep = marker in (0xE0, 0xEE) or (marker == 0xE2 and data[start + 4 : start + 16] == b"ICC_PROFILE\0")
        if keep or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            pieces.append(data[start:end])
        if marker == 0xDA and pixels * data.count(b"\xff\xda", start) > MOST_SCANNED_PIXELS:  # at most so many
            if pixels * _scans(data, start) > MOST_SCANNED_PIXELS:
                raise ValueError("it has more scans than can be decoded in time")
    return b"".join(pieces), turn


def _scans(data: bytes, start: int) -> int:
    """How many scans a JPEG has from its first on, up to its end."""
    marker = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]", re.S)  # the others are data, or stand in it
    count, at = 0, start
    for _ in range(MOST_PIECES):
        found = marker.search(data, at)
        if found is None or found[0] == b"\xff\xd9":
            return count
        if found[0] < b"\xff\xc0":  # which decoders step over, to read on inside of it
            raise ValueError("it has markers that no picture needs")
        count += found[0] == b"\xff\xda"
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    return MOST_PIECES


def _bare_png(data: bytes, pixels: int) -> tuple[bytes, int]:
    """Without Exif, texts and the frames of an animation."""
    pieces, turn, at = [data[:8]], 1, 8
    wanted = {b"IHDR", b"PLTE", b"tRNS", b"iCCP"}  # once each; everything else but the pixels is left out
    for _ in range(MOST_PIECES):
        if at + 8 > len(data):
            return b"".join(pieces), turn
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : at + 8]
        if name == b"eXIf":
            turn = _turn(data[at + 8 : end - 4])
        elif name in wanted or name in (b"IDAT", b"IEND"):
            wanted.discard(name)
            pieces.append(data[at:end])
        at = end
    raise ValueError("it has more chunks than any picture needs")


def _bare_tiff(data: bytes, pixels: int) -> tuple[bytes, int]:
    """The first picture alone: its directory written anew, with what its pixels need."""
    order, entries = _tiff_entries(data)
    rows: dict[int, bytes] = {}
    taken = 0
    for tag, kind, count, raw in entries:
        if tag not in _TIFF_KEPT:
            continue
        kinds, most = _TIFF_KEPT[tag]
        size = _TIFF_WIDTHS.get(kind, 0) * count
        outside = size > 4 and struct.unpack(order + "I", raw)[0] + size > len(data)
        if tag in rows or kind not in kinds or not 0 < count <= most or outside:
            raise ValueError(f"its directory is damaged (tag {tag})")
        taken += size
        rows[tag] = struct.pack(order + "HHI4s", tag, kind, count, raw)
    numbers = _tiff_numbers(data)
    if taken > len(data) or not 1 <= numbers.get(277, 1) <= 4:
        raise ValueError("its directory is damaged")
    _check_coverage(numbers, {tag: count for tag, _, count, _ in reversed(entries)})
    if numbers.get(322, 0) * numbers.get(323, 0) > _FORMATS["image/tiff"].most_pixels:
        raise ValueError("its tiles are more than will be decoded here")
    directory = struct.pack(order + "H", len(rows)) + b"".join([rows[tag] for tag in sorted(rows)]) + bytes(4)
    at = len(data) + len(data) % 2
    head = data[:4] + struct.pack(order + "I", at)
    return head + data[8:] + bytes(len(data) % 2) + directory, numbers.get(274, 1)


def _check_coverage(numbers: dict[int, int], counts: dict[int, int]) -> None:
    """ValueError if a TIFF has fewer strips or tiles than its size needs: the rest would be black."""
    width, height = numbers[256], numbers[257]
    wide, high, tag = (numbers.get(322), numbers.get(323), 324) if 324 in counts else (width, numbers.get(278), 273)
    planes = numbers.get(277, 1) if numbers.get(284) == 2 else 1
    across = -(-width // (wide or width))
    down = -(-height // min(high or height, height))
    if counts.get(tag, 0) < across * down * planes:
        raise ValueError("it has fewer pixels than its header says")


def _turn(exif: bytes) -> int:
    """The orientation that Exif data asks for, 1 to 8. Source: Exif 2.32, tag 274."""
    try:
        return _tiff_numbers(exif[6:] if exif.startswith(b"Exif\0\0") else exif).get(274, 1)
    except struct.error:
        return 1


# The types


@dataclass(frozen=True)
class _Format:
    """A type: how its header is read, how Pillow reads and writes it, and what it can hold.

    size, bare: from its bytes. plugin, reader, writer: Pillow's module, its class, its name.
    most_pixels: that a header may announce (of TIFF and GIF Pillow warns, of its own accord,
    a little above 2**26). most_written, longest: pixels, and pixels of a side, that are written.
    """

    size: Callable[[bytes], tuple[int, int] | None]
    bare: Callable[[bytes, int], tuple[bytes, int]]
    plugin: str
    reader: str
    writer: str
    most_pixels: int = MOST_PIXELS
    most_written: int = 1 << 27
    longest: int = 65535
    alpha: bool = True
    lossy: bool = False
    profile: bool = True


_FORMATS = {
    "image/png": _Format(_png_size, _bare_png, "PngImagePlugin", "PngImageFile", "PNG", longest=2**31 - 1),
    "image/jpeg": _Format(
        _jpeg_size,
        _bare_jpeg,
        "JpegImagePlugin",
        "JpegImageFile",
        "JPEG",
        most_pixels=1 << 27,  # where it is shrunk it is decoded in part
        longest=65500,
        alpha=False,
        lossy=True,
    ),
    "image/webp": _Format(
        _webp_size,
        _as_it_is,
        "WebPImagePlugin",
        "WebPImageFile",
        "WEBP",
        most_written=1 << 24,  # the encoder takes 40 bytes for each
        longest=16383,
        lossy=True,
    ),
    "image/tiff": _Format(_tiff_size, _bare_tiff, "TiffImagePlugin", "TiffImageFile", "TIFF"),
    "image/gif": _Format(_gif_size, _bare_gif, "GifImagePlugin", "GifImageFile", "GIF", profile=False),
    "image/bmp": _Format(_bmp_size, _bare_bmp, "BmpImagePlugin", "BmpImageFile", "BMP", alpha=False, profile=False),
}

# What a picture is written as: the first of these that the target takes.
_PHOTO = ("image/jpeg", "image/webp", "image/png", "image/tiff", "image/bmp", "image/gif")
_LOSSLESS = ("image/png", "image/webp", "image/jpeg", "image/tiff", "image/bmp", "image/gif")
_SEE_THROUGH = ("image/png", "image/webp", "image/tiff", "image/gif", "image/jpeg", "image/bmp")

# Exif orientation -> Pillow's number of the transposition that undoes it (`Image.Transpose`).
_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
_BICUBIC = 3  # `Image.Resampling.BICUBIC`

# Decoding, with Pillow

QUALITIES = (85, 62, 40)  # tried in this order; worse is not worth its pixels, which are taken away instead
MOST_TRIES = 6  # of each search: for a quality, for a size
SMALLEST = 16  # pixels of the longer side below which no picture is shrunk to save bytes


def _made_to_fit(data: bytes, mime: str, misfit: str, limits: _Limits) -> Image:
    """A picture decoded and written anew, within its limits."""
    try:
        if not all(limit is None or limit > 0 for limit in (limits.side, limits.max_bytes)):
            raise ValueError("no picture is so small")
        if mime not in _FORMATS:
            raise ValueError(f"{mime} is not decoded here, send JPEG or PNG")
        if limits.types and not any(kind in _FORMATS for kind in limits.types):
            raise ValueError("none of those can be written here")
        width, height = _size(mime, data)
        decoded = _decoded_pixels(mime, width, height, limits.side)
        if decoded > MOST_PIXELS or width * height > _FORMATS[mime].most_pixels or max(width, height) > LONGEST:
            raise ValueError(f"{width} x {height} pixels are more than will be decoded here")
        _pillow("Image")
        return _written(_decoded(data, mime, width, height, limits.side), limits)
    except ImportError as exc:
        raise UnsupportedError(f"{misfit}; install Pillow to have it made to fit, or send less") from exc
    except Exception as exc:  # what Pillow raises at damaged bytes has no common name
        reason = " ".join(str(exc).split())[:200] or type(exc).__name__
        cause: BaseException | None = exc
        while cause is not None:
            cause.__traceback__ = None  # its frames hold the pixels
            cause = cause.__cause__ or cause.__context__
        raise UnsupportedError(f"{misfit}; it cannot be made to fit: {reason}") from exc


def _decoded_pixels(mime: str, width: int, height: int, side: int | None) -> int:
    """How many pixels are decoded: of a JPEG that is to be shrunk only a part."""
    if mime != "image/jpeg":
        return width * height
    wanted = _within(width, height, side)
    scale = min(width // wanted[0], height // wanted[1])
    return width * height // (8 if scale >= 8 else 4 if scale >= 4 else 2 if scale >= 2 else 1) ** 2


def _pillow(module: str) -> Any:
    """A module of Pillow; ImportError without it."""
    with loading:
        return import_module("PIL." + module)


@dataclass(frozen=True)
class _Picture:
    """Decoded pixels, upright, of mode L, LA, RGB or RGBA.

    mime, given: the type and the number of bytes that they came from. lossy: whether that
    type is. shrunk: whether there were more of them.
    """

    pixels: Any
    mime: str
    given: int
    lossy: bool
    shrunk: bool
    profile: bytes | None

    @property
    def see_through(self) -> bool:
        """Whether any pixel is not opaque."""
        return self.pixels.mode in ("LA", "RGBA")


def _decoded(data: bytes, mime: str, width: int, height: int, side: int | None) -> _Picture:
    """The pixels of a picture, upright and no larger than `side`."""
    row = _FORMATS[mime]
    bare, turn = row.bare(data, width * height)
    reader = getattr(_pillow(row.plugin), row.reader)
    wanted = _within(width, height, side)
    with reader(BytesIO(bare)) as found:
        if found.size != (width, height):
            raise ValueError("its header contradicts itself")
        if mime == "image/jpeg" and wanted != (width, height):
            found.draft(found.mode, wanted)  # decodes at a half, a quarter or an eighth if that is enough
        found.load()
        if mime == "image/webp":
            turn = _turn(found.info.get("exif") or b"")
        profile = found.info.get("icc_profile")
        depth = data[24] if mime == "image/png" else 8
        pixels, profile = _plain(found, profile if isinstance(profile, bytes) else None, wanted, depth)
    if turn in _TURNS:
        pixels = pixels.transpose(_TURNS[turn])
    lossy = row.lossy and not (mime == "image/webp" and _is_lossless_webp(data))
    return _Picture(pixels, mime, len(data), lossy, wanted != (width, height), profile)


def _within(width: int, height: int, side: int | None) -> tuple[int, int]:
    """The size of a picture whose longer side is at most `side`, proportions kept."""
    longest = max(width, height)
    if side is None or longest <= side:
        return width, height
    return max(1, round(width * side / longest)), max(1, round(height * side / longest))


def _plain(found: Any, profile: bytes | None, size: tuple[int, int], depth: int) -> tuple[Any, bytes | None]:
    """Pixels as L, LA, RGB or RGBA of a size, and the colour profile that goes with them.

    depth: how many bits a PNG has for a shade.
    """
    mode, pixels = found.mode, found
    if mode in ("1", "L") or mode.startswith(("I", "F")):
        pixels = _grey(found, depth)
    elif "transparency" in found.info or mode in ("PA", "RGBa"):
        pixels = found.convert("RGBA")
    elif mode in ("P", "RGBX", "YCbCr", "HSV"):
        pixels = found.convert("RGB")
    elif mode == "La":
        pixels = found.convert("LA")
    if pixels.size != size:
        pixels = pixels.resize(size, _BICUBIC, reducing_gap=2.0)
    if pixels.mode in ("CMYK", "LAB"):
        pixels, profile = _to_srgb(pixels, profile), None
    if pixels.mode in ("LA", "RGBA") and pixels.getchannel("A").getextrema() == (255, 255):
        pixels = pixels.convert(pixels.mode[:-1])
    if profile is not None and profile[16:20] != (b"GRAY" if pixels.mode in ("L", "LA") else b"RGB "):
        profile = None  # it speaks of other colours
    if pixels is found:
        pixels = found.copy()
    pixels.info = {}  # comments, resolutions and whatever else would be written along
    return pixels, profile


# Bits of a shade -> what Pillow multiplies it by, and not the one that a PNG calls see-through.
_SHADES = {1: 255, 2: 85, 4: 17}


def _grey(found: Any, depth: int) -> Any:
    """Pixels of shades alone, of any number of bits, as L; as LA if one shade is said to be see-through."""
    deep = found.mode.startswith(("I", "F"))
    pixels = _of_8_bits(found) if deep else found.convert("L")
    clear = found.info.get("transparency")
    if not isinstance(clear, int):
        return pixels
    if deep:
        alpha = found.convert("I").point([255 * (shade != clear) for shade in range(65536)], "L")
    else:
        clear = min(255, clear * _SHADES.get(depth, 1))  # of one bit some Pillows say 255 themselves
        alpha = pixels.point([255 * (shade != clear) for shade in range(256)])
    pixels = pixels.copy()
    pixels.putalpha(alpha)
    return pixels


def _of_8_bits(found: Any) -> Any:
    """Shades of 16 or 32 bits, or fractions. White is what 16 bits can say; of the others only the picture can tell."""
    if found.mode.startswith("I;16") or found.format == "PNG":  # which older Pillows read as 32 bits
        white = 65535.0
    else:
        high = found.getextrema()[1]
        white = next((float(limit) for limit in (1, 255, 65535) if high <= limit), float(high))
        if found.mode == "I" and white == 1.0:
            white = 255.0
    scale = 255.0 / white
    return found.convert("F").point(lambda value: value * scale + 0.5).convert("L")


def _to_srgb(pixels: Any, profile: bytes | None) -> Any:
    """Pixels of other colours as sRGB, by their profile if they have a good one."""
    try:
        cms = _pillow("ImageCms")
        if pixels.mode == "LAB":
            source = cms.createProfile("LAB")
        elif profile is not None and len(profile) < 1 << 22 and b"mpet" not in profile:  # of those some take minutes
            source = cms.ImageCmsProfile(BytesIO(profile))
        else:
            return pixels.convert("RGB")
        return cms.profileToProfile(pixels, source, cms.createProfile("sRGB"), outputMode="RGB")
    except Exception:  # no colour management in this Pillow, or no good profile
        return pixels.convert("RGB")


# Writing


def _written(picture: _Picture, limits: _Limits) -> Image:
    """A picture as one of the types that the target takes, of no more bytes than it takes."""
    kinds = [kind for kind in _order(picture) if not limits.types or kind in limits.types]
    kind, most = kinds[0], limits.max_bytes
    if picture.profile is not None and (not _FORMATS[kind].profile or len(picture.profile) * 8 > (most or 1 << 30)):
        picture = replace(picture, pixels=_without_profile(picture), profile=None)
    if most is None:
        return Image(_encoded(picture, kind, None if _keeps(kind, picture) else QUALITIES[0]), kind)
    known = picture.given
    if _keeps(kind, picture) and not _is_hopeless(picture, kind, most):
        whole = _encoded(picture, kind, None)
        if len(whole) <= most:
            return Image(whole, kind)
        known = len(whole)
    lossy = next((k for k in _PHOTO if k in kinds and _holds(k, picture)), "") if _keeps(kind, picture) else kind
    data = _with_loss(picture, lossy, most) if lossy else None
    if data is not None:
        return Image(data, lossy)
    if _keeps(kind, picture):
        data = _by_size(picture, kind, most, known, None)
        if data is not None:
            return Image(data, kind)
    raise ValueError(f"no picture of it fits into {most} bytes")


def _keeps(kind: str, picture: _Picture) -> bool:
    """Whether a picture is written as a type without loss."""
    return not _FORMATS[kind].lossy or (kind == "image/webp" and not picture.lossy)


def _holds(kind: str, picture: _Picture) -> bool:
    """Whether a type gets smaller with less quality, and keeps what is see-through."""
    return _FORMATS[kind].lossy and (_FORMATS[kind].alpha or not picture.see_through)


def _is_hopeless(picture: _Picture, kind: str, most: int) -> bool:
    """Whether it is known without a try that a picture without loss does not fit."""
    if kind == picture.mime and not picture.shrunk:
        return picture.given > 2 * most
    width, height = picture.pixels.size
    return bool(width * height > max(1 << 24, 64 * most))


def _with_loss(picture: _Picture, kind: str, most: int) -> bytes | None:
    """A picture within `most` bytes: less quality first, then fewer pixels; None if nothing helps."""
    width, height = picture.pixels.size
    if width * height > 64 * most:  # so few bytes for each that no quality is low enough
        side = int(max(width, height) * (64 * most / (width * height)) ** 0.5)
        picture = replace(picture, pixels=_resized(picture.pixels, side, _FORMATS[kind].most_written))
    first = _encoded(picture, kind, QUALITIES[0])
    if len(first) <= most and (picture.given <= most or _is_enough(first, most)):
        return first
    found = _by_quality(picture, kind, most, first)
    return found if found is not None else _by_size(picture, kind, most, len(first), QUALITIES[1])


def _is_enough(data: bytes, most: int) -> bool:
    """Whether a budget is used: half of it is promised, and a little more leaves room for rounding elsewhere."""
    return 8 * len(data) >= 5 * most


def _order(picture: _Picture) -> tuple[str, ...]:
    order = _SEE_THROUGH if picture.see_through else _PHOTO if picture.lossy else _LOSSLESS
    return (picture.mime, *order) if picture.mime == "image/webp" else order


def _without_profile(picture: _Picture) -> Any:
    """The pixels in sRGB, which needs no profile."""
    pixels = picture.pixels
    if not pixels.mode.startswith("RGB"):
        return pixels
    plain = _to_srgb(pixels.convert("RGB"), picture.profile)
    plain.info = {}  # the conversion leaves a profile there
    if pixels.mode == "RGBA":
        plain.putalpha(pixels.getchannel("A"))
    return plain


def _encoded(picture: _Picture, kind: str, quality: int | None, side: int | None = None) -> bytes:
    """A picture's bytes as a type, at most `side` pixels long; without a quality nothing is lost."""
    row = _FORMATS[kind]
    pixels = _resized(picture.pixels, row.longest if side is None else min(side, row.longest), row.most_written)
    if picture.see_through and not row.alpha:
        pixels = _on_white(pixels)
    elif kind == "image/webp" or (pixels.mode == "LA" and kind != "image/png"):
        pixels = pixels.convert("RGBA" if picture.see_through else "RGB")
    options: dict[str, Any] = {}
    if kind == "image/webp":
        # Its default effort takes twice the time for a few percent.
        options = {"quality": quality, "method": 2} if quality else {"lossless": True, "quality": 30, "method": 1}
    elif kind == "image/jpeg":
        options = {"quality": quality, "subsampling": 2 if picture.lossy and (quality or 0) < 93 else 0}
    if picture.profile is not None and (picture.profile[16:20] == b"GRAY") == (pixels.mode in ("L", "LA")):
        options["icc_profile"] = picture.profile
    _pillow(row.plugin)  # or Pillow would load all of its plugins to find this one
    out = BytesIO()
    pixels.save(out, row.writer, **options)
    return out.getvalue()


def _resized(pixels: Any, side: int, most: int) -> Any:
    """Pixels at most `side` long, and at most so many; the same if they are."""
    width, height = pixels.size
    if width * height > most:
        side = min(side, max(1, int(max(width, height) * (most / (width * height)) ** 0.5)))
    size = _within(width, height, side)
    return pixels if size == (width, height) else pixels.resize(size, _BICUBIC, reducing_gap=2.0)


def _on_white(pixels: Any) -> Any:
    """See-through pixels laid on white."""
    pil = _pillow("Image")
    ground = pil.new("RGBA", pixels.size, (255, 255, 255, 255))
    return pil.alpha_composite(ground, pixels.convert("RGBA")).convert("RGB" if pixels.mode == "RGBA" else "L")


def _by_quality(picture: _Picture, kind: str, most: int, first: bytes) -> bytes | None:
    """The picture within `most` bytes at the best quality that a few tries find; None if none is low enough."""
    found, quality, over = first, QUALITIES[0], 101
    for lower in QUALITIES[1:]:
        if len(found) <= most:
            break
        if len(found) > 4 * most:  # no quality takes away so much
            return None
        quality, over = lower, quality
        found = _encoded(picture, kind, quality)
    if len(found) > most:
        return None
    for _ in range(MOST_TRIES):
        if _is_enough(found, most) or over - quality < 2:
            break
        middle = (quality + over) // 2
        better = _encoded(picture, kind, middle)
        if len(better) <= most:
            found, quality = better, middle
        else:
            over = middle
    return found


def _by_size(picture: _Picture, kind: str, most: int, known: int, quality: int | None) -> bytes | None:
    """The picture with fewer pixels, within `most` bytes. known: its bytes at full size, about."""
    longest = max(picture.pixels.size)
    low, high = min(SMALLEST, longest) - 1, longest
    side, size, found = longest, max(known, 1), None
    power = 2.0  # bytes grow with the side to this power: with the area at first sight, then as was seen
    for _ in range(MOST_TRIES):
        guess = int(side * (0.8 * most / size) ** (1 / power))
        tried, took = side, size
        side = guess if low < guess < high else (low + high) // 2
        if not low < side < high:
            break
        data = _encoded(picture, kind, quality, side)
        size = len(data)
        if side != tried and size != took:
            power = min(4.0, max(0.7, log(size / took) / log(side / tried)))
        if size > most:
            high = side
            continue
        found, low = data, side
        if _is_enough(data, most):
            break
    return found

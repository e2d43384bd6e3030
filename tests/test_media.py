from __future__ import annotations

import random
import struct
import sys
import zlib

import pytest
from helpers import Lab, outcomes

from majordomo import media
from majordomo.errors import UnsupportedError
from majordomo.imagegen import ImageRequest
from majordomo.llm import Capabilities, Image, Request, Text, ToolResult, assistant, images_of, tool_result, user
from majordomo.media import ImageInfo, normalize


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, padding: int = 0) -> bytes:
    """A PNG of one grey, made larger without changing the picture by `padding` bytes of comment."""
    pixels = zlib.compress(bytes(1 + width) * height)
    note = chunk(b"tEXt", b"note\0" + b"x" * padding) if padding else b""
    return png_header(width, height) + note + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


# Headers alone: what says the size, and nothing that could be decoded


def png_header(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))


def gif_header(width: int, height: int, frame=None, extensions: bytes = b"", palette: bytes = b"") -> bytes:
    """frame: (left, top, width, height) of the first one; palette: of two colours."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80 if palette else 0, 0, 0) + palette + extensions
    return head + (b"," + struct.pack("<4HB", *frame, 0) if frame else b"") + b";"


def jpeg_header(width: int, height: int, frame: int = 0xC0, before: bytes = b"", fill: bytes = b"") -> bytes:
    """frame: the marker of the start of the frame; before: segments ahead of it; fill: padding of each marker."""
    size = struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\1\x11\0"
    table = fill + b"\xff\xdb" + struct.pack(">HB", 67, 0) + bytes(64)
    return b"\xff\xd8" + before + table + fill + b"\xff" + bytes([frame]) + size + b"\xff\xda\0\2"


def segment(marker: int, body: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


def webp_header(width: int, height: int, kind: bytes = b"VP8 ", moves: bool = False) -> bytes:
    if kind == b"VP8X":
        body = bytes([2 if moves else 0, 0, 0, 0])
        body += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    elif kind == b"VP8L":
        body = b"\x2f" + (width - 1 | height - 1 << 14).to_bytes(4, "little")
    else:
        body = b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width | 1 << 14, height)  # with a scale, which says nothing
    return b"RIFF" + struct.pack("<I", len(body) + 12) + b"WEBP" + kind + struct.pack("<I", len(body)) + body


def bmp_header(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHH", 54, 0, 0, 54, 40, width, height, 1, 24) + bytes(24)


def old_bmp_header(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIHHHH", 26, 0, 0, 26, 12, width, height, 1, 24)


def tiff_header(width: int, height: int, order: str = "<", kind: int = 3) -> bytes:
    """kind: 3 for numbers of 16 bits, 4 for 32."""

    def row(tag: int, value: int) -> bytes:
        return (
            struct.pack(order + "HHI", tag, kind, 1) + struct.pack(order + ("HH" if kind == 3 else "I"), value, 0)[:4]
        )

    def long(tag: int, value: int) -> bytes:
        return struct.pack(order + "HHII", tag, 4, 1, value)

    rows = [row(256, width), row(257, height)] if kind == 3 else [long(256, width), long(257, height)]
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(order + "IH", 8, len(rows)) + b"".join(rows) + bytes(4)


HEADERS = {
    "png": png_header,
    "gif": gif_header,
    "jpeg": jpeg_header,
    "webp": webp_header,
    "bmp": bmp_header,
    "tiff": lambda width, height: tiff_header(width, height, kind=4),
}

PNG = Image(png(8, 8))
OTHER = Image(png(9, 9))
GIF = Image(gif_header(8, 8))
JPEG = Image(jpeg_header(8, 8))
HEIC = Image(b"\0\0\0\x18ftypheic" + bytes(20))
LOOP = b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
FRAME = b"," + struct.pack("<4HB", 0, 0, 8, 8, 0) + b"\2\1x\0"
MOVING = Image(gif_header(8, 8)[:-1] + FRAME + b"!\xf9\4" + bytes(5) + FRAME + b";")
STILL = Image(gif_header(8, 8, None, LOOP)[:-1] + FRAME + b";")
NO_PICTURE = Image(b"hello", "image/png")


@pytest.fixture
def no_pillow(monkeypatch):
    """As on a machine where Pillow is not installed."""
    for name in ("PIL", "PIL.Image"):
        monkeypatch.setitem(sys.modules, name, None)


# What fits stays


@pytest.mark.parametrize(
    ("messages", "capabilities"),
    [
        ([user("hi")], {"max_images_per_request": 0}),
        ([user("hi")], {"max_image_bytes": 0, "allowed_image_mime": ("image/x",)}),
        ([user("hi", PNG)], {}),
        ([user(PNG, PNG)], {"max_images_per_request": 2}),
        ([user(PNG)], {"max_image_bytes": len(PNG.data)}),
        ([user(PNG)], {"max_image_dimension": 8}),
        ([user(PNG, PNG)], {"max_total_image_bytes": 2 * len(PNG.data)}),
        ([user(PNG, PNG)], {"many_images": 2, "many_image_dimension": 4}),
        ([user(*[PNG] * 9)], {"many_images": 2}),
        ([user(*[PNG] * 9)], {"many_image_dimension": 4}),
        ([user(PNG)], {"allowed_image_mime": ("image/gif", "image/png")}),
        ([user("a"), assistant("b"), tool_result("1", PNG)], {"max_images_per_request": 1}),
        ([user(HEIC)], {"allowed_image_mime": ("image/heic",)}),
        ([user(MOVING, GIF)], {}),
        ([user(MOVING, GIF)], {"animated_images": True}),
        ([user(GIF, PNG, STILL)], {"animated_images": False}),
    ],
)
def test_what_fits_stays(no_pillow, messages, capabilities):
    """A request that the target takes as it is comes back as the same object, and Pillow is not needed."""
    request = Request(messages)
    assert normalize(request, Capabilities(**capabilities)) is request


def test_pillow_is_not_imported_for_what_fits(monkeypatch):
    """Pictures that fit are sent without a look for Pillow, measured and mended as they may be."""
    for name in ("PIL", "PIL.Image"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    limits = Capabilities(max_image_dimension=100, max_image_bytes=10_000, allowed_image_mime=("image/png",))
    normalize(Request([user(PNG, Image(OTHER.data, "image/gif"))]), limits)
    media.info(PNG)
    assert not {"PIL", "PIL.Image"} & sys.modules.keys()


# The type is that of the bytes


@pytest.mark.parametrize(
    "declared", ["image/png", "image/jpg", "image/pjpeg", "application/octet-stream", "IMAGE/JPEG", " image/jpeg", "?"]
)
@pytest.mark.parametrize("capabilities", [{}, {"allowed_image_mime": ("image/jpeg",)}, {"max_image_dimension": 8}])
def test_the_type_is_that_of_the_bytes(no_pillow, declared, capabilities):
    """A wrong type is mended without a new encoding, the bytes and the caller's objects stay."""
    wrong = Image(JPEG.data, declared)
    request = Request([user("look", wrong), tool_result("1", "seen", wrong)], system="s")
    fitted = normalize(request, Capabilities(**capabilities))
    assert fitted == Request([user("look", JPEG), tool_result("1", "seen", JPEG)], system="s")
    assert [image.data is JPEG.data for _, _, image in images_of(fitted.messages)] == [True, True]
    assert [image.mime for _, _, image in images_of(request.messages)] == [declared, declared]


# What changes is copied


def test_what_needs_no_mending_is_shared():
    """Messages and parts without a wrong picture are the same objects as before."""
    parts = (Text("a", "sig"), Image(JPEG.data, "image/png"), PNG)
    request = Request([user("a", PNG), user(*parts), assistant("b"), tool_result("1", PNG)])
    fitted = normalize(request, Capabilities())
    assert [new is old for new, old in zip(fitted.messages, request.messages)] == [True, False, True, True]
    assert [new is old for new, old in zip(fitted.messages[1].parts, parts)] == [True, False, True]


def test_the_caller_keeps_what_he_gave():
    """A request stays as it was, whatever is done to the copy that is sent."""
    request = Request([user(PNG, Image(JPEG.data, "?")), tool_result("1", PNG, PNG)], system="s", tools=(), seed=1)
    twin, parts = Request.from_dict(request.to_dict()), [message.parts for message in request.messages]
    fitted = normalize(request, Capabilities(max_images_per_request=1))
    assert request == twin
    assert all(message.parts is old for message, old in zip(request.messages, parts))
    assert (fitted.system, fitted.seed) == ("s", 1)


def test_origins_stay():
    """Who gave a message is still known when a picture in it was mended."""
    message = assistant("a", Image(JPEG.data, "image/png"))
    message.__dict__["origin"] = "box/m"
    assert normalize(Request([message]), Capabilities()).messages[0].origin == "box/m"


def test_parts_keep_their_order():
    """Mending a picture moves nothing."""
    wrong = Image(JPEG.data, "image/png")
    parts = (Text("a", "sig"), ToolResult("1", ("b", wrong, "c"), True), Text("d"))
    fitted = normalize(Request([user(*parts)]), Capabilities()).messages[0]
    assert fitted.parts == (Text("a", "sig"), ToolResult("1", ("b", JPEG, "c"), True), Text("d"))


# Too many pictures


@pytest.mark.parametrize(
    ("most", "messages", "sent"),
    [
        (1, [user(PNG, OTHER)], [["note", OTHER]]),
        (2, [user(PNG, "a", OTHER, GIF)], [["note", "a", OTHER, GIF]]),
        (1, [user("a", PNG), assistant("b"), user(OTHER, "c")], [["a", "note"], ["b"], [OTHER, "c"]]),
        (1, [tool_result("1", "a", PNG), tool_result("2", OTHER)], [["a", "note"], [OTHER]]),
        (1, [user(PNG), tool_result("1", PNG, "a", OTHER)], [["note"], ["note", "a", OTHER]]),
        (1, [user(PNG, PNG, PNG)], [["note", "note", PNG]]),
        (2, [user(NO_PICTURE), assistant(PNG), user(PNG)], [["note"], [PNG], [PNG]]),
    ],
)
def test_the_oldest_are_left_out(no_pillow, most, messages, sent):
    """Above the limit the newest pictures stay where they are, and a line of text stands for each older one."""
    fitted = normalize(Request(messages), Capabilities(max_images_per_request=most))
    parts = [message.parts for message in fitted.messages]
    parts = [whole[0].parts if isinstance(whole[0], ToolResult) else whole for whole in parts]
    shown = [[part.text if isinstance(part, Text) else part for part in row] for row in parts]
    note = f"[An earlier image was left out: this model takes {most} at most.]"
    assert shown == [[note if part == "note" else part for part in row] for row in sent]


def test_only_what_is_sent_counts(no_pillow):
    """Limits by number and of all bytes are kept by the pictures that are left."""
    limits = {"many_images": 2, "many_image_dimension": 4, "max_total_image_bytes": 2 * len(PNG.data)}
    fitted = normalize(Request([user(*[PNG] * 5)]), Capabilities(max_images_per_request=2, **limits))
    assert len(images_of(fitted.messages)) == 2


# What does not fit, where nothing can be done about it


@pytest.mark.parametrize(
    ("messages", "capabilities", "says"),
    [
        ([user("a"), user("b", PNG)], {"max_images_per_request": 0}, "message 1, part 1.*no images"),
        ([tool_result("1", PNG)], {"max_images_per_request": 0}, "message 0, part 0.*no images"),
        ([user("a", NO_PICTURE)], {}, "message 0, part 1.*no picture"),
        ([user(Image(b"", "image/png"))], {}, "message 0, part 0.*no picture"),
        ([user(Image(b"<svg/>", "image/svg+xml"))], {}, "message 0, part 0.*no picture"),
        ([user("a"), tool_result("1", Image(b"x", "image/png"))], {}, "message 1, part 0.*no picture"),
        ([user("a"), user(PNG), user(PNG, NO_PICTURE)], {"max_images_per_request": 2}, "message 2, part 1"),
        ([user(Image(PNG.data[:20]))], {"max_image_dimension": 8}, "message 0, part 0.*image/png"),
        ([user(HEIC)], {"max_image_dimension": 8}, "message 0, part 0.*image/heic"),
        ([user(HEIC)], {"allowed_image_mime": ("image/png",)}, "message 0, part 0.*image/png.*image/heic"),
        ([user(HEIC)], {"max_image_bytes": 10}, f"message 0, part 0.*{len(HEIC.data)} bytes.* 10 .*image/heic"),
        ([user(PNG)], {"allowed_image_mime": ("image/x", "image/heic")}, "part 0.*image/x, image/heic.*image/png"),
        ([user(PNG)], {"max_image_bytes": 0}, f"message 0, part 0.*{len(PNG.data)} bytes.* 0 "),
        ([user(PNG)], {"max_image_dimension": 0}, "message 0, part 0.*8 x 8 pixels.* 0 "),
        ([user(PNG)], {"max_total_image_bytes": 0}, f"message 0, part 0.*{len(PNG.data)} bytes.* 0 "),
    ],
)
def test_what_cannot_be_made_to_fit(no_pillow, messages, capabilities, says):
    """What no picture can be made of is refused with place, limit and size, and Pillow is not asked for."""
    with pytest.raises(UnsupportedError, match=says) as caught:
        normalize(Request(messages), Capabilities(**capabilities))
    assert "Pillow" not in str(caught.value)


@pytest.mark.parametrize(
    ("messages", "capabilities", "says"),
    [
        ([user(GIF)], {"allowed_image_mime": ("image/png", "image/jpeg")}, "part 0.*image/png, image/jpeg.*image/gif"),
        ([user(Image(GIF.data, "image/png"))], {"allowed_image_mime": ("image/png",)}, "message 0, part 0.*image/gif"),
        ([user("a", Image(png(8, 8, 500)))], {"max_image_bytes": 300}, f"part 1.*{len(png(8, 8, 500))}.* 300"),
        ([user("a", Image(png(2049, 8)))], {"max_image_dimension": 2048}, "message 0, part 1.*2049.*2048"),
        ([user(Image(png(8, 2049)))], {"max_image_dimension": 2048}, "message 0, part 0.*2049.*2048"),
        ([user(*[PNG] * 3)], {"max_total_image_bytes": 2 * len(PNG.data)}, f"{3 * len(PNG.data)}.*{2 * len(PNG.data)}"),
        ([user(*[PNG] * 3)], {"many_images": 2, "many_image_dimension": 4}, "message 0, part 0.*8.*4"),
        ([user(*[OTHER] * 3)], {"many_images": 2, "many_image_dimension": 8, "max_image_dimension": 4}, "9.* 4 "),
        ([user(PNG, MOVING)], {"animated_images": False}, "message 0, part 1.*animated image/gif"),
        ([user(Image(webp_header(8, 8, b"VP8X", True)))], {"animated_images": False}, "animated image/webp"),
    ],
)
def test_without_pillow(no_pillow, messages, capabilities, says):
    """Without Pillow, what would have to be made anew is refused with place, limit, size and what would help."""
    with pytest.raises(UnsupportedError, match=says) as caught:
        normalize(Request(messages), Capabilities(**capabilities))
    assert "install Pillow" in str(caught.value)
    assert isinstance(caught.value.__cause__, ImportError)


@pytest.mark.parametrize("size", [(30_000, 30_000), (65_000, 65_000), (65_535, 8_000)], ids=str)
@pytest.mark.parametrize("kind", [kind for kind in HEADERS if kind != "webp"])
def test_absurd_sizes(no_pillow, kind, size):
    """A picture that announces 30000 x 30000 is refused by its header, for any reason that it does not fit."""
    request = Request([user(Image(HEADERS[kind](*size)))])
    for limits in ({"max_image_dimension": 2048}, {"max_image_bytes": 10}, {"allowed_image_mime": ("image/webp",)}):
        with pytest.raises(UnsupportedError, match=f"message 0, part 0.*{size[0]} x {size[1]} pixels.*decoded"):
            normalize(request, Capabilities(**limits))


# Sizes are read from the header

EXIF = segment(0xE1, b"Exif\0\0II*\0" + jpeg_header(160, 120))  # with a preview
SIZES = {
    **{kind: (make(300, 7), (300, 7)) for kind, make in HEADERS.items()},
    "png of pixels": (png(3, 7), (3, 7)),
    "png, huge": (png_header(2**31 - 1, 1), (2**31 - 1, 1)),
    "gif87a": (gif_header(300, 7).replace(b"9", b"7"), (300, 7)),
    "gif, frame larger than the screen": (gif_header(1, 1, (10, 20, 300, 7), LOOP), (310, 27)),
    "gif, frame smaller than the screen": (gif_header(300, 7, (1, 1, 2, 2), b"!\xfe\x03abc\x00" + LOOP), (300, 7)),
    "gif with palette": (gif_header(1, 1, (0, 0, 300, 7), b"", b",,,,,,"), (300, 7)),
    **{f"jpeg, frame {n:X}": (jpeg_header(300, 7, n), (300, 7)) for n in (0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC9, 0xCF)},
    "jpeg with jfif": (jpeg_header(300, 7, before=segment(0xE0, b"JFIF\0" + bytes(9))), (300, 7)),
    "jpeg with a preview": (jpeg_header(300, 7, before=EXIF), (300, 7)),
    "jpeg with tables first": (jpeg_header(300, 7, before=segment(0xC4, bytes(20)) + segment(0xCC, b"ab")), (300, 7)),
    "jpeg with fill bytes": (jpeg_header(300, 7, before=EXIF, fill=b"\xff\xff\xff"), (300, 7)),
    "jpeg with an empty comment": (jpeg_header(300, 7, 0xC2, before=segment(0xFE, b"")), (300, 7)),
    "jpeg, as large as can be": (jpeg_header(65_535, 65_535), (65_535, 65_535)),
    "webp, lossless": (webp_header(300, 7, b"VP8L"), (300, 7)),
    "webp, lossless, large": (webp_header(16_384, 16_383, b"VP8L"), (16_384, 16_383)),
    "webp, extended": (webp_header(300, 7, b"VP8X"), (300, 7)),
    "webp, extended, large": (webp_header(1 << 24, 1 << 24, b"VP8X", True), (1 << 24, 1 << 24)),
    "bmp, first row on top": (bmp_header(300, -7), (300, 7)),
    "bmp of os/2": (old_bmp_header(300, 7), (300, 7)),
    "tiff, 16 bits, little": (tiff_header(300, 7), (300, 7)),
    "tiff, 16 bits, big": (tiff_header(300, 7, ">"), (300, 7)),
    "tiff, 32 bits, big": (tiff_header(300, 7, ">", 4), (300, 7)),
}


@pytest.mark.parametrize("name", SIZES)
def test_info(no_pillow, name):
    """A picture's format and size are read from its header, as they are stored there."""
    data, (width, height) = SIZES[name]
    kind = Image(data).mime.partition("/")[2]
    assert media.info(Image(data, "image/x")) == ImageInfo(kind, width, height)


@pytest.mark.parametrize("name", SIZES)
def test_info_of_a_cut_header(name):
    """A header that is cut says its size or is refused, wherever the cut is; a wrong size is never told."""
    data, size = SIZES[name]
    screen = (1, 1)  # of the GIFs here whose first frame is larger, which comes later
    for end in range(len(data)):
        try:
            found = media.info(Image(data[:end], "image/png"))
        except UnsupportedError:
            continue
        assert (found.width, found.height) in ((size, screen) if name.startswith("gif") else (size,))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no picture"),
        (b"hello", "no picture"),
        (HEIC.data, "image/heic.*not read"),
        (b"\0\0\0\x18ftypavif" + bytes(20), "image/avif.*not read"),
        (png_header(0, 7), "says no size"),
        (png_header(7, 0), "says no size"),
        (PNG.data.replace(b"IHDR", b"CgBI"), "says no size"),
        (jpeg_header(7, 0), "says no size"),
        (b"\xff\xd8\xff\xda\0\2" + jpeg_header(8, 8), "says no size"),
        (gif_header(0, 0), "says no size"),
        (webp_header(8, 8).replace(b"VP8 ", b"ICCP"), "says no size"),
        (bmp_header(-8, 8), "says no size"),
        (b"II*\0" + b"\xff" * 8, "says no size"),
        (b"MM\0*\0\0\0\x08\0\0", "says no size"),
        (tiff_header(8, 8).replace(b"\x01\x01\x03", b"\x02\x01\x03"), "says no size"),
    ],
)
def test_no_info(data, says):
    """What says no size, or in a format that is not read here, is refused."""
    with pytest.raises(UnsupportedError, match=says):
        media.info(Image(data, "image/png"))


def test_whatever_the_bytes(no_pillow):
    """Of mangled headers nothing comes but an answer or an UnsupportedError."""
    dice = random.Random(27)
    limits = [
        Capabilities(),
        Capabilities(max_image_dimension=100, animated_images=False),
        Capabilities(max_image_bytes=30, allowed_image_mime=("image/png", "image/gif")),
    ]
    for data, _ in SIZES.values():
        for _ in range(50):
            mangled = bytearray(data[: dice.randrange(4, len(data) + 1)] + bytes(dice.randrange(20)))
            for _ in range(dice.randrange(1, 6)):
                mangled[dice.randrange(3, len(mangled))] = dice.choice([0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)])
            image = Image(bytes(mangled), "image/png")
            for work in (media.info, *[lambda i, c=c: normalize(Request([user(i)]), c) for c in limits]):
                try:
                    work(image)
                except UnsupportedError:
                    pass


ENDLESS = {
    "jpeg of fill bytes": b"\xff\xd8" + b"\xff" * 3_000_000,
    "jpeg of nothing": b"\xff\xd8\xff" + bytes(3_000_000),
    "jpeg of restarts": b"\xff\xd8" + b"\xff\xd0" * 1_500_000,
    "jpeg of empty segments": b"\xff\xd8" + b"\xff\xfe\0\2" * 750_000,
    "gif of small blocks": gif_header(0, 0)[:-1] + b"!\xfe" + b"\1x" * 1_500_000,
    "gif of empty extensions": gif_header(0, 0)[:-1] + b"!\xfe\0" * 1_000_000,
    "tiff of tags": tiff_header(8, 8)[:8] + b"\xff\xff" + bytes(1_000_000),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_headers(no_pillow, name):
    """A header that never comes to the size is given up."""
    image = Image(ENDLESS[name])
    with pytest.raises(UnsupportedError, match="says no size|more blocks"):
        media.info(image)
    for limits in ({"max_image_dimension": 8}, {"max_image_bytes": 8}):
        with pytest.raises(UnsupportedError, match="message 0, part 0"):
            normalize(Request([user(image)]), Capabilities(**limits))


# What is told of it


def test_changes_are_told():
    """What was done to a request can be read from the two requests."""
    wrong = Image(JPEG.data, "image/png")
    request = Request([user(PNG), user("a", PNG, wrong), tool_result("1", "b", wrong)])
    fitted = normalize(request, Capabilities(max_images_per_request=3))
    places = ("message 1, part 2", "message 2, part 0")
    told = media.changes(request, fitted)
    sent = f"sent as image/jpeg of 8 x 8 pixels and {len(JPEG.data)} bytes, was image/png of 8 x 8 pixels"
    assert told[0] == "images: the oldest 1 left out, for the target takes 3"
    assert [line.startswith(f"images: {place} {sent}") for line, place in zip(told[1:], places)] == [True, True]


def test_nothing_is_told_of_nothing():
    """Of a request that fits there is nothing to tell."""
    request = Request([user(PNG)])
    assert media.changes(request, normalize(request, Capabilities())) == ()


def test_a_chain_tells_and_fits_each_anew(no_pillow):
    """Each target gets as many pictures as it takes, from the caller's request, and the answer tells of its own."""
    few, many, blind = (Capabilities(max_images_per_request=n) for n in (1, 2, 0))
    lab = Lab(
        {
            "blind": ("never asked", {"capabilities": blind}),
            "few": (UnsupportedError("not today"), {"capabilities": few}),
            "many": ("hi", {"capabilities": many}),
        }
    )
    request = Request([user(PNG), user(PNG, OTHER)])
    response = lab.chain.generate(request)
    assert outcomes(response.attempts)[0] == ("blind", "skipped", "unsupported")
    asked = {name: lab.targets[name].requests for name in lab.targets}
    assert [len(images_of(asked[name][0].messages)) for name in ("few", "many")] == [1, 2]
    assert asked["blind"] == []
    assert [image for _, _, image in images_of(asked["many"][0].messages)] == [PNG, OTHER]
    assert response.warnings == ("images: the oldest 1 left out, for the target takes 2",)


@pytest.mark.parametrize("stream", [False, True])
def test_a_chain_says_nothing_of_what_fits(stream):
    """Pictures that fit are handed on as the caller's own request, without a word."""
    lab = Lab({"a": "hi"})
    request = Request([user(PNG)])
    if stream:
        with lab.chain.stream(request) as events:
            list(events)
        response = events.response
    else:
        response = lab.chain.generate(request)
    assert lab.targets["a"].requests == [request]
    assert lab.targets["a"].requests[0].messages is request.messages
    assert response.warnings == ()


# Pictures to edit


def test_originals_that_fit():
    """Pictures to edit that fit leave the request as it is."""
    request = ImageRequest("a cat", images=(PNG, OTHER))
    assert media.fit_originals(request, Capabilities(max_images_per_request=2)) == (request, ())
    assert media.fit_originals(request, Capabilities(max_images_per_request=2))[0] is request


def test_originals_are_mended():
    """What is done to a picture to edit is told by its number."""
    request = ImageRequest("a cat", images=(PNG, Image(JPEG.data, "image/jpg")))
    fitted, told = media.fit_originals(request, Capabilities())
    assert fitted.images == (PNG, JPEG)
    assert fitted.images[0] is PNG
    assert len(told) == 1
    assert told[0].startswith("images: image 1 sent as image/jpeg of 8 x 8 pixels")
    assert request.images[1].mime == "image/jpg"


@pytest.mark.parametrize(
    ("images", "capabilities", "says"),
    [
        ((PNG, PNG, PNG), {"max_images_per_request": 2}, "3 pictures.* 2"),
        ((PNG,), {"max_images_per_request": 0}, "1 pictures.* none"),
        ((PNG, NO_PICTURE), {}, "image 1.*no picture"),
    ],
)
def test_originals_that_do_not_fit(images, capabilities, says):
    """None of the pictures to edit is left out: too many are refused, as is what is none."""
    with pytest.raises(UnsupportedError, match=says):
        media.fit_originals(ImageRequest("a cat", images=images), Capabilities(**capabilities))

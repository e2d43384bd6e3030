from __future__ import annotations

import struct
import sys
import zlib

import pytest

from majordomo import media
from majordomo.errors import UnsupportedError
from majordomo.llm import Capabilities, Image, Request, Text, ToolResult, assistant, tool_result, user
from majordomo.media import normalize


def png(width: int, height: int, padding: int = 0) -> bytes:
    """A PNG of one grey, made larger without changing the picture by `padding` bytes of comment."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    pixels = zlib.compress(bytes(1 + width) * height)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    note = chunk(b"tEXt", b"note\0" + b"x" * padding) if padding else b""
    return b"\x89PNG\r\n\x1a\n" + head + note + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


PNG = Image(png(8, 8))
GIF = Image(b"GIF89a\x08\x00\x08\x00\x00\x00\x00;")
JPEG = Image(b"\xff\xd8\xff\xe0" + bytes(20))


@pytest.fixture
def no_pillow(monkeypatch):
    """As on a machine where Pillow is not installed."""
    monkeypatch.setitem(sys.modules, "PIL", None)


@pytest.mark.parametrize(
    ("messages", "capabilities"),
    [
        ([user("hi")], Capabilities(max_images_per_request=0)),
        ([user("hi", PNG)], Capabilities()),
        ([user(PNG, PNG)], Capabilities(max_images_per_request=2)),
        ([user(PNG)], Capabilities(max_image_bytes=len(PNG.data))),
        ([user(PNG)], Capabilities(max_image_dimension=8)),
        ([user(PNG, PNG)], Capabilities(max_total_image_bytes=2 * len(PNG.data))),
        ([user(PNG, PNG)], Capabilities(many_images=2, many_image_dimension=4)),
        ([user(PNG)], Capabilities(allowed_image_mime=("image/gif", "image/png"))),
        ([user("a"), assistant("b"), tool_result("1", PNG)], Capabilities(max_images_per_request=1)),
    ],
)
def test_what_fits_stays(messages, capabilities):
    """A request that the target takes as it is comes back as the same object."""
    request = Request(messages)
    assert normalize(request, capabilities) is request


@pytest.mark.parametrize("declared", ["image/png", "image/jpg", "application/octet-stream", "IMAGE/JPEG"])
def test_the_type_is_that_of_the_bytes(declared):
    """A wrong type is mended, the bytes and the caller's objects stay."""
    wrong = Image(JPEG.data, declared)
    request = Request([user("look", wrong), tool_result("1", "seen", wrong)], system="s")
    fitted = normalize(request, Capabilities())
    assert fitted == Request([user("look", JPEG), tool_result("1", "seen", JPEG)], system="s")
    assert fitted.messages[0].parts[1].data is wrong.data
    assert request.messages[0].parts[1].mime == declared


def test_what_needs_no_mending_is_shared():
    """Messages without a wrong picture are the same objects as before."""
    request = Request([user("a", PNG), user(Image(JPEG.data, "image/png")), assistant("b")])
    fitted = normalize(request, Capabilities())
    assert [new is old for new, old in zip(fitted.messages, request.messages)] == [True, False, True]


def test_origins_stay():
    """Who gave a message is still known when a picture in it was mended."""
    message = assistant("a", Image(JPEG.data, "image/png"))
    message.__dict__["origin"] = "box/m"
    assert normalize(Request([message]), Capabilities()).messages[0].origin == "box/m"


@pytest.mark.parametrize(
    ("messages", "capabilities", "says"),
    [
        ([user("a"), user("b", PNG)], {"max_images_per_request": 0}, "message 1, part 1.*no images"),
        ([tool_result("1", PNG)], {"max_images_per_request": 0}, "message 0, part 0.*no images"),
        ([user("a", Image(b"hello", "image/png"))], {}, "message 0, part 1.*no picture"),
        ([user(Image(b"", "image/png"))], {}, "message 0, part 0.*no picture"),
        ([user("a"), tool_result("1", Image(b"x", "image/png"))], {}, "message 1, part 0.*no picture"),
        ([user(GIF)], {"allowed_image_mime": ("image/png", "image/jpeg")}, "message 0, part 0.*image/png.*image/gif"),
        ([user(Image(GIF.data, "image/png"))], {"allowed_image_mime": ("image/png",)}, "message 0, part 0.*image/gif"),
        ([user("a", Image(png(8, 8, 500)))], {"max_image_bytes": 300}, "message 0, part 1.* 300"),
        ([user("a", Image(png(2049, 8)))], {"max_image_dimension": 2048}, "message 0, part 1.*2049.*2048"),
        ([user(Image(png(8, 2049)))], {"max_image_dimension": 2048}, "message 0, part 0.*2049.*2048"),
        ([user(*[PNG] * 3)], {"max_total_image_bytes": 2 * len(PNG.data)}, f"{3 * len(PNG.data)}.*{2 * len(PNG.data)}"),
        ([user(*[PNG] * 3)], {"many_images": 2, "many_image_dimension": 4}, "message 0, part 0.*8.*4"),
    ],
)
def test_what_does_not_fit(no_pillow, messages, capabilities, says):
    """Without Pillow, what a target does not take is refused with place, limit and size."""
    with pytest.raises(UnsupportedError, match=says):
        normalize(Request(messages), Capabilities(**capabilities))


def test_pillow_is_not_imported_for_what_fits(monkeypatch):
    """Pictures that fit are sent without a look for Pillow."""
    monkeypatch.delitem(sys.modules, "PIL", raising=False)
    normalize(Request([user(PNG)]), Capabilities(max_image_dimension=100, max_image_bytes=10_000))
    assert "PIL" not in sys.modules


def test_parts_keep_their_order():
    """Mending a picture moves nothing."""
    wrong = Image(JPEG.data, "image/png")
    parts = (Text("a", "sig"), ToolResult("1", ("b", wrong, "c"), True), Text("d"))
    fitted = normalize(Request([user(*parts)]), Capabilities()).messages[0]
    assert fitted.parts == (Text("a", "sig"), ToolResult("1", ("b", JPEG, "c"), True), Text("d"))


def test_an_absurd_size_is_read_from_the_header():
    """A picture that announces 30000 x 30000 is refused without a look at its pixels."""
    header = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", 30_000, 30_000) + b"\x08\x06\x00\x00\x00"
    with pytest.raises(UnsupportedError, match="message 0, part 0.*30000.*2048"):
        normalize(Request([user(Image(header))]), Capabilities(max_image_dimension=2048))


@pytest.mark.parametrize(("image", "size"), [(Image(png(3, 7)), (3, 7)), (GIF, (8, 8))])
def test_info(image, size):
    """A picture's size is read from its header."""
    found = media.info(image)
    assert (found.width, found.height) == size

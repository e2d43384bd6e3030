from __future__ import annotations

import gc
import os
import random
import struct
import sys
import threading
import warnings
import weakref
import zlib
from io import BytesIO

import pytest

pytest.importorskip("PIL")

from helpers import Lab
from PIL import Image as Pillow
from PIL import ImageCms, ImageFile, PngImagePlugin

from majordomo import media
from majordomo.errors import UnsupportedError
from majordomo.imagegen import ImageRequest
from majordomo.llm import Capabilities, Image, Request, assistant, images_of, tool_result, user
from majordomo.media import normalize

TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp", "image/tiff")
RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


# Pictures


def saved(picture, kind: str, **options) -> bytes:
    out = BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def quarters(width: int, height: int):
    """Red and green above, blue and white below."""
    picture = Pillow.new("RGB", (width, height), RED)
    for colour, x, y in ((GREEN, 1, 0), (BLUE, 0, 1), (WHITE, 1, 1)):
        picture.paste(colour, (x * width // 2, y * height // 2, (x + 1) * width // 2, (y + 1) * height // 2))
    return picture


def noise(width: int, height: int, mode: str = "RGB", seed: int = 1):
    size = width * height * len(mode)
    return Pillow.frombytes(mode, (width, height), random.Random(seed).getrandbits(8 * size).to_bytes(size, "big"))


def photo(width: int, height: int):
    """What compresses about as well as a photograph: soft shapes and a little grain."""
    soft = noise(12, 8).resize((width, height), 3)
    return Pillow.blend(soft, noise(width, height), 0.06)


def raw_png(width: int, height: int, depth: int, colours: int, row: bytes, *chunks: tuple) -> bytes:
    """A PNG of equal rows. colours: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0))
    middle = b"".join([chunk(*each) for each in chunks]) + chunk(b"IDAT", zlib.compress((b"\0" + row) * height))
    return b"\x89PNG\r\n\x1a\n" + head + middle + chunk(b"IEND", b"")


def exif_of(orientation: int, note: str = "") -> bytes:
    """Exif data as a camera would write it, with a place in GPS if there is a note."""
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    if note:
        exif[0x010E] = exif[0x8298] = note
        exif[0x8825] = {1: "N", 2: (48.0, 51.0, 29.0), 27: note.encode()}
    return exif.tobytes()


def jpeg_segment(marker: int, body: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


# What goes out


def fitted(image, **capabilities) -> Image:
    """A picture as it goes out to a target."""
    image = image if isinstance(image, Image) else Image(image)
    return normalize(Request([user(image)]), Capabilities(**capabilities)).messages[0].parts[0]


def opened(image: Image):
    """A picture that went out, as its reader sees it; it is what it says, and nothing is left over."""
    picture = Pillow.open(BytesIO(image.data))
    picture.load()
    assert f"image/{picture.format.lower()}" == image.mime
    return picture


def near(found, wanted, tolerance: int) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(found, wanted))


def corners(picture):
    """The colours in the middle of the four quarters."""
    width, height = picture.size
    picture = picture.convert("RGB")
    return [picture.getpixel((x * width // 4, y * height // 4)) for y in (1, 3) for x in (1, 3)]


def upright(picture) -> bool:
    """Whether a picture that went out is that of `quarters`."""
    return all(near(found, wanted, 40) for found, wanted in zip(corners(picture), (RED, GREEN, BLUE, WHITE)))


@pytest.fixture
def encodings(monkeypatch):
    """The formats in which Pillow writes something, one by one."""
    written, save = [], Pillow.Image.save

    def counted(self, fp, format=None, **options):
        written.append(format)
        return save(self, fp, format, **options)

    monkeypatch.setattr(Pillow.Image, "save", counted)
    return written


# Too many pixels


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize(
    ("size", "most", "wanted"),
    [
        ((200, 100), 100, (100, 50)),
        ((100, 200), 100, (50, 100)),
        ((200, 200), 199, (199, 199)),
        ((300, 200), 97, (97, 65)),
        ((301, 7), 100, (100, 2)),
        ((301, 1), 100, (100, 1)),
        ((1, 301), 7, (1, 7)),
        ((40, 40), 1, (1, 1)),
    ],
)
def test_too_many_pixels(kind, size, most, wanted):
    """A picture too large is made as large as the target takes, in its proportions, a pixel wide at least."""
    found = opened(fitted(saved(quarters(*size), kind), max_image_dimension=most))
    assert found.size == wanted
    assert min(wanted) < 8 or upright(found)


@pytest.mark.parametrize("mime", TYPES)
def test_never_enlarged(mime):
    """A picture that is written anew for another reason keeps its size."""
    kind = "PNG" if mime != "image/png" else "BMP"
    found = opened(fitted(saved(quarters(60, 40), kind), max_image_dimension=1000, allowed_image_mime=(mime,)))
    assert found.size == (60, 40)
    assert upright(found)


@pytest.mark.parametrize("seventh", [False, True])
def test_limits_by_number(seventh):
    """Above `many_images` pictures another limit holds, for all of them, wherever they stand."""
    large, small = Image(saved(quarters(80, 40), "PNG")), Image(saved(quarters(20, 10), "PNG"))
    messages = [user(large, small), tool_result("1", large), assistant("a"), user(small, large, small)]
    request = Request([*messages, user(*[small] * seventh)])
    found = normalize(request, Capabilities(many_images=6, many_image_dimension=30, max_image_dimension=60))
    sides = [max(opened(image).size) for _, _, image in images_of(found.messages)]
    side = 30 if seventh else 60
    assert sides == [side, 20, side, 20, side, 20] + [20] * seventh
    assert found.messages[2] is request.messages[2]
    assert found.messages[3].parts[0] is small


# Types that are not taken


@pytest.mark.parametrize("source", TYPES)
@pytest.mark.parametrize("target", TYPES)
def test_from_any_type_into_any(source, target):
    """A type that the target does not take is written as one that it takes; one that it takes stays."""
    data = saved(quarters(60, 40), source.partition("/")[2].upper())
    image = fitted(data, allowed_image_mime=("image/x-unheard-of", target))
    assert image.mime == target
    assert (image.data == data) == (source == target)
    assert upright(opened(image))


@pytest.mark.parametrize(
    ("source", "taken", "mime"),
    [
        (saved(quarters(60, 40), "BMP"), ("image/jpeg", "image/png"), "image/png"),
        (saved(quarters(60, 40), "BMP"), ("image/jpeg", "image/gif"), "image/jpeg"),
        (saved(noise(30, 20), "WEBP"), ("image/png", "image/jpeg"), "image/jpeg"),
        (saved(noise(30, 20, "RGBA"), "WEBP"), ("image/jpeg", "image/png"), "image/png"),
        (saved(noise(30, 20, "RGBA"), "TIFF"), ("image/jpeg", "image/gif", "image/webp"), "image/webp"),
        (saved(noise(30, 20, "RGBA"), "PNG"), ("image/gif", "image/jpeg"), "image/gif"),
    ],
)
def test_the_type_suits_the_picture(source, taken, mime):
    """Of the types that are taken a drawing gets one without loss, a photo a lossy one, glass one with alpha."""
    assert fitted(source, allowed_image_mime=taken).mime == mime


def test_a_wrong_label_does_not_hide_a_wrong_type():
    """A GIF that is called a PNG is written anew for a target without GIF."""
    image = Image(saved(quarters(60, 40), "GIF"), "image/png")
    assert upright(opened(fitted(image, allowed_image_mime=("image/png",))))


# Colours

HALF = (200, 40, 40, 128)
PALETTE = (b"PLTE", bytes([255, 0, 0, 0, 255, 0]))


def adobe_rgb() -> bytes:
    """A JPEG whose three components are red, green and blue, of which only Adobe's note speaks."""
    data = saved(Pillow.merge("YCbCr", halves("RGB", RED, GREEN).split()), "JPEG", subsampling=0, quality=95)
    end = 4 + int.from_bytes(data[4:6], "big")  # of JFIF's note, which would contradict
    return data[:2] + jpeg_segment(0xEE, b"Adobe\0\x64\0\0\0\0\0") + data[end:]


def halves(mode: str, left, right):
    picture = Pillow.new(mode, (40, 20), left)
    picture.paste(right, (20, 0, 40, 20))
    return picture


def words(*values: int) -> bytes:
    return b"".join([struct.pack(">H", value) for value in values])


# name -> (picture, the colour on its left, that on its right)
COLOURS = {
    "1 bit": (raw_png(16, 16, 1, 0, b"\x00\xff"), BLACK, WHITE),
    "2 bits of grey": (raw_png(16, 16, 2, 0, b"\x55\x55\xff\xff"), (85, 85, 85), WHITE),
    "8 bits of grey": (raw_png(16, 16, 8, 0, b"\x46" * 8 + b"\xc8" * 8), (70, 70, 70), (200, 200, 200)),
    "16 bits of grey": (raw_png(16, 16, 16, 0, words(*[0x4040] * 8, *[0xC0C0] * 8)), (64,) * 3, (192,) * 3),
    "16 bits of dark grey": (raw_png(16, 16, 16, 0, words(*[0x0101] * 8, *[0x2020] * 8)), (1,) * 3, (32,) * 3),
    "16 bits of colour": (raw_png(16, 16, 16, 2, words(*[0xFFFF, 0, 0] * 8, *[0, 0, 0xFFFF] * 8)), RED, BLUE),
    "a palette": (raw_png(16, 16, 1, 3, b"\x00\xff", PALETTE), RED, GREEN),
    "JPEG in CMYK, as Adobe has it": (saved(halves("CMYK", (0, 255, 255, 0), (0, 0, 0, 0)), "JPEG"), RED, WHITE),
    "TIFF in CMYK": (saved(halves("CMYK", (0, 255, 255, 0), (0, 0, 0, 0)), "TIFF"), RED, WHITE),
    "TIFF in LAB": (saved(halves("LAB", (0, 128, 128), (255, 128, 128)), "TIFF"), BLACK, WHITE),
    "TIFF in LAB, coloured": (saved(halves("LAB", (136, 81 + 128, 70 + 128), (255, 128, 128)), "TIFF"), RED, WHITE),
    "TIFF of 1 bit": (saved(halves("1", 0, 1), "TIFF"), BLACK, WHITE),
    "TIFF of 16 bits": (saved(halves("I;16", 0x4040, 0xC0C0), "TIFF"), (64,) * 3, (192,) * 3),
    "TIFF of 32 bits": (saved(halves("I", 0x4040, 0xFFFF), "TIFF"), (64,) * 3, WHITE),
    "TIFF of 32 bits, dark": (saved(halves("I", 64, 192), "TIFF"), (64,) * 3, (192,) * 3),
    "TIFF of fractions": (saved(halves("F", 0.25, 1.0), "TIFF"), (64,) * 3, WHITE),
    "TIFF of larger fractions": (saved(halves("F", 64.0, 192.0), "TIFF"), (64,) * 3, (192,) * 3),
    "TIFF of a palette": (saved(halves("RGB", RED, GREEN).convert("P"), "TIFF"), RED, GREEN),
    "JPEG in RGB, as Adobe has it": (adobe_rgb(), RED, GREEN),
    "JPEG of grey": (saved(halves("L", 70, 200), "JPEG"), (70, 70, 70), (200, 200, 200)),
    "BMP of 1 bit": (saved(halves("1", 0, 1), "BMP"), BLACK, WHITE),
    "BMP of a palette": (saved(halves("RGB", RED, GREEN).convert("P"), "BMP"), RED, GREEN),
    "GIF of grey": (saved(halves("L", 70, 200), "GIF"), (70, 70, 70), (200, 200, 200)),
}


@pytest.mark.parametrize("target", ["image/png", "image/jpeg", "image/webp"])
@pytest.mark.parametrize("name", COLOURS)
def test_colours(name, target):
    """A picture of any kind of pixels looks the same afterwards, whether shrunk or only written anew."""
    data, left, right = COLOURS[name]
    mime = Image(data).mime
    for limits in ({"max_image_dimension": 10}, {"max_image_dimension": 10_000}):
        taken = (target,) if mime != target or "max_image_dimension" in limits else ()
        if mime == target and limits["max_image_dimension"] > 10:
            continue
        found = opened(fitted(data, allowed_image_mime=taken, **limits)).convert("RGB")
        width, height = found.size
        at = [found.getpixel((x * width // 8, height // 2)) for x in (1, 6)]
        lenient = 40 if "Adobe" in name or "CMYK" in name or "coloured" in name or target != "image/png" else 2
        assert near(at[0], left, lenient), at
        assert near(at[1], right, lenient), at


# name -> picture whose left is half or fully seen through, whose right is opaque; with its alpha on the left
GLASS = {
    "PNG": (saved(halves("RGBA", HALF, (*GREEN, 255)), "PNG"), 128),
    "PNG of grey and alpha": (saved(halves("LA", (40, 128), (255, 255)), "PNG"), 128),
    "PNG of 16 bits": (raw_png(16, 16, 16, 6, words(*[0xC8C8, 0x2828, 0x2828, 0x8080] * 8, *[0xFFFF] * 32)), 128),
    "PNG of 16 bits of grey": (raw_png(16, 16, 16, 4, words(*[0x2828, 0x8080] * 8, *[0xFFFF] * 16)), 128),
    "PNG of a palette": (raw_png(16, 16, 1, 3, b"\x00\xff", PALETTE, (b"tRNS", b"\x80")), 128),
    "PNG of grey, one of them clear": (raw_png(16, 16, 8, 0, b"\x46" * 8 + b"\xff" * 8, (b"tRNS", b"\0\x46")), 0),
    "PNG of colours, one of them clear": (
        raw_png(16, 16, 8, 2, bytes([9, 8, 7]) * 8 + b"\xff" * 24, (b"tRNS", bytes([0, 9, 0, 8, 0, 7]))),
        0,
    ),
    "WebP": (saved(halves("RGBA", HALF, (*GREEN, 255)), "WEBP", lossless=True), 128),
    "TIFF": (saved(halves("RGBA", HALF, (*GREEN, 255)), "TIFF"), 128),
    "GIF": (
        saved(
            halves("RGB", RED, GREEN).convert("P"),
            "GIF",
            transparency=halves("RGB", RED, GREEN).convert("P").getpixel((0, 0)),
        ),
        0,
    ),
}


@pytest.mark.parametrize("name", GLASS)
@pytest.mark.parametrize("target", ["image/png", "image/webp", "image/tiff"])
def test_glass_stays_glass(name, target):
    """Transparency of any kind is kept in a type that can."""
    data, alpha = GLASS[name]
    found = opened(fitted(data, allowed_image_mime=(target,), max_image_dimension=12))
    alphas = found.convert("RGBA").getchannel("A")
    width, height = found.size
    assert abs(alphas.getpixel((1, height // 2)) - alpha) <= 3
    assert alphas.getpixel((width - 2, height // 2)) == 255


@pytest.mark.parametrize("name", GLASS)
def test_clear_pixels_stay_clear_in_a_gif(name):
    """A GIF can say of a pixel that it is clear; the others are opaque."""
    data, alpha = GLASS[name]
    found = opened(fitted(data, allowed_image_mime=("image/gif",), max_image_dimension=12)).convert("RGBA")
    assert found.getpixel((found.width - 2, 3))[3] == 255
    assert alpha or found.getpixel((1, 3))[3] == 0


@pytest.mark.parametrize("name", GLASS)
@pytest.mark.parametrize("target", ["image/jpeg", "image/bmp"])
def test_glass_is_laid_on_white(name, target):
    """In a type without transparency clear pixels are white, and half clear ones half white."""
    data, alpha = GLASS[name]
    found = opened(fitted(data, allowed_image_mime=(target,), max_image_dimension=12)).convert("RGB")
    colour = found.getpixel((1, found.height // 2))
    assert near(colour, WHITE, 8) if not alpha else max(colour) > 140


def test_opaque_alpha_is_no_glass():
    """An alpha channel that says nothing does not keep a picture from becoming a JPEG's equal."""
    data = saved(photo(60, 40).convert("RGBA"), "WEBP")
    assert opened(fitted(data, allowed_image_mime=("image/png", "image/jpeg"))).mode == "RGB"


# Turned by the camera

# Orientation -> where a stored pixel belongs, in a picture of a size. Source: Exif 2.32, tag 274.
TURNS = {
    1: lambda x, y, w, h: (x, y),
    2: lambda x, y, w, h: (w - 1 - x, y),
    3: lambda x, y, w, h: (w - 1 - x, h - 1 - y),
    4: lambda x, y, w, h: (x, h - 1 - y),
    5: lambda x, y, w, h: (y, x),
    6: lambda x, y, w, h: (w - 1 - y, x),
    7: lambda x, y, w, h: (w - 1 - y, h - 1 - x),
    8: lambda x, y, w, h: (y, h - 1 - x),
}


def turned(orientation: int):
    """How a camera stores the picture of `quarters(32, 16)`."""
    whole, (w, h) = quarters(32, 16), (32, 16)
    stored = Pillow.new("RGB", (w, h) if orientation < 5 else (h, w))
    for x in range(stored.width):
        for y in range(stored.height):
            stored.putpixel((x, y), whole.getpixel(TURNS[orientation](x, y, w, h)))
    return stored


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", TURNS)
def test_turned_pictures(kind, orientation):
    """A picture that is written anew is upright, for nothing in it says any more how to turn it."""
    stored = turned(orientation)
    note = {"tiffinfo": {274: orientation}} if kind == "TIFF" else {"exif": exif_of(orientation)}
    data = saved(stored, kind, **note)
    info = media.info(Image(data))
    assert (info.width, info.height) == stored.size
    for limits, size in (
        ({"max_image_dimension": 20}, (20, 10)),
        ({"allowed_image_mime": ("image/gif",)}, (32, 16)),
        ({"allowed_image_mime": ("image/gif",), "max_image_dimension": 30}, (30, 15)),
    ):
        found = opened(fitted(data, **limits))
        assert found.size == size
        assert upright(found)
        assert "exif" not in found.info


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", [0, 1, 3, 9, 65_535])
def test_orientations_in_both_byte_orders(order, orientation):
    """Exif is read as either kind of machine writes it; a turn that there is not is none."""
    magic = b"II*\0" if order == "<" else b"MM\0*"
    exif = magic + struct.pack(order + "IHHHIHHI", 8, 1, 274, 3, 1, orientation, 0, 0)
    stored = saved(turned(3 if orientation == 3 else 1), "JPEG")
    data = stored[:2] + jpeg_segment(0xE1, b"Exif\0\0" + exif) + stored[2:]
    assert upright(opened(fitted(data, max_image_dimension=20)))


@pytest.mark.parametrize("exif", [b"", b"II*\0", b"II*\0\x08\0\0\0\xff\xff", b"rubbish!" * 9, b"MM\0*\xff\xff\xff\xff"])
def test_damaged_notes_of_a_camera(exif):
    """Exif that cannot be read turns nothing, and is no reason to refuse the picture."""
    stored = saved(turned(1), "JPEG")
    data = stored[:2] + jpeg_segment(0xE1, b"Exif\0\0" + exif) + stored[2:]
    assert upright(opened(fitted(data, max_image_dimension=20)))


def test_what_fits_keeps_its_turn():
    """A turned picture that fits is sent as it is, its note with it."""
    image = Image(saved(turned(6), "JPEG", exif=exif_of(6)))
    assert fitted(image, max_image_dimension=32) is image


# What is not sent

NOTE = "taken-at-our-secret-place"
XMP = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{NOTE}</x:xmpmeta>".encode()


def talkative_png() -> bytes:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", NOTE)
    texts.add_text("Author", NOTE, zip=True)
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
    return saved(quarters(60, 40), "PNG", pnginfo=texts, exif=exif_of(1, NOTE), dpi=(72, 72))


def talkative_jpeg() -> bytes:
    data = saved(quarters(60, 40), "JPEG", exif=exif_of(1, NOTE), dpi=(72, 72))
    segments = jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP) + jpeg_segment(0xFE, NOTE.encode())
    segments += jpeg_segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x19" + NOTE.encode())
    return data[:2] + segments + data[2:] + NOTE.encode()


TALKATIVE = {
    "PNG": talkative_png(),
    "JPEG": talkative_jpeg(),
    "WebP": saved(quarters(60, 40), "WEBP", exif=exif_of(1, NOTE), xmp=XMP),
    "TIFF": saved(quarters(60, 40), "TIFF", tiffinfo={270: NOTE, 305: NOTE, 315: NOTE, 33432: NOTE, 700: XMP}),
    "GIF": saved(quarters(60, 40), "GIF", comment=NOTE.encode()),
}


@pytest.mark.parametrize("source", TALKATIVE)
@pytest.mark.parametrize("target", TYPES)
def test_what_is_not_sent(source, target):
    """Place, author, comments and other texts stay behind when a picture is written anew."""
    data = TALKATIVE[source]
    assert NOTE.encode() in data
    image = fitted(data, allowed_image_mime=(target,), max_image_dimension=50)
    assert NOTE.encode() not in image.data
    found = opened(image)
    assert not {0x8825, 0x010E, 0x8298, 700, 305, 315} & set(Pillow.open(BytesIO(image.data)).getexif())
    assert not {"exif", "comment", "xmp", "XML:com.adobe.xmp", "Comment", "photoshop"} & found.info.keys()
    assert not getattr(found, "text", None)
    assert upright(found)


# Colour profiles

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# A profile that takes red for green, as no camera does, so that one sees whether it was followed
SWAPPED = SRGB.replace(b"rXYZ", b"-XYZ", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"-XYZ", b"gXYZ", 1)
WITH_PROFILE = {
    "PNG": saved(quarters(60, 40), "PNG", icc_profile=SWAPPED),
    "JPEG": saved(quarters(60, 40), "JPEG", icc_profile=SWAPPED, subsampling=0, quality=95),
    "WebP": saved(quarters(60, 40), "WEBP", icc_profile=SWAPPED, lossless=True),
    "TIFF": saved(quarters(60, 40), "TIFF", icc_profile=SWAPPED),
    "PNG with alpha": saved(quarters(60, 40).convert("RGBA"), "PNG", icc_profile=SWAPPED),
    "PNG of a palette": saved(quarters(60, 40).convert("P"), "PNG", icc_profile=SWAPPED),
}


@pytest.mark.parametrize("source", WITH_PROFILE)
@pytest.mark.parametrize("target", ["image/png", "image/jpeg", "image/webp", "image/tiff"])
def test_profiles_are_kept(source, target):
    """A colour profile goes on with the numbers that it explains."""
    found = opened(fitted(WITH_PROFILE[source], allowed_image_mime=(target,), max_image_dimension=50))
    assert found.info["icc_profile"] == SWAPPED
    assert upright(found)


@pytest.mark.parametrize("mode", ["L", "LA"])
@pytest.mark.parametrize("target", ["image/png", "image/jpeg"])
def test_profiles_of_grey(mode, target):
    """A profile of greys stays with a picture that is still grey."""
    profile = SRGB.replace(b"RGB ", b"GRAY", 1)
    data = saved(quarters(60, 40).convert(mode), "PNG", icc_profile=profile)
    found = opened(fitted(data, allowed_image_mime=(target,), max_image_dimension=50))
    assert found.mode == "L"
    assert found.info["icc_profile"] == profile


@pytest.mark.parametrize("source", WITH_PROFILE)
@pytest.mark.parametrize(
    "limits",
    [
        {"allowed_image_mime": ("image/gif",)},
        {"allowed_image_mime": ("image/bmp",)},
        {"allowed_image_mime": ("image/png",), "max_image_dimension": 50, "max_image_bytes": 2500},
    ],
    ids=["gif", "bmp", "few bytes"],
)
def test_profiles_are_followed(source, limits):
    """Where there is no room for a colour profile, the colours become what it says that they are."""
    found = opened(fitted(WITH_PROFILE[source], **limits))
    assert "icc_profile" not in found.info
    red, green, _, white = corners(found)
    assert red[1] > 200 > 100 > red[2]
    assert green[0] > 200 > 100 > green[2]
    assert near(white, WHITE, 25)


@pytest.mark.parametrize(
    ("profile", "sent"),
    [
        (b"", None),
        (b"rubbish", None),
        (SRGB.replace(b"RGB ", b"CMYK", 1), None),
        (SRGB.replace(b"RGB ", b"GRAY", 1), None),
        (SRGB[:200], SRGB[:200]),
        (SRGB * 30, SRGB * 30),
    ],
    ids=["empty", "rubbish", "of inks", "of greys", "cut", "large"],
)
def test_odd_profiles(profile, sent):
    """A profile that is damaged, large or of other colours is no reason to refuse a picture; none is made up."""
    data = saved(quarters(60, 40), "PNG", icc_profile=profile)
    for target in ("image/jpeg", "image/gif"):
        found = opened(fitted(data, allowed_image_mime=(target,)))
        assert upright(found)
        assert found.info.get("icc_profile") == (sent if target == "image/jpeg" else None)


# What moves

FRAMES = [Pillow.new("RGB", (40, 20), colour) for colour in (RED, GREEN, BLUE)]


def pair() -> bytes:
    """Two pictures in one JPEG, as a camera for three dimensions writes them, with an index (MPO)."""
    first, second = (saved(frame, "JPEG") for frame in FRAMES[:2])
    size = len(first) + 90
    index = struct.pack("<HHI4s", 0xB000, 7, 4, b"0100")
    index += struct.pack("<HHII", 0xB001, 4, 1, 2) + struct.pack("<HHII", 0xB002, 7, 32, 50)
    index = b"II*\0" + struct.pack("<IH", 8, 3) + index + bytes(4)
    index += struct.pack("<IIIHH", 0x20030000, size, 0, 0, 0) + struct.pack("<IIIHH", 0, len(second), size - 10, 0, 0)
    return first[:2] + jpeg_segment(0xE2, b"MPF\0" + index) + first[2:] + second


def moving(kind: str, **options) -> bytes:
    return saved(FRAMES[0], kind, save_all=True, append_images=FRAMES[1:], **options)


MOVING = {
    "GIF": moving("GIF", loop=0, duration=50),
    "GIF without end": moving("GIF", duration=50),
    "APNG": moving("PNG", duration=50),
    "WebP": moving("WEBP", lossless=True, duration=50),
    "TIFF of pages": moving("TIFF"),
    "MPO": pair(),
}


@pytest.mark.parametrize("name", MOVING)
@pytest.mark.parametrize("target", TYPES)
def test_the_first_frame(name, target):
    """Of an animation, of pages or of a camera's pair the first picture is sent."""
    found = opened(fitted(MOVING[name], allowed_image_mime=(target,), max_image_dimension=20))
    assert (found.size, getattr(found, "n_frames", 1)) == ((20, 10), 1)
    assert near(found.convert("RGB").getpixel((5, 5)), RED, 10)


@pytest.mark.parametrize("name", ["GIF", "GIF without end", "WebP"])
def test_what_moves_is_made_still(name):
    """A target that takes no animation gets the first frame, in a type that it takes; others get it all."""
    image = Image(MOVING[name])
    for limits in ({}, {"animated_images": True}, {"allowed_image_mime": (image.mime,)}):
        assert fitted(image, **limits) is image
    for limits in ({}, {"allowed_image_mime": ("image/png", image.mime)}, {"allowed_image_mime": (image.mime,)}):
        found = opened(fitted(image, animated_images=False, **limits))
        assert (found.size, getattr(found, "n_frames", 1)) == ((40, 20), 1)
        assert near(found.convert("RGB").getpixel((5, 5)), RED, 10)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "JPEG"])
def test_what_is_still_stays(kind):
    """A picture that does not move is sent as it is to a target that takes no animation."""
    image = Image(saved(quarters(60, 40), kind, **({"loop": 0} if kind == "GIF" else {})))
    assert fitted(image, animated_images=False) is image


def test_a_frame_aside():
    """A GIF whose first frame covers a part of the screen is sent as large as its screen."""
    data = bytearray(saved(Pillow.new("P", (10, 10), 1), "GIF"))
    data[6:10] = struct.pack("<HH", 30, 20)
    assert opened(fitted(bytes(data), allowed_image_mime=("image/png",))).size == (30, 20)


# Too many bytes

PHOTO, NOISE, GLASSY = photo(300, 200), noise(150, 100), noise(150, 100, "RGBA")
HEAVY = {
    "photo in PNG": (saved(PHOTO, "PNG"), ()),
    "photo in JPEG": (saved(PHOTO, "JPEG", quality=95), ()),
    "photo in WebP": (saved(PHOTO, "WEBP", quality=95), ()),
    "photo in BMP": (saved(PHOTO, "BMP"), ()),
    "photo in PNG, WebP taken": (saved(PHOTO, "PNG"), ("image/webp",)),
    "photo in JPEG, PNG taken": (saved(PHOTO, "JPEG", quality=95), ("image/png",)),
    "photo in JPEG, GIF taken": (saved(PHOTO, "JPEG", quality=95), ("image/gif",)),
    "noise in PNG": (saved(NOISE, "PNG"), ("image/png",)),
    "noise in TIFF": (saved(NOISE, "TIFF"), ("image/tiff",)),
    "noise in JPEG": (saved(NOISE, "JPEG", quality=95), ("image/jpeg", "image/png")),
    "grey noise": (saved(NOISE.convert("L"), "PNG"), ()),
    "glass in PNG": (saved(GLASSY, "PNG"), ("image/png", "image/jpeg")),
    "glass in PNG, WebP taken": (saved(GLASSY, "PNG"), ()),
    "glass in PNG, JPEG taken": (saved(GLASSY, "PNG"), ("image/jpeg",)),
}


@pytest.mark.parametrize("part", [0.95, 0.5, 0.2, 0.05])
@pytest.mark.parametrize("name", HEAVY)
def test_too_many_bytes(encodings, name, part):
    """A budget of bytes is kept, and as a rule used by half; found in a few encodings, in proportion, never larger."""
    data, taken = HEAVY[name]
    most = int(len(data) * part)
    before = Pillow.open(BytesIO(data))
    encodings.clear()
    image = fitted(data, max_image_bytes=most, allowed_image_mime=taken)
    assert len(encodings) <= 16
    found = opened(image)
    assert len(image.data) <= most
    assert not taken or image.mime in taken
    whole = found.size == before.size
    assert 2 * len(image.data) >= most or (whole and part > 0.4)  # the best that the type can do
    assert found.width <= before.width
    assert abs(found.width * before.height - found.height * before.width) <= before.width
    assert found.convert("RGBA").getextrema()[3] == (255, 255) or "glass" in name


@pytest.mark.parametrize("name", ["photo in PNG", "photo in JPEG", "photo in WebP", "photo in BMP"])
def test_quality_before_size(name):
    """Quality goes first: where that is enough, no pixel is lost; where it is not, pixels go."""
    data, _ = HEAVY[name]
    lighter = len(saved(PHOTO, "JPEG", quality=45, subsampling=0))
    found = opened(fitted(data, max_image_bytes=lighter, allowed_image_mime=("image/jpeg",)))
    assert found.size == PHOTO.size
    found = opened(fitted(data, max_image_bytes=lighter // 3, allowed_image_mime=("image/jpeg",)))
    assert 60 < found.width < PHOTO.width


def test_all_limits_together():
    """Type, size and bytes are kept at once."""
    data = saved(PHOTO, "TIFF")
    image = fitted(data, max_image_dimension=120, max_image_bytes=3000, allowed_image_mime=("image/jpeg", "image/gif"))
    found = opened(image)
    assert image.mime == "image/jpeg"
    assert max(found.size) <= 120
    assert 1500 <= len(image.data) <= 3000


@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("total", [20_000, 60_000])
def test_too_many_bytes_together(count, total):
    """Pictures that fit one by one but not together share the room: small ones stay, large ones shrink alike."""
    small = Image(saved(quarters(20, 10), "PNG"))
    large = [Image(saved(noise(150, 100, seed=n), "JPEG", quality=95)) for n in range(count)]
    request = Request([user("a", small, large[0]), assistant("b"), tool_result("1", *large[1:], small)])
    found = normalize(request, Capabilities(max_total_image_bytes=total))
    sizes = [len(image.data) for _, _, image in images_of(found.messages)]
    assert total / 3 < sum(sizes) <= total
    assert found.messages[0].parts[1] is small
    assert found.messages[2].parts[0].parts[-1] is small
    assert max(sizes[1:-1]) <= 2 * min(sizes[1:-1])


def test_both_limits_of_bytes():
    """The limit of one picture holds under that of all."""
    pictures = [Image(saved(noise(150, 100, seed=n), "PNG")) for n in range(3)]
    found = normalize(Request([user(*pictures)]), Capabilities(max_image_bytes=20_000, max_total_image_bytes=30_000))
    sizes = [len(image.data) for _, _, image in images_of(found.messages)]
    assert max(sizes) <= 20_000
    assert 15_000 <= sum(sizes) <= 30_000


# What is refused

TINY = {
    kind: saved(photo(90, 60), kind, **({"progressive": True} if kind == "JPEG" else {}))
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
}
TINY["lossless WEBP"] = saved(photo(90, 60).convert("RGBA"), "WEBP", lossless=True)
TINY["packed TIFF"] = saved(photo(90, 60), "TIFF", compression="tiff_lzw")
TINY["plain JPEG"] = saved(photo(90, 60), "JPEG")


@pytest.mark.parametrize("kind", TINY)
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_cut_pictures(kind, part):
    """Of a picture that was cut nothing is sent as if it were the whole."""
    data = TINY[kind][: int(len(TINY[kind]) * part)]
    for limits, limit in (
        ({"max_image_dimension": 50}, "50"),
        ({"allowed_image_mime": ("image/x", *TYPES[:1])}, "png"),
    ):
        if kind == "PNG" and limit == "png":
            continue
        with pytest.raises(UnsupportedError, match=f"message 1, part 1: .*{limit}|message 1, part 1: the header"):
            normalize(Request([user("a"), user("b", Image(data))]), Capabilities(**limits))


@pytest.mark.parametrize(
    ("data", "limits", "says"),
    [
        (TINY["PNG"], {"max_image_bytes": 40}, f"{len(TINY['PNG'])} bytes.* 40 "),
        (TINY["JPEG"], {"max_image_bytes": 1}, f"{len(TINY['JPEG'])} bytes.* 1 "),
        (TINY["PNG"], {"max_total_image_bytes": 40}, f"{len(TINY['PNG'])} bytes.* 40 "),
        (TINY["PNG"], {"allowed_image_mime": ("image/x", "image/y")}, "image/x, image/y.*image/png"),
        (raw_png(90, 60, 3, 0, b""), {"max_image_dimension": 50}, "90 x 60 pixels.* 50 "),
        (raw_png(90, 60, 8, 0, b"short"), {"max_image_dimension": 50}, "90 x 60 pixels.* 50 "),
    ],
)
def test_what_cannot_be_made_to_fit(data, limits, says):
    """A picture that Pillow cannot help with is refused with its place, the limit and the size."""
    with pytest.raises(UnsupportedError, match=f"message 0, part 0: .*{says}"):
        fitted(data, **limits)


def test_endless_scans():
    """A JPEG that goes over all of its pixels again and again is refused before it is begun."""
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, 8000, 8000, 1) + b"\1\x11\0"
    scan = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 0, 0, 0) + b"\0"
    with pytest.raises(UnsupportedError, match="8000 x 8000 pixels.* 2048 .*scans"):
        fitted(b"\xff\xd8" + frame + scan * 200 + b"\xff\xd9", max_image_dimension=2048)


def settings():
    return Pillow.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters), warnings.showwarning


@pytest.mark.parametrize("size", [(30_000, 30_000), (12_000, 12_000)], ids=str)
@pytest.mark.parametrize("kind", ["png", "gif", "bmp", "tiff", "jpeg"])
def test_absurd_sizes(kind, size):
    """A picture that announces too much is refused without a warning, and Pillow's settings stay as they were."""
    data = bytearray(saved(quarters(16, 16), kind.upper()))
    if kind == "tiff":
        for tag in (256, 257):
            at = data.index(struct.pack("<HH", tag, 4), int.from_bytes(data[4:8], "little"))
            data[at + 8 : at + 12] = struct.pack("<I", size[tag - 256])
    else:
        at, form = {"png": (16, ">II"), "gif": (6, "<HH"), "bmp": (18, "<ii"), "jpeg": (0, ">HH")}[kind]
        at = at or data.index(b"\xff\xc0") + 5
        data[at : at + struct.calcsize(form)] = struct.pack(form, *size)
    before = settings()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(UnsupportedError, match=f"{size[0]} x {size[1]} pixels.* 2048 .*decoded"):
            fitted(bytes(data), max_image_dimension=2048)
    assert caught == []
    assert settings() == before


# Whatever the bytes

CRASHERS = {**TINY, **{name: data for name, (data, _, _) in COLOURS.items()}, **MOVING, **TALKATIVE}
LIMITS = [
    {"max_image_dimension": 12},
    {"max_image_bytes": 900, "animated_images": False},
    {"allowed_image_mime": ("image/gif",), "max_image_dimension": 40},
    {"allowed_image_mime": ("image/jpeg",), "max_image_bytes": 2000},
    {"allowed_image_mime": ("image/webp", "image/bmp")},
]


def mangled(data: bytes, dice: random.Random) -> bytes:
    """A few bytes changed, some of them near the beginning, where the structure is; or a piece lost, or doubled."""
    found = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 8))):
        at = dice.randrange(min(len(found), dice.choice((60, 400, 10**9))))
        found[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
    at, length = dice.randrange(len(found)), dice.randrange(40)
    if dice.random() < 0.2:
        del found[at : at + length]
    elif dice.random() < 0.2:
        found[at:at] = found[at : at + length]
    return bytes(found)


@pytest.mark.parametrize("name", CRASHERS)
def test_mangled_pictures(name):
    """What is damaged is sent within the limits or refused as unsupported: no other error, and no warning."""
    dice = random.Random(name)
    before = settings()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for number in range(25):
            data = mangled(CRASHERS[name], dice)
            limits = LIMITS[number % len(LIMITS)]
            try:
                image = fitted(Image(data, "image/png"), **limits)
            except UnsupportedError as exc:
                assert str(exc).startswith("message 0, part 0: ")
                assert len(str(exc)) < 500
                assert "\n" not in str(exc)
                continue
            assert len(image.data) <= limits.get("max_image_bytes", 10**9)
            assert image.mime in limits.get("allowed_image_mime", TYPES)
            if image.data != data:
                assert max(opened(image).size) <= limits.get("max_image_dimension", 10**9)
    assert [str(one.message) for one in caught] == []
    assert settings()[:2] == before[:2]


# What was made before


def test_made_once(encodings):
    """The same picture for the same limits is made once, however often a conversation sends it."""
    image = Image(saved(quarters(61, 40), "PNG"))
    encodings.clear()
    first = fitted(image, max_image_dimension=50)
    assert fitted(image, max_image_dimension=50) is first
    assert fitted(Image(bytes(bytearray(image.data))), max_image_dimension=50) is first
    request = Request([user(image), assistant("a"), tool_result("1", image)])
    again = normalize(request, Capabilities(max_image_dimension=50, max_images_per_request=2, tools=True))
    assert [found is first for _, _, found in images_of(again.messages)] == [True, True]
    assert fitted(image, max_image_dimension=49) is not first
    assert fitted(image, max_image_dimension=50) is first
    assert encodings == ["PNG", "PNG"]


def test_nothing_is_decoded_again(monkeypatch):
    """What was made before is there without Pillow; what was not is not."""
    image, other = (Image(saved(quarters(62, side), "PNG")) for side in (40, 41))
    first = fitted(image, max_image_dimension=50)
    for name in ("PIL", "PIL.Image"):
        monkeypatch.setitem(sys.modules, name, None)
    assert fitted(image, max_image_dimension=50) is first
    for not_made, side in ((other, 50), (image, 51)):
        with pytest.raises(UnsupportedError, match="install Pillow"):
            fitted(not_made, max_image_dimension=side)


def test_forgotten_with_the_original():
    """What was made of a picture is let go when nobody has that any more; what was made of others is kept."""
    images = [Image(saved(quarters(63, side), "PNG")) for side in (40, 41, 42, 43)]
    made = [weakref.ref(fitted(image, max_image_dimension=side)) for side in (50, 30) for image in images]
    images[1] = images[2] = None
    gc.collect()
    assert [one() is not None for one in made] == [True, False, False, True] * 2
    assert fitted(images[3], max_image_dimension=50) is made[3]()
    images.clear()
    gc.collect()
    assert [one() for one in made] == [None] * 8


def test_no_more_is_kept_than_there_is_room_for(monkeypatch):
    """Of many pictures the last used are kept, as many as there is room for."""
    images = [Image(saved(noise(60, 40, seed=n), "PNG")) for n in range(6)]
    size = len(fitted(images[0], max_image_dimension=50).data)
    monkeypatch.setattr(media, "KEPT_BYTES", 3 * size + size // 2)
    made = [fitted(image, max_image_dimension=50) for image in images]
    assert fitted(images[3], max_image_dimension=50) is made[3]  # so that it is used later than 4 and 5
    assert fitted(images[0], max_image_dimension=50) is not made[0]
    kept = [fitted(images[n], max_image_dimension=50) is made[n] for n in (3, 5)]
    assert kept == [True, True]
    assert fitted(images[4], max_image_dimension=50) is not made[4]


def test_what_is_too_large_to_keep_is_sent(monkeypatch):
    """Without room nothing is kept, and everything works."""
    monkeypatch.setattr(media, "KEPT_BYTES", 0)
    image = Image(saved(quarters(64, 40), "PNG"))
    first, second = (fitted(image, max_image_dimension=50) for _ in range(2))
    assert first == second
    assert first is not second


def test_threads():
    """Threads that send the same pictures at once all get them right."""
    images = [Image(saved(quarters(65 + n, 40), "PNG")) for n in range(4)]
    wanted = {side: [fitted(Image(one.data + b"\0"), max_image_dimension=side) for one in images] for side in (20, 30)}
    failed, start = [], threading.Barrier(6)

    def work(number):
        start.wait()
        for turn in range(8):
            side = (20, 30)[(number + turn) % 2]
            found = normalize(Request([user(*images)]), Capabilities(max_image_dimension=side)).messages[0].parts
            if list(found) != wanted[side]:
                failed.append((number, turn))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_forks():
    """A child has what its parent made, and can make more."""
    image = Image(saved(quarters(70, 40), "PNG"))
    first = fitted(image, max_image_dimension=50)
    child = os.fork()
    if not child:
        status = 1
        try:
            same = fitted(image, max_image_dimension=50) is first
            status = 0 if same and upright(opened(fitted(image, max_image_dimension=30))) else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert fitted(image, max_image_dimension=50) is first


# A chain, and pictures to edit


def test_a_chain_fits_each_target_from_the_original():
    """Each target of a chain gets what was made for it of the original, and the answer tells what that was."""
    image = Image(saved(photo(200, 100), "PNG"))
    lab = Lab(
        {
            "small": (UnsupportedError("not today"), {"capabilities": Capabilities(max_image_dimension=20)}),
            "any": (UnsupportedError("not today"), {}),
            "large": (
                "hi",
                {"capabilities": Capabilities(max_image_dimension=100, allowed_image_mime=("image/jpeg",))},
            ),
        }
    )
    request = Request([user("look", image)])
    response = lab.chain.generate(request)
    sent = {name: target.requests[0].messages[0].parts[1] for name, target in lab.targets.items()}
    assert opened(sent["small"]).size == (20, 10)
    assert sent["any"] is image
    assert sent["large"] == fitted(image, max_image_dimension=100, allowed_image_mime=("image/jpeg",))
    assert opened(sent["large"]).size == (100, 50)
    assert len(response.warnings) == 1
    for word in ("message 0, part 1", "image/jpeg", "100 x 50", "image/png", "200 x 100", str(len(image.data))):
        assert word in response.warnings[0]
    assert request.messages[0].parts[1] is image


def test_a_picture_that_nobody_can_fit_is_skipped():
    """A target for which a picture cannot be made to fit has no turn; the next one has."""
    image = Image(TINY["JPEG"][:-200])
    lab = Lab({"a": ("never", {"capabilities": Capabilities(max_image_dimension=20)}), "b": "hi"})
    response = lab.chain.generate(Request([user(image)]))
    assert [(one.outcome, one.kind and one.kind.value) for one in response.attempts] == [
        ("skipped", "unsupported"),
        ("answered", None),
    ]
    assert "message 0, part 0" in response.attempts[0].error
    assert lab.asked == ["b"]


def test_originals_are_fitted():
    """Pictures to edit are made to fit like any other, and it is told."""
    image, small = Image(saved(quarters(80, 40), "BMP")), Image(saved(quarters(20, 10), "PNG"))
    request = ImageRequest("a cat", images=(small, image))
    found, told = media.fit_originals(request, Capabilities(allowed_image_mime=("image/png",), max_image_dimension=60))
    assert found.images[0] is small
    assert opened(found.images[1]).size == (60, 30)
    assert len(told) == 1
    assert "image 1 " in told[0]
    assert "60 x 30" in told[0]
    assert request.images == (small, image)


# The caller's objects


def test_what_changes_is_copied():
    """Messages and parts that hold nothing to shrink are the same objects; the caller's request stays as it was."""
    large, small = Image(saved(quarters(80, 40), "PNG")), Image(saved(quarters(20, 10), "PNG"))
    request = Request([user("a", small), tool_result("1", "b", large, small), user(large, small)], system="s")
    before = request.to_dict()
    found = normalize(request, Capabilities(max_image_dimension=60))
    assert request.to_dict() == before
    assert [new is old for new, old in zip(found.messages, request.messages)] == [True, False, False]
    result, old = found.messages[1].parts[0], request.messages[1].parts[0]
    assert [new is part for new, part in zip(result.parts, old.parts)] == [True, False, True]
    assert found.messages[2].parts[1] is small
    assert result.parts[1] is found.messages[2].parts[0]


# One shade of a grey PNG may be clear, by its number, whatever Pillow makes of the shades


@pytest.mark.parametrize(
    ("depth", "row", "clear"),
    [
        (1, b"\x00\xff", 0),
        (2, b"\x55\x55\xff\xff", 1),
        (4, b"\x55" * 4 + b"\xff" * 4, 5),
        (8, b"\x55" * 8 + b"\xff" * 8, 0x55),
        (16, words(*[0x5555] * 8, *[0xFFFF] * 8), 0x5555),
    ],
)
def test_a_clear_shade_of_grey(depth, row, clear):
    """The left half of the picture is seen through, the right is not."""
    data = raw_png(16, 16, depth, 0, row, (b"tRNS", clear.to_bytes(2, "big")))
    found = opened(fitted(data, max_image_dimension=12)).convert("RGBA")
    assert found.getpixel((1, 6))[3] == 0
    assert found.getpixel((10, 6)) == (255, 255, 255, 255)


def test_a_tiff_of_fewer_pixels_than_it_says():
    """The rest would be black: it is refused, whatever its header promises."""
    data = bytearray(saved(quarters(40, 20), "TIFF"))
    at = data.index(struct.pack("<HH", 257, 4)) + 8
    data[at : at + 4] = struct.pack("<I", 200)
    with pytest.raises(UnsupportedError, match="fewer pixels"):
        fitted(bytes(data), max_image_dimension=100)


@pytest.mark.parametrize("mode", ["L", "LA"])
@pytest.mark.parametrize("target", ["image/webp", "image/tiff", "image/png", "image/jpeg"])
def test_a_profile_of_greys_is_not_put_on_colours(mode, target):
    """A type that knows no greys gets no profile of them."""
    profile = SRGB.replace(b"RGB ", b"GRAY", 1)
    picture = Pillow.new(mode, (60, 40), 77 if mode == "L" else (77, 100))
    found = opened(
        fitted(saved(picture, "PNG", icc_profile=profile), allowed_image_mime=(target,), max_image_dimension=30)
    )
    sent = found.info.get("icc_profile", b"")[16:20]
    assert sent == b"" or (sent == b"GRAY") == (found.mode in ("L", "LA"))


def test_a_picture_that_is_smaller_without_loss():
    """Where no quality is low enough, the type it has is tried with fewer pixels."""
    data = saved(Pillow.linear_gradient("L").resize((300, 200)).convert("RGB"), "PNG")
    image = fitted(data, max_image_bytes=600)
    assert (image.mime, len(image.data) <= 600) == ("image/png", True)


def test_pictures_in_cycles():
    """What the garbage collector takes away while room is made does no harm."""
    threshold = gc.get_threshold()
    gc.set_threshold(50)
    try:
        kept = [Image(saved(Pillow.new("RGB", (4, 4), (n, 0, 0)), "PNG")) for n in range(200)]
        for n in range(200):
            around = [Image(saved(Pillow.new("RGB", (4, 4), (0, n, 1)), "PNG"))]
            around.append(around)
            for image in (kept[n], around[0]):
                fitted(image, max_image_dimension=2)
    finally:
        gc.set_threshold(*threshold)


# Many pictures, turn after turn


def test_a_conversation_that_is_more_than_the_memory_holds(monkeypatch, encodings):
    """Each turn finds what the memory still has, though not all of it fits in."""
    pictures = [Image(saved(noise(60, 40, seed=n), "PNG")) for n in range(12)]
    limits = Capabilities(max_image_dimension=30)
    size = len(fitted(pictures[0], max_image_dimension=30).data)
    monkeypatch.setattr(media, "KEPT_BYTES", size * 10)
    request = Request([user(*pictures)])
    normalize(request, limits)
    del encodings[:]
    normalize(request, limits)
    assert len(encodings) <= 4


def test_a_total_is_shared_anew_only_now_and_then(encodings):
    """A conversation that grows by a picture a turn does not make all of the others anew at each."""
    pictures = [Image(saved(noise(60, 40, seed=n), "PNG")) for n in range(24)]
    limits = Capabilities(max_total_image_bytes=60_000, allowed_image_mime=("image/png", "image/jpeg"))
    anew = 0
    for turn in range(1, 25):
        del encodings[:]
        found = normalize(Request([user(*pictures[:turn])]), limits)
        sent = sum(len(part.data) for part in found.messages[0].parts)
        assert sent <= 60_000
        assert turn < 10 or sent >= 30_000
        anew += len(encodings) > 3 * turn / 2
    assert anew <= 8


@pytest.mark.parametrize("part", [0.3, 0.1, 0.03, 0.01])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("make", [noise, photo], ids=["noise", "photo"])
def test_small_budgets_are_used(make, kind, part):
    """At least half of what is left, however little that is."""
    data = saved(make(300, 200), kind, quality=95)
    most = max(int(len(data) * part), 1200)  # the head of a JPEG alone takes 600
    image = fitted(data, max_image_bytes=most)
    assert most / 2 <= len(image.data) <= most


# Pictures made to hurt: each of these took minutes, gigabytes or a warning when Pillow had it as it was


def tiff(**tags) -> bytes:
    """A grey TIFF of 200 x 200; tags: `t322=(type, count, value)` beside or instead of the usual."""
    rows = {256: (3, 1, 200), 257: (3, 1, 200), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 277: (3, 1, 1)}
    rows.update({273: (4, 1, 500), 278: (3, 1, 200), 279: (4, 1, 40_000)})
    rows.update({int(name[1:]): row for name, row in tags.items()})
    listed = b"".join([struct.pack("<HHII", tag, *rows[tag]) for tag in sorted(rows)])
    return b"II*\0" + struct.pack("<IH", 8, len(rows)) + listed + bytes(60_000)


def hidden_scans() -> bytes:
    data = saved(Pillow.new("RGB", (3000, 3000)), "JPEG", progressive=True)
    return data[:-2] + b"\xff\x02\xfe\xfe" + b"\xff\xda\0\x08\1\1\0\1\x3f\0" * 6000 + b"\xff\xd9"


SCREEN = b"GIF89a" + struct.pack("<HHBBB", 200, 200, 0, 0, 0)
COMMENT = b"!\xfe" + (b"\xff" + b"x" * 255) * 40_000 + b"\0"
GIF_FRAME = b"," + struct.pack("<4HB", 0, 0, 200, 200, 0) + b"\2\1x\0;"
BMP_HEAD = struct.pack("<IHHI", 100, 0, 0, 54 + 1024) + struct.pack(
    "<IiiHHIIiiII", 40, 60_000, 1000, 1, 8, 1, 0, 0, 0, 0, 0
)
ICC_BOMB = (b"iCCP", b"x\0\0" + zlib.compress(bytes(1 << 20)))
HOSTILE = {
    "bmp of a run": b"BM" + BMP_HEAD + bytes(1024) + b"\0\2\0\0" + b"\xff" * 1000,
    "gif of comments": SCREEN + COMMENT + GIF_FRAME,
    "gif of junk and comments": SCREEN + b"\0" + COMMENT + GIF_FRAME,
    "gif of a hidden frame": SCREEN + b"\0," + struct.pack("<4HB", 0, 0, 12_000, 10_000, 0) + b"\2\1x\0;",
    "jpeg of hidden scans": hidden_scans(),
    "png of a line": raw_png(1, 200, 8, 0, b"\0").replace(struct.pack(">II", 1, 200), struct.pack(">II", 1, 1 << 25)),
    "tiff of a huge tile": tiff(t322=(9, 1, 46_336), t323=(9, 1, 45_000), t324=(4, 1, 500), t325=(4, 1, 100)),
    "tiff of fractions": tiff(t258=(5, 5000, 500)),
    "tiff of many samples": tiff(t277=(3, 1, 9)),
    "tiff of a profile in numbers": tiff(t34675=(3, 2, 5)),
    "tiff of shared data": tiff(t320=(3, 29_000, 300), t347=(7, 59_000, 300)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pictures(name):
    """They are refused from what stands in their bytes, and Pillow says nothing of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UnsupportedError, match="message 0, part 0: .*cannot be made to fit: [^<]*$"):
            fitted(HOSTILE[name], max_image_dimension=100)


def test_many_profiles_are_one():
    """Of what a PNG has once only the first is read."""
    data = raw_png(200, 200, 8, 0, bytes(200), *[ICC_BOMB] * 20_000)
    assert opened(fitted(data, max_image_dimension=100)).size == (100, 100)


def test_a_profile_of_endless_steps_is_not_followed():
    """Colours are guessed as if there were no profile."""
    steps = SRGB.replace(b"RGB ", b"CMYK", 1) + b"mpet" * 1000
    data = saved(quarters(60, 40).convert("CMYK"), "JPEG", icc_profile=steps)
    assert "icc_profile" not in opened(fitted(data, max_image_dimension=30)).info


def test_errors_let_go_of_the_pixels():
    """An error that is kept keeps the reason, not the picture that was decoded before it came."""
    with pytest.raises(UnsupportedError) as caught:
        fitted(saved(noise(300, 200), "PNG"), max_image_bytes=10)
    cause = caught.value.__cause__
    assert cause is not None
    assert cause.__traceback__ is None


def test_few_entries_are_kept():
    """The memory has a bound for their number too, so that keeping it is cheap."""
    kept = [Image(saved(Pillow.new("L", (4, 4), n % 256), "PNG") + bytes([n // 256])) for n in range(media.KEPT + 50)]
    for image in kept:
        fitted(image, max_image_dimension=2)
    assert len(media._made) <= media.KEPT


@pytest.mark.parametrize("note", [{}, {"exif": exif_of(1, NOTE)}], ids=["bare", "with notes"])
def test_a_webp_without_loss_stays_without(note):
    """Also in the container that notes, profiles and alpha need."""
    image = fitted(saved(quarters(60, 40), "WEBP", lossless=True, **note), max_image_dimension=50)
    assert (image.mime, image.data[12:16]) == ("image/webp", b"VP8L")


def test_what_one_picture_leaves_another_takes():
    """A total is used though some pictures need little of it."""
    plain, rich = saved(quarters(400, 300), "BMP"), saved(noise(400, 300), "BMP")
    request = Request([user(Image(plain), Image(rich))])
    found = normalize(request, Capabilities(max_total_image_bytes=200_000))
    sizes = [len(part.data) for part in found.messages[0].parts]
    assert sizes[0] < 5_000
    assert 100_000 <= sum(sizes) <= 200_000

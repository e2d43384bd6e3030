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

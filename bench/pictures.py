"""Pictures: fitting one against Pillow used by hand, and what sending many of them needs in memory.

Without Pillow only the figures that need none are shown.
"""

from __future__ import annotations

import random
import sys
import timeit

import _measure

from majordomo import Capabilities, Image, Request, media, user

SIDE = 1568
SENT, SIZE = 20, 5_000_000


def photo(width: int, height: int) -> bytes:
    """A JPEG that is about as hard to decode as a photograph of that size."""
    from io import BytesIO

    import PIL.Image
    import PIL.ImageChops

    def noise(w: int, h: int) -> PIL.Image.Image:
        return PIL.Image.frombytes("RGB", (w, h), random.Random(1).randbytes(3 * w * h))

    picture = PIL.ImageChops.add(noise(width // 40, height // 40).resize((width, height)), noise(width, height), 8)
    out = BytesIO()
    picture.save(out, "JPEG", quality=90)
    return out.getvalue()


def by_hand(data: bytes) -> bytes:
    """What somebody writes who knows Pillow well."""
    from io import BytesIO

    import PIL.Image

    picture = PIL.Image.open(BytesIO(data))
    picture.draft("RGB", (SIDE, SIDE * picture.height // picture.width))
    picture.thumbnail((SIDE, SIDE))
    out = BytesIO()
    picture.save(out, "JPEG", quality=85)
    return out.getvalue()


def fitting() -> None:
    """Ratios of fitting one picture."""
    data = photo(4000, 3000)
    limits = Capabilities(max_image_dimension=SIDE, max_image_bytes=5_000_000)

    def ours() -> None:
        media.normalize(Request([user(Image(data))]), limits)  # a new picture: what was made of the last one is gone

    found = _measure.in_turns(
        9, hand=lambda: _measure.cpu(lambda: by_hand(data), 1), ours=lambda: _measure.cpu(ours, 1)
    )
    milli = found["hand"] * 1e3
    _measure.row(f"12 MP to {SIDE} px (by hand {milli:.0f} ms)", f"{found['ours'] / found['hand']:.2f}", "at most 1.2")
    request = Request([user(Image(data))])
    media.normalize(request, limits)
    again = min(timeit.repeat(lambda: media.normalize(request, limits), number=50, repeat=5)) / 50
    _measure.row("the same picture again", f"{again * 1e3:.3f} ms", "at most 1 ms")


def untouched() -> None:
    """A picture that fits, with every limit there is."""
    header = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x03\xe8\x00\x00\x03\xe8\x08\x06\x00\x00\x00"
    request = Request([user(Image(header + bytes(1_000_000)))])
    limits = Capabilities(
        max_images_per_request=100,
        max_image_dimension=8000,
        max_image_bytes=5_000_000,
        allowed_image_mime=("image/jpeg", "image/png"),
        max_total_image_bytes=20_000_000,
        many_images=20,
        many_image_dimension=2000,
    )
    assert media.normalize(request, limits) is request
    took = min(timeit.repeat(lambda: media.normalize(request, limits), number=1000, repeat=7)) / 1000
    _measure.row("a picture that fits", f"{took * 1e6:.1f} us", "at most 20 us")


PEAK = """
import sys
sys.path.insert(0, sys.argv[4])
from _worker import peak
from majordomo import Image, Registry, user
images = [Image(b"\\xff\\xd8\\xff" + bytes([n]) * (int(sys.argv[3]) - 3)) for n in range(int(sys.argv[2]))]
model = Registry({"LLM_BOX": f"llama-swap://t@{sys.argv[1]}"}).parse("box/m")
model.generate("warm up")
before = peak()
model.generate([user(*images, "What are these?")], timeout=120)
print(peak() - before)
"""


def sending() -> None:
    """Memory that sending pictures needs above the pictures themselves, against their base64."""
    import subprocess

    if not sys.platform.startswith("linux"):
        return _measure.row(f"{SENT} pictures: memory to send", "not measured", "at most 3")
    with _measure.Server() as host:
        command = [sys.executable, "-c", PEAK, host, str(SENT), str(SIZE), str(_measure.HERE)]
        done = subprocess.run(command, env=_measure.environ(), check=True, stdout=subprocess.PIPE, text=True)
    ratio = float(done.stdout) * 2**20 / (SENT * SIZE * 4 / 3)
    _measure.row(f"{SENT} pictures of {SIZE // 10**6} MB: memory to send", f"{ratio:.2f} of base64", "at most 3")


def main() -> None:
    untouched()
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        print("  (no Pillow: fitting is not measured)")
    else:
        fitting()
    sending()


if __name__ == "__main__":
    main()

"""An agent that sees what it does: tools that go, click and take screenshots, until the question is answered.

    MAJORDOMO_MODEL=openai/gpt-5-mini python3 agent_with_screenshots.py "What colour is the page behind the link?"

The browser is a stand-in of a few lines. With Playwright the same three methods are `page.goto(url)`,
`page.mouse.click(x, y)` and `page.screenshot()`, which gives the bytes of a PNG, too.
"""

from __future__ import annotations

import os
import struct
import sys
import zlib

from majordomo import Conversation, Image, MajordomoError, parse

SPEC = os.environ.get("MAJORDOMO_MODEL", "ollama/qwen3-vl:4b, openai/gpt-5-mini")
WIDTH, HEIGHT = 320, 200


class Browser:
    """Two pages of one colour each; a click anywhere leads from the first to the second."""

    PAGES = {"https://example.test/": (200, 30, 30), "https://example.test/next": (30, 30, 200)}

    def __init__(self) -> None:
        self.url = ""

    def goto(self, url: str) -> str:
        """Open a page.

        Args:
            url: Where it is, such as https://example.test/
        """
        if url not in self.PAGES:
            raise ValueError(f"no such page: {url}")  # the model is told, and may try another one
        self.url = url
        return f"opened {url}"

    def click(self, x: int, y: int) -> str:
        """Click at a place of the page.

        Args:
            x: Pixels from the left.
            y: Pixels from the top.
        """
        return self.goto("https://example.test/next")

    def screenshot(self) -> Image:
        """See the page as it is now."""
        if not self.url:
            raise ValueError("no page is open")
        return Image.from_bytes(png(self.PAGES[self.url]))


def png(colour: tuple[int, int, int]) -> bytes:
    """A picture of one colour."""
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes(colour) * WIDTH) * HEIGHT)
    data = b"\x89PNG\r\n\x1a\n"
    for name, body in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return data


def log(call, result) -> None:
    said = [getattr(part, "text", "a picture") for part in result.parts]
    print(f"{call.name}({call.arguments}): {', '.join(said)}", file=sys.stderr)


def main() -> int:
    browser = Browser()
    talk = Conversation(
        parse(SPEC),
        system="You use a browser. Look at a screenshot before you say what is on a page.",
        tools=[browser.goto, browser.click, browser.screenshot],
        token_budget=30_000,  # the oldest questions go first, with their screenshots
        max_turns=20,
        on_tool=log,
    )
    for question in sys.argv[1:] or ["What colour is https://example.test/, and the page behind it?"]:
        try:
            print(talk.ask(question, timeout=300).text)
        except MajordomoError as error:
            print(f"gave up after {len(error.messages)} messages: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

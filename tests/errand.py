"""A whole errand, done by whichever copy of the library it is told to use.

    python3 errand.py FOLDERS PACKAGE [TESTING]

FOLDERS, joined as those of PYTHONPATH are, come first on the path. PACKAGE is the name that
the copy is imported by. TESTING is the package that the fake server is taken from, itself if
not given. Each step prints what came of it; a step that came to something else ends it with
status 1. It needs no other module of the tests, and nothing that is installed.
"""

from __future__ import annotations

import os
import pickle
import sys
from base64 import b64decode
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from tempfile import TemporaryDirectory

TOKEN = "errand-token"

# A picture of 64 x 48 pixels.
PNG = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAAAwCAAAAACEICPDAAAAGklEQVR4nO3BgQAAAADDoPlTX+AIVQEAAHwDDDAAARSbMNkAAAAASUVORK5CYII="
)


@dataclass
class City:
    name: str
    people: int


def double(number: int) -> int:
    return 2 * number


class Errand:
    """One job with many steps; each gives what came of it and what should have."""

    def __init__(self, library, testing, server) -> None:
        self.library, self.testing, self.server = library, testing, server
        dead = f"llama-swap://{TOKEN}@127.0.0.1:{testing.dead_port()}"
        few, small = (server.dsn(options=option) for option in ("max_images=1", "max_image_dimension=32"))
        os.environ.update({"LLM_DEAD": dead, "LLM_BOX": server.dsn(), "LLM_FEW": few, "LLM_SMALL": small})
        self.chain = library.parse("dead/m, box/m")

    def ask(self):
        reply = self.chain.generate("Hello?", timeout=60)
        tries = [(attempt.target, attempt.outcome) for attempt in reply.attempts]
        return (reply.text, tries), ("Hello from the fake server.", [("dead/m", "failed"), ("box/m", "answered")])

    def stream(self):
        with self.chain.stream("Hello?", timeout=60) as stream:
            return "".join(stream.text_deltas()), "Hello from the fake server."

    def fit(self):
        """The oldest picture is left out; one that is too large is shrunk, or the way out is named."""
        image = self.library.Image(PNG)
        self.server.add(self._measured, self._measured)
        sent = self.library.parse("few/m").generate(self.library.user(image, image, "What is this?"), timeout=60).text
        try:
            made = self.library.parse("small/m").generate(self.library.user(image, "And this?"), timeout=60).text
        except self.library.UnsupportedError as error:
            made = "install Pillow" in str(error)
        return (sent, made), ("64 x 48", "32 x 24" if find_spec("PIL") else True)

    def _measured(self, seen):
        """What the fake model says of the one picture that it was sent."""
        content = seen.json["messages"][-1]["content"]
        (url,) = (part["image_url"]["url"] for part in content if part["type"] == "image_url")
        info = self.library.media.info(self.library.Image.from_base64(url))
        return self.testing.Reply(f"{info.width} x {info.height}")

    def fill(self):
        self.server.add(self.testing.Reply('{"name": "Bergen", "people": 291940}'))
        return self.chain.generate("A city?", schema=City, timeout=60).parsed, City("Bergen", 291940)

    def ask_many(self):
        replies = self.library.generate_many(self.chain, ["One?", "Two?", "Three?"], workers=2, timeout=60)
        return [reply.text for reply in replies], ["Hello from the fake server."] * 3

    def use_a_tool(self):
        call = self.library.ToolCall("call_1", "double", {"number": 21})
        self.server.add(self.testing.Reply(tool_calls=[call]))
        self.server.add(lambda seen: self.testing.Reply(f"It is {seen.json['messages'][-1]['content']}."))
        return self.library.run_tools(self.chain, "Twice 21?", [double], timeout=60).text, "It is 42."

    def draw(self):
        drawn = self.library.parse_image("dead/m, box/m").generate("a red dot", timeout=60)
        return (drawn.model, drawn.images[0].mime), ("box/m", "image/png")

    def travel(self):
        """What pickles names the copy it came from, and holds no token."""
        try:
            self.library.parse("dead/m").generate("Hello?", timeout=0.2)
        except self.library.MajordomoError as raised:
            packed = pickle.dumps((raised, self.chain))
        error, chain = pickle.loads(packed)
        home = self.library.__name__
        found = (type(error).__module__, type(chain).__module__, chain.name, TOKEN in repr(packed))
        return found, (home + ".errors", home + ".chain", self.chain.name, False)

    def remember(self):
        """What one registry learned of a dead target, another one reads from their file."""
        with TemporaryDirectory() as folder:
            one, other = (self.library.Registry(health=os.path.join(folder, "health")) for _ in range(2))
            one.parse("dead/m, box/m").generate("Hello?", timeout=60)
            reply = other.parse("dead/m, box/m").generate("Hello?", timeout=60)
        return [attempt.outcome for attempt in reply.attempts], ["skipped", "answered"]

    def leave_others_alone(self):
        """A package of the library's own name is there only if it is the one that was meant."""
        return "majordomo" in sys.modules, "majordomo" in (self.library.__name__, self.testing.__package__)


def main(folders: str, package: str, testing: str = "") -> int:
    sys.path[:0] = folders.split(os.pathsep)
    library, testing = import_module(package), import_module(f"{testing or package}.testing")
    with testing.FakeServer() as server:
        errand = Errand(library, testing, server)
        for name in [name for name in vars(Errand) if not name.startswith("_")]:
            found, wanted = getattr(errand, name)()
            print(f"{name}: {found!r}")
            if found != wanted:
                print(f"wanted: {wanted!r}", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""The servers that are asked, in a process of their own: `python3 _server.py fake|lean WORDS`.

fake: `FakeServer`, whose answers have so many words. It costs about as much as the client
by hand, so it cannot tell how many calls a second many threads make. lean: gives out the
fake server's answers as it heard them when each question came first, for next to nothing.
The host is printed; the end of the standard input ends it.
"""

from __future__ import annotations

import asyncio
import http.client
import re
import sys

import _measure  # noqa: F401  (which finds the package)

from majordomo.testing import FakeServer, Reply

LENGTH = re.compile(rb"\ncontent-length: *(\d+)", re.I)


class Lean(asyncio.Protocol):
    """A connection that repeats what `host` once answered."""

    known: dict[tuple[str, bytes], bytes] = {}
    host = ""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport, self.held = transport, b""

    def data_received(self, data: bytes) -> None:
        self.held += data
        head, end, body = self.held.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not end or len(body) < int(length[1] if length else 0):
            return
        key = (head.split(b" ", 2)[1].decode(), body)
        self.held = b""
        if key not in self.known:
            self.known[key] = self.heard(*key)
        self.transport.write(self.known[key])

    def heard(self, path: str, body: bytes) -> bytes:
        """What the fake server answers, as bytes."""
        connection = http.client.HTTPConnection(self.host)
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        data, kind = answer.read(), answer.headers["Content-Type"]
        head = f"HTTP/1.1 {answer.status} OK\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n"
        connection.close()
        return head.encode() + data


async def lean() -> None:
    """Serve until the standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Lean, "127.0.0.1", 0)
    print("{}:{}".format(*server.sockets[0].getsockname()), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    kind, words = sys.argv[1], int(sys.argv[2])
    with FakeServer() as fake:
        pieces = ["word ", "next "] * (words // 2)  # the same one again and again is an error to litellm
        fake.default = Reply("".join(pieces), pieces=pieces)
        if kind == "lean":
            Lean.host = fake.host
            asyncio.run(lean())
        else:
            print(fake.host, flush=True)
            sys.stdin.read()

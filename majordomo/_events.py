"""Bytes of a stream in, events out: server-sent events, and JSON line by line.

Pure, and indifferent to how the bytes were split: any cut, also inside a character or
between CR and LF, gives the same events. What servers do beside the standard is met
here too: a line that is bare JSON (llama-swap reports a failed start so), and a whole
JSON document where a stream was asked for.
"""

from __future__ import annotations

from .errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    Event = tuple[str, bytes]

__all__ = ["EventDecoder", "LineDecoder"]


class EventDecoder:
    """Feed bytes, get `(event name, data)`; the name is `""` where the stream gives none.

    A comment is no event, and neither is an event without data. Bare JSON, that is lines
    from one that starts with `{` until its braces balance, is an event of its own. If
    the stream as a whole is no event stream but one JSON document, `close` gives it as
    the only event.
    """

    def __init__(self) -> None:
        self._rest = bytearray()  # an unfinished line; as a list its pieces would take many times their size
        self._after_cr = False  # the last line ended in CR: an LF that follows belongs to it
        self._name = ""
        self._data: list[bytes] = []
        self._bare: list[bytes] = []
        self._depth = 0  # braces that are open in it
        self._document: bytearray | None = None
        self._begun = False
        self._fresh = True  # not even a BOM has been looked for

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that this chunk completes."""
        if not self._begun:
            chunk = self._begin(chunk)
        if self._document is not None:
            self._document += chunk
            return []
        if b"\r" in chunk or self._after_cr:
            chunk = self._plain_ends(chunk)
        if b"\n" not in chunk:
            self._rest += chunk
            return []
        if self._rest:
            chunk = bytes(self._rest + chunk)
            self._rest = bytearray()
        lines = chunk.split(b"\n")
        self._rest += lines.pop()
        events: list[Event] = []
        for line in lines:
            if self._bare and self._is_more(line, events):
                continue
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif not line:
                if self._data:
                    events.append((self._name, self._data[0] if len(self._data) == 1 else b"\n".join(self._data)))
                    self._data = []
                self._name = ""
            elif line.startswith(b"{"):
                self._is_more(line, events)
            elif line.startswith(b"event:"):
                self._name = line[6:].strip().decode("utf-8", "replace")
            elif line == b"data":
                self._data.append(b"")
        return events

    @property
    def is_document(self) -> bool:
        """Whether this is no event stream but one JSON document."""
        return self._document is not None

    def close(self) -> list[Event]:
        """The stream is over: the event it left without a blank line, or the document."""
        if self._document is not None:
            document, self._document = bytes(self._document), bytearray()
            return [("", document)] if document else []
        self._begun = True
        return self.feed(b"\n\n")

    def _is_more(self, line: bytes, events: list[Event]) -> bool:
        """Take a line of bare JSON; False if the line is something else, which ends it."""
        if self._bare and line[:1] not in (b" ", b"\t", b'"', b"}", b"]"):
            self._end_bare(events)
            return False
        self._bare.append(line)
        self._depth += line.count(b"{") - line.count(b"}")
        if self._depth <= 0 and line.endswith(b"}"):
            self._end_bare(events)
        return True

    def _end_bare(self, events: list[Event]) -> None:
        events.append(("", b"\n".join(self._bare)))
        self._bare, self._depth = [], 0

    def _begin(self, chunk: bytes) -> bytes:
        """Look at the first bytes: a BOM goes, a JSON document or a web page is told apart.

        Blank lines in front keep the connection alive and mean nothing.
        """
        start = bytes(self._rest + chunk)
        self._rest = bytearray()
        if self._fresh:
            if len(start) < 3 and b"\xef\xbb\xbf".startswith(start):
                self._rest += start
                return b""
            self._fresh = False
            start = start[3:] if start.startswith(b"\xef\xbb\xbf") else start
        shown = start.lstrip(b" \t\r\n")
        blank = start[: len(start) - len(shown)]
        indent = blank[max(blank.rfind(b"\n"), blank.rfind(b"\r")) + 1 :][:1]  # enough to make the line no field
        if not shown:
            self._rest += indent
            return b""
        self._begun = True
        if shown[:1] in b"{[":
            self._document = bytearray()
            return shown
        if shown[:1] == b"<":
            raise ProtocolError("the answer is a web page, not an event stream: is the URL right?")
        return indent + shown

    def _plain_ends(self, chunk: bytes) -> bytes:
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_cr = False
        if chunk:
            self._after_cr = chunk.endswith(b"\r")
        chunk = chunk.replace(b"\r\n", b"\n")
        return chunk.replace(b"\r", b"\n") if b"\r" in chunk else chunk


class LineDecoder:
    """JSON line by line (NDJSON), read as `EventDecoder` reads events; none of them has a name.

    An empty line is nothing. A line need not be JSON: what it is worth is the wire's to say.
    """

    is_document = False  # what a line holds is never more than one event

    def __init__(self) -> None:
        self._rest = bytearray()
        self._fresh = True

    def feed(self, chunk: bytes) -> list[Event]:
        """The lines that this chunk completes."""
        if self._fresh:
            chunk = self._begin(chunk)
        if b"\n" not in chunk:
            self._rest += chunk
            return []
        if self._rest:
            chunk = bytes(self._rest + chunk)
            self._rest = bytearray()
        lines = chunk.split(b"\n")
        self._rest += lines.pop()
        return [("", line) for line in map(bytes.strip, lines) if line]

    def _begin(self, chunk: bytes) -> bytes:
        """Look at the first bytes: a BOM goes, a web page is told apart."""
        start = bytes(self._rest + chunk)
        self._rest = bytearray()
        if len(start) < 3 and b"\xef\xbb\xbf".startswith(start):
            self._rest += start
            return b""
        start = (start[3:] if start.startswith(b"\xef\xbb\xbf") else start).lstrip()
        if start.startswith(b"<"):
            raise ProtocolError("the answer is a web page, not a stream of JSON: is the URL right?")
        self._fresh = not start
        return start

    def close(self) -> list[Event]:
        """The stream is over: the line that it left without an end."""
        self._fresh = False
        return self.feed(b"\n")


# What a wire's streams are made of -> who reads them.
DECODERS: dict[str, type[EventDecoder | LineDecoder]] = {"sse": EventDecoder, "ndjson": LineDecoder}

"""HTTP/1.1 answers: a status, header fields and a body out of the bytes of a connection.

It reads from a buffer and owns no socket. `http.client` has a reader too, which hands
every head to the parser of e-mail: a third of the instructions of a call by hand (ADR 12).
This one also tells an end of the bytes from an end of the head, of a chunk and of the
trailers: a connection that is closed in between has cut the answer.

What is no HTTP is raised as `http.client` does, so that whoever reads above knows one
set of errors; chunks that make no sense are a `TruncatedError`. Source: RFC 9112.
"""

from __future__ import annotations

from http.client import BadStatusLine, HTTPException, IncompleteRead, LineTooLong, RemoteDisconnected

from .errors import TruncatedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LINE_CAP = 65536  # bytes of a line of a head; as `http.client` has it
FIELD_CAP = 100  # lines of a head; as `http.client` has it
MOST_INFORMATIONAL = 32  # answers of status 1xx before the real one
_HEX = b"0123456789abcdefABCDEF"


def skip_informational(reader: Any) -> bool:
    """Read past the head of a 1xx answer, if that is what comes; False, and nothing read, if it is something else."""
    start = reader.peek(16)
    if not (start.startswith(b"HTTP/1.") and start[8:10] == b" 1") or start[9:12] == b"101":
        return False
    _check_end(reader.readline(LINE_CAP + 1))
    _read_fields(reader)
    return True


class Incoming:
    """An answer whose head has been read.

    status: its code. headers: its fields by their names in lower case, the first where one
    comes twice (of those that say where the answer ends, all). left: bytes of the body that
    have not been read, None if nobody has said how many. closes: whether the connection
    serves nobody after it.

    method: of the request. Raises BadStatusLine, LineTooLong and other HTTPExceptions for
    what is not HTTP, RemoteDisconnected if nothing came, or half a head.
    """

    __slots__ = ("_chunk", "_chunked", "_reader", "_within", "closes", "headers", "left", "status")

    def __init__(self, reader: Any, method: str) -> None:
        self._reader = reader
        try:
            version = self._head()
        except IncompleteRead as exc:
            raise RemoteDisconnected("closed in the middle of a head") from exc
        headers = self.headers
        self._chunk = 0  # bytes of the chunk under way that have not been read
        self._within = False  # whether the end of a chunk has to be read before the next one
        coding: str | None = headers.get("transfer-encoding", "").lower()
        if coding in ("", "identity"):
            coding = None
        self._chunked = coding is not None and coding.rpartition(",")[2].strip() == "chunked"
        self.left = self._announced(method, coding)
        told = headers.get("connection", "").lower()
        stays = "close" not in told if version == b"HTTP/1.1" else "keep-alive" in told
        self.closes = not stays or (self.left is None and not self._chunked)

    @property
    def ended(self) -> bool:
        """Whether the body has been read to an end that was announced."""
        return self.left == 0

    def read1(self, size: int) -> bytes:
        """The next bytes of the body, as they come; none at its end, and where it was cut short of `left`."""
        if self._chunked:
            return self._read_chunk(size)
        left = self.left
        if left is None:
            return self._reader.read1(size)  # type: ignore[no-any-return]
        if not left:
            return b""
        data: bytes = self._reader.read1(min(size, left))
        self.left = left - len(data)
        return data

    def read(self) -> bytes:
        """The rest of a body whose size is known; IncompleteRead if it is cut."""
        assert self.left is not None
        data: bytes = self._reader.read(self.left)
        self.left -= len(data)
        if self.left:
            raise IncompleteRead(b"", self.left)
        return data

    def _head(self) -> bytes:
        """Read heads up to the first that is not informational; its version."""
        for _ in range(MOST_INFORMATIONAL):
            line: bytes = self._reader.readline(LINE_CAP + 1)
            version, _, rest = line.partition(b" ")
            code = rest.lstrip(b" ")[:4].rstrip()
            if not b"HTTP/1.".startswith(line[:7]):
                raise BadStatusLine(repr(line[:80]))
            _check_end(line)
            if len(code) != 3 or not code.isdigit() or code < b"100":
                raise BadStatusLine(repr(line[:80]))
            self.status = int(code)
            self.headers = _read_fields(self._reader)
            if self.status >= 200:
                return version
            if self.status == 101:
                raise HTTPException("a switch of protocols that nobody asked for")
        raise HTTPException("nothing but 1xx answers")

    def _announced(self, method: str, coding: str | None) -> int | None:
        """How many bytes the body has, None if nobody says."""
        if method == "HEAD" or self.status in (204, 304) or (method == "CONNECT" and self.status < 300):
            self._chunked = False
            return 0
        told = self.headers.get("content-length", "") if coding is None else ""
        lengths = {length.strip() for length in told.split(",")} - {""}
        if not lengths:
            return None
        length = lengths.pop()
        if lengths or not (length.isascii() and length.isdigit() and len(length) < 20):
            raise HTTPException("a length that is none, or two that differ")
        return int(length)

    def _read_chunk(self, size: int) -> bytes:
        """The next bytes of a body in chunks; IncompleteRead if one is cut, TruncatedError if there is none."""
        if not self._chunk and not self._next_chunk():
            return b""
        data: bytes = self._reader.read1(min(size, self._chunk))
        if not data:
            raise IncompleteRead(b"", self._chunk)
        self._chunk -= len(data)
        return data

    def _next_chunk(self) -> int:
        """Read the size of the next chunk; behind the last one, the trailers.

        The end of the one before is read here and no sooner: its data must not wait for it.
        """
        line = self._reader.readline
        if self._within:
            end = line(LINE_CAP + 1)
            if end not in _EMPTY:
                _check_end(end)
                raise TruncatedError("the answer broke off: a chunk is longer than it says")
        said = line(LINE_CAP + 1)
        _check_end(said)
        size = said.partition(b";")[0].strip()
        if not size or len(size) > 16 or size.translate(None, _HEX):
            raise TruncatedError("the answer broke off: there is no size where a chunk should begin")
        self._chunk = int(size, 16)
        self._within = True
        if not self._chunk:
            _read_fields(self._reader)
            self._chunked, self.left = False, 0
        return self._chunk


_EMPTY = (b"\r\n", b"\n")
_FRAMING = ("connection", "content-length", "transfer-encoding")  # of these each counts


def _read_fields(reader: Any) -> dict[str, str]:
    """Read header fields, or trailers, to the empty line behind them."""
    found: dict[str, str] = {}
    name = ""
    for _ in range(FIELD_CAP + 1):
        line: bytes = reader.readline(LINE_CAP + 1)
        if line in _EMPTY:
            return found
        _check_end(line)
        text = line.decode("latin-1")
        if text[0] in " \t":  # a field that goes on, in a form long out of use
            if name:
                found[name] += " " + text.strip()
            continue
        name, colon, value = text.partition(":")
        name, value = name.rstrip(" \t").lower(), value.strip()
        if not colon:
            name = ""  # no field; nobody knows what it means
        elif found.setdefault(name, value) != value and name in _FRAMING:
            found[name] += ", " + value
    raise HTTPException(f"more than {FIELD_CAP} header fields")


def _check_end(line: bytes) -> None:
    """Raise what it means that a line has no end."""
    if line[-1:] != b"\n":
        raise LineTooLong("line") if len(line) > LINE_CAP else IncompleteRead(b"")

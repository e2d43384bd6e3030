"""`_incoming`: bytes of a connection to a status, fields and a body, cut anywhere."""

from __future__ import annotations

import io
from http.client import BadStatusLine, HTTPException, IncompleteRead, LineTooLong, RemoteDisconnected

import pytest

from majordomo._incoming import FIELD_CAP, LINE_CAP, MOST_INFORMATIONAL, Incoming, skip_informational
from majordomo.errors import TruncatedError


class Pieces(io.RawIOBase):
    """Bytes that come in pieces of a size, as from a socket."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data, self._size = data, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        size = min(self._size, len(buffer))
        piece, self._data = self._data[:size], self._data[size:]
        buffer[: len(piece)] = piece
        return len(piece)


def incoming(data: bytes, method: str = "POST", size: int = 7) -> Incoming:
    return Incoming(io.BufferedReader(Pieces(data, size)), method)


def body(answer: Incoming) -> bytes:
    found = b""
    while True:
        piece = answer.read1(65536)
        if not piece:
            return found
        found += piece


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

# Bytes -> status, body, whether its end was announced, whether the connection may not serve again.
ANSWERS = {
    "a length": (OK + b"Content-Length: 5\r\n\r\nhello", 200, b"hello", True, False),
    "more than its length": (OK + b"Content-Length: 5\r\n\r\nhello, world", 200, b"hello", True, False),
    "a length of nothing": (OK + b"Content-Length: 0\r\n\r\n", 200, b"", True, False),
    "no length": (OK + b"\r\nhello", 200, b"hello", False, True),
    "the same length twice": (OK + b"Content-Length: 5\r\ncontent-length: 5\r\n\r\nhello", 200, b"hello", True, False),
    "the same length twice in one field": (OK + b"Content-Length: 5, 5\r\n\r\nhello", 200, b"hello", True, False),
    "an empty length": (OK + b"Content-Length:\r\n\r\nhello", 200, b"hello", False, True),
    "no coding": (OK + b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", True, False),
    "a field that goes on before it began": (
        OK + b" Content-Length: 1\r\nContent-Length: 2\r\n\r\nhi",
        200,
        b"hi",
        True,
        False,
    ),
    "chunks": (CHUNKED + b"5\r\nhello\r\n7;a=b\r\n, world\r\n0\r\n\r\n", 200, b"hello, world", True, False),
    "chunks with trailers": (CHUNKED + b"1\r\nx\r\n000\r\nA: b\r\nC: d\r\n\r\n", 200, b"x", True, False),
    "chunks of a capital size": (CHUNKED + b"A\r\n0123456789\r\n0\r\n\r\n", 200, b"0123456789", True, False),
    "chunks, whatever the length": (
        OK + b"Content-Length: 3\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        200,
        b"hello",
        True,
        False,
    ),
    "chunks of another coding": (
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        200,
        b"x",
        True,
        False,
    ),
    "two codings in two fields": (
        OK + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        200,
        b"x",
        True,
        False,
    ),
    "a word on its end in the second field": (
        OK + b"Connection: keep-alive\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
        200,
        b"hi",
        True,
        True,
    ),
    "another coding alone": (OK + b"Transfer-Encoding: gzip\r\nContent-Length: 1\r\n\r\nhi", 200, b"hi", False, True),
    "bare line ends": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", 200, b"hi", True, False),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", True, False),
    "many blanks": (b"HTTP/1.1   200   OK\r\nContent-Length :  2  \r\n\r\nhi", 200, b"hi", True, False),
    "a connection that closes": (OK + b"Connection: Close\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", True, True),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", True, True),
    "HTTP/1.0 that stays": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
        200,
        b"hi",
        True,
        False,
    ),
    "no content": (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204, b"", True, False),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", 304, b"", True, False),
    "a word ahead": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        + OK
        + b"Content-Length: 1\r\n\r\nx",
        200,
        b"x",
        True,
        False,
    ),
    "an error": (b"HTTP/1.1 503 Busy\r\nContent-Length: 1\r\n\r\nx", 503, b"x", True, False),
}


@pytest.mark.parametrize("size", [1, 7, 65536])
@pytest.mark.parametrize("name", ANSWERS)
def test_answers(name, size):
    """A status and a body are what they are, in whatever pieces they come."""
    data, status, content, ended, closes = ANSWERS[name]
    answer = incoming(data, size=size)
    assert answer.status == status
    assert body(answer) == content
    assert (answer.ended, answer.closes) == (ended, closes)


@pytest.mark.parametrize("name", [name for name in ANSWERS if ANSWERS[name][3]])
def test_cut_anywhere(name):
    """Of an answer whose end is announced, no beginning passes for the whole."""
    data, _, content, _, _ = ANSWERS[name]
    for end in range(len(data)):
        try:
            answer = incoming(data[:end])
            found = body(answer)
        except (HTTPException, TruncatedError, ConnectionError):
            continue
        assert not answer.ended or found == content


# What is no answer -> what is raised.
ODD = {
    "nothing": (b"", RemoteDisconnected),
    "half a status line": (b"HTTP/1.1 20", RemoteDisconnected),
    "half a head": (OK + b"Content-Length: 5\r\n", RemoteDisconnected),
    "another protocol": (b"220 smtp.example ESMTP\r\n", BadStatusLine),
    "another protocol, cut": (b"SSH-2.0", BadStatusLine),
    "a page": (b"<html></html>", BadStatusLine),
    "HTTP/2": (b"HTTP/2 200\r\n\r\n", BadStatusLine),
    "no status": (b"HTTP/1.1\r\n\r\n", BadStatusLine),
    "a status of letters": (b"HTTP/1.1 abc\r\n\r\n", BadStatusLine),
    "a status of four digits": (b"HTTP/1.1 2000 OK\r\n\r\n", BadStatusLine),
    "a status below 100": (b"HTTP/1.1 099 Early\r\n\r\n", BadStatusLine),
    "an endless status line": (b"HTTP/1.1 " + b"2" * (2 * LINE_CAP), LineTooLong),
    "an endless field": (OK + b"X: " + b"y" * (2 * LINE_CAP), LineTooLong),
    "too many fields": (OK + b"X: y\r\n" * (FIELD_CAP + 1) + b"\r\n", HTTPException),
    "too many continuations": (OK + b"X: y\r\n" + b" z\r\n" * FIELD_CAP + b"\r\n", HTTPException),
    "a length that is none": (OK + b"Content-Length: many\r\n\r\nhello", HTTPException),
    "a negative length": (OK + b"Content-Length: -5\r\n\r\nhello", HTTPException),
    "a length of odd digits": (OK + "Content-Length: ²\r\n\r\nhello".encode("latin-1"), HTTPException),
    "two lengths in one field": (OK + b"Content-Length: 5, 6\r\n\r\nhello", HTTPException),
    "two lengths": (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", HTTPException),
    "a switch": (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", HTTPException),
    "words ahead for ever": (b"HTTP/1.1 100 Continue\r\n\r\n" * (MOST_INFORMATIONAL + 1), HTTPException),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_no_answer(name):
    """What is not HTTP, or half of it, is said to be so."""
    data, error = ODD[name]
    with pytest.raises(error) as caught:
        incoming(data)
    assert type(caught.value) is error
    assert len(str(caught.value)) < 400


# What stands where a chunk should -> what is raised.
ODD_CHUNKS = {
    "no size": (b"\r\n", TruncatedError),
    "a word": (b"zz\r\nhello", TruncatedError),
    "a sign": (b"-5\r\nhello\r\n", TruncatedError),
    "a prefix": (b"0x5\r\nhello\r\n", TruncatedError),
    "an underscore": (b"1_0\r\n" + b"x" * 16, TruncatedError),
    "too many digits": (b"1" * 17 + b"\r\nhello", TruncatedError),
    "more than it says": (b"3\r\nhello\r\n0\r\n\r\n", TruncatedError),
    "less than it says": (b"50\r\nhello\r\n0\r\n\r\n", IncompleteRead),
    "a cut": (b"5\r\nhel", IncompleteRead),
    "no last chunk": (b"5\r\nhello\r\n", IncompleteRead),
    "half the last chunk": (b"5\r\nhello\r\n0\r\n", IncompleteRead),
    "an endless size": (b"1" * (2 * LINE_CAP), LineTooLong),
    "trailers without end": (b"0\r\n" + b"X: y\r\n" * (FIELD_CAP + 1), HTTPException),
}


@pytest.mark.parametrize("name", ODD_CHUNKS)
def test_what_is_no_chunk(name):
    """Chunks that make no sense, or break off, are never the end of a body."""
    data, error = ODD_CHUNKS[name]
    answer = incoming(CHUNKED + data)
    with pytest.raises(error) as caught:
        body(answer)
    assert type(caught.value) is error
    assert not answer.ended


@pytest.mark.parametrize(
    ("data", "rest"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, OK),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, OK),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        (b"HTTP/1.1 413 Too Large\r\n\r\n", b"HTTP/1.1 413 Too Large\r\n\r\n"),
        (b"", b""),
    ],
)
def test_words_ahead_are_read_past(data, rest):
    """A 1xx that comes while a request is being sent is no answer to it; all else is left to be read."""
    reader = io.BufferedReader(Pieces(data, 65536))
    assert skip_informational(reader) is (data != rest)
    assert reader.read() == rest


def test_fields():
    """Names ignore case; the first of two counts; what goes on is one field; what is no field is left out."""
    answer = incoming(
        OK + b"X-One: 1\r\nx-one: 2\r\nX-Two: a\r\n\tb\r\nno field\r\n gone\r\nX-Three:\r\nX-Four: \xe9\r\n\r\n"
    )
    assert answer.headers == {"x-one": "1", "x-two": "a b", "x-three": "", "x-four": "é"}


def test_data_does_not_wait_for_the_end_of_its_chunk():
    """What has come is handed out, though its chunk's own end has not."""
    reader = io.BufferedReader(Pieces(CHUNKED + b"5\r\nhello", 65536))
    assert Incoming(reader, "POST").read1(65536) == b"hello"


def test_the_rest_is_left_to_the_next_answer():
    """Of the bytes behind an answer none is read."""
    reader = io.BufferedReader(Pieces((OK + b"Content-Length: 1\r\n\r\nx") * 2, 65536))
    for _ in range(2):
        answer = Incoming(reader, "POST")
        assert answer.read() == b"x"
        assert answer.ended


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("CONNECT", 200), ("POST", 204)])
def test_answers_without_a_body(method, status):
    """Some have none, whatever their fields say."""
    answer = incoming(b"HTTP/1.1 %d X\r\nContent-Length: 9\r\n\r\n" % status, method)
    assert answer.left == 0
    assert body(answer) == b""


def test_a_body_that_is_cut():
    """A body read as a whole, and shorter than announced, is an error."""
    with pytest.raises(IncompleteRead):
        incoming(OK + b"Content-Length: 9\r\n\r\nhello").read()

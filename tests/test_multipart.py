"""Forms with files in them, read back by the standard library's own parser."""

from __future__ import annotations

import pytest

from majordomo.testing import Seen
from majordomo.wires import _multipart


def read(form):
    """(name, filename, type, bytes) of each part."""
    return Seen("POST", "/", {"content-type": form.content_type}, form.body).form


FILES = {
    "nothing": b"",
    "line ends": b"\r\n\r\n--\r\n",
    "ends at a CR": b"abc\r",
    "ends at a LF": b"abc\n",
    "CR alone": b"a\rb\rc",
    "all bytes": bytes(range(256)) * 20,
    "a header": b"Content-Type: text/html\r\n\r\n<html>",
}


@pytest.mark.parametrize("data", list(FILES.values()), ids=list(FILES))
def test_a_file_arrives_as_it_was(data):
    """Every byte of a file comes through, in its place."""
    form = _multipart.encode([("model", "m")], [("image[]", "a.png", "image/png", data)])
    assert read(form) == [("model", None, "text/plain", b"m"), ("image[]", "a.png", "image/png", data)]


def test_fields_are_utf8_and_keep_their_lines():
    """A prompt of several lines and scripts is the same at the other end; what is no text becomes a question mark."""
    form = _multipart.encode([("prompt", "ein Käse\nzwei 猫"), ("odd", "\ud83d")], [])
    assert [part[3].decode() for part in read(form)] == ["ein Käse\nzwei 猫", "?"]


def test_the_form_is_written_as_the_rfc_has_it():
    """CRLF everywhere, a boundary before each part and a last one behind."""
    form = _multipart.encode([("a", "1")], [("f", "x.png", "image/png", b"2")])
    boundary = form.content_type.partition("boundary=")[2]
    assert form.body.decode().replace(boundary, "B").split("\r\n") == [
        "--B",
        'Content-Disposition: form-data; name="a"',
        "",
        "1",
        "--B",
        'Content-Disposition: form-data; name="f"; filename="x.png"',
        "Content-Type: image/png",
        "",
        "2",
        "--B--",
        "",
    ]
    assert "body" not in repr(form)


@pytest.mark.parametrize("name", ['a"; filename="b', "a\r\nX-Evil: 1\r\n\r\nb", "a\nb", "a\rb", "\ud83d", "猫"])
def test_no_name_breaks_out_of_its_line(name):
    """Quotes and line ends in a name, a filename or a type cannot make a header or a part."""
    form = _multipart.encode([(name, "1")], [(name, name, name, b"2")])
    assert len(read(form)) == 2
    head = form.body.partition(b"\r\n\r\n")[0]
    assert head.count(b"\r") == head.count(b"\n") == 1
    assert head.count(b'"') == 2
    assert b"\nX-Evil" not in form.body


@pytest.mark.parametrize("mime", ["", "image/png\r\nX-Evil: 1", "bild/käse"])
def test_a_type_that_is_none_is_bytes(mime):
    """A type goes into a header, so only what can stand there does."""
    assert read(_multipart.encode([], [("f", "x", mime, b"2")])) == [("f", "x", "application/octet-stream", b"2")]


def test_the_boundary_stands_in_no_data(monkeypatch):
    """A boundary that some data holds is not taken, whoever put it there."""
    told = iter([b"\x01" * 16, b"\x02" * 16, b"\x03" * 16])
    monkeypatch.setattr(_multipart.os, "urandom", lambda size: next(told))
    bad = "majordomo-" + "01" * 16
    form = _multipart.encode([("prompt", f"--{bad}--")], [("f", "x", "image/png", b"majordomo-" + b"02" * 16)])
    assert form.content_type.endswith("03" * 16)
    assert len(read(form)) == 2

"""Forms with files in them (`multipart/form-data`), which the standard library reads but does not write.

Source: RFC 7578, and the HTML standard for how names are escaped.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from dataclasses import dataclass, field
else:
    from .._frozen import dataclass, field


@dataclass(frozen=True)
class Form:
    """A body that is no JSON, and the Content-Type under which it is sent."""

    content_type: str
    body: bytes = field(repr=False)


def encode(fields: Sequence[tuple[str, str]], files: Sequence[tuple[str, str, str, bytes]]) -> Form:
    """A form. fields: (name, text). files: (name, filename, type, bytes)."""
    parts = [(_disposition(name), text.encode("utf-8", "replace")) for name, text in fields]
    for name, filename, mime, data in files:
        kind = mime if mime.isascii() and mime.isprintable() and mime else "application/octet-stream"
        head = f'{_disposition(name)}; filename="{_escaped(filename)}"\r\nContent-Type: {kind}'
        parts.append((head, data))
    boundary = _boundary([data for _, data in parts])
    pieces = []
    for head, data in parts:
        pieces += [b"--", boundary, b"\r\n", head.encode("utf-8", "replace"), b"\r\n\r\n", data, b"\r\n"]
    pieces += [b"--", boundary, b"--\r\n"]
    return Form(f"multipart/form-data; boundary={boundary.decode()}", b"".join(pieces))


def _boundary(datas: Sequence[bytes]) -> bytes:
    """A line that stands in none of the data."""
    while True:
        boundary = b"majordomo-" + os.urandom(16).hex().encode()
        if not any(boundary in data for data in datas):
            return boundary


def _disposition(name: str) -> str:
    return f'Content-Disposition: form-data; name="{_escaped(name)}"'


def _escaped(name: str) -> str:
    """A name as it may stand between quotes."""
    return name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")

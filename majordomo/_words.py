"""Somebody else's words, made fit for a message."""

from __future__ import annotations

__all__ = ["one_line"]


def one_line(text: str, longest: int) -> str:
    """Text on one line, with nothing that could drive a terminal, cut to `longest`."""
    line = " ".join("".join([c if c.isprintable() else " " for c in text[: longest * 4]]).split())
    return line if len(line) <= longest else line[: longest - 3] + "..."

"""Tokens out of what may be shown: a server may echo one, in whatever way it writes text."""

from __future__ import annotations

import re
from urllib.parse import quote

from . import _json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SHOWABLE = 7  # characters of a token's beginning that tell nothing


def blotted(text: str, secret: str | None) -> str:
    """A text without a token: as it is, percent-encoded, or escaped as in JSON; in any case, and cut short.

    What begins as the token does is covered as far as it goes on in characters of the token:
    one pass, however often a server repeats it.
    """
    if not secret:
        return text
    forms = _forms_of(secret)
    starts = {form[: SHOWABLE + 1] for form in forms}
    low = text.lower()
    if not any(start.lower() in low for start in starts):
        return text
    if len(secret) <= SHOWABLE:  # as part of a word it would only make messages unreadable
        return re.sub(rf"(?<!\w)(?:{'|'.join(map(re.escape, forms))})(?!\w)", "***", text, flags=re.I)
    letters = re.escape("".join(sorted(set().union(*forms))))
    beginning = "|".join(map(re.escape, starts))
    return re.sub(f"(?:{beginning})[{letters}]*", "***", text, flags=re.I)


def _forms_of(secret: str) -> set[str]:
    """How a token may stand in what a server echoes, and in what quotes that once more.

    As it is, in a URL, in JSON, also as PHP and Go write it; and each of these in JSON or as Python shows it.
    """
    escaped = _json.dumps(secret)[1:-1]
    for_html = "".join([f"\\u{ord(c):04x}" if c in "<>&" else c for c in escaped])
    forms = {secret, quote(secret, safe=""), quote(secret), escaped, escaped.replace("/", "\\/"), for_html}
    shown = {form.replace("\\", "\\\\") for form in forms}
    quoted = {form.replace("'", "\\'") for form in shown}  # whichever quotes Python takes
    return forms | shown | quoted | {_json.dumps(form)[1:-1] for form in forms}


def blot(error: BaseException | None, secret: str | None) -> None:
    """Take a token out of an error and of all that it was raised from."""
    seen: set[int] = set()
    while secret and error is not None and id(error) not in seen:
        seen.add(id(error))
        error.args = tuple(_clean(arg, secret) for arg in error.args)
        for name, value in list(getattr(error, "__dict__", {}).items()):
            if isinstance(value, (str, bytes)):
                setattr(error, name, _clean(value, secret))
        error = error.__cause__ or error.__context__


def _clean(value: Any, secret: str) -> Any:
    if isinstance(value, str):
        return blotted(value, secret)
    return blotted(value.decode("latin-1"), secret).encode("latin-1") if isinstance(value, bytes) else value

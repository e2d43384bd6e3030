"""What an answer must look like, said as a JSON Schema or as a Python type, and read from its text.

A schema that is given as a dict is checked, one that is given as a type is made from it
and its values are converted. How servers are told of a schema is the wires' to know.
"""

from __future__ import annotations

import copy
import re

from . import _json
from ._loading import loading
from ._mismatch import MISMATCH, Mismatch, check_finite, unfit
from .errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["json_schema", "read_answer", "schema_of"]

_FENCE = re.compile(r"^[ \t]*```([^\n`]*)$", re.MULTILINE)


def json_schema(of: Any) -> dict[str, Any]:
    """The JSON Schema of a type, which is yours to change; a dict is one already.

    Types are dataclasses, TypedDicts, NamedTuples, enums and what `typing` makes of them and
    of Python's own. Raises TypeError, which names the field, for a type that has no schema.
    """
    return of if isinstance(of, dict) else copy.deepcopy(schema_of(of))


def schema_of(of: Any) -> dict[str, Any]:
    """The same as it is kept, and not to be changed."""
    if isinstance(of, dict):
        return of
    made: dict[str, Any] = _root_of(of).schema
    return made


def read_answer(text: str, of: Any) -> Any:
    """The value that an answer holds, checked; of a type if `of` is one.

    The JSON may stand alone or be the one fenced block of the text. Raises ProtocolError
    (code `"schema_mismatch"`, the text in `partial`) that tells the place of each mismatch.
    """
    try:
        value = _json_in(text)
    except ProtocolError as exc:
        exc.code, exc.partial = MISMATCH, text
        raise
    try:
        if not isinstance(of, dict):
            return _root_of(of).read(value)
        check_finite(value)
        return _checked(of, value)
    except Mismatch as exc:
        raise unfit("the answer does not fit the schema", exc, text) from None
    except RecursionError:
        raise unfit("the answer does not fit the schema", Mismatch([((), "nested too deeply")]), text) from None


def _checked(schema: dict[str, Any], value: Any) -> Any:
    with loading:
        from ._validation import check

    return check(schema, value)


def _root_of(of: Any) -> Any:
    with loading:
        from . import _types

    return _types.root_of(of)


def _json_in(text: str) -> Any:
    what = "the answer to the schema"
    text = text.lstrip("\ufeff")
    try:
        return _json.loads(text.strip(), what)
    except ProtocolError:
        fenced = _fenced(text)
        if fenced is None:
            raise
        return _json.loads(fenced, what)


def _fenced(text: str) -> str | None:
    """The one block of a text that is fenced (by lines of three backticks); None if there is none, or another."""
    found: list[str] = []
    begin: int | None = None
    for fence in _FENCE.finditer(text):
        if begin is None:
            begin = fence.end()
        elif not fence[1].strip():
            found.append(text[begin : fence.start()])
            begin = None
            if len(found) > 1:
                return None
    return found[0] if found and begin is None else None

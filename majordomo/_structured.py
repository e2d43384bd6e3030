"""Answers that follow a schema, whoever gives them.

A wire reads what its server says, and a model of a user's own may know nothing of
schemas. Both end here: what an answer's text holds is read in one place, and a target
whose answer does not fit is asked again if the request says so.
"""

from __future__ import annotations

from ._frozen import copied, replace
from ._mismatch import MISMATCH
from .errors import ProtocolError, TruncatedError
from .llm import assistant, user
from .schema import read_answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .deadline import Deadline
    from .llm import Request, Response

__all__ = ["complete", "read", "value_of"]

# Why an answer ended before it was whole -> the code of its error.
_CUT = {"length": "max_tokens", "content_filter": "content_filter"}
_AGAIN = "This is not what was asked for: {}. Answer again with the whole JSON, corrected, and nothing around it."


def value_of(text: str, reason: str, schema: Any) -> Any:
    """The value of an answer to a schema, None of one that declines or calls tools.

    Raises TruncatedError if it was cut (also where it is JSON by chance), ProtocolError if
    it does not fit; both hold the text.
    """
    if reason in ("refusal", "tool_calls"):
        return None
    if reason in _CUT:
        raise TruncatedError(f"the answer to the schema was cut ({reason})", code=_CUT[reason], partial=text)
    return read_answer(text, schema)


def read(response: Response, schema: Any) -> Response:
    """A response with the value of its schema, if whoever made it has not read that."""
    if response.parsed is not None or response.tool_calls:
        return response
    value = value_of(response.text, response.stop_reason, schema)
    return response if value is None else copied(response, parsed=value)


def complete(ask: Callable[[Request, Deadline], Response], request: Request, deadline: Deadline) -> Response:
    """The answer of a target that follows the schema, asked for up to `schema_retries` times more."""
    told: list[str] = []
    while True:
        try:
            response = read(ask(request, deadline), request.schema)
            return copied(response, warnings=(*response.warnings, *told)) if told else response
        except ProtocolError as exc:
            if exc.code != MISMATCH or len(told) >= request.schema_retries:
                raise
            told.append(f"schema: asked again, for {exc.message}")
            shown = (assistant(exc.partial), user(_AGAIN.format(exc.message)))
            request = replace(request, messages=(*request.messages, *shown))
            deadline.require()

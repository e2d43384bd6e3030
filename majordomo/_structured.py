"""Answers that follow a schema, whoever gives them.

A wire reads what its server says, and a model of a user's own may know nothing of
schemas. Both end here: what an answer's text holds is read in one place, and a target
whose answer does not fit is asked again if the request says so.
"""

from __future__ import annotations

from ._frozen import copied, replace
from ._mismatch import MISMATCH, Mismatch, unfit
from .errors import ProtocolError, TruncatedError
from .llm import Usage, assistant, user
from .schema import read_answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .deadline import Deadline
    from .llm import Request, Response

__all__ = ["answered", "complete", "read"]

# Why an answer ended before it was whole -> the code of its error.
_CUT = {"length": "max_tokens", "content_filter": "content_filter"}
_AGAIN = "This is not what was asked for: {}. Answer again with the whole JSON, corrected, and nothing around it."


def read(response: Response, schema: Any, text: str | None = None) -> Response:
    """A response with the value of its schema, if whoever made it has not read that.

    text: of the answer, where it is not all of the response's. An answer that calls tools or
    declines has no value. Raises TruncatedError if it was cut (also where it is JSON by
    chance), ProtocolError if it does not fit; both hold the text, and say the usage.
    """
    reason = response.stop_reason
    if response.parsed is not None or response.tool_calls or reason in ("refusal", "tool_calls"):
        return response
    text = response.text if text is None else text
    try:
        if reason in _CUT:
            raise TruncatedError(f"the answer to the schema was cut ({reason})", code=_CUT[reason], partial=text)
        return copied(response, parsed=read_answer(text, schema))
    except (TruncatedError, ProtocolError) as exc:
        exc.usage = response.usage
        raise


def answered(response: Response, request: Request) -> Response:
    """The response to a request, with the value of its schema; one that calls what nobody offered does not fit."""
    found = read(response, request.schema)
    offered = request.tools and request.tool_choice != "none"
    if found.tool_calls and not offered and found.parsed is None:
        problem = Mismatch([((), "expected an answer, got a call of a tool that was not offered")])
        error = unfit("the answer does not fit the schema", problem, found.text)
        error.usage = found.usage
        raise error
    return found


def complete(ask: Callable[[Request, Deadline], Response], request: Request, deadline: Deadline) -> Response:
    """The answer of a target that follows the schema, asked for up to `schema_retries` times more."""
    told: list[str] = []
    spent = Usage(0, 0, 0, 0)
    while True:
        try:
            response = answered(ask(request, deadline), request)
            if not told:
                return response
            return copied(response, warnings=(*response.warnings, *told), usage=spent + response.usage)
        except ProtocolError as exc:
            spent += exc.usage or Usage()
            exc.usage = spent
            if exc.code != MISMATCH or len(told) >= request.schema_retries:
                raise
            told.append(f"schema: asked again, for {exc.message}")
            shown = (assistant(exc.partial), user(_AGAIN.format(exc.message)))
            request = replace(request, messages=(*request.messages, *shown))
            deadline.require()

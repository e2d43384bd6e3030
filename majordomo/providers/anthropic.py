"""Anthropic's API, and servers that speak its Messages.

What its models take stands in `FAMILIES`: how pictures are limited, and which settings
of before are refused. Source, where nothing else is said: the vendor's SDK, anthropic 2.12
of November 2026, and its documentation of that month ("Vision", "Extended thinking",
"Models overview", the pages on what is new in each model).
"""

from __future__ import annotations

import re
from urllib.parse import quote

from ..llm import Capabilities
from ..wires import anthropic
from ._base import Family, HTTPProvider
from ._limits import ANTHROPIC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CAPABILITIES = Capabilities(
    **ANTHROPIC,
    allowed_image_mime=("image/jpeg", "image/png", "image/gif", "image/webp"),
    animated_images=False,
)

_SMALL = {"max_images_per_request": 100}  # of a context of 200,000 tokens
_BUDGET = {"thinking": ("enabled", "disabled"), "efforts": (), "prefill": True}
_OLD = {**_BUDGET, "sampling": "any", "schemas": False}
_SWITCHED = {"thinking": ("adaptive", "disabled")}
FAMILIES = (
    Family((), ("claude-3-",), {**_SMALL, "thinking": False}, {**_OLD, "thinking": (), "most_tokens": 4096}),
    Family((), ("claude-3-5-",), {}, {"most_tokens": 8192}),
    Family((), ("claude-3-7-",), {"thinking": None}, {**_OLD, "most_tokens": 64_000}),
    Family((), ("claude-sonnet-4-0", "claude-sonnet-4-2025"), _SMALL, _OLD),
    Family((), ("claude-opus-4-0", "claude-opus-4-2025"), _SMALL, {**_OLD, "most_tokens": 32_000}),
    Family((), ("claude-opus-4-1",), _SMALL, {**_OLD, "sampling": "one", "most_tokens": 32_000}),
    Family(
        (),
        ("claude-sonnet-4-5", "claude-opus-4-5", "claude-haiku-4-5"),
        _SMALL,
        {**_BUDGET, "sampling": "one"},
    ),
    Family((), ("claude-sonnet-4-6", "claude-opus-4-6"), {}, {**_SWITCHED, "sampling": "one"}),
    Family(
        (),
        ("claude-opus-4-7", "claude-opus-4-8"),
        {},
        {**_SWITCHED, "efforts": ("low", "medium", "high", "xhigh", "max")},
    ),
    Family((), ("claude-sonnet-5", "claude-opus-5", "claude-haiku-5"), {}, _SWITCHED),
    Family((), ("claude-sonnet-5-5", "claude-opus-5-5"), {}, {"thinking": ("adaptive",), "forced": False}),
    Family((), ("claude-fable-", "claude-mythos-"), {}, {"forced": False}),
)


def _version(value: str) -> str:
    if not re.fullmatch(r"20\d\d-\d\d-\d\d", value, re.A):
        raise ValueError(f"is a date such as {anthropic.VERSION}")
    return value


class Anthropic(HTTPProvider):
    """A server of Anthropic's Messages; the key goes in a header of its own.

    quirks: fields of `wires.anthropic.Quirks`. The DSN option `version` is that of the API;
    later ones than 2023-06-01 take no sampling (temperature, top_p).
    """

    wire = anthropic
    families = FAMILIES
    own_options = {"version": _version}

    def headers(self) -> dict[str, str]:
        """The headers that say who asks, and in which version of the API."""
        version = {"anthropic-version": self.quirks.get("version", anthropic.VERSION)}
        return {**version, "x-api-key": self._token} if self._token else version

    def list_models(self, *, timeout: float | None = None) -> list[str]:
        """The ids of the models that the server has (GET /models, all pages), in its order.

        timeout: for all pages together. Raises ProtocolError if the answer is no list of
        models, or one without an end.
        """
        rows = self.list_of("/models?limit=1000", "data", timeout, _after)
        return list(dict.fromkeys([row["id"] for row in rows if isinstance(row.get("id"), str)]))


def _after(page: dict[str, Any]) -> str | None:
    """Behind which model the next page begins: the last of this one, also where it is not named as such."""
    if not page.get("has_more"):
        return ""
    ids = [page.get("last_id"), *[row.get("id") for row in page["data"][-1:] if isinstance(row, dict)]]
    last = next((id for id in ids if isinstance(id, str) and id), None)
    return None if last is None else f"&after_id={quote(last, safe='', errors='replace')}"

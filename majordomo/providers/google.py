"""Google's Gemini API: its models that chat, and those that draw.

What is known of the models stands in `FAMILIES`; one that is not there is asked as the
newest are. Limits of pictures: "Image understanding" of the Gemini API's documentation,
October 2026; inline data counts in base64, and 20 MB a request is what all of its pages
agree on.
"""

from __future__ import annotations

from urllib.parse import quote

from .._loading import loading
from ..llm import Capabilities
from ..wires import google
from ..wires.google import BUDGETS, LEVELS
from ._base import Family, HTTPProvider

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ._drawing import ImageTarget

CAPABILITIES = Capabilities(
    max_images_per_request=3600,
    allowed_image_mime=("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"),
    max_total_image_bytes=14_000_000,
)

_BEFORE_3: dict[str, Any] = {
    "levels": {},
    "signed_calls": False,
    "result_images": False,
    "remedies": {"responseJsonSchema=tools": None},
}
_ALWAYS_THINKS = {**LEVELS, "off": "LOW"}
_MINIMAL = {**LEVELS, "off": "MINIMAL", "minimal": "MINIMAL"}

# Source: "Thinking", "Function calling", "Structured output" and "Latest models" of the
# Gemini API's documentation, October 2026, and what the API answered then.
FAMILIES = (
    Family((), ("gemini-1", "gemini-2", "learnlm", "gemma"), quirks=_BEFORE_3),
    Family((), ("gemini-2.5",), quirks={"levels": BUDGETS}),
    Family((), ("gemini-2.5-flash-lite",), quirks={"levels": {**BUDGETS, "minimal": 512}}),
    Family((), ("gemini-2.5-pro",), quirks={"levels": {**BUDGETS, "off": 128, "max": 32768}}),
    # They have neither system prompt nor functions nor JSON mode. Source: google-adk, `models/gemma_llm.py`.
    Family(
        (),
        ("gemma-3",),
        {"tools": False},
        {"remedies": {"systemInstruction": "contents", "responseJsonSchema": None}},
    ),
    Family((), ("gemini-3-pro",), quirks={"levels": {**_ALWAYS_THINKS, "medium": "HIGH"}}),
    Family((), ("gemini-3.1-pro", "gemini-3.7-flash", "gemini-pro-latest"), quirks={"levels": _ALWAYS_THINKS}),
    Family(
        (),
        ("gemini-3-flash", "gemini-3.1-flash-lite", "gemini-3.5-flash", "gemini-3.6-flash"),
        quirks={"levels": _MINIMAL},
    ),
    # They take them, and go by none of them.
    Family(
        (),
        ("gemini-3.5-flash-lite", "gemini-3.6-flash", "gemini-3.7-flash", "gemini-3.8-flash"),
        quirks={"remedies": {"temperature": None, "topP": None}},
    ),
    # Those that draw.
    Family(
        (),
        (
            "gemini-2.0-flash-exp-image",
            "gemini-2.0-flash-preview-image",
            "gemini-2.5-flash-image",
            "gemini-3-pro-image",
            "gemini-3.1-flash-image",
        ),
        {"tools": False},
        {"levels": {}},
    ),
)


class Google(HTTPProvider):
    """Google's API; the key goes in a header of its own."""

    wire = google
    families = FAMILIES

    def _families_of(self, id: str) -> Iterator[Family]:
        return super()._families_of(id[len("models/") :] if id.startswith("models/") else id)

    def image_model(self, id: str) -> ImageTarget:
        """The bare target for drawing: no failover, no health, no fitting; `parse_image` adds those."""
        with loading:
            from ..wires import google_images
            from ._drawing import ImageTarget

        return ImageTarget(self, id, google_images, google_images.Quirks(), self.capabilities_of(id))

    def headers(self) -> dict[str, str]:
        """The headers that say who asks."""
        return {"x-goog-api-key": self._token} if self._token else {}

    def list_models(self, *, timeout: float | None = None) -> list[str]:
        """The ids of the models that answer (GET /models, all pages), in the server's order.

        One timeout holds for all pages. Raises ProtocolError if the answer is no list of
        models, or has no end.
        """
        rows = self.list_of("/models?pageSize=1000", "models", timeout, _after, sparse=True)
        names = [row["name"] for row in rows if _answers(row)]
        return [name[len("models/") :] if name.startswith("models/") else name for name in names]


def _after(page: dict[str, Any]) -> str:
    token = page.get("nextPageToken")
    return f"&pageToken={quote(token, safe='', errors='replace')}" if isinstance(token, str) and token else ""


def _answers(row: dict[str, Any]) -> bool:
    """Whether an entry of the list is a model that can be asked; one that does not say is."""
    if not isinstance(row.get("name"), str):
        return False
    methods = row.get("supportedGenerationMethods")
    return "generateContent" in methods if isinstance(methods, list) else True

"""OpenAI's API, and every server that speaks its Chat Completions: vLLM, LM Studio, Groq, ...

What is known of their models' limits stands in `FAMILIES`; of other servers nothing is.
"""

from __future__ import annotations

from ..errors import ProtocolError
from ..llm import Capabilities
from ..wires import openai_chat
from ._base import Family, HTTPProvider, switch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import replace
    from typing import Any

    from ._drawing import ImageTarget
else:
    from .._frozen import replace

CAPABILITIES = Capabilities(allowed_image_mime=("image/png", "image/jpeg", "image/webp", "image/gif"))

_OFFICIAL = ("api.openai.com", "eu.api.openai.com", "us.api.openai.com")
FAMILIES = (
    # "Images and vision" guide, 2026 edition: 1500 pictures and 512 MB of payload a request, GIFs that stand still.
    # Larger pictures are scaled there, not refused.
    Family(
        _OFFICIAL,
        ("",),
        {"max_images_per_request": 1500, "max_total_image_bytes": 380_000_000, "animated_images": False},
    ),
    # The models' own pages: these read text alone.
    Family(_OFFICIAL, ("gpt-3.5", "o1-mini", "o1-preview", "o3-mini"), {"max_images_per_request": 0}),
    # Anthropic's "Vision" page, for its endpoint of this wire; 10 MiB of base64 a picture, 32 MB a request.
    Family(
        ("api.anthropic.com",),
        ("",),
        {
            "max_images_per_request": 600,
            "max_image_dimension": 8000,
            "many_images": 20,
            "many_image_dimension": 2000,
            "max_image_bytes": 7_864_320,
            "max_total_image_bytes": 23_000_000,
        },
    ),
    # Groq's "Vision" page: 5 pictures, 4 MB of base64 a request.
    Family(("api.groq.com",), ("",), {"max_images_per_request": 5, "max_total_image_bytes": 2_900_000}),
)

# To edit. Source: openai-python 3.54, `image_edit_params`: up to 16, each below 50 MB.
DRAWING_LIMITS = Capabilities(
    max_images_per_request=16,
    max_image_bytes=50_000_000 - 1,
    allowed_image_mime=("image/png", "image/jpeg", "image/webp"),
)

# Hosts that are known to differ -> fields of `Quirks`. Source: the vendors' documentation.
QUIRKS_OF_HOST: dict[str, dict[str, Any]] = {
    **{host: {"official": True} for host in _OFFICIAL},
    "api.deepseek.com": {"thinking_back": True, "token_limit": "max_tokens"},
}


def _token_limit(value: str) -> str:
    if value not in ("max_tokens", "max_completion_tokens"):
        raise ValueError("is max_tokens or max_completion_tokens")
    return value


class OpenAI(HTTPProvider):
    """A server of OpenAI's Chat Completions.

    quirks: fields of `wires.openai_chat.Quirks`, and `sd_extra_args` for
    `wires.openai_images`. DSN options are `token_limit`, the name under which the server
    takes `max_tokens`, and `sd_extra_args`, whether what draws is stable-diffusion.cpp.
    """

    wire = openai_chat
    families = FAMILIES
    drawing_limits = DRAWING_LIMITS  # what it takes to edit
    own_options = {"token_limit": _token_limit, "sd_extra_args": switch}

    def __init__(self, name: str, base_url: str, token: str | None, *, quirks: dict[str, Any], **more: Any) -> None:
        super().__init__(name, base_url, token, **more)
        quirks = dict(quirks)
        self._sd_extra_args = quirks.pop("sd_extra_args", False)
        self.quirks = {**QUIRKS_OF_HOST.get(self.host, {}), **quirks}

    def image_model(self, id: str) -> ImageTarget:
        """The bare target for drawing, at `/images/generations` and `/images/edits`."""
        from ..wires import openai_images
        from ._drawing import ImageTarget

        limits = replace(self.drawing_limits, **self.limits)
        return ImageTarget(self, id, openai_images, openai_images.Quirks(self._sd_extra_args), limits)

    def list_models(self, *, timeout: float | None = None) -> list[str]:
        """The ids of the models that the server has (GET /models), in its order.

        Raises ProtocolError if the answer is no list of models.
        """
        return list(model_rows(self.manage_json("GET", "/models", timeout, "the list of models"), self.name))


def model_rows(payload: Any, name: str) -> dict[str, dict[str, Any]]:
    """The entries of a `/models` answer by id; llama-server's has two lists, `data` is the one."""
    rows = payload.get("data", payload.get("models")) if isinstance(payload, dict) else payload
    if not isinstance(rows, list):
        error = ProtocolError("the answer is no list of models")
        error.target = name
        raise error
    return {row["id"]: row for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)}

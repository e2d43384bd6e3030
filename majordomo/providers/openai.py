"""OpenAI's API, and every server that speaks one of its wires: vLLM, LM Studio, Groq, ...

What is known of their models' limits stands in `FAMILIES`; of other servers nothing is.
Over which wire a model of OpenAI's own hosts is asked, `_openai_models` says. Everybody
else is asked over Chat Completions.
"""

from __future__ import annotations

from .._frozen import copied
from .._loading import loading
from ..llm import Capabilities
from ..wires import openai_chat
from ._base import Family, HTTPProvider, Target
from ._limits import ANTHROPIC
from ._options import switch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import replace
    from typing import Any

    from ..errors import APIError
    from ..llm import Request, Response
    from ._drawing import ImageTarget
else:
    from .._frozen import replace

CAPABILITIES = Capabilities(allowed_image_mime=("image/png", "image/jpeg", "image/webp", "image/gif"))

_OPENAI = ("api.openai.com",)
_AZURE = ("openai.azure.com",)
FAMILIES = (
    # "Images and vision" guide, 2026 edition: 1500 pictures and 512 MB of payload a request, GIFs that stand still.
    # Larger pictures are scaled there, not refused.
    Family(
        _OPENAI,
        ("",),
        {"max_images_per_request": 1500, "max_total_image_bytes": 380_000_000, "animated_images": False},
        {"official": True},
    ),
    Family(_AZURE, ("",), {}, {"official": True}),
    # The models' own pages: these read text alone.
    Family(_OPENAI, ("gpt-3.5", "o1-mini", "o1-preview", "o3-mini"), {"max_images_per_request": 0}),
    # Anthropic's endpoint of this wire.
    Family(("api.anthropic.com",), ("",), ANTHROPIC),
    # Groq's "Vision" page: 5 pictures, 4 MB of base64 a request.
    Family(("api.groq.com",), ("",), {"max_images_per_request": 5, "max_total_image_bytes": 2_900_000}),
    # "Thinking mode" of DeepSeek's documentation: thinking goes back beside tool calls.
    Family(("api.deepseek.com",), ("",), {}, {"thinking_back": True, "token_limit": "max_tokens"}),
)

# To edit. Source: openai-python 3.54, `image_edit_params`: up to 16, each below 50 MB.
DRAWING_LIMITS = Capabilities(
    max_images_per_request=16,
    max_image_bytes=50_000_000 - 1,
    allowed_image_mime=("image/png", "image/jpeg", "image/webp"),
)


def _token_limit(value: str) -> str:
    if value not in ("max_tokens", "max_completion_tokens"):
        raise ValueError("is max_tokens or max_completion_tokens")
    return value


class OpenAI(HTTPProvider):
    """A server of OpenAI's Chat Completions or Responses.

    quirks: fields of `wires.openai_chat.Quirks`, `sd_extra_args` for `wires.openai_images`,
    and `responses`, whether all models are asked over Responses, or none. DSN options are
    the latter two and `token_limit`, the name under which the server takes `max_tokens`.
    """

    wire = openai_chat
    families = FAMILIES
    drawing_limits = DRAWING_LIMITS  # what it takes to edit
    own_options = {"token_limit": _token_limit, "sd_extra_args": switch, "responses": switch}

    def __init__(self, name: str, base_url: str, token: str | None, *, quirks: dict[str, Any], **more: Any) -> None:
        super().__init__(name, base_url, token, **more)
        quirks = dict(quirks)
        self._sd_extra_args = quirks.pop("sd_extra_args", False)
        self._responses: bool | None = quirks.pop("responses", None)
        self.quirks = quirks
        self.official = self.is_of(_OPENAI + _AZURE)

    def target(self, id: str) -> Target:
        """A new target; over which wire it is asked the DSN says, or its name, or later its server."""
        if self._responses is not None:
            return _Target(self, id, *self.over_responses(id)) if self._responses else super().target(id)
        if self.official:
            with loading:
                from ._openai_models import is_over_responses

            if is_over_responses(id):
                return _Target(self, id, *self.over_responses(id))
        return _Switching(self, id, self.wire, self.wire.Quirks(**self.quirks_of(id)))

    def over_responses(self, id: str) -> tuple[Any, Any]:
        """The wire of Responses, and how a model differs there."""
        with loading:
            from ..wires import openai_responses
            from ._openai_models import quirks_of

        return openai_responses, openai_responses.Quirks(**quirks_of(id, self.official))

    def image_model(self, id: str) -> ImageTarget:
        """The bare target for drawing, at `/images/generations` and `/images/edits`."""
        with loading:
            from ..wires import openai_images
            from ._drawing import ImageTarget

        limits = replace(self.drawing_limits, **self.limits)
        return ImageTarget(self, id, openai_images, openai_images.Quirks(self._sd_extra_args), limits)

    def list_models(self, *, timeout: float | None = None) -> list[str]:
        """The ids of the models that the server has (GET /models), in its order.

        Raises ProtocolError if the answer is no list of models.
        """
        return list(self.model_rows(self.manage_json("GET", "/models", timeout, "the list of models")))

    def model_rows(self, payload: Any) -> dict[str, dict[str, Any]]:
        """The entries of a `/models` answer by id; llama-server's has two lists, `data` is the one."""
        rows = payload.get("data", payload.get("models")) if isinstance(payload, dict) else payload
        if not isinstance(rows, list):
            raise self.odd("the answer is no list of models")
        return {row["id"]: row for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)}


class _Target(Target):
    """A model of a server of OpenAI's wires."""

    def stamped(self, response: Response, told: list[str], request: Request, quirks: Any) -> Response:
        found, limit = super().stamped(response, told, request, quirks), request.max_tokens
        if limit is not None and found.stop_reason == "stop" and getattr(quirks, "silent_limit", False):  # Responses'
            with loading:
                from ..wires.openai_responses import LEAST_TOKENS

            if (found.usage.output_tokens or 0) >= max(limit, LEAST_TOKENS):
                return copied(found, stop_reason="length")
        return found


class _Switching(_Target):
    """A model that is asked over Chat Completions until its server says that Responses alone has it."""

    _stays = False  # its server was asked over Responses in vain

    def other_way(self, error: APIError, wire: Any) -> tuple[Any, Any] | None:
        """The way over Responses, if the chat's error asks for it and it was not tried in vain.

        On hosts that surely have Responses the model stays there whatever comes of it; on
        others an answer has to come first, and one that has none is asked there no more.
        """
        provider = self._provider
        assert isinstance(provider, OpenAI)
        if error.code == "responses_only" or (error.code == "not_a_chat_model" and provider.official):
            if self._stays:
                return None
            found = provider.over_responses(self.id)
            if provider.official:
                self.way = found
            return found
        untried = provider.official or self.way[0] is provider.wire
        if wire is not provider.wire and untried and _is_missing(error, provider.official):
            error.code = "wire_not_supported"
            self._stays = True
            self.way = (provider.wire, provider.wire.Quirks(**provider.quirks_of(self.id)))
        return None


def _is_missing(error: APIError, official: bool) -> bool:
    """Whether an error says that a server has no Responses, and not that it has no such model."""
    if error.status == 404:
        return error.code not in ("model_not_found", "invalid_request")
    return error.status in (405, 501) or error.code == "wire_not_supported" or (error.status == 403 and not official)

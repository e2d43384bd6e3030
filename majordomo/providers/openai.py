"""OpenAI's API, and every server that speaks its Chat Completions: vLLM, LM Studio, Groq, ...

Limits of pictures: "Images and vision" guide, 2026 edition, for OpenAI's own servers;
nothing is known of the others'.
"""

from __future__ import annotations

from ..errors import ProtocolError
from ..llm import Capabilities
from ..wires import openai_chat
from ._base import HTTPProvider, Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CAPABILITIES = Capabilities(allowed_image_mime=("image/png", "image/jpeg", "image/webp", "image/gif"))

# Hosts that are known to differ -> fields of `Quirks`. Source: the vendors' documentation.
QUIRKS_OF_HOST: dict[str, dict[str, Any]] = {
    "api.openai.com": {"official": True},
    "eu.api.openai.com": {"official": True},
    "us.api.openai.com": {"official": True},
    "api.deepseek.com": {"thinking_back": True, "token_limit": "max_tokens"},
}


def _token_limit(value: str) -> str:
    if value not in ("max_tokens", "max_completion_tokens"):
        raise ValueError("is max_tokens or max_completion_tokens")
    return value


class OpenAI(HTTPProvider):
    """A server of OpenAI's Chat Completions.

    quirks: fields of `wires.openai_chat.Quirks`; `token_limit`, the name under which
    the server takes `max_tokens`, is a DSN option too.
    """

    wire = openai_chat
    own_options = {"token_limit": _token_limit}

    def __init__(self, name: str, base_url: str, token: str | None, *, quirks: dict[str, Any], **more: Any) -> None:
        super().__init__(name, base_url, token, **more)
        host = base_url.partition("://")[2].partition("/")[0]
        self._quirks = openai_chat.Quirks(**{**QUIRKS_OF_HOST.get(host, {}), **quirks})
        self._models: dict[str, Target] = {}

    def model(self, id: str) -> Target:
        """The bare target; what was learned of the model's parameters is kept with it."""
        found = self._models.get(id)
        if found is None:
            found = self._models.setdefault(id, Target(self, id, self._quirks))
        return found

    def list_models(self, *, timeout: float | None = None) -> list[str]:
        """The ids of the models that the server has (GET /models), in its order.

        Raises ProtocolError if the answer is no list of models.
        """
        return model_ids(self.manage_json("GET", "/models", timeout, "the list of models"), self.name)


def model_ids(payload: Any, name: str) -> list[str]:
    """The ids in the body of a `/models` answer; llama-server's has two lists, `data` is the one."""
    rows = payload.get("data", payload.get("models")) if isinstance(payload, dict) else payload
    if not isinstance(rows, list):
        error = ProtocolError("the answer is no list of models")
        error.target = name
        raise error
    return [row["id"] for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)]

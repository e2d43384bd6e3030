"""llama-swap: a proxy that starts a llama-server for the model it is asked for.

Its chat is OpenAI's, so the chat path is `openai`'s own client at `{base}/v1`. What it
has beside that is here: what runs, and unloading. Source: llama-swap of August 2026
(`internal/server`), v200 and v217 for the older answers; see ADR 0015.
"""

from __future__ import annotations

from urllib.parse import quote

from ..errors import APIError, ConfigError
from ..llm import Capabilities, images_of
from ._base import HTTPProvider
from ._options import switch
from ._told import Told
from .openai import OpenAI

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..deadline import Deadline
    from ..llm import Request
    from ._base import Target
    from ._drawing import ImageTarget

# llama-server decodes with stb_image: no WebP in most builds. Source: tools/mtmd.
CAPABILITIES = Capabilities(allowed_image_mime=("image/png", "image/jpeg"))
PLACEHOLDER_KEY = "no-key"


class LlamaSwap(HTTPProvider):
    """A llama-swap. `base_url` is that of its management; chat is at `{base_url}/v1`."""

    def __init__(self, name: str, base_url: str, token: str | None, *, quirks: Any, **more: Any) -> None:
        super().__init__(name, base_url, token or PLACEHOLDER_KEY, **more)
        self.has_token = bool(token)
        self._chat = _Chat(self, name, base_url + "/v1", self._token, quirks=quirks, **more)
        self._sees = Told(self._asked, {})
        self.wire = self._chat.wire

    own_options = {"sd_extra_args": switch}

    def describe(self, id: str, request: Request, deadline: Deadline) -> dict[str, Any]:
        """What `/v1/models` says of a model's eyes, asked once; a server without such a list says nothing."""
        if "max_images_per_request" in self.limits or not images_of(request.messages):
            return {}
        return {"max_images_per_request": 0} if self._sees.get(deadline).get(id) is False else {}

    def model(self, id: str) -> Target:
        """The bare target: OpenAI's client at `{base_url}/v1`."""
        return self._chat.model(id)

    def image_model(self, id: str) -> ImageTarget:
        """The bare target for drawing, at `{base_url}/v1/images/generations`: stable-diffusion.cpp is behind it."""
        return self._chat.image_model(id)

    def list_models(self, *, timeout: float | None = None) -> list[str]:
        """The ids of the models that are configured and listed (GET /v1/models)."""
        said, ids = self._listed(timeout)
        self._sees.value = said
        return ids

    def _asked(self, deadline: Deadline) -> dict[str, bool | None]:
        return self._listed(deadline)[0]

    def _listed(self, timeout: float | Deadline | None) -> tuple[dict[str, bool | None], list[str]]:
        """Whether each model sees, by its names, and their ids."""
        rows = self._chat.model_rows(self.manage_json("GET", "/v1/models", timeout, "the list of models"))
        said = {id: _sees(row) for id, row in rows.items()}
        for id, row in rows.items():
            for alias in _aliases(row):
                if isinstance(alias, str):
                    said.setdefault(alias, said[id])
        return said, list(rows)

    def running(self, *, timeout: float | None = None) -> Any:
        """What runs now (GET /running), the JSON as it comes; its shape is no stable contract.

        Today: `{"running": [{"model", "state", "cmd", "proxy", "ttl", "name", "description"}]}`,
        `state` being `starting`, `ready` or `stopping`. `cmd` may hold secrets: do not log it.
        """
        return self.manage_json("GET", "/running", timeout, "the list of what runs")

    def unload(self, model: str | None = None, *, timeout: float | None = None) -> Any:
        """Unload one model (by id or alias), or all; gives the server's answer, JSON or text.

        Waits until they have stopped (llama-swap's `unloadTimeout`, 10 s a model). A model
        that is not loaded is unloaded already. Raises APIError (404) for an unknown one.
        """
        if model is None:
            return self._said(self._unload_all(timeout))
        if not isinstance(model, str) or not model.strip("/") or {".", ".."} & set(model.split("/")):
            raise ConfigError("unload takes a model's name, or nothing to unload all")
        path = "/api/models/unload/" + quote(model.strip("/"), safe="/:@", errors="replace")
        return self._said(self.manage("POST", path, timeout))

    def _unload_all(self, timeout: float | None) -> bytes:
        deadline = self.deadline(timeout)
        try:
            return self.manage("POST", "/api/models/unload", deadline)
        except APIError as exc:
            if exc.status not in (404, 405):
                raise
            return self.manage("GET", "/unload", deadline)  # before 2025-09 there was no other

    def _said(self, body: bytes) -> Any:
        """An answer that is JSON or text; a web page is neither."""
        if body.lstrip()[:1] in (b"{", b"[", b"<"):
            return self.read_json(body, "the answer")
        return body[:1000].decode("utf-8", "replace").strip()


class _Chat(OpenAI):
    """OpenAI's client, with llama-swap's knowledge of its models."""

    drawing_limits = CAPABILITIES  # stable-diffusion.cpp reads pictures as llama.cpp does

    def __init__(self, swap: LlamaSwap, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._swap = swap

    def describe(self, id: str, request: Request, deadline: Deadline) -> dict[str, Any]:
        return self._swap.describe(id, request, deadline)


def _sees(row: dict[str, Any]) -> bool | None:
    """Whether a model takes pictures, None unless its owner said what it takes."""
    architecture = row.get("architecture")
    modalities = architecture.get("input_modalities") if isinstance(architecture, dict) else None
    return "image" in modalities if isinstance(modalities, list) and modalities else None


def _aliases(row: dict[str, Any]) -> list[Any]:
    meta = row.get("meta")
    own = meta.get("llamaswap") if isinstance(meta, dict) else None
    aliases = own.get("aliases") if isinstance(own, dict) else None
    return aliases if isinstance(aliases, list) else []

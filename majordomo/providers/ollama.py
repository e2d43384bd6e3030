"""Ollama, on this machine or another, Ollama Cloud, and proxies that speak its protocol (foreman).

What it has beside chat is here: what it knows of a model, what runs, and unloading. Source:
Ollama 0.33 of August 2026 (`server/routes.go`, `envconfig/config.go`, `docs/cloud.mdx`).
"""

from __future__ import annotations

import re

from ..dsn import DSN, split_host
from ..errors import ConfigError, DSNError
from ..llm import Capabilities, images_of
from ..wires import ollama
from ._base import HTTPProvider
from ._told import Told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..deadline import Deadline
    from ..llm import Request

# No limits are documented; these types are decoded everywhere.
CAPABILITIES = Capabilities(allowed_image_mime=("image/png", "image/jpeg"))

PORT = "11434"
CLOUD = "ollama.com"
# How the names of models end that a server on this machine has answered by Ollama Cloud. Source: docs/cloud.mdx.
REMOTE = ("-cloud", ":cloud")
_DURATION = r"-?(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)"  # as Go reads them
_THINK: dict[str, bool | str] = {
    "on": True,
    "off": False,
    **{level: level for level in ("low", "medium", "high", "max")},
}


def _tokens(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 9 and int(value)):
        raise ValueError("is a number of tokens")
    return int(value)


def _keep_alive(value: str) -> str | float:
    if re.fullmatch(f"({_DURATION})((?!-){_DURATION})*", value, re.A):
        return value
    if not re.fullmatch(r"-?\d{1,12}(\.\d{1,9})?", value, re.A):
        raise ValueError("is a duration such as 10m or 1h30m, or a number of seconds; -1 is for ever")
    return float(value) if "." in value else int(value)


def _think(value: str) -> bool | str:
    if value.lower() not in _THINK:
        raise ValueError(f"is one of {', '.join(_THINK)}")
    return _THINK[value.lower()]


class Ollama(HTTPProvider):
    """A server of Ollama's protocol; chat is at `{base_url}/api/chat`.

    quirks: fields of `wires.ollama.Quirks`. DSN options are `num_ctx`, `keep_alive` and
    `think`, which hold where a request says nothing else (in `reasoning` or `extra`).
    """

    wire = ollama
    own_options = {"num_ctx": _tokens, "keep_alive": _keep_alive, "think": _think}

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._told: dict[str, Told] = {}

    def quirks_of(self, id: str) -> dict[str, Any]:
        """How a model's wire differs: one that Ollama Cloud answers follows no schema."""
        known = super().quirks_of(id)
        return {**known, "schema_enforced": False} if id.endswith(REMOTE) else known

    def describe(self, id: str, request: Request, deadline: Deadline) -> dict[str, Any]:
        """What `/api/show` says that a model can do, asked once; one without such a list may do anything."""
        needed = {
            "max_images_per_request": bool(images_of(request.messages)),
            "tools": bool(request.tools),
            "thinking": request.reasoning not in (None, "off"),
        }
        if all(name in self.limits for name in needed if needed[name]):
            return {}
        told = self._told.get(id) or self._told.setdefault(id, Told(lambda limit: self._asked(id, limit), {}))
        found: dict[str, Any] = told.get(deadline)
        return found

    def _asked(self, id: str, deadline: Deadline) -> dict[str, Any]:
        shown = self.manage_json("POST", "/api/show", deadline, "what is known of the model", payload={"model": id})
        names = shown.get("capabilities") if isinstance(shown, dict) else None
        if not isinstance(names, list) or not names:
            return {}
        blind = {} if "vision" in names else {"max_images_per_request": 0}
        return {"tools": "tools" in names, "thinking": "thinking" in names, **blind}

    def list_models(self, *, timeout: float | None = None) -> list[str]:
        """The names of the models that the server has (GET /api/tags), in its order.

        Raises ProtocolError if the answer is no list of models.
        """
        return self._names("/api/tags", timeout)

    def running(self, *, timeout: float | None = None) -> Any:
        """What is loaded now (GET /api/ps), the JSON as it comes.

        Today: `{"models": [{"name", "model", "size", "digest", "details", "expires_at",
        "size_vram", "context_length"}]}`, sizes in bytes. It means nothing on Ollama Cloud.
        """
        return self.manage_json("GET", "/api/ps", timeout, "the list of what runs")

    def unload(self, model: str | None = None, *, timeout: float | None = None) -> Any:
        """Unload one model, or all that are loaded; gives the server's answer, or a list of them.

        The server lets go of a model when its answers under way have ended, and does not wait for
        that. A model that is not loaded is unloaded already. Raises APIError (404) for an unknown one.
        """
        if model is not None and (not isinstance(model, str) or not model.strip("/ ")):
            raise ConfigError("unload takes a model's name, or nothing to unload all")
        deadline = self.deadline(timeout)
        if model is not None:
            return self._unload(model, deadline)
        return [self._unload(name, deadline) for name in self._names("/api/ps", deadline)]

    def _unload(self, model: str, deadline: Deadline) -> Any:
        """A chat of nothing that is to be kept for no time: nothing is loaded for it."""
        asked = {"model": model, "messages": [], "keep_alive": 0, "stream": False}
        return self.manage_json("POST", "/api/chat", deadline, "the answer", payload=asked)

    def _names(self, path: str, timeout: float | Deadline | None) -> list[str]:
        """The names in a list of models."""
        names = [row.get("model") or row.get("name") for row in self.list_of(path, "models", timeout)]
        return [name for name in names if isinstance(name, str)]


def dsn_of(name: str, text: str) -> DSN:
    """The DSN that a value of OLLAMA_HOST stands for, read as Ollama's own client does.

    A host alone is at http and port 11434, one with a scheme at the scheme's port, no host at
    all is this machine, and so is the address that a server listens on for everybody. A port
    that is none is passed over. Raises DSNError, which never quotes the value.
    """
    scheme, found, rest = text.strip("\"' \t\r\n").partition("://")
    scheme, rest = (scheme.lower(), rest) if found else ("http", scheme)
    if scheme not in ("http", "https"):
        raise DSNError("it reads [http:// or https://]HOST[:PORT][/PATH]")
    where, question, query = rest.partition("?")
    where, _, path = where.partition("/")
    userinfo, at, host = where.rpartition("@")
    host, port = _split(host)
    if not found and host.lower() == CLOUD:
        scheme = "https"
    port = port or (PORT if not found and scheme == "http" else "")
    plain = "+http" if scheme == "http" else ""
    return DSN.parse(f"{name}{plain}://{userinfo}{at}{host}{port and ':'}{port}/{path}{question}{query}")


def _split(where: str) -> tuple[str, str]:
    """(host, port) of an address to connect to; `""` for a port that is none."""
    if where.count(":") > 1 and not where.startswith("["):
        return _SAME.get(f"[{where}]", f"[{where}]"), ""
    host, port = split_host(where)
    port = port if port and port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536 else ""
    return _SAME.get(host, host), port


# What a server listens on -> where this machine finds it.
_SAME = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}

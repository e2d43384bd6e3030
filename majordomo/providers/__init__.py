"""Who answers, and where: one table of schemes, and how a DSN becomes a provider.

A new service on a wire that is known is a row here.
"""

from __future__ import annotations

from importlib import import_module

from .._loading import loading
from ..dsn import DSN
from ..errors import DSNError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass, field
    from typing import Any

    from .._http import Client
    from ._base import HTTPProvider
else:
    from .._frozen import dataclass, field

CLOUD_TIMEOUT = 600.0
LOCAL_TIMEOUT = 3600.0  # a cold model may take minutes to load
LOCAL_OLLAMA = "127.0.0.1:11434"
OLLAMA_PATHS = ("/api/chat", "/api", "/v1")


@dataclass(frozen=True)
class Scheme:
    """A row: how a scheme's DSNs are understood.

    provider: `module.Class` below this package. plain: http without being asked.
    host, path: those of a DSN that names none; a host of this machine is spoken to over
    http. strip: ends of a path that lead to the same place. versions: with what a path
    ends, the first of them unless it says otherwise. timeout: seconds an attempt has
    without a timeout of the call. quirks: what the wire needs to know of the server.
    builtin: whether the scheme is a provider's name too. keys, base_url: the variables of
    the built-in provider. reads_base_url: `module.function` that makes a DSN of the latter,
    where it is more than a URL.
    """

    provider: str
    plain: bool = False
    host: str = ""
    path: str = ""
    strip: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    timeout: float = CLOUD_TIMEOUT
    quirks: dict[str, Any] = field(default_factory=dict)
    builtin: bool = True
    keys: tuple[str, ...] = ()
    base_url: str = ""
    reads_base_url: str = ""


_LLAMA_SWAP = Scheme(
    "llamaswap.LlamaSwap",
    strip=("/v1/chat/completions", "/v1"),
    timeout=LOCAL_TIMEOUT,
    quirks={
        "token_limit": "max_tokens",
        "loading_state": True,
        "thinking_switch": True,
        "strict_schemas": False,
        "sd_extra_args": True,
    },
    builtin=False,
)

_GOOGLE = Scheme(
    "google.Google",
    host="generativelanguage.googleapis.com",
    versions=("/v1beta", "/v1", "/v1alpha"),
    keys=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
)

SCHEMES: dict[str, Scheme] = {
    "openai": Scheme(
        "openai.OpenAI",
        host="api.openai.com",
        path="/v1",
        strip=("/chat/completions",),
        keys=("OPENAI_API_KEY",),
        base_url="OPENAI_BASE_URL",
    ),
    "openai-responses": Scheme(
        "openai.OpenAI", path="/v1", strip=("/responses",), quirks={"responses": True}, builtin=False
    ),
    "anthropic": Scheme(
        "anthropic.Anthropic",
        host="api.anthropic.com",
        strip=("/messages",),
        versions=("/v1",),
        keys=("ANTHROPIC_API_KEY",),
        base_url="ANTHROPIC_BASE_URL",
    ),
    "google": _GOOGLE,
    "gemini": _GOOGLE,
    "ollama": Scheme(
        "ollama.Ollama",
        host=LOCAL_OLLAMA,
        strip=OLLAMA_PATHS,
        timeout=LOCAL_TIMEOUT,
        base_url="OLLAMA_HOST",
        reads_base_url="ollama.dsn_of",
    ),
    "ollama-cloud": Scheme(
        "ollama.Ollama",
        host="ollama.com",
        strip=OLLAMA_PATHS,
        quirks={"schema_enforced": False},
        keys=("OLLAMA_API_KEY",),
    ),
    "foreman": Scheme("ollama.Ollama", strip=OLLAMA_PATHS, timeout=LOCAL_TIMEOUT),
    "llama-swap": Scheme(**{**_LLAMA_SWAP.__dict__, "plain": True, "builtin": True}),
    "llama-swaps": _LLAMA_SWAP,
}

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def base_url_of(dsn: DSN, row: Scheme) -> str:
    """The base URL of a DSN, without credentials, default port or slash at the end."""
    host = dsn.host or row.host
    scheme = "http" if dsn.plain or row.plain or (not dsn.host and host == LOCAL_OLLAMA) else "https"
    port = _DEFAULT_PORTS[scheme]
    host = host[: -len(port)] if host.endswith(port) else host
    path = dsn.path
    for end in row.strip:
        if path == end or path.endswith(end):
            path = path[: -len(end)]
            break
    if row.versions and not path.endswith(row.versions):
        path += row.versions[0]
    return f"{scheme}://{host}{path or row.path}"


def builtin_dsn(name: str, row: Scheme, base: str | None, token: str | None) -> DSN:
    """The DSN of a built-in provider, from its vendor's variables."""
    source = row.base_url
    if not base:
        return DSN(name, token=token)
    if row.reads_base_url:
        module, _, function = row.reads_base_url.partition(".")
        with loading:
            found = import_module("." + module, __name__)
        try:
            read: DSN = getattr(found, function)(name, base)
        except DSNError as exc:
            raise DSNError(f"{source}: {exc.message}") from None
        return read
    scheme, marks, rest = base.partition("://")
    if not marks or scheme.lower() not in ("http", "https"):
        raise DSNError(f"{source} is no URL: it begins with https:// or http://")
    try:
        plain = "+http" if scheme.lower() == "http" else ""
        dsn = DSN.parse(f"{name}{plain}://{rest}")
    except DSNError as exc:
        raise DSNError(f"{source}: {exc.message}") from None
    if not dsn.host:
        raise DSNError(f"{source} names no host")
    return DSN(name, dsn.plain, token or dsn.token, dsn.host, dsn.path, dsn.options)


def make(
    name: str,
    dsn: DSN,
    *,
    client: Callable[[str | None, bool], Client],
    idle_timeout: float | None = None,
    needs_key: str | None = None,
) -> HTTPProvider:
    """The provider that a DSN of a known scheme describes.

    client: gives the transport for (CA file or None, proxies or not). needs_key: the
    message for a provider that cannot be asked without a key.
    Raises DSNError for options that the scheme does not have.
    """
    row = SCHEMES[dsn.scheme]
    if dsn.scheme == "openai-responses" and "responses" in dsn.options:
        raise DSNError("openai-responses says it all: openai:// is the scheme with the option responses")
    if dsn.scheme == "llama-swaps" and dsn.plain:
        raise DSNError("llama-swaps+http contradicts itself: llama-swap:// is the one over plain http")
    if dsn.plain and not dsn.host:
        raise DSNError("+http names no host; a key goes in plain text only where somebody said so")
    module_name, _, class_name = row.provider.partition(".")
    with loading:
        from ._options import options_of

        module = import_module("." + module_name, __name__)
    provider = getattr(module, class_name)
    limits, options = options_of(dsn, provider.own_options)
    made: HTTPProvider = provider(
        name,
        base_url_of(dsn, row),
        dsn.token,
        client=client(options.pop("ca", None), options.pop("proxy", True)),
        capabilities=module.CAPABILITIES,
        limits=limits,
        timeout=options.pop("timeout", row.timeout),
        idle_timeout=idle_timeout,
        missing=_no_host(name, dsn) if not (dsn.host or row.host) else needs_key,
        quirks={**row.quirks, **options},
    )
    return made


def _no_host(name: str, dsn: DSN) -> str:
    variable = "LLM_" + name.upper().replace("-", "_")
    return f"{name} names no host; set {variable}={dsn.scheme}://[TOKEN@]HOST:PORT"

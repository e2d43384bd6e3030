"""LLMs from synchronous Python, with the standard library alone.

    from majordomo import parse

    model = parse("box/qwen3:14b, openai/gpt-5-mini")  # try box, then openai
    reply = model.generate("Why is the sky blue?", timeout=60)
    print(reply.text, reply.model, reply.usage.output_tokens)

The environment says what the names stand for: `LLM_BOX=llama-swap://token@host:8080` makes
`box` a provider, `LLM_CAREFUL=box/qwen3:14b,openai/gpt-5-mini` makes `careful` an alias.
Known without that are openai, anthropic, google, ollama and ollama-cloud, by their vendors'
own variables (`OPENAI_API_KEY` and so on). `timeout` bounds a whole call, failover included.

Each of these names has help of its own, such as `python3 -m pydoc majordomo.parse`:

    ask        parse, Model (generate, stream), generate_many, Conversation
    say        user, assistant, Message, Text, Image, Thinking, Request
    read       Response, Usage, Attempt; of a stream TextDelta, ThinkingDelta, ToolCallDelta, Done
    use tools  run_tools, stream_tools, Tool, ToolCall, ToolResult, tool_result
    draw       parse_image, ImageRequest, ImageResponse
    set up     Registry, register_alias, register_provider, register_scheme, DSN
    fail       MajordomoError and those below it (majordomo.errors draws the tree), ErrorKind, classify
    extend     Model, Provider, ImageModel, Capabilities, Stream
    modules    media (pictures that fit), testing (a server for tests)

What begins with an underscore, modules and names, may change in any version.
"""

from __future__ import annotations

from importlib import import_module

from ._loading import loading

__version__ = "0.1.0"

# Where each name of the face lives; a module is imported when its first name is used.
_HOMES = {
    "batch": ("generate_many",),
    "dsn": ("DSN",),
    "errors": (
        "APIError",
        "ChainError",
        "ConfigError",
        "DSNError",
        "DeadlineError",
        "ErrorKind",
        "MajordomoError",
        "ProtocolError",
        "SpecError",
        "ToolLoopError",
        "TransportError",
        "TruncatedError",
        "UnsupportedError",
        "classify",
    ),
    "imagegen": ("ImageRequest", "ImageResponse"),
    "llm": (
        "Attempt",
        "Capabilities",
        "Image",
        "Message",
        "Request",
        "Response",
        "Text",
        "Thinking",
        "Tool",
        "ToolCall",
        "ToolResult",
        "Usage",
        "assistant",
        "tool_result",
        "user",
    ),
    "model": ("Done", "ImageModel", "Model", "Provider", "Stream", "TextDelta", "ThinkingDelta", "ToolCallDelta"),
    "tools": ("Conversation", "run_tools", "stream_tools"),
    "registry": ("Registry", "parse", "parse_image", "register_alias", "register_provider", "register_scheme"),
}
_MODULES = ("media", "testing")
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted([*_HOME_OF, *_MODULES])

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from . import media as media
    from . import testing as testing
    from .batch import *
    from .dsn import *
    from .errors import *
    from .imagegen import *
    from .llm import *
    from .model import *
    from .registry import *
    from .tools import *


def __getattr__(name: str) -> Any:
    home = name if name in _MODULES else _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with loading:
        module = import_module("." + home, __name__)
    found = globals()[name] = module if home == name else getattr(module, name)
    return found


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])

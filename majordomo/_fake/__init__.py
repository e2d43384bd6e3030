"""How the fake server's answers are told: a module a wire, and here whose each path is.

`testing` serves, counts and misbehaves, and knows no vendor's words; all of those are
here. Whoever edits these modules follows the vendors' servers and never the codecs in
`wires/`: each is there to prove the other wrong.
"""

from __future__ import annotations

from . import anthropic, google, llamaswap, ollama, openai_chat, openai_images, openai_responses
from ._common import path_of
from .values import VERBS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from .rows import Row
    from .values import Drawing, Reply, Seen, Status

    class Vendor(Protocol):
        """A module in whose words a stranger to the key is told so."""

        def tell_bad_key(self, seen: Seen) -> Status: ...

    class Lister(Vendor, Protocol):
        """One that has a list of models, too."""

        def list_models(self, models: Sequence[Row], seen: Seen) -> Status: ...


# Path's ending -> how a reply is told there.
_TELLERS: dict[str, Callable[[Reply, Seen], Status]] = {
    "/chat/completions": openai_chat.tell,
    "/responses": openai_responses.tell,
    "/messages": anthropic.tell,
    **dict.fromkeys(VERBS, google.tell),
    **dict.fromkeys(ollama.PATHS, ollama.tell),
}

# Path's ending -> whose it is; all others are llama-swap's.
_VENDORS: dict[str, Vendor] = {
    "/responses": openai_responses,
    "/messages": anthropic,
    **dict.fromkeys(VERBS, google),
    **dict.fromkeys((*ollama.PATHS, *ollama.MANAGED), ollama),
}


def asks_model(seen: Seen) -> bool:
    """Whether this is a question to a model, one to draw included."""
    asking = path_of(seen).endswith((*_TELLERS, *openai_images.PATHS))
    return seen.method == "POST" and asking and not ollama.loads(seen)


def draws(seen: Seen) -> bool:
    """Whether pictures are wanted."""
    return path_of(seen).endswith(openai_images.PATHS) or google.draws(seen)


def tell(reply: Reply, seen: Seen) -> Status:
    """A reply in the wire of the path; in Chat Completions where that is nobody's."""
    path = path_of(seen)
    return next((teller for ending, teller in _TELLERS.items() if path.endswith(ending)), openai_chat.tell)(reply, seen)


def tell_drawing(drawing: Drawing, seen: Seen, show: Callable[[list[bytes]], list[str]]) -> Status:
    """Pictures in the wire of the path. show: puts them where they can be fetched, and says where."""
    if path_of(seen).endswith(VERBS):
        return google.tell_drawing(drawing, seen)
    return openai_images.tell_drawing(drawing, seen, show)


def tell_bad_key(seen: Seen) -> Status:
    """That a key is missing or wrong, in the words of whose path it is."""
    path = path_of(seen)
    if path.endswith("/models"):
        return _lister_of(seen).tell_bad_key(seen)
    vendor = next((vendor for ending, vendor in _VENDORS.items() if path.endswith(ending)), llamaswap)
    return vendor.tell_bad_key(seen)


def list_models(models: Sequence[Row], seen: Seen) -> Status:
    """The models in the words of whose list was asked for."""
    return _lister_of(seen).list_models(models, seen)


def _lister_of(seen: Seen) -> Lister:
    """Whose list a path is that several have."""
    if "anthropic-version" in seen.headers:
        return anthropic
    return google if "/v1beta/" in path_of(seen) or "x-goog-api-key" in seen.headers else llamaswap

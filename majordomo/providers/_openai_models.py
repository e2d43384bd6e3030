"""Which of OpenAI's models are asked over Responses, and how they differ there.

Rows that grow with every model; loaded when a host serves Responses, or says so.
"""

from __future__ import annotations

import re

from ._base import Family

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# A model's name -> whether it is asked over Responses there; the first row that fits decides, without one it is not.
# Source: openai-python 3.54, `types/shared/responses_model`; litellm 1.109, `responses/bridge_check`. A tuned model's
# name ends in words of its owner's, and Azure writes GPT-3.5 without its dot.
ROUTES = (
    (r"(?!ft:).*(?:-pro\b|codex|deep-research)|computer-use|gpt-daybreak", True),
    (r"gpt-\d+(?:\.\d+)?-(?:chat|search|audio|realtime|image)", False),
    (r"gpt-(?:5\.(?:[4-9]|\d\d)|(?:[6-9]|1\d)(?:\.\d+)?)(?:-|$)", True),
)


def _family(models: str, efforts: str, sampling: tuple[str, ...] | None = (), hidden: bool = True) -> Family:
    """A row of `RESPONSES`, which is for all hosts."""
    return Family(
        (), tuple(models.split()), {}, {"efforts": (*efforts.split(),), "sampling": sampling, "hidden": hidden}
    )


# Models as Responses serves them, from general to special: names, accepted efforts, and with which of those
# `temperature` and `top_p` are taken (`""`: none sent). Hidden is what is thought by all that think, save the models of
# ChatGPT, which refuse to seal it. Source: pydantic-ai 2.68, `profiles/openai`, probed from July to October 2026.
RESPONSES = (
    _family("gpt-6 gpt-7 gpt-8 gpt-9", "none low medium high xhigh max"),
    _family("o1 o3 o4", "low medium high"),
    _family("gpt-5", "minimal low medium high"),
    _family("gpt-5-pro", "high"),
    _family("gpt-5-chat gpt-4 chatgpt-4o gpt-3.5", "", None, hidden=False),
    _family("gpt-5.1", "none low medium high", ("", "none")),
    _family("gpt-5.2 gpt-5.3 gpt-5.4", "none low medium high xhigh", ("", "none")),
    _family("gpt-5.1-chat gpt-5.2-chat gpt-5.3-chat chat-latest", "medium", hidden=False),
    _family("gpt-5.5", "none low medium high xhigh", ("none",)),
    _family("gpt-5.2-pro gpt-5.4-pro gpt-5.5-pro", "medium high xhigh"),
    _family("gpt-5.6", "none low medium high xhigh max", ("none",)),
    _family("gpt-6-sol gpt-6-luna gpt-6.1-terra", "none low medium high xhigh max", ("none",)),
    _family("gpt-6-astra gpt-6.1-sol", "low medium high xhigh max"),
)
# What OpenAI's own hosts serve and nobody has heard of is taken for new.
_UNKNOWN = {"official": True, "efforts": RESPONSES[0].quirks["efforts"], "sampling": (), "hidden": True}


def is_over_responses(id: str) -> bool:
    """Whether OpenAI serves a model over Responses, as far as its name tells."""
    return next((over for names, over in ROUTES if re.match(names, id)), False)


def quirks_of(id: str, own_host: bool) -> dict[str, Any]:
    """How a model differs on Responses: fields of `wires.openai_responses.Quirks`."""
    known = dict(_UNKNOWN) if own_host else {"silent_limit": True}
    for family in RESPONSES:
        if id.startswith(family.models):
            known.update(family.quirks)
    return known

"""What Google's refusals teach about a request: the field that a model does not take, and what goes instead.

Google names no parameter in its errors, so they are told by the beginning of their words.
Loaded with the first error. Source of the words: errors of the API that were quoted in
public up to November 2026; of what fits whom: "Thinking" of the Gemini API's
documentation, October 2026.
"""

from __future__ import annotations

import re

from ._google import SKIP, rows_of
from ._shared import Remedy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..errors import APIError

_BECAUSE = r"(?:unable to submit request because )?(?:the )?"
# How a 400 begins -> the field that it means; without one, the field is named in it.
_REFUSALS: tuple[tuple[str, str], ...] = (
    (r'.{0,80}unknown name \\?"(\w+)', ""),
    (_BECAUSE + r"(?:model does not support setting )?(thinking[ _](?:level|budget)) is not", ""),
    (_BECAUSE + r"(?:model does not support setting )?thinking[ _](?:level|budget)\b", "thinking"),
    (r"budget -?\d+ is invalid", "thinking"),
    (_BECAUSE + r"thinking(?:_config)?\b.{0,40} (?:not|only) (?:supported|enabled)", "thinkingConfig"),
    (r"developer instruction is not", "systemInstruction"),
    (r"json mode is not", "responseJsonSchema"),
    (r"(?:function calling|tool use) with a response mime type", "responseJsonSchema=tools"),
    (r"(?:the specified|a) schema\b.{0,80}(?:too many states|nesting depth)", "schema"),
    (r".{0,160}thought[ _]?signature", "thoughtSignature"),
    (
        _BECAUSE + r"[`'\"]?(temperature|top_?p|seed|stop_?sequences|max_?output_?tokens)\b"
        r".{0,20} not (?:supported|enabled|allowed)",
        "",
    ),
)

# A field as it may be written, without `_` and in small letters -> the field.
_FIELDS = {
    **{
        name.lower(): name
        for name in (
            "temperature",
            "topP",
            "seed",
            "stopSequences",
            "maxOutputTokens",
            "systemInstruction",
            "responseJsonSchema",
            "thinkingConfig",
            "thinkingLevel",
            "thinkingBudget",
        )
    },
    "responsemimetype": "responseJsonSchema",
    "includethoughts": "thinkingConfig",
}

# What thinking is asked for -> what comes nearest to it, nearest first.
_NEAREST = {
    "thinkingLevel=MINIMAL": ("thinkingLevel=LOW", "thinkingBudget=512"),
    "thinkingLevel=LOW": ("thinkingBudget=2048",),
    "thinkingLevel=MEDIUM": ("thinkingLevel=HIGH", "thinkingBudget=8192"),
    "thinkingLevel=HIGH": ("thinkingBudget=24576",),
    "thinkingBudget=0": ("thinkingLevel=LOW", "thinkingBudget=512"),
    "thinkingBudget=128": ("thinkingBudget=512", "thinkingLevel=LOW"),
    "thinkingBudget=512": ("thinkingLevel=LOW",),
    "thinkingBudget=2048": ("thinkingLevel=LOW",),
    "thinkingBudget=8192": ("thinkingLevel=MEDIUM",),
    "thinkingBudget=24576": ("thinkingLevel=HIGH",),
    "thinkingBudget=32768": ("thinkingBudget=24576", "thinkingLevel=HIGH"),
}


def remedy(error: APIError, body: dict[str, Any], remedies: dict[str, str | None], seals: bool) -> Remedy | None:
    """See `google.remedy`. remedies: what was mended before. seals: whether the model wants its calls signed."""
    found = _mended(_refused(error.message), error.message, body, remedies, seals) if error.status == 400 else None
    return None if found is None or found.said in remedies else found


def _refused(message: str) -> str:
    """The field that an error means, `""` if it is none that can be helped."""
    for pattern, field in _REFUSALS:
        told = re.match(pattern, message, re.I)
        if told:
            return field or _FIELDS.get(told[1].replace("_", "").replace(" ", "").lower(), "")
    return ""


def _mended(
    field: str, message: str, body: dict[str, Any], remedies: dict[str, str | None], seals: bool
) -> Remedy | None:
    config = _object(body, "generationConfig")
    if field == "thoughtSignature":
        seal = SKIP if seals or "missing" in message.lower() else None
        return Remedy(field, seal, lasting=False) if _is_signed(body) else None
    if field.startswith("thinking"):
        return _thinking(field, _object(config, "thinkingConfig"), remedies)
    if field == "schema":  # this one is too much, others may not be
        return Remedy("responseJsonSchema", lasting=False) if "responseJsonSchema" in config else None
    if field == "systemInstruction":
        return Remedy(field, "contents") if field in body else None
    return Remedy(field) if field.partition("=")[0] in config else None


def _thinking(field: str, config: dict[str, Any], remedies: dict[str, str | None]) -> Remedy | None:
    """field: `thinking` if its value is refused, else what is refused whatever its value."""
    if field == "thinkingConfig":
        return Remedy(field) if config else None
    for name in ("thinkingLevel", "thinkingBudget"):
        if name in config:
            said = f"{name}={config[name]}"
            others = [near for near in _NEAREST.get(said, ()) if near not in remedies and near.split("=")[0] != field]
            return Remedy(said, others[0] if others else None)
    return None


def _object(value: dict[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _is_signed(body: dict[str, Any]) -> bool:
    """Whether there is a signature that may be wrong, or a call that may want one."""
    parts = [part for content in rows_of(body, "contents") for part in rows_of(content, "parts")]
    return any("functionCall" in part or "thoughtSignature" in part for part in parts)

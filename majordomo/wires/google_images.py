"""Gemini's models that draw: pictures as parts of what `generateContent` answers.

Source: google-genai 3.4 of November 2026 (`types.ImageConfig`, `types.FinishReason`).
"""

from __future__ import annotations

from .._words import one_line
from ..errors import APIError, MajordomoError, ProtocolError, UnsupportedError
from ..llm import Image, merge
from ._google import WITHHELD, blocked, place, raise_error, rows_of
from ._google import read_error as read_error
from ._shared import base64_of, text_of, told_of_arguments, without_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass
    from typing import Any, Union

    from ..imagegen import ImageRequest

    Drawn = Union[Image, str]
else:
    from .._frozen import dataclass

ONE_AT_A_TIME = True


@dataclass(frozen=True)
class Quirks:
    """How a server differs from the others on this wire: it does not."""


def path(request: ImageRequest, model: str) -> str:
    """Where the request goes, behind the base URL. Raises ConfigError for a model's name that leads elsewhere."""
    return place(model, "generateContent")


def encode(request: ImageRequest, model: str, quirks: Quirks) -> dict[str, Any]:
    """The body of a request, for one picture; the model stands in the path."""
    parts: list[dict[str, Any]] = [
        {"inlineData": {"mimeType": image.mime, "data": base64_of(image)}} for image in request.images
    ]
    parts.append({"text": request.prompt})
    # Text beside the picture tells why there is none, and some models refuse to draw without it.
    config: dict[str, Any] = {"responseModalities": ["TEXT", "IMAGE"]}
    if request.size is not None:
        config["imageConfig"] = _image_config(*request.size)
    if request.seed is not None and request.seed >= 0:  # it takes no other, and draws at random without
        config["seed"] = request.seed
    body = {"contents": [{"role": "user", "parts": parts}], "generationConfig": config}
    return merge(body, without_arguments(request))


# Shapes and sizes that can be asked for; a size is the longer side up to which it serves.
# The smallest is the default, and is not said, for the older models know no size.
_RATIOS = ((1, 1), (2, 3), (3, 2), (3, 4), (4, 3), (9, 16), (16, 9), (21, 9))
_SIZES = ((1024, None), (2048, "2K"), (4096, "4K"))
_EXACT = tuple((side, side) for side, _ in _SIZES)


def _image_config(width: int, height: int) -> dict[str, str]:
    """The nearest shape, and the smallest size that is large enough."""

    def distance(ratio: tuple[int, int]) -> float:
        wide, high = width * ratio[1], height * ratio[0]
        return max(wide, high) / min(wide, high)

    a, b = min(_RATIOS, key=distance)
    size = next((name for longest, name in _SIZES if max(width, height) <= longest), "4K")
    return {"aspectRatio": f"{a}:{b}", **({"imageSize": size} if size else {})}


def decode(payload: Any, request: ImageRequest) -> tuple[list[Drawn], tuple[str, ...]]:
    """The pictures in a 2xx body, drafts left out, and what there is to say about them.

    Raises APIError for an error that came as a 200 and for a filter's no, ProtocolError
    for another answer without a picture; `.partial` is the text that came instead.
    """
    raise_error(payload)
    found: list[Drawn] = []
    texts: list[str] = []
    why = "the answer holds no picture"
    for part in _parts(payload):
        texts.append(text_of(part.get("text")))
        inline = part.get("inlineData", part.get("inline_data"))
        data = text_of(inline.get("data")) if isinstance(inline, dict) else ""
        if data:
            try:
                found.append(Image.from_base64(data))
            except UnsupportedError as exc:
                why = f"the answer holds a picture that cannot be read: {exc.message}"
    if not found:
        raise _no_picture(payload, why, "".join(texts))
    return found, ()


def _parts(payload: Any) -> list[dict[str, Any]]:
    """The parts of all candidates, without those that show how the model got there."""
    contents = [candidate.get("content") for candidate in rows_of(payload, "candidates")]
    return [part for content in contents for part in rows_of(content, "parts") if not part.get("thought")]


def _no_picture(payload: Any, why: str, partial: str) -> MajordomoError:
    """The error that an answer without a picture is: a filter's, or nobody knows whose."""
    refused = blocked(payload, partial)
    if refused is not None:
        return refused
    for candidate in rows_of(payload, "candidates"):
        reason, said = text_of(candidate.get("finishReason")), text_of(candidate.get("finishMessage"))
        told = one_line(f"({reason})" + (f": {said}" if said else ""), 250)
        if reason in WITHHELD:
            return APIError(400, f"the picture was withheld {told}", "content_filter", partial=partial)
        if reason:
            why = f"{why} {told}"
            break
    said = f"; it says {one_line(partial, 200)!r}" if partial.strip() else ""
    return ProtocolError(why + said, partial=partial)


def warnings(request: ImageRequest, quirks: Quirks) -> tuple[str, ...]:
    """What of this request is not sent, or not as it is, one sentence each, by the option's name here."""
    found = []
    if request.negative_prompt is not None:
        found.append("negative_prompt: left out, for the target has no such option")
    if request.size is not None and request.size not in _EXACT:
        sent = ", ".join(f"{name} {value}" for name, value in _image_config(*request.size).items())
        found.append(f"size: sent as {sent}")
    return (*found, *told_of_arguments(request))

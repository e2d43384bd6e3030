"""OpenAI's Images API, and the servers that draw on its paths (stable-diffusion.cpp, also behind llama-swap).

Source: openai-python 3.54 of November 2026 (`types/image_generate_params`,
`image_edit_params`, `images_response`); stable-diffusion.cpp's `examples/server` of
August 2026, which takes what OpenAI has no field for in a block within the prompt.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from .. import _json
from .._loading import loading
from ..errors import ConfigError, ProtocolError, UnsupportedError
from ..llm import Image, merge
from . import _openai_errors
from ._openai_errors import raise_error as raise_error
from ._shared import ARGUMENTS, text_of, told_of_arguments, without_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass
    from typing import Any, Union

    from ..imagegen import ImageRequest
    from ._multipart import Form
    from ._shared import Facts

    Drawn = Union[Image, str]
else:
    from .._frozen import dataclass

ONE_AT_A_TIME = False
MOST_PICTURES = 100  # of one answer, unless more were asked for


@dataclass(frozen=True)
class Quirks:
    """How a server differs from the others on this wire.

    extra_args: seed and negative prompt ride in the prompt (stable-diffusion.cpp).
    """

    extra_args: bool = False


def path(request: ImageRequest, model: str) -> str:
    """Where the request goes, behind the base URL."""
    return "/images/edits" if request.images else "/images/generations"


def encode(request: ImageRequest, model: str, quirks: Quirks) -> dict[str, Any] | Form:
    """The body of a request; a form where it holds pictures.

    Raises UnsupportedError for a prompt that the server would run as arguments.
    """
    body: dict[str, Any] = {"model": model, "prompt": request.prompt}
    if quirks.extra_args:
        body["prompt"] += _arguments(request)
    extra = without_arguments(request)
    if request.n > 1:
        body["n"] = request.n
    if request.size is not None:
        body["size"] = "{}x{}".format(*request.size)
    body = merge(body, extra) if extra else body
    return _form(body, request.images) if request.images else body


def _arguments(request: ImageRequest) -> str:
    """The block that stable-diffusion.cpp takes out of the prompt; it ends at the end of a line."""
    if ARGUMENTS in request.prompt.lower():
        raise UnsupportedError(f"a prompt that holds {ARGUMENTS} is not sent, for the server would run it; see extra")
    arguments = {"seed": request.seed, "negative_prompt": request.negative_prompt}
    arguments = {name: value for name, value in arguments.items() if value is not None}
    more = request.extra.get(ARGUMENTS, {})
    if not isinstance(more, dict):
        raise ConfigError(f"extra: {ARGUMENTS} is a dict, not {type(more).__name__}")
    arguments = merge(arguments, more)
    if not arguments:
        return ""
    text = _json.dumps(arguments, ARGUMENTS).replace("<", "\\u003c").replace(">", "\\u003e")
    return f" <{ARGUMENTS}>{text}</{ARGUMENTS}>"


def _form(body: dict[str, Any], images: tuple[Image, ...]) -> Form:
    with loading:
        from . import _multipart

    fields = [
        (name, value if isinstance(value, str) else _json.dumps(value, name))
        for name, value in body.items()
        if value is not None
    ]
    name = "image" if len(images) == 1 else "image[]"
    files = []
    for number, image in enumerate(images, 1):
        kind = image.mime.partition("/")[2]
        files.append((name, f"image-{number}.{kind if kind.isalnum() else 'bin'}", image.mime, image.data))
    return _multipart.encode(fields, files)


def decode(payload: Any, request: ImageRequest) -> tuple[list[Drawn], tuple[str, ...]]:
    """The pictures in a 2xx body, in order, and what there is to say about them.

    A picture is an `Image`, or the URL (http or https, without credentials) at which it
    still has to be fetched. Raises APIError for an error that came as a 200,
    ProtocolError for an answer without a picture.
    """
    rows = _rows(payload)
    if not rows or payload.get("error"):
        raise_error(payload)
    if len(rows) > max(MOST_PICTURES, request.n):
        raise ProtocolError(f"the answer holds {len(rows)} pictures, and {request.n} were asked for")
    found: list[Drawn] = []
    trouble = "the answer holds no picture"
    for row in rows:
        try:
            picture = _picture(row)
        except UnsupportedError as exc:  # others may be whole
            trouble = f"the answer holds a picture that cannot be read: {exc.message}"
            continue
        if picture is not None:
            found.append(picture)
    if not found:
        raise ProtocolError(trouble)
    if len(found) < request.n:
        return found, (f"n: {len(found)} of {request.n} pictures came",)
    return found, ()


def _rows(payload: Any) -> list[Any]:
    """The entries that may hold a picture: OpenAI's `data`, or `images` as the WebUI has it."""
    for name in ("data", "images"):
        rows = payload.get(name) if isinstance(payload, dict) else None
        if isinstance(rows, list) and rows:
            return rows
    return []


def _picture(row: Any) -> Drawn | None:
    """The picture of one entry, None if it holds none; UnsupportedError if it cannot be read."""
    row = row if isinstance(row, dict) else {"b64_json": row}
    text = text_of(row.get("b64_json"))
    if text:
        return Image.from_base64(text)
    url = text_of(row.get("url")).strip()
    if not url:
        return None
    return Image.from_base64(url) if url[:5].lower() == "data:" else _checked(url)


def _checked(url: str) -> str:
    """A URL that may be fetched; it is not quoted, for it may hold what opens it."""
    try:
        parts = urlsplit(url)
        known = (
            parts.scheme in ("http", "https")
            and parts.hostname
            and parts.port != 0
            and not set("@%") & set(parts.netloc)
        )
    except ValueError:
        known = False
    if not known or len(url) > 10_000 or not (url.isascii() and url.isprintable()) or " " in url or "\\" in url:
        raise UnsupportedError("its URL is not one of http or https that can be fetched")
    return url


# What servers say of a path that they do not have: llama-server, llama-swap before it had
# it, FastAPI, stable-diffusion.cpp. The model is there all the same, and may well chat.
_NO_SUCH_PATH = ("file not found", "404 page not found", "not found", "")


def read_error(status: int, text: str) -> Facts:
    """(message, code, param, seconds to wait) of an error's body, whatever its shape."""
    message, code, param, wait = _openai_errors.read_error(status, text)
    if status == 404 and message.strip().lower() in _NO_SUCH_PATH:
        told = f": {message.strip()}" if message.strip() else ""
        return f"the server does not draw, or not with this model{told}", "drawing_not_supported", param, wait
    return message, code, param, wait


def warnings(request: ImageRequest, quirks: Quirks) -> tuple[str, ...]:
    """What of this request is not sent, one sentence each, by the option's name here."""
    if quirks.extra_args:
        return ()
    left_out = [name for name in ("seed", "negative_prompt") if getattr(request, name) is not None]
    return (*(f"{name}: left out, for the target has no such option" for name in left_out), *told_of_arguments(request))

"""What the options of a DSN say, those that every provider has and those that are a provider's own."""

from __future__ import annotations

from .._loading import loading
from ..deadline import as_timeout
from ..errors import DSNError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from ..dsn import DSN


def options_of(dsn: DSN, own_options: dict[str, Callable[[str], Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a DSN's options say: (fields of `Capabilities`, the rest by name); DSNError for an unknown or odd one."""
    found: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    for name, value in dsn.options.items():
        read = _OPTIONS.get(name) or own_options.get(name)
        if read is None:
            with loading:
                from difflib import get_close_matches

            known = sorted([*_OPTIONS, *own_options])
            close = get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
            raise DSNError(f"unknown option {_shown(name)}: {hint}")
        try:
            (limits if name in _LIMITS else found)[_LIMITS.get(name, name)] = read(value)
        except ValueError as exc:
            raise DSNError(f"option {name}: {exc}") from None
    return limits, found


def _shown(name: str) -> str:
    """An option's name, if it can be one; never half a token."""
    return name if name.isidentifier() and len(name) <= 40 else "in this DSN"


def _count(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise ValueError("is a whole number")
    return int(value)


def _seconds(value: str) -> float:
    try:
        return as_timeout(float(value))
    except ValueError:
        raise ValueError("is a number of seconds above 0, or inf") from None


def switch(value: str) -> bool:
    """`on` or `off`, as an option says it."""
    states = {"on": True, "off": False, "true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
    if value.lower() not in states:
        raise ValueError("is on or off")
    return states[value.lower()]


def _types(value: str) -> tuple[str, ...]:
    names = [name.strip().lower().replace("image/", "") for name in value.split(",") if name.strip()]
    names = ["jpeg" if name == "jpg" else name for name in names]
    if not names or not set(names) <= set(_TYPES):
        raise ValueError(f"is a list of {', '.join(_TYPES)}")
    return tuple(f"image/{name}" for name in names)


_TYPES = ("png", "jpeg", "gif", "webp", "bmp", "tiff")


_OPTIONS: dict[str, Callable[[str], Any]] = {
    "timeout": _seconds,
    "max_images": _count,
    "max_image_dimension": _count,
    "max_image_bytes": _count,
    "image_mime": _types,
    "proxy": switch,
    "ca": str,
    "thinking": switch,
    "max_total_image_bytes": _count,
    "many_images": _count,
    "many_image_dimension": _count,
    "animated_images": switch,
    "tools": switch,
}
_LIMITS = {  # whose options are fields of `Capabilities`
    "max_images": "max_images_per_request",
    "max_image_dimension": "max_image_dimension",
    "max_image_bytes": "max_image_bytes",
    "image_mime": "allowed_image_mime",
    "max_total_image_bytes": "max_total_image_bytes",
    "many_images": "many_images",
    "many_image_dimension": "many_image_dimension",
    "animated_images": "animated_images",
    "tools": "tools",
    "thinking": "thinking",
}

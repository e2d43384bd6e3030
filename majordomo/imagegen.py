"""The vocabulary of drawing: what is asked of a model that draws, and what it gives.

It stands beside `llm` and keeps its rules: values are frozen and do not know who sends
them. A picture, here as there, is an `Image`.
"""

from __future__ import annotations

from .errors import ConfigError
from .llm import Image, _settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from dataclasses import dataclass, field, replace
    from typing import Any

    from .llm import Attempt
else:
    from ._frozen import dataclass, field, replace

__all__ = ["ImageRequest", "ImageResponse"]


@dataclass(frozen=True)
class ImageRequest:
    """What is asked of a model that draws. `None` leaves a setting to the server.

    n: how many pictures. size: (width, height) in pixels, also given as `"1024x1024"`;
    servers round it or know a few sizes only. seed: the same one draws the same picture
    again, where the server can; stable-diffusion.cpp draws the same one each time without
    a seed too (its start-up default is 42), and -1 makes it random there.
    negative_prompt: what the picture must not show. images: pictures to edit, one or
    several. extra: merged into the body of the request as the provider takes it, objects
    into objects; it wins. Raises ConfigError for what no server could take.
    """

    prompt: str
    n: int = 1
    size: tuple[int, int] | None = None
    seed: int | None = None
    negative_prompt: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    images: tuple[Image, ...] = ()

    def __post_init__(self) -> None:
        mine = self.__dict__
        if not isinstance(self.prompt, str):
            kind = type(self.prompt).__name__
            raise ConfigError(f"a prompt to draw from is a str or an ImageRequest, not {kind}; pictures go into images")
        if not self.prompt.strip():
            raise ConfigError("a prompt to draw from says something; this one is blank")
        if not _is_int(self.n) or self.n < 1:
            raise ConfigError(f"n is how many pictures to draw, at least 1, not {_short(self.n)}")
        if self.seed is not None and not _is_int(self.seed):
            raise ConfigError(f"seed is an int, not {type(self.seed).__name__}")
        if self.negative_prompt is not None and not isinstance(self.negative_prompt, str):
            raise ConfigError(f"negative_prompt is a str, not {type(self.negative_prompt).__name__}")
        if not isinstance(self.extra, dict):
            raise ConfigError(f"extra is a dict, not {type(self.extra).__name__}")
        if not all(isinstance(name, str) for name in self.extra):
            raise ConfigError("the names in extra are text")
        mine["size"] = _size(self.size)
        mine["images"] = _settings("images", (self.images,) if isinstance(self.images, Image) else self.images, Image)

    @classmethod
    def of(cls, prompt: str | ImageRequest, options: Mapping[str, Any] | None = None) -> ImageRequest:
        """A prompt in either of its forms, with options laid over it.

        Raises ConfigError for an option that `ImageRequest` does not have.
        """
        for name in options or ():
            if name not in _OPTIONS:
                raise ConfigError(f"unknown option {name!r}; the options are timeout, {', '.join(_OPTIONS)}")
        if isinstance(prompt, ImageRequest):
            return replace(prompt, **options) if options else prompt
        return cls(prompt, **(options or {}))


_OPTIONS = tuple(name for name in ImageRequest.__match_args__ if name != "prompt")


@dataclass(frozen=True)
class ImageResponse:
    """Pictures that were drawn.

    images: at least one, in the server's order, each with the type that its bytes say.
    model: the target that drew, as in the spec (`"box/flux"`). attempts: the tries at all
    targets, oldest first. warnings: what was left out or changed because the target does
    not take it, by the option's name. raw: the server's answer as it came; a list of
    answers where it took several requests.
    """

    images: tuple[Image, ...]
    model: str = ""
    attempts: tuple[Attempt, ...] = ()
    warnings: tuple[str, ...] = ()
    raw: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("images", "attempts", "warnings"):
            self.__dict__[name] = tuple(self.__dict__[name])


def _size(given: Any) -> tuple[int, int] | None:
    """A size in either of its forms as (width, height)."""
    if given is None:
        return None
    sides = given
    if isinstance(given, str):
        texts = [text.strip() for text in given.lower().split("x")]
        sides = [int(text) for text in texts if text.isascii() and text.isdigit() and len(text) < 10]
        if len(sides) != len(texts):
            sides = ()
    if isinstance(sides, (tuple, list)) and len(sides) == 2:
        width, height = sides
        if _is_int(width) and _is_int(height) and 0 < width < 10**9 and 0 < height < 10**9:
            return width, height
    raise ConfigError(f'size is (width, height) or "1024x1024" in pixels, not {_short(given)}; None leaves it open')


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _short(value: Any) -> str:
    """A setting as an error may show it."""
    return repr(value)[:40] if isinstance(value, (str, int, float, tuple, list)) else type(value).__name__

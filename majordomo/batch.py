"""Many prompts at once: results in order, with no more memory for a million than for ten.

    for result in generate_many(model, prompts, workers=8, timeout=60):
        print(result if isinstance(result, MajordomoError) else result.text)

It knows models, not targets: failover, retries and deadlines of each prompt are the model's.
"""

from __future__ import annotations

from ._crew import flow
from ._tool_loop import as_count
from .deadline import as_timeout
from .errors import ConfigError, MajordomoError
from .llm import Message, Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from typing import Any, Callable, Union

    from .llm import Prompt, Response
    from .model import Model

    Outcome = Union[Response, MajordomoError]

__all__ = ["generate_many"]

_ONE_PROMPT = (str, bytes, dict, Message, Request)  # which could be gone through as if they were many


def generate_many(
    model: Model, prompts: Iterable[Prompt], *, workers: int = 8, timeout: float | None = None, **options: Any
) -> Generator[Outcome, None, None]:
    """Ask many prompts, several at once.

    Gives, in the order of the prompts, the `Response` to each or the `MajordomoError` it ended with.

    prompts: any iterable, endless ones too, of what `Model.generate` takes. It is gone
    through in this thread, no further ahead than four prompts for each worker, which is also
    as far as others go on while an early answer takes its time; with several workers the next
    prompt is fetched before a result is handed out. workers: how many are asked
    at once, in threads; with 1 they are asked in this one, each when its result is wanted.
    timeout: seconds of each prompt, options: fields of `Request`, both as for `generate`.

    A `MajordomoError` is a result, that of a prompt which is none included; what else a model
    raises is raised in its place, and what `prompts` raises after the results before it.

    If you leave the loop, or close the generator, nothing more is asked, and you do not wait for
    what is under way. Raises ConfigError, at once, for what could not work with any prompt.
    """
    ask, options = asker(model, timeout), settled(options)
    if isinstance(prompts, _ONE_PROMPT) or not hasattr(prompts, "__iter__"):
        raise ConfigError(f"generate_many takes a list of prompts, or another iterable, not {type(prompts).__name__}")
    count = as_count("workers", workers)
    return flow(lambda prompt: ask(prompt, **options), iter(prompts), count, ordered=True, name="majordomo-many")


def asker(model: Model, timeout: float | None) -> Callable[..., Outcome]:
    """`model.generate` with its errors as results; ConfigError for a model or a timeout that is none."""
    if not callable(getattr(model, "generate", None)):
        raise ConfigError(f"a model is what parse() gives, not {type(model).__name__}")
    seconds = None if timeout is None else as_timeout(timeout)

    def ask(prompt: Prompt, **options: Any) -> Outcome:
        try:
            return model.generate(prompt, timeout=seconds, **options)
        except MajordomoError as exc:
            return exc

    return ask


def settled(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options checked and made what `Request` keeps of them, once for all prompts; ConfigError for an odd one."""
    # Without the choice of a tool, for it may be one that the prompts bring.
    checked = Request.of("", {**options, "tool_choice": "auto"})
    return {name: value if name == "tool_choice" else getattr(checked, name) for name, value in options.items()}

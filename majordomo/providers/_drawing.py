"""The models of an HTTP provider that draw: where a drawing wire meets the transport."""

from __future__ import annotations

from urllib.parse import urlsplit

from .. import _http, _json
from ..errors import APIError, DeadlineError, ErrorKind, MajordomoError, ProtocolError, UnsupportedError, classify
from ..imagegen import ImageResponse
from ..llm import Image
from ..model import ImageModel
from ._base import Blaming

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from dataclasses import replace
    from typing import Any

    from ..deadline import Deadline
    from ..imagegen import ImageRequest
    from ..llm import Capabilities
    from ._base import HTTPProvider
else:
    from .._frozen import replace

DRAWN_CAP = 256 * 1024 * 1024  # bytes of an answer that holds pictures: ten of them at 4K are 100 MB
MOST_REQUESTS = 100  # one after the other, for the pictures of one call
_PICTURES = {"Accept": "image/*, */*", "Connection": "close"}


class ImageTarget(ImageModel):
    """One model of an HTTP provider that draws.

    wire, quirks: a drawing wire, as `wires` describes it. capabilities: what it takes to edit.
    """

    def __init__(self, provider: HTTPProvider, id: str, wire: Any, quirks: Any, capabilities: Capabilities) -> None:
        self.id = id
        self.name = f"{provider.name}/{id}"
        self.base_url = provider.base_url
        self.capabilities = capabilities
        self.default_timeout = provider.timeout
        self._provider = provider
        self._wire = wire
        self._quirks = quirks

    def complete(self, request: ImageRequest, deadline: Deadline) -> ImageResponse:
        wire, provider = self._wire, self._provider
        images: list[Image] = []
        answers: list[Any] = []
        told: tuple[str, ...] = wire.warnings(request, self._quirks)
        with Blaming(self):
            provider.ready()
            if wire.ONE_AT_A_TIME and request.n > MOST_REQUESTS:
                raise UnsupportedError(f"n is {MOST_REQUESTS} at most here: each picture is a request of its own")
            for one in _one_by_one(request) if wire.ONE_AT_A_TIME else [request]:
                try:
                    payload = self._asked(one, deadline)
                    found, said = wire.decode(payload, one)
                    whole = self._whole(found, deadline)
                except MajordomoError as exc:
                    if not images or isinstance(exc, DeadlineError):
                        raise
                    provider.blot(exc)
                    told += (f"n: {len(images)} of {request.n} pictures came, then: {exc}",)
                    break  # those that came are paid for
                answers.append(payload)
                told += said if len(whole) == len(found) else (f"n: {len(whole)} of {one.n} pictures came",)
                images += whole
        return ImageResponse(tuple(images), self.name, (), told, answers if len(answers) > 1 else answers[0])

    def _asked(self, request: ImageRequest, deadline: Deadline) -> Any:
        wire, provider = self._wire, self._provider
        url = provider.base_url + wire.path(request, self.id)
        body, how = wire.encode(request, self.id, self._quirks), provider.how(deadline, wire)
        if not isinstance(body, dict):  # a form
            how["headers"]["Content-Type"] = body.content_type
            body = body.body
        elif request.images:
            body = _json.dumps_sparingly(body)
        answer = _http.fetch(provider.client, "POST", url, body, cap=DRAWN_CAP, **how)
        return _json.loads(answer)

    def _whole(self, found: list[Image | str], deadline: Deadline) -> list[Image]:
        """The pictures, those at a URL fetched; what is lost is left out, unless all is.

        Then the error is none that drawing again would mend for nothing.
        """
        images: list[Image] = []
        error: MajordomoError | None = None
        room = DRAWN_CAP
        for drawn in found:
            try:
                image = drawn if isinstance(drawn, Image) else self._fetched(drawn, deadline, min(room, _http.CAP))
            except ProtocolError as exc:
                error = exc
                continue
            images.append(image)
            room -= len(image.data)
        if error is not None and not images:
            error.should_retry = False
            raise error
        return images

    def _fetched(self, url: str, deadline: Deadline, cap: int) -> Image:
        """A picture that lies at a URL: asked for without any credential, wherever that is."""
        provider = self._provider
        own = urlsplit(url)[:2] == urlsplit(provider.base_url)[:2]  # whose certificate may need the provider's CA
        client = provider.client if own else provider.client.stranger()
        how: dict[str, Any] = {"deadline": deadline, "headers": _PICTURES, "cap": cap}
        try:
            try:
                data = _http.fetch(client, "GET", url, **how)
            except MajordomoError as exc:
                if classify(exc) is not ErrorKind.TRANSIENT:
                    raise
                data = _http.fetch(client, "GET", url, **how)  # cheaper than drawing again
            return Image(data)
        except DeadlineError:
            raise
        except MajordomoError as exc:
            what = f"HTTP {exc.status}" if isinstance(exc, APIError) else exc.message
            raise ProtocolError(f"the picture's URL gave no picture: {what}") from exc

    def __reduce__(self) -> tuple[Any, ...]:
        return self._provider.__reduce__()


def _one_by_one(request: ImageRequest) -> Iterator[ImageRequest]:
    """A request for each picture; one seed for all would draw the same one each time."""
    seed = request.seed
    for number in range(request.n):
        yield replace(request, n=1, seed=seed if seed is None or seed < 0 else seed + number)

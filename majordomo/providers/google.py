"""Google's Gemini API: its models that draw.

Limits of pictures: "Image understanding" of the Gemini API's documentation, October 2026;
inline data counts in base64, and 20 MB a request is what all of its pages agree on.
"""

from __future__ import annotations

from ..llm import Capabilities
from ..model import Unable
from ..wires import google_images
from ._base import HTTPProvider
from ._drawing import ImageTarget

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..model import Model

CAPABILITIES = Capabilities(
    max_images_per_request=3600,
    allowed_image_mime=("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"),
    max_total_image_bytes=14_000_000,
)


class Google(HTTPProvider):
    """Google's API; the key goes in a header of its own."""

    wire = google_images

    def __init__(self, name: str, base_url: str, token: str | None, *, quirks: dict[str, Any], **more: Any) -> None:
        super().__init__(name, base_url, token, **more)

    def model(self, id: str) -> Model:
        """A target that is passed over: chat does not go over this wire yet."""
        return Unable(f"{self.name}/{id}", "Gemini draws here (parse_image) and does not chat yet", self.base_url)

    def image_model(self, id: str) -> ImageTarget:
        """The bare target for drawing: no failover, no health, no fitting; `parse_image` adds those."""
        return ImageTarget(self, id, google_images, google_images.Quirks(), self.capabilities_of(id))

    def headers(self) -> dict[str, str]:
        """The headers that say who asks."""
        return {"x-goog-api-key": self._token} if self._token else {}

"""Limits of pictures that are a vendor's, over whichever of its wires it is asked."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Anthropic's "Vision" page of November 2026; 10 MiB of base64 a picture, 32 MB a request.
ANTHROPIC: dict[str, Any] = {
    "max_images_per_request": 600,
    "max_image_dimension": 8000,
    "many_images": 20,
    "many_image_dimension": 2000,
    "max_image_bytes": 7_864_320,
    "max_total_image_bytes": 23_000_000,
}

"""Avatars (A12): PNG or JPG of at most 8 MB, judged by what is in the file."""

from __future__ import annotations

import io
import warnings

from PIL import Image

from agentbridge.errors import InvalidValue

LARGEST_BYTES = 8 * 1024 * 1024
LARGEST_PIXELS = 25_000_000
"""decoded that is about 100 MB; a few kilobytes of PNG can claim much more"""
_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg"}


def check_avatar(content: bytes) -> str:
    """Checks a picture by its content; returns `image/png` or `image/jpeg`. Raises InvalidValue for anything else.

    It takes a while: call it in a thread.
    """
    if len(content) > LARGEST_BYTES:
        raise InvalidValue(f"avatar: at most 8 MB (got {len(content) / 1024 / 1024:.1f} MB)")
    try:
        with warnings.catch_warnings():
            # our own limit is lower than the one that Pillow warns of
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return _mime_type(content)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidValue("avatar: must be a PNG or JPG image, whole and readable") from error


def _mime_type(content: bytes) -> str:
    """Returns the MIME type of a picture. Raises InvalidValue where it is too large, and what Pillow raises."""
    with Image.open(io.BytesIO(content), formats=tuple(_TYPES)) as image:
        # the header says the size, before anything is unpacked
        if image.width * image.height > LARGEST_PIXELS:
            raise InvalidValue(f"avatar: at most {LARGEST_PIXELS:,} pixels (got {image.width}x{image.height})")
        found = _TYPES[image.format or ""]
        image.load()
        return found

"""Images of more than eight bits a channel, scaled to eight: Pillow's own conversion cuts everything above 255."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lora_ensemble.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

_SIXTEEN = ("I;16", "I;16L", "I;16B", "I;16N")


def in_eight_bits(image: Image) -> Image:
    """The image; one of 16 bits, which Pillow calls "I;16" or "I", by 255 / 65535, one of floats in 0 .. 1 by 255.

    Scaled by what its format can hold, not by what is in it: two images of a data set keep their relative brightness.
    Raises DataError for values beyond that.
    """
    import numpy as np
    from PIL import Image

    if image.mode not in (*_SIXTEEN, "I", "F"):
        return image
    values = np.asarray(image).astype(np.float64)
    most = 1.0 if image.mode == "F" else 65535.0
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > most:
        raise DataError(
            f"mode {image.mode} with values from {values.min():g} to {values.max():g}: expected 0 to {most:g}"
        )
    return Image.fromarray((values * (255 / most)).round().astype(np.uint8))

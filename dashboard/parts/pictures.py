"""Pictures as the dashboard serves them: made anew from the pixels alone, in a bounded size.

No EXIF, no colour profile and no byte of a file that somebody sent reaches the browser.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from flask import Response
from PIL import Image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_QUALITY = 85
_KEEP_S = 3600


def as_jpeg(pixels: NDArray[np.uint8], longest_side: int) -> Response:
    """Return an answer that holds a picture as JPEG.

    Args:
        pixels: Upright RGB, shape (H, W, 3).
        longest_side: Pixels; a larger picture is made smaller.
    """
    small = Image.fromarray(pixels)
    small.thumbnail((longest_side, longest_side))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=_QUALITY)
    response = Response(file.getvalue(), mimetype="image/jpeg")
    response.headers["Content-Disposition"] = "inline"
    response.headers["Cache-Control"] = f"private, max-age={_KEEP_S}"
    return response

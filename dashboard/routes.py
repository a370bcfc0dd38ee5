"""The addresses that are no pages: whether the process lives, and pictures of the pool."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from flask import Blueprint, Response, jsonify

from core.errors import CatalogError, InvalidImageError, NotFoundError, StoreError
from core.images.decode import decode
from core.images.source import read_bytes
from core.store import images
from core.store.database import transaction
from dashboard.parts.pictures import as_jpeg

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sqlalchemy import Engine

LONGEST_SIDE = 512

_log = logging.getLogger(__name__)


def blueprint(engine: Engine) -> Blueprint:
    """Return the routes `/healthz` and `/images/<id>`."""
    routes = Blueprint("weakspot", __name__)

    @routes.get("/healthz")
    def healthz() -> Response:
        return jsonify({"status": "ok"})

    @routes.get("/images/<int:image>")
    def picture(image: int) -> tuple[Response, int] | Response:
        try:
            return as_jpeg(_pixels(engine, image), LONGEST_SIDE)
        except (NotFoundError, CatalogError, InvalidImageError) as error:
            _log.info("image %d cannot be shown: %s", image, error)
            return jsonify({"status": "gone", "detail": "this image cannot be shown"}), 404
        except StoreError as error:
            _log.warning("image %d cannot be looked up: %s", image, error)
            return jsonify({"status": "away", "detail": "the database does not answer"}), 503

    return routes


def _pixels(engine: Engine, image: int) -> NDArray[np.uint8]:
    """Return the pixels of an image of the pool, uint8 (H, W, 3).

    Raises:
        NotFoundError: It is not in the pool, or no longer where it was.
        CatalogError: Its storage cannot be read.
        InvalidImageError: It is no image any more.
        StoreError: Postgres is away.
    """
    if image > _LARGEST_ID:
        raise NotFoundError(f"no image has the number {image}")
    with transaction(engine) as connection:
        sample = images.get(connection, image)
    if sample is None:
        raise NotFoundError(f"no image has the number {image}")
    return decode(read_bytes(sample.uri))


_LARGEST_ID = 2**63 - 1

"""The second tab: the same bundle, computed by the browser itself, with or without this server.

It is a plain page of its own, not one of Dash's, because WebAssembly needs `wasm-unsafe-eval` in
the content policy and nothing else here shall have that. A service worker below this address
keeps the page, the runtime and the model, so that it works when nothing answers any more.

The runtime is onnxruntime-web as npm has it (dashboard/vendor, see vendoring). It is kept
packed as xz, a third smaller, and sent as gzip, which every browser takes.
"""

from __future__ import annotations

import gzip
import lzma
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Response, jsonify, request, send_file

from core.bundle import files
from core.errors import NotFoundError
from dashboard.door import caller
from dashboard.pages.tryout import view
from dashboard.pages.tryout.desk import MAX_BYTES, require_bundle, require_champion
from dashboard.pages.tryout.vendoring import FOLDER, VERSION
from dashboard.responses import content_policy

if TYPE_CHECKING:
    from flask import Blueprint
    from sqlalchemy import Engine

    from dashboard.page import House

_PARTS = Path(__file__).parent / "offline"
_FOR_EVER = "private, max-age=31536000, immutable"
_TYPES = {
    "page.js": "text/javascript",
    "resize.js": "text/javascript",
    "worker.js": "text/javascript",
    "ort.wasm.bundle.min.mjs": "text/javascript",
    "ort-wasm-simd-threaded.wasm": "application/wasm",
}
_SCRIPTS = ("ort.wasm.bundle.min.mjs",)
_BINARIES = ("ort-wasm-simd-threaded.wasm",)


def add(routes: Blueprint, house: House) -> None:
    """Add the routes below `/try/offline`; each needs the scope read."""
    _add_page(routes)
    _add_runtime(routes)
    _add_bundle(routes, house.engine)


def _add_page(routes: Blueprint) -> None:
    @routes.get(view.OFFLINE)
    def offline_page() -> Response:
        caller.current().require("read")
        response = Response((_PARTS / "page.html").read_bytes(), mimetype="text/html")
        response.headers["Content-Security-Policy"] = content_policy(["'wasm-unsafe-eval'"])
        response.headers["Cache-Control"] = "no-cache"
        return response

    @routes.get(f"{view.PARTS}/<name>")
    def offline_part(name: str) -> Response:
        caller.current().require("read")
        if name not in {"page.js", "resize.js"}:
            raise NotFoundError("there is no such file")
        return _script(_PARTS / name)

    @routes.get(view.WORKER)
    def offline_worker() -> Response:
        caller.current().require("read")
        response = _script(_PARTS / "worker.js")
        response.headers["Service-Worker-Allowed"] = view.OFFLINE
        return response


def _add_runtime(routes: Blueprint) -> None:
    @routes.get(f"{view.RUNTIME}/{VERSION}/<name>")
    def offline_runtime(name: str) -> Response:
        caller.current().require("read")
        if name in _SCRIPTS:
            response = _script(FOLDER / name)
        elif name in _BINARIES:
            response = _unpacked(name)
        else:
            raise NotFoundError("there is no such file")
        response.headers["Cache-Control"] = _FOR_EVER
        return response


def _add_bundle(routes: Blueprint, engine: Engine) -> None:
    @routes.get(view.BUNDLE)
    def offline_bundle() -> Response:
        caller.current().require("read")
        version = require_champion(engine)
        folder = require_bundle(version)
        manifest = files.read_manifest(folder)
        digest = manifest.files[files.MODEL]
        response = jsonify(
            {
                "version": version.version,
                "labels": list(manifest.labels),
                "recipe": manifest.recipe.to_dict(),
                "model": f"{view.MODEL}/{digest}.onnx",
                "digest": digest,
                "bytes": (folder / files.MODEL).stat().st_size,
                "runtime": f"{view.RUNTIME}/{VERSION}",
                "largest": MAX_BYTES,
            }
        )
        response.headers["Cache-Control"] = "no-cache"
        return response

    @routes.get(f"{view.MODEL}/<digest>.onnx")
    def offline_model(digest: str) -> Response:
        caller.current().require("read")
        folder = require_bundle(require_champion(engine))
        # The browser computes the digest of what it gets, so the file is not read twice here.
        if files.read_manifest(folder).files[files.MODEL] != digest:
            raise NotFoundError("the champion has another model by now; load the page anew")
        response = send_file(
            (folder / files.MODEL).absolute(),
            mimetype="application/octet-stream",
            etag=digest,
            conditional=True,
        )
        response.headers["Cache-Control"] = _FOR_EVER
        return response


def _script(path: Path) -> Response:
    response = Response(path.read_bytes(), mimetype=_TYPES[path.name])
    response.headers["Cache-Control"] = "no-cache"
    return response


def _unpacked(name: str) -> Response:
    """Return a file that lies here as xz: as gzip where that is taken, else as it is."""
    packed = _gzipped(name)
    if "gzip" not in request.accept_encodings:
        return Response(gzip.decompress(packed), mimetype=_TYPES[name])
    response = Response(packed, mimetype=_TYPES[name])
    response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    return response


@lru_cache(maxsize=len(_BINARIES))
def _gzipped(name: str) -> bytes:
    with lzma.open(FOLDER / f"{name}.xz") as file:
        return gzip.compress(file.read(), 6)

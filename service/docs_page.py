"""The page /docs, from this machine alone: FastAPI's own loads its scripts from a CDN.

Swagger UI's files come from the package fastapi-offline, whose application factory is not used.
"""

from importlib.resources import files

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles
from starlette.responses import HTMLResponse, JSONResponse

from service.door.auth import needs
from service.door.safe_headers import policy_of_page

_DOCUMENT = "/openapi.json"
_FILES = "/docs-files"


def install(app: FastAPI) -> None:
    """Answer /docs and /openapi.json; the application itself was made without either."""
    folder = str(files("fastapi_offline") / "static")
    app.mount(_FILES, StaticFiles(directory=folder), name="docs-files")

    @app.get(_DOCUMENT, include_in_schema=False)
    @needs("read")
    async def document() -> JSONResponse:
        return JSONResponse(app.openapi())

    @app.get("/docs", include_in_schema=False)
    @needs("read")
    async def docs() -> HTMLResponse:
        page = get_swagger_ui_html(
            openapi_url=_DOCUMENT,
            title=app.title,
            swagger_js_url=f"{_FILES}/swagger-ui-bundle.js",
            swagger_css_url=f"{_FILES}/swagger-ui.css",
            swagger_favicon_url=f"{_FILES}/favicon.png",
        )
        page.headers["Content-Security-Policy"] = policy_of_page(bytes(page.body).decode())
        return page

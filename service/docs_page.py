"""The page /docs, from this machine alone: FastAPI's own loads its scripts from a CDN.

Swagger UI's files come from the package fastapi-offline, whose application factory is not used.
"""

from importlib.resources import files

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles
from starlette.responses import HTMLResponse

_FILES = "/docs-files"


def install(app: FastAPI) -> None:
    """Answer /docs; the application itself was made with `docs_url=None`."""
    folder = str(files("fastapi_offline") / "static")
    app.mount(_FILES, StaticFiles(directory=folder), name="docs-files")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=str(app.openapi_url),
            title=app.title,
            swagger_js_url=f"{_FILES}/swagger-ui-bundle.js",
            swagger_css_url=f"{_FILES}/swagger-ui.css",
            swagger_favicon_url=f"{_FILES}/favicon.png",
        )

"""Images out of request bodies: raw bytes, or the files of a multipart form.

What a client says about its bytes (content type, file name) is not believed; the content is
looked at when it is decoded. Files stay in memory, where `service.door.bodies` counts them: nothing
of a request is written to a disk.
"""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.datastructures import FormData, UploadFile

    from service.door.bodies import Body

OTHER_FIELDS = 8  # a form may carry a few text fields; they are ignored


class _Parser(MultiPartParser):
    spool_max_size = sys.maxsize  # never a temporary file


async def read_one(body: Body, *, max_bytes: int) -> bytes:
    """Return the one image of a request.

    Raises:
        UsageError: A multipart form without exactly one file named `image`.
        HTTPException: The body is malformed (400) or larger than the route accepts (413).
    """
    if not _is_multipart(body):
        data = await body.read()
        if len(data) > max_bytes:
            raise _too_large(max_bytes)
        return data
    async with _form(body, max_files=2) as form:
        files = _files(form, "image")
        if len(files) != 1:
            raise UsageError(f"the form has {len(files)} files named image; send exactly one")
        return await _read(files[0], max_bytes)


async def read_many(body: Body, *, max_images: int, max_bytes: int) -> list[bytes | None]:
    """Return the images of a request in the order they were sent.

    Returns:
        The bytes of each; None for one that is too large.

    Raises:
        UsageError: No multipart form, no file named `images`, or too many.
        HTTPException: The body is malformed (400) or larger than the route accepts (413).
    """
    if not _is_multipart(body):
        raise UsageError("send the images as multipart/form-data, each in a field named images")
    async with _form(body, max_files=max_images + 1) as form:
        files = _files(form, "images")
        if not files:
            raise UsageError("the form has no files named images; send at least one")
        if len(files) > max_images:
            raise UsageError(f"the form has more than {max_images} images; send fewer at a time")
        return [None if _exceeds(file, max_bytes) else await file.read() for file in files]


@asynccontextmanager
async def _form(body: Body, *, max_files: int) -> AsyncGenerator[FormData]:
    parser = _Parser(
        body.request.headers, body.chunks(), max_files=max_files, max_fields=OTHER_FIELDS
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise HTTPException(400, f"the form is malformed: {error.message}") from error
    try:
        yield form
    finally:
        await form.close()


def _is_multipart(body: Body) -> bool:
    return body.request.headers.get("content-type", "").lower().startswith("multipart/form-data")


def _files(form: FormData, name: str) -> list[UploadFile]:
    """Return the files of one field; a file anywhere else is a mistake worth saying."""
    for field, value in form.multi_items():
        if field != name and not isinstance(value, str):
            raise UsageError(f"the form has a file in another field than {name}; rename the field")
    values = form.getlist(name)
    if any(isinstance(value, str) for value in values):
        raise UsageError(f"the field {name} holds text; send it as a file, with a file name")
    return [value for value in values if not isinstance(value, str)]


def _exceeds(file: UploadFile, max_bytes: int) -> bool:
    return (file.size or 0) > max_bytes


async def _read(file: UploadFile, max_bytes: int) -> bytes:
    if _exceeds(file, max_bytes):
        raise _too_large(max_bytes)
    return await file.read()


def _too_large(max_bytes: int) -> HTTPException:
    return HTTPException(413, f"the image is larger than the {max_bytes} bytes accepted")

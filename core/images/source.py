"""The bytes of an image, wherever it lies.

An address is a path, a `file://` URI, or any URI that fsspec has a backend for (`s3://`,
`gs://`, `az://`, `https://`, `memory://`). Nothing is decoded here. As in fsspec, a `%20` in an
address is three characters and no blank.

What `read_bytes` raises concerns one image. That a backend is missing concerns all of them: ask
`require_backend` once, before a long run.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any, cast

from core.errors import CatalogError, InvalidImageError, NotFoundError

# Where fsspec's own message does not name the package that pip knows.
_PACKAGES = {
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), "adlfs"),
    **dict.fromkeys(("http", "https"), "aiohttp"),
    **dict.fromkeys(("sftp", "ssh"), "paramiko"),
    "hf": "huggingface_hub",
    "oci": "ocifs",
    "webhdfs": "requests",
}


def read_bytes(uri: str, *, max_bytes: int = 10_000_000) -> bytes:
    """Return the whole content behind an address.

    Args:
        uri: A path or URI.
        max_bytes: Of a longer file no more than this is read, and it is refused.

    Raises:
        NotFoundError: Nothing lies there.
        InvalidImageError: It is longer than `max_bytes`.
        CatalogError: It cannot be read: no permission, no plain file, storage away, or the
            backend is not installed (the message names the package).
    """
    try:
        data = _read(uri, max_bytes + 1)
    except FileNotFoundError as error:
        raise NotFoundError(f"nothing lies at {uri}") from error
    except CatalogError:
        raise
    # Every fsspec backend brings its own errors; they have no common base.
    except Exception as error:
        raise CatalogError(f"{uri} cannot be read: {error or type(error).__name__}") from error
    if len(data) > max_bytes:
        raise InvalidImageError(f"{uri} has more than the {max_bytes} bytes allowed")
    return data


def require_backend(uri: str) -> None:
    """Refuse an address that nothing installed here can read; a path always passes.

    Raises:
        CatalogError: The backend is unknown or not installed; the message names the package.
    """
    if _local_path(uri) is None:
        _file_system(uri)


def protocol(uri: str) -> str:
    """Return the backend that an address asks for: `file` for paths, else as before `://`."""
    return "file" if _local_path(uri) is not None else uri.partition("://")[0]


def _local_path(uri: str) -> Path | None:
    if uri.startswith("file://"):
        return Path(uri.removeprefix("file://"))
    return None if "://" in uri else Path(uri)


def _read(uri: str, limit: int) -> bytes:
    path = _local_path(uri)
    if path is not None:
        return _read_file(path, limit)
    system, inner = _file_system(uri)
    return cast("bytes", system.cat_file(inner, start=0, end=limit))


def _read_file(path: Path, limit: int) -> bytes:
    # Opening a pipe would wait for somebody to write into it.
    if not stat.S_ISREG(path.stat().st_mode):
        raise CatalogError(f"{path} is no plain file")
    with path.open("rb") as file:
        return file.read(limit)


def _file_system(uri: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URI, and the address within it."""
    import fsspec.core  # pyright: ignore[reportMissingTypeStubs] -- it ships none

    core = cast("Any", fsspec.core)
    try:
        system, inner = core.url_to_fs(uri)
    except ImportError as error:
        name = protocol(uri)
        package = _PACKAGES.get(name)
        advice = f"pip install {package}" if package else str(error)
        raise CatalogError(f"nothing installed here can read {name}://; {advice}") from error
    except ValueError as error:
        raise CatalogError(f"{uri} cannot be read: {error}") from error
    return system, cast("str", inner)

"""Bytes come from wherever an address points; what cannot be read says why."""

import os

import fsspec
import pytest

from core.errors import CatalogError, InvalidImageError, NotFoundError
from core.images import source


class TestReadBytes:
    """Reading one image."""

    def test_reads_a_path_and_its_file_uri_alike(self, tmp_path):
        """Also with a blank and a percent sign, which stand for themselves."""
        path = tmp_path / "a 100%20.png"
        path.write_bytes(b"picture")

        assert source.read_bytes(str(path)) == b"picture"
        assert source.read_bytes(f"file://{path}") == b"picture"

    def test_reads_any_address_that_fsspec_knows(self):
        """As s3:// and gs:// where their packages are installed."""
        with fsspec.open("memory://pool/a.png", "wb") as file:
            file.write(b"picture")

        assert source.read_bytes("memory://pool/a.png") == b"picture"

    @pytest.mark.parametrize("address", ["{folder}/a.png", "memory://limits/a.png"])
    def test_allows_exactly_max_bytes(self, tmp_path, address):
        """One more is refused, without reading the rest."""
        uri = address.format(folder=tmp_path)
        with fsspec.open(uri, "wb") as file:
            file.write(b"12345")

        assert source.read_bytes(uri, max_bytes=5) == b"12345"
        with pytest.raises(InvalidImageError, match="more than the 4 bytes allowed"):
            source.read_bytes(uri, max_bytes=4)

    @pytest.mark.parametrize("uri", ["/nowhere/a.png", "file:///nowhere/a.png", "memory://no.png"])
    def test_says_that_nothing_lies_there(self, uri):
        """An image that was deleted is no broken one."""
        with pytest.raises(NotFoundError, match=uri.removeprefix("file://")):
            source.read_bytes(uri)

    def test_names_the_package_of_a_missing_backend(self):
        """The reader should not have to look it up."""
        with pytest.raises(CatalogError, match="pip install ocifs"):
            source.read_bytes("oci://bucket/a.png")

    def test_refuses_a_backend_nobody_knows(self):
        """A typing error in the address."""
        with pytest.raises(CatalogError, match="Protocol not known: s33"):
            source.read_bytes("s33://bucket/a.png")

    def test_refuses_a_folder(self, tmp_path):
        """Only plain files hold images."""
        with pytest.raises(CatalogError, match="no plain file"):
            source.read_bytes(str(tmp_path))

    def test_does_not_wait_for_a_pipe(self, tmp_path):
        """Opening one would hang until somebody writes."""
        os.mkfifo(tmp_path / "pipe.png")

        with pytest.raises(CatalogError, match="no plain file"):
            source.read_bytes(str(tmp_path / "pipe.png"))

    @pytest.mark.parametrize("uri", ["", "a\0b", "/" + "x" * 5000])
    def test_refuses_an_impossible_path_in_its_own_words(self, uri):
        """Addresses come from other people's CSV files."""
        with pytest.raises(CatalogError):
            source.read_bytes(uri)


class TestRequireBackend:
    """Asking once, before a long run."""

    @pytest.mark.parametrize("uri", ["/nowhere/a.png", "file:///a.png", "memory://a.png"])
    def test_passes_where_reading_could_work(self, uri):
        """Whether the image is there is another question."""
        source.require_backend(uri)

    def test_refuses_a_missing_backend(self):
        """Otherwise a million images would be unreadable one by one."""
        with pytest.raises(CatalogError, match="pip install ocifs"):
            source.require_backend("oci://bucket/a.png")


class TestProtocol:
    """Which backend an address asks for."""

    @pytest.mark.parametrize(
        ("uri", "protocol"),
        [("/a.png", "file"), ("file:///a.png", "file"), ("s3://a/b.png", "s3")],
    )
    def test_is_what_stands_before_the_slashes(self, uri, protocol):
        """Paths count as files."""
        assert source.protocol(uri) == protocol

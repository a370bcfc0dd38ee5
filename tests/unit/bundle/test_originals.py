"""A few encoded pictures, and what they decode to."""

from pathlib import Path

import numpy as np
import pytest

from core.bundle import files, originals
from core.errors import BundleError
from core.images.preprocess import Recipe
from tests.images import png
from tests.tiny import forge, picture, tiny_bundle

RECIPE = Recipe(16, 16, resize=16)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle that holds originals."""
    return tiny_bundle(tmp_path)


class TestOriginals:
    """What `originals.safetensors` keeps."""

    def test_decode_to_the_pixels_that_were_kept(self, bundle: Path):
        """The same decoder, the same resize, the same pixels."""
        kept = originals.read(bundle, files.read_manifest(bundle))

        assert kept is not None
        assert np.array_equal(originals.decoded(kept.encoded, RECIPE), kept.pixels)

    def test_hold_every_format_that_is_accepted(self, bundle: Path):
        """JPEG, PNG and WebP each have a decoder that may change."""
        kept = originals.read(bundle, files.read_manifest(bundle))

        heads = {each[:3] for each in kept.encoded} if kept else set()
        assert heads == {b"\xff\xd8\xff", b"\x89PN", b"RIF"}

    def test_are_kept_small(self):
        """A photograph of megabytes is reduced before it is kept."""
        large = png(picture("Cat", size=(1_200, 1_200)))

        kept = originals.make([large], RECIPE)

        assert len(large) > 1 << 18 > max(len(each) for each in kept.encoded)

    def test_are_none_in_a_bundle_made_without(self, bundle: Path):
        """A bundle of before is used as it was."""
        forge(bundle, {files.ORIGINALS: None})

        assert originals.read(bundle, files.verify(bundle)) is None

    def test_are_refused_when_their_lengths_do_not_add_up(self, bundle: Path):
        """A file cut short must not be decoded as if it were whole."""
        kept = originals.read(bundle, files.read_manifest(bundle))
        assert kept is not None
        cut = originals.Originals((*kept.encoded[:-1],), kept.pixels)
        forge(bundle, {files.ORIGINALS: originals.save(cut)})

        with pytest.raises(BundleError, match="pixels are"):
            originals.read(bundle, files.verify(bundle))

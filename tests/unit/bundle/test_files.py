"""A bundle is whole or not there, and an altered one is found out."""

import errno
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.bundle import files
from core.bundle.manifest import Manifest
from core.errors import BundleError
from tests.tiny import forge, tiny_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole bundle, `v1`, alone in its parent."""
    return tiny_bundle(tmp_path / "bundles")


def _members(folder: Path) -> dict[str, bytes | Path]:
    return {name: folder / name for name in files.read_manifest(folder).files}


class TestWrite:
    """Writing a bundle."""

    def test_names_every_file_with_its_digest(self, folder):
        """What was written is what the manifest says."""
        expected = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.iterdir()
            if path.name != "manifest.json"
        }

        assert files.verify(folder).files == expected

    def test_takes_bytes_and_paths_alike(self, folder, tmp_path):
        """Large files are copied piece by piece, and end up the same."""
        manifest = files.read_manifest(folder)

        copy = files.write(tmp_path / "copies", manifest, _members(folder))

        assert files.digest(copy) == files.digest(folder)

    def test_leaves_nothing_behind_but_the_bundle(self, folder):
        """Others list the parent folder."""
        assert list(folder.parent.iterdir()) == [folder]

    def test_never_overwrites_a_version(self, folder):
        """A version is what its digest says, for ever."""
        before = files.digest(folder)

        with pytest.raises(BundleError, match="exists already"):
            tiny_bundle(folder.parent, seed=1)

        assert files.digest(folder) == before

    def test_leaves_no_folder_when_a_member_cannot_be_read(self, folder, tmp_path):
        """The last of five files fails; the four before it must not stay."""
        members = {**_members(folder), "weights.safetensors": tmp_path / "nowhere"}

        with pytest.raises(BundleError, match="nowhere"):
            files.write(tmp_path / "new", files.read_manifest(folder), members)

        assert list((tmp_path / "new").iterdir()) == []

    def test_leaves_no_folder_when_the_disk_is_full(self, folder, tmp_path, monkeypatch):
        """The disk speaks up at the third fsync."""
        answers = iter([None, None])

        def fsync(_: int) -> None:
            try:
                next(answers)
            except StopIteration:
                raise OSError(errno.ENOSPC, "No space left on device") from None

        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(BundleError, match="No space left"):
            files.write(tmp_path / "new", files.read_manifest(folder), _members(folder))

        assert list((tmp_path / "new").iterdir()) == []

    def test_leaves_no_version_when_killed_and_cleans_up_the_next_time(self, folder, tmp_path):
        """Kill -9 runs no clean-up, and leftovers of 200 MB must not pile up."""
        parent = tmp_path / "new"
        writer = _start_writer_that_hangs(folder, parent)
        _wait_for(lambda: any(parent.glob(".v1.tmp-*/sentinels.safetensors")))

        writer.kill()
        writer.wait()

        assert not (parent / "v1").exists()
        assert len(list(parent.iterdir())) == 1
        tiny_bundle(parent, version="v2")
        assert [path.name for path in parent.iterdir()] == ["v2"]

    def test_leaves_the_folder_of_a_living_writer_alone(self, folder, tmp_path):
        """Two trainings may end in the same moment."""
        parent = tmp_path / "new"
        writer = _start_writer_that_hangs(folder, parent)
        _wait_for(lambda: any(parent.glob(".v1.tmp-*/sentinels.safetensors")))

        tiny_bundle(parent, version="v2")

        assert len(list(parent.glob(".v1.tmp-*"))) == 1
        writer.kill()
        writer.wait()

    @pytest.mark.parametrize("name", ["../model.bin", "manifest.json", "a/b", ".hidden", ""])
    def test_refuses_a_name_that_leads_elsewhere(self, folder, tmp_path, name):
        """A bundle writes into its own folder only."""
        members = {**_members(folder), name: b"x"}

        with pytest.raises(BundleError, match="cannot be names"):
            files.write(tmp_path / "new", files.read_manifest(folder), members)

        assert not (tmp_path / "new").exists()

    def test_refuses_a_bundle_without_sentinels(self, folder, tmp_path):
        """Nobody could check it when it is loaded."""
        members = _members(folder)
        del members["sentinels.safetensors"]

        with pytest.raises(BundleError, match=r"needs \['sentinels.safetensors'\] too"):
            files.write(tmp_path / "new", files.read_manifest(folder), members)

    def test_refuses_a_truncated_model(self, folder, tmp_path):
        """Such a version would be registered and never load."""
        members = {**_members(folder), "model.onnx": (folder / "model.onnx").read_bytes()[:-50]}

        with pytest.raises(BundleError, match="truncated"):
            files.write(tmp_path / "new", files.read_manifest(folder), members)

        assert list((tmp_path / "new").iterdir()) == []


class TestVerify:
    """Believing a bundle."""

    def test_returns_the_manifest_of_a_whole_bundle(self, folder):
        """The common case, and a bundle without torch weights is whole too."""
        forge(folder, {"weights.safetensors": None, "config.json": None})

        assert isinstance(files.verify(folder), Manifest)

    @pytest.mark.parametrize(
        "name", ["model.onnx", "sentinels.safetensors", "profile.safetensors", "config.json"]
    )
    def test_finds_one_altered_byte(self, folder, name):
        """A bit that flipped on the disk, or a hand that helped."""
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data)

        with pytest.raises(BundleError, match=f"{name} was altered"):
            files.verify(folder)

    def test_finds_a_missing_file(self, folder):
        """A copy that was cut short."""
        (folder / "weights.safetensors").unlink()

        with pytest.raises(BundleError, match=r"lacks \['weights.safetensors'\]"):
            files.verify(folder)

    def test_finds_a_file_too_many(self, folder):
        """What nobody vouches for does not lie in a bundle."""
        (folder / "extra.bin").write_bytes(b"")

        with pytest.raises(BundleError, match=r"holds \['extra.bin'\]"):
            files.verify(folder)

    def test_refuses_a_link_even_to_the_right_bytes(self, folder, tmp_path):
        """Its target can change after it was verified."""
        (folder / "config.json").rename(tmp_path / "elsewhere")
        (folder / "config.json").symlink_to(tmp_path / "elsewhere")

        with pytest.raises(BundleError, match=r"\['config.json'\] must be plain files"):
            files.verify(folder)

    def test_refuses_a_folder_without_manifest(self, tmp_path):
        """The message names the file that is not there."""
        with pytest.raises(BundleError, match=r"manifest\.json cannot be read: No such file"):
            files.verify(tmp_path)

    def test_refuses_a_manifest_that_does_not_name_the_model(self, folder):
        """Three files make a bundle; the others are optional."""
        forge(folder, {"model.onnx": None})

        with pytest.raises(BundleError, match=r"does not name \['model.onnx'\]"):
            files.verify(folder)


class TestReadMember:
    """One file of a bundle, as the manifest means it."""

    def test_refuses_bytes_changed_since_the_bundle_was_verified(self, folder):
        """Between checking and reading there must be no gap."""
        manifest = files.verify(folder)
        (folder / "config.json").write_bytes(b"{}")

        with pytest.raises(BundleError, match="was altered"):
            files.read_member(folder, manifest, "config.json")

    def test_refuses_a_file_that_the_manifest_does_not_name(self, folder):
        """Also one that leads out of the folder."""
        manifest = files.verify(folder)

        with pytest.raises(BundleError, match=r"has no \.\./v1/config\.json"):
            files.read_member(folder, manifest, "../v1/config.json")


class TestDigest:
    """The one number that stands for a bundle."""

    def test_is_the_same_for_the_same_bundle_elsewhere(self, folder, tmp_path):
        """It may lie on another machine."""
        assert files.digest(tiny_bundle(tmp_path / "elsewhere")) == files.digest(folder)

    def test_is_another_for_other_weights(self, folder, tmp_path):
        """One version, one digest."""
        assert files.digest(tiny_bundle(tmp_path / "other", seed=1)) != files.digest(folder)

    def test_is_another_when_any_file_is(self, folder):
        """The manifest's digest covers the digests it lists."""
        before = files.digest(folder)

        forge(folder, {"config.json": b"{}"})

        assert files.digest(folder) != before


def _start_writer_that_hangs(folder: Path, parent: Path) -> subprocess.Popen[bytes]:
    """Start a process that writes the bundle again and waits for ever at its last file."""
    pipe = folder.parent.parent / "pipe"
    os.mkfifo(pipe)
    code = (
        "import sys; from pathlib import Path; from core.bundle import files\n"
        "folder, parent, pipe = map(Path, sys.argv[1:])\n"
        "manifest = files.read_manifest(folder)\n"
        "members = {name: folder / name for name in manifest.files}\n"
        "files.write(parent, manifest, {**members, 'weights.safetensors': pipe})\n"
    )
    root = Path(files.__file__).parents[2]
    return subprocess.Popen([sys.executable, "-c", code, folder, parent, pipe], cwd=root)


def _wait_for(condition: Callable[[], bool], *, timeout_s: float = 30) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "the writer did not get to its last file"
        time.sleep(0.01)

"""`run.yaml` says all of a run, and what it cannot mean is refused with what to write."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from core.errors import UsageError
from trainer import run_file
from trainer.config import RunConfig


@pytest.fixture
def read(tmp_path: Path):
    """Read a file with this content."""

    def read(content: str, **given: Any) -> list[RunConfig]:
        path = tmp_path / "run.yaml"
        path.write_text(content, encoding="utf-8")
        return run_file.configs(path, given=given, otherwise={"device": "cpu"})

    return read


class TestText:
    """`text`."""

    @example(rate=1e-3, seed=0, labels=["Kätzchen", "\x85", "a\u2028b", " ", "no", "1"], size=None)
    @given(
        rate=st.floats(1e-9, 1.0),
        seed=st.integers(0, 2**31),
        labels=st.none() | st.lists(st.text(min_size=1), min_size=2, unique=True),
        size=st.none() | st.integers(16, 512),
    )
    def test_is_read_as_the_run_it_was_made_of(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        rate: float,
        seed: int,
        labels: Any,
        size: Any,
    ):
        """Whatever the numbers and names: a version can be trained again from its bundle."""
        labels = None if labels is None else tuple(labels)
        run = RunConfig(learning_rate=rate, seed=seed, labels=labels, image_size=size)
        path = tmp_path_factory.getbasetemp() / "run.yaml"
        path.write_text(run_file.text(asdict(run)), encoding="utf-8")

        assert run_file.configs(path, given={}, otherwise={}) == [run]

    def test_names_the_images_it_was_made_of(self, read):
        """The pool moves on, and the file is of one day; it is read with that line in it."""
        said = run_file.text(asdict(RunConfig(seed=4)), snapshot="5" * 64)

        assert f"# Made of the images of snapshot {'5' * 64}." in said
        assert read(said) == [RunConfig(seed=4)]

    def test_says_every_option(self):
        """A default that changes later must not change what was run."""
        said = yaml.safe_load(run_file.text({"epochs": 3}))

        assert set(said) == set(asdict(RunConfig()))
        assert said["epochs"] == 3

    def test_of_a_retraining_is_not_taken_for_a_training(self, read):
        """It began with the champion's weights, which the file does not hold."""
        with pytest.raises(UsageError, match="weakspot retrain"):
            read(run_file.text(asdict(RunConfig()) | {"retraining": {"epochs": 1}}))


class TestConfigs:
    """`configs`."""

    def test_what_is_given_comes_before_the_file(self, read):
        """The command line is the last word, and the setting the first."""
        run = read("epochs: 3\nseed: 1\n", epochs=5, freeze=None)[0]

        assert (run.epochs, run.seed, run.device, run.freeze) == (5, 1, "cpu", "none")

    def test_takes_names_as_the_command_has_them(self, read):
        """Hyphens, and the command's own words."""
        run = read("learning-rate: 1e-3\nclasses: Cat, Dog\nmax-per-class: 9\n")[0]

        assert run.learning_rate == 0.001
        assert (run.labels, run.limit_per_class) == (("Cat", "Dog"), 9)

    def test_a_grid_is_every_combination(self, read):
        """In the order of the file."""
        runs = read("epochs: 2\ngrid: {learning_rate: [1e-3, 1e-4], freeze: [none, backbone]}\n")

        found = [(run.learning_rate, run.freeze) for run in runs]
        assert found == [(1e-3, "none"), (1e-3, "backbone"), (1e-4, "none"), (1e-4, "backbone")]
        assert run_file.differing(runs) == ["freeze", "learning_rate"]

    def test_the_manuals_own_grid_is_a_search(self, read):
        """An example that trains the same head four times teaches nobody."""
        manual = Path(__file__).parents[3] / "docs" / "training.md"
        example = manual.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]

        assert len(read(example)) == 4

    def test_refuses_heads_that_differ_in_what_no_head_looks_at(self, read):
        """A night of the same run; where one of them is no head alone, nothing is refused."""
        with pytest.raises(UsageError, match="weight_decay means nothing to freeze backbone"):
            read("freeze: backbone\ngrid: {weight_decay: [0.01, 0.05], image_size: [160, 224]}\n")

        assert len(read("- {freeze: backbone, epochs: 1}\n- {epochs: 2}\n")) == 2

    def test_a_folder_is_kept_by_its_whole_path(
        self, read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        """The run is made again from another folder, or by a worker."""
        (tmp_path / "mine").mkdir()
        monkeypatch.chdir(tmp_path)

        assert read("backbone: mine\n")[0].backbone == str(tmp_path.resolve() / "mine")
        with pytest.raises(UsageError, match="is a folder; leave revision out"):
            read("backbone: mine\nrevision: abc\n")

    def test_a_revision_is_of_its_own_backbone(self, read):
        """Another one on the command line has other commits."""
        content = "backbone: org/tiny\nrevision: abc\n"

        assert read(content)[0].revision == "abc"
        assert read(content, backbone="org/other")[0].revision is None

    def test_a_list_is_a_group(self, read):
        """Runs that have nothing in common."""
        runs = read("- {epochs: 1}\n- {seed: 2, grid: {epochs: [3, 4]}}\n")

        assert [(run.epochs, run.seed) for run in runs] == [(1, 0), (3, 2), (4, 2)]

    def test_an_option_that_is_given_needs_no_grid(self, read):
        """`--epochs 1` on a grid of epochs is one run."""
        assert len(read("grid: {epochs: [1, 2, 3]}\n", epochs=1)) == 1

    @pytest.mark.parametrize(
        ("content", "complaint"),
        [
            ("learning_rat: 1", "no option 'learning_rat'; the nearest is 'learning_rate'"),
            ("epochs: fast", "epochs is 'fast'"),
            ("epochs: 2.5", "epochs is 2.5"),
            ("augment: off", "augment is False"),
            ("seed: -1", "seed -1 must be from 0 to 4294967295"),
            ("weight_decay: -1", "weight_decay -1.0 must be 0 or more"),
            ("patience: -2", "patience -2 must be 0 or more"),
            ("limit_per_class: 0", "limit_per_class 0 must be 1 or more"),
            ("learning_rate: .inf", "learning_rate is inf, which is no finite number"),
            ("logit_adjustment: .nan", "logit_adjustment is nan"),
            ("learning_rate: 0", "must be above 0"),
            ("labels: [Cat, Cat, Dog]", "name 'Cat' twice"),
            ("device: tpu", "device 'tpu' is unknown; write auto, cpu, cuda"),
            ("freeze: bakbone", "freeze 'bakbone' is unknown"),
            ("epochs: 1\nEpochs: 2", "no option 'Epochs'; the nearest is 'epochs'"),
            ("image-size: 32\nimage_size: 64", "image_size twice"),
            ("grid: {epochs: 3}", "grid must give each option a list"),
            ("grid: {epoch: [3]}", "no option 'epoch'; the nearest is 'epochs'"),
            ("grid: {grid: [{}]}", "a grid has no grid in it"),
            ("grid: {seed: [" + ", ".join(map(str, range(300))) + "]}", "more than 200 runs"),
            ("just words", "must hold options by name"),
            ("a: [", "cannot be read as YAML"),
            ("", "must hold options by name"),
        ],
    )
    def test_says_what_is_wrong(self, read, content: str, complaint: str):
        """An hour is not spent on a run that nobody meant."""
        with pytest.raises(UsageError) as error:
            read(content)

        assert complaint in str(error.value)

    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path):
        """With the reason."""
        with pytest.raises(UsageError, match=r"none\.yaml cannot be read"):
            run_file.configs(tmp_path / "none.yaml", given={}, otherwise={})

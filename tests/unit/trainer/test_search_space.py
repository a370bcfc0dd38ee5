"""The space of a search: read from YAML, refused where no run could come of it."""

from pathlib import Path

import pytest

from core.errors import UsageError
from trainer.config import RunConfig
from trainer.search.search_space import Choice, Range, parse, read, run_with

BASE = RunConfig()


class TestRead:
    """A file of options with their choices and ranges."""

    def test_reads_choices_and_ranges(self, tmp_path: Path):
        """YAML takes 1e-5 for text; a learning rate it is all the same."""
        path = tmp_path / "space.yaml"
        path.write_text(
            "learning_rate: {low: 1e-5, high: 1e-3, log: true}\n"
            'freeze: [none, "stages:1", backbone]\n'
            "image-size: {low: 160, high: 224, step: 32}\n"
            "weight_decay: {low: 0, high: 0.1}\n"
        )

        space = read(path, BASE)

        assert space.options["learning_rate"] == Range(1e-5, 1e-3, log=True)
        assert space.options["freeze"] == Choice(("none", "stages:1", "backbone"))
        assert space.options["image_size"] == Range(160, 224, step=32)
        assert space.options["weight_decay"] == Range(0.0, 0.1)
        assert [each.is_whole for each in space.options.values() if isinstance(each, Range)] == [
            False, True, False,
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ({"learning_rat": [1]}, "no option 'learning_rat'; the nearest is 'learning_rate'"),
            ({"epochs": [1, 2]}, "epochs is the same for all trials"),
            ({"freeze": ["some"]}, "freeze 'some' is unknown"),
            ({"batch_size": ["many"]}, "batch_size is 'many'"),
            ({"weight_decay": {"low": 0}}, "a list of choices, or a range"),
            ({"weight_decay": {"low": 2, "high": 1}}, "low must lie below high"),
            ({"learning_rate": {"low": 0, "high": 1, "log": True}}, "must be above 0"),
            ({"weight_decay": {"low": 0, "high": 1, "log": True}}, "above 0 where log is true"),
            ({"image_size": {"low": 32, "high": 64, "step": 0}}, "is no range"),
            ({"freeze": {"low": "a", "high": "b"}}, "freeze 'a' is unknown"),
            ({"freeze": []}, "has 0 choices"),
            ({"from_scratch": {"low": False, "high": True}}, "which is no number"),
        ],
    )
    def test_says_what_does_not_fit(self, content: dict[str, object], said: str):
        """A word wrong in a space costs a night, if nobody says so at once."""
        with pytest.raises(UsageError, match=said):
            parse(content, BASE)

    @pytest.mark.parametrize("text", ["", "- 1", "a: [", "just words"])
    def test_refuses_what_holds_no_options(self, tmp_path: Path, text: str):
        """By the file's name."""
        path = tmp_path / "space.yaml"
        path.write_text(text)

        with pytest.raises(UsageError, match=r"space\.yaml"):
            read(path, BASE)


class TestSpace:
    """What is searched."""

    def test_a_grid_takes_every_step(self):
        """The largest too."""
        space = parse({"image_size": {"low": 160, "high": 224, "step": 32}, "ema": [None]}, BASE)

        assert space.grid() == {"image_size": [160, 192, 224], "ema": [None]}

    def test_a_grid_of_a_range_is_refused(self):
        """There are numbers without end between two."""
        with pytest.raises(UsageError, match="a grid needs values: give weight_decay a list"):
            parse({"weight_decay": {"low": 0, "high": 1}}, BASE).grid()

    def test_options_that_exclude_each_other_are_refused(self):
        """Each is possible, both are not."""
        with pytest.raises(UsageError, match="random weights must learn"):
            run_with(BASE, {"from_scratch": True, "freeze": "backbone"})

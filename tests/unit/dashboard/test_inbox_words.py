"""Why an image is asked about, and which classes are offered for it."""

from datetime import UTC, datetime
from typing import Any

from core.store.inbox import Item
from core.store.inbox_queue import Taken
from dashboard.pages.inbox.view import InboxView, inbox_address, inbox_view
from dashboard.pages.inbox.words import choices, why

_MANY = [f"Class {i}" for i in range(20)] + ["Beetle", "Cat", "Dog", "Spider"]


def taken(stream: Any = "aimed", challenger: str | None = None, **changed: Any) -> Taken:
    """Return an image that the model takes for a spider, but hardly."""
    fields: dict[str, Any] = {
        "label": "Spider",
        "other": None,
        "top": [
            {"label": "Spider", "probability": 0.48},
            {"label": "Beetle", "probability": 0.45},
            {"label": "Dog", "probability": 0.02},
        ],
        "margin": 0.03,
    }
    item = Item(
        id=1,
        stream=stream,
        sha256="0" * 64,
        at=datetime(2026, 3, 1, tzinfo=UTC),
        prediction=None,
        image=None,
        version="v1",
        state="waiting",
        **(fields | changed),
    )
    return Taken(item, challenger)


class TestWhy:
    """One sentence beside the picture."""

    def test_names_what_is_to_be_learnt_from_the_label(self):
        """Two that differ, a class that lacks labels, a close call, a doubtful label."""
        doubt = taken("suspect", label="Cat", other="Dog")

        assert why(taken(challenger="Beetle"), ["Spider"]) == (
            "The champion says Spider, the challenger Beetle. For training only."
        )
        assert why(taken(), ["Spider"]) == "Spider is short of labels. For training only."
        assert why(taken(), []) == "Nearly a tie: Spider 48 %, Beetle 45 %. For training only."
        assert why(doubt, ["Cat"]) == "Labelled Cat, looks like Dog."

    def test_keeps_the_models_opinion_of_what_was_drawn_to_itself(self):
        """What is to judge the model must not be led by it."""
        said = why(taken("drawn", challenger="Beetle"), ["Spider"])

        assert "counts in the accuracy" in said
        assert not {"Spider", "Beetle"} & set(said.replace(".", " ").split())


class TestChoices:
    """The classes under the number keys."""

    def test_begin_with_the_likeliest(self):
        """What a challenger says is among them, and what is no class any more is not."""
        assert choices(taken(challenger="Cat"), _MANY) == ["Spider", "Beetle", "Dog", "Cat"]
        assert choices(taken(), ["Beetle", *_MANY[:12]]) == ["Beetle"]
        doubt = taken("suspect", label="Cat", other="Dog")
        assert choices(doubt, _MANY) == ["Cat", "Dog"]

    def test_of_what_was_drawn_stand_in_alphabetical_order(self):
        """The first key would else be the model's own answer."""
        assert choices(taken("drawn"), _MANY) == ["Beetle", "Dog", "Spider"]

    def test_are_all_there_are_where_those_are_few(self):
        """Then nobody has to type."""
        assert choices(taken(), ["Ant", "Beetle", "Spider"]) == ["Spider", "Beetle", "Ant"]


class TestAddress:
    """`/inbox` as links lead there."""

    def test_says_which_class_and_which_image(self):
        """Names from outside come back as they were; what makes no sense is left out."""
        odd = "a&b=c/ü?"

        assert inbox_view(inbox_address(odd).partition("?")[2]) == InboxView(label=odd)
        assert inbox_view("?item=12") == InboxView(item=12)
        assert inbox_view("?item=-1&class=") == InboxView()

"""What an import says about itself."""

from __future__ import annotations

import json

from core.catalog.report import SetAside


class TestSetAside:
    """Counting what was left out."""

    def test_counts_all_and_keeps_twenty_examples(self):
        """A million broken files must not make a report of a million lines."""
        set_aside = SetAside()
        for number in range(50):
            set_aside.add("corrupt", f"{number}.jpg", "truncated")

        told = set_aside.to_dict()["corrupt"]

        assert (told["count"], len(told["first"])) == (50, 20)

    def test_puts_the_most_frequent_reason_first(self):
        """It is the one to look into."""
        set_aside = SetAside()
        set_aside.add("corrupt", "a.jpg", "truncated")
        for name in ("b.jpg", "c.jpg"):
            set_aside.add("label", name, "empty")

        assert list(set_aside.to_dict()) == ["label", "corrupt"]
        worst = set_aside.worst()
        assert worst is not None
        assert worst.what == "b.jpg"

    def test_can_always_be_printed(self):
        """File names are bytes, and need not be text."""
        set_aside = SetAside()
        set_aside.add("unreadable", "caf\udce9.jpg", "no UTF-8")

        assert r"caf\\xe9" in json.dumps(set_aside.to_dict(), ensure_ascii=False)

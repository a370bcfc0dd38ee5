"""Packages and licences, as the system page lists them."""

import csv
import io

from dashboard.pages.system import packages
from dashboard.pages.system.packages import Package
from dashboard.parts.exports import as_csv


class TestPackages:
    """What is installed beside this program."""

    def test_are_found_with_their_licences(self):
        """Read off the metadata; nothing is asked of the network."""
        known = {each.name.lower(): each for each in packages.installed()}

        assert "BSD" in known["numpy"].licence
        assert known["dash"].licence == "MIT License" or "MIT" in known["dash"].licence

    def test_include_what_comes_with_the_dashboard(self):
        """A browser runs it, and pip knows nothing of it."""
        known = {each.name: each for each in packages.installed()}

        assert known["onnxruntime-web"].licence == "MIT"

    def test_are_counted_by_family(self):
        """A reader sees at once whether a licence is there that the firm does not take."""
        some = tuple(
            Package(name, "1", licence)
            for name, licence in (("a", "MIT"), ("b", "MIT License"), ("c", "LGPL-3.0"), ("d", ""))
        )

        assert packages.families(some) == [("MIT", 2), ("LGPL", 1), ("another", 1)]

    def test_s05_have_no_formula_in_their_csv(self):
        """S05: a package may call itself what it likes."""
        sheet = packages.sheet((Package("=HYPERLINK(1)", "1", "MIT"),))
        text = as_csv(sheet.columns, sheet.rows)

        rows = list(csv.reader(io.StringIO(text)))

        assert not rows[1][0].startswith("=")

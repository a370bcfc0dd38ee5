"""Drift reports are dropped once they are old."""

from datetime import date
from pathlib import Path

from monitor.drift import old_reports


def _report(folder: Path, name: str, file: str = "v1.html") -> Path:
    path = folder / name / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("report")
    return path


class TestDrop:
    """`old_reports.drop`."""

    def test_drops_what_is_older_and_keeps_the_rest(self, tmp_path: Path):
        """Four megabytes a day would fill the disk in some years, and hide the ones that matter."""
        _report(tmp_path, "2026-03-01")
        _report(tmp_path, "2026-03-02", "v1.123.tmp")
        kept = _report(tmp_path, "2026-03-03")

        assert old_reports.drop(tmp_path, date(2026, 3, 3)) == [date(2026, 3, 1), date(2026, 3, 2)]
        assert list(tmp_path.glob("*/*")) == [kept]

    def test_touches_nothing_else(self, tmp_path: Path):
        """Somebody may keep notes beside the reports."""
        notes = _report(tmp_path, "2026-03-01", "notes.txt")
        other = _report(tmp_path, "2026-13-99")

        old_reports.drop(tmp_path, date(2026, 4, 1))

        assert (notes.exists(), other.exists()) == (True, True)

    def test_of_no_folder_is_nothing(self, tmp_path: Path):
        """The first day has no reports yet."""
        assert old_reports.drop(tmp_path / "reports", date(2026, 4, 1)) == []

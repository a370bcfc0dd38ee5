"""Where the system page and its files are."""

from __future__ import annotations

PATH = "/system"
LICENCES_CSV = "/system/licences.csv"

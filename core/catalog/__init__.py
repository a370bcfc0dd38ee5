"""The pool of labelled images: filling it, looking at it, checking it.

A folder, CSV or URI of labelled images becomes checked rows in Postgres; the images stay where
they are.
"""

from core.catalog.checking import Verification, verify
from core.catalog.drawing import DaySample, draw_day
from core.catalog.importing import import_images, import_listing
from core.catalog.intake import Origin
from core.catalog.profiling import ClassSize, Profile, profile
from core.catalog.report import ImportReport, SetAside
from core.catalog.sources import Entry, Listing
from core.catalog.splits import DEFAULT_SPLIT, parse_split

__all__ = [
    "DEFAULT_SPLIT",
    "ClassSize",
    "DaySample",
    "Entry",
    "ImportReport",
    "Listing",
    "Origin",
    "Profile",
    "SetAside",
    "Verification",
    "draw_day",
    "import_images",
    "import_listing",
    "parse_split",
    "profile",
    "verify",
]

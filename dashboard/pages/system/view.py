"""Where the system page and its files are."""

from __future__ import annotations

PATH = "/system"
LICENCES_CSV = "/system/licences.csv"
SERVICES_CSV = "/system/services.csv"
STEPS_CSV = "/system/steps.csv"
TABLES_CSV = "/system/tables.csv"

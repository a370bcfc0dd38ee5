"""Numbers and days in words, the same everywhere on the dashboard.

English and UTC throughout. What is returned is plain text: whoever shows it escapes it for where
it is shown.
"""

from __future__ import annotations

from datetime import date, datetime

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_ELLIPSIS = "…"
_DAYS_A_YEAR = 365.25


def day_text(day: date, *, today: date) -> str:
    """Return `14 Nov`, with the year where it is not this one's."""
    text = f"{day.day} {_MONTHS[day.month - 1]}"
    return text if day.year == today.year else f"{text} {day.year}"


def moment_text(moment: datetime, *, today: date) -> str:
    """Return `14 Nov 02:03 UTC`."""
    return f"{day_text(moment.date(), today=today)} {moment:%H:%M} UTC"


def percent(share: float) -> str:
    """Return `93 %`; one decimal where rounding would claim perfection or its opposite."""
    decimals = 1 if 0.99 < share < 1 or 0 < share < 0.01 else 0
    return f"{100 * share:.{decimals}f} %"


def points(difference: float) -> str:
    """Return a difference of two shares as `+2.1` or `−0.4`, in percentage points."""
    return f"{100 * difference:+.1f}".replace("-", "−")


def evidence_text(evidence: float) -> str:
    """Return an e-value as people read it: two digits below ten, powers of ten when huge."""
    if evidence < 10:
        return f"{evidence:.1f}"
    if evidence < 1e6:
        return f"{evidence:,.0f}"
    mantissa, exponent = f"{evidence:.1e}".split("e")
    return f"{mantissa} × {power_text(int(exponent))}"


def rarity_text(evidence: float, classes: int) -> str:
    """Return how often chance alone would show so much evidence: `at most once in 4 months`.

    A class that is as good as its reference reaches an evidence E at most T / E times in T days
    (core.stats.evidence), and K of them at most K T / E times, however they depend on each other.

    Args:
        evidence: Of a class, above 0.
        classes: How many are watched.
    """
    days = evidence / classes
    if days < 60:
        return f"at most once in {count(max(round(days), 1), 'day')}"
    if days < 2 * _DAYS_A_YEAR:
        return f"at most once in {12 * days / _DAYS_A_YEAR:.0f} months"
    years = days / _DAYS_A_YEAR
    if years >= 1e6:
        return "less than once in a million years"
    # Two digits say all there is to say.
    return f"at most once in {float(f'{years:.1e}'):,.0f} years"


def power_text(exponent: int) -> str:
    """Return a power of ten as `10⁶`."""
    return "10" + str(exponent).translate(_SUPERSCRIPTS)


def count(n: int, thing: str, things: str | None = None) -> str:
    """Return `1 class`, `1,200 classes`."""
    return f"{n:,} {thing if n == 1 else things or thing + 's'}"


def shortened(text: str, longest: int) -> str:
    """Return the text, or its beginning and an ellipsis where it is longer."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + _ELLIPSIS

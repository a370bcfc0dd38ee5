"""What `weakspot jobs show` says of why a retraining was asked for; the rest is in the JSON."""

from collections.abc import Sequence
from typing import Any

# Of 2,500 classes nobody reads more than these.
_MOST = 20


def lines(grounds: Sequence[dict[str, Any]]) -> list[str]:
    """Return the numbers of each class, as monitor.grounds keeps them with the job, a line each."""
    shown = [_line(each) for each in grounds[:_MOST]]
    more = len(grounds) - len(shown)
    return ["asked for because of", *shown, *[f"  and {more} more classes"] * bool(more)] * bool(
        grounds
    )


def _line(each: dict[str, Any]) -> str:
    mistaken = ", ".join(f"{label} ({n})" for label, n in each["confused_with"])
    parts = [
        f"{each['label']}: {_share(each['now'])} since {each['since']} ({each['days']} days)",
        f"{_share(each['before'])} before",
        f"evidence {each['evidence']:,.4g} of {each['threshold']:,.0f}",
    ]
    parts += [f"mistaken for {mistaken}"] if mistaken else []
    parts += [f"cause: {each['cause']}"] if each["cause"] else []
    parts += [f"alert {each['alert']}"] if each["alert"] else []
    return "  " + "; ".join(parts)


def _share(share: dict[str, Any]) -> str:
    if not share["n"]:
        return "no images"
    return f"{share['correct']} of {share['n']} right"

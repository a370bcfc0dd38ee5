"""How every class is, on one day: what `weakspot health --json` prints.

What each state means is defined in core.store.standing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from core.judging import rules
from core.stats.proportions import jeffreys
from core.store import class_days, model_days, registry, standing, validations
from monitor import lacking
from monitor.forecast import expected, outlook, quotas
from monitor.forecast.foresight import Wish
from monitor.judgement import shadow, standards
from monitor.page import MonitorOptions

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from core.judging.rules import Levels
    from core.store.class_days import ClassDay
    from core.store.registry import Version
    from core.store.standing import ClassStanding


# A version that was never examined has no counts up to any day, and may be asked any image.
_NEVER, _SOME_DAY = date(1970, 1, 1), date(9000, 1, 1)


@dataclass(frozen=True, slots=True)
class _Known:
    """All that is known of one class on the day asked for."""

    stands: ClassStanding
    counts: ClassDay | None
    low: float
    high: float
    reference: float
    reference_images: int
    threshold: float


def health(
    connection: Connection,
    day: date | None = None,
    *,
    options: MonitorOptions | None = None,
    wish: Wish = outlook.USUAL_WISH,
) -> dict[str, Any]:
    """Return how every class of the version examined on a day is.

    Args:
        connection: Where to ask.
        day: The day; None for the last one examined.
        options: How labels are drawn, and what a class that was never examined is held to.
        wish: What the owner would like to notice, and how soon.

    Returns:
        `{"day", "version", "classes": [...], "weak_list", "pooled", "correlation", "adaptive",
        "wish", "needs_labels", "self_check"}`. Each class has `label`, `state`, `n`, `correct`,
        `accuracy`, `low`, `high`, `reference`, `evidence`, `threshold`, `days_without_labels`,
        `note`; `labels_a_day`, `days_to_notice`, `labels_a_day_for_15_points_in_3_days` and
        `labels_a_day_for_wish` as monitor.forecast.outlook has them, and so are `weak_list`,
        `pooled` and `wish`; `without_labels` as monitor.forecast.expected has it, about the images
        *called* by that name. `correlation` is `{"estimate", "one_bet_a_group"}`: how alike
        images that belong together were in the thirty days before, and whether they are one bet
        for it; None before the first exam. `needs_labels` lists the classes that the next draw
        lacks images of, as monitor.forecast.quotas has them, counting what is in the pool now.

        On a day without an exam n is 0, and the states are those of the last exam before it.
        Accuracy is None where n is 0. `self_check` is how often simulated healthy classes raised
        an alarm, as monitor.judgement.shadow.SelfCheck names it. Without a champion, day and
        version are None and there are no classes.
    """
    version, shown = _examined(connection, day)
    if version is None:
        nobody = {"day": shown.isoformat() if shown else None, "version": None, "classes": []}
        nobody |= {"weak_list": [], "pooled": None, "adaptive": None, "wish": None}
        nobody |= {"correlation": None}
        return nobody | {"needs_labels": [], "self_check": _self_check(connection, date.max)}
    chosen = options or MonitorOptions()
    on = standards.rules_on(connection, shown, chosen)
    held_to = standards.standard(version, on).levels
    known = _gather(connection, version, shown, held_to)
    ahead = outlook.outlook(
        connection,
        version,
        held_to,
        shown or _NEVER,
        floor=on.floor,
        adaptive=chosen.adaptive,
        wish=wish,
    )
    promised = expected.expected(connection, version, shown or _NEVER)
    draw = quotas.next_quotas(connection, version, shown or _SOME_DAY, chosen)
    return {
        "day": shown.isoformat() if shown else None,
        "version": version.version,
        "classes": [
            _row(label, known[label])
            | ahead.of_class(i)
            | {"without_labels": promised[i].to_dict()}
            for i, label in enumerate(held_to.labels)
        ],
        "weak_list": list(ahead.weak),
        "pooled": asdict(ahead.pooled) if ahead.pooled else None,
        "correlation": _correlation(connection, version, shown or _NEVER),
        "adaptive": chosen.adaptive,
        "wish": ahead.of_wish(),
        "needs_labels": draw.needs_labels(version.labels),
        "self_check": _self_check(connection, shown or date.max),
    }


def wanted(
    connection: Connection, *, options: MonitorOptions, now: datetime | None = None
) -> dict[str, Any]:
    """Return `day`, `version` and `needs_labels` alone, as `health` has them, of the last exam.

    Beside them `retraining`: what retrainings wait for, and `challenger`: on how many predictions
    one that waits differs from the champion, both as monitor.lacking has it. Without `now` all that
    is in the pool counts as there.
    """
    version, shown = _examined(connection, None)
    if version is None:
        nothing: list[dict[str, Any]] = []
        asked = {"needs_labels": nothing, "retraining": nothing, "challenger": None}
        return {"day": None, "version": None, **asked}
    found = quotas.next_quotas(connection, version, shown or _SOME_DAY, options)
    return {
        "day": shown.isoformat() if shown else None,
        "version": version.version,
        "needs_labels": found.needs_labels(version.labels),
        "retraining": lacking.wanted(connection, now or datetime.max.replace(tzinfo=UTC)),
        "challenger": lacking.challenger(connection),
    }


def _examined(connection: Connection, day: date | None) -> tuple[Version | None, date | None]:
    """Return the version examined last (up to a day), and the day that is shown."""
    last = validations.last_done(connection, day)
    if last is None:
        return registry.champion(connection), day
    return registry.get(connection, last.version), day or last.day


def _self_check(connection: Connection, until: date) -> dict[str, Any]:
    found = asdict(shadow.self_check(connection, until))
    return found | {"since": found["since"].isoformat() if found["since"] else None}


def _correlation(connection: Connection, version: Version, day: date) -> dict[str, Any] | None:
    """Return how alike images of a group were; also where all classes are judged one by one."""
    whole = model_days.at(connection, version.version, day)
    if whole is None:
        return None
    return {"estimate": whole.correlation, "one_bet_a_group": whole.grouped}


def _gather(
    connection: Connection, version: Version, day: date | None, held_to: Levels
) -> dict[str, _Known]:
    until = day or date.max
    name = version.version
    stands = standing.standings(connection, name, held_to.labels, until)
    counts = {each.label: each for each in class_days.of_day(connection, until, name)}
    judged = [counts.get(label) for label in held_to.labels]
    low, high = jeffreys(
        [each.correct if each else 0 for each in judged], [each.n if each else 0 for each in judged]
    )
    return {
        label: _Known(
            stands=stands[i],
            counts=judged[i],
            low=float(low[i]),
            high=float(high[i]),
            reference=float(held_to.reference[i]),
            reference_images=int(held_to.images[i]),
            threshold=held_to.threshold,
        )
        for i, label in enumerate(held_to.labels)
    }


def _row(label: str, known: _Known) -> dict[str, Any]:
    state, counts = known.stands.state, known.counts
    n, correct = (counts.n, counts.correct) if counts else (0, 0)
    return {
        "label": label,
        "state": known.stands.standing,
        "n": n,
        "correct": correct,
        "accuracy": correct / n if n else None,
        "low": known.low,
        "high": known.high,
        "reference": state.reference if state else known.reference,
        "evidence": state.evidence if state else 0.0,
        "threshold": state.threshold if state else known.threshold,
        "days_without_labels": state.days_without_labels if state else 0,
        "note": _note(known),
    }


def _note(known: _Known) -> str:
    """Say in words what a reader of the numbers should know; empty when there is nothing."""
    notes: list[str] = []
    if known.reference_images < rules.CERTAIN_REFERENCE:
        notes.append(f"reference still uncertain (n = {known.reference_images})")
    state, flag = known.stands.state, known.stands.flag
    if state is not None and state.days_without_labels:
        days = state.days_without_labels
        notes.append(f"no fresh labels ({days} day{'s' if days > 1 else ''})")
    if flag is not None:
        notes.append(f"flagged since {flag.since}")
    elif state is not None and state.evidence >= standing.SUSPICION * state.threshold:
        notes.append(f"evidence at {100 * state.evidence / state.threshold:.0f} % of the threshold")
    return "; ".join(notes)

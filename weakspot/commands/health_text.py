"""What `weakspot health` and `weakspot data wanted` say to people; the rest is in the JSON."""

from typing import Any

# Of 2,500 classes nobody reads more than these.
_MOST = 10
_LEAST_FALLEN = 0.01


def lines(answer: dict[str, Any]) -> list[str]:
    """Return the health of one day, as monitor.health.health gives it, line by line."""
    said = [f"day {answer['day'] or '-'}, version {answer['version'] or '-'}"]
    said += [_class_line(row) for row in answer["classes"]]
    if answer["weak_list"]:
        said += [f"below the floor: {', '.join(answer['weak_list'])}"]
    if answer["pooled"]:
        said += [_pooled_line(answer["pooled"])]
    if answer["correlation"]:
        said += [_correlation_line(answer["correlation"])]
    if answer["wish"]:
        said += [_wish_line(answer["wish"], adaptive=answer["adaptive"])]
    said += _fallen_lines(answer["classes"])
    if answer["needs_labels"]:
        said += ["needs labels:", *wanted_lines(answer["needs_labels"])]
    return said


def wanted_lines(needed: list[dict[str, Any]]) -> list[str]:
    """Return which classes the next draw lacks images of, the most urgent first."""
    shown = [_wanted_line(row) for row in needed[:_MOST]]
    more = len(needed) - len(shown)
    return shown + [f"  and {more} more classes"] * bool(more)


def retraining_lines(wanted: list[dict[str, Any]]) -> list[str]:
    """Return what retrainings wait for, as monitor.lacking.wanted gives it."""
    names = {"train": "training", "test": "gate"}
    shown = [
        f"  {row['label']:24} {row['missing']:4} more {names[row['split']]} images, for retraining "
        f"{row['job']}"
        for row in wanted[:_MOST]
    ]
    more = len(wanted) - len(shown)
    return shown + [f"  and {more} more classes"] * bool(more)


def _class_line(row: dict[str, Any]) -> str:
    accuracy = "no labels" if row["accuracy"] is None else f"{100 * row['accuracy']:5.1f} %"
    note = f"; {row['note']}" if row["note"] else ""
    return (
        f"  {row['label']:24} {row['state']:11} {row['correct']:3}/{row['n']:<3} {accuracy:>9}  "
        f"reference {100 * row['reference']:4.1f} %  evidence {row['evidence']:.3g} "
        f"of {row['threshold']:,.0f}  {_noticed(row['days_to_notice'])}{note}"
    )


def _noticed(days_to_notice: dict[str, float | None]) -> str:
    """Say after how many days drops would be noticed, at today's labels."""
    drops = [name.split()[0] for name in days_to_notice]
    days = ["never" if each is None else f"{each:g}" for each in days_to_notice.values()]
    return f"{'/'.join(drops)} points less: noticed in {'/'.join(days)} days"


def _pooled_line(pooled: dict[str, Any]) -> str:
    line = (
        f"all classes together: {pooled['correct']}/{pooled['n']}  "
        f"reference {100 * pooled['reference']:.1f} %  "
        f"evidence {pooled['evidence']:.3g} of {pooled['threshold']:,.0f}"
    )
    return line + ("  WORSE" if pooled["since_alarm"] else "")


def _correlation_line(correlation: dict[str, Any]) -> str:
    bets = "one bet" if correlation["one_bet_a_group"] else "a bet each"
    return (
        f"images of one session, or nearly alike: intra-class correlation "
        f"{correlation['estimate']:.2f}, {bets}"
    )


def _wish_line(wish: dict[str, Any], *, adaptive: bool) -> str:
    head = f"{wish['points']:g} points in {wish['days']} days: "
    if wish["labels_a_day"] is None:
        return head + "no number of labels is enough for any class"
    how = "labels a class and day, on the average" if adaptive else "labels a class and day"
    line = f"{head}{wish['labels_a_day']:g} {how}; {wish['labels_a_day_at_most']:g} for all"
    unseen = wish["out_of_reach"]
    return line + (f" but {unseen}, for which no number is enough" if unseen else "")


def _fallen_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Return the answers whose expected accuracy has fallen, without any labels."""
    known = [
        (row["without_labels"]["reference"]["expected_accuracy"], row["without_labels"], row)
        for row in rows
        if row["without_labels"]["reference"]
    ]
    fallen = [
        (then - now["expected_accuracy"], now, row["label"])
        for then, now, row in known
        if then is not None and now["expected_accuracy"] is not None
    ]
    worst = sorted(fallen, key=lambda each: -each[0])[:_MOST]
    said = [_fallen_line(label, now) for by, now, label in worst if by >= _LEAST_FALLEN]
    return ["expected of the images called so, without labels:", *said] if said else []


def _fallen_line(label: str, now: dict[str, Any]) -> str:
    then, name = now["reference"], "expected_accuracy"
    return (
        f"  {label:24} {now['predictions']:6} images  confidence {_percent(now[name])} "
        f"(reference {_percent(then[name])})  "
        f"ATC {_percent(now[name + '_atc'])} (reference {_percent(then[name + '_atc'])})"
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _wanted_line(row: dict[str, Any]) -> str:
    days = row["days_without_labels"]
    since = f"  no fresh labels ({days} day{'s' if days > 1 else ''})" if days else ""
    return (
        f"  {row['label']:24} {row['missing']:4} missing: {row['fresh']} fresh images"
        f" of {row['wanted']} that the next draw wants{since}"
    )

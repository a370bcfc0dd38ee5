"""The monitor's verbs by hand: validate, backfill, drift, health."""

import socket
from datetime import date, datetime, timedelta
from typing import Annotated, Any

import typer
from sqlalchemy import Engine

from core.errors import UsageError
from core.settings import AlertSettings, MonitorSettings
from core.store.database import transaction
from weakspot import front

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


def validate(
    day: Annotated[
        str | None, typer.Option("--date", help="Day to examine (YYYY-MM-DD); today when left out.")
    ] = None,
    per_class: Annotated[
        int | None, typer.Option(min=1, help="Labelled images per class; else the setting.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Examine one day: draw, validate, check drift, judge, alert. Again changes nothing."""
    from monitor import daily

    chosen = _day(day)
    with front.open_store() as engine, front.progress() as on_progress:
        _adopt_rules(engine)
        report = daily.run(
            engine,
            chosen,
            options=_options(per_class),
            clock=front.clock(),
            holder=_holder(),
            reports=front.settings().reports,
            on_progress=on_progress,
        )
    front.emit(report.to_dict(), as_json=as_json, text=report.to_text())


def backfill(
    start: Annotated[str, typer.Option("--from", help="First day (YYYY-MM-DD).")],
    end: Annotated[str, typer.Option("--to", help="Last day (YYYY-MM-DD).")],
    per_class: Annotated[int | None, typer.Option(min=1, help="Labelled images per class.")] = None,
    as_json: Json = False,
) -> None:
    """Examine a stretch of days, the oldest first."""
    from monitor import daily

    first, last = _day(start), _day(end)
    if first > last:
        raise UsageError(f"--from {first} lies after --to {last}")
    days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
    options = _options(per_class)
    with front.open_store() as engine, front.progress() as on_progress:
        _adopt_rules(engine)
        reports = [
            daily.run(
                engine,
                day,
                options=options,
                clock=front.clock(),
                holder=_holder(),
                reports=front.settings().reports,
                on_progress=on_progress,
            )
            for day in days
        ]
    front.emit(
        {"days": [report.to_dict() for report in reports]},
        as_json=as_json,
        text="\n".join(report.to_text() for report in reports),
    )


def drift(
    day: Annotated[
        str | None, typer.Option("--date", help="Day to check (YYYY-MM-DD); today when left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check one day's predictions against the reference profile."""
    from monitor import daily

    with front.open_store() as engine:
        checks = daily.check_drift(
            engine,
            _day(day),
            options=_options(None),
            clock=front.clock(),
            reports=front.settings().reports,
        )
    lines = [_drift_line(check) for check in checks if _is_worth_a_line(check)]
    if checks:
        lines.append(f"compared with: {checks[0]['reference']}")
    front.emit(
        {"day": _day(day).isoformat(), "checks": checks},
        as_json=as_json,
        text="\n".join(lines) or "nothing to check: no version served on that day",
    )


def health(
    day: Annotated[
        str | None,
        typer.Option("--date", help="Day (YYYY-MM-DD); the last examined when left out."),
    ] = None,
    stretch: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--replay",
            metavar="FROM TO",
            help="Compute these days anew, after late labels, corrections or missed days.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say how every class is: state, n, correct, interval, evidence; or --replay days."""
    if stretch is not None:
        if day is not None:
            raise UsageError("--date and --replay are two things; ask for one")
        _replay(_day(stretch[0]), _day(stretch[1]), as_json=as_json)
        return
    from monitor.health import health as ask
    from monitor.shadow import self_check

    chosen = None if day is None else _day(day)
    with front.open_store() as engine, transaction(engine) as connection:
        answer = ask(connection, chosen)
        checked = self_check(connection, chosen or date.max)
    lines = [f"day {answer['day'] or '-'}, version {answer['version'] or '-'}"]
    lines += [_health_line(row) for row in answer["classes"]]
    if answer["weak_list"]:
        lines += [f"below the floor: {', '.join(answer['weak_list'])}"]
    if answer["pooled"]:
        lines += [_pooled_line(answer["pooled"])]
    lines += [checked.to_text()]
    front.emit(answer, as_json=as_json, text="\n".join(lines))


def _replay(first: date, last: date, *, as_json: bool) -> None:
    from monitor import replay

    with front.open_store() as engine, front.progress(as_json) as on_progress:
        found = replay.replay(
            engine,
            first,
            last,
            options=_options(None),
            clock=front.clock(),
            by=front.user(),
            on_progress=on_progress,
        )
    front.emit(found, as_json=as_json, text=found.to_text())


def _adopt_rules(engine: Engine) -> None:
    """Let the settings say who hears, where nobody has yet: as the monitor does when it starts."""
    from monitor import __main__ as monitor
    from monitor import alert_setup

    wanted = monitor.initial_rules(front.read(MonitorSettings), front.read(AlertSettings))
    alert_setup.adopt(engine, wanted, now=front.clock().now(), renew=False)


def _options(per_class: int | None) -> Any:
    from monitor import daily

    return daily.MonitorOptions.from_settings(front.read(MonitorSettings), per_class=per_class)


def _day(text: str | None) -> date:
    if text is None:
        return front.clock().now().date()
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError as error:
        raise UsageError(f"{text!r} is no day; write it as YYYY-MM-DD") from error


def _holder() -> str:
    return f"{front.user()}@{socket.gethostname()}"


def _is_worth_a_line(check: dict[str, Any]) -> bool:
    # Fifteen classes have 150 checks; those without a finding are in the JSON.
    return check["label"] is None or check["verdict"] == "drift"


def _drift_line(check: dict[str, Any]) -> str:
    column = check["column"] if check["label"] is None else f"{check['column']} of {check['label']}"
    return (
        f"{column:22} {check['verdict']:16} n {check['n']:5}  p {_number(check['adjusted_p'])}  "
        f"effect {_number(check['effect'])}  {check['detail']}"
    ).rstrip()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _health_line(row: dict[str, Any]) -> str:
    accuracy = "no labels" if row["accuracy"] is None else f"{100 * row['accuracy']:5.1f} %"
    return (
        f"  {row['label']:24} {row['state']:11} {row['correct']:3}/{row['n']:<3} {accuracy:>9}  "
        f"reference {100 * row['reference']:4.1f} %  evidence {row['evidence']:.3g} "
        f"of {row['threshold']:,.0f}  15 points less: {_noticed(row['days_to_notice'])}"
    )


def _pooled_line(pooled: dict[str, Any]) -> str:
    line = (
        f"all classes together: {pooled['correct']}/{pooled['n']}  "
        f"reference {100 * pooled['reference']:.1f} %  "
        f"evidence {pooled['evidence']:.3g} of {pooled['threshold']:,.0f}"
    )
    line += "  WORSE" if pooled["since_alarm"] else ""
    if pooled["one_bet_a_group"]:
        line += f"\nimages of a session are one bet: correlation {pooled['correlation']:.2f}"
    return line


def _noticed(days_to_notice: dict[str, float | None]) -> str:
    """Say after how many days a drop would be noticed, at today's labels."""
    days = days_to_notice["15 points"]
    return "never noticed" if days is None else f"noticed in {days:g} days"

"""The monitor's verbs by hand: validate, backfill, drift, health, alerts."""

import socket
from datetime import date, datetime, timedelta
from typing import Annotated, Any

import typer

from core.errors import UsageError
from core.settings import MonitorSettings
from core.store import alerts
from core.store.database import transaction
from weakspot import front

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
alerts_app = typer.Typer(help="What the monitor has told, and what became of it.")


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
    lines = [
        f"{check['column']:14} {check['verdict']:16} n {check['n']:5}  "
        f"p {_number(check['p_value'])}  effect {_number(check['effect'])}"
        for check in checks
    ]
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
    as_json: Json = False,
) -> None:
    """Say how every class is: state, n, correct, interval, evidence."""
    from monitor.health import health as ask

    with front.open_store() as engine, transaction(engine) as connection:
        answer = ask(connection, None if day is None else _day(day))
    lines = [f"day {answer['day'] or '-'}, version {answer['version'] or '-'}"]
    lines += [_health_line(row) for row in answer["classes"]]
    front.emit(answer, as_json=as_json, text="\n".join(lines))


@alerts_app.command("list")
def list_alerts(as_json: Json = False) -> None:
    """List the alerts, the newest first."""
    with front.open_store() as engine, transaction(engine) as connection:
        rows = [front.jsonable(alert) for alert in alerts.latest(connection)]
    text = "\n".join(f"{row['id']:4} {row['state']:13} {row['title']}" for row in rows)
    front.emit({"alerts": rows}, as_json=as_json, text=text or "no alert so far")


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


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _health_line(row: dict[str, Any]) -> str:
    accuracy = "no labels" if row["accuracy"] is None else f"{100 * row['accuracy']:5.1f} %"
    return (
        f"  {row['label']:24} {row['state']:11} {row['correct']:3}/{row['n']:<3} {accuracy:>9}  "
        f"reference {100 * row['reference']:4.1f} %  evidence {row['evidence']:.3g} "
        f"of {row['threshold']:,.0f}"
    )

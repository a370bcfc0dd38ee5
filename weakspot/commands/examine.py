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
from weakspot.commands import health_text

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
            help="Compute these days anew, after late labels or predictions, or missed days.",
        ),
    ] = None,
    wish: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="What to notice how soon: '15 points in 3 days'; what it costs."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say how every class is: state, n, correct, interval, evidence; or --replay days."""
    if stretch is not None:
        if day is not None or wish is not None:
            raise UsageError("--replay stands alone, without --date and --wish")
        _replay(_day(stretch[0]), _day(stretch[1]), as_json=as_json)
        return
    from monitor.forecast.foresight import Wish
    from monitor.health import health as ask
    from monitor.judgement.shadow import self_check

    chosen = None if day is None else _day(day)
    wished = Wish() if wish is None else Wish.parse(wish)
    with front.open_store() as engine, transaction(engine) as connection:
        answer = ask(connection, chosen, options=_options(None), wish=wished)
        checked = self_check(connection, chosen or date.max)
    text = "\n".join([*health_text.lines(answer), checked.to_text()])
    front.emit(answer, as_json=as_json, text=text)


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
            reports=front.settings().reports,
            on_progress=on_progress,
        )
    front.emit(found, as_json=as_json, text=found.to_text())


def _adopt_rules(engine: Engine) -> None:
    """Let the settings say who hears, where nobody has yet: as the monitor does when it starts."""
    from monitor import __main__ as monitor
    from monitor.messages import alert_setup

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

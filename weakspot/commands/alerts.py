"""`weakspot alerts`: what was told and done about it, who hears, and what waits to be sent."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, cast

import typer

from core.errors import DeliveryError, NotFoundError, UsageError
from core.settings import AlertSettings, MonitorSettings
from core.store import alert_rules, alerts, outbox
from core.store.alert_states import STATES, Deed, State
from core.store.alerts import Alert
from core.store.database import transaction
from core.store.outbox import Delivery
from weakspot import front
from weakspot.commands.alert_rules import rules_app

alerts_app = typer.Typer(help="What the monitor has told, and what became of it.")
alerts_app.add_typer(rules_app, name="rules")

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Number = Annotated[int, typer.Argument(help="The alert's number.")]

_SPAN = re.compile(r"(\d{1,5})([hd])")


@alerts_app.command("list")
def list_alerts(
    state: Annotated[
        str | None, typer.Option(help="Only those in this state: open, acknowledged, ...")
    ] = None,
    label: Annotated[str | None, typer.Option("--class", help="Only those of this class.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 100,
    as_json: Json = False,
) -> None:
    """List the alerts, the newest first."""
    if state is not None and state not in STATES:
        raise UsageError(f"no alert is {state!r}; the states are {', '.join(STATES)}")
    with front.open_store() as engine, transaction(engine) as connection:
        found = alerts.latest(connection, limit, label=label, state=cast("State | None", state))
    text = "\n".join(f"{each.id:4} {each.state:13} {each.title}" for each in found)
    rows = [front.jsonable(alert) for alert in found]
    front.emit({"alerts": rows}, as_json=as_json, text=text or "no alert so far")


@alerts_app.command()
def show(alert: Number, as_json: Json = False) -> None:
    """Show one alert in full."""
    with front.open_store() as engine, transaction(engine) as connection:
        found = alerts.get(connection, alert)
    if found is None:
        raise NotFoundError(f"there is no alert {alert}; weakspot alerts list shows all")
    front.emit(front.jsonable(found), as_json=as_json, text=_page(found))


@alerts_app.command()
def ack(alert: Number, as_json: Json = False) -> None:
    """Say that somebody is at it; that it becomes worse or is over is still told."""
    _move(alert, "acknowledge", as_json=as_json)


@alerts_app.command()
def snooze(
    alert: Number,
    until: Annotated[
        str, typer.Option("--for", help="How long or until when: 8h, 3d, 2026-12-01T09:00+01:00.")
    ],
    as_json: Json = False,
) -> None:
    """Hear no more of it until then; that it became worse is told when it wakes."""
    _move(alert, "snooze", as_json=as_json, until=_moment(until, front.clock().now()))


@alerts_app.command()
def resolve(alert: Number, as_json: Json = False) -> None:
    """Close it for good; nothing more is told of this cause until it is over and comes back."""
    _move(alert, "resolve", as_json=as_json)


@alerts_app.command("outbox")
def show_outbox(
    retry: Annotated[
        int | None, typer.Option(min=1, help="Try a dead message again: its number.")
    ] = None,
    send: Annotated[
        bool, typer.Option("--send", help="Send what is due now, as the monitor does by itself.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    as_json: Json = False,
) -> None:
    """List the messages, the newest first: waiting, sent, or dead after the last attempt."""
    from monitor import __main__ as monitor
    from monitor.messages import delivery

    clock = front.clock()
    with front.open_store() as engine:
        if retry is not None:
            with transaction(engine) as connection:
                outbox.retry(connection, retry, by=front.user(), now=clock.now())
        if send:
            delivery.deliver(engine, monitor.postage_from(front.read(AlertSettings)), clock)
        with transaction(engine) as connection:
            found = outbox.latest(connection, limit)
            counts = outbox.counts(connection)
    lines = [", ".join(f"{n} {state}" for state, n in counts.items())]
    lines += [_delivery_line(each) for each in found]
    front.emit(
        {"counts": counts, "deliveries": [front.jsonable(each) for each in found]},
        as_json=as_json,
        text="\n".join(lines),
    )


@alerts_app.command("test")
def send_test(
    channel: Annotated[
        str | None, typer.Argument(help="Only this channel; every one when left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Send a test message to every channel now, and say which took it; exit 1 if one did not."""
    from core import telling
    from monitor import __main__ as monitor
    from monitor.messages import channels

    now, settings = front.clock().now(), front.read(AlertSettings)
    wanted = monitor.initial_rules(front.read(MonitorSettings), settings)
    with front.open_store() as engine, transaction(engine) as connection:
        rules = alert_rules.adopt(connection, wanted, now=now, renew=False).rules
    chosen = [each for each in rules.channels if channel in {None, each.name}]
    if not chosen:
        named = f"no channel is called {channel!r}" if channel else "there is no channel"
        raise UsageError(f"{named}; docs/alerts.md says how to make one")
    means, message = monitor.postage_from(settings).means, telling.trial_message(front.user(), now)
    taken: dict[str, str | None] = {}
    for each in chosen:
        try:
            channels.send(each, telling.trial_key(each.name, now), message, means)
            taken[each.name] = None
        except DeliveryError as error:
            taken[each.name] = str(error)
    front.emit(
        {"channels": [{"name": name, "error": error} for name, error in taken.items()]},
        as_json=as_json,
        text="\n".join(f"{name:24} {error or 'took it'}" for name, error in taken.items()),
    )
    raise typer.Exit(front.FAILED if any(taken.values()) else front.DONE)


def _move(alert: int, deed: Deed, *, as_json: bool, until: datetime | None = None) -> None:
    """Do something with an alert; that it is resolved is news to those who were told of it."""
    from core import telling

    now, by = front.clock().now(), front.user()
    with front.open_store() as engine, transaction(engine) as connection:
        moved = telling.move(connection, alert, deed, by=by, now=now, until=until)
    front.emit(front.jsonable(moved), as_json=as_json, text=_line(moved))


def _moment(text: str, now: datetime) -> datetime:
    """Return the moment meant: so long from now, or an ISO moment, UTC when it says no zone."""
    span = _SPAN.fullmatch(text)
    try:
        if span:
            return now + timedelta(hours=int(span[1]) * (24 if span[2] == "d" else 1))
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"--for {text!r} is no time; write 8h, 3d or 2026-12-01T09:00+01:00"
        ) from error
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _line(alert: Alert) -> str:
    until = f" until {alert.snoozed_until:%Y-%m-%d %H:%M} UTC" if alert.snoozed_until else ""
    return f"alert {alert.id} is {alert.state}{until}: {alert.title}"


def _page(alert: Alert) -> str:
    facts: dict[str, Any] = {
        "raised": f"{alert.at:%Y-%m-%d %H:%M} UTC",
        "evidence": f"{alert.peak:.3g} at most" if alert.flag is not None else "-",
        "images": ", ".join(map(str, alert.images)) or "-",
    }
    lines = [f"{name:9} {value}" for name, value in facts.items()]
    return "\n".join([_line(alert), "", alert.body, "", *lines])


def _delivery_line(each: Delivery) -> str:
    when = {"sent": each.sent_at, "dead": None}.get(each.state, each.due_at)
    shown = f"{when:%Y-%m-%d %H:%M}" if when else "given up"
    error = f"  {each.last_error}" if each.last_error else ""
    return (
        f"{each.id:5} {each.state:8} {each.channel:20} {shown:16} attempts {each.attempts:2}  "
        f"{each.message['title']}{error}"
    )

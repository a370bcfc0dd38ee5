"""The demonstration's chapters: data, training, service, the days, the gate.

Everything in it is real: a ResNet50, Postgres, HTTP, the monitor's verdicts, the retraining, the
gate. Only the calendar is simulated: the programs' clock is moved by a file, so that two weeks
pass while one watches. A day is lived at ten in the morning and examined at two the next night.
"""

from __future__ import annotations

import time
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import catalog
from core.clock import ShiftedClock
from core.errors import WeakspotError
from core.settings import HomeSettings, MonitorSettings
from core.store import class_state, jobs, predictions, registry
from core.store.database import transaction
from weakspot import demo_traffic as traffic
from weakspot import front, sample_data
from weakspot.supervisor import Program, Supervisor
from weakspot.up import listener

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from monitor.daily import DayReport

PLANTED = "Elephant"
FAULT_DAY = 8
# Fixed before the story begins, and printed: one pass of training moves single classes of a model
# of 89 % by up to six points, of which 330 gate images a class leave three more in doubt.
GATE_MARGIN = 0.10
_SPLIT = (0.5, 0.15, 0.35)
_LIVED_AT, _EXAMINED_AT = 10, 2
_LOAD_WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How the story is told."""

    days: int
    host: str
    port: int
    browser: bool


@dataclass
class Summary:
    """What happened, as `weakspot demo --exit --json` prints it; days are counted from 1."""

    champion_before: str | None = None
    champion_after: str | None = None
    planted_class: str = PLANTED
    flagged_class: str | None = None
    fault_day: int = FAULT_DAY
    alarm_day: int | None = None
    gate: dict[str, Any] = field(default_factory=lambda: {"passed": False})
    predictions_answered: int = 0
    predictions_logged: int = 0
    seconds: float = 0.0

    def told(self) -> bool:
        """Say whether every step of the story really happened."""
        return (
            self.flagged_class == self.planted_class
            and self.alarm_day is not None
            and self.alarm_day >= self.fault_day
            and bool(self.gate.get("passed"))
            and self.champion_after not in {None, self.champion_before}
            and 0 < self.predictions_answered == self.predictions_logged
        )


class Story:
    """The chapters, in order."""

    def __init__(
        self,
        engine: Engine,
        settings: HomeSettings,
        plan: Plan,
        supervisor: Supervisor,
        say: Callable[[str], None],
    ) -> None:
        if settings.clock_file is None:
            raise WeakspotError("the story needs a clock that a file moves: WEAKSPOT_CLOCK_FILE")
        self.dashboard = ""
        self._engine = engine
        self._settings = settings
        self._plan = plan
        self._supervisor = supervisor
        self._say = say
        self._service = ""
        self._summary = Summary()
        self._told_jobs: set[int] = set()
        self._unlabelled: list[traffic.Picture] = []
        self._clock = ShiftedClock(settings.clock_file)
        # The last simulated day is yesterday, so that the story ends on the real calendar.
        self._first_day = datetime.now(UTC).date() - timedelta(days=plan.days)

    def tell(self, sample_set: Path) -> Summary:
        """Tell all of it, and return what happened.

        Args:
            sample_set: Where the public sample set lies, or is fetched to.
        """
        self._set_clock(self._first_day - timedelta(days=1), _LIVED_AT)
        shares = self._import(sample_set)
        self._train()
        self._open_doors()
        for day in range(1, self._plan.days + 1):
            self._live(day, shares)
        self._fill_inbox(shares)
        self._count()
        return self._summary

    def _import(self, sample_set: Path) -> traffic.Shares:
        self._say("[bold]1. Data[/]  silhouettes of ten animals, a public set (MIT licence)")
        with front.progress() as on_progress:
            shares = traffic.divide(sample_data.fetch(sample_set, on_progress=on_progress))
            sides = {"train": shares.train, "val": shares.val, "test": shares.test}
            listing = traffic.write_list(
                self._traffic / "day-00.csv",
                [(picture, side) for side, pictures in sides.items() for picture in pictures],
                captured_at=None,
            )
            report = catalog.import_images(
                self._engine,
                str(listing),
                source_name="sample set",
                labelled_by="sample set",
                added_at=self._clock.now(),
                on_progress=on_progress,
            )
        self._say(
            f"   {report.added} imported: {traffic.TRAIN} a class to learn from, {traffic.VAL} to "
            f"validate, {traffic.TEST} for the gate; the others arrive day by day"
        )
        return shares

    def _train(self) -> None:
        self._say("[bold]2. Training[/]  a ResNet50 from scratch at 64 x 64, three passes")
        from trainer import pipeline

        config = pipeline.RunConfig(
            name="silhouettes",
            from_scratch=True,
            image_size=64,
            epochs=3,
            batch_size=64,
            learning_rate=2e-3,
            variants="",
        )
        with front.progress() as on_progress:
            result = pipeline.train(
                self._engine,
                config,
                bundles=self._settings.bundles,
                runs=self._settings.runs,
                clock=self._clock,
                on_progress=on_progress,
            )
        self._summary.champion_before = result.version
        self._say(
            f"   {result.version} answers {100 * result.metrics['test']['top1']:.1f} % of the test "
            f"split right after {result.seconds:.0f} s; it is the champion"
        )

    def _open_doors(self) -> None:
        plan = self._plan
        # Its callers are this program alone; on another address they would need keys.
        self._service = str(self._supervisor.start(listener("serve", "127.0.0.1", 0)))
        self.dashboard = str(self._supervisor.start(listener("dashboard", plan.host, plan.port)))
        self._say(f"[bold]3. Service[/]  {self._service}")
        self._say(f"   [bold]dashboard[/]  {self.dashboard}")
        if plan.browser:
            webbrowser.open(self.dashboard)
        self._say(
            f"[bold]4. {plan.days} days[/]  real requests; ten labelled images of each class are "
            f"judged a day\n   The gate must rule out a drop of {100 * GATE_MARGIN:.0f} points in "
            "any class."
        )

    def _live(self, day: int, shares: traffic.Shares) -> None:
        today = self._first_day + timedelta(days=day - 1)
        self._set_clock(today, _LIVED_AT)
        pictures = traffic.day_of_stream(shares, day, self._plan.days)
        if day == FAULT_DAY:
            self._unlabelled = self._cut(day, traffic.busy_day(shares, PLANTED))
            self._say(
                f"   [bold]From day {day} on every new {PLANTED} arrives cut in half[/], "
                f"and {len(self._unlabelled)} more of them than on other days.\n"
                "   The champion names about 0 to 5 % of those right."
            )
        if day >= FAULT_DAY:
            pictures = self._cut(day, pictures)
        sent = [*pictures, *self._unlabelled] if day == FAULT_DAY else pictures
        with front.progress(as_json=True) as on_progress:
            self._answer(day, sent, on_progress)
            self._label(day, pictures)
            self._set_clock(today + timedelta(days=1), _EXAMINED_AT)
            if self._examine(day, today, on_progress):
                self._label_what_is_asked_for(day)
            self._await_job(on_progress)

    def _cut(self, day: int, pictures: list[traffic.Picture]) -> list[traffic.Picture]:
        folder = self._traffic / f"day-{day:02}"
        return [
            traffic.cut_in_half(picture, folder) if picture.label == PLANTED else picture
            for picture in pictures
        ]

    def _label_what_is_asked_for(self, day: int) -> None:
        """Label the rest of the busy day, as a person does on an alert; then a worker starts."""
        asked, self._unlabelled = self._unlabelled, []
        if asked:
            self._label(day, asked, part="-on-alert")
            self._say(f"   on the alert, {len(asked)} more of the {PLANTED}s received are labelled")
            self._supervisor.start(Program("worker", ["worker"]))

    def _answer(
        self, day: int, pictures: list[traffic.Picture], on_progress: front.OnProgress
    ) -> None:
        answered: list[int] = []

        def on_answer() -> None:
            answered.append(1)
            on_progress(f"day {day}: predictions", len(answered), len(pictures))

        traffic.send(self._service, pictures, on_answer)
        self._summary.predictions_answered += len(answered)

    def _label(self, day: int, pictures: list[traffic.Picture], *, part: str = "") -> None:
        listing = traffic.write_list(
            self._traffic / f"day-{day:02}{part}.csv",
            [(picture, "") for picture in pictures],
            captured_at=self._noon(day),
        )
        catalog.import_images(
            self._engine,
            str(listing),
            split=_SPLIT,
            source_name=f"day {day}",
            labelled_by="sample set",
            added_at=self._clock.now(),
        )

    def _examine(self, day: int, today: date, on_progress: front.OnProgress) -> bool:
        """Let the monitor examine the day; say whether it flagged a class."""
        from monitor import daily

        options = daily.MonitorOptions.from_settings(front.read(MonitorSettings))
        report = daily.run(
            self._engine,
            today,
            options=replace(options, report_days=0),  # a report a day is a minute of waiting
            clock=self._clock,
            holder="demo",
            reports=self._settings.reports,
            on_progress=on_progress,
        )
        if report.opened and self._summary.flagged_class is None:
            self._summary.flagged_class, self._summary.alarm_day = report.opened[0], day
        self._say(f"   day {day:2}  {self._day_line(report)}")
        return bool(report.opened)

    def _day_line(self, report: DayReport) -> str:
        planted = next(row for row in report.classes if row.label == PLANTED)
        with transaction(self._engine) as connection:
            states = class_state.at(connection, str(report.version), report.day)
        state = next(each for each in states if each.label == PLANTED)
        line = (
            f"{report.version}: {report.correct}/{report.judged} right, {PLANTED} "
            f"{planted.correct}/{planted.n}, evidence {state.evidence:.3g} of {state.threshold:.0f}"
        )
        if report.drifted:
            line += f"; drift in {', '.join(report.drifted)}"
        for label in report.opened:
            line += f"; [bold]{label} is flagged[/]"
        for label in report.closed:
            line += f"; [bold]{label} has recovered[/]"
        return line

    def _await_job(self, on_progress: front.OnProgress) -> None:
        """Wait for the retraining when one was asked for; in the story it takes the night."""
        while True:
            with transaction(self._engine) as connection:
                found = jobs.latest(connection, 1)
            if not found or found[0].status not in {"queued", "running"}:
                break
            progress = found[0].progress
            on_progress(
                f"retraining: {progress.get('stage', 'waiting for the worker')}",
                int(progress.get("done", 0)),
                int(progress.get("total", 1)),
            )
            time.sleep(0.3)
        if found and found[0].id not in self._told_jobs:
            self._told_jobs.add(found[0].id)
            self._tell_gate(found[0])

    def _tell_gate(self, job: jobs.Job) -> None:
        result = job.result or {}
        self._summary.gate = {"passed": job.status == "promoted", **result.get("gate", {})}
        self._say(f"   [bold]retraining {job.id}: {job.status}[/] {_reasons(result)}")
        if job.status == "promoted" and job.challenger is not None:
            self._await_load(job.challenger)
            self._summary.champion_after = job.challenger
            self._say(f"   the service has loaded {job.challenger} and acknowledged")

    def _await_load(self, version: str) -> None:
        deadline = time.monotonic() + _LOAD_WAIT_S
        while time.monotonic() < deadline:
            with transaction(self._engine) as connection:
                if any(load.ok for load in registry.loads(connection, version)):
                    return
            time.sleep(0.2)
        raise WeakspotError(f"the service did not load {version} within {_LOAD_WAIT_S:.0f} s")

    def _fill_inbox(self, shares: traffic.Shares) -> None:
        """Let pictures arrive that nobody has labelled: the dashboard's inbox asks about some."""
        pictures = traffic.unlabelled_day(shares)
        traffic.send(self._service, pictures, labelled=False)
        self._summary.predictions_answered += len(pictures)
        self._say(
            f"[bold]5. Today[/]  {len(pictures)} pictures arrive without labels; some of them wait "
            f"in the inbox: {self.dashboard.rstrip('/')}/inbox"
        )

    def _count(self) -> None:
        with transaction(self._engine) as connection:
            self._summary.predictions_logged = predictions.count(connection, predictions.Filter())

    def _noon(self, day: int) -> datetime:
        return datetime.combine(
            self._first_day + timedelta(days=day - 1), time_of_day(12), tzinfo=UTC
        )

    @property
    def _traffic(self) -> Path:
        return self._settings.home / "traffic"

    def _set_clock(self, day: date, hour: int) -> None:
        target = datetime.combine(day, time_of_day(hour), tzinfo=UTC)
        shift_s = int((target - datetime.now(UTC)).total_seconds())
        temporary = self._clock.path.with_suffix(".tmp")
        temporary.write_text(str(shift_s), encoding="ascii")
        temporary.replace(self._clock.path)


def _reasons(result: dict[str, Any]) -> str:
    told = result.get("notes", []) if result.get("missing") else [result.get("error", "")]
    reasons = result.get("gate", {}).get("reasons") or told
    return "; ".join(str(reason) for reason in reasons)

"""What is said of jobs and trials: the page's sentence, and the words of its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dashboard.parts.moment import named
from dashboard.parts.saying import Mention, Phrase, Verdict
from dashboard.parts.wording import count, percent, shortened

if TYPE_CHECKING:
    from core.store.job_lines import JobLine
    from dashboard.pages.training.facts import Training

_LONGEST_VALUE = 60
_ENDINGS = {
    "queued": "waits for a worker",
    "promoted": "passed the gate",
    "refused": "was refused by the gate",
    "more images": "needs more images",
    "trained": "made a version",
    "failed": "failed",
    "cancelled": "was cancelled",
}
_STATES = {
    "COMPLETE": "complete",
    "PRUNED": "ended early",
    "FAIL": "failed",
    "RUNNING": "running",
    "WAITING": "waiting",
}


def verdict(facts: Training) -> Verdict:
    """Return the page's sentence: what is under way, or what was last."""
    notes = _notes(facts)
    running = facts.running
    silent = [each for each in running if each.is_silent(facts.now)]
    if silent:
        title = [f"The worker of job {silent[0].id} is silent: ", *subject(silent[0])]
        return Verdict("bad", title, [*_of_silence(silent[0], facts), *notes])
    if running:
        title = [f"{count(len(running), 'job is', 'jobs are')} running: ", *subject(running[0])]
        return Verdict("watch", [*title, _so_far(running[0])], notes)
    if waiting := facts.counts.get("queued", 0):
        title = [f"{count(waiting, 'job waits', 'jobs wait')} and none is running"]
        return Verdict("watch", [*title], ["Workers take them: weakspot worker.", *notes])
    if not facts.jobs:
        return Verdict("none", ["No job has been asked for yet"], [*_FIRST, *notes])
    last = facts.jobs[0]
    ended: Phrase = []
    if last.finished_at:
        ended = [", ", named(last.finished_at, today=facts.now.date())]
    tone = "watch" if last.status == "failed" else "none"
    said: Phrase = ["Nothing is being trained. ", *titled(last), f" {ending(last)}", *ended]
    return Verdict(tone, said, notes)


_FIRST = [
    "weakspot retrain --class NAME asks for a retraining, weakspot train --config FILE --queue "
    "for trainings; a worker carries them out.",
]


def _notes(facts: Training) -> list[str]:
    shown = facts.searches.shown if facts.searches else None
    if shown is None:
        return []
    under_way = sum(each.state == "RUNNING" and not each.silent for each in shown.trials)
    if not under_way:
        return []
    are = count(under_way, "trial is", "trials are")
    return [f"Search {shortened(shown.name, _LONGEST_VALUE)}: {are} under way."]


def _of_silence(job: JobLine, facts: Training) -> list[Phrase]:
    if job.lease_until is None:
        return []
    return [
        [
            f"{job.worker or 'Its worker'} let its lease run out at ",
            named(job.lease_until, today=facts.now.date()),
            ". Another worker takes the job over, or goes on with it: weakspot worker.",
        ]
    ]


def subject(job: JobLine) -> Phrase:
    """Say what a job is about, its classes as mentions."""
    if job.kind != "retrain":
        backbone = job.backbone.rstrip("/").rpartition("/")[2]
        of = f" of {shortened(backbone, _LONGEST_VALUE)}" if backbone else ""
        group = f", group {job.group_id}" if job.group_id is not None else ""
        return [f"training{of}{group}"]
    said: Phrase = ["retraining for "]
    for i, label in enumerate(job.labels):
        said += [", " if i else "", Mention(label)]
    more = job.n_labels - len(job.labels)
    return [*said, f" and {count(more, 'more class', 'more classes')}"] if more > 0 else said


def capitalised(phrase: Phrase) -> Phrase:
    """Return a phrase as the beginning of a sentence; names stay as they are."""
    first, *rest = phrase
    return [first[:1].upper() + first[1:] if isinstance(first, str) else first, *rest]


def titled(job: JobLine) -> Phrase:
    """Return a job's title: its number, then what it is about."""
    return [f"Job {job.id}, ", *subject(job)]


def ending(job: JobLine) -> str:
    """Say what became of a job."""
    made = f" as {job.challenger}" if job.challenger and job.status == "promoted" else ""
    return _ENDINGS.get(job.status, job.status) + made


def stage(job: JobLine) -> str:
    """Say how far a job that is under way has come."""
    parts = [_of(job.stage, job.done, job.total)] if job.stage else []
    if job.last_pass:
        done = _of("pass", job.last_pass.get("number", 0), job.last_pass.get("epochs", 0))
        accuracy = job.last_pass.get("val_accuracy")
        parts.append(f"{done}, {percent(accuracy)} right" if accuracy is not None else done)
    return "; ".join(parts) or "beginning"


def came_of(job: JobLine) -> str:
    """Say why a job ended as it did, or how far it is."""
    if job.status == "running":
        stopping = f"; to be cancelled for {job.cancelled_by}" if job.cancelled_by else ""
        return stage(job) + stopping
    if job.error or not job.reasons:
        return job.error
    more = job.n_reasons - 1
    return job.reasons[0] + (f" (and {count(more, 'more reason')})" if more > 0 else "")


def state_word(state: str, *, silent: bool = False) -> str:
    """Say how a trial stands."""
    return "silent" if silent else _STATES.get(state, state.lower())


def value_text(value: Any, longest: int = _LONGEST_VALUE) -> str:
    """Return an option's value as a table or an axis shows it."""
    if value is None:
        return "none"
    is_number = isinstance(value, float)
    return shortened(f"{value:.3g}" if is_number else str(value), longest)


def duration(seconds: float | None) -> str:
    """Return `48 s`, `12 min`, `3.4 h`; nothing while it lasts."""
    if seconds is None:
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _so_far(job: JobLine) -> str:
    return f", {stage(job)}"


def _of(what: str, done: int, total: int) -> str:
    return f"{what} {done:,} of {total:,}" if total else what

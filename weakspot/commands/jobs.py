"""`weakspot jobs`: what waits for a worker, how far each job is, and what became of it."""

from collections.abc import Sequence
from typing import Annotated, Any, cast, get_args

import typer

from core.errors import TrainingError, UsageError
from core.store import jobs
from core.store.database import transaction
from core.store.jobs import Job, Status
from weakspot import front, training_text
from weakspot.commands import grounds_text

jobs_app = typer.Typer(help="Retrainings and trainings: what waits, what runs, how each ended.")

_MOST_OF_A_GROUP = 1000

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Number = Annotated[int, typer.Argument(help="The job's number.")]


@jobs_app.command("list")
def list_jobs(
    status: Annotated[
        str | None, typer.Option(help="Only those in this state: queued, running, failed, ...")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Only these: retrain or train.")] = None,
    group: Annotated[int | None, typer.Option(help="Only those of this group.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    as_json: Json = False,
) -> None:
    """List the jobs, the newest first."""
    for option, value, known in (
        ("--status", status, get_args(Status)),
        ("--kind", kind, jobs.KINDS),
    ):
        if value is not None and value not in known:
            raise UsageError(f"{option} {value!r} is unknown; write one of {', '.join(known)}")
    with front.open_store() as engine, transaction(engine) as connection:
        found = jobs.find(
            connection, limit, status=cast("Status | None", status), kind=kind, group_id=group
        )
        groups = {each.group_id for each in found if each.kind == jobs.TRAIN} - {None}
        whole = {each: jobs.find(connection, _MOST_OF_A_GROUP, group_id=each) for each in groups}
    varied = {number: training_text.differing(each) for number, each in whole.items()}
    lines = [_line(job, varied.get(job.group_id or 0, [])) for job in found]
    is_group = group is not None and whole
    front.emit(
        {"jobs": [front.jsonable(job) for job in found]},
        as_json=as_json,
        text=training_text.queued_table(found) if is_group else "\n".join(lines) or "no job so far",
    )


@jobs_app.command()
def show(job: Number, as_json: Json = False) -> None:
    """Show one job: how far it is, its passes, every try, and how it ended."""
    with front.open_store() as engine, transaction(engine) as connection:
        found = jobs.get(connection, job)
    front.emit(front.jsonable(found), as_json=as_json, text=_page(found))


@jobs_app.command()
def cancel(job: Number, as_json: Json = False) -> None:
    """End a job: one that waits at once, one under way when its worker next reports."""
    now, by = front.clock().now(), front.user()
    with front.open_store() as engine, transaction(engine) as connection:
        found = jobs.cancel(connection, job, by=by, now=now)
    told = "is cancelled" if found.status == "cancelled" else "ends at its worker's next report"
    front.emit(front.jsonable(found), as_json=as_json, text=f"job {job} {told}")


@jobs_app.command()
def retry(job: Number, as_json: Json = False) -> None:
    """Put a job that failed or was cancelled back into the queue, with all its tries."""
    now, by = front.clock().now(), front.user()
    with front.open_store() as engine, transaction(engine) as connection:
        found = jobs.retry(connection, job, by=by, now=now)
    front.emit(
        front.jsonable(found), as_json=as_json, text=f"job {job} is queued; run: weakspot worker"
    )


def _line(job: Job, varied: Sequence[str]) -> str:
    what = training_text.brief(job.payload, varied) if job.kind == jobs.TRAIN else ""
    return (
        f"{job.id:4} {job.status:11} {job.kind:8} {job.requested_at:%Y-%m-%d %H:%M}  "
        f"{', '.join(job.labels) or what or job.reason}{_so_far(job)}"
    )


def _so_far(job: Job) -> str:
    if job.status == "running":
        stopping = ", to be cancelled" if job.cancelled_by else ""
        return f": {_stage(job.progress) or 'beginning'}{stopping}"
    result = job.result or {}
    made = f" as {job.challenger}" if job.challenger else ""
    came = training_text.figures(result["metrics"]) if "metrics" in result else None
    said = result.get("error") or came
    return f"{made}: {said}" if said else made


def _stage(progress: dict[str, Any]) -> str:
    if not progress.get("stage"):
        return ""
    done, total = progress["done"], progress["total"]
    return f"{progress['stage']} {done}/{total}" if total else f"{progress['stage']}"


def _page(job: Job) -> str:
    facts = {
        "asked for": f"{job.requested_at:%Y-%m-%d %H:%M} UTC by {job.requested_by}: {job.reason}",
        "classes": ", ".join(job.labels) or "-",
        "priority": str(job.priority),
        "group": str(job.group_id or "-"),
        "worker": job.worker or "-",
        "stage": _stage(job.progress) or "-",
        "champion": job.parent or "-",
        "made": job.challenger or "-",
    }
    lines = [f"job {job.id}: {job.kind}, {job.status}"]
    lines += [f"  {name:10} {value}" for name, value in facts.items()]
    lines += [f"  cancelled  by {job.cancelled_by}"] if job.cancelled_by else []
    if job.kind == jobs.TRAIN:
        lines += training_text.configuration(job.payload)
    lines += grounds_text.lines(job.payload.get("grounds", []))
    if epochs := job.progress.get("epochs"):
        lines += ["passes", *(_pass_line(each) for each in epochs)]
    if job.tries:
        lines += ["tries", *(_try_line(each) for each in job.tries)]
    result = job.result or {}
    if error := result.get("error"):
        lines.append(f"error: {error}")
    if "metrics" in result:
        lines.append(f"came to: {training_text.figures(result['metrics'])}")
    lines += [f"images: {note}" for note in result.get("notes", [])]
    lines += _gate_lines(result.get("gate") or {})
    return "\n".join(lines)


def _gate_lines(kept: dict[str, Any]) -> list[str]:
    """Return the gate's page of numbers; the reasons alone where an older release kept them."""
    from trainer.exams.verdict import Verdict

    try:
        return Verdict.from_dict(kept).to_text().splitlines()
    except TrainingError:
        return [f"gate: {reason}" for reason in kept.get("reasons", [])]


def _pass_line(epoch: dict[str, Any]) -> str:
    accuracy = epoch["val_accuracy"]
    top1 = "-" if accuracy is None else f"{100 * accuracy:.1f} %"
    return (
        f"  {epoch['number']:3}/{epoch['epochs']}  loss {_number(epoch['train_loss'])}  "
        f"validation loss {_number(epoch['val_loss'])}, top-1 {top1}, {epoch['seconds']:.1f} s"
    )


def _try_line(each: dict[str, Any]) -> str:
    ended = f" to {each['ended_at'][:19]}" if each.get("ended_at") else ", under way"
    stage = f" while {each['stage']}" if each.get("stage") else ""
    why = f": {each['why']}{stage}" if each.get("why") else ""
    return f"  {each.get('worker', '-')} from {each.get('started_at', '-')[:19]}{ended}{why}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"

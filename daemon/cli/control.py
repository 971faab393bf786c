"""Holds the commands that change jobs, or the whole queue: one for each verb of the API."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from daemon.cli.answers import each, tell
from daemon.cli.cancelled import known_by, told
from daemon.cli.completion import JobType, PartType
from daemon.cli.options import as_json, has, reach, state_dir, status
from daemon.cli.queue_words import told as told_of_queue
from daemon.cli.references import Part
from daemon.plaintext import so_many, visible

if TYPE_CHECKING:
    from daemon.cli.client import Client, Json
    from daemon.jobs.views import JobView, SourceView

DEFAULT = "default"
MOST_SLOTS = 1000

only_source = click.option(
    "--source", metavar="NAME", type=PartType("source"), help="Only this source's variations; or its id."
)
only_variation = click.option(
    "--variation", metavar="NAME", type=PartType("variation"), help="Only this variation; or its id."
)
yes = click.option("--yes", is_flag=True, help="With --all: do it without asking.")


# Ending


@click.command()
@click.argument("job", required=False, type=JobType())
@only_source
@only_variation
@click.option("--all", "every", is_flag=True, help="Every job that runs or waits.")
@click.option("--keep", is_flag=True, help="Keep what is encoded of films, so that a retry goes on there.")
@status
@has
@yes
@state_dir
@as_json
def cancel(
    job: str | None,
    source: str | None,
    variation: str | None,
    every: bool,
    keep: bool,
    yes: bool,
    state_dir: Path | None,
    as_json: bool,
    **which: str | None,
) -> None:
    """Stop JOB, a part of it, or all jobs, and keep what is completed."""
    _either(job, every, "--all", **which)
    part = _part(source, variation, every)
    if every and keep:
        raise click.UsageError("--keep is for one JOB: name it instead of --all")
    daemon = reach(state_dir)
    if every:
        _confirm(daemon, "Cancel", _LIVE, yes, **which)
        tell(daemon.cancel_all(**which), as_json, lambda receipt: _bulk(receipt, "cancelled"))
    elif job is not None:
        tell(daemon.cancel(job, part, keep=keep), as_json, told)


_LIVE = ("queued", "processing")


@click.command()
@click.argument("job", type=JobType())
@state_dir
@as_json
def fail(job: str, state_dir: Path | None, as_json: bool) -> None:
    """Stop JOB, keep what is completed and mark the rest failed, to be tried again with `ffspool retry`."""
    tell(reach(state_dir).fail(job), as_json, told)


@click.command()
@click.argument("jobs", nargs=-1, type=JobType())
@click.option("--all", "every", is_flag=True, help="Every job there is.")
@status
@has
@yes
@state_dir
@as_json
def rm(
    jobs: tuple[str, ...], every: bool, yes: bool, state_dir: Path | None, as_json: bool, **which: str | None
) -> None:
    """Cancel JOBS, or all jobs, and delete all of them, completed files too."""
    _either(jobs, every, "--all", **which)
    daemon = reach(state_dir)
    if every:
        _confirm(daemon, "Delete, with their files,", None, yes, **which)
        tell(daemon.delete_all(**which), as_json, lambda receipt: _bulk(receipt, "deleted"))
    else:
        each(jobs, lambda job: _deleted(daemon, job), as_json, lambda one: f"{one['id']} is deleted", daemon.meant)


def _deleted(daemon: Client, job: str) -> Json:
    identifier = daemon.meant(job)
    daemon.delete(identifier)
    return {"id": identifier, "deleted": True}


def _confirm(
    daemon: Client, deed: str, states: Sequence[str] | None, yes: bool, *, status: str | None, has: str | None
) -> None:
    """Asks whoever sits there. Raises Abort when the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("--all asks before it does anything, and here is nobody to ask: add --yes")
    jobs = daemon.stats()["jobs"]
    wanted = [status] if status else states or list(jobs)
    count = sum(jobs.get(state, 0) for state in wanted)
    what = "1 job" if count == 1 else f"{count} jobs"
    if has:  # nobody counts these but by reading them all
        what = "every job of which something failed"
    click.confirm(f"{deed} {what} ({', '.join(wanted)})?", abort=True, err=True)


def _bulk(receipt: Json, done: str) -> str:
    left = receipt["matched"] - receipt["changed"]
    others = f"; {left} ended or went away meanwhile" if left else ""
    jobs = so_many(receipt["matched"], "job")
    return f"{receipt['changed']} of {jobs} {'is' if receipt['matched'] == 1 else 'are'} {done}{others}"


# Going on


REASONS = ("encoder", "proof", "host", "crash", "fault", "unfetched", "unreadable", "unsuitable", "request")


@click.command()
@click.argument("jobs", nargs=-1, type=JobType())
@click.option("--all", "every", is_flag=True, help="Every job of which something failed; what was cancelled stays so.")
@click.option("--because", type=click.Choice(REASONS), help="Only what failed for this kind of reason.")
@only_source
@only_variation
@status
@state_dir
@as_json
def retry(
    jobs: tuple[str, ...],
    every: bool,
    because: str | None,
    source: str | None,
    variation: str | None,
    status: str | None,
    state_dir: Path | None,
    as_json: bool,
) -> None:
    """Queue what failed or was cancelled of JOBS again, or what failed of all jobs; what is completed stays.

    Reasons are those that the daemon's figures count: the encoder could not (encoder), what it made was not what was
    planned (proof), the host lacks something (host), the daemon died of it (crash), ffspool is at fault (fault), its
    URL brings no file (unfetched), the file cannot be read (unreadable), the preset does not suit it (unsuitable), or
    somebody asked for it (request).
    """
    _either(jobs, every, "--all", status=status)
    part = _part(source, variation, every)
    if part and len(jobs) > 1:
        raise click.UsageError("--source and --variation are parts of one JOB: name one")
    daemon = reach(state_dir)
    if every:
        tell(daemon.retry_all(status, because), as_json, _all_retried)
    else:
        in_vain: dict[str, list[str]] = {}
        each(
            jobs,
            lambda job: _retry(daemon, job, because, part, in_vain),
            as_json,
            lambda answer: "\n".join([_retried(answer, because), *in_vain[answer["id"]]]),
            daemon.meant,
        )


def _retry(daemon: Client, job: str, because: str | None, part: Part | None, in_vain: dict[str, list[str]]) -> Json:
    """Has it tried again, and notes of what that would be in vain."""
    from daemon.cli.watch import understood
    from daemon.jobs import remedies
    from daemon.jobs.views import JobView

    before = understood(daemon.job(job), JobView)
    answer = daemon.retry(before.id, because, part)
    told = answer["changed"] and not because
    meant = _meant(before, answer["id"]) if part else before.sources
    in_vain[answer["id"]] = list(remedies.in_vain(meant, "submit a new job")) if told else []
    return answer


def _meant(job: JobView, part: str) -> list[SourceView]:
    """The job's sources, as far as they are that part."""
    from msgspec.structs import replace

    found = ((one, [v for v in one.variations if part in {one.id, v.id}]) for one in job.sources)
    return [replace(source, variations=tuple(variations)) for source, variations in found if variations]


def _all_retried(receipt: Json) -> str:
    count, jobs = receipt["variations"], receipt["changed"]
    return f"{count} variation{' waits' if count == 1 else 's wait'} again, of {jobs} job{'' if jobs == 1 else 's'}"


def _retried(answer: Json, because: str | None) -> str:
    if answer["changed"] and answer["status"] in {"completed", "failed", "cancelled"}:
        return f"{known_by(answer)} is {answer['status']}: what did not arrive is delivered again"
    if answer["changed"]:
        watch = f"`ffspool watch {answer.get('job') or answer['id']}`"
        return f"{known_by(answer)} is {answer['status']} again: {watch} follows it"
    what = f"failed for that kind of reason ({because})" if because else "failed or was cancelled"
    return f"{known_by(answer)} is {answer['status']}: nothing of it {what}"


@click.command()
@click.argument("job", required=False, type=JobType())
@click.option("--queue", is_flag=True, help="All jobs, and those that come.")
@state_dir
@as_json
def pause(job: str | None, queue: bool, state_dir: Path | None, as_json: bool) -> None:
    """Freeze the encodes of JOB, or of the whole queue, and start nothing more until `ffspool resume`."""
    _either(job, queue, "--queue")
    daemon = reach(state_dir)
    if job is None:
        tell(daemon.set_queue("pause"), as_json, _queue)
    else:
        tell(daemon.pause(job), as_json, _paused)


@click.command()
@click.argument("job", required=False, type=JobType())
@click.option("--queue", is_flag=True, help="All that was paused or drained with the queue.")
@state_dir
@as_json
def resume(job: str | None, queue: bool, state_dir: Path | None, as_json: bool) -> None:
    """Let JOB, or the whole queue, go on. A job paused by itself stays paused when the queue goes on."""
    _either(job, queue, "--queue")
    daemon = reach(state_dir)
    if job is None:
        tell(daemon.set_queue("resume"), as_json, _queue)
    else:
        tell(daemon.resume(job), as_json, _resumed)


@click.command()
@state_dir
@as_json
def queue(state_dir: Path | None, as_json: bool) -> None:
    """Tell whether the queue runs, is paused or drains."""
    tell(reach(state_dir).queue(), as_json, lambda answer: _queue({**answer, "changed": True}))


class Slots(click.ParamType[int | str]):
    """Takes how many encodes run at once; `default` is as many as the daemon's setting says."""

    name = "slots"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == DEFAULT else click.IntRange(1, MOST_SLOTS).convert(value, param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        return [CompletionItem(DEFAULT)] if DEFAULT.startswith(incomplete) else []


@click.command()
@click.argument("number", required=False, metavar="[N|default]", type=Slots())
@state_dir
@as_json
def slots(number: int | str | None, state_dir: Path | None, as_json: bool) -> None:
    """Have N encodes run at once, or as many as the daemon's setting says; without N, tell how many do.

    What runs beyond that goes on to its end. The number holds until it is changed, also for a daemon that is started
    again.
    """
    daemon = reach(state_dir)
    if number is None:
        tell(daemon.queue(), as_json, _slots)
    else:
        tell(daemon.set_slots(None if number == DEFAULT else int(number)), as_json, _slots)


def _slots(answer: Json) -> str:
    return f"{answer['slots']} encode{'s' if answer['slots'] != 1 else ''} may run at once"


@click.command()
@state_dir
@as_json
def drain(state_dir: Path | None, as_json: bool) -> None:
    """Let what runs be finished and start nothing more, until `ffspool resume --queue`."""
    tell(reach(state_dir).set_queue("drain"), as_json, _queue)


def _paused(answer: Json) -> str:
    verb = "is" if answer["changed"] else "was"
    return f"{known_by(answer)} {verb} paused: `ffspool resume {answer['id']}` lets it go on"


def _resumed(answer: Json) -> str:
    return f"{known_by(answer)} {'is paused no more' if answer['changed'] else 'was not paused'}"


def _queue(answer: Json) -> str:
    return told_of_queue(answer, "is" if answer["changed"] else "was")


# Changing


class When(click.ParamType[datetime]):
    """Takes a time in ISO 8601; without a zone it is the local one."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            return datetime.fromisoformat(str(value)).astimezone()
        except (ValueError, OverflowError, OSError):
            self.fail(f"{value!r} is not a time such as 2030-01-31T18:00 or 2030-01-31T18:00:00Z", param, ctx)


@click.command()
@click.argument("job", type=JobType())
@click.option("--priority", type=click.IntRange(-1000, 1000), help="Higher goes first, from the next start on.")
@click.option("--name", metavar="TEXT", help="What to call it; empty takes its name away.")
@click.option("--expires-at", metavar="TIME", type=When(), help="Until when to keep it once it has ended.")
@state_dir
@as_json
def edit(
    job: str,
    priority: int | None,
    name: str | None,
    expires_at: datetime | None,
    state_dir: Path | None,
    as_json: bool,
) -> None:
    """Change JOB's priority, its name, or how long it is kept."""
    changes: dict[str, Any] = {}
    if priority is not None:
        changes["priority"] = priority
    if name is not None:
        changes["name"] = name or None
    if expires_at is not None:
        changes["expires_at"] = expires_at.isoformat()
    if not changes:
        raise click.UsageError("nothing to change: give --priority, --name or --expires-at")
    tell(reach(state_dir).edit(job, changes), as_json, lambda found: _edited(found, expires_at))


def _edited(job: Json, kept_until: datetime | None) -> str:
    from daemon.cli.terminal import local

    facts = [f"priority {job['priority']}", f"name {visible(job['name'])}" if job["name"] else "no name"]
    if kept_until is not None:
        facts.append(f"kept until {local(kept_until)}")
    return f"{job['id']} has {', '.join(facts)}"


# What they share


def _part(source: str | None, variation: str | None, every: bool) -> Part | None:
    if source and variation:
        raise click.UsageError("name either --source or --variation")
    if every and (source or variation):
        raise click.UsageError("--source and --variation are parts of one JOB: name it instead of --all")
    return Part("source", source) if source else Part("variation", variation) if variation else None


def _either(named: Any, flagged: bool, flag: str, **which: str | None) -> None:
    """A verb for one job or for all must be told which; what says `which` of all goes with all."""
    is_named = named not in (None, ())
    if flagged and is_named:
        raise click.UsageError(f"name a JOB or add {flag}, not both")
    if not flagged and not is_named:
        raise click.UsageError(f"name a JOB, as `ffspool ls` lists them, or add {flag}")
    for option in (name for name, said in which.items() if said and not flagged):
        raise click.UsageError(f"--{option} goes with {flag}")


COMMANDS = (cancel, queue, slots, pause, resume, drain, retry, fail, edit, rm)

"""Holds the commands that give a daemon jobs and tell what it has; `control` has those that change them."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.cli import own_daemon
from daemon.cli.completion import JobType, PartType
from daemon.cli.delivering import delivering
from daemon.cli.fetching import FileOrUrl, headers_of, name_of
from daemon.cli.folders import gather, is_file, is_folder, nothing_meant, whole
from daemon.cli.options import (
    JsonObject,
    as_json,
    echo,
    exclude,
    has,
    include,
    load_settings,
    on_unsuitable,
    pour,
    print_json,
    reach,
    refuse_parameters,
    state_dir,
    status,
    wanted,
)
from daemon.cli.queue_words import held_up
from daemon.cli.watch import exit_code, follow, screen, understood
from daemon.errors import InvalidRequest, StartupError

if TYPE_CHECKING:
    from daemon.cli.client import Client, Json
    from daemon.jobs.views import ListedJob


OWN_SLOTS = " by jobs of yours; what others have of the rest is not told"
MOST_NAMED = 5  # files that cannot be used, in one message
MOST_COUNTED = 200  # jobs, in a hint


@click.command()
@click.argument("files", nargs=-1, required=True, type=FileOrUrl())
@wanted
@include
@exclude
@click.option("--path", "in_place", is_flag=True,
              help="Upload nothing: FILES are on the daemon's host, below one of its source roots.")  # fmt: skip
@click.option("--header", "headers", multiple=True, metavar="NAME: VALUE",
              help="Sent to the hosts of URLs, or @FILE with a line for each; may be repeated.")  # fmt: skip
@click.option("--name", help="What to call the job; by default after its files.")
@click.option("--priority", type=int, default=0, help="Higher goes first; by default 0.")
@click.option("--keep-hours", type=click.FloatRange(0, 366 * 24),
              help="How long to keep it once it has ended; by default as long as the daemon keeps jobs.")  # fmt: skip
@click.option("--metadata", type=JsonObject(), metavar="JSON",
              help="An object of your own, which the job and its webhooks carry.")  # fmt: skip
@click.option("--webhook", metavar="URL", help="Is told of the job's end.")
@click.option("--webhook-variations", is_flag=True, help="It is told of each variation's end, too.")
@on_unsuitable("fail")
@click.option(
    "--wait", is_flag=True, help="Follow the job to its end; exit code 1 if not all of it is completed, and delivered."
)
@state_dir
@as_json
@delivering
def submit(
    files: tuple[Path | str, ...],
    in_place: bool,
    headers: tuple[str, ...],
    wait: bool,
    state_dir: Path | None,
    as_json: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    **said: Any,
) -> None:
    """Give the daemon a job and print the job's id. FILES may be URLs, which the daemon fetches."""
    if said["webhook_variations"] and not said["webhook"]:
        raise click.UsageError("--webhook-variations needs --webhook: who is to be told?")
    remote = [named for named in files if isinstance(named, str)]
    local = [named for named in files if isinstance(named, Path)]
    if remote and local and not in_place:
        raise click.UsageError("files to upload and URLs are not of one job: submit one after the other")
    if headers and not remote:
        raise click.UsageError("--header is for URLs, and there is none")
    refuse_parameters(local, said["variations"])
    if not in_place:
        local = [named.path for named in gather(local, include=include, exclude=exclude)]
    daemon = reach(state_dir)
    spec = _spec([*remote, *local], **said)
    job = _named(daemon, files, headers_of(headers), spec) if in_place or remote else _uploaded(daemon, local, spec)
    if not as_json:
        echo(job["id"])
        if not wait and (hold := held_up(daemon)):
            echo(hold.words, err=True)
    if wait:
        job = follow(daemon, job["id"], screen(aside=True), newborn=True)
    if as_json:
        print_json(job)
    sys.exit(exit_code(job) if wait else 0)


def _spec(
    files: Sequence[Path | str],
    *,
    variations: tuple[Json, ...],
    name: str | None,
    priority: int,
    keep_hours: float | None,
    metadata: Json | None,
    webhook: str | None,
    webhook_variations: bool,
    on_unsuitable: str,
    deliver: Json | None,
) -> Json:
    """The job but for its files."""
    return {
        "variations": variations,
        "name": name or _name_after(files),
        "priority": priority,
        "metadata": metadata or {},
        "expires_in": keep_hours * 3600 if keep_hours is not None else None,
        "webhook_url": webhook,
        "webhook_variations": webhook_variations,
        "on_unsuitable": on_unsuitable,
        "deliver": deliver,
    }


def _name_after(files: Sequence[Path | str]) -> str:
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return name_of(files[0])[: 200 - len(more)] + more


def _named(daemon: Client, files: Sequence[Path | str], headers: dict[str, str], spec: Json) -> Json:
    """A job of what is on the daemon's host, or behind URLs."""
    sources: list[Json] = [
        {"path": whole(named)} if isinstance(named, Path) else {"url": named, "headers": headers} for named in files
    ]
    return daemon.name_job(sources, spec)


def _uploaded(daemon: Client, files: Sequence[Path], spec: Json) -> Json:
    from daemon.cli.terminal import transfer

    _refuse_unusable(daemon, files, spec)
    with transfer(screen(aside=True), "Uploading", sum(path.stat().st_size for path in files)) as advance:
        return daemon.upload_job(files, spec, advance)


def _refuse_unusable(daemon: Client, files: Sequence[Path], spec: Json) -> None:
    """A job is of all files or there is none: raises InvalidRequest that tells of all that cannot be part of it, and of
    presets that there are not."""
    reasons = [reason for reason in map(_reason_against, files) if reason]
    if reasons:
        more = [f"and {len(reasons) - MOST_NAMED} more"] if len(reasons) > MOST_NAMED else []
        begun = "; nothing was submitted" if len(files) > 1 else ""
        raise InvalidRequest("; ".join([*reasons[:MOST_NAMED], *more, *_unknown_presets(daemon, spec)]) + begun)


def _unknown_presets(daemon: Client, spec: Json) -> list[str]:
    there = {preset["name"] for preset in daemon.presets()}
    unknown = dict.fromkeys(entry["preset"] for entry in spec["variations"] if entry["preset"] not in there)
    return [f"there is no preset {name!r}: `ffspool presets` lists those there are" for name in unknown]


def _reason_against(path: Path) -> str | None:
    from daemon.errors import BadName
    from daemon.filenames import check

    try:
        check(path.name)
    except BadName as error:
        return str(error)
    if is_folder(path):
        return nothing_meant(path)
    if not is_file(path) or not os.access(path, os.R_OK):
        return f"{path} is not a file that can be read"
    return None if path.stat().st_size else f"{path.name} is empty: leave it out, or fetch it anew"


@click.command()
@status
@has
@click.option("--order", type=click.Choice(["newest", "upcoming", "name", "size", "state"]),
              help="By default newest first; upcoming is for --status queued.")  # fmt: skip
@click.option("--limit", type=click.IntRange(1, 200), default=50, help="Most jobs to list; by default 50.")
@click.option("--cursor", help="Go on where an earlier list ended.")
@state_dir
@as_json
def ls(state_dir: Path | None, as_json: bool, **query: Any) -> None:
    """List jobs, newest first or in another order."""
    daemon = reach(state_dir)
    found = daemon.jobs(**query)
    if as_json:
        print_json(found)
        return
    from daemon.jobs.views import ListedJob
    from daemon.states import ENDED

    jobs = [understood(item, ListedJob) for item in found["items"]]
    _list(jobs)
    if any(job.status not in ENDED for job in jobs) and (hold := held_up(daemon)):
        echo(hold.words, err=True)
    if found["next_cursor"]:
        echo(f"There are more: --cursor {found['next_cursor']}", err=True)
    if not (jobs or query["status"] or query["has"] or query["cursor"]):
        echo("There is no job: `ffspool submit` makes one", err=True)
    if query["status"] == "failed" and not (found["items"] or query["has"] or query["cursor"]):
        _tell_of_failures(daemon)


def _tell_of_failures(daemon: Client) -> None:
    """Says of which completed jobs something failed: to whoever looks for failed ones, nothing did."""
    partly = daemon.jobs(status="completed", has="failed", limit=MOST_COUNTED)
    if count := len(partly["items"]):
        more = " or more" if partly["next_cursor"] else ""
        what = "1 completed job has" if count == 1 else f"{count}{more} completed jobs have"
        echo(f"{what} failures: `ffspool ls --has failed` lists them", err=True)


def _list(jobs: Sequence[ListedJob]) -> None:
    from daemon.cli.terminal import Column, ago, clock, console, percent, standing, stands_still, table
    from daemon.states import ENDED

    mixed = len({job.owner for job in jobs}) > 1
    columns = (
        Column("JOB", 0),
        Column("STATUS", 1),
        Column("DONE", 2, right=True),
        Column("PROGRESS", 4, right=True),
        Column("LEFT", 6, right=True),
        Column("CREATED", 5),
        Column("NAME", 3, least=12, cut=True),
        *([Column("OWNER", 7)] if mixed else []),
    )
    rows = [
        (
            job.id,
            standing(job).append(", paused" if stands_still(job) else ""),
            f"{job.completed_variations}/{job.total_variations}",
            "" if job.status in ENDED and job.progress != 100 else percent(job.progress),  # DONE tells all
            clock(job.eta_seconds) if job.status == "processing" else "",
            ago(job.created_at),
            _title(job),
            str(job.owner or ""),
        )
        for job in jobs
    ]
    table(console(), columns, rows)


def _title(job: ListedJob) -> str:
    """Its name, or its files'."""
    from daemon.jobs.views import named_after

    return job.name or named_after(job.first_source, job.total_sources)


@click.command()
@click.argument("job", type=JobType())
@state_dir
@as_json
def show(job: str, state_dir: Path | None, as_json: bool) -> None:
    """Show one job with its sources and variations."""
    daemon = reach(state_dir)
    found = daemon.job(job)
    if as_json:
        print_json(found)
        return
    from daemon.cli.terminal import page
    from daemon.jobs.views import JobView
    from daemon.states import ENDED

    view = understood(found, JobView)
    hold = held_up(daemon) if view.status not in ENDED else None
    screen().print(page(view, hold.words if hold else None))


@click.command()
@click.argument("job", type=JobType())
@click.argument("variation", required=False, type=PartType("variation"))
@state_dir
@as_json
def log(job: str, variation: str | None, state_dir: Path | None, as_json: bool) -> None:
    """Print the encoder's command and log of a VARIATION, which may be left out when JOB has but one."""
    daemon = reach(state_dir)
    job = daemon.meant(job)
    variation = variation or _only_variation(daemon.job(job))
    words = b"".join(daemon.log(job, variation))
    if as_json:
        print_json({"job": job, "variation": variation, "log": words.decode(errors="replace")})
    elif sys.stdout.isatty():
        echo(words.decode(errors="replace"), nl=False)
    else:
        pour(words)


def _only_variation(job: Json) -> str:
    variations = [variation["id"] for source in job["sources"] for variation in source["variations"]]
    if len(variations) != 1:
        raise click.UsageError(
            f"the job has {len(variations)} variations: name one, as `ffspool show {job['id']}` lists them"
        )
    return str(variations[0])


@click.command()
@click.argument("job", type=JobType())
@state_dir
@as_json
def logs(job: str, state_dir: Path | None, as_json: bool) -> None:
    """Print what the daemon logged of JOB, from the journal of the systemd that runs it here.

    What an encoder said is told by `ffspool log`.
    """
    found = reach(state_dir).job(job)["id"]
    words = ("journalctl", "--no-pager", f"--output={'json' if as_json else 'short-iso'}", f"FFSPOOL_JOB={found}")
    where = "what a daemon logged that systemd runs as a unit; that of any other is where its stderr goes"
    here = own_daemon.log_file(load_settings({"state_dir": state_dir}).state_dir)
    echo(_elsewhere(here, found) if here else f"From the journal, which has {where}.", err=True)
    try:
        os.execvp(words[0], words)
    except FileNotFoundError:
        raise StartupError("there is no journalctl here: look where the daemon's stderr goes") from None


def _elsewhere(place: str, job: str) -> str:
    kept = f"`grep {job} {shlex.quote(place)}` finds this job's lines"
    file = kept if is_file(Path(place)) else "`ffspool serve 2> ffspool.log` would keep it in a file"
    return f"This daemon logs to {place}, as systemd does not run it: {file}. From the journal, what one before said:"


@click.command()
@state_dir
@as_json
def stats(state_dir: Path | None, as_json: bool) -> None:
    """Show how the daemon stands: the queue, counts, disk, and how encoders were ended."""
    found = reach(state_dir).stats()
    if as_json:
        print_json(found)
        return
    from daemon.cli.terminal import console, say, size

    queue, disk = found["queue"], found["disk"]
    shown = console()
    say(shown, f"The queue is {queue['state']}; {_waiting(queue)}")
    say(shown, f"{queue['slots_used']} of {queue['slots']} slots are used{'' if disk else OWN_SLOTS}")
    if disk:  # who sees its own jobs alone is told nothing of the host
        say(shown, f"{size(disk['free_bytes'])} of {size(disk['total_bytes'])} of the disk are free")
    say(shown, f"The encoder is {found['encoder'].partition(' Copyright')[0]}\n")
    _count(found["jobs"], found["variations"])
    if ended := {stage: stop for stage, stop in found["cancellations"].items() if stop["count"]}:
        echo()
        _count_stops(ended)


def _waiting(queue: Json) -> str:
    from daemon.cli.terminal import clock

    jobs = queue["paused_jobs"]
    held = f"; {jobs} job{' stands' if jobs == 1 else 's stand'} paused, until `ffspool resume`" if jobs else ""
    if queue["oldest_seconds"] is None:
        return f"nothing waits{held}"
    verb = "variation waits" if queue["depth"] == 1 else "variations wait"
    return f"{queue['depth']} {verb}, the longest for {clock(queue['oldest_seconds'])}{held}"


def _count(jobs: dict[str, int], variations: dict[str, int]) -> None:
    from daemon.cli.terminal import Column, console, paint, table

    columns = (Column("STATUS", 0), Column("JOBS", 1, right=True), Column("VARIATIONS", 2, right=True))
    rows = [(paint(state), str(jobs.get(state, "")), str(count)) for state, count in variations.items()]
    table(console(), columns, rows)


def _count_stops(stops: dict[str, Json]) -> None:
    from daemon.cli.terminal import Column, console, lasting, table

    columns = (Column("ENDED BY", 0), Column("ENCODERS", 1, right=True), Column("EACH IN", 2, right=True))
    rows = [(stage, str(stop["count"]), lasting(stop["seconds"] / stop["count"])) for stage, stop in stops.items()]
    table(console(), columns, rows)


COMMANDS = (submit, ls, show, log, logs, stats)

"""The commands that speak to a daemon, one for each verb of a job."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from daemon.cli_options import as_json, overwrite, print_json, reach, state_dir, wanted
from daemon.errors import FfspoolError, InvalidRequest

if TYPE_CHECKING:
    from rich.console import Console

    from daemon.client import Client, Json
    from daemon.views import JobSummary, JobView

T = TypeVar("T")

LOOK_EVERY = 0.5  # seconds
PATIENCE = 30.0  # seconds that a daemon being restarted is waited for


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@wanted
@click.option("--path", "in_place", is_flag=True,
              help="Upload nothing: FILES are on the daemon's host, below one of its source roots.")  # fmt: skip
@click.option("--name", help="What to call the job; by default after its files.")
@click.option("--priority", type=int, default=0, help="Higher goes first; by default 0.")
@click.option("--wait", is_flag=True, help="Follow the job to its end; exit code 1 if not all of it is completed.")
@state_dir
@as_json
def submit(
    files: tuple[Path, ...],
    variations: tuple[dict[str, Any], ...],
    in_place: bool,
    name: str | None,
    priority: int,
    wait: bool,
    state_dir: Path | None,
    as_json: bool,
) -> None:
    """Give the daemon a job and print the job's id."""
    daemon = reach(state_dir)
    spec = {"variations": variations, "name": name or _name_after(files), "priority": priority}
    job = _placed(daemon, files, spec) if in_place else _uploaded(daemon, files, spec)
    if not as_json:
        click.echo(job["id"])
    if wait:
        job = _follow(daemon, job["id"], _screen(aside=True))
    if as_json:
        print_json(job)
    if wait:
        sys.exit(_exit_code(job))


def _name_after(files: Sequence[Path]) -> str:
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return files[0].name[: 200 - len(more)] + more


def _placed(daemon: Client, files: Sequence[Path], spec: Json) -> Json:
    return daemon.place_job([str(path.absolute()) for path in files], spec)


def _uploaded(daemon: Client, files: Sequence[Path], spec: Json) -> Json:
    from daemon.names import check
    from daemon.terminal import transfer

    for path in files:
        check(path.name)
        if not path.is_file() or not os.access(path, os.R_OK):
            raise InvalidRequest(f"{path} is not a file that can be read")
    with transfer(_screen(aside=True), "Uploading", sum(path.stat().st_size for path in files)) as advance:
        return daemon.upload_job(files, spec, advance)


@click.command()
@click.option("--status", type=click.Choice(["queued", "processing", "completed", "failed", "cancelled"]),
              help="Only jobs in this state.")  # fmt: skip
@click.option("--limit", type=click.IntRange(1, 200), default=50, help="Most jobs to list; by default 50.")
@click.option("--cursor", help="Go on where an earlier list ended.")
@state_dir
@as_json
def ls(status: str | None, limit: int, cursor: str | None, state_dir: Path | None, as_json: bool) -> None:
    """List jobs, newest first."""
    found = reach(state_dir).jobs(status=status, limit=limit, cursor=cursor)
    if as_json:
        print_json(found)
        return
    _list(_summaries(found["items"]))
    if found["next_cursor"]:
        click.echo(f"There are more: --cursor {found['next_cursor']}", err=True)


def _list(jobs: Sequence[JobSummary]) -> None:
    from daemon.terminal import Column, ago, clock, console, paint, percent, printable, table

    columns = (
        Column("JOB", 0),
        Column("STATUS", 1),
        Column("DONE", 2, right=True),
        Column("PROGRESS", 4, right=True),
        Column("LEFT", 6, right=True),
        Column("CREATED", 5),
        Column("NAME", 3, least=12, cut=True),
    )
    rows = [
        (
            job.id,
            paint(job.status),
            f"{job.completed_variations}/{job.total_variations}",
            percent(job.progress),
            clock(job.eta_seconds) if job.status == "processing" else "",
            ago(job.created_at),
            printable(job.name or ""),
        )
        for job in jobs
    ]
    table(console(), columns, rows)


@click.command()
@click.argument("job")
@state_dir
@as_json
def show(job: str, state_dir: Path | None, as_json: bool) -> None:
    """Show one job with its sources and variations."""
    found = reach(state_dir).job(job)
    if as_json:
        print_json(found)
        return
    from daemon.terminal import console, page

    console().print(page(_view(found)))


@click.command()
@click.argument("job", required=False)
@state_dir
@as_json
def watch(job: str | None, state_dir: Path | None, as_json: bool) -> None:
    """Follow JOB, or else the newest that runs or waits, to its end. Ctrl-C only stops watching."""
    daemon = reach(state_dir)
    job = job or _newest(daemon)
    if job is None:
        click.echo("Nothing runs and nothing waits: `ffspool submit` makes a job.", err=True)
        return
    ended = _follow(daemon, job, _screen(aside=as_json))
    if as_json:
        print_json(ended)
    sys.exit(_exit_code(ended))


def _newest(daemon: Client) -> str | None:
    for status in ("processing", "queued"):
        if items := daemon.jobs(status=status, limit=1)["items"]:
            return str(items[0]["id"])
    return None


@click.command()
@click.argument("job")
@click.argument("variation", required=False)
@state_dir
@as_json
def log(job: str, variation: str | None, state_dir: Path | None, as_json: bool) -> None:
    """Print the encoder's command and log of a VARIATION, which may be left out when JOB has but one."""
    daemon = reach(state_dir)
    variation = variation or _only_variation(daemon.job(job))
    words = b"".join(daemon.log(job, variation))
    if as_json:
        print_json({"job": job, "variation": variation, "log": words.decode(errors="replace")})
    elif sys.stdout.isatty():
        from daemon.terminal import printable

        click.echo(printable(words.decode(errors="replace")), nl=False)
    else:
        click.echo(words, nl=False)


def _only_variation(job: Json) -> str:
    variations = [variation["id"] for source in job["sources"] for variation in source["variations"]]
    if len(variations) != 1:
        raise click.UsageError(f"the job has {len(variations)} variations: name one, as `ffspool show` lists them")
    return str(variations[0])


@click.command()
@click.argument("job")
@click.option("--source", metavar="ID", help="Only this source's variations.")
@click.option("--variation", metavar="ID", help="Only this variation.")
@state_dir
@as_json
def cancel(job: str, source: str | None, variation: str | None, state_dir: Path | None, as_json: bool) -> None:
    """Stop JOB, or a part of it, and keep what is completed."""
    if source and variation:
        raise click.UsageError("name either --source or --variation")
    daemon = reach(state_dir)
    if source:
        receipt = daemon.cancel_source(job, source)
    elif variation:
        receipt = daemon.cancel_variation(job, variation)
    else:
        receipt = daemon.cancel(job)
    if as_json:
        print_json(receipt)
    else:
        click.echo(_receipt(receipt))


def _receipt(receipt: Json) -> str:
    from daemon.terminal import size

    kept = f"{receipt['completed_variations']} of {receipt['total_variations']} completed are kept"
    if receipt["status"] != "cancelled":
        return f"{receipt['id']} is {receipt['status']}: {kept}"
    if not receipt["changed"]:
        return f"{receipt['id']} was cancelled before: {kept}"
    stopped = ", ".join(f"{stop['stage']} in {stop['seconds']:.2f} s" for stop in receipt["stopped"])
    ended = f"; encoders ended: {stopped}; {size(receipt['bytes_freed'])} freed" if stopped else ""
    return f"{receipt['id']} is cancelled: {kept}{ended}"


@click.command()
@click.argument("jobs", nargs=-1, required=True)
@state_dir
def rm(jobs: tuple[str, ...], state_dir: Path | None) -> None:
    """Cancel JOBS and delete all of them, completed files too."""
    daemon = reach(state_dir)
    for job in jobs:
        daemon.delete(job)
        click.echo(f"{job} is deleted")


@click.command()
@click.argument("job")
@click.argument("variation", required=False)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A file or folder; by default the current one.")
@click.option(
    "--extract", is_flag=True, help="Fetch each file instead of one zip, into folders named after the sources."
)
@overwrite
@state_dir
@as_json
def download(
    job: str,
    variation: str | None,
    output: Path | None,
    extract: bool,
    overwrite: bool,
    state_dir: Path | None,
    as_json: bool,
) -> None:
    """Fetch what is completed of JOB as a zip, or the file of one VARIATION."""
    if variation and extract:
        raise click.UsageError("--extract is for a whole job: a variation is one file anyway")
    daemon = reach(state_dir)
    fetch = _fetch_each if extract else _fetch_zip
    fetched = (
        _fetch_one(daemon, job, variation, output, overwrite) if variation else fetch(daemon, job, output, overwrite)
    )
    if as_json:
        print_json({"files": [{"path": str(path), "bytes": size} for path, size in fetched]})
        return
    from daemon.terminal import size as words

    for path, size in fetched:
        click.echo(f"{path}  {words(size)}")


def _fetch_zip(daemon: Client, job: str, output: Path | None, overwrite: bool) -> list[tuple[Path, int]]:
    target = _target(output, f"ffspool-{job}.zip", overwrite)
    return [(target, daemon.download(job, target))]


def _fetch_one(
    daemon: Client, job: str, variation: str, output: Path | None, overwrite: bool
) -> list[tuple[Path, int]]:
    from daemon.names import check

    known = {entry["id"]: entry for source in daemon.job(job)["sources"] for entry in source["variations"]}
    entry = known.get(variation, {"name": variation, "sha256": None})  # of one unknown the daemon tells what is wrong
    target = _target(output, check(entry["name"]), overwrite)
    return [(target, daemon.download_variation(job, variation, target, entry["sha256"]))]


def _fetch_each(daemon: Client, job: str, output: Path | None, overwrite: bool) -> list[tuple[Path, int]]:
    """Lays the files out as in the zip. The daemon's names are checked before they become paths of ours."""
    from daemon.names import check, folders

    sources = daemon.job(job)["sources"]
    wanted = [
        ((output or Path()) / check(folder) / check(entry["name"]), entry)
        for source, folder in zip(sources, folders(source["name"] for source in sources), strict=True)
        for entry in source["variations"]
        if entry["status"] == "completed"
    ]
    if not wanted:
        raise FfspoolError(f"nothing of {job} is completed yet")
    for target, _ in wanted:
        _refuse_existing(target, overwrite)
    fetched = []
    for target, entry in wanted:
        target.parent.mkdir(parents=True, exist_ok=True)
        fetched.append((target, daemon.download_variation(job, entry["id"], target, entry["sha256"])))
    return fetched


def _target(output: Path | None, name: str, overwrite: bool) -> Path:
    target = output / name if output and output.is_dir() else output or Path(name)
    _refuse_existing(target, overwrite)
    return target


def _refuse_existing(target: Path, overwrite: bool) -> None:
    if target.exists() and not overwrite:
        raise InvalidRequest(f"{target} exists already: remove it, name another with -o or add --overwrite")


# Following a job


def _screen(*, aside: bool) -> Console:
    """Where a person looks; `aside` keeps stdout for what a program reads."""
    from daemon.terminal import console

    return console(sys.stderr if aside else sys.stdout)


def _follow(daemon: Client, job: str, screen: Console) -> Json:
    """Shows the job until it has ended, and returns it as it is then."""
    from daemon.states import ENDED
    from daemon.terminal import Follower, tally

    with Follower(screen) as follower:
        while True:
            found = _patiently(daemon, job, follower)
            view = _view(found)
            follower.show(view)
            if view.status in ENDED:
                follower.say(f"{job} is {view.status}: {tally(view)}")
                return found
            time.sleep(LOOK_EVERY)


def _patiently(daemon: Client, job: str, follower: Any) -> Json:
    """The job, from a daemon that may just be starting again."""
    from daemon.client import Broken, NoDaemon

    deadline = time.monotonic() + PATIENCE
    waiting = False
    while True:
        try:
            return daemon.job(job)
        except (NoDaemon, Broken):
            if time.monotonic() > deadline:
                raise
            if not waiting:
                follower.say("The daemon does not answer: waiting for it to come back.")
            waiting = True
            time.sleep(LOOK_EVERY)


def _exit_code(job: Json) -> int:
    return 0 if job["completed_variations"] == job["total_variations"] else 1


def _view(job: Json) -> JobView:
    from daemon.views import JobView

    return _understood(job, JobView)


def _summaries(items: Sequence[Json]) -> list[JobSummary]:
    from daemon.views import JobSummary

    return [_understood(item, JobSummary) for item in items]


def _understood(answer: Json, kind: type[T]) -> T:
    import msgspec

    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        raise FfspoolError(f"the daemon's answer is not understood; is it of another version? {error}") from error


COMMANDS = (submit, ls, show, watch, log, cancel, rm, download)

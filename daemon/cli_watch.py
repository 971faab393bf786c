"""`ffspool watch`, and what else follows a job of the daemon to its end."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from daemon.cli_options import as_json, print_json, reach, state_dir
from daemon.errors import FfspoolError

if TYPE_CHECKING:
    from rich.console import Console

    from daemon.client import Client, Json
    from daemon.terminal import Follower

T = TypeVar("T")

LOOK_EVERY = 0.5  # seconds
PATIENCE = 30.0  # seconds that a daemon being restarted is waited for


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
    ended = follow(daemon, job, screen(aside=as_json))
    if as_json:
        print_json(ended)
    sys.exit(exit_code(ended))


def _newest(daemon: Client) -> str | None:
    for status in ("processing", "queued"):
        if items := daemon.jobs(status=status, limit=1)["items"]:
            return str(items[0]["id"])
    return None


def screen(*, aside: bool = False) -> Console:
    """Where a person looks; `aside` keeps stdout for what a program reads."""
    from daemon.terminal import console

    return console(sys.stderr if aside else sys.stdout)


def follow(daemon: Client, job: str, screen: Console) -> Json:
    """Shows the job until it has ended, and returns it as it is then."""
    from daemon.states import ENDED
    from daemon.terminal import Follower, tally
    from daemon.views import JobView

    with Follower(screen) as follower:
        while True:
            found = _patiently(daemon, job, follower)
            view = understood(found, JobView)
            follower.show(view)
            if view.status in ENDED:
                follower.say(f"{job} is {view.status}: {tally(view)}")
                return found
            time.sleep(LOOK_EVERY)


def _patiently(daemon: Client, job: str, follower: Follower) -> Json:
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


def exit_code(job: Json) -> int:
    """0 when all of it is completed."""
    return 0 if job["completed_variations"] == job["total_variations"] else 1


def understood(answer: Json, kind: type[T]) -> T:
    """The daemon's answer as one of our views."""
    import msgspec

    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        raise FfspoolError(f"the daemon's answer is not understood; is it of another version? {error}") from error

"""Runs `ffspool watch` and `ffspool events`, and follows a job of the daemon to its end for other commands."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from daemon.cli.completion import JobType
from daemon.cli.options import as_json, echo, print_json, reach, state_dir
from daemon.cli.queue_words import Hold, held_up
from daemon.errors import FfspoolError
from daemon.plaintext import json_escaped

if TYPE_CHECKING:
    from rich.console import Console

    from daemon.cli.client import Client, Json
    from daemon.cli.event_stream import Event
    from daemon.cli.follower import Follower

T = TypeVar("T")

LOOK_LEAST = 0.25  # seconds between two looks at a job of which there is news
LOOK_MOST = 5.0  # seconds between two looks at one of which there is none: that it stands still is no event
TRY_AGAIN = 0.5  # seconds between two tries to reach a daemon
PATIENCE = 30.0  # seconds that a daemon being restarted is waited for
WAITING = f"The daemon does not answer: waiting for it to come back, up to {PATIENCE:.0f} s."


@click.command()
@click.argument("job", required=False, type=JobType())
@state_dir
@as_json
def watch(job: str | None, state_dir: Path | None, as_json: bool) -> None:
    """Follow JOB, or else the newest that runs or waits, to its end. Ctrl-C only stops watching."""
    daemon = reach(state_dir)
    job = daemon.meant(job) if job else _newest(daemon)
    if job is None:
        echo(f"Nothing runs and nothing waits: {_what_was(daemon)}", err=True)
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


def _what_was(daemon: Client) -> str:
    """Tells of the newest job, which may have ended before anybody looked."""
    for job in daemon.jobs(limit=1)["items"]:
        return f"the newest job, {job['id']}, is {job['status']}, and `ffspool show {job['id']}` tells of it."
    return "`ffspool submit` makes a job."


def screen(*, aside: bool = False) -> Console:
    """Returns where a person looks; `aside` keeps stdout for what a program reads."""
    from daemon.cli.terminal import console

    return console(sys.stderr if aside else sys.stdout)


def follow(daemon: Client, job: str, screen: Console, *, newborn: bool = False) -> Json:
    """Shows the job until it has ended, and returns it as it is then. Of a `newborn` one all is told."""
    from daemon.cli import delivering
    from daemon.cli.delivering import is_settled
    from daemon.cli.follower import Follower
    from daemon.jobs.tally import how_it_ended
    from daemon.jobs.views import JobView
    from daemon.states import ENDED

    news = _news(daemon, job)
    with Follower(screen, newborn=newborn) as follower, _farewell(job, follower):
        queue = _QueueLooker(daemon, follower)
        while True:
            news.clear()  # before it is read: what changes from here on is read again
            found = _patiently(daemon, job, follower)
            view = understood(found, JobView)
            follower.show(view)
            if view.status in ENDED and is_settled(view):
                follower.say(f"{job} {how_it_ended(view)}{delivering.tally(view)}")
                if view.error:
                    follower.say(f"{view.error.splitlines()[0]}; `ffspool show {job}` tells more")
                return found
            time.sleep(LOOK_LEAST)
            if not news.wait(LOOK_MOST - LOOK_LEAST):
                queue.look()


@contextmanager
def _farewell(job: str, follower: Follower) -> Iterator[None]:
    """Whoever stops watching with Ctrl-C is told that the job does not stop; who is left by the daemon, how to go
    on."""
    from daemon.cli.client import NoDaemon
    from daemon.errors import Broken

    try:
        yield
    except (NoDaemon, Broken):
        gone = f"The daemon did not come back within {PATIENCE:.0f} s. Once it is started again {job} goes on"
        follower.say(f"{gone}, and what is completed stays: `ffspool watch {job}` follows it again.")
        raise
    except KeyboardInterrupt:
        on = f"stays paused: `ffspool resume {job}` lets it go on" if follower.is_paused else "goes on"
        again = f"`ffspool watch {job}` follows it again, `ffspool cancel {job}` ends it."
        follower.say(f"{job} {on}{',' if follower.is_paused else ':'} {again}")
        raise


def _news(daemon: Client, job: str) -> threading.Event:
    """Is set whenever something of the job may have changed.

    A thread listens, so that what piles up while the job is being read and shown is one piece of news.
    """
    news = threading.Event()

    def listen() -> None:
        # Whoever reads the job is told the same, and tells it. A closed client, a RuntimeError, is the command's end.
        with suppress(FfspoolError, RuntimeError):
            for _ in listened(daemon, job, None, lost=news.set):
                news.set()

    threading.Thread(target=listen, daemon=True).start()
    return news


def listened(daemon: Client, job: str | None, after: int | None, lost: Callable[[], None]) -> Iterator[Event]:
    """Yields the events of a job, or of all, from the one behind `after` on, for ever: a lost daemon is waited for.

    The first one, and the first after each connection that was lost, is `OPEN`. `lost` is called as a wait begins.
    Raises NoDaemon or Broken when it took too long, and Refused when the daemon knows no such job.
    """
    from daemon.cli.client import NoDaemon
    from daemon.errors import Broken

    since: float | None = None
    while True:
        try:
            for event in daemon.events(job, after):
                since = None
                after = after if event.id is None else event.id
                yield event
        except (NoDaemon, Broken):
            if since is not None and time.monotonic() - since > PATIENCE:
                raise
        if since is None:
            since = time.monotonic()
            lost()
        time.sleep(TRY_AGAIN)


class _QueueLooker:
    """Tells whoever waits that the queue stands, and why, as soon as it is made and whenever that changed: what never
    begins needs a reason."""

    def __init__(self, daemon: Client, follower: Follower) -> None:
        self._daemon, self._follower = daemon, follower
        self._told: Hold | None = None
        self.look()

    def look(self) -> None:
        hold = held_up(self._daemon)
        if hold and hold != self._told:
            (self._follower.say if hold.drains else self._follower.note)(hold.words)
        elif self._told and not hold:
            self._follower.clear()
        self._told = hold


def _patiently(daemon: Client, job: str, follower: Follower) -> Json:
    """The job, from a daemon that may just be starting again."""
    from daemon.cli.client import NoDaemon
    from daemon.errors import Broken

    deadline = time.monotonic() + PATIENCE
    waiting = False
    while True:
        try:
            found = daemon.job(job)
            if waiting:
                follower.clear()
            return found
        except (NoDaemon, Broken):
            if time.monotonic() > deadline:
                raise
            if not waiting:
                follower.note(WAITING)
            waiting = True
            time.sleep(TRY_AGAIN)


@click.command()
@click.argument("job", required=False, type=JobType())
@click.option("--after", metavar="ID", type=click.IntRange(min=0), help="Begin behind this event; 0 tells all.")
@state_dir
@as_json
def events(job: str | None, after: int | None, state_dir: Path | None, as_json: bool) -> None:  # noqa: ARG001 - it is JSON
    """Print what happens, to JOB or to all, as one line of JSON for each event, until Ctrl-C.

    Without --after it begins now. Changes have an id, and go on behind the last one when the daemon restarts; progress
    has none and is thinned out. The events of a JOB end when it is deleted.
    """
    from daemon.cli.event_stream import OPEN

    for event in listened(reach(state_dir), job, after, lost=lambda: echo(WAITING, err=True)):
        if event.type != OPEN:
            echo(_line(event))
        if job is not None and event.type == "deleted":
            return


def _line(event: Event) -> str:
    import msgspec

    told = {"id": event.id, "type": event.type, "data": msgspec.Raw(event.data)}
    return json_escaped(msgspec.json.encode(told).decode())


def exit_code(job: Json) -> int:
    """Returns 0 when all of it is completed, but for what was skipped, and delivered where that was asked; else 1."""
    undelivered = job["deliveries"] and job["deliveries"]["pending"] + job["deliveries"]["failed"]
    return 0 if job["outcome"] == "all" and not undelivered else 1


def understood(answer: Json, kind: type[T]) -> T:
    """Returns the daemon's answer as one of our views."""
    import msgspec

    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        raise FfspoolError(f"the daemon's answer is not understood; is it of another version? {error}") from error

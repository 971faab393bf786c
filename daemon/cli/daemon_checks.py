"""Makes the checks of `ffspool doctor` that a running daemon answers: of this host, or of another over HTTP."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from daemon.cli import client, own_daemon, queue_words
from daemon.cli.checks import Check
from daemon.database.file import peek
from daemon.database.store import load_queries
from daemon.errors import FfspoolError, StartupError
from daemon.paths import Paths, is_held
from daemon.settings import Settings, client_environment

NO_DAEMON = "none runs on this state dir; `ffspool serve` starts one"


def elsewhere(state_dir: Path) -> str | None:
    """Returns the URL that is set, where it names another daemon than that of the state dir."""
    url = client_environment()[0]
    if url is None:
        return None
    own = own_daemon.address(state_dir)
    return None if own and own == url.rstrip("/") else url


def host(settings: Settings) -> Check:
    """Says what is looked at: whoever sets FFSPOOL_URL may mean another host."""
    here = f"{platform.node()}, with the state dir {settings.state_dir}"
    if url := elsewhere(settings.state_dir):
        here += (
            f", and not that of {url} (FFSPOOL_URL): what that daemon tells by HTTP comes last, and its encoder, "
            "settings and database `ffspool doctor` looks at there"
        )
    return Check(name="host", ok=True, found=here)


def running(settings: Settings) -> Iterator[Check]:
    """Yields what the daemon tells that commands would speak with. One that does not run is no fault; one that does
    must be ready and must know us."""
    try:
        daemon = client.find(settings.state_dir, *client_environment())
    except client.NoDaemon:
        yield Check(name="daemon", ok=True, found=NO_DAEMON)
        yield _outputs(_lost_by_database(settings.state_dir))
        return
    with closing(daemon):
        yield (ready := _ready(daemon, settings))
        if ready.ok:
            for look in (_figures, _webhooks):
                yield from _allowed(look, daemon, settings)


def _ready(daemon: client.Client, settings: Settings) -> Check:
    far = elsewhere(settings.state_dir)
    try:
        told = daemon.ready()
        daemon.jobs(limit=1)
    except FfspoolError as error:
        advice = f"see whether it runs at {far}" if far else "look at its log, or start it again: `ffspool serve`"
        return Check(name="daemon", ok=False, found=str(error), advice=advice)
    if far is None:
        return Check(name="daemon", ok=True, found=f"ready{_pid(settings)}")
    sandbox = told["sandbox"]
    shut = "in a sandbox" if sandbox["active"] else f"without a sandbox ({sandbox['reason']})"
    return Check(name="daemon", ok=True, found=f"ready at {far}: {told['encoder'].partition(' Copyright')[0]}, {shut}")


def _pid(settings: Settings) -> str:
    """Says which process it is, where it is of this state dir."""
    lock = Paths(settings.state_dir).lock
    return f" (pid {lock.read_text()}, which `kill` stops)" if is_held(lock) else ""


Look = Callable[[client.Client, Settings], Iterator[Check]]


def _allowed(look: Look, daemon: client.Client, settings: Settings) -> Iterator[Check]:
    """What a client's token may not read is not looked at."""
    try:
        yield from look(daemon, settings)
    except client.Refused as refusal:
        if refusal.status != 403:
            raise


def _figures(daemon: client.Client, settings: Settings) -> Iterator[Check]:
    stats = daemon.stats()
    if hold := queue_words.held_up(daemon):
        yield Check(name="queue", ok=True, found=hold.words)
    if (disk := stats["disk"]) and elsewhere(settings.state_dir):
        yield _disk_there(disk)
    yield _outputs(stats["queue"].get("lost_variations", 0))


def _disk_there(disk: client.Json) -> Check:
    from daemon.cli.terminal import size

    found = f"{size(disk['free_bytes'])} of {size(disk['total_bytes'])} are free where the daemon is"
    ill = f"; of whatever is to start {disk['waiting']}" if disk["waiting"] else ""
    return Check(name="its disk", ok=not ill, found=found + ill, advice="free some space there")


def _lost_by_database(state_dir: Path) -> int:
    try:
        return sum(row["count"] for row in peek(Paths(state_dir).database, load_queries()["lost_variations"]))
    except StartupError:  # the database's own check tells of it
        return 0


def _outputs(lost: int) -> Check:
    """Tells of completed variations whose file is gone, as a database leaves that was restored without its spool."""
    if not lost:
        return Check(name="outputs", ok=True, found="no file of a completed variation is known to be lost")
    what = "the file of 1 completed variation is" if lost == 1 else f"the files of {lost} completed variations are"
    return Check(
        name="outputs",
        ok=False,
        found=f"{what} gone from the disk",
        advice="`ffspool ls` says of which jobs: submit those anew to have them again, or `ffspool rm` them",
    )


def _webhooks(daemon: client.Client, _: Settings) -> Iterator[Check]:
    yield webhooks(daemon)


def webhooks(daemon: client.Client) -> Check:
    """Tells what keeps messages from their receivers: a filter before the daemon looks like a receiver that is gone."""
    waiting = [one for one in daemon.deliveries(status="pending", limit=200)["items"] if one["last_error"]]
    given_up = daemon.deliveries(status="failed", limit=200)["items"]
    if not (waiting or given_up):
        found = "none of the last 200 messages that are due has failed, and none was given up"
        return Check(name="webhooks", ok=True, found=found)
    counts = ((waiting, "could not be sent so far"), (given_up, "failed and will not be sent again"))
    told = ", ".join(f"{len(those)} {words}" for those, words in counts if those)
    oldest = min([*waiting, *given_up], key=lambda one: str(one["created_at"]))
    receiver = urlsplit(str(oldest["url"]))  # what follows may be a secret
    return Check(
        name="webhooks",
        ok=False,
        found=f"{told}; the oldest, to {receiver.scheme}://{receiver.netloc}/…: {oldest['last_error']}",
        advice="see whether that URL answers from this host, and whether the unit or a firewall lets it out "
        "(`systemctl show ffspool -p IPAddressDeny`); `ffspool webhooks replay` sends one again",
    )

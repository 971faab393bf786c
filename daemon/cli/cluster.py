"""Holds the commands about other machines that work for a daemon."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from daemon.cli.answers import tell
from daemon.cli.options import as_json, echo, ffmpeg, load_settings, load_tables, print_json, reach, state_dir
from daemon.errors import StartupError

if TYPE_CHECKING:
    from daemon.cli.client import Json

log = logging.getLogger(__name__)

GIB = 1024**3


@click.group()
def cluster() -> None:
    """Invite machines to work for the daemon of this host, or take that back."""


@cluster.command()
@click.argument("name")
@click.option("-o", "--output", "to", type=click.Path(path_type=Path), metavar="FILE",
              help="Write it there, where nothing is yet; else it is printed.")  # fmt: skip
@state_dir
def invite(name: str, to: Path | None, state_dir: Path | None) -> None:
    """Write an invitation for a machine that is to be called NAME: bring it there, and tell it nobody.

    Whoever has it can run programs on every machine of the cluster.
    """
    from importlib.metadata import version

    import msgspec

    from daemon.paths import Paths

    found = load_tables().cluster
    if found is None:
        raise StartupError("ffspool.toml has no table [cluster]: say there where machines come to, by `listen`")
    guests = _guests(Paths(load_settings({"state_dir": state_dir}).state_dir))
    addresses = tuple(map(_bracketed, found.addresses)) or _addresses(found.listen)
    with _file_for(to) as write:
        invited = guests.invite(name, version("ffspool"), addresses, found.port, found.port_of_files)
        write(msgspec.json.format(msgspec.json.encode(invited), indent=1).decode() + "\n")
    if to:
        echo(f"{to} invites {name}: bring it there by a way that you trust, and tell it nobody")


@contextlib.contextmanager
def _file_for(to: Path | None) -> Iterator[Callable[[str], object]]:
    """What writes to a new file, which does not stay if nothing comes of it, or prints. Raises StartupError."""
    if to is None:
        yield lambda words: echo(words, nl=False)
        return
    try:
        descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise StartupError(f"{to} is there already: name another file, or remove it if nobody needs it") from error
    except OSError as error:
        raise StartupError(f"{to} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "w") as file:
            yield file.write
    except BaseException:
        to.unlink()
        raise


@cluster.command()
@click.argument("name")
@state_dir
def revoke(name: str, state_dir: Path | None) -> None:
    """Take the invitation of the machine NAME back: it is sent away, and not taken again."""
    from daemon.paths import Paths

    _guests(Paths(load_settings({"state_dir": state_dir}).state_dir)).revoke(name)
    echo(f"{name} is not invited any more")


def _guests(paths: Any) -> Any:
    from daemon.cluster.engines import refuse_bare

    refuse_bare()
    if not paths.state.is_dir():
        raise StartupError(f"there is no state dir {paths.state}: start the daemon once, or name it by --state-dir")
    from daemon.cluster.invitations import Guests

    return Guests(paths.cluster)


def _bracketed(address: str) -> str:
    """An address as it stands before a port."""
    return f"[{address}]" if ":" in address and not address.startswith("[") else address


def _addresses(listen: str) -> tuple[str, ...]:
    """What other machines may find this host by: the address it listens on, or else its name and its own address."""
    host = listen.removeprefix("tls://").rpartition(":")[0]
    if host not in {"0.0.0.0", "[::]"}:
        return (host,)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking, contextlib.suppress(OSError):
        asking.connect(("192.0.2.1", 9))  # nothing is sent: it tells from which address that would be
        return (asking.getsockname()[0], socket.gethostname())
    return (socket.gethostname(),)


@click.command()
@click.argument("invitation", type=click.Path(path_type=Path))
@click.option("--slots", type=click.IntRange(1, 1024), help="Encodes at once; by default one for each core.")
@click.option("--work", type=click.Path(path_type=Path), default=Path("ffspool-worker"), show_default=True,
              help="A folder of its own: sources are kept there, and what is being made.")  # fmt: skip
@click.option("--cache-gb", type=click.FloatRange(0, 1e6), default=20.0, show_default=True,
              help="Most GiB of sources that are kept for the next variation of each.")  # fmt: skip
@click.option("--map", "shared", multiple=True, metavar="THERE=HERE",
              help="A folder of the daemon's host that is seen here, too; may be repeated.")  # fmt: skip
@click.option("--sandbox", type=click.Choice(["require", "auto", "off"]), default="auto", show_default=True,
              help="Whether encoders are shut in.")  # fmt: skip
@ffmpeg
def worker(
    invitation: Path,
    slots: int | None,
    work: Path,
    cache_gb: float,
    shared: tuple[str, ...],
    sandbox: str,
    ffmpeg: str | None,
) -> None:
    """Work for the daemon that wrote INVITATION, until Ctrl-C or until that is gone."""
    from importlib.metadata import version

    from daemon import host
    from daemon.cluster.engines import limits, refuse_bare

    refuse_bare()
    from daemon.cluster import invitations
    from daemon.cluster.dask_nodes import hush
    from daemon.cluster.worker import Means, serve

    settings = load_settings({"ffmpeg": ffmpeg})
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.ERROR)
    hush(silent="distributed.client")  # which tells of a daemon that is gone by a trace
    means = Means(
        folder=work.resolve(),
        slots=slots or host.cores(),
        cache_bytes=int(cache_gb * GIB),
        shared=_shared(shared),
        ffmpeg=settings.ffmpeg,
        sandbox=cast(Any, sandbox),
        readable=tuple(map(str, settings.sandbox_read)),
        limits=limits(settings),
        grace=settings.grace,
    )
    asyncio.run(_until_told(serve(invitations.read(invitation), means, version("ffspool"))))


def _shared(words: tuple[str, ...]) -> dict[str, Path]:
    found = {}
    for word in words:
        there, _, here = word.partition("=")
        if not there.startswith("/") or not Path(here).is_absolute():
            raise click.UsageError(f"--map {word!r}: give whole paths, such as /media=/mnt/media")
        found[there] = Path(here)
    return found


async def _until_told(serving: Any) -> None:
    """Ends at SIGTERM and Ctrl-C; its encoders end first, and the daemon has them made elsewhere."""
    task = asyncio.ensure_future(serving)

    def leave() -> None:
        if not task.cancelling():  # told again, it would leave its work behind
            log.info("it ends once what it has made so far is brought home, in half a minute at most")
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, leave)
    with contextlib.suppress(asyncio.CancelledError):
        await task


@click.group(invoke_without_command=True)
@click.pass_context
def machines(context: click.Context) -> None:
    """See which machines work for the daemon, let one finish and rest, or forget one."""
    if context.invoked_subcommand is None:
        context.invoke(ls)


@machines.command()
@state_dir
@as_json
def ls(state_dir: Path | None, as_json: bool) -> None:
    """List the machines that were invited, and how they stand."""
    found = reach(state_dir).machines()
    if as_json:
        print_json(found)
        return
    from daemon.cli.terminal import Column, console, table

    columns = (Column("MACHINE", 0), Column("STATE", 1), Column("SLOTS", 2, right=True), Column("CORES", 4, right=True),
               Column("FREE", 5, right=True), Column("SINCE", 3), Column("WHY", 6, least=12))  # fmt: skip
    table(console(), columns, [_row(one) for one in found["items"]])


def _row(one: Json) -> tuple[str, ...]:
    from daemon.cli.terminal import ago, size

    if one["slots"] is None:
        return (one["name"], one["state"], "", "", "", "", one["why"] or ("it was drained" if one["drained"] else ""))
    used, since = f"{one['slots_used']}/{one['slots']}", ago(datetime.fromisoformat(one["since"]))
    return (one["name"], one["state"], used, str(one["cores"]), size(one["free_bytes"]), since, one["why"] or "")


@machines.command()
@click.argument("name")
@state_dir
@as_json
def drain(name: str, state_dir: Path | None, as_json: bool) -> None:
    """Give the machine NAME nothing more until `resume`, whatever is started anew; what it has it finishes."""
    tell(reach(state_dir).drain_machine(name), as_json, _standing)


@machines.command()
@click.argument("name")
@state_dir
@as_json
def resume(name: str, state_dir: Path | None, as_json: bool) -> None:
    """Give the machine NAME work again."""
    tell(reach(state_dir).resume_machine(name), as_json, _standing)


@machines.command()
@click.argument("name")
@state_dir
@as_json
def forget(name: str, state_dir: Path | None, as_json: bool) -> None:
    """Forget the machine NAME, which is away for good: its invitation counts no more."""
    reach(state_dir).forget_machine(name)
    tell({"name": name, "forgotten": True}, as_json, lambda _: f"{name} is not invited any more")


def _standing(answer: Json) -> str:
    if answer["slots"] is None:
        return f"{answer['name']} is away, and gets {'nothing' if answer['drained'] else 'work'} when it is back"
    return f"{answer['name']} is {answer['state']}, with {answer['slots_used']} of {answer['slots']} slots in use"


COMMANDS = (cluster, worker, machines)

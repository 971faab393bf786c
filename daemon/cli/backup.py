"""Runs `ffspool backup`: copies the database while the daemon works, or without one."""

from __future__ import annotations

from pathlib import Path

import click

from daemon.cli.options import as_json, echo, load_settings, print_json, state_dir


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@state_dir
@as_json
def backup(file: Path, state_dir: Path | None, as_json: bool) -> None:
    """Copy the database, with all jobs but not their files, to the new FILE. No daemon need run, or stop.

    To restore it: stop the daemon, move ffspool.db out of the state dir, with ffspool.db-wal and ffspool.db-shm where a
    killed daemon left them, put FILE there as ffspool.db and start the daemon.
    """
    from daemon.database.file import back_up
    from daemon.errors import InvalidRequest
    from daemon.paths import Paths
    from daemon.settings import client_environment

    if client_environment()[0] and state_dir is None:
        raise InvalidRequest(
            "FFSPOOL_URL names a daemon, and a backup is of a database on this host: run it there, or name its state "
            "dir by --state-dir"
        )
    size = back_up(Paths(load_settings({"state_dir": state_dir}).state_dir).database, file)
    if as_json:
        print_json({"file": str(file), "bytes": size})
    else:
        echo(f"{file}: {size} bytes")

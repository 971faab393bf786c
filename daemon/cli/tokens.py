"""Holds the commands about clients of the daemon: their tokens, and what was completed for each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.callers import Right
from daemon.cli.answers import tell
from daemon.cli.options import as_json, echo, print_json, reach, state_dir
from daemon.errors import InvalidRequest

if TYPE_CHECKING:
    from daemon.cli.client import Json

USUAL = "read,submit,control"


@click.group(invoke_without_command=True)
@click.pass_context
def tokens(context: click.Context) -> None:
    """Give clients tokens of their own, see what they may, or revoke them.

    Each sees and touches only the jobs that it made, but for one with the right admin.
    """
    if context.invoked_subcommand is None:
        context.invoke(ls)


@tokens.command()
@state_dir
@as_json
def ls(state_dir: Path | None, as_json: bool) -> None:
    """List the tokens but for their secrets, of which only hashes are kept."""
    found = reach(state_dir).tokens()
    if as_json:
        print_json(found)
        return
    from daemon.cli.terminal import Column, console, size, table

    columns = (Column("TOKEN", 0), Column("MAY", 1), Column("QUEUED", 2, right=True), Column("STORED", 3, right=True),
               Column("ENCODES", 4, right=True), Column("PRIORITY", 5, right=True),
               Column("CREATED", 6))  # fmt: skip
    rows = [
        (one["name"], ",".join(one["rights"]), _most(one["max_queued"]),
         "any" if one["max_stored_bytes"] is None else size(one["max_stored_bytes"]), _most(one["max_encodes"]),
         _most(one["max_priority"]), one["created_at"][:10])
        for one in found["items"]
    ]  # fmt: skip
    table(console(), columns, rows)


def _most(limit: int | None) -> str:
    return "any" if limit is None else str(limit)


@tokens.command()
@click.argument("name")
@click.option("--can", metavar="RIGHTS", default=USUAL, help=f"Of read, submit, control and admin; by default {USUAL}.")
@click.option("--max-queued", type=click.IntRange(1), metavar="N", help="Most variations in the queue.")
@click.option("--max-stored-bytes", type=click.IntRange(1), metavar="BYTES", help="Most bytes of its jobs and uploads.")
@click.option(
    "--max-encodes", type=click.IntRange(1), metavar="N", help="Most of its variations that are encoded at once."
)
@click.option("--max-priority", type=click.IntRange(-1000, 1000), metavar="N", help="Highest priority of its jobs.")
@state_dir
@as_json
def add(name: str, can: str, state_dir: Path | None, as_json: bool, **limits: int | None) -> None:
    """Make a token called NAME and print it: this once, for only its hash is kept.

    What is made with it belongs to NAME, also after the token was revoked and another of that name was made.
    """
    tell(reach(state_dir).add_token(name, _rights(can), limits), as_json, lambda answer: str(answer["token"]))


def _rights(text: str) -> list[str]:
    rights = [word.strip() for word in text.split(",") if word.strip()]
    known = [str(right) for right in Right]
    if strange := [word for word in rights if word not in known]:
        raise InvalidRequest(f"--can {strange[0]!r} is no right: there are {', '.join(known)}")
    if not rights:
        raise InvalidRequest(f"--can needs a right: there are {', '.join(known)}")
    return rights


@tokens.command()
@click.argument("name")
@state_dir
@as_json
def revoke(name: str, state_dir: Path | None, as_json: bool) -> None:
    """Have the token called NAME be refused from now on; its jobs stay, and go on."""
    reach(state_dir).revoke_token(name)
    tell({"name": name, "revoked": True}, as_json, lambda _: f"{name} is revoked")


@click.command()
@click.option("--from", "since", metavar="MONTH", help="The first, such as 2026-01; by default that of all.")
@click.option("--to", "until", metavar="MONTH", help="The last; by default this one.")
@click.option("--token", metavar="NAME", help="Only of this token.")
@state_dir
@as_json
def usage(since: str | None, until: str | None, token: str | None, state_dir: Path | None, as_json: bool) -> None:
    """Tell what was completed by token and month. It is kept when jobs expire."""
    found = reach(state_dir).usage(since, until, token)
    if as_json:
        print_json(found)
        return
    from daemon.cli.terminal import Column, console, table

    columns = (Column("MONTH", 0), Column("TOKEN", 1), Column("ENCODES", 2, right=True),
               Column("OUTPUT", 3, right=True), Column("BYTES", 4, right=True),
               Column("CPU", 5, right=True))  # fmt: skip
    table(console(), columns, [_row(one) for one in found["items"]])
    if any(one["token"] is None for one in found["items"]):
        echo("-: by the daemon's own token, and of watched folders", err=True)


def _row(one: Json) -> tuple[Any, ...]:
    from daemon.cli.terminal import size

    seconds = (f"{one[what]:.1f} s" for what in ("output_seconds", "cpu_seconds"))
    return (
        one["month"],
        one["token"] or "-",
        str(one["encodes"]),
        next(seconds),
        size(one["output_bytes"]),
        next(seconds),
    )


COMMANDS = (tokens, usage)

"""Holds the commands about webhooks: what was sent, what could not be, and the secret that signs it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from daemon.cli.answers import each, tell
from daemon.cli.options import as_json, echo, print_json, reach, state_dir

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daemon.cli.client import Json
    from daemon.webhooks.outbox import Delivery


@click.group()
def webhooks() -> None:
    """See what webhooks were sent, send them again, show or change their secret."""


@webhooks.command()
@click.option("--job", metavar="ID", help="Only those of this job.")
@click.option("--status", type=click.Choice(["pending", "delivered", "failed", "disabled"]), help="Only these.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, help="Most to list; by default 50.")
@click.option("--cursor", help="Go on where an earlier list ended.")
@state_dir
@as_json
def deliveries(
    job: str | None, status: str | None, limit: int, cursor: str | None, state_dir: Path | None, as_json: bool
) -> None:
    """List deliveries, newest first."""
    found = reach(state_dir).deliveries(job=job, status=status, limit=limit, cursor=cursor)
    if as_json:
        print_json(found)
        return
    from daemon.cli.watch import understood
    from daemon.webhooks.outbox import Delivery

    _list([understood(item, Delivery) for item in found["items"]])
    if found["next_cursor"]:
        echo(f"There are more: --cursor {found['next_cursor']}", err=True)


def _list(found: Sequence[Delivery]) -> None:
    from daemon.cli.terminal import Column, ago, console, table

    columns = (
        Column("DELIVERY", 0),
        Column("STATUS", 1),
        Column("TRIES", 4, right=True),
        Column("TYPE", 2),
        Column("JOB", 5),
        Column("CREATED", 6),
        Column("TO", 3, least=16, cut=True),
        Column("ERROR", 7, least=12),
    )
    rows = [
        (
            one.id,
            one.status,
            str(one.attempts),
            one.type,
            one.job,
            ago(one.created_at),
            one.url,
            one.last_error or "",
        )
        for one in found
    ]
    table(console(), columns, rows)


@webhooks.command()
@click.argument("deliveries", nargs=-1, required=True)
@state_dir
@as_json
def replay(deliveries: tuple[str, ...], state_dir: Path | None, as_json: bool) -> None:
    """Send DELIVERIES again, whatever became of them."""
    each(deliveries, reach(state_dir).replay, as_json, lambda answer: f"{answer['id']} is sent again")


@webhooks.command()
@state_dir
@as_json
def secret(state_dir: Path | None, as_json: bool) -> None:
    """Print the secret that messages are signed with."""
    tell(reach(state_dir).webhook_secret(), as_json, lambda answer: str(answer["secret"]))


@webhooks.command()
@state_dir
@as_json
def rotate(state_dir: Path | None, as_json: bool) -> None:
    """Make a new secret and print it. The one before signs beside it for a day."""
    tell(reach(state_dir).rotate_webhook_secret(), as_json, _rotated)


def _rotated(answer: Json) -> str:
    return f"{answer['secret']}\nThe secret before it signs too until {answer['previous_expires_at']}."

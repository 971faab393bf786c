"""Says on the command line where results are brought, and tells of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from daemon.cli.folders import is_folder, whole
from daemon.media_types import MEDIA_TYPES

if TYPE_CHECKING:
    from daemon.jobs.delivery_views import DeliveryView
    from daemon.jobs.views import JobView

F = TypeVar("F", bound=Callable[..., Any])


class FolderOrUrl(click.Path):
    """Takes a path, or a URL as it stands."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if "://" in str(value):
            return value
        found = Path(str(super().convert(value, param, ctx)))
        if found.suffix.lower() in MEDIA_TYPES and not str(value).endswith("/") and not is_folder(found):
            meant = f"--to {shlex.quote(str(found.parent))} --to-name {shlex.quote(found.name)}"
            self.fail(f"{value} is the name of a file, and of a folder is asked: type {meant}, or {value}/", param, ctx)
        return found


OPTIONS = (
    click.option("--to", metavar="FOLDER|URL", type=FolderOrUrl(),
                 help="Have results delivered there: on the daemon's host, below an output root of it, or to a URL."),
    click.option("--to-name", metavar="TEMPLATE",
                 help="What they are called there, such as '{stem}_{height}p.{ext}'; by default as in the job."),
    click.option("--conflict", type=click.Choice(["fail", "number", "skip", "overwrite"]),
                 help="What becomes of a result where something has its name there; by default its delivery fails."),
    click.option("--drop", is_flag=True, help="Keep no copy in the daemon of what is delivered."),
)  # fmt: skip


def delivering(command: F) -> F:
    """Gives a command the options that say where results are brought; it gets them as `deliver`, None for nowhere."""

    @wraps(command)
    def run(
        *arguments: Any, to: Path | str | None, to_name: str | None, conflict: str | None, drop: bool, **more: Any
    ) -> Any:
        how = [name for name, given in (("--to-name", to_name), ("--conflict", conflict), ("--drop", drop)) if given]
        if to is None and how:
            says = f"{how[0]} says" if len(how) == 1 else f"{', '.join(how[:-1])} and {how[-1]} say"
            raise click.UsageError(f"{says} how results are delivered: --to says where")
        said = {"name": to_name, "conflict": conflict, "keep": False if drop else None}
        said = {name: value for name, value in said.items() if value is not None}
        deliver = None if to is None else {**_place(to), **said}
        return command(*arguments, deliver=deliver, **more)

    for option in reversed(OPTIONS):
        run = option(run)
    return run  # type: ignore[return-value]


def _place(to: Path | str) -> dict[str, str]:
    return {"url": to} if isinstance(to, str) else {"folder": whole(to)}


def told(delivery: DeliveryView) -> tuple[str, str]:
    """Says how a delivery stands, and in which colour."""
    if delivery.status == "delivered":
        was = "was there already, and is left: " if delivery.kept else "delivered to "
        return f"{was}{delivery.to}{', and no copy is kept here' if delivery.dropped else ''}", "green"
    if delivery.status == "failed":
        return f"not delivered: {delivery.error}", "red"
    waits = f"not delivered yet: {delivery.error}" if delivery.error else f"to be delivered to {delivery.to or '.'}"
    return waits, "yellow" if delivery.error else "dim"


def deliveries(job: JobView) -> Iterator[tuple[str, DeliveryView]]:
    """Yields a name and the delivery for each variation that is brought somewhere."""
    for source in job.sources:
        for variation in source.variations:
            if delivery := variation.delivery or None:
                yield variation.name, delivery


def is_settled(job: JobView) -> bool:
    """Tells whether nothing of the job is still on its way to where it is wanted."""
    return job.deliveries is None or not job.deliveries.pending


def tally(job: JobView) -> str:
    """Counts in words what was delivered: `, 3 delivered, 1 not delivered`; nothing where nothing is."""
    if job.deliveries is None:
        return ""
    counts = (("on their way", job.deliveries.pending), ("delivered", job.deliveries.delivered),
              ("not delivered", job.deliveries.failed))  # fmt: skip
    return "".join(f", {count} {words}" for words, count in counts if count)

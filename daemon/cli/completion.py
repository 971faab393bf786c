"""Completes what the daemon knows on the command line: jobs and variations. Without a daemon it offers nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from daemon.errors import FfspoolError

if TYPE_CHECKING:
    from daemon.cli.client import Client

MOST = 50  # jobs that are offered, newest first


class JobType(click.ParamType[str]):
    """Takes what References knows a job by."""

    name = "job"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        try:
            with _daemon(ctx) as daemon:
                jobs = daemon.jobs(limit=MOST)["items"]
        except FfspoolError:
            return []
        named = [("last", "the newest job")] if jobs else []
        return _items([*named, *_called(jobs, lambda job: job["name"] or job["first_source"])], incomplete)


class PartType(click.ParamType[str]):
    """Takes what References knows a source or a variation by, of the job that stands before it."""

    name = "id"

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        try:
            with _daemon(ctx) as daemon:
                job = daemon.job(ctx.params.get("job") or ctx.params["jobs"][0])
        except (FfspoolError, KeyError, TypeError, IndexError):  # no job stands there yet
            return []
        parts = [
            part for source in job["sources"] for part in ([source], source["variations"])[self._kind == "variation"]
        ]
        return _items(
            [(part["name"], part["status"]) for part in parts] + _called(parts, lambda part: part["name"]), incomplete
        )


def _called(things: Iterable[dict[str, Any]], words: Any) -> list[tuple[str, str]]:
    return [(thing["id"], f"{thing['status']} {words(thing)}") for thing in things]


def _items(offered: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(word, help=words) for word, words in offered if word.startswith(incomplete)]


@contextmanager
def _daemon(ctx: click.Context) -> Iterator[Client]:
    from daemon.cli.client import find
    from daemon.cli.options import load_settings
    from daemon.settings import client_environment

    try:
        settings = load_settings({"state_dir": ctx.params.get("state_dir")})
    except click.UsageError as error:
        raise FfspoolError(str(error)) from error
    with closing(find(settings.state_dir, *client_environment())) as daemon:
        yield daemon

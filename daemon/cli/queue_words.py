"""Tells in words what the queue does, why, and which command has it do otherwise."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from daemon.errors import FfspoolError

if TYPE_CHECKING:
    from daemon.cli.client import Client, Json

RESUME = "`ffspool resume --queue`"


class Hold(NamedTuple):
    """A hold is why nothing begins, and how it goes on; while the queue `drains`, what runs is finished."""

    words: str
    drains: bool


def told(answer: Json, verb: str = "is") -> str:
    """Returns `The queue is paused: …`, with what its schedule has to do with it."""
    words = f"The queue {verb} {answer['state']}"
    if (schedule := answer.get("schedule")) and schedule["because"]:
        return f"{words}{scheduled(answer['state'], schedule, RESUME)}"
    return words if answer["state"] == "running" else f"{words}: {RESUME} lets it go on"


def scheduled(state: str, schedule: Json, resuming: str) -> str:
    """Returns what its schedule has the queue, or a folder's jobs, do, and which command does otherwise."""
    from daemon.cli.terminal import local

    at = schedule["changes_at"]
    until = f" until {local(then)} {then.astimezone():%Z}" if at and (then := datetime.fromisoformat(at)) else ""
    if schedule["overruled"]:
        return f", though {schedule['because']}: somebody had it run{until}"
    if state != schedule["state"]:
        return f", as asked: {resuming} lets it go on, though {schedule['because']}"
    return f"{until}, {schedule['because']}: {resuming} lets it run now"


def held_up(daemon: Client) -> Hold | None:
    """Asks what holds the queue. None: nothing does, or the daemon does not say now."""
    with suppress(FfspoolError):
        answer = daemon.queue()
        if answer["state"] != "running":
            return Hold(f"{told(answer)}.", answer["state"] == "draining")
    return None

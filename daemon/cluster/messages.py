"""Defines what the daemon, its coordinator and the machines of a cluster tell each other. All of it is JSON-able."""

from __future__ import annotations

from typing import Literal

import msgspec

from daemon.encode.task import Ended, Report, Task
from daemon.models import Model, Sandbox, Stopped

Asked = Literal["stop", "pause", "resume"]


class Greeting(Model, frozen=True):
    """Is what of a `Hello` every version understands."""

    version: str


class Hello(Greeting, frozen=True):
    """Is what a machine tells of itself before it is taken: `encoder` is the SHA-256 of its program, `clock` its
    time.
    """

    encoder: str
    clock: float
    sandbox: Sandbox
    slots: int
    cores: int
    free_bytes: int  # where it works


class Pulse(Model, frozen=True):
    """Is what a machine tells of itself every some seconds: what is free where it works, and `why` it can make nothing
    there. A disk that `answers` nothing gives back nothing that was begun there either.
    """

    free_bytes: int
    why: str | None
    answers: bool = True


class Lease(Model, frozen=True):
    """Answers that: the `tasks` that the machine has to go on with."""

    tasks: list[str]


class Words(Model, frozen=True):
    """Is what an encoder said, which begins at that byte of its log."""

    begin: int
    said: bytes


class Finish(Model, frozen=True):
    """Is how a task ended, with what its encoder said at last, by variation."""

    ended: Ended
    words: dict[str, Words] = msgspec.field(default_factory=dict)


class Charter(Model, frozen=True):
    """Is what a coordinator is told first: where to listen, what is in its `folder`, and who may work for it."""

    listen: str  # such as tls://0.0.0.0:8786
    files_port: int  # where files are given and taken, at the same address; 0: a free one
    folder: str  # of certificates, and of who was invited
    version: str
    encoder: str
    require_sandbox: bool
    beat: float = 5.0  # seconds between two signs of its life


# What the daemon tells its coordinator


class Run(Model, frozen=True, tag="run"):
    """Has a machine run a task."""

    machine: str
    task: Task


class Ask(Model, frozen=True, tag="ask"):
    """Asks a machine for something about a task; it may come twice, and is answered by its `number`."""

    number: int
    machine: str
    task: str
    verb: Asked


class Forget(Model, frozen=True, tag="forget"):
    """Has nothing taken any more that comes for a task."""

    task: str


Command = Run | Ask | Forget

# What it is told


class Listening(Model, frozen=True, tag="listening"):
    """Says where machines find the coordinator: its scheduler, and its files."""

    port: int
    files_port: int


class Alive(Model, frozen=True, tag="alive"):
    """Says that the coordinator gets on, whatever there is to tell."""


class Joined(Model, frozen=True, tag="joined"):
    machine: str
    hello: Hello
    draining: bool = False


class Leaving(Model, frozen=True, tag="leaving"):
    """Says that a machine takes nothing more: it is about to go."""

    machine: str


class Left(Model, frozen=True, tag="left"):
    machine: str


class Beat(Model, frozen=True, tag="beat"):
    """Says how a machine stands, if it stands otherwise than it did."""

    machine: str
    pulse: Pulse


class Refused(Model, frozen=True, tag="refused"):
    """Says why a machine was not taken."""

    machine: str
    why: str


class Told(Model, frozen=True, tag="told"):
    """Passes on what a machine reports of a task."""

    report: Report


class Answer(Model, frozen=True, tag="answer"):
    """Answers an `Ask`: how the task was ended, or whether it stands still."""

    number: int
    stopped: Stopped | None = None
    frozen: bool = False


class Over(Model, frozen=True, tag="over"):
    """Says how a task ended; `ended` is None where its machine went away."""

    task: str
    ended: Ended | None


Notice = Listening | Alive | Joined | Leaving | Left | Beat | Refused | Told | Answer | Over

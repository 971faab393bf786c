"""Defines what an engine is told, and what it answers. All of it is JSON-able, so that an engine may run elsewhere."""

from __future__ import annotations

import msgspec

from daemon.host import Load
from daemon.media.model import Media
from daemon.models import Model, Parameters, SourceFile, Stopped
from daemon.recipes.recipe import Begin, Piece

# What an engine is told, and answers


class Capacity(Model, frozen=True):
    """Says what an engine can do at once: so many `slots` for processes, on so many `cores` in all, of that many hosts
    (`places`).
    """

    slots: int
    cores: int
    places: int = 1


class Order(Model, frozen=True):
    """An order is one variation within a task. `part` is where to write, `log` where ffmpeg's words are appended.

    `preset` is a built-in one: an engine knows no others. With a `begin` only a piece of the film's picture is to be
    written; with `pieces`, which lie beside `part`, the film is joined from these.
    """

    variation: str
    attempt: int
    preset: str
    parameters: Parameters
    part: str
    log: str
    threads: int  # of its encoder
    begin: Begin | None = None
    pieces: tuple[Piece, ...] = ()
    bytes: int = 0  # that it may come to, as far as is foreseen
    cpu_seconds: float = 0.0  # that it takes on the daemon's host, as far as is foreseen


class Task(Model, frozen=True):
    """A task is what the scheduler hands an engine: one source, one or more variations of it.

    `id` is the attempt's random token; it names the task to `Engine.stop` and marks its processes.
    Every `part` lies in a work folder of its own that outlives a restart.
    """

    id: str
    source: SourceFile
    source_name: str
    media: Media
    orders: tuple[Order, ...]


def part_of(task: str, name: str) -> str:
    """Returns the id of one of the tasks that a task was parted into."""
    return f"{task}.{name}"


def whole_of(task: str) -> str:
    """Returns the id of the task that it is a part of; else its own."""
    return task.partition(".")[0]


class Unfinished(Model, frozen=True):
    """Names by its id a task that an earlier daemon began and did not see the end of.

    `handle` is the last that the engine told of it; None where that was not recorded before the crash.
    """

    task: str
    handle: str | None


class Started(Model, frozen=True, tag="started"):
    """Reports that a process of the task runs. `handle` is what the engine would end it by after a crash: text of its
    own, which is kept until the task has ended, and which nobody else reads. A later one takes the place of an earlier.

    `sandbox` is what shuts it in, such as `landlock 7, seccomp`, or `none`. `machine` is where it runs, if elsewhere.
    """

    task: str
    handle: str
    sandbox: str = "none"
    machine: str | None = None


class Kept(Model, frozen=True):
    """Tells of a piece how many bytes of it are on the disk for certain, and the checksum of what is encoded there."""

    bytes: int = 0
    checksum: int = 0


class Durable(Model, frozen=True, tag="durable"):
    """Reports what is `kept` of each variation's piece, which is at least `seconds` of the film.

    All of them took so many CPU seconds by then.
    """

    task: str
    seconds: float
    kept: dict[str, Kept]
    cpu_seconds: float = 0.0


class Progress(Model, frozen=True, tag="progress"):
    """Reports how far a task is: `seconds` of output written, encoding at `speed` times real time (None: unknown).

    What is done beside the encode counts among those; `encoded` are the seconds that the encoder's own run has come to.
    """

    task: str
    seconds: float
    speed: float | None = None
    encoded: float | None = None


class Vitals(Model, frozen=True, tag="vitals"):
    """Reports what the task's process has used so far: CPU seconds, and bytes it read or wrote.

    So many bytes have its outputs by then, all together. Of another machine it tells the `load` there, and while no
    process runs what is done instead, such as that its source is on the way.
    """

    task: str
    cpu_seconds: float
    io_bytes: int
    written: int = 0
    load: Load | None = None
    doing: str | None = None


Report = Started | Durable | Progress | Vitals


class Ended(Model, frozen=True):
    """Tells how a task ended. At most one of: `stopped` set, `error` set, or `lost`. None: every part is encoded.

    An encoded part is not yet a completed variation: the daemon proves it first. An error that `may_pass`
    lies in the host and not in the source: a full disk (`disk_full` if it still is), no memory, a signal from outside.
    It is `lost` with the machine that had it, which is nobody's fault. `unread` is a source that could not be opened.
    Its machine takes a CPU second for so many (`pace`) of the daemon's host.
    By variation, `unmeasured` tells why it could not be compared with the source, and `chosen` which parameters its
    passes decided.
    """

    stopped: Stopped | None = None
    error: str | None = None
    may_pass: bool = False
    disk_full: bool = False
    lost: bool = False
    unread: bool = False
    exit_code: int | None = None
    cpu_seconds: float = 0.0
    pace: float = 1.0
    unmeasured: dict[str, str] = msgspec.field(default_factory=dict)
    chosen: dict[str, Parameters] = msgspec.field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Tells whether every part is encoded."""
        return not (self.stopped or self.error or self.lost)

    @property
    def is_final(self) -> bool:
        """Tells whether it failed by nothing that passes in time."""
        return self.error is not None and not (self.may_pass or self.disk_full or self.unread)

"""Defines the shapes that cross a border: what a user asks for, and what several packages tell each other.

All are JSON-able msgspec structs. Times are seconds since the epoch inside ffspool and RFC 3339
at the edges; durations are seconds, sizes bytes.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec.structs import replace

from daemon.plaintext import flaw
from daemon.source_files import ANY, EVERYWHERE, Identity, open_source

Parameters = dict[str, Any]


def new_id() -> str:
    """Returns an opaque identifier that nobody can guess: 16 hexadecimal digits."""
    return secrets.token_hex(8)


def when(seconds: float | None) -> datetime | None:
    """Returns the UTC time of so many seconds since the epoch; None of None."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """Is the base of our value types: immutable, built by name."""


class Unread(Model, frozen=True):
    """Tells of a track that nothing is made of: "picture", "sound", "subtitles" or "data", and why, in words."""

    kind: str
    why: str
    lost: bool = True  # whether it may hold anything
    index: int | None = None


# What becomes of a source


class Kept(Model, frozen=True, omit_defaults=True):
    """Tells of something of a source that an output has, such as "sound", "chapters" or "date".

    Tracks of a kind stand in the output's order; `track` is the index in the source, and `language`, `name` and
    `marks` (such as "comment", in FFmpeg's names) are what the output tells of it. `detail` is such as the kind of HDR.
    """

    what: str
    track: int | None = None
    language: str | None = None
    name: str | None = None
    marks: tuple[str, ...] = ()
    detail: str | None = None


class LeftOut(Model, frozen=True, omit_defaults=True):
    """Tells what of a source an output has not, and why, in words; `track` is its index there, if it is one.

    It is `meant` to be without where that is what the preset is for, as one of sound alone, or was asked for.
    """

    what: str
    why: str
    track: int | None = None
    detail: str | None = None
    meant: bool = False

    def __str__(self) -> str:
        told = ", ".join([*([f"track {self.track}"] if self.track is not None else []), *filter(None, [self.detail])])
        return " ".join(f"{self.what.replace('_', ' ')}{f' ({told})' if told else ''}: {self.why}".split())


class Contents(Model, frozen=True):
    """Tells what of its source an output has, and what not: together all that the source has."""

    kept: tuple[Kept, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


MOST_IN_LINE = 8  # details of one kind


def in_lines(left_out: Iterable[LeftOut]) -> list[str]:
    """Lists what a person may not expect, a line each; what differs in its detail alone stands in one."""
    details: dict[LeftOut, list[str]] = {}
    for one in (one for one in left_out if not one.meant):
        details.setdefault(replace(one, detail=None), []).extend(filter(None, [one.detail]))
    return [str(replace(one, detail=_few(found))) for one, found in details.items()]


def _few(details: list[str]) -> str | None:
    more = f" and {len(details) - MOST_IN_LINE} more" if len(details) > MOST_IN_LINE else ""
    return ", ".join(details[:MOST_IN_LINE]) + more or None


# What is asked for


class Conflict(StrEnum):
    """A delivery says what becomes of it where something has its name already."""

    FAIL = "fail"
    NUMBER = "number"  # it gets another name
    SKIP = "skip"  # what is there stays, and counts as delivered
    OVERWRITE = "overwrite"


class Deliver(Model, frozen=True, forbid_unknown_fields=True):
    """Asks for an output to be brought to a folder or a URL once it is completed, and says how it is to lie there."""

    folder: (
        Annotated[
            str,
            msgspec.Meta(min_length=1, max_length=4096, description="below an output root: whole, or as it goes on"),
        ]
        | msgspec.UnsetType
    ) = msgspec.UNSET
    url: (
        Annotated[
            str,
            msgspec.Meta(
                min_length=1,
                max_length=8192,
                pattern="^[A-Za-z][A-Za-z0-9+.-]{0,19}://",
                description="in place of a folder: a template of where it is brought, by its name or up to a last /",
            ),
        ]
        | msgspec.UnsetType
    ) = msgspec.UNSET
    name: (
        Annotated[
            str,
            msgspec.Meta(min_length=1, max_length=200, description="a template of the file's name, by default its own"),
        ]
        | None
    ) = None
    conflict: Annotated[Conflict, msgspec.Meta(description="what becomes of it where something has that name")] = (
        Conflict.FAIL
    )
    mode: Annotated[
        str, msgspec.Meta(pattern="^0?[0-7]{3}$", description="rights to the file; who may read one enters new folders")
    ] = "0644"
    mtime: (
        Annotated[
            Literal["source"], msgspec.Meta(description="it is as old as its source, where that is read in place")
        ]
        | None
    ) = None
    keep: Annotated[bool, msgspec.Meta(description="keep the daemon's own copy, until the job expires")] = True

    def __post_init__(self) -> None:
        for what, value in (("folder", self.folder), ("url", self.url), ("name", self.name)):
            if isinstance(value, str) and (reason := flaw(value)):
                raise ValueError(f"{what} {reason}")
        if isinstance(self.folder, str) == isinstance(self.url, str):
            raise ValueError("says either a folder or a url")
        if isinstance(self.url, str) and (self.mode, self.mtime) != ("0644", None):
            raise ValueError("mode and mtime are of folders: what is at a url has none")
        if isinstance(self.url, str) and self.name is not None and not self.url.endswith("/"):
            raise ValueError("name goes behind a url that ends with /: this one has its name already")

    @property
    def scheme(self) -> str:
        """Returns what the URL begins with, such as "s3"; empty where it is a folder."""
        return self.url.partition("://")[0].lower() if isinstance(self.url, str) else ""

    @property
    def bits(self) -> int:
        """Returns the mode of files."""
        return int(self.mode, 8) & 0o666

    @property
    def folder_bits(self) -> int:
        """Returns the mode of folders: who may read them may enter them."""
        return self.bits | (self.bits >> 2 & 0o111)


class Replacing(Model, frozen=True):
    """Asks for an output to take the place of the file it was made of, and says on what terms.

    `bytes`, `inode` and `modified` (nanoseconds since the epoch) are what that file was when it was taken.
    """

    folder: str  # the watched folder's name
    root: str  # its path
    name: str  # the file's within it
    bytes: int
    inode: int
    modified: int
    trash: str  # the path of the folder that originals are moved to
    sha256: str | None = None  # None: it is not compared
    disk: str = ""  # the mark of that which the folder lies on; empty: of old ones it is not known
    min_saving: float = 0.0  # of 1
    min_vmaf: float = 0.0
    keep_days: float = 0.0  # that the original is kept in the trash

    @property
    def most_bytes(self) -> int:
        """Returns how many an output may have to be smaller by the margin, and smaller at all."""
        return min(int(self.bytes * (1 - self.min_saving)), self.bytes - 1)


Wish = Deliver | Replacing


class Destination(Model, frozen=True):
    """Says where an output is brought: `below` is the folder within the `place`, parted by "/"; empty: that itself.

    A place is what may be away or hang as a whole. Where that is reached by a URL, `below` is as much of it as users
    are told. Where the output takes the place of its source, `replaces` tells of that.
    """

    place: str
    below: str
    wish: Deliver
    replaces: Replacing | None = None

    @property
    def steps(self) -> tuple[str, ...]:
        """Returns the names of the folders that lead there."""
        return tuple(filter(None, self.below.split("/")))


class VariationRequest(msgspec.Struct, frozen=True):
    """Asks for variations by one entry of a job request: a preset's name and what the caller overrides."""

    preset: str
    overrides: Parameters
    deliver: Wish | None = None


class Wanted(Model, frozen=True):
    """Describes one output of one source, fully resolved: nothing is left to default later.

    `label` tells it from its siblings and goes into its file name: `clip_{label}.{extension}`. The extension is
    empty for a folder of files.
    """

    preset: str
    parameters: Parameters
    label: str
    extension: str
    deliver: Wish | None = None


class Remote(Model, frozen=True):
    """Says where a source is fetched from, and what is sent to its host; all of that but `shown` may be secret."""

    url: str
    shown: str  # `https://host/…`
    headers: dict[str, str] = {}
    sha256: str | None = None  # that the whole file has
    bucket: str | None = (
        None  # the operator's one whose object it is, by name; then `url` is not asked for as it stands
    )
    etag: str | None = None  # that it had when it was seen; another is another file
    address: str = ""  # to which a result would have to go to take its place


# Where untrusted files are decoded


class Sandbox(Model, frozen=True):
    """Tells whether decoders and encoders are shut in, by what, and if they are not, why."""

    active: bool
    by: str = "none"
    reason: str | None = None

    def __str__(self) -> str:
        return self.by if self.active else f"none: {self.reason}"


class SourceFile(Model, frozen=True):
    """Names the file that a source is, as `source_files.open_source` is to be asked for it."""

    path: str
    roots: tuple[str, ...] = EVERYWHERE
    identity: Identity = ANY

    @property
    def root(self) -> str:
        """Returns the root below which it seems to lie, wherever that leads; empty where it seems to lie below none."""
        return next((root for root in self.roots if self.path.startswith(root)), "")

    def open(self) -> int:
        """Returns its descriptor, the caller's to close.

        Raises SourceRefused. Blocks; run it where that holds nobody up.
        """
        return open_source(self.path, self.roots, self.identity)


# How what runs is ended


class Stage(StrEnum):
    """A stage is what ended a process that we were asked to stop."""

    QUIT = "quit"
    TERMINATE = "terminate"
    KILL = "kill"
    EXITED = "exited"  # it was gone, or had not begun
    STUCK = "stuck"  # nothing yet: it was killed, and the kernel waits for a disk before it lets it end


class Stopped(Model, frozen=True):
    """Tells how a process was ended, and how many seconds that took from the first signal to its exit."""

    stage: Stage
    seconds: float

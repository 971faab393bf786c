"""The shapes that cross a border: what a user asks for, what an engine is told, what it answers.

All are JSON-able msgspec structs. Times are seconds since the epoch inside ffspool and RFC 3339
at the edges; durations are seconds, sizes bytes.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec

from daemon.source_files import ANY, EVERYWHERE, Identity, open_source

Parameters = dict[str, Any]


def new_id() -> str:
    """An opaque identifier that nobody can guess: 16 hexadecimal digits."""
    return secrets.token_hex(8)


def when(seconds: float | None) -> datetime | None:
    """The UTC time of so many seconds since the epoch."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """Base of our value types: immutable, built by name."""


# What a probe finds


class Colour(Model, frozen=True):
    """What numbers in the picture mean, in FFmpeg's names (ITU-T H.273); None where the file does not say."""

    primaries: str | None = None
    transfer: str | None = None
    matrix: str | None = None
    range: str | None = None  # "tv" (limited) or "pc" (full)


class VideoStream(Model, frozen=True):
    """The picture that matters: never cover art.

    `width` and `height` are the displayed size, after rotation and in square pixels;
    `coded_width` and `coded_height` are what the stream holds.
    """

    index: int
    codec: str
    width: int
    height: int
    coded_width: int
    coded_height: int
    rotation: int = 0  # degrees clockwise a player turns the picture, 0, 90, 180 or 270
    mirrored: bool = False  # whether it is flipped as well
    sample_aspect_ratio: str = "1:1"  # of the coded pixels
    frame_rate: float | None = None  # average, frames per second; None when the file does not say
    variable_frame_rate: bool = False
    misstated_rate: bool = False  # whether the file tells quite another rate, as its copies will
    pixel_format: str | None = None
    bit_depth: int = 8  # of each component
    alpha: bool = False
    interlaced: bool = False  # whether any frame looked at is made of two fields
    field_order: str | None = None  # "tff" (top field first), "bff" or "progressive"; None when nobody says
    colour: Colour = Colour()
    hdr: str | None = None  # "hlg", "pq", "hdr10" (PQ with the mastering display) or "hdr10+"
    dolby_vision: bool = False
    start_seconds: float = 0.0  # after the first of picture and sound
    duration_seconds: float | None = None  # of this stream, where the file says it
    hidden_seconds: float = 0.0  # that an edit list has players leave out, where the whole file was read
    reordered: bool = False  # whether pictures are stored in another order than they are shown in
    counted: bool = False  # whether all that its container tells of their times is that they follow each other
    late_seconds: float = 0.0  # at most, after a picture is to be shown, until its packet is to be decoded


class AudioStream(Model, frozen=True):
    index: int
    codec: str
    channels: int
    sample_rate: int
    layout: str | None = None  # FFmpeg's name, such as "5.1(side)"; None when only the number is known
    language: str | None = None
    title: str | None = None
    default: bool = False
    start_seconds: float = 0.0  # after the first of picture and sound
    duration_seconds: float | None = None  # of this stream, where the file says it
    gap_seconds: float = 0.0  # that its timestamps leave out in the middle, where the whole file was read
    hidden_seconds: float = 0.0  # that an edit list has players leave out, where the whole file was read
    marks: tuple[str, ...] = ()  # what else it is, such as "comment", in FFmpeg's names


class SubtitleStream(Model, frozen=True):
    index: int
    codec: str
    language: str | None = None
    text: bool = True  # False for bitmaps
    title: str | None = None
    default: bool = False
    forced: bool = False


class Chapter(Model, frozen=True):
    start_seconds: float
    end_seconds: float
    title: str | None = None


FRONT_COVER = "Cover (front)"  # how FFmpeg tells that type of picture of ID3 and FLAC, in a comment


class Cover(Model, frozen=True):
    """The cover of a sound: a picture that can be decoded."""

    index: int
    codec: str  # "png" or "mjpeg"
    bytes: int


class Unread(Model, frozen=True):
    """A track of which nothing can be made: whether it is "picture" or "sound", and why, in words."""

    kind: str
    why: str
    lost: bool = True  # whether it may hold anything


class Media(Model, frozen=True):
    """What one file holds. `duration_seconds` is None when the file neither says it nor lets it be measured."""

    format: str
    duration_seconds: float | None
    video: VideoStream | None
    audio: tuple[AudioStream, ...]
    subtitles: tuple[SubtitleStream, ...]
    chapters: tuple[Chapter, ...] = ()
    attachments: int = 0  # fonts and other files within it
    named_attachments: tuple[int, ...] = ()  # indices of those that have a name and a type
    covers: int = 0  # pictures that are cover art
    cover: Cover | None = None  # the one that is kept with the sound; None beside a film
    lead_seconds: float = 0.0  # of the file before the first of picture and sound
    unread: tuple[Unread, ...] = ()
    place: str | None = None  # where it was recorded (ISO 6709), where only Apple's key says it
    created: str | None = None  # the moment it was recorded, as its container has it
    cut_off: bool = False  # whether it ends in the middle, as a recording that crashed, and is used as far as it goes
    redescribed: bool = False  # whether an MP4 describes samples of a track in several ways, of which others keep one
    cropped: bool = False  # whether the container asks players to leave out edges, which encoders differ in

    @property
    def still(self) -> bool:
        """Whether it is a photograph or the like: FFmpeg's demuxers of single pictures are named so."""
        return self.format.endswith("_pipe")


# What is asked for


class VariationRequest(msgspec.Struct, frozen=True):
    """One entry of `variations` in a job request: a preset's name and what the caller overrides."""

    preset: str
    overrides: Parameters


class Wanted(Model, frozen=True):
    """One output of one source, fully resolved: nothing is left to default later.

    `label` tells it from its siblings and goes into its file name: `clip_{label}.{extension}`. The extension is
    empty for a folder of files.
    """

    preset: str
    parameters: Parameters
    label: str
    extension: str


# Where strangers' files are decoded


class Sandbox(Model, frozen=True):
    """Whether decoders and encoders are shut in, by what, and if they are not, why."""

    active: bool
    by: str = "none"
    reason: str | None = None

    def __str__(self) -> str:
        return self.by if self.active else f"none: {self.reason}"


# What an engine is told, and answers


class Order(Model, frozen=True):
    """One variation within a task. `part` is where to write, `log` where ffmpeg's words are appended.

    `preset` is a built-in one: an engine knows no others.
    """

    variation: str
    attempt: int
    preset: str
    parameters: Parameters
    part: str
    log: str
    threads: int  # of its encoder
    bytes: int = 0  # that it may come to, as far as is foreseen


class SourceFile(Model, frozen=True):
    """The file that a source is, as `source_files.open_source` is to be asked for it."""

    path: str
    roots: tuple[str, ...] = EVERYWHERE
    identity: Identity = ANY

    def open(self) -> int:
        """Its descriptor, the caller's to close. Raises SourceRefused. Blocks; run it where that holds nobody up."""
        return open_source(self.path, self.roots, self.identity)


class Task(Model, frozen=True):
    """What the scheduler hands an engine: one source, one or more variations of it.

    `id` is the attempt's random token; it names the task to `Engine.stop` and marks its processes.
    Every `part` lies in a work folder of its own that outlives a restart.
    """

    id: str
    source: SourceFile
    source_name: str
    media: Media
    orders: tuple[Order, ...]


class Started(Model, frozen=True, tag="started"):
    """A process of the task runs. `created` is its start in clock ticks since boot: with the pid, its identity.

    `sandbox` is what shuts it in, such as `landlock 7, seccomp`, or `none`.
    """

    task: str
    pid: int
    created: int
    sandbox: str = "none"


class Progress(Model, frozen=True, tag="progress"):
    """How far a task is: `seconds` of output written, encoding at `speed` times real time (None: unknown)."""

    task: str
    seconds: float
    speed: float | None = None


class Vitals(Model, frozen=True, tag="vitals"):
    """What the task's process has used so far: CPU seconds, and bytes it read or wrote."""

    task: str
    cpu_seconds: float
    io_bytes: int


Report = Started | Progress | Vitals


class Stage(StrEnum):
    """What ended a process that we were asked to stop."""

    QUIT = "quit"
    TERMINATE = "terminate"
    KILL = "kill"
    EXITED = "exited"  # it was gone, or had not begun


class Stopped(Model, frozen=True):
    """How a process was ended, and how many seconds that took from the first signal to its exit."""

    stage: Stage
    seconds: float


class Outcome(Model, frozen=True):
    """How a task ended. Exactly one of: `stopped` set, `error` set, or neither: every part is encoded.

    An encoded part is not yet a completed variation: the daemon proves it first. An error that `may_pass`
    lies in the host and not in the source: a full disk (`disk_full` if it still is), no memory, a signal from outside.
    By variation, `unmeasured` tells why it could not be compared with the source, and `chosen` which parameters its
    passes decided.
    """

    stopped: Stopped | None = None
    error: str | None = None
    may_pass: bool = False
    disk_full: bool = False
    exit_code: int | None = None
    cpu_seconds: float = 0.0
    unmeasured: dict[str, str] = {}
    chosen: dict[str, Parameters] = {}

"""Defines what an output shall be, and what is to be done to make it so: the terms in which recipes are written."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from daemon.errors import ProbeError, UnsuitableSource
from daemon.media.model import AudioStream, Chapter, Colour, Cover, Media, SubtitleStream, VideoStream
from daemon.models import Contents, Model
from daemon.presets.builtin import Preset
from daemon.presets.traits import Family, Metric

Node = Any  # of ffmpeg-python's graph, which has no types
Options = dict[str, Any]
Size = tuple[int, int]
NOTHING = "9999?"  # of a file that is read for what it tells of itself: no stream has that number
W = TypeVar("W", bound=Family, covariant=True)


class Request(NamedTuple, Generic[W]):
    """A request asks for an output of that source by this built-in preset, with parameters that are parsed already."""

    media: Media
    preset: Preset
    wanted: W

    @property
    def salvaged(self) -> Media:
        """Returns the source as far as it goes, where it ends before its header says and that is to be kept."""
        held = self.media.held
        if held is None or self.wanted.on_truncated == "fail":
            return self.media
        return msgspec.structs.replace(self.media, **msgspec.structs.asdict(held), held=None, cut_off=True)

    @property
    def picture(self) -> VideoStream:
        """The picture the preset needs. Raises UnsuitableSource when there is none, ProbeError when it is lost."""
        refuse_lost(self.media, "picture")
        if self.media.video is None:
            raise UnsuitableSource(
                f"the source has no picture, which the preset {self.preset.name} needs: take one of sound, such as m4a"
            )
        if self.media.edited and self.media.video.reordered:
            raise UnsuitableSource(
                "the source's edit list shows several parts of its picture, of which FFmpeg would lose some where they "
                "meet: export it again as it plays, or take a preset of the sound alone"
            )
        if self.media.video.own_colours:
            raise UnsuitableSource(
                "the source's picture is Dolby Vision alone (profile 5), whose colours only its own players know: "
                "remux it, or take a preset of the sound alone"
            )
        if self.media.video.codec == "hevc" and self.media.video.interlaced:  # it has no frames made of two fields
            raise UnsuitableSource(
                "the source's picture comes in fields of HEVC, which FFmpeg takes for pictures of half the height: "
                "remux it, or convert it first with a program that joins them"
            )
        return self.media.video


class Ladder(Model, frozen=True, tag="ladder"):
    """A ladder is a folder with one film in several sizes, best first, cut into segments; its sound stands apart."""

    rungs: tuple[Size, ...]


SPRITES_INDEX = "thumbnails.vtt"
SPRITES_SHEET = "sprites-%03d.jpg"


class Sprites(Model, frozen=True, tag="sprites"):
    """Says that the output is a folder with so many pictures full of tiles, and an index of them."""

    sheets: int


class Plan(Model, frozen=True):
    """A plan is what an output shall be. `container` is ffmpeg's name for the format, `audio` counts its audio streams.

    `duration_seconds` is None where it is not known or, for a still picture, not meant; the rest likewise. An
    output with a `folder` is one of files, else it is a file; `max_bytes` is what it may have, if anything was said.
    """

    container: str
    duration_seconds: float | None
    video: Size | None
    audio: int
    subtitles: int = 0
    chapters: tuple[Chapter, ...] = ()
    covers: int = 0  # pictures that are cover art
    attachments: int = 0
    colour: Colour | None = None
    frame_rate: float | None = None  # None also where it varies
    pictures: int | None = None  # at least, but for those of a source that are damaged
    video_seconds: float | None = None  # of the picture alone
    seen_seconds: float | None = None  # of the source, where the output does not show that all of it was there
    audio_seconds: tuple[float | None, ...] = ()  # of each audio stream
    all_around: bool = False  # whether an encode passes on that it is a 360° film
    stereo: bool = False  # whether an encode passes on that it is stereoscopic
    audio_offset: float | None = None  # seconds after the picture at which the first audio stream begins
    copied: bool = False  # whether the picture is the source's own, which players may have to turn
    folder: Ladder | Sprites | None = None
    max_bytes: int | None = None
    quality: Metric | None = None  # what is to be measured of the picture against the source's
    contents: Contents = Contents()

    @property
    def still(self) -> bool:
        """Tells whether it is pictures, which have no duration."""
        return self.container in {"mjpeg", "image2"}

    @property
    def film(self) -> bool:
        """Tells whether it has a picture that is played, and is no animation."""
        return self.video is not None and not self.still and self.container not in {"gif", "webp"}


class Begin(Model, frozen=True):
    """Says at which second of a film a piece of it begins, and when a picture is shown that lies a while before.

    The piece is of the film's `span` by that number, which is encoded beside others.
    """

    seconds: float = 0.0
    warm: float = 0.0  # early enough for filters that remember what went before
    after: float = 0.0  # seconds after the film's first picture
    pictures: int = 0  # how many of the film's come before, of the best size of a ladder
    until: float | None = None  # second of the film at which the next span begins; None: it goes to the film's end
    span: int = 0


class Piece(Model, frozen=True):
    """A piece is a part of a film's picture that is encoded, a file by that name in the work folder, with a track for
    each size of a ladder. It is shown from `begins` on, in seconds of the film.

    Of all but the last it is known where the next begins: `lasts` seconds later, and before what is decoded `until`,
    in seconds of the file's own time. Beside the first may stand all of the film's sound, `heard` from that second on.
    """

    name: str
    begins: float
    heard: float | None = None
    lasts: float | None = None
    until: float | None = None


class Recipe(NamedTuple):
    """A recipe makes one output: what is planned, done to the picture and kept beside it, and how all is encoded.

    `deinterlace` names the frames it is done to: "interlaced" ones, "all", or None.

    The picture is `filtered`, into several for a ladder, or taken `direct`, with no filter; or there is none.
    Of an output that is a folder, `entry` is the name ffmpeg writes to; `folders` in it must be there, since no
    encoder may make any; and `files` stand beside, their text by name. An output that takes several runs of
    ffmpeg has `steps`; the rest then tells of the last one.

    How the picture alone is `encoded` is known where one may go on with it later. A piece of a film has the `begin`
    of it; the picture of one that is `joined` comes from these pieces.
    """

    plan: Plan
    filtered: Callable[[Node], Node | list[Node]] | None
    sound: tuple[AudioStream, ...]
    options: Callable[[int], Options]  # by the number of threads
    subtitles: tuple[SubtitleStream, ...] = ()
    deinterlace: str | None = None
    direct: VideoStream | None = None
    cover: Cover | None = None
    attached: tuple[int, ...] = ()  # indices of other files within it
    entry: str = ""
    folders: tuple[str, ...] = ()
    files: Mapping[str, str] = {}
    steps: Callable[[], Steps] | None = None
    encoded: Callable[[int], Options] | None = None  # by the number of threads
    paced: bool = False  # whether what is shown hangs on all frames from the first on
    filled: bool = False  # whether frames are doubled where the source has none
    key_frames_every: int | None = None  # seconds of the film, where they are forced
    begin: Begin | None = None
    heard_beside: Callable[[int], Options] | None = None  # how its sound is encoded, into a file of its own
    joined: tuple[Piece, ...] = ()
    heard_aside: str = ""  # behind the output's name: where a step before has put the sound, in place of the source's
    chapters: tuple[Chapter, ...] = ()  # that are told in a text beside it, in place of the source's
    captions: bool = False  # whether a step before has put aside what one more subtitle track is made of


class Step(NamedTuple):
    """A step is one of several runs of ffmpeg for one output, with its share of the time they all take.

    `chosen` are parameters that those before it decided. What it writes stands `aside` from the output, behind whose
    name that is put.
    """

    recipe: Recipe
    share: float
    chosen: Mapping[str, Any] = {}
    aside: str = ""


class Excerpt(NamedTuple):
    """An excerpt of the source begins at `start` and lasts so many `seconds`."""

    start: float
    seconds: float


class Trial(NamedTuple):
    """A trial is a run that encodes the picture of some excerpts, in turn, by these options, to be thrown away."""

    recipe: Recipe
    excerpts: tuple[Excerpt, ...]
    options: Callable[[int], Options]
    share: float


class Judgement(NamedTuple):
    """A judgement is a run that compares what the trial before it made with those excerpts, and says their VMAF."""

    recipe: Recipe
    excerpts: tuple[Excerpt, ...]
    share: float


class Passed(NamedTuple):
    """Holds what a run left behind: the last lines it said, and the bytes of the output so far (0: there is none)."""

    said: str
    bytes: int


# Sent what each step left behind, it yields the next. Pure: whoever asks it runs them.
Steps = Generator[Step | Trial | Judgement, Passed, None]


def changed_steps(steps: Steps, change: Callable[[Step], Step]) -> Steps:
    """Yields the same, each that makes the output itself or the whole of it changed."""
    step = next(steps, None)
    while step is not None:
        makes = isinstance(step, Step) and step.recipe.plan.container != "null" and not step.aside
        passed = yield change(step) if isinstance(step, Step) and makes else step
        try:
            step = steps.send(passed)
        except StopIteration:
            return


def measuring(recipe: Recipe) -> Recipe:
    """Returns the same recipe, whose output is thrown away: only what is learnt meanwhile counts."""
    return recipe._replace(
        plan=msgspec.structs.replace(recipe.plan, container="null"), cover=None, chapters=(), steps=None
    )


def truncated(said: float | None, held: float | None) -> str:
    """Says that a source ends before its header says, each in seconds, and what to do."""
    until = f"its header says {_seconds(said)}, its data ends at {_seconds(held)}"
    how = "on_truncated=keep (`-p PRESET:on_truncated=keep`)"
    return f"the source is truncated: {until}; fetch it again, or ask for {how} to have what is there"


def _seconds(value: float | None) -> str:
    return "an unknown time" if value is None else f"{value:.2f} s"


def refuse_truncated(media: Media) -> None:
    """Raises ProbeError for a source that ends before its header says, unless it was `salvaged`."""
    if media.held is not None:
        raise ProbeError(truncated(media.duration_seconds, media.held.duration_seconds))


def refuse_lost(media: Media, kind: str) -> None:
    """Raises ProbeError when the source has such tracks ("picture" or "sound"), and none of them can be read."""
    found = media.video if kind == "picture" else media.audio
    lost = [track.why for track in media.unread if track.kind == kind and track.lost]
    if lost and not found:
        raise ProbeError(f"the source's {kind} cannot be read: {lost[0]}; take a preset without, or convert it first")

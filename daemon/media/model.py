"""Defines what a media file holds, as a probe found it. Times are seconds, sizes bytes."""

from __future__ import annotations

from daemon.models import Model, Unread

# What a probe finds

REORDERED = 17  # pictures at most that a decoder holds back until those are read that are shown before
AT_ITS_END = 2  # pictures that filters make otherwise where nothing follows, as those do that make one of two
MAY_REORDER = {"h264", "hevc", "vvc"}  # though nothing at the beginning says so


class Colour(Model, frozen=True):
    """Says what numbers in the picture mean, in FFmpeg's names (ITU-T H.273); None where the file does not say."""

    primaries: str | None = None
    transfer: str | None = None
    matrix: str | None = None
    range: str | None = None  # "tv" (limited) or "pc" (full)


class Unsure(Model, frozen=True):
    """Says how near to its end pictures of a piece may be missing: so many `pictures`, or `seconds` before it."""

    pictures: int
    seconds: float


class VideoStream(Model, frozen=True):
    """Describes the picture that matters, which is never cover art.

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
    tilt: float = 0.0  # degrees clockwise, where a player is to turn it by what is no quarter turn
    mirrored: bool = False  # whether it is flipped as well
    sample_aspect_ratio: str = "1:1"  # of the coded pixels
    frame_rate: float | None = None  # average, frames per second; None when the file does not say
    variable_frame_rate: bool = False
    misstated_rate: bool = False  # whether the file tells another rate, as its copies will
    held_seconds: float = 0.0  # that the last picture stays longer than others, where the whole file was read
    ticks: float = 0.0  # of the clock that its times are told by, in a second
    pixel_format: str | None = None
    bit_depth: int = 8  # of each component
    alpha: bool = False
    seldom_clear: bool = False  # whether only some of its pictures have transparency, which no decoder then shows
    interlaced: bool = False  # whether any frame looked at is made of two fields
    field_order: str | None = None  # "tff" (top field first), "bff" or "progressive"; None when nobody says
    colour: Colour = Colour()
    hdr: str | None = None  # "hlg", "pq", "hdr10" (PQ with the mastering display) or "hdr10+"
    dolby_vision: bool = False
    start_seconds: float = 0.0  # after the first of picture and sound
    duration_seconds: float | None = None  # of this stream, where the file says it
    gap_seconds: float = 0.0  # without a picture in the middle, where the whole file was read
    hidden_seconds: float = 0.0  # that an edit list has players leave out, where the whole file was read
    pictures: int | None = None  # how many are shown, where the whole file was read
    fleeting: int = 0  # of them, that follow the one before at once, so that no screen shows both
    reordered: bool = False  # whether pictures are stored in another order than they are shown in
    counted: bool = False  # whether all that its container tells of their times is that they follow each other
    by_decoding: bool = False  # whether its container tells when pictures are decoded, and not when they are shown
    unstamped: int = 0  # pictures at its beginning of which nothing tells when they are shown
    early_seconds: float = 0.0  # before the moment that FFmpeg takes for its first
    late_seconds: float = 0.0  # at most, after a picture is to be shown, until its packet is to be decoded
    in_band: bool = False  # whether its packets tell what decoders must know, and nothing before all of them (HEVC)
    own_colours: bool = False  # whether only players of Dolby Vision know what its numbers mean (profile 5)
    reshaped: bool = False  # whether pictures change their size or their shape midway
    regraded: str | None = None  # what their numbers mean first and then, where that changes midway
    layered: bool = False  # whether it has layers that decoders leave out, such as the other eye's
    captions: bool = False  # whether frames carry some (EIA-608 or 708)
    spherical: bool = False  # whether it is marked as a 360° film
    told_twice: bool = False  # whether its container and its frames both tell how to show it, at which FFmpeg stops
    stereo: bool = False  # whether each frame, or each second one, is marked as that of one eye or of both
    language: str | None = None
    title: str | None = None
    timecode: str | None = None  # at which its picture begins
    full_language: str | None = None  # which tells more (BCP 47), and which FFmpeg does not pass on
    disabled: bool = False  # whether players are not to use it
    marks: tuple[str, ...] = ()  # what else it is, such as "original", in FFmpeg's names
    tags: tuple[str, ...] = ()  # names, in lower case, of what else its track tells

    @property
    def unsure(self) -> Unsure:
        """Tells how near to the end of what is encoded of it some of its pictures may be missing."""
        pictures = REORDERED if self.reordered or self.codec in MAY_REORDER else AT_ITS_END
        return Unsure(pictures=pictures, seconds=pictures / self.frame_rate if self.frame_rate else 0.0)


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
    full_language: str | None = None  # which tells more (BCP 47), and which FFmpeg does not pass on
    disabled: bool = False  # whether players are not to use it
    marks: tuple[str, ...] = ()  # what else it is, such as "comment", in FFmpeg's names
    tags: tuple[str, ...] = ()  # names, in lower case, of what else its track tells
    exact: str | None = None  # the codec of PCM that takes its samples as they are, where 24 bits do not
    skipped_seconds: float = 0.0  # that its decoder leaves out at the beginning, of which its container says nothing
    places: str | None = None  # of more than two channels that sit as no layout with a name has them


class SubtitleStream(Model, frozen=True):
    index: int
    codec: str
    language: str | None = None
    text: bool = True  # False for bitmaps
    title: str | None = None
    default: bool = False
    forced: bool = False
    full_language: str | None = None  # which tells more (BCP 47), and which FFmpeg does not pass on
    disabled: bool = False  # whether players are not to use it
    marks: tuple[str, ...] = ()  # what else it is, such as "hearing_impaired", in FFmpeg's names
    tags: tuple[str, ...] = ()  # names, in lower case, of what else its track tells
    late: int = 0  # of its cues, those that begin when the film has ended
    at_once: int = 0  # of its cues, those that begin while another is shown
    drawn: int = 0  # of its cues, those that are drawings


class Chapter(Model, frozen=True):
    start_seconds: float
    end_seconds: float
    title: str | None = None


APPLE = "com.apple.quicktime."  # how Apple's names for what a phone tells of its films begin
TIMED = "only copies keep the timecode that it tells"  # why nothing is made of a track of data
FRONT_COVER = "Cover (front)"  # how FFmpeg tells that type of picture of ID3 and FLAC, in a comment


class Cover(Model, frozen=True):
    """Describes the cover of a sound, a picture that can be decoded."""

    index: int
    codec: str  # "png" or "mjpeg"
    bytes: int


class Held(Model, frozen=True):
    """Tells what is there of a file that ends before its header says, and which of its tracks are empty."""

    duration_seconds: float | None
    video: VideoStream | None
    audio: tuple[AudioStream, ...]
    unread: tuple[Unread, ...]


class Media(Model, frozen=True):
    """Holds what one file holds. `duration_seconds` is None when the file neither says it nor lets it be measured."""

    format: str
    duration_seconds: float | None
    video: VideoStream | None
    audio: tuple[AudioStream, ...]
    subtitles: tuple[SubtitleStream, ...]
    chapters: tuple[Chapter, ...] = ()
    chapters_differ: bool = False  # whether FFmpeg takes them for others
    attachments: int = 0  # fonts and other files within it
    named_attachments: tuple[int, ...] = ()  # indices of those that have a name and a type
    attachment_names: tuple[tuple[int, str | None], ...] = ()  # of all of them, with their indices
    covers: int = 0  # pictures that are cover art
    cover: Cover | None = None  # the one that is kept with the sound; None beside a film
    lead_seconds: float = 0.0  # of the file before the first of picture and sound
    clock_seconds: float = 0.0  # of the file's own time when the first of them begins
    unread: tuple[Unread, ...] = ()
    place: str | None = None  # where it was recorded (ISO 6709)
    created: str | None = None  # the moment it was recorded, as its container has it
    made_by: tuple[str, str] = ("", "")  # make and model of what recorded it
    tags: tuple[str, ...] = ()  # names, in lower case, of what else is told about the whole
    passed_over: tuple[str, ...] = ()  # names of what else is told, which FFmpeg does not read
    statistics: tuple[str, ...] = ()  # names of what tools counted of tracks, which is not true of outputs
    languages_differ: bool = False  # whether FFmpeg takes one of a track for another
    other_chapters: int = 0  # of other editions or in another order, which FFmpeg does not read
    more_names: int = 0  # of chapters, in other languages, of which FFmpeg reads one each
    ordered: bool = False  # whether players show its chapters alone, in an order of their own
    timecode: str | None = None  # of the whole, and not of its picture alone
    inner_chapters: int = 0  # that lie within others, and which FFmpeg does not read
    cut_off: bool = False  # whether it ends in the middle, as a recording that crashed, and is used as far as it goes
    lacks_end: bool = False  # whether its own structure goes on behind its end, however little of it is missing
    held: Held | None = None  # what is there, where it was cut off and its header speaks of more
    redescribed: bool = False  # whether it describes parts of a track in several ways, of which copies may keep one
    edited: bool = False  # whether an edit list shows several parts of a track, of which no copy can be made
    repeated: bool = False  # whether parts of it come more than once, which decoders leave out
    read_whole: bool = False  # whether all of its packets were looked at, so that no header has to be believed
    begins_late: bool = False  # whether a track may begin so late that FFmpeg has to be told to look for it
    longest_pause_seconds: float = (
        0.0  # of a track while another goes on, that FFmpeg would take for a jump of the clock
    )
    jump_seconds: float = 0.0  # forward that are a jump of the clock, where FFmpeg would take them for a pause
    hurried: bool = False  # whether it is a GIF of pictures that browsers show for longer than it says
    filled: bool = False  # whether it is a GIF of which FFmpeg fills with a colour what browsers leave transparent
    cropped: bool = False  # whether the container asks players to leave out edges, which encoders differ in
    fingerprint: str = ""  # of how the file begins, so that another of its size and time is told from it

    @property
    def device(self) -> str | None:
        """Names what recorded it, by make and model; None: nobody says."""
        return " ".join(filter(None, self.made_by)) or None

    @property
    def uncopied(self) -> bool:
        """Tells whether a copy would show something else than what it is a copy of."""
        return self.edited or self.repeated

    @property
    def still(self) -> bool:
        """Tells whether it is a photograph or the like: FFmpeg's demuxers of single pictures are named so."""
        return self.format.endswith("_pipe")


WARM_UP = 2.0  # seconds before a piece of a film from which decoding begins, for filters that remember
MOST_REPEATED = 5.0  # seconds of a film that are given up at most so that the rest is like what it would have been


class Cut(Model, frozen=True):
    """A cut parts what is used of a picture that was cut off while it was written from what is left.

    What is left begins so many `seconds` after the first picture, with one that is `decoded` at that second of the
    file's time, rounded down to a millionth. So many `pictures` of each size come before it. `warm` is when one of them
    is shown that is early enough for filters to begin with, in the file's time.
    """

    seconds: float
    decoded: float
    warm: float
    pictures: tuple[int, ...]


class PieceContent(Model, frozen=True):
    """A picture as far as it was written: when the first frame is shown, how many there are of each size that it has
    tracks of, and where it is cut to be gone on with. `headers` are what decoders must know before, as a hash: pieces
    of one film have the same.

    The cut is None where nothing of it can be used. Of sound alone it is known when it begins. Where joints were named,
    `parts` are the frames before the first, between two, and after the last.
    """

    begins: float
    pictures: tuple[int, ...]
    parts: tuple[tuple[int, ...], ...] = ()
    headers: str = ""
    cut: Cut | None = None

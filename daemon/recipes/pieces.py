"""A film's picture encoded in pieces, so that one which was interrupted goes on: what each holds, how they are joined.

A piece is a file with the picture alone, readable up to a second before what was encoded last however its encoder
ended. The next one begins with the first picture that is not whole there. When all is there their packets are copied
one behind the other; subtitles and what else the film has come from the source. So does the sound, encoded anew, but
where nothing interrupted the first piece: it stands beside that, all of it, made in the same process.
A film may be parted into spans besides, which have pieces of their own and are encoded at once.
Of a ladder a piece has all sizes, and is cut where all of them have a key frame.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path, PurePath

import ffmpeg
from msgspec.structs import replace

from daemon.media.allowlist import GUARDS
from daemon.media.model import MOST_REPEATED, REORDERED, WARM_UP, Media
from daemon.recipes.encoders import Encoder, counted, forced, group_of
from daemon.recipes.picture import kept_rate
from daemon.recipes.recipe import Begin, Ladder, Node, Options, Piece, Recipe

RECIPES = 1  # raised whenever recipes of films change, so that no piece of an older ffspool is gone on with
OF_THE_WHOLE = {"bsf:v"}  # what is done to packets by the film's own time
SOUND = ".sound"  # behind a piece's name: the sound of the film that begins with it
LIST = ".pieces"  # behind an output's name: what names its pieces in order
FRAGMENT = 1_000_000  # microseconds of film at most that an MP4's muxer holds back
EARLY = 0.0005  # seconds: Matroska rounds times to a thousandth
ALIKE = 0.001  # of a picture: what is the same but for rounding
MOST = 120.0  # seconds of a film that a span lasts, but for the last one, where no more is asked for
MANY = 32  # spans that a film is cut into before these become longer
SEEKABLE = {"mov", "matroska"}  # demuxers that find a moment to the frame

_CONTAINERS = {"hls": "mp4", "dash": "mp4"}  # of pieces, where it is not that of the film

_OF_SOUND = re.compile(r"(c|b|ac|ar|filter):a(:\d+)?|sample_fmt")  # options by which it is encoded

# What is there of a file that was cut off can be read. MP4 keeps the film's own times only where the index waits for
# the first fragment; a fragment each second costs 0.2 % of bytes, which are not in the film. Each is read track by
# track: since one begins with each key frame, all sizes have been read up to there when the first comes to it.
_CLUSTERS: Options = {"cluster_time_limit": FRAGMENT // 1000, "flush_packets": 1}
_WRITTEN: dict[str, Options] = {
    "mp4": {"movflags": "+hybrid_fragmented+delay_moov+frag_keyframe", "frag_duration": FRAGMENT, "flush_packets": 1},
    "webm": _CLUSTERS,
    "matroska": _CLUSTERS,
}


def most_lost(encoder: Encoder, frame_rate: float) -> float:
    """Returns the seconds of a film that an interruption costs at most, at so many frames per second.

    Of a ladder it is one segment more.
    """
    held_back = FRAGMENT / 1e6 + (encoder.ahead + REORDERED) / frame_rate
    return held_back + min(encoder.repeated / frame_rate, MOST_REPEATED)


def can_be_gone_on_with(recipe: Recipe) -> bool:
    """Tells whether a film may be made in pieces."""
    return recipe.encoded is not None and recipe.steps is None and _container(recipe) in _WRITTEN


def _container(recipe: Recipe) -> str:
    return _CONTAINERS.get(recipe.plan.container, recipe.plan.container)


def one_piece(recipe: Recipe, begin: Begin) -> Recipe:
    """Returns the recipe of a film's picture from that moment on, and, where that is the first, of all of its sound."""
    assert recipe.filtered
    assert recipe.encoded
    filtered, encoded, container = recipe.filtered, recipe.encoded, _container(recipe)

    def shown(node: Node) -> Node | list[Node]:
        pictures = filtered(node)
        if isinstance(pictures, list):  # whose encoders have the clock of the rate
            return [_from(begin, size, on_the_grid=True) for size in pictures]
        return _from(begin, pictures)

    def options(threads: int) -> Options:
        picture = {name: value for name, value in encoded(threads).items() if name not in OF_THE_WHOLE}
        if recipe.key_frames_every:
            picture |= forced(recipe.key_frames_every, after=begin.after)
        else:
            picture |= counted(picture["c:v"], begin.pictures)
        return {**picture, "map_metadata": -1, "map_chapters": -1, **_WRITTEN[container]}

    plan = replace(recipe.plan, quality=None, container=container, folder=None)
    beside = partial(_of_sound, recipe) if recipe.sound and not begin.seconds else None
    bare = recipe._replace(subtitles=(), cover=None, attached=(), chapters=(), entry="", folders=())
    read_from = replace(begin, warm=0.0) if recipe.paced else begin
    return bare._replace(plan=plan, filtered=shown, options=options, begin=read_from, heard_beside=beside)


def spans(recipe: Recipe, media: Media, least: float) -> tuple[Begin, ...]:
    """Returns where the spans begin, of `least` seconds or more, that the film may be encoded in on several machines at
    once; one alone where it cannot be cut, or is too short for that.

    Each begins half-way between two pictures, so that each picture is in one of them, however its time is rounded.
    Ladders are cut where their segments begin, and what an encoder counts from one key frame to the next at one of
    these. Where frames vary, it is not known how many come before; of what needs no such count a span begins anywhere.
    """
    picture, whole = media.video, (Begin(),)
    seconds = picture.duration_seconds or media.duration_seconds if picture else None
    findable = can_be_gone_on_with(recipe) and not recipe.paced and not SEEKABLE.isdisjoint(media.format.split(","))
    told = picture and not (picture.counted or picture.unstamped) and not (media.held or media.cut_off)
    if not picture or not seconds or not findable or not told:
        return whole
    lasting = max(least, min(MOST, seconds / MANY))
    count = int(seconds / lasting)
    rate = kept_rate(picture) if recipe.plan.folder else recipe.plan.frame_rate
    if count < 2 or (rate is None and (recipe.key_frames_every or group_of(_encoder(recipe)) > 1)):
        return whole
    if rate is None:
        moments = [(number * lasting, 0) for number in range(1, count)]
    else:
        firsts = sorted({_first(recipe, number * lasting, rate) for number in range(1, count)} - {0})
        moments = [((first - 0.5) / rate, first) for first in firsts]
    return tuple(_begins(moments, picture.start_seconds, rate)) if moments else whole


def _first(recipe: Recipe, seconds: float, rate: float) -> int:
    """The number of the first picture of a span that is to begin about then."""
    if every := recipe.key_frames_every:
        return math.ceil(round(seconds / every) * every * rate - ALIKE)
    group = group_of(_encoder(recipe))
    return round(seconds * rate / group) * group


def _begins(moments: Sequence[tuple[float, int]], start: float, rate: float | None) -> Iterable[Begin]:
    until = [start + seconds for seconds, _ in moments]
    yield Begin(until=until[0])
    for number, (at, following, (_, first)) in enumerate(zip_longest(until, until[1:], moments), 1):
        warm, after = max(0.0, at - WARM_UP), first / rate if rate else 0.0
        yield Begin(at, warm, after, first, until=following, span=number)


def _encoder(recipe: Recipe) -> str:
    return str(recipe.encoded(1)["c:v"]) if recipe.encoded else ""


def _from(begin: Begin, picture: Node, *, on_the_grid: bool = False) -> Node:
    """What of a picture is shown from then on, until the next span begins, on a clock of its own."""
    until = {} if begin.until is None else {"end": f"{begin.until - EARLY:.6f}"}
    if not begin.seconds:
        return picture.filter("trim", **until) if until else picture
    rest = picture.filter("trim", start=f"{begin.seconds - EARLY:.6f}", **until)
    if not on_the_grid:  # a rate that it was given is a clock too coarse for where it was cut
        rest = rest.filter("settb", "AVTB")
    return rest.filter("setpts", f"PTS-round({begin.seconds:.9f}/TB)")


def _of_sound(recipe: Recipe, threads: int) -> Options:
    picture = recipe.encoded(threads) if recipe.encoded else {}
    return {
        name: value
        for name, value in recipe.options(threads).items()
        if name not in picture and _OF_SOUND.fullmatch(name)
    }


def joined(recipe: Recipe, made: tuple[Piece, ...]) -> Recipe:
    """Returns the recipe of the film with its picture taken from these pieces."""
    assert recipe.encoded
    encoded = recipe.encoded

    def options(threads: int) -> Options:
        picture = encoded(threads)
        rest = {name: value for name, value in recipe.options(threads).items() if name not in picture}
        kept = {name: value for name, value in picture.items() if name in {"tag:v", "strict", *OF_THE_WHOLE}}
        told: Options = {"metadata:s:v#piece": "handler_name="} if recipe.plan.container == "mp4" else {}
        if recipe.plan.folder:  # its manifest tells rates as of what is encoded, of a picture that of its segments
            told, kept = {"b:a": rest["b:a"]} if "b:a" in rest else {}, {**kept, "b:v": 0}
        if heard_beside(recipe, made):
            rest = {name: value for name, value in rest.items() if not _OF_SOUND.fullmatch(name)} | {"c:a": "copy"}
        return {**rest, **told, **kept, "c:v": "copy"}

    return recipe._replace(filtered=None, deinterlace=None, options=options, joined=made)


def heard_beside(recipe: Recipe, made: Sequence[Piece]) -> bool:
    """Tells whether the sound of the film that is joined from these pieces stands beside them."""
    return bool(recipe.sound and made) and made[0].heard is not None


def read(path: str, recipe: Recipe) -> list[Node]:
    """Reads the picture of all pieces, as the list at that path names them, and the sound that stands beside."""
    guards = {**GUARDS, "format_whitelist": f"concat,mov,matroska,{GUARDS['format_whitelist']}"}
    first, *_ = recipe.joined
    tracks = ffmpeg.input(f"file:{path}{LIST}", f="concat", auto_convert=0, **guards, **_shifted(first.begins))
    sizes = len(recipe.plan.folder.rungs) if isinstance(recipe.plan.folder, Ladder) else 1
    shown = [tracks[f"v:{number}"] for number in range(sizes)]
    if first.heard is None or not heard_beside(recipe, recipe.joined):
        return shown
    beside = str(PurePath(path).with_name(first.name + SOUND))
    heard = ffmpeg.input(f"file:{beside}", **GUARDS, **_shifted(first.heard))
    return [*shown, *(heard[f"a:{number}"] for number in range(len(recipe.sound)))]


def sound_beside(piece: Path) -> Path:
    """Says where the film's sound is that was made with a piece."""
    return piece.with_name(piece.name + SOUND)


def _shifted(seconds: float) -> Options:
    return {"itsoffset": f"{seconds:.6f}"} if seconds else {}


def listed(pieces: Sequence[Piece]) -> str:
    """Returns the text that FFmpeg's demuxer `concat` reads."""
    return "\n".join(["ffconcat version 1.0", *(line for piece in pieces for line in _lines(piece)), ""])


def _lines(piece: Piece) -> Iterable[str]:
    yield f"file {piece.name}"
    if piece.until is not None:
        yield f"outpoint {piece.until:.6f}"
    if piece.lasts is not None:
        yield f"duration {piece.lasts:.6f}"


def begin_reading(begins: Sequence[Begin | None], demuxer: str) -> float:
    """Returns the second of the film at which decoding has to begin, so that filters with a memory are warm."""
    exact = not SEEKABLE.isdisjoint(demuxer.split(","))
    return min((begin.warm if begin else 0.0 for begin in begins), default=0.0) if exact else 0.0

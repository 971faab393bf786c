"""Makes one film in several sizes for adaptive streaming: HLS or DASH, of CMAF segments.

The source is decoded once. All rungs have their key frames at the same times, so that a player can change
between any two of them at every segment.
"""

from __future__ import annotations

import math
from fractions import Fraction

from daemon.errors import UnsuitableSource
from daemon.media.allowlist import DISCONTINUOUS
from daemon.media.model import AudioStream, Media, VideoStream
from daemon.presets.builtin import Preset
from daemon.presets.parameters import LadderParameters
from daemon.recipes.containers import CONTAINERS
from daemon.recipes.encoders import ENCODERS, forced, lasting, timing
from daemon.recipes.kind import Estimate, Kind
from daemon.recipes.kinds.film import offset
from daemon.recipes.picture import bounded, fitted, graded, kept_rate, resampled, to_deinterlace
from daemon.recipes.recipe import Ladder, Node, Options, Plan, Recipe, Request, Size
from daemon.recipes.sound import default_first, narrowed
from daemon.recipes.streaming_manifests import MASTERS

# Short sides, and the most kilobits per second for each.
RUNGS = {2160: 16000, 1440: 9000, 1080: 5000, 720: 2800, 480: 1400, 360: 800, 240: 400}
LEAST_KBPS = 300
LEAST_SECONDS = 0.5
USUAL_RATE = 30.0  # frames per second
SLOWEST = 5.0  # frames per second that end near where a segment is to
LEAST_RATE = 44100  # of sound: 23 ms too early is what nobody notices
LEAST_HELD = 0.1  # seconds of sound alone at the end, for which the last picture is held
MOST_RATIO = 4096  # numerator or denominator of a pixel's shape, as x264 takes it
# A segment is said to last as long as its packets say of themselves; of a picture in two fields that is one field's.
AS_THE_ONE_BEFORE = "if(eq(PREV_OUTDTS,NOPTS),DURATION,DTS-PREV_OUTDTS)"
ENTRIES = {"hls": "%v/index.m3u8", "dash": MASTERS["dash"]}


def ladder(request: Request[LadderParameters]) -> Recipe:
    media, preset, wanted, picture = request.media, request.preset, request.wanted, request.picture
    _refuse_too_short(media, preset)
    sides = _sides(picture, wanted)
    sizes, heard = _sizes(picture, sides), default_first(media.audio)

    def filtered(node: Node) -> list[Node]:
        steady = _held(_steady(node, media, picture, wanted.max_frame_rate), media, picture)
        shown = graded(steady, picture, tone_map=wanted.tone_map, alpha_colour=wanted.alpha_colour)
        return [fitted(shown, picture, sizes[0]), *(_rung(shown, size, sizes[0]) for size in sizes[1:])]

    pace = _pace(media, picture, wanted.max_frame_rate)

    def encoded(threads: int) -> Options:
        encode = ENCODERS[preset.encoder].options(wanted.crf, wanted.speed, threads)
        steady = {"sc_threshold": 0, **forced(wanted.segment_seconds)}
        return {**timing(picture, paced=pace is not None), **encode, **_capped(sides), **steady}

    def options(threads: int) -> Options:
        muxed = {"hls": _hls, "dash": _dash}[preset.container](sides, heard, wanted.segment_seconds)
        return {
            **encoded(threads),
            **_sound(heard, wanted.audio_bitrate_kbps),
            **_told(preset.container, heard),
            **muxed,
        }

    which = to_deinterlace(picture, wanted.deinterlace)
    folders = _folders(sides, heard) if preset.container == "hls" else ()
    entry = ENTRIES[preset.container]
    made = Recipe(
        _planned(request, sizes, heard), filtered, heard, options, deinterlace=which, entry=entry, folders=folders
    )
    filled, every = pace is not None and _fills(pace, picture), wanted.segment_seconds
    return made._replace(encoded=encoded, paced=pace is not None, filled=filled, key_frames_every=every)


def _fills(pace: float, picture: VideoStream) -> bool:
    """Whether some pictures become several at that rate."""
    return picture.variable_frame_rate or picture.held_seconds > 0 or pace > (picture.frame_rate or pace)


def _planned(request: Request[LadderParameters], sizes: tuple[Size, ...], heard: tuple[AudioStream, ...]) -> Plan:
    media, picture = request.media, request.picture
    return Plan(
        container=request.preset.container,
        duration_seconds=media.duration_seconds,
        video=sizes[0],
        audio=len(heard),
        video_seconds=_shown_seconds(media, picture) or None,
        audio_seconds=tuple(stream.duration_seconds for stream in heard),
        audio_offset=offset(picture, heard),
        folder=Ladder(rungs=sizes),
        seen_seconds=media.duration_seconds if _held_seconds(media, picture) > LEAST_HELD else None,
    )


def _refuse_too_short(media: Media, preset: Preset) -> None:
    """FFmpeg tells no bit rate of such a segment, and leaves its track out of the master playlist."""
    seconds = media.duration_seconds
    if preset.container == "hls" and seconds is not None and seconds <= LEAST_SECONDS:
        raise UnsuitableSource(
            f"the source lasts {seconds:.2f} s; HLS needs more than {LEAST_SECONDS} s: take another one, such as dash"
        )


def _steady(node: Node, media: Media, picture: VideoStream, most: int) -> Node:
    pace = _pace(media, picture, most)
    return node if pace is None else resampled(node, f"{pace:.6f}", from_zero=False)


def _pace(media: Media, picture: VideoStream, most: int) -> float | None:
    """The constant rate that it is given, since the lengths of segments are told by it: that of a broadcast which lost
    some of its frames, else one at which those that come unevenly are hardly moved, and segments end where they should.
    None: it keeps its own. A single picture stays, and so does a last one that is shown for longer than others."""
    rate = picture.frame_rate
    if rate is None or rate * (picture.duration_seconds or math.inf) < 2:
        return None
    even = rate >= SLOWEST and (media.format in DISCONTINUOUS or not picture.variable_frame_rate)
    pace = rate if even else max(USUAL_RATE, rate)
    return None if pace == kept_rate(picture, most) and not picture.held_seconds else min(pace, most)


def _held(node: Node, media: Media, picture: VideoStream) -> Node:
    """The last picture stays to the end of all: players would not get on to segments without one."""
    held = _held_seconds(media, picture)
    return node.filter("tpad", stop_mode="clone", stop_duration=f"{held:.3f}") if held > LEAST_HELD else node


def _held_seconds(media: Media, picture: VideoStream) -> float:
    return _shown_seconds(media, picture) - (picture.duration_seconds or math.inf)


def _shown_seconds(media: Media, picture: VideoStream) -> float:
    """Returns the seconds from the first picture to the end of all; 0.0 where nobody knows."""
    return max(0.0, (media.duration_seconds or 0.0) - picture.start_seconds)


def _sides(picture: VideoStream, wanted: LadderParameters) -> tuple[int, ...]:
    """The rungs' short sides, largest first: at least one, none above the source or what is wanted."""
    most = min(picture.width, picture.height, wanted.short_side)
    return tuple(side for side in RUNGS if side <= most)[: wanted.rungs] or (most,)


def _sizes(picture: VideoStream, sides: tuple[int, ...]) -> tuple[Size, ...]:
    """Returns the size of every rung. DASH wants all of one aspect ratio, to the pixel, which rounding to even numbers
    spoils: the pixels of the lower rungs are as much wider or narrower as that takes, which must be a ratio H.264 can
    write."""
    top = bounded(picture, short_side=sides[0])
    lower = (bounded(picture, short_side=side) for side in sides[1:])
    return top, *(_writable(size, top) for size in lower)


def _writable(size: Size, top: Size) -> Size:
    near = [(size[0] + across, size[1] + down) for across in (0, -2, 2, -4, 4) for down in (0, -2, 2)]
    return next((other for other in near if max(_stretch(other, top).as_integer_ratio()) <= MOST_RATIO), size)


def _stretch(size: Size, top: Size) -> Fraction:
    """How much wider than high the pixels of that rung are."""
    return Fraction(top[0] * size[1], top[1] * size[0])


def _rung(node: Node, size: Size, top: Size) -> Node:
    return node.filter("scale", *size).filter("setsar", str(_stretch(size, top)), max=MOST_RATIO)


def _capped(sides: tuple[int, ...]) -> Options:
    most = {number: RUNGS.get(side, LEAST_KBPS) for number, side in enumerate(sides)}
    ceilings = {f"maxrate:v:{number}": f"{kbps}k" for number, kbps in most.items()}
    return ceilings | {f"bufsize:v:{number}": f"{2 * kbps}k" for number, kbps in most.items()}


def _sound(streams: tuple[AudioStream, ...], kbps: int) -> Options:
    """What AAC puts before the first sample lasts the longer the lower its rate is, and no segment hides it."""
    if not streams:
        return {}
    slow = {f"ar:a:{number}": LEAST_RATE for number, stream in enumerate(streams) if stream.sample_rate < LEAST_RATE}
    return {"c:a": "aac", "b:a": f"{kbps}k", **narrowed(streams), **slow}


def _told(container: str, streams: tuple[AudioStream, ...]) -> Options:
    """Languages that are plain codes, and nothing else of what the file says: FFmpeg writes that into the manifest of
    DASH as it stands, where it could send players to somebody else."""
    plain = CONTAINERS[container].tells_language
    languages = {number: one.language for number, one in enumerate(streams) if one.language and plain(one.language)}
    return {"map_metadata": -1, **{f"metadata:s:a:{at}": f"language={code}" for at, code in languages.items()}}


def _hls(sides: tuple[int, ...], streams: tuple[AudioStream, ...], segment_seconds: int) -> Options:
    return {
        **lasting(AS_THE_ONE_BEFORE),
        "hls_time": segment_seconds,
        "hls_playlist_type": "vod",
        "hls_segment_type": "fmp4",
        "hls_segment_options": "movflags=+cmaf",
        "hls_flags": "independent_segments",
        "master_pl_name": MASTERS["hls"],
        "var_stream_map": " ".join([*_variants(sides, streams), *_renditions(streams)]),
    }


def _variants(sides: tuple[int, ...], streams: tuple[AudioStream, ...]) -> list[str]:
    group = ",agroup:sound" if streams else ""
    return [f"v:{number}{group},name:{side}p" for number, side in enumerate(sides)]


def _folders(sides: tuple[int, ...], streams: tuple[AudioStream, ...]) -> tuple[str, ...]:
    """Where the map says that each variant and rendition goes."""
    return (*(f"{side}p" for side in sides), *(_sound_name(number) for number in range(len(streams))))


def _sound_name(number: int) -> str:
    return f"sound{number or ''}"


def _renditions(streams: tuple[AudioStream, ...]) -> list[str]:
    return [
        f"a:{number},agroup:sound,name:{_sound_name(number)}{_language(stream)}"
        + (",default:yes" if not number else "")
        for number, stream in enumerate(streams)
    ]


def _language(stream: AudioStream) -> str:
    """Only what is a plain language code: the file's own words stand in a map of ours."""
    code = stream.language or ""
    return f",language:{code}" if code.isascii() and code.isalpha() and len(code) <= 8 else ""


def _dash(sides: tuple[int, ...], streams: tuple[AudioStream, ...], segment_seconds: int) -> Options:
    sound = [f"id={number + 1},streams={len(sides) + number}" for number in range(len(streams))]
    return {
        "seg_duration": segment_seconds,
        "use_template": 1,
        "use_timeline": 1,
        "format_options": "movflags=+cmaf",
        "adaptation_sets": " ".join(["id=0,streams=v", *sound]),
    }


def _estimated(request: Request[LadderParameters]) -> Estimate:
    wanted, encoder = request.wanted, ENCODERS[request.preset.encoder]
    kbps, rate = wanted.audio_bitrate_kbps, wanted.max_frame_rate
    return encoder.estimate(wanted.crf, wanted.speed, sound_kbps=kbps, max_frame_rate=rate)


LADDER = Kind("ladder", (LadderParameters,), ladder, _estimated)

"""From typed parameters to ffmpeg's command line, by way of ffmpeg-python's graph. Pure: nothing runs here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import ffmpeg
import msgspec

from daemon.demuxers import GUARDS
from daemon.errors import UnsuitableSource
from daemon.models import AudioStream, Media, Model, Parameters, VideoStream
from daemon.presets import (
    AudioParameters,
    GifParameters,
    Preset,
    RefreshedParameters,
    SheetParameters,
    Speed,
    VideoParameters,
    find,
)

DAY = 86400.0

# `-stats_period` is also how often ffmpeg looks for a `q` on its stdin, so `-nostdin` must never be here.
GLOBAL_OPTIONS = (
    *("-hide_banner", "-loglevel", "info", "-nostats", "-y"),
    *("-progress", "pipe:1", "-stats_period", "0.1"),
)

Node = Any  # of ffmpeg-python's graph, which has no types
Options = dict[str, Any]
Size = tuple[int, int]


class Plan(Model, frozen=True):
    """What an output shall be. `container` is ffmpeg's name for the format, `audio` counts its audio streams.

    `duration_seconds` is None where it is not known or, for a still picture, not meant.
    """

    container: str
    duration_seconds: float | None
    video: Size | None
    audio: int

    @property
    def still(self) -> bool:
        """Whether it is one picture, which has no duration."""
        return self.container == "mjpeg"


class Output(Model, frozen=True):
    """One file to write."""

    preset: str
    parameters: Parameters
    path: str


def plan(media: Media, preset: str, parameters: Parameters) -> Plan:
    """What this preset makes of that source.

    Raises UnknownPreset, or UnsuitableSource when the source lacks the picture or the sound it needs.
    """
    return _recipe(media, preset, parameters).plan


def command(source: str, media: Media, outputs: Sequence[Output], threads: int) -> list[str]:
    """The whole argv of one ffmpeg that decodes `source` once and writes every output.

    Each output is written to its `path` as it stands, whatever its extension. Each encoder uses `threads`
    threads. Raises as `plan` does.
    """
    recipes = [_recipe(media, output.preset, output.parameters) for output in outputs]
    decoded = ffmpeg.input(f"file:{source}", threads=threads, **GUARDS)
    pictures = _pictures(decoded, media, sum(recipe.filtered is not None for recipe in recipes))
    written = [
        _written(decoded, pictures, recipe, output.path, threads)
        for recipe, output in zip(recipes, outputs, strict=True)
    ]
    arguments = ffmpeg.merge_outputs(*written).get_args()
    return ["ffmpeg", *GLOBAL_OPTIONS, "-filter_complex_threads", str(threads), *arguments]


class _Recipe(NamedTuple):
    """One output: what is planned, what is done to the picture, which sound is kept, how both are encoded."""

    plan: Plan
    filtered: Callable[[Node], Node] | None
    sound: tuple[AudioStream, ...]
    options: Callable[[int], Options]  # by the number of threads


def _recipe(media: Media, name: str, parameters: Parameters) -> _Recipe:
    preset = find(name)
    build, family = _KINDS[preset.kind]
    return build(media, preset, msgspec.convert(parameters, family))


def _pictures(decoded: Node, media: Media, count: int) -> Iterator[Node]:
    """The source's picture, deinterlaced if need be, once for each output that shows it."""
    if count == 0 or media.video is None:
        return iter(())
    picture = decoded[str(media.video.index)]
    if media.video.interlaced:
        picture = picture.filter("bwdif", mode="send_frame", parity="auto", deint="interlaced")
    if count == 1:
        return iter([picture])
    copies = picture.filter_multi_output("split", count)
    return iter([copies[number] for number in range(count)])


def _written(decoded: Node, pictures: Iterator[Node], recipe: _Recipe, path: str, threads: int) -> Node:
    streams = [decoded[str(stream.index)] for stream in recipe.sound]
    if recipe.filtered is not None:
        streams.insert(0, recipe.filtered(next(pictures)))
    limit = {"f": recipe.plan.container, "t": f"{_guard(recipe.plan.duration_seconds):.3f}"}
    return ffmpeg.output(*streams, f"file:{path}", **recipe.options(threads), **limit)


def _guard(duration: float | None) -> float:
    """Seconds of output after which a source whose timestamps run away is cut off.

    It lies well beyond the plan, so that an output which meets it cannot pass for the planned one.
    """
    return DAY if duration is None else duration * 1.1 + 10


# The kinds of recipe


def _video(media: Media, preset: Preset, wanted: VideoParameters) -> _Recipe:
    picture = _picture(media, preset)
    size = _bounded(picture, short_side=wanted.short_side)

    def filtered(node: Node) -> Node:
        return _graded(_scaled(_thinned(node, picture, wanted.max_frame_rate), size), picture)

    return _film(media, preset, size, filtered, wanted)


def _refresh(media: Media, preset: Preset, wanted: RefreshedParameters) -> _Recipe:
    picture = _picture(media, preset)
    size = _even(picture.width), _even(picture.height)

    def filtered(node: Node) -> Node:
        filled = _scaled(node, _covering(size, wanted.rotation))
        turned = _graded(filled, picture).filter("rotate", a=wanted.rotation, ow=size[0], oh=size[1])
        return turned.filter("eq", brightness=wanted.brightness, contrast=wanted.contrast, saturation=wanted.saturation)

    return _film(media, preset, size, filtered, wanted)


def _film(
    media: Media,
    preset: Preset,
    size: Size,
    filtered: Callable[[Node], Node],
    wanted: VideoParameters | RefreshedParameters,
) -> _Recipe:
    """A picture of that size with all of the source's sound."""

    def options(threads: int) -> Options:
        encode = _ENCODERS[preset.encoder]
        sound = _sound(preset.container, media.audio, wanted.audio_bitrate_kbps)
        return {**_timing(), **encode(wanted.crf, wanted.speed, threads), **sound}

    planned = Plan(
        container=preset.container,
        duration_seconds=media.duration_seconds,
        video=size,
        audio=len(media.audio),
    )
    return _Recipe(planned, filtered, media.audio, options)


def _audio(media: Media, preset: Preset, wanted: AudioParameters) -> _Recipe:
    if not media.audio:
        raise UnsuitableSource(f"the source has no sound, which the preset {preset.name} needs")
    first = media.audio[0]
    duration = first.duration_seconds or media.duration_seconds
    planned = Plan(container=preset.container, duration_seconds=duration, video=None, audio=1)
    encoder = {"mp3": "libmp3lame", "aac": "aac"}[preset.encoder]

    def options(_threads: int) -> Options:
        return {"c:a": encoder, "b:a": f"{wanted.bitrate_kbps}k", **_narrowed([first])}

    return _Recipe(planned, None, (first,), options)


def _gif(media: Media, preset: Preset, wanted: GifParameters) -> _Recipe:
    picture = _picture(media, preset)
    size = _bounded(picture, long_side=wanted.long_side)
    duration = _excerpt(picture.duration_seconds or media.duration_seconds, wanted)

    def filtered(node: Node) -> Node:
        # At a fixed rate first: a long frame would outlast the end of the excerpt.
        excerpt = _resampled(node, str(wanted.fps)).filter("trim", start=wanted.start_seconds, duration=wanted.seconds)
        rewound = excerpt.filter("setpts", "PTS-STARTPTS")
        copies = _graded(_scaled(rewound, size), picture, "yuv444p").split()
        palette = copies[0].filter("palettegen", stats_mode="diff")
        return ffmpeg.filter([copies[1], palette], "paletteuse", dither="bayer", bayer_scale=4, diff_mode="rectangle")

    planned = Plan(container=preset.container, duration_seconds=duration, video=size, audio=0)
    return _Recipe(planned, filtered, (), lambda _threads: {"c:v": "gif", "loop": 0})


def _sheet(media: Media, preset: Preset, wanted: SheetParameters) -> _Recipe:
    picture = _picture(media, preset)
    tile = _bounded(picture, long_side=wanted.tile_long_side)
    count = wanted.columns * wanted.rows
    rate = count / media.duration_seconds if media.duration_seconds else 1.0
    size = tile[0] * wanted.columns, tile[1] * wanted.rows

    def filtered(node: Node) -> Node:
        tiles = _graded(_scaled(_resampled(node, f"{rate:.6f}"), tile), picture, "yuvj420p")
        return tiles.filter("tile", f"{wanted.columns}x{wanted.rows}")

    options = {"c:v": "mjpeg", "q:v": 3, "frames:v": 1}
    planned = Plan(container=preset.container, duration_seconds=None, video=size, audio=0)
    return _Recipe(planned, filtered, (), lambda _threads: options)


_KINDS: dict[str, tuple[Callable[[Media, Preset, Any], _Recipe], type]] = {
    "video": (_video, VideoParameters),
    "refresh": (_refresh, RefreshedParameters),
    "audio": (_audio, AudioParameters),
    "gif": (_gif, GifParameters),
    "sheet": (_sheet, SheetParameters),
}


def _picture(media: Media, preset: Preset) -> VideoStream:
    if media.video is None:
        raise UnsuitableSource(f"the source has no picture, which the preset {preset.name} needs")
    return media.video


def _excerpt(duration: float | None, wanted: GifParameters) -> float | None:
    """Seconds that are shown. Raises UnsuitableSource when the source ends before they begin."""
    if duration is None:
        return None
    if wanted.start_seconds >= duration:
        raise UnsuitableSource(f"the source lasts {duration:.1f} s; nothing is left at {wanted.start_seconds:g} s")
    return min(wanted.seconds, duration - wanted.start_seconds)


# The picture


def _even(pixels: float) -> int:
    """Rounded down to what 4:2:0 can hold, at least 2."""
    return max(2, int(pixels) // 2 * 2)


def _bounded(picture: VideoStream, *, short_side: int | None = None, long_side: int | None = None) -> Size:
    """The displayed size, shrunk to the bound but never enlarged, in even numbers."""
    sides = picture.width, picture.height
    factor = min(1.0, (short_side or math.inf) / min(sides), (long_side or math.inf) / max(sides))
    width, height = (_even(side * factor + 0.5) for side in sides)
    return width, height


def _covering(size: Size, angle: float) -> Size:
    """The size from which a frame of `size`, turned by `angle` radians, can be cut without empty corners."""
    width, height = size
    factor = math.cos(angle) + math.sin(angle) * max(width / height, height / width)
    return _even(width * factor + 2), _even(height * factor + 2)


def _scaled(node: Node, size: Size) -> Node:
    return node.filter("scale", *size).filter("setsar", 1)


def _graded(node: Node, picture: VideoStream, pixel_format: str = "yuv420p") -> Node:
    """In 8 bits; HDR mapped to the range of ordinary screens, on which it would look washed out otherwise."""
    if picture.transfer is None:
        return node.filter("format", pixel_format)
    linear = node.filter("zscale", tin=picture.transfer, pin="2020", min="2020_ncl", t="linear", npl=100)
    mapped = linear.filter("format", "gbrpf32le").filter("zscale", p="709").filter("tonemap", "hable", desat=0)
    return mapped.filter("zscale", t="709", m="709", r="limited").filter("format", pixel_format)


def _resampled(node: Node, rate: str) -> Node:
    """At a fixed frame rate from 0 on. Without `pass` a source of one short frame would yield none."""
    return node.filter("fps", rate, start_time=0, eof_action="pass")


def _thinned(node: Node, picture: VideoStream, most: int) -> Node:
    """Drops frames that follow the last one too soon; the rest keep their times. Nothing is ever doubled."""
    if picture.frame_rate is not None and picture.frame_rate <= most * 1.01:
        return node
    return node.filter("select", f"isnan(prev_selected_t)+gte(t-prev_selected_t,{0.95 / most:.6f})")


# The encoders


def _timing() -> Options:
    """Every frame at its own time: a fixed rate would double frames, or fill a gap of days with them."""
    return {"fps_mode": "vfr", "enc_time_base": "demux"}


def _h264(crf: int, speed: Speed, threads: int) -> Options:
    return {"c:v": "libx264", "preset": speed, "crf": crf, "threads": threads}


def _hevc(crf: int, speed: Speed, threads: int) -> Options:
    # With B-frames x265 gives decoding times that cut a source of uneven frame rate short in an MP4.
    options = {"c:v": "libx265", "preset": speed, "crf": crf, "threads": threads, "bf": 0, "tag:v": "hvc1"}
    return {**options, "x265-params": f"pools={threads}:log-level=warning"}


def _av1(crf: int, speed: Speed, threads: int) -> Options:
    preset = {"ultrafast": 10, "veryfast": 9, "fast": 8, "medium": 6, "slow": 5}[speed]
    # SVT-AV1 refuses a nominal rate over 240, which files of uneven rate claim; only its rate control uses it.
    return {"c:v": "libsvtav1", "preset": preset, "crf": crf, "svtav1-params": f"lp={threads}:fps-num=30:fps-denom=1"}


def _vp9(crf: int, speed: Speed, threads: int) -> Options:
    effort = {"ultrafast": 8, "veryfast": 5, "fast": 4, "medium": 2, "slow": 1}[speed]
    deadline = "realtime" if speed == "ultrafast" else "good"
    options = {"c:v": "libvpx-vp9", "crf": crf, "b:v": 0, "deadline": deadline, "cpu-used": effort}
    return {**options, "row-mt": 1, "threads": threads}


_ENCODERS: dict[str, Callable[[int, Speed, int], Options]] = {
    "h264": _h264,
    "hevc": _hevc,
    "av1": _av1,
    "vp9": _vp9,
}


def _sound(container: str, streams: Sequence[AudioStream], bitrate_kbps: int) -> Options:
    fast_start = {"movflags": "+faststart"} if container == "mp4" else {}
    if not streams:
        return fast_start
    encoder = "libopus" if container == "webm" else "aac"
    return {**fast_start, "c:a": encoder, "b:a": f"{bitrate_kbps}k", **_narrowed(streams)}


def _narrowed(streams: Iterable[AudioStream]) -> Options:
    """At most stereo and 48 kHz; mono stays mono."""
    options: Options = {}
    for number, stream in enumerate(streams):
        if stream.channels > 2:
            options[f"ac:a:{number}"] = 2
        if stream.sample_rate > 48000:
            options[f"ar:a:{number}"] = 48000
    return options

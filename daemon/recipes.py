"""From typed parameters to ffmpeg's command line, by way of ffmpeg-python's graph. Pure: nothing runs here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ffmpeg
import msgspec

from daemon import film, soundtrack, stills
from daemon.demuxers import GUARDS
from daemon.models import Media, Model, Parameters
from daemon.picture import deinterlaced
from daemon.plans import Node, Plan, Recipe
from daemon.presets import (
    AudioParameters,
    GifParameters,
    Preset,
    RefreshedParameters,
    SheetParameters,
    VideoParameters,
    find,
)

DAY = 86400.0

# `-stats_period` is also how often ffmpeg looks for a `q` on its stdin, so `-nostdin` must never be here.
GLOBAL_OPTIONS = (
    *("-hide_banner", "-loglevel", "info", "-nostats", "-y"),
    *("-progress", "pipe:1", "-stats_period", "0.1"),
)


class Output(Model, frozen=True):
    """One file to write."""

    preset: str
    parameters: Parameters
    path: str


_KINDS: dict[str, tuple[Callable[[Media, Preset, Any], Recipe], type]] = {
    "video": (film.video, VideoParameters),
    "refresh": (film.refresh, RefreshedParameters),
    "audio": (soundtrack.audio, AudioParameters),
    "gif": (stills.gif, GifParameters),
    "sheet": (stills.sheet, SheetParameters),
}


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
    decoded = ffmpeg.input(f"file:{source}", threads=threads, **GUARDS, **_reading(media))
    pictures = _pictures(decoded, media, [recipe for recipe in recipes if recipe.filtered])
    written = [
        _written(decoded, pictures, recipe, output.path, threads)
        for recipe, output in zip(recipes, outputs, strict=True)
    ]
    arguments = ffmpeg.merge_outputs(*written).get_args()
    return ["ffmpeg", *GLOBAL_OPTIONS, "-filter_complex_threads", str(threads), *arguments]


def _recipe(media: Media, name: str, parameters: Parameters) -> Recipe:
    preset = find(name)
    build, family = _KINDS[preset.kind]
    return build(media, preset, msgspec.convert(parameters, family))


def _reading(media: Media) -> dict[str, Any]:
    """How this source is to be read: its first picture or sound at 0, and its alpha, which VP8 and VP9 hide."""
    options: dict[str, Any] = {"f": media.format} if media.format.endswith("_pipe") else {}
    if media.lead_seconds > 0.001 and media.format not in _REWOUND:
        options["itsoffset"] = f"{-media.lead_seconds:.6f}"
    picture = media.video
    if picture and picture.alpha and picture.codec in _ALPHA_DECODERS:
        options[f"c:{picture.index}"] = _ALPHA_DECODERS[picture.codec]
    return options


# Formats whose timestamps may jump: of them ffmpeg itself leaves out what precedes the streams it uses.
_REWOUND = {"mpegts", "mpeg", "ogg"}
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


def _pictures(decoded: Node, media: Media, recipes: Sequence[Recipe]) -> dict[str | None, Iterator[Node]]:
    """By what is to be deinterlaced: the source's picture, treated once, for each recipe that shows it."""
    if media.video is None:
        return {}
    found = {}
    for which, count in Counter(recipe.deinterlace for recipe in recipes).items():
        picture = decoded[str(media.video.index)]
        found[which] = _copies(deinterlaced(picture, which) if which else picture, count)
    return found


def _copies(picture: Node, count: int) -> Iterator[Node]:
    if count == 1:
        return iter([picture])
    copies = picture.filter_multi_output("split", count)
    return iter([copies[number] for number in range(count)])


def _written(
    decoded: Node, pictures: dict[str | None, Iterator[Node]], recipe: Recipe, path: str, threads: int
) -> Node:
    indices = [*(stream.index for stream in recipe.sound), *(stream.index for stream in recipe.subtitles)]
    streams = [decoded[str(index)] for index in indices]
    if recipe.filtered is not None:
        streams.insert(0, recipe.filtered(next(pictures[recipe.deinterlace])))
    limit = {"f": recipe.plan.container, "t": f"{_guard(recipe.plan.duration_seconds):.3f}"}
    return ffmpeg.output(*streams, f"file:{path}", **recipe.options(threads), **limit)


def _guard(duration: float | None) -> float:
    """Seconds of output after which a source whose timestamps run away is cut off.

    It lies well beyond the plan, so that an output which meets it cannot pass for the planned one.
    """
    return DAY if duration is None else duration * 1.1 + 10

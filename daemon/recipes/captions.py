"""Makes a subtitle track of the captions that frames carry (EIA-608), where that is asked for.

FFmpeg finds them only in frames that a source of filters reads. That reads no file of others, but a tiny film which a
step before makes of the picture: its captions have the output's clock, whatever the source's own was.
"""

from __future__ import annotations

import re
from functools import partial

import ffmpeg
from msgspec.structs import replace

from daemon.errors import UnsuitableSource
from daemon.media.allowlist import GUARDS
from daemon.presets.traits import KeptTraits
from daemon.recipes.encoders import timing
from daemon.recipes.recipe import Begin, Node, Options, Recipe, Request, Step, Steps, W, changed_steps, measuring

ASIDE = ".captions"  # behind an output's name: the film that carries them
ENCODERS = {"mp4": "mov_text", "webm": "webvtt", "matroska": "ass"}
SHARE = 0.2  # of the time, for decoding the source once more
SIDE = 16  # pixels, for an encoder to take it
_OWN = {**GUARDS, "format_whitelist": "lavfi", "codec_whitelist": "cc_dec,wrapped_avframe"}
_FROM_ZERO = f"color=size={SIDE}x{SIDE}:duration=0.04[out1]"  # else FFmpeg counts from the first captioned picture


def as_text(recipe: Recipe, request: Request[W]) -> Recipe:
    """Returns the same with one more subtitle track, if that is wanted and its frames carry captions.

    Raises UnsuitableSource where they are to be left out of a picture that is copied.
    """
    picture, wanted = request.media.video, request.wanted
    if not isinstance(wanted, KeptTraits) or not (picture and picture.captions):
        return recipe
    if wanted.captions == "drop" and _is_copied(recipe.options(1)):
        raise UnsuitableSource(
            "captions=drop was asked for, and they are in the picture, where a copy cannot leave them out: encode it"
        )
    if wanted.captions != "text":
        return recipe
    return _with_track(recipe)._replace(steps=partial(_steps, recipe))


def read(path: str, recipe: Recipe) -> list[Node]:
    """Reads the captions of the output that is written to that path, if it has a track of them."""
    if not recipe.captions:
        return []
    name = re.sub(r"[^\w./-]", r"\\\\\\\g<0>", path + ASIDE)  # for the graph, and for what the filter is told
    return [ffmpeg.input(f"movie={name}[out0+subcc];{_FROM_ZERO}", f="lavfi", **_OWN)["s:0"]]


def _is_copied(options: Options) -> bool:
    return options.get("c:v", options.get("c")) == "copy"


def _steps(recipe: Recipe) -> Steps:
    """What the recipe takes anyway, behind the one that gathers captions."""
    yield Step(_gathering(recipe), SHARE, aside=ASIDE)
    if recipe.steps is None:
        yield Step(_with_track(recipe), 1 - SHARE)
        return
    steps = changed_steps(recipe.steps(), lambda step: step._replace(recipe=_with_track(step.recipe)))
    step = next(steps, None)
    while step is not None:
        passed = yield step._replace(share=(1 - SHARE) * step.share)
        try:
            step = steps.send(passed)
        except StopIteration:
            return


def _with_track(recipe: Recipe) -> Recipe:
    def options(threads: int) -> Options:
        return {**recipe.options(threads), **_track(recipe)}

    plan = replace(recipe.plan, subtitles=recipe.plan.subtitles + 1)
    return recipe._replace(plan=plan, options=options, captions=True, encoded=None)


def _track(recipe: Recipe) -> Options:
    """How it is encoded. Of words that nothing clears FFmpeg does not know how long they stay: here, to the end."""
    number, end = len(recipe.subtitles), recipe.plan.duration_seconds
    encoder = {f"c:s:{number}": ENCODERS[recipe.plan.container]}
    if end is None:
        return encoder
    lasts = f"if(gt(PTS+DURATION,{end:.3f}/TB),max(1,{end:.3f}/TB-PTS),DURATION)".replace(",", r"\,")
    return {**encoder, f"bsf:s:{number}": f"setts=pts=PTS:dts=DTS:duration={lasts}"}


def _gathering(recipe: Recipe) -> Recipe:
    """The step that decodes the picture, on the clock of all that the output takes."""

    def options(_threads: int) -> Options:
        encode = {"c:v": "libx264", "preset": "ultrafast", "threads": 1}
        return {**timing(), **encode, "map_metadata": -1, "map_chapters": -1}

    bare = measuring(recipe)._replace(sound=(), subtitles=(), attached=(), direct=None, deinterlace=None, encoded=None)
    plan = replace(bare.plan, container="matroska", quality=None)
    return bare._replace(plan=plan, filtered=_tiny, options=options, begin=Begin())


def _tiny(shown: Node) -> Node:
    return shown.filter("scale", SIDE, SIDE).filter("format", "yuv420p")

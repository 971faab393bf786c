"""Makes ffmpeg's command lines of typed parameters, by way of ffmpeg-python's graph. Nothing runs here."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import ffmpeg

from daemon.errors import UnknownPreset
from daemon.media.allowlist import DISCONTINUOUS, GUARDS
from daemon.media.model import Media
from daemon.models import Model, Parameters
from daemon.presets.builtin import PRESETS
from daemon.presets.traits import Metric
from daemon.recipes import captions, chapters, pieces, quality_filter
from daemon.recipes.contents import accounted
from daemon.recipes.encoders import timing
from daemon.recipes.filter_graph import apart, branched, merged
from daemon.recipes.kind import Estimate, Kind
from daemon.recipes.kinds import adaptive, archival, audio, capped, film, framed, sprites, stills
from daemon.recipes.metadata import REPEATED, named_files, told_by_another, told_by_stream
from daemon.recipes.picture import (
    deinterlaced,
    is_idle,
    levelled,
    may_change_shape,
    of_known_matrix,
    of_one_shape,
    timed_backwards,
)
from daemon.recipes.reading import read
from daemon.recipes.recipe import (
    NOTHING,
    Begin,
    Judgement,
    Node,
    Options,
    Passed,
    Piece,
    Plan,
    Recipe,
    Request,
    Step,
    Trial,
    refuse_lost,
    refuse_truncated,
)
from daemon.recipes.sharing import may_share

DAY = 86400.0
MEASURING = 0.15  # of the time, where a picture is compared with its source
TRIAL = ".trial"  # behind an output's name: what is encoded to try something
FIGURES = ".quality"  # behind an output's name: a file with the figures of its frames

# `-stats_period` is also how often ffmpeg looks for a `q` on its stdin, so `-nostdin` must never be here.
GLOBAL_OPTIONS = (
    *("-hide_banner", "-loglevel", "info", "-nostats", "-y"),
    *("-progress", "pipe:1", "-stats_period", "0.1"),
)


ON_TIME = ("-copyts", "-start_at_zero")  # what is read from the middle keeps the times it has in the whole


class Output(Model, frozen=True):
    """An output is one file or folder to write.

    `preset` is a built-in one: `parameters` has all that makes the user's own. With a `begin` it is a piece of the
    film's picture; with `pieces` the film is joined from these.
    """

    preset: str
    parameters: Parameters
    path: str
    threads: int | None = None  # of its encoder; None: as many as all else has
    begin: Begin | None = None
    pieces: tuple[Piece, ...] = ()


class Pass(NamedTuple):
    """A pass is one run of ffmpeg, with its share of the time that the whole takes.

    `folders` and `files` (text by path) must be there before it starts; paths are as the outputs' are. One that
    only `measures` an output, named by its path, may fail without harm to that, and has no haste. `chosen` are, by
    the output's path, parameters that passes before it decided.
    """

    argv: list[str]
    share: float = 1.0
    folders: tuple[str, ...] = ()
    files: Mapping[str, str] = {}
    measures: str | None = None
    chosen: Mapping[str, Parameters] = {}


Passes = Generator[Pass, Passed, None]

_REGISTERED: tuple[Kind[Any], ...] = (
    *(film.VIDEO, film.REFRESH, framed.FRAMED, capped.CAPPED),
    *(archival.ARCHIVE, archival.LOSSLESS, archival.REMUX),
    *(adaptive.LADDER, audio.AUDIO),
    *(stills.GIF, stills.WEBP, stills.POSTER, stills.SHEET, sprites.SPRITES),
)
KINDS = {kind.name: kind for kind in _REGISTERED}


class Prospect(NamedTuple):
    """Tells what an output shall be, what such a one usually takes, whether others may be made in the same pass, and
    whether it may be made in pieces.
    """

    plan: Plan
    estimate: Estimate
    shareable: bool
    resumable: bool


def plan(media: Media, preset: str, parameters: Parameters) -> Plan:
    """Says what this built-in preset makes of that source.

    Raises UnknownPreset, BadParameter, or UnsuitableSource when the source lacks what it needs.
    """
    return _recipe(media, preset, parameters).plan


def prospect(media: Media, preset: str, parameters: Parameters) -> Prospect:
    """Tells all that is known of an output before it is made. Raises as `plan` does."""
    kind, request = _request(media, preset, parameters)
    recipe = _made_of(kind, request)
    shareable = may_share(media, recipe)
    return Prospect(recipe.plan, kind.estimate(request), shareable, pieces.can_be_gone_on_with(recipe))


def spans(media: Media, preset: str, parameters: Parameters, least: float) -> tuple[Begin, ...]:
    """Returns where the spans of a film begin, of `least` seconds or more, that may be encoded on several machines at
    once: one that is all of it where it may not be cut. Raises as `plan` does.
    """
    if parameters.get("pieces") == "never":
        return (Begin(),)
    return pieces.spans(_recipe(media, preset, parameters), media, least)


def command(source: str, media: Media, outputs: Sequence[Output], threads: int) -> list[str]:
    """Returns the whole argv of one ffmpeg that decodes `source` once and writes every output.

    Each output is written to its `path` as it stands, whatever its extension. Decoder and filters use `threads`
    threads each. Of an output that takes several passes it is the last. Raises as `plan` does.
    """
    recipes = [(_making(media, output), output.path) for output in outputs]
    return _argv(source, media, recipes, threads)


def passes(source: str, media: Media, outputs: Sequence[Output], threads: int) -> Passes:
    """Yields every run of ffmpeg it takes, one after the other in the same folder, for the outputs `command` speaks of.

    Sent what one left behind, it yields the next: most outputs share a single run. Passes of one output find each
    other's files in the folder they run in. Raises as `plan` does before the first; and later, with words for
    the user, an FfspoolError when what a pass left behind shows that nothing will come of it.
    """
    recipes = [(_making(media, output), output.path) for output in outputs]
    at_once = [(recipe, path) for recipe, path in recipes if recipe.steps is None and not recipe.joined]
    joined = [(recipe, path) for recipe, path in recipes if recipe.joined]
    in_turn = [(recipe, path) for recipe, path in recipes if recipe.steps is not None]
    measured = [output for output, (recipe, _) in zip(outputs, recipes, strict=True) if recipe.plan.quality]
    share = (1 - MEASURING * bool(measured)) / (bool(at_once) + len(joined) + len(in_turn))
    if at_once:
        yield _pass(source, media, at_once, threads, share)
    for one in joined:  # each reads files of its own
        yield _pass(source, media, [one], threads, share)
    for recipe, path in in_turn:
        assert recipe.steps is not None
        steps, passed = recipe.steps(), None
        while (step := _next(steps, passed)) is not None:
            passed = yield _next_pass(source, media, step, path, threads, share * step.share)
    for output in measured:
        yield _comparison(source, media, output, threads, MEASURING / len(measured))


_Made = Sequence[tuple[Recipe, str]]  # recipes, and where to write what they make


def _next(steps: Any, passed: Passed | None) -> Any:
    try:
        return steps.send(passed)
    except StopIteration:
        return None


def _pass(source: str, media: Media, made: _Made, threads: int, share: float) -> Pass:
    return Pass(
        argv=_argv(source, media, made, threads),
        share=share,
        folders=tuple(folder for recipe, path in made for folder in _folders(recipe, path)),
        files={name: text for recipe, path in made for name, text in _files(recipe, path)},
    )


def _files(recipe: Recipe, path: str) -> Iterator[tuple[str, str]]:
    if recipe.joined:
        yield f"{path}{pieces.LIST}", pieces.listed(recipe.joined)
    if recipe.chapters:
        yield f"{path}{chapters.LIST}", chapters.listed(recipe.chapters)
    for name, text in recipe.files.items():
        yield f"{path}/{name}", text


def _folders(recipe: Recipe, path: str) -> list[str]:
    return [path, *(f"{path}/{name}" for name in recipe.folders)] if recipe.plan.folder else []


def _next_pass(
    source: str, media: Media, step: Step | Trial | Judgement, path: str, threads: int, share: float
) -> Pass:
    if isinstance(step, Step):
        one = _pass(source, media, [(step.recipe, path + step.aside)], threads, share)
        return one._replace(chosen={path: dict(step.chosen)} if step.chosen else {})
    plan, trial = step.recipe.plan, path + TRIAL
    shown = _partly(source, media, step, threads)
    if isinstance(step, Trial):
        options = {**timing(), **step.options(threads), "f": plan.container}
        return Pass(_whole(ffmpeg.output(shown, f"file:{trial}", **options).get_args(), threads), share)
    return Pass(_compared("vmaf", plan, trial, trial + FIGURES, shown, threads), share)


def _partly(source: str, media: Media, step: Trial | Judgement, threads: int) -> Node:
    """Parts of the source as the recipe shows them, one after the other."""
    parts = [read(source, media, threads, ss=f"{one.start:.3f}", t=f"{one.seconds:.3f}") for one in step.excerpts]
    shown = branched([picture for decoded in parts for picture in _shown(decoded, media, step.recipe, going_on=True)])
    joined = ffmpeg.concat(*shown) if len(shown) > 1 else shown[0]
    return joined.filter("setpts", "PTS-STARTPTS")


def _comparison(source: str, media: Media, output: Output, threads: int, share: float) -> Pass:
    """Compares the picture that was made, of pieces or at once, with the source's, as its recipe shows that."""
    recipe, path = _recipe(media, output.preset, output.parameters), output.path
    plan = recipe.plan
    assert plan.quality
    [reference] = branched(_shown(read(source, media, threads), media, recipe))
    argv = _compared(plan.quality, plan, path, path + FIGURES, reference, threads)
    return Pass(argv, share, measures=path)


def _compared(metric: Metric, plan: Plan, path: str, figures: str, reference: Node, threads: int) -> list[str]:
    assert plan.video
    made = ffmpeg.input(f"file:{path}", threads=threads, **GUARDS)["v:0"]
    name, options = quality_filter.comparing(metric, plan.video, figures, threads)
    pair = [picture.filter("format", quality_filter.FORMATS) for picture in (made, reference)]
    limit = f"{_guard(plan.duration_seconds):.3f}"
    compared = ffmpeg.output(ffmpeg.filter(pair, name, **options), "-", f="null", t=limit)
    return _whole(compared.get_args(), threads)


def _whole(args: Sequence[str], threads: int, told: Sequence[str] = ()) -> list[str]:
    spelt = (found[1] if (found := REPEATED.fullmatch(word)) else word for word in args)
    return ["ffmpeg", *GLOBAL_OPTIONS, "-filter_complex_threads", str(threads), *told, *spelt]


def _argv(source: str, media: Media, made: _Made, threads: int) -> list[str]:
    late = pieces.begin_reading([recipe.begin for recipe, _ in made], media.format)
    seek = {"ss": f"{late:.6f}"} if late else {}
    decoded = read(source, media, threads, filtered=any(recipe.filtered for recipe, _ in made), **seek)
    shown = [_shown(decoded, media, recipe, going_on=late > 0) for recipe, _ in made]
    groups = apart(shown, partial(is_idle, picture=media.video))
    parts = [_outputs(decoded, media, [(shown[n], *made[n]) for n in group], threads).get_args() for group in groups]
    graphs = sum(any(shown[n] for n in group) for group in groups)
    return _whole(merged(parts), max(1, threads // max(1, graphs)), ON_TIME if late else ())


def _outputs(decoded: Node, media: Media, made: Sequence[tuple[list[Node], Recipe, str]], threads: int) -> Node:
    lines = iter(branched([picture for pictures, _, _ in made for picture in pictures]))
    written = [
        _written(decoded, media, list(islice(lines, len(pictures))), recipe, path, threads)
        for pictures, recipe, path in made
    ]
    written += [_sound(decoded, recipe, path, threads) for _, recipe, path in made if recipe.heard_beside]
    return ffmpeg.merge_outputs(*written, *_on_its_clock(decoded, media, [recipe for _, recipe, _ in made]))


def _sound(decoded: Node, recipe: Recipe, path: str, threads: int) -> Node:
    """That of a film in pieces, in a file beside the first of them."""
    assert recipe.heard_beside
    limit = {"f": recipe.plan.container, "t": f"{_guard(recipe.plan.duration_seconds):.3f}", "map_chapters": -1}
    heard = [decoded[str(stream.index)] for stream in recipe.sound]  # with what is told of each
    return ffmpeg.output(*heard, f"file:{path}{pieces.SOUND}", **recipe.heard_beside(threads), **limit)


def _on_its_clock(decoded: Node, media: Media, recipes: Sequence[Recipe]) -> Iterator[Node]:
    """Where timestamps may jump FFmpeg counts from the first of the streams that it uses, and follows any of them. So
    what makes but a part of a film uses the rest of its streams too, and throws it away.
    """
    if media.format not in DISCONTINUOUS or not any(recipe.begin or recipe.joined for recipe in recipes):
        return
    streams = [decoded[str(stream.index)] for stream in (media.video, *media.audio) if stream]
    limit = f"{_guard(media.duration_seconds):.3f}"
    yield ffmpeg.output(*streams, "-", f="null", c="copy", t=limit)


def _making(media: Media, output: Output) -> Recipe:
    recipe, threads = _recipe(media, output.preset, output.parameters), output.threads
    if output.begin:
        recipe = pieces.one_piece(recipe, output.begin)
    elif output.pieces:
        recipe = pieces.joined(recipe, output.pieces)
    return recipe._replace(options=lambda _: recipe.options(threads)) if threads else recipe


def _recipe(media: Media, name: str, parameters: Parameters) -> Recipe:
    return _made_of(*_request(media, name, parameters))


def _request(media: Media, name: str, parameters: Parameters) -> tuple[Kind[Any], Request[Any]]:
    if name not in PRESETS:
        raise UnknownPreset(f"there is no built-in preset {name!r}")
    kind = KINDS[PRESETS[name].kind]
    request = kind.request(media, PRESETS[name], parameters)
    return kind, request._replace(media=request.salvaged)


def _made_of(kind: Kind[Any], request: Request[Any]) -> Recipe:
    if not kind.silent:
        refuse_lost(request.media, "sound")
    recipe = chapters.as_needed(kind.recipe(request), request)
    refuse_truncated(request.media)  # of which something could be made, were it whole
    return accounted(captions.as_text(recipe, request), request.media, request.wanted, silent=kind.silent)


def _written(decoded: Node, media: Media, shown: list[Node], recipe: Recipe, path: str, threads: int) -> Node:
    aside = recipe.heard_aside or recipe.begin or pieces.heard_beside(recipe, recipe.joined)
    heard = () if aside else recipe.sound
    kept = [recipe.direct, *heard, *recipe.subtitles, recipe.cover]
    streams = [*shown, *(decoded[str(stream.index)] for stream in kept if stream)]
    if recipe.joined:
        streams = [*pieces.read(path, recipe), *(streams or [decoded[NOTHING]])]
    if recipe.heard_aside:
        streams.insert(0, ffmpeg.input(f"file:{path}{recipe.heard_aside}", **GUARDS)["a:0"])
    streams += [*captions.read(path, recipe), *(decoded[str(index)] for index in recipe.attached)]
    limit = {"f": recipe.plan.container, "t": f"{_guard(recipe.plan.duration_seconds):.3f}"}
    if media.still and recipe.direct:
        limit["frames:v"] = "1"
    # The HLS muxer takes "file:" for the name of a folder; a folder's name is ours, and needs no such guard.
    place = f"{path}/{recipe.entry}" if recipe.entry else f"file:{path}"
    options = {**_told(media, recipe, recipe.options(threads)), **limit}
    if recipe.chapters:
        streams, options = chapters.beside(streams, options, path)
    return ffmpeg.output(*streams, place, **options)


def _told(media: Media, recipe: Recipe, options: Options) -> Options:
    first = media.video or next(iter(recipe.sound), None)
    number = bool(recipe.joined) + pieces.heard_beside(recipe, recipe.joined)  # of the source among what is read
    if "map_metadata" in options:
        return {**options, **named_files(recipe.attached, number)}
    if media.format != "ogg" or first is None or recipe.plan.still:
        return {**options, **told_by_another(number, options)} if number else options
    return {**options, **told_by_stream(first.index, recipe.sound, recipe.subtitles, number)}


def _shown(decoded: Node, media: Media, recipe: Recipe, *, going_on: bool = False) -> list[Node]:
    """What the recipe makes of the picture: none, one, or several of a ladder."""
    if recipe.filtered is None or media.video is None:
        return []
    picture = decoded[str(media.video.index)]
    if going_on and recipe.begin:  # others may begin before; filters that choose frames go by the first that they see
        picture = picture.filter("trim", start=f"{recipe.begin.warm:.6f}")
    if media.video.stereo and not recipe.plan.stereo:
        picture = picture.filter("sidedata", "delete", type="STEREO3D")
    picture = of_known_matrix(picture, media.video)
    if media.video.counted:
        picture = picture.filter("setpts", f"PTS-STARTPTS+{media.video.start_seconds:.6f}/TB")
    elif media.video.unstamped and not going_on:
        picture = timed_backwards(picture, media.video)
    if media.still:
        picture = picture.filter("trim", end_frame=1)  # what follows in a photograph are previews, depths and the like
    same = of_one_shape(picture, media.video) if may_change_shape(media) else picture
    whole = deinterlaced(same, recipe.deinterlace) if recipe.deinterlace else same
    shown = recipe.filtered(levelled(whole, media.video) if media.video.tilt else whole)
    return shown if isinstance(shown, list) else [shown]


def _guard(duration: float | None) -> float:
    """Seconds of output after which a source whose timestamps run away is cut off.

    It lies well beyond the plan, so that an output which meets it cannot pass for the planned one.
    """
    return DAY if duration is None else duration * 1.1 + 10

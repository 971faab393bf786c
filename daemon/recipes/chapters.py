"""Tells chapters in a text of our own where those that FFmpeg copies by itself would be wrong in the output.

In an MP4 players look for them in a track of texts: FFmpeg writes it as if the first began at 0, and leaves out those
without a name, so that all behind are told for others. In an Ogg it writes moments behind half a second a second late.
And sound that is rewound takes its chapters along. Where a film ends before one begins, no player gets there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import ffmpeg
from msgspec.structs import replace

from daemon.media.model import Chapter, Media
from daemon.recipes.recipe import NOTHING, Node, Options, Plan, Recipe, Request, Step, W, changed_steps

LIST = ".chapters"  # behind an output's name: the text
NAMELESS = " "
LEAST_LATE = 0.05  # seconds
MOST_BEHIND = 1.0  # seconds behind an end that is rounded
_TEXTED = {"mp4", "ipod"}  # containers with such a track
_COMMENTED = "opus"  # one that tells them in comments
MOST_COMMENTED = 1000  # of them: their numbers have three digits
_SPECIAL = str.maketrans({char: f"\\{char}" for char in "=;#\\\n"})


def told(container: str, media: Media) -> tuple[Chapter, ...]:
    """Returns those of the source that such an output has."""
    return within(media)[:MOST_COMMENTED] if container == _COMMENTED else within(media)


def within(media: Media) -> tuple[Chapter, ...]:
    """Returns those that begin before the source ends."""
    ends = media.duration_seconds
    return tuple(one for one in media.chapters if ends is None or one.start_seconds < ends + MOST_BEHIND)


def as_needed(recipe: Recipe, request: Request[W]) -> Recipe:
    """Returns the same, whose chapters are told anew where they have to be."""
    begins = recipe.sound[0].start_seconds if request.preset.kind == "audio" and recipe.sound else 0.0
    anew, steps = _anew(recipe.plan, request.media, begins), recipe.steps
    if anew is None:
        return recipe
    if steps is not None:
        recipe = recipe._replace(steps=lambda: changed_steps(steps(), partial(_step_with, anew)))
    return _with(anew, recipe)


def _step_with(anew: tuple[Chapter, ...], step: Step) -> Step:
    return step._replace(recipe=_with(anew, step.recipe))


def _with(anew: tuple[Chapter, ...], recipe: Recipe) -> Recipe:
    planned = recipe._replace(plan=replace(recipe.plan, chapters=anew))
    if anew and recipe.plan.container != _COMMENTED:
        return planned._replace(chapters=anew)
    comments: Options = {"map_chapters": -1, **_comments(anew)}
    return planned._replace(options=lambda threads: {**recipe.options(threads), **comments})


def _comments(chapters: Iterable[Chapter]) -> Options:
    """What an Ogg tells of them in comments, by the muxer of which a moment behind half a second is a second late."""
    told: Options = {}
    for number, chapter in enumerate(chapters):
        seconds, thousandths = divmod(round(chapter.start_seconds * 1000), 1000)
        name, begins = f"CHAPTER{number:03}", f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        told[f"metadata:s:a:0#chapter{number:03}"] = f"{name}={begins}.{thousandths:03}"
        if chapter.title:
            told[f"metadata:s:a:0#chapter{number:03}_name"] = f"{name}NAME={chapter.title}"
    return told


def _anew(plan: Plan, media: Media, begins: float) -> tuple[Chapter, ...] | None:
    """What has to be told anew, from that second of the source on; None where FFmpeg does it right."""
    if not plan.chapters:
        return () if told(plan.container, media) != media.chapters else None
    moved = begins > LEAST_LATE
    found = [_earlier(one, begins) for one in plan.chapters if one.end_seconds >= begins] if moved else plan.chapters
    differ = moved or media.chapters_differ or len(found) != len(media.chapters)
    if plan.container not in _TEXTED or not found:
        return tuple(found) if differ or plan.container == _COMMENTED else None
    before = found[0].start_seconds
    filled = [*([Chapter(start_seconds=0.0, end_seconds=before)] if before > LEAST_LATE else []), *found]
    named = tuple(one if one.title else replace(one, title=NAMELESS) for one in filled)
    return named if differ or named != media.chapters else None


def _earlier(chapter: Chapter, seconds: float) -> Chapter:
    begin, end = max(0.0, chapter.start_seconds - seconds), chapter.end_seconds - seconds
    return replace(chapter, start_seconds=begin, end_seconds=end)


def beside(streams: Sequence[Node], options: Options, path: str) -> tuple[list[Node], Options]:
    """Returns both, with the text for the output that is written to that path, read last; it has no stream."""
    number = ffmpeg.output(*streams, path).get_args().count("-i")
    text = ffmpeg.input(f"file:{path}{LIST}", f="ffmetadata", protocol_whitelist="file")
    return [*streams, text[NOTHING]], {**options, "map_chapters": number}


def listed(chapters: Iterable[Chapter]) -> str:
    """Returns the text that FFmpeg's demuxer `ffmetadata` reads."""
    return "\n".join([";FFMETADATA1", *(line for chapter in chapters for line in _lines(chapter)), ""])


def _lines(chapter: Chapter) -> Iterable[str]:
    yield "[CHAPTER]"
    yield "TIMEBASE=1/1000"
    yield f"START={round(chapter.start_seconds * 1000)}"
    yield f"END={round(chapter.end_seconds * 1000)}"
    if chapter.title:
        yield f"title={chapter.title.translate(_SPECIAL)}"

"""What a file has, as a reader tells it that asks nothing of ffspool's own, and what contents account for of that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import av
from av.sidedata.sidedata import Type
from av.stream import Disposition

import daemon.media.frames  # noqa: F401 — it lets photographs be looked at
from daemon.models import Contents, Kept, LeftOut

Possession = tuple[str, int | None, str | None]  # what it is, the track it is of, and which of several

KINDS = {"video": "picture", "audio": "sound", "subtitle": "subtitles", "data": "data"}
LOOKED_AT = 5  # pictures
ON_PICTURES = {
    Type.A53_CC: "captions",
    Type.SPHERICAL: "spherical",
    Type.STEREO3D: "stereo",
    Type.DOVI_METADATA: "dolby_vision",
}
PQ, HLG = 16, 18  # of ITU-T H.273: how HDR tells brightness
OF_PICTURES = {*ON_PICTURES.values(), "hdr", "transparency"}
RECORDING = {
    "date": {"creation_time", "com.apple.quicktime.creationdate"},
    "place": {"location", "location-eng", "com.apple.quicktime.location.iso6709"},
    "device": {"make", "model", "com.apple.quicktime.make", "com.apple.quicktime.model"},
}
NEVER = ("1904-01-01", "1970-01-01")  # where clocks begin: what says so knows of no date
# Which track is played first, and of what sort the file is: the order of tracks and the preset tell it.
UNTOLD_MARKS = {Disposition.default, Disposition.attached_pic, Disposition.timed_thumbnails, Disposition.still_image}
UNTOLD_MARKS |= {Disposition.dependent, Disposition.multilayer}
STANDS_FOR = {"hearing_impaired": "captions", "visual_impaired": "descriptions"}  # in MP4 one thing
# What muxers and tools write of the file that they make, and not of the work that is in it.
OF_THE_FILE = {
    *("encoder", "duration", "language", "major_brand", "minor_version", "compatible_brands", "handler_name"),
    *("vendor_id", "alpha_mode", "stereo_mode", "timecode", "rotate", "filename", "mimetype", "title", "name"),
    *("itunsmpb", "variant_bitrate", "isvbr", "deviceconformancetemplate", "wm/mediafoundationversion"),
    *("company_name", "product_name", "product_version"),  # of the program that wrote it
    *("metadatacreator", "hasaudio", "hasvideo", "hasmetadata", "canseektoend", "creation_time", "id"),
    *("bps", "number_of_frames", "number_of_bytes"),
}


def possessions(path: Path) -> Counter[Possession]:
    """All of a file that a player might miss; chapters, covers and attachments by their number or their names."""
    with av.open(str(path)) as container:
        return Counter(_all_of(container, path))


def _all_of(container: Any, path: Path) -> Iterator[Possession]:
    chapters = container.chapters()
    for stream in container.streams:
        named = stream.type == "data" and chapters  # their names, as MP4 has them
        if stream.type == "attachment":
            yield "attachments", None, stream.metadata.get("filename")
        elif not _beside(stream) and not named:
            yield from _of_track(stream, whole=container.format.name == "ogg")
    yield from (("chapters", None, None) for _ in chapters)
    yield from (("cover", None, None) for stream in container.streams if _beside(stream))
    yield from _of_the_whole(container)
    yield from _of_pictures(container, path)


def _beside(stream: Any) -> bool:
    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))


def _of_track(stream: Any, *, whole: bool) -> Iterator[Possession]:
    yield KINDS[stream.type], stream.index, None
    if stream.type == "data":
        return
    told = {name.lower(): said.strip() for name, said in stream.metadata.items() if said.strip()}
    if told.get("language", "und") != "und":
        yield "language", stream.index, told["language"]
    if not whole:
        if name := told.get("title", told.get("name")):
            yield "name", stream.index, name
        yield from (("tag", stream.index, name) for name in told if not _is_of_the_file(name))
    marks = {mark.name for mark in Disposition if stream.disposition & mark and mark not in UNTOLD_MARKS and mark.name}
    yield from (("mark", stream.index, mark) for mark in marks - {STANDS_FOR.get(mark) for mark in marks})


def _is_of_the_file(name: str) -> bool:
    return name in OF_THE_FILE or name.startswith(("_statistics_", "duration-", "bps-", "number_of_"))


def _of_the_whole(container: Any) -> Iterator[Possession]:
    of_all = container.metadata or (container.streams[0].metadata if container.format.name == "ogg" else {})
    told = {name.lower() for name, said in of_all.items() if said.strip() and not said.startswith(NEVER)}
    yield from ((what, None, None) for what, names in RECORDING.items() if names & told)
    rest = told - set().union(*RECORDING.values())
    yield from (("tag", None, name) for name in rest if name == "title" or not _is_of_the_file(name))


def _of_pictures(container: Any, path: Path) -> Iterator[Possession]:
    moving = [stream for stream in container.streams.video if not _beside(stream) and stream.codec_context]
    if not moving:
        return
    with av.open(str(path)) as again, suppress(av.FFmpegError, IndexError):
        pictures = list(islice(again.decode(again.streams[moving[0].index]), LOOKED_AT))
        found = {what for frame in pictures for kind, what in ON_PICTURES.items() if kind.name in frame.side_data}
        found |= {"hdr" for frame in pictures if int(frame.color_trc) in {PQ, HLG}}
        found |= {"transparency" for frame in pictures if any(part.is_alpha for part in frame.format.components)}
        yield from ((what, None, None) for what in found)


# What contents account for


def unaccounted(there: Counter[Possession], contents: Contents) -> set[Possession]:
    """What is neither kept nor left out, or is told to be both; what a track tells goes with it when it is left out."""
    told = Counter(one for fact in (*contents.kept, *contents.left_out) for one in _told(fact))
    gone = {fact.track for fact in contents.left_out if fact.what in KINDS.values()}
    seen = any(fact.what == "picture" for fact in contents.kept)
    return {one for one, count in there.items() if told[one] != count and not _goes_with(one, gone, seen=seen)}


def _goes_with(one: Possession, gone: set[int | None], *, seen: bool) -> bool:
    what, track, _ = one
    return (what not in KINDS.values() and track in gone) or (not seen and what in OF_PICTURES)


def _told(fact: Kept | LeftOut) -> Iterator[Possession]:
    if fact.what in {"chapters", "cover"}:
        count = int((fact.detail or "1").split()[0])
        yield from [(fact.what, None, None)] * (0 if "within" in (fact.detail or "") else count)
    elif fact.what in KINDS.values():
        yield fact.what, fact.track, None
    elif fact.what in {"language", "name", "mark", "tag", "attachments"}:
        yield fact.what, fact.track, fact.detail
    elif fact.what != "hdr" or not _is_half(fact):
        yield fact.what, None, None
    if isinstance(fact, Kept):
        told = {"language": fact.language, "name": fact.name}
        yield from ((what, fact.track, said) for what, said in told.items() if said)
        yield from (("mark", fact.track, mark) for mark in fact.marks)


def _is_half(fact: Kept | LeftOut) -> bool:
    """Whether it tells of what changes by scene, beside the HDR that is kept."""
    return isinstance(fact, LeftOut) and fact.detail == "hdr10+"

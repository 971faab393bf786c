"""Finds tracks that go on in another way than they began: described anew, in another codec, as another track.

FFmpeg goes by how a track began, and would lose what follows or call it what it is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, pairwise

from av.container import InputContainer

from daemon.errors import ProbeError
from daemon.media import boxes, fragments, mpegts
from daemon.media.media_file import MediaFile

_Changes = Iterator[set[str]]
_Pair = tuple[mpegts.Map, mpegts.Map]


def refuse_changes(file: MediaFile, pids: set[int]) -> None:
    """Raises ProbeError where a track is of several codecs, one after the other; of a broadcast, in the programs of
    these PIDs, also where others go on in the place of its picture or its sound."""
    followed = [
        pair for pair in _followed(file) if not pids.isdisjoint(track.pid for one in pair for track in one.tracks)
    ]
    changes = chain(_of_boxes(file), _of_broadcasts(followed), _of_flv(file))
    if codecs := next(changes, None):
        called = ", ".join(sorted(codecs))
        words = f"a track of it changes its codec midway ({called})"
        raise ProbeError(f"{words}: cut it in two there, or export it again in one")
    if any(_left(*pair) for pair in followed):
        raise ProbeError(
            "it goes on in other tracks midway, as after a break or of another sender: cut it in two there"
        )


def undiscovered(file: MediaFile, container: InputContainer) -> str | None:
    """Returns what an FLV file has, sound or a picture, of which FFmpeg found nothing yet: it need not announce it."""
    streams, found = container.streams, file.flv
    if found.sounds and not streams.audio:
        return "sound"
    return "picture" if found.pictures and not streams.video else None


def refuse_undiscovered(file: MediaFile, container: InputContainer) -> None:
    """Raises ProbeError where that begins behind what FFmpeg looks at."""
    if what := undiscovered(file, container):
        raise ProbeError(
            f"its {what} begins so late that FFmpeg does not find it: cut off what is before, or export it again"
        )


def refuse_unplayable(file: MediaFile) -> None:
    """Raises ProbeError where an MP4 has players do what FFmpeg does not: it would show something else."""
    _refuse_elsewhere(file)
    _refuse_speeds(file)
    _refuse_holes(file)
    _refuse_mixed(file)


def _refuse_speeds(file: MediaFile) -> None:
    """Raises ProbeError where an MP4 has players play parts faster or slower, or stop there, which FFmpeg ignores."""
    if speeds := boxes.speeds(file.index) - {1.0}:
        called = ", ".join(f"{speed:g}×" for speed in sorted(speeds))
        raise ProbeError(
            f"its edit list has parts of it played at another speed ({called}): export it again as it plays"
        )


PLAYED = {b"vide", b"soun"}  # kinds of tracks of an MP4


def _refuse_elsewhere(file: MediaFile) -> None:
    """Raises ProbeError where picture or sound of an MP4 lies in other files, which are never opened: what lies in the
    same place of this one would be taken for it."""
    if any(track.elsewhere for track in boxes.tracks(file.index) if track.kind in PLAYED):
        raise ProbeError(
            "its picture or its sound is not in it, but in other files that it refers to: save it as a movie that "
            "holds all of its own (QuickTime calls that self-contained)"
        )


def _refuse_holes(file: MediaFile) -> None:
    """Raises ProbeError where the edit list of an MP4 has players show nothing for a while after they have shown
    something: FFmpeg would show the film's beginning there."""
    if any(_has_hole(track) for track in _edits(file)):
        raise ProbeError(
            "its edit list has players show nothing for a while behind its beginning: export it again as it plays"
        )


def _refuse_mixed(file: MediaFile) -> None:
    if fragments.order(file) is fragments.Order.MIXED:
        raise ProbeError(
            "its fragments are not in the order of their times, as where parts of a stream were put together wrongly: "
            "put them together anew"
        )


def repeated(file: MediaFile) -> bool:
    """Tells whether fragments of an MP4 come more than once."""
    return fragments.order(file) is fragments.Order.REPEATED


def _has_hole(track: list[boxes.Edit]) -> bool:
    return any(before.begin is not None and after.begin is None for before, after in pairwise(track))


def edited(file: MediaFile) -> bool:
    """Tells whether the edit list of an MP4 has players show several parts of a track, which a copy cannot: it would
    have to begin within a group of pictures, and end within a packet of sound."""
    return any(sum(edit.begin is not None for edit in track) > 1 for track in _edits(file))


def _edits(file: MediaFile) -> list[list[boxes.Edit]]:
    tracks = zip(boxes.tracks(file.index), boxes.edits(file.index), strict=True)
    return [edits for track, edits in tracks if track.kind in PLAYED]


def redescribed(file: MediaFile) -> bool:
    """Tells whether an MP4 describes the samples of a track in several ways, one after the other."""
    return any(len(track.used) > 1 for track in boxes.tracks(file.index))


def _followed(file: MediaFile) -> Iterator[_Pair]:
    """Maps that follow each other: of one program, and of one that begins once another has ended."""
    programs = dict[int, list[tuple[int, mpegts.Map]]]()
    for place, told in enumerate(mpegts.maps(file) if mpegts.is_one(file) else []):
        programs.setdefault(told.number, []).append((place, told))
    for mine in programs.values():
        yield from pairwise(told for _, told in mine)
        for others in programs.values():
            if len(mine) > 1 and mine[-1][0] < others[0][0]:
                yield mine[-1][1], others[0][1]


def _left(before: mpegts.Map, after: mpegts.Map) -> bool:
    """Whether no picture, or no sound, is where it was, though there is some."""
    return any(
        earlier and later and earlier.isdisjoint(later)
        for earlier, later in ((_pids(before, sort), _pids(after, sort)) for sort in ("picture", "sound"))
    )


def _pids(told: mpegts.Map, sort: str) -> set[int]:
    return {track.pid for track in told.tracks if track.sort == sort}


# Codecs


def _of_boxes(file: MediaFile) -> _Changes:
    for track in boxes.tracks(file.index):
        names = {track.names[number - 1].decode("ascii", "replace") for number in track.used}
        if len(names) > 1:
            yield names


def _of_broadcasts(followed: Iterable[_Pair]) -> _Changes:
    for before, after in followed:
        was = {track.pid: track.codec for track in before.tracks}
        for track in after.tracks:
            known = {codec for codec in (was.get(track.pid), track.codec) if codec}
            if len(known) > 1:
                yield known


def _of_flv(file: MediaFile) -> _Changes:
    yield from ({*codecs} for codecs in (file.flv.sounds, file.flv.pictures) if len(codecs) > 1)

"""Compares a film with what the same film came to undisturbed, by the independent reader and by SSIM."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
from reader import HDR_SIDE_DATA, Heard, Reading, Seen, read

AT_ONCE = 0.001 + 1e-6  # seconds between times that are the same, and what their difference is rounded by
HEARD_AT_ONCE = 0.010  # between sounds
ALIKE = 0.98  # SSIM of all pictures
EACH_ALIKE = 0.9  # and of any one
OF_THE_MUXER = {"encoder", "duration"}  # tags that tell how long it took, or of the tool


def differences(made: Path, undisturbed: Path, ffmpeg: str) -> Iterator[str]:
    """What a viewer or a player could notice, in words."""
    one, other = read(made), read(undisturbed)
    assert one.video
    assert other.video
    yield from _unequal("", _told(one), _told(other))
    yield from _unequal("tags: ", _tags(made), _tags(undisturbed))
    yield from _unequal("HDR: ", _screens(made), _screens(undisturbed))
    yield from _of_times(one.video, other.video)
    for number, (mine, its) in enumerate(zip(one.audio, other.audio, strict=False)):
        yield from _of_sound(number, mine, its, one.video.start, other.video.start)
    yield from _of_pictures(made, undisturbed, ffmpeg)


def _unequal(what: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    for name in one.keys() | other.keys():
        if one.get(name) != other.get(name):
            yield f"{what}{name} is {one.get(name)} instead of {other.get(name)}"


def _told(reading: Reading) -> dict[str, Any]:
    """All but times and pictures."""
    assert reading.video
    seen = {name: getattr(reading.video, name) for name in ("size", "aspect", "rotation", "mirrored", "for_hdr")}
    heard = [(one.language, one.default, one.channels, one.layout) for one in reading.audio]
    told = {name: getattr(reading, name) for name in ("subtitles", "chapters", "title", "codecs", "attachments")}
    return {**seen, **told, "pixels": reading.video.pixel_format, "colours": reading.video.colours, "heard": heard}


def _tags(path: Path) -> dict[str, Any]:
    with av.open(str(path)) as container:
        of_streams = {f"{stream.index}": stream.metadata for stream in container.streams}
        return {
            f"{whose} {name.lower()}": value  # names of tags have no case
            for whose, tags in {"film": container.metadata, **of_streams}.items()
            for name, value in tags.items()
            if name.lower() not in OF_THE_MUXER
        }


def _screens(path: Path) -> Counter[str]:
    """How many pictures tell what of the screen that they were made for."""
    with av.open(str(path)) as container:
        return Counter(
            f"{name} {bytes(side).hex()}"
            for frame in container.decode(video=0)
            for name in HDR_SIDE_DATA
            if (side := frame.side_data.get(name)) is not None
        )


def _of_times(one: Seen, other: Seen) -> Iterator[str]:
    if len(one.times) != len(other.times):
        yield f"it has {len(one.times)} pictures instead of {len(other.times)}"
        return
    for number, (mine, its) in enumerate(zip(one.times, other.times, strict=True)):
        if abs(mine - its) > AT_ONCE:
            yield f"picture {number} is shown at {mine:.4f} s instead of {its:.4f} s"
            return
    # An MP4's last picture lasts as long as that which was decoded last, which of an uneven film may be another one.
    lasts = [later - earlier for earlier, later in pairwise(other.times)] or [0.0]
    if abs(one.end - other.end) > AT_ONCE + max(lasts) - min(lasts):
        yield f"its last picture ends at {one.end:.4f} s instead of {other.end:.4f} s"


def _of_sound(number: int, one: Heard, other: Heard, begins: float, its_begins: float) -> Iterator[str]:
    """Times from the picture's begin on."""
    for what in ("start", "end"):
        mine, its = getattr(one, what) - begins, getattr(other, what) - its_begins
        if abs(mine - its) > HEARD_AT_ONCE:
            yield f"the {what} of sound {number} is {mine:.4f} s after the picture's begin instead of {its:.4f} s"
    if abs(one.loudness - other.loudness) > 0.01 or abs(one.off - other.off) > HEARD_AT_ONCE:
        yield f"sound {number} is {one} instead of {other}"


def _of_pictures(made: Path, undisturbed: Path, ffmpeg: str) -> Iterator[str]:
    numbered = "[0:v:0]setpts=N/25/TB[a];[1:v:0]setpts=N/25/TB[b]"  # else pairs are made by times, which may be rounded
    compare = ["-v", "error", "-i", str(made), "-i", str(undisturbed), "-lavfi", f"{numbered};[a][b]ssim=stats_file=-"]
    said = subprocess.run([ffmpeg, *compare, "-f", "null", "-"], capture_output=True, text=True, check=True).stdout
    each = [float(value) for value in re.findall(r"All:([\d.]+)", said)]
    mean = sum(each) / len(each)
    if mean < ALIKE or min(each) < EACH_ALIKE:
        least = each.index(min(each))
        yield f"its pictures are alike by SSIM {mean:.4f}, and picture {least} by {min(each):.4f}"

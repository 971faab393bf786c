"""What a person would see and hear of an output, held against its source: for every kind of preset, by its own reader.

Each check raises AssertionError in words.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from reader import GRID, Heard, Reading, Region, Seen, Thumbnail, read
from specimens import Specimen

from daemon.presets.builtin import Preset

MASTERS = {"hls": "master.m3u8", "dash": "manifest.mpd"}
WHOLE: Region = (0.0, 0.0, 1.0, 1.0)
STEREO = {"video", "refresh", "framed", "capped", "ladder"}
EVEN = 0.0015  # seconds between two pieces of sound that are none: the clock of Matroska
AS_IT_WAS = {"archive", "lossless", "remux"}
DAMAGED = {"corrupt_nal.mp4", "dv_header_truncated.dv"}
TILTED = {"animated.webp", "grey.mp4", "grey10.mkv"}  # full of sharp edges, which tilting moves


def verdict(specimen: Specimen, preset: Preset, variation: Any, source: Reading, path: Path, ffmpeg: str) -> str:
    """What became of it, in words."""
    if preset.kind in {"poster", "sheet", "sprites"}:
        return _pictures(specimen, preset, variation, source, path)
    if preset.kind in {"gif", "webp"}:
        return _animation(specimen, preset, variation, source, path, ffmpeg)
    if preset.kind == "ladder":
        return _ladder(specimen, preset, variation, source, _unpacked(path) / MASTERS[preset.container])
    if preset.kind == "audio":
        made = read(path)
        _check_sound(preset, source, made)
        _check_cover(preset, variation, source, made)
        heard = default_first(source.audio)[0]
        seconds = specimen.seconds or heard.end - heard.start
        assert made.seconds == pytest.approx(seconds, abs=0.15), f"lasts {made.seconds:.2f} s instead of {seconds:.2f}"
        return f"verified: {made.seconds:.2f} s"
    made = read(path, region=_region(specimen, preset, variation, source))
    _check_film(specimen, preset, variation, source, made)
    if preset.kind == "capped":
        assert path.stat().st_size <= variation["parameters"]["target_bytes"], "too many bytes"
    return _told(made)


def _told(made: Reading) -> str:
    return f"verified: {made.seconds:.2f} s" + (f", {made.video.size[0]}×{made.video.size[1]}" if made.video else "")


def default_first(audio: list[Heard]) -> list[Heard]:
    return sorted(audio, key=lambda heard: not heard.default)


# Sound


def _check_sound(preset: Preset, source: Reading, made: Reading) -> None:
    first = default_first(source.audio)
    wanted = first[:1] if preset.kind in {"audio", "capped"} else first
    assert len(made.audio) == len(wanted), f"{len(made.audio)} audio tracks of {len(wanted)}"
    most = 2 if preset.kind in STEREO or (preset.kind == "audio" and preset.encoder != "flac") else 8
    for before, after in zip(wanted, made.audio, strict=True):
        channels = min(most, before.channels) if before.channels <= 8 else after.channels
        assert after.channels == channels, f"{after.channels} channels of {before.channels}"
        assert after.off < max(EVEN, before.off + 0.001) or preset.kind in AS_IT_WAS, f"a gap of {after.off:.4f} s"
        if preset.name == "flac" and 2 < before.channels <= 8 and "channels" not in before.layout:
            assert _place(after.layout) == _place(before.layout), f"{after.layout} instead of {before.layout}"
        if before.loudness > 0.01:
            assert after.loudness > 0.005, "silence"
        if preset.container not in {"mp3", "flac", "opus", "hls", "dash"}:
            assert after.language == before.language, f"the language is {after.language} instead of {before.language}"


def _place(layout: str) -> str:
    """FLAC does not tell sides from backs."""
    return layout.removesuffix("(side)").removesuffix("(back)")


def _check_cover(preset: Preset, variation: Any, source: Reading, made: Reading) -> None:
    """The front one, or the first, of those that are whole; with a film there is none."""
    held = {"mp3": 2**28, "ipod": 2**32, "flac": 2**24}.get(preset.container, 0)
    kept = variation["parameters"]["metadata"] == "keep" and source.video is None
    whole = sorted((cover for cover in source.covers if cover.size), key=lambda cover: not cover.front)
    wanted = [cover.size for cover in whole[:1] if kept and cover.bytes < held]
    assert [cover.size for cover in made.covers] == wanted, f"covers are {made.covers} of {source.covers}"


# Films


def _check_film(specimen: Specimen, preset: Preset, variation: Any, source: Reading, made: Reading) -> None:
    _check_sound(preset, source, made)
    assert (made.video is None) == (source.video is None), "picture"
    assert made.chapters == source.chapters, "chapters"
    if preset.container != "webm" or source.title is None:
        assert made.title == source.title, "title"
    if preset.kind not in AS_IT_WAS:
        assert [heard.default for heard in made.audio] == [number == 0 for number in range(len(made.audio))], "default"
    seconds = specimen.seconds or source.seconds
    # What a reader makes of damaged frames is its own affair, and how long the last one is shown few files say.
    tolerance = 0.2 if specimen.name in DAMAGED else max(0.1, _usual_gap(source.video))
    assert made.seconds == pytest.approx(seconds, abs=tolerance), f"lasts {made.seconds:.2f} s instead of {seconds:.2f}"
    if preset.container == "matroska" and preset.kind in AS_IT_WAS:
        assert made.attachments == source.attachments, f"{made.attachments} attachments of {source.attachments}"
    if source.video and made.video:
        _check_shape(specimen, preset, variation, source.video, made.video)
        copied = variation["parameters"].get("copy", False) and made.video.colours[:3] == source.video.colours[:3]
        _check_colours(specimen, preset, source.video, made.video, copied=copied)
        _check_frames(specimen, preset, variation, source.video, made.video)
        _check_picture(specimen, preset, source.video, made.video, opaque=_opaque(preset, variation))
        _check_together(specimen, source, made)


def _usual_gap(source: Seen | None) -> float:
    gaps = sorted(after - before for before, after in pairwise(source.times)) if source else []
    return min(0.25, gaps[len(gaps) // 2] * 1.05) if gaps else 0.0


def _check_together(specimen: Specimen, source: Reading, made: Reading) -> None:
    """Picture and sound begin, and end, as far from each other as they did, unless the last picture is held."""
    assert source.video
    assert made.video
    held = made.video.end - made.video.start > source.video.end - source.video.start + 0.1
    for before, after in zip(default_first(source.audio), made.audio, strict=False):
        offset = (after.start - made.video.start) - (before.start - source.video.start)
        assert abs(offset) < 0.04, f"sound begins {offset:+.3f} s off"
        if specimen.seconds is None and not held:
            end = (after.end - made.video.end) - (before.end - source.video.end)
            assert abs(end) < 0.15, f"sound ends {end:+.3f} s off"


def _opaque(preset: Preset, variation: Any) -> bool:
    return preset.kind not in {"lossless", "remux"} and not variation["name"].endswith(".webm")


def _check_shape(specimen: Specimen, preset: Preset, variation: Any, source: Seen, made: Seen) -> None:
    if preset.kind == "remux":
        assert made.size == source.size, "size"
        assert made.rotation == source.rotation, "rotation"
        assert made.mirrored == source.mirrored, "mirroring"
        return
    assert (made.rotation, made.mirrored) == (0, False), "turning is left to the player"
    if preset.kind == "lossless":
        assert made.size == (source.size[::-1] if specimen.turns % 2 else source.size), "size"
        aspect = 1 / source.aspect if specimen.turns % 2 else source.aspect
        assert made.aspect == pytest.approx(aspect, rel=0.01), "the shape of pixels"
        return
    assert made.aspect == 1, "pixels that are not square"
    assert not any(side % 2 for side in made.size), f"odd size {made.size}"
    wanted, exact = _size(specimen, variation["parameters"], source, preset)
    off = max(abs(one - other) for one, other in zip(made.size, wanted, strict=True))
    assert off <= (0 if exact else 2), f"the size is {made.size} instead of {wanted}"


def shown(specimen: Specimen, source: Seen) -> tuple[int, int]:
    return specimen.size or (source.size[::-1] if specimen.turns % 2 else source.size)


def _size(specimen: Specimen, parameters: Any, source: Seen, preset: Preset) -> tuple[tuple[int, int], bool]:
    """What it should be, and whether to the pixel."""
    width, height = shown(specimen, source)
    if preset.kind == "framed":
        unit = parameters["short_side"]
        return {"9:16": (unit, unit * 16 // 9 // 2 * 2), "1:1": (unit, unit)}[parameters["aspect"]], False
    factor = min(1.0, parameters.get("short_side", 10**6) / min(width, height))
    factor = min(factor, parameters.get("long_side", 10**6) / max(width, height))
    if factor == 1 and specimen.size is None:
        return (max(2, width // 2 * 2), max(2, height // 2 * 2)), True
    return (
        max(2, int(width * factor / 2 + 0.5) * 2),
        max(2, int(height * factor / 2 + 0.5) * 2),
    ), factor == 1 and not (width % 2 or height % 2)


def _check_frames(specimen: Specimen, preset: Preset, variation: Any, source: Seen, made: Seen) -> None:
    rate = len(source.times) / max(0.001, source.end - source.start)
    most = variation["parameters"].get("max_frame_rate", 10_000)
    held = preset.kind == "ladder" and made.end - made.start > source.end - source.start + 0.1  # its last picture
    steady = specimen.frames and not (preset.kind == "ladder" and _uneven(source.times))
    if steady and rate <= most * 1.01 and not held:
        assert abs(len(made.times) - len(source.times)) <= 1, f"{len(made.times)} frames of {len(source.times)}"
    gaps = [after - before for before, after in pairwise(made.times)]
    if len(gaps) > 10:
        assert sorted(gaps)[len(gaps) // 2] > 0.8 / most, f"more than {most} frames per second"
    if specimen.name in DAMAGED or specimen.seconds is not None:  # which are shown, and when, is the decoder's affair
        return
    if held or (preset.kind == "ladder" and not steady):  # it fills what is missing
        return
    ours, theirs = np.array(made.times) - made.start, np.array(source.times) - source.start
    theirs = np.append(theirs, theirs[-1] + 1 / rate)  # one more may follow
    off = max(float(np.abs(theirs - time).min()) for time in ours)
    assert off < 0.021, f"a frame comes {off:.3f} s off"


def _uneven(times: list[float]) -> bool:
    """Or so slow that a ladder, whose segments end every few seconds, doubles some."""
    gaps = [after - before for before, after in pairwise(times)]
    return bool(gaps) and (max(gaps) > 0.2 or max(gaps) - min(gaps) > 0.01)


def _check_colours(specimen: Specimen, preset: Preset, source: Seen, made: Seen, *, copied: bool) -> None:
    primaries, transfer, matrix, levels = made.colours
    if preset.kind in {"lossless", "remux"}:
        # Full range may be told by the name of the format, and limited range by nothing.
        plain = made.pixel_format.replace("yuvj", "yuv"), source.pixel_format.replace("yuvj", "yuv")
        hidden = specimen.alpha and plain[0].replace("yuva", "yuv") == plain[1]  # which this reader does not see
        finer = min(source.size) < 16 and "444" in plain[0]  # FFV1 takes no coarser colours of so small a picture
        assert hidden or finer or plain[0] == plain[1] or all(re.search("rgb|bgr|gbr|pal8", name) for name in plain), (
            f"pixels are {made.pixel_format}"
        )
        changed = [b for a, b in zip(source.colours[:3], made.colours[:3], strict=True) if a not in {b, 2}]
        assert not changed, f"colours are {made.colours} instead of {source.colours}"
        if made.pixel_format.startswith("yuv"):
            assert (made.colours[3] == 2) == (source.colours[3] == 2), "range"
        return
    if copied:
        return
    assert 2 not in (primaries, transfer, matrix), f"colours are not told: {made.colours}"
    assert transfer not in (16, 18) or "10" in made.pixel_format, "HDR in 8 bits"
    assert transfer in (16, 18) or not made.for_hdr, "an ordinary picture says that it is HDR"
    assert levels == 1, "not in limited range"
    deep = preset.kind == "archive"
    assert ("10" in made.pixel_format) == deep, f"pixels are {made.pixel_format}"
    if deep and source.colours[1] in (16, 18):
        assert transfer == source.colours[1], "HDR was lost"


def _upright(specimen: Specimen, stored: Thumbnail) -> Thumbnail:
    turned = np.rot90(stored, specimen.turns)
    return turned[:, ::-1] if specimen.flip else turned


def _laid_down(specimen: Specimen, seen: Thumbnail) -> Thumbnail:
    """As it was before it was turned: where the corners are known."""
    flipped = seen[:, ::-1] if specimen.flip else seen
    return np.rot90(flipped, -specimen.turns)


def _check_picture(specimen: Specimen, preset: Preset, source: Seen, made: Seen, *, opaque: bool) -> None:
    turned = preset.kind != "remux"
    plain = specimen.steps and specimen.corners and made.colours[1] not in (16, 18)
    for seen in made.thumbnails if plain else []:
        _check_corners(specimen, _laid_down(specimen, seen) if turned else seen, opaque=opaque)
    narrow = [axis for axis, side in ((1, source.size[0]), (0, source.size[1])) if side < GRID]
    # What is under alpha shows nowhere, and differs from reader to reader; a strip that is tilted leaves the frame, and
    # one that is framed nearly vanishes.
    strip = bool(narrow) or max(source.size) > 50 * min(source.size)
    if specimen.alpha or (strip and preset.kind in {"refresh", "framed"}):
        return
    # At another rate than the source's the later ones are of other moments.
    sparse = len(made.times) < 0.9 * len(source.times)
    same = 1 if sparse or (preset.kind == "ladder" and not specimen.frames) else len(source.thumbnails)
    for before, after in zip(source.thumbnails[:same], made.thumbnails, strict=False):
        wanted = _upright(specimen, before) if turned else before
        if narrow and not specimen.turns:  # a pixel is in several squares
            wanted, after = (
                wanted.mean(axis=tuple(narrow), keepdims=True),
                after.mean(axis=tuple(narrow), keepdims=True),
            )
        if specimen.colours:
            off = float(np.abs(wanted - after).mean())
            most = (20 if specimen.name in TILTED else 18) if preset.kind == "refresh" else 9
            assert off < most, f"the picture differs by {off:.1f} of 255"
        else:
            assert _likeness(wanted, after) > 0.8, f"the picture is not like its source: {_likeness(wanted, after):.2f}"


def _likeness(one: Thumbnail, other: Thumbnail) -> float:
    """How well light and dark agree, 1.0 at best; a plain picture has neither."""
    lights = [seen.mean(axis=2).ravel() for seen in (one, other)]
    if lights[0].std() < 3:
        return 1.0
    return float(np.corrcoef(*lights)[0, 1]) if lights[1].std() > 0 else 0.0


def _check_corners(specimen: Specimen, seen: Thumbnail, *, opaque: bool = True) -> None:
    """Red, green, blue and white, as they were painted; a transparent right side is black."""
    red, blue = seen[0, 0], seen[-1, 0]
    assert red[0] > max(red[1], red[2]) + 60, f"the first corner is not red but {red.round()}"
    assert blue[2] > max(blue[0], blue[1]) + 60, f"the third corner is not blue but {blue.round()}"
    green, white = seen[0, -1], seen[-1, -1]
    if not specimen.alpha:
        assert green[1] > max(green[0], green[2]) + 60, f"the second corner is not green but {green.round()}"
        assert white.min() > 150, f"the last corner is not white but {white.round()}"
    elif opaque:
        assert seen[:, -2:].max() < 40, "what is transparent is not black"


def _region(specimen: Specimen, preset: Preset, variation: Any, source: Reading) -> Region:
    """Where in the output the source's picture is."""
    if preset.kind != "framed" or source.video is None:
        return WHOLE
    (width, height), _ = _size(specimen, variation["parameters"], source.video, preset)
    inner = shown(specimen, source.video)
    factor = min(width / inner[0], height / inner[1])
    across, down = inner[0] * factor / width, inner[1] * factor / height
    return (1 - across) / 2, (1 - down) / 2, (1 + across) / 2, (1 + down) / 2


# Ladders


def _unpacked(path: Path) -> Path:
    folder = path.with_suffix(".unpacked")
    with ZipFile(path) as archive:
        archive.extractall(folder)
    (master,) = [*folder.rglob("master.m3u8"), *folder.rglob("manifest.mpd"), *folder.rglob("thumbnails.vtt")]
    return master.parent


def _ladder(specimen: Specimen, preset: Preset, variation: Any, source: Reading, master: Path) -> str:
    """The best rung and the sound, segments one after the other as a player reads them."""
    assert source.video
    tracks = [read(path) for path in (_of_hls(master) if preset.container == "hls" else _of_dash(master))]
    rungs = sorted((track for track in tracks if track.video), key=lambda track: -track.video.size[1])
    assert rungs, "no rung"
    made = replace(rungs[0], audio=[heard for track in tracks for heard in track.audio])
    assert made.video
    seconds = specimen.seconds or source.seconds
    assert made.seconds == pytest.approx(seconds, abs=0.25), f"lasts {made.seconds:.2f} s instead of {seconds:.2f}"
    _check_sound(preset, source, made)
    parameters = {**variation["parameters"], "short_side": _top(specimen, source.video, variation["parameters"])}
    wanted, _ = _size(specimen, parameters, source.video, preset)
    off = max(abs(one - other) for one, other in zip(made.video.size, wanted, strict=True))
    assert off <= 2, f"the size is {made.video.size} instead of {wanted}"
    _check_frames(specimen, preset, variation, source.video, made.video)
    _check_picture(specimen, preset, source.video, made.video, opaque=True)
    _check_together(specimen, source, made)
    return f"verified: {made.seconds:.2f} s, {len(rungs)} sizes up to {made.video.size[0]}×{made.video.size[1]}"


def _of_hls(master: Path) -> Iterator[Path]:
    for number, playlist in enumerate(sorted(master.parent.glob("*/index.m3u8"))):
        lines = playlist.read_text().splitlines()
        start = next(line.split('"')[1] for line in lines if line.startswith("#EXT-X-MAP"))
        names = [start, *(line for line in lines if line and not line.startswith("#"))]
        yield _joined(master.parent / f"{number}.mp4", [playlist.parent / name for name in names])


def _of_dash(master: Path) -> Iterator[Path]:
    for start in sorted(master.parent.glob("init-stream*.m4s")):
        number = start.stem.removeprefix("init-stream")
        segments = sorted(master.parent.glob(f"chunk-stream{number}-*.m4s"))
        yield _joined(master.parent / f"{number}.mp4", [start, *segments])


def _joined(whole: Path, parts: list[Path]) -> Path:
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    return whole


def _top(specimen: Specimen, source: Seen, parameters: Any) -> int:
    most = min(*shown(specimen, source), parameters["short_side"])
    return next((side for side in (2160, 1440, 1080, 720, 480, 360, 240) if side <= most), most)


# Pictures


def _animation(specimen: Specimen, preset: Preset, variation: Any, source: Reading, path: Path, ffmpeg: str) -> str:
    assert source.video
    parameters = variation["parameters"]
    if preset.kind == "webp":  # which the reader does not decode
        plain = path.with_suffix(".mkv")
        decoded = [ffmpeg, "-v", "error", "-i", path, "-c:v", "ffv1", "-pix_fmt", "bgra", "-y", plain]
        subprocess.run(decoded, check=True, stdin=subprocess.DEVNULL)
        path = plain
    made = read(path)
    assert made.video
    assert not made.audio
    wanted, _ = _size(specimen, parameters, source.video, preset)
    off = max(abs(one - other) for one, other in zip(made.video.size, wanted, strict=True))
    assert off <= 2, f"the size is {made.video.size} instead of {wanted}"
    seconds = min(parameters["seconds"], specimen.seconds or source.video.end - source.video.start)
    lasts = made.video.end - made.video.start
    if preset.kind == "webp" and len(made.video.times) == 1 and _is_still(source.video):
        return "verified: nothing moves"
    assert lasts == pytest.approx(seconds, abs=0.25), f"lasts {lasts:.2f} s instead of {seconds:.2f}"
    if specimen.steps and specimen.corners:
        _check_corners(specimen, _laid_down(specimen, made.video.thumbnails[0]), opaque=False)
    return _told(made)


def _is_still(source: Seen) -> bool:
    return all(float(np.abs(one - other).max()) < 3 for one, other in pairwise(source.thumbnails))


def _pictures(specimen: Specimen, preset: Preset, variation: Any, source: Reading, path: Path) -> str:
    assert source.video
    parameters = variation["parameters"]
    sheets = sorted(_unpacked(path).glob("*.jpg")) if preset.kind == "sprites" else [path]
    assert sheets, "no sheet"
    made = read(sheets[0])
    assert made.video
    assert len(made.video.times) == 1, "more than one picture"
    bound = {"long_side": parameters.get("tile_long_side", parameters.get("long_side"))}
    tile, _ = _size(specimen, bound, source.video, preset)
    grid = _grid(preset, parameters, specimen.seconds or source.video.end - source.video.start)
    wanted = tile[0] * grid[0], tile[1] * grid[1]
    off = [abs(one - other) for one, other in zip(made.video.size, wanted, strict=True)]
    assert off[0] <= 2 * grid[0], f"the size is {made.video.size} instead of {wanted}"
    assert off[1] <= 2 * grid[1], f"the size is {made.video.size} instead of {wanted}"
    if specimen.steps and specimen.corners:
        first = read(sheets[0], region=(0.0, 0.0, 1 / grid[0], 1 / grid[1])).video
        assert first
        _check_corners(specimen, _laid_down(specimen, first.thumbnails[0]))
    return f"verified: {made.video.size[0]}×{made.video.size[1]}"


def _grid(preset: Preset, parameters: Any, seconds: float) -> tuple[int, int]:
    if preset.kind == "poster":
        return 1, 1
    if preset.kind == "sheet":
        return parameters["columns"], parameters["rows"]
    count = max(1, int(-(-seconds // parameters["interval_seconds"])))
    columns = min(parameters["columns"], count)
    return columns, min(parameters["rows"], -(-count // columns))

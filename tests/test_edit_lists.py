"""Edit lists of MP4 and QuickTime: what players show by them is what comes out, or is refused in words."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import pytest
from boxed import Change, changed, showing
from specimens import AAC, PCM, X264, Step
from surroundings import thorough
from test_contents import box
from test_kinds import frames, lasting, make
from test_unread import defaults, made

from daemon.errors import ProbeError, UnsuitableSource
from daemon.media.describe import read_media
from daemon.recipes.command import plan

COUNTING = ["-f", "lavfi", "-i", "nullsrc=size=64x64:rate=25:duration=2,geq=lum=20+4*N:cb=128:cr=128"]
TONE = ["-f", "lavfi", "-i", "sine=duration=2:sample_rate=48000"]
PLAIN: Step = [*COUNTING, *TONE, *X264, "-pix_fmt", "yuv420p", "-g", "10", "-bf", "0"]
REORDERED = [*COUNTING, *TONE, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "10", "-bf", "2", *AAC, "{out}"]
BRISK = {"crf": 10, "speed": "ultrafast"}

# What is shown, and the numbers of the frames that players show then.
SHOWN: dict[str, tuple[tuple[tuple[float, float | None], ...], list[int]]] = {
    "apart": (((0.4, 0.2), (0.4, 1.2)), [*range(5, 15), *range(30, 40)]),
    "again": (((0.4, 0.2), (0.4, 0.2)), [*range(5, 15), *range(5, 15)]),
    "backwards": (((0.4, 1.2), (0.4, 0.2)), [*range(30, 40), *range(5, 15)]),
    "many": (
        tuple((0.08, 0.1 * n) for n in range(10)),
        [0, 1, 3, 4, 5, 6, 8, 9, 10, 11, 13, 14, 15, 16, 18, 19, 20, 21, 23, 24],
    ),
}


def numbers(path: Path) -> list[int]:
    """Those of the frames, by how bright they are."""
    with_planes = (frame.planes[0] for frame in frames(path))
    return [round((fmean(bytes(plane)[: plane.width]) - 20) / 4) for plane in with_planes]


@pytest.mark.parametrize("preset", ["h264-480p", thorough("archive-ffv1"), thorough("h264-1080p-smart")])
@pytest.mark.parametrize("name", SHOWN)
def test_several_parts_are_shown_as_players_do(ffmpeg: str, tmp_path: Path, name: str, preset: str) -> None:
    edits, shown = SHOWN[name]
    path = made(ffmpeg, tmp_path, "cut.mov", [*PLAIN, *PCM, "{out}"], edit=showing(*edits))
    asked = BRISK if preset.startswith("h264") else {}
    output = make(ffmpeg, path, tmp_path, preset, **asked)
    assert numbers(output) == shown
    assert lasting(output, "audio") == pytest.approx(sum(length for length, _ in edits), abs=0.05)


@pytest.mark.parametrize("preset", ["remux-mp4", "remux-mkv"])
@pytest.mark.parametrize("name", ["apart", "again", "many"])
def test_several_parts_are_not_copied(ffmpeg: str, tmp_path: Path, name: str, preset: str) -> None:
    path = made(ffmpeg, tmp_path, "cut.mov", [*PLAIN, *PCM, "{out}"], edit=showing(*SHOWN[name][0]))
    with pytest.raises(UnsuitableSource, match=r"edit list shows several parts of a track, .*: encode it"):
        plan(read_media(str(path)), preset, defaults(preset))


def test_pictures_that_would_be_lost_where_parts_meet_are_refused(ffmpeg: str, tmp_path: Path) -> None:
    path = made(ffmpeg, tmp_path, "cut.mp4", REORDERED, edit=showing(*SHOWN["apart"][0]))
    media = read_media(str(path))
    with pytest.raises(UnsuitableSource, match="would lose some where they meet"):
        plan(media, "h264-480p", defaults("h264-480p"))
    assert plan(media, "mp3", defaults("mp3")).audio == 1


@pytest.mark.parametrize("edits", [((0.4, 0.0), (0.4, None), (0.4, 0.4)), ((0.4, 0.0), (0.4, None))])
def test_nothing_in_the_middle_is_refused(
    ffmpeg: str, tmp_path: Path, edits: tuple[tuple[float, float | None], ...]
) -> None:
    path = made(ffmpeg, tmp_path, "hole.mov", [*PLAIN, *PCM, "{out}"], edit=showing(*edits))
    with pytest.raises(ProbeError, match="show nothing for a while behind its beginning"):
        read_media(str(path))


def test_nothing_before_the_first_is_a_late_beginning(ffmpeg: str, tmp_path: Path) -> None:
    path = made(ffmpeg, tmp_path, "late.mov", [*PLAIN, *PCM, "{out}"], edit=showing((0.4, None), (0.4, 0.4)))
    assert numbers(make(ffmpeg, path, tmp_path, "h264-480p", **BRISK)) == [*range(10, 20)]
    assert read_media(str(make(ffmpeg, path, tmp_path, "remux-mp4"))).duration_seconds == pytest.approx(0.4, abs=0.05)


# Other files


def referring(kind: bytes, told: bytes) -> Change:
    reference = box(kind, told)
    path = [b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"]
    return lambda whole: changed(whole, path, lambda head: head[:8] + reference)


@pytest.mark.parametrize(("kind", "told"), [(b"url ", b"file:///film.mov\0"), (b"alis", bytes(150) + b"film.mov")])
def test_what_lies_in_other_files_is_refused(ffmpeg: str, tmp_path: Path, kind: bytes, told: bytes) -> None:
    path = made(ffmpeg, tmp_path, "refers.mov", [*PLAIN, *PCM, "{out}"], edit=referring(kind, bytes(4) + told))
    with pytest.raises(ProbeError, match="not in it, but in other files that it refers to"):
        read_media(str(path))


@pytest.mark.parametrize("told", [bytes([0, 0, 0, 1]), bytes(4)])
def test_a_reference_to_nothing_else_is_none(ffmpeg: str, tmp_path: Path, told: bytes) -> None:
    path = made(ffmpeg, tmp_path, "own.mov", [*PLAIN, *PCM, "{out}"], edit=referring(b"alis", told))
    assert read_media(str(path)).video

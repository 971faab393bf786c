"""A file of which the least bit is missing at its end is told from a whole one, as far as its container lets one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import PATIENCE
from specimens import SPECIMENS
from surroundings import thorough

from daemon.config_tables import Folder, Replace
from daemon.folders import checks, replacing
from daemon.media.describe import read_media
from daemon.media.media_file import MediaFile
from daemon.media.structure import lacks_end
from daemon.models import Wanted
from daemon.presets.library import Library

H264, MPEG2 = ("-c:v", "libx264", "-preset", "ultrafast"), ("-c:v", "mpeg2video")
MADE = {
    "first.mp4": (*H264, "-movflags", "faststart"),
    "fragments.mp4": (*H264, "-movflags", "frag_keyframe+empty_moov", "-g", "5"),
    "dash.mp4": (*H264, "-movflags", "dash+global_sidx+frag_keyframe", "-g", "5"),
    "film.mkv": H264,
    "piped.mkv": (*H264, "-f", "matroska", "pipe:1"),
    "live.webm": ("-c:v", "libvpx", "-deadline", "realtime", "-live", "1", "-c:a", "libopus"),
    "film.avi": ("-c:v", "mpeg4", "-c:a", "mp3"),
    "film.flv": (*H264, "-ar", "44100"),
    "film.wmv": ("-c:v", "wmv2", "-c:a", "wmav2"),
    "film.mxf": (*MPEG2, "-ar", "48000"),
    "film.ogv": ("-c:v", "libtheora", "-c:a", "libvorbis"),
    "film.ts": (*H264, "-c:a", "aac"),
    "film.m2ts": (*H264, "-c:a", "aac"),
}
CUT = {"no-index.mp4", "truncated.mkv", "truncated.ts", "truncated.mp4"}
CHEAP = ("first.mp4", "film.mkv", "piped.mkv", "film.avi", "film.ts")


@pytest.mark.parametrize("name", [name if name in CHEAP else thorough(name) for name in MADE])
def test_a_film_that_is_cut_by_little_is_told_from_a_whole_one(ffmpeg: str, tmp_path: Path, name: str) -> None:
    film, cut, piped = tmp_path / name, tmp_path / f"cut-{name}", MADE[name][-1] == "pipe:1"
    source = ("-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=1", "-f", "lavfi", "-i", "sine=duration=1")
    made = subprocess.run(
        [ffmpeg, "-v", "error", *source, *MADE[name], *([] if piped else [str(film)])], check=True, capture_output=True
    )
    if piped:
        film.write_bytes(made.stdout)
    assert not read_media(str(film), patience=PATIENCE).lacks_end
    content = film.read_bytes()
    for missing in (10, len(content) // 50, len(content) // 10):
        cut.write_bytes(content[: -missing if name != "film.mxf" else -missing - 6000])
        found = read_media(str(cut), patience=PATIENCE)
        assert found.lacks_end, missing
        assert replacing.lost(*terms(), found) == replacing.LACKING


def terms() -> tuple[Wanted, Library]:
    made = {"preset": "archive-hevc"}
    folder = Folder(name="x", path=Path("/x"), variations=(made,), replace=Replace(trash=Path("/x/.trash"), min_vmaf=0))
    [wanted] = Library().expand([checks.variation(made, folder)])
    return wanted, Library()


def test_a_long_avi_and_tables_that_lead_beyond_the_end_are_seen_too(ffmpeg: str, clip: Path, tmp_path: Path) -> None:
    long = tmp_path / "long.avi"
    long.write_bytes(b"RIFF\4\0\0\0AVI RIFF\x08\0\0\0AVIXabcd")
    assert not lacks_end(MediaFile(str(long)))
    long.write_bytes(long.read_bytes()[:-3])
    assert lacks_end(MediaFile(str(long)))
    film = tmp_path / "film.mp4"
    copied = [ffmpeg, "-v", "error", "-i", str(clip), "-c", "copy", "-movflags", "faststart", str(film)]
    subprocess.run(copied, check=True)
    content = bytearray(film.read_bytes())
    at = content.index(b"mdat") - 4
    content[at : at + 4] = bytes(4)  # which stands for the rest of the file, however long that is
    film.write_bytes(content)
    assert not read_media(str(film), patience=PATIENCE).lacks_end
    film.write_bytes(content[:-200])
    assert read_media(str(film), patience=PATIENCE).lacks_end


@pytest.mark.thorough
def test_no_specimen_is_taken_for_cut_but_those_that_are(media: Callable[[str], Path]) -> None:
    assert {one.name for one in SPECIMENS if lacks_end(MediaFile(str(media(one.name))))} == CUT

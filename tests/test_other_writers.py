"""What browsers and libraries of music write otherwise than FFmpeg does comes out whole."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from specimens import AV1, COPY, H264, MP3, MPEG4, OPUS, PCM, SOFT_ALPHA, VP8, VP9, encoded, heard, silent
from surroundings import need, thorough
from test_kinds import frames, make
from test_unread import defaults, made

from daemon.errors import UnsuitableSource
from daemon.media.describe import read_media
from daemon.proof.differences import differences
from daemon.recipes.command import plan


def unedited(whole: bytes) -> bytes:
    """As Chromium writes Opus into MP4: 80 ms are to be left out at its beginning, and no edit list does that."""
    at = whole.index(b"dOps") + 6
    return (whole[:at] + (3840).to_bytes(2, "big") + whole[at + 2 :]).replace(b"edts", b"free")


@pytest.mark.parametrize("preset", ["h264-480p", "remux-mp4", *map(thorough, ["archive-hevc", "webm-720p", "mp3"])])
def test_sound_of_which_a_decoder_leaves_out_the_beginning_is_as_late(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    media = read_media(str(made(ffmpeg, tmp_path, "talk.mp4", encoded(*H264, "-bf", "0", *OPUS), edit=unedited)))
    assert media.audio[0].start_seconds == pytest.approx(0.08, abs=0.001)
    output = make(ffmpeg, tmp_path / "talk.mp4", tmp_path, preset)
    assert differences(read_media(str(output)), plan(media, preset, defaults(preset))) == []


@pytest.mark.parametrize("codec", [VP8, *map(thorough, [VP9, AV1])])
def test_transparency_that_a_browser_tells_of_any_film_is_looked_for(
    ffmpeg: str, tmp_path: Path, codec: list[str]
) -> None:
    path = made(ffmpeg, tmp_path, "talk.webm", encoded(*codec, *OPUS, "-metadata:s:v", "alpha_mode=1"))
    planned = plan(read_media(str(path)), "h264-480p", defaults("h264-480p"))
    assert [fact for fact in planned.contents.left_out if not fact.meant] == []


def test_transparency_that_comes_late_in_a_film_is_found(ffmpeg: str, tmp_path: Path) -> None:
    told = [*VP9, "-metadata:s:v", "alpha_mode=1"]
    (tmp_path / "parts.txt").write_text("file opaque.webm\nfile clear.webm\n")
    path = made(
        ffmpeg,
        tmp_path,
        "stream.webm",
        silent(*told, rate="60", seconds=5.0, to="{work}/opaque.webm"),
        silent(*told, more=SOFT_ALPHA, seconds=0.4, to="{work}/clear.webm"),
        ["-f", "concat", "-i", "{work}/parts.txt", *COPY, "-metadata:s:v", "alpha_mode=1", "{out}"],
    )
    picture = read_media(str(path)).video
    assert picture
    assert picture.alpha


def test_no_picture_is_lost_where_some_alone_are_transparent(ffmpeg: str, tmp_path: Path) -> None:
    """As of what is drawn on a canvas that changes its size, of which Chromium records one picture so."""
    told = [*VP9, "-metadata:s:v", "alpha_mode=1"]
    (tmp_path / "parts.txt").write_text("file opaque.webm\nfile clear.webm\nfile opaque.webm\n")
    path = made(
        ffmpeg,
        tmp_path,
        "canvas.webm",
        silent(*told, seconds=0.4, to="{work}/opaque.webm"),
        silent(*told, more=SOFT_ALPHA, seconds=0.4, to="{work}/clear.webm"),
        ["-f", "concat", "-i", "{work}/parts.txt", *COPY, "-metadata:s:v", "alpha_mode=1", "{out}"],
    )
    copied = plan(read_media(str(path)), "remux-mkv", defaults("remux-mkv"))
    assert "transparency" in {fact.what for fact in copied.contents.kept}
    assert differences(read_media(str(make(ffmpeg, path, tmp_path, "remux-mkv"))), copied) == []
    planned = plan(read_media(str(path)), "h264-480p", {**defaults("h264-480p"), "speed": "ultrafast"})
    assert "transparency" in {fact.what for fact in planned.contents.left_out}
    output = make(ffmpeg, path, tmp_path, "h264-480p", speed="ultrafast")
    assert sum(1 for _ in frames(output)) == 30
    assert differences(read_media(str(output)), planned) == []


def test_a_musepack_file_lasts_as_long_as_its_header_says(ffmpeg: str, tmp_path: Path) -> None:
    encoder, song = need("mpcenc", "musepack-tools"), tmp_path / "song.mpc"
    source = made(ffmpeg, tmp_path, "song.wav", heard(*PCM, "-ar", "44100", seconds=4.0))
    subprocess.run([encoder, "--silent", str(source), str(song)], check=True)
    media = read_media(str(song))
    assert media.duration_seconds == pytest.approx(4, abs=0.01)
    output = read_media(str(make(ffmpeg, song, tmp_path, "mp3")))
    assert differences(output, plan(media, "mp3", defaults("mp3"))) == []


@pytest.mark.parametrize(("pictures", "copied"), [(["-bf", "2"], False), (["-bf", "0"], True)])
def test_pictures_that_an_avi_had_and_a_matroska_has_now_are_copied_where_they_are_in_order(
    ffmpeg: str, tmp_path: Path, pictures: list[str], copied: bool
) -> None:
    """Of these mkvmerge tells when they are decoded, as the AVI did, which FFmpeg takes for when they are shown."""
    merge, path = need("mkvmerge", "mkvtoolnix"), tmp_path / "rip.mkv"
    source = made(ffmpeg, tmp_path, "rip.avi", encoded(*MPEG4, *pictures, *MP3))
    subprocess.run([merge, "-q", "-o", str(path), str(source)], check=True)
    media = read_media(str(path))
    if copied:
        assert plan(media, "remux-mp4", defaults("remux-mp4")).copied
        return
    for preset in ("remux-mp4", "remux-mkv"):
        with pytest.raises(UnsuitableSource, match="does not tell when all of its pictures are shown"):
            plan(media, preset, defaults(preset))
    output = make(ffmpeg, path, tmp_path, "h264-480p")
    assert differences(read_media(str(output)), plan(media, "h264-480p", defaults("h264-480p"))) == []


@pytest.mark.parametrize("preset", ["h264-480p", *map(thorough, ["archive-ffv1", "webm-720p", "gif"])])
def test_pictures_of_av1_that_hold_fewer_pixels_come_out_as_large_as_all(
    ffmpeg: str, tmp_path: Path, preset: str
) -> None:
    """As where an encoder spares bits, which needs no key frame in AV1."""
    resized = ["-c:v", "libaom-av1", "-cpu-used", "8", "-b:v", "40k", "-aom-params", "resize-mode=2"]
    path = made(ffmpeg, tmp_path, "small.mkv", silent(*resized))
    assert len({(frame.width, frame.height) for frame in frames(path)}) > 2
    media = read_media(str(path))
    output = make(ffmpeg, path, tmp_path, preset)
    assert differences(read_media(str(output)), plan(media, preset, defaults(preset))) == []
    assert {(frame.width, frame.height) for frame in frames(output)} == {(320, 180)}

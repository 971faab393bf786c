"""What a picture's track says of itself, and what tracks are marked as, is in an output or told to be left out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from combinations import cropped
from msgspec.structs import replace
from specimens import AAC, H264, PALETTE, PCM, Step, mapped, picture, read, silent, sound
from surroundings import thorough
from test_contents import QUICK, all_around
from test_kinds import make
from test_unread import defaults, made

from daemon.media import gif
from daemon.media.describe import read_media
from daemon.media.media_file import MediaFile
from daemon.media.model import Media, VideoStream
from daemon.presets.builtin import PRESETS
from daemon.proof.differences import differences
from daemon.recipes.command import plan, prospect


def quickly(preset: str) -> dict[str, Any]:
    return QUICK if PRESETS[preset].kind in {"video", "framed", "archive"} else {}


def facts(media: Media, preset: str) -> list[set[str]]:
    contents = plan(media, preset, {**defaults(preset), **quickly(preset)}).contents
    return [{fact.what for fact in some} for some in (contents.kept, contents.left_out)]


def shown(path: Path) -> VideoStream:
    found = read_media(str(path)).video
    assert found
    return found


SIDE_BY_SIDE = silent(*H264, "-x264-params", "frame-packing=3", "{out}", to="-y")


def by_its_container(ffmpeg: str, folder: Path) -> Path:
    """Matroska's own mark, of which the picture knows nothing."""
    both = ["-metadata:s:v:0", "stereo_mode=left_right", "{out}"]
    return made(ffmpeg, folder, "eyes.mkv", silent(*H264, *both, to="-y"))


@pytest.mark.parametrize(
    ("preset", "kept"),
    [
        *(("remux-mp4", True), ("remux-mkv", True), ("h264-480p", True), ("webm-720p", True)),
        *(("square-1080p", False), thorough("hevc-1080p", True), thorough("archive-hevc", True), ("hls", False)),
        *(thorough("archive-ffv1", True), thorough("webm-av1-1080p", True), ("webp", False)),
    ],
)
def test_that_a_film_is_stereoscopic_stays_with_it_or_is_told(
    ffmpeg: str, tmp_path: Path, preset: str, kept: bool
) -> None:
    source = by_its_container(ffmpeg, tmp_path)
    assert shown(source).stereo
    assert ["stereo" in some for some in facts(read_media(str(source)), preset)] == [kept, not kept]
    if preset != "hls":
        assert shown(make(ffmpeg, source, tmp_path, preset, **quickly(preset))).stereo == kept


def test_what_is_put_into_a_frame_is_not_told_to_be_for_two_eyes(ffmpeg: str, tmp_path: Path) -> None:
    source = made(ffmpeg, tmp_path, "packed.mp4", SIDE_BY_SIDE)
    assert shown(source).stereo
    assert not shown(make(ffmpeg, source, tmp_path, "square-1080p", **QUICK)).stereo


def test_what_tells_of_the_view_has_a_process_of_its_own(ffmpeg: str, tmp_path: Path) -> None:
    """One graph of filters tells only the first of its outputs of it."""
    whole = made(ffmpeg, tmp_path, "all.mp4", silent(*H264), edit=all_around)
    for source in (whole, by_its_container(ffmpeg, tmp_path)):
        media = read_media(str(source))
        assert not prospect(media, "h264-480p", defaults("h264-480p")).shareable
        assert prospect(media, "gif", defaults("gif")).shareable


@pytest.mark.parametrize(("preset", "kept"), [("remux-mp4", True), ("remux-mkv", True), ("h264-480p", False)])
def test_edges_that_players_are_to_leave_out_are_kept_apart_or_told(
    ffmpeg: str, tmp_path: Path, preset: str, kept: bool
) -> None:
    media = read_media(str(made(ffmpeg, tmp_path, "clap.mp4", silent(*H264, "{out}", to="-y"), edit=cropped(160, 90))))
    assert media.cropped
    assert ["crop" in some for some in facts(media, preset)] == [kept, not kept]
    assert read_media(str(make(ffmpeg, tmp_path / "clap.mp4", tmp_path, preset, **quickly(preset)))).cropped == kept


def test_all_chapters_are_counted(ffmpeg: str, tmp_path: Path) -> None:
    one = "[CHAPTER]\nTIMEBASE=1/1000\nSTART={0}\nEND={0}\n"
    (tmp_path / "chapters.txt").write_text(";FFMETADATA1\n" + "".join(one.format(n) for n in range(1000)))
    step = [*sound(), *read("chapters.txt"), "-map_chapters", "1", *AAC, "{out}"]
    media = read_media(str(made(ffmpeg, tmp_path, "many.mkv", step)))
    kept = plan(media, "remux-mkv", defaults("remux-mkv")).contents.kept
    assert "1000" in {fact.detail for fact in kept if fact.what == "chapters"}


NAMED = ["-metadata:s:v:0", "language=jpn", "-metadata:s:v:0", "title=Main angle"]


@pytest.mark.parametrize("ending", ["mkv", thorough("mp4")])
@pytest.mark.parametrize("preset", ["h264-480p", "remux-mp4", "remux-mkv", "webm-720p", thorough("archive-ffv1")])
def test_a_picture_keeps_its_language_and_its_name(ffmpeg: str, tmp_path: Path, ending: str, preset: str) -> None:
    source = made(ffmpeg, tmp_path, f"named.{ending}", silent(*H264, *NAMED, "{out}", to="-y"))
    assert (shown(source).language, shown(source).title) == ("jpn", "Main angle")
    made_of_it = shown(make(ffmpeg, source, tmp_path, preset, **quickly(preset)))
    assert (made_of_it.language, made_of_it.title) == ("jpn", "Main angle")


def test_where_a_picture_cannot_have_a_language_it_is_told(ffmpeg: str, tmp_path: Path) -> None:
    media = read_media(str(made(ffmpeg, tmp_path, "named.mkv", silent(*H264, *NAMED, "{out}", to="-y"))))
    lost = plan(media, "hls", defaults("hls")).contents.left_out
    assert {"language": "jpn", "name": "Main angle"}.items() <= {fact.what: fact.detail for fact in lost}.items()


def marked(folder: Path) -> list[Step]:
    (folder / "words.srt").write_text("1\n00:00:00,200 --> 00:00:00,900\nWords\n")
    inputs = [*picture(), *sound(), *sound(), *read("words.srt"), *read("words.srt")]
    marks = ["-disposition:a:1", "original", "-disposition:s:0", "0", "-disposition:s:1", "descriptions"]
    return [[*inputs, *mapped("0", "1", "2", "3", "4"), *H264, *AAC, "-c:s", "srt", *marks, "{out}"]]


@pytest.mark.parametrize(
    ("preset", "original", "descriptions"),
    [("remux-mkv", True, True), ("h264-480p", False, True), ("remux-mp4", False, True), ("webm-720p", False, True)],
)
def test_marks_are_kept_where_the_container_has_them_or_told(
    ffmpeg: str, tmp_path: Path, preset: str, original: bool, descriptions: bool
) -> None:
    media = read_media(str(made(ffmpeg, tmp_path, "marked.mkv", *marked(tmp_path))))
    asked = {**defaults(preset), **quickly(preset)}
    planned = plan(media, preset, asked)
    lost = {fact.detail for fact in planned.contents.left_out if fact.what == "mark"}
    assert lost == {*(() if original else ("original",)), *(() if descriptions else ("descriptions",))}
    output = read_media(str(make(ffmpeg, tmp_path / "marked.mkv", tmp_path, preset, **quickly(preset))))
    assert differences(output, planned) == []
    assert ("original" in output.audio[1].marks, "descriptions" in output.subtitles[1].marks) == (
        original,
        descriptions,
    )


@pytest.mark.parametrize("preset", ["remux-mkv", thorough("archive-ffv1")])
def test_subtitles_that_nobody_asked_to_be_shown_are_not(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    source = made(ffmpeg, tmp_path, "marked.mkv", *marked(tmp_path))
    for path in (source, make(ffmpeg, source, tmp_path, preset)):
        assert not any(stream.default for stream in read_media(str(path)).subtitles)


def test_numbers_of_a_track_and_a_disc_are_kept_in_an_m4a(ffmpeg: str, tmp_path: Path) -> None:
    told = ["-metadata", "track=3/9", "-metadata", "disc=1/2", "-metadata", "compilation=1"]
    source = made(ffmpeg, tmp_path, "song.m4a", [*sound(), *AAC, *told, "{out}"])
    assert facts(read_media(str(source)), "m4a")[1] == set()
    assert {"track", "disc", "compilation"} <= {*read_media(str(make(ffmpeg, source, tmp_path, "m4a"))).tags}


def test_what_flac_cannot_hold_is_told(ffmpeg: str, tmp_path: Path) -> None:
    places = ["-af", "pan=7.1.4|c0=c0", "-c:a", "pcm_f32le", "{out}"]
    media = read_media(str(made(ffmpeg, tmp_path, "many.wav", [*sound(), *places])))
    told = [str(fact) for fact in plan(media, "flac", defaults("flac")).contents.left_out]
    assert told[0] == "channels (track 0, 4 of 12): FLAC holds 8"
    assert told[1].startswith("precision (track 0, pcm_f32le): FLAC has 24 bits")
    plain = read_media(str(made(ffmpeg, tmp_path, "plain.wav", [*sound(), *PCM, "{out}"])))
    assert facts(plain, "flac")[1] == set()


PAUSED = [*picture(seconds=4.0, more="select='not(between(t,1,3))'"), *sound(4.0), "-fps_mode", "vfr"]
SLIDES = [*picture(seconds=6.0, rate="0.5"), *sound(6.0)]


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        *(("a.mp4", "webm-720p"), ("a.mkv", "h264-480p"), ("a.ts", "remux-mp4")),
        *(thorough("a.mp4", "hls"), thorough("a.mkv", "gif"), thorough("a.ts", "webm-720p")),
    ],
)
def test_a_pause_in_the_picture_stays_one_and_is_told(ffmpeg: str, tmp_path: Path, name: str, preset: str) -> None:
    source = made(ffmpeg, tmp_path, name, [*PAUSED, *H264, "-bf", "2", *AAC, "{out}"])
    told = plan(read_media(str(source)), preset, defaults(preset)).contents.left_out
    assert [fact.detail for fact in told if fact.what == "gap"] == ["2.1 s of the picture"]
    output = make(ffmpeg, source, tmp_path, preset, **quickly(preset))
    if output.is_file():
        found = read_media(str(output))
        assert differences(found, plan(read_media(str(source)), preset, {**defaults(preset), **quickly(preset)})) == []
        assert found.duration_seconds == pytest.approx(4.0, abs=0.1)


def test_slides_are_no_pauses(ffmpeg: str, tmp_path: Path) -> None:
    source = made(ffmpeg, tmp_path, "slides.mp4", [*SLIDES, *H264, *AAC, "{out}"])
    assert facts(read_media(str(source)), "h264-480p")[1] == set()


CLOCK = ["-video_track_timescale", "10000", "-bf", "0", "{out}"]


@pytest.mark.parametrize(("preset", "told"), [("h264-480p", ["30 of 40"]), ("remux-mkv", [])])
def test_pictures_that_no_screen_shows_are_told(ffmpeg: str, tmp_path: Path, preset: str, told: list[str]) -> None:
    """From the eleventh on they follow one another by a tenth of a millisecond."""
    crowded = ["-enc_time_base", "1:10000", "-bsf:v", "setts=ts=if(lt(N\\,10)\\,N*400\\,3600+N-9)"]
    media = read_media(str(made(ffmpeg, tmp_path, "crowd.mp4", silent(*H264, *crowded, *CLOCK, to="-y"))))
    lost = plan(media, preset, defaults(preset)).contents.left_out
    assert [fact.detail for fact in lost if fact.what == "pictures"] == told


def test_pictures_of_a_camera_for_slow_motion_are_all_kept(ffmpeg: str, tmp_path: Path) -> None:
    media = read_media(str(made(ffmpeg, tmp_path, "slow.mp4", silent(*H264, rate="960", seconds=0.2))))
    planned = plan(media, "archive-hevc", defaults("archive-hevc"))
    assert [fact.detail for fact in planned.contents.left_out if fact.what == "pictures"] == []
    assert planned.pictures == 192


def test_an_output_that_lacks_pictures_is_not_what_was_planned(ffmpeg: str, tmp_path: Path) -> None:
    """A decoder that the times of the second half confuse leaves them out, though it ends when it should."""
    whole = made(ffmpeg, tmp_path, "whole.mp4", silent(*H264, *CLOCK, to="-y"))
    select = ["-vf", "select=lt(n\\,20)+gte(n\\,39)", "-fps_mode", "vfr", *CLOCK]
    less = read_media(str(made(ffmpeg, tmp_path, "less.mp4", silent(*H264, *select, to="-y"))))
    planned = replace(plan(read_media(str(whole)), "h264-480p", defaults("h264-480p")), frame_rate=None, colour=None)
    assert differences(less, planned) == ["it has 21 pictures instead of 40"]


def controlled(disposal: int, hundredths: int) -> Callable[[bytes], bytes]:
    """A GIF all of whose pictures have this time, and leave that of themselves."""

    def edit(whole: bytes) -> bytes:
        edited = bytearray(whole)
        for found in re.finditer(rb"\x21\xf9\x04", whole):
            edited[found.end()] = edited[found.end()] & 0xE3 | disposal << 2
            edited[found.end() + 1 : found.end() + 3] = hundredths.to_bytes(2, "little")
        return bytes(edited)

    return edit


@pytest.mark.parametrize(
    ("disposal", "hundredths", "told"), [(1, 10, set[str]()), (1, 1, {"pace"}), (2, 10, {"ground"})]
)
def test_what_browsers_show_otherwise_of_a_gif_is_told(
    ffmpeg: str, tmp_path: Path, disposal: int, hundredths: int, told: set[str]
) -> None:
    animation = silent(rate="10", seconds=0.4, more="format=rgba" + PALETTE)
    path = made(ffmpeg, tmp_path, "some.gif", animation, edit=controlled(disposal, hundredths))
    for preset in ("h264-480p", "webp"):
        planned = plan(read_media(str(path)), preset, {**defaults(preset), **quickly(preset)})
        assert {fact.what for fact in planned.contents.left_out if not fact.meant} & {"pace", "ground"} == told


def test_half_a_gif_is_no_reason_to_stumble(ffmpeg: str, tmp_path: Path) -> None:
    path = made(ffmpeg, tmp_path, "some.gif", silent(rate="10", seconds=0.4, more="format=rgba" + PALETTE))
    whole = path.read_bytes()
    for length in (0, 6, 11, 13, *range(780, 830)):
        path.write_bytes(whole[:length])
        assert not gif.is_hurried(MediaFile(str(path)))
        assert not gif.is_filled(MediaFile(str(path)))

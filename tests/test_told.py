"""What a source tells of itself is told by what is made of it: when and where it was recorded, what its tracks are."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from av.stream import Disposition
from specimens import AAC, H264, film, mapped, picture, sound
from test_kinds import make
from test_unread import defaults, made

from daemon.media.describe import read_media
from daemon.proof.differences import differences
from daemon.recipes.command import plan

QUICK = {"speed": "ultrafast"}
MOMENT = ("-metadata", "creation_time=2022-11-09T17:36:38Z")
PLACE = ("-metadata", "location=+48.8584+002.2945/")
DEVICE = ("-metadata", "make=Acme", "-metadata", "model=One")
APPLE = ("-movflags", "use_metadata_tags", "-metadata", "com.apple.quicktime.location.ISO6709=+48.8584+002.2945/")
PRESETS = ("h264-480p", "webm-720p", "remux-mp4", "remux-mkv", "archive-ffv1", "m4a")


def quick(preset: str) -> dict[str, str]:
    return QUICK if preset in {"h264-480p", "webm-720p"} else {}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", ["phone.mp4", "phone.mov"])
def test_the_moment_of_recording_is_kept(ffmpeg: str, tmp_path: Path, name: str, preset: str) -> None:
    path = made(ffmpeg, tmp_path, name, film(*MOMENT, *PLACE, "{out}"))
    with av.open(str(make(ffmpeg, path, tmp_path, preset, **quick(preset)))) as container:
        assert container.metadata["creation_time"].startswith("2022-11-09T17:36:38")


@pytest.mark.parametrize("preset", ["h264-480p", "remux-mp4", "m4a"])
def test_the_place_in_apples_words_is_kept(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    path = made(ffmpeg, tmp_path, "phone.mov", film(*APPLE, "{out}"))
    with av.open(str(make(ffmpeg, path, tmp_path, preset, **quick(preset)))) as container:
        assert container.metadata["location"] == "+48.8584+002.2945/"


@pytest.mark.parametrize("preset", ["h264-480p", "remux-mp4", "m4a", "remux-mkv"])
def test_the_device_is_told_in_apples_words_and_what_else_is_told_stays(
    ffmpeg: str, tmp_path: Path, preset: str
) -> None:
    path = made(ffmpeg, tmp_path, "phone.mov", film(*MOMENT, *PLACE, *DEVICE, "{out}"))
    media = read_media(str(make(ffmpeg, path, tmp_path, preset, **quick(preset))))
    assert (media.device, media.place) == ("Acme One", "+48.8584+002.2945/")
    assert media.created
    assert media.created.startswith("2022-11-09T17:36:38")


@pytest.mark.parametrize("preset", ["remux-mp4", "remux-mkv", "mp3"])
@pytest.mark.parametrize("moment", ["2022-11-09T23:36:38", "0001-01-01T00:00:00Z"])
def test_a_place_to_the_meter_and_a_moment_of_any_clock_are_as_was_planned(
    ffmpeg: str, tmp_path: Path, moment: str, preset: str
) -> None:
    """MP4 rounds what a phone tells, and has no year before 1904; a moment without a zone is the host's."""
    exact = ("-metadata", "location=+48.858370+002.294481+035.123/", "-metadata", f"creation_time={moment}")
    path = made(ffmpeg, tmp_path, "phone.mkv", film(*exact, "{out}"))
    planned = plan(read_media(str(path)), preset, defaults(preset))
    assert "place" in {fact.what for fact in planned.contents.kept}
    output = read_media(str(make(ffmpeg, path, tmp_path, preset)))
    assert differences(output, planned) == []
    assert output.place
    assert output.place.startswith("+48.858")


@pytest.mark.parametrize("preset", ["h264-480p", "remux-mkv", "mp3"])
@pytest.mark.parametrize("moment", ["2024-02-30T25:61:00", "2024-01-01T10:11", "2024-01-01T10:11:12.5.6"])
def test_a_moment_that_never_was_is_a_tag_like_others(ffmpeg: str, tmp_path: Path, moment: str, preset: str) -> None:
    told = ("-movflags", "use_metadata_tags", "-metadata", f"com.apple.quicktime.creationdate={moment}")
    path = made(ffmpeg, tmp_path, "phone.mov", film(*told, "{out}"))
    media = read_media(str(path))
    assert (media.created, media.tags) == (None, ("com.apple.quicktime.creationdate",))
    planned = plan(media, preset, {**defaults(preset), **quick(preset)})
    assert differences(read_media(str(make(ffmpeg, path, tmp_path, preset, **quick(preset)))), planned) == []


@pytest.mark.parametrize("preset", ["h264-480p", "remux-mp4", "m4a"])
def test_a_title_is_where_players_look_for_it_and_the_device_is_told_to_be_left_out(
    ffmpeg: str, tmp_path: Path, preset: str
) -> None:
    path = made(ffmpeg, tmp_path, "phone.mov", film(*DEVICE, "-metadata", "title=Beach", "{out}"))
    planned = plan(read_media(str(path)), preset, {**defaults(preset), **quick(preset)})
    assert "device" in {fact.what for fact in planned.contents.left_out}
    output = make(ffmpeg, path, tmp_path, preset, **quick(preset))
    assert b"\xa9nam" in output.read_bytes()
    with av.open(str(output)) as container:
        assert container.metadata["title"] == "Beach"


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("how", [PLACE, APPLE])
def test_what_is_stripped_tells_neither_moment_nor_place(
    ffmpeg: str, tmp_path: Path, how: tuple[str, ...], preset: str
) -> None:
    path = made(ffmpeg, tmp_path, "phone.mov", film(*MOMENT, *how, "{out}"))
    output = make(ffmpeg, path, tmp_path, preset, metadata="strip", **quick(preset))
    assert b"48.8584" not in output.read_bytes()
    with av.open(str(output)) as container:
        assert "creation_time" not in container.metadata


@pytest.mark.parametrize("preset", ["h264-480p", "webm-720p", "remux-mp4", "remux-mkv"])
def test_a_commentary_stays_one_and_tracks_keep_their_names(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    named = ["-metadata:s:a:0", "title=Main", "-metadata:s:a:1", "title=Director's commentary"]
    marked = ["-disposition:a:0", "default", "-disposition:a:1", "comment"]
    codecs = [*H264, *AAC]
    step = [*picture(), *sound(), *sound(frequency=900), *mapped("0", "1", "2"), *codecs, *named, *marked, "{out}"]
    output = make(ffmpeg, made(ffmpeg, tmp_path, "film.mkv", step), tmp_path, preset, **quick(preset))
    with av.open(str(output)) as container:
        main, comment = container.streams.audio
        told = "handler_name" if "mp4" in container.format.name else "title"
        assert [main.metadata[told], comment.metadata[told]] == ["Main", "Director's commentary"]
        assert bool(comment.disposition & Disposition.comment) or preset == "webm-720p"
        assert not main.disposition & Disposition.comment


@pytest.mark.parametrize("preset", ["remux-mkv", "webm-720p", "archive-ffv1", "remux-mp4"])
def test_a_track_keeps_the_name_that_it_has_in_mp4(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    named = ["-metadata:s:a:0", "title=Main", "-metadata:s:a:0", "handler_name=Main", "-metadata:s:a:1", "title=Second"]
    step = [*picture(), *sound(), *sound(frequency=900), *mapped("0", "1", "2"), *H264, *AAC, *named, "{out}"]
    path = made(ffmpeg, tmp_path, "film.mp4", step)
    media = read_media(str(path))
    assert [stream.title for stream in media.audio] == ["Main", "Second"]
    output = read_media(str(make(ffmpeg, path, tmp_path, preset, **quick(preset))))
    assert [stream.title for stream in output.audio] == ["Main", "Second"]
    assert differences(output, plan(media, preset, {**defaults(preset), **quick(preset)})) == []

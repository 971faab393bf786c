"""What recorders leave behind: cut off where they crashed, or of so few pictures that nothing tells their rate."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Daemon
from specimens import AAC, H264, MP3, MPEG4, OPUS, X265, Step, encoded, film, heard, picture, silent, sound
from surroundings import crossed, thorough
from test_kinds import frames, lasting, make
from test_unread import defaults, made

from daemon.errors import ProbeError
from daemon.media.describe import read_media
from daemon.proof.differences import differences, lasts_as_planned
from daemon.recipes.command import plan

FRAGMENTED = ("-movflags", "+frag_keyframe+empty_moov+default_base_moof", "-g", "25")


def crashed(ffmpeg: str, folder: Path, share: float, *flags: str, name: str = "crash.mp4") -> Path:
    """A recording of 6 s that ends at that share of its bytes."""
    return made(
        ffmpeg, folder, name, film(*flags, "{out}", seconds=6.0), edit=lambda whole: whole[: int(len(whole) * share)]
    )


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("preset", "share"), crossed(["h264-480p", "webm-720p", "remux-mkv", "remux-mp4", "mp3", "hls"], [0.35, 0.6])
)
def test_a_fragmented_recording_is_used_as_far_as_it_goes(
    shared_daemon: Daemon, ffmpeg: str, tmp_path: Path, preset: str, share: float
) -> None:
    path = crashed(ffmpeg, tmp_path, share, *FRAGMENTED)
    job = shared_daemon.wait_for(shared_daemon.submit(path, presets=[preset])["id"])
    [variation] = job["sources"][0]["variations"]
    assert variation["status"] == "completed", variation["error"]
    assert 6 * share - 1.1 < variation["output_seconds"] < 6 * share + 0.6
    log = shared_daemon.client.get(f"/api/jobs/{job['id']}/variations/{variation['id']}/log").text
    assert "# left out: end: the source ends in the middle of a recording: what is there is used" in log


def test_a_quicktime_recording_in_fragments_is_used_as_far_as_it_goes(ffmpeg: str, tmp_path: Path) -> None:
    path = crashed(ffmpeg, tmp_path, 0.5, "-movflags", "+frag_keyframe+empty_moov", "-g", "10", name="crash.mov")
    assert 2.0 < lasting(make(ffmpeg, path, tmp_path, "remux-mkv"), "video") < 3.5


@pytest.mark.parametrize(
    ("name", "rate", "how"),
    [("raw.h264", "50", [*H264, "-bf", "2"]), thorough("raw.h264", "12", H264), thorough("raw.hevc", "60", X265)],
)
def test_a_stream_without_a_container_has_the_rate_that_it_tells_itself(
    ffmpeg: str, tmp_path: Path, name: str, rate: str, how: list[str]
) -> None:
    media = read_media(str(made(ffmpeg, tmp_path, name, silent(*how, rate=rate))))
    assert media.video
    assert media.video.frame_rate == pytest.approx(int(rate))
    output = make(ffmpeg, tmp_path / name, tmp_path, "h264-480p", speed="ultrafast")
    assert differences(read_media(str(output)), plan(media, "h264-480p", defaults("h264-480p"))) == []


@pytest.mark.parametrize(
    "preset", ["h264-480p", *map(thorough, ("webm-720p", "webm-av1-1080p", "av1-720p", "hevc-1080p"))]
)
@pytest.mark.parametrize("count", [2, thorough(3), thorough(5)])
def test_an_animation_of_few_slow_pictures_is_shown_as_long(
    shared_daemon: Daemon, ffmpeg: str, tmp_path: Path, preset: str, count: int
) -> None:
    path = made(ffmpeg, tmp_path, "slides.gif", silent("-f", "gif", size="100x100", rate="1", seconds=count))
    job = shared_daemon.wait_for(shared_daemon.submit(path, presets=[preset])["id"])
    [variation] = job["sources"][0]["variations"]
    assert variation["status"] == "completed", variation["error"]
    assert variation["output_seconds"] == pytest.approx(count, abs=0.1)


def test_slides_in_a_film_keep_their_number(ffmpeg: str, tmp_path: Path) -> None:
    path = made(ffmpeg, tmp_path, "slides.gif", [*picture("100x100", "1", 2.0), "-f", "gif", "{out}"])
    assert len(list(frames(make(ffmpeg, path, tmp_path, "webm-720p", speed="ultrafast")))) == 2


CUT = {
    "film.mp4": film("-movflags", "+faststart", "{out}", seconds=4.0),
    "film.mkv": film("{out}", seconds=4.0),
    "film.avi": encoded(*MPEG4, *MP3, seconds=4.0),
    "music.wav": heard(seconds=4.0),
}


@pytest.mark.parametrize("name", CUT)
def test_of_a_file_that_was_cut_off_is_kept_what_is_there_if_that_is_asked(
    ffmpeg: str, tmp_path: Path, name: str
) -> None:
    path = made(ffmpeg, tmp_path, name, CUT[name], edit=lambda whole: whole[: len(whole) * 6 // 10])
    media = read_media(str(path))
    assert media.duration_seconds == pytest.approx(4.0, abs=0.1)
    output = read_media(str(make(ffmpeg, path, tmp_path, "remux-mkv", on_truncated="keep")))
    planned = plan(media, "remux-mkv", {**defaults("remux-mkv"), "on_truncated": "keep"})
    assert output.duration_seconds == pytest.approx(2.4, abs=0.2)
    assert (differences(output, planned), lasts_as_planned(output, planned)) == ([], True)
    assert "end" in {fact.what for fact in planned.contents.left_out}
    with pytest.raises(ProbeError, match="truncated: its header says"):
        plan(media, "remux-mkv", defaults("remux-mkv"))


def test_a_cut_off_source_is_refused_with_advice_and_kept_if_that_is_asked(
    ffmpeg: str, tmp_path: Path, daemon: Daemon
) -> None:
    cut = made(ffmpeg, tmp_path, "film.mp4", CUT["film.mp4"], edit=lambda whole: whole[: len(whole) * 6 // 10])
    spec = {"variations": [{"preset": "mp3"}, {"preset": "m4a", "on_truncated": "keep"}]}
    job = daemon.wait_for(daemon.submit(cut, spec=spec)["id"])
    refused, kept = job["sources"][0]["variations"]
    assert "or ask for on_truncated=keep (`-p PRESET:on_truncated=keep`) to have what is there" in refused["error"]
    assert kept["status"] == "completed", kept["error"]


def test_an_flv_that_ends_before_its_header_says_is_told_to(ffmpeg: str, tmp_path: Path) -> None:
    step = film("-f", "flv", "{out}", seconds=4.0)
    path = made(ffmpeg, tmp_path, "live.flv", step, edit=lambda whole: whole[: len(whole) * 6 // 10])
    planned = plan(read_media(str(path)), "mp3", defaults("mp3"))
    assert "end" in {fact.what for fact in planned.contents.left_out}


LEFT_BY_A_CRASH: dict[str, Step] = {
    "a.mkv": [*H264, *AAC, "-live", "1"],
    "a.ts": [*H264, *AAC],
    "a.flv": [*H264, *AAC],
    "a.opus": OPUS,
}


@pytest.mark.parametrize("name", LEFT_BY_A_CRASH)
def test_what_ends_in_its_middle_is_told_to_whatever_its_container(ffmpeg: str, tmp_path: Path, name: str) -> None:
    both = [*(picture(seconds=3.0) if name != "a.opus" else []), *sound(3.0)]
    path = made(ffmpeg, tmp_path, name, [*both, *LEFT_BY_A_CRASH[name], "{out}"])
    for ends in (False, True):
        if ends:
            path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10 // 188 * 188 + 7])
        told = plan(read_media(str(path)), "opus", {**defaults("opus"), "on_truncated": "keep"}).contents.left_out
        assert [fact.what for fact in told].count("end") == ends


@pytest.mark.parametrize("name", ["a.mjpeg", "a", "a.jpg"])
def test_jpegs_that_follow_each_other_are_a_film(ffmpeg: str, tmp_path: Path, name: str) -> None:
    path = made(ffmpeg, tmp_path, name, silent("-c:v", "mjpeg", "-f", "mjpeg", "{out}", seconds=2.0, to="-y"))
    assert read_media(str(path)).duration_seconds == pytest.approx(2.0, abs=0.05)
    assert len(list(frames(make(ffmpeg, path, tmp_path, "h264-480p", speed="ultrafast")))) == 50


def test_a_photograph_with_previews_behind_it_is_none(ffmpeg: str, tmp_path: Path) -> None:
    step = silent("-c:v", "mjpeg", "-f", "mjpeg", "{out}", seconds=0.2, to="-y")
    row = made(ffmpeg, tmp_path, "row", step).read_bytes()
    photograph = tmp_path / "photograph.jpg"
    photograph.write_bytes(row[:2] + b"\xff\xe2\0\x0aMPF\0MM\0*" + row[2:])
    assert read_media(str(photograph)).still

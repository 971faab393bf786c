"""Chapters begin when they did and are called as they were, also where FFmpeg would tell an MP4's wrongly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import pytest
from specimens import AAC, H264, OPUS, Step, film, picture, read, sound
from surroundings import thorough
from test_kinds import make
from test_recipes import outputs
from test_unread import defaults, made

from daemon.media.describe import read_media
from daemon.proof.differences import differences
from daemon.recipes.command import command, plan

Told = list[tuple[float, str]]
LATE: Told = [(1.0, "One"), (2.0, "Two")]
NAMELESS: Told = [(0.0, "One"), (1.0, ""), (2.0, "a=b;#c\\d")]
HALVES: Told = [(0.0, "One"), (0.6, "a=b;#c\\d"), (1.5, ""), (2.999, "Last")]
QUICK = {"speed": "ultrafast"}


def text(told: Told) -> str:
    ends = [*(begin for begin, _ in told[1:]), max(3.0, told[-1][0])]
    lines = [
        f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={begin * 1000:.0f}\nEND={end * 1000:.0f}\n"
        + (f"title={''.join(chr(92) + char if char in '=;#' + chr(92) else char for char in title)}\n" if title else "")
        for (begin, title), end in zip(told, ends, strict=True)
    ]
    return "".join([";FFMETADATA1\n", *lines])


def parted(ffmpeg: str, folder: Path, name: str, told: Told) -> Path:
    (folder / "c.txt").write_text(text(told))
    steps: list[Step] = [
        [*picture(seconds=3.0), *sound(3.0), *read("c.txt"), "-map_metadata", "2", *H264, *AAC, "{out}"]
    ]
    return made(ffmpeg, folder, name, *steps)


@pytest.mark.parametrize("preset", ["remux-mp4", "webm-720p", "m4a", "opus", thorough("h264-480p"), thorough("hls")])
def test_what_begins_behind_the_end_is_left_out(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    quick = QUICK if preset in {"webm-720p", "h264-480p", "hls"} else {}
    media = read_media(str(parted(ffmpeg, tmp_path, "film.mkv", [*LATE, (50.0, "Behind"), (90.0, "Far")])))
    planned = plan(media, preset, {**defaults(preset), **quick})
    assert ("chapters", "2 behind the end") in {(fact.what, fact.detail) for fact in planned.contents.left_out}
    if preset != "hls":
        output = make(ffmpeg, tmp_path / "film.mkv", tmp_path, preset, **quick)
        assert differences(read_media(str(output)), planned) == []
        assert [title for _, title in track_of(output) if title] == ["One", "Two"]


@pytest.mark.parametrize(("preset", "kept"), [("mp3", 1200), ("opus", 1000)])
def test_many_that_last_a_moment_are_kept(ffmpeg: str, tmp_path: Path, preset: str, kept: int) -> None:
    path = parted(ffmpeg, tmp_path, "film.mkv", [(number / 1000, str(number)) for number in range(1200)])
    planned = plan(read_media(str(path)), preset, defaults(preset))
    output = read_media(str(make(ffmpeg, path, tmp_path, preset)))
    assert (len(output.chapters), differences(output, planned)) == (kept, [])
    lost = [fact.detail for fact in planned.contents.left_out if fact.what == "chapters"]
    assert lost == [str(count) for count in [1200 - kept] if count]


def track_of(path: Path) -> Told:
    """Chapters as FFmpeg reads them: of an MP4, those in its track."""
    with av.open(str(path)) as container:
        told = container.chapters()
    return [(float(one["start"] * one["time_base"]), one["metadata"].get("title", "").strip()) for one in told]


def list_of(path: Path) -> Told:
    return [(round(one.start_seconds, 3), one.title or "") for one in read_media(str(path)).chapters]


@pytest.mark.parametrize(
    ("name", "told", "preset", "asked", "expected"),
    [
        ("film.mkv", LATE, "remux-mp4", {}, [(0.0, ""), *LATE]),
        ("film.mkv", LATE, "h264-480p", QUICK, [(0.0, ""), *LATE]),
        ("film.mkv", LATE, "m4a", {"loudness_lufs": -20.0}, [(0.0, ""), *LATE]),
        thorough("film.mkv", LATE, "mp3", {}, LATE),
        ("film.mp4", LATE, "remux-mkv", {}, LATE),
        thorough("film.mp4", LATE, "mp3", {"loudness_lufs": -20.0}, LATE),
        thorough("film.mp4", LATE, "opus", {}, LATE),
        ("film.mkv", HALVES, "opus", {}, HALVES),
        thorough("film.mp4", HALVES, "opus", {"loudness_lufs": -20.0}, HALVES),
        thorough("film.mp4", LATE, "remux-mp4", {}, [(0.0, ""), *LATE]),
        ("film.mkv", NAMELESS, "remux-mp4", {}, NAMELESS),
        ("film.mp4", NAMELESS, "webm-720p", QUICK, NAMELESS),
        thorough("film.mp4", NAMELESS, "h264-480p", {**QUICK, "target_vmaf": 60}, NAMELESS),
    ],
)
def test_chapters_begin_when_they_did(
    ffmpeg: str, tmp_path: Path, name: str, told: Told, preset: str, asked: dict[str, Any], expected: Told
) -> None:
    path = parted(ffmpeg, tmp_path, name, told)
    media = read_media(str(path))
    assert list_of(path) == told
    planned = plan(media, preset, {**defaults(preset), **asked})
    assert [fact.detail for fact in planned.contents.kept if fact.what == "chapters"] == [str(len(told))]
    output = make(ffmpeg, path, tmp_path, preset, **asked)
    for found in (track_of(output), list_of(output)):
        assert [title for _, title in found] == [title for _, title in expected]
        assert [begin for begin, _ in found] == pytest.approx([begin for begin, _ in expected], abs=0.03)
    assert differences(read_media(str(output)), planned) == []


def test_a_chapter_without_a_name_is_not_called_by_its_mark_in_an_mp3(ffmpeg: str, tmp_path: Path) -> None:
    path = parted(ffmpeg, tmp_path, "film.mkv", NAMELESS)
    output = read_media(str(make(ffmpeg, path, tmp_path, "mp3")))
    assert [chapter.title or "" for chapter in output.chapters] == [title for _, title in NAMELESS]
    assert differences(output, plan(read_media(str(path)), "mp3", defaults("mp3"))) == []


@pytest.mark.parametrize("preset", ["mp3", thorough("m4a"), thorough("opus")])
def test_chapters_go_with_sound_that_is_rewound(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    (tmp_path / "c.txt").write_text(text([(0.0, "Before"), (1.0, "One"), (2.5, "Two")]))
    late: Step = [*picture(seconds=4.0), "-itsoffset", "2", *sound(2.0), *read("c.txt"), "-map_metadata", "2"]
    path = made(ffmpeg, tmp_path, "late.mkv", [*late, *H264, *OPUS, "{out}"])
    begins, titles = zip(*track_of(make(ffmpeg, path, tmp_path, preset)), strict=True)
    assert titles == ("One", "Two")
    assert begins == pytest.approx((0.0, 0.5), abs=0.03)


def test_chapters_that_ffmpeg_copies_right_are_left_to_it(ffmpeg: str, tmp_path: Path) -> None:
    media = read_media(str(made(ffmpeg, tmp_path, "plain.mp4", film("{out}"))))
    assert not media.chapters_differ
    usual = read_media(str(parted(ffmpeg, tmp_path, "usual.mp4", [(0.0, "One"), (1.0, "Two")])))
    assert not usual.chapters_differ
    for asked in outputs("remux-mp4", "h264-480p", "m4a", "remux-mkv", "opus"):
        assert plan(usual, asked.preset, asked.parameters).chapters == usual.chapters
        assert "ffmetadata" not in command("film.mp4", usual, [asked], threads=2)


CHANGED: dict[str, tuple[Told, list[str]]] = {
    "later": ([(0.0, "One"), (1.3, "Two")], ["its chapter 2 begins at 1.30 s instead of 1.00 s"]),
    "called otherwise": ([(0.0, "One"), (1.0, "Three")], ["its chapter 2 is called Three instead of Two"]),
    "without a name": ([(0.0, "One"), (1.0, "")], ["its chapter 2 is called nothing instead of Two"]),
    "hardly later": ([(0.0, "One"), (1.03, "Two")], []),
}


@pytest.mark.parametrize("container", ["mp4", "mkv"])
@pytest.mark.parametrize("change", CHANGED)
def test_chapters_of_an_output_that_are_others_are_found(
    ffmpeg: str, tmp_path: Path, container: str, change: str
) -> None:
    told, words = CHANGED[change]
    preset = {"mp4": "remux-mp4", "mkv": "remux-mkv"}[container]
    usual = parted(ffmpeg, tmp_path, f"usual.{container}", [(0.0, "One"), (1.0, "Two")])
    planned = plan(read_media(str(usual)), preset, defaults(preset))
    assert differences(read_media(str(usual)), planned) == []
    changed = parted(ffmpeg, tmp_path, f"changed.{container}", told)
    assert differences(read_media(str(changed)), planned) == words

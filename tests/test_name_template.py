"""A name template makes names that every system takes, of words that are known, or says what is wrong with it."""

from __future__ import annotations

import re
import time

import msgspec
import pytest
from test_recipes import ALBUM
from test_recipes import FILM as FULL_HD

from daemon import filenames
from daemon.errors import BadName
from daemon.media.model import Media
from daemon.models import VariationRequest
from daemon.name_template import KNOWN, USUAL, NameTemplate, PathTemplate, Words, day
from daemon.presets.library import Library
from daemon.recipes.naming import height_and_codec

FILM = Words(
    stem="clip", preset="h264-720p", ext="mp4", source="clip.mov", job="Holiday", folder="2030", date="2030-01-31",
    height="720", codec="h264",
)  # fmt: skip


@pytest.mark.parametrize(
    ("template", "name"),
    [
        (USUAL, "clip_h264-720p.mp4"),
        ("{stem}-{height}p {codec}.{ext}", "clip-720p h264.mp4"),
        ("{stem}", "clip.mp4"),
        ("{job} {folder} {date} {source}.{ext}", "Holiday 2030 2030-01-31 clip.mov.mp4"),
        ("film", "film.mp4"),
    ],
)
def test_words_are_filled_in(template: str, name: str) -> None:
    assert NameTemplate(template).name(FILM) == name


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("{job}/{date}/{stem}.{ext}", "Holiday/2030-01-31/clip.mp4"),
        ("{job}/", "Holiday/own.mp4"),
        ("", "own.mp4"),
        ("{stem}/{height}", "clip/720.mp4"),
    ],
)
def test_a_path_has_words_in_each_step(template: str, path: str) -> None:
    assert PathTemplate(template).path(FILM, "own.mp4") == path


def test_a_word_makes_no_step_of_a_path() -> None:
    words = msgspec.structs.replace(FILM, job="a/../b", folder="..")
    assert PathTemplate("{job}/{folder}/").path(words, "own.mp4") == "a_.._b/_/own.mp4"


@pytest.mark.parametrize("template", ["a//b", "/a", "../a", "a/{what}/b", "a/b?c"])
def test_a_path_has_no_step_that_is_none(template: str) -> None:
    with pytest.raises(BadName):
        PathTemplate(template)


def test_a_folder_has_no_extension() -> None:
    hls = Words(stem="clip", preset="hls", ext="")
    assert [NameTemplate(text).name(hls) for text in (USUAL, "{stem}")] == ["clip_hls", "clip"]


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("", "is empty"),
        ("{Stem}.{ext}", "has the word {Stem}: did you mean {stem}? There is {stem}, {preset}, {ext}, "),
        ("{stem}{}", "has the word {}: There is"),
        ("{stem.__class__}", "has the word {stem.__class__}"),
        ("{stem", "has '{' that is part of no word"),
        ("stem}", "has '}' that is part of no word"),
        ("{folder}/{stem}", "holds '/', which no name may"),
        ("../{stem}", "holds '/'"),
        ("C:{stem}", "holds ':'"),
        ("{stem}\n", "holds U+000A"),
        ("\u202e{stem}", "holds U+202E"),
        ("\udcff{stem}", "not valid text"),
        ("x" * 201, "is longer than 200 bytes"),
        ("\u0958" * 40, "is longer than 200 bytes"),
    ],
)
def test_what_makes_no_name_is_refused_in_words(template: str, words: str) -> None:
    with pytest.raises(BadName, match=re.escape(words)):
        NameTemplate(template)


def test_words_that_mean_nothing_somewhere_are_refused_there() -> None:
    with pytest.raises(BadName, match=r"has the word \{job\}"):
        NameTemplate("{job}", [word for word in KNOWN if word != "job"])


@pytest.mark.parametrize(
    "value", ["../../etc/passwd", "..", "/", "a\nb", "\x1b[2J", "x\u202ey", "con", "{ext}", "", " . "]
)
@pytest.mark.parametrize("template", ["{stem}", "{job}", "{folder}{source}", "{stem}.{ext}", "a{job}"])
def test_whatever_the_words_are_the_name_is_one_of_a_file_in_its_folder(template: str, value: str) -> None:
    for ext in ("mp4", ""):
        words = Words(stem=value, preset=value, ext=ext, source=value, job=value, folder=value)
        name = NameTemplate(template).name(words)
        assert filenames.check(name) == name
        assert not name.startswith(".")
        assert filenames.DEVICE.fullmatch(name) is None


@pytest.mark.parametrize("mark", ["x", "ä", "漢", "e\u0301", "\u0958"])
def test_a_name_is_shortened_where_it_is_longest_and_keeps_its_end(mark: str) -> None:
    words = Words(stem=mark * 300, preset="h264-720p", ext="mp4", job=mark * 200)
    for template in ("{stem}_{preset}", "{stem} {job} {stem}_{preset}", "é" * 60 + "{stem}_{preset}"):
        name = NameTemplate(template).name(words)
        assert filenames.check(name).endswith("_h264-720p.mp4")
        assert len(name.encode()) > 240


def test_only_some_words_want_the_sources_read() -> None:
    assert [NameTemplate(text).reads for text in ("{stem}", "{height}", "{codec}")] == [False, True, True]


def test_names_that_come_out_the_same_are_numbered() -> None:
    assert filenames.distinct(["a.mp4", "A.mp4", "b", "b", "a.mp4"]) == [
        "a.mp4", "A (2).mp4", "b", "b (2)", "a (3).mp4",
    ]  # fmt: skip


def test_a_day_is_that_of_the_hosts_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    noon = 1_900_000_000.0
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    there = day(noon)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert (day(noon), there) == ("2030-03-17", "2030-03-18")


@pytest.mark.parametrize(
    ("media", "preset", "told"),
    [
        (FULL_HD, "h264-480p", ("480", "h264")),
        (FULL_HD, "webm-720p", ("720", "vp9")),
        (FULL_HD, "hls", ("1080", "h264")),
        (FULL_HD, "remux-mkv", ("1080", "h264")),
        (FULL_HD, "h264-1080p-smart", ("1080", "h264")),
        (FULL_HD, "mp3", ("", "mp3")),
        (ALBUM, "remux-mkv", ("", "flac")),
        (ALBUM, "h264-480p", ("", "")),
    ],
)
def test_height_and_codec_are_those_of_what_is_made(media: Media, preset: str, told: tuple[str, str]) -> None:
    [wanted] = Library().expand([VariationRequest(preset, {})])
    assert height_and_codec(media, preset, wanted.parameters) == told

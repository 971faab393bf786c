"""Nothing is lost in silence: what a source has is in an output, or told to be left out of it, with the reason."""

from __future__ import annotations

import re
import struct
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import msgspec
import pytest
from combinations import COMBINATIONS
from conftest import Daemon
from conftest import Media as Specimens
from msgspec.structs import replace
from possessions import possessions, unaccounted
from specimens import AAC, H264, SPECIMENS, Step, mapped, picture, read, silent, sound
from surroundings import thorough
from test_cli import ffspool, no_environment
from test_kinds import make
from test_unread import defaults, made

from daemon.errors import UnsuitableSource
from daemon.media import labels
from daemon.media.describe import read_media
from daemon.media.model import Media
from daemon.models import VariationRequest, in_lines
from daemon.presets.builtin import PRESETS
from daemon.presets.library import Library
from daemon.proof.differences import differences
from daemon.recipes.command import plan

FIELDS = ("creation_time=2022-11-09T17:36:38Z", "location=+48.8584+002.2945/", "make=Acme", "model=One", "custom=x")
TAGS = ("title=Film", "artist=Somebody", "genre=Drama")
QUICK = {"speed": "ultrafast"}


def rich(folder: Path) -> list[Step]:
    """The steps to a Matroska file with something of every kind."""
    (folder / "words.srt").write_text("1\n00:00:00,200 --> 00:00:00,900\nWords\n")
    for name in ("font.ttf", "other.otf"):
        (folder / name).write_bytes(b"no font, but named as one")
    chapters = "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=800\ntitle=One\n"
    (folder / "told.txt").write_text(";FFMETADATA1\n" + "\n".join((*FIELDS, *TAGS)) + "\n" + chapters)
    inputs = [*picture(), *sound(), *sound(frequency=900), *read("words.srt"), *read("told.txt")]
    sounds = ["-metadata:s:a:0", "language=ger", "-metadata:s:a:0", "title=Main", "-metadata:s:a:1", "language=en"]
    words = ["-metadata:s:s:0", "language=eng", "-metadata:s:s:0", "title=For the deaf"]
    marks = ["-disposition:a:1", "comment", "-disposition:s:0", "hearing_impaired", "-disposition:s:1", "forced"]
    fonts = ["-attach", "{work}/font.ttf", "-attach", "{work}/other.otf", "-metadata:s:t", "mimetype=font/ttf"]
    shown = ["-metadata:s:v:0", "language=jpn", "-metadata:s:v:0", "title=Angle", "-metadata:s:v:0", "lens=50 mm"]
    of_tracks = [
        *shown,
        "-disposition:v:0",
        "default+original",
        "-metadata:s:a:0",
        "studio=North",
        "-metadata:s",
        "BPS=9",
    ]
    beside = ["-map_metadata", "4", "-map_chapters", "4"]
    streams = mapped("0", "1", "2", "3", "3")
    return [
        [*inputs, *streams, *H264, *AAC, "-c:s", "srt", *beside, *sounds, *words, *marks, *of_tracks, *fonts, "{out}"]
    ]


@pytest.fixture(scope="module")
def film_with_everything(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rich")
    return made(ffmpeg, folder, "film.mkv", *rich(folder))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "specimen" in metafunc.fixturenames:
        names = [one.name for one in (*SPECIMENS, *COMBINATIONS) if one.error is None]
        metafunc.parametrize("specimen", [name if name in FEW else thorough(name) for name in names])


# With most beside picture and sound.
FEW = {"languages.mkv", "subtitles.mp4", "chapters.mp4", "cover.mp3", "everything-beside.mkv", "two-programs.ts"}


@pytest.mark.parametrize("preset", sorted(PRESETS.keys() - {"remux-webm"}))  # which cannot hold it
def test_all_that_a_source_has_is_kept_or_left_out_once(film_with_everything: Path, preset: str) -> None:
    media = read_media(str(film_with_everything))
    [wanted] = Library().expand([VariationRequest(preset, {})])
    contents = plan(media, preset, wanted.parameters).contents
    assert unaccounted(possessions(film_with_everything), contents) == set()


def test_what_is_found_of_a_film_is_all_that_was_put_into_it(film_with_everything: Path) -> None:
    found = Counter(what for what, _, _ in possessions(film_with_everything).elements())
    tracks = {"picture": 1, "sound": 2, "subtitles": 2, "language": 4, "name": 3, "mark": 4}
    rest = {"attachments": 2, "chapters": 1, "date": 1, "place": 1, "device": 1, "tag": 6}
    assert found == tracks | rest


def test_what_any_specimen_has_is_kept_or_left_out_by_every_preset(media: Specimens, specimen: str) -> None:
    path = media(specimen)
    described, there = read_media(str(path)), possessions(path)
    for want in Library().expand([VariationRequest(preset, {}) for preset in PRESETS]):
        with suppress(UnsuitableSource):
            contents = plan(described, want.preset, want.parameters).contents
            assert unaccounted(there, contents) == set(), want.label


@pytest.mark.parametrize(
    "preset", ["h264-480p", "remux-mkv", "mp3", "flac", thorough("webm-720p"), thorough("remux-mp4"), thorough("opus")]
)
def test_what_is_said_to_be_kept_is_there_and_the_rest_is_not(
    ffmpeg: str, film_with_everything: Path, tmp_path: Path, preset: str
) -> None:
    media = read_media(str(film_with_everything))
    quick = QUICK if PRESETS[preset].kind == "video" else {}
    planned = plan(media, preset, {**defaults(preset), **quick})
    output = read_media(str(make(ffmpeg, film_with_everything, tmp_path, preset, **quick)))
    assert differences(output, planned) == []
    kept = {fact.detail for fact in planned.contents.kept if fact.what == "tag"}
    assert {"title", "artist", "genre", "custom"} & {*output.tags} == {"title", "artist", "genre", "custom"} & kept
    for what, there in (("date", output.created), ("place", output.place), ("device", output.device)):
        assert (there is not None) == any(fact.what == what for fact in planned.contents.kept), what
    for streams, what in ((output.audio, "sound"), (output.subtitles, "subtitles")):
        told = [(fact.language, fact.name) for fact in planned.contents.kept if fact.what == what]
        assert [(stream.language, stream.title) for stream in streams] == told


def test_a_track_that_has_a_name_does_not_give_it_to_the_whole(
    ffmpeg: str, film_with_everything: Path, tmp_path: Path
) -> None:
    with av.open(str(make(ffmpeg, film_with_everything, tmp_path, "opus"))) as container:
        assert container.streams[0].metadata["title"] == "Film"


def test_what_was_asked_for_or_is_what_the_preset_is_for_is_told_as_meant(film_with_everything: Path) -> None:
    media = read_media(str(film_with_everything))
    for preset, wanted in (("gif", {}), ("remux-mkv", {"metadata": "strip", "chapters": "drop", "subtitles": "drop"})):
        assert in_lines(plan(media, preset, {**defaults(preset), **wanted}).contents.left_out) == []
    lost = {fact.what: fact.meant for fact in plan(media, "mp3", defaults("mp3")).contents.left_out}
    assert (lost["picture"], lost["sound"]) == (True, False)


def lacking(media: Media, what: str) -> Media:
    """An output that came out without it."""
    one, two = media.audio
    assert media.video
    return {
        "language": replace(media, audio=(replace(one, language="eng"), two)),
        "name": replace(media, audio=(replace(one, title=None), two)),
        "mark": replace(media, audio=(one, replace(two, marks=()))),
        "place": replace(media, place=None),
        "date": replace(media, created=None),
        "device": replace(media, made_by=("", "")),
        "tag": replace(media, tags=()),
        "tag of a sound": replace(media, audio=(replace(one, tags=()), two)),
        "tag of the picture": replace(media, video=replace(media.video, tags=())),
    }[what]


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("language", "the language of its sound 1 is eng instead of ger"),
        ("name", "its sound 1 is not called Main"),
        ("mark", "its sound 2 is not marked as comment"),
        ("place", r"its place is lost \(\+48"),
        ("date", "its date is lost"),
        ("device", r"its device is lost \(Acme One\)"),
        ("tag", r"its tag is lost \(artist\)"),
        ("tag of a sound", "its sound 1 does not tell its studio"),
        ("tag of the picture", "its picture 1 does not tell its lens"),
    ],
)
def test_an_output_that_lost_what_was_to_be_kept_is_not_what_was_planned(
    film_with_everything: Path, what: str, words: str
) -> None:
    media = read_media(str(film_with_everything))
    planned = plan(media, "remux-mkv", defaults("remux-mkv"))
    assert differences(media, planned) == []
    assert re.search(words, "; ".join(differences(lacking(media, what), planned)))


def test_tags_of_tracks_are_kept_under_the_names_that_matroska_has_for_them(ffmpeg: str, tmp_path: Path) -> None:
    tags = [
        word
        for tag in ("lens hint", "part_number", "lead_performer", "encoding_tool", "Été", "a-b")
        for word in ("-metadata:s:a:0", f"{tag}=said")
    ]
    streams = [*picture(), *sound(), "-c:v", "mpeg4", "-c:a", "mp2"]
    path = made(ffmpeg, tmp_path, "tags.nut", [*streams, *tags, "{out}"])
    planned = plan(read_media(str(path)), "remux-mkv", defaults("remux-mkv"))
    output = read_media(str(make(ffmpeg, path, tmp_path, "remux-mkv")))
    assert differences(output, planned) == []
    assert output.audio[0].tags == ("a-b", "lens_hint", "performer", "track", "été")


def test_nothing_is_made_where_a_track_would_be_lost_that_is_not_to_be(film_with_everything: Path) -> None:
    media = read_media(str(film_with_everything))
    words = r"on_loss=fail .* without sound \(track 2, aac, en\): the preset keeps one track"
    with pytest.raises(UnsuitableSource, match=words):
        plan(media, "mp3", {**defaults("mp3"), "on_loss": "fail"})
    for preset in ("remux-mkv", "h264-480p", "gif"):
        assert plan(media, preset, {**defaults(preset), "on_loss": "fail"}).video


# What only some of the outputs can have


def box(name: bytes, *content: bytes) -> bytes:
    whole = b"".join(content)
    return struct.pack(">I", 8 + len(whole)) + name + whole


ALL_AROUND = box(
    b"sv3d",
    box(b"svhd", b"\0\0\0\0made\0"),
    box(b"proj", box(b"prhd", bytes(16)), box(b"equi", bytes(20))),
)


def all_around(whole: bytes) -> bytes:
    """An MP4, its index behind its data, whose picture is marked as a 360° film."""
    edited = bytearray(whole)
    entry = whole.rindex(b"avc1\0\0\0\0") - 4
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        at = whole.rindex(name, 0, entry + 8) - 4
        struct.pack_into(">I", edited, at, struct.unpack_from(">I", edited, at)[0] + len(ALL_AROUND))
    end = entry + struct.unpack_from(">I", whole, entry)[0]
    edited[end:end] = ALL_AROUND
    return bytes(edited)


KEPT = ("-c", "copy", "-strict", "unofficial")  # the mark, too
ROUND: list[Any] = [
    *(("remux-mp4", {}), ("remux-mkv", {}), ("archive-ffv1", {}), ("h264-480p", QUICK), ("webm-720p", QUICK)),
    *(("av1-720p", QUICK), thorough("hevc-1080p", QUICK), thorough("webm-av1-1080p", QUICK)),
    ("h264-480p", {**QUICK, "short_side": 120}),
    ("archive-hevc", QUICK),
    ("square-1080p", {**QUICK, "short_side": 240}),
]


def test_a_360_film_that_is_turned_does_not_go_where_one_of_the_two_is_lost(ffmpeg: str, tmp_path: Path) -> None:
    path = made(ffmpeg, tmp_path, "all.mp4", silent(*H264), edit=all_around)
    turned = made(ffmpeg, tmp_path, "turned.mp4", ["-display_rotation", "180", "-i", str(path), *KEPT, "{out}"])
    media = read_media(str(turned))
    assert media.video
    assert (media.video.spherical, media.video.rotation) == (True, 180)
    with pytest.raises(UnsuitableSource, match="Take remux-mp4"):
        plan(media, "remux-mkv", defaults("remux-mkv"))
    for preset in ("remux-mp4", "h264-480p", "webm-720p"):
        kept = plan(media, preset, {**defaults(preset), **({} if "remux" in preset else QUICK)}).contents.kept
        output = read_media(str(make(ffmpeg, turned, tmp_path, preset, **({} if "remux" in preset else QUICK))))
        assert output.video
        assert output.video.spherical == ("spherical" in {fact.what for fact in kept})


@pytest.mark.parametrize(("preset", "asked"), ROUND)
def test_a_360_film_stays_one_unless_it_is_scaled_and_that_is_told(
    ffmpeg: str, tmp_path: Path, preset: str, asked: dict[str, Any]
) -> None:
    path = made(ffmpeg, tmp_path, "all.mp4", silent(*H264), edit=all_around)
    media = read_media(str(path))
    assert media.video
    assert media.video.spherical
    kept = "spherical" in {fact.what for fact in plan(media, preset, {**defaults(preset), **asked}).contents.kept}
    assert kept == ("short_side" not in asked and preset != "square-1080p")
    output = read_media(str(make(ffmpeg, path, tmp_path, preset, **asked)))
    assert output.video
    assert output.video.spherical == kept


def test_dolby_vision_alone_is_refused_where_its_colours_matter_and_copied_elsewhere(clip: Path) -> None:
    media = read_media(str(clip))
    assert media.video
    alone = replace(media, video=replace(media.video, dolby_vision=True, own_colours=True))
    for preset in ("h264-480p", "archive-ffv1", "gif", "hls"):
        with pytest.raises(UnsuitableSource, match=r"Dolby Vision alone .* remux it, or take a preset of the sound"):
            plan(alone, preset, defaults(preset))
    assert "dolby_vision" in {fact.what for fact in plan(alone, "remux-mp4", defaults("remux-mp4")).contents.kept}
    assert plan(alone, "mp3", defaults("mp3")).audio == 1


def test_a_second_picture_and_data_are_told(ffmpeg: str, tmp_path: Path) -> None:
    two = [
        *picture(),
        *picture(size="160x90"),
        *sound(),
        *mapped("0", "1", "2"),
        *H264,
        *AAC,
        "-timecode",
        "01:00:00:00",
    ]
    media = read_media(str(made(ffmpeg, tmp_path, "two.mov", [*two, "{out}"])))
    told = [str(fact) for fact in plan(media, "h264-480p", defaults("h264-480p")).contents.left_out]
    assert "picture (track 1): another picture is the one that matters" in told
    assert "data (track 3): only copies keep the timecode that it tells" in told


# Where it is told


def test_what_is_kept_and_left_out_is_told_wherever_one_looks(
    film_with_everything: Path, daemon: Daemon, tmp_path: Path
) -> None:
    job = daemon.wait_for(daemon.submit(film_with_everything, presets=["mp3"])["id"])
    [variation] = job["sources"][0]["variations"]
    contents = plan(read_media(str(film_with_everything)), "mp3", defaults("mp3")).contents
    told: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(contents))
    assert variation["status"] == "completed", variation["error"]
    assert {name: variation[name] for name in told} == told
    manifest = daemon.client.get(f"/api/jobs/{job['id']}/download").content
    assert b'"left_out"' in manifest
    lost = "sound (track 2, aac, en): the preset keeps one track of sound"
    log = daemon.client.get(f"/api/jobs/{job['id']}/variations/{variation['id']}/log").text
    assert f"# left out: {lost}" in log
    assert f"left out: {lost}" in ffspool("show", job["id"], env=daemon.env).stdout
    planned = ffspool("plan", film_with_everything, "-p", "mp3", env=no_environment(tmp_path / "none")).stdout
    assert f"film.mkv → mp3 will be without {lost}" in planned


@pytest.mark.thorough
@pytest.mark.parametrize(("preset", "named"), [("hls", r'LANGUAGE="(\w+)"'), ("dash", r'lang="(\w+)"')])
def test_languages_that_a_ladder_is_said_to_keep_stand_in_its_manifest(
    ffmpeg: str, film_with_everything: Path, tmp_path: Path, preset: str, named: str
) -> None:
    small = {"speed": "ultrafast", "short_side": 240}
    planned = plan(read_media(str(film_with_everything)), preset, {**defaults(preset), **small})
    folder = make(ffmpeg, film_with_everything, tmp_path, preset, **small)
    manifest = (folder / {"hls": "master.m3u8", "dash": "manifest.mpd"}[preset]).read_text()
    kept = [fact.language for fact in planned.contents.kept if fact.what == "sound" and fact.language]
    assert re.findall(named, manifest) == kept


def test_the_program_that_wrote_a_file_is_no_tag_of_what_is_in_it() -> None:
    assert labels.tags({"company_name": "FFmpeg", "product_name": "OP1a Muxer", "reel": "A003"}) == ("reel",)


def test_where_clocks_begin_is_no_date() -> None:
    assert labels.created({"creation_time": "1970-01-01T00:00:00.000000Z"}) is None
    assert labels.created({"creation_time": "1970-01-01T00:00:01Z"}) == "1970-01-01T00:00:01Z"


@pytest.mark.parametrize(
    ("name", "preset", "kept"),
    [
        ("alpha-vp9.webm", "webm-720p", True),
        ("alpha-vp9.webm", "remux-mkv", True),
        ("alpha-vp9.webm", "remux-mp4", False),
        ("alpha-vp9.webm", "gif", True),
        ("alpha-vp9.webm", "h264-480p", False),
        ("alpha-prores.mov", "archive-ffv1", True),
        ("alpha-prores.mov", "poster", False),
        ("alpha-prores.mov", "webp", True),
        ("plain.mp4", "h264-480p", None),
    ],
)
def test_transparency_is_kept_or_said_to_be_left_out(
    ffmpeg: str, media: Specimens, tmp_path: Path, name: str, preset: str, kept: bool | None
) -> None:
    source = media(name)
    planned = plan(read_media(str(source)), preset, {**defaults(preset), **quickly(preset)})
    facts = planned.contents.kept, planned.contents.left_out
    assert [any(fact.what == "transparency" for fact in one) for one in facts] == [kept is True, kept is False]
    output = read_media(str(make(ffmpeg, source, tmp_path, preset, **quickly(preset))))
    assert differences(output, planned) == []
    assert output.video
    assert kept is None or output.video.alpha is kept


def quickly(preset: str) -> dict[str, str]:
    return QUICK if PRESETS[preset].kind == "video" else {}

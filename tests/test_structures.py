"""What is part of a stream or of a disc does not play without its parts as they are."""

from __future__ import annotations

import os
import subprocess
import unicodedata
from pathlib import Path
from typing import Literal

import pytest

from daemon.config_tables import Folder, Replace
from daemon.delivery.structures import whole_of
from daemon.folders.replacing import Unfit, replacing
from daemon.scheduling.sources import local_source

MPD = """<MPD><AdaptationSet><SegmentTemplate media="video/chunk-$RepresentationID$-$Number%05d$.m4s" startNumber="1"/>
<Representation><BaseURL>sound%20track.mp4</BaseURL></Representation></AdaptationSet></MPD>"""


@pytest.mark.parametrize(
    ("path", "playlist", "words"),
    [
        ("seg0.ts", "#EXTM3U\n#EXTINF:2,\nseg0.ts\n", "index.m3u8 names it"),
        ("720p/seg 0.ts", "#EXTM3U\r\n#EXTINF:2,\r\n720p/seg%200.ts?key=1\r\n", "index.m3u8 names it"),
        ("all.mp4", '#EXTM3U\n#EXT-X-MAP:URI="all.mp4"\n', "index.m3u8 names it"),
        ("video/chunk-0-00012.m4s", MPD, "index.mpd names it"),
        ("sound track.mp4", MPD, "index.mpd names it"),
        ("film.mp4", MPD, None),
        ("film.mkv", "#EXTM3U\n#EXTINF:2,\nseg0.ts\n", None),
        ("film/BDMV/STREAM/00001.m2ts", "", "it lies in BDMV"),
        ("film/Video_TS/VTS_01_1.VOB", "", "it lies in Video_TS"),
        ("PRIVATE/M4ROOT/CLIP/C0001.MP4", "", "it lies in M4ROOT"),
        ("film.mkv", "", None),
        ("00001.ts", "", None),
    ],
)
def test_a_part_of_a_larger_whole_is_told(tmp_path: Path, path: str, playlist: str, words: str | None) -> None:
    film = tmp_path / path
    film.parent.mkdir(parents=True, exist_ok=True)
    film.touch()
    if playlist:
        (tmp_path / f"index.{'mpd' if playlist.startswith('<') else 'm3u8'}").write_text(playlist)
    assert whole_of(film) == (words and f"it is part of a stream or disc: {words}")


@pytest.mark.parametrize(
    ("path", "other", "text", "words"),
    [
        ("VTS_01_1.VOB", "VTS_01_0.IFO", "", "part of a stream or disc: VTS_01_0.IFO tells of it"),
        ("trailer.mkv", "VTS_01_0.IFO", "", None),
        ("STREAM/00001.m2ts", "index.bdmv", "", "part of a stream or disc: index.bdmv tells of it"),
        ("CONTENTS/VIDEO/0001AB.MXF", "CONTENTS/CLIP/0001AB.XML", "", "part of a camera's card: it lies in CONTENTS"),
        ("CONTENTS/VIDEO/0001AB.MXF", "CONTENTS/list.XML", "", None),
        ("news.rec/00001.ts", "news.rec/index", "", "part of a recording: it lies in news.rec"),
        ("news.rec/news.ts", "news.rec/index", "", None),
        ("album.flac", "album.cue", 'FILE "album.flac" WAVE', "part of a stream or disc: album.cue names it"),
        ("album.flac", "album.cue", 'FILE "Album.wav" WAVE', "part of a stream or disc: album.cue names it"),
        ("other.flac", "album.cue", 'TITLE "other"\nFILE album.wav WAVE\n', None),
        ("film_500.mp4", "film.ism", '<video src="film_500.mp4"/>', "part of a stream or disc: film.ism names it"),
        ("seg0.ts", "all.m3u", "#EXTM3U\n#EXT-X-VERSION:3\nseg0.ts", "part of a stream or disc: all.m3u names it"),
        ("film.mkv", "all.m3u", "#EXTM3U\nfilm.mkv", None),
        ("news.ts", "news.ts.ap", "", "part of a recording: news.ts.ap tells of it"),
        ("news.ts", "news.eit", "", None),
        ("news.ts", "news.hmt", "", "part of a stream or disc: news.hmt tells of it"),
        ("MPEGAV/AVSEQ01.DAT", "VCD/INFO.VCD", "", "part of a stream or disc: it lies in MPEGAV"),
        ("MPEG2/AVSEQ01.MPG", "SVCD/INFO.SVD", "", "part of a stream or disc: it lies in MPEG2"),
        ("MPEG2/film.mpg", "other.mpg", "", None),
        ("reel.mxf", "ASSETMAP.xml", "", "part of a stream or disc: ASSETMAP.xml tells of it"),
        ("Ours.photoslibrary/originals/1/1.mov", "a", "", "part of a program's library: it lies in Ours.photoslibrary"),
    ],
)
def test_a_part_is_told_by_what_lies_beside_it(
    tmp_path: Path, path: str, other: str, text: str, words: str | None
) -> None:
    for name, holds in ((path, ""), (other, text)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(holds)
    assert whole_of(tmp_path / path) == (words and f"it is {words}")


@pytest.mark.parametrize("encoding", ["latin-1", "cp850", "shift_jis", "utf-16", "utf-8-sig"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_playlist_names_its_parts_in_whatever_encoding(
    tmp_path: Path, encoding: str, form: Literal["NFC", "NFD"]
) -> None:
    name = "\u97f3\u697d.flac" if encoding == "shift_jis" else "F\u00fcr Elise.flac"
    film = tmp_path / unicodedata.normalize(form, name)
    film.touch()
    (tmp_path / "album.cue").write_bytes(f'TITLE "x"\nFILE "{name}" WAVE\n'.encode(encoding))
    assert whole_of(film) == "it is part of a stream or disc: album.cue names it"
    assert whole_of(tmp_path / "Other.flac") is None


@pytest.mark.parametrize(
    "name",
    [
        "Ours.photoslibrary", "Ours.photolibrary", "Ours.migratedphotolibrary", "Song.logicx", "Song.band",
        "Cut.fcpbundle",        "Cut.imovielibrary", "OMFI MediaFiles", "Avid MediaFiles", "Ours.musiclibrary",
    ],
)  # fmt: skip
def test_what_lies_in_a_programs_library_is_part_of_that(tmp_path: Path, name: str) -> None:
    (tmp_path / name / "Media").mkdir(parents=True)
    assert whole_of(tmp_path / name / "Media" / "1.mov") == f"it is part of a program's library: it lies in {name}"


def test_a_name_that_is_no_text_is_told_as_one(tmp_path: Path) -> None:
    film = tmp_path / "seg0.ts"
    film.write_bytes(b"film")
    playlist = tmp_path / os.fsdecode(b"\xfe.m3u8")
    playlist.write_text("#EXTM3U\nseg0.ts\n")
    assert (whole_of(film) or "").encode().endswith(b".m3u8 names it")
    playlist.rename(tmp_path / os.fsdecode(b"seg0.ts.\xfe.md5"))
    folder = Folder(name="x", path=tmp_path, variations=(), replace=Replace(trash=tmp_path / ".trash"))
    with pytest.raises(Unfit, match="is of this very file") as refused:
        replacing(folder, "seg0.ts", local_source("seg0.ts", film, (str(tmp_path),)), "ts", "")
    assert str(refused.value).encode()


def test_nothing_takes_the_place_of_a_part(tmp_path: Path) -> None:
    (tmp_path / "seg0.ts").write_bytes(b"film")
    (tmp_path / "index.m3u8").write_text("#EXTM3U\nseg0.ts\n")
    folder = Folder(name="x", path=tmp_path, variations=(), replace=Replace(trash=tmp_path / ".trash"))
    source = local_source("seg0.ts", tmp_path / "seg0.ts", (str(tmp_path),))
    with pytest.raises(Unfit, match=r"index\.m3u8 names it"):
        replacing(folder, "seg0.ts", source, "ts", "")


@pytest.mark.parametrize(
    ("name", "other", "refused"),
    [
        ("film.avi", "film.avi.srt", True),
        ("film.avi", "film.srt", False),
        ("film.avi", "film.nfo", False),
        ("film.mkv", "film.mkv.jpg", False),
        ("film.mkv", "film.mkv.md5", True),
    ],
)
def test_what_is_called_after_the_whole_of_a_name_is_not_left_behind(
    tmp_path: Path, name: str, other: str, refused: bool
) -> None:
    (tmp_path / name).write_bytes(b"film")
    (tmp_path / other).touch()
    folder = Folder(name="x", path=tmp_path, variations=(), replace=Replace(trash=tmp_path / ".trash"))
    source = local_source(name, tmp_path / name, (str(tmp_path),))
    if not refused:
        assert replacing(folder, name, source, "mkv", "").name == name
        return
    with pytest.raises(Unfit, match=f"{other} is of this very file"):
        replacing(folder, name, source, "mkv", "")


def test_what_is_protected_is_not_even_begun(tmp_path: Path) -> None:
    film = tmp_path / "film.mkv"
    film.write_bytes(b"film")
    folder = Folder(name="x", path=tmp_path, variations=(), replace=Replace(trash=tmp_path / ".trash"))
    source = local_source("film.mkv", film, (str(tmp_path),))
    if subprocess.run(["chattr", "+i", film], check=False, capture_output=True).returncode:
        pytest.skip("files cannot be protected: root, and a file system such as ext4")
    try:
        with pytest.raises(Unfit, match="it is protected against being changed"):
            replacing(folder, "film.mkv", source, "mkv", "")
    finally:
        subprocess.run(["chattr", "-i", film], check=True)

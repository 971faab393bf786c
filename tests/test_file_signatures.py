"""What is said of files that are no media: what they are, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from specimens import MPEG2, OPUS, PCM, heard, picture, sound
from surroundings import thorough
from test_unread import made

from daemon.errors import ProbeError
from daemon.media.describe import read_media

SEVERAL = 64
WORDS = {
    b"#EXTM3U\n#EXTINF:1,\nhttp://example.org/a.ts\n": "but a playlist, which names other files: give those",
    b"ffconcat version 1.0\nfile a.mp4\n": "but a playlist, which names other files: give those",
    b"PK\x03\x04" + bytes(SEVERAL): "but an archive: unpack it, and give what it holds",
    b"%PDF-1.7\n\xe2\xe3\xcf\xd3": "but a PDF",
    b"MThd" + bytes(SEVERAL): "but MIDI, which ffspool does not read: convert it first",
    b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(SEVERAL): "but JPEG XL, which ffspool does not read: convert it first",
    bytes(4096): "but zeros alone at its beginning, as of a copy or download that was not completed",
    b"\n<!DOCTYPE html>\n<title>404</title>": "but a page or a list for programs (HTML or XML), perhaps what a server "
    "answered instead of the file",
    "Grüße aus der Küche\n".encode(): "but a text",
    bytes(32768) + b"\1CD001\1" + bytes(SEVERAL): "but the image of a disc: open it, and give the films in it",
    b"\x03ds2" + b"\x07\xf3" * SEVERAL: "but a dictation (DS2), which ffspool does not read",
    b"\0\0\1\0RED2" + b"\x07\xf3" * SEVERAL: "but raw film of RED (R3D), which ffspool does not read",
    b"MLVI\x34\0\0\0v2.0" + b"\x07\xf3" * SEVERAL: "but raw film of Magic Lantern (MLV)",
    b"\x1aE\xdf\xa3\x9f" + b"\x07\xf3" * SEVERAL: "but what begins as Matroska or WebM does and goes on as none",
    b"fLaC" + b"\x07\xf3" * SEVERAL: "but what begins as FLAC does and goes on as none: it is damaged; fetch",
}


@pytest.mark.parametrize("content", WORDS, ids=lambda content: repr(content[:8]))
def test_a_stranger_is_called_by_its_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(ProbeError) as caught:
        read_media(str(path))
    assert str(caught.value).startswith(f"it is not a media file ffspool can read, {WORDS[content]}")


def test_what_nobody_knows_is_told_what_it_may_be(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"\x07\xf3\x80\x01" * SEVERAL)
    with pytest.raises(ProbeError, match=r"ffspool can read; raw sound or pictures, such as G\.722, tell nothing"):
        read_media(str(path))


WRITTEN = {
    "gxf": ([*picture("720x576", seconds=0.2), *sound(0.2, "mono"), *MPEG2, *PCM], "GXF, of broadcasters' servers"),
    "roq": ([*picture("256x128", "30", 0.2), "-c:v", "roqvideo"], "RoQ, of games"),
    "sbc": ([*sound(0.2), "-c:a", "sbc"], "raw SBC sound, as of Bluetooth"),
    "swf": ([*picture(seconds=0.2), "-c:v", "flv1"], r"Flash \(SWF\)"),
    "dirac": ([*picture(seconds=0.2), "-c:v", "vc2"], "Dirac without a container"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_ffmpeg_writes_and_ffspool_does_not_read_is_named(ffmpeg: str, tmp_path: Path, name: str) -> None:
    how, called = WRITTEN[name]
    path = made(ffmpeg, tmp_path, f"clip.{name}", [*how, "-f", name, "{out}"])
    with pytest.raises(ProbeError, match=f"but {called}, which ffspool does not read: convert it first"):
        read_media(str(path))


@pytest.mark.parametrize("seconds", [2.0, thorough(20.0)])  # what is read first ends before
@pytest.mark.parametrize("later", [(OPUS, "mono"), (["-c:a", "libvorbis"], "stereo")])
def test_ogg_files_end_to_end_that_do_not_fit_are_told_as_that(
    ffmpeg: str, tmp_path: Path, seconds: float, later: tuple[list[str], str]
) -> None:
    first = made(ffmpeg, tmp_path, "1.ogg", heard(*OPUS, seconds=seconds)).read_bytes()
    how, channels = later
    second = made(ffmpeg, tmp_path, "2.ogg", heard(*how, seconds=0.5, channels=channels)).read_bytes()
    chained = tmp_path / "chained.ogg"
    chained.write_bytes(first + first)
    assert read_media(str(chained)).duration_seconds == pytest.approx(2 * seconds, abs=0.05)
    chained.write_bytes(first + second)
    with pytest.raises(ProbeError, match="it is several Ogg files put end to end"):
        read_media(str(chained))


@pytest.mark.parametrize("name", [b"brhq", b"CRAW"])
def test_a_picture_that_nobody_decodes_is_called_what_its_file_calls_it(
    ffmpeg: str, tmp_path: Path, name: bytes
) -> None:
    """As raw films of cameras are."""
    raw = made(
        ffmpeg,
        tmp_path,
        "clip.mov",
        [*picture(seconds=0.2), "-c:v", "prores_ks", "{out}"],
        edit=lambda whole: whole.replace(b"apcn", name).replace(b"apch", name),
    )
    with pytest.raises(ProbeError, match=rf"can decode \(it has {name.decode()}\): convert it first"):
        read_media(str(raw))

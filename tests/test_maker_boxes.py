"""What cameras and phones tell in boxes of their own, which FFmpeg does not read, is not lost without a word."""

from __future__ import annotations

from pathlib import Path

import pytest
from boxed import changed
from specimens import film, still
from test_contents import box
from test_unread import made
from test_unsaid import lost

from daemon.media.describe import read_media

XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
OF_USERS = b"".join(
    (
        box(b"GPMF", b"DEVC"),
        box(b"XMP_", b"<x:xmpmeta/>"),
        box(b"\xa9xsp", b"\0\5\x15\xc7+0.00"),
        box(b"titl", bytes(4), b"\x15\xc7Birthday\0"),
        box(b"MUID", bytes(32)),
        box(b"\xa9mak", b"\0\5\x15\xc7GoPro"),
    )
)
SONY = box(b"meta", bytes(4), box(b"hdlr", bytes(8), b"nrtm", bytes(13)), box(b"xml ", bytes(4), b"<NonRealTimeMeta/>"))


def told(whole: bytes) -> bytes:
    udta = changed(whole, [b"moov", b"udta"], lambda content: content + OF_USERS)
    return udta + SONY + box(b"uuid", XMP, b"<x:xmpmeta/>") + box(b"sefd", b"SEFT")


@pytest.mark.parametrize("preset", ["remux-mp4", "h264-480p"])
def test_boxes_of_makers_are_told(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    media = read_media(str(made(ffmpeg, tmp_path, "film.mp4", film("{out}"), edit=told)))
    names = ["GPMF", "XMP", "nrtm", "sefd", "titl", "\xa9xsp"]
    assert lost(media, preset, "tag") == [f"tag ({name}): FFmpeg does not read it" for name in names]
    stripped = {f"tag ({name}): metadata=strip was asked for" for name in names}
    assert stripped <= {*lost(media, preset, "tag", metadata="strip")}


@pytest.mark.parametrize(
    ("trailer", "names"), [(b"\0\1\2\3\4\5\6\7" * 99, ["what lies behind its end"]), (bytes(99), [])]
)
def test_what_a_camera_writes_behind_the_last_box_is_no_missing_end(
    ffmpeg: str, tmp_path: Path, trailer: bytes, names: list[str]
) -> None:
    path = made(ffmpeg, tmp_path, "film.insv", film("-f", "mp4", "{out}"), edit=lambda whole: whole + trailer)
    media = read_media(str(path))
    assert (media.cut_off, media.lacks_end, lost(media, "remux-mp4", "end")) == (False, False, [])
    assert media.passed_over == tuple(names)


@pytest.mark.parametrize(
    ("xmp", "names"), [(b'<x GCamera:MotionPhoto="1"/>', ["film of a motion photo"]), (b"<x/>", [])]
)
def test_the_film_behind_a_photograph_is_told(ffmpeg: str, tmp_path: Path, xmp: bytes, names: list[str]) -> None:
    behind = made(ffmpeg, tmp_path, "f.mp4", film("{out}")).read_bytes()
    said = b"http://ns.adobe.com/xap/1.0/\0" + xmp
    segment = b"\xff\xe1" + (2 + len(said)).to_bytes(2, "big") + said
    path = made(
        ffmpeg,
        tmp_path,
        "photo.jpg",
        still("-update", "1"),
        edit=lambda whole: whole[:2] + segment + whole[2:] + behind,
    )
    told = [f"tag ({name}): FFmpeg does not read it" for name in names]
    assert lost(read_media(str(path)), "h264-480p", "tag") == told

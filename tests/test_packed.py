"""Pictures of DivX that come two in a packet are shown when their packet says, in the order they were made in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import pytest
from specimens import H264, MP3, MPEG2, MPEG4, encoded
from surroundings import thorough
from test_kinds import frames, make
from test_unread import defaults, made

from daemon.errors import UnsuitableSource
from daemon.media.describe import read_media
from daemon.proof.differences import differences
from daemon.recipes.command import plan

MARK, BETWEEN = b"\0\0\1\xb6", 2  # what each picture begins with; the kind of one that is shown before the last
NOTHING = bytes.fromhex("000001b651507f")  # a picture that was not coded
REORDERED = ("-bf", "1", "-b_strategy", "0", "-vtag", "DX50")
ALIKE = 3.0  # of 255, on average, by which a picture may differ that was encoded anew


def kind(picture: bytes) -> int:
    return picture[picture.index(MARK) + 4] >> 6


def packed(pictures: Sequence[bytes]) -> Iterator[bytes]:
    """As many packets: what is shown before a picture that it needs comes with that, and nothing in its place."""
    for picture, after in zip(pictures, [*pictures[1:], b""], strict=True):
        if kind(picture) == BETWEEN:
            yield NOTHING
        else:
            yield picture + (after if after and kind(after) == BETWEEN else b"")


def of_divx(ffmpeg: str, folder: Path) -> tuple[Path, Path]:
    """A film, and the same as DivX packs it."""
    plain, path = made(ffmpeg, folder, "plain.avi", encoded(*MPEG4, *REORDERED, *MP3)), folder / "packed.avi"
    with av.open(str(plain)) as source, av.open(str(path), "w") as output:
        made_of = {stream.index: output.add_stream_from_template(stream) for stream in source.streams}
        packets = [packet for packet in source.demux() if packet.size]
        pictures = packed([bytes(packet) for packet in packets if packet.stream.type == "video"])
        for packet in packets:
            stream = packet.stream
            if stream.type == "video":
                chunk = av.Packet(next(pictures))
                chunk.dts = chunk.pts = packet.dts
                chunk.time_base, chunk.is_keyframe, packet = stream.time_base, packet.is_keyframe, chunk
            packet.stream = made_of[stream.index]
            output.mux(packet)
    path.write_bytes(
        re.sub(rb"Lavc[\d.]+", lambda by: b"DivX503b".ljust(len(by[0]) - 1, b"1") + b"p", path.read_bytes())
    )
    return plain, path


@pytest.mark.parametrize("preset", ["h264-480p", thorough("webm-720p"), "archive-ffv1", thorough("hevc-1080p"), "gif"])
def test_packed_pictures_are_shown_at_their_time(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    plain, path = of_divx(ffmpeg, tmp_path)
    output = make(ffmpeg, path, tmp_path, preset)
    assert differences(read_media(str(output)), plan(read_media(str(path)), preset, defaults(preset))) == []
    if preset == "gif":
        return
    shown, there = list(frames(output)), list(frames(plain))
    assert [frame.time for frame in shown] == pytest.approx([number / 25 for number in range(40)], abs=0.002)
    for before, after in zip(there, shown, strict=True):
        pixels = [frame.reformat(320, 180, "gray").to_ndarray().astype(float) for frame in (before, after)]
        assert abs(pixels[0] - pixels[1]).mean() < ALIKE


@pytest.mark.parametrize("preset", ["remux-mkv", "remux-mp4"])
def test_copies_of_packed_pictures_are_refused(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    plain, path = of_divx(ffmpeg, tmp_path)
    assert plan(read_media(str(plain)), preset, defaults(preset)).copied
    with pytest.raises(UnsuitableSource, match="does not tell when all of its pictures are shown"):
        plan(read_media(str(path)), preset, defaults(preset))


WRITTEN = {"h264": [*H264, "-bf", "2"], "mpeg2": [*MPEG2, "-bf", "2"], "mpeg4": [*MPEG4, "-bf", "2"]}


@pytest.mark.parametrize("codec", ["h264", "mpeg2", thorough("mpeg4")])
def test_pictures_that_asf_has_in_another_order_are_encoded_in_theirs(ffmpeg: str, tmp_path: Path, codec: str) -> None:
    """It tells but one time of each."""
    path = made(ffmpeg, tmp_path, "film.wmv", encoded(*WRITTEN[codec], "-c:a", "mp2"))
    for preset in ("remux-mkv", "remux-mp4"):
        with pytest.raises(UnsuitableSource, match="does not tell when all of its pictures are shown"):
            plan(read_media(str(path)), preset, defaults(preset))
    whole = made(ffmpeg, tmp_path, "film.mkv", encoded(*WRITTEN[codec], "-c:a", "mp2"))
    for before, after in zip(frames(whole), frames(make(ffmpeg, path, tmp_path, "archive-ffv1")), strict=True):
        assert (before.to_ndarray() == after.to_ndarray()).all()

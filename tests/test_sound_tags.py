"""What recorders and players write into files of sound, and FFmpeg does not read, is not lost without a word."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from harmful import chunk
from specimens import MP3, PCM, heard
from test_unread import made
from test_unsaid import lost

from daemon.media.describe import read_media


def marked(whole: bytes) -> bytes:
    """As a recorder leaves it: scene and take, and markers, which FFmpeg reads."""
    more = chunk(b"iXML", b"<BWFXML/>" + bytes(1)) + chunk(b"cue ", struct.pack("<I", 0))
    body = whole[8:] + more + chunk(b"LIST", b"adtl") + chunk(b"JUNK", bytes(8))
    return chunk(b"RIFF", body)


def levelled(behind: bytes) -> Callable[[bytes], bytes]:
    """As mp3gain leaves it."""
    said = b"-3.2 dB"
    tags = struct.pack("<II", len(said), 0) + b"REPLAYGAIN_TRACK_GAIN\0" + said
    footer = struct.pack("<8sIIII8x", b"APETAGEX", 2000, len(tags) + 32, 1, 1 << 31)
    return lambda whole: whole + tags + footer + behind


def test_chunks_of_recorders_are_told(ffmpeg: str, tmp_path: Path) -> None:
    media = read_media(str(made(ffmpeg, tmp_path, "take.wav", heard(*PCM), edit=marked)))
    assert lost(media, "flac", "tag") == ["tag (iXML): FFmpeg does not read it"]


@pytest.mark.parametrize("behind", [b"", b"TAG".ljust(128, b"\0")])
def test_tags_of_players_are_told(ffmpeg: str, tmp_path: Path, behind: bytes) -> None:
    media = read_media(str(made(ffmpeg, tmp_path, "song.mp3", heard(*MP3), edit=levelled(behind))))
    assert lost(media, "m4a", "tag") == ["tag (replaygain_track_gain (APEv2)): FFmpeg does not read it"]


def test_half_of_them_are_no_reason_to_stumble(ffmpeg: str, tmp_path: Path) -> None:
    cut = made(ffmpeg, tmp_path, "take.wav", heard(*PCM), edit=lambda whole: marked(whole)[:-20])
    assert "iXML" in read_media(str(cut)).passed_over
    forged = struct.pack("<8sIIII8x", b"APETAGEX", 2000, 40, 9, 1 << 31)
    song = made(ffmpeg, tmp_path, "song.mp3", heard(*MP3), edit=lambda whole: whole + bytes(8) + forged)
    assert read_media(str(song)).duration_seconds

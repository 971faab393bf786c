"""Fragments of an MP4 that come twice or in another order: encoded as they are played, or refused in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from specimens import AAC
from test_contents import box
from test_edit_lists import BRISK, COUNTING, TONE, numbers
from test_kinds import lasting, make
from test_unread import defaults, made

from daemon.errors import ProbeError, UnsuitableSource
from daemon.media import boxes
from daemon.media.describe import read_media
from daemon.recipes.command import plan

FRAGMENTED = ["-g", "10", "-bf", "2", "-movflags", "+frag_keyframe+empty_moov+default_base_moof", "{out}"]
FILM = [*COUNTING, *TONE, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "5", *AAC, *FRAGMENTED]


def arranged(ffmpeg: str, folder: Path, order: Sequence[int]) -> Path:
    """Five fragments of ten pictures each, in that order."""

    def edit(whole: bytes) -> bytes:
        rows = [(name, box(name, content)) for name, content in boxes.within(whole) if name != b"mfra"]
        first = next(at for at, (name, _) in enumerate(rows) if name == b"moof")
        parts = [b"".join(row for _, row in rows[at : at + 2]) for at in range(first, len(rows), 2)]
        return b"".join([*(row for _, row in rows[:first]), *(parts[number] for number in order)])

    return made(ffmpeg, folder, "parts.mp4", FILM, edit=edit)


def test_what_comes_twice_is_shown_once(ffmpeg: str, tmp_path: Path) -> None:
    source = arranged(ffmpeg, tmp_path, [0, 1, 1, 2, 3, 4])
    output = make(ffmpeg, source, tmp_path, "h264-480p", **BRISK)
    assert numbers(output) == [*range(50)]
    assert lasting(output, "audio") == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("preset", ["remux-mp4", "remux-mkv"])
def test_what_comes_twice_is_not_copied(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    media = read_media(str(arranged(ffmpeg, tmp_path, [0, 1, 1, 2, 3, 4])))
    with pytest.raises(UnsuitableSource, match="a copy would show them twice: encode it"):
        plan(media, preset, defaults(preset))


def test_what_is_in_another_order_is_refused(ffmpeg: str, tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="not in the order of their times"):
        read_media(str(arranged(ffmpeg, tmp_path, [0, 2, 1, 3, 4])))


def test_what_is_in_order_is_copied(ffmpeg: str, tmp_path: Path) -> None:
    source = arranged(ffmpeg, tmp_path, [0, 1, 2, 3, 4])
    assert numbers(make(ffmpeg, source, tmp_path, "remux-mp4")) == [*range(50)]

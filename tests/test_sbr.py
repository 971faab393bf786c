"""AAC of which the upper half, or the second channel, is told apart (HE-AAC), and of which no header says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from specimens import AAC, H264, Step, heard, mapped, read, silent
from surroundings import thorough
from test_kinds import lasting, make
from test_unread import defaults, made

from daemon.media.describe import read_media
from daemon.proof.differences import differences
from daemon.recipes.command import plan

HEADER = 7  # bytes of ADTS
SECONDS = 2.0
END, FILL = "111", "110"  # elements of AAC (ISO/IEC 14496-3)


def bits(*fields: tuple[int, int]) -> str:
    """Values, each in so many bits."""
    return "".join(f"{value:0{length}b}" for value, length in fields)


# That it is SBR, and how: from the 11th of 64 bands on to the 22nd, none wider than another, noise as one.
BEGIN = bits((13, 4), (1, 1)) + bits((0, 1), (3, 4), (14, 4), (0, 3), (0, 2), (1, 1), (0, 1), (0, 2), (0, 1), (0, 2))
LEVELS, NOISE = bits((40, 7)) + "00" * 4, bits((10, 5))  # the first, and how far the next is from it: not at all
ONE = "0" + bits((0, 2), (0, 2), (0, 1)) + "00" + bits((0, 2)) + LEVELS + NOISE + "0"
PARAMETRIC = bits((1, 1), (2, 4), (2, 2), (1, 1), (0, 3), (0, 1), (1, 2)) + "0" * 7
TWO = "00" + bits((0, 2), (0, 2), (0, 1)) * 2 + "00" * 2 + bits((0, 2)) * 2 + LEVELS * 2 + NOISE * 2 + "00"


def widened(told: str) -> Callable[[bytes], bytes]:
    """ADTS of half the rate, each frame with what tells of the rest in an element that others pass over."""
    content = BEGIN + told
    content += "0" * (-len(content) % 8)
    count = len(content) // 8
    element = FILL + (bits((count, 4)) if count < 15 else bits((15, 4), (count - 14, 8))) + content

    def edit(whole: bytes) -> bytes:
        frames, at = b"", 0
        while at + HEADER <= len(whole):
            size = (whole[at + 3] & 3) << 11 | whole[at + 4] << 3 | whole[at + 5] >> 5
            inner = bin(int.from_bytes(b"\1" + whole[at + HEADER : at + size], "big"))[3:].rstrip("0")
            inner = inner.removesuffix(END) + element + END
            inner += "0" * (-len(inner) % 8)
            head, length = bytearray(whole[at : at + HEADER]), HEADER + len(inner) // 8
            head[3] = head[3] & 0xFC | length >> 11
            head[4], head[5] = length >> 3 & 0xFF, head[5] & 0x1F | (length & 7) << 5
            frames += bytes(head) + int(inner, 2).to_bytes(len(inner) // 8, "big")
            at += size
        return frames

    return edit


KINDS = {"HE-AAC": ("stereo", TWO + "0"), "HE-AACv2": ("mono", ONE + PARAMETRIC)}
INTO: dict[str, Step] = {
    "aac": [],
    "ts": ["-map", "1:v"],
    "mp4": ["-map", "1:v", "-bsf:a", "aac_adtstoasc"],
    "mkv": ["-map", "1:v", "-bsf:a", "aac_adtstoasc"],
    "m4a": ["-bsf:a", "aac_adtstoasc"],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ending", ["aac", "ts", "mp4", *map(thorough, ("mkv", "m4a"))])
@pytest.mark.parametrize("preset", ["mp3", thorough("flac"), thorough("hls"), "h264-480p", thorough("remux-mp4")])
def test_sound_that_is_told_apart_has_its_rate_and_its_channels(
    ffmpeg: str, tmp_path: Path, kind: str, ending: str, preset: str
) -> None:
    channels, told = KINDS[kind]
    half = heard(*AAC, "-ar", "24000", channels=channels, seconds=SECONDS)
    made(ffmpeg, tmp_path, "sound.aac", half, edit=widened(told))
    made(ffmpeg, tmp_path, "picture.mp4", silent(*H264, seconds=SECONDS))
    both = [*read("sound.aac"), *read("picture.mp4"), *mapped("0:a"), "-c", "copy", *INTO[ending], "{out}"]
    path = made(ffmpeg, tmp_path, f"film.{ending}", both)
    media = read_media(str(path))
    assert [(stream.sample_rate, stream.channels) for stream in media.audio] == [(48000, 2)]
    if media.video is None and preset not in {"mp3", "flac", "remux-mp4"}:
        return
    output = make(ffmpeg, path, tmp_path, preset)
    if output.is_file():
        assert differences(read_media(str(output)), plan(media, preset, defaults(preset))) == []
        assert lasting(output, "audio") == pytest.approx(SECONDS, abs=0.15)

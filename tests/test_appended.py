"""Files that several were put end to end into come out whole, or are refused in words."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from specimens import AAC, AV1, FLAC, H264, MP3, MPEG2, MPEG4, OPUS, PCM, Step, mapped, picture, sound
from surroundings import need, thorough
from test_kinds import lasting, make
from test_unread import defaults, made

from daemon.errors import ProbeError, UnsuitableSource
from daemon.media.appended import refuse_appended
from daemon.media.describe import read_media
from daemon.media.durations import close
from daemon.media.media_file import MediaFile
from daemon.recipes.command import plan

EXACT = ["-fflags", "+bitexact"]  # has every Ogg file count its streams from 0 on
MP2 = ["-c:a", "mp2"]
AMR = ["-c:a", "libopencore_amrnb", "-ac", "1", "-ar", "8000"]
VORBIS, THEORA = ["-c:a", "libvorbis"], ["-c:v", "libtheora"]
MJPEG, RAW = ["-c:v", "mjpeg"], ["-pix_fmt", "yuv420p", "-c:v", "rawvideo"]
WHOLE: dict[str, Step] = {  # by a name, options of each half
    "a.aac": AAC,
    "a.mp3": MP3,
    "a.ac3": ["-c:a", "ac3"],
    "a.eac3": ["-c:a", "eac3"],
    "a.opus": OPUS,
    "a.ogg": VORBIS,
    "a.oga": FLAC,
    "same.ogg": [*VORBIS, *EXACT],
    "a.ts": [*MPEG2, *MP2],
    "a.mpg": [*MPEG2, *MP2],
    "a.avi": [*MPEG4, *MP3],
}
REFUSED: dict[str, tuple[Step, str]] = {
    "a.wav": (PCM, "WAV"),
    "a.aiff": ([], "AIFF"),
    "a.caf": (PCM, "CAF"),
    "a.au": ([], "AU"),
    "a.w64": (PCM, "Wave64"),
    "rf64.wav": ([*PCM, "-rf64", "always"], "WAV"),
    "a.tta": ([], "TTA"),
    "a.flac": (FLAC, "FLAC"),
    "a.amr": (AMR, "AMR"),
    "a.wv": ([], "WavPack"),
    "a.voc": (["-c:a", "pcm_u8"], "VOC"),
    "a.mp4": ([*H264, *AAC], "MP4"),
    "a.mov": ([*MJPEG, *PCM], "MP4"),
    "a.wma": ([], "ASF"),
    "fragments.mp4": ([*H264, *AAC, "-movflags", "+frag_keyframe+empty_moov"], "MP4"),
    "a.mkv": ([*H264, *AAC], "Matroska"),
    "a.webm": (OPUS, "Matroska"),
    "a.mxf": ([*MPEG2, *PCM], "MXF"),
    "live.mkv": ([*H264, *AAC, "-live", "1"], "Matroska"),
    "a.y4m": (RAW, "Y4M"),
    "a.ivf": (AV1, "IVF"),
    "a.nut": ([*MPEG4, *MP2], "NUT"),
    "a.rm": (["-c:a", "ac3"], "Real"),
    "a.png": (["-frames:v", "1"], "PNG"),
    "same.opus": ([*OPUS, *EXACT], "Ogg"),
    "a.flv": ([*H264, *MP3, "-ar", "44100"], "FLV"),
    "a.wtv": ([*MPEG2, *MP2], "WTV"),
}
# These tell where they end.
TELLING = {"a.mkv", "a.webm", "a.wav", "rf64.wav", "a.w64", "a.aiff", "a.wma", "a.wtv", "a.mxf", "a.flv"}
SHOWS_ALONE = {"y4m", "ivf", "png"}
HEARD_ALONE = {"aac", "mp3", "ac3", "eac3", "opus", "ogg", "oga", "wav", "aiff", "caf", "au", "w64", "tta", "flac"}
HEARD_ALONE |= {"amr", "wv", "voc", "wma", "webm", "rm"}


def halves(ffmpeg: str, folder: Path, name: str, how: Step, seconds: float) -> list[Path]:
    kind = name.partition(".")[2]
    shown = [] if kind in HEARD_ALONE else picture("192x108", "25", seconds)
    heard = [] if kind in SHOWS_ALONE else sound(seconds)
    inputs = mapped(*map(str, range(bool(shown) + bool(heard))))
    tone = [[*shown, *heard, *inputs, *how] for _ in range(2)]
    return [made(ffmpeg, folder, f"{number}-{name}", [*one, "{out}"]) for number, one in enumerate(tone)]


def joined(ffmpeg: str, folder: Path, name: str, how: Step, seconds: float) -> Path:
    whole = folder / name
    whole.write_bytes(b"".join(half.read_bytes() for half in halves(ffmpeg, folder, name, how, seconds)))
    return whole


USUAL = {"a.ogg", "a.wav", "a.flac", "a.mp4", "a.mkv", "same.opus"}


def few(names: Iterable[str]) -> list[Any]:
    return [name if name in USUAL else thorough(name) for name in names]


@pytest.mark.parametrize("name", few(WHOLE))
def test_what_goes_on_behind_the_first_is_counted(ffmpeg: str, tmp_path: Path, name: str) -> None:
    found = read_media(str(joined(ffmpeg, tmp_path, name, WHOLE[name], 0.5)))
    assert found.duration_seconds == pytest.approx(1.0, abs=0.17)


@pytest.mark.parametrize("name", few(REFUSED))
def test_where_only_the_first_would_be_read_it_is_refused(ffmpeg: str, tmp_path: Path, name: str) -> None:
    how, called = REFUSED[name]
    assert read_media(str(halves(ffmpeg, tmp_path, name, how, 0.5)[0])).duration_seconds
    with pytest.raises(ProbeError, match=f"it is several {called} files put end to end"):
        read_media(str(joined(ffmpeg, tmp_path, name, how, 0.5)))


@pytest.mark.parametrize("name", few(sorted(TELLING)))
def test_a_file_too_large_to_be_searched_is_looked_at_where_its_first_one_ends(
    ffmpeg: str, tmp_path: Path, name: str
) -> None:
    how, called = REFUSED[name]
    first, second = (half.read_bytes() for half in halves(ffmpeg, tmp_path, name, how, 0.5))
    path = tmp_path / name
    path.write_bytes(first)
    refuse_appended(MediaFile(str(path)), searched=0)
    path.write_bytes(first + second)
    with pytest.raises(ProbeError, match=f"it is several {called} files"):
        refuse_appended(MediaFile(str(path)), searched=0)


def test_a_matroska_file_is_looked_at_behind_what_fills_it_up(ffmpeg: str, tmp_path: Path) -> None:
    first, second = (half.read_bytes() for half in halves(ffmpeg, tmp_path, "a.mkv", [*H264, *AAC], 0.2))
    path = tmp_path / "a.mkv"
    with path.open("wb") as file:
        file.write(first + b"\xec\x01" + (96 * 1024**2).to_bytes(7, "big"))
        file.seek(96 * 1024**2, 1)
        file.write(second)
    with pytest.raises(ProbeError, match="it is several Matroska files"):
        read_media(str(path))


def test_musepack_is_read_and_several_of_it_are_refused(ffmpeg: str, tmp_path: Path) -> None:
    encoder = need("mpcenc", "musepack-tools")
    plain, one, several = made(ffmpeg, tmp_path, "a.wav", [*sound(1.0), *PCM, "{out}"]), tmp_path / "a.mpc", "b.mpc"
    subprocess.run([encoder, "--silent", str(plain), str(one)], check=True)
    (tmp_path / several).write_bytes(one.read_bytes() * 2)
    assert read_media(str(one)).audio[0].codec == "musepack8"
    assert lasting(make(ffmpeg, one, tmp_path, "flac"), "audio") == pytest.approx(1.0, abs=0.05)
    with pytest.raises(ProbeError, match="it is several Musepack files put end to end"):
        read_media(str(tmp_path / several))


def monkeys_audio(seconds: int, rate: int = 44100) -> bytes:
    """Silence in stereo, by its format's description, since nothing here encodes it: each frame says that it is silent.

    Frames are stored as words of 32 bits, the last byte first.
    """
    blocks = 73728
    frames = -(-seconds * rate // blocks)
    last = seconds * rate - (frames - 1) * blocks
    frame = struct.pack("<II", 0x80000000, 3) + bytes(8)
    begins = 52 + 24 + 4 * frames
    seek = struct.pack(f"<{frames}I", *(begins + number * len(frame) for number in range(frames)))
    described = (
        b"MAC " + struct.pack("<HHIIIIIII", 3990, 0, 52, 24, len(seek), 0, frames * len(frame), 0, 0) + bytes(16)
    )
    header = struct.pack("<HHIIIHHI", 2000, 32, blocks, last, frames, 16, 2, rate)
    return described + header + seek + frames * frame


def test_monkeys_audio_is_read_and_several_of_it_are_refused(ffmpeg: str, tmp_path: Path) -> None:
    one = tmp_path / "a.ape"
    one.write_bytes(monkeys_audio(2))
    assert read_media(str(one)).audio[0].codec == "ape"
    for preset in ("flac", "mp3"):
        assert lasting(make(ffmpeg, one, tmp_path, preset), "audio") == pytest.approx(2.0, abs=0.05)
    (tmp_path / "b.ape").write_bytes(monkeys_audio(2) * 2)
    with pytest.raises(ProbeError, match="it is several Monkey's Audio files put end to end"):
        read_media(str(tmp_path / "b.ape"))


@pytest.mark.parametrize(("one", "other"), [(0.5, 1.0), (1.0, 0.5), (0.3, 0.6), (1.0, 2.0)])
def test_half_of_a_short_sound_is_not_as_long_as_all_of_it(one: float, other: float) -> None:
    assert not close(one, other)


@pytest.mark.parametrize("preset", ["remux-mkv", "remux-mp4"])
def test_what_is_described_anew_in_its_midst_is_not_copied(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    for name, how in (("a.ogg", VORBIS), ("a.oga", FLAC)):
        media = read_media(str(joined(ffmpeg, tmp_path, name, how, 0.5)))
        with pytest.raises(
            UnsuitableSource, match=r"describes parts of a track in different ways.*: encode it|cannot hold"
        ):
            plan(media, preset, defaults(preset))

"""What an output that is not as planned fails with: real files, each wrong in one way, probed and told in words."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path
from typing import Any

import av
import pytest
from conftest import make_clip
from msgspec.structs import replace
from specimens import FLAC
from test_unread import made

from daemon.errors import ProofError
from daemon.media import decode_end
from daemon.media.describe import read_media
from daemon.media.prober import Prober
from daemon.proof import prove
from daemon.recipes.command import plan

TAGS = "setparams=color_primaries=smpte170m:color_trc=smpte170m:colorspace=smpte170m:range=tv"
UNTAGGED = "setparams=color_primaries=unknown:color_trc=unknown:colorspace=unknown:range=tv"
ENCODE = "-c:v libx264 -preset ultrafast -g 25 -pix_fmt yuv420p -c:a aac"
SUBTITLE = "1\n00:00:00,200 --> 00:00:00,900\nHello\n"
CHAPTER = ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=800\ntitle=One\n"
LATE = "-i good.mp4 -itsoffset 0.3 -i good.mp4"

# What ffmpeg is told to make something else of the right output, and the words (a pattern) that this is refused with.
WRONG = {
    "no picture": ("-i good.mp4 -c copy -vn", "it has no picture"),
    "no sound": ("-i good.mp4 -c copy -an", "it has 0 audio streams instead of 1"),
    "sound twice": ("-i good.mp4 -map 0 -map 0:a -c copy", "it has 2 audio streams instead of 1"),
    "a subtitle": (
        "-i good.mp4 -i s.srt -map 0 -map 1 -c copy -c:s mov_text",
        "it has 1 subtitle streams instead of 0",
    ),
    "a chapter": ("-i good.mp4 -i c.txt -map_chapters 1 -map 0 -c copy", "it has 1 chapters instead of 0"),
    "a cover": (
        "-i good.mp4 -f lavfi -i color=red:size=64x64:rate=1:duration=1 -map 0 -map 1 -c copy -c:v:1 png"
        " -disposition:v:1 attached_pic",
        "it has 1 covers instead of 0",
    ),
    "another size": (f"-i good.mp4 -vf scale=160:90,{TAGS} {ENCODE}", "its picture is 160×90 instead of 320×180"),
    "upside down": (
        "-display_rotation 180 -i good.mp4 -c copy",
        "its picture is still to be turned by the player",
    ),
    "on its side": (
        "-display_rotation 90 -i good.mp4 -c copy",
        "its picture is 180×320 instead of 320×180; its picture is still to be turned by the player",
    ),
    "mirrored": ("-display_hflip -i good.mp4 -c copy", "its picture is still to be turned by the player"),
    "stretched": (
        f"-i good.mp4 -vf setsar=4/3,{TAGS} {ENCODE}",
        "its picture is 427×180 instead of 320×180",
    ),
    "half the frames": (
        f"-i good.mp4 -vf fps=12.5,{TAGS} {ENCODE}",
        "it has 12.5 frames per second instead of 25",
    ),
    "twice the frames": (f"-i good.mp4 -vf fps=50,{TAGS} {ENCODE}", "it has 50 frames per second instead of 25"),
    "no colours told": (
        f"-i good.mp4 -vf {UNTAGGED} {ENCODE}",
        "its colour primaries says nothing instead of smpte170m; its colour transfer says nothing instead of "
        "smpte170m; its colour matrix says nothing instead of smpte170m",
    ),
    "another matrix": (
        "-i good.mp4 -c copy -bsf:v h264_metadata=matrix_coefficients=1",
        "its colour matrix says bt709 instead of smpte170m",
    ),
    "full range": (
        "-i good.mp4 -c copy -bsf:v h264_metadata=video_full_range_flag=1",
        "its colour range says pc instead of tv",
    ),
    "late sound": (f"{LATE} -map 0:v -map 1:a -c copy -t 4", "its sound begins 0.[23]. s too late"),
    "early sound": (f"{LATE} -map 1:v -map 0:a -c copy -t 4", "its sound begins 0.[23]. s too early"),
    "sound cut short": (
        f"-i good.mp4 -vf {TAGS} -af atrim=end=0.8 {ENCODE}",
        "audio ends 3.2 s before the video; audio track 1 lasts 0.8 s instead of 4.0 s",
    ),
    "picture cut short": (
        f"-i good.mp4 -vf trim=end=1.5,{TAGS} {ENCODE}",
        "it has 38 pictures instead of 100; audio ends 2.5 s after the video",
    ),
    "half": ("-t 2 -i good.mp4 -c copy", "the output lasts 2.0. s instead of 4.0. s"),
    "one and a half times": ("-stream_loop 1 -i good.mp4 -t 6 -c copy", "the output lasts 6.0. s instead of 4.0. s"),
}


@pytest.fixture(scope="module")
def folder(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a source, and what is rightly made of it."""
    folder = tmp_path_factory.mktemp("proof")
    make_clip(ffmpeg, folder / "source.mp4", seconds=4, size="320x180")
    run(ffmpeg, folder, f"-i source.mp4 -vf {TAGS} {ENCODE}", "good.mp4")
    (folder / "s.srt").write_text(SUBTITLE)
    (folder / "c.txt").write_text(CHAPTER)
    return folder


def run(ffmpeg: str, folder: Path, options: str, name: str) -> Path:
    command = [ffmpeg, "-v", "error", *options.split(), "-y", name]
    subprocess.run(command, check=True, cwd=folder, stdin=subprocess.DEVNULL)
    return folder / name


def refusal(part: Path, **changes: Any) -> str | None:
    """Why the daemon would not publish it as what h264-480p makes of the source; None when it would."""
    source = part.with_name("source.mp4")
    planned = replace(plan(read_media(str(source)), "h264-480p", {"short_side": 480, "crf": 22}), **changes)

    async def look() -> str | None:
        prober = Prober(sandboxed=False)
        try:
            await prove.prove_output(prober, part, planned, source)
        except ProofError as error:
            return str(error)
        finally:
            await prober.close()
        return None

    return asyncio.run(look())


def test_what_is_as_planned_is_not_refused(folder: Path) -> None:
    assert refusal(folder / "good.mp4") is None


@pytest.mark.parametrize("flaw", WRONG)
def test_what_differs_from_the_plan_is_told_in_words(ffmpeg: str, folder: Path, flaw: str) -> None:
    options, words = WRONG[flaw]
    said = refusal(run(ffmpeg, folder, options, "wrong.mp4"))
    assert said is not None
    assert re.match(f"(the output is not what was planned: )?{words}", said), said


def test_a_limit_of_bytes_is_told(folder: Path) -> None:
    size = (folder / "good.mp4").stat().st_size
    assert refusal(folder / "good.mp4", max_bytes=size) is None
    told = refusal(folder / "good.mp4", max_bytes=size - 1)
    assert told == f"the output has {size} bytes; {size - 1} are the limit: ask for a larger target_bytes"


def test_a_cover_that_was_lost_is_told(folder: Path) -> None:
    told = refusal(folder / "good.mp4", covers=1)
    assert told.startswith("the output is not what was planned: it has 0 covers instead of 1; take another preset")


def test_an_end_that_cannot_be_decoded_is_told(ffmpeg: str, folder: Path) -> None:
    """The index is whole, and so is the length it tells."""
    broken = run(ffmpeg, folder, "-i good.mp4 -c copy -movflags +faststart", "broken.mp4")
    whole = bytearray(broken.read_bytes())
    whole[-3000:] = bytes(3000)
    broken.write_bytes(whole)
    told = refusal(broken)
    assert told is not None
    assert "the last second of its" in told
    assert "cannot be decoded" in told


def test_what_is_no_media_is_told(folder: Path) -> None:
    (folder / "text.mp4").write_text("nothing")
    told = refusal(folder / "text.mp4")
    assert told is not None
    assert told.startswith("the encoder said it was done, but its output cannot be read: ")


def test_the_end_is_proven_of_sound_in_which_a_moment_is_not_found(ffmpeg: str, tmp_path: Path) -> None:
    """Of FLAC in few packets FFmpeg finds the beginning of some, and of others none."""
    noise = ["-f", "lavfi", "-i", "aevalsrc=random(0)*0.1:duration=3:sample_rate=8000"]
    few = [*noise, *FLAC, "-frame_size", "4096", "{out}"]
    path = made(ffmpeg, tmp_path, "few.flac", few)
    with av.open(str(path)) as container, pytest.raises(PermissionError):
        container.seek(2 * av.time_base)
    decode_end.decode(str(path), read_media(str(path)), patience=10.0)

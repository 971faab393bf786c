"""A film of which some was never written, as of a download that takes its room first, is told from a whole one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import PATIENCE, Daemon, wait_until
from surroundings import thorough
from test_folders import inbox, made, page, verdicts, watching
from test_inbox import left

from daemon.errors import ProbeError
from daemon.media import decode_end
from daemon.media.describe import read_media

__all__ = ["inbox"]

GROUPS = ("-g", "5", "-keyint_min", "5")
MADE = {
    "film.mkv": ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:qp=4:keyint=5"),
    "live.webm": ("-c:v", "libvpx", "-deadline", "realtime", "-b:v", "8M", "-live", "1", *GROUPS, "-c:a", "libopus"),
    "film.wmv": ("-c:v", "wmv2", "-b:v", "8M", *GROUPS, "-c:a", "wmav2"),
    "film.mp4": ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "4", "-movflags", "faststart"),
    "film.mov": ("-c:v", "dvvideo", "-s", "720x576", "-c:a", "pcm_s16le", "-movflags", "faststart"),
    "film.mxf": ("-c:v", "mpeg2video", "-qscale:v", "1", *GROUPS, "-ar", "48000"),
    "sound.flac": ("-filter_complex", "anoisesrc=duration=9"),
    "sound.tta": ("-filter_complex", "anoisesrc=duration=9"),
}


def film(ffmpeg: str, path: Path) -> Path:
    source = ("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=4", "-f", "lavfi", "-i", "sine=duration=4")
    subprocess.run([ffmpeg, "-v", "error", *source, "-pix_fmt", "yuv420p", *MADE[path.name], str(path)], check=True)
    return path


def unwritten(path: Path, begin: float, end: float) -> None:
    """Has it be as long as it is, with zeros from one share of it to another."""
    content = bytearray(path.read_bytes())
    first, last = (int(len(content) * share) for share in (begin, end))
    path.write_bytes(content[:first] + bytes(last - first) + content[last:])


@pytest.mark.parametrize("name", [name if name in {"film.mkv", "sound.flac"} else thorough(name) for name in MADE])
def test_what_was_never_written_is_missed_by_who_decodes_all(ffmpeg: str, tmp_path: Path, name: str) -> None:
    whole = film(ffmpeg, tmp_path / name)
    decode_end.decode_all(str(whole), read_media(str(whole), patience=PATIENCE))
    content = whole.read_bytes()
    for begin, end in ((0.6, 1), (0.4, 0.7), (0.5, 0.6)):
        whole.write_bytes(content)
        unwritten(whole, begin, end)
        with pytest.raises(ProbeError, match=r"it cannot be decoded whole: |of it are zeros, as of a download"):
            decode_end.decode_all(str(whole), read_media(str(whole), patience=PATIENCE))


def test_a_source_that_is_not_whole_is_not_deleted(
    start_daemon: Callable[..., Daemon], inbox: Path, ffmpeg: str
) -> None:
    unwritten(film(ffmpeg, inbox / "film.mkv"), 0.4, 0.7)
    daemon = watching(start_daemon, inbox, on_success="delete")
    wait_until(lambda: verdicts(daemon) == {"film.mkv": "completed"} and made(inbox), "its result")
    [told] = page(daemon, limit=9)["items"]
    assert (told["error"] or "").startswith("it stays as it is: it cannot be decoded whole: ")
    assert left(inbox) == ["film.mkv"]

"""A source too large to be read whole before it is encoded is not judged by what its header says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Daemon
from specimens import H264, MP3, picture, sound
from test_changes import tag
from test_unread import made

from daemon.media import describe
from daemon.media.describe import read_media

FILLING = 2**24 - 1  # bytes, the most that a tag holds
SCRIPT = 18  # a kind of tags


def large(flv: Path) -> Path:
    """The same with more behind it than is read at first, which takes no room on the disk."""
    filled = tag(SCRIPT, bytes(FILLING), 1.0)
    with flv.open("r+b") as file:
        file.seek(0, 2)
        while file.tell() <= describe.LARGE:
            file.write(filled[:11])
            file.seek(FILLING, 1)
            file.write(filled[-4:])
    return flv


@pytest.mark.thorough
def test_an_output_is_compared_with_all_of_a_large_source(
    start_daemon: Callable[..., Daemon], ffmpeg: str, tmp_path: Path
) -> None:
    """Its header tells one length, that of the sound; the picture's is told by its packets alone."""
    step = [*picture("192x108", seconds=1.0), "-itsoffset", "0.4", *sound(1.0), *H264, *MP3, "-ar", "44100", "{out}"]
    path = large(made(ffmpeg, tmp_path, "late.flv", step))
    assert read_media(str(path)).duration_seconds == pytest.approx(1.4, abs=0.05)
    daemon = start_daemon("--source-root", str(tmp_path))
    spec = {"sources": [{"path": str(path)}], "variations": [{"preset": "gif"}, {"preset": "hls"}]}
    job = daemon.client.post("/api/jobs", json=spec).json()
    variations = daemon.wait_for(job["id"])["sources"][0]["variations"]
    assert [one["error"] for one in variations] == [None, None]
    assert [one["output_seconds"] for one in variations] == pytest.approx([1.0, 1.4], abs=0.05)

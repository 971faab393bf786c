"""A source that could not be read whole before it is encoded is not judged by what its header says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from conftest import Daemon, told
from specimens import H264, MP3, picture, sound
from test_unread import made

from daemon.media.describe import read_media


def test_an_output_is_compared_with_all_of_its_source(
    start_daemon: Callable[..., Daemon], ffmpeg: str, tmp_path: Path
) -> None:
    """Where that was too large for it before: a header tells one length, that of the sound, and the picture ends
    sooner."""
    step = [*picture("192x108", seconds=1.0), "-itsoffset", "0.4", *sound(1.0), *H264, *MP3, "-ar", "44100", "{out}"]
    path = made(ffmpeg, tmp_path, "late.flv", step)
    daemon = start_daemon("--source-root", str(tmp_path))
    daemon.client.post("/api/queue/pause")
    spec = {"sources": [{"path": str(path)}], "variations": [{"preset": "gif"}, {"preset": "hls"}]}
    job = daemon.client.post("/api/jobs", json=spec).json()["id"]
    believed = msgspec.json.encode(read_media(str(path), patience=0.0)).decode()
    told(daemon, f"UPDATE sources SET media = '{believed}'")
    daemon.client.post("/api/queue/resume")
    variations = daemon.wait_for(job)["sources"][0]["variations"]
    assert [one["error"] for one in variations] == [None, None]
    assert [one["output_seconds"] for one in variations] == pytest.approx([1.0, 1.4], abs=0.05)

"""What is said of files that are no media: what they are, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.errors import ProbeError
from daemon.media.describe import read_media

SEVERAL = 64
WORDS = {
    b"#EXTM3U\n#EXTINF:1,\nhttp://example.org/a.ts\n": "but a playlist, which names other files: give those",
    b"ffconcat version 1.0\nfile a.mp4\n": "but a playlist, which names other files: give those",
    b"PK\x03\x04" + bytes(SEVERAL): "but an archive: unpack it, and give what it holds",
    b"%PDF-1.7\n\xe2\xe3\xcf\xd3": "but a PDF",
    b"MThd" + bytes(SEVERAL): "but MIDI, which ffspool does not read: convert it first",
    b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(SEVERAL): "but JPEG XL, which ffspool does not read: convert it first",
    bytes(4096): "but zeros alone at its beginning, as of a copy or download that was not completed",
    b"\n<!DOCTYPE html>\n<title>404</title>": "but a page or a list for programs (HTML or XML), perhaps what a server "
    "answered instead of the file",
    "Grüße aus der Küche\n".encode(): "but a text",
    b"\x07\xf3\x80\x01" * SEVERAL: "",
}


@pytest.mark.parametrize("content", WORDS, ids=lambda content: repr(content[:8]))
def test_a_stranger_is_called_by_its_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(ProbeError) as caught:
        read_media(str(path))
    words = WORDS[content]
    assert str(caught.value) == "it is not a media file ffspool can read" + (f", {words}" if words else "")

"""Layers of a picture that decoders leave out, such as the other eye's, are no silent loss."""

from __future__ import annotations

from pathlib import Path

import pytest
from specimens import H264, X265, Step, picture
from test_unread import defaults, made

from daemon.media.describe import read_media
from daemon.recipes.command import plan

MARK = b"\0\0\0\1"


def layered(raw: bytes, *, of_h264: bool) -> bytes:
    """The same with each slice once more, in a layer above: of an H.264 extension (type 20), or of HEVC's layer 1."""
    whole = b""
    for unit in raw.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]:
        whole += MARK + unit
        if of_h264 and unit[0] & 31 in {1, 5}:
            whole += MARK + bytes([0x74, 0x40, 0x00, 0x07]) + unit[1:]
        elif not of_h264 and unit[0] >> 1 & 63 < 32:
            whole += MARK + bytes([unit[0], unit[1] | 8]) + unit[2:]
    return whole


@pytest.mark.parametrize(("kind", "how"), [("h264", H264), ("hevc", [*X265, "-pix_fmt", "yuv420p"])])
@pytest.mark.parametrize("container", ["mkv", "mp4", "ts"])
def test_the_layers_that_are_left_out_are_told(
    ffmpeg: str, tmp_path: Path, kind: str, how: Step, container: str
) -> None:
    def put(raw: Path) -> Path:
        stamped = ["-fflags", "+genpts", "-r", "25", "-i", str(raw), "-c", "copy"]
        return made(ffmpeg, tmp_path, f"{raw.stem}.{container}", [*stamped, "{out}"])

    flat = made(ffmpeg, tmp_path, f"flat.{kind}", [*picture("320x180"), *how, "-bf", "0", "{out}"])
    deep = tmp_path / f"deep.{kind}"
    deep.write_bytes(layered(flat.read_bytes(), of_h264=kind == "h264"))
    shown = {path.stem: read_media(str(put(path))) for path in (flat, deep)}
    assert {name: media.video and media.video.layered for name, media in shown.items()} == {"flat": False, "deep": True}
    encoded = plan(shown["deep"], "archive-hevc", defaults("archive-hevc")).contents
    assert "layers" in {lost.what for lost in encoded.left_out}
    copied = plan(shown["deep"], "remux-mkv", defaults("remux-mkv")).contents
    assert "layers" in {kept.what for kept in copied.kept}

"""Pictures and animations have the colours of their source, as those tell them who read no more than such files say."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from specimens import BT709, FFV1, H264, ONCE, Step
from surroundings import thorough
from test_kinds import make
from test_unread import made

RED, SIZE = (224, 48, 32), "64x64"
OFF = 6  # of 255, by which a plain colour may be off that is packed with loss


def plain(colour: tuple[int, int, int], pixels: str, *how: str) -> Step:
    filters = f"color=0x{bytes(colour).hex()}:s={SIZE}:r=10:d=0.4,format=rgb24,{pixels}"
    return ["-f", "lavfi", "-i", filters, *how, "{out}"]


HD = "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"
SEE_THROUGH = "format=rgba,split[a][b];[a]palettegen=reserve_transparent=1[p];[b][p]paletteuse"
SOURCES = {
    "film.mkv": plain(RED, "format=gbrp", *FFV1),
    "film.mp4": plain(RED, HD, *H264, *BT709),
    "animation.gif": plain(RED, SEE_THROUGH),
}


@pytest.mark.parametrize("name", ["film.mkv", *map(thorough, ("film.mp4", "animation.gif"))])
def test_a_webp_has_the_colours_that_browsers_take_it_for(ffmpeg: str, tmp_path: Path, name: str) -> None:
    output = make(ffmpeg, made(ffmpeg, tmp_path, name, SOURCES[name]), tmp_path, "webp")
    assert as_browsers_show(output) == pytest.approx(RED, abs=OFF)


def as_browsers_show(webp: Path) -> Any:
    """The colour of the first picture, whose numbers are by BT.601 in every WebP."""
    whole = webp.read_bytes()
    at = whole.index(b"VP8 ")
    packed = whole[at : at + 8 + struct.unpack_from("<I", whole, at + 4)[0]]
    alone = webp.with_name("alone.webp")
    alone.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(packed)) + b"WEBP" + packed)
    with av.open(str(alone)) as container:
        frame = next(container.decode(video=0))
    rgb = frame.reformat(format="rgb24", src_colorspace=Colorspace.ITU601, src_color_range=ColorRange.MPEG)
    return np.asarray(rgb.to_ndarray()).reshape(-1, 3).mean(axis=0).tolist()


GREYS = {"h264-480p": {"speed": "ultrafast"}, "poster": {}, "webp": {}, "archive-ffv1": {}}


@pytest.mark.parametrize("preset", ["h264-480p", *map(thorough, ("poster", "archive-ffv1"))])
@pytest.mark.parametrize("pixels", ["ya8", thorough("ya16be")])
def test_grey_with_transparency_is_as_dark_as_it_was(ffmpeg: str, tmp_path: Path, preset: str, pixels: str) -> None:
    source = made(ffmpeg, tmp_path, "grey.png", plain((40, 40, 40), f"format={pixels}", *ONCE))
    output = make(ffmpeg, source, tmp_path, preset, **GREYS[preset])
    with av.open(str(output)) as container:
        shown = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert shown.reshape(-1, 3).mean(axis=0).tolist() == pytest.approx([40] * 3, abs=OFF)


@pytest.mark.parametrize("preset", ["h264-480p", *map(thorough, ("poster", "webp", "gif"))])
@pytest.mark.parametrize("pixels", ["rgb555le", thorough("rgb565le")])
def test_white_of_few_bits_is_white(ffmpeg: str, tmp_path: Path, preset: str, pixels: str) -> None:
    """As screens were recorded when they had 16 bits."""
    white = plain((255, 255, 255), f"format={pixels}", "-c:v", "rawvideo")
    output = make(ffmpeg, made(ffmpeg, tmp_path, "screen.avi", white), tmp_path, preset, **GREYS.get(preset, {}))
    if preset == "webp":
        assert min(as_browsers_show(output)) > 252
        return
    with av.open(str(output)) as container:
        assert next(container.decode(video=0)).to_ndarray(format="rgb24").min() > 252

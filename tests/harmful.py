"""Files that have harmed others: each is a few bytes that claim much, or that lead elsewhere. All are refused."""

from __future__ import annotations

import struct

from specimens import AAC, TRUNCATED, Specimen, heard, still

NO_MEDIA = "it is not a media file ffspool can read"
PLAYLIST = f"{NO_MEDIA}, but a playlist, which names other files: give those"
TOO_LARGE = "its picture has no size, or one over what may be: 40 megapixels are the limit"
SIBLING = "plain.mp4"  # what they would read, were it beside them


def hls(target: str) -> str:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n"


def concat(target: str) -> str:
    return f"ffconcat version 1.0\nfile '{target}'\n"


def huge_gif() -> bytes:
    """143 megapixels in 40 bytes."""
    size = struct.pack("<HH", 11390, 12595)
    screen = b"GIF89a" + size + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    return screen + b",\0\0\0\0" + size + b"\0\x02\x02\x4c\x01\0;"


def huge_webp(whole: bytes) -> bytes:
    """A small picture that claims to have 144 megapixels."""
    at = whole.index(b"\x9d\x01\x2a") + 3
    return whole[:at] + struct.pack("<HH", 16000, 9000) + whole[at + 4 :]


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content


def subtitled_avi(text: bytes) -> bytes:
    """An AVI with nothing in it but subtitles, which are a file of their own."""
    subtitles = b"GAB2\0" + struct.pack("<HI", 2, 0) + struct.pack("<HI", 4, len(text)) + text
    header = chunk(b"avih", struct.pack("<14I", 40000, 0, 0, 16, 125, 0, 1, 0, 224, 160, 0, 0, 0, 0))
    stream = chunk(b"strh", b"txts" + bytes(16) + struct.pack("<8I", 1, 25, 0, 125, 902, 10000, 0, 0))
    form = chunk(b"strf", struct.pack("<3I2H6I", 40, 224, 160, 1, 24, 0, 0, 0, 0, 0, 0))
    lists = chunk(b"LIST", b"hdrl" + header + chunk(b"LIST", b"strl" + stream + form))
    return chunk(b"RIFF", b"AVI " + lists + chunk(b"LIST", b"movi" + chunk(b"00tx", subtitles)))


def no_samples(whole: bytes) -> bytes:
    """An index of much, and nothing behind it."""
    return whole[: whole.index(b"mdat") + 4]


COMMANDS = (
    "push graphic-context\nviewbox 0 0 640 480\nimage over 0,0 0,0 'https://127.0.0.1/`id`'\npop graphic-context\n"
)

HARMFUL = (
    Specimen("huge.gif", build=lambda _: huge_gif(), error=TOO_LARGE),
    Specimen("huge.webp", [still("-c:v", "libwebp")], edit=huge_webp, error=TOO_LARGE),
    Specimen("concat.mkv", text=concat(SIBLING), error=PLAYLIST),
    Specimen("hls.mp4", text=hls(SIBLING), error=PLAYLIST),
    Specimen("hls-http.avi", text=hls("http://127.0.0.1:9/x.ts"), error=PLAYLIST),
    Specimen(
        "hls-in-subtitles.avi",
        build=lambda _: subtitled_avi(hls("/etc/passwd").encode()),
        error="it holds neither a picture nor sound ffspool can decode",
    ),
    Specimen("commands.gif", text=COMMANDS, error=f"{NO_MEDIA}, but a text"),
    Specimen("empty.m4a", build=lambda _: b"", error="is empty"),
    Specimen(
        "index-alone.m4a",
        [heard(*AAC, "-movflags", "+faststart")],
        edit=no_samples,
        error=f"{TRUNCATED}|the source has no picture|cannot hold",
    ),
)

"""Opens a media file with FFmpeg's libraries, and says in words why one cannot be."""

from __future__ import annotations

import errno
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer

from daemon.errors import ProbeError
from daemon.media import file_signatures
from daemon.media.allowlist import GUARDS, READ_ON, RESTARTABLE
from daemon.media.media_file import MediaFile

STILL_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"}
TELLING = "mov,mp4,m4a,3gp,3g2,mj2"  # whose header says all that one needs to read on
LOOKED_AT = 64 * 1024**2  # bytes of an Ogg file that cannot be read
CHAINED = (
    "it is several Ogg files put end to end, of which a later one has another codec or other channels: take them "
    "apart, or join them with a program that makes one sound of theirs"
)
NAMELESS = "; raw sound or pictures, such as G.722, tell nothing of themselves: put them into WAV or MKV first"
UNINDEXED = (
    "its index (moov) is missing: the file was cut off, or is still being written; fetch or copy it again once it is "
    "whole"
)
UNDECODABLE = "its picture cannot be decoded: the file is damaged; fetch or export it again"
STILL_SECONDS = 0.04  # for which a single picture is shown
MOTION_JPEG = "mjpeg"
BETWEEN, LEAST_BETWEEN = b"\xff\xd9\xff\xd8\xff", 2  # what ends a JPEG and begins the next; how often, in a film
WITHIN = 64 * 1024  # bytes in which a photograph tells that there are others behind it
STILLS = {
    b"\xff\xd8\xff": "jpeg_pipe",
    b"\x89PNG": "png_pipe",
    b"BM": "bmp_pipe",
    b"II*\0": "tiff_pipe",
    b"MM\0*": "tiff_pipe",
}


def refuse_unreadable(file: MediaFile) -> None:
    """Raises ProbeError where there is nothing that could be read."""
    try:
        status = file.status
    except OSError as error:
        raise ProbeError(f"the file cannot be opened: {error.strerror}; see to that, then retry") from error
    if not stat.S_ISREG(status.st_mode):
        raise ProbeError("it is not a file: give the files in it, if it is a folder")
    if status.st_size == 0:
        raise ProbeError("the file is empty: fetch or export it again")


@contextmanager
def opened(file: MediaFile, known: str = "", *, read_on: bool = False) -> Iterator[InputContainer]:
    """Raises ProbeError for whatever FFmpeg says, then and while the file is read.

    `known` is its format, if it was opened before: FFmpeg need not decode the beginning of every stream again, which
    takes as long as to read a small file, to find out what the headers of other formats leave open. `read_on` has it
    look further for tracks that begin late.
    """
    try:
        shape = RESTARTABLE if known == RESTARTABLE else _still_format(file)
        options = GUARDS | ({"codec_whitelist": "none"} if known == TELLING else {}) | (READ_ON if read_on else {})
        with av.open(f"file:{file.path}", format=shape, options=options, metadata_errors="replace") as container:
            yield container
    except MemoryError as error:
        raise ProbeError(
            "reading it needs more memory than a media file should: export it again, if it is to be trusted"
        ) from error
    except PermissionError as error:
        if error.errno == errno.EPERM:  # which FFmpeg says where it seeks in vain
            raise ProbeError(
                "a moment within it is not found, as its index is damaged or missing: export it again"
            ) from error
        raise ProbeError("the file cannot be opened: permission denied; let the daemon's user read it") from error
    except av.FFmpegError as error:
        if _misses_its_index(file):
            raise ProbeError(UNINDEXED) from error
        raise ProbeError(CHAINED if _is_chained(file) else _no_media(file)) from error


def _no_media(file: MediaFile) -> str:
    known = file_signatures.named(file.head[: file_signatures.HEAD])
    return f"it is not a media file ffspool can read{f', but {known}' if known else NAMELESS}"


def _is_chained(file: MediaFile) -> bool:
    """Whether it is Ogg that begins once more behind what was begun with."""
    if not file.head.startswith(b"OggS"):
        return False
    with file.open() as content:
        begins = [bool(found[1][0] & 2) for found in re.finditer(rb"OggS\0(.)", content.read(LOOKED_AT), re.DOTALL)]
    return True in begins[begins.index(False) :] if False in begins else False


def _still_format(file: MediaFile) -> str | None:
    """The demuxer for a single picture whose name ends as one's: FFmpeg would take the name for a pattern of names.

    JPEGs that follow each other are a film, of which it would see the first.
    """
    if _is_film(file.head):
        return MOTION_JPEG
    if Path(file.path).suffix.lower() not in STILL_SUFFIXES:
        return None
    head = file.head[:4096]
    if b"acTL" in head:
        return "apng"
    return next((name for beginning, name in STILLS.items() if head.startswith(beginning)), None)


def _is_film(head: bytes) -> bool:
    """Whether it is a row of JPEGs and no photograph with previews behind it, which tells of them (CIPA DC-007)."""
    return head.startswith(b"\xff\xd8\xff") and b"MPF\0" not in head[:WITHIN] and head.count(BETWEEN) >= LEAST_BETWEEN


def _misses_its_index(file: MediaFile) -> bool:
    """Whether it begins as an MP4 or QuickTime file does; FFmpeg refuses such a file when it has no index."""
    return file.head[4:8] in {b"ftyp", b"mdat", b"wide"}

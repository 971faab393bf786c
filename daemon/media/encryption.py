"""Tells whether a file is encrypted, by what its container says in the clear: its packets would decode to noise."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from uuid import UUID

from daemon.errors import ProbeError
from daemon.media import boxes, matroska, mpegts
from daemon.media.media_file import MediaFile

HEAD = 1024**2  # bytes in which a container tells of it
LEAST_SHARE = 0.1  # of packets: discs scramble only some
_PACK = b"\0\0\1\xba"
_ASF_HEADER = UUID("75b22630-668e-11cf-a6d9-00aa0062ce6c").bytes_le
_ASF_ENCRYPTION = {
    UUID(name).bytes_le
    for name in (
        "2211b3fb-bd23-11d2-b4b7-00a0c955fc6e",
        "298ae614-2622-4c17-b935-dae07ee9289c",
        "43058533-6981-49e6-9b74-ad12cb86d58c",
    )
}
_COMMON = "Common Encryption"
_ENTRIES = {b"encv": _COMMON, b"enca": _COMMON, b"drmi": "FairPlay", b"drms": "FairPlay", b"aavd": "Audible"}


def refuse_encrypted(file: MediaFile) -> None:
    """Raises ProbeError, in words, where picture or sound is encrypted and nothing clear stands in for it."""
    head = file.head[:HEAD]
    by = next((words for tells in _TELLING if (words := tells(file, head))), None)
    if by:
        raise ProbeError(f"it is encrypted ({by}): only who protected it can open it")


def _by_boxes(file: MediaFile, _head: bytes) -> str | None:
    described = boxes.tracks(file.index)
    entries = [entry for track in described for entry in zip(track.names, track.described, strict=True)]
    return next((_scheme(name, told) for name, told in entries if name in _ENTRIES), None)


def _scheme(name: bytes, told: bytes) -> str:
    """Says what it is encrypted by, as `schm` within the sample's description does."""
    by, _, scheme = _ENTRIES[name], *told.partition(b"schm")[1:]
    return f"{by}, {scheme[4:8].decode('ascii')}" if scheme[4:8].isalnum() and by == _COMMON else by


def _by_matroska(file: MediaFile, _head: bytes) -> str | None:
    return "Matroska's or WebM's own encryption" if matroska.is_encrypted(file) else None


def _by_asf(_file: MediaFile, head: bytes) -> str | None:
    if not head.startswith(_ASF_HEADER) or len(head) < 24:
        return None
    header = head[: struct.unpack_from("<Q", head, 16)[0]]
    return "Windows Media DRM" if any(guid in header for guid in _ASF_ENCRYPTION) else None


def _by_disc(_file: MediaFile, head: bytes) -> str | None:
    """Packets of a program stream that say they are scrambled, as those of DVDs do."""
    if not head.startswith(_PACK):
        return None
    flags = [match[1][0] for match in re.finditer(rb"\x00\x00\x01[\xbd\xc0-\xef]..([\x80-\xbf])", head, re.DOTALL)]
    scrambled = sum(bool(flag & 0x30) for flag in flags)
    return "CSS, as on DVDs" if flags and scrambled > len(flags) * LEAST_SHARE else None


def _by_blu_ray(_file: MediaFile, head: bytes) -> str | None:
    """Units of 6144 bytes, of which only the first 16 are clear."""
    marked = len(head) > 6144 and head[0] & 0xC0 and head[4] == mpegts.SYNC
    return "AACS, as on Blu-ray discs" if marked and head[196 : 196 + 192 * 31 : 192] != b"G" * 31 else None


def _by_broadcast(file: MediaFile, _head: bytes) -> str | None:
    """A broadcast of which no picture is clear, or, where it is radio, no sound."""
    scrambled = mpegts.scrambled(file)
    for kind in (mpegts.PICTURES, mpegts.SOUNDS):
        if found := mpegts.streams_of(file, kind):
            return "scrambled by the broadcaster" if found <= scrambled else None
    return None


_TELLING: tuple[Callable[[MediaFile, bytes], str | None], ...] = (
    _by_boxes,
    _by_matroska,
    _by_asf,
    _by_disc,
    _by_blu_ray,
    _by_broadcast,
)

"""Reads how long a Musepack file of stream version 8 lasts, of whose packets FFmpeg knows no more than their number."""

from __future__ import annotations

import struct

from daemon.media.durations import Spans

FORMAT = "mpc8"
BEGIN = b"MPCKSH"
RATES = (44100, 48000, 37800, 32000)
CHECKSUM, VERSION = 4, 1  # bytes


def ended(found: Spans, head: bytes) -> Spans:
    """Returns the same, of which none ends later than the header of a file that begins so says."""
    seconds = _seconds(head)
    return {index: span._replace(end=min(span.end, seconds)) for index, span in found.items()} if seconds else found


def _seconds(head: bytes) -> float | None:
    if not head.startswith(BEGIN):
        return None
    try:
        _, at = _number(head, len(BEGIN))
        samples, at = _number(head, at + CHECKSUM + VERSION)
        silent, at = _number(head, at)
        (told,) = struct.unpack_from("B", head, at)
    except (IndexError, struct.error):
        return None
    rate = RATES[told >> 5] if told >> 5 < len(RATES) else 0
    return (samples - silent) / rate if rate and samples > silent else None


def _number(head: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits to a byte, the last of which has no mark; and where it ends."""
    value = 0
    while True:
        value = value << 7 | head[at] & 0x7F
        at += 1
        if not head[at - 1] & 0x80:
            return value, at

"""Reads how a TIFF's picture is packed (TIFF 6.0, section 2): FFmpeg shows one packed as JPEG as black."""

from __future__ import annotations

import struct
from typing import BinaryIO, Literal

from daemon.media.media_file import MediaFile

FORMAT = "tiff_pipe"  # FFmpeg's name for it
COMPRESSION = 259  # the tag that tells of it
AS_JPEG = {6, 7}
ENTRY = 12  # bytes


def packed_as_jpeg(media_file: MediaFile) -> bool:
    """Tells whether the first picture is packed as JPEG; False where the file is too short to tell."""
    with media_file.open() as file:
        order: Literal["<", ">"] = "<" if file.read(2) == b"II" else ">"
        try:
            return _compression(file, order) in AS_JPEG
        except struct.error:
            return False


def _compression(file: BinaryIO, order: Literal["<", ">"]) -> int | None:
    file.seek(4)
    file.seek(*struct.unpack(f"{order}I", file.read(4)))
    (count,) = struct.unpack(f"{order}H", file.read(2))
    entries = struct.iter_unpack(f"{order}HHIHH", file.read(ENTRY * count))
    return next((value for tag, _, _, value, _ in entries if tag == COMPRESSION), None)

"""Reads all of a file to tell when its streams begin and end, once more where its clock jumps in a misleading way."""

from __future__ import annotations

from daemon.media import durations, musepack
from daemon.media.allowlist import FORWARD_JUMP
from daemon.media.jumps import taken_for
from daemon.media.media_file import MediaFile
from daemon.media.model import Media
from daemon.media.open_file import opened


def spans(file: MediaFile, media: Media, patience: float) -> durations.Spans | None:
    """Returns when each stream begins and ends; None when reading took more than `patience` seconds.

    Raises ProbeError.
    """
    found = _read(file, media, patience, FORWARD_JUMP)
    jump = taken_for(min(span.back for span in found.values())) if found else None
    return (_read(file, media, patience, jump) if jump else None) or found


def _read(file: MediaFile, media: Media, patience: float, jump: float) -> durations.Spans | None:
    with opened(file, media.format, read_on=media.begins_late) as container:
        found = durations.spans(container, media, patience, jump)
    return musepack.ended(found, file.head) if found and media.format == musepack.FORMAT else found

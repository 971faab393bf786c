"""Sorts what ended variations say into a few classes of reason, for figures: words are many, classes are bounded."""

from __future__ import annotations

from daemon.scheduling.claims import FORCED
from daemon.states import State

CLASSES = (  # by how the words begin
    (FORCED, "request"),
    ("ffmpeg could not", "encoder"),
    ("the encoder said", "proof"),
    ("the output", "proof"),
    ("the host refused", "host"),
    ("no machine", "host"),
    ("the daemon died", "crash"),
    ("an internal error", "fault"),
)


def reason(status: State, error: str | None, source_error: str | None) -> str:
    """Returns why a variation ended as it did, in a word; `source_error` is why its source cannot be read, if so."""
    if status == State.COMPLETED:
        return "done"
    if status == State.CANCELLED:
        return "request"
    if status == State.SKIPPED or error is None:
        return "unsuitable"
    if error == source_error:
        return "unreadable"
    return next((name for words, name in CLASSES if error.startswith(words)), "unsuitable")

"""Sorts what ended variations say into a few classes of reason, for figures: words are many, classes are bounded."""

from __future__ import annotations

from enum import StrEnum

from daemon.states import FORCED, UNFETCHED, State


class Reason(StrEnum):
    """A reason is a class of what variations end for."""

    DONE = "done"
    REQUEST = "request"  # somebody asked for that
    ENCODER = "encoder"  # it could not
    PROOF = "proof"  # what it made is not what was planned
    HOST = "host"  # it has not what the encoder needs
    CRASH = "crash"  # the daemon died of it
    FAULT = "fault"  # of ours
    UNFETCHED = "unfetched"  # the source: its URL does not bring it
    UNREADABLE = "unreadable"  # the source
    UNSUITABLE = "unsuitable"  # the preset, for that source


CLASSES = (  # by how the words begin
    (FORCED, Reason.REQUEST),
    ("ffmpeg could not", Reason.ENCODER),
    ("the encoder hung", Reason.ENCODER),
    ("the encoder said", Reason.PROOF),
    ("the output", Reason.PROOF),
    ("the host refused", Reason.HOST),
    ("no machine", Reason.HOST),
    ("the source changed", Reason.HOST),
    ("the source is truncated", Reason.UNREADABLE),
    ("the upload is no longer", Reason.UNREADABLE),
    ("the daemon died", Reason.CRASH),
    ("an internal error", Reason.FAULT),
)


def reason(status: State, error: str | None, source_error: str | None) -> Reason:
    """Returns why a variation ended as it did; `source_error` is why its source cannot be read, if so."""
    if status == State.COMPLETED:
        return Reason.DONE
    if status == State.CANCELLED:
        return Reason.REQUEST
    if status == State.SKIPPED or error is None:
        return Reason.UNSUITABLE
    if error == source_error:
        return Reason.UNFETCHED if UNFETCHED in error else Reason.UNREADABLE
    return next((name for words, name in CLASSES if error.startswith(words)), Reason.UNSUITABLE)

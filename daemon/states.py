"""Defines the states of a variation, the arrows between them, and how a job's state follows from its variations.

It is a leaf: it imports nothing of ours. `schema.sql` holds the same arrows as a trigger, and a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    QUEUED = "queued"  # waits for a slot
    PROCESSING = "processing"  # has a slot, and a live process but for the moments around it
    COMPLETED = "completed"  # proven, published; final
    FAILED = "failed"  # ended by its content or by force; may be retried
    CANCELLED = "cancelled"  # ended by request; may be retried
    SKIPPED = "skipped"  # its preset does not apply to its source, and that it be left out then was asked; final


class SourceStatus(StrEnum):
    """Is the state of a source: that which follows from its variations, unless it is still being fetched."""

    FETCHING = "fetching"  # from its URL; its variations are queued meanwhile
    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class FetchStatus(StrEnum):
    """Is the state of what fetches a source from its URL."""

    PENDING = "pending"  # to be fetched, or tried again
    FETCHED = "fetched"
    FAILED = "failed"  # given up
    CANCELLED = "cancelled"  # nothing waits for it any more


class Outcome(StrEnum):
    """An outcome says how much of an ended job came out, beside its state."""

    ALL = "all"  # but for what was skipped
    SOME = "some"
    NONE = "none"


class OnUnsuitable(StrEnum):
    """A job says what becomes of a variation whose preset does not apply to its source."""

    FAIL = "fail"
    SKIP = "skip"


class QueueState(StrEnum):
    """Is the state of the whole queue; it survives a restart."""

    RUNNING = "running"
    PAUSED = "paused"  # what runs is frozen, nothing is started
    DRAINING = "draining"  # what runs is finished, nothing is started


class MessageStatus(StrEnum):
    """Is the state of a webhook's message."""

    PENDING = "pending"  # to be sent, or sent again
    DELIVERED = "delivered"
    FAILED = "failed"  # given up; may be replayed
    DISABLED = "disabled"  # the receiver answered 410 to a message of this job; may be replayed


class DeliveryStatus(StrEnum):
    """Is the state of what a completed output is brought to its place by."""

    PENDING = "pending"  # to be brought, or tried again
    RUNNING = "running"
    DELIVERED = "delivered"
    FAILED = "failed"  # given up; may be retried


FORCED = "failed by request"  # what is told of a variation that somebody had fail
UNFETCHED = " could not be fetched: "  # in what is told of a source, behind its name
ENDED = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED, State.SKIPPED})
LIVE = frozenset({State.QUEUED, State.PROCESSING})

ARROWS = frozenset(
    {
        (State.QUEUED, State.PROCESSING),  # claimed
        (State.QUEUED, State.CANCELLED),  # cancelled before it began
        (State.QUEUED, State.FAILED),  # its source cannot be read
        (State.QUEUED, State.SKIPPED),  # nothing of the kind can be made of its source
        (State.PROCESSING, State.COMPLETED),  # proven and published
        (State.PROCESSING, State.FAILED),
        (State.PROCESSING, State.CANCELLED),
        (State.PROCESSING, State.QUEUED),  # the daemon stopped, or died
        (State.FAILED, State.QUEUED),  # retried
        (State.CANCELLED, State.QUEUED),  # retried
    }
)


_COUNTED = ENDED - {State.SKIPPED}


def outcome(counts: Mapping[State, int]) -> Outcome | None:
    """Tells how much came out of a job whose variations are counted by state; None while anything is to come."""
    if any(counts.get(state, 0) for state in LIVE):
        return None
    if not counts.get(State.COMPLETED, 0):
        return Outcome.NONE
    return Outcome.SOME if counts.get(State.FAILED, 0) or counts.get(State.CANCELLED, 0) else Outcome.ALL


def derive(counts: Mapping[State, int]) -> State:
    """Derives the state of a job or source whose variations are counted by state (at least one in all).

    It follows from those that are not skipped; where all are, nothing suited, and it is failed.
    """
    queued = counts.get(State.QUEUED, 0)
    if counts.get(State.PROCESSING, 0) or (queued and any(counts.get(state, 0) for state in _COUNTED)):
        return State.PROCESSING
    if queued:
        return State.QUEUED
    if counts.get(State.CANCELLED, 0):
        return State.CANCELLED
    return State.COMPLETED if counts.get(State.COMPLETED, 0) else State.FAILED

"""Defines what the verbs answer."""

from __future__ import annotations

from datetime import datetime

from daemon.models import Model, Stage
from daemon.states import State


class CancelReceipt(Model, frozen=True):
    """Tells what a cancel did, once no process of its scope is left and its partial files are gone."""

    id: str
    status: State
    changed: bool
    completed_variations: int
    total_variations: int
    cancel_requested_at: datetime | None
    cancelled_at: datetime | None
    bytes_freed: int
    stopped: tuple[StoppedVariation, ...]
    kept: tuple[KeptVariation, ...] = ()
    title: str = ""  # the source's or variation's name, or the job's; where that has none, its files'
    job: str = ""  # that it is of, and that a retry takes


class StoppedVariation(Model, frozen=True):
    variation: str
    stage: Stage
    seconds: float


class KeptVariation(Model, frozen=True):
    """Tells how much of a film is kept, so that a retry goes on with it, and the bytes that takes."""

    variation: str
    seconds: float
    bytes: int


class Changed(Model, frozen=True):
    """Answers a verb that ends nothing: where the job stands now, and whether this call changed it."""

    id: str
    status: State
    paused: bool
    changed: bool
    title: str = ""  # the source's or variation's name, or the job's; where that has none, its files'
    job: str = ""  # that it is of


class BulkReceipt(Model, frozen=True):
    """Tells what a bulk verb did: how many jobs it matched, and how many of them it changed."""

    matched: int
    changed: int


class RetryReceipt(BulkReceipt, frozen=True):
    variations: int  # that wait again

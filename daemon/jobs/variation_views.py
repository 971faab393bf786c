"""Shows a variation as the contract says: its row and what is live of it become a typed answer."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from daemon.encode import progress
from daemon.encode.stall import Pace, Standing
from daemon.encode.task import Progress
from daemon.jobs.delivery_views import DeliveryView
from daemon.models import Contents, Kept, LeftOut, Model, Parameters, when
from daemon.presets.builtin import FOLDER
from daemon.proof.quality import Quality
from daemon.states import ENDED, LIVE, State

if TYPE_CHECKING:  # a client that only reads answers need not load the database
    from daemon.database.store import Row


class Live(Protocol):
    """Knows what is known of running variations and stands in no row."""

    def progress(self, variation: str) -> Progress | None: ...

    def standing(self, variation: str) -> Standing | None: ...

    @property
    def shortage(self) -> str | None:
        """Says why nothing starts; None when something may."""
        ...

    def of_job(self, job: str) -> Iterable[tuple[Progress, float | None]]:
        """Yields the latest report on each running variation of the job, and the seconds its source lasts."""
        ...


class VariationView(Model, frozen=True):
    id: str
    name: str
    preset: str
    parameters: Parameters
    status: State
    progress: float | None
    speed: float | None
    eta_seconds: float | None
    bytes: int | None
    sha256: str | None
    attempts: int
    resumed_seconds: float | None  # of it that its last attempt found encoded already
    sharing: int | None  # how many were or are encoded in the same process, itself included; None: it never began
    error: str | None
    started_at: datetime | None
    finished_at: datetime | None
    output_seconds: float | None = None
    pace: Pace | None = None  # slow, finishing or hung; None while it gets on
    doing: str | msgspec.UnsetType = msgspec.UNSET  # what it does meanwhile, where it does not get on
    waiting: str | None = None  # why it does not start though it could; None: it waits for its turn
    sandbox: str | None = None  # what its last encode was shut in by, or `none`; None: it was never encoded
    quality: Quality | None = None  # how close it is to its source; None: not asked, or not completed
    kept: tuple[Kept, ...] | None = None  # of its source; None: not completed, or so by an older ffspool
    left_out: tuple[LeftOut, ...] | None = None  # the rest of its source; None as before
    begun_anew: str | None = None  # why its last attempt did not go on with what one before had encoded
    resumable: bool | msgspec.UnsetType = msgspec.UNSET  # true: some of it is encoded that may be gone on with
    delivery: DeliveryView | msgspec.UnsetType = msgspec.UNSET  # where that was asked; not told in webhooks
    work: float | msgspec.UnsetType = msgspec.UNSET  # in its job's progress; not told of very many, nor in webhooks
    folder: bool | msgspec.UnsetType = msgspec.UNSET  # of files, which is downloaded as a zip; not told in webhooks
    lost: bool | msgspec.UnsetType = msgspec.UNSET  # true: completed, and its file is gone from the disk unasked
    machine: str | msgspec.UnsetType = msgspec.UNSET  # of the cluster, that encoded it; not told of the daemon's host


class Over:
    """Stands for what ended, of which nothing is live."""

    shortage = None

    def progress(self, _: str) -> None:
        return None

    def standing(self, _: str) -> None:
        return None

    def of_job(self, _: str) -> tuple[()]:
        return ()


OVER = Over()


def variation_view(columns: Row | dict[str, Any], duration: float | None, live: Live) -> VariationView:
    """Returns a variation that lasts so many seconds (None: nobody knows), from its row or a copy of it."""
    row = by_name(columns)
    status = State(row["status"])
    in_hand: float | None = row.get("in_hand")
    seconds, speed = _where(status, live.progress(row["id"]), in_hand or 0.0)
    standing = live.standing(row["id"]) if status == State.PROCESSING else None
    contents = msgspec.json.decode(row["contents"], type=Contents) if row.get("contents") else None
    return VariationView(
        id=row["id"],
        name=row["name"],
        preset=row["preset"],
        parameters=msgspec.json.decode(row["parameters"]),
        status=status,
        progress=100.0 if status == State.COMPLETED else _percent(status, seconds, duration),
        speed=row["speed"] if status == State.COMPLETED else speed,
        eta_seconds=0.0 if status in ENDED else progress.eta(seconds, duration, speed),
        pace=standing.pace if standing else None,
        doing=standing.words if standing else msgspec.UNSET,
        bytes=row["bytes"],
        sha256=row["sha256"],
        output_seconds=row["output_seconds"],
        attempts=row["attempts"],
        waiting=_waiting(row, live) if status == State.QUEUED else None,
        sandbox=row["sandbox"],
        machine=row.get("machine") or msgspec.UNSET,
        resumed_seconds=row["resumed_seconds"],
        sharing=row["sharing"],
        error=row["error"],
        quality=msgspec.json.decode(row["quality"], type=Quality) if row["quality"] else None,
        kept=contents.kept if contents else None,
        left_out=contents.left_out if contents else None,
        begun_anew=row.get("begun_anew"),
        resumable=in_hand is not None or msgspec.UNSET,
        folder=msgspec.UNSET if row["extension"] is None else row["extension"] == FOLDER,
        lost=(row.get("lost_at") is not None and not row.get("dropped")) or msgspec.UNSET,
        started_at=when(row["started_at"]),
        finished_at=when(row["finished_at"]),
    )


def _waiting(row: dict[str, Any], live: Live) -> str | None:
    return "its source is being fetched" if row.get("unfetched") else row["waiting"] or live.shortage


def _where(status: State, report: Progress | None, in_hand: float) -> tuple[float, float | None]:
    """Output seconds written and speed; what has not begun anew is where it will go on, and what is over at 0."""
    if report and status == State.PROCESSING:
        return report.seconds, report.speed
    return (in_hand if status in LIVE else 0.0), None


def _percent(status: State, seconds: float, duration: float | None) -> float | None:
    if status != State.PROCESSING and not seconds:
        return 0.0
    percent = progress.percent(seconds, duration)
    return None if percent is None else round(percent, 1)


def ended_variation(copy: Any) -> VariationView:
    """Returns an ended variation, from its row or a copy of it."""
    return variation_view(copy, None, OVER)


def by_name(row: Row | dict[str, Any]) -> dict[str, Any]:
    """Returns the columns of a row by their names: a Row looks through all of these for each that is asked for."""
    return row if isinstance(row, dict) else dict(zip(row.keys(), row, strict=True))

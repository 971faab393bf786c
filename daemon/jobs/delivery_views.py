"""Shows where outputs are brought, and how far that is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from daemon.models import Destination, Model, when
from daemon.states import LIVE, DeliveryStatus, State

if TYPE_CHECKING:  # a client that only reads answers need not load the database
    from daemon.database.store import Row


class DeliveryView(Model, frozen=True):
    """Shows where an output is brought. `to` begins at the output root, and names the file once it is there; of a URL
    it is what may be shown."""

    status: DeliveryStatus
    to: str
    delivered_at: datetime | None = None
    kept: bool = False  # something else of that name was there, and stayed as was asked
    dropped: bool = False  # no copy of it is here any more, as was asked
    attempts: int = 0
    error: str | None = None  # what keeps or kept it from being delivered


class Deliveries(Model, frozen=True):
    """Counts the deliveries of what is completed of a job."""

    pending: int
    delivered: int
    failed: int


class BroughtVariation(Model, frozen=True):
    """Tells in a webhook what became of one delivery."""

    job: str
    source: str
    id: str
    name: str
    preset: str
    bytes: int
    sha256: str
    delivery: DeliveryView


class BroughtJob(Model, frozen=True):
    """Tells in a webhook that all deliveries of an ended job are settled."""

    id: str
    name: str | None
    status: State
    metadata: dict[str, Any]
    deliveries: Deliveries


def brought_variation(copy: Mapping[str, Any]) -> BroughtVariation:
    """Returns what became of a delivery, from the copy of its row that a message holds."""
    delivered = copy["status"] == DeliveryStatus.DELIVERED
    delivery = DeliveryView(
        status=DeliveryStatus(copy["status"]),
        to=copy["to"] or "",
        delivered_at=when(copy["settled_at"]) if delivered else None,
        kept=bool(copy["kept"]),
        attempts=copy["attempts"],
        error=copy["error"],
    )
    told = {name: copy[name] for name in ("job", "source", "id", "name", "preset", "bytes", "sha256")}
    return BroughtVariation(delivery=delivery, **told)


def brought_job(copy: Mapping[str, Any]) -> BroughtJob:
    """Returns what became of a job's deliveries, from the copy of its row that a message holds."""
    return BroughtJob(
        id=copy["id"],
        name=copy["name"],
        status=State(copy["status"]),
        metadata=msgspec.json.decode(copy["metadata"]),
        deliveries=Deliveries(pending=0, delivered=copy["delivered"], failed=copy["not_delivered"]),
    )


def counted(job: Mapping[str, Any]) -> Deliveries | None:
    """Returns the counts that a job's row holds; None where nothing of it is brought anywhere so far."""
    pending, delivered, failed = (job.get(name) or 0 for name in ("undelivered", "delivered", "not_delivered"))
    return Deliveries(pending=pending, delivered=delivered, failed=failed) if pending + delivered + failed else None


def delivery_view(variation: Row, row: Row | None) -> DeliveryView | msgspec.UnsetType:
    """Returns a variation's delivery, if there is one to be told of. Of what is still to be completed there is no row,
    and only told where it will be."""
    if variation["deliver"] is None or (row is None and variation["status"] not in LIVE):
        return msgspec.UNSET
    folder = msgspec.json.decode(variation["deliver"], type=Destination).below
    if row is None:
        return DeliveryView(status=DeliveryStatus.PENDING, to=folder)
    delivered = row["status"] == DeliveryStatus.DELIVERED
    return DeliveryView(
        status=DeliveryStatus(row["status"]),
        to=row["reached"] if delivered else folder,
        delivered_at=when(row["settled_at"]) if delivered else None,
        kept=bool(row["kept"]),
        dropped=bool(variation["dropped"]),
        attempts=row["attempts"],
        error=row["error"],
    )

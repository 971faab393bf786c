"""Tells what was completed for whom in which month, which is kept when jobs expire: nothing else is to be billed."""

from __future__ import annotations

from daemon.database.store import Row, Store
from daemon.models import Model

FIRST, LAST = "0000-00", "9999-99"


class UsageOfMonth(Model, frozen=True):
    """Counts what was completed in a month for a `token`; null: for the daemon's own, as of watched folders."""

    token: str | None
    month: str
    encodes: int
    output_seconds: float
    output_bytes: int
    cpu_seconds: float


async def by_month(
    store: Store, *, since: str | None, until: str | None, owner: str | None
) -> tuple[UsageOfMonth, ...]:
    """Returns the usage of an owner, or of all, in the months `since` one and `until` another; None: all there were."""
    bounds = {"since": since or FIRST, "until": until or LAST, "owner": owner}
    rows = await store.read(lambda t: t.all("usage_of_months", **bounds))
    return tuple(map(_shown, rows))


def _shown(row: Row) -> UsageOfMonth:
    return UsageOfMonth(
        token=row["owner"] or None,
        month=row["month"],
        encodes=row["encodes"],
        output_seconds=round(row["output_seconds"], 3),
        output_bytes=row["output_bytes"],
        cpu_seconds=round(row["cpu_seconds"], 3),
    )

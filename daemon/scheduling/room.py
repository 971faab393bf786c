"""Says how much room there is for encodes: on the disk, of what may be stored, and of what their token may store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

from daemon.models import Model
from daemon.scheduling import claims
from daemon.scheduling.resources import Resources
from daemon.scheduling.space import refusal
from daemon.scheduling.turns import Owner

MOST_AT_ONCE = 200  # variations that are recalled in one transaction


class Left(Model, frozen=True):
    """Holds bytes for one more encode; None: as many as the disk holds."""

    disk: int
    stored: int | None = None  # that may be stored besides
    own: int | None = None  # that its token may store besides

    def refusal(self, wanted: int) -> str | None:
        """Says why an encode of so many bytes has to wait; None when there is room for it."""
        return refusal(wanted, self.disk, self.stored, self.own)

    @property
    def most(self) -> int:
        return min(left for left in (self.disk, self.stored, self.own) if left is not None)


class Room:
    """Looks for room, and remembers how much of it those want that were set aside since there was too little."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._any_aside = True  # some may be, from before a restart
        self._least: dict[Owner, int] = {}  # bytes wanted by the smallest of what an owner has aside
        self._ended_one = False

    @property
    def is_wanted(self) -> bool:
        """Tells whether something is known to wait for it."""
        return bool(self._least)

    async def left(self) -> Left:
        """Returns what there is for anybody."""
        quota = self._resources.quota
        stored = await self._resources.store.read(quota.left) if quota.bounded else None
        return Left(disk=await asyncio.to_thread(self._resources.space.available), stored=stored)

    async def left_to(self, owner: Owner, left: Left) -> Left:
        """Returns what there is for an owner of what there is for anybody."""
        caller = self._resources.caller_of(owner)
        if caller.limits.max_stored_bytes is None:
            return left
        own = await self._resources.store.read(partial(self._resources.quota.own_left, caller=caller))
        return Left(disk=left.disk, stored=left.stored, own=own)

    async def set_aside(self, owner: Owner, wanted: Mapping[str, int], left: Left) -> set[str]:
        """Lets others pass those of an owner's variations which there is no room for, and returns them.

        They are told by the bytes they want.
        """
        waiting = {one: words for one, bytes_of_it in wanted.items() if (words := left.refusal(bytes_of_it))}
        if waiting:
            self._any_aside = True
            least = min(wanted[one] for one in waiting)
            self._least[owner] = min(least, self._least.get(owner, least))
            await self._resources.store.write(partial(claims.set_aside, waiting=waiting, now=self._resources.now()))
        return set(waiting)

    async def recall(self) -> None:
        """Gives what did not fit another chance once an encode has ended, or there is room for the smallest of it."""
        if self._any_aside and (self._ended_one or await self._any_fits()):
            self._any_aside = False
            self._least.clear()
            now = self._resources.now()
            await self._resources.store.write(lambda t: t.run("recall_aside", now=now, limit=MOST_AT_ONCE))
        self._ended_one = False

    def ended(self, *, crowded_out: bool) -> None:
        """Hears that an encode ended; one that was `crowded_out` by a full disk left no room."""
        self._any_aside |= crowded_out
        self._ended_one |= not crowded_out  # else it would be recalled to the same full disk at once

    async def _any_fits(self) -> bool:
        if not self._least:
            return False
        left = await self.left()
        for owner, least in list(self._least.items()):
            if (await self.left_to(owner, left)).refusal(least) is None:
                return True
        return False

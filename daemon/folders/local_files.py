"""Finds the files of a watched folder on this host; what is taken of them is read where it is."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from daemon.bounded_threads import Workers
from daemon.config_tables import Folder
from daemon.delivery import disk_mark, rules
from daemon.delivery.result_mark import Mark, marks_of
from daemon.delivery.structures import whole_of
from daemon.errors import Conflict, ProbeError, Unavailable
from daemon.folders import known_files, own_outputs
from daemon.folders.hints import Hints
from daemon.folders.origin import Ours, Refused, Taken, Unwritten
from daemon.folders.replacing import Unfit, lost, replacing
from daemon.folders.scan import Found, Walk
from daemon.folders.watched import key_of
from daemon.folders.writers import has_holes, is_written
from daemon.media.model import Media
from daemon.models import VariationRequest
from daemon.scheduling.resources import Resources
from daemon.scheduling.sources import NewSource

T = TypeVar("T")

NOT_REPLACED = "not replaced: "
STAYS = "not taken, since what is taken here is moved or deleted: "
HOLES = 100  # times as long as other files one that has holes is to be as it is
PATIENCE = 3.0  # seconds to find where a place lies


class LocalFiles:
    """Is the origin of the files of a folder on this host."""

    def __init__(
        self,
        folder: Folder,
        variations: tuple[VariationRequest, ...],
        hints: Hints,
        resources: Resources,
        scanning: Workers,
    ) -> None:
        self._folder = folder
        self._variations = variations
        self._hints = hints
        self._store = resources.store
        self._whereabouts = resources.whereabouts
        self._prober = resources.prober
        self._library = resources.library
        self._apart = resources.paths.state  # which is the daemon's own
        self._scanning = scanning
        self._reading = Workers("reading a file", most=1, patience=None)
        self._finding = Workers("finding a place", patience=PATIENCE)

    def walk(self) -> Walk:
        return Walk(self._folder, self._apart, self._hints.enter)

    def settle(self) -> None:
        self._hints.settle()

    async def own(self, files: Sequence[Found]) -> set[Found]:
        folder = await self._on_thread(partial(os.path.realpath, self._folder.path))
        places = await self._places()
        own = set(await self._store.read(partial(own_outputs.ours, folder, places, files)))
        return own | await self._in_own_folders(folder, [found for found in files if found not in own])

    async def _in_own_folders(self, folder: str, files: Sequence[Found]) -> set[Found]:
        """Those that lie in a folder which was delivered, whatever it is called by now."""
        ways = await self._on_thread(partial(own_outputs.folders_of, folder, files))
        if not (known := await self._store.read(partial(own_outputs.known_folders, ways.values()))):
            return set()
        own = await self._on_thread(partial(own_outputs.still_ours, folder, ways, known))
        return set(own_outputs.within(own, files))

    async def _places(self) -> Mapping[str, str]:
        """Where the places lie to which something was brought; of one that does not answer, as it is called."""
        places = {}
        for row in await self._store.read(lambda t: t.all("brought_places")):
            root = row["place"].partition(":")[2]
            try:
                places[row["place"]] = await self._finding.run(root, partial(os.path.realpath, root))
            except Unavailable:
                places[row["place"]] = root
        return places

    async def _marks_at(self, found: Found) -> Sequence[Mark]:
        folder = await self._on_thread(partial(os.path.realpath, self._folder.path))
        return await self._store.read(partial(own_outputs.marks_at, folder, await self._places(), found))

    async def take(self, found: Found) -> Taken | None:
        source = await self._whereabouts.find(str(self._folder.path / found.path))
        if key_of(source.identity) != key_of(found.identity) or await self._is_written(found.path):
            return None
        await self._refuse_holes(found.path)
        if self._folder.replace:
            await self._refuse_undone(found)
        marks = await self._on_thread(partial(marks_of, self._folder.path / found.path))
        if any(mark.bytes == source.bytes for mark in marks):
            raise Ours
        await self._refuse_part(found.path)
        disk = await self._disk(found.path, source) if self._folder.is_changed else None
        if self._folder.is_changed and disk is None:
            return None
        media = await self._read(found.path, source)
        if any(mark.plays(media) for mark in (*marks, *await self._marks_at(found))):
            raise Ours  # to which tags were written
        if error := self._flaw(media, source):
            raise Refused(error)
        return Taken(replace(source, media=media), await self._wanted(found.path, source, media, disk), disk)

    async def _refuse_undone(self, found: Found) -> None:
        if await self._store.read(partial(known_files.is_undone, self._folder.name, found)):
            put_back = "it was put back by `ffspool folders undo`: `retry` has it replaced again"
            raise Refused(f"{NOT_REPLACED}{put_back}")

    async def _disk(self, name: str, source: NewSource) -> str | None:
        """The mark of the disk that a file lies on, which is made if need be; None: it does not lie there any more."""
        keeping = partial(disk_mark.keep, self._folder.path, name, source.identity)
        return await self._reading.run("", keeping)

    def _flaw(self, media: Media, source: NewSource) -> str | None:
        flaw = rules.flaw(media, goes=self._folder.on_success == "delete")
        return flaw or rules.refusal(self._folder.when, media, source.bytes)

    async def _is_written(self, name: str) -> bool:
        try:
            return await self._on_thread(partial(is_written, self._folder.path / name))
        except OSError:
            return True  # it went meanwhile, or cannot be read now

    async def _refuse_holes(self, name: str) -> None:
        """Raises Unwritten. What stays as it is for long is taken, unless it is to go: disks may be copied sparsely."""
        patience = math.inf if self._folder.is_changed else HOLES * self._folder.stable_seconds
        with suppress(OSError):  # it went meanwhile, which is seen next
            if await self._on_thread(partial(has_holes, self._folder.path / name, patience)):
                raise Unwritten("parts of it were not written yet, as of a download that takes its room first")

    async def _refuse_part(self, name: str) -> None:
        """Raises Refused for what is to go and has parts beside it that are nothing without it."""
        if self._folder.on_success == "leave":
            return
        try:
            words = await self._reading.run("", partial(whole_of, self._folder.path / name))
        except OSError as error:
            raise Conflict(f"it cannot be read now: {error.strerror}") from error
        if words:
            raise Refused(f"{STAYS}{words}")

    async def _read(self, name: str, source: NewSource) -> Media:
        """What a file holds. Raises ProbeError, or as `find` does: where its disk went away that is no fault of it."""
        try:
            return await self._prober.probe(self._whereabouts.of_new(source, "", ""))
        except ProbeError as error:
            if (await self._whereabouts.find(str(self._folder.path / name))).identity != source.identity:
                raise Conflict("it was replaced, or its disk was, while it was read") from error
            raise

    async def _wanted(
        self, name: str, source: NewSource, media: Media, disk: str | None
    ) -> tuple[VariationRequest, ...]:
        """What is made of a file. Raises Refused where that may not take its place, as it is to."""
        if self._folder.replace is None:
            return self._variations
        [wanted] = self._library.expand(self._variations)
        try:
            if words := lost(wanted, self._library, media):
                raise Unfit(words)
            reading = partial(replacing, self._folder, name, source, wanted.extension, disk or "")
            wish = await self._reading.run("", reading)
        except Unfit as error:
            raise Refused(f"{NOT_REPLACED}{error}") from error
        except OSError as error:
            raise Conflict(f"it cannot be read now: {error.strerror}") from error
        return tuple(replace(one, deliver=wish) for one in self._variations)

    async def _on_thread(self, work: Callable[[], T]) -> T:
        return await self._scanning.run(self._folder.name, work)

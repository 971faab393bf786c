"""Makes thumbnails of sources and finished variations when first asked for, and keeps them in the job's folder."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from daemon.errors import Gone, ManifestError, NotFound, ProbeError, Unavailable, Unresponsive
from daemon.jobs.jobs import Jobs
from daemon.media.prober import Prober
from daemon.models import SourceFile
from daemon.paths import Paths
from daemon.presets.builtin import FOLDER
from daemon.proof import output_folder
from daemon.scheduling.sources import Whereabouts

AT_ONCE = 1  # made at a time of what lies in one place: encodes come first
MAX_REFUSED = 10_000  # files remembered as having no picture


class Thumbnails:
    """Makes thumbnails in the prober's process, one by one, and each once however many ask for it."""

    def __init__(self, jobs: Jobs, prober: Prober, paths: Paths, whereabouts: Whereabouts) -> None:
        self._jobs = jobs
        self._prober = prober
        self._paths = paths
        self._whereabouts = whereabouts
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(partial(asyncio.Semaphore, AT_ONCE))
        self._making: dict[Path, asyncio.Task[bytes]] = {}
        self._refused: dict[Path, str] = {}

    async def of_job(self, job: str) -> bytes:
        """Returns a WebP of the job's first source. Raises NotFound with the reason when there is none, or Gone."""
        source = await self._jobs.first_source(job)
        file, row = await self._jobs.source(job, source)
        draw = partial(self._of_source, file, row["name"])
        return await self._of(job, draw, self._paths.thumbnail(job, source), row["name"], file.root)

    async def of_variation(self, job: str, variation: str) -> bytes:
        """Returns a WebP of a completed variation. Raises as `of_job` does; there is none before it is completed."""
        path, row = await self._jobs.output(job, variation)
        place = self._paths.thumbnail(job, variation)
        draw = (
            partial(self._glimpse, path, place) if row["extension"] == FOLDER else partial(self._prober.picture, path)
        )
        return await self._of(job, draw, place, row["name"], str(self._paths.spool))

    async def _of(self, job: str, draw: Callable[[], Awaitable[bytes]], place: Path, name: str, disk: str) -> bytes:
        """Draws in the turn of the `disk` on which the file lies: one that does not answer holds up no other."""
        if reason := self._refused.get(place):
            raise NotFound(f"{name} has no thumbnail: {reason}")
        try:
            return await asyncio.to_thread(place.read_bytes)
        except FileNotFoundError:
            pass
        making = self._making.get(place)
        if making is None:
            making = self._making[place] = asyncio.create_task(self._make(job, draw, place, disk))
            making.add_done_callback(lambda _: self._making.pop(place, None))
        try:
            return await asyncio.shield(making)
        except Unresponsive as error:
            raise Unavailable(f"{name} has no thumbnail yet: {error}") from error
        except ProbeError as error:
            raise NotFound(f"{name} has no thumbnail: {error}") from error

    async def _make(self, job: str, draw: Callable[[], Awaitable[bytes]], place: Path, disk: str) -> bytes:
        try:
            async with self._turns[disk]:
                picture = await draw()
            await asyncio.to_thread(keep, place, picture)
        except Unresponsive:
            raise
        except ProbeError as error:
            self._refuse(place, str(error))
            raise
        finally:
            await self._take_back(job, place)
        return picture

    async def _take_back(self, job: str, place: Path) -> None:
        """Removes it if the job was deleted meanwhile: whoever removed its files may have been there before this one.

        A job that is deleted from here on has a file more that is removed with the others.
        """
        try:
            await self._jobs.check(job)
        except (NotFound, Gone):
            await asyncio.to_thread(_remove, place)

    async def _of_source(self, file: SourceFile, name: str) -> bytes:
        opened = await self._whereabouts.open(file, name)  # for its words alone: the reader opens it anew
        self._whereabouts.close(file, opened)
        return await self._prober.picture(file)

    async def _glimpse(self, folder: Path, place: Path) -> bytes:
        whole = place.with_suffix(".glimpse")
        try:
            await asyncio.to_thread(_glimpse, folder, whole)
            return await self._prober.picture(whole)
        except (ManifestError, OSError) as error:
            words = error.strerror if isinstance(error, OSError) else str(error)
            raise ProbeError(f"the folder cannot be read: {words}") from error
        finally:
            await asyncio.to_thread(whole.unlink, missing_ok=True)

    def _refuse(self, place: Path, reason: str) -> None:
        if len(self._refused) >= MAX_REFUSED:
            del self._refused[next(iter(self._refused))]
        self._refused[place] = reason


def _glimpse(folder: Path, whole: Path) -> None:
    whole.parent.mkdir(exist_ok=True)
    output_folder.glimpse(folder, whole)


def _remove(place: Path) -> None:
    place.unlink(missing_ok=True)
    with suppress(OSError):
        for emptied in (place.parent, place.parent.parent):
            emptied.rmdir()


def keep(place: Path, picture: bytes) -> None:
    """Keeps it whole or not at all. Where the job's folder is gone, so is the wish, and no folder is made; what cannot
    be written is made again."""
    draft = place.with_suffix(".draft")
    try:
        place.parent.mkdir(exist_ok=True)
        draft.write_bytes(picture)
        draft.rename(place)
    except OSError:
        draft.unlink(missing_ok=True)

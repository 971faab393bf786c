"""Tells what an upload holds, before anybody says what to make of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from daemon.database.store import Store
from daemon.errors import FfspoolError, ProbeError, UnsuitableSource
from daemon.jobs.media_view import MediaView, media_view
from daemon.jobs.resumable_uploads import Upload, finished_upload
from daemon.media.model import Media
from daemon.media.prober import Prober
from daemon.models import Model, SourceFile, VariationRequest
from daemon.paths import Paths
from daemon.presets.library import Library
from daemon.recipes import command

AT_ONCE = 2  # files that are read; the queue's own readers come first


class UploadContents(Model, frozen=True):
    """Tells what a file holds, and whether it is `whole`; or why it cannot be read.

    `unsuitable` tells by preset why nothing can be made of it with the parameters that are usual.
    """

    media: MediaView | None
    whole: bool
    error: str | None
    unsuitable: Mapping[str, str] = msgspec.field(default_factory=dict)


class UploadReader:
    """Reads uploads, each once: what was found is kept with the upload, and the job that takes it need not look."""

    def __init__(
        self, store: Store, prober: Prober, paths: Paths, library: Library, *, now: Callable[[], float] = time.time
    ) -> None:
        self._library = library
        self._store = store
        self._prober = prober
        self._paths = paths
        self._now = now
        self._permits = asyncio.Semaphore(AT_ONCE)

    async def read(self, upload: str) -> UploadContents:
        """Returns what the upload holds. Raises NotFound, Gone, UploadUnfinished or EmptyUpload, or Unavailable."""
        async with self._permits:
            found = await self._store.read(partial(finished_upload, self._paths, upload, self._now()))
            if found.media is None and found.unreadable is None:
                found = await self._look(found)
        media = msgspec.json.decode(found.media, type=Media) if found.media else None
        whole = media is not None and not media.cut_off and media.held is None
        if media is None:
            return UploadContents(media=None, whole=False, error=found.unreadable)
        unsuitable = await asyncio.to_thread(_unsuitable, media, self._library)
        return UploadContents(media=media_view(media), whole=whole, error=found.unreadable, unsuitable=unsuitable)

    async def _look(self, upload: Upload) -> Upload:
        place, size = self._paths.upload(upload.id), (upload.length, None, None, None)
        media = error = None
        try:
            found = await self._prober.probe(
                SourceFile(path=str(place), roots=(str(self._paths.spool),), identity=size)
            )
            media = msgspec.json.encode(found).decode()
        except ProbeError as problem:
            error = str(problem)
        await self._store.write(lambda t: t.run("record_upload", id=upload.id, media=media, unreadable=error))
        return msgspec.structs.replace(upload, media=media, unreadable=error)


def _unsuitable(media: Media, library: Library) -> dict[str, str]:
    found: dict[str, str] = {}
    for preset in library:
        try:
            wanted = library.expand([VariationRequest(preset.name, {"on_truncated": "keep"})])[0]
            command.prospect(media, preset.base, wanted.parameters)
        except (UnsuitableSource, ProbeError) as error:  # of the latter kind is what is lost of a file
            found[preset.name] = str(error)
        except FfspoolError:  # it has parameters that have to be given
            continue
    return found

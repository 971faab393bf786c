"""Names the files that `run` and `download` make by a template of the user's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import msgspec

from daemon.cli.folders import is_file
from daemon.errors import FfspoolError
from daemon.filenames import distinct, folders
from daemon.media.model import Media
from daemon.models import Parameters, Wanted
from daemon.name_template import KNOWN, NameTemplate, Words, day, label
from daemon.presets.library import Library
from daemon.recipes.naming import height_and_codec
from daemon.settings import Settings

IN_RUN = tuple(word for word in KNOWN if word != "job")  # there is none that anybody knows
READ_AT_ONCE = 4  # files


class Naming(NamedTuple):
    """Says how outputs of a run are named; `media` holds what those of the files have that had to be read for that."""

    template: NameTemplate
    library: Library
    media: Mapping[Path, Media]

    def names(self, files: Sequence[Path], called: Sequence[str], wanted: Sequence[Wanted]) -> list[tuple[str, ...]]:
        """Returns the names of each file's outputs, no two of them alike in all that is made of these files."""
        today = day(time.time())
        names = [
            self.template.name(
                Words(
                    stem=stem,
                    preset=want.label,
                    ext=want.extension,
                    source=name,
                    folder=file.absolute().parent.name,
                    date=today,
                    **_picture(self.media.get(file), self.library, want.preset, want.parameters),
                )
            )
            for file, name, stem in zip(files, called, folders(called), strict=True)
            for want in wanted
        ]
        told = iter(distinct(names))
        return [tuple(next(told) for _ in wanted) for _ in files]


def naming(text: str, files: Sequence[Path], settings: Settings, library: Library) -> Naming:
    """Returns how the files' outputs are named, once those were read whose names depend on that. Raises BadName."""
    template = NameTemplate(text, IN_RUN)
    return Naming(template, library, asyncio.run(_read(files, settings)) if template.reads else {})


async def _read(files: Sequence[Path], settings: Settings) -> dict[Path, Media]:
    """What cannot be read is left out: it is told when its turn comes."""
    from daemon.encode.sandbox_trial import promised
    from daemon.media.prober import Prober

    prober, permits, found = Prober(sandboxed=promised(settings.sandbox)), asyncio.Semaphore(READ_AT_ONCE), {}

    async def read(file: Path) -> None:
        async with permits:
            try:
                found[file] = await prober.probe(file.resolve())
            except FfspoolError:
                return

    try:
        await asyncio.gather(*(read(file) for file in files if is_file(file)))
    finally:
        await prober.close()
    return found


def _picture(media: Media | None, library: Library, preset: str, parameters: Parameters) -> dict[str, str]:
    """Words of the output's picture; none where its source or its preset is not known here."""
    try:
        told = height_and_codec(media, library.find(preset).base, parameters) if media else ("", "")
    except FfspoolError:
        told = "", ""
    return {"height": told[0], "codec": told[1]}


# Of a job of the daemon's


def downloaded(job: dict[str, Any], template: NameTemplate, library: Library) -> dict[str, str]:
    """Returns names for what is completed of the job, by variation, no two alike. Raises BadName."""
    stems = folders([source["name"] for source in job["sources"]])
    made = {
        entry["id"]: template.name(_words(job, source, stem, entry, template, library))
        for source, stem in zip(job["sources"], stems, strict=True)
        for entry in source["variations"]
        if entry["status"] == "completed"
    }
    return dict(zip(made, distinct(made.values()), strict=True))


def _words(
    job: dict[str, Any],
    source: dict[str, Any],
    stem: str,
    entry: dict[str, Any],
    template: NameTemplate,
    library: Library,
) -> Words:
    extension = "" if entry.get("folder") else PurePosixPath(entry["name"]).suffix.removeprefix(".")
    media = msgspec.convert(source["media"], Media) if source["media"] and template.reads else None
    return Words(
        stem=stem,
        preset=label(entry["name"], stem, entry["preset"], extension),
        ext=extension,
        source=source["name"],
        job=job["name"] or job["id"],
        date=day(datetime.fromisoformat(job["created_at"]).timestamp()),
        **_picture(media, library, entry["preset"], entry["parameters"]),
    )

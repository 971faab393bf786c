"""Makes of a row of the queue what is to be brought, and the name it is to have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import msgspec
from msgspec.structs import replace

from daemon.database.store import Row
from daemon.delivery import terms
from daemon.delivery.place import Parcel
from daemon.delivery.result_mark import Mark
from daemon.errors import Undelivered, UnknownPreset
from daemon.media.model import Media
from daemon.models import Contents, Deliver, Destination, Replacing
from daemon.name_template import READ, WORD, NameTemplate, Words, day, label
from daemon.paths import Paths
from daemon.presets.library import Library
from daemon.proof.quality import Quality
from daemon.recipes.naming import height_and_codec


def parcel_of(row: Row, paths: Paths, library: Library) -> Parcel:
    """Returns what a delivery brings. Raises BadName for a template that is none any more.

    Raises Undelivered for what does not take the place of its original, since it is not as that has to be.
    """
    destination = msgspec.json.decode(row["wanted"], type=Destination)
    if destination.replaces:
        _refuse_unfit(destination.replaces, row)
    return replace(
        bound(row, library, destination),
        id=row["id"],
        owner=row["owner"],
        output=paths.output(row["job"], row["variation"], row["extension"]),
        bytes=row["bytes"],
        sha256=row["sha256"],
        modified=_modified(destination, row),
        source=row["path"] or str(paths.source(row["job"], row["source_id"])),
        source_key=(row["source_bytes"], row["modified"], row["inode"]) if row["path"] and row["modified"] else None,
        mark=_mark(row, library),
        quality=_quality(row),
        media=msgspec.json.decode(row["media"], type=Media) if destination.replaces and row["media"] else None,
    )


def bound(row: Mapping[str, Any] | Row, library: Library, destination: Destination) -> Parcel:
    """Returns how an output that may still be to be made will be called where it is brought to.

    Where nobody knows yet what its source holds, words that tell of that are its alone.
    """
    template = destination.wish.name
    words = _words(row, destination.wish, library) if template or destination.wish.scheme else None
    name = NameTemplate(template).name(words) if template and words else row["name"]
    return Parcel(id="", destination=destination, name=name, words=words)


def _mark(row: Row, library: Library) -> Mark:
    codec = _height_and_codec(row, library)[1] if row["media"] else ""
    return Mark(by=row["id"], bytes=row["bytes"], seconds=row["output_seconds"], codec=codec)


def _modified(destination: Destination, row: Row) -> int | None:
    """How old the output is to look."""
    if destination.replaces:
        return destination.replaces.modified
    return row["modified"] if destination.wish.mtime else None


def _refuse_unfit(wish: Replacing, row: Row) -> None:
    contents = msgspec.json.decode(row["contents"], type=Contents) if row["contents"] else None
    if words := terms.refusal(wish, row["bytes"], _quality(row), contents):
        raise Undelivered(words, final=True)


def _quality(row: Row) -> Quality | None:
    return msgspec.json.decode(row["quality"], type=Quality) if row["quality"] else None


def _words(row: Mapping[str, Any] | Row, wish: Deliver, library: Library) -> Words:
    told = {*WORD.findall(f"{wish.url or ''}{wish.name or ''}")}
    height, codec = ("", "") if READ.isdisjoint(told) else _height_and_codec(row, library)
    return Words(
        stem=row["stem"],
        preset=label(row["name"], row["stem"], row["preset"], row["extension"]),
        ext=row["extension"],
        source=row["source"],
        job=row["job_name"] or row["job"],
        folder=PurePosixPath(row["path"]).parent.name if row["path"] else "",
        date=day(row["created_at"]),
        height=height,
        codec=codec,
    )


def _height_and_codec(row: Mapping[str, Any] | Row, library: Library) -> tuple[str, str]:
    """Tells what was made; empty where the user's own preset is gone by now."""
    if row["media"] is None:
        return f"? {row['name']}", f"? {row['name']}"
    try:
        base = library.find(row["preset"]).base
    except UnknownPreset:
        return "", ""
    media = msgspec.json.decode(row["media"], type=Media)
    return height_and_codec(media, base, msgspec.json.decode(row["parameters"]))

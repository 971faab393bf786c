"""Makes of a row of the queue what is to be brought, and the name it is to have."""

from __future__ import annotations

from pathlib import PurePosixPath

import msgspec

from daemon.database.store import Row
from daemon.delivery.place import Parcel
from daemon.errors import UnknownPreset
from daemon.media.model import Media
from daemon.models import Destination
from daemon.name_template import NameTemplate, Words, day, label
from daemon.paths import Paths
from daemon.presets.library import Library
from daemon.recipes.naming import height_and_codec


def parcel_of(row: Row, paths: Paths, library: Library) -> Parcel:
    """Returns what a delivery brings. Raises BadName for a template that is none any more."""
    destination = msgspec.json.decode(row["wanted"], type=Destination)
    template = destination.wish.name
    return Parcel(
        id=row["id"],
        destination=destination,
        name=NameTemplate(template).name(_words(row, library)) if template else row["name"],
        output=paths.output(row["job"], row["variation"], row["extension"]),
        bytes=row["bytes"],
        sha256=row["sha256"],
        modified=row["modified"] if destination.wish.mtime else None,
    )


def _words(row: Row, library: Library) -> Words:
    height, codec = _height_and_codec(row, library)
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


def _height_and_codec(row: Row, library: Library) -> tuple[str, str]:
    """Tells what was made; empty where the user's own preset is gone by now."""
    try:
        base = library.find(row["preset"]).base
    except UnknownPreset:
        return "", ""
    media = msgspec.json.decode(row["media"], type=Media)
    return height_and_codec(media, base, msgspec.json.decode(row["parameters"]))

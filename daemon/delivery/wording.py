"""Makes of a row of the queue what is to be brought, and the name it is to have."""

from __future__ import annotations

from pathlib import PurePosixPath

import msgspec

from daemon.database.store import Row
from daemon.delivery.place import Parcel
from daemon.media.model import Media
from daemon.models import Destination
from daemon.name_template import NameTemplate, Words, day
from daemon.paths import Paths


def parcel_of(row: Row, paths: Paths) -> Parcel:
    """Returns what a delivery brings. Raises BadName for a template that is none any more."""
    destination = msgspec.json.decode(row["wanted"], type=Destination)
    template = destination.wish.name
    return Parcel(
        id=row["id"],
        destination=destination,
        name=NameTemplate(template).name(_words(row)) if template else row["name"],
        output=paths.output(row["job"], row["variation"], row["extension"]),
        bytes=row["bytes"],
        sha256=row["sha256"],
        modified=row["modified"] if destination.wish.mtime else None,
    )


def _words(row: Row) -> Words:
    media = msgspec.json.decode(row["media"], type=Media) if row["media"] else None
    picture = media.video if media else None
    seen_or_heard = picture or (media.audio[0] if media and media.audio else None)
    return Words(
        stem=row["stem"],
        preset=_label(row),
        ext=row["extension"],
        source=row["source"],
        job=row["job_name"] or row["job"],
        folder=PurePosixPath(row["path"]).parent.name if row["path"] else "",
        date=day(row["created_at"]),
        height=str(picture.height) if picture else "",
        codec=seen_or_heard.codec if seen_or_heard else "",
    )


def _label(row: Row) -> str:
    """The preset, with the number that tells it from others of the same in its job, as the output's name has it."""
    ending = f".{row['extension']}" if row["extension"] else ""
    beginning, own = f"{row['stem']}_", str(row["name"]).removesuffix(ending)
    return own.removeprefix(beginning) if own.startswith(beginning + row["preset"]) else str(row["preset"])

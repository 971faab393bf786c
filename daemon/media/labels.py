"""Reads what a file tells about itself as a whole: when, where and by what it was recorded, and its tags."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from av.container import InputContainer
from av.stream import Stream

from daemon.media.model import APPLE

MOST_TAGS = 200
MOST_TOLD = 200  # characters
MOST_OF_TRACK, MOST_OF_NAME = 50, 60  # tags of one, and characters of their names
MOMENT = re.compile(r"(?:1[89]|20)\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?")
CLOCK = re.compile(r"(\d\d)[:.-](\d\d)[:.-](\d\d)")  # as recorders tell it in WAV (`bext`), beside a day
MOMENTS = ("creation_time", f"{APPLE}creationdate", "date")  # names under which it is told, the best first
DAY = re.compile(r"\d{4}-\d\d-\d\d")
NEVER = ("1970-01-01T00:00:00", "1904-01-01T00:00:00")  # where clocks begin: what says so knows of no moment
PLACE = re.compile(r"[+-]\d+(?:\.\d+)?[+-]\d+(?:\.\d+)?.*")  # two numbers at least: latitude and longitude
PLACES = ("location", f"{APPLE}location.iso6709", "location-eng")
# What containers and muxers write of themselves.
TECHNICAL = {
    *("encoder", "creation_time", "major_brand", "minor_version", "compatible_brands", "duration", "language"),
    *("handler_name", "vendor_id", "itunsmpb", "wm/mediafoundationversion", "deviceconformancetemplate", "isvbr"),
    *("variant_bitrate", "metadatacreator", "hasaudio", "hasvideo", "hasmetadata", "canseektoend", "timecode"),
    *("encoding_tool", "company_name", "product_name", "product_version"),  # the last three FFmpeg copies to nothing
}
OF_RECORDING = {*PLACES, "make", "model", f"{APPLE}make", f"{APPLE}model"}


# What tools count for Matroska, in a language or without: of another encode or another cut it is not true.
STATISTICS = re.compile(r"(?:BPS|DURATION|NUMBER_OF_(?:FRAMES|BYTES)|_STATISTICS_\w+)(?:-\w+)?", re.IGNORECASE)
OF_TRACKS = {"title", "name", "alpha_mode", "stereo_mode", "rotate", "id", "filename", "mimetype", "timecode"}


def told(container: InputContainer) -> dict[str, str]:
    """Returns what is told about the whole, by name in lower case: Ogg has it in its first stream."""
    of_all = container.metadata or (
        container.streams[0].metadata if container.format.name == "ogg" and len(container.streams) else {}
    )
    return {name.lower(): value.strip() for name, value in of_all.items() if value.strip()}


def timecode(told: dict[str, str]) -> str | None:
    """Returns the hours, minutes, seconds and frames at which it begins, by the clock of who recorded it."""
    return next((said[:MOST_OF_NAME] for name, said in told.items() if name.lower() == "timecode" and said), None)


def created(told: dict[str, str]) -> str | None:
    """Returns the moment it was recorded at; None where nothing that is said is a moment."""
    if time := _of_day(told):
        return f"{told['date']}T{time}"
    name = _telling(told)
    return told[name] if name else None


def _telling(told: dict[str, str]) -> str | None:
    """The name under which the moment is told."""
    return next((name for name in MOMENTS if _is_moment(told.get(name, ""))), None)


def _is_moment(said: str) -> bool:
    """Whether there ever was that day and that hour."""
    return MOMENT.fullmatch(said) is not None and not said.startswith(NEVER) and _is_in_calendars(said)


def _is_in_calendars(said: str) -> bool:
    try:
        datetime.fromisoformat(said[:19])
    except ValueError:
        return False
    return True


def _of_day(told: dict[str, str]) -> str | None:
    """The time of day, where FFmpeg tells it and the day apart."""
    found = CLOCK.fullmatch(told.get("creation_time", "")) if DAY.fullmatch(told.get("date", "")) else None
    return ":".join(found.groups()) if found else None


def place(told: dict[str, str]) -> str | None:
    """Returns where it was recorded (ISO 6709); None where nothing that is said is a place."""
    return next((said[:MOST_TOLD] for name in PLACES if PLACE.fullmatch(said := told.get(name, ""))), None)


def device(told: dict[str, str]) -> tuple[str, str]:
    """Returns make and model of what recorded it, in whose place nothing stands where it is not said."""
    make, model = ((told.get(key) or told.get(f"{APPLE}{key}") or "")[:MOST_TOLD] for key in ("make", "model"))
    return make, model


def tags(told: dict[str, str]) -> tuple[str, ...]:
    """Lists the names of all the rest."""
    return tuple(_rest(told))[:MOST_TAGS]


def _rest(told: dict[str, str]) -> Iterator[str]:
    for name in sorted(told):
        of_day = name in {"date", MOMENTS[0]} and _of_day(told)
        moment = name == _telling(told) or of_day or (name in MOMENTS and told[name].startswith(NEVER))
        if name not in TECHNICAL.difference(MOMENTS) | OF_RECORDING and not moment:
            yield name[:MOST_TOLD]


def of_track(stream: Stream) -> tuple[str, ...]:
    """Lists the names of what its track tells beside its language and its name. Those of Ogg are the whole's."""
    if stream.container.format.name == "ogg":
        return ()
    told = {name.lower() for name, said in stream.metadata.items() if said.strip() and not STATISTICS.fullmatch(name)}
    return tuple(name[:MOST_OF_NAME] for name in sorted(told - TECHNICAL - OF_TRACKS))[:MOST_OF_TRACK]


def statistics(container: InputContainer) -> tuple[str, ...]:
    """Lists the names of what tools counted of any track."""
    names = {name for stream in container.streams for name in stream.metadata if STATISTICS.fullmatch(name)}
    return tuple(sorted(name[:MOST_OF_NAME] for name in names))[:MOST_OF_TRACK]

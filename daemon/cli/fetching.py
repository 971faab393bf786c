"""Reads sources by URL as they are written on the command line, and tells how much of one is here."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import click

from daemon.errors import InvalidRequest

if TYPE_CHECKING:
    from daemon.jobs.views import SourceView

SCHEMES = ("http://", "https://", "s3://", "gs://", "az://")
NEARLY = re.compile(r"(?:(https?|s3|gs|az):/?(?=[^/]))?((?:(?<=[:/])|www\.).+)")  # what is a URL but for a slip
URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class FileOrUrl(click.Path):
    """Takes a path, or a URL as it stands: in that, two slashes are no slip."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if is_url(value):
            return value
        if found := URL.match(str(value)):
            known = "http:// and https:// are, and s3://, gs:// and az:// of the daemon's buckets"
            self.fail(f"{found[0]}… is not fetched: only {known}", param, ctx)
        if (found := NEARLY.match(str(value))) and not os.path.lexists(value):
            scheme, rest = found.groups()
            self.fail(f"there is no file {value}: did you mean {scheme or 'https'}://{rest}?", param, ctx)
        return super().convert(value, param, ctx)


class LocalFile(click.Path):
    """Takes a path, and says so to whoever gives a URL."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if found := URL.match(str(value)):
            words = f"{found[0]}… is a URL, and only files that are here are taken"
            self.fail(f"{words}: `ffspool submit` has a daemon fetch it" if is_url(value) else words, param, ctx)
        return super().convert(value, param, ctx)


def is_url(named: object) -> bool:
    return isinstance(named, str) and named.lower().startswith(SCHEMES)


def headers_of(given: Sequence[str]) -> dict[str, str]:
    """Reads `Name: value`, or the lines of a file where it is `@FILE`: what is an argument, others see in a list of
    processes. Raises InvalidRequest, or OSError for a file that cannot be read."""
    lines = [line for one in given for line in (_lines(one[1:]) if one.startswith("@") else [one])]
    found = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise InvalidRequest("a --header is `Name: value`, or @FILE with a line of these for each")
        found[name.strip()] = value.strip()
    return found


def _lines(file: str) -> list[str]:
    return [line for line in Path(file).read_text().splitlines() if line.strip()]


def name_of(named: Path | str) -> str:
    """Returns what a file is called; of a URL no more than the last of its path, or its host."""
    if isinstance(named, Path):
        return named.name
    parts = urlsplit(named)
    return PurePosixPath(unquote(parts.path)).name or parts.hostname or ""


def share(source: SourceView) -> float | None:
    """Returns how much of a source is fetched, of 100; None where its host does not say how much it is."""
    come = source.bytes_fetched or 0
    return 100 * come / source.bytes if source.bytes > come or source.status != "fetching" else None

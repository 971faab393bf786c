"""Reads an output that is a folder of files: its size, its SHA-256, its way into a zip and out of one.

Its bytes are those of all its files. Its SHA-256 is that of the list of them that `sha256sum` prints: a line
`{sha256}  {path}` for each, sorted by path. So whoever has unpacked it can tell that it is whole:

    find . -type f -printf '%P
' | LC_ALL=C sort | xargs sha256sum | sha256sum
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from typing import NamedTuple

from daemon.errors import BadName, Broken, ManifestError
from daemon.filenames import check
from daemon.paths import fsync_folder, fsync_output
from daemon.recipes import streaming_manifests
from daemon.recipes.recipe import SPRITES_INDEX, SPRITES_SHEET
from daemon.recipes.streaming_manifests import MASTERS, Rate, Rendition

OF_OURS = frozenset({".m3u8", ".mpd", ".m4s", ".mp4", ".vtt", ".jpg", ".ts"})  # extensions of what is in one
SHEET = re.compile(SPRITES_SHEET.replace("%03d", r"\d{3,}"))
MAX_DEPTH = 4
MAX_MANIFEST = 16 * 1024**2  # bytes: of 100,000 segments it has less


def members(folder: Path) -> list[tuple[str, Path]]:
    """Lists (name below the folder, file) of all in it, sorted by name. What a link leads to is not in it."""
    found = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return sorted((path.relative_to(folder).as_posix(), path) for path in found)


def member(folder: Path, name: str) -> Path | None:
    """Returns the file that `members` gives that name; None for any other name, wherever it may lead."""
    try:
        parts = [check(part) for part in name.split("/")]
    except BadName:
        return None
    path = folder.resolve().joinpath(*parts)
    return path if len(parts) <= MAX_DEPTH and path.is_file() and path.resolve() == path else None


class Listing(NamedTuple):
    """Holds what the manifests of a ladder say is in its folder, by name below that."""

    renditions: list[Rendition]
    manifests: list[str]

    @property
    def files(self) -> set[str]:
        return {*self.manifests, *(name for rendition in self.renditions for name in rendition.names)}


def listing(folder: Path, container: str) -> Listing:
    """Reads the manifests of a ladder. Raises ManifestError, or OSError where one is not there.

    They were written in a sandbox, by who knows whom: what is read and kept of them has bounds, and each file is
    named once, since renditions are copied to be looked at.
    """
    master = MASTERS[container]
    text = _text(folder / master)
    if container == "dash":
        found = Listing(streaming_manifests.representations(text), [master])
    else:
        listed = streaming_manifests.playlists(text)
        languages = streaming_manifests.languages(text)
        renditions = (
            streaming_manifests.playlist(_text(folder / name), str(Path(name).parent))._replace(
                language=languages.get(name)
            )
            for name in listed
        )
        found = Listing(streaming_manifests.bounded(renditions), [master, *listed])
    if len(found.files) < len(found.manifests) + sum(len(rendition.names) for rendition in found.renditions):
        raise ManifestError("the manifest names a file more than once")
    return found


def strange(folder: Path) -> str | None:
    """Returns a file of the folder that would not be in it if all of that were one output, by what its manifest names;
    None: there is none. Raises OSError."""
    names = {name for name, _ in members(folder)}
    return min(names - _told(folder, names), default=None)


def _told(folder: Path, names: Set[str]) -> Set[str]:
    if SPRITES_INDEX in names:
        return {SPRITES_INDEX} | {name for name in names if SHEET.fullmatch(name)}
    container = next((container for container, master in MASTERS.items() if master in names), None)
    try:
        return listing(folder, container).files if container else set()
    except ManifestError:
        return set()


def tell_rates(folder: Path) -> None:
    """Writes into the master playlist of an HLS ladder what its variants take. Raises ManifestError or OSError."""
    master = folder / MASTERS["hls"]
    text = _text(master)
    rates = {name: _rate(folder, name) for name in streaming_manifests.playlists(text)}
    master.write_text(streaming_manifests.with_rates(text, rates))


def _rate(folder: Path, name: str) -> Rate:
    text = _text(folder / name)
    _, *segments = streaming_manifests.playlist(text, str(Path(name).parent)).names
    return streaming_manifests.rate(text, [(folder / segment).stat().st_size for segment in segments])


def _text(path: Path) -> str:
    with path.open("rb") as file:
        text = file.read(MAX_MANIFEST + 1)
    if len(text) > MAX_MANIFEST:
        raise ManifestError(f"{path.name} is larger than any manifest of ours")
    return text.decode(errors="replace")


def glimpse(folder: Path, place: Path) -> None:
    """Writes one file to `place` that shows a picture of it: the beginning of its best rendition, or its first picture.

    Raises ManifestError or OSError.
    """
    container = next((container for container, master in MASTERS.items() if (folder / master).exists()), None)
    if container is not None:
        join(place, (folder / name for name in listing(folder, container).renditions[0].names[:2]))
    elif pictures := sorted(folder.glob("*.jpg")):
        join(place, pictures[:1])
    else:
        raise ManifestError("it holds no picture")


def join(whole: Path, parts: Iterable[Path]) -> None:
    """Writes the files into one, one after the other: what a player gets of a rendition."""
    with whole.open("wb") as file:
        for part in parts:
            with part.open("rb") as segment:
                shutil.copyfileobj(segment, file)


def sealed(folder: Path) -> tuple[int, str]:
    """Makes all of it durable; returns its bytes and its SHA-256. Blocks; run it in a thread."""
    bytes_, digest = _summed(folder, durably=True)
    for path in (*(path for path in folder.rglob("*") if path.is_dir()), folder):
        fsync_folder(path)
    return bytes_, digest


def digest(folder: Path) -> str:
    """Returns its SHA-256, as 64 hexadecimal digits."""
    return _summed(folder, durably=False)[1]


def _summed(folder: Path, *, durably: bool) -> tuple[int, str]:
    total, digests = 0, hashlib.sha256()
    for name, path in members(folder):
        with path.open("rb") as file:
            one = hashlib.file_digest(file, "sha256").hexdigest()
            if durably:
                fsync_output(file.fileno())
            total += os.fstat(file.fileno()).st_size
        digests.update(line(one, name))
    return total, digests.hexdigest()


def line(sha256: str, name: str) -> bytes:
    """Returns what stands for a file in that of which the folder's SHA-256 is made."""
    return f"{sha256}  {name}\n".encode()


def unpack(archive: Path, folder: Path, sha256: str | None) -> int:
    """Lays out a zip of such a folder, below `folder`, which must not exist. Returns the bytes of its files.

    Raises Broken when it holds names that lead elsewhere, or does not have that SHA-256; nothing is left then.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            for name in _names(packed):
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(name) as source, target.open("xb") as file:
                    shutil.copyfileobj(source, file)
        total, found = _summed(folder, durably=False)
        if sha256 is not None and found != sha256:
            raise Broken(f"{folder.name} arrived damaged: its SHA-256 is not the job's. Download it again")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return total


def _names(packed: zipfile.ZipFile) -> Iterator[str]:
    for entry in packed.infolist():
        parts = entry.filename.split("/")
        if len(parts) > MAX_DEPTH:
            raise Broken(f"the zip holds {entry.filename!r}, which lies too deep for a folder of ours")
        for part in parts:
            check(part)
        if entry.compress_type != zipfile.ZIP_STORED:  # it may come to any size
            raise Broken(f"the zip holds {entry.filename!r} compressed, as none of ffspool's does")
        yield entry.filename

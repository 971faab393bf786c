"""Reads outputs as they lie in the spool, a file or a folder of files. Nothing of the daemon is imported."""

from __future__ import annotations

import hashlib
import io
import zipfile
from contextlib import suppress
from functools import cache
from pathlib import Path

Status = tuple[int, int, int]


def files(path: Path) -> list[Path]:
    return sorted(found for found in path.rglob("*") if found.is_file()) if path.is_dir() else [path]


def size(path: Path) -> int | None:
    """Of all its files; None where it is not there."""
    try:
        return sum(file.stat().st_size for file in files(path))
    except FileNotFoundError:
        return None


def sha256(path: Path) -> str | None:
    """Of a folder that of the list of its files which `sha256sum` prints; None where it is not there."""
    if not path.is_dir():
        return _sha256(path)
    return _of_list({file.relative_to(path).as_posix(): _sha256(file) for file in files(path)})


def sha256_of_download(content: bytes, *, folder: bool) -> str:
    if not folder:
        return hashlib.sha256(content).hexdigest()
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        return _of_list({name: hashlib.sha256(packed.read(name)).hexdigest() for name in packed.namelist()})


def _of_list(digests: dict[str, str | None]) -> str:
    listed = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
    return hashlib.sha256(listed.encode()).hexdigest()


def _sha256(path: Path) -> str | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return _sha256_of(path, (status.st_ino, status.st_size, status.st_mtime_ns))


@cache
def _sha256_of(path: Path, _: Status) -> str | None:
    with suppress(FileNotFoundError), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return None

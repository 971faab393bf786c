"""Prepares the folder in which an encoder runs, and keeps its log."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from daemon.recipes.command import Pass


def furnish(folder: Path, one: Pass) -> None:
    """Makes what must be there before a pass starts."""
    for name in one.folders:
        (folder / name).mkdir(exist_ok=True)
    for name, text in one.files.items():
        (folder / name).write_text(text)


def link(path: Path, target: str) -> None:
    """Has that link lead to `target`. One that does is left: an encoder of another span may be about to follow it."""
    if path.is_symlink() and str(path.readlink()) == target:
        return
    path.unlink(missing_ok=True)
    with suppress(FileExistsError):
        path.symlink_to(target)


def append(log: Path, data: bytes) -> None:
    """Adds to a log, with nothing held back."""
    with log.open("ab", buffering=0) as file:
        file.write(data)

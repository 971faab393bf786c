"""Finds the daemon of a state dir by the files that it keeps there."""

from __future__ import annotations

from pathlib import Path

from daemon.paths import Paths, is_held


def address(state_dir: Path) -> str | None:
    """Returns its URL; None where none runs."""
    paths = Paths(state_dir)
    return _content(paths.address) if is_held(paths.lock) else None  # a killed daemon leaves it behind


def token(state_dir: Path) -> str | None:
    """Returns its own token; None where there is none, or none for us to read."""
    return _content(Paths(state_dir).token)


def _content(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return None

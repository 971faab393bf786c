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


def log_file(state_dir: Path) -> str | None:
    """Returns where the daemon of this user that runs there writes its log: a file or a terminal. None where none runs,
    or its log goes to a journal or another program, or another user's daemon it is."""
    lock = Paths(state_dir).lock
    pid = _content(lock) if is_held(lock) else None
    try:
        place = str(Path(f"/proc/{pid}/fd/2").readlink()) if pid else ""
    except OSError:
        return None
    return place if place.startswith("/") else None


def _content(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return None

"""One file or folder that cannot be looked at keeps no other of a watched folder back, and is told."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.config_tables import Folder
from daemon.folders.scan import Walk

NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    """Has this thread's looks at files be another user's: root may read all."""
    libc = ctypes.CDLL(None)
    if os.geteuid() == 0:
        libc.setfsuid(NOBODY)
    try:
        yield
    finally:
        libc.setfsuid(os.geteuid())


def test_what_cannot_be_looked_at_is_told_and_the_rest_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked, closed = (0o744, 0o700) if os.geteuid() == 0 else (0o444, 0)
    modes = {"a locked": locked, "b closed": closed, "c": 0o755}
    for name, mode in modes.items():
        (tmp_path / name / "within").mkdir(parents=True)
        (tmp_path / name / "film.mkv").write_bytes(b"film")
        (tmp_path / name / "within" / "film.mkv").write_bytes(b"film")
        (tmp_path / name).chmod(mode)
    (tmp_path / "film.mkv").write_bytes(b"film")
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)  # to which the way is closed to others
    walk = Walk(Folder(name="x", path=Path(), variations=(), recursive=True), tmp_path / "state", lambda *_: None)
    with as_nobody():
        found = walk.next(100) or []
    for name in modes:
        (tmp_path / name).chmod(0o755)
    assert {one.path for one in found} == {"film.mkv", "c/film.mkv", "c/within/film.mkv"}
    flaw = walk.flaw or ""
    assert flaw.startswith("3 of the files and folders in it cannot be read, such as ")
    assert flaw.endswith(" (Permission denied)")

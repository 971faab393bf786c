"""Whether somebody has a file open to write is said only where the host can tell."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from daemon import mounts
from daemon.folders.writers import is_written


@pytest.mark.parametrize(("kind", "known"), [("ext4", True), ("nfs4", False), ("cifs", False)])
def test_a_share_that_leases_nothing_is_no_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, known: bool
) -> None:
    """Clients of NFS and SMB refuse all leases that their server does not let them give, in the words of a writer's."""
    film, table = tmp_path / "film.mkv", tmp_path / "mountinfo"
    table.write_text(re.sub(r" - \S+ ", f" - {kind} ", mounts.MOUNTED.read_text()))
    monkeypatch.setattr(mounts, "MOUNTED", table)
    with film.open("wb") as file:
        file.write(b"film")
        file.flush()
        assert is_written(film) == known
    assert not is_written(film)

"""`make demo` takes films however they are called."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("files", "taken"),
    [
        ("it's a film.mp4", ["it's a film.mp4"]),
        ("'it is a film.mp4' b.mp4", ["it is a film.mp4", "b.mp4"]),
        ("b.mp4", ["b.mp4"]),
    ],
)
def test_files_are_taken_as_they_are_called(tmp_path: Path, files: str, taken: list[str]) -> None:
    for name in ("it's a film.mp4", "b.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "ready").touch()
    (tmp_path / "ffspool").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    (tmp_path / "ffspool").chmod(0o755)
    make = [
        "make",
        "-s",
        "-f",
        ROOT / "Makefile",
        f"BIN={tmp_path}",
        "READY=ready",
        "-o",
        "ready",
        "demo",
        f"FILES={files}",
    ]
    done = subprocess.run(make, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[1 : 1 + len(taken)] == taken, done.stderr

"""What a child has on the disk is counted, whatever it does to hide it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from daemon.process.disk_use import BLOCK, bytes_held

MB, MAPPED = 1024**2, 7 * 1024**2

HIDING = {
    "removed": "f = open('f', 'w+b'); f.truncate(MB); os.unlink('f')",
    "replaced": "f = open('f', 'w+b'); f.truncate(MB); open('g', 'wb').close(); os.rename('g', 'f'); os.unlink('f')",
    "never named": "f = os.open('.', os.O_TMPFILE | os.O_RDWR); os.truncate(f, MB)",
    "mapped": "f = open('f', 'w+b'); f.truncate(MB); m = mmap.mmap(f.fileno(), 4096); os.unlink('f'); f.close()",
}


def test_files_count_for_their_bytes_and_no_less_than_a_block(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name, content in {"empty": b"", "small": b"x", "sub/large": b"x" * MB}.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "link").symlink_to("large")
    assert bytes_held([str(tmp_path)] * 2, None, mapped=MAPPED) == MB + 3 * BLOCK


@pytest.mark.parametrize("way", HIDING)
def test_a_file_without_a_name_counts_while_it_is_held(tmp_path: Path, way: str) -> None:
    told = "print(flush=True); sys.stdin.read()"
    program = f"import os, sys, mmap\nMB = {MB}\n{HIDING[way]}\n{told}"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        held = bytes_held([str(tmp_path)], child.pid, mapped=MAPPED)
        child.communicate(b"")
    # An open mapping keeps its file by a descriptor of its own in Python: it counts twice then, never less.
    assert held in ({MAPPED, MAPPED + MB} if way == "mapped" else {MB})
    assert bytes_held([str(tmp_path)], child.pid, mapped=MAPPED) == 0

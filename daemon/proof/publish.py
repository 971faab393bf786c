"""Makes a proven output durable, and gives it its name."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from daemon.paths import fsync_folder, fsync_output, remove, size
from daemon.proof import output_folder
from daemon.proof.prove import Proof
from daemon.source_files import inode_of

Sealed = tuple[int, str, int]  # size in bytes, SHA-256, inode


def seal(part: Path) -> Sealed:
    """Makes the part's bytes durable; returns what it was sealed with. Blocks; run it in a thread.

    Of a folder they are those of `output_folder.sealed`, and the inode is the folder's.
    """
    if part.is_dir():
        return (*output_folder.sealed(part), inode_of(part.stat()))
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        fsync_output(file.fileno())
        status = os.fstat(file.fileno())
    return status.st_size, digest, inode_of(status)


def reveal(part: Path, output: Path) -> None:
    """Gives a sealed part its final name, durably, or not at all. Blocks; run it in a thread."""
    output.parent.mkdir(parents=True, exist_ok=True)
    if output.is_dir():  # which, unlike a file, is not replaced by a rename
        remove(output)
    part.rename(output)
    try:
        fsync_folder(output.parent)
    except OSError:
        remove(output)
        raise


def matches(path: Path, proof: Proof) -> bool:
    """Tells whether the file or folder at `path` is the very one that `proof` speaks of."""
    try:
        inode = inode_of(path.stat())
    except FileNotFoundError:
        return False
    return (inode, size(path)) == (proof.inode, proof.bytes)

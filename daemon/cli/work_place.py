"""Says where `ffspool run` works: below the output folder, or on a local disk where that cannot hold what work takes.

Work takes symlinks, hard links, and a database in memory that is shared. Cards and sticks have none of the former, and
shares and what is mounted through FUSE may have them all, but late, or until the server goes away.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
import tempfile
from pathlib import Path

from daemon.errors import StartupError, Unavailable
from daemon.paths import remove
from daemon.proof.publish import seal

WORK = ".ffspool"
MOUNTS = Path("/proc/self/mountinfo")
ELSEWHERE = {
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "ocfs2", "gfs2", "davfs"),
    *("vfat", "exfat", "msdos", "ntfs", "ntfs3", "hfs", "hfsplus"),
}


def base_of(folder: Path) -> Path:
    """Returns the folder to work in below which outputs are made: `folder` itself, which is there, or a local one.

    Raises StartupError when that belongs to somebody else. Blocks.
    """
    return folder if not _is_elsewhere(folder) and _takes_work(folder) else _local(folder)


def _is_elsewhere(folder: Path) -> bool:
    """Whether it lies on a share or through FUSE, as the kernel's list of mounts tells by device."""
    device = folder.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in MOUNTS.read_text(errors="replace").splitlines():
        mount, _, kind = line.partition(" - ")
        if mount.split()[2] == wanted:
            named = kind.split()[0]
            return named in ELSEWHERE or named.startswith("fuse")
    return False


def _takes_work(folder: Path) -> bool:
    try:
        trial = Path(tempfile.mkdtemp(prefix=".ffspool-", dir=folder))
    except OSError as error:
        raise StartupError(f"the output folder {folder} cannot be used: {error.strerror}") from error
    try:
        (trial / "link").symlink_to("nowhere")
        (trial / "file").write_bytes(bytes(mmap.PAGESIZE))
        (trial / "second name").hardlink_to(trial / "file")
        with (trial / "file").open("r+b") as file, mmap.mmap(file.fileno(), mmap.PAGESIZE) as shared:
            shared[:1] = b"x"
    except OSError:
        return False
    finally:
        remove(trial)
    return True


def _local(folder: Path) -> Path:
    """One for each output folder, so that what a killed run left is found again."""
    temporary = Path(tempfile.gettempdir())
    large = Path("/var/tmp")
    if temporary == Path("/tmp") and os.access(large, os.W_OK):  # which may be held in memory
        temporary = large
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    base = temporary.resolve() / f"ffspool-{os.geteuid()}-{name}"
    base.mkdir(mode=0o700, exist_ok=True)
    if base.lstat().st_uid != os.geteuid() or base.is_symlink():
        raise StartupError(f"{base} is somebody else's: have it removed, or set TMPDIR to another folder")
    return base


def brought(output: Path, folder: Path, sha256: str) -> Path:
    """Returns where in the file system of `folder` the output is: as it stands, or copied there and found to be the
    same when read again. Raises Unavailable when it is not. Blocks.
    """
    if output.stat().st_dev == folder.stat().st_dev:
        return output
    part = folder / f".{output.name}.part"
    remove(part)
    try:
        if output.is_dir():
            shutil.copytree(output, part, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(output, part)
        if seal(part)[1] != sha256:
            raise Unavailable(f"what was copied to {folder} is not what was made: see to its disk")
    except BaseException:
        remove(part)
        raise
    remove(output)
    return part

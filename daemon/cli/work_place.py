"""Gives `ffspool run` a folder to work in: below the output folder, or on a local disk where that cannot hold what work
takes. It is gone afterwards, but for what is encoded of films that are to be gone on with.

Work takes symlinks, hard links, and a database in memory that is shared. Cards and sticks have none of the former, and
shares and what is mounted through FUSE may have them all, but late, or until the server goes away.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import mmap
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from daemon.cli import made
from daemon.cli.made import Before
from daemon.database.file import inspect, peek
from daemon.database.store import load_queries
from daemon.errors import StartupError, Unavailable
from daemon.paths import Paths, remove
from daemon.proof.publish import seal

WORK = ".ffspool"
NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK}  # nor is then worked in it, but in a folder that has some
FULL = {errno.ENOSPC, errno.EDQUOT}
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
        raise _unusable(folder, error) from error
    try:
        (trial / "link").symlink_to("nowhere")
        (trial / "file").write_bytes(bytes(mmap.PAGESIZE))
        (trial / "second name").hardlink_to(trial / "file")
        with (trial / "file").open("r+b") as file, mmap.mmap(file.fileno(), mmap.PAGESIZE) as shared:
            shared[:1] = b"x"
    except OSError as error:
        if error.errno in FULL:  # nor could it take what is made elsewhere
            raise _unusable(folder, error) from error
        return False
    finally:
        remove(trial)
    return True


def _unusable(folder: Path, error: OSError) -> StartupError:
    return StartupError(f"the output folder {folder} cannot be used: {error.strerror}")


def _local(folder: Path) -> Path:
    base = _local_name(folder)
    base.mkdir(mode=0o700, exist_ok=True)
    if base.lstat().st_uid != os.geteuid() or base.is_symlink():
        raise StartupError(f"{base} is somebody else's: have it removed, or set TMPDIR to another folder")
    return base


def _local_name(folder: Path) -> Path:
    """One for each output folder, so that what a killed run left is found again."""
    temporary = Path(tempfile.gettempdir())
    large = Path("/var/tmp")
    if temporary == Path("/tmp") and os.access(large, os.W_OK):  # which may be held in memory
        temporary = large
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    return temporary.resolve() / f"ffspool-{os.geteuid()}-{name}"


# What an interrupted run left


def before(folder: Path) -> Before:
    """Returns what an interrupted run into that folder was at, by its work folder or the record beside what it made.
    Blocks."""
    if (work := _left_in(folder)) is None:
        return Before(made.of_interrupted(folder))
    queries, database = load_queries(), Paths(work).database
    names = {row["name"] for row in peek(database, queries["made_by_run"])}
    wanted = [msgspec.json.decode(row["parameters"]) for row in peek(database, queries["wanted_by_run"])]
    return Before(made.of_interrupted(folder) | names, wanted)


def clear_up(folder: Path) -> None:
    """Removes what an interrupted run left, unless it is needed. Raises StartupError."""
    if _left_in(folder):
        with working_in(folder):
            pass


@contextmanager
def left_by_a_run(folder: Path) -> Iterator[Path | None]:
    """Gives the work folder that an interrupted run left, ours alone, and leaves it there; None: there is none."""
    if _left_in(folder) is None:
        yield None
        return
    with _held(folder), _held_beside(folder) as base:
        yield base / WORK if _is_left(base / WORK) else None


def is_needed(work: Path) -> bool:
    """Tells whether the work folder holds what is encoded of films, or completed and not brought yet."""
    return any(path.stat().st_size for path in _pieces(work)) or any(_outputs(work))


def _pieces(work: Path) -> Iterator[Path]:
    paths = Paths(work)
    return paths.jobs.glob(str(paths.piece("*", "*", 0).with_stem("*").relative_to(paths.jobs)))


def _outputs(work: Path) -> Iterator[Path]:
    paths = Paths(work)
    return paths.jobs.glob(str(paths.output("*", "*", "").relative_to(paths.jobs)))


def _left_in(folder: Path) -> Path | None:
    """The work folder that is there; nothing is made to find it, nor locked."""
    return next((base / WORK for base in (folder, _local_name(folder)) if _is_left(base / WORK)), None)


def _is_left(work: Path) -> bool:
    """Whether a run of this user's left it in a state that this ffspool can go on with."""
    schema = _schema(work)
    return schema is not None and schema[0] <= schema[1]


def _schema(work: Path) -> tuple[int, int] | None:
    """The version of the database that a run of this user's left, and the one that this ffspool makes."""
    try:
        status = work.lstat()
        ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
        database = Paths(work).database
        if not ours or not database.exists() or Paths(work).token.exists():
            return None
        return inspect(database)
    except (OSError, StartupError):
        return None


# The work folder


@contextmanager
def working_in(folder: Path, *, fresh: bool = False, say: Callable[[str], None] = lambda _: None) -> Iterator[Path]:
    """Gives a work folder, ours alone: what an interrupted run left, or a new one if there is none or it is to be
    `fresh`. What could not be used is told to `say`. Raises StartupError.

    It is below `folder`, so that publishing is a rename, unless that cannot hold it. It is gone afterwards, unless
    there are films in it to be gone on with.
    """
    with _held(folder), _held_beside(folder) as base:
        work = base / WORK
        if not fresh:
            _refuse_newer(work)
        if fresh or not _is_left(work):
            left = os.path.lexists(work)
            _clear_leftovers(work)
            _make(work)
            if left:
                why = "is not gone on with, as --fresh asks," if fresh else "could not be gone on with,"
                say(f"What was left in {work} {why} and was removed")
        try:
            yield work
        finally:
            if not is_needed(work):
                remove(work)


@contextmanager
def _held_beside(folder: Path) -> Iterator[Path]:
    """The folder to work in: where it is another, that is locked as well, and gone afterwards if nothing is in it."""
    if (base := base_of(folder)) == folder:
        yield folder
        return
    with _held(base):
        try:
            yield base
        finally:
            with suppress(OSError):
                base.rmdir()


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Makes the folder and locks it: the lock goes with the process, however that ends."""
    descriptor = _locked(folder)
    try:
        yield
    finally:
        os.close(descriptor)


def _locked(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StartupError(f"another `ffspool run` is writing to {folder}: wait for it, or choose another") from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return descriptor


def _refuse_newer(work: Path) -> None:
    schema = _schema(work)
    if schema and schema[0] > schema[1]:
        words = "use that one, or choose another --output folder; with --fresh it is removed"
        raise StartupError(f"{work} was left by a newer ffspool, which can go on with it: {words}")


def _clear_leftovers(work: Path) -> None:
    """What a killed run left: the lock on the folder says that nobody works there."""
    if Paths(work).token.exists():
        raise StartupError(f"{work} is the state dir of a daemon: choose another --output folder")
    with suppress(OSError):  # to make it tells of that
        remove(work)


def _make(work: Path) -> None:
    """Makes it, and takes none that is there: others may write to the folder, and would lead what is written to any
    file of ours."""
    try:
        work.mkdir(mode=0o700)
    except FileExistsError:
        words = "whoever made it could bring files of theirs, and it cannot be removed"
        raise StartupError(f"{work} is there already, {words}: remove it, or choose another --output folder") from None
    except OSError as error:
        raise _unusable(work.parent, error) from error


# What is made


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

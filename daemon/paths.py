"""Says where everything lies in the state dir. Names on disk are ours alone: identifiers, never a user's words.

state/
  ffspool.db  lock  token  address  webhook-secret
  spool/
    incoming/{random}            bodies on their way in
    uploads/{upload}             resumable uploads, until a job takes them
    jobs/{job}/
      sources/{source}           uploads, without an extension
      work/{variation}/          one variation's work folder, which outlives a restart: `{attempt}.part`, a file or a
                                 folder; `{number}.piece` of a film's picture, to go on with
      logs/{variation}.log       the encoder's words
      plots/{variation}.svg      how close each of its frames is to the source's
      outputs/{variation}.{ext}  proven, whole files and nothing else
      outputs/{variation}        the same, where the output is a folder of files
      thumbnails/{id}.webp       of a source or a variation, once somebody asked for it
    discarded/{random}           on its way out: what lost its name at once and is being removed
    set-aside/{generation}/{job} of jobs that a restored, older database does not know; nobody but you removes it
    mark                         which database, and how new, the spool belongs to
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

from daemon.models import new_id


class Paths:
    """Names what lies in one state dir; `prepare` makes the folders that must be there."""

    def __init__(self, state_dir: Path) -> None:
        self.state = state_dir.resolve()  # a sandbox lets nobody follow symlinks to a source
        self.database = self.state / "ffspool.db"
        self.lock = self.state / "lock"
        self.token = self.state / "token"
        self.webhook_secret = self.state / "webhook-secret"
        self.address = self.state / "address"
        self.spool = self.state / "spool"
        self.incoming = self.spool / "incoming"
        self.uploads = self.spool / "uploads"
        self.jobs = self.spool / "jobs"
        self.discarded = self.spool / "discarded"
        self.set_aside = self.spool / "set-aside"
        self.mark = self.spool / "mark"
        self.cluster = self.state / "cluster"  # papers of who works for us; its coordinator reads them

    def prepare(self) -> None:
        """Makes the folders, closed to other users."""
        for folder in (self.state, self.spool, self.incoming, self.uploads, self.jobs, self.discarded):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def upload(self, upload: str) -> Path:
        return self.uploads / upload

    def job(self, job: str) -> Path:
        return self.jobs / job

    def source(self, job: str, source: str) -> Path:
        return self.jobs / job / "sources" / source

    def work(self, job: str, variation: str) -> Path:
        return self.jobs / job / "work" / variation

    def part(self, job: str, variation: str, attempt: int) -> Path:
        return self.work(job, variation) / f"{attempt}.part"

    def piece(self, job: str, variation: str, number: int, span: int = 0) -> Path:
        return self.work(job, variation) / (f"{number}-{span}.piece" if span else f"{number}.piece")

    def log(self, job: str, variation: str) -> Path:
        return self.jobs / job / "logs" / f"{variation}.log"

    def plot(self, job: str, variation: str) -> Path:
        return self.jobs / job / "plots" / f"{variation}.svg"

    def output(self, job: str, variation: str, extension: str) -> Path:
        """Returns where an output lies; `extension` is empty for one that is a folder."""
        return self.jobs / job / "outputs" / (f"{variation}.{extension}" if extension else variation)

    def thumbnail(self, job: str, shown: str) -> Path:
        """Returns where the thumbnail of the source or variation `shown` lies."""
        return self.jobs / job / "thumbnails" / f"{shown}.webp"

    def take_away(self, path: Path) -> Path:
        """Takes the file or folder away from where it is looked for, at once and whole; returns where it is now.

        Whoever still writes below its old name finds no folder there, so nothing can outlive it.
        """
        place = self.discarded / new_id()
        try:
            path.rename(place)
        except OSError:  # it is gone already, or the disk has no room for one more name
            return path
        return place

    def discard(self, path: Path) -> int:
        """Removes a file or a whole folder as `take_away` does, and returns the bytes it held. Blocks."""
        return remove(self.take_away(path))


def remove(path: Path) -> int:
    """Removes a file or a whole folder and returns the bytes it held; one that is not there held none."""
    freed = size(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    return freed


def size(path: Path) -> int:
    """Returns the bytes in a file, or in all files below a folder; 0 when it is not there. Links count nothing."""
    if path.is_dir() and not path.is_symlink():
        return sum(_file_size(Path(folder) / name) for folder, _, names in os.walk(path) for name in names)
    return _file_size(path)


def _file_size(path: Path) -> int:
    try:
        return 0 if path.is_symlink() else path.stat().st_size
    except FileNotFoundError:
        return 0


def write_private(path: Path, text: str) -> None:
    """Puts a line or more into a file that only its owner may read; it is replaced whole, or not at all."""
    draft = path.with_name(f".{path.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(descriptor)
    draft.rename(path)
    fsync_folder(path.parent)


def is_held(lock: Path) -> bool:
    """Tells whether a process holds that lock: its daemon lives."""
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def fsync(path: Path) -> None:
    """Makes the file's bytes durable."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def fsync_output(descriptor: int) -> None:
    """Makes an output's bytes durable, and takes all rights to run it, as its owner or at all: an encoder sets those of
    what it makes."""
    os.fchmod(descriptor, os.fstat(descriptor).st_mode & 0o666)
    os.fsync(descriptor)


def fsync_folder(folder: Path) -> None:
    """Makes the names in the folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

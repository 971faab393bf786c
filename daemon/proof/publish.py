"""From an encoded part to a published file: proven against the plan, made durable, then named.

An exit code proves nothing: an ffmpeg that was asked to quit, or met the end of a truncated source, says 0.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from daemon.errors import ProbeError, ProofError
from daemon.media.durations import close
from daemon.media.model import Media
from daemon.media.prober import Prober
from daemon.models import Model, Parameters, SourceFile
from daemon.paths import fsync_folder, remove, size
from daemon.proof import output_folder
from daemon.proof.differences import differences, lasts_as_planned
from daemon.proof.quality import Quality
from daemon.recipes.recipe import Plan


class Proof(Model, frozen=True):
    """What is known of a proven part. `inode` ties it to one file, so that recovery can tell it from another."""

    bytes: int
    sha256: str
    inode: int
    output_seconds: float | None
    cpu_seconds: float
    speed: float | None
    quality: Quality | None = None
    chosen: Parameters = msgspec.field(default_factory=dict)


async def prove(prober: Prober, part: Path, plan: Plan, source: SourceFile) -> Media:
    """What the part holds, once it is shown to be what was planned and its end is decoded, as far as the source's is.

    Raises ProofError in words, with all that differs. A source that ends before its header says is named as
    the cause.
    """
    try:
        made = await prober.probe_output(part)
    except ProbeError as error:
        if not await _damaged_likewise(prober, source, error):
            words = f"the encoder said it was done, but its output cannot be read: {error}"
            raise ProofError(await truncation(prober, plan, source) or words) from error
        made = await _described(prober, part)
    if not lasts_as_planned(made, plan):
        words = f"the output lasts {_seconds(made.duration_seconds)} instead of {_seconds(plan.duration_seconds)}"
        raise ProofError(await truncation(prober, plan, source) or "; ".join([words, *differences(made, plan)]))
    if found := differences(made, plan):
        words = f"the output is not what was planned: {'; '.join(found)}"
        raise ProofError(await truncation(prober, plan, source) or words)
    return made


async def _described(prober: Prober, part: Path) -> Media:
    try:
        return await prober.probe(part)
    except ProbeError as error:
        raise ProofError(f"the encoder said it was done, but its output cannot be read: {error}") from error


async def _damaged_likewise(prober: Prober, source: SourceFile, flaw: ProbeError) -> bool:
    """Whether the source itself has that flaw, which a faithful copy of its packets keeps."""
    try:
        await prober.probe_output(source)
    except ProbeError as its_own:
        return str(its_own) == str(flaw)
    return False


async def truncation(prober: Prober, plan: Plan, source: SourceFile) -> str | None:
    """That the source ends before its header says, in words; None when that is not what happened."""
    planned = plan.duration_seconds or plan.seen_seconds
    try:
        held = await prober.measured_seconds(source)
    except ProbeError:
        return None
    if planned is None or held is None or held >= planned or close(held, planned):
        return None
    return f"the source is truncated: its header says {_seconds(planned)}, its data ends at {_seconds(held)}"


def _seconds(value: float | None) -> str:
    return "an unknown time" if value is None else f"{value:.2f} s"


Sealed = tuple[int, str, int]  # size in bytes, SHA-256, inode


def seal(part: Path) -> Sealed:
    """Makes the part's bytes durable; returns what it was sealed with. Blocks; run it in a thread.

    Of a folder they are those of `bundle.sealed`, and the inode is the folder's.
    """
    if part.is_dir():
        return (*output_folder.sealed(part), part.stat().st_ino)
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
        status = os.fstat(file.fileno())
    return status.st_size, digest, status.st_ino


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
    """Whether the file or folder at `path` is the very one that `proof` speaks of."""
    try:
        inode = path.stat().st_ino
    except FileNotFoundError:
        return False
    return (inode, size(path)) == (proof.inode, proof.bytes)

"""Finds the ffmpeg that encodes: the one that is named, else the one bundled with imageio-ffmpeg."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from daemon.errors import StartupError
from daemon.process.hear import hear
from daemon.process.launcher import Limits, spawn

PATIENCE = 10.0  # seconds


def locate(named: str | None) -> str:
    """Returns the encoder's absolute path. `named` is a path or a command on PATH; None takes the bundled one.

    Raises StartupError when there is no such program.
    """
    if named is not None:
        found = shutil.which(named)
        if found is None:
            raise StartupError(f"the encoder {named!r} is not an executable file: check --ffmpeg or FFSPOOL_FFMPEG")
        return str(Path(found).absolute())
    if (bundled := _bundled()) is None:
        raise StartupError("there is no bundled encoder for this machine: name one with --ffmpeg")
    return bundled


def _bundled() -> str | None:
    """The program within imageio-ffmpeg. Its own `get_ffmpeg_exe` runs it first, where Ctrl-C makes it look broken."""
    held = resources.files("imageio_ffmpeg.binaries").iterdir()
    return next((str(entry) for entry in held if entry.name.startswith("ffmpeg-")), None)


class Build(NamedTuple):
    """A build tells its `version` in a line, such as `ffmpeg version 9.0.2 …`. Its `fingerprint` is another one where
    the program, its libraries' versions or how it was configured are others.
    """

    version: str
    fingerprint: str


def digest(program: str) -> str:
    """Returns the SHA-256 of the program, by which hosts tell whether they have the same. Blocks."""
    with Path(program).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def build(program: str) -> Build:
    """Returns what the encoder tells of itself. Raises StartupError when it does not run."""
    child = spawn(["ffmpeg", "-version"], program=program, folder=Path("/"), limits=Limits(), environment={})
    try:
        ended, said, complaint = await hear(child, PATIENCE)
    except TimeoutError:
        raise StartupError(f"the encoder {program} does not answer `-version` within {PATIENCE:.0f} s") from None
    first = said.partition("\n")[0]
    if ended.code != 0 or not first.startswith("ffmpeg version"):
        words = complaint or first or "it said nothing"
        raise StartupError(f"the encoder {program} does not run (exit code {ended.code}): {words}")
    file = await asyncio.to_thread(os.stat, program)
    return Build(first, hashlib.sha256(f"{said}{file.st_size} {file.st_mtime_ns}".encode()).hexdigest())


async def knows_codec(program: str, codec: str) -> bool:
    """Returns whether it has heard of a codec of that name, or of a decoder, whether or not it can decode it.

    One that does not answer is taken to have.
    """
    asked = ["ffmpeg", "-hide_banner", "-h", f"decoder={codec}"]
    child = spawn(asked, program=program, folder=Path("/"), limits=Limits(), environment={})
    try:
        _, said, complaint = await hear(child, PATIENCE)
    except TimeoutError:
        return True
    return "is not recognized" not in f"{said}{complaint}"

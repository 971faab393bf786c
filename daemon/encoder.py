"""Which ffmpeg encodes: the one that is named, else the one bundled with imageio-ffmpeg."""

from __future__ import annotations

import shutil
from pathlib import Path

import imageio_ffmpeg

from daemon.errors import StartupError
from daemon.processes import Limits, spawn


def locate(named: str | None) -> str:
    """The encoder's absolute path. `named` is a path or a command on PATH; None takes the bundled one.

    Raises StartupError when there is no such program.
    """
    if named is not None:
        found = shutil.which(named)
        if found is None:
            raise StartupError(f"the encoder {named!r} is not an executable file: check --ffmpeg or FFSPOOL_FFMPEG")
        return str(Path(found).absolute())
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise StartupError("there is no bundled encoder for this machine: name one with --ffmpeg") from error


async def version(program: str) -> str:
    """The encoder's own first line, such as `ffmpeg version 9.0.2 …`. Raises StartupError when it does not run."""
    child = spawn(["ffmpeg", "-version"], program=program, folder=Path("/"), limits=Limits(), environment={})
    output = b"".join([chunk async for chunk in child.stdout()])
    complaint = b"".join([chunk async for chunk in child.stderr()])
    ended = await child.wait()
    first = output.decode(errors="replace").partition("\n")[0]
    if ended.code != 0 or not first.startswith("ffmpeg version"):
        said = complaint.decode(errors="replace").strip() or first or "it said nothing"
        raise StartupError(f"the encoder {program} does not run (exit code {ended.code}): {said}")
    return first

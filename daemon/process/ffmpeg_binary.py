"""Which ffmpeg encodes: the one that is named, else the one bundled with imageio-ffmpeg."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path

from daemon.errors import StartupError
from daemon.process import cancel
from daemon.process.child import Child, Exit
from daemon.process.launcher import Limits, spawn

PATIENCE = 10.0  # seconds
MAX_SAID = 64 * 1024  # bytes


def locate(named: str | None) -> str:
    """The encoder's absolute path. `named` is a path or a command on PATH; None takes the bundled one.

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


async def version(program: str) -> str:
    """The encoder's own first line, such as `ffmpeg version 9.0.2 …`. Raises StartupError when it does not run."""
    child = spawn(["ffmpeg", "-version"], program=program, folder=Path("/"), limits=Limits(), environment={})
    try:
        said, complaint, ended = await asyncio.wait_for(_hear(child), PATIENCE)
    except TimeoutError:
        raise StartupError(f"the encoder {program} does not answer `-version` within {PATIENCE:.0f} s") from None
    finally:
        cancel.kill(child)
        await child.wait()
    first = said.decode(errors="replace").partition("\n")[0]
    if ended.code != 0 or not first.startswith("ffmpeg version"):
        words = complaint.decode(errors="replace").strip() or first or "it said nothing"
        raise StartupError(f"the encoder {program} does not run (exit code {ended.code}): {words}")
    return first


async def _hear(child: Child) -> tuple[bytes, bytes, Exit]:
    said, complaint = await asyncio.gather(_some(child.stdout()), _some(child.stderr()))
    return said, complaint, await child.wait()


async def _some(chunks: AsyncIterator[bytes]) -> bytes:
    """The beginning of what is said; all of it is read."""
    beginning = b""
    async for chunk in chunks:
        beginning += chunk[: MAX_SAID - len(beginning)]
    return beginning

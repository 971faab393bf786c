"""Tries the sandbox before it is trusted: what it must forbid is forbidden, what it must allow works.

Nothing is ever run unguarded in silence: the verdict is told in the log, `/readyz`, the statistics, `doctor`
and of every encode.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import wave
from pathlib import Path
from typing import Literal

from daemon.errors import ProbeError, StartupError
from daemon.media.prober import Prober
from daemon.models import Sandbox
from daemon.process import sandbox
from daemon.process.child import Child
from daemon.process.hear import hear
from daemon.process.launcher import Limits, Walls, spawn, spawn_trial

log = logging.getLogger(__name__)

Mode = Literal["require", "auto", "off"]

PATIENCE = 10.0  # seconds
PREFIX = "trial-"  # of folders that a trial which was killed leaves


async def choose(mode: Mode, encoder: str, readable: tuple[str, ...], folder: Path, prober: Prober) -> Sandbox:
    """Returns the sandbox for decoders and encoders, after it was tried in `folder`. Must be called on the main thread.

    `prober` reads within one, unless the mode is "off".

    Raises StartupError when it is required and does not hold.
    """
    if mode == "off":
        return _told(Sandbox(active=False, reason="it is switched off by the setting `sandbox`"))
    flaw = await _flaw(encoder, readable, folder, prober)
    if flaw is None:
        return _told(Sandbox(active=True, by=sandbox.parts()))
    if mode == "require":
        raise StartupError(f"the sandbox is required, but {flaw}. Mend that, or set `sandbox` to auto or off")
    return _told(Sandbox(active=False, reason=flaw))


def promised(mode: Mode) -> bool:
    """Tells whether this host has what a sandbox is made of, where that will do: nothing is tried.

    Raises StartupError when one is required and the host lacks it.
    """
    if mode == "off":
        return False
    try:
        sandbox.parts()
    except sandbox.Shortfall as error:
        if mode == "require":
            raise StartupError(f"the sandbox is required, but {error}") from error
        log.warning("the files are read without a sandbox: %s", error)
        return False
    return True


def _told(verdict: Sandbox) -> Sandbox:
    if verdict.active:
        log.info("encoders and the reading of media are sandboxed by %s", verdict.by)
    else:
        log.warning("encoders and the reading of media are NOT sandboxed: %s", verdict.reason)
    return verdict


async def _flaw(encoder: str, readable: tuple[str, ...], folder: Path, prober: Prober) -> str | None:
    """What speaks against the sandbox on this host, in words; None when nothing does."""
    try:
        sandbox.parts()
        with tempfile.TemporaryDirectory(prefix=PREFIX, dir=folder) as scratch:
            return await _tried(encoder, readable, Path(scratch), prober)
    except sandbox.Shortfall as error:
        return str(error)
    except OSError as error:
        return f"it could not be tried: {error.strerror}"


async def _tried(encoder: str, readable: tuple[str, ...], scratch: Path, prober: Prober) -> str | None:
    canary, work, cell = scratch / "outside" / "canary", scratch / "work", scratch / "cell"
    for inner in (canary.parent, work, cell):
        inner.mkdir()
    write_silence(canary)
    walls = Walls(programs=readable, source=str(canary), folders=(str(work),))
    flaws = await asyncio.gather(_leak(canary, cell), _encode(encoder, walls, work), _probe(canary, prober))
    return next((flaw for flaw in flaws if flaw), None)


async def _leak(canary: Path, work: Path) -> str | None:
    """A process shut in as an encoder is tries to get out."""
    code, said, complaint = await _heard(spawn_trial(canary, work, Walls(folders=(str(work),))))
    if code != 0:
        return complaint or "trying it took too long"
    return f"in it one can still {said.splitlines()[0]}" if said else None


async def _encode(encoder: str, walls: Walls, work: Path) -> str | None:
    argv = ["ffmpeg", "-v", "error", "-y", "-i", f"file:{walls.source}", "-c:a", "pcm_s16le", "-f", "wav", "file:part"]
    child = spawn(argv, program=encoder, folder=work, limits=Limits(), environment={}, walls=walls)
    code, _, complaint = await _heard(child)
    if code == 0 and await asyncio.to_thread((work / "part").is_file):
        return None
    return f"the encoder does not work in it: {complaint or 'it made nothing of a test file'}"


async def _probe(canary: Path, prober: Prober) -> str | None:
    try:
        await prober.probe(canary)
    except ProbeError as error:
        return f"media cannot be read in it: {error}"
    return None


def write_silence(path: Path) -> None:
    """Writes a tenth of a second of silence: a whole media file of 1.6 kB."""
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(1600))


async def _heard(child: Child) -> tuple[int | None, str, str]:
    """Its exit code (None: it had to be ended), what it said, and the last line of its complaint."""
    try:
        ended, said, complaint = await hear(child, PATIENCE)
    except TimeoutError:
        return None, "", "it took too long"
    return ended.code, said, (complaint.splitlines() or [""])[-1]

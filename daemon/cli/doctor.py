"""Runs `ffspool doctor`: looks at everything ffspool needs, changes nothing, and says what to do."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import AsyncIterator
from importlib import metadata
from pathlib import Path

import psutil

from daemon.cli import checks, daemon_checks
from daemon.cli.checks import Check
from daemon.encode import sandbox_trial
from daemon.errors import ProbeError, StartupError
from daemon.http.exposure import ADVICE, exposure
from daemon.http.listener import listening
from daemon.media.prober import Prober
from daemon.models import Sandbox
from daemon.paths import Paths, is_held
from daemon.permissions import weakness
from daemon.presets.library import Library
from daemon.process import ffmpeg_binary
from daemon.scheduling.space import DiskUsage, Space, refusal, told
from daemon.settings import Settings

OLDEST_PYTHON = (3, 11)


async def examine(settings: Settings, library: Library) -> AsyncIterator[Check]:
    """Yields every check, one after the other. Must run on the main thread: some start processes."""
    yield daemon_checks.host(settings)
    yield _python()
    async for check in _encoder(settings, library):
        yield check
    yield await _prober()
    yield state_dir(settings.state_dir)
    yield _disk(settings)
    for root in settings.source_roots:
        yield await checks.source_root(root)
    for root in settings.output_roots:
        yield await checks.output_root(root)
    for check in await checks.of_tables(library, settings):
        yield check
    yield checks.database(settings.state_dir)
    yield checks.loss(settings.state_dir, library)
    yield checks.clock(settings.state_dir)
    if settings.unix_socket is None and not is_held(Paths(settings.state_dir).lock):
        yield _port(settings)
    yield _address(settings)
    yield _package()
    for check in daemon_checks.running(settings):
        yield check


def _python() -> Check:
    return Check(
        name="python",
        ok=sys.version_info >= OLDEST_PYTHON,
        found=f"Python {platform.python_version()}",
        advice="ffspool needs Python 3.11 or newer: install it and make the environment anew",
    )


# The encoder


async def _encoder(settings: Settings, library: Library) -> AsyncIterator[Check]:
    try:
        program = ffmpeg_binary.locate(settings.ffmpeg)
        version = (await ffmpeg_binary.build(program)).version
    except StartupError as error:
        advice = "name a working ffmpeg with --ffmpeg or FFSPOOL_FFMPEG, or reinstall imageio-ffmpeg"
        yield Check(name="encoder", ok=False, found=str(error), advice=advice)
        return
    yield Check(name="encoder", ok=True, found=version.partition(" Copyright")[0])
    yield await _sandbox(settings, program)
    with checks.scratch() as clip:
        known = await checks.options(program, clip)
        yield known
        if known.ok:
            yield await checks.trials(library, settings, clip)


# The sandbox


async def _sandbox(settings: Settings, program: str) -> Check:
    """Tried as the daemon would; where it is switched off that is said, but no fault."""
    readable, prober = tuple(map(str, settings.sandbox_read)), Prober(sandboxed=True)
    with tempfile.TemporaryDirectory() as folder:
        try:
            verdict = await sandbox_trial.choose(settings.sandbox, program, readable, Path(folder).resolve(), prober)
        except StartupError as error:
            verdict = Sandbox(active=False, reason=str(error))
        finally:
            await prober.close()
    return Check(
        name="sandbox",
        ok=verdict.active or settings.sandbox == "off",
        found=str(verdict),
        advice="Landlock wants Linux 5.13 or newer, switched on; an encoder with libraries of its own --sandbox-read",
    )


# Probing


async def _prober() -> Check:
    advice = "reinstall ffspool with its dependencies: PyAV reads the files, in a process of its own"
    prober = Prober(sandboxed=False)
    try:
        with tempfile.TemporaryDirectory() as folder:
            sound = Path(folder).resolve() / "silence"
            sandbox_trial.write_silence(sound)
            media = await prober.probe(sound)
    except (ProbeError, OSError) as error:
        return Check(name="prober", ok=False, found=f"a test file could not be read: {error}", advice=advice)
    finally:
        await prober.close()
    return Check(name="prober", ok=len(media.audio) == 1, found="a test file was read", advice=advice)


# The state dir


def state_dir(path: Path) -> Check:
    """Checks that this user can write it, and nobody else."""
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if weak := weakness(Paths(path)):
        return Check(name="state dir", ok=False, found=weak.found, advice=weak.advice)
    usable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    found = f"{path} is {'there' if there == path else 'made at the first start'}"
    return Check(
        name="state dir",
        ok=usable,
        found=found if usable else f"{there} cannot be written by this user",
        advice="name another folder with --state-dir, or run as the user who owns it",
    )


def _disk(settings: Settings) -> Check:
    path = next(folder for folder in (settings.state_dir, *settings.state_dir.absolute().parents) if folder.exists())
    usage = psutil.disk_usage(str(path))
    return disk(DiskUsage(total=usage.total, free=usage.free), usage.percent, settings)


def disk(usage: DiskUsage, percent: float, settings: Settings) -> Check:
    """Checks that encodes may start, and that no job is deleted to make room."""
    found = f"{percent:.0f} % used, {told(usage.free)} free"
    if shortage := refusal(0, Space(lambda: usage, settings.disk_reserve).available()):
        advice = "free some space, or leave less free by --disk-reserve"
        return Check(name="disk", ok=False, found=f"{found}; of whatever is to start {shortage}", advice=advice)
    advice = f"free some space: above {settings.max_disk_use:.0%} the oldest ended jobs are deleted (--max-disk-use)"
    return Check(name="disk", ok=percent / 100 <= settings.max_disk_use, found=found, advice=advice)


# The daemon


def _address(settings: Settings) -> Check:
    """What `serve` would lay open with these settings."""
    laid_open = exposure(settings)
    found = laid_open or "reached by this host alone, or through a trusted proxy"
    return Check(name="address", ok=laid_open is None, found=found, advice=ADVICE)


def _port(settings: Settings) -> Check:
    """Whether `serve` could listen; asked where no daemon of ours does."""
    try:
        listening(settings).close()
    except StartupError as error:
        return Check(name="port", ok=False, found=str(error), advice="or name another --host, where it is the address")
    return Check(name="port", ok=True, found=f"{settings.port} is free" if settings.port else "any that is free")


# The installation


def _package() -> Check:
    """ffspool's package is named `daemon`, and so is that of python-daemon: the later one overwrites the other."""
    try:
        other = metadata.version("python-daemon")
    except metadata.PackageNotFoundError:
        return Check(name="package", ok=True, found="no other package named daemon is beside it")
    return Check(
        name="package",
        ok=False,
        found=f"python-daemon {other} is in the same environment, and each has files named as the other's",
        advice="give ffspool an environment of its own: pipx install, or uv tool install",
    )

"""Makes the checks of `ffspool doctor` that try things: encodes by every preset, the database, the clock."""

from __future__ import annotations

import asyncio
import math
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.resources import files
from pathlib import Path

import msgspec

from daemon import config_tables, mounts
from daemon.bounded_threads import Workers
from daemon.cli import batch, batch_job
from daemon.cli.folders import Named
from daemon.cli.interrupts import signals_to
from daemon.config_tables import Bucket, Schedule
from daemon.database.file import inspect, peek
from daemon.database.lineage import refuse_to_forget
from daemon.database.store import load_queries
from daemon.errors import FfspoolError, StartupError, Unavailable
from daemon.folders import checks as folder_checks
from daemon.host import cores
from daemon.jobs.views import JobView
from daemon.models import Model, VariationRequest
from daemon.paths import Paths
from daemon.presets.builtin import Preset
from daemon.presets.library import Library
from daemon.process.hear import hear
from daemon.process.launcher import Limits, spawn
from daemon.recipes import command
from daemon.scheduling.losses import losses
from daemon.scheduling.timetable import Timetable
from daemon.settings import Settings
from daemon.storage import bucket_trial

SILENCE = 10.0  # seconds a disk may take to answer
PATIENCE = 120.0  # seconds that the trial encodes may take together
LAG = 60.0  # seconds by which files may come from the future: file systems round, and hosts differ
SILENT = {"-nostats", "-progress", "pipe:1"}  # what would only fill a pipe


class Check(Model, frozen=True):
    """A check is what was looked at and found. `advice` says what to do when it is not `ok`."""

    name: str
    ok: bool
    found: str
    advice: str | None = None


# The encoder


async def options(program: str, clip: Path) -> Check:
    """Makes a test clip, with the options of ours that old versions do not know. Needs the main thread."""
    ours = [option for option in command.GLOBAL_OPTIONS if option not in SILENT]
    made = [*("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=10:duration=0.6")]
    made += [*("-f", "lavfi", "-i", "sine=frequency=440:duration=0.6")]
    made += [*("-fps_mode", "vfr", "-enc_time_base", "demux", "-c:v", "mpeg4", "-c:a", "pcm_s16le")]
    argv = ["ffmpeg", *ours, *made, "-f", "matroska", f"file:{clip.name}"]
    child = spawn(argv, program=program, folder=clip.parent, limits=Limits(), environment={})
    try:
        ended, _, complaint = await hear(child, PATIENCE)
        good, complaint = ended.code == 0, _complaint(complaint)
    except TimeoutError:
        good, complaint = False, f"the encoder made no clip within {PATIENCE:.0f} s"
    return Check(
        name="options",
        ok=good,
        found="the encoder knows those that ffspool uses" if good else complaint,
        advice="use FFmpeg 6.1 or newer, or the bundled encoder by leaving --ffmpeg away",
    )


def _complaint(words: str) -> str:
    """What ffmpeg calls an error, else its last words."""
    lines = words.splitlines() or ["it said nothing"]
    errors = [line for line in lines if "Error" in line or "Unrecognized" in line or "not found" in line]
    return (errors or lines[-1:])[0].strip()


async def trials(library: Library, settings: Settings, clip: Path) -> Check:
    """Has every preset that encodes make something of the clip, as `ffspool run` would. Needs the main thread."""
    requests = [_cheapest(preset) for preset in library if preset.kind != "remux"]
    advice = "do without these presets, or use the bundled encoder by leaving --ffmpeg away"
    trial = batch.check([Named(clip)], requests, library, clip.parent / "made", overwrite=False)
    try:
        interrupt = asyncio.Event()
        with signals_to(interrupt):
            running = batch_job.run(trial, _own(settings), library, _Nobody(), interrupt)
            result = await asyncio.wait_for(running, PATIENCE)
    except TimeoutError:
        found = f"trying them took longer than {PATIENCE:.0f} s"
        return Check(name="presets", ok=False, found=found, advice="try again when less runs on this host")
    except FfspoolError as error:
        return Check(name="presets", ok=False, found=f"they could not be tried: {error}", advice=advice)
    failed = _failures(result.job)
    return Check(
        name="presets", ok=not failed, found=failed or f"all {len(requests)} that encode work here", advice=advice
    )


def _cheapest(preset: Preset) -> VariationRequest:
    return VariationRequest(preset.name, {"count": 1} if preset.kind == "refresh" else {})


def _own(settings: Settings) -> Settings:
    """Nothing is to hold a trial up: somebody waits for it, and what fails here fails for good."""
    own = {"slots": min(settings.slots, cores()), "nice": 0, "disk_reserve": 0, "retry_delay": 0.1}
    own |= {"resume_from": batch_job.NEVER}
    return msgspec.structs.replace(settings, **own)


def _failures(job: JobView) -> str:
    """`av1-720p: Unknown encoder 'libsvtav1'; …`, or nothing."""
    return "; ".join(
        f"{variation.preset}: {_complaint(variation.error or variation.status)}"
        for source in job.sources
        for variation in source.variations
        if variation.status != "completed"
    )


class _Nobody:
    """Nobody looks on."""

    def show(self, job: JobView) -> None: ...

    def say(self, words: str) -> None: ...


@contextmanager
def scratch() -> Iterator[Path]:
    """Gives a path for the test clip; its folder, with what is made of it, is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="ffspool-doctor-") as folder:
        yield Path(folder).resolve() / "clip.mkv"


# Where files lie, and where results are delivered


async def source_root(root: Path) -> Check:
    """Checks that this user may read there; a share that does not answer holds nothing else up."""
    advice = "mount it, or let the daemon's user read there; jobs of files in it fail, or wait for it"
    return await _root("source", root, "can be read", os.R_OK | os.X_OK, advice)


async def output_root(root: Path) -> Check:
    """Checks that this user may write there; a share that does not answer holds nothing else up."""
    advice = "mount it, or have the daemon's user write there (the unit wants ReadWritePaths= too); deliveries wait"
    return await _root("output", root, "can be written", os.R_OK | os.W_OK | os.X_OK, advice)


async def _root(name: str, root: Path, fine: str, rights: int, advice: str) -> Check:
    threads = Workers("looking at it", patience=SILENCE)
    try:
        ill = await threads.run("", partial(_barred, root, rights))
    except Unavailable as error:
        ill = str(error)
    return Check(name=name, ok=ill is None, found=f"{root} {ill or fine}", advice=advice)


def _barred(root: Path, rights: int) -> str | None:
    if not root.is_dir():
        return "is no folder" if root.exists() else "is not there"
    if mounts.unmounted(os.path.realpath(root)):
        return "is not mounted, as /etc/fstab says it is to be"
    if os.access(root, rights):
        return None
    return "cannot be written by this user, or is read-only" if rights & os.W_OK else "cannot be read by this user"


# The database


def database(state_dir: Path) -> Check:
    """Checks its version and its pages. One that is not there yet is made at the first start."""
    paths = Paths(state_dir)
    path = paths.database
    try:
        refuse_to_forget(paths)
    except StartupError as error:
        return Check(name="database", ok=False, found=str(error))
    if not path.exists():
        return Check(name="database", ok=True, found="there is none yet; it is made at the first start")
    advice = "with no daemon running: run `ffspool serve` as the user who owns it"
    if not os.access(path, os.R_OK | os.W_OK) or not os.access(path.parent, os.W_OK):
        return Check(name="database", ok=False, found=f"{path} cannot be written by this user", advice=advice)
    try:
        version, target = inspect(path)
    except StartupError as error:
        return Check(name="database", ok=False, found=str(error))
    if version > target:
        advice = "install that newer ffspool again, or name another --state-dir"
        found = f"it was made by a newer ffspool (schema {version}, this one knows {target})"
        return Check(name="database", ok=False, found=found, advice=advice)
    older = f"; the next start brings it to {target} and sets a copy aside" if version < target else ""
    return Check(name="database", ok=True, found=f"sound, schema {version}{older}")


# What an interruption costs


def loss(state_dir: Path, library: Library) -> Check:
    """Tells what an interrupted film has to encode again at most, by what encodes took on this host. No fault."""
    try:
        rows = peek(Paths(state_dir).database, load_queries()["corrections"])
        learnt = {row["encode"]: row["correction"] for row in rows}
    except StartupError:  # the database's own check tells of it
        learnt = {}
    told = [
        f"{math.ceil(one.seconds)} s of film by {one.preset} ({one.cpu_seconds:.0f} CPU s here)"
        for one in losses(library, learnt)
    ]
    found = f"of 1080p at 25 frames per second at most {', '.join(told)}"
    return Check(name="interruption", ok=True, found=found)


# The clock


def clock(state_dir: Path) -> Check:
    """Checks what jobs expire by. It is wrong for sure when files were written after what it calls now."""
    now = datetime.now(UTC)
    known = [Path(str(files("daemon.cli") / "checks.py")), Paths(state_dir).database]
    ahead = max(path.stat().st_mtime for path in known if path.exists()) - now.timestamp()
    found = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    return Check(
        name="clock",
        ok=ahead <= LAG,
        found=found if ahead <= LAG else f"{found}, but files here were written {ahead:.0f} s later than that",
        advice="set it (`timedatectl set-ntp true`): jobs are kept and deleted by it",
    )


# What the file of settings alone says


async def of_tables(library: Library, settings: Settings) -> list[Check]:
    """Checks watched folders, as a start does, tells what hours that things keep to let happen now, tries buckets."""
    try:
        tables = config_tables.tables()
        await folder_checks.check(tables.folders, library, settings)
    except StartupError as error:
        return [Check(name="config", ok=False, found=str(error), advice="mend that: the daemon does not start so")]
    hours = [("schedule", tables.schedule), *((f"hours of {one.name}", one.schedule) for one in tables.folders)]
    found = [Check(name=name, ok=True, found=await _hours(schedule)) for name, schedule in hours if schedule]
    if tables.folders:
        found.append(Check(name="folders", ok=True, found=", ".join(one.name for one in tables.folders)))
    return [*found, *[await _bucket(bucket) for bucket in tables.buckets]]


async def _bucket(bucket: Bucket) -> Check:
    """Lists it, and puts, reads and deletes a small object."""
    try:
        ill = await Workers("trying it", patience=PATIENCE).run("", partial(bucket_trial.flaw, bucket))
    except Unavailable as error:
        ill = str(error)
    advice = f"see to its table ({bucket.place}), its credentials and what they may do; deliveries to it wait"
    found = f"{bucket.name} {ill or 'takes what is delivered'}"
    return Check(name="bucket", ok=ill is None, found=found, advice=advice)


async def _hours(schedule: Schedule) -> str:
    verdict = await Timetable(schedule, now=time.time).look()
    until = f" until {datetime.fromtimestamp(verdict.changes_at):%a %H:%M}" if verdict.changes_at else ""
    return f"{verdict.state}{until}{f', {verdict.because}' if verdict.because else ''}"

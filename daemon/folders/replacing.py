"""Says of a file of a watched folder whether an output may take its place, before anything is made of it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from daemon import filenames
from daemon.config_tables import Folder
from daemon.delivery.originals import LINKED
from daemon.delivery.structures import told_by_name, whole_of
from daemon.delivery.terms import losses
from daemon.errors import BadParameter, UnsuitableSource
from daemon.media.durations import close
from daemon.media.model import Media
from daemon.models import Replacing, Wanted
from daemon.presets.builtin import PRESETS
from daemon.presets.library import Library
from daemon.recipes import command
from daemon.recipes.picture import is_thinned, to_deinterlace
from daemon.recipes.recipe import Plan
from daemon.scheduling.sources import NewSource
from daemon.source_files import open_source

FINE = re.compile(r"444|440|422|411|rgb|gbr|bgr")  # pixel formats that store colours finer than 4:2:0

LACKING = "its end is missing, as its own structure tells: what is left of it is all there is"
SMALL = 64 * 1024**2  # bytes up to which a file is known by all of them
CHUNK = 1024**2
GET_FLAGS = 0x8008_6601  # FS_IOC_GETFLAGS, and two of what it tells
IMMUTABLE, APPENDED_TO = 0x10, 0x20
ROUNDING = 0.98  # of a picture's area
ASKEW = 0.05  # of the ratio of its sides, by which rounding may change it
SEVERAL = 1.5  # pictures


class Unfit(Exception):
    """Nothing may take the place of the file; the words say why."""


def replacing(folder: Folder, name: str, source: NewSource, extension: str, disk: str) -> Replacing:
    """Returns what an output with that extension is to do to the file at `name` within a folder, as that is now.

    `disk` is the mark of that on which it lies.

    Raises Unfit, or OSError where it cannot be read. Blocks.
    """
    assert folder.replace is not None
    size, _, inode, modified = source.identity
    assert size is not None and inode is not None and modified is not None
    if words := whole_of(folder.path / name):
        raise Unfit(words)
    descriptor = open_source(str(source.path), identity=source.identity)
    try:
        _refuse_unfit(os.fstat(descriptor), folder.replace.trash)
        _refuse_protected(descriptor)
        _refuse_taken(folder.path / name, f".{extension}")
        digest = _digest(descriptor) if size <= SMALL or folder.replace.paranoid else None
    finally:
        os.close(descriptor)
    return Replacing(
        folder=folder.name,
        root=str(folder.path),
        disk=disk,
        name=name,
        bytes=size,
        inode=inode,
        modified=modified,
        trash=str(folder.replace.trash),
        sha256=digest,
        min_saving=folder.replace.min_saving,
        min_vmaf=folder.replace.min_vmaf,
        keep_days=folder.replace.keep_original_days,
    )


def _refuse_unfit(status: os.stat_result, trash: Path) -> None:
    if status.st_nlink > 1:
        raise Unfit(LINKED)
    if device_of(trash) != status.st_dev:
        raise Unfit("the trash lies on another file system than it does")
    if os.geteuid() and status.st_uid != os.geteuid():
        raise Unfit("it belongs to another user, whom the daemon's may not give files to")


def _refuse_protected(descriptor: int) -> None:
    """Refuses what no user may move, root neither, where the file system tells."""
    flags = bytearray(8)
    with suppress(OSError):
        fcntl.ioctl(descriptor, GET_FLAGS, flags)
        if int.from_bytes(flags[:4], sys.byteorder) & (IMMUTABLE | APPENDED_TO):
            raise Unfit("it is protected against being changed: `chattr -ia` lets it be replaced")


def _refuse_taken(path: Path, ending: str) -> None:
    """Refuses where something has the name to come already, or belongs to the file by its whole name."""
    if len(f"{path.stem}{ending}".encode()) > filenames.MAX_BYTES:
        raise Unfit(f"its name with {ending} would be longer than {filenames.MAX_BYTES} bytes")
    if path.suffix.lower() != ending and os.path.lexists(path.with_name(path.stem + ending)):
        raise Unfit(f"{path.stem}{ending} is there already")
    if words := told_by_name(path, ending):
        raise Unfit(words)


def device_of(path: Path) -> int:
    """Returns the number of the device that a folder lies on, or is going to."""
    there = next(one for one in (path, *path.parents) if one.exists())
    return there.stat().st_dev


def _digest(descriptor: int) -> str:
    digest = hashlib.sha256()
    while chunk := os.read(descriptor, CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def lost(wanted: Wanted, library: Library, media: Media) -> str | None:
    """Returns in words what an output would be without that its source has, or why there can be none; None: nothing."""
    if media.lacks_end:
        return LACKING
    try:
        preset = library.find(wanted.preset).base
        plan = command.plan(media, preset, wanted.parameters)
    except (UnsuitableSource, BadParameter) as error:
        return str(error)
    less = (*_fewer(plan, wanted, media), *_coarser(plan, preset, wanted, media))
    words = "; ".join(filter(None, (losses(plan.contents), *less)))
    return f"it would lose {words}" if words else None


def _fewer(plan: Plan, wanted: Wanted, media: Media) -> Iterator[str]:
    """What there would be less of, though it is the same in kind."""
    yield from _shorter(plan, media)
    picture = media.video
    if picture is None or plan.video is None:
        return
    width, height = plan.video
    size = f"{width}×{height} instead of {picture.width}×{picture.height}"
    if width * height < ROUNDING * picture.width * picture.height:
        yield f"pixels: it would be {size}"
    elif abs(width * picture.height / (height * picture.width) - 1) > ASKEW and not picture.tilt:
        yield f"shape: it would be {size}, with edges cut off or the picture smaller within it"
    fastest = wanted.parameters.get("max_frame_rate", wanted.parameters.get("fps"))
    if fastest is not None and picture.frame_rate and is_thinned(picture, fastest):
        yield f"pictures: {fastest:g} per second instead of {picture.frame_rate:.4g}"


def _shorter(plan: Plan, media: Media) -> Iterator[str]:
    """Whether there would be less of it in time: of a film without sound, one picture or its first seconds."""
    seconds, made, picture = media.duration_seconds, plan.duration_seconds, media.video
    if seconds is None or (made is not None and (made > seconds or close(made, seconds))):
        return
    if made is not None:
        yield f"time: {made:.1f} s would be left of {seconds:.1f} s"
    elif picture is None or picture.frame_rate is None or seconds * picture.frame_rate >= SEVERAL:
        yield f"time: a single picture would be left of {seconds:.1f} s"


def _coarser(plan: Plan, preset: str, wanted: Wanted, media: Media) -> Iterator[str]:
    """What of each picture there would be less of, where it is encoded by what does not keep all of it."""
    picture, lossless = media.video, PRESETS[preset].encoder == "ffv1"
    if picture is None or plan.video is None or plan.copied or lossless:
        return
    if to_deinterlace(picture, wanted.parameters.get("deinterlace", "auto")):
        yield "fields: of each two one picture would be made"
    if picture.bit_depth > wanted.parameters.get("bit_depth", picture.bit_depth):
        yield f"bits: {wanted.parameters['bit_depth']} of each colour instead of {picture.bit_depth}"
    if FINE.search(picture.pixel_format or ""):
        yield f"colours: they would be stored for every four pixels together, and are {picture.pixel_format} now"

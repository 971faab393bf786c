"""Refuses watched folders of which nothing can come, or too much, when the daemon starts."""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from daemon.bounded_threads import Workers
from daemon.config_tables import AnyFolder, Folder, When
from daemon.delivery.place import WEB
from daemon.delivery.rules import CODECS, codec_called
from daemon.errors import InvalidRequest, Misconfigured, StartupError, Unavailable
from daemon.folders.aside_checks import refuse_twice, refuse_unsafe, refuse_unusable, refuse_watched
from daemon.folders.overwriting import refuse_one_name, refuse_overwritten, refuse_shared, results
from daemon.media.allowlist import DECODERS
from daemon.models import Deliver, VariationRequest, Wanted
from daemon.mounts import Place, known_as, place
from daemon.name_template import NameTemplate
from daemon.presets.library import Library
from daemon.process import ffmpeg_binary
from daemon.settings import Settings
from daemon.source_files import GONE, lies_below
from daemon.storage.receivers import Receivers

PATIENCE = 3.0  # seconds to look at a folder: one that does not answer is away, and may be


async def check(folders: Sequence[AnyFolder], library: Library, settings: Settings) -> None:
    """Raises Misconfigured, with the line, for a folder that makes nothing that there is, is none, or feeds itself."""
    try:
        await _check(folders, library, settings)
    except StartupError as error:
        raise Misconfigured(str(error)) from error


async def _check(folders: Sequence[AnyFolder], library: Library, settings: Settings) -> None:
    looking = Workers("looking at a folder", patience=PATIENCE)
    reached, made = dict[str, Place | None](), dict[str, frozenset[str]]()
    local = [folder for folder in folders if isinstance(folder, Folder)]
    places = {folder.name: await _place(folder.path, looking) for folder in local}
    kept = {folder.name: await _place(aside, looking) for folder in local if (aside := folder.aside)}
    for folder in folders:
        where = f"In {folder.place or 'ffspool.toml'}: the folder {folder.name}"
        wanted = _wanted(folder, library, where)
        refuse_unsafe(folder, wanted, settings)
        refuse_watched(folder, local, places, kept)
        refuse_one_name(folder.deliver, where)
        await _refuse_unknown_codecs(folder.when, settings, where)
        if folder.deliver:
            await _refuse_unmet(folder.deliver, settings, where)
        target = _target(folder, settings.output_roots, where)
        reached[folder.name] = await _place(Path(target), looking) if target else None
        there = reached[folder.name]
        made[folder.name] = results(folder, there.ways if there else (), wanted)
        if isinstance(folder, Folder) and there and places[folder.name].path in there.ways:
            raise StartupError(f"{where} would take what is delivered to it: deliver to another folder")
        refuse_overwritten(folder, there.ways if there else (), _filled(folders, places, kept), wanted, where)
        if isinstance(folder, Folder):
            refuse_twice(folder, local, places)
            with suppress(Unavailable):
                await looking.run(str(folder.path), partial(_refuse_unusable, folder.path, settings, where))
                await looking.run(str(folder.path), partial(refuse_unusable, folder))
    refuse_shared(folders, made)
    _refuse_circles(local, reached, places)


async def _place(path: Path, looking: Workers) -> Place:
    """Where a path leads; as it stands, where its disk does not answer."""
    try:
        return await looking.run(str(path), partial(place, path))
    except Unavailable:
        return known_as(os.path.normpath(path))


def _filled(
    folders: Sequence[AnyFolder], places: Mapping[str, Place], kept: Mapping[str, Place]
) -> Iterator[AnyFolder]:
    """What files lie in that nothing is to take the place of: folders, and what their files are moved to."""
    for folder in folders:
        if not isinstance(folder, Folder):
            yield folder
            continue
        yield replace(folder, path=Path(places[folder.name].path))
        if folder.name in kept:
            yield replace(folder, path=Path(kept[folder.name].path), include=("*",), exclude=(), recursive=False)


def _wanted(folder: AnyFolder, library: Library, where: str) -> tuple[Wanted, ...]:
    compared = folder.replace is not None and folder.replace.min_vmaf > 0
    try:
        asked = [variation(entry, folder) for entry in folder.variations]
        if preset := next((one.preset for one in asked if compared and not _is_scored(one.preset, library)), None):
            raise StartupError(
                f"{where}: by `min_vmaf`, by default 93, outputs are compared with their originals, and "
                f"those of {preset} cannot be: take another preset, or say `min_vmaf` = 0 in `replace`"
            )
        return library.expand(asked)
    except InvalidRequest as error:
        raise StartupError(f"{where}: {error}") from error


def _is_scored(preset: str, library: Library) -> bool:
    """Whether it has the parameter that scores outputs. Raises UnknownPreset."""
    return isinstance(getattr(library.find(preset).defaults, "quality", None), str)


def _target(folder: AnyFolder, roots: Sequence[Path], where: str) -> str:
    """Where its outputs are brought, as it stands; empty: nowhere."""
    if folder.deliver is None:
        return ""
    if not isinstance(folder.deliver.folder, str):
        return ""
    if ".." in Path(folder.deliver.folder).parts:
        raise StartupError(f"{where}: {folder.deliver.folder} leads back and forth: name it without '..'")
    target = os.path.normpath(Path(roots[0] if len(roots) == 1 else "", folder.deliver.folder))
    if not any(_is_in(target, os.path.normpath(root)) for root in roots):
        raise StartupError(f"{where}: {folder.deliver.folder} is below no output root: name one (`output_roots`)")
    return target


async def _refuse_unknown_codecs(when: When, settings: Settings, where: str) -> None:
    """Refuses names of codecs that there are not, which would keep nothing out; FFmpeg is asked about rare ones."""
    for name in when.codec_not:
        codec = codec_called(name)
        if codec in DECODERS or await ffmpeg_binary.knows_codec(ffmpeg_binary.locate(settings.ffmpeg), codec):
            continue
        close = difflib.get_close_matches(codec, (*DECODERS, *CODECS), n=1)
        hint = f"did you mean {close[0]}?" if close else "name it as FFmpeg does, such as hevc"
        raise StartupError(f"{where}: in `codec_not`, there is no codec {name!r}: {hint}")


async def _refuse_unmet(wish: Deliver, settings: Settings, where: str) -> None:
    """Refuses names that tell nothing, and URLs that no job may name."""
    try:
        if wish.name is not None:
            NameTemplate(wish.name)
        if wish.scheme in WEB:
            private = settings.delivery_allow_private
            await Receivers(allow_private=private, ports=settings.fetch_ports).resolve(wish)
    except InvalidRequest as error:
        raise StartupError(f"{where}: {error}") from error


def _refuse_unusable(path: Path, settings: Settings, where: str) -> None:
    """Refuses what is no folder, lies below no source root, or is in the state dir. Blocks.

    What is missing below an empty folder is away: that may be where something is mounted.
    """
    if not lies_below(f"{path}/-", [str(root) for root in settings.source_roots]):
        raise StartupError(f"{where} lies below no source root: name {path} as one (`source_roots`)")
    if _is_in(os.path.realpath(path), os.path.realpath(settings.state_dir)):
        raise StartupError(f"{where} is in the state dir: watch a folder outside of {settings.state_dir}")
    try:
        if not stat.S_ISDIR(path.stat().st_mode):
            raise StartupError(f"{where}: {path} is no folder")
    except OSError as error:
        if error.errno not in GONE:
            return
        there = next(above for above in path.parents if above.exists())
        if not there.is_dir() or any(there.iterdir()):
            raise StartupError(f"{where}: {path} does not exist: correct it, or make it") from error


def _refuse_circles(
    folders: Sequence[Folder], reached: Mapping[str, Place | None], places: Mapping[str, Place]
) -> None:
    """Refuses folders that feed each other, be it through others."""
    fed = {folder.name: _fed(folder, folders, reached[folder.name], places) for folder in folders}
    for folder in folders:
        seen, ahead = set[str](), list(fed[folder.name])
        while ahead:
            name = ahead.pop()
            if name == folder.name:
                names = " and ".join(sorted(seen))
                raise StartupError(
                    f"In {folder.place}: the folder {name} and {names} feed each other: deliver elsewhere"
                )
            if name not in seen:
                seen.add(name)
                ahead += fed[name]


def _fed(folder: Folder, folders: Sequence[Folder], target: Place | None, places: Mapping[str, Place]) -> list[str]:
    """The others that would see what is brought there."""
    if target is None:
        return []
    return [
        other.name
        for other in folders
        if other is not folder and any(other.recursive or not way.parts for way in target.within(places[other.name]))
    ]


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


def variation(entry: dict[str, object], folder: AnyFolder) -> VariationRequest:
    """Returns what one of the folder's `variations` asks for. Raises StartupError where it names no preset."""
    overrides = dict(entry)
    preset = overrides.pop("preset", None)
    if not isinstance(preset, str):
        raise StartupError(f"the folder {folder.name}: each of its variations names its `preset`")
    if folder.replace and folder.replace.min_vmaf:
        overrides["quality"] = "vmaf"
    return VariationRequest(preset, overrides, folder.deliver)

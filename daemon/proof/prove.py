"""Proves that an output is what was planned, and tells what is known of it then: a file whole, a folder file by file.

An exit code proves nothing: an ffmpeg that was asked to quit, or met the end of a truncated source, says 0.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Sequence, Set
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from msgspec.structs import replace

from daemon.errors import ManifestError, ProbeError, ProofError, UnsuitableSource
from daemon.media.durations import close
from daemon.media.model import Media
from daemon.media.prober import Prober
from daemon.models import Contents, Model, Parameters, SourceFile
from daemon.plaintext import so_many, visible
from daemon.proof import output_folder
from daemon.proof.differences import differences_of_sounds
from daemon.proof.one_file import OTHERWISE, prove_file, truncation
from daemon.proof.quality import Quality
from daemon.recipes.recipe import SPRITES_INDEX, SPRITES_SHEET, Ladder, Plan, Sprites
from daemon.recipes.streaming_manifests import Rendition

_KEPT = "its original stays as it is"
_OTHER = f"{_KEPT}: it was changed or replaced while it was read"


class Proof(Model, frozen=True):
    """A proof is what is known of a proven part. `inode` ties it to one file: recovery can tell it from another."""

    bytes: int
    sha256: str
    inode: int
    output_seconds: float | None
    cpu_seconds: float
    speed: float | None
    quality: Quality | None = None
    chosen: Parameters = msgspec.field(default_factory=dict)
    contents: Contents | None = None


async def prove_output(
    prober: Prober, part: Path, plan: Plan, source: SourceFile, *, whole: bool = False
) -> float | None:
    """Returns the seconds that the output plays, once it is shown to be as planned; None where it has no duration.

    Of one that is a file, all is decoded if the `whole` is to be proven, and else its end alone. The master playlist of
    a ladder is told what its segments were found to take. Raises ProofError in words.
    """
    # Neither pictures nor a last one that is held show that they are of a part alone.
    if plan.seen_seconds is not None and (words := await truncation(prober, plan, source)):
        raise ProofError(words)
    try:
        if isinstance(plan.folder, Ladder):
            return await _ladder(prober, part, plan, plan.folder, source)
        if isinstance(plan.folder, Sprites):
            await _sprites(prober, part, plan, plan.folder)
            return None
    except (ProbeError, ManifestError, OSError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        words = f"the encoder said it was done, but its output is not whole: {words}"
        raise ProofError(f"{words}; {OTHERWISE}") from error
    made = await prove_file(prober, part, plan, source)
    if plan.max_bytes is not None:
        await asyncio.to_thread(_refuse_larger, part, plan.max_bytes)
    if whole:
        size = (await asyncio.to_thread(part.stat)).st_size
        await prober.decode_whole(part, made.duration_seconds or 0.0, size)
    return None if plan.still else made.duration_seconds


async def refuse_damaged(prober: Prober, source: SourceFile, media: Media, size: int) -> None:
    """Decodes all of an original of so many bytes that is to be replaced. Raises UnsuitableSource where some cannot be.

    A decoder makes up for that, and the output shows a whole film. What a share did not give that was away for a moment
    is read once more.
    """
    try:
        await prober.decode_whole(source, media.duration_seconds or 0.0, size)
    except ProbeError as error:
        if not await asyncio.to_thread(_is_there, source):
            raise UnsuitableSource(f"{_OTHER}: {error}") from error
        await _refuse_damaged_again(prober, source, media, size)


async def _refuse_damaged_again(prober: Prober, source: SourceFile, media: Media, size: int) -> None:
    try:
        await prober.decode_whole(source, media.duration_seconds or 0.0, size)
    except ProbeError as error:
        still = await asyncio.to_thread(_is_there, source)
        raise UnsuitableSource(f"{_KEPT if still else _OTHER}: {error}") from error


def _is_there(source: SourceFile) -> bool:
    """Whether an original that cannot be decoded is: another may lie there by now."""
    try:
        os.close(source.open())
    except OSError:
        return False
    return True


def _refuse_larger(part: Path, most: int) -> None:
    size = part.stat().st_size
    if size > most:
        raise ProofError(f"the output has {size} bytes; {most} are the limit: ask for a larger target_bytes")


async def pictures(prober: Prober, part: Path, plan: Plan, joints: Sequence[float]) -> list[tuple[int, ...]]:
    """Counts the pictures of an output, in each size that it has, before each of the joints and behind the last; where
    these are is told in seconds after the first picture. Raises ProbeError, ManifestError or OSError."""
    if not isinstance(plan.folder, Ladder):
        return [*(await prober.extent(part, joints)).parts]
    told = await asyncio.to_thread(output_folder.listing, part, plan.container)
    found = [tuple[int, ...]() for _ in range(len(joints) + 1)]
    for rendition in told.renditions:
        async with _whole(part, rendition) as whole:
            of_size = (await prober.extent(whole, joints)).parts or ((),) * len(found)  # none: it is a sound
        found = [some + more for some, more in zip(found, of_size, strict=True)]
    return found


# A ladder


async def _ladder(prober: Prober, part: Path, plan: Plan, ladder: Ladder, source: SourceFile) -> float:
    """Every rendition's segments are there, read to the end, and last as long as planned; nothing else is there."""
    told = await asyncio.to_thread(output_folder.listing, part, plan.container)
    made = [await _joined(prober, part, rendition) for rendition in told.renditions]
    await asyncio.to_thread(_refuse_other_files, part, told.files)
    pictures = [media.video for media in made if media.video]
    sizes = tuple((picture.coded_width, picture.coded_height) for picture in pictures)
    if sizes != ladder.rungs:
        words = f"the output has the sizes {_listed(sizes)} instead of {_listed(ladder.rungs)}"
        raise ProofError(f"{words}; {OTHERWISE}")
    if found := _other_sounds(told.renditions, made, plan):
        raise ProofError(await truncation(prober, plan, source) or f"{found}; {OTHERWISE}")
    lengths = [media.duration_seconds or 0.0 for media in made if media.video]
    for length in lengths:
        if plan.video_seconds is not None and not close(length, plan.video_seconds):
            words = f"a size of the output lasts {length:.2f} s instead of {plan.video_seconds:.2f} s"
            raise ProofError(await truncation(prober, plan, source) or f"{words}; {OTHERWISE}")
    if plan.container == "hls":
        await asyncio.to_thread(output_folder.tell_rates, part)
    return max(lengths)


def _other_sounds(renditions: Iterable[Rendition], made: Sequence[Media], plan: Plan) -> str | None:
    sounds = [(media, one.language) for one, media in zip(renditions, made, strict=True) if media.audio]
    picture = next(media for media in made if media.video)
    heard, languages = [media for media, _ in sounds], [language for _, language in sounds]
    found = differences_of_sounds(picture, heard, languages, plan)
    return f"the output is not what was planned: {'; '.join(found)}" if found else None


async def _joined(prober: Prober, part: Path, rendition: Rendition) -> Media:
    """What the rendition holds, its segments read one after the other, as a player would.

    `duration_seconds` is where its data ends. Raises ProofError where that is not what its manifest says.
    """
    async with _whole(part, rendition) as whole:
        media = await prober.probe_output(whole)
        measured = await prober.measured_seconds(whole)
    if measured is None or not close(measured, rendition.seconds):
        held = "an unknown time" if measured is None else f"{measured:.2f} s"
        words = f"the segments of a track last {held}, its manifest says {rendition.seconds:.2f} s"
        raise ProofError(f"{words}; {OTHERWISE}")
    return replace(media, duration_seconds=measured)


@asynccontextmanager
async def _whole(part: Path, rendition: Rendition) -> AsyncIterator[Path]:
    whole = part.with_name(f"{part.name}.track")
    try:
        await asyncio.to_thread(output_folder.join, whole, (part / name for name in rendition.names))
        yield whole
    finally:
        await asyncio.to_thread(whole.unlink, missing_ok=True)


def _listed(sizes: Iterable[tuple[int, int]]) -> str:
    return ", ".join(f"{width}×{height}" for width, height in sizes) or "none"


def _refuse_other_files(part: Path, expected: Set[str]) -> None:
    """Who unpacks a folder of ours shall find what was planned, and no names that an encoder thought of."""
    found = {path.relative_to(part).as_posix() for path in part.rglob("*") if path.is_symlink() or not path.is_dir()}
    if found != expected:
        strange = ", ".join(map(visible, sorted(found ^ expected)[:3]))
        raise ProofError(f"the output has {so_many(len(found), 'file')} instead of {len(expected)}: see {strange}")


# Sheets of sprites


async def _sprites(prober: Prober, part: Path, plan: Plan, sprites: Sprites) -> None:
    """Index and sheets are there, and nothing else; each sheet is a picture of the planned size."""
    expected = {SPRITES_INDEX, *(SPRITES_SHEET % number for number in range(1, sprites.sheets + 1))}
    await asyncio.to_thread(_refuse_other_files, part, expected)
    for name in sorted(expected - {SPRITES_INDEX}):
        video = (await _sheet(prober, part, name)).video
        sizes = [(video.width, video.height)] if video else []
        if sizes != [plan.video]:
            words = f"the sheet {name} is {_listed(sizes)} instead of {_listed(filter(None, [plan.video]))}"
            raise ProofError(f"{words}; {OTHERWISE}")


async def _sheet(prober: Prober, part: Path, name: str) -> Media:
    """Probes a sheet by its content: by its name FFmpeg would take it for one of a sequence of pictures."""
    nameless = part.with_name(f"{part.name}.sheet")
    await asyncio.to_thread(nameless.hardlink_to, part / name)
    try:
        return await prober.probe(nameless)
    finally:
        await asyncio.to_thread(nameless.unlink)

"""Checks what `ffspool run` is to do before anything is begun."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from msgspec.structs import replace

from daemon import filenames
from daemon.cli import made
from daemon.cli.folders import Named, is_folder, nothing_meant
from daemon.cli.made import Before, Entry, Origin
from daemon.errors import FfspoolError, InvalidRequest
from daemon.models import Model, Parameters, VariationRequest, Wanted
from daemon.plaintext import is_text, visible
from daemon.presets.library import Library
from daemon.scheduling.sources import NewSource, local_source
from daemon.states import OnUnsuitable

if TYPE_CHECKING:  # it loads what knows of codecs, which is loaded while the reader of files starts
    from daemon.cli.naming import Naming
    from daemon.cli.output_name import OneName

MOST_NAMED = 5
NOTHING = Before()
Key = tuple[int, int]  # device and inode


class Unusable(Model, frozen=True):
    """A file of which nothing can be made is told by a name that can be shown, and why."""

    file: str
    reason: str


class Batch(Model, frozen=True):
    """A batch is what is to be done: `targets` are the names in `folder` of each source's outputs, in order.

    Of what is `refused` nothing is made, and what is `there` already is not made again.
    """

    sources: tuple[NewSource, ...]
    refused: tuple[Unusable, ...]
    variations: tuple[VariationRequest, ...]
    folder: Path
    targets: tuple[tuple[str, ...], ...]
    origins: tuple[tuple[Origin, ...], ...]  # what each target is made of
    overwrite: bool
    there: tuple[str, ...] = ()
    on_unsuitable: OnUnsuitable = OnUnsuitable.SKIP


def check(
    files: Sequence[Named],
    variations: Sequence[VariationRequest],
    library: Library,
    folder: Path,
    *,
    overwrite: bool,
    strict: bool = False,
    skip_existing: bool = False,
    before: Before = NOTHING,
    named: Naming | OneName | None = None,
    on_unsuitable: OnUnsuitable = OnUnsuitable.SKIP,
) -> Batch:
    """Checks all that can be checked before anything is encoded.

    What an interrupted run had made `before` is skipped where it exists, as all is with `skip_existing`; looks that
    nobody chose are drawn as those were. Raises InvalidRequest or one of its kind, naming the file, the preset or the
    output at fault. Where others can be used, a file that cannot be is refused by itself, unless it is to be `strict`.
    """
    found, refused = usable([file.path for file in files])
    sources = tuple(replace(source, media=named.media.get(path) if named else None) for path, source in found)
    requests, wanted = _drawn(variations, library, refused, _earlier(folder, before, everything=skip_existing))
    if refused and (strict or not sources):
        raise InvalidRequest(_listed_reasons(refused))
    _refuse_unnamed(folder)
    targets = _targets({file.path: file.below for file in files}, found, wanted, named, made.read(folder))
    batch = Batch(
        sources=sources,
        refused=tuple(refused),
        variations=requests,
        folder=folder,
        targets=tuple(targets),
        origins=tuple(tuple(made.origin(source, want) for want in wanted) for source in sources),
        overwrite=overwrite,
        on_unsuitable=on_unsuitable,
    )
    batch = _without_made(batch, None if skip_existing else before.made)
    with _telling(refused):
        _refuse_existing(batch)
    return batch


@contextmanager
def _telling(refused: Sequence[Unusable]) -> Iterator[None]:
    """Has an InvalidRequest tell of refused files too: both are to be mended."""
    try:
        yield
    except InvalidRequest as error:
        if refused:
            raise InvalidRequest(f"{error}; {_listed_reasons(refused)}") from error
        raise


def _refuse_unnamed(folder: Path) -> None:
    if not is_text(str(folder.resolve())):
        raise InvalidRequest(f"the output folder {visible(str(folder))} is not named in UTF-8: choose another --output")


def expanded(
    variations: Sequence[VariationRequest], library: Library, refused: Sequence[Unusable]
) -> tuple[Wanted, ...]:
    """Returns all outputs of one source. Raises InvalidRequest, which tells of refused files too."""
    with _telling(refused):
        return library.expand(variations)


def _drawn(
    variations: Sequence[VariationRequest], library: Library, refused: Sequence[Unusable], earlier: Sequence[Parameters]
) -> tuple[tuple[VariationRequest, ...], tuple[Wanted, ...]]:
    """Gives each that draws looks a seed, and tells all outputs of one source."""
    expanded(variations, library, refused)
    seeded = library.seeded(variations, earlier)
    return seeded, library.expand(seeded)


def _earlier(folder: Path, before: Before, *, everything: bool) -> list[Parameters]:
    """Parameters by which an interrupted run wanted outputs, or made some; or any run that is on record. They are in
    the order of what was asked for, as the numbers in names are, in whichever they ended."""
    entries = sorted(made.read(folder).items())
    return [*before.wanted, *(one.origin.parameters for name, one in entries if everything or name in before.made)]


def _listed_reasons(refused: Sequence[Unusable]) -> str:
    more = f"; and {len(refused) - MOST_NAMED} more" if len(refused) > MOST_NAMED else ""
    return "; ".join(one.reason for one in refused[:MOST_NAMED]) + more


def _targets(
    below: Mapping[Path, str],
    found: Sequence[tuple[Path, NewSource]],
    wanted: Sequence[Wanted],
    named: Naming | OneName | None,
    entries: Mapping[str, Entry],
) -> list[tuple[str, ...]]:
    """Names each source's outputs in the output folder, where trees are as those that the sources lie in."""
    folders: dict[str, list[int]] = defaultdict(list)
    for number, (path, _) in enumerate(found):
        folders[below.get(path, "")].append(number)
    targets: list[tuple[str, ...]] = [()] * len(found)
    for folder, numbers in folders.items():
        called = [found[number][1].name for number in numbers]
        if named:
            names = named.names([found[number][0] for number in numbers], called, wanted)
        else:
            beside = _beside(entries, folder, [found[number][1] for number in numbers])
            names = filenames.outputs([*called, *beside], [(want.label, want.extension) for want in wanted])
        for number, own in zip(numbers, names, strict=False):
            targets[number] = tuple(str(PurePosixPath(folder, name)) for name in own)
    return targets


def _beside(entries: Mapping[str, Entry], folder: str, sources: Sequence[NewSource]) -> list[str]:
    """The names of other files of which earlier runs made outputs there: of two that share a stem, both are told apart.

    What was called by its stem alone is called so again.
    """
    paths = {str(source.path) for source in sources}
    lie_there = {name: entry for name, entry in entries.items() if PurePosixPath(name).parent == PurePosixPath(folder)}
    of = {name: PurePosixPath(entry.origin.path) for name, entry in lie_there.items()}
    plain = {path.stem for name, path in of.items() if str(path) in paths and _by_stem(name, path)}
    return sorted({path.name for path in of.values() if str(path) not in paths and path.stem not in plain})


def _by_stem(output: str, source: PurePosixPath) -> bool:
    return PurePosixPath(output).name.startswith(f"{source.stem}_")


def _without_made(batch: Batch, meant: Collection[str] | None) -> Batch:
    """Leaves out of the batch what an earlier run made of the same, and is there as it was left: what is `meant`, or
    all of it (None)."""
    entries = made.read(batch.folder) if meant is None or meant else {}
    entries = {name: entry for name, entry in entries.items() if meant is None or name in meant}
    there: list[str] = []
    left: list[tuple[NewSource, tuple[str, ...], tuple[Origin, ...]]] = []
    for source, targets, origins in zip(batch.sources, batch.targets, batch.origins, strict=True):
        pairs = list(zip(targets, origins, strict=True))
        whole = {n for n, (target, of) in enumerate(pairs) if made.is_whole(entries, batch.folder, target, of)}
        there += [targets[number] for number in sorted(whole)]
        if len(whole) < len(pairs):
            keep = [pair for number, pair in enumerate(pairs) if number not in whole]
            shown, of = tuple(target for target, _ in keep), tuple(of for _, of in keep)
            left.append((replace(source, without=frozenset(whole)), shown, of))
    return replace(
        batch,
        sources=tuple(source for source, _, _ in left),
        targets=tuple(targets for _, targets, _ in left),
        origins=tuple(origins for _, _, origins in left),
        there=tuple(there),
    )


def usable(files: Sequence[Path]) -> tuple[list[tuple[Path, NewSource]], list[Unusable]]:
    """Finds those of the files that can be read, with what they are, and says of the others why not."""
    found: list[tuple[Path, NewSource]] = []
    refused: list[Unusable] = []
    for path in files:
        try:
            found.append((path, _source(path)))
        except FfspoolError as error:
            refused.append(Unusable(file=visible(str(path)), reason=str(error)))
    return found, refused


def _source(path: Path) -> NewSource:
    name = filenames.check(filenames.shown(path.name))
    if is_folder(path):
        raise InvalidRequest(nothing_meant(path))
    return local_source(name, Path(os.path.realpath(path)))


def _refuse_existing(batch: Batch) -> None:
    existing = [name for names in batch.targets for name in names if os.path.lexists(batch.folder / name)]
    inputs = _keys_of_inputs(batch) if existing else set()
    if eaten := [name for name in existing if _key(batch.folder / name) in inputs]:
        raise InvalidRequest(f"an input would be overwritten: {_listed(batch, eaten)}. Choose another --output folder")
    if existing and not batch.overwrite:
        raise InvalidRequest(
            f"there already: {_listed(batch, existing)}. Add --skip-existing to keep what an earlier run made of the "
            "same files, or --overwrite; or choose another --output folder"
        )
    if strange := [name for name in existing if not made.may_go(batch.folder, name)]:
        raise InvalidRequest(
            f"there already, with more in it than ffspool made: {_listed(batch, strange)}. Move that away, or choose "
            "another --output folder"
        )


def _keys_of_inputs(batch: Batch) -> set[Key]:
    """What all inputs are known by, and the folders that they lie in."""
    inputs = {path for source in batch.sources if (path := source.path)}
    return {key for path in inputs.union(*(path.parents for path in inputs)) if (key := _key(path))}


def _key(path: Path) -> Key | None:
    """What it is known by, also where a disk heeds no case, or is mounted twice."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _listed(batch: Batch, names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(str(batch.folder / name) for name in names[:MOST_NAMED]) + more

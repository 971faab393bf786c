"""Checks what `ffspool run` is to do before anything is begun."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from daemon import filenames
from daemon.errors import FfspoolError, InvalidRequest
from daemon.models import Model, VariationRequest
from daemon.plaintext import is_text, visible
from daemon.presets.library import Library
from daemon.scheduling.sources import NewSource, local_source
from daemon.states import OnUnsuitable

MOST_NAMED = 5


class Unusable(Model, frozen=True):
    """A file of which nothing can be made is told by a name that can be shown, and why."""

    file: str
    reason: str


class Batch(Model, frozen=True):
    """A batch is what is to be done: `targets` are the names in `folder` of each source's outputs, in order.

    Of what is `refused` nothing is made.
    """

    sources: tuple[NewSource, ...]
    refused: tuple[Unusable, ...]
    variations: tuple[VariationRequest, ...]
    folder: Path
    targets: tuple[tuple[str, ...], ...]
    overwrite: bool
    on_unsuitable: OnUnsuitable = OnUnsuitable.SKIP


def check(
    files: Sequence[Path],
    variations: Sequence[VariationRequest],
    library: Library,
    folder: Path,
    *,
    overwrite: bool,
    strict: bool = False,
    on_unsuitable: OnUnsuitable = OnUnsuitable.SKIP,
) -> Batch:
    """Checks all that can be checked before anything is encoded.

    Raises InvalidRequest or one of its kind, naming the file, the preset or the output at fault. Where others can be
    used, a file that cannot be is refused by itself, unless it is to be `strict`.
    """
    found, refused = usable(files)
    sources = tuple(source for _, source in found)
    if refused and (strict or not sources):
        more = f"; and {len(refused) - MOST_NAMED} more" if len(refused) > MOST_NAMED else ""
        raise InvalidRequest("; ".join(one.reason for one in refused[:MOST_NAMED]) + more)
    if not is_text(str(folder.resolve())):
        raise InvalidRequest(f"the output folder {visible(str(folder))} is not named in UTF-8: choose another --output")
    wanted = library.expand(variations)
    targets = tuple(filenames.outputs([source.name for source in sources], [(w.label, w.extension) for w in wanted]))
    batch = Batch(
        sources=sources,
        refused=tuple(refused),
        variations=tuple(variations),
        folder=folder,
        targets=targets,
        overwrite=overwrite,
        on_unsuitable=on_unsuitable,
    )
    _refuse_existing(batch)
    return batch


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
    if path.is_dir():
        raise InvalidRequest(f"{visible(str(path))} is a folder: name the files in it")
    return local_source(name, Path(os.path.realpath(path)))


def _refuse_existing(batch: Batch) -> None:
    targets = [batch.folder / name for names in batch.targets for name in names]
    existing = [path for path in targets if os.path.lexists(path)]
    inputs = {path.resolve() for source in batch.sources if (path := source.path)}
    if eaten := [path for path in existing if path.resolve() in inputs]:
        raise InvalidRequest(f"an input would be overwritten: {_listed(eaten)}. Choose another --output folder")
    if existing and not batch.overwrite:
        raise InvalidRequest(
            f"there already: {_listed(existing)}. Remove what is not needed, choose another --output folder "
            "or add --overwrite"
        )


def _listed(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - MOST_NAMED} more" if len(paths) > MOST_NAMED else ""
    return ", ".join(map(str, paths[:MOST_NAMED])) + more

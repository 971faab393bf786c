"""Checks what `ffspool run` is to do before anything is begun."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from daemon import filenames
from daemon.errors import InvalidRequest
from daemon.models import Model, VariationRequest
from daemon.plaintext import is_text, visible
from daemon.presets.library import Library
from daemon.scheduling.sources import NewSource, local_source
from daemon.states import OnUnsuitable


class Batch(Model, frozen=True):
    """A batch is what is to be done: `targets` are the names in `folder` of each source's outputs, in order."""

    sources: tuple[NewSource, ...]
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
    on_unsuitable: OnUnsuitable = OnUnsuitable.SKIP,
) -> Batch:
    """Checks all that can be checked before anything is encoded.

    Raises InvalidRequest or one of its kind, naming the file, the preset or the output at fault.
    """
    sources = tuple(local_source(filenames.check(filenames.shown(path.name)), path.resolve()) for path in files)
    if not is_text(str(folder.resolve())):
        raise InvalidRequest(f"the output folder {visible(str(folder))} is not named in UTF-8: choose another --output")
    wanted = library.expand(variations)
    targets = tuple(filenames.outputs([source.name for source in sources], [(w.label, w.extension) for w in wanted]))
    batch = Batch(
        sources=sources,
        variations=tuple(variations),
        folder=folder,
        targets=targets,
        overwrite=overwrite,
        on_unsuitable=on_unsuitable,
    )
    _refuse_existing(batch)
    return batch


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


def _listed(paths: Sequence[Path], most: int = 5) -> str:
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return ", ".join(map(str, paths[:most])) + more

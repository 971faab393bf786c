"""Refuses watched folders of which nothing can come, or too much, when the daemon starts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from daemon.errors import InvalidRequest, StartupError
from daemon.models import VariationRequest
from daemon.presets.library import Library
from daemon.settings import Folder
from daemon.source_files import lies_below


def check(folders: Sequence[Folder], library: Library, roots: Sequence[Path]) -> None:
    """Raises StartupError for a folder that makes nothing that there is, is no source, or would feed itself."""
    for folder in folders:
        where = f"the folder {folder.name}"
        try:
            library.expand([variation(entry, folder) for entry in folder.variations])
        except InvalidRequest as error:
            raise StartupError(f"{where}: {error}") from error
        if not lies_below(f"{folder.path}/-", [str(root) for root in roots]):
            raise StartupError(f"{where} lies below no source root: name {folder.path} as one (`source_roots`)")
        if folder.deliver and os.path.normpath(folder.deliver.folder) == os.path.normpath(folder.path):
            raise StartupError(f"{where} would take what is delivered to it: deliver to another folder")


def variation(entry: dict[str, object], folder: Folder) -> VariationRequest:
    """Returns what one of the folder's `variations` asks for. Raises StartupError where it names no preset."""
    overrides = dict(entry)
    preset = overrides.pop("preset", None)
    if not isinstance(preset, str):
        raise StartupError(f"the folder {folder.name}: each of its variations names its `preset`")
    return VariationRequest(preset, overrides, folder.deliver)

"""Tells whether `ffspool run -o NAME` names a folder, as it usually does, or the one file that is to be made."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from daemon import filenames
from daemon.cli.folders import Named
from daemon.errors import InvalidRequest
from daemon.media_types import MEDIA_TYPES
from daemon.models import VariationRequest, Wanted
from daemon.plaintext import so_many, visible
from daemon.presets.library import Library

if TYPE_CHECKING:
    from daemon.media.model import Media

OF_OTHERS = {
    ".avi",
    ".mpg",
    ".mpeg",
    ".m4v",
    ".m2ts",
    ".wmv",
    ".flv",
    ".mxf",
    ".3gp",
    ".aac",
    ".aiff",
    ".jpeg",
    ".tiff",
}
SAME = {".jpeg": ".jpg"}


class OneName(NamedTuple):
    """Says what the only output of a run is called, as a `Naming` does of many."""

    name: str
    media: Mapping[Path, Media] = {}

    def names(self, files: Sequence[Path], called: Sequence[str], wanted: Sequence[Wanted]) -> list[tuple[str, ...]]:  # noqa: ARG002
        return [(self.name,) for _ in files]


def parted(
    output: str, files: Sequence[Named], requests: Sequence[VariationRequest], library: Library, *, named: bool
) -> tuple[Path, OneName | None]:
    """Returns the folder that results go to and, where a file is named that one preset makes of one file, its name.

    A folder that is there, and what ends with "/", is a folder whatever it is called. Raises InvalidRequest for a name
    that is a file's, where no file of that sort is to be made, or several files are, or it is `named` elsewhere.
    """
    path = Path(output)
    suffix = path.suffix.lower()
    if path.is_dir() or output.endswith("/"):
        return path, None
    if suffix not in MEDIA_TYPES and suffix not in OF_OTHERS:
        if path.exists():
            raise InvalidRequest(f"the output folder {visible(output)} is a file: choose another --output")
        return path, None
    if named:
        raise InvalidRequest(f"--name and -o {visible(output)} both say what the result is called: give one of them")
    wanted = library.expand(requests)
    _refuse_misfit(output, files, wanted)
    return path.parent, OneName(filenames.check_portable(path.name))


def _refuse_misfit(output: str, files: Sequence[Named], wanted: Sequence[Wanted]) -> None:
    path, called = PurePosixPath(output), visible(output)
    folder = f"`-o {shlex.quote(str(path.with_suffix('')))}` names a folder for them"
    if len(files) * len(wanted) > 1:
        several = f"{so_many(len(files), 'file')} × {so_many(len(wanted), 'output')} are {len(files) * len(wanted)}"
        raise InvalidRequest(
            f"{called} is the name of one file, and {several}: {folder} (`-o {called}/` one called so)"
        )
    extension = f".{wanted[0].extension}" if wanted[0].extension else ""
    if not extension:
        raise InvalidRequest(f"{called} is the name of a file, and {wanted[0].preset} makes a folder: {folder}")
    if SAME.get(path.suffix.lower(), path.suffix.lower()) != extension:
        fitting = shlex.quote(str(path.with_suffix(extension)))
        raise InvalidRequest(
            f"{called} is no name for what {wanted[0].preset} makes: type `-o {fitting}`, or choose a preset that "
            f"makes {path.suffix[1:]} (`ffspool presets` lists them)"
        )

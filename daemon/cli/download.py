"""Runs `ffspool download`: fetches what is completed, as a zip or file by file. No file is ever half there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.completion import JobType, PartType
from daemon.cli.options import as_json, echo, load_library, name_template, overwrite, print_json, reach, state_dir
from daemon.cli.references import References, variations
from daemon.errors import FfspoolError, InvalidRequest
from daemon.name_template import NameTemplate

if TYPE_CHECKING:
    from daemon.cli.client import Client, Json


@click.command()
@click.argument("job", type=JobType())
@click.argument("variation", required=False, type=PartType("variation"))
@click.option(
    "-o", "--output", "where", type=click.Path(),
    help="Where to: of a whole job a FILE.zip, or a folder into which it is unpacked; by default a zip here.",
)  # fmt: skip
@click.option("--extract", is_flag=True, help="Unpack it, into folders named after the sources; by default here.")
@name_template
@overwrite
@state_dir
@as_json
def download(
    job: str,
    variation: str | None,
    where: str | None,
    extract: bool,
    template: str | None,
    overwrite: bool,
    state_dir: Path | None,
    as_json: bool,
) -> None:
    """Fetch what is completed of JOB, as a zip or into a folder; or the file of one VARIATION (a zip, if that is a
    folder).
    """
    if variation and extract:
        raise click.UsageError("--extract is for a whole job: a variation is one file anyway")
    if variation and template:
        raise click.UsageError("--name is for a whole job: -o says what one file is called")
    named = NameTemplate(template) if template is not None else None
    daemon = reach(state_dir)
    job = daemon.meant(job)
    output = Path(where) if where else None
    unpacked = variation is None and (extract or named is not None or (where is not None and not _is_zip(where)))
    if variation:
        if where and where.endswith(os.sep):
            Path(where).mkdir(parents=True, exist_ok=True)
        fetched = _fetch_one(daemon, job, variation, output, overwrite)
    elif unpacked:
        fetched = _fetch_each(daemon, job, output, overwrite, named)
    else:
        fetched = _fetch_zip(daemon, job, output, overwrite)
    if as_json:
        print_json({"files": [{"path": str(path), "bytes": size} for path, size in fetched]})
    else:
        _tell(fetched, output, unpacked=unpacked, hinted=where is None and variation is None)


def _is_zip(where: str) -> bool:
    """Whether that names a zip to be made: else it is a folder, there or not, as `run` and `tar -C` take one."""
    return where.lower().endswith(".zip") and not Path(where).is_dir()


def _tell(fetched: Sequence[tuple[Path, int]], output: Path | None, *, unpacked: bool, hinted: bool) -> None:
    from daemon.cli.terminal import size as words

    for path, size in fetched:
        echo(f"{path}  {words(size)}")
    if unpacked:
        count = "1 file is" if len(fetched) == 1 else f"{len(fetched)} files are"
        echo(f"{count} below {output or 'the current folder'}, {words(sum(size for _, size in fetched))} in all")
    elif hinted:
        echo("It is a zip: `-o FOLDER` unpacks it there instead", err=True)


def _fetch_zip(daemon: Client, job: str, output: Path | None, overwrite: bool) -> list[tuple[Path, int]]:
    target = _target(output, f"ffspool-{job}.zip", overwrite)
    return [(target, daemon.download(job, target))]


def _fetch_one(
    daemon: Client, job: str, variation: str, output: Path | None, overwrite: bool
) -> list[tuple[Path, int]]:
    found = daemon.job(job)
    variation = References(daemon.jobs, lambda _: found).variation(job, variation)
    known = {entry["id"]: entry for entry in variations(found)}
    entry = known.get(variation, {"name": variation, "sha256": None})  # of one unknown the daemon tells what is wrong
    if entry.get("folder"):  # as a zip, whose own SHA-256 nobody knows: that of the folder is checked by --extract
        target = _target(output, _shown(f"{entry['name']}.zip"), overwrite)
        return [(target, daemon.download_variation(job, variation, target, None))]
    target = _target(output, _shown(entry["name"]), overwrite)
    return [(target, daemon.download_variation(job, variation, target, entry["sha256"]))]


def _fetch_each(
    daemon: Client, job: str, output: Path | None, overwrite: bool, named: NameTemplate | None
) -> list[tuple[Path, int]]:
    """Lays the files out as in the zip, or all in one folder if they are `named` by a template."""
    found = daemon.job(job)
    wanted = [((output or Path()) / place, entry) for place, entry in _places(found, named)]
    if not wanted:
        raise FfspoolError(f"nothing of {job} is completed yet")
    for target, _ in wanted:
        _refuse_existing(target, overwrite)
    fetched = []
    for target, entry in wanted:
        target.parent.mkdir(parents=True, exist_ok=True)
        fetched.append((target, _fetch_entry(daemon, job, entry, target)))
    return fetched


def _places(job: Json, named: NameTemplate | None) -> Iterator[tuple[Path, Json]]:
    """Yields what is completed, and where it is to lie. The daemon's names are checked before they become ours."""
    from daemon.filenames import folders

    if named:
        from daemon.cli.naming import downloaded

        names = downloaded(job, named, load_library())
        yield from ((Path(names[entry["id"]]), entry) for entry in variations(job) if entry["id"] in names)
        return
    for source, folder in zip(job["sources"], folders([source["name"] for source in job["sources"]]), strict=True):
        for entry in source["variations"]:
            if entry["status"] == "completed":
                yield Path(_shown(folder), _shown(entry["name"])), entry


def _shown(name: str) -> str:
    """The daemon's name for a file or folder as ours: where it is hidden it may tell other programs what to do, as
    those of `.ssh` do. Raises BadName."""
    from daemon.filenames import check

    return f"_{check(name)[1:]}" if name.startswith(".") else check(name)


def _fetch_entry(daemon: Client, job: str, entry: dict[str, Any], target: Path) -> int:
    if not entry.get("folder"):
        return daemon.download_variation(job, entry["id"], target, entry["sha256"])
    return daemon.download_folder(job, entry["id"], target, entry["sha256"])


def _target(output: Path | None, name: str, overwrite: bool) -> Path:
    target = output / name if output and output.is_dir() else output or Path(name)
    _refuse_existing(target, overwrite)
    if not target.absolute().parent.is_dir():
        raise InvalidRequest(f"there is no folder {target.parent}: make it, or name another with -o")
    return target


def _refuse_existing(target: Path, overwrite: bool) -> None:
    if target.exists() and not overwrite:
        raise InvalidRequest(f"{target} exists already: remove it, name another with -o or add --overwrite")

"""Refuses, when the daemon starts, deliveries that would overwrite what is watched with what is made of it.

Results are known where they are, so that they may lie among their sources, but not in their place.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import permutations
from pathlib import PurePath, PurePosixPath

from msgspec import UNSET

from daemon.config_tables import AnyFolder, BucketFolder, Folder
from daemon.errors import StartupError
from daemon.folders.scan import is_being_made, may_be_taken
from daemon.meant_files import sample_of
from daemon.models import Conflict, Deliver, Wanted
from daemon.name_template import USUAL, WORD
from daemon.presets.builtin import FOLDER

TELLING = frozenset({"stem", "source", "job"})  # words that tell one file of a folder from another
SAMPLE = "x7q"  # stands for whatever a word may be


def refuse_overwritten(
    folder: AnyFolder, ways: Collection[PurePath], others: Iterable[AnyFolder], wanted: Sequence[Wanted], where: str
) -> None:
    """Raises StartupError where a delivery of the folder's may take the place of a file that lies in one of all.

    It goes to the folder of this host to which all the `ways` lead, if to any; `others` are named by paths without
    links, as those are. URLs tell one bucket whichever profiles lead to it. `wanted` is what is made of each file.
    """
    wish = folder.deliver
    if wish is None or wish.conflict != Conflict.OVERWRITE or not (ways or isinstance(wish.url, str)):
        return
    templates = [f"{way}/{wish.name or USUAL}" for way in ways] or [str(wish.url)]
    for other in others:
        assert isinstance(other, Folder | BucketFolder)
        if any(_may_reach(template, one, folder, other) for template in templates for one in wanted):
            words = (
                "would take what is delivered to it"
                if other.name == folder.name
                else f"delivers into the folder {other.name}"
            )
            raise StartupError(
                f'{where} {words}, and with `conflict` = "overwrite" a result may take the place of a source: deliver '
                f"elsewhere, `exclude` that from what is watched, or take another `conflict`, such as number"
            )


def refuse_one_name(wish: Deliver | None, where: str) -> None:
    """Raises StartupError where the results of several files would have one name in a folder, each in the last one's
    place."""
    if wish is None or wish.url is not UNSET or wish.name is None or wish.conflict != Conflict.OVERWRITE:
        return
    if TELLING.isdisjoint(WORD.findall(wish.name)):
        raise StartupError(
            f'{where}: with `conflict` = "overwrite" each result would take the place of the last one, as '
            f"{wish.name!r} is the same for all files: put {{stem}} into `name`, or take another `conflict`"
        )


def results(folder: AnyFolder, ways: Collection[PurePath], wanted: Sequence[Wanted]) -> frozenset[str]:
    """Returns where the results of a file go, each under all the `ways` that lead to the folder it is brought to: the
    file has a name that those of other folders have too.
    """
    wish = folder.deliver
    if wish is None:
        return frozenset()
    templates = [f"{way}/{wish.name or USUAL}" for way in ways] or [str(wish.url)]
    return frozenset(
        _key(f"{template}{USUAL}" if template.endswith("/") else template, SAMPLE, one, f"{folder.name} {SAMPLE}")
        for template in templates
        for one in wanted
    )


def refuse_shared(folders: Sequence[AnyFolder], results: Mapping[str, frozenset[str]]) -> None:
    """Raises StartupError where a delivery may take the place of what is left of another folder's file, its result."""
    for folder, other in permutations(folders, 2):
        wish = folder.deliver
        if other.on_success == "leave" or wish is None or wish.conflict != Conflict.OVERWRITE:
            continue
        if not results[folder.name].isdisjoint(results[other.name]):
            raise StartupError(
                f'In {folder.place}: the folder {folder.name} delivers with `conflict` = "overwrite" to where it may '
                f"take the place of the only result of a file of the folder {other.name}, which is not left there: "
                "deliver elsewhere, take another `name` or another `conflict`, such as number"
            )


def _may_reach(wished: str, one: Wanted, folder: AnyFolder, watched: Folder | BucketFolder) -> bool:
    """Whether an output may have a key, or a path, that is watched."""
    template = f"{wished}{USUAL}" if wished.endswith("/") else wished
    steps, above = template.split("/"), watched.beginning.rstrip("/").split("/")
    within = steps[len(above) :]
    if not within or (len(within) > 1 and not watched.recursive):
        return False
    patterns = _patterns(one, folder)
    if not all(_matches(step, known, patterns) for step, known in zip(steps, above, strict=False)):
        return False
    return any(_is_watched(key, watched) for key in _keys("/".join(within), one, watched))


def _patterns(one: Wanted, folder: AnyFolder) -> dict[str, str]:
    """What each word of a template may become."""
    return {
        "preset": f"{re.escape(one.label)}.*",
        "ext": re.escape(one.extension),
        "job": f"{re.escape(folder.name)}.+",  # which its jobs are called after
        "folder": "" if isinstance(folder, BucketFolder) else ".*",
        "date": r"\d{4}-\d\d-\d\d",
        "height": r"\d*",
    }


def _matches(step: str, known: str, patterns: dict[str, str]) -> bool:
    """Whether a step of a template may become that one of a URL."""
    parts = WORD.split(step)  # texts and words in turn
    pattern = "".join(patterns.get(part, ".*") if n % 2 else re.escape(part) for n, part in enumerate(parts))
    return re.fullmatch(pattern, known) is not None


def _keys(template: str, one: Wanted, watched: AnyFolder) -> Iterator[str]:
    """Keys that it may become, of sources that the folder may hold."""
    end = "/x.ts" if one.extension == FOLDER else ""
    for stem in (SAMPLE, *(PurePosixPath(sample_of(pattern)).stem for pattern in watched.include)):
        yield _key(template, stem, one) + end


def _key(template: str, stem: str, one: Wanted, job: str = SAMPLE) -> str:
    name = template if one.extension == FOLDER or "{ext}" in template else f"{template}.{{ext}}"
    words = {"stem": stem, "source": f"{stem}.{one.extension}", "preset": one.label, "ext": one.extension, "job": job}
    parts = WORD.split(name)  # texts and words in turn
    key = "".join(words.get(part, SAMPLE) if n % 2 else part for n, part in enumerate(parts))
    return re.sub(r"(^|/)\.", r"\1_", key)  # as templates name nothing that is hidden


def _is_watched(key: str, watched: AnyFolder) -> bool:
    steps = key.split("/")
    in_depth = len(steps) == 1 or watched.recursive
    return in_depth and not any(map(is_being_made, steps)) and may_be_taken(key, watched)

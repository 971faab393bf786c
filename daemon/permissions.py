"""Tells whether others may write what the daemon trusts: they could bring their own token, database or outputs.

As with sshd's StrictModes, such a state dir is not used, and nothing of it is changed unasked: it may be somebody
else's. Folders above it are another's to arrange, by groups and owners; that anybody may replace them is refused.
"""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from daemon.paths import Paths

ROOT = 0
OTHERS = stat.S_IWGRP | stat.S_IWOTH
ELSEWHERE = "or name another folder with --state-dir"


class Weakness(NamedTuple):
    """A weakness is what others could do, and what to do about it, both in words."""

    found: str
    advice: str


def weakness(paths: Paths, user: int | None = None) -> Weakness | None:
    """Returns the first reason why `user`, by default this process's, cannot trust the state dir; None when it can.

    A state dir that is not there yet is judged by the folders above it.
    """
    user = os.geteuid() if user is None else user
    inside = dict(_statuses(_trusted(paths)))
    above = dict(_statuses(paths.state.parents))
    return (
        _first(inside, lambda status: status.st_uid not in {user, ROOT}, _of_another(user))
        or _first(inside, _is_open, _open_to_others)
        or (
            _first(dict(_statuses((paths.token, paths.webhook_secret))), _is_told, _told)
            if _is_entered(paths)
            else None
        )
        or _first(above, _is_anybodys, _anybodys)
    )


def _trusted(paths: Paths) -> Iterator[Path]:
    yield from (paths.state, paths.token, paths.webhook_secret, paths.lock, paths.mark, paths.address)
    yield from (paths.database.with_name(paths.database.name + ending) for ending in ("", "-wal", "-shm"))
    yield from (paths.spool, paths.incoming, paths.uploads, paths.jobs, paths.set_aside)


def _statuses(files: Iterable[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    for path in files:
        try:
            yield path, path.lstat()
        except (FileNotFoundError, NotADirectoryError, PermissionError):  # what is not to be used says so itself
            continue


def _first(
    statuses: dict[Path, os.stat_result],
    is_weak: Callable[[os.stat_result], bool],
    words: Callable[[list[Path], os.stat_result], Weakness],
) -> Weakness | None:
    weak = [path for path, status in statuses.items() if is_weak(status)]
    return words(weak, statuses[weak[0]]) if weak else None


def _is_open(status: os.stat_result) -> bool:
    """A link's own mode says nothing."""
    return bool(status.st_mode & OTHERS) and not stat.S_ISLNK(status.st_mode)


def _is_told(status: os.stat_result) -> bool:
    return bool(status.st_mode & (stat.S_IRGRP | stat.S_IROTH)) and not stat.S_ISLNK(status.st_mode)


def _is_entered(paths: Paths) -> bool:
    """Tells whether others may go into the state dir."""
    return any(status.st_mode & (stat.S_IXGRP | stat.S_IXOTH) for _, status in _statuses([paths.state]))


def _is_anybodys(status: os.stat_result) -> bool:
    """Tells whether anybody may replace it. With the sticky bit, as in /tmp, a folder is only its owner's to move."""
    return bool(status.st_mode & stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX


def _of_another(user: int) -> Callable[[list[Path], os.stat_result], Weakness]:
    def words(weak: list[Path], status: os.stat_result) -> Weakness:
        owner, me = _name(status.st_uid), _name(user)
        return Weakness(
            f"{weak[0]} belongs to {owner}, and this is {me}: its owner can bring another token or database",
            f"run as {owner}, or if all of it is yours to take `{_command('chown -R', me, weak[:1])}`, {ELSEWHERE}",
        )

    return words


def _open_to_others(weak: list[Path], status: os.stat_result) -> Weakness:
    return Weakness(
        f"{weak[0]} may be written by others (mode {_mode(status)}): they can bring another token or database",
        f"once you trust what is in it `{_command('chmod go-w', '', weak)}`, {ELSEWHERE}",
    )


def _told(weak: list[Path], status: os.stat_result) -> Weakness:
    return Weakness(
        f"{weak[0]} may be read by others (mode {_mode(status)}): who knows it speaks for you",
        f"`{_command('chmod go-r', '', weak)}`; if others were on this host meanwhile, delete it: the next start makes "
        f"a new one",
    )


def _anybodys(weak: list[Path], status: os.stat_result) -> Weakness:
    return Weakness(
        f"{weak[0]}, above the state dir, may be written by anybody (mode {_mode(status)}): they can replace it",
        f"`{_command('chmod o-w', '', weak)}`, or `chmod +t` as for /tmp, {ELSEWHERE}",
    )


def _command(verb: str, user: str, files: list[Path]) -> str:
    return " ".join([verb, *([user] if user else []), shlex.join(map(str, files))])


def _mode(status: os.stat_result) -> str:
    return f"{stat.S_IMODE(status.st_mode):04o}"


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)

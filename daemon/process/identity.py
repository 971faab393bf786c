"""Tells which process a pid means: by its start time, and by what its environment says it works for.

A stored pid is only ours while its start time is the stored one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

TOKEN_VARIABLE = "FFSPOOL_ATTEMPT"
HOME_VARIABLE = "FFSPOOL_HOME"  # whose it is: a copy of the database has its token, too


# Identity of processes that an earlier daemon left behind


def start_ticks(pid: int) -> int:
    """Returns when the process started, in clock ticks since boot; with the pid, that is its identity.

    Raises ProcessLookupError when there is no such process.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError as error:
        raise ProcessLookupError(pid) from error
    return int(stat.rpartition(")")[2].split()[19])


def state(pid: int) -> str:
    """Returns the kernel's letter for the process, such as `T` for stopped; empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


def waits_for_disk(pid: int) -> bool:
    """Tells whether the kernel is in the middle of something for the process that no signal interrupts."""
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):  # it ended meanwhile
            if (thread / "stat").read_text().rpartition(")")[2].split()[0] == "D":
                return True
    return False


def vitals(pid: int) -> tuple[float, int]:
    """Returns CPU seconds the process used, and bytes it read or wrote. Raises ProcessLookupError when it is gone."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times, io = process.cpu_times(), process.io_counters()
    except psutil.Error as error:
        raise ProcessLookupError(pid) from error
    return times.user + times.system, io.read_chars + io.write_chars


def is_of_another(pid: int, home: str) -> bool:
    """Tells whether the process carries the mark of another home than this; one without any does not."""
    try:
        return psutil.Process(pid).environ().get(HOME_VARIABLE, home) != home
    except psutil.Error:
        return False  # gone, or another user's, whom nothing of ours can end


def find_by_token(tokens: Callable[[str], bool]) -> Iterator[tuple[int, int]]:
    """Yields (pid, start ticks) of each process whose environment carries an attempt's token that `tokens` accepts."""
    for process in psutil.process_iter():
        try:
            token = process.environ().get(TOKEN_VARIABLE)
            if token and tokens(token):
                yield process.pid, start_ticks(process.pid)
        except (psutil.Error, ProcessLookupError, PermissionError):
            continue  # gone, or another user's: not ours in either case

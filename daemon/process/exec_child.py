"""Becomes an encoder: run as `python -I -m daemon.process.exec_child FD PARENT`, reads its order from FD and `exec`s.

What a child must have before its first instruction is set here, in a process that has one thread,
because a `preexec_fn` is not safe beside the daemon's threads: the parent-death signal, niceness, limits
and the sandbox. Every encode waits for it, so it imports little: `json` and `signal` alone would double its
start-up.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import resource
import sys

from daemon.process import sandbox
from daemon.source_files import SourceRefused, descriptor_path, open_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PR_SET_PDEATHSIG = 1
SIGKILL = 9
SOURCE = 9  # the descriptor by which an encoder has its source: what its name leads to may be another file by then
SOURCE_PATH = descriptor_path(SOURCE)
OOM_SCORE = "500"  # beside the size of a process: half of all memory
CANNOT_START = 127  # the exit code when the encoder could not be executed, as in a shell


def main() -> None:
    die_with(int(sys.argv[2]))
    sandbox.prepare(execute=True)
    order = read_order(int(sys.argv[1]))
    os.nice(order["nice"])
    expose()
    for name, limits in order["limits"].items():
        lower(getattr(resource, name), *limits)
    os.chdir(order["folder"])
    source = open_up(order["source"]) if order["source"] is not None else None
    if order["walls"] is not None:
        shut_in(order["walls"] if source is None else {**order["walls"], "source": source})
    if order["canary"] is not None:
        print("\n".join(sandbox.leaks(order["canary"])), flush=True)
        return
    try:
        os.execve(order["program"], order["argv"], order["environment"])
    except OSError as error:
        give_up(f"{order['called']} cannot be executed: {error.strerror}")


def open_up(source: dict[str, Any]) -> int:
    try:
        os.dup2(open_source(**source), SOURCE)
    except SourceRefused as error:
        give_up(f"the source cannot be opened: {error.strerror}")
    return SOURCE


def expose() -> None:
    """Has the kernel take this process, and not the daemon, when the host runs out of memory."""
    with open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 (pathlib takes longer to import)
        file.write(OOM_SCORE)


def lower(kind: int, *soft_and_hard: int) -> None:
    """Lowers a limit of this process, soft and hard; one that is lower already stays as it is."""
    held = [sys.maxsize if limit == resource.RLIM_INFINITY else limit for limit in resource.getrlimit(kind)]
    resource.setrlimit(kind, (min(soft_and_hard[0], held[0]), min(soft_and_hard[1], held[1])))


def shut_in(walls: dict[str, Any]) -> None:
    try:
        sandbox.confine(**walls)
    except SourceRefused as error:
        give_up(f"the source cannot be opened: {error.strerror}")
    except (sandbox.Shortfall, OSError) as error:
        give_up(f"there is no sandbox for the encoder: {error}")


def give_up(words: str) -> None:
    print(words, file=sys.stderr)
    sys.exit(CANNOT_START)


def read_order(descriptor: int) -> dict[str, Any]:
    """Reads what the daemon wants started; both ends are the same Python, so `marshal` will do.

    Leaves quietly when the pipe is closed instead: a launcher kept in reserve was not needed.
    """
    with os.fdopen(descriptor, "rb") as pipe:
        order: bytes = pipe.read()
    if not order:
        sys.exit(0)
    wanted: dict[str, Any] = marshal.loads(order)
    return wanted


def die_with(parent: int) -> None:
    """Asks the kernel to kill this process with `parent`; leaves at once if that is gone already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the parent-death signal cannot be set")
    if os.getppid() != parent:
        sys.exit(CANNOT_START)


if __name__ == "__main__":
    main()

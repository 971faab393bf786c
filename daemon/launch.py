"""Becomes an encoder: run as `python -I -m daemon.launch FD`, reads its order from FD and `exec`s.

What a child must have before its first instruction is set here, in a process that has one thread,
because a `preexec_fn` is not safe beside the daemon's threads: the parent-death signal, a process group
of its own, niceness and limits. It imports little, since every encode waits for it.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from typing import Any

PR_SET_PDEATHSIG = 1
CANNOT_START = 127  # the exit code when the encoder could not be executed, as in a shell


def main() -> None:
    order = read_order(int(sys.argv[1]))
    die_with(order["parent"])
    os.setpgid(0, 0)
    os.nice(order["nice"])
    for name, limit in order["limits"].items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    os.chdir(order["folder"])
    try:
        os.execve(order["program"], order["argv"], order["environment"])
    except OSError as error:
        print(f"{order['program']} cannot be executed: {error.strerror}", file=sys.stderr)
        sys.exit(CANNOT_START)


def read_order(descriptor: int) -> dict[str, Any]:
    with os.fdopen(descriptor, "rb") as pipe:
        order: dict[str, Any] = json.load(pipe)
    return order


def die_with(parent: int) -> None:
    """Asks the kernel to kill this process with `parent`; leaves at once if that is gone already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the parent-death signal cannot be set")
    if os.getppid() != parent:
        sys.exit(CANNOT_START)


if __name__ == "__main__":
    main()

"""An encoder that a file took over: `python attacker.py VICTIM OUTSIDE` prints what it can do, one name a line.

VICTIM is the pid of a process of the same user, OUTSIDE a file beyond its work folder, which is the current one.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import socket
import sys
from collections.abc import Callable
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
ON_X86_64 = os.uname().machine == "x86_64"
F_SETSIG, PR_SET_PDEATHSIG, IPC_RMID, SIGKILL = 10, 1, 0, 9
BEST_EFFORT = 2 << 13  # a class of priorities for reading and writing
NEITHER, DENIED = 38, 1  # ENOSYS, EPERM
AT_FDCWD, RENAME_WHITEOUT = -100, 4


def call(on_x86_64: int, on_arm64: int, *arguments: int | bytes) -> int:
    """Raises OSError."""
    words = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result: int = LIBC.syscall(ctypes.c_long(on_x86_64 if ON_X86_64 else on_arm64), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def reaches(on_x86_64: int, on_arm64: int, *arguments: int) -> None:
    """Raises OSError when the call itself is denied, as opposed to what was asked of it."""
    try:
        call(on_x86_64, on_arm64, *arguments)
    except OSError as error:
        if error.errno in {NEITHER, DENIED}:
            raise


def share_memory() -> None:
    segment = call(29, 194, 0, 4096, 0o1600)
    call(31, 195, segment, IPC_RMID, 0)


def watch(folder: Path) -> None:
    call(254, 27, call(294, 26, 0), bytes(folder), 0xFFF)


def fork() -> None:
    if os.fork() == 0:
        os._exit(0)
    os.wait()


def vfork() -> None:
    os.waitpid(os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {}), 0)


def leave_its_parent() -> None:
    call(157, 167, PR_SET_PDEATHSIG, 0)


def leave_a_device() -> None:
    """Where the moved file was; not every file system does so."""
    Path("moved").touch()
    call(316, 276, AT_FDCWD, b"moved", AT_FDCWD, b"there", RENAME_WHITEOUT)


def have_a_pipe_kill(victim: int) -> None:
    """Who is said to own it is sent that signal by the kernel."""
    reading, _ = os.pipe()
    fcntl.fcntl(reading, fcntl.F_SETOWN, victim)
    fcntl.fcntl(reading, F_SETSIG, 0)


def attacks(victim: int, outside: Path) -> dict[str, Callable[[], object]]:
    name, value = b"user.mark\0", (ctypes.c_uint64 * 2)(ctypes.addressof(ctypes.c_char(b"x")), 1)
    return {
        "prlimit64 of another": lambda: resource.prlimit(victim, resource.RLIMIT_NOFILE, (64, 64)),
        "prlimit64 of its parent": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE),
        "setxattrat": lambda: call(463, 463, AT_FDCWD, bytes(outside), 0, name, ctypes.addressof(value), 16),
        "setxattr": lambda: os.setxattr(outside, "user.mark", b"x"),
        "file_setattr": lambda: reaches(469, 469, AT_FDCWD, 1, 1, 24, 0),
        "setpriority of another": lambda: os.setpriority(os.PRIO_PROCESS, victim, 5),
        "sched_setaffinity of another": lambda: os.sched_setaffinity(victim, {0}),
        "sched_setscheduler of another": lambda: os.sched_setscheduler(victim, os.SCHED_BATCH, os.sched_param(0)),
        "ioprio_set of another": lambda: call(251, 30, 1, victim, BEST_EFFORT),
        "kill": lambda: os.kill(victim, 0),
        "pidfd_open": lambda: os.pidfd_open(victim),
        "ptrace": lambda: call(101, 117, 0x4206, victim, 0, 0),
        "process_vm_readv": lambda: reaches(310, 270, victim, 0, 0, 0, 0, 0),
        "F_SETOWN": lambda: have_a_pipe_kill(victim),
        "PR_SET_PDEATHSIG": leave_its_parent,
        "fork": fork,
        "vfork": vfork,
        "shared memory": share_memory,
        "inotify": lambda: watch(outside.parent),
        "settimeofday": lambda: reaches(164, 170, 1, 0),
        "sethostname": lambda: reaches(170, 161, 1, 9),
        "socket": lambda: socket.socket(socket.AF_UNIX),
        "socketpair": socket.socketpair,
        "io_uring_setup": lambda: reaches(425, 425, 0, 0),
        "memfd_create": lambda: os.memfd_create("x"),
        "add_key": lambda: reaches(248, 217, 1, 1, 0, 0, 0),
        "bpf": lambda: reaches(321, 280, 99, 0, 0),
        "userfaultfd": lambda: reaches(323, 282, 0x7FFF),
        "unshare": lambda: reaches(272, 97, 0x7F),
        "leaving its group": lambda: os.setpgid(0, 0),
        "utime": lambda: os.utime(outside),
        "truncate": lambda: os.truncate(outside, outside.stat().st_size),
        "a device": leave_a_device,
        "a sparse file": lambda: os.truncate("sparse", 2**40),
    }


def main() -> None:
    Path("sparse").touch()
    for name, attack in attacks(int(sys.argv[1]), Path(sys.argv[2])).items():
        try:
            attack()
        except OSError:
            continue
        print(name, flush=True)
    Path("sparse").unlink()


if __name__ == "__main__":
    main()

"""Shuts the calling process in before it meets an untrusted file: Landlock for files, seccomp for all else.

What is given up here cannot be had back, and every program that is executed afterwards inherits it. It is
applied by the launcher and the probe's children, so it imports as little as they do: landlockpy would cost
each start 100 ms, and opens paths through symlinks.
"""

from __future__ import annotations

import ctypes
import errno
import os

from daemon.process import privileges, system_calls
from daemon.source_files import descriptor_path, open_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

_libc = ctypes.CDLL(None, use_errno=True)

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on every architecture
TEBIBYTE = 2**40
INVALID, NOWHERE = 0x7FFF, 1  # as an argument, and as an address
WITHOUT_ITS_MEMORY = 0x800  # flags of `clone` that are refused as nonsense: signal handlers are in memory
AF_UNIX, AF_INET, AF_INET6, SOCK_STREAM = 1, 2, 10, 1

# Rights to files, by their bits in the kernel's interface
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_FILE, MAKE_REG, TRUNCATE = (1 << n for n in (0, 1, 2, 3, 5, 8, 14))
RIGHTS_BY_ABI = (13, 14, 15, 15, 16)  # how many rights versions 1, 2, … know; no later one added any
TCP_BIND_AND_CONNECT = 3
ABSTRACT_SOCKETS_AND_SIGNALS = 3

WORK = READ_FILE | WRITE_FILE | READ_DIR | REMOVE_FILE | MAKE_REG | TRUNCATE  # neither links, folders nor devices
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
LOADERS = ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1")  # which the kernel executes for a program
DEVICES = (("/dev/null", READ_FILE | WRITE_FILE), ("/dev/zero", READ_FILE), ("/dev/urandom", READ_FILE))


class Shortfall(Exception):
    """A shortfall is a part of the sandbox that this host does not give."""


def confine(*, programs: Collection[str] = (), source: str | int | None = None, folders: Collection[str] = ()) -> None:
    """Shuts this process in: from here on it reads the system's libraries, `programs` (files or folders, which it may
    execute) and `source`, writes below `folders`, and makes the system calls of `system_calls` alone. `source` is a
    descriptor, or a path without a symlink.

    Raises SourceRefused, or Shortfall in words when it is not shut in.
    """
    source_fd = open_source(source) if isinstance(source, str) else source
    ruleset = _ruleset()
    for path in LIBRARIES:
        _allow(ruleset, path, READ_FILE | READ_DIR)
    for path in (*LOADERS, *programs) if programs else ():
        _allow(ruleset, path, EXECUTE | READ_FILE | READ_DIR)
    for path, rights in DEVICES:
        _allow(ruleset, path, rights)
    for path in folders:
        _allow(ruleset, path, WORK)
    if source_fd is not None:
        _add_rule(ruleset, os.dup(source_fd), READ_FILE)
    _succeed(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no-new-privs")
    _succeed(_libc.syscall(RESTRICT_SELF, ruleset, 0), "Landlock")
    os.close(ruleset)
    privileges.give_up([*programs, *(_paths(source_fd) if source_fd is not None else [])], folders)
    _filter_system_calls(execute=bool(programs))


def _paths(descriptor: int) -> list[str]:
    """Returns the paths by which who has the file open may open it anew."""
    itself = descriptor_path(descriptor)
    return [itself, os.readlink(itself)]  # noqa: PTH115


def parts() -> str:
    """Says what the sandbox is made of here, such as `landlock 7, seccomp`. Raises Shortfall when one is missing."""
    _machine()
    return f"landlock {_abi()}, seccomp"


def leaks(canary: str) -> list[str]:
    """Says in words what a process that should be shut in can still do; `canary` is a file it should not reach."""
    beside = canary + ".new"
    tried = {
        "read a file outside": lambda: os.close(os.open(canary, os.O_RDONLY)),
        "write to a file outside": lambda: os.close(os.open(canary, os.O_WRONLY)),
        "cut a file outside": lambda: os.truncate(canary, 0),
        "change who may read a file outside": lambda: os.chmod(canary, 0o600),  # noqa: PTH101 - pathlib takes 10 ms to import
        "make a file outside": lambda: os.close(os.open(beside, os.O_WRONLY | os.O_CREAT)),
        "list a folder outside": lambda: os.listdir(canary.rpartition("/")[0]),  # noqa: PTH208
        "open a socket": _open_sockets,
        "write a file of a tebibyte": _write_far,
    }
    reached = [what for what, call in _calls().items() if _reaches(*call)]
    return [what for what, attempt in tried.items() if _can(attempt)] + reached


def _calls() -> dict[str, tuple[str, int, int, int]]:
    """System calls, each with arguments by which it does no harm where it is let through."""
    parent = os.getppid()
    return {
        "change the limits of another process": ("prlimit64", parent, 0, 0),
        "change the priority of another process": ("setpriority", INVALID, parent, 0),
        "bind another process to a processor": ("sched_setaffinity", parent, 0, 0),
        "change how another process is scheduled": ("sched_setscheduler", parent, INVALID, 0),
        "change how another process reads and writes": ("ioprio_set", INVALID, parent, 0),
        "make a process": ("clone", WITHOUT_ITS_MEMORY, 0, 0),
        "share memory with other processes": ("shmget", 0, 0, 0),
        "watch files of others": ("inotify_init1", INVALID, 0, 0),
        "set the clock": ("settimeofday", NOWHERE, 0, 0),
        "change attributes of a file outside": ("setxattrat", INVALID, NOWHERE, INVALID),
        "change flags of a file outside": ("file_setattr", INVALID, NOWHERE, NOWHERE),
    }


def _reaches(name: str, *arguments: int) -> bool:
    """Whether the call itself is let through, whatever is then said to its arguments."""
    at = system_calls.number(name, _machine())
    if at is None:
        return False
    words = [ctypes.c_long(argument) for argument in (at, *arguments, 0, 0, 0)]
    return _libc.syscall(*words) >= 0 or ctypes.get_errno() not in {errno.EPERM, errno.ENOSYS}


def _can(attempt: object) -> bool:
    try:
        attempt()  # type: ignore[operator]
    except OSError:
        return False
    return True


def _open_sockets() -> None:
    for family in (AF_INET, AF_INET6, AF_UNIX):
        if _libc.socket(family, SOCK_STREAM, 0) >= 0:
            return
    raise OSError(ctypes.get_errno(), "no socket")


def _write_far() -> None:
    """Writes a file of a tebibyte in the work folder; all but one byte of it is a hole."""
    descriptor = os.open("far", os.O_WRONLY | os.O_CREAT)
    try:
        os.pwrite(descriptor, b"x", TEBIBYTE - 1)
    finally:
        os.close(descriptor)
        os.unlink("far")  # noqa: PTH108


def _succeed(result: int, what: str) -> int:
    if result < 0:
        raise Shortfall(f"the kernel refuses {what}: {os.strerror(ctypes.get_errno())}")
    return result


# Landlock


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("parent", ctypes.c_int32))


def _abi() -> int:
    """Landlock's version in this kernel, at least 1. Raises Shortfall."""
    return _succeed(_libc.syscall(CREATE_RULESET, None, 0, 1), "Landlock")


def _handled() -> int:
    return (1 << RIGHTS_BY_ABI[min(_abi(), len(RIGHTS_BY_ABI)) - 1]) - 1


def _ruleset() -> int:
    abi = _abi()
    network = TCP_BIND_AND_CONNECT if abi >= 4 else 0
    scoped = ABSTRACT_SOCKETS_AND_SIGNALS if abi >= 6 else 0
    wanted = _Ruleset(_handled(), network, scoped)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    return _succeed(_libc.syscall(CREATE_RULESET, ctypes.byref(wanted), size, 0), "a Landlock ruleset")


def _allow(ruleset: int, path: str, rights: int) -> None:
    """A path that is not there needs no rule; of a file only the rights to files are given."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    of_files = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
    is_folder = os.fstat(descriptor).st_mode & 0o170000 == 0o040000
    _add_rule(ruleset, descriptor, rights if is_folder else rights & of_files)


def _add_rule(ruleset: int, descriptor: int, rights: int) -> None:
    rule = _PathBeneath(rights & _handled(), descriptor)
    _succeed(_libc.syscall(ADD_RULE, ruleset, 1, ctypes.byref(rule), 0), "a Landlock rule")
    os.close(descriptor)


# Seccomp


_filters: dict[bool, bytes] = {}  # by whether another program may be executed


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.c_char_p))


def _machine() -> str:
    """The architecture that has a filter. Raises Shortfall."""
    machine = os.uname().machine
    if machine not in system_calls.MACHINES:
        raise Shortfall(f"ffspool has no seccomp filter for {machine}")
    return machine


def prepare(*, execute: bool) -> None:
    """Does beforehand what `confine` would have to: the filter takes longer to write than to put up. `execute`: it
    will be given programs. Does nothing for a machine that has none."""
    machine = os.uname().machine
    if execute not in _filters and machine in system_calls.MACHINES:
        _filters[execute] = system_calls.program(machine, execute=execute)


def _filter_system_calls(*, execute: bool) -> None:
    _machine()
    prepare(execute=execute)
    itself, pid = (number.to_bytes(4, "little") for number in (system_calls.ITSELF, os.getpid()))
    instructions = _filters[execute].replace(itself, pid)
    program = _Program(len(instructions) // system_calls.SIZE, instructions)
    _succeed(_libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0), "a seccomp filter")

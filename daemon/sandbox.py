"""Shuts the calling process in before it meets a stranger's file: Landlock for files, seccomp for sockets.

What is given up here cannot be had back, and every program that is executed afterwards inherits it. It is
applied by the launcher and the probe's children, so it imports as little as they do: landlockpy would cost
each start 100 ms, and opens paths through symlinks.
"""

from __future__ import annotations

import ctypes
import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_libc = ctypes.CDLL(None, use_errno=True)

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on every architecture
AF_UNIX, AF_INET, AF_INET6, SOCK_STREAM = 1, 2, 10, 1

# Rights to files, by their bits in the kernel's interface
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_FILE, MAKE_REG, TRUNCATE = (1 << n for n in (0, 1, 2, 3, 5, 8, 14))
RIGHTS_BY_ABI = (13, 14, 15, 15, 16)  # how many rights versions 1, 2, … know; no later one added any
TCP_BIND_AND_CONNECT = 3
ABSTRACT_SOCKETS_AND_SIGNALS = 3

WORK = READ_FILE | WRITE_FILE | READ_DIR | REMOVE_FILE | MAKE_REG | TRUNCATE  # neither links, folders nor devices
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
DEVICES = (("/dev/null", READ_FILE | WRITE_FILE), ("/dev/zero", READ_FILE), ("/dev/urandom", READ_FILE))


class Shortfall(Exception):
    """A part of the sandbox that this host does not give."""


class SourceRefused(OSError):
    """The source is not where it was, or a symlink leads to it."""


def confine(*, programs: Iterable[str] = (), source: str | None = None, folders: Iterable[str] = ()) -> None:
    """From here on this process reads the system's libraries, `programs` (files or folders, which it may execute)
    and `source`, writes below `folders`, and opens no socket. `source` must be given without a symlink in its path.

    Raises SourceRefused, or Shortfall in words when it is not shut in.
    """
    source_fd = _open_source(source) if source else None
    ruleset = _ruleset()
    for path in (*LIBRARIES, *programs):
        _allow(ruleset, path, EXECUTE | READ_FILE | READ_DIR)
    for path, rights in DEVICES:
        _allow(ruleset, path, rights)
    for path in folders:
        _allow(ruleset, path, WORK)
    if source_fd is not None:
        _add_rule(ruleset, source_fd, READ_FILE)
    _succeed(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no-new-privs")
    _succeed(_libc.syscall(RESTRICT_SELF, ruleset, 0), "Landlock")
    os.close(ruleset)
    _filter_system_calls()


def parts() -> str:
    """What the sandbox is made of on this host, such as `landlock 7, seccomp`. Raises Shortfall when it lacks one."""
    _denied()
    return f"landlock {_abi()}, seccomp"


def leaks(canary: str) -> list[str]:
    """What a process that should be shut in can still do, in words; `canary` is a file it should not reach."""
    beside = canary + ".new"
    tried = {
        "read a file outside": lambda: os.close(os.open(canary, os.O_RDONLY)),
        "write to a file outside": lambda: os.close(os.open(canary, os.O_WRONLY)),
        "cut a file outside": lambda: os.truncate(canary, 0),
        "change who may read a file outside": lambda: os.chmod(canary, 0o600),  # noqa: PTH101 - pathlib takes 10 ms to import
        "make a file outside": lambda: os.close(os.open(beside, os.O_WRONLY | os.O_CREAT)),
        "list a folder outside": lambda: os.listdir(canary.rpartition("/")[0]),  # noqa: PTH208
        "open a socket": _open_sockets,
    }
    return [what for what, attempt in tried.items() if _can(attempt)]


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


def _open_source(path: str) -> int:
    """Not through symlinks: one put there since the path was checked would lead anywhere.

    One folder after the other, since systemd's RestrictSUIDSGID= takes openat2 away.
    """
    at = os.open("/", os.O_PATH | os.O_CLOEXEC)
    for name in filter(None, path.split("/")):
        try:
            inner = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
        except OSError as error:
            raise SourceRefused(error.errno, error.strerror) from error
        finally:
            os.close(at)
        at = inner
        if os.fstat(at).st_mode & 0o170000 == 0o120000:
            raise SourceRefused(errno.ELOOP, os.strerror(errno.ELOOP))
    return at


# Seccomp

ALLOW, FAIL = 0x7FFF0000, 0x00050000 | 1  # EPERM
LOAD, JUMP_IF_EQUAL, JUMP_IF_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
X32 = 0x40000000  # bit of the calls of x86-64's second interface

# What a codec has no use for. Landlock does not restrict modes, owners and times of files, nor, before its third
# version, truncation by path; nobody leaves the process group, which is ended as a whole.
_DENIED_ON_X86_64 = (
    *(41, 42, 43, 49, 50, 53, 288),  # socket, connect, accept, bind, listen, socketpair, accept4
    *(425, 426, 427),  # io_uring, which opens sockets without these calls
    *(
        101,
        310,
        311,
        438,
        62,
        200,
        424,
    ),  # ptrace, memory of others, pidfd_getfd, kill, tkill, pidfd_send_signal
    *(109, 112),  # setpgid, setsid
    *(76, 90, 91, 268, 452, 92, 93, 94, 260),  # truncate, chmod and chown in all their forms
    *(188, 189, 190, 197, 198, 199, 132, 235, 261, 280, 133, 259),  # extended attributes, file times, mknod
    *(155, 161, 165, 166, 272, 308, 303, 304, 428, 429, 430, 432, 442),  # mounts, roots, namespaces, handles
    *(248, 249, 250, 298, 321, 323),  # keys, perf_event_open, bpf, userfaultfd
)
_DENIED_ON_AARCH64 = (
    *(198, 203, 202, 200, 201, 199, 242),
    *(425, 426, 427),
    *(117, 270, 271, 438, 129, 130, 424),
    *(154, 157),
    *(45, 52, 53, 452, 54, 55),
    *(5, 6, 7, 14, 15, 16, 88, 33),
    *(41, 51, 40, 39, 97, 268, 264, 265, 428, 429, 430, 432, 442),
    *(217, 218, 219, 241, 280, 282),
)
_MACHINES = {"x86_64": (0xC000003E, _DENIED_ON_X86_64), "aarch64": (0xC00000B7, _DENIED_ON_AARCH64)}


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("filter", ctypes.POINTER(_Instruction)))


def _denied() -> tuple[int, tuple[int, ...]]:
    """The architecture's number and the system calls that are denied. Raises Shortfall."""
    machine = os.uname().machine
    if machine not in _MACHINES:
        raise Shortfall(f"ffspool has no seccomp filter for {machine}")
    return _MACHINES[machine]


def _filter_system_calls() -> None:
    architecture, denied = _denied()
    count = len(denied)
    instructions = [
        _Instruction(LOAD, 0, 0, 4),
        _Instruction(JUMP_IF_EQUAL, 0, count + 3, architecture),
        _Instruction(LOAD, 0, 0, 0),
        _Instruction(JUMP_IF_AT_LEAST, count + 1, 0, X32),
        *(_Instruction(JUMP_IF_EQUAL, count - at, 0, number) for at, number in enumerate(denied)),
        _Instruction(RETURN, 0, 0, ALLOW),
        _Instruction(RETURN, 0, 0, FAIL),
    ]
    array = (_Instruction * len(instructions))(*instructions)
    program = _Program(len(instructions), array)
    _succeed(_libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0), "a seccomp filter")

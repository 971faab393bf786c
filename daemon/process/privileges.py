"""Gives up what the user who runs the daemon may do, before an untrusted file is met: capabilities, and the user.

Where the daemon is root with all that takes, who is shut in becomes a user of its own, which nobody else is and owns
nothing but its work folders, so that its threads can be counted and it has no siblings. Of capabilities none is left,
but for the one, if any, without which its source or its folder is not reachable. Imports little, as `sandbox`.
"""

from __future__ import annotations

import ctypes
import os
import resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_libc = ctypes.CDLL(None, use_errno=True)

ENTER_AND_CHANGE = os.W_OK | os.X_OK
FIRST_USER = 2_000_000_000  # a user's number and its group's are this and the pid: nobody hands these out
MAX_THREADS = 512, 64  # of a user of its own: so many, and so many for each processor

PR_SET_PDEATHSIG, PR_GET_PDEATHSIG, PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_CAP_AMBIENT = 1, 2, 8, 24, 47
AMBIENT_RAISE, AMBIENT_CLEAR_ALL = 2, 4
CAPABILITIES_VERSION_3 = 0x20080522
CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, KILL, SETGID, SETUID, SETPCAP, SYS_PTRACE = 0, 1, 2, 3, 5, 6, 7, 8, 19
# What it takes to become another user, and then to watch, end and clean up after it
MASTERY = sum(1 << n for n in (CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, KILL, SETGID, SETUID, SETPCAP, SYS_PTRACE))


def give_up(readable: Iterable[str], writable: Iterable[str]) -> None:
    """Keeps only what it takes to reach `readable` paths and the folders `writable`, which become its own.

    Ends this process if its parent has ended meanwhile: the signal for that is lost with the user.
    """
    held = _permitted()
    if not held:
        return
    readable, writable = _reached(readable, os.R_OK), _reached(writable, ENTER_AND_CHANGE)
    parent, signal = os.getppid(), _parent_death_signal()
    choices = (0, held & 1 << DAC_READ_SEARCH, held & 1 << DAC_OVERRIDE)
    _hold(held, of=held, inheritable=sum(choices))
    if held & 1 << SETPCAP:
        _empty_the_bounding_set()
    if held & MASTERY == MASTERY and _become_nobody():
        _hold(held, of=held, inheritable=sum(choices))
        take(writable)
        resource.setrlimit(resource.RLIMIT_NPROC, (max_threads(),) * 2)
    for kept in choices:
        _hold(kept, of=held, inheritable=sum(choices))
        if readable == _reached(readable, os.R_OK) and writable == _reached(writable, ENTER_AND_CHANGE):
            break
    _keep_for_good(kept)
    _libc.prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def take(folders: Iterable[str]) -> None:
    """Makes the folders and all within belong to this process's user, as far as that is allowed."""
    for folder in folders:
        for path in (folder, *_within(folder)):
            _own(path)


def _within(folder: str) -> Iterable[str]:
    for at, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield f"{at}/{name}"


def _own(path: str) -> None:
    try:
        if os.lstat(path).st_uid != os.geteuid():
            os.chown(path, os.geteuid(), os.getegid(), follow_symlinks=False)
    except (FileNotFoundError, PermissionError):
        return


def _become_nobody() -> bool:
    """Whether this process is a user of its own now. In some containers there is no other user."""
    itself = FIRST_USER + os.getpid()
    _libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    try:
        os.setresgid(itself, itself, itself)
        os.setgroups([])
        os.setresuid(itself, itself, itself)
    except OSError:
        return False
    return True


def max_threads() -> int:
    """Returns how many threads a user of its own may have on this host."""
    some, each = MAX_THREADS
    return some + each * (os.cpu_count() or 1)


def _reached(paths: Iterable[str], how: int) -> list[str]:
    return [path for path in paths if os.access(path, how, effective_ids=True)]


def _parent_death_signal() -> int:
    signal = ctypes.c_int()
    _libc.prctl(PR_GET_PDEATHSIG, ctypes.byref(signal), 0, 0, 0)
    return signal.value


# Capabilities, as sets of bits


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    """32 of them: a call takes two of these."""

    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def _permitted() -> int:
    sets = (_Sets * 2)()
    _checked(_libc.capget(ctypes.byref(_Header(CAPABILITIES_VERSION_3, 0)), sets))
    return int(sets[0].permitted | sets[1].permitted << 32)


def _hold(effective: int, *, of: int, inheritable: int) -> None:
    """Holds these capabilities; `of` are those that can still be had back."""
    halves = [(part(effective), part(of), part(inheritable)) for part in (_low, _high)]
    _checked(
        _libc.capset(ctypes.byref(_Header(CAPABILITIES_VERSION_3, 0)), (_Sets * 2)(*(_Sets(*half) for half in halves)))
    )


def _low(bits: int) -> int:
    return bits & 0xFFFFFFFF


def _high(bits: int) -> int:
    return bits >> 32


def _keep_for_good(kept: int) -> None:
    """Keeps these, also beyond the next `exec`, and no others."""
    _libc.prctl(PR_CAP_AMBIENT, AMBIENT_CLEAR_ALL, 0, 0, 0)
    _hold(kept, of=kept, inheritable=kept)
    if kept:
        _checked(_libc.prctl(PR_CAP_AMBIENT, AMBIENT_RAISE, kept.bit_length() - 1, 0, 0))


def _empty_the_bounding_set() -> None:
    capability = 0
    while _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1


def _checked(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

"""Names the system calls that decoding and encoding take: all others fail, those of kernels to come included.

They were found by tracing FFmpeg and PyAV over every preset, with what the C libraries of Debian 12 and 13 need beside.
Nothing here reaches another process, opens a socket, makes a process or changes who may do what with a file. The module
is pure: `sandbox` hands the filter to the kernel, which keeps the answer for each number that depends on no argument,
so that the order costs nothing.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TypeAlias

    Instruction: TypeAlias = tuple[int, int, int, int]  # code, jumps if true and if false, operand
    Condition: TypeAlias = Mapping[int, tuple[int, ...]]  # by the place of a half of an argument, what it may be

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# Numbers on x86-64 and on ARM64, which lacks what is None.
_ALLOWED: dict[str, tuple[int, int | None]] = {
    # What is open
    "read": (0, 63),
    "write": (1, 64),
    "readv": (19, 65),
    "writev": (20, 66),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "lseek": (8, 62),
    "close": (3, 57),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "fcntl": (72, 25),
    "ioctl": (16, 29),
    "fsync": (74, 82),
    "fdatasync": (75, 83),
    "fadvise64": (221, 223),
    "poll": (7, None),
    "ppoll": (271, 73),
    "select": (23, None),
    "pselect6": (270, 72),
    "pipe2": (293, 59),
    "eventfd2": (290, 19),
    # Paths, within what Landlock leaves
    "open": (2, None),
    "openat": (257, 56),
    "stat": (4, None),
    "lstat": (6, None),
    "fstat": (5, 80),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "statfs": (137, 43),
    "fstatfs": (138, 44),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "getcwd": (79, 17),
    "getdents64": (217, 61),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    # Memory
    "brk": (12, 214),
    "mmap": (9, 222),
    "munmap": (11, 215),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "madvise": (28, 233),
    # Threads and the end
    "clone": (56, 220),
    "futex": (202, 98),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "set_tid_address": (218, 96),
    "arch_prctl": (158, None),
    "prctl": (157, 167),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120),
    "sched_get_priority_max": (146, 125),
    "sched_get_priority_min": (147, 126),
    "getpriority": (140, 141),
    "setpriority": (141, 140),
    "exit": (60, 93),
    "exit_group": (231, 94),
    # Signals to itself; what was interrupted by a stop goes on by `restart_syscall`
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "rt_sigtimedwait": (128, 137),
    "rt_sigpending": (127, 136),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "tgkill": (234, 131),
    # Time, and what one may know of the host
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getppid": (110, 173),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "getrusage": (98, 165),
    "times": (100, 153),
    "getcpu": (309, 168),
    "getrandom": (318, 278),
    "getrlimit": (97, 163),
    "prlimit64": (302, 261),
}
_EXECVE = (59, 221)

# Ways out that others have found, for `daemon.process.sandbox` to try
_ATTACKS: dict[str, tuple[int, int | None]] = {
    "prlimit64": (302, 261),
    "clone": (56, 220),
    "setpriority": (141, 140),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "ioprio_set": (251, 30),
    "shmget": (29, 194),
    "inotify_init1": (294, 26),
    "settimeofday": (164, 170),
    "setxattrat": (463, 463),
    "file_setattr": (469, 469),
}

ITSELF = 0xFFFFFFFF  # in a filter's place for a pid; nothing else in it looks like this

# How threads are made: with glibc's flags, or musl's. To make a process is to leave one of them out.
_THREAD_FLAGS = (0x003D0F00, 0x007D0F00)
_DUPLICATE_AND_FLAGS = (0, 1, 2, 3, 4, 1030)  # of fcntl; not F_SETOWN and F_SETSIG, by which a pipe kills its owner
_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5450, 0x5451)  # TCGETS, TIOCGWINSZ, FIONREAD, FIONCLEX, FIOCLEX
_NAMES, _VECTOR_LENGTHS = (15, 16, 0x53564D41), (51, 64)  # of prctl; not PR_SET_PDEATHSIG: it ends with the daemon

SINCE_UNIFIED = 424  # from here on calls have one number everywhere; who makes them knows older ones to fall back on

LAYOUT, SIZE = "=HBBI", 8  # of an instruction, in bytes
LOAD, JUMP_IF_EQUAL, JUMP_IF_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16  # where they are in what the filter sees
ALLOW, DENY, UNKNOWN = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38  # EPERM; ENOSYS, on which libraries fall back


def number(name: str, machine: str) -> int | None:
    """Returns the number of the attack by that name on that machine; None where it has none."""
    return _on(machine, _ATTACKS[name])


def allowed(machine: str) -> dict[str, int]:
    """Returns the numbers, by name, of the calls that are allowed, if only with some arguments."""
    found = ((name, _on(machine, numbers)) for name, numbers in _ALLOWED.items())
    return {name: at for name, at in found if at is not None}


def conditions() -> dict[str, Condition]:
    """Returns what may be asked of those calls that could reach beyond the process itself."""
    return {
        "clone": {0: _THREAD_FLAGS},
        "fcntl": {2: _DUPLICATE_AND_FLAGS},
        "ioctl": {2: _IOCTLS},
        "prctl": {0: (*_NAMES, *_VECTOR_LENGTHS)},
        "renameat2": {8: (0, 1)},  # of flags to replace nothing alone: a whiteout is a device, which Landlock overlooks
        "getpriority": {0: (0,), 2: (0,)},
        "setpriority": {0: (0,), 2: (0,)},
        "tgkill": {0: (ITSELF,)},
        "prlimit64": {0: (0,), 4: (0,), 5: (0,)},  # to read its own: the place for new ones is a null pointer
    }


def program(machine: str, *, execute: bool) -> bytes:
    """Returns the filter as the kernel takes it, with ITSELF for the pid of who takes it. With `execute` it may become
    another program. Raises KeyError for a machine that is not in MACHINES."""
    return b"".join(struct.pack(LAYOUT, *instruction) for instruction in instructions(machine, execute=execute))


def instructions(machine: str, *, execute: bool) -> list[Instruction]:
    """Returns the filter, step by step. Raises KeyError as `program` does."""
    asked = conditions()
    answers = {at: _answer(asked.get(name, {})) for name, at in allowed(machine).items()}
    if execute:
        answers[_EXECVE[_column(machine)]] = _answer({})
    return [
        (LOAD, 0, 0, ARCHITECTURE),
        (JUMP_IF_EQUAL, 1, 0, MACHINES[machine]),
        (RETURN, 0, 0, DENY),
        (LOAD, 0, 0, NUMBER),
        *_search(_spans(answers)),
    ]


def _spans(answers: dict[int, list[Instruction]]) -> list[tuple[int, list[Instruction]]]:
    """Each with the first of the numbers, in order, that get the same answer."""
    spans: list[tuple[int, list[Instruction]]] = []
    for at in range(max(SINCE_UNIFIED, *answers) + 2):
        answer = answers.get(at) or [(RETURN, 0, 0, UNKNOWN if at >= SINCE_UNIFIED else DENY)]
        if not spans or spans[-1][1] != answer:
            spans.append((at, answer))
    return spans


def _search(spans: list[tuple[int, list[Instruction]]]) -> list[Instruction]:
    """Returns a search by halves: the kernel goes through the filter once for every number when it takes it."""
    if len(spans) == 1:
        return spans[0][1]
    middle = len(spans) // 2
    below, above = _search(spans[:middle]), _search(spans[middle:])
    return [(JUMP_IF_AT_LEAST, len(below), 0, spans[middle][0]), *below, *above]


def _answer(condition: Condition) -> list[Instruction]:
    return [*(step for place, values in condition.items() for step in _check(place, values)), (RETURN, 0, 0, ALLOW)]


def _check(place: int, values: tuple[int, ...]) -> Iterator[Instruction]:
    yield (LOAD, 0, 0, ARGUMENTS + 4 * place)
    for index, value in enumerate(values):
        yield (JUMP_IF_EQUAL, len(values) - index, 0, value)
    yield (RETURN, 0, 0, DENY)


def _on(machine: str, numbers: tuple[int, int | None]) -> int | None:
    return numbers[_column(machine)]


def _column(machine: str) -> int:
    return list(MACHINES).index(machine)

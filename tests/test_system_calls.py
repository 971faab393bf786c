"""What a process that is shut in may ask of the kernel: what decoding and encoding take, and nothing beside."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import wait_until

from daemon.process import sandbox, system_calls
from daemon.process.identity import state

MACHINE = os.uname().machine
HIGHEST = 600  # beyond any call there is
HEADER = Path(f"/usr/include/{MACHINE}-linux-gnu/asm/unistd_64.h")
NEVER_ASKED = {335, 336} if MACHINE == "x86_64" else set()  # uretprobe, uprobe: the kernel itself ends who calls them
PATIENCE = 2  # seconds until a call that waits for something is ended

TRY_EVERY_CALL = f"""
import ctypes, json, os, signal
from daemon.process import sandbox

libc = ctypes.CDLL(None, use_errno=True)
DENIED = ({errno.EPERM}, {errno.ENOSYS})

def refused(number):
    '''Asked with arguments that no call can do anything with.'''
    words = [ctypes.c_long(-1)] * 6 if number != {system_calls.allowed(MACHINE)["futex"]} else [ctypes.c_long(0)] * 6
    return libc.syscall(ctypes.c_long(number), *words) == -1 and ctypes.get_errno() in DENIED

def let_through(number):
    pid = os.fork()
    if pid == 0:
        signal.alarm({PATIENCE})
        sandbox.confine()
        os._exit(7 if refused(number) else 0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 7

print(json.dumps([number for number in range({HIGHEST} + 1) if let_through(number)]))
"""


def tried() -> set[int]:
    """The numbers of all calls that reach the kernel from within, whatever it then says to senseless arguments."""
    done = subprocess.run(
        [sys.executable, "-c", TRY_EVERY_CALL], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_of_all_calls_by_number_those_on_the_list_alone_are_let_through() -> None:
    allowed = system_calls.allowed(MACHINE)
    conditional = {allowed[name] for name in system_calls.conditions()}
    assert tried() - NEVER_ASKED == set(allowed.values()) - conditional


@pytest.mark.skipif(not HEADER.is_file(), reason="the kernel's headers are not installed")
def test_the_numbers_are_the_kernels() -> None:
    numbers = dict(re.findall(r"#define __NR_(\w+) (\d+)", HEADER.read_text()))
    allowed = system_calls.allowed(MACHINE)
    assert allowed == {name: int(numbers[name]) for name in allowed}


def test_no_number_stands_twice() -> None:
    for machine in system_calls.MACHINES:
        numbers = list(system_calls.allowed(machine).values())
        assert len(set(numbers)) == len(numbers)


def ended(code: str) -> int:
    """How a process ends that does this once it is shut in."""
    whole = f"import ctypes, os, threading; from daemon.process import sandbox; sandbox.confine(); {code}"
    return subprocess.run([sys.executable, "-c", whole], stderr=subprocess.DEVNULL, timeout=60).returncode


def test_a_decoder_that_crashes_ends_by_its_own_signal() -> None:
    assert ended("os.abort()") == -signal.SIGABRT


def test_threads_can_be_made() -> None:
    assert ended("t = threading.Thread(target=os.getpid); t.start(); t.join()") == 0


def test_a_call_that_a_stop_interrupts_goes_on_afterwards() -> None:
    confined = "import select; from daemon.process import sandbox; sandbox.confine()"
    code = f"{confined}; print(flush=True); select.poll().poll(500)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        wait_until(lambda: state(child.pid) == "S", "it to wait")
        os.kill(child.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED)
        os.kill(child.pid, signal.SIGCONT)
    assert child.returncode == 0


def test_what_a_library_may_do_without_fails_as_on_an_old_kernel() -> None:
    """Libraries try `clone3` first, and fall back on `clone` only where the kernel does not know it."""
    code = "assert ctypes.CDLL(None, use_errno=True).syscall(435, 0, 0) == -1; os._exit(ctypes.get_errno())"
    assert ended(code) == errno.ENOSYS


def test_a_foreign_architecture_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "x", "6", "1", "riscv64")))
    with pytest.raises(sandbox.Shortfall, match="no seccomp filter for riscv64"):
        sandbox.parts()

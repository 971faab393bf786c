"""Ends a process: stdin `q`, then SIGTERM, then SIGKILL, and in the end it is reaped.

This is the only place that signals processes. Signalling never decides a status: the caller learns here how the process
ended, and the scheduler writes what that means.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import time
from contextlib import suppress

from daemon.models import Stage, Stopped
from daemon.process.child import Child
from daemon.process.identity import start_ticks, state, waits_for_disk

UNTIL_STUCK = 0.5  # seconds that a process which was killed may take, unless it waits for a disk
SECOND_TERMINATE = 0.2  # one SIGTERM does not end an ffmpeg whose I/O hangs; two this far apart do


async def stop(child: Child, grace: float) -> Stopped:
    """Ends `child` and returns once it is reaped: at most 2 × `grace` seconds, plus what the kernel needs.

    One that is killed and kept by the kernel is let go as `stuck`, half a second later: it executes nothing any more.
    The stage tells what ended it, `exited` if it was gone before we asked. If the caller is cancelled
    half-way the escalation goes on: nothing leaves a process half-asked.
    """
    return await asyncio.shield(asyncio.ensure_future(_escalate(child, grace)))


async def _escalate(child: Child, grace: float) -> Stopped:
    if not child.running:
        return Stopped(stage=Stage.EXITED, seconds=0.0)
    began = time.monotonic()
    _hurry(child)
    for attempted, ask in ((Stage.QUIT, _quit), (Stage.TERMINATE, _terminate)):
        if await ask(child, grace):
            stage = attempted
            break
    else:
        stage = Stage.KILL if await _kill(child) else Stage.STUCK
    return Stopped(stage=stage, seconds=round(time.monotonic() - began, 3))


def _hurry(child: Child) -> None:
    """Has it end at our own niceness: on a busy host one that gives way to all else does not even die of a SIGKILL."""
    with suppress(OSError):  # it is gone, or only root and who has LimitNICE= may
        os.setpriority(os.PRIO_PGRP, child.pid, os.getpriority(os.PRIO_PROCESS, 0))


async def _quit(child: Child, grace: float) -> bool:
    _signal(child, signal.SIGCONT)  # a stopped process reads no stdin and acts on no SIGTERM
    child.write(b"q")
    return await _exited_within(child, grace)


async def _terminate(child: Child, grace: float) -> bool:
    _signal(child, signal.SIGTERM)
    if await _exited_within(child, min(SECOND_TERMINATE, grace)):
        return True
    _signal(child, signal.SIGTERM)
    return await _exited_within(child, max(0.0, grace - SECOND_TERMINATE))


async def _kill(child: Child) -> bool:
    """Returns whether it has ended, not before it has or is kept by the kernel."""
    _signal(child, signal.SIGKILL)
    while not await _exited_within(child, UNTIL_STUCK):
        if waits_for_disk(child.pid):
            child.let_go()
            return False
    return True


async def _exited_within(child: Child, seconds: float) -> bool:
    done, _ = await asyncio.wait([child.exited], timeout=seconds)
    return bool(done)


async def freeze(child: Child, patience: float = 2.0) -> bool:
    """Stops the child's process group where it stands; True once the kernel says so, False if it has ended."""
    _signal(child, signal.SIGSTOP)
    deadline = time.monotonic() + patience
    while child.running and state(child.pid) != "T" and time.monotonic() < deadline:  # noqa: ASYNC110 - the kernel tells only by SIGCHLD
        await asyncio.sleep(0.001)
    return child.running


def thaw(child: Child) -> None:
    """Lets a frozen child go on; one that is not frozen does not notice."""
    _signal(child, signal.SIGCONT)


def _signal(child: Child, number: signal.Signals) -> None:
    """Signals the child's whole process group: an encoder may stand behind a wrapper script."""
    if child.running:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)


def end_group(leader: int) -> None:
    """Kills what an ended process left behind in its group. Call it before the leader is reaped: its pid names it."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def kill(child: Child) -> None:
    """Ends a helper process of ours at once; `child.wait()` tells when it is gone."""
    _signal(child, signal.SIGKILL)


def kill_orphan(pid: int, created: int, timeout: float = 5.0) -> bool:
    """Kills a process that an earlier daemon left behind and waits until it is gone.

    Whoever has the pid *now* is pinned by a pidfd and then compared by its start, in clock ticks since boot,
    so a recycled pid is never signalled. False: nobody, or somebody else, has that pid.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if start_ticks(pid) != created:
            return False
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        select.select([pidfd], [], [], timeout)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)

"""The escalation on real processes: which stage ends whom, that each is reaped, and that none is forgotten."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from surroundings import lacking

from daemon.models import Stage, Stopped
from daemon.process import cancel
from daemon.process.child import Child
from daemon.process.hear import MAX_SAID, hear
from daemon.process.identity import TOKEN_VARIABLE, find_by_token, start_ticks
from daemon.process.launcher import Limits, spawn
from daemon.process.registry import Registry

GRACE = 0.3

DEAF_TO_QUIT = "import sys; print('up', flush=True); [None for line in iter(lambda: sys.stdin.read(1), '')]; input()"
DEAF_TO_BOTH = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + DEAF_TO_QUIT
POLITE = "import sys; print('up', flush=True); sys.exit(0 if sys.stdin.read(1) == 'q' else 1)"
ONE_TERM_IS_NOT_ENOUGH = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
print('up', flush=True)
[signal.sigwait({signal.SIGTERM}) for _ in range(2)]
os._exit(255)
"""


def python(script: str, folder: Path, **environment: str) -> Child:
    return spawn(
        ["python", "-c", script],
        program=sys.executable,
        folder=folder,
        limits=Limits(),
        environment=environment,
    )


async def drain(child: Child) -> None:
    async def read(chunks: Any) -> None:
        async for _ in chunks:
            pass

    await asyncio.gather(read(child.stdout()), read(child.stderr()))


async def is_up(child: Child) -> asyncio.Task[None]:
    """Waits for the child's first word; a task goes on draining it."""
    chunks = child.stdout()
    assert await anext(chunks) == b"up\n"

    async def rest() -> None:
        async for _ in chunks:
            pass

    return asyncio.create_task(rest())


def end(
    script: str, folder: Path, before: Callable[[Child], Awaitable[None]] | None = None, *, grace: float = GRACE
) -> tuple[Stopped, Child]:
    async def main() -> tuple[Stopped, Child]:
        child = python(script, folder)
        draining = await is_up(child)
        if before:
            await before(child)
        stopped = await cancel.stop(child, grace)
        await draining
        [None async for _ in child.stderr()]
        return stopped, child

    stopped, child = asyncio.run(main())
    assert not child.running
    assert not psutil.pid_exists(child.pid), "it was signalled, but not reaped"
    return stopped, child


@pytest.mark.parametrize(
    ("script", "stage", "code"),
    [
        (POLITE, Stage.QUIT, 0),
        (DEAF_TO_QUIT, Stage.TERMINATE, -signal.SIGTERM),
        (ONE_TERM_IS_NOT_ENOUGH, Stage.TERMINATE, 255),
        (DEAF_TO_BOTH, Stage.KILL, -signal.SIGKILL),
    ],
)
def test_each_child_ends_at_the_stage_it_listens_to(script: str, stage: Stage, code: int, tmp_path: Path) -> None:
    # What is left of it for the second SIGTERM has to do on a busy host.
    stopped, child = end(script, tmp_path, grace=1.0 if script == ONE_TERM_IS_NOT_ENOUGH else GRACE)
    assert stopped.stage == stage
    assert child.exited.result().code == code


async def freeze(child: Child) -> None:
    os.kill(child.pid, signal.SIGSTOP)
    while psutil.Process(child.pid).status() != psutil.STATUS_STOPPED:  # noqa: ASYNC110 - nobody sets an event when a process stops
        await asyncio.sleep(0)


def test_a_stopped_child_is_continued_so_that_it_can_quit(tmp_path: Path) -> None:
    stopped, child = end(POLITE, tmp_path, before=freeze)
    assert (stopped.stage, child.exited.result().code) == (Stage.QUIT, 0)


def test_a_stopped_child_that_is_deaf_to_both_is_killed(tmp_path: Path) -> None:
    stopped, _ = end(DEAF_TO_BOTH, tmp_path, before=freeze)
    assert stopped.stage == Stage.KILL


def test_what_is_to_end_gives_way_to_others_no_more(tmp_path: Path) -> None:
    """Else a busy host keeps it for long: not even of a SIGKILL does a process die before it gets a core."""
    if resource.getrlimit(resource.RLIMIT_NICE)[0] < 20 and os.geteuid():
        lacking("only root may take niceness back")

    async def be_nice(child: Child) -> None:
        os.setpriority(os.PRIO_PROCESS, child.pid, 19)

    tells = "import os, sys; print('up', flush=True); sys.stdin.read(1); sys.exit(os.nice(0))"
    _, child = end(tells, tmp_path, before=be_nice)
    assert child.exited.result().code == os.nice(0)


def test_stopping_what_has_ended_says_so(tmp_path: Path) -> None:
    async def exit_first(child: Child) -> None:
        child.write(b"q")
        await child.wait()

    stopped, _ = end(POLITE, tmp_path, before=exit_first)
    assert stopped == Stopped(stage=Stage.EXITED, seconds=0.0)


def test_the_escalation_goes_on_when_its_caller_is_cancelled(tmp_path: Path) -> None:
    async def main() -> int:
        child = python(DEAF_TO_BOTH, tmp_path)
        draining = await is_up(child)
        stopping = asyncio.create_task(cancel.stop(child, GRACE))
        await asyncio.sleep(0)
        stopping.cancel()
        code = (await child.wait()).code
        await draining
        [None async for _ in child.stderr()]
        return code

    assert asyncio.run(main()) == -signal.SIGKILL


def test_a_child_has_its_own_group_its_niceness_and_a_clean_environment(tmp_path: Path) -> None:
    script = "import os; print('up', flush=True); print(dict(os.environ), os.getpgrp() == os.getpid(), os.nice(0))"

    async def main() -> str:
        child = spawn(
            ["python", "-c", script],
            program=sys.executable,
            folder=tmp_path,
            limits=Limits(nice=7),
            environment={"A": "b"},
        )
        said = b"".join([chunk async for chunk in child.stdout()])
        [None async for _ in child.stderr()]
        await child.wait()
        return said.decode()

    said = asyncio.run(main())
    assert "'A': 'b'" in said
    assert "HOME" not in said
    assert "PATH" not in said
    assert said.split()[-2:] == ["True", str(os.nice(0) + 7)]


def test_a_program_that_cannot_be_executed_says_so(tmp_path: Path) -> None:
    async def main() -> tuple[int, bytes]:
        child = spawn(["x"], program="/no/such/encoder", folder=tmp_path, limits=Limits(), environment={})
        [None async for _ in child.stdout()]
        said = b"".join([chunk async for chunk in child.stderr()])
        return (await child.wait()).code, said

    code, said = asyncio.run(main())
    assert code == 127
    assert b"the encoder cannot be executed: No such file" in said


def test_children_die_with_the_process_that_started_them() -> None:
    parent = """
import asyncio, sys
from pathlib import Path
from daemon.process.launcher import Limits, spawn
async def main():
    child = spawn(["sleep", "600"], program="/bin/sleep", folder=Path("/"), limits=Limits(), environment={})
    while Path(f"/proc/{child.pid}/comm").read_text() != "sleep\\n":
        await asyncio.sleep(0.01)
    print(child.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""

    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = psutil.Process(int(process.stdout.readline()))
        process.kill()
        child.wait(10)
    assert not child.is_running()


def test_the_registry_holds_a_child_until_it_is_reaped(tmp_path: Path) -> None:
    async def main() -> None:
        registry = Registry()
        child = python(POLITE, tmp_path)
        registry.add(child, ["a", "b"])
        draining = await is_up(child)
        assert registry.get("a") is child
        assert (len(registry), sorted(registry)) == (1, ["a", "b"])
        await cancel.stop(child, GRACE)
        await draining
        [None async for _ in child.stderr()]
        assert (len(registry), registry.get("a")) == (0, None)

    asyncio.run(main())


def test_a_survivor_is_found_by_its_token_and_killed_by_identity(tmp_path: Path) -> None:
    async def main() -> None:
        child = python(DEAF_TO_BOTH, tmp_path, **{TOKEN_VARIABLE: "some-token"})
        draining = await is_up(child)
        assert list(find_by_token({"some-token"}.__contains__)) == [(child.pid, child.created)]
        assert not cancel.kill_orphan(child.pid, child.created + 1), "another process's pid was killed"
        assert child.running
        assert cancel.kill_orphan(child.pid, start_ticks(child.pid))
        assert (await child.wait()).code == -signal.SIGKILL
        await draining
        [None async for _ in child.stderr()]
        assert not cancel.kill_orphan(child.pid, child.created), "a pid that nobody has was killed"

    asyncio.run(main())


def test_a_child_is_heard_out_however_much_it_says(tmp_path: Path) -> None:
    """Ten times what the pipes hold, of which the end is kept."""

    async def main() -> None:
        flood = "import sys; [print(n % 10, end='', file=f) for f in (sys.stderr, sys.stdout) for n in range(700000)]"
        ended, said, complaint = await hear(python(flood + "; sys.exit(3)", tmp_path), 60.0)
        assert ended.code == 3
        assert said == complaint == "".join(str(n % 10) for n in range(700000))[-MAX_SAID:]

    asyncio.run(main())


def test_a_child_that_does_not_end_is_not_waited_for(tmp_path: Path) -> None:
    async def main() -> None:
        child = python(DEAF_TO_BOTH, tmp_path)
        with pytest.raises(TimeoutError):
            await hear(child, 0.2)
        assert not child.running

    asyncio.run(main())

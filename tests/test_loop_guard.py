"""The guard sees whatever an event loop waits for the disk with, in the tests' process and in a daemon's."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import loop_guard
import pytest
from nothing_blocks import Findings

CALLS = (
    "Path(path).exists()",
    "Path(path).is_dir()",
    "Path(path).resolve()",
    "Path(path).read_bytes()",
    "Path(path).unlink()",
    "Path(path).rename(path + '.new')",
    "Path(path).with_name('folder').mkdir()",
    "Path(path).with_name('link').symlink_to(path)",
    "list(Path(path).parent.iterdir())",
    "list(os.walk(Path(path).parent))",
    "os.access(path, os.R_OK)",
    "os.path.realpath(path)",
    "os.lstat(path)",
    "os.readlink('/'.join([path, '..']))",
    "os.close(os.open(path, os.O_RDONLY))",
    "psutil.disk_usage(path)",
    "os.fstat(descriptor)",
    "os.fsync(descriptor)",
    "os.pread(descriptor, 1, 0)",
    "os.truncate(path, 0)",
    "shutil.copy(path, path + '.copy')",
    "shutil.rmtree(Path(path).parent)",
)
PLANTED = """
import asyncio, os, psutil, shutil
from contextlib import suppress
from pathlib import Path

def work(path, descriptor):
    with suppress(OSError):
        {call}

async def on_the_loop(path, descriptor):
    work(path, descriptor)

async def called_back(path, descriptor):
    asyncio.get_running_loop().call_soon(work, path, descriptor)
    await asyncio.sleep(0)

async def in_a_thread(path, descriptor):
    await asyncio.to_thread(work, path, descriptor)
"""


def planted(call: str) -> Any:
    """What makes that call, as code that is no test's."""
    found: dict[str, Any] = {}
    exec(compile(PLANTED.format(call=call), str(loop_guard.PACKAGE / "planted.py"), "exec"), found)
    return SimpleNamespace(**found)


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_blocks_the_loop_is_found(blocked: Findings, tmp_path: Path, call: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"something")
    with path.open("rb") as file:
        asyncio.run(planted(call).in_a_thread(str(path), file.fileno()))
        assert blocked.new() == []
        tmp_path.mkdir(exist_ok=True)
        path.write_bytes(b"something")
        asyncio.run(planted(call).on_the_loop(str(path), file.fileno()))
        assert "/planted.py:8 work\n" in blocked.new()[0]
        tmp_path.mkdir(exist_ok=True)
        path.write_bytes(b"something")
        asyncio.run(planted(call).called_back(str(path), file.fileno()))
        assert "/planted.py:8 work\n" in blocked.new()[0]


def test_a_daemon_may_look_at_its_state_dir_alone_and_only_as_it_starts(blocked: Findings, tmp_path: Path) -> None:
    package = tmp_path / "beside" / "daemon"
    (package / "cli").mkdir(parents=True)
    for part in (package, package / "cli"):
        (part / "__init__.py").touch()
    (package / "server.py").write_text(
        "import asyncio, os\n"
        "async def serve(*paths):\n"
        "    [os.stat(path) for path in paths]\n"
        "    await asyncio.create_task(answer(paths[0]))\n"
        "async def answer(path):\n"
        "    os.stat(path)\n"
    )
    main = "import asyncio, sys\nfrom daemon.server import serve\ndef main(): asyncio.run(serve(*sys.argv[1:]))\n"
    (package / "cli" / "main.py").write_text(main)
    state = tmp_path / "state"
    state.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "FFSPOOL_STATE_DIR": str(state)}
    command = [sys.executable, loop_guard.__file__, str(state), str(tmp_path), str(package)]
    subprocess.run(command, env=environment, check=True)
    told = [(found.splitlines()[0], found.splitlines()[-1].rpartition(" ")[2]) for found in blocked.new()]
    assert told == [
        (f"os.stat of {package} made the event loop wait:", "serve"),
        (f"os.stat of {state} made the event loop wait:", "answer"),
    ]

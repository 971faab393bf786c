"""The engine of one host does what every engine must."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from engine_conformance import EngineConformance, long  # noqa: F401 (a fixture of its tests)
from stored import local_engine

from daemon.encode.engine import Engine
from daemon.encode.runner import handle_of
from daemon.process.identity import TOKEN_VARIABLE, find_by_token, start_ticks


class TestLocalEngine(EngineConformance):
    def make(self, ffmpeg: str) -> Engine:
        return local_engine(ffmpeg, slots=2)

    def works(self, task: str) -> bool:
        return any(find_by_token(task.__eq__))

    @pytest.fixture(autouse=True)
    def children(self) -> Iterator[None]:
        self.left = list[subprocess.Popen[bytes]]()
        yield
        for process in self.left:
            process.kill()
            with process:
                pass

    def leave_behind(self, task: str) -> str:
        sleeping = "import time; print(flush=True); time.sleep(600)"
        environment = {**os.environ, TOKEN_VARIABLE: task}
        process = subprocess.Popen([sys.executable, "-c", sleeping], env=environment, stdout=subprocess.PIPE)
        self.left.append(process)
        assert process.stdout
        assert process.stdout.read(1)  # its environment is there
        return handle_of(process.pid, start_ticks(process.pid))

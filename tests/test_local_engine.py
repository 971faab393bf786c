"""The engine of one host does what every engine must."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_conformance import MINE, EngineConformance, begun, long, order, task
from stored import local_engine

from daemon.encode.engine import Engine
from daemon.encode.runner import handle_of
from daemon.encode.task import Unfinished
from daemon.models import new_id
from daemon.process.identity import HOME_VARIABLE, TOKEN_VARIABLE, find_by_token, start_ticks

__all__ = ["long"]


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

    def leave_behind(self, task: str, **marks: str) -> str:
        sleeping = "import time; print(flush=True); time.sleep(600)"
        environment = {**os.environ, TOKEN_VARIABLE: task, **marks}
        process = subprocess.Popen([sys.executable, "-c", sleeping], env=environment, stdout=subprocess.PIPE)
        self.left.append(process)
        assert process.stdout
        assert process.stdout.read(1)  # its environment is there
        return handle_of(process.pid, start_ticks(process.pid))

    def test_what_works_for_a_daemon_of_another_state_dir_is_left_alone(self, ffmpeg: str) -> None:
        """The copy of a database knows its attempts as well as that daemon, which may live."""
        mine, others, unmarked = (new_id() for _ in range(3))
        handles = {
            one: self.leave_behind(one, **marks)
            for one, marks in ((mine, {HOME_VARIABLE: "1:2"}), (others, {HOME_VARIABLE: "1:3"}), (unmarked, {}))
        }
        unfinished = [Unfinished(one, handle) for one, handle in handles.items()]
        for of_both in (unfinished, [Unfinished(one, None) for one in handles]):
            asyncio.run(local_engine(ffmpeg, home="1:2").end_survivors(of_both))
            assert [self.works(one) for one in handles] == [False, True, False]

    def test_the_kernel_would_end_an_encoder_before_the_daemon(self, ffmpeg: str, long: Path, tmp_path: Path) -> None:
        def told(process: int | str) -> int:
            return int(Path(f"/proc/{process}/oom_score_adj").read_text())

        async def main() -> list[int]:
            async with self.started(ffmpeg) as engine:
                running = await begun(engine, task(MINE, long, order(tmp_path, "h264-480p")))
                found = [told(pid) for pid, _ in find_by_token(MINE.__eq__)]
                await engine.stop(MINE)
                await running
                return found

        [encoder] = asyncio.run(main())
        assert encoder > told("self")

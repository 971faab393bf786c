"""Types that JSON is decoded as are ready before there are threads: two that make one at once end the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SERVICE = """
import asyncio, sys
from pathlib import Path
import msgspec
import daemon.server
from daemon.json_types import structs
from daemon.presets.library import Library
from daemon.service import running
from daemon.settings import Settings

made = []

def called(frame, event, _):
    if event == "call" and frame.f_code.co_name == "get_class_annotations":
        made.append(frame.f_locals["obj"])

async def main():
    async with running(Settings(state_dir=Path(sys.argv[1]), sandbox="off"), Library()):
        sys.setprofile(called)
        for struct in [*structs()]:
            try:
                msgspec.json.Decoder(struct)
            except TypeError:
                made.clear()  # nobody decodes what cannot be
            assert not made, made
        sys.setprofile(None)

asyncio.run(main())
"""


def test_a_service_that_runs_has_the_types_ready(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SERVICE, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

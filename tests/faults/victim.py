"""The daemon that is going to be hurt: started bare or under a tracer, killed, looked for in /proc."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
from conftest import PATIENCE, Daemon, wait_until

MOMENT = 20.0  # seconds, on a busy machine


def strace(calls: str, what: str, when: str) -> tuple[str, ...]:
    """Has the kernel do `what` (`signal=KILL`, `error=EIO`) at the calls that `when` counts, in each thread."""
    fast = ["--seccomp-bpf"] if what.startswith("error=") else []  # with it strace 6.1 injects no signals
    return (
        "strace",
        "-f",
        "-qq",
        *fast,
        "-o",
        "/dev/null",
        "-e",
        f"trace={calls}",
        "-e",
        f"inject={calls}:{what}:when={when}",
    )


class Victim(Daemon):
    """Everything it starts has a working folder below `home`, by which what outlives it is found."""

    def __init__(self, home: Path, *flags: str, **environment: str) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.homes = [home]  # where its encoders work, those of its machines, too
        self.lease = MOMENT  # seconds for which one may outlive its attempt
        self.client: httpx.Client | None = None
        self.process: Any = None  # until it is started
        super().__init__(home / "state", *flags, FFSPOOL_GRACE="0.5", FFSPOOL_RETRY_DELAY="0.2", **environment)

    def start(self) -> None:
        """Not yet: the test decides how, by `starts`."""

    def starts(self, *prefix: str, seconds: float = PATIENCE) -> bool:
        """Starts it once more, which may take so long. False: it died, or refused, before it listened."""
        self.prefix = prefix
        (self.state_dir / "address").unlink(missing_ok=True)
        self.launch()
        wait_until(lambda: self.died or self._listens(), "the start, or the end of it", seconds)
        if self.died:
            return False
        if self.client:  # of one that died by itself
            self.client.close()
        self.connect()
        return True

    def _listens(self) -> bool:
        address = self.state_dir / "address"
        return address.exists() and bool(address.read_text())

    @property
    def died(self) -> bool:
        return self.process.poll() is not None

    @property
    def pid(self) -> int:
        """The daemon's own, behind whatever started it."""
        return int((self.state_dir / "lock").read_text()) if self.prefix else self.process.pid

    def kill(self) -> None:
        """SIGKILL, as the kernel's OOM killer would."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        self.client.close()

    def launch_and_kill(self, seconds: float) -> None:
        """Starts it, and kills it so many seconds later, wherever it is then."""
        self.prefix = ()
        self.launch()
        time.sleep(seconds)
        self.process.kill()
        self.process.wait(PATIENCE)

    def dies(self, seconds: float) -> bool:
        """Whether it does within that time."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        self.client.close()
        return self.died

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.prefix and not self.died:  # a signal to the tracer would set the daemon free
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
            self.process.wait(PATIENCE)
        return super().stop(number)

    def end(self) -> None:
        """Leaves nothing of it, whatever state it is in."""
        if self.client:
            self.client.close()
        for process in below(self.home):
            with suppress(psutil.Error):
                process.kill()
        if self.process:
            self.process.wait(PATIENCE)

    def left_behind(self, seconds: float) -> list[str]:
        """What outlived the daemon by so many seconds."""
        deadline = time.monotonic() + seconds
        while (alive := below(self.home)) and time.monotonic() < deadline:
            time.sleep(0.01)
        return [_description(process) for process in alive]


def below(home: Path) -> list[psutil.Process]:
    """Every process that works in that folder, but for zombies that nobody reaped yet."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _description(process: psutil.Process) -> str:
    try:
        return f"{process.pid}: {' '.join(process.cmdline())[:200]}"
    except psutil.Error:
        return f"{process.pid}"

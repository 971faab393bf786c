"""Starts daemons by fork, from a process that has read all of the program's code and done nothing else.

A daemon's start takes half a second of CPU, most of it for that, and tests start hundreds. What is forked is a process
of its own like any other; one that is to be started by another program, or with other libraries, is not for this.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

import loop_guard

MOST_BYTES = 1_000_000  # of one request: arguments and environment


class Forked:
    """A daemon that was forked, with what `subprocess.Popen` has of one."""

    def __init__(self, template: Template, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._template = template
        self._ended = os.pidfd_open(pid)

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._ended], [], [], 0)[0]:
            self.returncode = self._template.ask({"reap": self.pid})
            os.close(self._ended)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            select.select([self._ended], [], [], timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired(f"the daemon {self.pid}", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Template:
    """The process that daemons are forked from. It ends with its client."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._turn = threading.Lock()
        with theirs:
            command = [sys.executable, __file__, str(theirs.fileno())]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        atexit.register(self.close)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()

    def start(self, arguments: list[str], environment: dict[str, str], folder: Path, log: int) -> Forked:
        """Starts `loop_guard.py` with these arguments, in that folder; what it says goes to the descriptor `log`."""
        os.umask(umask := os.umask(0o022))
        order = {"arguments": arguments, "environment": environment, "folder": str(folder), "umask": umask}
        return Forked(self, self.ask(order, log))

    def ask(self, request: dict[str, Any], *descriptors: int) -> int:
        with self._turn:
            socket.send_fds(self._socket, [json.dumps(request).encode()], descriptors)
            return int(json.loads(self._socket.recv(MOST_BYTES)))


@cache
def template() -> Template:
    """The one of this process of tests."""
    return Template()


def _serve(client: socket.socket) -> None:
    """Forks whenever it is asked to, and returns in what was forked. Ends with the client."""
    while True:
        words, descriptors, *_ = socket.recv_fds(client, MOST_BYTES, 1)
        if not words:
            sys.exit()
        request = json.loads(words)
        if "reap" in request:
            client.send(json.dumps(os.waitstatus_to_exitcode(os.waitpid(request["reap"], 0)[1])).encode())
            continue
        pid = os.fork()
        if pid == 0:
            client.close()
            return _become(request, descriptors[0])
        os.close(descriptors[0])
        client.send(json.dumps(pid).encode())


def _become(order: dict[str, Any], log: int) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.umask(order["umask"])
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    sys.argv = [loop_guard.__file__, *order["arguments"]]


if __name__ == "__main__":
    sys.path.remove(str(loop_guard.TESTS))
    for module in ("daemon.cli.main", "daemon.server"):
        importlib.import_module(module)
    signal.signal(signal.SIGINT, lambda *_: None)  # at Ctrl-C it ends with its client
    assert threading.active_count() == 1, "what is forked would lack the other threads"
    _serve(socket.socket(fileno=int(sys.argv[1])))
    loop_guard.main()

"""Starts daemons and commands by fork, from a process that has read all of the program's code and done nothing else.

The start of each takes a third of a second of CPU, most of it for that, and as much again for the process that reads
media, and tests start a thousand. What is forked is a process of its own like any other; one that is to be started by
another program, or with other libraries, is not for this.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import loop_guard

import daemon.cli
from daemon.media import probe_server, prober
from daemon.process import launcher
from daemon.process.child import Child

MOST_BYTES = 1_000_000  # of one request: arguments and environment
MOST_DESCRIPTORS = 4096
FFSPOOL = "ffspool"
READS_MEDIA = {"serve", "run", "plan"}  # these commands do
OF_THE_INTERPRETER = ("PYTHON", "LC_", "LANG", "LD_")  # what begins so, it reads when it starts


class Order(NamedTuple):
    """What is to be forked."""

    argv: list[str]
    environment: dict[str, str]
    folder: str
    terminal: bool = False
    umask: int = 0


class Forked:
    """A process that was forked, with what `subprocess.Popen` has of one."""

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
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Template:
    """The process that others are forked from. It ends with its client."""

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

    def daemon(self, arguments: list[str], environment: Mapping[str, str], folder: Path, log: int) -> Forked:
        """Starts `loop_guard.py` with these arguments, in that folder; what it says goes to the descriptor `log`."""
        return self._start(Order([loop_guard.__file__, *arguments], dict(environment), str(folder)), 0, log, log)

    def command(self, arguments: list[str], environment: Mapping[str, str], out: int, errors: int) -> Forked:
        """Starts `ffspool` here with these arguments, and with these descriptors as stdout and stderr."""
        with Path(os.devnull).open() as nothing:
            return self._start(_order(arguments, environment), nothing.fileno(), out, errors)

    def on_terminal(self, arguments: list[str], environment: Mapping[str, str], terminal: int) -> Forked:
        """Starts `ffspool` here with these arguments, and with a terminal that it is controlled by."""
        return self._start(_order(arguments, environment)._replace(terminal=True), terminal, terminal, terminal)

    def _start(self, order: Order, *streams: int) -> Forked:
        os.umask(umask := os.umask(0o022))
        return Forked(self, self.ask({**order._asdict(), "umask": umask}, *streams))

    def ask(self, request: dict[str, Any], *descriptors: int) -> int:
        with self._turn:
            socket.send_fds(self._socket, [json.dumps(request).encode()], descriptors)
            return int(json.loads(self._socket.recv(MOST_BYTES)))


def _order(arguments: list[str], environment: Mapping[str, str]) -> Order:
    return Order([FFSPOOL, *arguments], dict(environment), str(Path.cwd()))


@cache
def template() -> Template:
    """The one of this process of tests."""
    return Template()


def run(arguments: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs `ffspool` to its end, without a terminal, and returns what it said."""
    if not _is_as_here(environment):
        command = [sys.executable, "-m", "daemon.cli", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        code = template().command(arguments, environment, out.fileno(), errors.fileno()).wait()
        said = []
        for file in (out, errors):
            file.seek(0)
            said.append(file.read())
    return subprocess.CompletedProcess(arguments, code, *said)


def _is_as_here(environment: Mapping[str, str]) -> bool:
    """Whether an interpreter would start in it as it did here."""

    def read(environment: Mapping[str, str]) -> dict[str, str]:
        return {name: value for name, value in environment.items() if name.startswith(OF_THE_INTERPRETER)}

    return read(environment) == read(os.environ)


def _serve(client: socket.socket) -> Order:
    """Forks whenever it is asked to, and returns the order in what was forked. Ends with the client."""
    while True:
        words, streams, *_ = socket.recv_fds(client, MOST_BYTES, 3)
        if not words:
            sys.exit()
        request = json.loads(words)
        if "reap" in request:
            client.send(json.dumps(os.waitstatus_to_exitcode(os.waitpid(request["reap"], 0)[1])).encode())
            continue
        pid = os.fork()
        if pid == 0:
            client.close()
            order = Order(**request)
            _become(order, streams)
            return order
        for stream in streams:
            os.close(stream)
        client.send(json.dumps(pid).encode())


def _become(order: Order, streams: list[int]) -> None:
    """Makes of a copy of the template what it would be at its first line, had it been started so."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.umask(order.umask)
    os.environ.clear()
    os.environ.update(order.environment)
    os.chdir(order.folder)
    if order.terminal:
        os.setsid()
        fcntl.ioctl(streams[0], termios.TIOCSCTTY, 0)
    for descriptor, stream in enumerate(streams):
        os.dup2(stream, descriptor)
    for stream in streams:
        os.close(stream)
    if READS_MEDIA & {*order.argv[1:2]}:
        prober.spawn_server = Spare().spawn
    sys.stdin, sys.stdout, sys.stderr = map(_opened, (sys.stdin, sys.stdout, sys.stderr), ("r", "w", "w"))
    sys.argv = order.argv


class Spare:
    """A child that becomes the first server that is spawned, forked before its parent has threads."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pid: int | None = os.fork()
        if self._pid == 0:
            self._ours.close()
            _read_media(theirs)
        theirs.close()

    def spawn(self, module: str, *arguments: str) -> tuple[Child, socket.socket]:
        """Does what `spawn_server` does, the first time by the child that waits."""
        pid, self._pid = self._pid, None
        if pid is None or module != probe_server.__name__:
            return launcher.spawn_server(module, *arguments)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs, self._ours:
            socket.send_fds(self._ours, [json.dumps(arguments).encode()], [theirs.fileno()])
        popen = subprocess.Popen.__new__(subprocess.Popen)
        popen.pid, popen.returncode, popen.stdin, popen.stdout, popen.stderr = pid, None, None, None, None
        return Child(popen), ours


def _read_media(client: socket.socket) -> NoReturn:
    """Waits to be told its socket and arguments and is the server then, with nothing of its parent's. Ends with it."""
    try:
        os.setpgid(0, 0)
        os.environ.clear()
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        os.closerange(3, client.fileno())
        os.closerange(client.fileno() + 1, MOST_DESCRIPTORS)
        words, descriptors, *_ = socket.recv_fds(client, MOST_BYTES, 1)
        if words:
            client.close()
            sys.argv = [probe_server.__file__, str(descriptors[0]), *json.loads(words)]
            probe_server.main()
    finally:
        os._exit(0)


def _opened(stream: Any, mode: str) -> Any:
    """The stream anew, of what its descriptor is now."""
    lines = 1 if stream is sys.stderr or os.isatty(stream.fileno()) else -1
    return open(stream.fileno(), mode, lines, stream.encoding, stream.errors, closefd=False)


def _load() -> None:
    """Reads all of the code that is read when it is needed, but nothing that it does."""
    commands = [module.name for module in pkgutil.iter_modules(daemon.cli.__path__, "daemon.cli.")]
    for module in ("daemon.server", "httpcore", *commands):
        if not module.endswith("__main__"):
            importlib.import_module(module)
    probe_server._load_all()


if __name__ == "__main__":
    sys.path.remove(str(loop_guard.TESTS))
    _load()
    signal.signal(signal.SIGINT, lambda *_: None)  # at Ctrl-C it ends with its client
    assert len([*Path("/proc/self/task").iterdir()]) == 1, "what is forked would lack the other threads"
    gc.freeze()  # or what is forked would write to every page when it looks for garbage
    ordered = _serve(socket.socket(fileno=int(sys.argv[1])))
    if ordered.argv[0] == FFSPOOL:
        daemon.cli.main.main(prog_name=FFSPOOL)
    else:
        loop_guard.main()

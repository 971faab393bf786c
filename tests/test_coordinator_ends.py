"""What coordinates machines ends with its daemon, whatever is under way on its lines."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import msgspec
from conftest import wait_until
from test_cluster import Cluster, cluster, coordinator_of, listens, runs
from test_revocation import dialling

from daemon.cluster.file_server import MACHINE
from daemon.cluster.invitations import Invitation

__all__ = ["cluster"]


def test_no_request_that_is_half_there_keeps_it_from_ending(cluster: Cluster, tmp_path: Path) -> None:
    invited = msgspec.json.decode(cluster.invite("box2").read_bytes(), type=Invitation)
    wait_until(lambda: listens(invited.files_port), "it to listen")
    coordinator = coordinator_of(cluster.daemon.process.pid)
    head = (
        f"POST /lease HTTP/1.1\r\nHost: daemon\r\n{MACHINE}: box2\r\nAuthorization: Bearer {invited.secret}\r\n"
        "Content-Length: 100\r\nExpect: 100-continue\r\n\r\n"
    )
    with (
        socket.create_connection(("127.0.0.1", invited.files_port)) as raw,
        dialling(invited, tmp_path / "papers").wrap_socket(raw) as line,
    ):
        line.sendall(head.encode())
        assert line.recv(1024).startswith(b"HTTP/1.1 100 ")  # it waits for the body
        os.kill(cluster.daemon.process.pid, signal.SIGKILL)
        wait_until(lambda: not runs(coordinator), "it to end")

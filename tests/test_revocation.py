"""Whose invitation was taken back comes in no more, and nobody else's line drops for that."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import forked
import pytest
from conftest import wait_until
from test_cluster import Cluster, at_work, cluster, of, processes_below, refused, runs

from daemon.cluster import certificates
from daemon.cluster.invitations import Guests, Invitation
from daemon.paths import write_private

__all__ = ["cluster"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cluster"


def guest(folder: Path, name: str) -> ssl.SSLContext:
    """How a machine of that name, which is invited, dials."""
    return dialling(Guests(folder).invite(name, "1", ["127.0.0.1"], 1, 2), folder.parent / name)


def dialling(invited: Invitation, papers: Path) -> ssl.SSLContext:
    """How whoever is invited dials, whose papers are laid down there."""
    name = invited.machine
    papers.mkdir()
    write_private(papers / "authority.pem", invited.authority)
    write_private(papers / f"{name}.pem", invited.certificate)
    write_private(papers / f"{name}.key", invited.key)
    return certificates.context(papers, ssl.Purpose.SERVER_AUTH, name)


@contextmanager
def door(context: ssl.SSLContext) -> Iterator[int]:
    """A port at which whoever is let in is greeted."""

    def greet(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                raw = listening.accept()[0]
                with raw, suppress(ssl.SSLError), context.wrap_socket(raw, server_side=True) as line:
                    line.sendall(b"come in")

    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:
        pool.submit(greet, listening)
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)


def let_in(context: ssl.SSLContext, port: int, session: ssl.SSLSession | None = None) -> ssl.SSLSession | None:
    """The session, which could be taken up again. Raises SSLError or ConnectionError for whoever is not."""
    with socket.create_connection(("127.0.0.1", port)) as raw, context.wrap_socket(raw, session=session) as line:
        if not line.recv(16):
            raise ConnectionError("hung up on")
        return line.session


def test_a_door_that_stands_open_knows_at_once_who_was_revoked(folder: Path) -> None:
    """Each of several in the same second; sessions of before are not taken up again."""
    machines = {name: guest(folder, name) for name in ("box2", "box3", "box4")}
    context = certificates.context(folder, ssl.Purpose.CLIENT_AUTH)
    certificates.refuse_revoked(context, folder)
    with door(context) as port:
        sessions = {name: let_in(machine, port) for name, machine in machines.items()}
        for name in ("box2", "box3"):
            Guests(folder).revoke(name)
            certificates.refuse_revoked(context, folder)
            for session in (None, sessions[name]):
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    let_in(machines[name], port, session)
            assert let_in(machines["box4"], port)


@pytest.mark.thorough
def test_whoever_is_revoked_is_cut_off_and_the_others_work_on(cluster: Cluster, long_clip: Path) -> None:
    with cluster.machine("box2") as leaving, cluster.machine("box3") as staying:
        jobs = [cluster.daemon.submit(long_clip, presets=["h264-480p"])["id"] for _ in range(2)]
        for job in jobs:
            at_work(cluster, job)
        [kept], [ended] = list(processes_below(staying.pid)), list(processes_below(leaving.pid))
        since = cluster.standing("box3")["since"]
        assert forked.run(["cluster", "revoke", "box2"], cluster.daemon.env).returncode == 0
        wait_until(lambda: not runs(ended), "the encoder of the one that left to end")
        leaving.wait(60)
        wait_until(lambda: cluster.standing("box3")["slots_used"] == 2, "the other to have both")
        assert runs(kept)
        assert cluster.standing("box3")["since"] == since
        wait_until(lambda: all("machine" in of(cluster.daemon.job(job))[0] for job in jobs), "both to be at work")
        both = [of(cluster.daemon.job(job))[0] for job in jobs]
        assert sorted(one["attempts"] for one in both) == [1, 2]
        assert {one["machine"] for one in both} == {"box3"}
        assert [one["name"] for one in cluster.daemon.client.get("/api/machines").json()["items"]] == ["box3"]
        assert "does not know this invitation" in refused(cluster.folder / "box2.invite", cluster)
        for job in jobs:
            cluster.daemon.client.post(f"/api/jobs/{job}/cancel")


@pytest.mark.thorough
def test_a_machine_that_is_away_for_good_is_forgotten(cluster: Cluster) -> None:
    """One that is here is not, and both are said in words."""
    with cluster.machine("box2"):
        told = forked.run(["machines", "forget", "box2"], cluster.daemon.env)
        assert told.returncode == 4
        assert "box2 is working: end `ffspool worker` there first" in " ".join(told.stderr.split())
    wait_until(lambda: cluster.standing("box2")["state"] == "away", "it to be away")
    assert forked.run(["machines", "forget", "box2"], cluster.daemon.env).returncode == 0
    assert cluster.daemon.client.get("/api/machines").json()["items"] == []
    assert cluster.daemon.client.delete("/api/machines/box2").status_code == 404
    assert "does not know this invitation" in refused(cluster.folder / "box2.invite", cluster)

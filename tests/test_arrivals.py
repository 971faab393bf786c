"""Who comes by an invitation that another has come by is told so, also where both come at the same moment."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import time
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import httpx
import pytest
from msgspec.structs import replace
from stored import local_engine
from test_cluster import free_ports
from test_machine_disks import HELLO, NOWHERE

from daemon.cluster import certificates, coordinator, standing, worker
from daemon.cluster.cluster_engine import ClusterEngine
from daemon.cluster.coordinator import Coordinator
from daemon.cluster.file_server import FileServer, Tasks
from daemon.cluster.invitations import Guests
from daemon.cluster.messages import Joined, Left, Refused
from daemon.errors import StartupError


def test_of_two_that_come_at_once_by_one_invitation_the_second_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that did not come after all is waited for no longer than some seconds."""
    writer: Any = create_autospec(coordinator.asyncio.StreamWriter, instance=True)
    waiting = Coordinator(replace(NOWHERE, folder=str(tmp_path)), writer)
    hello = replace(HELLO, clock=time.time())
    assert waiting.welcome("box2", hello) is None
    refusal = str(waiting.welcome("box2", hello))
    assert "another one is just coming by this invitation" in refusal
    assert "if that was this one, try again in a minute" in refusal
    assert waiting.welcome("box3", hello) is None
    monkeypatch.setattr(coordinator, "COMES_WITHIN", 0.0)
    assert waiting.welcome("box2", hello) is None


def test_what_kept_another_away_while_a_machine_was_here_is_not_told_when_it_left() -> None:
    engine = ClusterEngine(local_engine(), NOWHERE, local_slots=0, grace=1.0)
    for notice in (
        Joined(machine="box2", hello=HELLO),
        Refused(machine="box2", why="a machine called box2 is at work already"),
        Left(machine="box2"),
    ):
        engine.heard(notice)
    assert standing.view(engine, "box2", drained=False, makes=()).why is None


@pytest.mark.parametrize(("began", "ends"), [(-48, 96), (48, -24)])
def test_a_clock_by_which_no_paper_counts_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, began: int, ends: int
) -> None:
    """As one is that begins in 1970: no line can be made by it, on which the daemon would tell."""
    [port, other] = free_ports(2)
    invited = Guests(tmp_path).invite("box2", "1", ["127.0.0.1"], other, port)
    monkeypatch.setattr(certificates, "SKEW", datetime.timedelta(hours=began))
    monkeypatch.setattr(certificates, "LASTS", datetime.timedelta(hours=ends))
    papers = certificates.issue(tmp_path, certificates.DAEMON)
    (tmp_path / f"{certificates.DAEMON}.pem").write_text(papers.certificate)
    (tmp_path / f"{certificates.DAEMON}.key").write_text(papers.key)

    async def dial() -> None:
        door = certificates.context(tmp_path, ssl.Purpose.CLIENT_AUTH)
        async with (
            await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port, ssl=door),
            asyncio.timeout(worker.PATIENCE / 2),
            worker._client(invited, tmp_path / "papers"),
        ):
            pass

    (tmp_path / "papers").mkdir()
    worker._lay_down(invited, tmp_path / "papers")
    with pytest.raises(StartupError, match="the clock of this machine is wrong, by which the daemon's papers do not"):
        asyncio.run(dial())


def test_another_version_is_told_so_whatever_its_hello_looks_like(tmp_path: Path) -> None:
    """It may tell other things of itself than this one does."""
    writer: Any = create_autospec(coordinator.asyncio.StreamWriter, instance=True)
    waiting = Coordinator(replace(NOWHERE, folder=str(tmp_path)), writer)
    server = FileServer(Tasks(), lambda *_: True, waiting.welcome, *[lambda *_: None] * 3)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(server.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://daemon") as client:
            return await client.post("/hello", json={"version": "9", "encoder": {"sha512": "1"}})

    answer = asyncio.run(ask())
    assert answer.status_code == 409
    assert answer.json()["refused"] == "it runs ffspool 9, and the daemon 1: install the same"


def test_an_answer_that_a_machine_does_not_understand_is_told_in_words() -> None:
    async def introduce() -> None:
        transport = httpx.MockTransport(lambda _: httpx.Response(500))
        async with httpx.AsyncClient(transport=transport, base_url="http://daemon") as client:
            await worker._introduce(client, HELLO)

    with pytest.raises(StartupError, match="the daemon answered 500"):
        asyncio.run(introduce())

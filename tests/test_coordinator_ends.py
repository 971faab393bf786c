"""What coordinates machines ends with its daemon, whatever is under way on its lines, and by it where it hangs."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import dask
import msgspec
from conftest import PATIENCE, wait_until
from distributed import Client, Worker, wait
from distributed.scheduler import TaskGroup, TaskState
from distributed.security import Security
from engine_conformance import order, task
from stored import local_engine
from test_cluster import Cluster, cluster, coordinator_of, free_ports, listens, runs
from test_machine_disks import HELLO
from test_revocation import dialling

from daemon.cluster import certificates, coordinator, dask_nodes
from daemon.cluster.cluster_engine import ClusterEngine
from daemon.cluster.file_server import MACHINE
from daemon.cluster.invitations import Invitation
from daemon.cluster.messages import Charter, Joined
from daemon.models import new_id

__all__ = ["cluster"]


def test_no_request_that_is_half_there_keeps_it_from_ending(cluster: Cluster, tmp_path: Path) -> None:
    invited = msgspec.json.decode(cluster.invite("box2").read_bytes(), type=Invitation)
    wait_until(lambda: listens(invited.files_port), "it to listen")
    running = coordinator_of(cluster.daemon.process.pid)
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
        wait_until(lambda: not runs(running), "it to end")


def test_one_that_says_nothing_is_started_anew_and_keeps_nobody_waiting(clip: Path, tmp_path: Path) -> None:
    """A pause that it was to pass on is answered: what was to stand still is lost with it."""

    async def main() -> None:
        ports = free_ports(2)
        charter = Charter(
            listen=f"tls://127.0.0.1:{ports[0]}", files_port=ports[1], folder=str(tmp_path / "cluster"), version="1",
            encoder="", require_sandbox=False, beat=0.2,
        )  # fmt: skip
        engine = ClusterEngine(local_engine(), charter, local_slots=0, grace=1.0)
        await engine.start()
        try:
            async with asyncio.timeout(PATIENCE):
                assert engine.listening
                await engine.listening
                frozen = coordinator_of(os.getpid())
                os.kill(frozen, signal.SIGSTOP)
                engine.heard(Joined(machine="box2", hello=HELLO))
                one = task("one", clip, order(tmp_path, "mp3"))
                running = asyncio.create_task(engine.run(one, lambda _: None))
                await asyncio.sleep(0)
                assert one.id in engine.machines["box2"].tasks
                assert not await engine.pause(one.id)
                assert (await running).lost
                assert not engine.machines
                engine.listening = asyncio.get_running_loop().create_future()
                await engine.listening
            assert not runs(frozen)
        finally:
            await engine.close()

    asyncio.run(main())


def quiet_scheduler(folder: Path) -> dask_nodes.QuietScheduler:
    certificates.authority(folder)
    papers = {"cert": str(folder / "daemon.pem"), "key": str(folder / "daemon.key")}
    roles = {f"tls_{role}_{what}": path for role in ("scheduler", "client", "worker") for what, path in papers.items()}
    security: Any = Security(tls_ca_file=str(folder / "authority.pem"), require_encryption=True, **roles)
    with dask.config.set({**coordinator.RULES, **dask_nodes.RULES}):
        return dask_nodes.QuietScheduler("127.0.0.1", 0, security)


def test_machines_that_say_nothing_are_looked_for_as_often_as_they_should_say_something(tmp_path: Path) -> None:
    """Else it takes two minutes until one is missed that is given one."""

    async def main() -> None:
        scheduler = quiet_scheduler(tmp_path)
        looking = scheduler.periodic_callbacks["worker-ttl"]
        assert (looking.callback, looking.callback_time) == (scheduler.check_worker_ttl, dask_nodes.BEAT * 1000)
        await scheduler.close()

    asyncio.run(main())


def test_no_module_is_looked_for_in_folders_of_dask_s(tmp_path: Path) -> None:
    """Whatever lies there is nobody's program, and a disk may not answer."""

    async def main() -> None:
        known = list(sys.path)
        async with quiet_scheduler(tmp_path) as scheduler:
            options = {"security": scheduler.security, "dashboard": False, "local_directory": str(tmp_path)}
            async with dask_nodes.QuietWorker(scheduler.address, name="box2", **options):
                assert sys.path == known
            assert sys.path == known

    asyncio.run(main())


def test_of_tasks_that_are_over_dask_keeps_nothing(tmp_path: Path) -> None:
    """However many were there: it runs for months."""

    async def main() -> None:
        async with (
            quiet_scheduler(tmp_path) as scheduler,
            Client(scheduler.within, asynchronous=True) as client,
            Worker(scheduler.within, nthreads=1, dashboard=False) as worker,
        ):
            for number in range(5):
                future: Any = client.submit(int, number, key=new_id() + new_id(), pure=False)
                await wait([future])
                future.release()
                await worker.heartbeat()
            while scheduler.tasks:  # noqa: ASYNC110 - no event tells it
                await asyncio.sleep(0.01)
            gc.collect()
            kept = [one for one in gc.get_objects() if isinstance(one, TaskState | TaskGroup)]
            assert len(kept) <= 1, "the latest"

    asyncio.run(main())

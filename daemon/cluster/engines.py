"""Opens the engine that the settings ask for: that of this host, or one of many machines."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from importlib.util import find_spec

from daemon.cluster.cluster_engine import ClusterEngine
from daemon.cluster.messages import Charter
from daemon.config_tables import Cluster
from daemon.encode.engine import Engine
from daemon.encode.local_engine import LocalEngine
from daemon.errors import StartupError
from daemon.models import Sandbox
from daemon.paths import Paths
from daemon.process import ffmpeg_binary
from daemon.process.launcher import Limits
from daemon.settings import Settings
from daemon.state_lock import identity

PACKAGE = "ffspool"
NEEDED = ("distributed", "cryptography")


async def open_engine(
    settings: Settings, cluster: Cluster | None, paths: Paths, program: str, sandbox: Sandbox
) -> Engine:
    """Returns the engine, not started. Raises StartupError where a cluster lacks what it is made of."""
    local = LocalEngine(
        ffmpeg=program,
        slots=settings.slots,
        limits=limits(settings),
        grace=settings.grace,
        sandbox=sandbox,
        readable=tuple(map(str, settings.sandbox_read)),
        home=await asyncio.to_thread(identity, paths),
    )
    if cluster is None:
        return local
    refuse_bare()
    charter = Charter(
        listen=cluster.listen,
        files_port=cluster.port_of_files,
        folder=str(paths.cluster),
        version=version(PACKAGE),
        encoder=await asyncio.to_thread(ffmpeg_binary.digest, program),
        require_sandbox=settings.sandbox == "require",
    )
    return ClusterEngine(local, charter, local_slots=cluster.local_slots, grace=settings.grace)


def of_many(engine: Engine) -> ClusterEngine | None:
    """Returns the engine if it is one of many machines."""
    return engine if isinstance(engine, ClusterEngine) else None


def refuse_bare() -> None:
    """Raises StartupError where the extra is not installed."""
    if any(find_spec(name) is None for name in NEEDED):
        raise StartupError(f"a cluster needs more: pip install '{PACKAGE}[cluster]'")


def limits(settings: Settings) -> Limits:
    """Returns what one encoder may use."""
    return Limits(
        nice=settings.nice,
        cpu_seconds=int(settings.max_encode_hours * 3600),
        memory=settings.max_encoder_memory,
    )

"""Which boot of the host this is: numbers of processes and devices mean nothing across a reboot."""

from __future__ import annotations

from pathlib import Path


def boot_id() -> str:
    """Names the boot, as the kernel does: no other has the same."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()

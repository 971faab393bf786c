"""Says in words what the daemon's address lays open to others."""

from __future__ import annotations

import ipaddress

from daemon.settings import Settings

ADVICE = (
    "listen on 127.0.0.1 or --unix-socket behind a proxy that does TLS, or name that proxy's address with "
    "--trusted-proxy and let nobody else reach the port"
)


def exposure(settings: Settings) -> str | None:
    """Says what can be read on the way to the daemon; None when only this host reaches it, or a proxy guards it."""
    if settings.unix_socket is not None or settings.trusted_proxies or _is_loopback(settings.host):
        return None
    return (
        f"whoever is on the network can reach {settings.host} port {settings.port}, which speaks without TLS: the "
        "token, passwords, session cookies and every file can be read and changed on the way"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"

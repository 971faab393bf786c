"""Where a webhook may go: a host's name is looked up here, and each of its addresses has to be a public one.

What connects must connect to an address from here and never look the name up again: a name that points to a
public address now may point into the host's own network a moment later.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from daemon.errors import FfspoolError

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[list[Address]]]

GLOBAL_UNICAST = IPv6Network("2000::/3")
NAT64 = IPv6Network("64:ff9b::/96")  # carries an IPv4 address in its last 32 bits


class ForbiddenTarget(FfspoolError):
    """A host with an address that webhooks do not go to."""

    code = "forbidden_target"
    title = "Webhooks do not go there"


async def addresses(host: str, port: int, *, allow_private: bool, resolve: Resolve | None = None) -> list[Address]:
    """The addresses of `host`, each of them checked.

    Raises ForbiddenTarget if one of them is not public, unless `allow_private`; OSError if it has none.
    """
    found = await (resolve or look_up)(host, port)
    for address in found:
        if not allow_private and (reason := why_not(address)):
            raise ForbiddenTarget(
                f"{host} leads to {address}, {reason}: webhooks go to public addresses only, "
                "unless the daemon is set to webhook_allow_private"
            )
    return found


def why_not(address: Address) -> str | None:
    """What speaks against an address, in words; None when it is a public one."""
    inner = _carried(address)
    if inner is not None and (reason := why_not(inner)):
        return f"{reason} within IPv6"
    for flaw, is_so in (
        ("the unspecified address", address.is_unspecified),
        ("a loopback address", address.is_loopback),
        ("a link-local address", address.is_link_local),
        ("a multicast address", address.is_multicast),
        ("a private or reserved address", not _is_public(address)),
    ):
        if is_so:
            return flaw
    return None


def _carried(address: Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for."""
    if isinstance(address, IPv4Address):
        return None
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


def _is_public(address: Address) -> bool:
    """`is_global` also knows 100.64/10, documentation and benchmark networks; of IPv6 little is in use."""
    if isinstance(address, IPv6Address):
        return address in NAT64 or (address in GLOBAL_UNICAST and address.is_global)
    return address.is_global and not address.is_reserved


async def look_up(host: str, port: int) -> list[Address]:
    """The addresses of a name, or of a literal. Raises OSError in words when there are none.

    The resolver cannot be interrupted. It runs on a thread that nothing waits for, so that one which hangs
    holds up neither its caller's timeout nor the daemon's end.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Address]] = loop.create_future()

    def settle(found: list[Address] | OSError) -> None:
        if answer.done():
            return
        if isinstance(found, OSError):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    def work() -> None:
        found = _resolved(host, port)
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(settle, found)

    threading.Thread(target=work, name="resolver", daemon=True).start()
    return await answer


def _resolved(host: str, port: int) -> list[Address] | OSError:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        return OSError(f"the name {host} cannot be resolved: {words}")
    return list(dict.fromkeys(ip_address(answer[4][0]) for answer in answers))

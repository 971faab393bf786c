"""Says where we may go when others say so: a host's name is looked up here, and each of its addresses has to be public.

What connects must connect to an address from here and never look the name up again: a name that points to a
public address now may point into the host's own network a moment later.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import Future
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple, TypeVar

import psutil

from daemon.errors import FfspoolError

T = TypeVar("T")
Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[list[Address]]]
Interfaces = Callable[[], Collection[Address]]

GLOBAL_UNICAST = IPv6Network("2000::/3")
NAT64 = IPv6Network("64:ff9b::/96")  # carries an IPv4 address in its last 32 bits

# IANA's special-purpose registries, whole: Python's tables lag behind them, and differ from version to version. Those
# within it that are reachable from anywhere serve protocols, never a receiver or a file.
SPECIAL = [*map(ip_network, (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
    "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
    "::/128", "::1/128", "::ffff:0:0/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001:db8::/32",
    "2002::/16", "2620:4f:8000::/48", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10",
))]  # fmt: skip
# What clouds offer their own machines under addresses that look like anybody's.
CLOUD_SERVICES = [*map(ip_network, (
    "168.63.129.16/32",  # Azure: the host's agent and its secrets
    "161.26.0.0/16", "166.8.0.0/14",  # IBM Cloud: endpoints within its network
))]  # fmt: skip


class ForbiddenTarget(FfspoolError):
    """Refuses a host with an address that we do not go to. `told` is what a client may know: not the address itself."""

    code = "forbidden_target"
    title = "The daemon does not go there"

    def __init__(self, message: str, told: str) -> None:
        super().__init__(message)
        self.told = told


def told(error: BaseException, *, to_admin: bool) -> str:
    """Returns the words of an error, or of what it was raised from: a client is not told what a name leads to."""
    for one in (error, error.__cause__):
        if isinstance(one, ForbiddenTarget) and not to_admin:
            return one.told
    return str(error)


class UnknownName(OSError):
    """The name of a host leads nowhere, for the reason that it tells."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.strerror = words


class Traffic(NamedTuple):
    """Tells what goes to a host, in the words of a refusal, and the setting that lets it go anywhere."""

    words: str
    setting: str

    @property
    def public_only(self) -> str:
        return f"{self.words} public addresses only, unless the daemon is set to {self.setting}"


WEBHOOKS = Traffic("webhooks go to", "webhook_allow_private")
FETCHES = Traffic("sources are fetched from", "fetch_allow_private")
DELIVERIES = Traffic("results are brought to", "delivery_allow_private")


def interfaces() -> frozenset[Address]:
    """Returns the addresses of this host's interfaces, as they are now."""
    families = {socket.AF_INET, socket.AF_INET6}
    return frozenset(
        plain(one.address) for ones in psutil.net_if_addrs().values() for one in ones if one.family in families
    )


def plain(address: str) -> Address:
    """Returns the address without the interface that a link-local one may be written with."""
    return ip_address(address.partition("%")[0])


async def addresses(
    host: str,
    port: int,
    *,
    allow_private: bool,
    resolve: Resolve | None = None,
    own: Interfaces = interfaces,
    traffic: Traffic = WEBHOOKS,
) -> list[Address]:
    """Returns the addresses of `host`, each of them checked.

    Raises ForbiddenTarget if one of them is this host's or not public, unless `allow_private`; OSError if it has none.
    """
    found = await (resolve or look_up)(host, port)
    if not allow_private:
        ours = await _on_a_thread(own)
        for address in found:
            _refuse(host, address, why_not(address, ours), traffic)
    return found


async def check_connection(
    host: str, ours: Address, theirs: Address, own: Interfaces = interfaces, traffic: Traffic = WEBHOOKS
) -> None:
    """Raises ForbiddenTarget for a connection that came back to this host, by whatever route or change meanwhile."""
    _refuse(host, theirs, why_not(theirs, {ours, *await _on_a_thread(own)}), traffic)


def _refuse(host: str, address: Address, reason: str | None, traffic: Traffic) -> None:
    if reason:
        is_literal = host == str(address)
        leads = f"is {reason}" if is_literal else f"leads to {address}, {reason}"
        told = f"is {reason}" if is_literal else "leads to an address that is not public"
        raise ForbiddenTarget(f"{host} {leads}: {traffic.public_only}", f"{host} {told}: {traffic.public_only}")


def against_literal(host: str, traffic: Traffic) -> str | None:
    """Says why nobody may go to a host that is given as an address; None for a public one, and for any name."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    reason = why_not(address)
    return f"{host} is {reason}: {traffic.public_only}" if reason else None


def why_not(address: Address, own: Collection[Address] = ()) -> str | None:
    """Says what speaks against an address, in words; None when it is a public one and none of this host's `own`."""
    inner = _carried(address)
    if inner is not None and (reason := why_not(inner, own)):
        return f"{reason} within IPv6"
    for flaw, is_so in (
        ("the unspecified address", address.is_unspecified),
        ("a loopback address", address.is_loopback),
        ("a link-local address", address.is_link_local),
        ("a multicast address", address.is_multicast),
        ("an address of this host", address in own),
        ("an address of a cloud's own services", _is_within(address, CLOUD_SERVICES)),
        ("a private or reserved address", not _is_public(address)),
    ):
        if is_so:
            return flaw
    return None


def _carried(address: Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for."""
    if isinstance(address, IPv4Address):
        return None
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 else address.ipv4_mapped


def _is_within(address: Address, networks: Collection[IPv4Network | IPv6Network]) -> bool:
    return any(address in network for network in networks)


def _is_public(address: Address) -> bool:
    """Judges by our own list and by Python's, which also knows what is reserved; of IPv6 little is in use."""
    if isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST:
        return address in NAT64
    return address.is_global and not address.is_reserved and not _is_within(address, SPECIAL)


async def look_up(host: str, port: int) -> list[Address]:
    """Returns the addresses of a name, or of a literal. Raises OSError in words when there are none."""
    return await _on_a_thread(partial(_resolved, host, port))


async def _on_a_thread(work: Callable[[], T]) -> T:
    """What `work` returns, or the OSError it raises.

    The resolver cannot be interrupted. It runs on a thread that nothing waits for, so that one which hangs
    holds up neither its caller's timeout nor the daemon's end.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def settle(ended: Future[T]) -> None:
        if answer.done():
            return
        if error := ended.exception():
            answer.set_exception(error)
        else:
            answer.set_result(ended.result())

    def run() -> None:
        ended: Future[T] = Future()
        try:
            ended.set_result(work())
        except OSError as error:
            ended.set_exception(error)
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(settle, ended)

    threading.Thread(target=run, name="resolver", daemon=True).start()
    return await answer


def _resolved(host: str, port: int) -> list[Address]:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        raise UnknownName(f"the name {host} cannot be resolved: {words}") from error
    return list(dict.fromkeys(ip_address(answer[4][0]) for answer in answers))

"""Which addresses webhooks go to: public ones of others, whatever Python's tables say and the host's routes do."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

from daemon import addresses
from daemon.storage.line import reason
from daemon.webhooks.delivery import Sender
from daemon.webhooks.signing import Secrets

PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"]
OWN = "2606:4700::77"  # never assigned to this host: it is put into its list of interfaces


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_gone_to(address: str) -> None:
    assert addresses.why_not(ip_address(address)) is None


@pytest.mark.parametrize(
    "address",
    ["100.64.0.1", "0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.168.1.1", "172.31.255.255",
     "198.19.0.1", "198.51.100.1", "203.0.113.1", "fd00::1", "fe80::1", "::", "::ffff:8.8.8.8", "ff02::1",
     "2002:7f00:1::", "2002:808:808::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "64:ff9b::a00:1", "64:ff9b:1::808:808",
     "fec0::1", "2001:db8::1", "100::1", "100:0:0:1::1", "3fff::1", "3fff:fff:ffff::1", "5f00::1", "2620:4f:8000::1",
     "4000::1", "192.0.0.1", "192.0.0.9", "192.0.0.170", "192.0.0.192", "192.31.196.1", "192.52.193.1", "192.88.99.1",
     "192.175.48.1"],
)  # fmt: skip
def test_an_address_that_is_not_public_is_known_as_such(address: str) -> None:
    assert addresses.why_not(ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["168.63.129.16", "64:ff9b::a83f:8110", "192.0.0.192", "100.100.100.200", "169.254.169.254", "fd00:ec2::254",
     "fd20:ce::254", "161.26.0.10", "166.9.0.1"],
)  # fmt: skip
def test_what_clouds_tell_their_own_machines_is_not_gone_to(address: str) -> None:
    assert addresses.why_not(ip_address(address))


@pytest.mark.parametrize("version", [4, 6])
def test_the_list_of_special_networks_holds_by_itself(monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    kind = type(addresses.SPECIAL[0][0] if version == 4 else ip_address("::"))
    for name, value in {"is_global": True, "is_reserved": False, "is_loopback": False, "is_link_local": False}.items():
        monkeypatch.setattr(kind, name, value)
    for network in addresses.SPECIAL:
        if network.version == version:
            assert addresses.why_not(network[0]), network
            assert addresses.why_not(network[-1]), network


@pytest.mark.parametrize(
    ("found", "own"), [("8.8.8.8", "8.8.8.8"), (OWN, OWN), ("64:ff9b::808:808", "8.8.8.8")], ids=["4", "6", "4 in 6"]
)
def test_a_public_address_of_this_host_is_refused(found: str, own: str) -> None:
    async def resolve(_: str, __: int) -> list[addresses.Address]:
        return [ip_address(found)]

    def look(*own: str) -> object:
        interfaces = frozenset(map(ip_address, own))
        return asyncio.run(
            addresses.addresses("me.example", 80, allow_private=False, resolve=resolve, own=lambda: interfaces)
        )

    assert look() == [ip_address(found)]
    with pytest.raises(addresses.ForbiddenTarget, match="an address of this host"):
        look("10.0.0.1", own)


def test_interfaces_that_cannot_be_looked_at_let_nothing_pass(tmp_path: Path) -> None:
    def broken() -> frozenset[addresses.Address]:
        raise OSError(12, "Cannot allocate memory")

    async def resolve(_: str, __: int) -> list[addresses.Address]:
        return [ip_address("8.8.8.8")]

    sender = Sender(Secrets(tmp_path / "webhook-secret"), resolve=resolve, interfaces=broken)
    assert asyncio.run(sender.attempt("http://dns.example/", "msg_1", b"{}")).error == "Cannot allocate memory"


# In a network of its own, where nothing leaves the host and any address may be ours

DELIVER = """
import asyncio, pathlib, socket, sys, threading
from daemon.webhooks.delivery import Sender
from daemon.webhooks.signing import Secrets

host, folder, allowed = sys.argv[1:]
listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
sender = Sender(Secrets(pathlib.Path(folder) / "webhook-secret"), allow_private=bool(allowed))
heard = []

def listen():
    while True:
        connection, _ = listener.accept()
        heard.append(connection.recv(4096))
        connection.sendall(b"HTTP/1.1 204 No Content\\r\\n\\r\\n")
        connection.close()

threading.Thread(target=listen, daemon=True).start()
outcome = asyncio.run(sender.attempt(f"http://{host}:{listener.getsockname()[1]}/", "msg_1", b"{}"))
print(outcome.error, b"".join(heard)[:4])
"""


@pytest.mark.parametrize(
    ("host", "made"),
    [
        ("8.8.4.4", "ip address add 8.8.4.4/32 dev lo"),
        ("[2606:4700::77]", "ip address add 2606:4700::77/128 dev lo nodad"),
        ("8.8.4.4", "ip route add local 8.8.4.0/24 dev lo"),
    ],
    ids=["an interface's", "an interface's, IPv6", "by a route, and no interface's"],
)
@pytest.mark.parametrize("allowed", [False, True], ids=["", "allowed"])
def test_what_comes_back_to_this_host_is_refused_before_anything_is_sent(
    tmp_path: Path, host: str, made: str, allowed: bool
) -> None:
    alone = ["unshare", "--net", "--map-root-user"]
    own_network = "ip link set lo up"
    if subprocess.run([*alone, "sh", "-c", own_network], capture_output=True, check=False).returncode:
        pytest.skip("this host gives nobody a network of their own")
    command = f'{own_network} && {made} && exec "$@"'
    delivery = [sys.executable, "-c", DELIVER, host, str(tmp_path), "1" if allowed else ""]
    done = subprocess.run(
        [*alone, "sh", "-c", command, "sh", *delivery], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    if allowed:
        assert done.stdout == "None b'POST'\n"
    else:
        assert "an address of this host" in done.stdout
        assert done.stdout.endswith("b''\n")


def test_a_name_that_leads_nowhere_is_told_in_words_where_no_more_is_told_than_why() -> None:
    with pytest.raises(OSError, match="cannot be resolved") as found:
        addresses._resolved("nowhere.invalid", 80)
    assert reason(found.value).startswith("the name nowhere.invalid cannot be resolved: ")

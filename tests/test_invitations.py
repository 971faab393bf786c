"""An invitation is written once, and no command empties the file that holds it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import forked
import msgspec
import pytest

from daemon.cluster import invitations
from daemon.errors import StartupError

CLUSTER = "[cluster]\nlisten = 'tls://127.0.0.1:8786'\n"


def test_an_invitation_goes_into_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "ffspool.toml").write_text(CLUSTER)
    env = {"FFSPOOL_CONFIG": str(tmp_path / "ffspool.toml"), "FFSPOOL_STATE_DIR": str(tmp_path / "state")}
    file = tmp_path / "box2.invite"

    def invite(name: str, to: Path = file) -> tuple[int, str, str]:
        done = forked.run(["cluster", "invite", name, "-o", str(to)], env)
        return done.returncode, done.stdout, " ".join(done.stderr.split())

    code, said, _ = invite("box2")
    assert (code, said) == (0, f"{file} invites box2: bring it there by a way that you trust, and tell it nobody\n")
    assert file.stat().st_mode & 0o777 == 0o600
    written = file.read_bytes()
    code, _, refusal = invite("box3")
    assert code
    assert f"{file} is there already: name another file" in refusal
    assert file.read_bytes() == written
    assert set(invitations.Guests(tmp_path / "state" / "cluster").names()) == {"box2"}
    code, _, refusal = invite("box2", tmp_path / "other")
    assert code
    assert "box2 is invited already" in refusal
    assert "`ffspool cluster revoke box2`, then invite it again" in refusal
    assert not (tmp_path / "other").exists()
    code, _, refusal = invite("box4", tmp_path / "no such folder" / "box4.invite")
    assert code
    assert "box4.invite cannot be written: No such file or directory" in refusal
    assert invitations.read(file).machine == "box2"
    printed = forked.run(["cluster", "invite", "box3"], env).stdout
    assert msgspec.json.decode(printed, type=invitations.Invitation).machine == "box3"


def test_an_address_of_ipv6_may_stand_in_brackets_or_not(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "ffspool.toml").write_text(f"{CLUSTER}addresses = ['fd00::1', '[fd00::2]', 'my_box.lan', '10.0.0.1']\n")
    env = {"FFSPOOL_CONFIG": str(tmp_path / "ffspool.toml"), "FFSPOOL_STATE_DIR": str(tmp_path / "state")}
    printed = forked.run(["cluster", "invite", "box2"], env).stdout
    addresses = msgspec.json.decode(printed, type=invitations.Invitation).addresses
    assert addresses == ("[fd00::1]", "[fd00::2]", "my_box.lan", "10.0.0.1")


@pytest.mark.parametrize("size", ["inf", "1e300", "-1"])
def test_a_cache_is_of_some_size(tmp_path: Path, size: str) -> None:
    done = forked.run(["worker", str(tmp_path / "box2.invite"), "--cache-gb", size], {})
    assert (done.returncode, "--cache-gb" in done.stderr) == (2, True)


def test_an_invitation_that_a_shell_emptied_is_told_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "box2.invite").touch()
    with pytest.raises(StartupError, match=r"box2\.invite is empty, as `>` of a shell leaves a file") as told:
        invitations.read(tmp_path / "box2.invite")
    assert "ffspool cluster revoke NAME" in str(told.value)


def test_who_is_invited_while_the_daemon_starts_has_the_papers_of_its_authority(tmp_path: Path) -> None:
    """Each makes the authority if it is not there."""
    together = Barrier(8)

    def invite(number: int) -> invitations.Invitation:
        guests = invitations.Guests(tmp_path / "cluster")
        together.wait()
        return guests.invite(f"box{number}", "1", ["127.0.0.1"], 1, 2)

    with ThreadPoolExecutor(8) as pool:
        invited = list(pool.map(invite, range(8)))
    [authority] = {one.authority for one in invited}
    assert authority.strip() == (tmp_path / "cluster" / "authority.pem").read_text().strip()

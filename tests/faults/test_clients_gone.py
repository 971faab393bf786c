"""Clients that go away in mid-sentence, at every phase of an upload and of a download."""

from __future__ import annotations

import base64
import socket
import struct
from collections.abc import Callable

import psutil
import pytest
from conftest import wait_until

from faults.load import Clips
from faults.promises import Promises
from faults.tally import Tally
from faults.victim import Victim

Attack = Callable[..., tuple[Victim, Promises]]

BOUNDARY = "limit"


def connection(victim: Victim) -> socket.socket:
    host, port = victim.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def leave(client: socket.socket, *, abruptly: bool) -> None:
    """Closes, or resets the connection as a machine does that lost its power and came back."""
    if abruptly:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def head(victim: Victim, line: str, length: int, **fields: str) -> bytes:
    lines = [f"{line} HTTP/1.1", f"Host: {victim.url.removeprefix('http://')}", f"Authorization: Bearer {victim.token}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode()


def multipart(victim: Victim, content: bytes) -> bytes:
    part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="clip.mp4"\r\n\r\n'.encode()
    field = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="preset"\r\n\r\nmp3\r\n'.encode()
    body = field + part + content + f"\r\n--{BOUNDARY}--\r\n".encode()
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    return head(victim, "POST /api/jobs", len(body), Content_Type=kind) + body


def descriptors(victim: Victim) -> int:
    return psutil.Process(victim.pid).num_fds()


def cuts(whole: int, count: int) -> list[int]:
    """Where to stop sending: close together in the head, then all over the rest, and one byte before the end."""
    return sorted({*range(1, min(600, whole), 600 // count), *range(600, whole, max(1, whole // count)), whole - 1})


@pytest.mark.rounds([6], [40])
def test_nothing_is_left_of_a_form_whose_sender_is_gone(attack: Attack, clips: Clips, tally: Tally, round: int) -> None:
    victim, promises = attack()
    assert victim.starts()
    request = multipart(victim, clips.short.read_bytes())
    before = descriptors(victim)
    for number, cut in enumerate(cuts(len(request), round)):
        client = connection(victim)
        client.sendall(request[:cut])
        leave(client, abruptly=bool(number % 2))
        tally.attack("clients gone")
    wait_until(lambda: descriptors(victim) <= before + 2, "the connections to be closed")
    assert victim.client.get("/api/jobs").json()["items"] == []
    promises.when_settled()


@pytest.mark.rounds([6], [40])
def test_an_upload_goes_on_from_what_its_lost_client_was_told(
    attack: Attack, clips: Clips, tally: Tally, round: int
) -> None:
    victim, promises = attack()
    assert victim.starts()
    content = clips.short.read_bytes()
    tus = {"Tus_Resumable": "1.0.0"}
    name = base64.b64encode(b"clip.mp4").decode()
    fields = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(content)), "Upload-Metadata": f"filename {name}"}
    place = victim.client.post("/api/uploads", headers=fields).headers["location"]
    offset = 0
    for number in range(round):
        kind = "application/offset+octet-stream"
        rest = content[offset:]
        request = head(victim, f"PATCH {place}", len(rest), Upload_Offset=str(offset), Content_Type=kind, **tus) + rest
        client = connection(victim)
        client.sendall(request[: len(request) - len(rest) * (round - 1) // round])
        leave(client, abruptly=bool(number % 2))
        tally.attack("clients gone")
        [now] = wait_until(lambda: free_offset(victim, place), "the upload to be free")
        promises.hold(1, offset <= now <= len(content), f"the upload went from {offset} to {now}")
        offset = now
    wish = {"sources": [{"upload": place.rpartition("/")[2]}], "variations": [{"preset": "mp3"}]}
    if offset < len(content):
        assert victim.client.post("/api/jobs", json=wish).status_code == 409
        more = {
            "Tus-Resumable": "1.0.0",
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
        }
        assert victim.client.patch(place, content=content[offset:], headers=more).status_code == 204
    job = victim.client.post("/api/jobs", json=wish).json()["id"]
    assert victim.wait_for(job)["status"] == "completed"
    promises.when_settled()


def free_offset(victim: Victim, place: str) -> list[int]:
    """Where the upload is, as a list of one; an empty one while the lost request is still at it."""
    told = victim.client.head(place, headers={"Tus-Resumable": "1.0.0"}).headers["upload-offset"]
    nothing = {"Tus-Resumable": "1.0.0", "Upload-Offset": told, "Content-Type": "application/offset+octet-stream"}
    answer = victim.client.patch(place, headers=nothing, content=b"")
    return [int(told)] if answer.status_code == 204 else []


@pytest.mark.rounds([4], [40])
def test_a_download_that_its_client_leaves_holds_nothing_open(
    attack: Attack, clips: Clips, tally: Tally, round: int
) -> None:
    victim, promises = attack()
    assert victim.starts()
    wanted = {"variations": [{"preset": "mp3"}, {"preset": "h264-480p", "speed": "ultrafast"}]}
    job = victim.wait_for(victim.submit(clips.long, spec=wanted)["id"])
    before = descriptors(victim)
    variations = [variation["id"] for variation in job["sources"][0]["variations"]]
    places = [f"/api/jobs/{job['id']}/download"]
    places += [f"/api/jobs/{job['id']}/variations/{variation}/download" for variation in variations]
    for number in range(round):
        client = connection(victim)
        client.sendall(head(victim, f"GET {places[number % len(places)]}", 0))
        client.recv(1 + number * 1000)
        leave(client, abruptly=bool(number % 2))
        tally.attack("clients gone")
    wait_until(lambda: descriptors(victim) <= before + 2, "the files to be closed")
    assert victim.client.delete(f"/api/jobs/{job['id']}").status_code == 204
    assert not list((victim.state_dir / "spool" / "jobs").iterdir())
    promises.when_settled()


def test_a_job_that_nobody_heard_of_is_made_once_when_it_is_asked_for_again(
    attack: Attack, clips: Clips, tally: Tally
) -> None:
    """The client is gone after its last byte: the job may be there; with the same key it is never there twice."""
    victim, promises = attack()
    assert victim.starts()
    request = multipart(victim, clips.short.read_bytes()).replace(b"\r\n", b"\r\nIdempotency-Key: once\r\n", 1)
    for _ in range(3):
        client = connection(victim)
        client.sendall(request)
        leave(client, abruptly=False)
        tally.attack("clients gone")

    def answer() -> bytes:
        with connection(victim) as client:
            client.sendall(request)
            return client.recv(65536)

    wait_until(lambda: b" 202 " in answer()[:20], "an answer")
    assert len(victim.client.get("/api/jobs").json()["items"]) == 1
    promises.when_settled()

"""What a name of the host's own network leads to is told to admins alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import PATIENCE, PLAIN, Daemon, wait_until
from test_tokens import ended

ADDRESS = re.compile(r"127\.0\.0\.1|::1")
MP3 = [{"preset": "mp3"}]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path_factory.mktemp("hiding") / "state", "--source-root", str(clip.parent))
    yield daemon
    daemon.stop()


@pytest.mark.parametrize("rights", [["read", "submit", "control"], ["admin"], None])
def test_only_an_admin_is_told_what_a_name_leads_to(daemon: Daemon, clip: Path, rights: list[str] | None) -> None:
    token = daemon.client.headers["Authorization"].removeprefix("Bearer ")
    if rights:
        token = daemon.client.post("/api/tokens", json={"name": "-".join(rights), "rights": rights}).json()["token"]
    with httpx.Client(
        base_url=daemon.url, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE, **PLAIN
    ) as client:

        def made(**spec: Any) -> Any:
            answer = client.post("/api/jobs", json={"sources": [{"path": str(clip)}], "variations": MP3, **spec})
            assert answer.status_code == 202, answer.text
            return answer.json()["id"]

        def settled(job: str) -> Any:
            brought = client.get(f"/api/jobs/{job}").json()["sources"][0]["variations"][0]["delivery"]
            return brought["error"] if brought["status"] == "failed" else None

        fetched = ended(client, made(sources=[{"url": "https://localhost/a.mp4"}]))
        one = made(deliver={"url": "https://localhost/{stem}"})
        brought = wait_until(lambda: settled(one), "its failure")
        told = made(webhook_url="https://localhost/hook")
        ended(client, told)

        def hooked() -> Any:
            items = client.get("/api/webhooks/deliveries", params={"job": told}).json()["items"]
            return items[0]["last_error"] if items else None

        words = [str(fetched["sources"][0]["fetch_error"]), str(fetched["sources"][0]["error"]), str(brought)]
        words.append(str(wait_until(hooked, "the webhook to fail")))
        assert all("localhost leads to " in one and "public addresses only" in one for one in words), words
        assert [bool(ADDRESS.search(one)) for one in words] == [rights != ["read", "submit", "control"]] * 4
        assert rights is None or "admin" in rights or not ADDRESS.search(client.get("/api/jobs").text)

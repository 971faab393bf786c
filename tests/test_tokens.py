"""Clients with tokens of their own: each may what it was given the right to, and knows of nothing but its own."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from conftest import PATIENCE, PLAIN, Daemon, wait_until
from starlette.requests import HTTPConnection

from daemon.api.endpoints import Endpoint
from daemon.api.possession import OWNED, WITHIN, check_possession
from daemon.api.routes import ENDPOINTS
from daemon.callers import OURSELVES, Right
from daemon.cli.main import main
from daemon.http.auth import Gate
from daemon.tokens.registry import Tokens
from daemon.veil import END, Veil
from daemon.webhooks.signing import Secrets

TUS = {"Tus-Resumable": "1.0.0"}
PIECE = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
TINY = {"preset": "h264-480p", "speed": "ultrafast", "short_side": 120}
CLOSED = "http://receiver.invalid/hook"  # which there is not

# Routes without anything of a client's in their path: what they tell one client is held by the test that is named.
COLLECTIONS = {
    "POST /api/jobs": "test_what_is_made_of_anothers_is_refused_as_what_is_not_there",
    "GET /api/jobs": "test_lists_and_figures_are_as_if_there_were_nobody_else",
    "DELETE /api/jobs": "test_verbs_in_bulk_touch_nothing_of_others",
    "POST /api/jobs/cancel": "test_verbs_in_bulk_touch_nothing_of_others",
    "POST /api/jobs/retry": "test_verbs_in_bulk_touch_nothing_of_others",
    "GET /api/webhooks/deliveries": "test_lists_and_figures_are_as_if_there_were_nobody_else",
    "GET /api/webhooks/secret": "test_messages_of_a_client_are_signed_with_a_secret_of_its_own",
    "GET /api/stats": "test_lists_and_figures_are_as_if_there_were_nobody_else",
    "GET /api/usage": "test_lists_and_figures_are_as_if_there_were_nobody_else",
    "GET /api/events": "test_events_are_of_ones_own_jobs_alone",
}
OF_ALL = {  # that tell nothing of anybody's jobs
    "GET /api/queue": "whether it runs, and its slots",
    "GET /api/presets": "the operator's",
    "OPTIONS /api/uploads": "what the protocol is",
    "POST /api/uploads": "makes one",
    "POST /api/logout": "ends the session that asks",
    "GET /openapi.json": "the same for all",
    "GET /docs": "the same for all",
}


@contextmanager
def client(daemon: Daemon, token: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=daemon.url, headers=headers, timeout=PATIENCE, **PLAIN) as found:
        yield found


@pytest.fixture(scope="module")
def given(shared_daemon: Daemon) -> Iterator[Callable[..., httpx.Client]]:
    """Gives a client with a new token: its name, its rights and its limits."""
    opened: list[httpx.Client] = []

    def give(name: str, *rights: str, **limits: int) -> httpx.Client:
        wish = {"name": name, **({"rights": rights} if rights else {}), **limits}
        answer = shared_daemon.client.post("/api/tokens", json=wish)
        assert answer.status_code == 201, answer.text
        headers = {"Authorization": f"Bearer {answer.json()['token']}"}
        opened.append(httpx.Client(base_url=shared_daemon.url, headers=headers, timeout=PATIENCE, **PLAIN))
        return opened[-1]

    yield give
    for one in opened:
        one.close()


def submitted(client: httpx.Client, clip: Path, spec: dict[str, Any] | None = None, **headers: str) -> Any:
    wish = {"spec": json.dumps(spec or {"variations": [{"preset": "mp3"}]})}
    with clip.open("rb") as file:
        answer = client.post("/api/jobs", data=wish, files={"files": (clip.name, file)}, headers=headers)
    assert answer.status_code == 202, answer.text
    return answer.json()


def ended(client: httpx.Client, job: str) -> Any:
    def look() -> Any:
        view = client.get(f"/api/jobs/{job}").json()
        return view["status"] in {"completed", "failed", "cancelled"} and view

    return wait_until(look, f"{job} to end")


def uploaded(client: httpx.Client, clip: Path) -> str:
    made = client.post("/api/uploads", headers={**TUS, "Upload-Length": str(clip.stat().st_size)})
    sent = client.patch(made.headers["location"], headers=PIECE, content=clip.read_bytes())
    assert sent.status_code == 204, sent.text
    return str(made.headers["location"].rpartition("/")[2])


def name(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


GUARDED = [endpoint for endpoint in ENDPOINTS if not endpoint.open]


# What a client cannot know


@pytest.fixture(scope="module")
def alices(given: Callable[..., httpx.Client], clip: Path) -> dict[str, str]:
    """One of everything that a client may have, by the name that paths have for it."""
    alice = given("alice")
    spec = {
        "variations": [{**TINY, "quality": "ssim"}, {"preset": "hls", "rungs": 1}],
        "webhook_url": CLOSED,
        "webhook_variations": True,
    }
    job = ended(alice, submitted(alice, clip, spec)["id"])
    assert job["status"] == "completed", job
    [source] = job["sources"]
    film, ladder = source["variations"]
    shown = alice.get(f"/api/jobs/{job['id']}/variations/{ladder['id']}/files").json()
    message = alice.get("/api/webhooks/deliveries").json()["items"][0]["id"]
    assert film["quality"]["error"] is None
    return {
        "job": job["id"], "source": source["id"], "variation": film["id"], "ladder": ladder["id"],
        "file": shown["items"][0]["name"], "delivery": message, "upload": uploaded(alice, clip),
    }  # fmt: skip


@pytest.fixture(scope="module")
def bob(given: Callable[..., httpx.Client]) -> httpx.Client:
    return given("bob")


@pytest.fixture(scope="module")
def carol(given: Callable[..., httpx.Client]) -> httpx.Client:
    """Who has nothing, and never had."""
    return given("carol")


def asked(client: httpx.Client, endpoint: Endpoint, values: dict[str, str]) -> httpx.Response:
    path = re.sub(r":path\}", "}", endpoint.path)
    if "/files" in path:
        values = {**values, "variation": values["ladder"]}
    headers = PIECE if endpoint.method in {"PATCH", "POST"} and "{upload}" in path else TUS
    body: dict[str, Any] = {"json": {}} if endpoint.body else {}
    with client.stream(endpoint.method, path.format(**values), headers=headers, **body) as answer:
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            return answer
        answer.read()
    return answer


def told(answer: httpx.Response, values: dict[str, str]) -> tuple[int, str, dict[str, str]]:
    """All that a client learns but for the time, with the identifiers it knew already taken out."""
    text = answer.text
    for value in sorted(values.values(), key=len, reverse=True):
        text = text.replace(value, "…")
    return answer.status_code, text, {n: v for n, v in answer.headers.items() if n not in {"date", "content-length"}}


@pytest.mark.parametrize("endpoint", GUARDED, ids=name)
def test_no_route_tells_a_client_of_anothers(
    endpoint: Endpoint, alices: dict[str, str], bob: httpx.Client, shared_daemon: Daemon
) -> None:
    """A route that nobody has thought of fails here: its path names what has no owner, or it is in neither list."""
    if endpoint.right is Right.ADMIN:
        assert asked(bob, endpoint, {**alices, "folder": "f", "token": "alice", "machine": "box2"}).status_code == 403
        return
    named = re.findall(r"\{(\w+)", endpoint.path)
    if not named:
        assert (name(endpoint) in COLLECTIONS) != (name(endpoint) in OF_ALL), "nobody says what this tells a client"
        return
    assert named[0] in OWNED, "nobody says whose that is"
    assert set(named[1:]) <= WITHIN
    if endpoint.method in {"GET", "HEAD"}:
        assert asked(shared_daemon.client, endpoint, alices).is_success, "there is nothing to be hidden"
    nothing = {what: "0" * len(value) for what, value in alices.items()}
    found = told(asked(bob, endpoint, alices), alices)
    assert found == told(asked(bob, endpoint, nothing), nothing)
    assert found[0] == 404


def test_what_a_client_has_is_as_it_was_after_another_tried_everything(
    alices: dict[str, str], bob: httpx.Client, shared_daemon: Daemon
) -> None:
    def state() -> Any:
        upload = shared_daemon.client.head(f"/api/uploads/{alices['upload']}", headers=TUS).headers
        messages = shared_daemon.client.get("/api/webhooks/deliveries").json()["items"]
        return shared_daemon.job(alices["job"]), upload["Upload-Offset"], [one["id"] for one in messages]

    before = state()
    for endpoint in GUARDED:
        if "{" in endpoint.path and endpoint.right is not Right.ADMIN:
            asked(bob, endpoint, alices)
    assert state() == before


def test_every_test_that_holds_a_route_is_there() -> None:
    assert all(test in globals() for test in COLLECTIONS.values())
    assert {*COLLECTIONS, *OF_ALL} <= {name(endpoint) for endpoint in ENDPOINTS}


@pytest.mark.parametrize("order", ["newest", "name", "size", "state", "upcoming"])
def test_lists_are_of_ones_own_jobs_alone(
    order: str, alices: dict[str, str], bob: httpx.Client, carol: httpx.Client, shared_daemon: Daemon
) -> None:
    query = f"/api/jobs?order={order}" + ("&status=queued" if order == "upcoming" else "")
    assert told(bob.get(query), alices) == told(carol.get(query), alices)
    assert bob.get(query).json() == {"items": [], "next_cursor": None}
    filters = ("status=completed", "ended=true", "paused=true", "has=failed", "q=clip", f"id={alices['job'][:4]}")
    for one in filters if order == "newest" else ():
        assert bob.get(f"/api/jobs?{one}").json() == {"items": [], "next_cursor": None}
    if order != "upcoming":
        assert alices["job"] in shared_daemon.client.get(query).text


def test_lists_and_figures_are_as_if_there_were_nobody_else(
    alices: dict[str, str], bob: httpx.Client, carol: httpx.Client
) -> None:
    messages = "/api/webhooks/deliveries"
    for route in ("/api/jobs", messages, f"{messages}?job={alices['job']}", "/api/usage", "/api/usage?token=alice"):
        assert told(bob.get(route), alices) == told(carol.get(route), alices)
        assert bob.get(route).json()["items"] == []
    figures = bob.get("/api/stats").json()
    assert figures == carol.get("/api/stats").json()
    assert not any([*figures["jobs"].values(), *figures["variations"].values(), figures["disk"], figures["hours"]])
    assert alices["job"] not in bob.get("/metrics").text


def test_figures_of_ones_own_are_counted_as_they_change(given: Callable[..., httpx.Client], clip: Path) -> None:
    counted = given("counted")
    done = ended(counted, submitted(counted, clip)["id"])["id"]
    figures = counted.get("/api/stats").json()
    assert (figures["jobs"]["completed"], figures["variations"]["completed"], figures["queue"]["depth"]) == (1, 1, 0)
    counted.delete(f"/api/jobs/{done}").raise_for_status()
    assert not any(counted.get("/api/stats").json()["jobs"].values())


def test_messages_of_a_client_are_signed_with_a_secret_of_its_own(
    given: Callable[..., httpx.Client], tmp_path: Path
) -> None:
    async def signed(owner: str | None) -> str:
        return await Secrets(tmp_path / "secret").sign("msg_1", 1, b"{}", owner)

    assert len({asyncio.run(signed(owner)) for owner in (None, "a", "b")}) == 3
    found = {given(name).get("/api/webhooks/secret").json()["secret"] for name in ("signing", "signing-too")}
    assert len(found) == 2


def test_verbs_in_bulk_touch_nothing_of_others(
    alices: dict[str, str], bob: httpx.Client, shared_daemon: Daemon
) -> None:
    before = shared_daemon.job(alices["job"])
    for method, path in (("POST", "/api/jobs/cancel"), ("POST", "/api/jobs/retry"), ("DELETE", "/api/jobs")):
        for query in ("", "?q=clip", "?has=failed", "?ended=true"):
            assert bob.request(method, path + query).json()["matched"] == 0
    assert shared_daemon.job(alices["job"]) == before


def test_what_is_made_of_anothers_is_refused_as_what_is_not_there(alices: dict[str, str], bob: httpx.Client) -> None:
    def made_of(upload: str) -> httpx.Response:
        wish = {"sources": [{"upload": upload}], "variations": [{"preset": "mp3"}]}
        return bob.post("/api/jobs", json=wish)

    nothing = {"upload": "0" * len(alices["upload"])}
    assert told(made_of(alices["upload"]), alices) == told(made_of(nothing["upload"]), nothing)
    assert made_of(alices["upload"]).status_code == 404


def test_a_key_that_another_used_is_as_new(given: Callable[..., httpx.Client], clip: Path) -> None:
    first, second = given("keyed"), given("keyed-too")
    keyed = {"Idempotency-Key": "one"}
    job = submitted(first, clip, **keyed)["id"]
    assert submitted(first, clip, **keyed)["id"] == job
    assert submitted(second, clip, **keyed)["id"] != job


def blocks(stream: Iterator[str]) -> Iterator[dict[str, str]]:
    block: dict[str, str] = {}
    for line in stream:
        if line:
            field, _, value = line.partition(": ")
            block[field] = value
        elif block:
            yield block
            block = {}


def test_events_are_of_ones_own_jobs_alone(
    given: Callable[..., httpx.Client], clip: Path, shared_daemon: Daemon
) -> None:
    watching, other = given("watching"), given("other")
    with watching.stream("GET", "/api/events") as stream:
        events = blocks(stream.iter_lines())
        first = next(events)["id"]
        hidden = ended(other, submitted(other, clip)["id"])["id"]
        mine = submitted(watching, clip)["id"]
        seen = [next(events)]
        while seen[-1].get("event") != "job" or json.loads(seen[-1]["data"])["status"] != "completed":
            seen.append(next(events))
    texts = [json.loads(event["data"]) for event in seen if event["event"] != "queue"]
    assert {text.get("job", text["id"]) for text in texts} == {mine}
    numbered = [event["id"] for event in seen if "id" in event]
    assert len(numbered) >= 3
    with watching.stream("GET", "/api/events", headers={"Last-Event-ID": first}) as stream:
        again = blocks(stream.iter_lines())
        assert next(again)["id"] == first
        assert [next(again)["id"] for _ in numbered] == numbered
    with watching.stream("GET", "/api/events", headers={"Last-Event-ID": "0"}) as stream:
        whole = blocks(stream.iter_lines())
        next(whole)
        assert [event["id"] for event, _ in zip(whole, range(len(numbered)), strict=False)] == numbered
    ours = [int(line["id"]) for line in _log(shared_daemon, len(numbered))]
    assert not set(map(int, numbered)) & set(ours), "numbers that are given to all tell how much is of others"
    assert hidden not in json.dumps(seen)


def _log(daemon: Daemon, count: int) -> list[dict[str, str]]:
    with daemon.client.stream("GET", "/api/events", headers={"Last-Event-ID": "0"}) as stream:
        events = blocks(stream.iter_lines())
        next(events)
        return [next(events) for _ in range(count)]


def test_cursors_count_nothing_of_others(given: Callable[..., httpx.Client], clip: Path) -> None:
    paging, other = given("paging"), given("between")
    jobs = []
    for _ in range(3):
        jobs.append(submitted(paging, clip, {"variations": [{"preset": "mp3"}], "webhook_url": CLOSED})["id"])
        submitted(other, clip)
    for job in jobs:
        ended(paging, job)
    for order in ("newest", "name", "size", "state"):
        found, cursor = [], None
        while True:
            page = paging.get(
                "/api/jobs", params={"limit": 1, "order": order, **({"cursor": cursor} if cursor else {})}
            )
            found += [item["id"] for item in page.json()["items"]]
            cursor = page.json()["next_cursor"]
            if cursor is None:
                break
            assert int(cursor.rpartition(".")[2]) > 10**9, "a row's number, as it is"
        assert sorted(found) == sorted(jobs)


@pytest.mark.parametrize("number", [0, 1, 2, 12345, 2**60 - 1 - 2**59, END - 1])
def test_a_veil_hides_each_number_by_another(number: int) -> None:
    veil, other = Veil(key=b"one"), Veil(key=b"another")
    assert veil.reveal(veil.hide(number)) == number
    assert 0 <= veil.hide(number) < END
    assert len({veil.hide(number), other.hide(number), veil.hide(number + 1), number}) == 4
    assert Veil().hide(number) == number


# What a client may


@pytest.mark.parametrize("endpoint", [one for one in GUARDED if one.right], ids=name)
def test_a_route_takes_its_right(endpoint: Endpoint, alices: dict[str, str], shared_daemon: Daemon) -> None:
    """Whoever has every other right is refused, before anything is looked for."""
    others = [right for right in Right if right not in {endpoint.right, Right.ADMIN}]
    wish = {"name": "lacking", "rights": others}
    made = shared_daemon.client.post("/api/tokens", json=wish).json()
    with client(shared_daemon, made["token"]) as lacking:
        answer = asked(lacking, endpoint, {**alices, "folder": "f", "token": "lacking", "machine": "box2"})
    shared_daemon.client.delete("/api/tokens/lacking").raise_for_status()
    assert answer.status_code == 403
    assert endpoint.method == "HEAD" or answer.json()["code"] == "forbidden"


def test_an_admin_by_name_sees_all(alices: dict[str, str], given: Callable[..., httpx.Client]) -> None:
    boss = given("boss", "admin")
    assert boss.get(f"/api/jobs/{alices['job']}").status_code == 200
    assert alices["job"] in boss.get("/api/jobs").text
    assert "boss" in boss.get("/api/tokens").text


def test_only_a_hash_is_kept_and_a_revoked_token_is_refused_at_once(
    given: Callable[..., httpx.Client], shared_daemon: Daemon
) -> None:
    leaver = given("leaver")
    secret = leaver.headers["authorization"].removeprefix("Bearer ")
    session = httpx.post(f"{shared_daemon.url}/api/login", json={"password": secret}).json()["token"]
    with client(shared_daemon, session) as page, leaver.stream("GET", "/api/events") as stream:
        events = blocks(stream.iter_lines())
        next(events)
        assert page.get("/api/jobs").json()["items"] == []
        assert page.get("/api/tokens").status_code == 403
        kept = b"".join(path.read_bytes() for path in shared_daemon.state_dir.glob("ffspool.db*"))
        assert b"leaver" in kept
        assert secret.encode() not in kept
        shared_daemon.client.delete("/api/tokens/leaver").raise_for_status()
        assert [block for block in events if block.get("event") != "queue"] == []  # and it ends
        assert [one.get("/api/jobs").status_code for one in (leaver, page)] == [401, 401]
    assert shared_daemon.client.delete("/api/tokens/leaver").status_code == 404


def test_a_name_is_given_once_and_what_it_made_waits_for_the_next(
    given: Callable[..., httpx.Client], shared_daemon: Daemon, clip: Path
) -> None:
    before = given("twice")
    job = submitted(before, clip)["id"]
    refused = shared_daemon.client.post("/api/tokens", json={"name": "twice"})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    shared_daemon.client.delete("/api/tokens/twice").raise_for_status()
    after = given("twice")
    assert after.get(f"/api/jobs/{job}").status_code == 200


def test_commands_give_and_take_tokens_and_work_with_one(
    given: Callable[..., httpx.Client], shared_daemon: Daemon, clip: Path
) -> None:
    def ffspool(line: str, token: str, code: int = 0) -> str:
        env = {"FFSPOOL_URL": shared_daemon.url, "FFSPOOL_TOKEN": token}
        done = CliRunner().invoke(main, line.split(), prog_name="ffspool", env=env)
        assert done.exit_code == code, done.output
        return done.stdout if code == 0 else done.stderr

    ours = shared_daemon.token
    token = ffspool("tokens add shop --can submit,read --max-queued 5 --max-priority 0", ours).strip()
    assert token.startswith("ffs_")
    listed = ffspool("tokens", ours)
    assert "shop" in listed
    assert token not in listed + ffspool("tokens ls --json", ours)
    job = json.loads(ffspool(f"submit {clip} -p mp3 --json", token))["id"]
    assert "1/1" in ffspool(f"show {job}", token) + ffspool(f"watch {job}", token) + ffspool("ls", token)
    assert [one["id"] for one in json.loads(ffspool("ls --json", token))["items"]] == [job]
    assert "right to control" in ffspool(f"pause {job}", token, 4)
    assert "OWNER" not in ffspool("ls", token)
    submitted(given("mixed"), clip)
    assert re.search(rf"{job}.*clip.mp4 +shop", ffspool("ls", ours))
    assert all(
        words in " ".join(ffspool("stats", token).split()) for words in ("waits", "slots are used by jobs of yours")
    )
    assert "shop" in ffspool("usage", token)
    assert "only admins" in ffspool("tokens add more", token, 4)
    assert "--can" in ffspool("tokens add more --can everything", ours, 2)
    assert "Expected a name of letters" in ffspool("tokens add a/b", ours, 2)
    assert "Expected a month such as 2026-01" in ffspool("usage --from 2026-99", ours, 2)
    assert ffspool("tokens revoke nope", ours, 4).endswith("`ffspool tokens ls` tells which there are\n")
    assert ffspool("tokens revoke shop", ours) == "shop is revoked\n"
    assert "token" in ffspool("ls", token, 4)


class Unread:
    """A store that nobody may look into."""

    async def read(self, *_: object) -> None:
        pytest.fail("the database was read")

    write = read


def test_who_has_a_token_is_known_without_a_look_into_the_database() -> None:
    async def main() -> None:
        store: Any = Unread()
        gate = Gate(store, Tokens(store, b""), "secret", None, 60.0)
        scope = {"type": "http", "headers": [(b"authorization", b"Bearer secret")]}
        assert await gate.caller(HTTPConnection(scope)) is OURSELVES
        await check_possession(store, OURSELVES, {"job": "a", "upload": "b"})

    asyncio.run(main())

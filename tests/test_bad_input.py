"""Whatever is wrong with a request: a clear error that names it, nothing left behind, the others untouched."""

from __future__ import annotations

import json
import resource
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from conftest import Daemon, wait_until

from daemon import strict_json
from daemon.errors import InvalidRequest


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for all that is refused: it has nothing to show for it afterwards."""
    refusing = Daemon(tmp_path_factory.mktemp("refusing") / "state")
    yield refusing
    refusing.stop()


def assert_problem(answer: httpx.Response, status: int, code: str, *words: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["code"]) == (status, code)
    for word in words:
        assert word in body["detail"]


def assert_nothing_was_left(daemon: Daemon) -> None:
    spool = daemon.state_dir / "spool"
    wait_until(lambda: not list((spool / "incoming").iterdir()), "the incoming folder to be empty")
    assert list((spool / "jobs").iterdir()) == []
    assert daemon.client.get("/api/jobs").json() == {"items": [], "next_cursor": None}


def form(daemon: Daemon, name: str, content: bytes, field: str = "files", **fields: str) -> httpx.Response:
    return daemon.client.post("/api/jobs", data=fields or {"preset": "mp3"}, files={field: (name, content)})


BAD_NAMES = ["a/b.mp4", "../up.mp4", "..", "new\nline.mp4", "nul\0.mp4", "n" * 300 + ".mp4"]


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_a_file_name_that_is_no_name_is_refused(daemon: Daemon, name: str) -> None:
    quoted = name.replace("\n", "%0A")  # as browsers write it
    head = f'--b\r\nContent-Disposition: form-data; name="files"; filename="{quoted}"\r\n\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = daemon.client.post("/api/jobs", content=head.encode() + b"x\r\n--b--\r\n", headers=kind)
    assert_problem(answer, 422, "bad_name", repr(name)[:40].rstrip("'"))
    assert_nothing_was_left(daemon)


def test_an_empty_file_is_named(daemon: Daemon) -> None:
    assert_problem(form(daemon, "nothing.mp4", b""), 422, "empty_upload", "nothing.mp4")
    assert_nothing_was_left(daemon)


def test_an_unknown_preset_is_named(daemon: Daemon) -> None:
    assert_problem(form(daemon, "a.mp4", b"x", preset="h264-721p"), 422, "unknown_preset", "h264-721p", "h264-720p")
    assert_nothing_was_left(daemon)


BAD_SPECS: list[tuple[Any, str, str]] = [
    ({"variations": [{"preset": "h264-720p", "crf": 99}]}, "bad_parameter", "crf"),
    ({"variations": [{"preset": "h264-720p", "crf": "low"}]}, "bad_parameter", "crf"),
    ({"variations": [{"preset": "h264-720p", "vf": "movie=/etc/passwd"}]}, "bad_parameter", "vf"),
    ({"variations": [{"preset": "refresh", "count": 21}]}, "bad_parameter", "count"),
    ({"variations": [{"crf": 20}]}, "invalid_request", "preset"),
    ({"variations": []}, "invalid_request", "variations"),
    ({"variations": [{"preset": "mp3"}], "priority": "high"}, "invalid_request", "priority"),
    ({"variations": [{"preset": "mp3"}], "colour": 1}, "invalid_request", "colour"),
    ("not an object", "invalid_request", "spec"),
]


@pytest.mark.parametrize(("spec", "code", "word"), BAD_SPECS, ids=lambda value: str(value)[:40])
def test_a_bad_parameter_is_named(daemon: Daemon, spec: Any, code: str, word: str) -> None:
    assert_problem(form(daemon, "a.mp4", b"x", spec=json.dumps(spec)), 422, code, word)
    assert_nothing_was_left(daemon)


def test_a_form_without_files_or_without_presets_or_with_strange_fields_is_refused(daemon: Daemon) -> None:
    assert_problem(daemon.client.post("/api/jobs", files={"preset": (None, b"mp3")}), 422, "invalid_request", "files")
    assert_problem(form(daemon, "a.mp4", b"x", colour="red"), 422, "invalid_request", "colour")
    assert_problem(form(daemon, "a.mp4", b"x", field="video"), 422, "invalid_request", "video")
    both = form(daemon, "a.mp4", b"x", preset="mp3", spec='{"variations": [{"preset": "mp3"}]}')
    assert_problem(both, 422, "invalid_request", "spec")
    assert_nothing_was_left(daemon)


def test_bodies_that_are_no_job_are_refused(daemon: Daemon) -> None:
    post = daemon.client.post
    assert_problem(
        post("/api/jobs", content=b"{", headers={"Content-Type": "application/json"}), 422, "invalid_request"
    )
    assert_problem(
        post("/api/jobs", content=b"x", headers={"Content-Type": "video/mp4"}), 415, "unsupported_media_type"
    )
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    assert_problem(post("/api/jobs", content=b"no parts here", headers=kind), 422, "invalid_request", "malformed")
    cut = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\nabc'
    assert_problem(post("/api/jobs", content=cut, headers=kind), 422, "invalid_request", "closing boundary")
    assert_nothing_was_left(daemon)


def test_a_boundary_longer_than_any_is_refused(daemon: Daemon) -> None:
    kind = {"Content-Type": f"multipart/form-data; boundary={'b' * 257}"}
    answer = daemon.client.post("/api/jobs", content=b"x", headers=kind)
    assert_problem(answer, 422, "invalid_request", "oundary")
    assert_nothing_was_left(daemon)


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (b"spec", b'{"variations": [{"preset": "mp3"}], "name": "\xff"}'),
        (b"preset", b"mp3\xff"),
        (b"pre\xffset", b"mp3"),
    ],
    ids=["spec", "preset", "name"],
)
def test_a_form_that_is_not_utf8_is_refused_not_mended(daemon: Daemon, field: bytes, said: bytes) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    parts = [(b'files"; filename="a.mp4', b"x"), (field, said)]
    body = b"".join(b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % part for part in parts)
    answer = daemon.client.post("/api/jobs", content=body + b"--b--\r\n", headers=kind)
    assert_problem(answer, 422, "invalid_request", "not UTF-8")
    assert_nothing_was_left(daemon)


JOB_THAT_SAYS_A_TWICE = (
    '{"sources": [{"upload": "x"}], "variations": [{"preset": "mp3"}], "metadata": {"deep": [{"a": 1, "\\u0061": 2}]}}'
)


def test_json_that_says_a_thing_twice_is_refused(daemon: Daemon) -> None:
    """Readers differ in which they take: a proxy that checks one would let the other through."""
    spec = '{"variations": [{"preset": "mp3", "preset": "h264-480p"}]}'
    assert_problem(form(daemon, "a.mp4", b"x", spec=spec), 422, "invalid_request", "'preset'", "more than once")
    kind = {"Content-Type": "application/json"}
    for method, path, body in [
        ("POST", "/api/jobs", JOB_THAT_SAYS_A_TWICE),
        ("PATCH", "/api/jobs/x", '{"priority": 1, "priority": 2}'),
        ("POST", "/api/login", '{"password": "x", "password": "y"}'),
    ]:
        answer = daemon.client.request(method, path, content=body, headers=kind)
        assert_problem(answer, 422, "invalid_request", "more than once")
    assert_nothing_was_left(daemon)


def nested(levels: int) -> str:
    """JSON of so many levels, with brackets in a text that count for nothing."""
    return '{"a": ' * (levels - 2) + '["[[{{\\"[", {}]' + "}" * (levels - 2)


def test_json_is_nested_as_deep_as_may_be_and_no_deeper(daemon: Daemon) -> None:
    assert strict_json.decode(nested(strict_json.MAX_DEPTH), dict[str, Any], "it")
    deep = nested(strict_json.MAX_DEPTH)  # within an object: one too many
    spec = f'{{"variations": [{{"preset": "mp3"}}], "metadata": {deep}}}'
    assert_problem(form(daemon, "a.mp4", b"x", spec=spec), 422, "invalid_request", "nested", "64")
    kind = {"Content-Type": "application/json"}
    for method, path, body in [
        ("POST", "/api/jobs", f'{{"sources": [{{"upload": "x"}}], {spec[1:]}'),
        (
            "POST",
            "/api/jobs",
            f'{{"sources": [{{"upload": "x"}}], "variations": [{{"preset": "mp3", "crf": {deep}}}]}}',
        ),
        ("POST", "/api/jobs", f'{{"sources": [{{"upload": "x"}}], {spec[1:]}'.replace(deep, nested(964))),
    ]:
        answer = daemon.client.request(method, path, content=body, headers=kind)
        assert_problem(answer, 422, "invalid_request", "nested", "64")
    assert_nothing_was_left(daemon)


@pytest.mark.parametrize("text", ["[" + "0," * 50_000 + "0]", "[]" * 50_001, '"' * 200_001, '"\\' * 200_001])
def test_json_of_too_many_values_is_refused_before_it_is_decoded(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_json.msgspec.json, "decode", None)
    with pytest.raises(InvalidRequest, match="more than 50000 values"):
        strict_json.decode(text, list[int], "it")


MP3 = [{"preset": "mp3"}]
TOO_MUCH: list[tuple[dict[str, Any], str, str]] = [
    ({"sources": [{"path": "/x"}] * 1001, "variations": MP3}, "invalid_request", "1001"),
    ({"sources": [{"path": "/x"}] * 10_001, "variations": MP3}, "invalid_request", "sources"),
    ({"sources": [{"path": "/x"}], "variations": MP3 * 201}, "invalid_request", "variations"),
    ({"sources": [{"path": "/x"}] * 51, "variations": MP3 * 200}, "invalid_request", "10200 variations"),
    ({"sources": [{"path": "/x" * 2049}], "variations": MP3}, "invalid_request", "path"),
    ({"sources": [{"path": "/a/.." * 65}], "variations": MP3}, "invalid_request", "128 folders"),
    ({"sources": [{"path": "/x"}], "variations": MP3, "name": "n" * 201}, "invalid_request", "name"),
    ({"sources": [{"path": "/x"}], "variations": [{"preset": "p" * 100_000}]}, "unknown_preset", "at most 40"),
    ({"sources": [{"path": "/x"}], "variations": [{"preset": "mp3", "p" * 100_000: 1}]}, "bad_parameter", "takes"),
    ({"sources": [{"path": "/x"}], "variations": MP3, "metadata": {"a": "m" * 65_529}}, "invalid_request", "65537"),
    ({"sources": [{"path": "/x"}], "variations": [{"preset": "mp4"}]}, "unknown_preset", "mp4"),
]


@pytest.mark.parametrize(("wish", "code", "word"), TOO_MUCH, ids=lambda value: str(value)[:40])
def test_too_much_of_anything_is_refused_before_a_file_is_looked_at(
    daemon: Daemon, wish: dict[str, Any], code: str, word: str
) -> None:
    """No path is below a root here: whoever looked would say so."""
    answer = daemon.client.post("/api/jobs", json=wish)
    assert_problem(answer, 422, code, word)
    assert len(answer.content) < 2000
    assert_nothing_was_left(daemon)


def test_a_file_over_the_limit_is_refused_while_it_comes(start_daemon: Callable[..., Daemon]) -> None:
    daemon = start_daemon("--max-upload-bytes", "1000000")
    assert_problem(form(daemon, "big.mp4", b"x" * 1_000_001), 413, "too_large", "big.mp4", "1000000")
    assert_nothing_was_left(daemon)


def test_a_client_that_goes_away_leaves_nothing(daemon: Daemon) -> None:
    host, port = daemon.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = (
            f"POST /api/jobs HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {daemon.token}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000000\r\n\r\n"
            '--b\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n'
        )
        connection.sendall(head.encode() + b"x" * 3_000_000)
        wait_until(lambda: list((daemon.state_dir / "spool" / "incoming").iterdir()), "the upload to arrive")
    assert_nothing_was_left(daemon)
    assert "fault" not in daemon.log()


def test_a_full_disk_is_said_and_nothing_half_made_stays(start_daemon: Callable[..., Daemon]) -> None:
    daemon = start_daemon()
    psutil.Process(daemon.process.pid).rlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
    assert_problem(form(daemon, "big.mp4", b"x" * 5_000_000), 507, "out_of_space")
    assert_nothing_was_left(daemon)


def test_what_does_not_exist_is_404_as_a_problem(start_daemon: Callable[..., Daemon], clip: Path) -> None:
    daemon = start_daemon()
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["id"]
    for method, path in [
        ("GET", "/api/jobs/nothing"),
        ("POST", "/api/jobs/nothing/cancel"),
        ("DELETE", "/api/jobs/nothing"),
        ("GET", "/api/jobs/nothing/download"),
        ("POST", f"/api/jobs/{job}/sources/nothing/cancel"),
        ("POST", f"/api/jobs/{job}/variations/nothing/cancel"),
        ("GET", f"/api/jobs/{job}/variations/nothing/download"),
        ("GET", f"/api/jobs/{job}/variations/nothing/log"),
        ("GET", "/nowhere"),
    ]:
        assert_problem(daemon.client.request(method, path), 404, "not_found")
    assert_problem(daemon.client.put("/api/jobs"), 405, "method_not_allowed")
    assert_problem(daemon.client.get("/api/jobs?status=odd"), 422, "invalid_request", "odd")
    assert_problem(daemon.client.get("/api/jobs?limit=0"), 422, "invalid_request", "limit")
    assert_problem(daemon.client.get("/api/jobs?cursor=%27--"), 422, "invalid_request", "cursor")


def test_nothing_completed_is_404(start_daemon: Callable[..., Daemon], long_clip: Path) -> None:
    daemon = start_daemon("--slots", "1")
    job = daemon.submit(long_clip)
    variation = job["sources"][0]["variations"][0]["id"]
    assert_problem(daemon.client.get(f"/api/jobs/{job['id']}/download"), 404, "not_found")
    assert_problem(daemon.client.get(f"/api/jobs/{job['id']}/variations/{variation}/download"), 404, "not_found")
    daemon.client.post(f"/api/jobs/{job['id']}/cancel")


def test_a_stranger_gets_nothing_but_health(daemon: Daemon) -> None:
    with httpx.Client(base_url=daemon.url, trust_env=False, verify=False) as stranger:
        for path in ("/api/jobs", "/api/jobs/x", "/api/presets", "/nowhere"):
            assert_problem(stranger.get(path), 401, "unauthorized")
        assert stranger.get("/api/jobs", headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert stranger.get("/api/jobs", headers={"Authorization": "Bearer ü".encode()}).status_code == 401
        assert stranger.get("/healthz").json() == {"status": "ok"}
        ready = stranger.get("/readyz").json()
        assert ready["status"] == "ready"
        assert ready["encoder"].startswith("ffmpeg version")


def test_a_login_gives_a_token_and_a_cookie_that_outlive_a_restart(start_daemon: Callable[..., Daemon]) -> None:
    daemon = start_daemon(FFSPOOL_PASSWORD="open sesame")
    with httpx.Client(base_url=daemon.url, trust_env=False, verify=False) as person:
        assert_problem(person.post("/api/login", json={"password": "guess"}), 401, "unauthorized", "password")
        answer = person.post("/api/login", json={"password": "open sesame"})
        assert answer.status_code == 200
        assert "httponly" in answer.headers["set-cookie"].lower()
        assert "samesite=strict" in answer.headers["set-cookie"].lower()
        assert person.get("/api/jobs").status_code == 200
        token = answer.json()["token"]
    daemon.stop()
    daemon.start()
    bearer = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{daemon.url}/api/jobs", headers=bearer, trust_env=False, verify=False).status_code == 200


def test_guessing_passwords_is_throttled(start_daemon: Callable[..., Daemon]) -> None:
    daemon = start_daemon()
    with httpx.Client(base_url=daemon.url, trust_env=False, verify=False) as guesser:
        answers = [guesser.post("/api/login", json={"password": str(number)}) for number in range(6)]
        assert [answer.status_code for answer in answers] == [401] * 5 + [429]
        assert int(answers[-1].headers["retry-after"]) > 0
        assert guesser.post("/api/login", json={"password": daemon.token}).status_code == 429

"""Results come to buckets: each whole, once, under the key that was asked for, and what opens them is told nobody."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from importlib import util
from pathlib import Path
from typing import Any

import pytest
from bucket_scene import (
    URL,
)
from conftest import Daemon, wait_until
from file_host import FileHost, hosting
from s3_server import BUCKET, KEY, SECRET, S3Server, keys_file, profile, serving
from test_cli import ffspool, no_environment
from test_delivery import TINY, delivered, only
from test_fetch import open_to
from test_readme import blocks

from daemon.config_tables import Bucket, buckets, tables
from daemon.errors import StartupError
from daemon.proof import output_folder
from daemon.storage import credentials


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with serving(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module")
def host(clip: Path) -> Iterator[FileHost]:
    with hosting(clip.read_bytes()) as host:
        yield host


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, server: S3Server, host: FileHost) -> Iterator[Daemon]:
    home = tmp_path_factory.mktemp("to buckets")
    config = home / "ffspool.toml"
    config.write_text(profile(server, home, cache_control="max-age=60"))
    flags = [*open_to(host), "--delivery-backoff", "0.1"]
    daemon = Daemon(home / "state", *flags, FFSPOOL_CONFIG=str(config))
    yield daemon
    daemon.stop()


def submit(daemon: Daemon, clip: Path, **wish: Any) -> str:
    return str(daemon.submit(clip, spec={"name": "spring", "variations": [TINY], "deliver": wish})["id"])


def test_an_output_comes_to_its_key_as_it_was_made(daemon: Daemon, server: S3Server, clip: Path) -> None:
    job = submit(daemon, clip, url=f"{URL}/{{job}}/{{stem}}_{{preset}}.{{ext}}")
    assert only(daemon.job(job))["delivery"]["to"] == f"{URL}/{{job}}/{{stem}}_{{preset}}.{{ext}}"
    [told] = delivered(daemon, job)
    assert (told["status"], told["error"]) == ("delivered", None)
    assert told["to"] == f"{URL}/spring/clip_h264-480p.mp4"
    sha256 = only(daemon.job(job))["sha256"]
    assert hashlib.sha256(server.read("renders/spring/clip_h264-480p.mp4")).hexdigest() == sha256
    said = server.said("renders/spring/clip_h264-480p.mp4")
    assert (said["content-type"], said["cache-control"], said["sha256"]) == ("video/mp4", "max-age=60", sha256)


def test_what_opens_a_bucket_is_nowhere_but_in_its_file(daemon: Daemon, clip: Path) -> None:
    job = submit(daemon, clip, url=f"{URL}/secret/")
    delivered(daemon, job)
    told = [daemon.client.get(path).text for path in (f"/api/jobs/{job}", "/api/stats", f"/api/jobs/{job}/log")]
    kept = [path.read_bytes() for path in daemon.state_dir.rglob("*") if path.is_file() and path.suffix != ".mp4"]
    everything = b"".join([*kept, daemon.log().encode(), *(text.encode() for text in told)])
    assert all(secret.encode() not in everything for secret in (KEY, SECRET))


@pytest.mark.parametrize(
    ("wish", "status", "code"),
    [
        ({"url": "s3://other/x"}, 403, "forbidden_path"),
        ({"url": f"s3://{BUCKET}/rendersX/x"}, 403, "forbidden_path"),
        ({"url": f"s3://{BUCKET}/"}, 403, "forbidden_path"),
        ({"url": "gs://media/renders/x"}, 403, "forbidden_path"),
        ({"url": f"{URL}/../x"}, 422, "bad_name"),
        ({"url": f"{URL}//x"}, 422, "bad_name"),
        ({"url": f"{URL}/{{presett}}"}, 422, "bad_name"),
        ({"url": f"{URL}/x?versionId=1"}, 422, "bad_name"),
    ],
)
def test_a_key_outside_of_the_named_buckets_is_refused(
    daemon: Daemon, clip: Path, wish: Any, status: int, code: str
) -> None:
    spec = json.dumps({"variations": [TINY], "deliver": wish})
    answer = daemon.client.post("/api/jobs", data={"spec": spec}, files={"files": clip.read_bytes()})
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def test_a_delivery_waits_for_a_store_that_is_away(
    start_daemon: Callable[..., Daemon], tmp_path: Path, clip: Path
) -> None:
    with serving(tmp_path / "s3") as server:
        config = tmp_path / "ffspool.toml"
        config.write_text(profile(server, tmp_path))
        daemon = start_daemon("--delivery-backoff", "0.1", FFSPOOL_CONFIG=str(config))
        server.stop()
        job = submit(daemon, clip, url=f"{URL}/later/")
        told = wait_until(
            lambda: (told := only(daemon.job(job))["delivery"])["error"] and told,
            "a first attempt that comes to nothing",
        )
        assert told["error"] == "the bucket renders cannot be reached"
        assert told["status"] in {"pending", "running"}, "it is tried again"
        server.start()
        assert [told["status"] for told in delivered(daemon, job)] == ["delivered"]
        assert server.listed() == ["renders/later/clip_h264-480p.mp4"]


def test_a_ladder_comes_whole_from_a_daemon(daemon: Daemon, server: S3Server, clip: Path) -> None:
    spec = {"variations": [{"preset": "hls", "rungs": 1}], "deliver": {"url": f"{URL}/streams/{{stem}}_{{preset}}"}}
    job = daemon.submit(clip, spec=spec)["id"]
    [told] = delivered(daemon, job)
    assert (told["to"], told["error"]) == (f"{URL}/streams/clip_hls", None)
    begins = "renders/streams/clip_hls/"
    found = {key.removeprefix(begins): server.read(key) for key in server.listed() if key.startswith(begins)}
    digests = [output_folder.line(hashlib.sha256(content).hexdigest(), name) for name, content in sorted(found.items())]
    assert hashlib.sha256(b"".join(digests)).hexdigest() == only(daemon.job(job))["sha256"]


# What the operator writes


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('[buckets.a]\nurl = "s4://x"', "line 2: the bucket is not valid"),
        ('[buckets.a]\nurl = "s3://k:s@x"', "line 2: the bucket is not valid"),
        ('[buckets.a]\nurl = "media"', "is not valid: Expected a bucket's URL, such as s3://media"),
        ('[buckets.a]\nurl = "s3://x"\nsecret = "y"', "line 2: the bucket is not valid"),
        ('[buckets.a]\nendpoint = "https://x"', "line 2: the bucket is not valid"),
        ('[buckets.a]\nurl = "s3://x"\nendpoint = "https://k:s@x"', "line 2: the bucket is not valid"),
        ('[buckets.a]\nurl = "gs://x"\nregion = "eu"', "line 2: region and virtual_hosted are of s3:// alone"),
        ('[buckets.a]\nurl = "s3://x"\n[buckets.b]\nurl = "s3://x/"', "line 2: the buckets a and b have the same url"),
        ('[buckets."a b"]\nurl = "s3://x"', "line 2: 'a b' is no name for a bucket"),
        ('buckets = ["a"]', "begin each with [buckets.NAME]"),
    ],
)
def test_a_bucket_that_is_not_valid_is_refused_with_its_line(tmp_path: Path, table: str, words: str) -> None:
    config = tmp_path / "ffspool.toml"
    config.write_text(f"# mine\n{table}\n")
    with pytest.raises(StartupError, match=r"ffspool\.toml") as refused:
        buckets({"FFSPOOL_CONFIG": str(config)})
    assert words in str(refused.value)


def test_a_watched_folder_delivers_to_buckets_that_have_a_table(tmp_path: Path) -> None:
    config = tmp_path / "ffspool.toml"
    folder = '[[folders]]\nname = "in"\npath = "/in"\nvariations = [{ preset = "mp3" }]\n'
    folder += 'deliver = { url = "s3://x/out/{stem}.{ext}" }\n'
    for bucket, fine in (("s3://x/out", True), ("s3://x/other", False)):
        config.write_text(f'{folder}[buckets.a]\nurl = "{bucket}"\n')
        if fine:
            assert tables({"FFSPOOL_CONFIG": str(config)}).folders[0].deliver is not None
        else:
            with pytest.raises(StartupError, match="line 1: s3://x/out/"):
                tables({"FFSPOOL_CONFIG": str(config)})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("access_key_id = a\nsecret_access_key = b\n", {"access_key_id": "a", "secret_access_key": "b"}),
        ("[x]\naws_access_key_id=a\naws_secret_access_key=b%c\naws_session_token=d\nregion=e\n",
         {"access_key_id": "a", "secret_access_key": "b%c", "session_token": "d"}),
        ("[default]\naws_access_key_id=a\naws_secret_access_key=b\n[renders]\naws_access_key_id=c\n"
         "aws_secret_access_key=d\n", {"access_key_id": "c", "secret_access_key": "d"}),
    ],
)  # fmt: skip
def test_credentials_are_read_as_the_tools_of_a_store_write_them(
    tmp_path: Path, text: str, found: dict[str, str]
) -> None:
    text = text.replace("[x]", "[default]")
    (tmp_path / "bucket-renders").write_text(text)
    config = tmp_path / "ffspool.toml"
    config.write_text('[buckets.renders]\nurl = "s3://x"\n[buckets.other]\nurl = "s3://y"\n')
    bucket, other = buckets({"FFSPOOL_CONFIG": str(config), "CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert credentials.credentials(bucket) == found
    assert credentials.credentials(other) == {}


@pytest.mark.parametrize("text", ["", "aws_access_key_id = hidden", "hidden", "[a\nhidden", "\xff"])
def test_a_file_that_holds_no_credentials_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(StartupError) as refused:
        credentials.credentials(Bucket(name="a", url="s3://x", credentials=path, place="here"))
    assert str(path) in str(refused.value)
    assert "hidden" not in str(refused.value)


def test_a_daemon_without_the_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(util, "find_spec", lambda _: None)
    with pytest.raises(StartupError, match=r"pip install 'ffspool\[buckets\]'"):
        credentials.check([Bucket(name="a", url="s3://x")])


def test_a_daemon_whose_credentials_are_missing_does_not_start(tmp_path: Path) -> None:
    config = tmp_path / "ffspool.toml"
    config.write_text(f'[buckets.a]\nurl = "s3://x"\ncredentials = "{tmp_path}/none"\n')
    env = no_environment(tmp_path / "state") | {"FFSPOOL_CONFIG": str(config)}
    done = ffspool("serve", env=env)
    assert done.returncode == 1
    assert "line 1: the credentials of the bucket a:" in " ".join(done.stderr.split())


# The command line


def test_a_command_brings_results_to_a_url(daemon: Daemon, server: S3Server, clip: Path) -> None:
    env = no_environment(daemon.state_dir)
    words = ("submit", str(clip), "-p", "mp3", "--to", f"{URL}/sounds/", "--to-name", "{stem}.{ext}", "--wait")
    done = ffspool(*words, env=env)
    assert done.returncode == 0, done.stderr
    assert f"delivered to {URL}/sounds/clip.mp3" in " ".join((done.stdout + done.stderr).split())
    assert "renders/sounds/clip.mp3" in server.listed()


@pytest.mark.parametrize(
    ("secret", "found"),
    [
        (SECRET, "renders takes what is delivered"),
        ("wrong", "renders cannot be listed: the bucket renders answered 403"),
    ],
)
def test_doctor_tries_each_bucket(tmp_path: Path, server: S3Server, secret: str, found: str) -> None:
    before = server.listed()
    config = tmp_path / "ffspool.toml"
    config.write_text(profile(server, tmp_path))
    keys_file(tmp_path).write_text(f"access_key_id = {KEY}\nsecret_access_key = {secret}\n")
    env = no_environment(tmp_path / "state") | {"FFSPOOL_CONFIG": str(config)}
    told = ffspool("doctor", "--ffmpeg", "/bin/false", "--json", env=env)
    [check] = [check for check in json.loads(told.stdout)["checks"] if check["name"] == "bucket"]
    assert (check["ok"], check["found"][: len(found)]) == (secret == SECRET, found)
    assert server.listed() == before


def test_the_readme_brings_an_object_to_a_bucket(daemon: Daemon, server: S3Server, clip: Path) -> None:
    [command] = blocks("Over HTTP")[1:]
    assert "s3://media/in/clip.mp4" in command
    command = command.replace("s3://media/in/", f"{URL}/in/")
    server.put("renders/in/clip.mp4", clip.read_bytes())
    setting = {**os.environ, "URL": daemon.url, "AUTH": f"Authorization: Bearer {daemon.token}"}
    done = subprocess.run(["bash", "-ec", command], env=setting, capture_output=True, check=True)
    job = json.loads(done.stdout)["id"]
    [told] = delivered(daemon, job)
    assert (told["to"], told["error"]) == (f"{URL}/{job}/clip_hls", None)
    assert f"renders/{job}/clip_hls/master.m3u8" in server.listed()


# Sources


def fetched(daemon: Daemon, **source: str) -> Any:
    wish = {"sources": [source], "variations": [TINY]}
    answer = daemon.client.post("/api/jobs", json=wish)
    assert answer.status_code == 202, answer.text
    return daemon.wait_for(answer.json()["id"])


def test_a_source_comes_from_a_bucket_by_its_key(daemon: Daemon, server: S3Server, clip: Path) -> None:
    server.put("renders/in/a clip & more.mp4", clip.read_bytes())
    sha256 = hashlib.sha256(clip.read_bytes()).hexdigest()
    job = fetched(daemon, url=f"{URL}/in/a clip & more.mp4", sha256=sha256)
    [source] = job["sources"]
    assert (job["status"], source["name"], source["url"]) == ("completed", "a clip & more.mp4", f"s3://{BUCKET}/…")
    assert "a clip & more" not in daemon.log().replace(source["name"], "")
    assert "X-Amz-Signature" not in daemon.log()


def test_a_result_does_not_take_the_place_of_the_object_it_was_made_of(
    daemon: Daemon, server: S3Server, clip: Path
) -> None:
    for name, status in (("{stem}.{ext}", "failed"), ("{stem}_{preset}.{ext}", "delivered")):
        server.put("renders/in/loop.mp4", clip.read_bytes())
        wish = {"url": f"{URL}/in/{name}", "conflict": "overwrite"}
        asked = {"sources": [{"url": f"{URL}/in/loop.mp4"}], "variations": [TINY], "deliver": wish}
        answer = daemon.client.post("/api/jobs", json=asked)
        assert answer.status_code == 202, answer.text
        [told] = delivered(daemon, answer.json()["id"])
        assert (told["status"], server.read("renders/in/loop.mp4")) == (status, clip.read_bytes())
        assert status == "delivered" or "would take the place of what it was made of" in told["error"]


def test_an_object_that_is_not_there_or_is_another_fails_in_words(daemon: Daemon, server: S3Server) -> None:
    server.put("renders/in/page.mp4", b"not media")
    missing = fetched(daemon, url=f"{URL}/in/nothing.mp4")
    assert f"s3://{BUCKET}/… answered 404" in missing["error"]
    another = fetched(daemon, url=f"{URL}/in/page.mp4", sha256="0" * 64)
    assert "SHA-256" in another["error"]


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ({"url": "s3://other/x.mp4"}, 403),
        ({"url": f"s3://{BUCKET}/x.mp4"}, 403),
        ({"url": "gs://media/renders/x.mp4"}, 403),
        ({"url": f"{URL}/"}, 422),
        ({"url": f"{URL}/../x.mp4"}, 422),
        ({"url": f"{URL}/x.mp4", "headers": {"X-A": "b"}}, 422),
    ],
)
def test_only_objects_of_the_named_buckets_are_sources(daemon: Daemon, source: Any, status: int) -> None:
    answer = daemon.client.post("/api/jobs", json={"sources": [source], "variations": [TINY]})
    assert answer.status_code == status, answer.text


def test_a_client_takes_nothing_from_the_operators_buckets(daemon: Daemon) -> None:
    token = daemon.client.post("/api/tokens", json={"name": "shop"}).json()["token"]
    wish = {"sources": [{"url": f"{URL}/in/a.mp4"}], "variations": [TINY]}
    answer = daemon.client.post("/api/jobs", json=wish, headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.thorough
def test_a_source_waits_for_a_store_that_is_away_and_nothing_signed_is_kept(
    start_daemon: Callable[..., Daemon], tmp_path: Path, clip: Path
) -> None:
    with serving(tmp_path / "s3") as server:
        config = tmp_path / "ffspool.toml"
        config.write_text(profile(server, tmp_path))
        daemon = start_daemon("--fetch-backoff", "0.1", FFSPOOL_CONFIG=str(config))
        server.put("renders/in/secret-name.mp4", clip.read_bytes())
        server.stop()
        wish = {"sources": [{"url": f"{URL}/in/secret-name.mp4", "name": "clip.mp4"}], "variations": [TINY]}
        job = daemon.client.post("/api/jobs", json=wish).json()["id"]
        error = wait_until(
            lambda: daemon.job(job)["sources"][0]["fetch_error"], "a first attempt that comes to nothing"
        )
        assert f"s3://{BUCKET}/… cannot be reached" in error
        kept = b"".join(path.read_bytes() for path in daemon.state_dir.glob("ffspool.db*"))
        assert b"X-Amz-Signature" not in kept
        server.start()
        assert daemon.wait_for(job)["status"] == "completed"
        assert "secret-name" not in daemon.log()

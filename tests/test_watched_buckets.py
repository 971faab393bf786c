"""A watched bucket: each object becomes a job once, is fetched when its turn comes, and results come to buckets."""

from __future__ import annotations

import asyncio
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import obstore
import pytest
from bucket_scene import named, s3
from conftest import Daemon, wait_until
from s3_server import BUCKET, MotoServer, S3Server, profile
from test_folders import QUICK, jobs, scans, shown, told, toml

from daemon.config_tables import BucketFolder, When, folders, tables
from daemon.errors import StartupError
from daemon.folders import checks
from daemon.folders.bucket_files import Listing
from daemon.presets.library import Library
from daemon.settings import Settings
from daemon.storage import credentials, s3_requests
from daemon.storage.object_store import Listed, ObjectStore

Start = Callable[..., Daemon]

LADDER = {"renders/in/made/second/master.m3u8", "renders/in/made/día 1 #2 100%/master.m3u8"}
LADDERS = {"preset": "hls", "rungs": 1}  # whose segments are called as films are
URL = f"s3://{BUCKET}/renders"


@pytest.fixture(params=[S3Server, pytest.param(MotoServer, marks=pytest.mark.thorough)])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[S3Server]:
    server: S3Server = request.param(tmp_path / "s3")
    server.start()
    yield server
    server.stop()


only_rclone = pytest.mark.parametrize("server", [S3Server], indirect=True)


def watching(start_daemon: Start, server: S3Server, home: Path, endpoint: str = "", **more: Any) -> Daemon:
    """A daemon that makes mp3s of what lies below `in`, for `in/made`: it sees its own results."""
    wish = {"url": f"{URL}/in/made/{{stem}}.{{ext}}"}
    table = {"name": "inbox", "url": f"{URL}/in", "variations": [{"preset": "mp3"}], "deliver": wish, **QUICK, **more}
    lines = [f"{name} = {toml(value)}" for name, value in table.items()]
    config = home / "ffspool.toml"
    bucket = profile(server, home, endpoint=endpoint or server.endpoint)
    config.write_text("\n".join([bucket, "[[folders]]", *lines]))
    return start_daemon("--delivery-backoff", "0.1", "--fetch-backoff", "0.1", FFSPOOL_CONFIG=str(config))


def history(daemon: Daemon) -> Any:
    return daemon.client.get("/api/folders/inbox/history").json()["items"]


def verdicts(daemon: Daemon) -> Any:
    return sorted((one["name"], one["verdict"], one["error"]) for one in history(daemon))


def test_what_comes_to_lie_in_a_bucket_is_made_and_delivered_once(
    start_daemon: Start, server: S3Server, tmp_path: Path, clip: Path, long_clip: Path
) -> None:
    odd = "día 1 #2 100%.mp4"
    for key in (odd, "within/second.mp4", ".hidden/a.mp4", "a.mp4.part", "notes.txt"):
        server.put(f"renders/in/{key}", clip.read_bytes())
    daemon = watching(start_daemon, server, tmp_path, recursive=True, variations=[{"preset": "mp3"}, LADDERS])
    wait_until(lambda: {*LADDER, "renders/in/made/second.mp3"} <= set(server.listed()), "all of both")
    wait_until(lambda: shown(daemon)["made"] == 2, "both")
    scans(daemon, 4)
    assert verdicts(daemon) == [(odd, "completed", None), ("within/second.mp4", "completed", None)]
    assert (shown(daemon)["taken"], shown(daemon)["error"]) == (2, None)
    daemon.stop()
    daemon.start()
    server.put("renders/in/within/second.mp4", clip.read_bytes())  # the same, put anew
    server.put(f"renders/in/{odd}", long_clip.read_bytes())
    wait_until(lambda: shown(daemon)["taken"] == 3, "what is another film by now")
    scans(daemon, 4)
    assert [one["name"] for one in history(daemon)] == [odd, "within/second.mp4", odd]


@only_rclone
def test_what_rules_refuse_is_not_made_and_not_kept(
    start_daemon: Start, server: S3Server, tmp_path: Path, clip: Path, long_clip: Path
) -> None:
    sizes = clip.stat().st_size, long_clip.stat().st_size
    small, large = (clip, long_clip) if sizes[0] < sizes[1] else (long_clip, clip)
    server.put("renders/in/small.mp4", small.read_bytes())
    server.put("renders/in/known.mp4", large.read_bytes())
    server.put("renders/in/broken.mp4", b"this is no film" * min(sizes))
    rule = {"larger_than": min(sizes), "codec_not": ["h264"]}
    daemon = watching(start_daemon, server, tmp_path, when=rule)
    wait_until(lambda: (shown(daemon)["refused"], shown(daemon)["failed"]) == (2, 1), "what becomes of them")
    told_of = {name: (verdict, error) for name, verdict, error in verdicts(daemon)}
    assert told_of["small.mp4"] == (
        "refused",
        f"refused by a rule: it has {min(sizes)} bytes, not more than {min(sizes)}",
    )
    assert told_of["known.mp4"] == ("refused", "refused by a rule: it is h264 already")
    assert told_of["broken.mp4"][0] == "failed"
    assert daemon.log().count("source fetched") == 2, "what is too small is not"
    assert [job["name"] for job in jobs(daemon)] == ["inbox: broken.mp4"], "the others are to be swept away"
    scans(daemon)
    assert shown(daemon)["taken"] == 1
    daemon.stop()
    watching(lambda *_, **__: daemon, server, tmp_path, when={"larger_than": min(sizes)})
    daemon.start()
    wait_until(lambda: "renders/in/made/known.mp3" in server.listed(), "what another rule does not refuse")


@only_rclone
def test_results_are_not_made_anew_where_the_store_forgot_whose_they_are(
    start_daemon: Start, server: S3Server, tmp_path: Path, clip: Path
) -> None:
    """As rclone's does when it is started anew."""
    server.put("renders/in/film.mp4", clip.read_bytes())
    daemon = watching(start_daemon, server, tmp_path, recursive=True, variations=[{"preset": "mp3"}, LADDERS])
    wait_until(lambda: shown(daemon)["taken"] == 1, "the film")
    told(daemon, "pause")
    wait_until(lambda: [(job["deliveries"] or {}).get("delivered") for job in jobs(daemon)] == [2], "both results")
    assert "renders/in/made/film/master.m3u8" in server.listed()
    server.stop()
    server.start()
    told(daemon, "resume")
    scans(daemon, 4)
    assert (shown(daemon)["taken"], shown(daemon)["error"]) == (1, None)


@pytest.mark.thorough
@only_rclone
def test_a_bucket_that_is_away_forgets_nothing(
    start_daemon: Start, server: S3Server, tmp_path: Path, clip: Path
) -> None:
    server.put("renders/in/film.mp4", clip.read_bytes())
    daemon = watching(start_daemon, server, tmp_path)
    wait_until(lambda: shown(daemon)["made"] == 1, "the film")
    server.stop()
    words = "the bucket renders cannot be reached: nothing is forgotten"
    wait_until(lambda: shown(daemon)["error"] == words, "that it is away")
    server.start()
    wait_until(lambda: shown(daemon)["error"] is None, "that it is back")
    scans(daemon)
    assert (shown(daemon)["taken"], len(jobs(daemon))) == (1, 1)


class _Guarded(BaseHTTPRequestHandler):
    """Passes on what is asked of a store, but shows nobody an object that is called secret."""

    port: int

    def do_GET(self) -> None:
        if self.command == "HEAD" and "secret" in self.path:
            self.send_response(400)
            self.end_headers()
            return
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        with closing(HTTPConnection("127.0.0.1", self.port)) as store:
            store.request(self.command, self.path, body, dict(self.headers))
            answer = store.getresponse()
            content = answer.read()
            length = answer.getheader("content-length") if self.command == "HEAD" else str(len(content))
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                    self.send_header(name, value)
            self.send_header("content-length", length or "0")
            self.end_headers()
            self.wfile.write(content)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextmanager
def guarded(server: S3Server) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Guarded", (_Guarded,), {"port": server.port})) as guard:
        threading.Thread(target=guard.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{guard.server_port}"
        guard.shutdown()


@only_rclone
def test_one_object_that_nobody_may_look_at_keeps_no_other_waiting(
    start_daemon: Start, server: S3Server, tmp_path: Path, clip: Path
) -> None:
    """Such as one that its owner encrypted with a key of their own."""
    for name in ("a secret.mp4", "b.mp4"):
        server.put(f"renders/in/{name}", clip.read_bytes())
    with guarded(server) as endpoint:
        daemon = watching(start_daemon, server, tmp_path, endpoint=endpoint)
        wait_until(lambda: shown(daemon)["made"] == 1, "the other")
        words = "a secret.mp4 waits: the bucket renders answered 400 Bad Request"
        wait_until(lambda: shown(daemon)["error"] == words, "what keeps the one")
        assert [one["name"] for one in history(daemon)] == ["b.mp4"]


@pytest.mark.parametrize("server", [MotoServer], indirect=True)
def test_a_key_that_is_no_path_keeps_no_other_object_waiting(
    start_daemon: Start, server: S3Server, tmp_path: Path, clip: Path
) -> None:
    """Whoever may put something there could else keep all others out."""
    for key in ("a//b.mp4", "b\tc.mp4", "d e+f&.mp4", "z.mp4"):
        s3(server).put_object(Bucket=BUCKET, Key=f"renders/in/{key}", Body=clip.read_bytes())
    daemon = watching(start_daemon, server, tmp_path, recursive=True)
    wait_until(lambda: (shown(daemon)["made"], shown(daemon)["refused"]) == (2, 2), "all of them")
    assert shown(daemon)["error"] is None
    found = {name: (verdict, error) for name, verdict, error in verdicts(daemon)}
    assert [name for name, (verdict, _) in found.items() if verdict == "completed"] == ["d e+f&.mp4", "z.mp4"]
    assert "holds //, . or .. as a step" in str(found["a//b.mp4"])


@pytest.mark.parametrize("server", [MotoServer], indirect=True)
def test_each_object_is_listed_once_whatever_keys_hold(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_requests, "PAGE", 2)
    keys = sorted(["aa", "a//b", "é+ %41&", "x\ty", "y", "z"])
    for key in keys:
        s3(server).put_object(Bucket=BUCKET, Key=f"renders/in/{key}", Body=key.encode())
    s3(server).put_object(Bucket=BUCKET, Key="renders/in.other", Body=b"x")
    bucket = named(server, tmp_path)
    store = ObjectStore(bucket, credentials.credentials(bucket))
    found = list(store.listed("in"))
    assert [one.key for one in found] == [f"in/{key}" for key in keys]
    assert [one.bytes for one in found] == [len(key.encode()) for key in keys]
    [whole] = [one for one in found if one.key == "in/y"]
    obstore.delete(server.store(), "renders/in/z")
    for key in ("a//b", "x\ty"):
        s3(server).delete_object(Bucket=BUCKET, Key=f"renders/in/{key}")
    assert whole in list(store.listed("in")), "it is as the client lists it"


@pytest.mark.thorough
@only_rclone
def test_what_changes_before_it_is_fetched_fails_and_is_taken_anew(
    start_daemon: Start, server: S3Server, tmp_path: Path, clip: Path, long_clip: Path
) -> None:
    server.put("renders/in/film.mp4", clip.read_bytes())
    server.put("renders/in/gone.mp4", clip.read_bytes())
    daemon = watching(start_daemon, server, tmp_path)
    daemon.client.post("/api/queue/pause")
    wait_until(lambda: shown(daemon)["taken"] == 2, "both to be taken")
    told(daemon, "pause")
    server.put("renders/in/film.mp4", long_clip.read_bytes())
    obstore.delete(server.store(), "renders/in/gone.mp4")
    daemon.client.post("/api/queue/resume")
    wait_until(lambda: shown(daemon)["failed"] == 2, "what became of them")
    told(daemon, "resume")
    wait_until(lambda: shown(daemon)["made"] == 1, "the other version")
    assert [(name, verdict) for name, verdict, _ in verdicts(daemon)] == [
        ("film.mp4", "completed"), ("film.mp4", "failed"), ("gone.mp4", "failed"),
    ]  # fmt: skip


# What is refused


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('url = "s3://other/x"', "s3://other/x/ is below the url of no bucket"),
        ('url = "https://host/x"', "url"),
        ('url = "s3://media/renders/x"\npath = "/x"', "unknown field `path`"),
        ('url = "s3://media/renders/x"\nreplace = {trash = "/t", min_vmaf = 0}', "leave out `replace`"),
        ('url = "s3://media/renders/x"\non_success = "delete"', "leave out `on_success`"),
        ('url = "s3://media/renders/x"\nmove_to = "/t"', "leave out `move_to`"),
    ],
)
def test_a_watched_bucket_of_which_nothing_can_come_is_refused_with_its_line(
    tmp_path: Path, lines: str, words: str
) -> None:
    config = tmp_path / "ffspool.toml"
    begin = f'[buckets.renders]\nurl = "{URL}"\n[[folders]]\nname = "x"\nvariations = [{{preset = "mp3"}}]\n'
    config.write_text(begin + lines)
    with pytest.raises(StartupError, match=words) as refused:
        found = tables({"FFSPOOL_CONFIG": str(config)}).folders
        asyncio.run(checks.check(found, Library(), Settings(state_dir=tmp_path / "state")))
    assert "line 3" in str(refused.value)
    config.write_text(f'{begin}url = "{URL}"')
    [whole] = folders({"FFSPOOL_CONFIG": str(config)})
    asyncio.run(checks.check([whole], Library(), Settings(state_dir=tmp_path / "state")))


IN = 'url = "s3://media/renders/in"'
OUT = "deliver = {url = 's3://media/renders/%s', conflict = '%s'}"
OTHER = '[[folders]]\nname = "y"\nvariations = [{preset = "mp3"}]\n'


@pytest.mark.parametrize(
    ("lines", "harmless"),
    [
        ([IN, OUT % ("in/{stem}.{ext}", "overwrite")], [IN, OUT % ("in/{stem}.{ext}", "number")]),
        ([IN, OUT % ("in/", "overwrite")], [IN, OUT % ("in", "overwrite")]),
        ([IN, OUT % ("in/.{stem}", "overwrite")], [IN, OUT % ("in/{preset}/", "overwrite")]),
        ([IN, OUT % ("{codec}/{stem}", "overwrite")], [IN, OUT % ("{preset}/{job}/{stem}", "overwrite")]),
        ([IN, OUT % ("{preset}/x", "overwrite"), OTHER + IN.replace("/in", "/mp3")], [IN, OUT % ("{date}/x", "skip")]),
        (
            [IN, OUT % ("on/x.mp3", "overwrite"), OTHER + IN.replace("/in", "/on")],
            [IN, OUT % ("in/x.{ext}.part", "overwrite")],
        ),
        ([IN, "recursive = true", OUT % ("in/a/{stem}", "overwrite")], [IN, OUT % ("in/a/{stem}", "overwrite")]),
        (
            [IN, "include = ['raw*.mp3']", OUT % ("in/{stem}.{ext}", "overwrite")],
            [IN, "include = ['*.mov']", OUT % ("in/{stem}.{ext}", "overwrite")],
        ),
        (
            [IN, "recursive = true", "exclude = ['b/*']", OUT % ("in/a/{stem}", "overwrite")],
            [IN, "recursive = true", "exclude = ['a/*']", OUT % ("in/a/{stem}", "overwrite")],
        ),
    ],
)
def test_a_watched_bucket_whose_sources_a_result_might_replace_is_refused_with_its_line(
    tmp_path: Path, lines: list[str], harmless: list[str]
) -> None:
    config = tmp_path / "ffspool.toml"
    profiles = f'[buckets.renders]\nurl = "{URL}"\n[buckets.again]\nurl = "s3://media"\n'
    begin = profiles + '[[folders]]\nname = "x"\nvariations = [{preset = "mp3"}]\n'
    config.write_text(begin + "\n".join(lines))
    settings = Settings(state_dir=tmp_path / "state")
    with pytest.raises(StartupError, match="a result may take the place of a source") as refused:
        asyncio.run(checks.check(folders({"FFSPOOL_CONFIG": str(config)}), Library(), settings))
    assert "line 5: the folder x" in str(refused.value)
    config.write_text(begin + "\n".join(harmless))
    asyncio.run(checks.check(folders({"FFSPOOL_CONFIG": str(config)}), Library(), settings))


def test_a_listing_of_many_keys_takes_no_memory() -> None:
    folder = BucketFolder(name="x", url=URL, variations=({"preset": "mp3"},), recursive=True, when=When())

    def listed(count: int) -> Iterator[tuple[str, Listed]]:
        return ((f"{n}.mp4", Listed(f"{n}.mp4", 1, f"e{n}", n)) for n in range(count))

    def peak(count: int) -> int:
        """At least: what else this process does in the meantime is counted too."""
        return min(once(count) for _ in range(3))

    def once(count: int) -> int:
        walk = Listing(folder, lambda: listed(count))
        tracemalloc.start()
        while walk.next(1000) is not None:
            pass
        assert walk.looks == count
        try:
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(10_000) < 2 * peak(1_000)

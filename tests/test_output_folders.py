"""Outputs that are folders: proven, published whole, downloaded as a zip, laid out again, swept."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import socket
import stat
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from conftest import Daemon, wait_until
from manifests import of_hls
from test_cancel_over_http import variations
from test_cli import ffspool

from daemon.errors import BadName, Broken, ManifestError, ProofError
from daemon.media.prober import Prober
from daemon.models import Contents, Kept
from daemon.proof import output_folder
from daemon.proof.prove import Proof, prove_output
from daemon.proof.publish import matches, reveal, seal
from daemon.recipes import streaming_manifests
from daemon.recipes.recipe import Ladder, Plan, Sprites
from daemon.recipes.streaming_manifests import Rate, playlist, playlists, rate, representations, with_rates

LADDER = {"preset": "hls", "speed": "ultrafast", "segment_seconds": 1}
SPRITES = {"preset": "sprite-sheet", "interval_seconds": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("made") / "it"
    (made / "sub").mkdir(parents=True)
    (made / "b.txt").write_bytes(b"bb")
    (made / "sub" / "a.txt").write_bytes(b"aaa")
    return made


def test_a_folder_is_downloaded_as_a_zip_that_its_sha256_proves(daemon: Daemon, clip: Path, tmp_path: Path) -> None:
    job = daemon.submit(clip, spec={"variations": [LADDER, {"preset": "mp3"}]})
    done = daemon.wait_for(job["id"])
    ladder, mp3 = variations(done)
    assert ladder["status"] == "completed", ladder["error"]
    assert (ladder["name"], ladder["folder"], mp3["folder"]) == ("clip_hls", True, False)
    answer = daemon.client.get(f"/api/jobs/{job['id']}/variations/{ladder['id']}/download")
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == 'attachment; filename="clip_hls.zip"'
    assert answer.headers["etag"] == f'"{ladder["sha256"]}"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        assert {entry.compress_type for entry in packed.infolist()} == {zipfile.ZIP_STORED}
        assert sum(entry.file_size for entry in packed.infolist()) == ladder["bytes"]
        packed.extractall(tmp_path / "there")
    assert of_hls(tmp_path / "there") == []
    listing = "find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    told = subprocess.run(["sh", "-c", listing], cwd=tmp_path / "there", capture_output=True, text=True, check=True)
    assert told.stdout.split()[0] == ladder["sha256"] == output_folder.digest(tmp_path / "there")
    assert ladder["output_seconds"] == pytest.approx(2.0, abs=0.1)


def test_a_variant_is_told_to_take_what_its_picture_and_the_largest_sound_do() -> None:
    lines = "#EXTINF:4.0,\n1.m4s\n#EXTINF:4.0,\n2.m4s\n#EXTINF:0.5,\n3.m4s\n"
    assert rate(f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n{lines}", [1000, 2000, 500]) == Rate(4445, 3295)
    sounds = '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="s",URI="a.m3u8"\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="s",URI="b.m3u8"\n'
    told = '#EXT-X-STREAM-INF:BANDWIDTH=1,AVERAGE-BANDWIDTH=2,CODECS="c",AUDIO="s"\nv.m3u8\n'
    rates = {"a.m3u8": Rate(100, 90), "b.m3u8": Rate(200, 80), "v.m3u8": Rate(5000, 4000)}
    assert with_rates(f"#EXTM3U\n{sounds}{told}", rates) == (
        f'#EXTM3U\n{sounds}#EXT-X-STREAM-INF:BANDWIDTH=5200,AVERAGE-BANDWIDTH=4090,CODECS="c",AUDIO="s"\nv.m3u8\n'
    )


def test_a_folder_is_a_folder_in_the_jobs_zip(daemon: Daemon, clip: Path) -> None:
    job = daemon.submit(clip, spec={"variations": [SPRITES, {"preset": "mp3"}]})
    assert daemon.wait_for(job["id"])["status"] == "completed"
    answer = daemon.client.get(f"/api/jobs/{job['id']}/download")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        assert packed.namelist() == [
            "clip/clip_sprite-sheet/sprites-001.jpg",
            "clip/clip_sprite-sheet/thumbnails.vtt",
            "clip/clip_mp3.mp3",
            "manifest.json",
        ]
        assert packed.testzip() is None
    assert len(answer.content) == int(answer.headers["content-length"])


def test_the_command_line_fetches_a_folder_as_a_zip_or_laid_out(daemon: Daemon, clip: Path, tmp_path: Path) -> None:
    job = daemon.submit(clip, spec={"variations": [SPRITES, {"preset": "mp3"}]})
    sheet, _ = variations(daemon.wait_for(job["id"], "completed"))
    reach = ("--state-dir", daemon.state_dir)
    assert ffspool("download", job["id"], sheet["id"], "-o", tmp_path, *reach).returncode == 0
    with zipfile.ZipFile(tmp_path / "clip_sprite-sheet.zip") as packed:
        assert packed.namelist() == ["sprites-001.jpg", "thumbnails.vtt"]
    for _ in range(2):
        fetched = ffspool("download", job["id"], "--extract", "--overwrite", "-o", tmp_path / "out", *reach)
        assert fetched.returncode == 0, fetched.stderr
        assert sorted(path.name for path in (tmp_path / "out" / "clip").iterdir()) == [
            "clip_mp3.mp3",
            "clip_sprite-sheet",
        ]
        assert output_folder.digest(tmp_path / "out" / "clip" / "clip_sprite-sheet") == sheet["sha256"]


def test_run_puts_folders_beside_files_and_never_over_what_is_there(clip: Path, tmp_path: Path) -> None:
    asked = ("run", clip, "-p", "sprite-sheet:interval_seconds=1", "-o", tmp_path)
    assert ffspool(*asked).returncode == 0
    made = tmp_path / "clip_sprite-sheet"
    assert sorted(path.name for path in made.iterdir()) == ["sprites-001.jpg", "thumbnails.vtt"]
    (made / "mine.txt").write_text("mine")
    for refused in (ffspool(*asked), ffspool(*asked, "--overwrite")):
        assert (refused.returncode, (made / "mine.txt").exists()) == (2, True)
    (made / "mine.txt").rename(tmp_path / "mine.txt")
    before = made.stat().st_ino
    assert ffspool(*asked, "--overwrite").returncode == 0
    assert made.stat().st_ino != before


def test_deleting_a_job_and_a_restart_leave_folders_as_they_should_be(daemon: Daemon, clip: Path) -> None:
    kept, gone = (daemon.submit(clip, spec={"variations": [SPRITES]}) for _ in range(2))
    (variation,) = variations(daemon.wait_for(kept["id"], "completed"))
    daemon.wait_for(gone["id"], "completed")
    assert daemon.client.delete(f"/api/jobs/{gone['id']}").status_code == 204
    assert not (daemon.state_dir / "spool" / "jobs" / gone["id"]).exists()
    stranger = daemon.state_dir / "spool" / "jobs" / kept["id"] / "outputs" / "stranger"
    stranger.mkdir()
    (stranger / "file").write_bytes(b"1")
    daemon.stop()
    daemon.start()
    wait_until(lambda: not stranger.exists())
    answer = daemon.client.get(f"/api/jobs/{kept['id']}/variations/{variation['id']}/download")
    assert answer.status_code == 200


# One file of it


def test_the_files_of_a_folder_are_listed_and_sent_one_by_one(daemon: Daemon, clip: Path) -> None:
    job = daemon.submit(clip, spec={"variations": [LADDER, {"preset": "mp3"}]})
    ladder, mp3 = variations(daemon.wait_for(job["id"], "completed"))
    base = f"/api/jobs/{job['id']}/variations/{ladder['id']}"
    with zipfile.ZipFile(io.BytesIO(daemon.client.get(f"{base}/download").content)) as packed:
        content = {entry.filename: packed.read(entry) for entry in packed.infolist()}
    listed = [*pages(daemon, f"{base}/files", limit=4)]
    assert listed == [{"name": name, "bytes": len(held)} for name, held in sorted(content.items())]
    for name, held in content.items():
        answer = daemon.client.get(f"{base}/files/{name}")
        assert (answer.status_code, answer.content) == (200, held)
        assert "sandbox" in answer.headers["content-security-policy"]
        unchanged = daemon.client.get(f"{base}/files/{name}", headers={"If-None-Match": answer.headers["etag"]})
        assert unchanged.status_code == 304
    assert daemon.client.get(f"{base}/files/master.m3u8").headers["content-type"] == "application/vnd.apple.mpegurl"
    part = daemon.client.get(f"{base}/files/master.m3u8", headers={"Range": "bytes=1-6"})
    assert (part.status_code, part.content) == (206, b"EXTM3U")
    for path in ("files", "files/clip_mp3.mp3"):
        refused = daemon.client.get(f"/api/jobs/{job['id']}/variations/{mp3['id']}/{path}")
        assert (refused.status_code, "is one file" in refused.json()["detail"]) == (404, True)
    assert daemon.client.get(f"{base}/files?cursor=strange").status_code == 422
    with httpx.Client(base_url=daemon.url, trust_env=False, verify=False) as stranger:
        assert stranger.get(f"{base}/files/master.m3u8").status_code == 401


def pages(daemon: Daemon, path: str, limit: int) -> Iterator[Any]:
    query: dict[str, Any] = {"limit": limit}
    while True:
        page = daemon.client.get(path, params=query).json()
        assert len(page["items"]) <= limit
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        query["cursor"] = page["next_cursor"]


def test_a_name_leads_to_no_file_but_the_folders_own(daemon: Daemon, clip: Path) -> None:
    job = daemon.submit(clip, spec={"variations": [SPRITES]})
    (sheet,) = variations(daemon.wait_for(job["id"], "completed"))
    folder = daemon.state_dir / "spool" / "jobs" / job["id"] / "outputs" / sheet["id"]
    (folder / "link").symlink_to(daemon.state_dir / "token")
    (folder / "elsewhere").symlink_to(daemon.state_dir)
    base = f"/api/jobs/{job['id']}/variations/{sheet['id']}/files"
    strange = ["../../../../../token", "..%2f..%2f..%2f..%2f..%2ftoken", "%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/token"]
    strange += [str(daemon.state_dir / "token"), f"{daemon.state_dir}/token".replace("/", "%2f"), "link"]
    strange += ["elsewhere/token", "thumbnails.vtt/", "./thumbnails.vtt", "a%00b", "x" * 5000, "a/" * 2000, "", "."]
    with socket.create_connection(("127.0.0.1", httpx.URL(daemon.url).port)) as wire:
        answers = wire.makefile("rb")
        for name in strange:  # as they are: a client of HTTP would tidy them up
            head = f"GET {base}/{name} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {daemon.token}\r\n\r\n"
            wire.sendall(head.encode())
            assert answers.readline().split()[1] in {b"404", b"400"}, name
            headers = dict(line.rstrip().split(b": ", 1) for line in iter(answers.readline, b"\r\n"))
            assert daemon.token.encode() not in answers.read(int(headers[b"content-length"]))
    assert {one["name"] for one in pages(daemon, base, 200)} == {"sprites-001.jpg", "thumbnails.vtt"}


# Sealed, revealed, laid out


def test_a_sealed_folder_is_known_again_until_it_changes(folder: Path, tmp_path: Path) -> None:
    part = tmp_path / "1.part"
    part.mkdir()
    (part / "one").write_bytes(b"123")
    size, sha256, inode = seal(part)
    assert (size, sha256) == (3, hashlib.sha256(f"{hashlib.sha256(b'123').hexdigest()}  one\n".encode()).hexdigest())
    proof = Proof(bytes=size, sha256=sha256, inode=inode, output_seconds=None, cpu_seconds=0.0, speed=None)
    output = tmp_path / "outputs" / "v"
    output.mkdir(parents=True)
    (output / "stale").write_bytes(b"")
    reveal(part, output)
    assert matches(output, proof)
    assert [name for name, _ in output_folder.members(output)] == ["one"]
    (output / "one").write_bytes(b"1234")
    assert not matches(output, proof)
    assert output_folder.digest(folder) != sha256


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_nothing_that_is_sealed_can_be_run(folder: Path, tmp_path: Path) -> None:
    """An encoder makes a file that runs as its owner, if it was taken over: it lands in a user's folder."""
    part = tmp_path / "1.part"
    subprocess.run(["cp", "-r", str(folder), str(part)], check=True)
    inner = part / "sub" / "a.txt"
    for sealed, file in ((inner, inner), (part, part / "b.txt")):
        file.chmod(0o6755)
        seal(sealed)
        assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_what_arrives_damaged_is_told_and_not_kept(folder: Path, tmp_path: Path) -> None:
    whole = zipped(tmp_path / "whole.zip", {"b.txt": b"bb", "sub/a.txt": b"aaa"})
    assert output_folder.unpack(whole, tmp_path / "good", output_folder.digest(folder)) == 5
    other = zipped(tmp_path / "other.zip", {"b.txt": b"bb", "sub/a.txt": b"aab"})
    with pytest.raises(Broken, match="arrived damaged"):
        output_folder.unpack(other, tmp_path / "bad", output_folder.digest(folder))
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize("name", ["../out", "/etc/x", "a/../../x", "a//b", "a/b/c/d/e"])
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises((BadName, Broken)):
        output_folder.unpack(zipped(tmp_path / "evil.zip", {name: b""}), tmp_path / "in" / "it", None)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "evil.zip"]


# Proof


def proven(part: Path, plan: Plan) -> float | None:
    async def main() -> float | None:
        prober = Prober(sandboxed=True)
        try:
            return await prove_output(prober, part, plan, part)
        finally:
            await prober.close()

    return asyncio.run(main())


@pytest.fixture(scope="module")
def ladder(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("ladder")
    options = "speed=ultrafast,segment_seconds=1"
    assert ffspool("run", clip, "-p", f"hls:{options}", "-p", f"dash:{options}", "-o", target).returncode == 0
    return target


PLANNED = {
    kind: Plan(
        container=kind,
        duration_seconds=2.0,
        video=(640, 360),
        video_seconds=2.0,
        audio=1,
        folder=Ladder(rungs=((640, 360), (426, 240))),
    )
    for kind in ("hls", "dash")
}


@pytest.mark.parametrize(
    ("kind", "harm", "words"),
    [
        ("hls", lambda at: (at / "360p" / "index1.m4s").unlink(), "not whole: No such file"),
        ("hls", lambda at: (at / "360p" / "index1.m4s").write_bytes(b""), "its manifest says 2.00 s"),
        ("hls", lambda at: cut(at / "360p" / "index.m3u8", "#EXT-X-ENDLIST"), "not complete"),
        ("hls", lambda at: (at / "master.m3u8").unlink(), "not whole: No such file"),
        ("dash", lambda at: (at / "chunk-stream1-00002.m4s").unlink(), "not whole: No such file"),
        ("dash", lambda at: cut(at / "manifest.mpd", "</MPD>"), "the manifest cannot be read"),
    ],
)
def test_a_ladder_that_is_not_whole_is_not_proven(
    ladder: Path, tmp_path: Path, kind: str, harm: Any, words: str
) -> None:
    part = tmp_path / "1.part"
    subprocess.run(["cp", "-r", str(ladder / f"clip_{kind}"), str(part)], check=True)
    assert proven(part, PLANNED[kind]) == pytest.approx(2.0, abs=0.1)
    harm(part)
    with pytest.raises(ProofError, match=words):
        proven(part, PLANNED[kind])
    assert list(tmp_path.iterdir()) == [part]


def cut(path: Path, words: str) -> None:
    path.write_text(path.read_text().replace(words, ""))


def test_a_ladder_of_other_sizes_or_another_length_is_not_proven(ladder: Path) -> None:
    part, planned = ladder / "clip_hls", PLANNED["hls"]
    with pytest.raises(ProofError, match="the sizes 640×360, 426×240 instead of 640×360"):
        proven(part, msgspec.structs.replace(planned, folder=Ladder(rungs=((640, 360),))))
    with pytest.raises(ProofError, match=r"lasts 2\.00 s instead of 5\.00 s"):
        proven(part, msgspec.structs.replace(planned, video_seconds=5.0))
    with pytest.raises(ProofError, match="1 sound instead of 2"):
        proven(part, msgspec.structs.replace(planned, audio=2))


@pytest.mark.thorough
def test_a_ladder_whose_sound_is_another_than_was_planned_is_not_proven(ladder: Path, tmp_path: Path) -> None:
    for kind, manifest, said in (
        ("hls", "master.m3u8", "NAME="),
        ("dash", "manifest.mpd", 'contentType="audio"'),
    ):
        part, planned = tmp_path / kind, msgspec.structs.replace(PLANNED[kind], audio_seconds=(2.0,), audio_offset=0.0)
        subprocess.run(["cp", "-r", str(ladder / f"clip_{kind}"), str(part)], check=True)
        assert proven(part, planned) == pytest.approx(2.0, abs=0.1)
        with pytest.raises(ProofError, match=r"its sound 1 lasts 2\.\d\d s instead of 5\.00 s"):
            proven(part, msgspec.structs.replace(planned, audio_seconds=(5.0,)))
        with pytest.raises(ProofError, match=r"its sound begins 0\.[45]\d s too early"):
            proven(part, msgspec.structs.replace(planned, audio_offset=0.5))
        german = msgspec.structs.replace(
            planned, contents=Contents(kept=(Kept(what="sound", track=1, language="ger"),))
        )
        with pytest.raises(ProofError, match="the language of its sound 1 is not told instead of ger"):
            proven(part, german)
        telling = {"hls": 'LANGUAGE="ger",NAME=', "dash": 'contentType="audio" lang="ger"'}[kind]
        text = (part / manifest).read_text()
        (part / manifest).write_text(text.replace(said, telling))
        assert proven(part, german) == pytest.approx(2.0, abs=0.1)


def test_sheets_that_are_missing_are_not_proven(clip: Path, tmp_path: Path) -> None:
    assert ffspool("run", clip, "-p", "sprite-sheet:interval_seconds=1", "-o", tmp_path).returncode == 0
    part = tmp_path / "clip_sprite-sheet"
    plan = Plan(container="image2", duration_seconds=None, video=(320, 90), audio=0, folder=Sprites(sheets=1))
    assert proven(part, plan) is None
    (part / "thumbnails.vtt").unlink()
    with pytest.raises(ProofError, match=r"1 file instead of 2: see thumbnails\.vtt"):
        proven(part, plan)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.m4s", "http://host/x.m4s", "file:x"])
def test_manifests_name_nothing_outside_their_folder(name: str) -> None:
    with pytest.raises(ManifestError, match="outside its folder"):
        playlists(f"#EXTM3U\n{name}\n")
    with pytest.raises(ManifestError, match="outside its folder"):
        playlist(
            f'#EXTM3U\n#EXT-X-MAP:URI="{name}"\n#EXTINF:1,\na\n#EXT-X-ENDLIST\n', "." if "/" in name[:1] else "x/.."
        )
    space = 'xmlns="urn:mpeg:dash:schema:mpd:2011"'
    template = f'<SegmentTemplate timescale="1" initialization="{name}" media="a"><S d="1"/></SegmentTemplate>'
    with pytest.raises(ManifestError, match="outside its folder"):
        representations(f'<MPD {space}><Representation id="0">{template}</Representation></MPD>')


def test_a_plan_with_a_folder_is_json() -> None:
    plan = PLANNED["hls"]
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


def dash(segments: str, media: str = "c-$Number$.m4s") -> str:
    space = 'xmlns="urn:mpeg:dash:schema:mpd:2011"'
    template = f'<SegmentTemplate timescale="1" initialization="i.mp4" media="{media}">{segments}</SegmentTemplate>'
    return f'<MPD {space}><Representation id="0">{template}</Representation></MPD>'


@pytest.mark.parametrize(
    "text",
    [
        dash('<S d="1"/>', media="c-$Number%099999999999d$.m4s"),
        dash('<S d="1"/>', media="c" * 5000),
        dash('<S d="1"/>', media="c-\u202e$Number$"),
        dash('<S d="1" r="99999999999999999999"/>'),
        dash('<S d="1"/>').replace('timescale="1"', 'timescale="0"'),
        '<!DOCTYPE l [<!ENTITY a "b">]>' + dash('<S d="1"/>'),
    ],
    ids=["padding", "length", "direction", "repeated", "no time", "entities"],
)
def test_a_manifest_of_an_encoder_that_was_taken_over_is_refused(text: str) -> None:
    assert len(representations(dash('<S d="1" r="9"/>'))[0].names) == 11
    with pytest.raises(ManifestError):
        representations(text)


def test_a_short_manifest_does_not_make_a_list_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming_manifests, "MAX_FILES", 25)
    head, one, end = dash('<S d="1" r="9"/>').partition("<Representation")
    node, closed, _ = (one + end).partition("</Representation>")
    assert len(representations(head + 2 * (node + closed) + "</MPD>")) == 2
    with pytest.raises(ManifestError, match="more than 25 files"):
        representations(head + 3 * (node + closed) + "</MPD>")


def test_a_manifest_that_is_too_large_or_names_a_file_twice_is_not_followed(ladder: Path, tmp_path: Path) -> None:
    part = tmp_path / "1.part"
    subprocess.run(["cp", "-r", str(ladder / "clip_hls"), str(part)], check=True)
    index = part / "360p" / "index.m3u8"
    whole = index.read_text()
    index.write_text(whole.replace("index1.m4s", "index0.m4s"))
    with pytest.raises(ProofError, match="names a file more than once"):
        proven(part, PLANNED["hls"])
    index.write_text(whole + "#" * output_folder.MAX_MANIFEST)
    with pytest.raises(ProofError, match="larger than any manifest"):
        proven(part, PLANNED["hls"])


@pytest.mark.parametrize("name", [b"..\\..\\evil.exe", b"a\n\x1b[31m", b"\xff", b"360p/more"])
@pytest.mark.parametrize("kind", ["hls", "dash"])
def test_files_that_an_encoder_put_beside_a_ladder_are_not_passed_on(
    ladder: Path, tmp_path: Path, kind: str, name: bytes
) -> None:
    part = tmp_path / "1.part"
    subprocess.run(["cp", "-r", str(ladder / f"clip_{kind}"), str(part)], check=True)
    (part / "360p").mkdir(exist_ok=True)
    Path(os.fsdecode(bytes(part) + b"/" + name)).touch()
    with pytest.raises(ProofError, match="files instead of"):
        proven(part, PLANNED[kind])

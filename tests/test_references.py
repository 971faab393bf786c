"""Jobs, sources and variations are found by what users call them, and never a wrong one; what is misspelt is helped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import Daemon
from test_cli import ffspool, no_environment, printed

from daemon.cli.client import Client
from daemon.cli.references import References, Unclear

JOBS = [
    {"id": "ab12000000000000", "name": "Tuesday"},
    {"id": "ab34000000000000", "name": "ab"},
    {"id": "cd00000000000000", "name": "Tuesday"},
    {"id": "ef00000000000000", "name": None},
]


def listed(*, id: str | None = None, q: str = "", limit: int, cursor: str | None = None) -> dict[str, Any]:
    """As the daemon lists JOBS, two on a page."""
    fit = [job for job in JOBS if (str(job["id"]).startswith(id) if id else q in str(job["name"]))]
    fit = JOBS if id is None and not q else fit
    first = int(cursor or 0)
    there = min(limit, 2 if id is None else 200)
    return {"items": fit[first : first + there], "next_cursor": str(first + 2) if len(fit) > first + 2 else None}


def whole(job: str) -> dict[str, Any]:
    film = {"id": "aa11", "name": "film.mp4", "variations": [{"id": "bb11", "name": "film_mp3.mp3"}]}
    other = {"id": "aa22", "name": "other.mp4", "variations": [{"id": "bb22", "name": "other_mp3.mp3"}]}
    return {"id": job, "sources": [film, other]}


@pytest.mark.parametrize(
    ("word", "meant"),
    [("ab1", 0), ("c", 2), ("last", 0), ("ef00000000000000", 3), ("ab12000000000000", 0), ("ab34", 1)],
)
def test_a_job_is_meant_by_what_tells_it_from_all_others(word: str, meant: int) -> None:
    assert References(listed, whole).job(word) == JOBS[meant]["id"]


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("ab", "may be any job of ab12000000000000 (Tuesday), ab34"),
        ("Tuesday", "give more"),
        ("none", "there is no job"),
    ],
)
def test_what_is_unclear_is_refused_and_says_what_it_may_be(word: str, words: str) -> None:
    with pytest.raises(Unclear) as refused:
        References(listed, whole).job(word)
    assert words in str(refused.value)


def test_a_list_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.cli.references.MOST_PAGES", 3)
    asked = 0

    def endless(**_: Any) -> dict[str, Any]:
        nonlocal asked
        asked += 1
        assert asked < 10
        return {"items": [], "next_cursor": str(asked)}

    with pytest.raises(Unclear, match="too many jobs have film in their names"):
        References(endless, whole).job("film")


def test_sources_and_variations_are_meant_by_their_names_or_the_beginning_of_their_ids() -> None:
    found = References(listed, whole)
    assert [found.source("c", word) for word in ("film.mp4", "aa2", "oth")] == ["aa11", "aa22", "aa22"]
    assert [found.variation("c", word) for word in ("other_mp3.mp3", "bb1")] == ["bb22", "bb11"]
    with pytest.raises(Unclear, match=r"may be any variation of bb11 \(film_mp3.mp3\), bb22"):
        found.variation("c", "mp3.mp3")
    with pytest.raises(Unclear, match=r"may be any variation of bb11 \(film_mp3.mp3\), bb22"):
        found.variation("c", "mp3")
    with pytest.raises(Unclear, match=r"may be any variation of bb11 \(film_mp3.mp3\), bb22"):
        found.variation("c", "bb")


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with closing(Client(daemon.url, daemon.token)) as client:
        yield client


def test_every_verb_takes_them(daemon: Daemon, client: Client, clip: Path, long_clip: Path) -> None:
    daemon.client.post("/api/queue/pause")
    first = daemon.submit(clip, long_clip, spec={"variations": [{"preset": "mp3"}, {"preset": "m4a"}], "name": "One"})
    second = daemon.submit(clip, spec={"variations": [{"preset": "mp3"}], "name": "Two"})
    assert (client.job("last")["id"], client.job("One")["id"]) == (second["id"], first["id"])
    assert client.job(first["id"][:15])["id"] == first["id"]
    cancelled = printed("cancel", "One", "--source", "long.mp4", env=daemon.env)
    assert cancelled["id"] == first["sources"][1]["id"]
    printed("cancel", "One", "--variation", "clip_m4a.m4a", env=daemon.env)
    states = [[v["status"] for v in source["variations"]] for source in daemon.job(first["id"])["sources"]]
    assert states == [["queued", "cancelled"], ["cancelled", "cancelled"]]
    done = ffspool("rm", "nothing like it", "Two", env=daemon.env)
    assert (done.returncode, "there is no job nothing like it" in done.stderr) == (4, True)
    assert daemon.client.get(f"/api/jobs/{second['id']}").status_code == 200, "it was removed beside what is not there"
    assert ffspool("rm", "Two", env=daemon.env).returncode == 0
    assert daemon.client.get(f"/api/jobs/{second['id']}").status_code == 404


def completed(words: str, env: dict[str, str]) -> list[str]:
    """What a shell is offered for the last of the words."""
    count = str(len(words.split(" ")) - 1)
    asking = {"_FFSPOOL_COMPLETE": "fish_complete", "COMP_WORDS": words, "COMP_CWORD": words.split(" ")[-1]}
    told = ffspool(env={**env, **asking, "COMP_COUNT": count}).stdout
    return [line.split(",", 1)[1].split("\t")[0] for line in told.splitlines() if line]


def test_jobs_variations_and_parameters_are_completed(daemon: Daemon, clip: Path, tmp_path: Path) -> None:
    job = daemon.submit(clip, presets=["mp3"])["id"]
    assert completed("ffspool show ", daemon.env) == ["last", job]
    assert completed(f"ffspool log {job} clip", daemon.env) == ["clip_mp3.mp3"]
    assert completed("ffspool run a.mp4 -p mp3:bit", daemon.env) == ["mp3:bitrate_kbps="]
    assert completed("ffspool show ", no_environment(tmp_path / "none")) == []


def test_what_is_misspelt_is_helped(clip: Path, tmp_path: Path) -> None:
    run = ("run", clip, "-o", tmp_path / "out")
    assert "did you mean bitrate_kbps?" in " ".join(ffspool(*run, "-p", "mp3:bitrate=96").stderr.split())
    assert "did you mean mp3?" in ffspool("presets", "mp33").stderr
    refused = ffspool("run", "-y film.mp4", "-p", "mp3", "-o", "out")
    assert "If it is the beginning of a file's name, write ./-y" in " ".join(refused.stderr.split())

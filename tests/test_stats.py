"""Figures for people and for Prometheus, and the counters they stand on."""

from __future__ import annotations

import random
import sqlite3
import subprocess
from pathlib import Path

import pytest
from conftest import Daemon
from prometheus_client.parser import text_string_to_metric_families
from surroundings import need

from daemon.database.file import prepare
from daemon.states import ARROWS, State


def test_stats_and_metrics_tell_what_happened(daemon: Daemon, clip: Path, long_clip: Path) -> None:
    daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    cancelled = daemon.submit(long_clip)["id"]
    daemon.wait_for_encoder()
    receipt = daemon.client.post(f"/api/jobs/{cancelled}/cancel").json()
    stats = daemon.client.get("/api/stats").json()
    assert stats["jobs"] == {"queued": 0, "processing": 0, "completed": 1, "failed": 0, "cancelled": 1}
    assert stats["variations"] == {**stats["jobs"], "skipped": 0}
    queue = {
        "state": "running",
        "depth": 0,
        "oldest_seconds": None,
        "paused_jobs": 0,
        "jobs_with_failures": 0,
        "lost_variations": 0,
    }
    assert {name: stats["queue"][name] for name in queue} == queue
    [stopped] = receipt["stopped"]
    assert stats["cancellations"][stopped["stage"]] == {"count": 1, "seconds": stopped["seconds"]}
    assert 0 < stats["disk"]["free_bytes"] < stats["disk"]["total_bytes"]
    text = daemon.client.get("/metrics").text
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["ffspool_jobs", "completed"] == 1
    assert samples["ffspool_variation_seconds_count", "mp3"] == 1
    assert samples["ffspool_output_seconds_total", "mp3"] == pytest.approx(2, abs=0.2)
    assert samples["ffspool_stop_seconds_count", stopped["stage"]] == 1
    assert cancelled not in text


def test_promtool_accepts_the_metrics(daemon: Daemon, clip: Path) -> None:
    promtool = need("promtool", "prometheus")
    daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    metrics = daemon.client.get("/metrics").content
    checked = subprocess.run([promtool, "check", "metrics"], input=metrics, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_the_tally_equals_a_count_after_any_walk(tmp_path: Path) -> None:
    prepare(tmp_path / "db")
    database = sqlite3.connect(tmp_path / "db", isolation_level=None)
    database.execute("PRAGMA foreign_keys = ON")
    chance = random.Random(7)
    for job in range(1, 6):
        database.execute("INSERT INTO jobs (id, created_at, expires_in) VALUES (?, 0, 1)", [str(job)])
        database.execute("INSERT INTO sources (id, job, name, folder, bytes) VALUES (?, ?, 'a', 'a', 1)", [job, job])
        for number in range(4):
            columns = "id, job, source, name, preset, parameters, extension"
            values = [f"{job}-{number}", job, job]
            database.execute(f"INSERT INTO variations ({columns}) VALUES (?, ?, ?, 'n', 'p', '{{}}', 'e')", values)
    for _ in range(300):
        seq, status = chance.choice(database.execute("SELECT seq, status FROM variations").fetchall())
        target = chance.choice([after for before, after in sorted(ARROWS) if before == status] or [State.COMPLETED])
        if (status, target) in ARROWS:
            update = "UPDATE variations SET status = ?, bytes = 1, sha256 = 'x', finished_at = 1 WHERE seq = ?"
            database.execute(update, [target, seq])
    database.execute("DELETE FROM jobs WHERE seq = 3")
    for table in ("jobs", "variations"):
        counted = dict(database.execute(f"SELECT status, count(*) FROM {table} GROUP BY status"))
        tallied = dict(database.execute(f"SELECT status, {table} FROM tally WHERE {table} <> 0"))
        assert tallied == counted
    database.close()

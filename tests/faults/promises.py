"""The ten promises, checked from outside: by the database file, the spool, /proc and the HTTP API.

Nothing of the daemon is imported: its own reading of its state must not be what it is judged by.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from conftest import wait_until

from faults import outputs
from faults.ledger import Ledger
from faults.tally import Tally
from faults.victim import Victim, below

PROMISES = {
    1: "every acknowledged job exists exactly once after any crash",
    2: "nothing is processing without a live child",
    3: "completed means: the file is there with the recorded size and hash, and was proven",
    4: "no partial file is ever visible under a final name or in a download",
    5: "cancelled never becomes completed, and completed work is never lost",
    6: "no ffmpeg outlives its job or the daemon; disk accounting equals what du says",
    7: "attempts are capped",
    8: "event ids only grow",
    9: "a corrupt database is a clear refusal to start, never a silent new one",
    10: "a result that is to be delivered comes to its folder or bucket once and whole",
}
ARROWS = {
    ("queued", "processing"), ("queued", "cancelled"), ("queued", "failed"),
    ("processing", "completed"), ("processing", "failed"), ("processing", "cancelled"), ("processing", "queued"),
    ("failed", "queued"), ("cancelled", "queued"),
}  # fmt: skip
MAX_CRASHES, MAX_RETRIES = 10, 3  # of one variation, until a user retries it
MOMENT = 20.0  # seconds on a busy machine between a claim and its process, or its end and its new state
TOKEN = "FFSPOOL_ATTEMPT"
SETTLE = 900.0  # seconds for all that is queued to be encoded, on a busy machine


class Promises:
    """Holds one daemon against what its clients were told. Each method fails the test with all that is broken."""

    def __init__(self, victim: Victim, ledger: Ledger, tally: Tally, ffmpeg: str) -> None:
        self._victim = victim
        self._ledger = ledger
        self._tally = tally
        self._ffmpeg = ffmpeg
        self._spool = victim.state_dir / "spool"
        self._database = victim.state_dir / "ffspool.db"
        self._violations: list[str] = []
        self.aged = False  # the clock jumped, and the log of events keeps a day

    def hold(self, promise: int, kept: object, words: str) -> None:
        """One case of a promise."""
        self._tally.case(promise, violated=not kept)
        if not kept:
            self._violations.append(f"promise {promise} ({PROMISES[promise]}): {words}")

    def judge(self) -> None:
        """Fails the test with everything that was found so far."""
        for promise, words in self._ledger.lies:
            self.hold(promise, False, words)
        if self._violations or self._ledger.surprises:
            log = self._victim.log()[-6000:]
            pytest.fail("\n".join([*self._violations, *self._ledger.surprises, f"{self._victim.home}:", log]))

    # At three moments

    def when_dead(self) -> None:
        """Right after the daemon died: by its files and by /proc. The files stay as they are."""
        left = self._victim.left_behind(MOMENT)
        self.hold(6, not left, f"the daemon is dead, and these live: {left}")
        with self._copy() as database:
            self.hold(9, database.execute("PRAGMA integrity_check").fetchone()[0] == "ok", "the database is damaged")
            self._rows_and_files(database)
        self.judge()

    def when_alive(self, *, swept: bool = True) -> None:
        """While a daemon works and no client changes anything."""
        self._processing_has_children()
        self._children_have_rows()
        with self._reading() as database:
            self._rows_and_files(database)
            known = {row["id"] for row in database.execute("SELECT id FROM uploads")}
        for job in self._ledger.jobs.values():
            status = self._victim.client.get(f"/api/jobs/{job.id}").status_code
            self.hold(1, job.deleting or status == 200, f"{job.id} was acknowledged, and answers {status}")
            self.hold(1, not job.deleted or status == 404, f"{job.id} was deleted, and answers {status}")
        listed = [item["id"] for item in self._listed()]
        self.hold(1, len(listed) == len(set(listed)), "a job is listed twice")
        if swept:
            gone = _soon(lambda: not list((self._spool / "incoming").iterdir()))
            self.hold(4, gone, "bodies of dead requests are left")
            gone = _soon(lambda: {path.name for path in (self._spool / "uploads").iterdir()} <= known)
            self.hold(6, gone, "files of no upload are left")
        self.judge()

    def when_settled(self) -> None:
        """Once everything queued has ended: spool and database tell the same, to the byte."""
        wait_until(self._all_ended, "the end of all jobs", SETTLE)
        wait_until(lambda: not self._encoders(), "the end of all encoders", self._victim.lease)
        self.when_alive()
        with self._reading() as database:
            unended = database.execute("SELECT count(*) AS n FROM attempts WHERE ended_at IS NULL").fetchone()["n"]
            self.hold(2, unended == 0, f"{unended} attempts were never ended")
            self._spool_is_known(database)
            self._disk_is_accounted()
            for row in list(_completed(database))[:: max(1, len(list(_completed(database))) // 10)]:
                self._proven(row)
        self.judge()

    def when_all_was_watched(self) -> None:
        """Once no job changes any more, after one life of the daemon: every state followed from the one before."""
        with self._reading() as database:
            self._arrows_are_legal(database)
            self._counts_are_right(database)
        self.judge()

    def _arrows_are_legal(self, database: sqlite3.Connection) -> None:
        states: dict[str, str] = {}
        for row in database.execute("SELECT data FROM events WHERE type = 'variation' ORDER BY id"):
            event = json.loads(row["data"])
            before = states.get(event["id"], "queued")
            said = f"{event['id']} went from {before} to {event['status']}"
            self.hold(5, (before, event["status"]) in ARROWS, said)
            states[event["id"]] = event["status"]

    def _counts_are_right(self, database: sqlite3.Connection) -> None:
        for job in self._listed():
            query = """SELECT v.status, count(*) AS n FROM variations v JOIN jobs ON jobs.seq = v.job
                WHERE jobs.id = ? GROUP BY v.status"""
            counted = {row["status"]: row["n"] for row in database.execute(query, (job["id"],))}
            told = {status: job[f"{status}_variations"] for status in ("completed", "failed", "cancelled")}
            right = all(counted.get(status, 0) == n for status, n in told.items())
            right &= job["total_variations"] == sum(counted.values())
            self.hold(2, right, f"{job['id']} tells {told} of its {counted}")

    # By rows and files

    def _rows_and_files(self, database: sqlite3.Connection) -> None:
        if not self._ledger.wishes | self._ledger.jobs and not _has_tables(database):
            return  # it died while it made its database
        self._jobs_once(database)
        self._sources_there(database)
        self._outputs_are_whole(database)
        self._completed_is_there(database)
        self._cancelled_stays(database)
        self._attempts_capped(database)
        self._events_grow(database)

    def _jobs_once(self, database: sqlite3.Connection) -> None:
        query = "SELECT name, count(*) AS n FROM jobs GROUP BY name"
        counts = {row["name"]: row["n"] for row in database.execute(query)}
        for job in self._ledger.jobs.values():
            count = counts.get(job.name, 0)
            right = count == 0 if job.deleted else count <= 1 if job.deleting else count == 1
            self.hold(1, right, f"{job.id} ({job.name}) is there {count} times")
        for name in self._ledger.wishes:
            self.hold(1, counts.get(name, 0) <= 1, f"{name} was asked for once and is there {counts.get(name)} times")
        offsets = {row["id"]: row["offset"] for row in database.execute("SELECT id, offset FROM uploads")}
        for upload, known in self._ledger.uploads.items():
            file = self._spool / "uploads" / upload
            there = min(offsets.get(upload, -1), file.stat().st_size if file.exists() else 0)
            said = f"the upload {upload} was acknowledged up to {known.offset}, and is there up to {there}"
            self.hold(1, known.taken or there >= known.offset, said)

    def _sources_there(self, database: sqlite3.Connection) -> None:
        query = """SELECT DISTINCT jobs.id AS job, sources.id, sources.bytes FROM sources
            JOIN jobs ON jobs.seq = sources.job JOIN variations ON variations.source = sources.seq
            WHERE sources.path IS NULL AND variations.status IN ('queued', 'processing')"""
        for row in database.execute(query):
            size = outputs.size(self._spool / "jobs" / row["job"] / "sources" / row["id"])
            said = f"the source {row['id']} of {row['job']} holds {size} bytes instead of {row['bytes']}"
            self.hold(1, size == row["bytes"] or self._is_gone(row["job"]), said)

    def _outputs_are_whole(self, database: sqlite3.Connection) -> None:
        """What has a final name is completed, or proven and about to be. A row precedes its file."""
        sizes = {path: outputs.size(path) for path in self._spool.glob("jobs/*/outputs/*")}
        query = "SELECT id, status, bytes, json_extract(proof, '$.bytes') AS proven FROM variations"
        rows = {row["id"]: dict(row) for row in database.execute(query)}
        jobs = {row["id"] for row in database.execute("SELECT id FROM jobs")}
        for path, size in sizes.items():
            row, job = rows.get(path.stem, {}), path.parent.parent.name
            whole = size == (row.get("bytes") if row.get("status") == "completed" else row.get("proven"))
            excused = job not in jobs or self._is_gone(job) or not path.exists()  # nobody can see it, or it went
            said = f"{path.name} ({size} bytes) has a final name, and its row says {row}"
            self.hold(4, whole or excused, said)

    def _completed_is_there(self, database: sqlite3.Connection) -> None:
        for row in _completed(database):
            path = self._output(row)
            found = (outputs.size(path), outputs.sha256(path))
            said = f"{row['id']} is completed with {row['bytes']} bytes, {row['sha256']}; its file has {found}"
            self.hold(3, found == (row["bytes"], row["sha256"]) or self._is_gone(row["job"]), said)

    def _cancelled_stays(self, database: sqlite3.Connection) -> None:
        rows = {row["id"]: row for row in database.execute("SELECT * FROM variations")}
        for row in rows.values():
            broken = row["status"] == "completed" and row["cancel_requested_at"] is not None
            self.hold(5, not broken, f"{row['id']} is completed though its cancel was written")
        for job in [job for job in self._ledger.jobs.values() if not job.deleting]:
            mine = [rows[variation] for variation in job.variations if variation in rows]
            for variation, (size, sha256) in job.completed.items():
                row = rows.get(variation)
                kept = row and (row["status"], row["bytes"], row["sha256"]) == ("completed", size, sha256)
                self.hold(5, kept, f"{variation} was completed, and now: {dict(row) if row else None}")
            if not job.retries:
                for row in [row for row in mine if row["id"] in job.cancelled]:
                    self.hold(5, row["status"] == "cancelled", f"{row['id']} was cancelled, and is {row['status']}")
                completed = sum(row["status"] == "completed" for row in mine)
                said = f"{job.id} was cancelled with {job.kept} completed, and has {completed}"
                self.hold(5, job.kept in {None, completed}, said)

    def _attempts_capped(self, database: sqlite3.Connection) -> None:
        retried = {variation: job.retries for job in self._ledger.jobs.values() for variation in job.variations}
        for row in database.execute("SELECT id, status, attempts, retries, crashes FROM variations"):
            said = f"{dict(row)}, and users retried it {retried.get(row['id'], 0)} times"
            self.hold(7, row["retries"] <= MAX_RETRIES and row["crashes"] <= MAX_CRASHES, said)
            self.hold(7, row["crashes"] < MAX_CRASHES or row["status"] not in {"queued", "processing"}, said)
            most = (1 + MAX_RETRIES + MAX_CRASHES) * (1 + retried.get(row["id"], 0)) + self._ledger.stops
            self.hold(7, row["attempts"] <= most, said)

    def _events_grow(self, database: sqlite3.Connection) -> None:
        heard = [number for number, _, _ in self._ledger.events]
        self.hold(8, all(one < two for one, two in pairwise(heard)), "ids went back on the wire")
        there = {row["id"]: (row["type"], row["data"]) for row in database.execute("SELECT id, type, data FROM events")}
        forgotten = min(there, default=math.inf) if self.aged else 0
        for number, kind, data in self._ledger.events:
            if number >= forgotten:
                self.hold(8, there.get(number) == (kind, data), f"event {number} was {data} and is {there.get(number)}")

    # By /proc

    def _processing_has_children(self) -> None:
        """A row that has no child is between its claim and its process, or being proven: it does not stay so."""
        with self._reading() as database:
            for variation, attempt, token in _in_flight(database):
                alive = _soon(lambda t=token, v=variation, a=attempt: t in self._encoders() or self._moved_on(v, a))
                self.hold(2, alive, f"{variation} is processing, and no process works for it")

    def _moved_on(self, variation: str, attempt: int) -> bool:
        with self._reading() as database:
            return (variation, attempt) not in {(row[0], row[1]) for row in _in_flight(database)}

    def _children_have_rows(self) -> None:
        for token, pid in self._encoders().items():
            known = _soon(lambda t=token: t not in self._encoders() or t in self._live_tokens(), self._victim.lease)
            self.hold(6, known, f"the process {pid} works for no attempt under way")

    def _live_tokens(self) -> set[str]:
        with self._reading() as database:
            return {token for _, _, token in _in_flight(database)}

    def _encoders(self) -> dict[str, int]:
        """Processes of this daemon and its machines by the token of the attempt they work for."""
        found = {}
        for process in (process for home in self._victim.homes for process in below(home)):
            with suppress(psutil.Error):
                if token := process.environ().get(TOKEN):
                    found[token.partition(".")[0]] = process.pid
        return found

    # When all has ended

    def _all_ended(self) -> bool:
        jobs = self._victim.client.get("/api/stats").json()["jobs"]
        return not jobs["queued"] + jobs["processing"]

    def _spool_is_known(self, database: sqlite3.Connection) -> None:
        known = {f"uploads/{row['id']}" for row in database.execute("SELECT id FROM uploads")}
        for row in database.execute("SELECT jobs.id AS job, s.id FROM sources s JOIN jobs ON jobs.seq = s.job"):
            known |= {f"jobs/{row['job']}/sources/{row['id']}", f"jobs/{row['job']}/thumbnails/{row['id']}.webp"}
        for row in database.execute("SELECT v.*, jobs.id AS j FROM variations v JOIN jobs ON jobs.seq = v.job"):
            known.add(f"jobs/{row['j']}/logs/{row['id']}.log")
            if row["status"] == "completed":
                known.add(f"jobs/{row['j']}/outputs/{_name(row)}")
                known |= {f"jobs/{row['j']}/plots/{row['id']}.svg", f"jobs/{row['j']}/thumbnails/{row['id']}.webp"}
        swept = _soon(lambda: self._files() <= known)
        self.hold(6, swept, f"files that belong to nothing: {sorted(self._files() - known)}")

    def _files(self) -> set[str]:
        paths = [Path(folder) / name for folder, _, names in os.walk(self._spool) for name in names]
        # What lies in an output's folder belongs to it; a job has its files two levels below its own folder.
        there = {"/".join(path.relative_to(self._spool).parts[:4]) for path in paths}
        return {path for path in there if path.startswith(("jobs/", "incoming/", "uploads/"))}

    def _disk_is_accounted(self) -> None:
        told = self._victim.client.get("/api/stats").json()["disk"]
        for kind, pattern in DU.items():
            counted = _du(self._spool, pattern)
            self.hold(6, told[kind] == counted, f"{kind} are {told[kind]} by /api/stats and {counted} by du")

    def _proven(self, row: sqlite3.Row) -> None:
        """It can be decoded to its end without an error, if it is one file, and downloaded as it was proven."""
        folder = self._output(row).is_dir()
        command = [self._ffmpeg, "-v", "error", "-xerror", "-i", str(self._output(row)), "-f", "null", "-"]
        ended = None if folder else subprocess.run(command, capture_output=True, text=True, check=False)
        said = f"{row['id']} is completed, and cannot be decoded: {ended and ended.stderr}"
        self.hold(3, ended is None or ended.returncode == 0, said)
        answer = self._victim.client.get(f"/api/jobs/{row['job']}/variations/{row['id']}/download")
        right = outputs.sha256_of_download(answer.content, folder=folder) == row["sha256"]
        self.hold(4, right, f"the download of {row['id']} is not the file that was proven")

    # Reading

    def _output(self, row: sqlite3.Row) -> Path:
        return self._spool / "jobs" / row["job"] / "outputs" / _name(row)

    def _is_gone(self, job: str) -> bool:
        """Whether its deletion was asked for: files may go while we look."""
        return (found := self._ledger.jobs.get(job)) is not None and found.deleting

    def _listed(self) -> Iterator[dict[str, str]]:
        cursor: str | None = ""
        while cursor is not None:
            query = {"limit": "200", **({"cursor": cursor} if cursor else {})}
            page = self._victim.client.get("/api/jobs", params=query).json()
            yield from page["items"]
            cursor = page["next_cursor"]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """One snapshot of a live daemon's database."""
        with closing(sqlite3.connect(f"{self._database.as_uri()}?mode=ro", uri=True, timeout=30)) as database:
            database.row_factory = sqlite3.Row
            yield database

    @contextmanager
    def _copy(self) -> Iterator[sqlite3.Connection]:
        """What a dead daemon's database recovers to. The original is left for the next daemon to recover."""
        with tempfile.TemporaryDirectory() as folder:
            for name in ("ffspool.db", "ffspool.db-wal"):
                with suppress(FileNotFoundError):
                    shutil.copyfile(self._victim.state_dir / name, Path(folder) / name)
            with closing(sqlite3.connect(Path(folder) / "ffspool.db")) as database:
                database.row_factory = sqlite3.Row
                yield database


DU = {"sources_bytes": "jobs/*/sources/*", "outputs_bytes": "jobs/*/outputs/*", "uploads_bytes": "uploads/*"}


def _du(spool: Path, pattern: str) -> int:
    paths = [str(path) for found in spool.glob(pattern) for path in outputs.files(found)]
    if not paths:
        return 0
    listing = subprocess.run(
        ["du", "--apparent-size", "--block-size=1", "--total", *paths], capture_output=True, text=True, check=True
    )
    return int(listing.stdout.splitlines()[-1].split()[0])


def _name(row: sqlite3.Row) -> str:
    return f"{row['id']}.{row['extension']}" if row["extension"] else str(row["id"])


def _has_tables(database: sqlite3.Connection) -> bool:
    return bool(database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])


def _completed(database: sqlite3.Connection) -> Iterator[sqlite3.Row]:
    yield from database.execute(
        """SELECT v.id, v.extension, v.bytes, v.sha256, jobs.id AS job FROM variations v
        JOIN jobs ON jobs.seq = v.job WHERE v.status = 'completed'"""
    )


def _in_flight(database: sqlite3.Connection) -> list[tuple[str, int, str]]:
    query = """SELECT v.id, v.attempts, a.token FROM variations v
        JOIN attempts a ON a.variation = v.seq AND a.number = v.attempts WHERE v.status = 'processing'"""
    return [(row["id"], row["attempts"], row["token"]) for row in database.execute(query)]


def _soon(condition: Callable[[], bool], seconds: float = MOMENT) -> bool:
    deadline = time.monotonic() + seconds
    while not (true := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return true

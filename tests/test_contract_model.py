"""Random verbs, restarts among them, against a real daemon, each answer and what follows checked by the model.

The encoder is the real one, throttled, so that encodes which shall last cost no CPU. `make model` runs many examples.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest
from conftest import Daemon, make_clip, wait_until, wrapped
from contract import Job, Verb, World, derived, ended, ending, pause, resume, retry
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from surroundings import thorough
from test_events import parse

from daemon.process.identity import TOKEN_VARIABLE

EXAMPLES = [5, thorough(int(os.environ.get("MODEL_EXAMPLES", "20")))]
STEPS = 8
THROTTLED = """#!/bin/sh
for word; do
    shift
    [ "$word" = -i ] && set -- "$@" -readrate 1
    set -- "$@" "$word"
done
exec {ffmpeg} "$@"
"""
# No strategy and no precondition may hang on what the daemon did: examples would not be the same when run again.
KIND_LISTS = st.lists(st.sampled_from(["quick", "quick", "slow", "broken"]), min_size=1, max_size=3)
PLACE = st.integers(0, 11)
MAX_JOBS = 5
ATTEMPTS = """
SELECT variations.id, attempts.token, iif(attempts.ended_at IS NULL, json_extract(attempts.handle, '$.pid'), NULL)
FROM attempts JOIN variations ON variations.seq = attempts.variation
"""
STATUS = st.sampled_from([None, "queued", "processing", "completed", "failed", "cancelled"])


class Contract(RuleBasedStateMachine):
    """Each rule asks the daemon for one thing; the invariants look at all there is after each."""

    daemon: ClassVar[Daemon]
    files: ClassVar[dict[str, Path]]
    last: ClassVar[int] = 0  # the id of the newest event heard of
    walks: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Job] = []
        self.gone: list[str] = []
        self.verified: set[tuple[str, int]] = set()
        self.queue = "running"
        self.daemon.client.post("/api/queue/resume")
        self.daemon.client.request("DELETE", "/api/jobs")
        assert self.daemon.client.get("/api/jobs").json()["items"] == []

    def teardown(self) -> None:
        type(self).walks += 1

    # Making and changing

    @initialize(kinds=KIND_LISTS)
    def begin(self, kinds: list[str]) -> None:
        self.submit(kinds)

    @rule(kinds=KIND_LISTS)
    def submit(self, kinds: list[str]) -> None:
        if len(self.jobs) == MAX_JOBS:
            return
        wish = {
            "sources": [{"path": str(self.files[kind])} for kind in kinds],
            "variations": [{"preset": "mp3"}, {"preset": "m4a"}] if len(kinds) == 1 else [{"preset": "mp3"}],
        }
        answer = self.daemon.client.post("/api/jobs", json=wish)
        assert answer.status_code == 202, answer.text
        view = answer.json()
        made = [
            (v["id"], s["id"], kind) for s, kind in zip(view["sources"], kinds, strict=True) for v in s["variations"]
        ]
        variations, sources, kinds_of = zip(*made, strict=True)
        self.jobs.append(Job(view["id"], kinds_of, variations, sources, {World(("queued",) * len(made))}))

    @rule(place=PLACE, priority=st.integers(-9, 9))
    def patch(self, place: int, priority: int) -> None:
        for job in self.pick(place):
            answer = self.daemon.client.patch(f"/api/jobs/{job.id}", json={"priority": priority, "name": str(priority)})
            assert (answer.status_code, answer.json()["priority"], answer.json()["name"]) == (
                200,
                priority,
                str(priority),
            )

    # Verbs of one job

    @rule(place=PLACE, part=PLACE, of=st.sampled_from(["job", "source", "variation"]))
    def cancel(self, place: int, part: int, of: str) -> None:
        for job in self.pick(place):
            number = part % len(job.kinds)
            scope, path = list(range(len(job.kinds))), ""
            if of == "source":
                scope = [n for n, source in enumerate(job.sources) if source == job.sources[number]]
                path = f"/sources/{job.sources[number]}"
            elif of == "variation":
                scope, path = [number], f"/variations/{job.variations[number]}"
            receipt = self.ask(job, ending("cancelled", scope), f"{path}/cancel")
            if receipt is not None:
                assert receipt["total_variations"] == len(scope)
                self.nothing_is_left_of(job, scope)

    @rule(place=PLACE)
    def fail(self, place: int) -> None:
        for job in self.pick(place):
            scope = range(len(job.kinds))
            if self.ask(job, ending("failed", scope), "/fail") is not None:
                self.nothing_is_left_of(job, scope)

    @rule(place=PLACE)
    def retry(self, place: int) -> None:
        for job in self.pick(place):
            if self.ask(job, retry, "/retry") is not None:
                job.crashes = [0] * len(job.crashes)

    @rule(place=PLACE)
    def pause(self, place: int) -> None:
        for job in self.pick(place):
            if self.ask(job, pause, "/pause") is not None:
                assert all(stands_still(child) for variation, child in self.children() if variation in job.variations)

    @rule(place=PLACE)
    def resume(self, place: int) -> None:
        for job in self.pick(place):
            self.ask(job, resume, "/resume")

    @rule(place=PLACE)
    def delete(self, place: int) -> None:
        for job in self.pick(place):
            assert self.daemon.client.delete(f"/api/jobs/{job.id}").status_code == 204
            self.forget(job)

    @rule(verb=st.sampled_from(["cancel", "fail", "retry", "pause", "resume"]))
    def ask_for_what_is_gone(self, verb: str) -> None:
        for job in self.gone[-1:]:
            assert self.daemon.client.post(f"/api/jobs/{job}/{verb}").status_code == 404
            assert self.daemon.client.delete(f"/api/jobs/{job}").status_code == 404

    # Verbs of all jobs

    @rule(status=STATUS)
    def cancel_in_bulk(self, status: str | None) -> None:
        answer = self.bulk("POST", "/api/jobs/cancel", status)
        assert 0 <= answer["changed"] <= answer["matched"] <= len(self.jobs)
        for job in self.jobs:
            everything = range(len(job.kinds))
            job.drift(self.queue)
            job.worlds = {
                ended(w, "cancelled", everything) if derived(w.states) == (status or derived(w.states)) else w
                for w in job.worlds
            }

    @rule(status=STATUS)
    def delete_in_bulk(self, status: str | None) -> None:
        answer = self.bulk("DELETE", "/api/jobs", status)
        here = {item["id"] for item in self.daemon.client.get("/api/jobs").json()["items"]}
        gone = [job for job in self.jobs if job.id not in here]
        assert answer["changed"] == len(gone)
        for job in gone:
            job.drift(self.queue)
            assert status is None or status in {derived(world.states) for world in job.worlds}
            self.forget(job)
        for job in self.jobs:
            job.drift(self.queue)
            job.worlds = {world for world in job.worlds if derived(world.states) != (status or derived(world.states))}
            job.drift(self.queue)
            assert job.worlds, f"{job.id} was left, though it is {status or 'there'}"

    @rule(verb=st.sampled_from(["pause", "resume", "drain"]))
    def whole_queue(self, verb: str) -> None:
        state = {"pause": "paused", "resume": "running", "drain": "draining"}[verb]
        answer = self.daemon.client.post(f"/api/queue/{verb}").json()
        assert answer == {"state": state, "changed": state != self.queue}
        for job in self.jobs:
            job.drift(self.queue)
        self.queue = state
        if state == "paused":
            assert all(stands_still(child) for _, child in self.children())

    @rule(number=st.sampled_from([signal.SIGTERM, signal.SIGKILL]))
    def restart(self, number: signal.Signals) -> None:
        code = self.daemon.stop(number)
        assert code == (0 if number == signal.SIGTERM else -signal.SIGKILL)
        for job in self.jobs:
            job.drift(self.queue)
            job.crash(killed=number == signal.SIGKILL)
        self.daemon.start()
        assert self.daemon.client.get("/api/queue").json()["state"] == self.queue

    # What holds after each

    @invariant()
    def jobs_are_where_they_may_be(self) -> None:
        for job in self.jobs:
            job.see(self.daemon.job(job.id), self.queue)
        listed = {item["id"]: item for item in self.daemon.client.get("/api/jobs").json()["items"]}
        assert list(listed) == [job.id for job in reversed(self.jobs)]
        self.events_tell_it()

    def events_tell_it(self) -> None:
        """Reads the log on from where it was left, until every state that was seen has been told."""
        untold = {
            (variation, state)
            for job in self.jobs
            for variation, state in zip(job.variations, job.world.states, strict=True)
            if job.told[variation] != state
        }
        jobs = {variation: job for job in self.jobs for variation in job.variations}
        if not untold:
            return
        with self.daemon.client.stream("GET", "/api/events", headers={"Last-Event-ID": str(self.last)}) as answer:
            for event in parse(answer.iter_lines()):
                assert event.type != "reset"
                if event.id is None:
                    continue
                assert event.id > self.last
                type(self).last = event.id
                if event.type == "variation" and event.data["id"] in jobs:
                    jobs[event.data["id"]].hear(event.data["id"], event.data["status"])
                    untold.discard((event.data["id"], event.data["status"]))
                if not untold:
                    return
        pytest.fail(f"never told: {untold}")

    @invariant()
    def what_is_processing_has_a_process_and_nothing_else_has(self) -> None:
        found: tuple[set[str], dict[str, psutil.Process]] = set(), {}

        def fit() -> bool:
            nonlocal found
            found = self.processing(), dict(self.children())
            return found[0] == found[1].keys()

        try:
            wait_until(fit)
        except pytest.fail.Exception:
            pytest.fail(f"processing is {found[0]}, and there are children for {found[1]}")

    def processing(self) -> set[str]:
        views = [self.daemon.job(job.id) for job in self.jobs]
        for job, view in zip(self.jobs, views, strict=True):
            job.see(view, self.queue)
        return {
            v["id"] for view in views for s in view["sources"] for v in s["variations"] if v["status"] == "processing"
        }

    @invariant()
    def counters_are_right(self) -> None:
        wait_until(
            lambda: self.daemon.client.get("/api/stats").json()["variations"] == self.counted(), "the tally to fit"
        )

    def counted(self) -> dict[str, int]:
        self.processing()
        states = [state for job in self.jobs for state in job.world.states]
        known = ("queued", "processing", "completed", "failed", "cancelled", "skipped")
        return {state: states.count(state) for state in known}

    @invariant()
    def what_is_completed_is_there_as_recorded(self) -> None:
        for view in (self.daemon.job(job.id) for job in self.jobs):
            for variation in (v for s in view["sources"] for v in s["variations"] if v["status"] == "completed"):
                key = variation["id"], self.daemon.process.pid
                if key not in self.verified:
                    self.verified.add(key)
                    file = self.daemon.client.get(f"/api/jobs/{view['id']}/variations/{variation['id']}/download")
                    assert hashlib.sha256(file.content).hexdigest() == variation["sha256"]
                    assert len(file.content) == variation["bytes"]

    # In the rules' own words

    def pick(self, place: int) -> list[Job]:
        """One of the jobs, or none when there is none."""
        return [self.jobs[place % len(self.jobs)]] if self.jobs else []

    def ask(self, job: Job, verb: Verb, path: str) -> Any:
        """The body of a 200; None for a 409. Either must be legal."""
        answer = self.daemon.client.post(f"/api/jobs/{job.id}{path}")
        job.ask(verb, self.queue, answer.status_code, answer.json())
        return answer.json() if answer.status_code == 200 else None

    def bulk(self, method: str, path: str, status: str | None) -> Any:
        answer = self.daemon.client.request(method, path, params={"status": status} if status else None)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def forget(self, job: Job) -> None:
        self.jobs.remove(job)
        self.gone.append(job.id)
        self.nothing_is_left_of(job, range(len(job.kinds)))
        assert self.daemon.client.get(f"/api/jobs/{job.id}").status_code == 404
        assert not (self.daemon.state_dir / "spool" / "jobs" / job.id).exists()

    def nothing_is_left_of(self, job: Job, scope: Any) -> None:
        ids = {job.variations[place] for place in scope}
        assert not ids & {variation for variation, _ in self.children()}
        assert not [path for path in self.daemon.parts() if path.parent.name in ids]

    def children(self) -> Iterator[tuple[str, psutil.Process]]:
        """Each process that works for a variation, with each of those it works for.

        One frozen before it became the encoder has no token yet, but the database has its pid.
        """
        with closing(sqlite3.connect(self.daemon.state_dir / "ffspool.db")) as database:
            attempts = database.execute(ATTEMPTS).fetchall()
        works_for: dict[psutil.Process, str] = {}
        for encoder in self.daemon.encoders():
            with suppress(psutil.Error, KeyError):  # one that ended meanwhile has no environment
                works_for[encoder] = encoder.environ()[TOKEN_VARIABLE]
        for _, token, pid in attempts:
            if pid and token not in works_for.values():
                with suppress(psutil.Error):
                    works_for[psutil.Process(pid)] = token
        for process, token in works_for.items():
            for variation in {one for one, its, _ in attempts if its == token} or {f"none that is known: {token}"}:
                yield variation, process


def stands_still(child: psutil.Process) -> bool:
    try:
        return child.status() in {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def files(ffmpeg: str, tmp_path: Path, long_clip: Path) -> dict[str, Path]:
    quick = make_clip(ffmpeg, tmp_path / "quick.mp4", seconds=0.4, size="64x64")
    broken = tmp_path / "broken.mp4"
    broken.write_text("this is no media")
    slow = tmp_path / "slow.mp4"
    slow.hardlink_to(long_clip)
    return {"quick": quick, "slow": slow, "broken": broken}


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_walk_through_the_verbs_is_as_the_contract_says(
    files: dict[str, Path], ffmpeg: str, tmp_path: Path, examples: int
) -> None:
    encoder = tmp_path / "throttled-ffmpeg"
    encoder.write_text(THROTTLED.format(ffmpeg=ffmpeg))
    encoder.chmod(0o755)
    flags = ("--slots", "2", "--grace", "1", "--source-root", str(tmp_path))
    daemon = Daemon(tmp_path / "state", *flags, **wrapped(encoder, ffmpeg))
    machine = type("Walk", (Contract,), {"daemon": daemon, "files": files, "last": 0, "walks": 0})
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=STEPS,
                derandomize="MODEL_EXAMPLES" not in os.environ,
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate],
            ),
        )
    finally:
        print(f"{machine.walks} walks of up to {STEPS} steps")
        daemon.stop()

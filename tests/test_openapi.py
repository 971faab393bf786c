"""The API is what its description says: a fuzzer finds no fault of ours, and no answer that is not described."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
from conftest import Daemon, wait_until
from surroundings import thorough

from daemon import errors
from daemon.api.routes import ENDPOINTS
from daemon.jobs.views import JobView
from daemon.presets.library import Library

CONFIG = """
request-timeout = 30
continue-on-failure = true
hooks = "{hooks}"

[parameters]
"path.job" = "{job}"
"path.source" = "{source}"
"path.variation" = "{variation}"
"path.upload" = "{upload}"
"path.asset" = "docs.js"

[checks]
# What is valid by its schema may still name a file that is not there, or what is in another state.
positive_data_acceptance.enabled = false
# tus has a status of its own for a version it does not speak.
negative_data_rejection.expected-statuses = ["4xx"]
missing_required_header.expected-statuses = ["4xx"]

[[operations]]
include-path-regex = "^/api/uploads"
checks.negative_data_rejection.enabled = false  # a header that nobody knows is not refused

[[operations]]
include-path = "/api/jobs"
include-method = "POST"
phases.coverage.enabled = false  # of every parameter of every preset: minutes, and another test does it
phases.fuzzing.generation.max-examples = 40
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path_factory.mktemp("api") / "state")
    yield daemon
    daemon.stop()


@pytest.fixture(scope="module")
def description(daemon: Daemon) -> Any:
    return daemon.client.get("/openapi.json").json()


@pytest.mark.parametrize(
    ("deletes", "seconds"),
    [
        ("--exclude-method", 4),
        ("--include-method", 2),
        thorough("--exclude-method", 30),
        thorough("--include-method", 10),
    ],
)
def test_a_fuzzer_finds_no_fault_and_nothing_undescribed(
    daemon: Daemon, clip: Path, tmp_path: Path, deletes: str, seconds: int
) -> None:
    """Routes that delete have a time of their own: what is deleted is no longer there for the others."""
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    [source] = job["sources"]
    begun = daemon.client.post("/api/uploads", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "9"})
    (tmp_path / "schemathesis.toml").write_text(
        CONFIG.format(
            hooks=Path(__file__).with_name("schemathesis_hooks.py"),
            job=job["id"],
            source=source["id"],
            variation=source["variations"][0]["id"],
            upload=begun.headers["location"].rpartition("/")[2],
        )
    )
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{daemon.url}/openapi.json"]
    command += ["--header", f"Authorization: Bearer {daemon.token}", "--phases", "coverage,fuzzing"]
    command += ["--max-examples", "5", "--no-shrink", "--max-time", str(seconds), deletes, "DELETE"]
    command += ["--exclude-path-regex", "/events$"]  # they never end
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    daemon.client.post("/api/queue/resume")  # which it may have paused last, or drained
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr


def resolved(description: Any, schema: Any) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for({**schema, "components": description["components"]})


def assert_described(description: Any, answer: httpx.Response, path: str) -> None:
    """Raises when the answer is not one that the description has for its route."""
    operation = description["paths"][path][answer.request.method.lower()]
    described = operation["responses"][str(answer.status_code)]
    content = described["content"][answer.headers["content-type"]]
    resolved(description, content["schema"]).validate(answer.json())


def test_what_a_job_is_told_as_in_each_state_is_as_described(daemon: Daemon, description: Any, long_clip: Path) -> None:
    job = daemon.submit(long_clip)["id"]
    get, post = daemon.client.get, daemon.client.post
    for verb in ("pause", "resume", "cancel", "cancel", "retry", "fail", "pause", "explode"):
        if verb != "explode":
            assert_described(description, post(f"/api/jobs/{job}/{verb}"), f"/api/jobs/{{job}}/{verb}")
        assert_described(description, get(f"/api/jobs/{job}"), "/api/jobs/{job}")
        assert_described(description, get("/api/jobs"), "/api/jobs")
    for path in ("/api/queue", "/api/stats", "/api/presets", "/healthz", "/readyz", "/api/webhooks/secret"):
        assert_described(description, get(path), path)
    assert_described(description, daemon.client.patch(f"/api/jobs/{job}", json={"priority": 5}), "/api/jobs/{job}")
    assert_described(description, daemon.client.patch(f"/api/jobs/{job}", json={"priority": "5"}), "/api/jobs/{job}")
    assert_described(description, post("/api/login", json={"password": "wrong"}), "/api/login")


def test_every_preset_and_range_is_described_as_it_is_checked(description: Any) -> None:
    validator = resolved(description, {"$ref": "#/components/schemas/VariationRequest"})
    for preset in Library().describe():
        assert validator.is_valid({"preset": preset["name"]})
        assert not validator.is_valid({"preset": preset["name"], "vf": "movie=x"})
        for parameter in preset["parameters"]:
            if parameter["maximum"] is not None:
                assert validator.is_valid({"preset": preset["name"], parameter["name"]: parameter["maximum"]})
                assert not validator.is_valid({"preset": preset["name"], parameter["name"]: parameter["maximum"] + 1})
    assert not validator.is_valid({"preset": "h264-721p"})


def test_every_refusal_a_request_can_meet_is_described_somewhere() -> None:
    described = {error for endpoint in ENDPOINTS for error in endpoint.refusals}
    of_files = {
        errors.ProbeError,
        errors.Unresponsive,
        errors.UnsuitableSource,
        errors.ProofError,
        errors.ManifestError,
    }
    of_files |= {errors.TargetMissed, errors.MeasurementMissing, errors.Undelivered, errors.Unfetched}
    elsewhere = of_files | {errors.StartupError, errors.Misconfigured, errors.Broken, errors.Damaged, errors.Doubtful}
    known = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.FfspoolError)}
    assert known - described - elsewhere == {errors.FfspoolError}


def test_the_schema_of_an_answer_is_made_of_its_struct(description: Any) -> None:
    assert [*description["components"]["schemas"]["JobView"]["properties"]] == [*JobView.__struct_fields__]
    identifiers = [operation["operationId"] for path in description["paths"].values() for operation in path.values()]
    assert len(identifiers) == len(set(identifiers)) == len(ENDPOINTS)


# Conventions of HTTP


def test_json_that_did_not_change_is_a_304(daemon: Daemon, clip: Path) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["id"]
    first = daemon.client.get(f"/api/jobs/{job}")
    same = daemon.client.get(f"/api/jobs/{job}", headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", first.headers["etag"])
    daemon.client.patch(f"/api/jobs/{job}", json={"name": "new"})
    assert daemon.client.get(f"/api/jobs/{job}", headers={"If-None-Match": first.headers["etag"]}).status_code == 200
    variation = first.json()["sources"][0]["variations"][0]
    file = f"/api/jobs/{job}/variations/{variation['id']}/download"
    assert daemon.client.get(file, headers={"If-None-Match": f'"{variation["sha256"]}"'}).status_code == 304


def test_head_tells_what_get_would_and_ends(daemon: Daemon, clip: Path) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["id"]
    for path in ("/api/jobs", f"/api/jobs/{job}", f"/api/jobs/{job}/download", "/docs", "/api/events"):
        head = daemon.client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        with daemon.client.stream("GET", path) as get:
            for header in ("content-type", "content-length", "etag"):
                assert head.headers.get(header) == get.headers.get(header), f"{header} of {path}"
    wait_until(lambda: daemon.client.get("/api/stats").json()["events"]["subscribers"] == 0, "no listener to be left")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/jobs", "DELETE, GET, HEAD, POST"),
        ("GET", "/api/jobs/cancel", "POST"),
        ("POST", "/api/jobs/x", "DELETE, GET, HEAD, PATCH"),
        ("TRACE", "/api/uploads/x", "DELETE, HEAD, OPTIONS, PATCH, POST"),
    ],
)
def test_a_method_that_is_not_there_is_405_and_tells_which_are(
    daemon: Daemon, method: str, path: str, allowed: str
) -> None:
    answer = daemon.client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == allowed


def test_a_range_behind_the_end_is_a_problem_and_nonsense_is_no_range(daemon: Daemon, clip: Path) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    variation = job["sources"][0]["variations"][0]
    file = f"/api/jobs/{job['id']}/variations/{variation['id']}/download"
    behind = daemon.client.get(file, headers={"Range": f"bytes={variation['bytes']}-"})
    assert (behind.status_code, behind.json()["code"]) == (416, "range_not_satisfiable")
    assert behind.headers["content-range"] == f"bytes */{variation['bytes']}"
    assert daemon.client.get(file, headers={"Range": "bytes=0-3"}).status_code == 206
    whole = daemon.client.get(file, headers={"Range": "lines=1-2"})
    assert (whole.status_code, len(whole.content)) == (200, variation["bytes"])


def test_null_is_no_filter(daemon: Daemon) -> None:
    """It would make a verb act on everything."""
    for query in ("status=null", "status=", "status=queued&status=failed"):
        answer = daemon.client.delete(f"/api/jobs?{query}")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


# The page


def test_the_pages_files_are_served_and_nothing_else_of_the_host(daemon: Daemon, tmp_path: Path) -> None:
    page = daemon.client.get("/docs")
    assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert not re.search(r"<script>|<style|\sstyle=|\son\w+=", page.text), "the policy lets nothing inline run"
    named = re.findall(r'(?:src|href)="\.(/web/[^"]+)"', page.text)
    assert len(named) == 2
    with httpx.Client(base_url=daemon.url, trust_env=False, verify=False) as stranger:
        assert stranger.get("/docs").status_code == 401
        assert stranger.get("/openapi.json").status_code == 401
        for path in named:
            assert stranger.get(path).headers["x-content-type-options"] == "nosniff"
        for path in ("/web/docs.html", "/web/..%2fcli.py", "/web/%2e%2e/%2e%2e/README.md", "/web/", "/web//etc/passwd"):
            assert stranger.get(path).status_code in {401, 404}
    (tmp_path / "x.js").write_text("x")
    outside = f"/web/{'..%2f' * 20}{str(tmp_path / 'x.js').lstrip('/').replace('/', '%2f')}"
    assert daemon.client.get(outside).status_code == 404

"""The figures that alerts need are there, and the rules and the board that come along ask for nothing else."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Daemon, Media, wait_until
from prometheus_client.parser import text_string_to_metric_families
from surroundings import need
from test_webhooks import OPEN, Receiver, receiving

MONITORING = Path(__file__).resolve().parents[1] / "docs" / "monitoring"
ALERTS = MONITORING / "alerts.yml"
BOARD = json.loads((MONITORING / "grafana.json").read_text())
ASKED = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
OURS = re.compile(r"\bffspool_\w+")
ENDED = "ffspool_variations_ended_total"


def samples(daemon: Daemon) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(daemon.client.get("/metrics").text)
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


@pytest.fixture
def refusing() -> Any:
    with receiving() as receiver:
        receiver.answers = [(500, {})]
        yield receiver


def test_ends_are_counted_by_state_preset_and_class_of_reason(
    start_daemon: Callable[..., Daemon], media: Media, long_clip: Path, tmp_path: Path, refusing: Receiver
) -> None:
    daemon = start_daemon(*OPEN[:1], "--webhook-backoff", "100")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"this is no film" * 100)
    cancelled = daemon.submit(long_clip)["id"]
    daemon.wait_for_encoder()
    daemon.client.post(f"/api/jobs/{cancelled}/cancel")
    both = [{"preset": "thumbnail-sheet"}, {"preset": "mp3"}]
    spec = {"variations": both, "on_unsuitable": "skip", "webhook_url": refusing.url}
    for job in (daemon.submit(media("no-audio.mp4"), spec=spec), daemon.submit(broken, presets=["mp3"])):
        daemon.wait_for(job["id"])
    daemon.client.post("/api/queue/drain")
    wait_until(lambda: len([key for key in samples(daemon) if key[0] == ENDED]) == 4, "four kinds of ends")
    wait_until(lambda: samples(daemon)["ffspool_webhooks_failing",], "a webhook that fails")
    found = samples(daemon)
    assert {key[1:]: value for key, value in found.items() if key[0] == ENDED} == {
        ("thumbnail-sheet", "done", "completed"): 1,
        ("mp3", "unsuitable", "skipped"): 1,
        ("mp3", "unreadable", "failed"): 1,
        ("h264-480p", "request", "cancelled"): 1,
    }
    states = {key[1]: value for key, value in found.items() if key[0] == "ffspool_queue_state"}
    assert states == {"running": 0, "paused": 0, "draining": 1}
    assert (found["ffspool_slots", "used"], found["ffspool_slots", "all"] >= 1) == (0, True)
    assert found["ffspool_disk_bytes", "kept_free"] > 0
    assert found["ffspool_webhook_oldest_failing_age_seconds",] > 0
    sent = {key[1]: value for key, value in found.items() if key[0] == "ffspool_webhook_attempts_total"}
    assert (sent["delivered"], sent["failed"] >= 1) == (0, True), "a failure stays counted once it is delivered"
    assert found["ffspool_sandbox_active",] == float(daemon.client.get("/api/stats").json()["sandbox"]["active"])
    [build] = [key for key in found if key[0] == "ffspool_build_info"]
    assert "ffmpeg version" in str(build)


def test_rules_and_board_ask_for_figures_that_there_are(shared_daemon: Daemon) -> None:
    told = {
        sample.name
        for family in text_string_to_metric_families(shared_daemon.client.get("/metrics").text)
        for sample in family.samples
    }
    told |= {line.split()[2] for line in shared_daemon.client.get("/metrics").text.splitlines() if "# TYPE" in line}
    bases = {re.sub(r"_(bucket|total)$", "", name) for name in told}
    asked = set(OURS.findall(ALERTS.read_text())) | {name for expr in ASKED for name in OURS.findall(expr)}
    assert {name for name in asked if re.sub(r"_(bucket|total)$", "", name) not in bases} == set()
    assert ALERTS.read_text().count("- alert: ") == 6


def test_promtool_takes_the_rules_and_every_query_of_the_board(tmp_path: Path) -> None:
    promtool = need("promtool", "prometheus")
    rules = [{"record": f"board:{number}", "expr": expr} for number, expr in enumerate(ASKED)]
    (tmp_path / "board.yml").write_text(json.dumps({"groups": [{"name": "board", "rules": rules}]}))
    checked = subprocess.run(
        [promtool, "check", "rules", ALERTS, tmp_path / "board.yml"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert ("6 rules found" in checked.stdout, f"{len(ASKED)} rules found" in checked.stdout) == (True, True)


FIRING = {
    "FfspoolNotSandboxed": ["ffspool_sandbox_active"],
    "FfspoolWebhooksFail": ["ffspool_webhook_oldest_failing_age_seconds"],
    "FfspoolQueueStands": ["ffspool_queue_oldest_age_seconds", 'ffspool_slots{kind="used"}'],
    "FfspoolDiskShort": [f'ffspool_disk_bytes{{kind="{kind}"}}' for kind in ("free", "kept_free", "reserved")],
    "FfspoolVariationsFail": [
        f'{ENDED}{{state="failed", preset="mp3", reason="proof"}}',
        f'{ENDED}{{state="completed", preset="mp3", reason="done"}}',
    ],
    "FfspoolDown": ['up{job="ffspool"}'],
}  # fmt: skip
VALUES = {
    "FfspoolNotSandboxed": ["0x60"],
    "FfspoolWebhooksFail": ["2000+60x60"],
    "FfspoolQueueStands": ["4000+60x60", "0x60"],
    "FfspoolDiskShort": ["150x60", "100x60", "50x60"],
    "FfspoolVariationsFail": ["0+1x60", "0+1x60"],
    "FfspoolDown": ["0x60"],
}


def test_each_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    promtool = need("promtool", "prometheus")

    def case(names: list[str], values: list[str], alert: str, fires: bool) -> dict[str, Any]:
        series = [{"series": name, "values": value} for name, value in zip(names, values, strict=True)]
        query = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})'
        wanted = [{"labels": "{}", "value": 1}] if fires else []
        expected = [{"expr": query, "eval_time": "40m", "exp_samples": wanted}]
        return {"interval": "1m", "input_series": series, "promql_expr_test": expected}

    calm = {
        "FfspoolNotSandboxed": ["1x60"],
        "FfspoolWebhooksFail": ["0x60"],
        "FfspoolQueueStands": ["4000+60x60", "1x60"],
        "FfspoolDiskShort": ["900x60", "100x60", "50x60"],
        "FfspoolVariationsFail": ["0+1x60", "0+20x60"],
        "FfspoolDown": ["1x60"],
    }
    tests = [case(FIRING[alert], VALUES[alert], alert, True) for alert in FIRING]
    tests += [case(FIRING[alert], calm[alert], alert, False) for alert in FIRING]
    file = tmp_path / "tests.yml"
    file.write_text(json.dumps({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}))
    tried = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stdout + tried.stderr

"""How long answers take, by route, while clients race by every verb beside encodes: those of `tests/faults/race.py`."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from bench.clips import make_clip
from bench.daemons import daemon

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from faults.ledger import Ledger
from faults.load import Clips
from faults.race import CLIENTS, GRACE, Race, table

SECONDS = 60


def race() -> None:
    """Prints a line for each route."""
    with tempfile.TemporaryDirectory() as name, daemon(folder := Path(name), FFSPOOL_GRACE=str(GRACE)) as running:
        clips = Clips(short=make_clip(folder / "short.mp4", 1), long=make_clip(folder / "long.mp4", 20))
        token = (folder / "state" / "token").read_text().strip()
        url = str(running.client.base_url)
        with Race(url, token, Ledger(), clips, "bench", pid=running.process.pid) as racing:
            time.sleep(SECONDS)
        answers = racing.answers
        rate, late = len(answers) / SECONDS, len(racing.late())
        print(f"{CLIENTS} clients, {rate:.0f} answers each second, in milliseconds:\n{table(racing.by_route())}")
        starved = sum(answer.starved for answer in answers) / sum(answer.seconds for answer in answers)
        print(f"{late} took too long; of all that time the processors were others' for {starved:.0%}")

"""The states, their arrows, and the schema that enforces both."""

from __future__ import annotations

import itertools
import re
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from daemon.database.file import prepare
from daemon.states import ARROWS, Outcome, State, derive, outcome


@pytest.fixture
def database(tmp_path: Path) -> sqlite3.Connection:
    prepare(tmp_path / "db")
    connection = sqlite3.connect(tmp_path / "db", isolation_level=None)
    connection.execute("INSERT INTO jobs (id, created_at, expires_in) VALUES ('j', 0, 100)")
    connection.execute("INSERT INTO sources (id, job, name, folder, bytes) VALUES ('s', 1, 'a', 'a', 1)")
    yield connection
    connection.close()


def add_variation(database: sqlite3.Connection, name: str) -> None:
    columns = "id, job, source, name, preset, parameters, extension"
    database.execute(f"INSERT INTO variations ({columns}) VALUES (?, 1, 1, 'n', 'p', '{{}}', 'mp4')", [name])


def path_to(state: State) -> list[State]:
    """Arrows that lead from queued to `state`."""
    direct = {State.QUEUED: [], State.PROCESSING: [State.PROCESSING], State.SKIPPED: [State.SKIPPED]}
    return direct.get(state, [State.PROCESSING, state])


def move(database: sqlite3.Connection, variation: str, state: State) -> None:
    database.execute(
        "UPDATE variations SET status = ?, finished_at = 50, bytes = 7, sha256 = 'x' WHERE id = ?", [state, variation]
    )


@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(State, 2)))
def test_the_database_takes_the_arrows_and_refuses_everything_else(
    database: sqlite3.Connection, before: State, after: State
) -> None:
    add_variation(database, "v")
    for state in path_to(before):
        move(database, "v", state)
    if (before, after) in ARROWS:
        move(database, "v", after)
    else:
        with pytest.raises(sqlite3.IntegrityError, match="no such transition"):
            move(database, "v", after)


def test_a_variation_is_born_queued(database: sqlite3.Connection) -> None:
    columns = "id, job, source, name, preset, parameters, extension, status"
    with pytest.raises(sqlite3.IntegrityError, match="starts as queued"):
        database.execute(f"INSERT INTO variations ({columns}) VALUES ('v', 1, 1, 'n', 'p', '{{}}', 'e', 'failed')")


@pytest.mark.parametrize("mix", list(itertools.combinations_with_replacement(State, 3)), ids="-".join)
def test_a_jobs_state_follows_from_its_variations(database: sqlite3.Connection, mix: tuple[State, ...]) -> None:
    for number, state in enumerate(mix):
        add_variation(database, str(number))
        for step in path_to(state):
            move(database, str(number), step)
    columns = "status, total, queued, processing, completed, failed, cancelled, skipped"
    columns += ", finished_at, expires_at, output_bytes"
    status, total, *counts, finished_at, expires_at, output_bytes = database.execute(
        f"SELECT {columns} FROM jobs"
    ).fetchone()
    assert status == derive(Counter(mix))
    assert (total, counts) == (3, [mix.count(state) for state in State])
    ended = not {State.QUEUED, State.PROCESSING} & set(mix)
    assert (finished_at, expires_at) == ((50, 150) if ended else (None, None))
    assert output_bytes == 7 * mix.count(State.COMPLETED)


@pytest.mark.parametrize(
    ("mix", "expected"),
    [
        ([State.QUEUED], State.QUEUED),
        ([State.QUEUED, State.COMPLETED], State.PROCESSING),
        ([State.PROCESSING, State.CANCELLED], State.PROCESSING),
        ([State.COMPLETED, State.FAILED], State.COMPLETED),
        ([State.COMPLETED, State.FAILED, State.CANCELLED], State.CANCELLED),
        ([State.FAILED], State.FAILED),
        ([State.QUEUED, State.SKIPPED], State.QUEUED),
        ([State.COMPLETED, State.SKIPPED], State.COMPLETED),
        ([State.CANCELLED, State.SKIPPED], State.CANCELLED),
        ([State.SKIPPED], State.FAILED),
    ],
)
def test_derivation_is_the_contracts(mix: list[State], expected: State) -> None:
    assert derive(Counter(mix)) == expected


@pytest.mark.parametrize(
    ("mix", "expected"),
    [
        ([State.COMPLETED, State.QUEUED], None),
        ([State.COMPLETED, State.COMPLETED], Outcome.ALL),
        ([State.COMPLETED, State.SKIPPED], Outcome.ALL),
        ([State.COMPLETED, State.CANCELLED], Outcome.SOME),
        ([State.COMPLETED, State.FAILED], Outcome.SOME),
        ([State.FAILED, State.CANCELLED], Outcome.NONE),
        ([State.SKIPPED], Outcome.NONE),
    ],
)
def test_an_outcome_says_how_much_came_out_beside_the_state(mix: list[State], expected: Outcome | None) -> None:
    assert outcome(Counter(mix)) == expected


def test_the_schema_knows_no_state_of_its_own() -> None:
    schema = (Path(__file__).resolve().parents[1] / "schema.sql").read_text()
    arrows = {tuple(arrow.split(" -> ")) for arrow in re.findall(r"'(\w+ -> \w+)'", schema)}
    assert arrows == ARROWS

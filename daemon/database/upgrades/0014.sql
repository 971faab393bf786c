-- From version 13 to 14.

-- Commands of the operator's that are run after deliveries: one row for each hook and delivery, kept for a while after
-- it is settled.
CREATE TABLE hook_runs (
    seq              INTEGER PRIMARY KEY AUTOINCREMENT,
    hook             TEXT NOT NULL,
    job              TEXT NOT NULL,
    variation        TEXT NOT NULL,
    told             TEXT NOT NULL,  -- what it reads on its stdin
    status           TEXT NOT NULL CHECK (status IN ('pending', 'done', 'failed')),
    created_at       REAL NOT NULL,
    attempts         INTEGER NOT NULL DEFAULT 0,
    next_attempt_at  REAL,
    exit_code        INTEGER,
    said             TEXT,
    settled_at       REAL,
    CHECK ((status = 'pending') = (next_attempt_at IS NOT NULL))
) STRICT;

CREATE INDEX hook_runs_by_job ON hook_runs (job, seq);
CREATE INDEX hook_runs_due ON hook_runs (next_attempt_at) WHERE status = 'pending';
CREATE INDEX hook_runs_settled ON hook_runs (created_at) WHERE status <> 'pending';

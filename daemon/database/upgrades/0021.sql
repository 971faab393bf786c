-- From version 20 to 21.

-- Sources that are fetched from a URL, and what waits for them.
ALTER TABLE variations ADD COLUMN unfetched INTEGER NOT NULL DEFAULT 0 CHECK (unfetched IN (0, 1));

DROP INDEX variations_ready;
CREATE INDEX variations_ready ON variations (priority DESC, seq)
    WHERE status = 'queued' AND held = 0 AND not_before IS NULL AND unfetched = 0;

CREATE TABLE fetches (
    source           INTEGER PRIMARY KEY REFERENCES sources (seq) ON DELETE CASCADE,
    job              INTEGER NOT NULL,
    shown            TEXT NOT NULL,
    wanted           TEXT,
    status           TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'fetched', 'failed', 'cancelled')),
    length           INTEGER,
    version          TEXT,
    part             INTEGER NOT NULL DEFAULT 0 CHECK (part IN (0, 1)),
    since            REAL NOT NULL,
    attempts         INTEGER NOT NULL DEFAULT 0,
    failures         INTEGER NOT NULL DEFAULT 0,
    next_attempt_at  REAL,
    error            TEXT,
    settled_at       REAL,
    CHECK ((wanted IS NOT NULL) = (status = 'pending')),
    CHECK ((next_attempt_at IS NOT NULL) = (status = 'pending' OR part = 1))
) STRICT;

CREATE INDEX fetches_due ON fetches (next_attempt_at) WHERE next_attempt_at IS NOT NULL;

-- SQLite does not change a CHECK in place: the events are copied, and their numbers go on where they were. Triggers
-- that write events name the table, whichever it is.
PRAGMA legacy_alter_table = ON;
CREATE TABLE copied (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    at    REAL NOT NULL,
    type  TEXT NOT NULL CHECK (type IN ('job', 'variation', 'deleted', 'queue', 'delivery', 'source')),
    job   TEXT,
    data  TEXT NOT NULL
) STRICT;
INSERT INTO copied (id, at, type, job, data) SELECT id, at, type, job, data FROM events;
DELETE FROM sqlite_sequence WHERE name = 'copied';
INSERT INTO sqlite_sequence (name, seq) SELECT 'copied', seq FROM sqlite_sequence WHERE name = 'events';
DROP TABLE events;
ALTER TABLE copied RENAME TO events;
PRAGMA legacy_alter_table = OFF;
CREATE INDEX events_by_job ON events (job, id);
CREATE INDEX events_by_age ON events (at);

CREATE TRIGGER source_grows_disk AFTER UPDATE OF bytes ON sources WHEN new.path IS NULL
BEGIN
    UPDATE disk SET bytes = bytes + new.bytes - old.bytes WHERE kind = 'sources';
END;

CREATE TRIGGER source_is_to_be_fetched AFTER INSERT ON fetches
BEGIN
    UPDATE variations SET unfetched = 1 WHERE source = new.source;
END;

CREATE TRIGGER source_is_whole AFTER UPDATE OF status ON fetches WHEN old.status <> 'fetched' AND new.status = 'fetched'
BEGIN
    UPDATE variations SET unfetched = 0 WHERE source = new.source;
END;

-- What nothing waits for any more is not fetched, whichever verb ended it.
CREATE TRIGGER source_is_not_wanted AFTER UPDATE OF queued ON sources WHEN old.queued > 0 AND new.queued = 0
BEGIN
    UPDATE fetches SET status = 'cancelled', wanted = NULL, error = NULL, failures = 0,
        settled_at = (julianday('now') - 2440587.5) * 86400,
        next_attempt_at = iif(part, (julianday('now') - 2440587.5) * 86400, NULL)
    WHERE source = new.seq AND status = 'pending';
END;

CREATE TRIGGER fetch_event AFTER UPDATE OF status, error ON fetches
WHEN old.status <> new.status OR old.error IS NOT new.error
BEGIN
    INSERT INTO events (at, type, job, data)
    SELECT (julianday('now') - 2440587.5) * 86400, 'source', jobs.id, json_object(
        'job', jobs.id, 'id', sources.id, 'status', iif(new.status = 'pending', 'fetching', new.status),
        'bytes', coalesce(new.length, sources.bytes), 'bytes_fetched', sources.bytes, 'error', new.error
    )
    FROM sources JOIN jobs ON jobs.seq = sources.job WHERE sources.seq = new.source;
END;

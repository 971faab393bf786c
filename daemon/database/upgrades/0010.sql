-- From version 9 to 10.

ALTER TABLE jobs ADD COLUMN undelivered INTEGER NOT NULL DEFAULT 0 CHECK (undelivered >= 0);
ALTER TABLE jobs ADD COLUMN delivered INTEGER NOT NULL DEFAULT 0 CHECK (delivered >= 0);
ALTER TABLE jobs ADD COLUMN not_delivered INTEGER NOT NULL DEFAULT 0 CHECK (not_delivered >= 0);
ALTER TABLE variations ADD COLUMN deliver TEXT;
ALTER TABLE variations ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0 CHECK (dropped IN (0, 1));
CREATE INDEX variations_to_deliver ON variations (seq) WHERE deliver IS NOT NULL AND status <> 'completed';

-- Outputs on their way to where they are to be brought: one row for each completed variation that asked. It outlives
-- its variation as long as something of it may lie there that has to be removed.
CREATE TABLE deliveries (
    seq              INTEGER PRIMARY KEY,
    id               TEXT NOT NULL UNIQUE,  -- what it is known by where it is brought
    variation        INTEGER UNIQUE REFERENCES variations (seq) ON DELETE CASCADE,  -- NULL: it was deleted
    place            TEXT NOT NULL,  -- what may be away or hang as a whole, such as a share
    wanted           TEXT NOT NULL,  -- its variation's `deliver`
    status           TEXT NOT NULL CHECK (status IN ('pending', 'running', 'delivered', 'failed')),
    landing          TEXT,     -- text of the place's own, by which it sees after a crash how far it came
    part             INTEGER NOT NULL DEFAULT 0 CHECK (part IN (0, 1)),  -- something without its name may lie there
    reached          TEXT,     -- where it is, as users are told
    kept             INTEGER NOT NULL DEFAULT 0 CHECK (kept IN (0, 1)),  -- what lay there before, as was asked
    since            REAL NOT NULL,  -- when it was first asked for, or again
    attempts         INTEGER NOT NULL DEFAULT 0,
    failures         INTEGER NOT NULL DEFAULT 0,  -- since then
    next_attempt_at  REAL,     -- at what is left to do
    error            TEXT,     -- what kept it from being delivered so far
    settled_at       REAL,
    CHECK ((next_attempt_at IS NOT NULL) = (status IN ('pending', 'running') OR part = 1))
) STRICT;

CREATE INDEX deliveries_due ON deliveries (next_attempt_at) WHERE next_attempt_at IS NOT NULL;

-- SQLite does not change a CHECK in place: the events are copied, and their numbers go on where they were. Triggers
-- that write events name the table, whichever it is.
PRAGMA legacy_alter_table = ON;
CREATE TABLE copied (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    at    REAL NOT NULL,
    type  TEXT NOT NULL CHECK (type IN ('job', 'variation', 'deleted', 'queue', 'delivery')),
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

-- Before, so that the end of a job finds its deliveries counted.
CREATE TRIGGER variation_is_to_be_delivered BEFORE UPDATE OF status ON variations
WHEN new.status = 'completed' AND new.deliver IS NOT NULL
BEGIN
    INSERT INTO deliveries (id, variation, place, wanted, status, since, next_attempt_at)
    VALUES (
        lower(hex(randomblob(8))), new.seq, json_extract(new.deliver, '$.place'), new.deliver, 'pending',
        new.finished_at, new.finished_at
    );
END;

-- What lies there without its name is removed, however long that takes; of the rest nothing is kept.
CREATE TRIGGER variation_to_be_delivered_is_deleted BEFORE DELETE ON variations WHEN old.deliver IS NOT NULL
BEGIN
    UPDATE deliveries SET variation = NULL, status = iif(status = 'delivered', status, 'failed'), landing = NULL,
        failures = 0, since = (julianday('now') - 2440587.5) * 86400,
        next_attempt_at = (julianday('now') - 2440587.5) * 86400
    WHERE variation = old.seq AND part = 1;
END;

CREATE TRIGGER delivery_is_added AFTER INSERT ON deliveries
BEGIN
    UPDATE jobs SET undelivered = undelivered + 1, expires_at = NULL
    WHERE seq = (SELECT job FROM variations WHERE seq = new.variation);
    INSERT INTO events (at, type, job, data)
    SELECT (julianday('now') - 2440587.5) * 86400, 'delivery', jobs.id, json_object(
        'job', jobs.id, 'source', sources.id, 'id', variations.id, 'status', new.status, 'to', NULL, 'error', NULL
    )
    FROM variations JOIN jobs ON jobs.seq = variations.job JOIN sources ON sources.seq = variations.source
    WHERE variations.seq = new.variation;
END;

CREATE TRIGGER delivery_changes_its_job AFTER UPDATE OF status ON deliveries
WHEN old.status <> new.status AND new.variation IS NOT NULL
BEGIN
    UPDATE jobs SET
        undelivered   = undelivered + (new.status IN ('pending', 'running')) - (old.status IN ('pending', 'running')),
        delivered     = delivered + (new.status = 'delivered') - (old.status = 'delivered'),
        not_delivered = not_delivered + (new.status = 'failed') - (old.status = 'failed'),
        expires_at    = iif(new.status IN ('pending', 'running') OR undelivered > 1 OR finished_at IS NULL, NULL,
            coalesce(keep_until, new.settled_at + expires_in))
    WHERE seq = (SELECT job FROM variations WHERE seq = new.variation);
    INSERT INTO events (at, type, job, data)
    SELECT (julianday('now') - 2440587.5) * 86400, 'delivery', jobs.id, json_object(
        'job', jobs.id, 'source', sources.id, 'id', variations.id, 'status', new.status, 'to', new.reached,
        'error', new.error
    )
    FROM variations JOIN jobs ON jobs.seq = variations.job JOIN sources ON sources.seq = variations.source
    WHERE variations.seq = new.variation;
END;

CREATE TRIGGER job_waits_for_its_deliveries AFTER UPDATE OF expires_at ON jobs
WHEN new.expires_at IS NOT NULL AND new.undelivered > 0
BEGIN
    UPDATE jobs SET expires_at = NULL WHERE seq = new.seq;
END;

CREATE TRIGGER delivery_end_is_told AFTER UPDATE OF status ON deliveries
WHEN old.status <> new.status AND new.status IN ('delivered', 'failed') AND new.variation IS NOT NULL
BEGIN
    INSERT INTO outbox (id, job, type, url, snapshot, status, created_at, since, next_attempt_at)
    SELECT 'msg_' || lower(hex(randomblob(12))), jobs.id,
        iif(new.status = 'delivered', 'variation.delivered', 'variation.undelivered'), jobs.webhook_url, json_object(
        'job', jobs.id, 'source', sources.id, 'id', variations.id, 'name', variations.name,
        'preset', variations.preset, 'bytes', variations.bytes, 'sha256', variations.sha256,
        'status', new.status, 'to', new.reached, 'kept', new.kept, 'attempts', new.attempts, 'error', new.error,
        'settled_at', json(lower(quote(new.settled_at)))
    ), iif(gone, 'disabled', 'pending'), new.settled_at, new.settled_at, iif(gone, NULL, new.settled_at)
    FROM variations JOIN jobs ON jobs.seq = variations.job JOIN sources ON sources.seq = variations.source, (
        SELECT EXISTS (
            SELECT 1 FROM outbox JOIN jobs ON jobs.id = outbox.job JOIN variations ON variations.job = jobs.seq
            WHERE variations.seq = new.variation AND outbox.status = 'disabled'
        ) AS gone
    )
    WHERE variations.seq = new.variation AND jobs.webhook_variations AND jobs.webhook_url IS NOT NULL;
END;

-- A job whose deliveries are settled is told of as soon as it has ended too; once more after a retry.
CREATE TRIGGER job_delivery_is_told AFTER UPDATE OF undelivered, finished_at ON jobs
WHEN new.webhook_url IS NOT NULL AND new.undelivered = 0 AND new.finished_at IS NOT NULL
    AND new.delivered + new.not_delivered > 0 AND (old.undelivered > 0 OR old.finished_at IS NULL)
BEGIN
    INSERT INTO outbox (id, job, type, url, snapshot, status, created_at, since, next_attempt_at)
    SELECT 'msg_' || lower(hex(randomblob(12))), new.id,
        iif(new.not_delivered, 'job.undelivered', 'job.delivered'), new.webhook_url, json_object(
        'id', new.id, 'name', new.name, 'status', new.status, 'metadata', new.metadata,
        'delivered', new.delivered, 'not_delivered', new.not_delivered
    ), iif(gone, 'disabled', 'pending'), at, at, iif(gone, NULL, at)
    FROM (SELECT EXISTS (SELECT 1 FROM outbox WHERE job = new.id AND status = 'disabled') AS gone,
        (julianday('now') - 2440587.5) * 86400 AS at);
END;

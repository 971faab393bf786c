-- From version 6 to 7.

-- A variation that a preset does not apply to may be skipped, and a job's state is derived from the others. SQLite
-- changes neither a CHECK nor a generated column in place: the variations are copied, the column is made anew, and all
-- triggers of both tables with it, in the order they have in a new database.
DROP TRIGGER job_is_added_tally;
DROP TRIGGER job_tally;
DROP TRIGGER job_is_deleted_tally;
DROP TRIGGER job_event;
DROP TRIGGER job_deleted_event;
DROP TRIGGER job_end_is_told;
DROP TRIGGER variation_is_added;
DROP TRIGGER variation_starts_queued;
DROP TRIGGER variation_follows_an_arrow;
DROP TRIGGER variation_changes_its_job;
DROP TRIGGER variation_tally;
DROP TRIGGER variation_event;
DROP TRIGGER output_is_added_disk;
DROP TRIGGER output_is_lost_disk;
DROP TRIGGER output_is_deleted_disk;
DROP TRIGGER variation_hour;
DROP TRIGGER variation_end_is_told;

ALTER TABLE sources ADD COLUMN skipped INTEGER NOT NULL DEFAULT 0;
INSERT INTO tally (status) VALUES ('skipped');

DROP INDEX jobs_by_status;
DROP INDEX jobs_upcoming;
ALTER TABLE jobs DROP COLUMN status;
ALTER TABLE jobs ADD COLUMN skipped INTEGER NOT NULL DEFAULT 0 CHECK (skipped >= 0);
ALTER TABLE jobs ADD COLUMN on_unsuitable TEXT NOT NULL DEFAULT 'fail' CHECK (on_unsuitable IN ('fail', 'skip'));
ALTER TABLE jobs ADD COLUMN status TEXT NOT NULL GENERATED ALWAYS AS (
    CASE
        WHEN processing > 0 OR (queued > 0 AND queued < total - skipped) THEN 'processing'
        WHEN queued > 0 THEN 'queued'
        WHEN cancelled > 0 THEN 'cancelled'
        WHEN completed > 0 THEN 'completed'
        ELSE 'failed'
    END
) VIRTUAL;
CREATE INDEX jobs_by_status ON jobs (status, seq);
CREATE INDEX jobs_upcoming ON jobs (status, -priority, seq);
CREATE INDEX jobs_with_failures ON jobs (seq) WHERE failed > 0;

CREATE TABLE copied (
    seq                  INTEGER PRIMARY KEY,
    id                   TEXT NOT NULL UNIQUE,
    job                  INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    source               INTEGER NOT NULL REFERENCES sources (seq) ON DELETE CASCADE,
    name                 TEXT NOT NULL,
    preset               TEXT NOT NULL,
    parameters           TEXT NOT NULL,
    extension            TEXT NOT NULL,
    status               TEXT NOT NULL DEFAULT 'queued'
        CHECK (status IN ('queued', 'processing', 'completed', 'failed', 'cancelled', 'skipped')),
    priority             INTEGER NOT NULL DEFAULT 0,
    held                 INTEGER NOT NULL DEFAULT 0 CHECK (held IN (0, 1)),
    not_before           REAL,
    attempts             INTEGER NOT NULL DEFAULT 0,
    retries              INTEGER NOT NULL DEFAULT 0,
    crashes              INTEGER NOT NULL DEFAULT 0,
    cancel_requested_at  REAL,
    fail_requested_at    REAL,
    started_at           REAL,
    finished_at          REAL,
    error                TEXT,
    proof                TEXT,
    bytes                INTEGER,
    sha256               TEXT,
    output_seconds       REAL,
    cpu_seconds          REAL,
    speed                REAL,
    lost_at              REAL,
    sharing              INTEGER,
    alone                INTEGER NOT NULL DEFAULT 0 CHECK (alone IN (0, 1)),
    sandbox              TEXT,
    waiting              TEXT,
    space_needed         INTEGER,
    quality              TEXT,
    contents             TEXT,
    CHECK (status <> 'completed' OR (bytes IS NOT NULL AND sha256 IS NOT NULL))
) STRICT;

INSERT INTO copied (
    seq, id, job, source, name, preset, parameters, extension, status, priority, held, not_before, attempts,
    retries, crashes, cancel_requested_at, fail_requested_at, started_at, finished_at, error, proof, bytes,
    sha256, output_seconds, cpu_seconds, speed, lost_at, sharing, alone, sandbox, waiting, space_needed,
    quality, contents
) SELECT
    seq, id, job, source, name, preset, parameters, extension, status, priority, held, not_before, attempts,
    retries, crashes, cancel_requested_at, fail_requested_at, started_at, finished_at, error, proof, bytes,
    sha256, output_seconds, cpu_seconds, speed, lost_at, sharing, alone, sandbox, waiting, space_needed,
    quality, contents
FROM variations;
DROP TABLE variations;
ALTER TABLE copied RENAME TO variations;
CREATE INDEX variations_by_job ON variations (job, seq);
CREATE INDEX variations_by_source ON variations (source);
CREATE INDEX variations_ready ON variations (priority DESC, seq)
    WHERE status = 'queued' AND held = 0 AND not_before IS NULL;
CREATE INDEX variations_delayed ON variations (not_before) WHERE not_before IS NOT NULL;
CREATE INDEX variations_queued ON variations (seq) WHERE status = 'queued';
CREATE INDEX variations_processing ON variations (seq) WHERE status = 'processing';
CREATE INDEX variations_aside ON variations (seq) WHERE status = 'queued' AND waiting IS NOT NULL;
CREATE INDEX variations_with_file ON variations (seq) WHERE status = 'completed' AND lost_at IS NULL;

CREATE TRIGGER variation_is_added AFTER INSERT ON variations
BEGIN
    UPDATE jobs SET total = total + 1, queued = queued + 1 WHERE seq = new.job;
    UPDATE sources SET queued = queued + 1 WHERE seq = new.source;
    UPDATE tally SET variations = variations + 1 WHERE status = 'queued';
END;

CREATE TRIGGER variation_starts_queued BEFORE INSERT ON variations WHEN new.status <> 'queued'
BEGIN
    SELECT RAISE(ABORT, 'a variation starts as queued');
END;

CREATE TRIGGER variation_follows_an_arrow BEFORE UPDATE OF status ON variations
WHEN old.status || ' -> ' || new.status NOT IN (
    'queued -> processing', 'queued -> cancelled', 'queued -> failed', 'queued -> skipped',
    'processing -> completed', 'processing -> failed', 'processing -> cancelled', 'processing -> queued',
    'failed -> queued', 'cancelled -> queued'
)
BEGIN
    SELECT RAISE(ABORT, 'no such transition');
END;

CREATE TRIGGER variation_changes_its_job AFTER UPDATE OF status ON variations
BEGIN
    UPDATE sources SET
        queued     = queued     + (new.status = 'queued')     - (old.status = 'queued'),
        processing = processing + (new.status = 'processing') - (old.status = 'processing'),
        completed  = completed  + (new.status = 'completed')  - (old.status = 'completed'),
        failed     = failed     + (new.status = 'failed')     - (old.status = 'failed'),
        cancelled  = cancelled  + (new.status = 'cancelled')  - (old.status = 'cancelled'),
        skipped    = skipped    + (new.status = 'skipped')    - (old.status = 'skipped')
    WHERE seq = new.source;
    UPDATE jobs SET
        queued         = queued     + (new.status = 'queued')     - (old.status = 'queued'),
        processing     = processing + (new.status = 'processing') - (old.status = 'processing'),
        completed      = completed  + (new.status = 'completed')  - (old.status = 'completed'),
        failed         = failed     + (new.status = 'failed')     - (old.status = 'failed'),
        cancelled      = cancelled  + (new.status = 'cancelled')  - (old.status = 'cancelled'),
        skipped        = skipped    + (new.status = 'skipped')    - (old.status = 'skipped'),
        started_at     = coalesce(started_at, new.started_at),
        cpu_seconds    = cpu_seconds + iif(new.status = 'completed', coalesce(new.cpu_seconds, 0), 0),
        output_seconds = output_seconds + iif(new.status = 'completed', coalesce(new.output_seconds, 0), 0),
        output_bytes   = output_bytes + iif(new.status = 'completed', new.bytes, 0),
        finished_at    = iif(new.status IN ('queued', 'processing') OR queued + processing > 1, NULL, new.finished_at),
        expires_at     = iif(new.status IN ('queued', 'processing') OR queued + processing > 1, NULL,
            coalesce(keep_until, new.finished_at + expires_in)),
        cancelled_at   = iif(new.status IN ('queued', 'processing') OR queued + processing > 1
            OR cancelled + (new.status = 'cancelled') = 0, NULL, new.finished_at)
    WHERE seq = new.job;
END;

CREATE TRIGGER variation_tally AFTER UPDATE OF status ON variations WHEN old.status <> new.status
BEGIN
    UPDATE tally SET variations = variations + iif(status = new.status, 1, -1) WHERE status IN (old.status, new.status);
END;

CREATE TRIGGER job_is_added_tally AFTER INSERT ON jobs
BEGIN
    UPDATE tally SET jobs = jobs + 1 WHERE status = new.status;
END;

CREATE TRIGGER job_tally AFTER UPDATE ON jobs WHEN old.status <> new.status
BEGIN
    UPDATE tally SET jobs = jobs + iif(status = new.status, 1, -1) WHERE status IN (old.status, new.status);
END;

CREATE TRIGGER job_is_deleted_tally BEFORE DELETE ON jobs
BEGIN
    UPDATE tally SET jobs = jobs - 1 WHERE status = old.status;
    UPDATE tally SET variations = variations - CASE status
        WHEN 'queued' THEN old.queued
        WHEN 'processing' THEN old.processing
        WHEN 'completed' THEN old.completed
        WHEN 'failed' THEN old.failed
        WHEN 'skipped' THEN old.skipped
        ELSE old.cancelled
    END;
END;

CREATE TRIGGER variation_event AFTER UPDATE OF status ON variations
BEGIN
    INSERT INTO events (at, type, job, data)
    SELECT (julianday('now') - 2440587.5) * 86400, 'variation', jobs.id, json_object(
        'job', jobs.id, 'source', sources.id, 'id', new.id, 'status', new.status,
        'attempts', new.attempts, 'bytes', new.bytes, 'error', new.error
    )
    FROM jobs, sources WHERE jobs.seq = new.job AND sources.seq = new.source;
END;

CREATE TRIGGER job_event AFTER UPDATE ON jobs
WHEN old.status <> new.status OR old.paused <> new.paused OR old.priority <> new.priority
    OR old.name IS NOT new.name OR old.keep_until IS NOT new.keep_until
BEGIN
    INSERT INTO events (at, type, job, data)
    VALUES ((julianday('now') - 2440587.5) * 86400, 'job', new.id, json_object(
        'id', new.id, 'status', new.status, 'paused', json(iif(new.paused, 'true', 'false')),
        'priority', new.priority, 'name', new.name
    ));
END;

CREATE TRIGGER job_deleted_event BEFORE DELETE ON jobs
BEGIN
    INSERT INTO events (at, type, job, data)
    VALUES ((julianday('now') - 2440587.5) * 86400, 'deleted', old.id, json_object('id', old.id));
END;

CREATE TRIGGER job_end_is_told AFTER UPDATE OF finished_at ON jobs
WHEN old.finished_at IS NULL AND new.finished_at IS NOT NULL AND new.webhook_url IS NOT NULL
BEGIN
    INSERT INTO outbox (id, job, type, url, snapshot, status, created_at, since, next_attempt_at)
    SELECT 'msg_' || lower(hex(randomblob(12))), new.id, 'job.' || new.status, new.webhook_url, json_object(
        'id', new.id, 'name', new.name, 'status', new.status, 'paused', new.paused, 'priority', new.priority,
        'total', new.total, 'completed', new.completed, 'failed', new.failed, 'cancelled', new.cancelled,
        'skipped', new.skipped, 'on_unsuitable', new.on_unsuitable,
        'created_at', json(lower(quote(new.created_at))), 'started_at', json(lower(quote(new.started_at))),
        'finished_at', json(lower(quote(new.finished_at))), 'expires_at', json(lower(quote(new.expires_at))),
        'cancel_requested_at', json(lower(quote(new.cancel_requested_at))),
        'cancelled_at', json(lower(quote(new.cancelled_at))), 'metadata', new.metadata,
        'cpu_seconds', new.cpu_seconds, 'output_seconds', new.output_seconds, 'output_bytes', new.output_bytes,
        'discarded_cpu', new.discarded_cpu, 'error', (
            SELECT error FROM variations WHERE job = new.seq AND new.status = 'failed' AND error IS NOT NULL
            ORDER BY status = 'skipped', source, seq LIMIT 1
        )
    ), iif(gone, 'disabled', 'pending'), new.finished_at, new.finished_at, iif(gone, NULL, new.finished_at)
    FROM (SELECT EXISTS (SELECT 1 FROM outbox WHERE job = new.id AND status = 'disabled') AS gone);
END;

CREATE TRIGGER output_is_added_disk AFTER UPDATE OF status ON variations WHEN new.status = 'completed'
BEGIN
    UPDATE disk SET bytes = bytes + new.bytes WHERE kind = 'outputs';
END;

CREATE TRIGGER output_is_lost_disk AFTER UPDATE OF lost_at ON variations
WHEN old.lost_at IS NULL AND new.lost_at IS NOT NULL
BEGIN
    UPDATE disk SET bytes = bytes - old.bytes WHERE kind = 'outputs';
END;

CREATE TRIGGER output_is_deleted_disk AFTER DELETE ON variations WHEN old.status = 'completed' AND old.lost_at IS NULL
BEGIN
    UPDATE disk SET bytes = bytes - old.bytes WHERE kind = 'outputs';
END;

CREATE TRIGGER variation_hour AFTER UPDATE OF status ON variations WHEN new.status = 'completed'
BEGIN
    INSERT INTO hours (hour, preset, completed, output_seconds, encode_seconds)
    VALUES (
        CAST(new.finished_at / 3600 AS INTEGER), new.preset, 1,
        coalesce(new.output_seconds, 0), iif(new.output_seconds, max(0, new.finished_at - new.started_at), 0)
    )
    ON CONFLICT DO UPDATE SET
        completed = completed + 1,
        output_seconds = output_seconds + excluded.output_seconds,
        encode_seconds = encode_seconds + excluded.encode_seconds;
END;

CREATE TRIGGER variation_end_is_told AFTER UPDATE OF status ON variations
WHEN new.status IN ('completed', 'failed', 'cancelled', 'skipped')
BEGIN
    INSERT INTO outbox (id, job, type, url, snapshot, status, created_at, since, next_attempt_at)
    SELECT 'msg_' || lower(hex(randomblob(12))), jobs.id, 'variation.' || new.status, jobs.webhook_url, json_object(
        'job', jobs.id, 'source', sources.id, 'id', new.id, 'name', new.name, 'preset', new.preset,
        'parameters', new.parameters, 'status', new.status, 'bytes', new.bytes, 'sha256', new.sha256,
        'attempts', new.attempts, 'sharing', new.sharing, 'error', new.error, 'speed', json(lower(quote(new.speed))),
        'extension', new.extension, 'sandbox', new.sandbox, 'quality', new.quality,
        'contents', new.contents,
        'output_seconds', json(lower(quote(new.output_seconds))),
        'started_at', json(lower(quote(new.started_at))), 'finished_at', json(lower(quote(new.finished_at)))
    ), iif(gone, 'disabled', 'pending'), new.finished_at, new.finished_at, iif(gone, NULL, new.finished_at)
    FROM jobs, sources, (SELECT EXISTS (
        SELECT 1 FROM outbox JOIN jobs ON jobs.id = outbox.job
        WHERE jobs.seq = new.job AND outbox.status = 'disabled'
    ) AS gone)
    WHERE jobs.seq = new.job AND sources.seq = new.source AND jobs.webhook_variations
        AND jobs.webhook_url IS NOT NULL;
END;

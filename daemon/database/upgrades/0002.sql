-- From version 1 to 2.

-- Sources count their variations, so that a list of jobs need not look at a single one.
ALTER TABLE sources ADD COLUMN queued INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sources ADD COLUMN processing INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sources ADD COLUMN completed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sources ADD COLUMN failed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sources ADD COLUMN cancelled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sources ADD COLUMN duration REAL GENERATED ALWAYS AS (json_extract(media, '$.duration_seconds')) VIRTUAL;

UPDATE sources SET (queued, processing, completed, failed, cancelled) = (
    SELECT
        count(*) FILTER (WHERE status = 'queued'), count(*) FILTER (WHERE status = 'processing'),
        count(*) FILTER (WHERE status = 'completed'), count(*) FILTER (WHERE status = 'failed'),
        count(*) FILTER (WHERE status = 'cancelled')
    FROM variations WHERE source = sources.seq
);

-- Variations of one source may share a process, and what encodes take is learnt.
ALTER TABLE variations ADD COLUMN sharing INTEGER;
ALTER TABLE variations ADD COLUMN alone INTEGER NOT NULL DEFAULT 0 CHECK (alone IN (0, 1));
CREATE TABLE costs (
    encode      TEXT PRIMARY KEY,
    correction  REAL NOT NULL CHECK (correction > 0)
) STRICT, WITHOUT ROWID;

-- What the sweep looks for on the disk.
CREATE INDEX variations_with_file ON variations (seq) WHERE status = 'completed' AND lost_at IS NULL;

DROP TRIGGER variation_is_added;
DROP TRIGGER variation_changes_its_job;
-- Only made anew, because triggers of one table fire in an order that hangs on when they were made.
DROP TRIGGER variation_tally;
DROP TRIGGER variation_event;
DROP TRIGGER variation_end_is_told;

CREATE TRIGGER variation_is_added AFTER INSERT ON variations
BEGIN
    UPDATE jobs SET total = total + 1, queued = queued + 1 WHERE seq = new.job;
    UPDATE sources SET queued = queued + 1 WHERE seq = new.source;
    UPDATE tally SET variations = variations + 1 WHERE status = 'queued';
END;

-- Keeps the counters, and with them the job's derived status and the times that hang on its end. All of it is
-- one UPDATE of the job, since each would fire the job's own triggers. What ends here was live until now, so
-- `queued + processing` still counts it.
CREATE TRIGGER variation_changes_its_job AFTER UPDATE OF status ON variations
BEGIN
    UPDATE sources SET
        queued     = queued     + (new.status = 'queued')     - (old.status = 'queued'),
        processing = processing + (new.status = 'processing') - (old.status = 'processing'),
        completed  = completed  + (new.status = 'completed')  - (old.status = 'completed'),
        failed     = failed     + (new.status = 'failed')     - (old.status = 'failed'),
        cancelled  = cancelled  + (new.status = 'cancelled')  - (old.status = 'cancelled')
    WHERE seq = new.source;
    UPDATE jobs SET
        queued         = queued     + (new.status = 'queued')     - (old.status = 'queued'),
        processing     = processing + (new.status = 'processing') - (old.status = 'processing'),
        completed      = completed  + (new.status = 'completed')  - (old.status = 'completed'),
        failed         = failed     + (new.status = 'failed')     - (old.status = 'failed'),
        cancelled      = cancelled  + (new.status = 'cancelled')  - (old.status = 'cancelled'),
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

CREATE TRIGGER variation_event AFTER UPDATE OF status ON variations
BEGIN
    INSERT INTO events (at, type, job, data)
    SELECT (julianday('now') - 2440587.5) * 86400, 'variation', jobs.id, json_object(
        'job', jobs.id, 'source', sources.id, 'id', new.id, 'status', new.status,
        'attempts', new.attempts, 'bytes', new.bytes, 'error', new.error
    )
    FROM jobs, sources WHERE jobs.seq = new.job AND sources.seq = new.source;
END;

CREATE TRIGGER variation_end_is_told AFTER UPDATE OF status ON variations
WHEN new.status IN ('completed', 'failed', 'cancelled')
BEGIN
    INSERT INTO outbox (id, job, type, url, snapshot, status, created_at, since, next_attempt_at)
    SELECT 'msg_' || lower(hex(randomblob(12))), jobs.id, 'variation.' || new.status, jobs.webhook_url, json_object(
        'job', jobs.id, 'source', sources.id, 'id', new.id, 'name', new.name, 'preset', new.preset,
        'parameters', new.parameters, 'status', new.status, 'bytes', new.bytes, 'sha256', new.sha256,
        'attempts', new.attempts, 'sharing', new.sharing, 'error', new.error, 'speed', json(lower(quote(new.speed))),
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

ALTER TABLE variations ADD COLUMN sandbox TEXT;
ALTER TABLE variations ADD COLUMN waiting TEXT;
ALTER TABLE variations ADD COLUMN space_needed INTEGER;
CREATE INDEX variations_aside ON variations (seq) WHERE status = 'queued' AND waiting IS NOT NULL;
ALTER TABLE variations ADD COLUMN quality TEXT;

-- Bytes in the spool by what they are, kept by the triggers below: walking a large spool takes too long.
-- Logs, and what is being written, are not among them.
CREATE TABLE disk (
    kind   TEXT PRIMARY KEY,
    bytes  INTEGER NOT NULL DEFAULT 0 CHECK (bytes >= 0)
) STRICT, WITHOUT ROWID;

INSERT INTO disk (kind) VALUES ('sources'), ('outputs'), ('uploads');

-- Which database this is, and how often it was counted on: the spool keeps the last count it saw, by which an older
-- copy of the database is told from this one.
CREATE TABLE lineage (
    only        INTEGER PRIMARY KEY CHECK (only = 1),
    id          TEXT NOT NULL,
    generation  INTEGER NOT NULL,
    backup      INTEGER NOT NULL CHECK (backup IN (0, 1))  -- it is a copy that no daemon has worked with yet
) STRICT;

INSERT INTO lineage VALUES (1, lower(hex(randomblob(16))), 0, 0);

UPDATE disk SET bytes = (SELECT coalesce(sum(bytes), 0) FROM sources WHERE path IS NULL) WHERE kind = 'sources';
UPDATE disk SET bytes = (
    SELECT coalesce(sum(bytes), 0) FROM variations WHERE status = 'completed' AND lost_at IS NULL
) WHERE kind = 'outputs';
UPDATE disk SET bytes = (SELECT coalesce(sum(offset), 0) FROM uploads) WHERE kind = 'uploads';

CREATE TRIGGER source_is_added_disk AFTER INSERT ON sources WHEN new.path IS NULL
BEGIN
    UPDATE disk SET bytes = bytes + new.bytes WHERE kind = 'sources';
END;

CREATE TRIGGER source_is_deleted_disk AFTER DELETE ON sources WHEN old.path IS NULL
BEGIN
    UPDATE disk SET bytes = bytes - old.bytes WHERE kind = 'sources';
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

CREATE TRIGGER upload_grows_disk AFTER UPDATE OF offset ON uploads
BEGIN
    UPDATE disk SET bytes = bytes + new.offset - old.offset WHERE kind = 'uploads';
END;

CREATE TRIGGER upload_is_deleted_disk AFTER DELETE ON uploads
BEGIN
    UPDATE disk SET bytes = bytes - old.offset WHERE kind = 'uploads';
END;

-- What the web page lists and plots.
CREATE INDEX jobs_upcoming ON jobs (status, -priority, seq);
CREATE INDEX jobs_paused ON jobs (seq) WHERE paused = 1;

-- What was completed, by hour and preset, since a while; written by the trigger below and by nothing else.
CREATE TABLE hours (
    hour            INTEGER NOT NULL,  -- since the epoch
    preset          TEXT NOT NULL,
    completed       INTEGER NOT NULL DEFAULT 0,
    output_seconds  REAL NOT NULL DEFAULT 0,  -- of those that tell how long they last
    encode_seconds  REAL NOT NULL DEFAULT 0,  -- that the same took, from slot to file
    PRIMARY KEY (hour, preset)
) STRICT, WITHOUT ROWID;

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

-- From version 24 to 25.

-- Jobs, and what is of them, belong to the token that made them: those there are to the daemon's own.
ALTER TABLE jobs ADD COLUMN owner TEXT;
ALTER TABLE jobs ADD COLUMN stored INTEGER NOT NULL DEFAULT 0;
ALTER TABLE variations ADD COLUMN owner TEXT;
ALTER TABLE events ADD COLUMN owner TEXT;
ALTER TABLE outbox ADD COLUMN owner TEXT;
ALTER TABLE uploads ADD COLUMN owner TEXT;
ALTER TABLE sessions ADD COLUMN client TEXT;
ALTER TABLE tombstones ADD COLUMN owner TEXT;

UPDATE jobs SET stored =
    (SELECT coalesce(sum(bytes), 0) FROM sources WHERE sources.job = jobs.seq AND path IS NULL)
    + (SELECT coalesce(sum(bytes), 0) FROM variations
       WHERE variations.job = jobs.seq AND status = 'completed' AND lost_at IS NULL);

DROP INDEX variations_ready;
CREATE INDEX owned_jobs ON jobs (owner, seq) WHERE owner IS NOT NULL;
CREATE INDEX owned_jobs_by_id ON jobs (owner, id) WHERE owner IS NOT NULL;
CREATE INDEX owned_jobs_by_status ON jobs (owner, status, seq) WHERE owner IS NOT NULL;
CREATE INDEX owned_jobs_upcoming ON jobs (owner, status, -priority, seq) WHERE owner IS NOT NULL;
CREATE INDEX owned_jobs_by_title ON jobs (owner, status, title, seq) WHERE owner IS NOT NULL;
CREATE INDEX owned_jobs_by_bytes ON jobs (owner, status, bytes, seq) WHERE owner IS NOT NULL;
CREATE INDEX owned_jobs_failed_by_title ON jobs (owner, title, seq) WHERE owner IS NOT NULL AND failed > 0;
CREATE INDEX owned_jobs_failed_by_bytes ON jobs (owner, bytes, seq) WHERE owner IS NOT NULL AND failed > 0;
CREATE INDEX owned_jobs_with_failures ON jobs (owner, seq) WHERE owner IS NOT NULL AND failed > 0;
CREATE INDEX owned_jobs_paused ON jobs (owner, seq) WHERE owner IS NOT NULL AND paused = 1;
CREATE INDEX owned_jobs_queued ON jobs (owner, queued) WHERE owner IS NOT NULL AND queued > 0;
CREATE INDEX owned_jobs_stored ON jobs (owner, stored) WHERE owner IS NOT NULL;
CREATE INDEX variations_ready ON variations (owner, priority DESC, seq)
    WHERE status = 'queued' AND held = 0 AND not_before IS NULL AND unfetched = 0;
CREATE INDEX events_by_owner ON events (owner, id) WHERE owner IS NOT NULL;
CREATE INDEX outbox_by_owner ON outbox (owner, seq) WHERE owner IS NOT NULL;

CREATE TABLE tokens (
    name              TEXT PRIMARY KEY,
    token_sha256      TEXT NOT NULL UNIQUE,
    rights            TEXT NOT NULL,
    max_queued        INTEGER,
    max_stored_bytes  INTEGER,
    max_encodes       INTEGER,
    max_priority      INTEGER,
    created_at        REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE usage (
    month           TEXT NOT NULL,
    owner           TEXT NOT NULL,
    encodes         INTEGER NOT NULL DEFAULT 0,
    output_seconds  REAL NOT NULL DEFAULT 0,
    output_bytes    INTEGER NOT NULL DEFAULT 0,
    cpu_seconds     REAL NOT NULL DEFAULT 0,
    PRIMARY KEY (month, owner)
) STRICT, WITHOUT ROWID;

INSERT INTO usage (month, owner, encodes, output_seconds, output_bytes, cpu_seconds)
SELECT strftime('%Y-%m', finished_at, 'unixepoch') AS month, '', count(*), total(output_seconds), sum(bytes),
    total(cpu_seconds)
FROM variations WHERE status = 'completed' GROUP BY month;

-- Triggers of one event run in the order they were made: those that come after a new one are made again.
DROP TRIGGER variation_changes_its_job;
DROP TRIGGER variation_tally;
DROP TRIGGER variation_event;
DROP TRIGGER job_deleted_event;
DROP TRIGGER job_end_is_told;
DROP TRIGGER source_is_added_to_its_job;
DROP TRIGGER source_grows_its_job;
DROP TRIGGER source_is_added_disk;
DROP TRIGGER source_grows_disk;
DROP TRIGGER output_is_added_disk;
DROP TRIGGER output_is_lost_disk;
DROP TRIGGER variation_hour;
DROP TRIGGER variation_end_is_told;
DROP TRIGGER delivery_is_added;
DROP TRIGGER delivery_changes_its_job;
DROP TRIGGER job_waits_for_its_deliveries;
DROP TRIGGER delivery_end_is_told;
DROP TRIGGER job_delivery_is_told;
DROP TRIGGER watched_file_has_failed;
DROP TRIGGER watched_file_is_not_replaced;
DROP TRIGGER watched_file_is_finished;
DROP TRIGGER watched_file_has_an_outcome;
DROP TRIGGER source_is_not_wanted;
DROP TRIGGER fetch_event;
DROP TRIGGER job_event;
DROP TRIGGER job_holds_what_is_left;
DROP TRIGGER variation_is_held_again;
DROP TRIGGER output_is_missed;

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
        stored         = stored + iif(new.status = 'completed', new.bytes, 0),
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
    INSERT INTO events (at, type, job, owner, data)
    SELECT (julianday('now') - 2440587.5) * 86400, 'variation', jobs.id, jobs.owner, json_object(
        'job', jobs.id, 'source', sources.id, 'id', new.id, 'status', new.status,
        'attempts', new.attempts, 'bytes', new.bytes, 'error', new.error
    )
    FROM jobs, sources WHERE jobs.seq = new.job AND sources.seq = new.source;
END;

CREATE TRIGGER job_deleted_event BEFORE DELETE ON jobs
BEGIN
    INSERT INTO events (at, type, job, owner, data)
    VALUES ((julianday('now') - 2440587.5) * 86400, 'deleted', old.id, old.owner, json_object('id', old.id));
END;

CREATE TRIGGER job_end_is_told AFTER UPDATE OF finished_at ON jobs
WHEN old.finished_at IS NULL AND new.finished_at IS NOT NULL AND new.webhook_url IS NOT NULL
BEGIN
    INSERT INTO outbox (id, job, owner, type, url, snapshot, status, created_at, since, next_attempt_at)
    SELECT 'msg_' || lower(hex(randomblob(12))), new.id, new.owner, 'job.' || new.status, new.webhook_url, json_object(
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

CREATE TRIGGER source_is_added_to_its_job AFTER INSERT ON sources
BEGIN
    UPDATE jobs SET title = iif(title = '', new.name, title), bytes = bytes + new.bytes,
        stored = stored + iif(new.path IS NULL, new.bytes, 0)
    WHERE seq = new.job;
END;

CREATE TRIGGER source_grows_its_job AFTER UPDATE OF bytes ON sources
BEGIN
    UPDATE jobs SET bytes = bytes + new.bytes - old.bytes,
        stored = stored + iif(new.path IS NULL, new.bytes - old.bytes, 0)
    WHERE seq = new.job;
END;

CREATE TRIGGER source_is_added_disk AFTER INSERT ON sources WHEN new.path IS NULL
BEGIN
    UPDATE disk SET bytes = bytes + new.bytes WHERE kind = 'sources';
END;

CREATE TRIGGER source_grows_disk AFTER UPDATE OF bytes ON sources WHEN new.path IS NULL
BEGIN
    UPDATE disk SET bytes = bytes + new.bytes - old.bytes WHERE kind = 'sources';
END;

CREATE TRIGGER output_is_added_disk AFTER UPDATE OF status ON variations WHEN new.status = 'completed'
BEGIN
    UPDATE disk SET bytes = bytes + new.bytes WHERE kind = 'outputs';
END;

CREATE TRIGGER output_is_lost_disk AFTER UPDATE OF lost_at ON variations
WHEN old.lost_at IS NULL AND new.lost_at IS NOT NULL
BEGIN
    UPDATE disk SET bytes = bytes - old.bytes WHERE kind = 'outputs';
    UPDATE jobs SET stored = stored - old.bytes WHERE seq = old.job;
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

CREATE TRIGGER variation_is_used AFTER UPDATE OF status ON variations WHEN new.status = 'completed'
BEGIN
    INSERT INTO usage (month, owner, encodes, output_seconds, output_bytes, cpu_seconds)
    VALUES (
        strftime('%Y-%m', new.finished_at, 'unixepoch'), coalesce(new.owner, ''), 1,
        coalesce(new.output_seconds, 0), new.bytes, coalesce(new.cpu_seconds, 0)
    )
    ON CONFLICT DO UPDATE SET
        encodes = encodes + 1,
        output_seconds = output_seconds + excluded.output_seconds,
        output_bytes = output_bytes + excluded.output_bytes,
        cpu_seconds = cpu_seconds + excluded.cpu_seconds;
END;

CREATE TRIGGER variation_end_is_told AFTER UPDATE OF status ON variations
WHEN new.status IN ('completed', 'failed', 'cancelled', 'skipped')
BEGIN
    INSERT INTO outbox (id, job, owner, type, url, snapshot, status, created_at, since, next_attempt_at)
    SELECT 'msg_' || lower(hex(randomblob(12))), jobs.id, jobs.owner, 'variation.' || new.status, jobs.webhook_url, json_object(
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

CREATE TRIGGER delivery_is_added AFTER INSERT ON deliveries
BEGIN
    UPDATE jobs SET undelivered = undelivered + 1, expires_at = NULL
    WHERE seq = (SELECT job FROM variations WHERE seq = new.variation);
    INSERT INTO events (at, type, job, owner, data)
    SELECT (julianday('now') - 2440587.5) * 86400, 'delivery', jobs.id, jobs.owner, json_object(
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
    INSERT INTO events (at, type, job, owner, data)
    SELECT (julianday('now') - 2440587.5) * 86400, 'delivery', jobs.id, jobs.owner, json_object(
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
    INSERT INTO outbox (id, job, owner, type, url, snapshot, status, created_at, since, next_attempt_at)
    SELECT 'msg_' || lower(hex(randomblob(12))), jobs.id, jobs.owner,
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

CREATE TRIGGER job_delivery_is_told AFTER UPDATE OF undelivered, finished_at ON jobs
WHEN new.webhook_url IS NOT NULL AND new.undelivered = 0 AND new.finished_at IS NOT NULL
    AND new.delivered + new.not_delivered > 0 AND (old.undelivered > 0 OR old.finished_at IS NULL)
BEGIN
    INSERT INTO outbox (id, job, owner, type, url, snapshot, status, created_at, since, next_attempt_at)
    SELECT 'msg_' || lower(hex(randomblob(12))), new.id, new.owner,
        iif(new.not_delivered, 'job.undelivered', 'job.delivered'), new.webhook_url, json_object(
        'id', new.id, 'name', new.name, 'status', new.status, 'metadata', new.metadata,
        'delivered', new.delivered, 'not_delivered', new.not_delivered
    ), iif(gone, 'disabled', 'pending'), at, at, iif(gone, NULL, at)
    FROM (SELECT EXISTS (SELECT 1 FROM outbox WHERE job = new.id AND status = 'disabled') AS gone,
        (julianday('now') - 2440587.5) * 86400 AS at);
END;

CREATE TRIGGER watched_file_has_failed AFTER UPDATE OF status ON variations
WHEN old.status <> new.status AND new.status = 'failed'
BEGIN
    UPDATE watched_files SET said = new.error WHERE job = (SELECT id FROM jobs WHERE seq = new.job);
END;

CREATE TRIGGER watched_file_is_not_replaced AFTER UPDATE OF status ON deliveries
WHEN old.status <> new.status AND new.status = 'failed' AND new.place LIKE 'original:%'
BEGIN
    UPDATE watched_files SET outcome = 'not replaced', said = new.error WHERE job = (
        SELECT jobs.id FROM variations JOIN jobs ON jobs.seq = variations.job WHERE variations.seq = new.variation
    );
END;

CREATE TRIGGER watched_file_is_finished AFTER UPDATE OF delivered ON jobs
WHEN new.delivered = new.total AND new.undelivered = 0 AND new.delivered > old.delivered
BEGIN
    UPDATE watched_files SET finished = 1 WHERE job = new.id AND fate IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM variations JOIN deliveries ON deliveries.variation = variations.seq
        WHERE variations.job = new.seq AND deliveries.kept = 1
    );
END;

CREATE TRIGGER watched_file_has_an_outcome AFTER UPDATE ON jobs WHEN old.status <> new.status
BEGIN
    UPDATE watched_files SET outcome = new.status, said = iif(new.status IN ('queued', 'processing'), NULL, said)
    WHERE job = new.id;
END;

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
    INSERT INTO events (at, type, job, owner, data)
    SELECT (julianday('now') - 2440587.5) * 86400, 'source', jobs.id, jobs.owner, json_object(
        'job', jobs.id, 'id', sources.id, 'status', iif(new.status = 'pending', 'fetching', new.status),
        'bytes', coalesce(new.length, sources.bytes), 'bytes_fetched', sources.bytes, 'error', new.error
    )
    FROM sources JOIN jobs ON jobs.seq = sources.job WHERE sources.seq = new.source;
END;

CREATE TRIGGER job_event AFTER UPDATE ON jobs
WHEN old.status <> new.status OR old.paused <> new.paused OR old.priority <> new.priority
    OR old.name IS NOT new.name OR old.keep_until IS NOT new.keep_until
    OR old.scheduled <> new.scheduled OR old.overruled <> new.overruled OR old.lost <> new.lost
BEGIN
    INSERT INTO events (at, type, job, owner, data)
    VALUES ((julianday('now') - 2440587.5) * 86400, 'job', new.id, new.owner, json_object(
        'id', new.id, 'status', new.status, 'paused', json(iif(new.paused, 'true', 'false')),
        'priority', new.priority, 'name', new.name
    ));
END;

CREATE TRIGGER job_holds_what_is_left AFTER UPDATE OF paused, scheduled, overruled ON jobs
BEGIN
    UPDATE variations SET held = new.paused
        OR (NOT new.overruled AND (new.scheduled = 'paused' OR (new.scheduled = 'draining' AND status = 'queued')))
    WHERE job = new.seq AND status IN ('queued', 'processing');
END;

CREATE TRIGGER variation_is_held_again AFTER UPDATE OF status ON variations WHEN new.status = 'queued'
BEGIN
    UPDATE variations SET held = (
        SELECT paused OR (NOT overruled AND scheduled <> 'running') FROM jobs WHERE jobs.seq = new.job
    ) WHERE seq = new.seq;
END;

CREATE TRIGGER output_is_missed AFTER UPDATE OF lost_at ON variations
WHEN old.lost_at IS NULL AND new.lost_at IS NOT NULL AND NOT new.dropped
BEGIN
    UPDATE jobs SET lost = lost + 1 WHERE seq = new.job;
END;

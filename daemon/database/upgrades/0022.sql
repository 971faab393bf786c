-- From version 21 to 22.

-- Jobs know the watched folder they are of, and keep to its schedule.
ALTER TABLE jobs ADD COLUMN folder TEXT;
ALTER TABLE jobs ADD COLUMN scheduled TEXT NOT NULL DEFAULT 'running'
    CHECK (scheduled IN ('running', 'paused', 'draining'));
ALTER TABLE jobs ADD COLUMN overruled INTEGER NOT NULL DEFAULT 0 CHECK (overruled IN (0, 1));

UPDATE jobs SET folder = watched_files.folder FROM watched_files WHERE watched_files.job = jobs.id;

CREATE INDEX jobs_of_folders ON jobs (folder) WHERE folder IS NOT NULL AND queued + processing > 0;

-- Watched folders whose jobs run though their schedule does not let them.
CREATE TABLE overruled_folders (
    folder TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

DROP TRIGGER job_event;
CREATE TRIGGER job_event AFTER UPDATE ON jobs
WHEN old.status <> new.status OR old.paused <> new.paused OR old.priority <> new.priority
    OR old.name IS NOT new.name OR old.keep_until IS NOT new.keep_until
    OR old.scheduled <> new.scheduled OR old.overruled <> new.overruled
BEGIN
    INSERT INTO events (at, type, job, data)
    VALUES ((julianday('now') - 2440587.5) * 86400, 'job', new.id, json_object(
        'id', new.id, 'status', new.status, 'paused', json(iif(new.paused, 'true', 'false')),
        'priority', new.priority, 'name', new.name
    ));
END;

-- What is paused does not start, nor what its folder's schedule keeps; a schedule that drains has what runs go on.
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

-- From version 31 to 32.

-- What is lost is counted without reading every job.
CREATE INDEX jobs_with_losses ON jobs (seq) WHERE lost > 0;
CREATE INDEX owned_jobs_with_losses ON jobs (owner, seq) WHERE owner IS NOT NULL AND lost > 0;

-- A new job was nothing before; without variations its state reads as failed.
DROP TRIGGER job_event;
CREATE TRIGGER job_event AFTER UPDATE ON jobs
WHEN old.status <> new.status OR old.paused <> new.paused OR old.priority <> new.priority
    OR old.name IS NOT new.name OR old.keep_until IS NOT new.keep_until
    OR old.scheduled <> new.scheduled OR old.overruled <> new.overruled OR old.lost <> new.lost
BEGIN
    INSERT INTO events (at, type, job, owner, data)
    VALUES ((julianday('now') - 2440587.5) * 86400, 'job', new.id, new.owner, json_object(
        'id', new.id, 'status', new.status, 'was', iif(old.total, old.status, NULL), 'paused', json(iif(new.paused, 'true', 'false')),
        'priority', new.priority, 'name', new.name
    ));
END;

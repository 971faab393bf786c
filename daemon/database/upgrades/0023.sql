-- From version 22 to 23.

-- Jobs count what they had made and is gone from the disk.
ALTER TABLE jobs ADD COLUMN lost INTEGER NOT NULL DEFAULT 0 CHECK (lost >= 0);

-- The second of them is made anew to fire behind the first, as in a new database.
DROP TRIGGER job_event;
DROP TRIGGER job_holds_what_is_left;
CREATE TRIGGER job_event AFTER UPDATE ON jobs
WHEN old.status <> new.status OR old.paused <> new.paused OR old.priority <> new.priority
    OR old.name IS NOT new.name OR old.keep_until IS NOT new.keep_until
    OR old.scheduled <> new.scheduled OR old.overruled <> new.overruled OR old.lost <> new.lost
BEGIN
    INSERT INTO events (at, type, job, data)
    VALUES ((julianday('now') - 2440587.5) * 86400, 'job', new.id, json_object(
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

-- A file that was brought to its place and dropped, as was asked, is not missed.
CREATE TRIGGER output_is_missed AFTER UPDATE OF lost_at ON variations
WHEN old.lost_at IS NULL AND new.lost_at IS NOT NULL AND NOT new.dropped
BEGIN
    UPDATE jobs SET lost = lost + 1 WHERE seq = new.job;
END;

UPDATE jobs SET lost = (
    SELECT count(*) FROM variations
    WHERE variations.job = jobs.seq AND status = 'completed' AND lost_at IS NOT NULL AND NOT dropped
) WHERE completed > 0;

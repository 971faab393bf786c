-- From version 29 to 30.

-- Of a watched folder's file it is told that what was made of it was not delivered.
DROP TRIGGER watched_file_has_an_outcome;
CREATE TRIGGER watched_file_has_an_outcome AFTER UPDATE ON jobs
WHEN old.status <> new.status OR old.not_delivered <> new.not_delivered
BEGIN
    UPDATE watched_files SET outcome = new.status, said = iif(new.status IN ('queued', 'processing'), NULL, said)
    WHERE job = new.id AND old.status <> new.status;
    UPDATE watched_files SET
        outcome = iif(new.not_delivered, 'not delivered', new.status),
        said = iif(new.not_delivered, new.not_delivered || ' of ' || new.completed || ' not delivered: ' || (
            SELECT deliveries.error FROM variations JOIN deliveries ON deliveries.variation = variations.seq
            WHERE variations.job = new.seq AND deliveries.status = 'failed' LIMIT 1
        ), NULL)
    WHERE job = new.id AND new.status = 'completed'
        AND (outcome = 'not delivered' OR (outcome = 'completed' AND new.not_delivered));
END;

UPDATE watched_files SET outcome = 'not delivered', said = jobs.not_delivered || ' of ' || jobs.completed
    || ' not delivered: ' || (
        SELECT deliveries.error FROM variations JOIN deliveries ON deliveries.variation = variations.seq
        WHERE variations.job = jobs.seq AND deliveries.status = 'failed' LIMIT 1
    )
FROM jobs WHERE jobs.id = watched_files.job AND jobs.not_delivered AND watched_files.outcome = 'completed';

-- An event of a job tells whether its state changed, or something else of it.
DROP TRIGGER job_event;
CREATE TRIGGER job_event AFTER UPDATE ON jobs
WHEN old.status <> new.status OR old.paused <> new.paused OR old.priority <> new.priority
    OR old.name IS NOT new.name OR old.keep_until IS NOT new.keep_until
    OR old.scheduled <> new.scheduled OR old.overruled <> new.overruled OR old.lost <> new.lost
BEGIN
    INSERT INTO events (at, type, job, owner, data)
    VALUES ((julianday('now') - 2440587.5) * 86400, 'job', new.id, new.owner, json_object(
        'id', new.id, 'status', new.status, 'was', old.status, 'paused', json(iif(new.paused, 'true', 'false')),
        'priority', new.priority, 'name', new.name
    ));
END;

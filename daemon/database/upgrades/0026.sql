-- From version 25 to 26.

-- Jobs and variations are counted by owner.
CREATE TABLE owned_tally (
    owner       TEXT NOT NULL,
    status      TEXT NOT NULL,
    jobs        INTEGER NOT NULL DEFAULT 0,
    variations  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (owner, status)
) STRICT, WITHOUT ROWID;

INSERT INTO owned_tally (owner, status, jobs, variations)
SELECT owner, column1, sum(jobs.status = column1), sum(CASE column1
    WHEN 'queued' THEN queued
    WHEN 'processing' THEN processing
    WHEN 'completed' THEN completed
    WHEN 'failed' THEN failed
    WHEN 'skipped' THEN skipped
    ELSE cancelled
END)
FROM jobs CROSS JOIN (VALUES ('queued'), ('processing'), ('completed'), ('failed'), ('cancelled'), ('skipped'))
WHERE owner IS NOT NULL GROUP BY owner, column1;

CREATE TRIGGER owned_job_is_added AFTER INSERT ON jobs WHEN new.owner IS NOT NULL
BEGIN
    INSERT INTO owned_tally (owner, status, jobs) VALUES (new.owner, new.status, 1)
    ON CONFLICT DO UPDATE SET jobs = jobs + 1;
END;

CREATE TRIGGER owned_job_changes AFTER UPDATE OF queued, processing, completed, failed, cancelled, skipped ON jobs
WHEN new.owner IS NOT NULL
BEGIN
    INSERT INTO owned_tally (owner, status, jobs, variations)
    SELECT new.owner, column1, (new.status = column1) - (old.status = column1), column2 FROM (VALUES
        ('queued', new.queued - old.queued), ('processing', new.processing - old.processing),
        ('completed', new.completed - old.completed), ('failed', new.failed - old.failed),
        ('cancelled', new.cancelled - old.cancelled), ('skipped', new.skipped - old.skipped)
    ) WHERE column2 <> 0 OR (new.status <> old.status AND column1 IN (new.status, old.status))
    ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs, variations = variations + excluded.variations;
END;

CREATE TRIGGER owned_job_is_deleted BEFORE DELETE ON jobs WHEN old.owner IS NOT NULL
BEGIN
    UPDATE owned_tally SET jobs = jobs - (status = old.status), variations = variations - CASE status
        WHEN 'queued' THEN old.queued
        WHEN 'processing' THEN old.processing
        WHEN 'completed' THEN old.completed
        WHEN 'failed' THEN old.failed
        WHEN 'skipped' THEN old.skipped
        ELSE old.cancelled
    END
    WHERE owner = old.owner;
END;

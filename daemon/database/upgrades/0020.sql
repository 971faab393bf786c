-- From version 19 to 20.

-- What a schedule has the queue do, and whether somebody overruled it until it next lets the queue run by itself.
ALTER TABLE queue ADD COLUMN
    scheduled TEXT NOT NULL DEFAULT 'running' CHECK (scheduled IN ('running', 'paused', 'draining'));
ALTER TABLE queue ADD COLUMN overruled INTEGER NOT NULL DEFAULT 0 CHECK (overruled IN (0, 1));

DROP TRIGGER queue_event;
CREATE TRIGGER queue_event AFTER UPDATE ON queue
WHEN old.state <> new.state OR old.slots IS NOT new.slots OR old.scheduled <> new.scheduled
    OR old.overruled <> new.overruled
BEGIN
    INSERT INTO events (at, type, job, data)
    VALUES (
        (julianday('now') - 2440587.5) * 86400, 'queue', NULL,
        json_object('state', iif(new.state <> 'running' OR new.overruled, new.state, new.scheduled))
    );
END;

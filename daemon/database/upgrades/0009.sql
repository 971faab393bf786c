-- From version 8 to 9.

-- How many encodes run at once may be changed while the daemon works.
ALTER TABLE queue ADD COLUMN slots INTEGER CHECK (slots >= 1);

DROP TRIGGER queue_event;

CREATE TRIGGER queue_event AFTER UPDATE ON queue WHEN old.state <> new.state OR old.slots IS NOT new.slots
BEGIN
    INSERT INTO events (at, type, job, data)
    VALUES ((julianday('now') - 2440587.5) * 86400, 'queue', NULL, json_object('state', new.state));
END;

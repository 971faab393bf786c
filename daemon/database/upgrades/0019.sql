-- From version 18 to 19.

-- What is to become of files of watched folders once all that was made of them is delivered.
ALTER TABLE watched_files ADD COLUMN fate TEXT CHECK (fate IN ('move', 'delete'));
ALTER TABLE watched_files ADD COLUMN finished INTEGER NOT NULL DEFAULT 0 CHECK (finished IN (0, 1));

CREATE INDEX watched_files_to_go ON watched_files (folder) WHERE fate IS NOT NULL AND finished = 1;

-- What was there already and was left is no result of ours: then the source stays.
CREATE TRIGGER watched_file_is_finished AFTER UPDATE OF delivered ON jobs
WHEN new.delivered = new.total AND new.undelivered = 0 AND new.delivered > old.delivered
BEGIN
    UPDATE watched_files SET finished = 1 WHERE job = new.id AND fate IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM variations JOIN deliveries ON deliveries.variation = variations.seq
        WHERE variations.job = new.seq AND deliveries.kept = 1
    );
END;

-- What was said of an attempt before is not true of the next.
DROP TRIGGER watched_file_has_an_outcome;

CREATE TRIGGER watched_file_has_an_outcome AFTER UPDATE ON jobs WHEN old.status <> new.status
BEGIN
    UPDATE watched_files SET outcome = new.status, said = iif(new.status IN ('queued', 'processing'), NULL, said)
    WHERE job = new.id;
END;

-- From version 34 to 35.

-- A source does not go for a result that nobody saw in its place.
ALTER TABLE deliveries ADD COLUMN unseen INTEGER NOT NULL DEFAULT 0 CHECK (unseen IN (0, 1));
DROP TRIGGER watched_file_is_finished;
CREATE TRIGGER watched_file_is_finished AFTER UPDATE OF delivered ON jobs
WHEN new.delivered = new.total AND new.undelivered = 0 AND new.delivered > old.delivered
BEGIN
    UPDATE watched_files SET finished = 1 WHERE job = new.id AND fate IS NOT NULL;
    UPDATE watched_files SET finished = 0, said = (
        SELECT 'it stays, for a result is not there: ' || iif(deliveries.kept,
            'something else has its name, and was left', 'it was taken away before it was seen in its place')
        FROM variations JOIN deliveries ON deliveries.variation = variations.seq
        WHERE variations.job = new.seq AND (deliveries.kept = 1 OR deliveries.unseen = 1) LIMIT 1
    ) WHERE job = new.id AND fate IS NOT NULL AND EXISTS (
        SELECT 1 FROM variations JOIN deliveries ON deliveries.variation = variations.seq
        WHERE variations.job = new.seq AND (deliveries.kept = 1 OR deliveries.unseen = 1)
    );
END;

-- What was delivered is known under another name, too, and no other that was to lie there is taken for it.
ALTER TABLE brought RENAME TO brought_before;
CREATE TABLE brought (
    place    TEXT NOT NULL,
    path     TEXT NOT NULL,
    bytes    INTEGER NOT NULL,
    inode    INTEGER,
    modified INTEGER,
    PRIMARY KEY (place, path, bytes)
) STRICT, WITHOUT ROWID;
INSERT INTO brought (place, path, bytes) SELECT place, path, bytes FROM brought_before;
DROP TABLE brought_before;
CREATE INDEX brought_files ON brought (inode, bytes, modified) WHERE inode IS NOT NULL;

-- From version 37 to 38.

-- What nobody saw in its place was not delivered, as far as is known, and may be once more.
UPDATE deliveries SET status = 'failed', error = 'it was taken away before it was seen there: a retry brings it once more'
WHERE unseen = 1 AND status = 'delivered';
DROP TRIGGER watched_file_is_finished;
ALTER TABLE deliveries DROP COLUMN unseen;
CREATE TRIGGER watched_file_is_finished AFTER UPDATE OF delivered ON jobs
WHEN new.delivered = new.total AND new.undelivered = 0 AND new.delivered > old.delivered
BEGIN
    UPDATE watched_files SET finished = 1 WHERE job = new.id AND fate IS NOT NULL;
    UPDATE watched_files SET
        finished = 0, said = 'it stays, for a result is not there: something else has its name, and was left'
    WHERE job = new.id AND fate IS NOT NULL AND EXISTS (
        SELECT 1 FROM variations JOIN deliveries ON deliveries.variation = variations.seq
        WHERE variations.job = new.seq AND deliveries.kept = 1
    );
END;

-- Results are known by what they are before they are there, and folders of files under another name, too.
DROP INDEX brought_files;
CREATE TABLE brought_files (
    inode    INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    name     TEXT NOT NULL,
    folder   INTEGER,
    PRIMARY KEY (inode, bytes, modified)
) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO brought_files (inode, bytes, modified, name)
SELECT inode, bytes, modified, path FROM brought WHERE inode IS NOT NULL AND modified IS NOT NULL;
ALTER TABLE brought DROP COLUMN inode;
ALTER TABLE brought DROP COLUMN modified;
CREATE INDEX brought_folders ON brought_files (folder) WHERE folder IS NOT NULL;

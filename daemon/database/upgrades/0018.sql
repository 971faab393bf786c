-- From version 17 to 18.

-- What became of files of watched folders tells why, too.
ALTER TABLE watched_files ADD COLUMN said TEXT;

-- Originals that outputs took the place of: where in the trash they are, for as long as they are kept there. What is
-- about to be done to the two is written here before it is begun.
CREATE TABLE replacements (
    id              TEXT PRIMARY KEY,  -- its delivery's, by which files that are on their way are called
    job             TEXT NOT NULL,
    folder          TEXT NOT NULL,     -- the watched folder's name
    name            TEXT NOT NULL,     -- the original's path within that
    taken_by        TEXT NOT NULL,     -- the path of what took its place
    aside           TEXT NOT NULL,     -- the original's name in the trash
    wanted          TEXT NOT NULL,     -- its variation's `deliver`
    original_bytes  INTEGER NOT NULL,
    bytes           INTEGER NOT NULL,
    step            TEXT NOT NULL CHECK (step IN ('done', 'undoing', 'undone', 'emptying', 'emptied')),
    replaced_at     REAL NOT NULL,
    keep_until      REAL NOT NULL      -- the original, in the trash
) STRICT, WITHOUT ROWID;

CREATE INDEX replacements_by_folder ON replacements (folder);
CREATE INDEX replacements_kept ON replacements (keep_until) WHERE step = 'done';
CREATE INDEX replacements_under_way ON replacements (step) WHERE step IN ('undoing', 'emptying');

-- An original that may be in the trash is put back by what was noted.
DROP TRIGGER variation_to_be_delivered_is_deleted;

CREATE TRIGGER variation_to_be_delivered_is_deleted BEFORE DELETE ON variations WHEN old.deliver IS NOT NULL
BEGIN
    UPDATE deliveries SET variation = NULL, status = iif(status = 'delivered', status, 'failed'),
        landing = iif(place LIKE 'original:%', landing, NULL),
        failures = 0, since = (julianday('now') - 2440587.5) * 86400,
        next_attempt_at = (julianday('now') - 2440587.5) * 86400
    WHERE variation = old.seq AND part = 1;
END;

CREATE TRIGGER watched_file_has_failed AFTER UPDATE OF status ON variations
WHEN old.status <> new.status AND new.status = 'failed'
BEGIN
    UPDATE watched_files SET said = new.error WHERE job = (SELECT id FROM jobs WHERE seq = new.job);
END;

CREATE TRIGGER watched_file_is_not_replaced AFTER UPDATE OF status ON deliveries
WHEN old.status <> new.status AND new.status = 'failed' AND new.place LIKE 'original:%'
BEGIN
    UPDATE watched_files SET outcome = 'not replaced', said = new.error WHERE job = (
        SELECT jobs.id FROM variations JOIN jobs ON jobs.seq = variations.job WHERE variations.seq = new.variation
    );
END;

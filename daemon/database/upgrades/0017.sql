-- From version 16 to 17.

-- What became of the files of watched folders, and which folders are paused.
ALTER TABLE watched_files ADD COLUMN outcome TEXT;

UPDATE watched_files SET outcome = (SELECT status FROM jobs WHERE jobs.id = watched_files.job) WHERE job IS NOT NULL;

CREATE INDEX watched_files_by_job ON watched_files (job) WHERE job IS NOT NULL;

CREATE TABLE paused_folders (
    folder TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TRIGGER watched_file_has_an_outcome AFTER UPDATE ON jobs WHEN old.status <> new.status
BEGIN
    UPDATE watched_files SET outcome = new.status WHERE job = new.id;
END;

-- From version 10 to 11.

-- What lists are ordered by: a job's name or its first source's, and the bytes of its sources.
ALTER TABLE jobs ADD COLUMN title TEXT NOT NULL DEFAULT '' COLLATE NOCASE;
ALTER TABLE jobs ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;

UPDATE jobs SET
    title = coalesce(name, (SELECT name FROM sources WHERE job = jobs.seq ORDER BY seq LIMIT 1), ''),
    bytes = (SELECT coalesce(sum(bytes), 0) FROM sources WHERE job = jobs.seq);

CREATE INDEX jobs_by_title ON jobs (status, title, seq);
CREATE INDEX jobs_by_bytes ON jobs (status, bytes, seq);
CREATE INDEX jobs_failed_by_title ON jobs (title, seq) WHERE failed > 0;
CREATE INDEX jobs_failed_by_bytes ON jobs (bytes, seq) WHERE failed > 0;

-- Of one event the triggers are in the order they have in a new database.
DROP TRIGGER source_is_added_disk;

CREATE TRIGGER source_is_added_to_its_job AFTER INSERT ON sources
BEGIN
    UPDATE jobs SET title = iif(title = '', new.name, title), bytes = bytes + new.bytes WHERE seq = new.job;
END;

CREATE TRIGGER source_grows_its_job AFTER UPDATE OF bytes ON sources
BEGIN
    UPDATE jobs SET bytes = bytes + new.bytes - old.bytes WHERE seq = new.job;
END;

CREATE TRIGGER source_is_added_disk AFTER INSERT ON sources WHEN new.path IS NULL
BEGIN
    UPDATE disk SET bytes = bytes + new.bytes WHERE kind = 'sources';
END;

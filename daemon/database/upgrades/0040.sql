-- From version 39 to 40.

-- What tools wrote tags to is known by what it plays.
ALTER TABLE brought ADD COLUMN seconds REAL;
ALTER TABLE brought ADD COLUMN codec TEXT;

-- Watched folders as they were when their files were known last: one that is called otherwise by now is the same.
CREATE TABLE known_folders (
    name  TEXT PRIMARY KEY,
    place TEXT NOT NULL,
    made  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- By which a result is known that would take the place of what it was made of.
ALTER TABLE fetches ADD COLUMN address TEXT;

-- From version 33 to 34.

-- What failed because its share was away is tried again once that is back.
ALTER TABLE watched_files ADD COLUMN away INTEGER NOT NULL DEFAULT 0 CHECK (away IN (0, 1));
ALTER TABLE watched_files ADD COLUMN returns INTEGER NOT NULL DEFAULT 0;

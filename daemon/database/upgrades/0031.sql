-- From version 30 to 31.

-- Files that are to go, and outputs that took an original's place, are known from what another disk has there.
ALTER TABLE watched_files ADD COLUMN disk TEXT;
ALTER TABLE replacements ADD COLUMN sha256 TEXT;

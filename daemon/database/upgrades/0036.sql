-- From version 35 to 36.

-- Originals stay in the trash for days that were seen to pass; those that are there already, for one at least.
ALTER TABLE replacements ADD COLUMN keep_seen REAL NOT NULL DEFAULT 86400;
CREATE TABLE seen_time (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    seconds REAL NOT NULL,
    boot    TEXT NOT NULL,     -- in which that was written
    uptime  REAL NOT NULL      -- seconds since then, when it was
) STRICT;
INSERT INTO seen_time (one, seconds, boot, uptime) VALUES (1, 0, '', 0);

-- From version 26 to 27.

-- Pieces are known by a checksum of what is encoded in them.
ALTER TABLE pieces ADD COLUMN checksum INTEGER DEFAULT 0;
UPDATE pieces SET checksum = NULL;

-- Those of films that failed for what may pass are kept for a retry.
ALTER TABLE variations ADD COLUMN stuck_at REAL;

-- From version 7 to 8.

-- What is encoded of films that may be gone on with.
CREATE TABLE pieces (
    variation   INTEGER NOT NULL REFERENCES variations (seq) ON DELETE CASCADE,
    attempt     INTEGER NOT NULL,
    begins      REAL NOT NULL,
    begun_with  TEXT NOT NULL,
    seconds     REAL NOT NULL DEFAULT 0,
    bytes       INTEGER NOT NULL DEFAULT 0,
    boot        TEXT,
    PRIMARY KEY (variation, attempt)
) STRICT, WITHOUT ROWID;

ALTER TABLE variations ADD COLUMN resumed_seconds REAL;
ALTER TABLE variations ADD COLUMN in_pieces INTEGER NOT NULL DEFAULT 1 CHECK (in_pieces IN (0, 1));
ALTER TABLE variations ADD COLUMN keep_partial INTEGER NOT NULL DEFAULT 0 CHECK (keep_partial IN (0, 1));

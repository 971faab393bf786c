-- From version 32 to 33.

-- A film may be encoded in several spans at once, each of which has pieces of its own.
ALTER TABLE pieces RENAME TO pieces_before;
CREATE TABLE pieces (
    variation   INTEGER NOT NULL REFERENCES variations (seq) ON DELETE CASCADE,
    span        INTEGER NOT NULL DEFAULT 0,  -- number of the part of the film that it is of, which is encoded by itself
    attempt     INTEGER NOT NULL,
    begins      REAL NOT NULL,  -- seconds of the film at which it begins
    begun_with  TEXT NOT NULL,  -- a hash of all that decides about its bytes
    seconds     REAL NOT NULL DEFAULT 0,
    bytes       INTEGER NOT NULL DEFAULT 0,
    boot        TEXT,           -- of the host, in which it was written; after another one only those bytes count
    cpu_seconds REAL NOT NULL DEFAULT 0,  -- that its attempt took, where that ended in order
    checksum    INTEGER DEFAULT 0,  -- of what is encoded in them; NULL: it was not told
    whole       INTEGER NOT NULL DEFAULT 0 CHECK (whole IN (0, 1)),  -- it ends where its span does
    PRIMARY KEY (variation, span, attempt)
) STRICT, WITHOUT ROWID;
INSERT INTO pieces (variation, attempt, begins, begun_with, seconds, bytes, boot, cpu_seconds, checksum)
SELECT variation, attempt, begins, begun_with, seconds, bytes, boot, cpu_seconds, checksum FROM pieces_before;
DROP TABLE pieces_before;

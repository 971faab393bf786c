-- From version 38 to 39.

-- An attempt may write several pieces of one span, and a film goes on in spans as long as it was begun in.
ALTER TABLE pieces RENAME TO pieces_before;
CREATE TABLE pieces (
    variation   INTEGER NOT NULL REFERENCES variations (seq) ON DELETE CASCADE,
    span        INTEGER NOT NULL DEFAULT 0,  -- number of the part of the film that it is of, which is encoded by itself
    number      INTEGER NOT NULL,  -- among the pieces of its span, in the order in which they were begun
    attempt     INTEGER NOT NULL,  -- that wrote it
    begins      REAL NOT NULL,  -- seconds of the film at which it begins
    begun_with  TEXT NOT NULL,  -- a hash of all that decides about its bytes
    seconds     REAL NOT NULL DEFAULT 0,
    bytes       INTEGER NOT NULL DEFAULT 0,
    boot        TEXT,           -- of the host, in which it was written; after another one only those bytes count
    cpu_seconds REAL NOT NULL DEFAULT 0,  -- that its attempt took, where that ended in order
    checksum    INTEGER DEFAULT 0,  -- of what is encoded in them; NULL: it was not told
    whole       INTEGER NOT NULL DEFAULT 0 CHECK (whole IN (0, 1)),  -- it ends where its span does
    sound_bytes INTEGER NOT NULL DEFAULT 0,  -- of the film's sound, which lies beside it
    PRIMARY KEY (variation, span, number)
) STRICT, WITHOUT ROWID;
INSERT INTO pieces (variation, span, number, attempt, begins, begun_with, seconds, bytes, boot, cpu_seconds, checksum, whole)
SELECT variation, span, attempt, attempt, begins, begun_with, seconds, bytes, boot, cpu_seconds, checksum, whole
FROM pieces_before;
DROP TABLE pieces_before;
ALTER TABLE variations ADD COLUMN span_seconds REAL;

-- From version 14 to 15.

-- Files of watched folders that were taken or refused: each once, as long as it is the same and the same is made of it.
CREATE TABLE watched_files (
    folder    TEXT NOT NULL,
    recipe    TEXT NOT NULL,  -- a hash of what is made of it, and where that is brought
    inode     INTEGER NOT NULL,
    bytes     INTEGER NOT NULL,
    modified  INTEGER NOT NULL,  -- nanoseconds since the epoch
    name      TEXT NOT NULL,
    job       TEXT,           -- NULL: it was refused
    error     TEXT,           -- why
    taken_at  REAL NOT NULL,
    PRIMARY KEY (folder, recipe, inode, bytes, modified)
) STRICT, WITHOUT ROWID;

-- From version 15 to 16.

-- What was delivered and where it lay then: a watched folder does not take it, long after its job is forgotten.
CREATE TABLE brought (
    place  TEXT NOT NULL,     -- as of its delivery
    path   TEXT NOT NULL,     -- below that
    bytes  INTEGER NOT NULL,
    PRIMARY KEY (place, path)
) STRICT, WITHOUT ROWID;

INSERT OR IGNORE INTO brought (place, path, bytes)
SELECT deliveries.place, deliveries.reached, variations.bytes
FROM deliveries JOIN variations ON variations.seq = deliveries.variation
WHERE deliveries.status = 'delivered' AND deliveries.kept = 0 AND deliveries.reached IS NOT NULL
    AND variations.bytes IS NOT NULL;

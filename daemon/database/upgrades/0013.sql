-- From version 12 to 13.

ALTER TABLE variations ADD COLUMN begun_anew TEXT;
ALTER TABLE pieces ADD COLUMN cpu_seconds REAL NOT NULL DEFAULT 0;

-- From version 28 to 29.

-- Which machine of a cluster encoded it.
ALTER TABLE variations ADD COLUMN machine TEXT;

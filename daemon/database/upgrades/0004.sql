-- From version 3 to 4.

-- Which file a source was when its job was made, so that another in its place is told from it.
ALTER TABLE sources ADD COLUMN device INTEGER;
ALTER TABLE sources ADD COLUMN inode INTEGER;
ALTER TABLE sources ADD COLUMN modified INTEGER;
ALTER TABLE sources ADD COLUMN boot TEXT;

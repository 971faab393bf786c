-- From version 40 to 41.

-- A host that was started anew meanwhile is nobody's fault, also where no process had been told of.
ALTER TABLE attempts ADD COLUMN boot TEXT;

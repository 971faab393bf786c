-- From version 11 to 12.

-- What is found in an upload before a job takes it.
ALTER TABLE uploads ADD COLUMN media TEXT;
ALTER TABLE uploads ADD COLUMN unreadable TEXT;

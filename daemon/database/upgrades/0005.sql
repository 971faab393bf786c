-- From version 4 to 5.

-- By what a process is found again after a crash, only the engine that started it knows.
ALTER TABLE attempts ADD COLUMN handle TEXT;
UPDATE attempts SET handle = json_object('boot', boot, 'pid', pid, 'created', pid_created)
WHERE pid IS NOT NULL AND pid_created IS NOT NULL AND ended_at IS NULL;
ALTER TABLE attempts DROP COLUMN boot;
ALTER TABLE attempts DROP COLUMN pid;
ALTER TABLE attempts DROP COLUMN pid_created;

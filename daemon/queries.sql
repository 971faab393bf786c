-- Every statement ffspool runs, by name. Parameters are named; `:now` is always seconds since the epoch.

-- Jobs

-- name: insert_job
INSERT INTO jobs (id, name, priority, metadata, created_at, expires_in)
VALUES (:id, :name, :priority, :metadata, :now, :expires_in)
RETURNING seq

-- name: insert_source
INSERT INTO sources (id, job, name, folder, path, bytes)
VALUES (:id, :job, :name, :folder, :path, :bytes)
RETURNING seq

-- name: insert_variation
INSERT INTO variations (id, job, source, name, preset, parameters, extension, priority)
VALUES (:id, :job, :source, :name, :preset, :parameters, :extension, :priority)

-- name: job
SELECT * FROM jobs WHERE id = :id

-- name: tombstone
SELECT * FROM tombstones WHERE job = :id

-- Newest first, below the cursor.
-- name: page_of_jobs
SELECT * FROM jobs WHERE seq < :below ORDER BY seq DESC LIMIT :limit

-- name: page_of_jobs_by_status
SELECT * FROM jobs WHERE status = :status AND seq < :below ORDER BY seq DESC LIMIT :limit

-- name: sources_of_job
SELECT * FROM sources WHERE job = :job ORDER BY seq

-- name: variations_of_job
SELECT * FROM variations WHERE job = :job ORDER BY seq

-- name: source_of_job
SELECT sources.* FROM sources JOIN jobs ON jobs.seq = sources.job WHERE jobs.id = :job AND sources.id = :id

-- name: variation_of_job
SELECT variations.* FROM variations JOIN jobs ON jobs.seq = variations.job
WHERE jobs.id = :job AND variations.id = :id

-- name: delete_job
DELETE FROM jobs WHERE id = :id AND queued = 0 AND processing = 0

-- The scheduler

-- The best variation that may start: highest priority first, then oldest.
-- name: claim
UPDATE variations SET status = 'processing', attempts = attempts + 1, started_at = :now, finished_at = NULL,
    error = NULL, proof = NULL
WHERE seq = (SELECT seq FROM variations WHERE status = 'queued' AND held = 0 ORDER BY priority DESC, seq LIMIT 1)
RETURNING *

-- name: claimed_context
SELECT jobs.id AS job, sources.id AS source, sources.name, sources.path, sources.media, sources.error
FROM sources JOIN jobs ON jobs.seq = sources.job WHERE sources.seq = :source

-- How many could start now, counted no further than `:limit`.
-- name: count_ready
SELECT count(*) AS ready FROM
    (SELECT 1 FROM variations WHERE status = 'queued' AND held = 0 ORDER BY priority DESC, seq LIMIT :limit)

-- name: insert_attempt
INSERT INTO attempts (variation, number, token, boot, started_at)
VALUES (:variation, :number, :token, :boot, :now)

-- name: record_process
UPDATE attempts SET pid = :pid, pid_created = :created WHERE token = :token AND ended_at IS NULL

-- name: end_attempt
UPDATE attempts SET ended_at = :now WHERE variation = :variation AND ended_at IS NULL

-- name: record_media
UPDATE sources SET media = :media WHERE seq = :source

-- The source cannot be used: what waits for it fails with it.
-- name: record_source_error
UPDATE sources SET error = :error WHERE seq = :source

-- name: fail_queued_of_source
UPDATE variations SET status = 'failed', error = :error, finished_at = :now
WHERE source = :source AND status = 'queued'

-- What is about to be published. No row: it was cancelled, or is no longer this attempt's.
-- name: record_proof
UPDATE variations SET proof = :proof
WHERE seq = :variation AND status = 'processing' AND attempts = :attempt AND cancel_requested_at IS NULL

-- No row: a cancel came first, and wins.
-- name: complete
UPDATE variations SET status = 'completed', finished_at = :now, bytes = :bytes, sha256 = :sha256,
    output_seconds = :output_seconds, cpu_seconds = :cpu_seconds, speed = :speed, proof = NULL
WHERE seq = :variation AND status = 'processing' AND attempts = :attempt AND cancel_requested_at IS NULL

-- Ends or requeues an attempt that came to nothing; a requested cancel decides over what the caller meant.
-- name: abandon
UPDATE variations SET
    status = iif(cancel_requested_at IS NULL, :status, 'cancelled'),
    error = iif(cancel_requested_at IS NULL, :error, NULL),
    finished_at = iif(cancel_requested_at IS NULL AND :status = 'queued', NULL, :now),
    started_at = iif(cancel_requested_at IS NULL AND :status = 'queued', NULL, started_at),
    proof = NULL
WHERE seq = :variation AND status = 'processing' AND attempts = :attempt
RETURNING status, job

-- name: discard_cpu
UPDATE jobs SET discarded_cpu = discarded_cpu + :cpu_seconds WHERE seq = :job

-- Cancel

-- name: request_cancel_of_job
UPDATE jobs SET cancel_requested_at = coalesce(cancel_requested_at, :now)
WHERE seq = :job AND queued + processing > 0

-- Marks what runs; whoever runs it sees the mark before it publishes anything.
-- name: request_cancel
UPDATE variations SET cancel_requested_at = :now
WHERE job = :job AND (:source IS NULL OR source = :source) AND (:variation IS NULL OR seq = :variation)
    AND status = 'processing' AND cancel_requested_at IS NULL

-- name: cancel_queued
UPDATE variations SET status = 'cancelled', cancel_requested_at = :now, finished_at = :now
WHERE job = :job AND (:source IS NULL OR source = :source) AND (:variation IS NULL OR seq = :variation)
    AND status = 'queued'

-- name: scope
SELECT id, seq, status, cancel_requested_at, finished_at FROM variations
WHERE job = :job AND (:source IS NULL OR source = :source) AND (:variation IS NULL OR seq = :variation)
ORDER BY seq

-- Boot recovery

-- name: interrupted
SELECT variations.*, jobs.id AS job_id FROM variations JOIN jobs ON jobs.seq = variations.job
WHERE variations.status = 'processing' ORDER BY variations.seq

-- name: live_attempts
SELECT DISTINCT token, boot, pid, pid_created FROM attempts WHERE ended_at IS NULL

-- Sweep, expiry, eviction

-- name: known_job
SELECT seq FROM jobs WHERE id = :id

-- name: completed_after
SELECT variations.seq, variations.id, variations.extension, jobs.id AS job
FROM variations JOIN jobs ON jobs.seq = variations.job
WHERE variations.seq > :after AND variations.status = 'completed' AND variations.lost_at IS NULL
ORDER BY variations.seq LIMIT :limit

-- name: mark_lost
UPDATE variations SET lost_at = :now, error = :error WHERE seq = :variation AND status = 'completed'

-- name: expired_jobs
SELECT id FROM jobs WHERE expires_at IS NOT NULL AND expires_at <= :now ORDER BY expires_at LIMIT :limit

-- name: oldest_ended_jobs
SELECT id FROM jobs WHERE finished_at IS NOT NULL ORDER BY finished_at LIMIT :limit

-- name: bury
INSERT OR REPLACE INTO tombstones (job, made_at, reason) VALUES (:id, :now, :reason)

-- name: forget_tombstones
DELETE FROM tombstones WHERE made_at <= :before

-- Sessions

-- name: insert_session
INSERT INTO sessions (token_sha256, expires_at) VALUES (:token, :expires_at)

-- name: session
SELECT expires_at FROM sessions WHERE token_sha256 = :token AND expires_at > :now

-- name: forget_sessions
DELETE FROM sessions WHERE expires_at <= :now

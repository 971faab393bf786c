-- Every statement ffspool runs, by name. Parameters are named; `:now` is always seconds since the epoch.

-- Jobs

-- Makes a job; its number orders jobs by age.
-- name: insert_job
INSERT INTO jobs (id, name, title, priority, metadata, created_at, expires_in, on_unsuitable, owner)
VALUES (:id, :name, coalesce(:name, ''), :priority, :metadata, :now, :expires_in, :on_unsuitable, :owner)
RETURNING seq

-- Makes a source, with what a file of the host is known by; of an upload that is NULL.
-- name: insert_source
INSERT INTO sources (id, job, name, folder, path, bytes, device, inode, modified, boot, media)
VALUES (:id, :job, :name, :folder, :path, :bytes, :device, :inode, :modified, :boot, :media)
RETURNING seq

-- Makes a variation that waits in the queue.
-- name: insert_variation
INSERT INTO variations (id, job, source, name, preset, parameters, extension, priority, deliver, owner)
VALUES (:id, :job, :source, :name, :preset, :parameters, :extension, :priority, :deliver,
    (SELECT owner FROM jobs WHERE seq = :job))

-- Says where a job's messages go, and whether every variation sends one.
-- name: set_webhook
UPDATE jobs SET webhook_url = :url, webhook_variations = :variations WHERE seq = :job

-- Changes what may be changed of a job; only one that has ended expires.
-- name: update_job
UPDATE jobs SET name = :name, priority = :priority, keep_until = :keep_until,
    title = coalesce(:name, (SELECT name FROM sources WHERE job = :job ORDER BY seq LIMIT 1), ''),
    expires_at = iif(finished_at IS NULL, NULL, coalesce(:keep_until, expires_at))
WHERE seq = :job

-- Gives what is left of a job another place in the queue.
-- name: reprioritise
UPDATE variations SET priority = :priority WHERE job = :job AND status IN ('queued', 'processing')

-- The job of that id, expired or not.
-- name: job
SELECT * FROM jobs WHERE id = :id

-- Whether a job is an owner's, also once it is forgotten but for its tombstone. Of another's no more is read than of none.
-- name: owned_job
SELECT 1 FROM jobs INDEXED BY owned_jobs_by_id WHERE owner = :owner AND id = :id
UNION ALL
SELECT 1 FROM tombstones WHERE job = :id AND owner = :owner
LIMIT 1

-- What is left of a job that was deleted by expiry or eviction.
-- name: tombstone
SELECT * FROM tombstones WHERE job = :id

-- Newest first, below the cursor, that did not expire; those whose name, or a source's, is like a pattern.
-- name: page_of_jobs
SELECT * FROM jobs WHERE /* of owner */ seq < :below AND seq >= :floor AND (expires_at IS NULL OR expires_at > :now) AND (
    :like IS NULL OR name LIKE :like ESCAPE '\'
    OR EXISTS (SELECT 1 FROM sources WHERE job = jobs.seq AND sources.name LIKE :like ESCAPE '\')
)
ORDER BY seq DESC LIMIT :limit

-- The same, of one status.
-- name: page_of_jobs_by_status
SELECT * FROM jobs WHERE /* of owner */ status = :status AND seq < :below AND seq >= :floor
    AND (expires_at IS NULL OR expires_at > :now) AND (
    :like IS NULL OR name LIKE :like ESCAPE '\'
    OR EXISTS (SELECT 1 FROM sources WHERE job = jobs.seq AND sources.name LIKE :like ESCAPE '\')
)
ORDER BY seq DESC LIMIT :limit

-- The same, of jobs that are paused with something left to do.
-- name: page_of_paused_jobs
SELECT * FROM jobs WHERE /* of owner */ paused = 1 AND queued + processing > 0 AND seq < :below AND seq >= :floor
    AND (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses))) AND (NOT :failures OR failed > 0) AND (
    :like IS NULL OR name LIKE :like ESCAPE '\'
    OR EXISTS (SELECT 1 FROM sources WHERE job = jobs.seq AND sources.name LIKE :like ESCAPE '\')
)
ORDER BY seq DESC LIMIT :limit

-- The same, of jobs of which something failed, whatever became of the rest; of some statuses alone, if any are given.
-- name: page_of_jobs_with_failures
SELECT * FROM jobs WHERE /* of owner */ failed > 0 AND seq < :below AND seq >= :floor AND (expires_at IS NULL OR expires_at > :now)
    AND (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses))) AND (
    :like IS NULL OR name LIKE :like ESCAPE '\'
    OR EXISTS (SELECT 1 FROM sources WHERE job = jobs.seq AND sources.name LIKE :like ESCAPE '\')
)
ORDER BY seq DESC LIMIT :limit

-- By title, beyond the cursor, of one status: the rest of what is called the same, and what comes behind.
-- name: page_of_jobs_by_title
SELECT * FROM (
    SELECT * FROM (
        SELECT * FROM jobs WHERE /* of owner */ status = :status AND title = :title AND seq > :seq
            AND (expires_at IS NULL OR expires_at > :now)
        ORDER BY seq LIMIT :limit
    )
    UNION ALL
    SELECT * FROM (
        SELECT * FROM jobs WHERE /* of owner */ status = :status AND title > :title
            AND (expires_at IS NULL OR expires_at > :now)
        ORDER BY title, seq LIMIT :limit
    )
) ORDER BY title, seq LIMIT :limit

-- The largest first, beyond the cursor, of one status.
-- name: page_of_jobs_by_bytes
SELECT * FROM (
    SELECT * FROM (
        SELECT * FROM jobs WHERE /* of owner */ status = :status AND bytes = :bytes AND seq < :seq
            AND (expires_at IS NULL OR expires_at > :now)
        ORDER BY seq DESC LIMIT :limit
    )
    UNION ALL
    SELECT * FROM (
        SELECT * FROM jobs WHERE /* of owner */ status = :status AND bytes < :bytes
            AND (expires_at IS NULL OR expires_at > :now)
        ORDER BY bytes DESC, seq DESC LIMIT :limit
    )
) ORDER BY bytes DESC, seq DESC LIMIT :limit

-- By title, beyond the cursor, of jobs of which something failed; of some statuses alone, if any are given.
-- name: page_of_failed_jobs_by_title
SELECT * FROM (
    SELECT * FROM (
        SELECT * FROM jobs WHERE /* of owner */ failed > 0 AND title = :title AND seq > :seq
            AND (expires_at IS NULL OR expires_at > :now)
            AND (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses)))
        ORDER BY seq LIMIT :limit
    )
    UNION ALL
    SELECT * FROM (
        SELECT * FROM jobs WHERE /* of owner */ failed > 0 AND title > :title
            AND (expires_at IS NULL OR expires_at > :now)
            AND (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses)))
        ORDER BY title, seq LIMIT :limit
    )
) ORDER BY title, seq LIMIT :limit

-- The same, the largest first.
-- name: page_of_failed_jobs_by_bytes
SELECT * FROM (
    SELECT * FROM (
        SELECT * FROM jobs WHERE /* of owner */ failed > 0 AND bytes = :bytes AND seq < :seq
            AND (expires_at IS NULL OR expires_at > :now)
            AND (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses)))
        ORDER BY seq DESC LIMIT :limit
    )
    UNION ALL
    SELECT * FROM (
        SELECT * FROM jobs WHERE /* of owner */ failed > 0 AND bytes < :bytes
            AND (expires_at IS NULL OR expires_at > :now)
            AND (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses)))
        ORDER BY bytes DESC, seq DESC LIMIT :limit
    )
) ORDER BY bytes DESC, seq DESC LIMIT :limit

-- The same, of jobs whose identifiers lie in a range.
-- name: page_of_jobs_by_id
SELECT * FROM jobs WHERE /* of owner */ id >= :first AND id < :behind AND +seq < :below AND +seq >= :floor
    AND (expires_at IS NULL OR expires_at > :now)
ORDER BY +seq DESC LIMIT :limit

-- As they will be started, beyond the cursor: the rest of its rank, and the ranks below.
-- name: page_of_upcoming_jobs
SELECT * FROM (
    SELECT * FROM (
        SELECT * FROM jobs WHERE /* of owner */ status = 'queued' AND -priority = :rank AND seq > :seq ORDER BY seq LIMIT :limit
    )
    UNION ALL
    SELECT * FROM (
        SELECT * FROM jobs WHERE /* of owner */ status = 'queued' AND -priority > :rank ORDER BY -priority, seq LIMIT :limit
    )
) ORDER BY -priority, seq LIMIT :limit

-- What a list tells of a job's files.
-- name: files_of_jobs
SELECT first.job, first.name AS first, (SELECT count(*) FROM sources WHERE job = first.job) AS total,
    iif(first.error IS NULL, json_type(first.media, '$.video') = 'object', 0) AS picture
FROM json_each(:jobs) AS wanted
JOIN sources AS first ON first.seq = (SELECT min(seq) FROM sources WHERE job = wanted.value)

-- A job's sources in the order they were given.
-- name: sources_of_job
SELECT * FROM sources WHERE job = :job ORDER BY seq

-- A job's variations in the order they were asked for, source by source. `in_hand` is the second of the film at which
-- one that was interrupted will go on at least: what is encoded behind it is given up, up to some six.
-- name: variations_of_job
SELECT *, (SELECT sum(reached - began) FROM (
        SELECT min(begins) AS began, max(max(begins, iif(whole, seconds, seconds - 6))) AS reached
        FROM pieces WHERE pieces.variation = variations.seq GROUP BY span
    )) AS in_hand
FROM variations WHERE job = :job ORDER BY seq

-- Seconds of output by job, as its sources count them; a source of unknown duration weighs as one second.
-- name: efforts
SELECT job,
    sum(weight * (queued + processing + completed + cancelled)) AS planned,
    sum(weight * completed) AS done,
    sum(weight * (queued + processing)) AS left,
    max(unknown AND processing > 0) AS running_unknown,
    max(unknown AND queued + processing > 0) AS left_unknown
FROM (SELECT *, iif(duration > 0, duration, 1.0) AS weight, coalesce(duration, 0) <= 0 AS unknown FROM sources)
WHERE job IN (SELECT value FROM json_each(:jobs)) GROUP BY job

-- What weighs of these jobs' variations, how much of them is `in_hand`, and how long their sources last.
-- name: parts_to_weigh
SELECT variations.id, variations.job, source, status, preset, parameters, iif(duration > 0, duration, NULL) AS seconds,
    (SELECT sum(reached - began) FROM (
        SELECT min(begins) AS began, max(max(begins, iif(whole, seconds, seconds - 6))) AS reached
        FROM pieces WHERE pieces.variation = variations.seq GROUP BY span
    )) AS in_hand
FROM json_each(:jobs) AS wanted
CROSS JOIN variations ON variations.job = wanted.value
JOIN sources ON sources.seq = variations.source
ORDER BY variations.job, variations.seq

-- What these sources hold, of those that somebody looked at.
-- name: media_of_sources
SELECT seq, media FROM sources WHERE seq IN (SELECT value FROM json_each(:sources)) AND media IS NOT NULL

-- The first error of each of these jobs, or why the first one was skipped.
-- name: first_errors
SELECT job, error FROM json_each(:jobs) AS wanted JOIN variations ON seq = (
    SELECT seq FROM variations WHERE job = wanted.value AND error IS NOT NULL ORDER BY status = 'skipped', seq LIMIT 1
)

-- One source, if it is that job's.
-- name: source_of_job
SELECT sources.* FROM sources JOIN jobs ON jobs.seq = sources.job WHERE jobs.id = :job AND sources.id = :id

-- One variation, if it is that job's.
-- name: variation_of_job
SELECT variations.* FROM variations JOIN jobs ON jobs.seq = variations.job
WHERE jobs.id = :job AND variations.id = :id

-- What is logged and counted of a variation.
-- name: told_variation
SELECT preset, waiting, started_at, finished_at,
    (SELECT error FROM sources WHERE seq = variations.source) AS source_error
FROM variations WHERE id = :id

-- Deletes a job of which nothing waits or runs; its rows elsewhere go with it.
-- name: delete_job
DELETE FROM jobs WHERE id = :id AND queued = 0 AND processing = 0

-- What was completed

-- Variations completed in each hour.
-- name: hours_since
SELECT hour, sum(completed) AS completed FROM hours WHERE hour >= :hour GROUP BY hour ORDER BY hour

-- Variations completed by each preset, and how many times real time it took.
-- name: presets_since
SELECT preset, sum(completed) AS completed, sum(output_seconds) / nullif(sum(encode_seconds), 0) AS speed
FROM hours WHERE hour >= :hour GROUP BY preset ORDER BY preset

-- Ends the record of hours that are long past.
-- name: forget_hours
DELETE FROM hours WHERE hour < :hour

-- The scheduler

-- Of each owner, and of the daemon's own (NULL, with which the search for others ends), what may start first.
-- name: first_ready
WITH RECURSIVE owners (owner) AS (
    SELECT min(owner) FROM variations
    WHERE owner > '' AND status = 'queued' AND held = 0 AND not_before IS NULL AND unfetched = 0
    UNION ALL
    SELECT (
        SELECT min(variations.owner) FROM variations
        WHERE variations.owner > owners.owner AND status = 'queued' AND held = 0 AND not_before IS NULL
            AND unfetched = 0
    ) FROM owners WHERE owners.owner IS NOT NULL
)
SELECT variations.owner, variations.priority FROM owners CROSS JOIN variations ON variations.seq = (
    SELECT seq FROM variations AS ready
    WHERE ready.owner IS owners.owner AND status = 'queued' AND held = 0 AND not_before IS NULL AND unfetched = 0
    ORDER BY ready.priority DESC, ready.seq LIMIT 1
)
ORDER BY variations.priority DESC, variations.seq

-- What of an owner may start: highest priority first, then oldest. `begun_bytes` are there of a film that was begun.
-- name: ready
SELECT variations.owner, variations.seq, variations.id, variations.preset, variations.parameters, variations.alone,
    variations.space_needed, variations.crashes, variations.in_pieces, variations.span_seconds, variations.source,
    jobs.on_unsuitable, sources.id AS source_id,
    sources.name, sources.path, sources.bytes,
    sources.device, sources.inode, sources.modified, sources.boot, sources.media, jobs.id AS job,
    (SELECT sum(pieces.bytes + sound_bytes) FROM pieces WHERE pieces.variation = variations.seq) AS begun_bytes
FROM variations JOIN sources ON sources.seq = variations.source JOIN jobs ON jobs.seq = variations.job
WHERE variations.owner IS :owner AND variations.status = 'queued' AND held = 0 AND not_before IS NULL
    AND unfetched = 0
ORDER BY variations.priority DESC, variations.seq LIMIT :limit

-- Takes these variations out of the queue, those that nobody took, held or delayed meanwhile, and whose source is known,
-- unless it was told to start nothing.
-- name: claim
UPDATE variations SET status = 'processing', attempts = attempts + 1, started_at = :now, finished_at = NULL,
    error = NULL, proof = NULL, waiting = NULL, machine = NULL
WHERE id IN (SELECT value FROM json_each(:variations)) AND status = 'queued' AND held = 0 AND not_before IS NULL
    AND unfetched = 0 AND EXISTS (SELECT 1 FROM sources WHERE sources.seq = variations.source AND sources.media IS NOT NULL)
    AND EXISTS (SELECT 1 FROM queue WHERE state = 'running' AND (scheduled = 'running' OR overruled = 1))
RETURNING *

-- What these variations are made of, and where they are found.
-- name: made_elsewhere
SELECT variations.id AS variation, jobs.id AS job, sources.name AS source, variations.preset
FROM json_each(:variations) AS wanted
CROSS JOIN variations ON variations.id = wanted.value
JOIN sources ON sources.seq = variations.source
JOIN jobs ON jobs.seq = variations.job
ORDER BY variations.seq

-- Says with how many a variation shares its process.
-- name: record_sharing
UPDATE variations SET sharing = :count
WHERE id IN (SELECT value FROM json_each(:variations)) AND status = 'processing'

-- Has a variation wait until a moment, and says why.
-- name: set_aside
UPDATE variations SET waiting = :waiting, not_before = :until WHERE id = :variation AND status = 'queued'

-- Leaves out what nothing can be made for, where that was asked; what is paused waits to be looked at.
-- name: skip
UPDATE variations SET status = 'skipped', error = :error, finished_at = :now, waiting = NULL
WHERE id = :variation AND status = 'queued' AND held = 0

-- Lets what waits for something be looked at again now.
-- name: recall_aside
UPDATE variations SET not_before = :now
WHERE seq IN (SELECT seq FROM variations WHERE status = 'queued' AND waiting IS NOT NULL LIMIT :limit)

-- Those beyond `:latest` were not delayed for so long: the clock was set back since.
-- name: release_delayed
UPDATE variations SET not_before = NULL WHERE not_before <= :now OR not_before > :latest

-- When the next variation that waits for a moment may go on.
-- name: next_delayed
SELECT min(not_before) AS at FROM variations WHERE not_before IS NOT NULL

-- A source as an attempt needs it: whose it is, where its file is, what it holds.
-- name: claimed_source
SELECT jobs.id AS job, sources.id AS source, sources.name, sources.path, sources.bytes, sources.device, sources.inode,
    sources.modified, sources.boot, sources.media,
    EXISTS (SELECT 1 FROM watched_files WHERE job = jobs.id AND fate = 'delete') AS goes
FROM sources JOIN jobs ON jobs.seq = sources.job WHERE sources.seq = :source

-- Begins an attempt, before its process is started.
-- name: insert_attempt
INSERT INTO attempts (variation, number, token, started_at, boot)
VALUES (:variation, :number, :token, :now, :boot)

-- Keeps what the engine will end an attempt's process by after a crash.
-- name: record_handle
UPDATE attempts SET handle = :handle WHERE token = :token AND ended_at IS NULL

-- Says what shuts an attempt's process in, and where that runs: what is encoded elsewhere may be joined here.
-- name: record_sandbox
UPDATE variations SET sandbox = :sandbox, machine = coalesce(:machine, machine)
WHERE seq IN (SELECT variation FROM attempts WHERE token = :token AND ended_at IS NULL)

-- Says which piece of a film an attempt is to write.
-- name: record_piece
INSERT OR REPLACE INTO pieces (variation, span, number, attempt, begins, begun_with, boot)
VALUES (:variation, :span, :number, :attempt, :begins, :begun_with, :boot)

-- Says how much of a film its attempt need not encode. Where that is more than before, no death of the daemon is held
-- against it, and where it is enough more, no attempt that came to nothing. Tells how many deaths are.
-- name: record_resumed
UPDATE variations SET crashes = iif(:seconds > coalesce(resumed_seconds, 0), 0, crashes),
    retries = iif(:seconds >= coalesce(resumed_seconds, 0) + :enough, 0, retries),
    resumed_seconds = nullif(:seconds, 0), begun_anew = iif(:seconds > 0, NULL, coalesce(:anew, begun_anew)),
    span_seconds = :span_seconds
WHERE seq = :variation
RETURNING crashes

-- Keeps how much of a piece is on the disk for certain.
-- name: record_durable
UPDATE pieces SET seconds = :seconds, bytes = :bytes, checksum = :checksum, cpu_seconds = :cpu_seconds
WHERE (variation, span, number, attempt) = (SELECT seq, :span, :number, attempts FROM variations WHERE id = :variation)

-- Keeps how much of a piece is on the disk that nobody writes any more, and has no sound beside it.
-- name: record_kept
UPDATE pieces SET bytes = :bytes, checksum = :checksum, sound_bytes = 0
WHERE variation = :variation AND span = :span AND number = :number

-- Says that a piece ends where its span does, and is all on the disk.
-- name: record_whole
UPDATE pieces SET whole = 1, seconds = :seconds, bytes = :bytes, checksum = :checksum, sound_bytes = :sound_bytes,
    cpu_seconds = max(cpu_seconds, :cpu_seconds)
WHERE variation = :variation AND span = :span AND number = :number

-- The pieces of a film in their order.
-- name: pieces_of
SELECT * FROM pieces WHERE variation = :variation ORDER BY span, number

-- Says what it took to encode a piece, by the end of its attempt; a crash knows no more than was told before.
-- name: record_cpu_of_piece
UPDATE pieces SET cpu_seconds = max(cpu_seconds, :cpu_seconds - (
    SELECT total(others.cpu_seconds) FROM pieces AS others
    WHERE others.variation = :variation AND others.attempt = :attempt
        AND (others.span, others.number) <> (pieces.span, pieces.number)
))
WHERE (variation, span, number) = (
    SELECT variation, span, number FROM pieces AS others
    WHERE others.variation = :variation AND others.attempt = :attempt ORDER BY span DESC, number DESC LIMIT 1
)

-- Counts what it took to encode pieces that come to nothing.
-- name: discard_cpu_of_pieces
UPDATE jobs SET discarded_cpu = discarded_cpu + (
    SELECT total(cpu_seconds) FROM pieces
    WHERE variation = :variation AND (:numbers IS NULL OR (
        span = :span AND number IN (SELECT value FROM json_each(:numbers)) AND attempt < :before
    ))
)
WHERE seq = (SELECT job FROM variations WHERE seq = :variation)

-- Forgets pieces of a film.
-- name: drop_pieces
DELETE FROM pieces
WHERE variation = :variation AND span = :span AND number IN (SELECT value FROM json_each(:numbers))

-- Has a film be encoded whole from now on.
-- name: refuse_pieces
UPDATE variations SET in_pieces = 0, begun_anew = :why WHERE seq = :variation

-- Says why a film begins anew of which something is encoded.
-- name: tell_begun_anew
UPDATE variations SET begun_anew = :why
WHERE seq = :variation AND EXISTS (SELECT 1 FROM pieces WHERE pieces.variation = variations.seq)

-- Forgets all pieces of a film.
-- name: drop_all_pieces
DELETE FROM pieces WHERE variation = :variation

-- Says no more that a film goes on with what was encoded of it.
-- name: forget_resumed
UPDATE variations SET resumed_seconds = NULL WHERE seq = :variation AND resumed_seconds IS NOT NULL

-- Variations of these jobs that have ended, and have pieces that nobody asked to keep.
-- name: needless_pieces
SELECT DISTINCT variations.seq, variations.id, jobs.id AS job
FROM pieces CROSS JOIN variations ON variations.seq = pieces.variation JOIN jobs ON jobs.seq = variations.job
WHERE +variations.job IN (SELECT value FROM json_each(:jobs)) AND NOT variations.keep_partial
    AND variations.status NOT IN ('queued', 'processing')

-- Lists the uploaded or fetched sources, that are here, of which something is still to be made.
-- name: uploads_waited_for
SELECT DISTINCT jobs.id AS job, sources.id AS source
FROM variations INDEXED BY variations_queued JOIN sources ON sources.seq = variations.source
JOIN jobs ON jobs.seq = variations.job
WHERE variations.status = 'queued' AND variations.unfetched = 0 AND sources.path IS NULL

-- Lists the uploaded or fetched sources, that were here, of which something failed or was cancelled.
-- name: uploads_to_retry
SELECT jobs.id AS job, sources.id AS source, sources.name, sources.seq
FROM jobs CROSS JOIN sources ON sources.job = jobs.seq
WHERE jobs.status IN ('queued', 'processing', 'completed', 'failed', 'cancelled') AND jobs.failed + jobs.cancelled > 0
    AND sources.failed + sources.cancelled > 0 AND sources.path IS NULL AND sources.error IS NULL
    AND NOT EXISTS (SELECT 1 FROM fetches WHERE source = sources.seq AND status <> 'fetched')

-- Says of a source that nothing more can be made of it, and why.
-- name: complain_of_source
UPDATE sources SET error = :error WHERE seq = :source AND error IS NULL

-- Lists what ended and has something kept for a retry.
-- name: kept_for_retries
SELECT variations.seq, variations.id, variations.job AS job_seq, jobs.id AS job
FROM pieces CROSS JOIN variations ON variations.seq = pieces.variation JOIN jobs ON jobs.seq = variations.job
WHERE variations.keep_partial AND variations.status IN ('failed', 'cancelled')
GROUP BY variations.seq

-- Cancels all that waits, and keeps what is encoded of it.
-- name: lay_down_waiting
UPDATE variations SET status = 'cancelled', cancel_requested_at = :now, finished_at = :now, not_before = NULL,
    keep_partial = 1
WHERE status = 'queued'

-- Has all that runs be cancelled, and what is encoded of it be kept.
-- name: lay_down_running
UPDATE variations SET cancel_requested_at = :now, keep_partial = 1 WHERE status = 'processing'

-- What is completed has been brought to who asked for it: nobody looks for it here.
-- name: lay_down_completed
UPDATE variations SET dropped = 1, lost_at = :now WHERE status = 'completed' AND lost_at IS NULL

-- Films of earlier jobs of which something is encoded, and of what they are made.
-- name: films_in_pieces
SELECT DISTINCT variations.seq, variations.id, variations.name, variations.attempts, variations.stuck_at, jobs.id AS job,
    variations.preset, variations.parameters, sources.path, sources.bytes, sources.modified
FROM pieces CROSS JOIN variations ON variations.seq = pieces.variation JOIN jobs ON jobs.seq = variations.job
JOIN sources ON sources.seq = variations.source
WHERE +variations.job < :job

-- What is to be made by a job, and of what.
-- name: wanted_of_job
SELECT variations.id, variations.name, variations.preset, variations.parameters, sources.path, sources.bytes,
    sources.modified
FROM variations JOIN sources ON sources.seq = variations.source WHERE variations.job = :job ORDER BY variations.seq

-- Jobs that were made before that one, and of which nothing was completed.
-- name: earlier_jobs_in_vain
SELECT id FROM jobs WHERE seq < :job AND completed = 0

-- Gives pieces of a film to another variation, without the sound beside them.
-- name: hand_pieces_on
UPDATE pieces SET sound_bytes = 0, variation = (SELECT seq FROM variations WHERE id = :heir) WHERE variation = :variation

-- Has attempts count on from those that left pieces, and failed there.
-- name: count_attempts_on
UPDATE variations SET attempts = :attempts, stuck_at = :stuck_at WHERE id = :heir

-- Calls an output what its file will be called.
-- name: rename_variation
UPDATE variations SET name = :name WHERE id = :variation

-- What was completed in the database of a single run, and of what it was made: there is little else in it.
-- name: made_by_run
SELECT jobs.id AS job, variations.id, variations.name, variations.extension, variations.sha256, variations.preset,
    variations.parameters, variations.output_seconds, sources.path, sources.bytes, sources.modified
FROM variations JOIN sources ON sources.seq = variations.source JOIN jobs ON jobs.seq = variations.job
WHERE variations.seq > 0 AND variations.status = 'completed'

-- How much of films is kept that were cancelled or failed, by the last piece of each: where that begins, and what was
-- told to be there.
-- name: kept_pieces
SELECT variations.id, max(max(pieces.begins, pieces.seconds)) AS seconds, sum(pieces.bytes + pieces.sound_bytes) AS bytes,
    max(pieces.begins) AS begins, max(pieces.number) AS number, sources.media, max(pieces.span) > 0 OR max(pieces.whole) AS told,
    (SELECT sum(reached - began) FROM (
        SELECT min(begins) AS began, max(max(begins, iif(whole, seconds, seconds - 6))) AS reached
        FROM pieces WHERE pieces.variation = variations.seq GROUP BY span
    )) AS in_hand
FROM pieces JOIN variations ON variations.seq = pieces.variation JOIN sources ON sources.seq = variations.source
WHERE variations.job = :job AND (:source IS NULL OR variations.source = :source)
    AND (:variation IS NULL OR variations.seq = :variation)
    AND variations.status IN ('cancelled', 'failed') AND variations.keep_partial
GROUP BY variations.seq

-- By what a single run was to encode: there is little else in its database.
-- name: wanted_by_run
SELECT parameters FROM variations WHERE seq > 0 ORDER BY seq

-- Ends the record of a variation's attempt.
-- name: end_attempt
UPDATE attempts SET ended_at = :now WHERE variation = :variation AND ended_at IS NULL

-- How encodes of each kind compare with what was predicted.
-- name: corrections
SELECT encode, correction FROM costs

-- Keeps what was learnt of one kind of encode.
-- name: record_correction
INSERT INTO costs (encode, correction) VALUES (:encode, :correction)
ON CONFLICT (encode) DO UPDATE SET correction = excluded.correction

-- What was read of a source is recorded by its id: its seq may be another's since it was deleted.
-- name: record_media
UPDATE sources SET media = :media, error = NULL WHERE id = :source

-- The source was written to while it was encoded: when it was last changed is not known until it is left alone.
-- name: unsettle_source
UPDATE sources SET modified = NULL, media = NULL WHERE id = :source AND path IS NOT NULL

-- It is left alone.
-- name: settle_source
UPDATE sources SET bytes = :bytes, modified = :modified WHERE id = :source AND path IS NOT NULL

-- The source cannot be used: what waits for it fails with it.
-- name: record_source_error
UPDATE sources SET error = :error WHERE id = :source

-- Fails what waits of a source that cannot be read; it may be there again at a retry.
-- name: fail_queued_of_source
UPDATE variations SET status = 'failed', error = :error, finished_at = :now,
    keep_partial = EXISTS (SELECT 1 FROM pieces WHERE pieces.variation = variations.seq)
WHERE source = (SELECT seq FROM sources WHERE id = :source) AND status = 'queued'

-- What is about to be published. No row: it was cancelled, or is no longer this attempt's.
-- name: record_proof
UPDATE variations SET proof = :proof
WHERE seq = :variation AND status = 'processing' AND attempts = :attempt
    AND cancel_requested_at IS NULL AND fail_requested_at IS NULL

-- No row: a cancel came first, and wins.
-- name: complete
UPDATE variations SET status = 'completed', finished_at = :now, bytes = :bytes, sha256 = :sha256,
    output_seconds = :output_seconds, speed = :speed, quality = :quality,
    cpu_seconds = :cpu_seconds + (
        SELECT total(cpu_seconds) FROM pieces WHERE pieces.variation = variations.seq AND pieces.attempt < :attempt
    ),
    contents = :contents,
    parameters = json_patch(parameters, :chosen) || '',
    proof = NULL
WHERE seq = :variation AND status = 'processing' AND attempts = :attempt
    AND cancel_requested_at IS NULL AND fail_requested_at IS NULL

-- A running variation with what was asked of it, as long as that attempt is the current one.
-- name: in_flight
SELECT job, cancel_requested_at, fail_requested_at, keep_partial, retries, crashes, resumed_seconds, stuck_at,
    EXISTS (SELECT 1 FROM pieces WHERE pieces.variation = variations.seq) AS begun
FROM variations
WHERE seq = :variation AND status = 'processing' AND attempts = :attempt

-- Ends or requeues an attempt that came to nothing.
-- name: abandon
UPDATE variations SET status = :status, error = :error, not_before = :not_before, retries = :retries,
    crashes = :crashes, alone = :alone, proof = NULL, waiting = :waiting,
    keep_partial = iif(:status = 'failed', :keep, keep_partial),
    stuck_at = iif(:keep, coalesce(resumed_seconds, 0.0), iif(:anew IS NULL, stuck_at, NULL)),
    space_needed = coalesce(:space_needed, space_needed),
    finished_at = iif(:status = 'queued', NULL, :now), started_at = iif(:status = 'queued', NULL, started_at)
WHERE seq = :variation

-- Counts CPU time that came to nothing.
-- name: discard_cpu
UPDATE jobs SET discarded_cpu = discarded_cpu + :cpu_seconds WHERE seq = :job

-- Cancel

-- Keeps the moment of a job's first request to cancel, as long as anything is left of it.
-- name: request_cancel_of_job
UPDATE jobs SET cancel_requested_at = coalesce(cancel_requested_at, :now)
WHERE seq = :job AND queued + processing > 0

-- Marks what runs; whoever runs it sees the mark before it publishes anything.
-- name: request_cancel
UPDATE variations SET cancel_requested_at = :now, keep_partial = :keep
WHERE job = :job AND (:source IS NULL OR source = :source) AND (:variation IS NULL OR seq = :variation)
    AND status = 'processing' AND cancel_requested_at IS NULL

-- Cancels what waits of a job, of one source or of one variation.
-- name: cancel_queued
UPDATE variations SET status = 'cancelled', cancel_requested_at = :now, finished_at = :now, not_before = NULL,
    keep_partial = :keep
WHERE job = :job AND (:source IS NULL OR source = :source) AND (:variation IS NULL OR seq = :variation)
    AND status = 'queued'

-- Has what was cancelled, is being cancelled, or failed, be kept no longer.
-- name: keep_no_longer
UPDATE variations SET keep_partial = 0
WHERE job = :job AND (:source IS NULL OR source = :source) AND (:variation IS NULL OR seq = :variation)
    AND status IN ('processing', 'cancelled', 'failed') AND keep_partial

-- Asks for what runs of a job to be ended as failed.
-- name: request_fail
UPDATE variations SET fail_requested_at = :now
WHERE job = :job AND status = 'processing' AND cancel_requested_at IS NULL AND fail_requested_at IS NULL

-- Fails what waits of a job.
-- name: fail_queued
UPDATE variations SET status = 'failed', finished_at = :now, error = :error, not_before = NULL
WHERE job = :job AND status = 'queued'

-- Retry, pause, the queue

-- What failed or was cancelled of these jobs, and what was said of that; but for what waits for a source in vain.
-- name: missing_of_jobs
SELECT variations.seq, variations.job, variations.status, variations.error, sources.error AS source_error
FROM variations JOIN sources ON sources.seq = variations.source
WHERE variations.job IN (SELECT value FROM json_each(:jobs)) AND variations.status IN ('failed', 'cancelled')
    AND (:source IS NULL OR variations.source = :source) AND (:variation IS NULL OR variations.seq = :variation)
    AND (NOT unfetched OR EXISTS (SELECT 1 FROM fetches WHERE source = variations.source AND status = 'pending'))

-- The sources of which a job, or that part of it, is without something, and whether a copy of each was made here, whole.
-- name: sources_to_retry
SELECT id, name, path IS NULL AND NOT EXISTS (
    SELECT 1 FROM fetches WHERE source = sources.seq AND status <> 'fetched'
) AS copied
FROM sources WHERE job = :job AND (:source IS NULL OR seq = :source) AND EXISTS (
    SELECT 1 FROM variations WHERE source = sources.seq AND status IN ('failed', 'cancelled')
        AND (:variation IS NULL OR seq = :variation)
)

-- A source of a job, or of that part of it, that was not fetched, and will not be.
-- name: unfetched_source
SELECT sources.name FROM sources JOIN fetches ON fetches.source = sources.seq
WHERE sources.job = :job AND fetches.status IN ('failed', 'cancelled') AND (:source IS NULL OR sources.seq = :source)
    AND (:variation IS NULL OR sources.seq = (SELECT source FROM variations WHERE seq = :variation)) LIMIT 1

-- Takes back what a cancel left in jobs of which these are tried again, and runs them whatever the hour.
-- name: forget_cancel
UPDATE jobs SET cancel_requested_at = NULL, cancelled_at = NULL, scheduled = 'running', overruled = 0
WHERE seq IN (SELECT job FROM variations WHERE seq IN (SELECT value FROM json_each(:variations)))

-- Has the sources of these read again that could not be.
-- name: forgive_sources
UPDATE sources SET error = NULL WHERE error IS NOT NULL
    AND seq IN (SELECT source FROM variations WHERE seq IN (SELECT value FROM json_each(:variations)))

-- Puts these back into the queue, as far as they failed or were cancelled.
-- name: requeue
UPDATE variations SET status = 'queued', cancel_requested_at = NULL, fail_requested_at = NULL, error = NULL,
    started_at = NULL, finished_at = NULL, retries = 0, crashes = 0, alone = 0,
    priority = (SELECT priority FROM jobs WHERE jobs.seq = variations.job),
    waiting = NULL, space_needed = NULL, keep_partial = 0
WHERE seq IN (SELECT value FROM json_each(:variations)) AND status IN ('failed', 'cancelled')

-- Pauses a job that has something left, or lets it go on.
-- name: set_paused
UPDATE jobs SET paused = :paused WHERE seq = :job AND paused <> :paused AND (queued + processing > 0 OR NOT :paused)

-- Has a job run though the schedule of its folder does not let it.
-- name: overrule_schedule
UPDATE jobs SET overruled = 1 WHERE seq = :job AND scheduled <> 'running' AND NOT overruled

-- Says of which watched folder a job is, and what the schedule of that has it do.
-- name: record_folder
UPDATE jobs SET folder = :folder, scheduled = :state, overruled = :overruled WHERE id = :job

-- Changes what the schedule of a folder has its jobs do; once that lets them run, nobody needs to overrule it.
-- name: set_folder_schedule
UPDATE jobs SET scheduled = :state, overruled = overruled AND :state <> 'running'
WHERE folder = :folder AND queued + processing > 0 AND scheduled <> :state

-- Has all jobs of a folder run though its schedule does not let them.
-- name: overrule_folder
UPDATE jobs SET overruled = 1
WHERE folder = :folder AND queued + processing > 0 AND scheduled <> 'running' AND NOT overruled

-- Keeps that somebody has all jobs of a folder run.
-- name: insert_overruled_folder
INSERT OR IGNORE INTO overruled_folders (folder) VALUES (:folder)

-- Has a folder keep to its schedule again.
-- name: delete_overruled_folder
DELETE FROM overruled_folders WHERE folder = :folder

-- Whether somebody has all jobs of a folder run.
-- name: overruled_folder
SELECT folder FROM overruled_folders WHERE folder = :folder

-- Lets jobs run whose folders have no schedule any more. `folders` is a JSON list of those that do.
-- name: forget_schedules
UPDATE jobs SET scheduled = 'running', overruled = 0
WHERE folder IS NOT NULL AND queued + processing > 0 AND scheduled <> 'running'
    AND folder NOT IN (SELECT value FROM json_each(:folders))

-- What runs of a folder's jobs, and whether it is to stand still.
-- name: processing_of_folder
SELECT variations.id, variations.held FROM jobs JOIN variations ON variations.job = jobs.seq
WHERE jobs.folder = :folder AND jobs.queued + jobs.processing > 0 AND variations.status = 'processing'

-- Whether the queue runs, drains or is paused, as somebody asked and as its schedule has it, and how many encodes run.
-- name: queue
SELECT state, slots, scheduled, overruled FROM queue

-- Changes what was asked; who has it run overrules a schedule that does not.
-- name: set_queue_state
UPDATE queue SET state = :state, overruled = (:state = 'running' AND scheduled <> 'running')
WHERE state <> :state OR overruled <> (:state = 'running' AND scheduled <> 'running')

-- Changes what the schedule has it do; once that lets it run, nobody needs to overrule it.
-- name: set_queue_schedule
UPDATE queue SET scheduled = :state, overruled = overruled AND :state <> 'running' WHERE scheduled <> :state

-- Changes how many encodes run at once; NULL: as many as the setting says.
-- name: set_slots
UPDATE queue SET slots = :slots WHERE slots IS NOT :slots

-- Variations whose processes are to be frozen.
-- name: held_processing
SELECT id FROM variations WHERE status = 'processing' AND held = 1

-- Bulk verbs take jobs of one status page by page, oldest first.
-- name: bulk_page
SELECT seq, total FROM jobs
WHERE /* of owner */ status = :status AND seq > :after AND seq <= :newest AND (expires_at IS NULL OR expires_at > :now)
ORDER BY seq LIMIT :limit

-- Where the part of an owner's jobs ends, newest first, that one page of a search looks at. No row: it has fewer.
-- name: floor_of_search
SELECT seq FROM jobs WHERE owner = :owner AND seq < :below ORDER BY seq DESC LIMIT 1 OFFSET :window

-- The newest job's number; 0 where there is none.
-- name: newest_job
SELECT coalesce(max(seq), 0) AS seq FROM jobs

-- Of jobs that a list told of those that it would tell of now.
-- name: still_selected
SELECT seq FROM jobs WHERE seq IN (SELECT value FROM json_each(:jobs)) AND (expires_at IS NULL OR expires_at > :now)
    AND (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses)))
    AND (NOT :paused OR (paused = 1 AND queued + processing > 0))
    AND (NOT :failures OR failed > 0) AND (:owner IS NULL OR owner = :owner)
    AND (
        :like IS NULL OR name LIKE :like ESCAPE '\'
        OR EXISTS (SELECT 1 FROM sources WHERE job = jobs.seq AND sources.name LIKE :like ESCAPE '\')
    )

-- The same as for one job, for those of many of which anything is left.
-- name: request_cancel_of_jobs
UPDATE jobs SET cancel_requested_at = coalesce(cancel_requested_at, :now)
WHERE seq IN (SELECT value FROM json_each(:jobs)) AND queued + processing > 0
    AND (queued > 0 OR cancel_requested_at IS NULL)
RETURNING seq

-- Has films of these jobs that were cancelled, are being cancelled, or failed, be kept no longer.
-- name: keep_no_longer_of_jobs
UPDATE variations SET keep_partial = 0
WHERE seq IN (SELECT variation FROM pieces UNION SELECT seq FROM variations WHERE status = 'processing')
    AND +job IN (SELECT value FROM json_each(:jobs)) AND keep_partial

-- Cancels what waits of these jobs.
-- name: cancel_queued_of_jobs
UPDATE variations SET status = 'cancelled', cancel_requested_at = :now, finished_at = :now, not_before = NULL
WHERE job IN (SELECT value FROM json_each(:jobs)) AND status = 'queued'

-- Of what runs there is little: it is looked for among that, not among the jobs' variations.
-- name: request_cancel_of_running
UPDATE variations SET cancel_requested_at = :now
WHERE status = 'processing' AND +job IN (SELECT value FROM json_each(:jobs)) AND cancel_requested_at IS NULL

-- What runs of these jobs.
-- name: running_of_jobs
SELECT id FROM variations WHERE status = 'processing' AND +job IN (SELECT value FROM json_each(:jobs))

-- Deletes those of these jobs of which nothing waits or runs.
-- name: delete_jobs
DELETE FROM jobs WHERE seq IN (SELECT value FROM json_each(:jobs)) AND queued = 0 AND processing = 0
RETURNING id, seq

-- The variations that a verb speaks of.
-- name: scope
SELECT id, seq, status, cancel_requested_at, finished_at FROM variations
WHERE job = :job AND (:source IS NULL OR source = :source) AND (:variation IS NULL OR seq = :variation)
ORDER BY seq

-- Boot recovery

-- Variations that were in flight when the last daemon ended.
-- name: interrupted
SELECT variations.*, jobs.id AS job_id FROM variations JOIN jobs ON jobs.seq = variations.job
WHERE variations.status = 'processing' ORDER BY variations.seq

-- Processes that may have outlived the last daemon.
-- name: live_attempts
SELECT variation, token, handle, boot FROM attempts WHERE ended_at IS NULL

-- Sweep, expiry, eviction

-- Whether there is a job of that id.
-- name: known_job
SELECT seq FROM jobs WHERE id = :id

-- Completed variations whose file should be there, from one on.
-- name: completed_after
SELECT variations.seq, variations.id, variations.extension, jobs.id AS job
FROM variations JOIN jobs ON jobs.seq = variations.job
WHERE variations.seq > :after AND variations.status = 'completed' AND variations.lost_at IS NULL
ORDER BY variations.seq LIMIT :limit

-- Told by its id: its seq may be another's since it was deleted.
-- name: mark_lost
UPDATE variations SET lost_at = :now, error = :error WHERE id = :variation AND status = 'completed'

-- What was given longer a moment before stays: it is looked for as it is deleted.
-- name: delete_expired_job
DELETE FROM jobs WHERE queued = 0 AND processing = 0 AND seq = (
    SELECT seq FROM jobs WHERE expires_at IS NOT NULL AND expires_at <= :now ORDER BY expires_at LIMIT 1
)
RETURNING id, owner

-- Deletes the job that ended first, to make room on the disk.
-- name: delete_oldest_ended_job
DELETE FROM jobs WHERE queued = 0 AND processing = 0 AND seq = (
    SELECT seq FROM jobs WHERE finished_at IS NOT NULL AND undelivered = 0 ORDER BY finished_at LIMIT 1
)
RETURNING id, owner

-- Keeps that there was a job, for its links to say so.
-- name: bury
INSERT OR REPLACE INTO tombstones (job, made_at, reason, owner) VALUES (:id, :now, :reason, :owner)

-- Ends that for jobs that are long gone.
-- name: forget_tombstones
DELETE FROM tombstones WHERE made_at <= :before

-- Events

-- Events that came after one.
-- name: events_after
SELECT id, type, job, data, owner FROM events WHERE id > :after ORDER BY id LIMIT :limit

-- The same, of one job.
-- name: events_of_job_after
SELECT id, type, job, data, owner FROM events WHERE job = :job AND id > :after ORDER BY id LIMIT :limit

-- The same, of one owner's jobs, and of the queue.
-- name: events_of_owner_after
SELECT * FROM (
    SELECT * FROM (
        SELECT id, type, job, data, owner FROM events WHERE owner = :owner AND id > :after ORDER BY id LIMIT :limit
    )
    UNION ALL
    SELECT * FROM (
        SELECT id, type, job, data, owner FROM events WHERE job IS NULL AND id > :after ORDER BY id LIMIT :limit
    )
) ORDER BY id LIMIT :limit

-- The newest id given out so far, even if its event is forgotten.
-- name: last_event
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0) AS id

-- The oldest event that is kept.
-- name: first_event
SELECT min(id) AS id FROM events

-- Some at a time: others want to write too.
-- name: forget_events
DELETE FROM events WHERE id IN (SELECT id FROM events WHERE at <= :before ORDER BY at LIMIT :limit)

-- Deliveries

-- The one with something left to do that is due first, is not under way, and whose place is free for its owner: `pairs`
-- holds places with owners who are to wait there, parted by a blank, and `stay` owners who send nothing more abroad.
-- name: due_delivery
SELECT deliveries.id, deliveries.place, deliveries.wanted, deliveries.status, deliveries.landing, deliveries.failures,
    deliveries.since, variations.id AS variation, variations.name, variations.preset, variations.parameters,
    variations.extension, variations.bytes, variations.sha256, variations.quality, variations.contents,
    variations.output_seconds, (SELECT address FROM fetches WHERE source = sources.seq) AS fetched_from,
    sources.name AS source, sources.id AS source_id, sources.folder AS stem, sources.path,
    sources.bytes AS source_bytes, sources.modified, sources.inode, sources.media, jobs.id AS job, jobs.name AS job_name,
    jobs.created_at, jobs.owner,
    (jobs.owner IS NULL OR EXISTS (
        SELECT 1 FROM tokens, json_each(tokens.rights) WHERE tokens.name = jobs.owner AND json_each.value = 'admin'
    )) AS of_admin
FROM deliveries LEFT JOIN variations ON variations.seq = deliveries.variation
LEFT JOIN sources ON sources.seq = variations.source LEFT JOIN jobs ON jobs.seq = variations.job
WHERE deliveries.next_attempt_at <= :now AND deliveries.id NOT IN (SELECT value FROM json_each(:busy))
    AND deliveries.place NOT IN (SELECT value FROM json_each(:places))
    AND (:abroad OR substr(deliveries.place, 1, 4) <> 'http')
    AND deliveries.place || ' ' || coalesce(jobs.owner, '') NOT IN (SELECT value FROM json_each(:pairs))
    AND (
        substr(deliveries.place, 1, 4) <> 'http'
        OR coalesce(jobs.owner, '') NOT IN (SELECT value FROM json_each(:stay))
    )
    AND NOT (
        substr(deliveries.place, 1, 9) = 'original:' AND deliveries.status IN ('pending', 'running')
        AND deliveries.landing IS NULL AND coalesce(jobs.folder, '') IN (SELECT folder FROM paused_folders)
    )
ORDER BY deliveries.next_attempt_at LIMIT 1

-- One that waits for a place that rests, without that it is said. That others found it away is the operator's to know.
-- name: untold_rest
SELECT 1 FROM deliveries
WHERE next_attempt_at <= :now AND status = 'pending' AND error IS NULL AND EXISTS (
    SELECT 1 FROM variations JOIN jobs ON jobs.seq = variations.job CROSS JOIN json_each(:resting)
    WHERE variations.seq = deliveries.variation AND value ->> 0 = deliveries.place
        AND (value ->> 1 IS jobs.owner OR (value ->> 2 AND jobs.owner IS NULL))
)
LIMIT 1

-- Says so of all of these.
-- name: tell_of_rests
UPDATE deliveries SET error = :error
WHERE next_attempt_at <= :now AND status = 'pending' AND error IS NULL AND EXISTS (
    SELECT 1 FROM variations JOIN jobs ON jobs.seq = variations.job CROSS JOIN json_each(:resting)
    WHERE variations.seq = deliveries.variation AND value ->> 0 = deliveries.place
        AND (value ->> 1 IS jobs.owner OR (value ->> 2 AND jobs.owner IS NULL))
)

-- When the next one is due.
-- name: next_delivery
SELECT min(next_attempt_at) AS at FROM deliveries WHERE next_attempt_at > :now

-- Whether one may come: of what is completed, or is still to be.
-- name: deliveries_to_come
SELECT 1 FROM deliveries WHERE next_attempt_at IS NOT NULL
UNION ALL
SELECT 1 FROM variations WHERE deliver IS NOT NULL AND status <> 'completed'
LIMIT 1

-- Those of these that are still to be made, and now: nothing is replaced in a paused folder, unless it was begun.
-- name: wanted_deliveries
SELECT id FROM deliveries WHERE id IN (SELECT value FROM json_each(:deliveries)) AND next_attempt_at IS NOT NULL
    AND status IN ('pending', 'running') AND NOT (
        substr(place, 1, 9) = 'original:' AND landing IS NULL AND EXISTS (
            SELECT 1 FROM variations JOIN jobs ON jobs.seq = variations.job
                JOIN paused_folders ON paused_folders.folder = jobs.folder
            WHERE variations.seq = deliveries.variation
        )
    )

-- Whether attempts at one of these may have left something that nobody tried to remove yet.
-- name: uncleared_delivery
SELECT 1 FROM deliveries WHERE id IN (SELECT value FROM json_each(:of)) AND part = 1 AND failures = 0
    AND status IN ('delivered', 'failed')

-- Begins an attempt: from here on something may lie there. No row: it is not wanted any more.
-- name: begin_delivery
UPDATE deliveries SET status = 'running', part = 1, attempts = attempts + 1, error = nullif(error, :passed)
WHERE id = :id AND status IN ('pending', 'running')

-- Another delivery that came to an address, or is on its way there.
-- name: delivery_to_address
SELECT variations.name, variations.preset, variations.extension, sources.name AS source, sources.folder AS stem
FROM deliveries JOIN variations ON variations.seq = deliveries.variation JOIN sources ON sources.seq = variations.source
WHERE deliveries.address = :address AND deliveries.id <> :id AND deliveries.status <> 'failed' LIMIT 1

-- Keeps which address a delivery comes to.
-- name: claim_address
UPDATE deliveries SET address = :address WHERE id = :id

-- Keeps what the place will see after a crash how far it came by.
-- name: note_landing
UPDATE deliveries SET landing = :landing WHERE id = :id AND status = 'running'

-- Says what keeps an attempt that is under way.
-- name: tell_of_delivery
UPDATE deliveries SET error = :error WHERE id = :id AND status = 'running'

-- It is there, even if it was given up a moment ago.
-- name: record_delivered
UPDATE deliveries SET status = 'delivered', reached = :reached, kept = :kept, part = :kept, landing = NULL,
    error = NULL, settled_at = :now, next_attempt_at = iif(:kept, :now, NULL)
WHERE id = :id

-- Keeps no more of where it was put than may be shown.
-- name: erase_url_of_delivery
UPDATE deliveries SET wanted = :wanted WHERE id = :id

-- The same of what its variation asked for.
-- name: erase_url_of_variation
UPDATE variations SET deliver = :wanted WHERE seq = (SELECT variation FROM deliveries WHERE id = :id)

-- It is not there, and is tried again, or given up and what is left of it removed.
-- name: record_undelivered
UPDATE deliveries SET status = :status, error = :error, failures = failures + 1, next_attempt_at = :next_attempt_at,
    landing = iif(:status = 'failed' AND place LIKE 'folder:%', NULL, landing), settled_at = iif(:status = 'failed', :now, NULL)
WHERE id = :id AND status = 'running'

-- What attempts left is removed, but for what a retry may need to know of; or is to be removed later.
-- name: record_cleared
UPDATE deliveries SET part = :again IS NOT NULL, next_attempt_at = :again, failures = failures + 1,
    landing = iif(:again IS NULL, :landing, landing)
WHERE id = :id AND status IN ('delivered', 'failed')

-- Forgets deliveries of deleted variations of which nothing is left.
-- name: forget_orphaned_deliveries
DELETE FROM deliveries WHERE variation IS NULL AND part = 0

-- Lets go of the spool's copy of an output.
-- name: drop_output
UPDATE variations SET dropped = 1, lost_at = :now WHERE id = :variation AND status = 'completed' AND lost_at IS NULL

-- Deliveries of a job's variations.
-- name: deliveries_of_job
SELECT deliveries.*, variations.id AS brought FROM variations JOIN deliveries ON deliveries.variation = variations.seq
WHERE variations.job = :job

-- Those of jobs that may have left something where they go to.
-- name: parts_of_jobs
SELECT id FROM deliveries WHERE next_attempt_at IS NOT NULL AND part = 1
    AND (SELECT job FROM variations WHERE seq = deliveries.variation) IN (SELECT value FROM json_each(:jobs))

-- Gives up what is not delivered yet of a job, a source or a variation.
-- name: give_up_deliveries
UPDATE deliveries SET status = 'failed', error = :error, settled_at = :now,
    landing = iif(place LIKE 'folder:%', NULL, landing),
    next_attempt_at = iif(part, :now, NULL), failures = 0
WHERE status IN ('pending', 'running') AND variation IN (
    SELECT seq FROM variations WHERE job = :job AND (:source IS NULL OR source = :source)
        AND (:variation IS NULL OR seq = :variation) AND deliver IS NOT NULL
)
RETURNING id

-- The same for many jobs.
-- name: give_up_deliveries_of_jobs
UPDATE deliveries SET status = 'failed', error = :error, settled_at = :now,
    landing = iif(place LIKE 'folder:%', NULL, landing),
    next_attempt_at = iif(part, :now, NULL), failures = 0
WHERE next_attempt_at IS NOT NULL AND status IN ('pending', 'running')
    AND (SELECT job FROM variations WHERE seq = deliveries.variation) IN (SELECT value FROM json_each(:jobs))

-- Has what could not be delivered of a job, source or variation tried again, but for what is gone.
-- name: retry_deliveries
UPDATE deliveries SET status = 'pending', error = NULL, failures = 0, since = :now, next_attempt_at = :now,
    settled_at = NULL
WHERE status = 'failed' AND variation IN (
    SELECT seq FROM variations WHERE job = :job AND (:source IS NULL OR source = :source)
        AND (:variation IS NULL OR seq = :variation) AND deliver IS NOT NULL AND lost_at IS NULL
)

-- Whether something of a job, source or variation could not be delivered, be it gone by now or not.
-- name: undelivered_of_scope
SELECT 1 FROM deliveries WHERE status = 'failed' AND variation IN (
    SELECT seq FROM variations WHERE job = :job AND (:source IS NULL OR source = :source)
        AND (:variation IS NULL OR seq = :variation) AND deliver IS NOT NULL
) LIMIT 1

-- Sources by URL

-- Has a source be fetched; what is made of it waits until it is whole.
-- name: insert_fetch
INSERT INTO fetches (source, job, shown, wanted, address, since, next_attempt_at)
VALUES (:source, :job, :shown, :wanted, :address, :now, :now)

-- The one with something left to do that is to have its turn. What nobody wants any more is removed first; then comes
-- what is urgent, of that the owner of whom least is under way (`owners`), or was lately (`turns`), then the job of which
-- least is (`jobs`), and what is due longest.
-- name: due_fetch
SELECT fetches.shown, fetches.wanted, fetches.status, fetches.length, fetches.version, fetches.failures,
    iif(fetches.attempts, fetches.since, :now) AS since, sources.id, sources.name, sources.bytes, jobs.id AS job,
    jobs.seq AS job_seq, jobs.owner, jobs.priority,
    (jobs.owner IS NULL OR EXISTS (
        SELECT 1 FROM tokens, json_each(tokens.rights) WHERE tokens.name = jobs.owner AND json_each.value = 'admin'
    )) AS of_admin
FROM fetches CROSS JOIN sources ON sources.seq = fetches.source CROSS JOIN jobs ON jobs.seq = fetches.job
WHERE fetches.next_attempt_at <= :now AND sources.id NOT IN (SELECT value FROM json_each(:busy))
    AND (fetches.status <> 'pending' OR (NOT :full AND jobs.paused = 0 AND (
        SELECT iif(state <> 'running' OR overruled, state, scheduled) FROM queue
    ) = 'running'))
ORDER BY fetches.status = 'pending', jobs.priority DESC,
    (SELECT count(*) FROM json_each(:owners) WHERE value IS jobs.owner),
    (SELECT value ->> 1 FROM json_each(:turns) WHERE value ->> 0 IS jobs.owner),
    (SELECT count(*) FROM json_each(:jobs) WHERE value = fetches.job), fetches.next_attempt_at, fetches.source
LIMIT 1

-- When the next one is due.
-- name: next_fetch
SELECT min(next_attempt_at) AS at FROM fetches WHERE next_attempt_at > :now

-- Whether anything is left to do.
-- name: any_fetch
SELECT 1 FROM fetches WHERE next_attempt_at IS NOT NULL LIMIT 1

-- Those of these sources that are still to be fetched, and are not paused.
-- name: wanted_fetches
SELECT sources.id FROM sources JOIN fetches ON fetches.source = sources.seq JOIN jobs ON jobs.seq = sources.job
WHERE sources.id IN (SELECT value FROM json_each(:sources)) AND fetches.status = 'pending' AND jobs.paused = 0
    AND (SELECT iif(state <> 'running' OR overruled, state, scheduled) FROM queue) <> 'paused'

-- Begins an attempt: from here on something may lie there. No row: it is not wanted any more.
-- name: begin_fetch
UPDATE fetches SET part = 1, attempts = attempts + 1, since = :since, error = nullif(error, :passed)
WHERE source = (SELECT seq FROM sources WHERE id = :id) AND status = 'pending'

-- Says that it gives way, whatever else kept it; from `again` on it waits as if it came then.
-- name: leave_slot
UPDATE fetches SET error = :error, next_attempt_at = coalesce(:again, next_attempt_at)
WHERE source = (SELECT seq FROM sources WHERE id = :id) AND status = 'pending'

-- Keeps which file it is that is being fetched.
-- name: note_fetch
UPDATE fetches SET length = :length, version = :version
WHERE source = (SELECT seq FROM sources WHERE id = :id) AND status = 'pending'

-- So much of a source that is being fetched is on the disk, whatever happens.
-- name: grow_fetch
UPDATE sources SET bytes = :bytes
WHERE id = :id AND EXISTS (SELECT 1 FROM fetches WHERE source = sources.seq AND status = 'pending')

-- How much of it is on the disk.
-- name: fetched_bytes
SELECT bytes FROM sources WHERE id = :id

-- It is whole. No row: nobody wants it any more.
-- name: record_fetched
UPDATE fetches SET status = 'fetched', wanted = NULL, part = 0, error = NULL, next_attempt_at = NULL, settled_at = :now
WHERE source = (SELECT seq FROM sources WHERE id = :id) AND status = 'pending'

-- It is not whole, and is tried again.
-- name: put_fetch_off
UPDATE fetches SET error = :error, failures = :failures, next_attempt_at = :again
WHERE source = (SELECT seq FROM sources WHERE id = :id) AND status = 'pending'

-- It is given up, and what there is of it is to be removed.
-- name: give_up_fetch
UPDATE fetches SET status = 'failed', wanted = NULL, error = :error, failures = 0, settled_at = :now,
    next_attempt_at = :now
WHERE source = (SELECT seq FROM sources WHERE id = :id) AND status = 'pending'

-- What there was of it is removed.
-- name: record_fetch_cleared
UPDATE fetches SET part = 0, next_attempt_at = NULL
WHERE source = (SELECT seq FROM sources WHERE id = :id) AND status <> 'pending'

-- Says that nothing of a source is here, once it is not to be fetched any more.
-- name: empty_source
UPDATE sources SET bytes = 0
WHERE id = :id AND EXISTS (SELECT 1 FROM fetches WHERE source = sources.seq AND status IN ('failed', 'cancelled'))

-- Whether something of these jobs is left that nobody wants any more.
-- name: uncleared_fetch
SELECT 1 FROM fetches WHERE next_attempt_at IS NOT NULL AND status <> 'pending'
    AND job IN (SELECT value FROM json_each(:of)) LIMIT 1

-- Those of a job.
-- name: fetches_of_job
SELECT fetches.*, sources.id FROM sources JOIN fetches ON fetches.source = sources.seq WHERE sources.job = :job

-- How it is with the fetch of one source, if it comes by URL.
-- name: fetch_of_source
SELECT status FROM fetches WHERE source = :source

-- Sources of which some is here, and more to come.
-- name: begun_fetches
SELECT sources.id, sources.bytes, jobs.id AS job
FROM fetches CROSS JOIN sources ON sources.seq = fetches.source JOIN jobs ON jobs.seq = fetches.job
WHERE fetches.next_attempt_at IS NOT NULL AND fetches.status = 'pending'

-- Watched folders

-- Those of these files of a folder that were taken or refused already, but for what failed while it was out of reach,
-- some twenty times. `keys` is a JSON list of their columns.
-- name: known_files
SELECT inode, bytes, modified FROM watched_files WHERE folder = :folder AND recipe IN (:recipe, :ruled)
    AND (inode, bytes, modified) IN (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(:keys))
    AND NOT (away = 1 AND outcome = 'failed' AND returns < 20)

-- The same by name, where inodes do not last: for that, too, a job fails. `names` is a JSON list of their columns.
-- name: known_names
SELECT name, bytes, modified FROM watched_files WHERE folder = :folder AND recipe IN (:recipe, :ruled)
    AND (name, bytes, modified) IN (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(:names))
    AND coalesce(outcome, '') <> 'failed'

-- How many of a folder's files became jobs, and how many were refused.
-- name: watched_counts
SELECT count(job) AS taken, count(error) AS refused,
    count(*) FILTER (WHERE job IS NOT NULL AND coalesce(outcome, 'queued') IN ('queued', 'processing')) AS working,
    count(*) FILTER (WHERE outcome IN ('completed', 'replaced', 'moved', 'deleted')) AS made,
    count(*) FILTER (WHERE outcome = 'not delivered') AS not_delivered,
    count(*) FILTER (WHERE outcome = 'not replaced') AS not_replaced,
    count(*) FILTER (WHERE outcome IN ('failed', 'cancelled')) AS failed
FROM watched_files WHERE folder = :folder AND recipe IN (:recipe, :ruled)

-- What became of a folder's files, the newest first, from below one that was taken then and has that inode.
-- name: watched_history
SELECT name, inode, bytes, job, error, coalesce(said, iif(outcome = 'failed', (
    SELECT variations.error FROM jobs JOIN variations ON variations.job = jobs.seq
    WHERE jobs.id = watched_files.job AND variations.status = 'skipped' LIMIT 1
), NULL), iif(outcome = 'completed' AND fate IS NOT NULL AND NOT finished AND NOT EXISTS (
    SELECT 1 FROM jobs WHERE jobs.id = watched_files.job AND jobs.undelivered > 0
), 'it stays, for ' || coalesce((
    SELECT variations.preset || ' was not made of it: ' || variations.error
    FROM jobs JOIN variations ON variations.job = jobs.seq
    WHERE jobs.id = watched_files.job AND variations.status = 'skipped' LIMIT 1
), 'not all was made of it that was asked for'), NULL)) AS said, outcome, taken_at, coalesce((
    SELECT variations.waiting FROM jobs JOIN variations ON variations.job = jobs.seq
    WHERE jobs.id = watched_files.job AND variations.status = 'queued' AND variations.waiting IS NOT NULL LIMIT 1
), (
    SELECT deliveries.error FROM jobs JOIN variations ON variations.job = jobs.seq
        JOIN deliveries ON deliveries.variation = variations.seq
    WHERE jobs.id = watched_files.job AND jobs.undelivered > 0 AND deliveries.status IN ('pending', 'running')
        AND deliveries.error IS NOT NULL LIMIT 1
), (
    SELECT 'it waits until its folder is resumed' FROM jobs JOIN variations ON variations.job = jobs.seq
        JOIN deliveries ON deliveries.variation = variations.seq JOIN paused_folders ON paused_folders.folder = jobs.folder
    WHERE jobs.id = watched_files.job AND jobs.undelivered > 0 AND deliveries.status IN ('pending', 'running')
        AND substr(deliveries.place, 1, 9) = 'original:' AND deliveries.landing IS NULL LIMIT 1
)) AS waiting FROM watched_files
WHERE folder = :folder AND (taken_at, inode) < (:below, :inode) AND recipe IN (:recipe, :ruled)
    AND (job IS NOT NULL OR error IS NOT NULL)
ORDER BY taken_at DESC, inode DESC LIMIT :limit

-- Forgets which of a folder's files were refused, failed or were cancelled, or not delivered by a job that is gone.
-- name: forget_failed_files
DELETE FROM watched_files WHERE folder = :folder AND recipe IN (:recipe, :ruled)
    AND (error IS NOT NULL OR outcome IN ('failed', 'cancelled', 'not replaced') OR (
        outcome = 'not delivered' AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = watched_files.job)
    ))

-- Lets files be replaced anew that were put back when other was made of them.
-- name: forget_undone_files
UPDATE watched_files SET outcome = 'not replaced', said = 'it was undone, and looked at anew since'
WHERE folder = :folder AND outcome = 'undone' AND recipe NOT IN (:recipe, :ruled)

-- Whether a file was put back, whatever was made of it and whatever it is called by now.
-- name: undone_file
WITH RECURSIVE recipes (recipe) AS (
    SELECT min(recipe) FROM watched_files WHERE folder = :folder
    UNION ALL
    SELECT (SELECT min(recipe) FROM watched_files WHERE folder = :folder AND recipe > recipes.recipe)
    FROM recipes WHERE recipe IS NOT NULL
)
SELECT 1 FROM recipes JOIN watched_files USING (recipe)
WHERE folder = :folder AND inode = :inode AND bytes = :bytes AND modified = :modified AND outcome = 'undone'
UNION ALL
SELECT 1 FROM watched_files INDEXED BY watched_files_by_name
WHERE folder = :folder AND name = :name AND bytes = :bytes AND modified = :modified AND outcome = 'undone'

-- The jobs of those that were made and not delivered.
-- name: jobs_of_undelivered_files
SELECT jobs.seq, jobs.not_delivered FROM watched_files JOIN jobs ON jobs.id = watched_files.job
WHERE watched_files.folder = :folder AND recipe IN (:recipe, :ruled) AND outcome = 'not delivered'

-- Knows files by what is made of them that were known by where it was brought, too.
-- name: adopt_files
UPDATE OR IGNORE watched_files SET recipe = iif(recipe = :was, :recipe, :ruled)
WHERE folder = :folder AND recipe IN (:was, :was_ruled)

-- Watched folders as they were.
-- name: known_folders
SELECT name, place, made FROM known_folders

-- Keeps how one is.
-- name: know_folder
INSERT OR REPLACE INTO known_folders (name, place, made) VALUES (:name, :place, :made)

-- Forgets one.
-- name: forget_folder
DELETE FROM known_folders WHERE name = :name

-- A file of a folder of which that was made.
-- name: file_of_folder
SELECT 1 FROM watched_files WHERE folder = :folder AND recipe IN (:recipe, :ruled) LIMIT 1

-- Has files be those of their folder by its new name.
-- name: rename_folder_of_watched_files
UPDATE OR REPLACE watched_files SET folder = :name WHERE folder = :was

-- The same of originals.
-- name: rename_folder_of_replacements
UPDATE replacements SET folder = :name WHERE folder = :was

-- The same of jobs that are not over.
-- name: rename_folder_of_jobs
UPDATE jobs SET folder = :name WHERE folder = :was AND seq IN (
    SELECT seq FROM jobs WHERE folder = :was AND queued + processing > 0
    UNION ALL
    SELECT variations.job FROM deliveries JOIN variations ON variations.seq = deliveries.variation
    WHERE deliveries.next_attempt_at IS NOT NULL
)

-- The same of what is paused.
-- name: rename_folder_of_paused_folders
UPDATE OR REPLACE paused_folders SET folder = :name WHERE folder = :was

-- The same of what runs though it is not its hour.
-- name: rename_folder_of_overruled_folders
UPDATE OR REPLACE overruled_folders SET folder = :name WHERE folder = :was

-- Forgets which files failed, or were not replaced, by presets that say something else now.
-- name: forget_what_presets_did
DELETE FROM watched_files WHERE folder = :folder AND recipe IN (:recipe, :ruled)
    AND (outcome IN ('failed', 'not replaced') OR error LIKE 'not replaced: %')

-- Those that are paused.
-- name: paused_folders
SELECT folder FROM paused_folders

-- Pauses a folder.
-- name: pause_folder
INSERT OR IGNORE INTO paused_folders (folder) VALUES (:folder)

-- Lets a folder be scanned again.
-- name: resume_folder
DELETE FROM paused_folders WHERE folder = :folder

-- The places on this host to which something was brought.
-- name: brought_places
SELECT DISTINCT place FROM brought WHERE place NOT IN ('s3:', 'gs:', 'az:')

-- Those of these paths to which something was brought. `paths` is a JSON list of places and paths.
-- name: brought_to
SELECT place, path, bytes, seconds, codec FROM brought
WHERE (place, path) IN (SELECT value ->> 0, value ->> 1 FROM json_each(:paths))

-- Those of these that were delivered, by whatever name. `keys` is a JSON list of inodes, bytes and times.
-- name: brought_files
SELECT inode, bytes, modified FROM brought_files
WHERE (inode, bytes, modified) IN (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(:keys))

-- What is in folders that were delivered, of those that have one of these inodes.
-- name: files_of_brought_folders
SELECT folder, name, inode, bytes, modified FROM brought_files
WHERE folder IS NOT NULL AND folder IN (SELECT value FROM json_each(:inodes))

-- Keeps where a delivery lies now, or is about to.
-- name: keep_brought
INSERT INTO brought (place, path, bytes, seconds, codec) VALUES (:place, :path, :bytes, :seconds, :codec)
ON CONFLICT DO UPDATE SET seconds = excluded.seconds, codec = excluded.codec

-- Keeps what is delivered, or part of it, by what no rename changes.
-- name: keep_brought_file
INSERT OR REPLACE INTO brought_files (inode, bytes, modified, name, folder)
VALUES (:inode, :bytes, :modified, :name, :folder)

-- Keeps that a file is an output of ours.
-- name: insert_own_file
INSERT OR IGNORE INTO watched_files (folder, recipe, inode, bytes, modified, name, taken_at)
VALUES (:folder, :recipe, :inode, :bytes, :modified, :name, :now)

-- Keeps that a source was out of reach when its encode came to nothing.
-- name: record_away
UPDATE watched_files SET away = 1
WHERE job = (SELECT jobs.id FROM sources JOIN jobs ON jobs.seq = sources.job WHERE sources.id = :source)

-- Forgets that a file failed while it was out of reach, since it is taken again, there or where it was moved to.
-- name: forget_away
DELETE FROM watched_files WHERE folder = :folder AND recipe = :recipe AND away = 1 AND outcome = 'failed'
    AND (name = :name OR (inode = :inode AND bytes = :bytes AND modified = :modified))
RETURNING returns

-- Keeps that a file was taken or refused.
-- name: insert_watched_file
INSERT INTO watched_files (folder, recipe, inode, bytes, modified, name, job, error, fate, disk, returns,
    taken_at)
VALUES (:folder, :recipe, :inode, :bytes, :modified, :name, :job, :error, :fate, :disk, :returns, :now)

-- The source of a job that came of a watched folder.
-- name: source_of_folder
SELECT sources.seq, sources.bytes, jobs.id AS job, jobs.folder FROM sources JOIN jobs ON jobs.seq = sources.job
WHERE sources.id = :source AND jobs.folder IS NOT NULL

-- Keeps that a file which was taken is refused, now that it could be read.
-- name: refuse_taken_file
UPDATE OR REPLACE watched_files SET recipe = :recipe, job = NULL, error = :error, fate = NULL, outcome = NULL
WHERE job = :job

-- Has a job be forgotten once it ended, unless somebody wants it kept.
-- name: forget_at_end
UPDATE jobs SET expires_in = 0 WHERE id = :job

-- Leaves out all that waits for a source, of which nothing is to be made.
-- name: skip_source
UPDATE variations SET status = 'skipped', error = :error, finished_at = :now, waiting = NULL
WHERE source = :source AND status = 'queued'

-- Has the file stay that a job was made of, and says why.
-- name: keep_source
UPDATE watched_files SET fate = NULL, said = :said WHERE job = :job AND fate IS NOT NULL

-- Files of a folder of which all is delivered, and that are to go; with what they hold, where their jobs still tell.
-- name: files_to_go
SELECT *, (
    SELECT sources.media FROM jobs JOIN sources ON sources.job = jobs.seq WHERE jobs.id = watched_files.job LIMIT 1
) AS media FROM watched_files WHERE folder = :folder AND fate IS NOT NULL AND finished = 1

-- Lets those go of which that was said, whatever disk is there.
-- name: forget_lost_disk
UPDATE watched_files SET disk = NULL, said = NULL
WHERE folder = :folder AND fate IS NOT NULL AND finished = 1 AND said = :said

-- Keeps what became of one of them, or why it stays.
-- name: record_gone
UPDATE watched_files SET fate = NULL, outcome = coalesce(:outcome, outcome), said = :said
WHERE folder = :folder AND recipe = :recipe AND inode = :inode AND bytes = :bytes AND modified = :modified

-- Keeps why one of them does not go yet.
-- name: tell_of_file
UPDATE watched_files SET said = :said
WHERE folder = :folder AND recipe = :recipe AND inode = :inode AND bytes = :bytes AND modified = :modified

-- Keeps that an output took the place of its original.
-- name: insert_replacement
INSERT INTO replacements (id, job, folder, name, taken_by, aside, wanted, original_bytes, bytes, step, replaced_at,
    keep_until, sha256, keep_seen)
SELECT :id, :job, :folder, :name, :taken_by, :aside, :wanted, :original_bytes, :bytes, 'done', :now, :now + :keep,
    :sha256, seconds + :keep FROM seen_time WHERE one = 1

-- The same for the file of the watched folder, or that it was undone.
-- name: record_replaced
UPDATE watched_files SET outcome = :outcome, said = NULL WHERE job = :job

-- How many originals of a folder were replaced, and the bytes that saved.
-- name: saved
SELECT count(*) AS replaced, coalesce(sum(original_bytes - bytes), 0) AS bytes FROM replacements
WHERE folder = :folder AND step NOT IN ('undoing', 'undone')

-- Replacements of the file of this path, which is that of the original or of what took its place, the last one first.
-- Where there are several, they may be of different disks.
-- name: replacements_at
SELECT * FROM replacements
WHERE :path IN (
    rtrim(wanted ->> '$.replaces.root', '/') || '/' || name, rtrim(wanted ->> '$.replaces.root', '/') || '/' || taken_by
)
ORDER BY step <> 'undone' DESC, replaced_at DESC

-- Those whose originals are kept, and in whose watched folder that path lies.
-- name: replacements_around
SELECT * FROM replacements
WHERE step = 'done' AND substr(:path, 1, length(wanted ->> '$.replaces.root') + 1) = (wanted ->> '$.replaces.root') || '/'

-- Where originals were replaced, and are kept.
-- name: replaced_places
SELECT DISTINCT
    wanted ->> '$.replaces.root' AS root, wanted ->> '$.replaces.disk' AS disk, wanted ->> '$.replaces.trash' AS trash
FROM replacements WHERE step IN ('done', 'undoing', 'emptying')

-- Has those of a folder that lies elsewhere by now be there.
-- name: relocate_replacements
UPDATE replacements SET wanted = json_set(
    wanted, '$.place', 'original:' || :root, '$.wish.folder', :root, '$.replaces.root', :root, '$.replaces.trash', :trash
)
WHERE wanted ->> '$.replaces.root' = :was AND wanted ->> '$.replaces.disk' = :disk
    AND step IN ('done', 'undoing', 'emptying')

-- One of them.
-- name: replacement
SELECT * FROM replacements WHERE id = :id

-- Keeps that what took an original's place has another path by now.
-- name: rename_replacement
UPDATE replacements SET taken_by = :taken_by WHERE id = :id AND step IN ('done', 'emptying')

-- Those that something is left to be done of: what was begun, and what was kept long enough, but for paused folders.
-- name: due_replacements
SELECT * FROM replacements WHERE step IN ('undoing', 'emptying')
UNION ALL
SELECT * FROM replacements WHERE step = 'done' AND keep_until <= :now
    AND folder NOT IN (SELECT folder FROM paused_folders)
    AND keep_seen <= (SELECT seconds FROM seen_time WHERE one = 1)

-- Has originals of a folder be kept for so many seconds, where that is longer than was said when they were replaced.
-- name: keep_originals_longer
UPDATE replacements SET keep_until = replaced_at + :keep, keep_seen = keep_seen + :keep - (keep_until - replaced_at)
WHERE folder = :folder AND step = 'done' AND keep_until < replaced_at + :keep

-- Says of a file that was replaced why its original is kept.
-- name: tell_of_original
UPDATE watched_files SET said = :said WHERE job = :job AND outcome = 'replaced' AND said IS NOT :said

-- Whether an original is kept.
-- name: kept_original
SELECT 1 FROM replacements WHERE step = 'done' LIMIT 1

-- Counts what passed since it was last written, as far as that is known: while a host was off nothing is.
-- name: see_time_pass
UPDATE seen_time SET seconds = seconds + iif(boot = :boot, max(0, :uptime - uptime), 0), boot = :boot, uptime = :uptime
WHERE one = 1

-- Goes from one step to the next, if it is still at that.
-- name: step_replacement
UPDATE replacements SET step = :step WHERE id = :id AND step = :before RETURNING *

-- Hooks

-- Queues a hook for a delivery that was made.
-- name: insert_hook_run
INSERT INTO hook_runs (hook, job, variation, told, status, created_at, next_attempt_at)
VALUES (:hook, :job, :variation, :told, 'pending', :now, :now)

-- The one that is due first; one that is to wait until after the `latest` saw the clock set back meanwhile.
-- name: due_hook_run
SELECT * FROM hook_runs WHERE status = 'pending' AND (next_attempt_at <= :now OR next_attempt_at > :latest)
ORDER BY next_attempt_at LIMIT 1

-- How a hook's command ended.
-- name: record_hook_run
UPDATE hook_runs SET status = :status, attempts = attempts + 1, exit_code = :code, said = :said,
    next_attempt_at = :again, settled_at = iif(:status = 'pending', NULL, :now)
WHERE seq = :seq

-- Newest first.
-- name: newest_hook_runs
SELECT * FROM hook_runs WHERE seq > 0 ORDER BY seq DESC LIMIT :limit

-- Of one job, newest first.
-- name: hook_runs_of_job
SELECT * FROM hook_runs WHERE job = :job ORDER BY seq DESC LIMIT :limit

-- Ends the record of hooks that are long settled.
-- name: forget_hook_runs
DELETE FROM hook_runs WHERE status <> 'pending' AND created_at <= :before

-- Webhooks

-- The oldest that is due, is not being sent, and whose URL is not being sent as much as it may.
-- name: due_message
SELECT id, job, owner, type, url, snapshot, created_at, failures, since,
    (outbox.owner IS NULL OR EXISTS (
        SELECT 1 FROM tokens, json_each(tokens.rights) WHERE tokens.name = outbox.owner AND json_each.value = 'admin'
    )) AS of_admin
FROM outbox
WHERE status = 'pending' AND next_attempt_at <= :now
    AND id NOT IN (SELECT value FROM json_each(:sending)) AND url NOT IN (SELECT value FROM json_each(:busy))
ORDER BY next_attempt_at LIMIT 1

-- When the next message is to be sent.
-- name: next_message
SELECT min(next_attempt_at) AS at FROM outbox WHERE status = 'pending' AND next_attempt_at > :now

-- What an attempt came to. No row: it was replayed or disabled meanwhile.
-- name: settle_message
UPDATE outbox SET status = :status, attempts = attempts + 1, failures = :failures,
    next_attempt_at = :next_attempt_at, last_status_code = :status_code, last_error = :error,
    delivered_at = iif(:status = 'delivered', :now, delivered_at)
WHERE id = :id AND since = :since AND (status = 'pending' OR :status = 'delivered')

-- Gives up a job's messages, because their receiver wants none any more.
-- name: disable_messages
UPDATE outbox SET status = 'disabled', next_attempt_at = NULL, last_error = :error
WHERE job = (SELECT job FROM outbox WHERE id = :id) AND status = 'pending'

-- Has a message sent again as if it never was.
-- name: replay_message
UPDATE outbox SET status = 'pending', failures = 0, next_attempt_at = :now, since = :now
WHERE id = :id

-- One message with what became of it.
-- name: message
SELECT * FROM outbox WHERE id = :id

-- Whether a message is of an owner's job.
-- name: owned_message
SELECT 1 FROM outbox WHERE id = :id AND owner = :owner

-- Newest first, below the cursor.
-- name: page_of_messages
SELECT * FROM outbox WHERE /* of owner */ seq < :below AND (:status IS NULL OR status = :status)
ORDER BY seq DESC LIMIT :limit

-- Messages of one job, newest first, below the cursor.
-- name: page_of_messages_of_job
SELECT * FROM outbox WHERE /* of owner */ job = :job AND seq < :below AND (:status IS NULL OR status = :status)
ORDER BY seq DESC LIMIT :limit

-- Ends the record of messages that are long settled.
-- name: forget_messages
DELETE FROM outbox WHERE status <> 'pending' AND created_at <= :before

-- Figures

-- Variations that wait.
-- name: queued_variations
SELECT variations AS count FROM tally WHERE status = 'queued'

-- Those of one owner.
-- name: queued_variations_of_owner
SELECT coalesce(sum(queued), 0) AS count FROM jobs WHERE owner = :owner AND queued > 0

-- What is stored for one owner: sources and outputs, announced uploads and fetches, pieces of films that wait.
-- name: stored_bytes_of_owner
SELECT
    (SELECT coalesce(sum(stored), 0) FROM jobs WHERE owner = :owner)
    + (SELECT coalesce(sum(length), 0) FROM uploads WHERE owner = :owner)
    + (SELECT coalesce(sum(max(0, fetches.length - sources.bytes)), 0)
       FROM fetches CROSS JOIN sources ON sources.seq = fetches.source CROSS JOIN jobs ON jobs.seq = fetches.job
       WHERE fetches.next_attempt_at IS NOT NULL AND fetches.status = 'pending' AND jobs.owner = :owner)
    + (SELECT coalesce(sum(pieces.bytes + sound_bytes), 0) FROM pieces CROSS JOIN variations ON variations.seq = pieces.variation
       WHERE variations.status <> 'processing' AND variations.owner = :owner)
    AS count

-- What counts towards the most that may be stored: sources, outputs, announced uploads and fetches, the database.
-- name: stored_bytes
SELECT
    (SELECT sum(bytes) FROM disk WHERE kind IN ('sources', 'outputs'))
    + (SELECT coalesce(sum(length), 0) FROM uploads)
    + (SELECT coalesce(sum(max(0, fetches.length - sources.bytes)), 0)
       FROM fetches CROSS JOIN sources ON sources.seq = fetches.source
       WHERE fetches.next_attempt_at IS NOT NULL AND fetches.status = 'pending')
    + (SELECT coalesce(sum(pieces.bytes + sound_bytes), 0) FROM pieces CROSS JOIN variations ON variations.seq = pieces.variation
       WHERE variations.status <> 'processing')
    + (SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size)
    AS count

-- Jobs and variations by status, as counted while they change.
-- name: tally
SELECT status, jobs, variations FROM tally

-- The same of one owner.
-- name: tally_of_owner
SELECT status, jobs, variations FROM owned_tally WHERE owner = :owner

-- When an owner's job was made that waits longest.
-- name: oldest_queued_of_owner
SELECT min(created_at) AS created_at FROM jobs WHERE owner = :owner AND queued > 0

-- When the job was made whose variation waits longest.
-- name: oldest_queued
SELECT jobs.created_at FROM variations JOIN jobs ON jobs.seq = variations.job
WHERE variations.status = 'queued' ORDER BY variations.seq LIMIT 1

-- Jobs that are paused with something left to do, up to 1,000.
-- name: paused_jobs
SELECT count(*) AS count FROM (
    SELECT 1 FROM jobs WHERE /* of owner */ paused = 1 AND seq > 0 AND queued + processing > 0 LIMIT 1000
)

-- Ended jobs of which something failed, whatever became of the rest, up to 1,000.
-- name: jobs_with_failures
SELECT count(*) AS count FROM (
    SELECT 1 FROM jobs WHERE /* of owner */ failed > 0 AND seq > 0 LIMIT 1000
)

-- Completed variations whose file is gone unasked, of up to 1,000 jobs.
-- name: lost_variations
SELECT coalesce(sum(lost), 0) AS count FROM (
    SELECT lost FROM jobs WHERE /* of owner */ lost > 0 AND seq > 0 LIMIT 1000
)

-- Messages that could not be sent so far, and since when the first of them is due.
-- name: failing_messages
SELECT count(*) AS count, min(since) AS since FROM outbox WHERE status = 'pending' AND failures > 0

-- Outputs that could not be delivered so far, and since when the first of them is due.
-- name: failing_deliveries
SELECT count(*) AS count, min(since) AS since FROM deliveries
WHERE next_attempt_at IS NOT NULL AND status IN ('pending', 'running') AND error IS NOT NULL
    AND (failures > 0 OR status = 'running')

-- How often each stage of a cancel ended a process, and how long that took.
-- name: stops
SELECT stage, count, seconds FROM stops

-- Counts one more of them.
-- name: count_stop
INSERT INTO stops (stage, count, seconds) VALUES (:stage, 1, :seconds)
ON CONFLICT (stage) DO UPDATE SET count = count + 1, seconds = seconds + :seconds

-- Of the database, what holds something: the rest of its file is filled before that grows.
-- name: disk
SELECT kind, bytes FROM disk
UNION ALL
SELECT 'database', (page_count - freelist_count) * page_size
FROM pragma_page_count, pragma_freelist_count, pragma_page_size
UNION ALL
SELECT 'pieces', coalesce(sum(pieces.bytes + sound_bytes), 0)
FROM pieces CROSS JOIN variations ON variations.seq = pieces.variation
WHERE variations.status <> 'processing'

-- Which database this is

-- Which database this is, and how many daemons it has had.
-- name: lineage
SELECT id, generation, backup FROM lineage

-- Counts one more daemon.
-- name: begin_generation
UPDATE lineage SET generation = :generation, backup = 0

-- Ids that a later state of this database gave out are not given out again.
-- name: skip_event_ids
UPDATE sqlite_sequence SET seq = seq + :gap WHERE name = 'events'

-- Forgets every event: their numbers mean nothing to clients of another database.
-- name: clear_events
DELETE FROM events

-- Resumable uploads

-- Resumable uploads that no job took.
-- name: pending_uploads
SELECT count(*) AS count FROM uploads

-- Makes a resumable upload of which no byte has come.
-- name: insert_upload
INSERT INTO uploads (id, name, metadata, length, created_at, expires_at, owner)
VALUES (:id, :name, :metadata, :length, :now, :expires_at, :owner)
RETURNING *

-- A resumable upload that has not expired.
-- name: upload
SELECT * FROM uploads WHERE id = :id AND expires_at > :now

-- Whether an upload is an owner's.
-- name: owned_upload
SELECT 1 FROM uploads WHERE id = :id AND owner = :owner

-- Every resumable upload with the bytes that came.
-- name: uploads
SELECT id, offset FROM uploads

-- Gives a resumable upload more time.
-- name: touch_upload
UPDATE uploads SET expires_at = :expires_at WHERE id = :id AND expires_at > :now RETURNING *

-- Says how many bytes have come and are safe.
-- name: grow_upload
UPDATE uploads SET offset = :offset, expires_at = :expires_at WHERE id = :id RETURNING *

-- Keeps what was found in a resumable upload, or why it cannot be read.
-- name: record_upload
UPDATE uploads SET media = :media, unreadable = :unreadable WHERE id = :id AND offset = length

-- Ends a resumable upload.
-- name: delete_upload
DELETE FROM uploads WHERE id = :id

-- No row: another job took it first.
-- name: take_upload
DELETE FROM uploads WHERE id = :id AND offset = length

-- Ends those that expired.
-- name: forget_uploads
DELETE FROM uploads WHERE expires_at <= :now

-- Idempotency keys

-- An idempotency key that is still kept, with its answer.
-- name: bound_key
SELECT * FROM idempotency_keys WHERE key = :key AND bound_at > :after

-- A key that was to be forgotten by now is bound anew. No row: it is bound to something else.
-- name: bind_key
INSERT INTO idempotency_keys (key, fingerprint, status, location, body, bound_at)
VALUES (:key, :fingerprint, :status, :location, :body, :now)
ON CONFLICT (key) DO UPDATE SET fingerprint = excluded.fingerprint, status = excluded.status,
    location = excluded.location, body = excluded.body, bound_at = excluded.bound_at
WHERE idempotency_keys.bound_at <= :after

-- Ends keys that are no longer kept.
-- name: forget_keys
DELETE FROM idempotency_keys WHERE bound_at <= :before

-- Sessions

-- Makes a login's session; of its token only the hash is kept.
-- name: insert_session
INSERT INTO sessions (token_sha256, expires_at, client) VALUES (:token, :expires_at, :client)

-- A session that has not expired.
-- name: session
SELECT client FROM sessions WHERE token_sha256 = :token AND expires_at > :now

-- Ends a session.
-- name: end_session
DELETE FROM sessions WHERE token_sha256 = :token

-- Ends those that expired.
-- name: forget_sessions
DELETE FROM sessions WHERE expires_at <= :now

-- Tokens and usage

-- Tokens besides the daemon's own.
-- name: tokens
SELECT * FROM tokens

-- Keeps a new token's hash. No row: there is one of that name.
-- name: insert_token
INSERT INTO tokens (name, token_sha256, rights, max_queued, max_stored_bytes, max_encodes, max_priority, created_at)
VALUES (:name, :token, :rights, :max_queued, :max_stored_bytes, :max_encodes, :max_priority, :now)
ON CONFLICT DO NOTHING
RETURNING *

-- Forgets a token.
-- name: delete_token
DELETE FROM tokens WHERE name = :name

-- Ends what was begun with one.
-- name: end_sessions_of_token
DELETE FROM sessions WHERE client = :name

-- What was completed in some months, of one owner if that is given.
-- name: usage_of_months
SELECT * FROM usage WHERE month BETWEEN :since AND :until AND (:owner IS NULL OR owner = :owner) ORDER BY month, owner

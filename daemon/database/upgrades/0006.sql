-- From version 5 to 6.

-- What of its source an output has, and what not. Of outputs that are older nobody knows.
ALTER TABLE variations ADD COLUMN contents TEXT;

-- What a webhook is told of a variation: that, too.
DROP TRIGGER variation_end_is_told;

CREATE TRIGGER variation_end_is_told AFTER UPDATE OF status ON variations
WHEN new.status IN ('completed', 'failed', 'cancelled')
BEGIN
    INSERT INTO outbox (id, job, type, url, snapshot, status, created_at, since, next_attempt_at)
    SELECT 'msg_' || lower(hex(randomblob(12))), jobs.id, 'variation.' || new.status, jobs.webhook_url, json_object(
        'job', jobs.id, 'source', sources.id, 'id', new.id, 'name', new.name, 'preset', new.preset,
        'parameters', new.parameters, 'status', new.status, 'bytes', new.bytes, 'sha256', new.sha256,
        'attempts', new.attempts, 'sharing', new.sharing, 'error', new.error, 'speed', json(lower(quote(new.speed))),
        'extension', new.extension, 'sandbox', new.sandbox, 'quality', new.quality,
        'contents', new.contents,
        'output_seconds', json(lower(quote(new.output_seconds))),
        'started_at', json(lower(quote(new.started_at))), 'finished_at', json(lower(quote(new.finished_at)))
    ), iif(gone, 'disabled', 'pending'), new.finished_at, new.finished_at, iif(gone, NULL, new.finished_at)
    FROM jobs, sources, (SELECT EXISTS (
        SELECT 1 FROM outbox JOIN jobs ON jobs.id = outbox.job
        WHERE jobs.seq = new.job AND outbox.status = 'disabled'
    ) AS gone)
    WHERE jobs.seq = new.job AND sources.seq = new.source AND jobs.webhook_variations
        AND jobs.webhook_url IS NOT NULL;
END;

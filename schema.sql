-- The one source of the schema. A new database is made from this file; an older one is brought here by
-- daemon/database/upgrades/. Times are seconds since the epoch (REAL), sizes bytes, structured values JSON text.

PRAGMA user_version = 41;

CREATE TABLE jobs (
    seq                  INTEGER PRIMARY KEY AUTOINCREMENT,  -- age, and the key lists are paged by
    id                   TEXT NOT NULL UNIQUE,
    name                 TEXT,
    priority             INTEGER NOT NULL DEFAULT 0,
    paused               INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
    metadata             TEXT NOT NULL DEFAULT '{}',
    created_at           REAL NOT NULL,
    started_at           REAL,
    finished_at          REAL,
    expires_in           REAL NOT NULL CHECK (expires_in >= 0),  -- seconds kept after the job ended
    keep_until           REAL,  -- set by the user; overrules expires_in
    webhook_url          TEXT,  -- told of the job's end
    webhook_variations   INTEGER NOT NULL DEFAULT 0 CHECK (webhook_variations IN (0, 1)),  -- and of every variation's
    expires_at           REAL,
    cancel_requested_at  REAL,
    cancelled_at         REAL,
    -- What a caller may be billed for, of completed variations only; and CPU seconds that came to nothing.
    cpu_seconds          REAL NOT NULL DEFAULT 0,
    output_seconds       REAL NOT NULL DEFAULT 0,
    output_bytes         INTEGER NOT NULL DEFAULT 0,
    discarded_cpu        REAL NOT NULL DEFAULT 0,
    -- Counters of the variations, kept by the triggers below and by nothing else.
    total                INTEGER NOT NULL DEFAULT 0,
    queued               INTEGER NOT NULL DEFAULT 0 CHECK (queued >= 0),
    processing           INTEGER NOT NULL DEFAULT 0 CHECK (processing >= 0),
    completed            INTEGER NOT NULL DEFAULT 0 CHECK (completed >= 0),
    failed               INTEGER NOT NULL DEFAULT 0 CHECK (failed >= 0),
    cancelled            INTEGER NOT NULL DEFAULT 0 CHECK (cancelled >= 0),
    skipped              INTEGER NOT NULL DEFAULT 0 CHECK (skipped >= 0),
    on_unsuitable        TEXT NOT NULL DEFAULT 'fail' CHECK (on_unsuitable IN ('fail', 'skip')),
    status               TEXT NOT NULL GENERATED ALWAYS AS (  -- what is skipped has no say in it
        CASE
            WHEN processing > 0 OR (queued > 0 AND queued < total - skipped) THEN 'processing'
            WHEN queued > 0 THEN 'queued'
            WHEN cancelled > 0 THEN 'cancelled'
            WHEN completed > 0 THEN 'completed'
            ELSE 'failed'
        END
    ) VIRTUAL,
    -- Counters of the deliveries of completed variations, kept by the triggers below. Until the last one is settled,
    -- the job does not expire.
    undelivered          INTEGER NOT NULL DEFAULT 0 CHECK (undelivered >= 0),
    delivered            INTEGER NOT NULL DEFAULT 0 CHECK (delivered >= 0),
    not_delivered        INTEGER NOT NULL DEFAULT 0 CHECK (not_delivered >= 0),  -- those that failed
    -- What lists are ordered by.
    title                TEXT NOT NULL DEFAULT '' COLLATE NOCASE,  -- its name, or its first source's
    bytes                INTEGER NOT NULL DEFAULT 0,  -- of its sources
    -- What the schedule of its watched folder has it do; `overruled` where somebody has it run all the same.
    folder               TEXT,  -- NULL: no watched folder's
    scheduled            TEXT NOT NULL DEFAULT 'running' CHECK (scheduled IN ('running', 'paused', 'draining')),
    overruled            INTEGER NOT NULL DEFAULT 0 CHECK (overruled IN (0, 1)),
    lost                 INTEGER NOT NULL DEFAULT 0 CHECK (lost >= 0),  -- completed ones whose file is gone unasked
    owner                TEXT,  -- the name of the token that made it; NULL: the daemon's own, as of watched folders
    stored               INTEGER NOT NULL DEFAULT 0  -- bytes of its sources and outputs that are in the spool
) STRICT;

CREATE INDEX jobs_by_status ON jobs (status, seq);
CREATE INDEX jobs_expiring ON jobs (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX jobs_upcoming ON jobs (status, -priority, seq);
CREATE INDEX jobs_by_title ON jobs (status, title, seq);
CREATE INDEX jobs_by_bytes ON jobs (status, bytes, seq);
CREATE INDEX jobs_failed_by_title ON jobs (title, seq) WHERE failed > 0;
CREATE INDEX jobs_failed_by_bytes ON jobs (bytes, seq) WHERE failed > 0;
CREATE INDEX jobs_paused ON jobs (seq) WHERE paused = 1;
CREATE INDEX jobs_of_folders ON jobs (folder) WHERE folder IS NOT NULL AND queued + processing > 0;
CREATE INDEX jobs_with_failures ON jobs (seq) WHERE failed > 0;
CREATE INDEX jobs_with_losses ON jobs (seq) WHERE lost > 0;
CREATE INDEX jobs_ended ON jobs (finished_at) WHERE finished_at IS NOT NULL;
-- The same for whoever sees no other jobs. Where no token is named they are empty.
CREATE INDEX owned_jobs ON jobs (owner, seq) WHERE owner IS NOT NULL;
CREATE INDEX owned_jobs_by_id ON jobs (owner, id) WHERE owner IS NOT NULL;
CREATE INDEX owned_jobs_by_status ON jobs (owner, status, seq) WHERE owner IS NOT NULL;
CREATE INDEX owned_jobs_upcoming ON jobs (owner, status, -priority, seq) WHERE owner IS NOT NULL;
CREATE INDEX owned_jobs_by_title ON jobs (owner, status, title, seq) WHERE owner IS NOT NULL;
CREATE INDEX owned_jobs_by_bytes ON jobs (owner, status, bytes, seq) WHERE owner IS NOT NULL;
CREATE INDEX owned_jobs_failed_by_title ON jobs (owner, title, seq) WHERE owner IS NOT NULL AND failed > 0;
CREATE INDEX owned_jobs_failed_by_bytes ON jobs (owner, bytes, seq) WHERE owner IS NOT NULL AND failed > 0;
CREATE INDEX owned_jobs_with_failures ON jobs (owner, seq) WHERE owner IS NOT NULL AND failed > 0;
CREATE INDEX owned_jobs_with_losses ON jobs (owner, seq) WHERE owner IS NOT NULL AND lost > 0;
CREATE INDEX owned_jobs_paused ON jobs (owner, seq) WHERE owner IS NOT NULL AND paused = 1;
CREATE INDEX owned_jobs_queued ON jobs (owner, queued) WHERE owner IS NOT NULL AND queued > 0;
CREATE INDEX owned_jobs_stored ON jobs (owner, stored) WHERE owner IS NOT NULL;

CREATE TABLE sources (
    seq     INTEGER PRIMARY KEY,
    id      TEXT NOT NULL UNIQUE,
    job     INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    name    TEXT NOT NULL,  -- as the user knows it
    folder  TEXT NOT NULL,  -- its folder in the zip, unique within the job
    path    TEXT,           -- a file of the host below a source root; NULL: the upload in the spool
    bytes   INTEGER NOT NULL,
    media   TEXT,           -- what the probe found, once it looked
    error   TEXT,           -- why it cannot be used
    -- Counters of its variations, kept by the triggers below, so that a list need not look at a single one.
    queued      INTEGER NOT NULL DEFAULT 0,
    processing  INTEGER NOT NULL DEFAULT 0,
    completed   INTEGER NOT NULL DEFAULT 0,
    failed      INTEGER NOT NULL DEFAULT 0,
    cancelled   INTEGER NOT NULL DEFAULT 0,
    duration    REAL GENERATED ALWAYS AS (json_extract(media, '$.duration_seconds')) VIRTUAL,  -- NULL: unknown
    -- Which file was at `path` when the job was made; NULL of an upload, and of jobs older than these columns.
    device    INTEGER,  -- in that boot of the host
    inode     INTEGER,
    modified  INTEGER,  -- nanoseconds since the epoch
    boot      TEXT,
    skipped   INTEGER NOT NULL DEFAULT 0  -- of its variations, as those above
) STRICT;

CREATE INDEX sources_by_job ON sources (job, seq);

CREATE TABLE variations (
    seq                  INTEGER PRIMARY KEY,
    id                   TEXT NOT NULL UNIQUE,
    job                  INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    source               INTEGER NOT NULL REFERENCES sources (seq) ON DELETE CASCADE,
    name                 TEXT NOT NULL,  -- of the file a user downloads
    preset               TEXT NOT NULL,
    parameters           TEXT NOT NULL,
    extension            TEXT NOT NULL,
    status               TEXT NOT NULL DEFAULT 'queued'
        CHECK (status IN ('queued', 'processing', 'completed', 'failed', 'cancelled', 'skipped')),
    priority             INTEGER NOT NULL DEFAULT 0,  -- its job's
    held                 INTEGER NOT NULL DEFAULT 0 CHECK (held IN (0, 1)),  -- its job is paused, or waits for hours
    not_before           REAL,  -- it failed of what may pass, and waits to be tried again
    attempts             INTEGER NOT NULL DEFAULT 0,
    retries              INTEGER NOT NULL DEFAULT 0,  -- of attempts that failed of what may pass
    crashes              INTEGER NOT NULL DEFAULT 0,  -- of the daemon while it was encoded
    cancel_requested_at  REAL,  -- requests; set before anything is signalled, cleared by a retry
    fail_requested_at    REAL,
    started_at           REAL,
    finished_at          REAL,
    error                TEXT,
    proof                TEXT,  -- of the encoded part, written before it gets its final name
    bytes                INTEGER,
    sha256               TEXT,
    output_seconds       REAL,
    cpu_seconds          REAL,
    speed                REAL,  -- of the whole encode, times real time
    lost_at              REAL,  -- when the sweep found the published file gone, or it was dropped
    sharing              INTEGER,  -- how many were encoded in the same process at the last attempt, itself included
    alone                INTEGER NOT NULL DEFAULT 0 CHECK (alone IN (0, 1)),  -- it failed in company: no more of that
    sandbox              TEXT,  -- what its last encode was shut in by, such as `landlock 7, seccomp`, or `none`
    waiting              TEXT,  -- why it does not start though it could: words about the disk
    space_needed         INTEGER,  -- bytes, learnt from a disk that was full
    quality              TEXT,  -- how close it is to its source, if that was asked
    contents             TEXT,  -- what of its source it has, and what not, once it is completed
    resumed_seconds      REAL,  -- of it that its last attempt found encoded already
    in_pieces            INTEGER NOT NULL DEFAULT 1 CHECK (in_pieces IN (0, 1)),  -- 0: they did not fit; it is made whole
    keep_partial         INTEGER NOT NULL DEFAULT 0 CHECK (keep_partial IN (0, 1)),  -- its pieces outlive its end
    deliver              TEXT,  -- where it is to be brought once it is completed, if that was asked
    dropped              INTEGER NOT NULL DEFAULT 0 CHECK (dropped IN (0, 1)),  -- the spool's copy, once it was brought
    begun_anew           TEXT,  -- why its last attempt did not go on with what one before had encoded
    unfetched            INTEGER NOT NULL DEFAULT 0 CHECK (unfetched IN (0, 1)),  -- its source is not whole yet
    owner                TEXT,  -- its job's
    stuck_at             REAL,  -- second of the film from which an attempt failed for good that kept its pieces
    machine              TEXT,  -- of the cluster, that encodes or encoded it; NULL: the daemon's host
    span_seconds         REAL,  -- that spans of it last at least, where its last attempt had it in several
    CHECK (status <> 'completed' OR (bytes IS NOT NULL AND sha256 IS NOT NULL))
) STRICT;

CREATE INDEX variations_by_job ON variations (job, seq);
CREATE INDEX variations_by_source ON variations (source);
CREATE INDEX variations_ready ON variations (owner, priority DESC, seq)
    WHERE status = 'queued' AND held = 0 AND not_before IS NULL AND unfetched = 0;
CREATE INDEX variations_delayed ON variations (not_before) WHERE not_before IS NOT NULL;
CREATE INDEX variations_queued ON variations (seq) WHERE status = 'queued';
CREATE INDEX variations_processing ON variations (seq) WHERE status = 'processing';
CREATE INDEX variations_aside ON variations (seq) WHERE status = 'queued' AND waiting IS NOT NULL;
CREATE INDEX variations_with_file ON variations (seq) WHERE status = 'completed' AND lost_at IS NULL;
CREATE INDEX variations_to_deliver ON variations (seq) WHERE deliver IS NOT NULL AND status <> 'completed';

-- Outputs on their way to where they are to be brought: one row for each completed variation that asked. It outlives
-- its variation as long as something of it may lie there that has to be removed.
CREATE TABLE deliveries (
    seq              INTEGER PRIMARY KEY,
    id               TEXT NOT NULL UNIQUE,  -- what it is known by where it is brought
    variation        INTEGER UNIQUE REFERENCES variations (seq) ON DELETE CASCADE,  -- NULL: it was deleted
    place            TEXT NOT NULL,  -- what may be away or hang as a whole, such as a share
    wanted           TEXT NOT NULL,  -- its variation's `deliver`
    status           TEXT NOT NULL CHECK (status IN ('pending', 'running', 'delivered', 'failed')),
    landing          TEXT,     -- text of the place's own, by which it sees after a crash how far it came
    part             INTEGER NOT NULL DEFAULT 0 CHECK (part IN (0, 1)),  -- something without its name may lie there
    reached          TEXT,     -- where it is, as users are told
    kept             INTEGER NOT NULL DEFAULT 0 CHECK (kept IN (0, 1)),  -- what lay there before, as was asked
    since            REAL NOT NULL,  -- when it was first asked for, or again
    attempts         INTEGER NOT NULL DEFAULT 0,
    failures         INTEGER NOT NULL DEFAULT 0,  -- since then
    next_attempt_at  REAL,     -- at what is left to do
    error            TEXT,     -- what kept it from being delivered so far
    settled_at       REAL,
    address          TEXT,     -- stands for where it comes to, by which two of a job are told that come to one
    CHECK ((next_attempt_at IS NOT NULL) = (status IN ('pending', 'running') OR part = 1))
) STRICT;

CREATE INDEX deliveries_due ON deliveries (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX deliveries_by_address ON deliveries (address) WHERE address IS NOT NULL;

-- Sources that are fetched from a URL: one row for each, which outlives the fetch. What it takes to ask for the file
-- may be secret, and is kept only until the fetch ended. So much of the file is on the disk for certain as its source
-- has bytes.
CREATE TABLE fetches (
    source           INTEGER PRIMARY KEY REFERENCES sources (seq) ON DELETE CASCADE,
    job              INTEGER NOT NULL,  -- its source's
    shown            TEXT NOT NULL,     -- where it comes from, as users are told: no more of the URL than its host
    wanted           TEXT,              -- URL, headers and hash; NULL: it ended
    status           TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'fetched', 'failed', 'cancelled')),
    length           INTEGER,           -- of the whole file, if its host said so
    version          TEXT,              -- by which its host tells whether the file is still the same
    part             INTEGER NOT NULL DEFAULT 0 CHECK (part IN (0, 1)),  -- some of it may lie there, and is not whole
    since            REAL NOT NULL,     -- when it was asked for, and then when it was first attempted
    attempts         INTEGER NOT NULL DEFAULT 0,
    failures         INTEGER NOT NULL DEFAULT 0,  -- since it last got on
    next_attempt_at  REAL,              -- at what is left to do
    error            TEXT,              -- what kept it from being fetched so far
    settled_at       REAL,
    address          TEXT,              -- a hash of that to which a result would have to go to take its place
    CHECK ((wanted IS NOT NULL) = (status = 'pending')),
    CHECK ((next_attempt_at IS NOT NULL) = (status = 'pending' OR part = 1))
) STRICT;

CREATE INDEX fetches_due ON fetches (next_attempt_at) WHERE next_attempt_at IS NOT NULL;

-- One row per encode begun. While `ended_at` is NULL its process may live: the engine finds it by the token, or by
-- the handle, which is text of the engine's own.
CREATE TABLE attempts (
    variation   INTEGER NOT NULL REFERENCES variations (seq) ON DELETE CASCADE,
    number      INTEGER NOT NULL,
    token       TEXT NOT NULL,  -- shared by the variations of one task
    started_at  REAL NOT NULL,
    ended_at    REAL,
    handle      TEXT,  -- NULL: no process was told of yet
    boot        TEXT,  -- of the host, in which it was begun
    PRIMARY KEY (variation, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX attempts_live ON attempts (token) WHERE ended_at IS NULL;

-- What is encoded of films that may be gone on with: a file in the variation's work folder for each time that an
-- encoder wrote some of it. `seconds` of it, and `bytes`, are known to be on the disk, and have that checksum.
CREATE TABLE pieces (
    variation   INTEGER NOT NULL REFERENCES variations (seq) ON DELETE CASCADE,
    span        INTEGER NOT NULL DEFAULT 0,  -- number of the part of the film that it is of, which is encoded by itself
    number      INTEGER NOT NULL,  -- among the pieces of its span, in the order in which they were begun
    attempt     INTEGER NOT NULL,  -- that wrote it
    begins      REAL NOT NULL,  -- seconds of the film at which it begins
    begun_with  TEXT NOT NULL,  -- a hash of all that decides about its bytes
    seconds     REAL NOT NULL DEFAULT 0,
    bytes       INTEGER NOT NULL DEFAULT 0,
    boot        TEXT,           -- of the host, in which it was written; after another one only those bytes count
    cpu_seconds REAL NOT NULL DEFAULT 0,  -- that its attempt took, where that ended in order
    checksum    INTEGER DEFAULT 0,  -- of what is encoded in them; NULL: it was not told
    whole       INTEGER NOT NULL DEFAULT 0 CHECK (whole IN (0, 1)),  -- it ends where its span does
    sound_bytes INTEGER NOT NULL DEFAULT 0,  -- of the film's sound, which lies beside it
    PRIMARY KEY (variation, span, number)
) STRICT, WITHOUT ROWID;

-- The whole queue, one row: `paused` freezes what runs, `draining` lets it finish; neither starts anything.
CREATE TABLE queue (
    only   INTEGER PRIMARY KEY CHECK (only = 1),
    state  TEXT NOT NULL CHECK (state IN ('running', 'paused', 'draining')),
    slots  INTEGER CHECK (slots >= 1),  -- encodes at once; NULL: as many as the setting says
    scheduled TEXT NOT NULL DEFAULT 'running' CHECK (scheduled IN ('running', 'paused', 'draining')),
    overruled INTEGER NOT NULL DEFAULT 0 CHECK (overruled IN (0, 1))  -- the schedule, until it says "running"
) STRICT;

INSERT INTO queue (only, state) VALUES (1, 'running');

-- How many there are in each state, kept by the triggers below: counting a million rows takes too long.
CREATE TABLE tally (
    status      TEXT PRIMARY KEY,
    jobs        INTEGER NOT NULL DEFAULT 0,
    variations  INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

INSERT INTO tally (status) VALUES ('queued'), ('processing'), ('completed'), ('failed'), ('cancelled'), ('skipped');

-- The same of each owner but the daemon itself, once it made something.
CREATE TABLE owned_tally (
    owner       TEXT NOT NULL,
    status      TEXT NOT NULL,
    jobs        INTEGER NOT NULL DEFAULT 0,
    variations  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (owner, status)
) STRICT, WITHOUT ROWID;

-- What encodes take on this host, told by preset and speed: how many times the CPU seconds that are the default.
CREATE TABLE costs (
    encode      TEXT PRIMARY KEY,
    correction  REAL NOT NULL CHECK (correction > 0)
) STRICT, WITHOUT ROWID;

-- What it took to end processes that we were asked to end, since the database was made.
CREATE TABLE stops (
    stage    TEXT PRIMARY KEY,
    count    INTEGER NOT NULL DEFAULT 0,
    seconds  REAL NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

INSERT INTO stops (stage) VALUES ('quit'), ('terminate'), ('kill'), ('exited');

-- What was completed, by hour and preset, since a while; written by the trigger below and by nothing else.
CREATE TABLE hours (
    hour            INTEGER NOT NULL,  -- since the epoch
    preset          TEXT NOT NULL,
    completed       INTEGER NOT NULL DEFAULT 0,
    output_seconds  REAL NOT NULL DEFAULT 0,  -- of those that tell how long they last
    encode_seconds  REAL NOT NULL DEFAULT 0,  -- that the same took, from slot to file
    PRIMARY KEY (hour, preset)
) STRICT, WITHOUT ROWID;

-- Every change of state in the order it was committed; written by the triggers below and by nothing else.
CREATE TABLE events (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,  -- only ever grows
    at    REAL NOT NULL,
    type  TEXT NOT NULL CHECK (type IN ('job', 'variation', 'deleted', 'queue', 'delivery', 'source')),
    job   TEXT,  -- the job it is about; NULL for the whole queue
    data  TEXT NOT NULL,
    owner TEXT   -- that job's
) STRICT;

CREATE INDEX events_by_job ON events (job, id);
CREATE INDEX events_by_age ON events (at);
CREATE INDEX events_by_owner ON events (owner, id) WHERE owner IS NOT NULL;

-- What a webhook is to be told: one row per end, written by the triggers below in the transaction of that end.
-- It outlives its job, and is kept for a while after it is settled.
CREATE TABLE outbox (
    seq               INTEGER PRIMARY KEY AUTOINCREMENT,  -- age, and the key lists are paged by
    id                TEXT NOT NULL UNIQUE,  -- the `webhook-id`, the same however often it is sent
    job               TEXT NOT NULL,
    type              TEXT NOT NULL,
    url               TEXT NOT NULL,
    snapshot          TEXT NOT NULL,  -- the row that ended, as it was then: a retry may change it before it is sent
    status            TEXT NOT NULL CHECK (status IN ('pending', 'delivered', 'failed', 'disabled')),
    created_at        REAL NOT NULL,
    attempts          INTEGER NOT NULL DEFAULT 0,
    since             REAL NOT NULL,               -- the end it tells of or, once replayed, the replay
    failures          INTEGER NOT NULL DEFAULT 0,  -- since then
    next_attempt_at   REAL,
    last_status_code  INTEGER,
    last_error        TEXT,
    delivered_at      REAL,
    owner             TEXT,  -- its job's
    CHECK ((status = 'pending') = (next_attempt_at IS NOT NULL))
) STRICT;

CREATE INDEX outbox_by_job ON outbox (job, seq);
CREATE INDEX outbox_due ON outbox (next_attempt_at) WHERE status = 'pending';
CREATE INDEX outbox_disabled ON outbox (job) WHERE status = 'disabled';
CREATE INDEX outbox_by_owner ON outbox (owner, seq) WHERE owner IS NOT NULL;
CREATE INDEX outbox_settled ON outbox (created_at) WHERE status <> 'pending';

-- Commands of the operator's that are run after deliveries: one row for each hook and delivery, kept for a while after
-- it is settled.
CREATE TABLE hook_runs (
    seq              INTEGER PRIMARY KEY AUTOINCREMENT,
    hook             TEXT NOT NULL,
    job              TEXT NOT NULL,
    variation        TEXT NOT NULL,
    told             TEXT NOT NULL,  -- what it reads on its stdin
    status           TEXT NOT NULL CHECK (status IN ('pending', 'done', 'failed')),
    created_at       REAL NOT NULL,
    attempts         INTEGER NOT NULL DEFAULT 0,
    next_attempt_at  REAL,
    exit_code        INTEGER,
    said             TEXT,
    settled_at       REAL,
    CHECK ((status = 'pending') = (next_attempt_at IS NOT NULL))
) STRICT;

CREATE INDEX hook_runs_by_job ON hook_runs (job, seq);
CREATE INDEX hook_runs_due ON hook_runs (next_attempt_at) WHERE status = 'pending';
CREATE INDEX hook_runs_settled ON hook_runs (created_at) WHERE status <> 'pending';

-- Files of watched folders that were taken or refused: each once, as long as it is the same and the same is made of it.
CREATE TABLE watched_files (
    folder    TEXT NOT NULL,
    recipe    TEXT NOT NULL,  -- a hash of what is made of it, and of the rules that refused it
    inode     INTEGER NOT NULL,
    bytes     INTEGER NOT NULL,
    modified  INTEGER NOT NULL,  -- nanoseconds since the epoch
    name      TEXT NOT NULL,
    job       TEXT,           -- NULL: it was refused, or is an output of ours
    error     TEXT,           -- why it was refused
    taken_at  REAL NOT NULL,
    outcome   TEXT,           -- its job's status, also once that is forgotten; NULL: it was not begun
    said      TEXT,           -- why its job failed, or its outputs were not delivered
    fate      TEXT CHECK (fate IN ('move', 'delete')),  -- what is to become of it once all of it is delivered; NULL: nothing
    finished  INTEGER NOT NULL DEFAULT 0 CHECK (finished IN (0, 1)),  -- all of it is delivered
    disk      TEXT,           -- the mark of that which it lies on, if it is to go; NULL: of old ones it is not known
    away      INTEGER NOT NULL DEFAULT 0 CHECK (away IN (0, 1)),  -- it was out of reach when its job came to nothing
    returns   INTEGER NOT NULL DEFAULT 0,  -- how often it was taken again for that
    PRIMARY KEY (folder, recipe, inode, bytes, modified)
) STRICT, WITHOUT ROWID;

CREATE INDEX watched_files_by_job ON watched_files (job) WHERE job IS NOT NULL;
CREATE INDEX watched_files_by_age ON watched_files (folder, taken_at, inode) WHERE job IS NOT NULL OR error IS NOT NULL;
CREATE INDEX watched_files_by_name ON watched_files (folder, name);
CREATE INDEX watched_files_to_go ON watched_files (folder) WHERE fate IS NOT NULL AND finished = 1;

-- Originals that outputs took the place of: where in the trash they are, for as long as they are kept there. What is
-- about to be done to the two is written here before it is begun.
CREATE TABLE replacements (
    id              TEXT PRIMARY KEY,  -- its delivery's, by which files that are on their way are called
    job             TEXT NOT NULL,
    folder          TEXT NOT NULL,     -- the watched folder's name
    name            TEXT NOT NULL,     -- the original's path within that
    taken_by        TEXT NOT NULL,     -- the path of what took its place
    aside           TEXT NOT NULL,     -- the original's name in the trash
    wanted          TEXT NOT NULL,     -- its variation's `deliver`
    original_bytes  INTEGER NOT NULL,
    bytes           INTEGER NOT NULL,
    step            TEXT NOT NULL CHECK (step IN ('done', 'undoing', 'undone', 'emptying', 'emptied')),
    replaced_at     REAL NOT NULL,
    keep_until      REAL NOT NULL,     -- the original, in the trash
    sha256          TEXT,              -- of what took its place; NULL: of old ones it is not known
    keep_seen       REAL NOT NULL DEFAULT 86400  -- the same by `seen_time`, which no clock that is set changes
) STRICT, WITHOUT ROWID;

CREATE INDEX replacements_by_folder ON replacements (folder);
CREATE INDEX replacements_kept ON replacements (keep_until) WHERE step = 'done';
CREATE INDEX replacements_under_way ON replacements (step) WHERE step IN ('undoing', 'emptying');

-- How long hosts were seen to run while originals were kept, by their clocks since boot.
CREATE TABLE seen_time (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    seconds REAL NOT NULL,
    boot    TEXT NOT NULL,     -- in which that was written
    uptime  REAL NOT NULL      -- seconds since then, when it was
) STRICT;
INSERT INTO seen_time (one, seconds, boot, uptime) VALUES (1, 0, '', 0);

-- Watched folders that are not scanned until they are resumed.
CREATE TABLE paused_folders (
    folder TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- Watched folders as they were when their files were known last: one that is called otherwise by now is the same.
CREATE TABLE known_folders (
    name  TEXT PRIMARY KEY,
    place TEXT NOT NULL,  -- what the path or URL of all that is in it begins with
    made  TEXT NOT NULL   -- a hash of what its variations were, with all that their presets said
) STRICT, WITHOUT ROWID;

-- Where what was delivered lay then: a watched folder does not take it, long after its job is forgotten. Of a place
-- there may be several, which lay there one after the other, or were to.
CREATE TABLE brought (
    place    TEXT NOT NULL,     -- as of its delivery; of all buckets such as `s3:`
    path     TEXT NOT NULL,     -- below that
    bytes    INTEGER NOT NULL,
    seconds  REAL,              -- that it plays; NULL: it does not, or it is old
    codec    TEXT,              -- of its picture, or of its sound where it has none
    PRIMARY KEY (place, path, bytes)
) STRICT, WITHOUT ROWID;

-- What was delivered, or about to be, by what no rename changes: single files, and of each folder within an output that
-- is a folder one file that lies in it.
CREATE TABLE brought_files (
    inode    INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    modified INTEGER NOT NULL,  -- in nanoseconds since the epoch
    name     TEXT NOT NULL,
    folder   INTEGER,           -- the inode of the folder that it tells; NULL: of a single file
    PRIMARY KEY (inode, bytes, modified)
) STRICT, WITHOUT ROWID;

CREATE INDEX brought_folders ON brought_files (folder) WHERE folder IS NOT NULL;

-- Resumable uploads that no job took yet. What is in the file beyond `offset` was never acknowledged.
CREATE TABLE uploads (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,  -- as the user knows it
    metadata    TEXT,           -- as the client sent it
    length      INTEGER NOT NULL CHECK (length >= 0),
    offset      INTEGER NOT NULL DEFAULT 0 CHECK (offset BETWEEN 0 AND length),
    created_at  REAL NOT NULL,
    expires_at  REAL NOT NULL,
    media       TEXT,  -- what was found in it, once somebody looked
    unreadable  TEXT,  -- why it cannot be read, if so
    owner       TEXT   -- the name of the token that began it; NULL: the daemon's own
) STRICT, WITHOUT ROWID;

CREATE INDEX uploads_by_expiry ON uploads (expires_at);

-- What a request with an Idempotency-Key was answered; written with what it made.
CREATE TABLE idempotency_keys (
    key          TEXT PRIMARY KEY,
    fingerprint  TEXT NOT NULL,
    status       INTEGER NOT NULL,
    location     TEXT NOT NULL,
    body         BLOB NOT NULL,
    bound_at     REAL NOT NULL
) STRICT;

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (bound_at);

CREATE TABLE sessions (
    token_sha256  TEXT PRIMARY KEY,
    expires_at    REAL NOT NULL,
    client        TEXT  -- the name of the token by which it was begun, and whose rights it has; NULL: the daemon's own
) STRICT, WITHOUT ROWID;

-- Tokens besides the daemon's own. What belongs to one does so by its name: that outlives it, and is taken up by the
-- next token of that name.
CREATE TABLE tokens (
    name              TEXT PRIMARY KEY,
    token_sha256      TEXT NOT NULL UNIQUE,
    rights            TEXT NOT NULL,  -- JSON list
    max_queued        INTEGER,        -- variations; NULL: as many as the daemon takes, as of what follows
    max_stored_bytes  INTEGER,
    max_encodes       INTEGER,        -- at once
    max_priority      INTEGER,
    created_at        REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- What was completed for whom, by month; it outlives the jobs. Written by the trigger below and by nothing else.
CREATE TABLE usage (
    month           TEXT NOT NULL,  -- such as 2026-01, in UTC
    owner           TEXT NOT NULL,  -- '': the daemon's own
    encodes         INTEGER NOT NULL DEFAULT 0,
    output_seconds  REAL NOT NULL DEFAULT 0,
    output_bytes    INTEGER NOT NULL DEFAULT 0,
    cpu_seconds     REAL NOT NULL DEFAULT 0,
    PRIMARY KEY (month, owner)
) STRICT, WITHOUT ROWID;

-- What is left of a job that expired, so that its links can say so.
CREATE TABLE tombstones (
    job      TEXT PRIMARY KEY,
    made_at  REAL NOT NULL,
    reason   TEXT NOT NULL CHECK (reason IN ('expired', 'evicted')),
    owner    TEXT
) STRICT, WITHOUT ROWID;

-- Bytes in the spool by what they are, kept by the triggers below: walking a large spool takes too long.
-- Logs, and what is being written, are not among them.
CREATE TABLE disk (
    kind   TEXT PRIMARY KEY,
    bytes  INTEGER NOT NULL DEFAULT 0 CHECK (bytes >= 0)
) STRICT, WITHOUT ROWID;

INSERT INTO disk (kind) VALUES ('sources'), ('outputs'), ('uploads');

-- Which database this is, and how often it was counted on: the spool keeps the last count it saw, by which an older
-- copy of the database is told from this one.
CREATE TABLE lineage (
    only        INTEGER PRIMARY KEY CHECK (only = 1),
    id          TEXT NOT NULL,
    generation  INTEGER NOT NULL,
    backup      INTEGER NOT NULL CHECK (backup IN (0, 1))  -- it is a copy that no daemon has worked with yet
) STRICT;

INSERT INTO lineage VALUES (1, lower(hex(randomblob(16))), 0, 0);

CREATE TRIGGER variation_is_added AFTER INSERT ON variations
BEGIN
    UPDATE jobs SET total = total + 1, queued = queued + 1 WHERE seq = new.job;
    UPDATE sources SET queued = queued + 1 WHERE seq = new.source;
    UPDATE tally SET variations = variations + 1 WHERE status = 'queued';
END;

CREATE TRIGGER variation_starts_queued BEFORE INSERT ON variations WHEN new.status <> 'queued'
BEGIN
    SELECT RAISE(ABORT, 'a variation starts as queued');
END;

CREATE TRIGGER variation_follows_an_arrow BEFORE UPDATE OF status ON variations
WHEN old.status || ' -> ' || new.status NOT IN (
    'queued -> processing', 'queued -> cancelled', 'queued -> failed', 'queued -> skipped',
    'processing -> completed', 'processing -> failed', 'processing -> cancelled', 'processing -> queued',
    'failed -> queued', 'cancelled -> queued'
)
BEGIN
    SELECT RAISE(ABORT, 'no such transition');
END;

-- Keeps the counters, and with them the job's derived status and the times that hang on its end. All of it is
-- one UPDATE of the job, since each would fire the job's own triggers. What ends here was live until now, so
-- `queued + processing` still counts it.
CREATE TRIGGER variation_changes_its_job AFTER UPDATE OF status ON variations
BEGIN
    UPDATE sources SET
        queued     = queued     + (new.status = 'queued')     - (old.status = 'queued'),
        processing = processing + (new.status = 'processing') - (old.status = 'processing'),
        completed  = completed  + (new.status = 'completed')  - (old.status = 'completed'),
        failed     = failed     + (new.status = 'failed')     - (old.status = 'failed'),
        cancelled  = cancelled  + (new.status = 'cancelled')  - (old.status = 'cancelled'),
        skipped    = skipped    + (new.status = 'skipped')    - (old.status = 'skipped')
    WHERE seq = new.source;
    UPDATE jobs SET
        queued         = queued     + (new.status = 'queued')     - (old.status = 'queued'),
        processing     = processing + (new.status = 'processing') - (old.status = 'processing'),
        completed      = completed  + (new.status = 'completed')  - (old.status = 'completed'),
        failed         = failed     + (new.status = 'failed')     - (old.status = 'failed'),
        cancelled      = cancelled  + (new.status = 'cancelled')  - (old.status = 'cancelled'),
        skipped        = skipped    + (new.status = 'skipped')    - (old.status = 'skipped'),
        started_at     = coalesce(started_at, new.started_at),
        cpu_seconds    = cpu_seconds + iif(new.status = 'completed', coalesce(new.cpu_seconds, 0), 0),
        output_seconds = output_seconds + iif(new.status = 'completed', coalesce(new.output_seconds, 0), 0),
        output_bytes   = output_bytes + iif(new.status = 'completed', new.bytes, 0),
        stored         = stored + iif(new.status = 'completed', new.bytes, 0),
        finished_at    = iif(new.status IN ('queued', 'processing') OR queued + processing > 1, NULL, new.finished_at),
        expires_at     = iif(new.status IN ('queued', 'processing') OR queued + processing > 1, NULL,
            coalesce(keep_until, new.finished_at + expires_in)),
        cancelled_at   = iif(new.status IN ('queued', 'processing') OR queued + processing > 1
            OR cancelled + (new.status = 'cancelled') = 0, NULL, new.finished_at)
    WHERE seq = new.job;
END;

CREATE TRIGGER variation_tally AFTER UPDATE OF status ON variations WHEN old.status <> new.status
BEGIN
    UPDATE tally SET variations = variations + iif(status = new.status, 1, -1) WHERE status IN (old.status, new.status);
END;

CREATE TRIGGER job_is_added_tally AFTER INSERT ON jobs
BEGIN
    UPDATE tally SET jobs = jobs + 1 WHERE status = new.status;
END;

CREATE TRIGGER job_tally AFTER UPDATE ON jobs WHEN old.status <> new.status
BEGIN
    UPDATE tally SET jobs = jobs + iif(status = new.status, 1, -1) WHERE status IN (old.status, new.status);
END;

CREATE TRIGGER job_is_deleted_tally BEFORE DELETE ON jobs
BEGIN
    UPDATE tally SET jobs = jobs - 1 WHERE status = old.status;
    UPDATE tally SET variations = variations - CASE status
        WHEN 'queued' THEN old.queued
        WHEN 'processing' THEN old.processing
        WHEN 'completed' THEN old.completed
        WHEN 'failed' THEN old.failed
        WHEN 'skipped' THEN old.skipped
        ELSE old.cancelled
    END;
END;

CREATE TRIGGER variation_event AFTER UPDATE OF status ON variations
BEGIN
    INSERT INTO events (at, type, job, owner, data)
    SELECT (julianday('now') - 2440587.5) * 86400, 'variation', jobs.id, jobs.owner, json_object(
        'job', jobs.id, 'source', sources.id, 'id', new.id, 'status', new.status,
        'attempts', new.attempts, 'bytes', new.bytes, 'error', new.error
    )
    FROM jobs, sources WHERE jobs.seq = new.job AND sources.seq = new.source;
END;

CREATE TRIGGER job_deleted_event BEFORE DELETE ON jobs
BEGIN
    INSERT INTO events (at, type, job, owner, data)
    VALUES ((julianday('now') - 2440587.5) * 86400, 'deleted', old.id, old.owner, json_object('id', old.id));
END;

CREATE TRIGGER queue_event AFTER UPDATE ON queue
WHEN old.state <> new.state OR old.slots IS NOT new.slots OR old.scheduled <> new.scheduled
    OR old.overruled <> new.overruled
BEGIN
    INSERT INTO events (at, type, job, data)
    VALUES (
        (julianday('now') - 2440587.5) * 86400, 'queue', NULL,
        json_object('state', iif(new.state <> 'running' OR new.overruled, new.state, new.scheduled))
    );
END;

-- A job ends each time its last variation does: once more after a retry. Times are quoted, which keeps every
-- digit; json_object alone would round them.
CREATE TRIGGER job_end_is_told AFTER UPDATE OF finished_at ON jobs
WHEN old.finished_at IS NULL AND new.finished_at IS NOT NULL AND new.webhook_url IS NOT NULL
BEGIN
    INSERT INTO outbox (id, job, owner, type, url, snapshot, status, created_at, since, next_attempt_at)
    SELECT 'msg_' || lower(hex(randomblob(12))), new.id, new.owner, 'job.' || new.status, new.webhook_url, json_object(
        'id', new.id, 'name', new.name, 'status', new.status, 'paused', new.paused, 'priority', new.priority,
        'total', new.total, 'completed', new.completed, 'failed', new.failed, 'cancelled', new.cancelled,
        'skipped', new.skipped, 'on_unsuitable', new.on_unsuitable,
        'created_at', json(lower(quote(new.created_at))), 'started_at', json(lower(quote(new.started_at))),
        'finished_at', json(lower(quote(new.finished_at))), 'expires_at', json(lower(quote(new.expires_at))),
        'cancel_requested_at', json(lower(quote(new.cancel_requested_at))),
        'cancelled_at', json(lower(quote(new.cancelled_at))), 'metadata', new.metadata,
        'cpu_seconds', new.cpu_seconds, 'output_seconds', new.output_seconds, 'output_bytes', new.output_bytes,
        'discarded_cpu', new.discarded_cpu, 'error', (
            SELECT error FROM variations WHERE job = new.seq AND new.status = 'failed' AND error IS NOT NULL
            ORDER BY status = 'skipped', source, seq LIMIT 1
        )
    ), iif(gone, 'disabled', 'pending'), new.finished_at, new.finished_at, iif(gone, NULL, new.finished_at)
    FROM (SELECT EXISTS (SELECT 1 FROM outbox WHERE job = new.id AND status = 'disabled') AS gone);
END;

CREATE TRIGGER source_is_added_to_its_job AFTER INSERT ON sources
BEGIN
    UPDATE jobs SET title = iif(title = '', new.name, title), bytes = bytes + new.bytes,
        stored = stored + iif(new.path IS NULL, new.bytes, 0)
    WHERE seq = new.job;
END;

CREATE TRIGGER source_grows_its_job AFTER UPDATE OF bytes ON sources
BEGIN
    UPDATE jobs SET bytes = bytes + new.bytes - old.bytes,
        stored = stored + iif(new.path IS NULL, new.bytes - old.bytes, 0)
    WHERE seq = new.job;
END;

CREATE TRIGGER source_is_added_disk AFTER INSERT ON sources WHEN new.path IS NULL
BEGIN
    UPDATE disk SET bytes = bytes + new.bytes WHERE kind = 'sources';
END;

CREATE TRIGGER source_grows_disk AFTER UPDATE OF bytes ON sources WHEN new.path IS NULL
BEGIN
    UPDATE disk SET bytes = bytes + new.bytes - old.bytes WHERE kind = 'sources';
END;

CREATE TRIGGER source_is_deleted_disk AFTER DELETE ON sources WHEN old.path IS NULL
BEGIN
    UPDATE disk SET bytes = bytes - old.bytes WHERE kind = 'sources';
END;

CREATE TRIGGER output_is_added_disk AFTER UPDATE OF status ON variations WHEN new.status = 'completed'
BEGIN
    UPDATE disk SET bytes = bytes + new.bytes WHERE kind = 'outputs';
END;

CREATE TRIGGER output_is_lost_disk AFTER UPDATE OF lost_at ON variations
WHEN old.lost_at IS NULL AND new.lost_at IS NOT NULL
BEGIN
    UPDATE disk SET bytes = bytes - old.bytes WHERE kind = 'outputs';
    UPDATE jobs SET stored = stored - old.bytes WHERE seq = old.job;
END;

CREATE TRIGGER output_is_deleted_disk AFTER DELETE ON variations WHEN old.status = 'completed' AND old.lost_at IS NULL
BEGIN
    UPDATE disk SET bytes = bytes - old.bytes WHERE kind = 'outputs';
END;

CREATE TRIGGER upload_grows_disk AFTER UPDATE OF offset ON uploads
BEGIN
    UPDATE disk SET bytes = bytes + new.offset - old.offset WHERE kind = 'uploads';
END;

CREATE TRIGGER upload_is_deleted_disk AFTER DELETE ON uploads
BEGIN
    UPDATE disk SET bytes = bytes - old.offset WHERE kind = 'uploads';
END;

CREATE TRIGGER variation_hour AFTER UPDATE OF status ON variations WHEN new.status = 'completed'
BEGIN
    INSERT INTO hours (hour, preset, completed, output_seconds, encode_seconds)
    VALUES (
        CAST(new.finished_at / 3600 AS INTEGER), new.preset, 1,
        coalesce(new.output_seconds, 0), iif(new.output_seconds, max(0, new.finished_at - new.started_at), 0)
    )
    ON CONFLICT DO UPDATE SET
        completed = completed + 1,
        output_seconds = output_seconds + excluded.output_seconds,
        encode_seconds = encode_seconds + excluded.encode_seconds;
END;

CREATE TRIGGER variation_is_used AFTER UPDATE OF status ON variations WHEN new.status = 'completed'
BEGIN
    INSERT INTO usage (month, owner, encodes, output_seconds, output_bytes, cpu_seconds)
    VALUES (
        strftime('%Y-%m', new.finished_at, 'unixepoch'), coalesce(new.owner, ''), 1,
        coalesce(new.output_seconds, 0), new.bytes, coalesce(new.cpu_seconds, 0)
    )
    ON CONFLICT DO UPDATE SET
        encodes = encodes + 1,
        output_seconds = output_seconds + excluded.output_seconds,
        output_bytes = output_bytes + excluded.output_bytes,
        cpu_seconds = cpu_seconds + excluded.cpu_seconds;
END;

CREATE TRIGGER variation_end_is_told AFTER UPDATE OF status ON variations
WHEN new.status IN ('completed', 'failed', 'cancelled', 'skipped')
BEGIN
    INSERT INTO outbox (id, job, owner, type, url, snapshot, status, created_at, since, next_attempt_at)
    SELECT 'msg_' || lower(hex(randomblob(12))), jobs.id, jobs.owner, 'variation.' || new.status, jobs.webhook_url, json_object(
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

-- Before, so that the end of a job finds its deliveries counted.
CREATE TRIGGER variation_is_to_be_delivered BEFORE UPDATE OF status ON variations
WHEN new.status = 'completed' AND new.deliver IS NOT NULL
BEGIN
    INSERT INTO deliveries (id, variation, place, wanted, status, since, next_attempt_at)
    VALUES (
        lower(hex(randomblob(8))), new.seq, json_extract(new.deliver, '$.place'), new.deliver, 'pending',
        new.finished_at, new.finished_at
    );
END;

-- What lies there without its name is removed, however long that takes; of the rest nothing is kept. An original that
-- may be in the trash is put back by what was noted.
CREATE TRIGGER variation_to_be_delivered_is_deleted BEFORE DELETE ON variations WHEN old.deliver IS NOT NULL
BEGIN
    UPDATE deliveries SET variation = NULL, status = iif(status = 'delivered', status, 'failed'),
        landing = iif(place LIKE 'original:%', landing, NULL),
        failures = 0, since = (julianday('now') - 2440587.5) * 86400,
        next_attempt_at = (julianday('now') - 2440587.5) * 86400
    WHERE variation = old.seq AND part = 1;
END;

CREATE TRIGGER delivery_is_added AFTER INSERT ON deliveries
BEGIN
    UPDATE jobs SET undelivered = undelivered + 1, expires_at = NULL
    WHERE seq = (SELECT job FROM variations WHERE seq = new.variation);
    INSERT INTO events (at, type, job, owner, data)
    SELECT (julianday('now') - 2440587.5) * 86400, 'delivery', jobs.id, jobs.owner, json_object(
        'job', jobs.id, 'source', sources.id, 'id', variations.id, 'status', new.status, 'to', NULL, 'error', NULL
    )
    FROM variations JOIN jobs ON jobs.seq = variations.job JOIN sources ON sources.seq = variations.source
    WHERE variations.seq = new.variation;
END;

CREATE TRIGGER delivery_changes_its_job AFTER UPDATE OF status ON deliveries
WHEN old.status <> new.status AND new.variation IS NOT NULL
BEGIN
    UPDATE jobs SET
        undelivered   = undelivered + (new.status IN ('pending', 'running')) - (old.status IN ('pending', 'running')),
        delivered     = delivered + (new.status = 'delivered') - (old.status = 'delivered'),
        not_delivered = not_delivered + (new.status = 'failed') - (old.status = 'failed'),
        expires_at    = iif(new.status IN ('pending', 'running') OR undelivered > 1 OR finished_at IS NULL, NULL,
            coalesce(keep_until, new.settled_at + expires_in))
    WHERE seq = (SELECT job FROM variations WHERE seq = new.variation);
    INSERT INTO events (at, type, job, owner, data)
    SELECT (julianday('now') - 2440587.5) * 86400, 'delivery', jobs.id, jobs.owner, json_object(
        'job', jobs.id, 'source', sources.id, 'id', variations.id, 'status', new.status, 'to', new.reached,
        'error', new.error
    )
    FROM variations JOIN jobs ON jobs.seq = variations.job JOIN sources ON sources.seq = variations.source
    WHERE variations.seq = new.variation;
END;

CREATE TRIGGER job_waits_for_its_deliveries AFTER UPDATE OF expires_at ON jobs
WHEN new.expires_at IS NOT NULL AND new.undelivered > 0
BEGIN
    UPDATE jobs SET expires_at = NULL WHERE seq = new.seq;
END;

CREATE TRIGGER delivery_end_is_told AFTER UPDATE OF status ON deliveries
WHEN old.status <> new.status AND new.status IN ('delivered', 'failed') AND new.variation IS NOT NULL
BEGIN
    INSERT INTO outbox (id, job, owner, type, url, snapshot, status, created_at, since, next_attempt_at)
    SELECT 'msg_' || lower(hex(randomblob(12))), jobs.id, jobs.owner,
        iif(new.status = 'delivered', 'variation.delivered', 'variation.undelivered'), jobs.webhook_url, json_object(
        'job', jobs.id, 'source', sources.id, 'id', variations.id, 'name', variations.name,
        'preset', variations.preset, 'bytes', variations.bytes, 'sha256', variations.sha256,
        'status', new.status, 'to', new.reached, 'kept', new.kept, 'attempts', new.attempts, 'error', new.error,
        'settled_at', json(lower(quote(new.settled_at)))
    ), iif(gone, 'disabled', 'pending'), new.settled_at, new.settled_at, iif(gone, NULL, new.settled_at)
    FROM variations JOIN jobs ON jobs.seq = variations.job JOIN sources ON sources.seq = variations.source, (
        SELECT EXISTS (
            SELECT 1 FROM outbox JOIN jobs ON jobs.id = outbox.job JOIN variations ON variations.job = jobs.seq
            WHERE variations.seq = new.variation AND outbox.status = 'disabled'
        ) AS gone
    )
    WHERE variations.seq = new.variation AND jobs.webhook_variations AND jobs.webhook_url IS NOT NULL;
END;

-- A job whose deliveries are settled is told of as soon as it has ended too; once more after a retry.
CREATE TRIGGER job_delivery_is_told AFTER UPDATE OF undelivered, finished_at ON jobs
WHEN new.webhook_url IS NOT NULL AND new.undelivered = 0 AND new.finished_at IS NOT NULL
    AND new.delivered + new.not_delivered > 0 AND (old.undelivered > 0 OR old.finished_at IS NULL)
BEGIN
    INSERT INTO outbox (id, job, owner, type, url, snapshot, status, created_at, since, next_attempt_at)
    SELECT 'msg_' || lower(hex(randomblob(12))), new.id, new.owner,
        iif(new.not_delivered, 'job.undelivered', 'job.delivered'), new.webhook_url, json_object(
        'id', new.id, 'name', new.name, 'status', new.status, 'metadata', new.metadata,
        'delivered', new.delivered, 'not_delivered', new.not_delivered
    ), iif(gone, 'disabled', 'pending'), at, at, iif(gone, NULL, at)
    FROM (SELECT EXISTS (SELECT 1 FROM outbox WHERE job = new.id AND status = 'disabled') AS gone,
        (julianday('now') - 2440587.5) * 86400 AS at);
END;

CREATE TRIGGER watched_file_has_failed AFTER UPDATE OF status ON variations
WHEN old.status <> new.status AND new.status = 'failed'
BEGIN
    UPDATE watched_files SET said = new.error WHERE job = (SELECT id FROM jobs WHERE seq = new.job);
END;

CREATE TRIGGER watched_file_is_not_replaced AFTER UPDATE OF status ON deliveries
WHEN old.status <> new.status AND new.status = 'failed' AND new.place LIKE 'original:%'
BEGIN
    UPDATE watched_files SET outcome = 'not replaced', said = new.error WHERE job = (
        SELECT jobs.id FROM variations JOIN jobs ON jobs.seq = variations.job WHERE variations.seq = new.variation
    );
END;

CREATE TRIGGER source_is_to_be_fetched AFTER INSERT ON fetches
BEGIN
    UPDATE variations SET unfetched = 1 WHERE source = new.source;
END;

CREATE TRIGGER source_is_whole AFTER UPDATE OF status ON fetches WHEN old.status <> 'fetched' AND new.status = 'fetched'
BEGIN
    UPDATE variations SET unfetched = 0 WHERE source = new.source;
END;

-- What nothing waits for any more is not fetched, whichever verb ended it.
CREATE TRIGGER source_is_not_wanted AFTER UPDATE OF queued ON sources WHEN old.queued > 0 AND new.queued = 0
BEGIN
    UPDATE fetches SET status = 'cancelled', wanted = NULL, error = NULL, failures = 0,
        settled_at = (julianday('now') - 2440587.5) * 86400,
        next_attempt_at = iif(part, (julianday('now') - 2440587.5) * 86400, NULL)
    WHERE source = new.seq AND status = 'pending';
END;

CREATE TRIGGER fetch_event AFTER UPDATE OF status, error ON fetches
WHEN old.status <> new.status OR old.error IS NOT new.error
BEGIN
    INSERT INTO events (at, type, job, owner, data)
    SELECT (julianday('now') - 2440587.5) * 86400, 'source', jobs.id, jobs.owner, json_object(
        'job', jobs.id, 'id', sources.id, 'status', iif(new.status = 'pending', 'fetching', new.status),
        'bytes', coalesce(new.length, sources.bytes), 'bytes_fetched', sources.bytes, 'error', new.error
    )
    FROM sources JOIN jobs ON jobs.seq = sources.job WHERE sources.seq = new.source;
END;

-- Watched folders whose jobs run though their schedule does not let them.
CREATE TABLE overruled_folders (
    folder TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- What is paused does not start, nor what its folder's schedule keeps; a schedule that drains has what runs go on.
CREATE TRIGGER job_holds_what_is_left AFTER UPDATE OF paused, scheduled, overruled ON jobs
BEGIN
    UPDATE variations SET held = new.paused
        OR (NOT new.overruled AND (new.scheduled = 'paused' OR (new.scheduled = 'draining' AND status = 'queued')))
    WHERE job = new.seq AND status IN ('queued', 'processing');
END;

CREATE TRIGGER variation_is_held_again AFTER UPDATE OF status ON variations WHEN new.status = 'queued'
BEGIN
    UPDATE variations SET held = (
        SELECT paused OR (NOT overruled AND scheduled <> 'running') FROM jobs WHERE jobs.seq = new.job
    ) WHERE seq = new.seq;
END;

-- A file that was brought to its place and dropped, as was asked, is not missed.
CREATE TRIGGER output_is_missed AFTER UPDATE OF lost_at ON variations
WHEN old.lost_at IS NULL AND new.lost_at IS NOT NULL AND NOT new.dropped
BEGIN
    UPDATE jobs SET lost = lost + 1 WHERE seq = new.job;
END;

CREATE TRIGGER owned_job_is_added AFTER INSERT ON jobs WHEN new.owner IS NOT NULL
BEGIN
    INSERT INTO owned_tally (owner, status, jobs) VALUES (new.owner, new.status, 1)
    ON CONFLICT DO UPDATE SET jobs = jobs + 1;
END;

CREATE TRIGGER owned_job_changes AFTER UPDATE OF queued, processing, completed, failed, cancelled, skipped ON jobs
WHEN new.owner IS NOT NULL
BEGIN
    INSERT INTO owned_tally (owner, status, jobs, variations)
    SELECT new.owner, column1, (new.status = column1) - (old.status = column1), column2 FROM (VALUES
        ('queued', new.queued - old.queued), ('processing', new.processing - old.processing),
        ('completed', new.completed - old.completed), ('failed', new.failed - old.failed),
        ('cancelled', new.cancelled - old.cancelled), ('skipped', new.skipped - old.skipped)
    ) WHERE column2 <> 0 OR (new.status <> old.status AND column1 IN (new.status, old.status))
    ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs, variations = variations + excluded.variations;
END;

CREATE TRIGGER owned_job_is_deleted BEFORE DELETE ON jobs WHEN old.owner IS NOT NULL
BEGIN
    UPDATE owned_tally SET jobs = jobs - (status = old.status), variations = variations - CASE status
        WHEN 'queued' THEN old.queued
        WHEN 'processing' THEN old.processing
        WHEN 'completed' THEN old.completed
        WHEN 'failed' THEN old.failed
        WHEN 'skipped' THEN old.skipped
        ELSE old.cancelled
    END
    WHERE owner = old.owner;
END;

-- What was said of an attempt before is not true of the next. What did not arrive is told once all of it has ended; of
-- an original that is not replaced that is told otherwise.
CREATE TRIGGER watched_file_has_an_outcome AFTER UPDATE ON jobs
WHEN old.status <> new.status OR old.not_delivered <> new.not_delivered
BEGIN
    UPDATE watched_files SET outcome = new.status, said = iif(new.status IN ('queued', 'processing'), NULL, said)
    WHERE job = new.id AND old.status <> new.status;
    UPDATE watched_files SET
        outcome = iif(new.not_delivered, 'not delivered', new.status),
        said = iif(new.not_delivered, new.not_delivered || ' of ' || new.completed || ' not delivered: ' || (
            SELECT deliveries.error FROM variations JOIN deliveries ON deliveries.variation = variations.seq
            WHERE variations.job = new.seq AND deliveries.status = 'failed' LIMIT 1
        ), NULL)
    WHERE job = new.id AND new.status = 'completed'
        AND (outcome = 'not delivered' OR (outcome = 'completed' AND new.not_delivered));
END;

CREATE TRIGGER job_event AFTER UPDATE ON jobs
WHEN old.status <> new.status OR old.paused <> new.paused OR old.priority <> new.priority
    OR old.name IS NOT new.name OR old.keep_until IS NOT new.keep_until
    OR old.scheduled <> new.scheduled OR old.overruled <> new.overruled OR old.lost <> new.lost
BEGIN
    INSERT INTO events (at, type, job, owner, data)
    VALUES ((julianday('now') - 2440587.5) * 86400, 'job', new.id, new.owner, json_object(
        'id', new.id, 'status', new.status, 'was', iif(old.total, old.status, NULL), 'paused', json(iif(new.paused, 'true', 'false')),
        'priority', new.priority, 'name', new.name
    ));
END;

-- What was there already and was left is no result of ours: then the source stays.
CREATE TRIGGER watched_file_is_finished AFTER UPDATE OF delivered ON jobs
WHEN new.delivered = new.total AND new.undelivered = 0 AND new.delivered > old.delivered
BEGIN
    UPDATE watched_files SET finished = 1 WHERE job = new.id AND fate IS NOT NULL;
    UPDATE watched_files SET
        finished = 0, said = 'it stays, for a result is not there: something else has its name, and was left'
    WHERE job = new.id AND fate IS NOT NULL AND EXISTS (
        SELECT 1 FROM variations JOIN deliveries ON deliveries.variation = variations.seq
        WHERE variations.job = new.seq AND deliveries.kept = 1
    );
END;

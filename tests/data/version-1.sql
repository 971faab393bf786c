-- A database as version 1 of the schema left it, with jobs in every state.
BEGIN TRANSACTION;
PRAGMA user_version = 1;
CREATE TABLE attempts (
    variation    INTEGER NOT NULL REFERENCES variations (seq) ON DELETE CASCADE,
    number       INTEGER NOT NULL,
    token        TEXT NOT NULL,  -- shared by the variations of one task
    boot         TEXT NOT NULL,  -- of the host, from /proc/sys/kernel/random/boot_id
    started_at   REAL NOT NULL,
    pid          INTEGER,
    pid_created  INTEGER,        -- clock ticks since boot
    ended_at     REAL,
    PRIMARY KEY (variation, number)
) STRICT, WITHOUT ROWID;
INSERT INTO "attempts" VALUES(2,1,'e76d84b3caccc49b001d0b4abb1e6ac2','00000000-0000-4000-8000-000000000000',1.79532282323185348512e+09,727,1282391,1.79532282352281308173e+09);
INSERT INTO "attempts" VALUES(3,1,'5101181e75c4494ea7d0fe8e25a41a3a','00000000-0000-4000-8000-000000000000',1.79532282352636218068e+09,752,1282443,1.79532282390818047519e+09);
INSERT INTO "attempts" VALUES(4,1,'f4161fde78c64d1c76aa56c88dc0805d','00000000-0000-4000-8000-000000000000',1.79532282391614651673e+09,765,1282469,1.7953228243841845989e+09);
INSERT INTO "attempts" VALUES(5,1,'3b8cc784bfa557472df416fc46ea4279','00000000-0000-4000-8000-000000000000',1.79532282446313381195e+09,NULL,NULL,1.7953228245415670871e+09);
INSERT INTO "attempts" VALUES(6,1,'2234e66d272066bd6ff593869076b256','00000000-0000-4000-8000-000000000000',1.79532282579362344743e+09,790,1282508,1.79532282670120882988e+09);
INSERT INTO "attempts" VALUES(7,1,'8e69a6addbf6bab43f0fc6331c7ddf3a','00000000-0000-4000-8000-000000000000',1.79532282692427301411e+09,881,1282707,1.79532282730777287479e+09);
INSERT INTO "attempts" VALUES(8,1,'177bc98da8d576b1921df5a707ffa180','00000000-0000-4000-8000-000000000000',1.7953228273108885288e+09,NULL,NULL,1795322827.36454);
INSERT INTO "attempts" VALUES(9,1,'0bd7d6e344d2478ee89af973f5ba9166','00000000-0000-4000-8000-000000000000',1.79532282745618391043e+09,913,1282816,1.79532282793883085246e+09);
INSERT INTO "attempts" VALUES(10,1,'28e1ad932c4d6381fb1b475ccecfe0d3','00000000-0000-4000-8000-000000000000',1.79532282840544033051e+09,933,1282876,NULL);
CREATE TABLE events (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,  -- only ever grows
    at    REAL NOT NULL,
    type  TEXT NOT NULL CHECK (type IN ('job', 'variation', 'deleted', 'queue')),
    job   TEXT,  -- the job it is about; NULL for the whole queue
    data  TEXT NOT NULL
) STRICT;
INSERT INTO "events" VALUES(1,1.79532282263999724393e+09,'job','57d7deab75670536','{"id":"57d7deab75670536","status":"queued","paused":false,"priority":0,"name":null}');
INSERT INTO "events" VALUES(2,1.79532282271599769596e+09,'variation','57d7deab75670536','{"job":"57d7deab75670536","source":"5cebd56e6f730a02","id":"b96c3a1108213f54","status":"processing","attempts":1,"bytes":null,"error":null}');
INSERT INTO "events" VALUES(3,1.79532282271599769596e+09,'job','57d7deab75670536','{"id":"57d7deab75670536","status":"processing","paused":false,"priority":0,"name":null}');
INSERT INTO "events" VALUES(4,1.79532282275699520113e+09,'job','84c937258eaaf672','{"id":"84c937258eaaf672","status":"queued","paused":false,"priority":0,"name":"completed"}');
INSERT INTO "events" VALUES(5,1.79532282321400356297e+09,'variation','57d7deab75670536','{"job":"57d7deab75670536","source":"5cebd56e6f730a02","id":"b96c3a1108213f54","status":"completed","attempts":1,"bytes":13938,"error":null}');
INSERT INTO "events" VALUES(6,1.79532282321400356297e+09,'job','57d7deab75670536','{"id":"57d7deab75670536","status":"completed","paused":false,"priority":0,"name":null}');
INSERT INTO "events" VALUES(7,1.79532282323098182682e+09,'variation','84c937258eaaf672','{"job":"84c937258eaaf672","source":"b34320b41caff9d4","id":"e8b35428deaf876d","status":"processing","attempts":1,"bytes":null,"error":null}');
INSERT INTO "events" VALUES(8,1.79532282323098182682e+09,'job','84c937258eaaf672','{"id":"84c937258eaaf672","status":"processing","paused":false,"priority":0,"name":"completed"}');
INSERT INTO "events" VALUES(9,1.79532282352299404144e+09,'variation','84c937258eaaf672','{"job":"84c937258eaaf672","source":"b34320b41caff9d4","id":"e8b35428deaf876d","status":"completed","attempts":1,"bytes":13938,"error":null}');
INSERT INTO "events" VALUES(10,1.79532282352601146695e+09,'variation','84c937258eaaf672','{"job":"84c937258eaaf672","source":"b34320b41caff9d4","id":"84c560b2f81b0188","status":"processing","attempts":1,"bytes":null,"error":null}');
INSERT INTO "events" VALUES(11,1.79532282390798473355e+09,'variation','84c937258eaaf672','{"job":"84c937258eaaf672","source":"b34320b41caff9d4","id":"84c560b2f81b0188","status":"completed","attempts":1,"bytes":13707,"error":null}');
INSERT INTO "events" VALUES(12,1.79532282391599130625e+09,'variation','84c937258eaaf672','{"job":"84c937258eaaf672","source":"b34320b41caff9d4","id":"a2b002cf5f3c9620","status":"processing","attempts":1,"bytes":null,"error":null}');
INSERT INTO "events" VALUES(13,1.79532282438398313527e+09,'variation','84c937258eaaf672','{"job":"84c937258eaaf672","source":"b34320b41caff9d4","id":"a2b002cf5f3c9620","status":"completed","attempts":1,"bytes":13729,"error":null}');
INSERT INTO "events" VALUES(14,1.79532282438398313527e+09,'job','84c937258eaaf672','{"id":"84c937258eaaf672","status":"completed","paused":false,"priority":0,"name":"completed"}');
INSERT INTO "events" VALUES(15,1.79532282444799399373e+09,'job','ed28b7e56bc2e752','{"id":"ed28b7e56bc2e752","status":"queued","paused":false,"priority":0,"name":"failed"}');
INSERT INTO "events" VALUES(16,1.79532282446300077436e+09,'variation','ed28b7e56bc2e752','{"job":"ed28b7e56bc2e752","source":"c1fcbf1490b8a642","id":"11c6f7e687620762","status":"processing","attempts":1,"bytes":null,"error":null}');
INSERT INTO "events" VALUES(17,1.79532282446300077436e+09,'job','ed28b7e56bc2e752','{"id":"ed28b7e56bc2e752","status":"processing","paused":false,"priority":0,"name":"failed"}');
INSERT INTO "events" VALUES(18,1.79532282454600191114e+09,'variation','ed28b7e56bc2e752','{"job":"ed28b7e56bc2e752","source":"c1fcbf1490b8a642","id":"11c6f7e687620762","status":"failed","attempts":1,"bytes":null,"error":"notes.txt: it is not a media file ffspool can read"}');
INSERT INTO "events" VALUES(19,1.79532282454600191114e+09,'job','ed28b7e56bc2e752','{"id":"ed28b7e56bc2e752","status":"failed","paused":false,"priority":0,"name":"failed"}');
INSERT INTO "events" VALUES(20,1.79532282481500053399e+09,'deleted','57d7deab75670536','{"id":"57d7deab75670536"}');
INSERT INTO "events" VALUES(21,1.79532282579001045228e+09,'job','ed5957e56319ff2a','{"id":"ed5957e56319ff2a","status":"queued","paused":false,"priority":0,"name":"cancelled"}');
INSERT INTO "events" VALUES(22,1.79532282579298758506e+09,'variation','ed5957e56319ff2a','{"job":"ed5957e56319ff2a","source":"065afbee0238209c","id":"9553f4684541f8e4","status":"processing","attempts":1,"bytes":null,"error":null}');
INSERT INTO "events" VALUES(23,1.79532282579298758506e+09,'job','ed5957e56319ff2a','{"id":"ed5957e56319ff2a","status":"processing","paused":false,"priority":0,"name":"cancelled"}');
INSERT INTO "events" VALUES(24,1.7953228267010092735e+09,'variation','ed5957e56319ff2a','{"job":"ed5957e56319ff2a","source":"065afbee0238209c","id":"9553f4684541f8e4","status":"cancelled","attempts":1,"bytes":null,"error":null}');
INSERT INTO "events" VALUES(25,1.7953228267010092735e+09,'job','ed5957e56319ff2a','{"id":"ed5957e56319ff2a","status":"cancelled","paused":false,"priority":0,"name":"cancelled"}');
INSERT INTO "events" VALUES(26,1.79532282678199863433e+09,'job','8dc5a91444e5fe4e','{"id":"8dc5a91444e5fe4e","status":"queued","paused":false,"priority":0,"name":"partly failed"}');
INSERT INTO "events" VALUES(27,1.79532282692398118973e+09,'variation','8dc5a91444e5fe4e','{"job":"8dc5a91444e5fe4e","source":"9838b98644bba660","id":"1b88ae0809cc2d64","status":"processing","attempts":1,"bytes":null,"error":null}');
INSERT INTO "events" VALUES(28,1.79532282692398118973e+09,'job','8dc5a91444e5fe4e','{"id":"8dc5a91444e5fe4e","status":"processing","paused":false,"priority":0,"name":"partly failed"}');
INSERT INTO "events" VALUES(29,1.79532282730700063705e+09,'variation','8dc5a91444e5fe4e','{"job":"8dc5a91444e5fe4e","source":"9838b98644bba660","id":"1b88ae0809cc2d64","status":"completed","attempts":1,"bytes":13938,"error":null}');
INSERT INTO "events" VALUES(30,1.79532282731098389626e+09,'variation','8dc5a91444e5fe4e','{"job":"8dc5a91444e5fe4e","source":"951e0f57a7ac3a2d","id":"5f315a0dd995e839","status":"processing","attempts":1,"bytes":null,"error":null}');
INSERT INTO "events" VALUES(31,1.79532282736401104924e+09,'variation','8dc5a91444e5fe4e','{"job":"8dc5a91444e5fe4e","source":"951e0f57a7ac3a2d","id":"5f315a0dd995e839","status":"failed","attempts":1,"bytes":null,"error":"notes.txt: it is not a media file ffspool can read"}');
INSERT INTO "events" VALUES(32,1.79532282736401104924e+09,'job','8dc5a91444e5fe4e','{"id":"8dc5a91444e5fe4e","status":"completed","paused":false,"priority":0,"name":"partly failed"}');
INSERT INTO "events" VALUES(33,1.79532282740199112896e+09,'job','c30cadb888cc8a43','{"id":"c30cadb888cc8a43","status":"queued","paused":false,"priority":0,"name":"with a key"}');
INSERT INTO "events" VALUES(34,1.79532282745598411556e+09,'variation','c30cadb888cc8a43','{"job":"c30cadb888cc8a43","source":"ba1cf8886e1a7215","id":"8b73a61f0a77200f","status":"processing","attempts":1,"bytes":null,"error":null}');
INSERT INTO "events" VALUES(35,1.79532282745598411556e+09,'job','c30cadb888cc8a43','{"id":"c30cadb888cc8a43","status":"processing","paused":false,"priority":0,"name":"with a key"}');
INSERT INTO "events" VALUES(36,1.79532282793801736828e+09,'variation','c30cadb888cc8a43','{"job":"c30cadb888cc8a43","source":"ba1cf8886e1a7215","id":"8b73a61f0a77200f","status":"completed","attempts":1,"bytes":13938,"error":null}');
INSERT INTO "events" VALUES(37,1.79532282793801736828e+09,'job','c30cadb888cc8a43','{"id":"c30cadb888cc8a43","status":"completed","paused":false,"priority":0,"name":"with a key"}');
INSERT INTO "events" VALUES(38,1.795322828333991766e+09,'job','75d2a6a79f385ed0','{"id":"75d2a6a79f385ed0","status":"queued","paused":false,"priority":3,"name":"processing"}');
INSERT INTO "events" VALUES(39,1.79532282840500330921e+09,'variation','75d2a6a79f385ed0','{"job":"75d2a6a79f385ed0","source":"29df36cf2cfcf30e","id":"c668c7880c8aaeae","status":"processing","attempts":1,"bytes":null,"error":null}');
INSERT INTO "events" VALUES(40,1.79532282840500330921e+09,'job','75d2a6a79f385ed0','{"id":"75d2a6a79f385ed0","status":"processing","paused":false,"priority":3,"name":"processing"}');
INSERT INTO "events" VALUES(41,1.79532282901300644867e+09,'job','36eaae1f11d834a6','{"id":"36eaae1f11d834a6","status":"queued","paused":false,"priority":0,"name":"queued"}');
INSERT INTO "events" VALUES(42,1.79532282920101594926e+09,'job','3ce319717031fc5f','{"id":"3ce319717031fc5f","status":"queued","paused":false,"priority":-1,"name":"paused"}');
INSERT INTO "events" VALUES(43,1.79532282931101322171e+09,'job','3ce319717031fc5f','{"id":"3ce319717031fc5f","status":"queued","paused":true,"priority":-1,"name":"paused"}');
INSERT INTO "events" VALUES(44,1.79532282932799148555e+09,'queue',NULL,'{"state":"paused"}');
CREATE TABLE idempotency_keys (
    key          TEXT PRIMARY KEY,
    fingerprint  TEXT NOT NULL,
    status       INTEGER NOT NULL,
    location     TEXT NOT NULL,
    body         BLOB NOT NULL,
    bound_at     REAL NOT NULL
) STRICT;
INSERT INTO "idempotency_keys" VALUES('k1','b16d99040cc3baf70ad9c55a1ca6ca996a64ba3cef9f633d12cb46a5fecfc409',202,'/api/jobs/c30cadb888cc8a43',X'7B226964223A2263333063616462383838636338613433222C226E616D65223A22776974682061206B6579222C22737461747573223A22717565756564222C22706175736564223A66616C73652C227072696F72697479223A302C2270726F6772657373223A302E302C226574615F7365636F6E6473223A6E756C6C2C22746F74616C5F766172696174696F6E73223A312C22636F6D706C657465645F766172696174696F6E73223A302C226661696C65645F766172696174696F6E73223A302C2263616E63656C6C65645F766172696174696F6E73223A302C22637265617465645F6174223A22323032362D31312D32325430343A34373A30372E3430313730325A222C22737461727465645F6174223A6E756C6C2C2266696E69736865645F6174223A6E756C6C2C22657870697265735F6174223A6E756C6C2C2263616E63656C5F7265717565737465645F6174223A6E756C6C2C2263616E63656C6C65645F6174223A6E756C6C2C226572726F72223A6E756C6C2C226D65746164617461223A7B7D2C227573616765223A7B226370755F7365636F6E6473223A302E302C226F75747075745F7365636F6E6473223A302E302C226F75747075745F6279746573223A302C226469736361726465645F6370755F7365636F6E6473223A302E307D2C22736F7572636573223A5B7B226964223A2262613163663838383665316137323135222C226E616D65223A22636C69702E6D7034222C226279746573223A31363435332C22737461747573223A22717565756564222C2270726F6772657373223A302E302C226572726F72223A6E756C6C2C226D65646961223A6E756C6C2C22766172696174696F6E73223A5B7B226964223A2238623733613631663061373732303066222C226E616D65223A22636C69705F6D70332E6D7033222C22707265736574223A226D7033222C22706172616D6574657273223A7B22626974726174655F6B627073223A3139327D2C22737461747573223A22717565756564222C2270726F6772657373223A302E302C227370656564223A6E756C6C2C226574615F7365636F6E6473223A6E756C6C2C226279746573223A6E756C6C2C22736861323536223A6E756C6C2C22617474656D707473223A302C226572726F72223A6E756C6C2C22737461727465645F6174223A6E756C6C2C2266696E69736865645F6174223A6E756C6C2C226F75747075745F7365636F6E6473223A6E756C6C2C2270616365223A6E756C6C7D5D7D5D7D',1.79532282740250325207e+09);
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
    status               TEXT NOT NULL GENERATED ALWAYS AS (
        CASE
            WHEN processing > 0 OR (queued > 0 AND queued < total) THEN 'processing'
            WHEN queued > 0 THEN 'queued'
            WHEN cancelled > 0 THEN 'cancelled'
            WHEN completed > 0 THEN 'completed'
            ELSE 'failed'
        END
    ) VIRTUAL
) STRICT;
INSERT INTO "jobs" VALUES(2,'84c937258eaaf672','completed',0,0,'{"order":7}',1.79532282275746583942e+09,1.79532282323185348512e+09,1.7953228243841845989e+09,86400.0,NULL,NULL,0,1.79540922438418459891e+09,NULL,NULL,0.245,1.58857142857142852321e+00,41374,0.0,3,0,0,3,0,0);
INSERT INTO "jobs" VALUES(3,'ed28b7e56bc2e752','failed',0,0,'{}',1.79532282444741487503e+09,1.79532282446313381195e+09,1.7953228245415670871e+09,86400.0,NULL,'http://example.com/hook',0,1.79540922454156708716e+09,NULL,NULL,0.0,0.0,0,0.0,1,0,0,0,1,0);
INSERT INTO "jobs" VALUES(4,'ed5957e56319ff2a','cancelled',0,0,'{}',1.7953228257897596359e+09,1.79532282579362344743e+09,1.79532282670120882988e+09,86400.0,NULL,NULL,0,1.79540922670120882981e+09,1.79532282594922041893e+09,1.79532282670120882988e+09,0.0,0.0,0,1.74189999999999983737e-01,1,0,0,0,0,1);
INSERT INTO "jobs" VALUES(5,'8dc5a91444e5fe4e','partly failed',0,0,'{}',1.79532282678211069105e+09,1.79532282692427301411e+09,1795322827.36454,86400.0,NULL,NULL,0,1795409227.36454,NULL,NULL,0.052,5.48571428571428598708e-01,13938,0.0,2,0,0,1,1,0);
INSERT INTO "jobs" VALUES(6,'c30cadb888cc8a43','with a key',0,0,'{}',1.79532282740170168874e+09,1.79532282745618391043e+09,1.79532282793883085246e+09,86400.0,NULL,NULL,0,1.79540922793883085247e+09,NULL,NULL,0.052,5.48571428571428598708e-01,13938,0.0,1,0,0,1,0,0);
INSERT INTO "jobs" VALUES(7,'75d2a6a79f385ed0','processing',3,0,'{}',1.79532282833440685271e+09,1.79532282840544033051e+09,NULL,86400.0,NULL,NULL,0,NULL,NULL,NULL,0.0,0.0,0,0.0,1,0,1,0,0,0);
INSERT INTO "jobs" VALUES(8,'36eaae1f11d834a6','queued',0,0,'{}',1.79532282901297187806e+09,NULL,NULL,86400.0,NULL,NULL,0,NULL,NULL,NULL,0.0,0.0,0,0.0,1,1,0,0,0,0);
INSERT INTO "jobs" VALUES(9,'3ce319717031fc5f','paused',-1,1,'{}',1.79532282920113921164e+09,NULL,NULL,86400.0,NULL,NULL,0,NULL,NULL,NULL,0.0,0.0,0,0.0,1,1,0,0,0,0);
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
    CHECK ((status = 'pending') = (next_attempt_at IS NOT NULL))
) STRICT;
INSERT INTO "outbox" VALUES(1,'msg_6c4f72fb8b7f476ca9c4b01b','ed28b7e56bc2e752','job.failed','http://example.com/hook','{"id":"ed28b7e56bc2e752","name":"failed","status":"failed","paused":0,"priority":0,"total":1,"completed":0,"failed":1,"cancelled":0,"created_at":1.79532282444741487503e+09,"started_at":1.79532282446313381195e+09,"finished_at":1.7953228245415670871e+09,"expires_at":1.79540922454156708716e+09,"cancel_requested_at":null,"cancelled_at":null,"metadata":"{}","cpu_seconds":0.0,"output_seconds":0.0,"output_bytes":0,"discarded_cpu":0.0,"error":"notes.txt: it is not a media file ffspool can read"}','pending',1.7953228245415670871e+09,2,1.7953228245415670871e+09,2,1.79532285585896253586e+09,NULL,'the name example.com cannot be resolved: Name or service not known',NULL);
CREATE TABLE queue (
    only   INTEGER PRIMARY KEY CHECK (only = 1),
    state  TEXT NOT NULL CHECK (state IN ('running', 'paused', 'draining'))
) STRICT;
INSERT INTO "queue" VALUES(1,'paused');
CREATE TABLE sessions (
    token_sha256  TEXT PRIMARY KEY,
    expires_at    REAL NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "sessions" VALUES('32c44b82d31d44bb67a90bb475595f86d08981b97ca48df86bc8114727dd2134',1.79540922745608472828e+09);
CREATE TABLE sources (
    seq     INTEGER PRIMARY KEY,
    id      TEXT NOT NULL UNIQUE,
    job     INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    name    TEXT NOT NULL,  -- as the user knows it
    folder  TEXT NOT NULL,  -- its folder in the zip, unique within the job
    path    TEXT,           -- a file of the host below a source root; NULL: the upload in the spool
    bytes   INTEGER NOT NULL,
    media   TEXT,           -- what the probe found, once it looked
    error   TEXT            -- why it cannot be used
) STRICT;
INSERT INTO "sources" VALUES(2,'b34320b41caff9d4',2,'clip.mp4','clip',NULL,16453,'{"format":"mov,mp4,m4a,3gp,3g2,mj2","duration_seconds":0.52,"video":{"index":0,"codec":"h264","width":64,"height":64,"coded_width":64,"coded_height":64,"rotation":0,"frame_rate":25.0,"pixel_format":"yuv420p","alpha":false,"interlaced":false,"transfer":null,"duration_seconds":0.52},"audio":[{"index":1,"codec":"aac","channels":1,"sample_rate":44100,"language":null,"duration_seconds":0.5}],"subtitles":[]}',NULL);
INSERT INTO "sources" VALUES(3,'c1fcbf1490b8a642',3,'notes.txt','notes',NULL,8,NULL,'notes.txt: it is not a media file ffspool can read');
INSERT INTO "sources" VALUES(4,'065afbee0238209c',4,'long.mp4','long',NULL,68048169,'{"format":"mov,mp4,m4a,3gp,3g2,mj2","duration_seconds":303.460234375,"video":{"index":0,"codec":"h264","width":640,"height":360,"coded_width":640,"coded_height":360,"rotation":0,"frame_rate":24.714935106561274,"pixel_format":"yuv420p","alpha":false,"interlaced":false,"transfer":null,"duration_seconds":303.460234375},"audio":[{"index":1,"codec":"aac","channels":1,"sample_rate":44100,"language":null,"duration_seconds":303.46022675736964}],"subtitles":[]}',NULL);
INSERT INTO "sources" VALUES(5,'9838b98644bba660',5,'clip.mp4','clip',NULL,16453,'{"format":"mov,mp4,m4a,3gp,3g2,mj2","duration_seconds":0.52,"video":{"index":0,"codec":"h264","width":64,"height":64,"coded_width":64,"coded_height":64,"rotation":0,"frame_rate":25.0,"pixel_format":"yuv420p","alpha":false,"interlaced":false,"transfer":null,"duration_seconds":0.52},"audio":[{"index":1,"codec":"aac","channels":1,"sample_rate":44100,"language":null,"duration_seconds":0.5}],"subtitles":[]}',NULL);
INSERT INTO "sources" VALUES(6,'951e0f57a7ac3a2d',5,'notes.txt','notes',NULL,8,NULL,'notes.txt: it is not a media file ffspool can read');
INSERT INTO "sources" VALUES(7,'ba1cf8886e1a7215',6,'clip.mp4','clip',NULL,16453,'{"format":"mov,mp4,m4a,3gp,3g2,mj2","duration_seconds":0.52,"video":{"index":0,"codec":"h264","width":64,"height":64,"coded_width":64,"coded_height":64,"rotation":0,"frame_rate":25.0,"pixel_format":"yuv420p","alpha":false,"interlaced":false,"transfer":null,"duration_seconds":0.52},"audio":[{"index":1,"codec":"aac","channels":1,"sample_rate":44100,"language":null,"duration_seconds":0.5}],"subtitles":[]}',NULL);
INSERT INTO "sources" VALUES(8,'29df36cf2cfcf30e',7,'long.mp4','long',NULL,68048169,'{"format":"mov,mp4,m4a,3gp,3g2,mj2","duration_seconds":303.460234375,"video":{"index":0,"codec":"h264","width":640,"height":360,"coded_width":640,"coded_height":360,"rotation":0,"frame_rate":24.714935106561274,"pixel_format":"yuv420p","alpha":false,"interlaced":false,"transfer":null,"duration_seconds":303.460234375},"audio":[{"index":1,"codec":"aac","channels":1,"sample_rate":44100,"language":null,"duration_seconds":303.46022675736964}],"subtitles":[]}',NULL);
INSERT INTO "sources" VALUES(9,'35beea9641afd068',8,'clip.mp4','clip',NULL,16453,NULL,NULL);
INSERT INTO "sources" VALUES(10,'f34c59fbe8005292',9,'clip.mp4','clip',NULL,16453,NULL,NULL);
CREATE TABLE stops (
    stage    TEXT PRIMARY KEY,
    count    INTEGER NOT NULL DEFAULT 0,
    seconds  REAL NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
INSERT INTO "stops" VALUES('exited',0,0.0);
INSERT INTO "stops" VALUES('kill',0,0.0);
INSERT INTO "stops" VALUES('quit',0,0.0);
INSERT INTO "stops" VALUES('terminate',1,0.687);
CREATE TABLE tally (
    status      TEXT PRIMARY KEY,
    jobs        INTEGER NOT NULL DEFAULT 0,
    variations  INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
INSERT INTO "tally" VALUES('cancelled',1,1);
INSERT INTO "tally" VALUES('completed',3,5);
INSERT INTO "tally" VALUES('failed',1,2);
INSERT INTO "tally" VALUES('processing',1,1);
INSERT INTO "tally" VALUES('queued',2,2);
CREATE TABLE tombstones (
    job      TEXT PRIMARY KEY,
    made_at  REAL NOT NULL,
    reason   TEXT NOT NULL CHECK (reason IN ('expired', 'evicted'))
) STRICT, WITHOUT ROWID;
INSERT INTO "tombstones" VALUES('57d7deab75670536',1.79532282475189185148e+09,'expired');
CREATE TABLE uploads (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,  -- as the user knows it
    metadata    TEXT,           -- as the client sent it
    length      INTEGER NOT NULL CHECK (length >= 0),
    offset      INTEGER NOT NULL DEFAULT 0 CHECK (offset BETWEEN 0 AND length),
    created_at  REAL NOT NULL,
    expires_at  REAL NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "uploads" VALUES('dba6d785002ca408','clip.mp4','filename Y2xpcC5tcDQ=',100,40,1.79532282737099432943e+09,1.7954092273901093006e+09);
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
        CHECK (status IN ('queued', 'processing', 'completed', 'failed', 'cancelled')),
    priority             INTEGER NOT NULL DEFAULT 0,  -- its job's
    held                 INTEGER NOT NULL DEFAULT 0 CHECK (held IN (0, 1)),  -- its job is paused
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
    lost_at              REAL,  -- when the sweep found the published file gone
    CHECK (status <> 'completed' OR (bytes IS NOT NULL AND sha256 IS NOT NULL))
) STRICT;
INSERT INTO "variations" VALUES(2,'e8b35428deaf876d',2,2,'clip_mp3.mp3','mp3','{"bitrate_kbps":192}','mp3','completed',0,0,NULL,1,0,0,NULL,NULL,1.79532282323185348512e+09,1.79532282352281308173e+09,NULL,NULL,13938,'73a2e0a59b735657b09f225ee18edba70e8040e21355438f4f14ff9fd1fdb4dc',5.48571428571428598708e-01,0.052,55.5,NULL);
INSERT INTO "variations" VALUES(3,'84c560b2f81b0188',2,2,'clip_refresh-01.mp4','refresh','{"rotation":0.0067,"brightness":0.0097,"contrast":0.9983,"saturation":1.0263,"seed":"x","crf":20,"speed":"veryfast","audio_bitrate_kbps":160}','mp4','completed',0,0,NULL,1,0,0,NULL,NULL,1.79532282352636218068e+09,1.79532282390818047519e+09,NULL,NULL,13707,'3688c2fcb972432d91d7b3068accc051b76a82a6920dc4637a24dc064ecab911',0.52,0.096,7.85,NULL);
INSERT INTO "variations" VALUES(4,'a2b002cf5f3c9620',2,2,'clip_refresh-02.mp4','refresh','{"rotation":0.0045,"brightness":-0.0042,"contrast":0.9953,"saturation":0.9671,"seed":"x","crf":20,"speed":"veryfast","audio_bitrate_kbps":160}','mp4','completed',0,0,NULL,1,0,0,NULL,NULL,1.79532282391614651673e+09,1.7953228243841845989e+09,NULL,NULL,13729,'6ecabc5ffc7142658f8ba77d41015ec17f416cab2ed1ae01c2a3aa9ae0908e9e',0.52,0.097,3.44,NULL);
INSERT INTO "variations" VALUES(5,'11c6f7e687620762',3,3,'notes_mp3.mp3','mp3','{"bitrate_kbps":192}','mp3','failed',0,0,NULL,1,0,0,NULL,NULL,1.79532282446313381195e+09,1.7953228245415670871e+09,'notes.txt: it is not a media file ffspool can read',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "variations" VALUES(6,'9553f4684541f8e4',4,4,'long_h264-1080p.mp4','h264-1080p','{"short_side":1080,"crf":20,"speed":"veryfast","max_frame_rate":60,"audio_bitrate_kbps":192}','mp4','cancelled',0,0,NULL,1,0,0,1.79532282594922041893e+09,NULL,1.79532282579362344743e+09,1.79532282670120882988e+09,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "variations" VALUES(7,'1b88ae0809cc2d64',5,5,'clip_mp3.mp3','mp3','{"bitrate_kbps":192}','mp3','completed',0,0,NULL,1,0,0,NULL,NULL,1.79532282692427301411e+09,1.79532282730777287479e+09,NULL,NULL,13938,'73a2e0a59b735657b09f225ee18edba70e8040e21355438f4f14ff9fd1fdb4dc',5.48571428571428598708e-01,0.052,49.1,NULL);
INSERT INTO "variations" VALUES(8,'5f315a0dd995e839',5,6,'notes_mp3.mp3','mp3','{"bitrate_kbps":192}','mp3','failed',0,0,NULL,1,0,0,NULL,NULL,1.7953228273108885288e+09,1795322827.36454,'notes.txt: it is not a media file ffspool can read',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "variations" VALUES(9,'8b73a61f0a77200f',6,7,'clip_mp3.mp3','mp3','{"bitrate_kbps":192}','mp3','completed',0,0,NULL,1,0,0,NULL,NULL,1.79532282745618391043e+09,1.79532282793883085246e+09,NULL,NULL,13938,'73a2e0a59b735657b09f225ee18edba70e8040e21355438f4f14ff9fd1fdb4dc',5.48571428571428598708e-01,0.052,65.7,NULL);
INSERT INTO "variations" VALUES(10,'c668c7880c8aaeae',7,8,'long_h264-1080p.mp4','h264-1080p','{"short_side":1080,"crf":20,"speed":"veryfast","max_frame_rate":60,"audio_bitrate_kbps":192}','mp4','processing',3,0,NULL,1,0,0,NULL,NULL,1.79532282840544033051e+09,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "variations" VALUES(11,'9f54ecea5828c57d',8,9,'clip_mp3.mp3','mp3','{"bitrate_kbps":192}','mp3','queued',0,0,NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "variations" VALUES(12,'484dab15fd556649',9,10,'clip_mp3.mp3','mp3','{"bitrate_kbps":192}','mp3','queued',-1,1,NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE INDEX jobs_by_status ON jobs (status, seq);
CREATE INDEX jobs_expiring ON jobs (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX jobs_ended ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX sources_by_job ON sources (job, seq);
CREATE INDEX variations_by_job ON variations (job, seq);
CREATE INDEX variations_by_source ON variations (source);
CREATE INDEX variations_ready ON variations (priority DESC, seq)
    WHERE status = 'queued' AND held = 0 AND not_before IS NULL;
CREATE INDEX variations_delayed ON variations (not_before) WHERE not_before IS NOT NULL;
CREATE INDEX variations_queued ON variations (seq) WHERE status = 'queued';
CREATE INDEX variations_processing ON variations (seq) WHERE status = 'processing';
CREATE INDEX attempts_live ON attempts (token) WHERE ended_at IS NULL;
CREATE INDEX events_by_job ON events (job, id);
CREATE INDEX events_by_age ON events (at);
CREATE INDEX outbox_by_job ON outbox (job, seq);
CREATE INDEX outbox_due ON outbox (next_attempt_at) WHERE status = 'pending';
CREATE INDEX outbox_disabled ON outbox (job) WHERE status = 'disabled';
CREATE INDEX outbox_settled ON outbox (created_at) WHERE status <> 'pending';
CREATE INDEX uploads_by_expiry ON uploads (expires_at);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (bound_at);
CREATE TRIGGER variation_is_added AFTER INSERT ON variations
BEGIN
    UPDATE jobs SET total = total + 1, queued = queued + 1 WHERE seq = new.job;
    UPDATE tally SET variations = variations + 1 WHERE status = 'queued';
END;
CREATE TRIGGER variation_starts_queued BEFORE INSERT ON variations WHEN new.status <> 'queued'
BEGIN
    SELECT RAISE(ABORT, 'a variation starts as queued');
END;
CREATE TRIGGER variation_follows_an_arrow BEFORE UPDATE OF status ON variations
WHEN old.status || ' -> ' || new.status NOT IN (
    'queued -> processing', 'queued -> cancelled', 'queued -> failed',
    'processing -> completed', 'processing -> failed', 'processing -> cancelled', 'processing -> queued',
    'failed -> queued', 'cancelled -> queued'
)
BEGIN
    SELECT RAISE(ABORT, 'no such transition');
END;
CREATE TRIGGER variation_changes_its_job AFTER UPDATE OF status ON variations
BEGIN
    UPDATE jobs SET
        queued     = queued     + (new.status = 'queued')     - (old.status = 'queued'),
        processing = processing + (new.status = 'processing') - (old.status = 'processing'),
        completed  = completed  + (new.status = 'completed')  - (old.status = 'completed'),
        failed     = failed     + (new.status = 'failed')     - (old.status = 'failed'),
        cancelled  = cancelled  + (new.status = 'cancelled')  - (old.status = 'cancelled'),
        started_at = coalesce(started_at, new.started_at)
    WHERE seq = new.job;
    UPDATE jobs SET
        cpu_seconds    = cpu_seconds + coalesce(new.cpu_seconds, 0),
        output_seconds = output_seconds + coalesce(new.output_seconds, 0),
        output_bytes   = output_bytes + new.bytes
    WHERE seq = new.job AND new.status = 'completed';
    UPDATE jobs SET
        finished_at  = iif(queued + processing = 0, new.finished_at, NULL),
        expires_at   = iif(queued + processing = 0, coalesce(keep_until, new.finished_at + expires_in), NULL),
        cancelled_at = iif(queued + processing = 0 AND cancelled > 0, new.finished_at, NULL)
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
        ELSE old.cancelled
    END;
END;
CREATE TRIGGER variation_event AFTER UPDATE OF status ON variations
BEGIN
    INSERT INTO events (at, type, job, data)
    SELECT (julianday('now') - 2440587.5) * 86400, 'variation', jobs.id, json_object(
        'job', jobs.id, 'source', sources.id, 'id', new.id, 'status', new.status,
        'attempts', new.attempts, 'bytes', new.bytes, 'error', new.error
    )
    FROM jobs, sources WHERE jobs.seq = new.job AND sources.seq = new.source;
END;
CREATE TRIGGER job_event AFTER UPDATE ON jobs
WHEN old.status <> new.status OR old.paused <> new.paused OR old.priority <> new.priority
    OR old.name IS NOT new.name OR old.keep_until IS NOT new.keep_until
BEGIN
    INSERT INTO events (at, type, job, data)
    VALUES ((julianday('now') - 2440587.5) * 86400, 'job', new.id, json_object(
        'id', new.id, 'status', new.status, 'paused', json(iif(new.paused, 'true', 'false')),
        'priority', new.priority, 'name', new.name
    ));
END;
CREATE TRIGGER job_deleted_event BEFORE DELETE ON jobs
BEGIN
    INSERT INTO events (at, type, job, data)
    VALUES ((julianday('now') - 2440587.5) * 86400, 'deleted', old.id, json_object('id', old.id));
END;
CREATE TRIGGER queue_event AFTER UPDATE ON queue WHEN old.state <> new.state
BEGIN
    INSERT INTO events (at, type, job, data)
    VALUES ((julianday('now') - 2440587.5) * 86400, 'queue', NULL, json_object('state', new.state));
END;
CREATE TRIGGER job_end_is_told AFTER UPDATE OF finished_at ON jobs
WHEN old.finished_at IS NULL AND new.finished_at IS NOT NULL AND new.webhook_url IS NOT NULL
BEGIN
    INSERT INTO outbox (id, job, type, url, snapshot, status, created_at, since, next_attempt_at)
    SELECT 'msg_' || lower(hex(randomblob(12))), new.id, 'job.' || new.status, new.webhook_url, json_object(
        'id', new.id, 'name', new.name, 'status', new.status, 'paused', new.paused, 'priority', new.priority,
        'total', new.total, 'completed', new.completed, 'failed', new.failed, 'cancelled', new.cancelled,
        'created_at', json(lower(quote(new.created_at))), 'started_at', json(lower(quote(new.started_at))),
        'finished_at', json(lower(quote(new.finished_at))), 'expires_at', json(lower(quote(new.expires_at))),
        'cancel_requested_at', json(lower(quote(new.cancel_requested_at))),
        'cancelled_at', json(lower(quote(new.cancelled_at))), 'metadata', new.metadata,
        'cpu_seconds', new.cpu_seconds, 'output_seconds', new.output_seconds, 'output_bytes', new.output_bytes,
        'discarded_cpu', new.discarded_cpu, 'error', (
            SELECT error FROM variations WHERE job = new.seq AND new.status = 'failed' AND error IS NOT NULL
            ORDER BY source, seq LIMIT 1
        )
    ), iif(gone, 'disabled', 'pending'), new.finished_at, new.finished_at, iif(gone, NULL, new.finished_at)
    FROM (SELECT EXISTS (SELECT 1 FROM outbox WHERE job = new.id AND status = 'disabled') AS gone);
END;
CREATE TRIGGER variation_end_is_told AFTER UPDATE OF status ON variations
WHEN new.status IN ('completed', 'failed', 'cancelled')
BEGIN
    INSERT INTO outbox (id, job, type, url, snapshot, status, created_at, since, next_attempt_at)
    SELECT 'msg_' || lower(hex(randomblob(12))), jobs.id, 'variation.' || new.status, jobs.webhook_url, json_object(
        'job', jobs.id, 'source', sources.id, 'id', new.id, 'name', new.name, 'preset', new.preset,
        'parameters', new.parameters, 'status', new.status, 'bytes', new.bytes, 'sha256', new.sha256,
        'attempts', new.attempts, 'error', new.error, 'speed', json(lower(quote(new.speed))),
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
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('events',44);
INSERT INTO "sqlite_sequence" VALUES('outbox',1);
INSERT INTO "sqlite_sequence" VALUES('jobs',9);
COMMIT;

-- The feed: which log it is of, and who follows it under a name.

-- The log's own id. Positions count from 1 in every log, so that one of another log would pass for one of this. A copy of
-- the database keeps it; whoever goes on with a log that has lost events gives it a new one.
CREATE TABLE log_identity (
    only_one    boolean     NOT NULL DEFAULT true PRIMARY KEY CHECK (only_one),
    log_id      uuid        NOT NULL DEFAULT gen_random_uuid()
);

INSERT INTO log_identity DEFAULT VALUES;

CREATE TABLE feed_consumers (
    consumer_id text COLLATE "C" NOT NULL PRIMARY KEY,
    program     text        NOT NULL,   -- empty for all
    types       text[]      NOT NULL,   -- names of events; empty for all
    position    bigint      NOT NULL DEFAULT 0 CHECK (position >= 0),   -- everything up to here was dealt with
    stream      bigint      NOT NULL DEFAULT 0,     -- number of its newest stream: an older one ends
    created_at  bigint      NOT NULL,   -- microseconds since 1970-01-01 UTC, like all instants
    seen_at     bigint      NOT NULL DEFAULT 0      -- when a stream was last there; 0 before any
) WITH (fillfactor = 50);

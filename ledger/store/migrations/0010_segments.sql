-- How far the segmenter is: see ledger.segments. Lost, it is worked out anew; nothing else depends on it.
CREATE TABLE segmenter (
    only_one    boolean NOT NULL DEFAULT true PRIMARY KEY CHECK (only_one),
    position    bigint  NOT NULL,   -- who is in segments reflects the log up to here
    appended    bigint  NOT NULL    -- position of the last event of its own
) WITH (fillfactor = 10);

-- Evaluations of all members, one for each segment.
CREATE TABLE segment_evaluations (
    stream_id   uuid    NOT NULL PRIMARY KEY,
    definition_version bigint NOT NULL, -- which event of the segment has the definition that is evaluated
    day         date    NOT NULL,       -- the program's, on which it began
    cause       smallint NOT NULL,      -- loyalty.v1.SegmentCause
    after       uuid                    -- members up to this one are done; NULL once all are
) WITH (fillfactor = 50);

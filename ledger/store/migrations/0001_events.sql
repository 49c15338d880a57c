-- The log. One row an event; nothing in it is ever changed or removed.
--
-- The first four columns and notification_id are those of the eventsourcing library, so that its readers work on the
-- table as it is. notification_id is the position in the log: 1, 2, 3 and so on, without gaps, in commit order.
CREATE TABLE events (
    originator_id       uuid        NOT NULL,
    originator_version  bigint      NOT NULL,
    topic               text        NOT NULL,
    state               bytea,                 -- NULL where it is in the archive: see 0006_archive.sql
    notification_id     bigint      NOT NULL,
    recorded_at         bigint      NOT NULL,  -- microseconds since 1970-01-01 UTC
    request_id          uuid,                  -- of a command's main event
    transaction_id      uuid,                  -- whose file the event belongs to, where that is not request_id
    sale_reference      text COLLATE "C",      -- a till's receipt number; its order is that of its bytes
    CONSTRAINT events_stream_key PRIMARY KEY (originator_id, originator_version)
);

CREATE UNIQUE INDEX events_position_key ON events (notification_id);
CREATE UNIQUE INDEX events_request_key ON events (request_id) WHERE request_id IS NOT NULL;
CREATE UNIQUE INDEX events_sale_key ON events (sale_reference) WHERE sale_reference IS NOT NULL;
CREATE INDEX events_transaction_idx ON events (transaction_id) WHERE transaction_id IS NOT NULL;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are never changed or removed: append a correction instead'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER events_are_immutable BEFORE DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Moving states to the archive and back is no change: 0006_archive.sql sees to it that it is nothing else.
CREATE TRIGGER events_stay_as_they_are BEFORE UPDATE ON events
    FOR EACH STATEMENT WHEN (current_setting('ledger.moves_states', true) IS DISTINCT FROM 'yes')
    EXECUTE FUNCTION refuse_change();

-- Lets one writer at a time append, until its transaction ends. Not by a lock of the log itself: every mode that keeps
-- writers apart also waits for VACUUM and CREATE INDEX CONCURRENTLY, so that maintenance would stop the tills for as long
-- as it runs. Nor by an advisory lock, which whoever may only read could take as well, and stop the tills. append_events
-- takes the same lock by itself, since a call of this function costs a tenth of appending one event.
CREATE TABLE log_lock ();

CREATE FUNCTION lock_log() RETURNS void LANGUAGE sql AS $$
    LOCK TABLE log_lock IN EXCLUSIVE MODE
$$;

-- Appends a batch and gives it its positions. The lock makes commit order and position order the same, so no reader
-- ever passes over an event; it is held only while this one statement runs and commits. recorded_at never decreases,
-- even when the clocks of two servers differ. A log that has lost what the writer has seen takes nothing that was decided
-- on it: positions and versions would have gaps for ever.
CREATE FUNCTION append_events(
    originator_ids      uuid[],
    originator_versions bigint[],
    topics              text[],
    states              bytea[],
    request_ids         uuid[],
    transaction_ids     uuid[],
    sale_references     text[],
    recorded_at_us      bigint,
    seen_position       bigint
) RETURNS TABLE (first_position bigint, recorded_at bigint) LANGUAGE plpgsql AS $$
DECLARE
    head_position bigint;
    head_recorded_at bigint;
BEGIN
    LOCK TABLE log_lock IN EXCLUSIVE MODE;  -- lock_log()
    SELECT e.notification_id, e.recorded_at INTO head_position, head_recorded_at
        FROM events e ORDER BY e.notification_id DESC LIMIT 1;
    head_position := coalesce(head_position, 0);
    IF head_position < seen_position THEN
        RAISE EXCEPTION 'the log ends at % and has lost events up to % that were acknowledged', head_position, seen_position
            USING ERRCODE = 'serialization_failure';
    END IF;
    head_recorded_at := greatest(recorded_at_us, coalesce(head_recorded_at, 0));
    INSERT INTO events
        SELECT n.originator_id, n.originator_version, n.topic, n.state, head_position + n.number,
               head_recorded_at, n.request_id, n.transaction_id, n.sale_reference
        FROM unnest(originator_ids, originator_versions, topics, states,
                    request_ids, transaction_ids, sale_references) WITH ORDINALITY
            AS n (originator_id, originator_version, topic, state,
                  request_id, transaction_id, sale_reference, number);
    PERFORM pg_notify('events', (head_position + cardinality(originator_ids))::text);
    first_position := head_position + 1;
    recorded_at := head_recorded_at;
    RETURN NEXT;
END $$;

-- Accounts as they were at some version. They make loading fast; an account whose first events are in the archive starts
-- from its snapshot.
CREATE TABLE snapshots (
    originator_id       uuid        NOT NULL PRIMARY KEY,
    originator_version  bigint      NOT NULL,
    state               bytea       NOT NULL
);

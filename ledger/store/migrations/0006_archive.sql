-- The archive: what of the log lies in files. Rows stay, with every key that commands look up; their states are there.

CREATE TABLE log_archives (
    first_position  bigint      NOT NULL PRIMARY KEY,
    last_position   bigint      NOT NULL,
    archived_at     timestamptz NOT NULL DEFAULT now(),
    CHECK (1 <= first_position AND first_position <= last_position)
);

-- The event's hash in the log's tree; NULL where it is not sealed.
CREATE FUNCTION sealed_leaf(at_position bigint) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT nullif(substr(t.hashes, ((at_position - 1) % 256)::int * 32 + 1, 32), '')
    FROM log_tiles t WHERE t.level = 0 AND t.index = (at_position - 1) / 256
$$;

-- A state leaves where its event is archived, and only what was sealed comes back.
CREATE FUNCTION refuse_other_state() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moved events := OLD;
BEGIN
    moved.state := NEW.state;
    IF moved IS NOT DISTINCT FROM NEW THEN
        IF NEW.state IS NULL AND EXISTS (
            SELECT FROM log_archives a WHERE NEW.notification_id BETWEEN a.first_position AND a.last_position
        ) THEN
            RETURN NEW;
        END IF;
        IF OLD.state IS NULL AND leaf_hash(NEW) = sealed_leaf(NEW.notification_id) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'event %: its state moves to the archive and comes back as it was, nothing else', OLD.notification_id
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER states_move BEFORE UPDATE ON events
    FOR EACH ROW EXECUTE FUNCTION refuse_other_state();

CREATE FUNCTION refuse_to_forget_archive() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND NOT EXISTS (
        SELECT FROM events e
        WHERE e.notification_id BETWEEN OLD.first_position AND OLD.last_position AND e.state IS NULL
    ) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the archive of events % to % stays known until they are restored', OLD.first_position, OLD.last_position
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER archives_stay BEFORE UPDATE OR DELETE ON log_archives
    FOR EACH ROW EXECUTE FUNCTION refuse_to_forget_archive();

CREATE TRIGGER archives_are_not_emptied BEFORE TRUNCATE ON log_archives
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What proves the log: its Merkle tree as tiles, and the checkpoints that were signed of it. See ledger.proof.

-- How much of the log is in the tree. The one row fences sealers: each moves it on from exactly where it began.
CREATE TABLE log_seal (
    only_one    boolean     NOT NULL DEFAULT true PRIMARY KEY CHECK (only_one),
    size        bigint      NOT NULL    -- events 1 to size are sealed
);

INSERT INTO log_seal (size) VALUES (0);

-- Tile (level, index): up to 256 hashes of 32 bytes. Those that are not full grow; nothing else changes.
CREATE TABLE log_tiles (
    level       smallint    NOT NULL,
    index       bigint      NOT NULL,
    hashes      bytea       NOT NULL CHECK (octet_length(hashes) BETWEEN 32 AND 8192 AND octet_length(hashes) % 32 = 0),
    CONSTRAINT log_tiles_key PRIMARY KEY (level, index)
);

-- Hashes do not compress.
ALTER TABLE log_tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;

CREATE TABLE log_checkpoints (
    size        bigint      NOT NULL PRIMARY KEY,
    signed_at   bigint      NOT NULL,   -- microseconds since 1970-01-01 UTC
    note        text        NOT NULL    -- a signed note of C2SP
);

CREATE TRIGGER checkpoints_are_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON log_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION refuse_other_hashes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF substr(NEW.hashes, 1, octet_length(OLD.hashes)) = OLD.hashes
        AND (NEW.level, NEW.index) = (OLD.level, OLD.index) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'hashes of the log are never changed: new ones are added'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER tiles_grow BEFORE UPDATE ON log_tiles
    FOR EACH ROW EXECUTE FUNCTION refuse_other_hashes();

CREATE TRIGGER tiles_stay BEFORE DELETE OR TRUNCATE ON log_tiles
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The hash of an event's leaf: that of ledger.proof.leaf, made where the event is, which costs half of bringing all of it
-- to Python. A test holds the two alike.
CREATE FUNCTION leaf_hash(e events) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256(
        '\x00'::bytea || uuid_send(e.originator_id) || int8send(e.originator_version) || int8send(e.recorded_at)
        || int4send(octet_length(e.topic)) || textsend(e.topic)
        || CASE WHEN e.request_id IS NULL THEN int4send(0) ELSE int4send(16) || uuid_send(e.request_id) END
        || CASE WHEN e.transaction_id IS NULL THEN int4send(0) ELSE int4send(16) || uuid_send(e.transaction_id) END
        || CASE WHEN e.sale_reference IS NULL THEN int4send(0)
                ELSE int4send(octet_length(e.sale_reference)) || textsend(e.sale_reference) END
        || int4send(octet_length(e.state)) || e.state
    )
$$;

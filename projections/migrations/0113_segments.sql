-- Segments: who was in from when until when.
CREATE PROCEDURE projection.create_segments() LANGUAGE plpgsql AS $$
BEGIN
    CREATE TABLE segments (
        stream_id       uuid    NOT NULL PRIMARY KEY,
        stream_version  bigint  NOT NULL,  -- of the segment's last event
        program         text    NOT NULL,
        segment_id      text    NOT NULL,
        display_name_en text    NOT NULL,
        display_name_hi text    NOT NULL,
        expression      text    NOT NULL,
        definition      bytea   NOT NULL,  -- loyalty.v1.Segment, as it was saved
        version         bigint  NOT NULL,  -- of the definition, from 1
        definition_version bigint NOT NULL, -- which of the segment's events has it, or says that it is deleted
        saved_position  bigint  NOT NULL,
        saved_at        bigint  NOT NULL,  -- microseconds since 1970-01-01 UTC, like all instants
        is_deleted      boolean NOT NULL,
        members         bigint  NOT NULL,  -- who is in now
        listed          bigint  NOT NULL   -- who is on the list now
    ) WITH (fillfactor = 50);
    CREATE UNIQUE INDEX segments_name_key ON segments (program, segment_id);

    CREATE TABLE segment_lists (
        stream_id       uuid    NOT NULL,
        member_id       uuid    NOT NULL,
        PRIMARY KEY (stream_id, member_id)
    );

    CREATE TABLE segment_memberships (
        stream_id       uuid    NOT NULL,
        member_id       uuid    NOT NULL,
        entered_position bigint NOT NULL,
        entered_at      bigint  NOT NULL,
        left_position   bigint,            -- NULL while in
        left_at         bigint,
        PRIMARY KEY (stream_id, member_id, entered_position)
    ) WITH (fillfactor = 90);
    CREATE UNIQUE INDEX segment_memberships_now_key ON segment_memberships (stream_id, member_id)
        WHERE left_position IS NULL;
    CREATE INDEX segment_memberships_member_idx ON segment_memberships (member_id, entered_position);
END $$;

CREATE PROCEDURE projection.show_segments(names text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($names$
        CREATE OR REPLACE VIEW %1$I.segments AS
            SELECT stream_id, stream_version, program, segment_id, display_name_en, display_name_hi, expression, definition,
                   version, definition_version, saved_position, saved_at, is_deleted, members, listed
            FROM segments;
        CREATE OR REPLACE VIEW %1$I.segment_lists AS
            SELECT stream_id, member_id FROM segment_lists;
        CREATE OR REPLACE VIEW %1$I.segment_memberships AS
            SELECT stream_id, member_id, entered_position, entered_at, left_position, left_at FROM segment_memberships;
        -- Who is in now.
        CREATE OR REPLACE VIEW %1$I.segment_members AS
            SELECT s.program, s.segment_id, m.member_id
            FROM segments s JOIN segment_memberships m USING (stream_id)
            WHERE m.left_position IS NULL;
    $names$, names);
END $$;

CALL projection.begin_generation('segments', 1);
CALL projection.show_generation('segments', 1);

-- Statements: one line for every event that can move points, with the member's total after it.
CREATE PROCEDURE projection.create_statements() LANGUAGE plpgsql AS $$
BEGIN
    CREATE TABLE member_totals (
        member_id       uuid    NOT NULL PRIMARY KEY,
        total_points    bigint  NOT NULL  -- pending and held included, less what is owed
    ) WITH (fillfactor = 60);

    CREATE TABLE entries (
        member_id       uuid    NOT NULL,
        position        bigint  NOT NULL,
        effective_at    bigint  NOT NULL,  -- microseconds since 1970-01-01 UTC, like all instants
        recorded_at     bigint  NOT NULL,
        type            text    NOT NULL,  -- name of the event message
        transaction_id  uuid,              -- request id of the command; NULL for what a deadline caused
        points          bigint  NOT NULL,  -- change of the total; 0 for what only moves points
        total_points    bigint  NOT NULL,
        store           text    NOT NULL,
        PRIMARY KEY (member_id, position)
    );
END $$;

CREATE PROCEDURE projection.show_statements(names text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($names$
        CREATE OR REPLACE VIEW %1$I.member_totals AS SELECT member_id, total_points FROM member_totals;
        CREATE OR REPLACE VIEW %1$I.statements AS
            SELECT member_id, position, effective_at, recorded_at, type, transaction_id, points, total_points, store
            FROM entries;
    $names$, names);
END $$;

CALL projection.begin_generation('statements', 1);
CALL projection.show_generation('statements', 1);

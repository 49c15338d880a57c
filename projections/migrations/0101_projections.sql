-- The read side. Each projection keeps its tables in a schema of its own, one for each generation: balances_1,
-- balances_2 and so on. A rebuild makes the next generation beside the live one and then switches. The schema `views`
-- holds names that stay, over whichever generation is live.
CREATE SCHEMA projection;
CREATE SCHEMA views;

-- How far each generation is. A page of events is applied in the transaction that moves its position.
CREATE TABLE projection.tracking (
    name        text    NOT NULL,
    generation  int     NOT NULL CHECK (generation > 0),
    live        boolean NOT NULL,
    position    bigint  NOT NULL CHECK (position >= 0),
    PRIMARY KEY (name, generation)
) WITH (fillfactor = 10);

CREATE UNIQUE INDEX tracking_live_key ON projection.tracking (name) WHERE live;

CREATE VIEW views.positions AS SELECT name, position FROM projection.tracking WHERE live;

-- Makes the empty tables of a generation: projection.create_<name>() says what they are.
CREATE PROCEDURE projection.begin_generation(of_name text, number int) LANGUAGE plpgsql AS $$
DECLARE
    before text := current_setting('search_path');
BEGIN
    EXECUTE format('CREATE SCHEMA %I', of_name || '_' || number);
    PERFORM set_config('search_path', quote_ident(of_name || '_' || number), true);
    EXECUTE format('CALL projection.%I()', 'create_' || of_name);
    PERFORM set_config('search_path', before, true);
    INSERT INTO projection.tracking VALUES (of_name, number, false, 0);
END $$;

-- Puts the names that stay over a generation: projection.show_<name>() says what they are, in whatever schema.
CREATE PROCEDURE projection.show_generation(of_name text, number int) LANGUAGE plpgsql AS $$
DECLARE
    before text := current_setting('search_path');
BEGIN
    PERFORM set_config('search_path', quote_ident(of_name || '_' || number), true);
    EXECUTE format('CALL projection.%I(%L)', 'show_' || of_name, 'views');
    PERFORM set_config('search_path', before, true);
    UPDATE projection.tracking SET live = false WHERE name = of_name AND live;
    UPDATE projection.tracking SET live = true WHERE name = of_name AND generation = number;
END $$;

-- Views as they were: replays of the log into schemas of their own. The names that readers know are in `schema`, the
-- tables below them in `schema`_tables. One that is not finished has no `schema` yet.
CREATE TABLE projection.replays (
    schema      text        NOT NULL PRIMARY KEY,
    position    bigint      NOT NULL,
    recorded_at bigint      NOT NULL,   -- of that position, in microseconds since 1970-01-01 UTC; 0 for position 0
    made_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished    boolean     NOT NULL DEFAULT false
);

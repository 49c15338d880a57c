-- Tiers: where each member stands, and the versions of each program; the one in force says what is still to earn.
CREATE PROCEDURE projection.create_tiers() LANGUAGE plpgsql AS $$
BEGIN
    CREATE TABLE tiers (
        member_id           uuid    NOT NULL PRIMARY KEY,
        program             text    NOT NULL,
        tier                text    NOT NULL,  -- empty in a program without tiers
        since               bigint  NOT NULL,  -- the instant at which the tier was reached
        standing            bytea   NOT NULL,             -- loyalty.v1.Standing
        counted             bigint  NOT NULL DEFAULT 0,   -- all that the standing keeps, in units of the program's basis
        next_change_at      bigint,            -- when the tier changes if nothing else counts; NULL for never
        next_change_to      text
    ) WITH (fillfactor = 60);
    CREATE INDEX ON tiers (next_change_at) WHERE next_change_at IS NOT NULL;

    CREATE TABLE programs (
        program     text    NOT NULL,
        version     bigint  NOT NULL,
        starts_at   bigint  NOT NULL,  -- the newest version that has begun is in force; 0 for at once
        definition  bytea   NOT NULL,  -- loyalty.v1.Program
        PRIMARY KEY (program, version)
    );
END $$;

CREATE PROCEDURE projection.show_tiers(names text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($names$
        CREATE OR REPLACE VIEW %1$I.tiers AS
            SELECT member_id, program, tier, since, standing, counted, next_change_at, next_change_to FROM tiers;
        CREATE OR REPLACE VIEW %1$I.programs AS SELECT program, version, starts_at, definition FROM programs;
    $names$, names);
END $$;

CALL projection.begin_generation('tiers', 1);
CALL projection.show_generation('tiers', 1);

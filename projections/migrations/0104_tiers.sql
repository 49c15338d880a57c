-- Tiers: where each member stands, and the versions of each program; the one in force says what is still to earn.
CREATE PROCEDURE projection.create_tiers() LANGUAGE plpgsql AS $$
BEGIN
    CREATE TABLE tiers (
        member_id           uuid    NOT NULL PRIMARY KEY,
        program             text    NOT NULL,
        tier                text    NOT NULL,  -- empty in a program without tiers
        qualifying_points   bigint  NOT NULL CHECK (qualifying_points >= 0),
        since               bigint  NOT NULL   -- the instant at which the tier was reached
    ) WITH (fillfactor = 60);

    CREATE TABLE programs (
        program     text    NOT NULL,
        version     bigint  NOT NULL,
        starts_at   bigint  NOT NULL,  -- the newest version that has begun is in force; 0 for at once
        definition  bytea   NOT NULL,  -- loyalty.v1.Program
        PRIMARY KEY (program, version)
    );
END $$;

CREATE PROCEDURE projection.show_tiers() LANGUAGE plpgsql AS $$
BEGIN
    CREATE OR REPLACE VIEW views.tiers AS
        SELECT member_id, program, tier, qualifying_points, since FROM tiers;
    CREATE OR REPLACE VIEW views.programs AS SELECT program, version, starts_at, definition FROM programs;
END $$;

CALL projection.begin_generation('tiers', 1);
CALL projection.show_generation('tiers', 1);

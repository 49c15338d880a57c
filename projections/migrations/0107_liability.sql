-- Liability: what members hold by vintage, the month in which the points were issued, as YYYY-MM. projections/movements.py
-- says what each event books to which lot. Points are what the members hold more: what goes is negative. The vintage of
-- what members owe is the empty text.
CREATE PROCEDURE projection.create_liability() LANGUAGE plpgsql AS $$
BEGIN
    CREATE TABLE booked_members (
        member_id       uuid    NOT NULL PRIMARY KEY,
        program         text    NOT NULL,
        time_zone       text    NOT NULL
    );

    CREATE TABLE vintages (
        member_id       uuid    NOT NULL,
        lot             bigint  NOT NULL,
        vintage         text    NOT NULL,
        PRIMARY KEY (member_id, lot)
    );

    CREATE TABLE movements (
        member_id       uuid    NOT NULL,
        position        bigint  NOT NULL,
        lot             bigint  NOT NULL,  -- 0 for what the member owes
        kind            text    NOT NULL,
        points          bigint  NOT NULL,
        sold_minor      bigint  NOT NULL,
        program         text    NOT NULL,
        vintage         text    NOT NULL,
        booked_on       date    NOT NULL,
        effective_on    date    NOT NULL
    );
    CREATE INDEX movements_day_idx ON movements (program, booked_on);

    -- The sums. Those of many members may be more than 64 bits hold, so they are numeric.
    CREATE TABLE liability_days (
        program         text    NOT NULL,
        vintage         text    NOT NULL,
        booked_on       date    NOT NULL,
        effective_on    date    NOT NULL,
        issued          numeric NOT NULL,
        restored        numeric NOT NULL,
        reinstated      numeric NOT NULL,
        adjusted        numeric NOT NULL,
        redeemed        numeric NOT NULL,
        expired         numeric NOT NULL,
        clawed_back     numeric NOT NULL,
        sold_minor      numeric NOT NULL,
        PRIMARY KEY (program, vintage, booked_on, effective_on)
    ) WITH (fillfactor = 60);
END $$;

CREATE PROCEDURE projection.show_liability(names text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($names$
        CREATE OR REPLACE VIEW %1$I.liability_days AS
            SELECT program, vintage, booked_on, effective_on, issued, restored, reinstated, adjusted, redeemed, expired,
                   clawed_back, sold_minor
            FROM liability_days;
        CREATE OR REPLACE VIEW %1$I.movements AS
            SELECT member_id, position, lot, kind, points, sold_minor, program, vintage, booked_on, effective_on
            FROM movements;
        CREATE OR REPLACE VIEW %1$I.vintages AS SELECT member_id, lot, vintage FROM vintages;
        CREATE OR REPLACE VIEW %1$I.booked_members AS SELECT member_id, program, time_zone FROM booked_members;
    $names$, names);
END $$;

CALL projection.begin_generation('liability', 1);
CALL projection.show_generation('liability', 1);

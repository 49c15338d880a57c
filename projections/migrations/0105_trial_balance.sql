-- Trial balance: double entry. projections/postings.py says what each event books to which account.
CREATE PROCEDURE projection.create_trial_balance() LANGUAGE plpgsql AS $$
BEGIN
    CREATE TABLE member_points (
        member_id           uuid    NOT NULL PRIMARY KEY,
        program             text    NOT NULL,
        points              bigint  NOT NULL
    ) WITH (fillfactor = 60);

    -- Totals of many members may be more than 64 bits hold, so they are numeric.
    CREATE TABLE program_totals (
        program             text    NOT NULL PRIMARY KEY,
        member              numeric NOT NULL,
        issued              numeric NOT NULL,
        redeemed            numeric NOT NULL,
        breakage            numeric NOT NULL,
        clawed_back         numeric NOT NULL,
        restored            numeric NOT NULL,
        adjusted            numeric NOT NULL,
        CHECK (member + issued + redeemed + breakage + clawed_back + restored + adjusted = 0)
    );
END $$;

CREATE PROCEDURE projection.show_trial_balance(names text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($names$
        CREATE OR REPLACE VIEW %1$I.trial_balance AS
            SELECT program, member, issued, redeemed, breakage, clawed_back, restored, adjusted FROM program_totals;
        CREATE OR REPLACE VIEW %1$I.member_points AS SELECT member_id, program, points FROM member_points;
    $names$, names);
END $$;

CALL projection.begin_generation('trial_balance', 1);
CALL projection.show_generation('trial_balance', 1);

-- Rewards: the vouchers and entitlements of each member, and what is drawn of stock and of uploaded codes. Instants are
-- microseconds since 1970-01-01 UTC; at once is 0, never is 2^63 - 1. States have the numbers of loyalty.v1.VoucherState and
-- EntitlementState: 1 can be used until expires_at, whether or not its expiry is recorded.
CREATE PROCEDURE projection.create_rewards() LANGUAGE plpgsql AS $$
BEGIN
    CREATE TABLE vouchers (
        member_id       uuid    NOT NULL,
        voucher_id      uuid    NOT NULL,
        position        bigint  NOT NULL,  -- of its issue
        reward_id       text    NOT NULL,
        reward          bytea   NOT NULL,  -- loyalty.v1.Reward, as it was then
        starts_at       bigint  NOT NULL,
        expires_at      bigint  NOT NULL,
        left_minor      bigint  NOT NULL CHECK (left_minor >= 0),  -- of a gift card
        state           int     NOT NULL,
        PRIMARY KEY (member_id, voucher_id)
    ) WITH (fillfactor = 80);
    CREATE UNIQUE INDEX vouchers_position_idx ON vouchers (member_id, position);
    CREATE INDEX vouchers_deadline_idx ON vouchers (expires_at) WHERE state = 1 AND expires_at < 9223372036854775807;

    CREATE TABLE entitlements (
        member_id       uuid    NOT NULL,
        entitlement_id  uuid    NOT NULL,
        position        bigint  NOT NULL,  -- of its issue
        reward_id       text    NOT NULL,
        reward          bytea   NOT NULL,  -- loyalty.v1.Reward, as it was then
        starts_at       bigint  NOT NULL,
        expires_at      bigint  NOT NULL,
        used_times      bigint  NOT NULL CHECK (used_times >= 0),
        state           int     NOT NULL,
        sale            text    NOT NULL,  -- of the goods of a warranty, as transactions/{request_id}
        line_id         text    NOT NULL,
        sku             text    NOT NULL,
        PRIMARY KEY (member_id, entitlement_id)
    ) WITH (fillfactor = 80);
    CREATE UNIQUE INDEX entitlements_position_idx ON entitlements (member_id, position);
    CREATE INDEX entitlements_deadline_idx ON entitlements (expires_at)
        WHERE state = 1 AND expires_at < 9223372036854775807;

    -- How much there is to draw is the program's business; of uploaded codes it is `uploaded`.
    CREATE TABLE stocks (
        program         text    NOT NULL,
        pool            text    NOT NULL,  -- reward/{reward_id}/stock or codes/{code_pool}
        drawn           bigint  NOT NULL CHECK (drawn >= 0),
        uploaded        bigint  NOT NULL,
        PRIMARY KEY (program, pool)
    ) WITH (fillfactor = 60);

    -- What open holds drew. From its expires_at on it counts as given back, whether or not that is recorded.
    CREATE TABLE stock_holds (
        program         text    NOT NULL,
        pool            text    NOT NULL,
        hold_id         uuid    NOT NULL,
        amount          bigint  NOT NULL,
        expires_at      bigint  NOT NULL,
        PRIMARY KEY (program, pool, hold_id)
    );
END $$;

CREATE PROCEDURE projection.show_rewards(names text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($names$
        CREATE OR REPLACE VIEW %1$I.vouchers AS
            SELECT member_id, voucher_id, position, reward_id, reward, starts_at, expires_at, left_minor, state
            FROM vouchers;
        CREATE OR REPLACE VIEW %1$I.entitlements AS
            SELECT member_id, entitlement_id, position, reward_id, reward, starts_at, expires_at, used_times, state, sale,
                   line_id, sku
            FROM entitlements;
        CREATE OR REPLACE VIEW %1$I.stocks AS SELECT program, pool, drawn, uploaded FROM stocks;
        CREATE OR REPLACE VIEW %1$I.stock_holds AS SELECT program, pool, hold_id, amount, expires_at FROM stock_holds;

        -- What is drawn of each stock of a program at an instant.
        CREATE OR REPLACE FUNCTION %1$I.stocks_at(of_program text, at_instant bigint)
        RETURNS TABLE (pool text, drawn bigint, uploaded bigint) LANGUAGE sql STABLE AS $body$
            SELECT s.pool, s.drawn - coalesce(
                       (SELECT sum(h.amount) FROM %1$I.stock_holds h
                        WHERE h.program = s.program AND h.pool = s.pool AND h.expires_at <= at_instant), 0)::bigint,
                   s.uploaded
            FROM %1$I.stocks s WHERE s.program = of_program
        $body$;
    $names$, names);
END $$;

CALL projection.begin_generation('rewards', 1);
CALL projection.show_generation('rewards', 1);

-- Balances: what every account holds. Instants are microseconds since 1970-01-01 UTC; never is 2^63 - 1.
--
-- Nothing here depends on a job having run: lots and holds carry their deadlines, and a reader counts them by time.
CREATE PROCEDURE projection.create_balances() LANGUAGE plpgsql AS $$
BEGIN
    CREATE TABLE accounts (
        member_id           uuid    NOT NULL PRIMARY KEY,
        program             text    NOT NULL,
        version             bigint  NOT NULL,
        position            bigint  NOT NULL,  -- of the last event
        recorded_at         bigint  NOT NULL,  -- of the last event
        owed_points         bigint  NOT NULL CHECK (owed_points >= 0),
        activity_expires_at bigint  NOT NULL,  -- the earliest expiry of the lots that follow activity; 0 before any
        following_points    bigint  NOT NULL CHECK (following_points >= 0),  -- in lots whose expires_at is 0
        notified_until      bigint  NOT NULL  -- the last expiry that notice was given of; 0 before any
    ) WITH (fillfactor = 60);
    CREATE INDEX accounts_deadline_idx ON accounts (activity_expires_at) WHERE following_points > 0;

    -- Lots with points left. An expiry that is recorded takes the points out; until then readers go by expires_at.
    -- Of a lot that follows activity, expires_at is 0 once the member's activity_expires_at has caught up with it.
    CREATE TABLE lots (
        member_id           uuid    NOT NULL,
        number              bigint  NOT NULL,
        expires_at          bigint  NOT NULL,
        activates_at        bigint  NOT NULL,
        follows_activity    boolean NOT NULL,
        points              bigint  NOT NULL CHECK (points > 0),
        PRIMARY KEY (member_id, number, expires_at, activates_at)
    );
    CREATE INDEX lots_deadline_idx ON lots (expires_at) WHERE expires_at > 0 AND expires_at < 9223372036854775807;

    -- Points whose expiry is recorded. Before their expires_at they still count.
    CREATE TABLE expired_lots (
        member_id           uuid    NOT NULL,
        expires_at          bigint  NOT NULL,
        number              bigint  NOT NULL,
        activates_at        bigint  NOT NULL,
        points              bigint  NOT NULL CHECK (points > 0),
        PRIMARY KEY (member_id, expires_at, number)
    );

    -- Open holds. From its expires_at on, a hold's points count as given back, whether or not that is recorded.
    CREATE TABLE holds (
        hold_id             uuid    NOT NULL PRIMARY KEY,
        member_id           uuid    NOT NULL,
        expires_at          bigint  NOT NULL,
        reward_id           text    NOT NULL
    );
    CREATE INDEX holds_member_idx ON holds (member_id);
    CREATE INDEX holds_deadline_idx ON holds (expires_at);

    CREATE TABLE held_lots (
        member_id           uuid    NOT NULL,
        hold_id             uuid    NOT NULL,
        number              bigint  NOT NULL,
        expires_at          bigint  NOT NULL,  -- the lot's
        activates_at        bigint  NOT NULL,
        follows_activity    boolean NOT NULL,
        points              bigint  NOT NULL CHECK (points > 0),
        PRIMARY KEY (member_id, hold_id, number, expires_at)
    );
END $$;

CREATE PROCEDURE projection.show_balances(names text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($names$
        CREATE OR REPLACE VIEW %1$I.balances AS
            SELECT member_id, program, version, position, recorded_at, owed_points, activity_expires_at,
                   following_points, notified_until
            FROM accounts;
        CREATE OR REPLACE VIEW %1$I.lots AS
            SELECT l.member_id, l.number, l.activates_at, l.follows_activity, l.points, l.expires_at AS own_expires_at,
                   CASE WHEN l.follows_activity THEN greatest(l.expires_at, a.activity_expires_at) ELSE l.expires_at END
                       AS expires_at
            FROM accounts a JOIN lots l USING (member_id);
        CREATE OR REPLACE VIEW %1$I.expired_lots AS
            SELECT member_id, number, activates_at, expires_at, points FROM expired_lots;
        CREATE OR REPLACE VIEW %1$I.holds AS
            SELECT member_id, hold_id, expires_at, reward_id FROM holds;
        CREATE OR REPLACE VIEW %1$I.held_lots AS
            SELECT h.member_id, h.hold_id, h.expires_at AS hold_expires_at, l.number, l.activates_at, l.points,
                   CASE WHEN l.follows_activity THEN greatest(l.expires_at, a.activity_expires_at) ELSE l.expires_at END
                       AS expires_at
            FROM holds h JOIN held_lots l USING (member_id, hold_id) JOIN accounts a USING (member_id);

        -- A member's points at an instant. Points are active from activates_at up to, not including, expires_at.
        CREATE OR REPLACE FUNCTION %1$I.balance_at(of_member uuid, at_instant bigint)
        RETURNS TABLE (
            active_points       bigint,  -- less what is owed, that is what can be spent
            pending_points      bigint,
            held_points         bigint,
            next_expiry_points  bigint,  -- NULL when nothing expires
            next_expires_at     bigint
        ) LANGUAGE sql STABLE AS $body$
            SELECT coalesce(sum(points) FILTER (WHERE is_active), 0)::bigint,
                   coalesce(sum(points) FILTER (WHERE is_pending), 0)::bigint,
                   coalesce(sum(points) FILTER (WHERE is_held), 0)::bigint,
                   sum(points) FILTER (WHERE is_active AND expires_at = next_expiry)::bigint,
                   max(next_expiry)
            FROM (
                SELECT points, is_active, is_pending, is_held, expires_at,
                       min(expires_at) FILTER (WHERE is_active AND expires_at < 9223372036854775807) OVER ()
                           AS next_expiry
                FROM (
                    SELECT points, expires_at, activates_at <= at_instant AND expires_at > at_instant AS is_active,
                           activates_at > at_instant AS is_pending, false AS is_held
                    FROM %1$I.lots WHERE member_id = of_member
                    UNION ALL
                    SELECT points, expires_at, activates_at <= at_instant, activates_at > at_instant, false
                    FROM %1$I.expired_lots WHERE member_id = of_member AND expires_at > at_instant
                    UNION ALL
                    SELECT points, expires_at, hold_expires_at <= at_instant AND expires_at > at_instant, false,
                           hold_expires_at > at_instant
                    FROM %1$I.held_lots WHERE member_id = of_member
                ) AS part
            ) AS counted
        $body$;

        -- What a member's active and pending points come to by expiry, at an instant, soonest first.
        CREATE OR REPLACE FUNCTION %1$I.expiries_at(of_member uuid, at_instant bigint)
        RETURNS TABLE (expires_at bigint, points bigint) LANGUAGE sql STABLE AS $body$
            SELECT part.expires_at, sum(part.points)::bigint
            FROM (
                SELECT l.expires_at, l.points FROM %1$I.lots l WHERE l.member_id = of_member
                UNION ALL
                SELECT e.expires_at, e.points FROM %1$I.expired_lots e WHERE e.member_id = of_member
                UNION ALL
                SELECT h.expires_at, h.points FROM %1$I.held_lots h
                WHERE h.member_id = of_member AND h.hold_expires_at <= at_instant
            ) AS part
            WHERE part.expires_at > at_instant AND part.expires_at < 9223372036854775807
            GROUP BY part.expires_at ORDER BY part.expires_at LIMIT 1000
        $body$;
    $names$, names);
END $$;

CALL projection.begin_generation('balances', 1);
CALL projection.show_generation('balances', 1);

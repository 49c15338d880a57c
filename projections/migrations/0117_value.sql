-- Value: what members have been worth, and what they are expected to be. What is read from the view of sales is worked out
-- when somebody asks; estimates depend on the day and on the library that made them, so they are no projection.
CREATE SCHEMA estimates;

-- The receipts of a program as they were known: what happened until the end of a day in its time zone, on so many days (0 for
-- all time), up to a position of the log. `counts` says which are sales: those that had not been reversed by then.
CREATE FUNCTION estimates.receipts(of_program text, until_day date, days int, until_position bigint)
RETURNS TABLE (member_id uuid, of_position bigint, day date, counts boolean, net_minor numeric)
LANGUAGE sql STABLE AS $$
    SELECT s.member_id, s.of_position, s.day,
           s.kind = 'sale' AND NOT (s.is_voided AND EXISTS (
               SELECT FROM views.sales r
               WHERE r.member_id = s.member_id AND r.of_position = s.position AND r.kind = 'reversal'
                 AND r.day <= until_day AND r.position <= until_position)),
           s.net_minor
    FROM views.sales s
    WHERE s.program = of_program AND s.day <= until_day AND (days = 0 OR s.day > until_day - days)
      AND s.position <= until_position
$$;

-- What each member with a sale bought. Scores, lists and models are of people who can be met: whoever is erased is in none of
-- them, while sums of what happened, as those of cohorts, keep what they did.
CREATE FUNCTION estimates.bought(of_program text, until_day date, days int, until_position bigint)
RETURNS TABLE (member_id uuid, last_day date, sales bigint, net_minor numeric) LANGUAGE sql STABLE AS $$
    SELECT r.member_id, max(r.day) FILTER (WHERE r.counts), count(*) FILTER (WHERE r.counts), sum(r.net_minor)
    FROM estimates.receipts(of_program, until_day, days, until_position) r
    WHERE NOT EXISTS (SELECT FROM views.erased_members e WHERE e.member_id = r.member_id)
    GROUP BY r.member_id
    HAVING count(*) FILTER (WHERE r.counts) > 0
$$;

-- Quintiles of recency, frequency and monetary value, 5 the best; ties by member id.
CREATE FUNCTION estimates.rfm(of_program text, until_day date, days int, until_position bigint)
RETURNS TABLE (member_id uuid, recency int, frequency int, monetary int, last_day date, sales bigint, net_minor numeric)
LANGUAGE sql STABLE AS $$
    SELECT b.member_id, ntile(5) OVER (ORDER BY b.last_day, b.member_id), ntile(5) OVER (ORDER BY b.sales, b.member_id),
           ntile(5) OVER (ORDER BY b.net_minor, b.member_id), b.last_day, b.sales, b.net_minor
    FROM estimates.bought(of_program, until_day, days, until_position) b
$$;

-- Margin of the lines whose costs are known, and their net amounts.
CREATE FUNCTION estimates.margins(of_program text, until_day date, days int, until_position bigint)
RETURNS TABLE (member_id uuid, margin_minor numeric, net_with_cost_minor numeric) LANGUAGE sql STABLE AS $$
    SELECT s.member_id, sum(l.net_minor - l.units::numeric * l.unit_cost_minor), sum(l.net_minor)
    FROM views.sales s
    JOIN views.sale_lines l ON l.member_id = s.member_id AND l.position = s.position
    WHERE s.program = of_program AND s.day <= until_day AND (days = 0 OR s.day > until_day - days)
      AND s.position <= until_position AND l.unit_cost_minor IS NOT NULL
    GROUP BY s.member_id
$$;

-- How each member has purchased: what BG/NBD and Gamma-Gamma need. A purchase is a day with a sale that counts; its worth is
-- what was sold on it less what came back of that until the day asked for.
CREATE FUNCTION estimates.purchases(of_program text, until_day date, until_position bigint)
RETURNS TABLE (member_id uuid, repeat_purchases bigint, last_after_days int, age_days int, repeat_net_minor numeric)
LANGUAGE sql STABLE AS $$
    SELECT d.member_id, count(*) - 1, max(d.day) - min(d.day), until_day - min(d.day),
           sum(d.net_minor) FILTER (WHERE NOT d.is_first)
    FROM (
        SELECT s.member_id, s.day, sum(s.net_minor) AS net_minor,
               s.day = min(s.day) OVER (PARTITION BY s.member_id) AS is_first
        FROM (
            SELECT r.member_id, min(r.day) FILTER (WHERE r.counts) AS day, sum(r.net_minor) AS net_minor
            FROM estimates.receipts(of_program, until_day, 0, until_position) r
            WHERE NOT EXISTS (SELECT FROM views.erased_members e WHERE e.member_id = r.member_id)
            GROUP BY r.member_id, r.of_position
            HAVING bool_or(r.counts)
        ) s
        GROUP BY s.member_id, s.day
    ) d
    GROUP BY d.member_id
$$;

-- Every fit of a program. Times are in weeks, money in minor units.
CREATE TABLE estimates.models (
    program         text        NOT NULL,
    version         int         NOT NULL CHECK (version > 0),
    as_of           date        NOT NULL,
    position        bigint      NOT NULL,  -- of the log that it knows
    fitted_at       bigint      NOT NULL,  -- microseconds since 1970-01-01 UTC
    method          text        NOT NULL,
    members         bigint      NOT NULL,
    repeat_members  bigint      NOT NULL,
    r               double precision NOT NULL,
    alpha           double precision NOT NULL,
    a               double precision NOT NULL,
    b               double precision NOT NULL,
    log_likelihood  double precision NOT NULL,
    p               double precision NOT NULL,  -- 0, as q and v_minor, where nobody bought twice
    q               double precision NOT NULL,
    v_minor         double precision NOT NULL,
    spend_log_likelihood double precision NOT NULL,
    spend_members   bigint      NOT NULL,
    spend_correlation double precision NOT NULL,
    holdout_days    int         NOT NULL,
    holdout_mean_absolute_error double precision NOT NULL,
    PRIMARY KEY (program, version)
);

CREATE TABLE estimates.holdouts (
    program             text    NOT NULL,
    version             int     NOT NULL,
    repeat_purchases    int     NOT NULL,
    members             bigint  NOT NULL,
    purchases           bigint  NOT NULL,
    expected_purchases  double precision NOT NULL,
    PRIMARY KEY (program, version, repeat_purchases),
    FOREIGN KEY (program, version) REFERENCES estimates.models
);

-- What the newest model of their program expects of each member with a purchase, and their RFM scores as of its day.
CREATE TABLE estimates.members (
    member_id           uuid    NOT NULL PRIMARY KEY,
    program             text    NOT NULL,
    model_version       int     NOT NULL,
    as_of               date    NOT NULL,
    repeat_purchases    int     NOT NULL,
    probability_active  double precision NOT NULL,
    expected_purchases  double precision NOT NULL,  -- in the 365 days after as_of
    expected_spend_minor bigint,                    -- in them
    recency             smallint NOT NULL,
    frequency           smallint NOT NULL,
    monetary            smallint NOT NULL,
    rfm_group           text    NOT NULL,  -- as in ledger.value.rfm
    last_day            date    NOT NULL,
    sales               bigint  NOT NULL,
    net_minor           numeric NOT NULL
);
CREATE INDEX members_program_idx ON estimates.members (program, member_id);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'loyalty_auditor') THEN
        GRANT USAGE ON SCHEMA estimates TO loyalty_auditor;
        GRANT SELECT ON ALL TABLES IN SCHEMA estimates TO loyalty_auditor;
    END IF;
END $$;

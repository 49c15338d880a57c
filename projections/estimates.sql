-- What a fit reads and stores. The tables are in 0117_value.sql.

-- name: position
SELECT min(position) FROM views.positions WHERE name IN ('sales', 'consents')

-- name: today
-- Of the program's members, all of whom are in one time zone.
SELECT (to_timestamp(%(now)b::bigint / 1000000) AT TIME ZONE time_zone)::date FROM views.sales_members
WHERE program = %(program)b LIMIT 1

-- name: purchases
SELECT member_id, repeat_purchases, last_after_days, age_days, coalesce(repeat_net_minor, 0)::double precision
FROM estimates.purchases(%(program)b, %(as_of)b, %(position)b) ORDER BY member_id

-- name: holdout
-- How members had purchased before the holdout, and on how many days they did in it.
SELECT b.repeat_purchases, b.last_after_days, b.age_days, coalesce(b.repeat_net_minor, 0)::double precision,
       greatest(coalesce(p.repeat_purchases, 0) - b.repeat_purchases, 0)
FROM estimates.purchases(%(program)b, %(before)b, %(position)b) AS b
LEFT JOIN estimates.purchases(%(program)b, %(as_of)b, %(position)b) AS p USING (member_id)
ORDER BY member_id

-- name: version
SELECT coalesce(max(version), 0) + 1 FROM estimates.models WHERE program = %(program)b

-- name: add_model
INSERT INTO estimates.models (
    program, version, as_of, position, fitted_at, method, members, repeat_members, r, alpha, a, b, log_likelihood, p, q,
    v_minor, spend_log_likelihood, spend_members, spend_correlation, holdout_days, holdout_mean_absolute_error)
VALUES (
    %(program)b, %(version)b, %(as_of)b, %(position)b, %(fitted_at)b, %(method)b, %(members)b, %(repeat_members)b, %(r)b,
    %(alpha)b, %(a)b, %(b)b, %(log_likelihood)b, %(p)b, %(q)b, %(v)b, %(spend_log_likelihood)b, %(spend_members)b,
    %(spend_correlation)b, %(holdout_days)b, %(holdout_mean_absolute_error)b)

-- name: add_holdout
INSERT INTO estimates.holdouts (program, version, repeat_purchases, members, purchases, expected_purchases)
VALUES (%(program)b, %(version)b, %(repeats)b, %(members)b, %(purchases)b, %(expected)b)

-- name: begin_expectations
CREATE TEMPORARY TABLE expectations (
    member_id           uuid NOT NULL,
    repeat_purchases    bigint NOT NULL,
    probability_active  double precision NOT NULL,
    expected_purchases  double precision NOT NULL,
    expected_spend_minor bigint
) ON COMMIT DROP

-- name: copy_expectations
COPY expectations FROM STDIN (FORMAT BINARY)

-- name: forget_members
DELETE FROM estimates.members WHERE program = %(program)b

-- name: add_members
INSERT INTO estimates.members (
    member_id, program, model_version, as_of, repeat_purchases, probability_active, expected_purchases,
    expected_spend_minor, recency, frequency, monetary, rfm_group, last_day, sales, net_minor)
SELECT e.member_id, %(program)b, %(version)b, %(as_of)b, e.repeat_purchases, e.probability_active, e.expected_purchases,
       e.expected_spend_minor, s.recency, s.frequency, s.monetary,
       (%(grid)b::text[])[(s.recency - 1) * 5 + (s.frequency + s.monetary + 1) / 2], s.last_day, s.sales, s.net_minor
FROM expectations e
JOIN estimates.rfm(%(program)b, %(as_of)b, 0, %(position)b) s USING (member_id)

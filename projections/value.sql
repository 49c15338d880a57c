-- What the value of members is read from. The functions are in 0117_value.sql.

-- name: position
SELECT min(position) FROM views.positions WHERE name IN ('sales', 'consents')

-- name: rfm
WITH scored AS MATERIALIZED (
    SELECT * FROM estimates.rfm(%(program)b, %(as_of)b, %(window_days)b, %(position)b)
)
SELECT recency, frequency, monetary, count(*), sum(sales), sum(net_minor) FROM scored GROUP BY 1, 2, 3
UNION ALL
SELECT 0, 0, 0, count(*), 0, 0 FROM views.sales_members m
WHERE m.program = %(program)b
  AND (to_timestamp(m.enrolled_at / 1000000) AT TIME ZONE m.time_zone)::date <= %(as_of)b::date
  AND NOT EXISTS (SELECT FROM scored s WHERE s.member_id = m.member_id)
  AND NOT EXISTS (SELECT FROM views.erased_members e WHERE e.member_id = m.member_id)
ORDER BY 1, 2, 3

-- name: cuts
WITH scored AS MATERIALIZED (
    SELECT * FROM estimates.rfm(%(program)b, %(as_of)b, %(window_days)b, %(position)b)
)
SELECT 'recency', recency, last_day::text, member_id FROM (
    SELECT *, lag(recency) OVER (ORDER BY last_day, member_id) AS before FROM scored) AS s WHERE recency > before
UNION ALL
SELECT 'frequency', frequency, sales::text, member_id FROM (
    SELECT *, lag(frequency) OVER (ORDER BY sales, member_id) AS before FROM scored) AS s WHERE frequency > before
UNION ALL
SELECT 'monetary', monetary, net_minor::text, member_id FROM (
    SELECT *, lag(monetary) OVER (ORDER BY net_minor, member_id) AS before FROM scored) AS s WHERE monetary > before
ORDER BY 1, 2

-- name: scores
-- One more for each quintile that begins up to a member.
SELECT s.member_id, s.recency::int, s.frequency::int, s.monetary::int, s.last_day, s.sales, s.net_minor
FROM (
    SELECT b.*,
           1 + (SELECT count(*) FROM unnest(%(days)b::text[], %(day_members)b::uuid[]) AS c (value, member_id)
                WHERE (c.value::date, c.member_id) <= (b.last_day, b.member_id)) AS recency,
           1 + (SELECT count(*) FROM unnest(%(sales)b::text[], %(sales_members)b::uuid[]) AS c (value, member_id)
                WHERE (c.value::bigint, c.member_id) <= (b.sales, b.member_id)) AS frequency,
           1 + (SELECT count(*) FROM unnest(%(nets)b::text[], %(net_members)b::uuid[]) AS c (value, member_id)
                WHERE (c.value::numeric, c.member_id) <= (b.net_minor, b.member_id)) AS monetary
    FROM estimates.bought(%(program)b, %(as_of)b, %(window_days)b, %(position)b) AS b
    WHERE b.member_id > %(after)b
) AS s
WHERE %(group)b = '' OR (%(grid)b::text[])[(s.recency - 1) * 5 + (s.frequency + s.monetary + 1) / 2] = %(group)b
ORDER BY s.member_id LIMIT %(limit)b

-- name: high_value
-- The first row is of all members.
WITH valued AS MATERIALIZED (
    SELECT b.*, CASE WHEN %(by_margin)b THEN coalesce(m.margin_minor, 0) ELSE b.net_minor END AS value_minor
    FROM estimates.bought(%(program)b, %(as_of)b, %(window_days)b, %(position)b) AS b
    LEFT JOIN (
        SELECT * FROM estimates.margins(%(program)b, %(as_of)b, %(window_days)b, %(position)b) WHERE %(by_margin)b
    ) AS m USING (member_id)
), total AS MATERIALIZED (
    SELECT count(*) AS members, coalesce(sum(value_minor) FILTER (WHERE value_minor > 0), 0) AS value_minor FROM valued
), ranked AS (
    SELECT v.*, row_number() OVER best AS rank, sum(v.value_minor) OVER (best ROWS UNBOUNDED PRECEDING) AS cumulative_minor
    FROM valued v WHERE v.value_minor > 0
    WINDOW best AS (ORDER BY v.value_minor DESC, v.member_id)
), high AS MATERIALIZED (
    SELECT r.* FROM ranked r, total t
    WHERE CASE WHEN %(of_total)b
               THEN (r.cumulative_minor - r.value_minor) * 1000000 < t.value_minor * %(share_millionths)b
               ELSE (r.rank - 1) * 1000000 < t.members::numeric * %(share_millionths)b END
)
SELECT NULL::uuid, 0, t.members, t.value_minor, (SELECT count(*) FROM high), coalesce((SELECT min(value_minor) FROM high), 0),
       0::numeric, 0::numeric
FROM total t
UNION ALL
SELECT h.member_id, h.rank, h.value_minor, h.cumulative_minor, h.sales, h.net_minor, coalesce(m.margin_minor, 0),
       coalesce(m.net_with_cost_minor, 0)
FROM (SELECT * FROM high WHERE rank > %(after)b ORDER BY rank LIMIT %(limit)b) AS h
LEFT JOIN LATERAL (
    SELECT * FROM estimates.margins(%(program)b, %(as_of)b, %(window_days)b, %(position)b) AS m
    WHERE m.member_id = h.member_id
) AS m ON true
ORDER BY 2

-- name: cohorts
WITH months AS MATERIALIZED (
    SELECT r.member_id, date_trunc('month', r.day::timestamp)::date AS month, count(*) FILTER (WHERE r.counts) AS sales,
           sum(r.net_minor) AS net_minor
    FROM estimates.receipts(%(program)b, %(as_of)b, 0, %(position)b) AS r
    GROUP BY 1, 2
), began AS MATERIALIZED (
    SELECT member_id, min(month) AS cohort FROM months WHERE sales > 0 AND NOT %(by_enrolment)b GROUP BY member_id
    UNION ALL
    SELECT m.member_id,
           date_trunc('month', to_timestamp(m.enrolled_at / 1000000) AT TIME ZONE m.time_zone)::date
    FROM views.sales_members m
    WHERE %(by_enrolment)b AND m.program = %(program)b
      AND (to_timestamp(m.enrolled_at / 1000000) AT TIME ZONE m.time_zone)::date <= %(as_of)b::date
), done AS (
    SELECT b.cohort, greatest(0, (extract(year FROM m.month) - extract(year FROM b.cohort)) * 12
                                 + extract(month FROM m.month) - extract(month FROM b.cohort))::int AS month,
           b.member_id, sum(m.sales) AS sales, sum(m.net_minor) AS net_minor
    FROM began b JOIN months m USING (member_id)
    GROUP BY 1, 2, 3
)
SELECT c.cohort, c.members, coalesce(d.month, -1), coalesce(d.active_members, 0), coalesce(d.sales, 0),
       coalesce(d.net_minor, 0)
FROM (SELECT cohort, count(*) AS members FROM began GROUP BY 1) AS c
LEFT JOIN (
    SELECT cohort, month, count(*) FILTER (WHERE sales > 0) AS active_members, sum(sales) AS sales,
           sum(net_minor) AS net_minor
    FROM done GROUP BY 1, 2
) AS d USING (cohort)
ORDER BY 1, 3

-- name: model
SELECT version, as_of, fitted_at, method, members, repeat_members, r, alpha, a, b, log_likelihood, p, q, v_minor,
       spend_log_likelihood, spend_members, spend_correlation, holdout_days, holdout_mean_absolute_error
FROM estimates.models
WHERE program = %(program)b AND (%(version)b = 0 OR version = %(version)b)
ORDER BY version DESC LIMIT 1

-- name: holdout
SELECT repeat_purchases, members, purchases, expected_purchases FROM estimates.holdouts
WHERE program = %(program)b AND version = %(version)b ORDER BY repeat_purchases

-- name: member
SELECT p.position, m.sales, m.net_minor, l.margin_minor, l.net_with_cost_minor, l.discount_minor, t.points,
       e.model_version, e.as_of, e.repeat_purchases, e.probability_active, e.expected_purchases, e.expected_spend_minor,
       e.member_id, e.recency::int, e.frequency::int, e.monetary::int, e.last_day, e.sales, e.net_minor
FROM (SELECT min(position) AS position FROM views.positions WHERE name IN ('sales', 'statements')) AS p
LEFT JOIN views.sales_members m ON m.member_id = %(member_id)b
CROSS JOIN LATERAL (
    SELECT coalesce(sum(l.net_minor - l.units::numeric * l.unit_cost_minor), 0) AS margin_minor,
           coalesce(sum(l.net_minor) FILTER (WHERE l.unit_cost_minor IS NOT NULL), 0) AS net_with_cost_minor,
           coalesce(sum(l.price_minor - l.net_minor) FILTER (WHERE s.kind = 'sale' AND NOT s.is_voided), 0)
               AS discount_minor
    FROM views.sales s JOIN views.sale_lines l ON l.member_id = s.member_id AND l.position = s.position
    WHERE s.member_id = m.member_id
) AS l
CROSS JOIN LATERAL (
    SELECT coalesce(sum(points), 0) AS points FROM views.statements
    WHERE member_id = m.member_id AND type IN ('SaleRecorded', 'ActivityRecorded', 'RewardGranted')
) AS t
LEFT JOIN estimates.members e ON e.member_id = m.member_id

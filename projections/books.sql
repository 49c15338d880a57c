-- What the books are read from.

-- name: lines
-- Sums by vintage and period as of a position. `day` is the day in UTC on which the position was recorded: whatever the
-- time zone, days before the one before it were over by then and those after the one after it had not begun.
WITH view AS (SELECT position FROM views.positions WHERE name = 'liability'),
days AS (
    SELECT d.vintage, CASE WHEN %(effective)b THEN d.effective_on ELSE d.booked_on END AS day,
           d.issued, d.restored, d.reinstated, d.adjusted, d.redeemed, d.expired, d.clawed_back, d.sold_minor
    FROM views.liability_days d, view
    WHERE d.program = %(program)b
      AND (d.booked_on < %(day)b::date - 1 OR view.position <= %(position)b)
    UNION ALL
    SELECT m.vintage, CASE WHEN %(effective)b THEN m.effective_on ELSE m.booked_on END,
           CASE WHEN m.kind = 'issued' THEN m.points END,
           CASE WHEN m.kind = 'restored' THEN m.points END,
           CASE WHEN m.kind = 'reinstated' THEN m.points END,
           CASE WHEN m.kind = 'adjusted' THEN m.points END,
           CASE WHEN m.kind = 'redeemed' THEN m.points END,
           CASE WHEN m.kind = 'expired' THEN m.points END,
           CASE WHEN m.kind = 'clawed_back' THEN m.points END,
           m.sold_minor
    FROM views.movements m
    WHERE m.booked_on BETWEEN %(day)b::date - 1 AND %(day)b::date + 1 AND m.program = %(program)b
      AND m.position <= %(position)b AND (SELECT position FROM view) > %(position)b
)
SELECT vintage, date_trunc(%(grain)b, day::timestamp)::date, coalesce(sum(issued), 0), coalesce(sum(restored), 0),
       coalesce(sum(reinstated), 0), coalesce(sum(adjusted), 0), coalesce(sum(redeemed), 0), coalesce(sum(expired), 0),
       coalesce(sum(clawed_back), 0), sum(sold_minor)
FROM days GROUP BY 1, 2 ORDER BY 2, vintage COLLATE "C"

-- name: due
-- Points that have expired at an instant without that being recorded, by vintage and the day on which they did.
SELECT v.vintage, (to_timestamp(l.expires_at / 1000000) AT TIME ZONE b.time_zone)::date, sum(l.points)
FROM (
    SELECT member_id, number, points, expires_at FROM views.lots
    WHERE own_expires_at > 0 AND own_expires_at < 9223372036854775807 AND own_expires_at <= %(at)b AND expires_at <= %(at)b
    UNION ALL
    SELECT a.member_id, l.number, l.points, l.expires_at FROM views.balances a JOIN views.lots l USING (member_id)
    WHERE a.following_points > 0 AND a.activity_expires_at <= %(at)b AND l.follows_activity AND l.own_expires_at = 0
    UNION ALL
    SELECT member_id, number, points, expires_at FROM views.held_lots
    WHERE hold_expires_at <= %(at)b AND expires_at <= %(at)b
) AS l
JOIN views.booked_members b ON b.member_id = l.member_id AND b.program = %(program)b
JOIN views.vintages v ON v.member_id = l.member_id AND v.lot = l.number
GROUP BY 1, 2

-- name: publications
SELECT topic, state FROM events
WHERE originator_id = %(stream)b AND notification_id <= %(position)b
ORDER BY originator_version DESC

-- name: recorded_at
SELECT recorded_at FROM events WHERE notification_id = %(position)b

-- name: receipts
-- The sales of one day of the tills' books that no reversal has voided. References of a day lie together: see
-- ledger.domain.sale_reference.
SELECT s.notification_id, s.request_id, s.topic, s.state FROM events s
WHERE s.sale_reference >= %(from)b AND s.sale_reference < %(until)b AND s.notification_id <= %(position)b
  AND NOT EXISTS (
      SELECT FROM events r
      WHERE r.transaction_id = s.request_id AND r.topic = %(reversed)b AND r.notification_id <= %(position)b
  )
ORDER BY s.sale_reference

-- name: broken_days
-- Days booked since one whose sums are not those of their movements.
SELECT coalesce(d.program, m.program), coalesce(d.vintage, m.vintage), coalesce(d.booked_on, m.booked_on),
       coalesce(d.points, 0)::text, coalesce(m.points, 0)::text
FROM (
    SELECT program, vintage, booked_on,
           sum(issued + restored + reinstated + adjusted + redeemed + expired + clawed_back) AS points,
           ARRAY[sum(issued), sum(restored), sum(reinstated), sum(adjusted), sum(redeemed), sum(expired),
                 sum(clawed_back), sum(sold_minor)] AS sums
    FROM views.liability_days WHERE booked_on >= %(since)b::date GROUP BY 1, 2, 3
) AS d
FULL JOIN (
    SELECT program, vintage, booked_on, sum(points) AS points,
           ARRAY[coalesce(sum(points) FILTER (WHERE kind = 'issued'), 0),
                 coalesce(sum(points) FILTER (WHERE kind = 'restored'), 0),
                 coalesce(sum(points) FILTER (WHERE kind = 'reinstated'), 0),
                 coalesce(sum(points) FILTER (WHERE kind = 'adjusted'), 0),
                 coalesce(sum(points) FILTER (WHERE kind = 'redeemed'), 0),
                 coalesce(sum(points) FILTER (WHERE kind = 'expired'), 0),
                 coalesce(sum(points) FILTER (WHERE kind = 'clawed_back'), 0),
                 sum(sold_minor)] AS sums
    FROM views.movements WHERE booked_on >= %(since)b::date GROUP BY 1, 2, 3
) AS m USING (program, vintage, booked_on)
WHERE d.sums IS DISTINCT FROM m.sums
ORDER BY 1, 2, 3 LIMIT 100

-- name: positions
SELECT min(position) FILTER (WHERE name = 'balances'), min(position) FILTER (WHERE name = 'liability')
FROM views.positions

-- name: broken_vintages
-- Vintages whose sums by day, up to the position where balances are, do not come to what members hold of them.
WITH closing AS (
    SELECT program, vintage, sum(points) AS points FROM (
        SELECT program, vintage, issued + restored + reinstated + adjusted + redeemed + expired + clawed_back AS points
        FROM views.liability_days
        UNION ALL
        SELECT m.program, m.vintage, -m.points FROM views.movements m
        WHERE m.position > %(position)b
          AND m.booked_on >= (
              SELECT to_timestamp(recorded_at / 1000000)::date - 2 FROM events WHERE notification_id = %(position)b)
    ) AS booked GROUP BY program, vintage
), held AS (
    SELECT program, vintage, sum(points) AS points FROM (
        SELECT b.program, v.vintage, l.points
        FROM (
            SELECT member_id, number, points FROM views.lots
            UNION ALL
            SELECT member_id, number, points FROM views.held_lots
        ) AS l
        JOIN views.booked_members b ON b.member_id = l.member_id
        LEFT JOIN views.vintages v ON v.member_id = l.member_id AND v.lot = l.number
        UNION ALL
        SELECT program, '', -owed_points FROM views.balances
    ) AS lots GROUP BY program, vintage
)
SELECT coalesce(c.program, h.program), coalesce(c.vintage, h.vintage, '?'), NULL::date,
       coalesce(c.points, 0)::text, coalesce(h.points, 0)::text
FROM closing c FULL JOIN held h USING (program, vintage)
WHERE coalesce(c.points, 0) <> coalesce(h.points, 0)
ORDER BY 1, 2 LIMIT 100

-- Measures: a purchase figure of members in some days. {scope} says of which members, {here} of which places, {of} of which
-- lines. What came back counts on the day and in the place where it did; voided sales do not count as sales. A figure
-- that 64 bits do not hold is the largest that they do.

-- name: receipts
-- Of whole receipts.
SELECT member_id, {figures} FROM (
    SELECT member_id, count(*) FILTER (WHERE {here} AND counts) AS sales,
           coalesce(sum(units) FILTER (WHERE {here}), 0) AS units,
           coalesce(sum(net_minor) FILTER (WHERE {here}), 0) AS net_minor,
           max(day) FILTER (WHERE {here} AND counts) AS last_day, sum(net_minor) AS of_minor
    FROM (
        SELECT *, kind = 'sale' AND NOT is_voided AS counts FROM views.sales
        WHERE program = %(program)b AND {scope} AND day BETWEEN %(first_day)b AND %(last_day)b
    ) AS receipts
    GROUP BY member_id
) AS measured

-- name: lines
-- Of those lines that match.
WITH receipts AS (
    SELECT *, kind = 'sale' AND NOT is_voided AS counts FROM views.sales
    WHERE program = %(program)b AND {scope} AND day BETWEEN %(first_day)b AND %(last_day)b
)
SELECT member_id, {figures}
FROM (SELECT member_id, sum(net_minor) AS of_minor FROM receipts GROUP BY member_id) AS spent
JOIN (
    SELECT member_id, count(DISTINCT position) FILTER (WHERE counts) AS sales, sum(l.units) AS units,
           sum(l.net_minor) AS net_minor, max(day) FILTER (WHERE counts) AS last_day
    FROM receipts r JOIN views.sale_lines l USING (member_id, position)
    WHERE {here} AND {of}
    GROUP BY member_id
) AS measured USING (member_id)

-- name: figures
sales, greatest(least(units, 9223372036854775807), -9223372036854775807)::bigint AS units,
       greatest(least(net_minor, 9223372036854775807), -9223372036854775807)::bigint AS spent_minor,
       CASE WHEN sales > 0 THEN least(div(greatest(net_minor, 0), sales), 9223372036854775807)::bigint END
           AS average_minor,
       CASE WHEN of_minor > 0 THEN least(div(net_minor * 100, of_minor), 9223372036854775807)::bigint ELSE 0 END
           AS share_percent,
       %(today)b::date - last_day AS last_days

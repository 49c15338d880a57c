-- Sales, one page of events at a time.

-- name: enrol
INSERT INTO sales_members (member_id, program, time_zone, enrolled_at, store, channel, sales, returns, units, net_minor)
SELECT member_id, program, time_zone, enrolled_at, store, channel, 0, 0, 0, 0
FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::bigint[], %b::text[], %b::bigint[])
    AS e (member_id, program, time_zone, enrolled_at, store, channel)

-- name: sell
INSERT INTO sales (member_id, position, of_position, transaction_id, program, kind, is_voided, occurred_at, day, store,
                   channel, tier, units, net_minor)
SELECT e.member_id, e.position, e.position, e.transaction_id, m.program, 'sale', false, e.occurred_at,
       (to_timestamp(e.occurred_at / 1000000) AT TIME ZONE m.time_zone)::date, e.store, e.channel, e.tier,
       e.units::numeric, e.net_minor::numeric
FROM unnest(%b::uuid[], %b::bigint[], %b::uuid[], %b::bigint[], %b::text[], %b::bigint[], %b::text[], %b::text[],
            %b::text[])
    AS e (member_id, position, transaction_id, occurred_at, store, channel, tier, units, net_minor)
JOIN sales_members m USING (member_id)

-- name: lines
INSERT INTO sale_lines (member_id, position, number, line_id, sku, category, brand, labels, kind, units, price_minor,
                        till_discount_minor, reward_discount_minor, net_minor, unit_cost_minor, awarded_points,
                        redeemed_points)
SELECT member_id, position, number, line_id, sku, category, brand, string_to_array(labels, E'\n'), kind, units,
       price_minor, till_discount_minor, price_minor - till_discount_minor - net_minor, net_minor,
       nullif(unit_cost_minor, -1), awarded_points, redeemed_points
FROM unnest(%b::uuid[], %b::bigint[], %b::bigint[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[],
            %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[])
    AS e (member_id, position, number, line_id, sku, category, brand, labels, kind, units, price_minor,
          till_discount_minor, net_minor, unit_cost_minor, awarded_points, redeemed_points)

-- name: award
INSERT INTO sale_awards (member_id, position, number, offer, points, line_points)
SELECT member_id, position, number, offer, points, line_points::bigint[]
FROM unnest(%b::uuid[], %b::bigint[], %b::bigint[], %b::text[], %b::bigint[], %b::text[])
    AS e (member_id, position, number, offer, points, line_points)

-- name: redeem
INSERT INTO redemptions (member_id, position, number, transaction_id, program, kind, is_voided, occurred_at, day, store,
                         channel, reward_id, quantity, points, value_minor, is_issue)
SELECT e.member_id, e.position, e.number, e.transaction_id, m.program, e.kind, false, e.occurred_at,
       (to_timestamp(e.occurred_at / 1000000) AT TIME ZONE m.time_zone)::date, e.store, e.channel, e.reward_id, e.quantity,
       e.points, e.value_minor, e.is_issue
FROM unnest(%b::uuid[], %b::bigint[], %b::bigint[], %b::uuid[], %b::text[], %b::bigint[], %b::text[], %b::bigint[],
            %b::text[], %b::bigint[], %b::bigint[], %b::bigint[], %b::boolean[])
    AS e (member_id, position, number, transaction_id, kind, occurred_at, store, channel, reward_id, quantity, points,
          value_minor, is_issue)
JOIN sales_members m USING (member_id)

-- name: take_back
-- What came back of sales, without its lines yet.
INSERT INTO sales (member_id, position, of_position, transaction_id, program, kind, is_voided, occurred_at, day, store,
                   channel, tier, units, net_minor)
SELECT e.member_id, e.position, s.position, e.transaction_id, m.program, 'return', false, e.occurred_at,
       (to_timestamp(e.occurred_at / 1000000) AT TIME ZONE m.time_zone)::date, e.store, e.channel, e.tier,
       -e.units::numeric, -e.net_minor::numeric
FROM unnest(%b::uuid[], %b::bigint[], %b::uuid[], %b::uuid[], %b::bigint[], %b::text[], %b::bigint[], %b::text[],
            %b::text[], %b::text[])
    AS e (member_id, position, transaction_id, sale, occurred_at, store, channel, tier, units, net_minor)
JOIN sales_members m USING (member_id)
JOIN sales s ON s.member_id = e.member_id AND s.transaction_id = e.sale AND s.kind = 'sale'

-- name: lines_back
INSERT INTO sale_lines (member_id, position, number, line_id, sku, category, brand, labels, kind, units, price_minor,
                        till_discount_minor, reward_discount_minor, net_minor, unit_cost_minor, awarded_points,
                        redeemed_points)
SELECT l.member_id, e.position, l.number, l.line_id, l.sku, l.category, l.brand, l.labels, l.kind, -e.units, 0, 0, 0,
       -e.net_minor, l.unit_cost_minor, -e.taken_back_points, -e.restored_points
FROM unnest(%b::uuid[], %b::bigint[], %b::text[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[])
    AS e (member_id, position, line_id, units, net_minor, taken_back_points, restored_points)
JOIN sales b ON b.member_id = e.member_id AND b.position = e.position
JOIN sale_lines l ON l.position = b.of_position AND l.line_id = e.line_id

-- name: void_redemptions
UPDATE redemptions r SET is_voided = true
FROM unnest(%b::uuid[], %b::uuid[]) AS e (member_id, reversed)
WHERE r.member_id = e.member_id AND r.transaction_id = e.reversed

-- name: reverse
-- What is left of a sale comes back at once, and the sale does not count any more. Of what is no sale there is nothing here.
-- Points are shared over what comes back as ledger.domain.rounding.share_out does it.
WITH voided AS (
    UPDATE sales s SET is_voided = true
    FROM unnest(%b::uuid[], %b::bigint[], %b::uuid[], %b::uuid[], %b::bigint[], %b::text[], %b::bigint[], %b::text[],
                %b::bigint[], %b::bigint[])
        AS e (member_id, position, transaction_id, reversed, occurred_at, store, channel, tier, taken_back_points,
              restored_points)
    WHERE s.member_id = e.member_id AND s.transaction_id = e.reversed AND s.kind = 'sale'
    RETURNING e.*, s.position AS of_position, s.program
), left_over AS (
    SELECT v.position, l.number, sum(l.units)::bigint AS units, sum(l.net_minor)::bigint AS net_minor,
           sum(l.units) <> 0 OR sum(l.net_minor) <> 0 AS is_left
    FROM voided v
    JOIN sales s ON s.member_id = v.member_id AND s.of_position = v.of_position
    JOIN sale_lines l ON l.position = s.position
    GROUP BY v.position, l.number
), weighed AS (
    SELECT *, CASE WHEN sum(net_minor) OVER sale <> 0 THEN net_minor
                   WHEN bool_or(is_left) OVER sale THEN is_left::int
                   ELSE 1 END AS weight
    FROM left_over WINDOW sale AS (PARTITION BY position)
), seen AS (
    SELECT *, sum(weight) OVER (PARTITION BY position ORDER BY number) AS upto, sum(weight) OVER (PARTITION BY position) AS whole
    FROM weighed
), reversed AS (
    INSERT INTO sales (member_id, position, of_position, transaction_id, program, kind, is_voided, occurred_at, day, store,
                       channel, tier, units, net_minor)
    SELECT v.member_id, v.position, v.of_position, v.transaction_id, v.program, 'reversal', false, v.occurred_at,
           (to_timestamp(v.occurred_at / 1000000) AT TIME ZONE m.time_zone)::date, v.store, v.channel, v.tier,
           -coalesce((SELECT sum(units) FROM left_over l WHERE l.position = v.position), 0),
           -coalesce((SELECT sum(net_minor) FROM left_over l WHERE l.position = v.position), 0)
    FROM voided v JOIN sales_members m USING (member_id)
)
INSERT INTO sale_lines (member_id, position, number, line_id, sku, category, brand, labels, kind, units, price_minor,
                        till_discount_minor, reward_discount_minor, net_minor, unit_cost_minor, awarded_points,
                        redeemed_points)
SELECT v.member_id, o.position, l.number, l.line_id, l.sku, l.category, l.brand, l.labels, l.kind, -o.units, 0, 0, 0,
       -o.net_minor, l.unit_cost_minor, o.taken_back_points, o.restored_points
FROM (
    SELECT seen.*,
           div(v.taken_back_points * (upto - weight), whole) - div(v.taken_back_points * upto, whole) AS taken_back_points,
           div(v.restored_points * (upto - weight), whole) - div(v.restored_points * upto, whole) AS restored_points
    FROM seen JOIN voided v USING (position)
) AS o
JOIN voided v ON v.position = o.position
JOIN sale_lines l ON l.position = v.of_position AND l.number = o.number
WHERE o.is_left OR o.taken_back_points <> 0 OR o.restored_points <> 0

-- name: total
-- From a page's first position on.
WITH moved AS (
    SELECT member_id, count(*) FILTER (WHERE kind = 'sale') AS sales, count(*) FILTER (WHERE kind = 'return') AS returns,
           count(*) FILTER (WHERE kind = 'reversal') AS reversals, sum(units) AS units, sum(net_minor) AS net_minor,
           min(occurred_at) FILTER (WHERE kind = 'sale') AS first_sold_at,
           max(occurred_at) FILTER (WHERE kind = 'sale') AS last_sold_at
    FROM unnest(%b::uuid[], %b::bigint[]) AS e (member_id, first_position)
    JOIN sales s USING (member_id)
    WHERE s.position >= e.first_position
    GROUP BY member_id
)
UPDATE sales_members m SET
    sales = m.sales + c.sales - c.reversals,
    returns = m.returns + c.returns,
    units = m.units + c.units,
    net_minor = m.net_minor + c.net_minor,
    first_sold_at = CASE WHEN c.reversals = 0 THEN least(m.first_sold_at, c.first_sold_at) ELSE (
        SELECT min(occurred_at) FROM sales s WHERE s.member_id = m.member_id AND s.kind = 'sale' AND NOT s.is_voided) END,
    last_sold_at = CASE WHEN c.reversals = 0 THEN greatest(m.last_sold_at, c.last_sold_at) ELSE (
        SELECT max(occurred_at) FROM sales s WHERE s.member_id = m.member_id AND s.kind = 'sale' AND NOT s.is_voided) END
FROM moved c
WHERE m.member_id = c.member_id

-- name: places
-- From a page's first position on, as in total.
INSERT INTO sale_places AS p (member_id, store, channel, sales, net_minor)
SELECT b.member_id, s.store, s.channel,
       count(*) FILTER (WHERE b.kind = 'sale') - count(*) FILTER (WHERE b.kind = 'reversal'), sum(b.net_minor)
FROM unnest(%b::uuid[], %b::bigint[]) AS e (member_id, first_position)
JOIN sales b ON b.member_id = e.member_id AND b.position >= e.first_position
JOIN sales s ON s.member_id = b.member_id AND s.position = b.of_position
GROUP BY b.member_id, s.store, s.channel
ON CONFLICT (member_id, store, channel) DO UPDATE SET
    sales = p.sales + excluded.sales,
    net_minor = p.net_minor + excluded.net_minor

-- name: categories
-- A reversal takes its sale from every category of it, whatever had come back before.
WITH moved AS (
    SELECT b.member_id, b.position, b.of_position, b.kind
    FROM unnest(%b::uuid[], %b::bigint[]) AS e (member_id, first_position)
    JOIN sales b ON b.member_id = e.member_id AND b.position >= e.first_position
), by_receipt AS (
    SELECT m.member_id, l.category, CASE WHEN m.kind = 'sale' THEN 1 ELSE 0 END AS sales, sum(l.net_minor) AS net_minor
    FROM moved m JOIN sale_lines l ON l.member_id = m.member_id AND l.position = m.position
    GROUP BY m.member_id, m.position, m.kind, l.category
    UNION ALL
    SELECT m.member_id, l.category, -1, 0
    FROM moved m JOIN sale_lines l ON l.member_id = m.member_id AND l.position = m.of_position
    WHERE m.kind = 'reversal'
    GROUP BY m.member_id, m.position, l.category
)
INSERT INTO sale_categories AS c (member_id, category, sales, net_minor)
SELECT member_id, category, sum(sales), sum(net_minor) FROM by_receipt GROUP BY member_id, category
ON CONFLICT (member_id, category) DO UPDATE SET
    sales = c.sales + excluded.sales,
    net_minor = c.net_minor + excluded.net_minor

-- Buying insight: what the questions of the API are made of. Names in braces are put in by projections.insight.

-- name: position
-- Of sales, and of who was erased.
SELECT min(position) FROM views.positions WHERE name IN ('sales', 'consents')

-- name: publications
SELECT topic, state FROM events WHERE originator_id = %(stream)s ORDER BY originator_version DESC

-- name: sales
WITH chosen AS (
    SELECT 0 AS whole{dimensions}, s.position, s.member_id, s.number, s.kind = 'sale' AS is_sale,
           s.kind = 'sale' AND NOT s.is_voided AS counts, s.day, s.units, s.gross_minor, s.till_discount_minor,
           s.reward_discount_minor, s.net_minor, s.margin_minor, s.awarded_points, s.redeemed_points
    FROM views.sold s{labels}
    WHERE {conditions}
), figures AS (
    SELECT whole{names}, count(DISTINCT position) FILTER (WHERE counts) AS sales,
           count(DISTINCT member_id) FILTER (WHERE counts) AS members, coalesce(sum(units), 0) AS units,
           -coalesce(sum(units) FILTER (WHERE NOT is_sale), 0) AS returned_units, coalesce(sum(gross_minor), 0) AS gross_minor,
           coalesce(sum(till_discount_minor), 0) AS till_discount_minor,
           coalesce(sum(reward_discount_minor), 0) AS reward_discount_minor,
           -coalesce(sum(net_minor) FILTER (WHERE NOT is_sale), 0) AS returned_minor, coalesce(sum(net_minor), 0) AS net_minor,
           coalesce(sum(net_minor) FILTER (WHERE margin_minor IS NOT NULL), 0) AS costed_net_minor,
           coalesce(sum(margin_minor), 0) AS margin_minor,
           coalesce(sum(awarded_points) FILTER (WHERE is_sale), 0) AS awarded_points,
           -coalesce(sum(awarded_points) FILTER (WHERE NOT is_sale), 0) AS taken_back_points,
           coalesce(sum(redeemed_points) FILTER (WHERE is_sale), 0) AS redeemed_points,
           -coalesce(sum(redeemed_points) FILTER (WHERE NOT is_sale), 0) AS restored_points,
           min(day) FILTER (WHERE counts) AS first_date, max(day) FILTER (WHERE counts) AS last_date
    FROM chosen GROUP BY whole{names}
){offers}
SELECT figures.*, {offer_columns} FROM figures{offer_join}
ORDER BY {order}
LIMIT %(limit)s

-- name: sales_offers
, points AS (
    SELECT whole{names}, a.offer, sum(a.line_points[c.number]) AS points
    FROM chosen c JOIN views.sale_awards a USING (position)
    WHERE c.is_sale AND a.line_points[c.number] IS NOT NULL
    GROUP BY whole{names}, a.offer
), told AS (
    SELECT whole{names}, array_agg(offer ORDER BY offer COLLATE "C") AS offers,
           array_agg(points ORDER BY offer COLLATE "C") AS offer_points
    FROM points GROUP BY whole{names}
)

-- name: offers
WITH used AS (
    SELECT s.is_reward, s.offer{dimensions}, s.position, s.member_id, max(s.net_minor) AS net_minor,
           sum(s.awarded_points) AS awarded_points,
           count(*) FILTER (WHERE s.kind NOT IN ('award', 'issued')) AS redemptions, sum(s.quantity) AS quantity,
           sum(s.redeemed_points) AS redeemed_points, sum(s.value_minor) AS value_minor,
           count(*) FILTER (WHERE s.kind = 'granted') AS granted
    FROM views.offer_uses s
    WHERE {conditions} AND NOT s.is_voided
    GROUP BY s.is_reward, s.offer{expressions}, s.position, s.member_id
)
SELECT is_reward, offer{names}, count(net_minor), count(DISTINCT member_id), coalesce(sum(net_minor), 0), sum(awarded_points),
       sum(redemptions), sum(quantity), sum(redeemed_points), sum(value_minor), sum(granted)
FROM used GROUP BY is_reward, offer{names}
ORDER BY is_reward, offer COLLATE "C"{ordered}
LIMIT %(limit)s

-- name: receipts
SELECT count(*) FROM views.sales s WHERE {conditions} AND s.kind = 'sale' AND NOT s.is_voided

-- name: pairs
SELECT first, second, sales, first_sales, second_sales
FROM views.bought_together(
    %(program)s, %(item)s, %(from)s, %(until)s, %(min_sales)s, %(stores)s, %(channels)s, %(tiers)s)
ORDER BY {order}, first COLLATE "C", second COLLATE "C"
LIMIT %(limit)s

-- name: companions
SELECT first, second, sales, first_sales, second_sales
FROM views.bought_with(
    %(program)s, %(item)s, %(of)s, %(from)s, %(until)s, %(min_sales)s, %(stores)s, %(channels)s, %(tiers)s)
ORDER BY {order}, first COLLATE "C", second COLLATE "C"
LIMIT %(limit)s

-- name: won_and_lost
SELECT item, count(*) FILTER (WHERE first_minor IS NULL), count(*) FILTER (WHERE NOT bought_in_first),
       coalesce(sum(second_minor) FILTER (WHERE first_minor IS NULL), 0), count(*) FILTER (WHERE second_minor IS NULL),
       count(*) FILTER (WHERE NOT bought_in_second), coalesce(sum(first_minor) FILTER (WHERE second_minor IS NULL), 0),
       count(*) FILTER (WHERE first_minor IS NOT NULL AND second_minor IS NOT NULL),
       coalesce(sum(first_minor) FILTER (WHERE second_minor IS NOT NULL), 0),
       coalesce(sum(second_minor) FILTER (WHERE first_minor IS NOT NULL), 0)
FROM views.won_and_lost(
    %(program)s, %(item)s, %(first_from)s, %(first_until)s, %(second_from)s, %(second_until)s, %(stores)s, %(channels)s,
    %(tiers)s)
WHERE %(items)s::text[] IS NULL OR item = ANY (%(items)s)
GROUP BY item
ORDER BY item COLLATE "C"
LIMIT %(limit)s

-- name: changed_members
SELECT item, member_id, first_minor IS NULL, coalesce(first_minor, second_minor)
FROM views.won_and_lost(
    %(program)s, %(item)s, %(first_from)s, %(first_until)s, %(second_from)s, %(second_until)s, %(stores)s, %(channels)s,
    %(tiers)s)
WHERE (first_minor IS NULL OR second_minor IS NULL) AND (%(items)s::text[] IS NULL OR item = ANY (%(items)s))
    AND NOT EXISTS (SELECT FROM views.erased_members e WHERE e.member_id = won_and_lost.member_id)
ORDER BY item COLLATE "C", member_id
LIMIT %(limit)s

-- name: demand
WITH days AS (
    SELECT d.*, d.day - lag(d.day) OVER (PARTITION BY d.store, d.sku ORDER BY d.day) - 1 AS gap
    FROM views.demand(%(program)s, %(from)s, %(until)s, %(stores)s, %(channels)s, %(tiers)s, %(promotions)s) d
    WHERE %(items)s::text[] IS NULL OR d.sku = ANY (%(items)s)
)
SELECT store, sku, count(*), sum(units), sum(units * units),
       coalesce(sum(units) FILTER (WHERE extract(isodow FROM day) = 1), 0),
       coalesce(sum(units) FILTER (WHERE extract(isodow FROM day) = 2), 0),
       coalesce(sum(units) FILTER (WHERE extract(isodow FROM day) = 3), 0),
       coalesce(sum(units) FILTER (WHERE extract(isodow FROM day) = 4), 0),
       coalesce(sum(units) FILTER (WHERE extract(isodow FROM day) = 5), 0),
       coalesce(sum(units) FILTER (WHERE extract(isodow FROM day) = 6), 0),
       coalesce(sum(units) FILTER (WHERE extract(isodow FROM day) = 7), 0),
       min(day), max(day), coalesce(max(gap), 0), sum(offer_units)
FROM days
GROUP BY store, sku
ORDER BY store COLLATE "C", sku COLLATE "C"
LIMIT %(limit)s

-- Facts about members, a group for each statement. {scope} says of which members; so it is one column, whatever the table.
-- `at` is the instant for which they are asked, in microseconds.

-- name: members
SELECT member_id, sales, returns, least(units, 9223372036854775807)::bigint AS units,
       least(net_minor, 9223372036854775807)::bigint AS spent_minor,
       CASE WHEN sales > 0 THEN least(div(greatest(net_minor, 0), sales), 9223372036854775807)::bigint END
           AS average_basket_minor,
       today - first_day AS first_purchase_days, today - last_day AS last_purchase_days,
       today - joined AS enrolled_days,
       (CASE WHEN anniversary < today THEN joined + make_interval(years => years + 1) ELSE anniversary END)::date - today
           AS anniversary_days,
       store AS enrolled_store, channels.name AS enrolled_channel
FROM (
    SELECT *, (joined + make_interval(years => years))::date AS anniversary
    FROM (
        SELECT *, extract(year FROM age(today, joined))::int AS years
        FROM (
            SELECT *, (to_timestamp(%(at)b::bigint / 1000000) AT TIME ZONE time_zone)::date AS today,
                   (to_timestamp(enrolled_at / 1000000) AT TIME ZONE time_zone)::date AS joined,
                   (to_timestamp(first_sold_at / 1000000) AT TIME ZONE time_zone)::date AS first_day,
                   (to_timestamp(last_sold_at / 1000000) AT TIME ZONE time_zone)::date AS last_day
            FROM views.sales_members WHERE program = %(program)b AND {scope}
        ) AS dated
    ) AS aged
) AS joined_members
LEFT JOIN (VALUES {channels}) AS channels (channel, name) USING (channel)

-- name: points
-- Active from activates_at up to, not including, expires_at; a hold whose time is over holds nothing.
SELECT a.member_id, coalesce(p.active, 0) - a.owed_points AS available_points, coalesce(p.pending, 0) AS pending_points,
       coalesce(p.held, 0) AS held_points, coalesce(p.expiring, 0) AS expiring_points
FROM (SELECT member_id, owed_points FROM views.balances WHERE {scope}) AS a
LEFT JOIN (
    SELECT member_id,
           sum(points) FILTER (WHERE NOT is_held AND activates_at <= %(at)b AND expires_at > %(at)b)::bigint AS active,
           sum(points) FILTER (WHERE NOT is_held AND activates_at > %(at)b)::bigint AS pending,
           sum(points) FILTER (WHERE is_held)::bigint AS held,
           sum(points) FILTER (WHERE NOT is_held AND expires_at > %(at)b AND expires_at <= %(at)b::bigint + {soon})::bigint
               AS expiring
    FROM (
        SELECT member_id, points, activates_at, expires_at, false AS is_held FROM views.lots WHERE {scope}
        UNION ALL
        SELECT member_id, points, activates_at, expires_at, false FROM views.expired_lots
        WHERE {scope} AND expires_at > %(at)b
        UNION ALL
        SELECT member_id, points, activates_at, expires_at, hold_expires_at > %(at)b FROM views.held_lots WHERE {scope}
    ) AS part
    GROUP BY member_id
) AS p USING (member_id)

-- name: tiers
SELECT member_id, CASE WHEN next_change_at <= %(at)b THEN next_change_to ELSE tier END AS tier
FROM views.tiers WHERE {scope}

-- name: rights
SELECT member_id, count(*) FILTER (WHERE kind = 'voucher') AS open_vouchers,
       count(*) FILTER (WHERE kind = 'entitlement') AS open_entitlements
FROM (
    SELECT member_id, 'voucher' AS kind FROM views.vouchers
    WHERE {scope} AND state = 1 AND starts_at <= %(at)b AND expires_at > %(at)b
    UNION ALL
    SELECT member_id, 'entitlement' FROM views.entitlements
    WHERE {scope} AND state = 1 AND starts_at <= %(at)b AND expires_at > %(at)b
) AS open_rights
GROUP BY member_id

-- name: visits
SELECT member_id, count(DISTINCT (day, store, channel)) AS visits
FROM views.sales WHERE {scope} AND kind = 'sale' AND NOT is_voided
GROUP BY member_id

-- name: places
SELECT member_id,
       (array_agg(store ORDER BY sales DESC, spent DESC, store COLLATE "C") FILTER (WHERE channel IS NULL))[1]
           AS favourite_store,
       (array_agg(channel ORDER BY sales DESC, spent DESC, channel COLLATE "C") FILTER (WHERE store IS NULL))[1]
           AS favourite_channel,
       jsonb_object_agg(store, {entry}) FILTER (WHERE channel IS NULL) AS stores,
       jsonb_object_agg(channel, {entry}) FILTER (WHERE store IS NULL) AS channels
FROM (
    SELECT p.member_id, p.store, c.name AS channel, sum(p.sales) AS sales, sum(p.net_minor) AS spent,
           sum(sum(p.net_minor)) OVER (PARTITION BY p.member_id, grouping(p.store)) AS of_spent
    FROM (SELECT * FROM views.sale_places WHERE {scope} AND sales > 0) AS p
    JOIN (VALUES {channels}) AS c (channel, name) USING (channel)
    GROUP BY p.member_id, GROUPING SETS ((p.store), (c.name))
) AS place
GROUP BY member_id

-- name: categories
SELECT member_id,
       (array_agg(category ORDER BY sales DESC, spent DESC, category COLLATE "C") FILTER (WHERE category <> ''))[1]
           AS favourite_category,
       jsonb_object_agg(category, {entry}) AS categories
FROM (
    SELECT member_id, category, sales, net_minor AS spent, sum(net_minor) OVER (PARTITION BY member_id) AS of_spent
    FROM views.sale_categories WHERE {scope} AND sales > 0
) AS category
GROUP BY member_id

-- name: products
SELECT DISTINCT ON (member_id) member_id, sku AS favourite_product
FROM (
    SELECT l.member_id, l.sku, count(DISTINCT l.position) AS sales, sum(l.net_minor) AS spent
    FROM (SELECT member_id, position FROM views.sales WHERE {scope} AND kind = 'sale' AND NOT is_voided) AS s
    JOIN views.sale_lines l USING (member_id, position)
    WHERE l.sku <> ''
    GROUP BY l.member_id, l.sku
) AS product
ORDER BY member_id, sales DESC, spent DESC, sku COLLATE "C"

-- name: page
-- The last member of a page of a program's members.
SELECT member_id FROM (
    SELECT member_id FROM views.sales_members WHERE program = %(program)b AND member_id > %(after)b
    ORDER BY member_id LIMIT %(limit)b
) AS page
ORDER BY member_id DESC LIMIT 1

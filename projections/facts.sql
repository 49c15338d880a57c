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
            FROM views.sales_members m WHERE {of_program}{scope}
                AND NOT EXISTS (SELECT FROM views.erased_members e WHERE e.member_id = m.member_id)
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
       (array_agg(store ORDER BY sales DESC, spent DESC, store COLLATE "C")
        FILTER (WHERE channel IS NULL AND store <> ''))[1] AS favourite_store,
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

-- name: consents
-- Of the decisions about a purpose and way of contact the one that was made last, as in views.consents_at.
SELECT member_id, array_agg(DISTINCT held COLLATE "C" ORDER BY held COLLATE "C") AS consents
FROM (
    SELECT d.member_id, unnest(ARRAY[d.purpose, d.purpose || '/' || d.way]) AS held
    FROM (
        SELECT DISTINCT ON (c.member_id, c.purpose, w.way) c.member_id, c.purpose, w.way, c.given, c.expires_at
        FROM (SELECT * FROM views.consents WHERE {scope} AND decided_at <= %(at)b) AS c
        JOIN (VALUES {ways}) AS w (channel, way) ON c.channel IN (1, w.channel)
        ORDER BY c.member_id, c.purpose, w.way, c.decided_at DESC, c.position DESC
    ) AS d
    WHERE d.given AND d.expires_at > %(at)b
) AS holding
GROUP BY member_id

-- name: feedback
SELECT member_id, count(*) AS feedback_given,
       (array_agg(rating ORDER BY said_at DESC, position DESC) FILTER (WHERE rating IS NOT NULL))[1] AS last_rating,
       (array_agg(nps ORDER BY said_at DESC, position DESC) FILTER (WHERE nps IS NOT NULL))[1] AS last_nps
FROM views.feedback WHERE {scope}
GROUP BY member_id

-- name: segments
SELECT member_id, array_agg(segment_id ORDER BY segment_id COLLATE "C") AS segments
FROM views.segment_memberships JOIN views.segments USING (stream_id)
WHERE {scope} AND left_position IS NULL
GROUP BY member_id

-- name: attributes
-- As rules see them: whole numbers (type 2), decimals (3), flags (4), texts and days.
SELECT member_id,
       jsonb_object_agg(attribute, CASE type
           WHEN 2 THEN to_jsonb(value::bigint) WHEN 3 THEN to_jsonb(value::numeric + 0.0)
           WHEN 4 THEN to_jsonb(value = 'true') ELSE to_jsonb(value)
       END) AS attributes
FROM profile.attributes WHERE {scope} AND value IS NOT NULL
GROUP BY member_id

-- name: page
-- The last member of a page of a program's members.
SELECT member_id FROM (
    SELECT member_id FROM views.sales_members m WHERE program = %(program)b AND member_id > %(after)b
        AND NOT EXISTS (SELECT FROM views.erased_members e WHERE e.member_id = m.member_id)
    ORDER BY member_id LIMIT %(limit)b
) AS page
ORDER BY member_id DESC LIMIT 1

-- name: value
-- As of the day of the program's newest model; nothing of members whom it does not know.
SELECT member_id, probability_active, 1 - probability_active AS churn_risk, expected_spend_minor,
       least(net_minor + expected_spend_minor, 9223372036854775807)::bigint AS value_minor, recency::int AS rfm_recency,
       frequency::int AS rfm_frequency, monetary::int AS rfm_monetary, rfm_group
FROM estimates.members WHERE {scope}

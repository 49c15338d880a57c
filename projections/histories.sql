-- What states of the past are made from.

-- name: member
SELECT {columns} FROM events e
WHERE e.originator_id = %(member_id)b AND e.originator_version > %(after)b AND e.notification_id <= %(until)b
ORDER BY e.originator_version LIMIT %(limit)b

-- name: members
SELECT {columns} FROM events e
WHERE e.originator_id = ANY (%(member_ids)b::uuid[]) AND e.notification_id <= %(until)b
ORDER BY e.originator_id, e.originator_version

-- name: positions
SELECT min(position), max(position) FROM views.positions WHERE name IN ('balances', 'tiers')

-- name: enrolled
SELECT member_id FROM views.balances WHERE program = %(program)b ORDER BY member_id

-- name: changed
-- Members with events behind a position, and those whose tier has changed since then without that being recorded.
SELECT b.member_id FROM (
    SELECT DISTINCT originator_id AS member_id FROM events
    WHERE notification_id > %(position)b AND notification_id <= %(until)b
) AS e
JOIN views.balances b USING (member_id) WHERE b.program = %(program)b
UNION
SELECT t.member_id FROM views.tiers t WHERE t.next_change_at <= %(at)b AND t.program = %(program)b

-- name: unchanged
-- What the other members have at an instant, by tier. Points are active from activates_at up to, not including, expires_at.
WITH unchanged AS (
    SELECT t.member_id, t.tier, b.owed_points
    FROM views.balances b JOIN views.tiers t USING (member_id)
    WHERE b.program = %(program)b AND b.member_id <> ALL (%(changed)b::uuid[])
),
parts AS (
    SELECT u.tier, l.points, l.activates_at <= %(at)b AND l.expires_at > %(at)b AS is_active,
           l.activates_at > %(at)b AND l.expires_at > %(at)b AS is_pending, false AS is_held
    FROM unchanged u JOIN views.lots l USING (member_id)
    UNION ALL
    SELECT u.tier, h.points, h.hold_expires_at <= %(at)b AND h.activates_at <= %(at)b AND h.expires_at > %(at)b,
           h.hold_expires_at <= %(at)b AND h.activates_at > %(at)b AND h.expires_at > %(at)b, h.hold_expires_at > %(at)b
    FROM unchanged u JOIN views.held_lots h USING (member_id)
),
points AS (
    SELECT tier, coalesce(sum(points) FILTER (WHERE is_active), 0) AS active,
           coalesce(sum(points) FILTER (WHERE is_pending), 0) AS pending,
           coalesce(sum(points) FILTER (WHERE is_held), 0) AS held
    FROM parts GROUP BY tier
)
SELECT m.tier, m.members, coalesce(p.active, 0), coalesce(p.pending, 0), coalesce(p.held, 0), m.owed
FROM (SELECT tier, count(*) AS members, sum(owed_points) AS owed FROM unchanged GROUP BY tier) AS m
LEFT JOIN points p USING (tier)

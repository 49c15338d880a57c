-- Balances, one page of events at a time. The order of the statements matters, the order of their rows does not.

-- name: enrol
INSERT INTO accounts (member_id, program, version, position, recorded_at, owed_points, activity_expires_at, following_points,
                      notified_until)
SELECT e.member_id, e.program, 0, 0, 0, 0, 0, 0, 0
FROM unnest(%b::uuid[], %b::text[]) AS e (member_id, program)

-- name: touch
-- Each account whose events go on exactly where the view's end.
UPDATE accounts a SET
    version = t.last_version,
    position = t.position,
    recorded_at = t.recorded_at,
    owed_points = a.owed_points + t.owed_points,
    activity_expires_at = greatest(a.activity_expires_at, t.activity_expires_at),
    notified_until = greatest(a.notified_until, t.notified_until)
FROM unnest(%b::uuid[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[])
    AS t (member_id, first_version, last_version, position, recorded_at, owed_points, activity_expires_at,
          notified_until)
WHERE a.member_id = t.member_id AND a.version = t.first_version - 1

-- name: move
-- Points into and out of lots with an expiry of their own.
MERGE INTO lots USING (
    SELECT member_id, number, expires_at, activates_at, sum(points)::bigint AS points
    FROM unnest(%b::uuid[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[])
        AS d (member_id, number, expires_at, activates_at, points)
    GROUP BY member_id, number, expires_at, activates_at
    HAVING sum(points) <> 0
) AS moved
ON lots.member_id = moved.member_id AND lots.number = moved.number AND lots.expires_at = moved.expires_at
    AND lots.activates_at = moved.activates_at
WHEN MATCHED AND lots.points + moved.points = 0 THEN DELETE
WHEN MATCHED THEN UPDATE SET points = lots.points + moved.points
WHEN NOT MATCHED THEN INSERT (member_id, number, expires_at, activates_at, follows_activity, points)
    VALUES (moved.member_id, moved.number, moved.expires_at, moved.activates_at, false, moved.points)

-- name: move_following
-- The same for lots that follow activity. Those that the member's activity_expires_at has caught up with have 0 in
-- place of their own expiry, those which it catches up with now get it.
WITH touched AS (
    SELECT a.member_id, a.activity_expires_at
    FROM (SELECT DISTINCT member_id FROM unnest(%b::uuid[]) AS t (member_id)) AS t
    JOIN accounts a USING (member_id)
), caught_up AS (
    SELECT l.* FROM touched t JOIN lots l USING (member_id)
    WHERE l.follows_activity AND l.expires_at > 0 AND l.expires_at <= t.activity_expires_at
), moves AS (
    SELECT d.member_id, d.number, d.activates_at, d.points,
           CASE WHEN d.expires_at <= t.activity_expires_at THEN 0 ELSE d.expires_at END AS expires_at
    FROM unnest(%b::uuid[], %b::bigint[], %b::bigint[], %b::bigint[],
                %b::bigint[]) AS d (member_id, number, expires_at, activates_at, points)
    JOIN touched t USING (member_id)
    UNION ALL SELECT member_id, number, activates_at, -points, expires_at FROM caught_up
    UNION ALL SELECT member_id, number, activates_at, points, 0 FROM caught_up
), moved AS (
    SELECT member_id, number, expires_at, activates_at, sum(points)::bigint AS points
    FROM moves GROUP BY member_id, number, expires_at, activates_at HAVING sum(points) <> 0
)
MERGE INTO lots USING moved
ON lots.member_id = moved.member_id AND lots.number = moved.number AND lots.expires_at = moved.expires_at
    AND lots.activates_at = moved.activates_at
WHEN MATCHED AND lots.points + moved.points = 0 THEN DELETE
WHEN MATCHED THEN UPDATE SET points = lots.points + moved.points
WHEN NOT MATCHED THEN INSERT (member_id, number, expires_at, activates_at, follows_activity, points)
    VALUES (moved.member_id, moved.number, moved.expires_at, moved.activates_at, true, moved.points)

-- name: sum_following
UPDATE accounts a SET following_points = s.points
FROM (
    SELECT t.member_id, coalesce(sum(l.points) FILTER (WHERE l.follows_activity AND l.expires_at = 0), 0)::bigint AS points
    FROM (SELECT DISTINCT member_id FROM unnest(%b::uuid[]) AS t (member_id)) AS t LEFT JOIN lots l USING (member_id)
    GROUP BY t.member_id
) AS s
WHERE a.member_id = s.member_id AND a.following_points <> s.points

-- name: expire
INSERT INTO expired_lots (member_id, expires_at, number, activates_at, points)
SELECT member_id, expires_at, number, activates_at, sum(points)::bigint
FROM unnest(%b::uuid[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[])
    AS e (member_id, expires_at, number, activates_at, points)
GROUP BY member_id, expires_at, number, activates_at
ON CONFLICT (member_id, expires_at, number) DO UPDATE SET points = expired_lots.points + excluded.points

-- name: hold
INSERT INTO holds (hold_id, member_id, expires_at, reward_id)
SELECT hold_id, member_id, expires_at, reward_id
FROM unnest(%b::uuid[], %b::uuid[], %b::bigint[], %b::text[]) AS h (hold_id, member_id, expires_at, reward_id)

-- name: hold_lots
INSERT INTO held_lots (member_id, hold_id, number, expires_at, activates_at, follows_activity, points)
SELECT member_id, hold_id, number, expires_at, activates_at, follows_activity, sum(points)::bigint
FROM unnest(%b::uuid[], %b::uuid[], %b::bigint[], %b::bigint[], %b::bigint[], %b::boolean[], %b::bigint[])
    AS h (member_id, hold_id, number, expires_at, activates_at, follows_activity, points)
GROUP BY member_id, hold_id, number, expires_at, activates_at, follows_activity

-- name: end_hold
DELETE FROM holds h USING unnest(%b::uuid[], %b::uuid[]) AS ended (hold_id, member_id)
WHERE h.hold_id = ended.hold_id AND h.member_id = ended.member_id

-- name: end_hold_lots
DELETE FROM held_lots h USING unnest(%b::uuid[], %b::uuid[]) AS ended (hold_id, member_id)
WHERE h.member_id = ended.member_id AND h.hold_id = ended.hold_id

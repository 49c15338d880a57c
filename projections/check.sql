-- What `loyalty check` asks. What is {mine} is of the share's streams, or of those among them that have moved on since.

-- name: read
-- The events of one share of the streams.
SELECT {columns}, e.request_id, e.transaction_id, e.sale_reference FROM events e
WHERE e.notification_id > %(after)b AND e.notification_id <= %(until)b
  AND {mine:e.originator_id}
ORDER BY e.notification_id LIMIT %(limit)b

-- name: moved
-- The streams that have events behind a position.
INSERT INTO pg_temp.moved SELECT DISTINCT originator_id FROM events WHERE notification_id > %(since)b

-- name: log
-- Positions are 1, 2, 3 and so on, and recorded_at never decreases.
SELECT position, expected, recorded_at, recorded_before, count(*) OVER () FROM (
    SELECT notification_id AS position, recorded_at,
           coalesce(lag(notification_id) OVER log, 0) + 1 AS expected, lag(recorded_at) OVER log AS recorded_before
    FROM events WHERE notification_id <= %(until)b WINDOW log AS (ORDER BY notification_id)
) AS e
WHERE position <> expected OR recorded_at < recorded_before
ORDER BY position LIMIT %(limit)b

-- name: archived
-- What of the log is in the archive.
SELECT first_position, last_position FROM log_archives ORDER BY first_position

-- name: stateless
-- Events whose states are gone, and that no archive is known to have.
SELECT min(notification_id), count(*) FROM events e
WHERE state IS NULL AND NOT EXISTS (
    SELECT FROM log_archives a WHERE e.notification_id BETWEEN a.first_position AND a.last_position
) HAVING count(*) > 0

-- name: compare
-- Rows that are not the same, byte for byte, in a live table and in what the replay made of it.
SELECT coalesce(to_jsonb(live), 'null')::text, coalesce(to_jsonb(replayed), 'null')::text, count(*) OVER ()
FROM (
    SELECT * FROM {live}.{table} WHERE {mine:{owner}}
) AS live
FULL JOIN pg_temp.{table} AS replayed USING ({key})
WHERE live IS NULL OR replayed IS NULL OR live *<> replayed
ORDER BY {key} LIMIT %(limit)b

-- name: balances
-- What the fold of each account must agree with.
SELECT a.member_id, a.program, a.version, a.owed_points, coalesce(l.points, 0)::bigint, coalesce(h.points, 0)::bigint
FROM {live}.accounts a
LEFT JOIN (SELECT member_id, sum(points) AS points FROM {live}.lots GROUP BY member_id) AS l USING (member_id)
LEFT JOIN (SELECT member_id, sum(points) AS points FROM {live}.held_lots GROUP BY member_id) AS h USING (member_id)
WHERE {mine:a.member_id}

-- name: liability
-- What every member holds, by lot.
SELECT member_id, array_agg(held ORDER BY held COLLATE "C") FROM (
    SELECT member_id, concat_ws(' ', lot, sum(points)) AS held FROM {live}.movements
    GROUP BY member_id, lot HAVING sum(points) <> 0
) AS lots
WHERE {mine:member_id}
GROUP BY member_id

-- name: rewards
-- What every member can still use.
SELECT member_id, array_agg(right_now ORDER BY right_now COLLATE "C") FROM (
    SELECT member_id, concat_ws(' ', voucher_id, left_minor, starts_at, expires_at) AS right_now
    FROM {live}.vouchers WHERE state = 1
    UNION ALL
    SELECT member_id, concat_ws(' ', entitlement_id, used_times, starts_at, expires_at)
    FROM {live}.entitlements WHERE state = 1
) AS rights
WHERE {mine:member_id}
GROUP BY member_id

-- name: statements
SELECT member_id, total_points FROM {live}.member_totals
WHERE {mine:member_id}

-- name: tiers
SELECT member_id, tier, standing FROM {live}.tiers
WHERE {mine:member_id}

-- name: trial_balance
SELECT member_id, points FROM {live}.member_points
WHERE {mine:member_id}

-- name: members_of_programs
-- The account `member` of a program is the sum of its members'.
SELECT t.program, t.member::text, coalesce(sum(m.points), 0)::text
FROM {live}.program_totals t LEFT JOIN {live}.member_points m USING (program)
GROUP BY t.program, t.member HAVING t.member <> coalesce(sum(m.points), 0)

-- name: snapshots
-- The accounts that commands start from.
SELECT originator_id, originator_version, state FROM snapshots
WHERE {mine:originator_id}

-- name: strangers
-- Identifiers and people whose program is not their member's.
SELECT i.program, i.member_id::text, b.program
FROM profile.identifiers i JOIN {live}.accounts b ON b.member_id = i.member_id
WHERE i.program <> b.program
ORDER BY i.member_id LIMIT %(limit)b

-- What the API asks of the views. Each question is one statement, so that its answer is of one moment.

-- name: member
SELECT p.position, m.*
FROM (SELECT min(position) AS position FROM views.positions WHERE name IN ('balances', 'tiers')) AS p
LEFT JOIN (
{members}
) AS m ON true

-- name: with_points
SELECT b.member_id, b.program, b.owed_points, c.*, t.tier, t.standing, g.version,
       ARRAY(SELECT ARRAY[e.expires_at, e.points] FROM views.expiries_at(b.member_id, %(at)b) AS e) AS expiries
FROM views.balances b
CROSS JOIN LATERAL views.balance_at(b.member_id, %(at)b) AS c
JOIN views.tiers t USING (member_id)
CROSS JOIN LATERAL (
    SELECT v.version FROM views.programs v WHERE v.program = b.program AND v.starts_at <= %(at)b
    ORDER BY v.version DESC LIMIT 1
) AS g
WHERE {which}

-- name: members
-- Without those who are erased: what follows the snapshot does not say so again.
SELECT p.position, m.*
FROM (SELECT min(position) AS position FROM views.positions WHERE name IN ('balances', 'tiers', 'consents')) AS p
LEFT JOIN (
    SELECT b.member_id, b.program, b.owed_points, c.*, t.tier, t.standing, g.version
    FROM views.balances b
    CROSS JOIN LATERAL views.balance_at(b.member_id, %(at)b) AS c
    JOIN views.tiers t USING (member_id)
    CROSS JOIN LATERAL (
        SELECT v.version FROM views.programs v WHERE v.program = b.program AND v.starts_at <= %(at)b
        ORDER BY v.version DESC LIMIT 1
    ) AS g
    WHERE b.member_id > %(after)b AND %(program)b IN ('', b.program)
        AND NOT EXISTS (SELECT FROM views.erased_members e WHERE e.member_id = b.member_id)
    ORDER BY b.member_id LIMIT %(limit)b
) AS m ON true
ORDER BY m.member_id

-- name: program
SELECT definition FROM views.programs WHERE program = %b AND version = %b

-- name: statement
SELECT p.position, t.member_id, e.position, e.effective_at, e.recorded_at, e.type, e.transaction_id, e.points,
       e.total_points, e.store
FROM views.positions p
LEFT JOIN views.member_totals t ON t.member_id = %(member_id)b
LEFT JOIN LATERAL (
    SELECT * FROM views.statements s
    WHERE s.member_id = t.member_id AND s.position < %(before)b
    ORDER BY s.position DESC LIMIT %(limit)b
) AS e ON true
WHERE p.name = 'statements'
ORDER BY e.position DESC

-- name: vouchers
-- Newest first, each in the state (1 is issued, 4 expired) that it is in at an instant; of all states for 0.
SELECT p.position, m.member_id, v.*
FROM (SELECT min(position) AS position FROM views.positions WHERE name IN ('balances', 'rewards')) AS p
LEFT JOIN views.balances m ON m.member_id = %(member_id)b
LEFT JOIN LATERAL (
    SELECT * FROM (
        SELECT position, voucher_id, reward, starts_at, expires_at, left_minor,
               CASE WHEN state = 1 AND expires_at <= %(at)b THEN 4 ELSE state END AS state
        FROM views.vouchers WHERE member_id = m.member_id AND position < %(before)b
    ) AS found
    WHERE %(state)b = 0 OR state = %(state)b
    ORDER BY position DESC LIMIT %(limit)b
) AS v ON true
ORDER BY v.position DESC

-- name: entitlements
SELECT p.position, m.member_id, e.*
FROM (SELECT min(position) AS position FROM views.positions WHERE name IN ('balances', 'rewards')) AS p
LEFT JOIN views.balances m ON m.member_id = %(member_id)b
LEFT JOIN LATERAL (
    SELECT * FROM (
        SELECT position, entitlement_id, reward, starts_at, expires_at, used_times,
               CASE WHEN state = 1 AND expires_at <= %(at)b THEN 4 ELSE state END AS state, sale, line_id, sku
        FROM views.entitlements WHERE member_id = m.member_id AND position < %(before)b
    ) AS found
    WHERE %(state)b = 0 OR state = %(state)b
    ORDER BY position DESC LIMIT %(limit)b
) AS e ON true
ORDER BY e.position DESC

-- name: catalogue
-- The version of a program that is in force at an instant, and what is drawn of its stocks and codes.
SELECT p.position, g.version, s.pool, s.drawn, s.uploaded
FROM (SELECT min(position) AS position FROM views.positions WHERE name IN ('rewards', 'tiers')) AS p
LEFT JOIN LATERAL (
    SELECT v.version FROM views.programs v WHERE v.program = %(program)b AND v.starts_at <= %(at)b
    ORDER BY v.version DESC LIMIT 1
) AS g ON true
LEFT JOIN LATERAL views.stocks_at(%(program)b, %(at)b) AS s ON g.version IS NOT NULL

-- name: due
-- Accounts with a deadline that is not recorded: of holds, of lots with an expiry of their own, of lots that follow
-- activity, of tiers, of vouchers and entitlements that are issued (state 1). Each part brings the earliest; a member with many lots may come more than once, so more are looked at.
SELECT member_id FROM (
    (SELECT h.member_id, h.expires_at AS deadline
     FROM views.holds h JOIN views.balances b USING (member_id)
     WHERE h.expires_at <= %(before)b AND b.recorded_at <= %(untouched_since)b
     ORDER BY h.expires_at LIMIT %(limit)b * 8)
    UNION ALL
    (SELECT l.member_id, l.own_expires_at
     FROM views.lots l JOIN views.balances b USING (member_id)
     WHERE l.own_expires_at > 0 AND l.own_expires_at < 9223372036854775807 AND l.own_expires_at <= %(before)b
       AND b.recorded_at <= %(untouched_since)b
     ORDER BY l.own_expires_at LIMIT %(limit)b * 8)
    UNION ALL
    (SELECT b.member_id, b.activity_expires_at
     FROM views.balances b
     WHERE b.following_points > 0 AND b.activity_expires_at <= %(before)b AND b.recorded_at <= %(untouched_since)b
     ORDER BY b.activity_expires_at LIMIT %(limit)b)
    UNION ALL
    (SELECT t.member_id, t.next_change_at
     FROM views.tiers t JOIN views.balances b USING (member_id)
     WHERE t.next_change_at <= %(before)b AND b.recorded_at <= %(untouched_since)b
     ORDER BY t.next_change_at LIMIT %(limit)b)
    UNION ALL
    (SELECT v.member_id, v.expires_at
     FROM views.vouchers v JOIN views.balances b USING (member_id)
     WHERE v.state = 1 AND v.expires_at < 9223372036854775807 AND v.expires_at <= %(before)b
       AND b.recorded_at <= %(untouched_since)b
     ORDER BY v.expires_at LIMIT %(limit)b * 8)
    UNION ALL
    (SELECT e.member_id, e.expires_at
     FROM views.entitlements e JOIN views.balances b USING (member_id)
     WHERE e.state = 1 AND e.expires_at < 9223372036854775807 AND e.expires_at <= %(before)b
       AND b.recorded_at <= %(untouched_since)b
     ORDER BY e.expires_at LIMIT %(limit)b * 8)
) AS due
GROUP BY member_id ORDER BY min(deadline), member_id LIMIT %(limit)b

-- name: programs
-- The version of each program that is in force at an instant.
SELECT DISTINCT ON (program) program, version FROM views.programs WHERE starts_at <= %b
ORDER BY program, version DESC

-- name: due_notices
-- Accounts of a program with points that expire up to a horizon and of which no notice is recorded.
SELECT member_id FROM (
    (SELECT l.member_id, l.own_expires_at AS expires_at
     FROM views.lots l JOIN views.balances b USING (member_id)
     WHERE l.own_expires_at > %(before)b AND l.own_expires_at <= %(horizon)b AND l.own_expires_at < 9223372036854775807
       AND b.program = %(program)b AND l.own_expires_at > b.notified_until AND b.recorded_at <= %(untouched_since)b
     ORDER BY l.own_expires_at LIMIT %(limit)b * 8)
    UNION ALL
    (SELECT b.member_id, b.activity_expires_at
     FROM views.balances b
     WHERE b.following_points > 0 AND b.activity_expires_at > %(before)b AND b.activity_expires_at <= %(horizon)b
       AND b.program = %(program)b AND b.activity_expires_at > b.notified_until
       AND b.recorded_at <= %(untouched_since)b
     ORDER BY b.activity_expires_at LIMIT %(limit)b)
) AS due
GROUP BY member_id ORDER BY min(expires_at), member_id LIMIT %(limit)b
